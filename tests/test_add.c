// Addition of tensors with exponents of their own: the golden rows, and random ones against the rule on 128-bit integers.
#include "layers/add.h"
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = FX_MOST_ADDENDS };

static const FxType types[] = {FX_INT8, FX_UINT8, FX_INT16, FX_INT32, FX_INT64};

static void expect_list(const char *name, const FxTensor *y, const int64_t *want, size_t n) {
    assert_int_equal(y->count, n);
    for (size_t i = 0; i < n; i++)
        if (fx_tensor_get(y, i) != want[i])
            fail_msg("%s: element %zu is %lld, not %lld", name, i, (long long)fx_tensor_get(y, i), (long long)want[i]);
}

// ---- the rule, one element at a time --------------------------------------------------------------------------------------

static Wide limited(Wide x, int bits) {
    Wide most = slow_power(bits) - 1;
    return x > most ? most : x < -most ? -most : x;
}

static Wide product_at(const FxAddend *a, size_t i) {
    return (Wide)fx_tensor_get(a->x, i) * (a->multiplier ? a->multiplier[i % a->channels] : 1);
}

static int exponent_at(const FxAddend *a, size_t i) {
    return a->multiplier ? a->exponent[i % a->channels] : a->x->exponent;
}

static int slow_exponent(const FxAddend *a, int count) {
    int least = INT32_MAX, most = INT32_MIN, zeros = exponent_at(&a[0], 0);
    for (size_t c = 0; a[0].multiplier && c < a[0].channels; c++)
        zeros = exponent_at(&a[0], c) > zeros ? exponent_at(&a[0], c) : zeros;
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < a[k].x->count; i++)
            if (product_at(&a[k], i)) {
                int e = exponent_at(&a[k], i);
                least = e < least ? e : least;
                most = e > most ? e : most;
            }
    return most == INT32_MIN ? zeros : least < most - 24 ? most - 24 : least;
}

static Wide slow_sum(const FxAddend *a, int count, size_t i, int e) {
    Wide sum = 0;
    for (int k = 0; k < count; k++) {
        Wide v = limited(product_at(&a[k], i), 38);
        int s = e - exponent_at(&a[k], i);
        if (v && s <= 0)
            v *= slow_power(-s);
        else if (v) {
            s = s < 60 ? s : 60;
            v = slow_floor(2 * v + slow_power(s), 2 * slow_power(s)); // halves up
        }
        sum = limited(sum + v, 62);
    }
    return sum;
}

static void check(const char *what, const FxAddend *a, int count, size_t n, int threads) {
    FxTensor y = tensor_new(FX_INT64, n);
    unsigned cpu;
    int want = slow_exponent(a, count);
    for (int line = 0; cpu_level(line, &cpu); line++) {
        FxWork work = {.threads = threads, .cpu = cpu};
        int e = 99;
        memset(y.data, 0xee, n * sizeof(int64_t));
        fx_add(a, count, &y, &e, &work);
        if (e != want)
            fail_msg("%s, %d addends of %zu, cpu %u: exponent %d, not %d", what, count, n, cpu, e, want);
        for (size_t i = 0; i < n; i++)
            if (fx_tensor_get(&y, i) != slow_sum(a, count, i, want))
                fail_msg("%s, %d addends of %zu, cpu %u, threads %d: element %zu is %lld, not %lld", what, count, n, cpu, threads, i,
                         (long long)fx_tensor_get(&y, i), (long long)slow_sum(a, count, i, want));
    }
    tensor_free(&y);
}

// ---- tests ----------------------------------------------------------------------------------------------------------------

static void the_rows_of_the_table_have_the_known_sums_from_every_type(void **state) {
    (void)state;
    static const char *const inputs[] = {"in1", "in2", "in3"};
    Golden g = golden_read("batchnorm/add_gap.csv", 21);
    size_t rows = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (strcmp(golden_cell(&g, row, "op"), "add"))
            continue;
        const char *name = golden_cell(&g, row, "case");
        int64_t exponents[3], in[3][8], want[8], relu[8];
        int count = (int)golden_list(exponents, 3, golden_cell(&g, row, "exponents"));
        size_t n = golden_list(want, 8, golden_cell(&g, row, "out"));
        assert_int_equal(golden_list(relu, 8, golden_cell(&g, row, "relu")), n);
        for (int k = 0; k < count; k++)
            assert_int_equal(golden_list(in[k], 8, golden_cell(&g, row, inputs[k])), n);
        for (size_t type = 0; type < 5; type++) { // each addend in the widest of its types up to this one
            FxTensor x[3], y = tensor_new(FX_INT64, n);
            FxAddend a[3] = {{0}};
            FxWork work = {.threads = 1, .cpu = any_cpu()};
            int e = 0;
            for (int k = 0; k < count; k++) {
                size_t t = type;
                for (size_t i = 0; i < n; i++)
                    while (!type_holds(types[t], in[k][i]))
                        t++;
                x[k] = tensor_of(types[t], in[k], n);
                x[k].exponent = (int)exponents[k];
                a[k].x = &x[k];
            }
            fx_add(a, count, &y, &e, &work);
            assert_int_equal(e, golden_int(&g, row, "e"));
            expect_list(name, &y, want, n);
            for (size_t i = 0; i < n; i++)
                assert_true(relu[i] == (want[i] > 0 ? want[i] : 0));
            for (int k = 0; k < count; k++)
                tensor_free(&x[k]);
            tensor_free(&y);
        }
        rows++;
    }
    assert_int_equal(rows, 7);
    golden_free(&g);
}

