// fx_gemm_f32 with sums that are rounded after each addition: what its tiles do then. All numbers are scaled so that the
// lowest binade of the target is float32's own. There the target's numbers, subnormals too, are the bits of float32 numbers
// with the last 23 - M cut off, and rounding is arithmetic on these bits. An instruction set without embedded roundings has
// no kernels of this kind; layers/accumulator_f32.c serves it.
#ifndef FX_GEMM_ROUNDED_F32_H
#define FX_GEMM_ROUNDED_F32_H

#include "formats/cpu.h"
#include "formats/rng.h"
#include "layers/gemm_kernel_f32.h"

typedef enum FxLawF32 {
    FX_LAW_ZERO,         // toward zero
    FX_LAW_EVEN_NARROW,  // nearest-even of products so narrow that rounding to float32 first changes nothing: see narrow_enough
    FX_LAW_EVEN,         // ... of any products
    FX_LAW_STOCHASTIC_A, // stochastic:r:a and c
    FX_LAW_STOCHASTIC_C,
} FxLawF32;

typedef struct FxStepF32 {
    FxLawF32 law;
    int mantissa_bits, random_bits; // M >= 1, M + r <= 21, r <= 8
    float most;    // scaled; larger magnitudes left the range and become this one
    bool clamps;   // false: it is proved that none does
} FxStepF32;

typedef struct FxRoundedCounts {
    uint64_t overflow, changed, nonzero; // inner additions: out of range, that moved the sum, whose product is not zero
    uint64_t outer_overflow, swamped;    // outer ones; swamped as FxAccumulatorCountsF32 has it
    uint64_t minus_zeros;                // results that are -0, counted always
    uint64_t padding[2];                 // a line of the cache is one thread's
} FxRoundedCounts;

enum {
    FX_ROUNDED_ROWS = 8, FX_ROUNDED_COLUMNS = 32, // of a tile
    FX_ROUNDED_WORDS = 256, // words of an output that are drawn at once, a multiple of 16
    FX_ROUNDED_DRAWN = FX_ROUNDED_COLUMNS * (FX_ROUNDED_WORDS + 32),
    FX_ROUNDED_WINDOW = FX_ROUNDED_WORDS * FX_ROUNDED_ROWS * FX_ROUNDED_COLUMNS,
    FX_ROUNDED_SCRATCH = FX_ROUNDED_DRAWN + 2 * FX_ROUNDED_WINDOW, // bytes of a thread
};

typedef struct FxRoundingF32 {
    FxStepF32 inner, outer;
    const FxRandom *random;  // Philox lanes of 8 bits; NULL: nothing is drawn
    uint64_t words, outers;  // of an output; where those of its outer additions begin
    const float *bias;       // n of them, scaled: one last outer addition to each output; or NULL
    float unit;              // what the finished sums are multiplied by
    bool counting;
    FxRoundedCounts *counts; // one a thread, added to
} FxRoundingF32;

typedef struct FxRoundedTileF32 {
    float *sums;       // rows x columns, `sums_step` from row to row
    size_t sums_step;
    const float *a;    // element (row, k) at row * a_row + k * a_k
    size_t a_row, a_k;
    const float *b;    // k x FX_ROUNDED_COLUMNS
    size_t k, rows, columns;
    bool go_on;        // the sums go on, not from +0
    const uint8_t *R;  // k x FX_ROUNDED_ROWS x FX_ROUNDED_COLUMNS words of 8 bits
} FxRoundedTileF32;

// What stands in an operand, by the bits of magnitudes.
typedef struct FxScanF32 {
    uint32_t all, most, least; // their OR, the largest, the smallest but 0 (UINT32_MAX: none)
} FxScanF32;

typedef struct FxRoundedKernelF32 {
    unsigned cpu;
    void (*tile)(const FxRoundedTileF32 *t, const FxStepF32 *step, FxRoundedCounts *counts);
    // sums[i] = rounded(sums[i] + addends[i]); -0 for negative underflow alone. n <= FX_ROUNDED_COLUMNS, words as in R
    void (*add)(float *sums, const float *addends, size_t n, const FxStepF32 *step, const uint8_t *R, FxRoundedCounts *counts);
    // out[j * step + i] = 8-bit lane of element first + i * stride + j, j < n <= FX_ROUNDED_WORDS, maybe up to the next multiple
    // of 16, i < FX_ROUNDED_COLUMNS. drawn: FX_ROUNDED_DRAWN bytes
    void (*draw)(uint8_t *out, size_t step, FxRng rng, uint64_t first, uint64_t stride, size_t n, uint8_t *drawn);
    size_t (*finish)(float *c, size_t n, float unit); // c[i] *= unit; n <= FX_ROUNDED_COLUMNS. Returns how many are -0
    void (*scan)(FxScanF32 *scan, const float *x, size_t n);
} FxRoundedKernelF32;

extern const FxRoundedKernelF32 fx_rounded_avx512_f32;

const FxRoundedKernelF32 *fx_rounded_kernel_f32(unsigned cpu); // NULL: none

// A block of c and of k, as gemm_f32.c cuts it.
typedef struct FxRoundedBlockF32 {
    const FxRoundingF32 *rounding;
    const FxRoundedKernelF32 *kernel;
    float *c;                  // all of it
    size_t n;                  // its columns
    size_t row, rows, column, columns, k0, k, k_all, chunk;
    const float *left;
    size_t left_row, left_k;   // elements from row to row, from k to k
    const float *right;        // panels
    size_t panel;
    float *sums;               // rows x columns, in panels: the chains, where chunk > 0
    int thread;
    uint8_t *scratch;          // FX_ROUNDED_SCRATCH bytes, where words are drawn
} FxRoundedBlockF32;

void fx_multiply_rounded_f32(const FxRoundedBlockF32 *block);

#endif
