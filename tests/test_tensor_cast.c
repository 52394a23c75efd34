// Whole tensors as training casts them, against the library's fx_quantise: every kind of scale and group, integers and float32,
// any threads; blocks along an axis that does not lie together, against a transposed copy; clip masks against their definition.
#include "sim/config.h"
#include "sim/tensor_cast.h"
#include "formats/values_f32.h"
#include "tests/cast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 6, ROW = 35 * 64, CHANNELS = 64, N = IMAGES * ROW };

static FxCast casts[CHANNELS];

static void fill(float *x, int32_t *codes, uint64_t seed) {
    for (size_t i = 0; i < N; i++) {
        double u = (double)(int64_t)slow_mix(seed * N + i) / 0x1p63;
        x[i] = (float)(u * exp2((double)(slow_mix(i + seed) % 12) - 6));
        x[i] = slow_mix(3 * i + seed) % 17 == 0 ? 0 : x[i];
        codes[i] = (int32_t)(u * 100000);
    }
}

static FxTensorCast cast_with(const FxQuantiser *q, const FxRandom *random, int64_t *state) {
    return (FxTensorCast){.q = q, .random = *random, .state = state, .observes = true, .samples = IMAGES, .channels = CHANNELS,
                          .axis = CHANNELS, .inner = 1, .casts = casts};
}

static const char *const texts[] = {
    "fp32", "e4m3fn", "e5m2/stochastic:8", "bf16/stochastic", "fixed8f7", "fixed8@max", "fixed8@max/stochastic:8", "fixed8@max-ceil/nearest-away",
    "fixed8@shift-unit", "fixed16t@autoflex", "fixed10@overflow:5:2:100/nearest-away", "log2:b4:fsr3", "ternary", "binary/stochastic", "e4m3fn@max",
    "fixed8@max.channel", "e5m2@max.sample/stochastic:8", "fixed8@real-max", "fixed8@real-max.channel/stochastic:16", "binary@real-mean.sample",
    "fixed8@max-mean", "e4m3fn@block32", "fixed8f6@block32", "e2m1fn@block32:ceil", "e5m2@block32:even/toward-zero",
};

static void every_quantiser_is_the_librarys(void **state) {
    (void)state;
    static float x[N], want[N], got[N];
    static int32_t codes[N];
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
        for (int threads = 1; threads <= 3; threads++) {
            FxQuantiser q = quantiser_of(texts[k]);
            FxRandom random = {fx_random_source(0), 32, {9, 77, 4}};
            FxDraw draw = {.seed = 9, .stream = 77, .step = 4, .lane_bits = 32};
            FxWork work = {threads, fx_cpu_detect(), NULL, 0};
            int64_t mine[FX_AUTOFLEX_WORDS] = {0}, theirs[1 << 12];
            FxError err;
            size_t groups;
            bool integers = k % 2 && !fx_scale_is_mx(&q.scale); // of both carriers
            fill(x, codes, k);
            FxTensor from = {integers ? (void *)codes : (void *)x, integers ? FX_INT32 : FX_FLOAT32, N, integers ? -14 : 0}, to = {got, FX_FLOAT32, N, 0};
            FxArray array = {.data = from.data, .type = from.type, .count = N, .exponent = from.exponent, .samples = IMAGES, .channels = CHANNELS};
            assert_int_equal(fx_quantiser_groups(&groups, &q, &array, &err), 0);
            assert_true(groups * fx_state_words(&q) <= 1 << 12);
            fx_state_start(theirs, &q, groups);
            if (q.scale.rule->start)
                q.scale.rule->start(&q.scale, &q.grid, mine);
            for (int call = 0; call < 3; call++) { // controllers move
                FxStats seen = {0}, known = {0};
                FxTensorCast cast = cast_with(&q, &random, mine);
                fx_tensor_cast(&cast, &work, &from, NULL, &to, &seen);
                assert_int_equal(fx_quantise(&q, theirs, &array, &draw, &(FxOutput){.values = want}, &known, &err), 0);
                for (size_t i = 0; i < N; i++)
                    if (memcmp(&got[i], &want[i], 4))
                        fail_msg("%s, %d threads, call %d: element %zu is %.9g, not %.9g", texts[k], threads, call, i, (double)got[i], (double)want[i]);
                if (seen.n != known.n || seen.saturated != known.saturated || seen.underflowed != known.underflowed || seen.zeros_out != known.zeros_out ||
                    seen.at_limit != known.at_limit || seen.max_abs != known.max_abs)
                    fail_msg("%s, %d threads, call %d: other counts", texts[k], threads, call);
            }
            if (fx_site_is_integer(&(FxSiteConfig){.on = true, .q = q})) { // the codes are the values
                static int64_t codes64[N];
                FxTensor carried = {codes64, FX_INT64, N, 0};
                FxStats ignored = {0};
                int64_t again[FX_AUTOFLEX_WORDS] = {0};
                if (q.scale.rule->start)
                    q.scale.rule->start(&q.scale, &q.grid, again);
                FxTensorCast cast = cast_with(&q, &random, again);
                for (int call = 0; call < 3; call++)
                    fx_tensor_cast(&cast, &work, &from, NULL, &carried, &ignored);
                for (size_t i = 0; i < N; i++)
                    if ((float)ldexp((double)codes64[i], carried.exponent) != got[i])
                        fail_msg("%s: code %lld * 2^%d, value %.9g", texts[k], (long long)codes64[i], carried.exponent, (double)got[i]);
            }
        }
}

