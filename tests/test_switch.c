// The switch between the datapaths: a recipe of fixed grids alone trains ten steps with its codes as integers, and again
// with their values as float32 through the float products, loss and optimiser. Where no sum can leave 2^24 units, which is
// proved here from the widths, every tensor of every step is the same numbers.
#include "formats/cpu.h"
#include "tests/net_fixture.h"
#include "tests/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 10, BATCH = 16, EXTRA = 7 };

// ---- numbers of a step ------------------------------------------------------------------------------------------------

typedef struct Numbers {
    int id;
    char what[32];
    size_t count;
    double *x;
    bool codes, floats; // integers, whose largest magnitude is most
    double most;
} Numbers;

typedef struct Seen {
    Numbers *of;
    size_t count;
} Seen;

static void see(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    Seen *seen = user;
    seen->of = realloc(seen->of, (seen->count + 1) * sizeof *seen->of);
    if (!seen->of)
        abort();
    Numbers *n = &seen->of[seen->count++];
    *n = (Numbers){.id = node->id, .count = t->count, .x = calloc(t->count + 1, sizeof *n->x), .floats = t->type == FX_FLOAT32};
    if (!n->x)
        abort();
    snprintf(n->what, sizeof n->what, "%s", what);
    for (size_t i = 0; i < t->count; i++) {
        int64_t code = n->floats ? 0 : fx_tensor_get(t, i);
        assert_true(code > -(INT64_C(1) << 53) && code < INT64_C(1) << 53);
        n->x[i] = n->floats ? (double)((const float *)t->data)[i] : ldexp((double)code, t->exponent);
        n->most = fmax(n->most, fabs((double)code));
    }
}

static void forget(Seen *seen) {
    for (size_t i = 0; i < seen->count; i++)
        free(seen->of[i].x);
    free(seen->of);
    *seen = (Seen){0};
}

// Masks and places are bytes in both.
static bool is_bytes(const char *what) {
    return strstr(what, "mask") || strstr(what, "argmax") || strstr(what, "clip");
}

static void must_be_the_same(const char *label, int step, const Seen *integers, const Seen *floats) {
    assert_int_equal(integers->count, floats->count);
    for (size_t i = 0; i < integers->count; i++) {
        const Numbers *a = &integers->of[i], *b = &floats->of[i];
        if (a->id != b->id || strcmp(a->what, b->what) || a->count != b->count || a->floats || b->floats == is_bytes(b->what))
            fail_msg("%s, step %d: layer %d: %s%s of %zu stands beside layer %d: %s%s of %zu", label, step, a->id, a->what, a->floats ? " in floats" : "",
                     a->count, b->id, b->what, b->floats ? " in floats" : "", b->count);
        if (!(a->most < 0x1p24))
            fail_msg("%s, step %d: layer %d: %s: a code of %g", label, step, a->id, a->what, a->most);
        for (size_t j = 0; j < a->count; j++)
            if (a->x[j] != b->x[j])
                fail_msg("%s, step %d: layer %d: %s[%zu] is %.17g in integers, %.17g in floats", label, step, a->id, a->what, j, a->x[j], b->x[j]);
    }
}

static bool all_zero(const Seen *seen, const char *what) {
    for (size_t i = 0; i < seen->count; i++)
        for (size_t j = 0; j < seen->of[i].count && !strcmp(seen->of[i].what, what); j++)
            if (seen->of[i].x[j] != 0)
                return false;
    return true;
}

// ---- proofs -----------------------------------------------------------------------------------------------------------

static int64_t most_code(const FxConfig *c, int layer, FxSite site) {
    const FxGrid *g = &c->phases[0].layers[layer].site[site].q.grid;
    assert_true(fx_grid_is_fixed(g));
    return -fx_grid_low(g) > fx_grid_high(g) ? -fx_grid_low(g) : fx_grid_high(g);
}

static int64_t copy_code(const FxConfig *c, int layer, FxSite copy, FxSite site) {
    return most_code(c, layer, c->phases[0].layers[layer].site[copy].is_set ? copy : site);
}

