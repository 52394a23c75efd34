// Packing in plain C, for kernels whose panels hold int16 or int32 codes. Every function is static inline: each
// instruction set's file gets its own copy.
#ifndef FX_GEMM_PACK_H
#define FX_GEMM_PACK_H

#include "layers/gemm_kernel.h"

#include <string.h>

#define FX_GEMM_INLINE static inline __attribute__((always_inline))

FX_GEMM_INLINE int32_t fx_gemm_code(const void *line, FxType type, size_t i) {
    switch (type) {
    case FX_INT8: return ((const int8_t *)line)[i];
    case FX_UINT8: return ((const uint8_t *)line)[i];
    case FX_INT16: return ((const int16_t *)line)[i];
    default: return ((const int32_t *)line)[i];
    }
}

FX_GEMM_INLINE void fx_gemm_put(void *out, FxType packed, size_t i, int32_t code) {
    if (packed == FX_INT16)
        ((int16_t *)out)[i] = (int16_t)code;
    else
        ((int32_t *)out)[i] = code;
}

// The part of one panel that starts at row `row`; out is its group 0. Missing rows repeat the last one.
FX_GEMM_INLINE void fx_gemm_pack_panel(void *out, const FxGemmBlock *in, FxType type, FxType packed, size_t row,
                                       size_t width, size_t kr) {
    const char *data = in->data;
    const size_t present = in->rows - row < width ? in->rows - row : width;
    if (!in->k_is_row) {
        for (size_t r = 0; r < width; r++) {
            const char *line = data + (row + (r < present ? r : present - 1)) * in->stride;
            for (size_t k = 0; k < in->k; k++)
                fx_gemm_put(out, packed, (k / kr * width + r) * kr + k % kr, fx_gemm_code(line, type, k));
        }
    } else {
        const size_t base = row;
        for (size_t k = 0; k < in->k; k += kr)
            for (size_t j = 0; j < kr && k + j < in->k; j++) {
                const char *line = data + (k + j) * in->stride;
                if (present == width)
                    for (size_t r = 0; r < width; r++)
                        fx_gemm_put(out, packed, k * width + r * kr + j, fx_gemm_code(line, type, base + r));
                else
                    for (size_t r = 0; r < width; r++)
                        fx_gemm_put(out, packed, k * width + r * kr + j,
                                    fx_gemm_code(line, type, base + (r < present ? r : present - 1)));
            }
    }
    for (size_t k = in->k; k % kr != 0; k++)
        for (size_t r = 0; r < width; r++)
            fx_gemm_put(out, packed, (k / kr * width + r) * kr + k % kr, 0);
}

// All panels. header: bytes of start values in front of each, which are 0.
FX_GEMM_INLINE void fx_gemm_pack_panels(void *panels, size_t panel_bytes, size_t k0, const FxGemmBlock *in,
                                        FxType packed, size_t width, size_t kr, size_t header) {
    const size_t size = packed == FX_INT16 ? 2 : 4;
    char *panel = panels;
    for (size_t row = 0; row < in->rows; row += width, panel += panel_bytes) {
        if (k0 == 0)
            memset(panel, 0, header);
        char *out = panel + header + k0 * width * size;
        switch (in->type) {
        case FX_INT8: fx_gemm_pack_panel(out, in, FX_INT8, packed, row, width, kr); break;
        case FX_UINT8: fx_gemm_pack_panel(out, in, FX_UINT8, packed, row, width, kr); break;
        case FX_INT16: fx_gemm_pack_panel(out, in, FX_INT16, packed, row, width, kr); break;
        default: fx_gemm_pack_panel(out, in, FX_INT32, packed, row, width, kr); break;
        }
    }
}

#endif
