// Types, proofs and buffers: what each tensor is carried in, that no sum can overflow, and who lives when.
#include "sim/net_planner.h"
#include "sim/input.h"
#include "sim/update.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// alpha = 2^m: m = number of j = 0, 1, ... with b^2 * n >= C * 2^(2j + 2F + 1), F the weight grid's fraction bits, b the
// least half width in its steps. Source: WAGE's code, 2^round(log2(L_min / L0)), by exact comparison.
static int alpha_log2(const FxConfig *config, int init_c, const FxGrid *weight, size_t fan_in) {
    unsigned __int128 unit = 1, b = config->init_floor.digits;
    for (int i = 0; i < config->init_floor.places; i++)
        unit *= 10;
    unsigned __int128 left = b * b * fan_in, right = unit * unit * (unsigned)init_c;
    int m = 0;
    for (int power = 2 * weight->fraction + 1; power < 60 && left >= right << (power < 0 ? 0 : power); power += 2)
        m++;
    return m;
}

int fx_plan_tensor(const Planner *p, FxTensor *t, FxType type, size_t count, int birth, int death) {
    *t = (FxTensor){NULL, type, count, 0};
    return fx_memory_plan(&p->net->memory, &t->data, count * fx_type_size(type), birth, death, p->err);
}

// Scratch that the layer's three products need under any phase's accumulators and for any number of images: a short
// batch is cut into other tasks and may need more than a full one.
static size_t scratch(const Planner *p, int index) {
    const FxNode *node = fx_net_product(p->net, index);
    FxLayer layer = node->layer;
    size_t size = 0;
    for (int i = 0; i < p->config->phase_count; i++)
        for (int kind = 0; kind < FX_PRODUCTS; kind++) {
            FxOperands o = fx_operands(node, (FxProductKind)kind);
            memcpy(layer.accumulator, p->config->phases[i].layers[index].accumulator, sizeof layer.accumulator);
            for (int images = 1; images <= node->layer.out.n; images++)
                if (kind != FX_ERROR || !node->name.first)
                    size = fx_max_size(size, fx_layer_scratch(&layer, (FxProductKind)kind, images, o.left, o.right, o.sums, &p->net->work));
        }
    return size;
}

// Times: the backward pass ends at 2n, all updates come after it.
int fx_plan_update(const Planner *p, FxNode *node, FxType sums, int backward) {
    FxNet *net = p->net;
    const int index = node->id - 1;
    const FxConfig *c = p->config;
    size_t n = node->layer.weights + node->layer.bias.count;
    int end = 2 * net->count + 1;
    bool momentum = c->update.rule->has_momentum;
    for (int i = 0; i < c->phase_count; i++)
        momentum |= c->phases[i].momentum.mantissa || c->phases[i].layers[index].site[FX_SITE_MOMENTUM].on;
    if (fx_plan_tensor(p, &node->store, fx_carrier(c, index, node->store_site, NULL), n, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &node->dw, sums, n, backward, c->update.lsb ? end : backward))
        return -1;
    if (c->update.lsb)
        return 0;
    node->updates_integers = fx_update_is_integer(c, index, node->store_site, node->gradient_site);
    if (node->updates_integers && c->update.by_deviation)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: update.rate-factor = deviation: the update runs on integers, whose sums would have no bound", node->name.name);
    if (node->updates_integers && fx_update_check(c, node, p->err))
        return -1;
    if (fx_plan_tensor(p, &node->g, fx_carrier(c, index, node->gradient_site, NULL), n, backward, end) ||
        fx_plan_tensor(p, &node->momentum, fx_carrier(c, index, FX_SITE_MOMENTUM, NULL), momentum ? n : 0, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &node->second, fx_carrier(c, index, FX_SITE_SECOND, NULL), c->update.rule->has_second ? n : 0, 0, FX_FOREVER))
        return -1;
    for (int i = 0; i < FX_UPDATE_BUFFERS + 2; i++) // shared by the layers: as large as the largest needs
        net->update[i].count = fx_max_size(net->update[i].count, n);
    return 0;
}

// A copy of a site: its carrier, or nothing.
static int copy(const Planner *p, int index, FxSite site, FxTensor *t, size_t count, int birth, int death) {
    bool has = fx_has_copy(p->config, index, site);
    return fx_plan_tensor(p, t, has ? fx_carrier(p->config, index, site, NULL) : FX_INT8, has ? count : 0, birth, death);
}

