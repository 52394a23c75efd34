#include "sim/dump_parts.h"

#include "sim/cast.h"
#include "sim/net_sums.h"
#include "sim/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef enum Shape { IMAGE, IN, OUT, WEIGHTS, STORE, CHANNELS } Shape;
enum { NONE = -1, SUMS = -2, EXACT = -3 }; // no site: nothing rounds it; finished sums of a product; what norms, additions and forks make of them

// Tensors of a step: their shape, the site that rounds them or the product that adds them up, whether their words are told. Sites of
// a product's store and gradient stand for those of a norm's parameters too.
static const struct {
    const char *what;
    Shape shape;
    int site;
    FxProductKind kind; // of SUMS
    bool draws;
} tensors[] = {
    {"input", IMAGE, FX_SITE_INPUT, 0, true},
    {"activation", IN, FX_SITE_ACTIVATION, 0, true},
    {"activation.grad", IN, FX_SITE_ACTIVATION_GRAD, 0, true},
    {"activation.clip", IN, NONE, 0, false},
    {"weight", WEIGHTS, FX_SITE_WEIGHT, 0, true},
    {"weight.back", WEIGHTS, FX_SITE_WEIGHT_BACK, 0, true},
    {"weight.aligned", WEIGHTS, EXACT, 0, false},
    {"bias", STORE, FX_SITE_BIAS, 0, true},
    {"store.before", STORE, FX_SITE_STORE, 0, false},
    {"store.after", STORE, FX_SITE_STORE, 0, true},
    {"sum.forward", OUT, SUMS, FX_FORWARD, false},
    {"sum.error", IN, SUMS, FX_ERROR, false},
    {"sum.gradient", STORE, SUMS, FX_GRADIENT, false},
    {"logits", OUT, FX_SITE_LOGITS, 0, true},
    {"error.quantised", OUT, FX_SITE_ERROR, 0, true},
    {"error", OUT, FX_SITE_ERROR, 0, false},
    {"error.grad.quantised", OUT, FX_SITE_ERROR_GRAD, 0, true},
    {"error.grad", OUT, FX_SITE_ERROR_GRAD, 0, false},
    {"gradient", STORE, FX_SITE_GRADIENT, 0, true},
    {"update", STORE, FX_SITE_GRADIENT, 0, true},
    {"momentum", STORE, FX_SITE_MOMENTUM, 0, true},
    {"second", STORE, FX_SITE_SECOND, 0, true},
    {"decay", STORE, FX_SITE_DECAY, 0, true},
    {"preact", OUT, FX_SITE_PREACT, 0, true},
    {"norm", OUT, EXACT, 0, false},
    {"norm.mean", CHANNELS, FX_SITE_NORM_MEAN, 0, true},
    {"norm.scale", CHANNELS, FX_SITE_NORM_SCALE, 0, true},
    {"norm.xhat", OUT, FX_SITE_NORM_XHAT, 0, true},
    {"norm.gamma", STORE, FX_SITE_NORM_GAMMA, 0, true},
    {"norm.beta", STORE, FX_SITE_NORM_BETA, 0, true},
    {"norm.gamma.gradient", STORE, FX_SITE_GRADIENT, 0, true},
    {"norm.beta.gradient", STORE, FX_SITE_GRADIENT, 0, true},
    {"norm.back", OUT, EXACT, 0, false},
    {"preact-error.quantised", OUT, FX_SITE_PREACT_ERROR, 0, true},
    {"preact-error", OUT, FX_SITE_PREACT_ERROR, 0, false},
    {"add", OUT, EXACT, 0, false},
    {"sum", OUT, FX_SITE_SUM, 0, true},
    {"fork", OUT, EXACT, 0, false},
    {"fork.quantised", OUT, FX_SITE_SUM_ERROR, 0, true},
};
enum { TENSORS = sizeof tensors / sizeof tensors[0] };

static int line_of(const char *what) {
    for (int i = 0; i < TENSORS; i++)
        if (!strcmp(tensors[i].what, what))
            return i;
    return -1;
}

