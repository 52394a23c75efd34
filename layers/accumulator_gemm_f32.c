// Which accumulators fx_gemm_f32 serves, at which scale, and what is left to do behind it.
#include "layers/accumulator_gemm_f32.h"

#include "formats/bits_f32.h"
#include "layers/accumulator_exact.h"
#include "layers/gemm_f32.h"
#include "layers/gemm_rounded_f32.h"

#include <math.h>
#include <string.h>

enum { FIRST_EXPONENT = -126, LAST_BIT = -149, SLICE = 1 << 14, LEADING_BIT = 1 << 23 };
static const double far = 0x1p100; // products and sums stay below it

// What one operand's values may be: below 2^high, multiples of 2^low, of so many significant bits.
typedef struct Range {
    double most;
    int high, low, bits;
    bool good; // they are known, and finite
} Range;

static FxScanF32 scan_of(const FxRoundedKernelF32 *kernel, const float *x, size_t n, int threads) {
    uint32_t all = 0, most = 0, least = UINT32_MAX;
    size_t slices = (n + SLICE - 1) / SLICE;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(| : all) reduction(max : most) reduction(min : least) if (threads > 1 && slices > 4)
    for (size_t i = 0; i < slices; i++) {
        FxScanF32 s;
        kernel->scan(&s, x + i * SLICE, n - i * SLICE < SLICE ? n - i * SLICE : SLICE);
        all |= s.all;
        most = most > s.most ? most : s.most;
        least = least < s.least ? least : s.least;
    }
    return (FxScanF32){all, most, least};
}

// Of elements, without the operand's exponent.
static Range range_of(const FxMatrix *a, const FxRoundedKernelF32 *kernel, int threads) {
    switch (a->type) {
    case FX_INT8: return (Range){128, 8, 0, 8, true};
    case FX_UINT8: return (Range){255, 8, 0, 8, true};
    case FX_INT16: return (Range){32768, 16, 0, 16, true};
    case FX_FLOAT32: break;
    default: return (Range){0};
    }
    size_t n = (size_t)a->images * (size_t)a->height * (size_t)a->width * (size_t)a->channels;
    FxScanF32 s = scan_of(kernel, a->data, n, threads);
    if (s.most == 0)
        return (Range){0, 0, 0, 1, true};
    Range r = {.most = fx_float_of(s.most), .high = (int)(s.most >> 23) - 126, .good = s.most < UINT32_C(0x7F800000)};
    bool subnormal = s.least < LEADING_BIT;
    r.bits = subnormal ? 24 : 24 - __builtin_ctz(s.all | LEADING_BIT);
    r.low = subnormal ? LAST_BIT : (int)(s.least >> 23) - 127 - (r.bits - 1);
    return r;
}

static bool draws(const FxPolicy *policy) {
    return fx_rounding_mode(&policy->q.rounding)->needs & FX_ROUND_RANDOM;
}

// False if no kernel rounds by this policy.
static bool step_of(FxStepF32 *step, const FxPolicy *policy, const FxRandom *random) {
    const FxQuantiser *q = &policy->q;
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    int low = 1 - q->grid.bias, M = q->grid.mantissa_bits, r = 0;
    if (policy->kind != FX_ACC_FLOAT || q->grid.lowest != FX_LOWEST_SUB || q->rounding.own)
        return false;
    if (!strcmp(mode->name, "nearest-even"))
        step->law = FX_LAW_EVEN;
    else if (!strcmp(mode->name, "toward-zero"))
        step->law = FX_LAW_ZERO;
    else if (mode->law && !strcmp(mode->law, "c"))
        step->law = FX_LAW_STOCHASTIC_C;
    else if (mode->law && !strcmp(mode->law, "a"))
        step->law = FX_LAW_STOCHASTIC_A;
    else
        return false;
    if (draws(policy)) {
        if (random->source->width || random->lane_bits != 8)
            return false;
        r = fx_round_arg(&q->rounding, fx_random_width(random)).bits;
    }
    double most = fx_float_of(fx_number_to_f32(fx_grid_largest(&q->grid)));
    step->mantissa_bits = M;
    step->random_bits = r;
    step->most = (float)ldexp(most < far ? most : far, FIRST_EXPONENT - low);
    step->clamps = true;
    return M >= 1 && M + r <= 21 && low - M >= LAST_BIT;
}

