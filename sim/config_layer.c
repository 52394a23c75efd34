// Sites and accumulators of a layer in one phase.
#include "sim/config_resolve.h"

#include "layers/accumulator_f32.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FRACTION = 40 }; // of a store: the draw of its weights is exact in 128 bits

typedef struct Printed {
    char text[FX_QUANTISER_TEXT];
} Printed;

static Printed printed(const FxQuantiser *q) {
    Printed p;
    fx_quantiser_print(p.text, q);
    return p;
}

static const char *layer_label(const FxLayerName *layer) {
    return layer ? layer->name : "the net";
}

bool fx_site_of(FxSite site, const FxLayerName *layer) {
    switch (site) {
    case FX_SITE_INPUT: return layer->first;
    case FX_SITE_ACTIVATION: return !layer->first;
    case FX_SITE_LOGITS: return layer->last;
    case FX_SITE_PREACT: return layer->norm || layer->added;
    case FX_SITE_PREACT_ERROR: return layer->norm || layer->add;
    case FX_SITE_SUM: return layer->add;
    case FX_SITE_SUM_ERROR: return layer->fork;
    default: return site < FX_SITE_NORM_MEAN || layer->norm;
    }
}

bool fx_site_is_integer(const FxSiteConfig *site) {
    const FxScale *scale = &site->q.scale;
    return site->on && !site->q.grid.kind->has_patterns && (fx_scale_is_single(scale) || (scale->rule->sample_mean && !scale->group));
}

bool fx_site_is_channel(const FxSiteConfig *site) {
    const FxScaleRule *rule = site->q.scale.rule;
    return site->on && fx_grid_is_fixed(&site->q.grid) && site->q.scale.group == FX_GROUP_CHANNEL && rule->needs_maximum && !rule->real &&
           !rule->observe && !rule->sample_mean && !rule->discards;
}

bool fx_site_is_constant(const FxSiteConfig *site) {
    return site->on && fx_grid_is_fixed(&site->q.grid) && fx_scale_is_constant(&site->q.scale);
}

bool fx_site_has_fixed_steps(const FxSiteConfig *site) {
    const FxScaleRule *rule = site->q.scale.rule;
    return fx_site_is_integer(site) && fx_grid_is_fixed(&site->q.grid) && !rule->needs_maximum && !rule->observe;
}

bool fx_site_has_overflow(const FxSiteConfig *site) {
    return site->on && site->q.scale.rule->observe == fx_overflow_observe;
}

// The path of a part of a site. The first layer's copy for the gradient follows the input, not an activation.
static void part_path(char path[FX_PATH], const Resolver *r, const FxSiteInfo *site, int part, const FxLayerName *layer) {
    snprintf(path, FX_PATH, "%s.%s", site->name, fx_quantiser_parts[part]);
    if (site->site == FX_SITE_ACTIVATION_GRAD && layer->first && !fx_recipe_ruler(r->recipe, fx_key_find(path), layer))
        snprintf(path, FX_PATH, "input.%s", fx_quantiser_parts[part]);
}

// What training cannot hold, or holds at some sites alone.
static int check_site(const Resolver *r, const FxQuantiser *q, FxSite site, const FxLayerName *layer) {
    const FxScaleRule *rule = q->scale.rule;
    char label[FX_PATH + 32];
    snprintf(label, sizeof label, "%s: %s.q", layer_label(layer), fx_site(site)->name);
    int width = fx_random_width(&(FxRandom){r->config->source, r->config->lane_bits, {0}});
    bool operand = site <= FX_SITE_ERROR || site == FX_SITE_WEIGHT_BACK || site == FX_SITE_ACTIVATION_GRAD || site == FX_SITE_ERROR_GRAD;
    if (q->grid.kind == &fx_grid_inq)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: training has no inq, whose weights would be frozen share by share", label, printed(q).text);
    if (rule->observe && q->scale.group)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: training has one controller a tensor", label, printed(q).text);
    if (fx_rounding_mode(&q->rounding)->needs & FX_ROUND_INTEGER && (q->scale.group || rule->real))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: this rounding exists for integers of one scale", label, printed(q).text);
    if (fx_scale_is_mx(&q->scale) && !operand)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: blocks stand at what products read: weight, activation, error and their copies",
                       label, printed(q).text);
    if (fx_scale_is_mx(&q->scale) && (fx_rounding_mode(&q->rounding)->needs & FX_ROUND_RANDOM))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: blocks of training round without random words", label, printed(q).text);
    if (q->rounding.bits > width)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: %d random bits; random.source and random.lane give %d", label, printed(q).text,
                       q->rounding.bits, width);
    if (site != FX_SITE_STORE && (fx_rounding_mode(&q->rounding)->needs & FX_ROUND_DIRECTION))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: a direction exists only at the store", label, printed(q).text);
    if (site != FX_SITE_WEIGHT && site != FX_SITE_WEIGHT_BACK && !strcmp(rule->name, "alpha"))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s = %s: alpha is a scale of the weight", label, printed(q).text);
    return 0;
}

