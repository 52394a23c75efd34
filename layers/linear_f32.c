#include "layers/linear.h"

#include "formats/bits_f32.h"
#include "layers/map_kernels_f32.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { RUN = 1024 };

static float scalar_f32(FxScalar s) {
    return (float)ldexp(s.mantissa, s.exponent); // 15 bits
}

// Elements [first, first + n) of value code * 2^exponent: exact for what float32 holds, else rounded once.
static void to_f32(float *out, const FxTensor *x, size_t first, size_t n) {
    if (x->type == FX_FLOAT32) {
        memcpy(out, (const float *)x->data + first, n * sizeof *out);
        return;
    }
    int e = x->exponent < -1000 ? -1000 : x->exponent > 900 ? 900 : x->exponent;
    double unit = fx_double_of((uint64_t)(e + 1023) << 52);
    if (x->type == FX_INT8)
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(((const int8_t *)x->data)[first + i] * unit);
    else if (x->type == FX_INT16)
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(((const int16_t *)x->data)[first + i] * unit);
    else if (x->type == FX_INT32)
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(((const int32_t *)x->data)[first + i] * unit);
    else
        for (size_t i = 0; i < n; i++) { // beyond 2^53 too: rounded once
            uint32_t bits = fx_number_to_f32(fx_number_int(fx_tensor_get(x, first + i), x->exponent));
            memcpy(&out[i], &bits, sizeof bits);
        }
}

typedef struct Context {
    const FxTensor *out, *out2, *x, *y, *z;
    float a, b, c, d;
    const FxMapKernelsF32 *kernels;
} Context;

// A block of a tensor as float32: itself, or a copy in buffer.
static const float *block(float *buffer, const FxTensor *x, size_t first, size_t n) {
    if (x->type == FX_FLOAT32)
        return (const float *)x->data + first;
    to_f32(buffer, x, first, n);
    return buffer;
}

static void multiply_add_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    float x_buffer[RUN], y_buffer[RUN];
    static const float zeros[RUN];
    (void)stats;
    for (size_t i = first; i < first + n; i += RUN) {
        size_t take = first + n - i < RUN ? first + n - i : RUN;
        const float *x = block(x_buffer, c->x, i, take), *y = c->y ? block(y_buffer, c->y, i, take) : zeros;
        c->kernels->multiply_add((float *)c->out->data + i, c->a, x, y, take);
    }
}

void fx_multiply_add_f32(const FxTensor *out, FxScalar a, const FxTensor *x, const FxTensor *y, const FxWork *work) {
    Context c = {.out = out, .x = x, .y = y, .a = scalar_f32(a), .kernels = fx_map_kernels_f32(work->cpu)};
    assert(out->type == FX_FLOAT32);
    if (!a.mantissa && !y) {
        memset(out->data, 0, out->count * sizeof(float));
        return;
    }
    if (!a.mantissa) { // a non-finite x must not come in
        c.x = y;
        c.y = NULL;
        c.a = 1;
    }
    fx_work_ranges(work, out->count, multiply_add_range, &c, NULL);
}

static void divide_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    float buffer[RUN], *out = (float *)c->out->data;
    (void)stats;
    for (size_t i = first; i < first + n; i += RUN) {
        size_t take = first + n - i < RUN ? first + n - i : RUN;
        const float *x = block(buffer, c->x, i, take);
        for (size_t j = 0; j < take; j++)
            out[i + j] = x[j] / c->a;
    }
}

void fx_divide_f32(const FxTensor *out, const FxTensor *x, FxScalar divisor, const FxWork *work) {
    Context c = {.out = out, .x = x, .a = scalar_f32(divisor)};
    fx_work_ranges(work, out->count, divide_range, &c, NULL);
}

static void means_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    float buffer[3][RUN], *m_out = (float *)c->out->data, *v_out = (float *)c->out2->data;
    (void)stats;
    for (size_t i = first; i < first + n; i += RUN) {
        size_t take = first + n - i < RUN ? first + n - i : RUN;
        const float *g = block(buffer[0], c->x, i, take), *m = block(buffer[1], c->y, i, take), *v = block(buffer[2], c->z, i, take);
        for (size_t j = 0; j < take; j++) {
            float square = g[j] * g[j];
            m_out[i + j] = fmaf(c->a, g[j] - m[j], m[j]);
            v_out[i + j] = fmaf(c->b, square - v[j], v[j]);
        }
    }
}

void fx_adam_means_f32(const FxTensor *m_out, const FxTensor *v_out, const FxTensor *g, const FxTensor *m, const FxTensor *v,
                       FxScalar beta1, FxScalar beta2, const FxWork *work) {
    Context c = {.out = m_out, .out2 = v_out, .x = g, .y = m, .z = v, .a = (float)(1 - ldexp(beta1.mantissa, beta1.exponent)),
                 .b = (float)(1 - ldexp(beta2.mantissa, beta2.exponent))};
    fx_work_ranges(work, m_out->count, means_range, &c, NULL);
}

static void step_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    float buffer[3][RUN], *out = (float *)c->out->data;
    (void)stats;
    for (size_t i = first; i < first + n; i += RUN) {
        size_t take = first + n - i < RUN ? first + n - i : RUN;
        const float *w = block(buffer[0], c->x, i, take), *m = block(buffer[1], c->y, i, take), *v = block(buffer[2], c->z, i, take);
        for (size_t j = 0; j < take; j++) {
            float up = c->a * (m[j] * c->b), down = sqrtf(v[j] * c->c) + c->d;
            out[i + j] = w[j] - up / down;
        }
    }
}

// 1 / (1 - beta^t) in float64, beta^t by squaring, rounded once.
static float correction(FxScalar beta, uint64_t t) {
    double power = 1, square = ldexp(beta.mantissa, beta.exponent);
    for (; t; t >>= 1, square *= square)
        power = t & 1 ? power * square : power;
    return (float)(1 / (1 - power));
}

void fx_adam_step_f32(const FxTensor *out, const FxTensor *w, const FxTensor *m, const FxTensor *v, FxScalar rate, FxScalar beta1,
                      FxScalar beta2, FxScalar epsilon, uint64_t t, const FxWork *work) {
    Context c = {.out = out, .x = w, .y = m, .z = v, .a = scalar_f32(rate), .b = correction(beta1, t), .c = correction(beta2, t),
                 .d = scalar_f32(epsilon)};
    fx_work_ranges(work, out->count, step_range, &c, NULL);
}
