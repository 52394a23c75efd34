#include "sim/tensor_cast.h"

#include "formats/cast_f32.h"
#include "formats/direction.h"
#include "sim/values_f32.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

// ---- one scale a tensor -------------------------------------------------------------------------------------------

typedef struct CastContext {
    const FxCast *cast;
    const FxTensor *x, *y;
    uint8_t *pass;
    int64_t low, high;        // of integer sources
    FxNumber lowest, highest; // of float32
} CastContext;

static void pass_range(const CastContext *c, size_t first, size_t n) {
    if (c->x->type == FX_FLOAT32) {
        fx_pass_f32(c->pass + first, fx_tensor_at(c->x, first), n, c->lowest, c->highest);
        return;
    }
    if (c->x->type == FX_INT32) {
        int32_t low = c->low < INT32_MIN ? INT32_MIN : (int32_t)c->low, high = c->high > INT32_MAX ? INT32_MAX : (int32_t)c->high;
        fx_kernels(c->cast->cpu)->pass(c->pass + first, (const int32_t *)c->x->data + first, n, low, high);
        return;
    }
    for (size_t i = first; i < first + n; i++) {
        int64_t x = fx_tensor_get(c->x, i);
        c->pass[i] = x >= c->low && x <= c->high;
    }
}

static void cast_range(void *context, size_t first, size_t n, FxStats *stats) {
    const CastContext *c = context;
    if (c->pass)
        pass_range(c, first, n);
    fx_cast_range(c->cast, c->x, c->y, first, n, stats);
}

// The ends of the grid: a source passes between them.
static void set_limits(CastContext *c) {
    const FxGrid *grid = &c->cast->q->grid;
    if (c->x->type != FX_FLOAT32) {
        fx_cast_limits(c->cast, &c->low, &c->high);
        return;
    }
    c->highest = fx_grid_largest(grid);
    c->lowest = fx_grid_is_fixed(grid) ? fx_number_int(fx_grid_low(grid), 0) : c->highest;
    c->lowest.negative = c->lowest.magnitude != 0;
    c->highest.exponent += c->cast->exponent;
    c->lowest.exponent += c->cast->exponent;
}

typedef struct SeenContext {
    const FxTensor *y;
    uint64_t limit;
    int exponent;
    uint64_t at_half; // exact counts: threads may add in any order
} SeenContext;

static void seen_range(void *context, size_t first, size_t n, FxStats *stats) {
    SeenContext *c = context;
    const uint64_t half = (c->limit + 1) / 2;
    uint64_t at_half = 0;
    if (c->y->type == FX_INT16) { // the usual carrier
        const int16_t *y = (const int16_t *)c->y->data + first;
        int32_t largest = 0, limit = (int32_t)c->limit, half_limit = (int32_t)half;
        uint32_t at_limit = 0, above = 0;
        for (size_t i = 0; i < n; i++) {
            int32_t m = y[i] < 0 ? -y[i] : y[i];
            largest = m > largest ? m : largest;
            at_limit += m >= limit;
            above += m >= half_limit;
        }
        stats->max_abs = (uint64_t)largest > stats->max_abs ? (uint64_t)largest : stats->max_abs;
        stats->at_limit += at_limit;
        at_half = above;
    } else {
        for (size_t i = first; i < first + n; i++) {
            int64_t code = c->y->type == FX_FLOAT32 ? fx_code_f32(fx_tensor_at(c->y, i), c->exponent) : fx_tensor_get(c->y, i);
            uint64_t m = code < 0 ? 0 - (uint64_t)code : (uint64_t)code;
            stats->max_abs = m > stats->max_abs ? m : stats->max_abs;
            stats->at_limit += m >= c->limit;
            at_half += m >= half;
        }
    }
    __atomic_fetch_add(&c->at_half, at_half, __ATOMIC_RELAXED);
}

// What a controller is told of a finished call.
static FxScaleSeen seen_of(const FxWork *work, const FxGrid *grid, const FxTensor *y, int exponent) {
    SeenContext c = {.y = y, .limit = (uint64_t)fx_grid_high(grid), .exponent = exponent};
    FxStats sum = {0};
    fx_work_ranges(work, y->count, seen_range, &c, &sum);
    return (FxScaleSeen){y->count, sum.max_abs, sum.at_limit, c.at_half};
}

typedef struct SampleContext {
    const FxTensor *x;
    FxCast *casts; // receive max_abs and exponent
    size_t length;
    unsigned cpu;
} SampleContext;

