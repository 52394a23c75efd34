// The worked example of WAGE in integers (3 inputs, 3 hidden, 2 outputs, 2 samples), with every
// intermediate; the table of layer constants; the laws of the initial weights.
#include "tests/cast.h"
#include "tests/net_fixture.h"
#include "tests/slow_wage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int8_t w1[9] = {32, 64, -64, -64, 64, -63, 64, -64, 10},
                    w2[6] = {-63, -20, -64, 32, 33, 62};

// The example's codes as bytes of the map wage-127.5: 125, 124, -127 and 92, 17, 108.
static uint8_t example_pixels[6] = {252, 251, 1, 219, 144, 235}, example_labels[2] = {1, 1};
static const FxDataset example_data = {.name = "example",
                                       .height = 1,
                                       .width = 1,
                                       .channels = 3,
                                       .classes = 2,
                                       .train = {2, example_pixels, example_labels},
                                       .test = {2, example_pixels, example_labels}};

static void open_example(NetFixture *f, const char *rate, const char *clip) {
    NetSetup setup = {.recipe = "wage",
                      .net = "3FC-2",
                      .data = &example_data,
                      .batch = 2,
                      .seed = 1,
                      .overrides = {rate, clip}};
    net_open(f, &setup);
    fx_net_product(&f->net, 0)->alpha = 0;
    fx_net_product(&f->net, 1)->alpha = 1; // by hand: so few inputs give 1 otherwise
    memcpy(fx_net_product(&f->net, 0)->store.data, w1, sizeof w1);
    memcpy(fx_net_product(&f->net, 1)->store.data, w2, sizeof w2);
    fx_feed_images(&f->net, &example_data.train, 0, 2);
}

typedef struct Expected {
    int id;
    const char *what;
    size_t count;
    int64_t codes[9];
    int exponent;
} Expected;

static void must_be(const Recording *r, const Expected *e) {
    const Recorded *t = recording_find(r, e->id, e->what);
    if (!t || t->count != e->count || t->exponent != e->exponent) {
        fail_msg("layer %d: %s: %s", e->id, e->what, t ? "other size or exponent" : "not there");
        return;
    }
    for (size_t i = 0; i < e->count; i++)
        if (t->codes[i] != e->codes[i])
            fail_msg("layer %d: %s[%zu] = %lld, not %lld", e->id, e->what, i,
                     (long long)t->codes[i], (long long)e->codes[i]);
}

// relu.mask and the like hold no codes; the trace gives them exponent 0.
static const Expected example[] = {
    {1, "input", 6, {125, 124, -127, 92, 17, 108}, -7},
    {1, "store.before", 9, {32, 64, -64, -64, 64, -63, 64, -64, 10}, -7},
    {1, "weight", 9, {0, 1, -1, -1, 1, -1, 1, -1, 0}, -1},
    {2, "store.before", 6, {-63, -20, -64, 32, 33, 62}, -7},
    {2, "weight", 6, {-1, 0, -1, 0, 1, 1}, -2},
    {1, "sum.forward", 6, {-251, 376, -249, 91, 1, -109}, -8},
    {1, "relu.mask", 6, {0, 1, 0, 1, 1, 0}, 0},
    {2, "activation", 6, {0, 127, 0, 46, 0, 0}, -7},
    {2, "activation.clip", 6, {1, 0, 1, 1, 1, 1}, 0},
    {2, "sum.forward", 4, {-127, 0, -46, 0}, -9},
    {2, "logits", 4, {-127, 0, -46, 0}, -9},
    {2, "logits.error", 4, {-127, -512, -46, -512}, -9},
    {2, "error.quantised", 4, {-32, -127, -12, -127}, -7},
    {2, "error", 4, {-32, -127, -12, -127}, -7},
    {2, "sum.gradient", 6, {-552, -5842, -4064, -16129, 0, 0}, -14},
    {2, "sum.error", 6, {32, 32, -159, 12, 12, -139}, -9},
    {1, "error.quantised", 6, {32, 0, -127, 12, 12, -127}, -7},
    {1, "error", 6, {0, 0, 0, 12, 12, 0}, -7},
    {1, "sum.gradient", 9, {1104, 1104, 0, 204, 204, 0, 1296, 1296, 0}, -14},
};

