// AVX-512 VNNI: byte panels for vpdpbusd, int16 panels for vpdpwssd. 12 x 32 sums fill 24 of the 32 registers.
// vpdpbusd multiplies unsigned by signed bytes, so int8 codes on the left are stored lifted by 128.
#include "formats/cpu.h"
#include "layers/gemm_pack512.h"

enum { MR = FX_GEMM512_MR, NR = FX_GEMM512_NR, LANES = FX_GEMM512_LANES };

static void pack_left8(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    if (in->type == FX_INT8)
        fx_gemm512_left(panels, panel_bytes, k0, in, FX_INT8, FX_INT8);
    else
        fx_gemm512_left(panels, panel_bytes, k0, in, FX_UINT8, FX_INT8);
}

static void pack_right8(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    if (in->lift)
        fx_gemm512_right(panels, panel_bytes, k0, in, FX_INT8, FX_INT8, true);
    else
        fx_gemm512_right(panels, panel_bytes, k0, in, FX_INT8, FX_INT8, false);
}

static void pack_left16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm512_left16(panels, panel_bytes, k0, in);
}

static void pack_right16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm512_right16(panels, panel_bytes, k0, in);
}

static inline void start_tile(__m512i sum[MR][2], const __m512i *start) {
#pragma GCC unroll 12
    for (int r = 0; r < MR; r++) {
        sum[r][0] = _mm512_loadu_si512(start);
        sum[r][1] = _mm512_loadu_si512(start + 1);
    }
}

static inline void store_tile(int32_t *out, size_t ldc, __m512i sum[MR][2], FxGemmStore store) {
#pragma GCC unroll 12
    for (int r = 0; r < MR; r++, out += ldc) {
        if (store == FX_GEMM_STREAM) {
            _mm512_stream_si512((__m512i *)out, sum[r][0]);
            _mm512_stream_si512((__m512i *)(out + LANES), sum[r][1]);
            continue;
        }
        if (store == FX_GEMM_ADD) {
            sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_loadu_si512(out));
            sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_loadu_si512(out + LANES));
        }
        _mm512_storeu_si512(out, sum[r][0]);
        _mm512_storeu_si512(out + LANES, sum[r][1]);
    }
}

static void tile8(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    const __m512i *y = b;
    const int32_t *x = a;
    __m512i sum[MR][2];
    start_tile(sum, y);
    y += 2;
    for (size_t k = 0; k < groups; k++, x += MR, y += 2) {
        const __m512i y0 = _mm512_loadu_si512(y), y1 = _mm512_loadu_si512(y + 1);
#pragma GCC unroll 12
        for (int r = 0; r < MR; r++) {
            const __m512i v = _mm512_set1_epi32(x[r]);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], v, y0);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], v, y1);
        }
    }
    store_tile(c, ldc, sum, store);
}

static void tile16(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    const __m512i *y = b;
    const int32_t *x = a;
    __m512i sum[MR][2];
    start_tile(sum, y);
    y += 2;
    for (size_t k = 0; k < groups; k++, x += MR, y += 2) {
        const __m512i y0 = _mm512_loadu_si512(y), y1 = _mm512_loadu_si512(y + 1);
#pragma GCC unroll 12
        for (int r = 0; r < MR; r++) {
            const __m512i v = _mm512_set1_epi32(x[r]);
            sum[r][0] = _mm512_dpwssd_epi32(sum[r][0], v, y0);
            sum[r][1] = _mm512_dpwssd_epi32(sum[r][1], v, y1);
        }
    }
    store_tile(c, ldc, sum, store);
}

enum { CODES8 = 1u << FX_INT8 | 1u << FX_UINT8, CODES16 = CODES8 | 1u << FX_INT16 };

const FxGemmKernel fx_gemm_vnni16 = {
    .name = "vnni16", .cpu = FX_CPU_VNNI, .left = CODES16, .right = CODES16, .packed = FX_INT16, .acc = FX_INT32,
    .mr = MR, .nr = NR, .kr = 2, .pack_left = pack_left16, .pack_right = pack_right16, .tile = tile16,
};

const FxGemmKernel fx_gemm_vnni8 = {
    .name = "vnni8", .cpu = FX_CPU_VNNI, .left = CODES8, .right = 1u << FX_INT8, .packed = FX_INT8, .acc = FX_INT32,
    .mr = MR, .nr = NR, .kr = 4, .pack_left = pack_left8, .pack_right = pack_right8, .tile = tile8,
};
