// A bias of integers in training: against a net that has the bias as one more input of its products.
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const common[] = {"weight.q=fixed6f5", "activation.q=fixed8f7", "error.q=fixed8f7@shift-unit", "store.q=fixed10f9", "store.clip=grid",
                                     "gradient.q=fixed8f7@shift-unit/nearest-even", "run.loss=sse"};

static NetSetup setup_of(bool bias, const char *net) {
    NetSetup setup = {.recipe = "wage", .net = net, .data = dataset_digits(), .batch = 32, .seed = 5};
    size_t n = 0;
    for (; n < sizeof common / sizeof common[0]; n++)
        setup.overrides[n] = common[n];
    if (bias) {
        setup.overrides[n++] = "run.bias=yes";
        setup.overrides[n] = "bias.q=fixed10f9";
    }
    return setup;
}

// Sums with the bias are those without, recomputed from the traced operands, plus the bias in their unit; its gradient is the
// sum of the errors in the unit of the weights' gradient; and the store takes the same steps for both.
static void sums_gradients_and_steps_follow_the_definition(void **state) {
    (void)state;
    NetFixture f;
    NetSetup setup = setup_of(true, "6C3-MP2-12FC-10");
    net_open(&f, &setup);
    for (int step = 0; step < 4; step++) {
        Recording r = {0};
        FxTrace trace = recording_trace(&r);
        net_train(&f, &trace);
        for (int id = 2; id <= 3; id++) { // fully connected
            const FxLayer *l = &fx_net_product(&f.net, id - 1)->layer;
            size_t in = l->fan_in, out = (size_t)l->out.c, images = 32;
            const Recorded *x = recording_find(&r, id, "activation"), *w = recording_find(&r, id, "weight"), *y = recording_find(&r, id, "sum.forward");
            const Recorded *store = recording_find(&r, id, "store.before"), *e = recording_find(&r, id, "error"), *dw = recording_find(&r, id, "sum.gradient");
            const Recorded *k = recording_find(&r, id, "update"), *after = recording_find(&r, id, "store.after");
            assert_int_equal(store->count, in * out + out);
            assert_int_equal(dw->count, store->count);
            assert_int_equal(store->exponent, -9);
            int up = -9 - y->exponent;
            for (size_t i = 0; i < images; i++)
                for (size_t o = 0; o < out; o++) {
                    int64_t sum = store->codes[in * out + o] * ((int64_t)1 << up);
                    for (size_t j = 0; j < in; j++)
                        sum += x->codes[i * in + j] * w->codes[j * out + o];
                    assert_int_equal(y->codes[i * out + o], sum);
                }
            for (size_t o = 0; o < out; o++) {
                int64_t sum = 0;
                for (size_t i = 0; i < images; i++)
                    sum += e->codes[i * out + o];
                assert_int_equal(dw->codes[in * out + o], sum * ((int64_t)1 << -x->exponent));
            }
            for (size_t i = 0; i < store->count; i++) {
                int64_t next = store->codes[i] - k->codes[i];
                next = next > 511 ? 511 : next < -511 ? -511 : next;
                assert_int_equal(after->codes[i], next);
            }
        }
        recording_clear(&r);
    }
    net_close(&f);
}

// The first weights are those of a net without; the biases begin at 0.
static void weights_begin_as_without_a_bias(void **state) {
    (void)state;
    NetFixture with, without;
    NetSetup a = setup_of(true, "12FC-10"), b = setup_of(false, "12FC-10");
    net_open(&with, &a);
    net_open(&without, &b);
    for (int p = 0; p < 2; p++) {
        const FxTensor *s = &fx_net_product(&with.net, p)->store, *t = &fx_net_product(&without.net, p)->store;
        for (size_t i = 0; i < s->count; i++)
            assert_int_equal(fx_tensor_get(s, i), i < t->count ? fx_tensor_get(t, i) : 0);
    }
    net_close(&with);
    net_close(&without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_gradients_and_steps_follow_the_definition),
        cmocka_unit_test(weights_begin_as_without_a_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
