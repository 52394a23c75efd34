#include "layers/accumulator.h"

#include "formats/scale.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {[FX_ACC_EXACT] = "exact", [FX_ACC_WRAP] = "wrap", [FX_ACC_SATURATE] = "saturate",
                                         [FX_ACC_FP32] = "fp32", [FX_ACC_KULISCH] = "kulisch"};

// Recipes compare policies byte by byte, so what lies between the fields is cleared too.
static FxPolicy policy_of(FxAccumulatorKind kind, int bits) {
    FxPolicy p;
    memset(&p, 0, sizeof p);
    p.kind = kind;
    p.bits = bits;
    return p;
}

// A float grid with a rounding and an overflow policy; none of it needs a scale or a direction.
static bool parse_float(FxPolicy *policy, const char *text) {
    FxPolicy p = policy_of(FX_ACC_FLOAT, 0);
    FxError why;
    if (strchr(text, '@') || fx_quantiser_parse(&p.q, text, &why) ||
        (p.q.grid.kind != &fx_grid_float && p.q.grid.kind != &fx_grid_p3109) ||
        (fx_rounding_mode(&p.q.rounding)->needs & FX_ROUND_DIRECTION))
        return false;
    *policy = p;
    return true;
}

int fx_policy_parse(FxPolicy *policy, const char *text, FxError *err) {
    if (!strcmp(text, "exact")) {
        *policy = policy_of(FX_ACC_EXACT, 0);
        return 0;
    }
    for (int kind = FX_ACC_FP32; kind <= FX_ACC_KULISCH; kind++)
        if (!strcmp(text, kind_names[kind])) {
            FxPolicy p = policy_of((FxAccumulatorKind)kind, 0);
            if (fx_quantiser_parse(&p.q, "float:e8m23/nearest-even/inf", err))
                return -1;
            *policy = p;
            return 0;
        }
    for (int kind = FX_ACC_WRAP; kind <= FX_ACC_SATURATE; kind++) {
        size_t length = strlen(kind_names[kind]);
        const char *digits = text + length + 1;
        if (strncmp(text, kind_names[kind], length) || text[length] != ':')
            continue;
        size_t n = strspn(digits, "0123456789");
        int bits = n > 0 && n <= 2 && !digits[n] && digits[0] != '0' ? atoi(digits) : 0;
        if (bits >= 2 && bits <= 62) {
            *policy = policy_of((FxAccumulatorKind)kind, bits);
            return 0;
        }
    }
    if (parse_float(policy, text))
        return 0;
    return fx_fail(err, FX_EXIT_USAGE,
                   "accumulator \"%s\": known: exact, wrap:N, saturate:N (N 2..62); of floats: "
                   "fp32, kulisch, float:eXmY[...][/ROUNDING][/OVERFLOW] and likewise the named float grids", text);
}

void fx_policy_print(char *text, size_t size, const FxPolicy *policy) {
    char grid[64], rounding[64];
    if (policy->kind == FX_ACC_FLOAT) {
        fx_grid_print(grid, sizeof grid, &policy->q.grid);
        fx_rounding_print(rounding, sizeof rounding, &policy->q.rounding);
        snprintf(text, size, "%s/%s/%s", grid, rounding, fx_overflow_name(policy->q.overflow));
    } else if (policy->kind == FX_ACC_WRAP || policy->kind == FX_ACC_SATURATE) {
        snprintf(text, size, "%s:%d", kind_names[policy->kind], policy->bits);
    } else {
        snprintf(text, size, "%s", kind_names[policy->kind]);
    }
}

bool fx_policy_is_float(const FxPolicy *policy) {
    return policy->kind > FX_ACC_SATURATE;
}

static bool is_plain_exact(const FxAccumulator *acc) {
    return acc->inner.kind == FX_ACC_EXACT && acc->shift == 0 && (acc->chunk == 0 || acc->outer.kind == FX_ACC_EXACT);
}

