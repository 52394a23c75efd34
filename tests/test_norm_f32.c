// The float norms' numbers: a float64 twin that finite differences check, the float layer against it, laws of the gradient,
// worked numbers.
#include "tests/layer_of.h"
#include "tests/norm_batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LARGEST = 8192 };

// ---- the twin against finite differences ------------------------------------------------------------------------------

typedef struct Loss {
    double w[256], q[256];
} Loss;

// sum of w sin(y) + q y^2. scale 0: the norm's own.
static double loss_of(const SlowNorm *norm, const Loss *l, const double *x, size_t n, double scale, double gamma, double beta) {
    double y[256], sum = 0, mean = slow_norm_mean(x, n);
    slow_norm_apply(norm, y, x, n, mean, scale > 0 ? scale : slow_norm_scale(norm, x, n, mean), gamma, beta);
    for (size_t i = 0; i < n; i++)
        sum += l->w[i] * sin(y[i]) + l->q[i] * y[i] * y[i];
    return sum;
}

static double distance(const double *a, const double *b, size_t n) {
    double difference = 0, whole = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        whole += b[i] * b[i];
    }
    return sqrt(difference / (whole > 0 ? whole : 1));
}

static void check_slopes(const Kind *kind, size_t n) {
    const double h = 1e-6, gamma = 0.7, beta = 0.3;
    FxNormRule rule = rule_of(kind, n);
    SlowNorm norm = slow_of(&rule, 1e-5);
    Loss loss;
    double x[256], y[256], gy[256], dx[256], slopes[256], dgamma, dbeta;
    for (size_t i = 0; i < n; i++) {
        x[i] = exp(normal_draw());
        loss.w[i] = normal_draw();
        loss.q[i] = normal_draw();
    }
    double mean = slow_norm_mean(x, n), scale = slow_norm_scale(&norm, x, n, mean), held = norm.detach ? scale : 0;
    slow_norm_apply(&norm, y, x, n, mean, scale, gamma, beta);
    for (size_t i = 0; i < n; i++)
        gy[i] = loss.w[i] * cos(y[i]) + 2 * loss.q[i] * y[i];
    slow_norm_backward(&norm, dx, &dgamma, &dbeta, x, gy, n, mean, scale, gamma);
    for (size_t i = 0; i < n; i++) {
        double at = x[i];
        x[i] = at + h;
        double up = loss_of(&norm, &loss, x, n, held, gamma, beta);
        x[i] = at - h;
        slopes[i] = (up - loss_of(&norm, &loss, x, n, held, gamma, beta)) / (2 * h);
        x[i] = at;
    }
    if (!(distance(dx, slopes, n) <= 1e-6))
        fail_msg("%s: dx is %g away from the finite differences", kind->name, distance(dx, slopes, n));
    double by[2] = {(loss_of(&norm, &loss, x, n, held, gamma + h, beta) - loss_of(&norm, &loss, x, n, held, gamma - h, beta)) / (2 * h),
                    (loss_of(&norm, &loss, x, n, held, gamma, beta + h) - loss_of(&norm, &loss, x, n, held, gamma, beta - h)) / (2 * h)};
    double got[2] = {dgamma, dbeta};
    if (!(distance(got, by, 2) <= 1e-6))
        fail_msg("%s: dgamma, dbeta are %g away from the finite differences", kind->name, distance(got, by, 2));
}

static void the_twins_gradients_are_finite_differences(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int draws = 0; draws < 5 && kinds[k].kind != FX_NORM_SHIFT; draws++)
            check_slopes(&kinds[k], 256);
}

// ---- the float layer against the twin ---------------------------------------------------------------------------------

// Channel i of a tensor.
static void channel(double *to, const Batch *b, int tensor, size_t i) {
    for (size_t j = 0; j < b->n; j++)
        to[j] = (double)b->large[tensor][j * b->c + i];
}

static void expect_near(const Batch *b, const char *kind, const char *what, int tensor, size_t i, const double *want) {
    static double got[LARGEST];
    channel(got, b, tensor, i);
    double away = distance(got, want, b->n);
    if (!(away <= 1e-5))
        fail_msg("%s, %zu x %zu: %s of channel %zu is %g away", kind, b->n, b->c, what, i, away);
}

