// How the nodes of a net hang together: who reads whom, whose site rounds an error, which nodes keep something.
#include "sim/net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_reader(FxNet *net, int node, int reader, FxError *err) {
    if (node < 0)
        return 0;
    FxNode *n = &net->nodes[node];
    if (n->reader_count == FX_MOST_READERS)
        return fx_fail(err, FX_EXIT_USAGE, "network notation: one tensor has more than %d readers", FX_MOST_READERS);
    n->readers[n->reader_count++] = reader;
    return 0;
}

// The product layer's name tells recipes which sites stand behind it.
static void note_sites(FxNet *net, const FxNode *node) {
    FxLayerName *name = node->id ? &fx_net_product(net, node->id - 1)->name : NULL;
    if (!name)
        return;
    name->norm |= node->layer.ops->role == FX_ROLE_NORM;
    name->range |= node->layer.ops == &fx_range_norm_ops;
    name->add |= node->layer.ops->role == FX_ROLE_ADD;
    name->fork |= fx_node_is_fork(node);
    const int operands[] = {node->input, node->shortcut};
    for (int k = 0; node->layer.ops->role == FX_ROLE_ADD && k < 2; k++)
        if (net->nodes[operands[k]].layer.ops->role == FX_ROLE_PRODUCT)
            net->nodes[operands[k]].name.added = true;
}

bool fx_node_has_site(const FxNode *node, FxSite site) {
    if (site == FX_SITE_SUM_ERROR)
        return fx_node_is_fork(node);
    switch (node->layer.ops->role) {
    case FX_ROLE_PRODUCT:
        return site == FX_SITE_PREACT ? node->name.added : site <= FX_SITE_DECAY && site != FX_SITE_PREACT_ERROR && site != FX_SITE_SUM &&
                                                               fx_site_of(site, &node->name);
    case FX_ROLE_NORM:
        return site == FX_SITE_PREACT || site == FX_SITE_PREACT_ERROR || site == FX_SITE_NORM_MEAN || site == FX_SITE_NORM_SCALE || site == FX_SITE_NORM_XHAT;
    case FX_ROLE_ADD:
        return site == FX_SITE_PREACT_ERROR || site == FX_SITE_SUM;
    case FX_ROLE_PARAMETER:
        return site == node->store_site || site == node->gradient_site || site == FX_SITE_MOMENTUM || site == FX_SITE_SECOND || site == FX_SITE_DECAY ||
               site == (node->layer.ops == &fx_gamma_ops ? FX_SITE_NORM_GAMMA : FX_SITE_NORM_BETA);
    default:
        return false;
    }
}

int64_t fx_node_store_limit(const FxNode *node, const FxLayerConfig *c) {
    const FxGrid *grid = &c->site[node->store_site].q.grid;
    return node->store_site == FX_SITE_STORE ? c->store_limit : fx_grid_is_fixed(grid) ? fx_grid_high(grid) : INT64_MAX;
}

static bool keeps(const FxNode *node) {
    FxRole role = node->layer.ops->role;
    return role == FX_ROLE_PRODUCT || role == FX_ROLE_NORM || role == FX_ROLE_ADD || (fx_node_is_fork(node) && node->id);
}

// Kind and number, the number of the product before it; a second one behind the same product has a letter: norm3, norm3b.
static void set_name(FxNode *node, const char *kind, int ordinal) {
    node->name.kind = kind;
    char letter[2] = {ordinal && ordinal < 26 ? (char)('a' + ordinal) : 0, 0};
    snprintf(node->name.name, sizeof node->name.name, "%s%d%s", kind, node->id, letter);
}

