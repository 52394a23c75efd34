#define FX_KERNELS_TABLE fx_kernels_avx2
#define FX_KERNELS_NAME "avx2"
#define FX_KERNELS_CPU FX_CPU_AVX2
#include "formats/kernels_body.h"
