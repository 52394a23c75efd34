// Bodies of the norms' inner loops. Included once by the file of each instruction set, which defines FX_NORM_KERNELS_F32_TABLE
// and FX_NORM_KERNELS_F32_CPU. The compiler makes the vectors, across channels only: a block of LANES channels, or elements,
// has its sums in registers; width is LANES or, behind the last whole block, less.
#include "formats/bits_f32.h"
#include "layers/norm_kernels_f32.h"

#include <string.h>

enum { LANES = 16 };

#define INLINE static inline __attribute__((always_inline))

// The sum carries into the exponent from sqrt(2) on, whose mantissa 0x3504F4 is the first above it.
INLINE float power_of_two(float v) {
    float power = fx_float_of((fx_float_bits(v) + (0x800000 - 0x3504F4)) & 0xFF800000);
    return v - v == 0 ? power : v; // Inf and NaN as they are
}

INLINE float sign_of(float v) {
    return (float)((v > 0) - (v < 0));
}

INLINE void sum_block(FxNormSum sum, size_t width, const FxNormRows *rows, size_t first) {
    float a[LANES] = {0}, b[LANES] = {0}, s[LANES] = {0}, mean[LANES] = {0};
    const float *x = rows->x + first, *gy = sum >= FX_NORM_SUM_GRADIENT ? rows->gy + first : NULL;
    if (sum != FX_NORM_SUM_X)
        memcpy(mean, rows->mean + first, width * sizeof *mean);
    for (size_t k = 0; k < rows->rows; k++)
        for (size_t i = 0; i < width; i++) {
            float v = x[k * rows->c + i], d = v - mean[i];
            if (sum == FX_NORM_SUM_X)
                a[i] += v;
            else if (sum == FX_NORM_SUM_ABSOLUTE)
                a[i] += __builtin_fabsf(d);
            else if (sum == FX_NORM_SUM_SQUARE)
                a[i] += d * d;
            else if (sum == FX_NORM_SUM_SHIFTED)
                a[i] += d * power_of_two(d);
            else {
                float g = gy[k * rows->c + i];
                a[i] += g;
                b[i] += g * (sum == FX_NORM_SUM_GRADIENT_SHIFTED ? power_of_two(d) : d);
                s[i] += sum == FX_NORM_SUM_GRADIENT_SIGNS ? sign_of(d) : 0;
            }
        }
    memcpy(rows->a + first, a, width * sizeof *a);
    if (sum >= FX_NORM_SUM_GRADIENT)
        memcpy(rows->b + first, b, width * sizeof *b);
    if (sum == FX_NORM_SUM_GRADIENT_SIGNS)
        memcpy(rows->s + first, s, width * sizeof *s);
}

INLINE void sum_channels(FxNormSum sum, const FxNormRows *rows) {
    size_t i = 0;
    for (; i + LANES <= rows->c; i += LANES)
        sum_block(sum, LANES, rows, i);
    if (i < rows->c)
        sum_block(sum, rows->c - i, rows, i);
}

static void sum_rows(FxNormSum sum, const FxNormRows *rows) {
    switch (sum) { // each a loop of its own
    case FX_NORM_SUM_X: sum_channels(FX_NORM_SUM_X, rows); break;
    case FX_NORM_SUM_ABSOLUTE: sum_channels(FX_NORM_SUM_ABSOLUTE, rows); break;
    case FX_NORM_SUM_SQUARE: sum_channels(FX_NORM_SUM_SQUARE, rows); break;
    case FX_NORM_SUM_SHIFTED: sum_channels(FX_NORM_SUM_SHIFTED, rows); break;
    case FX_NORM_SUM_GRADIENT: sum_channels(FX_NORM_SUM_GRADIENT, rows); break;
    case FX_NORM_SUM_GRADIENT_SIGNS: sum_channels(FX_NORM_SUM_GRADIENT_SIGNS, rows); break;
    case FX_NORM_SUM_GRADIENT_SHIFTED: sum_channels(FX_NORM_SUM_GRADIENT_SHIFTED, rows); break;
    }
}

