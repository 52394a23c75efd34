#include "layers/add.h"

#include "formats/bits_f32.h"
#include "formats/number.h"
#include "layers/map_kernels_f32.h"

#include <assert.h>
#include <string.h>

// The product of |code| < 2^63 with a power of two in here is a float32 of full precision, rounded once.
enum { LEAST_POWER = -126, MOST_POWER = 127 };

static bool is_plain(int exponent) {
    return exponent >= LEAST_POWER && exponent <= MOST_POWER;
}

static float power_of(int exponent) {
    return fx_float_of((uint32_t)(exponent + 127) << 23);
}

static float value_of(int64_t code, int exponent) {
    return is_plain(exponent) ? (float)code * power_of(exponent) : fx_float_of(fx_number_to_f32(fx_number_int(code, exponent)));
}

static void products(float *out, const FxAddend *a, size_t first, size_t n) {
    const int32_t *x = a->x->data;
    for (size_t i = first; i < first + n; i++) {
        size_t c = i % a->channels;
        out[i - first] = value_of((int64_t)x[i] * a->multiplier[c], a->exponent[c]);
    }
}

static void values(float *out, const FxTensor *t, size_t first, size_t n) {
    const void *x = fx_tensor_at(t, first);
    const float power = is_plain(t->exponent) ? power_of(t->exponent) : 0;
    if (t->type == FX_FLOAT32) {
        memcpy(out, x, n * sizeof *out);
        return;
    }
    if (!is_plain(t->exponent) || t->type == FX_INT64 || t->type == FX_UINT8) {
        for (size_t i = 0; i < n; i++)
            out[i] = value_of(fx_tensor_get(t, first + i), t->exponent);
        return;
    }
    for (size_t i = 0; t->type == FX_INT8 && i < n; i++)
        out[i] = (float)((const int8_t *)x)[i] * power;
    for (size_t i = 0; t->type == FX_INT16 && i < n; i++)
        out[i] = (float)((const int16_t *)x)[i] * power;
    for (size_t i = 0; t->type == FX_INT32 && i < n; i++)
        out[i] = (float)((const int32_t *)x)[i] * power;
}

typedef struct Context {
    const FxAddend *addends;
    int count;
    float *y;
    const FxMapKernelsF32 *kernels;
} Context;

static void range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    float converted[FX_BLOCK];
    (void)stats;
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t length = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        for (int k = 0; k < c->count; k++) {
            const FxAddend *a = &c->addends[k];
            float *to = k ? converted : c->y + i;
            if (a->multiplier)
                products(to, a, i, length);
            else if (!k || a->x->type != FX_FLOAT32)
                values(to, a->x, i, length);
            if (k)
                c->kernels->add(c->y + i, a->multiplier || a->x->type != FX_FLOAT32 ? converted : fx_tensor_at(a->x, i), length);
        }
    }
}

void fx_add_f32(const FxAddend *addends, int count, const FxTensor *y, const FxWork *work) {
    Context c = {addends, count, y->data, fx_map_kernels_f32(work->cpu)};
    assert(count >= 1 && count <= FX_MOST_ADDENDS && y->type == FX_FLOAT32);
    for (int k = 0; k < count; k++) {
        const FxAddend *a = &addends[k];
        assert(a->x->count == y->count && a->x->data != y->data && !a->multiplier == !a->exponent && !a->multiplier == !a->channels);
        assert(!a->multiplier || (a->x->type == FX_INT32 && y->count % a->channels == 0));
    }
    fx_work_ranges(work, y->count, range, &c, NULL);
}
