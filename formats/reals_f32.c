// What of formats/ handles floats as floats: the mean of |x| (chunks of 4096 elements ascending, chunk sums added
// ascending from +0, divided once) and decoded values.
#include "formats/reals_f32.h"

#include "formats/quantiser.h"

#include <string.h>

enum { CHUNK = 4096 };

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint32_t fx_mean_abs_f32(const void *x, FxType type, int exponent, size_t first, size_t stride, size_t n) {
    float sum = 0, chunk = 0;
    size_t finite = 0;
    for (size_t k = 0; k < n; k++) {
        FxNumber number = fx_number_at(x, type, first + k * stride, exponent);
        number.negative = false;
        if (number.class_of == FX_FINITE) {
            chunk += from_bits(fx_number_to_f32(number));
            finite++;
        }
        if ((k + 1) % CHUNK == 0) {
            sum += chunk;
            chunk = 0;
        }
    }
    sum += chunk;
    float mean = finite ? sum / (float)finite : 0;
    uint32_t bits;
    memcpy(&bits, &mean, sizeof bits);
    return bits;
}

void fx_decode(const FxQuantiser *q, const void *codes, size_t n, int exponent, const float *scale, double *values) {
    FxCast cast = {.q = q, .exponent = exponent, .anchor = exponent};
    uint32_t bits;
    if (scale) {
        memcpy(&bits, scale, sizeof bits);
        cast.real = fx_number_f32(bits);
    }
    cast.invalid = q->scale.group == FX_GROUP_BLOCK && !q->scale.rule->groups && exponent + q->grid.fraction == 128;
    FxTensor t = {(void *)(uintptr_t)codes, fx_quantiser_type(q), n, 0};
    for (size_t i = 0; i < n; i++) {
        uint64_t value = fx_number_to_f64(fx_cast_value(&cast, fx_tensor_get(&t, i)));
        memcpy(&values[i], &value, sizeof value);
    }
}
