// Addition of tensors whose exponents differ: what a residual block hands on, and errors that meet at a fork.
#ifndef FX_ADD_H
#define FX_ADD_H

#include "formats/tensor.h"
#include "layers/work.h"

enum { FX_MOST_ADDENDS = 64 };

// A tensor of codes, value = x[i] * 2^x->exponent; or, as a norm hands down its error, of int32 with a factor a channel:
// value = x[i] * multiplier[c] * 2^exponent[c], c = i % channels, |exponent| < 2^30. multiplier and exponent: both or neither.
typedef struct FxAddend {
    const FxTensor *x;
    const int32_t *multiplier, *exponent;
    size_t channels; // divides the count; 0 without multipliers
} FxAddend;

// y (int64) and *exponent: the sum of 1 to 64 addends of equal count, int8 to int64 in any mix. e is the least exponent of the
// addends that are not all zero (of channels: of those whose products are not all zero), but at least the largest of them
// minus 24. Each product is held to +-(2^38 - 1), then shifted left exactly, or right where its exponent is below e,
// rounding halves up: floor(v / 2^s + 1/2). All addends zero: y = 0, exponent of the first (of channels: their largest).
// The sum is exact below 2^62, what casts can read. It can pass that only where some addend is int64 or has multipliers; it is then held to
// +-(2^62 - 1) after each addend, in their order.
void fx_add(const FxAddend *addends, int count, const FxTensor *y, int *exponent, const FxWork *work);

// The same in float32: plain additions in the order of the addends, the first as it stands. Addends of float32 or integers;
// the latter are converted exactly, or rounded to nearest-even where float32 cannot hold code * multiplier * 2^exponent.
void fx_add_f32(const FxAddend *addends, int count, const FxTensor *y, const FxWork *work);

#endif
