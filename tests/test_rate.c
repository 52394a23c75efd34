// Rates inside a schedule's item: warm-ups against 128-bit integers, cosines against MPFR, exact cases, and texts that are
// put together from known good and bad words.
#include "sim/rate.h"
#include "sim/rate_f32.h"
#include "sim/schedule.h"
#include "tests/slow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef FX_MPFR
#include <mpfr.h>
#endif

static FxRate rate_of(const char *text, uint64_t steps_per_epoch) {
    FxRate rate;
    FxError err;
    if (fx_rate_parse(&rate, text, steps_per_epoch, 1, &err))
        fail_msg("\"%s\": %s", text, err.text);
    assert_true(rate.start == 0 && rate.stop == 0);
    return rate;
}

static FxScalar scalar_of(const char *text) {
    FxScalar s;
    FxError err;
    assert_int_equal(fx_scalar_parse(&s, text, &err), 0);
    return s;
}

static bool equal(FxScalar a, FxScalar b) {
    return a.mantissa == b.mantissa && a.exponent == b.exponent;
}

static void expect(const FxRate *rate, uint64_t step, FxScalar want) {
    FxScalar got = fx_rate_at(rate, step);
    if (!equal(got, want))
        fail_msg("%d * 2^%d, %d * 2^%d, warm-up %llu, [%llu, %llu), step %llu: %d * 2^%d, not %d * 2^%d", rate->from.mantissa, rate->from.exponent,
                 rate->end.mantissa, rate->end.exponent, (unsigned long long)rate->warmup, (unsigned long long)rate->start,
                 (unsigned long long)rate->stop, (unsigned long long)step, got.mantissa, got.exponent, want.mantissa, want.exponent);
}

// a / b to 15 bits, nearest even; 0 < a, b < 2^70
static FxScalar quotient(Wide a, Wide b) {
    int e = 0;
    for (; a >= b * 32768; e++)
        b *= 2;
    for (; a < b * 16384; e--)
        a *= 2;
    Wide q = a / b, twice = 2 * (a % b);
    q += twice > b || (twice == b && q % 2);
    return q == 32768 ? (FxScalar){16384, e + 1} : (FxScalar){(int32_t)q, e};
}

static void float64_becomes_the_nearest_scalar(void **state) {
    (void)state;
    static const char *const texts[] = {"0.1", "1/3", "8", "0.02", "1e-300", "1e300", "0", "32767.5", "32766.5", "-32766.5", "-0.3", "16383.75", "2e-20"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double x = strcmp(texts[i], "1/3") ? strtod(texts[i], NULL) : 1.0 / 3;
        FxScalar s = fx_scalar_of(x), want = scalar_of(texts[i]);
        if (!equal(s, want))
            fail_msg("%s: %d * 2^%d", texts[i], s.mantissa, s.exponent);
    }
    for (uint64_t i = 0; i < 200000; i++) {
        int64_t k = (int64_t)(slow_mix(i) % (UINT64_C(1) << (1 + i % 52))) + 1;
        if (i % 4 == 0) // a tie or next to it
            k = (int64_t)((32768 + slow_mix(i) % 32768) * 512) + (int64_t)(slow_mix(i) / 65536 % 3) - 1;
        int e = (int)(slow_mix(i + 1) % 1900) - 950;
        FxScalar want = quotient(k, 1), up = fx_scalar_of(ldexp((double)k, e)), down = fx_scalar_of(-ldexp((double)k, e));
        want.exponent += e;
        if (!equal(up, want) || !equal(down, (FxScalar){-want.mantissa, want.exponent}))
            fail_msg("%lld * 2^%d: %d * 2^%d", (long long)k, e, up.mantissa, up.exponent);
        if (fx_scalar_value(want) != (double)want.mantissa * pow(2, want.exponent) || !equal(fx_scalar_of(fx_scalar_value(want)), want))
            fail_msg("value of %d * 2^%d", want.mantissa, want.exponent);
    }
    assert_true(equal(fx_scalar_of(0x1.0001p-1070), (FxScalar){16384, -1084}) && equal(fx_scalar_of(-0.0), (FxScalar){0, 0}));
    assert_true(fx_scalar_value((FxScalar){16384, -1088}) == 0x1p-1074 && fx_scalar_value((FxScalar){16384, 1010}) == HUGE_VAL);
    assert_true(fx_scalar_value((FxScalar){0, 0}) == 0 && fx_scalar_value((FxScalar){-26214, -18}) == -0.09999847412109375);
}

