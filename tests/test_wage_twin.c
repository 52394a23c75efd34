// Whole training steps against the slow twin, tensor for tensor and count for count: widths,
// scales, masks, rates, clips.
#include "tests/slow_wage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 5, BATCH = 16, TEXT = 80 };

// A rate as recipes write it and as an exact product.
typedef struct Rate {
    const char *text;
    int64_t mantissa;
    int exponent;
} Rate;

static const Rate rates[] = {{"8", 1, 3},         {"1", 1, 0},   {"1/8", 1, -3}, {"3/4", 3, -2},
                             {"0.1", 26214, -18}, {"128", 1, 7}, {"5", 5, 0}};
enum { RATES = sizeof rates / sizeof rates[0] };

// What the recipe `wage` says, and what `wage-mnist` changes.
static SlowWage wage(int inputs, int hidden) {
    return (SlowWage){.layers = 2,
                      .sizes = {inputs, hidden, 10},
                      .weight = 2,
                      .activation = 8,
                      .gradient = 8,
                      .error = 8,
                      .activation_clip = true,
                      .scale = "shift-unit",
                      .random_bits = 32,
                      .limit = 64,
                      .mantissa = 1,
                      .exponent = 3,
                      .seed = 11};
}

static SlowWage wage_mnist(int inputs, int hidden) {
    SlowWage w = wage(inputs, hidden);
    w.unit = w.logits_clip = true;
    w.logits = 8;
    return w;
}

typedef struct Overrides {
    char text[NET_OVERRIDES][TEXT];
    int count;
} Overrides;

static void put(Overrides *o, const char *format, ...) {
    va_list list;
    assert_true(o->count < NET_OVERRIDES);
    va_start(list, format);
    vsnprintf(o->text[o->count++], TEXT, format, list);
    va_end(list);
}

// Everything that the twin's settings say, written as a recipe would.
static Overrides overrides_of(const SlowWage *w, const char *rate) {
    Overrides o = {.count = 0};
    put(&o, "weight.q=fixed%d@alpha", w->weight);
    put(&o, "input.q=fixed%d", w->activation);
    if (w->layers > 1) {
        put(&o, "activation.q=fixed%d", w->activation);
        put(&o, "activation.ste=%s", w->activation_clip ? "clip" : "identity");
    }
    put(&o, "store.q=fixed%d", w->gradient);
    put(&o, "gradient.grid=fixed%d", w->gradient);
    put(&o, "gradient.rounding=stochastic:%d:below", w->random_bits);
    put(&o, "error.q=fixed%d@%s", w->error, w->scale);
    put(&o, "error.gamma=%d", 1 << w->lower);
    put(&o, "error.at=%s", w->before_masks ? "before-masks" : "between-masks");
    put(&o, "update.rate=%s", rate);
    put(&o, "input.map=%s", w->unit ? "unit" : "wage-127.5");
    if (w->limit == (INT64_C(1) << (w->gradient - 1)) - 1)
        put(&o, "store.clip=grid");
    else
        put(&o, "store.clip=%.15g", (double)w->limit / (double)(INT64_C(1) << (w->gradient - 1)));
    if (!w->logits) {
        put(&o, "logits.q=none");
    } else {
        put(&o, "logits.q=fixed%d", w->logits);
        put(&o, "logits.ste=%s", w->logits_clip ? "clip" : "identity");
    }
    return o;
}

static void describe(char text[256], const SlowWage *w, const char *rate) {
    snprintf(text, 256,
             "%d-%d-%d-%d, rate %s, %d random bits, clip %lld, %s / %d, %s, logits %d%s%s, %s",
             w->weight, w->activation, w->gradient, w->error, rate, w->random_bits,
             (long long)w->limit, w->scale, 1 << w->lower, w->before_masks ? "before" : "between",
             w->logits, w->logits_clip ? " clip" : "", w->activation_clip ? "" : ", no mask",
             w->unit ? "unit" : "127.5");
}

