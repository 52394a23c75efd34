#include "sim/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const struct {
    const char *name;
    FxExit exit_code;
} statuses[] = {
    [FX_RUNNING] = {"running", FX_EXIT_DONE},         [FX_DONE] = {"done", FX_EXIT_DONE},
    [FX_STOPPED] = {"stopped", FX_EXIT_STOPPED},      [FX_DIVERGED] = {"diverged", FX_EXIT_FAILED_RUN},
    [FX_DEAD] = {"dead", FX_EXIT_FAILED_RUN},         [FX_STALLED] = {"stalled", FX_EXIT_FAILED_RUN},
};

const char *fx_status_name(FxStatus status) {
    return statuses[status].name;
}

FxExit fx_status_exit(FxStatus status) {
    return statuses[status].exit_code;
}

static int config_crc(FxRun *run, FxError *err) {
    size_t size = fx_recipe_write(NULL, 0, &run->recipe, false) + 1;
    char *text = malloc(size);
    if (!text)
        return fx_fail_memory(err, "recipe", size);
    fx_recipe_write(text, size, &run->recipe, false);
    run->config_crc32 = (uint32_t)crc32(0, (const Bytef *)text, (uInt)(size - 1));
    free(text);
    return 0;
}

// Puts a factor that fx_config_resolve has applied into the recipe, so that recipe.ini and config_crc32 are those of the
// stretched run.
static int stretch_recipe(FxRecipe *recipe, uint64_t epochs, const FxDecimal *stretch, FxError *err) {
    char text[FX_VALUE];
    unsigned __int128 unit = 1;
    for (int i = 0; i < stretch->places; i++)
        unit *= 10;
    for (int i = 0; i < recipe->count; i++) {
        FxSetting *s = &recipe->settings[i];
        FxSchedule schedule;
        if (!(s->key->flags & FX_KEY_SCHEDULE))
            continue;
        if (fx_schedule_parse(&schedule, s->value, err))
            return -1;
        size_t used = (size_t)snprintf(text, sizeof text, "%s", schedule.item[0].text);
        for (int j = 1; j < schedule.count && used < sizeof text; j++) {
            const FxScheduleItem *item = &schedule.item[j];
            unsigned __int128 at = (2 * (unsigned __int128)item->at * stretch->digits + unit) / (2 * unit);
            if (at > 999999999999999)
                return fx_fail(err, FX_EXIT_USAGE, "%s: %s: --stretch takes the milestone @%llu beyond 15 digits", s->source,
                               s->key->path, (unsigned long long)item->at);
            used += (size_t)snprintf(text + used, sizeof text - used, " %s@%llu%s", item->text, (unsigned long long)at,
                                     item->in_steps ? "s" : "");
        }
        if (used >= sizeof text)
            return fx_fail(err, FX_EXIT_USAGE, "%s: %s: stretched, the schedule is longer than %d characters", s->source,
                           s->key->path, FX_VALUE - 1);
        strcpy(s->value, text);
    }
    if (epochs == 0)
        return fx_fail(err, FX_EXIT_USAGE, "--stretch: no epoch is left of the run");
    snprintf(text, sizeof text, "%llu", (unsigned long long)epochs);
    bool found = false;
    for (int i = 0; i < recipe->count; i++)
        if (!strcmp(recipe->settings[i].key->path, "run.epochs")) {
            strcpy(recipe->settings[i].value, text);
            found = true;
        }
    char overrides[sizeof recipe->overrides]; // it is no override
    memcpy(overrides, recipe->overrides, sizeof overrides);
    snprintf(text, sizeof text, "run.epochs=%llu", (unsigned long long)epochs);
    int result = found ? 0 : fx_recipe_override(recipe, text, "--stretch", err);
    memcpy(recipe->overrides, overrides, sizeof overrides);
    return result;
}

static int prepare(FxRun *run, const FxDecimal *stretch, FxWarnings *warnings, FxError *err) {
    FxRecipe *recipe = &run->recipe;
    unsigned cpu;
    int threads = (int)fx_recipe_number(recipe, "run.threads");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = processors > 0 && processors <= 256 ? (int)processors : 1;
#ifndef _OPENMP
    threads = 1;
#endif
    if (fx_cpu_parse(&cpu, fx_recipe_text(recipe, "run.cpu"), err))
        return -1;
    strcpy(run->cpu_name, fx_cpu_name(cpu));
    if (fx_dataset_load(&run->data, fx_recipe_text(recipe, "run.data"), err) ||
        fx_net_build(&run->net, fx_recipe_text(recipe, "run.net"), &run->data, (int)fx_recipe_number(recipe, "run.batch"),
                     fx_recipe_text(recipe, "run.loss"), err))
        return -1;
    FxLayerName *names = calloc((size_t)run->net.product_count, sizeof *names);
    if (!names)
        return fx_fail_memory(err, "network", (size_t)run->net.product_count * sizeof *names);
    fx_net_names(&run->net, names);
    int result = fx_config_resolve(&run->config, recipe, names, run->net.product_count, run->data.train.count, stretch, warnings, err);
    free(names);
    if (result == 0 && stretch)
        result = stretch_recipe(recipe, run->config.epochs, stretch, err);
    if (result || fx_net_plan(&run->net, &run->config, threads, cpu, err) ||
        fx_feed_init(&run->feed, &run->data, &run->config, err) || config_crc(run, err))
        return -1;
    fx_net_init(&run->net, &run->config);
    return 0;
}

