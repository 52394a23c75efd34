// Two runs that differ in one key share everything else: initial weights, order of the images, augmentation, and the random
// words at equal places, so that stochastic:4 and stochastic:8 read the top bits of the same words.
#include "formats/cpu.h"
#include "formats/rng.h"
#include "tests/net_fixture.h"
#include "tests/slow_float.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 8, BATCH = 16, SEED = 21, PAIR_KEYS = 4 };
#define NET "4C3-MP2-6C3-8FC-10"

typedef struct Pair {
    const char *recipe;
    const char *both[PAIR_KEYS], *one[PAIR_KEYS], *other[PAIR_KEYS];
    bool stores_differ; // in their format
} Pair;

static const FxDataset *images(void) { // 2 steps an epoch
    static FxDataset data;
    if (!data.train.count)
        data = dataset_made(8, 8, 3, 40);
    return &data;
}

static NetSetup setup_of(const char *recipe, const char *const both[], const char *const own[]) {
    NetSetup setup = {.recipe = recipe, .net = NET, .data = images(), .batch = BATCH, .seed = SEED, .cpu = fx_cpu_detect()};
    int n = 0;
    for (int i = 0; i < PAIR_KEYS && both && both[i]; i++)
        setup.overrides[n++] = both[i];
    for (int i = 0; i < PAIR_KEYS && own && own[i]; i++)
        setup.overrides[n++] = own[i];
    return setup;
}

static bool same_stores(const NetFixture *a, const NetFixture *b) {
    for (int p = 0; p < a->net.product_count; p++) {
        const FxTensor *x = &fx_net_product(&a->net, p)->store, *y = &fx_net_product(&b->net, p)->store;
        if (x->type != y->type || x->count != y->count || x->exponent != y->exponent || memcmp(x->data, y->data, x->count * fx_type_size(x->type)))
            return false;
    }
    return true;
}

static bool same_batch(const NetFixture *a, const NetFixture *b) {
    return !memcmp(a->net.batch_pixels, b->net.batch_pixels, fx_shape_count(a->net.shape)) &&
           !memcmp(a->net.batch_labels, b->net.batch_labels, (size_t)a->net.shape.n);
}