// 0.1 = 26214 * 2^-18: three quarters of it are a tie.
static void exact_cases_come_out_exactly(void **state) {
    (void)state;
    FxRate rate = rate_of("0.1 warmup:4s cosine:0", 100);
    rate.start = 10;
    rate.stop = 20;
    static const FxScalar want[] = {{26214, -20}, {26214, -19}, {19660, -18}, {26214, -18}, {26214, -18}, {24458, -18}, {19660, -18}, {26214, -19},
                                    {26214, -20}, {28096, -22}, {0, 0}, {0, 0}};
    for (uint64_t i = 0; i < sizeof want / sizeof want[0]; i++)
        expect(&rate, 10 + i, want[i]);
    expect(&rate, UINT64_MAX, (FxScalar){0, 0});
    rate = rate_of("\t 0.1 cosine:1e-4\t warmup:2e  ", 3); // [0, 0): over before it begins
    assert_true(rate.warmup == 6 && rate.cosine && equal(rate.end, scalar_of("1e-4")) && equal(rate.from, scalar_of("0.1")));
    expect(&rate, 0, scalar_of("1e-4"));
    rate.stop = 5; // ends in its warm-up
    expect(&rate, 4, quotient(26214 * 5, (Wide)6 << 18));
    expect(&rate, 5, rate.end);
    rate.stop = 6;
    expect(&rate, 5, rate.from);
    expect(&rate, 6, rate.end);
    rate.stop = UINT64_MAX; // the longest
    expect(&rate, 6, rate.from);
    expect(&rate, UINT64_MAX - 1, rate.end);
    rate = rate_of("0 warmup:3s cosine:1e-300", 1);
    rate.stop = 5;
    for (uint64_t i = 0; i < 4; i++)
        expect(&rate, i, (FxScalar){0, 0});
    expect(&rate, 4, (FxScalar){rate.end.mantissa, rate.end.exponent - 1});
    static const FxScalar least = {16384, -2000}, most = {32767, 2000}, zero = {0, 0};
    rate = (FxRate){.from = zero, .cosine = true, .end = least, .stop = 2};
    expect(&rate, 1, (FxScalar){16384, -2001});
    rate = (FxRate){.from = least, .cosine = true, .end = zero, .warmup = 2, .stop = 4};
    expect(&rate, 0, (FxScalar){16384, -2001});
    expect(&rate, 3, (FxScalar){16384, -2001});
    rate = (FxRate){.from = least, .cosine = true, .end = most, .stop = 2};
    expect(&rate, 1, (FxScalar){32767, 1999});
    for (int k = 0; k < 2; k++) { // half of 1 + 2^-15: a tie
        rate = (FxRate){.from = {16384, k ? -29 : -14}, .cosine = true, .end = {16384, k ? -14 : -29}, .stop = 2};
        expect(&rate, 1, (FxScalar){16384, -15});
    }
    rate = (FxRate){.cosine = true, .stop = 7};
    expect(&rate, 3, zero);
}

static void a_plain_rate_never_moves(void **state) {
    (void)state;
    static const char *const texts[] = {"0.02", "0", "1/8", "1e-300", "8", "0.1 warmup:0s", "0.1 warmup:0e", "3 warmup:1s"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FxRate rate = rate_of(texts[i], 50);
        rate.start = 3;
        rate.stop = 9;
        for (uint64_t step = 3; step < 20; step++)
            expect(&rate, step, rate.from);
        expect(&rate, UINT64_MAX, rate.from);
    }
}

static void warm_ups_are_rounded_once(void **state) {
    (void)state;
    static const char *const texts[] = {"0.1", "8", "1/3", "32767", "1e-9", "0.02"};
    for (uint64_t i = 0; i < 100000; i++) {
        FxRate rate = {.from = scalar_of(texts[i % 6]), .start = slow_mix(i) % 1000, .stop = UINT64_MAX, .cosine = i % 2};
        rate.warmup = 1 + (i % 3 ? slow_mix(i + 7) % 600 : slow_mix(i + 7) % (UINT64_C(1) << 36));
        uint64_t t = slow_mix(i + 9) % rate.warmup;
        FxScalar want = quotient((Wide)rate.from.mantissa * (t + 1), rate.warmup);
        want.exponent += rate.from.exponent;
        expect(&rate, rate.start + t, want);
        expect(&rate, rate.start + rate.warmup - 1, rate.from);
        expect(&rate, rate.start + rate.warmup, rate.from);
    }
    FxRate rate = rate_of("0.1 warmup:999999999999999e", UINT64_MAX);
    assert_true(rate.warmup == UINT64_MAX);
    expect(&rate, UINT64_MAX - 1, rate.from);
    expect(&rate, UINT64_MAX, rate.from);
    expect(&rate, 0, (FxScalar){rate.from.mantissa, rate.from.exponent - 64});
}

