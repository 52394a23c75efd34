// fx_gemm_f32 against a triple loop of fmaf over the operands' definitions, for every line of the kernel table: the
// same bits, NaN for NaN. Argument "slow": every small product in every layout and chunking.
#include "formats/bits_f32.h"
#include "formats/cpu.h"
#include "layers/gemm_f32.h"
#include "layers/gemm_kernel_f32.h"
#include "tests/gemm_parts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL = 40 };

typedef enum Fill { FILL_RANDOM, FILL_POWERS, FILL_TINY, FILL_SPECIAL, FILL_ZEROS, FILLS } Fill;

static bool slow;

static float fill_value(Fill fill) {
    const float sign = gemm_draw() & 1 ? -1.0f : 1.0f;
    switch (fill) {
    case FILL_POWERS: return sign * ldexpf(1, (int)(gemm_draw() % 120) - 60); // most sums swallow most products
    case FILL_TINY: // subnormal values and subnormal products
        if (gemm_draw() & 1)
            return sign * fx_float_of(gemm_draw() % 0x800000);
        return sign * ldexpf(1 + (float)gemm_draw() * 0x1p-24f, (int)(gemm_draw() % 90) - 80);
    case FILL_SPECIAL: {
        static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff, 0xff7fffff, 0x80000000};
        return gemm_draw() % 24 ? sign * (float)gemm_draw() : fx_float_of(special[gemm_draw() % 6]);
    }
    case FILL_ZEROS: // zeros of either sign, and products that underflow to them
        return gemm_draw() & 1 ? sign * 0.0f : sign * ldexpf(1, -100);
    default: return sign * (float)(gemm_draw() >> 1 | 1) * 0x1p-23f;
    }
}

// Exactly as long as its elements, so that a sanitizer sees every read past the end.
static void *make(FxType type, size_t count, Fill fill) {
    char *p = malloc(count * fx_type_size(type) + (count == 0));
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) {
        const uint32_t word = gemm_draw() << 8 ^ gemm_draw();
        const int32_t code32 = gemm_draw() % 8 ? (int32_t)(word % 0x2000001) - 0x1000000 : gemm_draw() & 1 ? 0x1000000 : -0x1000000;
        const int16_t code16 = (int16_t)word;
        const float value = fill_value(fill);
        const void *from = type == FX_FLOAT32 ? (const void *)&value : type == FX_INT32 ? (const void *)&code32
                         : type == FX_INT16 ? (const void *)&code16 : (const void *)&word;
        memcpy(p + i * fx_type_size(type), from, fx_type_size(type));
    }
    return p;
}

static float value_at(const FxMatrix *a, int exponent, size_t i) {
    switch (a->type) {
    case FX_INT8: return ldexpf((float)((const int8_t *)a->data)[i], exponent);
    case FX_UINT8: return ldexpf((float)((const uint8_t *)a->data)[i], exponent);
    case FX_INT16: return ldexpf((float)((const int16_t *)a->data)[i], exponent);
    case FX_INT32: return ldexpf((float)((const int32_t *)a->data)[i], exponent);
    default: return ((const float *)a->data)[i];
    }
}

// Element (row, k) of an operand.
static float element(const FxMatrix *a, int exponent, size_t row, size_t k) {
    size_t place;
    return gemm_place(&place, a, row, k) ? value_at(a, exponent, place) : 0;
}

static float *expand(const FxMatrix *a, int exponent) {
    const size_t rows = fx_matrix_rows(a), k = fx_matrix_k(a);
    float *out = gemm_allocate(rows * k * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < k; j++)
            out[i * k + j] = element(a, exponent, i, j);
    return out;
}

// The pinned order: no chunks, one chain; chunks, the sum from +0 of a chain each.
static float sum_of(const float *x, const float *y, size_t k, size_t chunk) {
    float sum = 0, all = 0;
    if (chunk == 0) {
        for (size_t i = 0; i < k; i++)
            sum = fmaf(x[i], y[i], sum);
        return sum;
    }
    for (size_t start = 0; start < k; start += chunk) {
        sum = 0;
        for (size_t i = start; i < k && i - start < chunk; i++)
            sum = fmaf(x[i], y[i], sum);
        all += sum;
    }
    return all;
}

