// Scale rules: exact logarithms, known answers from the maximum to the codes, and every rule against loops over exponents.
#include "formats/direction.h"
#include "tests/cast.h"
#include "tests/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_logs(uint64_t m) {
    int f = fx_log2_floor(m), c = fx_log2_ceil(m), n = fx_log2_nearest(m);
    if (f != slow_log2_floor(m) || c != slow_log2_ceil(m) || n != slow_log2_nearest(m))
        fail_msg("log2 of %llu: floor %d, ceil %d, nearest %d", (unsigned long long)m, f, c, n);
}

static void logarithms_are_exact_for_every_number_below_2_to_20_and_at_every_edge(void **state) {
    (void)state;
    for (uint64_t m = 1; m < UINT64_C(1) << 20; m++)
        check_logs(m);
    uint64_t root = UINT64_C(0xB504F333F9DE6484); // near sqrt(2) * 2^63, then of every lower power
    for (int k = 0; k < 64; k++, root /= 2)
        for (uint64_t d = 0; d < 5; d++) {
            uint64_t power = UINT64_C(1) << k;
            check_logs(root + d > 2 ? root + d - 2 : 1);
            check_logs(power + d > 2 ? power + d - 2 : 1);
            check_logs(UINT64_MAX - d);
        }
    for (uint64_t i = 0; i < 100000; i++)
        check_logs((slow_mix(i) >> slow_mix(i + 1000000) % 64) | 1);
}

// wage.md 2.3.
static void the_nearest_logarithm_has_the_known_answers(void **state) {
    (void)state;
    static const uint64_t known[][2] = {{1, 0}, {2, 1}, {3, 2}, {5, 2}, {6, 3}, {11, 3}, {12, 4}, {22, 4}, {23, 5}, {45, 5},
        {46, 6}, {90, 6}, {91, 7}, {181, 7}, {182, 8}, {362, 8}, {363, 9}, {741455, 19}, {741456, 20}, {23726566, 24},
        {23726567, 25}, {1518500249, 30}, {1518500250, 31}, {2147483647, 31}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (fx_log2_nearest(known[i][0]) != (int)known[i][1])
            fail_msg("round(log2 %llu) = %d", (unsigned long long)known[i][0], fx_log2_nearest(known[i][0]));
}

static size_t read_codes(int64_t *codes, size_t room, const char *text) {
    size_t n = 0;
    char *end = NULL;
    for (const char *p = text; *p; p = end) {
        if (n == room)
            fail_msg("more than %zu codes in \"%s\"", room, text);
        codes[n++] = strtoll(p, &end, 10);
        if (end == p)
            fail_msg("no codes: \"%s\"", text);
        while (*end == ' ')
            end++;
    }
    return n;
}

// First the maximum, then the choice, then the codes.
static FxScaleChoice choose(const FxQuantiser *q, const int64_t *x, size_t n, FxType type, int exponent, int lower, unsigned cpu) {
    FxTensor t = tensor_of(type, x, n);
    FxScaleInput in = {.max_abs = fx_kernels(cpu)->max_abs(t.data, t.type, n), .exponent = exponent, .lower = lower};
    tensor_free(&t);
    return fx_scale_choose(&q->scale, &q->grid, &in);
}

static void integer_rows_of_the_table_give_the_known_scales_and_codes(void **state) {
    (void)state;
    enum { ROOM = 16 };
    Golden g = golden_read("scale_rules.csv", 325);
    size_t checked = 0, casts = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (strcmp(golden_cell(&g, row, "source"), "int"))
            continue;
        const char *text = golden_cell(&g, row, "text"), *scale = golden_cell(&g, row, "scale");
        FxQuantiser q = quantiser_of(text);
        int64_t x[ROOM], want[ROOM], y[ROOM];
        int unit = (int)golden_int(&g, row, "unit"), exponent = (int)golden_int(&g, row, "exponent"), i = 0;
        size_t n = read_codes(x, ROOM, golden_cell(&g, row, "in"));
        assert_int_equal(read_codes(want, ROOM, golden_cell(&g, row, "codes")), n);
        for (unsigned cpu; next_cpu(&i, &cpu);)
            for (int in = FX_INT8; in <= FX_INT64; in++) {
                bool fits = true;
                for (size_t j = 0; j < n; j++)
                    fits = fits && type_holds((FxType)in, x[j]);
                if (!fits)
                    continue;
                FxScaleChoice choice = choose(&q, x, n, (FxType)in, unit, 0, cpu);
                bool discards = q.scale.rule->discards;
                if (choice.exponent != exponent || (*scale && !discards && choice.shift != exponent - unit) ||
                    (*scale && discards && choice.shift != atoi(scale) - q.grid.fraction - unit))
                    fail_msg("row %zu %s: shift %d exponent %d, not %s and %d", row + 1, text, choice.shift, choice.exponent,
                             scale, exponent);
                for (int out = FX_INT8; out <= FX_INT64; out++) {
                    FxCast cast = cast_of(&q, choice.shift, cpu);
                    FxStats stats = {0};
                    if (out == FX_UINT8)
                        continue;
                    cast_codes(y, &cast, (FxType)in, (FxType)out, x, n, &stats);
                    for (size_t j = 0; j < n; j++)
                        if (y[j] != want[j])
                            fail_msg("row %zu %s: code %lld of %lld, not %lld", row + 1, text, (long long)y[j],
                                     (long long)x[j], (long long)want[j]);
                    casts++;
                }
            }
        checked++;
    }
    assert_int_equal(checked, 133);
    assert_true(casts >= 133 * 8);
    golden_free(&g);
}

