// How a product is cut into blocks and tasks: what gemm_plan.c decides and gemm.c follows.
#ifndef FX_GEMM_PLAN_H
#define FX_GEMM_PLAN_H

#include "layers/gemm.h"
#include "layers/gemm_kernel.h"

enum {
    FX_GEMM_SHARED_ROWS = 96,     // of a task of packing a shared operand; a multiple of every mr and nr
    FX_GEMM_STRIP_BYTES = 1 << 14 // of a copied patch block
};

// Both operands are cut along k into blocks whose panels fit the caches. Which operand is packed once for all
// threads and which one each thread packs for itself depends on the shape.
typedef enum FxGemmStrategy {
    FX_GEMM_SHARE_RIGHT, // many rows: the right operand is packed first; a task is a block of rows of c
    FX_GEMM_SHARE_LEFT,  // many columns: the left operand is packed first; a task is a block of columns of c
    FX_GEMM_SPLIT_K,     // long sums into a small c: a task is a range of k; the parts of c are added at the end
    FX_GEMM_BY_TAP       // images of which many taps see nothing but padding: the right operand is packed first, tap
                         // by tap; a task is one position of many images and skips the taps that fall outside
} FxGemmStrategy;

typedef struct FxGemmPlan {
    const FxProduct *product;
    const FxGemmKernel *kernel;
    FxGemmStrategy strategy;
    size_t m, n, k, k_block, k_blocks;
    size_t rows, columns;              // of a task
    int tasks, threads;
    int planes;                        // 2: right int16 codes are split into 256 * high + low
    bool direct;                       // tiles add to c itself
    bool stream;                       // and store it past the caches
    size_t left_panel, right_panel;    // bytes
    size_t shared, left, right, strip; // bytes of scratch: shared panels; each thread's panels and patches
    size_t part, sums;                 // and of a part of c; each thread's sums of FX_GEMM_BY_TAP
    char *scratch;
} FxGemmPlan;

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static inline size_t round_up(size_t x, size_t unit) {
    return (x + unit - 1) / unit * unit;
}

static inline size_t blocks(size_t x, size_t unit) {
    return (x + unit - 1) / unit;
}

static inline bool shares_right(const FxGemmPlan *p) {
    return p->strategy == FX_GEMM_SHARE_RIGHT || p->strategy == FX_GEMM_BY_TAP;
}

// Scratch of one thread: left panels, right panels, strip, sums.
static inline size_t own_bytes(const FxGemmPlan *p) {
    return p->left + p->right + p->strip + p->sums;
}

static inline char *own(const FxGemmPlan *p, int thread) {
    return p->scratch + p->shared + (size_t)thread * own_bytes(p);
}

// The plan of a product. Of its pointers only the alignment of c is looked at; the scratch does not depend on it.
FxGemmPlan fx_gemm_plan(const FxProduct *product, const FxWork *work);

// Place of tap k of output coordinate o in an image of `limit` rows or columns, or -1.
int fx_gemm_tap(const FxMatrix *a, int o, int k, int limit);

#endif
