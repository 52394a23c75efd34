// From notation to nodes: what stands where, and how large it is.
#include "sim/net.h"

#include "sim/notation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *notation;
} named[] = {
    {"lenet", "32C5p0-MP2-64C5p0-MP2-512FC-10"},
    {"vgg7", "2x(128C3)-MP2-2x(256C3)-MP2-2x(512C3)-MP2-1024FC-10"},
    {"mlp", "512FC-512FC-10"},
    {"digits", "16C3-MP2-64FC-10"},
    {"lenet-bn", "32C5p0-BN-MP2-64C5p0-BN-MP2-512FC-BN-10"},
    {"resnet20", "16C3-BN-3x(+(16C3-BN-16C3-BN|))-+(32C3s2-BN-32C3-BN|32C1s2-BN)-2x(+(32C3-BN-32C3-BN|))"
                 "-+(64C3s2-BN-64C3-BN|64C1s2-BN)-2x(+(64C3-BN-64C3-BN|))-GAP-10SMX"},
};

static int resolve(FxNet *net, const char *text, const FxDataset *data, FxError *err) {
    if (!strcmp(text, "auto")) {
        if (data->height == 8 && data->width == 8 && data->channels == 1)
            text = "digits";
        else if (data->height == 28 && data->width == 28 && data->channels == 1)
            text = "lenet";
        else if (data->height == 32 && data->width == 32 && data->channels == 3)
            text = "vgg7";
        else
            return fx_fail(err, FX_EXIT_USAGE, "no network is known for images of %dx%dx%d: say --net NOTATION", data->height,
                           data->width, data->channels);
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (!strcmp(text, named[i].name))
            text = named[i].notation;
    if (strlen(text) >= sizeof net->notation)
        return fx_fail(err, FX_EXIT_USAGE, "network notation of %zu characters; at most %zu", strlen(text), sizeof net->notation - 1);
    strcpy(net->notation, text);
    return 0;
}

static FxShape shape_of(const FxNet *net, int node) {
    return node < 0 ? net->shape : net->nodes[node].layer.out;
}

// Whether a batch of the shape can be counted in an int, as the products' sizes are.
static bool is_countable(FxShape s) {
    return s.n <= INT32_MAX / s.h && s.n * s.h <= INT32_MAX / s.w && s.n * s.h * s.w <= INT32_MAX / s.c;
}

static const FxItem plain = {.before = FX_NOTATION_ABSENT, .after = FX_NOTATION_ABSENT, .pad = FX_NOTATION_ABSENT,
                             .stride = FX_NOTATION_ABSENT};

// Whether a node reads the image or what maps made of it. Owners of all nodes up to it are known.
static bool is_of_image(const FxNet *net, int node) {
    return node < 0 || net->nodes[node].owner < 0;
}

static int refuse_image(const FxItem *item, FxError *err) {
    return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: a residual block cannot read the image; begin with a layer", item->column);
}

// Appends a node; its layer is planned.
static int append(FxNet *net, const FxLayerOps *ops, int input, const FxItem *item, FxError *err) {
    FxNode *node = &net->nodes[net->count];
    char what[64];
    memset(node, 0, sizeof *node);
    node->input = input;
    node->shortcut = -1;
    node->layer.ops = ops;
    node->owner = fx_net_owner(net, net->count);
    node->layer.count = item->before;
    node->layer.kernel = item->after;
    node->layer.pad = item->pad;
    node->layer.stride = item->stride;
    node->layer.in = shape_of(net, input);
    node->id = net->product_count;
    if (ops->role == FX_ROLE_PRODUCT) {
        node->id = ++net->product_count;
        net->products[node->id - 1] = net->count;
        node->name.kind = ops->name;
        node->name.first = node->id == 1;
        snprintf(node->name.name, sizeof node->name.name, "%s%d", ops->name, node->id);
        snprintf(what, sizeof what, "column %d: %s", item->column, node->name.name);
    } else {
        snprintf(what, sizeof what, "column %d: %s", item->column, ops->name);
    }
    if (node->id == 0 && (ops->role == FX_ROLE_NORM || ops->role == FX_ROLE_ADD))
        return fx_fail(err, FX_EXIT_USAGE, "%s: a product layer must stand before it", what);
    if (node->owner >= 0 && node->id > 0 && node->id + (ops->role != FX_ROLE_PRODUCT) > 1 && is_of_image(net, input)) // but the first product
        return refuse_image(item, err);
    if (ops->plan(&node->layer, what, err))
        return -1;
    FxShape out = node->layer.out;
    if (!is_countable(out))
        return fx_fail(err, FX_EXIT_USAGE, "%s: %d images of %d x %d x %d outputs; at most 2^31 - 1 numbers a batch", what, out.n,
                       out.h, out.w, out.c);
    net->count++;
    return 0;
}

// The rectifier in front of an item, where it is implied. Before a block's branch it stands before the fork: *from, the
// output of the item that feeds the block, moves behind it.
static int add_relu(FxNet *net, int *from, const FxItem *item, FxError *err) {
    FxItem relu = plain;
    relu.column = item->column;
    if (*from >= 0 && net->nodes[*from].layer.ops == &fx_relu_ops)
        return 0;
    if (append(net, &fx_relu_ops, *from, &relu, err))
        return -1;
    *from = net->count - 1;
    return 0;
}

// The end of a residual block.
static int add_addition(FxNet *net, int body, int shortcut, const FxItem *item, FxError *err) {
    FxItem plus = plain;
    FxShape a = shape_of(net, body), b = shape_of(net, shortcut);
    plus.column = item->column;
    if (is_of_image(net, body) || is_of_image(net, shortcut))
        return refuse_image(item, err);
    if (a.h != b.h || a.w != b.w || a.c != b.c)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: the body gives %d x %d x %d, the shortcut %d x %d x %d; the same is needed", item->column,
                       a.h, a.w, a.c, b.h, b.w, b.c);
    if (append(net, &fx_add_ops, body, &plus, err))
        return -1;
    net->nodes[net->count - 1].shortcut = shortcut;
    return 0;
}