// [outer][axis][inner] with blocks along the axis: as a transposed copy whose blocks lie together; tails padded with zeros.
static void blocks_along_any_axis_are_those_of_a_transposed_copy(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{6, 35, 64}, {1, 6, 2240}, {1, 96, 140}, {3, 64, 70}, {1, 33, 70}, {2, 1, 500}, {5, 7, 1}};
    static float x[N], turned[N], want[N], got[N];
    static int32_t ignored[N];
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0] * 3; k++) {
        static const char *const formats[] = {"e4m3fn@block32", "fixed8f6@block32", "e5m2@block16:ceil"};
        FxQuantiser q = quantiser_of(formats[k % 3]);
        size_t outer = shapes[k / 3][0], axis = shapes[k / 3][1], inner = shapes[k / 3][2], n = outer * axis * inner;
        fill(x, ignored, k);
        for (size_t o = 0; o < outer; o++)
            for (size_t a = 0; a < axis; a++)
                for (size_t i = 0; i < inner; i++)
                    turned[(o * inner + i) * axis + a] = x[(o * axis + a) * inner + i];
        FxStats seen = {0}, known = {0};
        FxError err;
        FxArray array = {.data = turned, .type = FX_FLOAT32, .count = n, .channels = axis};
        assert_int_equal(fx_quantise(&q, NULL, &array, NULL, &(FxOutput){.values = want}, &known, &err), 0);
        FxTensor from = {x, FX_FLOAT32, n, 0}, to = {got, FX_FLOAT32, n, 0};
        FxWork work = {1 + (int)(k % 3), fx_cpu_detect(), NULL, 0};
        FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {0}}, .axis = axis, .inner = inner};
        fx_tensor_cast(&cast, &work, &from, NULL, &to, &seen);
        for (size_t o = 0; o < outer; o++)
            for (size_t a = 0; a < axis; a++)
                for (size_t i = 0; i < inner; i++)
                    if (memcmp(&got[(o * axis + a) * inner + i], &want[(o * inner + i) * axis + a], 4))
                        fail_msg("%s, %zu x %zu x %zu at %zu %zu %zu", formats[k % 3], outer, axis, inner, o, a, i);
        assert_int_equal(seen.n, known.n);
        assert_int_equal(seen.zeros_in, known.zeros_in);
        assert_int_equal(seen.zeros_out, known.zeros_out);
        assert_int_equal(seen.saturated, known.saturated);
    }
}

