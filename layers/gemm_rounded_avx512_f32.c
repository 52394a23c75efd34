// Rounded sums with AVX-512, whose fused multiply-add has a rounding of its own: toward zero it is the first step of that law,
// and rounded down and once more rounded up it gives the two neighbours of the exact sum; the one whose last bit is set is
// that sum rounded to odd, which rounds further as the exact sum would.
#include "layers/gemm_rounded_f32.h"

#include "formats/philox.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { V = 16, VECTORS = FX_ROUNDED_COLUMNS / V, SMALLER_KEEPING_SIGN = 2 };
enum { DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC, UP = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC,
       CUT = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC };

typedef struct Constants {
    __m512i kept, last, half, one; // all bits but the dropped; the last kept one; below half of it. Stochastic c: of 2^-r of it
    __m512 most;
    __m128i word_right, word_left; // shifts of a word of 8 bits to r bits, and on to its place
} Constants;

INLINE Constants constants_of(const FxStepF32 *s) {
    int drop = 23 - s->mantissa_bits, fine = s->law == FX_LAW_STOCHASTIC_C ? drop - s->random_bits : drop;
    return (Constants){
        .kept = _mm512_set1_epi32(-(1 << drop)), .last = _mm512_set1_epi32(1 << fine), .half = _mm512_set1_epi32((1 << (fine - 1)) - 1),
        .one = _mm512_set1_epi32(1), .most = _mm512_set1_ps(s->most), .word_right = _mm_cvtsi32_si128(8 - s->random_bits),
        .word_left = _mm_cvtsi32_si128(drop - s->random_bits),
    };
}

// a * b + sum rounded, without upper limit.
INLINE __m512 step(FxLawF32 law, __m512 a, __m512 b, __m512 sum, const uint8_t *R, const Constants *c) {
    const bool random = law == FX_LAW_STOCHASTIC_A || law == FX_LAW_STOCHASTIC_C;
    __m512 x;
    if (law == FX_LAW_ZERO || law == FX_LAW_STOCHASTIC_A) {
        x = _mm512_fmadd_round_ps(a, b, sum, CUT);
    } else if (law == FX_LAW_EVEN_NARROW) {
        x = _mm512_fmadd_ps(a, b, sum);
    } else {
        __m512 down = _mm512_fmadd_round_ps(a, b, sum, DOWN);
        x = _mm512_fmadd_round_ps(a, b, sum, UP);
        x = _mm512_mask_mov_ps(x, _mm512_test_epi32_mask(_mm512_castps_si512(down), c->one), down);
    }
    __m512i bits = _mm512_castps_si512(x);
    if (law != FX_LAW_ZERO && law != FX_LAW_STOCHASTIC_A) { // below half, and one more where the last kept bit is set
        __mmask16 odd = _mm512_test_epi32_mask(bits, c->last);
        bits = _mm512_add_epi32(bits, c->half);
        bits = _mm512_mask_add_epi32(bits, odd, bits, c->one);
    }
    if (random) {
        __m512i word = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)R));
        bits = _mm512_add_epi32(bits, _mm512_sll_epi32(_mm512_srl_epi32(word, c->word_right), c->word_left));
    }
    return _mm512_castsi512_ps(_mm512_and_si512(bits, c->kept));
}

INLINE uint64_t sum_of(__m512i counts) {
    uint32_t lane[V];
    uint64_t sum = 0;
    _mm512_storeu_si512(lane, counts);
    for (int i = 0; i < V; i++)
        sum += lane[i];
    return sum;
}

INLINE __mmask16 mask_of(size_t columns, int v) {
    size_t from = (size_t)v * V, count = columns < from ? 0 : columns - from < V ? columns - from : V;
    return (__mmask16)((1u << count) - 1);
}

