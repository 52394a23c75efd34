// What the step asks of float32 values.
#ifndef FX_VALUES_F32_H
#define FX_VALUES_F32_H

#include "formats/number.h"
#include "formats/tensor.h"

#include <stddef.h>

// pass[i] = 1 where lowest <= x[i] <= highest; a NaN passes.
void fx_pass_f32(uint8_t *pass, const void *x, size_t n, FxNumber lowest, FxNumber highest);

// The code of a value that is a multiple of 2^exponent, at most 2^24 of them.
int64_t fx_code_f32(const void *x, int exponent);

// Holds x to +-limit * 2^exponent; returns how many lay beyond.
uint64_t fx_hold_f32(void *x, size_t n, int64_t limit, int exponent);

#endif
