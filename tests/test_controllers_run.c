// The controllers of dynamic fixed point and Flexpoint inside a training run: their rules, written down once more from
// specs/formats.md 3 and 12.5, are fed with the codes that the step makes and must foretell every exponent of stats.csv.
#include "sim/find_ranges.h"
#include "tests/run_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LAYERS = 3, SITES = 6, STEPS = 40, DEQUE = 16 };
#define NET "4C3-MP2-16FC-10"

static const FxSite sites[SITES] = {FX_SITE_WEIGHT, FX_SITE_ACTIVATION, FX_SITE_ERROR, FX_SITE_GRADIENT, FX_SITE_STORE, FX_SITE_MOMENTUM};

// Codes of one tensor of one step, and what they were made from.
typedef struct Seen {
    bool there;
    int exponent;
    double n, at_limit, at_half, largest;
    double *source; // of the first step; freed by seen_free
    size_t sources;
} Seen;

typedef struct Watch {
    FxRun run;
    double limit[SITES];         // 2^(W-1) - 1 of each site
    Seen seen[LAYERS][SITES], drawn[LAYERS]; // of the last step; the store before the first one
    double *last;                // the tensor told before
    size_t last_count;
} Watch;

static void *allocate(size_t bytes) {
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p)
        abort();
    return p;
}

static double value_at(const FxTensor *t, size_t i) {
    return t->type == FX_FLOAT32 ? (double)((const float *)t->data)[i] : ldexp((double)fx_tensor_get(t, i), t->exponent);
}

static double *values_of(const FxTensor *t) {
    double *out = allocate(t->count * sizeof *out);
    for (size_t i = 0; i < t->count; i++)
        out[i] = value_at(t, i);
    return out;
}

static int index_of(FxSite site) {
    int i = 0;
    while (sites[i] != site)
        i++;
    return i;
}

static void see(Seen *seen, const FxTensor *codes, double limit) {
    *seen = (Seen){.there = true, .exponent = codes->exponent, .n = (double)codes->count, .source = seen->source, .sources = seen->sources};
    for (size_t i = 0; i < codes->count; i++) {
        double m = fabs((double)fx_tensor_get(codes, i));
        seen->largest = fmax(seen->largest, m);
        seen->at_limit += m >= limit;
        seen->at_half += 2 * m >= limit; // the end of half the range in units of the whole one
    }
}

static void set_source(Seen *seen, double *source, size_t count) {
    free(seen->source), seen->source = source, seen->sources = count;
}

// A site's codes come right behind the tensor that they are made from.
static void told(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    Watch *w = user;
    int site = !strcmp(what, "weight") ? index_of(FX_SITE_WEIGHT) : !strcmp(what, "activation") ? index_of(FX_SITE_ACTIVATION)
               : !strcmp(what, "error.quantised") ? index_of(FX_SITE_ERROR) : -1;
    if (strstr(what, "mask") || strstr(what, "argmax"))
        return;
    if (site >= 0) {
        see(&w->seen[node->id - 1][site], t, w->limit[site]);
        if (w->run.step == 0) {
            set_source(&w->seen[node->id - 1][site], w->last, w->last_count);
            w->last = NULL;
        }
    }
    if (w->run.step == 0 && !strcmp(what, "sum.gradient"))
        set_source(&w->seen[node->id - 1][index_of(FX_SITE_GRADIENT)], values_of(t), t->count);
    free(w->last);
    w->last = w->run.step == 0 ? values_of(t) : NULL;
    w->last_count = t->count;
}

static void watch_open(Watch *w, const char *recipe, const char *const overrides[]) {
    memset(w, 0, sizeof *w);
    run_open(&w->run, recipe, NET, overrides);
    assert_int_equal(w->run.net.product_count, LAYERS);
    for (int i = 0; i < SITES; i++)
        w->limit[i] = (double)fx_grid_high(&w->run.config.phases[0].layers[LAYERS - 1].site[sites[i]].q.grid);
    for (int p = 0; p < LAYERS; p++)
        see(&w->drawn[p], &fx_net_product(&w->run.net, p)->store, w->limit[index_of(FX_SITE_STORE)]);
}

static void watch_step(Watch *w) {
    const FxTrace trace = {told, w};
    run_step(&w->run, &trace);
    for (int p = 0; p < LAYERS; p++) {
        const FxNode *node = fx_net_product(&w->run.net, p);
        const FxTensor *kept[] = {&node->g, &node->store, &node->momentum};
        for (int i = 0; i < 3; i++)
            see(&w->seen[p][index_of(FX_SITE_GRADIENT) + i], kept[i], w->limit[index_of(FX_SITE_GRADIENT) + i]);
    }
}

