// Integer norms against known answers: every cell of the tables in golden/batchnorm, whose README names the columns.
#include "formats/cpu.h"
#include "formats/rng.h"
#include "layers/norm_math.h"
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/norm_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t cells; // that were compared

static void wrong(const Golden *g, size_t row, const char *column, const char *got) {
    fail_msg("%s row %zu, %s: %s, not \"%s\"", g->name, row + 1, column, got, golden_cell(g, row, column));
}

// The cell is one number.
static void is(const Golden *g, size_t row, const char *column, int64_t got) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)got);
    if (strcmp(text, golden_cell(g, row, column)))
        wrong(g, row, column, text);
    cells++;
}

// The same where the row's kind has the value.
static void is_of(const Golden *g, size_t row, const char *column, bool has, int64_t got) {
    if (has)
        is(g, row, column, got);
    else if (strcmp("-", golden_cell(g, row, column)))
        wrong(g, row, column, "nothing");
}

static void read_list(const Golden *g, size_t row, const char *column, int64_t *list, size_t n) {
    if (golden_list(list, n, golden_cell(g, row, column)) != n)
        fail_msg("%s row %zu, %s: fewer than %zu numbers", g->name, row + 1, column, n);
}

static void is_list(const Golden *g, size_t row, const char *column, const int64_t *got, size_t n) {
    int64_t *want = calloc(n, sizeof *want);
    read_list(g, row, column, want, n);
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("%s row %zu, %s[%zu]: %lld, not %lld", g->name, row + 1, column, i, (long long)got[i], (long long)want[i]);
    free(want);
    cells++;
}

static bool says(const Golden *g, size_t row, const char *column, const char *word) {
    return !strcmp(golden_cell(g, row, column), word);
}

static FxNormKind kind_of(const Golden *g, size_t row) {
    static const char *const names[] = {"l2", "l1", "range", "shift"};
    for (int i = 0; i < 4; i++)
        if (says(g, row, "kind", names[i]))
            return (FxNormKind)i;
    fail_msg("kind %s", golden_cell(g, row, "kind"));
    return FX_NORM_L1;
}

static void set_reciprocal(FxNormRule *rule, const char *text) {
    rule->division = !strcmp(text, "division") ? FX_NORM_DIVIDE : !strcmp(text, "pow2") ? FX_NORM_POWER_OF_TWO : FX_NORM_LUT;
    if (rule->division == FX_NORM_LUT) {
        assert_memory_equal(text, "lut", 3);
        rule->lut_bits = text[3] - '0';
        rule->newton = !strcmp(text + 4, "+n");
    }
}

static void set_constant(NormRun *r, const Golden *f, size_t row, const char *law, size_t nominal) {
    static const char *const names[] = {"paper", "code", "exact_d2"};
    r->rule.chunks = (int)golden_int(f, row, "m");
    r->rule.nominal = nominal;
    for (int i = 0; i < 3; i++)
        if (!strcmp(law, names[i]))
            r->rule.constant = (FxNormConstant)i;
    r->constant = fx_norm_range_constant(r->rule.constant, nominal, r->rule.chunks);
}

