// The kernels of gemm_f32.h, and the packing in front of them. The framework (gemm_f32.c) owns blocks, edges and
// threads; a kernel is one tile of c, which it goes through k by k.
//
// A block of the left operand lies as its view has it: line r holds row r's k, or (by_k) line k holds the rows. A
// panel of the right operand is b[k][nr]; columns past the operand's end are 0.
#ifndef FX_GEMM_KERNEL_F32_H
#define FX_GEMM_KERNEL_F32_H

#include "layers/gemm.h"

enum {
    FX_F32_TILE = 12 * 32,         // most elements of a tile
    FX_F32_PART = 128,             // k of the right operand that are transposed at a time
    FX_F32_STRIP_BYTES = 1 << 15   // of a thread, for copied patches: half codes or values, half values
};

typedef struct FxTileF32 {
    float *sums;    // rows x nr, overwritten
    size_t sums_step; // elements from row to row
    const float *a; // the first row's first k
    size_t a_step;  // elements from line to line
    const float *b;
    size_t k;
    int rows;       // 1 .. mr
    bool by_k;      // see above
    bool go_on;     // the chains go on from sums, not from +0
} FxTileF32;

typedef struct FxKernelF32 {
    const char *name;
    unsigned cpu; // needed flags
    int mr, nr;   // mr * nr <= FX_F32_TILE
    void (*tile)(const FxTileF32 *t);
    // out[k][nr] = in[nr][k], lines of `step` elements
    void (*transpose)(float *out, const float *in, size_t step, size_t k);
} FxKernelF32;

extern const FxKernelF32 fx_gemm_scalar_f32, fx_gemm_avx2_f32, fx_gemm_avx512_f32;

// Line i of the table, NULL past the last. The last usable line wins.
const FxKernelF32 *fx_gemm_kernel_f32(int i);

// A part of an operand: rows [row, row + rows), k [k0, k0 + k). unit: what a code 1 is worth.
typedef struct FxPartF32 {
    const FxMatrix *from;
    float unit;
    size_t row, rows, k0, k;
    size_t images, places; // images > 0: k = place * images + image, which the view has at image * places + place
} FxPartF32;

// Element (i, t) of the part to out[i * step + t], or out[t * step + i] where the operand lies so (patch_rows).
// strip: FX_F32_STRIP_BYTES. rows and k are at most 2048.
void fx_gemm_pack_left_f32(float *out, size_t step, const FxPartF32 *part, char *strip);

// All panels of the part, `panel` elements apart.
void fx_gemm_pack_right_f32(float *panels, size_t panel, const FxKernelF32 *kernel, const FxPartF32 *part, char *strip);

// The part itself, in memory, if the left operand needs no packing; NULL if it does.
const float *fx_gemm_left_in_place_f32(const FxPartF32 *part);

#endif
