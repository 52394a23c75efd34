// Recipes resolved: schedules become phases, and everything that cannot be is refused with exit code 2 and a message that
// names what was read and what would be right.
#include "tests/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char net[] = "4C3-4C3-8FC-10"; // 1437 images, 128 a batch: 11 steps an epoch
static const FxDataset many = {.height = 8, .width = 8, .channels = 1, .classes = 10, .train = {.count = 60000}};

typedef struct Wrong {
    const char *override[2], *read, *right;
} Wrong;

// Of sim/keys.c: what a value can be at all.
static const Wrong values[] = {
    {{"run.loss=smx"}, "run.loss: \"smx\"", "known: sse"},
    {{"recipe.claim=float"}, "recipe.claim: \"float\"", "none|integer"},
    {{"run.cpu=sse2"}, "\"sse2\"", "auto|scalar|avx2|avx512|avx512vnni"},
    {{"run.batch=0"}, "run.batch: \"0\"", "from 1 to 1048576"},
    {{"run.batch=-1"}, "\"-1\"", "whole number"},
    {{"run.batch=1048577"}, "\"1048577\"", "from 1 to 1048576"},
    {{"run.batch=1e3"}, "\"1e3\"", "whole number"},
    {{"run.epochs=99999999999999999999"}, "\"99999999999999999999\"", "1000000"},
    {{"run.threads=257"}, "\"257\"", "from 0 to 256"},
    {{"accumulator.group=0"}, "\"0\"", "from 1 to 1048576"},
    {{"accumulator.error.shift=32"}, "\"32\"", "from 0 to 31"},
    {{"run.seed=18446744073709551616"}, "\"18446744073709551616\"", "below 2^64"},
    {{"random.order=sead"}, "random.order: \"sead\"", "below 2^64"},
    {{"random.init=-1"}, "\"-1\"", "below 2^64"},
    {{"update.rate=quick"}, "update.rate", "quick"},
    {{"update.rate=8 1/0@3"}, "update.rate", "1/0"},
    {{"init.floor=-1"}, "init.floor: \"-1\"", "0.5"},
    {{"error.q=fixed8f7@shift-unit/stochastc"}, "error.q", "stochastic"},
    {{"error.q=fixed8f7/nearest-even/saturate/floor"}, "fixed8f7/nearest-even/saturate/floor", "GRID[@SCALE][/ROUNDING][/OVERFLOW]"},
    {{"error.grid=fixd8"}, "error.grid", "fixed"},
    {{"error.scale=shift-units"}, "shift-units", "shift-unit"},
    {{"error.rounding=up"}, "error.rounding", "nearest-even|away|zero|up|down"},
    {{"error.overflow=clip"}, "\"clip\"", "saturate, propagate, inf, wrap"},
    {{"accumulator.kind=saturate:1"}, "\"saturate:1\"", "N 2..62"},
    {{"accumulator.forward.outer=outer"}, "\"outer\"", "exact, wrap:N, saturate:N"},
    {{"accumulator.chunk=0"}, "accumulator.chunk: \"0\"", "from 1 to 1048576"},
    {{"accumulator.gradient.order=kh-kw-c"}, "\"kh-kw-c\"", "n-oh-ow|oh-ow-n"},
    {{"init.law=uniform-fan-in:0"}, "\"uniform-fan-in:0\"", "C from 1 to 9999"},
    {{"init.law=uniform-fan-in:10000"}, "\"uniform-fan-in:10000\"", "C from 1 to 9999"},
    {{"init.law=normal"}, "\"normal\"", "uniform-fan-in:C"},
    {{"init.law=uniform"}, "\"uniform\"", "uniform-fan-in:C"},
    {{"run.augment=crop"}, "\"crop\"", "pad:P crop"},
    {{"run.augment=pad:4"}, "\"pad:4\"", "pad:P crop"},
    {{"run.augment=pad:17 crop"}, "\"pad:17 crop\"", "P 1..16"},
    {{"run.augment=pad:0 crop"}, "\"pad:0 crop\"", "P 1..16"},
    {{"run.augment=pad:+4 crop"}, "\"pad:+4 crop\"", "P 1..16"},
    {{"run.augment=pad:4294967300 crop"}, "\"pad:4294967300 crop\"", "P 1..16"}, // 4 modulo 2^32
    {{"run.augment=flip flip"}, "\"flip flip\"", "\"flip\""},
    {{"run.augment=none flip"}, "\"none flip\"", "none, or of"},
    {{"run.augment=flip mirror@3"}, "\"mirror\"", "none, or of"},
    {{"run.checkpoint-every=1h"}, "\"1h\"", "e epochs, m minutes, s steps"},
    {{"run.checkpoint-every=0e"}, "\"0e\"", "as 1e"},
    {{"run.checkpoint-every=e"}, "\"e\"", "as 1e"},
    {{"stats.every=10m"}, "\"10m\"", "\"es\""},
    {{"error.gamma=3"}, "\"3\"", "1|2|4|8"},
    {{"error.at=after-masks"}, "\"after-masks\"", "between-masks|before-masks"},
    {{"random.lane=12"}, "\"12\"", "8|16|32"},
    {{"random.source=lfsr:8"}, "\"lfsr:8\"", "philox|lfsr:16|lfsr:32"},
    // schedules
    {{"update.rate=8@3"}, "\"8@3\"", "first value of a schedule has no milestone"},
    {{"error.grid="}, "error.grid", "empty"},
    {{"run.max-steps=5 6@3"}, "\"5 6@3\"", "whole number"}, // no schedule here
    {{"layer.conv1.store.grid=fixed8f7 fixed9f8@3"}, "fixed8f7 fixed9f8@3", NULL},
};

