// float32 matrix products in a defined order: every bit of c is part of the result.
//
// c[m][n] is a chain of fused multiply-adds over k ascending, acc = fmaf(a(m, k), b(n, k), acc), from +0. `chunk` cuts
// k into chunks of so many products, each a chain of its own from +0; their sums are added ascending, c = c + sum,
// from +0, a single chunk's too (specs/formats.md 12.8). Without chunks a sum can be -0 (a negative product that
// underflows), with them it cannot. A tap outside of an image or off the stride is the product 0 * w in its place in k,
// hence NaN where w is Inf. Which NaN a NaN is, is not defined. Rounding is to nearest even, subnormals are kept.
// images_last: the k of operands whose rows are patches goes by place (oy, ox) of the left one's image and there by image.
// Vectors run across outputs only, so that neither instruction set nor blocks nor threads change a bit.
#ifndef FX_GEMM_F32_H
#define FX_GEMM_F32_H

#include "layers/gemm.h"

struct FxRoundingF32;

// An operand's type is FX_FLOAT32 (its exponent is 0, or no value loses by it) or FX_INT8, FX_UINT8, FX_INT16, FX_INT32: codes of the value
// code * 2^exponent, made float32 while they are packed. That is exact: exponent >= -149, and no value of the type
// reaches 2^128, which is asserted; int32 codes lie in [-2^24, 2^24], which the caller has proved.
typedef struct FxProductF32 {
    FxMatrix a, b; // a: m rows, b: n rows, the same k
    int a_exponent, b_exponent;
    float *c;      // m x n, row-major, overwritten
    size_t chunk;  // products of a chunk, 0: no chunks
    bool images_last;
    const struct FxRoundingF32 *rounding; // NULL, or how every sum is rounded: gemm_rounded_f32.h, where the cpu has such kernels
} FxProductF32;

// Bytes of work->scratch that fx_gemm_f32 needs for this product, threads and cpu (pointers are not read). Not
// monotone, like fx_gemm_scratch.
size_t fx_gemm_f32_scratch(const FxProductF32 *product, const FxWork *work);

void fx_gemm_f32(const FxProductF32 *product, const FxWork *work);

#endif
