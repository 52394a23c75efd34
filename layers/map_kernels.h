// Inner loops of pooling and the rectifier, one table an instruction set, all from the same source.
#ifndef FX_MAP_KERNELS_H
#define FX_MAP_KERNELS_H

#include "layers/layer.h"

typedef struct FxMapKernels {
    unsigned cpu;
    // Output row oy of one image: y[ox][c] the maxima, place[ox][c] the winner's place in its window.
    void (*pool_row)(const FxLayer *layer, const int32_t *image, int32_t *y, uint8_t *place, int oy);
    // Backward of one output row whose windows do not overlap: writes every element that its windows cover.
    void (*unpool_row)(const FxLayer *layer, const int8_t *e, int8_t *image, const uint8_t *place, int oy);
    void (*relu)(int32_t *y, uint8_t *mask, const int32_t *x, size_t n);
    void (*relu_back)(int8_t *dx, const int8_t *e, const uint8_t *mask, size_t n);
    // The same of 64-bit sums and 16-bit errors.
    void (*pool_row_16)(const FxLayer *layer, const int64_t *image, int64_t *y, uint8_t *place, int oy);
    void (*unpool_row_16)(const FxLayer *layer, const int16_t *e, int16_t *image, const uint8_t *place, int oy);
    void (*relu_16)(int64_t *y, uint8_t *mask, const int64_t *x, size_t n);
    void (*relu_back_16)(int16_t *dx, const int16_t *e, const uint8_t *mask, size_t n);
    // Addition (layers/add.h), by type up to int32: y[i] += x[i] * 2^shift, 0 <= shift <= 24; y[i] += x[i] / 2^shift rounded
    // halves up, shift > 0.
    void (*add_left[FX_INT32 + 1])(int64_t *y, const void *x, size_t n, int shift);
    void (*add_right[FX_INT32 + 1])(int64_t *y, const void *x, size_t n, int shift);
    // Of int64, and of products with an exponent each: held to 38 bits before the shift, y to 62 bits.
    void (*add_wide)(int64_t *y, const int64_t *x, size_t n, int shift);
    void (*add_products)(int64_t *y, const int32_t *x, const int32_t *multiplier, const int32_t *exponent, int e, size_t n);
    void (*hold)(int64_t *y, size_t n); // to +-(2^62 - 1)
} FxMapKernels;

const FxMapKernels *fx_map_kernels(unsigned cpu); // the last line whose flags are all in cpu

extern const FxMapKernels fx_map_kernels_scalar, fx_map_kernels_avx2, fx_map_kernels_avx512;

// The part of a pooling window that lies inside the image.
typedef struct FxWindow {
    int top, left, y0, y1, x0, x1;
} FxWindow;

static inline FxWindow fx_window(const FxLayer *l, int oy, int ox) {
    int top = oy * l->stride - l->pad, left = ox * l->stride - l->pad;
    return (FxWindow){top, left, top > 0 ? top : 0, top + l->kernel < l->in.h ? top + l->kernel : l->in.h,
                      left > 0 ? left : 0, left + l->kernel < l->in.w ? left + l->kernel : l->in.w};
}

#endif