// Whether the specification must say what becomes of a sum beyond step_of's `most`.
static bool hands_back(const FxPolicy *policy) {
    return policy->q.overflow == FX_OVERFLOW_INF || fx_float_of(fx_number_to_f32(fx_grid_largest(&policy->q.grid))) > far;
}

// Rounding to float32 and then to nearest-even on M + 1 bits is right unless float32 makes a tie of what is none. Next to a tie
// within float32's precision stands a sum of two numbers of M + 1 bits and p bits, p <= M + 1 <= 11, only if it is one.
static bool narrow_enough(int product_bits, int mantissa_bits) {
    return mantissa_bits <= 10 && product_bits <= mantissa_bits + 1;
}

// Splits a scaling by 2^total between the operands so that no value loses by it.
static bool split(int total, const Range *a, const Range *b, int *to_a, int *to_b) {
    int least_a = LAST_BIT - a->low, least_b = LAST_BIT - b->low;
    *to_a = total / 2;
    *to_a = *to_a < least_a ? least_a : *to_a;
    *to_b = total - *to_a;
    if (*to_b < least_b) {
        *to_b = least_b;
        *to_a = total - least_b;
    }
    return *to_a >= least_a && a->high + *to_a <= 127 && b->high + *to_b <= 127;
}

// As fx_gemm_f32 asks of integers of 16 bits.
static bool unit_fits(int exponent) {
    return exponent >= LAST_BIT && exponent <= 111;
}

static bool moves_images(const FxAccumulateF32 *product, const FxAccumulator *acc) {
    return acc->order == FX_ORDER_OH_OW_N && product->a.patch_rows;
}

// Sums are fmaf's own; a NaN has one code only, which the products' need not be.
static bool accumulate_fp32(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxWork *work) {
    const FxMatrix *operands[] = {&product->a, &product->b};
    int exponents[] = {product->a_exponent, product->b_exponent};
    const FxRoundedKernelF32 *kernel = fx_rounded_kernel_f32(work->cpu);
    Range range[2];
    bool finite = kernel != NULL;
    for (int i = 0; i < 2; i++) {
        FxType type = operands[i]->type;
        if (type == FX_INT32 || (type == FX_FLOAT32 ? exponents[i] != 0 : !unit_fits(exponents[i])))
            return false;
        if (finite)
            range[i] = range_of(operands[i], kernel, work->threads);
        finite = finite && range[i].good;
    }
    FxProductF32 gemm = {.a = product->a, .b = product->b, .a_exponent = exponents[0], .b_exponent = exponents[1], .c = product->c,
                         .chunk = (size_t)acc->chunk, .images_last = moves_images(product, acc)};
    if (fx_gemm_f32_scratch(&gemm, work) > work->scratch_size)
        return false;
    fx_gemm_f32(&gemm, work);
    size_t m = fx_matrix_rows(&product->a), n = fx_matrix_rows(&product->b), k = fx_matrix_k(&product->a);
    finite = finite && ldexp(range[0].most, exponents[0]) * ldexp(range[1].most, exponents[1]) * (double)k < far;
    if (finite && !product->bias)
        return true;
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (size_t row = 0; row < m; row++) {
        float *c = product->c + row * n;
        for (size_t i = 0; i < n; i++) {
            float x = product->bias ? c[i] + product->bias[i] : c[i];
            c[i] = x == x ? x : fx_float_of(FX_CANONICAL_NAN);
        }
    }
    return true;
}

