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

// Appends a node; its layer is planned.
static int append(FxNet *net, const FxLayerOps *ops, int input, const FxItem *item, FxError *err) {
    FxNode *node = &net->nodes[net->count];
    char what[64];
    memset(node, 0, sizeof *node);
    node->input = input;
    node->layer.ops = ops;
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
    if (ops->plan(&node->layer, what, err))
        return -1;
    FxShape out = node->layer.out;
    if (!is_countable(out))
        return fx_fail(err, FX_EXIT_USAGE, "%s: %d images of %d x %d x %d outputs; at most 2^31 - 1 numbers a batch", what, out.n,
                       out.h, out.w, out.c);
    net->count++;
    return 0;
}

static int unknown(const FxItem *item, FxError *err) {
    char known[256] = "";
    for (int i = 0; fx_layer_ops(i); i++)
        sprintf(known + strlen(known), " %s", fx_layer_ops(i)->token);
    return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: no layer \"%s\"; known:%s", item->column, item->letters, known);
}

// An item may become several nodes: an implied rectifier before a product; a product and a loss at the output.
static int add_item(FxNet *net, const FxItem *item, bool last, const char *loss, FxError *err) {
    static const FxItem plain = {.before = FX_NOTATION_ABSENT, .after = FX_NOTATION_ABSENT, .pad = FX_NOTATION_ABSENT,
                                 .stride = FX_NOTATION_ABSENT};
    const FxLayerOps *ops = fx_layer_find(item->letters[0] ? item->letters : loss);
    int input = net->count - 1;
    if (!ops || !strcmp(item->letters, "+"))
        return unknown(item, err);
    bool is_loss = ops->role == FX_ROLE_LOSS;
    if (is_loss != last)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: %s", item->column,
                       last ? "the last item must be the output: a number, or one with a loss, as 10 or 10SSE"
                            : "an output can only stand at the end");
    if (ops->relu_before && net->product_count > 0 && net->nodes[input].layer.ops != &fx_relu_ops) {
        FxItem relu = plain;
        relu.column = item->column;
        if (append(net, &fx_relu_ops, input, &relu, err))
            return -1;
        input = net->count - 1;
    }
    if (!is_loss)
        return append(net, ops, input, item, err);
    FxItem end = plain;
    end.column = item->column;
    if (item->before < 0)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: \"%s\" without its outputs; the data set has %d classes: write %d%s", item->column,
                       item->letters, net->classes, net->classes, item->letters);
    if (item->before != net->classes)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: %d outputs; the data set has %d classes", item->column,
                       item->before, net->classes);
    end.after = item->after;
    end.pad = item->pad;
    end.stride = item->stride;
    if (end.after >= 0 || end.pad >= 0 || end.stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "network notation, column %d: the output has no kernel, padding or stride; write 10SSE",
                       item->column);
    net->loss = ops;
    FxItem output = plain;
    output.before = item->before;
    output.column = item->column;
    if (append(net, &fx_fc_ops, input, &output, err))
        return -1;
    return append(net, ops, net->count - 1, &end, err);
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
    net->nodes = calloc(most, sizeof *net->nodes);
    net->products = calloc(most, sizeof *net->products);
    if (!net->nodes || !net->products) {
        fx_fail_memory(err, "network", most * sizeof *net->nodes);
        goto done;
    }
    for (int i = 0; i < notation.count; i++)
        if (add_item(net, &notation.items[i], i == notation.count - 1, token, err))
            goto done;
    fx_net_product(net, net->product_count - 1)->name.last = true;
    result = 0;
done:
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
    free(net->nodes);
    free(net->products);
    memset(net, 0, sizeof *net);
}
