#include "formats/values_f32.h"

#include <assert.h>
#include <math.h>

// One loop a type, so that the compiler takes several at once. The unit is a power of two: the product is exact.
#define VALUES(TYPE)                                  \
    for (size_t i = 0; i < n; i++) {                  \
        TYPE code = ((const TYPE *)x->data)[from + i]; \
        values[i] = (float)code * unit;               \
        zeros += code == 0;                           \
    }                                                 \
    return zeros

static uint32_t part(float *restrict values, const FxTensor *x, float unit, size_t from, size_t n) {
    uint32_t zeros = 0;
    assert(x->type <= FX_INT64);
    switch (x->type) {
    case FX_INT8: VALUES(int8_t);
    case FX_UINT8: VALUES(uint8_t);
    case FX_INT16: VALUES(int16_t);
    case FX_INT32: VALUES(int32_t);
    case FX_INT64: VALUES(int64_t);
    default: return 0;
    }
}

enum { PART = 1 << 20 }; // elements whose zeros 32 bits count

uint64_t fx_values_f32(void *y, const FxTensor *x, size_t first, size_t n) {
    uint64_t zeros = 0;
    for (size_t i = 0; i < n; i += PART)
        zeros += part((float *)y + i, x, ldexpf(1, x->exponent), first + i, n - i < PART ? n - i : PART);
    return zeros;
}