static void sample_range(void *context, size_t first, size_t n, FxStats *stats) {
    const SampleContext *c = context;
    (void)stats;
    for (size_t s = first; s < first + n; s++) {
        c->casts[s].exponent = c->x->exponent;
        c->casts[s].max_abs = fx_max_abs(fx_tensor_at(c->x, s * c->length), c->x->type, c->length, &c->casts[s].exponent, c->cpu);
    }
}

// What a rule reads of the maxima: that of all, or the mean of the samples'.
static uint64_t maximum(const FxTensorCast *t, const FxWork *work, const FxTensor *x, int *exponent) {
    FxSampleMean mean = {.is_float = fx_type_is_float(x->type), .top = *exponent};
    mean.most = fx_work_max_abs(work, x, &mean.top);
    if (!t->q->scale.rule->sample_mean) {
        *exponent = mean.top;
        return mean.most;
    }
    SampleContext c = {x, t->casts, x->count / t->samples, work->cpu};
    fx_work_tasks(work, t->samples, 1, sample_range, &c, NULL);
    for (size_t s = 0; mean.most && s < t->samples; s++)
        fx_sample_mean_add(&mean, t->casts[s].max_abs, t->casts[s].exponent);
    return fx_sample_mean_end(&mean, t->samples, exponent);
}

// The search of a rule that makes one, where it is due: parts of a fixed size, whose sums are exact.
static void seek(const FxTensorCast *t, const FxWork *work, const FxTensor *x, const FxScaleInput *found, int64_t *state) {
    const FxQuantiser *q = t->q;
    FxScaleInput in = *found;
    in.state = NULL;
    if (in.max_abs && fx_direction_is_due(&q->scale, state)) {
        FxDirection start, sum;
        fx_direction_start(&start, x, &q->grid, in.max_abs, in.exponent, fx_scale_choose(&q->scale, &q->grid, &in).exponent);
        sum = start;
        const size_t tasks = (x->count + FX_TASK - 1) / FX_TASK;
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
        for (size_t k = 0; k < tasks; k++) {
            FxDirection part = start;
            fx_direction_add(&part, x, k * FX_TASK, x->count - k * FX_TASK < FX_TASK ? x->count - k * FX_TASK : FX_TASK);
#pragma omp critical
            fx_direction_merge(&sum, &part);
        }
        int32_t deviation;
        int offset = fx_direction_choose(&sum, &deviation);
        fx_direction_keep(state, offset, deviation);
    }
    if (in.max_abs || !fx_direction_is_due(&q->scale, state))
        fx_direction_count(state);
}

static FxScaleChoice cast_once(const FxTensorCast *t, const FxWork *work, const FxTensor *x, uint8_t *pass, FxTensor *y, int64_t *state,
                               FxStats *stats) {
    const FxScaleRule *rule = t->q->scale.rule;
    bool floats = fx_type_is_float(x->type);
    FxScaleInput in = {.exponent = floats ? 0 : x->exponent, .is_float = floats, .alpha = t->alpha, .lower = t->lower, .last = t->last, .state = state};
    if (rule->needs_maximum)
        in.max_abs = maximum(t, work, x, &in.exponent);
    if (rule->seeks && t->observes)
        seek(t, work, x, &in, state);
    FxScaleChoice choice = fx_scale_choose(&t->q->scale, &t->q->grid, &in);
    FxCast cast = {.q = t->q, .random = t->random, .element0 = t->element0, .direction = t->direction, .multiplier = 1, .cpu = work->cpu,
                   .shift = choice.shift + (in.is_float ? in.exponent : 0), .exponent = choice.exponent};
    cast.arg = fx_round_arg(&t->q->rounding, fx_random_width(&t->random));
    CastContext context = {.cast = &cast, .x = x, .y = y, .pass = pass};
    set_limits(&context);
    fx_work_ranges(work, y->count, cast_range, &context, stats);
    return choice;
}

// ---- channels with units of their own -----------------------------------------------------------------------------------

typedef struct UnitsContext {
    const FxTensorCast *t;
    const FxUnitsTable *table; // NULL: the kernels cannot
    const FxTensor *x, *y;
} UnitsContext;

static int unit_of(const FxTensorCast *t, const FxTensor *x, size_t c) {
    return t->units && t->units->exponent ? t->units->exponent[c] : x->exponent;
}

static uint64_t largest_of(const FxCast *cast) {
    uint64_t m = cast->multiplier < 0 ? 0 - (uint64_t)cast->multiplier : (uint64_t)cast->multiplier;
    return cast->max_abs * m;
}

