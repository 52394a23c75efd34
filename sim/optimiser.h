// Optimisers: from a gradient to new kept weights. One line a rule; each is written once, over sums a * x + y that are
// exact on the integer datapath and one fused float32 operation on the float one (layers/linear.h).
#ifndef FX_OPTIMISER_H
#define FX_OPTIMISER_H

#include "formats/decimal.h"
#include "formats/tensor.h"

#include <stdbool.h>

struct FxStep;
struct FxNode;

enum { FX_UPDATE_BUFFERS = 4 };

// One layer's update.
typedef struct FxUpdating {
    const struct FxStep *s;
    struct FxNode *node;
    FxScalar rate, momentum, decay;
    FxTensor g;                        // Q_gradient(dW), the loss scale taken off
    FxTensor buffer[FX_UPDATE_BUFFERS]; // as many elements as the store: int64 or float32; the last may hold g
} FxUpdating;

typedef struct FxOptimiser {
    const char *name;
    bool has_momentum; // keeps a momentum whatever mu is
    bool has_second;   // and adam's second mean: floats alone
    void (*run)(FxUpdating *u);
} FxOptimiser;

const FxOptimiser *fx_optimiser_find(const char *name); // NULL: unknown

#endif
