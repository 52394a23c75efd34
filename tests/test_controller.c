// Controllers: overflow rates and Autoflex against known traces, by their functions and through fx_quantise, and their
// states saved, restored and kept apart.
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

enum { MOST = 80, DFXP_TRACE = 24, DFXP_EDGES = 35, AUTOFLEX_TRACE = 207, AUTOFLEX_EDGES = 469, FILLER = 5 };
// Words of the states, formats/scale.h.
enum { WORD_R, WORD_KAPPA = 0, WORD_STARTED, WORD_TRIES, WORD_OVERFLOWS, WORD_COUNT, WORD_ENTRY };

// Rows [first, end) are one run: they end where the next begins again at period or step 0 or has another name.
static size_t end_of_run(const Golden *g, size_t first, const char *counter) {
    size_t row = first + 1;
    while (row < g->rows && !strcmp(golden_cell(g, row, "run"), golden_cell(g, first, "run")) &&
           golden_int(g, row, counter) >= golden_int(g, row - 1, counter))
        row++;
    return row;
}

static void quantise(const FxQuantiser *q, int64_t *state, const FxArray *x, int64_t *codes, int32_t *exponents) {
    FxTensor out = tensor_new(fx_quantiser_type(q), x->count);
    FxOutput y = {.codes = out.data, .exponents = exponents};
    FxError err = {0};
    if (fx_quantise(q, state, x, NULL, &y, NULL, &err))
        fail_msg("fx_quantise: %s", err.text);
    for (size_t i = 0; i < x->count; i++)
        codes[i] = fx_tensor_get(&out, i);
    tensor_free(&out);
}

// ---- overflow rates

static size_t read_values(float *x, const char *text) {
    size_t n = 0;
    for (char *end; *text; text = end + strspn(end, " ")) {
        uint32_t bits = (uint32_t)strtoul(text, &end, 16);
        if (n == MOST || end == text)
            fail_msg("no float32, or more than %d: \"%s\"", MOST, text);
        x[n++] = fx_float_of(bits);
    }
    return n;
}

static void dfxp_text(char text[FX_QUANTISER_TEXT], const Golden *g, size_t row, int calls) {
    int ppm = (int)lround(golden_double(g, row, "max_rate") * 1000000);
    const char *rounding = g->rows == DFXP_EDGES ? golden_cell(g, row, "rounding") : "nearest-away";
    snprintf(text, FX_QUANTISER_TEXT, "fixed%d@overflow:%d:%d:%d/%s", (int)golden_int(g, row, "NOB") + 1, (int)golden_int(g, row, "range_exp"),
             calls, ppm, rounding);
}

// One row through fx_quantise: the unit, the counts of the codes and the next range.
static void check_dfxp_row(const Golden *g, size_t row, const FxQuantiser *q, int64_t *words, const char *text) {
    float x[MOST];
    int64_t codes[MOST];
    int32_t exponent;
    size_t n = read_values(x, golden_cell(g, row, "values_f32_bits"));
    int nob = (int)golden_int(g, row, "NOB");
    assert_int_equal(n, golden_int(g, row, "n"));
    if (words[WORD_R] != golden_int(g, row, "range_exp"))
        fail_msg("%s row %zu %s: R is %lld, not %s", g->name, row + 1, text, (long long)words[WORD_R], golden_cell(g, row, "range_exp"));
    quantise(q, words, &(FxArray){.data = x, .type = FX_FLOAT32, .count = n}, codes, &exponent);
    int64_t limit = (INT64_C(1) << nob) - 1, at_limit = 0, at_half = 0;
    for (size_t i = 0; i < n; i++) {
        at_limit += llabs(codes[i]) >= limit;
        at_half += 2 * llabs(codes[i]) >= limit; // max(R - 1) is half of max(R)
    }
    if (exponent != golden_int(g, row, "range_exp") - nob || at_limit != golden_int(g, row, "overflow") ||
        at_half != golden_int(g, row, "overflow_half_range") || words[WORD_R] != golden_int(g, row, "range_exp_next"))
        fail_msg("%s row %zu %s: unit 2^%d, %lld at the limit, %lld at half, then R %lld; not 2^%lld, %s, %s, %s", g->name, row + 1, text,
                 (int)exponent, (long long)at_limit, (long long)at_half, (long long)words[WORD_R],
                 (long long)(golden_int(g, row, "range_exp") - nob), golden_cell(g, row, "overflow"), golden_cell(g, row, "overflow_half_range"),
                 golden_cell(g, row, "range_exp_next"));
    assert_int_equal(words[WORD_R] - golden_int(g, row, "range_exp"), golden_int(g, row, "delta"));
}

