#include "sim/net_planner.h"

#include "layers/accumulator_f32.h"
#include "layers/loss.h"

#include <stdio.h>
#include <string.h>

FxOperands fx_operands(const FxNode *node, FxProductKind kind) {
    const FxTensor *x = kind == FX_GRADIENT && node->x_grad.count ? &node->x_grad : &node->x;
    const FxTensor *e = kind == FX_GRADIENT && node->e_grad.count ? &node->e_grad : &node->e;
    const FxTensor *w = kind != FX_ERROR ? &node->layer.weight : node->weight_aligned.count ? &node->weight_aligned
                        : node->weight_back.count ? &node->weight_back : &node->layer.weight;
    return (FxOperands){kind == FX_ERROR ? e : x, kind == FX_GRADIENT ? e : w, kind == FX_FORWARD ? &node->y : kind == FX_ERROR ? &node->dx : &node->dw};
}

static const char *layer_name(const Planner *p, int index) {
    return fx_net_product(p->net, index)->name.name;
}

static bool is_made(const Planner *p, int index, FxProductKind kind) {
    return kind != FX_ERROR || !fx_net_product(p->net, index)->name.first;
}

size_t fx_product_terms(const FxLayer *l, FxProductKind kind) {
    size_t taps = (size_t)l->kernel * (size_t)l->kernel;
    return kind == FX_FORWARD ? l->fan_in : kind == FX_ERROR ? taps * (size_t)l->out.c : (size_t)l->out.h * (size_t)l->out.w * (size_t)l->out.n;
}

int fx_product_bits(const FxLayer *l, FxProductKind kind) {
    int bits = 1; // the sign
    uint64_t terms = fx_product_terms(l, kind) + (kind == FX_FORWARD ? l->bias_terms : 0);
    for (unsigned __int128 x = (unsigned __int128)terms * l->max_product[kind]; x; x >>= 1)
        bits++;
    return bits;
}

// The text of a site in the first phase that has codes above `most`.
static int refuse_width(const Planner *p, int index, FxSite site, uint64_t most, const char *why) {
    char text[FX_QUANTISER_TEXT];
    uint64_t max;
    FxType type = fx_carrier(p->config, index, site, &max);
    if (type == FX_FLOAT32 || (max <= most && fx_type_size(type) <= 4))
        return 0;
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxSiteConfig *s = &p->config->phases[i].layers[index].site[site];
        fx_quantiser_print(text, &s->q);
        if (s->on && ((uint64_t)fx_grid_high(&s->q.grid) > most || fx_type_size(fx_quantiser_type(&s->q)) > 4))
            break;
    }
    return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.q = %s: %s", layer_name(p, index), fx_site(site)->name, text, why);
}

// Whether an error that is rounded for the product at node i comes as float32: past the maps above it.
static bool error_is_float(const FxNet *net, int i) {
    bool floats = fx_error_source_is_float(net, i);
    for (int k = 0; k < net->nodes[i].reader_count; k++) {
        int r = net->nodes[i].readers[k];
        if (net->nodes[r].layer.ops->role == FX_ROLE_MAP)
            floats |= error_is_float(net, r);
    }
    return floats;
}

// Whether what a site rounds comes as float32.
static bool source_is_float(const Planner *p, int index, FxSite site) {
    const FxConfig *c = p->config;
    const FxNode *node = fx_net_product(p->net, index);
    switch (site) {
    case FX_SITE_INPUT: return fx_image_is_float(c);
    case FX_SITE_WEIGHT: case FX_SITE_WEIGHT_BACK: case FX_SITE_BIAS: return fx_carrier(c, index, FX_SITE_STORE, NULL) == FX_FLOAT32;
    case FX_SITE_ACTIVATION: case FX_SITE_ACTIVATION_GRAD: return index ? p->net->nodes[node->input].y.type == FX_FLOAT32 : fx_image_is_float(c);
    case FX_SITE_ERROR: case FX_SITE_ERROR_GRAD: return error_is_float(p->net, p->net->products[index]);
    case FX_SITE_LOGITS: return fx_product_is_float(c, index, FX_FORWARD);
    case FX_SITE_GRADIENT: return fx_product_is_float(c, index, FX_GRADIENT);
    case FX_SITE_PREACT: case FX_SITE_PREACT_ERROR: case FX_SITE_SUM: case FX_SITE_SUM_ERROR:
        return true; // of integers and floats alike: nothing there may ask for integers alone
    default: return !c->update.lsb && !fx_update_is_integer(c, index, FX_SITE_STORE, FX_SITE_GRADIENT);
    }
}

