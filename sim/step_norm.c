// Norms and additions in a step. Integers: layers/norm.h and layers/add.h, whose results the sites round; float32: the norm in
// pieces, so that mean, scale and xhat may be rounded between them.
#include "layers/add.h"
#include "layers/norm_f32.h"
#include "sim/step_parts.h"

#include <string.h>

static FxNode *gamma_of(const FxNode *node) { return &node->norm->parameter[0]; }
static FxNode *beta_of(const FxNode *node) { return &node->norm->parameter[1]; }

void fx_step_norm_operands(const FxStep *s, FxNode *node) {
    for (int which = 0; which < 2; which++) {
        FxNode *p = &node->norm->parameter[which];
        FxSite site = which ? FX_SITE_NORM_BETA : FX_SITE_NORM_GAMMA;
        FxSource source = {.x = &p->store};
        fx_step_trace(s, p, "store.before", &p->store);
        fx_site_cast(s, p, site, &source, &p->layer.weight);
        fx_step_trace(s, p, fx_site(site)->name, &p->layer.weight);
    }
}

static FxNormRunning running_of(const FxNormNode *norm) {
    return (FxNormRunning){norm->running[0].data, norm->running[1].data, (int)norm->running_state[1], norm->running_state[0] != 0};
}

static void forward_integers(const FxStep *s, FxNode *node, const FxTensor *x, FxTensor *y) {
    FxNormNode *norm = node->norm;
    const FxTensor *gamma = &gamma_of(node)->layer.weight, *beta = &beta_of(node)->layer.weight;
    const size_t channels = gamma->count;
    FxNormRunning running = running_of(norm);
    y->exponent = FX_NORM_EXPONENT;
    if (s->evaluation && running.begun) {
        fx_norm_infer(&norm->rule, x, norm->x_exponents, gamma, beta, &running, channels, y, &s->net->work);
        return;
    }
    fx_norm_forward(&norm->rule, norm->range_constant, x, gamma, beta, norm->channels, channels, y, &s->net->work);
    if (s->evaluation)
        return;
    fx_norm_average(&norm->rule, x, norm->x_exponents, norm->channels, channels, &running);
    norm->running_state[0] = running.begun;
    norm->running_state[1] = running.exponent;
    uint64_t floored = 0;
    for (size_t c = 0; c < channels; c++)
        floored += norm->channels[c].floored;
    node->site[FX_SITE_PREACT].floored += floored;
    node->site[FX_SITE_PREACT].last_floored = floored;
}

static FxNormAverageF32 average_of(const FxNormRule *rule) {
    return rule->average_pytorch ? (FxNormAverageF32){0.1f, false, true} : fx_norm_average_of_rule(rule);
}

// Rounds a norm's numbers in place, where the site is on.
static void round_in_place(const FxStep *s, FxNode *node, FxSite site, FxTensor *t, size_t channels) {
    FxSource source = {.x = t, .channels = channels};
    if (!fx_step_layer(s, node)->site[site].on)
        return;
    fx_site_cast(s, node, site, &source, t);
    fx_step_trace(s, node, fx_site(site)->name, t);
}

static void forward_floats(const FxStep *s, FxNode *node, const FxTensor *x, FxTensor *y) {
    FxNormNode *norm = node->norm;
    const FxWork *work = &s->net->work;
    const FxTensor *gamma = &gamma_of(node)->layer.weight, *beta = &beta_of(node)->layer.weight;
    const FxNormAverageF32 average = average_of(&norm->rule);
    const size_t channels = gamma->count;
    if (s->evaluation && norm->running_state[0]) {
        fx_norm_infer_f32(&norm->rule, &average, x, &norm->running[0], &norm->running[1], gamma, beta, y, work);
        return;
    }
    fx_norm_mean_f32(x, &norm->mean, work);
    round_in_place(s, node, FX_SITE_NORM_MEAN, &norm->mean, channels);
    fx_norm_scale_f32(&norm->rule, x, &norm->mean, &norm->scale, work);
    round_in_place(s, node, FX_SITE_NORM_SCALE, &norm->scale, channels);
    if (fx_step_layer(s, node)->site[FX_SITE_NORM_XHAT].on) {
        FxTensor xhat = fx_step_images(&norm->xhat, node->layer.out, s->images);
        fx_norm_xhat_f32(x, &norm->mean, &norm->scale, &xhat, work);
        round_in_place(s, node, FX_SITE_NORM_XHAT, &xhat, channels);
        fx_norm_affine_f32(&norm->rule, &xhat, gamma, beta, y, work);
    } else {
        fx_norm_apply_f32(&norm->rule, x, &norm->mean, &norm->scale, gamma, beta, y, work);
    }
    if (s->evaluation)
        return;
    fx_norm_average_f32(&norm->rule, &average, &norm->mean, &norm->scale, x->count / channels, norm->running_state[0] != 0, &norm->running[0],
                        &norm->running[1]);
    norm->running_state[0] = 1;
}