#ifdef FX_MPFR
// The definition at 400 bits; the cosine's weight at 200, so that the rational ones are exact.
static FxScalar by_mpfr(const FxRate *rate, uint64_t step) {
    mpfr_t a, b, w, y;
    mpfr_inits2(400, a, b, y, (mpfr_ptr)0);
    mpfr_init2(w, 200);
    mpfr_const_pi(y, MPFR_RNDN);
    mpfr_mul_ui(y, y, step - rate->start - rate->warmup, MPFR_RNDN);
    mpfr_div_ui(y, y, rate->stop - rate->start - rate->warmup, MPFR_RNDN);
    mpfr_cos(y, y, MPFR_RNDN);
    mpfr_add_ui(y, y, 1, MPFR_RNDN);
    mpfr_div_ui(w, y, 2, MPFR_RNDN);
    mpfr_set_si_2exp(a, rate->from.mantissa, rate->from.exponent, MPFR_RNDN);
    mpfr_set_si_2exp(b, rate->end.mantissa, rate->end.exponent, MPFR_RNDN);
    mpfr_sub(y, a, b, MPFR_RNDN);
    mpfr_mul(y, y, w, MPFR_RNDN);
    mpfr_add(y, y, b, MPFR_RNDN);
    mpfr_prec_round(y, 15, MPFR_RNDN);
    FxScalar s = {0, 0};
    if (!mpfr_zero_p(y)) {
        s.exponent = (int32_t)mpfr_get_exp(y) - 15;
        mpfr_mul_2si(y, y, -s.exponent, MPFR_RNDN);
        s.mantissa = (int32_t)mpfr_get_si(y, MPFR_RNDN);
    }
    mpfr_clears(a, b, w, y, (mpfr_ptr)0);
    return s;
}
#endif

static void cosines_are_those_of_mpfr(void **state) {
    (void)state;
#ifdef FX_MPFR
    static const char *const ends[][2] = {{"0.1", "0"}, {"0.02", "1e-4"}, {"8", "1/8"}, {"1e-4", "0.1"}, {"0", "3"}, {"1", "0.99"}, {"0.3", "1e-30"},
                                          {"1e-12", "5"}, {"1/3", "1/3"}};
    enum { PAIRS = sizeof ends / sizeof ends[0] };
    for (uint64_t i = 0; i < 90000; i++) {
        FxRate rate = {.from = scalar_of(ends[i % PAIRS][0]), .end = scalar_of(ends[i % PAIRS][1]), .cosine = true};
        uint64_t n = 1 + slow_mix(i) % (UINT64_C(1) << (slow_mix(i + 4) % 21)), at = slow_mix(i + 1) % n;
        if (i % 7 == 0) // next to an end
            at = i % 2 ? n - 1 - at % 8 % n : at % 8 % n;
        if (i % 7 == 1) // at a sixth
            at = n / 6 * (at % 6), n = n < 6 ? n : n / 6 * 6;
        rate.start = i % 5 ? 0 : slow_mix(i + 2) % 100000;
        rate.warmup = i % 3 ? 0 : slow_mix(i + 3) % 500;
        rate.stop = rate.start + rate.warmup + n;
        uint64_t step = rate.start + rate.warmup + at;
        if (at > 0 || rate.from.mantissa)
            expect(&rate, step, by_mpfr(&rate, step));
        expect(&rate, rate.stop, rate.end);
    }
    mpfr_free_cache();
#else
    skip();
#endif
}

static bool refused(const char *text) {
    FxRate rate, before;
    FxError err = {0};
    memset(&rate, 0x5A, sizeof rate);
    before = rate;
    if (fx_rate_parse(&rate, text, 100, 1, &err) == 0)
        return false;
    if (err.exit_code != FX_EXIT_USAGE || memcmp(&rate, &before, sizeof rate) || !strstr(err.text, "known: NUMBER [warmup:") || strchr(err.text, '\n') ||
        strncmp(err.text + 1, text, strlen(text) < FX_VALUE ? strlen(text) : FX_VALUE - 1))
        fail_msg("\"%s\": exit code %d, \"%s\"", text, err.exit_code, err.text);
    return true;
}

