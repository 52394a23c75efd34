// The training run: epochs, rows, checkpoints, and how it may end.
#ifndef FX_TRAIN_H
#define FX_TRAIN_H

#include "sim/run.h"
#include "sim/rundir.h"

typedef struct FxTrainOptions {
    bool quiet;
    const char *command;                 // for DIR/command
    const char *parent;                  // the run's state is that of another's checkpoint, this line says whose; NULL: the start
    const volatile sig_atomic_t *stop;   // set by SIGINT, SIGTERM
} FxTrainOptions;

// Trains to the end, or to a stop. *status says how it ended; what was written stays whatever happens.
int fx_train(FxRun *run, FxRunDir *dir, const FxTrainOptions *options, FxStatus *status, FxError *err);

#endif
