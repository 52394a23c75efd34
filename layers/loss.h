// Losses: the error at the output, and how well the batch was answered. Integers only: what is logged of a softmax is a
// float64 and is made by layers/loss_f32.h.
#ifndef FX_LOSS_H
#define FX_LOSS_H

#include "formats/decimal.h"
#include "layers/layer.h"

typedef struct FxAnswers {
    unsigned __int128 loss; // sum of squares: exact, in units of the codes' squares; other losses leave it alone
    uint64_t wrong;         // images whose answer (largest output, lowest index among equals) is not the label
    uint64_t ties;          // images whose largest output occurs more than once
} FxAnswers;

// Sum of squares, 1/2 sum (out - y)^2 without the half: e = out - target, target = one at the label, 0 elsewhere.
// out: codes or sums, n x classes; labels: n; one: the code of 1.0. e: int32 or int64, NULL: only the answers.
// Source: WAGE, 10SSE: no mean over batch or classes.
void fx_sse(const FxTensor *out, const uint8_t *labels, int classes, int64_t one, const FxTensor *e, FxAnswers *answers);

// Softmax cross-entropy on integers: e = p - 32768 at the label, p elsewhere, in units of 2^FX_SOFTMAX_EXPONENT; the sum's
// error, no mean. out: codes or sums of any integer type and exponent, n x classes; e: int32 or int64, NULL: only the
// answers. With d = max - out: t = d * 94548 * 2^out->exponent to nearest-even, at most 2^40; v = 2^30 * 2^(-t / 2^16) from a
// table of 257 entries, linear between them, 0 for t >= 31 * 2^16; p = 32768 * v / sum v, nearest, half up.
// classes * 2^30 must fit 63 bits. p is off by at most 0.7 units for 10 classes.
enum { FX_SOFTMAX_EXPONENT = -15 };
void fx_softmax(const FxTensor *out, const uint8_t *labels, int classes, const FxTensor *e, FxAnswers *answers);

// NITI's cross-entropy of int8 codes, e in units of 2^FX_NITI_EXPONENT before its stochastic rounding by 4 bits, which the
// error's quantiser does: fixed8/stochastic:4. Exponent above -7: s = floor(floor(out * 47274 / 2^15) * 2^exponent), v = 2^s' - 1
// with s' = max(s - (max s - 10), 0); else, x = -exponent: v = 2^(2x+1) + s * 2^(x+1) + s^2, s = out. p = floor(v * 2^11 / sum v);
// e = p, less sum p at the label. Source: NITI (arXiv 2009.13108), its code of Nov 2021; there `/` on integers truncated,
// here every division floors.
enum { FX_NITI_EXPONENT = -11 };
void fx_softmax_niti(const FxTensor *out, const uint8_t *labels, int classes, const FxTensor *e, FxAnswers *answers);

// What a loss is asked: of codes or sums, or of float32.
typedef struct FxLossCall {
    const FxTensor *out;    // n x classes
    const uint8_t *labels;
    int classes;
    int64_t one;            // integers: the code of 1.0
    FxScalar scale;         // float32: factor of the error
    int batch;              // float32: nominal images of a batch
    unsigned cpu;
    const FxTensor *e;      // int64 or float32; NULL: only the answers
    FxAnswers *answers;
    struct FxLossSum *loss; // of losses that are logged as reals
} FxLossCall;

// One line a loss.
typedef struct FxLossRule {
    const FxLayerOps *ops;
    bool logs_squares;    // on integers the logged loss is answers->loss, else it is *loss
    bool has_exponent;    // on integers e is in units of 2^exponent, else in those of the outputs
    int exponent;
    bool needs_int8;
    void (*integers)(const FxLossCall *call);
    void (*floats)(const FxLossCall *call); // NULL: on integers alone
} FxLossRule;

const FxLossRule *fx_loss_rule(const FxLayerOps *ops);

// Adds the wrong answers and the ties of integer outputs. The losses above do it themselves.
void fx_answers_count(const FxTensor *out, const uint8_t *labels, int classes, FxAnswers *answers);

#endif
