// The specification of the float accumulators, one output at a time and on integers alone: every sum is exact in fixed
// point, wide enough for products of float32, and each rounding is fx_encode's. Slow by its nature.
#ifndef FX_ACCUMULATOR_EXACT_H
#define FX_ACCUMULATOR_EXACT_H

#include "formats/rng.h"
#include "layers/accumulator.h"

// k elements of one operand, in the order of its view: float32, or integer codes of value code * 2^exponent.
typedef struct FxOperandRow {
    const void *data;
    FxType type;
    int exponent; // a float32 is multiplied too
} FxOperandRow;

typedef struct FxExactOutput {
    const FxAccumulator *acc;
    const FxMatrix *order_of; // the view that the order of the additions is told from
    FxOperandRow a, b;
    size_t k;
    const uint32_t *bias;   // bits of a float32, or NULL
    const FxRandom *random; // NULL where nothing is drawn
    uint64_t output;        // row-major index of the result
} FxExactOutput;

enum { FX_OPERANDS_EXPONENT = 400 }; // |exponent of a + exponent of b| at most
enum { FX_CANONICAL_NAN = 0x7FC00000 };

// Random words of an output: element output * words + g is that of the inner addition of group g, output * words + groups + c
// that of the c-th outer one, of which a bias is the last.
typedef struct FxWordPlan {
    uint64_t groups, outers, words;
} FxWordPlan;
FxWordPlan fx_accumulator_words(const FxAccumulator *acc, size_t k, bool has_bias);

// The bits of the float32 result. Adds to counts, which may be NULL.
uint32_t fx_accumulate_exact(const FxExactOutput *output, FxAccumulatorCountsF32 *counts);

#endif