// Any order of additions stays within the sum of the magnitudes. meeting: errors that overlapping pools add up.
static void prove_products(const char *label, const NetFixture *f, int meeting) {
    for (int i = 0; i < f->net.product_count; i++) {
        const FxLayer *l = &fx_net_product(&f->net, i)->layer;
        const FxConfig *c = &f->config;
        FxSite left = i ? FX_SITE_ACTIVATION : FX_SITE_INPUT;
        int64_t x = most_code(c, i, left), e = meeting * most_code(c, i, FX_SITE_ERROR), taps = l->kernel * l->kernel;
        int64_t k[] = {taps * l->image.c, taps * l->out.c, (int64_t)l->out.n * l->out.h * l->out.w};
        int64_t sums[] = {k[0] * x * most_code(c, i, FX_SITE_WEIGHT), i ? k[1] * e * copy_code(c, i, FX_SITE_WEIGHT_BACK, FX_SITE_WEIGHT) : 0,
                          k[2] * copy_code(c, i, FX_SITE_ACTIVATION_GRAD, left) * meeting * copy_code(c, i, FX_SITE_ERROR_GRAD, FX_SITE_ERROR)};
        for (int kind = 0; kind < 3; kind++)
            if (sums[kind] >= INT64_C(1) << 24)
                fail_msg("%s: layer %d: sum %d may reach %lld units", label, i + 1, kind, (long long)sums[kind]);
    }
}

// A magnitude in units of 2^unit.
typedef struct Bound {
    double most;
    int unit;
} Bound;

static Bound of_site(const FxConfig *c, int layer, FxSite site) {
    const FxQuantiser *q = &c->phases[0].layers[layer].site[site].q;
    assert_string_equal(q->scale.rule->name, "const");
    int unit = q->scale.parameter[0] - q->grid.fraction;
    return (Bound){ldexp((double)most_code(c, layer, site), unit), unit};
}

static Bound plus(FxScalar a, Bound x, Bound y) { // a * x + y
    double factor = fabs(ldexp(a.mantissa, a.exponent));
    int unit = x.unit + a.exponent + (a.mantissa ? __builtin_ctz((unsigned)abs(a.mantissa)) : 0);
    return a.mantissa ? (Bound){factor * x.most + y.most, unit < y.unit ? unit : y.unit} : y;
}

static void prove_update(const char *label, const FxConfig *c) {
    const FxPhase *p = &c->phases[0];
    for (int i = 0; i < c->layer_count; i++) {
        const FxSiteConfig *site = p->layers[i].site;
        Bound w = of_site(c, i, FX_SITE_STORE), h = plus(p->decay, w, of_site(c, i, FX_SITE_GRADIENT)), m = {0, 0}, ahead = h, none = {0, 1000};
        Bound sums[4] = {h};
        if (site[FX_SITE_DECAY].on)
            h = ahead = of_site(c, i, FX_SITE_DECAY);
        if (site[FX_SITE_MOMENTUM].on)
            m = of_site(c, i, FX_SITE_MOMENTUM);
        if (c->update.rule->has_momentum) { // sgd-inner
            sums[1] = plus(p->rate.from, h, none);
            sums[2] = plus(p->momentum, m, sums[1]);
            sums[3] = plus((FxScalar){1 << 14, -14}, m, w);
        } else {
            if (site[FX_SITE_MOMENTUM].on)
                sums[1] = ahead = plus(p->momentum, m, h);
            sums[2] = plus(p->rate.from, ahead, w);
            sums[3] = plus(p->rate.from, m, w);
        }
        for (int j = 0; j < 4; j++)
            if (!(sums[j].most < ldexp(1, 24 + sums[j].unit)))
                fail_msg("%s: layer %d: sum %d of the update may reach %g, in units of 2^%d", label, i + 1, j, sums[j].most, sums[j].unit);
    }
}

// ---- runs -------------------------------------------------------------------------------------------------------------

