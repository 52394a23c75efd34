// A few steps of every built-in recipe give the same weights, state and answers for any number of threads and on every CPU
// path; so do what else decides bits in floats: accumulators, roundings, optimisers, biases.
#include "formats/bits_f32.h"
#include "tests/run_fixture.h"

#include "sim/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 2, OVERRIDES = 8 };

typedef struct Outcome {
    uint32_t weights, state, figures;
} Outcome;

static const int threads[] = {1, 2, 3, 7};
enum { THREADS = sizeof threads / sizeof threads[0] };

static uint32_t mark_of(double x) {
    uint64_t bits = fx_double_bits(x);
    return (uint32_t)(bits ^ bits >> 32);
}

static Outcome train(const char *recipe, const char *net, const char *const own[], int thread_count, const char *cpu) {
    char text[2][32];
    const char *overrides[OVERRIDES + 4] = {"run.batch=128", text[0], text[1]};
    FxRun run;
    FxFigures figures;
    snprintf(text[0], sizeof text[0], "run.threads=%d", thread_count);
    snprintf(text[1], sizeof text[1], "run.cpu=%s", cpu);
    for (int i = 0; own && own[i]; i++)
        overrides[3 + i] = own[i];
    run_open(&run, recipe, net, overrides);
    for (int step = 0; step < STEPS; step++)
        fx_run_step(&run);
    assert_true(fx_run_evaluate(&run, &run.data.test, 0, 200, &figures, NULL)); // the last batch is short
    FxFigures seen = fx_run_train_figures(&run);
    Outcome out = {fx_run_weights_crc32(&run), fx_checkpoint_state_crc32(&run),
                   mark_of(fx_figures_loss(&figures)) ^ mark_of(fx_figures_loss(&seen)) * 3 ^ (uint32_t)figures.answers.wrong};
    fx_run_free(&run);
    return out;
}

static bool usable(const char *cpu) {
    FxError err;
    unsigned flags;
    return fx_cpu_parse(&flags, cpu, &err) == 0;
}

// Everything with everything, or one thread count a path.
static void check(const char *recipe, const char *net, const char *const own[], bool all) {
    Outcome want = train(recipe, net, own, 1, "scalar");
    int next = 1;
    for (int level = 0; fx_cpu_level(level); level++) {
        const char *cpu = fx_cpu_level(level);
        if (!usable(cpu))
            continue;
        for (int i = 0; i < THREADS; i++) {
            if (!all && i != next % THREADS)
                continue;
            Outcome got = train(recipe, net, own, threads[i], cpu);
            if (memcmp(&got, &want, sizeof got))
                fail_msg("%s, %s%s%s: %d threads, %s: weights %08x, state %08x, figures %08x, not %08x, %08x, %08x", recipe, net,
                         own && own[0] ? " " : "", own && own[0] ? own[0] : "", threads[i], cpu, got.weights, got.state, got.figures,
                         want.weights, want.state, want.figures);
        }
        next++;
    }
}

#define NET "12C3-MP2-20FC-10" // tensors of several tasks of 2^15 elements, each for a thread
#define WIDE "600FC-10"        // an update of several
#define RESIDUAL "12C3-BN-+(12C3-BN-12C3-BN|)-+(16C3s2-BN-16C3-BN|16C1s2-BN)-GAP-10"

static void every_recipe(bool all) {
    int count = 0;
    for (; fx_recipe_name(count); count++)
        check(fx_recipe_name(count), NET, NULL, all);
    assert_true(count >= 14);
}

