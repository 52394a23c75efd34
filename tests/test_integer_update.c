// Optimisers on integers against their formulas in exact arithmetic: widths, fractions, decimals as rates, roundings, the
// clip, the loss scale and the refusal of sums that need more than 63 bits.
#include "tests/run_fixture.h"
#include "tests/slow.h"

#include "sim/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TRIALS = 400, WEIGHTS = 640, OVERRIDES = 20, TEXT = 96 };

// A scalar or a sum: mantissa * 2^exponent.
typedef struct Exact {
    Wide m;
    int e;
} Exact;

static Wide magnitude(Wide x) {
    return x < 0 ? -x : x;
}

static Exact times(Exact a, Exact b) {
    return (Exact){a.m * b.m, a.e + b.e};
}

static Exact at(Exact a, int e) {
    return (Exact){a.m * slow_power(a.e - e), e};
}

static Exact plus(Exact a, Exact b) {
    if (a.m == 0 || b.m == 0)
        return a.m == 0 ? b : a;
    int e = a.e < b.e ? a.e : b.e;
    return (Exact){at(a, e).m + at(b, e).m, e};
}

// A decimal's value times up / down to 15 bits, nearest-even: specs/formats.md 12.7.
static Exact scalar_of(const char *text, Wide up, Wide down) {
    Wide n = 0;
    const char *p = text;
    for (bool point = false; *p && *p != 'e' && *p != '/'; p++)
        if (*p == '.')
            point = true;
        else {
            n = n * 10 + (*p - '0');
            down *= point ? 10 : 1;
        }
    if (*p == '/')
        down *= atoi(p + 1);
    for (int i = 0; *p == 'e' && i < -atoi(p + 1); i++)
        down *= 10;
    n *= up;
    int e = 0;
    for (; n && n < down * 16384; e--)
        n *= 2;
    for (; n >= down * 32768; e++)
        down *= 2;
    Wide q = n / down, rest = n % down;
    q += 2 * rest > down || (2 * rest == down && q % 2);
    return q == 32768 ? (Exact){16384, e + 1} : (Exact){q, e};
}

// ---- what a trial is ---------------------------------------------------------------------------------------------------

typedef struct Site {
    bool on;
    int bits, fraction, law;
    bool twos;
    Wide clip; // of the store, 0: none
} Site;

static const struct {
    const char *text;
    SlowLaw law;
} laws[] = {
    {"nearest-even", {.name = "nearest-even"}},
    {"nearest-away", {.name = "nearest-away"}},
    {"floor", {.name = "floor"}},
    {"toward-zero", {.name = "toward-zero"}},
    {"stochastic", {.name = "stochastic", .variant = "c", .bits = 32}},
    {"stochastic:8", {.name = "stochastic", .variant = "c", .bits = 8}},
    {"stochastic:16:a", {.name = "stochastic", .variant = "a", .bits = 16}},
    {"stochastic:32:below", {.name = "stochastic", .variant = "below", .bits = 32}},
};

static const char *const rates[] = {"0.1", "1e-4", "0.9", "1/8", "0.02", "3", "0.3333", "1", "0.00007", "7/3"};
static const char *const factors[] = {"0", "0", "0.9", "0.5", "0.99", "0.0001", "1/3", "1e-4"};
static const int batches[] = {128, 100, 60, 7};

typedef struct Case {
    Site store, gradient, momentum, decaying;
    bool inner, nesterov;
    const char *rate, *mu, *decay;
    int batch, log2_scale;
    char text[OVERRIDES][TEXT];
    const char *overrides[OVERRIDES + 1];
    int count;
} Case;

static uint64_t draws;
static int below(int n) {
    return (int)(slow_mix(++draws) % (unsigned)n);
}
static int between(int low, int high) {
    return low + below(high - low + 1);
}

__attribute__((format(printf, 2, 3))) static void set(Case *c, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(c->text[c->count], TEXT, format, list);
    va_end(list);
    c->overrides[c->count] = c->text[c->count];
    c->count++;
}

static Site site_made(Case *c, const char *name, int most_bits, int most_fraction) {
    Site s = {.on = true, .bits = between(2, most_bits), .law = below((int)(sizeof laws / sizeof laws[0])), .twos = below(3) == 0};
    s.fraction = between(-2, most_fraction);
    set(c, "%s.q=fixed%df%d%s/%s", name, s.bits, s.fraction, s.twos ? "t" : "", laws[s.law].text);
    return s;
}

static Wide high_of(const Site *s) {
    return slow_power(s->bits - 1) - 1;
}

