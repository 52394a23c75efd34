// What a step does at its edges: tensors that are all zero, masks, scales, clips, narrow and wide
// sites in nets with convolutions and pools.
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void zero_store(NetFixture *f, int layer) {
    FxTensor *store = &fx_net_product(&f->net, layer)->store;
    for (size_t i = 0; i < store->count; i++)
        fx_tensor_set(store, i, 0);
}

static void open_digits(NetFixture *f, const char *recipe, const char *net, const char *override) {
    NetSetup setup = {.recipe = recipe,
                      .net = net,
                      .data = dataset_digits(),
                      .batch = 8,
                      .seed = 3,
                      .overrides = {override}};
    net_open(f, &setup);
}

typedef struct Exponents {
    int64_t error[4], gradient[4];
    int store[4];
} Exponents;

static Exponents exponents_of(const NetFixture *f) {
    Exponents e = {{0}, {0}, {0}};
    for (int p = 0; p < f->net.product_count; p++) {
        const FxNode *node = fx_net_product(&f->net, p);
        e.error[p] = node->site[FX_SITE_ERROR].exponent;
        e.gradient[p] = node->site[FX_SITE_GRADIENT].exponent;
        e.store[p] = node->store.exponent;
    }
    return e;
}

static bool all_zero(const Recording *r, int id, const char *what) {
    const Recorded *t = recording_find(r, id, what);
    assert_non_null(t);
    for (size_t i = 0; i < t->count; i++)
        if (t->codes[i])
            return false;
    return true;
}

// A second layer of zeros hands nothing down: the first layer's error and gradient are all zero.
static void an_all_zero_hidden_error_is_a_counted_no_op(void **state) {
    (void)state;
    NetFixture f;
    Recording r = {0};
    FxTrace trace = recording_trace(&r);
    open_digits(&f, "wage", "16FC-10", "store.clip=0.5");
    net_train(&f, NULL);
    net_train(&f, NULL);
    const Exponents before = exponents_of(&f);
    assert_int_equal(f.totals.zero_tensors, 0);
    zero_store(&f, 1);
    net_train(&f, &trace);
    const Exponents after = exponents_of(&f);
    assert_int_equal(f.totals.zero_tensors, 2);
    assert_true(all_zero(&r, 1, "error.quantised") && all_zero(&r, 1, "sum.gradient") &&
                all_zero(&r, 1, "update"));
    assert_memory_equal(recording_find(&r, 1, "store.before")->codes,
                        recording_find(&r, 1, "store.after")->codes,
                        recording_find(&r, 1, "store.after")->count * sizeof(int64_t));
    assert_int_equal(recording_find(&r, 1, "error.quantised")->exponent, -7);
    assert_int_equal(after.error[0], before.error[0]);
    assert_int_equal(after.gradient[0], before.gradient[0]);
    assert_int_equal(after.store[0], before.store[0]);
    assert_false(all_zero(&r, 2, "update"));
    recording_clear(&r);
    net_close(&f);
}

// Dead rectifiers: a first layer of zeros gives no activations, so both gradients are zero though
// no error is.
static void an_all_zero_gradient_is_a_counted_no_op(void **state) {
    (void)state;
    NetFixture f;
    Recording r = {0};
    FxTrace trace = recording_trace(&r);
    open_digits(&f, "wage", "16FC-10", "store.clip=0.5");
    net_train(&f, NULL);
    zero_store(&f, 0);
    const Exponents before = exponents_of(&f);
    const uint64_t changed = f.totals.store_changed;
    uint32_t crc = net_crc(&f);
    net_train(&f, &trace);
    const Exponents after = exponents_of(&f);
    assert_int_equal(f.totals.zero_tensors, 2);
    assert_false(all_zero(&r, 1, "error.quantised"));
    assert_true(all_zero(&r, 1, "error") && all_zero(&r, 1, "sum.gradient") &&
                all_zero(&r, 2, "sum.gradient"));
    assert_int_equal(net_crc(&f), crc);
    assert_int_equal(f.totals.store_changed, changed);
    for (int p = 0; p < 2; p++) {
        assert_int_equal(after.gradient[p], before.gradient[p]);
        assert_int_equal(after.store[p], before.store[p]);
    }
    recording_clear(&r);
    net_close(&f);
}