static void every_rule_chooses_what_a_loop_over_exponents_finds(void **state) {
    (void)state;
    static const char *const grids[] = {"fixed8", "fixed2", "fixed8t", "fixed8f0", "fixed8f-3", "fixed16f3", "fixed62", "fixed62t",
                                        "ufixed1", "ufixed8", "ufixed62", "ufixed5f9", "binary", "ternary"};
    size_t checked = 0;
    for (size_t g = 0; g < sizeof grids / sizeof grids[0]; g++)
        for (int r = 0; fx_scale_rule(r); r++) {
            const FxScaleRule *rule = fx_scale_rule(r);
            FxGrid grid;
            FxError err;
            FxScale scale = {.rule = rule};
            assert_int_equal(fx_grid_parse(&grid, grids[g], NULL, &err), 0);
            if (rule->sample_mean || rule->real || rule->seeks || !strcmp(rule->name, "block"))
                continue; // of many groups, no shift, or with a state
            if (!rule->needs_maximum || (rule->only_fixed && !fx_grid_is_fixed(&grid)))
                continue;
            for (uint64_t i = 0; i < 3000; i++) {
                uint64_t max = i < 600 ? i + 1 : (uint64_t)llabs(slow_fill(i, 62)) + 1;
                FxScaleInput in = {.max_abs = max, .exponent = (int)(slow_mix(i) % 60) - 40,
                                   .lower = rule->is_shift ? (int)(i % 20) - 8 : 0, .last = 99};
                int exponent, bits = grid.bits - grid.is_signed;
                int shift = slow_scale(&exponent, rule->name, (uint64_t)fx_grid_high(&grid), bits, grid.fraction, in.lower, max);
                exponent += rule->discards ? 0 : in.exponent;
                FxScaleChoice choice = fx_scale_choose(&scale, &grid, &in);
                if (choice.shift != shift || choice.exponent != exponent)
                    fail_msg("%s@%s, max %llu * 2^%d, lower %d: shift %d exponent %d, not %d and %d", grids[g], rule->name,
                             (unsigned long long)max, in.exponent, in.lower, choice.shift, choice.exponent, shift, exponent);
                checked++;
            }
        }
    assert_true(checked == 3000 * (12 * 9 + 2 * 5));
}

static void max_fit_is_the_smallest_shift_that_saturates_nothing(void **state) {
    (void)state;
    FxQuantiser q = quantiser_of("fixed8@max-fit/away");
    for (int64_t max = 1; max < 70000; max++) {
        FxScaleInput in = {.max_abs = (uint64_t)max};
        FxScaleChoice choice = fx_scale_choose(&q.scale, &q.grid, &in);
        SlowLaw away = {.name = "away"};
        if (slow_round(&away, max, choice.shift, 0) > 127 || (choice.shift > 0 && slow_round(&away, max, choice.shift - 1, 0) <= 127))
            fail_msg("max %lld: shift %d", (long long)max, choice.shift);
    }
}

