// What stats.csv says of nets with norms: the errors that norms hand down measured against their definition, groups, channels
// whose floor acted, the rows of a residual net, and when a net is dead.
#include "sim/checkpoint.h"
#include "tests/run_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NET "4C3-BN-+(4C3-BN-4C3-BN|)-4C3-BN-GAP-10"
enum { STEPS = 3, MOST_LAYERS = 8, MOST_SITES = 4 };

// ---- a slow twin ---------------------------------------------------------------------------------------------------------

typedef struct Seen {
    long double xx, qq, xq, dd, most;
    size_t n, roundings;
} Seen;

// What norms have handed down, by the product and site that rounded it: error, error.grad.
typedef struct Twin {
    const FxRun *run;
    long double *values; // of the last norm that handed down
    size_t count;
    const FxNode *norm;
    Seen seen[MOST_LAYERS][2];
} Twin;

static long double value_at(const FxTensor *t, size_t i, const int32_t *multiplier, const int32_t *exponent, size_t channels) {
    if (t->type == FX_FLOAT32)
        return (long double)((const float *)t->data)[i];
    long double x = (long double)fx_tensor_get(t, i) * (multiplier ? (long double)multiplier[i % channels] : 1);
    return ldexpl(x, exponent ? exponent[i % channels] : t->exponent);
}

static void take(Twin *twin, const FxNode *node, const FxTensor *t) {
    const FxNormNode *norm = node->norm;
    const size_t channels = (size_t)node->layer.in.c;
    free(twin->values);
    twin->values = calloc(t->count, sizeof *twin->values);
    twin->count = t->count;
    twin->norm = node;
    for (size_t i = 0; i < t->count; i++)
        twin->values[i] = value_at(t, i, norm->integers ? norm->multiplier : NULL, norm->integers ? norm->exponent : NULL, channels);
}

static void compare(Twin *twin, const FxNode *at, const FxTensor *q, bool copy) {
    const FxNode *owner = &twin->run->net.nodes[at->owner];
    const FxSiteConfig *site = &twin->run->config.phases[0].layers[owner->id - 1].site[copy ? FX_SITE_ERROR_GRAD : FX_SITE_ERROR];
    const bool apart = copy && fx_site_is_channel(site) && q->type != FX_FLOAT32;
    if (!twin->norm || &twin->run->net.nodes[twin->norm->input] != at || owner->layer.ops->role != FX_ROLE_PRODUCT)
        return;
    assert_int_equal(q->count, twin->count);
    Seen *s = &twin->seen[owner->id - 1][copy];
    for (size_t i = 0; i < q->count; i++) {
        long double x = twin->values[i], y = value_at(q, i, NULL, apart ? owner->dw_exponents : NULL, (size_t)at->layer.out.c);
        s->xx += x * x;
        s->qq += y * y;
        s->xq += x * y;
        s->dd += (x - y) * (x - y);
        s->most = fmaxl(s->most, fabsl(x));
    }
    s->n += q->count;
    s->roundings++;
}

static void told(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    Twin *twin = user;
    if (!strcmp(what, "norm.back"))
        take(twin, node, t);
    else if (!strcmp(what, "error.quantised") || !strcmp(what, "error.grad.quantised"))
        compare(twin, &twin->run->net.nodes[node - twin->run->net.nodes], t, !strcmp(what, "error.grad.quantised"));
}

static void expect_near(const char *what, const char *layer, double got, long double want) {
    if (!(fabsl((long double)got - want) <= 1e-9L * fabsl(want)))
        fail_msg("%s of %s: %.17g, not %.20Lg", what, layer, got, want);
}

static void expect_site(const FxNode *node, FxSite site, const Seen *want) {
    const FxQuality *q = &node->site[site].quality;
    const char *name = node->name.name;
    assert_int_equal(want->roundings, STEPS);
    assert_int_equal(q->n, want->n);
    assert_true(want->dd > 0 && q->of_source == 1);
    expect_near("sum of squares", name, q->xx, want->xx);
    expect_near("l2", name, fx_quality_l2(q), sqrtl(want->qq));
    expect_near("cosine", name, fx_quality_cosine(q), want->xq / sqrtl(want->xx * want->qq));
    expect_near("SQNR", name, fx_quality_sqnr_db(q), 10 * log10l(want->xx / want->dd));
    expect_near("crest", name, fx_quality_crest(q), want->most * sqrtl((long double)want->n) / sqrtl(want->xx));
}

