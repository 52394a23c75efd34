// Roundings: known answers, every int16 through every mode and shift, exact counts over all random words, and every CPU
// path, all against the slow twin. With the argument "slow", more random bits and more values.
#include "formats/kernels.h"
#include "formats/round.h"
#include "tests/golden.h"
#include "tests/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool slow_run;

static FxRounding parse(const char *text) {
    FxRounding rounding = {0};
    FxError err = {0};
    if (fx_rounding_parse(&rounding, text, NULL, &err))
        fail_msg("%s", err.text);
    return rounding;
}

// The same rounding as the slow twin wants it told.
static SlowLaw law_of(const FxRounding *r, int width, int direction) {
    const FxRoundMode *mode = &fx_round_modes[r->mode];
    return (SlowLaw){mode->name, mode->law, r->bits ? r->bits : width, r->eps.digits, r->eps.places, r->constant, direction};
}

static bool is_random(int mode) {
    return fx_round_modes[mode].needs & FX_ROUND_RANDOM;
}

// Mode i with r random bits and parameters that are nothing special.
static FxRounding rounding_of(int mode, int bits) {
    FxRounding r = {.mode = mode, .bits = is_random(mode) ? bits : 0};
    if (strstr(fx_round_modes[mode].name, "sr-eps"))
        r.eps = (FxDecimal){3, 1};
    if (fx_round_modes[mode].needs & FX_ROUND_INTEGER)
        r.constant = 77;
    return r;
}

static void check(const FxRounding *r, int width, int64_t x, int s, uint32_t R, int direction, Wide want) {
    FxRoundArg arg = fx_round_arg(r, width);
    int64_t got = fx_round(&fx_round_modes[r->mode], x, s, R, direction, &arg);
    if (got != want) {
        char text[64];
        fx_rounding_print(text, sizeof text, r);
        fail_msg("%s, %d bits: %lld / 2^%d with R %u, direction %d: %lld, not %lld", text, arg.bits, (long long)x, s, R,
                 direction, (long long)got, (long long)want);
    }
}

static void check_slow(const FxRounding *r, int width, int64_t x, int s, uint32_t R, int direction) {
    SlowLaw law = law_of(r, width, direction);
    check(r, width, x, s, R, direction, s < 0 ? x * slow_power(-s) : slow_round(&law, x, s, R));
}

static void integer_requantisation_gives_the_known_answers(void **state) {
    (void)state;
    static const char *const modes[][2] = {
        {"FLOOR", "floor"}, {"CEIL", "ceil"}, {"RTZ", "toward-zero"}, {"RTA", "away"}, {"RHU", "nearest-up"},
        {"RHD", "nearest-down"}, {"RNE", "nearest-even"}, {"RNA", "nearest-away"}, {"RNZ", "nearest-zero"},
        {"RTO", "odd"}, {"NITI_PSEUDO", "pseudo"},
    };
    static const char *const laws[] = {"a", "b", "c"}; // all alike where every dropped bit meets a random one
    Golden g = golden_read("int_requant.csv", 1089);
    for (size_t row = 0; row < g.rows; row++) {
        int64_t v = golden_int(&g, row, "v");
        int s = (int)golden_int(&g, row, "shift");
        uint32_t R = (uint32_t)golden_unsigned(&g, row, "R");
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
            FxRounding r = parse(modes[i][1]);
            check(&r, 32, v, s, 0, 0, golden_int(&g, row, modes[i][0]));
            check_slow(&r, 32, v, s, 0, 0);
        }
        for (int i = 0; i < 3; i++) {
            char text[32];
            snprintf(text, sizeof text, "stochastic:%d:%s", s, laws[i]);
            FxRounding r = parse(text);
            check(&r, 32, v, s, R, 0, golden_int(&g, row, "SR_FLOOR"));
        }
    }
    golden_free(&g);
}

