#include "sim/log.h"

#include "sim/checkpoint.h"
#include "sim/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fx_log_header =
    "run_id,seed,epoch,step,images,rate,loss_scale,train_loss,train_error,val_loss,val_error,test_loss,test_error,test_ties,"
    "skipped_steps,zero_tensors,saturated,store_changed,store_at_limit,weights_crc32,state_crc32,status,recipe,net,data,"
    "overrides,config_crc32,results_version,weight,activation,error,gradient,store,momentum,acc_forward,acc_error,"
    "acc_gradient,time_s,images_per_s,threads,cpu,host";

const char *const fx_stats_header =
    "run_id,epoch,step,layer,index,kind,site,group,format,rounding,exponent,exponent_moves,n,saturated,underflowed,zeros_in,"
    "zeros_out,nonfinite,at_limit,masked,changed,max_abs,mean,l2,sqnr_db,cosine,bias_ulp,acc_bits,acc_overflow,acc_swamped,"
    "crest,floored";

bool fx_log_has_column(const char *name) {
    size_t n = strlen(name);
    for (const char *p = fx_log_header; n && p; p = strchr(p, ','), p += p != NULL)
        if (!strncmp(p, name, n) && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

// A row grows cell by cell.
typedef struct Row {
    char text[8192];
    size_t used;
} Row;

static void cell(Row *row, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void cell(Row *row, const char *format, ...) {
    va_list list;
    size_t left = sizeof row->text - row->used;
    if (row->used && left > 1) {
        row->text[row->used++] = ',';
        left--;
    }
    va_start(list, format);
    int n = vsnprintf(row->text + row->used, left, format, list);
    va_end(list);
    row->used += n > 0 ? ((size_t)n < left ? (size_t)n : left - 1) : 0;
}

static void cell_number(Row *row, double x) {
    char text[FX_NUMBER];
    fx_number(text, x);
    cell(row, "%s", text);
}

// NaN is not measured; derived figures print to 0.01.
static void cell_measured(Row *row, double x, bool derived) {
    if (isnan(x))
        cell(row, "%s", "");
    else if (derived)
        cell(row, "%.2f", x);
    else
        cell_number(row, x);
}

static void cell_count(Row *row, uint64_t x) {
    cell(row, "%llu", (unsigned long long)x);
}

static void cell_text(Row *row, const char *text) {
    char safe[3 * 1024 + 1];
    fx_cell(safe, sizeof safe, text);
    cell(row, "%s", safe);
}

// -- log.csv

static double rate(const FxRun *run) {
    uint64_t last = run->step ? run->step - 1 : 0;
    FxScalar r = fx_rate_at(&fx_config_phase(&run->config, last)->rate, last);
    return ldexp(r.mantissa, r.exponent);
}

// A key's text for layers that keep none of their own, at the last step.
static const char *text_at(char text[FX_VALUE], FxRun *run, const char *path) {
    const FxSetting *s = fx_recipe_find(&run->recipe, path, NULL);
    FxSchedule schedule;
    FxError ignored;
    text[0] = 0;
    if (fx_schedule_parse(&schedule, s ? s->value : fx_key_find(path)->fallback, &ignored) == 0)
        strcpy(text, fx_schedule_at(&schedule, run->step ? run->step - 1 : 0, run->config.steps_per_epoch)->text);
    return text;
}

// The site's quantiser as the recipe has it for layers that keep none of their own.
static void cell_site(Row *row, FxRun *run, const char *site) {
    char path[FX_PATH], text[4][FX_VALUE];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s.%s", site, fx_quantiser_parts[i]);
        text_at(text[i], run, path);
    }
    if (strcmp(text[0], "none"))
        cell(row, "%s@%s/%s/%s", text[0], text[1], text[2], text[3]);
    else
        cell(row, "none");
}

// The policy, then what is not at its default, as "saturate:16/group:4".
static void cell_accumulator(Row *row, FxRun *run, FxProductKind kind) {
    static const char *const parts[] = {"kind", "group", "chunk", "outer", "shift", "order"};
    char path[FX_PATH], value[FX_VALUE], text[6 * FX_VALUE];
    size_t n = 0;
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "accumulator.%s.%s", fx_product_names[kind], parts[i]);
        text_at(value, run, path);
        if (i == 0)
            n = (size_t)snprintf(text, sizeof text, "%s", value);
        else if (strcmp(value, fx_key_find(path)->fallback))
            n += (size_t)snprintf(text + n, sizeof text - n, "/%s:%s", parts[i], value);
    }
    cell(row, "%s", text);
}

