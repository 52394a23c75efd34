// Packing with AVX-512 F, BW and VL for kernels of 12 rows and 32 columns whose panels hold a dword a group: four
// int8 or two int16 codes. Sixteen codes of k at a time: rows are transposed as dwords, lines (one k each) are
// interleaved; int8 codes on their way to int16 panels are widened at the end.
#ifndef FX_GEMM_PACK512_H
#define FX_GEMM_PACK512_H

#include "layers/gemm_pack.h"

#include <immintrin.h>

enum { FX_GEMM512_MR = 12, FX_GEMM512_NR = 32, FX_GEMM512_HEADER = 128, FX_GEMM512_LANES = 16 };

FX_GEMM_INLINE size_t fx_gemm512_least(size_t a, size_t b) {
    return a < b ? a : b;
}

// Four times 16 bytes in the four lanes of a register; `bytes` of each are there.
FX_GEMM_INLINE __m512i fx_gemm512_gather(const char *p0, const char *p1, const char *p2, const char *p3, size_t bytes) {
    __m512i v;
    if (bytes >= 16) {
        v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p0));
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p1), 1);
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p2), 2);
        return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p3), 3);
    }
    const __mmask16 mask = (__mmask16)((1u << bytes) - 1);
    v = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(mask, p0));
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p1), 1);
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p2), 2);
    return _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p3), 3);
}

// 16 bytes of each of 16 rows from `at` on: out[g] = dword g of the rows, in order.
FX_GEMM_INLINE void fx_gemm512_transpose(__m512i out[4], const char *const row[16], size_t at, size_t bytes) {
    __m512i v[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        v[j] = fx_gemm512_gather(row[j] + at, row[j + 4] + at, row[j + 8] + at, row[j + 12] + at, bytes);
    const __m512i t0 = _mm512_unpacklo_epi32(v[0], v[1]), t1 = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i t2 = _mm512_unpacklo_epi32(v[2], v[3]), t3 = _mm512_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm512_unpacklo_epi64(t0, t2);
    out[1] = _mm512_unpackhi_epi64(t0, t2);
    out[2] = _mm512_unpacklo_epi64(t1, t3);
    out[3] = _mm512_unpackhi_epi64(t1, t3);
}

// Four lines of 16 int8 codes as one dword a column. Lines past `lines` are 0; `columns` of a line are there.
FX_GEMM_INLINE __m512i fx_gemm512_interleave8(const char *line, size_t stride, size_t lines, size_t columns) {
    const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i v;
    if (lines >= 4) {
        v = fx_gemm512_gather(line, line + stride, line + 2 * stride, line + 3 * stride, columns);
    } else {
        const char *second = lines > 1 ? line + stride : line, *third = lines > 2 ? second + stride : line;
        v = fx_gemm512_gather(line, second, third, line, columns);
        v = _mm512_maskz_mov_epi32((__mmask16)((1u << 4 * lines) - 1), v);
    }
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(lanes, v), bytes);
}

// Two lines of 16 int16 codes as one dword a column.
FX_GEMM_INLINE __m512i fx_gemm512_interleave16(const char *line, size_t stride, size_t lines, size_t columns) {
    const __mmask16 mask = (__mmask16)(columns >= 16 ? 0xffff : (1u << columns) - 1);
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lines > 0 ? mask : 0, line));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lines > 1 ? mask : 0, line + stride));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Dwords of four int8 codes as two dwords of int16 codes each.
FX_GEMM_INLINE void fx_gemm512_widen(__m512i out[8], const __m512i v[4], FxType type) {
    enum { NONE = -128 }; // gives a 0
    const __m512i shuffle[2] = {
        _mm512_broadcast_i32x4(_mm_setr_epi8(NONE, 0, NONE, 1, NONE, 4, NONE, 5, NONE, 8, NONE, 9, NONE, 12, NONE, 13)),
        _mm512_broadcast_i32x4(_mm_setr_epi8(NONE, 2, NONE, 3, NONE, 6, NONE, 7, NONE, 10, NONE, 11, NONE, 14, NONE, 15)),
    };
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const __m512i raised = _mm512_shuffle_epi8(v[g], shuffle[h]); // 256 * code
            out[2 * g + h] = type == FX_INT8 ? _mm512_srai_epi16(raised, 8) : _mm512_srli_epi16(raised, 8);
        }
}

// Groups of 16 codes of k of 16 rows: four of int8, eight of int16 codes. Codes past `present` are 0.
FX_GEMM_INLINE void fx_gemm512_rows(__m512i out[8], const char *const row[16], size_t k, size_t present, FxType type,
                                    FxType packed) {
    if (type == FX_INT16) {
        fx_gemm512_transpose(out, row, 2 * k, 2 * fx_gemm512_least(present, 8));
        fx_gemm512_transpose(out + 4, row, 2 * k + 16, present > 8 ? 2 * fx_gemm512_least(present - 8, 8) : 0);
    } else if (packed == FX_INT16) {
        __m512i v[4];
        fx_gemm512_transpose(v, row, k, present);
        fx_gemm512_widen(out, v, type);
    } else {
        fx_gemm512_transpose(out, row, k, present);
    }
}

