// Inner loops of the norms on float32, one table an instruction set, all from the same source.
#ifndef FX_NORM_KERNELS_F32_H
#define FX_NORM_KERNELS_F32_H

#include "formats/cpu.h"

#include <stddef.h>
#include <stdint.h>

// What is added up over the rows of a channel, d = x - mean. The gradients: a = sum gy, b = sum gy d, or gy AP2(d).
typedef enum FxNormSum {
    FX_NORM_SUM_X,
    FX_NORM_SUM_ABSOLUTE,       // |d|
    FX_NORM_SUM_SQUARE,         // d^2
    FX_NORM_SUM_SHIFTED,        // |d| |AP2(d)|
    FX_NORM_SUM_GRADIENT,
    FX_NORM_SUM_GRADIENT_SIGNS, // and s = sum sgn d
    FX_NORM_SUM_GRADIENT_SHIFTED
} FxNormSum;

// Some rows of [n][c]. a, b, s: c sums each, from +0, rows ascending, one addition each.
typedef struct FxNormRows {
    const float *x, *gy, *mean;
    size_t rows, c;
    float *a, *b, *s;
} FxNormRows;

// What is made of each element, d = x - p, AP2(d) for d in the last one.
typedef enum FxNormMap {
    FX_NORM_MAP_XHAT,        // d * q
    FX_NORM_MAP_APPLY,       // fmaf(q, d, r)
    FX_NORM_MAP_AFFINE,      // fmaf(q, x, r)
    FX_NORM_MAP_BACK,        // (gy - r) * q
    FX_NORM_MAP_BACK_LINEAR, // ((gy - r) - d * s) * q
    FX_NORM_MAP_BACK_SIGN,   // ((gy - r) - sgn(d) * s) * q
    FX_NORM_MAP_BACK_SHIFTED // ((gy - r) - AP2(d) * s) * q
} FxNormMap;

// n elements, the first of channel 0; p, q, r, s repeat every `period` elements. out may be x or gy.
typedef struct FxNormElements {
    float *out;
    const float *x, *gy, *p, *q, *r, *s;
    size_t n, period;
} FxNormElements;

typedef struct FxNormKernelsF32 {
    unsigned cpu;
    void (*sum)(FxNormSum sum, const FxNormRows *rows);
    void (*map)(FxNormMap map, const FxNormElements *elements);
    // Maxima and minima of `channels` channels over rows of c, and the rows where they stand first. rows < 2^31.
    void (*extremes)(float *max, float *min, int32_t *max_at, int32_t *min_at, const float *x, size_t rows, size_t c, size_t channels);
    float (*power_of_two)(float v); // AP2
} FxNormKernelsF32;

const FxNormKernelsF32 *fx_norm_kernels_f32(unsigned cpu); // the last line whose flags are all in cpu

extern const FxNormKernelsF32 fx_norm_kernels_f32_scalar, fx_norm_kernels_f32_avx2, fx_norm_kernels_f32_avx512;

#endif
