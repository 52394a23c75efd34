// Forward and folded inference of the integer norms.
#include "layers/norm_math.h"
#include "layers/norm_plan.h"

#include <assert.h>

enum { NARROW_ADDEND = 1 << 30 };

static void assert_types(const FxTensor *x, const FxTensor *y) {
    assert(x->type == FX_INT8 || x->type == FX_INT16);
    assert(y->type == FX_INT32 && y->count == x->count);
}

// Of d: d > 0 if x > floor(M / 2^F), d < 0 if x < ceil(M / 2^F).
static void spread_sides(const FxNormPlan *p, const FxNormChannel *channels, int F) {
    for (size_t c = 0; c < p->channels; c++) {
        fx_norm_spread(p, p->lanes.above, c, channels[c].mean >> F);
        fx_norm_spread(p, p->lanes.below, c, -(-channels[c].mean >> F));
    }
}

// S and M, and what else the first pass counts.
static void find_means(const FxNormRule *rule, const FxNormPlan *p, const FxTensor *x, FxNormChannel *channels, const FxWork *work) {
    const FxNormKernels *k = fx_norm_kernels(work->cpu);
    const int wide = fx_norm_wide(x), F = fx_norm_fraction(x);
    FxNormKernel *kernel = rule->kind == FX_NORM_L2 ? k->squares[wide] : rule->kind == FX_NORM_RANGE ? k->extremes[wide] : k->add[wide];
    fx_norm_pass(&(FxNormPass){.plan = p, .kernel = kernel, .x = x, .sums = true}, work);
    for (size_t c = 0; c < p->channels; c++) {
        const FxNormPartial total = fx_norm_total(p, c, 0, p->chunks);
        FxNormSteps *s = &p->steps[c];
        *s = (FxNormSteps){.sum = total.sum, .squares = total.product};
        for (size_t chunk = 0; rule->kind == FX_NORM_RANGE && chunk < p->chunks; chunk++) {
            const FxNormPartial part = fx_norm_total(p, c, chunk, chunk + 1);
            s->spread += part.max - part.min;
        }
        channels[c] = (FxNormChannel){.mean = (int32_t)fx_norm_mean(rule, s->sum * (1 << F), p->rows)};
    }
}

// What L1 and shift count once they have the means.
static void find_deviations(const FxNormRule *rule, const FxNormPlan *p, const FxTensor *x, FxNormChannel *channels, const FxWork *work) {
    const FxNormKernels *k = fx_norm_kernels(work->cpu);
    const int wide = fx_norm_wide(x), F = fx_norm_fraction(x);
    const int64_t n = (int64_t)p->rows;
    const bool l1 = rule->kind == FX_NORM_L1;
    spread_sides(p, channels, F);
    for (size_t c = 0; c < p->channels; c++)
        fx_norm_spread(p, p->lanes.mean, c, channels[c].mean);
    fx_norm_pass(&(FxNormPass){.plan = p, .kernel = l1 ? k->sides[wide] : k->powers[wide], .x = x, .sums = true}, work);
    for (size_t c = 0; c < p->channels; c++) {
        const FxNormPartial total = fx_norm_total(p, c, 0, 1);
        const int64_t M = channels[c].mean;
        FxNormSteps *s = &p->steps[c];
        if (!l1) {
            s->variance = total.product;
            continue;
        }
        s->above_sum = total.sum;
        s->above = total.above;
        s->below = total.below;
        channels[c].signs = (int32_t)(total.above - total.below);
        s->spread = 2 * (s->above_sum * (1 << F) - M * s->above) - (s->sum * (1 << F) - n * M); // sum |d|
    }
}

static int log2_of(int floor) {
    assert(floor > 0 && (floor & (floor - 1)) == 0);
    return fx_norm_bits(floor) - 1;
}