static void texts_that_are_no_rate_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"", " ", "\t", "x", "-1", "-1/8", "0.1 0.1", "cosine:0", "warmup:5s", "warmup:5s 0.1", "cosine:0 0.1", "0.1 cosine:",
        "0.1 cosine", "0.1 cosine:-1", "0.1 cosine:-1e-9", "0.1 cosine:0 cosine:0", "0.1 cosine:x", "0.1 cosine:0,", "0.1 Cosine:0", "0.1 cosine :0",
        "0.1 cosine: 0", "0.1 warmup:", "0.1 warmup", "0.1 warmup:5", "0.1 warmup:s", "0.1 warmup:e", "0.1 warmup:5x", "0.1 warmup:5ss", "0.1 warmup:5se",
        "0.1 warmup:-5s", "0.1 warmup:1.5e", "0.1 warmup:1/2e", "0.1 warmup:0s warmup:5s", "0.1 warmup:5s warmup:5s", "0.1 warmup:1000000000000000s",
        "0.1 cosine:0 warmup:5s x", "0.1 linear:0", "0.1,cosine:0", "0.1cosine:0", "1/0", "1e999", "nan", "inf", "0.1 cosine:inf", "+0.1", "0.1 cosine:1/0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!refused(bad[i]))
            fail_msg("\"%s\" is taken for a rate", bad[i]);
    char longest[3 * FX_VALUE];
    for (size_t n = FX_VALUE - 3; n < 2 * FX_VALUE; n++) { // a word that does not fit, first and last
        snprintf(longest, sizeof longest, "0.%0*d", (int)n - 2, 5);
        assert_int_equal(refused(longest), n >= FX_VALUE);
        snprintf(longest, sizeof longest, "0.1 cosine:0.%0*d", (int)n - 9, 5);
        assert_int_equal(refused(longest), n >= FX_VALUE);
        snprintf(longest, sizeof longest, "0.1 warmup:%0*ds", (int)n - 8, 5);
        assert_true(refused(longest));
    }
}

static void words_put_together_are_read_by_the_rule(void **state) {
    (void)state;
    static const struct {
        const char *text;
        char kind; // number, warm-up, cosine, nothing
    } words[] = {{"0.1", 'n'}, {"1/8", 'n'}, {"-0", 'n'}, {"1e-4", 'n'}, {"warmup:5s", 'w'}, {"warmup:007e", 'w'}, {"warmup:0s", 'w'}, {"cosine:0", 'c'},
                 {"cosine:1/3", 'c'}, {"cosine:-0.0", 'c'}, {"-1", 0}, {"cosine:-1", 0}, {"warmup:5", 0}, {"@", 0}};
    int read = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        char text[200] = "";
        int count[128] = {0};
        bool good = true;
        uint64_t n = slow_mix(i) % 5;
        for (uint64_t w = 0; w < n; w++) {
            size_t pick = slow_mix(i * 8 + w) % (w ? i % 2 ? 14 : 10 : 11);
            pick = w == 0 && i % 3 ? pick % 4 : w > 0 && i % 3 ? 4 + pick % 6 : pick;
            strcat(text, w == 0 ? i % 16 ? "" : "\t " : i % 5 ? " " : " \t");
            strcat(text, words[pick].text);
            good = good && words[pick].kind && (words[pick].kind == 'n') == (w == 0) && ++count[(int)words[pick].kind] == 1;
        }
        if (refused(text) != (!good || n == 0))
            fail_msg("\"%s\" is %s", text, good ? "refused" : "read");
        read += good && n > 0;
        if (n == 0)
            continue;
        static const char bytes[] = "0123456789 .:/-+esaw@x\t\xFF"; // rubbish: nothing outside is read or written
        for (int k = 0; k < 3; k++)
            text[slow_mix(i + (uint64_t)k) % strlen(text)] = bytes[slow_mix(i * 3 + (uint64_t)k) % (sizeof bytes - 1)];
        refused(text);
    }
    assert_true(read > 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float64_becomes_the_nearest_scalar),
        cmocka_unit_test(exact_cases_come_out_exactly),
        cmocka_unit_test(a_plain_rate_never_moves),
        cmocka_unit_test(warm_ups_are_rounded_once),
        cmocka_unit_test(cosines_are_those_of_mpfr),
        cmocka_unit_test(texts_that_are_no_rate_are_refused),
        cmocka_unit_test(words_put_together_are_read_by_the_rule),
    };
    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
