// Training: y = x / (1 - p) where the word of the element is kept, 0 elsewhere; an evaluation leaves it out. p in percent, the
// same mask on the way back. Integers: p = 50 alone; the factor 2 is in the exponent (FxLayer.gain). Source: Srivastava et
// al., JMLR 2014; keep iff word >= floor(p * 2^32), element = row-major index: specs/formats.md 12.7.
#include "layers/dropout_f32.h"
#include "layers/layer.h"

#include <assert.h>
#include <string.h>

static int plan(FxLayer *l, const char *what, FxError *err) {
    if (l->count >= 0 || l->kernel < 1 || l->kernel > 99 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write the percentage alone, 1 to 99, as DO50", what);
    l->out = l->in;
    l->in_place = true;
    return 0;
}

typedef struct Context {
    const FxLayer *layer;
    const FxTensor *x, *y;
    const FxWork *work;
    bool draws; // the mask, else it is read
} Context;

static void draw(const Context *c, size_t first, size_t n) {
    uint8_t *mask = (uint8_t *)c->layer->saved.data + first;
    uint32_t R[FX_BLOCK], least = (uint32_t)((uint64_t)c->layer->kernel * (UINT64_C(1) << 32) / 100);
    for (size_t i = 0; i < n; i += FX_BLOCK) {
        size_t take = n - i < FX_BLOCK ? n - i : FX_BLOCK;
        fx_random_bits(R, c->layer->random, c->layer->first_word + first + i, take, 32, c->work->cpu);
        for (size_t j = 0; j < take; j++)
            mask[i + j] = R[j] >= least;
    }
}

static void range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    const uint8_t *mask = (const uint8_t *)c->layer->saved.data + first;
    (void)stats;
    if (c->draws)
        draw(c, first, n);
    if (c->x->type == FX_FLOAT32) {
        fx_dropout_f32(fx_tensor_at(c->y, first), fx_tensor_at(c->x, first), mask, n, c->layer->kernel);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fx_tensor_set(c->y, first + i, mask[i] ? fx_tensor_get(c->x, first + i) : 0);
}

static void run(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, bool draws) {
    Context context = {l, x, y, work, draws};
    assert(x->count == y->count && x->type == y->type && (x->type == FX_FLOAT32 || l->gain == 1));
    fx_work_ranges(work, x->count, range, &context, NULL);
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    run(l, x, y, work, true);
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    run(l, e, dx, work, false);
}

const FxLayerOps fx_dropout_ops = {"DO", "dropout", FX_ROLE_MAP, false, "DOp: dropout of p percent, in training alone", plan,
                                   forward, backward_data, NULL, "dropout.mask"};
