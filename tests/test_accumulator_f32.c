// Float accumulators: the specification against sums exact in MPFR and the golden table, the kernels against the
// specification, bit for bit and count for count.
#include "formats/bits_f32.h"
#include "layers/accumulator_exact.h"
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/layer_of.h"
#include "tests/slow_sum.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const grids[] = {
    "float:e6m9", "float:e5m10", "e4m3fn", "e4m3", "e5m2", "float:e8m7", "float:e8m23", "float:e4m5", "float:e3m4:none", "float:e5m3:fnuz",
    "float:e8m10", "float:e8m20", "float:e8m21", "float:e6m0:none", "binary8p3se", "float:e7m22", "float:e5m12:bias40", "float:e2m1:none",
    "float:e4m14", "float:e6m16", "float:e1m6:none", "float:e7m12:bias80", "float:e7m21:bias126", "float:e8m21:bias128", "float:e7m21",
};
enum { GRIDS = sizeof grids / sizeof grids[0], OTHERS = 3 };
static const char *const others[OTHERS] = {"dlfloat16", "float:e4m3:flush", "float:e5m4:flush:uf-flush"}; // no subnormals
static const char *const roundings[] = {
    "nearest-even", "toward-zero", "stochastic:8", "stochastic:4:a", // FAST of them have kernels of their own
    "nearest-even", "toward-zero", "nearest-even", "stochastic:8", "stochastic:12", "stochastic",
    "stochastic:8:b", "stochastic:8:below", "stochastic:32:below", "stochastic:27:a", "nearest-away", "nearest-zero", "nearest-up",
    "nearest-down", "away", "floor", "ceil", "odd", "equal", "sr-eps:0.25:8", "sr-eps:0.125", "stochastic:1",
};
enum { ROUNDINGS = sizeof roundings / sizeof roundings[0], FAST = 4 };
static const char *const overflows[] = {"saturate", "saturate", "inf", "propagate"};

static FxPolicy policy_of(const char *text) {
    FxPolicy p;
    FxError err = {0};
    if (fx_policy_parse(&p, text, &err))
        fail_msg("%s", err.text);
    return p;
}

static FxPolicy any_policy(bool with_others) {
    char text[FX_POLICY_TEXT];
    if (draw(10) == 0)
        return policy_of("fp32");
    uint64_t grid = draw(GRIDS + (with_others ? OTHERS : 0));
    snprintf(text, sizeof text, "%s/%s/%s", grid < GRIDS ? grids[grid] : others[grid - GRIDS], roundings[draw(ROUNDINGS)], overflows[draw(4)]);
    return policy_of(text);
}

static FxAccumulator any_accumulator(bool with_others) {
    static const int groups[] = {1, 1, 1, 2, 3, 4, 8, 1000}, chunks[] = {0, 0, 1, 2, 3, 7, 16};
    FxAccumulator acc = {.group = groups[draw(8)], .chunk = chunks[draw(7)]};
    acc.inner = any_policy(with_others);
    acc.outer = draw(2) ? acc.inner : any_policy(with_others);
    uint64_t special = draw(12);
    if (special == 0) {
        acc.chunk = 0;
        acc.inner = acc.outer = policy_of("kulisch");
    } else if (special == 1 && acc.chunk) {
        acc.inner = policy_of("exact");
        acc.outer = draw(4) ? acc.outer : policy_of("kulisch");
    } else if (special == 2 && acc.chunk) {
        acc.outer = policy_of("kulisch");
    } else if (!acc.chunk) {
        acc.outer = draw(4) ? acc.inner : acc.outer; // a bias alone goes by it
    }
    FxError err = {0};
    if (fx_accumulator_check_f32(&acc, 32, "a test", &err))
        fail_msg("%s", err.text);
    return acc;
}

static void print(char *text, size_t size, const FxAccumulator *acc) {
    char inner[FX_POLICY_TEXT], outer[FX_POLICY_TEXT];
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    snprintf(text, size, "%s, outer %s, group %d, chunk %d%s", inner, outer, acc->group, acc->chunk, acc->order == FX_ORDER_OH_OW_N ? ", oh-ow-n" : "");
}