// Of sim/config.c: what does not go together.
static const Wrong pairs[] = {
    {{"run.validation=1437"}, "run.validation = 1437", "1437 training images"},
    {{"run.batch=1438"}, "run.batch = 1438", "1437 training images"},
    {{"init.floor=1000"}, "init.floor = 1000", "below 1000"},
    {{"init.floor=1.2345678"}, "1.2345678", "6 digits"},
    {{"update.rate=0"}, "update.rate: 0", "2^-16 .. 2^30"},
    {{"update.rate=-8"}, "update.rate: \"-8\"", "not negative"},
    {{"update.rate=1/131072"}, "update.rate: 1/131072", "2^-16 .. 2^30"},
    {{"update.rate=8 2147483648@3"}, "update.rate: 2147483648", "2^-16 .. 2^30"},
    {{"error.grid=binary"}, "conv1: error.q", "shift-unit needs a fixed grid, not binary"},
    {{"error.overflow=wrap"}, "conv1: error.q", "two's complement"},
    {{"gradient.rounding=stochastic:16:below", "random.lane=8"},
     "gradient.q = fixed8f7@shift-unit/stochastic:16:below/saturate: 16 random bits", "give 8"},
    {{"gradient.rounding=stochastic:17", "random.source=lfsr:16"}, "17 random bits", "give 16"},
    {{"gradient.rounding=signed-sr-eps:0.1"}, "gradient.q = fixed8f7@shift-unit/signed-sr-eps:0.1", "only at the store"},
    {{"activation.scale=alpha"}, "activation.q = fixed8f7@alpha", "scale of the weight"},
    {{"store.q=fixed8f7@max"}, "conv1: store.q = fixed8f7@max", "signed fixed grid of constant scale that saturates"},
    {{"store.q=ufixed8"}, "store.q = ufixed8f8", "signed fixed grid"},
    {{"store.q=fixed8f7t"}, "store.q = fixed8f7t", "symmetric"},
    {{"store.q=fixed50", "store.clip=grid"}, "store.q = fixed50f49", "at most 40 bits"},
    {{"store.q=fixed8f7/signed-sr-eps:0.4"}, "store.q = fixed8f7@const:0/signed-sr-eps:0.4", "leave its rounding out"},
    {{"accumulator.forward.outer=wrap:20"}, "accumulator.forward.outer", "without a chunk"},
    {{"store.q=fixed8f7t/nearest-even/wrap"}, "store.q = fixed8f7t@const:0/nearest-even/wrap", "saturates"},
    {{"store.q=ternary"}, "store.q = ternary", "signed fixed grid"},
    {{"store.clip=0.3"}, "store.clip = 0.3", "multiple of the store's unit 2^-7 of at most 127 units"},
    {{"store.clip=1"}, "store.clip = 1", "at most 127 units"},
    {{"store.clip=0"}, "store.clip = 0", "decimal"},
    {{"store.clip=half"}, "store.clip = half", "\"grid\" or a decimal"},
    {{"weight.grid=fixed9f8"}, "store.grid has 8 bits, weight.grid 9", "at least as many"},
    {{"weight.grid=fixed2f1 fixed9f8@2"}, "store.grid has 8 bits, weight.grid 9", "at least as many"},
    {{"weight.q=none"}, "conv1: weight.q = none", "name a fixed grid"},
    {{"error.q=none"}, "conv1: error.q = none", "name a fixed grid"},
    {{"layer.conv2.activation.q=none"}, "conv2: activation.q = none", "name a fixed grid"},
    {{"input.q=none"}, "input.q = none", "name a fixed grid"},
    {{"gradient.q=none"}, "gradient.q = none", "name a fixed grid"},
    {{"store.q=none"}, "store.q = none", "name a fixed grid"},
    {{"gradient.q=fixed8f7@max"}, "gradient.q = fixed8f7@max", "@shift-unit"},
    {{"gradient.q=fixed8f7"}, "gradient.q = fixed8f7@const:0", "@shift-unit"},
    {{"input.q=ufixed8"}, "input.q = ufixed8f8", "signed fixed grid alone, as fixed8f7"},
    {{"input.q=fixed17f16"}, "input.q = fixed17f16", "as fixed8f7"},
    {{"input.q=fixed8f7/floor"}, "input.q = fixed8f7@const:0/floor", "as fixed8f7"},
    {{"input.q=fixed8f7@const:1"}, "input.q = fixed8f7@const:1", "as fixed8f7"},
    {{"input.q=fixed8f-1"}, "input.q = fixed8f-1", "as fixed8f7"},
    {{"error.gamma=2", "error.scale=max"}, "error.q = fixed8f7@max", "shift family"},
    {{"logits.q=fixed8f7@max"}, "logits.q = fixed8f7@max", "fixed grid of constant scale"},
    {{"logits.q=ternary"}, "logits.q = ternary", "fixed grid of constant scale"},
    // formats that whole steps of the store, or training, cannot hold
    {{"error.q=e4m3fn"}, "error.q = e4m3fn@const:0", "fixed, binary or ternary"},
    {{"activation.grid=log2:b4:fsr1"}, "activation.q = log2:b4:fsr1", "fixed, binary or ternary"},
    {{"activation.q=fixed8f6@block32", "activation.ste=identity"}, "activation.q = fixed8f6@block32:floor", "one power-of-two scale a tensor"},
    {{"activation.q=fixed8f6@block32"}, "activation.q = fixed8f6@block32:floor", "activation.ste = identity"},
    {{"activation.q=fixed8@max.channel", "activation.ste=identity"}, "activation.q = fixed8f7@max.channel", "one power-of-two scale a tensor"},
    {{"error.q=fixed8@real-max"}, "error.q = fixed8f7@real-max", "one power-of-two scale a tensor"},
    {{"activation.q=fixed8@real-max", "activation.ste=identity"}, "activation.q = fixed8f7@real-max", "one power-of-two scale a tensor"},
};

