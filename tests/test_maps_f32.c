// Rectifier, max pool and bias on float32, and the bias on integers: against their definitions, float64 twins that finite
// differences check, the defined order of additions, NaN and signed zeros, every instruction set and thread count.
#include "layers/bias.h"
#include "tests/cast.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float *floats(const FxTensor *t) {
    return t->data;
}

static double unit_draw(void) {
    return (double)draw(UINT64_C(1) << 40) * 0x1p-39 - 1;
}

static FxTensor random_floats(size_t n) {
    FxTensor t = tensor_new(FX_FLOAT32, n);
    for (size_t i = 0; i < n; i++)
        floats(&t)[i] = (float)unit_draw();
    return t;
}

// Few distinct numbers, so that they meet; NaN, infinities and both zeros among them.
static FxTensor special_floats(size_t n) {
    static const float values[] = {0, -0.0f, 1, -1, 1, NAN, INFINITY, -INFINITY, 0x1p-149f, -0x1p-149f, 3};
    FxTensor t = tensor_new(FX_FLOAT32, n);
    for (size_t i = 0; i < n; i++)
        floats(&t)[i] = values[draw(sizeof values / sizeof values[0])];
    return t;
}

static bool same(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void expect_bits(const char *what, const FxTensor *got, const FxTensor *want, const FxWork *work) {
    for (size_t i = 0; i < want->count; i++)
        if (!same(floats(got)[i], floats(want)[i]))
            fail_msg("%s, cpu %u, threads %d: element %zu of %zu is %a, not %a", what, work->cpu, work->threads, i, want->count,
                     (double)floats(got)[i], (double)floats(want)[i]);
}

// scale: of what was added up.
static void expect_near(const char *what, const FxTensor *got, const double *want, double scale) {
    for (size_t i = 0; i < got->count; i++)
        if (!(fabs((double)floats(got)[i] - want[i]) <= 1e-5 * fmax(scale, fabs(want[i]))))
            fail_msg("%s: element %zu is %.9g, not %.9g", what, i, (double)floats(got)[i], want[i]);
}

// ---- finite differences -----------------------------------------------------------------------------------------------

// y(x) of a layer in float64, and sum of e * y.
typedef void Forward(const FxLayer *l, double *y, const double *x);
enum { LARGEST = 4000 };

static double weighed(const FxLayer *l, Forward *forward, const double *x, const FxTensor *e) {
    static double y[LARGEST];
    double sum = 0;
    forward(l, y, x);
    for (size_t i = 0; i < e->count; i++)
        sum += (double)floats(e)[i] * y[i];
    return sum;
}

// gradient[i] = d(sum of e * y) / dx[i] at places where no two numbers are closer than the difference taken.
static void expect_slopes(const char *what, const FxLayer *l, Forward *forward, const double *gradient, const FxTensor *xt, const FxTensor *e) {
    static double x[LARGEST];
    const double h = 0x1p-20;
    for (size_t i = 0; i < xt->count; i++)
        x[i] = (double)floats(xt)[i];
    for (size_t i = 0; i < xt->count; i += 1 + xt->count / 40) {
        double at = x[i];
        x[i] = at + h;
        double up = weighed(l, forward, x, e);
        x[i] = at - h;
        double slope = (up - weighed(l, forward, x, e)) / (2 * h);
        x[i] = at;
        if (!(fabs(slope - gradient[i]) <= 1e-6))
            fail_msg("%s: slope at element %zu is %.12g, gradient %.12g", what, i, slope, gradient[i]);
    }
}

// Distinct numbers in random places, 1/1024 and more apart, none within 1/2048 of 0.
static FxTensor apart(size_t n) {
    FxTensor t = tensor_new(FX_FLOAT32, n);
    for (size_t i = 0; i < n; i++) {
        size_t j = draw(i + 1);
        floats(&t)[i] = floats(&t)[j];
        floats(&t)[j] = ((float)i - (float)(n / 2) + 0.5f) / 1024;
    }
    return t;
}

// ---- rectifier --------------------------------------------------------------------------------------------------------

static void twin_relu(const FxLayer *l, double *y, const double *x) {
    for (size_t i = 0; i < fx_shape_count(l->in); i++)
        y[i] = fmax(x[i], 0);
}

static void check_relu(size_t n, bool special, bool in_place, FxWork work) {
    FxError err;
    FxLayer l = {.ops = &fx_relu_ops, .count = -1, .kernel = -1, .pad = -1, .stride = -1, .in = {1, 1, 1, (int)n}};
    assert_int_equal(l.ops->plan(&l, "relu", &err), 0);
    l.saved = tensor_new(FX_UINT8, n);
    FxTensor x = special ? special_floats(n) : apart(n), e = random_floats(n), y = tensor_new(FX_FLOAT32, n), dx = tensor_new(FX_FLOAT32, n);
    FxTensor y0 = tensor_new(FX_FLOAT32, n), dx0 = tensor_new(FX_FLOAT32, n), x_kept = tensor_new(FX_FLOAT32, n), e_kept = tensor_new(FX_FLOAT32, n);
    memcpy(x_kept.data, x.data, n * sizeof(float));
    memcpy(e_kept.data, e.data, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float v = floats(&x)[i];
        bool passes = v > 0 || isnan(v);
        floats(&y0)[i] = passes ? v : 0;
        floats(&dx0)[i] = passes ? floats(&e)[i] : 0;
    }
    l.ops->forward(&l, &x, in_place ? &x : &y, &work, NULL);
    l.ops->backward_data(&l, &e, in_place ? &e : &dx, &work, NULL);
    expect_bits("relu", in_place ? &x : &y, &y0, &work);
    expect_bits("relu backward", in_place ? &e : &dx, &dx0, &work);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fx_tensor_get(&l.saved, i), floats(&y0)[i] > 0 || isnan(floats(&y0)[i]));
    if (!special && n <= LARGEST) {
        double *gradient = calloc(n, sizeof *gradient);
        for (size_t i = 0; i < n; i++)
            gradient[i] = floats(&x_kept)[i] > 0 ? (double)floats(&e_kept)[i] : 0;
        expect_slopes("relu", &l, twin_relu, gradient, &x_kept, &e_kept);
        expect_near("relu backward", in_place ? &e : &dx, gradient, 1);
        free(gradient);
    }
    FxTensor *all[] = {&x, &e, &y, &dx, &y0, &dx0, &x_kept, &e_kept, &l.saved};
    for (size_t i = 0; i < 9; i++)
        tensor_free(all[i]);
}

