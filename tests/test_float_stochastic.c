// Random laws on float grids: over all words, exactly; in the mean, through fx_quantise (formats.md 6.4).
#include "formats/bits_f32.h"
#include "formats/quantiser.h"
#include "tests/cast.h"
#include "tests/slow_float.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- all words ----------------------------------------------------------------------------------------------------

// Over all R of r bits: each code is the slow twin's, and as many go up as the law's formula says.
static void count_ups(const SlowFloat *f, const char *mode, double x, int direction) {
    char text[FX_QUANTISER_TEXT];
    snprintf(text, sizeof text, "%s/%s/inf", f->format.text, mode);
    FxQuantiser q = quantiser_of(text);
    int width = q.rounding.bits ? q.rounding.bits : 8;
    FxRoundArg parameters = fx_round_arg(&q.rounding, width);
    SlowLaw law = slow_law_of(&q, width);
    uint64_t word, ups = 0, want;
    law.direction = direction;
    int64_t i = slow_float_below(f, fabs(x)), down = 0;
    double lo = fabs(x) < f->beyond ? f->points[i].value : f->beyond, hi = i + 1 < f->count ? f->points[i + 1].value : f->beyond;
    want = fabs(x) == lo || fabs(x) >= f->beyond ? 0 : slow_float_ups(&law, fabs(x) - lo, hi - lo, x < 0);
    for (word = 0; word < UINT64_C(1) << width; word++) {
        bool outside;
        FxEncodeArg arg = {(uint32_t)word, direction, 0, &parameters};
        FxEncoded got = fx_encode(&q, fx_number_f64(fx_double_bits(x)), &arg);
        int64_t slow = slow_float_code(f, &law, SLOW_TO_INF, x, (uint32_t)word, &outside);
        if (got.code != slow || got.saturated != outside)
            fail_msg("%s: %a with R = 0x%llx: code 0x%llx%s, not 0x%llx%s", text, x, (unsigned long long)word, (unsigned long long)got.code,
                     got.saturated ? " saturated" : "", (unsigned long long)slow, outside ? " saturated" : "");
        down = word == 0 && i < f->count ? f->points[i].code + (x < 0 && (i > 0 || f->minus_zero) ? f->sign : 0) : down;
        ups += fabs(x) < f->beyond && (got.code != down || got.saturated);
    }
    if (ups != want)
        fail_msg("%s: of all words %llu round %a up, not %llu", text, (unsigned long long)ups, x, (unsigned long long)want);
}

static void of_all_words_exactly_as_many_round_up_as_each_law_says(void **state) {
    (void)state;
    static const char *const grids[] = {"e4m3fn", "e5m2", "e2m1fn", "hfp8_143_nosub", "dlfloat16", "fp16", "bf16", "e4m3b11fnuz", "binary8p3se"};
    static const char *const laws[] = {"equal", "stochastic:%d:a", "stochastic:%d:b", "stochastic:%d:c", "stochastic:%d:below",
                                       "sr-eps:0.25:%d", "sr-eps:0.7:%d", "signed-sr-eps:0.25:%d"};
    static const int widths[] = {1, 3, 8, 11, 16};
    for (size_t g = 0; g < sizeof grids / sizeof grids[0]; g++) {
        SlowFloat f = slow_float_new(slow_format(grids[g]), 0);
        double least = f.points[1].value, max = f.points[f.count - 1].value, inside = f.points[f.count / 2].value;
        double step = f.points[f.count / 2 + 1].value - inside;
        const double xs[] = {least / 2, least / 512, least * 0.3, least * 1.7, ldexp(least, -30), inside, inside + step / 3, inside + step * 0.5,
                             inside + step * 3 / 512, inside + step * 509 / 512, inside + step * 0.7265625, max + (f.beyond - max) * 0.3,
                             max + (f.beyond - max) / 2, f.beyond, 3 * f.beyond, 1e-300};
        for (size_t l = 0; l < sizeof laws / sizeof laws[0]; l++)
            for (int w = 0; w < (l ? 5 : 1); w++)
                for (size_t k = 0; k < sizeof xs / sizeof xs[0]; k++) {
                    char mode[40];
                    snprintf(mode, sizeof mode, laws[l], widths[w]);
                    if (widths[w] == 16 && (k + g) % 4) // every number somewhere
                        continue;
                    for (int direction = -1; direction <= (l == 7 ? 1 : -1); direction++) {
                        count_ups(&f, mode, xs[k], direction);
                        count_ups(&f, mode, -xs[k], direction);
                    }
                }
        slow_float_free(&f);
    }
}

// ---- means ---------------------------------------------------------------------------------------

static void quantise(const FxQuantiser *q, const float *x, size_t n, FxDraw draw, float *values) {
    FxArray array = {.data = x, .type = FX_FLOAT32, .count = n};
    FxError err;
    if (fx_quantise(q, NULL, &array, &draw, &(FxOutput){.values = values}, NULL, &err))
        fail_msg("%s", err.text);
}