static void constant_and_alpha_scales_do_not_look_at_the_maximum(void **state) {
    (void)state;
    for (int e = -40; e <= 40; e += 3)
        for (int unit = -40; unit <= 40; unit += 7) {
            char text[32];
            snprintf(text, sizeof text, "fixed8f5@const:%d", e);
            FxQuantiser fixed = quantiser_of(text), alpha = quantiser_of("fixed8f5@alpha");
            FxScaleInput in = {.max_abs = UINT64_MAX, .exponent = unit, .alpha = e, .last = 7};
            for (int zero = 0; zero < 2; zero++, in.max_abs = 0) {
                FxScaleChoice c = fx_scale_choose(&fixed.scale, &fixed.grid, &in);
                FxScaleChoice a = fx_scale_choose(&alpha.scale, &alpha.grid, &in);
                if (c.exponent != e - 5 || c.shift != e - 5 - unit)
                    fail_msg("%s, unit %d: shift %d exponent %d", text, unit, c.shift, c.exponent);
                if (a.exponent != -5 - e || a.shift != -5 - unit)
                    fail_msg("fixed8f5@alpha 2^%d, unit %d: shift %d exponent %d", e, unit, a.shift, a.exponent);
            }
        }
}

static void a_source_of_zeros_keeps_the_last_exponent(void **state) {
    (void)state;
    for (int r = 0; fx_scale_rule(r); r++) {
        const FxScaleRule *rule = fx_scale_rule(r);
        FxScale scale = {.rule = rule};
        FxQuantiser q = quantiser_of("fixed8f5");
        FxScaleInput in = {.exponent = -20, .last = 13};
        if (!rule->needs_maximum || !strcmp(rule->name, "block")) // MX says 2^-127
            continue;
        FxScaleChoice choice = fx_scale_choose(&scale, &q.grid, &in);
        if (choice.exponent != (rule->discards ? -5 : 13))
            fail_msg("%s: exponent %d of zeros", rule->name, choice.exponent);
        FxCast cast = cast_of(&q, choice.shift, 0);
        FxStats stats = {0};
        int64_t x[3] = {0, 0, 0}, y[3] = {1, 1, 1};
        cast_codes(y, &cast, FX_INT32, FX_INT8, x, 3, &stats);
        assert_true(y[0] == 0 && y[1] == 0 && y[2] == 0 && stats.zeros_in == 3 && stats.zeros_out == 3);
    }
}

// wage.md 2.4, Q_E.
static void wage_errors_have_the_known_codes(void **state) {
    (void)state;
    static const struct {
        int64_t x[8];
        size_t n;
        int nearest;
        int64_t codes[8];
    } known[] = {
        {{5, -90, 90, 64, -1, 0, 91, 3}, 8, 7, {5, -90, 90, 64, -1, 0, 91, 3}},
        {{1000, -1448, 1449, 7, 4, -4, 12, -12}, 8, 11, {62, -90, 91, 0, 0, 0, 1, -1}},
        {{1448, -1000, 6, 2, -2, 3}, 6, 10, {127, -125, 1, 0, 0, 0}},
        {{3, -2, 1, 0}, 4, 2, {96, -64, 32, 0}},
    };
    FxQuantiser q = quantiser_of("fixed8@shift-unit");
    for (size_t k = 0; k < 4; k++) {
        int i = 0;
        for (unsigned cpu; next_cpu(&i, &cpu);) {
            int64_t y[8];
            FxStats stats = {0};
            FxScaleChoice choice = choose(&q, known[k].x, known[k].n, FX_INT32, -13, 0, cpu);
            assert_int_equal(choice.shift, known[k].nearest - 7);
            assert_int_equal(choice.exponent, -7);
            FxCast cast = cast_of(&q, choice.shift, cpu);
            cast_codes(y, &cast, FX_INT32, FX_INT8, known[k].x, known[k].n, &stats);
            for (size_t j = 0; j < known[k].n; j++)
                if (y[j] != known[k].codes[j])
                    fail_msg("vector %zu: %lld becomes %lld", k + 1, (long long)known[k].x[j], (long long)y[j]);
        }
    }
}

static void the_maximum_is_right_for_every_type_length_and_cpu_path(void **state) {
    (void)state;
    static const int widths[] = {7, 8, 15, 31, 62};
    for (int type = FX_INT8; type <= FX_INT64; type++)
        for (size_t n = 0; n <= 2100; n += n < 80 ? 1 : 403)
            for (uint64_t seed = 0; seed < 3; seed++) {
                int64_t x[2100] = {0};
                uint64_t max = 0;
                for (size_t j = 0; j < n; j++) {
                    x[j] = slow_fill(seed * 5000 + j, seed ? widths[type] : 3);
                    x[j] = type == FX_UINT8 ? llabs(x[j]) : x[j];
                    max = (uint64_t)llabs(x[j]) > max ? (uint64_t)llabs(x[j]) : max;
                }
                if (seed == 2 && n > 0 && type != FX_UINT8) { // the most negative code
                    x[slow_mix(n) % n] = -(INT64_C(1) << widths[type]);
                    max = UINT64_C(1) << widths[type];
                }
                FxTensor t = tensor_of((FxType)type, x, n);
                int i = 0;
                for (unsigned cpu; next_cpu(&i, &cpu);) {
                    uint64_t got = fx_kernels(cpu)->max_abs(t.data, t.type, n);
                    if (got != max)
                        fail_msg("%s, %zu elements of %s: %llu, not %llu", fx_kernels(cpu)->name, n, fx_type_name(t.type),
                                 (unsigned long long)got, (unsigned long long)max);
                }
                tensor_free(&t);
            }
}

