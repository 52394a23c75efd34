// Optimiser, rates and loss scale.
#include "sim/config_resolve.h"

#include <stdlib.h>
#include <string.h>

// A number whose text the key's check has accepted.
static FxScalar scalar(FxRecipe *recipe, const char *path) {
    FxScalar s = {0, 0};
    FxError ignored;
    fx_scalar_parse(&s, fx_recipe_text(recipe, path), &ignored);
    return s;
}

static int resolve_loss_scale(const Resolver *r) {
    FxRecipe *recipe = r->recipe;
    FxLossScaling *l = &r->config->loss_scaling;
    const char *mode = fx_recipe_text(recipe, "loss-scale.mode"), *trigger = fx_recipe_text(recipe, "loss-scale.trigger");
    const char *share = strchr(trigger, ':');
    *l = (FxLossScaling){.on = strcmp(mode, "none") != 0, .dynamic = !strcmp(mode, "dynamic"), .most = FX_MOST_LOSS_SCALE};
    l->value = scalar(recipe, "loss-scale.value");
    l->backoff = scalar(recipe, "loss-scale.backoff");
    l->floor = scalar(recipe, "loss-scale.floor");
    if (l->on && l->value.mantissa <= 0)
        return fx_fail(r->err, FX_EXIT_USAGE, "loss-scale.value = %s: a number above 0 is needed", fx_recipe_text(recipe, "loss-scale.value"));
    if (l->dynamic && l->backoff.mantissa <= 0)
        return fx_fail(r->err, FX_EXIT_USAGE, "loss-scale.backoff = %s: a number above 0 is needed", fx_recipe_text(recipe, "loss-scale.backoff"));
    const FxScalar all[] = {l->value, l->floor};
    for (int i = 0; i < 2; i++)
        if (all[i].mantissa < 0 || all[i].exponent + 14 > 127 || all[i].exponent + 14 < -FX_MOST_LOSS_SCALE)
            return fx_fail(r->err, FX_EXIT_USAGE, "loss-scale.value, .floor: above 0 and between 2^-%d and 2^128, which float32 holds", FX_MOST_LOSS_SCALE);
    l->on_saturation = share != NULL;
    if (share && fx_scalar_parse(&l->share, share + 1, r->err))
        return -1;
    if (share && l->share.exponent + 14 >= 0 && !(l->share.exponent == -14 && l->share.mantissa == 1 << 14))
        return fx_fail(r->err, FX_EXIT_USAGE, "loss-scale.trigger = %s: a share is at most 1", trigger);
    return fx_growth_parse(&l->growth, fx_recipe_text(recipe, "loss-scale.growth"), r->err);
}

int fx_resolve_update(const Resolver *r) {
    FxUpdateConfig *u = &r->config->update;
    u->rule = fx_optimiser_find(fx_recipe_text(r->recipe, "update.rule"));
    u->lsb = !strcmp(fx_recipe_text(r->recipe, "update.rate-unit"), "lsb");
    u->by_deviation = !strcmp(fx_recipe_text(r->recipe, "update.rate-factor"), "deviation");
    u->nesterov = !strcmp(fx_recipe_text(r->recipe, "update.nesterov"), "yes");
    u->beta1 = scalar(r->recipe, "update.beta1");
    u->beta2 = scalar(r->recipe, "update.beta2");
    u->epsilon = scalar(r->recipe, "update.epsilon");
    if (resolve_loss_scale(r))
        return -1;
    const FxScalar betas[] = {u->beta1, u->beta2};
    for (int i = 0; i < 2; i++)
        if (betas[i].exponent + 14 >= 0 && betas[i].mantissa)
            return fx_fail(r->err, FX_EXIT_USAGE, "update.beta%d = %s: below 1 is needed", i + 1, fx_recipe_text(r->recipe, i ? "update.beta2" : "update.beta1"));
    if (u->epsilon.mantissa < 0)
        return fx_fail(r->err, FX_EXIT_USAGE, "update.epsilon = %s: not below 0", fx_recipe_text(r->recipe, "update.epsilon"));
    if (!u->lsb)
        return 0;
    if (strcmp(u->rule->name, "sgd") || u->nesterov)
        return fx_fail(r->err, FX_EXIT_USAGE, "update.rule = %s%s: update.rate-unit = lsb is plain sgd; write update.rate-unit = value", u->rule->name,
                       u->nesterov ? ", nesterov" : "");
    if (r->config->loss_scaling.on)
        return fx_fail(r->err, FX_EXIT_USAGE, "loss-scale.mode = %s: update.rate-unit = lsb takes the gradient's scale away anyway",
                       fx_recipe_text(r->recipe, "loss-scale.mode"));
    return 0;
}

