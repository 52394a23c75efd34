#include "layers/work.h"

enum { MAX_THREADS = 256 };

void fx_work_ranges(const FxWork *work, size_t n, FxRange *range, void *context, FxStats *stats) {
    size_t tasks = (n + FX_TASK - 1) / FX_TASK;
    size_t threads = (size_t)work->threads < tasks ? (size_t)work->threads : tasks;
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    FxStats part[MAX_THREADS];
    for (size_t t = 0; t < threads; t++)
        part[t] = (FxStats){0};
    // exact counts: the sum does not depend on which thread took which task
#pragma omp parallel for num_threads((int)threads) schedule(static) if (threads > 1)
    for (size_t t = 0; t < threads; t++)
        for (size_t task = t * tasks / threads; task < (t + 1) * tasks / threads; task++) {
            size_t first = task * FX_TASK;
            range(context, first, n - first < FX_TASK ? n - first : FX_TASK, &part[t]);
        }
    for (size_t t = 0; stats && t < threads; t++)
        fx_stats_add(stats, &part[t]);
}

typedef struct MaxContext {
    const FxKernels *kernels;
    const FxTensor *x;
} MaxContext;

static void max_range(void *context, size_t first, size_t n, FxStats *stats) {
    const MaxContext *m = context;
    fx_stats_max(stats, m->kernels->max_abs(fx_tensor_at(m->x, first), m->x->type, n), 0);
}

uint64_t fx_work_max_abs(const FxWork *work, const FxTensor *x) {
    MaxContext context = {fx_kernels(work->cpu), x};
    FxStats stats = {0};
    fx_work_ranges(work, x->count, max_range, &context, &stats);
    return stats.max_abs;
}
