// Whole training steps of integer nets with batch norms, residual blocks and global average pooling against the slow twin: every
// site's codes, gradients, momenta, stores and running statistics; evaluations before the first step and after the last.
#include "tests/net_fixture.h"
#include "tests/slow_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 3, BATCH = 16, IMAGES = 40, OVERRIDES = 8 };

#define PLAIN "4C3-BN-MP2-8FC-BN-10"
#define BLOCK "4C3-BN-+(4C3-BN-4C3-BN|)-GAP-10"
#define DEEP "4C3-BN-+(6C3s2-BN-6C3-BN|6C1s2-BN)-+(6C3-BN|)-GAP-10"
#define SUMS "4C3-+(4C3|)-10"
#define BOTH_SUMS "4C3-+(6C3|6C1)-MP2-10"

typedef struct Case {
    const char *recipe, *net, *overrides[OVERRIDES];
    int rate_up, rate_down; // of the recipe
    bool halves;            // momentum 1/2, decay 1/1024; else the recipe's
} Case;

// ---- what the product does ---------------------------------------------------------------------------------------------------

typedef struct Seen {
    int id, exponent;
    char what[32];
    int64_t *v;
    size_t n;
    bool told;
} Seen;

typedef struct Comparison {
    Seen *seen;
    size_t count, compared;
    char label[256];
} Comparison;

static void see(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    Comparison *c = user;
    Seen *grown = realloc(c->seen, (c->count + 1) * sizeof *grown), *s;
    if (!grown)
        abort();
    c->seen = grown;
    s = &c->seen[c->count++];
    *s = (Seen){.id = node->id, .exponent = t->exponent, .n = t->count, .v = calloc(t->count + 1, sizeof *s->v)};
    if (!s->v)
        abort();
    snprintf(s->what, sizeof s->what, "%s", what);
    for (size_t i = 0; i < t->count; i++)
        s->v[i] = fx_tensor_get(t, i);
}

static void forget(Comparison *c) {
    for (size_t i = 0; i < c->count; i++)
        free(c->seen[i].v);
    free(c->seen);
    c->seen = NULL;
    c->count = 0;
}

// The first tensor of this name and id that the twin has not told of yet.
static void told(void *user, int id, const char *what, const SlowValues *v) {
    Comparison *c = user;
    Seen *s = NULL;
    for (size_t i = 0; !s && i < c->count; i++)
        if (!c->seen[i].told && c->seen[i].id == id && !strcmp(c->seen[i].what, what))
            s = &c->seen[i];
    if (!s)
        fail_msg("%s: id %d: no %s", c->label, id, what);
    s->told = true;
    const bool one = !v->ec && strcmp(what, "norm.back"); // else the exponents show in what is made of it
    if (s->n != v->n || (one && s->exponent != v->e))
        fail_msg("%s: id %d: %s: %zu codes of exponent %d, not %zu of %d", c->label, id, what, s->n, s->exponent, v->n, v->e);
    for (size_t i = 0; i < v->n; i++)
        if (s->v[i] != v->v[i])
            fail_msg("%s: id %d: %s[%zu] = %lld, not %lld", c->label, id, what, i, (long long)s->v[i], (long long)v->v[i]);
    c->compared++;
}

// ---- both -----------------------------------------------------------------------------------------------------------------------

typedef struct Pair {
    NetFixture f;
    SlowStep twin;
    Comparison c;
    FxDataset data;
} Pair;