static void units_max_range(void *context, size_t first, size_t n, FxStats *stats) {
    const UnitsContext *c = context;
    fx_units_max(c->t->casts, c->t->channels, c->x, first, n, stats);
}

// The maxima that came with the units. rows: of a channel; returns the zeros among all x * multiplier.
static uint64_t take_seen(const FxTensorCast *t, size_t rows) {
    uint64_t zeros = 0;
    for (size_t c = 0; c < t->channels; c++) {
        t->casts[c].max_abs = t->units->seen[c].max_abs;
        zeros += t->casts[c].multiplier ? t->units->seen[c].zeros : rows;
    }
    return zeros;
}

static void units_range(void *context, size_t first, size_t n, FxStats *stats) {
    const UnitsContext *c = context;
    fx_units_cast(c->t->casts, c->t->channels, c->table, c->x, c->y, first, n, stats);
}

// Each channel by itself.
static void choose_channels(const FxTensorCast *t, const FxTensor *x) {
    for (size_t c = 0; c < t->channels; c++) {
        FxScaleInput in = {.max_abs = largest_of(&t->casts[c]), .exponent = unit_of(t, x, c), .alpha = t->alpha, .lower = t->lower,
                           .last = t->exponents ? t->exponents[c] : 0};
        FxScaleChoice choice = fx_scale_choose(&t->q->scale, &t->q->grid, &in);
        t->casts[c].shift = choice.shift;
        t->casts[c].exponent = choice.exponent;
        if (t->exponents)
            t->exponents[c] = choice.exponent;
    }
}

// Raises exponents that lie too far below the largest of the channels that are not all zero; those that are take that one.
static void hold_together(const FxTensorCast *t) {
    int top = INT_MIN;
    for (size_t c = 0; c < t->channels; c++)
        top = largest_of(&t->casts[c]) && t->exponents[c] > top ? t->exponents[c] : top;
    for (size_t c = 0; c < t->channels && top > INT_MIN; c++) {
        const int least = top - t->spread, held = !largest_of(&t->casts[c]) ? top : t->exponents[c] < least ? least : t->exponents[c];
        t->casts[c].shift += held - t->exponents[c];
        t->casts[c].exponent = t->exponents[c] = held;
    }
}

// All at the coarsest unit that carries something.
static FxScaleChoice choose_together(const FxTensorCast *t, const FxTensor *x, const int64_t *state) {
    FxScaleInput in = {.exponent = INT_MIN, .alpha = t->alpha, .lower = t->lower, .last = t->last, .state = state};
    for (size_t c = 0; c < t->channels; c++)
        if (largest_of(&t->casts[c]) && unit_of(t, x, c) > in.exponent)
            in.exponent = unit_of(t, x, c);
    in.exponent = in.exponent == INT_MIN ? unit_of(t, x, 0) : in.exponent;
    for (size_t c = 0; c < t->channels; c++) {
        uint64_t m = largest_of(&t->casts[c]);
        int finer = in.exponent - unit_of(t, x, c);
        m = !m || finer > 63 ? 0 : m >> finer;
        in.max_abs = m > in.max_abs ? m : in.max_abs;
    }
    FxScaleChoice choice = fx_scale_choose(&t->q->scale, &t->q->grid, &in);
    for (size_t c = 0; c < t->channels; c++) {
        t->casts[c].shift = choice.shift + in.exponent - unit_of(t, x, c);
        t->casts[c].exponent = choice.exponent;
    }
    return choice;
}

