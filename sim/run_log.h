// Runs as their directories tell of them: log.csv, recipe.ini, and whether a process writes there now.
#ifndef FX_RUN_LOG_H
#define FX_RUN_LOG_H

#include "sim/csv.h"
#include "sim/recipe.h"
#include "sim/run.h"
#include "sim/rundir.h"

// A status as log.csv has it, or what only its directory tells.
typedef enum FxRunState {
    FX_STATE_RUNNING = FX_RUNNING, // a process holds the lock
    FX_STATE_DONE = FX_DONE,
    FX_STATE_STOPPED = FX_STOPPED, // by a signal, resumable
    FX_STATE_DIVERGED = FX_DIVERGED,
    FX_STATE_DEAD = FX_DEAD,
    FX_STATE_STALLED = FX_STALLED,
    FX_STATE_CUT,     // its log says running, but no process writes it
    FX_STATE_MISSING, // no row, and no process
    FX_STATES
} FxRunState;
const char *fx_run_state_name(FxRunState state);
bool fx_run_state_failed(FxRunState state); // diverged, dead, stalled

typedef struct FxRunLog {
    char *path;       // of the directory, without '/' at its end
    char *overrides;  // as the sweep's sweep.csv has them; NULL: the run is no sweep's
    FxCsv log;
    bool has_log;     // there is a log.csv, though maybe an empty one
    FxRunState state;
    FxRecipe recipe;  // what is in effect
    bool has_recipe;
    char why[256];    // why it has none; "": there is no recipe.ini
} FxRunLog;

typedef struct FxRunLogs {
    FxRunLog *run;
    int count, capacity;
} FxRunLogs;

// Reads a run directory, or all runs of a sweep (a directory with sweep.csv) in its order, and appends them. sweep: whether
// it was one; may be NULL. What a run lacks is told by its fields; only a file that cannot be understood is an error: exit
// code 1. A path that is no directory: exit code 2.
int fx_run_logs_add(FxRunLogs *logs, const char *path, bool *sweep, FxError *err);
void fx_run_logs_free(FxRunLogs *logs); // accepts a zeroed struct

// What its rows say that they took.
double fx_run_log_seconds(const FxRunLog *run);

// The name behind the last '/'.
const char *fx_run_log_name(const FxRunLog *run);

// A key's value for a run: a column of log.csv (its last row), a key of a recipe ("gradient.rounding", "gradient.q",
// "layer.conv1.weight.grid"), or of [run] without its section ("batch"). Runs without rows: from recipe.ini or the
// sweep's overrides. Returns 0; -1: no such key, exit code 2; 1: the run does not tell (err says why).
enum { FX_KEY_TEXT = 1024 };
int fx_run_log_key(char text[FX_KEY_TEXT], FxRunLog *run, const char *key, FxError *err);

// Classes that the net tells apart, from its notation; 0: unknown.
int fx_run_log_classes(const FxRunLog *run);

#endif
