// Recipes: which setting rules where, and what is said about the others. Precedence is held against a model that knows
// only its definition.
#include "tests/slow.h"
#include "tests/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char net[] = "4C3-4C3-8FC-10";

static uint64_t draw(uint64_t n) {
    static uint64_t calls;
    return slow_mix(++calls) % n;
}

// One setting of the model: the error's grid or rounding, for a selector.
typedef struct Told {
    char selector[8], value[2][32]; // [0] grid, [1] rounding; "" not told
    int assignment;                 // number of the -s that told it; -1: a file
} Told;

static int specificity(const char *selector, const FxLayerName *layer) {
    bool is_kind = !strncmp(layer->name, selector, strlen(layer->kind)) && !strcmp(selector, layer->kind);
    if (!*selector)
        return 1;
    return !strcmp(selector, layer->name) ? 4 : layer->first && !strcmp(selector, "first") ? 3
           : layer->last && !strcmp(selector, "last") ? 3 : is_kind ? 2 : 0;
}

typedef struct Model {
    Told told[64];
    int count;
} Model;

// What rules for part 0 or 1: the most specific, of those the latest.
static const Told *ruler(const Model *m, int part, const FxLayerName *layer) {
    const Told *best = NULL;
    for (int want = 4; want >= 1 && !best; want--)
        for (int i = m->count - 1; i >= 0 && !best; i--)
            if (m->told[i].value[part][0] && specificity(m->told[i].selector, layer) == want)
                best = &m->told[i];
    return best;
}

static const char *const selectors[] = {"", "conv", "fc", "first", "last", "conv1", "conv2", "fc3", "fc4", "fc1"};

// Lines of a source: at most one whole and one of each part for a selector, the whole first.
static void tell_lines(Model *m, char *text, size_t size, bool one_layer, bool user, int *assignment, char (*overrides)[160]) {
    static const char *const roundings[] = {"nearest-even", "floor", "ceil", "toward-zero", "stochastic:8:below"};
    for (int s = 0; s < 10; s++) {
        if (one_layer ? s != 0 && s != 2 && s != 3 && s != 4 && s != 9 : s == 9)
            continue;
        bool opened = false;
        for (int kind = 0; kind < 3; kind++) { // whole, grid, rounding
            if (draw(4))
                continue;
            Told told = {.assignment = user ? *assignment : -1};
            char value[96], line[160];
            strcpy(told.selector, selectors[s]);
            if (kind != 2)
                snprintf(told.value[0], sizeof told.value[0], "fixed%df%d", 8 + (int)draw(4), 7 + (int)draw(4));
            if (kind != 1)
                strcpy(told.value[1], roundings[draw(5)]);
            snprintf(value, sizeof value, kind == 0 ? "%s@shift-unit/%s" : "%s%s", told.value[0], told.value[1]);
            const char *part = kind == 0 ? "q" : kind == 1 ? "grid" : "rounding";
            if (user) {
                snprintf(overrides[(*assignment)++], 160, "%s%s%serror.%s=%s", *told.selector ? "layer." : "", told.selector,
                         *told.selector ? "." : "", part, value);
            } else {
                if (!opened)
                    snprintf(text + strlen(text), size - strlen(text), *told.selector ? "[layer.%s.error]\n" : "[error]\n", told.selector);
                opened = true;
                snprintf(line, sizeof line, "%s = %s\n", part, value);
                snprintf(text + strlen(text), size - strlen(text), "%s", line);
            }
            m->told[m->count++] = told;
        }
    }
}

static void check_model(const Model *m, const Trial *t, const char *text, int assignments) {
    char want[128];
    bool rules[64] = {false};
    for (int l = 0; l < t->layers; l++) {
        const Told *part[2] = {ruler(m, 0, &t->names[l]), ruler(m, 1, &t->names[l])};
        for (int i = 0; i < 2; i++)
            if (part[i]->assignment >= 0)
                rules[part[i]->assignment] = true;
        snprintf(want, sizeof want, "%s@shift-unit/%s/saturate", part[0]->value[0], part[1]->value[1]);
        if (!t->failed && strcmp(trial_site(t, l, FX_SITE_ERROR, 0), want))
            fail_msg("%s: error.q is %s, not %s, under\n%s", t->names[l].name, trial_site(t, l, FX_SITE_ERROR, 0), want, text);
    }
    bool all = true;
    for (int i = 0; i < assignments; i++)
        all &= rules[i];
    // an override of fixed8f7@shift-unit also sets scale and overflow, which others may not set
    if (all && t->failed)
        fail_msg("every override rules somewhere, but: %s, under\n%s", t->err.text, text);
}