static void cell_figures(Row *row, const FxFigures *f) {
    if (f->images == 0) {
        cell(row, "%s", "");
        cell(row, "%s", "");
        return;
    }
    cell_number(row, fx_figures_loss(f));
    cell_number(row, (double)f->answers.wrong / (double)f->images);
}

// Codes at the clip of a store; 0 where the grid has none of equal steps.
static uint64_t at_limit(const FxRun *run) {
    uint64_t count = 0;
    for (int k = 0; k < run->net.keeper_count; k++) {
        const FxNode *node = run->net.keepers[k];
        const FxTensor *store = &node->store;
        int64_t limit = store->count ? fx_node_store_limit(node, &fx_config_phase(&run->config, run->step)->layers[node->id - 1]) : 0;
        for (size_t i = 0; store->type != FX_FLOAT32 && i < store->count; i++) {
            int64_t w = fx_tensor_get(store, i);
            count += w >= limit || w <= -limit;
        }
    }
    return count;
}

static int finish(FxRunDir *dir, FILE *file, const char *name, const Row *row, FxError *err) {
    if (fprintf(file, "%s\n", row->text) < 0 || fflush(file))
        return fx_fail(err, FX_EXIT_RUNTIME, "%s/%s: cannot be written: %s", dir->path, name, strerror(errno));
    return 0;
}

int fx_log_write(FxRunDir *dir, FxRun *run, const FxLogRow *row, FxError *err) {
    Row r = {.used = 0};
    FxFigures train = fx_run_train_figures(run); // of no image in row 0
    char host[256] = "";
    cell(&r, "%s", dir->run_id);
    cell_count(&r, run->config.seed);
    cell_count(&r, run->step / run->config.steps_per_epoch);
    cell_count(&r, run->step);
    cell_count(&r, run->images);
    if (row->trained)
        cell_number(&r, rate(run));
    else
        cell(&r, "%s", "");
    FxScalar scale = run->step ? run->last_scale : fx_loss_scale_value(&run->loss_scale);
    cell_number(&r, ldexp(scale.mantissa, scale.exponent));
    cell_figures(&r, &train);
    cell_figures(&r, &row->validation);
    cell_figures(&r, &row->test);
    if (row->test.images)
        cell_count(&r, row->test.answers.ties);
    else
        cell(&r, "%s", "");
    cell_count(&r, run->totals.skipped_steps);
    cell_count(&r, run->totals.zero_tensors);
    cell_count(&r, run->totals.saturated);
    cell_count(&r, run->totals.store_changed);
    cell_count(&r, at_limit(run));
    cell(&r, "%08x", fx_run_weights_crc32(run));
    cell(&r, "%08x", fx_checkpoint_state_crc32(run));
    cell(&r, "%s", fx_status_name(row->status));
    cell_text(&r, run->recipe.name);
    cell_text(&r, run->net.notation);
    cell_text(&r, run->data.name);
    cell_text(&r, run->recipe.overrides);
    cell(&r, "%08x", run->config_crc32);
    cell(&r, "%d", FX_RESULTS_VERSION);
    static const char *const sites[] = {"weight", "activation", "error", "gradient", "store", "momentum"};
    for (int i = 0; i < 6; i++)
        cell_site(&r, run, sites[i]);
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        cell_accumulator(&r, run, (FxProductKind)kind);
    cell(&r, "%.2f", row->seconds);
    cell(&r, "%.0f", row->seconds > 0 ? (double)row->images / row->seconds : 0.0);
    cell(&r, "%d", run->net.work.threads);
    cell(&r, "%s", run->cpu_name);
    gethostname(host, sizeof host - 1);
    cell_text(&r, host);
    return finish(dir, dir->log, "log.csv", &r, err);
}

