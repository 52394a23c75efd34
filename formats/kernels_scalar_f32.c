#define FX_KERNELS_F32_TABLE fx_kernels_f32_scalar
#define FX_KERNELS_F32_CPU FX_CPU_SCALAR
#include "formats/kernels_body_f32.h"
