#include "tests/trial.h"

#include "tests/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *directory;

static void remove_directory(void) {
    temp_remove(directory);
    free(directory);
}

const char *trial_directory(void) {
    if (!directory) {
        directory = temp_make();
        atexit(remove_directory);
    }
    return directory;
}

void trial_write(const char *name, const char *text) {
    write_file(trial_directory(), name, text, strlen(text));
}

FxDataset dataset_of(int h, int w, int c, int classes, size_t train) {
    return (FxDataset){.height = h, .width = w, .channels = c, .classes = classes, .train = {.count = train}};
}

static int open_trial(Trial *t, const char *recipe, const char *notation, const char *stretch, const char *const overrides[],
                      const FxDataset *data) {
    FxDecimal factor;
    char path[512];
    if (strchr(recipe, '\n')) {
        trial_write("my.ini", recipe);
        snprintf(path, sizeof path, "%s/my.ini", trial_directory());
        recipe = path;
    }
    if (fx_recipe_load(&t->recipe, recipe, &t->err))
        return -1;
    for (int i = 0; overrides && overrides[i]; i++)
        if (fx_recipe_override(&t->recipe, overrides[i], "-s", &t->err))
            return -1;
    if (stretch) {
        assert_int_equal(fx_decimal_parse(&factor, stretch), 0);
        if (fx_recipe_stretch(&t->recipe, &factor, &t->err))
            return -1;
    }
    if (fx_net_build(&t->net, notation, data, (int)fx_recipe_number(&t->recipe, "run.batch"), "sse", &t->err))
        return -1;
    t->layers = t->net.product_count;
    assert_true(t->layers <= TRIAL_LAYERS);
    fx_net_names(&t->net, t->names);
    return fx_config_resolve(&t->config, &t->recipe, t->names, t->layers, data->train.count, &t->warnings, &t->err);
}

Trial trial_of(const char *recipe, const char *net, const char *stretch, const char *const overrides[], const FxDataset *data) {
    const FxDataset digits = dataset_of(8, 8, 1, 10, 1437);
    Trial t = {0};
    t.failed = open_trial(&t, recipe, net, stretch, overrides, data ? data : &digits);
    return t;
}

Trial trial_good(const char *recipe, const char *const overrides[]) {
    Trial t = trial_of(recipe, "4C3-4C3-8FC-10", NULL, overrides, NULL);
    if (t.failed)
        fail_msg("%s%s%s: %s", recipe, overrides ? ", " : "", overrides ? overrides[0] : "", t.err.text);
    return t;
}

void trial_free(Trial *t) {
    fx_config_free(&t->config);
    fx_net_free(&t->net);
    fx_recipe_free(&t->recipe);
    memset(t, 0, sizeof *t);
}

const char *trial_site(const Trial *t, int layer, FxSite site, uint64_t step) {
    static char text[FX_QUANTISER_TEXT];
    const FxSiteConfig *s = &fx_config_phase(&t->config, step)->layers[layer].site[site];
    strcpy(text, "none");
    if (s->on)
        fx_quantiser_print(text, &s->q);
    return text;
}

typedef struct Text {
    char *text;
    size_t used;
} Text;

static void put(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(Text *t, const char *format, ...) {
    va_list list;
    va_start(list, format);
    t->used += (size_t)vsnprintf(t->text + t->used, TRIAL_TEXT - t->used, format, list);
    va_end(list);
    assert_true(t->used < TRIAL_TEXT);
}

static void put_layer(Text *out, const Trial *t, const FxPhase *phase, int layer) {
    const FxLayerConfig *c = &phase->layers[layer];
    char text[FX_POLICY_TEXT], outer[FX_POLICY_TEXT];
    put(out, "step %llu, %s:\n", (unsigned long long)phase->start, t->names[layer].name);
    for (int i = 0; fx_site_info(i); i++) {
        FxSite site = fx_site_info(i)->site;
        put(out, "  %s = %s%s\n", fx_site_info(i)->name, trial_site(t, layer, site, phase->start), c->site[site].clip ? ", clip" : "");
    }
    for (int i = 0; i < FX_PRODUCTS; i++) {
        const FxAccumulator *acc = &c->accumulator[i];
        fx_policy_print(text, sizeof text, &acc->inner);
        fx_policy_print(outer, sizeof outer, &acc->outer);
        put(out, "  product %d: %s, outer %s, group %d, chunk %d, shift %d, order %d\n", i, text, outer, acc->group, acc->chunk,
            acc->shift, (int)acc->order);
    }
    put(out, "  init %d, gamma 2^%d, before masks %d, limit %lld\n", c->init_c, c->error_lower, c->error_before_masks, (long long)c->store_limit);
}

char *trial_describe(const Trial *t) {
    Text out = {calloc(TRIAL_TEXT, 1), 0};
    const FxConfig *c = &t->config;
    assert_non_null(out.text);
    put(&out, "batch %d, drop-last %d, epochs %llu, max-steps %llu, %llu steps an epoch, %llu in all, %zu images\n", c->batch, c->drop_last,
        (unsigned long long)c->epochs, (unsigned long long)c->max_steps, (unsigned long long)c->steps_per_epoch,
        (unsigned long long)c->total_steps, c->train_images);
    put(&out, "seeds %llu %llu %llu %llu %llu, source %s, lane %d\n", (unsigned long long)c->seed, (unsigned long long)c->seed_init,
        (unsigned long long)c->seed_order, (unsigned long long)c->seed_augment, (unsigned long long)c->seed_round, c->source->name,
        c->lane_bits);
    put(&out, "map %d, mean %s, std %s, bias %d, floor %llu/10^%d, stats %d: %llu of %d\n", (int)c->map, c->mean, c->std, c->bias,
        (unsigned long long)c->init_floor.digits, c->init_floor.places, c->stats_on, (unsigned long long)c->stats_every.count,
        (int)c->stats_every.unit);
    for (int p = 0; p < c->phase_count; p++) {
        const FxPhase *phase = &c->phases[p];
        put(&out, "step %llu: rate %d * 2^%d, cosine %d to %d * 2^%d, warm-up %llu, momentum %d * 2^%d, decay %d * 2^%d, pad %d, flip %d\n",
            (unsigned long long)phase->start, (int)phase->rate.from.mantissa, (int)phase->rate.from.exponent, phase->rate.cosine,
            (int)phase->rate.end.mantissa, (int)phase->rate.end.exponent, (unsigned long long)phase->rate.warmup, (int)phase->momentum.mantissa,
            (int)phase->momentum.exponent, (int)phase->decay.mantissa, (int)phase->decay.exponent, phase->augment.pad, phase->augment.flip);
        for (int l = 0; l < c->layer_count; l++)
            put_layer(&out, t, phase, l);
    }
    put(&out, "checkpoint every %llu of %d\n", (unsigned long long)c->checkpoint_every.count, (int)c->checkpoint_every.unit);
    return out.text;
}

void trial_refused(const Trial *t, const char *what, const char *read, const char *right) {
    if (!t->failed)
        fail_msg("%s: was accepted", what);
    if (t->err.exit_code != FX_EXIT_USAGE || strchr(t->err.text, '\n') || (read && !strstr(t->err.text, read)) ||
        (right && !strstr(t->err.text, right)))
        fail_msg("%s: exit code %d, \"%s\"; it should name \"%s\" and \"%s\"", what, (int)t->err.exit_code, t->err.text,
                 read ? read : "", right ? right : "");
}