// One layer that hits its targets exactly: 127 + 127 + 2 = 256 is the code of 1.0 at alpha 1 (2^-8
// a code).
static void an_output_without_error_trains_nothing(void **state) {
    (void)state;
    static uint8_t pixels[3] = {254, 254, 129}, labels[1] = {1};
    static const FxDataset data = {.name = "exact",
                                   .height = 1,
                                   .width = 1,
                                   .channels = 3,
                                   .classes = 2,
                                   .train = {1, pixels, labels},
                                   .test = {1, pixels, labels}};
    NetFixture f;
    NetSetup setup = {.recipe = "wage", .net = "2", .data = &data, .batch = 1, .seed = 3};
    net_open(&f, &setup);
    FxNode *node = fx_net_product(&f.net, 0);
    node->alpha = 0;
    for (size_t i = 0; i < 6; i++)
        fx_tensor_set(&node->store, i, i % 2 ? 40 : 20);
    uint32_t crc = net_crc(&f);
    net_train(&f, NULL);
    assert_true(f.totals.answers.loss == 0);
    assert_int_equal(f.totals.answers.wrong, 0);
    assert_int_equal(f.totals.zero_tensors, 2);
    assert_int_equal(f.totals.store_changed, 0);
    assert_int_equal(net_crc(&f), crc);
    assert_false(node->site[FX_SITE_ERROR].chosen);
    net_close(&f);
}

static void gamma_lowers_the_error_s_shift_by_its_logarithm(void **state) {
    (void)state;
    static const char *const gammas[] = {"error.gamma=1", "error.gamma=2", "error.gamma=4",
                                         "error.gamma=8"};
    int64_t shift[4];
    uint64_t saturated[4];
    for (int i = 0; i < 4; i++) {
        NetFixture f;
        open_digits(&f, "wage", "16FC-10", gammas[i]);
        net_train(&f, NULL);
        const FxSiteState *site = &fx_net_product(&f.net, 1)->site[FX_SITE_ERROR];
        shift[i] = site->exponent;
        saturated[i] = site->stats.saturated;
        if (shift[i] != shift[0] - i || (i > 0 && saturated[i] < saturated[i - 1]))
            fail_msg("%s: shift %lld, %llu saturated", gammas[i], (long long)shift[i],
                     (unsigned long long)saturated[i]);
        net_close(&f);
    }
    assert_true(saturated[3] > saturated[0]);
}

// The same batch with the error rounded before or between the masks: the maximum then holds what
// the clip mask stops.
static void masks_come_before_the_error_s_maximum_only_where_the_recipe_says_so(void **state) {
    (void)state;
    Recording r[2] = {{0}, {0}};
    static const char *const orders[] = {"error.at=between-masks", "error.at=before-masks"};
    for (int i = 0; i < 2; i++) {
        NetFixture f;
        FxTrace trace = recording_trace(&r[i]);
        open_digits(&f, "wage", "16FC-10", orders[i]);
        net_train(&f, &trace);
        const Recorded *dx = recording_find(&r[i], 2, "sum.error"),
                       *pass = recording_find(&r[i], 2, "activation.clip");
        const Recorded *q = recording_find(&r[i], 1, "error.quantised"),
                       *e = recording_find(&r[i], 1, "error");
        const Recorded *relu = recording_find(&r[i], 1, "relu.mask");
        uint64_t max = 0, stopped = 0;
        for (size_t j = 0; j < dx->count; j++)
            if ((i == 1 || pass->codes[j]) && (uint64_t)llabs(dx->codes[j]) > max)
                max = (uint64_t)llabs(dx->codes[j]);
        assert_int_equal(fx_net_product(&f.net, 0)->site[FX_SITE_ERROR].stats.max_abs, max);
        for (size_t j = 0; j < dx->count; j++) {
            bool dies = !pass->codes[j] || !relu->codes[j];
            stopped += !pass->codes[j];
            if ((i == 0 && !pass->codes[j] && q->codes[j]) ||
                e->codes[j] != (dies ? 0 : q->codes[j]))
                fail_msg("%s: dx[%zu] = %lld becomes %lld, then %lld", orders[i], j,
                         (long long)dx->codes[j], (long long)q->codes[j], (long long)e->codes[j]);
        }
        assert_true(stopped > 0);
        assert_int_equal(fx_net_product(&f.net, 1)->site[FX_SITE_ACTIVATION].stats.masked, stopped);
        net_close(&f);
    }
    recording_clear(&r[0]);
    recording_clear(&r[1]);
}

