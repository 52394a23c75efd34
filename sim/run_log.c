#include "sim/run_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *fx_run_state_name(FxRunState state) {
    return state == FX_STATE_CUT ? "cut" : state == FX_STATE_MISSING ? "missing" : fx_status_name((FxStatus)state);
}

bool fx_run_state_failed(FxRunState state) {
    return state < FX_STATE_CUT && fx_status_exit((FxStatus)state) == FX_EXIT_FAILED_RUN;
}

double fx_run_log_seconds(const FxRunLog *run) {
    double sum = 0;
    for (int row = 0; row < run->log.rows; row++) {
        double x = fx_csv_number(&run->log, row, "time_s");
        sum += isnan(x) ? 0 : x;
    }
    return sum;
}

const char *fx_run_log_name(const FxRunLog *run) {
    const char *slash = strrchr(run->path, '/');
    return slash && slash[1] ? slash + 1 : run->path;
}

static int read_state(FxRunLog *run, bool written, FxError *err) {
    const char *status = fx_csv_cell(&run->log, -1, "status");
    if (run->log.rows == 0) {
        run->state = written ? FX_STATE_RUNNING : FX_STATE_MISSING;
        return 0;
    }
    for (int s = 0; s < FX_STATE_CUT; s++)
        if (!strcmp(status, fx_status_name((FxStatus)s))) {
            run->state = (FxRunState)s;
            if (written && s == FX_STATE_STOPPED) // resumed: the row goes as soon as the next one comes
                run->state = FX_STATE_RUNNING;
            if (!written && s == FX_STATE_RUNNING)
                run->state = FX_STATE_CUT;
            return 0;
        }
    return fx_fail(err, FX_EXIT_RUNTIME, "%s/log.csv: status \"%.40s\" in its last row; known: running done stopped diverged dead stalled",
                   run->path, status);
}

static int check_header(const FxRunLog *run, FxError *err) {
    static const char *const needed[] = {"seed", "epoch", "step", "train_error", "status", "time_s"};
    for (size_t i = 0; run->log.columns && i < sizeof needed / sizeof needed[0]; i++)
        if (fx_csv_column(&run->log, needed[i]) < 0)
            return fx_fail(err, FX_EXIT_RUNTIME, "%s/log.csv:1: no column %s; a log.csv of fxsim train is needed", run->path, needed[i]);
    return 0;
}

static void read_recipe(FxRunLog *run, const char *path) {
    FxError why;
    struct stat st;
    if (stat(path, &st))
        return;
    run->has_recipe = fx_recipe_load(&run->recipe, path, &why) == 0;
    if (!run->has_recipe)
        snprintf(run->why, sizeof run->why, "%.255s", why.text);
}

// Appends an empty run; NULL: no memory.
static FxRunLog *append(FxRunLogs *logs, const char *path, const char *overrides, FxError *err) {
    if (logs->count == logs->capacity) {
        int capacity = logs->capacity ? 2 * logs->capacity : 16;
        FxRunLog *grown = realloc(logs->run, (size_t)capacity * sizeof *grown);
        if (!grown) {
            fx_fail_memory(err, "runs", (size_t)capacity * sizeof *grown);
            return NULL;
        }
        logs->run = grown;
        logs->capacity = capacity;
    }
    FxRunLog *run = &logs->run[logs->count++];
    memset(run, 0, sizeof *run);
    run->path = strdup(path);
    run->overrides = overrides ? strdup(overrides) : NULL;
    if (run->path && (!overrides || run->overrides))
        return run;
    fx_fail_memory(err, "runs", strlen(path));
    return NULL;
}

static int add_run(FxRunLogs *logs, const char *path, const char *overrides, FxError *err) {
    char file[FX_DIRECTORY + 16];
    FxRunLog *run = append(logs, path, overrides, err);
    if (!run)
        return -1;
    bool written = fx_rundir_is_written(path); // first: a run that ends meanwhile has its last row when that is read
    snprintf(file, sizeof file, "%s/log.csv", path);
    if (fx_csv_read(&run->log, file, &run->has_log, err) || check_header(run, err) || read_state(run, written, err))
        return -1;
    snprintf(file, sizeof file, "%s/recipe.ini", path);
    read_recipe(run, file);
    return 0;
}

static int add_sweep(FxRunLogs *logs, const char *path, const FxCsv *list, FxError *err) {
    char run[FX_DIRECTORY];
    if (list->columns && fx_csv_column(list, "run") < 0)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s/sweep.csv:1: no column run; a sweep.csv of scripts/sweep.sh is needed", path);
    for (int i = 0; i < list->rows; i++) {
        const char *name = fx_csv_cell(list, i, "run");
        if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
            return fx_fail(err, FX_EXIT_RUNTIME, "%s/sweep.csv:%d: run \"%.80s\"; the name of a directory in the sweep's is needed", path,
                           i + 2, name);
        if (snprintf(run, sizeof run, "%s/%s", path, name) >= (int)sizeof run)
            return fx_fail(err, FX_EXIT_USAGE, "%.80s...: the path is too long", path);
        if (add_run(logs, run, fx_csv_cell(list, i, "overrides"), err))
            return -1;
    }
    return 0;
}

int fx_run_logs_add(FxRunLogs *logs, const char *path, bool *sweep, FxError *err) {
    char trimmed[FX_DIRECTORY], file[FX_DIRECTORY + 16];
    struct stat st;
    FxCsv list;
    bool found;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof trimmed)
        return fx_fail(err, FX_EXIT_USAGE, "run \"%.80s\": a path of 1 to %d characters is needed", path, FX_DIRECTORY - 1);
    memcpy(trimmed, path, length);
    trimmed[length] = 0;
    if (stat(trimmed, &st) || !S_ISDIR(st.st_mode))
        return fx_fail(err, FX_EXIT_USAGE, "run %s: %s; a run's or a sweep's directory is needed", path,
                       stat(trimmed, &st) ? strerror(errno) : "no directory");
    snprintf(file, sizeof file, "%s/sweep.csv", trimmed);
    if (fx_csv_read(&list, file, &found, err))
        return -1;
    int result = found ? add_sweep(logs, trimmed, &list, err) : add_run(logs, trimmed, NULL, err);
    fx_csv_free(&list);
    if (sweep)
        *sweep = found;
    return result;
}

void fx_run_logs_free(FxRunLogs *logs) {
    for (int i = 0; i < logs->count; i++) {
        free(logs->run[i].path);
        free(logs->run[i].overrides);
        fx_csv_free(&logs->run[i].log);
        fx_recipe_free(&logs->run[i].recipe);
    }
    free(logs->run);
    memset(logs, 0, sizeof *logs);
}
