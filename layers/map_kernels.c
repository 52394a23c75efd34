#include "layers/map_kernels.h"

static const FxMapKernels *const table[] = {
    &fx_map_kernels_scalar,
#if defined(__x86_64__)
    &fx_map_kernels_avx2,
    &fx_map_kernels_avx512,
#endif
};

const FxMapKernels *fx_map_kernels(unsigned cpu) {
    const FxMapKernels *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}
