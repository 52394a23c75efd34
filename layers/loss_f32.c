#include "layers/loss_f32.h"

#include "formats/bits_f32.h"
#include "formats/math_f32.h"

#include <assert.h>
#include <string.h>

enum { CHUNK = 4096 };

void fx_loss_add(FxLossSum *loss, double of_image) {
    loss->chunk += of_image;
    if (++loss->images % CHUNK == 0) {
        loss->sum += loss->chunk;
        loss->chunk = 0;
    }
}

double fx_loss_total(const FxLossSum *loss) {
    return loss->sum + loss->chunk;
}

// 2^n; far outside of what exponents are, the nearest that float64 has.
static double power_of_two(int n) {
    n = n < -1022 ? -1022 : n > 900 ? 900 : n;
    return fx_double_of((uint64_t)(n + 1023) << 52);
}

static bool above(const FxTensor *t, size_t a, size_t b) {
    const float *x = t->data;
    return t->type == FX_FLOAT32 ? x[a] > x[b] : fx_tensor_get(t, a) > fx_tensor_get(t, b);
}

// How far element i lies below the largest; integers differ by less than 2^64, exactly.
static double below(const FxTensor *t, size_t top, size_t i) {
    const float *x = t->data;
    return t->type == FX_FLOAT32 ? (double)x[top] - (double)x[i] : (double)((uint64_t)fx_tensor_get(t, top) - (uint64_t)fx_tensor_get(t, i));
}

void fx_softmax_loss(const FxTensor *out, const uint8_t *labels, int classes, FxLossSum *loss) {
    const double unit = out->type == FX_FLOAT32 ? 1 : power_of_two(out->exponent);
    const size_t n = out->count / (size_t)classes;
    for (size_t i = 0; i < n; i++) {
        const size_t first = i * (size_t)classes, end = first + (size_t)classes;
        size_t top = first;
        for (size_t at = first; at < end; at++)
            top = above(out, at, top) ? at : top;
        double sum = 0;
        for (size_t at = first; at < end; at++)
            sum += fx_exp(-(below(out, top, at) * unit));
        fx_loss_add(loss, fx_log(sum) + below(out, top, first + labels[i]) * unit);
    }
}

void fx_answers_count_f32(const FxTensor *out, const uint8_t *labels, int classes, FxAnswers *answers) {
    const size_t n = out->count / (size_t)classes;
    for (size_t i = 0; i < n; i++) {
        const float *z = (const float *)out->data + i * (size_t)classes;
        int best = 0, equal = 1;
        bool nan = z[0] != z[0];
        for (int c = 1; c < classes; c++) {
            nan |= z[c] != z[c];
            equal = z[c] > z[best] ? 1 : equal + (z[c] == z[best]);
            best = z[c] > z[best] ? c : best;
        }
        answers->wrong += nan || best != labels[i];
        answers->ties += !nan && equal > 1;
    }
}
