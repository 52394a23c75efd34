// AVX2: int16 panels, vpmaddwd. 6 x 16 sums fill twelve of the sixteen registers.
#include "formats/cpu.h"
#include "layers/gemm_pack.h"

#include <immintrin.h>

enum { MR = 6, NR = 16 };

static void pack_left(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, MR, 2, 0);
}

static void pack_right(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, NR, 2, NR * sizeof(int32_t));
}

static void tile(void *c, size_t ldc, const void *a, const void *b, size_t groups, FxGemmStore store) {
    const __m256i *y = b;
    const int32_t *x = a;
    __m256i sum[MR][2];
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++) {
        sum[r][0] = _mm256_loadu_si256(y);
        sum[r][1] = _mm256_loadu_si256(y + 1);
    }
    y += 2;
    for (size_t k = 0; k < groups; k++, x += MR, y += 2) {
        const __m256i y0 = _mm256_loadu_si256(y), y1 = _mm256_loadu_si256(y + 1);
#pragma GCC unroll 6
        for (int r = 0; r < MR; r++) {
            const __m256i v = _mm256_set1_epi32(x[r]);
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(v, y0));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(v, y1));
        }
    }
    int32_t *out = c;
#pragma GCC unroll 6
    for (int r = 0; r < MR; r++, out += ldc) {
        __m256i *to = (__m256i *)out;
        if (store == FX_GEMM_ADD) {
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_loadu_si256(to));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_loadu_si256(to + 1));
        }
        _mm256_storeu_si256(to, sum[r][0]);
        _mm256_storeu_si256(to + 1, sum[r][1]);
    }
}

enum { CODES16 = 1u << FX_INT8 | 1u << FX_UINT8 | 1u << FX_INT16 };

const FxGemmKernel fx_gemm_avx2 = {
    .name = "avx2", .cpu = FX_CPU_AVX2, .left = CODES16, .right = CODES16, .packed = FX_INT16, .acc = FX_INT32,
    .mr = MR, .nr = NR, .kr = 2, .pack_left = pack_left, .pack_right = pack_right, .tile = tile,
};