static void ceil_and_floor_scales_bracket_the_nearest(void **state) {
    (void)state;
    static const char *const scales[] = {"error.scale=shift-unit-floor", "error.scale=shift-unit",
                                         "error.scale=shift-unit-ceil"};
    int64_t shift[3];
    uint64_t max = 0;
    for (int i = 0; i < 3; i++) {
        NetFixture f;
        open_digits(&f, "wage", "16FC-10", scales[i]);
        net_train(&f, NULL);
        const FxSiteState *site = &fx_net_product(&f.net, 1)->site[FX_SITE_ERROR];
        shift[i] = site->exponent;
        max = site->stats.max_abs;
        net_close(&f);
    }
    assert_true(max & (max - 1)); // no power of two, so that floor and ceil differ
    assert_int_equal(shift[2], shift[0] + 1);
    assert_true(shift[1] == shift[0] || shift[1] == shift[2]);
    assert_true(UINT64_C(1) << (shift[0] + 7) <= max && max < UINT64_C(1) << (shift[2] + 7));
}

static void stores_never_leave_their_clip(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t limit;
    } clips[] = {{"store.clip=0.5", 64},
                 {"store.clip=0.9921875", 127},
                 {"store.clip=grid", 127},
                 {"store.clip=0.25", 32},
                 {"store.clip=0.0078125", 1}};
    for (size_t i = 0; i < sizeof clips / sizeof clips[0]; i++) {
        NetFixture f;
        int64_t max = 0;
        uint64_t at_limit = 0, wanted = 0;
        open_digits(&f, "wage", "4C3-MP2-16FC-10", clips[i].text);
        for (int step = 0; step < 12; step++) {
            net_clear_stats(&f);
            net_train(&f, NULL);
        }
        for (int p = 0; p < 3; p++) {
            const FxNode *node = fx_net_product(&f.net, p);
            at_limit += node->site[FX_SITE_STORE].stats.at_limit;
            for (size_t j = 0; j < node->store.count; j++) {
                int64_t w = llabs(fx_tensor_get(&node->store, j));
                max = w > max ? w : max;
                wanted += w == clips[i].limit;
            }
        }
        if (max > clips[i].limit || at_limit != wanted ||
            (clips[i].limit < 127 && max != clips[i].limit))
            fail_msg("%s: the largest weight is %lld; %llu at the limit, counted %llu",
                     clips[i].text, (long long)max, (unsigned long long)wanted,
                     (unsigned long long)at_limit);
        net_close(&f);
    }
}

// A few steps of a net with all kinds of layers at every width, the same on the plainest and on the
// widest path.
static void every_width_trains_a_convolutional_net_alike_on_every_path(void **state) {
    (void)state;
    static const char *const nets[] = {"4C3-MP2-16FC-10", "4C3p1-MP3s2-6C3s2-10", "MP2-5C2p0-10"};
    for (int i = 0; i < 14 * 3; i++) {
        char text[6][64];
        int w = 2 + i % 7, g = w + 1 + i % 8, a = 2 + i % 14, e = 2 + (5 * i + 3) % 14;
        uint32_t crc[2];
        snprintf(text[0], sizeof text[0], "weight.q=fixed%d@alpha", w);
        snprintf(text[1], sizeof text[1], "input.q=fixed%d", a);
        snprintf(text[2], sizeof text[2], "activation.q=fixed%d", a);
        snprintf(text[3], sizeof text[3], "store.q=fixed%d", g);
        snprintf(text[4], sizeof text[4], "gradient.grid=fixed%d", g);
        snprintf(text[5], sizeof text[5], "error.q=fixed%d@shift-unit", e);
        for (int wide = 0; wide < 2; wide++) {
            NetFixture f;
            NetSetup setup = {.recipe = i % 2 ? "wage-mnist" : "wage",
                              .net = nets[i / 14],
                              .data = dataset_digits(),
                              .batch = 8,
                              .seed = (uint64_t)i,
                              .threads = wide ? 2 : 1,
                              .cpu = wide ? fx_cpu_detect() : FX_CPU_SCALAR,
                              .overrides = {text[0], text[1], text[2], text[3], text[4], text[5],
                                            "store.clip=grid"}};
            net_open(&f, &setup);
            uint32_t before = net_crc(&f);
            for (int step = 0; step < 4; step++)
                net_train(&f, NULL);
            crc[wide] = net_crc(&f);
            if (crc[wide] == before)
                fail_msg("%s, %d-%d-%d-%d: nothing was learnt", nets[i / 14], w, a, g, e);
            net_close(&f);
        }
        if (crc[0] != crc[1])
            fail_msg("%s, %d-%d-%d-%d: weights %08x on the plainest path, %08x on the widest",
                     nets[i / 14], w, a, g, e, crc[0], crc[1]);
    }
}

