// Global average pooling: the golden rows, every type and size against the rule on 128-bit integers, float32 in its defined
// order, and a training step told tensor by tensor.
#include "layers/global_average_pool.h"
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/layer_of.h"
#include "tests/net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FxLayer gap_of(FxShape in) {
    FxError err = {0};
    FxLayer l = {.ops = &fx_gap_ops, .count = -1, .kernel = -1, .pad = -1, .stride = -1, .in = in};
    if (l.ops->plan(&l, "gap", &err))
        fail_msg("%s", err.text);
    assert_true(l.out.n == in.n && l.out.h == 1 && l.out.w == 1 && l.out.c == in.c);
    return l;
}

static void the_rows_of_the_table_have_the_known_means_and_errors(void **state) {
    (void)state;
    enum { ROOM = 64, MOST_CHANNELS = 6 };
    Golden g = golden_read("batchnorm/add_gap.csv", 21);
    int rows[2] = {0, 0};
    for (size_t row = 0; row < g.rows; row++) {
        const char *op = golden_cell(&g, row, "op"), *name = golden_cell(&g, row, "case");
        bool back = !strcmp(op, "gap-back");
        if (!back && strcmp(op, "gap"))
            continue;
        int64_t in[ROOM], want[ROOM];
        int n = (int)golden_int(&g, row, "n"), from = (int)golden_int(&g, row, "exponents");
        size_t codes = golden_list(in, ROOM, golden_cell(&g, row, "in1")), results = golden_list(want, ROOM, golden_cell(&g, row, "out"));
        assert_int_equal(codes, back ? results : (size_t)n);
        FxLayer l = gap_of((FxShape){1, n, 1, back ? (int)codes : 1});
        FxWork work = {.threads = 1, .cpu = any_cpu()};
        FxTensor x = tensor_of(back ? FX_INT8 : FX_INT16, in, codes), y = tensor_new(FX_INT64, back ? codes * (size_t)n : 1);
        if (back)
            l.ops->backward_data(&l, &x, &y, &work, NULL);
        else
            l.ops->forward(&l, &x, &y, &work, NULL);
        if (from + l.gain != golden_int(&g, row, "e"))
            fail_msg("%s: exponent %d", name, from + l.gain);
        for (size_t i = 0; i < y.count; i++)
            if (fx_tensor_get(&y, i) != want[i % results])
                fail_msg("%s: code %zu is %lld, not %lld", name, i, (long long)fx_tensor_get(&y, i), (long long)want[i % results]);
        tensor_free(&x);
        tensor_free(&y);
        rows[back]++;
    }
    assert_int_equal(rows[0], 7);
    assert_int_equal(rows[1], 7);
    golden_free(&g);
}

// ---- the rule ---------------------------------------------------------------------------------------------------------------

static int slow_gain(int n) {
    for (int p = 0; p < 31; p++)
        if (n == 1 << p)
            return -p;
    return -8;
}

static Wide slow_mean(Wide sum, int n) {
    const Wide most = slow_power(62) - 1;
    if (slow_gain(n) == -8 && n != 256)
        sum = slow_floor(sum * 512 + n, 2 * (Wide)n); // halves up
    return sum > most ? most : sum < -most ? -most : sum;
}

static FxTensor filled(FxType type, size_t n, bool extremes) {
    static const int bits[] = {7, 8, 15, 31, 62};
    FxTensor t = tensor_new(type, n);
    bool low = draw(2);
    for (size_t i = 0; i < n; i++) {
        int64_t end = (INT64_C(1) << bits[type]) - 1, v = extremes ? (low ? -end : end) : slow_fill(draw(UINT64_C(1) << 40), bits[type]);
        fx_tensor_set(&t, i, type == FX_UINT8 ? llabs(v) : v);
    }
    return t;
}

