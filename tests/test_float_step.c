// Whole training steps of the recipe fp32 against the slow twin in float64, whose gradients are first checked against finite
// differences of its own loss.
#include "formats/bits_f32.h"
#include "formats/cpu.h"
#include "tests/net_fixture.h"
#include "tests/slow.h"
#include "tests/slow_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

static double unit_draw(uint64_t i) {
    return (double)(slow_mix(i) >> 12) * 0x1p-51 - 1;
}

static double largest(const double *x, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

// ---- the twin itself --------------------------------------------------------------------------------------------------

// Every gradient of a layer is the slope of the objective, as a central difference shows it.
static void expect_slopes(SlowNet *net, const double *images, const uint8_t *labels, int n) {
    const double h = 0x1p-19;
    for (int i = 0; i < net->layers; i++) {
        SlowNetLayer *l = &net->layer[i];
        double most = largest(l->dw, l->weights + l->biases);
        if (l->kind != SLOW_POOL && !(most > 0))
            fail_msg("%s: layer %d has no gradient", net->notation, i);
        for (size_t j = 0; j < l->weights + l->biases; j++) {
            double kept = l->w[j];
            l->w[j] = kept + h;
            slow_net_forward(net, images, labels, n);
            double up = slow_net_objective(net);
            l->w[j] = kept - h;
            slow_net_forward(net, images, labels, n);
            double slope = (up - slow_net_objective(net)) / (2 * h);
            l->w[j] = kept;
            if (!(fabs(slope - l->dw[j]) <= 1e-6 * most))
                fail_msg("%s, %s: layer %d: slope of weight %zu is %.12g, gradient %.12g", net->notation, net->softmax ? "softmax" : "sse",
                         i, j, slope, l->dw[j]);
        }
    }
}

static void gradients_of_the_twin_are_slopes_of_its_loss(void **state) {
    (void)state;
    static const char *const nets[] = {"10", "7FC-10", "3C3-10", "2C3p0s2-10", "3C5p1s2-4C3-10", "MP2-3C3-10", "3C3-MP3s2-6FC-10",
                                       "2C2p1-MP2p1-10", "2C4p2s3-MP2-5FC-6FC-10"};
    enum { IMAGES = 3, SIDE = 7, CHANNELS = 2 };
    static double images[IMAGES * SIDE * SIDE * CHANNELS];
    static const uint8_t labels[IMAGES] = {3, 0, 9};
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        images[i] = unit_draw(i);
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int how = 0; how < 4; how++) {
            SlowNet net = {.notation = nets[i], .h = SIDE, .w = SIDE, .c = CHANNELS, .batch = how / 2 ? 5 : IMAGES, .bias = how / 2, .softmax = how % 2,
                           .loss_scale = how == 3 ? 8 : 0, .seed = 5 + i};
            slow_net_init(&net);
            assert_int_equal(net.classes, 10);
            for (int l = 0; l < net.layers; l++)
                for (size_t j = 0; j < net.layer[l].biases; j++)
                    net.layer[l].w[net.layer[l].weights + j] = unit_draw(1000 + j) / 4;
            slow_net_forward(&net, images, labels, IMAGES);
            slow_net_backward(&net, labels, IMAGES);
            expect_slopes(&net, images, labels, IMAGES);
            slow_net_free(&net);
        }
}

// ---- the product against the twin -------------------------------------------------------------------------------------

typedef struct Place {
    const char *label;
    int step;
} Place;

static void near(Place place, int id, const char *what, size_t i, double got, double wanted, double most) {
    if (!(fabs(got - wanted) <= 1e-5 * most))
        fail_msg("%s, step %d: layer %d: %s[%zu] is %.9g, not %.9g (largest %.9g)", place.label, place.step, id, what, i, got, wanted, most);
}

static void expect_recorded(Place place, const Recording *r, int id, const char *what, const double *wanted, size_t n) {
    const Recorded *t = recording_find(r, id, what);
    if (!t || t->count != n)
        fail_msg("%s, step %d: layer %d: %zu numbers of %s, not %zu", place.label, place.step, id, t ? t->count : 0, what, n);
    double most = largest(wanted, n);
    for (size_t i = 0; i < n; i++)
        near(place, id, what, i, (double)fx_float_of((uint32_t)t->codes[i]), wanted[i], most);
}

