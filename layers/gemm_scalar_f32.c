// The specification of the tiles of gemm_kernel_f32.h.
#include "formats/cpu.h"
#include "layers/gemm_kernel_f32.h"

#include <math.h>

enum { MR = 4, NR = 8 };

static void tile(const FxTileF32 *t) {
    const size_t row_step = t->by_k ? 1 : t->a_step, k_step = t->by_k ? t->a_step : 1;
    for (int r = 0; r < t->rows; r++) {
        float *sums = t->sums + (size_t)r * t->sums_step, acc[NR];
        const float *a = t->a + (size_t)r * row_step, *b = t->b;
        for (int j = 0; j < NR; j++)
            acc[j] = t->go_on ? sums[j] : 0.0f;
        for (size_t k = 0; k < t->k; k++, a += k_step, b += NR)
            for (int j = 0; j < NR; j++)
                acc[j] = fmaf(*a, b[j], acc[j]);
        for (int j = 0; j < NR; j++)
            sums[j] = acc[j];
    }
}

static void transpose(float *out, const float *in, size_t step, size_t k) {
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < NR; j++)
            out[i * NR + j] = in[j * step + i];
}

const FxKernelF32 fx_gemm_scalar_f32 = {
    .name = "scalar", .cpu = FX_CPU_SCALAR, .mr = MR, .nr = NR, .tile = tile, .transpose = transpose,
};
