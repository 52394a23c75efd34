#include "sim/config_resolve.h"

#include "sim/carriers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fx_value_at(const Resolver *r, char text[FX_VALUE], const char *path, const FxLayerName *layer, uint64_t step) {
    const FxSetting *s = fx_recipe_find(r->recipe, path, layer);
    FxSchedule schedule;
    if (fx_schedule_parse(&schedule, s ? s->value : fx_key_find(path)->fallback, r->err))
        return -1;
    strcpy(text, fx_schedule_at(&schedule, step, r->config->steps_per_epoch)->text);
    return 0;
}

static int augment_at(const Resolver *r, FxAugment *augment, uint64_t step) {
    char text[FX_VALUE];
    if (fx_value_at(r, text, "run.augment", NULL, step))
        return -1;
    const char *pad = strstr(text, "pad:");
    *augment = (FxAugment){pad ? atoi(pad + 4) : 0, strstr(text, "flip") != NULL};
    return 0;
}

static int compare_steps(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool rules_somewhere(const Resolver *r, const FxSetting *s) {
    bool rules = fx_recipe_ruler(r->recipe, s->key, NULL) == s && !(s->key->flags & FX_KEY_LAYER);
    for (int l = 0; l < r->config->layer_count && (s->key->flags & FX_KEY_LAYER); l++)
        rules |= fx_recipe_ruler(r->recipe, s->key, &r->names[l]) == s;
    return rules;
}

// Whether s is the first of the parts of one quantiser that rule somewhere: a schedule is warned of once.
static bool speaks_for_its_whole(const Resolver *r, const FxSetting *s) {
    for (const FxSetting *o = r->recipe->settings; o < s; o++)
        if (s->whole && o->whole && !strcmp(o->source, s->source) && rules_somewhere(r, o))
            return false;
    return true;
}

// Steps at which a phase starts: 0 and every milestone of a setting that rules, inside the run.
static int collect_phases(const Resolver *r, uint64_t **starts, int *count) {
    int capacity = 1 + r->recipe->count * FX_SCHEDULE_ITEMS;
    *starts = calloc((size_t)capacity, sizeof **starts);
    if (!*starts)
        return fx_fail_memory(r->err, "schedules", (size_t)capacity * sizeof **starts);
    int n = 1;
    for (int i = 0; i < r->recipe->count; i++) {
        const FxSetting *s = &r->recipe->settings[i];
        FxSchedule schedule;
        if (!(s->key->flags & FX_KEY_SCHEDULE) || !rules_somewhere(r, s))
            continue;
        if (fx_schedule_parse(&schedule, s->value, r->err))
            return -1;
        for (int j = 1; j < schedule.count; j++) {
            const FxScheduleItem *item = &schedule.item[j];
            uint64_t step = fx_schedule_step(item, r->config->steps_per_epoch);
            if (step < r->config->total_steps)
                (*starts)[n++] = step;
            else if (speaks_for_its_whole(r, s))
                fx_warn(r->warnings, "%s: %s: the milestone @%llu%s lies past the end of the run (%llu epochs, %llu steps)",
                        s->source, s->key->path, (unsigned long long)item->at, item->in_steps ? "s" : "",
                        (unsigned long long)r->config->epochs, (unsigned long long)r->config->total_steps);
        }
    }
    qsort(*starts, (size_t)n, sizeof **starts, compare_steps);
    *count = 1;
    for (int i = 1; i < n; i++)
        if ((*starts)[i] != (*starts)[*count - 1])
            (*starts)[(*count)++] = (*starts)[i];
    return 0;
}

static FxPeriod period(FxRecipe *recipe, const char *path) {
    const char *text = fx_recipe_text(recipe, path);
    char unit = text[strspn(text, "0123456789")];
    return (FxPeriod){(uint64_t)atoll(text), unit == 'e' ? FX_UNIT_EPOCHS : unit == 'm' ? FX_UNIT_MINUTES : FX_UNIT_STEPS};
}

static uint64_t seed(FxRecipe *recipe, const char *path, uint64_t otherwise) {
    const char *text = fx_recipe_text(recipe, path);
    return strcmp(text, "seed") ? strtoull(text, NULL, 10) : otherwise;
}

// The keys that belong to no layer.
static int resolve_run(const Resolver *r, size_t train_images) {
    FxConfig *c = r->config;
    FxRecipe *recipe = r->recipe;
    size_t held_out = (size_t)fx_recipe_number(recipe, "run.validation");
    if (held_out >= train_images)
        return fx_fail(r->err, FX_EXIT_USAGE, "run.validation = %zu: the data set has %zu training images", held_out, train_images);
    c->train_images = train_images - held_out;
    c->batch = (int)fx_recipe_number(recipe, "run.batch");
    c->drop_last = !strcmp(fx_recipe_text(recipe, "run.drop-last"), "yes");
    if (c->drop_last && c->train_images < (size_t)c->batch)
        return fx_fail(r->err, FX_EXIT_USAGE, "run.batch = %d: only %zu training images, and run.drop-last = yes", c->batch,
                       c->train_images);
    size_t batch = (size_t)c->batch;
    c->steps_per_epoch = c->drop_last ? c->train_images / batch : (c->train_images + batch - 1) / batch;
    c->epochs = (uint64_t)fx_recipe_number(recipe, "run.epochs");
    c->max_steps = (uint64_t)fx_recipe_number(recipe, "run.max-steps");
    unsigned __int128 steps = (unsigned __int128)c->epochs * c->steps_per_epoch;
    if (c->max_steps && c->max_steps < steps)
        steps = c->max_steps;
    if (steps > UINT32_MAX) // the step is a word of the random counters
        return fx_fail(r->err, FX_EXIT_USAGE, "run.epochs = %llu of %llu steps, run.max-steps = %llu: more than %lu updates",
                       (unsigned long long)c->epochs, (unsigned long long)c->steps_per_epoch, (unsigned long long)c->max_steps,
                       (unsigned long)UINT32_MAX);
    c->total_steps = (uint64_t)steps;
    c->seed = seed(recipe, "run.seed", 1);
    c->seed_init = seed(recipe, "random.init", c->seed);
    c->seed_order = seed(recipe, "random.order", c->seed);
    c->seed_augment = seed(recipe, "random.augment", c->seed);
    c->seed_round = seed(recipe, "random.round", c->seed);
    for (int i = 0; fx_random_source(i); i++)
        if (!strcmp(fx_random_source(i)->name, fx_recipe_text(recipe, "random.source")))
            c->source = fx_random_source(i);
    c->lane_bits = (int)fx_recipe_number(recipe, "random.lane");
    const char *map = fx_recipe_text(recipe, "input.map");
    c->map = !strcmp(map, "unit") ? FX_MAP_UNIT : !strcmp(map, "wage-128") ? FX_MAP_WAGE_128
             : !strcmp(map, "mean-std") ? FX_MAP_MEAN_STD : FX_MAP_WAGE_127_5;
    if (fx_decimal_parse(&c->init_floor, fx_recipe_text(recipe, "init.floor")) || c->init_floor.places > 6 ||
        fx_decimal_floor(&c->init_floor) >= 1000)
        return fx_fail(r->err, FX_EXIT_USAGE, "init.floor = %s: below 1000, with at most 6 digits behind the point",
                       fx_recipe_text(recipe, "init.floor"));
    if (fx_ranges_parse(&c->ranges, fx_recipe_text(recipe, "init.ranges"), r->err))
        return -1;
    c->stats_every = period(recipe, "stats.every");
    c->stats_on = strcmp(fx_recipe_text(recipe, "stats.kind"), "none") != 0;
    c->stats_full = !strcmp(fx_recipe_text(recipe, "stats.kind"), "full");
    c->checkpoint_every = period(recipe, "run.checkpoint-every");
    c->bias = !strcmp(fx_recipe_text(recipe, "run.bias"), "yes");
    c->claims_integer = !strcmp(fx_recipe_text(recipe, "recipe.claim"), "integer");
    c->mean = fx_recipe_text(recipe, "input.mean");
    c->std = fx_recipe_text(recipe, "input.std");
    return fx_resolve_update(r);
}

int fx_config_resolve(FxConfig *config, FxRecipe *recipe, const FxLayerName *names, int layers, size_t train_images,
                      FxWarnings *warnings, FxError *err) {
    memset(config, 0, sizeof *config);
    Resolver r = {config, recipe, names, warnings, err};
    uint64_t *starts = NULL;
    int result = -1;
    config->layer_count = layers;
    if (resolve_run(&r, train_images) || collect_phases(&r, &starts, &config->phase_count))
        goto done;
    config->phases = calloc((size_t)config->phase_count, sizeof *config->phases);
    if (!config->phases) {
        fx_fail_memory(err, "schedules", (size_t)config->phase_count * sizeof *config->phases);
        goto done;
    }
    for (int p = 0; p < config->phase_count; p++) {
        FxPhase *phase = &config->phases[p];
        phase->start = starts[p];
        phase->layers = calloc((size_t)layers, sizeof *phase->layers);
        if (!phase->layers) {
            fx_fail_memory(err, "schedules", (size_t)layers * sizeof *phase->layers);
            goto done;
        }
        if (augment_at(&r, &phase->augment, phase->start))
            goto done;
        for (int l = 0; l < layers; l++)
            if (fx_layer_at(&r, &phase->layers[l], p ? &phase[-1].layers[l] : NULL, &names[l], phase->start))
                goto done;
    }
    const char *loss = fx_recipe_text(recipe, "run.loss");
    config->sums_errors = !config->update.lsb && strcmp(loss, "sse") && fx_loss_is_integer(config);
    for (int p = 0; p < config->phase_count; p++)
        if (fx_update_at(&r, &config->phases[p], config->phases[p].start))
            goto done;
    result = fx_check_effect(&r) || fx_recipe_unused(recipe, names, layers, warnings, err) ? -1 : 0;
done:
    free(starts);
    if (result)
        fx_config_free(config);
    return result;
}

void fx_config_free(FxConfig *config) {
    for (int p = 0; config->phases && p < config->phase_count; p++)
        free(config->phases[p].layers);
    free(config->phases);
    config->phases = NULL;
}

const FxPhase *fx_config_phase(const FxConfig *config, uint64_t step) {
    int p = config->phase_count - 1;
    while (p > 0 && config->phases[p].start > step)
        p--;
    return &config->phases[p];
}

void fx_config_widen(FxConfig *config, int bits) {
    for (int p = 0; p < config->phase_count; p++)
        for (int l = 0; l < config->layer_count; l++) {
            FxLayerConfig *c = &config->phases[p].layers[l];
            for (int i = 0; fx_site_info(i); i++) {
                FxSiteConfig *site = &c->site[fx_site_info(i)->site];
                if (fx_site_has_overflow(site) && site->q.grid.bits < bits)
                    site->q.grid.bits = bits;
            }
            if (fx_site_has_overflow(&c->site[FX_SITE_STORE]))
                c->store_limit = fx_grid_high(&c->site[FX_SITE_STORE].q.grid);
        }
}
