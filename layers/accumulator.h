// Accumulators: what happens to a sum on its way. Their description, and those of the integer products.
// exact: proved to fit when the net is built. wrap:N: the exact sum modulo 2^N, with sign. saturate:N: each addend is
// added and the sum held to [-2^(N-1), 2^(N-1) - 1]; the order of the additions then decides bits:
// k ascending as the operands' views give it, or for the weight gradient oh-ow-n.
// Groups of `group` products are summed exactly before each such addition (an adder tree); `chunk` groups make one
// addend of an outer sum under the outer policy; `shift` drops the low bits of each product first (floor).
#ifndef FX_ACCUMULATOR_H
#define FX_ACCUMULATOR_H

#include "formats/error.h"
#include "formats/quantiser.h"
#include "layers/gemm.h"

// The first three are integer policies; the others belong to layers/accumulator_f32.h (exact there: inside chunks alone).
typedef enum FxAccumulatorKind {
    FX_ACC_EXACT, FX_ACC_WRAP, FX_ACC_SATURATE, FX_ACC_FLOAT, FX_ACC_FP32, FX_ACC_KULISCH
} FxAccumulatorKind;
typedef enum FxProductOrder { FX_ORDER_KH_KW_C, FX_ORDER_N_OH_OW, FX_ORDER_OH_OW_N } FxProductOrder;

typedef struct FxPolicy {
    FxAccumulatorKind kind;
    int bits; // wrap, saturate: 2..62
    FxQuantiser q; // float: the grid, rounding and overflow of every sum; fp32, kulisch: float:e8m23/nearest-even/inf
} FxPolicy;

enum { FX_POLICY_TEXT = FX_QUANTISER_TEXT };

typedef struct FxAccumulator {
    FxPolicy inner, outer;
    int group; // products, at least 1
    int chunk; // groups, 0: no outer sum
    int shift; // bits dropped from each product
    FxProductOrder order;
} FxAccumulator;

typedef struct FxAccumulatorCounts {
    uint64_t overflow; // additions whose exact result left the range (saturate and float policies)
    uint64_t max_abs;  // largest magnitude of a finished sum of integers
    uint64_t swamped;  // float policies: additions of a finite addend other than zero that left a finite sum as it was
} FxAccumulatorCounts;

// What becomes of the additions of float policies.
typedef struct FxAccumulatorCountsF32 {
    uint64_t overflow; // inner and outer additions whose rounded, unclamped result left the range
    uint64_t swamped;  // additions of a finite addend other than zero that left a finite sum as it was
} FxAccumulatorCountsF32;

// "exact", "wrap:N", "saturate:N", "fp32", "kulisch", or a float grid as quantisers write it with a rounding and an
// overflow policy behind it ("float:e6m9", "e4m3fn/stochastic:8/inf"), printed canonically. Errors: exit code 2.
int fx_policy_parse(FxPolicy *policy, const char *text, FxError *err);
void fx_policy_print(char *text, size_t size, const FxPolicy *policy);
// Whether it is one of the float datapath: float, fp32, kulisch.
bool fx_policy_is_float(const FxPolicy *policy);

// One addition under an integer policy. sum + addend must fit 63 bits. *overflow counts where saturate acts.
static inline int64_t fx_policy_add(const FxPolicy *policy, int64_t sum, int64_t addend, uint64_t *overflow) {
    int64_t x = sum + addend;
    if (policy->kind == FX_ACC_EXACT)
        return x;
    int64_t high = (INT64_C(1) << (policy->bits - 1)) - 1, low = -high - 1;
    if (policy->kind == FX_ACC_WRAP) {
        uint64_t span = (uint64_t)high * 2 + 1, kept = (uint64_t)x & span;
        return kept > (uint64_t)high ? (int64_t)(kept - span - 1) : (int64_t)kept;
    }
    *overflow += x < low || x > high;
    return x < low ? low : x > high ? high : x;
}

// Which k of the views comes at place p of the order.
size_t fx_order_place(const FxMatrix *a, FxProductOrder order, size_t p);

// Type of the finished sums of k products, each at most max_product in magnitude. Errors (exit code 2): the exact sum
// needs more than 63 bits; a policy is none of integers. what names the product.
int fx_accumulator_type(FxType *type, const FxAccumulator *acc, size_t k, uint64_t max_product, const char *what, FxError *err);

// Bytes of scratch for fx_accumulate.
size_t fx_accumulate_scratch(const FxProduct *product, const FxAccumulator *acc, const FxWork *work);

// product->c = the products of a and b under acc. max_product: as proved when the net was built. counts may be NULL.
void fx_accumulate(const FxProduct *product, const FxAccumulator *acc, uint64_t max_product, const FxWork *work,
                   FxAccumulatorCounts *counts);

#endif