static bool same(float x, float y) {
    return isnan(x) ? isnan(y) : fx_float_bits(x) == fx_float_bits(y);
}

// One kind of numbers for a whole operand; `kind` 0 .. KINDS - 1.
enum { KINDS = 11 };
static float any_float(uint64_t kind, int center) {
    float sign = draw(2) ? 1 : -1, x;
    switch (kind) {
    case 0: return sign * ldexpf((float)draw(16), -3);                                    // few bits: ties and cancellations
    case 1: return sign * ldexpf((float)(8 + draw(8)), (int)draw(12) + center - 9);       // as FP8
    case 2: return sign * ldexpf((float)((1 << 23) + draw(1 << 23)), (int)draw(6) - 26 + center); // all 24 bits
    case 3: return sign * ldexpf((float)((1 << 23) + draw(1 << 23)), (int)draw(40) - 43 + center);
    case 4: return draw(3) ? 0.0f * sign : sign * ldexpf((float)(1 + draw(3)), center);    // zeros of both signs
    case 5: return sign * ldexpf(1, (int)draw(30) - 15 + center);                         // powers of two
    case 6: return draw(8) ? sign * ldexpf((float)draw(64), center) : sign * ldexpf((float)draw(1 << 23), -149); // subnormals of float32
    case 7: x = fx_float_of((uint32_t)draw(UINT64_C(1) << 32)); return isfinite(x) ? x : 1;  // anything finite
    case 8: x = draw(2) ? INFINITY : NAN; return draw(60) ? sign : sign * x;              // now and then Inf or NaN
    case 9: return sign * ldexpf(1, 60 * ((int)draw(5) - 2));                             // far apart: groups that two float64 do not hold
    default: return sign * (1 + ldexpf((float)draw(5) - 2, -(int)draw(24)));              // next to ties
    }
}

// Numbers whose sums stay inside of the grid, meet its lowest binade or its end.
static int any_center(const FxPolicy *p) {
    const FxGrid *g = &p->q.grid;
    int low = fx_policy_is_float(p) ? 1 - g->bias : -126, high = low + (fx_policy_is_float(p) ? 1 << g->exponent_bits : 254);
    int at = draw(2) ? 0 : draw(2) ? low - g->mantissa_bits : high - 3;
    int center = at / 2 + (int)draw(7) - 3;
    return center < -100 ? -100 : center > 90 ? 90 : center;
}

static void the_specification_adds_as_exact_sums_and_the_laws_say(void **state) {
    (void)state;
    if (!slow_sum_exists())
        skip();
    uint64_t over = 0, swamped = 0, nonfinite = 0;
    for (int round = 0; round < 30000; round++) {
        FxAccumulator acc = any_accumulator(false);
        size_t k = 1 + draw(24);
        float a[32], b[32], bias = any_float(draw(KINDS), 0);
        uint64_t kinds[2] = {draw(KINDS), draw(KINDS)};
        int center = any_center(&acc.inner), exponent = draw(8) ? 0 : (int)draw(60) - 30;
        for (size_t i = 0; i < k; i++) {
            a[i] = any_float(kinds[0], center);
            b[i] = any_float(kinds[1], center);
        }
        FxRandom random = {fx_random_source(0), 32, {draw(1 << 20), 7, (uint32_t)round}};
        FxMatrix plain = fx_matrix_plain(a, FX_FLOAT32, 1, (int)k, false);
        bool biased = draw(3) == 0;
        uint32_t bias_bits = fx_float_bits(bias);
        FxExactOutput o = {&acc, &plain, {a, FX_FLOAT32, exponent}, {b, FX_FLOAT32, 0}, k, biased ? &bias_bits : NULL, &random, draw(1000)};
        FxAccumulatorCountsF32 got_counts = {3, 4}, want_counts = {3, 4};
        float got = fx_float_of(fx_accumulate_exact(&o, &got_counts));
        float want = slow_sum(&acc, a, b, k, exponent, biased ? &bias : NULL, random.rng, o.output, &want_counts);
        if (!same(got, want) || got_counts.overflow != want_counts.overflow || got_counts.swamped != want_counts.swamped) {
            char text[512];
            print(text, sizeof text, &acc);
            fail_msg("round %d, %s, %zu products, bias %d: %a, not %a; out of range %llu, not %llu; swamped %llu, not %llu", round, text, k, biased,
                     (double)got, (double)want, (unsigned long long)got_counts.overflow, (unsigned long long)want_counts.overflow,
                     (unsigned long long)got_counts.swamped, (unsigned long long)want_counts.swamped);
        }
        over += got_counts.overflow - 3;
        swamped += got_counts.swamped - 4;
        nonfinite += isfinite(got) ? 0 : 1;
    }
    assert_true(over > 5000 && swamped > 5000 && nonfinite > 500);
}

