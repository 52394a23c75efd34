// One allocation for a whole net. Buffers are asked for with the times between which they live; two that never live at
// the same time may share bytes. Nothing is allocated afterwards.
#ifndef FX_MEMORY_H
#define FX_MEMORY_H

#include "formats/error.h"

#include <stddef.h>

typedef struct FxBuffer {
    void **pointer; // receives the address
    size_t size, offset;
    int birth, death; // inclusive
} FxBuffer;

typedef struct FxMemory {
    FxBuffer *buffers;
    int count, capacity;
    void *block;
    size_t size;
} FxMemory;

enum { FX_FOREVER = 1 << 30 };

// *pointer receives `size` bytes, 64-byte aligned, once fx_memory_commit has succeeded; size 0 leaves NULL.
int fx_memory_plan(FxMemory *memory, void **pointer, size_t size, int birth, int death, FxError *err);
// Allocates, zeroed. Errors: exit code 1.
int fx_memory_commit(FxMemory *memory, FxError *err);
void fx_memory_free(FxMemory *memory);

#endif