static void expect_near_value(const Batch *b, const char *kind, const char *what, int tensor, size_t i, double want, double scale) {
    if (!(fabs((double)b->small[tensor][i] - want) <= 1e-5 * scale))
        fail_msg("%s, %zu x %zu: %s of channel %zu is %.9g, not %.9g", kind, b->n, b->c, what, i, (double)b->small[tensor][i], want);
}

static void expect_twin(const Batch *b, const char *kind) {
    static double x[LARGEST], y[LARGEST], gy[LARGEST], dx[LARGEST], xhat[LARGEST];
    SlowNorm norm = slow_of(&b->rule, 1e-5);
    double dgamma, dbeta;
    for (size_t i = 0; i < b->c; i++) {
        double gamma = (double)b->small[GAMMA][i], beta = (double)b->small[BETA][i], sizes = 0;
        channel(x, b, X, i);
        channel(gy, b, GY, i);
        double mean = slow_norm_mean(x, b->n), scale = slow_norm_scale(&norm, x, b->n, mean);
        expect_near_value(b, kind, "mean", MEAN, i, mean, fabs(mean) + scale);
        if (b->rule.kind == FX_NORM_L1 || b->rule.kind == FX_NORM_SHIFT) { // sgn and AP2 jump: of the same differences
            mean = 0;
            for (size_t j = 0; j < b->n; j++)
                x[j] = (double)(b->large[X][j * b->c + i] - b->small[MEAN][i]);
            scale = slow_norm_scale(&norm, x, b->n, 0);
        }
        slow_norm_apply(&norm, y, x, b->n, mean, scale, gamma, beta);
        slow_norm_apply(&norm, xhat, x, b->n, mean, scale, 1, 0);
        slow_norm_backward(&norm, dx, &dgamma, &dbeta, x, gy, b->n, mean, scale, gamma);
        for (size_t j = 0; j < b->n; j++)
            sizes += fabs(gy[j]);
        expect_near_value(b, kind, "scale", SCALE, i, scale, scale);
        expect_near_value(b, kind, "dgamma", DGAMMA, i, dgamma, sizes);
        expect_near_value(b, kind, "dbeta", DBETA, i, dbeta, sizes);
        expect_near(b, kind, "y", Y, i, y);
        expect_near(b, kind, "xhat", XHAT, i, xhat);
        expect_near(b, kind, "y from xhat", Y_OF_XHAT, i, y);
        expect_near(b, kind, "dx", DX, i, dx);
    }
}

static void the_float_norms_are_near_their_twin(void **state) {
    (void)state;
    static const size_t sizes[][2] = {{8192, 16}, {2, 1}, {3, 5}, {16, 33}, {255, 16}, {256, 3}, {257, 17}, {1000, 64}, {513, 300}, {5000, 1}};
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            Batch b = batch_of(&kinds[k], sizes[s][0], sizes[s][1]);
            batch_fill(&b);
            run(&b, fx_cpu_detect(), any_threads());
            if (sizes[s][0] > 16)
                expect_twin(&b, kinds[k].name);
            batch_free(&b);
        }
}

static void batches_of_any_size_are_near_their_twin(void **state) {
    (void)state;
    for (int draws = 0; draws < 200; draws++) {
        const Kind *kind = &kinds[draw(KINDS)];
        Batch b = batch_of(kind, 20 + draw(600), 1 + draw(40));
        batch_fill(&b);
        run(&b, fx_cpu_detect(), 1);
        expect_twin(&b, kind->name);
        batch_free(&b);
    }
}

// sum dx = 0, and sum d dx = D eps r up to a factor: eps stands inside L2's root.
static void the_gradient_is_orthogonal_to_shifts_and_sizes(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        Batch b = batch_of(&kinds[k], 4096, 16);
        batch_fill(&b);
        run(&b, fx_cpu_detect(), 1);
        for (size_t i = 0; i < b.c; i++) {
            double sum = 0, sizes = 0, product = 0, products = 0;
            for (size_t j = 0; j < b.n; j++) {
                double dx = (double)b.large[DX][j * b.c + i], d = (double)b.large[X][j * b.c + i] - (double)b.small[MEAN][i];
                sum += dx;
                sizes += fabs(dx);
                product += d * dx;
                products += fabs(d * dx);
            }
            bool sums_to_zero = b.rule.kind != FX_NORM_SHIFT || b.rule.detach; // the shift norm's AP2(d) has a mean
            if (sums_to_zero && !(fabs(sum) <= 1e-5 * sizes))
                fail_msg("%s: channel %zu's gradient has the sum %g, of magnitudes %g", kinds[k].name, i, sum, sizes);
            if (b.rule.kind == FX_NORM_SHIFT || b.rule.detach)
                continue;
            double r = 1 / (double)b.small[SCALE][i], D = (double)b.small[GAMMA][i] * (double)b.small[DGAMMA][i];
            double want = D * (double)FX_NORM_EPSILON * (b.rule.kind == FX_NORM_L2 ? r * r : r);
            if (!(fabs(product - want) <= 1e-5 * products))
                fail_msg("%s: channel %zu's sum of d dx is %g, of magnitudes %g, not %g", kinds[k].name, i, product, products, want);
        }
        batch_free(&b);
    }
}

