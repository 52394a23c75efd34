// exp, log and cos of our own, so that no result depends on the C library at hand: fixed polynomials from +, -, * and one
// division, in a fixed order. No fused multiply-add is needed: float32 functions work in float64 and round once,
// float64 ones carry a second, small part. Against MPFR float64 is within 0.9 ulp, float32 within 0.51, subnormals included.
// Every NaN result is the positive quiet one without payload. Rounding to nearest-even is assumed, as everywhere.
#ifndef FX_MATH_F32_H
#define FX_MATH_F32_H

#include "formats/cpu.h"

#include <stddef.h>

// float32. log of +-0: -Inf; of a negative number: NaN.
float fx_expf(float x);
float fx_logf(float x);

// x[i] = fx_expf(x[i]) or fx_logf(x[i]), the same bits on every instruction set.
void fx_exp_array_f32(float *x, size_t n, unsigned cpu);
void fx_log_array_f32(float *x, size_t n, unsigned cpu);

// float64, for schedules and logged figures. cos: |x| <= 2^20, NaN beyond.
double fx_exp(double x);
double fx_log(double x);
double fx_cos(double x);

// One line an instruction set.
typedef struct FxMathF32 {
    unsigned cpu;
    void (*exp)(float *x, size_t n);
    void (*log)(float *x, size_t n);
} FxMathF32;

extern const FxMathF32 fx_math_f32_scalar, fx_math_f32_avx2, fx_math_f32_avx512;

#endif