// An exponent declared by a recipe (shift-unit) is compared as what it was before: the twin's q lacks it.
static void what_a_norm_hands_down_is_measured_against_its_source(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *overrides[5];
        bool copies;
    } cases[] = {
        {"int8-l1bn", {"stats.kind=full"}, true},
        {"int8-l1bn", {"stats.kind=full", "preact.q=fixed16@max.channel", "error.grad.q=fixed16@max.channel"}, true},
        {"int8-l1bn", {"stats.kind=full", "norm.kind=l2", "run.threads=3"}, true},
        {"ui8", {"stats.kind=full"}, false},
        {"fp32-bn", {"stats.kind=full", "error.q=e5m2", "loss-scale.mode=constant", "loss-scale.value=1024"}, false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        FxRun run;
        run_open(&run, cases[k].recipe, NET, cases[k].overrides);
        Twin twin = {.run = &run};
        const FxTrace trace = {told, &twin};
        for (int step = 0; step < STEPS; step++)
            run_step(&run, &trace);
        for (int p = 0; p < run.net.product_count; p++) {
            const FxNode *node = fx_net_product(&run.net, p);
            const bool normed = p + 1 < run.net.product_count;
            if (!normed) {
                assert_true(twin.seen[p][0].n == 0 && node->site[FX_SITE_ERROR].quality.of_source == 0 && node->site[FX_SITE_ERROR].quality.n > 0);
                continue;
            }
            expect_site(node, FX_SITE_ERROR, &twin.seen[p][0]);
            if (cases[k].copies)
                expect_site(node, FX_SITE_ERROR_GRAD, &twin.seen[p][1]);
        }
        free(twin.values);
        fx_run_free(&run);
    }
}

// ---- rows -----------------------------------------------------------------------------------------------------------------

static bool is(const Table *t, size_t row, const char *column, const char *text) {
    return !strcmp(table_cell(t, row, column), text);
}

static size_t find(const Table *t, size_t from, const char *layer, const char *site) {
    for (size_t row = from; row < t->rows; row++)
        if (is(t, row, "layer", layer) && is(t, row, "site", site))
            return row;
    fail_msg("no row %s, %s", layer, site);
    return 0;
}

// Each rounding of a norm's errors has its columns; groups, and no exponent where there are several.
static void rows_say_what_was_rounded_and_in_which_groups(void **state) {
    (void)state;
    static const char *const overrides[] = {"run.epochs=2", "stats.kind=full", "preact.q=fixed16@max.channel", "error.grad.q=fixed16@max.channel", NULL};
    static const char *const measured[] = {"mean", "l2", "sqnr_db", "cosine", "bias_ulp", "crest"};
    Trained t = run_train("int8-l1bn", NET, overrides);
    const Table *s = &t.stats;
    size_t channels = 0, norms = 0;
    assert_int_equal(t.status, FX_DONE);
    for (size_t row = 0; row < s->rows; row++) {
        const bool apart = strstr(table_cell(s, row, "format"), "@max.channel") != NULL, sums = !strncmp(table_cell(s, row, "site"), "accumulator.", 12);
        const bool norm = is(s, row, "kind", "norm"), preact = is(s, row, "site", "preact");
        assert_true(is(s, row, "group", apart ? "channel" : "tensor"));
        assert_int_equal(is(s, row, "exponent", ""), apart || sums);
        assert_int_equal(is(s, row, "floored", "0"), norm && preact);
        assert_true((norm && preact) || is(s, row, "floored", ""));
        channels += apart;
        norms += norm && preact;
    }
    assert_int_equal(norms, 2 * 4);
    assert_int_equal(channels, 2 * (4 + 5));
    static const char *const layers[] = {"conv1", "conv2", "conv3", "conv4"}, *const errors[] = {"error", "error.grad"};
    for (size_t k = 0; k < 8; k++) {
        size_t row = find(s, 0, layers[k / 2], errors[k % 2]);
        for (int i = 0; i < 6; i++)
            assert_false(is(s, row, measured[i], ""));
        assert_true(table_number(s, row, "sqnr_db") > (k % 2 ? 70 : 15) && fabs(table_number(s, row, "bias_ulp")) < 0.05);
    }
    static const char *const sites[][2] = {{"gamma1", "norm.gamma"}, {"gamma2", "norm.gamma.gradient"}, {"gamma3", "norm.gamma.store"}, {"beta1", "norm.beta"},
                                           {"beta4", "norm.beta.gradient"}, {"beta2", "norm.beta.store"}, {"norm3", "preact-error"}, {"add3", "preact-error"}};
    for (size_t k = 0; k < 8; k++)
        find(s, 0, sites[k][0], sites[k][1]);
    trained_free(&t);
}

// Where nothing is rounded, stores alone have rows.
static void floats_have_rows_of_stores_alone(void **state) {
    (void)state;
    Trained t = run_train("fp32-bn", NET, (const char *const[]){"run.epochs=1", "stats.kind=full", NULL});
    size_t stores = 0;
    for (size_t row = 0; row < t.stats.rows; row++) {
        const char *site = table_cell(&t.stats, row, "site");
        bool store = !strcmp(site, "store") || strstr(site, ".store") != NULL;
        assert_true(store || !strncmp(site, "accumulator.", 12));
        assert_true(is(&t.stats, row, "floored", ""));
        stores += store;
    }
    assert_int_equal(stores, 5 + 2 * 4);
    trained_free(&t);
}

// ---- channels whose floor acts, and death -----------------------------------------------------------------------------------

// Weights that all round to 0 leave a norm nothing.
#define NO_WEIGHTS "layer.conv2.weight.q=fixed8@const:20"

