// AVX-512: 12 x 32 sums fill 24 of the 32 registers.
#include "formats/cpu.h"
#include "layers/gemm_kernel_f32.h"

#include <immintrin.h>

enum { MR = 12, NR = 32, LANES = 16 };
#define VECTOR __m512
#define ZERO _mm512_setzero_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SET1 _mm512_set1_ps
#define FMADD _mm512_fmadd_ps
#include "layers/gemm_body_f32.h"

static void tile(const FxTileF32 *t) {
    switch (t->by_k ? t->rows : -t->rows) {
    case 1: tile_of(t, 1, true); break;
    case 2: tile_of(t, 2, true); break;
    case 3: tile_of(t, 3, true); break;
    case 4: tile_of(t, 4, true); break;
    case 5: tile_of(t, 5, true); break;
    case 6: tile_of(t, 6, true); break;
    case 7: tile_of(t, 7, true); break;
    case 8: tile_of(t, 8, true); break;
    case 9: tile_of(t, 9, true); break;
    case 10: tile_of(t, 10, true); break;
    case 11: tile_of(t, 11, true); break;
    case 12: tile_of(t, 12, true); break;
    case -1: tile_of(t, 1, false); break;
    case -2: tile_of(t, 2, false); break;
    case -3: tile_of(t, 3, false); break;
    case -4: tile_of(t, 4, false); break;
    case -5: tile_of(t, 5, false); break;
    case -6: tile_of(t, 6, false); break;
    case -7: tile_of(t, 7, false); break;
    case -8: tile_of(t, 8, false); break;
    case -9: tile_of(t, 9, false); break;
    case -10: tile_of(t, 10, false); break;
    case -11: tile_of(t, 11, false); break;
    default: tile_of(t, 12, false); break;
    }
}

// k i, 4 + i, 8 + i and 12 + i of four rows in the four lanes of out[i].
INLINE void transpose4(__m512 out[4], const float *in, size_t step) {
    const __m512 r0 = _mm512_loadu_ps(in), r1 = _mm512_loadu_ps(in + step);
    const __m512 r2 = _mm512_loadu_ps(in + 2 * step), r3 = _mm512_loadu_ps(in + 3 * step);
    const __m512 low01 = _mm512_unpacklo_ps(r0, r1), high01 = _mm512_unpackhi_ps(r0, r1);
    const __m512 low23 = _mm512_unpacklo_ps(r2, r3), high23 = _mm512_unpackhi_ps(r2, r3);
    out[0] = _mm512_shuffle_ps(low01, low23, 0x44);
    out[1] = _mm512_shuffle_ps(low01, low23, 0xee);
    out[2] = _mm512_shuffle_ps(high01, high23, 0x44);
    out[3] = _mm512_shuffle_ps(high01, high23, 0xee);
}

INLINE void transpose16(float *out, const float *in, size_t step) {
    __m512 v[4][4];
#pragma GCC unroll 4
    for (size_t q = 0; q < 4; q++)
        transpose4(v[q], in + 4 * q * step, step);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512 a = _mm512_shuffle_f32x4(v[0][i], v[1][i], 0x44);
        const __m512 b = _mm512_shuffle_f32x4(v[2][i], v[3][i], 0x44);
        const __m512 c = _mm512_shuffle_f32x4(v[0][i], v[1][i], 0xee);
        const __m512 d = _mm512_shuffle_f32x4(v[2][i], v[3][i], 0xee);
        _mm512_storeu_ps(out + i * NR, _mm512_shuffle_f32x4(a, b, 0x88));
        _mm512_storeu_ps(out + (4 + i) * NR, _mm512_shuffle_f32x4(a, b, 0xdd));
        _mm512_storeu_ps(out + (8 + i) * NR, _mm512_shuffle_f32x4(c, d, 0x88));
        _mm512_storeu_ps(out + (12 + i) * NR, _mm512_shuffle_f32x4(c, d, 0xdd));
    }
}

static void transpose(float *out, const float *in, size_t step, size_t k) {
    size_t i = 0;
    for (; i + 16 <= k; i += 16) {
        transpose16(out + i * NR, in + i, step);
        transpose16(out + i * NR + LANES, in + LANES * step + i, step);
    }
    transpose_rest(out, in, step, i, k);
}

const FxKernelF32 fx_gemm_avx512_f32 = {
    .name = "avx512", .cpu = FX_CPU_AVX512, .mr = MR, .nr = NR, .tile = tile, .transpose = transpose,
};
