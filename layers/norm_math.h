// The integer norms' arithmetic a channel: roundings, quotients, reciprocals, powers of two. Never in an element's loop.
#ifndef FX_NORM_MATH_H
#define FX_NORM_MATH_H

#include "layers/norm.h"

int64_t fx_norm_saturate(int64_t v, int64_t limit); // to +-limit

// floor(v / 2^s + 1/2); s <= 0: v * 2^-s, which the caller knows to fit. |v| < 2^62.
int64_t fx_norm_shift(int64_t v, int s);

// floor(a / n + 1/2); n > 0.
int64_t fx_norm_quotient(int64_t a, int64_t n);

// The same; of hardware_division a product with n's reciprocal of 15 to 16 bits, rounded to nearest. |a| < 2^62.
int64_t fx_norm_mean(const FxNormRule *rule, int64_t a, size_t n);

// floor(a * 2^s / b + 1/2), rounded once; a >= 0, b > 0, s of any sign. The result must fit.
int64_t fx_norm_scaled_quotient(int64_t a, int s, int64_t b);

int fx_norm_bits(int64_t v); // of |v|; 0 of 0
int64_t fx_norm_root(int64_t v); // floor(sqrt(v)), v >= 0

// sgn(v) * 2^k, k = log2 |v| rounded to nearest; 0 of 0. |v| < 2^31.
int64_t fx_norm_power(int64_t v);

// R * 2^-k ~ num / den with 2^14 <= R < 2^15; num, den > 0. By the rule's division: to nearest, from a table of
// 2^lut_bits entries with or without a Newton step, or R = 2^14.
void fx_norm_reciprocal(const FxNormRule *rule, int64_t num, int64_t den, int32_t *R, int32_t *k);

// G * 2^exponent ~ gamma * R * 2^unit with |G| < 2^15. P: the product; bits: how many were rounded away.
typedef struct FxNormGain {
    int32_t P, G;
    int bits, exponent;
} FxNormGain;

FxNormGain fx_norm_gain(const FxNormRule *rule, int64_t gamma, int32_t R, int unit);

#endif