int fx_check_roundings(const Planner *p, int index) {
    for (int i = 0; i < p->config->phase_count; i++)
        for (int line = 0; fx_site_info(line); line++) {
            const FxSiteInfo *info = fx_site_info(line);
            const FxSiteConfig *site = &p->config->phases[i].layers[index].site[info->site];
            bool here = fx_site_of(info->site, &fx_net_product(p->net, index)->name) && site->on && (!info->parent || site->is_set);
            if (here && (fx_rounding_mode(&site->q.rounding)->needs & FX_ROUND_INTEGER) && source_is_float(p, index, info->site))
                return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.rounding = %s: it exists for integers alone, and what is rounded here are floats",
                               layer_name(p, index), info->name, fx_rounding_mode(&site->q.rounding)->name);
        }
    return 0;
}

int fx_check_operands(const Planner *p, int index) {
    const uint64_t exact = UINT64_C(1) << 24;
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        bool floats = fx_product_is_float(p->config, index, (FxProductKind)kind);
        const FxSite sites[] = {fx_left_site(p->config, index, (FxProductKind)kind), fx_right_site(p->config, index, (FxProductKind)kind)};
        for (int i = 0; is_made(p, index, (FxProductKind)kind) && i < 2; i++)
            if (refuse_width(p, index, sites[i], floats ? exact : INT32_MAX, floats ? "beside floats codes of at most 24 bits and a sign are exact"
                                                                                    : "products read signed codes of at most 32 bits"))
                return -1;
    }
    if (p->config->update.lsb || fx_update_is_integer(p->config, index, FX_SITE_STORE, FX_SITE_GRADIENT))
        return 0;
    const FxSite kept[] = {FX_SITE_STORE, FX_SITE_GRADIENT, FX_SITE_MOMENTUM};
    for (int i = 0; i < 3; i++)
        if (refuse_width(p, index, kept[i], exact, "an update in float32 reads codes of at most 24 bits and a sign"))
            return -1;
    return 0;
}

// The exponent of a quantiser's codes where it does not follow the data.
static bool fixed_exponent(const FxSiteConfig *site, int alpha, int *exponent) {
    const FxScaleRule *rule = site->q.scale.rule;
    FxScaleInput in = {.max_abs = 1, .alpha = alpha};
    *exponent = 0;
    if (rule->observe)
        return false;
    *exponent = rule->choose(&site->q.scale, &site->q.grid, &in).exponent;
    return !rule->needs_maximum || rule->discards;
}

static int plan_product_sums(const Planner *p, int index, FxProductKind kind, size_t k, FxType *sums) {
    const FxNode *node = fx_net_product(p->net, index);
    bool floats = fx_product_is_float(p->config, index, kind);
    char what[64];
    snprintf(what, sizeof what, "%s, %s product", node->name.name, fx_product_names[kind]);
    *sums = floats ? FX_FLOAT32 : FX_INT32;
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxAccumulator *acc = &p->config->phases[i].layers[index].accumulator[kind];
        FxType type = FX_FLOAT32;
        int width = fx_random_width(&(FxRandom){p->config->source, p->config->lane_bits, {0}});
        if (floats ? fx_accumulator_check_f32(acc, width, what, p->err)
                   : fx_accumulator_type(&type, acc, k, node->layer.max_product[kind], what, p->err))
            return -1;
        *sums = fx_wider_type(*sums, type);
    }
    return 0;
}

