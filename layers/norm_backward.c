// Backward of the integer norms. Source of the derivatives: 1802.09769 (L1), 1805.11046 (range: the first of a chunk's
// extremes takes its part), the shift norm's from its authors' code, with a in the place of d.
#include "layers/norm_math.h"
#include "layers/norm_plan.h"

#include <assert.h>

typedef struct Backward {
    const FxNormRule *rule;
    int32_t range_constant;
    const FxTensor *x, *gy, *t;
    FxNormChannel *channels;
    const FxNormPlan *plan;
    int32_t limit; // of t
} Backward;

static bool is_dead(const Backward *b, size_t c) {
    return b->channels[c].floored && !b->rule->keep_dead;
}

static bool uses_line(const Backward *b) {
    return b->rule->kind == FX_NORM_L2 || b->rule->kind == FX_NORM_SHIFT;
}

// The scale's term, one step or one line a channel; of floored channels too.
static void find_step(const Backward *b, FxNormSteps *s, const FxNormChannel *channel) {
    const FxNormRule *rule = b->rule;
    const int64_t n = (int64_t)b->plan->rows, dgamma = channel->dgamma;
    const int k = channel->k, Fb = rule->fraction;
    switch (rule->kind) {
    case FX_NORM_L1:
        s->quotient = fx_norm_quotient(dgamma, n);
        s->step = fx_norm_shift(s->quotient * 41069, k + 15 - Fb);
        s->step_mean = fx_norm_mean(rule, s->step * s->signs, b->plan->rows);
        break;
    case FX_NORM_RANGE:
        s->quotient = fx_norm_saturate(fx_norm_shift(dgamma, k - 12), INT64_C(1) << 47);
        s->step = fx_norm_shift(fx_norm_quotient(s->quotient * b->range_constant, (int64_t)b->plan->chunks), 28 - Fb);
        s->step = fx_norm_saturate(s->step, INT32_MAX);
        break;
    default:
        s->quotient = fx_norm_quotient(dgamma, n) * channel->R;
        s->q_bits = fx_norm_bits(s->quotient) > 15 ? fx_norm_bits(s->quotient) - 15 : 0;
        s->q = fx_norm_shift(s->quotient, s->q_bits);
        s->q_shift = 2 * k - s->q_bits - Fb;
        break;
    }
}

static void find_sums(const Backward *b, const FxWork *work) {
    const FxNormKernels *k = fx_norm_kernels(work->cpu);
    const FxNormPlan *p = b->plan;
    const int wide = fx_norm_wide(b->x), wide_e = fx_norm_wide(b->gy), F = fx_norm_fraction(b->x);
    const bool power = b->rule->kind == FX_NORM_SHIFT;
    for (size_t c = 0; c < p->channels; c++) {
        p->steps[c] = (FxNormSteps){.signs = b->channels[c].signs};
        fx_norm_spread(p, p->lanes.mean, c, b->channels[c].mean);
    }
    fx_norm_pass(&(FxNormPass){.plan = p, .kernel = power ? k->power_products[wide][wide_e] : k->products[wide][wide_e], .x = b->x,
                               .e = b->gy, .sums = true}, work);
    for (size_t c = 0; c < p->channels; c++) {
        const FxNormPartial total = fx_norm_total(p, c, 0, p->chunks);
        FxNormSteps *s = &p->steps[c];
        FxNormChannel *channel = &b->channels[c];
        channel->dbeta = total.sum;
        s->products = total.product;
        s->deviation = power ? total.product : total.product * (1 << F) - channel->mean * total.sum;
        channel->dgamma = s->deviation * channel->R;
        s->mean = fx_norm_mean(b->rule, channel->dbeta * (INT64_C(1) << b->rule->fraction), p->rows);
        if (!b->rule->detach)
            find_step(b, s, channel);
    }
}

// t of one element by the specification, in 64 bits and saturated once; extreme: 1 a chunk's maximum, -1 its minimum.
static int32_t one(const Backward *b, size_t i, size_t c, int extreme) {
    const FxNormSteps *s = &b->plan->steps[c];
    if (is_dead(b, c))
        return 0;
    int64_t t = fx_tensor_get(b->gy, i) * (INT64_C(1) << b->rule->fraction) - s->mean;
    const int64_t d = fx_tensor_get(b->x, i) * (1 << fx_norm_fraction(b->x)) - b->channels[c].mean;
    if (b->rule->detach)
        return (int32_t)fx_norm_saturate(t, b->limit);
    switch (b->rule->kind) {
    case FX_NORM_L1: t -= ((d > 0) - (d < 0)) * s->step - s->step_mean; break;
    case FX_NORM_RANGE: t -= extreme * s->step; break;
    case FX_NORM_L2: t -= fx_norm_shift(d * s->q, s->q_shift); break;
    default: t -= fx_norm_shift(fx_norm_power(d) * s->q, s->q_shift); break;
    }
    return (int32_t)fx_norm_saturate(t, b->limit);
}

static void wide_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Backward *b = context;
    (void)stats;
    for (size_t i = first; i < first + n; i++)
        ((int32_t *)b->t->data)[i] = one(b, i, i % b->plan->channels, 0);
}