static void the_golden_table_sums_to_its_results(void **state) {
    (void)state;
    Golden g = golden_read("accumulators.csv", 108);
    int checked = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (strcmp(golden_cell(&g, row, "source"), "float"))
            continue;
        const char *text = golden_cell(&g, row, "products"), *outer = golden_cell(&g, row, "outer"), *want = golden_cell(&g, row, "result");
        float product[128], one[128], bias = 0;
        size_t k = 0;
        for (char *end; *text; text = *end ? end + 1 : end, k++) {
            product[k] = strtof(text, &end);
            one[k] = 1;
        }
        bool has_chunk = strcmp(golden_cell(&g, row, "chunk"), "none"), has_bias = *golden_cell(&g, row, "bias") != 0;
        FxAccumulator acc = {.group = (int)golden_int(&g, row, "group"), .chunk = has_chunk ? (int)golden_int(&g, row, "chunk") : 0};
        acc.inner = policy_of(golden_cell(&g, row, "inner"));
        acc.outer = *outer ? policy_of(outer) : acc.inner;
        FxRandom random = {fx_random_source(0), 32, {0, 0, 0}};
        uint64_t output = golden_unsigned(&g, row, "output");
        if (*golden_cell(&g, row, "seed"))
            random.rng = (FxRng){golden_unsigned(&g, row, "seed"), (uint32_t)golden_unsigned(&g, row, "stream"), (uint32_t)golden_unsigned(&g, row, "step")};
        if (has_bias)
            bias = (float)golden_double(&g, row, "bias");
        FxMatrix plain = fx_matrix_plain(product, FX_FLOAT32, 1, (int)k, false);
        uint32_t bias_bits = fx_float_bits(bias);
        FxExactOutput o = {&acc, &plain, {product, FX_FLOAT32, 0}, {one, FX_FLOAT32, 0}, k, has_bias ? &bias_bits : NULL, &random, output};
        FxAccumulatorCountsF32 counts = {0};
        float got = fx_float_of(fx_accumulate_exact(&o, &counts));
        if (!same(got, strtof(want, NULL)) || counts.overflow != golden_unsigned(&g, row, "saturations"))
            fail_msg("row %zu: %s gives %a, not %s; %llu additions out of range, not %s", row + 1, golden_cell(&g, row, "inner"), (double)got, want,
                     (unsigned long long)counts.overflow, golden_cell(&g, row, "saturations"));
        // one row of results: the index is the column
        float c[1001], *b = malloc((output + 1) * k * sizeof *b), biases[1001];
        assert_non_null(b);
        for (size_t i = 0; i <= output; i++) {
            biases[i] = bias;
            memcpy(b + i * k, one, k * sizeof *b);
        }
        FxAccumulateF32 p = {.a = plain, .b = fx_matrix_plain(b, FX_FLOAT32, (int)output + 1, (int)k, false), .c = c, .bias = has_bias ? biases : NULL};
        unsigned cpu;
        for (int i = 0; cpu_level(i, &cpu); i++) {
            FxWork work = {.threads = 1, .cpu = cpu};
            work.scratch_size = fx_accumulate_f32_scratch(&p, &work);
            work.scratch = aligned_alloc(64, (work.scratch_size + 63) / 64 * 64);
            assert_non_null(work.scratch);
            fx_accumulate_f32(&p, &acc, &random, &work, NULL);
            if (!same(c[output], strtof(want, NULL)))
                fail_msg("row %zu, cpu %u: %s gives %a, not %s", row + 1, cpu, golden_cell(&g, row, "inner"), (double)c[output], want);
            free(work.scratch);
        }
        free(b);
        checked++;
    }
    assert_int_equal(checked, 53);
    golden_free(&g);
}

