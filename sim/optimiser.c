#include "sim/optimiser.h"

#include "layers/linear.h"
#include "sim/update.h"

#include <assert.h>
#include <string.h>

static const FxScalar one = {1 << 14, -14};

static FxScalar minus(FxScalar a) {
    return (FxScalar){-a.mantissa, a.exponent};
}

static const FxWork *work_of(const FxUpdating *u) {
    return &u->s->net->work;
}

static bool has_site(const FxUpdating *u, FxSite site) {
    return fx_step_phase(u->s)->layers[u->node->id - 1].site[site].on;
}

// buffer[i] = a * x + y
static const FxTensor *sum(FxUpdating *u, int i, FxScalar a, const FxTensor *x, const FxTensor *y) {
    fx_multiply_add(&u->buffer[i], a, x, y, work_of(u));
    return &u->buffer[i];
}

// g + decay * w, rounded at the site decay; uses buffers 0 and 1.
static const FxTensor *decayed(FxUpdating *u) {
    const FxTensor *h = u->decay.mantissa ? sum(u, 0, u->decay, &u->node->store, &u->g) : &u->g;
    if (!has_site(u, FX_SITE_DECAY))
        return h;
    fx_update_round(u, FX_SITE_DECAY, h, &u->buffer[1]);
    return &u->buffer[1];
}

// h = Q_decay(g + decay * w); m = Q_momentum(mu * m + h); w = Q_store(w - rate * m), Nesterov w - rate * (h + mu * m).
static void sgd(FxUpdating *u) {
    FxTensor *m = &u->node->momentum;
    const FxTensor *h = decayed(u), *v = h;
    if (m->data) {
        fx_update_round(u, FX_SITE_MOMENTUM, sum(u, 2, u->momentum, m, h), m);
        v = u->s->config->update.nesterov ? sum(u, 2, u->momentum, m, h) : m;
    }
    // h may lie in buffer 0 or 1, v in 2
    fx_update_store(u, sum(u, h == &u->buffer[0] && v == h ? 1 : 0, minus(u->rate), v, &u->node->store), v);
}

// u = Q_momentum(mu * u - rate * h); w = Q_store(w + u). Source: Courbariaux et al. 1412.7024.
static void sgd_inner(FxUpdating *u) {
    FxTensor *m = &u->node->momentum;
    const FxTensor *step = sum(u, 2, minus(u->rate), decayed(u), NULL);
    fx_update_round(u, FX_SITE_MOMENTUM, sum(u, 0, u->momentum, m, step), m);
    fx_update_store(u, sum(u, 0, one, m, &u->node->store), sum(u, 1, minus(one), m, NULL));
}

// Kingma and Ba 1412.6980; weight decay goes into the gradient.
static void adam(FxUpdating *u) {
    FxNode *node = u->node;
    const FxUpdateConfig *c = &u->s->config->update;
    const FxTensor *h = decayed(u);
    FxTensor *m = &u->buffer[2], *v = &u->buffer[h == &u->buffer[0] ? 1 : 0];
    fx_adam_means_f32(m, v, h, &node->momentum, &node->second, c->beta1, c->beta2, work_of(u));
    fx_update_round(u, FX_SITE_MOMENTUM, m, &node->momentum);
    fx_update_round(u, FX_SITE_SECOND, v, &node->second);
    fx_adam_step_f32(&u->buffer[0], &node->store, &node->momentum, &node->second, u->rate, c->beta1, c->beta2, c->epsilon,
                     u->s->net->updates + 1, work_of(u));
    fx_update_store(u, &u->buffer[0], &node->momentum);
}

static const FxOptimiser table[] = {
    {"sgd", false, false, sgd},
    {"sgd-inner", true, false, sgd_inner},
    {"adam", true, true, adam},
};

const FxOptimiser *fx_optimiser_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

// ---- proofs for integers --------------------------------------------------------------------------------------------

// A magnitude and its unit.
typedef struct Bound {
    unsigned __int128 most;
    int exponent;
} Bound;

static const unsigned __int128 limit = (unsigned __int128)1 << 62;

static Bound bound_of(const FxQuantiser *q) {
    uint64_t low = (uint64_t)-fx_grid_low(&q->grid), high = (uint64_t)fx_grid_high(&q->grid);
    return (Bound){low > high ? low : high, q->scale.parameter[0] - q->grid.fraction};
}

