// Bodies of the inner loops. Included once by the file of each instruction set, which defines FX_KERNELS_TABLE,
// FX_KERNELS_NAME and FX_KERNELS_CPU, and may bring a Philox of its own as FX_KERNELS_PHILOX and, by FX_KERNELS_UNITS, names of
// units_stochastic and units_short of its own; the compiler makes the vectors. Integers only.
#include "formats/kernels.h"
#include "formats/philox.h"
#include "formats/round_body.h"

#ifndef FX_KERNELS_PHILOX
#define FX_KERNELS_PHILOX philox

static void philox(uint32_t *out, FxRng rng, uint64_t block, size_t blocks) {
    for (size_t b = 0; b < blocks; b++) {
        uint64_t counter = block + b;
        uint32_t *c = out + 4 * b;
        c[0] = (uint32_t)counter;
        c[1] = (uint32_t)(counter >> 32);
        c[2] = rng.step;
        c[3] = rng.stream;
        fx_philox_rounds(c, (uint32_t)rng.seed, (uint32_t)(rng.seed >> 32), 10);
    }
}
#endif

static inline uint32_t lane_of(const uint32_t *words, size_t i, int lane_bits, int drop) {
    size_t bit = i * (size_t)lane_bits;
    uint32_t low = lane_bits == 32 ? UINT32_MAX : (UINT32_C(1) << lane_bits) - 1;
    return (words[bit / 32] >> bit % 32 & low) >> drop;
}

// Bytes read as such where that is the order of the lanes; else whole words unpack 4 or 2 lanes at once.
static void lanes(uint32_t *restrict out, const uint32_t *restrict words, size_t skip, size_t n, int lane_bits, int drop) {
    size_t per = 32 / (size_t)lane_bits, j = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (lane_bits == 8) {
        const uint8_t *bytes = (const uint8_t *)words + skip;
        for (; j < n; j++)
            out[j] = (uint32_t)bytes[j] >> drop;
    }
#endif
    for (; j < n && (skip + j) % per; j++)
        out[j] = lane_of(words, skip + j, lane_bits, drop);
    size_t count = (n - j) / per;
    const uint32_t *w = words + (skip + j) / per;
    if (lane_bits == 8)
        for (size_t i = 0; i < count; i++)
            for (size_t b = 0; b < 4; b++)
                out[j + 4 * i + b] = (w[i] >> 8 * b & 0xFF) >> drop;
    else if (lane_bits == 16)
        for (size_t i = 0; i < count; i++)
            for (size_t b = 0; b < 2; b++)
                out[j + 2 * i + b] = (w[i] >> 16 * b & 0xFFFF) >> drop;
    else
        for (size_t i = 0; i < count; i++)
            out[j + i] = w[i] >> drop;
    for (j += count * per; j < n; j++)
        out[j] = lane_of(words, skip + j, lane_bits, drop);
}

static inline uint64_t widen_element(int64_t *v, int64_t x, int64_t multiplier, uint64_t max, uint32_t *zeros) {
    uint64_t m = round_magnitude(x);
    *v = x * multiplier;
    *zeros += x == 0;
    return m > max ? m : max;
}

static uint64_t widen(int64_t *v, const void *x, FxType type, size_t n, int64_t multiplier, FxBlockCounts *counts) {
    uint64_t max = 0;
    uint32_t zeros = 0;
    switch (type) {
    case FX_INT8:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const int8_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_UINT8:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const uint8_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_INT16:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const int16_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_INT32:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const int32_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_UINT16:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const uint16_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_UINT32:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const uint32_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_INT64:
        for (size_t i = 0; i < n; i++)
            max = widen_element(&v[i], ((const int64_t *)x)[i], multiplier, max, &zeros);
        break;
    case FX_FLOAT32:
    case FX_FLOAT64: break; // never handed here
    }
    counts->zeros_in += zeros;
    return max;
}

static inline int64_t narrow_element(int64_t q, int64_t low, int64_t high, FxBlockCounts *c) {
    int64_t y = q < low ? low : q > high ? high : q;
    c->saturated += y != q;
    c->zeros_out += y == 0;
    c->at_limit += (y == low) | (y == high);
    return y;
}

