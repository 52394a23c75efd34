#ifndef FX_DROPOUT_F32_H
#define FX_DROPOUT_F32_H

#include <stddef.h>
#include <stdint.h>

// y[i] = mask[i] ? x[i] / float32(1 - percent / 100) : +0; float32, y may be x.
void fx_dropout_f32(void *y, const void *x, const uint8_t *mask, size_t n, int percent);

#endif