static void the_mean_of_a_million_draws_is_the_number(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    static const struct {
        const char *text;
        float x;
        double p; // of the neighbour farther from zero
        int lane;
    } cases[] = {
        {"e4m3fn/stochastic:8", 1.0390625f, 0.3125, 8}, {"e4m3fn/stochastic", -0.3f, 0.6, 32}, {"e5m2/stochastic:16:b", 5.3f, 0.3, 16},
        {"e2m1fn/stochastic", 0.1f, 0.2, 32}, {"e2m1fn/equal", -0.1f, 0.5, 8}, {"bf16/stochastic:16", 1.001f, 0.128, 16},
        {"fp16/sr-eps:0.25:8", 1.00048828125f, 0.75, 8}, {"e5m2/sr-eps:0.25", -0x1.1p-17f, 0.78125, 32},
        {"e4m3fn/stochastic:8:a", 0x1.00cp-9f, 0, 8}, // 3/1024 of a step above 2^-9
        {"e4m3fn/stochastic:8:below", 0x1.00cp-9f, 1 / 256.0, 8},
    };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    assert_true(x && y);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        FxQuantiser q = quantiser_of(cases[k].text);
        double ups = 0, p = cases[k].p;
        for (size_t i = 0; i < N; i++)
            x[i] = cases[k].x;
        quantise(&q, x, N, (FxDraw){41 + k, 5, 6, 0, cases[k].lane}, y);
        for (size_t i = 0; i < N; i++)
            ups += fabsf(y[i]) > fabsf(x[i]);
        if (fabs(ups - N * p) > 5 * sqrt(N * p * (1 - p)) + 1e-6 * N)
            fail_msg("%s: %a goes up %.0f times in %d, not about %.0f", cases[k].text, (double)cases[k].x, ups, N, N * p);
    }
    free(x);
    free(y);
}

// Z of `groups` sums of n errors; its mean and variance. stride: which lanes make a group.
static void check_independence(const char *text, int lane, size_t stride, uint64_t seed) {
    enum { B = 4096, N = 1024 };
    float *x = malloc(sizeof *x * B * N), *y = malloc(sizeof *y * B * N);
    double mean = 0, square = 0;
    FxQuantiser q = quantiser_of(text);
    int r = q.rounding.bits ? q.rounding.bits : lane;
    assert_true(x && y);
    for (size_t i = 0; i < B * N; i++) // 1 + k / 2^r of a step in [1, 2): e4m3fn has steps of 1/8
        x[i] = 1 + 0.125f * (float)(slow_mix(seed + i) % 8) + ldexpf((float)(1 + slow_mix(i) % ((1u << (r < 12 ? r : 12)) - 1)), -3 - (r < 12 ? r : 12));
    quantise(&q, x, B * N, (FxDraw){seed, 77, 3, 0, lane}, y);
    for (size_t g = 0; g < B; g++) {
        double sum = 0, variance = 0;
        for (size_t j = 0; j < N; j++) {
            size_t i = stride == 1 ? g * N + j : g / stride * stride * N + g % stride + j * stride;
            double lo = floor(8 * (double)x[i]), nu = 8 * (double)x[i] - lo;
            sum += 8 * (double)y[i] - lo - nu;
            variance += nu * (1 - nu);
        }
        double z = sum / sqrt(variance);
        mean += z / B;
        square += z * z / B;
    }
    double variance = square - mean * mean;
    if (fabs(mean) > 5 / sqrt(B) || fabs(variance - 1) > 5 * sqrt(2.0 / B))
        fail_msg("%s, lanes of %d bits %zu apart: mean of Z %f, variance %f", text, lane, stride, mean, variance);
    free(x);
    free(y);
}

static void errors_of_different_elements_are_independent(void **state) {
    (void)state;
    check_independence("e4m3fn/stochastic:8", 8, 1, 1);
    check_independence("e4m3fn/stochastic:8", 8, 4, 2);
    check_independence("e4m3fn/stochastic:8", 8, 16, 3);
    check_independence("e4m3fn/stochastic", 32, 4, 4);
}

static double walked(const char *text, int seeds, double *deviation) {
    double sum = 0, square = 0;
    FxQuantiser q = quantiser_of(text);
    for (int s = 0; s < seeds; s++) {
        float w = 1;
        int8_t v = -1; // w - (-2^-10)
        for (uint32_t step = 0; step < 1024; step++) {
            float next = w + 0x1p-10f;
            FxArray array = {.data = &next, .type = FX_FLOAT32, .count = 1, .direction = &v};
            FxError err;
            assert_int_equal(fx_quantise(&q, NULL, &array, &(FxDraw){(uint64_t)s, 1, step, 0, 32}, &(FxOutput){.values = &w}, NULL, &err), 0);
        }
        sum += (double)w;
        square += (double)w * (double)w;
    }
    *deviation = sqrt(fmax(0, square / seeds - sum / seeds * (sum / seeds)));
    return sum / seeds;
}

static void small_steps_stagnate_under_nearest_and_not_under_random_rounding(void **state) {
    (void)state;
    double sd, nearest = walked("bf16", 1, &sd), eps = walked("bf16/signed-sr-eps:0.25", 100, &sd);
    double sr = walked("bf16/stochastic", 1000, &sd);
    if (nearest != 1 || fabs(sr - 2) > 5 * sd / sqrt(1000) || eps < sr + 0.5)
        fail_msg("1 and 1024 times 2^-10 in bf16: nearest %f, stochastic %f (deviation %f), signed-sr-eps %f", nearest, sr, sd, eps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_all_words_exactly_as_many_round_up_as_each_law_says),
        cmocka_unit_test(the_mean_of_a_million_draws_is_the_number),
        cmocka_unit_test(errors_of_different_elements_are_independent),
        cmocka_unit_test(small_steps_stagnate_under_nearest_and_not_under_random_rounding),
    };
    return cmocka_run_group_tests_name("float stochastic", tests, NULL, NULL);
}
