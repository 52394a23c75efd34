// The roundings, inline: formats/round.c makes the table of specifications from them, the kernels of each
// instruction set make array loops. All: x / 2^s, 0 < s <= 62, |x| < 2^62. q, rem: floor and what it drops.
// nu, frac: the dropped part of the magnitude, as a share of a step. Shifting a negative right is floor (asserted in
// round.c).
#ifndef FX_ROUND_BODY_H
#define FX_ROUND_BODY_H

#include "formats/round.h"

static inline uint64_t round_magnitude(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

static inline int64_t round_signed(int64_t x, uint64_t magnitude) {
    return x < 0 ? -(int64_t)magnitude : (int64_t)magnitude;
}

static inline uint64_t round_low(uint64_t x, int bits) {
    return x & ((UINT64_C(1) << bits) - 1);
}

// floor(rem * 2^bits / 2^s) for rem < 2^s, bits <= 33.
static inline uint64_t round_scale(uint64_t rem, int s, int bits) {
    return s >= bits ? rem >> (s - bits) : rem << (bits - s);
}

// The same to nearest, ties to even.
static inline uint64_t round_scale_even(uint64_t rem, int s, int bits) {
    int drop = s > bits ? s - bits : 0;
    uint64_t q = round_scale(rem, s, bits);
    uint64_t rest = round_low(rem, drop), half = (UINT64_C(1) << drop) >> 1;
    return q + (drop > 0 && rest + (q & 1) > half);
}

// Nearest modes: above half a step always up; at half, what the mode says.
static inline int64_t round_nearest_even(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    int64_t q = x >> s;
    uint64_t rem = round_low((uint64_t)x, s), half = UINT64_C(1) << (s - 1);
    return q + (rem + ((uint64_t)q & 1) > half);
}

static inline int64_t round_nearest_away(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    uint64_t m = round_magnitude(x);
    return round_signed(x, (m + (UINT64_C(1) << (s - 1))) >> s);
}

static inline int64_t round_nearest_zero(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    uint64_t m = round_magnitude(x);
    return round_signed(x, (m + (UINT64_C(1) << (s - 1)) - 1) >> s);
}

static inline int64_t round_nearest_up(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return (x + (INT64_C(1) << (s - 1))) >> s;
}

static inline int64_t round_nearest_down(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return (x + (INT64_C(1) << (s - 1)) - 1) >> s;
}

static inline int64_t round_toward_zero(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return round_signed(x, round_magnitude(x) >> s);
}

static inline int64_t round_away(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return round_signed(x, (round_magnitude(x) + (UINT64_C(1) << s) - 1) >> s);
}

static inline int64_t round_floor(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return x >> s;
}

static inline int64_t round_ceil(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return (x + (INT64_C(1) << s) - 1) >> s;
}

// To odd: inexact results get an odd code, so that a later rounding sees that something was lost.
static inline int64_t round_odd(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    return (x >> s) | (round_low((uint64_t)x, s) != 0);
}

// Inexact: the neighbour farther from zero iff the top random bit is 1.
static inline int64_t round_equal(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t m = round_magnitude(x);
    return round_signed(x, (m >> s) + ((round_low(m, s) != 0) & ((R >> (arg->bits - 1)) & 1)));
}

// Variants A, B, C work on the fraction above the floor; they differ in how it is cut to r bits.
static inline int64_t round_stochastic_a(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t d = round_scale(round_low((uint64_t)x, s), s, arg->bits);
    return (x >> s) + (int64_t)((d + R) >> arg->bits);
}

static inline int64_t round_stochastic_b(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t d = round_scale(round_low((uint64_t)x, s), s, arg->bits + 1);
    return (x >> s) + (int64_t)((d + 2 * (uint64_t)R + 1) >> (arg->bits + 1));
}

static inline int64_t round_stochastic_c(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t d = round_scale_even(round_low((uint64_t)x, s), s, arg->bits);
    return (x >> s) + (int64_t)((d + R) >> arg->bits);
}

// WAGE: away from zero iff frac * 2^r > R * 2^s.
static inline int64_t round_stochastic_below(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t m = round_magnitude(x), frac = round_low(m, s), level = R;
    int bits = arg->bits;
    bool up = s >= bits ? frac > level << (s - bits) : frac << (bits - s) > level;
    return round_signed(x, (m >> s) + up);
}

static inline int64_t round_sr_eps(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)direction;
    uint64_t m = round_magnitude(x), frac = round_low(m, s);
    uint64_t sum = round_scale_even(frac, s, arg->bits) + arg->eps + R;
    return round_signed(x, (m >> s) + (frac != 0 && sum >> arg->bits));
}

// Biased against the sign of the amount subtracted.
static inline int64_t round_signed_sr_eps(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    uint64_t rem = round_low((uint64_t)x, s);
    int64_t sum = (int64_t)round_scale_even(rem, s, arg->bits) - direction * (int64_t)arg->eps + (int64_t)R;
    return (x >> s) + (rem != 0 && sum >= INT64_C(1) << arg->bits);
}

static inline int64_t round_add_constant(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction;
    int64_t c = arg->constant;
    return (x + (s >= 8 ? c << (s - 8) : (c << s) >> 8)) >> s;
}

// NITI: the high half of the dropped bits plays the fraction, the low half the random number.
static inline int64_t round_pseudo(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    uint64_t m = round_magnitude(x), rem = round_low(m, s);
    uint64_t high = rem >> (s / 2), low = round_low(rem, s / 2) << (s & 1);
    return round_signed(x, (m >> s) + (high > low));
}

#endif
