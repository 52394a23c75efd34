// Ten training steps give the same weights for any number of threads and on every CPU path. The
// CRCs stand here as known answers, so that compilers and levels of optimisation are compared too.
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 10, BATCH = 8 };

typedef struct Case {
    const char *name, *recipe, *net;
    bool colour; // 32x32x3, else 28x28x1
    const char *overrides[4];
    uint32_t crc;
} Case;

#define SMALL_VGG "2x(16C3)-MP2-2x(32C3)-MP2-64FC-10"
#define SMALL_LENET "6C5p0-MP2-8C5p0-MP2-20FC-10"

static const Case nets[] = {
    {"lenet", "wage-mnist", "lenet", false, {NULL}, 0xe2a3b303},
    {"small vgg", "wage", SMALL_VGG, true, {NULL}, 0x646bd6f9},
};

// Every kind of random word, and what else could depend on an order.
static const Case modes[] = {
    {"gradient stochastic:8:c, lane 8", "wage", SMALL_LENET, false,
     {"gradient.rounding=stochastic:8:c", "random.lane=8"}, 0x2a04e9da},
    {"gradient stochastic, lane 16", "wage", SMALL_LENET, false,
     {"gradient.rounding=stochastic", "random.lane=16"}, 0x841d6504},
    {"activation stochastic", "wage", SMALL_LENET, false,
     {"activation.rounding=stochastic:16:a"}, 0x75ad333b},
    {"error stochastic", "wage", SMALL_LENET, false,
     {"error.rounding=stochastic:12:b"}, 0x4887617e},
    {"weight stochastic", "wage", SMALL_LENET, false,
     {"weight.rounding=stochastic:32"}, 0xacadd063},
    {"logits stochastic", "wage-mnist", SMALL_LENET, false, {"logits.rounding=equal"}, 0x655fce41},
    {"lfsr:16", "wage", SMALL_LENET, false,
     {"random.source=lfsr:16", "gradient.rounding=stochastic:16:below"}, 0xcf0b87fb},
    {"lfsr:32", "wage", SMALL_LENET, false,
     {"random.source=lfsr:32", "activation.rounding=sr-eps:0.25"}, 0xcd3d7ad9},
    {"augmentation", "wage", "4C3-MP2-20FC-10", true, {"run.augment=pad:4 crop flip"}, 0x860739b2},
    {"rate 3/4", "wage", SMALL_LENET, false, {"update.rate=3/4"}, 0xbb57b299},
    {"overlapping pools", "wage", "6C5-MP3s2-8C3-MP3p1s1-20FC-10", false, {NULL}, 0x349b4930},
    {"wide codes", "wage", SMALL_LENET, false,
     {"activation.q=fixed12", "error.q=fixed14@shift-unit", "store.q=fixed12",
      "gradient.grid=fixed12"},
     0xaa70f60d},
    {"wrapping sums", "wage", SMALL_LENET, false, {"accumulator.kind=wrap:16"}, 0x5fb8576c},
    {"saturating sums", "wage", "10FC-10", false,
     {"accumulator.kind=saturate:12", "accumulator.group=4"}, 0x253878d2},
};

static uint32_t train(const Case *c, const FxDataset *data, int threads, unsigned cpu) {
    NetFixture f;
    NetSetup setup = {.recipe = c->recipe, .net = c->net, .data = data, .batch = BATCH, .seed = 1,
                      .threads = threads, .cpu = cpu};
    memcpy(setup.overrides, c->overrides, sizeof c->overrides);
    net_open(&f, &setup);
    for (int step = 0; step < STEPS; step++)
        net_train(&f, NULL);
    FxTotals test = net_evaluate(&f);
    uint32_t crc = net_crc(&f) ^ (uint32_t)test.answers.loss; // the answers must not differ either
    net_close(&f);
    return crc;
}