static int bits_for(uint64_t high) {
    int bits = 1;
    for (; high >>= 1;)
        bits++;
    return bits;
}

static void set_shape(FxVector *v, const char *layout, int rank, const int *sizes) {
    snprintf(v->layout, sizeof v->layout, "%s", layout);
    v->rank = rank;
    for (int i = 0; i < rank; i++)
        v->shape[i] = (size_t)sizes[i];
}

static void data_shape(FxVector *v, FxShape s, int images) {
    set_shape(v, "n.h.w.c", 4, (const int[]){images, s.h, s.w, s.c});
}

static void weight_shape(FxVector *v, const FxLayer *l) {
    if (l->ops->role == FX_ROLE_PARAMETER)
        set_shape(v, "c", 1, (const int[]){l->out.c});
    else if (l->ops == &fx_fc_ops)
        set_shape(v, "in.out", 2, (const int[]){l->image.c, l->out.c});
    else
        set_shape(v, "kh.kw.ci.co", 4, (const int[]){l->kernel, l->kernel, l->image.c, l->out.c});
}

// Errors behind overlapping windows are sums of codes, and behind a mean parts of them: where they are no codes, a vector of the carrier's numbers.
static void widen_for_sums(FxVector *v, const FxGrid *grid, const FxTensor *t) {
    FxQuantiser q;
    bool patterns = t->type == FX_FLOAT32 && fx_vector_patterns(v, &q), codes = true;
    for (size_t i = 0; i < t->count && codes; i++)
        if (t->type == FX_FLOAT32)
            codes = !patterns || fx_vector_is_exact(v, &q, t, i);
        else
            codes = fx_tensor_get(t, i) <= fx_grid_high(grid) && fx_tensor_get(t, i) >= fx_grid_low(grid);
    if (!codes)
        v->bits = 8 * (int)fx_type_size(t->type);
    if (!codes && t->type == FX_FLOAT32)
        v->has_exponent = false;
}

// Integers of an exponent a channel.
static bool has_channels(const FxSiteConfig *site, const FxTensor *t) {
    return t->type != FX_FLOAT32 && fx_site_is_channel(site);
}

// Bits, sign, exponent and grid of what a site has rounded.
static void describe_site(FxVector *v, const FxNode *node, const FxSiteConfig *site, int number, const FxTensor *t) {
    const FxGrid *grid = &site->q.grid;
    bool patterns = site->on && grid->kind->has_patterns && fx_scale_is_single(&site->q.scale) && !fx_scale_is_mx(&site->q.scale);
    if (site->on)
        fx_quantiser_print(v->grid, &site->q);
    v->is_signed = site->on && t->type != FX_FLOAT32 && grid->is_signed;
    v->has_exponent = (t->type != FX_FLOAT32 && !has_channels(site, t)) || patterns;
    v->exponent = !v->has_exponent ? 0 : t->type != FX_FLOAT32 ? t->exponent : patterns ? (int)node->site[number].exponent : 0;
    v->bits = t->type == FX_FLOAT32 && !patterns ? 32 : grid->bits;
    if (8 * (int)fx_type_size(t->type) > v->bits && (number == FX_SITE_ERROR || number == FX_SITE_ERROR_GRAD || number == FX_SITE_PREACT_ERROR))
        widen_for_sums(v, grid, t);
}

static void describe_number(FxVector *v, const FxTensor *t, int bits, bool is_signed) {
    v->bits = t->type == FX_FLOAT32 ? 32 : bits;
    v->is_signed = is_signed && t->type != FX_FLOAT32;
    v->has_exponent = is_signed && t->type != FX_FLOAT32;
    v->exponent = t->exponent;
}

// Of finished sums: those of a policy that cuts, else of the largest exact sum.
static int sum_bits(const FxDump *d, const FxNode *product, FxProductKind kind) {
    const FxAccumulator *acc = &fx_step_phase(&d->step)->layers[product->id - 1].accumulator[kind];
    const FxPolicy *last = acc->chunk ? &acc->outer : &acc->inner;
    int bits = fx_product_bits(&product->layer, kind);
    return last->kind == FX_ACC_EXACT || fx_policy_is_float(last) || last->bits > bits ? bits : last->bits;
}

