#include "sim/ranges.h"

#include "sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fx_ranges_parse(FxRanges *ranges, const char *text, FxError *err) {
    unsigned epochs, bits;
    char rest;
    *ranges = (FxRanges){0, 0};
    if (!strcmp(text, "none"))
        return 0;
    if (strspn(text, "0123456789e:") != strlen(text) || strlen(text) > 12 || sscanf(text, "%ue:%u%c", &epochs, &bits, &rest) != 2 || epochs < 1 ||
        bits < 3 || bits > 24)
        return fx_fail(err, FX_EXIT_USAGE, "\"%.40s\"; known: none, or EPOCHSe:BITS as 2e:16, at most 24 bits", text);
    *ranges = (FxRanges){epochs, (int)bits};
    return 0;
}

static bool is_overflow(const FxSiteConfig *site) {
    return site->on && site->q.scale.rule->observe == fx_overflow_observe;
}

void fx_ranges_widen(FxConfig *config, int bits) {
    for (int p = 0; p < config->phase_count; p++)
        for (int l = 0; l < config->layer_count; l++) {
            FxLayerConfig *c = &config->phases[p].layers[l];
            for (int i = 0; fx_site_info(i); i++) {
                FxSiteConfig *site = &c->site[fx_site_info(i)->site];
                if (is_overflow(site) && site->q.grid.bits < bits)
                    site->q.grid.bits = bits;
            }
            if (is_overflow(&c->site[FX_SITE_STORE]))
                c->store_limit = fx_grid_high(&c->site[FX_SITE_STORE].q.grid);
        }
}

static void take(FxRun *run, const FxRun *twin) {
    for (int p = 0; p < run->net.product_count; p++)
        for (int i = 0; fx_site_info(i); i++) {
            FxSite site = fx_site_info(i)->site;
            const FxSiteConfig *c = &run->config.phases[0].layers[p].site[site];
            if (is_overflow(c))
                fx_net_product(&run->net, p)->site[site].words[0] = fx_net_product(&twin->net, p)->site[site].words[0];
        }
}

int fx_ranges_find(FxRun *run, const volatile sig_atomic_t *stop, bool *stopped, FxError *err) {
    FxRanges ranges = run->config.ranges;
    FxRun twin;
    FxRecipe recipe = run->recipe;
    FxWarnings ignored = {{0}};
    *stopped = false;
    if (!ranges.epochs)
        return 0;
    recipe.settings = malloc((size_t)recipe.capacity * sizeof *recipe.settings);
    if (!recipe.settings)
        return fx_fail_memory(err, "recipe", (size_t)recipe.capacity * sizeof *recipe.settings);
    memcpy(recipe.settings, run->recipe.settings, (size_t)recipe.count * sizeof *recipe.settings);
    if (fx_run_prepare_wide(&twin, &recipe, ranges.bits, &ignored, err))
        return -1;
    for (uint64_t step = 0; step < ranges.epochs * twin.config.steps_per_epoch && !*stopped; step++) {
        fx_run_step(&twin);
        *stopped = stop && *stop;
    }
    if (!*stopped)
        take(run, &twin);
    fx_run_free(&twin);
    return fx_net_draw(&run->net, &run->config, err);
}
