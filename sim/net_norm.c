// Buffers of norms, their parameters and of additions.
#include "layers/norm_f32.h"
#include "sim/net_planner.h"

#include <string.h>

// Integer gradients of parameters have an exponent a channel: the site that aligns them has one power of two.
static int check_parameter(const Planner *p, const FxNode *norm, int which) {
    const FxNode *node = &norm->norm->parameter[which];
    for (int i = 0; norm->norm->integers && i < p->config->phase_count; i++) {
        const FxSiteConfig *g = &p->config->phases[i].layers[norm->id - 1].site[node->gradient_site];
        const FxScale *scale = &g->q.scale;
        if (g->on && (scale->group || scale->rule->real || scale->rule->observe || scale->rule->sample_mean || scale->rule->seeks))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.scale: gradients of integers take one power of two a tensor: const, max or the shift family",
                           norm->name.name, fx_site(node->gradient_site)->name);
    }
    return 0;
}

// Steps of the store: dgamma, below 2^31 * n * max|gy|, times the odd part of the rate's mantissa stays below 2^62.
static int check_steps(const Planner *p, const FxNode *norm) {
    uint64_t max;
    fx_carrier(p->config, norm->id - 1, FX_SITE_PREACT_ERROR, &max);
    for (int i = 0; p->config->update.lsb && norm->norm->integers && i < p->config->phase_count; i++) {
        const unsigned mantissa = (unsigned)p->config->phases[i].rate.from.mantissa, odd = p->config->phases[i].rate.cosine ? 1U << 15 : mantissa >> __builtin_ctz(mantissa);
        if ((unsigned __int128)max * norm->norm->rule.nominal * odd >> (62 - 31))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: gradients of gamma times the rate may need more than 62 bits: write rates that are small multiples of powers of two, "
                           "or a smaller batch", norm->name.name);
    }
    return 0;
}

static int plan_parameter(const Planner *p, FxNode *norm, int which, int backward) {
    FxNode *node = &norm->norm->parameter[which];
    const size_t channels = node->layer.weights;
    const bool integers = norm->norm->integers;
    if (check_parameter(p, norm, which) || check_steps(p, norm) ||
        fx_plan_tensor(p, &node->layer.weight, integers ? FX_INT16 : FX_FLOAT32, channels, 0, FX_FOREVER) ||
        fx_plan_update(p, node, integers ? FX_INT64 : FX_FLOAT32, backward))
        return -1;
    if (p->config->claims_integer && !p->config->update.lsb && !node->updates_integers)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: recipe.claim = integer: the update would run in floats; %s, %s and momentum need fixed grids of constant scale",
                       norm->name.name, fx_site(node->store_site)->name, fx_site(node->gradient_site)->name);
    return fx_memory_plan(&p->net->memory, (void **)&node->dw_exponents, integers ? channels * sizeof(int32_t) : 0, 0, FX_FOREVER, p->err);
}

static int check_norm(const Planner *p, const FxNode *node) {
    const FxConfig *c = p->config;
    const int index = node->id - 1;
    const FxNormNode *norm = node->norm;
    const char *name = node->name.name;
    const size_t n = norm->rule.nominal;
    if (n < 2)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: a norm of %zu number a channel; at least 2 are needed", name, n);
    if (norm->rule.kind == FX_NORM_RANGE && n / (size_t)norm->rule.chunks < 2)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: norm.chunks = %d of %zu numbers a channel; at least 2 a chunk are needed", name, norm->rule.chunks, n);
    if (c->claims_integer && !norm->integers)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: recipe.claim = integer: preact.q, preact-error.q, norm.gamma.q and norm.beta.q must be signed fixed grids of 8 to 16 bits", name);
    static const FxSite floats[] = {FX_SITE_NORM_MEAN, FX_SITE_NORM_SCALE, FX_SITE_NORM_XHAT};
    for (int i = 0; norm->integers && i < 3; i++)
        if (fx_is_on(p->config, index, floats[i]))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.q: this norm runs on integers, which round nothing there; set it to none", name, fx_site(floats[i])->name);
    if (norm->integers && fx_has_channels(c, index, FX_SITE_PREACT) && p->net->nodes[node->input].y.type == FX_FLOAT32)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: preact.q: integers with an exponent a channel are made of integers, and what is rounded here are floats; "
                       "name one scale a tensor", name);
    if (norm->integers && norm->rule.average_pytorch)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: norm.average = 0.1:new needs floats; write A:new or A:old", name);
    if (!norm->integers)
        return 0;
    uint64_t max;
    if (fx_carrier(c, index, FX_SITE_PREACT_ERROR, &max) == FX_INT16 && max > 127 && n > (1 << 17))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: errors of more than 8 bits over %zu numbers a channel; at most 2^17", name, n);
    if (n >= (norm->rule.kind == FX_NORM_L2 || norm->rule.kind == FX_NORM_SHIFT ? (size_t)1 << 19 : (size_t)1 << 24))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: %zu numbers a channel; fewer are needed: a smaller batch", name, n);
    return 0;
}

