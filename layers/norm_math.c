#include "layers/norm_math.h"

#include <assert.h>

typedef __int128 Wide;

int64_t fx_norm_saturate(int64_t v, int64_t limit) {
    return v > limit ? limit : v < -limit ? -limit : v;
}

int64_t fx_norm_shift(int64_t v, int s) {
    if (s <= 0)
        return v * (INT64_C(1) << -s);
    s = s < 63 ? s : 63;
    return ((v >> (s - 1)) + 1) >> 1;
}

static Wide quotient(Wide a, Wide n) {
    Wide q = a / n, rest = a % n;
    if (rest < 0)
        q--, rest += n;
    return q + (2 * rest >= n);
}

int64_t fx_norm_quotient(int64_t a, int64_t n) {
    return (int64_t)quotient(a, n);
}

int64_t fx_norm_mean(const FxNormRule *rule, int64_t a, size_t n) {
    if (!rule->hardware_division)
        return fx_norm_quotient(a, (int64_t)n);
    const int shift = fx_norm_bits((int64_t)n) - 1 + 15;
    const Wide product = (Wide)a * fx_norm_quotient(INT64_C(1) << shift, (int64_t)n);
    return (int64_t)(((product >> (shift - 1)) + 1) >> 1);
}

int64_t fx_norm_scaled_quotient(int64_t a, int s, int64_t b) {
    if (s >= 0)
        return (int64_t)quotient((Wide)a * ((Wide)1 << s), b);
    return s < -62 ? 0 : (int64_t)quotient(a, (Wide)b * ((Wide)1 << -s)); // a / b < 2^63 / 2^63 is no half
}

int fx_norm_bits(int64_t v) {
    const uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
    return m ? 64 - __builtin_clzll(m) : 0;
}

int64_t fx_norm_root(int64_t v) {
    uint64_t rest = (uint64_t)v, root = 0;
    for (uint64_t bit = UINT64_C(1) << 62; bit; bit >>= 2) {
        const uint64_t trial = root + bit;
        root >>= 1;
        if (rest >= trial) {
            rest -= trial;
            root += bit;
        }
    }
    return (int64_t)root;
}

int64_t fx_norm_power(int64_t v) {
    const int64_t m = v < 0 ? -v : v;
    if (m == 0)
        return 0;
    int k = fx_norm_bits(m) - 1;
    k += (uint64_t)m * (uint64_t)m >= UINT64_C(1) << (2 * k + 1);
    return v < 0 ? -(INT64_C(1) << k) : INT64_C(1) << k;
}

// The nearest R: 2^14 <= num * 2^k / den < 2^15 holds for the exact quotient.
static void divide(int64_t num, int64_t den, int32_t *R, int32_t *k) {
    int s = 14 + fx_norm_bits(den) - fx_norm_bits(num);
    const Wide left = s > 0 ? (Wide)num << s : num, right = s < 0 ? (Wide)den << -s : den;
    s += left < right << 14;
    int64_t q = fx_norm_scaled_quotient(num, s, den);
    *k = q == 1 << 15 ? s - 1 : s;
    *R = q == 1 << 15 ? 1 << 14 : (int32_t)q;
}

static void look_up(const FxNormRule *rule, int64_t num, int64_t den, int32_t *R, int32_t *k) {
    const int b = rule->lut_bits;
    int32_t Q, kq;
    divide(den, num, &Q, &kq);
    const int64_t i = (Q - (1 << 14)) >> (14 - b);
    int64_t r = fx_norm_quotient(INT64_C(1) << (16 + b), (INT64_C(1) << (b + 1)) + 2 * i + 1);
    if (rule->newton) {
        r += fx_norm_shift(r * ((INT64_C(1) << 29) - Q * r), 29);
        r = r < 1 << 14 ? 1 << 14 : r > (1 << 15) - 1 ? (1 << 15) - 1 : r;
    }
    *R = (int32_t)r;
    *k = 29 - kq;
}

void fx_norm_reciprocal(const FxNormRule *rule, int64_t num, int64_t den, int32_t *R, int32_t *k) {
    assert(num > 0 && den > 0);
    if (rule->division == FX_NORM_LUT) {
        assert(rule->lut_bits >= 1 && rule->lut_bits <= 14);
        look_up(rule, num, den, R, k);
        return;
    }
    divide(num, den, R, k);
    if (rule->division == FX_NORM_POWER_OF_TWO) {
        *k -= *R >= 23171; // 2^14.5
        *R = 1 << 14;
    }
}

FxNormGain fx_norm_gain(const FxNormRule *rule, int64_t gamma, int32_t R, int unit) {
    FxNormGain g = {.P = (int32_t)((rule->kind == FX_NORM_SHIFT ? fx_norm_power(gamma) : gamma) * R)};
    g.bits = fx_norm_bits(g.P) > 15 ? fx_norm_bits(g.P) - 15 : 0;
    g.G = (int32_t)fx_norm_shift(g.P, g.bits);
    if (g.G == 1 << 15 || g.G == -(1 << 15)) {
        g.G /= 2;
        g.bits++;
    }
    g.exponent = unit + g.bits;
    return g;
}