static void make_case(Case *c, bool wide) {
    *c = (Case){.inner = below(3) == 0, .rate = rates[below(10)], .mu = factors[below(8)], .decay = factors[below(8)], .batch = batches[below(4)]};
    c->store = site_made(c, "store", wide ? 40 : 20, wide ? 34 : 14);
    c->gradient = site_made(c, "gradient", wide ? 24 : 14, wide ? 20 : 8);
    if (c->inner || strcmp(c->mu, "0") || below(4) == 0)
        c->momentum = site_made(c, "momentum", wide ? 30 : 16, wide ? 30 : 12);
    if (below(4) == 0)
        c->decaying = site_made(c, "decay", wide ? 30 : 16, wide ? 30 : 10);
    if (below(2) && c->store.fraction >= 0 && c->store.fraction <= 12 && c->store.bits > 3 && c->store.bits <= 20) {
        c->store.clip = 1 + (Wide)(slow_mix(++draws) % (uint64_t)high_of(&c->store));
        set(c, "store.clip=%.*f", c->store.fraction, (double)c->store.clip / (double)slow_power(c->store.fraction));
    }
    c->nesterov = !c->inner && below(2);
    if (below(3) == 0) {
        c->log2_scale = between(1, wide ? 40 : 12);
        set(c, "loss-scale.mode=constant");
        set(c, "loss-scale.value=%llu", 1ULL << c->log2_scale);
    }
    set(c, "update.rule=%s", c->inner ? "sgd-inner" : "sgd");
    set(c, "update.nesterov=%s", c->nesterov ? "yes" : "no");
    set(c, "update.rate=%s", c->rate);
    set(c, "update.momentum=%s", c->mu);
    set(c, "update.weight-decay=%s", c->decay);
    set(c, "run.batch=%d", c->batch);
}