// The case whose first row this is; b: NULL or the backward table.
static NormRun run_of(const Golden *f, size_t row, const Golden *b) {
    const size_t n = (size_t)golden_int(f, row, "n"), c = (size_t)golden_int(f, row, "C");
    FxType gy = FX_INT8;
    int64_t *x = calloc(n * 2, sizeof *x), *e = x + n;
    for (size_t i = 0; b && i < c; i++) {
        read_list(b, row + i, "Gy", e, n);
        for (size_t k = 0; k < n; k++)
            gy = type_holds(FX_INT8, e[k]) && e[k] != -128 ? gy : FX_INT16;
    }
    NormRun r = norm_run_new(kind_of(f, row), golden_int(f, row, "bits") == 8 ? FX_INT8 : FX_INT16, gy, n, c);
    set_reciprocal(&r.rule, golden_cell(f, row, "recip"));
    if (b && r.rule.kind == FX_NORM_RANGE)
        set_constant(&r, f, row, golden_cell(f, row, "const"), (size_t)golden_int(f, row, "nominal"));
    r.rule.hardware_division = b && says(f, row, "divn", "hardware");
    r.gamma.exponent = (int)golden_int(f, row, "eg");
    r.beta.exponent = (int)golden_int(f, row, "eb");
    for (size_t i = 0; i < c; i++) {
        assert_int_equal(golden_int(f, row + i, "c"), i);
        fx_tensor_set(&r.gamma, i, golden_int(f, row + i, "gamma"));
        fx_tensor_set(&r.beta, i, golden_int(f, row + i, "beta"));
        read_list(f, row + i, "X", x, n);
        if (b)
            read_list(b, row + i, "Gy", e, n);
        for (size_t k = 0; k < n; k++) {
            fx_tensor_set(&r.x, k * c + i, x[k]);
            fx_tensor_set(&r.gy, k * c + i, e[k]);
        }
        if (b) {
            assert_string_equal(golden_cell(b, row + i, "case"), golden_cell(f, row + i, "case"));
            r.ex[i] = (int32_t)golden_int(b, row + i, "ex");
            r.egy[i] = (int32_t)golden_int(b, row + i, "egy");
        }
    }
    if (b) {
        r.rule.fraction = (int)golden_int(b, row, "Fb");
        r.rule.int32_profile = says(b, row, "profile", "int32");
        r.rule.keep_dead = says(b, row, "dead", "keep");
        r.rule.detach = says(b, row, "backward", "detach");
    }
    free(x);
    return r;
}

static void column_of(int64_t *list, const FxTensor *t, const NormRun *r, size_t c) {
    for (size_t i = 0; i < r->n; i++)
        list[i] = fx_tensor_get(t, i * r->c + c);
}

static int bits_of(uint64_t v) {
    int n = 0;
    for (; v; v /= 2)
        n++;
    return n;
}

// What a site fixed8@max/nearest-even makes of all of y.
static void check_narrowed(const Golden *f, size_t row, const NormRun *r, size_t c, int64_t *list) {
    const SlowLaw even = {.name = "nearest-even"};
    int64_t most = 0;
    for (size_t i = 0; i < r->y.count; i++)
        most = llabs(fx_tensor_get(&r->y, i)) > most ? llabs(fx_tensor_get(&r->y, i)) : most;
    const int shift = bits_of((uint64_t)most) > 7 ? bits_of((uint64_t)most) - 7 : 0;
    for (size_t i = 0; i < r->n; i++)
        list[i] = (int64_t)slow_clamp(slow_round(&even, fx_tensor_get(&r->y, i * r->c + c), shift, 0), 127);
    is(f, row, "Y_shift", shift);
    is_list(f, row, "Y", list, r->n);
    is(f, row, "ey", FX_NORM_EXPONENT + shift);
}

static void check_extremes(const Golden *f, size_t row, NormRun *r, size_t c, int64_t *list) {
    const FxWork work = {.threads = 1, .scratch = r->scratch, .scratch_size = r->scratch_size};
    const FxNormPlan plan = fx_norm_plan(&r->rule, r->x.count, r->c, &work);
    for (int low = 0; low < 2; low++) {
        for (size_t k = 0; k < plan.chunks; k++) {
            const FxNormPartial part = fx_norm_total(&plan, c, k, k + 1);
            list[k] = low ? part.min_row : part.max_row;
        }
        is_list(f, row, low ? "imin" : "imax", list, plan.chunks);
    }
}

