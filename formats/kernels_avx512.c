#define FX_KERNELS_TABLE fx_kernels_avx512
#define FX_KERNELS_NAME "avx512"
#define FX_KERNELS_CPU FX_CPU_AVX512
#include "formats/kernels_body.h"
