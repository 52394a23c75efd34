// Convolution and fully connected layer: cross-correlation with zero padding and stride, as three products, of integers
// or, where the sums are float32, of floats.
//   forward   y[n,oy,ox,co]   = sum over (ky, kx, ci) of x[n, oy*s-p+ky, ox*s-p+kx, ci] * w[ky,kx,ci,co]
//   error     dx[n,iy,ix,ci]  = sum over (ky, kx, co) of e[n, (iy+p-ky)/s, (ix+p-kx)/s, co] * w[ky,kx,ci,co]
//   gradient  dw[ky,kx,ci,co] = sum over (n, oy, ox)  of x[n, oy*s-p+ky, ox*s-p+kx, ci] * e[n,oy,ox,co]
#include "layers/accumulator_f32.h"
#include "layers/bias.h"
#include "layers/gemm_f32.h"
#include "layers/layer.h"

#include <assert.h>

static int plan_product(FxLayer *l, FxShape image, const char *what, FxError *err) {
    int k = l->kernel;
    int h = image.h + 2 * l->pad - k, w = image.w + 2 * l->pad - k;
    if (h < 0 || w < 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: a %dx%d window does not fit %dx%d data with padding %d", what, k, k, image.h,
                       image.w, l->pad);
    l->image = image;
    l->out = (FxShape){image.n, h / l->stride + 1, w / l->stride + 1, l->count};
    l->fan_in = (size_t)k * (size_t)k * (size_t)image.c;
    l->weights = l->fan_in * (size_t)l->count;
    if (l->weights > INT32_MAX)
        return fx_fail(err, FX_EXIT_USAGE, "%s: %zu weights; at most 2^31 - 1", what, l->weights);
    return 0;
}

