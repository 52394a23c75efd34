// The slow twin: roundings and scale choices from their definitions, by division and remainder in 128 bits and by loops
// over exponents. It shares no code and no trick with formats/; nothing is shifted and nothing is masked.
#ifndef FX_TESTS_SLOW_H
#define FX_TESTS_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef __int128 Wide;

// A law of rounding, named as recipes do: "nearest-even", NULL; "stochastic", "below".
typedef struct SlowLaw {
    const char *name, *variant;
    int bits;            // random bits r
    uint64_t eps_digits; // e = eps_digits / 10^eps_places
    int eps_places;
    int constant;        // add-constant, 1/256 of a step
    int direction;       // sign of the amount subtracted
} SlowLaw;

// x / 2^s rounded; 0 <= s, |x| < 2^62, s + r + 1 <= 125. R: r random bits.
Wide slow_round(const SlowLaw *law, Wide x, int s, uint32_t R);

// How many of the 2^r random words give the upper (on_magnitude: the farther from zero) neighbour. Random laws only.
uint64_t slow_ups(const SlowLaw *law, Wide x, int s, bool *on_magnitude);

// x * 2^n and x / 2^n exactly as far as they go; n <= 126.
Wide slow_power(int n);
// floor(a / b), b > 0.
Wide slow_floor(Wide a, Wide b);
// q brought into [low, low + 2^bits) by adding a multiple of 2^bits.
Wide slow_wrap(Wide q, Wide low, int bits);
// e * 2^r to nearest, ties to even.
uint64_t slow_eps(uint64_t digits, int places, int bits);

// The codes of a grid: equal steps from low to high, or the two that are no equal steps.
typedef struct SlowGrid {
    enum { SLOW_FIXED, SLOW_BINARY, SLOW_TERNARY } kind;
    Wide low, high;
    int bits;
    bool wrap;                 // else saturate
    uint64_t threshold_digits; // ternary: threshold_digits / 10^threshold_places
    int threshold_places;
} SlowGrid;

// The code of v / 2^shift, |v| < 2^62, shift of any sign as far as slow_round goes, and whether the rounded, unclamped
// code was outside the grid.
int64_t slow_code(const SlowGrid *grid, const SlowLaw *law, Wide v, int shift, uint32_t R, bool *outside);

// The exponent k that a rule takes for 2^k: the largest with 2^k <= m; the smallest with m <= 2^k; the nearest in the
// log, i.e. 2^(2k-1) < m^2 < 2^(2k+1). m > 0.
int slow_log2_floor(uint64_t m);
int slow_log2_ceil(uint64_t m);
int slow_log2_nearest(uint64_t m);

// The shift of an integer source under a scale rule without parameters, and the exponent printed for its codes (source
// exponent 0). bits without the sign; `lower` as in formats/scale.h. max > 0.
int slow_scale(int *exponent, const char *rule, uint64_t grid_high, int bits, int fraction, int lower, uint64_t max);

// A number that looks random, a function of i.
uint64_t slow_mix(uint64_t i);
// A signed number of at most `bits` bits, all magnitudes alike often, edges and ties of every shift among them.
int64_t slow_fill(uint64_t i, int bits);

#endif
