#include "sim/find_ranges.h"

#include <stdlib.h>
#include <string.h>

static void take(FxRun *run, const FxRun *twin) {
    for (int k = 0; k < run->net.keeper_count; k++)
        for (int i = 0; fx_site_info(i); i++) {
            FxSite site = fx_site_info(i)->site;
            const FxSiteConfig *c = &run->config.phases[0].layers[run->net.keepers[k]->id - 1].site[site];
            FxSiteState *to = &run->net.keepers[k]->site[site];
            const FxSiteState *from = &twin->net.keepers[k]->site[site];
            if (fx_site_has_overflow(c) && from->rule == to->rule) // else a milestone gave the twin's words to another rule
                to->words[0] = from->words[0];
        }
}

int fx_find_ranges(FxRun *run, const volatile sig_atomic_t *stop, bool *stopped, FxError *err) {
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
    fx_net_start(&run->net, &run->config); // the first draw was a call of the store's controller: it is taken back
    if (!*stopped)
        take(run, &twin);
    fx_run_free(&twin);
    return fx_net_draw(&run->net, &run->config, err);
}