// q with 2^(2q-1) <= V / n < 2^(2q+1), at least the floor's.
static void find_power(const FxNormRule *rule, FxNormSteps *s, FxNormChannel *channel, int64_t n) {
    const int least = log2_of(rule->floor);
    channel->floored = 2 * s->variance < n << 2 * least;
    s->power = least;
    while (s->variance >= n << (2 * s->power + 1))
        s->power++;
    channel->num = 1;
    channel->den = INT64_C(1) << s->power;
    channel->R = 1 << 14;
    channel->k = 14 + s->power;
}

// The scale's reciprocal, floored, as num / den and as R * 2^-k.
static void find_scale(const FxNormRule *rule, int32_t range_constant, const FxNormPlan *p, FxNormSteps *s, FxNormChannel *channel, int F) {
    const int64_t n = (int64_t)p->rows, M = channel->mean;
    switch (rule->kind) {
    case FX_NORM_L1:
        channel->num = n << 15;
        channel->den = s->spread * 41069; // sqrt(pi / 2) * 2^15
        break;
    case FX_NORM_RANGE:
        channel->num = (int64_t)p->chunks << 16;
        channel->den = (s->spread * range_constant) << F;
        break;
    case FX_NORM_L2:
        assert(n < 1 << 19);
        s->variance = s->squares * (1 << 2 * F) - 2 * M * s->sum * (1 << F) + n * M * M; // sum d^2
        s->root = fx_norm_root((s->variance << 14) / n);
        channel->num = 1 << 7;
        channel->den = s->root;
        break;
    default: find_power(rule, s, channel, n); return;
    }
    channel->floored = channel->den < channel->num * rule->floor;
    channel->den = channel->floored ? channel->num * rule->floor : channel->den;
    fx_norm_reciprocal(rule, channel->num, channel->den, &channel->R, &channel->k);
}

// An element by the specification: 64 bits, saturated once. shift < -31: the product's sign decides.
static int32_t map_one(int64_t product, int shift, int64_t addend) {
    if (shift < -31)
        return (int32_t)(product ? (product > 0 ? INT32_MAX : -INT32_MAX) : fx_norm_saturate(addend, INT32_MAX));
    return (int32_t)fx_norm_saturate(fx_norm_shift(product, shift) + addend, INT32_MAX);
}

typedef struct Map {
    const FxNormPlan *plan;
    const FxTensor *x, *y;
    const int32_t *mean, *factor; // lanes
    int fraction;
} Map;

static void map_range(void *context, size_t first, size_t n, FxStats *stats) {
    const Map *m = context;
    (void)stats;
    for (size_t i = first; i < first + n; i++) {
        const size_t c = i % m->plan->channels;
        const int64_t d = fx_tensor_get(m->x, i) * (1 << m->fraction) - m->mean[c];
        ((int32_t *)m->y->data)[i] = map_one(d * m->factor[c], m->plan->steps[c].shift, m->plan->steps[c].addend);
    }
}

// y = round(d * factor / 2^shift) + addend from the steps' shift and addend and the lanes' mean and factor. |d * factor|
// is below 2^31, so 32 bits do unless something is shifted left or a large addend might saturate.
static void map_elements(const FxNormPlan *p, const FxTensor *x, const FxTensor *y, int fraction, const FxWork *work) {
    bool narrow = true;
    for (size_t c = 0; c < p->channels; c++) {
        const FxNormSteps *s = &p->steps[c];
        const int shift = s->shift + fx_norm_fraction(x) - fraction; // the kernel's d has F fraction bits
        narrow = narrow && shift >= 1 && s->addend <= NARROW_ADDEND && s->addend >= -NARROW_ADDEND;
        if (!narrow)
            break;
        fx_norm_spread(p, p->lanes.shift, c, shift < 32 ? shift - 1 : 31);
        fx_norm_spread(p, p->lanes.base, c, s->addend);
    }
    if (narrow) {
        fx_norm_pass(&(FxNormPass){.plan = p, .kernel = fx_norm_kernels(work->cpu)->map[fx_norm_wide(x)], .x = x, .y = y}, work);
        return;
    }
    Map map = {p, x, y, p->lanes.mean, p->lanes.factor, fraction};
    fx_work_ranges(work, x->count, map_range, &map, NULL);
}

