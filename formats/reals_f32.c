// Real-valued scales and values. Floats are kept as bits and added as integers, so that nobody's rounding mode matters.
#include "formats/reals_f32.h"

#include "formats/quantiser.h"

#include <string.h>

enum { CHUNK = 4096, SPARE = 38 };

// The float32 sum of two float32 that are not negative: exact with a sticky bit, then rounded once.
static FxNumber add_f32(FxNumber a, FxNumber b) {
    if (a.class_of != FX_FINITE || b.class_of != FX_FINITE)
        return (FxNumber){.class_of = FX_INFINITE};
    if (!a.magnitude || !b.magnitude)
        return a.magnitude ? a : b;
    FxNumber high = a.exponent > b.exponent ? a : b, low = a.exponent > b.exponent ? b : a;
    int apart = high.exponent - low.exponent;
    FxNumber sum = {(high.magnitude << (apart < SPARE ? apart : SPARE)), high.exponent - (apart < SPARE ? apart : SPARE), false, FX_FINITE};
    sum.magnitude += apart <= SPARE ? low.magnitude : low.magnitude != 0;
    return fx_number_f32(fx_number_to_f32(sum));
}

uint32_t fx_mean_abs_f32(const void *x, FxType type, int exponent, size_t first, size_t stride, size_t n) {
    FxNumber sum = {0}, chunk = {0};
    size_t finite = 0;
    for (size_t k = 0; k < n; k++) {
        FxNumber number = fx_number_at(x, type, first + k * stride, exponent);
        number.negative = false;
        if (number.class_of == FX_FINITE) {
            chunk = add_f32(chunk, fx_number_f32(fx_number_to_f32(number)));
            finite++;
        }
        if ((k + 1) % CHUNK == 0) {
            sum = add_f32(sum, chunk);
            chunk = (FxNumber){0};
        }
    }
    sum = add_f32(sum, chunk);
    if (!finite || sum.class_of != FX_FINITE)
        return fx_number_to_f32(sum);
    FxNumber count = fx_number_f32(fx_number_to_f32(fx_number_int((int64_t)finite, 0)));
    return fx_number_to_f32(fx_number_divide(sum, count));
}

void fx_decode(const FxQuantiser *q, const void *codes, size_t n, int exponent, const float *scale, double *values) {
    FxCast cast = {.q = q, .exponent = exponent, .anchor = exponent};
    uint32_t bits;
    if (scale) {
        memcpy(&bits, scale, sizeof bits);
        cast.real = fx_number_f32(bits);
    }
    cast.invalid = fx_scale_is_mx(&q->scale) && exponent + q->grid.fraction == 128;
    FxTensor t = {(void *)(uintptr_t)codes, fx_quantiser_type(q), n, 0};
    for (size_t i = 0; i < n; i++) {
        uint64_t value = fx_number_to_f64(fx_cast_value(&cast, fx_tensor_get(&t, i)));
        memcpy(&values[i], &value, sizeof value);
    }
}
