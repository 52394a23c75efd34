// One training step. In the words of WAGE (arXiv 1802.04680), whose authors' code has this order:
//   t = Q_W(w);  forward: x' = Q_A(x), z = x' * t, [max-pool], ReLU;  e = Q_E(loss's error);  for each layer from the last:
//   g = Q_G(x'^T e);  dx = t^T e, clip mask, Q_E, ReLU mask, un-pool;  and when all gradients are there, w <- Q_S(w, g).
// A site that is `none` rounds nothing; a copy of a site rounds the same source once more for one product.
#include "sim/step.h"

#include "layers/bias.h"
#include "sim/cast.h"
#include "sim/input.h"
#include "sim/update.h"

#include <assert.h>
#include <string.h>

static const FxLayerConfig *layer_config(const FxStep *s, const FxNode *node) {
    return &fx_step_phase(s)->layers[node->id - 1];
}

static bool has_copy(const FxStep *s, const FxNode *node, FxSite site) {
    return layer_config(s, node)->site[site].is_set;
}

static FxTensor first_images(const FxTensor *t, FxShape shape, int images) {
    FxTensor part = *t;
    part.count = fx_shape_count(fx_shape_images(shape, images));
    return part;
}

static void trace(const FxStep *s, const FxNode *node, const char *what, const FxTensor *t) {
    if (s->trace)
        s->trace->tensor(s->trace->user, node, what, t);
}

FxScalar fx_step_rate(const FxStep *s) {
    return fx_rate_at(&fx_step_phase(s)->rate, s->step);
}

// The layer as a product of this step runs it.
static FxLayer ready(const FxStep *s, const FxNode *node, FxProductKind kind, FxRandom *random) {
    FxLayer layer = node->layer;
    memcpy(layer.accumulator, layer_config(s, node)->accumulator, sizeof layer.accumulator);
    *random = fx_step_random(s, node, FX_ROLE_ACCUMULATOR + (int)kind);
    layer.random = random;
    return layer;
}

static FxAccumulatorCounts *counts_of(const FxStep *s, FxNode *node, FxProductKind kind) {
    return s->evaluation ? NULL : &node->sums[kind];
}

// Autoflex belongs to written tensors: weights of the store's own format are the store (specs/formats.md 12.5).
static bool reads_store(const FxLayerConfig *c) {
    const FxQuantiser *weight = &c->site[FX_SITE_WEIGHT].q, *store = &c->site[FX_SITE_STORE].q;
    return weight->scale.rule->observe == fx_autoflex_observe && store->scale.rule == weight->scale.rule &&
           !memcmp(weight->scale.parameter, store->scale.parameter, sizeof store->scale.parameter) && weight->grid.bits == store->grid.bits &&
           weight->grid.is_signed == store->grid.is_signed && weight->grid.twos_complement == store->grid.twos_complement;
}

