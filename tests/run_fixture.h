// Whole runs for tests: prepared on the built-in digits, stepped with somebody looking on, or trained to their end in a
// directory of their own whose tables are read back.
#ifndef FX_TESTS_RUN_FIXTURE_H
#define FX_TESTS_RUN_FIXTURE_H

#include "sim/train.h"

// A recipe on a net; overrides: key=value, up to the first NULL, may be NULL. What does not resolve fails the test.
void run_open(FxRun *run, const char *recipe, const char *net, const char *const overrides[]);
// With every @overflow grid at least so many bits wide.
void run_open_wide(FxRun *run, const char *recipe, const char *net, const char *const overrides[], int wide);
// The same, but says whether it could be made: -1 and the reason.
int run_try(FxRun *run, const char *recipe, const char *net, const char *const overrides[], FxError *err);

// One update as fx_run_step makes it, told to trace; whether the loss scale's trigger skipped it. A controller that a milestone
// begins is not started: tests set its words themselves.
bool run_step(FxRun *run, const FxTrace *trace);

// A table with commas; the first row names the columns.
typedef struct Table {
    char *bytes;
    const char **cells;
    size_t columns, rows; // without the names
} Table;

// What a training left behind.
typedef struct Trained {
    FxStatus status;
    Table log, stats;
} Trained;

// Trains in a new directory, which is removed; what fails, fails the test.
Trained run_train(const char *recipe, const char *net, const char *const overrides[]);
void trained_free(Trained *t);

const char *table_cell(const Table *t, size_t row, const char *column);
double table_number(const Table *t, size_t row, const char *column);

#endif