// A view of random shape and its numbers, which the caller frees.
typedef struct Operand {
    FxMatrix view;
    FxType type;
    void *data;
} Operand;

static void fill(Operand *o, uint64_t kind, int center) {
    size_t n = (size_t)o->view.images * (size_t)o->view.height * (size_t)o->view.width * (size_t)o->view.channels;
    o->data = calloc(n + 1, 4);
    assert_non_null(o->data);
    FxTensor t = {o->data, o->type, n, 0};
    for (size_t i = 0; i < n; i++) {
        if (o->type == FX_FLOAT32)
            ((float *)o->data)[i] = any_float(kind, center);
        else if (draw(8)) {
            int64_t max = o->type == FX_INT32 && draw(2) ? 1000 : (int64_t)type_max(o->type), low = o->type == FX_UINT8 ? 0 : -max;
            fx_tensor_set(&t, i, low + (int64_t)draw((uint64_t)(max - low)));
        }
    }
    o->view.data = o->data;
    o->view.type = o->type;
}

static FxType any_type(void) {
    static const FxType types[] = {FX_FLOAT32, FX_FLOAT32, FX_FLOAT32, FX_FLOAT32, FX_INT8, FX_UINT8, FX_INT16, FX_INT32};
    return types[draw(8)];
}

typedef struct Problem {
    Operand a, b;
    FxAccumulator acc;
    FxAccumulateF32 product;
    float *bias;
    FxRandom random;
} Problem;

static void views(Problem *p, int m, int n, int k) {
    switch (draw(4)) {
    case 0: // forward convolution
    case 1: { // weight gradient
        int images = 1 + (int)draw(3), size = 2 + (int)draw(4), kernel = 1 + (int)draw(2), channels = 1 + (int)draw(6), pad = (int)draw(2);
        int out = size + 2 * pad - kernel + 1;
        FxMatrix conv = {.images = images, .height = size, .width = size, .channels = channels, .out_height = out, .out_width = out,
                         .kernel_height = kernel, .kernel_width = kernel, .stride = 1, .pad = pad};
        p->a.view = conv;
        if (draw(2)) {
            p->b.view = fx_matrix_plain(NULL, p->b.type, n, kernel * kernel * channels, false);
            return;
        }
        p->a.view.patch_rows = true;
        p->b.view = (FxMatrix){.images = images, .height = out, .width = out, .channels = n, .out_height = out, .out_width = out,
                               .kernel_height = 1, .kernel_width = 1, .stride = 1, .patch_rows = true};
        p->acc.order = draw(2) ? FX_ORDER_OH_OW_N : FX_ORDER_N_OH_OW;
        return;
    }
    case 2: // fully connected, backward
        p->a.view = fx_matrix_plain(NULL, p->a.type, k, m, true);
        p->b.view = fx_matrix_plain(NULL, p->b.type, k, n, true);
        return;
    default:
        p->a.view = fx_matrix_plain(NULL, p->a.type, m, k, false);
        p->b.view = fx_matrix_plain(NULL, p->b.type, n, k, false);
    }
}

// Policies that have kernels of their own, each grid with each, now and then in chunks.
static FxAccumulator fast_accumulator(int round) {
    FxAccumulator acc = {.group = 1, .chunk = draw(2) ? 0 : 1 + (int)draw(5)};
    char text[FX_POLICY_TEXT];
    snprintf(text, sizeof text, "%s/%s", grids[round % GRIDS], roundings[round / GRIDS % FAST]);
    acc.inner = policy_of(text);
    snprintf(text, sizeof text, "%s/%s", grids[draw(GRIDS)], roundings[draw(FAST)]);
    acc.outer = draw(2) ? policy_of(text) : acc.inner;
    return acc;
}

