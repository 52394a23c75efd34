// What the parts of the training step share: step.c the order of things, step_error.c errors on their way down, step_norm.c
// norms and additions.
#ifndef FX_STEP_PARTS_H
#define FX_STEP_PARTS_H

#include "sim/cast.h"

static inline const FxLayerConfig *fx_step_layer(const FxStep *s, const FxNode *node) {
    return &fx_step_phase(s)->layers[node->id - 1];
}

// Whether a recipe has set the copy.
static inline bool fx_step_has_copy(const FxStep *s, const FxNode *node, FxSite copy) {
    return fx_step_layer(s, node)->site[copy].is_set;
}

// The part of a tensor of this shape that the batch fills.
static inline FxTensor fx_step_images(const FxTensor *t, FxShape shape, int images) {
    FxTensor part = *t;
    part.count = fx_shape_count(fx_shape_images(shape, images));
    return part;
}

static inline void fx_step_trace(const FxStep *s, const FxNode *node, const char *what, const FxTensor *t) {
    if (s->trace)
        s->trace->tensor(s->trace->user, node, what, t);
}

// Q_G of a node's finished gradient, where the optimiser reads it rounded.
void fx_step_gradient(const FxStep *s, FxNode *node);

// Q_E of the outputs' error, then, where the logits are quantised, their clip mask.
void fx_step_output_error(const FxStep *s, FxTensor *loss_error);

// A raw error on its way from a node to the one below, `to`. Where that has one reader it is rounded at once, at the site of
// the node that owns the error, and masked by pass (NULL: no mask) before or behind the rounding, as error.at says; else it is
// kept until that node gathers. units: NULL but for what a norm hands down.
void fx_step_hand_down(const FxStep *s, FxNode *from, int to, FxTensor *raw, const FxUnits *units, const uint8_t *pass, uint64_t *masked);

// Before the backward of a node that has several readers: the sum of what they handed down, rounded for the node that owns it.
void fx_step_gather(const FxStep *s, FxNode *node);

void fx_step_map_back(const FxStep *s, FxNode *node);

// From gamma and beta of all norms to their operands.
void fx_step_norm_operands(const FxStep *s, FxNode *node);
void fx_step_norm(const FxStep *s, FxNode *node, const FxTensor *input);
void fx_step_norm_back(const FxStep *s, FxNode *node);
void fx_step_add(const FxStep *s, FxNode *node);
void fx_step_add_back(const FxStep *s, FxNode *node);

#endif