static void check_wrong(const Wrong *w) {
    const char *const list[] = {w->override[0], w->override[1], NULL};
    Trial t = trial_of("wage", net, NULL, list, NULL);
    trial_refused(&t, w->override[0], w->read, w->right);
    trial_free(&t);
}

static void values_that_a_key_cannot_have_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        check_wrong(&values[i]);
}

static void choices_that_do_not_go_together_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        check_wrong(&pairs[i]);
}

static void runs_longer_than_2_to_the_32_updates_are_refused(void **state) {
    (void)state;
    Trial t = trial_of("wage", net, NULL, LIST("run.batch=1", "run.epochs=1000000"), &many);
    trial_refused(&t, "a million epochs of 60000 steps", "run.epochs = 1000000 of 60000 steps", "4294967295");
    trial_free(&t);
    t = trial_of("wage", net, "999999999999999999", NULL, NULL); // 300 * that is past 2^64
    trial_refused(&t, "a stretch by 10^18 - 1", "@200", "15 digits");
    trial_free(&t);
    t = trial_of("wage", net, "100000", LIST("update.rate=8"), NULL);
    trial_refused(&t, "30 million epochs", "30000000", "1000000");
    trial_free(&t);
    t = trial_of("wage", net, "0.001", NULL, NULL);
    trial_refused(&t, "no epoch left", "0 epochs", "--stretch");
    trial_free(&t);
}