// T = Q_preact(input), gamma, beta -> y; back: gy -> t with a multiplier and an exponent a channel, or dX in float32.
int fx_plan_norm(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i];
    FxNormNode *norm = node->norm;
    const FxNormConfig *c = &p->config->phases[0].layers[node->id - 1].norm;
    const int index = node->id - 1, backward = 2 * net->count - i;
    const size_t count = fx_shape_count(node->layer.out), channels = (size_t)node->layer.out.c;
    norm->rule = c->rule;
    norm->rule.kind = c->choice == FX_NORM_SWAPPED ? c->rule.kind : fx_norm_kind_of(node->layer.ops);
    norm->rule.nominal = count / channels;
    norm->integers = fx_norm_is_integer(p->config, index) && !p->config->carries_floats;
    if (check_norm(p, node))
        return -1;
    if (norm->integers && norm->rule.kind == FX_NORM_RANGE)
        norm->range_constant = fx_norm_range_constant(norm->rule.constant, norm->rule.nominal, norm->rule.chunks);
    const FxType kept = norm->integers ? FX_INT32 : FX_FLOAT32;
    const int read = node->input >= 0 && fx_node_is_fork(&net->nodes[node->input]) ? 2 * net->count - node->input : backward;
    const size_t apart = norm->integers ? channels : 0, exponents = fx_has_channels(p->config, index, FX_SITE_PREACT) ? apart : 0;
    if (fx_plan_tensor(p, &node->x, norm->integers ? fx_carrier(p->config, index, FX_SITE_PREACT, NULL) : FX_FLOAT32, count, i, backward) ||
        fx_plan_tensor(p, &node->y, kept, count, i, fx_last_reader(net, i)) ||
        fx_plan_tensor(p, &node->dx, kept, count, backward, read) ||
        fx_plan_tensor(p, &norm->running[0], kept, channels, 0, FX_FOREVER) || fx_plan_tensor(p, &norm->running[1], kept, channels, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &norm->x_kept, FX_INT32, exponents, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &norm->mean, FX_FLOAT32, norm->integers ? 0 : channels, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &norm->scale, FX_FLOAT32, norm->integers ? 0 : channels, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &norm->xhat, FX_FLOAT32, !norm->integers && fx_is_on(p->config, index, FX_SITE_NORM_XHAT) ? count : 0, i, i))
        return -1;
    struct {
        void **pointer;
        size_t size;
    } rest[] = {{(void **)&norm->channels, apart * sizeof *norm->channels},
                {(void **)&norm->multiplier, apart * sizeof(int32_t)},
                {(void **)&norm->exponent, apart * sizeof(int32_t)},
                {(void **)&norm->x_exponents, exponents * sizeof(int32_t)}};
    for (size_t k = 0; k < sizeof rest / sizeof rest[0]; k++)
        if (fx_memory_plan(&net->memory, rest[k].pointer, rest[k].size, 0, FX_FOREVER, p->err))
            return -1;
    return fx_memory_plan(&net->memory, (void **)&norm->seen, apart * sizeof *norm->seen, backward, backward, p->err) ||
           plan_parameter(p, node, 0, backward) || plan_parameter(p, node, 1, backward);
}

size_t fx_plan_norm_scratch(const FxNet *net) {
    size_t size = 0;
    for (int i = 0; i < net->count; i++) {
        const FxNode *node = &net->nodes[i];
        if (node->layer.ops->role != FX_ROLE_NORM)
            continue;
        const FxNormRule *rule = &node->norm->rule;
        const size_t channels = (size_t)node->layer.out.c;
        size = fx_max_size(size, node->norm->integers ? fx_norm_scratch(rule, rule->nominal, channels) : fx_norm_scratch_f32(rule, rule->nominal, channels));
    }
    return size;
}

// Operands that are a product's own sums may be rounded at preact first; the sum at the site sum.
int fx_plan_add(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i];
    FxTensor *rounded[] = {&node->x, &node->x_grad};
    const int operands[] = {node->input, node->shortcut}, index = node->id - 1;
    const size_t count = fx_shape_count(node->layer.out);
    bool floats = false, sum = fx_is_on(p->config, index, FX_SITE_SUM);
    for (int k = 0; k < 2; k++) {
        const FxNode *operand = &net->nodes[operands[k]];
        bool rounds = operand->layer.ops->role == FX_ROLE_PRODUCT && fx_is_on(p->config, operand->id - 1, FX_SITE_PREACT);
        FxType type = rounds ? fx_carrier(p->config, operand->id - 1, FX_SITE_PREACT, NULL) : operand->y.type;
        if (rounds && fx_has_channels(p->config, operand->id - 1, FX_SITE_PREACT))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: preact.q: an addition reads one exponent a tensor, not one a channel", operand->name.name);
        floats |= type == FX_FLOAT32;
        if (fx_plan_tensor(p, rounded[k], type, rounds ? count : 0, i, i))
            return -1;
    }
    FxType codes = fx_carrier(p->config, index, FX_SITE_SUM, NULL), exact = floats ? FX_FLOAT32 : FX_INT64;
    if (p->config->claims_integer && ((sum && codes == FX_FLOAT32) || fx_carrier(p->config, index, FX_SITE_PREACT_ERROR, NULL) == FX_FLOAT32))
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: recipe.claim = integer: %s needs a fixed grid of one power-of-two scale%s", node->name.name,
                       sum && codes == FX_FLOAT32 ? "sum.q" : "preact-error.q", sum && codes == FX_FLOAT32 ? ", or none in all phases" : "");
    return fx_plan_tensor(p, &node->sum, exact, sum ? count : 0, i, i) || fx_plan_tensor(p, &node->y, sum ? codes : exact, count, i, fx_last_reader(net, i));
}
