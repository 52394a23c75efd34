// Codes in memory. value = code * 2^exponent.
#ifndef FX_TENSOR_H
#define FX_TENSOR_H

#include "formats/fxsim.h"

size_t fx_type_size(FxType type);
const char *fx_type_name(FxType type);

// The first of int8, uint8, int16, int32, int64 that holds every code from low to high.
FxType fx_type_for_range(int64_t low, int64_t high);

// Sizes of a data tensor: images, rows, columns, channels, the last running fastest. Fully connected data has h = w = 1.
typedef struct FxShape {
    int n, h, w, c;
} FxShape;

size_t fx_shape_count(FxShape shape);

// A view: never freed. The elements are row-major; the layer that owns it knows its shape.
typedef struct FxTensor {
    void *data;
    FxType type;
    size_t count;
    int exponent;
} FxTensor;

// Element i widened. For tests, dumps and code that is not hot.
int64_t fx_tensor_get(const FxTensor *t, size_t i);
// Stores a code that the type can hold.
void fx_tensor_set(const FxTensor *t, size_t i, int64_t code);
// Element i as two's complement, or the bits of a float32.
uint64_t fx_tensor_bits(const FxTensor *t, size_t i);
// Address of element i.
void *fx_tensor_at(const FxTensor *t, size_t i);

#endif