FX_GEMM_INLINE void fx_gemm512_columns(__m512i out[8], const char *line, size_t stride, size_t present, size_t columns,
                                       FxType type, FxType packed) {
    if (type == FX_INT16) {
#pragma GCC unroll 8
        for (size_t g = 0; g < 8; g++)
            out[g] = present > 2 * g ? fx_gemm512_interleave16(line + 2 * g * stride, stride, present - 2 * g, columns)
                                     : _mm512_setzero_si512();
        return;
    }
    __m512i v[4];
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++)
        v[g] = present > 4 * g ? fx_gemm512_interleave8(line + 4 * g * stride, stride, present - 4 * g, columns)
                               : _mm512_setzero_si512();
    if (packed == FX_INT16)
        fx_gemm512_widen(out, v, type);
    else
        for (int g = 0; g < 4; g++)
            out[g] = v[g];
}

// 16 whole lines of 32 int8 codes: the groups of 16 columns from the first, and of 16 from column 4 * second on.
FX_GEMM_INLINE void fx_gemm512_two_columns(__m512i a[8], __m512i b[8], const char *line, size_t stride, int second,
                                           FxType type, FxType packed) {
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i first = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
    const __m512i next = _mm512_add_epi32(first, _mm512_set1_epi32(second));
    __m512i v[4], w[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++, line += 4 * stride) {
        const __m256i *l0 = (const __m256i *)line, *l1 = (const __m256i *)(line + stride);
        const __m256i *l2 = (const __m256i *)(line + 2 * stride), *l3 = (const __m256i *)(line + 3 * stride);
        const __m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(l0)), _mm256_loadu_si256(l1), 1);
        const __m512i y = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(l2)), _mm256_loadu_si256(l3), 1);
        v[g] = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(x, first, y), bytes);
        w[g] = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(x, next, y), bytes);
    }
    if (packed == FX_INT16) {
        fx_gemm512_widen(a, v, type);
        fx_gemm512_widen(b, w, type);
        return;
    }
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        a[g] = v[g];
        b[g] = w[g];
    }
}

// Four groups of 12 dwords; the excess of four dwords each is dropped.
FX_GEMM_INLINE void fx_gemm512_store12(char *out, const __m512i v[4]) {
    const __m512i last = _mm512_setr_epi32(8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
    _mm512_storeu_si512(out, _mm512_inserti32x4(v[0], _mm512_castsi512_si128(v[1]), 3));
    _mm512_storeu_si512(out + 64, _mm512_shuffle_i32x4(v[1], v[2], 1 | 2 << 2 | 0 << 4 | 1 << 6));
    _mm512_storeu_si512(out + 128, _mm512_permutex2var_epi32(v[2], last, v[3]));
}

FX_GEMM_INLINE void fx_gemm512_store_left(char *out, __m512i v[8], __m512i lift, FxType packed) {
    if (packed == FX_INT8)
        for (int g = 0; g < 4; g++)
            v[g] = _mm512_xor_si512(v[g], lift);
    fx_gemm512_store12(out, v);
    if (packed == FX_INT16)
        fx_gemm512_store12(out + 192, v + 4);
}

// The left operand. int8 codes in byte panels are lifted by 128.
FX_GEMM_INLINE void fx_gemm512_left(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in, FxType type,
                                    FxType packed) {
    enum { MR = FX_GEMM512_MR };
    const size_t size = packed == FX_INT16 ? 2 : 1, step = 16 * MR * size;
    const __m512i lift = _mm512_set1_epi8(type == FX_INT8 ? -128 : 0);
    const char *data = in->data;
    char *panel = (char *)panels + k0 * MR * size;
    __m512i v[8], w[8];
    if (in->k_is_row) {
        for (size_t k = 0; k < in->k; k += 16, panel += step) {
            char *out = panel;
            for (size_t row = 0; row < in->rows; row += MR, out += panel_bytes) {
                const char *line = data + k * in->stride + row * (type == FX_INT16 ? 2 : 1);
                if (type != FX_INT16 && in->k - k >= 16 && in->rows - row >= 32) {
                    fx_gemm512_two_columns(v, w, line, in->stride, MR / 4, type, packed);
                    fx_gemm512_store_left(out, v, lift, packed);
                    row += MR;
                    out += panel_bytes;
                    fx_gemm512_store_left(out, w, lift, packed);
                    continue;
                }
                fx_gemm512_columns(v, line, in->stride, fx_gemm512_least(in->k - k, 16), in->rows - row, type, packed);
                fx_gemm512_store_left(out, v, lift, packed);
            }
        }
        return;
    }
    for (size_t row = 0; row < in->rows; row += MR, panel += panel_bytes) {
        const char *line[FX_GEMM512_LANES];
        for (size_t r = 0; r < FX_GEMM512_LANES; r++)
            line[r] = data + fx_gemm512_least(row + fx_gemm512_least(r, MR - 1), in->rows - 1) * in->stride;
        char *out = panel;
        for (size_t k = 0; k < in->k; k += 16, out += step) {
            fx_gemm512_rows(v, line, k, fx_gemm512_least(in->k - k, 16), type, packed);
            fx_gemm512_store_left(out, v, lift, packed);
        }
    }
}

// Stores the groups of 16 columns of a right panel; returns 128 times the sums of their codes if `lift`.
FX_GEMM_INLINE __m512i fx_gemm512_store_right(char *out, const __m512i v[8], bool lift, FxType packed) {
    __m512i sum = _mm512_setzero_si512();
    for (int g = 0; g < (packed == FX_INT16 ? 8 : 4); g++) {
        _mm512_storeu_si512(out + g * FX_GEMM512_NR * 4, v[g]);
        if (lift)
            sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(_mm512_set1_epi8(1), v[g]));
    }
    return _mm512_madd_epi16(sum, _mm512_set1_epi16(128));
}

