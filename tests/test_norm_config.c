// Recipes with norms, residual nets and what stands in them: what cannot be is refused with one line that says what would be
// right; what can be trains.
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char residual[] = "4C3-BN-+(4C3-BN-4C3-BN|)-GAP-10";

// int8-l1bn's rates are those of batches of 128; powers of two let it run on small ones.
static NetSetup setup_of(const char *recipe, const char *net, const char *const overrides[3]) {
    NetSetup setup = {.recipe = recipe, .net = net, .data = dataset_digits(), .batch = 16, .seed = 3};
    int n = 0;
    if (!strcmp(recipe, "int8-l1bn")) {
        setup.overrides[n++] = "update.rate=1/16";
        setup.overrides[n++] = "update.weight-decay=0";
    }
    for (int i = 0; i < 3 && overrides[i]; i++)
        setup.overrides[n++] = overrides[i];
    return setup;
}

typedef struct Wrong {
    const char *recipe, *net, *overrides[3], *read, *right;
} Wrong;

static const Wrong scales[] = {
    {"int8-l1bn", residual, {"error.q=fixed8@max-mean"}, "conv3: error.q = fixed8f7@max-mean", "behind norm3, a norm on integers"},
    {"int8-l1bn", residual, {"error.q=fixed8@direction:2"}, "conv3: error.q = fixed8f7@direction:2", "scales are const, max"},
    {"int8-l1bn", residual, {"error.q=fixed8@real-max", "accumulator.kind=fp32", "recipe.claim=none"}, "real-max", "scales are const, max"},
    {"int8-l1bn", residual, {"error.q=fixed8@max.sample", "accumulator.kind=fp32", "recipe.claim=none"}, "max.sample", "a tensor or a channel"},
    {"int8-l1bn", residual, {"error.q=fixed8@block32", "accumulator.kind=fp32", "recipe.claim=none"}, "block32", "a tensor or a channel"},
    {"int8-l1bn", "4C3-BN-BN-10", {"preact-error.q=fixed8@max-mean"}, "norm1: preact-error.q = fixed8f7@max-mean", "behind norm1b"},
    {"ui8", residual, {"error.grad.q=fixed16@max.channel"}, "error.grad.q = fixed16f15@max.channel", "name one scale a tensor"},
    {"ui8", residual, {"error.grad.q=fixed16@max fixed16@max.channel@1s"}, "error.grad.q = fixed16f15@max.channel", "what is rounded here are floats"},
    {"int8-l1bn", residual, {"error.q=fixed8@max.channel", "weight.back.q=fixed10@max"}, "conv1: error.q has an exponent a channel", "weights whose codes are 255 at most"},
    {"int8-l1bn", "4C3-+(MP2-4C3-BN|MP2)-10", {"error.q=fixed8@max.channel"}, "conv1: error.q has an exponent a channel", "a max-pool above a fork hands down one"},
    {"int8-l1bn", residual, {"layer.first.preact.q=fixed16@max.channel", "accumulator.forward.kind=fp32", "recipe.claim=none"}, "norm1: preact.q", "floats; name one scale"},
    {"int8-l1bn", residual, {"norm.gamma.gradient.q=fixed16@max"}, "norm1: recipe.claim = integer", "norm.gamma.gradient and momentum need fixed grids"},
    {"int8-l1bn", "4C3-+(4C3|)-10", {"preact.q=fixed16@max.channel"}, "preact.q", "one exponent a tensor, not one a channel"},
    {"int8-l1bn", residual, {"preact-error.q=fixed8@max/pseudo"}, "preact-error.rounding = pseudo", "exists for integers alone"},
    {"int8-l1bn", "4C3-+(4C3-BN|MP3p1s1)-10", {NULL}, "conv1: error.grad of integers", "overlapping pools"},
    {"banner2018", "4FC-BN-10", {NULL}, "norm.chunks = 16 of 16", "at least 2 a chunk"},
};

