// Accumulators of the integer products: what happens to a sum on its way.
// exact: proved to fit when the net is built. wrap:N: the exact sum modulo 2^N, with sign. saturate:N: each addend is
// added and the sum held to [-2^(N-1), 2^(N-1) - 1]; the order of the additions then decides bits:
// k ascending as the operands' views give it, or for the weight gradient oh-ow-n.
// Groups of `group` products are summed exactly before each such addition (an adder tree); `chunk` groups make one
// addend of an outer sum under the outer policy; `shift` drops the low bits of each product first (floor).
#ifndef FX_ACCUMULATOR_H
#define FX_ACCUMULATOR_H

#include "formats/error.h"
#include "layers/gemm.h"

typedef enum FxAccumulatorKind { FX_ACC_EXACT, FX_ACC_WRAP, FX_ACC_SATURATE } FxAccumulatorKind;
typedef enum FxProductOrder { FX_ORDER_KH_KW_C, FX_ORDER_N_OH_OW, FX_ORDER_OH_OW_N } FxProductOrder;

typedef struct FxPolicy {
    FxAccumulatorKind kind;
    int bits; // wrap, saturate: 2..62
} FxPolicy;

typedef struct FxAccumulator {
    FxPolicy inner, outer;
    int group; // products, at least 1
    int chunk; // groups, 0: no outer sum
    int shift; // bits dropped from each product
    FxProductOrder order;
} FxAccumulator;

typedef struct FxAccumulatorCounts {
    uint64_t overflow; // additions whose exact result left the range (saturate only)
    uint64_t max_abs;  // largest magnitude of a finished sum
} FxAccumulatorCounts;

// "exact", "wrap:N", "saturate:N". Errors: exit code 2.
int fx_policy_parse(FxPolicy *policy, const char *text, FxError *err);
void fx_policy_print(char *text, size_t size, const FxPolicy *policy);

// One addition under a policy. sum + addend must fit 63 bits. *overflow counts where saturate acts.
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

// Type of the finished sums of k products, each at most max_product in magnitude. Error (exit code 2): the exact sum
// needs more than 63 bits; what names the product.
int fx_accumulator_type(FxType *type, const FxAccumulator *acc, size_t k, uint64_t max_product, const char *what, FxError *err);

// Bytes of scratch for fx_accumulate.
size_t fx_accumulate_scratch(const FxProduct *product, const FxAccumulator *acc, const FxWork *work);

// product->c = the products of a and b under acc. max_product: as proved when the net was built. counts may be NULL.
void fx_accumulate(const FxProduct *product, const FxAccumulator *acc, uint64_t max_product, const FxWork *work,
                   FxAccumulatorCounts *counts);

#endif