static void the_worked_example_gives_every_known_intermediate(void **state) {
    (void)state;
    NetFixture f;
    Recording r = {0};
    FxTrace trace = recording_trace(&r);
    open_example(&f, "update.rate=8", NULL);
    net_train_batch(&f, 2, &trace);
    for (size_t i = 0; i < sizeof example / sizeof example[0]; i++)
        must_be(&r, &example[i]);
    assert_true(f.totals.answers.loss == 542533); // over 524288 = 2^19: 1.0347996
    assert_int_equal(f.totals.images, 2);
    // quantisers: M and n' of both errors and both gradients
    const FxSiteState *s1 = fx_net_product(&f.net, 0)->site, *s2 = fx_net_product(&f.net, 1)->site;
    assert_int_equal(s2[FX_SITE_ERROR].stats.max_abs, 512);
    assert_int_equal(s2[FX_SITE_ERROR].exponent, 2);
    assert_int_equal(s2[FX_SITE_ERROR].stats.saturated, 2);
    assert_int_equal(s1[FX_SITE_ERROR].stats.max_abs, 159);
    assert_int_equal(s1[FX_SITE_ERROR].exponent, 0);
    assert_int_equal(s2[FX_SITE_ACTIVATION].stats.masked, 1);
    assert_int_equal(s1[FX_SITE_GRADIENT].stats.max_abs, 1296);
    assert_int_equal(s1[FX_SITE_GRADIENT].exponent + 7, 10);
    assert_int_equal(s2[FX_SITE_GRADIENT].stats.max_abs, 16129);
    assert_int_equal(s2[FX_SITE_GRADIENT].exponent + 7, 14);
    recording_clear(&r);
    net_close(&f);
}

static const int64_t dw1[9] = {1104, 1104, 0, 204, 204, 0, 1296, 1296, 0},
                     dw2[6] = {-552, -5842, -4064, -16129, 0, 0};
static const uint32_t R1[9] = {3036816, 443186,  293197,  277210, 7972086,
                               4766681, 5666652, 2206744, 1747374};
static const uint32_t R2[6] = {496866, 2937026, 1019525, 3256172, 6113328, 4095208};

static const struct {
    const char *rate;
    int f1, f2;
    int k1[9], k2[6], after1[9], after2[6];
} updates[] = {
    {"8",
     7,
     11,
     {9, 9, 0, 2, 1, 0, 10, 10, 0},
     {-1, -3, -2, -8, 0, 0},
     {23, 55, -64, -64, 63, -63, 54, -64, 10},
     {-62, -17, -62, 40, 33, 62}},
    {"1",
     10,
     14,
     {1, 2, 0, 1, 0, 0, 1, 2, 0},
     {0, -1, -1, -1, 0, 0},
     {31, 62, -64, -64, 64, -63, 63, -64, 10},
     {-63, -19, -63, 33, 33, 62}},
    {"1/8",
     13,
     17,
     {0, 1, 0, 0, 0, 0, 0, 0, 0},
     {0, 0, 0, 0, 0, 0},
     {32, 63, -64, -64, 64, -63, 64, -64, 10},
     {-63, -20, -64, 32, 33, 62}},
};
enum { UPDATES = sizeof updates / sizeof updates[0] };

static int64_t held(int64_t w, int64_t limit) {
    return w > limit ? limit : w < -limit ? -limit : w;
}