static void watch_close(Watch *w) {
    for (int p = 0; p < LAYERS; p++)
        for (int i = 0; i < SITES; i++)
            free(w->seen[p][i].source);
    free(w->last);
    fx_run_free(&w->run);
}

// The two were one run.
static void finish(Watch *w, Trained *trained) {
    char crc[16];
    snprintf(crc, sizeof crc, "%08x", fx_run_weights_crc32(&w->run));
    assert_string_equal(crc, table_cell(&trained->log, trained->log.rows - 1, "weights_crc32"));
    watch_close(w);
    trained_free(trained);
}

static bool has_site(int layer, int site) {
    return layer > 0 || sites[site] != FX_SITE_ACTIVATION;
}

static const char *name_of(int site) {
    return fx_site(sites[site])->name;
}

// The row of stats.csv after `step` updates.
static size_t row_of(const Table *stats, uint64_t step, int layer, int site) {
    size_t row = 0;
    while (row < stats->rows && !(table_number(stats, row, "step") == (double)step && table_number(stats, row, "index") == layer + 1 &&
                                  !strcmp(table_cell(stats, row, "site"), name_of(site))))
        row++;
    return row;
}

// The printed row of a site's call: exponent, moves and counts.
static void check_row(const Table *stats, uint64_t step, int layer, int site, const Seen *seen, int before) {
    size_t row = row_of(stats, step, layer, site);
    if (table_number(stats, row, "exponent") != seen->exponent)
        fail_msg("step %d, layer %d, %s: stats.csv has exponent %s, the codes %d", (int)step, layer + 1, name_of(site),
                 table_cell(stats, row, "exponent"), seen->exponent);
    assert_true(table_number(stats, row, "n") == seen->n);
    if (step > 1 || sites[site] == FX_SITE_STORE)
        assert_true(table_number(stats, row, "exponent_moves") == (seen->exponent != before));
}

// ---- overflow rates: formats.md 2.1 and 12.5 ---------------------------------------------------------------------------

typedef struct Overflow {
    int R, calls;
    double n, at_limit, at_half;
    int ups, downs;
} Overflow;

enum { CALLS = 3, START = 3 };

static void overflow_call(Overflow *o, const Seen *seen, int site) {
    const double PPM = sites[site] == FX_SITE_GRADIENT ? 0 : 2000;
    o->n += seen->n;
    o->at_limit += seen->at_limit;
    o->at_half += seen->at_half;
    if (++o->calls < CALLS)
        return;
    bool up = o->at_limit * 1e6 > PPM * o->n, down = !up && o->at_half * 1e6 <= PPM * o->n;
    *o = (Overflow){.R = o->R + up - down, .ups = o->ups + up, .downs = o->downs + down};
}

#define OVERFLOW_SCALES "weight.scale=overflow:3:3:2000", "activation.scale=overflow:3:3:2000", "error.scale=overflow:3:3:2000", \
                        "gradient.scale=overflow:3:3:0", "store.scale=overflow:3:3:2000", "momentum.scale=overflow:3:3:2000"

static void check_overflow(Overflow *o, Watch *w, const Table *stats, int before[LAYERS][SITES], int p, int i) {
    const Seen *seen = &w->seen[p][i];
    int nob = sites[i] == FX_SITE_STORE ? 11 : 9;
    if (seen->exponent != o->R - nob)
        fail_msg("step %d, layer %d, %s: exponent %d, the rule says %d", (int)w->run.step, p + 1, name_of(i), seen->exponent, o->R - nob);
    check_row(stats, w->run.step, p, i, seen, before[p][i]);
    assert_true(table_number(stats, row_of(stats, w->run.step, p, i), "at_limit") == seen->at_limit);
    before[p][i] = seen->exponent;
    overflow_call(o, seen, i);
}

static void ranges_move_by_the_rule_at_every_site_of_a_run(void **state) {
    (void)state;
    static const char *const overrides[] = {OVERFLOW_SCALES, "init.ranges=none", "stats.every=1s", "run.max-steps=40", "run.threads=2", NULL};
    Trained trained = run_train("courbariaux2014", NET, overrides);
    Overflow rule[LAYERS][SITES];
    int before[LAYERS][SITES] = {{0}}, ups = 0, downs = 0;
    Watch w;
    assert_int_equal(trained.status, FX_DONE);
    watch_open(&w, "courbariaux2014", overrides);
    for (int p = 0; p < LAYERS; p++) {
        for (int i = 0; i < SITES; i++)
            rule[p][i] = (Overflow){.R = START};
        int store = index_of(FX_SITE_STORE); // its first call is the draw
        assert_int_equal(w.drawn[p].exponent, START - 11);
        overflow_call(&rule[p][store], &w.drawn[p], store);
        before[p][store] = w.drawn[p].exponent;
    }
    while (w.run.step < STEPS) {
        watch_step(&w);
        for (int p = 0; p < LAYERS; p++)
            for (int i = 0; i < SITES; i++)
                if (has_site(p, i))
                    check_overflow(&rule[p][i], &w, &trained.stats, before, p, i);
    }
    for (int p = 0; p < LAYERS; p++)
        for (int i = 0; i < SITES; i++) {
            ups += rule[p][i].ups;
            downs += rule[p][i].downs;
        }
    assert_true(ups > 10 && downs > 10);
    finish(&w, &trained);
}