static Problem any_problem(bool long_sums, const FxAccumulator *fixed) {
    static const int lanes[] = {32, 32, 16, 8};
    Problem p = {.acc = fixed ? *fixed : any_accumulator(true), .a.type = fixed ? FX_FLOAT32 : any_type(), .b.type = fixed ? FX_FLOAT32 : any_type()};
    int m = 1 + (int)draw(7), n = 1 + (int)draw(40), k = 1 + (int)(long_sums ? 500 + draw(700) : draw(30));
    if (long_sums && draw(2))
        m = n = 3;
    views(&p, m, n, k);
    int center = any_center(&p.acc.inner);
    uint64_t kind = draw(KINDS);
    fill(&p.a, kind, center);
    fill(&p.b, draw(2) ? kind : draw(KINDS), center);
    p.product = (FxAccumulateF32){.a = p.a.view, .b = p.b.view};
    if (p.a.type != FX_FLOAT32 || draw(10) == 0)
        p.product.a_exponent = draw(20) ? (int)draw(30) - 20 : (int)draw(300) - 150;
    if (p.b.type != FX_FLOAT32 || draw(10) == 0)
        p.product.b_exponent = draw(20) ? (int)draw(30) - 20 : (int)draw(300) - 150;
    size_t columns = fx_matrix_rows(&p.b.view);
    if (draw(3) == 0) {
        p.bias = malloc(columns * sizeof *p.bias);
        assert_non_null(p.bias);
        kind = draw(KINDS);
        for (size_t i = 0; i < columns; i++)
            p.bias[i] = any_float(kind, center);
        p.product.bias = p.bias;
    }
    // a lane too narrow for a policy's random bits is refused elsewhere
    p.random = (FxRandom){fx_random_source(draw(6) ? 0 : 1 + (int)draw(2)), lanes[draw(4)], {draw(1000), 5, 6}};
    FxError err;
    if (fx_accumulator_check_f32(&p.acc, fx_random_width(&p.random), "", &err))
        p.random = (FxRandom){fx_random_source(0), 32, {1, 2, 3}};
    return p;
}

// Runs the kernels with guarded scratch and result.
static float *accumulate(const Problem *p, unsigned cpu, int threads, FxAccumulatorCountsF32 *counts) {
    enum { GUARD = 64 };
    FxAccumulateF32 product = p->product;
    FxWork work = {.threads = threads, .cpu = cpu};
    size_t outputs = fx_matrix_rows(&product.a) * fx_matrix_rows(&product.b);
    float *c = malloc((outputs + GUARD) * sizeof *c);
    work.scratch_size = fx_accumulate_f32_scratch(&product, &work);
    size_t bytes = (work.scratch_size + 63) / 64 * 64 + GUARD;
    unsigned char *scratch = aligned_alloc(64, bytes);
    assert_true(c && scratch);
    memset(scratch, 0x5A, bytes);
    memset(c, 0x5A, (outputs + GUARD) * sizeof *c);
    work.scratch = scratch;
    product.c = c;
    fx_accumulate_f32(&product, &p->acc, fx_accumulator_draws(&p->acc) ? &p->random : NULL, &work, counts);
    for (size_t i = work.scratch_size; i < bytes; i++)
        assert_int_equal(scratch[i], 0x5A);
    for (size_t i = outputs; i < outputs + GUARD; i++)
        assert_int_equal(fx_float_bits(c[i]), 0x5A5A5A5A);
    free(scratch);
    return c;
}

static void read_row(void *out, const FxMatrix *a, size_t row) {
    size_t k = fx_matrix_k(a);
    if (a->patch_rows)
        fx_matrix_patches(out, 1, a, 0, k, row, 1);
    else
        fx_matrix_patches(out, k, a, row, 1, 0, k);
}

