// What a rounding did to a tensor: small cases by hand, integers against 128 bits, floats against long double and, bit by
// bit, the defined order; units against the neighbours in the grid; laws; threads.
#include "formats/grid.h"
#include "sim/quality_f32.h"
#include "tests/cast.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FxGrid grid_of(const char *text) {
    FxGrid grid;
    FxError err;
    if (fx_grid_parse(&grid, text, NULL, &err))
        fail_msg("%s: %s", text, err.text);
    return grid;
}

static FxQuality quality_of(const FxTensor *x, const FxTensor *q, const char *grid, int exponent, int threads) {
    FxGrid g = grid_of(grid);
    FxQuality s = {0};
    fx_quality_add(&s, &(FxRounded){.x = x, .q = q, .grid = &g, .has_unit = true, .exponent = exponent}, &(FxWork){.threads = threads});
    return s;
}

static FxTensor floats(const float *values, size_t n) {
    FxTensor t = tensor_new(FX_FLOAT32, n);
    if (values)
        memcpy(t.data, values, n * sizeof *values);
    return t;
}

// Below 2^23 in magnitude, of exponents down to -lowest.
static float any_float(int lowest) {
    float x = (float)draw(1 << 24) - 0x1p23f;
    return ldexpf(x, (int)draw((uint64_t)lowest) - lowest);
}

static void expect_near(const char *what, double got, long double want, long double tolerance) {
    if (!(fabsl((long double)got - want) <= tolerance))
        fail_msg("%s: %.17g, not %.20Lg", what, got, want);
}

// x = 0.75, -2, 0.5, 3 in quarters, q in halves: 1, -2, 0, 3.5
static void a_small_case_is_that_of_hand_arithmetic(void **state) {
    (void)state;
    FxTensor x = tensor_of(FX_INT16, (int64_t[]){3, -8, 2, 12}, 4), q = tensor_of(FX_INT8, (int64_t[]){2, -4, 0, 7}, 4);
    x.exponent = -2;
    q.exponent = -1;
    FxQuality s = quality_of(&x, &q, "fixed8", -1, 1);
    assert_true(s.sum == 2.5 && s.xx == 13.8125 && s.qq == 17.25 && s.xq == 15.25 && s.dd == 0.5625 && s.bias == 0.5);
    assert_true(s.max_abs == 3.5 && s.n == 4 && s.units == 4);
    assert_true(fx_quality_mean(&s) == 0.625 && fx_quality_bias(&s) == 0.125);
    expect_near("l2", fx_quality_l2(&s), 4.15331193145903743L, 1e-15L);
    expect_near("SQNR", fx_quality_sqnr_db(&s), 13.9014976424578583L, 4e-15L); // 10 log10(221 / 9)
    expect_near("cosine", fx_quality_cosine(&s), 0.987959515464574350L, 1e-15L);
    expect_near("crest", fx_quality_crest(&s), 1.68540194320076881L, 1e-15L);
    FxQuality twice = s;
    FxGrid g = grid_of("fixed8");
    fx_quality_add(&twice, &(FxRounded){.x = &x, .q = &q, .grid = &g, .has_unit = true, .exponent = -1}, &(FxWork){.threads = 1});
    assert_true(twice.sum == 5 && twice.dd == 1.125 && twice.bias == 1 && twice.n == 8 && twice.units == 8 && twice.max_abs == 3.5);
    tensor_free(&x);
    tensor_free(&q);
}

static void what_cannot_be_measured_is_nan(void **state) {
    (void)state;
    FxQuality s = {0};
    double (*const all[])(const FxQuality *) = {fx_quality_mean, fx_quality_l2, fx_quality_sqnr_db, fx_quality_cosine, fx_quality_bias, fx_quality_crest};
    for (size_t i = 0; i < 6; i++)
        assert_true(isnan(all[i](&s)));
    FxTensor zero = tensor_new(FX_INT8, 5), one = tensor_of(FX_INT32, (int64_t[]){1, 1, 1, 1, 1}, 5), none = tensor_new(FX_INT8, 0);
    s = quality_of(&none, &none, "fixed8", 0, 2);
    assert_true(s.n == 0 && isnan(fx_quality_l2(&s)));
    s = quality_of(&zero, &one, "fixed8", 0, 1);
    assert_true(isnan(fx_quality_sqnr_db(&s)) && isnan(fx_quality_cosine(&s)) && fx_quality_crest(&s) == 1 && fx_quality_bias(&s) == 1);
    s = quality_of(&one, &zero, "log2:b4:fsr0", 0, 1); // a grid without units
    assert_true(fx_quality_sqnr_db(&s) == 0 && isnan(fx_quality_cosine(&s)) && isnan(fx_quality_crest(&s)) && fx_quality_mean(&s) == 0);
    assert_true(fx_quality_l2(&s) == 0 && s.units == 0 && s.bias == 0 && s.n == 5 && isnan(fx_quality_bias(&s)));
    static const char *const unitless[] = {"logsqrt2:b4:fsr0", "binary", "ternary", "e8m0"};
    for (size_t i = 0; i < 4; i++)
        assert_true(quality_of(&one, &one, unitless[i], 0, 1).units == 0);
    tensor_free(&zero);
    tensor_free(&one);
    tensor_free(&none);
}