static void narrow(void *y, FxType type, const int64_t *q, size_t n, int64_t low, int64_t high, FxBlockCounts *counts) {
    FxBlockCounts c = {0};
    switch (type) {
    case FX_INT8:
        for (size_t i = 0; i < n; i++)
            ((int8_t *)y)[i] = (int8_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_UINT8:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)y)[i] = (uint8_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_INT16:
        for (size_t i = 0; i < n; i++)
            ((int16_t *)y)[i] = (int16_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_INT32:
        for (size_t i = 0; i < n; i++)
            ((int32_t *)y)[i] = (int32_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_INT64:
        for (size_t i = 0; i < n; i++)
            ((int64_t *)y)[i] = narrow_element(q[i], low, high, &c);
        break;
    case FX_UINT16:
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)y)[i] = (uint16_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_UINT32:
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)y)[i] = (uint32_t)narrow_element(q[i], low, high, &c);
        break;
    case FX_FLOAT32:
    case FX_FLOAT64: break; // never handed here
    }
    counts->saturated += c.saturated;
    counts->zeros_out += c.zeros_out;
    counts->at_limit += c.at_limit;
}

#include "formats/kernels_cast.h"

static void pass(uint8_t *p, const int32_t *x, size_t n, int32_t low, int32_t high) {
    for (size_t i = 0; i < n; i++)
        p[i] = (x[i] >= low) & (x[i] <= high);
}

static uint32_t mask(int32_t *x, const uint8_t *p, size_t n) {
    uint32_t masked = 0;
    for (size_t i = 0; i < n; i++) {
        masked += p[i] == 0;
        x[i] = p[i] ? x[i] : 0;
    }
    return masked;
}

static inline int64_t subtract_element(int64_t w, int64_t k, int64_t limit, uint64_t *max, FxBlockCounts *c, uint32_t *changed) {
    int64_t v = w - k, y = v > limit ? limit : v < -limit ? -limit : v;
    uint64_t m = round_magnitude(v);
    *max = m > *max ? m : *max;
    c->saturated += y != v;
    c->zeros_out += y == 0;
    c->at_limit += (y == limit) | (y == -limit);
    *changed += y != w;
    return y;
}

static uint64_t subtract(void *w, FxType type, const int64_t *k, size_t n, int64_t limit, FxBlockCounts *counts, uint32_t *changed) {
    FxBlockCounts c = {0};
    uint32_t moved = 0;
    uint64_t max = 0;
    switch (type) {
    case FX_INT8:
        for (size_t i = 0; i < n; i++)
            ((int8_t *)w)[i] = (int8_t)subtract_element(((int8_t *)w)[i], k[i], limit, &max, &c, &moved);
        break;
    case FX_UINT8:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)w)[i] = (uint8_t)subtract_element(((uint8_t *)w)[i], k[i], limit, &max, &c, &moved);
        break;
    case FX_INT16:
        for (size_t i = 0; i < n; i++)
            ((int16_t *)w)[i] = (int16_t)subtract_element(((int16_t *)w)[i], k[i], limit, &max, &c, &moved);
        break;
    case FX_INT32:
        for (size_t i = 0; i < n; i++)
            ((int32_t *)w)[i] = (int32_t)subtract_element(((int32_t *)w)[i], k[i], limit, &max, &c, &moved);
        break;
    case FX_INT64:
        for (size_t i = 0; i < n; i++)
            ((int64_t *)w)[i] = subtract_element(((int64_t *)w)[i], k[i], limit, &max, &c, &moved);
        break;
    case FX_UINT16:
    case FX_UINT32:
    case FX_FLOAT32:
    case FX_FLOAT64: break; // carry no store
    }
    counts->saturated += c.saturated;
    counts->zeros_out += c.zeros_out;
    counts->at_limit += c.at_limit;
    *changed += moved;
    return max;
}

static uint64_t max_abs(const void *x, FxType type, size_t n) {
    uint64_t max = 0;
    uint32_t max32 = 0;
    switch (type) {
    case FX_INT32:
        for (size_t i = 0; i < n; i++) {
            int32_t v = ((const int32_t *)x)[i];
            uint32_t m = v < 0 ? 0 - (uint32_t)v : (uint32_t)v;
            max32 = m > max32 ? m : max32;
        }
        break;
    case FX_INT64:
        for (size_t i = 0; i < n; i++) {
            uint64_t m = round_magnitude(((const int64_t *)x)[i]);
            max = m > max ? m : max;
        }
        break;
    case FX_INT8:
        for (size_t i = 0; i < n; i++) {
            int32_t v = ((const int8_t *)x)[i], m = v < 0 ? -v : v;
            max32 = (uint32_t)m > max32 ? (uint32_t)m : max32;
        }
        break;
    case FX_INT16:
        for (size_t i = 0; i < n; i++) {
            int32_t v = ((const int16_t *)x)[i], m = v < 0 ? -v : v;
            max32 = (uint32_t)m > max32 ? (uint32_t)m : max32;
        }
        break;
    case FX_FLOAT32:
    case FX_FLOAT64: break; // never handed here
    case FX_UINT8:
    case FX_UINT16:
    case FX_UINT32: {
        FxBlockCounts ignored = {0};
        int64_t v[FX_BLOCK];
        for (size_t i = 0; i < n; i += FX_BLOCK) {
            size_t take = n - i < FX_BLOCK ? n - i : FX_BLOCK;
            uint64_t m = widen(v, (const char *)x + i * (type == FX_UINT32 ? 4 : type == FX_UINT16 ? 2 : 1), type, take, 1, &ignored);
            max = m > max ? m : max;
        }
        break;
    }
    }
    return max > max32 ? max : max32;
}

