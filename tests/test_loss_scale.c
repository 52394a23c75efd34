// The loss scale in whole runs: what skips a step, what a skipped step leaves alone, how the scale moves, and how runs end
// that grow beyond their formats.
#include "tests/run_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LAYERS = 2, STEPS = 40 };
#define NET "16FC-10"

static void growth_is_read_and_rubbish_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        FxScalar factor;
        uint64_t after;
    } good[] = {{"2 after 2000s", {1 << 14, -13}, 2000}, {"1.5 after 1s", {24576, -14}, 1}, {"3/2 after 007s", {24576, -14}, 7},
                {"  2   after   10s  ", {1 << 14, -13}, 10}, {"1e1 after 999999999999999s", {20480, -11}, 999999999999999}};
    static const char *const bad[] = {
        "", " ", "2", "2 after", "2 after s", "2 after 0s", "2 after 000s", "2 after -1s", "2 after +1s", "2 after 1.5s", "2 after 1e3s", "2 after 10",
        "2 after 10e", "2 after 10ss", "2 after 10 s", "2 after 10s 3", "2 after10s", "2after 10s", "after 10s", "0 after 10s", "-2 after 10s",
        "x after 10s", "2 before 10s", "2 AFTER 10s", "2 afters 10s", "nan after 10s", "inf after 10s", "0x2 after 10s", "2,after,10s",
        "2 after 1000000000000000s", "2 after 99999999999999999999999999s", "1/0 after 10s", "2 after 10s\n10s",
        "2 after 00000000000000000000000000000010s", "22222222222222222222222222222222222222222222222222222222222222222222 after 10s"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        FxGrowth growth = {{0, 0}, 0};
        FxError err = {0};
        if (fx_growth_parse(&growth, good[i].text, &err))
            fail_msg("%s", err.text);
        assert_true(growth.factor.mantissa == good[i].factor.mantissa && growth.factor.exponent == good[i].factor.exponent);
        assert_true(growth.after == good[i].after);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FxGrowth growth;
        FxError err = {0};
        if (fx_growth_parse(&growth, bad[i], &err) == 0)
            fail_msg("\"%s\" was read", bad[i]);
        assert_int_equal(err.exit_code, FX_EXIT_USAGE);
        assert_non_null(strstr(err.text, "after Ns"));
    }
}

// ---- the scale -----------------------------------------------------------------------------------------------------------

// To 15 bits, nearest-even.
static double to_scalar(double x) {
    int e;
    double m = frexp(x, &e);
    return ldexp(rint(ldexp(m, 15)), e - 15);
}

static double value_of(FxScalar s) {
    return ldexp(s.mantissa, s.exponent);
}