// Q_W: the operands of the forward and error products, and the bias, which follows the weights in the store.
static void quantise_weights(const FxStep *s) {
    for (int p = 0; p < s->net->product_count; p++) {
        FxNode *node = fx_net_product(s->net, p);
        FxTensor weights = node->store, bias = node->store;
        FxSource source = {.x = &weights};
        weights.count = node->layer.weights;
        trace(s, node, "store.before", &node->store);
        if (reads_store(layer_config(s, node))) {
            memcpy(node->layer.weight.data, weights.data, weights.count * fx_type_size(weights.type));
            node->layer.weight.exponent = weights.exponent;
        } else {
            fx_site_cast(s, node, FX_SITE_WEIGHT, &source, &node->layer.weight);
        }
        trace(s, node, "weight", &node->layer.weight);
        if (has_copy(s, node, FX_SITE_WEIGHT_BACK) && !s->evaluation) {
            fx_site_cast(s, node, FX_SITE_WEIGHT_BACK, &source, &node->weight_back);
            trace(s, node, "weight.back", &node->weight_back);
        }
        if (!node->layer.bias.count)
            continue;
        bias.data = fx_tensor_at(&node->store, weights.count);
        bias.count = node->layer.bias.count;
        source = (FxSource){.x = &bias, .element0 = weights.count};
        fx_site_cast(s, node, FX_SITE_BIAS, &source, &node->layer.bias);
        trace(s, node, "bias", &node->layer.bias);
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
    trace(s, node, "activation", &x);
    if (clip)
        trace(s, node, "activation.clip", &pass);
    if (has_copy(s, node, FX_SITE_ACTIVATION_GRAD) && !s->evaluation) {
        FxTensor copy = first_images(&node->x_grad, node->layer.in, s->images);
        source.pass = NULL;
        fx_site_cast(s, node, FX_SITE_ACTIVATION_GRAD, &source, &copy);
        node->x_grad.exponent = copy.exponent;
        trace(s, node, "activation.grad", &copy);
    }
    return x;
}

static void forward_product(const FxStep *s, FxNode *node, FxTensor *input) {
    FxRandom random;
    FxTensor x = node->name.first ? *input : activate(s, node, input);
    FxTensor y = first_images(&node->y, node->layer.out, s->images);
    FxLayer layer = ready(s, node, FX_FORWARD, &random);
    layer.ops->forward(&layer, &x, &y, &s->net->work, counts_of(s, node, FX_FORWARD));
    if (y.type != FX_FLOAT32)
        y.exponent = x.exponent + layer.weight.exponent + layer.accumulator[FX_FORWARD].shift;
    node->y.exponent = y.exponent;
    trace(s, node, "sum.forward", &y);
    *input = y;
}

// Always 32-bit lanes of Philox.
static FxRandom dropout_random(const FxStep *s, const FxNode *node) {
    FxRandom random = fx_step_random(s, node, FX_ROLE_DROPOUT);
    random.source = fx_random_source(0);
    random.lane_bits = 32;
    return random;
}

static void forward_map(const FxStep *s, FxNode *node, FxTensor *input) {
    FxTensor y = first_images(&node->y, node->layer.out, s->images);
    FxTensor saved = first_images(&node->layer.saved, node->layer.out, s->images);
    FxRandom random = dropout_random(s, node);
    FxLayer layer = node->layer;
    if (layer.ops == &fx_dropout_ops && s->evaluation) // the identity: it works in place
        return;
    layer.random = &random;
    node->y.exponent = y.exponent = input->exponent + layer.gain;
    layer.ops->forward(&layer, input, &y, &s->net->work, NULL);
    trace(s, node, layer.ops->name, &y);
    trace(s, node, layer.ops->saved, &saved);
    *input = y;
}

// From the batch's bytes to the outputs.
static FxTensor forward(const FxStep *s) {
    FxNet *net = s->net;
    FxTensor t = first_images(&net->image_codes, net->shape, s->images);
    quantise_weights(s);
    fx_input_codes(s, &t);
    trace(s, fx_net_product(net, 0), "input", &t);
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

// The answers, and where e is not NULL the error. Of integers it is exact, and the loss scale, a power of two, in its exponent.
static void answer(const FxStep *s, const FxTensor *sums, FxTensor *e) {
    FxNet *net = s->net;
    FxNode *node = output_node(net);
    const FxLossRule *rule = fx_loss_rule(net->loss);
    FxScalar scale = s->loss_scale.mantissa ? s->loss_scale : (FxScalar){1 << 14, -14};
    FxTensor out = *sums;
    if (layer_config(s, node)->site[FX_SITE_LOGITS].on || (net->logits.data && net->logits.type == FX_FLOAT32)) { // a float loss reads floats
        bool clip = layer_config(s, node)->site[FX_SITE_LOGITS].clip && e;
        FxSource source = {.x = sums, .pass = clip ? net->logits_pass.data : NULL};
        out = net->logits;
        out.count = sums->count;
        fx_site_cast(s, node, FX_SITE_LOGITS, &source, &out);
    }
    trace(s, node, "logits", &out);
    s->totals->images += (uint64_t)s->images;
    FxLossCall call = {.out = &out, .labels = net->batch_labels, .classes = net->classes, .one = target(out.exponent), .scale = scale,
                       .batch = s->config->batch, .cpu = net->work.cpu, .e = e, .answers = &s->totals->answers, .loss = &s->totals->loss};
    if (net->loss_error.type == FX_FLOAT32) {
        rule->floats(&call);
        return;
    }
    if (!rule->has_exponent)
        s->totals->lost_targets += out.exponent > 0 || out.exponent < FX_LEAST_OUTPUT_EXPONENT;
    rule->integers(&call);
    if (e)
        e->exponent = (rule->has_exponent ? rule->exponent : out.exponent) + scale.exponent + 14;
}

// Q_E of an error, and of its copy for the gradient product, to the buffers of the node at which it stands.
static void round_error(const FxStep *s, FxNode *owner, FxNode *at, const FxTensor *source_error, FxTensor *e, FxTensor *copy) {
    FxSource source = {.x = source_error};
    *e = first_images(&at->e, at->layer.out, s->images);
    fx_site_cast(s, owner, FX_SITE_ERROR, &source, e);
    trace(s, at, "error.quantised", e);
    *copy = (FxTensor){0};
    if (!has_copy(s, owner, FX_SITE_ERROR_GRAD))
        return;
    *copy = first_images(&at->e_grad, at->layer.out, s->images);
    fx_site_cast(s, owner, FX_SITE_ERROR_GRAD, &source, copy);
    trace(s, at, "error.grad.quantised", copy);
}

static void mask_errors(const FxStep *s, const FxTensor *e, const FxTensor *copy, const uint8_t *pass, uint64_t *masked) {
    uint64_t again;
    fx_apply_mask(s, e, pass, masked);
    if (copy->data)
        fx_apply_mask(s, copy, pass, &again);
}

// Q_E of the outputs' error, then, where the logits are quantised, their clip mask.
static void output_error(const FxStep *s, FxTensor *loss_error) {
    FxNode *node = output_node(s->net);
    const FxLayerConfig *c = layer_config(s, node);
    FxTensor e, copy;
    trace(s, node, "logits.error", loss_error);
    round_error(s, node, node, loss_error, &e, &copy);
    if (c->site[FX_SITE_LOGITS].on && c->site[FX_SITE_LOGITS].clip)
        mask_errors(s, &e, &copy, s->net->logits_pass.data, &node->site[FX_SITE_LOGITS].stats.masked);
    node->e.exponent = e.exponent;
    node->e_grad.exponent = copy.exponent;
}

// Back through the maps between a product and the one that owns the error.
static int to_owner(const FxStep *s, FxNode *map, const FxNode *owner, FxTensor e, bool copy) {
    FxNet *net = s->net;
    for (FxNode *n = map; n != owner; n = &net->nodes[n->input]) {
        const FxNode *input = &net->nodes[n->input];
        FxTensor below = first_images(copy ? &input->e_grad : &input->e, n->layer.in, s->images);
        n->layer.ops->backward_data(&n->layer, &e, &below, &net->work, NULL);
        below.exponent = e.exponent + n->layer.gain;
        e = below;
    }
    return e.exponent;
}

// dx of a product on its way to the product before: clip mask and Q_E, in the order that error.at says; then the maps.
static void hand_down(const FxStep *s, FxNode *node, FxTensor *dx) {
    FxNet *net = s->net;
    FxNode *map = &net->nodes[node->input], *owner = fx_net_product(net, map->id - 1);
    const uint8_t *pass = layer_config(s, node)->site[FX_SITE_ACTIVATION].clip ? node->pass.data : NULL;
    uint64_t *masked = &node->site[FX_SITE_ACTIVATION].stats.masked;
    bool before = layer_config(s, owner)->error_before_masks;
    FxTensor e, copy;
    if (pass && !before)
        fx_apply_mask(s, dx, pass, masked);
    round_error(s, owner, map, dx, &e, &copy);
    if (pass && before)
        mask_errors(s, &e, &copy, pass, masked);
    owner->e.exponent = to_owner(s, map, owner, e, false);
    if (copy.data)
        owner->e_grad.exponent = to_owner(s, map, owner, copy, true);
}

// Of integers: in the unit of dW, which is 2^x's of it.
static void bias_gradient(const FxStep *s, FxNode *node, const FxTensor *x, const FxTensor *e) {
    size_t weights = node->layer.weights, co = node->layer.bias.count;
    FxTensor db = {fx_tensor_at(&node->dw, weights), FX_FLOAT32, co, 0};
    if (node->dw.type == FX_FLOAT32) {
        fx_bias_gradient(e, &db, &s->net->work);
        return;
    }
    int shift = layer_config(s, node)->accumulator[FX_GRADIENT].shift;
    fx_bias_gradient(e, &node->db, &s->net->work);
    for (size_t c = 0; c < co; c++)
        fx_tensor_set(&node->dw, weights + c, fx_tensor_get(&node->db, c) * (INT64_C(1) << -x->exponent) >> shift);
}

// dW, and behind it the gradient of the bias; then Q_G.
static void weight_gradient(const FxStep *s, FxNode *node) {
    FxRandom random;
    FxTensor e = first_images(has_copy(s, node, FX_SITE_ERROR_GRAD) ? &node->e_grad : &node->e, node->layer.out, s->images);
    FxTensor x = first_images(has_copy(s, node, FX_SITE_ACTIVATION_GRAD) ? &node->x_grad : &node->x, node->layer.in, s->images);
    FxTensor dw = node->dw;
    FxLayer layer = ready(s, node, FX_GRADIENT, &random);
    dw.count = layer.weights;
    layer.ops->backward_weights(&layer, &x, &e, &dw, &s->net->work, counts_of(s, node, FX_GRADIENT));
    if (dw.type != FX_FLOAT32)
        node->dw.exponent = dw.exponent = x.exponent + e.exponent + layer.accumulator[FX_GRADIENT].shift;
    if (layer.bias.count)
        bias_gradient(s, node, &x, &e);
    trace(s, node, "sum.gradient", &node->dw);
    if (has_copy(s, node, FX_SITE_ERROR_GRAD))
        trace(s, node, "error.grad", &e);
    FxSource source = {.x = &node->dw};
    if (!node->g.data)
        return;
    fx_site_cast(s, node, FX_SITE_GRADIENT, &source, &node->g);
    trace(s, node, "gradient", &node->g);
}

static void backward_product(const FxStep *s, FxNode *node) {
    FxRandom random;
    FxTensor e = first_images(&node->e, node->layer.out, s->images);
    trace(s, node, "error", &e);
    weight_gradient(s, node);
    if (node->name.first)
        return;
    FxTensor dx = first_images(&node->dx, node->layer.in, s->images);
    FxLayer layer = ready(s, node, FX_ERROR, &random);
    if (has_copy(s, node, FX_SITE_WEIGHT_BACK))
        layer.weight = node->weight_back;
    layer.ops->backward_data(&layer, &e, &dx, &s->net->work, counts_of(s, node, FX_ERROR));
    if (dx.type != FX_FLOAT32)
        dx.exponent = e.exponent + layer.weight.exponent + layer.accumulator[FX_ERROR].shift;
    trace(s, node, "sum.error", &dx);
    hand_down(s, node, &dx);
}

static void forget_last_step(FxNet *net) {
    for (int p = 0; p < net->product_count; p++)
        for (int i = 0; fx_site_info(i); i++) {
            FxSiteState *state = &fx_net_product(net, p)->site[fx_site_info(i)->site];
            state->last = (FxStats){0};
            state->last_changed = 0;
        }
}

void fx_step_train(const FxStep *step) {
    bool fired = false;
    FxStep with = *step; // the trigger is of one step
    const FxStep *s = &with;
    FxNet *net = s->net;
    with.fired = &fired;
    forget_last_step(net);
    FxTensor sums = forward(s);
    FxTensor e = net->loss_error;
    e.count = sums.count;
    answer(s, &sums, &e);
    output_error(s, &e);
    for (int p = net->product_count - 1; p >= 0; p--)
        backward_product(s, fx_net_product(net, p));
    for (int p = 0; !fired && p < net->product_count; p++) {
        FxNode *node = fx_net_product(net, p);
        fx_update(s, node);
        trace(s, node, "store.after", &node->store);
    }
    s->totals->skipped_steps += fired;
    net->updates += !fired;
    if (step->fired)
        *step->fired = fired;
}

void fx_step_evaluate(const FxStep *s) {
    FxTensor sums = forward(s);
    answer(s, &sums, NULL);
}