static void stochastic_laws_give_the_known_answers(void **state) {
    (void)state;
    static const struct {
        const char *column, *text;
        int direction;
    } laws[] = {
        {"A", "stochastic:%d:a", 0}, {"B", "stochastic:%d:b", 0}, {"C", "stochastic:%d:c", 0}, {"C", "stochastic:%d", 0},
        {"BELOW", "stochastic:%d:below", 0}, {"EQUAL", "equal", 0}, {"SR_EPS_25", "sr-eps:0.25:%d", 0},
        {"SR_EPS_10", "sr-eps:0.1:%d", 0}, {"SIGNED_25_POS", "signed-sr-eps:0.25:%d", 1},
        {"SIGNED_25_NEG", "signed-sr-eps:0.25:%d", -1}, {"ADD_0", "add-constant:0", 0}, {"ADD_77", "add-constant:77", 0},
        {"ADD_128", "add-constant:128", 0}, {"ADD_255", "add-constant:255", 0}, {"PSEUDO", "pseudo", 0},
    };
    Golden g = golden_read("int_stochastic.csv", 343);
    for (size_t row = 0; row < g.rows; row++) {
        int64_t v = golden_int(&g, row, "v");
        int s = (int)golden_int(&g, row, "shift"), bits = (int)golden_int(&g, row, "r");
        uint32_t R = (uint32_t)golden_unsigned(&g, row, "R");
        for (size_t i = 0; i < sizeof laws / sizeof laws[0]; i++) {
            char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(text, sizeof text, laws[i].text, bits);
#pragma GCC diagnostic pop
            FxRounding r = parse(text);
            check(&r, bits, v, s, R, laws[i].direction, golden_int(&g, row, laws[i].column));
            check_slow(&r, bits, v, s, R, laws[i].direction);
        }
    }
    golden_free(&g);
}

static void pseudo_rounding_has_the_known_bias(void **state) {
    (void)state;
    Golden g = golden_read("niti_pseudo_bias.csv", 16);
    FxRounding r = parse("pseudo");
    FxRoundArg arg = fx_round_arg(&r, 32);
    for (size_t row = 0; row < g.rows; row++) {
        int s = (int)golden_int(&g, row, "shift");
        int64_t n = golden_int(&g, row, "remainders"), ups = 0;
        assert_true(n == slow_power(s));
        for (int64_t x = 0; x < n; x++) {
            int64_t up = fx_round(&fx_round_modes[r.mode], x, s, 0, 0, &arg);
            if (fx_round(&fx_round_modes[r.mode], -x, s, 0, 0, &arg) != -up || fx_round(&fx_round_modes[r.mode], x + 5 * n, s, 0, 0, &arg) != up + 5)
                fail_msg("shift %d: %lld is rounded unlike its negative or itself plus 5 steps", s, (long long)x);
            ups += up;
        }
        double mean = (double)ups / (double)n, ideal = (double)(n - 1) / (double)(2 * n);
        if (ups != golden_int(&g, row, "ups") || mean - ideal != golden_double(&g, row, "mean_bias_ulp"))
            fail_msg("shift %d: %lld ups of %lld, not %s", s, (long long)ups, (long long)n, golden_cell(&g, row, "ups"));
    }
    golden_free(&g);
}

// Random modes with all words of r bits, signed ones in three directions.
static void check_every_int16(int mode, int bits) {
    FxRounding r = rounding_of(mode, bits);
    int directions = fx_round_modes[mode].needs & FX_ROUND_DIRECTION ? 1 : 0;
    uint32_t words = is_random(mode) ? UINT32_C(1) << bits : 1;
    for (int s = 0; s <= 15; s++)
        for (int x = INT16_MIN; x <= INT16_MAX; x++)
            for (int direction = -directions; direction <= directions; direction++)
                for (uint32_t R = 0; R < words; R++)
                    check_slow(&r, bits, x, s, R, direction);
}

static void every_int16_is_rounded_right_in_every_mode(void **state) {
    (void)state;
    for (int mode = 0; mode < FX_ROUND_MODES; mode++)
        for (int bits = 1; bits <= (is_random(mode) ? slow_run ? 5 : 1 : 1); bits++)
            check_every_int16(mode, bits);
}

// formats.md 6.4, test 1: over all words of r bits.
static void check_ups(int mode, int bits, int64_t x, int s, int direction) {
    FxRounding r = rounding_of(mode, bits);
    FxRoundArg arg = fx_round_arg(&r, bits);
    SlowLaw law = law_of(&r, bits, direction);
    bool on_magnitude;
    uint64_t want = slow_ups(&law, x, s, &on_magnitude), ups = 0, words = UINT64_C(1) << bits;
    bool away = on_magnitude && x < 0;
    int64_t down = (int64_t)(away ? -slow_floor(-x, slow_power(s)) : slow_floor(x, slow_power(s)));
    int64_t up = away ? down - 1 : down + 1;
    for (uint64_t R = 0; R < words; R++) {
        int64_t q = fx_round(&fx_round_modes[mode], x, s, (uint32_t)R, direction, &arg);
        if (q != up && q != down)
            fail_msg("%s r %d: %lld / 2^%d with R %llu: %lld is no neighbour", law.name, bits, (long long)x, s,
                     (unsigned long long)R, (long long)q);
        ups += q == up;
    }
    if (ups != want)
        fail_msg("%s %s r %d direction %d: %lld / 2^%d: %llu of %llu words move it up, not %llu", law.name,
                 law.variant ? law.variant : "", bits, direction, (long long)x, s, (unsigned long long)ups,
                 (unsigned long long)words, (unsigned long long)want);
}

