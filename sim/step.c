// One training step. In the words of WAGE (arXiv 1802.04680), whose authors' code has this order:
//   t = Q_W(w);  forward: x' = Q_A(x), z = x' * t, [max-pool], ReLU;  e = Q_E(loss's error);  for each layer from the last:
//   g = Q_G(x'^T e);  dx = t^T e, clip mask, Q_E, ReLU mask, un-pool;  and when all gradients are there, w <- Q_S(w, g).
// A site that is `none` rounds nothing; a copy of a site rounds the same source once more for one product.
#include "sim/step.h"

#include "layers/bias.h"
#include "sim/input.h"
#include "sim/step_parts.h"
#include "sim/update.h"

#include <assert.h>
#include <string.h>

FxScalar fx_step_rate(const FxStep *s) {
    return fx_rate_at(&fx_step_phase(s)->rate, s->step);
}

// The layer as a product of this step runs it.
static FxLayer ready(const FxStep *s, const FxNode *node, FxProductKind kind, FxRandom *random) {
    FxLayer layer = node->layer;
    memcpy(layer.accumulator, fx_step_layer(s, node)->accumulator, sizeof layer.accumulator);
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

// Q_W: the operands of the forward and error products, and the bias, which follows the weights in the store; norms' parameters.
static void quantise_weights(const FxStep *s) {
    for (int i = 0; i < s->net->count; i++)
        if (s->net->nodes[i].layer.ops->role == FX_ROLE_NORM)
            fx_step_norm_operands(s, &s->net->nodes[i]);
    for (int p = 0; p < s->net->product_count; p++) {
        FxNode *node = fx_net_product(s->net, p);
        FxTensor weights = node->store, bias = node->store;
        FxSource source = {.x = &weights};
        weights.count = node->layer.weights;
        fx_step_trace(s, node, "store.before", &node->store);
        if (reads_store(fx_step_layer(s, node))) {
            memcpy(node->layer.weight.data, weights.data, weights.count * fx_type_size(weights.type));
            node->layer.weight.exponent = weights.exponent;
        } else {
            fx_site_cast(s, node, FX_SITE_WEIGHT, &source, &node->layer.weight);
        }
        fx_step_trace(s, node, "weight", &node->layer.weight);
        if (fx_step_has_copy(s, node, FX_SITE_WEIGHT_BACK) && !s->evaluation) {
            fx_site_cast(s, node, FX_SITE_WEIGHT_BACK, &source, &node->weight_back);
            fx_step_trace(s, node, "weight.back", &node->weight_back);
        }
        if (!node->layer.bias.count)
            continue;
        bias.data = fx_tensor_at(&node->store, weights.count);
        bias.count = node->layer.bias.count;
        source = (FxSource){.x = &bias, .element0 = weights.count};
        fx_site_cast(s, node, FX_SITE_BIAS, &source, &node->layer.bias);
        fx_step_trace(s, node, "bias", &node->layer.bias);
    }
}

// Q_A: what a product reads. The clip mask is taken from the sums, before rounding.
static FxTensor activate(const FxStep *s, FxNode *node, const FxTensor *sums) {
    FxTensor x = fx_step_images(&node->x, node->layer.in, s->images);
    FxTensor pass = fx_step_images(&node->pass, node->layer.in, s->images);
    bool clip = fx_step_layer(s, node)->site[FX_SITE_ACTIVATION].clip && !s->evaluation;
    FxSource source = {.x = sums, .pass = clip ? pass.data : NULL};
    fx_site_cast(s, node, FX_SITE_ACTIVATION, &source, &x);
    node->x.exponent = x.exponent;
    fx_step_trace(s, node, "activation", &x);
    if (clip)
        fx_step_trace(s, node, "activation.clip", &pass);
    if (fx_step_has_copy(s, node, FX_SITE_ACTIVATION_GRAD) && !s->evaluation) {
        FxTensor copy = fx_step_images(&node->x_grad, node->layer.in, s->images);
        source.pass = NULL;
        fx_site_cast(s, node, FX_SITE_ACTIVATION_GRAD, &source, &copy);
        node->x_grad.exponent = copy.exponent;
        fx_step_trace(s, node, "activation.grad", &copy);
    }
    return x;
}

static void forward_product(const FxStep *s, FxNode *node, const FxTensor *input) {
    FxRandom random;
    FxTensor x = node->name.first ? *input : activate(s, node, input);
    FxTensor y = fx_step_images(&node->y, node->layer.out, s->images);
    FxLayer layer = ready(s, node, FX_FORWARD, &random);
    layer.ops->forward(&layer, &x, &y, &s->net->work, counts_of(s, node, FX_FORWARD));
    if (y.type != FX_FLOAT32)
        y.exponent = x.exponent + layer.weight.exponent + layer.accumulator[FX_FORWARD].shift;
    node->y.exponent = y.exponent;
    fx_step_trace(s, node, "sum.forward", &y);
}

// Always 32-bit lanes of Philox.
static FxRandom dropout_random(const FxStep *s, const FxNode *node) {
    FxRandom random = fx_step_random(s, node, FX_ROLE_DROPOUT);
    random.source = fx_random_source(0);
    random.lane_bits = 32;
    return random;
}

static void forward_map(const FxStep *s, FxNode *node, const FxTensor *input) {
    FxTensor y = fx_step_images(&node->y, node->layer.out, s->images);
    FxTensor saved = fx_step_images(&node->layer.saved, node->layer.out, s->images);
    FxRandom random = dropout_random(s, node);
    FxLayer layer = node->layer;
    if (layer.ops == &fx_dropout_ops && s->evaluation) { // the identity
        node->y.exponent = input->exponent;
        if (y.data != input->data)
            memcpy(y.data, input->data, y.count * fx_type_size(y.type));
        return;
    }
    layer.random = &random;
    node->y.exponent = y.exponent = input->exponent + (y.type == FX_FLOAT32 ? 0 : layer.gain);
    layer.ops->forward(&layer, input, &y, &s->net->work, NULL);
    fx_step_trace(s, node, layer.ops->name, &y);
    if (layer.ops->saved)
        fx_step_trace(s, node, layer.ops->saved, &saved);
}

static FxTensor output_of(const FxStep *s, int node, const FxTensor *image) {
    const FxNode *n = node < 0 ? NULL : &s->net->nodes[node];
    return n ? fx_step_images(&n->y, n->layer.out, s->images) : *image;
}

static FxNode *output_node(const FxNet *net) {
    return fx_net_product(net, net->product_count - 1);
}

// From the batch's bytes to the outputs.
static FxTensor forward(const FxStep *s) {
    FxNet *net = s->net;
    FxTensor image = fx_step_images(&net->image_codes, net->shape, s->images);
    quantise_weights(s);
    fx_input_codes(s, &image);
    fx_step_trace(s, fx_net_product(net, 0), "input", &image);
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i];
        FxTensor input = output_of(s, node->input, &image);
        switch (node->layer.ops->role) {
        case FX_ROLE_PRODUCT: forward_product(s, node, &input); break;
        case FX_ROLE_MAP: forward_map(s, node, &input); break;
        case FX_ROLE_NORM: fx_step_norm(s, node, &input); break;
        case FX_ROLE_ADD: fx_step_add(s, node); break;
        default: break;
        }
    }
    return output_of(s, net->products[net->product_count - 1], &image);
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
    if (fx_step_layer(s, node)->site[FX_SITE_LOGITS].on || (net->logits.data && net->logits.type == FX_FLOAT32)) { // a float loss reads floats
        bool clip = fx_step_layer(s, node)->site[FX_SITE_LOGITS].clip && e;
        FxSource source = {.x = sums, .pass = clip ? net->logits_pass.data : NULL};
        out = net->logits;
        out.count = sums->count;
        fx_site_cast(s, node, FX_SITE_LOGITS, &source, &out);
    }
    fx_step_trace(s, node, "logits", &out);
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

