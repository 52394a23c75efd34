// Losses of the float datapath, and the loss that is logged of a softmax in either datapath.
// Order everywhere: classes ascending, images ascending.
#ifndef FX_LOSS_F32_H
#define FX_LOSS_F32_H

#include "layers/loss.h"

// A float64 sum over images: chunks of 4096 ascending, chunk sums added ascending from +0. The chunks are counted from the
// sum's start, so that it does not depend on how the images came in batches. All three belong into a checkpoint.
typedef struct FxLossSum {
    double sum, chunk;
    uint64_t images;
} FxLossSum;

void fx_loss_add(FxLossSum *loss, double of_image);
double fx_loss_total(const FxLossSum *loss);

// Adds each image's -log softmax(out)[label] = log(sum exp(z - max)) + (max - z[label]), z = out * 2^out->exponent, all float64.
// out: any integer type, the difference being exact, or float32 (exponent 0). Also of what fx_softmax and fx_softmax_niti
// approximate. NaN where an output is NaN or the largest is Inf.
void fx_softmax_loss(const FxTensor *out, const uint8_t *labels, int classes, FxLossSum *loss);

// float32: e = (p - onehot) * (loss_scale / batch), with batch the nominal one: division once, subtraction, multiplication.
// p = fx_expf(z - max) / sum, the sum in chunks of 4096. out, e: float32, n x classes. e NULL: answers and loss alone.
// Answers: -0 equals +0; an image with a NaN output is wrong and no tie.
void fx_softmax_f32(const FxTensor *out, const uint8_t *labels, int classes, float loss_scale, int batch, unsigned cpu, const FxTensor *e,
                    FxAnswers *answers, FxLossSum *loss);

// float32: e = (out - target) * loss_scale, target 1 at the label, 0 elsewhere; no mean. The loss of an image is 1/2 the sum
// of squares of the exact float64 differences, so that it compares with fx_sse's logged loss.
void fx_sse_f32(const FxTensor *out, const uint8_t *labels, int classes, float loss_scale, const FxTensor *e, FxAnswers *answers,
                FxLossSum *loss);

// Adds the wrong answers and the ties of float32 outputs. The losses above do it themselves.
void fx_answers_count_f32(const FxTensor *out, const uint8_t *labels, int classes, FxAnswers *answers);

#endif
