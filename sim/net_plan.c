// Types, proofs and buffers: what each tensor is carried in, that no sum can overflow, and who lives when.
// Times of a step with n nodes: node i runs forward at i, the loss at n, node i backward at 2n - i.
#include "sim/net.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct Planner {
    FxNet *net;
    const FxConfig *config;
    FxError *err;
} Planner;

static uint64_t max_code(const FxGrid *grid) {
    uint64_t low = (uint64_t)-fx_grid_low(grid), high = (uint64_t)fx_grid_high(grid);
    return low > high ? low : high;
}

static FxType wider(FxType a, FxType b) {
    if (a == b)
        return a;
    if (fx_type_size(a) == fx_type_size(b)) // int8 and uint8
        return FX_INT16;
    return fx_type_size(a) > fx_type_size(b) ? a : b;
}

// The type and the largest magnitude of a site's codes over all phases.
static FxType site_type(const Planner *p, int layer, FxSite site, uint64_t *max) {
    FxType type = FX_INT8;
    bool any = false;
    *max = 0;
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxSiteConfig *s = &p->config->phases[i].layers[layer].site[site];
        if (!s->on)
            continue;
        type = any ? wider(type, fx_quantiser_type(&s->q)) : fx_quantiser_type(&s->q);
        any = true;
        *max = max_code(&s->q.grid) > *max ? max_code(&s->q.grid) : *max;
    }
    return type;
}

// alpha = 2^m: m = number of j = 0, 1, ... with b^2 * n >= C * 2^(2j + 2F + 1), F the weight grid's fraction bits, b the
// least half width in its steps. Source: WAGE's code, 2^round(log2(L_min / L0)), by exact comparison.
static int alpha_log2(const FxConfig *config, const FxGrid *weight, size_t fan_in) {
    unsigned __int128 unit = 1, b = config->init_floor.digits;
    for (int i = 0; i < config->init_floor.places; i++)
        unit *= 10;
    unsigned __int128 left = b * b * fan_in, right = unit * unit * (unsigned)config->init_c;
    int m = 0;
    for (int power = 2 * weight->fraction + 1; power < 60 && left >= right << (power < 0 ? 0 : power); power += 2)
        m++;
    return m;
}

// What a product reads is carried in at most 32 bits.
static int check_operand(const Planner *p, int layer, FxSite site) {
    char text[FX_QUANTISER_TEXT];
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxSiteConfig *s = &p->config->phases[i].layers[layer].site[site];
        if (!s->on || fx_type_size(fx_quantiser_type(&s->q)) <= 4)
            continue;
        fx_quantiser_print(text, &s->q);
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: %s.q = %s: products read signed codes of at most 32 bits",
                       fx_net_product(p->net, layer)->name.name, fx_site(site)->name, text);
    }
    return 0;
}

// Errors that meet in overlapping pools between this product and the next are added. At most 2^32.
static uint64_t meeting_errors(const FxNet *net, int node) {
    uint64_t factor = 1;
    for (int i = node + 1; i < net->count && net->nodes[i].layer.ops->role == FX_ROLE_MAP; i++) {
        const FxLayer *l = &net->nodes[i].layer;
        if (l->ops == &fx_max_pool_ops && l->stride < l->kernel) {
            uint64_t windows = (uint64_t)((l->kernel + l->stride - 1) / l->stride);
            factor = factor * windows * windows < UINT32_MAX ? factor * windows * windows : UINT64_C(1) << 32;
        }
    }
    return factor;
}

static int tensor(const Planner *p, FxTensor *t, FxType type, size_t count, int birth, int death) {
    *t = (FxTensor){NULL, type, count, 0};
    return fx_memory_plan(&p->net->memory, &t->data, count * fx_type_size(type), birth, death, p->err);
}