static void check_forward(const Golden *f, size_t row, NormRun *r, size_t c) {
    const FxNormSteps *s = norm_steps(r, c);
    const FxNormChannel *k = &r->channels[c];
    const bool l1 = r->rule.kind == FX_NORM_L1, l2 = r->rule.kind == FX_NORM_L2, shift = r->rule.kind == FX_NORM_SHIFT;
    const bool range = r->rule.kind == FX_NORM_RANGE;
    int64_t *list = calloc(r->n, sizeof *list);
    is_of(f, row, "Kq16", range, r->constant);
    is(f, row, "S", s->sum);
    is(f, row, "M", k->mean);
    is_of(f, row, "Sp", l1, s->above_sum);
    is_of(f, row, "cnt", l1, s->above);
    is_of(f, row, "A", l1, s->spread);
    is_of(f, row, "RS", range, s->spread);
    if (range)
        check_extremes(f, row, r, c, list);
    is_of(f, row, "SS", l2, s->squares);
    is_of(f, row, "V", l2 || shift, s->variance);
    is_of(f, row, "sg", l2, s->root);
    is_of(f, row, "q", shift, s->power);
    is(f, row, "num", k->num);
    is(f, row, "den", k->den);
    is(f, row, "floored", k->floored);
    is(f, row, "R", k->R);
    is(f, row, "k", k->k);
    is(f, row, "P", s->P);
    is(f, row, "sh", s->bits);
    is(f, row, "G", k->G);
    is(f, row, "eG", k->G_exponent);
    is(f, row, "ts", s->shift);
    is(f, row, "Bq", s->addend);
    for (size_t i = 0; i < r->n; i++)
        list[i] = fx_tensor_get(&r->x, i * r->c + c) * (1 << fx_norm_fraction(&r->x)) - k->mean;
    is_list(f, row, "d", list, r->n);
    column_of(list, &r->y, r, c);
    is_list(f, row, "T", list, r->n);
    check_narrowed(f, row, r, c, list);
    free(list);
}

// dX as its site rounds it, from the definition (9.3), with the words of the table.
static void check_rounded(const Golden *b, size_t row, const NormRun *r, size_t c) {
    const bool apart = says(b, row, "dx_scale", "channel");
    const int bits = (int)golden_int(b, row, "dx_bits"), random = (int)golden_int(b, row, "r");
    const FxRng rng = {golden_unsigned(b, row, "seed"), (uint32_t)golden_unsigned(b, row, "stream"), (uint32_t)golden_unsigned(b, row, "step")};
    const SlowLaw even = {.name = "nearest-even"};
    int e = INT32_MIN, largest = INT32_MIN;
    Wide most = 0;
    int64_t *list = calloc(r->n, sizeof *list);
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = apart ? c : 0; k < (apart ? c + 1 : r->c); k++) {
            const int E = r->channels[k].exponent;
            largest = E > largest ? E : largest;
            for (size_t i = 0; i < r->n; i++) {
                const Wide T = (Wide)fx_tensor_get(&r->t, i * r->c + k) * r->channels[k].multiplier, m = T < 0 ? -T : T;
                if (pass == 0)
                    e = m && E > e ? E : e;
                else if (m)
                    most = slow_floor(m, slow_power(e - E)) > most ? slow_floor(m, slow_power(e - E)) : most;
            }
        }
    e = e == INT32_MIN ? largest : e;
    const int shift = bits_of((uint64_t)most) > bits - 1 ? bits_of((uint64_t)most) - (bits - 1) : 0;
    const int E = r->channels[c].exponent, h = shift + e - E > 0 ? shift + e - E : 0;
    is(b, row, "shift", shift);
    is(b, row, "h", h);
    for (size_t i = 0; i < r->n; i++)
        list[i] = fx_rng_word(rng, i * r->c + c);
    is_list(b, row, "words", list, r->n);
    for (size_t i = 0; i < r->n; i++) {
        const Wide T = (Wide)fx_tensor_get(&r->t, i * r->c + c) * r->channels[c].multiplier;
        const Wide word = slow_floor(list[i], slow_power(32 - (h < random ? h : random)));
        const Wide kept = h > random ? slow_round(&even, T, h - random, 0) : T;
        list[i] = (int64_t)slow_clamp(slow_floor(kept + word, slow_power(h < random ? h : random)), (1 << (bits - 1)) - 1);
    }
    is_list(b, row, "dX", list, r->n);
    is(b, row, "edx", e + shift);
    free(list);
}

