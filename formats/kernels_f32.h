// The inner loops from float32 to float and fixed grids, one table an instruction set, all from the same source
// (kernels_body_f32.h). The numbers stay bit fields: a float appears only where an integer becomes a value, exactly.
// Two passes over a block that stays in the first cache: round[mode] makes integers of the grid's unit, finish_* makes
// codes or values of them and counts. What they decide is fx_encode's; a test holds them against it.
#ifndef FX_KERNELS_F32_H
#define FX_KERNELS_F32_H

#include "formats/cpu.h"
#include "formats/kernels.h"

// A grid as the kernels see it. lowest (an array, so that blocks of one pass may have scales of their own): the float32
// exponent field at which the grid's lowest binade begins, scale included; fixed grids: 150 + log2 of the unit.
typedef struct FxGridF32 {
    bool is_fixed, uniform; // uniform: `lowest` is the same everywhere
    int mantissa_bits;      // float grids
    uint32_t limit;         // float grids: largest finite magnitude code
    uint32_t beyond;        // float grids, one pass: (exponent field above the limit's - lowest) << 23
    uint32_t limit_value;   // float32 bits of the largest finite value less those of 2^(lowest - 127)
    uint32_t over, inf, nan;                    // codes without sign of finite overflow, Inf, NaN
    int sign_shift;         // float grids: from float32's sign bit down to the code's
    bool negative_zero;     // -0 exists; where it does not, its code is NaN
    bool unsigned_nan;      // there is no NaN: one in becomes the largest value, without its sign
    int32_t low, high;      // fixed grids
} FxGridF32;

// What a block did; added up by the caller.
typedef struct FxCountsF32 {
    uint32_t saturated, underflowed, zeros_in, zeros_out, nonfinite, at_limit;
    uint32_t max; // bits of the largest finite magnitude
} FxCountsF32;

typedef void FxRoundF32(int32_t *n, const uint32_t *x, const int32_t *lowest, size_t count, const FxGridF32 *grid, const uint32_t *R,
                        const FxRoundArg *arg);
typedef void FxFinishF32(void *y, const uint32_t *x, const int32_t *n, const int32_t *lowest, size_t count, const FxGridF32 *grid,
                         FxCountsF32 *counts);

typedef void FxFusedF32(void *y, const uint32_t *x, const int32_t *lowest, size_t count, const FxGridF32 *grid, const uint32_t *R,
                        const FxRoundArg *arg, FxCountsF32 *counts);

typedef struct FxKernelsF32 {
    unsigned cpu;
    FxRoundF32 *few[FX_ROUND_MODES];   // 32-bit arithmetic; random bits: r <= 28 - M on float grids, r <= 28 - W on fixed ones
    FxRoundF32 *round[FX_ROUND_MODES]; // 64-bit arithmetic by the laws of round_body.h, where `few` has none or too few bits
    FxRoundF32 *stochastic_c32;        // stochastic c of 32 random bits, in 32-bit arithmetic
    FxFinishF32 *values_direct; // float grids whose lowest binade is float32's: a value's bits are its code's
    FxFinishF32 *values, *codes8, *codes16, *codes32; // float grids
    FxFinishF32 *values_fixed, *codes8_fixed, *codes16_fixed, *codes32_fixed;
    // One pass, saturating, for blocks without Inf and NaN: [float, float with float32's lowest binade, fixed][nearest-even,
    // stochastic c][values, 8-bit, 16-bit codes]. The unit no subnormal; M + r <= 21, direct r <= 23 - M, fixed W + r <= 21.
    FxFusedF32 *fused[3][2][3];
    FxFusedF32 *same; // float32 on its own grid, without Inf and NaN: copied and counted
    uint32_t (*max_finite)(const uint32_t *x, size_t n); // bits of the largest finite magnitude
    // max[b]: the largest magnitude bits, Inf and NaN included, of elements b * block .. of n
    void (*block_max)(uint32_t *max, const uint32_t *x, size_t n, size_t block);
} FxKernelsF32;

// The last table line whose flags are all in cpu.
const FxKernelsF32 *fx_kernels_f32(unsigned cpu);

extern const FxKernelsF32 fx_kernels_f32_scalar, fx_kernels_f32_avx2, fx_kernels_f32_avx512;

#endif