// -- stats.csv

static void start_stats(Row *r, const FxRunDir *dir, const FxRun *run, uint64_t step, const FxNode *node, const char *site,
                        FxGroup group) {
    static const char *const groups[] = {[FX_GROUP_TENSOR] = "tensor", [FX_GROUP_CHANNEL] = "channel", [FX_GROUP_SAMPLE] = "sample",
                                         [FX_GROUP_BLOCK] = "block"};
    cell(r, "%s", dir->run_id);
    cell_count(r, step / run->config.steps_per_epoch);
    cell_count(r, step);
    cell(r, "%s", node->name.name);
    cell(r, "%d", node->id);
    cell(r, "%s", node->name.kind);
    cell(r, "%s", site);
    cell(r, "%s", groups[group]);
}

static void blanks(Row *r, int n) {
    while (n-- > 0)
        cell(r, "%s", "");
}

// A site's row at `step`, updates done.
static void site_row(Row *r, const FxRunDir *dir, const FxRun *run, uint64_t step, const FxNode *node, const FxSiteInfo *site,
                     const FxSiteState *state) {
    const FxSiteConfig *config = &fx_config_phase(&run->config, step ? step - 1 : 0)->layers[node->id - 1].site[site->site];
    const FxStats *s = &state->stats;
    const FxQuality *quality = &state->quality;
    double full[] = {fx_quality_mean(quality), fx_quality_l2(quality), fx_quality_sqnr_db(quality), fx_quality_cosine(quality), fx_quality_bias(quality)};
    char grid[64], scale[40], rounding[64];
    fx_grid_print(grid, sizeof grid, &config->q.grid);
    fx_scale_print(scale, sizeof scale, &config->q.scale);
    fx_rounding_print(rounding, sizeof rounding, &config->q.rounding);
    start_stats(r, dir, run, step, node, site->name, config->q.scale.group);
    cell(r, "%s@%s", config->on ? grid : "none", scale);
    cell(r, "%s", rounding);
    if (state->chosen && !config->q.scale.group)
        cell(r, "%lld", (long long)state->exponent);
    else
        blanks(r, 1);
    const uint64_t counts[] = {state->exponent_moves, s->n, s->saturated, s->underflowed, s->zeros_in, s->zeros_out, s->nonfinite, s->at_limit, s->masked};
    for (int i = 0; i < (int)(sizeof counts / sizeof counts[0]); i++)
        cell_count(r, counts[i]);
    if (site->site == node->store_site && node->store.count)
        cell_count(r, state->changed);
    else
        blanks(r, 1);
    cell_number(r, ldexp((double)s->max_abs, (int)s->max_exponent));
    for (int i = 0; i < 5; i++)
        cell_measured(r, full[i], i >= 2);
    blanks(r, 3);
    cell_measured(r, fx_quality_crest(quality), true);
    if (node->layer.ops->role == FX_ROLE_NORM && node->norm->integers && site->site == FX_SITE_PREACT)
        cell_count(r, state->floored);
    else
        blanks(r, 1);
}

static int write_site(FxRunDir *dir, FxRun *run, FxNode *node, const FxSiteInfo *site, FxError *err) {
    FxSiteState *state = &node->site[site->site];
    const FxSiteConfig *config = &fx_config_phase(&run->config, run->step ? run->step - 1 : 0)->layers[node->id - 1].site[site->site];
    Row r = {.used = 0};
    bool shown = (node->store.count && site->site == node->store_site) || config->on; // an unrounded store still changes
    shown &= (!site->parent || config->is_set) && state->stats.n > 0;
    if (shown)
        site_row(&r, dir, run, run->step, node, site, state);
    state->stats = (FxStats){0};
    state->quality = (FxQuality){0};
    state->exponent_moves = state->changed = state->floored = 0;
    return shown ? finish(dir, dir->stats, "stats.csv", &r, err) : 0;
}