static void expect_tensor(Place place, const FxTensor *t, int id, const char *what, const double *wanted, size_t n) {
    assert_true(t->type == FX_FLOAT32 && t->count == n);
    double most = largest(wanted, n);
    for (size_t i = 0; i < n; i++)
        near(place, id, what, i, (double)((const float *)t->data)[i], wanted[i], most);
}

static void expect_step(Place place, const NetFixture *f, const SlowNet *net, const Recording *r, int n, uint64_t done) {
    for (int i = 0, id = 0; i < net->layers; i++) {
        const SlowNetLayer *l = &net->layer[i];
        if (l->kind == SLOW_POOL)
            continue;
        const FxNode *node = fx_net_product(&f->net, id++);
        size_t in = (size_t)n * (size_t)(l->in_h * l->in_w * l->in_c), out = (size_t)n * (size_t)(l->out_h * l->out_w * l->out_c);
        size_t kept = l->weights + l->biases;
        expect_recorded(place, r, id, "sum.forward", l->y, out);
        expect_recorded(place, r, id, "error", l->e, out);
        expect_recorded(place, r, id, "sum.gradient", l->dw, kept);
        expect_recorded(place, r, id, "store.after", l->w, kept);
        if (id > 1) {
            expect_recorded(place, r, id, "activation", l->x, in);
            expect_recorded(place, r, id, "sum.error", l->dx, in);
        }
        if (node->momentum.data && (done || net->rule != SLOW_SGD || net->momentum > 0))
            expect_tensor(place, &node->momentum, id, "momentum", l->m, kept);
        if (net->rule == SLOW_ADAM)
            expect_tensor(place, &node->second, id, "second", l->v, kept);
    }
}

// (p / 255 - mean) / std of each channel, mean and std being those of the training images.
static double *normalised(const FxDataset *data, const uint8_t *bytes, size_t n) {
    size_t c = (size_t)data->channels, all = data->train.count * (size_t)data->height * (size_t)data->width * c;
    double *x = calloc(n, sizeof *x);
    if (!x)
        abort();
    for (size_t channel = 0; channel < c; channel++) {
        double mean = 0, square = 0, count = (double)(all / c);
        for (size_t i = channel; i < all; i += c)
            mean += data->train.pixels[i] / 255.0 / count;
        for (size_t i = channel; i < all; i += c)
            square += (data->train.pixels[i] / 255.0 - mean) * (data->train.pixels[i] / 255.0 - mean) / count;
        for (size_t i = channel; i < n; i += c)
            x[i] = (bytes[i] / 255.0 - mean) / sqrt(square);
    }
    return x;
}

enum { TEXT = 64 };

static void put(char texts[NET_OVERRIDES][TEXT], int *count, const char *format, ...) {
    va_list list;
    assert_true(*count < NET_OVERRIDES);
    va_start(list, format);
    vsnprintf(texts[(*count)++], TEXT, format, list);
    va_end(list);
}

// What the twin's settings are called in a recipe; then the twin gets the numbers that a recipe makes of them.
static void write_overrides(char texts[NET_OVERRIDES][TEXT], SlowNet *net, bool drop_last) {
    static const char *const rules[] = {"sgd", "sgd-inner", "adam"};
    double *scalars[] = {&net->rate, &net->momentum, &net->decay, &net->beta1, &net->beta2, &net->epsilon, &net->loss_scale};
    int n = 0;
    put(texts, &n, "run.loss=%s", net->softmax ? "softmax" : "sse");
    put(texts, &n, "run.bias=%s", net->bias ? "yes" : "no");
    put(texts, &n, "run.drop-last=%s", drop_last ? "yes" : "no");
    put(texts, &n, "update.rule=%s", rules[net->rule]);
    put(texts, &n, "update.nesterov=%s", net->nesterov ? "yes" : "no");
    put(texts, &n, "update.rate=%.15g", net->rate);
    put(texts, &n, "update.momentum=%.15g", net->momentum);
    put(texts, &n, "update.weight-decay=%.15g", net->decay);
    if (net->rule == SLOW_ADAM) {
        put(texts, &n, "update.beta1=%.15g", net->beta1);
        put(texts, &n, "update.beta2=%.15g", net->beta2);
        put(texts, &n, "update.epsilon=%.15g", net->epsilon);
    }
    if (net->loss_scale > 0) {
        put(texts, &n, "loss-scale.mode=constant");
        put(texts, &n, "loss-scale.value=%.15g", net->loss_scale);
    }
    while (n < NET_OVERRIDES)
        texts[n++][0] = 0;
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        *scalars[i] = slow_net_scalar(*scalars[i]);
}