static void check_kernels(int round, bool long_sums, const FxAccumulator *fixed, uint64_t totals[3]) {
    Problem p = any_problem(long_sums, fixed);
    size_t m = fx_matrix_rows(&p.product.a), n = fx_matrix_rows(&p.product.b), k = fx_matrix_k(&p.product.a);
    float *want = malloc(m * n * sizeof *want);
    uint32_t *a = malloc(k * 4), *b = malloc(k * 4);
    assert_true(want && a && b);
    FxAccumulatorCountsF32 want_counts = {0};
    for (size_t i = 0; i < m * n; i++) {
        read_row(a, &p.product.a, i / n);
        read_row(b, &p.product.b, i % n);
        uint32_t bias = p.bias ? fx_float_bits(p.bias[i % n]) : 0;
        FxExactOutput o = {&p.acc, &p.product.a, {a, p.a.type, p.product.a_exponent}, {b, p.b.type, p.product.b_exponent}, k,
                           p.bias ? &bias : NULL, &p.random, i};
        want[i] = fx_float_of(fx_accumulate_exact(&o, &want_counts));
        totals[2] += isfinite(want[i]) == 0;
    }
    unsigned cpu;
    for (int i = 0; cpu_level(i, &cpu); i++) {
        FxAccumulatorCountsF32 counts = {1, 2};
        bool counting = draw(4);
        float *got = accumulate(&p, cpu, any_threads(), counting ? &counts : NULL);
        char text[512];
        print(text, sizeof text, &p.acc);
        for (size_t j = 0; j < m * n; j++)
            if (fx_float_bits(got[j]) != fx_float_bits(want[j]))
                fail_msg("round %d, cpu %u, counting %d, types %s %s, bias %d, lane %d, %s: %zu x %zu x %zu, sum %zu is %a, not %a", round, cpu, counting,
                         fx_type_name(p.a.type), fx_type_name(p.b.type), p.bias != NULL, p.random.lane_bits, text, m, n, k, j, (double)got[j], (double)want[j]);
        if (counting && (counts.overflow != want_counts.overflow + 1 || counts.swamped != want_counts.swamped + 2))
            fail_msg("round %d, cpu %u, %s: out of range %llu, not %llu; swamped %llu, not %llu", round, cpu, text, (unsigned long long)counts.overflow - 1,
                     (unsigned long long)want_counts.overflow, (unsigned long long)counts.swamped - 2, (unsigned long long)want_counts.swamped);
        free(got);
    }
    totals[0] += want_counts.overflow;
    totals[1] += want_counts.swamped;
    free(want);
    free(a);
    free(b);
    free(p.a.data);
    free(p.b.data);
    free(p.bias);
}

static void the_kernels_add_as_the_specification_does(void **state) {
    (void)state;
    uint64_t totals[3] = {0};
    for (int round = 0; round < 1500; round++)
        check_kernels(round, false, NULL, totals);
    for (int round = 0; round < 40; round++)
        check_kernels(round, true, NULL, totals);
    for (int round = 0; round < 16 * FAST * GRIDS; round++) {
        FxAccumulator acc = fast_accumulator(round);
        check_kernels(round, false, &acc, totals);
    }
    assert_true(totals[0] > 10000 && totals[1] > 10000 && totals[2] > 1000);
}

// Counts from adding by hand: 1, then 100 times 2^-11 in fp16 (half a unit, a tie to even: lost), then out of range.
static void additions_that_change_nothing_and_those_that_leave_the_range_are_counted(void **state) {
    (void)state;
    float a[200], one[200];
    for (int i = 0; i < 200; i++) {
        a[i] = i == 0 ? 1 : i < 101 ? 0x1p-11f : i < 150 ? 0 : 60000;
        one[i] = 1;
    }
    Problem p = {.acc = {.group = 1, .inner = policy_of("float:e5m10"), .outer = policy_of("float:e5m10")}};
    p.product = (FxAccumulateF32){.a = fx_matrix_plain(a, FX_FLOAT32, 1, 200, false), .b = fx_matrix_plain(one, FX_FLOAT32, 1, 200, false)};
    unsigned cpu;
    for (int i = 0; cpu_level(i, &cpu); i++) {
        FxAccumulatorCountsF32 counts = {0};
        float *c = accumulate(&p, cpu, 1, &counts);
        assert_true(c[0] == 65504);
        // 60000, then 49 times beyond the end; the first of those moves the sum, 48 find it there
        assert_int_equal(counts.overflow, 49);
        assert_int_equal(counts.swamped, 100 + 48);
        free(c);
    }
}

