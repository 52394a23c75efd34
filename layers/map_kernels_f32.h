// Inner loops of pooling, the rectifier and the bias on float32, one table an instruction set, all from the same source.
// A NaN is never lost: the rectifier lets it through, with its error, and in a pooling window the first NaN wins.
// -0 equals +0: the first of them wins a window, the rectifier makes +0 of both.
#ifndef FX_MAP_KERNELS_F32_H
#define FX_MAP_KERNELS_F32_H

#include "layers/map_kernels.h"

typedef struct FxMapKernelsF32 {
    unsigned cpu;
    // Output row oy of one image: y[ox][c] the maxima, place[ox][c] the winner's place in its window.
    void (*pool_row)(const FxLayer *layer, const float *image, float *y, uint8_t *place, int oy);
    // Backward of one output row: adds each error to its winner, ox ascending, one float32 addition each.
    void (*unpool_row)(const FxLayer *layer, const float *e, float *image, const uint8_t *place, int oy);
    void (*relu)(float *y, uint8_t *mask, const float *x, size_t n); // y may be x
    void (*relu_back)(float *dx, const float *e, const uint8_t *mask, size_t n); // dx may be e
    void (*add)(float *y, const float *x, size_t n); // y[i] += x[i]
    void (*multiply_add)(float *out, float a, const float *x, const float *y, size_t n); // fused; out may be x or y
} FxMapKernelsF32;

const FxMapKernelsF32 *fx_map_kernels_f32(unsigned cpu); // the last line whose flags are all in cpu

extern const FxMapKernelsF32 fx_map_kernels_f32_scalar, fx_map_kernels_f32_avx2, fx_map_kernels_f32_avx512;

#endif
