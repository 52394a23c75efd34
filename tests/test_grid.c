// Grids: which texts name one, and the codes of the grids that golden tables know.
#include "tests/cast.h"
#include "tests/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The families that exist. A row of grid_text.csv that needs another one must be refused as long as it is not in here.
static const struct {
    const char *grid, *behind; // and what may follow it in a canonical text
} known_grids[] = {{"fixed", "0123456789"}, {"ufixed", "0123456789"}, {"binary", "@"}, {"ternary", ":"}};
static const char *const known_scales[] = {"const", "max", "max-ceil", "max-fit", "shift", "shift-ceil", "shift-floor", "shift-unit",
                                           "shift-unit-ceil", "shift-unit-floor", "alpha"};

// Whether the canonical text (grid@scale[:parameters]/...) is of known families.
static bool is_known(const char *canonical) {
    bool grid = false, scale = false;
    for (size_t i = 0; i < sizeof known_grids / sizeof known_grids[0]; i++) {
        size_t length = strlen(known_grids[i].grid);
        grid = grid || (!strncmp(canonical, known_grids[i].grid, length) && canonical[length] &&
                        strchr(known_grids[i].behind, canonical[length]));
    }
    const char *at = strchr(canonical, '@') + 1;
    size_t length = strcspn(at, ":/");
    for (size_t i = 0; i < sizeof known_scales / sizeof known_scales[0]; i++)
        scale = scale || (strlen(known_scales[i]) == length && !strncmp(at, known_scales[i], length));
    return grid && scale;
}

static void every_text_of_the_table_is_canonical_or_an_error(void **state) {
    (void)state;
    Golden g = golden_read("grid_text.csv", 189);
    size_t read = 0, refused = 0, later = 0;
    for (size_t row = 0; row < g.rows; row++) {
        const char *text = golden_cell(&g, row, "text"), *canonical = golden_cell(&g, row, "canonical");
        char printed[FX_QUANTISER_TEXT];
        FxQuantiser q = {.overflow = (FxOverflow)77}, again;
        FxError err = {0};
        int result = fx_quantiser_parse(&q, text, &err);
        if (!strcmp(canonical, "error") || !is_known(canonical)) {
            if (result != -1 || err.exit_code != FX_EXIT_USAGE || !err.text[0] || strchr(err.text, '\n') || (int)q.overflow != 77)
                fail_msg("row %zu \"%s\" (%s): taken, or refused without exit code 2 and one line", row + 1, text, canonical);
            *(strcmp(canonical, "error") ? &later : &refused) += 1;
            continue;
        }
        if (result)
            fail_msg("row %zu \"%s\": %s", row + 1, text, err.text);
        fx_quantiser_print(printed, &q);
        if (strcmp(printed, canonical))
            fail_msg("row %zu \"%s\": %s, not %s", row + 1, text, printed, canonical);
        assert_int_equal(fx_quantiser_parse(&again, printed, &err), 0);
        fx_quantiser_print(printed, &again);
        assert_string_equal(printed, canonical);
        read++;
    }
    assert_int_equal(refused, 91);
    assert_int_equal(read + later, 98);
    if (sizeof known_grids / sizeof known_grids[0] == 4 && sizeof known_scales / sizeof known_scales[0] == 11)
        assert_int_equal(read, 38);
    golden_free(&g);
}