// Of what is exact: additions of integers are held to +-(2^62 - 1), what norms make to 32 bits.
static int exact_bits(const FxTensor *t) {
    return t->type == FX_INT64 ? 63 : 8 * (int)fx_type_size(t->type);
}

// The bits of outputs minus targets. Losses that declare an exponent of their own have the carrier's.
static int loss_bits(const FxDump *d, const FxNode *node, const FxTensor *t) {
    const FxSiteConfig *logits = &fx_step_phase(&d->step)->layers[node->id - 1].site[FX_SITE_LOGITS];
    const int scale = d->step.loss_scale.mantissa ? d->step.loss_scale.exponent + 14 : 0; // in the exponent, not in the codes
    int outputs = logits->on ? logits->q.grid.bits : sum_bits(d, node, FX_FORWARD), target = 2 - (t->exponent - scale);
    if (fx_loss_rule(d->run->net.loss)->has_exponent)
        return 8 * (int)fx_type_size(t->type);
    return (outputs > target ? outputs : target) + 1;
}

void fx_dump_add(FxDump *d, FxVector *v, const FxTensor *t) {
    v->step = d->step.step;
    if (!d->failed)
        d->failed = d->sink->add(d->sink->user, v, t, d->err) != 0;
}

void fx_dump_channels(FxDump *d, const char *layer, const char *site, const FxTensor *t, int bits, bool has_exponent) {
    FxVector v = {0};
    snprintf(v.layer, sizeof v.layer, "%s", layer);
    snprintf(v.site, sizeof v.site, "%s", site);
    set_shape(&v, "c", 1, (const int[]){(int)t->count});
    describe_number(&v, t, bits, true);
    v.has_exponent &= has_exponent;
    fx_dump_add(d, &v, t);
}

void fx_dump_exponents(FxDump *d, const char *layer, const char *site, int32_t *exponents, size_t channels) {
    char name[FX_VECTOR_NAME + 16];
    snprintf(name, sizeof name, "%s.exponent", site);
    fx_dump_channels(d, layer, name, &(FxTensor){exponents, FX_INT32, channels, 0}, 32, false);
}

// element0: of the tensor's own, behind which the node's first word comes.
static void add_words(FxDump *d, const FxNode *node, const FxVector *like, int site, const char *prefix, uint64_t element0, size_t count) {
    FxVector v = *like;
    FxRandom random = fx_step_random(&d->step, node, site);
    FxTensor words = {malloc(count * 4), FX_UINT32, count, 0};
    if (!words.data) {
        d->failed = fx_fail_memory(d->err, "random words", count * 4) != 0;
        return;
    }
    v.bits = fx_random_width(&random);
    v.is_signed = v.has_exponent = false;
    v.grid[0] = 0;
    const char *end = strrchr(like->site, '.');
    snprintf(v.site, sizeof v.site, "%s%s.random%s", prefix, fx_site((FxSite)site)->name, end && !strcmp(end, ".bias") ? end : "");
    fx_random_bits(words.data, &random, node->first_word[site] + element0, count, v.bits, d->run->net.work.cpu);
    fx_dump_add(d, &v, &words);
    free(words.data);
}

// The site that a line stands for at a node.
static int site_at(const FxNode *node, int line) {
    const int site = tensors[line].site;
    if (node->layer.ops->role != FX_ROLE_PARAMETER)
        return site;
    return site == FX_SITE_STORE ? (int)node->store_site : site == FX_SITE_GRADIENT ? (int)node->gradient_site : site;
}

