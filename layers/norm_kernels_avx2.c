#define FX_NORM_KERNELS_TABLE fx_norm_kernels_avx2
#define FX_NORM_KERNELS_CPU FX_CPU_AVX2
#include "layers/norm_kernels_body.h"
