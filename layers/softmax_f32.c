#include "formats/math_f32.h"
#include "layers/loss_f32.h"

#include <assert.h>

enum { CHUNK = 4096 };

static float sum_of(const float *x, size_t n) {
    float sum = 0, chunk = 0;
    for (size_t i = 0; i < n; i++) {
        chunk += x[i];
        if ((i + 1) % CHUNK == 0) {
            sum += chunk;
            chunk = 0;
        }
    }
    return sum + chunk;
}

void fx_softmax_f32(const FxTensor *out, const uint8_t *labels, int classes, float loss_scale, int batch, unsigned cpu, const FxTensor *e,
                    FxAnswers *answers, FxLossSum *loss) {
    const size_t width = (size_t)classes, n = out->count / width;
    assert(out->type == FX_FLOAT32 && out->count == n * width && (!e || (e->type == FX_FLOAT32 && e->count == out->count)));
    fx_answers_count_f32(out, labels, classes, answers);
    fx_softmax_loss(out, labels, classes, loss);
    if (!e)
        return;
    const float factor = loss_scale / (float)batch, *z = out->data;
    float *y = e->data;
    for (size_t i = 0; i < n; i++, z += width, y += width) {
        float top = z[0];
        for (size_t c = 1; c < width; c++)
            top = z[c] > top ? z[c] : top;
        for (size_t c = 0; c < width; c++)
            y[c] = z[c] - top;
    }
    fx_exp_array_f32(e->data, e->count, cpu);
    y = e->data;
    for (size_t i = 0; i < n; i++, y += width) {
        const float sum = sum_of(y, width);
        for (size_t c = 0; c < width; c++)
            y[c] = (y[c] / sum - (c == labels[i] ? 1.0f : 0.0f)) * factor;
    }
}
