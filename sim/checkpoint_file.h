// What checkpoint.c and fork.c share of the file.
#ifndef FX_CHECKPOINT_FILE_H
#define FX_CHECKPOINT_FILE_H

#include "sim/checkpoint.h"

enum { FX_CHECKPOINT_TOTALS = 25, FX_CHECKPOINT_PATH = 4096 };
enum { FX_PACKED_IMAGES = 1, FX_PACKED_RULE = 24 }; // places in the packed totals

// What a fork read, in the type and count of its parent.
typedef struct FxForeign {
    FxTensor data;
    int keeper; // of the net
    FxSite site;
} FxForeign;

// The registered arrays of a run.
int fx_checkpoint_items(const FxRun *run);
void fx_checkpoint_unpack(FxRun *run, const uint64_t packed[FX_CHECKPOINT_TOTALS]);

// DIR/checkpoint, .previous, .new. Errors: exit code 1, too long.
int fx_checkpoint_paths(char out[3][FX_CHECKPOINT_PATH], const char *directory, FxError *err);

// The step of a file, or -1 where none can be read.
long long fx_checkpoint_step(const char *path);

// A whole file into the run, but for the totals, which come packed, and kept weights and optimiser state: they come back in
// foreign[item - 1], whose data the caller frees. Errors: exit code 5.
int fx_checkpoint_read_foreign(FxRun *run, const char *path, uint64_t packed[FX_CHECKPOINT_TOTALS], FxForeign *foreign, FxError *err);

#endif
