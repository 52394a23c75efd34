// The roundings of a step: a site's quantiser put to work on a whole tensor, masks, and the update of the kept weights.
#ifndef FX_SIM_CAST_H
#define FX_SIM_CAST_H

#include "sim/step.h"

typedef struct FxSource {
    const FxTensor *x;
    uint8_t *pass; // receives the clip mask, 1 = passes; NULL: not wanted
} FxSource;

// y = the codes of source.x at node's site, under the step's configuration; sets y->exponent and the site's state.
void fx_site_cast(const FxStep *s, FxNode *node, FxSite site, const FxSource *source, FxTensor *y);

// t[i] = 0 where pass[i] is 0; adds how many to *masked.
void fx_apply_mask(const FxStep *s, const FxTensor *t, const uint8_t *pass, uint64_t *masked);

// e[i] = 0 where the logit lies outside the grid of the logits' quantiser, on either side.
void fx_logits_clip(const FxStep *s, FxNode *node, const FxTensor *sums, const FxTensor *e);

// w <- clip(w - k), k = Q_gradient(rate * dw), a code being a step of the store. An all-zero dw is a counted no-op.
void fx_update(const FxStep *s, FxNode *node, const FxTensor *dw);

#endif