static int check_lsb(const Resolver *r, const FxPhase *phase, const char *text) {
    const FxScalar ends[] = {phase->rate.from, phase->rate.cosine ? phase->rate.end : phase->rate.from};
    for (int i = 0; i < 2; i++)
        if (ends[i].mantissa <= 0 || ends[i].exponent + 14 < -16 || ends[i].exponent + 14 > 30 || phase->rate.warmup)
            return fx_fail(r->err, FX_EXIT_USAGE, "update.rate: %s: in steps of the store it must lie in 2^-16 .. 2^30, without a warm-up", text);
    if (phase->momentum.mantissa || phase->decay.mantissa)
        return fx_fail(r->err, FX_EXIT_USAGE, "update.momentum and update.weight-decay need update.rate-unit = value");
    return 0;
}

// When the item that rules at `step` gives way: at the next milestone behind it.
static void set_span(FxRate *rate, const FxSchedule *schedule, const FxScheduleItem *item, const FxConfig *c) {
    rate->start = item == schedule->item ? 0 : fx_schedule_step(item, c->steps_per_epoch);
    rate->stop = c->epochs * c->steps_per_epoch; // run.max-steps cuts a run, it does not shorten its schedules
    for (const FxScheduleItem *next = item + 1; next < schedule->item + schedule->count; next++) {
        uint64_t step = fx_schedule_step(next, c->steps_per_epoch);
        rate->stop = step > rate->start && step < rate->stop ? step : rate->stop;
    }
}

int fx_update_at(const Resolver *r, FxPhase *phase, uint64_t step) {
    const FxConfig *c = r->config;
    uint32_t divisor = c->sums_errors ? (uint32_t)c->batch : 1;
    char text[FX_VALUE];
    const FxSetting *s = fx_recipe_find(r->recipe, "update.rate", NULL);
    FxSchedule schedule;
    if (fx_schedule_parse(&schedule, s ? s->value : fx_key_find("update.rate")->fallback, r->err))
        return -1;
    const FxScheduleItem *item = fx_schedule_at(&schedule, step, c->steps_per_epoch);
    if (fx_rate_parse(&phase->rate, item->text, c->steps_per_epoch, divisor, r->err))
        return -1;
    set_span(&phase->rate, &schedule, item, c);
    if (fx_value_at(r, text, "update.momentum", NULL, step) || fx_scalar_parse(&phase->momentum, text, r->err) ||
        fx_value_at(r, text, "update.weight-decay", NULL, step) || fx_scalar_parse_times(&phase->decay, text, divisor, 1, r->err))
        return -1;
    if (phase->rate.warmup > phase->rate.stop - phase->rate.start && phase->rate.warmup)
        return fx_fail(r->err, FX_EXIT_USAGE, "update.rate: %s: a warm-up of %llu updates, the value rules for %llu", item->text,
                       (unsigned long long)phase->rate.warmup, (unsigned long long)(phase->rate.stop - phase->rate.start));
    return c->update.lsb ? check_lsb(r, phase, item->text) : 0;
}

// What some keys need to have an effect.
typedef struct Present {
    bool overflow, floor, direction;
} Present;