static void check_rates(const Trial *t, const int (*want)[3], int count) {
    assert_int_equal(t->config.phase_count, count);
    for (int i = 0; i < count; i++) {
        const FxPhase *p = &t->config.phases[i];
        if (p->start != (uint64_t)want[i][0] || p->rate.from.mantissa != want[i][1] || p->rate.from.exponent != want[i][2])
            fail_msg("phase %d from step %llu: rate %d * 2^%d, not from %d: %d * 2^%d", i, (unsigned long long)p->start,
                     (int)p->rate.from.mantissa, (int)p->rate.from.exponent, want[i][0], want[i][1], want[i][2]);
    }
}

static void milestones_count_passes_or_updates_and_the_last_reached_one_rules(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("update.rate=8 1@2 1/8@25s"));
    check_rates(&t, (const int[][3]){{0, 1 << 14, -11}, {22, 1 << 14, -14}, {25, 1 << 14, -17}}, 3);
    assert_ptr_equal(fx_config_phase(&t.config, 21), &t.config.phases[0]);
    assert_ptr_equal(fx_config_phase(&t.config, 22), &t.config.phases[1]);
    assert_ptr_equal(fx_config_phase(&t.config, 24), &t.config.phases[1]);
    assert_ptr_equal(fx_config_phase(&t.config, UINT64_MAX), &t.config.phases[2]);
    assert_string_equal(t.warnings.text, "");
    trial_free(&t);
    t = trial_good("wage", LIST("update.rate=8 1@3 2@20s 4@1")); // reading order, not time, decides
    check_rates(&t, (const int[][3]){{0, 1 << 14, -11}, {11, 1 << 14, -12}, {20, 1 << 14, -12}, {33, 1 << 14, -12}}, 4);
    trial_free(&t);
}

static void stretch_multiplies_epochs_and_milestones_to_nearest(void **state) {
    (void)state;
    Trial t = trial_of("wage", net, "0.1", NULL, NULL);
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.config.epochs, 30);
    check_rates(&t, (const int[][3]){{0, 1 << 14, -11}, {220, 1 << 14, -14}, {275, 1 << 14, -17}}, 3);
    trial_free(&t);
    t = trial_of("wage", net, "1.5", LIST("update.rate=8 1@3s 2@5"), NULL); // 4.5 and 7.5 go up
    check_rates(&t, (const int[][3]){{0, 1 << 14, -11}, {5, 1 << 14, -14}, {88, 1 << 14, -13}}, 3);
    assert_int_equal(t.config.epochs, 450);
    trial_free(&t);
    t = trial_of("wage", net, "0.02", LIST("run.epochs=100", "update.rate=8"), NULL); // the override is stretched as well
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.config.epochs, 2);
    trial_free(&t);
    t = trial_of("[recipe]\nbase = wage\n[update]\nrate = 8\n", net, "3334", NULL, NULL);
    trial_refused(&t, "300 epochs times 3334", "\"1000200\"", "1000000");
    trial_free(&t);
}

