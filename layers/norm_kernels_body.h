// Bodies of the inner loops of the integer norms. Included once by the file of each instruction set, which defines
// FX_NORM_KERNELS_TABLE and FX_NORM_KERNELS_CPU; the compiler makes the vectors. Integers only.
#include "layers/norm_kernels.h"

#define INLINE __attribute__((always_inline)) static inline

// The kernel `name` of the loop over lanes `loop`, which of a full block has a constant length.
#define KERNEL(name, loop)                                                                     \
    static void name(const FxNormBlock *block, const FxNormLanes *lanes, FxNormSums *sums) {   \
        if (block->lanes == FX_NORM_LANES)                                                     \
            loop(block, lanes, sums, FX_NORM_LANES);                                           \
        else                                                                                   \
            loop(block, lanes, sums, block->lanes);                                            \
    }

// The highest bit of v alone; 0 of 0.
INLINE uint32_t highest_bit(uint32_t v) {
#ifdef __AVX512CD__ // counts the leading zeros of whole vectors
    return UINT32_C(0x80000000) >> __builtin_clz(v | 1) & (0 - (uint32_t)(v != 0));
#else
    v |= v >> 1;
    v |= v >> 2;
    v |= v >> 4;
    v |= v >> 8;
    v |= v >> 16;
    return v - (v >> 1);
#endif
}

// sgn(d) * 2^(log2 |d| to nearest), |d| < 2^16: the top bit of |d| * sqrt(2), whose rounding up changes none of them.
INLINE int32_t power_of(int32_t d) {
    const int32_t power = (int32_t)highest_bit((uint32_t)(d < 0 ? -d : d) * 46341u >> 15);
    return d < 0 ? -power : power;
}

INLINE void see(int32_t y, int32_t *largest, int32_t *zeros) {
    const int32_t m = y < 0 ? -y : y;
    *largest = m > *largest ? m : *largest;
    *zeros += y == 0;
}

INLINE void see_lanes(FxNormSums *s, const int32_t *largest, const int32_t *zeros, size_t n) {
    for (size_t i = 0; i < n; i++) {
        s->largest[i] = largest[i] > s->largest[i] ? largest[i] : s->largest[i];
        s->zeros[i] += zeros[i];
    }
}

#define NAME(name) name##_8
#define CODE int8_t
#define FRACTION 8
#include "layers/norm_kernels_loops.h"
#define PAIR(name) name##_8_8
#define ERROR int8_t
#define SPLIT 0
#include "layers/norm_kernels_pairs.h"
#define PAIR(name) name##_8_16
#define ERROR int16_t
#define SPLIT 0
#include "layers/norm_kernels_pairs.h"
#undef NAME
#undef CODE
#undef FRACTION

#define NAME(name) name##_16
#define CODE int16_t
#define FRACTION 0
#include "layers/norm_kernels_loops.h"
#define PAIR(name) name##_16_8
#define ERROR int8_t
#define SPLIT 0
#include "layers/norm_kernels_pairs.h"
#define PAIR(name) name##_16_16
#define ERROR int16_t
#define SPLIT 1 // the product of two codes has 31 bits
#include "layers/norm_kernels_pairs.h"
#undef NAME
#undef CODE
#undef FRACTION

#define ONE(name) {name##_8, name##_16}
#define TWO(name) {{name##_8_8, name##_8_16}, {name##_16_8, name##_16_16}}

const FxNormKernels FX_NORM_KERNELS_TABLE = {
    FX_NORM_KERNELS_CPU, ONE(add), ONE(squares), ONE(extremes), ONE(sides), ONE(powers), ONE(map),
    TWO(products), TWO(power_products), TWO(plain), TWO(sign_steps), TWO(line_steps), TWO(power_steps),
};
