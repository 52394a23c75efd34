#include "sim/cast.h"

#include <assert.h>
#include <string.h>

// Random words of a site: stream id * 256 + role, its top bit set during evaluation.
static FxRandom site_random(const FxStep *s, const FxNode *node, FxSite site) {
    uint32_t stream = (uint32_t)node->id * 256 + (uint32_t)site;
    return (FxRandom){s->config->source, s->config->lane_bits,
                      {s->config->seed_round, stream | (s->evaluation ? UINT32_C(1) << 31 : 0), (uint32_t)s->step}};
}

// A cast with everything but the scale's choice.
static FxCast start(const FxStep *s, const FxNode *node, FxSite site, const FxQuantiser *q) {
    FxCast cast = {.q = q, .random = site_random(s, node, site), .multiplier = 1, .cpu = s->net->work.cpu};
    cast.arg = fx_round_arg(&q->rounding, fx_random_width(&cast.random));
    return cast;
}

// What the site's state keeps of a choice; an all-zero tensor chooses nothing.
static void note_choice(FxSiteState *state, const FxScale *scale, FxScaleChoice choice, bool zero) {
    int exponent = scale->rule->discards ? choice.shift : choice.exponent;
    if (zero && scale->rule->needs_maximum)
        return;
    state->exponent_moves += state->chosen && exponent != state->exponent;
    state->exponent = exponent;
    state->chosen = 1;
}

typedef struct CastContext {
    const FxCast *cast;
    const FxTensor *x, *y;
    uint8_t *pass;
    int64_t low, high;
} CastContext;