// Each run as it stands, and once more from every row on with a copy of the state.
static void check_dfxp_table(const char *file, size_t rows, size_t runs) {
    Golden g = golden_read(file, rows);
    size_t seen = 0;
    for (size_t first = 0; first < g.rows; first = end_of_run(&g, first, "period"), seen++) {
        char text[FX_QUANTISER_TEXT];
        dfxp_text(text, &g, first, 1);
        FxQuantiser q = quantiser_of(text);
        size_t end = end_of_run(&g, first, "period");
        int64_t words[FX_OVERFLOW_WORDS], saved[MOST][FX_OVERFLOW_WORDS];
        assert_int_equal(fx_state_words(&q), FX_OVERFLOW_WORDS);
        fx_state_start(words, &q, 1);
        for (size_t row = first; row < end; row++) {
            memcpy(saved[row - first], words, sizeof words);
            check_dfxp_row(&g, row, &q, words, text);
        }
        for (size_t from = first; from < end; from++) {
            for (size_t row = from; row < end; row++)
                check_dfxp_row(&g, row, &q, saved[from - first], text);
            assert_memory_equal(saved[from - first], words, sizeof words);
        }
    }
    assert_int_equal(seen, runs);
    golden_free(&g);
}

static void ranges_move_as_in_the_overflow_traces(void **state) {
    (void)state;
    check_dfxp_table("dfxp_trace.csv", DFXP_TRACE, 3);
    check_dfxp_table("dfxp_edges.csv", DFXP_EDGES, 9);
}

static void the_overflow_rule_alone_makes_the_known_moves_from_the_known_counts(void **state) {
    (void)state;
    static const char *const files[] = {"dfxp_trace.csv", "dfxp_edges.csv"};
    for (int f = 0; f < 2; f++) {
        Golden g = golden_read(files[f], f ? DFXP_EDGES : DFXP_TRACE);
        for (size_t row = 0; row < g.rows; row++)
            for (int calls = 1; calls <= 4; calls++) { // only the last call sees codes: the counts stay the same
                char text[FX_QUANTISER_TEXT];
                dfxp_text(text, &g, row, calls);
                FxQuantiser q = quantiser_of(text);
                FxScaleSeen none = {0}, all = {(uint64_t)golden_int(&g, row, "n"), 0, (uint64_t)golden_int(&g, row, "overflow"),
                                               (uint64_t)golden_int(&g, row, "overflow_half_range")};
                int64_t words[FX_OVERFLOW_WORDS], want = golden_int(&g, row, "range_exp_next");
                fx_overflow_start(&q.scale, &q.grid, words);
                for (int call = 1; call <= calls; call++) {
                    FxScaleInput in = {.exponent = 3, .state = words};
                    FxScaleChoice choice = fx_overflow_choose(&q.scale, &q.grid, &in);
                    assert_int_equal(choice.exponent, golden_int(&g, row, "range_exp") - golden_int(&g, row, "NOB"));
                    assert_int_equal(choice.shift, choice.exponent - 3);
                    assert_false(choice.invalid);
                    assert_false(fx_overflow_observe(&q.scale, &q.grid, words, call == calls ? &all : &none));
                }
                if (words[WORD_R] != want)
                    fail_msg("%s row %zu %s: R %lld, not %lld", files[f], row + 1, text, (long long)words[WORD_R], (long long)want);
                for (int w = 1; w < FX_OVERFLOW_WORDS; w++)
                    assert_int_equal(words[w], 0);
            }
        golden_free(&g);
    }
}