// The rounding with the example's words, for one layer.
static void check_update(const char *rate, const int64_t *dw, const uint32_t *R, const int8_t *w,
                         size_t n, int f, const int *k, const int *after) {
    FxQuantiser q = quantiser_of("fixed8f7@shift-unit/stochastic:23:below");
    FxRoundArg arg = fx_round_arg(&q.rounding, 32);
    FxScalar scalar;
    FxError err;
    FxScaleInput in = {0};
    assert_int_equal(fx_scalar_parse(&scalar, rate, &err), 0);
    for (size_t i = 0; i < n; i++)
        in.max_abs = (uint64_t)llabs(dw[i]) > in.max_abs ? (uint64_t)llabs(dw[i]) : in.max_abs;
    int shift =
        fx_scale_choose(&q.scale, &q.grid, &in).shift + q.grid.fraction - scalar.exponent - 14;
    if (shift != f)
        fail_msg("rate %s: f = %d, not %d", rate, shift, f);
    for (size_t i = 0; i < n; i++) {
        int64_t step = fx_round(&fx_round_modes[q.rounding.mode], dw[i], shift, R[i], 0, &arg);
        int64_t product =
            fx_round(&fx_round_modes[q.rounding.mode], dw[i] * scalar.mantissa, shift + 14, R[i], 0, &arg);
        if (step != k[i] || product != k[i])
            fail_msg("rate %s: k[%zu] of %lld = %lld by shift, %lld by product, not %d", rate, i,
                     (long long)dw[i], (long long)step, (long long)product, k[i]);
        if (held(w[i] - step, 64) != after[i])
            fail_msg("rate %s: weight %zu becomes %lld, not %d", rate, i,
                     (long long)held(w[i] - step, 64), after[i]);
    }
}

static void the_example_s_random_words_give_the_known_steps_at_every_rate(void **state) {
    (void)state;
    for (size_t u = 0; u < UPDATES; u++) {
        check_update(updates[u].rate, dw1, R1, w1, 9, updates[u].f1, updates[u].k1,
                     updates[u].after1);
        check_update(updates[u].rate, dw2, R2, w2, 6, updates[u].f2, updates[u].k2,
                     updates[u].after2);
    }
}

// The whole update with the net's own words: each step lies next to rate * dW / 2^n', and the store
// is clipped.
static void updates_of_the_example_take_one_of_the_two_neighbours(void **state) {
    (void)state;
    static const char *const clips[] = {"store.clip=0.5", "store.clip=0.9921875",
                                        "store.clip=grid"};
    for (size_t u = 0; u < UPDATES; u++)
        for (int c = 0; c < 3; c++) {
            NetFixture f;
            Recording r = {0};
            FxTrace trace = recording_trace(&r);
            char rate[64];
            snprintf(rate, sizeof rate, "update.rate=%s", updates[u].rate);
            open_example(&f, rate, clips[c]);
            net_train_batch(&f, 2, &trace);
            for (int id = 1; id <= 2; id++) {
                const Recorded *k = recording_find(&r, id, "update"),
                               *after = recording_find(&r, id, "store.after");
                const int64_t *dw = id == 1 ? dw1 : dw2,
                              unit = INT64_C(1) << (id == 1 ? updates[u].f1 : updates[u].f2);
                for (size_t i = 0; i < k->count; i++) {
                    int64_t m = llabs(dw[i]), step = dw[i] < 0 ? -k->codes[i] : k->codes[i],
                            w = id == 1 ? w1[i] : w2[i];
                    if (step < m / unit || step > (m + unit - 1) / unit)
                        fail_msg("rate %s, layer %d: step %zu of %lld / %lld is %lld",
                                 updates[u].rate, id, i, (long long)dw[i], (long long)unit,
                                 (long long)k->codes[i]);
                    if (after->codes[i] != held(w - k->codes[i], c == 0 ? 64 : 127))
                        fail_msg("%s, layer %d: weight %zu: %lld - %lld becomes %lld", clips[c], id,
                                 i, (long long)w, (long long)k->codes[i],
                                 (long long)after->codes[i]);
                }
            }
            recording_clear(&r);
            net_close(&f);
        }
}

static void after_the_first_step_the_example_has_the_known_ternary_weights_and_loss(void **state) {
    (void)state;
    NetFixture f;
    Recording r = {0};
    FxTrace trace = recording_trace(&r);
    static const Expected expected[] = {
        {2, "weight", 6, {-1, 0, -1, 1, 1, 1}, -2}, // 32 has become 40, past the threshold
        {2, "sum.forward", 4, {-127, 127, -46, 0}, -9},
    };
    open_example(&f, "update.rate=8", NULL);
    for (size_t i = 0; i < 9; i++)
        fx_tensor_set(&fx_net_product(&f.net, 0)->store, i, updates[0].after1[i]);
    for (size_t i = 0; i < 6; i++)
        fx_tensor_set(&fx_net_product(&f.net, 1)->store, i, updates[0].after2[i]);
    net_train_batch(&f, 2, &trace);
    for (size_t i = 0; i < 2; i++)
        must_be(&r, &expected[i]);
    assert_true(f.totals.answers.loss == 2 * 214307); // over 2^19: 0.8175163
    recording_clear(&r);
    net_close(&f);
}