int fx_accumulator_type(FxType *type, const FxAccumulator *acc, size_t k, uint64_t max_product, const char *what, FxError *err) {
    unsigned __int128 bound = (unsigned __int128)k * max_product;
    const FxPolicy *policies[] = {&acc->inner, &acc->outer};
    for (int i = 0; i < 2; i++)
        if (fx_policy_is_float(policies[i])) {
            char text[FX_POLICY_TEXT];
            fx_policy_print(text, sizeof text, policies[i]);
            return fx_fail(err, FX_EXIT_USAGE, "%s: accumulator %s is one of float products; products of "
                           "integers add up under exact, wrap:N or saturate:N (N 2..62)", what, text);
        }
    if (bound >= (unsigned __int128)1 << 62)
        return fx_fail(err, FX_EXIT_USAGE, "%s: %zu products of up to %llu need more than 63 bits", what, k,
                       (unsigned long long)max_product);
    const FxPolicy *last = acc->chunk ? &acc->outer : &acc->inner;
    bool narrow = last->kind != FX_ACC_EXACT && last->bits <= 32;
    *type = narrow || bound <= INT32_MAX ? FX_INT32 : FX_INT64;
    return 0;
}

// Whether no addition of a saturating policy can leave its range, so that the order decides nothing.
static bool cannot_saturate(const FxPolicy *policy, size_t k, uint64_t max_product) {
    return policy->kind != FX_ACC_SATURATE ||
           (unsigned __int128)k * max_product <= ((unsigned __int128)1 << (policy->bits - 1)) - 1;
}

static bool is_ordered(const FxProduct *product, const FxAccumulator *acc, uint64_t max_product) {
    size_t k = fx_matrix_k(&product->a);
    const FxPolicy *outer = acc->chunk ? &acc->outer : &acc->inner;
    if (acc->shift)
        return true;
    if (acc->inner.kind == FX_ACC_WRAP && outer->kind == FX_ACC_WRAP)
        return outer->bits > acc->inner.bits;
    if (acc->inner.kind == FX_ACC_WRAP)
        return true;
    return !cannot_saturate(&acc->inner, k, max_product) || !cannot_saturate(outer, k, max_product);
}

static int64_t element(const void *data, FxType type, size_t i) {
    FxTensor t = {(void *)(uintptr_t)data, type, SIZE_MAX, 0};
    return fx_tensor_get(&t, i);
}

// Rows of an operand as int64, k in order; ordered sums are slow and say so by their nature.
static void read_row(int64_t *row, const FxMatrix *a, size_t r, void *raw) {
    size_t k = fx_matrix_k(a);
    if (a->patch_rows)
        fx_matrix_patches(raw, 1, a, 0, k, r, 1);
    else
        fx_matrix_patches(raw, k, a, r, 1, 0, k);
    for (size_t i = 0; i < k; i++)
        row[i] = element(raw, a->type, i);
}

// k of place p: for oh-ow-n the images run fastest.
size_t fx_order_place(const FxMatrix *a, FxProductOrder order, size_t p) {
    if (order != FX_ORDER_OH_OW_N || !a->patch_rows)
        return p;
    size_t images = (size_t)a->images, positions = (size_t)a->out_height * (size_t)a->out_width;
    return p % images * positions + p / images;
}

static int64_t ordered_sum(const FxMatrix *order_of, const FxAccumulator *acc, const int64_t *a, const int64_t *b, size_t k,
                           uint64_t *overflow) {
    int64_t outer = 0, inner = 0;
    size_t groups = 0, group = (size_t)acc->group, chunk = (size_t)acc->chunk;
    for (size_t p = 0; p < k; p += group) {
        int64_t sum = 0;
        for (size_t j = p; j < k && j < p + group; j++) {
            size_t i = fx_order_place(order_of, acc->order, j);
            sum += a[i] * b[i] >> acc->shift;
        }
        inner = fx_policy_add(&acc->inner, inner, sum, overflow);
        if (chunk && (++groups == chunk || p + group >= k)) {
            outer = fx_policy_add(&acc->outer, outer, inner, overflow);
            inner = 0;
            groups = 0;
        }
    }
    return chunk ? outer : inner;
}

static size_t row_bytes(const FxProduct *product) {
    return (fx_matrix_k(&product->a) * sizeof(int64_t) + 63) / 64 * 64;
}

