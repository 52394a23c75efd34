// Channels with units of their own by stochastic rounding, on AVX-512: products, words, shifts, clamping and counts in registers.
// A shift is the bits of a word less those dropped of it. Counts are of whole vectors, of lanes as narrow as the codes allow.
#ifndef FX_UNITS_AVX512_H
#define FX_UNITS_AVX512_H

#include "formats/kernels.h"

#include <immintrin.h>

#define INLINE __attribute__((always_inline)) static inline

enum { UNITS_LANES = 16, UNITS_STEP = 64 };

// Lanes of `live` alone are read; the others are 0.
INLINE __m512i units_products32(const int32_t *x, const int32_t *multiplier, const uint32_t *drop, const uint32_t *R, __m512i bits, __mmask16 live) {
    const __m512i k = _mm512_maskz_loadu_epi32(live, drop), r = _mm512_srlv_epi32(_mm512_maskz_loadu_epi32(live, R), k);
    const __m512i v = _mm512_mullo_epi32(_mm512_maskz_loadu_epi32(live, x), _mm512_maskz_loadu_epi32(live, multiplier));
    return _mm512_srav_epi32(_mm512_add_epi32(v, r), _mm512_sub_epi32(bits, k));
}

// Even and odd lanes apart in 64 bits. The results have 32 bits, which no sign shifted in reaches: shifts are at most 32.
INLINE __m512i units_products64(const int32_t *x, const int32_t *multiplier, const uint32_t *drop, const uint32_t *R, __m512i bits, __mmask16 live) {
    const __m512i low = _mm512_set1_epi64(UINT32_MAX);
    const __m512i a = _mm512_maskz_loadu_epi32(live, x), b = _mm512_maskz_loadu_epi32(live, multiplier), k = _mm512_maskz_loadu_epi32(live, drop);
    const __m512i r = _mm512_srlv_epi32(_mm512_maskz_loadu_epi32(live, R), k), s = _mm512_sub_epi32(bits, k);
    __m512i even = _mm512_mul_epi32(a, b), odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    even = _mm512_srlv_epi64(_mm512_add_epi64(even, _mm512_and_si512(r, low)), _mm512_and_si512(s, low));
    odd = _mm512_srlv_epi64(_mm512_add_epi64(odd, _mm512_srli_epi64(r, 32)), _mm512_srli_epi64(s, 32));
    return _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
}

typedef __m512i UnitsProducts(const int32_t *x, const int32_t *multiplier, const uint32_t *drop, const uint32_t *R, __m512i bits, __mmask16 live);

INLINE uint32_t units_count(uint64_t lanes) {
    return (uint32_t)__builtin_popcountll(lanes);
}

// Beyond 16 bits saturates to 16 bits first, which is as far outside of codes of 8.
INLINE void units_int8(UnitsProducts *products, int8_t *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R,
                       FxBlockCounts *counts) {
    const __m512i bits = _mm512_set1_epi32((int32_t)t->bits), low = _mm512_set1_epi16((int16_t)t->low), high = _mm512_set1_epi16((int16_t)t->high);
    const __m512i low8 = _mm512_set1_epi8((int8_t)t->low), high8 = _mm512_set1_epi8((int8_t)t->high);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); // packing goes by parts of 128 bits
    FxBlockCounts c = {0};
    for (size_t i = 0; i < n; i += UNITS_STEP) {
        const uint64_t live = n - i < UNITS_STEP ? (UINT64_C(1) << (n - i)) - 1 : UINT64_MAX;
        __m512i q[UNITS_STEP / UNITS_LANES];
        for (size_t j = 0; j < UNITS_STEP / UNITS_LANES; j++) {
            const size_t k = i + j * UNITS_LANES;
            q[j] = products(x + k, t->multiplier + at + k, t->word + at + k, R + k, bits, (__mmask16)(live >> j * UNITS_LANES));
        }
        const __m512i a = _mm512_packs_epi32(q[0], q[1]), b = _mm512_packs_epi32(q[2], q[3]);
        const __m512i held_a = _mm512_min_epi16(_mm512_max_epi16(a, low), high), held_b = _mm512_min_epi16(_mm512_max_epi16(b, low), high);
        const __m512i codes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(held_a, held_b));
        c.saturated += units_count(_mm512_cmpneq_epi16_mask(a, held_a)) + units_count(_mm512_cmpneq_epi16_mask(b, held_b)); // 0 is a code
        c.zeros_out += units_count(_mm512_testn_epi8_mask(codes, codes) & live);
        c.at_limit += units_count((_mm512_cmpeq_epi8_mask(codes, low8) | _mm512_cmpeq_epi8_mask(codes, high8)) & live);
        _mm512_mask_storeu_epi8(y + i, live, codes);
    }
    counts->saturated += c.saturated;
    counts->zeros_out += c.zeros_out;
    counts->at_limit += c.at_limit;
}

INLINE void units_int16(UnitsProducts *products, int16_t *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R,
                        FxBlockCounts *counts) {
    const __m512i bits = _mm512_set1_epi32((int32_t)t->bits), low = _mm512_set1_epi32(t->low), high = _mm512_set1_epi32(t->high);
    FxBlockCounts c = {0};
    for (size_t i = 0; i < n; i += UNITS_LANES) {
        const __mmask16 live = (__mmask16)(n - i < UNITS_LANES ? (1u << (n - i)) - 1 : UINT16_MAX);
        const __m512i q = products(x + i, t->multiplier + at + i, t->word + at + i, R + i, bits, live);
        const __m512i codes = _mm512_min_epi32(_mm512_max_epi32(q, low), high);
        c.saturated += units_count(_mm512_cmpneq_epi32_mask(q, codes));
        c.zeros_out += units_count((uint32_t)_mm512_testn_epi32_mask(codes, codes) & live);
        c.at_limit += units_count((uint32_t)(_mm512_cmpeq_epi32_mask(codes, low) | _mm512_cmpeq_epi32_mask(codes, high)) & live);
        _mm512_mask_cvtepi32_storeu_epi16(y + i, live, codes);
    }
    counts->saturated += c.saturated;
    counts->zeros_out += c.zeros_out;
    counts->at_limit += c.at_limit;
}

static void units_short_avx512(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    if (t->type == FX_INT8)
        units_int8(units_products32, y, x, n, t, at, R, counts);
    else
        units_int16(units_products32, y, x, n, t, at, R, counts);
}

static void units_stochastic_avx512(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts) {
    if (t->type == FX_INT8)
        units_int8(units_products64, y, x, n, t, at, R, counts);
    else
        units_int16(units_products64, y, x, n, t, at, R, counts);
}

#undef INLINE

#endif
