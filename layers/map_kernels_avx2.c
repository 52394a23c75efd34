#define FX_MAP_KERNELS_TABLE fx_map_kernels_avx2
#define FX_MAP_KERNELS_CPU FX_CPU_AVX2
#include "layers/map_kernels_body.h"