static bool product_is_zero(const FxAccumulateF32 *product, const FxAccumulator *acc, size_t row, size_t column) {
    const FxMatrix *operands[] = {&product->a, &product->b};
    size_t index[] = {row, column}, last = fx_order_place(&product->a, acc->order, fx_matrix_k(&product->a) - 1);
    for (int i = 0; i < 2; i++) {
        const FxMatrix *a = operands[i];
        uint32_t element = 0;
        fx_matrix_patches(&element, 1, a, a->patch_rows ? last : index[i], 1, a->patch_rows ? index[i] : last, 1);
        if ((a->type == FX_FLOAT32 ? element << 1 : element) == 0)
            return true;
    }
    return false;
}

// A sum is left at -0 by an addition of a negative number that underflows. A zero behind it makes +0 of it, where the tiles keep it;
// and not every grid has a -0.
static void correct_zeros(const FxAccumulateF32 *product, const FxAccumulator *acc) {
    size_t m = fx_matrix_rows(&product->a), n = fx_matrix_rows(&product->b);
    bool outer = acc->chunk || product->bias;
    const FxPolicy *last = outer ? &acc->outer : &acc->inner;
    FxRoundArg round = fx_round_arg(&last->q.rounding, 8);
    FxEncoded e = fx_encode(&last->q, (FxNumber){.negative = true, .magnitude = 1, .exponent = -600}, &(FxEncodeArg){.arg = &round});
    uint32_t below = fx_number_to_f32(last->q.grid.kind->decode(&last->q.grid, e.code, 0));
    for (size_t row = 0; row < m; row++)
        for (size_t i = 0; i < n; i++)
            if (fx_float_bits(product->c[row * n + i]) == UINT32_C(1) << 31)
                product->c[row * n + i] = !outer && product_is_zero(product, acc, row, i) ? 0 : fx_float_of(below);
}

// Scales biases, n of them, into out; false if they do not all suit.
static bool scale_bias(float *out, const float *bias, size_t n, int exponent) {
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        double x = ldexp((double)bias[i], exponent);
        out[i] = (float)x;
        good &= out[i] == x && fabs((double)bias[i]) < far;
    }
    return good;
}

enum { LINE = 64 };

static size_t round_up(size_t bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
}

static size_t own_bytes(const FxAccumulateF32 *product, const FxWork *work) {
    return (size_t)work->threads * sizeof(FxRoundedCounts) + round_up(fx_matrix_rows(&product->b) * sizeof(float));
}

size_t fx_accumulate_gemm_f32_scratch(const FxAccumulateF32 *product, const FxWork *work) {
    static const FxRandom any;
    const FxRoundingF32 rounding = {.random = &any};
    static const size_t chunks[] = {0, 1, 4096};
    size_t most = 0;
    for (int i = 0; i < 6; i++) {
        FxProductF32 gemm = {.a = product->a, .b = product->b, .chunk = chunks[i / 2]};
        gemm.a.type = gemm.b.type = FX_INT8; // is packed
        if (i % 2 && fx_rounded_kernel_f32(work->cpu))
            gemm.rounding = &rounding;
        size_t bytes = fx_gemm_f32_scratch(&gemm, work);
        most = bytes > most ? bytes : most;
    }
    return round_up(most + most / 8) + own_bytes(product, work); // other chunks cut k a little differently
}

