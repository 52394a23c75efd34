#include "layers/linear.h"

#include <assert.h>

typedef struct Context {
    const FxTensor *out, *x, *y;
    int64_t a, b; // out = a * x + b * y
} Context;

static void range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    int64_t *out = c->out->data;
    (void)stats;
    for (size_t i = first; i < first + n; i++)
        out[i] = (c->x ? c->a * fx_tensor_get(c->x, i) : 0) + (c->y ? c->b * fx_tensor_get(c->y, i) : 0);
}

void fx_multiply_add(FxTensor *out, FxScalar a, const FxTensor *x, const FxTensor *y, const FxWork *work) {
    if (out->type == FX_FLOAT32) {
        fx_multiply_add_f32(out, a, x, y, work);
        return;
    }
    assert(out->type == FX_INT64);
    int power = __builtin_ctz((unsigned)a.mantissa | 1U << 31); // the unit is no finer than needed
    int of_x = a.exponent + power + x->exponent, unit = !a.mantissa ? (y ? y->exponent : of_x) : y && y->exponent < of_x ? y->exponent : of_x;
    Context c = {out, a.mantissa ? x : NULL, y, 0, 0};
    out->exponent = unit;
    if (c.x)
        c.a = (a.mantissa >> power) * (INT64_C(1) << (of_x - unit)); // what is shifted out is 0
    if (y)
        c.b = INT64_C(1) << (y->exponent - unit);
    fx_work_ranges(work, out->count, range, &c, NULL);
}
