// Errors on their way down: where they are rounded, in what they are carried, how long they live.
#include "layers/global_average_pool.h"
#include "sim/net_planner.h"

#include <string.h>

// The node at the top of the maps that work in place on node i's tensors.
static int top_in_place(const FxNet *net, int i) {
    while (net->nodes[i].reader_count == 1 && net->nodes[net->nodes[i].readers[0]].layer.in_place)
        i = net->nodes[i].readers[0];
    return i;
}

// Time at which a node reads: the loss at n.
static int reading_time(const FxNet *net, int reader) {
    return net->nodes[reader].layer.ops->role == FX_ROLE_LOSS ? net->count : reader;
}

int fx_last_reader(const FxNet *net, int i) {
    const FxNode *top = &net->nodes[top_in_place(net, i)];
    return top->reader_count ? reading_time(net, top->readers[top->reader_count - 1]) : net->count;
}

// When the error at node i is first written.
static int birth_of(const FxNet *net, int i) {
    const FxNode *top = &net->nodes[top_in_place(net, i)];
    int birth = 2 * net->count;
    for (int k = 0; k < top->reader_count; k++) { // a fork's sum comes with its last reader, never later than its own turn
        int time = 2 * net->count - reading_time(net, top->readers[k]);
        birth = time < birth ? time : birth;
    }
    return birth;
}

// When it is read last. An addition's error is handed down as it is: where an operand has several readers, it is read when that one gathers.
static int death_of(const FxNet *net, int i) {
    const FxNode *node = &net->nodes[i];
    const int operands[] = {node->input, node->shortcut};
    int death = 2 * net->count - i;
    for (int k = 0; node->layer.ops->role == FX_ROLE_ADD && k < 2; k++)
        if (fx_node_is_fork(&net->nodes[operands[k]]) && 2 * net->count - operands[k] > death)
            death = 2 * net->count - operands[k];
    return death;
}

bool fx_error_source_is_float(const FxNet *net, int i) {
    const FxNode *node = &net->nodes[i];
    bool floats = false;
    for (int k = 0; k < node->reader_count; k++) {
        const FxNode *r = &net->nodes[node->readers[k]];
        switch (r->layer.ops->role) {
        case FX_ROLE_PRODUCT: case FX_ROLE_NORM: floats |= r->dx.type == FX_FLOAT32; break;
        case FX_ROLE_LOSS: floats |= net->loss_error.type == FX_FLOAT32; break;
        default: floats |= r->e.type == FX_FLOAT32; break;
        }
    }
    return floats;
}

// How much larger a code may become in map l on its way down.
static uint64_t growth(const FxLayer *l) {
    uint64_t positions = (uint64_t)l->in.h * (uint64_t)l->in.w;
    if (l->ops == &fx_max_pool_ops && l->stride < l->kernel) { // errors that meet in overlapping windows are added
        uint64_t windows = (uint64_t)((l->kernel + l->stride - 1) / l->stride);
        return windows * windows;
    }
    return l->ops == &fx_gap_ops ? fx_gap_growth(positions) : 1;
}

// Over all ways of maps down to node i. At most 2^32.
static uint64_t growth_above(const FxNet *net, int i) {
    const FxNode *node = &net->nodes[i];
    uint64_t most = 1;
    for (int k = 0; k < node->reader_count; k++) {
        const FxNode *r = &net->nodes[node->readers[k]];
        if (r->layer.ops->role != FX_ROLE_MAP)
            continue;
        uint64_t factor = growth(&r->layer) * growth_above(net, node->readers[k]);
        most = factor > most ? factor : most;
    }
    return most < UINT32_MAX ? most : UINT64_C(1) << 32;
}

// The same for node i: of a map above a fork over its own branch, whose end is gathered and rounded once more.
static uint64_t growth_at(const FxNet *net, int i) {
    for (; i != net->nodes[i].owner; i = net->nodes[i].input)
        if (fx_node_is_fork(&net->nodes[net->nodes[i].input])) {
            uint64_t factor = growth(&net->nodes[i].layer) * growth_above(net, i);
            return factor < UINT32_MAX ? factor : UINT64_C(1) << 32;
        }
    return growth_above(net, i);
}

// The site at which errors of a node are rounded that is a product, a norm or an addition.
static FxSite error_site(const FxNode *owner) {
    return owner->layer.ops->role == FX_ROLE_PRODUCT ? FX_SITE_ERROR : FX_SITE_PREACT_ERROR;
}

int fx_plan_error_type(const Planner *p, int i, FxType *type, uint64_t *max_error) {
    const FxNode *node = &p->net->nodes[i], *owner = &p->net->nodes[node->owner];
    int index = owner->id - 1;
    const char *name = owner->name.name;
    uint64_t max, factor = growth_at(p->net, i);
    *type = fx_carrier(p->config, index, error_site(owner), &max);
    if (owner->layer.ops->role == FX_ROLE_NORM && !owner->norm->integers) // which reads float32
        *type = FX_FLOAT32;
    bool copy = owner->layer.ops->role == FX_ROLE_PRODUCT && fx_has_copy(p->config, index, FX_SITE_ERROR_GRAD);
    if (factor > 1 && copy && fx_carrier(p->config, index, FX_SITE_ERROR_GRAD, NULL) != FX_FLOAT32)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: error.grad of integers behind overlapping pools, or a GAP of positions that are no power of two", name);
    if (*type == FX_FLOAT32)
        return 0;
    *max_error = max *= factor;
    if (factor == 1)
        return 0;
    if (max > INT32_MAX)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: errors that meet in overlapping pools or fan out of a GAP need more than 32 bits; name a narrower error.grid", name);
    FxType wide = fx_wider_type(*type, fx_type_for_range(-(int64_t)max, (int64_t)max));
    if (owner->layer.ops->role == FX_ROLE_NORM && owner->norm->integers && fx_type_size(wide) > 2)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: its errors, added up in pools, need more than 16 bits; name a narrower preact-error.grid", name);
    *type = owner->layer.ops->role == FX_ROLE_NORM && wide == FX_INT16 ? FX_INT16 : wide;
    return 0;
}