// The exponent of a site's codes where it is the same in all phases and follows no data.
static bool constant_exponent(const Planner *p, int index, FxSite site, int *exponent) {
    for (int i = 0; i < p->config->phase_count; i++) {
        int here;
        const FxSiteConfig *s = &p->config->phases[i].layers[index].site[site];
        if (!fx_site_is_integer(s) || !fixed_exponent(s, fx_net_product(p->net, index)->alpha, &here) || (i && here != *exponent))
            return false;
        *exponent = here;
    }
    return true;
}

// A bias of integers: exponents that follow no data, so that its place in the sums is known. *addends: as many largest
// products as the bias may add up to; *unit: what its gradient is multiplied by to have the unit of the weights' gradient.
static int plan_bias(const Planner *p, int index, uint64_t *addends, uint64_t *unit) {
    const FxNode *node = fx_net_product(p->net, index);
    FxSite read = fx_left_site(p->config, index, FX_FORWARD);
    int x, w, b;
    uint64_t max_bias, max_product = node->layer.max_product[FX_FORWARD];
    fx_carrier(p->config, index, FX_SITE_BIAS, &max_bias);
    bool known = constant_exponent(p, index, read, &x) && constant_exponent(p, index, FX_SITE_WEIGHT, &w) && constant_exponent(p, index, FX_SITE_BIAS, &b);
    if (!known || x > 0 || x < -40 || b < x + w || b - x - w > 40 || max_bias >> 20 || fx_has_copy(p->config, index, FX_SITE_ACTIVATION_GRAD))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: run.bias = yes behind a product of integers: bias.q must name a fixed grid of at most 20 bits, no finer than "
                       "the sums, and what the product reads must be fixed grids of constant scale", node->name.name);
    *addends = ((max_bias << (b - x - w)) + max_product - 1) / max_product;
    *unit = UINT64_C(1) << -x;
    return 0;
}

static uint64_t most_of(const Planner *p, int index, FxSite site, uint64_t max_error) {
    uint64_t max;
    fx_carrier(p->config, index, site, &max);
    return site == FX_SITE_ERROR ? max_error : max;
}

int fx_plan_sums(const Planner *p, int index, uint64_t max_error, FxType sums[FX_PRODUCTS]) {
    FxNode *node = fx_net_product(p->net, index);
    FxLayer *l = &node->layer;
    size_t k[FX_PRODUCTS];
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        FxProductKind product = (FxProductKind)kind;
        uint64_t left = most_of(p, index, fx_left_site(p->config, index, product), max_error), addends = 0, unit = 0;
        bool biased = p->config->bias && !fx_product_is_float(p->config, index, FX_FORWARD);
        k[kind] = fx_product_terms(l, product);
        l->max_product[kind] = left * most_of(p, index, fx_right_site(p->config, index, product), max_error);
        if (kind == FX_ERROR && fx_has_integer_channels(p->config, index, FX_SITE_ERROR)) // weights are moved up by as much
            l->max_product[kind] <<= FX_ERROR_SPREAD;
        if (biased && kind != FX_ERROR && plan_bias(p, index, &addends, &unit))
            return -1;
        if (biased && kind == FX_FORWARD)
            k[kind] += l->bias_terms = addends;
        if (biased && kind == FX_GRADIENT && unit > left)
            l->max_product[kind] = l->max_product[kind] / left * unit;
        sums[kind] = FX_INT32;
        if (is_made(p, index, product) && plan_product_sums(p, index, product, k[kind], &sums[kind]))
            return -1;
    }
    FxSite error = fx_right_site(p->config, index, FX_GRADIENT);
    if (p->config->bias && sums[FX_GRADIENT] == FX_FLOAT32 && fx_carrier(p->config, index, error, NULL) != FX_FLOAT32)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: run.bias = yes: %s holds integers while the gradient is float32; give it a float format", layer_name(p, index),
                       fx_site(error)->name);
    if (p->config->bias && (sums[FX_FORWARD] == FX_FLOAT32) != (sums[FX_GRADIENT] == FX_FLOAT32))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: run.bias = yes: the forward and the gradient product must both add up integers or both floats",
                       node->name.name);
    unsigned __int128 update = (unsigned __int128)k[FX_GRADIENT] * l->max_product[FX_GRADIENT] << 15;
    if (p->config->update.lsb && sums[FX_GRADIENT] == FX_FLOAT32)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s, gradient product: update.rate-unit = lsb needs sums of integers", node->name.name);
    if (p->config->update.lsb && update >= (unsigned __int128)1 << 62)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: gradient times rate needs more than 62 bits; use fewer bits or a smaller batch",
                       node->name.name);
    return 0;
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