// Of integers: in the unit of dW, which is 2^x's of it.
static void bias_gradient(const FxStep *s, FxNode *node, const FxTensor *x, const FxTensor *e) {
    size_t weights = node->layer.weights, co = node->layer.bias.count;
    FxTensor db = {fx_tensor_at(&node->dw, weights), FX_FLOAT32, co, 0};
    if (node->dw.type == FX_FLOAT32) {
        fx_bias_gradient(e, &db, &s->net->work);
        return;
    }
    int shift = fx_step_layer(s, node)->accumulator[FX_GRADIENT].shift;
    fx_bias_gradient(e, &node->db, &s->net->work);
    for (size_t c = 0; c < co; c++)
        fx_tensor_set(&node->dw, weights + c, fx_tensor_get(&node->db, c) * (INT64_C(1) << -x->exponent) >> shift);
}

void fx_step_gradient(const FxStep *s, FxNode *node) {
    const FxUnits units = {NULL, node->dw_exponents, NULL};
    const bool apart = node->dw_exponents && node->dw.type != FX_FLOAT32;
    FxSource source = {.x = &node->dw, .units = apart ? &units : NULL};
    if (!node->g.data)
        return;
    fx_site_cast(s, node, node->gradient_site, &source, &node->g);
    fx_step_trace(s, node, node->gradient_site == FX_SITE_GRADIENT ? "gradient" : fx_site(node->gradient_site)->name, &node->g);
}