static void relu_passes_what_is_above_zero_and_every_nan(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 15, 16, 17, 63, 64, 65, 1000, FX_TASK, FX_TASK + 1, 3 * FX_TASK + 77};
    unsigned cpu;
    for (int level = 0; cpu_level(level, &cpu); level++)
        for (int threads = 1; threads <= 3; threads++)
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
                for (int i = 0; i < 4; i += sizes[s] > FX_TASK + 1 ? 3 : 1)
                    check_relu(sizes[s], i % 2, i / 2, (FxWork){.threads = threads, .cpu = cpu});
}

// ---- max pool ---------------------------------------------------------------------------------------------------------

// The element that wins window number `out`; its number in the input and its place in the window.
static size_t winner_of(const FxLayer *l, const double *x, size_t out, int *place) {
    int c = (int)out % l->out.c, ox = (int)out / l->out.c % l->out.w, oy = (int)out / l->out.c / l->out.w % l->out.h;
    int n = (int)out / l->out.c / l->out.w / l->out.h;
    size_t best = SIZE_MAX;
    for (int i = 0; i < l->kernel * l->kernel; i++) {
        int iy = oy * l->stride - l->pad + i / l->kernel, ix = ox * l->stride - l->pad + i % l->kernel;
        if (iy < 0 || ix < 0 || iy >= l->in.h || ix >= l->in.w)
            continue;
        size_t here = (size_t)(((n * l->in.h + iy) * l->in.w + ix) * l->in.c + c);
        if (best == SIZE_MAX || (!isnan(x[best]) && (isnan(x[here]) || x[here] > x[best]))) {
            best = here;
            *place = i;
        }
    }
    return best;
}