static void stochastic_rounding_goes_up_for_exactly_the_right_number_of_words(void **state) {
    (void)state;
    for (int mode = 0; mode < FX_ROUND_MODES; mode++) {
        if (!is_random(mode))
            continue;
        int directions = fx_round_modes[mode].needs & FX_ROUND_DIRECTION ? 1 : 0;
        for (int direction = -directions; direction <= directions; direction++) {
            for (int bits = 1; bits <= 8; bits++)
                for (int s = 1; s <= 10; s++)
                    for (int64_t x = -(1 << s); x <= 1 << s; x += bits + s > 14 ? 5 : 1)
                        check_ups(mode, bits, x, s, direction);
            for (int bits = 9; bits <= 16; bits++)
                for (uint64_t i = 0; i < (slow_run ? 400 : 12); i++) {
                    int s = 1 + (int)(slow_mix(i) % 40);
                    check_ups(mode, bits, slow_fill(i * 16 + (uint64_t)bits, s + 3), s, direction);
                }
        }
    }
}

static void stochastic_rounding_is_unbiased_where_every_dropped_bit_meets_a_random_one(void **state) {
    (void)state;
    FxRoundArg arg = {.bits = 6};
    for (int mode = 0; mode < FX_ROUND_MODES; mode++)
        if (fx_round_modes[mode].law)
            for (int s = 1; s <= 6; s++)
                for (int x = -300; x <= 300; x++) {
                    int64_t sum = 0;
                    for (uint32_t R = 0; R < 64; R++)
                        sum += fx_round(&fx_round_modes[mode], x, s, R, 0, &arg);
                    if (sum * (1 << s) != x * 64)
                        fail_msg("stochastic %s: %d / 2^%d has mean %lld / 64", fx_round_modes[mode].law, x, s,
                                 (long long)sum);
                }
}

// Random bits, and words at both ends of their range.
static const int word_bits[] = {1, 8, 16, 31, 32};

static uint32_t word(uint64_t i, int bits) {
    uint64_t all = UINT64_C(1) << bits, r = slow_mix(i + 99991);
    return (uint32_t)(r % 8 == 0 ? 0 : r % 8 == 1 ? all - 1 : r % 8 == 2 ? all / 2 : r / 8 % all);
}

static void shifts_far_beyond_the_value_are_rounded_right(void **state) {
    (void)state;
    for (int mode = 0; mode < FX_ROUND_MODES; mode++)
        for (int b = 0; b < 5; b++) {
            FxRounding r = rounding_of(mode, word_bits[b]);
            int last = is_random(mode) ? 124 - word_bits[b] : fx_round_modes[mode].needs & FX_ROUND_INTEGER ? 117 : 124;
            if (!strcmp(fx_round_modes[mode].name, "pseudo"))
                last = 125;
            for (int s = 1; s <= last; s++)
                for (uint64_t i = 0; i < (slow_run ? 2000 : 100); i++)
                    for (int direction = -1; direction <= 1; direction++)
                        check_slow(&r, word_bits[b], slow_fill(i * 128 + (uint64_t)s, 62), s, word(i, word_bits[b]), direction);
        }
}

// From 2^-61 of a step downwards every law sees only the sign of what is left.
static void shifts_without_end_change_nothing_any_more(void **state) {
    (void)state;
    for (int mode = 0; mode < FX_ROUND_MODES; mode++)
        for (uint64_t i = 0; i < 200; i++) {
            FxRounding r = rounding_of(mode, 8);
            int64_t x = slow_fill(i, 62);
            SlowLaw law = law_of(&r, 8, 0);
            Wide want = slow_round(&law, x > 0 ? 1 : x < 0 ? -1 : 0, 100, word(i, 8));
            for (int s = 124; s < 3000; s += s < 130 ? 1 : 97)
                check(&r, 8, x, s, word(i, 8), 0, want);
        }
}

static void left_shifts_are_exact_in_every_mode(void **state) {
    (void)state;
    for (int mode = 0; mode < FX_ROUND_MODES; mode++) {
        FxRounding r = rounding_of(mode, 8);
        for (int s = 0; s >= -60; s--)
            for (uint64_t i = 0; i < 20; i++)
                check_slow(&r, 8, slow_fill(i, 62 + s), s, word(i, 8), 1);
        for (int s = -61; s > -200; s--)
            check(&r, 8, 0, s, 255, 1, 0);
    }
}

