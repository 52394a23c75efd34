// fx_gemm against a triple loop over the operands' definitions, for every line of the kernel table. Argument
// "slow": the largest product on several threads too.
#include "formats/cpu.h"
#include "layers/gemm_kernel.h"
#include "tests/gemm_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef enum Fill { FILL_RANDOM, FILL_MAX, FILL_MIN, FILL_NEGATED_MAX, FILL_ALTERNATING, FILLS } Fill;

static int64_t lowest(FxType type) {
    return type == FX_INT8 ? -128 : type == FX_UINT8 ? 0 : type == FX_INT16 ? -32768 : -2147483647 - 1;
}

static int64_t highest(FxType type) {
    return type == FX_INT8 ? 127 : type == FX_UINT8 ? 255 : type == FX_INT16 ? 32767 : 2147483647;
}

static int64_t fill_code(FxType type, Fill fill, size_t i) {
    const int64_t low = lowest(type), high = highest(type);
    switch (fill) {
    case FILL_MAX: return high;
    case FILL_MIN: return low;
    case FILL_NEGATED_MAX: return low < 0 ? -high : high;
    case FILL_ALTERNATING: return i % 2 ? high : low;
    default: return low + (int64_t)(((uint64_t)gemm_draw() << 20 ^ gemm_draw()) % (uint64_t)(high - low + 1));
    }
}

static int64_t get(const void *data, FxType type, size_t i) {
    switch (type) {
    case FX_INT8: return ((const int8_t *)data)[i];
    case FX_UINT8: return ((const uint8_t *)data)[i];
    case FX_INT16: return ((const int16_t *)data)[i];
    case FX_INT32: return ((const int32_t *)data)[i];
    default: return ((const int64_t *)data)[i];
    }
}

// Exactly as long as its codes, so that a sanitizer sees every read past the end.
static void *make_codes(FxType type, size_t count, Fill fill) {
    char *p = malloc(count * fx_type_size(type) + (count == 0));
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) {
        const int64_t code = fill_code(type, fill, i);
        const int8_t code8 = (int8_t)code;
        const uint8_t code_u8 = (uint8_t)code;
        const int16_t code16 = (int16_t)code;
        const int32_t code32 = (int32_t)code;
        const void *from = type == FX_INT8 ? (const void *)&code8 : type == FX_UINT8 ? (const void *)&code_u8
                         : type == FX_INT16 ? (const void *)&code16 : (const void *)&code32;
        memcpy(p + i * fx_type_size(type), from, fx_type_size(type));
    }
    return p;
}

// Element (row, k) of an operand.
static int64_t element(const FxMatrix *a, size_t row, size_t k) {
    size_t place;
    return gemm_place(&place, a, row, k) ? get(a->data, a->type, place) : 0;
}

// Runs the product into a guarded c and returns c (to be freed), after checking the guards.
static char *run(const FxMatrix *a, const FxMatrix *b, FxType c_type, unsigned cpu, int threads, char **to_free) {
    const size_t m = fx_matrix_rows(a), n = fx_matrix_rows(b), bytes = m * n * fx_type_size(c_type);
    FxWork work = {.threads = threads, .cpu = cpu};
    char *c = gemm_allocate(bytes + 2 * GUARD);
    memset(c, GUARD_BYTE, bytes + 2 * GUARD);
    FxProduct product = {.a = *a, .b = *b, .c = c + GUARD, .c_type = c_type};
    work.scratch_size = fx_gemm_scratch(&product, &work);
    char *scratch = gemm_allocate(work.scratch_size + GUARD);
    memset(scratch, GUARD_BYTE, work.scratch_size + GUARD);
    work.scratch = scratch;
    fx_gemm(&product, &work);
    for (size_t i = 0; i < GUARD; i++)
        if (c[i] != GUARD_BYTE || c[GUARD + bytes + i] != GUARD_BYTE || scratch[work.scratch_size + i] != GUARD_BYTE)
            fail_msg("m %zu n %zu k %zu cpu %u threads %d: wrote outside", m, n, fx_matrix_k(a), cpu, threads);
    free(scratch);
    *to_free = c;
    return c + GUARD;
}