static void what_is_not_finite_is_left_out(void **state) {
    (void)state;
    static const float x[] = {1, INFINITY, 2, NAN, -3, -INFINITY, 4, 5}, q[] = {1, 1, INFINITY, 1, -3.5f, -INFINITY, NAN, -INFINITY};
    FxTensor a = floats(x, 8), b = floats(q, 8);
    FxQuality s = quality_of(&a, &b, "e4m3fn", 0, 1);
    assert_true(s.n == 2 && s.units == 2 && s.sum == -2.5 && s.xx == 10 && s.qq == 13.25 && s.xq == 11.5 && s.dd == 0.25 && s.max_abs == 3.5);
    assert_true(s.bias == -2); // the step from 2 to 4 is 1/4
    tensor_free(&a);
    tensor_free(&b);
}

static void a_copy_has_no_noise_and_a_mirror_the_cosine_of_minus_1(void **state) {
    (void)state;
    for (int k = 0; k < 20; k++) {
        size_t n = 1 + draw(9000);
        FxTensor x = floats(NULL, n), m = floats(NULL, n);
        for (size_t i = 0; i < n; i++) {
            float v = any_float(40);
            ((float *)x.data)[i] = v;
            ((float *)m.data)[i] = -v;
        }
        FxQuality s = quality_of(&x, &x, "e5m2", 0, 1);
        assert_true(isnan(fx_quality_sqnr_db(&s)) && fx_quality_cosine(&s) == 1 && fx_quality_bias(&s) == 0 && s.xx == s.qq);
        s = quality_of(&x, &m, "fixed8", 0, 1);
        assert_true(fx_quality_cosine(&s) == -1 && s.dd == 4 * s.xx);
        expect_near("SQNR", fx_quality_sqnr_db(&s), -6.02059991327962390L, 1e-14L);
        tensor_free(&x);
        tensor_free(&m);
    }
}

// Small enough for every float64 sum to be exact, whatever its order.
static void integers_of_all_types_have_the_sums_of_128_bits(void **state) {
    (void)state;
    static const FxType types[] = {FX_INT8, FX_UINT8, FX_INT16, FX_UINT16, FX_INT32, FX_UINT32, FX_INT64};
    static const size_t sizes[] = {1, 2, 255, 256, 257, 4095, 4096, 4097, 8192, 8193, 12288 + 300};
    for (size_t k = 0; k < 49 * 11; k++) {
        FxType tx = types[k % 7], tq = types[k / 7 % 7];
        size_t n = sizes[k / 49];
        // large codes where they are few or all of them are multiples
        int64_t limit = n <= 257 ? 1 << 16 : 1 << 12, step = tx >= FX_INT32 && tx != FX_UINT16 && tq >= FX_INT32 && tq != FX_UINT16 ? 1 << 16 : 1;
        int64_t *cx = calloc(n, sizeof *cx), *cq = calloc(n, sizeof *cq);
        Wide sum = 0, xx = 0, qq = 0, xq = 0, dd = 0, bias = 0, max = 0;
        int shift = (int)draw(6); // q's unit over x's
        for (size_t i = 0; i < n; i++) {
            do
                cx[i] = step * ((int64_t)draw(2 * (uint64_t)limit) - limit);
            while (!type_holds(tx, cx[i]));
            do
                cq[i] = step * ((int64_t)draw(2 * (uint64_t)limit) - limit);
            while (!type_holds(tq, cq[i]));
            Wide x = cx[i], q = cq[i] * slow_power(shift), m = q < 0 ? -q : q;
            sum += q;
            xx += x * x;
            qq += q * q;
            xq += x * q;
            dd += (q - x) * (q - x);
            bias += q - x;
            max = m > max ? m : max;
        }
        int e = (int)draw(600) - 300;
        FxTensor x = tensor_of(tx, cx, n), q = tensor_of(tq, cq, n);
        x.exponent = e;
        q.exponent = e + shift;
        FxQuality s = quality_of(&x, &q, "fixed8", q.exponent, any_threads());
        double one = ldexp(1, -e), two = ldexp(1, -2 * e);
        if (s.sum * one != (double)sum || s.xx * two != (double)xx || s.qq * two != (double)qq || s.xq * two != (double)xq || s.dd * two != (double)dd ||
            s.bias != (double)bias / (double)slow_power(shift) || s.max_abs * one != (double)max || s.n != n || s.units != n)
            fail_msg("%zu elements of %s to %s, unit 2^%d", n, fx_type_name(tx), fx_type_name(tq), e);
        free(cx);
        free(cq);
        tensor_free(&x);
        tensor_free(&q);
    }
}

