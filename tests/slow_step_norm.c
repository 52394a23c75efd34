// The twin's norms within a step: operands and results of tests/norm_run.h's channels, running statistics, folded inference.
#include "tests/cast.h"
#include "tests/slow_step.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const Wide largest = 2147483647;

// x as a tensor of the norm's; wide: int16.
static FxTensor told_as(SlowStep *s, const SlowValues *x, bool wide) {
    FxTensor t = {slow_step_memory(s, x->n, wide ? 2 : 1), wide ? FX_INT16 : FX_INT8, x->n, x->e};
    for (size_t i = 0; i < x->n; i++) {
        assert_true(type_holds(t.type, x->v[i]));
        fx_tensor_set(&t, i, x->v[i]);
    }
    return t;
}

static bool is_wide(const SlowStep *s, const SlowNode *node, FxSite site) {
    return slow_step_site(s, node, site)->q.grid.bits > 8;
}

static SlowValues parameter(SlowStep *s, SlowNode *node, int which) {
    const FxSite site = which ? FX_SITE_NORM_BETA : FX_SITE_NORM_GAMMA;
    const FxQuantiser *store = &slow_step_site(s, node, node->kept[which].store_site)->q;
    const SlowValues kept = {node->kept[which].w, node->kept[which].n, node->oc, store->scale.parameter[0] - store->grid.fraction, NULL};
    const SlowValues y = slow_step_round(s, node, site, &kept, node->kept[which].word, NULL);
    return y;
}

// The norm's numbers, without an error where gy is NULL. The nominal batch's constant, from its formulas.
static NormRun run_of(SlowStep *s, SlowNode *node, const SlowValues *gy) {
    const FxNormConfig *c = &s->config->phases[0].layers[node->id - 1].norm;
    NormRun r = {.rule = c->rule, .n = node->operand.n / (size_t)node->oc, .c = (size_t)node->oc};
    const SlowValues gamma = parameter(s, node, 0), beta = parameter(s, node, 1), none = slow_step_values(s, node->operand.n, node->oc, 0);
    r.rule.kind = c->choice == FX_NORM_SWAPPED ? c->rule.kind : FX_NORM_L2;
    if (r.rule.kind == FX_NORM_RANGE) {
        const size_t chunk = (size_t)s->batch * (size_t)(node->oh * node->ow) / (size_t)r.rule.chunks;
        assert_int_equal(r.rule.constant, FX_NORM_CODE);
        r.constant = (int32_t)lround(65536 * 0.175 * (1 + sqrt(acos(-1) * log(4))) / sqrt(2 * log((double)chunk)));
    }
    r.x = told_as(s, &node->operand, is_wide(s, node, FX_SITE_PREACT));
    r.gy = told_as(s, gy ? gy : &none, is_wide(s, node, FX_SITE_PREACT_ERROR));
    r.gamma = told_as(s, &gamma, true);
    r.beta = told_as(s, &beta, true);
    r.ex = slow_step_memory(s, r.c, sizeof *r.ex);
    r.egy = slow_step_memory(s, r.c, sizeof *r.egy);
    for (size_t c0 = 0; c0 < r.c; c0++) {
        r.ex[c0] = slow_step_exponent(&node->operand, c0);
        r.egy[c0] = gy ? gy->e : 0;
    }
    return r;
}

static int fraction(const NormRun *r) {
    return r->x.type == FX_INT8 ? 8 : 0;
}

// ---- running statistics -----------------------------------------------------------------------------------------------------

static Wide in_unit(Wide v, int from, int to) {
    return slow_shift(v, to - from);
}

static Wide new_scale(const SlowNorm *k, int from, int to) {
    const int h = from - to;
    const Wide scale = slow_quotient(h > 0 ? k->den * slow_power(h) : k->den, h < 0 ? k->num * slow_power(-h) : k->num);
    return scale < 1 ? 1 : scale;
}

static int64_t moved(const FxNormRule *rule, Wide old, Wide new) {
    const Wide part = slow_shift(new - old, rule->average_shift);
    return (int64_t)(rule->average_old ? new - part : old + part);
}

