#include "formats/tensor.h"

#include <assert.h>

static const struct {
    const char *name;
    size_t size;
    int64_t low, high;
} types[] = {
    [FX_INT8] = {"int8", 1, INT8_MIN, INT8_MAX},     [FX_UINT8] = {"uint8", 1, 0, UINT8_MAX},
    [FX_INT16] = {"int16", 2, INT16_MIN, INT16_MAX}, [FX_UINT16] = {"uint16", 2, 0, UINT16_MAX},
    [FX_INT32] = {"int32", 4, INT32_MIN, INT32_MAX}, [FX_UINT32] = {"uint32", 4, 0, UINT32_MAX},
    [FX_INT64] = {"int64", 8, INT64_MIN, INT64_MAX}, [FX_FLOAT32] = {"float32", 4, 1, 0}, // floats carry no codes
    [FX_FLOAT64] = {"float64", 8, 1, 0},
};

size_t fx_type_size(FxType type) {
    return types[type].size;
}

const char *fx_type_name(FxType type) {
    return types[type].name;
}

FxType fx_type_for_range(int64_t low, int64_t high) {
    static const FxType order[] = {FX_INT8, FX_UINT8, FX_INT16, FX_INT32};
    for (int i = 0; i < 4; i++)
        if (low >= types[order[i]].low && high <= types[order[i]].high)
            return order[i];
    return FX_INT64;
}

size_t fx_shape_count(FxShape shape) {
    return (size_t)shape.n * (size_t)shape.h * (size_t)shape.w * (size_t)shape.c;
}

void *fx_tensor_at(const FxTensor *t, size_t i) {
    return (char *)t->data + i * types[t->type].size;
}

int64_t fx_tensor_get(const FxTensor *t, size_t i) {
    assert(i < t->count && t->type < FX_FLOAT32);
    switch (t->type) {
    case FX_INT8: return ((const int8_t *)t->data)[i];
    case FX_UINT8: return ((const uint8_t *)t->data)[i];
    case FX_INT16: return ((const int16_t *)t->data)[i];
    case FX_UINT16: return ((const uint16_t *)t->data)[i];
    case FX_INT32: return ((const int32_t *)t->data)[i];
    case FX_UINT32: return ((const uint32_t *)t->data)[i];
    case FX_INT64: break;
    case FX_FLOAT32:
    case FX_FLOAT64: break;
    }
    return ((const int64_t *)t->data)[i];
}

void fx_tensor_set(const FxTensor *t, size_t i, int64_t code) {
    assert(i < t->count && code >= types[t->type].low && code <= types[t->type].high);
    switch (t->type) {
    case FX_INT8: ((int8_t *)t->data)[i] = (int8_t)code; return;
    case FX_UINT8: ((uint8_t *)t->data)[i] = (uint8_t)code; return;
    case FX_INT16: ((int16_t *)t->data)[i] = (int16_t)code; return;
    case FX_UINT16: ((uint16_t *)t->data)[i] = (uint16_t)code; return;
    case FX_INT32: ((int32_t *)t->data)[i] = (int32_t)code; return;
    case FX_UINT32: ((uint32_t *)t->data)[i] = (uint32_t)code; return;
    case FX_INT64:
    case FX_FLOAT32:
    case FX_FLOAT64: break;
    }
    ((int64_t *)t->data)[i] = code;
}

uint64_t fx_tensor_bits(const FxTensor *t, size_t i) {
    FxTensor bits = *t;
    if (t->type == FX_FLOAT32)
        bits.type = FX_UINT32;
    return (uint64_t)fx_tensor_get(&bits, i);
}