// beta at y's exponent.
static int64_t addend_of(const FxTensor *beta, size_t c) {
    assert(beta->exponent <= 31);
    return fx_norm_shift(fx_tensor_get(beta, c), FX_NORM_EXPONENT - beta->exponent);
}

void fx_norm_forward(const FxNormRule *rule, int32_t range_constant, const FxTensor *x, const FxTensor *gamma, const FxTensor *beta,
                     FxNormChannel *channels, size_t channel_count, const FxTensor *y, const FxWork *work) {
    assert_types(x, y);
    assert(gamma->count == channel_count && beta->count == channel_count && gamma->type == FX_INT16 && beta->type == FX_INT16);
    const FxNormPlan p = fx_norm_plan(rule, x->count, channel_count, work);
    const int F = fx_norm_fraction(x);
    assert(p.rows <= 1 << 24 && rule->floor > 0);
    find_means(rule, &p, x, channels, work);
    if (rule->kind == FX_NORM_L1 || rule->kind == FX_NORM_SHIFT)
        find_deviations(rule, &p, x, channels, work);
    for (size_t c = 0; c < channel_count; c++) {
        FxNormSteps *s = &p.steps[c];
        FxNormChannel *channel = &channels[c];
        find_scale(rule, range_constant, &p, s, channel, F);
        const FxNormGain gain = fx_norm_gain(rule, fx_tensor_get(gamma, c), channel->R, gamma->exponent - channel->k);
        channel->G = gain.G;
        channel->G_exponent = gain.exponent;
        s->P = gain.P;
        s->bits = gain.bits;
        s->shift = FX_NORM_EXPONENT - gain.exponent;
        s->addend = addend_of(beta, c);
        assert(s->shift >= -31);
        fx_norm_spread(&p, p.lanes.mean, c, channel->mean);
        fx_norm_spread(&p, p.lanes.factor, c, channel->G);
    }
    map_elements(&p, x, y, F, work);
}

// sgn(v) * 2^62 where v * 2^-s passes it.
static int64_t shift_limited(int64_t v, int s) {
    const int room = 62 - fx_norm_bits(v);
    return v && -s > room ? (v > 0 ? INT64_C(1) << 62 : -(INT64_C(1) << 62)) : v ? fx_norm_shift(v, s) : 0;
}

void fx_norm_infer(const FxNormRule *rule, const FxTensor *x, const int32_t *x_exponents, const FxTensor *gamma, const FxTensor *beta,
                   const FxNormRunning *running, size_t channel_count, const FxTensor *y, const FxWork *work) {
    assert_types(x, y);
    assert(running->begun && gamma->count == channel_count && beta->count == channel_count);
    const FxNormPlan p = fx_norm_plan(rule, x->count, channel_count, work);
    for (size_t c = 0; c < channel_count; c++) {
        FxNormSteps *s = &p.steps[c];
        const bool power = rule->kind == FX_NORM_SHIFT;
        int32_t R, k;
        fx_norm_reciprocal(rule, 1, power ? fx_norm_power(running->scale[c]) : running->scale[c], &R, &k);
        if (power) { // under every reciprocal
            R = 1 << 14;
            k = 14 + fx_norm_bits(fx_norm_power(running->scale[c])) - 1;
        }
        const FxNormGain gain = fx_norm_gain(rule, fx_tensor_get(gamma, c), R, gamma->exponent - k - running->exponent);
        const int64_t offset = shift_limited((int64_t)running->mean[c] * gain.G, FX_NORM_EXPONENT - gain.exponent - running->exponent);
        *s = (FxNormSteps){.P = gain.P, .bits = gain.bits, .addend = fx_norm_saturate(addend_of(beta, c) - offset, INT64_C(1) << 62)};
        s->shift = FX_NORM_EXPONENT - gain.exponent - (x_exponents ? x_exponents[c] : x->exponent);
        fx_norm_spread(&p, p.lanes.mean, c, 0);
        fx_norm_spread(&p, p.lanes.factor, c, gain.G);
    }
    map_elements(&p, x, y, 0, work);
}