// at: of the first element. j: its place in the period.
INLINE void map_block(FxNormMap map, size_t width, const FxNormElements *e, size_t at, size_t j) {
    float out[LANES]; // out may be an input: read before written
    for (size_t i = 0; i < width; i++) {
        float q = e->q[j + i];
        if (map == FX_NORM_MAP_XHAT)
            out[i] = (e->x[at + i] - e->p[j + i]) * q;
        else if (map == FX_NORM_MAP_APPLY)
            out[i] = __builtin_fmaf(q, e->x[at + i] - e->p[j + i], e->r[j + i]);
        else if (map == FX_NORM_MAP_AFFINE)
            out[i] = __builtin_fmaf(q, e->x[at + i], e->r[j + i]);
        else if (map == FX_NORM_MAP_BACK)
            out[i] = (e->gy[at + i] - e->r[j + i]) * q;
        else {
            float d = e->x[at + i] - e->p[j + i];
            float t = map == FX_NORM_MAP_BACK_LINEAR ? d : map == FX_NORM_MAP_BACK_SIGN ? sign_of(d) : power_of_two(d);
            out[i] = ((e->gy[at + i] - e->r[j + i]) - t * e->s[j + i]) * q;
        }
    }
    memcpy(e->out + at, out, width * sizeof *out);
}

INLINE void map_periods(FxNormMap map, const FxNormElements *e) {
    for (size_t at = 0; at < e->n; at += e->period) {
        size_t take = e->n - at < e->period ? e->n - at : e->period, j = 0;
        for (; j + LANES <= take; j += LANES)
            map_block(map, LANES, e, at + j, j);
        if (j < take)
            map_block(map, take - j, e, at + j, j);
    }
}

static void map_elements(FxNormMap map, const FxNormElements *elements) {
    switch (map) {
    case FX_NORM_MAP_XHAT: map_periods(FX_NORM_MAP_XHAT, elements); break;
    case FX_NORM_MAP_APPLY: map_periods(FX_NORM_MAP_APPLY, elements); break;
    case FX_NORM_MAP_AFFINE: map_periods(FX_NORM_MAP_AFFINE, elements); break;
    case FX_NORM_MAP_BACK: map_periods(FX_NORM_MAP_BACK, elements); break;
    case FX_NORM_MAP_BACK_LINEAR: map_periods(FX_NORM_MAP_BACK_LINEAR, elements); break;
    case FX_NORM_MAP_BACK_SIGN: map_periods(FX_NORM_MAP_BACK_SIGN, elements); break;
    case FX_NORM_MAP_BACK_SHIFTED: map_periods(FX_NORM_MAP_BACK_SHIFTED, elements); break;
    }
}

typedef struct Extremes {
    float max[LANES], min[LANES];
    int32_t max_at[LANES], min_at[LANES];
} Extremes;

INLINE void extremes_block(Extremes *e, size_t width, const float *x, size_t rows, size_t c) {
    Extremes m = {.max_at = {0}};
    memcpy(m.max, x, width * sizeof *x);
    memcpy(m.min, x, width * sizeof *x);
    for (size_t k = 1; k < rows; k++)
        for (size_t i = 0; i < width; i++) {
            float v = x[k * c + i];
            m.max_at[i] = v > m.max[i] ? (int32_t)k : m.max_at[i];
            m.max[i] = v > m.max[i] ? v : m.max[i];
            m.min_at[i] = v < m.min[i] ? (int32_t)k : m.min_at[i];
            m.min[i] = v < m.min[i] ? v : m.min[i];
        }
    *e = m;
}

static void extremes(float *max, float *min, int32_t *max_at, int32_t *min_at, const float *x, size_t rows, size_t c,
                     size_t channels) {
    for (size_t i = 0; i < channels; i += LANES) {
        size_t width = channels - i < LANES ? channels - i : LANES;
        Extremes e;
        if (width == LANES)
            extremes_block(&e, LANES, x + i, rows, c);
        else
            extremes_block(&e, width, x + i, rows, c);
        memcpy(max + i, e.max, width * sizeof *max);
        memcpy(min + i, e.min, width * sizeof *min);
        memcpy(max_at + i, e.max_at, width * sizeof *max_at);
        memcpy(min_at + i, e.min_at, width * sizeof *min_at);
    }
}

static float power_of_two_of(float v) {
    return power_of_two(v);
}

const FxNormKernelsF32 FX_NORM_KERNELS_F32_TABLE = {FX_NORM_KERNELS_F32_CPU, sum_rows, map_elements, extremes, power_of_two_of};
