// Initial weights: uniform in +-L on the weight's grid, then in codes of the store. Exact integers; the draw is a
// function of (seed, layer, element).
#include "sim/net.h"

#include <assert.h>

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

void fx_net_init(FxNet *net, const FxConfig *config) {
    for (int p = 0; p < net->product_count; p++) {
        FxNode *node = fx_net_product(net, p);
        const FxLayerConfig *c = &config->phases[0].layers[p];
        const FxQuantiser *weight = &c->site[FX_SITE_WEIGHT].q, *store = &c->site[FX_SITE_STORE].q;
        int store_fraction = store->grid.fraction - store->scale.parameter[0];
        // on the weight's grid where that has equal steps of constant size, on the store's otherwise
        bool on_weight = fx_grid_is_fixed(&weight->grid) && !weight->scale.rule->needs_maximum && weight->grid.fraction >= 0 &&
                         weight->grid.fraction <= store_fraction;
        int fraction = on_weight ? weight->grid.fraction : store_fraction;
        int64_t high = on_weight ? fx_grid_high(&weight->grid) : c->store_limit;
        int64_t low = on_weight ? fx_grid_low(&weight->grid) : -c->store_limit;
        U128 width = half_width(fraction, config->init_c, node->layer.fan_in, on_weight ? &config->init_floor : NULL);
        FxRng rng = {config->seed_init, (uint32_t)node->id * 256 + FX_ROLE_INIT, 0};
        node->store.exponent = -store_fraction;
        for (size_t i = 0; i < node->store.count; i++) {
            __int128 twice = 2 * (__int128)fx_rng_word(rng, i) - ((__int128)1 << 32);
            __int128 code = (twice * (__int128)width + ((__int128)1 << 47)) >> 48; // floor
            int64_t w = clamp((int64_t)code, low, high) * (INT64_C(1) << (store_fraction - fraction));
            fx_tensor_set(&node->store, i, clamp(w, -c->store_limit, c->store_limit));
        }
    }
}