static void a_milestone_past_the_end_warns_once_and_names_it(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("run.epochs=220"));
    if (!strstr(t.warnings.text, "wage.ini:") || !strstr(t.warnings.text, "update.rate: the milestone @250 lies past the end"))
        fail_msg("the warnings are: %s", t.warnings.text);
    assert_null(strstr(t.warnings.text, "@200"));
    trial_free(&t);
    t = trial_good("wage", LIST("run.epochs=10", "update.rate=8 4@10 2@109s"));
    assert_string_equal(t.warnings.text, "-s update.rate=8 4@10 2@109s: update.rate: the milestone @10 lies past the end of the run "
                                         "(10 epochs, 110 steps)\n");
    trial_free(&t);
    t = trial_good("wage", LIST("run.epochs=10", "update.rate=8",
                                "gradient.q=fixed8f7@shift-unit/floor fixed9f8@shift-unit/floor@500s"));
    const char *said = strstr(t.warnings.text, "@500s lies past the end");
    if (!said || strstr(said + 1, "@500s lies past the end") || strstr(t.warnings.text, "@200"))
        fail_msg("the warnings are: %s", t.warnings.text);
    trial_free(&t);
    t = trial_good("wage", LIST("run.epochs=10", "update.rate=8 1@999999999999999")); // times 11 is no small number
    assert_int_equal(t.config.phase_count, 1);
    trial_free(&t);
    t = trial_of("wage", net, NULL, LIST("run.epochs=1", "run.batch=1", "update.rate=8 1@307445734561826"), // * 60000 = 8384 mod 2^64
                 &many);
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.config.phase_count, 1);
    trial_free(&t);
}

static void quantisers_change_whole_in_schedules(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("layer.fc.gradient.q=fixed8f7@shift-unit/stochastic:32:below fixed8f7@shift-unit/nearest-even@3",
                                      "layer.conv1.gradient.rounding=floor ceil@3s"));
    static const char below[] = "fixed8f7@shift-unit/stochastic:32:below/saturate", even[] = "fixed8f7@shift-unit/nearest-even/saturate";
    assert_string_equal(trial_site(&t, 2, FX_SITE_GRADIENT, 32), below);
    assert_string_equal(trial_site(&t, 2, FX_SITE_GRADIENT, 33), even);
    assert_string_equal(trial_site(&t, 1, FX_SITE_GRADIENT, 33), below);
    assert_string_equal(trial_site(&t, 0, FX_SITE_GRADIENT, 2), "fixed8f7@shift-unit/floor/saturate");
    assert_string_equal(trial_site(&t, 0, FX_SITE_GRADIENT, 3), "fixed8f7@shift-unit/ceil/saturate");
    trial_free(&t);
    t = trial_good("wage", LIST("logits.q=none fixed8f7@2"));
    assert_string_equal(trial_site(&t, 3, FX_SITE_LOGITS, 21), "none");
    assert_string_equal(trial_site(&t, 3, FX_SITE_LOGITS, 22), "fixed8f7@const:0/nearest-even/saturate");
    trial_free(&t);
}

static void augmentations_of_several_words_stand_in_schedules(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("update.rate=8", "run.augment=none pad:4@2 crop flip flip@3 crop@40s pad:2 none@50s"));
    static const int want[][3] = {{0, 0, 0}, {22, 4, 1}, {33, 0, 1}, {40, 2, 0}, {50, 0, 0}};
    assert_int_equal(t.config.phase_count, 5);
    for (int i = 0; i < 5; i++) {
        const FxPhase *p = &t.config.phases[i];
        if (p->start != (uint64_t)want[i][0] || p->augment.pad != want[i][1] || p->augment.flip != want[i][2])
            fail_msg("phase %d from step %llu: pad %d flip %d", i, (unsigned long long)p->start, p->augment.pad, p->augment.flip);
    }
    trial_free(&t);
}

