// The network notation of the papers: "2x(128C3)-MP2-+(64C3-64C3|64C1)-1024FC-10SSE".
//
// A net is items joined by '-'. An item is [n]LETTERS[n] with optional pN and sN (pN before sN), or a bare
// number (the output layer). "n x ( ... )" (also "nx(...)") repeats a part; "+( body | shortcut )" is a residual
// block whose shortcut may be empty (the identity). Spaces are allowed between tokens.
// This file knows no layer: what LETTERS mean is the layer table's business.
#ifndef FX_NOTATION_H
#define FX_NOTATION_H

#include "formats/error.h"

enum { FX_NOTATION_INPUT = -1, FX_NOTATION_ABSENT = -1 };

typedef struct FxItem {
    char letters[16]; // "C", "MP", "L1BN", "SSE"; "+" for the addition that ends a residual block; "" for a bare number
    int before;       // the number before the letters, FX_NOTATION_ABSENT if not written
    int after;        // the number behind the letters, likewise
    int pad, stride;  // pN and sN, likewise
    int input[2];     // items that feed this one, FX_NOTATION_INPUT = the net's input; [1] used by "+" only
    int block_start;  // 1 where this item is the first of the body or the shortcut of a residual block
    int column;       // where it stands in the text, first 1, for messages
} FxItem;

typedef struct FxNotation {
    FxItem *items; // in reading order, repetitions unrolled, a block's body before its shortcut, then its "+"
    int count;
} FxNotation;

// Errors: exit code 2, one line with the column, what was read and what would be right. Limits: 4096 items,
// numbers 1 .. 65535 (pad from 0), nesting depth 16.
int fx_notation_parse(FxNotation *net, const char *text, FxError *err);
void fx_notation_free(FxNotation *net); // accepts a zeroed struct

#endif