static void specific_beats_general_and_later_beats_earlier_part_by_part(void **state) {
    (void)state;
    for (int i = 0; i < 400; i++) {
        bool one_layer = draw(5) == 0;
        Model m = {.count = 1, .told = {{"", {"fixed8f7", "nearest-even"}, -1}}};
        char base[4096] = "[recipe]\nbase = wage\n", own[4096], all[16384] = "", path[600], overrides[64][160];
        const char *list[65] = {0};
        int assignments = 0;
        tell_lines(&m, base, sizeof base, one_layer, false, NULL, NULL);
        trial_write("base.ini", base);
        snprintf(path, sizeof path, "%s/base.ini", trial_directory());
        snprintf(own, sizeof own, "[recipe]\nbase = %s\n", path);
        tell_lines(&m, own, sizeof own, one_layer, false, NULL, NULL);
        if (i % 2)
            tell_lines(&m, NULL, 0, one_layer, true, &assignments, overrides);
        snprintf(all, sizeof all, "%s\n%s\n", base, own);
        for (int j = 0; j < assignments; j++) {
            list[j] = overrides[j];
            snprintf(all + strlen(all), sizeof all - strlen(all), "-s %s\n", overrides[j]);
        }
        Trial t = trial_of(own, one_layer ? "10" : net, NULL, list, NULL);
        if (t.failed && !strstr(t.err.text, "takes effect in no layer"))
            fail_msg("%s, under\n%s", t.err.text, all);
        check_model(&m, &t, all, assignments);
        trial_free(&t);
    }
}

static void a_part_written_alone_leaves_the_other_parts_of_the_quantiser(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("gradient.rounding=stochastic:8:below", "layer.conv2.gradient.grid=fixed9f8"));
    assert_string_equal(trial_site(&t, 0, FX_SITE_GRADIENT, 0), "fixed8f7@shift-unit/stochastic:8:below/saturate");
    assert_string_equal(trial_site(&t, 1, FX_SITE_GRADIENT, 0), "fixed9f8@shift-unit/stochastic:8:below/saturate");
    trial_free(&t);
}

static void a_base_rules_only_where_the_recipe_is_silent(void **state) {
    (void)state;
    char text[700];
    trial_write("a.ini", "[recipe]\nbase = wage\n[run]\nbatch = 32\nepochs = 7\n[layer.first]\nerror.grid = fixed9f8\n");
    snprintf(text, sizeof text, "[recipe]\nname = mine\nbase = %s/a.ini\n[run]\nepochs = 9\n[layer.conv]\nerror.grid = fixed10f9\n",
             trial_directory());
    Trial t = trial_good(text, LIST("run.drop-last=no"));
    assert_string_equal(t.recipe.name, "mine");
    assert_int_equal(t.config.batch, 32);
    assert_int_equal(t.config.epochs, 9);
    assert_int_equal(t.config.steps_per_epoch, 45);
    assert_int_equal(t.config.phases[0].rate.from.mantissa, 1 << 14);
    assert_int_equal(t.config.phases[0].rate.from.exponent, -11);
    assert_string_equal(trial_site(&t, 0, FX_SITE_ERROR, 0), "fixed9f8@shift-unit/nearest-even/saturate");
    assert_string_equal(trial_site(&t, 1, FX_SITE_ERROR, 0), "fixed10f9@shift-unit/nearest-even/saturate");
    assert_string_equal(trial_site(&t, 2, FX_SITE_ERROR, 0), "fixed8f7@shift-unit/nearest-even/saturate");
    trial_free(&t);
}

static void bases_that_are_missing_or_turn_in_a_circle_are_refused(void **state) {
    (void)state;
    char text[700];
    snprintf(text, sizeof text, "[recipe]\nbase = %s/my.ini\n", trial_directory());
    Trial t = trial_of(text, net, NULL, NULL, NULL);
    trial_refused(&t, "a recipe that is its own base", "my.ini", "8 bases");
    trial_free(&t);
    t = trial_of("[recipe]\nbase = nobody\n", net, NULL, NULL, NULL);
    trial_refused(&t, "a base that nobody knows", "\"nobody\"", "wage wage-mnist");
    trial_free(&t);
    t = trial_of("[recipe]\nbase = ./nowhere.ini\n", net, NULL, NULL, NULL);
    trial_refused(&t, "a base without a file", "./nowhere.ini", NULL);
    trial_free(&t);
}