static void check_backward(const Golden *b, size_t row, const NormRun *r, size_t c) {
    const FxNormSteps *s = norm_steps(r, c);
    const FxNormChannel *k = &r->channels[c];
    const bool l1 = r->rule.kind == FX_NORM_L1, range = r->rule.kind == FX_NORM_RANGE, term = !r->rule.detach, line = !l1 && !range;
    int64_t *list = calloc(r->n, sizeof *list);
    is(b, row, "db", k->dbeta);
    is_of(b, row, "GX", r->rule.kind != FX_NORM_SHIFT, s->products);
    is(b, row, "Dp", s->deviation);
    is(b, row, "dgm", k->dgamma);
    is(b, row, "gb", s->mean);
    is_of(b, row, "z", term && !line, s->quotient);
    is_of(b, row, "kap", term && !line, s->step);
    is_of(b, row, "sb", term && l1, s->signs);
    is_of(b, row, "q1", term && line, s->quotient);
    is_of(b, row, "shq", term && line, s->q_bits);
    is_of(b, row, "q", term && line, s->q);
    column_of(list, &r->t, r, c);
    is_list(b, row, "t", list, r->n);
    for (size_t i = 0; i < r->n; i++)
        list[i] *= k->multiplier;
    is_list(b, row, "T", list, r->n);
    is(b, row, "E", k->exponent);
    check_rounded(b, row, r, c);
    free(list);
}

// Rows f of a case that begins at row `first`; returns the next case's.
static size_t check_case(const Golden *f, const Golden *b, size_t first) {
    NormRun r = run_of(f, first, b);
    FxError err;
    unsigned cpu;
    for (int level = 1; fx_cpu_level(level); level++)
        for (int threads = 1; threads <= 3 && !fx_cpu_parse(&cpu, fx_cpu_level(level), &err); threads++) {
            norm_forward(&r, cpu, threads);
            for (size_t c = 0; c < r.c; c++)
                check_forward(f, first + c, &r, c);
            norm_backward(&r, cpu, threads);
            for (size_t c = 0; c < r.c; c++)
                check_backward(b, first + c, &r, c);
        }
    norm_compare(&r, "the twin of the table"); // or the laws' tests prove nothing
    const size_t next = first + r.c;
    norm_run_free(&r);
    return next;
}

static void every_cell_of_the_forward_and_backward_tables(void **state) {
    (void)state;
    Golden f = golden_read("batchnorm/forward.csv", 64), b = golden_read("batchnorm/backward.csv", 64);
    size_t row = 0;
    cells = 0;
    while (row < f.rows)
        row = check_case(&f, &b, row);
    assert_true(cells >= 3 * 64 * 40);
    golden_free(&f);
    golden_free(&b);
}

static void every_reciprocal_of_the_table(void **state) {
    (void)state;
    static const char *const names[] = {"division", "lut4", "lut6", "lut8", "lut4+n", "lut6+n", "lut8+n", "pow2"};
    Golden g = golden_read("batchnorm/norm15.csv", 89);
    cells = 0;
    for (size_t row = 0; row < g.rows; row++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            FxNormRule rule = {0};
            int32_t R, k;
            int slow_k;
            Wide slow_R = 0;
            char column[24];
            const int64_t num = golden_int(&g, row, "num"), den = golden_int(&g, row, "den");
            set_reciprocal(&rule, names[i]);
            fx_norm_reciprocal(&rule, num, den, &R, &k);
            slow_reciprocal(&rule, num, den, &slow_R, &slow_k);
            snprintf(column, sizeof column, "R_%s", names[i]);
            is(&g, row, column, R);
            is(&g, row, column, (int64_t)slow_R);
            snprintf(column, sizeof column, "k_%s", names[i]);
            is(&g, row, column, k);
            is(&g, row, column, slow_k);
        }
    assert_int_equal(cells, 89 * 8 * 4);
    golden_free(&g);
}

