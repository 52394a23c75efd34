// The inner loops of maps for one pair of types: SUM of what goes forward, CODE of the errors. Included by
// map_kernels_body.h once a pair, with NAME for its functions.
#define WINS(x, old) ((x) > (old))
#include "layers/map_kernels_pool.h"
#undef WINS

static void NAME(unpool_row)(const FxLayer *l, const CODE *e, CODE *image, const uint8_t *place, int oy) {
    size_t c = (size_t)l->in.c;
    for (int ox = 0; ox < l->out.w; ox++, e += c, place += c) {
        FxWindow v = fx_window(l, oy, ox);
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                CODE *restrict to = image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * c;
                uint8_t here = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                for (size_t i = 0; i < c; i++)
                    to[i] = place[i] == here ? e[i] : 0;
            }
    }
}

static void NAME(relu)(SUM *y, uint8_t *mask, const SUM *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        mask[i] = x[i] > 0;
        y[i] = x[i] > 0 ? x[i] : 0;
    }
}

static void NAME(relu_back)(CODE *dx, const CODE *e, const uint8_t *mask, size_t n) {
    for (size_t i = 0; i < n; i++)
        dx[i] = mask[i] ? e[i] : 0;
}
