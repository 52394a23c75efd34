// The inner loops of the float accumulators, one table an instruction set. A tile is FX_ACC_ROWS rows by FX_ACC_LANES
// outputs; vectors run along the outputs, never along k, so that each output adds up in its own order and no bit depends on
// the instruction set. What they decide is layers/accumulator_exact.h's; what they cannot decide they hand back to it.
#ifndef FX_ACCUMULATOR_KERNELS_F32_H
#define FX_ACCUMULATOR_KERNELS_F32_H

#include "formats/cpu.h"
#include "layers/accumulator.h"

enum { FX_ACC_ROWS = 4, FX_ACC_LANES = 32 };

typedef struct FxStepsF32 FxStepsF32;

// Adds k products in groups to the sums of a tile, each group one addition rounded by `add`.
typedef void FxStepsKernelF32(FxStepsF32 *steps);

// A policy as the kernels see it: float grids with subnormals whose lowest binade is 2^low.
typedef struct FxAddF32 {
    FxStepsKernelF32 *single, *grouped; // for groups of one product and of more; NULL: the specification alone serves it
    int mantissa_bits, low;
    float most;        // larger magnitudes left the range and become this one
    bool hand_back;    // ... and the specification must say what they become
    bool draws;
    FxRoundArg round;
} FxAddF32;

struct FxStepsF32 {
    const FxAddF32 *add;
    float *sum;        // rows x FX_ACC_LANES
    const float *a;    // k x FX_ACC_ROWS
    const float *b;    // k x FX_ACC_LANES
    size_t k, rows, group;
    const uint32_t *R; // groups x rows x FX_ACC_LANES
    bool counting;
    uint64_t overflow, swamped; // added to, where counting
    bool failed;       // set: the tile's sums are void, the specification makes them
};

typedef struct FxAccKernelsF32 {
    unsigned cpu;
    // nearest-even, toward-zero and stochastic a and c of single products in 32-bit lanes, NULL where the instruction set has no
    // roundings of its own: M <= 21, or M + r <= 21, every unit and random fraction at least 2^-147, most <= 2^100, operands' product
    // below 2^100
    FxStepsKernelF32 *even, *zero, *stochastic_a, *stochastic_c;
    FxStepsKernelF32 *fp32; // fmaf, where the instruction set has it
    // out[j * step + lane] = in[lane * in_step + j] for j < n, maybe up to the next multiple of 16, and all lanes
    void (*transpose)(uint32_t *out, size_t step, const uint32_t *in, size_t in_step, size_t n);
    // 64-bit lanes: any grid, operands and rounding with 2 + M + r <= 50. [single, grouped][mode]
    FxStepsKernelF32 *wide[2][FX_ROUND_MODES];
} FxAccKernelsF32;

// The last table line whose flags are all in cpu.
const FxAccKernelsF32 *fx_acc_kernels_f32(unsigned cpu);

extern const FxAccKernelsF32 fx_acc_kernels_f32_scalar, fx_acc_kernels_f32_avx2, fx_acc_kernels_f32_avx512;

#endif
