// What the float norms are defined by: the order of sums, every instruction set and thread count, outputs in place of inputs,
// corners; running statistics and inference.
#include "tests/cast.h"
#include "tests/layer_of.h"
#include "tests/norm_batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- what the numbers are defined by ----------------------------------------------------------------------------------

// One channel: 256 rows at a time from +0, then their sums from +0.
static float ordered_sum(const float *x, size_t n, size_t c, size_t i) {
    float sum = 0;
    for (size_t block = 0; block < n; block += 256) {
        float part = 0;
        for (size_t j = block; j < n && j < block + 256; j++)
            part += x[j * c + i];
        sum += part;
    }
    return sum;
}

static void sums_have_the_defined_order(void **state) {
    (void)state;
    Batch b = batch_of(&kinds[0], 1500, 37);
    batch_fill(&b);
    run(&b, fx_cpu_detect(), 3);
    float *squares = guarded(b.n * b.c), *products = guarded(b.n * b.c);
    for (size_t i = 0; i < b.n * b.c; i++) {
        float d = b.large[X][i] - b.small[MEAN][i % b.c];
        squares[i] = d * d;
        products[i] = b.large[GY][i] * d;
    }
    for (size_t i = 0; i < b.c; i++) {
        float scale = sqrtf(ordered_sum(squares, b.n, b.c, i) / 1500 + 1e-5f), r = 1 / scale;
        assert_float_equal(b.small[MEAN][i], ordered_sum(b.large[X], b.n, b.c, i) / 1500, 0);
        assert_float_equal(b.small[SCALE][i], scale, 0);
        assert_float_equal(b.small[DBETA][i], ordered_sum(b.large[GY], b.n, b.c, i), 0);
        assert_float_equal(b.small[DGAMMA][i], r * ordered_sum(products, b.n, b.c, i), 0);
        for (size_t j = i; j < b.n * b.c; j += b.c) {
            float d = b.large[X][j] - b.small[MEAN][i];
            assert_float_equal(b.large[Y][j], fmaf(b.small[GAMMA][i] * r, d, b.small[BETA][i]), 0);
            assert_float_equal(b.large[XHAT][j], d * r, 0);
            assert_float_equal(b.large[Y_OF_XHAT][j], fmaf(b.small[GAMMA][i], d * r, b.small[BETA][i]), 0);
        }
    }
    free(squares);
    free(products);
    batch_free(&b);
}

static void expect_same(const Batch *a, const Batch *b, const char *kind, unsigned cpu, int threads) {
    for (int i = 0; i < SMALL; i++)
        if (memcmp(a->small[i], b->small[i], a->c * sizeof(float)))
            fail_msg("%s, cpu %u, threads %d, %zu x %zu: values %d a channel differ", kind, cpu, threads, a->n, a->c, i);
    for (int i = 0; i < LARGE; i++)
        if (memcmp(a->large[i], b->large[i], a->n * a->c * sizeof(float)))
            fail_msg("%s, cpu %u, threads %d, %zu x %zu: tensor %d differs", kind, cpu, threads, a->n, a->c, i);
}

// what: 0 ordinary numbers, 1 few distinct ones, 2 NaN and infinities among them.
static void check_machines(const Kind *kind, size_t n, size_t c, int what) {
    Batch a = batch_of(kind, n, c), b = batch_of(kind, n, c);
    batch_fill(&a);
    for (size_t i = 0; what && i < n * c; i++)
        a.large[X][i] = (float)draw(5) - 2;
    if (what == 2)
        for (size_t i = 0; i < c; i++)
            a.large[X][draw(n) * c + i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : 1e30f;
    batch_copy(&b, &a);
    run(&a, FX_CPU_SCALAR, 1);
    unsigned cpu;
    for (int line = 0; next_cpu(&line, &cpu);) {
        int threads = any_threads();
        run(&b, cpu, threads);
        if (what < 2) // a NaN's sign and payload are the machine's
            expect_same(&a, &b, kind->name, cpu, threads);
        for (size_t i = 0; i < n * c; i++)
            assert_true(isnan(a.large[Y][i]) == isnan(b.large[Y][i]) && isnan(a.large[DX][i]) == isnan(b.large[DX][i]));
    }
    batch_free(&a);
    batch_free(&b);
}

static void every_machine_gives_the_same_bytes(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < 25; i++)
            check_machines(&kinds[k], 2 + draw(i % 5 ? 300 : 3000), 1 + draw(i % 4 ? 40 : 300), i % 3);
}