static void the_scale_moves_by_the_rule_whatever_its_factors(void **state) {
    (void)state;
    static const struct {
        const char *value, *growth, *backoff, *floor;
    } cases[] = {{"1024", "2 after 3s", "0.5", "1"}, {"10000", "1.3 after 1s", "0.7", "33"}, {"3", "1.0001 after 1s", "0.9999", "2.5"},
                 {"0.1", "4 after 2s", "1/3", "0"}, {"7", "1.99 after 1s", "0.51", "7"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FxLossScaling how = {.on = true, .dynamic = true, .most = FX_MOST_LOSS_SCALE};
        FxError err;
        assert_int_equal(fx_scalar_parse(&how.value, cases[i].value, &err) | fx_growth_parse(&how.growth, cases[i].growth, &err) |
                         fx_scalar_parse(&how.backoff, cases[i].backoff, &err) | fx_scalar_parse(&how.floor, cases[i].floor, &err), 0);
        FxLossScale scale = fx_loss_scale_start(&how);
        double wanted = to_scalar(strtod(cases[i].value, NULL)), floor = value_of(how.floor);
        uint64_t good = 0;
        for (uint32_t step = 0; step < 400; step++) {
            bool skipped = step * 2654435761u >> 28 < (step < 200 ? 3 : 8);
            assert_true(value_of(fx_loss_scale_value(&scale)) == wanted);
            if (skipped) {
                wanted = fmax(to_scalar(wanted * value_of(how.backoff)), floor);
                good = 0;
            } else if (++good == how.growth.after) {
                wanted = to_scalar(wanted * value_of(how.growth.factor));
                good = 0;
            }
            fx_loss_scale_move(&scale, &how, skipped);
            if (fabs(log2(wanted)) > 110) // held there: below
                break;
        }
        assert_true(value_of(fx_loss_scale_value(&scale)) == wanted);
        for (int step = 0; step < 10000; step++)
            fx_loss_scale_move(&scale, &how, false);
        assert_true(value_of(fx_loss_scale_value(&scale)) < 0x1p120 && isfinite((float)value_of(fx_loss_scale_value(&scale))));
        how.dynamic = false;
        FxLossScale before = scale;
        fx_loss_scale_move(&scale, &how, true);
        assert_memory_equal(&scale, &before, sizeof scale);
    }
}

// ---- runs ----------------------------------------------------------------------------------------------------------------

// What a step's errors and gradients were before and after their quantisers.
typedef struct Fate {
    bool lost;           // an element that is not finite
    double most_outside; // largest share of a source's elements beyond `end`
    double end;
    bool errors_alone;   // gradients have no end
} Fate;

static void look(Fate *fate, const FxTensor *t, bool is_source, bool gradient) {
    size_t outside = 0;
    for (size_t i = 0; i < t->count; i++) {
        float x = ((const float *)t->data)[i];
        fate->lost |= !isfinite(x);
        outside += fabsf(x) > fate->end;
    }
    if (is_source && !(fate->errors_alone && gradient))
        fate->most_outside = fmax(fate->most_outside, (double)outside / (double)t->count);
}

static void told(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    (void)node;
    bool is_source = !strcmp(what, "logits.error") || !strcmp(what, "sum.error") || !strcmp(what, "sum.gradient");
    if (is_source || !strcmp(what, "error.quantised"))
        look(user, t, is_source, !strcmp(what, "sum.gradient"));
}

typedef struct Kept {
    uint8_t *bytes[2 * LAYERS];
} Kept;

static FxTensor kept_tensor(const FxRun *run, int i) {
    const FxNode *node = fx_net_product(&run->net, i / 2);
    return i % 2 ? node->momentum : node->store;
}

static void keep(Kept *kept, const FxRun *run) {
    for (int i = 0; i < 2 * LAYERS; i++) {
        FxTensor t = kept_tensor(run, i);
        kept->bytes[i] = malloc(t.count * 4 + 1);
        if (!kept->bytes[i])
            abort();
        memcpy(kept->bytes[i], t.data, t.count * 4);
    }
}

static bool is_as_kept(Kept *kept, const FxRun *run) {
    bool same = true;
    for (int i = 0; i < 2 * LAYERS; i++) {
        FxTensor t = kept_tensor(run, i);
        same &= !memcmp(kept->bytes[i], t.data, t.count * 4);
        free(kept->bytes[i]);
    }
    return same;
}

static bool weights_are_finite(const FxRun *run) {
    Fate fate = {.end = INFINITY};
    for (int i = 0; i < 2 * LAYERS; i++) {
        FxTensor t = kept_tensor(run, i);
        look(&fate, &t, false, false);
    }
    return !fate.lost;
}

// share < 0: nonfinite. Says how many steps were skipped and how often the scale grew.
static void drive(const char *const overrides[], double share, double end, int *skips, int *grown) {
    FxRun run;
    run_open(&run, "fp32", NET, overrides);
    const FxLossScaling *how = &run.config.loss_scaling;
    double wanted = value_of(how->value);
    uint64_t good = 0, skipped = 0;
    for (int step = 0; step < STEPS; step++) {
        Fate fate = {.end = end, .errors_alone = !run.config.phases[0].layers[0].site[FX_SITE_GRADIENT].on};
        const FxTrace trace = {told, &fate};
        Kept kept;
        keep(&kept, &run);
        assert_true(value_of(fx_loss_scale_value(&run.loss_scale)) == wanted);
        bool fired = run_step(&run, &trace);
        for (int p = 0; p < LAYERS; p++)
            look(&fate, &fx_net_product(&run.net, p)->g, false, true);
        bool should = share < 0 ? fate.lost : fate.most_outside > share;
        if (fired != should)
            fail_msg("step %d, scale %a: %s, %s", step, wanted, fired ? "skipped" : "not skipped", fate.lost ? "something is not finite" : "all is finite");
        skipped += fired;
        assert_int_equal(run.totals.skipped_steps, skipped);
        assert_true(is_as_kept(&kept, &run) == fired);
        assert_true(weights_are_finite(&run));
        assert_false(fx_run_diverged(&run));
        good = fired ? 0 : good + 1;
        if (how->dynamic && fired)
            wanted = fmax(wanted * value_of(how->backoff), value_of(how->floor));
        else if (how->dynamic && good == how->growth.after) {
            double next = wanted * value_of(how->growth.factor);
            good = 0;
            *grown += ilogb(next) <= FX_MOST_LOSS_SCALE;
            wanted = ilogb(next) <= FX_MOST_LOSS_SCALE ? next : wanted;
        }
    }
    *skips = (int)skipped;
    fx_run_free(&run);
}

#define E5M2 "e5m2/nearest-even/inf"
#define START "loss-scale.value=268435456"

static void an_overflow_to_infinity_skips_the_step_and_nothing_else_does(void **state) {
    (void)state;
    static const char *const sites[][3] = {
        {START, "error.q=" E5M2, "gradient.q=" E5M2}, {START, "gradient.q=" E5M2, "error.q=none"}, {START, "error.q=" E5M2, "gradient.q=none"},
        {START, "gradient.q=e4m3fn/nearest-even/inf", "error.q=none"}, {START, "gradient.q=e5m2/stochastic/inf", "error.q=e5m2/stochastic/inf"},
        // sums beyond float32; formats that saturate do not hide them
        {"loss-scale.value=3e38", "error.q=none", "gradient.q=none"}, {"loss-scale.value=3e38", "error.q=bf16", "gradient.q=bf16"}};
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        bool far = !strcmp(sites[i][0], "loss-scale.value=3e38"); // beyond what it may grow to, it can only fall
        const char *dynamic[] = {far ? "run.batch=1" : "run.batch=32", "loss-scale.mode=dynamic", "loss-scale.growth=2 after 3s", "loss-scale.backoff=0.25", sites[i][0], sites[i][1],
                                 sites[i][2], NULL};
        const char *constant[] = {"run.batch=32", "loss-scale.mode=constant", "loss-scale.value=131072", sites[i][1], sites[i][2], NULL};
        int skips, grown = 0;
        drive(dynamic, -1, INFINITY, &skips, &grown);
        if (skips < (far ? 1 : 3) || skips == STEPS || grown < (far ? 0 : 3))
            fail_msg("case %d: %d skipped, %d grown", (int)i, skips, grown);
        drive(constant, -1, INFINITY, &skips, &grown);
    }
}