static bool same(float x, float y) {
    return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

// Runs the product into a guarded c and returns c (to be freed), after checking the guards.
static float *run(FxProductF32 p, unsigned cpu, int threads, char **to_free) {
    const size_t m = fx_matrix_rows(&p.a), n = fx_matrix_rows(&p.b), bytes = m * n * sizeof(float);
    FxWork work = {.threads = threads, .cpu = cpu};
    char *c = gemm_allocate(bytes + 2 * GUARD);
    memset(c, GUARD_BYTE, bytes + 2 * GUARD);
    p.c = (float *)(c + GUARD);
    work.scratch_size = fx_gemm_f32_scratch(&p, &work);
    char *scratch = gemm_allocate(work.scratch_size + GUARD);
    memset(scratch, 0xff, work.scratch_size); // NaN, wherever it is not overwritten
    memset(scratch + work.scratch_size, GUARD_BYTE, GUARD);
    work.scratch = scratch;
    fx_gemm_f32(&p, &work);
    for (size_t i = 0; i < GUARD; i++)
        if (c[i] != GUARD_BYTE || c[GUARD + bytes + i] != GUARD_BYTE || scratch[work.scratch_size + i] != GUARD_BYTE)
            fail_msg("m %zu n %zu k %zu cpu %u threads %d: wrote outside", m, n, fx_matrix_k(&p.a), cpu, threads);
    free(scratch);
    *to_free = c;
    return p.c;
}

static void compare(const char *what, const FxProductF32 *p, const float *got, const float *want, size_t want_step,
                    unsigned cpu, int threads) {
    const size_t m = fx_matrix_rows(&p->a), n = fx_matrix_rows(&p->b);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            if (!same(got[i * n + j], want[i * want_step + j]))
                fail_msg("%s: %s x %s, m %zu n %zu k %zu, chunk %zu, cpu %u, threads %d: c[%zu][%zu] is %a, not %a", what,
                         fx_type_name(p->a.type), fx_type_name(p->b.type), m, n, fx_matrix_k(&p->a), p->chunk, cpu,
                         threads, i, j, (double)got[i * n + j], (double)want[i * want_step + j]);
}

static unsigned levels[8];
static int level_count;

// Every line of the table that this machine can run, reached by its own flags.
static void find_levels(void) {
    for (int i = 0; fx_gemm_kernel_f32(i); i++)
        if ((fx_gemm_kernel_f32(i)->cpu & fx_cpu_detect()) == fx_gemm_kernel_f32(i)->cpu)
            levels[level_count++] = fx_gemm_kernel_f32(i)->cpu;
}

// The product on every level, with these numbers of threads, equals its definition.
static void check(const char *what, const FxProductF32 *p, int thread_counts, const int *threads) {
    const size_t m = fx_matrix_rows(&p->a), n = fx_matrix_rows(&p->b), k = fx_matrix_k(&p->a);
    assert_int_equal(k, fx_matrix_k(&p->b));
    float *x = expand(&p->a, p->a_exponent), *y = expand(&p->b, p->b_exponent), *want = gemm_allocate(m * n * sizeof *want);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            want[i * n + j] = sum_of(x + i * k, y + j * k, k, p->chunk);
    for (int level = 0; level < level_count; level++)
        for (int t = 0; t < thread_counts && (slow || levels[level] || t < 2); t++) { // scalar fmaf takes its time
            char *to_free;
            compare(what, p, run(*p, levels[level], threads[t], &to_free), want, n, levels[level], threads[t]);
            free(to_free);
        }
    free(x);
    free(y);
    free(want);
}

static FxMatrix plain(const void *data, FxType type, size_t rows, size_t k, bool k_is_row) {
    return k_is_row ? fx_matrix_plain(data, type, (int)k, (int)rows, true)
                    : fx_matrix_plain(data, type, (int)rows, (int)k, false);
}

static const size_t chunks[] = {0, 1, 3, 4096};

// The first m rows and k columns of SMALL x SMALL values.
static FxMatrix corner(float *out, const float *from, size_t rows, size_t k, bool k_is_row) {
    for (size_t i = 0; i < rows; i++)
        for (size_t t = 0; t < k; t++)
            out[k_is_row ? t * rows + i : i * k + t] = from[i * SMALL + t];
    return plain(out, FX_FLOAT32, rows, k, k_is_row);
}

// Products of every size up to SMALL from the corners of two squares; want[chunk][k] is of all rows and columns.
static void every_small_product_has_the_bits_of_the_triple_loop(void **unused) {
    (void)unused;
    enum { SQUARE = SMALL * SMALL };
    float *want = gemm_allocate(4 * (SMALL + 1) * SQUARE * sizeof *want), x[SQUARE], y[SQUARE];
    uint32_t turn = 0;
    for (int fill = 0; fill < FILLS; fill++) {
        float *a = make(FX_FLOAT32, SQUARE, (Fill)fill), *b = make(FX_FLOAT32, SQUARE, (Fill)fill);
        for (size_t c = 0; c < 4; c++)
            for (size_t k = 0; k <= SMALL; k++)
                for (size_t i = 0; i < SQUARE; i++)
                    want[(c * (SMALL + 1) + k) * SQUARE + i] =
                        sum_of(a + i / SMALL * SMALL, b + i % SMALL * SMALL, k, chunks[c]);
        for (size_t m = 1; m <= SMALL; m++)
            for (size_t n = 1; n <= SMALL; n++)
                for (size_t k = 1; k <= SMALL; k++, turn++)
                    for (uint32_t way = 0; way < 16; way++) {
                        // each size once, another way and fill each time
                        if (!slow && ((m + n + k) % FILLS != (size_t)fill || way != turn * 2654435761u >> 28))
                            continue;
                        FxProductF32 p = {.a = corner(x, a, m, k, way & 1), .b = corner(y, b, n, k, way & 2)};
                        p.chunk = chunks[way / 4];
                        for (int level = 0; level < level_count; level++) {
                            char *to_free;
                            const float *got = run(p, levels[level], 1, &to_free);
                            compare("small", &p, got, want + (way / 4 * (SMALL + 1) + k) * SQUARE, SMALL, levels[level], 1);
                            free(to_free);
                        }
                    }
        free(a);
        free(b);
    }
    free(want);
}

static const FxType types[] = {FX_FLOAT32, FX_INT8, FX_UINT8, FX_INT16, FX_INT32};
enum { TYPES = sizeof types / sizeof types[0], PAIRS = TYPES * TYPES };
static const int one_thread = 1, some_threads[] = {1, 2, 3, 7};

static int exponent_of(FxType type, int turn) {
    static const int of_bytes[] = {0, -7, 120, -149}, of_wide[] = {-20, 0, 103, -149};
    return type == FX_FLOAT32 ? 0 : type == FX_INT8 || type == FX_UINT8 ? of_bytes[turn % 4] : of_wide[turn % 4];
}

static void check_plain(size_t m, size_t n, size_t k, FxType left, FxType right, int layout, size_t chunk, Fill fill,
                        int turn, int thread_counts, const int *threads) {
    void *x = make(left, m * k, fill), *y = make(right, n * k, fill);
    const FxProductF32 p = {.a = plain(x, left, m, k, layout & 1), .b = plain(y, right, n, k, layout & 2), .chunk = chunk,
                            .a_exponent = exponent_of(left, turn), .b_exponent = exponent_of(right, turn / 4)};
    check("plain", &p, thread_counts, threads);
    free(x);
    free(y);
}

static void every_pair_of_types_converts_exactly(void **unused) {
    (void)unused;
    for (int i = 0; i < PAIRS * 16; i++)
        check_plain(14, 35, 133, types[i % TYPES], types[i / TYPES % TYPES], i % 4, chunks[i / 4 % 4],
                    (Fill)(i % FILLS), i / PAIRS, 1, &one_thread);
}

// Several blocks and sections of k, tasks of all three kinds, chunks that end within blocks and that span sections.
static void threads_and_blocks_never_change_a_bit(void **unused) {
    (void)unused;
    static const size_t sizes[][3] = {{110, 35, 1031}, {35, 130, 1024}, {19, 17, 9001}, {17, 21, 8200}, {13, 16, 20000},
                                      {1000, 1, 700},  {1, 1000, 513},  {400, 90, 130}, {90, 400, 64}};
    static const size_t lengths[] = {0, 4096, 300, 5000, 17, 1000000};
    int i = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++, i++)
            check_plain(sizes[s][0], sizes[s][1], sizes[s][2], i % 3 ? FX_FLOAT32 : types[i / 3 % TYPES],
                        i % 4 ? FX_FLOAT32 : types[i / 4 % TYPES], (i + (int)s) % 4, lengths[l],
                        i % 3 ? FILL_RANDOM : (Fill)(i % FILLS), 0, 4, some_threads);
}