static void scale_texts_are_printed_as_they_are_read_and_others_refused(void **state) {
    (void)state;
    static const char *const good[] = {"const:0", "const:-5", "const:9999", "max", "max-ceil", "max-fit", "shift", "shift-ceil",
                                       "shift-floor", "shift-unit", "shift-unit-ceil", "shift-unit-floor", "alpha", "direction:1", "direction:100",
                                       "direction:9999999"};
    static const char *const bad[] = {"", "const", "const:", "const:x", "const:-0", "const:00", "const:05", "const:-05", "const:+5",
        "const:5 ", "const:--5", "const:10000", "const:-", "maximum", "max-", "max:1", "Max", "shift-unit-", "alpha:2", " max", "none", "direction:", "direction:0", "direction:-1", "direction:05",
        "direction:10000000", "direction:100.channel", "direction:100:2", "directions"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        FxScale scale;
        FxError err;
        char text[32];
        assert_int_equal(fx_scale_parse(&scale, good[i], &err), 0);
        fx_scale_print(text, sizeof text, &scale);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FxScale scale = {.parameter = {-77}};
        FxError err = {0};
        if (fx_scale_parse(&scale, bad[i], &err) != -1 || err.exit_code != FX_EXIT_USAGE || scale.parameter[0] != -77)
            fail_msg("\"%s\" is taken for a scale", bad[i]);
    }
}

// ---- direction

static void a_direction_stands_its_offset_below_max(void **state) {
    (void)state;
    FxQuantiser max = quantiser_of("fixed8@max"), direction = quantiser_of("fixed8@direction:3");
    int64_t words[FX_DIRECTION_WORDS];
    for (int j = 0; j < FX_DIRECTION_OFFSETS; j++)
        for (int floats = 0; floats < 2; floats++)
            for (uint64_t m = 1; m < 5000; m += 7) {
                FxScaleInput in = {.max_abs = m, .exponent = -9, .is_float = floats, .last = 4, .state = words};
                fx_direction_begin(&direction.scale, &direction.grid, words);
                FxScaleChoice want = fx_scale_choose(&max.scale, &max.grid, &in), fresh = fx_scale_choose(&direction.scale, &direction.grid, &in);
                fx_direction_keep(words, j, 7);
                FxScaleChoice got = fx_scale_choose(&direction.scale, &direction.grid, &in);
                assert_int_equal(fresh.exponent, want.exponent);
                if (got.exponent != want.exponent - j || got.shift != want.shift - j)
                    fail_msg("offset %d, max %llu: shift %d exponent %d", j, (unsigned long long)m, got.shift, got.exponent);
            }
    FxScaleInput zero = {.exponent = -9, .last = 4, .state = words};
    assert_int_equal(fx_scale_choose(&direction.scale, &direction.grid, &zero).exponent, 4);
}

static void a_search_is_due_at_the_first_call_and_every_n_calls(void **state) {
    (void)state;
    for (int n = 1; n <= 5; n++) {
        char text[40];
        int64_t words[FX_DIRECTION_WORDS];
        int32_t deviation;
        snprintf(text, sizeof text, "fixed8@direction:%d", n);
        FxQuantiser q = quantiser_of(text);
        q.scale.rule->start(&q.scale, &q.grid, words);
        fx_direction_count(words); // zeros put the first search off
        assert_int_equal(fx_direction_kept(words, &deviation), 0);
        assert_int_equal(deviation, 0);
        for (int call = 0; call < 20; call++) {
            assert_int_equal(fx_direction_is_due(&q.scale, words), call % n == 0);
            if (call % n == 0)
                fx_direction_keep(words, call % FX_DIRECTION_OFFSETS, 100 + call);
            fx_direction_count(words);
            assert_int_equal(fx_direction_kept(words, &deviation), call / n * n % FX_DIRECTION_OFFSETS);
            assert_int_equal(deviation, 100 + call / n * n);
        }
    }
    assert_int_equal(fx_direction_kept(NULL, NULL), 0);
}

