#include "sim/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FRACTION = 40 }; // of a store: the draw of its weights is exact in 128 bits

// What resolving needs at hand.
typedef struct Resolver {
    FxConfig *config;
    FxRecipe *recipe;
    const FxLayerName *names;
    FxWarnings *warnings;
    FxError *err;
} Resolver;

static int value_at(const Resolver *r, char text[FX_VALUE], const char *path, const FxLayerName *layer, uint64_t step) {
    const FxSetting *s = fx_recipe_find(r->recipe, path, layer);
    FxSchedule schedule;
    if (fx_schedule_parse(&schedule, s ? s->value : fx_key_find(path)->fallback, r->err))
        return -1;
    strcpy(text, fx_schedule_at(&schedule, step, r->config->steps_per_epoch)->text);
    return 0;
}

typedef struct Printed {
    char text[FX_QUANTISER_TEXT];
} Printed;

static Printed printed(const FxQuantiser *q) {
    Printed p;
    fx_quantiser_print(p.text, q);
    return p;
}

static const char *layer_label(const FxLayerName *layer) {
    return layer ? layer->name : "the net";
}

bool fx_site_of(FxSite site, const FxLayerName *layer) {
    return site == FX_SITE_INPUT ? layer->first : site == FX_SITE_ACTIVATION ? !layer->first : site != FX_SITE_LOGITS || layer->last;
}

static int site_at(const Resolver *r, FxSiteConfig *out, FxSite site, const FxLayerName *layer, uint64_t step) {
    char path[FX_PATH], text[4][FX_VALUE], whole[FX_QUANTISER_TEXT];
    const char *name = fx_site(site)->name;
    FxError why;
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s.%s", name, fx_quantiser_parts[i]);
        if (value_at(r, text[i], path, layer, step))
            return -1;
    }
    out->on = strcmp(text[0], "none") != 0;
    if (!out->on)
        return 0;
    // fields are checked one by one when read; here, whether they go together
    if (fx_grid_parse(&out->q.grid, text[0], NULL, &why) || fx_scale_parse(&out->q.scale, text[1], &why) ||
        fx_rounding_parse(&out->q.rounding, text[2], NULL, &why) || fx_overflow_parse(&out->q.overflow, text[3], &why) ||
        fx_quantiser_check(&out->q, &why))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q: %s", layer_label(layer), name, why.text);
    fx_quantiser_print(whole, &out->q);
    const FxScale *scale = &out->q.scale;
    if (out->q.grid.kind->has_patterns || scale->rule->real || scale->rule->observe || scale->rule->sample_mean || scale->group)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = %s: training holds integers of one power-of-two scale a tensor: fixed, binary or "
                       "ternary with const, alpha, max or shift rules", layer_label(layer), name, whole);
    if (out->q.rounding.bits > fx_random_width(&(FxRandom){r->config->source, r->config->lane_bits, {0}}))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = %s: %d random bits; random.source and random.lane give %d",
                       layer_label(layer), name, whole, out->q.rounding.bits,
                       fx_random_width(&(FxRandom){r->config->source, r->config->lane_bits, {0}}));
    if (site != FX_SITE_STORE && (fx_rounding_mode(&out->q.rounding)->needs & FX_ROUND_DIRECTION))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = %s: a direction exists only at the store", layer_label(layer), name, whole);
    if (site != FX_SITE_WEIGHT && !strcmp(out->q.scale.rule->name, "alpha"))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = %s: alpha is a scale of the weight", layer_label(layer), name, whole);
    return 0;
}

static int policy_part(const Resolver *r, FxPolicy *policy, const char *product, const char *key, const FxLayerName *layer,
                       uint64_t step, char text[FX_VALUE]) {
    char path[FX_PATH];
    snprintf(path, sizeof path, "accumulator.%s.%s", product, key);
    if (value_at(r, text, path, layer, step))
        return -1;
    return policy && strcmp(text, "inner") ? fx_policy_parse(policy, text, r->err) : 0;
}

static int accumulator_at(const Resolver *r, FxAccumulator *acc, FxProductKind kind, const FxLayerName *layer, uint64_t step) {
    const char *product = fx_product_names[kind];
    char text[FX_VALUE];
    memset(acc, 0, sizeof *acc);
    if (policy_part(r, &acc->inner, product, "kind", layer, step, text))
        return -1;
    acc->outer = acc->inner;
    if (policy_part(r, &acc->outer, product, "outer", layer, step, text) ||
        policy_part(r, NULL, product, "group", layer, step, text))
        return -1;
    acc->group = atoi(text);
    if (policy_part(r, NULL, product, "chunk", layer, step, text))
        return -1;
    acc->chunk = strcmp(text, "none") ? atoi(text) : 0;
    if (!acc->chunk && memcmp(&acc->outer, &acc->inner, sizeof acc->outer))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: accumulator.%s.outer without a chunk: there is no outer sum", layer->name, product);
    if (policy_part(r, NULL, product, "shift", layer, step, text))
        return -1;
    acc->shift = atoi(text);
    if (policy_part(r, NULL, product, "order", layer, step, text))
        return -1;
    acc->order = !strcmp(text, "oh-ow-n") ? FX_ORDER_OH_OW_N : kind == FX_GRADIENT ? FX_ORDER_N_OH_OW : FX_ORDER_KH_KW_C;
    return 0;
}

