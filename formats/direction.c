#include "formats/direction.h"

#include "formats/number.h"
#include "formats/quantiser.h"
#include "formats/round_body.h"

#include <assert.h>

enum { EXACT_BITS = 40, READ_BITS = 31, COSINE_BITS = 31 };

void fx_direction_start(FxDirection *d, const FxTensor *x, const FxGrid *grid, uint64_t max_abs, int max_exponent, int exponent) {
    int top = max_abs ? fx_log2_floor(max_abs) : 0;
    assert(fx_grid_is_fixed(grid) && grid->bits <= FX_DIRECTION_MOST_BITS);
    *d = (FxDirection){.low = fx_grid_low(grid), .high = fx_grid_high(grid)};
    d->rounds = fx_type_is_float(x->type) || top >= EXACT_BITS;
    d->unit = d->rounds ? top + max_exponent - (READ_BITS - 1) : x->exponent;
    if (!max_abs) // nothing will be read
        return;
    d->shift = exponent - d->unit;
    d->left = d->shift < FX_DIRECTION_OFFSETS - 1 ? FX_DIRECTION_OFFSETS - 1 - d->shift : 0; // then every shift is one to the right
    d->shift += d->left;
    assert(d->left <= 8 && d->shift <= 62);
}

static int64_t rounded(FxNumber v, int unit) {
    static const FxRoundArg none;
    if (v.class_of != FX_FINITE || !v.magnitude)
        return 0;
    int64_t m = fx_round(&fx_round_modes[FX_ROUND_NEAREST_EVEN], (int64_t)v.magnitude, unit - v.exponent, 0, 0, &none);
    return v.negative ? -m : m;
}

static void read_block(int64_t *g, const FxDirection *d, const FxTensor *x, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int64_t v = d->rounds ? rounded(fx_number_at(x->data, x->type, first + i, x->exponent), d->unit) : fx_tensor_get(x, first + i);
        g[i] = v * (INT64_C(1) << d->left);
    }
}

// Codes have the sign of what they round, or are 0: no product is negative.
static void add_offset(FxDirection *d, int j, const int64_t *g, size_t n) {
    const int shift = d->shift - j;
    const int64_t low = d->low, high = d->high;
    unsigned __int128 dot = 0, codes = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t c = shift ? round_nearest_even(g[i], shift, 0, 0, NULL) : g[i];
        c = c > high ? high : c < low ? low : c;
        dot += (unsigned __int128)((__int128)g[i] * c);
        codes += (unsigned __int128)((__int128)c * c);
    }
    d->dot[j] += dot;
    d->codes[j] += codes;
}

void fx_direction_add(FxDirection *d, const FxTensor *x, size_t first, size_t n) {
    int64_t g[FX_BLOCK];
    for (size_t end = first + n, take; first < end; first += take) {
        take = end - first < FX_BLOCK ? end - first : FX_BLOCK;
        read_block(g, d, x, first, take);
        for (size_t i = 0; i < take; i++)
            d->source += (unsigned __int128)((__int128)g[i] * g[i]);
        for (int j = 0; j < FX_DIRECTION_OFFSETS; j++)
            add_offset(d, j, g, take);
    }
}

void fx_direction_merge(FxDirection *sum, const FxDirection *part) {
    sum->source += part->source;
    for (int j = 0; j < FX_DIRECTION_OFFSETS; j++) {
        sum->dot[j] += part->dot[j];
        sum->codes[j] += part->codes[j];
    }
}

static int bits_of(unsigned __int128 x) {
    uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

static uint64_t root_of(uint64_t x) {
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= x)
            root |= bit;
    return root;
}

static uint64_t brought(unsigned __int128 x, int a) {
    return (uint64_t)(a > 0 ? x >> a : x << -a);
}

typedef struct Cosine {
    uint64_t dot, norms; // cos = dot / norms, dot <= norms
} Cosine;

static Cosine cosine_of(const FxDirection *d, int j) {
    const int shift = d->shift - j;
    unsigned __int128 dot = d->dot[j] << shift, codes = d->codes[j] << 2 * shift, most = dot > codes ? dot : codes;
    int a = bits_of(most > d->source ? most : d->source) - COSINE_BITS;
    Cosine c = {brought(dot, a), root_of(brought(d->source, a) * brought(codes, a))};
    if (!c.norms)
        return (Cosine){0, 1};
    c.dot = c.dot < c.norms ? c.dot : c.norms;
    return c;
}

int fx_direction_choose(const FxDirection *d, int32_t *deviation) {
    Cosine best = d->source ? cosine_of(d, 0) : (Cosine){1, 1};
    int offset = 0;
    for (int j = 1; d->source && j < FX_DIRECTION_OFFSETS; j++) {
        Cosine c = cosine_of(d, j);
        if (c.dot * best.norms > best.dot * c.norms) {
            best = c;
            offset = j;
        }
    }
    if (deviation)
        *deviation = (int32_t)((2 * FX_DEVIATION_ONE * (best.norms - best.dot) + best.norms) / (2 * best.norms));
    return offset;
}

int fx_direction_offset(const FxTensor *x, const FxGrid *grid, int exponent, unsigned cpu, int32_t *deviation) {
    FxDirection d;
    int at = x->exponent;
    uint64_t max_abs = fx_max_abs(x->data, x->type, x->count, &at, cpu);
    fx_direction_start(&d, x, grid, max_abs, at, exponent);
    if (max_abs)
        fx_direction_add(&d, x, 0, x->count);
    return fx_direction_choose(&d, deviation);
}

int32_t fx_deviation_factor(int32_t deviation) {
    enum { STEP = FX_DEVIATION_ONE / 256, FLOOR = 3277 };
    static const uint16_t below[] = { // of deviations 0, 1/256, 2/256, ...; from 30/256 on the floor
        32768, 30305, 28028, 25922, 23974, 22172, 20506, 18965, 17539, 16221,
        15002, 13875, 12832, 11868, 10976, 10151, 9388, 8683, 8030, 7427,
        6869, 6352, 5875, 5433, 5025, 4647, 4298, 3975, 3676, 3400,
    };
    int i = (deviation + STEP / 2) / STEP;
    assert(deviation >= 0 && deviation <= FX_DEVIATION_ONE);
    return i < (int)(sizeof below / sizeof below[0]) ? below[i] : FLOOR;
}
