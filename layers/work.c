#include "layers/work.h"

enum { MAX_THREADS = 256 };

void fx_work_tasks(const FxWork *work, size_t n, size_t grain, FxRange *range, void *context, FxStats *stats) {
    size_t tasks = (n + grain - 1) / grain;
    size_t threads = (size_t)work->threads < tasks ? (size_t)work->threads : tasks;
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    FxStats part[MAX_THREADS];
    for (size_t t = 0; t < threads; t++)
        part[t] = (FxStats){0};
    // exact counts: the sum does not depend on which thread took which task
#pragma omp parallel for num_threads((int)threads) schedule(static) if (threads > 1)
    for (size_t t = 0; t < threads; t++)
        for (size_t task = t * tasks / threads; task < (t + 1) * tasks / threads; task++) {
            size_t first = task * grain;
            range(context, first, n - first < grain ? n - first : grain, &part[t]);
        }
    for (size_t t = 0; stats && t < threads; t++)
        fx_stats_add(stats, &part[t]);
}

void fx_work_ranges(const FxWork *work, size_t n, FxRange *range, void *context, FxStats *stats) {
    fx_work_tasks(work, n, FX_TASK, range, context, stats);
}

typedef struct MaxContext {
    unsigned cpu;
    const FxTensor *x;
} MaxContext;

static void max_range(void *context, size_t first, size_t n, FxStats *stats) {
    const MaxContext *m = context;
    int exponent = 0;
    uint64_t max = fx_max_abs(fx_tensor_at(m->x, first), m->x->type, n, &exponent, m->cpu);
    fx_stats_max(stats, max, exponent);
}

uint64_t fx_work_max_abs(const FxWork *work, const FxTensor *x, int *exponent) {
    MaxContext context = {work->cpu, x};
    FxStats stats = {0};
    fx_work_ranges(work, x->count, max_range, &context, &stats);
    if (fx_type_is_float(x->type))
        *exponent = (int)stats.max_exponent;
    return stats.max_abs;
}