static void twin_pool(const FxLayer *l, double *y, const double *x) {
    int place;
    for (size_t i = 0; i < fx_shape_count(l->out); i++)
        y[i] = x[winner_of(l, x, i, &place)];
}

static void check_pool(const FxLayer *plan, bool special, bool slopes, FxWork work) {
    char text[120];
    FxLayer l = *plan;
    size_t in = fx_shape_count(l.in), out = fx_shape_count(l.out);
    snprintf(text, sizeof text, "MP%dp%ds%d of %d x %d x %d x %d", l.kernel, l.pad, l.stride, l.in.n, l.in.h, l.in.w, l.in.c);
    FxTensor x = special ? special_floats(in) : apart(in), e = random_floats(out), y = tensor_new(FX_FLOAT32, out), y0 = tensor_new(FX_FLOAT32, out);
    FxTensor dx = random_floats(in), dx0 = tensor_new(FX_FLOAT32, in); // what stands in dx is overwritten
    double *wide = calloc(in, sizeof *wide), *gradient = calloc(in, sizeof *gradient);
    l.saved = tensor_new(FX_UINT8, out);
    floats(&e)[0] = -0.0f;
    for (size_t i = 0; i < in; i++)
        wide[i] = (double)floats(&x)[i];
    l.ops->forward(&l, &x, &y, &work, NULL);
    l.ops->backward_data(&l, &e, &dx, &work, NULL);
    for (size_t i = 0; i < out; i++) {
        int place = -1;
        size_t w = winner_of(&l, wide, i, &place);
        floats(&y0)[i] = floats(&x)[w];
        floats(&dx0)[w] += floats(&e)[i];
        gradient[w] += (double)floats(&e)[i];
        if (fx_tensor_get(&l.saved, i) != place)
            fail_msg("%s, cpu %u: output %zu comes from place %d, not %d", text, work.cpu, i, (int)fx_tensor_get(&l.saved, i), place);
    }
    expect_bits(text, &y, &y0, &work);
    expect_bits(text, &dx, &dx0, &work);
    expect_near(text, &dx, gradient, 1);
    if (slopes)
        expect_slopes(text, &l, twin_pool, gradient, &x, &e);
    FxTensor *all[] = {&x, &e, &y, &y0, &dx, &dx0, &l.saved};
    for (size_t i = 0; i < 7; i++)
        tensor_free(all[i]);
    free(wide);
    free(gradient);
}

static void pool_takes_the_first_largest_or_the_first_nan_and_adds_errors_in_order(void **state) {
    (void)state;
    static const int channels[] = {1, 3, 16, 17, 33, 70};
    unsigned cpu;
    for (int kernel = 1; kernel <= 4; kernel++)
        for (int stride = 1; stride <= kernel + 1; stride++)
            for (int pad = 0; pad <= kernel / 2; pad++)
                for (int h = kernel; h <= 8; h += 2) {
                    FxError err = {0};
                    FxLayer l = {.ops = &fx_max_pool_ops, .count = -1, .kernel = kernel, .pad = pad, .stride = stride,
                                 .in = {1 + (int)draw(3), h, h + (int)draw(3), channels[draw(6)]}};
                    assert_int_equal(l.ops->plan(&l, "pool", &err), 0);
                    bool small = fx_shape_count(l.in) <= 1000 && fx_shape_count(l.out) <= LARGEST;
                    for (int level = 0; cpu_level(level, &cpu); level++) {
                        check_pool(&l, false, small && level == 0, (FxWork){.threads = any_threads(), .cpu = cpu});
                        check_pool(&l, true, false, (FxWork){.threads = any_threads(), .cpu = cpu});
                    }
                }
}

// ---- bias ---------------------------------------------------------------------------------------------------------------

