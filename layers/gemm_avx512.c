// AVX-512 without VNNI: int16 panels, vpmaddwd. 12 x 32 sums fill 24 of the 32 registers.
#include "formats/cpu.h"
#include "layers/gemm_pack512.h"

enum { MR = FX_GEMM512_MR, NR = FX_GEMM512_NR };

static void tile(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    const __m512i *y = b;
    const int32_t *x = a;
    __m512i sum[MR][2];
#pragma GCC unroll 12
    for (int r = 0; r < MR; r++) {
        sum[r][0] = _mm512_loadu_si512(y);
        sum[r][1] = _mm512_loadu_si512(y + 1);
    }
    y += 2;
    for (size_t k = 0; k < groups; k++, x += MR, y += 2) {
        const __m512i y0 = _mm512_loadu_si512(y), y1 = _mm512_loadu_si512(y + 1);
#pragma GCC unroll 12
        for (int r = 0; r < MR; r++) {
            const __m512i v = _mm512_set1_epi32(x[r]);
            sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_madd_epi16(v, y0));
            sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_madd_epi16(v, y1));
        }
    }
    int32_t *out = c;
#pragma GCC unroll 12
    for (int r = 0; r < MR; r++, out += ldc) {
        if (store == FX_GEMM_ADD) {
            sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_loadu_si512(out));
            sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_loadu_si512(out + 16));
        }
        _mm512_storeu_si512(out, sum[r][0]);
        _mm512_storeu_si512(out + 16, sum[r][1]);
    }
}

enum { CODES16 = 1u << FX_INT8 | 1u << FX_UINT8 | 1u << FX_INT16 };

static void pack_left(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm512_left16(panels, panel_bytes, k0, in);
}

static void pack_right(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm512_right16(panels, panel_bytes, k0, in);
}

const FxGemmKernel fx_gemm_avx512 = {
    .name = "avx512", .cpu = FX_CPU_AVX512, .left = CODES16, .right = CODES16, .packed = FX_INT16, .acc = FX_INT32,
    .mr = MR, .nr = NR, .kr = 2, .pack_left = pack_left, .pack_right = pack_right, .tile = tile,
};
