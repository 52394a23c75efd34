#define FX_MAP_KERNELS_F32_TABLE fx_map_kernels_f32_scalar
#define FX_MAP_KERNELS_F32_CPU FX_CPU_SCALAR
#include "layers/map_kernels_body_f32.h"

static const FxMapKernelsF32 *const table[] = {
    &fx_map_kernels_f32_scalar,
#if defined(__x86_64__)
    &fx_map_kernels_f32_avx2,
    &fx_map_kernels_f32_avx512,
#endif
};

const FxMapKernelsF32 *fx_map_kernels_f32(unsigned cpu) {
    const FxMapKernelsF32 *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}