static void check(FxShape in, FxType type, FxType error, FxType carried, bool extremes) {
    FxLayer l = gap_of(in);
    FxWork work = {.threads = any_threads(), .cpu = any_cpu()};
    int n = in.h * in.w;
    size_t c = (size_t)in.c;
    FxTensor x = filled(type, fx_shape_count(in), extremes), y = tensor_new(FX_INT64, fx_shape_count(l.out));
    FxTensor e = filled(error, y.count, false), dx = filled(carried, x.count, false);
    assert_int_equal(l.gain, slow_gain(n));
    l.ops->forward(&l, &x, &y, &work, NULL);
    l.ops->backward_data(&l, &e, &dx, &work, NULL);
    for (size_t o = 0; o < y.count; o++) {
        Wide sum = 0;
        for (int i = 0; i < n; i++)
            sum += fx_tensor_get(&x, (o / c * (size_t)n + (size_t)i) * c + o % c);
        if (fx_tensor_get(&y, o) != slow_mean(sum, n))
            fail_msg("%d x %d x %d of %s: y[%zu] = %lld, not %lld", in.h, in.w, in.c, fx_type_name(type), o, (long long)fx_tensor_get(&y, o),
                     (long long)slow_mean(sum, n));
    }
    for (size_t i = 0; i < dx.count; i++) {
        size_t o = i / c / (size_t)n * c + i % c;
        if (fx_tensor_get(&dx, i) != slow_mean(fx_tensor_get(&e, o), n))
            fail_msg("%d x %d x %d, errors of %s: dx[%zu] = %lld, not %lld", in.h, in.w, in.c, fx_type_name(error), i,
                     (long long)fx_tensor_get(&dx, i), (long long)slow_mean(fx_tensor_get(&e, o), n));
    }
    FxTensor *all[] = {&x, &y, &e, &dx};
    for (size_t i = 0; i < 4; i++)
        tensor_free(all[i]);
}

static void every_type_and_size_is_the_rule(void **state) {
    (void)state;
    static const int channels[] = {1, 3, 16, 64, 65, 130};
    for (int h = 1; h <= 9; h++)
        for (int w = 1; w <= 9; w += h > 4 ? 2 : 1)
            for (int type = FX_INT8; type <= FX_INT64; type++) {
                FxShape in = {1 + (int)draw(3), h, w, channels[draw(6)]};
                check(in, (FxType)type, FX_INT8, h * w > 2 ? FX_INT16 : FX_INT32, false);
                check(in, (FxType)type, FX_INT16, FX_INT32, true);
                check(in, (FxType)type, FX_INT64, FX_INT64, false);
            }
    check((FxShape){2, 16, 16, 3}, FX_INT8, FX_INT8, FX_INT8, false);
    check((FxShape){1, 1000, 999, 2}, FX_INT64, FX_INT8, FX_INT8, true); // sums of 82 bits
    check((FxShape){1, 1024, 1024, 2}, FX_INT32, FX_INT8, FX_INT8, true);
}

static void an_error_grows_by_no_more_than_is_planned_for(void **state) {
    (void)state;
    for (int n = 1; n <= 600; n++) {
        Wide growth = (Wide)fx_gap_growth((uint64_t)n), large = 1 << 20;
        bool fits = slow_mean(127, n) <= 127 * growth && slow_mean(-127, n) >= -127 * growth, less = growth == 1 || slow_mean(large, n) > large * (growth - 1);
        if (!fits || !less)
            fail_msg("%d positions: 127 becomes %lld, planned for %lld times", n, (long long)slow_mean(127, n), (long long)growth);
    }
}

// ---- float32 ------------------------------------------------------------------------------------------------------------------