static const char *described(const Case *c) {
    static char text[OVERRIDES * TEXT];
    size_t n = 0;
    for (int i = 0; i < c->count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %s", c->overrides[i]);
    return text;
}

// ---- the twin ----------------------------------------------------------------------------------------------------------

typedef struct Twin {
    const Case *c;
    Exact rate, mu, decay; // of the batch's sum: rate / N, decay * N
    Wide most;             // largest magnitude that a right side has had, at the finest unit of its terms
} Twin;

static Twin twin_of(const Case *c) {
    return (Twin){.c = c, .rate = scalar_of(c->rate, 1, c->batch), .mu = scalar_of(c->mu, 1, 1), .decay = scalar_of(c->decay, c->batch, 1)};
}

static uint32_t random_word(const Site *s, int role, uint32_t step, size_t i) {
    uint32_t word = 0;
    const FxRandom random = {fx_random_source(0), 32, {1, 256 + (uint32_t)role, step}};
    if (laws[s->law].law.bits)
        fx_random_bits(&word, &random, i, 1, laws[s->law].law.bits, FX_CPU_SCALAR);
    return word;
}

static Wide rounded(const Site *s, int role, Exact x, uint32_t step, size_t i, bool *outside) {
    SlowGrid grid = {.kind = SLOW_FIXED, .low = -high_of(s) - s->twos, .high = high_of(s), .bits = s->bits};
    bool out;
    Wide code = slow_code(&grid, &laws[s->law].law, x.m, -s->fraction - x.e, random_word(s, role, step, i), &out);
    if (s->clip) {
        out = false; // against the clip, not the grid
        SlowGrid held = {.kind = SLOW_FIXED, .low = -s->clip, .high = s->clip, .bits = s->bits};
        code = slow_code(&held, &laws[s->law].law, x.m, -s->fraction - x.e, random_word(s, role, step, i), &out);
    }
    if (outside)
        *outside = out;
    return code;
}

typedef struct Weight {
    Wide w, g, m;
    bool outside;
} Weight;

static Exact of(const Site *s, Wide code) {
    return (Exact){code, -s->fraction};
}

// One element's update: specs/formats.md 12.7.
static Weight updated(const Twin *t, Weight x, uint32_t step, size_t i) {
    const Case *c = t->c;
    Exact w = of(&c->store, x.w), m = of(&c->momentum, x.m), h = of(&c->gradient, x.g);
    Exact minus_rate = {-t->rate.m, t->rate.e}, next;
    h.e -= c->log2_scale;
    h = plus(h, times(t->decay, w));
    if (c->decaying.on)
        h = of(&c->decaying, rounded(&c->decaying, FX_SITE_DECAY, h, step, i, NULL));
    if (c->inner) {
        x.m = rounded(&c->momentum, FX_SITE_MOMENTUM, plus(times(t->mu, m), times(minus_rate, h)), step, i, NULL);
        next = plus(w, of(&c->momentum, x.m));
    } else {
        Exact v = h;
        if (c->momentum.on) {
            x.m = rounded(&c->momentum, FX_SITE_MOMENTUM, plus(times(t->mu, m), h), step, i, NULL);
            m = of(&c->momentum, x.m);
            v = c->nesterov ? plus(h, times(t->mu, m)) : m;
        }
        next = plus(w, times(minus_rate, v));
    }
    x.w = rounded(&c->store, FX_SITE_STORE, next, step, i, &x.outside);
    return x;
}

// ---- bounds ------------------------------------------------------------------------------------------------------------

static const Wide enough = (Wide)1 << 62, beyond = (Wide)1 << 100;

static Exact most_of(const Site *s) {
    return of(s, high_of(s) + 1);
}

// |a| * |x| + |y| at the finer of the two units, a's mantissa odd; tight: two's complement alone reaches 2^(W-1).
static Exact most_sum(Exact a, Exact x, Exact y) {
    while (a.m && a.m % 2 == 0)
        a = (Exact){a.m / 2, a.e + 1};
    Exact p = times(a, x);
    if (p.m == 0)
        return y;
    int e = y.m && y.e < p.e ? y.e : p.e;
    if (p.e - e > 60 || (y.m && y.e - e > 60) || p.m >= enough || y.m >= enough)
        return (Exact){beyond, e};
    return (Exact){at(p, e).m + (y.m ? at(y, e).m : 0), e};
}

// The largest sum of a case.
static Wide most_needed(const Twin *t) {
    const Case *c = t->c;
    const Exact one = {1, 0}, none = {0, 0};
    Exact w = most_of(&c->store), g = most_of(&c->gradient), m = c->momentum.on ? most_of(&c->momentum) : none;
    g.e -= c->log2_scale;
    Exact h = most_sum(t->decay, w, g), all[4] = {h};
    if (c->decaying.on)
        h = most_of(&c->decaying);
    if (c->inner) {
        all[1] = most_sum(t->mu, m, most_sum(t->rate, h, none));
        all[2] = most_sum(one, m, w);
    } else {
        Exact v = h;
        if (c->momentum.on) {
            all[1] = most_sum(t->mu, m, h);
            v = c->nesterov ? all[1] : m;
        }
        all[2] = most_sum(t->rate, v, w);
    }
    Wide most = 0;
    for (int i = 0; i < 3; i++)
        most = all[i].m > most ? all[i].m : most;
    return most;
}

// ---- the simulator -----------------------------------------------------------------------------------------------------

// Codes of a grid: every magnitude, its ends often.
static Wide code_made(const Site *s, size_t i) {
    Wide high = high_of(s), low = -high - s->twos, x = slow_fill(++draws, s->bits);
    if (i % 5 == 0)
        return i % 2 ? high : low;
    return x < low ? low : x > high ? high : x;
}

static void step_and_compare(const Case *c, FxRun *run, const Twin *twin, bool first) {
    FxNode *node = fx_net_product(&run->net, 0);
    static Weight weight[WEIGHTS];
    FxTotals totals = {0};
    uint64_t saturated = 0, changed = 0, at_limit = 0, before_changed = node->site[FX_SITE_STORE].changed;
    FxStats seen = node->site[FX_SITE_STORE].stats;
    Wide limit = c->store.clip ? c->store.clip : high_of(&c->store);
    assert_true(node->updates_integers && node->store.count == WEIGHTS);
    node->g.exponent = -c->gradient.fraction;
    if (!first && node->momentum.data)
        node->momentum.exponent = -c->momentum.fraction;
    for (size_t i = 0; i < WEIGHTS; i++) {
        weight[i] = (Weight){.w = code_made(&c->store, i), .g = code_made(&c->gradient, i / 5 * 3 + i), .m = first || !c->momentum.on ? 0 : code_made(&c->momentum, i / 25 * 3 + i)};
        if (c->store.clip && magnitude(weight[i].w) > limit)
            weight[i].w = weight[i].w < 0 ? -limit : limit;
        fx_tensor_set(&node->store, i, (int64_t)weight[i].w);
        fx_tensor_set(&node->g, i, (int64_t)weight[i].g);
        if (node->momentum.data)
            fx_tensor_set(&node->momentum, i, (int64_t)weight[i].m);
    }
    FxStep step = {.net = &run->net, .config = &run->config, .step = (uint64_t)below(1 << 20), .images = c->batch, .totals = &totals,
                   .loss_scale = fx_loss_scale_value(&run->loss_scale)};
    fx_update(&step, node);
    for (size_t i = 0; i < WEIGHTS; i++) {
        Weight want = updated(twin, weight[i], (uint32_t)step.step, i);
        if (fx_tensor_get(&node->store, i) != want.w)
            fail_msg("weight %zu: %lld becomes %lld, not %lld (g %lld, m %lld):%s", i, (long long)weight[i].w,
                     (long long)fx_tensor_get(&node->store, i), (long long)want.w, (long long)weight[i].g, (long long)weight[i].m, described(c));
        if (c->momentum.on && fx_tensor_get(&node->momentum, i) != want.m)
            fail_msg("momentum %zu: %lld becomes %lld, not %lld:%s", i, (long long)weight[i].m, (long long)fx_tensor_get(&node->momentum, i),
                     (long long)want.m, described(c));
        saturated += want.outside;
        changed += want.w != weight[i].w;
        at_limit += want.w == limit || want.w == -limit;
    }
    assert_int_equal(node->store.exponent, -c->store.fraction);
    assert_int_equal(node->site[FX_SITE_STORE].changed - before_changed, changed);
    assert_int_equal(totals.store_changed, changed);
    const FxStats *stats = &node->site[FX_SITE_STORE].stats;
    if (stats->saturated - seen.saturated != saturated)
        fail_msg("%d saturated, not %d:%s", (int)(stats->saturated - seen.saturated), (int)saturated, described(c));
    if (!c->store.twos && stats->at_limit - seen.at_limit != at_limit)
        fail_msg("%d at the limit, not %d:%s", (int)(stats->at_limit - seen.at_limit), (int)at_limit, described(c));
}

static void trials(bool wide, int count, int *accepted, int *refused) {
    for (int n = 0; n < count; n++) {
        Case c;
        make_case(&c, wide);
        Twin twin = twin_of(&c);
        FxRun run;
        FxError err = {0};
        bool fits = most_needed(&twin) < enough;
        if (run_try(&run, "gupta2015", "10", c.overrides, &err)) {
            if (!strstr(err.text, "63 bits") || !strstr(err.text, "fc1") || err.exit_code != FX_EXIT_USAGE)
                fail_msg("%s:%s", err.text, described(&c));
            // the proof counts a grid's end of 2^(W-1) for 2^(W-1) - 1: what it refuses needs nearly as much
            if (most_needed(&twin) < (Wide)1 << 61)
                fail_msg("refused, yet it fits:%s", described(&c));
            ++*refused;
            continue;
        }
        if (!fits && most_needed(&twin) > (Wide)5 << 60)
            fail_msg("not refused:%s", described(&c));
        ++*accepted;
        for (int step = 0; step < 3; step++)
            step_and_compare(&c, &run, &twin, step == 0);
        fx_run_free(&run);
    }
}

static void the_rules_give_the_codes_of_exact_arithmetic(void **state) {
    (void)state;
    int accepted = 0, refused = 0;
    trials(false, TRIALS, &accepted, &refused);
    assert_true(accepted > TRIALS / 2);
}

static void sums_beyond_63_bits_are_refused_and_no_others(void **state) {
    (void)state;
    int accepted = 0, refused = 0;
    trials(true, TRIALS, &accepted, &refused);
    assert_true(accepted > TRIALS / 4 && refused > TRIALS / 10);
}

// A store so coarse and a momentum so fine that their sum alone is too wide.
static void every_sum_of_a_rule_is_proved(void **state) {
    (void)state;
    static const char *const inner[] = {"update.rule=sgd-inner", "update.rate=1/8", "store.q=fixed40f-2", "gradient.q=fixed8f0", "momentum.q=fixed8f24", NULL};
    FxRun run;
    FxError err = {0};
    assert_int_equal(run_try(&run, "gupta2015", "10", inner, &err), -1);
    assert_non_null(strstr(err.text, "63 bits"));
}

// ---- whole runs ----------------------------------------------------------------------------------------------------------

static uint32_t crc_after(const char *const overrides[], int steps) {
    FxRun run;
    run_open(&run, "gupta2015", "4C3-MP2-10", overrides);
    for (int i = 0; i < steps; i++)
        assert_false(run_step(&run, NULL));
    uint32_t crc = fx_run_weights_crc32(&run);
    fx_run_free(&run);
    return crc;
}

// Error and gradient move their points with the scale: every code is as it was.
static void a_loss_scale_of_a_power_of_two_changes_no_code(void **state) {
    (void)state;
    char text[5][64];
    const char *scaled[] = {"loss-scale.mode=constant", text[0], text[1], text[2], "update.momentum=0.9", "momentum.q=fixed20f14", "update.weight-decay=1e-4", NULL};
    const char *plain[] = {"update.momentum=0.9", "momentum.q=fixed20f14", "update.weight-decay=1e-4", NULL};
    uint32_t want = crc_after(plain, 12), start = crc_after(plain, 0);
    assert_true(want != start);
    for (int k = -3; k <= 9; k += 3) {
        snprintf(text[0], sizeof text[0], k < 0 ? "loss-scale.value=1/%d" : "loss-scale.value=%d", 1 << (k < 0 ? -k : k));
        snprintf(text[1], sizeof text[1], "error.grid=fixed16f%dt", 14 - k);
        snprintf(text[2], sizeof text[2], "gradient.grid=fixed16f%dt", 7 - k);
        if (crc_after(scaled, 12) != want)
            fail_msg("the loss scale 2^%d gives other weights", k);
    }
}

// A scale that moves must not leave what the sums of the update were proved for.
static void a_moving_loss_scale_keeps_the_sums_inside_their_bound(void **state) {
    (void)state;
    static const char *const overrides[] = {"loss-scale.mode=dynamic", "loss-scale.growth=2 after 1s", "update.rate=0.1", NULL};
    FxRun run;
    FxNode *node;
    Case c = {.rate = "0.1", .mu = "0", .decay = "0", .batch = 128, .store = {true, 16, 14, 4, true, 0}, .gradient = {true, 16, 7, 4, true, 0}};
    for (int i = 0; i < 8; i++) // as gupta2015 has them
        if (!strcmp(laws[i].text, "stochastic"))
            c.store.law = c.gradient.law = i;
    run_open(&run, "gupta2015", "10", overrides);
    node = fx_net_product(&run.net, 0);
    for (int i = 0; i < 80; i++) {
        FxScalar scale = fx_loss_scale_value(&run.loss_scale);
        c.log2_scale = scale.exponent + 14;
        Twin twin = twin_of(&c);
        assert_int_equal(scale.mantissa, 1 << 14);
        if (most_needed(&twin) >= enough)
            fail_msg("a loss scale of 2^%d: sums need more than 63 bits", c.log2_scale);
        step_and_compare(&c, &run, &twin, false);
        fx_loss_scale_move(&run.loss_scale, &run.config.loss_scaling, false);
    }
    assert_true(c.log2_scale > 10 && node->updates_integers);
    fx_run_free(&run);
}

// Floats before the gradient, integers behind it: what is divided exactly is a power of two.
static void other_loss_scales_are_refused(void **state) {
    (void)state;
    const char *overrides[] = {"recipe.claim=none", "error.q=fp16", "accumulator.kind=fp32", "loss-scale.mode=constant", "loss-scale.value=1024", NULL};
    FxRun run;
    FxError err = {0};
    run_open(&run, "gupta2015", "10", overrides);
    assert_true(fx_net_product(&run.net, 0)->updates_integers);
    fx_run_free(&run);
    overrides[4] = "loss-scale.value=1000";
    assert_int_equal(run_try(&run, "gupta2015", "10", overrides, &err), -1);
    assert_int_equal(err.exit_code, FX_EXIT_USAGE);
    assert_non_null(strstr(err.text, "powers of two"));
}

// A rate of 0, as a cosine ends with, leaves the weights alone.
static void a_rate_of_zero_changes_nothing(void **state) {
    (void)state;
    static const char *const rules[][8] = {
        {"update.rate=0"}, {"update.rate=0", "momentum.q=fixed16f14", "update.momentum=0.5"},
        {"update.rate=0", "momentum.q=fixed16f14", "update.rule=sgd-inner"},
        {"update.rate=0", "momentum.q=fixed16f14", "update.momentum=0.5", "update.rule=sgd-inner"},
        {"update.rate=0", "recipe.claim=none", "store.q=fp32", "momentum.q=none", "update.momentum=0.5", "update.rule=sgd-inner"}};
    for (int i = 0; i < 5; i++)
        assert_int_equal(crc_after(rules[i], 2), crc_after(rules[i], 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_give_the_codes_of_exact_arithmetic),
        cmocka_unit_test(sums_beyond_63_bits_are_refused_and_no_others),
        cmocka_unit_test(every_sum_of_a_rule_is_proved),
        cmocka_unit_test(a_loss_scale_of_a_power_of_two_changes_no_code),
        cmocka_unit_test(a_moving_loss_scale_keeps_the_sums_inside_their_bound),
        cmocka_unit_test(other_loss_scales_are_refused),
        cmocka_unit_test(a_rate_of_zero_changes_nothing),
    };
    return cmocka_run_group_tests_name("integer_update", tests, NULL, NULL);
}