static void every_cpu_path_rounds_arrays_like_the_specification(void **state) {
    (void)state;
    enum { MOST = 8192 };
    static int64_t v[MOST], q[MOST + 1], want[MOST];
    static uint32_t R[MOST];
    size_t n = slow_run ? MOST - 1 : 387; // odd, so that every loop has a tail
    for (int mode = 0; mode < FX_ROUND_MODES; mode++)
        for (int b = 0; b < (is_random(mode) ? 5 : 1); b++)
            for (int s = 1; s <= 62; s++) {
                FxRounding r = rounding_of(mode, word_bits[b]);
                FxRoundArg arg = fx_round_arg(&r, word_bits[b]);
                SlowLaw law = law_of(&r, word_bits[b], 0);
                for (size_t i = 0; i < n; i++) {
                    v[i] = slow_fill(i * 64 + (uint64_t)s, 62);
                    R[i] = word(i * 3 + (uint64_t)s, word_bits[b]);
                    want[i] = (int64_t)slow_round(&law, v[i], s, R[i]);
                }
                for (int l = 0; fx_kernels_line(l); l++) {
                    const FxKernels *line = fx_kernels_line(l);
                    if ((line->cpu & fx_cpu_detect()) != line->cpu)
                        continue;
                    q[n] = 0x5A5A;
                    line->round[mode](q, v, n, s, is_random(mode) ? R : NULL, &arg);
                    for (size_t i = 0; i < n; i++)
                        if (q[i] != want[i])
                            fail_msg("%s: %s %s r %d: %lld / 2^%d with R %u: %lld, not %lld", line->name, law.name,
                                     law.variant ? law.variant : "", word_bits[b], (long long)v[i], s, R[i],
                                     (long long)q[i], (long long)want[i]);
                    assert_int_equal(q[n], 0x5A5A);
                }
            }
}

static void every_text_the_parser_takes_is_printed_canonically(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"stochastic:1", "stochastic:1:c"}, {"stochastic:32:a", NULL}, {"stochastic:16:b", NULL},
        {"sr-eps:0.5000", "sr-eps:0.5"}, {"sr-eps:0.000000001:32", NULL}, {"signed-sr-eps:0.1", NULL},
        {"sr-eps:0.99999999999999999:1", NULL}, {"add-constant:0", NULL}, {"add-constant:255", NULL},
        {"signed-sr-eps:0.250:9", "signed-sr-eps:0.25:9"}, {"equal", NULL}, {"stochastic", NULL},
    };
    char printed[64];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FxRounding r = parse(texts[i][0]);
        fx_rounding_print(printed, sizeof printed, &r);
        assert_string_equal(printed, texts[i][1] ? texts[i][1] : texts[i][0]);
    }
    for (int mode = 0; mode < FX_ROUND_MODES; mode++) {
        FxRounding r = rounding_of(mode, 7);
        if (strcmp(fx_round_modes[mode].name, "add-constant"))
            r.constant = 0;
        if (!strcmp(fx_round_modes[mode].name, "equal"))
            r.bits = 0;
        fx_rounding_print(printed, sizeof printed, &r);
        FxRounding again = parse(printed);
        if (again.mode != r.mode || again.bits != r.bits || again.constant != r.constant ||
            again.eps.digits != r.eps.digits || again.eps.places != r.eps.places)
            fail_msg("mode %d prints %s, which is another rounding", mode, printed);
    }
}

static void the_roundings_of_the_grid_table_parse_and_print(void **state) {
    (void)state;
    Golden g = golden_read("grid_text.csv", 189);
    size_t legal = 0, illegal = 0;
    for (size_t row = 0; row < g.rows; row++) {
        const char *text = golden_cell(&g, row, "text"), *canonical = golden_cell(&g, row, "canonical");
        char part[64], printed[64];
        FxRounding r;
        FxError err;
        if (sscanf(canonical, "%*[^/]/%63[^/]", part) == 1) {
            r = parse(part);
            fx_rounding_print(printed, sizeof printed, &r);
            assert_string_equal(printed, part);
            legal++;
        }
        const char *written = strchr(text, '/');
        if (written && sscanf(written, "/%63[^/]", part) == 1 && fx_rounding_parse(&r, part, NULL, &err) == 0) {
            fx_rounding_print(printed, sizeof printed, &r);
            if (strcmp(canonical, "error") && !strstr(canonical, printed))
                fail_msg("%s: rounding %s, not in %s", text, printed, canonical);
        } else if (!strncmp(text, "fixed8/", 7) && !strcmp(canonical, "error")) {
            illegal++;
        }
    }
    assert_int_equal(legal, 98);
    assert_int_equal(illegal, 12); // grid fixed8 alone, so that only the rounding can be wrong
    golden_free(&g);
}