// Errors with an exponent a channel.
static int plan_channels(const Planner *p, int index, int backward) {
    FxNode *node = fx_net_product(p->net, index);
    const FxSite read = fx_right_site(p->config, index, FX_GRADIENT);
    const bool errors = fx_has_integer_channels(p->config, index, FX_SITE_ERROR), gradient = fx_has_integer_channels(p->config, index, read);
    const size_t bytes = (size_t)node->layer.out.c * sizeof(int32_t);
    if (fx_has_channels(p->config, index, FX_SITE_ERROR) && !errors && p->config->claims_integer)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: error.q has an exponent a channel: the error product then reads weights whose codes are 255 at most", node->name.name);
    if (gradient && p->config->bias)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: run.bias = yes: %s with an exponent a channel gives the bias none", node->name.name, fx_site(read)->name);
    for (int i = 0; errors && i < p->net->count; i++) {
        const FxNode *map = &p->net->nodes[i];
        if (map->layer.ops->role == FX_ROLE_MAP && map->owner == p->net->products[index] && fx_node_is_fork(&p->net->nodes[map->input]))
            return fx_fail(p->err, FX_EXIT_USAGE, "%s: error.q has an exponent a channel: a %s above a fork hands down one a tensor", node->name.name,
                           map->layer.ops->name);
    }
    return (errors && fx_memory_plan(&p->net->memory, (void **)&node->e_exponents, bytes, 0, FX_FOREVER, p->err)) ||
           fx_plan_tensor(p, &node->weight_aligned, FX_INT16, errors && !node->name.first ? node->layer.weights : 0, backward, backward) ||
           (gradient && fx_memory_plan(&p->net->memory, (void **)&node->dw_exponents, bytes, 0, FX_FOREVER, p->err));
}

static int plan_product(const Planner *p, int index) {
    FxNet *net = p->net;
    int i = net->products[index], n = net->count, forward = i, backward = 2 * n - i;
    FxNode *node = &net->nodes[i];
    const int handed = node->input >= 0 && fx_node_is_fork(&net->nodes[node->input]) ? 2 * n - node->input : backward;
    FxLayer *l = &node->layer;
    size_t in = fx_shape_count(l->in), out = fx_shape_count(l->out);
    const FxLayerConfig *c = &p->config->phases[0].layers[index];
    uint64_t max_error = 0;
    FxType sums[FX_PRODUCTS], error;
    if (fx_check_operands(p, index) || fx_plan_error_type(p, i, &error, &max_error) ||
        fx_plan_tensor(p, &l->weight, fx_carrier(p->config, index, FX_SITE_WEIGHT, NULL), l->weights, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &l->bias, fx_product_is_float(p->config, index, FX_FORWARD) ? FX_FLOAT32 : fx_carrier(p->config, index, FX_SITE_BIAS, NULL),
               p->config->bias ? (size_t)l->out.c : 0, 0, FX_FOREVER) ||
        fx_plan_tensor(p, &node->db, FX_INT64, p->config->bias ? (size_t)l->out.c : 0, backward, backward) ||
        copy(p, index, FX_SITE_WEIGHT_BACK, &node->weight_back, l->weights, 0, FX_FOREVER))
        return -1;
    if (plan_channels(p, index, backward))
        return -1;
    if (node->name.first) { // the image's codes, or what a pool made of them
        node->x = (FxTensor){NULL, fx_carrier(p->config, index, FX_SITE_INPUT, NULL), in, 0};
        node->x_grad = (FxTensor){NULL, fx_carrier(p->config, index, FX_SITE_ACTIVATION_GRAD, NULL), in, 0};
    } else {
        bool masked = false;
        for (int phase = 0; phase < p->config->phase_count; phase++)
            masked |= p->config->phases[phase].layers[index].site[FX_SITE_ACTIVATION].clip;
        if (fx_plan_tensor(p, &node->x, fx_carrier(p->config, index, FX_SITE_ACTIVATION, NULL), in, forward, backward) ||
            fx_plan_tensor(p, &node->pass, FX_UINT8, masked ? in : 0, forward, backward) ||
            copy(p, index, FX_SITE_ACTIVATION_GRAD, &node->x_grad, in, forward, backward))
            return -1;
    }
    node->alpha = alpha_log2(p->config, c->init_c, &c->site[FX_SITE_WEIGHT].q.grid, l->fan_in);
    if (fx_plan_sums(p, index, max_error, sums))
        return -1;
    node->dx.type = sums[FX_ERROR];
    return fx_plan_tensor(p, &node->y, sums[FX_FORWARD], out, forward, fx_last_reader(net, i)) || fx_plan_update(p, node, sums[FX_GRADIENT], backward) ||
           (!node->name.first && fx_plan_tensor(p, &node->dx, sums[FX_ERROR], in, backward, handed));
}