static void check_bias_f32(size_t rows, size_t co, FxWork work) {
    FxTensor bias = random_floats(co), sums = random_floats(rows * co), want = tensor_new(FX_FLOAT32, rows * co);
    FxTensor db = random_floats(co), db0 = tensor_new(FX_FLOAT32, co);
    double *twin = calloc(rows * co, sizeof *twin), *gradient = calloc(co, sizeof *gradient);
    for (size_t i = 0; i < rows * co; i++) {
        floats(&want)[i] = floats(&sums)[i] + floats(&bias)[i % co];
        twin[i] = (double)floats(&sums)[i] + (double)floats(&bias)[i % co];
    }
    for (size_t c = 0; c < co; c++) {
        float total = 0;
        for (size_t k = 0; k < rows;) {
            float part = 0;
            for (size_t end = k + 4096; k < rows && k < end; k++)
                part += floats(&sums)[k * co + c];
            total += part;
        }
        floats(&db0)[c] = total;
        for (size_t k = 0; k < rows; k++) // = d(sum of e * (x + b)) / db
            gradient[c] += (double)floats(&sums)[k * co + c];
    }
    fx_bias_gradient(&sums, &db, &work);
    expect_bits("bias gradient", &db, &db0, &work);
    expect_near("bias gradient", &db, gradient, sqrt((double)rows));
    fx_bias_add(&sums, &bias, NULL, &work, NULL);
    expect_bits("bias", &sums, &want, &work);
    expect_near("bias", &sums, twin, 1);
    FxTensor *all[] = {&bias, &sums, &want, &db, &db0};
    for (size_t i = 0; i < 5; i++)
        tensor_free(all[i]);
    free(twin);
    free(gradient);
}

static const size_t bias_rows[] = {1, 2, 100, 4095, 4096, 4097, 9000}, bias_channels[] = {1, 3, 10, 64, 65, 130};
enum { ROWS = sizeof bias_rows / sizeof bias_rows[0], CHANNELS = sizeof bias_channels / sizeof bias_channels[0] };

static void float32_bias_is_one_addition_and_its_gradient_goes_by_chunks_of_4096(void **state) {
    (void)state;
    unsigned cpu;
    for (int level = 0; cpu_level(level, &cpu); level++)
        for (int threads = 1; threads <= 3; threads++)
            for (int r = 0; r < ROWS; r++)
                check_bias_f32(bias_rows[r], bias_channels[draw(CHANNELS)], (FxWork){.threads = threads, .cpu = cpu});
}

// Finite difference of 1/2 sum (x + b)^2 in float64, whose error at the output is e = x + b: the gradient sums it.
static void bias_gradient_is_the_slope_of_a_loss(void **state) {
    (void)state;
    enum { K = 50, CO = 7 };
    FxTensor x = random_floats(K * CO), b = random_floats(CO), db = tensor_new(FX_FLOAT32, CO);
    FxWork work = {.threads = 1, .cpu = any_cpu()};
    double slope[CO];
    for (int c = 0; c < CO; c++) {
        double loss[2] = {0};
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < K * CO; i++) {
                double y = (double)floats(&x)[i] + (double)floats(&b)[i % CO] + (i % CO == c ? side ? 0x1p-12 : -0x1p-12 : 0);
                loss[side] += y * y / 2;
            }
        slope[c] = (loss[1] - loss[0]) / 0x1p-11;
    }
    fx_bias_add(&x, &b, NULL, &work, NULL);
    fx_bias_gradient(&x, &db, &work);
    expect_near("bias gradient", &db, slope, 1);
    FxTensor *all[] = {&x, &b, &db};
    for (size_t i = 0; i < 3; i++)
        tensor_free(all[i]);
}

