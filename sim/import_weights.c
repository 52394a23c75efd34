#include "sim/import_weights.h"

#include "formats/number.h"
#include "sim/file.h"
#include "sim/npy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

// An array that may come: what it is called, where it goes.
typedef enum Part { WEIGHTS, BIAS, PARAMETER, RUNNING, RUNNING_EXPONENT } Part;
typedef struct Slot {
    FxNode *node;  // whose store it is; of running statistics the norm
    Part part;
    char name[64], dumped[64]; // LAYER.weights; what a dump calls it
    FxNpy array;
} Slot;

typedef struct Import {
    FxRun *run;
    const char *path;
    Slot *slots;
    int count;
    uint32_t crc32; // over all elements, in the order read
} Import;

static void add_slot(Import *in, FxNode *node, Part part, const char *layer, const char *name, const char *dumped) {
    Slot *slot = &in->slots[in->count++];
    slot->node = node;
    slot->part = part;
    snprintf(slot->name, sizeof slot->name, "%s.%s", layer, name);
    snprintf(slot->dumped, sizeof slot->dumped, "%s.%s", part == PARAMETER ? node->name.name : layer, dumped);
}

enum { SLOTS_A_NODE = 5 };

static void list_slots(Import *in) {
    for (int i = 0; i < in->run->net.count; i++) {
        FxNode *node = &in->run->net.nodes[i];
        const char *layer = node->name.name;
        if (node->layer.ops->role == FX_ROLE_PRODUCT) {
            add_slot(in, node, WEIGHTS, layer, "weights", "store.after");
            add_slot(in, node, BIAS, layer, "bias", "store.after.bias");
        } else if (node->layer.ops->role == FX_ROLE_NORM) {
            add_slot(in, &node->norm->parameter[0], PARAMETER, layer, "gamma", "store.after");
            add_slot(in, &node->norm->parameter[1], PARAMETER, layer, "beta", "store.after");
            add_slot(in, node, RUNNING, layer, "running.mean", "running.mean");
            add_slot(in, node, RUNNING, layer, "running.scale", "running.scale");
            add_slot(in, node, RUNNING_EXPONENT, layer, "running.exponent", "running.exponent");
        }
    }
}

static void print_sizes(char text[96], int rank, const size_t *shape) {
    int n = 0;
    text[0] = 0;
    for (int i = 0; i < rank && n < 80; i++)
        n += snprintf(text + n, 96 - (size_t)n, "%s%zu", i ? "x" : "", shape[i]);
}

// The shape that an array must have; 1x1 convolutions of flat images also come as in x out.
static int check_shape(const Import *in, const Slot *slot, const FxNpy *a, FxError *err) {
    const FxLayer *l = &slot->node->layer;
    const size_t k = (size_t)l->kernel, ci = (size_t)l->image.c, co = (size_t)l->out.c;
    const size_t conv[] = {k, k, ci, co}, fc[] = {ci, co}, one[] = {slot->part == RUNNING_EXPONENT ? 1 : co};
    const bool weights = slot->part == WEIGHTS, flat = weights && l->ops == &fx_fc_ops;
    const size_t *shape = !weights ? one : flat ? fc : conv;
    const int rank = !weights ? 1 : flat ? 2 : 4;
    const char *const axes = flat ? "in out" : weights ? "kh kw ci co" : slot->part == BIAS ? "outputs" : slot->part == RUNNING_EXPONENT ? "one" : "channels";
    char wanted[96], got[96];
    if (a->rank == rank && !memcmp(a->shape, shape, (size_t)rank * sizeof *shape))
        return 0;
    print_sizes(wanted, rank, shape);
    print_sizes(got, a->rank, a->shape);
    return fx_fail(err, FX_EXIT_DATA, "%s: %s has shape %s; %s (%s) is needed", in->path, slot->name, got, wanted, axes);
}

static int take(void *user, const char *name, FxNpy *array, FxError *err) {
    Import *in = user;
    for (int i = 0; i < in->count; i++) {
        Slot *slot = &in->slots[i];
        if (strcmp(name, slot->name))
            continue;
        if (slot->part == BIAS && !slot->node->layer.bias.count)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s: this run's layers have no bias", in->path, name);
        if (slot->array.tensor.data)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s a second time", in->path, name);
        if (check_shape(in, slot, array, err))
            return -1;
        in->crc32 = (uint32_t)crc32_z(in->crc32, array->tensor.data, array->tensor.count * fx_type_size(array->tensor.type));
        slot->array = *array;
        array->tensor.data = NULL; // kept
        return 0;
    }
    return fx_fail(err, FX_EXIT_DATA, "%s: \"%.80s\" is no array of this net; LAYER.weights is needed, as %s.weights", in->path, name,
                   fx_net_product(&in->run->net, 0)->name.name);
}

