// fx_recipe_write: what it writes is a recipe that loads to the same run, and that writes itself again.
#include "tests/slow.h"
#include "tests/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 10 };

static const char net[] = "4C3-4C3-8FC-10";

static char *written(Trial *t, bool neutral) {
    size_t size = fx_recipe_write(NULL, 0, &t->recipe, neutral) + 1;
    char *text = malloc(size), small[16];
    assert_non_null(text);
    assert_int_equal(fx_recipe_write(text, size, &t->recipe, neutral), size - 1);
    assert_int_equal(strlen(text), size - 1);
    assert_int_equal(fx_recipe_write(small, sizeof small, &t->recipe, neutral), size - 1);
    if (strlen(small) != sizeof small - 1 || strncmp(small, text, sizeof small - 1))
        fail_msg("in 16 bytes stands \"%s\"", small);
    return text;
}

// The first line in which two texts differ.
static void must_agree(const char *got, const char *want, const char *what, const char *recipe) {
    for (int line = 1;; line++) {
        size_t n = strcspn(got, "\n"), m = strcspn(want, "\n");
        if (n != m || strncmp(got, want, n))
            fail_msg("%s, line %d: \"%.*s\", not \"%.*s\"; the recipe:\n%s", what, line, (int)n, got, (int)m, want, recipe);
        if (!got[n])
            return;
        got += n + 1;
        want += m + 1;
    }
}

static void check_fixed_point(const char *recipe, const char *notation, const char *const overrides[]) {
    Trial first = trial_of(recipe, notation, NULL, overrides, NULL);
    if (first.failed)
        fail_msg("%s %s: %s", recipe, overrides[0] ? overrides[0] : "", first.err.text);
    char *run = trial_describe(&first);
    for (int neutral = 1; neutral >= 0; neutral--) {
        char *text = written(&first, neutral);
        Trial second = trial_of(text, notation, NULL, NULL, NULL);
        if (second.failed)
            fail_msg("%s; the recipe:\n%s", second.err.text, text);
        char *again = written(&second, neutral), *same = trial_describe(&second);
        must_agree(again, text, "written again", text);
        if (!neutral) // the last line is of keys that were left out
            *strstr(same, "checkpoint") = *strstr(run, "checkpoint") = 0;
        must_agree(same, run, "resolved again", text);
        assert_string_equal(second.recipe.name, first.recipe.name);
        trial_free(&second);
        free(again);
        free(same);
        free(text);
    }
    free(run);
    trial_free(&first);
}

static const char *const lists[][MOST] = {
    {NULL},
    {"run.batch=64", "run.epochs=3", "run.validation=37", "run.drop-last=no", "run.threads=2", "run.checkpoint-every=500s"},
    {"layer.conv.error.grid=fixed9f8", "layer.first.error.rounding=floor", "layer.fc4.gradient.rounding=stochastic:8:below"},
    {"update.rate=8 1@20 1/8@250s", "run.augment=none pad:4@2 crop flip none@3"},
    {"gradient.q=fixed8f7@shift-unit/stochastic:32:below fixed8f7@shift-unit/nearest-even@3"},
    {"layer.last.gradient.q=fixed8f7@shift-unit/floor fixed9f8@shift-unit/ceil@30s", "gradient.rounding=odd"},
    {"accumulator.kind=saturate:16", "accumulator.outer=exact", "accumulator.chunk=4", "accumulator.forward.group=8"},
    {"accumulator.forward.kind=exact", "accumulator.kind=wrap:18", "layer.conv2.accumulator.error.shift=3"},
    {"accumulator.forward.kind=exact", "layer.fc.accumulator.kind=saturate:20", "accumulator.gradient.order=oh-ow-n"},
    {"weight.q=fixed4f3@alpha", "store.q=fixed10f9", "store.clip=grid", "layer.conv1.store.clip=0.25", "error.gamma=4"},
    {"random.source=lfsr:16", "random.lane=16", "gradient.rounding=stochastic:16:below", "random.init=18446744073709551615", "run.seed=0"},
    {"logits.q=none fixed8f7@2", "logits.ste=clip", "activation.ste=identity", "layer.fc3.activation.ste=clip"},
    {"input.q=fixed10f9", "input.map=wage-128", "init.law=uniform-fan-in:6", "init.floor=0.75", "stats.every=100s", "stats.kind=none"},
    {"activation.scale=max", "activation.rounding=nearest-away", "layer.conv2.activation.grid=ufixed8", "error.at=before-masks"},
    {"error.grid=fixed9f8", "layer.fc.error.grid=fixed10f9", "layer.last.error.grid=fixed11f10", "layer.fc4.error.rounding=floor"},
    {"logits.rounding=floor", "layer.last.logits.grid=fixed8f7"}, // inherits a part of a site that is off elsewhere
    {"error.q=fixed8f7@shift-unit", "layer.conv.error.q=fixed9f8@shift-unit/floor", "layer.conv1.error.scale=shift-unit-ceil"},
};

// Of recipes whose updates are values.
static const char *const value_lists[][MOST] = {
    {NULL},
    {"error.grad.rounding=stochastic:8", "layer.last.error.q=fp16", "weight.q=e4m3fn", "weight.back.q=e5m2/stochastic"},
    {"update.rate=0.1 warmup:1e cosine:1e-4 0.01@3", "update.momentum=0.5 0.7@2", "update.weight-decay=1e-4", "update.nesterov=yes"},
    {"activation.grad.q=none", "layer.first.init.law=uniform-fan-in:2", "stats.kind=full"},
};