// Codes of all magnitudes and edges; sparse: mostly zeros.
static FxTensor codes_of(FxType type, size_t n, bool sparse) {
    static const int bits[] = {7, 8, 15, 31, 62};
    FxTensor t = tensor_new(type, n);
    for (size_t i = 0; i < n; i++) {
        int64_t v = slow_fill(draw(UINT64_C(1) << 40), bits[type]);
        fx_tensor_set(&t, i, sparse && draw(8) ? 0 : type == FX_UINT8 ? llabs(v) : v);
    }
    t.exponent = (int)draw(60) - 40;
    return t;
}

static void every_mix_of_types_exponents_and_counts_is_the_rule(void **state) {
    (void)state;
    for (int trial = 0; trial < 400; trial++) {
        FxTensor x[MOST];
        FxAddend a[MOST] = {{0}};
        size_t n = trial % 40 == 39 ? 33000 + draw(4000) : draw(300);
        int count = trial % 10 ? 1 + (int)draw(4) : 1 + (int)draw(MOST);
        bool narrow = draw(2); // no int64
        for (int k = 0; k < count; k++) {
            x[k] = codes_of(types[draw(narrow ? 4 : 5)], n, draw(2));
            x[k].exponent = draw(4) ? x[k].exponent : 7;
            if (draw(6) == 0)
                memset(x[k].data, 0, n * fx_type_size(x[k].type));
            a[k].x = &x[k];
        }
        check("mix", a, count, n, any_threads());
        for (int k = 0; k < count; k++)
            tensor_free(&x[k]);
    }
}

typedef struct Channels {
    int32_t multiplier[700], exponent[700];
} Channels;

// A norm's error: some channels dead, some of zeros, with exponents far apart.
static FxAddend norm_error(Channels *c, FxTensor *x, size_t channels, int spread) {
    for (size_t i = 0; i < channels; i++) {
        c->multiplier[i] = draw(5) ? (int32_t)slow_fill(draw(1 << 20), (int)draw(2) ? 15 : 31) : 0;
        c->exponent[i] = (int)draw((uint64_t)spread) - 50;
        for (size_t j = i; draw(6) == 0 && j < x->count; j += channels)
            fx_tensor_set(x, j, 0);
    }
    return (FxAddend){x, c->multiplier, c->exponent, channels};
}

static void addends_with_multipliers_count_with_the_exponents_of_their_live_channels(void **state) {
    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        static Channels parts[4];
        FxTensor x[4];
        FxAddend a[4];
        size_t rows = 1 + draw(30), widths[] = {1, 2, 3, 16, 64, 255, 257, 700}, width = widths[draw(8)];
        int count = 1 + (int)draw(4);
        for (int k = 0; k < count; k++) {
            bool plain = draw(3) == 0;
            x[k] = codes_of(plain ? types[draw(5)] : FX_INT32, rows * width, draw(2));
            a[k] = plain ? (FxAddend){.x = &x[k]} : norm_error(&parts[k], &x[k], width, draw(2) ? 12 : 90);
        }
        check("channels", a, count, rows * width, any_threads());
        for (int k = 0; k < count; k++)
            tensor_free(&x[k]);
    }
}

static void sums_that_pass_62_bits_are_held_in_the_order_of_the_addends(void **state) {
    (void)state;
    int64_t high = INT64_MAX, low = -INT64_MAX, one = 1;
    FxTensor x[] = {tensor_of(FX_INT64, &high, 1), tensor_of(FX_INT64, &high, 1), tensor_of(FX_INT64, &low, 1), tensor_of(FX_INT8, &one, 1)};
    FxAddend a[] = {{.x = &x[0]}, {.x = &x[1]}, {.x = &x[2]}, {.x = &x[3]}};
    FxTensor y = tensor_new(FX_INT64, 1);
    FxWork work = {.threads = 1, .cpu = any_cpu()};
    int e;
    x[0].exponent = x[1].exponent = x[2].exponent = 24;
    fx_add(a, 4, &y, &e, &work);
    int64_t operand = ((INT64_C(1) << 38) - 1) << 24;
    assert_int_equal(e, 0);
    assert_true(fx_tensor_get(&y, 0) == (INT64_C(1) << 62) - 1 - operand + 1);
    for (int k = 0; k < 4; k++)
        tensor_free(&x[k]);
    tensor_free(&y);
}

