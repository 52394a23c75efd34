#include "layers/bias.h"
#include "layers/map_kernels_f32.h"

#include <string.h>

enum { CHUNK = 4096 };

void fx_bias_add_f32(const FxTensor *sums, const FxTensor *bias, size_t first, size_t n, unsigned cpu) {
    const FxMapKernelsF32 *kernels = fx_map_kernels_f32(cpu);
    const size_t co = bias->count, end = first + n;
    for (size_t i = first; i < end;) {
        size_t c = i % co, length = co - c < end - i ? co - c : end - i;
        kernels->add((float *)sums->data + i, (const float *)bias->data + c, length);
        i += length;
    }
}

void fx_bias_gradient_f32(const FxTensor *e, const FxTensor *db, size_t first, size_t n, unsigned cpu) {
    const FxMapKernelsF32 *kernels = fx_map_kernels_f32(cpu);
    const size_t co = db->count, rows = e->count / co;
    const float *data = (const float *)e->data + first;
    float *sum = (float *)db->data + first, chunk[FX_BIAS_BLOCK] = {0};
    memset(sum, 0, n * sizeof *sum);
    for (size_t k = 0; k < rows; k++) {
        kernels->add(chunk, data + k * co, n);
        if ((k + 1) % CHUNK == 0 || k + 1 == rows) {
            kernels->add(sum, chunk, n);
            memset(chunk, 0, sizeof chunk);
        }
    }
}
