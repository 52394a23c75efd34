// Initial weights: uniform in +-L on the weight's grid, then in codes of the store. Exact integers; the draw is a
// function of (seed, layer, element).
#include "layers/linear.h"
#include "sim/cast.h"
#include "sim/tensor_cast.h"
#include "sim/values_f32.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 U128;

static U128 square_root(U128 x) {
    U128 root = 0;
    for (U128 bit = (U128)1 << 63; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= x)
            root += bit;
    return root;
}

// 2^16 * half width in steps of a grid of `fraction` bits: the larger of sqrt(C / n) and `floor` steps.
static U128 half_width(int fraction, int init_c, size_t fan_in, const FxDecimal *floor) {
    U128 unit = 1;
    for (int i = 0; floor && i < floor->places; i++)
        unit *= 10;
    U128 least = floor ? ((U128)floor->digits << 16) / unit : 0;
    int power = 2 * fraction + 32;
    U128 natural = power >= 0 ? square_root(((U128)(unsigned)init_c << power) / fan_in) : 0;
    return natural > least ? natural : least;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static FxRng rng_of(const FxConfig *config, const FxNode *node) {
    return (FxRng){config->seed_init, (uint32_t)node->id * 256 + FX_ROLE_INIT, 0};
}

// floor((2 * word - 2^32) * width / 2^48 + 1/2): uniform in +-width / 2^16
static int64_t draw(FxRng rng, size_t i, U128 width) {
    __int128 twice = 2 * (__int128)fx_rng_word(rng, i) - ((__int128)1 << 32);
    return (int64_t)((twice * (__int128)width + ((__int128)1 << 47)) >> 48);
}

// Codes of a store of constant scale; on the weight's grid where that has equal steps of constant size.
static void init_codes(FxNode *node, const FxLayerConfig *c, const FxConfig *config, const FxTensor *codes) {
    const FxQuantiser *weight = &c->site[FX_SITE_WEIGHT].q, *store = &c->site[FX_SITE_STORE].q;
    int store_fraction = store->grid.fraction - store->scale.parameter[0];
    bool on_weight = fx_site_has_fixed_steps(&c->site[FX_SITE_WEIGHT]) && weight->grid.fraction >= 0 && weight->grid.fraction <= store_fraction;
    int fraction = on_weight ? weight->grid.fraction : store_fraction;
    int64_t high = on_weight ? fx_grid_high(&weight->grid) : c->store_limit;
    int64_t low = on_weight ? fx_grid_low(&weight->grid) : -c->store_limit;
    U128 width = half_width(fraction, c->init_c, node->layer.fan_in, on_weight ? &config->init_floor : NULL);
    for (size_t i = 0; i < node->layer.weights; i++) {
        int64_t w = clamp(draw(rng_of(config, node), i, width), low, high) * (INT64_C(1) << (store_fraction - fraction));
        fx_tensor_set(codes, i, clamp(w, store->grid.is_signed ? -c->store_limit : 0, c->store_limit));
    }
}

// Codes beyond the clip become it. exponent: of their unit, for float32.
static void hold(const FxTensor *t, int64_t limit, int exponent) {
    if (t->type == FX_FLOAT32)
        fx_hold_f32(t->data, t->count, limit, exponent);
    for (size_t i = 0; t->type != FX_FLOAT32 && i < t->count; i++)
        fx_tensor_set(t, i, clamp(fx_tensor_get(t, i), -limit, limit));
}

void fx_net_adopt(FxNet *net, const FxConfig *config, const FxPhase *phase, FxNode *node, FxSite site, const FxTensor *from) {
    const FxLayerConfig *c = &phase->layers[node->id - 1];
    FxTensor *to = site == node->store_site ? &node->store : site == FX_SITE_MOMENTUM ? &node->momentum : &node->second;
    FxQuantiser q = c->site[site].q;
    const int64_t limit = fx_node_store_limit(node, c);
    FxSiteState *state = &node->site[site];
    FxStats ignored = {0};
    if (!(fx_rounding_mode(&q.rounding)->needs & FX_ROUND_NEAREST))
        q.rounding = (FxRounding){.mode = FX_ROUND_NEAREST_EVEN};
    FxTensorCast cast = {.q = &q, .random = {config->source, config->lane_bits, {0}}, .state = state->words, .observes = true,
                         .samples = 1, .channels = (size_t)node->layer.out.c, .casts = net->casts.data};
    FxScaleChoice choice = fx_tensor_cast(&cast, &net->work, from, NULL, to, &ignored);
    fx_note_choice(state, &q.scale, choice, ignored.max_abs == 0);
    if (site == node->store_site && fx_grid_is_fixed(&q.grid) && limit < fx_grid_high(&q.grid))
        hold(to, limit, q.scale.parameter[0] - q.grid.fraction);
}

// A store whose scale moves starts from 30 bits behind the point, one of floats from float64; both by its quantiser, to nearest.
static int init_rounded(FxNet *net, FxNode *node, const FxConfig *config, FxError *err) {
    const FxLayerConfig *c = &config->phases[0].layers[node->id - 1];
    bool floats = c->site[FX_SITE_STORE].q.grid.kind->has_patterns;
    size_t n = node->store.count;
    FxTensor draws = {calloc(n, 8), floats ? FX_FLOAT64 : FX_INT64, n, floats ? 0 : -30};
    if (!draws.data)
        return fx_fail_memory(err, "initial weights", 8 * n);
    U128 width = half_width(30, c->init_c, node->layer.fan_in, NULL);
    if (floats)
        fx_init_draw_f64(draws.data, rng_of(config, node), node->layer.weights, c->init_c, node->layer.fan_in);
    for (size_t i = 0; !floats && i < node->layer.weights; i++)
        fx_tensor_set(&draws, i, draw(rng_of(config, node), i, width));
    fx_net_adopt(net, config, &config->phases[0], node, FX_SITE_STORE, &draws);
    free(draws.data);
    return 0;
}

uint64_t fx_text_mark(const char *text) {
    uint64_t mark = UINT64_C(14695981039346656037);
    for (const char *p = text; *p; p++)
        mark = (mark ^ (unsigned char)*p) * UINT64_C(1099511628211);
    return mark;
}

// Tells rules and their parameters apart.
static uint64_t rule_mark(const FxScale *scale) {
    char text[64];
    fx_scale_print(text, sizeof text, scale);
    return fx_text_mark(text);
}

// Tells apart what kept numbers look like: grid and scale, not how they came there.
static uint64_t format_mark(const FxSiteConfig *site) {
    char grid[64], scale[64], text[136];
    fx_grid_print(grid, sizeof grid, &site->q.grid);
    fx_scale_print(scale, sizeof scale, &site->q.scale);
    snprintf(text, sizeof text, "%s@%s", grid, scale);
    return fx_text_mark(text);
}

void fx_net_start_controllers(FxNet *net, const FxPhase *phase) {
    for (int k = 0; k < net->keeper_count; k++)
        for (int i = 0; fx_site_info(i); i++) {
            FxNode *node = net->keepers[k];
            FxSiteState *state = &node->site[fx_site_info(i)->site];
            const FxSiteConfig *c = &phase->layers[node->id - 1].site[fx_site_info(i)->site];
            bool has = fx_node_has_site(node, fx_site_info(i)->site), here = has && c->on;
            state->format = c->q.grid.kind ? format_mark(c) : 0; // a layer without the site has none
            uint64_t mark = here ? rule_mark(&c->q.scale) : 0;
            if (state->rule == mark)
                continue;
            memset(state->words, 0, sizeof state->words);
            state->rule = mark;
            if (here && c->q.scale.rule->start)
                c->q.scale.rule->start(&c->q.scale, &c->q.grid, state->words);
        }
}

void fx_net_start(FxNet *net, const FxConfig *config) {
    for (int k = 0; k < net->keeper_count; k++) {
        FxNode *node = net->keepers[k];
        memset(node->site, 0, sizeof node->site);
        if (node->layer.ops->role != FX_ROLE_NORM)
            continue;
        memset(node->norm->running_state, 0, sizeof node->norm->running_state);
        if (node->norm->x_kept.data)
            memset(node->norm->x_kept.data, 0, node->norm->x_kept.count * sizeof(int32_t));
    }
    fx_net_start_controllers(net, &config->phases[0]);
}

// gamma 1, beta 0: to nearest where the store has no such code.
static int start_parameter(FxNet *net, FxNode *node, const FxConfig *config, FxError *err) {
    const FxSiteConfig *store = &config->phases[0].layers[node->id - 1].site[node->store_site];
    const size_t n = node->store.count;
    const bool ones = node->layer.ops == &fx_gamma_ops;
    FxTensor from = {calloc(n, 8), FX_INT64, n, -30};
    if (!from.data)
        return fx_fail_memory(err, "initial parameters", 8 * n);
    for (size_t i = 0; ones && i < n; i++)
        fx_tensor_set(&from, i, INT64_C(1) << 30);
    fx_net_adopt(net, config, &config->phases[0], node, node->store_site, &from);
    if (fx_site_is_constant(store) && node->store.type != FX_FLOAT32)
        node->store.exponent = store->q.scale.parameter[0] - store->q.grid.fraction;
    free(from.data);
    return 0;
}

int fx_net_init(FxNet *net, const FxConfig *config, FxError *err) {
    fx_net_start(net, config);
    return fx_net_draw(net, config, err);
}

int fx_net_draw(FxNet *net, const FxConfig *config, FxError *err) {
    for (int k = 0; k < net->keeper_count; k++) {
        FxNode *node = net->keepers[k];
        const FxLayerConfig *c = &config->phases[0].layers[node->id - 1];
        if (node->layer.ops->role == FX_ROLE_PARAMETER && start_parameter(net, node, config, err))
            return -1;
        if (node->layer.ops->role != FX_ROLE_PRODUCT)
            continue;
        const FxQuantiser *store = &c->site[FX_SITE_STORE].q;
        bool constant = fx_site_is_constant(&c->site[FX_SITE_STORE]);
        if (constant && node->store.type != FX_FLOAT32) {
            node->store.exponent = store->scale.parameter[0] - store->grid.fraction;
            init_codes(node, c, config, &node->store);
        } else if (constant) { // the same codes as float32
            FxTensor codes = {calloc(node->store.count, 8), FX_INT64, node->store.count, store->scale.parameter[0] - store->grid.fraction};
            if (!codes.data)
                return fx_fail_memory(err, "initial weights", 8 * codes.count);
            init_codes(node, c, config, &codes);
            fx_multiply_add_f32(&node->store, (FxScalar){1 << 14, -14}, &codes, NULL, &net->work);
            free(codes.data);
        } else if (init_rounded(net, node, config, err)) {
            return -1;
        }
    }
    return 0;
}
