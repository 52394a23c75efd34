// The step of WAGE (arXiv 1802.04680, section numbers of its appendix aside), each line in the order of the authors' code:
//   t = Q_W(w);  forward: z = x * t, [max-pool], ReLU, x' = Q_A(z);  e = Q_E(out - target), or of the softmax - target;
//   for each layer from the last: dW = x^T e;  dx = t^T e, clip mask, Q_E, ReLU mask, un-pool;  w <- clip(w - Q_G(rate * dW)).
#include "sim/step.h"

#include "sim/cast.h"
#include "sim/input.h"

#include <assert.h>
#include <string.h>

static const FxLayerConfig *layer_config(const FxStep *s, const FxNode *node) {
    return &fx_step_phase(s)->layers[node->id - 1];
}

static FxTensor first_images(const FxTensor *t, FxShape shape, int images) {
    FxTensor part = *t;
    part.count = fx_shape_count(fx_shape_images(shape, images));
    return part;
}

static void trace(const FxStep *s, int id, const char *what, const FxTensor *t) {
    if (s->trace)
        s->trace->tensor(s->trace->user, id, what, t);
}

// Q_W: the operand of the forward and error products.
static void quantise_weights(const FxStep *s) {
    for (int p = 0; p < s->net->product_count; p++) {
        FxNode *node = fx_net_product(s->net, p);
        FxSource source = {.x = &node->store};
        trace(s, node->id, "store.before", &node->store);
        fx_site_cast(s, node, FX_SITE_WEIGHT, &source, &node->layer.weight);
        trace(s, node->id, "weight", &node->layer.weight);
    }
}

// Q_A: what a product reads. The clip mask is taken from the sums, before rounding.
static FxTensor activate(const FxStep *s, FxNode *node, const FxTensor *sums) {
    FxTensor x = first_images(&node->x, node->layer.in, s->images);
    FxTensor pass = first_images(&node->pass, node->layer.in, s->images);
    bool clip = layer_config(s, node)->site[FX_SITE_ACTIVATION].clip && !s->evaluation;
    FxSource source = {.x = sums, .pass = clip ? pass.data : NULL};
    fx_site_cast(s, node, FX_SITE_ACTIVATION, &source, &x);
    node->x.exponent = x.exponent;
    trace(s, node->id, "activation", &x);
    if (clip)
        trace(s, node->id, "activation.clip", &pass);
    return x;
}

static void forward_product(const FxStep *s, FxNode *node, FxTensor *input) {
    FxTensor x = node->name.first ? *input : activate(s, node, input);
    FxTensor y = first_images(&node->y, node->layer.out, s->images);
    FxLayer layer = node->layer;
    memcpy(layer.accumulator, layer_config(s, node)->accumulator, sizeof layer.accumulator);
    layer.ops->forward(&layer, &x, &y, &s->net->work, s->evaluation ? NULL : &node->sums[FX_FORWARD]);
    node->y.exponent = y.exponent = x.exponent + node->layer.weight.exponent + layer.accumulator[FX_FORWARD].shift;
    trace(s, node->id, "sum.forward", &y);
    *input = y;
}

static void forward_map(const FxStep *s, FxNode *node, FxTensor *input) {
    FxTensor y = first_images(&node->y, node->layer.out, s->images);
    FxTensor saved = first_images(&node->layer.saved, node->layer.out, s->images);
    node->y.exponent = y.exponent = input->exponent;
    node->layer.ops->forward(&node->layer, input, &y, &s->net->work, NULL);
    trace(s, node->id, node->layer.ops->name, &y);
    trace(s, node->id, node->layer.in_place ? "relu.mask" : "pool.argmax", &saved);
    *input = y;
}

// From the batch's bytes to the outputs.
static FxTensor forward(const FxStep *s) {
    FxNet *net = s->net;
    FxTensor t = first_images(&net->image_codes, net->image, s->images);
    quantise_weights(s);
    fx_input_codes(s, &t);
    trace(s, 1, "input", &t);
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i];
        if (node->layer.ops->role == FX_ROLE_PRODUCT)
            forward_product(s, node, &t);
        else if (node->layer.ops->role == FX_ROLE_MAP)
            forward_map(s, node, &t);
    }
    return t;
}

static FxNode *output_node(const FxNet *net) {
    return fx_net_product(net, net->product_count - 1);
}

// The code of 1.0. Only where the outputs' exponent follows the data can it lie outside: it rounds to 0 above, is held below.
static int64_t target(int exponent) {
    int shift = exponent < FX_LEAST_OUTPUT_EXPONENT ? -FX_LEAST_OUTPUT_EXPONENT : -exponent;
    return shift < 0 ? 0 : INT64_C(1) << shift;
}