// Errors of up to 2 or so, gradients of up to 16, steps of 1/512 of them.
static const char constant[] = "[recipe]\nname = constant\n[run]\nloss = sse\n"
                               "[input]\nmap = unit\nq = fixed8f7\n[init]\nlaw = uniform-fan-in:6\nfloor = 0\n"
                               "[weight]\nq = fixed8f6\n[activation]\nq = fixed8f6\nste = clip\n[error]\nq = fixed8f6\n"
                               "[gradient]\nq = fixed10f5\n[store]\nq = fixed16f14\n"
                               "[update]\nrule = sgd\nrate-unit = value\nrate = 1/512\n";
static const char moving[] = "[recipe]\nname = moving\n[run]\nloss = sse\n"
                             "[input]\nmap = unit\nq = fixed8f7\n[init]\nlaw = uniform-fan-in:6\nfloor = 0\n"
                             "[weight]\nq = fixed8@max\n[activation]\nq = fixed8@max\nste = identity\n[error]\nq = fixed8@max\n"
                             "[logits]\nq = fixed10f6\nste = clip\n"
                             "[gradient]\nq = fixed10f5\n[store]\nq = fixed16f14\n[momentum]\nq = fixed16f9\n"
                             "[update]\nrule = sgd\nrate-unit = value\nrate = 1/512\nmomentum = 0.75\n";

typedef struct Run {
    const char *net;
    bool moves;
    int meeting; // 0: 1
    const char *extra[EXTRA];
} Run;

static NetSetup setup_of(const Run *r, const char *recipe, bool floats) {
    NetSetup setup = {.recipe = recipe, .net = r->net, .data = dataset_digits(), .batch = BATCH, .seed = 3, .cpu = fx_cpu_detect(), .floats = floats};
    setup.overrides[0] = floats ? "accumulator.kind=fp32" : "accumulator.kind=exact";
    memcpy(setup.overrides + 1, r->extra, sizeof r->extra);
    return setup;
}

static void describe(char *label, size_t size, const Run *r) {
    int used = snprintf(label, size, "%s, %s scales", r->net, r->moves ? "moving" : "constant");
    for (int i = 0; i < EXTRA && r->extra[i] && (size_t)used < size; i++)
        used += snprintf(label + used, size - (size_t)used, ", %s", r->extra[i]);
}

static const char *recipe_of(const Run *r) {
    static char path[512];
    const char *name = r->moves ? "moving.ini" : "constant.ini";
    trial_write(name, r->moves ? moving : constant);
    snprintf(path, sizeof path, "%s/%s", trial_directory(), name);
    return path;
}

static void must_count(const char *label, const char *what, uint64_t a, uint64_t b) {
    if (a != b)
        fail_msg("%s: %s: %llu in integers, %llu in floats", label, what, (unsigned long long)a, (unsigned long long)b);
}

static bool has_clipped(const NetFixture *f) {
    uint64_t masked = 0;
    for (int p = 0; p < f->net.product_count; p++)
        masked += fx_net_product(&f->net, p)->site[FX_SITE_ACTIVATION].stats.masked;
    return masked > 0;
}

// All but the input's: its map goes straight to codes in integers, and over 8-bit codes to floats.
static void must_count_the_same(const char *label, const NetFixture *a, const NetFixture *b) {
    must_count(label, "changed", a->totals.store_changed, b->totals.store_changed);
    must_count(label, "wrong", a->totals.answers.wrong, b->totals.answers.wrong);
    must_count(label, "ties", a->totals.answers.ties, b->totals.answers.ties);
    must_count(label, "all zero", a->totals.zero_tensors, b->totals.zero_tensors);
    for (int p = 0; p < a->net.product_count; p++)
        for (int i = 0; fx_site_info(i); i++) {
            FxSite site = fx_site_info(i)->site;
            const FxStats *x = &fx_net_product(&a->net, p)->site[site].stats, *y = &fx_net_product(&b->net, p)->site[site].stats;
            if (site == FX_SITE_INPUT)
                continue;
            must_count(label, fx_site_info(i)->name, x->n, y->n);
            must_count(label, fx_site_info(i)->name, x->saturated, y->saturated);
            must_count(label, fx_site_info(i)->name, x->masked, y->masked);
            must_count(label, fx_site_info(i)->name, x->zeros_out, y->zeros_out);
        }
}