#include "formats/kernels_units.h"

// A constant law lets the compiler put it into the loop.
__attribute__((always_inline)) static inline void round_array(FxRoundShift *law, int64_t *q, const int64_t *v, size_t n,
                                                              int s, const uint32_t *R, const FxRoundArg *arg) {
    FxRoundArg a = *arg;
    for (size_t i = 0; i < n; i++)
        q[i] = law(v[i], s, R ? R[i] : 0, 0, &a);
}

typedef int64_t I64;
typedef const int64_t In64;
typedef const uint32_t Word;
typedef const FxRoundArg Arg;

static void array_nearest_even(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_nearest_even, q, v, n, s, R, a); }
static void array_nearest_away(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_nearest_away, q, v, n, s, R, a); }
static void array_nearest_zero(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_nearest_zero, q, v, n, s, R, a); }
static void array_nearest_up(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_nearest_up, q, v, n, s, R, a); }
static void array_nearest_down(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_nearest_down, q, v, n, s, R, a); }
static void array_toward_zero(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_toward_zero, q, v, n, s, R, a); }
static void array_away(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_away, q, v, n, s, R, a); }
static void array_floor(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_floor, q, v, n, s, R, a); }
static void array_ceil(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_ceil, q, v, n, s, R, a); }
static void array_odd(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_odd, q, v, n, s, R, a); }
static void array_equal(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_equal, q, v, n, s, R, a); }
static void array_stochastic_a(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_stochastic_a, q, v, n, s, R, a); }
static void array_stochastic_b(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_stochastic_b, q, v, n, s, R, a); }
static void array_stochastic_c(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_stochastic_c, q, v, n, s, R, a); }
static void array_below(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_stochastic_below, q, v, n, s, R, a); }
static void array_sr_eps(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_sr_eps, q, v, n, s, R, a); }
static void array_signed(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_signed_sr_eps, q, v, n, s, R, a); }
static void array_constant(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_add_constant, q, v, n, s, R, a); }
static void array_pseudo(I64 *q, In64 *v, size_t n, int s, Word *R, Arg *a) { round_array(round_pseudo, q, v, n, s, R, a); }

// Of kernels_cast.h: by the codes of the source and of the result.
#define PAIRS(law) {{law##_int8_int8, law##_int8_int16}, {law##_int16_int8, law##_int16_int16}, {law##_int32_int8, law##_int32_int16}, \
                    {law##_int64_int8, law##_int64_int16}}

const FxKernels FX_KERNELS_TABLE = {
    .name = FX_KERNELS_NAME,
    .cpu = FX_KERNELS_CPU,
    .philox = FX_KERNELS_PHILOX,
    .lanes = lanes,
    .widen = widen,
    // in the order of fx_round_modes; a test holds each against its specification
    .round = {array_nearest_even, array_nearest_away, array_nearest_zero, array_nearest_up, array_nearest_down,
              array_toward_zero, array_away, array_floor, array_ceil, array_odd, array_equal, array_stochastic_a,
              array_stochastic_b, array_stochastic_c, array_below, array_sr_eps, array_signed, array_constant,
              array_pseudo},
    .narrow = narrow,
    .keep = PAIRS(keep),
    .even = PAIRS(even),
    .stochastic = PAIRS(stochastic),
    .pass = pass,
    .mask = mask,
    .subtract = subtract,
    .max_abs = max_abs,
    .max_abs_period = max_abs_period,
    .units_even = units_even,
    .units_stochastic = FX_KERNELS_UNITS(units_stochastic),
    .units_short = FX_KERNELS_UNITS(units_short),
    .units_far = units_far,
};