// Elements of a site's blocks in a phase, 0: none.
static int block_of(const FxLayerConfig *c, FxSite site) {
    return c->site[site].on && fx_scale_is_mx(&c->site[site].q.scale) ? c->site[site].q.scale.block : 0;
}

static int chunk_product(const Planner *p, int index, FxProductKind kind, FxLayerConfig *c) {
    const FxNode *node = fx_net_product(p->net, index);
    FxSite sites[] = {fx_left_site(p->config, index, kind), fx_right_site(p->config, index, kind)};
    int blocks[] = {block_of(c, sites[0]), block_of(c, sites[1])}, block = blocks[0] ? blocks[0] : blocks[1];
    int axis = kind == FX_FORWARD ? node->layer.image.c : kind == FX_ERROR ? node->layer.out.c : node->layer.out.n;
    FxAccumulator *acc = &c->accumulator[kind];
    if (!block)
        return 0;
    for (int i = 0; i < 2; i++) {
        bool along = kind == FX_FORWARD || (kind == FX_ERROR && i == 0) || sites[i] == FX_SITE_WEIGHT_BACK || sites[i] == FX_SITE_ACTIVATION_GRAD ||
                     sites[i] == FX_SITE_ERROR_GRAD;
        if (blocks[i] && !along)
            return fx_fail(p->err, FX_EXIT_USAGE, "%s, %s product: blocks of %s do not run along its sum: set a copy, %s", node->name.name,
                           fx_product_names[kind], fx_site(sites[i])->name,
                           kind == FX_ERROR ? "weight.back.q" : "activation.grad.q and error.grad.q");
    }
    bool batches = kind == FX_GRADIENT && !p->config->drop_last;
    int chunk = block < axis ? block : axis;
    if ((blocks[0] && blocks[1] && blocks[0] != blocks[1]) || axis % chunk || batches || block > 64)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s, %s product: blocks of %d along %d: blocks must be equal, at most 64 and divide what they run along%s",
                       node->name.name, fx_product_names[kind], block, axis, batches ? "; the images need run.drop-last = yes" : "");
    if (kind == FX_GRADIENT)
        acc->order = FX_ORDER_OH_OW_N;
    if (axis == 1) // a chunk of one product is that product, which float32 holds
        return 0;
    if (acc->chunk && acc->chunk != chunk && acc->chunk != fx_accumulator_chunk_f32(&acc->inner, kind == FX_GRADIENT))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: accumulator.%s.chunk = %d: a chunk is one block, here of %d", node->name.name,
                       fx_product_names[kind], acc->chunk, chunk);
    acc->chunk = chunk;
    return 0;
}

int fx_chunk_blocks(const Planner *p, FxConfig *config) {
    for (int i = 0; i < config->phase_count; i++)
        for (int index = 0; index < config->layer_count; index++)
            for (int kind = 0; kind < FX_PRODUCTS; kind++)
                if (is_made(p, index, (FxProductKind)kind) && chunk_product(p, index, (FxProductKind)kind, &config->phases[i].layers[index]))
                    return -1;
    return 0;
}

// ---- loss -----------------------------------------------------------------------------------------------------------