static void both_ways(const Run *r) {
    NetFixture a, b;
    char label[512];
    NetSetup integers = setup_of(r, recipe_of(r), false), floats = setup_of(r, integers.recipe, true);
    int meeting = r->meeting ? r->meeting : 1;
    describe(label, sizeof label, r);
    net_open(&a, &integers);
    net_open(&b, &floats);
    prove_products(label, &a, meeting);
    prove_update(label, &a.config);
    assert_true(a.net.loss_error.type == FX_INT64 && fx_net_product(&a.net, 0)->updates_integers);
    assert_true(b.net.loss_error.type == FX_FLOAT32 && !fx_net_product(&b.net, 0)->updates_integers);
    bool lives = false;
    for (int step = 0; step < STEPS; step++) {
        Seen seen[2] = {{0}};
        uint64_t changed = a.totals.store_changed;
        net_train(&a, &(FxTrace){see, &seen[0]});
        net_train(&b, &(FxTrace){see, &seen[1]});
        must_be_the_same(label, step, &seen[0], &seen[1]);
        lives |= a.totals.store_changed > changed && (a.net.product_count == 1 || !all_zero(&seen[0], "sum.error")) && !all_zero(&seen[0], "sum.gradient");
        forget(&seen[0]);
        forget(&seen[1]);
    }
    if (!lives)
        fail_msg("%s: errors, gradients or updates are all zero", label);
    if (!r->moves && a.net.product_count > 1 && net_layer_config(&a, 1)->site[FX_SITE_ACTIVATION].clip && !has_clipped(&a))
        fail_msg("%s: nothing was clipped", label);
    must_count_the_same(label, &a, &b);
    net_close(&a);
    net_close(&b);
}

static void run_all(const Run *runs, size_t count) {
    for (size_t i = 0; i < count; i++)
        both_ways(&runs[i]);
}

#define NET "4C3-MP2-6C3-16FC-10"

static void constant_scales_are_the_same_in_both_datapaths(void **state) {
    (void)state;
    static const Run runs[] = {
        {NET, false, 0, {NULL}},
        {NET, false, 0, {"store.clip=0.25", "activation.ste=identity"}},
        {"10", false, 0, {NULL}},
        {NET, false, 0, {"error.at=before-masks", "logits.q=fixed10f7", "logits.ste=clip"}},
        {NET, false, 0, {"activation.ste=identity", "logits.q=fixed8f6", "logits.ste=identity"}},
        {"5C3p0s2-7C2s1-10", false, 0, {"run.augment=pad:1 crop flip"}},
        {NET, false, 0, {"weight.q=fixed6f4t", "activation.q=fixed7f5t", "error.q=fixed7f5t", "gradient.q=fixed9f5t", "store.q=fixed12f10t"}},
        {NET, false, 0, {"update.rate=1/64", "update.weight-decay=1/4", "update.momentum=0.75", "momentum.q=fixed15f9", "update.nesterov=yes"}},
        {NET, false, 0, {"update.weight-decay=1/32", "decay.q=fixed12f7/stochastic", "update.momentum=0.5", "momentum.q=fixed16f9/stochastic"}},
        {NET, false, 0, {"update.rule=sgd-inner", "update.momentum=0.75", "momentum.q=fixed16f15"}},
        {NET, false, 0, {"loss-scale.mode=constant", "loss-scale.value=4", "error.q=fixed8f4"}},
        {NET, false, 0, {"activation.q=fixed4f2", "error.at=before-masks"}},
        {NET, false, 0, {"activation.q=fixed4f2t/floor", "logits.q=fixed4f2t", "logits.ste=clip"}},
        {NET, false, 0, {"weight.q=fixed8f6@const:1", "error.q=fixed8f6@const:-1"}},
        {"4C3-MP3s2-6C3-MP3p1s1-10", false, 9, {"error.q=fixed4f3", "activation.q=fixed7f5"}},
    };
    run_all(runs, sizeof runs / sizeof runs[0]);
}

