// y = max(x, 0). saved = 1 where x > 0: the mask comes from the unrounded value, so a positive sum that a later
// quantiser rounds to code 0 still passes its error. float32: a NaN passes too, and so does its error.
#include "layers/layer.h"
#include "layers/map_kernels_f32.h"

#include <assert.h>
#include <string.h>

static int plan(FxLayer *l, const char *what, FxError *err) {
    (void)what, (void)err;
    l->out = l->in;
    l->in_place = true;
    return 0;
}

typedef struct Context {
    const FxTensor *x, *y;
    uint8_t *mask;
    const FxMapKernels *kernels;
    const FxMapKernelsF32 *kernels_f32;
} Context;

static void forward_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    uint8_t *mask = c->mask + first;
    (void)stats;
    if (c->x->type == FX_INT32) {
        c->kernels->relu((int32_t *)c->y->data + first, mask, (const int32_t *)c->x->data + first, n);
        return;
    }
    if (c->x->type == FX_INT64) {
        c->kernels->relu_16((int64_t *)c->y->data + first, mask, (const int64_t *)c->x->data + first, n);
        return;
    }
    if (c->x->type == FX_FLOAT32) {
        c->kernels_f32->relu(fx_tensor_at(c->y, first), mask, fx_tensor_at(c->x, first), n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t x = fx_tensor_get(c->x, first + i);
        mask[i] = x > 0;
        fx_tensor_set(c->y, first + i, x > 0 ? x : 0);
    }
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    assert(x->count == y->count && x->type == y->type);
    Context context = {x, y, l->saved.data, fx_map_kernels(work->cpu), fx_map_kernels_f32(work->cpu)};
    fx_work_ranges(work, x->count, forward_range, &context, NULL);
}

static void backward_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    const uint8_t *mask = c->mask + first;
    (void)stats;
    if (c->x->type == FX_INT8) {
        c->kernels->relu_back((int8_t *)c->y->data + first, (const int8_t *)c->x->data + first, mask, n);
        return;
    }
    if (c->x->type == FX_INT16) {
        c->kernels->relu_back_16((int16_t *)c->y->data + first, (const int16_t *)c->x->data + first, mask, n);
        return;
    }
    if (c->x->type == FX_FLOAT32) {
        c->kernels_f32->relu_back(fx_tensor_at(c->y, first), fx_tensor_at(c->x, first), mask, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fx_tensor_set(c->y, first + i, mask[i] ? fx_tensor_get(c->x, first + i) : 0);
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    assert(e->count == dx->count && e->type == dx->type);
    Context context = {e, dx, l->saved.data, fx_map_kernels(work->cpu), fx_map_kernels_f32(work->cpu)};
    fx_work_ranges(work, e->count, backward_range, &context, NULL);
}

const FxLayerOps fx_relu_ops = {"R", "relu", FX_ROLE_MAP, false, "R: rectifier, where it is not implied", plan,
                                forward, backward_data, NULL, "relu.mask"};
