// Runs grouped into settings, and each setting against one of them, seed by seed.
#ifndef FX_COMPARE_H
#define FX_COMPARE_H

#include "sim/run_log.h"
#include "sim/statistics.h"

#include <stdio.h>

enum { FX_COMPARE_KEYS = 8 };

typedef enum FxTableFormat { FX_TABLE_TEXT, FX_TABLE_CSV, FX_TABLE_MARKDOWN, FX_TABLE_LATEX } FxTableFormat;

typedef struct FxCompareOptions {
    const char *by[FX_COMPARE_KEYS];
    int keys;
    char column[64];       // of log.csv, the metric
    bool best_val;         // at the row of least val_error, not at the last
    bool include_failed;
    const char *reference; // a setting; NULL: the first
    FxTableFormat format;
} FxCompareOptions;

// All runs of one setting.
typedef struct FxRunGroup {
    char *name;
    int states[FX_STATES], at_chance;
    FxSample sample;
    double seconds;                // mean of a counted run; NaN: none
    FxPaired paired;               // n = 0 pairs for the reference
    double holm_t, holm_permutation;
} FxRunGroup;

// What comparing knows of a run.
typedef struct FxCompared {
    int group;    // -1: its setting is not known
    bool counted; // in the sample
    double value; // of the metric, in % where it is an error
} FxCompared;

typedef struct FxComparison {
    FxRunLogs logs;
    FxCompared *runs; // of logs
    FxRunGroup *groups;
    int group_count, reference;
    bool percent;
} FxComparison;

// logs must be there. Warnings go to stderr as they are found. Errors: exit code 2, two runs of one setting and seed or a
// key or metric that runs do not have.
int fx_compare(FxComparison *c, const FxCompareOptions *options, FxError *err);
void fx_comparison_free(FxComparison *c); // accepts a zeroed struct

// Names the keys that differ between runs though --by does not name them, and other results_versions and epochs.
void fx_compare_check_keys(FxComparison *c, const FxCompareOptions *options);

void fx_compare_print(FILE *out, const FxComparison *c, const FxCompareOptions *options);

// One line on stderr.
void fx_compare_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
