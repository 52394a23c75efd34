#include "sim/update.h"

#include "formats/direction.h"
#include "layers/linear.h"
#include "sim/cast.h"
#include "sim/values_f32.h"

#include <assert.h>
#include <string.h>

// ---- in steps of the store ------------------------------------------------------------------------------------------

typedef struct UpdateContext {
    const FxCast *cast;
    const FxTensor *dw, *store;
    int64_t limit;
    uint64_t first_word;
    const int32_t *exponents; // of dw, one a channel; NULL: one for all
    size_t channels;
    int exponent;             // that the cast's shift belongs to
} UpdateContext;

typedef struct UpdateCounts {
    FxStats gradient, store;
    uint64_t changed;
} UpdateCounts;

// Casts the gradient block by block into steps k and takes them off the store.
static void update_task(const UpdateContext *u, size_t first, size_t n, UpdateCounts *counts, const FxTrace *trace, const FxNode *node) {
    int64_t k[FX_BLOCK];
    for (size_t i = first, take; i < first + n; i += take) {
        take = u->exponents ? 1 : first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        FxTensor part = {fx_tensor_at(u->dw, i), u->dw->type, take, u->dw->exponent}, steps = {k, FX_INT64, take, u->store->exponent};
        FxCast cast = *u->cast;
        cast.element0 = u->first_word + i;
        if (u->exponents) {
            part.exponent = u->exponents[i % u->channels];
            cast.shift += u->exponent - part.exponent;
        }
        fx_cast_range(&cast, &part, &steps, 0, take, &counts->gradient);
        if (trace)
            trace->tensor(trace->user, node, "update", &steps);
        FxBlockCounts block = {0};
        uint32_t changed = 0;
        uint64_t max = fx_kernels(cast.cpu)->subtract(fx_tensor_at(u->store, i), u->store->type, k, take, u->limit, &block, &changed);
        FxStats done = {.n = take, .saturated = block.saturated, .zeros_in = block.zeros_out, .zeros_out = block.zeros_out,
                        .at_limit = block.at_limit, .max_abs = max, .max_exponent = u->store->exponent};
        fx_stats_add(&counts->store, &done);
        counts->changed += changed;
    }
}

// Largest magnitude of gradients with an exponent a channel, in units of the largest exponent of a channel that is not all zero.
static uint64_t aligned_max(const FxNode *node, int *exponent) {
    const size_t channels = (size_t)node->layer.out.c;
    uint64_t most = 0;
    *exponent = node->dw_exponents[0];
    bool any = false;
    for (size_t i = 0; i < node->dw.count; i++)
        if (fx_tensor_get(&node->dw, i) && (!any || node->dw_exponents[i % channels] > *exponent)) {
            *exponent = node->dw_exponents[i % channels];
            any = true;
        }
    for (size_t i = 0; any && i < node->dw.count; i++) {
        int64_t x = fx_tensor_get(&node->dw, i);
        int apart = *exponent - node->dw_exponents[i % channels];
        uint64_t m = x && apart < 64 ? (x < 0 ? 0 - (uint64_t)x : (uint64_t)x) >> apart : 0;
        most = m > most ? m : most;
    }
    return most;
}

