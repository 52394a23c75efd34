#define FX_NORM_KERNELS_TABLE fx_norm_kernels_scalar
#define FX_NORM_KERNELS_CPU FX_CPU_SCALAR
#include "layers/norm_kernels_body.h"