enum { FIELDS = 6 }; // sum, xx, qq, xq, dd, bias

static void fields_of(double f[FIELDS], const FxQuality *s) {
    memcpy(f, (double[]){s->sum, s->xx, s->qq, s->xq, s->dd, s->bias}, FIELDS * sizeof *f);
}

// Both the sums of long double, from the definitions, and what order makes of them in float64.
static void float32_sums_are_near_the_true_ones_and_in_the_defined_order(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 100, 4096, 4097, 5000, 8192, 40000, 4096 * 257 + 5};
    for (size_t k = 0; k < 8; k++) {
        size_t n = sizes[k];
        FxTensor x = floats(NULL, n), q = floats(NULL, n);
        long double want[FIELDS] = {0}, size[FIELDS] = {0};
        double order[FIELDS] = {0}, chunk[FIELDS] = {0}, got[FIELDS], max = 0;
        for (size_t i = 0; i < n; i++) {
            float a = i == 0 ? 1.0625f : any_float(30), b = nearbyintf(a * 8) / 8;
            ((float *)x.data)[i] = a;
            ((float *)q.data)[i] = b;
            long double d = (long double)b - a, term[FIELDS] = {b, (long double)a * a, (long double)b * b, (long double)a * b, d * d, d * 8};
            for (int f = 0; f < FIELDS; f++) {
                want[f] += term[f];
                size[f] += fabsl(term[f]);
                chunk[f] += f < 4 ? (double)term[f] : f == 4 ? ((double)b - (double)a) * ((double)b - (double)a) : ((double)b - (double)a) * 8;
                if (i % 4096 == 4095 || i + 1 == n) {
                    order[f] += chunk[f];
                    chunk[f] = 0;
                }
            }
            max = fabs((double)b) > max ? fabs((double)b) : max;
        }
        FxQuality s = quality_of(&x, &q, "fixed16", -3, 1);
        fields_of(got, &s);
        for (int f = 0; f < FIELDS; f++) {
            expect_near("a sum", got[f], want[f], size[f] * 1e-12L);
            if (memcmp(&got[f], &order[f], sizeof order[f]))
                fail_msg("%zu elements, field %d: %a, not %a", n, f, got[f], order[f]);
        }
        assert_true(s.max_abs == max && s.n == n);
        long double m = (long double)n;
        expect_near("mean", fx_quality_mean(&s), want[0] / m, size[0] / m * 1e-12L);
        expect_near("l2", fx_quality_l2(&s), sqrtl(want[2]), sqrtl(want[2]) * 1e-12L);
        expect_near("SQNR", fx_quality_sqnr_db(&s), 10 * log10l(want[1] / want[4]), 1e-10L);
        expect_near("cosine", fx_quality_cosine(&s), want[3] / sqrtl(want[1] * want[2]), 1e-12L);
        expect_near("bias", fx_quality_bias(&s), want[5] / m, size[5] / m * 1e-12L);
        expect_near("crest", fx_quality_crest(&s), max / sqrtl(want[2] / m), 1e-12L * max);
        for (int threads = 2; threads <= 7; threads += threads == 3 ? 4 : 1) {
            FxQuality t = quality_of(&x, &q, "fixed16", -3, threads);
            assert_memory_equal(&t, &s, sizeof s);
        }
        tensor_free(&x);
        tensor_free(&q);
    }
}

static double value_of(const FxGrid *g, int64_t code) {
    FxNumber v = g->kind->decode(g, code, 0);
    return v.class_of == FX_FINITE ? ldexp((double)v.magnitude, v.exponent) : HUGE_VAL;
}

