#include "sim/import_weights.h"

#include "sim/file.h"
#include "sim/npy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

typedef struct Import {
    FxRun *run;
    const char *path;
    FxNpy *parts;   // of each layer: weights, bias
    uint32_t crc32; // over all elements, in the order read
} Import;

static FxNpy *part_of(const Import *in, int layer, bool bias) {
    return &in->parts[2 * layer + bias];
}

static void print_sizes(char text[96], int rank, const size_t *shape) {
    int n = 0;
    text[0] = 0;
    for (int i = 0; i < rank && n < 80; i++)
        n += snprintf(text + n, 96 - (size_t)n, "%s%zu", i ? "x" : "", shape[i]);
}

// The shape that a layer's array must have; 1x1 convolutions of flat images also come as in x out.
static int check_shape(const Import *in, const FxLayer *l, bool bias, const char *name, const FxNpy *a, FxError *err) {
    const size_t k = (size_t)l->kernel, ci = (size_t)l->image.c, co = (size_t)l->out.c;
    const size_t conv[] = {k, k, ci, co}, fc[] = {ci, co}, one[] = {co};
    const bool flat = l->ops == &fx_fc_ops;
    const size_t *shape = bias ? one : flat ? fc : conv;
    const int rank = bias ? 1 : flat ? 2 : 4;
    char wanted[96], got[96];
    if (a->rank == rank && !memcmp(a->shape, shape, (size_t)rank * sizeof *shape))
        return 0;
    print_sizes(wanted, rank, shape);
    print_sizes(got, a->rank, a->shape);
    return fx_fail(err, FX_EXIT_DATA, "%s: %s has shape %s; %s (%s) is needed", in->path, name, got, wanted, bias ? "outputs" : flat ? "in out" : "kh kw ci co");
}

static int take(void *user, const char *name, FxNpy *array, FxError *err) {
    Import *in = user;
    for (int p = 0; p < in->run->net.product_count; p++) {
        const FxNode *node = fx_net_product(&in->run->net, p);
        size_t n = strlen(node->name.name);
        bool bias = !strcmp(name + (strlen(name) > n ? n : 0), ".bias");
        if (strncmp(name, node->name.name, n) || (!bias && strcmp(name + n, ".weights")))
            continue;
        if (bias && !node->layer.bias.count)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s: this run's layers have no bias", in->path, name);
        if (part_of(in, p, bias)->tensor.data)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s a second time", in->path, name);
        if (check_shape(in, &node->layer, bias, name, array, err))
            return -1;
        in->crc32 = (uint32_t)crc32_z(in->crc32, array->tensor.data, array->tensor.count * fx_type_size(array->tensor.type));
        *part_of(in, p, bias) = *array;
        array->tensor.data = NULL; // kept
        return 0;
    }
    return fx_fail(err, FX_EXIT_DATA, "%s: \"%.80s\" is no array of this net; LAYER.weights is needed, as %s.weights", in->path, name,
                   fx_net_product(&in->run->net, 0)->name.name);
}

// DIR/LAYER.weights.npy, or what a dump has written there, whose LAYER.bias.npy is an operand of the step before. 0: not there.
static int take_file(Import *in, const FxNode *node, bool bias, FxError *err) {
    static const char *const names[2][2] = {{"weights", "bias"}, {"store.after", "store.after.bias"}};
    char path[4096], name[FX_NPY_NAME];
    unsigned char *bytes;
    size_t size;
    FxNpy array;
    snprintf(path, sizeof path, "%.3900s/%s.%s.npy", in->path, node->name.name, names[0][0]);
    const bool dumped = access(path, F_OK) != 0;
    snprintf(path, sizeof path, "%.3900s/%s.%s.npy", in->path, node->name.name, names[dumped][bias]);
    snprintf(name, sizeof name, "%s.%s", node->name.name, names[0][bias]);
    if (access(path, F_OK))
        return 0;
    if (fx_file_read(&bytes, &size, path, FX_EXIT_DATA, err))
        return -1;
    int result = fx_npy_parse(&array, bytes, size, path, err);
    free(bytes);
    if (result)
        return -1;
    result = take(in, name, &array, err);
    free(array.tensor.data);
    return result;
}