static int site_at(const Resolver *r, FxSiteConfig *out, const FxSiteInfo *info, const FxLayerName *layer, const FxLayerName *named,
                   uint64_t step) {
    char path[FX_PATH], text[4][FX_VALUE];
    FxError why;
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s.%s", info->name, fx_quantiser_parts[i]);
        out->is_set |= info->parent && fx_recipe_ruler(r->recipe, fx_key_find(path), layer);
        part_path(path, r, info, i, named);
        if (fx_value_at(r, text[i], path, layer, step))
            return -1;
    }
    out->on = strcmp(text[0], "none") != 0;
    if (!out->on)
        return fx_quantiser_parse(&out->q, "fp32/nearest-even/inf", r->err);
    // fields are checked one by one when read; here, whether they go together
    if (fx_grid_parse(&out->q.grid, text[0], NULL, &why) || fx_scale_parse(&out->q.scale, text[1], &why) ||
        fx_rounding_parse(&out->q.rounding, text[2], NULL, &why) || fx_overflow_parse(&out->q.overflow, text[3], &why) ||
        fx_quantiser_check(&out->q, &why))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q: %s", layer_label(layer), info->name, why.text);
    return check_site(r, &out->q, info->site, layer);
}

static int policy_part(const Resolver *r, FxPolicy *policy, const char *product, const char *key, const FxLayerName *layer,
                       uint64_t step, char text[FX_VALUE]) {
    char path[FX_PATH];
    snprintf(path, sizeof path, "accumulator.%s.%s", product, key);
    if (fx_value_at(r, text, path, layer, step))
        return -1;
    return policy && strcmp(text, "inner") ? fx_policy_parse(policy, text, r->err) : 0;
}

static int accumulator_at(const Resolver *r, FxAccumulator *acc, FxProductKind kind, const FxLayerName *layer, uint64_t step) {
    const char *product = fx_product_names[kind];
    char text[FX_VALUE];
    memset(acc, 0, sizeof *acc);
    if (policy_part(r, &acc->inner, product, "kind", layer, step, text))
        return -1;
    acc->outer = acc->inner;
    if (policy_part(r, &acc->outer, product, "outer", layer, step, text) ||
        policy_part(r, NULL, product, "group", layer, step, text))
        return -1;
    acc->group = atoi(text);
    if (policy_part(r, NULL, product, "chunk", layer, step, text))
        return -1;
    acc->chunk = strcmp(text, "none") ? atoi(text) : 0;
    if (!acc->chunk)
        acc->chunk = fx_accumulator_chunk_f32(&acc->inner, kind == FX_GRADIENT);
    if (!acc->chunk && memcmp(&acc->outer, &acc->inner, sizeof acc->outer))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: accumulator.%s.outer without a chunk: there is no outer sum", layer->name, product);
    if (policy_part(r, NULL, product, "shift", layer, step, text))
        return -1;
    acc->shift = atoi(text);
    if (policy_part(r, NULL, product, "order", layer, step, text))
        return -1;
    acc->order = !strcmp(text, "oh-ow-n") ? FX_ORDER_OH_OW_N : kind == FX_GRADIENT ? FX_ORDER_N_OH_OW : FX_ORDER_KH_KW_C;
    return 0;
}

// Under rate-unit = lsb the store takes whole steps and rounds nothing.
static int check_lsb_store(const Resolver *r, const FxSiteConfig *site, const FxLayerName *layer) {
    const FxQuantiser *store = &site->q;
    if (!fx_site_is_constant(site) || !store->grid.is_signed || store->grid.twos_complement || store->overflow != FX_OVERFLOW_SATURATE)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.q = %s: a symmetric, signed fixed grid of constant scale that saturates, with at most %d "
                       "bits behind the point, is needed", layer->name, printed(store).text, MAX_FRACTION);
    if (store->rounding.mode != FX_ROUND_NEAREST_EVEN)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.q = %s: under update.rate-unit = lsb an update is whole steps of the store, "
                       "which rounds nothing; leave its rounding out", layer->name, printed(store).text);
    return 0;
}