static const Wrong without_effect[] = {
    {"fp32-bn", residual, {"norm.chunks=3"}, "norm.chunks=3: takes no effect", "RBN in the net, or norm.kind = range"},
    {"fp32-bn", residual, {"norm.const=paper"}, "norm.const=paper: takes no effect", "a norm by the range"},
    {"fp32-bn", residual, {"norm.floor=4"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.dead=keep"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.reciprocal=pow2"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.division=hardware"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.fraction=3"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.profile=int32"}, "takes no effect", "a norm on integers"},
    {"fp32-bn", residual, {"norm.kind=none", "norm.backward=detach"}, "norm.backward=detach: takes no effect", "norm.kind = none leaves all of them out"},
    {"fp32-bn", residual, {"update.rate-factor=deviation"}, "takes no effect", "error.scale = direction:N"},
    {"fp32-bn", "4C3-10", {"norm.kind=l1"}, "norm.kind=l1: takes effect in no layer", "nothing reads it in this network"},
};

static void expect_refused(const Wrong *wrong, size_t count) {
    for (size_t i = 0; i < count; i++) {
        NetSetup setup = setup_of(wrong[i].recipe, wrong[i].net, wrong[i].overrides);
        NetFixture f;
        FxError err = {0};
        if (net_try(&f, &setup, &err) == 0)
            fail_msg("%s, %s, %s: not refused", setup.recipe, setup.net, wrong[i].overrides[0]);
        if (err.exit_code != FX_EXIT_USAGE || strchr(err.text, '\n') || !strstr(err.text, wrong[i].read) || !strstr(err.text, wrong[i].right))
            fail_msg("%s, %s, %s: \"%s\"", setup.recipe, setup.net, wrong[i].overrides[0], err.text);
    }
}

static void scales_that_a_site_behind_a_norm_cannot_have_are_refused(void **state) {
    (void)state;
    expect_refused(scales, sizeof scales / sizeof scales[0]);
}

static void keys_of_norms_that_take_no_effect_are_refused(void **state) {
    (void)state;
    expect_refused(without_effect, sizeof without_effect / sizeof without_effect[0]);
}

static void what_can_be_trains(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *net, *overrides[3];
    } good[] = {
        {"int8-l1bn", residual, {"norm.reciprocal=lut8+n", "norm.floor=1"}},
        {"int8-l1bn", residual, {"norm.kind=range", "norm.chunks=3", "norm.const=paper"}},
        {"int8-l1bn", residual, {"norm.kind=none"}},
        {"fp32-bn", residual, {"norm.kind=none"}},
        {"banner2018", residual, {"norm.kind=none"}},
        {"ui8", residual, {"norm.kind=none"}},
        {"wage-bn", residual, {"norm.kind=none"}},
        {"int8-l1bn", residual, {"layer.conv2.norm.kind=l2"}},
        {"int8-l1bn", residual, {"error.grad.q=fixed16@max fixed16@max.channel@1s"}},
        {"int8-l1bn", residual, {"preact.q=fixed16@max.channel fixed16@max@1s"}},
        {"int8-l1bn", residual, {"preact-error.q=fixed8@direction:2"}}, // behind products alone
        {"int8-l1bn", "4C3-+(4C3-BN|)-BN-10", {NULL}},
        {"int8-l1bn", "4C3-BN-L1BN-RBN-SBN-10", {"norm.kind=notation", "norm.chunks=2"}},
        {"int8-l1bn", "4C3-BN-MP3p1s2-+(4C3|)-10", {NULL}},
        {"wage-bn", "2C3-+(2C3-DO50|MP3p1s1)-BN-10SMX", {NULL}}, // errors meet in the shortcut's pool
        {"wage-bn", "2C3-+(2C3|MP3p1s1-MP3p1s1)-BN-10", {NULL}},
        {"wage-bn", "2C3-BN-+(MP3p1s1-2C3|MP3p1s1)-10", {NULL}},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        NetSetup setup = setup_of(good[i].recipe, good[i].net, good[i].overrides);
        NetFixture f;
        net_open(&f, &setup);
        uint32_t start = net_crc(&f);
        for (int step = 0; step < 3; step++)
            net_train(&f, NULL);
        if (net_crc(&f) == start)
            fail_msg("%s, %s, %s: nothing was learnt", setup.recipe, setup.net, setup.overrides[0]);
        net_evaluate(&f);
        net_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_that_a_site_behind_a_norm_cannot_have_are_refused),
        cmocka_unit_test(keys_of_norms_that_take_no_effect_are_refused),
        cmocka_unit_test(what_can_be_trains),
    };
    return cmocka_run_group_tests_name("norm_config", tests, NULL, NULL);
}
