// The kernels in plain C: every other kernel gives the same sums.
#include "formats/cpu.h"
#include "layers/gemm_pack.h"

enum { MR = 4, NR = 16 };

static void pack_left16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, MR, 1, 0);
}

static void pack_right16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, NR, 1, NR * sizeof(int32_t));
}

// Sums modulo 2^32: the caller keeps k so short that they fit, or wants them wrapped. A row at a time, so that
// compilers keep it in vectors.
static void tile16(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    uint32_t *out = c, sum[NR];
    for (int r = 0; r < MR; r++, out += ldc) {
        const int16_t *x = (const int16_t *)a + r, *y = (const int16_t *)((const char *)b + sizeof sum);
        memcpy(sum, b, sizeof sum);
        for (size_t k = 0; k < groups; k++, x += MR, y += NR)
#pragma GCC unroll 1
            for (int j = 0; j < NR; j++)
                sum[j] += (uint32_t)((int32_t)*x * y[j]);
        for (int j = 0; j < NR; j++)
            out[j] = sum[j] + (store == FX_GEMM_ADD ? out[j] : 0);
    }
}

static void pack_left32(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT32, MR, 1, 0);
}

static void pack_right32(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT32, NR, 1, NR * sizeof(int64_t));
}

static void tile32(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    uint64_t sum[MR][NR], *out = c;
    const int32_t *x = a, *y = (const int32_t *)((const char *)b + sizeof sum[0]);
    for (int r = 0; r < MR; r++)
        memcpy(sum[r], b, sizeof sum[r]);
    for (size_t k = 0; k < groups; k++, x += MR, y += NR)
        for (int r = 0; r < MR; r++)
            for (int j = 0; j < NR; j++)
                sum[r][j] += (uint64_t)((int64_t)x[r] * y[j]);
    for (int r = 0; r < MR; r++, out += ldc)
        for (int j = 0; j < NR; j++)
            out[j] = sum[r][j] + (store == FX_GEMM_ADD ? out[j] : 0);
}

enum {
    CODES16 = 1u << FX_INT8 | 1u << FX_UINT8 | 1u << FX_INT16,
    CODES32 = CODES16 | 1u << FX_INT32
};

const FxGemmKernel fx_gemm_scalar32 = {
    .name = "scalar32", .cpu = FX_CPU_SCALAR, .left = CODES32, .right = CODES32, .packed = FX_INT32, .acc = FX_INT64,
    .mr = MR, .nr = NR, .kr = 1, .pack_left = pack_left32, .pack_right = pack_right32, .tile = tile32,
};

const FxGemmKernel fx_gemm_scalar16 = {
    .name = "scalar16", .cpu = FX_CPU_SCALAR, .left = CODES16, .right = CODES16, .packed = FX_INT16, .acc = FX_INT32,
    .mr = MR, .nr = NR, .kr = 1, .pack_left = pack_left16, .pack_right = pack_right16, .tile = tile16,
};
