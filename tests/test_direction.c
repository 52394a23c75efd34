// The direction search against the same sums one element at a time and the true cosine in long double; the table of factors
// against float64.
#include "formats/direction.h"

#include "formats/cpu.h"
#include "tests/cast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- the twin -----------------------------------------------------------------------------------------------------------

typedef struct Twin {
    int offset;
    int32_t deviation;
    long double cosine[FX_DIRECTION_OFFSETS]; // the true ones
} Twin;

static int bits_of(Wide x) {
    int bits = 0;
    for (; x; x /= 2)
        bits++;
    return bits;
}

static Wide brought(Wide x, int a) {
    return a >= 0 ? x / slow_power(a) : x * slow_power(-a);
}

static Wide root_of(Wide x) {
    Wide root = (Wide)sqrtl((long double)x);
    while (root * root > x)
        root--;
    while ((root + 1) * (root + 1) <= x)
        root++;
    return root;
}

// g: integers, code of offset j = g / 2^(shift - j), shift >= 4.
static Twin twin_of(const Wide *g, size_t n, const FxQuantiser *q, int shift) {
    static const SlowLaw even = {.name = "nearest-even"};
    SlowGrid grid = slow_grid_of(q);
    Twin t = {0};
    Wide best_dot = 0, best_norms = 1, source = 0;
    for (size_t i = 0; i < n; i++)
        source += g[i] * g[i];
    for (int j = 0; j < FX_DIRECTION_OFFSETS && source; j++) {
        Wide dot = 0, codes = 0;
        for (size_t i = 0; i < n; i++) {
            bool outside;
            Wide c = slow_code(&grid, &even, g[i], shift - j, 0, &outside) * slow_power(shift - j);
            dot += g[i] * c;
            codes += c * c;
        }
        Wide most = dot > codes ? dot : codes;
        int a = bits_of(most > source ? most : source) - 31;
        Wide d = brought(dot, a), norms = root_of(brought(source, a) * brought(codes, a));
        t.cosine[j] = codes ? (long double)dot / sqrtl((long double)source * (long double)codes) : 0;
        if (norms == 0)
            d = 0, norms = 1;
        d = d > norms ? norms : d;
        if (j == 0 || d * best_norms > best_dot * norms) {
            best_dot = d;
            best_norms = norms;
            t.offset = j;
        }
    }
    if (source) // to nearest, ties up
        t.deviation = (int32_t)slow_floor(2 * 32768 * (best_norms - best_dot) + best_norms, 2 * best_norms);
    return t;
}

static int max_exponent(const FxQuantiser *q, const FxTensor *x, uint64_t *max, int *at) {
    *at = x->exponent;
    *max = fx_max_abs(x->data, x->type, x->count, at, 0);
    FxScaleInput in = {.max_abs = *max, .exponent = *at, .is_float = x->type == FX_FLOAT32};
    return fx_scale_choose(&q->scale, &q->grid, &in).exponent;
}

// What the search reads: integers as they are, of up to 40 bits; others to 31 bits of the largest.
static int read_integers(Wide *g, const FxTensor *x, uint64_t max, int at) {
    int bits = bits_of((Wide)max);
    if (x->type != FX_FLOAT32 && bits <= 40) {
        for (size_t i = 0; i < x->count; i++)
            g[i] = fx_tensor_get(x, i);
        return x->exponent;
    }
    int unit = at + bits - 31;
    for (size_t i = 0; i < x->count; i++) {
        long double v = x->type == FX_FLOAT32 ? (long double)((const float *)x->data)[i] : ldexpl((long double)fx_tensor_get(x, i), x->exponent);
        g[i] = isfinite(v) ? (Wide)rintl(ldexpl(v, -unit)) : 0;
    }
    return unit;
}

static int check(const char *text, const FxTensor *x, const char *what) {
    FxQuantiser q = quantiser_of(text);
    uint64_t max;
    int at, exponent = max_exponent(&q, x, &max, &at);
    Wide *g = calloc(x->count + 1, sizeof *g);
    assert_non_null(g);
    int unit = max ? read_integers(g, x, max, at) : 0, shift = exponent - unit;
    for (int up = shift < 4 ? 4 - shift : 0; max && up > 0; up--, shift++)
        for (size_t i = 0; i < x->count; i++)
            g[i] *= 2;
    Twin want = twin_of(g, x->count, &q, shift);
    int32_t deviation = -1;
    int got = fx_direction_offset(x, &q.grid, exponent, fx_cpu_detect(), &deviation);
    if (got != want.offset || deviation != want.deviation)
        fail_msg("%s, %s of %zu %s: offset %d, deviation %d, not %d and %d", what, text, x->count, fx_type_name(x->type), got, (int)deviation, want.offset,
                 (int)want.deviation);
    for (int j = 0; max && j < FX_DIRECTION_OFFSETS; j++)
        if (want.cosine[j] > want.cosine[got] + 0x1p-27L)
            fail_msg("%s, %s: offset %d has cosine %.12Lf, %d has %.12Lf", what, text, got, want.cosine[got], j, want.cosine[j]);
    if (max && fabsl((1 - want.cosine[got]) * 32768 - deviation) > 0.51L)
        fail_msg("%s, %s: deviation %d, 1 - cos is %.4Lf", what, text, (int)deviation, (1 - want.cosine[got]) * 32768);
    free(g);
    return got;
}