static void expand(int64_t *out, const FxMatrix *a) {
    const size_t rows = fx_matrix_rows(a), k = fx_matrix_k(a);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < k; j++)
            out[i * k + j] = element(a, i, j);
}

// The product on `cpu` equals the definition; sums are compared modulo 2^32 if c is int32.
static void check(const char *what, const FxMatrix *a, const FxMatrix *b, FxType c_type, unsigned cpu, int threads) {
    const size_t m = fx_matrix_rows(a), n = fx_matrix_rows(b), k = fx_matrix_k(a);
    assert_int_equal(k, fx_matrix_k(b));
    int64_t *x = gemm_allocate(m * k * 8), *y = gemm_allocate(n * k * 8);
    expand(x, a);
    expand(y, b);
    char *to_free, *c = run(a, b, c_type, cpu, threads, &to_free);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            uint64_t sum = 0;
            for (size_t t = 0; t < k; t++)
                sum += (uint64_t)x[i * k + t] * (uint64_t)y[j * k + t];
            const int64_t want = c_type == FX_INT32 ? (int32_t)(uint32_t)sum : (int64_t)sum;
            const int64_t got = get(c, c_type, i * n + j);
            if (got != want)
                fail_msg("%s: %s x %s to %s, m %zu n %zu k %zu, cpu %u, threads %d: c[%zu][%zu] is %lld, not %lld", what,
                         fx_type_name(a->type), fx_type_name(b->type), fx_type_name(c_type), m, n, k, cpu, threads, i,
                         j, (long long)got, (long long)want);
        }
    free(to_free);
    free(x);
    free(y);
}

static void check_plain(size_t m, size_t n, size_t k, FxType left, FxType right, FxType c_type, bool left_k_is_row,
                        bool right_k_is_row, Fill fill, unsigned cpu, int threads) {
    void *x = make_codes(left, m * k, fill), *y = make_codes(right, n * k, fill);
    const FxMatrix a = left_k_is_row ? fx_matrix_plain(x, left, (int)k, (int)m, true)
                                     : fx_matrix_plain(x, left, (int)m, (int)k, false);
    const FxMatrix b = right_k_is_row ? fx_matrix_plain(y, right, (int)k, (int)n, true)
                                      : fx_matrix_plain(y, right, (int)n, (int)k, false);
    check("plain", &a, &b, c_type, cpu, threads);
    free(x);
    free(y);
}

static bool takes(const FxGemmKernel *kernel, FxType left, FxType right) {
    return (kernel->left >> left & 1) && (kernel->right >> right & 1);
}

// Calls what for every line of the table that this machine can run; a line is reached by its own flags.
static void for_each_kernel(void (*what)(const FxGemmKernel *kernel)) {
    const unsigned present = fx_cpu_detect();
    for (int i = 0; fx_gemm_kernel(i); i++)
        if ((fx_gemm_kernel(i)->cpu & present) == fx_gemm_kernel(i)->cpu)
            what(fx_gemm_kernel(i));
}

static const FxType types[][2] = {
    {FX_INT8, FX_INT8},   {FX_UINT8, FX_INT8},  {FX_INT16, FX_INT8},  {FX_INT8, FX_UINT8}, {FX_UINT8, FX_UINT8},
    {FX_INT8, FX_INT16},  {FX_UINT8, FX_INT16}, {FX_INT16, FX_UINT8}, {FX_INT16, FX_INT16}, {FX_INT32, FX_INT8},
    {FX_INT16, FX_INT32}, {FX_INT32, FX_INT32},
};
enum { TYPES = sizeof types / sizeof types[0] };

static void small_sizes(const FxGemmKernel *kernel) {
    for (int t = 0; t < TYPES; t++) {
        if (!takes(kernel, types[t][0], types[t][1]))
            continue;
        size_t i = 0;
        for (size_t m = 1; m <= 2 * (size_t)kernel->mr + 1; m += m < 6 ? 1 : 3)
            for (size_t n = 1; n <= 2 * (size_t)kernel->nr + 1; n += n < 6 ? 1 : 5)
                for (size_t k = 1; k <= 35; k += k < 18 ? 1 : 3, i++)
                    check_plain(m, n, k, types[t][0], types[t][1], i % 2 ? FX_INT32 : FX_INT64, i / 2 % 2 == 0,
                                i / 4 % 2 == 0, (Fill)(i % FILLS), kernel->cpu, 1);
    }
}