static void must_count(const char *label, const char *what, uint64_t got, uint64_t wanted) {
    if (got != wanted)
        fail_msg("%s: %s = %llu, not %llu", label, what, (unsigned long long)got,
                 (unsigned long long)wanted);
}

// Before each step `prepare` may change net and twin; NULL: nothing changes.
typedef void Prepare(NetFixture *f, SlowWage *w);

static void compare(NetFixture *f, SlowWage *w, const char *label, Prepare *prepare) {
    slow_wage_init(w);
    for (int step = 0; step < STEPS; step++) {
        Recording got = {0}, wanted = {0};
        FxTrace trace = recording_trace(&got);
        char where[320];
        snprintf(where, sizeof where, "%s, step %d", label, step);
        if (prepare)
            prepare(f, w);
        int images = fx_feed_train(&f->feed, &f->net, f->step);
        slow_wage_step(w, f->net.batch_pixels, f->net.batch_labels, images, (uint64_t)step,
                       &wanted);
        net_train_batch(f, images, &trace);
        recordings_must_agree(&got, &wanted, where);
        recording_clear(&got);
        recording_clear(&wanted);
        uint64_t masked = 0;
        for (int p = 0; p < f->net.product_count; p++)
            masked += fx_net_product(&f->net, p)->site[FX_SITE_ACTIVATION].stats.masked +
                      fx_net_product(&f->net, p)->site[FX_SITE_LOGITS].stats.masked;
        must_count(where, "loss", (uint64_t)f->totals.answers.loss, (uint64_t)w->loss);
        must_count(where, "wrong", f->totals.answers.wrong, w->wrong);
        must_count(where, "ties", f->totals.answers.ties, w->ties);
        must_count(where, "saturated", f->totals.saturated, w->saturated);
        must_count(where, "store_changed", f->totals.store_changed, w->changed);
        must_count(where, "zero_tensors", f->totals.zero_tensors, w->zero_tensors);
        must_count(where, "masked", masked, w->masked);
    }
    slow_wage_free(w);
}

// The net of w's sizes on the digits, or where it has other inputs, on made images.
static void run(SlowWage w, const char *recipe, const char *rate, bool as_recipe_says,
                Prepare *prepare) {
    NetFixture f;
    FxDataset made = {0};
    char net[64], label[256];
    Overrides o = overrides_of(&w, rate);
    NetSetup setup = {
        .recipe = recipe, .net = net, .batch = BATCH, .seed = w.seed, .cpu = fx_cpu_detect()};
    int used = 0;
    for (int l = 1; l < w.layers; l++)
        used += snprintf(net + used, sizeof net - (size_t)used, "%dFC-", w.sizes[l]);
    snprintf(net + used, sizeof net - (size_t)used, "10");
    for (int i = 0; !as_recipe_says && i < o.count; i++)
        setup.overrides[i] = o.text[i];
    if (w.sizes[0] != 64)
        made = dataset_made(1, w.sizes[0], 1, 64);
    setup.data = w.sizes[0] == 64 ? dataset_digits() : &made;
    describe(label, &w, rate);
    net_open(&f, &setup);
    compare(&f, &w, label, prepare);
    net_close(&f);
    fx_dataset_free(&made);
}

static void both_recipes_as_they_stand_train_like_the_twin(void **state) {
    (void)state;
    run(wage(64, 16), "wage", "8", true, NULL);
    run(wage_mnist(64, 16), "wage-mnist", "8", true, NULL);
}

