#include "sim/train.h"

#include "sim/checkpoint.h"
#include "sim/find_ranges.h"
#include "sim/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct Training {
    FxRun *run;
    FxRunDir *dir;
    const FxTrainOptions *options;
    FxError *err;
    double row_start, checkpoint_at, shown_at; // seconds of the monotonic clock
    uint64_t row_images;                       // images seen when the last row was written
} Training;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool stopping(const Training *t) {
    return t->options->stop && *t->options->stop;
}

// A line over the last one on a terminal; nothing elsewhere.
static void show_step(Training *t) {
    const FxRun *run = t->run;
    if (t->options->quiet || !isatty(STDERR_FILENO) || now() - t->shown_at < 0.2)
        return;
    t->shown_at = now();
    enum { BAR = 24 };
    char bar[BAR + 1];
    FxFigures train = fx_run_train_figures(run);
    uint64_t in_epoch = run->step % run->config.steps_per_epoch;
    int full = (int)(in_epoch * BAR / run->config.steps_per_epoch);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    double seconds = now() - t->row_start, speed = (double)(run->images - t->row_images) / (seconds > 0 ? seconds : 1);
    double left = (double)(run->config.total_steps - run->step) * run->config.batch / (speed > 0 ? speed : 1);
    fprintf(stderr, "\r[%s] epoch %llu of %llu  loss %.4f  error %.2f %%  %.0f images/s  %.0f s left \033[K", bar,
            (unsigned long long)(run->step / run->config.steps_per_epoch + 1), (unsigned long long)run->config.epochs,
            fx_figures_loss(&train), 100.0 * (double)train.answers.wrong / (double)train.images, speed, left);
}

static void show_row(const Training *t, const FxLogRow *row) {
    const FxRun *run = t->run;
    FxFigures train = fx_run_train_figures(run);
    if (t->options->quiet)
        return;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "epoch %llu  step %llu", (unsigned long long)(run->step / run->config.steps_per_epoch), (unsigned long long)run->step);
    if (train.images)
        fprintf(stderr, "  train loss %.4f  error %.2f %%", fx_figures_loss(&train),
                100.0 * (double)train.answers.wrong / (double)train.images);
    if (row->test.images)
        fprintf(stderr, "  test error %.2f %%", 100.0 * (double)row->test.answers.wrong / (double)row->test.images);
    if (row->trained && row->seconds > 0)
        fprintf(stderr, "  %.0f images/s", (double)row->images / row->seconds);
    if (row->status != FX_RUNNING)
        fprintf(stderr, "  %s", fx_status_name(row->status));
    fprintf(stderr, "\n");
}

static int write_checkpoint(Training *t, FxStatus status) {
    FxMark mark = {.status = status};
    if (fx_rundir_sync(t->dir, &mark.log_length, &mark.stats_length, t->err))
        return -1;
    t->checkpoint_at = now();
    return fx_checkpoint_write(t->run, t->dir->path, &mark, t->err);
}

// How an epoch, or the part of one at the run's end, ends the run, or does not.
static FxStatus judge(const FxRun *run) {
    FxFigures train = fx_run_train_figures(run);
    bool dead = false;
    if (fx_run_diverged(run))
        return FX_DIVERGED;
    if (run->totals.images == 0 || run->step % run->config.steps_per_epoch) // nothing trained yet, or a part
        return run->step == run->config.total_steps ? FX_DONE : FX_RUNNING;
    for (int p = 0; p < run->net.product_count; p++) {
        const FxNode *node = fx_net_product(&run->net, p);
        dead |= node->live_errors == 0 || (!node->name.first && node->live_activations == 0);
    }
    if (dead)
        return FX_DEAD;
    if (run->totals.store_changed == 0)
        return FX_STALLED;
    if (run->totals.lost_targets)
        return FX_DIVERGED;
    if (run->step / run->config.steps_per_epoch >= 2 && fx_figures_loss(&train) > 10 * fx_run_zero_loss(run))
        return FX_DIVERGED;
    return run->step == run->config.total_steps ? FX_DONE : FX_RUNNING;
}

static bool stats_due(const FxRun *run, bool epoch_end, bool last) {
    FxPeriod p = run->config.stats_every;
    if (!run->config.stats_on || run->step == 0)
        return false;
    if (last)
        return true;
    if (p.unit == FX_UNIT_STEPS)
        return run->step % p.count == 0;
    return epoch_end && run->step / run->config.steps_per_epoch % p.count == 0;
}

static void reset_counts(FxRun *run) {
    run->totals = (FxTotals){0};
    for (int p = 0; p < run->net.product_count; p++)
        fx_net_product(&run->net, p)->live_activations = fx_net_product(&run->net, p)->live_errors = 0;
}

// Evaluates and writes the row of an epoch, of row 0 or of a part; false in *written: a signal came first.
static int write_row(Training *t, FxStatus *status, bool *written) {
    FxRun *run = t->run;
    const FxImages *train = &run->data.train, *test = &run->data.test;
    size_t held_out = train->count - run->config.train_images;
    FxLogRow row = {.trained = run->step > 0, .images = run->images - t->row_images};
    *written = fx_run_evaluate(run, test, 0, test->count, &row.test, t->options->stop) &&
               fx_run_evaluate(run, train, run->config.train_images, held_out, &row.validation, t->options->stop);
    if (!*written)
        return 0;
    *status = row.status = judge(run);
    row.seconds = now() - t->row_start;
    if (fx_log_write(t->dir, run, &row, t->err) ||
        (stats_due(run, run->step % run->config.steps_per_epoch == 0, *status != FX_RUNNING) && fx_stats_write(t->dir, run, t->err)))
        return -1;
    if (fx_status_exit(*status) == FX_EXIT_FAILED_RUN && fx_last_write(t->dir, run, t->err))
        return -1;
    show_row(t, &row);
    reset_counts(run);
    t->row_start = now();
    t->row_images = run->images;
    return 0;
}

