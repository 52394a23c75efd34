#include "layers/bias.h"

#include <assert.h>

typedef struct AddContext {
    const FxTensor *sums, *bias;
    const FxPolicy *policy;
    unsigned cpu;
} AddContext;

static void add_range(void *context, size_t first, size_t n, FxStats *stats) {
    const AddContext *a = context;
    if (a->sums->type == FX_FLOAT32) {
        fx_bias_add_f32(a->sums, a->bias, first, n, a->cpu);
        return;
    }
    const int64_t unit = INT64_C(1) << (a->bias->exponent - a->sums->exponent);
    const size_t co = a->bias->count;
    uint64_t overflow = 0;
    for (size_t i = first, c = first % co; i < first + n; i++, c = c + 1 < co ? c + 1 : 0)
        fx_tensor_set(a->sums, i, fx_policy_add(a->policy, fx_tensor_get(a->sums, i), fx_tensor_get(a->bias, c) * unit, &overflow));
    stats->saturated += overflow;
}

void fx_bias_add(const FxTensor *sums, const FxTensor *bias, const FxPolicy *policy, const FxWork *work, FxAccumulatorCounts *counts) {
    const bool floats = sums->type == FX_FLOAT32;
    assert(sums->count % bias->count == 0 && floats == (bias->type == FX_FLOAT32));
    assert(floats || (bias->exponent >= sums->exponent && bias->exponent - sums->exponent <= 62));
    AddContext context = {sums, bias, policy, work->cpu};
    FxStats stats = {0};
    fx_work_ranges(work, sums->count, add_range, &context, &stats);
    if (floats || !counts)
        return;
    counts->overflow += stats.saturated;
    uint64_t max = fx_work_max_abs(work, sums, &(int){0});
    counts->max_abs = max > counts->max_abs ? max : counts->max_abs;
}

// sum[c] += e[k * co + c], c < n, over all rows k. The type is a constant wherever this is called, so that loops of one
// type remain.
__attribute__((always_inline)) static inline void add_rows(int64_t *sum, const void *e, FxType type, size_t rows, size_t co, size_t n) {
    for (size_t k = 0; k < rows; k++)
        for (size_t c = 0; c < n; c++) {
            size_t i = k * co + c;
            sum[c] += type == FX_INT8    ? ((const int8_t *)e)[i]
                      : type == FX_UINT8 ? ((const uint8_t *)e)[i]
                      : type == FX_INT16 ? ((const int16_t *)e)[i]
                                         : ((const int32_t *)e)[i];
        }
}

static void gradient_block(const FxTensor *e, const FxTensor *db, size_t first, size_t n) {
    int64_t sum[FX_BIAS_BLOCK] = {0};
    const size_t co = db->count, rows = e->count / co;
    const void *data = fx_tensor_at(e, first);
    switch (e->type) {
    case FX_INT8: add_rows(sum, data, FX_INT8, rows, co, n); break;
    case FX_UINT8: add_rows(sum, data, FX_UINT8, rows, co, n); break;
    case FX_INT16: add_rows(sum, data, FX_INT16, rows, co, n); break;
    default: add_rows(sum, data, FX_INT32, rows, co, n); break;
    }
    for (size_t c = 0; c < n; c++)
        fx_tensor_set(db, first + c, sum[c]);
}

void fx_bias_gradient(const FxTensor *e, const FxTensor *db, const FxWork *work) {
    const bool floats = e->type == FX_FLOAT32;
    assert(e->count % db->count == 0 && db->type == (floats ? FX_FLOAT32 : FX_INT64));
    assert(floats || e->type == FX_INT8 || e->type == FX_UINT8 || e->type == FX_INT16 || e->type == FX_INT32);
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (size_t first = 0; first < db->count; first += FX_BIAS_BLOCK) {
        size_t left = db->count - first, n = left < FX_BIAS_BLOCK ? left : FX_BIAS_BLOCK;
        if (floats)
            fx_bias_gradient_f32(e, db, first, n, work->cpu);
        else
            gradient_block(e, db, first, n);
    }
}
