// Float accumulators: what becomes of float32 or integer operands' products whose sums are rounded on their way.
// float: every sum is rounded once to the grid; fp32: float32 fmaf, Inf as it comes; kulisch: the exact sum (of a chunked
// product: of its chunks) rounded once to float32 at the end, to nearest-even, beyond it Inf. Groups of products are exact
// before each such addition; with chunks the outer sum starts at +0 and every chunk is one addition to it. NaN and Inf pass
// under every policy, an exact zero is +0 (fp32: fmaf's).
// The result never depends on threads or instruction set; accumulator_exact.h has the specification.
#ifndef FX_ACCUMULATOR_F32_H
#define FX_ACCUMULATOR_F32_H

#include "formats/rng.h"
#include "layers/accumulator.h"

typedef struct FxAccumulateF32 {
    FxMatrix a, b;              // of float32 or integer codes; a: m rows, b: n rows, the same k
    int a_exponent, b_exponent; // value = element * 2^exponent; the two together within +-400
    float *c;                   // m x n, row-major, overwritten; NaN is 0x7FC00000
    const float *bias;          // n of them, one last outer addition to each output, or NULL
} FxAccumulateF32;

// The chunk where none is set: fp32 sums of a weight gradient 4096, none elsewhere.
int fx_accumulator_chunk_f32(const FxPolicy *inner, bool is_gradient);

// Whether fx_accumulate_f32 knows this accumulator: policies float, fp32, kulisch; exact inside of chunks; no shift; kulisch not
// inside of chunks; no more random bits than `width` (fx_random_width). Errors: exit code 2, what names the product.
int fx_accumulator_check_f32(const FxAccumulator *acc, int width, const char *what, FxError *err);

// Whether random words are drawn.
bool fx_accumulator_draws(const FxAccumulator *acc);

// Bytes of work->scratch that the call needs (pointers are not read).
size_t fx_accumulate_f32_scratch(const FxAccumulateF32 *product, const FxWork *work);

// random: NULL where nothing is drawn. Output i has the words i * (G + C) .. of its G inner and C outer additions, in that order.
// counts: added to; NULL is faster.
void fx_accumulate_f32(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxRandom *random, const FxWork *work,
                       FxAccumulatorCountsF32 *counts);

#endif
