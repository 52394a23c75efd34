// Networks: shapes of the named ones, notations that cannot be, and the plan of their memory.
#include "tests/slow.h"
#include "tests/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const FxDataset digits = {.height = 8, .width = 8, .channels = 1, .classes = 10, .train = {.count = 1437}};
static const FxDataset mnist = {.height = 28, .width = 28, .channels = 1, .classes = 10, .train = {.count = 60000}};
static const FxDataset cifar = {.height = 32, .width = 32, .channels = 3, .classes = 10, .train = {.count = 50000}};

static uint64_t draw(uint64_t n) {
    static uint64_t calls;
    return slow_mix(++calls) % n;
}

// "conv1 24x24x32 relu ..." of all nodes; a product says its weights too.
static void nodes_print(char *text, size_t size, const FxNet *net) {
    text[0] = 0;
    for (int i = 0; i < net->count; i++) {
        const FxNode *n = &net->nodes[i];
        const FxShape s = n->layer.out;
        bool product = n->layer.ops->role == FX_ROLE_PRODUCT;
        snprintf(text + strlen(text), size - strlen(text), "%s%s %dx%dx%d", i ? ", " : "",
                 product ? n->name.name : n->layer.ops->name, s.h, s.w, s.c);
        if (product)
            snprintf(text + strlen(text), size - strlen(text), " of %zu", n->layer.weights);
        assert_int_equal(s.n, net->shape.n);
        assert_int_equal(n->input, i - 1);
        assert_int_equal(n->id, product ? n->id : i ? net->nodes[i - 1].id : 0);
    }
}

static void check_net(const char *notation, const FxDataset *data, const char *want) {
    FxNet net;
    FxError err = {0};
    char text[4096];
    if (fx_net_build(&net, notation, data, 7, "sse", &err))
        fail_msg("%s: %s", notation, err.text);
    nodes_print(text, sizeof text, &net);
    if (strcmp(text, want))
        fail_msg("%s is %s", notation, text);
    for (int i = 0; i < net.product_count; i++) {
        const FxNode *n = fx_net_product(&net, i);
        assert_int_equal(n->id, i + 1);
        assert_int_equal(n->name.first, i == 0);
        assert_int_equal(n->name.last, i == net.product_count - 1);
    }
    assert_ptr_equal(net.loss, &fx_sse_ops);
    fx_net_free(&net);
    fx_net_free(&net); // accepts a zeroed struct
}

static void named_networks_have_the_shapes_of_their_papers(void **state) {
    (void)state;
    static const char lenet[] = "conv1 24x24x32 of 800, max-pool 12x12x32, relu 12x12x32, conv2 8x8x64 of 51200, max-pool 4x4x64, relu 4x4x64, "
                                "fc3 1x1x512 of 524288, relu 1x1x512, fc4 1x1x10 of 5120, sse 1x1x10";
    static const char vgg7[] = "conv1 32x32x128 of 3456, relu 32x32x128, conv2 32x32x128 of 147456, max-pool 16x16x128, relu 16x16x128, "
                               "conv3 16x16x256 of 294912, relu 16x16x256, conv4 16x16x256 of 589824, max-pool 8x8x256, relu 8x8x256, "
                               "conv5 8x8x512 of 1179648, relu 8x8x512, conv6 8x8x512 of 2359296, max-pool 4x4x512, relu 4x4x512, "
                               "fc7 1x1x1024 of 8388608, relu 1x1x1024, fc8 1x1x10 of 10240, sse 1x1x10";
    static const char small[] = "conv1 8x8x16 of 144, max-pool 4x4x16, relu 4x4x16, fc2 1x1x64 of 16384, relu 1x1x64, fc3 1x1x10 of 640, "
                                "sse 1x1x10";
    check_net("lenet", &mnist, lenet);
    check_net("auto", &mnist, lenet);
    check_net("vgg7", &cifar, vgg7);
    check_net("auto", &cifar, vgg7);
    check_net("mlp", &mnist, "fc1 1x1x512 of 401408, relu 1x1x512, fc2 1x1x512 of 262144, relu 1x1x512, fc3 1x1x10 of 5120, sse 1x1x10");
    check_net("auto", &digits, small);
    check_net("16C3-MP2-64FC-10SSE", &digits, small);
}

