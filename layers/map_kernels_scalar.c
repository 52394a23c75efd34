#define FX_MAP_KERNELS_TABLE fx_map_kernels_scalar
#define FX_MAP_KERNELS_CPU FX_CPU_SCALAR
#include "layers/map_kernels_body.h"
