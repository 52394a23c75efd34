#include "layers/accumulator_body_f32.h"

const FxAccKernelsF32 fx_acc_kernels_f32_avx2 = {.cpu = FX_CPU_AVX2, .fp32 = fused_multiply_add, .transpose = transpose_words, .wide = FX_ACC_WIDE};