static void rectifiers_are_implied_only_before_products_and_never_twice(void **state) {
    (void)state;
    check_net("10", &digits, "fc1 1x1x10 of 640, sse 1x1x10");
    check_net("MP2-10", &digits, "max-pool 4x4x1, fc1 1x1x10 of 160, sse 1x1x10");
    check_net("R-10", &digits, "relu 8x8x1, fc1 1x1x10 of 640, sse 1x1x10");
    check_net("4FC-R-10", &digits, "fc1 1x1x4 of 256, relu 1x1x4, fc2 1x1x10 of 40, sse 1x1x10");
    check_net("4C3s2-R-MP3p1s2-10", &digits, "conv1 4x4x4 of 36, relu 4x4x4, max-pool 2x2x4, relu 2x2x4, fc2 1x1x10 of 160, sse 1x1x10");
}

static void a_global_mean_leaves_one_position_behind_a_rectifier(void **state) {
    (void)state;
    check_net("16C3-GAP-10", &digits, "conv1 8x8x16 of 144, relu 8x8x16, gap 1x1x16, relu 1x1x16, fc2 1x1x10 of 160, sse 1x1x10");
    check_net("16C3-R-GAP-10", &digits, "conv1 8x8x16 of 144, relu 8x8x16, gap 1x1x16, relu 1x1x16, fc2 1x1x10 of 160, sse 1x1x10");
}

static void norms_are_written_behind_products(void **state) {
    (void)state;
    check_net("4C3-L1BN-MP2-8FC-BN-10", &digits, "conv1 8x8x4 of 36, norm 8x8x4, max-pool 4x4x4, relu 4x4x4, fc2 1x1x8 of 512, norm 1x1x8, relu 1x1x8, "
                                                 "fc3 1x1x10 of 80, sse 1x1x10");
}

static void notations_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *read, *right;
    } wrong[] = {
        {"16C9p0-10", "conv1: a 9x9 window", "8x8 data with padding 0"},
        {"MP2-MP2-MP2-MP2-10", "column 13: max-pool: a 2x2 window", "1x1 data"},
        {"16C3-12", "column 6: 12 outputs", "10 classes"},
        {"16C3-9SSE", "9 outputs", "10 classes"},
        {"SSE", "outputs", "10 classes"},
        {"16C3-10-64FC-10", "column 6", "an output can only stand at the end"},
        {"10SSE-10", "column 1", "an output can only stand at the end"},
        {"16C3-MP2", "column 6", "the last item must be the output"},
        {"16C3", "column 1", "the last item must be the output"},
        {"16C3-8XY-10", "column 6: no layer \"XY\"", "known: C FC MP GAP R DO BN L1BN RBN SBN + SSE"},
        {"+(16C3|)-10", "column 1: a residual block cannot read the image", "begin with a layer"},
        {"+(4C3|4C1)-10", "column 7: a residual block cannot read the image", "begin with a layer"},
        {"MP2-+(4C3|4C1)-10", "column 11: a residual block cannot read the image", "begin with a layer"},
        {"+(MP2|4C3s2)-10", "column 1: a residual block cannot read the image", "begin with a layer"},
        {"+(1C3|MP1)-10", "column 1: a residual block cannot read the image", "begin with a layer"},
        {"+(1C3|BN)-10", "column 7: a residual block cannot read the image", "begin with a layer"},
        {"BN-10", "column 1: norm: a product layer must stand before it", "product"},
        {"4C3BN-10", "column 1: no layer \"C3BN\"", "between items stands \"-\""},
        {"MP3p2-10", "column 1: max-pool: padding 2 of a 3x3 window", "at most 1"},
        {"MP16-10", "max-pool", "1 to 15"},
        {"4MP2-10", "max-pool", "as MP2"},
        {"4C3-8GAP-10", "column 5: gap", "write GAP"},
        {"4C3-GAP2-10", "gap", "no count, window, padding or stride"},
        {"4C3-GAPp1-10", "gap", "write GAP"},
        {"4C3-GAPs2-10", "gap", "write GAP"},
        {"C3-10", "conv1", "as 32C5"},
        {"16C-10", "conv1", "as 32C5"},
        {"FC-10", "fc1", "as 512FC"},
        {"16FC3-10", "fc1", "as 512FC"},
        {"10SSE3", "column 1", "no kernel, padding or stride"},
        {"10s2", "column", NULL},
        {"", "column 1", NULL},
        {"lenet7", "column 1", NULL},
        {"65535C1p20000-10", "conv1", "at most"},
        {"32768C1p32764-10", "conv1", "at most"}, // 2^20 images: 2^67 outputs
        {"1C1p1000-600C1-10", "conv2", "at most"}, // h * w * c past 2^31 into the output layer
        {"1C65535-10", "conv1", "at most"},
        {"2C1-1C32768-10", "conv2", "at most"}, // 2^31 weights
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        for (int large = 0; large < 2; large++) {
            Trial t = {0};
            t.failed = fx_net_build(&t.net, wrong[i].text, &digits, large ? 1 << 20 : 1, "sse", &t.err);
            trial_refused(&t, wrong[i].text, large ? NULL : wrong[i].read, large ? NULL : wrong[i].right);
            assert_null(t.net.nodes);
        }
    FxNet net;
    FxError err;
    assert_int_equal(fx_net_build(&net, "auto", &(FxDataset){.height = 9, .width = 8, .channels = 1, .classes = 10}, 7, "sse", &err), -1);
    assert_non_null(strstr(err.text, "9x8x1"));
}

