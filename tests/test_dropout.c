// Dropout: the mask against the words themselves, both datapaths, the way back, a second one behind the same product, and that
// an evaluation leaves it out.
#include "layers/layer.h"
#include "tests/net_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 5000 };

static FxLayer layer_made(int percent, const FxRandom *random, uint8_t *mask) {
    FxLayer layer = {.ops = &fx_dropout_ops, .kernel = percent, .count = -1, .pad = -1, .stride = -1, .in = {5, 10, 10, 10}, .random = random};
    FxError err;
    assert_int_equal(layer.ops->plan(&layer, "DO", &err), 0);
    layer.saved = (FxTensor){mask, FX_UINT8, N, 0};
    return layer;
}

static void masks_follow_the_words_in_both_datapaths(void **state) {
    (void)state;
    static const int percents[] = {1, 25, 50, 90};
    for (size_t k = 0; k < 4; k++) {
        FxRandom random = {fx_random_source(0), 32, {77, 3 * 256 + FX_ROLE_DROPOUT, 5}};
        static uint8_t mask[N];
        static float x[N], y[N], dx[N];
        FxLayer layer = layer_made(percents[k], &random, mask);
        layer.first_word = k == 3 ? UINT64_C(1) << 40 : 0;
        FxWork work = {1 + (int)k % 3, fx_cpu_detect(), NULL, 0};
        for (int i = 0; i < N; i++)
            x[i] = (float)(i % 37 - 18) / 3;
        FxTensor tx = {x, FX_FLOAT32, N, 0}, ty = {y, FX_FLOAT32, N, 0}, td = {dx, FX_FLOAT32, N, 0};
        layer.ops->forward(&layer, &tx, &ty, &work, NULL);
        layer.ops->backward_data(&layer, &tx, &td, &work, NULL);
        int kept = 0;
        for (int i = 0; i < N; i++) {
            double word = fx_rng_word(random.rng, layer.first_word + (uint64_t)i);
            int keeps = word >= floor(percents[k] / 100.0 * 4294967296.0);
            float want = keeps ? x[i] / (float)((100 - percents[k]) / 100.0) : 0;
            assert_int_equal(mask[i], keeps);
            assert_true(y[i] == want && dx[i] == want);
            kept += keeps;
        }
        double p = 1 - percents[k] / 100.0;
        assert_true(fabs(kept - N * p) < 5 * sqrt(N * p * (1 - p)));
        if (percents[k] != 50)
            continue;
        static int32_t codes[N], sums[N];
        static uint8_t again[N];
        FxLayer integers = layer_made(50, &random, again);
        integers.gain = 1;
        for (int i = 0; i < N; i++)
            codes[i] = i % 301 - 150;
        FxTensor ic = {codes, FX_INT32, N, -3}, is = {sums, FX_INT32, N, -2};
        integers.ops->forward(&integers, &ic, &is, &work, NULL);
        assert_memory_equal(mask, again, N);
        for (int i = 0; i < N; i++)
            assert_int_equal(sums[i], mask[i] ? codes[i] : 0);
    }
}

// The exponent of what stands behind dropout is one more, there and back; two of them draw apart.
static void a_net_of_integers_doubles_in_the_exponent(void **state) {
    (void)state;
    NetFixture f;
    NetSetup setup = {.recipe = "niti", .net = "12FC-DO50-DO50-10", .data = dataset_digits(), .batch = 32, .seed = 3,
                      .overrides = {"run.loss=sse", "error.q=fixed8f7@shift/nearest-even", "layer.last.error.q=fixed8f7@shift/nearest-even", "logits.q=none"}};
    net_open(&f, &setup);
    Recording r = {0};
    FxTrace trace = recording_trace(&r);
    net_train(&f, &trace);
    const Recorded *sums = recording_find(&r, 1, "sum.forward");
    const FxNode *first = &f.net.nodes[1], *second = &f.net.nodes[2];
    assert_ptr_equal(first->layer.ops, &fx_dropout_ops);
    assert_int_equal(second->y.exponent, sums->exponent + 2);
    assert_int_equal(memcmp(first->layer.saved.data, second->layer.saved.data, 32 * 12) != 0, 1);
    const Recorded *error = recording_find(&r, 1, "error"), *rounded = recording_find(&r, 1, "error.quantised");
    assert_int_equal(error->exponent, rounded->exponent + 2);
    recording_clear(&r);
    net_close(&f);
}

static void an_evaluation_leaves_it_out(void **state) {
    (void)state;
    uint64_t wrong[2];
    for (int with = 0; with < 2; with++) {
        NetFixture f;
        NetSetup setup = {.recipe = "fp32", .net = with ? "12FC-DO90-10" : "12FC-10", .data = dataset_digits(), .batch = 32, .seed = 3};
        net_open(&f, &setup);
        wrong[with] = net_evaluate(&f).answers.wrong;
        net_close(&f);
    }
    assert_int_equal(wrong[0], wrong[1]);
}

static void what_it_cannot_be_is_refused(void **state) {
    (void)state;
    static const char *const nets[] = {"DO50-10", "8FC-DO-10", "8FC-DO0-10", "8FC-DO100-10", "8FC-2DO50-10", "8FC-DO25-10"};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        NetFixture f;
        FxError err = {0};
        NetSetup setup = {.recipe = "niti", .net = nets[i], .data = dataset_digits(), .batch = 32, .seed = 3};
        assert_int_equal(net_try(&f, &setup, &err), -1);
        assert_int_equal(err.exit_code, FX_EXIT_USAGE);
        if (!strstr(err.text, "DO") && !strstr(err.text, "dropout") && !strstr(err.text, "column 7"))
            fail_msg("%s: %s", nets[i], err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_follow_the_words_in_both_datapaths),
        cmocka_unit_test(a_net_of_integers_doubles_in_the_exponent),
        cmocka_unit_test(an_evaluation_leaves_it_out),
        cmocka_unit_test(what_it_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