// ---- tests ----------------------------------------------------------------------------------------------------------------

static const char *const texts[] = {"fixed8@max", "fixed2@max", "fixed4@max", "fixed8t@max", "fixed16@max", "ufixed8@max", "fixed32@max", "ufixed32@max",
                                    "fixed8f-3@max"};
enum { TEXTS = sizeof texts / sizeof texts[0] };

// tail: how rare a large number is.
static int64_t number(uint64_t i, int bits, int tail) {
    int64_t x = slow_fill(i, bits - 1), small = slow_fill(i + 77777, bits > 9 ? bits - 8 : 2);
    return tail && slow_mix(i) % (uint64_t)tail ? small : x;
}

static void integers_of_every_type_and_grid_find_the_offset_of_the_definition(void **state) {
    (void)state;
    static const int bits[] = {7, 8, 15, 31, 62};
    int chosen[FX_DIRECTION_OFFSETS] = {0};
    for (uint64_t trial = 0; trial < 900; trial++) {
        FxType type = (FxType)(trial % 5);
        size_t n = trial % 7 ? slow_mix(trial) % 40 : 1500 + slow_mix(trial) % 1500;
        int width = type == FX_INT64 ? 20 + (int)(slow_mix(trial + 9) % 42) : bits[type], tail = (int)(trial % 4) * 30;
        FxTensor x = tensor_new(type, n);
        for (size_t i = 0; i < n; i++) {
            int64_t v = number(trial * 10000 + i, width, tail);
            fx_tensor_set(&x, i, type == FX_UINT8 ? llabs(v) : v);
        }
        x.exponent = (int)(slow_mix(trial) % 60) - 30;
        chosen[check(texts[slow_mix(trial + 1) % TEXTS], &x, "integers")]++;
        tensor_free(&x);
    }
    for (int j = 0; j < FX_DIRECTION_OFFSETS; j++)
        assert_true(chosen[j] > 0);
}

static void floats_are_read_to_31_bits_of_the_largest_and_what_is_not_finite_is_not_read(void **state) {
    (void)state;
    int chosen[FX_DIRECTION_OFFSETS] = {0};
    for (uint64_t trial = 0; trial < 500; trial++) {
        size_t n = trial % 7 ? slow_mix(trial) % 40 : 1500 + slow_mix(trial) % 1500;
        FxTensor x = tensor_new(FX_FLOAT32, n);
        int tail = (int)(trial % 4) * 30, power = (int)(slow_mix(trial) % 240) - 160;
        for (size_t i = 0; i < n; i++)
            ((float *)x.data)[i] = (float)ldexp((double)number(trial * 10000 + i, 40, tail), power - (int)(slow_mix(i) % 30));
        if (n > 5 && trial % 3 == 0) {
            ((float *)x.data)[1] = NAN;
            ((float *)x.data)[3] = -INFINITY;
        }
        chosen[check(texts[slow_mix(trial + 1) % TEXTS], &x, "floats")]++;
        tensor_free(&x);
    }
    assert_true(chosen[0] > 0 && chosen[1] > 0 && chosen[2] > 0);
}