static void the_scale_does_not_fall_below_its_floor(void **state) {
    (void)state;
    // the largest number is 15: always too small at the floor
    static const char *const overrides[] = {"run.batch=32", "error.q=float:e3m3/nearest-even/inf", "loss-scale.mode=dynamic", "loss-scale.value=8192",
                                            "loss-scale.floor=1536", NULL};
    int skips, grown = 0;
    drive(overrides, -1, INFINITY, &skips, &grown);
    assert_true(skips == STEPS && grown == 0);
}

// e4m3fn rounds what is above 464 beyond its largest number.
static void a_share_of_saturated_elements_skips_the_step(void **state) {
    (void)state;
    static const double shares[] = {1e-5, 0.01, 0.25, 1e-5};
    for (int i = 0; i < 4; i++) {
        char trigger[64];
        snprintf(trigger, sizeof trigger, "loss-scale.trigger=saturated:%g", shares[i]);
        const char *overrides[] = {"run.batch=32", "error.q=e4m3fn", i < 3 ? "gradient.q=e4m3fn" : "gradient.q=none", "loss-scale.mode=dynamic", "loss-scale.value=65536",
                                   "loss-scale.growth=2 after 2s", trigger, NULL};
        int skips, grown = 0;
        drive(overrides, shares[i], 464, &skips, &grown);
        assert_true(skips > 3 && skips < STEPS && grown > 3);
    }
}