FX_GEMM_INLINE void fx_gemm512_add_start(int32_t *start, __m512i sum, bool lift) {
    if (lift)
        _mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_loadu_si512(start), sum));
}

// The right operand. lift: also the start values that take the left operand's lift off again.
FX_GEMM_INLINE void fx_gemm512_right(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in, FxType type,
                                     FxType packed, bool lift) {
    enum { NR = FX_GEMM512_NR, LANES = FX_GEMM512_LANES };
    const size_t size = packed == FX_INT16 ? 2 : 1, step = 16 * NR * size;
    const char *data = in->data;
    __m512i v[8], w[8];
    if (k0 == 0)
        for (size_t row = 0; row < in->rows; row += NR)
            memset((char *)panels + row / NR * panel_bytes, 0, FX_GEMM512_HEADER);
    char *const first = (char *)panels + FX_GEMM512_HEADER + k0 * NR * size;
    if (in->k_is_row) {
        for (size_t k = 0; k < in->k; k += 16)
            for (size_t row = 0; row < in->rows; row += LANES) { // two halves of a panel at once where they are whole
                const size_t offset = row / NR * panel_bytes, half = row % NR;
                const char *line = data + k * in->stride + row * (type == FX_INT16 ? 2 : 1);
                char *out = first + offset + k / 16 * step + half * 4;
                int32_t *start = (int32_t *)((char *)panels + offset) + half;
                if (type != FX_INT16 && in->k - k >= 16 && half == 0 && in->rows - row >= 32) {
                    fx_gemm512_two_columns(v, w, line, in->stride, LANES / 4, type, packed);
                    fx_gemm512_add_start(start, fx_gemm512_store_right(out, v, lift, packed), lift);
                    fx_gemm512_add_start(start + LANES, fx_gemm512_store_right(out + 64, w, lift, packed), lift);
                    row += LANES;
                    continue;
                }
                fx_gemm512_columns(v, line, in->stride, fx_gemm512_least(in->k - k, 16), in->rows - row, type, packed);
                fx_gemm512_add_start(start, fx_gemm512_store_right(out, v, lift, packed), lift);
            }
        return;
    }
    for (size_t row = 0; row < in->rows; row += LANES) {
        const size_t offset = row / NR * panel_bytes, half = row % NR;
        const char *line[LANES];
        for (size_t r = 0; r < LANES; r++)
            line[r] = data + fx_gemm512_least(row + r, in->rows - 1) * in->stride;
        char *out = first + offset + half * 4;
        __m512i sum = _mm512_setzero_si512();
        for (size_t k = 0; k < in->k; k += 16, out += step) {
            fx_gemm512_rows(v, line, k, fx_gemm512_least(in->k - k, 16), type, packed);
            sum = _mm512_add_epi32(sum, fx_gemm512_store_right(out, v, lift, packed));
        }
        fx_gemm512_add_start((int32_t *)((char *)panels + offset) + half, sum, lift);
    }
}

// int16 panels from int8, uint8 or int16 codes.
FX_GEMM_INLINE void fx_gemm512_left16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    switch (in->type) {
    case FX_INT8: fx_gemm512_left(panels, panel_bytes, k0, in, FX_INT8, FX_INT16); break;
    case FX_UINT8: fx_gemm512_left(panels, panel_bytes, k0, in, FX_UINT8, FX_INT16); break;
    default: fx_gemm512_left(panels, panel_bytes, k0, in, FX_INT16, FX_INT16); break;
    }
}

FX_GEMM_INLINE void fx_gemm512_right16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    switch (in->type) {
    case FX_INT8: fx_gemm512_right(panels, panel_bytes, k0, in, FX_INT8, FX_INT16, false); break;
    case FX_UINT8: fx_gemm512_right(panels, panel_bytes, k0, in, FX_UINT8, FX_INT16, false); break;
    default: fx_gemm512_right(panels, panel_bytes, k0, in, FX_INT16, FX_INT16, false); break;
    }
}

#endif