// The kept weights: a fixed grid of constant scale, and its clip. before: the phase before, NULL in the first.
static int store_at(const Resolver *r, FxLayerConfig *c, const FxLayerConfig *before, const FxLayerName *layer, uint64_t step) {
    const FxSiteConfig *store = &c->site[FX_SITE_STORE], *weight = &c->site[FX_SITE_WEIGHT];
    char text[FX_VALUE];
    int fraction = store->q.grid.fraction - store->q.scale.parameter[0];
    if (!fx_grid_is_fixed(&store->q.grid) || !store->q.grid.is_signed || store->q.grid.twos_complement ||
        strcmp(store->q.scale.rule->name, "const") || store->q.overflow != FX_OVERFLOW_SATURATE || fraction < -MAX_FRACTION ||
        fraction > MAX_FRACTION)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.q = %s: a symmetric, signed fixed grid of constant scale that saturates, with at most %d "
                       "bits behind the point, is needed", layer->name, printed(&store->q).text, MAX_FRACTION);
    if (store->q.rounding.mode != FX_ROUND_NEAREST_EVEN)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.q = %s: under update.rate-unit = lsb an update is whole steps of the store, "
                       "which rounds nothing; leave its rounding out", layer->name, printed(&store->q).text);
    int64_t high = fx_grid_high(&store->q.grid);
    if (value_at(r, text, "store.clip", layer, step))
        return -1;
    FxDecimal clip;
    c->store_limit = high;
    if (strcmp(text, "grid")) {
        if (fx_decimal_parse(&clip, text) || !fx_decimal_code(&c->store_limit, &clip, fraction) || c->store_limit < 1 ||
            c->store_limit > high)
            return fx_fail(r->err, FX_EXIT_USAGE,
                           "%s: store.clip = %s: write \"grid\" or a decimal, a multiple of the store's unit 2^%d of at most %lld units",
                           layer->name, text, -fraction, (long long)high);
    }
    if (fx_grid_is_fixed(&weight->q.grid) && !weight->q.scale.rule->needs_maximum) {
        if (store->q.grid.bits < weight->q.grid.bits)
            return fx_fail(r->err, FX_EXIT_USAGE, "%s: store.grid has %d bits, weight.grid %d; the store needs at least as many",
                           layer->name, store->q.grid.bits, weight->q.grid.bits);
        if (store->q.grid.bits == weight->q.grid.bits && !(before && before->site[FX_SITE_WEIGHT].q.grid.bits == weight->q.grid.bits))
            fx_warn(r->warnings, "%s: store.grid and weight.grid both have %d bits: without a gap that filters noisy updates "
                    "training is known to blow up", layer->name, store->q.grid.bits);
    }
    return 0;
}

static int check_layer(const Resolver *r, const FxLayerConfig *c, const FxLayerName *layer) {
    static const FxSite needed[] = {FX_SITE_INPUT, FX_SITE_WEIGHT, FX_SITE_ACTIVATION, FX_SITE_ERROR, FX_SITE_GRADIENT, FX_SITE_STORE};
    for (int i = 0; i < (int)(sizeof needed / sizeof needed[0]); i++)
        if (fx_site_of(needed[i], layer) && !c->site[needed[i]].on)
            return fx_fail(r->err, FX_EXIT_USAGE, "%s: %s.q = none needs floating point; name a fixed grid", layer->name,
                           fx_site(needed[i])->name);
    const FxQuantiser *gradient = &c->site[FX_SITE_GRADIENT].q, *logits = &c->site[FX_SITE_LOGITS].q;
    if (!gradient->scale.rule->discards || !fx_grid_is_fixed(&gradient->grid))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: gradient.q = %s: update.rate-unit = lsb needs a fixed grid @shift-unit",
                       layer->name, printed(gradient).text);
    const FxQuantiser *input = &c->site[FX_SITE_INPUT].q;
    if (layer->first && (!fx_grid_is_fixed(&input->grid) || !input->grid.is_signed || input->grid.fraction < 0 || input->grid.bits > 16 ||
                         input->grid.fraction > 24 || strcmp(input->scale.rule->name, "const") || input->scale.parameter[0] ||
                         input->rounding.mode != FX_ROUND_NEAREST_EVEN || input->overflow != FX_OVERFLOW_SATURATE))
        return fx_fail(r->err, FX_EXIT_USAGE, "input.q = %s: the map rounds once, to nearest: write a signed fixed grid alone, as fixed8f7",
                       printed(input).text);
    if (c->error_lower && !c->site[FX_SITE_ERROR].q.scale.rule->is_shift)
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: error.gamma = %d, error.q = %s: gamma needs a scale of the shift family",
                       layer->name, 1 << c->error_lower, printed(&c->site[FX_SITE_ERROR].q).text);
    if (layer->last && c->site[FX_SITE_LOGITS].on && (logits->scale.rule->needs_maximum || !fx_grid_is_fixed(&logits->grid)))
        return fx_fail(r->err, FX_EXIT_USAGE, "%s: logits.q = %s: a fixed grid of constant scale is needed", layer->name,
                       printed(logits).text);
    return 0;
}