// 12.5: counts are totals over the period's calls; the mean of the calls' rates would say otherwise.
static void a_period_compares_totals_of_its_calls_not_means_of_rates(void **state) {
    (void)state;
    FxQuantiser q = quantiser_of("fixed10@overflow:5:2:10000"); // 1 %
    static const struct {
        FxScaleSeen call[2];
        int R;
    } known[] = {
        {{{10, 0, 1, 1}, {990, 0, 9, 9}}, 4},    // 10 of 1000 is not above 1 %, nor is the half: the rates' mean is 5.5 %
        {{{10, 0, 1, 1}, {990, 0, 10, 10}}, 6},  // 11 of 1000
        {{{10, 0, 0, 0}, {990, 0, 10, 11}}, 5},  // 10, and half 11
        {{{10, 0, 0, 10}, {990, 0, 0, 0}}, 4},
        {{{10, 0, 0, 10}, {990, 0, 0, 1}}, 5},
        {{{0, 0, 0, 0}, {0, 0, 0, 0}}, 4},       // nothing seen: no rate is above
        {{{UINT64_C(1) << 60, 0, 0, 0}, {UINT64_C(1) << 60, 0, UINT64_C(1) << 60, 0}}, 6}, // products beyond 64 bits
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        int64_t words[FX_OVERFLOW_WORDS];
        fx_state_start(words, &q, 1);
        for (int call = 0; call < 2; call++) {
            if (words[WORD_R] != 5)
                fail_msg("period %zu: R moves before the last call", k + 1);
            fx_overflow_observe(&q.scale, &q.grid, words, &known[k].call[call]);
        }
        if (words[WORD_R] != known[k].R)
            fail_msg("period %zu: R %lld, not %d", k + 1, (long long)words[WORD_R], known[k].R);
    }
}

// ---- Autoflex

static bool is_edges(const Golden *g) {
    return g->rows == AUTOFLEX_EDGES;
}

static FxQuantiser autoflex_of(const Golden *g, size_t row) {
    char text[FX_QUANTISER_TEXT];
    if (is_edges(g))
        snprintf(text, sizeof text, "fixed%st@autoflex:%s:%s", golden_cell(g, row, "bits"), golden_cell(g, row, "lo"), golden_cell(g, row, "hi"));
    else // floor(x + 1/2)
        snprintf(text, sizeof text, "fixed16t@autoflex/nearest-up");
    return quantiser_of(text);
}

static bool is_start(const Golden *g, size_t row) {
    return !strcmp(golden_cell(g, row, "phase"), "init");
}

// The magnitude of the code at the kappa of a state.
static int64_t gamma_at(const FxQuantiser *q, double max_abs, int64_t kappa) {
    FxNumber x = fx_number_f64(fx_double_bits(max_abs));
    x.exponent -= (int)kappa;
    FxRoundArg none = {0};
    FxEncodeArg arg = {.arg = &none};
    return llabs(fx_encode(q, x, &arg).code);
}

static void check_state(const Golden *g, size_t row, const int64_t *words, int64_t overflows) {
    if (words[WORD_KAPPA] != golden_int(g, row, "kappa_exp_next") || overflows != golden_int(g, row, "overflow") ||
        words[WORD_COUNT] != golden_int(g, row, "deque_len"))
        fail_msg("%s row %zu, %s step %s: then kappa 2^%lld, %lld overflows, %lld entries, not 2^%s, %s, %s", g->name, row + 1,
                 golden_cell(g, row, "run"), golden_cell(g, row, "step"), (long long)words[WORD_KAPPA], (long long)overflows,
                 (long long)words[WORD_COUNT], golden_cell(g, row, "kappa_exp_next"), golden_cell(g, row, "overflow"),
                 golden_cell(g, row, "deque_len"));
}