static void check_statistics(const Golden *g, size_t row, const NormRun *r, size_t c, const FxNormRunning *running) {
    const FxNormChannel *k = &r->channels[c];
    const int h = r->ex[c] - fx_norm_fraction(&r->x) - running->exponent;
    const Wide s = h >= 0 ? slow_quotient((Wide)k->den * slow_power(h), k->num) : slow_quotient(k->den, (Wide)k->num * slow_power(-h));
    is(g, row, "M", k->mean);
    is(g, row, "num", k->num);
    is(g, row, "den", k->den);
    is(g, row, "floored", k->floored);
    is(g, row, "h", h);
    is(g, row, "new_mean", (int64_t)slow_shift(k->mean, -h));
    is(g, row, "new_s", s > 1 ? (int64_t)s : 1);
    is(g, row, "e_rs", running->exponent);
    is(g, row, "run_mean", running->mean[c]);
    is(g, row, "run_s", running->scale[c]);
}

// What the folded form was made of, from the steps that inference leaves.
static void check_folded(const Golden *g, size_t row, const NormRun *r, size_t c, const FxNormRunning *running) {
    const FxNormSteps *s = norm_steps(r, c);
    int64_t *list = calloc(r->n, sizeof *list);
    const int eG = FX_NORM_EXPONENT - s->shift - r->ex[c];
    const int64_t gamma = golden_int(g, row, "gamma"), factor = r->rule.kind == FX_NORM_SHIFT ? (int64_t)slow_power_near(gamma) : gamma;
    const int64_t R = s->P / factor;
    is(g, row, "R", R);
    assert_int_equal(R * factor, s->P);
    is(g, row, "k", r->gamma.exponent - running->exponent + s->bits - eG);
    is(g, row, "G", fx_norm_gain(&r->rule, gamma, (int32_t)R, 0).G);
    is(g, row, "eG", eG);
    is(g, row, "b", s->addend);
    column_of(list, &r->y, r, c);
    is_list(g, row, "T_eval", list, r->n);
    free(list);
}

static void every_cell_of_the_table_of_running_statistics(void **state) {
    (void)state;
    Golden g = golden_read("batchnorm/running.csv", 34);
    int32_t mean[8], scale[8];
    FxNormRunning running = {mean, scale, 0, false};
    FxError err;
    unsigned cpu;
    cells = 0;
    for (size_t row = 0; row < g.rows;) {
        NormRun r = run_of(&g, row, NULL);
        if (r.rule.kind == FX_NORM_RANGE)
            set_constant(&r, &g, row, "code", r.n);
        r.rule.average_old = says(&g, row, "weight", "old");
        r.rule.average_shift = (int)golden_int(&g, row, "a");
        for (size_t c = 0; c < r.c; c++)
            r.ex[c] = (int32_t)golden_int(&g, row + c, "ex");
        norm_forward(&r, FX_CPU_SCALAR, 1);
        running.begun = golden_int(&g, row, "step") > 0;
        fx_norm_average(&r.rule, &r.x, r.ex, r.channels, r.c, &running);
        for (size_t c = 0; c < r.c; c++)
            check_statistics(&g, row + c, &r, c, &running);
        for (int level = 1; fx_cpu_level(level); level++)
            for (int threads = 1; threads <= 3 && !fx_cpu_parse(&cpu, fx_cpu_level(level), &err); threads++) {
                const FxWork work = norm_work(&r, cpu, threads);
                fx_norm_infer(&r.rule, &r.x, r.ex, &r.gamma, &r.beta, &running, r.c, &r.y, &work);
                for (size_t c = 0; c < r.c; c++)
                    check_folded(&g, row + c, &r, c, &running);
            }
        row += r.c;
        norm_run_free(&r);
    }
    assert_true(cells >= 34 * (10 + 6 * 3));
    golden_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_of_the_forward_and_backward_tables),
        cmocka_unit_test(every_reciprocal_of_the_table),
        cmocka_unit_test(every_cell_of_the_table_of_running_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
