// Maximum over a window, on sums or codes. The padding never wins; the first of equals in row-major order does, and
// saved remembers its place in the window. Backward routes each error to its winner; where windows overlap the errors
// that meet are added exactly, so dx may need more bits than e. float32: the first NaN wins; errors that meet are added
// from +0 in row-major order of the windows.
#include "layers/layer.h"
#include "layers/map_kernels_f32.h"

#include <assert.h>
#include <string.h>

static int plan(FxLayer *l, const char *what, FxError *err) {
    if (l->count >= 0 || l->kernel < 1 || l->kernel > 15)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write the window alone, 1 to 15, as MP2", what);
    l->pad = l->pad < 0 ? 0 : l->pad;
    l->stride = l->stride < 0 ? l->kernel : l->stride;
    if (l->pad > l->kernel / 2)
        return fx_fail(err, FX_EXIT_USAGE, "%s: padding %d of a %dx%d window; at most %d", what, l->pad, l->kernel, l->kernel,
                       l->kernel / 2);
    int h = l->in.h + 2 * l->pad - l->kernel, w = l->in.w + 2 * l->pad - l->kernel;
    if (h < 0 || w < 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: a %dx%d window does not fit %dx%d data with padding %d", what, l->kernel,
                       l->kernel, l->in.h, l->in.w, l->pad);
    l->out = (FxShape){l->in.n, h / l->stride + 1, w / l->stride + 1, l->in.c};
    return 0;
}

static void forward_window(const FxLayer *l, const FxTensor *xt, size_t image, const FxTensor *yt, size_t out, uint8_t *place,
                        int oy, int ox) {
    FxWindow v = fx_window(l, oy, ox);
    for (size_t i = 0; i < (size_t)l->in.c; i++) {
        bool first = true;
        for (int iy = v.y0; iy < v.y1; iy++)
            for (int ix = v.x0; ix < v.x1; ix++) {
                int64_t x = fx_tensor_get(xt, image + ((size_t)iy * (size_t)l->in.w + (size_t)ix) * (size_t)l->in.c + i);
                if (!first && x <= fx_tensor_get(yt, out + i))
                    continue;
                fx_tensor_set(yt, out + i, x);
                place[i] = (uint8_t)((iy - v.top) * l->kernel + ix - v.left);
                first = false;
            }
    }
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    assert(x->type == y->type);
    int images = fx_layer_images(x, l->in);
    size_t image = fx_shape_count(fx_shape_images(l->in, 1)), c = (size_t)l->in.c;
    uint8_t *saved = l->saved.data;
    const FxMapKernels *kernels = fx_map_kernels(work->cpu);
    const FxMapKernelsF32 *kernels_f32 = fx_map_kernels_f32(work->cpu);
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (int n = 0; n < images; n++)
        for (int oy = 0; oy < l->out.h; oy++) {
            size_t out = ((size_t)n * (size_t)l->out.h + (size_t)oy) * (size_t)l->out.w * c;
            if (x->type == FX_INT32)
                kernels->pool_row(l, (const int32_t *)x->data + (size_t)n * image, (int32_t *)y->data + out, saved + out, oy);
            else if (x->type == FX_INT64)
                kernels->pool_row_16(l, (const int64_t *)x->data + (size_t)n * image, (int64_t *)y->data + out, saved + out, oy);
            else if (x->type == FX_FLOAT32)
                kernels_f32->pool_row(l, fx_tensor_at(x, (size_t)n * image), fx_tensor_at(y, out), saved + out, oy);
            else
                for (int ox = 0; ox < l->out.w; ox++, out += c)
                    forward_window(l, x, (size_t)n * image, y, out, saved + out, oy, ox);
        }
}

// Where the winner of output element (oy, ox, i) lies in its image.
static size_t winner(const FxLayer *l, int oy, int ox, size_t i, uint8_t place) {
    FxWindow v = fx_window(l, oy, ox);
    size_t iy = (size_t)(v.top + place / l->kernel), ix = (size_t)(v.left + place % l->kernel);
    return (iy * (size_t)l->in.w + ix) * (size_t)l->in.c + i;
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    assert((e->type == FX_FLOAT32) == (dx->type == FX_FLOAT32));
    int images = fx_layer_images(e, l->out);
    size_t image = fx_shape_count(fx_shape_images(l->in, 1)), c = (size_t)l->in.c, size = fx_type_size(dx->type);
    const uint8_t *saved = l->saved.data;
    const FxMapKernels *kernels = fx_map_kernels(work->cpu);
    const FxMapKernelsF32 *kernels_f32 = fx_map_kernels_f32(work->cpu);
    bool apart = l->stride >= l->kernel && e->type == dx->type && (e->type == FX_INT8 || e->type == FX_INT16);
    bool covers = l->stride == l->kernel && l->pad == 0 && l->in.h % l->kernel == 0 && l->in.w % l->kernel == 0;
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (int n = 0; n < images; n++) {
        size_t start = (size_t)n * image;
        if (!apart || !covers)
            memset((char *)dx->data + start * size, 0, image * size);
        for (int oy = 0; oy < l->out.h; oy++) {
            size_t out = ((size_t)n * (size_t)l->out.h + (size_t)oy) * (size_t)l->out.w * c;
            if (apart && e->type == FX_INT16) {
                kernels->unpool_row_16(l, (const int16_t *)e->data + out, (int16_t *)dx->data + start, saved + out, oy);
                continue;
            }
            if (apart) {
                kernels->unpool_row(l, (const int8_t *)e->data + out, (int8_t *)dx->data + start, saved + out, oy);
                continue;
            }
            if (dx->type == FX_FLOAT32) {
                kernels_f32->unpool_row(l, fx_tensor_at(e, out), fx_tensor_at(dx, start), saved + out, oy);
                continue;
            }
            for (int ox = 0; ox < l->out.w; ox++, out += c)
                for (size_t i = 0; i < c; i++) {
                    size_t to = start + winner(l, oy, ox, i, saved[out + i]);
                    fx_tensor_set(dx, to, fx_tensor_get(dx, to) + fx_tensor_get(e, out + i));
                }
        }
    }
}

const FxLayerOps fx_max_pool_ops = {"MP", "max-pool", FX_ROLE_MAP, false, "MPk[pP][sS]: maximum over k x k", plan,
                                    forward, backward_data, NULL, "pool.argmax"};
