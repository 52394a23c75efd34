#define FX_MAP_KERNELS_TABLE fx_map_kernels_avx512
#define FX_MAP_KERNELS_CPU FX_CPU_AVX512
#include "layers/map_kernels_body.h"