static const struct {
    const char *recipe, *net, *overrides[OVERRIDES];
} modes[] = {
    {"fp32", "6C5-MP3s2-20FC-10", {"update.rule=adam", "run.bias=yes"}},
    {"fp32", WIDE, {"update.nesterov=yes", "run.bias=yes", "bias.q=fp16/stochastic", "update.weight-decay=1e-3"}},
    {"fp32", WIDE, {"update.rule=adam", "momentum.q=bf16/stochastic", "second.q=bf16/stochastic", "store.q=bf16/stochastic"}},
    {"fp32", "21FC-10", {"accumulator.kind=float:e6m9/stochastic", "accumulator.chunk=16"}},
    {"fp32", "21FC-10", {"accumulator.kind=kulisch"}},
    {"fp32", NET, {"activation.q=e4m3fn/stochastic:8", "error.q=e5m2/stochastic:16:a", "random.lane=16", "store.q=bf16/sr-eps:0.25"}},
    {"fp32", NET, {"weight.q=ternary", "activation.q=fixed8f4/stochastic", "error.q=e5m2@shift"}},
    {"fp32", NET, {"store.q=e4m3/signed-sr-eps:0.5", "momentum.q=fp16/stochastic", "decay.q=bf16/stochastic", "random.source=lfsr:32"}},
    {"mxfp8", "32FC-10", {"activation.q=e2m1fn@block32:even", "activation.grad.q=e2m3fn@block32:ceil"}},
    {"gupta2015", WIDE, {"update.rule=sgd-inner", "update.momentum=0.9", "momentum.q=fixed24f16/stochastic", "update.weight-decay=1e-4", "decay.q=fixed20f10"}},
    {"hfp8", NET, {"loss-scale.value=16777216"}},
    {"courbariaux2014", NET, {"activation.scale=overflow:2:2:100", "error.scale=overflow:-2:1:100", "store.scale=overflow:1:2:100"}},
    {"flexpoint", NET, {"stats.kind=full", "activation.rounding=stochastic"}},
    {"int8-l1bn", RESIDUAL, {NULL}},
    {"int8-l1bn", RESIDUAL, {"norm.kind=range", "preact.q=fixed16@max.channel", "error.grad.q=fixed16@max.channel", "sum.q=fixed16@max", "sum.error.q=fixed16@max"}},
    {"int8-l1bn", RESIDUAL, {"norm.kind=l2", "preact.q=fixed8@max/stochastic", "norm.reciprocal=lut6", "error.q=fixed8@max.channel/stochastic:32"}},
    {"int8-l1bn", RESIDUAL, {"norm.kind=shift"}},
    {"wage-bn", RESIDUAL, {NULL}},
    {"fp32-bn", RESIDUAL, {NULL}},
    {"banner2018", RESIDUAL, {NULL}},
    {"ui8", RESIDUAL, {NULL}},
};

static void every_mode(bool all) {
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        check(modes[i].recipe, modes[i].net, modes[i].overrides, all);
}

static void every_recipe_gives_the_same_bytes_on_threads_and_paths(void **state) {
    (void)state;
    every_recipe(false);
}

static void every_mode_gives_the_same_bytes_on_threads_and_paths(void **state) {
    (void)state;
    every_mode(false);
}

static void everything_with_everything(void **state) {
    (void)state;
    every_recipe(true);
    every_mode(true);
}

// What is compared: another seed or one more step must change it.
static void other_seeds_give_other_outcomes(void **state) {
    (void)state;
    static const char *const seeds[][2] = {{NULL}, {"run.seed=2"}, {"random.init=2"}, {"random.order=2"}, {"random.round=2"}};
    Outcome got[5];
    for (int i = 0; i < 5; i++) {
        got[i] = train("fp8-wang2018", "10FC-10", seeds[i], 1, "auto");
        for (int j = 0; j < i; j++)
            assert_true(got[i].weights != got[j].weights && got[i].state != got[j].state && got[i].figures != got[j].figures);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recipe_gives_the_same_bytes_on_threads_and_paths),
        cmocka_unit_test(every_mode_gives_the_same_bytes_on_threads_and_paths),
        cmocka_unit_test(other_seeds_give_other_outcomes),
    };
    const struct CMUnitTest slow_tests[] = {cmocka_unit_test(everything_with_everything)};
    if (argc > 1 && !strcmp(argv[1], "slow"))
        return cmocka_run_group_tests_name("determinism_float", slow_tests, NULL, NULL);
    return cmocka_run_group_tests_name("determinism_float", tests, NULL, NULL);
}
