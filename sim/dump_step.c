#include "sim/dump_step.h"

#include "sim/cast.h"
#include "sim/net_sums.h"
#include "sim/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Dump {
    FxRun *run;
    const FxSink *sink;
    const char *directory;
    FxStep step;      // what random words are a function of
    int images;
    FxTensor update;  // pieces so far; count grows to the store's
    bool failed;
    FxError *err;
} Dump;

typedef enum Shape { IN, OUT, WEIGHTS, STORE } Shape;
enum { NONE = -1, SUMS = -2 }; // no site: nothing rounds it; finished sums of a product

// Tensors of a step: their shape, the site that rounds them or the product that adds them up, whether their words are told.
static const struct {
    const char *what;
    Shape shape;
    int site;
    FxProductKind kind; // of SUMS
    bool draws;
} tensors[] = {
    {"input", IN, FX_SITE_INPUT, 0, true},
    {"activation", IN, FX_SITE_ACTIVATION, 0, true},
    {"activation.grad", IN, FX_SITE_ACTIVATION_GRAD, 0, true},
    {"activation.clip", IN, NONE, 0, false},
    {"weight", WEIGHTS, FX_SITE_WEIGHT, 0, true},
    {"weight.back", WEIGHTS, FX_SITE_WEIGHT_BACK, 0, true},
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
    if (l->ops == &fx_fc_ops)
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

// Bits, sign, exponent and grid of what a site has rounded.
static void describe_site(FxVector *v, const FxNode *node, const FxSiteConfig *site, int number, const FxTensor *t) {
    const FxGrid *grid = &site->q.grid;
    bool patterns = site->on && grid->kind->has_patterns && fx_scale_is_single(&site->q.scale) && !fx_scale_is_mx(&site->q.scale);
    if (site->on)
        fx_quantiser_print(v->grid, &site->q);
    v->is_signed = site->on && t->type != FX_FLOAT32 && grid->is_signed;
    v->has_exponent = t->type != FX_FLOAT32 || patterns;
    v->exponent = t->type != FX_FLOAT32 ? t->exponent : patterns ? (int)node->site[number].exponent : 0;
    v->bits = t->type == FX_FLOAT32 && !patterns ? 32 : grid->bits;
    if (8 * (int)fx_type_size(t->type) > v->bits && (number == FX_SITE_ERROR || number == FX_SITE_ERROR_GRAD))
        widen_for_sums(v, grid, t);
}

static void describe_number(FxVector *v, const FxTensor *t, int bits, bool is_signed) {
    v->bits = t->type == FX_FLOAT32 ? 32 : bits;
    v->is_signed = is_signed && t->type != FX_FLOAT32;
    v->has_exponent = is_signed && t->type != FX_FLOAT32;
    v->exponent = t->exponent;
}

// Of finished sums: those of a policy that cuts, else of the largest exact sum.
static int sum_bits(const Dump *d, const FxNode *product, FxProductKind kind) {
    const FxAccumulator *acc = &fx_step_phase(&d->step)->layers[product->id - 1].accumulator[kind];
    const FxPolicy *last = acc->chunk ? &acc->outer : &acc->inner;
    int bits = fx_product_bits(&product->layer, kind);
    return last->kind == FX_ACC_EXACT || fx_policy_is_float(last) || last->bits > bits ? bits : last->bits;
}

// The bits of outputs minus targets. Losses that declare an exponent of their own have the carrier's.
static int loss_bits(const Dump *d, const FxNode *node, const FxTensor *t) {
    const FxSiteConfig *logits = &fx_step_phase(&d->step)->layers[node->id - 1].site[FX_SITE_LOGITS];
    const int scale = d->step.loss_scale.mantissa ? d->step.loss_scale.exponent + 14 : 0; // in the exponent, not in the codes
    int outputs = logits->on ? logits->q.grid.bits : sum_bits(d, node, FX_FORWARD), target = 2 - (t->exponent - scale);
    if (fx_loss_rule(d->run->net.loss)->has_exponent)
        return 8 * (int)fx_type_size(t->type);
    return (outputs > target ? outputs : target) + 1;
}

static void add(Dump *d, FxVector *v, const FxTensor *t) {
    v->step = d->step.step;
    if (!d->failed)
        d->failed = d->sink->add(d->sink->user, v, t, d->err) != 0;
}

static void add_words(Dump *d, const FxNode *node, const FxVector *like, int site, uint64_t element0, size_t count) {
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
    snprintf(v.site, sizeof v.site, "%s.random%s", fx_site((FxSite)site)->name, end && !strcmp(end, ".bias") ? end : "");
    fx_random_bits(words.data, &random, element0, count, v.bits, d->run->net.work.cpu);
    add(d, &v, &words);
    free(words.data);
}

// A tensor of the table; of kept weights with a bias behind them the two are files of their own.
static void add_line(Dump *d, const FxNode *node, int line, const FxTensor *t) {
    FxNode *product = fx_net_product(&d->run->net, node->id - 1);
    const FxLayer *l = &product->layer;
    const FxSiteConfig *sites = fx_step_phase(&d->step)->layers[node->id - 1].site;
    FxVector v = {0};
    int site = tensors[line].site;
    bool is_bias = site == FX_SITE_BIAS;
    FxTensor part = *t;
    snprintf(v.layer, sizeof v.layer, "%s", product->name.name);
    snprintf(v.site, sizeof v.site, "%s", tensors[line].what);
    switch (tensors[line].shape) {
    case IN: data_shape(&v, node->layer.in, d->images); break;
    case OUT: data_shape(&v, node->layer.out, d->images); break;
    case WEIGHTS: weight_shape(&v, l); break;
    case STORE:
        weight_shape(&v, l);
        if (is_bias)
            set_shape(&v, "co", 1, (const int[]){l->out.c});
        else
            part.count = l->weights;
        break;
    }
    if (site == SUMS || (site == FX_SITE_LOGITS && !sites[site].on))
        describe_number(&v, t, sum_bits(d, product, site == SUMS ? tensors[line].kind : FX_FORWARD), true);
    else if (site == NONE)
        describe_number(&v, t, 1, false);
    else
        describe_site(&v, product, &sites[site], site, t);
    add(d, &v, &part);
    bool draws = tensors[line].draws && site >= 0 && sites[site].on && fx_quantiser_draws(&sites[site].q);
    draws &= site != FX_SITE_STORE || !d->step.config->update.lsb;
    if (draws)
        add_words(d, product, &v, site, is_bias ? l->weights : 0, part.count);
    if (part.count == t->count)
        return;
    part = (FxTensor){fx_tensor_at(t, l->weights), t->type, t->count - l->weights, t->exponent};
    set_shape(&v, "co", 1, (const int[]){l->out.c});
    strcat(v.site, ".bias");
    if (site == SUMS && part.type != FX_FLOAT32) // sums of errors, which no accumulator cuts
        v.bits = fx_product_bits(l, tensors[line].kind);
    add(d, &v, &part);
    if (draws)
        add_words(d, product, &v, site, l->weights, part.count);
}

// Of what a map makes of them: a mean over positions has more bits, by as many as its exponent falls.
static int map_bits(const Dump *d, const FxNode *product, const FxNode *map) {
    int bits = sum_bits(d, product, FX_FORWARD);
    for (const FxNode *n = product + 1; n <= map; n++)
        bits -= n->layer.ops == &fx_gap_ops ? n->layer.gain : 0;
    return bits < 63 ? bits : 63; // where it is held
}

// What a map made, or kept for its way back.
static void add_map(Dump *d, const FxNode *node, const char *what, const FxTensor *t) {
    const FxLayer *l = &node->layer;
    const FxNode *product = node->id ? fx_net_product(&d->run->net, node->id - 1) : NULL;
    const FxSiteConfig *input = &fx_step_phase(&d->step)->layers[0].site[FX_SITE_INPUT];
    FxVector v = {0};
    assert(!strcmp(what, l->ops->name) || (l->ops->saved && !strcmp(what, l->ops->saved))); // else tensors[] lacks it
    snprintf(v.layer, sizeof v.layer, "%s", product ? product->name.name : "image");
    snprintf(v.site, sizeof v.site, "%s", what);
    data_shape(&v, l->out, d->images);
    if (l->ops->saved && !strcmp(what, l->ops->saved))
        describe_number(&v, t, l->ops == &fx_max_pool_ops ? bits_for((uint64_t)l->kernel * (uint64_t)l->kernel - 1) : 1, false);
    else if (product)
        describe_number(&v, t, map_bits(d, product, node), true);
    else
        describe_site(&v, fx_net_product(&d->run->net, 0), input, FX_SITE_INPUT, t);
    add(d, &v, t);
}

static void add_loss(Dump *d, const FxNode *node, const FxTensor *t) {
    FxVector v = {.site = "logits.error"};
    snprintf(v.layer, sizeof v.layer, "%s", node->name.name);
    data_shape(&v, node->layer.out, d->images);
    describe_number(&v, t, loss_bits(d, node, t), true);
    add(d, &v, t);
}

static void told(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    Dump *d = user;
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
        add_line(d, node, line, &whole);
    else
        add_map(d, node, what, &whole);
}

// ---- what stands beside the tensors ---------------------------------------------------------------------------------

static FILE *beside(Dump *d, const char *name) {
    char path[FX_VECTOR_PATH + 16];
    snprintf(path, sizeof path, "%s/%s", d->directory, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        d->failed = fx_fail(d->err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno)) != 0;
    return f;
}

static void finish(Dump *d, FILE *f, const char *name) {
    if (fclose(f) && !d->failed)
        d->failed = fx_fail(d->err, FX_EXIT_RUNTIME, "%s/%s: cannot be written: %s", d->directory, name, strerror(errno)) != 0;
}

static void add_batch(Dump *d) {
    const FxRun *run = d->run;
    FxNet *net = &d->run->net;
    size_t n = (size_t)d->images, first = (size_t)(run->step % run->config.steps_per_epoch) * (size_t)run->config.batch;
    FxVector v = {.site = "images", .bits = 32};
    set_shape(&v, "n", 1, (const int[]){d->images});
    add(d, &v, &(FxTensor){run->feed.order + first, FX_UINT32, n, 0});
    v = (FxVector){.site = "labels", .bits = 8};
    set_shape(&v, "n", 1, (const int[]){d->images});
    add(d, &v, &(FxTensor){net->batch_labels, FX_UINT8, n, 0});
    v = (FxVector){.site = "bytes", .bits = 8};
    data_shape(&v, net->shape, d->images);
    add(d, &v, &(FxTensor){net->batch_pixels, FX_UINT8, n * fx_shape_count(fx_shape_images(net->shape, 1)), 0});
}

// How a product is added up: "exact", "saturate:11", "float:e6m9 chunk 64 outer fp32"; what is left out is the default.
static void print_accumulator(char *text, size_t size, const FxAccumulator *acc) {
    char inner[FX_POLICY_TEXT], outer[FX_POLICY_TEXT], group[24] = "", chunk[FX_POLICY_TEXT + 40] = "", shift[24] = "";
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    if (acc->group != 1)
        snprintf(group, sizeof group, " group %d", acc->group);
    if (acc->chunk)
        snprintf(chunk, sizeof chunk, " chunk %d outer %s", acc->chunk, outer);
    if (acc->shift)
        snprintf(shift, sizeof shift, " shift %d", acc->shift);
    snprintf(text, size, "%s%s%s%s", inner, group, chunk, shift);
}

static void write_layer(const Dump *d, FILE *f, int index) {
    const FxNode *node = fx_net_product(&d->run->net, index);
    const FxLayerConfig *c = &fx_step_phase(&d->step)->layers[index];
    char text[2 * FX_POLICY_TEXT + 96];
    fprintf(f, "%s.log2_alpha,%d\n", node->name.name, node->alpha);
    if (c->store_limit < INT64_MAX)
        fprintf(f, "%s.store_limit,%lld\n", node->name.name, (long long)c->store_limit);
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        print_accumulator(text, sizeof text, &c->accumulator[kind]);
        fprintf(f, "%s.accumulator.%s,%s\n", node->name.name, fx_product_names[kind], text);
    }
}

