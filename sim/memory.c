#include "sim/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

int fx_memory_plan(FxMemory *memory, void **pointer, size_t size, int birth, int death, FxError *err) {
    *pointer = NULL;
    if (size == 0)
        return 0;
    if (memory->count == memory->capacity) {
        int capacity = memory->capacity ? 2 * memory->capacity : 64;
        FxBuffer *grown = realloc(memory->buffers, (size_t)capacity * sizeof *grown);
        if (!grown)
            return fx_fail_memory(err, "memory plan", (size_t)capacity * sizeof *grown);
        memory->buffers = grown;
        memory->capacity = capacity;
    }
    memory->buffers[memory->count++] = (FxBuffer){pointer, (size + ALIGN - 1) / ALIGN * ALIGN, 0, birth, death};
    return 0;
}

// Larger first; of equals the one that is born first.
static int larger_first(const void *a, const void *b) {
    const FxBuffer *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->birth > y->birth) - (x->birth < y->birth);
}

// First fit: the lowest offset at which no buffer that lives at the same time is in the way.
static size_t place(const FxMemory *memory, int index) {
    const FxBuffer *b = &memory->buffers[index];
    size_t offset = 0;
    for (int i = 0; i < index;) {
        const FxBuffer *o = &memory->buffers[i++];
        bool together = o->birth <= b->death && b->birth <= o->death;
        if (together && o->offset < offset + b->size && offset < o->offset + o->size) {
            offset = o->offset + o->size;
            i = 0; // look at all of them again from there
        }
    }
    return offset;
}

int fx_memory_commit(FxMemory *memory, FxError *err) {
    if (memory->count)
        qsort(memory->buffers, (size_t)memory->count, sizeof *memory->buffers, larger_first);
    for (int i = 0; i < memory->count; i++) {
        FxBuffer *b = &memory->buffers[i];
        b->offset = place(memory, i);
        memory->size = b->offset + b->size > memory->size ? b->offset + b->size : memory->size;
    }
    memory->block = NULL;
    if (posix_memalign(&memory->block, ALIGN, memory->size ? memory->size : ALIGN))
        return fx_fail_memory(err, "network", memory->size);
    memset(memory->block, 0, memory->size);
    for (int i = 0; i < memory->count; i++)
        *memory->buffers[i].pointer = (char *)memory->block + memory->buffers[i].offset;
    return 0;
}

void fx_memory_free(FxMemory *memory) {
    free(memory->block);
    free(memory->buffers);
    memset(memory, 0, sizeof *memory);
}
