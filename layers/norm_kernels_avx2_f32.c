#define FX_NORM_KERNELS_F32_TABLE fx_norm_kernels_f32_avx2
#define FX_NORM_KERNELS_F32_CPU FX_CPU_AVX2
#include "layers/norm_kernels_body_f32.h"