static void threads_do_not_change_a_byte(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Batch b[3];
        for (int t = 0; t < 3; t++) {
            b[t] = batch_of(&kinds[k], 3000, 45);
            if (t == 0)
                batch_fill(&b[0]);
            else
                batch_copy(&b[t], &b[0]);
            run(&b[t], fx_cpu_detect(), t + 1);
            expect_same(&b[0], &b[t], kinds[k].name, fx_cpu_detect(), t + 1);
        }
        for (int t = 0; t < 3; t++)
            batch_free(&b[t]);
    }
}

static void outputs_may_stand_where_inputs_stood(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Batch b = batch_of(&kinds[k], 700, 21);
        size_t bytes = b.n * b.c * sizeof(float);
        batch_fill(&b);
        run(&b, fx_cpu_detect(), 1);
        FxWork work = work_of(&b, fx_cpu_detect(), 2);
        FxTensor x = large(&b, X), mean = small(&b, MEAN), scale = small(&b, SCALE), gamma = small(&b, GAMMA), beta = small(&b, BETA);
        FxTensor dgamma = small(&b, DGAMMA), dbeta = small(&b, DBETA), gy = large(&b, GY), xhat = large(&b, XHAT);
        float first = b.small[DGAMMA][0];
        b.small[DGAMMA][0] = 0;
        fx_norm_backward_f32(&b.rule, &x, &mean, &scale, &gamma, &gy, &dgamma, &dbeta, NULL, &work);
        assert_float_equal(b.small[DGAMMA][0], first, 0);
        backward(&b, GY, &work);
        assert_memory_equal(b.large[GY], b.large[DX], bytes);
        fx_norm_affine_f32(&b.rule, &xhat, &gamma, &beta, &xhat, &work);
        assert_memory_equal(b.large[XHAT], b.large[Y_OF_XHAT], bytes);
        memcpy(b.large[DX], b.large[X], bytes);
        fx_norm_apply_f32(&b.rule, &x, &mean, &scale, &gamma, &beta, &x, &work);
        assert_memory_equal(b.large[X], b.large[Y], bytes);
        FxTensor copy = large(&b, DX);
        fx_norm_xhat_f32(&copy, &mean, &scale, &copy, &work);
        fx_norm_affine_f32(&b.rule, &copy, &gamma, &beta, &copy, &work);
        assert_memory_equal(b.large[DX], b.large[Y_OF_XHAT], bytes);
        work_free(&work);
        batch_free(&b);
    }
}

// ---- corners ----------------------------------------------------------------------------------------------------------

// Chunks {1 1 1} {3 1 3 0} {2 0 2 1}: of several largest or smallest the first; a constant chunk moves nothing.
static void the_first_extreme_of_a_chunk_takes_the_gradient(void **state) {
    (void)state;
    static const float x[11] = {1, 1, 1, 3, 1, 3, 0, 2, 0, 2, 1}, gy[11] = {0, 1, 0, 5, 0, 0, -2, 1, 0, 0, 0};
    static const int sign[11] = {0, 0, 0, 1, 0, 0, -1, 1, -1, 0, 0};
    Kind kind = {"range", FX_NORM_RANGE, 3, false}, detached = {"range", FX_NORM_RANGE, 3, true};
    Batch b = batch_of(&kind, 11, 1), d = batch_of(&detached, 11, 1);
    memcpy(b.large[X], x, sizeof x);
    memcpy(d.large[X], x, sizeof x);
    memcpy(b.large[GY], gy, sizeof gy);
    memcpy(d.large[GY], gy, sizeof gy);
    b.small[GAMMA][0] = d.small[GAMMA][0] = 2;
    b.small[BETA][0] = d.small[BETA][0] = 0;
    run(&b, FX_CPU_SCALAR, 1);
    run(&d, FX_CPU_SCALAR, 1);
    double k = (double)fx_norm_range_constant_f32(FX_NORM_CODE, 11, 3), r = 1 / (double)b.small[SCALE][0];
    assert_true(fabs((double)b.small[SCALE][0] - (k / 3 * (0 + 3 + 2) + 1e-5)) < 1e-6);
    for (int i = 0; i < 11; i++) {
        double spike = -2 * r * k / 3 * (double)b.small[DGAMMA][0] * sign[i];
        expect_about("range", "what the scale adds to dx", (size_t)i, (double)b.large[DX][i] - (double)d.large[DX][i], spike, 2e-6);
    }
    assert_true(fabs((double)b.small[DGAMMA][0]) > 1);
    batch_free(&b);
    batch_free(&d);
}