// DIR/LAYER.weights.npy, or what a dump has written there, whose LAYER.bias.npy is an operand of the step before. 0: not there.
static int take_file(Import *in, const Slot *slot, FxError *err) {
    const Slot *first = slot->part == BIAS ? slot - 1 : slot; // of the two the weights tell who wrote them
    char path[4096];
    unsigned char *bytes;
    size_t size;
    FxNpy array;
    snprintf(path, sizeof path, "%.3900s/%s.npy", in->path, first->name);
    const bool dumped = access(path, F_OK) != 0;
    snprintf(path, sizeof path, "%.3900s/%s.npy", in->path, dumped ? slot->dumped : slot->name);
    if (access(path, F_OK))
        return 0;
    if (fx_file_read(&bytes, &size, path, FX_EXIT_DATA, err))
        return -1;
    int result = fx_npy_parse(&array, bytes, size, path, err);
    free(bytes);
    if (result)
        return -1;
    result = take(in, slot->name, &array, err);
    free(array.tensor.data);
    return result;
}

// An element of the kept array that cannot be: what is wrong with it, in the words of the array that it came from.
static int refuse(const Import *in, const Slot *slot, size_t i, const char *why, FxError *err) {
    const bool bias = slot->part == WEIGHTS && i >= slot->node->layer.weights;
    return fx_fail(err, FX_EXIT_DATA, "%s: %s: element %zu is %s", in->path, slot[bias].name, bias ? i - slot->node->layer.weights : i, why);
}

static int check_elements(const Import *in, const Slot *slot, const FxLayerConfig *c, const FxTensor *all, FxError *err) {
    const FxNode *node = slot->node;
    const FxGrid *grid = &c->site[node->store_site].q.grid;
    const int64_t limit = fx_node_store_limit(node, c);
    for (size_t i = 0; i < all->count; i++) {
        char why[80];
        if (fx_type_is_float(all->type)) {
            if (fx_number_at(all->data, all->type, i, 0).class_of != FX_FINITE)
                return refuse(in, slot, i, "not finite", err);
            continue;
        }
        int64_t code = fx_tensor_get(all, i), low = limit < fx_grid_high(grid) ? -limit : fx_grid_low(grid);
        snprintf(why, sizeof why, "the code %lld, beyond the store's clip or grid", (long long)code);
        if (code < low || code > limit)
            return refuse(in, slot, i, why, err);
    }
    return 0;
}

// A store: weights and the bias behind them as one tensor, in the type of the weights; or a norm's parameter.
static int adopt(Import *in, const Slot *slot, FxError *err) {
    FxRun *run = in->run;
    FxNode *node = slot->node;
    const FxLayerConfig *c = &run->config.phases[0].layers[node->id - 1];
    const FxSiteConfig *site = &c->site[node->store_site];
    const FxNpy *weights = &slot->array, none = {0}, *bias = slot->part == WEIGHTS ? &slot[1].array : &none;
    const bool floats = fx_type_is_float(weights->tensor.type);
    if (!weights->tensor.data || (node->layer.bias.count && !bias->tensor.data))
        return fx_fail(err, FX_EXIT_DATA, "%s: %s is not there", in->path, slot[weights->tensor.data != NULL].name);
    if (!floats && !fx_site_is_constant(site))
        return fx_fail(err, FX_EXIT_DATA, "%s: %s holds integers, which stand for codes, but %s.q is no fixed grid of constant scale; give floats", in->path,
                       slot->name, fx_site(node->store_site)->name);
    if (bias->tensor.data && bias->tensor.type != weights->tensor.type)
        return fx_fail(err, FX_EXIT_DATA, "%s: %s and %s are of two types", in->path, slot->name, slot[1].name);
    size_t size = fx_type_size(weights->tensor.type);
    FxTensor all = {malloc(node->store.count * size), weights->tensor.type, node->store.count, floats ? 0 : site->q.scale.parameter[0] - site->q.grid.fraction};
    if (!all.data)
        return fx_fail_memory(err, in->path, node->store.count * size);
    memcpy(all.data, weights->tensor.data, weights->tensor.count * size);
    if (bias->tensor.data)
        memcpy(fx_tensor_at(&all, weights->tensor.count), bias->tensor.data, bias->tensor.count * size);
    int result = check_elements(in, slot, c, &all, err);
    if (result == 0)
        fx_net_adopt(&run->net, &run->config, &run->config.phases[0], node, node->store_site, &all);
    free(all.data);
    return result;
}

