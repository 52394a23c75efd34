// Losses: the error at the output, and how well the batch was answered.
#ifndef FX_LOSS_H
#define FX_LOSS_H

#include "layers/layer.h"

typedef struct FxAnswers {
    unsigned __int128 loss; // exact sum, in units of the codes' squares
    uint64_t wrong;         // images whose answer (largest output, lowest index among equals) is not the label
    uint64_t ties;          // images whose largest output occurs more than once
} FxAnswers;

// Sum of squares, 1/2 sum (out - y)^2 without the half: e = out - target, target = one at the label, 0 elsewhere.
// out: codes or sums, n x classes; labels: n; one: the code of 1.0. e: int32 or int64, NULL: only the answers.
// Source: WAGE, 10SSE: no mean over batch or classes.
void fx_sse(const FxTensor *out, const uint8_t *labels, int classes, int64_t one, const FxTensor *e, FxAnswers *answers);

#endif