// ---- worked numbers ---------------------------------------------------------------------------------------------------

typedef struct Worked {
    Kind kind;
    double s, y[8], dx[8], dgamma, dx_error;
} Worked;

// batchnorm_and_int8.md 6: epsilon 0, six digits. Shift: the integer trace, whose t was rounded at 1/64 of gy.
static const Worked worked[] = {
    {{"l2", FX_NORM_L2, 1, false}, 7.720711,
     {-0.178567, 0.598564, 1.084270, -0.567132, 0.209999, 0.307140, 0.889988, -1.344262},
     {0.109364, -0.337690, 0.050748, 0.090037, 0.420114, -0.182188, -0.007486, -0.142898}, 12.369327, 2e-6},
    {{"l1", FX_NORM_L1, 1, false}, 7.950712,
     {-0.169785, 0.584865, 1.056520, -0.547110, 0.207540, 0.301871, 0.867858, -1.301759},
     {0.269053, -0.368960, 0.102696, 0.174722, 0.291358, -0.274629, 0.008364, -0.202603}, 12.011504, 2e-6},
    {{"range, m = 1", FX_NORM_RANGE, 1, false}, 6.622363,
     {-0.228914, 0.677107, 1.243370, -0.681925, 0.224096, 0.337349, 1.016864, -1.587946},
     {0.056626, -0.283132, -0.149493, -0.056626, 0.509637, -0.169879, 0.169879, -0.077012}, 14.420835, 2e-6},
    {{"range, m = 2", FX_NORM_RANGE, 2, false}, 6.488564,
     {-0.236212, 0.688491, 1.266431, -0.698564, 0.226139, 0.341727, 1.035255, -1.623268},
     {0.057794, -0.288970, 0.013004, 0.218172, 0.520146, -0.173382, -0.102584, -0.244180}, 14.718203, 2e-6},
    {{"shift", FX_NORM_SHIFT, 1, false}, 8,
     {-17408 / 65536., 48128 / 65536., 89088 / 65536., -50176 / 65536., 15360 / 65536., 23552 / 65536., 72704 / 65536., -115712 / 65536.},
     {79 / 512., -208 / 512., 65 / 512., 63 / 512., 276 / 512., -120 / 512., 1 / 512., -98 / 512.}, 11.875, 1.01 / 512},
};