static void check_overlap(const FxMemory *m, const char *what) {
    for (int i = 0; i < m->count; i++) {
        const FxBuffer *a = &m->buffers[i];
        if (a->offset % 64 || (uintptr_t)*a->pointer % 64 || (char *)*a->pointer != (char *)m->block + a->offset ||
            a->offset + a->size > m->size)
            fail_msg("%s: buffer %d of %zu bytes at offset %zu of %zu, address %p", what, i, a->size, a->offset, m->size, *a->pointer);
        for (int j = 0; j < i; j++) {
            const FxBuffer *b = &m->buffers[j];
            bool together = a->birth <= b->death && b->birth <= a->death;
            bool apart = a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
            if (together && !apart)
                fail_msg("%s: buffers of %zu bytes at %zu (times %d..%d) and %zu at %zu (times %d..%d) overlap", what, a->size, a->offset,
                         a->birth, a->death, b->size, b->offset, b->birth, b->death);
        }
    }
}

static void buffers_that_live_at_the_same_time_never_overlap(void **state) {
    (void)state;
    for (int i = 0; i < 300; i++) {
        FxMemory m = {0};
        FxError err;
        void *pointer[80];
        size_t size[80], sum = 0;
        int count = 1 + (int)draw(80), times = 1 + (int)draw(30);
        for (int j = 0; j < count; j++) {
            int birth = (int)draw((uint64_t)times), death = draw(10) ? birth + (int)draw((uint64_t)(times - birth)) : FX_FOREVER;
            size[j] = draw(8) ? (size_t)draw(5000) : 0;
            sum += (size[j] + 63) / 64 * 64;
            assert_int_equal(fx_memory_plan(&m, &pointer[j], size[j], birth, death, &err), 0);
            assert_null(pointer[j]);
        }
        assert_int_equal(fx_memory_commit(&m, &err), 0);
        check_overlap(&m, "random lifetimes");
        assert_true(m.size <= sum);
        for (int j = 0; j < count; j++) {
            assert_true((size[j] == 0) == (pointer[j] == NULL));
            for (size_t k = 0; k < size[j]; k++)
                assert_int_equal(((char *)pointer[j])[k], 0);
        }
        fx_memory_free(&m);
    }
}

static void memory_is_shared_by_buffers_that_never_meet_and_may_be_empty(void **state) {
    (void)state;
    FxMemory m = {0};
    FxError err;
    void *pointer[10];
    assert_int_equal(fx_memory_commit(&m, &err), 0); // nothing asked for
    assert_int_equal(m.size, 0);
    fx_memory_free(&m);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fx_memory_plan(&m, &pointer[i], 1000, i, i, &err), 0);
    assert_int_equal(fx_memory_commit(&m, &err), 0);
    assert_int_equal(m.size, 1024);
    fx_memory_free(&m);
    fx_memory_free(&m);
}

static void check_plan(const char *notation, const FxDataset *data, const char *const overrides[], size_t most) {
    Trial t = trial_of("wage", notation, NULL, overrides, data);
    if (t.failed || fx_net_plan(&t.net, &t.config, 2, 0, &t.err))
        fail_msg("%s: %s", notation, t.err.text);
    check_overlap(&t.net.memory, notation);
    print_message("%s, %d images: %zu bytes planned\n", notation, t.net.shape.n, t.net.memory.size);
    if (t.net.memory.size > most)
        fail_msg("%s: %zu bytes, more than %zu", notation, t.net.memory.size, most);
    trial_free(&t);
}

static void vgg7_at_batch_128_needs_at_most_260_megabytes(void **state) {
    (void)state;
    check_plan("vgg7", &cifar, NULL, 260000000);
    check_plan("lenet", &mnist, NULL, 40000000);
    check_plan("mlp", &mnist, NULL, 20000000);
    check_plan("MP2-4C3-R-MP3s2-8FC-10", &digits, LIST("logits.q=none fixed8f7@2", "accumulator.kind=saturate:12"), 20000000);
}

