#include "layers/accumulator_body_f32.h"

const FxAccKernelsF32 fx_acc_kernels_f32_scalar = {.cpu = FX_CPU_SCALAR, .transpose = transpose_words, .wide = FX_ACC_WIDE};