static void one_number_and_what_the_grid_holds_keep_the_exponent_of_max(void **state) {
    (void)state;
    FxTensor zero = tensor_new(FX_INT32, 9), none = tensor_new(FX_INT32, 0), hot = tensor_new(FX_INT32, 9);
    int32_t deviation = 7;
    FxQuantiser q = quantiser_of("fixed8@max");
    assert_int_equal(fx_direction_offset(&zero, &q.grid, 5, 0, &deviation), 0);
    assert_int_equal(deviation, 0);
    assert_int_equal(fx_direction_offset(&none, &q.grid, 5, 0, NULL), 0);
    for (int i = 0; i < 31; i++) { // powers of two are on the grid at every exponent: 1 - cos is 0, ties go to 0
        fx_tensor_set(&hot, 4, i % 2 ? -(INT64_C(1) << i) : INT64_C(1) << i);
        for (size_t t = 0; t < TEXTS; t++)
            if (texts[t][0] == 'f')
                assert_int_equal(check(texts[t], &hot, "one"), 0);
        fx_direction_offset(&hot, &q.grid, i > 6 ? i - 6 : 0, 0, &deviation);
        assert_int_equal(deviation, 0);
    }
    FxTensor exact = tensor_new(FX_INT8, 255); // all codes: nothing is rounded at offset 0
    for (size_t i = 0; i < 255; i++)
        fx_tensor_set(&exact, i, (int64_t)i - 127);
    assert_int_equal(check("fixed8@max", &exact, "all codes"), 0);
    fx_tensor_set(&hot, 4, -5); // nothing on an unsigned grid
    q = quantiser_of("ufixed8");
    assert_int_equal(fx_direction_offset(&hot, &q.grid, 0, 0, &deviation), 0);
    assert_int_equal(deviation, FX_DEVIATION_ONE);
    tensor_free(&zero);
    tensor_free(&none);
    tensor_free(&hot);
    tensor_free(&exact);
}

// By hand, 3 levels: {8, 2, 2, ...}, unit 2^3 and 2^2: codes 1, 0, ... and cos = 8 / sqrt(64 + 4 * 99). Unit 2^1 and below: all
// codes 1: cos = (8 + 2 * 99) / sqrt((64 + 4 * 99) * 100).
static void a_rare_large_number_is_clipped_where_the_others_have_the_direction(void **state) {
    (void)state;
    FxTensor x = tensor_new(FX_INT16, 100);
    for (size_t i = 0; i < 100; i++)
        fx_tensor_set(&x, i, i == 50 ? 8 : i % 2 ? 2 : -2);
    int32_t deviation;
    FxQuantiser q = quantiser_of("fixed2");
    assert_true(check("fixed2@max", &x, "rare") >= 2);
    assert_true(fx_direction_offset(&x, &q.grid, 3, 0, &deviation) >= 2);
    assert_int_equal(deviation, lround(32768 * (1 - 206 / sqrt(460.0 * 100.0))));
    tensor_free(&x);
}

static void a_power_of_two_changes_nothing_and_parts_add_up(void **state) {
    (void)state;
    FxQuantiser q = quantiser_of("fixed8@max");
    for (uint64_t trial = 0; trial < 60; trial++) {
        enum { N = 2500 };
        FxTensor x = tensor_new(FX_INT32, N), up = tensor_new(FX_INT64, N);
        for (size_t i = 0; i < N; i++) {
            fx_tensor_set(&x, i, number(trial * N + i, 24, 40));
            fx_tensor_set(&up, i, fx_tensor_get(&x, i) * 4096);
        }
        uint64_t max;
        int at, exponent = max_exponent(&q, &x, &max, &at);
        int32_t a, b, c;
        int offset = fx_direction_offset(&x, &q.grid, exponent, 0, &a);
        assert_int_equal(fx_direction_offset(&up, &q.grid, exponent + 12, 0, &b), offset);
        assert_int_equal(a, b);
        FxDirection whole, part;
        fx_direction_start(&whole, &x, &q.grid, max, at, exponent);
        part = whole;
        size_t cut = slow_mix(trial) % N;
        fx_direction_add(&part, &x, cut, N - cut);
        fx_direction_add(&whole, &x, 0, cut);
        fx_direction_merge(&whole, &part);
        assert_int_equal(fx_direction_choose(&whole, &c), offset);
        assert_int_equal(c, a);
        tensor_free(&x);
        tensor_free(&up);
    }
}

static void the_factors_are_those_of_the_exponential_and_never_below_a_tenth(void **state) {
    (void)state;
    for (int32_t d = 0; d <= FX_DEVIATION_ONE; d++) {
        double steps = floor(d / 128.0 + 0.5), want = fmax(exp(-20 * steps / 256), 0.1);
        if (fx_deviation_factor(d) != (int32_t)lround(32768 * want))
            fail_msg("deviation %d: factor %d, not %ld", (int)d, (int)fx_deviation_factor(d), lround(32768 * want));
    }
    assert_int_equal(fx_deviation_factor(0), FX_DEVIATION_ONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_type_and_grid_find_the_offset_of_the_definition),
        cmocka_unit_test(floats_are_read_to_31_bits_of_the_largest_and_what_is_not_finite_is_not_read),
        cmocka_unit_test(one_number_and_what_the_grid_holds_keep_the_exponent_of_max),
        cmocka_unit_test(a_rare_large_number_is_clipped_where_the_others_have_the_direction),
        cmocka_unit_test(a_power_of_two_changes_nothing_and_parts_add_up),
        cmocka_unit_test(the_factors_are_those_of_the_exponential_and_never_below_a_tenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