static void check(const Case *c, const FxDataset *data, int threads, const char *cpu) {
    FxError err;
    unsigned flags;
    assert_int_equal(fx_cpu_parse(&flags, cpu, &err), 0);
    uint32_t crc = train(c, data, threads, flags);
    if (crc != c->crc)
        fail_msg("%s (%s, %s), %d threads, %s: %08x, not %08x", c->name, c->recipe, c->net, threads,
                 cpu, crc, c->crc);
}

// Whether this machine has the level.
static bool usable(const char *cpu) {
    FxError err;
    unsigned flags;
    return fx_cpu_parse(&flags, cpu, &err) == 0;
}

static FxDataset images_for(const Case *c) {
    return c->colour ? dataset_made(32, 32, 3, 64) : dataset_made(28, 28, 1, 64);
}

static const int threads[] = {1, 2, 3, 7};
enum { THREADS = sizeof threads / sizeof threads[0] };

static void ten_steps_give_the_known_weights_on_every_cpu_path_and_thread_count(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        FxDataset data = images_for(&nets[i]);
        for (int level = 0; fx_cpu_level(level); level++) {
            if (!usable(fx_cpu_level(level))) {
                print_message("this machine has no %s\n", fx_cpu_level(level));
                continue;
            }
            check(&nets[i], &data, threads[level % THREADS], fx_cpu_level(level));
        }
        for (int t = 0; t < THREADS; t++)
            check(&nets[i], &data, threads[t], "auto");
        fx_dataset_free(&data);
    }
}

static void every_random_mode_gives_the_known_weights(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        FxDataset data = images_for(&modes[i]);
        check(&modes[i], &data, 1, "scalar");
        check(&modes[i], &data, threads[1 + i % (THREADS - 1)], "auto");
        fx_dataset_free(&data);
    }
}

// Everything with everything; slow.
static void every_mode_agrees_on_all_threads_and_paths(void **state) {
    (void)state;
    for (size_t i = 0; i < (sizeof nets + sizeof modes) / sizeof nets[0]; i++) {
        size_t first = sizeof nets / sizeof nets[0];
        const Case *c = i < first ? &nets[i] : &modes[i - first];
        FxDataset data = images_for(c);
        for (int level = 0; fx_cpu_level(level); level++)
            for (int t = 0; t < THREADS && usable(fx_cpu_level(level)); t++)
                check(c, &data, threads[t], fx_cpu_level(level));
        fx_dataset_free(&data);
    }
}

// What the CRC reads: another seed or one more step must change it.
static void other_seeds_and_other_steps_give_other_weights(void **state) {
    (void)state;
    FxDataset data = dataset_made(28, 28, 1, 64);
    static const char *const seeds[] = {"random.init=2", "random.order=2", "random.round=2",
                                        NULL, NULL, NULL};
    uint32_t crc[6];
    for (int i = 0; i < 6; i++) {
        NetFixture f;
        NetSetup setup = {.recipe = "wage", .net = SMALL_LENET, .data = &data, .batch = BATCH,
                          .seed = i == 3 ? 2 : 1};
        setup.overrides[0] = seeds[i];
        net_open(&f, &setup);
        for (int step = 0; step < (i == 5 ? 4 : 3); step++)
            net_train(&f, NULL);
        crc[i] = net_crc(&f);
        net_close(&f);
        for (int j = 0; j < i; j++)
            assert_true(crc[i] != crc[j]);
    }
    fx_dataset_free(&data);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_give_the_known_weights_on_every_cpu_path_and_thread_count),
        cmocka_unit_test(every_random_mode_gives_the_known_weights),
        cmocka_unit_test(other_seeds_and_other_steps_give_other_weights),
    };
    const struct CMUnitTest slow_tests[] = {
        cmocka_unit_test(every_mode_agrees_on_all_threads_and_paths),
    };
    if (argc > 1 && !strcmp(argv[1], "slow"))
        return cmocka_run_group_tests_name("determinism", slow_tests, NULL, NULL);
    return cmocka_run_group_tests_name("determinism", tests, NULL, NULL);
}
