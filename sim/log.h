// log.csv, a row an epoch, and stats.csv, a row a layer, site and period.
#ifndef FX_LOG_H
#define FX_LOG_H

#include "sim/run.h"
#include "sim/rundir.h"

extern const char *const fx_log_header, *const fx_stats_header;
bool fx_log_has_column(const char *name);

// What one row of log.csv holds beside the run itself.
typedef struct FxLogRow {
    bool trained;              // false: row 0
    FxFigures validation, test; // validation.images = 0: none
    FxStatus status;
    double seconds;            // since the row before
    uint64_t images;           // trained on since the row before
} FxLogRow;

int fx_log_write(FxRunDir *dir, FxRun *run, const FxLogRow *row, FxError *err);

// One row for each site of each layer, then zeroes what they counted.
int fx_stats_write(FxRunDir *dir, FxRun *run, FxError *err);

// last.csv: rows as stats.csv, one for each site and each of the last steps. Errors: exit code 1.
int fx_last_write(const FxRunDir *dir, const FxRun *run, FxError *err);

#endif