static void every_small_product_equals_the_triple_loop(void **unused) {
    (void)unused;
    for_each_kernel(small_sizes);
}

static void larger_sizes(const FxGemmKernel *kernel) {
    static const size_t sizes[][3] = {{131, 67, 801}, {13, 300, 1030}, {401, 35, 129}, {29, 37, 6500}, {1, 1, 20000},
                                      {700, 1, 17},   {1, 700, 65},    {205, 129, 300}};
    size_t which = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int t = 0; t < TYPES; t++, which++)
            if (takes(kernel, types[t][0], types[t][1]))
                check_plain(sizes[i][0], sizes[i][1], sizes[i][2], types[t][0], types[t][1],
                            which % 3 ? FX_INT64 : FX_INT32, which % 2, which / 2 % 2, (Fill)(which % FILLS), kernel->cpu,
                            1 + (int)(which % 3));
}

static void larger_odd_products_equal_the_triple_loop(void **unused) {
    (void)unused;
    for_each_kernel(larger_sizes);
}

static void all_fills(const FxGemmKernel *kernel) {
    for (int t = 0; t < TYPES; t++)
        for (int fill = 0; fill < FILLS; fill++)
            for (int layout = 0; layout < 4; layout++)
                if (takes(kernel, types[t][0], types[t][1])) {
                    check_plain(26, 66, 530, types[t][0], types[t][1], FX_INT64, layout & 1, layout & 2, (Fill)fill,
                                kernel->cpu, 1);
                    check_plain(14, 35, 801, types[t][0], types[t][1], FX_INT32, layout & 1, layout & 2, (Fill)fill,
                                kernel->cpu, 1);
                }
}

static void every_fill_of_every_pair_of_types_is_exact(void **unused) {
    (void)unused;
    for_each_kernel(all_fills);
}

static void long_sums(const FxGemmKernel *kernel) {
    for (int t = 0; t < TYPES; t++)
        if (takes(kernel, types[t][0], types[t][1]))
            for (int fill = 0; fill < FILLS; fill++) // int32 products may reach 2^62: a few are all that fit
                check_plain(1, 2, types[t][0] == FX_INT32 && types[t][1] == FX_INT32 ? 1 : 140003, types[t][0],
                            types[t][1], FX_INT64, fill & 1, fill & 2, (Fill)fill, kernel->cpu, 2);
}

static void sums_that_need_int64_are_exact(void **unused) {
    (void)unused;
    for_each_kernel(long_sums);
}

typedef struct View {
    int images, height, width, channels, kernel_h, kernel_w, stride, pad;
} View;