static Present present(const FxConfig *c) {
    Present there = {false, false, false};
    for (int l = 0; l < c->layer_count; l++) // weights drawn in steps of their grid
        there.floor |= fx_site_has_fixed_steps(&c->phases[0].layers[l].site[FX_SITE_WEIGHT]);
    for (int p = 0; p < c->phase_count; p++)
        for (int l = 0; l < c->layer_count; l++) {
            const FxSiteConfig *sites = c->phases[p].layers[l].site;
            there.direction |= sites[FX_SITE_ERROR].on && sites[FX_SITE_ERROR].q.scale.rule->seeks;
            for (int i = 0; fx_site_info(i); i++)
                there.overflow |= fx_site_has_overflow(&sites[fx_site_info(i)->site]);
        }
    return there;
}

// Keys that have an effect under others alone: an override of one of them that cannot work is said, not ignored.
int fx_check_effect(const Resolver *r) {
    const FxConfig *c = r->config;
    const bool adam = c->update.rule->has_second;
    const Present sites = present(c);
    const FxNormsThere norms = fx_norms_there(r);
    const bool there = norms.any || !norms.written; // of a net without norms fx_recipe_unused speaks
    static const char range[] = "a norm by the range: RBN in the net, or norm.kind = range";
    static const char integers[] = "a norm on integers: preact.q, preact-error.q, norm.gamma.q and norm.beta.q signed fixed grids of 8 to 16 bits";
    static const char any[] = "a norm: norm.kind = none leaves all of them out";
    const struct {
        const char *keys;
        bool works;
        const char *needs;
    } rules[] = {
        {"init.floor", sites.floor, "a weight on a fixed grid of constant scale"},
        {"init.ranges", sites.overflow, "a site with the scale overflow"},
        {"input.mean", c->map == FX_MAP_MEAN_STD, "input.map = mean-std"},
        {"input.std", c->map == FX_MAP_MEAN_STD, "input.map = mean-std"},
        {"update.beta1", adam, "update.rule = adam"},
        {"update.beta2", adam, "update.rule = adam"},
        {"update.epsilon", adam, "update.rule = adam"},
        {"update.nesterov", !adam && !c->update.rule->has_momentum, "update.rule = sgd"},
        {"update.momentum", !adam, "update.rule = sgd or sgd-inner"},
        {"second.", adam, "update.rule = adam"},
        {"momentum.", !c->update.lsb, "update.rate-unit = value"},
        {"decay.", !c->update.lsb, "update.rate-unit = value"},
        {"bias.", c->bias, "run.bias = yes"},
        {"update.rate-factor", sites.direction, "error.scale = direction:N"},
        {"norm.chunks", norms.range, range},
        {"norm.const", norms.range, range},
        {"norm.floor", norms.integers, integers},
        {"norm.dead", norms.integers, integers},
        {"norm.reciprocal", norms.integers, integers},
        {"norm.division", norms.integers, integers},
        {"norm.fraction", norms.integers, integers},
        {"norm.profile", norms.integers, integers},
        {"norm.backward", there, any},
        {"norm.average", there, any},
        {"norm.mean.", there, any},
        {"norm.scale.", there, any},
        {"norm.xhat.", there, any},
        {"norm.gamma.", there, any},
        {"norm.beta.", there, any},
        {"loss-scale.value", c->loss_scaling.on, "a loss-scale.mode"},
        {"loss-scale.trigger", c->loss_scaling.on, "a loss-scale.mode"},
        {"loss-scale.growth", c->loss_scaling.dynamic, "loss-scale.mode = dynamic"},
        {"loss-scale.backoff", c->loss_scaling.dynamic, "loss-scale.mode = dynamic"},
        {"loss-scale.floor", c->loss_scaling.dynamic, "loss-scale.mode = dynamic"},
    };
    for (int i = 0; i < r->recipe->count; i++) {
        const FxSetting *s = &r->recipe->settings[i];
        for (size_t k = 0; s->from_user && k < sizeof rules / sizeof rules[0]; k++)
            if (!strncmp(s->key->path, rules[k].keys, strlen(rules[k].keys)) && !rules[k].works && strcmp(s->value, s->key->fallback))
                return fx_fail(r->err, FX_EXIT_USAGE, "%s: takes no effect: it needs %s", s->source, rules[k].needs);
    }
    return 0;
}