static uint32_t crc_after(const char *const overrides[]) {
    FxRun run;
    run_open(&run, "fp32", NET, overrides);
    while (run.step < STEPS)
        run_step(&run, NULL);
    uint32_t crc = fx_run_weights_crc32(&run);
    fx_run_free(&run);
    return crc;
}

// A power of two leaves float32 alone as long as nothing leaves its range; another factor does not.
static void the_gradients_lose_the_scale_again(void **state) {
    (void)state;
    static const char *const plain[] = {NULL}, *const power[] = {"loss-scale.mode=constant", "loss-scale.value=1024", NULL},
                      *const small[] = {"loss-scale.mode=constant", "loss-scale.value=1/64", NULL},
                      *const moving[] = {"loss-scale.mode=dynamic", "loss-scale.value=4", "loss-scale.growth=2 after 2s", NULL},
                      *const other[] = {"loss-scale.mode=constant", "loss-scale.value=1000", NULL};
    uint32_t want = crc_after(plain);
    assert_true(crc_after(power) == want && crc_after(small) == want && crc_after(moving) == want);
    assert_true(crc_after(other) != want);
}

// Stores, momentum and the parameters of norms: bytes of all that an update may change.
static uint8_t *all_kept(const FxRun *run, size_t *size) {
    uint8_t *bytes = NULL;
    *size = 0;
    for (int k = 0; k < run->net.keeper_count; k++) {
        const FxNode *node = run->net.keepers[k];
        const FxTensor parts[] = {node->store, node->momentum, node->second};
        for (int i = 0; i < 3; i++) {
            const size_t n = parts[i].count * fx_type_size(parts[i].type);
            if (!parts[i].data)
                continue;
            bytes = realloc(bytes, *size + n + 1);
            if (!bytes)
                abort();
            memcpy(bytes + *size, parts[i].data, n);
            *size += n;
        }
    }
    return bytes;
}

