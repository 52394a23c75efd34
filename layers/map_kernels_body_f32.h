// Bodies of the inner loops of float32 maps. Included once by the file of each instruction set, which defines
// FX_MAP_KERNELS_F32_TABLE and FX_MAP_KERNELS_F32_CPU; the compiler makes the vectors, across channels only.
#include "layers/map_kernels_f32.h"

#include <string.h>

#define NAME(name) name
#define SUM float
#define WINS(x, old) (!((x) <= (old)) & ((old) == (old))) // larger, or the first NaN
#include "layers/map_kernels_pool.h"

// Adding +0 where a place did not win changes nothing: a sum that starts from +0 is never -0.
static void unpool_row(const FxLayer *l, const float *e, float *image, const uint8_t *place, int oy) {
    size_t c = (size_t)l->in.c;
    for (int ox = 0; ox < l->out.w; ox++, e += c, place += c) {
        FxWindow v = fx_window(l, oy, ox);
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                float *restrict to = image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * c;
                uint8_t here = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                for (size_t i = 0; i < c; i++)
                    to[i] += place[i] == here ? e[i] : 0;
            }
    }
}

static void relu(float *y, uint8_t *mask, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float v = x[i];
        mask[i] = (uint8_t)!(v <= 0);
        y[i] = v <= 0 ? 0 : v;
    }
}

static void relu_back(float *dx, const float *e, const uint8_t *mask, size_t n) {
    for (size_t i = 0; i < n; i++)
        dx[i] = mask[i] ? e[i] : 0;
}

static void add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void multiply_add(float *out, float a, const float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = __builtin_fmaf(a, x[i], y[i]);
}

const FxMapKernelsF32 FX_MAP_KERNELS_F32_TABLE = {FX_MAP_KERNELS_F32_CPU, pool_row, unpool_row, relu, relu_back, add, multiply_add};
