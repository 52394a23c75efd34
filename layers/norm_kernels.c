#include "layers/norm_kernels.h"

static const FxNormKernels *const table[] = {
    &fx_norm_kernels_scalar,
#if defined(__x86_64__)
    &fx_norm_kernels_avx2,
    &fx_norm_kernels_avx512,
#endif
};

const FxNormKernels *fx_norm_kernels(unsigned cpu) {
    const FxNormKernels *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}