// A net of one layer with n inputs.
static void open_fan_in(NetFixture *f, FxDataset *data, int n, const char *const overrides[]) {
    *data = dataset_made(1, 1, n, 8);
    NetSetup setup = {.recipe = "wage",
                      .net = "10",
                      .data = data,
                      .batch = 2,
                      .seed = UINT64_C(0x123456789abcdef1)};
    for (int i = 0; overrides && overrides[i]; i++)
        setup.overrides[i] = overrides[i];
    net_open(f, &setup);
}

static void layer_constants_follow_the_table_of_the_code_and_of_the_paper(void **state) {
    (void)state;
    static const int n[] = {25,  27,   75,   288,  512,  576,  784,
                            800, 1024, 1152, 2304, 3456, 4608, 8192};
    static const int code[] = {2, 2, 4, 8, 8, 8, 16, 16, 16, 16, 16, 32, 32, 32};
    static const int paper[] = {2, 2, 2, 4, 8, 8, 8, 8, 8, 8, 16, 16, 16, 32};
    static const char *const laws[][2] = {{"init.law=uniform-fan-in:3", NULL},
                                          {"init.law=uniform-fan-in:6", NULL}};
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++)
        for (int law = 0; law < 2; law++) {
            NetFixture f;
            FxDataset data;
            open_fan_in(&f, &data, n[i], laws[law]);
            int alpha = 1 << fx_net_product(&f.net, 0)->alpha, wanted = law ? paper[i] : code[i];
            if (alpha != wanted)
                fail_msg("%s, n = %d: alpha = %d, not %d", laws[law][0], n[i], alpha, wanted);
            net_close(&f);
            fx_dataset_free(&data);
        }
}

// b^2 n >= C 2^(2j + 2 k_W - 1), with b = 3/2: 9 n >= 4 C 2^(...), for every width; the first j
// that fails ends it.
static void layer_constants_follow_the_formula_at_every_width(void **state) {
    (void)state;
    static const int fan_ins[] = {1,  2,  3,   5,   6,   10,  11,   21,   22,   42,  43,
                                  85, 86, 170, 171, 341, 342, 1365, 1366, 5461, 5462};
    for (int bits = 2; bits <= 6; bits++)
        for (int C = 3; C <= 6; C += 3)
            for (size_t i = 0; i < sizeof fan_ins / sizeof fan_ins[0]; i++) {
                char weight[64], law[64];
                const char *const overrides[] = {weight, law, "store.clip=grid", "store.q=fixed9f8",
                                                 NULL};
                NetFixture f;
                FxDataset data;
                int m = 0, n = fan_ins[i];
                snprintf(weight, sizeof weight, "weight.q=fixed%d@alpha", bits);
                snprintf(law, sizeof law, "init.law=uniform-fan-in:%d", C);
                while ((Wide)9 * n >= 4 * C * slow_power(2 * m + 2 * bits - 1))
                    m++;
                open_fan_in(&f, &data, n, overrides);
                if (fx_net_product(&f.net, 0)->alpha != m)
                    fail_msg("%d bits, C = %d, n = %d: alpha = 2^%d, not 2^%d", bits, C, n,
                             fx_net_product(&f.net, 0)->alpha, m);
                net_close(&f);
                fx_dataset_free(&data);
            }
}

static void initial_ternary_weights_are_64_times_a_draw_of_three(void **state) {
    (void)state;
    static const int fan_ins[] = {6, 7, 64, 785};
    for (int i = 0; i < 4; i++) {
        NetFixture f;
        FxDataset data;
        open_fan_in(&f, &data, fan_ins[i], NULL);
        const FxTensor *store = &fx_net_product(&f.net, 0)->store;
        FxRng rng = {UINT64_C(0x123456789abcdef1), 256 + 128, 0};
        assert_int_equal(store->exponent, -7);
        for (size_t j = 0; j < store->count; j++) {
            int64_t wanted = 64 * ((int64_t)((uint64_t)fx_rng_word(rng, j) * 3 / 4294967296) - 1);
            if (fx_tensor_get(store, j) != wanted)
                fail_msg("n = %d: weight %zu is %lld, not %lld", fan_ins[i], j,
                         (long long)fx_tensor_get(store, j), (long long)wanted);
        }
        net_close(&f);
        fx_dataset_free(&data);
    }
}