static int unknown(const FxItem *item, FxError *err) {
    char known[256] = "";
    for (int i = 0; fx_layer_ops(i); i++)
        sprintf(known + strlen(known), " %s", fx_layer_ops(i)->token);
    return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: no layer \"%s\"; known:%s%s", item->column, item->letters, known,
                   strpbrk(item->letters, "0123456789") ? "; between items stands \"-\"" : "");
}

// The output: a product, then the loss.
static int add_output(FxNet *net, const FxLayerOps *ops, int input, const FxItem *item, FxError *err) {
    FxItem end = plain, output = plain;
    if (item->before < 0)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: \"%s\" without its outputs; the data set has %d classes: write %d%s", item->column,
                       item->letters, net->classes, net->classes, item->letters);
    if (item->before != net->classes)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: %d outputs; the data set has %d classes", item->column,
                       item->before, net->classes);
    if (item->after >= 0 || item->pad >= 0 || item->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: the output has no kernel, padding or stride; write 10SSE",
                       item->column);
    net->loss = ops;
    end.column = output.column = item->column;
    output.before = item->before;
    return append(net, &fx_fc_ops, input, &output, err) || append(net, ops, net->count - 1, &end, err) ? -1 : 0;
}

// An item may become several nodes: an implied rectifier before or behind it; a product and a loss at the output.
// ends: the node at which each item so far ends.
static int add_item(FxNet *net, const FxNotation *notation, int index, int *ends, const char *loss, FxError *err) {
    const FxItem *item = &notation->items[index];
    const FxLayerOps *ops = fx_layer_find(item->letters[0] ? item->letters : loss);
    const bool last = index == notation->count - 1;
    if (!ops)
        return unknown(item, err);
    if ((ops->role == FX_ROLE_LOSS) != last)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: %s", item->column,
                       last ? "the last item must be the output: a number, or one with a loss, as 10 or 10SSE"
                            : "an output can only stand at the end");
    int input = item->input[0] < 0 ? -1 : ends[item->input[0]];
    if (ops->role == FX_ROLE_ADD) {
        if (add_addition(net, input, item->input[1] < 0 ? -1 : ends[item->input[1]], item, err))
            return -1;
        ends[index] = net->count - 1;
        return add_relu(net, &ends[index], item, err);
    }
    if (ops == &fx_relu_ops && input >= 0 && net->nodes[input].layer.ops == &fx_relu_ops) {
        ends[index] = input; // written where one is implied
        return 0;
    }
    if (ops->relu_before && net->product_count > 0 && input >= 0) {
        if (add_relu(net, &input, item, err))
            return -1;
        if (item->block_start)
            ends[item->input[0]] = input;
    }
    if (last)
        return add_output(net, ops, input, item, err);
    ends[index] = net->count;
    return append(net, ops, input, item, err);
}

int fx_net_build(FxNet *net, const char *text, const FxDataset *data, int batch, const char *loss, FxError *err) {
    FxNotation notation = {0};
    const char *token = loss; // the layer's name; or whatever the recipe says, to be refused as an item
    int result = -1;
    memset(net, 0, sizeof *net);
    for (int i = 0; fx_layer_ops(i); i++)
        if (fx_layer_ops(i)->role == FX_ROLE_LOSS && !strcmp(fx_layer_ops(i)->name, loss))
            token = fx_layer_ops(i)->token;
    net->shape = (FxShape){batch, data->height, data->width, data->channels};
    net->classes = data->classes;
    if (!is_countable(net->shape))
        return fx_fail(err, FX_EXIT_USAGE, "%d images of %d x %d x %d; at most 2^31 - 1 numbers a batch", batch, data->height,
                       data->width, data->channels);
    if (resolve(net, text, data, err) || fx_notation_parse(&notation, net->notation, err))
        return -1;
    size_t most = 3 * (size_t)notation.count + 1;
    int *ends = NULL;
    net->nodes = calloc(most, sizeof *net->nodes);
    net->products = calloc(most, sizeof *net->products);
    ends = calloc(most, sizeof *ends);
    if (!net->nodes || !net->products || !ends) {
        fx_fail_memory(err, "network", most * sizeof *net->nodes);
        goto done;
    }
    for (int i = 0; i < notation.count; i++)
        if (add_item(net, &notation, i, ends, token, err))
            goto done;
    fx_net_product(net, net->product_count - 1)->name.last = true;
    result = fx_net_connect(net, err);
done:
    free(ends);
    fx_notation_free(&notation);
    if (result)
        fx_net_free(net);
    return result;
}

void fx_net_names(const FxNet *net, FxLayerName *names) {
    for (int i = 0; i < net->product_count; i++)
        names[i] = fx_net_product(net, i)->name;
}

void fx_net_free(FxNet *net) {
    fx_memory_free(&net->memory);
    for (int i = 0; net->nodes && i < net->count; i++)
        free(net->nodes[i].norm);
    free(net->nodes);
    free(net->keepers);
    free(net->products);
    memset(net, 0, sizeof *net);
}
