// AVX-512 VNNI: byte panels for vpdpbusd, int16 panels for vpdpwssd. 12 x 32 sums fill 24 of the 32 registers.
// vpdpbusd multiplies unsigned by signed bytes, so int8 codes on the left are stored lifted by 128.
#include "formats/cpu.h"
#include "layers/gemm_pack.h"

#include <immintrin.h>

enum { MR = 12, NR = 32, LANES = 16, HEADER = NR * sizeof(int32_t) };

static inline __mmask16 first(size_t count) {
    return (__mmask16)(count >= 16 ? 0xffff : (1u << count) - 1);
}

// Four times 16 bytes in the four lanes of a register.
static inline __m512i gather_lines(const char *p0, const char *p1, const char *p2, const char *p3, __mmask16 mask) {
    __m512i v = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(mask, p0));
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p1), 1);
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p2), 2);
    return _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, p3), 3);
}

static inline __m512i gather_full_lines(const char *p0, const char *p1, const char *p2, const char *p3) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p0));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p1), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p2), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)p3), 3);
}

// Codes k .. k + 15 of 16 rows as four groups: out[g] = the rows' dwords of group g, in order.
static inline void transpose_rows(__m512i out[4], const char *const row[LANES], size_t k, size_t present) {
    __m512i v[4];
    if (present >= 16) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v[j] = gather_full_lines(row[j] + k, row[j + 4] + k, row[j + 8] + k, row[j + 12] + k);
    } else {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v[j] = gather_lines(row[j] + k, row[j + 4] + k, row[j + 8] + k, row[j + 12] + k, first(present));
    }
    const __m512i t0 = _mm512_unpacklo_epi32(v[0], v[1]), t1 = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i t2 = _mm512_unpacklo_epi32(v[2], v[3]), t3 = _mm512_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm512_unpacklo_epi64(t0, t2);
    out[1] = _mm512_unpackhi_epi64(t0, t2);
    out[2] = _mm512_unpacklo_epi64(t1, t3);
    out[3] = _mm512_unpackhi_epi64(t1, t3);
}

// One group of 16 columns: four lines of 16 codes, interleaved. Lines past `present` are 0.
static inline __m512i interleave(const char *line, size_t stride, size_t present, size_t columns) {
    const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i v;
    if (present >= 4 && columns >= 16) {
        v = gather_full_lines(line, line + stride, line + 2 * stride, line + 3 * stride);
    } else {
        const __mmask16 mask = first(columns);
        v = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(mask, line));
        if (present > 1)
            v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, line + stride), 1);
        else
            v = _mm512_maskz_mov_epi32(0x000f, v);
        if (present > 2)
            v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, line + 2 * stride), 2);
        else
            v = _mm512_maskz_mov_epi32(0x00ff, v);
        if (present > 3)
            v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(mask, line + 3 * stride), 3);
        else
            v = _mm512_maskz_mov_epi32(0x0fff, v);
    }
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(lanes, v), bytes);
}

static inline size_t at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