// The running means and scales are of the forward half: they move in a skipped step too.
static void a_skipped_step_leaves_parameters_of_norms_alone(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *overrides[6];
    } cases[] = {
        {"fp32-bn", {"error.q=" E5M2, "gradient.q=" E5M2, START, "loss-scale.mode=dynamic", "loss-scale.backoff=0.25"}},
        {"fp32-bn", {"norm.beta.gradient.q=float:e3m3/nearest-even/inf", "loss-scale.value=8192", "loss-scale.mode=dynamic", "loss-scale.growth=2 after 2s"}},
        {"int8-l1bn", {"gradient.q=fixed16f9/stochastic:32", "loss-scale.mode=dynamic", "loss-scale.value=64", "loss-scale.growth=2 after 2s",
                       "loss-scale.trigger=saturated:0.02"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        FxRun run;
        int skips = 0, moves = 0;
        run_open(&run, cases[c].recipe, "4C3-BN-+(4C3-BN|)-GAP-10", cases[c].overrides);
        const FxNode *norm = &run.net.nodes[fx_net_product(&run.net, 0)->readers[0]];
        const size_t running = norm->norm->running[0].count * 4;
        for (int step = 0; step < 16; step++) {
            size_t size, more;
            uint8_t mean[64], *before = all_kept(&run, &size), *after;
            assert_true(running > 0 && running <= sizeof mean);
            memcpy(mean, norm->norm->running[0].data, running);
            const bool fired = run_step(&run, NULL);
            after = all_kept(&run, &more);
            assert_int_equal(size, more);
            if (!memcmp(before, after, size) != fired)
                fail_msg("case %d, step %d: %s", (int)c, step, fired ? "skipped, and changed" : "not skipped, and as before");
            assert_true(memcmp(mean, norm->norm->running[0].data, running) != 0);
            skips += fired;
            moves += !fired;
            free(before);
            free(after);
        }
        if (skips == 0 || moves == 0)
            fail_msg("case %d: %d skipped, %d not", (int)c, skips, moves);
        fx_run_free(&run);
    }
}

// ---- how runs end ----------------------------------------------------------------------------------------------------------

// The last row of the log: status, epoch and step. `skipped`: of all rows.
static void ends(const char *const overrides[], FxStatus status, FxExit code, uint64_t epoch, uint64_t step, uint64_t skipped) {
    Trained t = run_train("fp32", NET, overrides);
    size_t last = t.log.rows - 1;
    double count = 0;
    if (t.status != status)
        fail_msg("%s: %s, not %s", overrides[0], fx_status_name(t.status), fx_status_name(status));
    assert_int_equal(fx_status_exit(t.status), code);
    assert_string_equal(table_cell(&t.log, last, "status"), fx_status_name(status));
    for (size_t row = 0; row < t.log.rows; row++)
        count += table_number(&t.log, row, "skipped_steps");
    if (table_number(&t.log, last, "epoch") != (double)epoch || table_number(&t.log, last, "step") != (double)step || count != (double)skipped)
        fail_msg("%s: epoch %s, step %s, %g steps skipped", overrides[0], table_cell(&t.log, last, "epoch"), table_cell(&t.log, last, "step"), count);
    trained_free(&t);
}

// Of errors up to 1/8 none above 2^-5 has a code.
#define TINY_ERRORS "error.q=float:e4m3:bias20/nearest-even/inf", "run.batch=8", "run.epochs=2"

static void what_is_lost_ends_the_run_at_once_unless_a_loss_scale_is_there(void **state) {
    (void)state;
    static const char *const error[] = {TINY_ERRORS, NULL};
    static const char *const held[] = {TINY_ERRORS, "gradient.q=fixed16f7", NULL}; // the weights stay finite
    static const char *const gradient[] = {"gradient.q=float:e4m3:bias24/nearest-even/inf", "run.epochs=2", NULL};
    static const char *const store[] = {"store.q=float:e4m3:bias14/nearest-even/inf", "init.law=uniform-fan-in:1", "run.epochs=2", "run.max-steps=1",
                                        "update.rate=1000", NULL};
    static const char *const scaled[] = {TINY_ERRORS, "loss-scale.mode=constant", "loss-scale.value=1", NULL};
    static const char *const small[] = {TINY_ERRORS, "loss-scale.mode=constant", "loss-scale.value=1/64", "run.max-steps=12", NULL};
    ends(error, FX_DIVERGED, FX_EXIT_FAILED_RUN, 0, 1, 0);
    ends(held, FX_DIVERGED, FX_EXIT_FAILED_RUN, 0, 1, 0);
    ends(gradient, FX_DIVERGED, FX_EXIT_FAILED_RUN, 0, 1, 0);
    ends(store, FX_DIVERGED, FX_EXIT_FAILED_RUN, 0, 1, 0);
    ends(scaled, FX_STALLED, FX_EXIT_FAILED_RUN, 1, 179, 179); // every step skipped: nothing changed for an epoch
    ends(small, FX_DONE, FX_EXIT_DONE, 0, 12, 0);
}

static void saturation_does_not_hide_that_a_run_diverges(void **state) {
    (void)state;
    static const char *const huge[] = {"update.rate=1000", "weight.q=e4m3fn", "activation.q=e4m3fn", "error.q=e4m3fn", "gradient.q=e4m3fn", "store.q=e4m3fn",
                                       "run.epochs=5", NULL};
    static const char *const sane[] = {"update.rate=0.02", "weight.q=e4m3fn", "activation.q=e4m3fn", "error.q=fp16", "gradient.q=fp16", "store.q=fp16",
                                       "run.epochs=3", NULL};
    ends(huge, FX_DIVERGED, FX_EXIT_FAILED_RUN, 2, 22, 0);
    ends(sane, FX_DONE, FX_EXIT_DONE, 3, 33, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_is_read_and_rubbish_refused),
        cmocka_unit_test(the_scale_moves_by_the_rule_whatever_its_factors),
        cmocka_unit_test(an_overflow_to_infinity_skips_the_step_and_nothing_else_does),
        cmocka_unit_test(the_scale_does_not_fall_below_its_floor),
        cmocka_unit_test(a_share_of_saturated_elements_skips_the_step),
        cmocka_unit_test(the_gradients_lose_the_scale_again),
        cmocka_unit_test(a_skipped_step_leaves_parameters_of_norms_alone),
        cmocka_unit_test(what_is_lost_ends_the_run_at_once_unless_a_loss_scale_is_there),
        cmocka_unit_test(saturation_does_not_hide_that_a_run_diverges),
    };
    return cmocka_run_group_tests_name("loss_scale", tests, NULL, NULL);
}
