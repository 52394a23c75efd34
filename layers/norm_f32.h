// Batch norms on float32: L2, L1, range and shift, in pieces, so that mean, scale and xhat can be rounded between them.
// Tensors are float32, exponent 0. x, y, gy, dx, xhat are [n][C], the channels running fastest: element i belongs to channel
// i % C; all others hold C = mean->count values, one a channel. 2 <= n <= 2^24 where statistics are made. No output may share
// memory with an input, but for the places that say so.
//
// Order of every sum over a channel: blocks of FX_NORM_BLOCK rows, added in row order from +0, then the blocks' sums in order
// from +0, all in float32. Its error is below (FX_NORM_BLOCK + n / FX_NORM_BLOCK) * 2^-24 of the sum of the addends' magnitudes,
// some 1e-7 of it on ordinary data. The same bytes on any number of threads and any instruction set.
// work->scratch: fx_norm_scratch_f32 bytes, of every function here that takes work.
// Sources: Ioffe, Szegedy 1502.03167 (L2), Wu et al. 1802.09769 (L1), Banner et al. 1805.11046 (range), Hubara et al.
// 1602.02830 (shift).
#ifndef FX_NORM_F32_H
#define FX_NORM_F32_H

#include "layers/norm.h"

enum { FX_NORM_BLOCK = 256 };
#define FX_NORM_EPSILON 1e-5f

// Running statistics. L2 with `unbiased` (PyTorch's rule: weight 0.1 on the new) keeps the variance times n / (n - 1), without
// epsilon, and starts from mean 0, variance 1. Everything else keeps the scale as the norm divides by it, epsilon included,
// and starts from the first batch's own.
typedef struct FxNormAverageF32 {
    float weight;  // 0 <= weight <= 1
    bool old;      // the weight belongs to the old value, else to the new
    bool unbiased; // L2 alone; others ignore it
} FxNormAverageF32;

// What rule->average_shift and rule->average_old say, in float32: weight 2^-average_shift, not unbiased.
FxNormAverageF32 fx_norm_average_of_rule(const FxNormRule *rule);

size_t fx_norm_scratch_f32(const FxNormRule *rule, size_t n, size_t channels);

// K of range, rounded once from float64: paper 1 / sqrt(2 ln c), code 0.175 (1 + sqrt(pi ln 4)) / sqrt(2 ln c), exact_d2 linear
// in log2 c between the table's 16-bit entries, its ends held; c = nominal / chunks rounded down, at least 2.
float fx_norm_range_constant_f32(FxNormConstant constant, size_t nominal, int chunks);

// The power of two nearest to |v| in the logarithm, with v's sign; AP2 of the shift norm. 0: 0. Subnormals: 0 or 2^-126.
float fx_norm_power_of_two(float v);

// mean = sum x / n
void fx_norm_mean_f32(const FxTensor *x, const FxTensor *mean, const FxWork *work);

// What the norm divides by; d = x - mean, m = min(chunks, n), chunk c the rows [floor(c n / m), floor((c + 1) n / m)):
// L2: sqrt(mean d^2 + eps). L1: sqrt(pi/2) mean |d| + eps. range: K / m sum over chunks (max - min) + eps, K of rule->nominal.
// shift: 2^q with 2^(2q-1) <= mean |d| |AP2(d)| + eps < 2^(2q+1).
void fx_norm_scale_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxWork *work);

// y = fmaf(gamma * r, x - mean, beta), r = 1 / scale; shift: AP2(gamma) for gamma. y may be x.
void fx_norm_apply_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *gamma,
                       const FxTensor *beta, const FxTensor *y, const FxWork *work);

// The same in two steps, for an xhat that is rounded: xhat = (x - mean) * r, which may be x;
void fx_norm_xhat_f32(const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *xhat, const FxWork *work);
// and y = fmaf(gamma, xhat, beta), shift: AP2(gamma). y may be xhat.
void fx_norm_affine_f32(const FxNormRule *rule, const FxTensor *xhat, const FxTensor *gamma, const FxTensor *beta, const FxTensor *y,
                        const FxWork *work);

// gy is the loss's derivative by y; mean and scale are those that the forward used, rounded ones passed straight through.
// dbeta = sum gy, dgamma = r sum gy d, dx = gamma r (gy - mean gy - t):
// L2: t = d r dgamma / n. L1: t = sqrt(pi/2) dgamma / n (sgn d - mean sgn d), sgn 0 = 0. range: t = +-K dgamma / m at the first
// maximum (+) and the first minimum (-) of each chunk, 0 elsewhere and where both are one element.
// shift: as L2 with AP2(d) for d, in dgamma too, and AP2(gamma) for gamma: the authors' code. rule->detach: t = 0.
// dx may be NULL (not wanted) or gy.
void fx_norm_backward_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *gamma,
                          const FxTensor *gy, const FxTensor *dgamma, const FxTensor *dbeta, const FxTensor *dx, const FxWork *work);

// Takes a batch of n elements a channel into the running statistics: run = fmaf(weight, new - run, run), or with the weight on
// the old fmaf(weight, run - new, new). The unbiased variance is new = max(scale^2 - eps, 0) * (n / (n - 1)), n >= 2.
// begun: they hold something; otherwise running_mean and running_scale are only written, starting as FxNormAverageF32 says.
void fx_norm_average_f32(const FxNormRule *rule, const FxNormAverageF32 *average, const FxTensor *mean, const FxTensor *scale, size_t n,
                         bool begun, const FxTensor *running_mean, const FxTensor *running_scale);

// Inference: fx_norm_apply_f32 with the running mean and the scale that belongs to the running one: itself, of an unbiased
// variance sqrt(variance + eps), of shift AP2. y may be x.
void fx_norm_infer_f32(const FxNormRule *rule, const FxNormAverageF32 *average, const FxTensor *x, const FxTensor *running_mean,
                       const FxTensor *running_scale, const FxTensor *gamma, const FxTensor *beta, const FxTensor *y, const FxWork *work);

#endif