static void average(SlowNode *node, const NormRun *r, const SlowNorm *channels) {
    const int before = node->run_exponent, F = fraction(r);
    int e = before;
    for (size_t c = 0; !node->begun && c < r->c; c++)
        e = c == 0 || r->ex[c] - F - 13 < e ? r->ex[c] - F - 13 : e;
    for (size_t c = 0; c < r->c; c++)
        for (;; e++) {
            const Wide mean = in_unit(channels[c].M, r->ex[c] - F, e), limit = slow_power(30);
            if (mean < limit && mean > -limit && new_scale(&channels[c], r->ex[c] - F, e) < limit)
                break;
        }
    for (size_t c = 0; c < r->c; c++) {
        const Wide mean = in_unit(channels[c].M, r->ex[c] - F, e), scale = new_scale(&channels[c], r->ex[c] - F, e);
        node->run_mean[c] = node->begun ? moved(&r->rule, in_unit(node->run_mean[c], before, e), mean) : (int64_t)mean;
        node->run_scale[c] = node->begun ? moved(&r->rule, in_unit(node->run_scale[c], before, e), scale) : (int64_t)scale;
    }
    node->run_exponent = e;
    node->begun = true;
}

// ---- forward ------------------------------------------------------------------------------------------------------------------

// y = x * G + b of a channel by its running statistics.
static void infer(SlowNode *node, const NormRun *r, size_t c) {
    Wide G, R = 0, gamma = fx_tensor_get(&r->gamma, c);
    int k = 14;
    if (r->rule.kind == FX_NORM_SHIFT) {
        gamma = slow_power_near(gamma);
        R = 16384;
        while (slow_power(k - 14) < slow_power_near(node->run_scale[c]))
            k++;
    } else
        slow_reciprocal(&r->rule, 1, node->run_scale[c], &R, &k);
    const int bits = slow_gain(gamma * R, &G), eG = r->gamma.exponent - k - node->run_exponent + bits, shift = -16 - eG - r->ex[c];
    const Wide b = slow_shift(fx_tensor_get(&r->beta, c), -16 - r->beta.exponent) - slow_shift(node->run_mean[c] * G, -16 - eG - node->run_exponent);
    for (size_t i = c; i < node->y.n; i += r->c) {
        const Wide product = node->operand.v[i] * G;
        const Wide T = shift < -31 ? (product > 0 ? largest : product < 0 ? -largest : slow_clamp(b, largest)) : slow_shift(product, shift) + b;
        node->y.v[i] = (int64_t)slow_clamp(T, largest);
    }
}

void slow_step_norm_forward(SlowStep *s, SlowNode *node) {
    NormRun r = run_of(s, node, NULL);
    SlowNorm channels[SLOW_CHANNELS];
    node->y = slow_step_values(s, node->operand.n, node->oc, -16);
    for (size_t c = 0; c < r.c; c++) {
        if (s->evaluation && node->begun) {
            infer(node, &r, c);
            continue;
        }
        channels[c] = slow_norm(&r, c);
        for (size_t i = 0; i < r.n; i++)
            node->y.v[i * r.c + c] = (int64_t)channels[c].y[i];
    }
    if (s->evaluation && node->begun)
        return;
    if (!s->evaluation)
        average(node, &r, channels);
    for (size_t c = 0; c < r.c; c++)
        slow_norm_free(&channels[c]);
}

// t * G is what the norm hands down, with an exponent a channel; gradients of gamma and beta likewise.
void slow_step_norm_backward(SlowStep *s, SlowNode *node, SlowValues *down) {
    NormRun r = run_of(s, node, &node->e);
    SlowValues t = slow_step_values(s, node->e.n, node->oc, 0);
    *down = slow_step_values(s, node->e.n, node->oc, 0);
    down->ec = slow_step_memory(s, r.c, sizeof *down->ec);
    for (int which = 0; which < 2; which++) {
        node->kept[which].dw = slow_step_values(s, r.c, node->oc, 0);
        node->kept[which].dw.ec = slow_step_memory(s, r.c, sizeof(int));
    }
    for (size_t c = 0; c < r.c; c++) {
        SlowNorm k = slow_norm(&r, c);
        down->ec[c] = k.E;
        for (size_t i = 0; i < r.n; i++) {
            t.v[i * r.c + c] = (int64_t)k.t[i];
            down->v[i * r.c + c] = (int64_t)(k.t[i] * k.G);
        }
        node->kept[0].dw.v[c] = (int64_t)k.dgm;
        node->kept[0].dw.ec[c] = node->e.e - k.k;
        node->kept[1].dw.v[c] = (int64_t)k.db;
        node->kept[1].dw.ec[c] = node->e.e;
        slow_norm_free(&k);
    }
    slow_step_tell(s, node, "norm.back", &t);
}
