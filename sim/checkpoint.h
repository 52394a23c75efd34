// Checkpoints: everything a run's future depends on, as a list of named arrays.
#ifndef FX_CHECKPOINT_H
#define FX_CHECKPOINT_H

#include "sim/run.h"

#include <stdint.h>

// What is beside the state: the lengths that the CSV files had, so that rows written later are taken back.
typedef struct FxMark {
    uint64_t log_length, stats_length;
    FxStatus status;
} FxMark;

// Writes DIR/checkpoint by way of a temporary file, synced and renamed; the one before it becomes DIR/checkpoint.previous.
// Little-endian: "FXSIMCK1", version, config, data and results version, the mark, then each item as name, type, count,
// CRC-32 and elements, the overrides as given, and last a CRC-32 of all before it. Errors: exit code 1; the old files stay.
int fx_checkpoint_write(FxRun *run, const char *directory, const FxMark *mark, FxError *err);

// Reads DIR/checkpoint, or where that is damaged or missing DIR/checkpoint.previous, or else a whole DIR/checkpoint.new
// (cut off between its renames). *found = 0: none is there. Errors: exit code 5, no file fits this run; what was damaged
// is said in warnings.
int fx_checkpoint_read(FxRun *run, const char *directory, FxMark *mark, int *found, FxWarnings *warnings, FxError *err);

// One file. Errors: exit code 5.
int fx_checkpoint_read_file(FxRun *run, const char *path, FxMark *mark, FxError *err);

// Everything from a checkpoint of RUN at `step`, under this run's recipe: what has another format is rounded to nearest,
// controllers of other rules begin anew, what the other run did not keep stays 0. The data must be the same, and the net's
// weights. text receives what was taken. Errors: exit code 5, and 2 if RUN has no checkpoint at that step.
int fx_checkpoint_fork(FxRun *run, const char *directory, uint64_t step, char text[256], FxError *err);

// CRC-32 over the items' elements as they would be written.
uint32_t fx_checkpoint_state_crc32(FxRun *run);

#endif
