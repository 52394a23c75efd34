#define FX_MAP_KERNELS_F32_TABLE fx_map_kernels_f32_avx512
#define FX_MAP_KERNELS_F32_CPU FX_CPU_AVX512
#include "layers/map_kernels_body_f32.h"
