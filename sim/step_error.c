// Errors on their way down. What a node hands down is raw; it is rounded where it arrives, at the site of the product, norm or
// addition that owns it: at `error` (and its copy) of a product, at `preact-error` of the others; the maps between pass on codes.
#include "layers/add.h"
#include "sim/step_parts.h"

#include <assert.h>
#include <string.h>

// Of a product's error at one exponent, as of one with an exponent a channel.
static void spread_exponent(int32_t *exponents, size_t channels, int exponent) {
    for (size_t c = 0; exponents && c < channels; c++)
        exponents[c] = exponent;
}

// Q_E of what arrives at node `at`, and its copy for the gradient product. from: the node that handed it down alone; NULL: none.
static void round_error(const FxStep *s, FxNode *at, const FxNode *from, const FxTensor *raw, const FxUnits *units) {
    FxNode *owner = &s->net->nodes[at->owner];
    const bool product = owner->layer.ops->role == FX_ROLE_PRODUCT;
    FxTensor e = fx_step_images(&at->e, at->layer.out, s->images);
    FxSource source = {.x = raw, .units = units, .channels = (size_t)at->layer.out.c,
                       .of_norm = from && from->layer.ops->role == FX_ROLE_NORM};
    const FxSiteConfig *sites = fx_step_layer(s, owner)->site;
    spread_exponent(owner->e_exponents, source.channels, 0); // a channel of zeros needs none
    source.exponents = product && fx_site_is_channel(&sites[FX_SITE_ERROR]) ? owner->e_exponents : NULL;
    fx_site_cast(s, owner, product ? FX_SITE_ERROR : FX_SITE_PREACT_ERROR, &source, &e);
    at->e.exponent = e.exponent;
    if (!source.exponents)
        spread_exponent(owner->e_exponents, source.channels, e.exponent);
    fx_step_trace(s, at, product ? "error.quantised" : "preact-error.quantised", &e);
    if (!product || !fx_step_has_copy(s, owner, FX_SITE_ERROR_GRAD))
        return;
    FxTensor copy = fx_step_images(&at->e_grad, at->layer.out, s->images);
    spread_exponent(owner->dw_exponents, source.channels, 0);
    source.exponents = fx_site_is_channel(&sites[FX_SITE_ERROR_GRAD]) ? owner->dw_exponents : NULL;
    fx_site_cast(s, owner, FX_SITE_ERROR_GRAD, &source, &copy);
    at->e_grad.exponent = copy.exponent;
    if (!source.exponents)
        spread_exponent(owner->dw_exponents, source.channels, copy.exponent);
    fx_step_trace(s, at, "error.grad.quantised", &copy);
}

static void mask_errors(const FxStep *s, const FxNode *at, const uint8_t *pass, uint64_t *masked) {
    uint64_t again;
    FxTensor e = fx_step_images(&at->e, at->layer.out, s->images), copy = fx_step_images(&at->e_grad, at->layer.out, s->images);
    fx_apply_mask(s, &e, pass, masked);
    if (at->e_grad.data)
        fx_apply_mask(s, &copy, pass, &again);
}

void fx_step_output_error(const FxStep *s, FxTensor *loss_error) {
    FxNode *node = fx_net_product(s->net, s->net->product_count - 1);
    const FxSiteConfig *logits = &fx_step_layer(s, node)->site[FX_SITE_LOGITS];
    fx_step_trace(s, node, "logits.error", loss_error);
    round_error(s, node, NULL, loss_error, NULL);
    if (logits->on && logits->clip)
        mask_errors(s, node, s->net->logits_pass.data, &node->site[FX_SITE_LOGITS].stats.masked);
}

void fx_step_hand_down(const FxStep *s, FxNode *from, int to, FxTensor *raw, const FxUnits *units, const uint8_t *pass, uint64_t *masked) {
    FxNode *at = &s->net->nodes[to];
    const FxNode *owner = &s->net->nodes[at->owner];
    bool before = owner->layer.ops->role == FX_ROLE_PRODUCT && fx_step_layer(s, owner)->error_before_masks;
    if (pass && (!before || fx_node_is_fork(at)))
        fx_apply_mask(s, raw, pass, masked);
    if (fx_node_is_fork(at)) {
        from->handed = *raw;
        from->handed_units = units ? *units : (FxUnits){0};
        return;
    }
    round_error(s, at, from, raw, units);
    if (pass && before)
        mask_errors(s, at, pass, masked);
}

void fx_step_gather(const FxStep *s, FxNode *node) {
    FxAddend parts[FX_MOST_READERS];
    FxTensor sum = fx_step_images(&node->fork, node->layer.out, s->images);
    for (int k = 0; k < node->reader_count; k++) {
        const FxNode *r = &s->net->nodes[node->readers[k]];
        parts[k] = (FxAddend){.x = &r->handed, .multiplier = r->handed_units.multiplier, .exponent = r->handed_units.exponent,
                              .channels = r->handed_units.multiplier ? (size_t)node->layer.out.c : 0};
    }
    if (sum.type == FX_FLOAT32)
        fx_add_f32(parts, node->reader_count, &sum, &s->net->work);
    else
        fx_add(parts, node->reader_count, &sum, &sum.exponent, &s->net->work);
    fx_step_trace(s, node, "fork", &sum);
    if (fx_step_layer(s, node)->site[FX_SITE_SUM_ERROR].on) {
        FxTensor codes = fx_step_images(&node->fork_codes, node->layer.out, s->images);
        FxSource source = {.x = &sum, .channels = (size_t)node->layer.out.c};
        fx_site_cast(s, node, FX_SITE_SUM_ERROR, &source, &codes);
        fx_step_trace(s, node, "fork.quantised", &codes);
        sum = codes;
    }
    round_error(s, node, NULL, &sum, NULL);
}

static void copy_back(const FxStep *s, const FxNode *node, const FxTensor *e, FxTensor *below) {
    below->exponent = e->exponent + (e->type == FX_FLOAT32 ? 0 : node->layer.gain);
    node->layer.ops->backward_data(&node->layer, e, below, &s->net->work, NULL);
}

void fx_step_map_back(const FxStep *s, FxNode *node) {
    FxNode *input = &s->net->nodes[node->input];
    FxTensor e = fx_step_images(&node->e, node->layer.out, s->images);
    if (fx_node_is_fork(input)) {
        FxTensor below = fx_step_images(&node->dx, node->layer.in, s->images);
        copy_back(s, node, &e, &below);
        fx_step_hand_down(s, node, node->input, &below, NULL, NULL, NULL);
        return;
    }
    FxTensor below = fx_step_images(&input->e, node->layer.in, s->images);
    copy_back(s, node, &e, &below);
    input->e.exponent = below.exponent;
    FxNode *owner = &s->net->nodes[node->owner];
    for (int c = 0; owner->e_exponents && c < owner->layer.out.c; c++)
        owner->e_exponents[c] += below.exponent - e.exponent;
    if (!node->e_grad.data)
        return;
    FxTensor copy = fx_step_images(&node->e_grad, node->layer.out, s->images);
    below = fx_step_images(&input->e_grad, node->layer.in, s->images);
    copy_back(s, node, &copy, &below);
    input->e_grad.exponent = below.exponent;
    for (int c = 0; owner->dw_exponents && c < owner->layer.out.c; c++) // of error.grad, so far
        owner->dw_exponents[c] += below.exponent - copy.exponent;
}