// The kept weights and their clip. before: the phase before, NULL in the first.
static int store_at(const Resolver *r, FxLayerConfig *c, const FxLayerConfig *before, const FxLayerName *layer, uint64_t step) {
    const FxSiteConfig *store = &c->site[FX_SITE_STORE], *weight = &c->site[FX_SITE_WEIGHT];
    char text[FX_VALUE];
    int fraction = store->q.grid.fraction - store->q.scale.parameter[0];
    if (r->config->update.lsb && check_lsb_store(r, store, layer))
        return -1;
    if (fx_site_is_constant(store) && (fraction < -MAX_FRACTION || fraction > MAX_FRACTION))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.q = %s: at most %d bits behind the point", layer->name, printed(&store->q).text, MAX_FRACTION);
    bool fixed = fx_grid_is_fixed(&store->q.grid);
    int64_t high = fixed ? fx_grid_high(&store->q.grid) : INT64_MAX;
    if (fx_value_at(r, text, "store.clip", layer, step))
        return -1;
    FxDecimal clip;
    c->store_limit = high;
    if (strcmp(text, "grid") && !fx_site_is_constant(store))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.clip = %s, store.q = %s: only a fixed grid of constant scale is clipped", layer->name, text,
                       printed(&store->q).text);
    if (strcmp(text, "grid")) {
        if (fx_decimal_parse(&clip, text) || !fx_decimal_code(&c->store_limit, &clip, fraction) || c->store_limit < 1 ||
            c->store_limit > high)
            return fx_fail(r->err, FX_EXIT_USAGE,
                           "%s: store.clip = %s: write \"grid\" or a decimal, a multiple of the store's unit 2^%d of at most %lld units",
                           layer->name, text, -fraction, (long long)high);
        c->site[FX_SITE_STORE].q.grid.twos_complement &= c->store_limit < high; // the clip is the end on both sides
    }
    if (r->config->update.lsb && fx_site_has_fixed_steps(weight)) {
        if (store->q.grid.bits < weight->q.grid.bits)
            return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.grid has %d bits, weight.grid %d; the store needs at least as many",
                           layer->name, store->q.grid.bits, weight->q.grid.bits);
        if (store->q.grid.bits == weight->q.grid.bits && !(before && before->site[FX_SITE_WEIGHT].q.grid.bits == weight->q.grid.bits))
            fx_warn(r->warnings, "%s: store.grid and weight.grid both have %d bits: without a gap that filters noisy updates "
                    "training is known to blow up", layer->name, store->q.grid.bits);
    }
    return 0;
}

// Where integers may have one exponent a channel.
static bool may_be_channels(const FxConfig *config, FxSite site) {
    return site == FX_SITE_PREACT || (site == FX_SITE_ERROR && config->claims_integer) || site == FX_SITE_ERROR_GRAD;
}

// What the integer datapath needs of all its sites.
static int check_integers(const Resolver *r, const FxLayerConfig *c, const FxLayerName *layer) {
    for (int i = 0; fx_site_info(i); i++) {
        const FxSiteInfo *info = fx_site_info(i);
        const FxSiteConfig *site = &c->site[info->site];
        bool needed = info->site <= FX_SITE_STORE;
        if (!fx_site_of(info->site, layer) || (info->parent && !site->is_set) || (!site->on && !needed) || fx_site_is_integer(site) ||
            (may_be_channels(r->config, info->site) && fx_site_is_channel(site)))
            continue;
        if (!site->on)
            return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = none needs floating point; name a fixed grid", layer->name, info->name);
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = %s: %s takes integers of one power-of-two scale a tensor: fixed, binary or "
                       "ternary", layer->name, info->name, printed(&site->q).text,
                       r->config->update.lsb ? "update.rate-unit = lsb" : "recipe.claim = integer");
    }
    return 0;
}

static int check_input(const Resolver *r, const FxSiteConfig *site) {
    const FxQuantiser *input = &site->q;
    if (r->config->map == FX_MAP_MEAN_STD)
        return r->config->claims_integer ? fx_fail(r->err, FX_EXIT_USAGE, "input.map = mean-std needs floating point, which recipe.claim = integer "
                                                   "refuses; known besides: wage-127.5, wage-128, unit") : 0;
    if (!fx_site_is_constant(site)) // the map's 8-bit codes, rounded again
        return 0;
    if (!input->grid.is_signed || input->grid.fraction < 0 || input->grid.bits > 16 || input->grid.fraction > 24 ||
        input->scale.parameter[0] || input->rounding.mode != FX_ROUND_NEAREST_EVEN || input->overflow != FX_OVERFLOW_SATURATE)
        return fx_fail(r->err, FX_EXIT_USAGE, "input.q = %s: the map rounds once, to nearest: write a signed fixed grid alone, as fixed8f7",
                       printed(input).text);
    return 0;
}