static void masks_pass_what_lies_inside_the_grid(void **state) {
    (void)state;
    static const char *const formats[] = {"fixed8f7", "fixed8t@max-ceil", "e4m3fn", "fixed6f2", "e5m2@max"};
    static float x[N], y[N];
    static int32_t codes[N];
    static uint8_t pass[N];
    for (size_t k = 0; k < sizeof formats / sizeof formats[0] * 2; k++) {
        FxQuantiser q = quantiser_of(formats[k / 2]);
        bool integers = k % 2;
        fill(x, codes, k);
        for (size_t i = 0; i < N; i += 3)
            x[i] *= 1000, codes[i] *= 40;
        FxTensor from = {integers ? (void *)codes : (void *)x, integers ? FX_INT32 : FX_FLOAT32, N, integers ? -12 : 0}, to = {y, FX_FLOAT32, N, 0};
        FxWork work = {2, fx_cpu_detect(), NULL, 0};
        FxStats seen = {0};
        int64_t none[FX_AUTOFLEX_WORDS] = {0};
        FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {0}}, .state = none, .observes = true};
        if (integers && q.grid.kind->has_patterns) // no integer source meets a clip mask of floats in training
            continue;
        FxScaleChoice choice = fx_tensor_cast(&cast, &work, &from, pass, &to, &seen);
        bool fixed = fx_grid_is_fixed(&q.grid);
        double high = fixed ? (double)fx_grid_high(&q.grid) : q.grid.name && !strcmp(q.grid.name, "e4m3fn") ? 448 : 57344;
        double low = fixed ? (double)fx_grid_low(&q.grid) : -high;
        for (size_t i = 0; i < N; i++) {
            double value = integers ? ldexp(codes[i], -12) : (double)x[i];
            int inside = value >= ldexp(low, choice.exponent) && value <= ldexp(high, choice.exponent);
            if (pass[i] != inside)
                fail_msg("%s: %.9g %s", formats[k / 2], value, inside ? "does not pass" : "passes");
        }
    }
}

// What a site that is `none` makes of integers: the nearest float32 of code * 2^exponent, and how many are 0.
static void integers_become_the_nearest_floats(void **state) {
    (void)state;
    static const FxType types[] = {FX_INT8, FX_UINT8, FX_INT16, FX_INT32, FX_INT64};
    static const int exponents[] = {-100, -16, 0, 9, 60};
    enum { COUNT = 5000 };
    static int64_t room[COUNT];
    static float got[COUNT];
    for (int k = 0; k < 25; k++) {
        FxTensor t = {room, types[k / 5], COUNT, exponents[k % 5]};
        uint64_t zeros = 0;
        for (size_t i = 0; i < COUNT; i++) {
            int64_t code = (int64_t)slow_mix(i + 7) >> slow_mix(i) % 64;
            fx_tensor_set(&t, i, t.type == FX_INT8 ? code % 100 : t.type == FX_UINT8 ? (code & 255) : t.type == FX_INT16 ? code % 30000 : t.type == FX_INT32 ? code % INT32_MAX : code);
            zeros += fx_tensor_get(&t, i) == 0;
        }
        assert_true(zeros > 0);
        assert_int_equal(fx_values_f32(got, &t, 0, 4) + fx_values_f32(got + 4, &t, 4, COUNT - 4), zeros);
        for (size_t i = 0; i < COUNT; i++)
            if (memcmp(&got[i], &(uint32_t){fx_number_to_f32(fx_number_int(fx_tensor_get(&t, i), t.exponent))}, 4))
                fail_msg("%s %lld * 2^%d: %.9g", fx_type_name(t.type), (long long)fx_tensor_get(&t, i), t.exponent, (double)got[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_become_the_nearest_floats),
        cmocka_unit_test(every_quantiser_is_the_librarys),
        cmocka_unit_test(blocks_along_any_axis_are_those_of_a_transposed_copy),
        cmocka_unit_test(masks_pass_what_lies_inside_the_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
