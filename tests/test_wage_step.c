// One training step, tensor by tensor, against tests/golden/wage_step, which an implementation of
// its own made.
#include "tests/net_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 8, STEP = 3, LAYERS = 3, FILES = 43 };

// A file: "# shape a x b x c, exponent e", then numbers separated by commas and line ends.
typedef struct Table {
    char name[64];
    size_t shape[4];
    int dimensions;
    bool has_exponent;
    int exponent;
    size_t count;
    int64_t *codes;
} Table;

static void read_table(Table *t, const char *name) {
    char path[1024], line[256];
    size_t expected = 1;
    *t = (Table){.count = 0};
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(path, sizeof path, "%s/wage_step/%s", FX_GOLDEN, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file) || strncmp(line, "# shape ", 8)) {
        fail_msg("%s: no file with a shape", path);
        return;
    }
    char *p = line + 8;
    for (; t->dimensions < 4; t->dimensions++) {
        t->shape[t->dimensions] = strtoul(p, &p, 10);
        expected *= t->shape[t->dimensions];
        if (strncmp(p, " x ", 3)) {
            t->dimensions++;
            break;
        }
        p += 3;
    }
    if (strncmp(p, ", exponent ", 11))
        fail_msg("%s: \"%s\" gives no exponent", path, line);
    t->has_exponent = strncmp(p + 11, "none", 4) != 0;
    t->exponent = t->has_exponent ? (int)strtol(p + 11, &p, 10) : 0;
    t->codes = calloc(expected + 1, sizeof *t->codes);
    if (!t->codes)
        abort();
    long long x;
    while (t->count <= expected && fscanf(file, "%lld", &x) == 1) {
        t->codes[t->count++] = x;
        int c = fgetc(file);
        if (c != ',' && c != '\n')
            fail_msg("%s: number %zu is followed by character %d", path, t->count, c);
    }
    if (t->count != expected || !feof(file))
        fail_msg("%s: %zu numbers, the shape has %zu", path, t->count, expected);
    fclose(file);
}

// The net after three steps, then the recorded fourth.
typedef struct Run {
    NetFixture f;
    Recording recording;
    uint32_t crc_before, crc_after;
    int64_t images[BATCH], labels[BATCH], bytes[BATCH * 64];
} Run;

static int set_up(void **state) {
    static Run run;
    NetSetup setup = {.recipe = "wage",
                      .net = "4C3-MP2-16FC-10SSE",
                      .data = dataset_digits(),
                      .batch = BATCH,
                      .seed = 5,
                      .overrides = {"update.rate=8"}};
    memset(&run, 0, sizeof run);
    net_open(&run.f, &setup);
    for (int i = 0; i < STEP; i++)
        net_train(&run.f, NULL);
    net_clear_stats(&run.f);
    run.f.totals = (FxTotals){0};
    run.crc_before = net_crc(&run.f);
    FxTrace trace = recording_trace(&run.recording);
    int images = fx_feed_train(&run.f.feed, &run.f.net, STEP);
    for (int i = 0; i < images; i++) {
        run.images[i] = run.f.feed.order[STEP * BATCH + i];
        run.labels[i] = run.f.net.batch_labels[i];
    }
    for (int i = 0; i < BATCH * 64; i++)
        run.bytes[i] = run.f.net.batch_pixels[i];
    net_train_batch(&run.f, images, &trace);
    run.crc_after = net_crc(&run.f);
    *state = &run;
    return 0;
}

static int tear_down(void **state) {
    Run *run = *state;
    recording_clear(&run->recording);
    net_close(&run->f);
    return 0;
}

// Where a file's tensor is found: what the trace calls it, whose it is, and which shape it has.
typedef enum Shape { IN, OUT, WEIGHTS, POOLED, OUTPUTS } Shape;

static const struct {
    const char *file, *what; // file behind "layerN."
    int id;                  // counted from N
    Shape shape;
} tensors[] = {
    {"input", "input", 0, IN},
    {"store.before", "store.before", 0, WEIGHTS},
    {"weight", "weight", 0, WEIGHTS},
    {"sum.forward", "sum.forward", 0, OUT},
    {"pool1", "max-pool", 0, POOLED},
    {"pool1.argmax", "pool.argmax", 0, POOLED},
    {"activation", "activation", 0, IN},
    {"activation.relu", "relu.mask", -1, IN},
    {"activation.clip", "activation.clip", 0, IN},
    {"error.quantised", "error.quantised", 0, POOLED},
    {"error", "error", 0, OUT},
    {"sum.error", "sum.error", 0, IN},
    {"sum.gradient", "sum.gradient", 0, WEIGHTS},
    {"update", "update", 0, WEIGHTS},
    {"store.after", "store.after", 0, WEIGHTS},
};