static int check_layer(const Resolver *r, const FxLayerConfig *c, const FxLayerName *layer) {
    bool lsb = r->config->update.lsb;
    if ((lsb || r->config->claims_integer) && check_integers(r, c, layer))
        return -1;
    const FxQuantiser *gradient = &c->site[FX_SITE_GRADIENT].q, *logits = &c->site[FX_SITE_LOGITS].q;
    if (lsb && (!(gradient->scale.rule->discards || !strcmp(gradient->scale.rule->name, "max-ceil")) || !fx_grid_is_fixed(&gradient->grid)))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: gradient.q = %s: update.rate-unit = lsb needs a fixed grid @shift-unit or @max-ceil",
                       layer->name, printed(gradient).text);
    if (layer->first && check_input(r, &c->site[FX_SITE_INPUT]))
        return -1;
    if (c->error_lower && !c->site[FX_SITE_ERROR].q.scale.rule->is_shift)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: error.gamma = %d, error.q = %s: gamma needs a scale of the shift family",
                       layer->name, 1 << c->error_lower, printed(&c->site[FX_SITE_ERROR].q).text);
    bool sse = !strcmp(fx_recipe_text(r->recipe, "run.loss"), "sse");
    if (lsb && sse && layer->last && c->site[FX_SITE_LOGITS].on && (logits->scale.rule->needs_maximum || !fx_grid_is_fixed(&logits->grid)))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: logits.q = %s: a fixed grid of constant scale is needed", layer->name,
                       printed(logits).text);
    return 0;
}

int fx_layer_at(const Resolver *r, FxLayerConfig *c, const FxLayerConfig *before, const FxLayerName *layer, uint64_t step) {
    char text[FX_VALUE];
    for (int i = 0; fx_site_info(i); i++) {
        const FxSiteInfo *info = fx_site_info(i);
        // a site that this layer does not have is not looked up, so that a setting of it is found to rule nowhere
        if (fx_site_of(info->site, layer) && site_at(r, &c->site[info->site], info, info->site == FX_SITE_INPUT ? NULL : layer, layer, step))
            return -1;
    }
    if (layer->norm && fx_norm_at(r, &c->norm, layer, step))
        return -1;
    if (fx_value_at(r, text, "init.law", layer, step))
        return -1;
    c->init_c = atoi(strchr(text, ':') + 1);
    if (!layer->first) {
        if (fx_value_at(r, text, "activation.ste", layer, step))
            return -1;
        c->site[FX_SITE_ACTIVATION].clip = !strcmp(text, "clip");
    }
    const FxScale *scale = &c->site[FX_SITE_ACTIVATION].q.scale;
    if (c->site[FX_SITE_ACTIVATION].clip && !fx_scale_is_single(scale))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: activation.q = %s: activation.ste = clip masks what lies outside of one scale a tensor; write "
                       "activation.ste = identity", layer->name, printed(&c->site[FX_SITE_ACTIVATION].q).text);
    if (fx_value_at(r, text, "weight.ste", layer, step))
        return -1;
    if (layer->last && c->site[FX_SITE_LOGITS].on) {
        if (fx_value_at(r, text, "logits.ste", layer, step))
            return -1;
        scale = &c->site[FX_SITE_LOGITS].q.scale;
        c->site[FX_SITE_LOGITS].clip = !strcmp(text, "clip");
        if (c->site[FX_SITE_LOGITS].clip && !fx_scale_is_single(scale))
            return fx_fail(r->err, FX_EXIT_USAGE, "%s: logits.q = %s: logits.ste = clip masks what lies outside of one scale a tensor; write "
                           "logits.ste = identity", layer->name, printed(&c->site[FX_SITE_LOGITS].q).text);
    }
    if (fx_value_at(r, text, "error.gamma", layer, step))
        return -1;
    c->error_lower = fx_log2_floor((uint64_t)atoi(text));
    if (fx_value_at(r, text, "error.at", layer, step))
        return -1;
    c->error_before_masks = !strcmp(text, "before-masks");
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        if (accumulator_at(r, &c->accumulator[kind], (FxProductKind)kind, layer, step))
            return -1;
    if (check_layer(r, c, layer) || store_at(r, c, before, layer, step))
        return -1;
    return 0;
}
