#define FX_KERNELS_F32_TABLE fx_kernels_f32_avx512
#define FX_KERNELS_F32_CPU FX_CPU_AVX512
#include "formats/kernels_body_f32.h"