static void keys_that_do_not_exist_or_stand_in_the_wrong_place_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *read, *right;
    } wrong[] = {
        {"[recipe]\nbase = wage\n[error]\nround = floor\n", "my.ini:4: no key \"error.round\"", "error.rounding"},
        {"[recipe]\nbase = wage\n[errors]\nq = fixed8f7\n", "no key \"errors.q\"", "sections recipe run input"},
        {"batch = 3\n[recipe]\nbase = wage\n", "my.ini:1: no key \".batch\"", "sections recipe"},
        {"[recipe]\nbase = wage\n[layer.conv9]\nerror.grid = fixed9f8\n", "my.ini:4: no layer \"conv9\"",
         "first last conv fc conv1 conv2 fc3 fc4"},
        {"[recipe]\nbase = wage\n[layer.pool]\nerror.grid = fixed9f8\n", "no layer \"pool\"", "conv1"},
        {"[recipe]\nbase = wage\n[layer.conv1]\nrun.batch = 3\n", "my.ini:4: run.batch", "whole run"},
        {"[recipe]\nbase = wage\n[layer.]\nerror.grid = fixed9f8\n", "layer..error.grid", "layer.first.error.q"},
        {"[recipe]\nbase = wage\n[layer]\nconv1 = fixed9f8\n", "layer.conv1", "layer.first.error.q"},
        {"[recipe]\nbase = wage\n[layer.a-name-of-more-than-23-letters]\nerror.grid = fixed9f8\n", "a-name-of-more-than-23-letters", NULL},
        {"[recipe]\nbase = wage\n[error]\ngrid = fixed9f8\ngrid = fixed8f7\n", "my.ini:5", "line 4"},
        {"[recipe]\nbase = wage\n[layer.conv1.error]\ngrid = fixed9f8\n[layer.conv1]\nerror.grid = fixed8f7\n", "error.grid", "my.ini:4"},
        {"[recipe]\nbase = wage\n[error]\ngrid = fixed9f8\nq = fixed8f7@shift-unit\n", "my.ini:5: sets error.grid", "my.ini:4"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Trial t = trial_of(wrong[i].text, net, NULL, NULL, NULL);
        trial_refused(&t, wrong[i].text, wrong[i].read, wrong[i].right);
        trial_free(&t);
    }
}

static void overrides_that_change_nothing_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *net, *override[3], *read, *right;
    } wrong[] = {
        {"wage", net, {"layer.first.activation.q=fixed9f8"}, "-s layer.first.activation.q=fixed9f8", "nothing reads it"},
        {"wage", net, {"layer.conv1.logits.q=fixed9f8"}, "-s layer.conv1.logits.q=fixed9f8", "nothing reads it"},
        {"wage", net, {"logits.ste=identity"}, "-s logits.ste=identity", "nothing reads it"},
        {"wage", "10", {"activation.grid=fixed9f8"}, "-s activation.grid=fixed9f8", "nothing reads it"},
        {"[recipe]\nbase = wage\n[layer.conv1]\nerror.grid = fixed9f8\n[layer.conv2]\nerror.grid = fixed9f8\n", net,
         {"layer.conv.error.grid=fixed10f9"}, "-s layer.conv.error.grid=fixed10f9", "other settings rule everywhere"},
        {"wage", net, {"layer.conv7.error.grid=fixed9f8"}, "-s layer.conv7.error.grid=fixed9f8: no layer \"conv7\"", "conv1"},
        {"[recipe]\nbase = wage\n[accumulator.forward]\nkind = exact\n[accumulator.error]\nkind = exact\n[accumulator.gradient]\nkind = exact\n",
         net, {"accumulator.kind=saturate:16"}, "-s accumulator.kind=saturate:16", "takes effect in no layer"},
        {"wage", net, {"error.grid=fixed9f8", "error.grid=fixed10f9"}, "-s error.grid=fixed10f9", "-s error.grid=fixed9f8"},
        {"wage", net, {"run.batch=64", "run.batch=32"}, "-s run.batch=32", "-s run.batch=64"},
        {"wage", net, {"error.grid=fixed9f8", "error.q=fixed8f7@shift-unit"}, "error.q=fixed8f7@shift-unit", "-s error.grid=fixed9f8"},
        {"wage", net, {"recipe.base=wage-mnist"}, "recipe.base", "recipe file"},
        {"wage", net, {"recipe.name=other"}, "recipe.name", "recipe file"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Trial t = trial_of(wrong[i].recipe, wrong[i].net, NULL, wrong[i].override, NULL);
        trial_refused(&t, wrong[i].override[0], wrong[i].read, wrong[i].right);
        trial_free(&t);
    }
}

