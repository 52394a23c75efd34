#include "sim/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

// A buffer that has its place: bytes [offset, end).
typedef struct Placed {
    size_t offset, end;
    int birth, death;
} Placed;

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

// First fit: the lowest offset at which no buffer that lives at the same time is in the way. placed: so far, by offset.
static size_t place(const FxBuffer *b, const Placed *placed, int count) {
    size_t offset = 0;
    for (int i = 0; i < count && placed[i].offset < offset + b->size; i++) {
        const Placed *o = &placed[i];
        bool together = o->birth <= b->death && b->birth <= o->death;
        if (together && offset < o->end)
            offset = o->end;
    }
    return offset;
}

static void insert(Placed *placed, int count, const FxBuffer *b) {
    int low = 0, high = count; // behind those of the same offset
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (placed[middle].offset <= b->offset)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&placed[low + 1], &placed[low], (size_t)(count - low) * sizeof *placed);
    placed[low] = (Placed){b->offset, b->offset + b->size, b->birth, b->death};
}

static int place_all(FxMemory *memory, FxError *err) {
    const size_t bytes = (size_t)memory->count * sizeof(Placed);
    Placed *placed = malloc(bytes ? bytes : 1);
    if (!placed)
        return fx_fail_memory(err, "memory plan", bytes);
    if (memory->count)
        qsort(memory->buffers, (size_t)memory->count, sizeof *memory->buffers, larger_first);
    for (int i = 0; i < memory->count; i++) {
        FxBuffer *b = &memory->buffers[i];
        b->offset = place(b, placed, i);
        insert(placed, i, b);
        memory->size = b->offset + b->size > memory->size ? b->offset + b->size : memory->size;
    }
    free(placed);
    return 0;
}

int fx_memory_commit(FxMemory *memory, FxError *err) {
    if (place_all(memory, err))
        return -1;
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