static void every_width_trains_like_the_twin(void **state) {
    (void)state;
    static const struct {
        int weight, activation, gradient, error;
    } widths[] = {{2, 8, 8, 8},    {3, 8, 8, 8},   {4, 8, 12, 10}, {2, 8, 6, 8},   {2, 8, 4, 8},
                  {2, 8, 8, 4},    {2, 2, 8, 8},   {2, 8, 8, 2},   {5, 4, 9, 6},   {8, 8, 16, 8},
                  {2, 15, 15, 15}, {6, 12, 10, 3}, {7, 3, 8, 12},  {8, 15, 9, 15}, {2, 8, 12, 12},
                  {3, 2, 3, 2},    {2, 9, 2, 9},   {4, 10, 16, 13}};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int mnist = 0; mnist < 2; mnist++) {
            SlowWage w = mnist ? wage_mnist(64, 16) : wage(64, 16);
            const Rate *rate = &rates[i % RATES];
            w.weight = widths[i].weight;
            w.activation = widths[i].activation;
            w.gradient = widths[i].gradient;
            w.error = widths[i].error;
            w.limit = (INT64_C(1) << (w.gradient - 1)) -
                      (INT64_C(1) << (w.gradient - w.weight)); // 1 - step of the weight
            w.mantissa = rate->mantissa;
            w.exponent = rate->exponent;
            run(w, mnist ? "wage-mnist" : "wage", rate->text, false, NULL);
        }
}

static void every_error_scale_gamma_and_order_trains_like_the_twin(void **state) {
    (void)state;
    static const char *const scales[] = {"shift-unit", "shift-unit-ceil", "shift-unit-floor"};
    for (int i = 0; i < 3 * 4 * 2 * 2; i++) {
        SlowWage w = i % 2 ? wage_mnist(64, 16) : wage(64, 16);
        w.before_masks = i / 2 % 2;
        w.lower = i / 4 % 4;
        w.scale = scales[i / 16];
        run(w, i % 2 ? "wage-mnist" : "wage", "8", false, NULL);
    }
}

static void every_width_of_the_logits_trains_like_the_twin(void **state) {
    (void)state;
    for (int bits = 2; bits <= 20; bits++)
        for (int clip = 0; clip < 2; clip++) {
            SlowWage w = bits % 2 ? wage_mnist(64, 16) : wage(64, 16);
            w.logits = bits;
            w.logits_clip = clip;
            run(w, bits % 2 ? "wage-mnist" : "wage", "8", false, NULL);
        }
}

static void clips_rates_and_random_bits_train_like_the_twin(void **state) {
    (void)state;
    static const int64_t limits[] = {127, 64, 96, 32, 1, 33};
    static const int random_bits[] = {32, 23, 16, 8, 1};
    for (int i = 0; i < RATES * 6; i++) {
        SlowWage w = wage(64, 16);
        w.limit = limits[i % 6];
        w.mantissa = rates[i / 6].mantissa;
        w.exponent = rates[i / 6].exponent;
        w.random_bits = random_bits[i % 5];
        w.activation_clip = i % 7 != 3;
        run(w, "wage", rates[i / 6].text, false, NULL);
    }
}

static void nets_of_any_depth_and_fan_in_train_like_the_twin(void **state) {
    (void)state;
    static const int sizes[][SLOW_LAYERS + 1] = {{64, 10},     {1, 10},         {5, 3, 10},
                                                 {64, 1, 10},  {64, 20, 7, 10}, {90, 33, 17, 9, 10},
                                                 {6, 6, 6, 10}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int mnist = 0; mnist < 2; mnist++) {
            SlowWage w = mnist ? wage_mnist(1, 1) : wage(1, 1);
            memcpy(w.sizes, sizes[i], sizeof w.sizes);
            for (w.layers = 1; sizes[i][w.layers] != 10; w.layers++)
                continue;
            run(w, mnist ? "wage-mnist" : "wage", "8", false, NULL);
        }
}