// law, clamps, counting and rows are constants where this is inlined.
INLINE void rows_of(FxLawF32 law, bool clamps, bool counting, size_t rows, size_t row, const FxRoundedTileF32 *t, const FxStepF32 *s,
                    FxRoundedCounts *counts) {
    const Constants c = constants_of(s);
    const bool random = law == FX_LAW_STOCHASTIC_A || law == FX_LAW_STOCHASTIC_C;
    const size_t a_row = t->a_row, a_k = t->a_k;
    const float *a = t->a + row * a_row, *a4 = a + (rows > 4 ? 4 : 0) * a_row, *b = t->b;
    const uint8_t *R = random ? t->R + row * FX_ROUNDED_COLUMNS : NULL;
    float *sums = t->sums + row * t->sums_step;
    __m512 sum[FX_ROUNDED_ROWS][VECTORS];
    __m512i changed = _mm512_setzero_si512(), over = changed;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            sum[r][v] = t->go_on ? _mm512_maskz_loadu_ps(mask_of(t->columns, v), sums + r * t->sums_step + v * V) : _mm512_setzero_ps();
    for (size_t k = t->k; k > 0; k--) {
        __m512 right[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            right[v] = _mm512_loadu_ps(b + v * V);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const __m512 left = _mm512_set1_ps((r < 4 ? a : a4)[r % 4 * a_row]);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                __m512 x = step(law, left, right[v], sum[r][v], random ? R + r * FX_ROUNDED_COLUMNS + v * V : NULL, &c), held = x;
                if (clamps)
                    held = _mm512_range_ps(x, c.most, SMALLER_KEEPING_SIGN);
                if (clamps && counting)
                    over = _mm512_mask_add_epi32(over, _mm512_cmp_ps_mask(x, held, _CMP_NEQ_UQ), over, c.one);
                if (counting)
                    changed = _mm512_mask_add_epi32(changed, _mm512_cmp_ps_mask(held, sum[r][v], _CMP_NEQ_UQ), changed, c.one);
                sum[r][v] = held;
            }
        }
        a += a_k, a4 += a_k, b += FX_ROUNDED_COLUMNS;
        R = random ? R + FX_ROUNDED_ROWS * FX_ROUNDED_COLUMNS : NULL;
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            _mm512_mask_storeu_ps(sums + r * t->sums_step + v * V, mask_of(t->columns, v), sum[r][v]);
    if (counting) {
        counts->changed += sum_of(changed);
        counts->overflow += sum_of(over);
    }
}

INLINE void tile_of(FxLawF32 law, bool clamps, bool counting, const FxRoundedTileF32 *t, const FxStepF32 *s, FxRoundedCounts *counts) {
    size_t row = 0, left = t->rows;
    if (left == 8)
        rows_of(law, clamps, counting, 8, 0, t, s, counts), left = 0;
    if (left & 4)
        rows_of(law, clamps, counting, 4, row, t, s, counts), row += 4;
    if (left & 2)
        rows_of(law, clamps, counting, 2, row, t, s, counts), row += 2;
    if (left & 1)
        rows_of(law, clamps, counting, 1, row, t, s, counts);
}

INLINE void any_tile(FxLawF32 law, const FxRoundedTileF32 *t, const FxStepF32 *s, FxRoundedCounts *counts) {
    if (s->clamps && counts)
        tile_of(law, true, true, t, s, counts);
    else if (s->clamps)
        tile_of(law, true, false, t, s, counts);
    else if (counts)
        tile_of(law, false, true, t, s, counts);
    else
        tile_of(law, false, false, t, s, counts);
}

static void tile(const FxRoundedTileF32 *t, const FxStepF32 *s, FxRoundedCounts *counts) {
    switch (s->law) {
    case FX_LAW_ZERO: any_tile(FX_LAW_ZERO, t, s, counts); break;
    case FX_LAW_EVEN_NARROW: any_tile(FX_LAW_EVEN_NARROW, t, s, counts); break;
    case FX_LAW_EVEN: any_tile(FX_LAW_EVEN, t, s, counts); break;
    case FX_LAW_STOCHASTIC_A: any_tile(FX_LAW_STOCHASTIC_A, t, s, counts); break;
    case FX_LAW_STOCHASTIC_C: any_tile(FX_LAW_STOCHASTIC_C, t, s, counts); break;
    }
}

