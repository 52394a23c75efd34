// Sums over the elements of whole tensors, as optimisers need them: exact on integers, one fused operation on float32.
#ifndef FX_LINEAR_H
#define FX_LINEAR_H

#include "formats/decimal.h"
#include "formats/tensor.h"
#include "layers/work.h"

// out = a * x + y; y NULL: nothing. out->type FX_INT64: x, y integers, exact, at the finer of the two units, which out
// receives; FX_FLOAT32: fmaf(a, x, y) of the values, which float32 holds. a = 0 drops its term.
void fx_multiply_add(FxTensor *out, FxScalar a, const FxTensor *x, const FxTensor *y, const FxWork *work);

// The float32 half of it.
void fx_multiply_add_f32(const FxTensor *out, FxScalar a, const FxTensor *x, const FxTensor *y, const FxWork *work);

// out = x / divisor, float32.
void fx_divide_f32(const FxTensor *out, const FxTensor *x, FxScalar divisor, const FxWork *work);

// adam (Kingma and Ba 1412.6980): m' = m + (1 - beta1)(g - m); v' = v + (1 - beta2)(g^2 - v), fused; all float32.
void fx_adam_means_f32(const FxTensor *m_out, const FxTensor *v_out, const FxTensor *g, const FxTensor *m, const FxTensor *v,
                       FxScalar beta1, FxScalar beta2, const FxWork *work);
// w' = w - (rate * m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon), left to right in float32.
void fx_adam_step_f32(const FxTensor *out, const FxTensor *w, const FxTensor *m, const FxTensor *v, FxScalar rate, FxScalar beta1,
                      FxScalar beta2, FxScalar epsilon, uint64_t t, const FxWork *work);

#endif