// Settings drawn at random, each valid.
static void settings_drawn_at_random_train_like_the_twin(void **state) {
    (void)state;
    static const char *const scales[] = {"shift-unit", "shift-unit-ceil", "shift-unit-floor"};
    for (uint64_t i = 0; i < 150; i++) {
        uint64_t word = slow_mix(i), more = slow_mix(word);
        SlowWage w = wage(64, 2 + (int)(more % 30));
        const Rate *rate = &rates[more / 64 % RATES];
        w.weight = 2 + (int)(word % 7);
        w.activation = 2 + (int)(word / 8 % 14);
        w.gradient = w.weight + (int)(word / 128 % 9);
        w.error = 2 + (int)(word / 2048 % 14);
        w.logits = word / 65536 % 2 ? 2 + (int)(word / 131072 % 15) : 0;
        w.logits_clip = word / 4194304 % 2;
        w.scale = scales[word / 8388608 % 3];
        w.lower = (int)(word / 33554432 % 4);
        w.before_masks = word / 268435456 % 2;
        w.activation_clip = word / 1073741824 % 8 > 0;
        w.unit = more / 4096 % 2;
        w.random_bits = 1 + (int)(more / 65536 % 32);
        w.limit = more / 8192 % 2
                      ? (INT64_C(1) << (w.gradient - 1)) - 1
                      : 1 + (int64_t)(more / 4194304 % ((UINT64_C(1) << (w.gradient - 1)) - 1));
        w.mantissa = rate->mantissa;
        w.exponent = rate->exponent;
        w.seed = word;
        run(w, more / 16384 % 2 ? "wage" : "wage-mnist", rate->text, false, NULL);
    }
}

static void change_the_error(NetFixture *f, SlowWage *w) {
    w->error = f->step < 2 ? 8 : f->step < 4 ? 3 : 12;
    w->lower = f->step < 3 ? 0 : 2;
    w->exponent = f->step < 1 ? 3 : 0;
}

static void schedules_change_quantisers_and_rate_at_their_steps(void **state) {
    (void)state;
    NetFixture f;
    SlowWage w = wage(64, 16);
    NetSetup setup = {
        .recipe = "wage",
        .net = "16FC-10",
        .data = dataset_digits(),
        .batch = BATCH,
        .seed = w.seed,
        .overrides = {"error.q=fixed8@shift-unit fixed3@shift-unit@2s fixed12@shift-unit@4s",
                      "error.gamma=1 4@3s", "update.rate=8 1@1s"}};
    FxError err = {0};
    if (net_try(&f, &setup,
                &err)) // a quantiser is scheduled part by part where its text has an @ of its own
        fail_msg("%s", err.text);
    compare(&f, &w, "schedules", change_the_error);
    net_close(&f);
}

// 24 images in batches of 16 without drop-last: the second and fourth batch have 8.
static void short_last_batches_train_like_the_twin(void **state) {
    (void)state;
    NetFixture f;
    SlowWage w = wage(12, 16);
    FxDataset data = dataset_made(3, 4, 1, 24);
    NetSetup setup = {.recipe = "wage",
                      .net = "16FC-10",
                      .data = &data,
                      .batch = BATCH,
                      .seed = w.seed,
                      .overrides = {"run.drop-last=no"}};
    net_open(&f, &setup);
    assert_int_equal(f.config.steps_per_epoch, 2);
    compare(&f, &w, "short batches", NULL);
    assert_int_equal(f.totals.images, 3 * 16 + 2 * 8);
    net_close(&f);
    fx_dataset_free(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_recipes_as_they_stand_train_like_the_twin),
        cmocka_unit_test(every_width_trains_like_the_twin),
        cmocka_unit_test(every_error_scale_gamma_and_order_trains_like_the_twin),
        cmocka_unit_test(every_width_of_the_logits_trains_like_the_twin),
        cmocka_unit_test(clips_rates_and_random_bits_train_like_the_twin),
        cmocka_unit_test(nets_of_any_depth_and_fan_in_train_like_the_twin),
        cmocka_unit_test(settings_drawn_at_random_train_like_the_twin),
        cmocka_unit_test(schedules_change_quantisers_and_rate_at_their_steps),
        cmocka_unit_test(short_last_batches_train_like_the_twin),
    };
    return cmocka_run_group_tests_name("wage_twin", tests, NULL, NULL);
}