// Four groups of 12 dwords each, the excess of four lanes dropped: three full registers.
static inline void store_four_groups(char *out, const __m512i v[4]) {
    const __m512i last = _mm512_setr_epi32(8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
    _mm512_storeu_si512(out, _mm512_inserti32x4(v[0], _mm512_castsi512_si128(v[1]), 3));
    _mm512_storeu_si512(out + 64, _mm512_shuffle_i32x4(v[1], v[2], 1 | 2 << 2 | 0 << 4 | 1 << 6));
    _mm512_storeu_si512(out + 128, _mm512_permutex2var_epi32(v[2], last, v[3]));
}

// Fewer groups: each is stored as 64 bytes, the next one overwrites the excess.
static inline void store_groups(char *out, const __m512i v[4], size_t groups) {
    for (size_t g = 0; g < groups; g++)
        _mm512_storeu_si512(out + g * MR * 4, v[g]);
}

static void left_rows(char *panels, size_t panel_bytes, const FxGemmBlock *in, __m512i lift) {
    for (size_t row = 0; row < in->rows; row += MR, panels += panel_bytes) {
        const char *line[LANES];
        for (size_t r = 0; r < LANES; r++)
            line[r] = (const char *)in->data + at_most(row + at_most(r, MR - 1), in->rows - 1) * in->stride;
        char *out = panels;
        for (size_t k = 0; k < in->k; k += 16, out += 16 * MR) {
            __m512i v[4];
            transpose_rows(v, line, k, in->k - k);
            for (int g = 0; g < 4; g++)
                v[g] = _mm512_xor_si512(v[g], lift);
            if (in->k - k > 12)
                store_four_groups(out, v);
            else
                store_groups(out, v, (in->k - k + 3) / 4);
        }
    }
}

static void left_columns(char *panels, size_t panel_bytes, const FxGemmBlock *in, __m512i lift) {
    for (size_t k = 0; k < in->k; k += 16) {
        const size_t groups = at_most((in->k - k + 3) / 4, 4);
        char *out = panels + k * MR;
        for (size_t row = 0; row < in->rows; row += MR, out += panel_bytes) {
            const char *line = (const char *)in->data + k * in->stride + row;
            __m512i v[4];
            if (groups == 4) {
#pragma GCC unroll 4
                for (size_t g = 0; g < 4; g++, line += 4 * in->stride)
                    v[g] = _mm512_xor_si512(interleave(line, in->stride, in->k - k - 4 * g, in->rows - row), lift);
                store_four_groups(out, v);
            } else {
                for (size_t g = 0; g < groups; g++, line += 4 * in->stride)
                    v[g] = _mm512_xor_si512(interleave(line, in->stride, in->k - k - 4 * g, in->rows - row), lift);
                store_groups(out, v, groups);
            }
        }
    }
}

static void pack_left8(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    const __m512i lift = _mm512_set1_epi8(in->type == FX_INT8 ? -128 : 0);
    char *out = (char *)panels + k0 * MR;
    if (in->k_is_row)
        left_columns(out, panel_bytes, in, lift);
    else
        left_rows(out, panel_bytes, in, lift);
}

// Start values of 16 columns: -128 times the sums that vpdpbusd made with 128.
static inline void subtract(int32_t *start, __m512i sum) {
    _mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_loadu_si512(start), sum));
}

static void right_rows(char *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    const __m512i lift = _mm512_set1_epi8(in->lift ? -128 : 0);
    for (size_t row = 0; row < in->rows; row += NR, panels += panel_bytes)
        for (size_t half = 0; half < NR; half += LANES) {
            const char *line[LANES];
            for (size_t r = 0; r < LANES; r++)
                line[r] = (const char *)in->data + at_most(row + half + r, in->rows - 1) * in->stride;
            char *out = panels + HEADER + k0 * NR + half * 4;
            __m512i sum = _mm512_setzero_si512();
            for (size_t k = 0; k < in->k; k += 16) {
                __m512i v[4];
                transpose_rows(v, line, k, in->k - k);
                const size_t groups = at_most((in->k - k + 3) / 4, 4);
                for (size_t g = 0; g < groups; g++, out += NR * 4) {
                    _mm512_storeu_si512(out, v[g]);
                    sum = _mm512_dpbusd_epi32(sum, lift, v[g]);
                }
            }
            subtract((int32_t *)panels + half, sum);
        }
}

static void right_columns(char *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    const __m512i lift = _mm512_set1_epi8(in->lift ? -128 : 0);
    for (size_t k = 0; k < in->k; k += 16) {
        const size_t end = at_most(in->k, k + 16);
        char *panel = panels;
        for (size_t row = 0; row < in->rows; row += NR, panel += panel_bytes) {
            char *out = panel + HEADER + (k0 + k) * NR;
            __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;
            const size_t right = in->rows - row > LANES ? in->rows - row - LANES : 0;
            for (size_t j = k; j < end; j += 4, out += NR * 4) {
                const char *line = (const char *)in->data + j * in->stride + row;
                const __m512i v0 = interleave(line, in->stride, in->k - j, in->rows - row);
                const __m512i v1 = interleave(line + LANES, in->stride, in->k - j, right);
                _mm512_storeu_si512(out, v0);
                _mm512_storeu_si512(out + 64, v1);
                sum0 = _mm512_dpbusd_epi32(sum0, lift, v0);
                sum1 = _mm512_dpbusd_epi32(sum1, lift, v1);
            }
            subtract((int32_t *)panel, sum0);
            subtract((int32_t *)panel + LANES, sum1);
        }
    }
}

static void pack_right8(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    if (k0 == 0)
        for (size_t row = 0; row < in->rows; row += NR)
            memset((char *)panels + row / NR * panel_bytes, 0, HEADER);
    if (in->k_is_row)
        right_columns(panels, panel_bytes, k0, in);
    else
        right_rows(panels, panel_bytes, k0, in);
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

static void pack_left16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, MR, 2, 0);
}

static void pack_right16(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in) {
    fx_gemm_pack_panels(panels, panel_bytes, k0, in, FX_INT16, NR, 2, HEADER);
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