// S = max(floor(2^16 b), floor(sqrt(floor(C 2^(2(k_W - 1) + 32) / n)))), code = floor(((2 word -
// 2^32) S + 2^47) / 2^48).
static void initial_weights_follow_the_general_law(void **state) {
    (void)state;
    static const int fan_ins[] = {1, 2, 3, 4, 5, 6, 9, 150},
                     weight_bits[] = {2, 3, 4, 5, 8, 12, 14},
                     store_bits[] = {8, 8, 8, 12, 10, 14, 16};
    static const struct {
        const char *text;
        int tenths;
    } floors[] = {{"init.floor=1.5", 15}, {"init.floor=0", 0}, {"init.floor=2.3", 23}};
    static const struct {
        const char *text;
        int halves; // of the store's range; 0: the grid's end
    } clips[] = {{"store.clip=grid", 0}, {"store.clip=0.5", 1}};
    for (int b = 0; b < 7; b++)
        for (int i = 0; i < 8; i++)
            for (int k = 0; k < 12; k++) {
                int kw = weight_bits[b], kg = store_bits[b], n = fan_ins[i], C = k % 2 ? 6 : 3,
                    least = floors[k / 2 % 3].tenths;
                char weight[64], store[64], law[64];
                const char *const overrides[] = {
                    weight, store, law, floors[k / 2 % 3].text, clips[k / 6].text, NULL};
                NetFixture f;
                FxDataset data;
                snprintf(weight, sizeof weight, "weight.q=fixed%d@alpha", kw);
                snprintf(store, sizeof store, "store.q=fixed%d", kg);
                snprintf(law, sizeof law, "init.law=uniform-fan-in:%d", C);
                Wide S = slow_root(C * slow_power(2 * (kw - 1) + 32) / n),
                     half = slow_power(kw - 1) - 1, limit = slow_power(kg - 1) - 1;
                S = S > (Wide)65536 * least / 10 ? S : (Wide)65536 * least / 10;
                limit = clips[k / 6].halves ? slow_power(kg - 2) : limit;
                open_fan_in(&f, &data, n, overrides);
                const FxTensor *codes = &fx_net_product(&f.net, 0)->store;
                FxRng rng = {UINT64_C(0x123456789abcdef1), 256 + 128, 0};
                for (size_t j = 0; j < codes->count; j++) {
                    Wide word = fx_rng_word(rng, j),
                         code = slow_floor((2 * word - slow_power(32)) * S + slow_power(47),
                                           slow_power(48));
                    code = (code > half ? half : code < -half ? -half : code) * slow_power(kg - kw);
                    code = code > limit ? limit : code < -limit ? -limit : code;
                    if (fx_tensor_get(codes, j) != (int64_t)code)
                        fail_msg("k_W = %d, k_G = %d, n = %d, C = %d, %s, %s: weight %zu is %lld, "
                                 "not %lld",
                                 kw, kg, n, C, floors[k / 2 % 3].text, clips[k / 6].text, j,
                                 (long long)fx_tensor_get(codes, j), (long long)code);
                }
                net_close(&f);
                fx_dataset_free(&data);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_gives_every_known_intermediate),
        cmocka_unit_test(the_example_s_random_words_give_the_known_steps_at_every_rate),
        cmocka_unit_test(updates_of_the_example_take_one_of_the_two_neighbours),
        cmocka_unit_test(after_the_first_step_the_example_has_the_known_ternary_weights_and_loss),
        cmocka_unit_test(layer_constants_follow_the_table_of_the_code_and_of_the_paper),
        cmocka_unit_test(layer_constants_follow_the_formula_at_every_width),
        cmocka_unit_test(initial_ternary_weights_are_64_times_a_draw_of_three),
        cmocka_unit_test(initial_weights_follow_the_general_law),
    };
    return cmocka_run_group_tests_name("wage_example", tests, NULL, NULL);
}