// `ranges`: R is what two epochs at 16 bits lead to; everything else is as if the run had begun with R, the draw being the
// store's first call.
static void found_ranges_are_all_that_is_kept_of_finding_them(void **state) {
    (void)state;
    static const char *const overrides[] = {OVERFLOW_SCALES, "init.ranges=2e:16", "run.epochs=3", NULL};
    FxRun run, twin;
    Watch plain;
    FxError err = {0};
    bool stopped = true;
    int moved = 0;
    run_open(&run, "courbariaux2014", NET, overrides);
    watch_open(&plain, "courbariaux2014", overrides);
    run_open_wide(&twin, "courbariaux2014", NET, overrides, 16);
    while (twin.step < 2 * twin.config.steps_per_epoch)
        fx_run_step(&twin);
    assert_int_equal(fx_find_ranges(&run, NULL, &stopped, &err), 0);
    assert_false(stopped);
    for (int p = 0; p < LAYERS; p++) {
        const FxNode *node = fx_net_product(&run.net, p);
        for (int i = 0; i < SITES; i++) {
            const FxSiteState *site = &node->site[sites[i]];
            bool is_store = sites[i] == FX_SITE_STORE;
            Seen draw = {0};
            if (!has_site(p, i))
                continue;
            if (is_store)
                see(&draw, &node->store, plain.limit[i]);
            moved += site->words[0] != START;
            assert_int_equal(twin.config.phases[0].layers[p].site[sites[i]].q.grid.bits, 16);
            assert_int_equal(site->words[0], fx_net_product(&twin.net, p)->site[sites[i]].words[0]);
            if (site->words[1] != is_store)
                fail_msg("layer %d, %s: %d calls before the first step", p + 1, name_of(i), (int)site->words[1]);
            assert_true(site->words[2] == (int64_t)draw.n && site->words[3] == (int64_t)draw.at_limit && site->words[4] == (int64_t)draw.at_half);
            if (site->exponent_moves)
                fail_msg("layer %d, %s: moved before the first step", p + 1, name_of(i));
            if (is_store)
                assert_int_equal(node->store.exponent, site->words[0] - 11);
        }
    }
    assert_true(moved > 5);
    assert_true(run.step == 0 && run.images == 0 && run.totals.images == 0);
    watch_close(&plain);
    fx_run_free(&twin);
    fx_run_free(&run);
}

// ---- Autoflex: formats.md 3, in floating point ---------------------------------------------------------------------------

enum { N = 16 };

typedef struct Flex {
    int low, high; // of kappa
    int kappa, count, overflows, moves;
    double deque[DEQUE]; // oldest first
} Flex;

static int held(const Flex *f, int kappa) {
    return kappa < f->low ? f->low : kappa > f->high ? f->high : kappa;
}

static int ceil_log2(double x) {
    int e;
    return frexp(x, &e) == 0.5 ? e - 1 : e;
}

// What the kernel makes of the source at a kappa: nearest-even, saturated.
static double gamma_of(const Seen *seen, int kappa) {
    double largest = 0;
    for (size_t i = 0; i < seen->sources; i++)
        largest = fmax(largest, fabs(fmin(fmax(rint(ldexp(seen->source[i], -kappa)), -0x1p15), 0x1p15 - 1)));
    return largest;
}

static Flex flex_start(const Seen *seen, const int range[2]) {
    Flex f = {.low = range[0], .high = range[1]};
    bool done = false;
    f.kappa = held(&f, 0);
    for (int tries = 0; !done; done |= ++tries >= 10) {
        double gamma = gamma_of(seen, f.kappa);
        if (gamma >= 0x1p15 - 1) {
            f.kappa += (N - 1) / 2;
        } else if (gamma < 0x1p14) {
            f.kappa += ceil_log2(fmax(gamma, 1)) - (N - 2);
            done = gamma > 32;
        } else {
            done = true;
        }
        f.kappa = held(&f, f.kappa);
    }
    return f;
}

