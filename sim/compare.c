#include "sim/compare.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fx_compare_warn(const char *format, ...) {
    char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (char *p = text; *p; p++) // one line, whatever names it holds
        *p = (unsigned char)*p < ' ' || *p == 127 ? '?' : *p;
    fprintf(stderr, "fxsim: warning: %s\n", text);
}

// -- settings

// "value" of one key, "key=value;key=value" of several. As fx_run_log_key.
static int setting_of(char *text, size_t size, FxRunLog *run, const FxCompareOptions *o, FxError *err) {
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < o->keys; k++) {
        char value[FX_KEY_TEXT];
        int result = fx_run_log_key(value, run, o->by[k], err);
        if (result)
            return result;
        used += (size_t)(o->keys == 1 ? snprintf(text, size, "%s", value)
                                      : snprintf(text + used, size - used, "%s%s=%s", k ? ";" : "", o->by[k], value));
        if (used >= size)
            return fx_fail(err, FX_EXIT_USAGE, "--by: a setting of more than %zu characters", size);
    }
    return 0;
}

static int find_group(FxComparison *c, const char *name, FxError *err) {
    for (int g = 0; g < c->group_count; g++)
        if (!strcmp(c->groups[g].name, name))
            return g;
    size_t bytes = ((size_t)c->group_count + 1) * sizeof *c->groups;
    FxRunGroup *grown = realloc(c->groups, bytes);
    char *copy = grown ? strdup(name) : NULL;
    if (grown)
        c->groups = grown;
    if (!copy)
        return fx_fail_memory(err, "settings", bytes);
    c->groups[c->group_count] = (FxRunGroup){.name = copy};
    return c->group_count++;
}

static int group_runs(FxComparison *c, const FxCompareOptions *o, FxError *err) {
    char name[FX_COMPARE_KEYS * (FX_KEY_TEXT + 80)];
    for (int i = 0; i < c->logs.count; i++) {
        FxRunLog *run = &c->logs.run[i];
        c->runs[i] = (FxCompared){.group = -1, .value = NAN};
        int result = setting_of(name, sizeof name, run, o, err);
        if (result > 0 && run->state == FX_STATE_MISSING) {
            fx_compare_warn("%s: missing, and which setting it would be is not known: in no row of the table", run->path);
            continue;
        }
        if (result || (c->runs[i].group = find_group(c, name, err)) < 0)
            return -1;
    }
    return 0;
}

static const char *seed_of(const FxRunLog *run) {
    return fx_csv_cell(&run->log, -1, "seed");
}

// Two runs of one setting and seed are a mistake, unless they are the same run: then the second is dropped.
static int drop_twins(FxComparison *c, FxError *err) {
    for (int i = 0; i < c->logs.count; i++)
        for (int j = 0; j < i && c->runs[i].group >= 0; j++) {
            const FxRunLog *a = &c->logs.run[j], *b = &c->logs.run[i];
            if (c->runs[j].group != c->runs[i].group || a->log.rows == 0 || b->log.rows == 0 || strcmp(seed_of(a), seed_of(b)))
                continue;
            const char *crc = fx_csv_cell(&a->log, -1, "weights_crc32");
            if (!*crc || strcmp(crc, fx_csv_cell(&b->log, -1, "weights_crc32")) || a->state != b->state)
                return fx_fail(err, FX_EXIT_USAGE, "%s and %s: both have seed %s of setting %.200s; leave one out, or name in --by what differs",
                               a->path, b->path, seed_of(a), c->groups[c->runs[i].group].name);
            fx_compare_warn("%s and %s are the same run (seed %s, weights %s): counted once", a->path, b->path, seed_of(a), crc);
            c->runs[i].group = -1;
        }
    return 0;
}

// -- values

// The row of the metric; -1: none.
static int metric_row(const FxRunLog *run, const FxCompareOptions *o) {
    int best = -1;
    if (!o->best_val)
        return run->log.rows - 1;
    for (int row = 0; row < run->log.rows; row++) {
        double x = fx_csv_number(&run->log, row, "val_error");
        if (!isnan(x) && (best < 0 || x < fx_csv_number(&run->log, best, "val_error")))
            best = row;
    }
    return best;
}