int fx_run_prepare(FxRun *run, FxRecipe *recipe, const FxDecimal *stretch, FxWarnings *warnings, FxError *err) {
    memset(run, 0, sizeof *run);
    run->recipe = *recipe;
    memset(recipe, 0, sizeof *recipe);
    if (prepare(run, stretch, warnings, err)) {
        fx_run_free(run);
        return -1;
    }
    return 0;
}

void fx_run_free(FxRun *run) {
    fx_feed_free(&run->feed);
    fx_net_free(&run->net);
    fx_config_free(&run->config);
    fx_dataset_free(&run->data);
    fx_recipe_free(&run->recipe);
    memset(run, 0, sizeof *run);
}

// Of the outputs that the last step or evaluation answered with.
static int output_exponent(const FxRun *run, uint64_t step) {
    const FxNode *output = fx_net_product(&run->net, run->net.product_count - 1);
    const FxSiteConfig *logits = &fx_config_phase(&run->config, step)->layers[output->id - 1].site[FX_SITE_LOGITS];
    return logits->on ? logits->q.scale.exponent - logits->q.grid.fraction : output->y.exponent;
}

// Adds what a step left in totals.answers.loss to the epoch's sum. Where a schedule has changed the outputs' exponent, both
// get the smaller one: exact, and without overflow for sums below 2^62 and exponents that differ by at most 32.
static void add_loss(FxRun *run, const FxTotals *before, int exponent) {
    unsigned __int128 sum = before->answers.loss, more = run->totals.answers.loss;
    int finer = before->images == 0 || exponent < run->loss_exponent ? exponent : run->loss_exponent;
    if (before->images)
        sum <<= 2 * (run->loss_exponent - finer);
    run->totals.answers.loss = sum + (more << 2 * (exponent - finer));
    run->loss_exponent = finer;
}

void fx_run_step(FxRun *run) {
    int images = fx_feed_train(&run->feed, &run->net, run->step);
    FxStep step = {.net = &run->net, .config = &run->config, .step = run->step, .images = images, .totals = &run->totals};
    FxTotals before = run->totals;
    run->totals.answers.loss = 0;
    fx_step_train(&step);
    add_loss(run, &before, output_exponent(run, run->step));
    run->step++;
    run->images += (uint64_t)images;
}

bool fx_run_evaluate(FxRun *run, const FxImages *images, size_t first, size_t count, FxFigures *figures,
                     const volatile sig_atomic_t *stop) {
    FxTotals totals = {0};
    size_t batch = (size_t)run->config.batch;
    for (size_t i = 0; i < count; i += batch) {
        int n = (int)(count - i < batch ? count - i : batch);
        if (stop && *stop)
            return false;
        fx_feed_images(&run->net, images, first + i, n);
        FxStep step = {.net = &run->net, .config = &run->config, .step = run->step, .images = n, .evaluation = true,
                       .first_image = first + i, .totals = &totals};
        fx_step_evaluate(&step);
    }
    *figures = (FxFigures){totals.images, totals.answers, output_exponent(run, run->step)};
    return true;
}

FxFigures fx_run_train_figures(const FxRun *run) {
    return (FxFigures){run->totals.images, run->totals.answers, run->loss_exponent};
}

double fx_figures_loss(const FxFigures *figures) {
    return ldexp((double)figures->answers.loss, 2 * figures->exponent - 1) / (double)figures->images;
}

static void put_le(unsigned char *to, uint64_t x, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(x >> 8 * i);
}

uint32_t fx_run_weights_crc32(const FxRun *run) {
    uLong crc = crc32(0, NULL, 0);
    unsigned char bytes[4096];
    for (int p = 0; p < run->net.product_count; p++) {
        const FxTensor *store = &fx_net_product(&run->net, p)->store;
        for (size_t i = 0; i < store->count;) {
            size_t n = 0;
            for (; n < sizeof bytes / 4 && i < store->count; n++, i++)
                put_le(bytes + 4 * n, (uint64_t)fx_tensor_get(store, i), 4);
            crc = crc32(crc, bytes, (uInt)(4 * n));
        }
        put_le(bytes, (uint64_t)(int64_t)store->exponent, 4);
        crc = crc32(crc, bytes, 4);
    }
    return (uint32_t)crc;
}
