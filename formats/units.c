// Casting integer sources whose channels have a multiplier and a shift of their own: the usual case by kernels that read them
// from a table as long as a few rows of channels, everything else number by number.
#include "formats/quantiser.h"
#include "formats/round_body.h"

#include <assert.h>

// Elements of a table: whole rows, whole vectors where that is possible; 0: the channels are too many.
static size_t period_of(size_t channels) {
    enum { LEAST = FX_UNITS_PERIOD / 2, VECTOR = 16 };
    size_t period = 0;
    for (size_t p = channels; p <= FX_UNITS_PERIOD; p += channels)
        if (period < LEAST || (period % VECTOR && p % VECTOR == 0))
            period = p;
    return period;
}

static void raise(uint64_t *max, uint64_t to) {
    uint64_t old = __atomic_load_n(max, __ATOMIC_RELAXED); // a maximum: threads may come in any order
    while (to > old && !__atomic_compare_exchange_n(max, &old, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

// Any type and number of channels.
static void max_numbers(FxCast *casts, size_t channels, const FxTensor *x, size_t first, size_t n, FxStats *stats) {
    for (size_t k = 0; k < channels && k < n; k++) {
        FxCast *cast = &casts[(first + k) % channels];
        uint64_t max = 0;
        for (size_t i = first + k; i < first + n; i += channels) {
            uint64_t m = round_magnitude(fx_tensor_get(x, i));
            max = m > max ? m : max;
            stats->zeros_in += !m || !cast->multiplier;
        }
        raise(&cast->max_abs, max);
    }
}

void fx_units_max(FxCast *casts, size_t channels, const FxTensor *x, size_t first, size_t n, FxStats *stats) {
    size_t period = period_of(channels);
    if (x->type != FX_INT32 || !period || n >> 31) {
        max_numbers(casts, channels, x, first, n, stats);
        return;
    }
    uint32_t max[FX_UNITS_PERIOD] = {0}, zeros[FX_UNITS_PERIOD] = {0};
    fx_kernels(casts->cpu)->max_abs_period(max, zeros, (const int32_t *)x->data + first, n, period);
    for (size_t k = 0; k < channels && k < n; k++) {
        FxCast *cast = &casts[(first + k) % channels];
        uint32_t largest = 0;
        for (size_t i = k; i < period; i += channels) {
            largest = max[i] > largest ? max[i] : largest;
            stats->zeros_in += cast->multiplier ? zeros[i] : 0;
        }
        stats->zeros_in += cast->multiplier ? 0 : (n - k + channels - 1) / channels;
        raise(&cast->max_abs, largest);
    }
}

// One channel's entry.
static void lay_out(FxUnitsTable *t, size_t at, const FxCast *cast, int shift) {
    const int bits = (int)t->bits;
    int drop = shift - bits < 0 ? 0 : shift - bits > 63 ? 63 : shift - bits; // from 63 on nothing is left of 62 bits
    t->multiplier[at] = (int32_t)cast->multiplier;
    t->word[at] = bits > shift ? (uint32_t)(bits - shift) : 0;
    t->shift[at] = bits < shift ? bits : shift;
    t->drop[at] = drop;
    t->below[at] = drop ? (INT64_C(1) << (drop - 1)) - 1 : 0;
}

bool fx_units_plan(FxUnitsTable *table, const FxCast *casts, size_t channels, FxType x, FxType y) {
    const FxQuantiser *q = casts->q;
    bool even = !q->rounding.own && q->rounding.mode == FX_ROUND_NEAREST_EVEN, stochastic = fx_rounding_is_stochastic(&q->rounding);
    table->period = period_of(channels);
    if (!table->period || x != FX_INT32 || (y != FX_INT8 && y != FX_INT16) || !fx_grid_is_fixed(&q->grid) || q->overflow == FX_OVERFLOW_WRAP ||
        (!even && !stochastic) || casts->direction)
        return false;
    table->bits = stochastic ? (uint32_t)casts->arg.bits : 0;
    table->type = y;
    table->low = (int32_t)fx_grid_low(&q->grid);
    table->high = (int32_t)fx_grid_high(&q->grid);
    table->far = false;
    table->is_short = true;
    for (size_t c = 0; c < channels; c++) {
        const FxCast *cast = &casts[c];
        uint64_t largest = cast->max_abs * round_magnitude(cast->multiplier);
        int shift = largest ? cast->shift : 1; // any, of zeros
        if (shift < 1 || (shift < 32 && largest >> shift >= INT32_MAX))
            return false;
        table->far |= shift > (int)table->bits;
        table->is_short &= shift <= 30 && largest < (UINT64_C(1) << 31) - (UINT64_C(1) << shift);
        for (size_t i = c; i < table->period; i += channels)
            lay_out(table, i, cast, shift);
    }
    return true;
}

// A block between two ends of the table.
static void cast_part(const FxCast *cast, const FxUnitsTable *t, size_t at, const FxTensor *x, const FxTensor *y, const uint32_t *R, size_t first,
                      size_t n, FxBlockCounts *counts) {
    const FxKernels *k = fx_kernels(cast->cpu);
    FxUnitsKernel *kernel = !R ? k->units_even : t->far ? k->units_far : t->is_short ? k->units_short : k->units_stochastic;
    kernel(fx_tensor_at(y, first), (const int32_t *)x->data + first, n, t, at, R, counts);
}

void fx_units_cast(const FxCast *casts, size_t channels, const FxUnitsTable *table, const FxTensor *x, const FxTensor *y, size_t first, size_t n,
                   FxStats *stats) {
    assert(first + n <= x->count && first + n <= y->count);
    if (!table) {
        FxStats part = {0};
        fx_cast_channels(casts, channels, x, y, first, n, &part);
        part.max_abs = 0;
        fx_stats_add(stats, &part);
        return;
    }
    bool random = fx_rounding_mode(&casts->q->rounding)->needs & FX_ROUND_RANDOM;
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t take = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        uint32_t R[FX_BLOCK];
        FxBlockCounts counts = {0};
        if (random)
            fx_random_bits(R, &casts->random, casts->element0 + i, take, casts->arg.bits, casts->cpu);
        for (size_t k = 0, part; k < take; k += part) {
            size_t at = (i + k) % table->period;
            part = table->period - at < take - k ? table->period - at : take - k;
            cast_part(casts, table, at, x, y, random ? R + k : NULL, i + k, part, &counts);
        }
        stats->n += take;
        stats->saturated += counts.saturated;
        stats->zeros_out += counts.zeros_out;
        stats->at_limit += counts.at_limit;
    }
}
