// Roundings, sums and updates of the twin's step.
#include "tests/cast.h"
#include "tests/slow_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Wide magnitude(Wide v) {
    return v < 0 ? -v : v;
}

void *slow_step_memory(SlowStep *s, size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size), **grown = realloc(s->memory, (s->pieces + 1) * sizeof *grown);
    if (!p || !grown)
        abort();
    s->memory = grown;
    s->memory[s->pieces++] = p;
    return p;
}

SlowValues slow_step_values(SlowStep *s, size_t n, int c, int e) {
    return (SlowValues){slow_step_memory(s, n, sizeof(int64_t)), n, c, e, NULL};
}

void slow_step_tell(SlowStep *s, const SlowNode *node, const char *what, const SlowValues *v) {
    s->told(s->user, node->id, what, v);
}

const FxSiteConfig *slow_step_site(const SlowStep *s, const SlowNode *node, FxSite site) {
    return &fx_config_phase(s->config, s->evaluation && s->step ? s->step - 1 : s->step)->layers[node->id - 1].site[site];
}

int slow_step_exponent(const SlowValues *x, size_t i) {
    return x->ec ? x->ec[i % (size_t)x->c] : x->e;
}

SlowScalar slow_scalar(Wide up, Wide down) {
    int e = 0;
    if (up == 0)
        return (SlowScalar){0, 0};
    for (; up < down * 16384; e--)
        up *= 2;
    for (; up >= down * 32768; e++)
        down *= 2;
    Wide q = up / down, rest = up % down;
    q += 2 * rest > down || (2 * rest == down && q % 2);
    return q == 32768 ? (SlowScalar){16384, e + 1} : (SlowScalar){q, e};
}

// ---- sites ----------------------------------------------------------------------------------------------------------------

// What a group's codes count: a code is value / 2^unit, its declared exponent may be another.
typedef struct Unit {
    int unit, declared;
} Unit;

// log2 of WAGE's alpha: 1.5 steps of the weights' grid over sqrt(3 / fan-in), the nearest power of two that is no less than 1.
static int log2_alpha(const SlowNode *node, int bits) {
    const Wide n = node->kernel * node->kernel * node->ic;
    int k = 0;
    while (9 * n >= 12 * slow_power(2 * k + 2 * bits - 1)) // 9/4 n >= 3 * 2^(2 (k + 1/2) + 2 (bits - 1))
        k++;
    return k;
}

// Group g of the channels; -1: all elements. At the coarsest exponent that carries something.
static Unit choose(const SlowNode *node, const FxQuantiser *q, const SlowGrid *grid, const SlowValues *x, int g, int last) {
    const char *rule = q->scale.rule->name;
    const int F = q->grid.fraction;
    uint64_t most = 0;
    int e = 0, relative;
    bool any = false;
    if (!strcmp(rule, "const"))
        return (Unit){q->scale.parameter[0] - F, q->scale.parameter[0] - F};
    if (!strcmp(rule, "alpha"))
        return (Unit){-F, -F - log2_alpha(node, q->grid.bits)};
    for (size_t i = 0; i < x->n; i++)
        if (x->v[i] && (g < 0 || i % (size_t)x->c == (size_t)g) && (!any || slow_step_exponent(x, i) > e)) {
            e = slow_step_exponent(x, i);
            any = true;
        }
    if (!any)
        return (Unit){0, !strncmp(rule, "shift-unit", 10) ? -F : last};
    for (size_t i = 0; i < x->n; i++)
        if (g < 0 || i % (size_t)x->c == (size_t)g) {
            const int finer = e - slow_step_exponent(x, i);
            const uint64_t m = !x->v[i] || finer > 63 ? 0 : (uint64_t)slow_floor(magnitude(x->v[i]), slow_power(finer));
            most = m > most ? m : most;
        }
    const int shift = slow_scale(&relative, rule, (uint64_t)grid->high, q->grid.bits - 1, F, 0, most);
    return (Unit){e + shift, !strncmp(rule, "shift-unit", 10) ? -F : e + relative};
}