// As fx_multiply_add; what is beyond the limit stays there.
static Bound add(FxScalar a, Bound x, const Bound *y) {
    unsigned m = (unsigned)(a.mantissa < 0 ? -a.mantissa : a.mantissa);
    int power = __builtin_ctz(m | 1U << 31), of_x = a.exponent + power + x.exponent;
    int unit = !m ? (y ? y : &x)->exponent : y && y->exponent < of_x ? y->exponent : of_x;
    Bound out = {0, unit};
    if (m)
        out.most = of_x - unit < 62 ? (x.most * (m >> power)) << (of_x - unit) : limit;
    if (y)
        out.most += y->exponent - unit < 62 ? y->most << (y->exponent - unit) : limit;
    out.most = out.most < limit ? out.most : limit;
    return out;
}

static bool fits(const FxConfig *config, const FxPhase *phase, const FxNode *node, FxScalar rate, int scale) {
    const FxLayerConfig *c = &phase->layers[node->id - 1];
    Bound g = bound_of(&c->site[node->gradient_site].q);
    g.exponent -= scale;
    Bound w = bound_of(&c->site[node->store_site].q), m = {0, 0}, h = add(fx_update_decay(phase, node), w, &g), v = h, sums[4] = {h};
    if (c->site[FX_SITE_DECAY].on)
        v = h = bound_of(&c->site[FX_SITE_DECAY].q);
    if (c->site[FX_SITE_MOMENTUM].on)
        m = bound_of(&c->site[FX_SITE_MOMENTUM].q);
    if (config->update.rule->has_momentum) { // sgd-inner
        Bound step = add(rate, h, NULL);
        sums[1] = step;
        sums[2] = add(phase->momentum, m, &step);
        sums[3] = add(one, m, &w);
    } else {
        if (c->site[FX_SITE_MOMENTUM].on) {
            sums[1] = add(phase->momentum, m, &h);
            v = config->update.nesterov ? sums[1] : m;
        }
        sums[2] = add(rate, v, &w);
    }
    for (int i = 0; i < 4; i++)
        if (sums[i].most >= limit)
            return false;
    return true;
}

// Whether the sums fit at every step under a loss scale of 2^scale; if not, *at is a step where they do not. Long spans are
// looked at by samples, their last steps, whose rates are the finest, one by one.
static bool all_fit(const FxConfig *config, const FxNode *node, int scale, uint64_t *at) {
    for (int p = 0; p < config->phase_count; p++) {
        const FxPhase *phase = &config->phases[p];
        uint64_t end = p + 1 < config->phase_count ? config->phases[p + 1].start : config->total_steps;
        uint64_t stride = 1 + (end - phase->start) / 65536;
        bool moves = phase->rate.cosine || phase->rate.warmup;
        for (*at = phase->start; *at < end; *at = !moves ? end : end - *at > 1024 ? *at + stride : *at + 1)
            if (!fits(config, phase, node, fx_rate_at(&phase->rate, *at), scale))
                return false;
    }
    return true;
}

int fx_update_check(const FxConfig *config, const FxNode *node, FxError *err) {
    const char *name = node->name.name;
    const FxLossScaling *scaling = &config->loss_scaling;
    const FxScalar ends[] = {scaling->value, scaling->floor, scaling->backoff, scaling->growth.factor};
    uint64_t step;
    for (int i = 0; scaling->on && i < (scaling->dynamic ? 4 : 1); i++)
        if (ends[i].mantissa != 1 << 14)
            return fx_fail(err, FX_EXIT_USAGE, "%s: loss-scale: an update on integers is scaled by powers of two", name);
    for (int i = 0; i < (scaling->dynamic ? 2 : 1); i++) {
        int scale = scaling->on ? ends[i].exponent + 14 : 0; // powers of two
        if (!all_fit(config, node, scale, &step))
            return fx_fail(err, FX_EXIT_USAGE, "%s: the update at step %llu under a loss scale of 2^%d needs more than 63 bits: use fewer bits of "
                           "gradient, momentum or store, or a rate, momentum or decay of fewer bits (a power of two has one)", name,
                           (unsigned long long)step, scale);
    }
    return 0;
}

int fx_update_most_scale(const FxConfig *config, const FxNode *node) {
    uint64_t step;
    int scale = config->loss_scaling.value.exponent + 14;
    while (scale < config->loss_scaling.most && all_fit(config, node, scale + 1, &step))
        scale++;
    return scale;
}
