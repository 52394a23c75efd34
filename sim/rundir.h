// A run directory: who may write it, its recipe and command, its CSV files.
#ifndef FX_RUNDIR_H
#define FX_RUNDIR_H

#include "formats/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { FX_DIRECTORY = 3072 };

typedef enum FxExisting {
    FX_EXISTING_REFUSE, // an existing run is an error
    FX_EXISTING_RESUME, // it must exist and is continued
    FX_EXISTING_AUTO,   // continued, or started where absent
    FX_EXISTING_FORCE   // deleted and started
} FxExisting;

typedef struct FxRunDir {
    char path[FX_DIRECTORY];
    char run_id[256]; // the directory's name, as a CSV cell
    int lock;         // file descriptor, -1: none
    FILE *log, *stats;
    bool existed;     // there is a run to continue
} FxRunDir;

// Makes or opens the directory and locks it. Errors: exit code 2 for a run that exists (or, with FX_EXISTING_RESUME,
// does not), 1 for one that another process writes or a directory that cannot be made.
int fx_rundir_open(FxRunDir *dir, const char *path, FxExisting existing, FxError *err);
void fx_rundir_close(FxRunDir *dir);

// Whether a process, another one than this, holds the lock of the run directory at path.
bool fx_rundir_is_written(const char *path);

// Writes DIR/name by way of a temporary file.
int fx_rundir_write(const FxRunDir *dir, const char *name, const char *text, FxError *err);

// A file of the run, to be written and closed by the caller. Errors: exit code 1, NULL.
FILE *fx_rundir_create(const FxRunDir *dir, const char *name, FxError *err);

// Whether a run without a checkpoint may start anew: not where rows behind row 0 would be lost, nor one that began from another's
// weights. Errors: exit code 5.
int fx_rundir_check_start(const FxRunDir *dir, FxError *err);

// Opens log.csv and stats.csv, cut to the given lengths; at length 0 the headers are written.
int fx_rundir_open_csv(FxRunDir *dir, uint64_t log_length, uint64_t stats_length, FxError *err);

// Pushes both files to disk and says their lengths. Errors: exit code 1, a full disk for instance.
int fx_rundir_sync(FxRunDir *dir, uint64_t *log_length, uint64_t *stats_length, FxError *err);

#endif