static void a_sum_of_zeros_has_the_first_exponent(void **state) {
    (void)state;
    int32_t multiplier[] = {3, 0}, exponent[] = {-9, -4};
    FxTensor x = tensor_new(FX_INT32, 4), z = tensor_new(FX_INT8, 4), y = tensor_new(FX_INT64, 4);
    FxAddend plain[] = {{.x = &z}, {&x, multiplier, exponent, 2}}, channels[] = {{&x, multiplier, exponent, 2}, {.x = &z}};
    FxWork work = {.threads = 1, .cpu = any_cpu()};
    int e;
    z.exponent = -30;
    fx_add(plain, 2, &y, &e, &work);
    assert_int_equal(e, -30);
    fx_tensor_set(&x, 1, 5); // of the dead channel
    fx_add(channels, 2, &y, &e, &work);
    assert_int_equal(e, -4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(fx_tensor_get(&y, i), 0);
    fx_tensor_set(&x, 2, 5);
    fx_add(channels, 2, &y, &e, &work);
    assert_int_equal(e, -9);
    assert_int_equal(fx_tensor_get(&y, 2), 15);
    tensor_free(&x);
    tensor_free(&z);
    tensor_free(&y);
}

// ---- float32 --------------------------------------------------------------------------------------------------------------

// The value rounded once: of |code| < 2^63 by long double, which holds it, into the float32 that is nearest.
static float slow_value(const FxAddend *a, size_t i) {
    if (a->x->type == FX_FLOAT32)
        return ((const float *)a->x->data)[i];
    volatile float rounded = (float)ldexpl((long double)product_at(a, i), exponent_at(a, i));
    return rounded;
}

static void floats_are_added_from_left_to_right_and_integers_rounded_once(void **state) {
    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        static Channels parts[5];
        FxTensor x[5];
        FxAddend a[5];
        size_t width = 1 + draw(40), n = trial % 40 == 39 ? 33000 / width * width : width * draw(60);
        int count = 1 + (int)draw(5);
        for (int k = 0; k < count; k++) {
            bool channels = draw(4) == 0, floats = !channels && draw(2);
            x[k] = codes_of(floats ? FX_INT32 : channels ? FX_INT32 : types[draw(5)], n, false);
            x[k].exponent = draw(3) ? x[k].exponent : draw(2) ? -150 : 70; // below and beyond what float32 holds
            a[k] = channels ? norm_error(&parts[k], &x[k], width, draw(2) ? 12 : 90) : (FxAddend){.x = &x[k]};
            for (size_t c = 0; channels && draw(3) == 0 && c < width; c++)
                parts[k].exponent[c] -= 110;
            if (floats) {
                FxTensor t = tensor_new(FX_FLOAT32, n);
                for (size_t i = 0; i < n; i++)
                    ((float *)t.data)[i] = (float)fx_tensor_get(&x[k], i) * 0x1p-20f;
                tensor_free(&x[k]);
                x[k] = t;
            }
        }
        FxTensor y = tensor_new(FX_FLOAT32, n);
        FxWork work = {.threads = any_threads(), .cpu = any_cpu()};
        fx_add_f32(a, count, &y, &work);
        for (size_t i = 0; i < n; i++) {
            float want = slow_value(&a[0], i), got = ((float *)y.data)[i];
            for (int k = 1; k < count; k++)
                want += slow_value(&a[k], i);
            if (memcmp(&got, &want, sizeof want) && !(isnan(got) && isnan(want)))
                fail_msg("%d addends of %zu, cpu %u: element %zu is %a, not %a", count, n, work.cpu, i, (double)got, (double)want);
        }
        for (int k = 0; k < count; k++)
            tensor_free(&x[k]);
        tensor_free(&y);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rows_of_the_table_have_the_known_sums_from_every_type),
        cmocka_unit_test(every_mix_of_types_exponents_and_counts_is_the_rule),
        cmocka_unit_test(addends_with_multipliers_count_with_the_exponents_of_their_live_channels),
        cmocka_unit_test(sums_that_pass_62_bits_are_held_in_the_order_of_the_addends),
        cmocka_unit_test(a_sum_of_zeros_has_the_first_exponent),
        cmocka_unit_test(floats_are_added_from_left_to_right_and_integers_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
