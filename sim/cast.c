#include "sim/cast.h"

#include "formats/values_f32.h"
#include "sim/carriers.h"

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

static bool is_gradient(FxSite site) {
    return site == FX_SITE_GRADIENT || site == FX_SITE_GAMMA_GRADIENT || site == FX_SITE_BETA_GRADIENT;
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
    if (is_error(site) || site == FX_SITE_PREACT_ERROR || site == FX_SITE_SUM_ERROR || is_gradient(site)) {
        s->totals->lost_errors += lost(q, stats);
        if (s->fired)
            *s->fired |= fx_loss_scale_fires(&s->config->loss_scaling, stats, lost(q, stats));
    }
    if (site == node->store_site)
        s->totals->lost_weights += lost(q, stats);
    if (site == FX_SITE_ERROR || site == FX_SITE_PREACT_ERROR || is_gradient(site)) // sums and copies are no tensors of their own
        s->totals->zero_tensors += stats->max_abs == 0 && !stats->nonfinite;
    if (site == FX_SITE_ERROR)
        node->live_errors += stats->n - stats->zeros_out;
    if (site == FX_SITE_ACTIVATION)
        node->live_activations += stats->n - stats->zeros_out;
}

// Where the declared exponent is another than that of the rounding, the latter is what is compared. A scale a channel has a unit
// of its own where the channels' exponents are kept; other groups, and scales that are no powers of two, have none.
static void measure(const FxStep *s, FxSiteState *state, const FxTensorCast *cast, const FxSource *source, const FxTensor *y, FxScaleChoice choice) {
    const FxTensor *x = source->x;
    const FxScale *scale = &cast->q->scale;
    const bool declared = scale->rule->discards || !strcmp(scale->rule->name, "alpha"), integers = y->type != FX_FLOAT32;
    FxTensor rounded = *y;
    FxRounded r = {.x = x, .q = &rounded, .units = source->units, .channels = cast->channels, .grid = &cast->q->grid, .exponent = choice.exponent,
                   .crest_of_source = source->of_norm};
    if (declared && (!integers || x->type == FX_FLOAT32))
        return;
    if (declared) { // with units every channel's is the same
        const int unit = source->units && source->units->exponent ? source->units->exponent[0] : x->exponent;
        r.exponent = rounded.exponent = unit + (source->units ? cast->casts[0].shift : choice.shift);
    }
    if (scale->group == FX_GROUP_CHANNEL && integers)
        r.exponents = source->exponents;
    r.has_unit = r.exponents || (!scale->group && !scale->rule->real);
    fx_quality_add(&state->quality, &r, &s->net->work);
}

// Tensors with an element an image, position and channel that no evaluation makes.
static bool of_activations(FxSite site) {
    return site == FX_SITE_ACTIVATION_GRAD || is_error(site) || site == FX_SITE_PREACT_ERROR || site == FX_SITE_SUM_ERROR;
}

typedef struct PlainContext {
    const FxTensor *x, *y;
} PlainContext;

static void plain_range(void *context, size_t first, size_t n, FxStats *stats) {
    const PlainContext *c = context;
    uint64_t zeros = fx_values_f32(fx_tensor_at(c->y, first), c->x, first, n);
    stats->n += n;
    stats->zeros_in += zeros;
    stats->zeros_out += zeros;
}

// A site that is `none` makes integers floats, which rounds where float32 does, as the quantiser fp32 would.
static bool is_plain(const FxSiteConfig *site, const FxSource *source, const FxTensor *y) {
    const FxTensor *x = source->x;
    return !site->on && y->type == FX_FLOAT32 && !fx_type_is_float(x->type) && !source->units && !source->pass && x->exponent >= -100 && x->exponent <= 60;
}

static void make_plain(const FxWork *work, const FxTensor *x, FxTensor *y, FxStats *stats) {
    PlainContext c = {x, y};
    fx_work_ranges(work, x->count, plain_range, &c, stats);
    fx_stats_max(stats, fx_work_max_abs(work, x, &(int){0}), x->exponent);
    y->exponent = 0;
}

void fx_site_cast(const FxStep *s, FxNode *node, FxSite site, const FxSource *source, FxTensor *y) {
    const FxLayerConfig *config = &fx_step_phase(s)->layers[node->id - 1];
    const FxQuantiser *q = &config->site[site].q;
    FxSiteState *state = &node->site[site];
    bool of_images = site == FX_SITE_INPUT || site == FX_SITE_ACTIVATION || site == FX_SITE_LOGITS || site == FX_SITE_PREACT || site == FX_SITE_SUM ||
                     site == FX_SITE_NORM_XHAT;
    FxTensorCast cast = {.q = q, .random = fx_step_random(s, node, (int)site), .element0 = source->element0, .alpha = node->alpha,
                         .lower = is_error(site) ? config->error_lower : 0, .last = (int)state->exponent, .state = state->words,
                         .observes = !s->evaluation, .direction = source->direction, .units = source->units, .exponents = source->exponents};
    cast.element0 += node->first_word[site];
    if (s->evaluation && of_images)
        cast.element0 = node->first_word[site] + s->first_image * (y->count / (uint64_t)s->images);
    const bool of_weights = !of_images && !of_activations(site);
    bool of_output = of_weights || is_error(site) || site == FX_SITE_LOGITS;
    cast.samples = of_weights ? 1 : (size_t)s->images;
    cast.channels = source->channels ? source->channels : (size_t)(of_output ? node->layer.out.c : node->layer.in.c);
    cast.casts = s->net->casts.data;
    cast.spread = site == FX_SITE_ERROR && source->exponents ? FX_ERROR_SPREAD : 0;
    if (fx_scale_is_mx(&q->scale))
        set_axis(&cast, node, site, y->count, (size_t)s->images);
    FxStats stats = {0};
    FxScaleChoice choice = {0};
    if (is_plain(&config->site[site], source, y))
        make_plain(&s->net->work, source->x, y, &stats);
    else
        choice = fx_tensor_cast(&cast, &s->net->work, source->x, source->pass, y, &stats);
    if (s->evaluation)
        return;
    fx_note_choice(state, &q->scale, choice, stats.max_abs == 0);
    count_fate(s, node, site, q, &stats);
    fx_stats_add(&state->stats, &stats);
    fx_stats_add(&state->last, &stats);
    if (s->config->stats_full && config->site[site].on)
        measure(s, state, &cast, source, y, choice);
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
