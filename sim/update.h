// From a layer's gradient to its new weights.
#ifndef FX_UPDATE_H
#define FX_UPDATE_H

#include "sim/step.h"

// rate-unit = lsb: w <- clip(w - k), k = Q_gradient(rate * dw), a code being a step of the store; an all-zero dw is a
// counted no-op. rate-unit = value: the optimiser's rule on node->g. Counts what changed in the store.
void fx_update(const FxStep *s, FxNode *node);

// The weight decay of a node's numbers: a norm's parameters have none.
static inline FxScalar fx_update_decay(const FxPhase *phase, const FxNode *node) {
    return node->layer.ops->role == FX_ROLE_PARAMETER ? (FxScalar){0, 0} : phase->decay;
}

// For optimisers: to = from at one of the layer's sites; of FX_SITE_STORE the kept weights, whose changes are counted.
void fx_update_round(FxUpdating *u, FxSite site, const FxTensor *from, FxTensor *to);
void fx_update_store(FxUpdating *u, const FxTensor *from, const FxTensor *subtracted);

// Whether sums of the optimiser's rule on integers stay below 2^62, at every step of the run and under the loss scale, a
// power of two, that it starts with or falls to. Errors: exit code 2.
int fx_update_check(const FxConfig *config, const FxNode *node, FxError *err);
// log2 of the largest loss scale, at most loss_scaling.most, up to which they do.
int fx_update_most_scale(const FxConfig *config, const FxNode *node);

#endif
