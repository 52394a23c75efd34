// Loops of channels with units of their own. Included by kernels_body.h. What the compilers make fast vectors of is a loop that
// multiplies and shifts into a buffer and one that narrows it: in one loop 64-bit lanes and bytes do not go together.
static void max_abs_period(uint32_t *restrict max, uint32_t *restrict zeros, const int32_t *restrict x, size_t n, size_t period) {
    for (size_t done = 0; done < n; done += period) {
        size_t take = n - done < period ? n - done : period;
        for (size_t i = 0; i < take; i++) {
            int32_t v = x[done + i];
            uint32_t m = v < 0 ? 0 - (uint32_t)v : (uint32_t)v;
            max[i] = m > max[i] ? m : max[i];
            zeros[i] += v == 0;
        }
    }
}

// x / 2^drop to nearest, ties to even; below: half a step less 1, and for drop 0 nothing is added.
static inline int64_t drop_even(int64_t x, int64_t drop, int64_t below) {
    return (x + below + ((x >> drop) & (drop != 0))) >> drop;
}

static void even_products(int32_t *restrict q, const int32_t *restrict x, size_t n, const FxUnitsTable *t, size_t at) {
    const int32_t *restrict multiplier = t->multiplier + at;
    const int64_t *restrict drop = t->drop + at, *restrict below = t->below + at;
    for (size_t i = 0; i < n; i++)
        q[i] = (int32_t)drop_even((int64_t)x[i] * multiplier[i], drop[i], below[i]);
}

static void far_products(int32_t *restrict q, const int32_t *restrict x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *restrict R) {
    const int32_t *restrict multiplier = t->multiplier + at;
    const uint32_t *restrict word = t->word + at;
    const int64_t *restrict shift = t->shift + at, *restrict drop = t->drop + at, *restrict below = t->below + at;
    for (size_t i = 0; i < n; i++)
        q[i] = (int32_t)((drop_even((int64_t)x[i] * multiplier[i], drop[i], below[i]) + (int64_t)(R[i] >> word[i])) >> shift[i]);
}

static inline int32_t narrow_element32(int32_t q, int32_t low, int32_t high, FxBlockCounts *c) {
    int32_t y = q < low ? low : q > high ? high : q;
    c->saturated += y != q;
    c->zeros_out += y == 0;
    c->at_limit += (y == low) | (y == high);
    return y;
}

static void narrow_products(void *y, const int32_t *q, size_t n, const FxUnitsTable *t, FxBlockCounts *counts) {
    FxBlockCounts c = {0};
    const int32_t low = t->low, high = t->high;
    if (t->type == FX_INT8)
        for (size_t i = 0; i < n; i++)
            ((int8_t *)y)[i] = (int8_t)narrow_element32(q[i], low, high, &c);
    else
        for (size_t i = 0; i < n; i++)
            ((int16_t *)y)[i] = (int16_t)narrow_element32(q[i], low, high, &c);
    counts->saturated += c.saturated;
    counts->zeros_out += c.zeros_out;
    counts->at_limit += c.at_limit;
}

static void units_even(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    int32_t q[FX_BLOCK];
    (void)R;
    even_products(q, x, n, t, at);
    narrow_products(y, q, n, t, counts);
}

static void units_far(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    int32_t q[FX_BLOCK];
    far_products(q, x, n, t, at, R);
    narrow_products(y, q, n, t, counts);
}

#ifndef FX_KERNELS_UNITS
#define FX_KERNELS_UNITS(name) name

static void stochastic_products(int32_t *restrict q, const int32_t *restrict x, size_t n, const FxUnitsTable *t, size_t at,
                                const uint32_t *restrict R) {
    const int32_t *restrict multiplier = t->multiplier + at;
    const uint32_t *restrict word = t->word + at;
    const int64_t *restrict shift = t->shift + at;
    for (size_t i = 0; i < n; i++)
        q[i] = (int32_t)(((int64_t)x[i] * multiplier[i] + (int64_t)(R[i] >> word[i])) >> shift[i]);
}

// bits of a word are word + shift: the shift needs no table.
static void short_products(int32_t *restrict q, const int32_t *restrict x, size_t n, const FxUnitsTable *t, size_t at,
                           const uint32_t *restrict R) {
    const int32_t *restrict multiplier = t->multiplier + at;
    const uint32_t *restrict word = t->word + at;
    const uint32_t bits = t->bits;
    for (size_t i = 0; i < n; i++)
        q[i] = (x[i] * multiplier[i] + (int32_t)(R[i] >> word[i])) >> (bits - word[i]);
}

static void units_stochastic(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    int32_t q[FX_BLOCK];
    stochastic_products(q, x, n, t, at, R);
    narrow_products(y, q, n, t, counts);
}

static void units_short(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    int32_t q[FX_BLOCK];
    short_products(q, x, n, t, at, R);
    narrow_products(y, q, n, t, counts);
}
#endif