static void pass_range(const CastContext *c, size_t first, size_t n) {
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

void fx_site_cast(const FxStep *s, FxNode *node, FxSite site, const FxSource *source, FxTensor *y) {
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxQuantiser *q = &config->site[site].q;
    FxSiteState *state = &node->site[site];
    FxCast cast = start(s, node, site, q);
    bool needs_max = q->scale.rule->needs_maximum;
    FxScaleInput in = {.exponent = source->x->exponent, .alpha = node->alpha, .lower = site == FX_SITE_ERROR ? config->error_lower : 0,
                       .last = (int)state->exponent};
    in.max_abs = needs_max ? fx_work_max_abs(&s->net->work, source->x) : 0;
    FxScaleChoice choice = fx_scale_choose(&q->scale, &q->grid, &in);
    cast.shift = choice.shift;
    cast.exponent = choice.exponent;
    if (s->evaluation)
        cast.element0 = s->first_image * (y->count / (uint64_t)s->images);
    if (site == FX_SITE_WEIGHT)
        cast.element0 = 0;
    y->exponent = choice.exponent;

    CastContext context = {.cast = &cast, .x = source->x, .y = y, .pass = source->pass};
    FxStats stats = {0};
    fx_cast_limits(&cast, &context.low, &context.high);
    fx_work_ranges(&s->net->work, y->count, cast_range, &context, &stats);
    if (s->evaluation)
        return;
    note_choice(state, &q->scale, choice, stats.max_abs == 0);
    fx_stats_add(&state->stats, &stats);
    s->totals->saturated += stats.saturated;
    if (site == FX_SITE_ERROR) {
        s->totals->zero_tensors += stats.max_abs == 0;
        node->live_errors += stats.n - stats.zeros_out;
    }
    if (site == FX_SITE_ACTIVATION)
        node->live_activations += stats.n - stats.zeros_out;
}

typedef struct MaskContext {
    const FxKernels *kernels;
    const FxTensor *t;
    const uint8_t *pass;
} MaskContext;

static void mask_range(void *context, size_t first, size_t n, FxStats *stats) {
    const MaskContext *m = context;
    const uint8_t *pass = m->pass + first;
    if (m->t->type == FX_INT32) {
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

void fx_logits_clip(const FxStep *s, FxNode *node, const FxTensor *sums, const FxTensor *e) {
    const FxQuantiser *q = &fx_step_phase(s)->layers[node->id - 1].site[FX_SITE_LOGITS].q;
    FxScaleInput in = {.exponent = sums->exponent};
    FxCast cast = {.q = q, .shift = fx_scale_choose(&q->scale, &q->grid, &in).shift};
    int64_t low, high;
    fx_cast_limits(&cast, &low, &high);
    for (size_t i = 0; i < e->count; i++) {
        int64_t z = fx_tensor_get(sums, i);
        if (z >= low && z <= high)
            continue;
        fx_tensor_set(e, i, 0);
        node->site[FX_SITE_LOGITS].stats.masked++;
    }
}

typedef struct UpdateContext {
    const FxCast *cast;
    const FxTensor *dw, *store;
    int64_t limit;
} UpdateContext;

typedef struct UpdateCounts {
    FxStats gradient, store;
    uint64_t changed;
} UpdateCounts;

// Casts the gradient block by block into steps k and takes them off the store.
static void update_task(const UpdateContext *u, size_t first, size_t n, UpdateCounts *counts, const FxTrace *trace, int id) {
    int64_t k[FX_BLOCK];
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t take = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        FxTensor part = {fx_tensor_at(u->dw, i), u->dw->type, take, u->dw->exponent}, steps = {k, FX_INT64, take, u->store->exponent};
        FxCast cast = *u->cast;
        cast.element0 = i;
        fx_cast_range(&cast, &part, &steps, 0, take, &counts->gradient);
        if (trace)
            trace->tensor(trace->user, id, "update", &steps);
        FxBlockCounts block = {0};
        uint32_t changed = 0;
        uint64_t max = fx_kernels(cast.cpu)->subtract(fx_tensor_at(u->store, i), u->store->type, k, take, u->limit, &block, &changed);
        FxStats done = {.n = take, .saturated = block.saturated, .zeros_in = block.zeros_out, .zeros_out = block.zeros_out,
                        .at_limit = block.at_limit, .max_abs = max, .max_exponent = u->store->exponent};
        fx_stats_add(&counts->store, &done);
        counts->changed += changed;
    }
}

void fx_update(const FxStep *s, FxNode *node, const FxTensor *dw) {
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxQuantiser *q = &config->site[FX_SITE_GRADIENT].q;
    FxScalar rate = fx_step_phase(s)->rate;
    FxSiteState *gradient = &node->site[FX_SITE_GRADIENT], *store = &node->site[FX_SITE_STORE];
    FxScaleInput in = {.max_abs = fx_work_max_abs(&s->net->work, dw), .exponent = dw->exponent, .last = (int)gradient->exponent};
    FxScaleChoice choice = fx_scale_choose(&q->scale, &q->grid, &in);
    FxCast cast = start(s, node, FX_SITE_GRADIENT, q);
    // code = dw / 2^n' * rate, with n' = shift + F; a power of two is a shift alone
    bool power_of_two = rate.mantissa == 1 << 14;
    cast.multiplier = power_of_two ? 1 : rate.mantissa;
    cast.shift = choice.shift + q->grid.fraction - rate.exponent - (power_of_two ? 14 : 0);
    UpdateContext update = {.cast = &cast, .dw = dw, .store = &node->store, .limit = config->store_limit};
    note_choice(gradient, &q->scale, choice, in.max_abs == 0);
    s->totals->zero_tensors += in.max_abs == 0;

    enum { MAX_TASKS = 256 };
    UpdateCounts counts[MAX_TASKS];
    size_t tasks = s->trace ? 1 : (size_t)s->net->work.threads, n = dw->count;
    tasks = tasks < MAX_TASKS ? tasks : MAX_TASKS;
    memset(counts, 0, tasks * sizeof *counts);
#pragma omp parallel for num_threads((int)tasks) schedule(static) if (tasks > 1)
    for (size_t t = 0; t < tasks; t++) {
        size_t first = t * n / tasks, last = (t + 1) * n / tasks;
        update_task(&update, first, last - first, &counts[t], s->trace, node->id);
    }
    for (size_t t = 0; t < tasks; t++) {
        fx_stats_add(&gradient->stats, &counts[t].gradient);
        fx_stats_add(&store->stats, &counts[t].store);
        store->changed += counts[t].changed;
        s->totals->store_changed += counts[t].changed;
        s->totals->saturated += counts[t].gradient.saturated + counts[t].store.saturated;
    }
    note_choice(store, &config->site[FX_SITE_STORE].q.scale, (FxScaleChoice){0, node->store.exponent, false}, false);
}