// Where errors of node i are rounded: at the top of the maps that only pass them on.
static int arrival(const FxNet *net, int i) {
    while (net->nodes[i].reader_count == 1 && net->nodes[net->nodes[i].readers[0]].layer.ops->role == FX_ROLE_MAP)
        i = net->nodes[i].readers[0];
    return i;
}

// A site whose source are an integer norm's t, with a multiplier and an exponent a channel, or floats.
static int check_source(const Planner *p, int i, FxSite site) {
    const FxNet *net = p->net;
    const FxNode *owner = &net->nodes[i], *at = &net->nodes[arrival(net, i)];
    const FxNode *reader = at->reader_count == 1 ? &net->nodes[at->readers[0]] : NULL;
    const bool units = reader && reader->layer.ops->role == FX_ROLE_NORM && reader->norm->integers;
    bool floats = fx_error_source_is_float(net, arrival(net, i));
    const FxSite sum = FX_SITE_SUM_ERROR;
    floats |= fx_node_is_fork(at) && fx_is_on(p->config, at->id - 1, sum) && fx_carrier(p->config, at->id - 1, sum, NULL) == FX_FLOAT32;
    for (int k = 0; k < p->config->phase_count; k++) {
        char text[FX_QUANTISER_TEXT];
        const FxSiteConfig *s = &p->config->phases[k].layers[owner->id - 1].site[site];
        const FxScale *scale = &s->q.scale;
        fx_quantiser_print(text, &s->q);
        if (s->on && units && (scale->rule->real || scale->rule->sample_mean || scale->rule->seeks || scale->group == FX_GROUP_SAMPLE || fx_scale_is_mx(scale)))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.q = %s: behind %s, a norm on integers, scales are const, max, of the shift family or a controller's, one "
                           "a tensor or a channel", owner->name.name, fx_site(site)->name, text, reader->name.name);
        if (floats && fx_site_is_channel(s) && fx_carrier(p->config, owner->id - 1, site, NULL) != FX_FLOAT32)
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.q = %s: integers with an exponent a channel are made of integers, and what is rounded here are floats; "
                           "name one scale a tensor", owner->name.name, fx_site(site)->name, text);
    }
    return 0;
}

int fx_plan_errors(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i];
    const FxLayer *l = &node->layer;
    if (node->owner < 0 || l->ops->role == FX_ROLE_LOSS)
        return 0;
    const FxNode *owner = &net->nodes[node->owner];
    const int turn = 2 * net->count - i, birth = birth_of(net, i), death = death_of(net, i);
    const size_t out = fx_shape_count(l->out), in = fx_shape_count(l->in);
    const int index = owner->id - 1;
    bool copy = owner->layer.ops->role == FX_ROLE_PRODUCT && fx_has_copy(p->config, index, FX_SITE_ERROR_GRAD);
    FxType type, copy_type = copy ? fx_carrier(p->config, index, FX_SITE_ERROR_GRAD, NULL) : FX_INT8;
    uint64_t max = 0;
    if (fx_plan_error_type(p, i, &type, &max) || (node->owner == i && check_source(p, i, error_site(node))) ||
        (node->owner == i && copy && check_source(p, i, FX_SITE_ERROR_GRAD)))
        return -1;
    if (l->ops->role == FX_ROLE_MAP && l->in_place) { // pointers follow once memory is there
        node->e = (FxTensor){NULL, type, out, 0};
        node->e_grad = (FxTensor){NULL, copy_type, copy ? out : 0, 0};
    } else if (fx_plan_tensor(p, &node->e, type, out, birth, death) || fx_plan_tensor(p, &node->e_grad, copy_type, copy ? out : 0, birth, death)) {
        return -1;
    }
    const bool below_forks = node->input >= 0 && fx_node_is_fork(&net->nodes[node->input]);
    if (l->ops->role == FX_ROLE_MAP && below_forks && fx_plan_tensor(p, &node->dx, type, in, turn, 2 * net->count - node->input))
        return -1;
    if (!fx_node_is_fork(node))
        return 0;
    const FxSite site = FX_SITE_SUM_ERROR;
    const bool rounded = fx_is_on(p->config, node->id - 1, site), floats = fx_error_source_is_float(net, i);
    FxType codes = fx_carrier(p->config, node->id - 1, site, NULL);
    if (p->config->claims_integer && rounded && codes == FX_FLOAT32)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: sum.error.q: recipe.claim = integer: name a fixed grid in all phases, or none", node->name.name);
    return fx_plan_tensor(p, &node->fork, floats ? FX_FLOAT32 : FX_INT64, out, turn, turn) ||
           fx_plan_tensor(p, &node->fork_codes, codes, rounded ? out : 0, turn, turn);
}
