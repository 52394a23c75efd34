#define FX_KERNELS_TABLE fx_kernels_scalar
#define FX_KERNELS_NAME "scalar"
#define FX_KERNELS_CPU FX_CPU_SCALAR
#include "formats/kernels_body.h"