static void train(NetFixture *f, SlowNet *net, const char *label, int steps) {
    for (int step = 0; step < steps; step++) {
        Place place = {label, step};
        Recording r = {0};
        FxTrace trace = recording_trace(&r);
        FxTotals before = f->totals;
        int n = fx_feed_train(&f->feed, &f->net, f->step);
        double *images = normalised(f->data, f->net.batch_pixels, (size_t)n * (size_t)(net->h * net->w * net->c));
        net_train_batch(f, n, &trace);
        slow_net_forward(net, images, f->net.batch_labels, n);
        slow_net_backward(net, f->net.batch_labels, n);
        slow_net_update(net, (uint64_t)step);
        expect_recorded(place, &r, 1, "input", images, (size_t)n * (size_t)(net->h * net->w * net->c));
        expect_step(place, f, net, &r, n, (uint64_t)step);
        near(place, 0, "loss", 0, fx_loss_total(&f->totals.loss) - fx_loss_total(&before.loss), net->loss, net->loss);
        recording_clear(&r);
        free(images);
    }
}

static void run(SlowNet net, const FxDataset *data, bool drop_last, int steps) {
    NetFixture f;
    char texts[NET_OVERRIDES][TEXT], label[256];
    net.h = data->height;
    net.w = data->width;
    net.c = data->channels;
    net.seed = 11;
    write_overrides(texts, &net, drop_last);
    NetSetup setup = {.recipe = "fp32", .net = net.notation, .data = data, .batch = net.batch, .seed = net.seed, .cpu = fx_cpu_detect()};
    for (int i = 0; i < NET_OVERRIDES && texts[i][0]; i++)
        setup.overrides[i] = texts[i];
    snprintf(label, sizeof label, "%s, %s%s, %s%s, loss scale %g", net.notation, texts[0], net.bias ? ", bias" : "", texts[3],
             net.nesterov ? ", nesterov" : "", net.loss_scale);
    net_open(&f, &setup);
    slow_net_init(&net);
    for (int i = 0, id = 0; i < net.layers; i++)
        if (net.layer[i].kind != SLOW_POOL) {
            const FxNode *node = fx_net_product(&f.net, id++);
            expect_tensor((Place){label, -1}, &node->store, id, "store", net.layer[i].w, net.layer[i].weights + net.layer[i].biases);
        }
    train(&f, &net, label, steps);
    slow_net_free(&net);
    net_close(&f);
}

// What a decay or a momentum changes is far above the tolerance.
static SlowNet sgd(const char *notation) {
    return (SlowNet){.notation = notation, .batch = 16, .softmax = true, .rate = 0.05, .momentum = 0.9, .decay = 0.02};
}

static void every_shape_of_net_trains_like_the_twin(void **state) {
    (void)state;
    static const char *const nets[] = {"4C3-MP2-8C3p1s2-16FC-10", "10", "20FC-10", "3C5p0-MP2-10", "MP2-4C3-10", "4C3s2-5C2p1-10", "6C3-MP3s2-12FC-9FC-10",
                                       "5C4p2s3-10", "17C1-3C3-MP2p1-10"};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (int how = 0; how < 4; how++) {
            SlowNet net = sgd(nets[i]);
            net.softmax = how % 2;
            net.bias = how / 2;
            net.rate = net.softmax ? 0.05 : 0.001;
            run(net, dataset_digits(), true, 3);
        }
}