// Every row, start and run, by choose and observe.
static void check_rule_run(const Golden *g, size_t first, size_t end) {
    FxQuantiser q = autoflex_of(g, first);
    int64_t words[FX_AUTOFLEX_WORDS], tries = 0;
    fx_autoflex_start(&q.scale, &q.grid, words);
    for (size_t row = first; row < end; row++) {
        FxScaleInput in = {.state = words};
        int64_t kappa = fx_autoflex_choose(&q.scale, &q.grid, &in).exponent, gamma = golden_int(g, row, "gamma"), before = words[WORD_OVERFLOWS];
        int64_t got = gamma_at(&q, golden_double(g, row, "maxabs_hex"), kappa);
        if (kappa != golden_int(g, row, "kappa_exp_used") || got != gamma)
            fail_msg("%s row %zu, %s step %s: kappa 2^%lld, Gamma %lld, not 2^%s, %lld", g->name, row + 1, golden_cell(g, row, "run"),
                     golden_cell(g, row, "step"), (long long)kappa, (long long)got, golden_cell(g, row, "kappa_exp_used"), (long long)gamma);
        if ((words[WORD_STARTED] != 0) == is_start(g, row))
            fail_msg("%s row %zu: the start is %s", g->name, row + 1, words[WORD_STARTED] ? "over" : "not over");
        FxScaleSeen seen = {.n = FILLER, .largest = (uint64_t)gamma};
        if (fx_autoflex_observe(&q.scale, &q.grid, words, &seen) != is_start(g, row))
            fail_msg("%s row %zu: a call of the start is %srepeated", g->name, row + 1, is_start(g, row) ? "not " : "");
        check_state(g, row, words, words[WORD_OVERFLOWS] - before);
        tries += is_start(g, row);
        assert_int_equal(words[WORD_TRIES], tries);
        if (is_start(g, row))
            continue;
        int64_t entry = words[WORD_ENTRY + words[WORD_COUNT] - 1];
        double real = ldexp((double)(golden_int(g, row, "overflow") ? 2 * gamma : gamma), (int)kappa);
        if (ldexp((double)entry, q.scale.parameter[0]) != real)
            fail_msg("%s row %zu: the newest entry is %a, not %a", g->name, row + 1, ldexp((double)entry, q.scale.parameter[0]), real);
    }
}

// The ordinary calls alone through fx_quantise, from state `words` at row `from`: the first one makes its start by itself.
// The largest element stands among smaller ones.
static void check_library_run(const Golden *g, size_t from, size_t end, int64_t *words, int64_t (*saved)[FX_AUTOFLEX_WORDS]) {
    FxQuantiser q = autoflex_of(g, from);
    for (size_t row = from; row < end; row++) {
        if (saved)
            memcpy(saved[row - from], words, FX_AUTOFLEX_WORDS * sizeof *words);
        if (is_start(g, row))
            continue;
        double max = golden_double(g, row, "maxabs_hex"), x[FILLER] = {max / 3, -max / 4, 0, max / 1024, max / 7};
        int64_t codes[FILLER], before = words[WORD_OVERFLOWS], largest = 0;
        int32_t kappa;
        x[row % FILLER] = max;
        if (golden_int(g, row, "overflow") && row % FILLER != 1)
            x[1] = 0; // the other sign saturates one code further
        quantise(&q, words, &(FxArray){.data = x, .type = FX_FLOAT64, .count = FILLER}, codes, &kappa);
        for (size_t i = 0; i < FILLER; i++)
            largest = llabs(codes[i]) > largest ? llabs(codes[i]) : largest;
        if (kappa != golden_int(g, row, "kappa_exp_used") || largest != golden_int(g, row, "gamma") || (max < 0 && codes[row % FILLER] != -largest))
            fail_msg("%s row %zu, %s step %s through fx_quantise: kappa 2^%d, Gamma %lld, not 2^%s, %s", g->name, row + 1,
                     golden_cell(g, row, "run"), golden_cell(g, row, "step"), (int)kappa, (long long)largest,
                     golden_cell(g, row, "kappa_exp_used"), golden_cell(g, row, "gamma"));
        check_state(g, row, words, words[WORD_OVERFLOWS] - before);
    }
}

static void each_autoflex_run(const char *file, size_t rows, size_t runs, void (*check)(const Golden *, size_t, size_t)) {
    Golden g = golden_read(file, rows);
    size_t seen = 0, end;
    for (size_t first = 0; first < g.rows; first = end, seen++) {
        end = end_of_run(&g, first, "step");
        check(&g, first, end);
    }
    assert_int_equal(seen, runs);
    golden_free(&g);
}

