// The slow twin of the float accumulators: sums exact in MPFR with enough bits for anything that float32 products add up to,
// laws from their definitions on the exact fraction. It shares no code and no trick with layers/.
#ifndef FX_TESTS_SLOW_SUM_H
#define FX_TESTS_SLOW_SUM_H

#include "layers/accumulator_f32.h"

// Whether this build has MPFR; without it slow_sum must not be called.
bool slow_sum_exists(void);

// One output: k products a[i] * b[i] * 2^exponent in this order, its words from 32-bit lanes of rng. Grids with subnormals.
float slow_sum(const FxAccumulator *acc, const float *a, const float *b, size_t k, int exponent, const float *bias, FxRng rng,
               uint64_t output, FxAccumulatorCountsF32 *counts);

#endif
