// Loss scaling: a factor of the error at the output that is taken off the gradients again, the trigger that skips a
// step, and how the factor moves. Source: Micikevicius et al. 1710.03740; counters and order: specs/formats.md 12.7.
#ifndef FX_LOSS_SCALE_H
#define FX_LOSS_SCALE_H

#include "formats/decimal.h"
#include "formats/fxsim.h"

typedef struct FxGrowth {
    FxScalar factor;
    uint64_t after; // good steps
} FxGrowth;

// "2 after 2000s". Errors: exit code 2.
int fx_growth_parse(FxGrowth *growth, const char *text, FxError *err);

enum { FX_MOST_LOSS_SCALE = 114 }; // log2 of what it grows to

typedef struct FxLossScaling {
    bool on, dynamic;
    FxScalar value;     // of constant; of dynamic the first one
    bool on_saturation; // trigger: a share of saturated elements above `share`; else any that is not finite
    FxScalar share;
    FxGrowth growth;
    FxScalar backoff, floor;
    int most; // log2 of what the scale may grow to: float32, or an update's integer sums, must hold it
} FxLossScaling;

// What a run keeps. 64-bit fields alone: a checkpoint keeps them as they stand.
typedef struct FxLossScale {
    int64_t mantissa, exponent; // of the scale, as FxScalar
    uint64_t good;              // steps since it last moved
} FxLossScale;

FxLossScale fx_loss_scale_start(const FxLossScaling *how);
FxScalar fx_loss_scale_value(const FxLossScale *scale);

// Whether what an error or gradient site has counted in one tensor fires the trigger. lost: elements that came or became not finite.
bool fx_loss_scale_fires(const FxLossScaling *how, const FxStats *stats, uint64_t lost);

// After a step: skipped or good.
void fx_loss_scale_move(FxLossScale *scale, const FxLossScaling *how, bool skipped);

#endif
