// Parts of global average pooling, for global_average_pool.c.
#ifndef FX_GLOBAL_AVERAGE_POOL_H
#define FX_GLOBAL_AVERAGE_POOL_H

#include "layers/layer.h"

enum { FX_GAP_BLOCK = 64 }; // channels summed at a time

// One image of float32, [positions][channels]. y[c] = the sum of its positions / float32(positions): chunks of 4096 positions,
// ascending, chunk sums added ascending from +0. dx = e[c] / float32(positions) at every position.
void fx_gap_forward_f32(void *y, const void *x, size_t positions, size_t channels, unsigned cpu);
void fx_gap_backward_f32(void *dx, const void *e, size_t positions, size_t channels);

// What a code of the error can grow by on its way back through a pool of so many positions.
uint64_t fx_gap_growth(uint64_t positions);

#endif