static void a_constant_channel_gives_beta(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Batch b = batch_of(&kinds[k], 64, 3);
        batch_fill(&b);
        for (size_t j = 0; j < b.n; j++)
            b.large[X][j * 3 + 1] = 1.5f;
        run(&b, fx_cpu_detect(), 1);
        for (size_t j = 0; j < b.n; j++) {
            assert_float_equal(b.large[Y][j * 3 + 1], b.small[BETA][1], 0);
            assert_true(isfinite(b.large[DX][j * 3 + 1]));
        }
        batch_free(&b);
    }
}

// n = 10, m = 16: every element is a chunk of its own and the range 0; the constant stays that of the nominal batch.
static void a_short_batch_has_as_many_chunks_as_elements(void **state) {
    (void)state;
    Kind kind = {"range", FX_NORM_RANGE, 16, false};
    Batch b = batch_of(&kind, 10, 2);
    batch_fill(&b);
    run(&b, fx_cpu_detect(), 1);
    assert_float_equal(b.small[SCALE][0], FX_NORM_EPSILON, 0);
    batch_free(&b);
}

// ---- running statistics -----------------------------------------------------------------------------------------------

static void averaged(const FxNormRule *rule, const FxNormAverageF32 *average, float mean, float scale, bool begun, float run[2]) {
    FxTensor t[4];
    float *data[4] = {&mean, &scale, &run[0], &run[1]};
    for (int i = 0; i < 4; i++)
        t[i] = (FxTensor){.data = data[i], .type = FX_FLOAT32, .count = 1};
    fx_norm_average_f32(rule, average, &t[0], &t[1], 50, begun, &t[2], &t[3]);
}

static void running_statistics_move_by_their_weight(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        FxNormRule rule = rule_of(&kinds[k], 50);
        FxNormAverageF32 average = fx_norm_average_of_rule(&rule);
        float run[2] = {NAN, NAN};
        averaged(&rule, &average, 3, 2, false, run);
        assert_true(run[0] == 3 && run[1] == 2);
        averaged(&rule, &average, 11, 10, true, run);
        assert_true(run[0] == 4 && run[1] == 3); // 1/8 of the way
        rule.average_old = true;
        average = fx_norm_average_of_rule(&rule);
        averaged(&rule, &average, 12, 11, true, run);
        assert_true(run[0] == 11 && run[1] == 10); // 7/8 of it
        average = (FxNormAverageF32){.weight = 0.1f, .unbiased = true};
        averaged(&rule, &average, 2, 4, false, run);
        averaged(&rule, &average, 7, 3, true, run);
        if (rule.kind == FX_NORM_L2) { // from 0 and 1: 0.9 a + 0.1 b twice, variances 16 and 9 less epsilon
            double variance = 0.9 * (0.9 + 0.1 * (16 - 1e-5) * 50 / 49) + 0.1 * (9 - 1e-5) * 50 / 49;
            expect_about("l2", "running mean", 0, (double)run[0], 0.9 * 0.2 + 0.7, 1e-6);
            expect_about("l2", "running variance", 0, (double)run[1], variance, 1e-6);
        } else {
            expect_about(kinds[k].name, "running mean", 0, (double)run[0], 2.5, 1e-6);
            expect_about(kinds[k].name, "running scale", 0, (double)run[1], 3.9, 1e-6);
        }
    }
    FxNormRule rule = {.kind = FX_NORM_L2};
    FxNormAverageF32 average = {.weight = 1, .unbiased = true};
    float run[2] = {0, 0};
    averaged(&rule, &average, 1, sqrtf(1e-5f) * 0.999f, true, run); // a rounded scale below epsilon's root
    assert_float_equal(run[1], 0, 0);
}

