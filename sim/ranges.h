// How overflow controllers find the ranges that they start from: by training for some epochs with wide grids, after which
// everything but the ranges starts anew. Source: Courbariaux et al. 1412.7024; specs/formats.md 12.5.
#ifndef FX_RANGES_H
#define FX_RANGES_H

#include "formats/error.h"

#include <stdint.h>

typedef struct FxRanges {
    uint64_t epochs; // 0: none
    int bits;        // of every @overflow grid meanwhile
} FxRanges;

// "none" or "2e:16". Errors: exit code 2.
int fx_ranges_parse(FxRanges *ranges, const char *text, FxError *err);

#endif
