// The float accumulators that run as fx_gemm_f32, against their specification at the edges of tiles, chunks and windows of
// random words: which products they take, the bits and the counts.
#include "formats/bits_f32.h"
#include "layers/accumulator_gemm_f32.h"
#include "layers/accumulator_exact.h"
#include "layers/gemm_rounded_f32.h"
#include "tests/cast.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FxPolicy policy_of(const char *text) {
    FxPolicy p;
    FxError err = {0};
    if (fx_policy_parse(&p, text, &err))
        fail_msg("%s", err.text);
    return p;
}

typedef struct Problem {
    FxAccumulateF32 product;
    FxAccumulator acc;
    FxRandom random;
    size_t m, n, k;
    char text[200];
} Problem;

static Problem problem_of(FxMatrix a, FxMatrix b, const char *policy, const char *outer, int chunk, const float *bias) {
    Problem p = {.product = {.a = a, .b = b, .bias = bias}, .acc = {.group = 1, .chunk = chunk}, .m = fx_matrix_rows(&a),
                 .n = fx_matrix_rows(&b), .k = fx_matrix_k(&a)};
    p.acc.inner = policy_of(policy);
    p.acc.outer = policy_of(outer);
    p.random = (FxRandom){fx_random_source(0), 8, {draw(1 << 30), (uint32_t)draw(100), (uint32_t)draw(100)}};
    snprintf(p.text, sizeof p.text, "%s, outer %s, chunk %d, bias %d: %zu x %zu x %zu", policy, outer, chunk, bias != NULL, p.m, p.n, p.k);
    return p;
}

static void read_row(void *out, const FxMatrix *a, size_t row) {
    size_t k = fx_matrix_k(a);
    if (a->patch_rows)
        fx_matrix_patches(out, 1, a, 0, k, row, 1);
    else
        fx_matrix_patches(out, k, a, row, 1, 0, k);
}

// Whether the GEMM took it on every CPU that has kernels. The result must be the specification's wherever it is made.
static bool check(Problem *p, bool counting) {
    float *want = malloc(p->m * p->n * sizeof *want), *got = malloc(p->m * p->n * sizeof *got);
    uint32_t *a = malloc(p->k * 4), *b = malloc(p->k * 4);
    assert_true(want && got && a && b);
    FxAccumulatorCountsF32 want_counts = {0};
    for (size_t i = 0; i < p->m * p->n; i++) {
        read_row(a, &p->product.a, i / p->n);
        read_row(b, &p->product.b, i % p->n);
        uint32_t bias = p->product.bias ? fx_float_bits(p->product.bias[i % p->n]) : 0;
        FxExactOutput o = {&p->acc, &p->product.a, {a, p->product.a.type, p->product.a_exponent}, {b, p->product.b.type, p->product.b_exponent},
                           p->k, p->product.bias ? &bias : NULL, &p->random, i};
        want[i] = fx_float_of(fx_accumulate_exact(&o, &want_counts));
    }
    p->product.c = got;
    bool taken = true;
    unsigned cpu;
    for (int level = 0; cpu_level(level, &cpu); level++)
        for (int threads = 1; threads <= 3; threads++) {
            FxWork work = {.threads = threads, .cpu = cpu};
            work.scratch_size = fx_accumulate_f32_scratch(&p->product, &work);
            work.scratch = aligned_alloc(64, (work.scratch_size + 63) / 64 * 64);
            assert_non_null(work.scratch);
            memset(work.scratch, 0x5A, work.scratch_size);
            FxAccumulatorCountsF32 counts = {5, 6};
            if (p->acc.inner.kind == FX_ACC_FP32 || fx_rounded_kernel_f32(cpu))
                taken &= fx_accumulate_gemm_f32(&p->product, &p->acc, &p->random, &work, counting ? &counts : NULL);
            counts = (FxAccumulatorCountsF32){5, 6};
            for (size_t i = 0; i < p->m * p->n; i++)
                got[i] = 77;
            fx_accumulate_f32(&p->product, &p->acc, &p->random, &work, counting ? &counts : NULL);
            for (size_t i = 0; i < p->m * p->n; i++)
                if (fx_float_bits(got[i]) != fx_float_bits(want[i]))
                    fail_msg("cpu %u, %d threads, counting %d, %s: sum %zu is %a, not %a", cpu, threads, counting, p->text, i, (double)got[i], (double)want[i]);
            if (counting && (counts.overflow != want_counts.overflow + 5 || counts.swamped != want_counts.swamped + 6))
                fail_msg("cpu %u, %d threads, %s: out of range %llu, not %llu; swamped %llu, not %llu", cpu, threads, p->text,
                         (unsigned long long)counts.overflow - 5, (unsigned long long)want_counts.overflow,
                         (unsigned long long)counts.swamped - 6, (unsigned long long)want_counts.swamped);
            free(work.scratch);
        }
    free(want);
    free(got);
    free(a);
    free(b);
    return taken;
}

