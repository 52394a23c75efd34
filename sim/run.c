#include "sim/run.h"

#include "formats/math_f32.h"
#include "sim/bytes.h"
#include "sim/input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
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

static int prepare(FxRun *run, int wide, FxWarnings *warnings, FxError *err) {
    FxRecipe *recipe = &run->recipe;
    unsigned cpu;
    int threads = (int)fx_recipe_number(recipe, "run.threads");
#ifdef _OPENMP
    int processors = omp_get_num_procs(); // those this process may use
    if (threads == 0)
        threads = processors < 256 ? processors : 256;
#else
    threads = 1;
#endif
    if (fx_cpu_parse(&cpu, fx_recipe_text(recipe, "run.cpu"), err))
        return -1;
    strcpy(run->cpu_name, fx_cpu_name(cpu));
    if (fx_dataset_load(&run->data, fx_recipe_text(recipe, "run.data"), err) ||
        fx_net_build(&run->net, fx_recipe_text(recipe, "run.net"), &run->data, (int)fx_recipe_number(recipe, "run.batch"),
                     fx_recipe_text(recipe, "run.loss"), err) ||
        fx_recipe_settle(recipe, "run.net", run->net.notation, "--net", err) || // "auto" and names: what they stand for
        fx_recipe_settle(recipe, "run.loss", run->net.loss->name, "--net", err)) // the notation's, where it names one
        return -1;
    FxLayerName *names = calloc((size_t)run->net.product_count, sizeof *names);
    if (!names)
        return fx_fail_memory(err, "network", (size_t)run->net.product_count * sizeof *names);
    fx_net_names(&run->net, names);
    int result = fx_config_resolve(&run->config, recipe, names, run->net.product_count, run->data.train.count, warnings, err);
    free(names);
    if (result == 0 && wide)
        fx_config_widen(&run->config, wide);
    if (result || fx_net_plan(&run->net, &run->config, threads, cpu, err) ||
        fx_feed_init(&run->feed, &run->data, &run->config, err) || config_crc(run, err))
        return -1;
    if (run->net.input_values.data && fx_input_values_f32(&run->net.input_values, run->config.map, run->config.mean, run->config.std, &run->data, err))
        return -1;
    if (fx_last_init(&run->last, run->net.keeper_count, err))
        return -1;
    run->loss_scale = fx_loss_scale_start(&run->config.loss_scaling);
    return fx_net_init(&run->net, &run->config, err);
}

int fx_run_prepare(FxRun *run, FxRecipe *recipe, FxWarnings *warnings, FxError *err) {
    return fx_run_prepare_wide(run, recipe, 0, warnings, err);
}

int fx_run_prepare_wide(FxRun *run, FxRecipe *recipe, int wide, FxWarnings *warnings, FxError *err) {
    memset(run, 0, sizeof *run);
    run->recipe = *recipe;
    memset(recipe, 0, sizeof *recipe);
    if (prepare(run, wide, warnings, err)) {
        fx_run_free(run);
        return -1;
    }
    return 0;
}

void fx_run_free(FxRun *run) {
    fx_last_free(&run->last);
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
    if (run->net.loss_error.type == FX_FLOAT32)
        return 0;
    return logits->on ? logits->q.scale.parameter[0] - logits->q.grid.fraction : output->y.exponent;
}

static unsigned __int128 shifted(unsigned __int128 x, int shift) {
    return shift >= 0 ? x << shift : shift > -128 ? x >> -shift : 0;
}

static int bits_of(unsigned __int128 x) {
    int bits = 0;
    for (; x; x >>= 1)
        bits++;
    return bits;
}