static void kappa_moves_as_in_the_autoflex_traces_step_by_step(void **state) {
    (void)state;
    each_autoflex_run("autoflex_trace.csv", AUTOFLEX_TRACE, 6, check_rule_run);
    each_autoflex_run("autoflex_edges.csv", AUTOFLEX_EDGES, 41, check_rule_run);
}

static void library_run(const Golden *g, size_t first, size_t end) {
    FxQuantiser q = autoflex_of(g, first);
    int64_t words[FX_AUTOFLEX_WORDS];
    assert_int_equal(fx_state_words(&q), FX_AUTOFLEX_WORDS);
    fx_state_start(words, &q, 1);
    check_library_run(g, first, end, words, NULL);
}

static void fx_quantise_makes_its_start_alone_and_lands_where_the_traces_say(void **state) {
    (void)state;
    each_autoflex_run("autoflex_trace.csv", AUTOFLEX_TRACE, 6, library_run);
    each_autoflex_run("autoflex_edges.csv", AUTOFLEX_EDGES, 41, library_run);
}

static void restored_run(const Golden *g, size_t first, size_t end) {
    static int64_t saved[AUTOFLEX_EDGES][FX_AUTOFLEX_WORDS];
    FxQuantiser q = autoflex_of(g, first);
    int64_t words[FX_AUTOFLEX_WORDS], scratch[FX_AUTOFLEX_WORDS];
    fx_state_start(words, &q, 1);
    check_library_run(g, first, end, words, saved);
    for (size_t from = first; from < end; from++) {
        memcpy(scratch, saved[from - first], sizeof scratch);
        check_library_run(g, from, end, scratch, NULL);
        if (memcmp(scratch, words, sizeof words) != 0)
            fail_msg("%s: the run restored at row %zu ends in another state", g->name, from + 1);
    }
}

static void a_state_copied_anywhere_in_a_trace_goes_on_the_same(void **state) {
    (void)state;
    each_autoflex_run("autoflex_trace.csv", AUTOFLEX_TRACE, 6, restored_run);
    each_autoflex_run("autoflex_edges.csv", AUTOFLEX_EDGES, 41, restored_run);
}

// Two channels are two controllers: each goes as it would alone; without a state nothing is remembered.
static void channels_have_states_of_their_own_and_no_state_forgets(void **state) {
    (void)state;
    static const char *const rules[] = {"overflow:5:1:100", "autoflex"};
    enum { STEPS = 30, ROWS = 6 };
    for (int r = 0; r < 2; r++) {
        char text[64];
        snprintf(text, sizeof text, "fixed12t@%s", rules[r]);
        FxQuantiser one = quantiser_of(text);
        snprintf(text, sizeof text, "fixed12t@%s.channel", rules[r]);
        FxQuantiser both = quantiser_of(text);
        size_t n = fx_state_words(&one);
        int64_t alone[2][FX_AUTOFLEX_WORDS], together[2 * FX_AUTOFLEX_WORDS];
        fx_state_start(alone[0], &one, 1);
        fx_state_start(alone[1], &one, 1);
        fx_state_start(together, &both, 2);
        for (uint64_t step = 0; step < STEPS; step++) {
            float x[2 * ROWS], column[ROWS];
            int64_t codes[2 * ROWS], want[ROWS], fresh[2 * ROWS];
            int32_t exponents[2], exponent, fresh_exponents[2];
            for (uint64_t i = 0; i < 2 * ROWS; i++)
                x[i] = ldexpf((float)slow_fill(step * 16 + i, 20), (int)(step * (i % 2 + 1)) / 3 - 30);
            FxArray all = {.data = x, .type = FX_FLOAT32, .count = 2 * ROWS, .channels = 2};
            quantise(&both, together, &all, codes, exponents);
            quantise(&both, NULL, &all, fresh, fresh_exponents);
            for (size_t c = 0; c < 2; c++) {
                for (size_t i = 0; i < ROWS; i++)
                    column[i] = x[2 * i + c];
                FxArray part = {.data = column, .type = FX_FLOAT32, .count = ROWS};
                quantise(&one, alone[c], &part, want, &exponent);
                for (size_t i = 0; i < ROWS; i++)
                    if (codes[2 * i + c] != want[i] || exponents[c] != exponent)
                        fail_msg("%s step %d channel %zu: code %lld * 2^%d, alone %lld * 2^%d", text, (int)step, c, (long long)codes[2 * i + c],
                                 (int)exponents[c], (long long)want[i], (int)exponent);
                assert_memory_equal(alone[c], together + c * n, n * sizeof *together);
                quantise(&one, NULL, &part, want, &exponent);
                assert_int_equal(fresh_exponents[c], exponent);
                assert_int_equal(fresh[c], want[0]);
                if (r == 0)
                    assert_int_equal(exponent, 5 - 11);
            }
        }
    }
}

