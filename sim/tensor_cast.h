// A quantiser put to work on a whole tensor, on all threads: scales that are chosen from it, blocks, controllers.
#ifndef FX_SIM_TENSOR_CAST_H
#define FX_SIM_TENSOR_CAST_H

#include "formats/quantiser.h"
#include "layers/work.h"

// A quantiser on its way over a tensor. Blocks of an MX scale run along the middle one of [outer][axis][inner].
typedef struct FxTensorCast {
    const FxQuantiser *q;
    FxRandom random;
    uint64_t element0;      // index of the first element
    int alpha, lower, last; // as FxScaleInput
    int64_t *state;         // of a controller
    bool observes;          // whether it may move: not in an evaluation
    const int8_t *direction; // signed-sr-eps; NULL elsewhere
    size_t axis, inner;     // MX alone
    size_t samples, channels; // groups of a sample or channel, max-mean: images; length of the last axis
    FxCast *casts;          // room for as many: groups of a channel, units
    const FxUnits *units;   // of integer x; one power of two a tensor or channel alone, no clip mask. NULL: x->exponent for all
    int spread;             // of exponents: those that lie further below the largest are raised to that, zeros take the largest; 0: any
    int32_t *exponents;     // groups of a channel with integer y: receives each channel's exponent; one that is all zero keeps what stands there
} FxTensorCast;

// y = the codes of x, or their values where y is float32; sets y->exponent (float32, groups: 0). pass: receives the clip mask,
// 1 = passes; NULL: not wanted. A controller that has just begun repeats the call as its rule says.
// With units T = x * multiplier is rounded once, at the tensor's unit or the channel's: one scale a tensor is chosen from the
// exponent e = max of exponent[c] over the channels with some T != 0 and the maximum of floor(|T| / 2^(e - exponent[c])).
FxScaleChoice fx_tensor_cast(const FxTensorCast *cast, const FxWork *work, const FxTensor *x, uint8_t *pass, FxTensor *y, FxStats *stats);

#endif
