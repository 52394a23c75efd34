// Codes as float32 values.
#ifndef FX_VALUES_OF_CODES_F32_H
#define FX_VALUES_OF_CODES_F32_H

#include "formats/tensor.h"

// y[i] = x[first + i] * 2^x->exponent as float32, integers to nearest-even; -100 <= exponent <= 60. Returns how many are 0.
uint64_t fx_values_f32(void *y, const FxTensor *x, size_t first, size_t n);

#endif
