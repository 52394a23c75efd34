#include "layers/dropout_f32.h"

void fx_dropout_f32(void *y, const void *x, const uint8_t *mask, size_t n, int percent) {
    float *out = y;
    const float *in = x;
    const float kept = (float)((100 - percent) / 100.0);
    for (size_t i = 0; i < n; i++)
        out[i] = mask[i] ? in[i] / kept : 0;
}