// An element of the kept array that cannot be: what is wrong with it, in the words of the array that it came from.
static int refuse(const Import *in, const FxNode *node, size_t i, const char *why, FxError *err) {
    const bool bias = i >= node->layer.weights;
    return fx_fail(err, FX_EXIT_DATA, "%s: %s.%s: element %zu is %s", in->path, node->name.name, bias ? "bias" : "weights",
                   bias ? i - node->layer.weights : i, why);
}

// Weights and bias of a layer as one tensor, in the type of the weights.
static int adopt(Import *in, int layer, FxError *err) {
    FxRun *run = in->run;
    FxNode *node = fx_net_product(&run->net, layer);
    const FxLayerConfig *c = &run->config.phases[0].layers[layer];
    const FxQuantiser *store = &c->site[FX_SITE_STORE].q;
    const FxNpy *weights = part_of(in, layer, false), *bias = part_of(in, layer, true);
    const bool floats = fx_type_is_float(weights->tensor.type);
    if (!weights->tensor.data || (node->layer.bias.count && !bias->tensor.data))
        return fx_fail(err, FX_EXIT_DATA, "%s: %s.%s is not there", in->path, node->name.name, weights->tensor.data ? "bias" : "weights");
    if (!floats && !fx_site_is_constant(&c->site[FX_SITE_STORE]))
        return fx_fail(err, FX_EXIT_DATA, "%s: %s.weights holds integers, which stand for codes, but store.q is no fixed grid of constant scale; give floats",
                       in->path, node->name.name);
    if (bias->tensor.data && bias->tensor.type != weights->tensor.type)
        return fx_fail(err, FX_EXIT_DATA, "%s: %s.weights and %s.bias are of two types", in->path, node->name.name, node->name.name);
    size_t size = fx_type_size(weights->tensor.type);
    FxTensor all = {malloc(node->store.count * size), weights->tensor.type, node->store.count, floats ? 0 : store->scale.parameter[0] - store->grid.fraction};
    if (!all.data)
        return fx_fail_memory(err, in->path, node->store.count * size);
    memcpy(all.data, weights->tensor.data, weights->tensor.count * size);
    if (bias->tensor.data)
        memcpy(fx_tensor_at(&all, weights->tensor.count), bias->tensor.data, bias->tensor.count * size);
    int result = 0;
    for (size_t i = 0; !floats && result == 0 && i < all.count; i++) {
        int64_t code = fx_tensor_get(&all, i), low = c->store_limit < fx_grid_high(&store->grid) ? -c->store_limit : fx_grid_low(&store->grid);
        char why[80];
        snprintf(why, sizeof why, "the code %lld, beyond the store's clip or grid", (long long)code);
        if (code < low || code > c->store_limit)
            result = refuse(in, node, i, why, err);
    }
    for (size_t i = 0; floats && result == 0 && i < all.count; i++)
        if (fx_number_at(all.data, all.type, i, 0).class_of != FX_FINITE)
            result = refuse(in, node, i, "not finite", err);
    if (result == 0)
        fx_net_adopt(&run->net, &run->config, &run->config.phases[0], node, FX_SITE_STORE, &all);
    free(all.data);
    return result;
}

int fx_import_weights(FxRun *run, const char *path, char text[256], FxError *err) {
    struct stat st;
    int layers = run->net.product_count, result;
    Import in = {run, path, calloc(2 * (size_t)layers, sizeof *in.parts), (uint32_t)crc32(0, NULL, 0)};
    if (!in.parts)
        return fx_fail_memory(err, path, 2 * (size_t)layers * sizeof *in.parts);
    if (run->config.ranges.epochs)
        result = fx_fail(err, FX_EXIT_USAGE, "--weights %.200s: init.ranges trains from drawn weights first; set init.ranges = none", path);
    else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        result = 0;
        for (int p = 0; result == 0 && p < layers; p++)
            result = take_file(&in, fx_net_product(&run->net, p), false, err) || take_file(&in, fx_net_product(&run->net, p), true, err) ? -1 : 0;
    } else {
        result = fx_npz_read(path, take, &in, err);
    }
    fx_net_start(&run->net, &run->config); // the first draw was a call of the store's controller: it is taken back
    for (int p = 0; result == 0 && p < layers; p++)
        result = adopt(&in, p, err);
    for (int i = 0; i < 2 * layers; i++)
        free(in.parts[i].tensor.data);
    free(in.parts);
    if (result == 0)
        snprintf(text, 256, "weights %.200s, CRC-32 %08x\n", path, in.crc32);
    return result;
}