static int check_dropout(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i];
    const bool floats = node->y.type == FX_FLOAT32;
    if (node->layer.ops != &fx_dropout_ops)
        return 0;
    if (node->owner < 0)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s before the first product", node->layer.ops->name);
    for (int j = net->products[node->id - 1]; j < i; j++)
        node->layer.first_word += net->nodes[j].layer.ops == &fx_dropout_ops ? UINT64_C(1) << 40 : 0;
    if ((node->e.type == FX_FLOAT32) != floats || (node->e_grad.count && (node->e_grad.type == FX_FLOAT32) != floats))
        return fx_fail(p->err, FX_EXIT_USAGE, "DO%d behind %s: sums of %s and errors of %s; dropout wants both to be integers or both floats", node->layer.kernel,
                       net->nodes[node->owner].name.name, floats ? "floats" : "integers", floats ? "integers" : "floats");
    if (floats)
        return 0;
    node->layer.gain = 1;
    return node->layer.kernel == 50 ? 0 : fx_fail(p->err, FX_EXIT_USAGE, "DO%d: dropout of integers is DO50, whose factor is a power of two", node->layer.kernel);
}

// A map works on its input's type, but a mean of integers makes int64; in place it shares the input's buffers.
static int plan_map(const Planner *p, int i) {
    FxNet *net = p->net;
    FxNode *node = &net->nodes[i], *input = node->input < 0 ? NULL : &net->nodes[node->input];
    size_t out = fx_shape_count(node->layer.out);
    FxType type = input ? input->y.type : net->image_codes.type;
    if (node->layer.ops == &fx_gap_ops && node->owner < 0)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s before the first product", node->layer.ops->name);
    if (node->layer.ops == &fx_gap_ops && type != FX_FLOAT32)
        type = FX_INT64;
    if (fx_plan_tensor(p, &node->layer.saved, FX_UINT8, node->layer.ops->saved ? out : 0, i, 2 * net->count - i))
        return -1;
    if (node->layer.in_place && input) { // pointers follow once memory is there
        node->y = input->y;
        return 0;
    }
    return fx_plan_tensor(p, &node->y, type, out, i, node->id ? fx_last_reader(net, i) : 2 * net->count);
}

// The loss runs on integers where the outputs are integers and its error becomes integers; else in float32, which then
// reads float32 outputs.
static int plan_ends(const Planner *p) {
    FxNet *net = p->net;
    size_t image = fx_shape_count(net->shape), out = (size_t)net->shape.n * (size_t)net->classes;
    int n = net->count, last = net->product_count - 1;
    const FxTensor *y = &fx_net_product(net, last)->y;
    FxType logits = fx_carrier(p->config, last, FX_SITE_LOGITS, NULL);
    bool quantised = fx_is_on(p->config, last, FX_SITE_LOGITS), integers = fx_loss_is_integer(p->config);
    if (!integers && (y->type != FX_FLOAT32 || (quantised && logits != FX_FLOAT32)))
        quantised = true, logits = FX_FLOAT32;
    if (fx_memory_plan(&net->memory, (void **)&net->batch_pixels, image, 0, FX_FOREVER, p->err) ||
        fx_memory_plan(&net->memory, (void **)&net->batch_labels, (size_t)net->shape.n, 0, FX_FOREVER, p->err) ||
        fx_plan_tensor(p, &net->logits, logits, quantised ? out : 0, n, n) || fx_plan_tensor(p, &net->logits_pass, FX_UINT8, quantised ? out : 0, n, n) ||
        fx_plan_tensor(p, &net->loss_error, integers ? FX_INT64 : FX_FLOAT32, out, n, n))
        return -1;
    return fx_check_loss(p, integers);
}

static int plan_image(const Planner *p) {
    FxNet *net = p->net;
    FxNode *first = fx_net_product(net, 0);
    size_t image = fx_shape_count(net->shape);
    int end = 2 * net->count;
    bool floats = fx_image_is_float(p->config), has_copy = fx_has_copy(p->config, 0, FX_SITE_ACTIVATION_GRAD);
    bool again = has_copy || !fx_input_is_direct(p->config);
    if (has_copy && first->input >= 0)
        return fx_fail(p->err, FX_EXIT_USAGE, "%s: activation.grad of an image that a pool reads first: the copy would need a pool of its own; begin the net "
                       "with a product, or set the first layer's activation.grad nowhere", first->name.name);
    return fx_plan_tensor(p, &net->image_codes, fx_carrier(p->config, 0, FX_SITE_INPUT, NULL), image, 0, end) ||
           copy(p, 0, FX_SITE_ACTIVATION_GRAD, &net->image_grad, image, 0, end) ||
           fx_plan_tensor(p, &net->image, floats ? FX_FLOAT32 : FX_INT32, again ? image : 0, 0, end) ||
           fx_plan_tensor(p, &net->input_values, FX_FLOAT32, floats ? 256 * (size_t)net->shape.c : 0, 0, FX_FOREVER);
}

