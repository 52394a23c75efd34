// The scalar line of math_f32.h and the float64 functions. Those keep what a float64 operation drops in a second, small
// number, so that the last addition makes most of the error: measured up to 0.81 ulp, log 0.54.
#define FX_MATH_F32_TABLE fx_math_f32_scalar
#define FX_MATH_F32_CPU FX_CPU_SCALAR
#include "formats/math_body_f32.h"

static const FxMathF32 *const table[] = {
    &fx_math_f32_scalar,
#if defined(__x86_64__)
    &fx_math_f32_avx2,
    &fx_math_f32_avx512,
#endif
};

static const FxMathF32 *line_of(unsigned cpu) {
    const FxMathF32 *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}

float fx_expf(float x) {
    return exp_of(x);
}

float fx_logf(float x) {
    return log_of(x);
}

void fx_exp_array_f32(float *x, size_t n, unsigned cpu) {
    line_of(cpu)->exp(x, n);
}

void fx_log_array_f32(float *x, size_t n, unsigned cpu) {
    line_of(cpu)->log(x, n);
}

static double nan_f64(void) {
    return fx_double_of(UINT64_C(0x7FF8) << 48);
}

// c[0] + c[1] x + ... + c[n - 1] x^(n-1)
static double polynomial(const double *c, int n, double x) {
    double p = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        p = p * x + c[i];
    return p;
}

// 2^n, -1022 <= n <= 1023
static double power_of_two(int n) {
    return fx_double_of((uint64_t)(n + 1023) << 52);
}

// ln2 in two parts: n * (the first 32 bits) is exact for |n| < 2^21.
#define LN2_HIGH 0x1.62e42ffp-1
#define LN2_LOW -0x1.718432a1b0e26p-35

// As in float32, with r = high - low kept in two parts and the series through r^14: it leaves less than 1e-19.
double fx_exp(double x) {
    static const double c[] = {1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
                               1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200};
    if (x != x)
        return nan_f64();
    x = x > 710 ? 710 : x < -746 ? -746 : x; // Inf and 0 beyond
    double n = (x * 0x1.71547652b82fep+0 + ROUNDER) - ROUNDER;
    double high = x - n * LN2_HIGH, low = n * LN2_LOW, r = high - low, rest = (high - r) - low;
    double y = 1 + (r + (rest * (1 + r) + r * r * polynomial(c, sizeof c / sizeof c[0], r)));
    int k = (int)n, half = k / 2; // in two steps, since 2^k may lie outside the range where the result does not
    return y * power_of_two(half) * power_of_two(k - half);
}

// The first 26 bits of x: products of two such numbers are exact.
static double upper(double x) {
    return fx_double_of(fx_double_bits(x) >> 27 << 27);
}

// 2 artanh(s) with the quotient s in two parts, the series through s^23: it leaves less than 2e-20 of the whole.
double fx_log(double x) {
    static const double c[] = {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    if (!(x >= 0))
        return nan_f64();
    if (x == 0 || x > 0x1.fffffffffffffp1023)
        return x == 0 ? fx_double_of(UINT64_C(0xFFF0) << 48) : x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits = fx_double_bits(x), e = (bits - 0x3FE6A09E667F3BCD + (UINT64_C(1024) << 52)) >> 52;
    double m = fx_double_of(bits - ((e - 1024) << 52));
    k += (int)e - 1024;
    double f = m - 1, h = m + 1, h_rest = m - (h - 1), s = f / h; // f, h + h_rest: exact
    double s1 = upper(s), s2 = s - s1, h1 = upper(h), h2 = h - h1;
    double s_rest = (((f - s1 * h1) - s1 * h2) - s2 * h1 - s2 * h2 - s * h_rest) / h;
    double z = s * s, tail = 2 * (s_rest + s * z * polynomial(c, sizeof c / sizeof c[0], z)) + k * LN2_LOW;
    double a = k * LN2_HIGH, sum = a + 2 * s; // |a| > |2 s| or a = 0: what the sum drops comes out exactly
    return sum + (((a - sum) + 2 * s) + tail);
}

// Both take x + rest, |x| <= pi / 4.
static double cos_near(double x, double rest) {
    static const double c[] = {1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200,
                               1.0 / 20922789888000, -1.0 / 6402373705728000};
    double z = x * x, half = 0.5 * z, w = 1 - half;
    return w + (((1 - w) - half) + (z * z * polynomial(c, sizeof c / sizeof c[0], z) - x * rest));
}

static double sin_near(double x, double rest) {
    static const double c[] = {1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000,
                               1.0 / 355687428096000};
    double z = x * x, v = z * x;
    return x - ((z * (0.5 * rest - v * polynomial(c, sizeof c / sizeof c[0], z)) - rest) + v * (1.0 / 6));
}

// *a + *rest -= b, |*rest| small.
static void take(double *a, double *rest, double b) {
    double sum = *a - b, part = sum - *a;
    *rest += (*a - (sum - part)) - (b + part);
    *a = sum;
}

// x - n * pi/2 with pi/2 in parts of 30, 30, 30 and 53 bits: n < 2^20 times each of the first three is exact, and
// x - n * the first too.
double fx_cos(double x) {
    if (!(x >= -0x1p20 && x <= 0x1p20))
        return nan_f64();
    double n = (x * 0x1.45f306dc9c883p-1 + ROUNDER) - ROUNDER, r = x - n * 0x1.921fb548p+0, rest = 0;
    take(&r, &rest, n * -0x1.de973dc8p-31);
    take(&r, &rest, n * -0x1.9d9cceb8p-62);
    rest -= n * -0x1.1fc8f8cbb5bf7p-93;
    double head = r + rest;
    rest = (r - head) + rest;
    switch ((int)n & 3) {
    case 0: return cos_near(head, rest);
    case 1: return -sin_near(head, rest);
    case 2: return -cos_near(head, rest);
    default: return sin_near(head, rest);
    }
}
