// The kernels of gemm.h. One line a kernel: what it takes, its tile, and how its panels are packed.
// The framework owns blocking, edges and threads; a kernel computes full tiles from full panels.
//
// A panel of the left operand is a[k / kr][mr][kr]. A panel of the right operand is nr start values of the sums'
// type, then b[k / kr][nr][kr]. Columns past the operand's end hold anything, k past its end holds codes whose
// products are 0. A kernel may store left codes lifted (int8 code + 128, as an unsigned byte); the start values
// then take 128 * (sum over k of b) off again, modulo 2^32.
#ifndef FX_GEMM_KERNEL_H
#define FX_GEMM_KERNEL_H

#include "formats/tensor.h"

#include <stdbool.h>

// Rows of one operand in memory: row-major lines, a line is a row (k runs along it) or, if k_is_row, one k.
typedef struct FxGemmBlock {
    const void *data;
    FxType type;
    size_t stride;  // bytes from line to line
    size_t rows, k;
    bool k_is_row;
    bool lift; // right operand only: the left one is signed
} FxGemmBlock;

// Packs a block at k0 of panels that are panel_bytes apart. The parts of a panel are packed with ascending k0; k0 and,
// except in the last part, in.k are multiples of FX_GEMM_STEP. May fill the last step up with codes 0.
typedef void FxGemmPack(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in);
enum { FX_GEMM_STEP = 16, FX_GEMM_TILE_BYTES = 4096 };

// STREAM: SET past the caches where the kernel can; c and its rows are then 64-byte aligned.
typedef enum FxGemmStore { FX_GEMM_SET, FX_GEMM_ADD, FX_GEMM_STREAM } FxGemmStore;

typedef struct FxGemmKernel {
    const char *name;
    unsigned cpu;         // needed flags
    unsigned left, right; // operand types taken: 1 << FxType
    FxType packed, acc;   // element type of the panels (int8: bytes of either sign), type of the sums
    int mr, nr, kr;       // mr * nr sums in at most FX_GEMM_TILE_BYTES
    FxGemmPack *pack_left, *pack_right;
    // c (row stride ldc, in elements of acc) = start values + (ADD: c) + sum over k < groups * kr of a * b.
    void (*tile)(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store);
} FxGemmKernel;

extern const FxGemmKernel fx_gemm_scalar32, fx_gemm_scalar16, fx_gemm_avx2, fx_gemm_avx512, fx_gemm_vnni16,
    fx_gemm_vnni8;

// Line i of the table, NULL past the last. The last usable line of the operand types wins.
const FxGemmKernel *fx_gemm_kernel(int i);

#endif