// Adds what a step left in totals.answers.loss to the epoch's sum. Where a schedule or the data has changed the outputs'
// exponent, both get the smaller one, exactly; or, where that would not fit 127 bits, the larger.
static void add_loss(FxRun *run, const FxTotals *before, int exponent) {
    unsigned __int128 sum = before->answers.loss, more = run->totals.answers.loss;
    int other = before->images ? run->loss_exponent : exponent, apart = 2 * (exponent > other ? exponent - other : other - exponent);
    int finer = exponent < other ? exponent : other, coarser = exponent < other ? other : exponent;
    bool fits = bits_of(exponent > other ? more : sum) + apart < 127 && bits_of(exponent > other ? sum : more) < 127;
    int unit = fits ? finer : coarser;
    run->totals.answers.loss = shifted(sum, 2 * (other - unit)) + shifted(more, 2 * (exponent - unit));
    run->loss_exponent = unit;
}

// Whether the logged loss is a sum of reals, not of squares of codes.
static bool logs_reals(const FxRun *run) {
    return run->net.loss_error.type == FX_FLOAT32 || !fx_loss_rule(run->net.loss)->logs_squares;
}

void fx_run_step(FxRun *run) {
    int images = fx_feed_train(&run->feed, &run->net, run->step);
    bool fired = false;
    FxStep step = {.net = &run->net, .config = &run->config, .step = run->step, .images = images, .totals = &run->totals,
                   .loss_scale = fx_loss_scale_value(&run->loss_scale), .fired = &fired, .trace = run->trace};
    FxTotals before = run->totals;
    const FxPhase *phase = fx_config_phase(&run->config, run->step);
    if (phase->start == run->step) // what a schedule has changed begins anew
        fx_net_start_controllers(&run->net, phase);
    run->totals.answers.loss = 0;
    fx_step_train(&step);
    run->last_scale = step.loss_scale;
    fx_last_note(&run->last, &run->net, run->step);
    fx_loss_scale_move(&run->loss_scale, &run->config.loss_scaling, fired);
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
    *figures = (FxFigures){totals.images, totals.answers, output_exponent(run, run->step ? run->step - 1 : 0), logs_reals(run), totals.loss};
    return true;
}

FxFigures fx_run_train_figures(const FxRun *run) {
    return (FxFigures){run->totals.images, run->totals.answers, run->loss_exponent, logs_reals(run), run->totals.loss};
}

double fx_figures_loss(const FxFigures *figures) {
    if (figures->reals)
        return fx_loss_total(&figures->loss) / (double)figures->images;
    return ldexp((double)figures->answers.loss, 2 * figures->exponent - 1) / (double)figures->images;
}

double fx_run_zero_loss(const FxRun *run) {
    return run->net.loss == &fx_sse_ops ? 0.5 /* one target of 1 */ : fx_log((double)run->net.classes);
}

bool fx_run_diverged(const FxRun *run) {
    double loss = fx_loss_total(&run->totals.loss);
    return run->totals.lost_weights || !isfinite(loss) || (run->totals.lost_errors && !run->config.loss_scaling.on);
}

// Elements [first, end) as little-endian int32, then their exponent.
static uLong add_codes(uLong crc, const FxTensor *store, size_t first, size_t end) {
    unsigned char bytes[4096];
    for (size_t i = first; i < end;) {
        size_t n = 0;
        for (; n < sizeof bytes / 4 && i < end; n++, i++)
            fx_put_le(bytes + 4 * n, fx_tensor_bits(store, i), 4);
        crc = crc32(crc, bytes, (uInt)(4 * n));
    }
    fx_put_le(bytes, (uint64_t)(int64_t)store->exponent, 4);
    return crc32(crc, bytes, 4);
}

uint32_t fx_run_weights_crc32(const FxRun *run) {
    uLong crc = crc32(0, NULL, 0);
    for (int k = 0; k < run->net.keeper_count; k++) {
        const FxNode *node = run->net.keepers[k];
        if (!node->store.count)
            continue;
        crc = add_codes(crc, &node->store, 0, node->layer.weights);
        if (node->layer.bias.count)
            crc = add_codes(crc, &node->store, node->layer.weights, node->store.count);
    }
    return (uint32_t)crc;
}