static void floats_are_added_up_in_chunks_of_4096_and_divided_once(void **state) {
    (void)state;
    static const FxShape shapes[] = {{2, 1, 1, 3}, {1, 8, 8, 70}, {3, 7, 7, 16}, {2, 64, 64, 2}, {1, 64, 65, 3}, {1, 130, 70, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        unsigned cpu;
        FxLayer l = gap_of(shapes[s]);
        size_t n = (size_t)(l.in.h * l.in.w), c = (size_t)l.in.c;
        FxTensor x = tensor_new(FX_FLOAT32, fx_shape_count(l.in)), y = tensor_new(FX_FLOAT32, fx_shape_count(l.out));
        FxTensor e = tensor_new(FX_FLOAT32, y.count), dx = tensor_new(FX_FLOAT32, x.count);
        float *in = x.data, *out = y.data, *error = e.data, *back = dx.data;
        for (size_t i = 0; i < x.count; i++)
            in[i] = (float)slow_fill(draw(1 << 30), 40) * 0x1p-30f;
        for (size_t i = 0; i < e.count; i++)
            error[i] = (float)slow_fill(draw(1 << 30), 30);
        for (int line = 0; cpu_level(line, &cpu); line++) {
            FxWork work = {.threads = 1 + line % 3, .cpu = cpu};
            memset(out, 0xff, y.count * sizeof *out);
            memset(back, 0xff, dx.count * sizeof *back);
            l.ops->forward(&l, &x, &y, &work, NULL);
            l.ops->backward_data(&l, &e, &dx, &work, NULL);
            for (size_t o = 0; o < y.count; o++) {
                float sum = 0;
                for (size_t first = 0; first < n; first += 4096) {
                    float chunk = 0;
                    for (size_t i = first; i < n && i < first + 4096; i++)
                        chunk += in[(o / c * n + i) * c + o % c];
                    sum += chunk;
                }
                sum /= (float)n;
                if (memcmp(&sum, &out[o], sizeof sum))
                    fail_msg("%zu positions, cpu %u: y[%zu] is %a, not %a", n, cpu, o, (double)out[o], (double)sum);
            }
            for (size_t i = 0; i < dx.count; i++) {
                float want = error[i / c / n * c + i % c] / (float)n;
                if (memcmp(&want, &back[i], sizeof want))
                    fail_msg("%zu positions, cpu %u: dx[%zu] is %a, not %a", n, cpu, i, (double)back[i], (double)want);
            }
        }
        FxTensor *all[] = {&x, &y, &e, &dx};
        for (size_t i = 0; i < 4; i++)
            tensor_free(all[i]);
    }
}

// ---- in a step ----------------------------------------------------------------------------------------------------------------

static const Recorded *found(const Recording *r, const char *what) {
    const Recorded *t = recording_find(r, 1, what);
    if (!t)
        fail_msg("no tensor %s of the first layer", what);
    return t;
}

// The means and the errors of a step from what it tells, for 6 x 6 and 8 x 8 positions.
static void a_step_of_integers_averages_and_hands_the_error_back(void **state) {
    (void)state;
    static const struct {
        const char *net;
        int n;
    } cases[] = {{"4C3p0-GAP-10", 36}, {"4C3-GAP-10", 64}};
    for (size_t k = 0; k < 2; k++) {
        enum { C = 4, BATCH = 8 };
        NetFixture f;
        Recording r = {0};
        FxTrace trace = recording_trace(&r);
        net_open(&f, &(NetSetup){.recipe = "int8-sr", .net = cases[k].net, .data = dataset_digits(), .batch = BATCH, .seed = 3});
        net_train(&f, &trace);
        const Recorded *x = found(&r, "relu"), *mask = found(&r, "relu.mask"), *y = found(&r, "gap");
        const Recorded *e = found(&r, "error.quantised"), *dx = found(&r, "error");
        int n = cases[k].n;
        size_t mixed = 0;
        assert_int_equal(y->count, BATCH * C);
        assert_int_equal(dx->count, BATCH * C * (size_t)n);
        assert_int_equal(y->exponent, x->exponent + slow_gain(n));
        assert_int_equal(dx->exponent, e->exponent + slow_gain(n));
        for (size_t o = 0; o < y->count; o++) {
            Wide sum = 0;
            for (size_t i = 0; i < (size_t)n; i++)
                sum += x->codes[(o / C * (size_t)n + i) * C + o % C];
            assert_true(y->codes[o] == slow_mean(sum, n));
        }
        for (size_t i = 0; i < dx->count; i++) {
            size_t o = i / C / (size_t)n * C + i % C;
            bool passes = mask->codes[i] && y->codes[o] > 0; // the second rectifier masks too
            if (dx->codes[i] != (passes ? slow_mean(e->codes[o], n) : 0))
                fail_msg("%s: error %zu is %lld of %lld", cases[k].net, i, (long long)dx->codes[i], (long long)e->codes[o]);
            mixed += dx->codes[i] != 0;
        }
        assert_true(mixed > 0);
        recording_clear(&r);
        net_close(&f);
    }
}

static void a_mean_of_the_image_and_copies_that_would_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *net, *override, *why;
    } wrong[] = {{"GAP-10", NULL, "gap before the first product"},
                 {"4C3p0-GAP-10", "error.grad.q=fixed8@max", "positions that are no power of two"},
                 {"4C3p0-GAP-10", "error.q=fixed30@max", "fan out of a GAP need more than 32 bits"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        NetFixture f;
        FxError err = {0};
        NetSetup setup = {.recipe = "int8-sr", .net = wrong[i].net, .data = dataset_digits(), .batch = 8, .seed = 1, .overrides = {wrong[i].override}};
        if (net_try(&f, &setup, &err) != -1 || err.exit_code != FX_EXIT_USAGE || !strstr(err.text, wrong[i].why))
            fail_msg("%s: \"%s\"", wrong[i].net, err.text);
    }
    NetFixture f;
    net_open(&f, &(NetSetup){.recipe = "int8-sr", .net = "4C3-GAP-10", .data = dataset_digits(), .batch = 8, .seed = 1,
                             .overrides = {"error.grad.q=fixed16@max"}});
    net_train(&f, NULL);
    net_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rows_of_the_table_have_the_known_means_and_errors),
        cmocka_unit_test(every_type_and_size_is_the_rule),
        cmocka_unit_test(an_error_grows_by_no_more_than_is_planned_for),
        cmocka_unit_test(floats_are_added_up_in_chunks_of_4096_and_divided_once),
        cmocka_unit_test(a_step_of_integers_averages_and_hands_the_error_back),
        cmocka_unit_test(a_mean_of_the_image_and_copies_that_would_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