// The number 1.0 must be a code of the outputs. Where their exponent follows the data, the step holds the target instead.
static int check_target(const Planner *p) {
    if (p->net->loss != &fx_sse_ops)
        return 0;
    int last = p->net->product_count - 1;
    const FxNode *node = fx_net_product(p->net, last);
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxLayerConfig *c = &p->config->phases[i].layers[last];
        const FxSiteConfig *x = &c->site[node->name.first ? FX_SITE_INPUT : FX_SITE_ACTIVATION];
        int x_exponent, w_exponent, exponent;
        bool known = fixed_exponent(x, 0, &x_exponent);
        known &= fixed_exponent(&c->site[FX_SITE_WEIGHT], node->alpha, &w_exponent);
        exponent = x_exponent + w_exponent + c->accumulator[FX_FORWARD].shift;
        if (c->site[FX_SITE_LOGITS].on)
            known = fixed_exponent(&c->site[FX_SITE_LOGITS], 0, &exponent);
        int bits = 64 - __builtin_clzll(node->layer.max_product[FX_FORWARD] * node->layer.fan_in | 1);
        if (!c->site[FX_SITE_LOGITS].on && bits > FX_MOST_OUTPUT_BITS)
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: outputs of %d bits; squares of at most %d can be added up for the loss: use "
                           "fewer bits or set logits.q", node->name.name, bits, FX_MOST_OUTPUT_BITS);
        if (known && (exponent > 0 || exponent < FX_LEAST_OUTPUT_EXPONENT))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: the outputs are multiples of 2^%d, the target is 1.0: 2^%d to 2^0 is needed",
                           node->name.name, exponent, FX_LEAST_OUTPUT_EXPONENT);
    }
    return 0;
}

// A recipe that claims integers has no floats.
static int check_claim(const Planner *p, bool integers) {
    const FxConfig *c = p->config;
    if (!c->claims_integer)
        return 0;
    if (!integers)
        return fx_fail(p->err, FX_EXIT_USAGE, "recipe.claim = integer: the loss would run in floats");
    for (int index = 0; index < c->layer_count; index++) {
        for (int kind = 0; kind < FX_PRODUCTS; kind++)
            if (is_made(p, index, (FxProductKind)kind) && fx_product_is_float(c, index, (FxProductKind)kind))
                return fx_fail(p->err, FX_EXIT_USAGE, "%s, %s product: recipe.claim = integer: this one adds up floats", layer_name(p, index),
                               fx_product_names[kind]);
        if (!c->update.lsb && !fx_update_is_integer(c, index, FX_SITE_STORE, FX_SITE_GRADIENT))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: recipe.claim = integer: the update would run in floats; store, gradient and momentum need "
                           "fixed grids of constant scale, so that its sums have a bound", layer_name(p, index));
    }
    return 0;
}

static bool is_power_of_two(FxScalar s) {
    return s.mantissa == 1 << 14;
}

int fx_check_loss(const Planner *p, bool integers) {
    const FxLossScaling *scaling = &p->config->loss_scaling;
    const FxLossRule *rule = fx_loss_rule(p->net->loss);
    int last = p->config->layer_count - 1;
    if (check_claim(p, integers))
        return -1;
    if (!integers)
        return rule->floats ? 0 : fx_fail(p->err, FX_EXIT_USAGE, "loss %s runs on integers alone: fixed grids of one scale a tensor are needed",
                                          p->net->loss->name);
    if (scaling->on && !(is_power_of_two(scaling->value) && (!scaling->dynamic || (is_power_of_two(scaling->growth.factor) &&
                                                                                   is_power_of_two(scaling->backoff) && is_power_of_two(scaling->floor)))))
        return fx_fail(p->err, FX_EXIT_USAGE, "loss-scale: a loss on integers is scaled by powers of two");
    for (int i = 0; rule->needs_int8 && i < p->config->phase_count; i++) {
        const FxSiteConfig *logits = &p->config->phases[i].layers[last].site[FX_SITE_LOGITS];
        if (!logits->on || fx_quantiser_type(&logits->q) != FX_INT8)
            return fx_fail(p->err, FX_EXIT_USAGE, "loss %s reads 8-bit codes: set logits.q, as fixed8@max-ceil/nearest-away", p->net->loss->name);
    }
    return check_target(p);
}