// The exponents of a tensor's channels, where it has such; NULL elsewhere.
static int32_t *exponents_of(const FxNode *node, int line, const FxSiteConfig *sites, const FxTensor *t) {
    const int site = tensors[line].site;
    if (site == SUMS)
        return tensors[line].kind == FX_GRADIENT && has_channels(&sites[sites[FX_SITE_ERROR_GRAD].is_set ? FX_SITE_ERROR_GRAD : FX_SITE_ERROR], t)
                   ? node->dw_exponents : NULL;
    if (site < 0 || !has_channels(&sites[site], t))
        return NULL;
    switch (site) {
    case FX_SITE_PREACT: return node->norm ? node->norm->x_exponents : NULL;
    case FX_SITE_ERROR: return node->e_exponents;
    case FX_SITE_ERROR_GRAD: return tensors[line].draws ? node->dw_exponents : NULL; // behind the gradient product those of dW
    default: return NULL;
    }
}

static void shape_of(FxVector *v, const FxDump *d, const FxNode *at, const FxLayer *l, Shape shape) {
    switch (shape) {
    case IMAGE: data_shape(v, d->run->net.shape, d->images); break;
    case IN: data_shape(v, at->layer.in, d->images); break;
    case OUT: data_shape(v, at->layer.out, d->images); break;
    case WEIGHTS: case STORE: weight_shape(v, l); break;
    case CHANNELS: set_shape(v, "c", 1, (const int[]){l->out.c}); break;
    }
}

// The bias behind kept weights: a file of its own.
static void add_bias(FxDump *d, const FxNode *node, FxVector *v, int line, const FxTensor *t, bool draws) {
    const FxLayer *l = &node->layer;
    FxTensor part = {fx_tensor_at(t, l->weights), t->type, t->count - l->weights, t->exponent};
    set_shape(v, "co", 1, (const int[]){l->out.c});
    strcat(v->site, ".bias");
    if (tensors[line].site == SUMS && part.type != FX_FLOAT32) // sums of errors, which no accumulator cuts
        v->bits = fx_product_bits(l, tensors[line].kind);
    fx_dump_add(d, v, &part);
    if (draws)
        add_words(d, node, v, tensors[line].site, "", l->weights, part.count);
}

// A tensor of the table, of the node whose site it is; it stands at node `at`, which is that one or, of an error, a map above it.
// prefix: "", or which of those maps.
static void add_line(FxDump *d, const FxNode *node, const FxNode *at, const char *prefix, int line, const FxTensor *t) {
    const FxLayer *l = &node->layer;
    const FxSiteConfig *sites = fx_step_phase(&d->step)->layers[node->id - 1].site;
    const Shape shape = tensors[line].shape;
    const int site = site_at(node, line);
    FxVector v = {0};
    FxTensor part = *t;
    snprintf(v.layer, sizeof v.layer, "%s", node->name.name);
    snprintf(v.site, sizeof v.site, "%s%s", prefix, strcmp(tensors[line].what, "norm.back") ? tensors[line].what : "back");
    shape_of(&v, d, at, l, shape);
    if (site == FX_SITE_BIAS)
        set_shape(&v, "co", 1, (const int[]){l->out.c});
    else if (shape == STORE)
        part.count = l->weights;
    int32_t *exponents = exponents_of(node, line, sites, t);
    if (site == SUMS || (site == FX_SITE_LOGITS && !sites[site].on))
        describe_number(&v, t, sum_bits(d, node, site == SUMS ? tensors[line].kind : FX_FORWARD), true);
    else if (site == EXACT)
        describe_number(&v, t, exact_bits(t), true);
    else if (site == NONE)
        describe_number(&v, t, 1, false);
    else
        describe_site(&v, node, &sites[site], site, t);
    v.has_exponent &= !exponents && (node->layer.ops->role != FX_ROLE_NORM || strcmp(v.site, "back"));
    fx_dump_add(d, &v, &part);
    if (exponents)
        fx_dump_exponents(d, v.layer, v.site, exponents, (size_t)l->out.c);
    bool draws = tensors[line].draws && site >= 0 && sites[site].on && fx_quantiser_draws(&sites[site].q);
    draws &= site != (int)node->store_site || !d->step.config->update.lsb;
    if (draws)
        add_words(d, node, &v, site, prefix, site == FX_SITE_BIAS ? l->weights : 0, part.count);
    if (part.count < t->count)
        add_bias(d, node, &v, line, t, draws);
}