// Evaluation changes nothing that training reads, whatever its batches.
static void evaluation_leaves_training_as_it_was(void **state) {
    (void)state;
    uint32_t crc[2];
    for (int between = 0; between < 2; between++) {
        NetFixture f;
        open_digits(&f, "wage-mnist", "4C3-MP2-16FC-10", "activation.rounding=stochastic:8");
        for (int step = 0; step < 6; step++) {
            FxTotals a = {0}, b = {0};
            if (between) {
                a = net_evaluate(&f);
                b = net_evaluate(&f);
            }
            assert_true(a.answers.loss == b.answers.loss && a.saturated == 0 &&
                        a.store_changed == 0);
            net_train(&f, NULL);
        }
        crc[between] = net_crc(&f);
        net_close(&f);
    }
    assert_int_equal(crc[0], crc[1]);
}

// Random words of an evaluation belong to the image, not to its place in a batch.
// A milestone that comes with the next update is not part of what the weights so far are judged by.
static void evaluation_at_a_milestone_is_under_the_formats_of_the_update_before(void **state) {
    (void)state;
    static const char *const activations[] = {"activation.q=fixed8f7",
                                              "activation.q=fixed8f7 fixed3f2@6s"};
    FxTotals totals[2][2];
    for (int i = 0; i < 2; i++) {
        NetFixture f;
        open_digits(&f, "wage", "4C3-MP2-16FC-10", activations[i]);
        for (int step = 0; step < 6; step++)
            net_train(&f, NULL);
        totals[i][0] = net_evaluate(&f);
        net_train(&f, NULL);
        totals[i][1] = net_evaluate(&f);
        net_close(&f);
    }
    assert_true(totals[0][0].answers.loss == totals[1][0].answers.loss);
    assert_false(totals[0][1].answers.loss == totals[1][1].answers.loss);
}

static void evaluation_does_not_depend_on_the_batch(void **state) {
    (void)state;
    static const int batches[] = {1, 7, 64, 360, 512};
    FxTotals first = {0};
    for (int i = 0; i < 5; i++) {
        NetFixture f;
        NetSetup setup = {
            .recipe = "wage-mnist",
            .net = "4C3-MP2-16FC-10",
            .data = dataset_digits(),
            .batch = batches[i],
            .seed = 3,
            .overrides = {"activation.rounding=stochastic:8", "logits.rounding=stochastic:3:a"}};
        net_open(&f, &setup);
        FxTotals t = net_evaluate(&f);
        first = i ? first : t;
        if (t.answers.loss != first.answers.loss || t.answers.wrong != first.answers.wrong ||
            t.answers.ties != first.answers.ties)
            fail_msg("batch %d: loss sum %llu, not %llu", batches[i],
                     (unsigned long long)t.answers.loss, (unsigned long long)first.answers.loss);
        assert_int_equal(t.images, dataset_digits()->test.count);
        net_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_all_zero_hidden_error_is_a_counted_no_op),
        cmocka_unit_test(an_all_zero_gradient_is_a_counted_no_op),
        cmocka_unit_test(an_output_without_error_trains_nothing),
        cmocka_unit_test(gamma_lowers_the_error_s_shift_by_its_logarithm),
        cmocka_unit_test(masks_come_before_the_error_s_maximum_only_where_the_recipe_says_so),
        cmocka_unit_test(ceil_and_floor_scales_bracket_the_nearest),
        cmocka_unit_test(stores_never_leave_their_clip),
        cmocka_unit_test(every_width_trains_a_convolutional_net_alike_on_every_path),
        cmocka_unit_test(evaluation_leaves_training_as_it_was),
        cmocka_unit_test(evaluation_at_a_milestone_is_under_the_formats_of_the_update_before),
        cmocka_unit_test(evaluation_does_not_depend_on_the_batch),
    };
    return cmocka_run_group_tests_name("behaviour", tests, NULL, NULL);
}
