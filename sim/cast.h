// The roundings of a step: a site's quantiser put to work on a whole tensor, and masks.
#ifndef FX_SIM_CAST_H
#define FX_SIM_CAST_H

#include "sim/step.h"

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
    FxCast *casts;          // room for as many
} FxTensorCast;

// y = the codes of x, or their values where y is float32; sets y->exponent (float32: 0). pass: receives the clip mask,
// 1 = passes; NULL: not wanted. A controller that has just begun repeats the call as its rule says.
FxScaleChoice fx_tensor_cast(const FxTensorCast *cast, const FxWork *work, const FxTensor *x, uint8_t *pass, FxTensor *y, FxStats *stats);

typedef struct FxSource {
    const FxTensor *x;
    uint8_t *pass;           // receives the clip mask; NULL: not wanted
    const int8_t *direction; // at a store: signs of the amounts subtracted; NULL: not wanted
    uint64_t element0;       // index of the first element: of a bias, which follows the weights
} FxSource;

// y = source.x at node's site, under the step's configuration; sets y->exponent and the site's state. Where the site is
// `none` y is float32 and equals the source.
void fx_site_cast(const FxStep *s, FxNode *node, FxSite site, const FxSource *source, FxTensor *y);

// What a site's state keeps of a choice; an all-zero tensor chooses nothing.
void fx_note_choice(FxSiteState *state, const FxScale *scale, FxScaleChoice choice, bool zero);

// Random words of a role: stream id * 256 + role, its top bit set during evaluation.
FxRandom fx_step_random(const FxStep *s, const FxNode *node, int role);

// t[i] = 0 where pass[i] is 0; adds how many to *masked.
void fx_apply_mask(const FxStep *s, const FxTensor *t, const uint8_t *pass, uint64_t *masked);

#endif