// ---- maps -----------------------------------------------------------------------------------------------------------

// The product, norm or addition below a map; NULL: the image.
static const FxNode *owner_of(const FxNet *net, const FxNode *map) {
    return map->owner < 0 ? NULL : &net->nodes[map->owner];
}

const char *fx_dump_map_layer(const FxNet *net, const FxNode *map) {
    const FxNode *owner = owner_of(net, map);
    return owner ? owner->name.name : "image";
}

void fx_dump_map_name(char name[FX_VECTOR_NAME], const FxNet *net, const FxNode *map, const char *what) {
    int place = 1, word = (int)strcspn(what, ".");
    char number[16] = "";
    for (const FxNode *n = net->nodes; n < map; n++)
        place += n->layer.ops == map->layer.ops && n->owner == map->owner;
    if (place > 1)
        snprintf(number, sizeof number, "%d", place);
    snprintf(name, FX_VECTOR_NAME, "%.*s%s%.60s", word, what, number, what + word);
}

// Bits of what a map makes: those of its owner's output; a mean over positions has more, by as many as its exponent falls.
static int map_bits(const FxDump *d, const FxNode *owner, const FxNode *map, const FxTensor *t) {
    const FxNet *net = &d->run->net;
    const FxSiteConfig *sum = &fx_step_phase(&d->step)->layers[owner->id - 1].site[FX_SITE_SUM];
    const FxRole role = owner->layer.ops->role;
    int bits = role == FX_ROLE_PRODUCT ? sum_bits(d, owner, FX_FORWARD) : role == FX_ROLE_ADD && sum->on ? sum->q.grid.bits : exact_bits(&owner->y);
    for (const FxNode *n = map; n != owner; n = &net->nodes[n->input])
        bits -= n->layer.ops == &fx_gap_ops ? n->layer.gain : 0;
    return bits < exact_bits(t) ? bits : exact_bits(t); // where it is held
}

// What a map made, or kept for its way back.
static void add_map(FxDump *d, const FxNode *node, const char *what, const FxTensor *t) {
    const FxLayer *l = &node->layer;
    const FxNet *net = &d->run->net;
    const FxNode *owner = owner_of(net, node);
    const FxSiteConfig *input = &fx_step_phase(&d->step)->layers[0].site[FX_SITE_INPUT];
    FxVector v = {0};
    assert(!strcmp(what, l->ops->name) || (l->ops->saved && !strcmp(what, l->ops->saved))); // else tensors[] lacks it
    snprintf(v.layer, sizeof v.layer, "%s", fx_dump_map_layer(net, node));
    fx_dump_map_name(v.site, net, node, what);
    data_shape(&v, l->out, d->images);
    if (l->ops->saved && !strcmp(what, l->ops->saved))
        describe_number(&v, t, l->ops == &fx_max_pool_ops ? bits_for((uint64_t)l->kernel * (uint64_t)l->kernel - 1) : 1, false);
    else if (owner)
        describe_number(&v, t, map_bits(d, owner, node, t), true);
    else
        describe_site(&v, fx_net_product(net, 0), input, FX_SITE_INPUT, t);
    fx_dump_add(d, &v, t);
}

// Where an error is rounded above a fork, and once more below it, the upper one is called after its map.
static bool is_above_fork(const FxNet *net, const FxNode *at) {
    for (const FxNode *n = at; n->layer.ops->role == FX_ROLE_MAP && n->input >= 0;) {
        n = &net->nodes[n->input];
        if (fx_node_is_fork(n))
            return true;
    }
    return false;
}

// Of a map the errors are its owner's, but not what it gathers.
static void add_of_node(FxDump *d, const FxNode *node, int line, const FxTensor *t) {
    const FxNet *net = &d->run->net;
    const int site = tensors[line].site;
    char prefix[FX_VECTOR_NAME] = "";
    const bool error = site == FX_SITE_ERROR || site == FX_SITE_ERROR_GRAD || site == FX_SITE_PREACT_ERROR;
    if (node->layer.ops->role == FX_ROLE_MAP && error && is_above_fork(net, node)) {
        fx_dump_map_name(prefix, net, node, node->layer.ops->name);
        strcat(prefix, ".");
    }
    add_line(d, node->layer.ops->role == FX_ROLE_MAP && error ? owner_of(net, node) : node, node, prefix, line, t);
}