// The shape of a tensor of node i's layer, as the file should say it; returns the dimensions.
static int shape_of(size_t shape[4], const FxNet *net, int layer, Shape which, const Table *t) {
    const FxNode *node = fx_net_product(net, layer);
    const FxLayer *l = &node->layer, *next = &net->nodes[net->products[layer] + 1].layer;
    bool conv = l->ops == &fx_conv_ops;
    FxShape s = which == IN                                        ? l->in
                : which == POOLED && next->ops == &fx_max_pool_ops ? next->out
                                                                   : l->out;
    if (which == WEIGHTS && conv) {
        const size_t k = (size_t)l->kernel;
        memcpy(shape, (size_t[4]){k, k, (size_t)l->image.c, (size_t)l->out.c}, 4 * sizeof *shape);
        return 4;
    }
    if (which == WEIGHTS) {
        shape[0] = l->fan_in;
        shape[1] = (size_t)l->out.c;
        return 2;
    }
    // outputs of the net may be written without their h = w = 1
    if (t->dimensions == 2 && s.h == 1 && s.w == 1) {
        shape[0] = BATCH;
        shape[1] = (size_t)s.c;
        return 2;
    }
    memcpy(shape, (size_t[4]){BATCH, (size_t)s.h, (size_t)s.w, (size_t)s.c}, 4 * sizeof *shape);
    return 4;
}

static void must_have_shape(const Table *t, const size_t *shape, int dimensions) {
    bool same = t->dimensions == dimensions;
    for (int i = 0; same && i < dimensions; i++)
        same = t->shape[i] == shape[i];
    if (!same)
        fail_msg("%s: its shape is not that of the net", t->name);
}

static void must_equal(const Table *t, const int64_t *codes, size_t count) {
    if (count != t->count)
        fail_msg("%s: %zu numbers, not %zu", t->name, count, t->count);
    for (size_t i = 0; i < count; i++)
        if (codes[i] != t->codes[i])
            fail_msg("%s[%zu] = %lld, not %lld", t->name, i, (long long)codes[i],
                     (long long)t->codes[i]);
}

static void check_traced(const Run *run, const Table *t, int id, const char *what) {
    const Recorded *r = recording_find(&run->recording, id, what);
    if (!r)
        fail_msg("%s: the trace has no %s of layer %d", t->name, what, id);
    must_equal(t, r->codes, r->count);
    if (t->has_exponent && r->exponent != t->exponent)
        fail_msg("%s: exponent %d, not %d", t->name, r->exponent, t->exponent);
}

// Random words: those of the stream that the definition gives to the gradient of layer id.
static void check_random(const Table *t, int id) {
    uint32_t *R = calloc(t->count, sizeof *R);
    int64_t *codes = calloc(t->count, sizeof *codes);
    FxRandom random = {fx_random_source(0), 32, {5, (uint32_t)id * 256 + 4, STEP}};
    if (!R || !codes)
        abort();
    fx_random_bits(R, &random, 0, t->count, 32, FX_CPU_SCALAR);
    for (size_t i = 0; i < t->count; i++)
        codes[i] = R[i];
    must_equal(t, codes, t->count);
    free(R);
    free(codes);
}

static bool check_of_layer(const Run *run, const Table *t) {
    int layer, used = 0;
    size_t shape[4];
    if (sscanf(t->name, "layer%d.%n", &layer, &used) != 1 || !used || layer < 1 || layer > LAYERS)
        return false;
    char rest[64];
    snprintf(rest, sizeof rest, "%s", t->name + used);
    *strstr(rest, ".csv") = 0;
    if (!strcmp(rest, "gradient.random")) {
        must_have_shape(t, shape, shape_of(shape, &run->f.net, layer - 1, WEIGHTS, t));
        check_random(t, layer);
        return true;
    }
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        if (!strcmp(tensors[i].file, rest)) {
            must_have_shape(t, shape, shape_of(shape, &run->f.net, layer - 1, tensors[i].shape, t));
            check_traced(run, t, layer + tensors[i].id, tensors[i].what);
            return true;
        }
    return false;
}

static bool check_file(const Run *run, const Table *t) {
    size_t shape[4];
    if (!strcmp(t->name, "images.csv"))
        must_equal(t, run->images, BATCH);
    else if (!strcmp(t->name, "labels.csv"))
        must_equal(t, run->labels, BATCH);
    else if (!strcmp(t->name, "bytes.csv")) {
        must_have_shape(t, shape, shape_of(shape, &run->f.net, 0, IN, t));
        must_equal(t, run->bytes, BATCH * 64);
    } else if (!strcmp(t->name, "logits.csv") || !strcmp(t->name, "logits.error.csv")) {
        must_have_shape(t, shape, shape_of(shape, &run->f.net, LAYERS - 1, OUTPUTS, t));
        check_traced(run, t, LAYERS, strstr(t->name, ".error") ? "logits.error" : "logits");
    } else
        return check_of_layer(run, t);
    return true;
}

