// The float accumulators that fx_gemm_f32 serves: fp32 without counts as it stands, and single products rounded toward zero, to
// nearest-even or stochastically where the instruction set has kernels for them (gemm_rounded_f32.h).
#ifndef FX_ACCUMULATOR_GEMM_F32_H
#define FX_ACCUMULATOR_GEMM_F32_H

#include "layers/accumulator_f32.h"

// Arguments as fx_accumulate_f32 has them. false: it is not served, or a sum left a grid that then has Inf; the result is void and
// counts are as they were.
bool fx_accumulate_gemm_f32(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxRandom *random, const FxWork *work,
                            FxAccumulatorCountsF32 *counts);

// Bytes of scratch with which no accumulator of chunks up to 4096 is refused for want of it.
size_t fx_accumulate_gemm_f32_scratch(const FxAccumulateF32 *product, const FxWork *work);

#endif