// 0: four bits, as FP8; 1: all 24; 2: next to ties and powers of two; 3: far apart; 4: near the lowest binade of e6m9
enum { KINDS = 5 };
static float any_value(uint64_t kind) {
    float sign = draw(2) ? 1 : -1;
    if (draw(5) == 0)
        return 0 * sign;
    switch (kind) {
    case 0: return sign * ldexpf((float)(8 + draw(8)), (int)draw(8) - 9);
    case 1: return sign * ldexpf((float)((1 << 23) + draw(1 << 23)), (int)draw(8) - 27);
    case 2: return sign * (1 + ldexpf((float)draw(5) - 2, -(int)draw(24)));
    case 3: return sign * ldexpf((float)(8 + draw(8)), (int)draw(30) - 18);
    default: return sign * ldexpf((float)(8 + draw(8)), (int)draw(6) - 23);
    }
}

static float *values(size_t n, uint64_t kind) {
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = any_value(kind);
    return x;
}

static const char *const policies[] = {
    "float:e6m9", "float:e6m9/toward-zero", "float:e6m9/stochastic:8", "float:e6m9/stochastic:8:a", "float:e6m9/stochastic:3", "float:e5m10",
    "float:e5m10/toward-zero", "float:e8m7", "float:e8m7/toward-zero", "float:e5m10/stochastic:5:a", "e4m3fn/toward-zero", "e4m3fn", "e5m2/stochastic:8",
    "float:e5m3:fnuz/toward-zero", "float:e4m5/stochastic:8:a", "float:e4m5", "float:e8m20", "float:e8m20/toward-zero", "float:e5m1:none", "fp32",
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

static void tiles_chunks_and_windows_of_every_size_add_as_the_specification_does(void **state) {
    (void)state;
    static const size_t ms[] = {1, 2, 5, 7, 8, 9, 15, 17, 27}, ns[] = {1, 3, 15, 16, 17, 31, 32, 33, 50, 65},
                        ks[] = {1, 2, 15, 16, 17, 40, 63, 64, 65, 130, 255, 256, 257, 300, 520};
    static const int chunks[] = {0, 0, 1, 7, 32, 64, 256, 300};
    int taken = 0, rounds = 900;
    for (int round = 0; round < rounds; round++) {
        size_t m = ms[draw(9)], n = ns[draw(10)], k = ks[draw(15)];
        if (m * n * k > 40000)
            k = k % 65 + 1;
        const char *policy = policies[round % POLICIES];
        bool fp32 = !strcmp(policy, "fp32");
        float *x = values(m * k, draw(KINDS)), *y = values(n * k, draw(KINDS)), *bias = values(n, draw(KINDS));
        FxMatrix a = draw(2) ? fx_matrix_plain(x, FX_FLOAT32, (int)m, (int)k, false) : fx_matrix_plain(x, FX_FLOAT32, (int)k, (int)m, true);
        FxMatrix b = draw(2) ? fx_matrix_plain(y, FX_FLOAT32, (int)n, (int)k, false) : fx_matrix_plain(y, FX_FLOAT32, (int)k, (int)n, true);
        Problem p = problem_of(a, b, policy, policy, chunks[draw(8)], draw(3) ? NULL : bias);
        taken += check(&p, !fp32 && draw(2));
        free(x);
        free(y);
        free(bias);
    }
    assert_true(taken > rounds * 9 / 10); // but for values that cannot be scaled
}

static void the_order_with_images_last_adds_patches_by_place(void **state) {
    (void)state;
    int taken = 0;
    for (int round = 0; round < 120; round++) {
        int images = 1 + (int)draw(9), size = 2 + (int)draw(5), kernel = 1 + (int)draw(2), channels = 1 + (int)draw(12), pad = (int)draw(2);
        int out = size + 2 * pad - kernel + 1, n = 1 + (int)draw(40);
        float *x = values((size_t)(images * size * size * channels), draw(2)), *y = values((size_t)(images * out * out * n), draw(2));
        FxMatrix a = {.data = x, .type = FX_FLOAT32, .images = images, .height = size, .width = size, .channels = channels, .out_height = out,
                      .out_width = out, .kernel_height = kernel, .kernel_width = kernel, .stride = 1, .pad = pad, .patch_rows = true};
        FxMatrix b = fx_matrix_plain(y, FX_FLOAT32, images * out * out, n, true);
        const char *policy = round % 2 ? "fp32" : policies[draw(POLICIES)];
        Problem p = problem_of(a, b, policy, policy, draw(2) ? 32 : 0, NULL);
        p.acc.order = FX_ORDER_OH_OW_N;
        taken += check(&p, strcmp(policy, "fp32") && draw(2));
        free(x);
        free(y);
    }
    assert_true(taken > 115);
}

// Inf or NaN anywhere, a grid with Inf that a sum leaves, a bias or operands that cannot be scaled: all still the specification's.
static void what_the_tiles_cannot_add_is_left_to_the_specification(void **state) {
    (void)state;
    enum { M = 9, N = 40, K = 70 };
    for (int round = 0; round < 200; round++) {
        float *x = values(M * K, 0), *y = values(N * K, 0), *bias = values(N, 1);
        const char *policy = policies[draw(POLICIES - 1)];
        FxMatrix a = fx_matrix_plain(x, FX_FLOAT32, M, K, false), b = fx_matrix_plain(y, FX_FLOAT32, N, K, false);
        int what = round % 6;
        char text[80];
        if (what == 0)
            (draw(2) ? x + draw(M * K) : y + draw(N * K))[0] = draw(2) ? (draw(2) ? INFINITY : -INFINITY) : NAN;
        for (size_t i = 0; what == 1 && i < M * K; i++)
            x[i] *= 4096;
        if (what == 2)
            bias[draw(N)] = draw(2) ? INFINITY : 0x1p101f;
        if (what == 3)
            x[draw(M * K)] = 0x1p-149f, y[draw(N * K)] = 0x1p-149f; // both keep all of the scaling to the other
        if (what == 5) // one operand takes most of the scaling
            policy = "float:e6m9", x[draw(M * K)] = 0x1p-120f;
        if (what == 4)
            x[draw(M * K)] = 0x1p60f, y[draw(N * K)] = 0x1p60f;
        snprintf(text, sizeof text, "%s%s", what == 1 ? "e5m2/toward-zero" : policy, what == 1 ? "/inf" : "");
        Problem p = problem_of(a, b, text, text, draw(2) ? 16 : 0, what == 2 ? bias : NULL);
        bool taken = check(&p, draw(2));
        unsigned cpu;
        bool kernels = false;
        for (int level = 0; cpu_level(level, &cpu); level++)
            kernels |= fx_rounded_kernel_f32(cpu) != NULL;
        if (kernels && what != 3 && taken != (what == 5)) // grids near float32's range take 3 too
            fail_msg("round %d, %s: taken %d", round, p.text, taken);
        free(x);
        free(y);
        free(bias);
    }
}

// A tie of ten bits in float32 that the exact sum is none of: only products of more than ten bits make it, which must go the long way.
static void a_sum_just_beside_a_tie_goes_to_its_side(void **state) {
    (void)state;
    float x[] = {0x1p-20f, 1 + 0x1p-10f, -0x1p-20f, 1 + 0x1p-10f, 0}, one[5] = {1, 1, 1, 1, 1};
    for (int first = 0; first < 4; first += 2) {
        FxMatrix a = fx_matrix_plain(x + first, FX_FLOAT32, 1, 2, false), b = fx_matrix_plain(one, FX_FLOAT32, 1, 2, false);
        x[first] = first ? -0x1p-30f : 0x1p-30f; // e6m9 holds it, float32 not beside 1
        Problem p = problem_of(a, b, "float:e6m9", "float:e6m9", 0, NULL);
        float c;
        check(&p, true);
        p.product.c = &c;
        FxWork work = {.threads = 1, .cpu = fx_cpu_detect()};
        work.scratch_size = fx_accumulate_f32_scratch(&p.product, &work);
        work.scratch = aligned_alloc(64, (work.scratch_size + 63) / 64 * 64);
        assert_non_null(work.scratch);
        fx_accumulate_f32(&p.product, &p.acc, NULL, &work, NULL);
        assert_true(c == (first ? 1 : 1 + 0x1p-9f));
        free(work.scratch);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_chunks_and_windows_of_every_size_add_as_the_specification_does),
        cmocka_unit_test(the_order_with_images_last_adds_patches_by_place),
        cmocka_unit_test(what_the_tiles_cannot_add_is_left_to_the_specification),
        cmocka_unit_test(a_sum_just_beside_a_tie_goes_to_its_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