// Accumulator bounds of one product layer over all phases, and the types of its sums.
static int plan_sums(const Planner *p, int index, FxType sums[FX_PRODUCTS], const uint64_t max[3], uint64_t max_e) {
    FxNode *node = fx_net_product(p->net, index);
    FxLayer *l = &node->layer;
    size_t positions = (size_t)l->out.n * (size_t)l->out.h * (size_t)l->out.w;
    size_t taps = (size_t)l->kernel * (size_t)l->kernel;
    size_t k[FX_PRODUCTS] = {l->fan_in, taps * (size_t)l->out.c, positions};
    l->max_product[FX_FORWARD] = max[0] * max[1];
    l->max_product[FX_ERROR] = max_e * max[1];
    l->max_product[FX_GRADIENT] = max[0] * max_e;
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        char what[64];
        sums[kind] = FX_INT32;
        if (kind == FX_ERROR && node->name.first) // never made
            continue;
        snprintf(what, sizeof what, "%s, %s product", node->name.name, fx_product_names[kind]);
        for (int i = 0; i < p->config->phase_count; i++) {
            FxType type;
            const FxAccumulator *acc = &p->config->phases[i].layers[index].accumulator[kind];
            if (fx_accumulator_type(&type, acc, k[kind], l->max_product[kind], what, p->err))
                return -1;
            sums[kind] = wider(sums[kind], type);
        }
    }
    unsigned __int128 update = (unsigned __int128)k[FX_GRADIENT] * l->max_product[FX_GRADIENT] << 15;
    if (update >= (unsigned __int128)1 << 62)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: gradient times rate needs more than 62 bits; use fewer bits or a smaller batch",
                       node->name.name);
    return 0;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t product_scratch(const Planner *p, const FxNode *node, FxProductKind kind, const FxAccumulator *acc, int images) {
    const FxTensor *left = kind == FX_ERROR ? &node->e : &node->x;
    const FxTensor *right = kind == FX_GRADIENT ? &node->e : &node->layer.weight;
    const FxTensor *sums = kind == FX_FORWARD ? &node->y : kind == FX_ERROR ? &node->dx : &node->dw;
    FxProduct product = fx_layer_product(&node->layer, kind, images, left, right, sums);
    return fx_accumulate_scratch(&product, acc, &p->net->work);
}

// Scratch that the layer's three products need under any phase's accumulators and for any number of images: a short
// batch is cut into other tasks and may need more than a full one.
static size_t scratch(const Planner *p, int index) {
    const FxNode *node = fx_net_product(p->net, index);
    size_t size = 0;
    for (int i = 0; i < p->config->phase_count; i++)
        for (int kind = 0; kind < FX_PRODUCTS; kind++) {
            const FxAccumulator *acc = &p->config->phases[i].layers[index].accumulator[kind];
            for (int images = 1; images <= node->layer.out.n; images++)
                if (kind != FX_ERROR || !node->name.first)
                    size = max_size(size, product_scratch(p, node, (FxProductKind)kind, acc, images));
        }
    return size;
}

// The node that reads the output of node i, past maps that work in place; the loss is read at time n.
static int reader(const FxNet *net, int i) {
    int j = i + 1;
    while (j < net->count && net->nodes[j].layer.in_place)
        j++;
    return j < net->count && net->nodes[j].layer.ops->role != FX_ROLE_LOSS ? j : net->count;
}

