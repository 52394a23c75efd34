#define FX_MATH_F32_TABLE fx_math_f32_avx512
#define FX_MATH_F32_CPU FX_CPU_AVX512
#include "formats/math_body_f32.h"