static void texts_no_table_has_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "/", "@", "fixed8/", "fixed8@max/", "fixed8//", "fixed8@max@", "fixed8/floor@max", "fixed8f",
        "fixed8ff3", "fixed8f3tt", "fixed8f3 ", "fixed8f12345", "fixed8f-", "fixed8.5", "ufixed8f4t", "binaryx", "binary:", "ternary:",
        "ternary:t0.5t", "ternary:t.5", "ternary:t0.5:t0.5", "binary@max-ceil", "binary@shift-unit", "binary@alpha", "ternary@alpha",
        "ternary@max-ceil", "binary/wrap", "ternary/wrap", "fixed8f3/wrap", "binary/equal", "binary/sr-eps:0.5", "binary/pseudo",
        "binary/toward-zero", "binary/odd", "binary/away", "binary/add-constant:3", "ternary/equal", "ternary/sr-eps:0.5", "ternary/pseudo",
        "ternary/add-constant:0", "ternary/signed-sr-eps:0.5", "fixed8@max/floor/saturate/", "fixed8/saturate/saturate", "fixed8\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FxQuantiser q;
        FxError err = {0};
        if (fx_quantiser_parse(&q, texts[i], &err) != -1 || err.exit_code != FX_EXIT_USAGE)
            fail_msg("\"%s\" is taken for a quantiser", texts[i]);
    }
    char text[400];
    memset(text, '8', sizeof text - 1);
    text[sizeof text - 1] = 0;
    FxQuantiser q;
    FxError err = {0};
    for (size_t n = 0; n < sizeof text - 1; n++) // no length may overrun a buffer
        assert_int_equal(fx_quantiser_parse(&q, text + n, &err), -1);
    memcpy(text, "ternary:t0.", 11);
    for (size_t n = 12; n < sizeof text; n++) {
        text[n] = 0;
        assert_int_equal(fx_quantiser_parse(&q, text, &err), n <= 28 ? 0 : -1);
        text[n] = '8';
    }
}

static void grids_end_where_their_bits_say(void **state) {
    (void)state;
    for (int bits = 1; bits <= 62; bits++)
        for (int kind = 0; kind < 3; kind++) {
            char text[32];
            snprintf(text, sizeof text, "%sfixed%d%s", kind == 2 ? "u" : "", bits, kind == 1 ? "t" : "");
            if (bits == 1 && kind < 2)
                continue;
            FxQuantiser q = quantiser_of(text);
            SlowGrid slow = slow_grid_of(&q);
            if (fx_grid_low(&q.grid) != slow.low || fx_grid_high(&q.grid) != slow.high)
                fail_msg("%s: %lld to %lld", text, (long long)fx_grid_low(&q.grid), (long long)fx_grid_high(&q.grid));
            FxType type = fx_quantiser_type(&q);
            assert_true(type_holds(type, fx_grid_low(&q.grid)) && type_holds(type, fx_grid_high(&q.grid)));
            for (uint64_t i = 0; kind > 0 && i < 400; i++) {
                int64_t x = i < 200 ? slow_fill(i, 62) : (int64_t)slow_mix(i);
                if (fx_grid_wrap(&q.grid, x) != slow_wrap(x, slow.low, bits))
                    fail_msg("%s: %lld wraps to %lld", text, (long long)x, (long long)fx_grid_wrap(&q.grid, x));
            }
        }
}

// The element whose random word is R.
static uint64_t element_with(const FxCast *cast, uint32_t R) {
    uint32_t word;
    for (uint64_t i = 0; i < 100000; i++) {
        fx_random_bits(&word, &cast->random, i, 1, cast->arg.bits, 0);
        if (word == R)
            return i;
    }
    fail_msg("no element with word %u", R);
    return 0;
}

// x = mantissa * 2^exponent as a source of one element; its code from the quantiser.
static void check_row(const Golden *g, size_t row, const FxQuantiser *q, double x) {
    int exponent = 0;
    double mantissa = frexp(x, &exponent);
    int64_t source = (int64_t)ldexp(mantissa, 53), code = -99, want = golden_int(g, row, "code");
    for (; source && source % 2 == 0; exponent++)
        source /= 2;
    exponent -= 53;
    FxScaleInput in = {.max_abs = (uint64_t)llabs(source), .exponent = source ? exponent : 0};
    FxScaleChoice choice = fx_scale_choose(&q->scale, &q->grid, &in);
    int i = 0;
    for (unsigned cpu; next_cpu(&i, &cpu);)
        for (int type = FX_INT8; type <= FX_INT64; type++) {
            FxCast cast = cast_of(q, choice.shift, cpu);
            FxStats stats = {0};
            if (!type_holds((FxType)type, source))
                continue;
            if (fx_round_modes[q->rounding.mode].needs & FX_ROUND_RANDOM)
                cast.element0 = element_with(&cast, (uint32_t)golden_unsigned(g, row, "R"));
            cast_codes(&code, &cast, (FxType)type, FX_INT16, &source, 1, &stats);
            if (code != want || ldexp((double)code, choice.exponent) != golden_double(g, row, "value_hex"))
                fail_msg("row %zu: %s of %s: code %lld, not %lld", row + 1, golden_cell(g, row, "grid"),
                         golden_cell(g, row, "in_hex"), (long long)code, (long long)want);
        }
}

