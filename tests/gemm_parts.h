// What the tests of both GEMMs share: memory, random numbers, and where an operand's elements lie by definition.
#ifndef FX_TESTS_GEMM_PARTS_H
#define FX_TESTS_GEMM_PARTS_H

#include "layers/gemm.h"

#include <stdbool.h>

enum { GUARD = 64, GUARD_BYTE = 0x5a };

// 24 bits that look random, the same sequence in each run.
uint32_t gemm_draw(void);

// Aligned to 64 bytes, with room behind; to be freed. No memory fails the test.
void *gemm_allocate(size_t bytes);

// Index in a->data of element (row, k), by the definition in gemm.h; false: outside the image or off the stride, a 0.
bool gemm_place(size_t *place, const FxMatrix *a, size_t row, size_t k);

#endif