// A signal: the state as it is becomes the checkpoint; the row that says so comes after it and is taken back on resume.
// Before row 0 is written there is none: what resumes starts anew.
static int stop(Training *t, bool row_0, FxStatus *status) {
    FxRun *run = t->run;
    FxLogRow row = {.trained = run->step > 0, .status = FX_STOPPED, .seconds = now() - t->row_start, .images = run->images - t->row_images};
    *status = FX_STOPPED;
    if ((row_0 && write_checkpoint(t, FX_RUNNING)) || fx_log_write(t->dir, run, &row, t->err))
        return -1;
    show_row(t, &row);
    return 0;
}

static bool checkpoint_due(const Training *t, bool epoch_end) {
    FxPeriod p = t->run->config.checkpoint_every;
    if (p.unit == FX_UNIT_STEPS)
        return t->run->step % p.count == 0;
    if (p.unit == FX_UNIT_MINUTES)
        return now() - t->checkpoint_at >= 60.0 * (double)p.count;
    return epoch_end && t->run->step / t->run->config.steps_per_epoch % p.count == 0;
}

static int loop(Training *t, FxStatus *status) {
    FxRun *run = t->run;
    const FxConfig *c = &run->config;
    while (*status == FX_RUNNING) {
        bool epoch_end = run->step % c->steps_per_epoch == 0, written = true;
        bool pending = run->totals.images > 0; // a row of this epoch has not been written
        bool diverged = pending && fx_run_diverged(run);
        if (stopping(t))
            return stop(t, true, status);
        if (pending && (epoch_end || diverged || run->step == c->total_steps)) {
            if (write_row(t, status, &written))
                return -1;
            if (!written)
                return stop(t, true, status);
            if ((*status != FX_RUNNING || checkpoint_due(t, epoch_end)) && write_checkpoint(t, *status))
                return -1;
            continue;
        }
        fx_run_step(run);
        show_step(t);
        epoch_end = run->step % c->steps_per_epoch == 0;
        bool last = run->step == c->total_steps || fx_run_diverged(run);
        if (!epoch_end && !last && stats_due(run, false, false) && fx_stats_write(t->dir, run, t->err))
            return -1;
        if (!epoch_end && !last && checkpoint_due(t, false) && write_checkpoint(t, FX_RUNNING))
            return -1;
    }
    return 0;
}

static int start(Training *t, FxStatus *status) {
    FxRun *run = t->run;
    size_t size = fx_recipe_write(NULL, 0, &run->recipe, true) + 1;
    char *text = malloc(size);
    bool written, stopped = false;
    t->row_images = run->images; // those of a fork's parent are no row's
    if (!text)
        return fx_fail_memory(t->err, "recipe", size);
    fx_recipe_write(text, size, &run->recipe, true);
    // command first: it makes the directory a run
    int result = fx_rundir_write(t->dir, "command", t->options->command, t->err) ||
                 fx_rundir_write(t->dir, "recipe.ini", text, t->err);
    free(text);
    if (result || (t->options->parent && fx_rundir_write(t->dir, "parent", t->options->parent, t->err)) || fx_rundir_open_csv(t->dir, 0, 0, t->err))
        return -1;
    if (!t->options->parent && fx_find_ranges(run, t->options->stop, &stopped, t->err))
        return -1;
    if (stopped)
        return stop(t, false, status);
    if (write_row(t, status, &written))
        return -1;
    if (!written)
        return stop(t, false, status);
    return write_checkpoint(t, *status);
}

int fx_train(FxRun *run, FxRunDir *dir, const FxTrainOptions *options, FxStatus *status, FxError *err) {
    Training t = {.run = run, .dir = dir, .options = options, .err = err, .row_start = now(), .checkpoint_at = now()};
    FxMark mark = {0};
    FxWarnings warnings = {{0}};
    int found = 0;
    *status = FX_RUNNING;
    if (dir->existed && fx_checkpoint_read(run, dir->path, &mark, &found, &warnings, err))
        return -1;
    if (warnings.text[0])
        fprintf(stderr, "fxsim: warning: %s", warnings.text);
    if (!found) {
        if (dir->existed && fx_rundir_check_start(dir, err))
            return -1;
        if (start(&t, status))
            return -1;
        return *status == FX_RUNNING ? loop(&t, status) : 0;
    }
    if (mark.status != FX_RUNNING) {
        *status = mark.status;
        if (!options->quiet)
            fprintf(stderr, "%s: finished before (%s)\n", dir->path, fx_status_name(mark.status));
        return 0;
    }
    if (fx_rundir_open_csv(dir, mark.log_length, mark.stats_length, err))
        return -1;
    t.row_images = run->images;
    if (!options->quiet)
        fprintf(stderr, "%s: goes on at step %llu\n", dir->path, (unsigned long long)run->step);
    return loop(&t, status);
}