static void update_by_steps(const FxStep *s, FxNode *node) {
    const FxTensor *dw = &node->dw;
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxQuantiser *q = &config->site[node->gradient_site].q;
    FxScalar rate = fx_step_rate(s);
    FxSiteState *gradient = &node->site[node->gradient_site], *store = &node->site[node->store_site];
    FxScaleInput in = {.exponent = dw->exponent, .last = (int)gradient->exponent};
    in.max_abs = node->dw_exponents ? aligned_max(node, &in.exponent) : fx_work_max_abs(&s->net->work, dw, &(int){0});
    FxScaleChoice choice = fx_scale_choose(&q->scale, &q->grid, &in);
    FxCast cast = {.q = q, .random = fx_step_random(s, node, (int)node->gradient_site), .cpu = s->net->work.cpu};
    cast.arg = fx_round_arg(&q->rounding, fx_random_width(&cast.random));
    // code = dw / 2^n' * rate; n' = shift + F where the scale makes dw a fraction of 1; the rate's powers of two are shifts
    int zeros = __builtin_ctz((unsigned)rate.mantissa);
    cast.multiplier = rate.mantissa >> zeros;
    cast.shift = choice.shift + (q->scale.rule->discards ? q->grid.fraction : 0) - rate.exponent - zeros;
    UpdateContext update = {.cast = &cast, .dw = dw, .store = &node->store, .limit = fx_node_store_limit(node, config), .first_word = node->first_word[node->gradient_site],
                            .exponents = node->dw_exponents, .channels = (size_t)node->layer.out.c, .exponent = in.exponent};
    fx_note_choice(gradient, &q->scale, choice, in.max_abs == 0);
    s->totals->zero_tensors += in.max_abs == 0;

    enum { MAX_TASKS = 256 };
    UpdateCounts counts[MAX_TASKS];
    size_t tasks = s->trace ? 1 : (size_t)s->net->work.threads, n = dw->count;
    tasks = tasks < MAX_TASKS ? tasks : MAX_TASKS;
    memset(counts, 0, tasks * sizeof *counts);
#pragma omp parallel for num_threads((int)tasks) schedule(static) if (tasks > 1)
    for (size_t t = 0; t < tasks; t++) {
        size_t first = t * n / tasks, last = (t + 1) * n / tasks;
        update_task(&update, first, last - first, &counts[t], s->trace, node);
    }
    for (size_t t = 0; t < tasks; t++) {
        fx_stats_add(&gradient->stats, &counts[t].gradient);
        fx_stats_add(&gradient->last, &counts[t].gradient);
        fx_stats_add(&store->stats, &counts[t].store);
        fx_stats_add(&store->last, &counts[t].store);
        store->changed += counts[t].changed;
        store->last_changed += counts[t].changed;
        s->totals->store_changed += counts[t].changed;
        s->totals->saturated += counts[t].gradient.saturated + counts[t].store.saturated;
    }
    fx_note_choice(store, &config->site[node->store_site].q.scale, (FxScaleChoice){0, node->store.exponent, false}, false);
}

// ---- by an optimiser --------------------------------------------------------------------------------------------------

void fx_update_round(FxUpdating *u, FxSite site, const FxTensor *from, FxTensor *to) {
    const FxTrace *trace = u->s->trace;
    FxSource source = {.x = from};
    fx_site_cast(u->s, u->node, site, &source, to);
    if (trace)
        trace->tensor(trace->user, u->node, fx_site(site)->name, to);
}

typedef struct StoreContext {
    const FxTensor *next, *store;
    int64_t limit; // of codes, INT64_MAX: none
    int exponent;  // of their unit
    uint64_t changed; // an exact count: threads may add in any order
} StoreContext;

// Holds the new codes to the clip, counts those that differ and moves them to the store.
static void store_range(void *context, size_t first, size_t n, FxStats *stats) {
    StoreContext *c = context;
    size_t size = fx_type_size(c->store->type);
    uint64_t changed = 0;
    bool clips = c->limit < INT64_MAX;
    if (clips && c->next->type == FX_FLOAT32)
        stats->saturated += fx_hold_f32(fx_tensor_at(c->next, first), n, c->limit, c->exponent);
    for (size_t i = first; clips && c->next->type != FX_FLOAT32 && i < first + n; i++) {
        int64_t w = fx_tensor_get(c->next, i), held = w > c->limit ? c->limit : w < -c->limit ? -c->limit : w;
        stats->saturated += held != w;
        stats->at_limit += held == c->limit || held == -c->limit;
        if (held != w)
            fx_tensor_set(c->next, i, held);
    }
    const char *next = fx_tensor_at(c->next, first), *old = fx_tensor_at(c->store, first);
    for (size_t i = 0; i < n; i++)
        changed += memcmp(next + i * size, old + i * size, size) != 0;
    __atomic_fetch_add(&c->changed, changed, __ATOMIC_RELAXED);
    memcpy(fx_tensor_at(c->store, first), next, n * size);
}

typedef struct SignContext {
    const FxTensor *x;
    int8_t *sign;
} SignContext;

// +1, 0, -1 of each element.
static void sign_range(void *context, size_t first, size_t n, FxStats *stats) {
    const SignContext *c = context;
    (void)stats;
    for (size_t i = first; i < first + n; i++) {
        FxNumber x = fx_number_at(c->x->data, c->x->type, i, 0);
        c->sign[i] = (int8_t)(x.class_of == FX_FINITE && x.magnitude == 0 ? 0 : x.negative ? -1 : 1);
    }
}

