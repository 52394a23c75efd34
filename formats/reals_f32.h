// The one scale rule that adds reals.
#ifndef FX_REALS_F32_H
#define FX_REALS_F32_H

#include "formats/fxsim.h"

// Bits of the float32 mean of |x| over the finite ones of n elements, `stride` apart; 0 for none. Elements are rounded
// to float32 first, nearest-even.
uint32_t fx_mean_abs_f32(const void *x, FxType type, int exponent, size_t first, size_t stride, size_t n);

#endif
