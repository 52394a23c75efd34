// The bias of a product: one value a channel, added to its finished sums; and the bias's gradient.
#ifndef FX_BIAS_H
#define FX_BIAS_H

#include "layers/layer.h"

// sums[i] += bias[i % co], co = bias->count: one last outer addition. Integers: bias of any type, in units that are a multiple
// of the sums' (bias->exponent - sums->exponent = 0..62, |bias| * 2^that within 62 bits, as proved when the net was
// built), added under the accumulator's last policy; counts (NULL: not wanted) as fx_accumulate. float32: both float32, one
// addition each; policy and counts are not read.
void fx_bias_add(const FxTensor *sums, const FxTensor *bias, const FxPolicy *policy, const FxWork *work, FxAccumulatorCounts *counts);

// db[c] = sum of e[k * co + c] over k = (n, h, w), co = db->count. Integers: int8, uint8, int16 or int32 into int64, exact.
// float32: chunks of 4096 in k, ascending, chunk sums added ascending from +0.
void fx_bias_gradient(const FxTensor *e, const FxTensor *db, const FxWork *work);

// Channels that one task of the gradient sums: fixed by the problem, never by the thread count.
enum { FX_BIAS_BLOCK = 64 };

// The float32 parts, for bias.c: elements [first, first + n) of the sums; channels [first, first + n) of the gradient.
void fx_bias_add_f32(const FxTensor *sums, const FxTensor *bias, size_t first, size_t n, unsigned cpu);
void fx_bias_gradient_f32(const FxTensor *e, const FxTensor *db, size_t first, size_t n, unsigned cpu);

#endif
