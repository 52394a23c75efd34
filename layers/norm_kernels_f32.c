#define FX_NORM_KERNELS_F32_TABLE fx_norm_kernels_f32_scalar
#define FX_NORM_KERNELS_F32_CPU FX_CPU_SCALAR
#include "layers/norm_kernels_body_f32.h"

static const FxNormKernelsF32 *const table[] = {
    &fx_norm_kernels_f32_scalar,
#if defined(__x86_64__)
    &fx_norm_kernels_f32_avx2,
    &fx_norm_kernels_f32_avx512,
#endif
};

const FxNormKernelsF32 *fx_norm_kernels_f32(unsigned cpu) {
    const FxNormKernelsF32 *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}
