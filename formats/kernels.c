#include "formats/kernels.h"

static const FxKernels *const table[] = {
    &fx_kernels_scalar,
#if defined(__x86_64__)
    &fx_kernels_avx2,
    &fx_kernels_avx512,
#endif
};

const FxKernels *fx_kernels_line(int i) {
    return i < (int)(sizeof table / sizeof table[0]) ? table[i] : NULL;
}

const FxKernels *fx_kernels(unsigned cpu) {
    const FxKernels *best = table[0];
    for (int i = 1; fx_kernels_line(i); i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}