// One element each: the unit is the distance of the two neighbours in the grid, the lower one included.
static void units_of_floats_are_the_distances_in_the_grid(void **state) {
    (void)state;
    static const char *const names[] = {"e4m3fn", "e5m2", "e2m1fn", "e3m2fn", "float:e4m3:fnuz", "float:e3m4:bias5", "float:e5m0", "float:e4m3:normz",
                                        "float:e4m3:flush", "binary8p3se", "binary8p1se", "bf16"};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        FxGrid g = grid_of(names[k]);
        int64_t codes = fx_float_max_code(&g), checked = 0;
        for (int64_t code = 0; code < codes; code++) {
            double lower = value_of(&g, code), upper = value_of(&g, code + 1);
            if (upper <= lower || (lower == 0 && g.lowest != FX_LOWEST_SUB) || (lower == 0 && g.mantissa_bits == 0))
                continue; // below the least value without subnormals
            for (int i = 0; i < 4; i++) {
                int e = k == 11 ? 0 : (int)draw(21) - 10;
                double part = i == 0 ? 0 : i == 1 ? 0.5 : i == 2 ? 0.9375 : 0.25;
                float x = (float)ldexp(lower + part * (upper - lower), e), q = (float)ldexp(draw(2) ? lower : upper, e);
                x = i % 2 ? -x : x;
                FxTensor a = floats(&x, 1), b = floats(&q, 1);
                FxQuality s = quality_of(&a, &b, names[k], e, 1);
                if (s.bias != ((double)q - (double)x) / ldexp(upper - lower, e) || s.units != 1)
                    fail_msg("%s at %g * 2^%d: %g units, not %g", names[k], ldexp((double)x, -e), e, s.bias, ((double)q - (double)x) / ldexp(upper - lower, e));
                checked++;
                tensor_free(&a);
                tensor_free(&b);
            }
        }
        assert_true(checked > 12);
    }
    static const float far[] = {1000, -0.001f, 0}, zero[] = {0, 0, 1}; // e4m3fn: steps of 64 from 512 on, of 2^-9 at the bottom
    for (int i = 0; i < 3; i++) {
        FxTensor a = floats(&far[i], 1), b = floats(&zero[i], 1);
        FxQuality s = quality_of(&a, &b, "e4m3fn", 0, 1);
        assert_true(s.bias == (i == 0 ? -1000.0 / 64 : i == 1 ? (double)0.001f * 512 : 512));
        tensor_free(&a);
        tensor_free(&b);
    }
}

// The value of a 64-bit integer in float64, to nearest-even, from its digits.
static double to_nearest(Wide v) {
    Wide m = v < 0 ? -v : v;
    int cut = 0;
    while (m >> cut >= (Wide)1 << 53)
        cut++;
    Wide kept = m >> cut, rest = m - (kept << cut), half = cut ? (Wide)1 << (cut - 1) : 0;
    kept += cut && (rest > half || (rest == half && kept % 2));
    return ldexp((double)(v < 0 ? -kept : kept), cut);
}