static void built_in_recipes_under_overrides_load_to_the_same_run(void **state) {
    (void)state;
    for (int i = 0; fx_recipe_name(i); i++) {
        bool steps = !strncmp(fx_recipe_name(i), "wage", 4);
        check_fixed_point(fx_recipe_name(i), net, lists[0]);
        for (size_t j = 1; steps && j < sizeof lists / sizeof lists[0]; j++)
            check_fixed_point(fx_recipe_name(i), net, lists[j]);
    }
    for (size_t j = 0; j < sizeof value_lists / sizeof value_lists[0]; j++)
        check_fixed_point("fp32", net, value_lists[j]);
}

// On a net of one product layer, first, last, and the two names of it fight for the same place.
static void settings_of_equal_reach_keep_their_order(void **state) {
    (void)state;
    check_fixed_point("[recipe]\nbase = wage\n[layer.first]\nerror.grid = fixed9f8\n[layer.last]\nerror.grid = fixed10f9\n", "10",
                      (const char *const[]){"layer.first.error.grid=fixed11f10", NULL});
    check_fixed_point("[recipe]\nbase = wage\n[layer.last]\nerror.grid = fixed9f8\n[layer.first]\nerror.grid = fixed10f9\n", "10",
                      (const char *const[]){"layer.last.error.rounding=ceil", "layer.first.error.scale=shift-unit-floor", NULL});
}

static uint64_t draw(uint64_t n) {
    static uint64_t calls;
    return slow_mix(++calls) % n;
}

static void recipes_of_many_layer_settings_load_to_the_same_run(void **state) {
    (void)state;
    static const char *const selectors[] = {"", "layer.conv.", "layer.fc.", "layer.first.", "layer.last.", "layer.conv1.",
                                            "layer.fc4.", "layer.fc1."};
    static const char *const keys[][4] = {
        {"error.q", "fixed8f7@shift-unit/floor fixed9f8@shift-unit@2", "fixed10f9@shift-unit", "fixed12f11@shift"},
        {"error.grid", "fixed8f7", "fixed9f8 fixed10f9@3s", "fixed7f6t"},
        {"error.rounding", "floor", "ceil odd@2", "stochastic:8:below"},
        {"gradient.rounding", "floor", "sr nearest-up@2", "stochastic:16:a"},
        {"accumulator.kind", "exact", "wrap:20", "saturate:16 exact@1"},
        {"accumulator.error.kind", "exact", "wrap:21", "saturate:17"},
        {"accumulator.gradient.order", "n-oh-ow", "oh-ow-n", "n-oh-ow oh-ow-n@2"},
        {"error.gamma", "1", "2", "1 4@7"},
    };
    int resolved = 0;
    for (int i = 0; i < 400; i++) {
        char text[4096] = "[recipe]\nbase = wage\n";
        bool one_layer = draw(3) == 0;
        for (int n = 0; n < 6; n++) {
            const char *selector = selectors[draw(8)];
            const char *const *key = keys[draw(8)];
            const char *value = key[1 + draw(3)];
            char section[64], rest[64];
            snprintf(section, sizeof section, "%s%s", selector, key[0]);
            char *dot = strrchr(section, '.');
            *dot = 0;
            strcpy(rest, dot + 1);
            snprintf(text + strlen(text), sizeof text - strlen(text), "[%s]\n%s = %s\n", section, rest, value);
        }
        Trial t = trial_of(text, one_layer ? "10" : net, NULL, NULL, NULL);
        bool good = !t.failed; // others name no layer of the net, a key twice, or "sr"
        trial_free(&t);
        if (good)
            check_fixed_point(text, one_layer ? "10" : net, (const char *const[]){NULL});
        resolved += good;
    }
    if (resolved < 40)
        fail_msg("only %d recipes of 400 could be resolved", resolved);
}

static void values_of_the_greatest_length_survive_or_are_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"layer.conv1.accumulator.gradient.group", "accumulator.gradient.group", "layer.conv1.activation.rounding",
                                       "run.data", "run.net", "error.q"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (int length = 144; length < FX_VALUE; length++) {
            char text[512], value[FX_VALUE];
            const char *unit = strstr(keys[k], "group") ? "1" : strstr(keys[k], "rounding") ? "odd"
                               : strstr(keys[k], "error") ? "fixed8f7@shift-unit" : "x";
            strcpy(value, unit);
            for (int i = 1; (int)strlen(value) < length; i++)
                sprintf(value + strlen(value), "%c", 'x');
            if (unit[0] != 'x') { // items first, then the milestone's digits fill up
                strcpy(value, unit);
                for (int i = 1; (int)(strlen(value) + strlen(unit) + 24) < length; i++)
                    sprintf(value + strlen(value), " %s@%d", unit, i);
                int digits = length - (int)(strlen(value) + strlen(unit) + 2);
                sprintf(value + strlen(value), " %s@%0*d", unit, digits > 15 ? 15 : digits, 7);
            }
            snprintf(text, sizeof text, "%s=%s", keys[k], value);
            const char *const list[] = {text, NULL};
            Trial t = trial_of("wage", net, NULL, list, NULL);
            if (t.failed)
                trial_refused(&t, text, NULL, NULL);
            else
                check_fixed_point("wage", net, list);
            trial_free(&t);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_recipes_under_overrides_load_to_the_same_run),
        cmocka_unit_test(settings_of_equal_reach_keep_their_order),
        cmocka_unit_test(recipes_of_many_layer_settings_load_to_the_same_run),
        cmocka_unit_test(values_of_the_greatest_length_survive_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