typedef struct View {
    int images, height, width, channels, kernel_h, kernel_w, stride, pad;
} View;

// The three products of a convolution with their real views, and one that nobody needs yet.
static void check_convolution(View v, FxType data, FxType other, size_t chunk, Fill fill, int thread_counts,
                              const int *threads) {
    const int out_h = (v.height + 2 * v.pad - v.kernel_h) / v.stride + 1;
    const int out_w = (v.width + 2 * v.pad - v.kernel_w) / v.stride + 1;
    if (v.height + 2 * v.pad < v.kernel_h || v.width + 2 * v.pad < v.kernel_w)
        return;
    const int outputs = v.images >= 32 ? 33 : 5, patch = v.kernel_h * v.kernel_w * v.channels;
    const size_t in_count = (size_t)(v.images * v.height * v.width * v.channels);
    const size_t out_count = (size_t)(v.images * out_h * out_w * outputs);
    void *x = make(data, in_count, fill), *e = make(data, out_count, fill);
    void *e_other = make(other, out_count, fill), *w = make(other, (size_t)(patch * outputs), fill);
    const FxMatrix forward = {.data = x, .type = data, .images = v.images, .height = v.height, .width = v.width,
                              .channels = v.channels, .out_height = out_h, .out_width = out_w, .kernel_height = v.kernel_h,
                              .kernel_width = v.kernel_w, .stride = v.stride, .pad = v.pad};
    FxProductF32 p = {.a = forward, .b = fx_matrix_plain(w, other, patch, outputs, true), .chunk = chunk,
                      .a_exponent = exponent_of(data, 1), .b_exponent = exponent_of(other, 0)};
    check("forward", &p, thread_counts, threads);

    p.a = (FxMatrix){.data = e, .type = data, .images = v.images, .height = out_h, .width = out_w, .channels = outputs,
                     .out_height = v.height, .out_width = v.width, .kernel_height = v.kernel_h,
                     .kernel_width = v.kernel_w, .stride = v.stride, .pad = v.pad, .gather = true};
    const FxMatrix gather = p.a;
    // w[tap][ci][co] as rows ci, k = (tap, co): an image of taps x ci with co channels and a column of taps as kernel.
    p.b = (FxMatrix){.data = w, .type = other, .images = 1, .height = v.kernel_h * v.kernel_w, .width = v.channels,
                     .channels = outputs, .out_height = 1, .out_width = v.channels,
                     .kernel_height = v.kernel_h * v.kernel_w, .kernel_width = 1, .stride = 1};
    check("error", &p, thread_counts, threads);

    p.a = forward;
    p.a.patch_rows = true;
    p.b = fx_matrix_plain(e_other, other, v.images * out_h * out_w, outputs, true);
    check("gradient", &p, thread_counts, threads);
    p.a = gather; // a gather view may lie along the rows too
    p.a.patch_rows = true;
    p.b = fx_matrix_plain(x, data, v.images * v.height * v.width, v.channels, true);
    p.b_exponent = p.a_exponent;
    check("gather rows", &p, thread_counts, threads);
    FxProductF32 swapped = {.a = p.b, .b = p.a, .chunk = chunk, .a_exponent = p.a_exponent, .b_exponent = p.a_exponent};
    check("gather right", &swapped, thread_counts, threads);
    swapped.a = fx_matrix_plain(w, other, outputs, patch, false);
    swapped.a_exponent = exponent_of(other, 0);
    swapped.b = forward;
    check("forward right", &swapped, thread_counts, threads);
    free(x);
    free(e);
    free(e_other);
    free(w);
}

