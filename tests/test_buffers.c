// The memory plan: a net whose buffers share bytes trains as one whose buffers do not.
#include "sim/input.h"
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The same memory plan with every buffer alive for ever: none shares a byte with another.
static void unshare(NetFixture *f) {
    FxError err;
    free(f->net.memory.block);
    f->net.memory.size = 0;
    for (int i = 0; i < f->net.memory.count; i++) {
        f->net.memory.buffers[i].birth = 0;
        f->net.memory.buffers[i].death = FX_FOREVER;
    }
    assert_int_equal(fx_memory_commit(&f->net.memory, &err), 0);
    for (int i = 0; i < f->net.count; i++) { // what lies in another's buffer
        FxNode *node = &f->net.nodes[i],
               *input = node->input < 0 ? NULL : &f->net.nodes[node->input];
        if (node->layer.in_place && input) {
            node->y.data = input->y.data;
            node->e.data = input->e.data;
            node->e_grad.data = input->e_grad.data;
        }
        if (node->name.first) {
            node->x.data = input ? input->y.data : f->net.image_codes.data;
            node->x_grad.data = f->net.image_grad.data;
        }
    }
    if ((f->net.input_values.data && fx_input_values_f32(&f->net.input_values, f->config.map, f->config.mean, f->config.std, f->data, &err)) ||
        fx_net_init(&f->net, &f->config, &err))
        fail_msg("%s", err.text);
}

typedef struct Marks {
    uint32_t start, weights;
    unsigned __int128 codes; // of losses, over the test images
    double reals;
    size_t size;
} Marks;

static Marks marks_of(const NetSetup *setup, bool apart) {
    NetFixture f;
    net_open(&f, setup);
    if (apart)
        unshare(&f);
    uint32_t start = net_crc(&f);
    for (int step = 0; step < 3; step++)
        net_train(&f, NULL);
    FxTotals test = net_evaluate(&f);
    Marks m = {start, net_crc(&f), test.answers.loss, fx_loss_total(&test.loss), f.net.memory.size};
    net_close(&f);
    return m;
}

static void expect_undisturbed(const NetSetup *setup) {
    Marks shared = marks_of(setup, false), apart = marks_of(setup, true);
    if (shared.weights != apart.weights || shared.codes != apart.codes || memcmp(&shared.reals, &apart.reals, sizeof shared.reals))
        fail_msg("%s, %s, data %s: buffers disturb each other", setup->recipe, setup->net, setup->data->name);
    if (shared.weights == shared.start)
        fail_msg("%s, %s: nothing was learnt", setup->recipe, setup->net);
    if (shared.size >= apart.size && strchr(setup->net, 'M'))
        fail_msg("%s, %s: %zu bytes shared, %zu apart", setup->recipe, setup->net, shared.size, apart.size);
}

static void buffers_that_share_bytes_are_never_needed_at_the_same_time(void **state) {
    (void)state;
    static const char *const nets[] = {"10",
                                       "16FC-10",
                                       "4C3-MP2-16FC-10",
                                       "4C5p2-MP3s2-6C2p0-16FC-10",
                                       "16C3-MP2-MP2-10",
                                       "MP2-4C3-8C3-MP3p1s1-10",
                                       "2C3-2C3-30FC-5FC-40FC-10",
                                       "6C3p0-MP2-GAP-8FC-10",
                                       "6C3-8C3p0-GAP-10",
                                       "32C1-MP3s1-MP2s1-2C3p0-20FC-10"};
    static const char *const recipes[] = {"wage", "wage-mnist"};
    FxDataset large = dataset_made(12, 12, 2, 64);
    for (size_t i = 0; i < sizeof nets / sizeof nets[0] * 4; i++)
        expect_undisturbed(&(NetSetup){.recipe = recipes[i % 2],
                                       .net = nets[i / 4],
                                       .data = i % 4 < 2 ? dataset_digits() : &large,
                                       .batch = 16,
                                       .seed = 9});
    fx_dataset_free(&large);
}

