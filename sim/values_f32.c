#include "sim/values_f32.h"

#include "formats/bits_f32.h"

#include <math.h>

void fx_pass_f32(uint8_t *pass, const void *x, size_t n, FxNumber lowest, FxNumber highest) {
    const float *values = x, low = fx_float_of(fx_number_to_f32(lowest)), high = fx_float_of(fx_number_to_f32(highest));
    for (size_t i = 0; i < n; i++)
        pass[i] = !(values[i] < low) & !(values[i] > high);
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