static int plan_product(const Planner *p, int index) {
    FxNet *net = p->net;
    int i = net->products[index], n = net->count, forward = i, backward = 2 * n - i;
    FxNode *node = &net->nodes[i];
    FxLayer *l = &node->layer;
    FxType sums[FX_PRODUCTS], weight, error, store;
    uint64_t max[3], max_e, ignored;
    const FxLayerConfig *first = &p->config->phases[0].layers[index];
    bool from_image = node->name.first;
    FxSite read = from_image ? FX_SITE_INPUT : FX_SITE_ACTIVATION;
    if (check_operand(p, index, read) || check_operand(p, index, FX_SITE_WEIGHT) || check_operand(p, index, FX_SITE_ERROR))
        return -1;
    FxType x = site_type(p, index, read, &max[0]);
    weight = site_type(p, index, FX_SITE_WEIGHT, &max[1]);
    error = site_type(p, index, FX_SITE_ERROR, &max_e);
    max_e *= meeting_errors(net, i);
    if (max_e > INT32_MAX)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: errors that meet in overlapping pools need more than 32 bits; name a narrower error.grid",
                       node->name.name);
    error = wider(error, fx_type_for_range(-(int64_t)max_e, (int64_t)max_e));
    store = fx_type_for_range(-first->store_limit, first->store_limit);
    store = wider(store, site_type(p, index, FX_SITE_STORE, &ignored));
    if (plan_sums(p, index, sums, max, max_e))
        return -1;
    node->alpha = alpha_log2(p->config, &first->site[FX_SITE_WEIGHT].q.grid, l->fan_in);
    size_t in = fx_shape_count(l->in), out = fx_shape_count(l->out);
    if (tensor(p, &node->store, store, l->weights, 0, FX_FOREVER) || tensor(p, &l->weight, weight, l->weights, 0, FX_FOREVER) ||
        tensor(p, &node->y, sums[FX_FORWARD], out, forward, reader(net, i)) ||
        tensor(p, &node->e, error, out, 2 * n - reader(net, i), backward) || tensor(p, &node->dw, sums[FX_GRADIENT], l->weights, backward, backward))
        return -1;
    if (from_image) {
        node->x = (FxTensor){NULL, x, in, 0}; // the image's codes, or what a pool made of them
        return 0;
    }
    bool masked = false;
    for (int phase = 0; phase < p->config->phase_count; phase++)
        masked |= p->config->phases[phase].layers[index].site[FX_SITE_ACTIVATION].clip;
    if (tensor(p, &node->x, x, in, forward, backward) || tensor(p, &node->pass, FX_UINT8, masked ? in : 0, forward, backward) ||
        tensor(p, &node->dx, sums[FX_ERROR], in, backward, backward))
        return -1;
    return 0;
}

// A map works on its input's type; in place it shares the input's buffers.
static int plan_map(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i], *input = node->input < 0 ? NULL : &net->nodes[node->input];
    int n = net->count, backward = 2 * n - i;
    size_t out = fx_shape_count(node->layer.out);
    FxType type = input ? input->y.type : net->image_codes.type;
    if (tensor(p, &node->layer.saved, FX_UINT8, out, i, backward))
        return -1;
    if (node->layer.in_place && input) { // pointers follow once memory is there
        node->y = input->y;
        node->e = input->e;
        return 0;
    }
    node->y = (FxTensor){NULL, type, out, 0};
    node->e = (FxTensor){NULL, node->id ? fx_net_product(net, node->id - 1)->e.type : FX_INT8, out, 0};
    if (fx_memory_plan(&net->memory, &node->y.data, out * fx_type_size(type), i, node->id ? reader(net, i) : 2 * n, p->err))
        return -1;
    return node->id ? fx_memory_plan(&net->memory, &node->e.data, out * fx_type_size(node->e.type), 2 * n - reader(net, i), backward, p->err) : 0;
}

// The exponent of a quantiser's codes where it does not follow the data.
static bool fixed_exponent(const FxSiteConfig *site, int alpha, int *exponent) {
    const FxScaleRule *rule = site->q.scale.rule;
    FxScaleInput in = {.max_abs = 1, .alpha = alpha};
    *exponent = rule->choose(&site->q.scale, &site->q.grid, &in).exponent;
    return !rule->needs_maximum || rule->discards;
}