static void known_values_have_the_known_codes(void **state) {
    (void)state;
    Golden g = golden_read("grids_misc.csv", 421);
    size_t checked = 0, not_finite = 0;
    for (size_t row = 0; row < g.rows; row++) {
        char text[128];
        snprintf(text, sizeof text, "%s@const:0/", golden_cell(&g, row, "grid"));
        if (!is_known(text))
            continue;
        double x = golden_double(&g, row, "in_hex");
        if (!isfinite(x)) {
            not_finite++;
            continue;
        }
        snprintf(text, sizeof text, "%s/%s/%s", golden_cell(&g, row, "grid"), golden_cell(&g, row, "mode"),
                 golden_cell(&g, row, "policy"));
        FxQuantiser q = quantiser_of(text);
        check_row(&g, row, &q, x);
        checked++;
    }
    print_message("%zu rows checked, %zu of Inf or NaN\n", checked, not_finite);
    assert_int_equal(checked + not_finite, 236);
    assert_true(checked >= 180);
    golden_free(&g);
}

// Thresholds and shifts at which m * 10^places and T * 2^shift need all their bits.
static void ternary_and_binary_codes_are_exact_at_every_shift(void **state) {
    (void)state;
    static const char *const texts[] = {"ternary", "ternary:t0", "ternary:t0.7", "ternary:t3", "ternary:t0.00000000000000001",
        "ternary:t999999999999999999", "ternary:t0.33333333333333333", "binary", "binary/nearest-zero", "binary/stochastic:8:a",
        "binary/stochastic:8:b", "binary/stochastic:8:c", "binary/stochastic:8:below", "binary/stochastic:32"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        FxQuantiser q = quantiser_of(texts[t]);
        FxCast cast = cast_of(&q, 0, 0);
        SlowGrid grid = slow_grid_of(&q);
        SlowLaw law = slow_law_of(&q, 32);
        for (int shift = -140; shift <= (strstr(texts[t], "32") ? 90 : 115); shift++)
            for (uint64_t i = 0; i < 60; i++) {
                int64_t x = slow_fill(i + (uint64_t)(shift + 200) * 64, 62);
                if (i % 3 == 0 && shift >= 0 && shift < 62) // near one step and near the threshold
                    x = (int64_t)(slow_power(shift) * (Wide)(7 * (i % 2) + 3) / 10) + (int64_t)(i / 6) - 4;
                uint32_t R = (uint32_t)(slow_mix(i) % (UINT64_C(1) << cast.arg.bits));
                bool outside;
                int64_t want = slow_code(&grid, &law, x, shift, R, &outside);
                int64_t got = q.grid.kind->code(&q.grid, &q.rounding, x, shift, R, &cast.arg);
                if (got != want)
                    fail_msg("%s: %lld / 2^%d with R %u: %lld, not %lld", texts[t], (long long)x, shift, R, (long long)got,
                             (long long)want);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_of_the_table_is_canonical_or_an_error),
        cmocka_unit_test(texts_no_table_has_are_refused),
        cmocka_unit_test(grids_end_where_their_bits_say),
        cmocka_unit_test(known_values_have_the_known_codes),
        cmocka_unit_test(ternary_and_binary_codes_are_exact_at_every_shift),
    };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