static void pair_open(Pair *p, const Case *c, int threads) {
    p->data = *dataset_digits();
    p->data.train.count = IMAGES;
    NetSetup setup = {.recipe = c->recipe, .net = c->net, .data = &p->data, .batch = BATCH, .seed = 3, .threads = threads, .cpu = fx_cpu_detect()};
    memcpy(setup.overrides, c->overrides, sizeof c->overrides);
    net_open(&p->f, &setup);
    snprintf(p->c.label, sizeof p->c.label, "%s, %s, %s", c->recipe, c->net, c->overrides[0] ? c->overrides[0] : "as it is");
    const bool steps = p->f.config.update.lsb;
    p->twin = (SlowStep){.config = &p->f.config, .notation = c->net, .h = p->data.height, .w = p->data.width, .channels = p->data.channels,
                         .batch = BATCH, .softmax = !steps, .seed = 3, .told = told, .user = &p->c,
                         .rate = slow_scalar(c->rate_up, (steps ? 1 : BATCH) * c->rate_down),
                         .momentum = c->halves ? slow_scalar(1, 2) : slow_scalar(9, 10), .decay = slow_scalar(BATCH, c->halves ? 1024 : 10000)};
    slow_step_open(&p->twin);
    assert_int_equal(p->twin.products, p->f.net.product_count);
    for (int id = 1; id <= p->twin.products; id++) { // initial weights are the product's
        const FxTensor *store = &fx_net_product(&p->f.net, id - 1)->store;
        SlowKept *kept = slow_step_product(&p->twin, id)->kept;
        assert_int_equal(store->count, kept->n);
        for (size_t i = 0; i < kept->n; i++)
            kept->w[i] = fx_tensor_get(store, i);
    }
}

static void pair_close(Pair *p) {
    forget(&p->c);
    slow_step_close(&p->twin);
    net_close(&p->f);
}

static void same(const Pair *p, const char *what, int id, const FxTensor *t, const int64_t *want, size_t n) {
    assert_int_equal(t->count, n);
    for (size_t i = 0; i < n; i++)
        if (fx_tensor_get(t, i) != want[i])
            fail_msg("%s: norm %d: %s[%zu] = %lld, not %lld", p->c.label, id, what, i, (long long)fx_tensor_get(t, i), (long long)want[i]);
}

// Norms' running statistics, stores and momenta.
static void compare_norms(const Pair *p) {
    const SlowNode *want = p->twin.node;
    for (int i = 0; i < p->f.net.count; i++) {
        const FxNode *node = &p->f.net.nodes[i];
        if (node->layer.ops->role != FX_ROLE_NORM)
            continue;
        while (want->kind != SLOW_NORM)
            want++;
        const FxNormNode *got = node->norm;
        assert_int_equal(node->id, want->id);
        assert_int_equal(got->running_state[0], want->begun);
        if (want->begun) {
            assert_int_equal(got->running_state[1], want->run_exponent);
            same(p, "running mean", node->id, &got->running[0], want->run_mean, (size_t)want->oc);
            same(p, "running scale", node->id, &got->running[1], want->run_scale, (size_t)want->oc);
        }
        for (int which = 0; which < 2; which++) {
            same(p, which ? "beta" : "gamma", node->id, &got->parameter[which].store, want->kept[which].w, want->kept[which].n);
            if (got->parameter[which].momentum.data)
                same(p, "momentum", node->id, &got->parameter[which].momentum, want->kept[which].m, want->kept[which].n);
        }
        want++;
    }
}

static void evaluate(Pair *p) {
    const FxTrace trace = {see, &p->c};
    for (int first = 0; first < IMAGES; first += BATCH) { // the last batch is short
        const int images = IMAGES - first < BATCH ? IMAGES - first : BATCH;
        FxTotals totals = {0};
        FxStep step = {.net = &p->f.net, .config = &p->f.config, .step = p->f.step, .images = images, .evaluation = true,
                       .first_image = (uint64_t)first, .totals = &totals, .trace = &trace};
        fx_feed_images(&p->f.net, &p->data.test, (size_t)first, images);
        fx_step_evaluate(&step);
        slow_step_evaluate(&p->twin, p->f.net.batch_pixels, images, (uint64_t)first);
        forget(&p->c);
    }
    compare_norms(p); // it changes nothing
}

static void train(Pair *p) {
    const FxTrace trace = {see, &p->c};
    const int images = fx_feed_train(&p->f.feed, &p->f.net, p->f.step);
    net_train_batch(&p->f, images, &trace);
    slow_step_train(&p->twin, p->f.net.batch_pixels, p->f.net.batch_labels, images);
    compare_norms(p);
    forget(&p->c);
}

static void run(const Case *c, int threads) {
    Pair p = {0};
    pair_open(&p, c, threads);
    evaluate(&p);
    for (int i = 0; i < STEPS; i++)
        train(&p);
    evaluate(&p);
    assert_true(p.c.compared > 100);
    pair_close(&p);
}