// The number 1.0 must be a code of the outputs. Where their exponent follows the data, the step holds the target instead.
static int check_target(const Planner *p) {
    if (p->net->loss != &fx_sse_ops)
        return 0;
    int last = p->net->product_count - 1;
    const FxNode *node = fx_net_product(p->net, last);
    for (int i = 0; i < p->config->phase_count; i++) {
        const FxLayerConfig *c = &p->config->phases[i].layers[last];
        const FxSiteConfig *x = &c->site[node->name.first ? FX_SITE_INPUT : FX_SITE_ACTIVATION];
        int x_exponent, w_exponent, exponent;
        bool known = fixed_exponent(x, 0, &x_exponent);
        known &= fixed_exponent(&c->site[FX_SITE_WEIGHT], node->alpha, &w_exponent);
        exponent = x_exponent + w_exponent + c->accumulator[FX_FORWARD].shift;
        if (c->site[FX_SITE_LOGITS].on)
            known = fixed_exponent(&c->site[FX_SITE_LOGITS], 0, &exponent);
        int bits = 64 - __builtin_clzll(node->layer.max_product[FX_FORWARD] * node->layer.fan_in | 1);
        if (!c->site[FX_SITE_LOGITS].on && bits > FX_MOST_OUTPUT_BITS)
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: outputs of %d bits; squares of at most %d can be added up for the loss: use "
                           "fewer bits or set logits.q", node->name.name, bits, FX_MOST_OUTPUT_BITS);
        if (known && (exponent > 0 || exponent < FX_LEAST_OUTPUT_EXPONENT))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: the outputs are multiples of 2^%d, the target is 1.0: 2^%d to 2^0 is needed",
                           node->name.name, exponent, FX_LEAST_OUTPUT_EXPONENT);
    }
    return 0;
}

static int plan_ends(const Planner *p) {
    FxNet *net = p->net;
    size_t image = fx_shape_count(net->image), out = (size_t)net->image.n * (size_t)net->classes;
    int n = net->count, last = net->product_count - 1;
    uint64_t ignored;
    FxType logits = site_type(p, last, FX_SITE_LOGITS, &ignored);
    bool quantised = false;
    for (int i = 0; i < p->config->phase_count; i++)
        quantised |= p->config->phases[i].layers[last].site[FX_SITE_LOGITS].on;
    if (fx_memory_plan(&net->memory, (void **)&net->batch_pixels, image, 0, FX_FOREVER, p->err) ||
        fx_memory_plan(&net->memory, (void **)&net->batch_labels, (size_t)net->image.n, 0, FX_FOREVER, p->err))
        return -1;
    if (tensor(p, &net->logits, logits, quantised ? out : 0, n, n) || tensor(p, &net->loss_error, FX_INT64, out, n, n))
        return -1;
    return 0;
}

// Aliases that could only be made once the buffers have addresses.
static void link_buffers(FxNet *net) {
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i], *input = node->input < 0 ? NULL : &net->nodes[node->input];
        if (node->layer.ops->role == FX_ROLE_MAP && node->layer.in_place && input) {
            node->y.data = input->y.data;
            node->e.data = input->e.data;
        }
        if (node->name.first)
            node->x.data = input ? input->y.data : net->image_codes.data;
    }
}

int fx_net_plan(FxNet *net, const FxConfig *config, int threads, unsigned cpu, FxError *err) {
    Planner p = {net, config, err};
    uint64_t ignored;
    net->work = (FxWork){threads, cpu, NULL, 0};
    FxType input = site_type(&p, 0, FX_SITE_INPUT, &ignored);
    if (tensor(&p, &net->image_codes, input, fx_shape_count(net->image), 0, 2 * net->count))
        return -1;
    for (int i = 0, product = 0; i < net->count; i++) {
        FxRole role = net->nodes[i].layer.ops->role;
        if (role == FX_ROLE_PRODUCT ? plan_product(&p, product++) : role == FX_ROLE_MAP ? plan_map(&p, i) : 0)
            return -1;
    }
    if (plan_ends(&p) || check_target(&p))
        return -1;
    for (int i = 0; i < net->product_count; i++)
        net->work.scratch_size = max_size(net->work.scratch_size, scratch(&p, i));
    if (fx_memory_plan(&net->memory, &net->work.scratch, net->work.scratch_size, 0, FX_FOREVER, err) ||
        fx_memory_commit(&net->memory, err))
        return -1;
    link_buffers(net);
    return 0;
}
