#include "layers/norm_plan.h"

#include <assert.h>
#include <string.h>

enum { ALIGN = 64, TASK_ELEMENTS = 1 << 15, LEAST_ROWS = 32, LANE_ARRAYS = 8 };

static size_t aligned(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

// The least number of rows that fills whole vectors; one row of many channels, whose last block is a short one.
static size_t period_of(size_t channels) {
    size_t period = channels;
    while (channels < FX_NORM_LANES && period % FX_NORM_LANES)
        period += channels;
    return period;
}

static FxNormPlan sizes(const FxNormRule *rule, size_t rows, size_t channels) {
    FxNormPlan p = {.rows = rows, .channels = channels, .chunks = 1, .period = period_of(channels)};
    if (rule->kind == FX_NORM_RANGE)
        p.chunks = (size_t)rule->chunks < rows ? (size_t)rule->chunks : rows;
    size_t periods = TASK_ELEMENTS / p.period;
    periods = periods < LEAST_ROWS ? LEAST_ROWS : periods > FX_NORM_BLOCK_ROWS ? FX_NORM_BLOCK_ROWS : periods;
    p.task_rows = periods * (p.period / channels);
    p.chunk_tasks = ((rows + p.chunks - 1) / p.chunks + p.task_rows - 1) / p.task_rows;
    return p;
}

static size_t steps_bytes(const FxNormPlan *p) {
    return aligned(p->channels * sizeof *p->steps);
}

static size_t partials_bytes(const FxNormPlan *p) {
    return aligned(p->chunks * p->chunk_tasks * p->channels * sizeof *p->partials);
}

static size_t lane_bytes(const FxNormPlan *p) {
    return aligned(p->period * sizeof(int32_t));
}

size_t fx_norm_scratch(const FxNormRule *rule, size_t rows, size_t channel_count) {
    const FxNormPlan p = sizes(rule, rows, channel_count);
    return steps_bytes(&p) + partials_bytes(&p) + LANE_ARRAYS * lane_bytes(&p);
}

FxNormPlan fx_norm_plan(const FxNormRule *rule, size_t count, size_t channels, const FxWork *work) {
    assert(channels > 0 && count >= channels && count % channels == 0);
    assert(rule->kind != FX_NORM_RANGE || rule->chunks >= 1);
    FxNormPlan p = sizes(rule, count / channels, channels);
    assert(work->scratch_size >= fx_norm_scratch(rule, p.rows, channels) && p.rows < UINT32_MAX);
    char *at = work->scratch;
    p.steps = (FxNormSteps *)at;
    p.partials = (FxNormPartial *)(at += steps_bytes(&p));
    at += partials_bytes(&p);
    int32_t **lanes[LANE_ARRAYS] = {&p.lanes.mean, &p.lanes.factor, &p.lanes.shift, &p.lanes.base,
                                    &p.lanes.above, &p.lanes.below, &p.lanes.step, &p.lanes.unit};
    for (int i = 0; i < LANE_ARRAYS; i++, at += lane_bytes(&p))
        *lanes[i] = (int32_t *)at;
    return p;
}

size_t fx_norm_chunk(const FxNormPlan *plan, size_t chunk) {
    return chunk * plan->rows / plan->chunks;
}

// Row `row` of the period, lane `lane` of it, as a row of the tensor.
static uint32_t row_of(const FxNormPlan *p, size_t first, int row, size_t lane) {
    return (uint32_t)(first + (size_t)row * (p->period / p->channels) + lane / p->channels);
}

static void take_extremes(FxNormPartial *to, const FxNormPartial *from) {
    if (from->max > to->max || (from->max == to->max && from->max_row < to->max_row))
        to->max = from->max, to->max_row = from->max_row;
    if (from->min < to->min || (from->min == to->min && from->min_row < to->min_row))
        to->min = from->min, to->min_row = from->min_row;
}

static const FxNormPartial nothing = {.max = INT16_MIN, .min = INT16_MAX, .max_row = UINT32_MAX, .min_row = UINT32_MAX};

// Lanes from `column` on into their channels' partials.
static void fold(const FxNormPlan *p, FxNormPartial *partials, const FxNormSums *s, size_t first, size_t column, size_t lanes) {
    for (size_t i = 0, lane = column, c = column % p->channels; i < lanes; i++, lane++, c = c + 1 < p->channels ? c + 1 : 0) {
        FxNormPartial *to = &partials[c];
        const FxNormPartial extremes = {.max = s->max[i], .max_row = row_of(p, first, s->max_row[i], lane),
                                        .min = s->min[i], .min_row = row_of(p, first, s->min_row[i], lane)};
        to->sum += s->sum[i];
        to->product += s->low[i] + s->high[i] * (INT64_C(1) << 15);
        to->above += s->above[i];
        to->below += s->below[i];
        to->zeros += s->zeros[i];
        to->largest = s->largest[i] > to->largest ? s->largest[i] : to->largest;
        if (extremes.max > INT16_MIN) // a lane without rows has none
            take_extremes(to, &extremes);
    }
}

static FxNormLanes lanes_from(const FxNormLanes *l, size_t i) {
    return (FxNormLanes){l->mean + i, l->factor + i, l->shift + i, l->base + i, l->above + i, l->below + i, l->step + i, l->unit + i, l->limit};
}

// The rows [first, last): every column of lanes over all whole periods, and the part of it that a last, cut one has.
static void run_task(const FxNormPass *pass, FxNormPartial *partials, size_t first, size_t last) {
    const FxNormPlan *p = pass->plan;
    const size_t elements = (last - first) * p->channels, whole = elements / p->period, rest = elements % p->period;
    for (size_t column = 0; column < p->period; column += FX_NORM_LANES) {
        const size_t width = p->period - column < FX_NORM_LANES ? p->period - column : FX_NORM_LANES;
        const size_t start = first * p->channels + column, cut = start + whole * p->period;
        const bool full = rest >= column + width;
        const FxNormLanes lanes = lanes_from(&p->lanes, column);
        FxNormSums sums = {.low = {0}};
        for (size_t i = 0; pass->sums && i < FX_NORM_LANES; i++)
            sums.max[i] = INT16_MIN, sums.min[i] = INT16_MAX;
        const bool tail = !full && rest > column;
        for (int part = 0; part <= tail; part++) {
            const size_t at = part ? cut : start;
            FxNormBlock block = {.stride = p->period, .rows = part ? 1 : whole + full, .lanes = part ? rest - column : width,
                                 .first_row = part ? (int)whole : 0};
            block.x = fx_tensor_at(pass->x, at);
            block.e = pass->e ? fx_tensor_at(pass->e, at) : NULL;
            block.y = pass->y ? (int32_t *)pass->y->data + at : NULL;
            if (block.rows)
                pass->kernel(&block, &lanes, &sums);
        }
        if (pass->sums)
            fold(p, partials, &sums, first, column, width);
    }
}

static void range(void *context, size_t task, size_t n, FxStats *stats) {
    const FxNormPass *pass = context;
    const FxNormPlan *p = pass->plan;
    (void)n, (void)stats;
    const size_t chunk = task / p->chunk_tasks, end = fx_norm_chunk(p, chunk + 1);
    const size_t first = fx_norm_chunk(p, chunk) + task % p->chunk_tasks * p->task_rows;
    const size_t last = first + p->task_rows < end ? first + p->task_rows : end;
    FxNormPartial *partials = p->partials + task * p->channels;
    for (size_t c = 0; pass->sums && c < p->channels; c++)
        partials[c] = nothing;
    if (first < last)
        run_task(pass, partials, first, last);
}

void fx_norm_pass(const FxNormPass *pass, const FxWork *work) {
    FxNormPass copy = *pass;
    fx_work_tasks(work, pass->plan->chunks * pass->plan->chunk_tasks, 1, range, &copy, NULL);
}

FxNormPartial fx_norm_total(const FxNormPlan *plan, size_t channel, size_t first, size_t last) {
    FxNormPartial total = nothing;
    for (size_t task = first * plan->chunk_tasks; task < last * plan->chunk_tasks; task++) {
        const FxNormPartial *from = &plan->partials[task * plan->channels + channel];
        total.sum += from->sum;
        total.product += from->product;
        total.above += from->above;
        total.below += from->below;
        total.zeros += from->zeros;
        total.largest = from->largest > total.largest ? from->largest : total.largest;
        take_extremes(&total, from);
    }
    return total;
}

void fx_norm_spread(const FxNormPlan *plan, int32_t *lane, size_t channel, int64_t value) {
    assert(value >= INT32_MIN && value <= INT32_MAX);
    for (size_t i = channel; i < plan->period; i += plan->channels)
        lane[i] = (int32_t)value;
}