static int read_value(FxComparison *c, int i, const FxCompareOptions *o, FxError *err) {
    const FxRunLog *run = &c->logs.run[i];
    int row = metric_row(run, o);
    if (fx_csv_column(&run->log, o->column) < 0)
        return fx_fail(err, FX_EXIT_USAGE, "--metric %s: %s/log.csv has no such column; known: test_error, test_loss, train_error, val_error, "
                       "... as its first line has them", o->column, run->path);
    if (row < 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: val_error is empty in every row; @best-val needs runs trained with --validation N", run->path);
    const char *cell = fx_csv_cell(&run->log, row, o->column);
    double x = fx_csv_number(&run->log, row, o->column);
    if (isnan(x) && *cell)
        return fx_fail(err, FX_EXIT_USAGE, "--metric %s: \"%.40s\" in %s/log.csv is no number", o->column, cell, run->path);
    if (isnan(x))
        fx_compare_warn("%s: %s is empty in its %s row: not in the mean", run->path, o->column, o->best_val ? "best" : "last");
    c->runs[i].value = c->percent ? 100 * x : x;
    return 0;
}

// Whether its training ended no better than guessing does.
static bool is_at_chance(const FxRunLog *run) {
    int classes = fx_run_log_classes(run);
    double error = fx_csv_number(&run->log, -1, "train_error");
    return classes > 0 && error > 0.9 * (1 - 1.0 / classes);
}

static int judge_run(FxComparison *c, int i, const FxCompareOptions *o, FxError *err) {
    const FxRunLog *run = &c->logs.run[i];
    FxRunGroup *group = &c->groups[c->runs[i].group];
    const char *state = fx_run_state_name(run->state), *epoch = fx_csv_cell(&run->log, -1, "epoch");
    group->states[run->state]++;
    if (run->log.cut)
        fx_compare_warn("%s/log.csv: its last line is half-written and left out", run->path);
    if (run->log.rows == 0) {
        fx_compare_warn("%s: %s, %s: not in the mean", run->path, state, run->has_log ? "its log.csv has no row" : "no log.csv");
        return 0;
    }
    if (is_at_chance(run)) {
        group->at_chance++;
        fx_compare_warn("%s: at chance, its training error is %s", run->path, fx_csv_cell(&run->log, -1, "train_error"));
    }
    if (run->state != FX_STATE_DONE)
        fx_compare_warn("%s: %s at epoch %s: %s", run->path, state, epoch, o->include_failed ? "in the mean (--include-failed)"
                        : "not in the mean; --include-failed puts it in");
    if (run->state != FX_STATE_DONE && !o->include_failed)
        return 0;
    if (read_value(c, i, o, err))
        return -1;
    c->runs[i].counted = !isnan(c->runs[i].value);
    return 0;
}

// -- statistics

// The counted runs of a setting into values; their mean time.
static int gather(const FxComparison *c, int group, double *values, double *seconds) {
    int n = 0;
    double sum = 0;
    for (int i = 0; i < c->logs.count; i++)
        if (c->runs[i].group == group && c->runs[i].counted) {
            values[n++] = c->runs[i].value;
            sum += fx_run_log_seconds(&c->logs.run[i]);
        }
    *seconds = n ? sum / n : NAN;
    return n;
}

// Differences to the reference over the seeds that both have.
static int pair(const FxComparison *c, int group, double *differences) {
    int n = 0;
    for (int i = 0; i < c->logs.count; i++)
        for (int j = 0; j < c->logs.count && c->runs[i].group == group && c->runs[i].counted; j++)
            if (c->runs[j].group == c->reference && c->runs[j].counted && !strcmp(seed_of(&c->logs.run[i]), seed_of(&c->logs.run[j])))
                differences[n++] = c->runs[i].value - c->runs[j].value;
    return n;
}

static int compute(FxComparison *c, FxError *err) {
    size_t size = (size_t)(c->logs.count + c->group_count) * sizeof(double);
    double *values = malloc(size);
    if (!values)
        return fx_fail_memory(err, "compare", size);
    for (int g = 0; g < c->group_count; g++) {
        FxRunGroup *group = &c->groups[g];
        fx_sample(&group->sample, values, gather(c, g, values, &group->seconds));
        fx_paired(&group->paired, values, g == c->reference ? 0 : pair(c, g, values));
    }
    for (int g = 0; g < c->group_count; g++)
        values[g] = c->groups[g].paired.p_t;
    fx_holm(values, c->group_count);
    for (int g = 0; g < c->group_count; g++) {
        c->groups[g].holm_t = values[g];
        values[g] = c->groups[g].paired.p_permutation;
    }
    fx_holm(values, c->group_count);
    for (int g = 0; g < c->group_count; g++)
        c->groups[g].holm_permutation = values[g];
    free(values);
    return 0;
}

static int find_reference(FxComparison *c, const FxCompareOptions *o, FxError *err) {
    char known[400] = "";
    size_t used = 0;
    c->reference = 0;
    if (!o->reference)
        return 0;
    for (int g = 0; g < c->group_count; g++) {
        if (!strcmp(c->groups[g].name, o->reference)) {
            c->reference = g;
            return 0;
        }
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, " \"%s\"", c->groups[g].name);
    }
    return fx_fail(err, FX_EXIT_USAGE, "--reference \"%.200s\": no run has this setting; known:%s", o->reference, known);
}

int fx_compare(FxComparison *c, const FxCompareOptions *o, FxError *err) {
    size_t length = strlen(o->column), bytes = (size_t)c->logs.count * sizeof *c->runs;
    c->percent = length > 6 && !strcmp(o->column + length - 6, "_error");
    c->runs = malloc(bytes + 1);
    if (!c->runs)
        return fx_fail_memory(err, "compare", bytes);
    if (group_runs(c, o, err) || drop_twins(c, err))
        return -1;
    if (c->group_count == 0)
        return fx_fail(err, FX_EXIT_USAGE, "compare: no run in %s; a run's directory, or a sweep's with sweep.csv, is needed", c->logs.run[0].path);
    for (int i = 0; i < c->logs.count; i++)
        if (c->runs[i].group >= 0 && judge_run(c, i, o, err))
            return -1;
    if (find_reference(c, o, err))
        return -1;
    fx_compare_check_keys(c, o);
    return compute(c, err);
}

void fx_comparison_free(FxComparison *c) {
    for (int g = 0; g < c->group_count; g++)
        free(c->groups[g].name);
    free(c->groups);
    free(c->runs);
    fx_run_logs_free(&c->logs);
    memset(c, 0, sizeof *c);
}