// Windows: of convolutions LAYER.kernel and so on, of pools LAYER.max-pool.kernel.
static void write_windows(const Dump *d, FILE *f) {
    for (int i = 0; i < d->run->net.count; i++) {
        const FxNode *node = &d->run->net.nodes[i];
        const FxLayer *l = &node->layer;
        if (l->ops != &fx_conv_ops && l->ops != &fx_max_pool_ops)
            continue;
        char name[FX_VECTOR_NAME];
        snprintf(name, sizeof name, "%s%s%s", node->id ? fx_net_product(&d->run->net, node->id - 1)->name.name : "image", l->ops == &fx_conv_ops ? "" : ".",
                 l->ops == &fx_conv_ops ? "" : l->ops->name);
        fprintf(f, "%s.kernel,%d\n%s.stride,%d\n%s.pad,%d\n", name, l->kernel, name, l->stride, name, l->pad);
    }
}

static void write_step(Dump *d) {
    const FxRun *run = d->run;
    FxScalar rate = fx_step_rate(&d->step), scale = d->step.loss_scale;
    FILE *f = beside(d, "step.csv");
    if (!f)
        return;
    fprintf(f, "key,value\nrecipe,%s\nnet,%s\nconfig_crc32,%08x\nresults_version,%d\nseed,%llu\n", run->recipe.name, run->net.notation, run->config_crc32,
            FX_RESULTS_VERSION, (unsigned long long)run->config.seed_round);
    fprintf(f, "step,%llu\nimages,%d\nrate_mantissa,%lld\nrate_exponent,%lld\nrate_unit,%s\nloss_scale_mantissa,%lld\nloss_scale_exponent,%lld\n",
            (unsigned long long)d->step.step, d->images, (long long)rate.mantissa, (long long)rate.exponent, run->config.update.lsb ? "lsb" : "value",
            (long long)scale.mantissa, (long long)scale.exponent);
    static const char *const texts[] = {"run.loss", "input.map", "random.source", "random.lane"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        fprintf(f, "%s,%s\n", texts[i], fx_recipe_text(&d->run->recipe, texts[i]));
    for (int p = 0; p < run->net.product_count; p++)
        write_layer(d, f, p);
    write_windows(d, f);
    finish(d, f, "step.csv");
}

// After the step: what the sites saw in it.
static void write_sites(Dump *d) {
    FILE *f = beside(d, "sites.csv");
    if (!f)
        return;
    fprintf(f, "layer,site,format,max_abs,max_exponent,exponent,n,saturated,underflowed,zeros_in,zeros_out,at_limit,changed\n");
    for (int p = 0; p < d->run->net.product_count; p++)
        for (int i = 0; fx_site_info(i); i++) {
            const FxNode *node = fx_net_product(&d->run->net, p);
            const FxSiteConfig *site = &fx_step_phase(&d->step)->layers[p].site[fx_site_info(i)->site];
            const FxSiteState *s = &node->site[fx_site_info(i)->site];
            char format[FX_QUANTISER_TEXT] = "";
            if (!site->on || s->last.n == 0)
                continue;
            fx_quantiser_print(format, &site->q);
            fprintf(f, "%s,%s,%s,%llu,%lld,", node->name.name, fx_site_info(i)->name, format, (unsigned long long)s->last.max_abs,
                    (long long)s->last.max_exponent);
            if (s->chosen)
                fprintf(f, "%lld", (long long)s->exponent);
            fprintf(f, ",%llu,%llu,%llu,%llu,%llu,%llu,%llu\n", (unsigned long long)s->last.n, (unsigned long long)s->last.saturated,
                    (unsigned long long)s->last.underflowed, (unsigned long long)s->last.zeros_in, (unsigned long long)s->last.zeros_out,
                    (unsigned long long)s->last.at_limit, (unsigned long long)s->last_changed);
        }
    finish(d, f, "sites.csv");
}

static size_t largest_store(const FxNet *net) {
    size_t most = 0;
    for (int p = 0; p < net->product_count; p++)
        if (fx_net_product(net, p)->store.count > most)
            most = fx_net_product(net, p)->store.count;
    return most;
}

int fx_dump_step(FxRun *run, const FxSink *sink, const char *directory, FxError *err) {
    Dump d = {.run = run, .sink = sink, .directory = directory, .err = err, .update = {.type = FX_INT64}};
    const FxTrace trace = {told, &d};
    d.step = (FxStep){.net = &run->net, .config = &run->config, .step = run->step, .loss_scale = fx_loss_scale_value(&run->loss_scale)};
    d.update.data = malloc(8 * largest_store(&run->net));
    if (!d.update.data)
        return fx_fail_memory(err, "update", 8 * largest_store(&run->net));
    d.images = fx_feed_train(&run->feed, &run->net, run->step);
    add_batch(&d);
    if (directory)
        write_step(&d);
    run->trace = &trace;
    if (!d.failed)
        fx_run_step(run);
    run->trace = NULL;
    if (!d.failed && directory)
        write_sites(&d);
    free(d.update.data);
    return d.failed ? -1 : 0;
}