INLINE void add_row(FxLawF32 law, float *sums, const float *addends, size_t n, const FxStepF32 *s, const uint8_t *R, FxRoundedCounts *counts) {
    const Constants c = constants_of(s);
    const __m512 one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    for (int v = 0; v < VECTORS && (size_t)v * V < n; v++) {
        __mmask16 m = mask_of(n, v);
        __m512 sum = _mm512_maskz_loadu_ps(m, sums + v * V), addend = _mm512_maskz_loadu_ps(m, addends + v * V);
        addend = _mm512_add_ps(addend, zero); // +0, so that an exact zero is
        __m512 x = step(law, one, addend, sum, R ? R + v * V : NULL, &c), held = _mm512_range_ps(x, c.most, SMALLER_KEEPING_SIGN);
        _mm512_mask_storeu_ps(sums + v * V, m, held);
        if (counts) {
            __mmask16 same = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(addend, zero, _CMP_NEQ_OQ), held, sum, _CMP_EQ_OQ);
            counts->swamped += (uint64_t)__builtin_popcount(same);
            counts->outer_overflow += (uint64_t)__builtin_popcount(_mm512_cmp_ps_mask(x, held, _CMP_NEQ_UQ));
        }
    }
}

static void add(float *sums, const float *addends, size_t n, const FxStepF32 *s, const uint8_t *R, FxRoundedCounts *counts) {
    switch (s->law) {
    case FX_LAW_ZERO: add_row(FX_LAW_ZERO, sums, addends, n, s, R, counts); break;
    case FX_LAW_EVEN_NARROW: add_row(FX_LAW_EVEN_NARROW, sums, addends, n, s, R, counts); break;
    case FX_LAW_EVEN: add_row(FX_LAW_EVEN, sums, addends, n, s, R, counts); break;
    case FX_LAW_STOCHASTIC_A: add_row(FX_LAW_STOCHASTIC_A, sums, addends, n, s, R, counts); break;
    case FX_LAW_STOCHASTIC_C: add_row(FX_LAW_STOCHASTIC_C, sums, addends, n, s, R, counts); break;
    }
}

enum { OUTPUTS = 8, CHAINS = FX_ROUNDED_COLUMNS / OUTPUTS, DRAWN_STEP = FX_ROUNDED_DRAWN / FX_ROUNDED_COLUMNS, BLOCK = 16 };

// A Philox block for each of 32 outputs, 16 bytes to drawn + output * DRAWN_STEP.
INLINE void philox32(uint8_t *drawn, FxRng rng, const __m512i block[CHAINS]) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    __m512i c0[CHAINS], c1[CHAINS], c2[CHAINS], c3[CHAINS];
    uint32_t k0 = (uint32_t)rng.seed, k1 = (uint32_t)(rng.seed >> 32);
    for (int j = 0; j < CHAINS; j++) {
        c0[j] = block[j];
        c1[j] = _mm512_srli_epi64(block[j], 32);
        c2[j] = _mm512_set1_epi64(rng.step);
        c3[j] = _mm512_set1_epi64(rng.stream);
    }
    for (int r = 0; r < 10; r++) {
        __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
        for (int j = 0; j < CHAINS; j++) {
            __m512i p0 = _mm512_mul_epu32(m0, c0[j]), p1 = _mm512_mul_epu32(m1, c2[j]);
            c0[j] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1[j], key0, 0x96);
            c1[j] = p1;
            c2[j] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3[j], key1, 0x96);
            c3[j] = p0;
        }
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    for (int j = 0; j < CHAINS; j++) {
        __m512i low = _mm512_mask_blend_epi32(0xAAAA, c0[j], _mm512_slli_epi64(c1[j], 32));
        __m512i high = _mm512_mask_blend_epi32(0xAAAA, c2[j], _mm512_slli_epi64(c3[j], 32));
        __m512i even = _mm512_unpacklo_epi64(low, high), odd = _mm512_unpackhi_epi64(low, high);
        uint8_t *to = drawn + j * OUTPUTS * DRAWN_STEP;
        _mm_storeu_si128((__m128i *)(void *)to, _mm512_castsi512_si128(even));
        _mm_storeu_si128((__m128i *)(void *)(to + DRAWN_STEP), _mm512_castsi512_si128(odd));
        _mm_storeu_si128((__m128i *)(void *)(to + 2 * DRAWN_STEP), _mm512_extracti32x4_epi32(even, 1));
        _mm_storeu_si128((__m128i *)(void *)(to + 3 * DRAWN_STEP), _mm512_extracti32x4_epi32(odd, 1));
        _mm_storeu_si128((__m128i *)(void *)(to + 4 * DRAWN_STEP), _mm512_extracti32x4_epi32(even, 2));
        _mm_storeu_si128((__m128i *)(void *)(to + 5 * DRAWN_STEP), _mm512_extracti32x4_epi32(odd, 2));
        _mm_storeu_si128((__m128i *)(void *)(to + 6 * DRAWN_STEP), _mm512_extracti32x4_epi32(even, 3));
        _mm_storeu_si128((__m128i *)(void *)(to + 7 * DRAWN_STEP), _mm512_extracti32x4_epi32(odd, 3));
    }
}