void fx_update_store(FxUpdating *u, const FxTensor *from, const FxTensor *subtracted) {
    const FxStep *s = u->s;
    FxNode *node = u->node;
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxSiteConfig *site = &config->site[node->store_site];
    const int64_t limit = fx_node_store_limit(node, config);
    bool directed = fx_rounding_mode(&site->q.rounding)->needs & FX_ROUND_DIRECTION;
    FxTensor next = s->net->update[FX_UPDATE_BUFFERS], signs = s->net->update[FX_UPDATE_BUFFERS + 1];
    next.type = node->store.type;
    next.count = node->store.count;
    if (directed) {
        SignContext c = {subtracted, signs.data};
        fx_work_ranges(&s->net->work, next.count, sign_range, &c, NULL);
    }
    FxSource source = {.x = from, .direction = directed ? signs.data : NULL};
    FxSiteState *state = &node->site[node->store_site];
    const FxStats before = state->stats, last = state->last;
    const uint64_t all = s->totals->saturated;
    fx_site_cast(s, node, node->store_site, &source, &next);
    bool clipped = fx_grid_is_fixed(&site->q.grid) && limit < fx_grid_high(&site->q.grid);
    StoreContext c = {&next, &node->store, clipped ? limit : INT64_MAX, site->q.scale.parameter[0] - site->q.grid.fraction, 0};
    FxStats seen = {0};
    fx_work_ranges(&s->net->work, next.count, store_range, &c, &seen);
    node->store.exponent = next.exponent;
    if (clipped) { // the clip is the grid's end: what lay beyond the grid lay beyond the clip too
        state->stats.saturated = before.saturated + seen.saturated;
        state->stats.at_limit = before.at_limit + seen.at_limit;
        state->last.saturated = last.saturated + seen.saturated;
        state->last.at_limit = last.at_limit + seen.at_limit;
        s->totals->saturated = all + seen.saturated;
    }
    state->changed += c.changed;
    state->last_changed += c.changed;
    s->totals->store_changed += c.changed;
}

// The rate, times the factor of its layer's deviation where the recipe asks for it: Zhu et al. 1912.12607, phi = max(exp(-20 d), 0.1).
static FxScalar rate_of(const FxStep *s, const FxNode *node) {
    FxScalar rate = fx_step_rate(s);
    const FxNode *product = fx_net_product(s->net, node->id - 1);
    int32_t deviation;
    if (!s->config->update.by_deviation || !fx_step_phase(s)->layers[node->id - 1].site[FX_SITE_ERROR].q.scale.rule->seeks)
        return rate;
    fx_direction_kept(product->site[FX_SITE_ERROR].words, &deviation);
    int64_t product_of = (int64_t)rate.mantissa * fx_deviation_factor(deviation); // in 2^-15
    int exponent = rate.exponent - 15;
    while (product_of >= 1 << 15) { // 15 bits again, halves up
        int shift = fx_log2_floor((uint64_t)product_of) - 14;
        product_of = (product_of + (INT64_C(1) << (shift - 1))) >> shift;
        exponent += shift;
    }
    return (FxScalar){(int32_t)product_of, exponent};
}

static void update_by_values(const FxStep *s, FxNode *node) {
    const FxPhase *phase = fx_step_phase(s);
    FxUpdating u = {.s = s, .node = node, .rate = rate_of(s, node), .momentum = phase->momentum, .decay = fx_update_decay(phase, node), .g = node->g};
    FxScalar scale = s->loss_scale;
    for (int i = 0; i < FX_UPDATE_BUFFERS; i++) {
        u.buffer[i] = s->net->update[i];
        u.buffer[i].type = node->updates_integers ? FX_INT64 : FX_FLOAT32;
        u.buffer[i].count = node->store.count;
    }
    if (scale.mantissa == 1 << 14 && u.g.type != FX_FLOAT32)
        u.g.exponent -= scale.exponent + 14;
    else if (scale.mantissa && (scale.mantissa != 1 << 14 || scale.exponent != -14)) {
        u.g = u.buffer[FX_UPDATE_BUFFERS - 1];
        fx_divide_f32(&u.g, &node->g, scale, &s->net->work);
    }
    s->config->update.rule->run(&u);
}

void fx_update(const FxStep *s, FxNode *node) {
    if (s->config->update.lsb)
        update_by_steps(s, node);
    else
        update_by_values(s, node);
}
