// The bits of floats and back, for every *_f32.c and the kernels of each instruction set.
#ifndef FX_BITS_F32_H
#define FX_BITS_F32_H

#include <stdint.h>
#include <string.h>

#define FX_BITS_INLINE __attribute__((always_inline)) static inline

FX_BITS_INLINE float fx_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

FX_BITS_INLINE uint32_t fx_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

FX_BITS_INLINE double fx_double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

FX_BITS_INLINE uint64_t fx_double_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

#endif
