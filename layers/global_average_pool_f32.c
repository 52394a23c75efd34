#include "layers/global_average_pool.h"
#include "layers/map_kernels_f32.h"

#include <string.h>

enum { CHUNK = 4096 };

void fx_gap_forward_f32(void *y, const void *x, size_t positions, size_t channels, unsigned cpu) {
    const FxMapKernelsF32 *kernels = fx_map_kernels_f32(cpu);
    for (size_t c = 0, n; c < channels; c += n) {
        n = channels - c < FX_GAP_BLOCK ? channels - c : FX_GAP_BLOCK;
        float sum[FX_GAP_BLOCK] = {0}, chunk[FX_GAP_BLOCK] = {0}, *out = (float *)y + c;
        for (size_t i = 0; i < positions; i++) {
            kernels->add(chunk, (const float *)x + i * channels + c, n);
            if ((i + 1) % CHUNK == 0 || i + 1 == positions) {
                kernels->add(sum, chunk, n);
                memset(chunk, 0, sizeof chunk);
            }
        }
        for (size_t j = 0; j < n; j++)
            out[j] = sum[j] / (float)positions;
    }
}

void fx_gap_backward_f32(void *dx, const void *e, size_t positions, size_t channels) {
    float *out = dx;
    const float *in = e;
    for (size_t c = 0; c < channels; c++)
        out[c] = in[c] / (float)positions;
    for (size_t i = 1; i < positions; i++)
        memcpy(out + i * channels, out, channels * sizeof *out);
}