static FxScaleChoice cast_units(const FxTensorCast *t, const FxWork *work, const FxTensor *x, FxTensor *y, const int64_t *state, FxStats *stats) {
    const FxScale *scale = &t->q->scale;
    bool together = !scale->group;
    assert(!fx_type_is_float(x->type) && !scale->rule->real && !scale->rule->sample_mean && !fx_scale_is_mx(scale));
    assert(together || (scale->group == FX_GROUP_CHANNEL && !scale->rule->observe && (t->exponents || y->type == FX_FLOAT32)));
    assert(t->channels > 0 && x->count % t->channels == 0 && y->count == x->count);
    for (size_t c = 0; c < t->channels; c++) {
        t->casts[c] = (FxCast){.q = t->q, .random = t->random, .element0 = t->element0, .direction = t->direction, .multiplier = 1, .cpu = work->cpu};
        t->casts[c].arg = fx_round_arg(&t->q->rounding, fx_random_width(&t->random));
        if (t->units && t->units->multiplier)
            t->casts[c].multiplier = t->units->multiplier[c];
    }
    FxUnitsTable table;
    UnitsContext context = {t, NULL, x, y};
    FxStats before = {0};
    if (t->units && t->units->seen)
        before.zeros_in = take_seen(t, x->count / t->channels);
    else
        fx_work_ranges(work, x->count, units_max_range, &context, &before);
    FxScaleChoice choice = {0};
    if (together)
        choice = choose_together(t, x, state);
    else
        choose_channels(t, x);
    if (t->spread)
        hold_together(t);
    if (fx_units_plan(&table, t->casts, t->channels, x->type, y->type))
        context.table = &table;
    fx_work_ranges(work, x->count, units_range, &context, stats);
    if (context.table) {
        stats->zeros_in = before.zeros_in;
        stats->underflowed = stats->zeros_out > stats->zeros_in ? stats->zeros_out - stats->zeros_in : 0; // zero becomes zero
    }
    for (size_t c = 0; c < t->channels; c++)
        fx_stats_max(stats, largest_of(&t->casts[c]), unit_of(t, x, c));
    return choice;
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

enum { MX_LANES = 64, MX_BLOCK = 64 }; // columns gathered at a time; elements of a block at most

typedef struct BlockContext {
    const FxTensorCast *t;
    const FxTensor *x, *y;
    unsigned cpu;
} BlockContext;

// Rows that lie together.
static void rows_range(void *context, size_t first, size_t n, FxStats *stats) {
    const BlockContext *c = context;
    FxCast cast = {.q = c->t->q, .random = c->t->random, .multiplier = 1, .cpu = c->cpu};
    cast.arg = fx_round_arg(&c->t->q->rounding, 32);
    FxArray x = {.data = c->x->data, .type = c->x->type, .count = c->x->count};
    FxOutput y = {.values = c->y->data};
    const size_t axis = c->t->axis, block = (size_t)c->t->q->scale.block;
    if (axis % block == 0 && fx_blocks_f32(&cast, &x, first * axis, n * axis, 0, &y, stats)) // rows end where blocks do
        return;
    for (size_t row = first; row < first + n; row++)
        if (!fx_blocks_f32(&cast, &x, row * axis, axis, 0, &y, stats))
            for (size_t i = 0; i < axis; i += block)
                fx_quantise_span(&cast, &x, row * axis + i, axis - i < block ? axis - i : block, 0, &y, stats);
}

// Blocks whose elements lie `inner` apart: gathered, cast, and put back. first, n count pieces of MX_LANES columns.
static void columns_range(void *context, size_t first, size_t n, FxStats *stats) {
    const BlockContext *c = context;
    const size_t axis = c->t->axis, inner = c->t->inner, block = (size_t)c->t->q->scale.block;
    const size_t pieces = (inner + MX_LANES - 1) / MX_LANES, blocks = (axis + block - 1) / block;
    uint32_t in[MX_LANES * MX_BLOCK], out[MX_LANES * MX_BLOCK]; // the bits of float32
    FxTensorCast together = *c->t;
    together.axis = block;
    for (size_t piece = first; piece < first + n; piece++) {
        size_t column = piece % pieces * MX_LANES, lanes = inner - column < MX_LANES ? inner - column : MX_LANES;
        size_t start = piece / pieces % blocks * block, length = axis - start < block ? axis - start : block;
        size_t at = (piece / pieces / blocks * axis + start) * inner + column;
        const uint32_t *x = (const uint32_t *)c->x->data + at;
        uint32_t *y = (uint32_t *)c->y->data + at;
        memset(in, 0, lanes * block * sizeof *in); // tails are padded with zeros
        for (size_t k = 0; k < length; k++)
            for (size_t l = 0; l < lanes; l++)
                in[l * block + k] = x[k * inner + l];
        FxTensor from = {in, FX_FLOAT32, lanes * block, 0}, to = {out, FX_FLOAT32, lanes * block, 0};
        BlockContext part = {&together, &from, &to, c->cpu};
        FxStats seen = {0};
        rows_range(&part, 0, lanes, &seen);
        size_t padded = (block - length) * lanes;
        seen.n -= padded;
        seen.zeros_in -= padded;
        seen.zeros_out -= padded;
        fx_stats_add(stats, &seen);
        for (size_t k = 0; k < length; k++)
            for (size_t l = 0; l < lanes; l++)
                y[k * inner + l] = out[l * block + k];
    }
}

static void cast_blocks(const FxTensorCast *t, const FxWork *work, const FxTensor *x, FxTensor *y, FxStats *stats) {
    BlockContext c = {t, x, y, work->cpu};
    const size_t block = (size_t)t->q->scale.block, outer = x->count / (t->axis * t->inner);
    assert(x->type == FX_FLOAT32 && y->type == FX_FLOAT32 && block <= MX_BLOCK);
    if (t->inner == 1)
        fx_work_tasks(work, outer, 1 + FX_TASK / t->axis, rows_range, &c, stats);
    else
        fx_work_tasks(work, outer * ((t->axis + block - 1) / block) * ((t->inner + MX_LANES - 1) / MX_LANES), 16, columns_range, &c, stats);
}

// ---- other groups, and scales that are no powers of two ------------------------------------------------------------------

static bool has_groups(const FxQuantiser *q) {
    return !fx_scale_is_single(&q->scale) && !fx_scale_is_mx(&q->scale);
}

typedef struct GroupContext {
    const FxCast *start;
    const FxArray *x;
    const FxOutput *y;
    size_t length; // of a group
} GroupContext;

static void group_range(void *context, size_t first, size_t n, FxStats *stats) {
    const GroupContext *c = context;
    for (size_t g = first; g < first + n; g++)
        fx_quantise_span(c->start, c->x, g * c->length, c->length, g, c->y, stats);
}

// Values in float32; the scales are chosen anew each time.
static void cast_groups(const FxTensorCast *t, const FxWork *work, const FxTensor *x, FxTensor *y, FxStats *stats) {
    FxCast start = {.q = t->q, .random = t->random, .element0 = t->element0, .direction = t->direction, .multiplier = 1, .cpu = work->cpu};
    start.arg = fx_round_arg(&t->q->rounding, fx_random_width(&t->random));
    FxArray array = {.data = x->data, .type = x->type, .count = x->count, .exponent = fx_type_is_float(x->type) ? 0 : x->exponent,
                     .samples = t->samples, .channels = t->channels};
    FxOutput out = {.values = y->data};
    size_t groups = t->q->scale.group == FX_GROUP_SAMPLE ? t->samples : 1;
    GroupContext c = {&start, &array, &out, x->count / groups};
    assert(y->type == FX_FLOAT32);
    if (t->q->scale.group == FX_GROUP_CHANNEL)
        fx_quantise_columns(&start, t->casts, &array, t->channels, &out, stats);
    else
        fx_work_tasks(work, groups, 1, group_range, &c, stats);
}

FxScaleChoice fx_tensor_cast(const FxTensorCast *t, const FxWork *work, const FxTensor *x, uint8_t *pass, FxTensor *y, FxStats *stats) {
    const FxScaleRule *rule = t->q->scale.rule;
    assert(!t->units || !pass);
    if (t->q->scale.group && (t->units || (t->exponents && y->type != FX_FLOAT32))) {
        FxStats part = {0};
        FxScaleChoice choice = cast_units(t, work, x, y, NULL, &part);
        y->exponent = 0;
        fx_stats_add(stats, &part);
        return choice;
    }
    if (fx_scale_is_mx(&t->q->scale)) {
        assert(!t->units);
        cast_blocks(t, work, x, y, stats);
        y->exponent = 0;
        return (FxScaleChoice){0};
    }
    if (has_groups(t->q) && !(rule->sample_mean && y->type != FX_FLOAT32)) {
        assert(!t->units);
        cast_groups(t, work, x, y, stats);
        y->exponent = 0;
        return (FxScaleChoice){0};
    }
    int64_t copy[FX_AUTOFLEX_WORDS], *state = t->state;
    if (rule->observe && !t->observes) // an evaluation starts a controller that has not begun, and forgets it
        state = memcpy(copy, t->state, sizeof copy);
    for (;;) {
        FxStats part = {0};
        FxScaleChoice choice = t->units ? cast_units(t, work, x, y, state, &part) : cast_once(t, work, x, pass, y, state, &part);
        bool again = false;
        if (rule->observe && (t->observes || fx_autoflex_is_starting(&t->q->scale, state))) {
            FxScaleSeen seen = seen_of(work, &t->q->grid, y, choice.exponent);
            again = rule->observe(&t->q->scale, &t->q->grid, state, &seen);
        }
        if (again)
            continue;
        y->exponent = y->type == FX_FLOAT32 ? 0 : choice.exponent;
        fx_stats_add(stats, &part);
        return choice;
    }
}