static void every_tensor_of_the_step_is_the_known_one(void **state) {
    const Run *run = *state;
    char path[1024];
    int files = 0;
    snprintf(path, sizeof path, "%s/wage_step", FX_GOLDEN);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        Table t;
        size_t length = strlen(entry->d_name);
        if (length < 4 || length >= sizeof t.name || strcmp(entry->d_name + length - 4, ".csv"))
            continue;
        read_table(&t, entry->d_name);
        if (!check_file(run, &t))
            fail_msg("%s: no tensor of this name is known", t.name);
        free(t.codes);
        files++;
    }
    closedir(directory);
    assert_int_equal(files, FILES);
}

static void the_weights_before_and_after_have_the_known_crc(void **state) {
    const Run *run = *state;
    assert_int_equal(run->crc_before, 0x84a59416);
    assert_int_equal(run->crc_after, 0x7b71fd5e);
}

static void the_loss_is_the_known_sum_of_squares(void **state) {
    const Run *run = *state;
    assert_true(run->f.totals.answers.loss == 6411295);
    assert_int_equal(run->f.totals.images, BATCH);
}

static void the_layer_constants_are_the_known_ones(void **state) {
    const Run *run = *state;
    static const int alpha[LAYERS] = {0, 2, 1};
    for (int i = 0; i < LAYERS; i++)
        assert_int_equal(fx_net_product(&run->f.net, i)->alpha, alpha[i]);
}

// The README's table: largest magnitude m, n' = round(log2 m), and the shift to the right.
static void the_scales_chosen_are_the_known_ones(void **state) {
    const Run *run = *state;
    static const struct {
        int layer;
        FxSite site;
        uint64_t m;
        int n, shift;
    } scales[] = {
        {3, FX_SITE_ERROR, 796, 10, 3},       {2, FX_SITE_ERROR, 306, 8, 1},
        {1, FX_SITE_ERROR, 368, 9, 2},        {1, FX_SITE_GRADIENT, 61683, 16, 13},
        {2, FX_SITE_GRADIENT, 88646, 16, 13}, {3, FX_SITE_GRADIENT, 48514, 16, 13},
    };
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        const FxSiteState *site =
            &fx_net_product(&run->f.net, scales[i].layer - 1)->site[scales[i].site];
        // the site keeps the shift that scales to +-1, the gradient's without its rate of 2^3
        int n = (int)site->exponent + 7, shift = scales[i].site == FX_SITE_ERROR ? n - 7 : n - 3;
        if (site->stats.max_abs != scales[i].m || n != scales[i].n || shift != scales[i].shift)
            fail_msg("layer %d, %s: m = %llu, n' = %d, shift %d, not %llu, %d, %d", scales[i].layer,
                     fx_site(scales[i].site)->name, (unsigned long long)site->stats.max_abs, n,
                     shift, (unsigned long long)scales[i].m, scales[i].n, scales[i].shift);
    }
}

static uint64_t zeros(const Run *run, const char *what) {
    uint64_t n = 0;
    for (size_t i = 0; i < run->recording.count; i++)
        for (size_t j = 0;
             !strcmp(run->recording.tensors[i].what, what) && j < run->recording.tensors[i].count;
             j++)
            n += run->recording.tensors[i].codes[j] == 0;
    return n;
}

static void the_counts_of_the_step_are_the_known_ones(void **state) {
    const Run *run = *state;
    uint64_t masked = 0, errors = 0, clamped = 0, gradients = 0, activations = 0, changed = 0,
             all = 0;
    for (int i = 0; i < LAYERS; i++) {
        const FxSiteState *site = fx_net_product(&run->f.net, i)->site;
        masked += site[FX_SITE_ACTIVATION].stats.masked;
        errors += site[FX_SITE_ERROR].stats.saturated;
        clamped += site[FX_SITE_STORE].stats.saturated;
        gradients += site[FX_SITE_GRADIENT].stats.saturated;
        activations += site[FX_SITE_ACTIVATION].stats.saturated;
        changed += site[FX_SITE_STORE].changed;
        for (int s = 0; s < FX_SITE_NUMBERS; s++)
            all += site[s].stats.saturated;
    }
    assert_int_equal(masked, 223);
    assert_int_equal(zeros(run, "activation.clip"), 223);
    assert_int_equal(zeros(run, "relu.mask"), 159);
    assert_int_equal(errors, 3);
    assert_int_equal(clamped, 125);
    assert_int_equal(gradients, 0);
    assert_true(activations > 0 &&
                activations <= 223); // what is masked may yet round into the grid
    assert_int_equal(changed, 299);
    assert_int_equal(run->f.totals.store_changed, 299);
    assert_int_equal(run->f.totals.saturated, all);
    assert_int_equal(run->f.totals.zero_tensors, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_of_the_step_is_the_known_one),
        cmocka_unit_test(the_weights_before_and_after_have_the_known_crc),
        cmocka_unit_test(the_loss_is_the_known_sum_of_squares),
        cmocka_unit_test(the_layer_constants_are_the_known_ones),
        cmocka_unit_test(the_scales_chosen_are_the_known_ones),
        cmocka_unit_test(the_counts_of_the_step_are_the_known_ones),
    };
    return cmocka_run_group_tests_name("wage_step", tests, set_up, tear_down);
}
