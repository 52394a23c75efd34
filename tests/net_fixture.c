#include "tests/net_fixture.h"

#include "sim/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum { LAYERS = 32 };

static void *allocate(size_t bytes) {
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p) // also stops the analysers, which do not know that fail_msg does not return
        abort();
    return p;
}

static int override(FxRecipe *recipe, FxError *err, const char *format, unsigned long long value) {
    char text[64];
    snprintf(text, sizeof text, format, value);
    return fx_recipe_override(recipe, text, "test", err);
}

int net_try(NetFixture *f, const NetSetup *setup, FxError *err) {
    FxLayerName names[LAYERS];
    FxWarnings warnings = {{0}};
    memset(f, 0, sizeof *f);
    f->data = setup->data;
    if (fx_recipe_load(&f->recipe, setup->recipe, err))
        return -1;
    if (override(&f->recipe, err, "run.batch=%llu", (unsigned long long)setup->batch) ||
        override(&f->recipe, err, "run.seed=%llu", setup->seed))
        goto failed;
    for (int i = 0; i < NET_OVERRIDES && setup->overrides[i]; i++)
        if (fx_recipe_override(&f->recipe, setup->overrides[i], "test", err))
            goto failed;
    if (fx_net_build(&f->net, setup->net, f->data, setup->batch, fx_recipe_text(&f->recipe, "run.loss"), err))
        goto failed;
    assert_true(f->net.product_count <= LAYERS);
    fx_net_names(&f->net, names);
    if (fx_config_resolve(&f->config, &f->recipe, names, f->net.product_count, f->data->train.count,
                          &warnings, err))
        goto failed;
    f->config.carries_floats = setup->floats;
    if (fx_net_plan(&f->net, &f->config, setup->threads ? setup->threads : 1, setup->cpu, err) ||
        fx_feed_init(&f->feed, f->data, &f->config, err))
        goto failed;
    if ((f->net.input_values.data &&
         fx_input_values_f32(&f->net.input_values, f->config.map, f->config.mean, f->config.std, f->data, err)) ||
        fx_net_init(&f->net, &f->config, err))
        goto failed;
    return 0;
failed:
    net_close(f);
    return -1;
}

void net_open(NetFixture *f, const NetSetup *setup) {
    FxError err = {0};
    if (net_try(f, setup, &err))
        fail_msg("recipe %s, net %s: %s", setup->recipe, setup->net, err.text);
}

void net_close(NetFixture *f) {
    fx_feed_free(&f->feed);
    fx_config_free(&f->config);
    fx_net_free(&f->net);
    fx_recipe_free(&f->recipe);
    memset(f, 0, sizeof *f);
}

void net_train_batch(NetFixture *f, int images, const FxTrace *trace) {
    FxLossScale scale = fx_loss_scale_start(&f->config.loss_scaling);
    FxStep step = {.net = &f->net,
                   .config = &f->config,
                   .step = f->step,
                   .images = images,
                   .totals = &f->totals,
                   .loss_scale = fx_loss_scale_value(&scale),
                   .trace = trace};
    fx_step_train(&step);
    f->step++;
}

void net_train(NetFixture *f, const FxTrace *trace) {
    if (f->step % f->config.steps_per_epoch == 0)
        f->totals = (FxTotals){0};
    net_train_batch(f, fx_feed_train(&f->feed, &f->net, f->step), trace);
}

FxTotals net_evaluate(NetFixture *f) {
    FxTotals totals = {0};
    const FxImages *images = &f->data->test;
    for (size_t i = 0; i < images->count; i += (size_t)f->config.batch) {
        size_t n = images->count - i < (size_t)f->config.batch ? images->count - i
                                                               : (size_t)f->config.batch;
        FxStep step = {.net = &f->net,
                       .config = &f->config,
                       .step = f->step,
                       .images = (int)n,
                       .evaluation = true,
                       .first_image = i,
                       .totals = &totals};
        fx_feed_images(&f->net, images, i, (int)n);
        fx_step_evaluate(&step);
    }
    return totals;
}

void net_clear_stats(NetFixture *f) {
    for (int p = 0; p < f->net.product_count; p++)
        for (int site = 0; site < FX_SITE_NUMBERS; site++) {
            FxSiteState *state = &fx_net_product(&f->net, p)->site[site];
            state->stats = (FxStats){0};
            state->changed = 0;
        }
}

static uint32_t crc_word(uint32_t crc, int64_t word) {
    uint32_t u = (uint32_t)word;
    unsigned char bytes[4] = {(unsigned char)u, (unsigned char)(u >> 8), (unsigned char)(u >> 16),
                              (unsigned char)(u >> 24)};
    return (uint32_t)crc32(crc, bytes, 4);
}