static int plan_buffers(const Planner *p) {
    FxNet *net = p->net;
    int end = 2 * net->count + 1;
    for (int i = 0; i < FX_UPDATE_BUFFERS + 2; i++) {
        FxType type = i <= FX_UPDATE_BUFFERS ? FX_INT64 : FX_INT8; // the last: directions
        if (fx_plan_tensor(p, &net->update[i], type, net->update[i].count, end, end))
            return -1;
    }
    size_t channels = (size_t)net->shape.n; // or samples
    for (int i = 0; i < net->count; i++) {
        const FxLayer *l = &net->nodes[i].layer;
        channels = fx_max_size(channels, (size_t)(l->in.c > l->out.c ? l->in.c : l->out.c));
    }
    return fx_plan_tensor(p, &net->casts, FX_UINT8, channels * sizeof(FxCast), 0, FX_FOREVER);
}

// Aliases that could only be made once the buffers have addresses.
static void link_buffers(FxNet *net) {
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i], *input = node->input < 0 ? NULL : &net->nodes[node->input];
        if (node->layer.ops->role == FX_ROLE_MAP && node->layer.in_place && input) {
            node->y.data = input->y.data;
            node->e.data = input->e.data;
            node->e_grad.data = input->e_grad.data;
        }
        if (node->name.first) {
            node->x.data = input ? input->y.data : net->image_codes.data;
            node->x_grad.data = net->image_grad.data;
        }
    }
}

// What a recipe says of norms decides which of them are there.
static void leave_norms_out(const Planner *p) {
    FxNet *net = p->net;
    for (int i = 0; i < net->count; i++) {
        FxNode *node = &net->nodes[i];
        if (node->layer.ops->role != FX_ROLE_NORM || p->config->phases[0].layers[node->id - 1].norm.choice != FX_NORM_LEFT_OUT)
            continue;
        node->layer.ops = &fx_identity_ops;
        node->layer.in_place = net->nodes[node->input].reader_count == 1;
    }
    for (int i = 0; i < net->count; i++)
        net->nodes[i].owner = fx_net_owner(net, i);
    fx_net_find_keepers(net);
}

static int plan_node(const Planner *p, int i) {
    switch (p->net->nodes[i].layer.ops->role) {
    case FX_ROLE_PRODUCT: return plan_product(p, p->net->nodes[i].id - 1);
    case FX_ROLE_MAP: return plan_map(p, i);
    case FX_ROLE_NORM: return fx_plan_norm(p, i);
    case FX_ROLE_ADD: return fx_plan_add(p, i);
    default: return 0;
    }
}

static int plan_nodes(const Planner *p) {
    FxNet *net = p->net;
    for (int i = 0; i < net->count; i++)
        if (plan_node(p, i))
            return -1;
    if (plan_image(p) || plan_ends(p))
        return -1;
    for (int i = net->count - 1; i >= 0; i--) // from the loss down: types of what is handed down are known
        if (fx_plan_errors(p, i) || check_dropout(p, i))
            return -1;
    for (int i = 0; i < net->product_count; i++)
        if (fx_check_roundings(p, i))
            return -1;
    return plan_buffers(p);
}

int fx_net_plan(FxNet *net, FxConfig *config, int threads, unsigned cpu, FxError *err) {
    Planner p = {net, config, err};
    net->work = (FxWork){threads, cpu, NULL, 0};
    leave_norms_out(&p);
    if (fx_chunk_blocks(&p, config))
        return -1;
    net->image_codes.type = fx_carrier(config, 0, FX_SITE_INPUT, NULL);
    if (plan_nodes(&p))
        return -1;
    for (int i = 0; config->loss_scaling.dynamic && i < net->keeper_count; i++)
        if (net->keepers[i]->updates_integers)
            config->loss_scaling.most = fx_update_most_scale(config, net->keepers[i]);
    net->work.scratch_size = fx_plan_norm_scratch(net);
    for (int i = 0; i < net->product_count; i++)
        net->work.scratch_size = fx_max_size(net->work.scratch_size, scratch(&p, i));
    if (fx_memory_plan(&net->memory, &net->work.scratch, net->work.scratch_size, 0, FX_FOREVER, err) ||
        fx_memory_commit(&net->memory, err))
        return -1;
    link_buffers(net);
    return 0;
}