// 9.6: no channel of an error is finer than 2^7 below the coarsest that carries something. Zeros: as that one, or 0.
static void draw_near(Unit *units, const SlowValues *x) {
    bool carries[SLOW_CHANNELS] = {false}, any = false;
    int top = 0;
    for (size_t i = 0; i < x->n; i++)
        carries[i % (size_t)x->c] |= x->v[i] != 0;
    for (int c = 0; c < x->c; c++)
        if (carries[c] && (!any || units[c].unit > top)) {
            top = units[c].unit;
            any = true;
        }
    for (int c = 0; c < x->c; c++) {
        const int unit = !carries[c] ? top : top - units[c].unit > 7 ? top - 7 : units[c].unit;
        units[c] = (Unit){unit, unit};
    }
}

static uint64_t element(const SlowStep *s, FxSite site, size_t i, size_t n) {
    const bool of_images = site == FX_SITE_ACTIVATION || site == FX_SITE_PREACT || site == FX_SITE_SUM;
    return i + (s->evaluation && of_images ? s->first_image * (n / (size_t)s->images) : 0);
}

static int64_t code_of(const SlowStep *s, const SlowGrid *grid, const SlowLaw *law, const SlowNode *node, FxSite site, Wide v, int shift,
                       uint64_t word) {
    const FxRng rng = {s->seed, (uint32_t)node->id * 256 + (uint32_t)site + (s->evaluation ? UINT32_C(1) << 31 : 0), (uint32_t)s->step};
    const uint32_t R = law->bits ? fx_rng_word(rng, word) >> (32 - law->bits) : 0;
    bool outside;
    return v ? slow_code(grid, law, v, shift, R, &outside) : 0;
}

SlowValues slow_step_round(SlowStep *s, SlowNode *node, FxSite site, const SlowValues *x, uint64_t word, const SlowScalar *steps) {
    const FxSiteConfig *c = slow_step_site(s, node, site);
    if (!c->on)
        return *x;
    const SlowGrid grid = slow_grid_of(&c->q);
    const SlowLaw law = slow_law_of(&c->q, 32);
    const bool apart = c->q.scale.group == FX_GROUP_CHANNEL;
    SlowValues y = slow_step_values(s, x->n, x->c, 0);
    if (apart)
        y.ec = slow_step_memory(s, (size_t)x->c, sizeof *y.ec);
    Unit units[SLOW_CHANNELS];
    for (int g = 0; g < (apart ? x->c : 1); g++)
        units[g] = choose(node, &c->q, &grid, x, apart ? g : -1, node->last[site][apart ? g : SLOW_CHANNELS]);
    if (apart && site == FX_SITE_ERROR)
        draw_near(units, x);
    for (int g = 0; g < (apart ? x->c : 1); g++) {
        int *last = &node->last[site][apart ? g : SLOW_CHANNELS];
        const Unit unit = units[g];
        *(apart ? &y.ec[g] : &y.e) = unit.declared;
        if (!s->evaluation)
            *last = unit.declared;
        for (size_t i = 0; i < x->n; i++) {
            if (apart && i % (size_t)x->c != (size_t)g)
                continue;
            const int shift = unit.unit - slow_step_exponent(x, i) + (steps ? c->q.grid.fraction - steps->e : 0);
            y.v[i] = code_of(s, &grid, &law, node, site, (Wide)x->v[i] * (steps ? steps->m : 1), shift, word + element(s, site, i, x->n));
        }
    }
    return y;
}

// ---- sums of unlike exponents ------------------------------------------------------------------------------------------------

