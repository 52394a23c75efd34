// Float accumulators in 32-bit lanes. Instructions of this set carry a rounding of their own, and a fused multiply-add
// rounded down and once more rounded up gives the two neighbours of the exact sum; the one whose last bit is set is that sum
// rounded to odd. So no product needs more than its float32 operands, twice as many lanes as in float64.
#include "layers/accumulator_body_f32.h"

#include <immintrin.h>

enum { V = 16, VECTORS = FX_ACC_LANES / V, SMALLER_KEEPING_SIGN = 2 };
enum { DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC, UP = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC,
       CUT = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC };
typedef enum Mode { EVEN, ZERO, ZERO_DIRECT, STOCHASTIC_A, STOCHASTIC_C } Mode; // direct: the lowest binade is float32's own

// What a policy's loop keeps in registers.
typedef struct Constants {
    __m512i exponents, low, sign, one;
    __m512i coarse, fine; // added to a binade's bits: 2^23 units (EVEN: 1.5 times as many), 2^23 units / 2^r
    __m512i shift, least; // ZERO: the lowest binade's field + 23 - M; 23 - M, the fewest bits that are dropped
    __m512i kept;         // ZERO_DIRECT: all others
    __m512 most;
    __m128i r;
} Constants;

INLINE Constants constants_of(Mode mode, const FxAddF32 *add) {
    int M = add->mantissa_bits, r = add->round.bits, field = add->low + 127;
    return (Constants){
        .exponents = _mm512_set1_epi32(0x7F800000), .low = _mm512_set1_epi32(field << 23), .sign = _mm512_set1_epi32(INT32_MIN),
        .one = _mm512_set1_epi32(1), .coarse = _mm512_set1_epi32(((23 - M) << 23) + (mode == EVEN ? 0x400000 : 0)),
        .fine = _mm512_set1_epi32((23 - M - r) * (1 << 23)), .shift = _mm512_set1_epi32(field + 23 - M),
        .least = _mm512_set1_epi32(23 - M), .kept = _mm512_set1_epi32(-(1 << (23 - M))), .most = _mm512_set1_ps(add->most), .r = _mm_cvtsi32_si128(r),
    };
}

// The exact a * b + sum to odd.
INLINE __m512 odd_sum(__m512 a, __m512 b, __m512 sum, const Constants *c) {
    __m512 down = _mm512_fmadd_round_ps(a, b, sum, DOWN), up = _mm512_fmadd_round_ps(a, b, sum, UP);
    return _mm512_mask_mov_ps(up, _mm512_test_epi32_mask(_mm512_castps_si512(down), c->one), down);
}

INLINE __m512 with_sign(__m512 x, __m512 of, const Constants *c) { // x | (of & sign)
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(x), _mm512_castps_si512(of), c->sign, 0xF8));
}

// The rounded sum without upper limit.
INLINE __m512 step(Mode mode, __m512 a, __m512 b, __m512 sum, const uint32_t *R, const Constants *c) {
    if (mode == ZERO || mode == ZERO_DIRECT) {
        __m512i x = _mm512_castps_si512(_mm512_fmadd_round_ps(a, b, sum, CUT));
        if (mode == ZERO_DIRECT)
            return _mm512_castsi512_ps(_mm512_and_si512(x, c->kept));
        __m512i field = _mm512_max_epi32(_mm512_srli_epi32(_mm512_slli_epi32(x, 1), 24), c->one); // subnormals are of field 1
        __m512i drop = _mm512_max_epi32(_mm512_sub_epi32(c->shift, field), c->least);
        __mmask16 some = _mm512_cmplt_epi32_mask(drop, _mm512_set1_epi32(24)); // otherwise the leading bit goes too
        __m512i kept = _mm512_or_si512(_mm512_maskz_sllv_epi32(some, _mm512_set1_epi32(-1), drop), c->sign);
        return _mm512_castsi512_ps(_mm512_and_si512(x, kept));
    }
    __m512 x = odd_sum(a, b, sum, c);
    __m512i top = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x), c->exponents), c->low);
    __m512i coarse = _mm512_add_epi32(top, c->coarse);
    __m512 magic = _mm512_castsi512_ps(coarse), value;
    if (mode == EVEN) {
        value = _mm512_sub_ps(_mm512_add_ps(x, magic), magic);
    } else {
        __m512i fine = _mm512_add_epi32(top, c->fine);
        __m512 a1 = _mm512_castsi512_ps(_mm512_andnot_si512(c->sign, _mm512_castps_si512(x))), f = _mm512_castsi512_ps(fine);
        __m512 moved = mode == STOCHASTIC_A ? _mm512_add_round_ps(a1, f, CUT) : _mm512_add_ps(a1, f);
        __m512i n = _mm512_sub_epi32(_mm512_castps_si512(moved), fine);
        n = _mm512_srl_epi32(_mm512_add_epi32(n, _mm512_loadu_si512(R)), c->r);
        value = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_add_epi32(coarse, n)), magic);
    }
    return with_sign(value, x, c);
}

// How many of the products are zero: those leave their sums as they were and swamp nothing.
static uint64_t zero_products(const FxStepsF32 *s) {
    uint64_t zeros = 0;
    for (size_t j = 0; j < s->k; j++) {
        uint64_t a = 0, b = 0;
        for (size_t row = 0; row < s->rows; row++)
            a += s->a[j * FX_ACC_ROWS + row] != 0;
        for (int v = 0; v < VECTORS; v++)
            b += (uint64_t)__builtin_popcount(_mm512_cmp_ps_mask(_mm512_loadu_ps(s->b + j * LANES + v * V), _mm512_setzero_ps(), _CMP_NEQ_OQ));
        zeros += s->rows * LANES - a * b;
    }
    return zeros;
}

