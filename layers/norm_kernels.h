// Inner loops of the integer norms, one table an instruction set, all from the same source. A loop works on a block of
// rows of `lanes` elements; each lane belongs to one channel and has its own parameters and sums.
#ifndef FX_NORM_KERNELS_H
#define FX_NORM_KERNELS_H

#include "formats/cpu.h"

#include <stddef.h>
#include <stdint.h>

// Rows of a block: sums of 16 bits times 8 bits, and counts in 16 bits, are safe.
enum { FX_NORM_LANES = 64, FX_NORM_BLOCK_ROWS = 512 };

typedef struct FxNormBlock {
    const void *x, *e; // int8 or int16, symmetric
    int32_t *y;
    size_t stride;    // elements from row to row
    size_t rows, lanes; // lanes <= FX_NORM_LANES
    int first_row;
} FxNormBlock;

// Parameters a lane. d = x * 2^F - mean.
typedef struct FxNormLanes {
    int32_t *mean, *factor, *shift, *base;
    int32_t *above, *below, *step; // d > 0: x > above; d < 0: x < below
    int32_t *unit;
    int32_t limit; // of all
} FxNormLanes;

// Sums of one block a lane; a product is low + high * 2^15.
typedef struct FxNormSums {
    int32_t sum[FX_NORM_LANES], low[FX_NORM_LANES], high[FX_NORM_LANES];
    int16_t above[FX_NORM_LANES], below[FX_NORM_LANES];
    int32_t largest[FX_NORM_LANES], zeros[FX_NORM_LANES]; // largest |y|, zeros of y
    int16_t max[FX_NORM_LANES], min[FX_NORM_LANES], max_row[FX_NORM_LANES], min_row[FX_NORM_LANES];
} FxNormSums;

typedef void FxNormKernel(const FxNormBlock *block, const FxNormLanes *lanes, FxNormSums *sums);

// By the types of x and e: 0 int8, 1 int16.
typedef struct FxNormKernels {
    unsigned cpu;
    FxNormKernel *add[2];      // sum x
    FxNormKernel *squares[2];  // sum x, products x^2
    FxNormKernel *extremes[2]; // sum x, extremes of x and the first row of each
    FxNormKernel *sides[2];    // sum x where d > 0, counts of d > 0 and d < 0
    FxNormKernel *powers[2];   // products |d| * |a|, a = sgn(d) * 2^(log2 |d| to nearest)
    FxNormKernel *map[2];      // y = round(d * factor / 2^(shift + 1)) + base
    FxNormKernel *products[2][2];       // sum e, products e * x
    FxNormKernel *power_products[2][2]; // sum e, products e * a
    // y = e * unit - base - correction, saturated to limit; its largest magnitude and zeros
    FxNormKernel *plain[2][2];       // 0
    FxNormKernel *sign_steps[2][2];  // sgn(d) * step
    FxNormKernel *line_steps[2][2];  // round(d * factor / 2^(shift + 1))
    FxNormKernel *power_steps[2][2]; // round(a * factor / 2^(shift + 1))
} FxNormKernels;

const FxNormKernels *fx_norm_kernels(unsigned cpu); // the last line whose flags are all in cpu

extern const FxNormKernels fx_norm_kernels_scalar, fx_norm_kernels_avx2, fx_norm_kernels_avx512;

#endif