// dW, and behind it the gradient of the bias; then Q_G.
static void weight_gradient(const FxStep *s, FxNode *node) {
    FxRandom random;
    FxTensor e = fx_step_images(fx_step_has_copy(s, node, FX_SITE_ERROR_GRAD) ? &node->e_grad : &node->e, node->layer.out, s->images);
    FxTensor x = fx_step_images(fx_step_has_copy(s, node, FX_SITE_ACTIVATION_GRAD) ? &node->x_grad : &node->x, node->layer.in, s->images);
    FxTensor dw = node->dw;
    FxLayer layer = ready(s, node, FX_GRADIENT, &random);
    dw.count = layer.weights;
    layer.ops->backward_weights(&layer, &x, &e, &dw, &s->net->work, counts_of(s, node, FX_GRADIENT));
    if (dw.type != FX_FLOAT32)
        node->dw.exponent = dw.exponent = x.exponent + e.exponent + layer.accumulator[FX_GRADIENT].shift;
    if (layer.bias.count)
        bias_gradient(s, node, &x, &e);
    const int32_t *of_error = fx_step_has_copy(s, node, FX_SITE_ERROR_GRAD) ? node->dw_exponents : node->e_exponents;
    for (int c = 0; node->dw_exponents && node->dw.type != FX_FLOAT32 && c < layer.out.c; c++)
        node->dw_exponents[c] = of_error[c] + x.exponent + layer.accumulator[FX_GRADIENT].shift;
    fx_step_trace(s, node, "sum.gradient", &node->dw);
    if (fx_step_has_copy(s, node, FX_SITE_ERROR_GRAD))
        fx_step_trace(s, node, "error.grad", &e);
    fx_step_gradient(s, node);
}

// w * 2^(E_c - E), E_c the exponent of the error's channel c, E the least of them. Output channels run fastest.
static void align_weights(FxNode *node, const FxTensor *w) {
    const int channels = node->layer.out.c;
    int32_t least = node->e_exponents[0];
    for (int c = 1; c < channels; c++)
        least = node->e_exponents[c] < least ? node->e_exponents[c] : least;
    node->weight_aligned.exponent = w->exponent + least;
    for (size_t i = 0, c = 0; i < node->weight_aligned.count; i++, c = c + 1 < (size_t)channels ? c + 1 : 0)
        fx_tensor_set(&node->weight_aligned, i, fx_tensor_get(w, i) * (INT64_C(1) << (node->e_exponents[c] - least)));
}

static void backward_product(const FxStep *s, FxNode *node) {
    FxRandom random;
    FxTensor e = fx_step_images(&node->e, node->layer.out, s->images);
    fx_step_trace(s, node, "error", &e);
    weight_gradient(s, node);
    if (node->name.first)
        return;
    FxTensor dx = fx_step_images(&node->dx, node->layer.in, s->images);
    FxLayer layer = ready(s, node, FX_ERROR, &random);
    if (fx_step_has_copy(s, node, FX_SITE_WEIGHT_BACK))
        layer.weight = node->weight_back;
    if (node->e_exponents) {
        align_weights(node, &layer.weight);
        layer.weight = node->weight_aligned;
        fx_step_trace(s, node, "weight.aligned", &layer.weight);
    }
    layer.ops->backward_data(&layer, &e, &dx, &s->net->work, counts_of(s, node, FX_ERROR));
    if (dx.type != FX_FLOAT32)
        dx.exponent = (node->e_exponents ? 0 : e.exponent) + layer.weight.exponent + layer.accumulator[FX_ERROR].shift;
    fx_step_trace(s, node, "sum.error", &dx);
    const uint8_t *pass = fx_step_layer(s, node)->site[FX_SITE_ACTIVATION].clip ? node->pass.data : NULL;
    fx_step_hand_down(s, node, node->input, &dx, NULL, pass, &node->site[FX_SITE_ACTIVATION].stats.masked);
}

// From the outputs' error to the gradients.
static void backward(const FxStep *s, FxTensor *loss_error) {
    FxNet *net = s->net;
    fx_step_output_error(s, loss_error);
    for (int i = net->count - 1; i >= 0; i--) {
        FxNode *node = &net->nodes[i];
        if (node->owner < 0) // maps of the image
            continue;
        if (fx_node_is_fork(node))
            fx_step_gather(s, node);
        switch (node->layer.ops->role) {
        case FX_ROLE_PRODUCT: backward_product(s, node); break;
        case FX_ROLE_MAP: fx_step_map_back(s, node); break;
        case FX_ROLE_NORM: fx_step_norm_back(s, node); break;
        case FX_ROLE_ADD: fx_step_add_back(s, node); break;
        default: break;
        }
    }
}

static void forget_last_step(FxNet *net) {
    for (int k = 0; k < net->keeper_count; k++)
        for (int i = 0; fx_site_info(i); i++) {
            FxSiteState *state = &net->keepers[k]->site[fx_site_info(i)->site];
            state->last = (FxStats){0};
            state->last_changed = state->last_floored = 0;
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
    backward(s, &e);
    // a skipped step changes no store; a norm's running statistics are of the forward half, which was sound, and stay moved
    for (int k = 0; !fired && k < net->keeper_count; k++) {
        FxNode *node = net->keepers[k];
        if (!node->store.count)
            continue;
        fx_update(s, node);
        fx_step_trace(s, node, "store.after", &node->store);
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