// The three products of a convolution: forward, error (gather) and weight gradient, with their real views.
static void check_convolution(View v, FxType data, FxType codes, FxType c_type, Fill fill, unsigned cpu, int threads) {
    const int out_h = (v.height + 2 * v.pad - v.kernel_h) / v.stride + 1;
    const int out_w = (v.width + 2 * v.pad - v.kernel_w) / v.stride + 1;
    if (v.height + 2 * v.pad < v.kernel_h || v.width + 2 * v.pad < v.kernel_w)
        return;
    const int outputs = v.images >= 32 ? 33 : 5, patch = v.kernel_h * v.kernel_w * v.channels;
    const size_t in_count = (size_t)(v.images * v.height * v.width * v.channels);
    const size_t out_count = (size_t)(v.images * out_h * out_w * outputs);
    void *x = make_codes(data, in_count, fill), *e = make_codes(data, out_count, fill);
    void *e_codes = make_codes(codes, out_count, fill), *w = make_codes(codes, (size_t)(patch * outputs), fill);
    FxMatrix forward = {.data = x, .type = data, .images = v.images, .height = v.height, .width = v.width,
                        .channels = v.channels, .out_height = out_h, .out_width = out_w, .kernel_height = v.kernel_h,
                        .kernel_width = v.kernel_w, .stride = v.stride, .pad = v.pad};
    FxMatrix weights = fx_matrix_plain(w, codes, patch, outputs, true);
    check("forward", &forward, &weights, c_type, cpu, threads);

    FxMatrix gather = {.data = e, .type = data, .images = v.images, .height = out_h, .width = out_w,
                       .channels = outputs, .out_height = v.height, .out_width = v.width, .kernel_height = v.kernel_h,
                       .kernel_width = v.kernel_w, .stride = v.stride, .pad = v.pad, .gather = true};
    // w[tap][ci][co] as rows ci, k = (tap, co): an image of taps x ci with co channels and a column of taps as kernel.
    FxMatrix across = {.data = w, .type = codes, .images = 1, .height = v.kernel_h * v.kernel_w, .width = v.channels,
                       .channels = outputs, .out_height = 1, .out_width = v.channels,
                       .kernel_height = v.kernel_h * v.kernel_w, .kernel_width = 1, .stride = 1};
    check("error", &gather, &across, c_type, cpu, threads);

    FxMatrix gradient = forward, errors = fx_matrix_plain(e_codes, codes, v.images * out_h * out_w, outputs, true);
    gradient.patch_rows = true;
    check("gradient", &gradient, &errors, c_type, cpu, threads);
    FxMatrix transposed = gather; // a gather view may lie along the rows too
    transposed.patch_rows = true;
    FxMatrix inputs = fx_matrix_plain(x, data, v.images * v.height * v.width, v.channels, true);
    check("gather rows", &transposed, &inputs, c_type, cpu, threads);
    free(x);
    free(e);
    free(e_codes);
    free(w);
}

static void convolutions(const FxGemmKernel *kernel) {
    int i = 0;
    for (int kernel_size = 1; kernel_size <= 5; kernel_size++)
        for (int stride = 1; stride <= 3; stride++)
            for (int pad = 0; pad <= 3; pad++)
                for (int channels = 1; channels <= 7; channels += channels == 1 ? 2 : 4, i++) {
                    const int t = i % TYPES;
                    const View v = {1 + i % 3, 5 + i % 4, 7 - i % 3, channels, kernel_size, 1 + (kernel_size + i) % 5,
                                    stride, pad};
                    if (takes(kernel, FX_INT8, FX_INT8))
                        check_convolution(v, FX_INT8, FX_INT8, FX_INT32, (Fill)(i % FILLS), kernel->cpu, 1);
                    if (takes(kernel, types[t][0], types[t][1]))
                        check_convolution(v, types[t][0], types[t][1], FX_INT64, (Fill)(i / 2 % FILLS), kernel->cpu, 1);
                }
}

static void convolutions_equal_their_definition(void **unused) {
    (void)unused;
    for_each_kernel(convolutions);
}

static void batches(const FxGemmKernel *kernel) {
    static const View views[] = {{33, 5, 6, 16, 3, 4, 1, 0},  {33, 5, 4, 33, 3, 3, 1, 1}, {64, 7, 7, 3, 3, 3, 2, 1},
                                 {48, 12, 12, 1, 5, 5, 1, 0}, {35, 4, 4, 33, 4, 3, 2, 2}, {40, 5, 6, 130, 1, 1, 2, 0}};
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        if (takes(kernel, FX_INT8, FX_INT8))
            check_convolution(views[i], FX_INT8, FX_INT8, FX_INT32, FILL_RANDOM, kernel->cpu, 2);
        if (takes(kernel, FX_INT16, FX_INT16) && i == 2)
            check_convolution(views[i], FX_INT16, FX_INT16, FX_INT64, FILL_RANDOM, kernel->cpu, 2);
    }
}

static void convolutions_of_batches_equal_their_definition(void **unused) {
    (void)unused;
    for_each_kernel(batches);
}

static void large_sums(const FxGemmKernel *kernel) {
    if (!takes(kernel, FX_INT8, FX_INT8))
        return;
    check_plain(70003, 64, 5, FX_INT8, FX_INT8, FX_INT32, false, true, FILL_RANDOM, kernel->cpu, 2);
    check_plain(4500, 1000, 3, FX_UINT8, FX_INT8, FX_INT32, true, false, FILL_ALTERNATING, kernel->cpu, 1);
}

