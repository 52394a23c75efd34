// How far rounding turns a tensor, and what to make of it: the search for the exponent at which a fixed grid keeps the
// direction best, and the factor of the learning rate. Source: Zhu et al. 1912.12607, direction sensitive gradient clipping
// and deviation counteractive learning rate scaling; here exponents are powers of two and everything is integers.
#ifndef FX_DIRECTION_H
#define FX_DIRECTION_H

#include "formats/grid.h"
#include "formats/tensor.h"

enum {
    FX_DIRECTION_OFFSETS = 5, // 0 .. 4 below the exponent of rule max
    FX_DIRECTION_MOST_BITS = 32, // of the grid
    FX_DEVIATION_ONE = 1 << 15 // deviations and factors are multiples of 2^-15
};

// Sums over a tensor g and its codes c_j at each offset j, exact: parts may be added up in any order, by any number of threads.
typedef struct FxDirection {
    int64_t low, high; // of the grid
    int unit, left;    // g is read as an integer of unit 2^unit, then shifted left
    bool rounds;       // to that unit, to nearest-even
    int shift;         // c_j = g / 2^(shift - j)
    unsigned __int128 source; // sum of g^2
    unsigned __int128 dot[FX_DIRECTION_OFFSETS], codes[FX_DIRECTION_OFFSETS]; // of g * c_j and c_j^2
} FxDirection;

// Nothing added yet. max_abs * 2^max_exponent: the largest finite magnitude of x, as fx_max_abs says (integers: max_exponent is
// that of x). exponent: of the code's unit that rule max chooses for it. grid: fixed, at most FX_DIRECTION_MOST_BITS bits. Integers of up to 40 bits are
// read exactly; wider ones and floats are rounded to nearest-even to multiples of 2^(floor(log2 max) - 30).
void fx_direction_start(FxDirection *d, const FxTensor *x, const FxGrid *grid, uint64_t max_abs, int max_exponent, int exponent);

// Adds elements [first, first + n) of x: int8 to int64 below 2^62, or float32, whose NaN and infinities count as 0. Codes are rounded to
// nearest, ties to even, and saturate.
void fx_direction_add(FxDirection *d, const FxTensor *x, size_t first, size_t n);

// Adds a part that began alike.
void fx_direction_merge(FxDirection *sum, const FxDirection *part);

// The offset whose codes deviate least, the smaller of equals; *deviation (NULL: not wanted): 1 - cos there, 0 .. 1, in 2^-15,
// rounded to nearest, ties up. cos = (dot >> a) / isqrt((|g|^2 >> a) * (|c|^2 >> a)), c in the unit of g, isqrt floored, with the a that brings the
// largest of the three to 31 bits (a left shift where they have fewer); at most 1, and 0 where a norm is 0;
// quotients are compared exactly.
// A g of zeros has offset 0 and deviation 0.
int fx_direction_choose(const FxDirection *d, int32_t *deviation);

// All of it for a whole tensor. cpu: flags of formats/cpu.h.
int fx_direction_offset(const FxTensor *x, const FxGrid *grid, int exponent, unsigned cpu, int32_t *deviation);

// max(exp(-20 d), 0.1) in 2^-15, rounded to nearest, for the deviation d in 2^-15, 0 .. 1, which is first rounded to 2^-8, ties up.
int32_t fx_deviation_factor(int32_t deviation);

#endif
