// Edges of arrays, states and texts that a table of known answers does not hold.
#include "formats/quantiser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static FxQuantiser *quantiser(const char *text) {
    FxError err;
    FxQuantiser *q = fx_quantiser_new(text, NULL, &err);
    if (!q)
        fail_msg("%s", err.text);
    return q;
}

static void quantise(const FxQuantiser *q, int64_t *state, const FxArray *x, const FxOutput *y, FxStats *stats) {
    FxError err;
    if (fx_quantise(q, state, x, NULL, y, stats, &err))
        fail_msg("%s", err.text);
}

// Random bits at the end of what 32-bit kernels hold: far numbers must saturate, and be counted, as float64 ones do.
static void numbers_far_beyond_a_fixed_grid_saturate_with_any_number_of_random_bits(void **state) {
    (void)state;
    static const float x[] = {1e30f, -1e30f, 5000, 1e6f, -256, 255.75f, 0.25f, 62500, 3e9f, -7};
    enum { N = sizeof x / sizeof x[0] };
    double wide[N];
    for (int i = 0; i < N; i++)
        wide[i] = (double)x[i];
    for (int bits = 2; bits <= 24; bits++)
        for (int r = 1; r <= 32; r++)
            for (int kind = 0; kind < 6; kind++) {
                char text[64];
                static const char *const grids[] = {"fixed", "ufixed", "fixed"}, *const laws[] = {"c", "a"};
                snprintf(text, sizeof text, "%s%df0%s/stochastic:%d:%s", grids[kind / 2], bits, kind / 2 == 2 ? "t" : "", r, laws[kind % 2]);
                FxQuantiser *q = quantiser(text);
                float narrow_out[N], wide_out[N];
                FxStats narrow = {0}, exact = {0};
                quantise(q, NULL, &(FxArray){.data = x, .type = FX_FLOAT32, .count = N}, &(FxOutput){.values = narrow_out}, &narrow);
                quantise(q, NULL, &(FxArray){.data = wide, .type = FX_FLOAT64, .count = N}, &(FxOutput){.values = wide_out}, &exact);
                if (memcmp(narrow_out, wide_out, sizeof wide_out) || narrow.saturated != exact.saturated)
                    fail_msg("%s: %llu saturated, not %llu", text, (unsigned long long)narrow.saturated, (unsigned long long)exact.saturated);
                fx_quantiser_free(q);
            }
}

static void an_empty_array_moves_no_state(void **state) {
    (void)state;
    static const char *const texts[] = {"fixed16@autoflex", "fixed10@overflow:5:1:100", "fixed8@max", "inq:b5"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        FxQuantiser *q = quantiser(texts[t]);
        int64_t memory[64], before[64];
        size_t size = fx_state_words(q) * sizeof *memory, groups;
        FxError err;
        FxArray none = {.data = memory, .type = FX_FLOAT32};
        assert_true(size <= sizeof memory);
        fx_state_start(memory, q, 1);
        memcpy(before, memory, size);
        for (int i = 0; i < 20; i++)
            quantise(q, memory, &none, &(FxOutput){0}, NULL);
        assert_memory_equal(memory, before, size);
        assert_int_equal(fx_quantiser_groups(&groups, q, &none, &err), 0);
        assert_int_equal(groups, 0);
        fx_quantiser_free(q);
    }
}

static void zeros_keep_the_last_exponent_of_inq(void **state) {
    (void)state;
    FxQuantiser *q = quantiser("inq:b5");
    const float x[2] = {8, -1}, zeros[2] = {0, 0};
    int64_t memory[1];
    int32_t exponent;
    fx_state_start(memory, q, 1);
    quantise(q, memory, &(FxArray){.data = x, .type = FX_FLOAT32, .count = 2}, &(FxOutput){.exponents = &exponent}, NULL);
    assert_int_equal(exponent, 3);
    quantise(q, memory, &(FxArray){.data = zeros, .type = FX_FLOAT32, .count = 2}, &(FxOutput){.exponents = &exponent}, NULL);
    assert_int_equal(exponent, 3);
    fx_quantiser_free(q);
}

static void a_small_mean_of_integer_maxima_is_no_zero(void **state) {
    (void)state;
    FxQuantiser *q = quantiser("fixed8f0@max-mean");
    const int32_t x[3] = {1, 0, 0};
    float values[3];
    quantise(q, NULL, &(FxArray){.data = x, .type = FX_INT32, .count = 3, .exponent = -5, .samples = 3}, &(FxOutput){.values = values}, NULL);
    assert_true(values[0] == 0x1p-5f && values[1] == 0);
    fx_quantiser_free(q);
}