static int layer_at(const Resolver *r, FxLayerConfig *c, const FxLayerConfig *before, const FxLayerName *layer, uint64_t step) {
    char text[FX_VALUE];
    for (int i = 0; fx_site_info(i); i++) {
        FxSite site = fx_site_info(i)->site;
        // a site that this layer does not have is not looked up, so that a setting of it is found to rule nowhere
        if (fx_site_of(site, layer) && site_at(r, &c->site[site], site, site == FX_SITE_INPUT ? NULL : layer, step))
            return -1;
    }
    if (!layer->first) {
        if (value_at(r, text, "activation.ste", layer, step))
            return -1;
        c->site[FX_SITE_ACTIVATION].clip = !strcmp(text, "clip");
    }
    if (value_at(r, text, "weight.ste", layer, step))
        return -1;
    if (layer->last && c->site[FX_SITE_LOGITS].on) {
        if (value_at(r, text, "logits.ste", layer, step))
            return -1;
        c->site[FX_SITE_LOGITS].clip = !strcmp(text, "clip");
    }
    if (value_at(r, text, "error.gamma", layer, step))
        return -1;
    c->error_lower = fx_log2_floor((uint64_t)atoi(text));
    if (value_at(r, text, "error.at", layer, step))
        return -1;
    c->error_before_masks = !strcmp(text, "before-masks");
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        if (accumulator_at(r, &c->accumulator[kind], (FxProductKind)kind, layer, step))
            return -1;
    if (check_layer(r, c, layer) || store_at(r, c, before, layer, step))
        return -1;
    return 0;
}

static int rate_at(const Resolver *r, FxScalar *rate, uint64_t step) {
    char text[FX_VALUE];
    if (value_at(r, text, "update.rate", NULL, step) || fx_scalar_parse(rate, text, r->err))
        return -1;
    if (rate->mantissa <= 0 || rate->exponent + 14 < -16 || rate->exponent + 14 > 30)
        return fx_fail(r->err, FX_EXIT_USAGE, "update.rate: %s: in steps of the store it must lie in 2^-16 .. 2^30", text);
    return 0;
}

static int augment_at(const Resolver *r, FxAugment *augment, uint64_t step) {
    char text[FX_VALUE];
    if (value_at(r, text, "run.augment", NULL, step))
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
    c->map = !strcmp(map, "unit") ? FX_MAP_UNIT : !strcmp(map, "wage-128") ? FX_MAP_WAGE_128 : FX_MAP_WAGE_127_5;
    c->init_c = atoi(strchr(fx_recipe_text(recipe, "init.law"), ':') + 1);
    if (fx_decimal_parse(&c->init_floor, fx_recipe_text(recipe, "init.floor")) || c->init_floor.places > 6 ||
        fx_decimal_floor(&c->init_floor) >= 1000)
        return fx_fail(r->err, FX_EXIT_USAGE, "init.floor = %s: below 1000, with at most 6 digits behind the point",
                       fx_recipe_text(recipe, "init.floor"));
    c->stats_every = period(recipe, "stats.every");
    c->stats_on = strcmp(fx_recipe_text(recipe, "stats.kind"), "none") != 0;
    c->checkpoint_every = period(recipe, "run.checkpoint-every");
    fx_recipe_text(recipe, "update.rule"); // one rule and one unit so far
    fx_recipe_text(recipe, "update.rate-unit");
    return 0;
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
        if (rate_at(&r, &phase->rate, phase->start) || augment_at(&r, &phase->augment, phase->start))
            goto done;
        for (int l = 0; l < layers; l++)
            if (layer_at(&r, &phase->layers[l], p ? &phase[-1].layers[l] : NULL, &names[l], phase->start))
                goto done;
    }
    result = fx_recipe_unused(recipe, names, layers, warnings, err);
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
