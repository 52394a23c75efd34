// AVX2 and FMA: 6 x 16 sums fill twelve of the sixteen registers.
#include "formats/cpu.h"
#include "layers/gemm_kernel_f32.h"

#include <immintrin.h>

enum { MR = 6, NR = 16, LANES = 8 };
#define VECTOR __m256
#define ZERO _mm256_setzero_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SET1 _mm256_set1_ps
#define FMADD _mm256_fmadd_ps
#include "layers/gemm_body_f32.h"

static void tile(const FxTileF32 *t) {
    switch (t->by_k ? t->rows : -t->rows) {
    case 1: tile_of(t, 1, true); break;
    case 2: tile_of(t, 2, true); break;
    case 3: tile_of(t, 3, true); break;
    case 4: tile_of(t, 4, true); break;
    case 5: tile_of(t, 5, true); break;
    case 6: tile_of(t, 6, true); break;
    case -1: tile_of(t, 1, false); break;
    case -2: tile_of(t, 2, false); break;
    case -3: tile_of(t, 3, false); break;
    case -4: tile_of(t, 4, false); break;
    case -5: tile_of(t, 5, false); break;
    default: tile_of(t, 6, false); break;
    }
}

// Eight k of four rows, 4 x 4 in each half: k 0 .. 3 from the low halves, 4 .. 7 from the high ones.
INLINE void transpose4(float *out, const float *in, size_t step) {
    const __m256 r0 = _mm256_loadu_ps(in), r1 = _mm256_loadu_ps(in + step);
    const __m256 r2 = _mm256_loadu_ps(in + 2 * step), r3 = _mm256_loadu_ps(in + 3 * step);
    const __m256 low01 = _mm256_unpacklo_ps(r0, r1), high01 = _mm256_unpackhi_ps(r0, r1);
    const __m256 low23 = _mm256_unpacklo_ps(r2, r3), high23 = _mm256_unpackhi_ps(r2, r3);
    const __m256 v[4] = {_mm256_shuffle_ps(low01, low23, 0x44), _mm256_shuffle_ps(low01, low23, 0xee),
                         _mm256_shuffle_ps(high01, high23, 0x44), _mm256_shuffle_ps(high01, high23, 0xee)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(out + i * NR, _mm256_castps256_ps128(v[i]));
        _mm_storeu_ps(out + (4 + i) * NR, _mm256_extractf128_ps(v[i], 1));
    }
}

static void transpose(float *out, const float *in, size_t step, size_t k) {
    size_t i = 0;
    for (; i + 8 <= k; i += 8)
        for (size_t j = 0; j < NR; j += 4)
            transpose4(out + i * NR + j, in + j * step + i, step);
    transpose_rest(out, in, step, i, k);
}

const FxKernelF32 fx_gemm_avx2_f32 = {
    .name = "avx2", .cpu = FX_CPU_AVX2, .mr = MR, .nr = NR, .tile = tile, .transpose = transpose,
};
