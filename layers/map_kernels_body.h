// Bodies of the inner loops of maps. Included once by the file of each instruction set, which defines
// FX_MAP_KERNELS_TABLE and FX_MAP_KERNELS_CPU; the compiler makes the vectors. Integers only.
#include "layers/map_kernels.h"

#include <string.h>

#define NAME(name) name##_8
#define SUM int32_t
#define CODE int8_t
#include "layers/map_kernels_loops.h"
#undef NAME
#undef SUM
#undef CODE

#define NAME(name) name##_16
#define SUM int64_t
#define CODE int16_t
#include "layers/map_kernels_loops.h"
#undef NAME
#undef SUM
#undef CODE

#define NAME(name) name##_int8
#define X int8_t
#include "layers/map_kernels_add.h"
#undef NAME
#undef X

#define NAME(name) name##_uint8
#define X uint8_t
#include "layers/map_kernels_add.h"
#undef NAME
#undef X

#define NAME(name) name##_int16
#define X int16_t
#include "layers/map_kernels_add.h"
#undef NAME
#undef X

#define NAME(name) name##_int32
#define X int32_t
#include "layers/map_kernels_add.h"
#undef NAME
#undef X

enum { WIDE_BITS = 38, MOST_LEFT = 24, MOST_RIGHT = 40 }; // 38 bits / 2^40 round to 0

static int64_t held(int64_t x, int bits) {
    int64_t most = (INT64_C(1) << bits) - 1;
    return x > most ? most : x < -most ? -most : x;
}

// v * 2^shift; right shifts round halves up.
static int64_t aligned(int64_t v, int64_t shift) {
    int64_t left = shift > MOST_LEFT ? MOST_LEFT : shift > 0 ? shift : 0; // beyond: v is 0
    int64_t right = shift < -MOST_RIGHT ? MOST_RIGHT : shift < 0 ? -shift : 0;
    int64_t rounds = right > 0;
    v = (int64_t)((uint64_t)v << left);
    return (v >> right) + ((v >> (right - rounds)) & rounds);
}

static void add_wide(int64_t *restrict y, const int64_t *restrict x, size_t n, int shift) {
    for (size_t i = 0; i < n; i++)
        y[i] = held(y[i] + aligned(held(x[i], WIDE_BITS), shift), 62);
}

static void add_products(int64_t *restrict y, const int32_t *restrict x, const int32_t *restrict multiplier, const int32_t *restrict exponent, int e,
                         size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = held(y[i] + aligned(held((int64_t)x[i] * multiplier[i], WIDE_BITS), exponent[i] - e), 62);
}

static void hold(int64_t *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = held(y[i], 62);
}

const FxMapKernels FX_MAP_KERNELS_TABLE = {FX_MAP_KERNELS_CPU, pool_row_8, unpool_row_8, relu_8, relu_back_8,
                                           pool_row_16, unpool_row_16, relu_16, relu_back_16,
                                           {add_left_int8, add_left_uint8, add_left_int16, add_left_int32},
                                           {add_right_int8, add_right_uint8, add_right_int16, add_right_int32}, add_wide, add_products, hold};
