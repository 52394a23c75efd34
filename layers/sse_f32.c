#include "layers/loss_f32.h"

#include <assert.h>

void fx_sse_f32(const FxTensor *out, const uint8_t *labels, int classes, float loss_scale, const FxTensor *e, FxAnswers *answers,
                FxLossSum *loss) {
    const size_t width = (size_t)classes, n = out->count / width;
    assert(out->type == FX_FLOAT32 && out->count == n * width && (!e || (e->type == FX_FLOAT32 && e->count == out->count)));
    fx_answers_count_f32(out, labels, classes, answers);
    for (size_t i = 0; i < n; i++) {
        const float *z = (const float *)out->data + i * width;
        double sum = 0;
        for (size_t c = 0; c < width; c++) {
            const float target = c == labels[i] ? 1.0f : 0.0f;
            const double d = (double)z[c] - (double)target;
            sum += d * d;
            if (e)
                ((float *)e->data)[i * width + c] = (z[c] - target) * loss_scale;
        }
        fx_loss_add(loss, 0.5 * sum);
    }
}
