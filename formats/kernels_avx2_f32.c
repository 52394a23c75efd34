#define FX_KERNELS_F32_TABLE fx_kernels_f32_avx2
#define FX_KERNELS_F32_CPU FX_CPU_AVX2
#include "formats/kernels_body_f32.h"