// The look before writing sees the very codes that are then written, random words and all.
static void controllers_count_the_codes_that_are_written(void **state) {
    (void)state;
    static const char *const texts[] = {"fixed6@overflow:2:2:100/stochastic", "fixed6t@overflow:2:2:100/stochastic:5:below", "fixed6@overflow:2:2:100/equal",
                                        "fixed6@overflow:2:2:100.channel/stochastic"};
    enum { LONG = 2100, SOURCES = 3 };
    static int64_t x[LONG], codes[LONG];
    static double wide[LONG];
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (int source = 0; source < SOURCES; source++) {
            FxQuantiser q = quantiser_of(texts[t]);
            size_t groups = q.scale.group == FX_GROUP_CHANNEL ? 3 : 1, at_limit[3] = {0}, at_half[3] = {0};
            int64_t words[3 * FX_OVERFLOW_WORDS];
            for (size_t i = 0; i < LONG; i++)
                wide[i] = ldexp((double)(x[i] = slow_fill(i, 12)), -8);
            FxArray in = {.data = wide, .type = FX_FLOAT64, .count = LONG, .channels = 3};
            FxTensor narrow = tensor_of(FX_INT16, x, LONG);
            if (source > 0)
                in = (FxArray){.data = source == 1 ? x : narrow.data, .type = source == 1 ? FX_INT64 : FX_INT16, .count = LONG, .exponent = -8, .channels = 3};
            fx_state_start(words, &q, groups);
            int32_t exponents[3];
            quantise(&q, words, &in, codes, exponents);
            for (size_t i = 0; i < LONG; i++) {
                at_limit[i % groups] += llabs(codes[i]) >= 31;
                at_half[i % groups] += llabs(codes[i]) >= 16;
            }
            for (size_t c = 0; c < groups; c++) {
                const int64_t *w = words + c * FX_OVERFLOW_WORDS, want[FX_OVERFLOW_WORDS] = {2, 1, LONG / (int64_t)groups, (int64_t)at_limit[c], (int64_t)at_half[c]};
                for (int i = 0; i < FX_OVERFLOW_WORDS; i++)
                    if (w[i] != want[i])
                        fail_msg("%s from %s, channel %zu: word %d of the state is %lld, not %lld", texts[t], fx_type_name(in.type), c, i, (long long)w[i],
                                 (long long)want[i]);
            }
            tensor_free(&narrow);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_move_as_in_the_overflow_traces),
        cmocka_unit_test(the_overflow_rule_alone_makes_the_known_moves_from_the_known_counts),
        cmocka_unit_test(a_period_compares_totals_of_its_calls_not_means_of_rates),
        cmocka_unit_test(kappa_moves_as_in_the_autoflex_traces_step_by_step),
        cmocka_unit_test(fx_quantise_makes_its_start_alone_and_lands_where_the_traces_say),
        cmocka_unit_test(a_state_copied_anywhere_in_a_trace_goes_on_the_same),
        cmocka_unit_test(controllers_count_the_codes_that_are_written),
        cmocka_unit_test(channels_have_states_of_their_own_and_no_state_forgets),
    };
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}
