#include "sim/cast.h"

#include "formats/cast_f32.h"
#include "sim/values_f32.h"

#include <assert.h>
#include <string.h>

FxRandom fx_step_random(const FxStep *s, const FxNode *node, int role) {
    uint32_t stream = (uint32_t)node->id * 256 + (uint32_t)role;
    return (FxRandom){s->config->source, s->config->lane_bits,
                      {s->config->seed_round, stream | (s->evaluation ? UINT32_C(1) << 31 : 0), (uint32_t)s->step}};
}

void fx_note_choice(FxSiteState *state, const FxScale *scale, FxScaleChoice choice, bool zero) {
    int exponent = scale->rule->discards ? choice.shift : choice.exponent;
    if ((zero && scale->rule->needs_maximum) || scale->group || scale->rule->real) // several, or none that is a power of two
        return;
    state->exponent_moves += state->chosen && exponent != state->exponent;
    state->exponent = exponent;
    state->chosen = 1;
}

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

static FxScaleChoice cast_once(const FxTensorCast *t, const FxWork *work, const FxTensor *x, uint8_t *pass, FxTensor *y, const int64_t *state,
                               FxStats *stats) {
    const FxScaleRule *rule = t->q->scale.rule;
    bool floats = fx_type_is_float(x->type);
    FxScaleInput in = {.exponent = floats ? 0 : x->exponent, .is_float = floats, .alpha = t->alpha, .lower = t->lower, .last = t->last, .state = state};
    if (rule->needs_maximum)
        in.max_abs = fx_work_max_abs(work, x, &in.exponent);
    FxScaleChoice choice = fx_scale_choose(&t->q->scale, &t->q->grid, &in);
    FxCast cast = {.q = t->q, .random = t->random, .element0 = t->element0, .direction = t->direction, .multiplier = 1, .cpu = work->cpu,
                   .shift = choice.shift + (in.is_float ? in.exponent : 0), .exponent = choice.exponent};
    cast.arg = fx_round_arg(&t->q->rounding, fx_random_width(&t->random));
    CastContext context = {.cast = &cast, .x = x, .y = y, .pass = pass};
    set_limits(&context);
    fx_work_ranges(work, y->count, cast_range, &context, stats);
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
    if (fx_scale_is_mx(&t->q->scale)) {
        cast_blocks(t, work, x, y, stats);
        y->exponent = 0;
        return (FxScaleChoice){0};
    }
    if (has_groups(t->q)) {
        cast_groups(t, work, x, y, stats);
        y->exponent = 0;
        return (FxScaleChoice){0};
    }
    int64_t copy[FX_AUTOFLEX_WORDS], *state = t->state;
    if (rule->observe && !t->observes) // an evaluation starts a controller that has not begun, and forgets it
        state = memcpy(copy, t->state, sizeof copy);
    for (;;) {
        FxStats part = {0};
        FxScaleChoice choice = cast_once(t, work, x, pass, y, state, &part);
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

// ---- sites ----------------------------------------------------------------------------------------------------------

// The axis along which a product reads the tensor of a site: channels, or for what the gradient alone reads the images; for
// the forward product's weights the input channels.
static void set_axis(FxTensorCast *t, const FxNode *node, FxSite site, size_t count, size_t images) {
    const FxLayer *l = &node->layer;
    size_t ci = (size_t)l->image.c, co = (size_t)l->out.c;
    t->inner = 1;
    switch (site) {
    case FX_SITE_WEIGHT: t->axis = ci; t->inner = co; break;
    case FX_SITE_WEIGHT_BACK:
    case FX_SITE_ERROR: t->axis = co; break;
    case FX_SITE_ACTIVATION_GRAD:
    case FX_SITE_ERROR_GRAD: t->axis = images; t->inner = count / images; break;
    default: t->axis = ci; break;
    }
}

static bool is_error(FxSite site) {
    return site == FX_SITE_ERROR || site == FX_SITE_ERROR_GRAD;
}

// Elements that are not finite, or are so no longer.
static uint64_t lost(const FxQuantiser *q, const FxStats *stats) {
    const unsigned held = FX_ROUND_HOLDS_POSITIVE | FX_ROUND_HOLDS_NEGATIVE;
    bool loses = q->overflow == FX_OVERFLOW_INF && q->grid.kind->has_patterns && q->grid.special != FX_SPECIAL_NONE &&
                 (fx_rounding_mode(&q->rounding)->needs & held) != held;
    return stats->nonfinite + (loses ? stats->saturated : 0);
}

static void count_fate(const FxStep *s, FxNode *node, FxSite site, const FxQuantiser *q, const FxStats *stats) {
    s->totals->saturated += stats->saturated;
    if (is_error(site) || site == FX_SITE_GRADIENT) {
        s->totals->lost_errors += lost(q, stats);
        if (s->fired)
            *s->fired |= fx_loss_scale_fires(&s->config->loss_scaling, stats, lost(q, stats));
    }
    if (site == FX_SITE_STORE)
        s->totals->lost_weights += lost(q, stats);
    if (site == FX_SITE_ERROR) {
        s->totals->zero_tensors += stats->max_abs == 0 && !stats->nonfinite;
        node->live_errors += stats->n - stats->zeros_out;
    }
    if (site == FX_SITE_GRADIENT)
        s->totals->zero_tensors += stats->max_abs == 0 && !stats->nonfinite;
    if (site == FX_SITE_ACTIVATION)
        node->live_activations += stats->n - stats->zeros_out;
}

// Where the declared exponent is another than that of the rounding, the latter is what is compared.
static void measure(const FxStep *s, FxSiteState *state, const FxQuantiser *q, const FxTensor *x, const FxTensor *y, FxScaleChoice choice) {
    FxTensor rounded = *y;
    bool declared = q->scale.rule->discards || !strcmp(q->scale.rule->name, "alpha");
    if (declared && (y->type == FX_FLOAT32 || x->type == FX_FLOAT32))
        return;
    if (declared)
        rounded.exponent = x->exponent + choice.shift;
    fx_quality_add(&state->quality, x, &rounded, &q->grid, declared ? rounded.exponent : choice.exponent, &s->net->work);
}

void fx_site_cast(const FxStep *s, FxNode *node, FxSite site, const FxSource *source, FxTensor *y) {
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxQuantiser *q = &config->site[site].q;
    FxSiteState *state = &node->site[site];
    bool of_images = site == FX_SITE_INPUT || site == FX_SITE_ACTIVATION || site == FX_SITE_LOGITS;
    FxTensorCast cast = {.q = q, .random = fx_step_random(s, node, (int)site), .element0 = source->element0, .alpha = node->alpha,
                         .lower = is_error(site) ? config->error_lower : 0, .last = (int)state->exponent, .state = state->words,
                         .observes = !s->evaluation, .direction = source->direction};
    if (s->evaluation && of_images)
        cast.element0 = s->first_image * (y->count / (uint64_t)s->images);
    bool of_weights = site == FX_SITE_WEIGHT || site == FX_SITE_WEIGHT_BACK || site == FX_SITE_BIAS || site == FX_SITE_GRADIENT || site == FX_SITE_STORE ||
                      site == FX_SITE_MOMENTUM || site == FX_SITE_SECOND || site == FX_SITE_DECAY;
    bool of_output = of_weights || is_error(site) || site == FX_SITE_LOGITS;
    cast.samples = of_weights ? 1 : (size_t)s->images;
    cast.channels = (size_t)(of_output ? node->layer.out.c : node->layer.in.c);
    cast.casts = s->net->casts.data;
    if (fx_scale_is_mx(&q->scale))
        set_axis(&cast, node, site, y->count, (size_t)s->images);
    FxStats stats = {0};
    FxScaleChoice choice = fx_tensor_cast(&cast, &s->net->work, source->x, source->pass, y, &stats);
    if (s->evaluation)
        return;
    fx_note_choice(state, &q->scale, choice, stats.max_abs == 0);
    count_fate(s, node, site, q, &stats);
    fx_stats_add(&state->stats, &stats);
    fx_stats_add(&state->last, &stats);
    if (s->config->stats_full && config->site[site].on)
        measure(s, state, q, source->x, y, choice);
}

// ---- masks ----------------------------------------------------------------------------------------------------------

typedef struct MaskContext {
    const FxKernels *kernels;
    const FxTensor *t;
    const uint8_t *pass;
} MaskContext;

static void mask_range(void *context, size_t first, size_t n, FxStats *stats) {
    const MaskContext *m = context;
    const uint8_t *pass = m->pass + first;
    if (m->t->type == FX_INT32 || m->t->type == FX_FLOAT32) { // the bits of +0 are 0
        stats->masked += m->kernels->mask((int32_t *)m->t->data + first, pass, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        stats->masked += !pass[i];
        if (!pass[i])
            fx_tensor_set(m->t, first + i, 0);
    }
}

void fx_apply_mask(const FxStep *s, const FxTensor *t, const uint8_t *pass, uint64_t *masked) {
    MaskContext context = {fx_kernels(s->net->work.cpu), t, pass};
    FxStats stats = {0};
    fx_work_ranges(&s->net->work, t->count, mask_range, &context, &stats);
    *masked += stats.masked;
}
