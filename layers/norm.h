// Batch norms on integers: L2, L1, range and shift, forward and backward, running statistics and folded inference.
// A tensor is [n][C], the channels running fastest: element i belongs to channel i % C. Source of every step:
// the algorithm is our own; Wu et al. 1802.09769 (L1), Banner et al. 1805.11046 (range), Hubara et al. 1602.02830 (shift).
// No floating point. Every rounding to nearest is halves-up: floor(v / 2^s + 1/2).
#ifndef FX_NORM_H
#define FX_NORM_H

#include "formats/tensor.h"
#include "layers/work.h"

#include <stdbool.h>

typedef enum FxNormKind { FX_NORM_L2, FX_NORM_L1, FX_NORM_RANGE, FX_NORM_SHIFT } FxNormKind;
typedef enum FxNormConstant { FX_NORM_PAPER, FX_NORM_CODE, FX_NORM_EXACT_D2 } FxNormConstant;
typedef enum FxNormDivision { FX_NORM_DIVIDE, FX_NORM_LUT, FX_NORM_POWER_OF_TWO } FxNormDivision;

enum { FX_NORM_EXPONENT = -16 }; // of y: value = y * 2^-16

// How a norm computes.
typedef struct FxNormRule {
    FxNormKind kind;
    int chunks;              // range: m
    FxNormConstant constant; // range
    size_t nominal;          // elements a channel of the nominal batch: range's constant belongs to it
    bool detach;             // the backward takes the scale for a constant
    int floor;               // least scale in units of d = X * 2^F - M; a power of two
    bool keep_dead;          // channels whose floor acted keep their dX
    FxNormDivision division; // how the scale's reciprocal is made
    int lut_bits;            // of the table
    bool newton;             // one step behind the table
    bool hardware_division;  // n's divisions are products with a rounded reciprocal
    int fraction;            // Fb, fraction bits of t
    bool int32_profile;      // t saturates to 16 bits
    int average_shift;       // running statistics: the weight is 2^-average_shift
    bool average_old;        // and belongs to the old value, else to the new
    bool average_pytorch;    // of floats: 0.1 for the new, variances over n - 1
} FxNormRule;

// One channel: made by the forward, read by the backward and the running statistics.
typedef struct FxNormChannel {
    int64_t num, den;    // scale's reciprocal num / den, after the floor
    int32_t mean;        // M, unit 2^(ex - F)
    int32_t R, k;        // num / den ~ R * 2^-k
    int32_t G, G_exponent; // gamma * R, 16 bits
    int32_t signs;       // L1: elements above the mean less those below
    bool floored;
    // of the backward
    int64_t dbeta;       // unit 2^(exponent of gy)
    int64_t dgamma;      // unit 2^(exponent of gy - k)
    int32_t multiplier;  // dX = t * multiplier * 2^exponent; 0 in a dead channel
    int32_t exponent;
} FxNormChannel;

// Running statistics: mean and scale s of C channels, int32, unit 2^exponent. begun: they hold something.
typedef struct FxNormRunning {
    int32_t *mean, *scale;
    int exponent;
    bool begun;
} FxNormRunning;

// Constant of the range law for chunks of n / chunks elements, times 2^16. Floating point: called when a net is built.
int32_t fx_norm_range_constant(FxNormConstant constant, size_t nominal, int chunks);

// Bytes of work->scratch that each of the functions below needs for `rows` rows, whatever the types.
size_t fx_norm_scratch(const FxNormRule *rule, size_t rows, size_t channel_count);

// y[i] = gamma * (x[i] - mean) / scale + beta, int32 of exponent -16, saturated to +-(2^31 - 1). x: int8 or int16;
// its exponents cancel. gamma, beta: int16 codes with their exponents, C = channel_count of them. Sets the channels' forward part.
void fx_norm_forward(const FxNormRule *rule, int32_t range_constant, const FxTensor *x, const FxTensor *gamma, const FxTensor *beta,
                     FxNormChannel *channels, size_t channel_count, const FxTensor *y, const FxWork *work);

// t (int32) and the channels' backward part from gy (int8 or int16), the x of the forward and its channels.
// x_exponents, gy_exponents: one a channel; NULL: the tensor's. seen: room for C; returns whether it says what stands in t.
bool fx_norm_backward(const FxNormRule *rule, int32_t range_constant, const FxTensor *x, const int32_t *x_exponents, const FxTensor *gy,
                      const int32_t *gy_exponents, FxNormChannel *channels, size_t channel_count, const FxTensor *t, FxUnitsSeen *seen, const FxWork *work);

// Takes the channels of a forward call into the running statistics; the first call begins them.
void fx_norm_average(const FxNormRule *rule, const FxTensor *x, const int32_t *x_exponents, const FxNormChannel *channels,
                     size_t channel_count, FxNormRunning *running);

// Inference: gamma, beta and the running statistics folded into a multiplier and an addend a channel; y as in the forward.
void fx_norm_infer(const FxNormRule *rule, const FxTensor *x, const int32_t *x_exponents, const FxTensor *gamma, const FxTensor *beta,
                   const FxNormRunning *running, size_t channel_count, const FxTensor *y, const FxWork *work);

#endif
