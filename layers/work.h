// What a layer borrows from its caller while it works. Replaces every global.
#ifndef FX_WORK_H
#define FX_WORK_H

#include "formats/quantiser.h"

#include <stddef.h>

typedef struct FxWork {
    int threads;  // OpenMP threads, at least 1; never changes a result
    unsigned cpu; // flags of formats/cpu.h
    void *scratch; // 64-byte aligned, as large as the plan asked for
    size_t scratch_size;
} FxWork;

// Elements that one task of an element-wise map works on: fixed by the problem, never by the thread count.
enum { FX_TASK = 1 << 15 };

typedef void FxRange(void *context, size_t first, size_t n, FxStats *stats);

// Calls range for [0, n) in tasks of FX_TASK elements, on work->threads threads; tasks write disjoint ranges. What the
// tasks count is added up in *stats (NULL: not wanted).
void fx_work_ranges(const FxWork *work, size_t n, FxRange *range, void *context, FxStats *stats);

// The same in tasks of `grain` elements.
void fx_work_tasks(const FxWork *work, size_t n, size_t grain, FxRange *range, void *context, FxStats *stats);

// Largest finite magnitude: of codes in units of 2^x->exponent; of float32 in units of 2^*exponent, which it sets.
uint64_t fx_work_max_abs(const FxWork *work, const FxTensor *x, int *exponent);

#endif