// The parameters of the loops in 32 bits; false if something might pass them.
static bool spread_parameters(const Backward *b) {
    const FxNormPlan *p = b->plan;
    const FxNormRule *rule = b->rule;
    const int F = fx_norm_fraction(b->x);
    const int64_t largest = (b->gy->type == FX_INT8 ? INT64_C(127) : INT64_C(32767)) << rule->fraction;
    const bool l1 = rule->kind == FX_NORM_L1 && !rule->detach, line = uses_line(b) && !rule->detach;
    for (size_t c = 0; c < p->channels; c++) {
        const FxNormSteps *s = &p->steps[c];
        const bool dead = is_dead(b, c);
        const int64_t base = dead ? 0 : s->mean - (l1 ? s->step_mean : 0), step = l1 && !dead ? s->step : 0;
        const int shift = line && !dead ? s->q_shift : 32;
        if (line && (shift < 1 || s->q > INT16_MAX || s->q < -INT16_MAX))
            return false;
        const int64_t slope = line ? (INT64_C(1) << 31 >> (shift < 32 ? shift : 32)) + 1 : 0;
        if (largest + (base < 0 ? -base : base) + (step < 0 ? -step : step) + slope > INT32_MAX)
            return false;
        fx_norm_spread(p, p->lanes.unit, c, dead ? 0 : 1 << rule->fraction);
        fx_norm_spread(p, p->lanes.base, c, base);
        fx_norm_spread(p, p->lanes.step, c, step);
        fx_norm_spread(p, p->lanes.above, c, b->channels[c].mean >> F);
        fx_norm_spread(p, p->lanes.below, c, -(-b->channels[c].mean >> F));
        fx_norm_spread(p, p->lanes.factor, c, dead ? 0 : s->q);
        fx_norm_spread(p, p->lanes.shift, c, shift < 32 ? shift - 1 : 31);
    }
    return true;
}

// What the loops saw of t, which nothing changes any more.
static void keep_seen(const Backward *b, FxUnitsSeen *seen) {
    for (size_t c = 0; c < b->plan->channels; c++) {
        const FxNormPartial total = fx_norm_total(b->plan, c, 0, b->plan->chunks);
        seen[c] = (FxUnitsSeen){(uint64_t)total.largest, (uint64_t)total.zeros};
    }
}

// Returns whether the partials have what was seen.
static bool find_elements(const Backward *b, FxNormPlan *p, const FxWork *work) {
    const FxNormKernels *k = fx_norm_kernels(work->cpu);
    const int wide = fx_norm_wide(b->x), wide_e = fx_norm_wide(b->gy);
    Backward copy = *b;
    p->lanes.limit = b->limit;
    if (!spread_parameters(b)) {
        fx_work_ranges(work, b->x->count, wide_range, &copy, NULL);
        return false;
    }
    FxNormKernel *kernel = k->plain[wide][wide_e];
    if (!b->rule->detach)
        switch (b->rule->kind) {
        case FX_NORM_L1: kernel = k->sign_steps[wide][wide_e]; break;
        case FX_NORM_L2: kernel = k->line_steps[wide][wide_e]; break;
        case FX_NORM_SHIFT: kernel = k->power_steps[wide][wide_e]; break;
        default: break;
        }
    fx_norm_pass(&(FxNormPass){.plan = p, .kernel = kernel, .x = b->x, .e = b->gy, .y = b->t, .sums = true}, work);
    return true;
}

// Range: the first of each chunk's extremes takes the scale's term. A constant chunk's are one element: nothing is left.
static void move_extremes(const Backward *b, const FxWork *work) {
    const FxNormPlan *p = b->plan;
    int32_t *t = b->t->data;
    fx_norm_pass(&(FxNormPass){.plan = p, .kernel = fx_norm_kernels(work->cpu)->extremes[fx_norm_wide(b->x)], .x = b->x, .sums = true}, work);
    for (size_t c = 0; c < p->channels; c++)
        for (size_t chunk = 0; chunk < p->chunks; chunk++) {
            const FxNormPartial part = fx_norm_total(p, c, chunk, chunk + 1);
            const size_t up = part.max_row * p->channels + c, down = part.min_row * p->channels + c;
            if (up != down) {
                t[up] = one(b, up, c, 1);
                t[down] = one(b, down, c, -1);
            }
        }
}

bool fx_norm_backward(const FxNormRule *rule, int32_t range_constant, const FxTensor *x, const int32_t *x_exponents, const FxTensor *gy,
                      const int32_t *gy_exponents, FxNormChannel *channels, size_t channel_count, const FxTensor *t, FxUnitsSeen *seen, const FxWork *work) {
    assert(x->type == FX_INT8 || x->type == FX_INT16);
    assert(gy->type == FX_INT8 || gy->type == FX_INT16);
    assert(gy->count == x->count && t->count == x->count && t->type == FX_INT32);
    assert(rule->fraction >= 0 && rule->fraction <= 15);
    FxNormPlan p = fx_norm_plan(rule, x->count, channel_count, work);
    assert(p.rows <= (gy->type == FX_INT16 ? 1 << 17 : 1 << 24));
    const Backward b = {rule, range_constant, x, gy, t, channels, &p, rule->int32_profile ? INT16_MAX : INT32_MAX};
    find_sums(&b, work);
    const bool moves = rule->kind == FX_NORM_RANGE && !rule->detach, sees = find_elements(&b, &p, work) && !moves;
    if (moves)
        move_extremes(&b, work);
    if (sees)
        keep_seen(&b, seen);
    for (size_t c = 0; c < channel_count; c++) {
        const int32_t ex = x_exponents ? x_exponents[c] : x->exponent, egy = gy_exponents ? gy_exponents[c] : gy->exponent;
        channels[c].multiplier = is_dead(&b, c) ? 0 : channels[c].G;
        channels[c].exponent = channels[c].G_exponent + fx_norm_fraction(x) - rule->fraction + egy - ex;
    }
    return sees;
}
