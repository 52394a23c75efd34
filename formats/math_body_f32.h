// Bodies of the float32 functions of math_f32.h. Included once by the file of each instruction set, which defines
// FX_MATH_F32_TABLE and FX_MATH_F32_CPU; the compiler makes the vectors. No branch, no fused operation: with
// -ffp-contract=off every compiler and lane width gives the same bits.
#include "formats/bits_f32.h"
#include "formats/math_f32.h"

#define INLINE __attribute__((always_inline)) static inline

// Adding and taking away 1.5 * 2^52 rounds to an integer and leaves it in the low bits of the sum.
#define ROUNDER 0x1.8p52

// exp(x) = 2^n * exp(r), |r| <= ln2 / 2, by Taylor's series through r^9: it leaves r^10 / 10! < 7e-12, far below half a
// float32 ulp, so that the one rounding to float32 decides. n * (the first 36 bits of ln2) is exact.
INLINE float exp_of(float value) {
    double x = value;
    x = x > 100 ? 100 : x; // beyond these ends the result is Inf or 0; a NaN passes both
    x = x < -110 ? -110 : x;
    double t = x * 0x1.71547652b82fep+0 + ROUNDER, n = t - ROUNDER;
    double r = (x - n * 0x1.62e42fefap-1) - n * 0x1.cf79abc9e3b3ap-40;
    double p = 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    float y = (float)(p * fx_double_of((fx_double_bits(t) + 1023) << 52));
    return value != value ? fx_float_of(0x7FC00000) : y;
}

// log(x) = k * ln2 + log(m), sqrt(1/2) <= m < sqrt(2), log(m) = 2 artanh(s) with s = (m - 1) / (m + 1), through s^13.
// The conversion to float64 makes subnormal numbers normal ones.
INLINE float log_of(float value) {
    const uint64_t half = 0x3FE6A09E667F3BCD, bias = UINT64_C(1024) << 52;
    double x = value;
    uint64_t bits = fx_double_bits(x), e = (bits - half + bias) >> 52;
    double m = fx_double_of(bits - ((e - 1024) << 52));
    double k = fx_double_of(e | 0x4330000000000000) - (0x1p52 + 1024);
    double s = (m - 1) / (m + 1), z = s * s;
    double p = 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    p = p * z + 1;
    float y = (float)(k * 0x1.62e42fefa39efp-1 + 2 * s * p);
    y = value == 0 ? fx_float_of(0xFF800000) : y;
    y = value > 0x1.fffffep127f ? value : y;
    return value >= 0 ? y : fx_float_of(0x7FC00000);
}

static void exp_array(float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = exp_of(x[i]);
}

static void log_array(float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = log_of(x[i]);
}

const FxMathF32 FX_MATH_F32_TABLE = {FX_MATH_F32_CPU, exp_array, log_array};