static void results_larger_than_the_caches_are_whole(void **unused) {
    (void)unused;
    for_each_kernel(large_sums);
}

static void same_bytes(const FxMatrix *a, const FxMatrix *b, FxType c_type, unsigned cpu) {
    static const int threads[] = {1, 2, 3, 7};
    char *kept = NULL;
    const size_t bytes = fx_matrix_rows(a) * fx_matrix_rows(b) * fx_type_size(c_type);
    for (int i = 0; i < 4; i++) {
        char *to_free, *c = run(a, b, c_type, cpu, threads[i], &to_free);
        if (kept == NULL) {
            kept = gemm_allocate(bytes);
            memcpy(kept, c, bytes);
        } else if (memcmp(kept, c, bytes)) {
            fail_msg("%d threads give other bytes than 1", threads[i]);
        }
        free(to_free);
    }
    free(kept);
}

static bool slow;

static void thread_counts(const FxGemmKernel *kernel) {
    static const int sizes[][3] = {{2000, 33, 300}, {33, 2000, 300}, {50, 40, 30000}, {600, 150, 900}, {1200, 300, 1700}};
    const FxType type = takes(kernel, FX_INT8, FX_INT8) ? FX_INT8 : FX_INT32;
    for (int i = 0; i < (slow ? 5 : 4); i++) {
        const int m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        void *x = make_codes(type, (size_t)m * (size_t)k, FILL_RANDOM);
        void *y = make_codes(type, (size_t)n * (size_t)k, FILL_RANDOM);
        const FxMatrix a = fx_matrix_plain(x, type, m, k, false), b = fx_matrix_plain(y, type, k, n, true);
        same_bytes(&a, &b, i % 2 ? FX_INT32 : FX_INT64, kernel->cpu);
        free(x);
        free(y);
    }
}

static void threads_never_change_a_byte(void **unused) {
    (void)unused;
    for_each_kernel(thread_counts);
}

static void patches_stay_inside_their_stride(void **unused) {
    (void)unused;
    enum { H = 6, W = 5, C = 3, POSITIONS = 2 * H * W, PATCH = 3 * 4 * C, STRIDE = PATCH + 7 };
    int16_t *x = make_codes(FX_INT16, 2 * H * W * C, FILL_RANDOM);
    int16_t out[POSITIONS * STRIDE];
    for (int gather = 0; gather < 2; gather++)
        for (size_t first = 0; first < PATCH; first += 5)
            for (size_t count = 0; first + count <= PATCH; count += 7) {
                const FxMatrix a = {.data = x, .type = FX_INT16, .images = 2, .height = H, .width = W, .channels = C,
                                    .out_height = H, .out_width = W, .kernel_height = 3, .kernel_width = 4,
                                    .stride = 1, .pad = 1, .gather = gather};
                const size_t position = first % POSITIONS;
                memset(out, GUARD_BYTE, sizeof out);
                fx_matrix_patches(out, STRIDE, &a, position, POSITIONS - position, first, count);
                for (size_t i = 0; i < POSITIONS; i++)
                    for (size_t j = 0; j < STRIDE; j++) {
                        const bool inside = i < POSITIONS - position && j < count;
                        const int64_t want = inside ? element(&a, position + i, first + j) : 0x5a5a;
                        assert_int_equal(out[i * STRIDE + j], want);
                    }
            }
    free(x);
}

int main(int argc, char **argv) {
    slow = argc > 1 && !strcmp(argv[1], "slow");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_stay_inside_their_stride),
        cmocka_unit_test(every_small_product_equals_the_triple_loop),
        cmocka_unit_test(larger_odd_products_equal_the_triple_loop),
        cmocka_unit_test(every_fill_of_every_pair_of_types_is_exact),
        cmocka_unit_test(sums_that_need_int64_are_exact),
        cmocka_unit_test(convolutions_equal_their_definition),
        cmocka_unit_test(convolutions_of_batches_equal_their_definition),
        cmocka_unit_test(results_larger_than_the_caches_are_whole),
        cmocka_unit_test(threads_never_change_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