static void schedules_have_at_most_32_values_of_159_letters_in_all(void **state) {
    (void)state;
    char text[2 * FX_VALUE] = "update.rate=1";
    for (int i = 1; i <= 32; i++)
        sprintf(text + strlen(text), " 1@%d", i);
    Trial t = trial_of("wage", net, NULL, LIST(text), NULL);
    trial_refused(&t, text, "update.rate", NULL);
    trial_free(&t);
    // a part written out is longer than its whole: the parts are measured too
    strcpy(text, "error.q=fixed8@max");
    for (int i = 1; i <= 11; i++)
        sprintf(text + strlen(text), " fixed8@max@%d", i);
    t = trial_of("wage", net, NULL, LIST(text), NULL);
    trial_refused(&t, text, "the schedule of error.q", "159 characters");
    trial_free(&t);
}

static void a_store_as_wide_as_the_weight_warns_and_a_narrower_one_is_refused(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("weight.grid=fixed8f7"));
    if (!strstr(t.warnings.text, "conv1: store.grid and weight.grid both have 8 bits") || !strstr(t.warnings.text, "fc4: store.grid"))
        fail_msg("the warnings are: %s", t.warnings.text);
    trial_free(&t);
    t = trial_good("wage", LIST("weight.grid=fixed2f1 fixed8f7@2"));
    if (!strstr(t.warnings.text, "conv1: store.grid and weight.grid both have 8 bits"))
        fail_msg("a weight that grows to the store's width: %s", t.warnings.text);
    trial_free(&t);
    t = trial_good("wage", LIST("weight.grid=fixed7f6"));
    assert_string_equal(t.warnings.text, "");
    trial_free(&t);
    t = trial_of("wage", net, NULL, LIST("layer.fc3.store.grid=fixed4f3", "weight.grid=fixed5f4"), NULL);
    trial_refused(&t, "a store of 4 bits under weights of 5", "fc3: store.grid has 4 bits, weight.grid 5", "at least as many");
    trial_free(&t);
}

static void steps_images_and_seeds_follow_the_run_keys(void **state) {
    (void)state;
    Trial t = trial_good("wage", LIST("run.validation=437", "run.batch=300", "run.epochs=4", "run.seed=7", "random.order=9", "update.rate=1"));
    assert_int_equal(t.config.train_images, 1000);
    assert_int_equal(t.config.steps_per_epoch, 3);
    assert_int_equal(t.config.total_steps, 12);
    assert_int_equal(t.config.seed_init, 7);
    assert_int_equal(t.config.seed_order, 9);
    trial_free(&t);
    t = trial_good("wage", LIST("run.validation=437", "run.batch=300", "run.drop-last=no", "run.max-steps=5", "update.rate=1"));
    assert_int_equal(t.config.steps_per_epoch, 4);
    assert_int_equal(t.config.total_steps, 5);
    trial_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_a_key_cannot_have_are_refused),
        cmocka_unit_test(choices_that_do_not_go_together_are_refused),
        cmocka_unit_test(runs_longer_than_2_to_the_32_updates_are_refused),
        cmocka_unit_test(milestones_count_passes_or_updates_and_the_last_reached_one_rules),
        cmocka_unit_test(stretch_multiplies_epochs_and_milestones_to_nearest),
        cmocka_unit_test(a_milestone_past_the_end_warns_once_and_names_it),
        cmocka_unit_test(quantisers_change_whole_in_schedules),
        cmocka_unit_test(augmentations_of_several_words_stand_in_schedules),
        cmocka_unit_test(schedules_have_at_most_32_values_of_159_letters_in_all),
        cmocka_unit_test(a_store_as_wide_as_the_weight_warns_and_a_narrower_one_is_refused),
        cmocka_unit_test(steps_images_and_seeds_follow_the_run_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