static int conv_plan(FxLayer *l, const char *what, FxError *err) {
    if (l->count < 0 || l->kernel < 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write filters and kernel size, as 32C5", what);
    l->pad = l->pad < 0 ? (l->kernel - 1) / 2 : l->pad;
    l->stride = l->stride < 0 ? 1 : l->stride;
    return plan_product(l, l->in, what, err);
}

static int fc_plan(FxLayer *l, const char *what, FxError *err) {
    if (l->count < 0 || l->kernel >= 0 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write the number of outputs alone, as 512FC", what);
    l->kernel = l->stride = 1;
    l->pad = 0;
    return plan_product(l, (FxShape){l->in.n, 1, 1, l->in.h * l->in.w * l->in.c}, what, err);
}

// Views of the tensors. x and e are n h w c, w is [ky][kx][ci][co].
static FxMatrix patches_of_x(const FxLayer *l, int images, const FxTensor *x, bool patch_rows) {
    return (FxMatrix){
        .data = x ? x->data : NULL, .type = x ? x->type : FX_INT8,
        .images = images, .height = l->image.h, .width = l->image.w, .channels = l->image.c,
        .out_height = l->out.h, .out_width = l->out.w,
        .kernel_height = l->kernel, .kernel_width = l->kernel, .stride = l->stride, .pad = l->pad,
        .patch_rows = patch_rows,
    };
}

static FxMatrix patches_of_e(const FxLayer *l, int images, const FxTensor *e) {
    return (FxMatrix){
        .data = e ? e->data : NULL, .type = e ? e->type : FX_INT8,
        .images = images, .height = l->out.h, .width = l->out.w, .channels = l->out.c,
        .out_height = l->image.h, .out_width = l->image.w,
        .kernel_height = l->kernel, .kernel_width = l->kernel, .stride = l->stride, .pad = l->pad,
        .gather = true,
    };
}

// Rows ci, k along (ky, kx, co): an image of taps x ci positions with co channels, read by a window of one column.
static FxMatrix weights_by_input(const FxLayer *l, const FxTensor *w) {
    int taps = l->kernel * l->kernel;
    return (FxMatrix){
        .data = w ? w->data : NULL, .type = w ? w->type : FX_INT8,
        .images = 1, .height = taps, .width = l->image.c, .channels = l->out.c,
        .out_height = 1, .out_width = l->image.c,
        .kernel_height = taps, .kernel_width = 1, .stride = 1, .pad = 0,
    };
}

static FxMatrix plain(const FxTensor *t, int rows, int columns) {
    return fx_matrix_plain(t ? t->data : NULL, t ? t->type : FX_INT8, rows, columns, true);
}

FxProduct fx_layer_product(const FxLayer *l, FxProductKind kind, int images, const FxTensor *left, const FxTensor *right,
                           const FxTensor *sums) {
    FxProduct p = {.c = sums ? sums->data : NULL, .c_type = sums ? sums->type : FX_INT32};
    switch (kind) {
    case FX_FORWARD:
        p.a = patches_of_x(l, images, left, false);
        p.b = plain(right, (int)l->fan_in, l->out.c);
        break;
    case FX_ERROR:
        p.a = patches_of_e(l, images, left);
        p.b = weights_by_input(l, right);
        break;
    case FX_GRADIENT:
    case FX_PRODUCTS:
        p.a = patches_of_x(l, images, left, true);
        p.b = plain(right, images * l->out.h * l->out.w, l->out.c);
        break;
    }
    return p;
}

// Products of float32, of which one operand may be codes.
static FxAccumulateF32 float_product(const FxProduct *p, const FxTensor *left, const FxTensor *right, const FxTensor *bias) {
    return (FxAccumulateF32){.a = p->a, .b = p->b, .a_exponent = left->exponent, .b_exponent = right->exponent, .c = p->c,
                             .bias = bias && bias->count ? bias->data : NULL};
}

bool fx_layer_counts_f32(const FxAccumulator *acc) {
    return acc->inner.kind != FX_ACC_FP32 || (acc->chunk && acc->outer.kind != FX_ACC_FP32) || acc->group != 1;
}

// Chains of fused additions, for which the plain product needs little scratch.
static bool is_plain_f32(const FxAccumulator *acc) {
    return !fx_layer_counts_f32(acc) && acc->order != FX_ORDER_OH_OW_N;
}

static FxProductF32 plain_f32(const FxAccumulateF32 *p, const FxAccumulator *acc) {
    return (FxProductF32){.a = p->a, .b = p->b, .a_exponent = p->a_exponent, .b_exponent = p->b_exponent, .c = p->c, .chunk = (size_t)acc->chunk};
}

static void run_f32(const FxLayer *l, FxProductKind kind, const FxAccumulateF32 *p, const FxTensor *sums, const FxWork *work,
                    FxAccumulatorCounts *counts) {
    const FxAccumulator *acc = &l->accumulator[kind];
    if (is_plain_f32(acc)) {
        FxProductF32 product = plain_f32(p, acc);
        fx_gemm_f32(&product, work);
        if (p->bias)
            fx_bias_add(sums, &l->bias, NULL, work, NULL);
        return;
    }
    FxAccumulatorCountsF32 seen = {0};
    bool counting = counts && fx_layer_counts_f32(acc);
    fx_accumulate_f32(p, acc, l->random, work, counting ? &seen : NULL);
    if (counting) {
        counts->overflow += seen.overflow;
        counts->swamped += seen.swamped;
    }
}

static void run(const FxLayer *l, FxProductKind kind, int images, const FxTensor *left, const FxTensor *right,
                const FxTensor *sums, const FxTensor *bias, const FxWork *work, FxAccumulatorCounts *counts) {
    const FxAccumulator *acc = &l->accumulator[kind];
    FxProduct p = fx_layer_product(l, kind, images, left, right, sums);
    assert(fx_matrix_rows(&p.a) * fx_matrix_rows(&p.b) == sums->count && fx_matrix_k(&p.a) == fx_matrix_k(&p.b));
    if (sums->type == FX_FLOAT32) {
        FxAccumulateF32 product = float_product(&p, left, right, bias);
        run_f32(l, kind, &product, sums, work, counts);
        return;
    }
    fx_accumulate(&p, acc, l->max_product[kind], work, counts);
    if (bias && bias->count) {
        FxTensor y = *sums;
        y.exponent = left->exponent + right->exponent + acc->shift;
        fx_bias_add(&y, bias, acc->chunk ? &acc->outer : &acc->inner, work, counts);
    }
}

size_t fx_layer_scratch(const FxLayer *l, FxProductKind kind, int images, const FxTensor *left, const FxTensor *right,
                        const FxTensor *sums, const FxWork *work) {
    const FxAccumulator *acc = &l->accumulator[kind];
    FxProduct p = fx_layer_product(l, kind, images, left, right, sums);
    if (sums->type != FX_FLOAT32)
        return fx_accumulate_scratch(&p, acc, work);
    FxAccumulateF32 product = float_product(&p, left, right, NULL);
    FxProductF32 plain = plain_f32(&product, acc);
    return is_plain_f32(acc) ? fx_gemm_f32_scratch(&plain, work) : fx_accumulate_f32_scratch(&product, work);
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    run(l, FX_FORWARD, fx_layer_images(x, l->image), x, &l->weight, y, &l->bias, work, counts);
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    run(l, FX_ERROR, fx_layer_images(e, l->out), e, &l->weight, dx, NULL, work, counts);
}

static void backward_weights(const FxLayer *l, const FxTensor *x, const FxTensor *e, const FxTensor *dw, const FxWork *work,
                             FxAccumulatorCounts *counts) {
    run(l, FX_GRADIENT, fx_layer_images(e, l->out), x, e, dw, NULL, work, counts);
}

const FxLayerOps fx_conv_ops = {"C", "conv", FX_ROLE_PRODUCT, true, "[n]C[k][pP][sS]: n filters k x k", conv_plan,
                                forward, backward_data, backward_weights, NULL};
const FxLayerOps fx_fc_ops = {"FC", "fc", FX_ROLE_PRODUCT, true, "nFC: n outputs, fully connected", fc_plan,
                              forward, backward_data, backward_weights, NULL};
