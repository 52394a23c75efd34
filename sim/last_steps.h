// What every site saw in each of the last steps, written as last.csv if the run dies: where it went wrong first. It is no
// part of a checkpoint: after a resume it begins anew.
#ifndef FX_LAST_STEPS_H
#define FX_LAST_STEPS_H

#include "sim/net.h"

enum { FX_LAST_STEPS = 50 };

typedef struct FxLastSite {
    FxStats stats;
    int64_t exponent;
    uint64_t chosen, changed, floored;
} FxLastSite;

typedef struct FxLastSteps {
    FxLastSite *sites; // [step modulo FX_LAST_STEPS][layer][line of fx_site_info]
    uint64_t first, next; // steps held: [first, next)
    int layers;
} FxLastSteps;

int fx_last_init(FxLastSteps *last, int layers, FxError *err);
void fx_last_free(FxLastSteps *last); // accepts a zeroed struct

// Takes what the net's sites saw in `step`.
void fx_last_note(FxLastSteps *last, const FxNet *net, uint64_t step);

const FxLastSite *fx_last_site(const FxLastSteps *last, uint64_t step, int layer, int line);

#endif