static void start_parameter(FxNode *norm, int which, int ordinal) {
    FxNode *p = &norm->norm->parameter[which];
    const FxLayerOps *ops = which ? &fx_beta_ops : &fx_gamma_ops;
    const FxSite own[2][3] = {{FX_SITE_NORM_GAMMA, FX_SITE_GAMMA_GRADIENT, FX_SITE_GAMMA_STORE}, {FX_SITE_NORM_BETA, FX_SITE_BETA_GRADIENT, FX_SITE_BETA_STORE}};
    memset(p, 0, sizeof *p);
    p->layer.ops = ops;
    p->layer.in = p->layer.out = (FxShape){1, 1, 1, norm->layer.out.c};
    p->layer.weights = (size_t)norm->layer.out.c;
    p->layer.fan_in = 1;
    p->input = p->shortcut = p->owner = -1;
    p->id = norm->id;
    p->gradient_site = own[which][1];
    p->store_site = own[which][2];
    for (int i = 0; i < 3; i++)
        p->first_word[own[which][i]] = (uint64_t)ordinal << 40;
    const FxSite shared[] = {FX_SITE_MOMENTUM, FX_SITE_SECOND, FX_SITE_DECAY}; // the product's weights come first
    for (int i = 0; i < 3; i++)
        p->first_word[shared[i]] = (uint64_t)(1 + 2 * ordinal + which) << 40;
    set_name(p, ops->name, ordinal);
}

// Nodes of the same id before this one that have the site: their count is the ordinal of its random words.
static int earlier(const FxNet *net, int i, FxSite site) {
    int count = 0;
    for (int j = i - 1; j >= 0 && net->nodes[j].id == net->nodes[i].id; j--)
        count += fx_node_has_site(&net->nodes[j], site);
    return count;
}

static int earlier_of_role(const FxNet *net, int i) {
    int count = 0;
    for (int j = i - 1; j >= 0 && net->nodes[j].id == net->nodes[i].id; j--)
        count += net->nodes[j].layer.ops->role == net->nodes[i].layer.ops->role;
    return count;
}

int fx_net_owner(const FxNet *net, int i) {
    const FxNode *node = &net->nodes[i];
    return node->layer.ops->role != FX_ROLE_MAP ? i : node->input >= 0 ? net->nodes[node->input].owner : -1;
}

void fx_net_find_keepers(FxNet *net) {
    net->keeper_count = 0;
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i];
        if (!keeps(node))
            continue;
        net->keepers[net->keeper_count++] = node;
        if (node->layer.ops->role == FX_ROLE_NORM)
            for (int which = 0; which < 2; which++)
                net->keepers[net->keeper_count++] = &node->norm->parameter[which];
    }
}

static int connect_node(FxNet *net, int i, FxError *err) {
    FxNode *node = &net->nodes[i];
    FxRole role = node->layer.ops->role;
    static const FxSite sites[] = {FX_SITE_PREACT, FX_SITE_PREACT_ERROR, FX_SITE_SUM, FX_SITE_SUM_ERROR, FX_SITE_NORM_MEAN, FX_SITE_NORM_SCALE, FX_SITE_NORM_XHAT};
    note_sites(net, node);
    if (role == FX_ROLE_PRODUCT) {
        node->store_site = FX_SITE_STORE;
        node->gradient_site = FX_SITE_GRADIENT;
    } else if (keeps(node)) {
        for (size_t k = 0; k < sizeof sites / sizeof sites[0]; k++)
            if (fx_node_has_site(node, sites[k]))
                node->first_word[sites[k]] = (uint64_t)earlier(net, i, sites[k]) << 40;
        set_name(node, role == FX_ROLE_MAP ? "fork" : node->layer.ops->name, earlier_of_role(net, i));
    }
    if (role != FX_ROLE_NORM)
        return 0;
    node->norm = calloc(1, sizeof *node->norm);
    if (!node->norm)
        return fx_fail_memory(err, "network", sizeof *node->norm);
    for (int which = 0; which < 2; which++)
        start_parameter(node, which, earlier_of_role(net, i));
    return 0;
}

int fx_net_connect(FxNet *net, FxError *err) {
    for (int i = 0; i < net->count; i++)
        if (add_reader(net, net->nodes[i].input, i, err) || add_reader(net, net->nodes[i].shortcut, i, err))
            return -1;
    for (int i = 0; i < net->count; i++) {
        net->nodes[i].layer.in_place &= net->nodes[i].input < 0 || net->nodes[net->nodes[i].input].reader_count == 1;
        if (connect_node(net, i, err))
            return -1;
    }
    net->keepers = calloc(3 * (size_t)net->count, sizeof(FxNode *));
    if (!net->keepers)
        return fx_fail_memory(err, "network", 3 * (size_t)net->count * sizeof(FxNode *));
    fx_net_find_keepers(net);
    return 0;
}