// Copies live as long as what they are copies of, at every map between two products.
static void buffers_of_copies_are_not_needed_by_others_either(void **state) {
    (void)state;
    static const char *const nets[] = {"16FC-10",
                                       "4C3-MP2-16FC-10",
                                       "4C3-8C3-MP2-16FC-10",
                                       "16C3-MP2-MP2-10",
                                       "16C3-DO50-MP2-DO50-4C3-8FC-DO50-10",
                                       "16C3-MP2-8C3-GAP-10",
                                       "16C1-MP2s1-MP2-32C3p0-16FC-10"}; // pools that overlap: of floats alone
    static const struct {
        const char *recipe, *overrides[9];
    } recipes[] = {
        {"mxfp8", {NULL}}, // has all three copies
        {"hfp8", {"error.grad.q=e4m3fn", "activation.grad.q=e5m2", "weight.back.q=e5m2", "activation.ste=clip"}},
        {"fp8-mellempudi2019", {"error.grad.q=fp16", "activation.grad.q=e4m3fn", "weight.back.q=e4m3fn"}},
        {"dfp16-das2018", {"error.grad.grid=fixed12", "activation.grad.grid=fixed9", "weight.back.grid=fixed8"}},
        {"courbariaux2014", {"error.grad.grid=fixed8", "activation.grad.grid=fixed9", "weight.back.grid=fixed8", "init.ranges=none",
                             "error.scale=overflow:-3:2:2000", "gradient.scale=overflow:0:2:2000",
                             "momentum.scale=overflow:-2:2:2000", "store.scale=overflow:1:2:2000", "weight.scale=overflow:2:2:2000"}},
        {"wage", {"error.grad.grid=fixed6", "activation.grad.grid=fixed9", "weight.back.grid=fixed4"}},
    };
    enum { FLOATS = 3 }; // the first ones
    FxDataset large = dataset_made(16, 16, 2, 64);
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
        for (size_t j = 0; j < sizeof recipes / sizeof recipes[0]; j++) {
            if (j >= FLOATS && strstr(nets[i], "s1"))
                continue;
            NetSetup setup = {.recipe = recipes[j].recipe,
                              .net = nets[i],
                              .data = (i + j) % 2 ? &large : dataset_digits(),
                              .batch = 16,
                              .seed = 9};
            memcpy(setup.overrides, recipes[j].overrides, sizeof recipes[j].overrides);
            expect_undisturbed(&setup);
        }
    fx_dataset_free(&large);
}

static void expect_apart(const FxMemory *memory, const char *what) {
    for (int i = 0; i < memory->count; i++) {
        const FxBuffer *a = &memory->buffers[i];
        if (a->offset % 64 || a->offset + a->size > memory->size || *a->pointer != (char *)memory->block + a->offset)
            fail_msg("%s: buffer %d, %zu bytes at %zu of %zu", what, i, a->size, a->offset, memory->size);
        for (int j = 0; j < i; j++) {
            const FxBuffer *b = &memory->buffers[j];
            bool together = a->birth <= b->death && b->birth <= a->death;
            if (together && a->offset < b->offset + b->size && b->offset < a->offset + a->size)
                fail_msg("%s: %zu bytes at %zu, %d .. %d, and %zu bytes at %zu, %d .. %d", what, a->size, a->offset, a->birth, a->death, b->size, b->offset,
                         b->birth, b->death);
        }
    }
}

// Sizes of buffers planned by full scans of all that were placed before, the larger first.
static void plans_of_nets_are_no_larger_than_they_were(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *net;
        size_t most; // bytes
    } plans[] = {{"int8-l1bn", "resnet20", 5276736}, {"fp32-bn", "resnet20", 6268544}, {"wage", "vgg7", 33267008}, {"int8-l1bn", "vgg7", 164569792}};
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        NetFixture f;
        net_open(&f, &(NetSetup){.recipe = plans[i].recipe, .net = plans[i].net, .data = dataset_digits(), .batch = 16, .seed = 9});
        expect_apart(&f.net.memory, plans[i].net);
        if (f.net.memory.size > plans[i].most)
            fail_msg("%s, %s: %zu bytes, %zu before", plans[i].recipe, plans[i].net, f.net.memory.size, plans[i].most);
        net_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_that_share_bytes_are_never_needed_at_the_same_time),
        cmocka_unit_test(buffers_of_copies_are_not_needed_by_others_either),
        cmocka_unit_test(plans_of_nets_are_no_larger_than_they_were),
    };
    return cmocka_run_group_tests_name("buffers", tests, NULL, NULL);
}