#define L1BN(net, ...) {"int8-l1bn", net, {__VA_ARGS__}, 1, 10, false}
#define LAST_SHORT "run.drop-last=no"

static const Case cases[] = {
    L1BN(PLAIN, LAST_SHORT),
    L1BN(BLOCK, LAST_SHORT),
    L1BN(DEEP, LAST_SHORT),
    L1BN(SUMS, "preact.q=fixed12@max/stochastic"),
    L1BN(BOTH_SUMS, "preact.q=none"),
    L1BN(DEEP, "norm.kind=l2", LAST_SHORT),
    L1BN(DEEP, "norm.kind=range", "norm.const=code", "norm.chunks=4", LAST_SHORT),
    L1BN(BLOCK, "norm.kind=shift", LAST_SHORT),
    L1BN(DEEP, "preact.q=fixed16@max.channel"),
    L1BN(DEEP, "error.grad.q=fixed16@max.channel"),
    L1BN(PLAIN, "error.q=fixed8@max.channel/stochastic:32", LAST_SHORT),
    L1BN(DEEP, "error.q=fixed8@max.channel/stochastic:32", "error.grad.q=fixed16@max.channel", LAST_SHORT),
    L1BN(DEEP, "error.q=fixed8@max fixed8@max.channel@1s", "error.grad.q=fixed16@max.channel fixed16@max@2s"),
    L1BN(PLAIN, "error.q=fixed8@max.channel/stochastic:32", "layer.last.error.q=fixed8@max fixed8@const:20@1s"), // then all are zero
    L1BN("4C3-BN-6C3-GAP-10", "error.q=fixed8@max.channel/stochastic:32"), // exponents move in a map
    L1BN(BLOCK, "error.q=fixed6@max.channel/stochastic:32", "weight.back.q=fixed6@max"),
    L1BN(DEEP, "sum.q=fixed16@max", "sum.error.q=fixed16@max/stochastic", LAST_SHORT),
    L1BN(BLOCK, "sum.q=fixed8@max/stochastic", "preact-error.q=fixed16@max"),
    L1BN(DEEP, "norm.reciprocal=lut6", "preact.q=fixed8@max"),
    L1BN(BLOCK, "norm.reciprocal=lut4+n", "norm.average=2:old", "norm.backward=detach"),
    {"int8-l1bn", DEEP, {"update.nesterov=yes", "preact.rounding=stochastic", "momentum.q=fixed32f16/stochastic", "update.rate=1/8",
                         "update.momentum=1/2", "update.weight-decay=1/1024"}, 1, 8, true},
    L1BN(DEEP, "norm.floor=2048", "norm.dead=keep", "norm.fraction=9"),
    L1BN(DEEP, "norm.floor=4096", "preact.q=fixed16@max.channel", "norm.division=hardware", "norm.profile=int32"),
    {"wage-bn", PLAIN, {LAST_SHORT}, 8, 1, false},
    {"wage-bn", BLOCK, {NULL}, 8, 1, false},
    {"wage-bn", DEEP, {"update.rate=3", LAST_SHORT}, 3, 1, false},
    {"wage-bn", DEEP, {"error.q=fixed8@max.channel", LAST_SHORT}, 8, 1, false},
};

static void steps_are_those_of_the_slow_twin(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run(&cases[i], 1 + (int)i % 3);
}

static void sums_are_planned_for_weights_moved_up(void **state) {
    (void)state;
    NetSetup setup = {.recipe = "int8-l1bn", .net = DEEP, .data = dataset_digits(), .batch = BATCH, .seed = 3, .cpu = fx_cpu_detect(),
                      .overrides = {"error.q=fixed8@max.channel"}};
    NetFixture f;
    net_open(&f, &setup);
    for (int p = 0; p < f.net.product_count; p++) {
        const FxLayer *l = &fx_net_product(&f.net, p)->layer;
        assert_int_equal(l->max_product[FX_ERROR], 127 * 127 * 128);
        assert_int_equal(l->max_product[FX_GRADIENT], 127 * 32767);
    }
    net_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_planned_for_weights_moved_up),
        cmocka_unit_test(steps_are_those_of_the_slow_twin),
    };
    return cmocka_run_group_tests_name("norm_step", tests, NULL, NULL);
}