// The answers, and where e is not NULL the error, exact; returns the error's exponent. logits: the quantised outputs where
// the recipe has them.
static int answer(const FxStep *s, const FxTensor *sums, const FxTensor *e) {
    FxNet *net = s->net;
    FxNode *node = output_node(net);
    FxTensor out = *sums;
    if (layer_config(s, node)->site[FX_SITE_LOGITS].on) {
        out = net->logits;
        out.count = sums->count;
        FxSource source = {.x = sums};
        fx_site_cast(s, node, FX_SITE_LOGITS, &source, &out);
    }
    trace(s, node->id, "logits", &out);
    s->totals->images += (uint64_t)s->images;
    if (s->answered)
        s->answered(&out, net->batch_labels, net->classes, &s->totals->loss);
    if (net->loss == &fx_softmax_ops) {
        fx_softmax(&out, net->batch_labels, net->classes, e, &s->totals->answers);
        return FX_SOFTMAX_EXPONENT;
    }
    s->totals->lost_targets += out.exponent > 0 || out.exponent < FX_LEAST_OUTPUT_EXPONENT;
    fx_sse(&out, net->batch_labels, net->classes, target(out.exponent), e, &s->totals->answers);
    return out.exponent;
}

// Q_E of the outputs' error, then, where the logits are quantised, their clip mask.
static void output_error(const FxStep *s, const FxTensor *sums, FxTensor *loss_error) {
    FxNode *node = output_node(s->net);
    const FxLayerConfig *c = layer_config(s, node);
    FxTensor e = first_images(&node->e, node->layer.out, s->images);
    trace(s, node->id, "logits.error", loss_error);
    FxSource source = {.x = loss_error};
    fx_site_cast(s, node, FX_SITE_ERROR, &source, &e);
    trace(s, node->id, "error.quantised", &e);
    if (c->site[FX_SITE_LOGITS].on && c->site[FX_SITE_LOGITS].clip)
        fx_logits_clip(s, node, sums, &e);
    node->e.exponent = e.exponent;
}

// dx of a product on its way to the product before: clip mask and Q_E, in the order that error.at says; then backward
// through the maps between the two.
static void hand_down(const FxStep *s, FxNode *node, FxTensor *dx) {
    FxNet *net = s->net;
    FxNode *map = &net->nodes[node->input], *owner = fx_net_product(net, map->id - 1);
    const uint8_t *pass = layer_config(s, node)->site[FX_SITE_ACTIVATION].clip ? node->pass.data : NULL;
    uint64_t *masked = &node->site[FX_SITE_ACTIVATION].stats.masked;
    bool before = layer_config(s, owner)->error_before_masks;
    FxTensor e = first_images(&map->e, map->layer.out, s->images);
    if (pass && !before)
        fx_apply_mask(s, dx, pass, masked);
    FxSource source = {.x = dx};
    fx_site_cast(s, owner, FX_SITE_ERROR, &source, &e);
    trace(s, owner->id, "error.quantised", &e);
    if (pass && before)
        fx_apply_mask(s, &e, pass, masked);
    for (FxNode *n = map; n != owner; n = &net->nodes[n->input]) {
        FxTensor below = first_images(&net->nodes[n->input].e, n->layer.in, s->images);
        n->layer.ops->backward_data(&n->layer, &e, &below, &net->work, NULL);
        below.exponent = e.exponent;
        e = below;
    }
    owner->e.exponent = e.exponent;
}

static void backward_product(const FxStep *s, FxNode *node) {
    FxNet *net = s->net;
    FxTensor e = first_images(&node->e, node->layer.out, s->images), dw = node->dw;
    FxTensor x = first_images(&node->x, node->layer.in, s->images);
    FxLayer layer = node->layer;
    memcpy(layer.accumulator, layer_config(s, node)->accumulator, sizeof layer.accumulator);
    trace(s, node->id, "error", &e);
    layer.ops->backward_weights(&layer, &x, &e, &dw, &net->work, &node->sums[FX_GRADIENT]);
    dw.exponent = x.exponent + e.exponent + layer.accumulator[FX_GRADIENT].shift;
    trace(s, node->id, "sum.gradient", &dw);
    FxTensor dx = first_images(&node->dx, node->layer.in, s->images);
    if (!node->name.first) {
        layer.ops->backward_data(&layer, &e, &dx, &net->work, &node->sums[FX_ERROR]);
        dx.exponent = e.exponent + layer.weight.exponent + layer.accumulator[FX_ERROR].shift;
        trace(s, node->id, "sum.error", &dx);
    }
    fx_update(s, node, &dw); // the operand of the products above keeps the old weights until the next step
    trace(s, node->id, "store.after", &node->store);
    if (!node->name.first) // last: the maps' errors may lie where dw was
        hand_down(s, node, &dx);
}

void fx_step_train(const FxStep *s) {
    FxNet *net = s->net;
    FxTensor sums = forward(s);
    FxTensor e = net->loss_error;
    e.count = sums.count;
    e.exponent = answer(s, &sums, &e);
    output_error(s, &sums, &e);
    for (int p = net->product_count - 1; p >= 0; p--)
        backward_product(s, fx_net_product(net, p));
}

void fx_step_evaluate(const FxStep *s) {
    FxTensor sums = forward(s);
    answer(s, &sums, NULL);
}