uint32_t net_crc(const NetFixture *f) {
    uint32_t crc = 0;
    for (int p = 0; p < f->net.product_count; p++) {
        const FxTensor *store = &fx_net_product(&f->net, p)->store;
        for (size_t i = 0; i < store->count; i++)
            crc = crc_word(crc, (int64_t)fx_tensor_bits(store, i));
        crc = crc_word(crc, store->exponent);
    }
    return crc;
}

FxLayerConfig *net_layer_config(const NetFixture *f, int layer) {
    return &fx_config_phase(&f->config, f->step)->layers[layer];
}

static FxImages images_made(size_t n, size_t size, size_t width, unsigned turn) {
    FxImages images = {n, allocate(n * size), allocate(n)};
    for (size_t i = 0; i < n; i++) {
        unsigned label = (unsigned)(i * 7 + turn) % 10;
        images.labels[i] = (uint8_t)label;
        for (size_t p = 0; p < size; p++) {
            // stripes whose slope tells the class, and something that does not
            size_t stripe = (p % width * (label + 1) + p / width * (10 - label)) * 9,
                   other = (i * i + 3 * p * p + turn) % 97;
            images.pixels[i * size + p] =
                (uint8_t)((stripe % 256 < 128 ? 20 : 200) + (int)(other % 50));
        }
    }
    return images;
}

FxDataset dataset_made(int h, int w, int c, size_t n) {
    FxDataset data = {.name = "made", .height = h, .width = w, .channels = c, .classes = 10};
    size_t row = (size_t)w * (size_t)c, size = row * (size_t)h;
    data.train = images_made(n, size, row, 0);
    data.test = images_made(n / 4, size, row, 5);
    return data;
}

const FxDataset *dataset_digits(void) {
    static FxDataset digits;
    FxError err = {0};
    if (!digits.train.count && fx_dataset_load(&digits, "digits", &err))
        fail_msg("digits: %s", err.text);
    return &digits;
}

void recording_add(Recording *r, int id, const char *what, const int64_t *codes, size_t count,
                   int exponent) {
    Recorded *t = r->count ? &r->tensors[r->count - 1] : NULL;
    if (!t || t->id != id || strcmp(t->what, what)) {
        r->tensors = realloc(r->tensors, (r->count + 1) * sizeof *r->tensors);
        if (!r->tensors)
            abort();
        t = &r->tensors[r->count++];
        *t = (Recorded){.id = id, .exponent = exponent};
        snprintf(t->what, sizeof t->what, "%s", what);
    }
    t->codes = realloc(t->codes, (t->count + count + 1) * sizeof *t->codes);
    if (!t->codes)
        abort();
    memcpy(t->codes + t->count, codes, count * sizeof *codes);
    t->count += count;
}

static void record(void *user, const FxNode *node, const char *what, const FxTensor *tensor) {
    int64_t *codes = allocate(tensor->count * sizeof *codes);
    for (size_t i = 0; i < tensor->count; i++)
        codes[i] = (int64_t)fx_tensor_bits(tensor, i);
    recording_add(user, node->id, what, codes, tensor->count, tensor->exponent);
    free(codes);
}

FxTrace recording_trace(Recording *r) {
    return (FxTrace){record, r};
}

const Recorded *recording_find(const Recording *r, int id, const char *what) {
    for (size_t i = 0; i < r->count; i++)
        if (r->tensors[i].id == id && !strcmp(r->tensors[i].what, what))
            return &r->tensors[i];
    return NULL;
}

void recording_clear(Recording *r) {
    for (size_t i = 0; i < r->count; i++)
        free(r->tensors[i].codes);
    free(r->tensors);
    *r = (Recording){0};
}

static void must_hold(const Recording *got, const Recorded *wanted, const char *label) {
    const Recorded *t = recording_find(got, wanted->id, wanted->what);
    if (!t)
        fail_msg("%s: layer %d: no %s", label, wanted->id, wanted->what);
    if (t->count != wanted->count || t->exponent != wanted->exponent)
        fail_msg("%s: layer %d: %s: %zu codes of exponent %d, not %zu of %d", label, wanted->id,
                 wanted->what, t->count, t->exponent, wanted->count, wanted->exponent);
    for (size_t i = 0; i < wanted->count; i++)
        if (t->codes[i] != wanted->codes[i])
            fail_msg("%s: layer %d: %s[%zu] = %lld, not %lld", label, wanted->id, wanted->what, i,
                     (long long)t->codes[i], (long long)wanted->codes[i]);
}

void recordings_must_agree(const Recording *got, const Recording *wanted, const char *label) {
    for (size_t i = 0; i < wanted->count; i++)
        must_hold(got, &wanted->tensors[i], label);
    for (size_t i = 0; i < got->count; i++)
        if (!recording_find(wanted, got->tensors[i].id, got->tensors[i].what))
            fail_msg("%s: layer %d: %s was not expected", label, got->tensors[i].id,
                     got->tensors[i].what);
}