static void sums_that_need_more_than_63_bits_are_refused_when_the_net_is_planned(void **state) {
    (void)state;
    static const struct {
        const char *override[4], *read, *right;
    } wrong[] = {
        {{"weight.q=fixed32@alpha", "store.q=fixed33f32", "activation.q=fixed32"}, "conv2, forward product", "63 bits"},
        {{"weight.q=fixed32@alpha", "store.q=fixed33f32", "error.q=fixed27@shift-unit", "run.batch=16"}, "conv2, error product", "63 bits"},
        {{"error.q=fixed31@shift-unit"}, "conv1: errors that meet", "32 bits"},
        {{"weight.q=fixed33f32t@alpha", "store.q=fixed34f33", "activation.q=fixed33f32t"}, "conv1: weight.q",
         "32 bits"}, // 2^32 * 2^32 = 0 in 64 bits
        {{"weight.q=fixed40f39@alpha", "store.q=fixed41f40", NULL}, "conv1: weight.q", "32 bits"},
        {{"activation.q=ufixed32", NULL}, "conv2: activation.q", "32 bits"},
        {{"error.q=fixed62@shift-unit", NULL}, "error.q", "32 bits"},
        {{"activation.q=fixed24", "error.q=fixed24@shift-unit", NULL}, "gradient times rate", "62 bits"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const *o = wrong[i].override, *const list[] = {o[0], o[1], o[2], o[3], NULL};
        Trial t = trial_of("wage", "4C3-MP3s2-4C3-8FC-10", NULL, list, NULL);
        if (t.failed)
            fail_msg("%s: %s", list[0], t.err.text);
        t.failed = fx_net_plan(&t.net, &t.config, 1, 0, &t.err);
        trial_refused(&t, list[0], wrong[i].read, wrong[i].right);
        trial_free(&t);
    }
}

static void errors_that_meet_in_many_pools_are_refused_and_do_not_wrap(void **state) {
    (void)state;
    Trial t = trial_of("wage", "4C3-32x(MP3p1s2)-10", NULL, NULL, NULL); // 4^32 = 2^64
    assert_int_equal(t.failed, 0);
    t.failed = fx_net_plan(&t.net, &t.config, 1, 0, &t.err);
    trial_refused(&t, "32 overlapping pools", "conv1: errors that meet", "narrower error.grid");
    trial_free(&t);
}

static void carriers_are_the_narrowest_that_hold_the_codes(void **state) {
    (void)state;
    Trial t = trial_of("wage", "4C3-MP3s2-4C3-8FC-10", NULL,
                       LIST("layer.conv2.activation.grid=ufixed8", "store.grid=fixed12f11", "weight.scale=const:0"), NULL);
    if (t.failed || fx_net_plan(&t.net, &t.config, 1, 0, &t.err))
        fail_msg("%s", t.err.text);
    const FxNode *conv1 = fx_net_product(&t.net, 0), *conv2 = fx_net_product(&t.net, 1), *fc3 = fx_net_product(&t.net, 2);
    assert_int_equal(conv1->x.type, FX_INT8);
    assert_int_equal(conv1->e.type, FX_INT16); // four errors may meet behind MP3s2
    assert_int_equal(conv2->e.type, FX_INT8);
    assert_int_equal(conv2->x.type, FX_UINT8);
    assert_int_equal(fc3->x.type, FX_INT8);
    assert_int_equal(fc3->store.type, FX_INT16);
    assert_int_equal(fc3->layer.weight.type, FX_INT8);
    assert_int_equal(conv2->y.type, FX_INT32);
    trial_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_networks_have_the_shapes_of_their_papers),
        cmocka_unit_test(rectifiers_are_implied_only_before_products_and_never_twice),
        cmocka_unit_test(a_global_mean_leaves_one_position_behind_a_rectifier),
        cmocka_unit_test(norms_are_written_behind_products),
        cmocka_unit_test(notations_that_cannot_be_are_refused),
        cmocka_unit_test(buffers_that_live_at_the_same_time_never_overlap),
        cmocka_unit_test(memory_is_shared_by_buffers_that_never_meet_and_may_be_empty),
        cmocka_unit_test(vgg7_at_batch_128_needs_at_most_260_megabytes),
        cmocka_unit_test(sums_that_need_more_than_63_bits_are_refused_when_the_net_is_planned),
        cmocka_unit_test(errors_that_meet_in_many_pools_are_refused_and_do_not_wrap),
        cmocka_unit_test(carriers_are_the_narrowest_that_hold_the_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
