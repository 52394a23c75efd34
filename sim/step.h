// One training step, and the forward half alone for evaluation. The only caller of the sites' quantisers.
#ifndef FX_STEP_H
#define FX_STEP_H

#include "layers/loss_f32.h"
#include "sim/net.h"

// Sums over steps since the caller zeroed them.
typedef struct FxTotals {
    uint64_t images;
    FxAnswers answers;
    FxLossSum loss;         // of losses that are logged as reals
    uint64_t zero_tensors;  // error or gradient tensors all zero before their quantiser
    uint64_t saturated;     // over all sites
    uint64_t store_changed; // codes changed, summed over steps
    uint64_t lost_targets;  // batches whose outputs have no code for 1.0, because their exponent follows the data
    uint64_t skipped_steps; // by the loss scale's trigger
    uint64_t lost_errors;   // errors and gradients that are not finite, before their quantiser
    uint64_t lost_weights;  // new weights that are not
} FxTotals;

// Told of every tensor of a step, in order; tests/golden/wage_step/README.md explains them (its layerN.poolM is max-pool
// and pool.argmax, its layerN.activation.relu the relu.mask of layer N - 1). "update" comes in pieces, first to
// last. node: at which it stands; its id is that of the layer.
typedef struct FxTrace {
    void (*tensor)(void *user, const FxNode *node, const char *what, const FxTensor *tensor);
    void *user;
} FxTrace;

typedef struct FxStep {
    FxNet *net;
    const FxConfig *config;
    uint64_t step;         // updates done before
    int images;            // in net->batch_pixels and net->batch_labels
    bool evaluation;       // forward only, its own random words, no statistics
    uint64_t first_image;  // evaluation: number of the first image in its file
    FxTotals *totals;
    FxScalar loss_scale;   // factor of the error at the output; (0, 0) is 1
    bool *fired;           // training: set if the loss scale's trigger skipped the step
    const FxTrace *trace;  // NULL: nobody looks
} FxStep;

// The phase that rules: of this update; in an evaluation that of the update before, which made the weights.
static inline const FxPhase *fx_step_phase(const FxStep *s) {
    return fx_config_phase(s->config, s->evaluation && s->step ? s->step - 1 : s->step);
}

// The learning rate of this update.
FxScalar fx_step_rate(const FxStep *s);

void fx_step_train(const FxStep *s);
void fx_step_evaluate(const FxStep *s);

#endif
