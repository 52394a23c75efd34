#include "sim/carriers.h"

FxType fx_wider_type(FxType a, FxType b) {
    if (a == b)
        return a;
    if (fx_type_size(a) == fx_type_size(b)) // int8 and uint8
        return FX_INT16;
    return fx_type_size(a) > fx_type_size(b) ? a : b;
}

static uint64_t max_code(const FxGrid *grid) {
    uint64_t low = (uint64_t)-fx_grid_low(grid), high = (uint64_t)fx_grid_high(grid);
    return low > high ? low : high;
}

static const FxSiteConfig *site_of(const FxConfig *c, int phase, int index, FxSite site) {
    return &c->phases[phase].layers[index].site[site];
}

// Whether integers may have an exponent a channel there: what reads them tells the channels apart, or is aligned for them. Errors
// where the recipe claims integers; elsewhere their values are float32, whose source may be floats as well.
static bool takes_channels(const FxConfig *c, int index, FxSite site) {
    uint64_t most = 0;
    if (site != FX_SITE_ERROR && site != FX_SITE_ERROR_GRAD)
        return site == FX_SITE_PREACT;
    const bool products = fx_carrier(c, index, fx_left_site(c, index, FX_GRADIENT), NULL) != FX_FLOAT32;
    if (site == FX_SITE_ERROR_GRAD)
        return products;
    const bool weights = fx_carrier(c, index, fx_right_site(c, index, FX_ERROR), &most) != FX_FLOAT32;
    return c->claims_integer && weights && most << FX_ERROR_SPREAD <= INT16_MAX && (products || fx_has_copy(c, index, FX_SITE_ERROR_GRAD));
}

FxType fx_carrier(const FxConfig *c, int index, FxSite site, uint64_t *max) {
    FxType type = FX_INT8;
    const bool channels = takes_channels(c, index, site);
    uint64_t most = 0;
    bool any = false, floats = c->carries_floats;
    for (int i = 0; i < c->phase_count; i++) {
        const FxSiteConfig *s = site_of(c, i, index, site);
        if (site == FX_SITE_LOGITS && !s->on) // then the sums themselves are read
            continue;
        floats |= !fx_site_is_integer(s) && !(channels && fx_site_is_channel(s));
        if (floats)
            continue;
        type = any ? fx_wider_type(type, fx_quantiser_type(&s->q)) : fx_quantiser_type(&s->q);
        most = max_code(&s->q.grid) > most ? max_code(&s->q.grid) : most;
        any = true;
    }
    if (max)
        *max = most;
    return floats ? FX_FLOAT32 : type;
}

bool fx_is_on(const FxConfig *c, int index, FxSite site) {
    bool on = false;
    for (int i = 0; i < c->phase_count; i++)
        on |= site_of(c, i, index, site)->on;
    return on;
}

bool fx_has_copy(const FxConfig *c, int index, FxSite copy) {
    return site_of(c, 0, index, copy)->is_set; // settings are there in all phases
}

static FxSite copy_or(const FxConfig *c, int index, FxSite copy, FxSite site) {
    return fx_has_copy(c, index, copy) ? copy : site;
}

bool fx_image_is_float(const FxConfig *c) {
    return c->map == FX_MAP_MEAN_STD || fx_carrier(c, 0, FX_SITE_INPUT, NULL) == FX_FLOAT32;
}

FxSite fx_left_site(const FxConfig *c, int index, FxProductKind kind) {
    FxSite read = index == 0 ? FX_SITE_INPUT : FX_SITE_ACTIVATION;
    return kind == FX_ERROR ? FX_SITE_ERROR : kind == FX_GRADIENT ? copy_or(c, index, FX_SITE_ACTIVATION_GRAD, read) : read;
}

FxSite fx_right_site(const FxConfig *c, int index, FxProductKind kind) {
    return kind == FX_FORWARD ? FX_SITE_WEIGHT : kind == FX_ERROR ? copy_or(c, index, FX_SITE_WEIGHT_BACK, FX_SITE_WEIGHT)
           : copy_or(c, index, FX_SITE_ERROR_GRAD, FX_SITE_ERROR);
}

bool fx_product_is_float(const FxConfig *c, int index, FxProductKind kind) {
    bool floats = fx_carrier(c, index, fx_left_site(c, index, kind), NULL) == FX_FLOAT32 ||
                  fx_carrier(c, index, fx_right_site(c, index, kind), NULL) == FX_FLOAT32;
    for (int i = 0; i < c->phase_count; i++) {
        const FxAccumulator *acc = &c->phases[i].layers[index].accumulator[kind];
        floats |= fx_policy_is_float(&acc->inner) || (acc->chunk && fx_policy_is_float(&acc->outer));
    }
    return floats;
}

bool fx_loss_is_integer(const FxConfig *c) {
    int last = c->layer_count - 1;
    bool integers = !fx_product_is_float(c, last, FX_FORWARD) && fx_carrier(c, last, FX_SITE_ERROR, NULL) != FX_FLOAT32;
    for (int i = 0; i < c->phase_count; i++) {
        const FxSiteConfig *logits = site_of(c, i, last, FX_SITE_LOGITS);
        integers &= !logits->on || fx_site_is_integer(logits);
    }
    return integers;
}

bool fx_has_channels(const FxConfig *c, int index, FxSite site) {
    bool channels = false;
    for (int i = 0; i < c->phase_count; i++)
        channels |= fx_site_is_channel(site_of(c, i, index, site));
    return channels;
}

bool fx_has_integer_channels(const FxConfig *c, int index, FxSite site) {
    return fx_has_channels(c, index, site) && fx_carrier(c, index, site, NULL) != FX_FLOAT32;
}

bool fx_norm_is_integer(const FxConfig *c, int index) {
    static const FxSite sites[] = {FX_SITE_PREACT, FX_SITE_PREACT_ERROR, FX_SITE_NORM_GAMMA, FX_SITE_NORM_BETA};
    bool integers = true;
    for (int i = 0; i < 4; i++) {
        FxType type = fx_carrier(c, index, sites[i], NULL);
        integers &= type == FX_INT8 || type == FX_INT16;
    }
    return integers;
}

bool fx_update_is_integer(const FxConfig *c, int index, FxSite store, FxSite gradient) {
    const FxSite sites[] = {store, gradient, FX_SITE_MOMENTUM, FX_SITE_DECAY};
    bool integers = !c->update.rule->has_second && !c->carries_floats;
    for (int i = 0; i < c->phase_count; i++)
        for (int j = 0; j < 4; j++) {
            const FxSiteConfig *s = site_of(c, i, index, sites[j]);
            bool unused = sites[j] == FX_SITE_DECAY || (sites[j] == FX_SITE_MOMENTUM && !c->update.rule->has_momentum && !c->phases[i].momentum.mantissa);
            if (s->on || !unused)
                integers &= fx_site_is_constant(s);
        }
    return integers;
}
