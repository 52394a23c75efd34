// A run: recipe, data, network and where in the training it stands.
#ifndef FX_RUN_H
#define FX_RUN_H

#include "sim/feed.h"
#include "sim/last_steps.h"
#include "sim/step.h"

#include <signal.h>
#include <stdbool.h>

// Raised by the commit that changes any result.
enum { FX_RESULTS_VERSION = 5 };

typedef enum FxStatus { FX_RUNNING, FX_DONE, FX_STOPPED, FX_DIVERGED, FX_DEAD, FX_STALLED } FxStatus;
const char *fx_status_name(FxStatus status);
FxExit fx_status_exit(FxStatus status);

typedef struct FxRun {
    FxRecipe recipe;
    FxConfig config;
    FxDataset data;
    FxNet net;
    FxFeed feed;
    FxTotals totals;     // train figures since the epoch's start; counts since the row before
    int loss_exponent;   // the unit of totals.answers.loss is that of outputs with this exponent, squared
    FxLossScale loss_scale; // of the next step
    FxScalar last_scale;    // of the last one
    uint64_t step;       // updates done
    uint64_t images;     // training images seen since the run's start
    FxLastSteps last;
    const FxTrace *trace; // told of the tensors of every step; NULL: nobody looks
    uint32_t config_crc32;
    char cpu_name[24];
} FxRun;

// From a loaded recipe to a network with its initial weights; takes the recipe over.
int fx_run_prepare(FxRun *run, FxRecipe *recipe, FxWarnings *warnings, FxError *err);
// The same with every @overflow grid at least so many bits wide (sim/find_ranges.h).
int fx_run_prepare_wide(FxRun *run, FxRecipe *recipe, int wide, FxWarnings *warnings, FxError *err);
void fx_run_free(FxRun *run); // accepts a zeroed struct

// One update. Passes completed before it: step / steps_per_epoch.
void fx_run_step(FxRun *run);

// The figures of a set of images under the weights as they are.
typedef struct FxFigures {
    uint64_t images;
    FxAnswers answers;
    int exponent; // of the outputs: answers.loss counts squares of 2^exponent
    bool reals;   // the loss is `loss`
    FxLossSum loss;
} FxFigures;

// false: *stop was set before the end.
bool fx_run_evaluate(FxRun *run, const FxImages *images, size_t first, size_t count, FxFigures *figures, const volatile sig_atomic_t *stop);

// The train figures since the epoch's start.
FxFigures fx_run_train_figures(const FxRun *run);

// Loss an example: the exact sum of squares converted once, times 2^(2e-1), divided once; softmax: the mean cross-entropy.
double fx_figures_loss(const FxFigures *figures);

// The loss an example where all outputs are 0.
double fx_run_zero_loss(const FxRun *run);

// A weight or loss that is not finite, or where no loss scale is set an error, since the epoch began.
bool fx_run_diverged(const FxRun *run);

uint32_t fx_run_weights_crc32(const FxRun *run);

#endif