static void flex_call(Flex *f, double gamma) {
    double sum = 0, squares = 0, max = 0;
    if (gamma >= 0x1p15 - 1) {
        f->count = 0;
        f->overflows++;
        gamma *= 2;
    }
    if (f->count == DEQUE)
        memmove(f->deque, f->deque + 1, (size_t)--f->count * sizeof *f->deque);
    f->deque[f->count++] = ldexp(gamma, f->kappa);
    for (int i = 0; i < f->count; i++) {
        sum += f->deque[i];
        max = fmax(max, f->deque[i]);
    }
    double mean = sum / f->count;
    for (int i = 0; i < f->count; i++)
        squares += (f->deque[i] - mean) * (f->deque[i] - mean);
    double chi = 2 * (max + 3 * sqrt(squares / f->count) + 100 * ldexp(1, f->kappa));
    int kappa = held(f, ceil_log2(chi) - (N - 1));
    f->moves += kappa != f->kappa;
    f->kappa = kappa;
}

static uint64_t square_root(unsigned __int128 x) {
    uint64_t root = (uint64_t)sqrtl((long double)x);
    while ((unsigned __int128)root * root > x)
        root--;
    while ((unsigned __int128)(root + 1) * (root + 1) <= x)
        root++;
    return root;
}

// The draws of a store whose scale moves, 30 bits behind the point: run.md 2.
static void draw(Seen *seen, const FxRun *run, int layer) {
    const FxNode *node = fx_net_product(&run->net, layer);
    unsigned C = layer == LAYERS - 1 ? 3 : 6;
    __int128 S = square_root((((unsigned __int128)C) << 92) / node->layer.fan_in);
    double *out = allocate(node->store.count * sizeof *out);
    for (size_t i = 0; i < node->store.count; i++) {
        FxRng rng = {1, (uint32_t)(layer + 1) * 256 + 128, 0};
        __int128 twice = 2 * (__int128)fx_rng_word(rng, i) - ((__int128)1 << 32);
        out[i] = ldexp((double)((twice * S + ((__int128)1 << 47)) >> 48), -30);
    }
    set_source(seen, out, node->store.count);
}

// To a mantissa of 15 bits.
static float scalar(double x) {
    int e;
    double m = frexp(x, &e);
    return (float)ldexp(rint(ldexp(m, 15)), e - 15);
}

// In float32 m = 0.9 * 0 + h with h = g + 1e-4 * w of the batch's sum; sgd-inner: 0.5 * 0 - 0.0005 * h.
static void first_momentum(Seen *seen, const Watch *w, int layer, const double *weights) {
    const FxTensor *g = &fx_net_product(&w->run.net, layer)->g;
    double *out = allocate(g->count * sizeof *out);
    for (size_t i = 0; i < g->count; i++) {
        float h = fmaf(scalar(1e-4 * 128), (float)weights[i], (float)value_at(g, i));
        out[i] = w->run.config.update.rule->has_momentum ? -scalar(0.0005 / 128) * h : h;
    }
    set_source(seen, out, g->count);
}

static void check_flex(Flex *f, const Watch *w, const Table *stats, int before[LAYERS][SITES], int p, int i, bool reads_store) {
    const Seen *seen = &w->seen[p][i];
    if (reads_store && sites[i] == FX_SITE_WEIGHT) { // no controller of its own, no row
        assert_int_equal(seen->exponent, before[p][index_of(FX_SITE_STORE)]);
        return;
    }
    if (seen->exponent != f->kappa)
        fail_msg("step %d, layer %d, %s: exponent %d, Autoflex says %d", (int)w->run.step, p + 1, name_of(i), seen->exponent, f->kappa);
    check_row(stats, w->run.step, p, i, seen, before[p][i]);
    before[p][i] = seen->exponent;
    flex_call(f, seen->largest);
}

// What the first step's own sources do not show.
static void start_flex(Flex rule[LAYERS][SITES], Watch *w, int range[SITES][2]) {
    for (int p = 0; p < LAYERS; p++) {
        const Seen *weight = &w->seen[p][index_of(FX_SITE_WEIGHT)];
        first_momentum(&w->seen[p][index_of(FX_SITE_MOMENTUM)], w, p, weight->source);
        for (int i = 0; i < SITES; i++)
            if (has_site(p, i) && sites[i] != FX_SITE_STORE)
                rule[p][i] = flex_start(&w->seen[p][i], range[i]);
    }
}

