// Copies of a site for one product (error.grad, activation.grad, weight.back). The law: a copy that rounds exactly as its
// parent does, without random words, changes no byte of any tensor that the step tells of.
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 4, OWN = 8, COPIES = 3, RUNS = 5 };

// A recipe whose three parents round without random words, all alike.
typedef struct Plain {
    const char *recipe, *rounding;
    const char *overrides[OWN];
} Plain;

static const Plain plains[] = {
    {"wage", "nearest-even", {"gradient.rounding=nearest-even"}},
    {"wage", "nearest-even", {"gradient.rounding=nearest-even", "error.at=before-masks", "logits.q=fixed8f7"}},
    {"wage-mnist", "nearest-even", {"gradient.rounding=nearest-even", "logits.ste=clip"}},
    {"dfp16-das2018", "nearest-even", {NULL}},
    {"courbariaux2014", "nearest-away", // a controller for each copy, which moves every second step
     {"init.ranges=none", "weight.scale=overflow:2:2:2000", "error.scale=overflow:-3:2:2000", "activation.scale=overflow:3:2:2000",
      "gradient.scale=overflow:0:2:2000", "momentum.scale=overflow:-2:2:2000", "store.scale=overflow:1:2:2000", "activation.ste=clip"}},
    {"fp8-mellempudi2019", "nearest-even", {NULL}},
    {"hfp8", "nearest-even", {"store.rounding=nearest-even", "activation.ste=clip"}},
};

static const FxSite sites[COPIES] = {FX_SITE_ERROR_GRAD, FX_SITE_ACTIVATION_GRAD, FX_SITE_WEIGHT_BACK};

static const void *copy_of(const NetFixture *f, int layer, FxSite site) {
    const FxNode *node = fx_net_product(&f->net, layer);
    return site == FX_SITE_ERROR_GRAD ? node->e_grad.data : site == FX_SITE_ACTIVATION_GRAD ? node->x_grad.data : node->weight_back.data;
}

// which: a bit for each copy, which inherits everything that its rounding does not say.
static void open_with(NetFixture *f, const Plain *plain, const char *net, int which) {
    char texts[COPIES][64];
    int n = 0;
    NetSetup setup = {.recipe = plain->recipe, .net = net, .data = dataset_digits(), .batch = 8, .seed = 7};
    for (; n < OWN && plain->overrides[n]; n++)
        setup.overrides[n] = plain->overrides[n];
    for (int i = 0; i < COPIES; i++)
        if (which >> i & 1) {
            snprintf(texts[i], sizeof texts[i], "%s.rounding=%s", fx_site(sites[i])->name, plain->rounding);
            setup.overrides[n++] = texts[i];
        }
    net_open(f, &setup);
    for (int i = 0; i < COPIES; i++)
        for (int layer = 0; layer < f->net.product_count; layer++)
            assert_int_equal(copy_of(f, layer, sites[i]) != NULL, which >> i & 1);
}

// A trace may tell of the copies themselves, which the run without them has not.
static void forget_copies(Recording *r) {
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        bool of_copy = false;
        for (int j = 0; j < COPIES; j++)
            of_copy |= !strncmp(r->tensors[i].what, fx_site(sites[j])->name, strlen(fx_site(sites[j])->name));
        if (of_copy)
            free(r->tensors[i].codes);
        else
            r->tensors[kept++] = r->tensors[i];
    }
    r->count = kept;
}

// All runs side by side: one without copies, one with each alone, one with all three.
static void expect_no_change(const Plain *plain, const char *net) {
    static const int which[RUNS] = {0, 1, 2, 4, 7};
    NetFixture f[RUNS];
    for (int i = 0; i < RUNS; i++)
        open_with(&f[i], plain, net, which[i]);
    uint32_t start = net_crc(&f[0]);
    for (int step = 0; step < STEPS; step++) {
        Recording wanted = {0};
        for (int i = 0; i < RUNS; i++) {
            Recording got = {0};
            FxTrace trace = recording_trace(i ? &got : &wanted);
            char label[128];
            snprintf(label, sizeof label, "%s, %s, copies %d, step %d", plain->recipe, net, which[i], step);
            net_train(&f[i], &trace);
            forget_copies(&got);
            if (i)
                recordings_must_agree(&got, &wanted, label);
            recording_clear(&got);
        }
        recording_clear(&wanted);
    }
    if (net_crc(&f[0]) == start)
        fail_msg("%s, %s: nothing was learnt", plain->recipe, net);
    for (int i = 0; i < RUNS; i++)
        assert_int_equal(net_crc(&f[i]), net_crc(&f[0]));
    for (int i = 0; i < RUNS; i++)
        net_close(&f[i]);
}

static void a_copy_that_rounds_as_its_parent_changes_nothing(void **state) {
    (void)state;
    static const char *const nets[] = {"4C3-MP2-16FC-10", "4C3-8C3-MP2-16FC-10"};
    for (size_t i = 0; i < sizeof plains / sizeof plains[0]; i++)
        for (int net = 0; net < 2; net++)
            expect_no_change(&plains[i], nets[net]);
}

static bool is_same(const Recording r[2], int id, const char *what) {
    const Recorded *a = recording_find(&r[0], id, what), *b = recording_find(&r[1], id, what);
    return a->exponent == b->exponent && !memcmp(a->codes, b->codes, a->count * sizeof *a->codes);
}

// One that rounds otherwise is what its product alone reads: the other sums of the last layer stay, and unless they are the
// error's own, so does the error handed down, masks and all.
static void a_coarse_copy_is_read_by_its_product_alone(void **state) {
    (void)state;
    static const char *const coarse[COPIES] = {"error.grad.grid=fixed3f2", "activation.grad.grid=fixed3f2", "weight.back.grid=fixed2f1"};
    for (int i = 0; i < COPIES; i++) {
        bool of_error = sites[i] == FX_SITE_WEIGHT_BACK;
        Recording r[2] = {{0}, {0}};
        for (int with = 0; with < 2; with++) {
            NetFixture f;
            FxTrace trace = recording_trace(&r[with]);
            NetSetup setup = {.recipe = "wage", .net = "4C3-MP2-16FC-10", .data = dataset_digits(), .batch = 16, .seed = 7};
            setup.overrides[0] = "weight.grid=fixed4f3";
            setup.overrides[1] = with ? coarse[i] : NULL;
            net_open(&f, &setup);
            net_train(&f, &trace);
            net_close(&f);
        }
        bool same[] = {is_same(r, 3, "sum.forward"), is_same(r, 3, "sum.error"), is_same(r, 3, "sum.gradient"), is_same(r, 2, "error")};
        if (!same[0] || same[1] == of_error || same[2] != of_error || same[3] == of_error)
            fail_msg("%s: the same forward sums %d, error sums %d, gradient sums %d, error below %d", coarse[i], same[0], same[1], same[2], same[3]);
        recording_clear(&r[0]);
        recording_clear(&r[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_rounds_as_its_parent_changes_nothing),
        cmocka_unit_test(a_coarse_copy_is_read_by_its_product_alone),
    };
    return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