static void the_worked_numbers_come_out(void **state) {
    (void)state;
    static const float x[8] = {-3, 5, 10, -7, 1, 2, 8, -15}, gy[8] = {1, -2, 3, 0, 5, -1, 2, -4};
    for (size_t k = 0; k < sizeof worked / sizeof worked[0]; k++) {
        const Worked *w = &worked[k];
        Batch b = batch_of(&w->kind, 8, 1);
        SlowNorm norm = slow_of(&b.rule, 0);
        double x64[8], y64[8], gy64[8], dx64[8], dgamma, dbeta;
        memcpy(b.large[X], x, sizeof x);
        memcpy(b.large[GY], gy, sizeof gy);
        b.small[GAMMA][0] = 0.75f;
        b.small[BETA][0] = 0.125f;
        run(&b, FX_CPU_SCALAR, 1);
        channel(x64, &b, X, 0);
        channel(gy64, &b, GY, 0);
        double scale = slow_norm_scale(&norm, x64, 8, 0.125);
        slow_norm_apply(&norm, y64, x64, 8, 0.125, scale, 0.75, 0.125);
        slow_norm_backward(&norm, dx64, &dgamma, &dbeta, x64, gy64, 8, 0.125, scale, 0.75);
        expect_about(w->kind.name, "twin's s", 0, scale, w->s, 1e-6);
        expect_about(w->kind.name, "twin's dgamma", 0, dgamma, w->dgamma, 1e-6);
        expect_about(w->kind.name, "mean", 0, (double)b.small[MEAN][0], 0.125, 0);
        expect_about(w->kind.name, "dbeta", 0, (double)b.small[DBETA][0], 4, 0);
        expect_about(w->kind.name, "s", 0, (double)b.small[SCALE][0], w->s, 1.2e-5); // epsilon
        expect_about(w->kind.name, "dgamma", 0, (double)b.small[DGAMMA][0], w->dgamma, 3e-5);
        for (size_t i = 0; i < 8; i++) {
            expect_about(w->kind.name, "twin's y", i, y64[i], w->y[i], 1e-6);
            expect_about(w->kind.name, "twin's dx", i, dx64[i], w->dx[i], w->dx_error);
            expect_about(w->kind.name, "y", i, (double)b.large[Y][i], w->y[i], 4e-6);
            expect_about(w->kind.name, "dx", i, (double)b.large[DX][i], w->dx[i], w->dx_error + 2e-6);
        }
        batch_free(&b);
    }
}

// The table of 1.4: elements of a chunk, round(65536 / d2), the code's K and the paper's 1 / sqrt(2 ln c) times 65536.
static void the_range_constants_are_the_tables(void **state) {
    (void)state;
    static const int table[][3] = {{8, 23018, 17360}, {49, 14621, 12690}, {64, 13981, 12275}, {98, 13105, 11691}, {512, 10765, 10023},
                                   {8192, 8618, 8340}, {65536, 7636, 7517}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t nominal = (size_t)table[i][0] * 16 + 15;
        assert_int_equal(lrintf(65536 * fx_norm_range_constant_f32(FX_NORM_EXACT_D2, nominal, 16)), table[i][1]);
        assert_int_equal(lrintf(65536 * fx_norm_range_constant_f32(FX_NORM_CODE, nominal, 16)), table[i][2]);
        double paper = 1 / sqrt(2 * log(table[i][0]));
        assert_true(fabs((double)fx_norm_range_constant_f32(FX_NORM_PAPER, nominal, 16) / paper - 1) < 1e-7);
    }
    assert_int_equal(lrintf(65536 * fx_norm_range_constant_f32(FX_NORM_EXACT_D2, 2, 1)), 23018);        // the ends are held
    assert_int_equal(lrintf(65536 * fx_norm_range_constant_f32(FX_NORM_EXACT_D2, 1 << 20, 1)), 7636);
    double between = 13981 + (log2(80) - 6) / (log2(98) - 6) * (13105 - 13981);
    assert_true(fabs(65536 * (double)fx_norm_range_constant_f32(FX_NORM_EXACT_D2, 80, 1) - between) < 2e-3);
}

static void a_power_of_two_is_the_nearest_in_the_logarithm(void **state) {
    (void)state;
    assert_float_equal(fx_norm_power_of_two(0), 0, 0);
    assert_float_equal(fx_norm_power_of_two(0x1.6a09e6p0f), 1, 0); // the floats around sqrt(2)
    assert_float_equal(fx_norm_power_of_two(0x1.6a09e8p0f), 2, 0);
    assert_float_equal(fx_norm_power_of_two(-0x1.6a09e8p-100f), -0x1p-99f, 0);
    assert_true(isnan(fx_norm_power_of_two(NAN)) && isinf(fx_norm_power_of_two(INFINITY)));
    for (int i = 0; i < 10000; i++) {
        double v = ldexp(unit_draw(), (int)draw(200) - 100);
        assert_true((double)fx_norm_power_of_two((float)v) == slow_norm_power_of_two((double)(float)v));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_twins_gradients_are_finite_differences),
        cmocka_unit_test(the_float_norms_are_near_their_twin),
        cmocka_unit_test(batches_of_any_size_are_near_their_twin),
        cmocka_unit_test(the_gradient_is_orthogonal_to_shifts_and_sizes),
        cmocka_unit_test(the_worked_numbers_come_out),
        cmocka_unit_test(the_range_constants_are_the_tables),
        cmocka_unit_test(a_power_of_two_is_the_nearest_in_the_logarithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