// Multipliers and exponents a channel on both sides, of all their sizes, against the definitions, bit by bit.
static void channels_count_by_their_own_units(void **state) {
    (void)state;
    static const size_t counts[] = {1, 3, 8, 17, 300};
    enum { CHANNELS = 300 };
    for (int k = 0; k < 60; k++) {
        const size_t channels = counts[k % 5], n = channels * (1 + (size_t)draw(9000 / channels));
        const bool wide = k % 3 == 0, multiplied = !wide && k % 4, apart = k % 2;
        int32_t multiplier[CHANNELS], unit[CHANNELS], exponent[CHANNELS];
        int64_t *cx = calloc(n, sizeof *cx), *cq = calloc(n, sizeof *cq);
        for (size_t c = 0; c < channels; c++) {
            multiplier[c] = (int32_t)draw(UINT64_C(1) << 31) - (1 << 30);
            unit[c] = (int)draw(80) - 60;
            exponent[c] = (int)draw(80) - 40;
        }
        for (size_t i = 0; i < n; i++) {
            cx[i] = wide ? (int64_t)draw(UINT64_C(1) << 62) - (INT64_C(1) << 61) : (int64_t)draw(UINT64_C(1) << 32) - (INT64_C(1) << 31);
            cq[i] = (int64_t)draw(255) - 127;
        }
        FxTensor x = tensor_of(wide ? FX_INT64 : FX_INT32, cx, n), q = tensor_of(FX_INT8, cq, n);
        x.exponent = -7;
        q.exponent = -3;
        FxUnits units = {multiplied ? multiplier : NULL, k % 7 ? unit : NULL, NULL};
        double order[FIELDS] = {0}, chunk[FIELDS] = {0}, got[FIELDS], most = 0, source = 0;
        for (size_t i = 0; i < n; i++) {
            const size_t c = i % channels;
            const int eq = apart ? exponent[c] : -3;
            double a = ldexp(to_nearest((Wide)cx[i] * (multiplied ? multiplier[c] : 1)), units.exponent ? unit[c] : -7), b = ldexp((double)cq[i], eq), d = b - a;
            const double term[FIELDS] = {b, a * a, b * b, a * b, d * d, ldexp(d, -eq)};
            for (int f = 0; f < FIELDS; f++) {
                chunk[f] += term[f];
                if (i % 4096 == 4095 || i + 1 == n) {
                    order[f] += chunk[f];
                    chunk[f] = 0;
                }
            }
            most = fmax(most, fabs(b));
            source = fmax(source, fabs(a));
        }
        FxGrid g = grid_of("fixed8");
        FxRounded r = {.x = &x, .q = &q, .units = &units, .exponents = apart ? exponent : NULL, .channels = channels, .grid = &g, .has_unit = true, .exponent = -3};
        for (int threads = 1; threads <= 5; threads += 2) {
            FxQuality s = {0}, t = {0};
            fx_quality_add(&s, &r, &(FxWork){.threads = threads});
            fields_of(got, &s);
            for (int f = 0; f < FIELDS; f++)
                if (memcmp(&got[f], &order[f], sizeof order[f]))
                    fail_msg("%zu elements of %zu channels, field %d: %a, not %a", n, channels, f, got[f], order[f]);
            assert_true(s.max_abs == most && s.n == n && s.units == n && !s.of_source);
            r.crest_of_source = true;
            fx_quality_add(&t, &r, &(FxWork){.threads = threads});
            r.crest_of_source = false;
            assert_true(t.max_abs == source && t.of_source == 1 && t.qq == s.qq && t.dd == s.dd);
            assert_true(fx_quality_crest(&s) == most / sqrt(order[2] / (double)n) && fx_quality_crest(&t) == source / sqrt(order[1] / (double)n));
        }
        free(cx);
        free(cq);
        tensor_free(&x);
        tensor_free(&q);
    }
}

// T = 6, 4, -4, 0 in quarters and eighths by turns: 1.5, 0.5, -1, 0; crest before the rounding 1.5 / sqrt(3.5 / 4)
static void crest_of_a_source_and_a_grid_without_units(void **state) {
    (void)state;
    FxTensor x = tensor_of(FX_INT32, (int64_t[]){3, 2, -2, 0}, 4), q = tensor_of(FX_INT8, (int64_t[]){1, 0, -1, 0}, 4);
    FxGrid g = grid_of("fixed8");
    const int32_t multiplier[] = {2, 2}, exponent[] = {-2, -3};
    const FxUnits units = {multiplier, exponent, NULL};
    FxQuality s = {0};
    FxRounded r = {.x = &x, .q = &q, .units = &units, .channels = 2, .grid = &g, .crest_of_source = true};
    fx_quality_add(&s, &r, &(FxWork){.threads = 1});
    assert_true(s.xx == 3.5 && s.qq == 2 && s.dd == 0.5 && s.max_abs == 1.5 && s.n == 4 && s.units == 0);
    assert_true(isnan(fx_quality_bias(&s)));
    expect_near("crest", fx_quality_crest(&s), 1.60356745147454630811L, 1e-15L);
    tensor_free(&x);
    tensor_free(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_case_is_that_of_hand_arithmetic),
        cmocka_unit_test(what_cannot_be_measured_is_nan),
        cmocka_unit_test(what_is_not_finite_is_left_out),
        cmocka_unit_test(a_copy_has_no_noise_and_a_mirror_the_cosine_of_minus_1),
        cmocka_unit_test(integers_of_all_types_have_the_sums_of_128_bits),
        cmocka_unit_test(float32_sums_are_near_the_true_ones_and_in_the_defined_order),
        cmocka_unit_test(units_of_floats_are_the_distances_in_the_grid),
        cmocka_unit_test(channels_count_by_their_own_units),
        cmocka_unit_test(crest_of_a_source_and_a_grid_without_units),
    };
    return cmocka_run_group_tests_name("quality", tests, NULL, NULL);
}