static void every_optimiser_trains_like_the_twin(void **state) {
    (void)state;
    for (int how = 0; how < 16; how++) {
        SlowNet net = sgd("4C3-MP2-8C3p1s2-16FC-10");
        net.bias = how % 2;
        net.loss_scale = how / 2 % 2 ? 1000 : 0;
        switch (how / 4) {
        case 0: net.nesterov = true; break;
        case 1: net.momentum = 0; break;
        case 2: net.rule = SLOW_SGD_INNER; break;
        default:
            net.rule = SLOW_ADAM;
            net.rate = 0.002;
            net.momentum = 0;
            net.beta1 = 0.8;
            net.beta2 = 0.96;
            net.epsilon = 1e-3;
        }
        run(net, dataset_digits(), true, 5);
    }
}

// 40 images in batches of 16: the third and sixth batch have 8, and the loss is still divided by 16.
static void colours_and_short_batches_train_like_the_twin(void **state) {
    (void)state;
    FxDataset data = dataset_made(9, 7, 3, 40);
    for (int how = 0; how < 4; how++) {
        SlowNet net = sgd("4C3s2-MP2-9FC-10");
        net.softmax = how % 2;
        net.bias = how / 2;
        net.rate = net.softmax ? 0.05 : 0.0005;
        run(net, &data, false, 6);
    }
    fx_dataset_free(&data);
}

// ---- initial weights --------------------------------------------------------------------------------------------------

// A float64 below 1 in magnitude to fp16, nearest, ties to even: 11 bits from its leading one, at the least 2^-24.
static double to_fp16(double x) {
    int e;
    frexp(x, &e);
    int step = e - 11 < -24 ? -24 : e - 11;
    return ldexp(rint(ldexp(x, -step)), step);
}

// Little-endian numbers, each layer's followed by its exponent 0: specs/run.md 6.
static uint32_t crc_of(const float *x, size_t n, uint32_t crc) {
    for (size_t i = 0; i <= n; i++) {
        uint32_t bits = i < n ? fx_float_bits(x[i]) : 0;
        unsigned char bytes[] = {(unsigned char)bits, (unsigned char)(bits >> 8), (unsigned char)(bits >> 16), (unsigned char)(bits >> 24)};
        crc = (uint32_t)crc32(crc, bytes, sizeof bytes);
    }
    return crc;
}

// specs/run.md 2: x = (2 * word + 1 - 2^32) * 2^-32 * sqrt(C / n) in float64, then one rounding. Through float32 some differ.
static void initial_weights_of_floats_are_rounded_once(void **state) {
    (void)state;
    static const struct {
        size_t n, count;
        double C;
    } layers[] = {{64, 64 * 512, 6}, {512, 512 * 10, 3}};
    for (int half = 0; half < 2; half++) {
        NetFixture f;
        NetSetup setup = {.recipe = "fp32", .net = "512FC-10", .data = dataset_digits(), .batch = 16, .seed = 1,
                          .overrides = {half ? "store.q=fp16" : "store.q=none"}};
        int twice = 0;
        uint32_t crc = 0;
        net_open(&f, &setup);
        for (uint32_t p = 0; p < 2; p++) {
            const FxTensor *store = &fx_net_product(&f.net, (int)p)->store;
            const float *got = store->data;
            assert_true(store->type == FX_FLOAT32 && store->count == layers[p].count);
            for (size_t i = 0; i < store->count; i++) {
                double word = fx_rng_word((FxRng){1, (p + 1) * 256 + 128, 0}, i);
                double x = (2 * word + 1 - 0x1p32) * 0x1p-32 * sqrt(layers[p].C / (double)layers[p].n), want = half ? to_fp16(x) : (double)(float)x;
                if ((double)got[i] != want)
                    fail_msg("%s: layer %u, weight %zu: %a is %a, not %a", setup.overrides[0], p + 1, i, x, (double)got[i], want);
                twice += to_fp16((double)(float)x) != to_fp16(x);
            }
            crc = crc_of(got, store->count, crc);
        }
        assert_true(twice > 0);
        if (half)
            assert_int_equal(crc, 0xeec8de9e); // of an independent program
        net_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_the_twin_are_slopes_of_its_loss),
        cmocka_unit_test(every_shape_of_net_trains_like_the_twin),
        cmocka_unit_test(every_optimiser_trains_like_the_twin),
        cmocka_unit_test(colours_and_short_batches_train_like_the_twin),
        cmocka_unit_test(initial_weights_of_floats_are_rounded_once),
    };
    return cmocka_run_group_tests_name("float_step", tests, NULL, NULL);
}