SlowValues slow_step_sum(SlowStep *s, const SlowValues *parts, int count) {
    int least = 0, most = 0;
    bool any = false;
    SlowValues y = slow_step_values(s, parts[0].n, parts[0].c, parts[0].e);
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < y.n; i++) {
            const int e = slow_step_exponent(&parts[k], i);
            if (!parts[k].v[i])
                continue;
            least = !any || e < least ? e : least;
            most = !any || e > most ? e : most;
            any = true;
        }
    if (!any)
        return y;
    y.e = least < most - 24 ? most - 24 : least;
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < y.n; i++)
            y.v[i] += (int64_t)slow_shift(slow_clamp(parts[k].v[i], slow_power(38) - 1), parts[k].v[i] ? y.e - slow_step_exponent(&parts[k], i) : 0);
    return y;
}

// ---- updates -------------------------------------------------------------------------------------------------------------------

typedef SlowScalar Exact;

static Exact plus(Exact a, Exact b) {
    if (a.m == 0 || b.m == 0)
        return a.m == 0 ? b : a;
    const int e = a.e < b.e ? a.e : b.e;
    return (Exact){a.m * slow_power(a.e - e) + b.m * slow_power(b.e - e), e};
}

static Exact times(Exact a, Exact b) {
    return (Exact){a.m * b.m, a.e + b.e};
}

static int fixed_exponent(const SlowStep *s, const SlowNode *node, FxSite site) {
    const FxQuantiser *q = &slow_step_site(s, node, site)->q;
    assert_string_equal(q->scale.rule->name, "const");
    return q->scale.parameter[0] - q->grid.fraction;
}

static int64_t rounded(SlowStep *s, const SlowNode *node, FxSite site, Exact x, uint64_t word) {
    const FxQuantiser *q = &slow_step_site(s, node, site)->q;
    const SlowGrid grid = slow_grid_of(q);
    const SlowLaw law = slow_law_of(q, 32);
    return code_of(s, &grid, &law, node, site, x.m, fixed_exponent(s, node, site) - x.e, word);
}

static int64_t held(const SlowStep *s, const SlowNode *node, const SlowKept *k, int64_t w) {
    const FxLayerConfig *c = &s->config->phases[0].layers[node->id - 1];
    const SlowGrid grid = slow_grid_of(&c->site[k->store_site].q);
    const int64_t limit = k->store_site == FX_SITE_STORE && c->store_limit < grid.high ? c->store_limit : (int64_t)grid.high;
    return w > limit ? limit : w < -limit ? -limit : w;
}

// The rate counts steps of the store.
static void update_by_steps(SlowStep *s, SlowNode *node, SlowKept *k) {
    const SlowValues steps = slow_step_round(s, node, k->gradient_site, &k->dw, k->word, &s->rate);
    for (size_t i = 0; i < k->n; i++)
        k->w[i] = held(s, node, k, k->w[i] - steps.v[i]);
}

void slow_step_update(SlowStep *s, SlowNode *node, SlowKept *k) {
    const int unit = fixed_exponent(s, node, k->store_site);
    SlowValues after = {k->w, k->n, (int)k->n, unit, NULL};
    if (s->config->update.lsb) {
        update_by_steps(s, node, k);
        slow_step_tell(s, node, "store.after", &after);
        return;
    }
    const int unit_m = fixed_exponent(s, node, FX_SITE_MOMENTUM);
    for (size_t i = 0; i < k->n; i++) {
        const Exact w = {k->w[i], unit}, minus_rate = {-s->rate.m, s->rate.e};
        Exact h = {k->dw.v[i], slow_step_exponent(&k->dw, i)};
        h = plus(h, k->decays ? times(s->decay, w) : (Exact){0, 0});
        k->m[i] = rounded(s, node, FX_SITE_MOMENTUM, plus(times(s->momentum, (Exact){k->m[i], unit_m}), h), k->shared_word + i);
        const Exact m = {k->m[i], unit_m}, v = s->config->update.nesterov ? plus(h, times(s->momentum, m)) : m;
        k->w[i] = held(s, node, k, rounded(s, node, k->store_site, plus(w, times(minus_rate, v)), k->word + i));
    }
    SlowValues momentum = {k->m, k->n, (int)k->n, unit_m, NULL};
    slow_step_tell(s, node, "momentum", &momentum);
    slow_step_tell(s, node, "store.after", &after);
}