static void moving_scales_are_the_same_in_both_datapaths(void **state) {
    (void)state;
    static const char *const rules[] = {"max", "max-ceil", "max-fit", "shift", "shift-ceil", "shift-floor", "shift-unit"};
    static const Run runs[] = {
        {NET, true, 0, {NULL}},
        {"10", true, 0, {NULL}},
        {NET, true, 0, {"update.nesterov=yes", "error.at=before-masks", "activation.ste=clip"}},
        {NET, true, 0, {"weight.back.q=fixed6@max", "activation.grad.q=fixed6@max/stochastic", "error.grad.q=fixed5@max/stochastic"}},
        {"4C3-MP3s2-6C3-MP3p1s1-10", true, 9, {"error.q=fixed4@max", "activation.q=fixed7@max"}},
        {NET, true, 0, {"input.q=fixed7@max", "loss-scale.mode=constant", "loss-scale.value=1/4", "gradient.q=fixed10f7"}},
    };
    run_all(runs, sizeof runs / sizeof runs[0]);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char text[2][64];
        Run r = {NET, true, 0, {text[0], i < 6 ? text[1] : "update.rate=1/512"}};
        snprintf(text[0], sizeof text[0], "error.scale=%s", rules[i]);
        snprintf(text[1], sizeof text[1], "activation.scale=%s", rules[i]);
        both_ways(&r);
    }
}

static void every_rounding_is_the_same_in_both_datapaths(void **state) {
    (void)state;
    static const char *const roundings[] = {"nearest-away", "nearest-zero", "nearest-up", "nearest-down", "toward-zero", "away", "floor", "ceil", "odd",
                                            "equal", "stochastic", "stochastic:8", "stochastic:4:a", "stochastic:8:b", "stochastic:32:below",
                                            "sr-eps:0.25", "sr-eps:0.1:8"};
    for (size_t i = 0; i < sizeof roundings / sizeof roundings[0]; i++) {
        char text[4][64];
        Run r = {"4C3-MP2-10", i % 2, 0, {text[0], text[1], text[2], text[3]}};
        static const char *const sites[] = {"weight", "activation", "error", "store"};
        for (int site = 0; site < 4; site++)
            snprintf(text[site], sizeof text[site], "%s.rounding=%s", sites[site], roundings[i]);
        both_ways(&r);
    }
    both_ways(&(Run){"4C3-MP2-10", false, 0, {"store.rounding=signed-sr-eps:0.25"}});
    both_ways(&(Run){"4C3-MP2-10", false, 0, {"random.source=lfsr:16", "activation.rounding=stochastic:8", "gradient.rounding=stochastic:16"}});
    both_ways(&(Run){"4C3-MP2-10", false, 0, {"random.lane=8", "activation.rounding=stochastic:8", "gradient.rounding=stochastic"}});
}

// Steps of the store are counted from the codes of sums.
static void steps_of_the_store_need_sums_of_integers(void **state) {
    (void)state;
    NetFixture f;
    FxError err = {0};
    NetSetup setup = {.recipe = "wage", .net = NET, .data = dataset_digits(), .batch = BATCH, .seed = 1, .floats = true,
                      .overrides = {"accumulator.kind=fp32", "recipe.claim=none"}};
    assert_int_not_equal(net_try(&f, &setup, &err), 0);
    if (!strstr(err.text, "update.rate-unit = lsb needs sums of integers"))
        fail_msg("%s", err.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_scales_are_the_same_in_both_datapaths),
        cmocka_unit_test(moving_scales_are_the_same_in_both_datapaths),
        cmocka_unit_test(every_rounding_is_the_same_in_both_datapaths),
        cmocka_unit_test(steps_of_the_store_need_sums_of_integers),
    };
    return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
