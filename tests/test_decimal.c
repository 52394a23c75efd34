// Decimal texts and the scalars read from them: known answers, and exact arithmetic in 128 bits.
#include "formats/decimal.h"
#include "tests/golden.h"
#include "tests/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void scalars_have_the_known_mantissas_and_exponents(void **state) {
    (void)state;
    Golden g = golden_read("scalars.csv", 76);
    for (size_t row = 0; row < g.rows; row++) {
        const char *text = golden_cell(&g, row, "text");
        FxScalar s;
        FxError err = {0};
        if (fx_scalar_parse(&s, text, &err))
            fail_msg("%s: %s", text, err.text);
        if (s.mantissa != golden_int(&g, row, "mantissa") || s.exponent != golden_int(&g, row, "exponent"))
            fail_msg("%s: %d * 2^%d, not %s * 2^%s", text, s.mantissa, s.exponent, golden_cell(&g, row, "mantissa"),
                     golden_cell(&g, row, "exponent"));
    }
    golden_free(&g);
}

// |value - mantissa * 2^exponent| is at most half a unit, ties even, for a / b of 40 bits each.
static void scalars_of_quotients_are_rounded_once_to_nearest_even(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t a = slow_mix(2 * i) % (UINT64_C(1) << (1 + i % 40)), b = 1 + slow_mix(2 * i + 1) % (UINT64_C(1) << (1 + i / 40 % 40));
        char text[64];
        snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)a, (unsigned long long)b);
        FxScalar s;
        FxError err;
        assert_int_equal(fx_scalar_parse(&s, text, &err), 0);
        if (a == 0) {
            assert_true(s.mantissa == 0 && s.exponent == 0);
            continue;
        }
        // error in units of 2^exponent / b: a * 2^-exponent - mantissa * b
        Wide n = (Wide)a, d = (Wide)b;
        if (s.exponent > 0)
            d *= slow_power(s.exponent);
        else
            n *= slow_power(-s.exponent);
        Wide twice = 2 * (n - s.mantissa * d), m = twice < 0 ? -twice : twice;
        bool half_below = s.mantissa == 16384 && twice < 0; // the spacing below a power of two is half
        if (s.mantissa < 16384 || s.mantissa > 32767 || m > d || (m == d && s.mantissa % 2) || (half_below && 2 * m > d))
            fail_msg("%s: %d * 2^%d", text, s.mantissa, s.exponent);
    }
}

static void texts_that_are_no_scalar_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "-", "+1", "--1", ".5", "1.", "1.5.2", "1e", "1e-", "1e5x", "1e1.5", "e5", "1/", "/2", "1/0", "0/0",
        "1/-2", "1.5/2", "1/2.5", "1/2e3", "1 ", " 1", "0x10", "nan", "inf", "1e999", "1e-999", "1,5", "1e301", "1e99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FxScalar s = {7, 7};
        FxError err = {0};
        if (fx_scalar_parse(&s, texts[i], &err) != -1 || err.exit_code != FX_EXIT_USAGE || s.mantissa != 7 || s.exponent != 7)
            fail_msg("\"%s\" is read as %d * 2^%d, or the exit code is not 2", texts[i], s.mantissa, s.exponent);
    }
    char longest[500];
    memset(longest, '1', 400);
    strcpy(longest + 400, "e300");
    FxScalar s;
    FxError err;
    assert_int_equal(fx_scalar_parse(&s, longest, &err), 0);
    memcpy(longest, "0.", 2);
    strcpy(longest + 400, "e-300");
    assert_int_equal(fx_scalar_parse(&s, longest, &err), 0);
    memset(longest, '1', 401);
    longest[401] = 0;
    assert_int_equal(fx_scalar_parse(&s, longest, &err), -1);
}

static void decimals_are_read_and_printed_without_needless_zeros(void **state) {
    (void)state;
    static const char *const good[][2] = {{"0", "0"}, {"0.0", "0"}, {"0.50", "0.5"}, {"10", "10"}, {"10.010", "10.01"},
        {"0.00000000000000001", "0.00000000000000001"}, {"999999999999999999", "999999999999999999"}, {"1.000", "1"}};
    static const char *const bad[] = {"", ".", ".5", "5.", "00", "01", "00.5", "-1", "+1", "1e3", "0.5 ", " 0.5", "1.2.3", "0..5",
        "1234567890123456789", "0.000000000000000001", "0x1", "1/2"};
    char text[64];
    FxDecimal d;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(fx_decimal_parse(&d, good[i][0]), 0);
        fx_decimal_print(text, sizeof text, &d);
        assert_string_equal(text, good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fx_decimal_parse(&d, bad[i]) == 0)
            fail_msg("\"%s\" is taken for a decimal", bad[i]);
}

static void decimals_scale_exactly(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        FxDecimal d = {slow_mix(i) % (i % 3 ? 1000 : UINT64_C(1000000000000000000)), (int)(i % 19)};
        if (i % 5 == 0) // a sum of powers of two: its codes are whole
            d = (FxDecimal){slow_mix(i) % 4096 * 15625, 6}; // k / 64
        Wide unit = 1;
        for (int p = 0; p < d.places; p++)
            unit *= 10;
        if (fx_decimal_floor(&d) != (uint64_t)((Wide)d.digits / unit))
            fail_msg("floor of %llu / 10^%d", (unsigned long long)d.digits, d.places);
        for (int shift = -66; shift <= 66; shift++) {
            // value * 2^shift = digits * 2^shift / 10^places
            Wide top = shift > 0 ? (Wide)d.digits * slow_power(shift) : (Wide)d.digits;
            Wide bottom = shift < 0 ? unit * slow_power(-shift) : unit;
            if (shift >= 0 && shift <= 60 && top / unit < slow_power(62) &&
                fx_decimal_scale(&d, shift) != (int64_t)slow_eps(d.digits, d.places, shift))
                fail_msg("%llu / 10^%d * 2^%d", (unsigned long long)d.digits, d.places, shift);
            int64_t code = -5;
            bool whole = top % bottom == 0 && top / bottom < slow_power(62);
            if (fx_decimal_code(&code, &d, shift) != whole || code != (whole ? (int64_t)(top / bottom) : -5))
                fail_msg("code of %llu / 10^%d * 2^%d: %lld", (unsigned long long)d.digits, d.places, shift, (long long)code);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_the_known_mantissas_and_exponents),
        cmocka_unit_test(scalars_of_quotients_are_rounded_once_to_nearest_even),
        cmocka_unit_test(texts_that_are_no_scalar_are_refused),
        cmocka_unit_test(decimals_are_read_and_printed_without_needless_zeros),
        cmocka_unit_test(decimals_scale_exactly),
    };
    return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