// Blocks of zeros, subnormals, Inf and NaN beside ordinary ones: the same as each block alone.
static void every_block_of_mx_stands_alone(void **state) {
    (void)state;
    enum { BLOCKS = 70, N = BLOCKS * 32 };
    static const char *const texts[] = {"e4m3fn@block32", "fixed8f6@block32", "e2m1fn@block32:even", "e5m2@block32:ceil", "bf16@block32"};
    static float x[N], together[N], alone[N];
    for (int i = 0; i < N; i++) {
        int b = i / 32;
        x[i] = b % 7 == 0 ? (i & 1 ? -0.0f : 0.0f) : (float)(i * 37 % 101 - 50) * (b % 7 == 3 ? 0x1p-140f : b % 7 == 5 ? 0x1p90f : 0.37f);
    }
    x[9 * 32 + 4] = 1.0f / 0.0f;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        FxQuantiser *q = quantiser(texts[t]);
        uint8_t mx[BLOCKS], one;
        FxStats all = {0}, sum = {0};
        quantise(q, NULL, &(FxArray){.data = x, .type = FX_FLOAT32, .count = N}, &(FxOutput){.values = together, .mx = mx}, &all);
        for (int b = 0; b < BLOCKS; b++) {
            quantise(q, NULL, &(FxArray){.data = x + b * 32, .type = FX_FLOAT32, .count = 32}, &(FxOutput){.values = alone + b * 32, .mx = &one}, &sum);
            if (one != mx[b] || memcmp(together + b * 32, alone + b * 32, 32 * sizeof *x))
                fail_msg("%s: block %d: scale 0x%02x among others, 0x%02x alone", texts[t], b, mx[b], one);
        }
        assert_int_equal(all.zeros_out, sum.zeros_out);
        assert_int_equal(all.saturated, sum.saturated);
        assert_int_equal(mx[0], 0);
        assert_int_equal(mx[9], 0xFF);
        fx_quantiser_free(q);
    }
}

static void long_texts_are_printed_whole(void **state) {
    (void)state;
    static const char *const texts[] = {
        "fixed62f-9999t@overflow:-65:9999999:1000000.channel/signed-sr-eps:0.12345678901234567:32/wrap",
        "float:e8m11:bias127:p3109:normz:uf-flush@max-fit.block9999999/signed-sr-eps:0.12345678901234567:32/propagate",
        "ternary:t0.12345678901234567@shift-floor.block1234567/toward-zero/saturate"};
    int parsed = 0;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        char once[FX_QUANTISER_TEXT], again[FX_QUANTISER_TEXT];
        FxError err;
        FxQuantiser *q = fx_quantiser_new(texts[t], NULL, &err);
        if (!q) // the pairing may be refused; the text is not what is wrong
            continue;
        fx_quantiser_print(once, q);
        assert_string_equal(once, texts[t]);
        fx_quantiser_free(q);
        q = quantiser(once);
        fx_quantiser_print(again, q);
        assert_string_equal(again, once);
        fx_quantiser_free(q);
        parsed++;
    }
    assert_true(parsed >= 2);
}

static void arrays_that_no_quantiser_takes_are_refused(void **state) {
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const int32_t k[6] = {1, 2, 3, 4, 5, 6};
    static const struct {
        const char *text, *names;
        FxType type;
        int exponent;
        size_t samples, channels;
        int lane;
    } wrong[] = {
        {"fixed8", "exponent 3", FX_FLOAT32, 3, 0, 0, 0},
        {"fixed8", "exponent 2000000000", FX_INT32, 2000000000, 0, 0, 0},
        {"fixed8@max.sample", "4 samples", FX_FLOAT32, 0, 4, 0, 0},
        {"fixed8@max.channel", "4 channels", FX_FLOAT32, 0, 0, 4, 0},
        {"fixed8/pseudo", "pseudo", FX_FLOAT32, 0, 0, 0, 0},
        {"fixed8/signed-sr-eps:0.1", "signs of the amounts", FX_FLOAT32, 0, 0, 0, 0},
        {"fixed8/stochastic:16", "16 bits", FX_FLOAT32, 0, 0, 0, 8},
        {"fixed8/stochastic", "7 bits", FX_INT32, 0, 0, 0, 7},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        FxQuantiser *q = quantiser(wrong[i].text);
        float values[6] = {9, 9, 9, 9, 9, 9};
        FxArray array = {.data = wrong[i].type == FX_FLOAT32 ? (const void *)x : k, .type = wrong[i].type, .count = 6,
                         .exponent = wrong[i].exponent, .samples = wrong[i].samples, .channels = wrong[i].channels};
        FxError err = {0};
        int result = fx_quantise(q, NULL, &array, &(FxDraw){.lane_bits = wrong[i].lane}, &(FxOutput){.values = values}, NULL, &err);
        if (result != -1 || err.exit_code != FX_EXIT_USAGE || !strstr(err.text, wrong[i].names) || values[0] != 9)
            fail_msg("%s: result %d, \"%s\" does not name \"%s\"", wrong[i].text, result, err.text, wrong[i].names);
        fx_quantiser_free(q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_far_beyond_a_fixed_grid_saturate_with_any_number_of_random_bits),
        cmocka_unit_test(an_empty_array_moves_no_state),
        cmocka_unit_test(zeros_keep_the_last_exponent_of_inq),
        cmocka_unit_test(a_small_mean_of_integer_maxima_is_no_zero),
        cmocka_unit_test(every_block_of_mx_stands_alone),
        cmocka_unit_test(long_texts_are_printed_whole),
        cmocka_unit_test(arrays_that_no_quantiser_takes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