INLINE void tile(Mode mode, bool counting, size_t rows, FxStepsF32 *s) {
    const Constants c = constants_of(mode, s->add);
    const bool random = mode == STOCHASTIC_A || mode == STOCHASTIC_C;
    enum { RUN = 1 << 20 }; // additions before a 32-bit lane of a count could run over
    __m512 sum[FX_ACC_ROWS][VECTORS];
    for (size_t row = 0; row < rows; row++)
        for (int v = 0; v < VECTORS; v++)
            sum[row][v] = _mm512_loadu_ps(s->sum + row * LANES + v * V);
    uint64_t unchanged = 0, overflow = 0;
    for (size_t start = 0; start < s->k; start += RUN) {
        size_t end = s->k - start < RUN ? s->k : start + RUN;
        __m512i same = _mm512_setzero_si512(), over = same;
        for (size_t j = start; j < end; j++) {
            __m512 b[VECTORS];
            for (int v = 0; v < VECTORS; v++)
                b[v] = _mm512_loadu_ps(s->b + j * LANES + v * V);
            for (size_t row = 0; row < rows; row++) {
                __m512 a = _mm512_set1_ps(s->a[j * FX_ACC_ROWS + row]);
                for (int v = 0; v < VECTORS; v++) {
                    const uint32_t *R = random ? s->R + (j * rows + row) * LANES + v * V : NULL;
                    __m512 x = step(mode, a, b[v], sum[row][v], R, &c), held = _mm512_range_ps(x, c.most, SMALLER_KEEPING_SIGN);
                    if (counting) {
                        over = _mm512_mask_add_epi32(over, _mm512_cmp_ps_mask(x, held, _CMP_NEQ_UQ), over, c.one);
                        same = _mm512_mask_add_epi32(same, _mm512_cmp_ps_mask(held, sum[row][v], _CMP_EQ_OQ), same, c.one);
                    }
                    sum[row][v] = held;
                }
            }
        }
        uint32_t lane[2][V];
        _mm512_storeu_si512(lane[0], same);
        _mm512_storeu_si512(lane[1], over);
        for (int i = 0; i < V; i++) {
            unchanged += lane[0][i];
            overflow += lane[1][i];
        }
    }
    for (size_t row = 0; row < rows; row++)
        for (int v = 0; v < VECTORS; v++)
            _mm512_storeu_ps(s->sum + row * LANES + v * V, sum[row][v]);
    if (!counting)
        return;
    s->overflow += overflow;
    s->swamped += unchanged - zero_products(s);
    s->failed |= s->add->hand_back && overflow;
}

INLINE void any_tile(Mode mode, FxStepsF32 *s) {
    bool counting = s->counting || s->add->hand_back;
    if (s->rows == FX_ACC_ROWS && counting)
        tile(mode, true, FX_ACC_ROWS, s);
    else if (s->rows == FX_ACC_ROWS)
        tile(mode, false, FX_ACC_ROWS, s);
    else if (s->rows == 1)
        tile(mode, true, 1, s);
    else if (s->rows == 2)
        tile(mode, true, 2, s);
    else
        tile(mode, true, 3, s);
}

static void even(FxStepsF32 *s) { any_tile(EVEN, s); }
static void zero(FxStepsF32 *s) {
    if (s->add->low == 1 - 127)
        any_tile(ZERO_DIRECT, s);
    else
        any_tile(ZERO, s);
}
static void stochastic_a(FxStepsF32 *s) { any_tile(STOCHASTIC_A, s); }
static void stochastic_c(FxStepsF32 *s) { any_tile(STOCHASTIC_C, s); }

// 16 x 16 words: pairs of words, of double words, then of quarters of the registers.
INLINE void transpose_block(uint32_t *out, size_t step, const uint32_t *in, size_t in_step) {
    __m512i r[V], t[V];
    for (size_t i = 0; i < V; i++)
        r[i] = _mm512_loadu_si512(in + i * in_step);
    for (int i = 0; i < V; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < V; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (size_t i = 0; i < 4; i++) {
        __m512i even = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), odd = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
        __m512i even2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88), odd2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
        _mm512_storeu_si512(out + i * step, _mm512_shuffle_i32x4(even, even2, 0x88));
        _mm512_storeu_si512(out + (i + 4) * step, _mm512_shuffle_i32x4(odd, odd2, 0x88));
        _mm512_storeu_si512(out + (i + 8) * step, _mm512_shuffle_i32x4(even, even2, 0xDD));
        _mm512_storeu_si512(out + (i + 12) * step, _mm512_shuffle_i32x4(odd, odd2, 0xDD));
    }
}

static void transpose(uint32_t *out, size_t step, const uint32_t *in, size_t in_step, size_t n) {
    for (size_t j = 0; j < n; j += V)
        for (size_t lane = 0; lane < LANES; lane += V)
            transpose_block(out + j * step + lane, step, in + lane * in_step + j, in_step);
}

const FxAccKernelsF32 fx_acc_kernels_f32_avx512 = {
    .cpu = FX_CPU_AVX512, .even = even, .zero = zero, .stochastic_a = stochastic_a, .stochastic_c = stochastic_c,
    .fp32 = fused_multiply_add, .transpose = transpose, .wide = FX_ACC_WIDE,
};