// Running statistics of floats as they are stored; of integers as a dump wrote them, with their exponent.
static int adopt_running(const Import *in, const Slot *slot, FxError *err) {
    FxNormNode *norm = slot->node->norm;
    const Slot *exponent = &slot[2];
    const bool any = slot[0].array.tensor.data || slot[1].array.tensor.data || exponent->array.tensor.data;
    for (int k = 0; any && k < (norm->integers ? 3 : 2); k++) {
        const FxTensor *t = &slot[k].array.tensor;
        if (!t->data)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s is not there; give all running statistics of a norm or none", in->path, slot[k].name);
        if (fx_type_is_float(t->type) == norm->integers)
            return fx_fail(err, FX_EXIT_DATA, "%s: %s holds %s, but this norm runs on %s", in->path, slot[k].name, fx_type_name(t->type),
                           norm->integers ? "integers" : "float32");
        for (size_t i = 0; i < t->count; i++) {
            FxNumber x = fx_number_at(t->data, t->type, i, 0);
            if (x.class_of != FX_FINITE || (k == 1 && (x.negative || x.magnitude == 0)))
                return fx_fail(err, FX_EXIT_DATA, "%s: %s: element %zu is %s", in->path, slot[k].name, i, k == 1 ? "no scale above 0" : "not finite");
            if (norm->integers && x.magnitude >= (k < 2 ? UINT64_C(1) << 30 : UINT64_C(1) << 15))
                return fx_fail(err, FX_EXIT_DATA, "%s: %s: element %zu needs more than %d bits", in->path, slot[k].name, i, k < 2 ? 31 : 16);
        }
    }
    for (int k = 0; any && k < 2; k++) {
        const FxTensor *from = &slot[k].array.tensor, *to = &norm->running[k];
        for (size_t i = 0; i < to->count; i++)
            if (norm->integers)
                fx_tensor_set(to, i, fx_tensor_get(from, i));
            else
                ((uint32_t *)to->data)[i] = fx_number_to_f32(fx_number_at(from->data, from->type, i, 0));
    }
    norm->running_state[0] = any;
    norm->running_state[1] = any && norm->integers ? fx_tensor_get(&exponent->array.tensor, 0) : 0;
    return 0;
}

static int adopt_all(Import *in, FxError *err) {
    int result = 0;
    fx_net_start(&in->run->net, &in->run->config); // the first draw was a call of the store's controller: it is taken back
    for (int i = 0; result == 0 && i < in->count; i++) {
        const Slot *slot = &in->slots[i];
        if (slot->part == WEIGHTS || slot->part == PARAMETER)
            result = adopt(in, slot, err);
        else if (slot->part == RUNNING) {
            result = adopt_running(in, slot, err);
            i += 2;
        }
    }
    return result;
}

int fx_import_weights(FxRun *run, const char *path, char text[256], FxError *err) {
    struct stat st;
    const size_t most = SLOTS_A_NODE * (size_t)run->net.count;
    int result = 0;
    Import in = {run, path, calloc(most, sizeof *in.slots), 0, (uint32_t)crc32(0, NULL, 0)};
    if (!in.slots)
        return fx_fail_memory(err, path, most * sizeof *in.slots);
    list_slots(&in);
    if (run->config.ranges.epochs)
        result = fx_fail(err, FX_EXIT_USAGE, "--weights %.200s: init.ranges trains from drawn weights first; set init.ranges = none", path);
    else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        for (int i = 0; result == 0 && i < in.count; i++)
            result = take_file(&in, &in.slots[i], err);
    else
        result = fx_npz_read(path, take, &in, err);
    if (result == 0)
        result = adopt_all(&in, err);
    for (int i = 0; i < in.count; i++)
        free(in.slots[i].array.tensor.data);
    free(in.slots);
    if (result == 0)
        snprintf(text, 256, "weights %.200s, CRC-32 %08x\n", path, in.crc32);
    return result;
}