static bool accumulate_rounded(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxRandom *random, const FxWork *work,
                               FxAccumulatorCountsF32 *counts) {
    const FxRoundedKernelF32 *kernel = fx_rounded_kernel_f32(work->cpu);
    FxRoundingF32 rounding = {.counting = counts != NULL};
    bool outer = acc->chunk || product->bias, moved = moves_images(product, acc);
    if (!kernel || !step_of(&rounding.inner, &acc->inner, random) || (moved && !product->b.patch_rows))
        return false;
    if (outer && (!step_of(&rounding.outer, &acc->outer, random) || acc->outer.q.grid.bias != acc->inner.q.grid.bias))
        return false;
    size_t n = fx_matrix_rows(&product->b), k = fx_matrix_k(&product->a);
    Range a = range_of(&product->a, kernel, work->threads), b = range_of(&product->b, kernel, work->threads);
    int to_a, to_b, total = FIRST_EXPONENT - (1 - acc->inner.q.grid.bias);
    a.low += product->a_exponent, a.high += product->a_exponent;
    b.low += product->b_exponent, b.high += product->b_exponent;
    double most = ldexp(a.most, product->a_exponent) * ldexp(b.most, product->b_exponent);
    if (!a.good || !b.good || !(most < far) || !split(total, &a, &b, &to_a, &to_b))
        return false;
    FxProductF32 gemm = {.a = product->a, .b = product->b, .a_exponent = product->a_exponent + to_a, .b_exponent = product->b_exponent + to_b,
                         .c = product->c, .chunk = (size_t)acc->chunk, .images_last = moved, .rounding = &rounding};
    if (!unit_fits(gemm.a_exponent) || !unit_fits(gemm.b_exponent) || -total > 127)
        return false;

    if (rounding.inner.law == FX_LAW_EVEN && narrow_enough(a.bits + b.bits, rounding.inner.mantissa_bits))
        rounding.inner.law = FX_LAW_EVEN_NARROW;
    // neither of these two moves a sum away from zero by more than the addend once more
    double additions = (double)(acc->chunk && (size_t)acc->chunk < k ? (size_t)acc->chunk : k);
    bool bounded = rounding.inner.law == FX_LAW_ZERO || rounding.inner.law == FX_LAW_EVEN || rounding.inner.law == FX_LAW_EVEN_NARROW;
    rounding.inner.clamps = !bounded || !(ldexp(2 * additions * most, total) <= rounding.inner.most);
    bool back = (rounding.inner.clamps && hands_back(&acc->inner)) || (outer && hands_back(&acc->outer));
    rounding.counting |= back;

    FxWordPlan words = fx_accumulator_words(acc, k, product->bias != NULL);
    rounding.random = rounding.inner.random_bits || rounding.outer.random_bits ? random : NULL;
    rounding.words = words.words;
    rounding.outers = words.groups;
    rounding.unit = ldexpf(1, -total);
    if (own_bytes(product, work) + fx_gemm_f32_scratch(&gemm, work) > work->scratch_size)
        return false;
    rounding.counts = work->scratch;
    float *bias = (float *)(void *)(rounding.counts + work->threads);
    memset(rounding.counts, 0, (size_t)work->threads * sizeof *rounding.counts);
    if (product->bias) {
        if (!scale_bias(bias, product->bias, n, total))
            return false;
        rounding.bias = bias;
    }
    FxWork rest = *work;
    rest.scratch = (char *)work->scratch + own_bytes(product, work);
    rest.scratch_size -= own_bytes(product, work);
    fx_gemm_f32(&gemm, &rest);

    FxRoundedCounts sum = {0};
    for (int i = 0; i < work->threads; i++) {
        const FxRoundedCounts *c = &rounding.counts[i];
        sum.overflow += c->overflow + c->outer_overflow;
        sum.swamped += c->swamped + c->nonzero - c->changed;
        sum.minus_zeros += c->minus_zeros;
    }
    if (back && sum.overflow)
        return false;
    if (sum.minus_zeros)
        correct_zeros(product, acc);
    if (counts) {
        counts->overflow += sum.overflow;
        counts->swamped += sum.swamped;
    }
    return true;
}

bool fx_accumulate_gemm_f32(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxRandom *random, const FxWork *work,
                            FxAccumulatorCountsF32 *counts) {
    if (acc->group != 1 || fx_matrix_k(&product->a) == 0 || acc->inner.kind == FX_ACC_EXACT)
        return false;
    if (acc->inner.kind != FX_ACC_FP32)
        return accumulate_rounded(product, acc, random, work, counts);
    bool outer = acc->chunk || product->bias;
    if (counts || (outer && acc->outer.kind != FX_ACC_FP32) || (moves_images(product, acc) && !product->b.patch_rows))
        return false;
    return accumulate_fp32(product, acc, work);
}