static void an_override_that_some_layers_keep_for_themselves_warns_and_names_them(void **state) {
    (void)state;
    static const char recipe[] = "[recipe]\nbase = wage\n[layer.first]\nerror.grid = fixed9f8\n[layer.fc]\nerror.grid = fixed10f9\n";
    Trial t = trial_good(recipe, LIST("error.grid=fixed11f10"));
    if (!strstr(t.warnings.text, "-s error.grid=fixed11f10: these layers keep their own error.grid: conv1 fc3 fc4\n"))
        fail_msg("the warnings are: %s", t.warnings.text);
    assert_string_equal(trial_site(&t, 0, FX_SITE_ERROR, 0), "fixed9f8@shift-unit/nearest-even/saturate");
    assert_string_equal(trial_site(&t, 1, FX_SITE_ERROR, 0), "fixed11f10@shift-unit/nearest-even/saturate");
    trial_free(&t);
    t = trial_good(recipe, LIST("layer.conv2.error.grid=fixed11f10")); // reaches one layer, rules in it
    assert_string_equal(t.warnings.text, "");
    trial_free(&t);
    t = trial_good(recipe, LIST("layer.fc3.error.grid=fixed10f9", "layer.fc.error.grid=fixed10f9")); // kept, but the same
    assert_string_equal(t.warnings.text, "");
    trial_free(&t);
}

static void an_accumulator_that_a_product_keeps_for_itself_warns_and_names_it(void **state) {
    (void)state;
    Trial t = trial_good("[recipe]\nbase = wage\n[accumulator.forward]\nkind = saturate:16\n", LIST("accumulator.kind=saturate:24"));
    const FxAccumulator *acc = t.config.phases[0].layers[1].accumulator;
    assert_int_equal(acc[FX_FORWARD].inner.bits, 16);
    assert_int_equal(acc[FX_ERROR].inner.bits, 24);
    if (!strstr(t.warnings.text, "-s accumulator.kind=saturate:24") || !strstr(t.warnings.text, "accumulator.forward.kind"))
        fail_msg("the warnings are: %s", t.warnings.text);
    trial_free(&t);
}

static void an_override_that_is_no_assignment_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"run.batch", "=3", "", "run.batch=", "run.data= x", "run.net=10 ", "run.data=a;b", "run.data=a#b",
                                        "run.data=a\tb", "run.data=a\nb", "run.data=a\x7f", "run.data=a\xff"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Trial t = trial_of("wage", net, NULL, LIST(wrong[i]), NULL);
        trial_refused(&t, wrong[i], "-s", NULL);
        trial_free(&t);
    }
    char value[FX_VALUE + 16];
    snprintf(value, sizeof value, "run.data=%0*d", FX_VALUE, 0);
    Trial t = trial_of("wage", net, NULL, LIST(value), NULL);
    trial_refused(&t, value, "run.data", "at most");
    trial_free(&t);
}

static void overrides_are_noted_in_order_without_those_that_change_no_result(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("run.threads=2", "error.grid=fixed9f8", "run.quiet=yes", "update.rate=8 1@2", "run.cpu=scalar"));
    assert_string_equal(t.recipe.overrides, "error.grid=fixed9f8;update.rate=8 1@2");
    trial_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specific_beats_general_and_later_beats_earlier_part_by_part),
        cmocka_unit_test(a_part_written_alone_leaves_the_other_parts_of_the_quantiser),
        cmocka_unit_test(a_base_rules_only_where_the_recipe_is_silent),
        cmocka_unit_test(bases_that_are_missing_or_turn_in_a_circle_are_refused),
        cmocka_unit_test(keys_that_do_not_exist_or_stand_in_the_wrong_place_are_refused),
        cmocka_unit_test(overrides_that_change_nothing_are_refused_by_name),
        cmocka_unit_test(an_override_that_some_layers_keep_for_themselves_warns_and_names_them),
        cmocka_unit_test(an_accumulator_that_a_product_keeps_for_itself_warns_and_names_it),
        cmocka_unit_test(an_override_that_is_no_assignment_is_refused),
        cmocka_unit_test(overrides_are_noted_in_order_without_those_that_change_no_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
