// A controller that a schedule begins within a run starts as its rule says, whatever stood at its site before: specs/formats.md 3
// and 12.5, the starts written down once more.
#include "sim/find_ranges.h"
#include "tests/run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SITES = 4, MILESTONE = 4, BEHIND = 4 };
#define NET "4C3-MP2-16FC-10"

static const FxSite sites[SITES] = {FX_SITE_WEIGHT, FX_SITE_ACTIVATION, FX_SITE_ERROR, FX_SITE_GRADIENT};

typedef struct Change {
    const char *before, *after; // scales
    int start;                  // the first word: R of overflow, kappa of Autoflex: 0, held to its range
} Change;

static const Change changes[] = {
    {"max", "overflow:3:3:2000", 3},
    {"overflow:7:2:2000", "overflow:3:3:2000", 3},
    {"overflow:3:2:2000", "overflow:3:50:2000", 3}, // R alone would look right: calls and counts must go too
    {"autoflex:-20:0", "overflow:3:3:2000", 3},
    {"max", "autoflex:-31:-13", -13},
    {"overflow:5:3:2000", "autoflex:-31:0", 0},
    {"overflow:5:3:2000", "autoflex:-14:-4", -4},
    {"autoflex:-31:0", "autoflex:-31:-15", -15},
};

static bool has_site(int layer, FxSite site) {
    return layer > 0 || site != FX_SITE_ACTIVATION;
}

static FxSiteState *state_of(const FxRun *run, int layer, int i) {
    return &fx_net_product(&run->net, layer)->site[sites[i]];
}

static void open_change(FxRun *run, const Change *change) {
    char texts[SITES][96];
    const char *overrides[SITES + 2] = {"init.ranges=none"};
    for (int i = 0; i < SITES; i++) {
        snprintf(texts[i], sizeof texts[i], "%s.scale=%s %s@%ds", fx_site(sites[i])->name, change->before, change->after, MILESTONE);
        overrides[i + 1] = texts[i];
    }
    run_open(run, "courbariaux2014", NET, overrides);
    for (int step = 0; step < MILESTONE; step++)
        fx_run_step(run);
}

static void set_start(FxRun *run, int start) {
    for (int p = 0; p < run->net.product_count; p++)
        for (int i = 0; i < SITES; i++) {
            FxSiteState *s = state_of(run, p, i);
            memset(s->words, 0, sizeof s->words);
            s->words[0] = start;
        }
}

static void expect_same(const Change *change, const FxRun *got, const FxRun *wanted) {
    for (int p = 0; p < got->net.product_count; p++)
        for (int i = 0; i < SITES; i++) {
            const FxSiteState *a = state_of(got, p, i), *b = state_of(wanted, p, i);
            if (has_site(p, sites[i]) && (a->exponent != b->exponent || memcmp(a->words, b->words, sizeof a->words)))
                fail_msg("%s to %s, step %d, layer %d, %s: exponent %d, first words %d %d; not %d, %d %d", change->before, change->after,
                         (int)got->step, p + 1, fx_site(sites[i])->name, (int)a->exponent, (int)a->words[0], (int)a->words[1],
                         (int)b->exponent, (int)b->words[0], (int)b->words[1]);
        }
    assert_int_equal(fx_run_weights_crc32(got), fx_run_weights_crc32(wanted));
}

// The first call of an overflow controller: its unit is that of R, and it has counted this call alone.
static void expect_first_call(const Change *change, const FxRun *run) {
    for (int p = 0; p < run->net.product_count; p++)
        for (int i = 0; i < SITES; i++) {
            const FxSiteState *s = state_of(run, p, i);
            if (has_site(p, sites[i]) && (s->exponent != change->start - 9 || s->words[1] != 1 || s->words[2] != (int64_t)s->last.n))
                fail_msg("%s to %s, layer %d, %s: exponent %d, %d calls, %d seen", change->before, change->after, p + 1, fx_site(sites[i])->name,
                         (int)s->exponent, (int)s->words[1], (int)s->words[2]);
        }
}

// The twin's words are set by hand; the fixture's step starts no controller.
static void a_controller_that_a_milestone_begins_starts_as_its_rule_says(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        FxRun run, twin;
        open_change(&run, &changes[i]);
        open_change(&twin, &changes[i]);
        set_start(&twin, changes[i].start);
        for (int step = 0; step < BEHIND; step++) {
            fx_run_step(&run);
            run_step(&twin, NULL);
            if (step == 0 && !strncmp(changes[i].after, "overflow", 8))
                expect_first_call(&changes[i], &run);
            expect_same(&changes[i], &run, &twin);
        }
        fx_run_free(&run);
        fx_run_free(&twin);
    }
}

// Where the site was of floats before, there were no words at all.
static void a_controller_behind_floats_starts_as_its_rule_says(void **state) {
    (void)state;
    static const char *const overrides[] = {"error.q=none fixed10@overflow:3:3:2000@4s", "gradient.q=e5m2 fixed12@overflow:2:3:2000@4s",
                                            "activation.q=fp32 fixed16t@autoflex:-31:-13@4s", NULL};
    FxRun run;
    run_open(&run, "fp32", NET, overrides);
    for (int step = 0; step <= MILESTONE; step++)
        fx_run_step(&run);
    for (int p = 0; p < run.net.product_count; p++) {
        const FxSiteState *site = fx_net_product(&run.net, p)->site, *error = &site[FX_SITE_ERROR], *gradient = &site[FX_SITE_GRADIENT];
        assert_true(error->exponent == 3 - 9 && error->words[0] == 3 && error->words[1] == 1);
        assert_true(gradient->exponent == 2 - 11 && gradient->words[0] == 2 && gradient->words[1] == 1);
        assert_true(p == 0 || (site[FX_SITE_ACTIVATION].words[1] == 1 && site[FX_SITE_ACTIVATION].exponent <= -13));
    }
    fx_run_free(&run);
}

// `ranges`: a milestone within the epochs that look for them leaves words of another rule behind; R is then the recipe's.
static void ranges_are_not_taken_from_the_words_of_another_rule(void **state) {
    (void)state;
    static const char *const overrides[] = {"init.ranges=2e:16", "error.scale=overflow:3:3:2000 autoflex@1", "weight.scale=overflow:5:3:2000", NULL};
    FxRun run;
    FxError err = {0};
    bool stopped = true;
    int moved = 0;
    run_open(&run, "courbariaux2014", NET, overrides);
    assert_int_equal(fx_find_ranges(&run, NULL, &stopped, &err), 0);
    for (int p = 0; p < run.net.product_count; p++) {
        const FxNode *node = fx_net_product(&run.net, p);
        if (node->site[FX_SITE_ERROR].words[0] != 3)
            fail_msg("layer %d: R of the error is %d, not 3", p + 1, (int)node->site[FX_SITE_ERROR].words[0]);
        moved += node->site[FX_SITE_WEIGHT].words[0] != 5; // whose rule stays
    }
    assert_true(moved > 0);
    fx_run_free(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_controller_that_a_milestone_begins_starts_as_its_rule_says),
        cmocka_unit_test(a_controller_behind_floats_starts_as_its_rule_says),
        cmocka_unit_test(ranges_are_not_taken_from_the_words_of_another_rule),
    };
    return cmocka_run_group_tests_name("controller_starts", tests, NULL, NULL);
}
