// Bodies of the inner loops of maps. Included once by the file of each instruction set, which defines
// FX_MAP_KERNELS_TABLE and FX_MAP_KERNELS_CPU; the compiler makes the vectors. Integers only.
#include "layers/map_kernels.h"

#include <string.h>

static void pool_row(const FxLayer *l, const int32_t *image, int32_t *y, uint8_t *place, int oy) {
    size_t c = (size_t)l->in.c;
    for (int ox = 0; ox < l->out.w; ox++, y += c, place += c) {
        FxWindow v = fx_window(l, oy, ox);
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                const int32_t *restrict x = image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * c;
                uint8_t here = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                if (iy == v.y0 && ix == v.x0) {
                    memcpy(y, x, c * sizeof *y);
                    memset(place, here, c);
                    continue;
                }
                for (size_t i = 0; i < c; i++) {
                    int32_t old = y[i];
                    place[i] = x[i] > old ? here : place[i];
                    y[i] = x[i] > old ? x[i] : old;
                }
            }
    }
}

static void unpool_row(const FxLayer *l, const int8_t *e, int8_t *image, const uint8_t *place, int oy) {
    size_t c = (size_t)l->in.c;
    for (int ox = 0; ox < l->out.w; ox++, e += c, place += c) {
        FxWindow v = fx_window(l, oy, ox);
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                int8_t *restrict to = image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * c;
                uint8_t here = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                for (size_t i = 0; i < c; i++)
                    to[i] = place[i] == here ? e[i] : 0;
            }
    }
}

static void relu(int32_t *y, uint8_t *mask, const int32_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        mask[i] = x[i] > 0;
        y[i] = x[i] > 0 ? x[i] : 0;
    }
}

static void relu_back(int8_t *dx, const int8_t *e, const uint8_t *mask, size_t n) {
    for (size_t i = 0; i < n; i++)
        dx[i] = mask[i] ? e[i] : 0;
}

const FxMapKernels FX_MAP_KERNELS_TABLE = {FX_MAP_KERNELS_CPU, pool_row, unpool_row, relu, relu_back};
