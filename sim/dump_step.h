// One training step, tensor by tensor.
#ifndef FX_DUMP_STEP_H
#define FX_DUMP_STEP_H

#include "sim/run.h"
#include "sim/vectors.h"

// Told of each tensor with its description; returns -1 where it fails.
typedef struct FxSink {
    int (*add)(void *user, FxVector *vector, const FxTensor *t, FxError *err);
    void *user;
} FxSink;

// Does the run's next update and tells sink of every tensor of it: batch, labels, kept weights before and after, operands,
// sums of the three products, masks, errors, gradients, updates and the random words that roundings drew. directory: gets
// step.csv (rate and what else a step reads) and sites.csv (maxima, exponents or shifts, and counts of each site); NULL: not
// wanted. Errors: exit code 1, and what the sink fails with.
int fx_dump_step(FxRun *run, const FxSink *sink, const char *directory, FxError *err);

#endif
