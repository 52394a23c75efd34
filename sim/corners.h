// Training steps in which what is easy to get wrong happens: planted images and weights, for hardware to replay.
#ifndef FX_CORNERS_H
#define FX_CORNERS_H

#include "sim/run.h"

enum { FX_CORNER_OUTPUTS = 16 };

typedef struct FxCorner {
    const char *name, *help;
    const char *net;
    const char *override; // beside recipe wage, batch 1, input.map = wage-128; NULL: none
    int steps;
    bool zero_image;      // else inputs 127 (twenty times), 64, 32, 16, 8, 4, 2, 1 and zeros
    bool constant_image;  // every input 100
    bool errors;          // values are outputs minus targets, else sums of the first layer
    bool codes;           // values are codes of kept weights, one after the other; else weights are planted that give the sums
    int values[FX_CORNER_OUTPUTS], count; // count 0: the weights are those of seed 1
} FxCorner;

const FxCorner *fx_corner(int i); // NULL past the last

// A run before its first step, image and weights planted. Free with fx_run_free. Errors: those of preparing a run.
int fx_corner_prepare(FxRun *run, const FxCorner *corner, FxError *err);

#endif
