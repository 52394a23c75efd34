// Grids: which texts name one, and the codes of the grids that golden tables know.
#include "formats/bits_f32.h"
#include "tests/cast.h"
#include "tests/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_text_of_the_table_is_canonical_or_an_error(void **state) {
    (void)state;
    Golden g = golden_read("grid_text.csv", 189);
    size_t read = 0, refused = 0;
    for (size_t row = 0; row < g.rows; row++) {
        const char *text = golden_cell(&g, row, "text"), *canonical = golden_cell(&g, row, "canonical");
        char printed[FX_QUANTISER_TEXT];
        FxQuantiser q = {.overflow = (FxOverflow)77}, again;
        FxError err = {0};
        int result = fx_quantiser_parse(&q, text, &err);
        if (!strcmp(canonical, "error")) {
            if (result != -1 || err.exit_code != FX_EXIT_USAGE || !err.text[0] || strchr(err.text, '\n') || (int)q.overflow != 77)
                fail_msg("row %zu \"%s\" (%s): taken, or refused without exit code 2 and one line", row + 1, text, canonical);
            refused++;
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
    assert_int_equal(read, 98);
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

static void known_values_have_the_known_codes(void **state) {
    (void)state;
    Golden g = golden_read("grids_misc.csv", 421);
    for (size_t row = 0; row < g.rows; row++) {
        char text[128], got[FX_NUMBER_HEX];
        snprintf(text, sizeof text, "%s/%s/%s", golden_cell(&g, row, "grid"), golden_cell(&g, row, "mode"),
                 golden_cell(&g, row, "policy"));
        FxQuantiser q = quantiser_of(text);
        double x = golden_double(&g, row, "in_hex"), max = 0;
        if (*golden_cell(&g, row, "max_hex"))
            max = golden_double(&g, row, "max_hex");
        FxRoundArg round = fx_round_arg(&q.rounding, 8);
        FxEncodeArg arg = {.anchor = fx_inq_anchor(fx_number_f64(fx_double_bits(max))), .arg = &round};
        if (*golden_cell(&g, row, "R"))
            arg.R = (uint32_t)golden_unsigned(&g, row, "R");
        FxNumber number = fx_number_f64(fx_double_bits(x));
        number.exponent += q.grid.fraction; // in units of the code
        int64_t code = fx_encode(&q, number, &arg).code, want = strtoll(golden_cell(&g, row, "code"), NULL, 0);
        FxNumber value = q.grid.kind->decode(&q.grid, code, arg.anchor);
        value.exponent -= q.grid.fraction;
        fx_number_print_hex(got, value);
        bool nan = value.class_of == FX_NAN && !strcmp(golden_cell(&g, row, "value_hex"), "nan");
        if (code != want || (!nan && strtod(got, NULL) != golden_double(&g, row, "value_hex")))
            fail_msg("row %zu: %s of %s: code %lld of value %s, not %lld and %s", row + 1, text, golden_cell(&g, row, "in_hex"),
                     (long long)code, got, (long long)want, golden_cell(&g, row, "value_hex"));
    }
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
                FxEncodeArg arg = {R, 0, 0, &cast.arg};
                int64_t got = fx_encode(&q, fx_number_int(x, -shift), &arg).code;
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