// For each thread: a raw row, a row of a; shared: all rows of b.
static size_t ordered_scratch(const FxProduct *product, const FxWork *work) {
    return row_bytes(product) * (2 * (size_t)work->threads + fx_matrix_rows(&product->b));
}

static void accumulate_ordered(const FxProduct *product, const FxAccumulator *acc, const FxWork *work, uint64_t *overflow) {
    size_t m = fx_matrix_rows(&product->a), n = fx_matrix_rows(&product->b), k = fx_matrix_k(&product->a);
    size_t bytes = row_bytes(product), threads = (size_t)work->threads;
    char *scratch = work->scratch;
    uint64_t total = 0;
    assert(ordered_scratch(product, work) <= work->scratch_size);
    for (size_t j = 0; j < n; j++)
        read_row((int64_t *)(void *)(scratch + (2 * threads + j) * bytes), &product->b, j, scratch);
#pragma omp parallel for num_threads(work->threads) schedule(static) reduction(+ : total) if (threads > 1)
    for (size_t t = 0; t < threads; t++) {
        int64_t *a = (int64_t *)(void *)(scratch + 2 * t * bytes);
        void *raw = scratch + (2 * t + 1) * bytes;
        for (size_t i = t * m / threads; i < (t + 1) * m / threads; i++) {
            read_row(a, &product->a, i, raw);
            for (size_t j = 0; j < n; j++) {
                const int64_t *b = (const int64_t *)(const void *)(scratch + (2 * threads + j) * bytes);
                FxTensor c = {product->c, product->c_type, m * n, 0};
                fx_tensor_set(&c, i * n + j, ordered_sum(&product->a, acc, a, b, k, &total));
            }
        }
    }
    *overflow += total;
}

// A plain exact sum is made in this type before it is wrapped.
static FxType exact_type(const FxProduct *product, uint64_t max_product) {
    return (unsigned __int128)fx_matrix_k(&product->a) * max_product <= INT32_MAX ? FX_INT32 : FX_INT64;
}

size_t fx_accumulate_scratch(const FxProduct *product, const FxAccumulator *acc, const FxWork *work) {
    size_t gemm = fx_gemm_scratch(product, work);
    if (is_plain_exact(acc))
        return gemm;
    size_t ordered = ordered_scratch(product, work);
    return gemm > ordered ? gemm : ordered;
}

typedef struct WrapContext {
    FxTensor c;
    FxPolicy policy;
} WrapContext;

static void wrap_range(void *context, size_t first, size_t n, FxStats *stats) {
    const WrapContext *w = context;
    uint64_t ignored = 0;
    (void)stats;
    for (size_t i = first; i < first + n; i++)
        fx_tensor_set(&w->c, i, fx_policy_add(&w->policy, fx_tensor_get(&w->c, i), 0, &ignored));
}

void fx_accumulate(const FxProduct *product, const FxAccumulator *acc, uint64_t max_product, const FxWork *work,
                   FxAccumulatorCounts *counts) {
    size_t count = fx_matrix_rows(&product->a) * fx_matrix_rows(&product->b);
    FxTensor c = {product->c, product->c_type, count, 0};
    FxPolicy last = acc->chunk ? acc->outer : acc->inner;
    bool wraps = last.kind == FX_ACC_WRAP;
    uint64_t ignored = 0;
    // an exact sum beyond the carrier, cut down by the last policy, is made by the ordered sum
    bool fits = exact_type(product, max_product) == product->c_type || product->c_type == FX_INT64;
    if (is_ordered(product, acc, max_product) || !fits) {
        accumulate_ordered(product, acc, work, counts ? &counts->overflow : &ignored);
    } else {
        fx_gemm(product, work);
        if (wraps) {
            WrapContext context = {c, last};
            fx_work_ranges(work, count, wrap_range, &context, NULL);
        }
    }
    if (!counts)
        return;
    uint64_t max = fx_work_max_abs(work, &c, &(int){0});
    counts->max_abs = max > counts->max_abs ? max : counts->max_abs;
}