static void convolutions_have_the_bits_of_their_definition(void **unused) {
    (void)unused;
    int i = 0;
    for (int kernel_size = 1; kernel_size <= 5; kernel_size++)
        for (int stride = 1; stride <= 3; stride++)
            for (int pad = 0; pad <= 3; pad++)
                for (int channels = 1; channels <= 7; channels += channels == 1 ? 2 : 4, i++) {
                    const View v = {1 + i % 3, 5 + i % 4, 7 - i % 3, channels, kernel_size, 1 + (kernel_size + i) % 5,
                                    stride, pad};
                    check_convolution(v, FX_FLOAT32, FX_FLOAT32, chunks[i % 4], (Fill)(i % FILLS), 1, &one_thread);
                    check_convolution(v, types[i / 2 % TYPES], types[i % TYPES], chunks[i / 3 % 4],
                                      (Fill)(i / 4 % FILLS), 1, &one_thread);
                }
}

static void convolutions_of_batches_have_the_bits_of_their_definition(void **unused) {
    (void)unused;
    static const View views[] = {{33, 5, 6, 16, 3, 4, 1, 0},  {33, 5, 4, 33, 3, 3, 1, 1}, {64, 7, 7, 3, 3, 3, 2, 1},
                                 {48, 12, 12, 1, 5, 5, 1, 0}, {35, 4, 4, 33, 4, 3, 2, 2}, {40, 5, 6, 130, 1, 1, 2, 0}};
    for (int i = 0; i < 6; i++)
        check_convolution(views[i], i % 2 ? FX_INT8 : FX_FLOAT32, FX_FLOAT32, i % 3 ? 700 : 0,
                          i % 2 ? FILL_SPECIAL : FILL_RANDOM, 2, some_threads + 1);
}