// A sum that underflowed to -0, and one more -0: fmaf's is -0, an exact zero of every other policy +0.
static void a_sum_of_negative_zeros_is_negative_under_fp32_alone(void **state) {
    (void)state;
    static const struct {
        const char *policy;
        float want[2];
    } cases[] = {{"fp32", {-0.0f, -0.0f}}, {"float:e8m23", {-0.0f, 0}}, {"float:e6m9", {-0.0f, 0}}, {"float:e6m9/stochastic:8", {-0.0f, 0}},
                 {"float:e5m3:fnuz", {0, 0}}, {"kulisch", {-0.0f, -0.0f}}};
    float a[] = {-0x1p-100f, -0.0f}, b[] = {0x1p-100f, 1};
    unsigned cpu;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int k = 1; k <= 2; k++)
            for (int level = 0; cpu_level(level, &cpu); level++) {
                Problem p = {.acc = {.group = 1, .inner = policy_of(cases[i].policy), .outer = policy_of(cases[i].policy)}};
                p.random = (FxRandom){fx_random_source(0), 32, {1, 2, 3}};
                p.product = (FxAccumulateF32){.a = fx_matrix_plain(a, FX_FLOAT32, 1, k, false), .b = fx_matrix_plain(b, FX_FLOAT32, 1, k, false)};
                float *c = accumulate(&p, cpu, 1, NULL);
                if (!same(c[0], cases[i].want[k - 1]))
                    fail_msg("%s, %d products, cpu %u: %a, not %a", cases[i].policy, k, cpu, (double)c[0], (double)cases[i].want[k - 1]);
                free(c);
            }
}

static void accumulators_that_are_none_of_floats_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *inner, *outer;
        int chunk, shift;
        const char *says; // NULL: good
    } cases[] = {
        {"float:e6m9", "float:e6m9", 0, 0, NULL}, {"fp32", "e4m3fn", 3, 0, NULL}, {"exact", "fp32", 3, 0, NULL}, {"float:e6m9", "kulisch", 3, 0, NULL},
        {"kulisch", "kulisch", 0, 0, NULL}, {"float:e6m9/stochastic:16", "fp32", 2, 0, NULL}, {"exact", "fp32", 0, 0, "accumulator exact"},
        {"kulisch", "fp32", 2, 0, "takes no chunk"}, {"wrap:8", "fp32", 2, 0, "wrap:8"}, {"fp32", "saturate:8", 2, 0, "saturate:8"},
        {"fp32", "exact", 2, 0, "exact"}, {"fp32", "fp32", 0, 1, "shift 1"}, {"fp32", "float:e6m9/stochastic:17", 2, 0, "gives 16 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FxAccumulator acc = {.group = 1, .chunk = cases[i].chunk, .shift = cases[i].shift, .inner = policy_of(cases[i].inner), .outer = policy_of(cases[i].outer)};
        FxError err = {0};
        int got = fx_accumulator_check_f32(&acc, 16, "conv1, forward product", &err);
        if (cases[i].says ? got == 0 || err.exit_code != FX_EXIT_USAGE || !strstr(err.text, cases[i].says) || !strstr(err.text, "conv1") : got != 0)
            fail_msg("%s, outer %s, chunk %d: %d, \"%s\"", cases[i].inner, cases[i].outer, cases[i].chunk, got, err.text);
    }
    FxPolicy fp32 = policy_of("fp32"), e6m9 = policy_of("float:e6m9");
    assert_int_equal(fx_accumulator_chunk_f32(&fp32, true), 4096);
    assert_int_equal(fx_accumulator_chunk_f32(&fp32, false), 0);
    assert_int_equal(fx_accumulator_chunk_f32(&e6m9, true), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specification_adds_as_exact_sums_and_the_laws_say),
        cmocka_unit_test(the_golden_table_sums_to_its_results),
        cmocka_unit_test(the_kernels_add_as_the_specification_does),
        cmocka_unit_test(additions_that_change_nothing_and_those_that_leave_the_range_are_counted),
        cmocka_unit_test(a_sum_of_negative_zeros_is_negative_under_fp32_alone),
        cmocka_unit_test(accumulators_that_are_none_of_floats_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
