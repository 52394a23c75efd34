// The roundings of a step: a site's quantiser put to work on a whole tensor, and masks.
#ifndef FX_SIM_CAST_H
#define FX_SIM_CAST_H

#include "sim/step.h"

typedef struct FxSource {
    const FxTensor *x;
    uint8_t *pass;           // receives the clip mask; NULL: not wanted
    const int8_t *direction; // at a store: signs of the amounts subtracted; NULL: not wanted
    uint64_t element0;       // index of the first element: of a bias, which follows the weights
    const FxUnits *units;    // of x's channels, the last axis; NULL: x->exponent for all
    int32_t *exponents;      // where the site has a scale a channel and y integer codes: receives the channels'; NULL elsewhere
    size_t channels;         // of x and y; 0: the node's, as the site says
    bool of_norm;            // handed down by a norm
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