// 16 bytes of each output to 16 lines of 32 outputs: four perfect shuffles.
INLINE void transpose_bytes(uint8_t *out, size_t step, const uint8_t *const in[FX_ROUNDED_COLUMNS], size_t at) {
    __m256i r[BLOCK], t[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        r[i] = _mm256_loadu2_m128i((const __m128i *)(const void *)(in[i + BLOCK] + at), (const __m128i *)(const void *)(in[i] + at));
#pragma GCC unroll 4
    for (int pass = 0; pass < 4; pass++) {
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK / 2; i++) {
            t[2 * i] = _mm256_unpacklo_epi8(r[i], r[i + BLOCK / 2]);
            t[2 * i + 1] = _mm256_unpackhi_epi8(r[i], r[i + BLOCK / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            r[i] = t[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        _mm256_storeu_si256((__m256i *)(void *)(out + (size_t)i * step), r[i]);
}

static void draw(uint8_t *out, size_t step_bytes, FxRng rng, uint64_t first, uint64_t stride, size_t n, uint8_t *drawn) {
    const uint8_t *start[FX_ROUNDED_COLUMNS];
    uint64_t number[FX_ROUNDED_COLUMNS];
    for (size_t i = 0; i < FX_ROUNDED_COLUMNS; i++) {
        uint64_t element = first + i * stride;
        number[i] = element / BLOCK;
        start[i] = drawn + i * DRAWN_STEP + element % BLOCK;
    }
    __m512i block[CHAINS];
    for (int j = 0; j < CHAINS; j++)
        block[j] = _mm512_loadu_si512(number + j * OUTPUTS);
    for (size_t b = 0; b < (n + 2 * BLOCK - 2) / BLOCK; b++) {
        philox32(drawn + b * BLOCK, rng, block);
        for (int j = 0; j < CHAINS; j++)
            block[j] = _mm512_add_epi64(block[j], _mm512_set1_epi64(1));
    }
    for (size_t j = 0; j < n; j += BLOCK)
        transpose_bytes(out + j * step_bytes, step_bytes, start, j);
}

static size_t finish(float *c, size_t n, float unit) {
    size_t zeros = 0;
    for (int v = 0; v < VECTORS; v++) {
        __mmask16 m = mask_of(n, v);
        __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, c + v * V), _mm512_set1_ps(unit));
        _mm512_mask_storeu_ps(c + v * V, m, x);
        zeros += (size_t)__builtin_popcount(_mm512_cmpeq_epi32_mask(_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MIN)));
    }
    return zeros;
}

static void scan(FxScanF32 *s, const float *x, size_t n) {
    const __m512i magnitude = _mm512_set1_epi32(INT32_MAX);
    __m512i all = _mm512_setzero_si512(), most = all, least = _mm512_set1_epi32(-1);
    for (size_t i = 0; i < n; i += V) {
        __mmask16 m = mask_of(n - i, 0);
        __m512i bits = _mm512_and_si512(_mm512_maskz_loadu_epi32(m, x + i), magnitude);
        all = _mm512_or_si512(all, bits);
        most = _mm512_max_epu32(most, bits);
        least = _mm512_mask_min_epu32(least, _mm512_test_epi32_mask(bits, bits), least, bits);
    }
    s->all = (uint32_t)_mm512_reduce_or_epi32(all);
    s->most = _mm512_reduce_max_epu32(most);
    s->least = _mm512_reduce_min_epu32(least);
}

const FxRoundedKernelF32 fx_rounded_avx512_f32 = {.cpu = FX_CPU_AVX512, .tile = tile, .add = add, .draw = draw, .finish = finish, .scan = scan};