static void texts_that_are_no_rounding_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", ":", "nearest", "nearest-odd", "Floor", " floor", "floor ", "floor:", "floor:1", "equal:1", "pseudo:1", "stochastic:",
        "stochastic:0", "stochastic:33", "stochastic:08", "stochastic:+8", "stochastic:-8", "stochastic:8:", "stochastic:8:A",
        "stochastic:8:d", "stochastic:8:c:", "stochastic:8:c:c", "stochastic:below", "stochastic:8.5", "stochastic:4294967304",
        "sr-eps", "sr-eps:", "sr-eps:0", "sr-eps:0.0", "sr-eps:1", "sr-eps:1.0", "sr-eps:.5", "sr-eps:0.", "sr-eps:00.5", "sr-eps:-0.5",
        "sr-eps:+0.5", "sr-eps:0.5:0", "sr-eps:0.5:33", "sr-eps:0.5:8:a", "sr-eps:1e-3", "sr-eps:0,5", "signed-sr-eps",
        "signed-sr-eps:2", "add-constant", "add-constant:", "add-constant:256", "add-constant:-1", "add-constant:01",
        "add-constant:1:1", "saturate", "wrap", "stochastic:8:below ", "nearest-even/", "sr-eps:0.5:8:", "sr-eps:nan",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FxRounding r = {.mode = -7};
        FxError err = {0};
        if (fx_rounding_parse(&r, texts[i], NULL, &err) != -1 || err.exit_code != FX_EXIT_USAGE || r.mode != -7)
            fail_msg("\"%s\" is taken for a rounding, or the result is touched, or the exit code is not 2", texts[i]);
        if (!err.text[0] || strchr(err.text, '\n'))
            fail_msg("\"%s\": the message is not one line", texts[i]);
    }
}

// e near 1 rounds to 2^r itself: every inexact value then moves.
static void sr_eps_rounds_its_bias_to_the_random_bits_exactly(void **state) {
    (void)state;
    static const char *const eps[] = {"0.1", "0.25", "0.5", "0.999", "0.0000000001", "0.9999999999", "0.99999999999999999"};
    for (size_t i = 0; i < sizeof eps / sizeof eps[0]; i++)
        for (int bits = 1; bits <= 32; bits++)
            for (int name = 0; name < 2; name++) {
                char text[64];
                snprintf(text, sizeof text, "%ssr-eps:%s:%d", name ? "signed-" : "", eps[i], bits);
                FxRounding r = parse(text);
                if (fx_round_arg(&r, 32).eps != slow_eps(r.eps.digits, r.eps.places, bits))
                    fail_msg("%s: EPS = %llu, not %llu", text, (unsigned long long)fx_round_arg(&r, 32).eps,
                             (unsigned long long)slow_eps(r.eps.digits, r.eps.places, bits));
                for (uint64_t n = 0; n < 40; n++)
                    check_slow(&r, 32, slow_fill(n, 40), 1 + (int)n, word(n, bits), (int)(n % 3) - 1);
            }
}

int main(int argc, char **argv) {
    slow_run = argc > 1 && !strcmp(argv[1], "slow");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_requantisation_gives_the_known_answers),
        cmocka_unit_test(stochastic_laws_give_the_known_answers),
        cmocka_unit_test(pseudo_rounding_has_the_known_bias),
        cmocka_unit_test(every_int16_is_rounded_right_in_every_mode),
        cmocka_unit_test(stochastic_rounding_goes_up_for_exactly_the_right_number_of_words),
        cmocka_unit_test(stochastic_rounding_is_unbiased_where_every_dropped_bit_meets_a_random_one),
        cmocka_unit_test(shifts_far_beyond_the_value_are_rounded_right),
        cmocka_unit_test(shifts_without_end_change_nothing_any_more),
        cmocka_unit_test(left_shifts_are_exact_in_every_mode),
        cmocka_unit_test(every_cpu_path_rounds_arrays_like_the_specification),
        cmocka_unit_test(every_text_the_parser_takes_is_printed_canonically),
        cmocka_unit_test(the_roundings_of_the_grid_table_parse_and_print),
        cmocka_unit_test(texts_that_are_no_rounding_are_refused),
        cmocka_unit_test(sr_eps_rounds_its_bias_to_the_random_bits_exactly),
    };
    return cmocka_run_group_tests_name("round", tests, NULL, NULL);
}