static void add_loss(FxDump *d, const FxNode *node, const FxTensor *t) {
    FxVector v = {.site = "logits.error"};
    snprintf(v.layer, sizeof v.layer, "%s", node->name.name);
    data_shape(&v, node->layer.out, d->images);
    describe_number(&v, t, loss_bits(d, node, t), true);
    fx_dump_add(d, &v, t);
}

static void told(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    FxDump *d = user;
    FxTensor whole = *t;
    int line = line_of(what);
    if (!strcmp(what, "update")) { // a piece of it
        for (size_t i = 0; i < t->count; i++)
            fx_tensor_set(&(FxTensor){d->update.data, FX_INT64, d->update.count + i + 1, 0}, d->update.count + i, fx_tensor_get(t, i));
        d->update.count += t->count;
        d->update.exponent = t->exponent;
        if (d->update.count < node->store.count)
            return;
        whole = d->update;
        d->update.count = 0;
    }
    if (!strcmp(what, "logits.error"))
        add_loss(d, node, &whole);
    else if (line >= 0)
        add_of_node(d, node, line, &whole);
    else
        add_map(d, node, what, &whole);
    if (!strcmp(what, "norm"))
        fx_dump_norm(d, node);
    if (!strcmp(what, "norm.back"))
        fx_dump_norm_back(d, node);
}

static void add_batch(FxDump *d) {
    const FxRun *run = d->run;
    FxNet *net = &d->run->net;
    size_t n = (size_t)d->images, first = (size_t)(run->step % run->config.steps_per_epoch) * (size_t)run->config.batch;
    FxVector v = {.site = "images", .bits = 32};
    set_shape(&v, "n", 1, (const int[]){d->images});
    fx_dump_add(d, &v, &(FxTensor){run->feed.order + first, FX_UINT32, n, 0});
    v = (FxVector){.site = "labels", .bits = 8};
    set_shape(&v, "n", 1, (const int[]){d->images});
    fx_dump_add(d, &v, &(FxTensor){net->batch_labels, FX_UINT8, n, 0});
    v = (FxVector){.site = "bytes", .bits = 8};
    data_shape(&v, net->shape, d->images);
    fx_dump_add(d, &v, &(FxTensor){net->batch_pixels, FX_UINT8, n * fx_shape_count(fx_shape_images(net->shape, 1)), 0});
}

static size_t largest_store(const FxNet *net) {
    size_t most = 0;
    for (int k = 0; k < net->keeper_count; k++)
        if (net->keepers[k]->store.count > most)
            most = net->keepers[k]->store.count;
    return most;
}

int fx_dump_step(FxRun *run, const FxSink *sink, const char *directory, FxError *err) {
    FxDump d = {.run = run, .sink = sink, .directory = directory, .err = err, .update = {.type = FX_INT64}};
    const FxTrace trace = {told, &d};
    d.step = (FxStep){.net = &run->net, .config = &run->config, .step = run->step, .loss_scale = fx_loss_scale_value(&run->loss_scale)};
    d.update.data = malloc(8 * largest_store(&run->net));
    if (!d.update.data)
        return fx_fail_memory(err, "update", 8 * largest_store(&run->net));
    d.images = fx_feed_train(&run->feed, &run->net, run->step);
    add_batch(&d);
    fx_dump_running(&d, ".before");
    if (directory)
        fx_dump_write_step(&d);
    run->trace = &trace;
    if (!d.failed)
        fx_run_step(run);
    run->trace = NULL;
    fx_dump_running(&d, "");
    if (!d.failed && directory)
        fx_dump_write_sites(&d);
    free(d.update.data);
    return d.failed ? -1 : 0;
}