void fx_step_norm(const FxStep *s, FxNode *node, const FxTensor *input) {
    FxTensor x = fx_step_images(&node->x, node->layer.in, s->images), y = fx_step_images(&node->y, node->layer.out, s->images);
    const bool apart = fx_site_is_channel(&fx_step_layer(s, node)->site[FX_SITE_PREACT]);
    FxSource source = {.x = input, .exponents = apart ? node->norm->x_exponents : NULL, .channels = (size_t)node->layer.in.c};
    int32_t *exponents = node->norm->x_exponents, *kept = node->norm->x_kept.data;
    if (exponents)
        memcpy(exponents, kept, source.channels * sizeof *kept);
    fx_site_cast(s, node, FX_SITE_PREACT, &source, &x);
    node->x.exponent = x.exponent;
    for (size_t c = 0; exponents && !apart && c < source.channels; c++)
        exponents[c] = x.exponent;
    if (exponents && !s->evaluation)
        memcpy(kept, exponents, source.channels * sizeof *kept);
    fx_step_trace(s, node, "preact", &x);
    if (node->norm->integers)
        forward_integers(s, node, &x, &y);
    else
        forward_floats(s, node, &x, &y);
    node->y.exponent = y.exponent;
    fx_step_trace(s, node, "norm", &y);
}

// Returns whether norm->seen holds what is in t.
static bool back_integers(const FxStep *s, FxNode *node, const FxTensor *x, const FxTensor *gy, FxTensor *t) {
    FxNormNode *norm = node->norm;
    FxNode *gamma = gamma_of(node), *beta = beta_of(node);
    const size_t channels = gamma->store.count;
    const bool sees = fx_norm_backward(&norm->rule, norm->range_constant, x, norm->x_exponents, gy, NULL, norm->channels, channels, t, norm->seen,
                                       &s->net->work);
    for (size_t c = 0; c < channels; c++) {
        const FxNormChannel *channel = &norm->channels[c];
        norm->multiplier[c] = channel->multiplier;
        norm->exponent[c] = channel->exponent;
        fx_tensor_set(&gamma->dw, c, channel->dgamma);
        fx_tensor_set(&beta->dw, c, channel->dbeta);
        gamma->dw_exponents[c] = gy->exponent - channel->k;
        beta->dw_exponents[c] = gy->exponent;
    }
    return sees;
}

void fx_step_norm_back(const FxStep *s, FxNode *node) {
    FxNormNode *norm = node->norm;
    FxNode *gamma = gamma_of(node), *beta = beta_of(node);
    FxTensor x = fx_step_images(&node->x, node->layer.in, s->images), gy = fx_step_images(&node->e, node->layer.out, s->images);
    FxTensor dx = fx_step_images(&node->dx, node->layer.in, s->images);
    FxUnits units = {norm->multiplier, norm->exponent, NULL};
    fx_step_trace(s, node, "preact-error", &gy);
    if (norm->integers)
        units.seen = back_integers(s, node, &x, &gy, &dx) ? norm->seen : NULL;
    else
        fx_norm_backward_f32(&norm->rule, &x, &norm->mean, &norm->scale, &gamma->layer.weight, &gy, &gamma->dw, &beta->dw, &dx, &s->net->work);
    fx_step_trace(s, node, "norm.back", &dx);
    fx_step_gradient(s, gamma);
    fx_step_gradient(s, beta);
    fx_step_hand_down(s, node, node->input, &dx, norm->integers ? &units : NULL, NULL, NULL);
}

// One operand of an addition: a product's own sums may be rounded first.
static FxTensor operand(const FxStep *s, FxNode *node, int which) {
    FxNode *from = &s->net->nodes[which ? node->shortcut : node->input];
    FxTensor y = fx_step_images(&from->y, from->layer.out, s->images), *rounded = which ? &node->x_grad : &node->x;
    if (!rounded->data)
        return y;
    FxTensor codes = fx_step_images(rounded, from->layer.out, s->images);
    FxSource source = {.x = &y, .channels = (size_t)from->layer.out.c};
    fx_site_cast(s, from, FX_SITE_PREACT, &source, &codes);
    fx_step_trace(s, from, "preact", &codes);
    return codes;
}

void fx_step_add(const FxStep *s, FxNode *node) {
    const FxTensor a = operand(s, node, 0), b = operand(s, node, 1);
    const size_t channels = (size_t)node->layer.out.c;
    const FxAddend parts[] = {{.x = &a}, {.x = &b}};
    FxTensor y = fx_step_images(&node->y, node->layer.out, s->images);
    FxTensor sum = node->sum.data ? fx_step_images(&node->sum, node->layer.out, s->images) : y;
    if (sum.type == FX_FLOAT32)
        fx_add_f32(parts, 2, &sum, &s->net->work);
    else
        fx_add(parts, 2, &sum, &sum.exponent, &s->net->work);
    fx_step_trace(s, node, "add", &sum);
    node->y.exponent = sum.exponent;
    if (!node->sum.data)
        return;
    FxSource source = {.x = &sum, .channels = channels};
    fx_site_cast(s, node, FX_SITE_SUM, &source, &y);
    node->y.exponent = y.exponent;
    fx_step_trace(s, node, "sum", &y);
}

// Both operands receive the error as it is.
void fx_step_add_back(const FxStep *s, FxNode *node) {
    FxTensor e = fx_step_images(&node->e, node->layer.out, s->images);
    const int operands[] = {node->input, node->shortcut};
    fx_step_trace(s, node, "preact-error", &e);
    for (int k = 0; k < 2; k++)
        fx_step_hand_down(s, node, operands[k], &e, NULL, NULL, NULL);
}
