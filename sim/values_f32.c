#include "sim/values_f32.h"

#include "formats/bits_f32.h"

#include <math.h>

void fx_pass_f32(uint8_t *pass, const void *x, size_t n, FxNumber lowest, FxNumber highest) {
    const float *values = x, low = fx_float_of(fx_number_to_f32(lowest)), high = fx_float_of(fx_number_to_f32(highest));
    for (size_t i = 0; i < n; i++)
        pass[i] = !(values[i] < low) & !(values[i] > high);
}

// One loop a type, so that the compiler takes several at once. The unit is a power of two: the product is exact.
#define VALUES(TYPE)                                                        \
    for (size_t i = 0; i < n; i++) {                                        \
        TYPE code = ((const TYPE *)x->data)[first + i];                     \
        values[i] = (float)code * unit;                                     \
        zeros += code == 0;                                                 \
    }

uint64_t fx_values_f32(void *y, const FxTensor *x, size_t first, size_t n) {
    float *values = y, unit = ldexpf(1, x->exponent);
    uint64_t zeros = 0;
    switch (x->type) {
    case FX_INT32: VALUES(int32_t) break;
    case FX_INT64: VALUES(int64_t) break;
    default:
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)fx_tensor_get(x, first + i) * unit;
            zeros += values[i] == 0;
        }
    }
    return zeros;
}

int64_t fx_code_f32(const void *x, int exponent) {
    float value;
    memcpy(&value, x, sizeof value);
    return value - value == 0 ? (int64_t)ldexp((double)value, -exponent) : 0;
}

uint64_t fx_hold_f32(void *x, size_t n, int64_t limit, int exponent) {
    float *values = x, high = (float)ldexp((double)limit, exponent);
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += values[i] > high || values[i] < -high;
        values[i] = values[i] > high ? high : values[i] < -high ? -high : values[i];
    }
    return count;
}