// A tap outside of the image is the product 0 * w: NaN where w is Inf, and -0 + 0 * w where the chain is -0.
static void padding_is_a_product_with_zero(void **unused) {
    (void)unused;
    float x = 1, w[9] = {INFINITY, 0, 0, 0, 1, 0, 0, 0, 0};
    FxProductF32 p = {.a = {.data = &x, .type = FX_FLOAT32, .images = 1, .height = 1, .width = 1, .channels = 1,
                            .out_height = 1, .out_width = 1, .kernel_height = 3, .kernel_width = 3, .stride = 1, .pad = 1},
                      .b = fx_matrix_plain(w, FX_FLOAT32, 9, 1, true)};
    for (int level = 0; level < level_count; level++)
        for (int chunk = 0; chunk < 2; chunk++)
            for (int at = 0; at < 3; at++) { // what is put in the place
                char *to_free;
                p.chunk = chunk ? 9 : 0;
                x = at == 0 ? 1 : -0x1p-100f;
                w[0] = at == 0 ? INFINITY : -0x1p-100f;
                w[4] = 0x1p-100f; // the chain becomes -0 here
                for (int tap = 5; tap < 9; tap++)
                    w[tap] = at == 1 || tap != 7 ? -1 : 1; // 0 * -1 keeps it, 0 * 1 does not
                const float got = *run(p, levels[level], 1, &to_free);
                assert_true(at == 0 ? isnan(got) : same(got, at == 1 && chunk == 0 ? -0.0f : 0.0f));
                free(to_free);
            }
}

static void errors_stay_within_the_bound_of_a_chain(void **unused) {
    (void)unused;
    enum { M = 31, N = 45, K = 3000 };
    float *x = make(FX_FLOAT32, M * K, FILL_RANDOM), *y = make(FX_FLOAT32, N * K, FILL_RANDOM);
    for (int chunk = 0; chunk <= 64; chunk += 64)
        for (int level = 0; level < level_count; level++) {
            const FxProductF32 p = {.a = plain(x, FX_FLOAT32, M, K, false), .b = plain(y, FX_FLOAT32, N, K, false),
                                    .chunk = (size_t)chunk};
            char *to_free;
            const float *got = run(p, levels[level], 1, &to_free);
            for (size_t i = 0; i < M * N; i++) {
                double sum = 0, magnitudes = 0;
                for (size_t k = 0; k < K; k++) {
                    const double product = (double)x[i / N * K + k] * (double)y[i % N * K + k];
                    sum += product;
                    magnitudes += fabs(product);
                }
                const double steps = chunk ? chunk + K / chunk + 1 : K; // roundings that a product goes through
                if (!(fabs((double)got[i] - sum) <= steps * 0x1p-24 * 1.001 * magnitudes))
                    fail_msg("chunk %d: %a is too far from %a", chunk, (double)got[i], sum);
            }
            free(to_free);
        }
    free(x);
    free(y);
}

static void an_empty_sum_is_plus_zero(void **unused) {
    (void)unused;
    FxProductF32 p = {.a = fx_matrix_plain("", FX_FLOAT32, 3, 0, false), .b = fx_matrix_plain("", FX_INT8, 0, 5, true)};
    check("empty", &p, 1, &one_thread);
    p.chunk = 3;
    check("empty", &p, 1, &one_thread);
}

int main(int argc, char **argv) {
    slow = argc > 1 && !strcmp(argv[1], "slow");
    find_levels();
    const struct CMUnitTest all[] = {
        cmocka_unit_test(every_small_product_has_the_bits_of_the_triple_loop),
        cmocka_unit_test(every_pair_of_types_converts_exactly),
        cmocka_unit_test(threads_and_blocks_never_change_a_bit),
        cmocka_unit_test(convolutions_have_the_bits_of_their_definition),
        cmocka_unit_test(convolutions_of_batches_have_the_bits_of_their_definition),
        cmocka_unit_test(padding_is_a_product_with_zero),
        cmocka_unit_test(errors_stay_within_the_bound_of_a_chain),
        cmocka_unit_test(an_empty_sum_is_plus_zero),
    };
    return cmocka_run_group_tests_name("gemm_f32", all, NULL, NULL);
}