static void two_runs_that_differ_in_one_key_see_the_same_weights_and_images(void **state) {
    (void)state;
    static const Pair pairs[] = {
        {"int8-sr", {NULL}, {"error.rounding=stochastic:4"}, {"error.rounding=stochastic:8"}, false},
        {"int8-sr", {"run.augment=pad:2 crop flip"}, {"gradient.rounding=nearest-even"}, {NULL}, false},
        {"int8-sr", {"run.augment=pad:2 crop flip"}, {"update.rate=8"}, {"update.rate=1 4@2"}, false},
        {"int8-sr", {NULL}, {"accumulator.kind=wrap:15"}, {"accumulator.kind=exact"}, false},
        {"int8-sr", {"run.augment=flip"}, {"random.lane=16"}, {"random.lane=32"}, false},
        {"int8-sr", {"run.augment=flip"}, {"random.source=lfsr:16"}, {"random.source=philox"}, false},
        {"fp32", {"run.augment=pad:1 crop"}, {"weight.q=e5m2"}, {"weight.q=e4m3fn"}, false},
        {"fp32", {NULL}, {"loss-scale.mode=none"}, {"loss-scale.mode=constant", "loss-scale.value=1000"}, false},
        {"fp32", {"run.augment=pad:1 crop flip"}, {"update.rule=adam"}, {"update.rule=sgd-inner"}, false},
        {"fp32", {NULL}, {"run.loss=sse"}, {"run.loss=softmax"}, false},
        {"fp32", {NULL}, {"accumulator.kind=float:e6m9"}, {"accumulator.kind=kulisch"}, false},
        {"fp32", {"run.augment=pad:2 crop flip"}, {"store.q=bf16/stochastic"}, {"store.q=fp32"}, true},
        {"fp8-mellempudi2019", {"run.augment=pad:2 crop flip"}, {"weight.q=e5m2"}, {"weight.q=e4m3fn"}, false},
        {"fp8-mellempudi2019", {NULL}, {"loss-scale.value=10000"}, {"loss-scale.value=1e30"}, false}, // which skips steps
        {"fp8-mellempudi2019", {NULL}, {"error.rounding=stochastic:4"}, {"error.rounding=stochastic:8"}, false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const Pair *p = &pairs[i];
        NetFixture a, b;
        NetSetup one = setup_of(p->recipe, p->both, p->one), other = setup_of(p->recipe, p->both, p->other);
        net_open(&a, &one);
        net_open(&b, &other);
        if (same_stores(&a, &b) == p->stores_differ)
            fail_msg("%s, %s: initial weights", p->recipe, p->one[0]);
        for (int step = 0; step < STEPS; step++) {
            net_train(&a, NULL);
            net_train(&b, NULL);
            if (!same_batch(&a, &b))
                fail_msg("%s, %s: other images in step %d", p->recipe, p->one[0], step);
        }
        if (!p->stores_differ && same_stores(&a, &b)) // the key does something
            fail_msg("%s, %s: still the same weights after %d steps", p->recipe, p->one[0], STEPS);
        net_close(&a);
        net_close(&b);
    }
}

// The words of the initial weights do not depend on the store: a narrower one holds the same draws, rounded.
static void stores_of_other_formats_start_from_the_same_draws(void **state) {
    (void)state;
    static const char *const formats[] = {"fp16", "bf16", "e5m2"};
    for (size_t i = 0; i < 3; i++) {
        NetFixture a, b;
        char text[32];
        snprintf(text, sizeof text, "store.q=%s", formats[i]);
        NetSetup one = setup_of("fp32", NULL, NULL), other = setup_of("fp32", (const char *[]){text, NULL}, NULL);
        SlowFloat f = slow_float_new(slow_format(formats[i]), 0);
        SlowLaw nearest = {.name = "nearest-even"};
        bool outside;
        net_open(&a, &one);
        net_open(&b, &other);
        for (int p = 0; p < a.net.product_count; p++) {
            const FxTensor *x = &fx_net_product(&a.net, p)->store, *y = &fx_net_product(&b.net, p)->store;
            assert_true(x->type == FX_FLOAT32 && y->type == FX_FLOAT32 && x->count == y->count);
            for (size_t j = 0; j < x->count; j++) {
                double draw = (double)((const float *)x->data)[j], kept = (double)((const float *)y->data)[j];
                if (kept != f.values[slow_float_code(&f, &nearest, SLOW_SATURATE, draw, 0, &outside)])
                    fail_msg("%s: layer %d: weight %zu is %a, drawn was %a", formats[i], p, j, kept, draw);
            }
        }
        slow_float_free(&f);
        net_close(&a);
        net_close(&b);
    }
}

// Whether the four uses of random words move together with a key.
static void each_seed_moves_its_own_words_alone(void **state) {
    (void)state;
    static const struct {
        const char *key; // NULL: the seed of all
        bool init, order, augment, round;
    } cases[] = {{"random.init=5", true, false, false, false},   {"random.order=5", false, true, false, false},
                 {"random.augment=5", false, false, true, false}, {"random.round=5", false, false, false, true},
                 {NULL, true, true, true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        NetFixture a, b;
        NetSetup one = setup_of("int8-sr", (const char *[]){"run.augment=pad:2 crop flip", NULL}, NULL), other = one;
        Recording r[2] = {{0}};
        FxTrace trace[2] = {recording_trace(&r[0]), recording_trace(&r[1])};
        other.overrides[1] = cases[i].key;
        other.seed = cases[i].key ? SEED : 5;
        net_open(&a, &one);
        net_open(&b, &other);
        bool init = !same_stores(&a, &b);
        net_train(&a, &trace[0]);
        net_train(&b, &trace[1]);
        bool order = memcmp(a.net.batch_labels, b.net.batch_labels, BATCH) != 0, pixels = !same_batch(&a, &b);
        if (init != cases[i].init || order != cases[i].order || pixels != (cases[i].order || cases[i].augment))
            fail_msg("%s: other weights %d, order %d, pixels %d", cases[i].key ? cases[i].key : "run.seed", init, order, pixels);
        const Recorded *x = recording_find(&r[0], 2, "activation"), *y = recording_find(&r[1], 2, "activation");
        if (!init && !pixels)
            assert_true((memcmp(x->codes, y->codes, x->count * sizeof *x->codes) != 0) == cases[i].round);
        recording_clear(&r[0]);
        recording_clear(&r[1]);
        net_close(&a);
        net_close(&b);
    }
}

// ---- words at equal places ----------------------------------------------------------------------------------------------

// The top bits of the word that belongs to an element of a site.
static uint32_t word_of(int id, FxSite site, int step, size_t element, int bits) {
    return fx_rng_word((FxRng){SEED, (uint32_t)id * 256 + (uint32_t)site, (uint32_t)step}, element) >> (32 - bits);
}

typedef struct Nested {
    const char *recipe, *key; // a site's rounding
    int id;
    FxSite site;
    int of;                   // layer whose tensor `from` is the source
    const char *from, *to;
} Nested;

// What both runs made of their sources under words of 4 and of 8 bits.
static void expect_words(const Nested *n, int bits, int step, const Recording *r, const SlowFloat *format, size_t *up) {
    const Recorded *x = recording_find(r, n->of, n->from), *y = recording_find(r, n->id, n->to);
    const SlowLaw law = {.name = "stochastic", .variant = "c", .bits = bits}, down = {.name = "floor"};
    const SlowGrid grid = {.kind = SLOW_FIXED, .low = -127, .high = 127, .bits = 8};
    bool outside;
    assert_true(x && y && x->count == y->count);
    for (size_t i = 0; i < x->count; i++) {
        uint32_t R = word_of(n->id, n->site, step, i, bits);
        double got = (double)y->codes[i], wanted;
        if (format) {
            got = (double)slow_f32((uint32_t)y->codes[i]);
            wanted = format->values[slow_float_code(format, &law, SLOW_SATURATE, (double)slow_f32((uint32_t)x->codes[i]), R, &outside)];
            *up += fabs(got) > fabs((double)slow_f32((uint32_t)x->codes[i]));
        } else {
            int shift = y->exponent - x->exponent;
            wanted = (double)slow_code(&grid, &law, x->codes[i], shift, R, &outside);
            *up += y->codes[i] > slow_code(&grid, &down, x->codes[i], shift, 0, &outside);
        }
        if (got != wanted)
            fail_msg("%s, %s=stochastic:%d, step %d: layer %d: %s[%zu] is %g, not %g", n->recipe, n->key, bits, step, n->id, n->to, i, got, wanted);
    }
}

static void roundings_of_other_widths_read_the_top_bits_of_the_same_words(void **state) {
    (void)state;
    static const Nested sites[] = {
        {"int8-sr", "activation.rounding", 2, FX_SITE_ACTIVATION, 1, "relu", "activation"},
        {"int8-sr", "activation.rounding", 4, FX_SITE_ACTIVATION, 3, "relu", "activation"},
        {"int8-sr", "error.rounding", 4, FX_SITE_ERROR, 4, "logits.error", "error.quantised"},
        {"int8-sr", "error.rounding", 1, FX_SITE_ERROR, 2, "sum.error", "error.quantised"},
        {"fp8-mellempudi2019", "activation.rounding", 2, FX_SITE_ACTIVATION, 1, "relu", "activation"},
        {"fp8-mellempudi2019", "activation.rounding", 3, FX_SITE_ACTIVATION, 2, "relu", "activation"},
        {"fp8-mellempudi2019", "error.rounding", 2, FX_SITE_ERROR, 3, "sum.error", "error.quantised"},
        {"fp8-mellempudi2019", "weight.rounding", 2, FX_SITE_WEIGHT, 2, "store.before", "weight"},
    };
    SlowFloat e5m2 = slow_float_new(slow_format("e5m2"), 0);
    for (size_t i = 0; i < sizeof sites / sizeof sites[0]; i++) {
        const Nested *n = &sites[i];
        NetFixture f[3];
        static const int bits[] = {4, 8, 32};
        for (int k = 0; k < 3; k++) {
            char text[64];
            snprintf(text, sizeof text, "%s=stochastic:%d", n->key, bits[k]);
            NetSetup setup = setup_of(n->recipe, (const char *[]){text, NULL}, NULL);
            net_open(&f[k], &setup);
        }
        for (int step = 0; step < 3; step++) {
            size_t ups[3] = {0};
            for (int k = 0; k < 3; k++) {
                Recording r = {0};
                FxTrace trace = recording_trace(&r);
                net_train(&f[k], &trace);
                expect_words(n, bits[k], step, &r, *n->recipe == 'f' ? &e5m2 : NULL, &ups[k]);
                recording_clear(&r);
            }
            if (!ups[0] || !ups[1])
                fail_msg("%s, %s, layer %d, step %d: nothing was rounded up", n->recipe, n->key, n->id, step);
        }
        for (int k = 0; k < 3; k++)
            net_close(&f[k]);
    }
    slow_float_free(&e5m2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_that_differ_in_one_key_see_the_same_weights_and_images),
        cmocka_unit_test(stores_of_other_formats_start_from_the_same_draws),
        cmocka_unit_test(each_seed_moves_its_own_words_alone),
        cmocka_unit_test(roundings_of_other_widths_read_the_top_bits_of_the_same_words),
    };
    return cmocka_run_group_tests_name("pairing", tests, NULL, NULL);
}