static void check_bias_integer(FxType type, FxType carried, size_t rows, size_t co, const FxPolicy *policy, int shift, FxWork work) {
    FxTensor e = random_codes(type, rows * co, false), bias = random_codes(FX_INT16, co, false), db = tensor_new(FX_INT64, co);
    FxTensor sums = tensor_new(carried, rows * co), before = tensor_new(carried, rows * co);
    FxAccumulatorCounts counts = {.overflow = 3, .max_abs = 1};
    uint64_t overflow = 3, max = 1;
    Wide high = policy->kind == FX_ACC_EXACT ? (Wide)1 << 62 : slow_power(policy->bits - 1) - 1, low = -high - 1;
    bias.exponent = shift - 9;
    sums.exponent = -9;
    for (size_t i = 0; i < sums.count; i++) {
        int64_t v = slow_fill(draw(UINT64_C(1) << 60), policy->kind == FX_ACC_EXACT ? 29 : policy->bits - 1);
        fx_tensor_set(&sums, i, v);
        fx_tensor_set(&before, i, v);
    }
    fx_bias_add(&sums, &bias, policy, &work, &counts);
    for (size_t i = 0; i < sums.count; i++) {
        Wide exact = (Wide)fx_tensor_get(&before, i) + fx_tensor_get(&bias, i % co) * slow_power(shift), want = exact;
        if (policy->kind == FX_ACC_WRAP)
            want = slow_wrap(exact, low, policy->bits);
        if (policy->kind == FX_ACC_SATURATE) {
            want = exact > high ? high : exact < low ? low : exact;
            overflow += want != exact;
        }
        uint64_t magnitude = (uint64_t)(want < 0 ? -want : want);
        max = magnitude > max ? magnitude : max;
        if (fx_tensor_get(&sums, i) != want)
            fail_msg("bias, policy %d:%d, element %zu: %lld, not %lld", (int)policy->kind, policy->bits, i, (long long)fx_tensor_get(&sums, i), (long long)want);
    }
    if (counts.overflow != overflow || counts.max_abs != max)
        fail_msg("bias: %llu overflows, not %llu; largest %llu, not %llu", (unsigned long long)counts.overflow, (unsigned long long)overflow,
                 (unsigned long long)counts.max_abs, (unsigned long long)max);
    fx_bias_gradient(&e, &db, &work);
    for (size_t c = 0; c < co; c++) {
        Wide want = 0;
        for (size_t k = 0; k < rows; k++)
            want += fx_tensor_get(&e, k * co + c);
        if (fx_tensor_get(&db, c) != want)
            fail_msg("%s bias gradient, channel %zu of %zu: %lld, not %lld", fx_type_name(type), c, co, (long long)fx_tensor_get(&db, c), (long long)want);
    }
    FxTensor *all[] = {&e, &bias, &db, &sums, &before};
    for (size_t i = 0; i < 5; i++)
        tensor_free(all[i]);
}

static void integer_bias_is_exact_under_every_policy(void **state) {
    (void)state;
    static const FxType types[] = {FX_INT8, FX_UINT8, FX_INT16, FX_INT32};
    static const FxPolicy policies[] = {{.kind = FX_ACC_EXACT}, {.kind = FX_ACC_WRAP, .bits = 16}, {.kind = FX_ACC_SATURATE, .bits = 16},
                                        {.kind = FX_ACC_SATURATE, .bits = 24}};
    for (int t = 0; t < 4; t++)
        for (int p = 0; p < 4; p++)
            for (int threads = 1; threads <= 3; threads++)
                check_bias_integer(types[t], p % 2 ? FX_INT64 : FX_INT32, bias_rows[draw(ROWS)], bias_channels[draw(CHANNELS)],
                                   &policies[p], (int)draw(13), (FxWork){.threads = threads, .cpu = any_cpu()});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu_passes_what_is_above_zero_and_every_nan),
        cmocka_unit_test(pool_takes_the_first_largest_or_the_first_nan_and_adds_errors_in_order),
        cmocka_unit_test(float32_bias_is_one_addition_and_its_gradient_goes_by_chunks_of_4096),
        cmocka_unit_test(bias_gradient_is_the_slope_of_a_loss),
        cmocka_unit_test(integer_bias_is_exact_under_every_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