static void every_channel_without_weights_is_floored_at_every_step(void **state) {
    (void)state;
    Trained t = run_train("int8-l1bn", NET, (const char *const[]){"run.epochs=2", "stats.every=6s", NO_WEIGHTS, NULL});
    const Table *s = &t.stats;
    size_t row = find(s, 0, "norm2", "preact");
    assert_true(is(s, row, "step", "6") && is(s, row, "floored", "24")); // 6 steps of 4 channels
    row = find(s, row + 1, "norm2", "preact");
    assert_true(is(s, row, "step", "11") && is(s, row, "floored", "20"));
    assert_true(is(s, find(s, 0, "norm1", "preact"), "floored", "0"));
    assert_true(is(s, find(s, 0, "norm3", "preact-error"), "floored", ""));
    trained_free(&t);
}

// A channel whose weights are 0: its error is 0, so the weights stay.
static void one_dead_channel_counts_once_a_step(void **state) {
    (void)state;
    FxRun run;
    run_open(&run, "int8-l1bn", NET, NULL);
    const FxNode *conv = fx_net_product(&run.net, 2);
    const FxNode *norm = &run.net.nodes[conv->readers[0]];
    for (size_t i = 1; i < conv->store.count; i += 4)
        fx_tensor_set(&conv->store, i, 0);
    for (uint64_t step = 1; step <= STEPS; step++) {
        run_step(&run, NULL);
        assert_int_equal(norm->site[FX_SITE_PREACT].floored, step);
        assert_int_equal(norm->site[FX_SITE_PREACT].last_floored, 1);
    }
    fx_run_free(&run);
}

// It keeps the exponent that it had, after a step and after an evaluation: its running scale would jump otherwise.
// What is kept comes back from a checkpoint.
static void expect_kept_again(FxRun *run, const FxNormNode *norm, const char *const *overrides) {
    FxRun again;
    FxError err;
    FxMark mark = {.status = FX_RUNNING};
    char dir[] = "/tmp/fxsim-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/checkpoint", dir);
    run_open(&again, "int8-l1bn", NET, overrides);
    if (fx_checkpoint_write(run, dir, &mark, &err) || fx_checkpoint_read_file(&again, path, &mark, &err))
        fail_msg("%s", err.text);
    const FxNormNode *other = again.net.nodes[fx_net_product(&again.net, 2)->readers[0]].norm;
    assert_memory_equal(other->x_kept.data, norm->x_kept.data, norm->x_kept.count * sizeof(int32_t));
    unlink(path);
    rmdir(dir);
    fx_run_free(&again);
}

static void a_channel_of_zeros_keeps_its_exponent(void **state) {
    (void)state;
    static const char *const overrides[] = {"preact.q=fixed16@max.channel", NULL};
    FxRun run;
    run_open(&run, "int8-l1bn", NET, overrides);
    const FxNode *conv = fx_net_product(&run.net, 2);
    const FxNormNode *norm = run.net.nodes[conv->readers[0]].norm;
    run_step(&run, NULL);
    const int32_t before = norm->x_exponents[1];
    assert_int_not_equal(before, 0);
    for (size_t i = 1; i < conv->store.count; i += 4)
        fx_tensor_set(&conv->store, i, 0);
    run_step(&run, NULL);
    assert_int_equal(norm->x_exponents[1], before);
    assert_int_equal(((const int32_t *)norm->x_kept.data)[1], before);
    expect_kept_again(&run, norm, overrides);
    FxFigures figures = {0};
    assert_true(fx_run_evaluate(&run, &run.data.test, 0, 64, &figures, NULL));
    assert_int_equal(norm->x_exponents[1], before);
    run_step(&run, NULL);
    assert_int_equal(norm->x_exponents[1], before);
    fx_run_free(&run);
}

// A layer whose errors or activations are all zero is told of, be there a shortcut beside it or not.
static void a_dead_layer_ends_the_run(void **state) {
    (void)state;
    static const char *const overrides[] = {"run.epochs=2", NO_WEIGHTS, NULL};
    Trained residual = run_train("int8-l1bn", NET, overrides), chain = run_train("int8-l1bn", "4C3-BN-4C3-BN-4C3-BN-GAP-10", overrides);
    assert_int_equal(residual.status, FX_DEAD);
    assert_int_equal(chain.status, FX_DEAD);
    assert_string_equal(table_cell(&chain.log, chain.log.rows - 1, "status"), "dead");
    // conv2: its error and gradient, gamma's gradient; below it norm2 had no life to give on
    assert_true(table_number(&residual.log, 1, "zero_tensors") >= 11 * 2);
    trained_free(&residual);
    trained_free(&chain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_norm_hands_down_is_measured_against_its_source),
        cmocka_unit_test(rows_say_what_was_rounded_and_in_which_groups),
        cmocka_unit_test(floats_have_rows_of_stores_alone),
        cmocka_unit_test(every_channel_without_weights_is_floored_at_every_step),
        cmocka_unit_test(one_dead_channel_counts_once_a_step),
        cmocka_unit_test(a_channel_of_zeros_keeps_its_exponent),
        cmocka_unit_test(a_dead_layer_ends_the_run),
    };
    return cmocka_run_group_tests_name("norm_stats", tests, NULL, NULL);
}