int fx_last_write(const FxRunDir *dir, const FxRun *run, FxError *err) {
    FILE *file = fx_rundir_create(dir, "last.csv", err);
    if (!file)
        return -1;
    int failed = fprintf(file, "%s\n", fx_stats_header) < 0;
    for (uint64_t step = run->last.first; step < run->last.next; step++)
        for (int layer = 0; layer < run->net.keeper_count; layer++)
            for (int line = 0; fx_site_info(line); line++) {
                const FxLastSite *seen = fx_last_site(&run->last, step, layer, line);
                FxSiteState state = {.stats = seen->stats, .exponent = seen->exponent, .chosen = seen->chosen, .changed = seen->changed,
                                     .floored = seen->floored};
                Row r = {.used = 0};
                if (seen->stats.n == 0)
                    continue;
                site_row(&r, dir, run, step + 1, run->net.keepers[layer], fx_site_info(line), &state);
                failed |= fprintf(file, "%s\n", r.text) < 0;
            }
    failed |= fclose(file) != 0;
    return failed ? fx_fail(err, FX_EXIT_RUNTIME, "%s/last.csv: cannot be written: %s", dir->path, strerror(errno)) : 0;
}

static int write_sums(FxRunDir *dir, FxRun *run, FxNode *node, FxProductKind kind, FxError *err) {
    FxAccumulatorCounts *c = &node->sums[kind];
    const FxAccumulator *acc = &fx_config_phase(&run->config, run->step ? run->step - 1 : 0)->layers[node->id - 1].accumulator[kind];
    char policy[FX_POLICY_TEXT], site[32];
    Row r = {.used = 0};
    if (kind == FX_ERROR && node->name.first)
        return 0;
    fx_policy_print(policy, sizeof policy, &acc->inner);
    snprintf(site, sizeof site, "accumulator.%s", fx_product_names[kind]);
    start_stats(&r, dir, run, run->step, node, site, FX_GROUP_TENSOR);
    cell(&r, "%s", policy);
    blanks(&r, 18); // from rounding to bias_ulp
    const FxTensor *sums = kind == FX_FORWARD ? &node->y : kind == FX_ERROR ? &node->dx : &node->dw;
    bool floats = sums->type == FX_FLOAT32, counted = floats && fx_layer_counts_f32(acc);
    if (floats)
        blanks(&r, 1);
    else
        cell(&r, "%d", c->max_abs ? fx_log2_floor(c->max_abs) + 2 : 1);
    if (counted || (!floats && (acc->inner.kind == FX_ACC_SATURATE || (acc->chunk && acc->outer.kind == FX_ACC_SATURATE))))
        cell_count(&r, c->overflow);
    else
        blanks(&r, 1);
    if (counted)
        cell_count(&r, c->swamped);
    else
        blanks(&r, 1);
    blanks(&r, 2);
    *c = (FxAccumulatorCounts){0};
    return finish(dir, dir->stats, "stats.csv", &r, err);
}

int fx_stats_write(FxRunDir *dir, FxRun *run, FxError *err) {
    for (int k = 0; k < run->net.keeper_count; k++) {
        FxNode *node = run->net.keepers[k];
        for (int i = 0; fx_site_info(i); i++)
            if (write_site(dir, run, node, fx_site_info(i), err))
                return -1;
        for (int kind = 0; node->layer.ops->role == FX_ROLE_PRODUCT && kind < FX_PRODUCTS; kind++)
            if (write_sums(dir, run, node, (FxProductKind)kind, err))
                return -1;
    }
    return 0;
}