static void replay_flex(const char *const overrides[], int range[SITES][2], int *moves, int *overflows) {
    Trained trained = run_train("flexpoint", NET, overrides);
    Flex rule[LAYERS][SITES];
    int before[LAYERS][SITES] = {{0}}, store = index_of(FX_SITE_STORE);
    Watch w;
    assert_int_equal(trained.status, FX_DONE);
    watch_open(&w, "flexpoint", overrides);
    for (int p = 0; p < LAYERS; p++) {
        draw(&w.seen[p][store], &w.run, p);
        rule[p][store] = flex_start(&w.seen[p][store], range[store]);
        before[p][store] = w.drawn[p].exponent;
        assert_int_equal(w.drawn[p].exponent, rule[p][store].kappa);
        assert_true(w.drawn[p].largest == gamma_of(&w.seen[p][store], rule[p][store].kappa));
        flex_call(&rule[p][store], w.drawn[p].largest);
    }
    while (w.run.step < STEPS) {
        watch_step(&w);
        if (w.run.step == 1)
            start_flex(rule, &w, range);
        for (int p = 0; p < LAYERS; p++)
            for (int i = 0; i < SITES; i++)
                if (has_site(p, i))
                    check_flex(&rule[p][i], &w, &trained.stats, before, p, i, !memcmp(range[index_of(FX_SITE_WEIGHT)], range[store], sizeof range[0]));
    }
    for (int p = 0; p < LAYERS; p++)
        for (int i = 0; i < SITES; i++)
            if (has_site(p, i)) {
                *moves += rule[p][i].moves;
                *overflows += rule[p][i].overflows;
            }
    finish(&w, &trained);
}

#define RUN "stats.every=1s", "run.max-steps=40", "run.threads=2"

static void autoflex_foretells_every_exponent_of_a_run(void **state) {
    (void)state;
    static const char *const recipe[] = {RUN, NULL};
    // ranges that end where the values lie: codes saturate, or kappa cannot fall
    static const char *const narrow[] = {RUN, "weight.scale=autoflex:-14:0", "activation.scale=autoflex:-31:-13", "error.scale=autoflex:-31:-15",
                                         "gradient.scale=autoflex:-22:-8", "store.scale=autoflex:-31:-15", "momentum.scale=autoflex:-7:15",
                                         "update.rate=0.3", NULL};
    // a momentum that grows by leaps
    static const char *const leap[] = {RUN, "update.rule=sgd-inner", "update.momentum=0.5", "update.rate=0.0005 0.02@9s", NULL};
    int whole[SITES][2], ends[SITES][2] = {{-14, 0}, {-31, -13}, {-31, -15}, {-22, -8}, {-31, -15}, {-7, 15}};
    int moves = 0, overflows = 0;
    for (int i = 0; i < SITES; i++)
        whole[i][0] = -31, whole[i][1] = 0;
    replay_flex(recipe, whole, &moves, &overflows);
    assert_true(moves > 10);
    replay_flex(leap, whole, &moves, &overflows);
    assert_true(overflows > 2);
    moves = overflows = 0;
    replay_flex(narrow, ends, &moves, &overflows);
    assert_true(moves > 3 && overflows > 100);
}

// The weights that products read are the kept ones: they are not rounded a second time.
static void the_products_read_the_kept_weights(void **state) {
    (void)state;
    static const char *const overrides[] = {"update.rate=0.5", NULL};
    Watch w;
    watch_open(&w, "flexpoint", overrides);
    for (int s = 0; s < STEPS; s++) {
        FxTensor kept[LAYERS];
        for (int p = 0; p < LAYERS; p++) {
            const FxTensor *store = &fx_net_product(&w.run.net, p)->store;
            kept[p] = *store, kept[p].data = memcpy(allocate(store->count * 2), store->data, store->count * 2);
        }
        watch_step(&w);
        for (int p = 0; p < LAYERS; p++) {
            const FxTensor *weight = &fx_net_product(&w.run.net, p)->layer.weight;
            for (size_t i = 0; i < weight->count; i++)
                if (value_at(weight, i) != value_at(&kept[p], i))
                    fail_msg("step %d, layer %d: weight %zu is %a, kept as %a", s, p + 1, i, value_at(weight, i), value_at(&kept[p], i));
            free(kept[p].data);
        }
    }
    watch_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_move_by_the_rule_at_every_site_of_a_run),
        cmocka_unit_test(found_ranges_are_all_that_is_kept_of_finding_them),
        cmocka_unit_test(autoflex_foretells_every_exponent_of_a_run),
        cmocka_unit_test(the_products_read_the_kept_weights),
    };
    return cmocka_run_group_tests_name("controllers_run", tests, NULL, NULL);
}