static void a_direction_needs_a_fixed_grid_of_at_most_32_bits(void **state) {
    (void)state;
    static const char *const good[] = {"fixed8f7@direction:100/stochastic:32:c/saturate", "fixed32f31@direction:7/nearest-even/saturate",
                                       "ufixed8f8@direction:100/nearest-even/saturate"};
    static const char *const bad[] = {"e4m3fn@direction:100", "fixed33@direction:100", "binary@direction:100", "log2:b4f0@direction:100"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        FxQuantiser q = quantiser_of(good[i]);
        char text[FX_QUANTISER_TEXT];
        fx_quantiser_print(text, &q);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FxQuantiser q;
        FxError err = {0};
        if (fx_quantiser_parse(&q, bad[i], &err) != -1 || err.exit_code != FX_EXIT_USAGE)
            fail_msg("%s is taken", bad[i]);
    }
    FxQuantiser q = quantiser_of("fixed8@direction");
    assert_int_equal(q.scale.parameter[0], 100);
}

// Calls of the library that keep a state, one of zeros among them.
static void an_array_is_searched_at_every_nth_call_and_keeps_its_offset_between(void **state) {
    (void)state;
    enum { N = 300, CALLS = 14, EVERY = 4 };
    FxQuantiser q = quantiser_of("fixed4@direction:4"), max = quantiser_of("fixed4@max");
    int64_t words[FX_DIRECTION_WORDS];
    int kept = 0, moves = 0, since = EVERY, last = 0;
    fx_state_start(words, &q, 1);
    for (int call = 0; call < CALLS; call++) {
        int32_t x[N], exponent, plain;
        float f[N];
        FxError err;
        bool zero = call == 0 || call == 6, floats = call % 3 == 1;
        for (size_t i = 0; i < N; i++) {
            uint64_t r = slow_mix((uint64_t)call * 1000 + i);
            x[i] = zero ? 0 : i == 7 && call / 4 % 2 ? 4096 : (int32_t)(300 + r % 150) * (r >> 40 & 1 ? 1 : -1); // now and then a large one
            f[i] = (float)x[i];
        }
        FxArray array = {.data = floats ? (void *)f : (void *)x, .type = floats ? FX_FLOAT32 : FX_INT32, .count = N, .exponent = floats ? 0 : -3};
        FxTensor t = {floats ? (void *)f : (void *)x, array.type, N, array.exponent};
        assert_int_equal(fx_quantise(&max, NULL, &array, NULL, &(FxOutput){.exponents = &plain}, NULL, &err), 0);
        assert_int_equal(fx_quantise(&q, words, &array, NULL, &(FxOutput){.exponents = &exponent}, NULL, &err), 0);
        if (since == EVERY && !zero) {
            int found = fx_direction_offset(&t, &q.grid, plain, 0, NULL);
            moves += found != kept;
            kept = found;
            since = 0;
        }
        since += since < EVERY;
        if (exponent != (zero ? last : plain - kept) || fx_direction_kept(words, NULL) != kept)
            fail_msg("call %d: exponent %d, offset %d, not %d below %d", call, (int)exponent, fx_direction_kept(words, NULL), kept, (int)plain);
        last = exponent;
    }
    assert_true(moves > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logarithms_are_exact_for_every_number_below_2_to_20_and_at_every_edge),
        cmocka_unit_test(the_nearest_logarithm_has_the_known_answers),
        cmocka_unit_test(integer_rows_of_the_table_give_the_known_scales_and_codes),
        cmocka_unit_test(every_rule_chooses_what_a_loop_over_exponents_finds),
        cmocka_unit_test(max_fit_is_the_smallest_shift_that_saturates_nothing),
        cmocka_unit_test(constant_and_alpha_scales_do_not_look_at_the_maximum),
        cmocka_unit_test(a_source_of_zeros_keeps_the_last_exponent),
        cmocka_unit_test(wage_errors_have_the_known_codes),
        cmocka_unit_test(the_maximum_is_right_for_every_type_length_and_cpu_path),
        cmocka_unit_test(a_direction_stands_its_offset_below_max),
        cmocka_unit_test(a_search_is_due_at_the_first_call_and_every_n_calls),
        cmocka_unit_test(a_direction_needs_a_fixed_grid_of_at_most_32_bits),
        cmocka_unit_test(an_array_is_searched_at_every_nth_call_and_keeps_its_offset_between),
        cmocka_unit_test(scale_texts_are_printed_as_they_are_read_and_others_refused),
    };
    return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