static void inference_uses_the_running_statistics(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int unbiased = 0; unbiased < 2; unbiased++) {
            Batch b = batch_of(&kinds[k], 1, 40); // one element: no statistics of its own
            b.rule.nominal = 64;
            batch_fill(&b);
            FxWork work = work_of(&b, fx_cpu_detect(), 2);
            for (size_t i = 0; i < b.c; i++) {
                b.small[MEAN][i] = (float)normal_draw();
                b.small[SCALE][i] = (float)exp(normal_draw());
            }
            FxTensor x = large(&b, X), y = large(&b, Y), mean = small(&b, MEAN), scale = small(&b, SCALE), gamma = small(&b, GAMMA),
                     beta = small(&b, BETA);
            FxNormAverageF32 average = {.weight = 0.1f, .unbiased = unbiased};
            fx_norm_infer_f32(&b.rule, &average, &x, &mean, &scale, &gamma, &beta, &y, &work);
            for (size_t i = 0; i < b.c; i++) {
                double g = (double)b.small[GAMMA][i], s = (double)b.small[SCALE][i];
                s = b.rule.kind == FX_NORM_SHIFT ? slow_norm_power_of_two(s) : b.rule.kind == FX_NORM_L2 && unbiased ? sqrt(s + 1e-5) : s;
                g = b.rule.kind == FX_NORM_SHIFT ? slow_norm_power_of_two(g) : g;
                double want = g / s * ((double)b.large[X][i] - (double)b.small[MEAN][i]) + (double)b.small[BETA][i];
                expect_about(kinds[k].name, "y", i, (double)b.large[Y][i], want, 1e-5 * (1 + fabs(want)));
            }
            work_free(&work);
            batch_free(&b);
        }
}

// A run that has seen one batch infers what that batch's forward gave.
static void inference_after_one_batch_is_its_forward(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Batch b = batch_of(&kinds[k], 300, 20);
        batch_fill(&b);
        run(&b, fx_cpu_detect(), 1);
        FxWork work = work_of(&b, fx_cpu_detect(), 1);
        FxNormAverageF32 average = fx_norm_average_of_rule(&b.rule);
        FxTensor x = large(&b, X), y = large(&b, DX), mean = small(&b, MEAN), scale = small(&b, SCALE), gamma = small(&b, GAMMA),
                 beta = small(&b, BETA), run_mean = small(&b, DGAMMA), run_scale = small(&b, DBETA);
        fx_norm_average_f32(&b.rule, &average, &mean, &scale, b.n, false, &run_mean, &run_scale);
        fx_norm_infer_f32(&b.rule, &average, &x, &run_mean, &run_scale, &gamma, &beta, &y, &work);
        assert_memory_equal(b.large[DX], b.large[Y], b.n * b.c * sizeof(float));
        work_free(&work);
        batch_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_have_the_defined_order),
        cmocka_unit_test(every_machine_gives_the_same_bytes),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(outputs_may_stand_where_inputs_stood),
        cmocka_unit_test(the_first_extreme_of_a_chunk_takes_the_gradient),
        cmocka_unit_test(a_constant_channel_gives_beta),
        cmocka_unit_test(a_short_batch_has_as_many_chunks_as_elements),
        cmocka_unit_test(running_statistics_move_by_their_weight),
        cmocka_unit_test(inference_uses_the_running_statistics),
        cmocka_unit_test(inference_after_one_batch_is_its_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
