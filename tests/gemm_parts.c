#include "tests/gemm_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

uint32_t gemm_draw(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

void *gemm_allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    return p;
}

bool gemm_place(size_t *place, const FxMatrix *a, size_t row, size_t k) {
    const size_t position = a->patch_rows ? k : row, patch = a->patch_rows ? row : k;
    const size_t out_h = (size_t)a->out_height, out_w = (size_t)a->out_width;
    const size_t kernel_w = (size_t)a->kernel_width, channels = (size_t)a->channels;
    const int ox = (int)(position % out_w), oy = (int)(position / out_w % out_h);
    const size_t image = position / out_w / out_h, ch = patch % channels;
    const int kx = (int)(patch / channels % kernel_w), ky = (int)(patch / channels / kernel_w);
    int iy = oy * a->stride - a->pad + ky, ix = ox * a->stride - a->pad + kx;
    if (a->gather) {
        iy = oy + a->pad - ky;
        ix = ox + a->pad - kx;
        if (iy < 0 || ix < 0 || iy % a->stride != 0 || ix % a->stride != 0)
            return false;
        iy /= a->stride;
        ix /= a->stride;
    }
    *place = ((image * (size_t)a->height + (size_t)iy) * (size_t)a->width + (size_t)ix) * channels + ch;
    return iy >= 0 && iy < a->height && ix >= 0 && ix < a->width;
}
