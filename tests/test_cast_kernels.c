// Casts of integers on fixed grids, whatever the carriers, values too: every shift around those that the kernels take, each
// instruction set, against the slow twin's codes and counts.
#include "tests/cast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 1024 + 77 }; // a block and a tail

static const char *const texts[] = {
    "fixed8", "fixed5", "fixed8t", "fixed16/nearest-even", "fixed8/stochastic:32", "fixed16/stochastic:32", "fixed8/stochastic:8",
    "fixed8/stochastic:8:a", "fixed16t/stochastic:3", "fixed8/nearest-away", "fixed8t/nearest-even/wrap",
};
static const FxType types[] = {FX_INT8, FX_INT16, FX_INT32, FX_INT64};
static const int bits[] = {7, 15, 31, 62};

// Numbers of the type with its least code and its zeros, and of one size, so that all ends of the grid are met at any shift.
static void fill(int64_t *x, int source, int shift) {
    const int about = shift + 8 < 2 ? 2 : shift + 8 > bits[source] ? bits[source] : shift + 8;
    for (size_t i = 0; i < N; i++)
        x[i] = i % 7 == 0 ? 0 : slow_fill(i * 67 + (uint64_t)(shift + 9), i % 2 ? about : bits[source]);
    x[1] = source < 3 ? -(INT64_C(1) << bits[source]) : 1 - (INT64_C(1) << 62);
    x[2] = (INT64_C(1) << bits[source]) - 1;
    x[3] = -1;
    x[4] = 1;
}

static void check(const char *text, const FxQuantiser *q, int source, FxType to, int shift, unsigned cpu) {
    static int64_t x[N], y[N];
    static uint32_t R[N];
    const SlowGrid grid = slow_grid_of(q);
    const SlowLaw law = slow_law_of(q, 32);
    FxCast cast = cast_of(q, shift, cpu);
    FxStats got = {0}, want = {.n = N};
    const bool random = fx_rounding_mode(&q->rounding)->needs & FX_ROUND_RANDOM;
    cast.exponent = to == FX_FLOAT32 ? -12 : 0;
    fill(x, source, shift);
    cast_codes(y, &cast, types[source], to, x, N, &got);
    if (random)
        fx_random_bits(R, &cast.random, cast.element0, N, cast.arg.bits, FX_CPU_SCALAR);
    for (size_t i = 0; i < N; i++) {
        bool outside;
        const int64_t code = slow_code(&grid, &law, x[i], shift, random ? R[i] : 0, &outside);
        const uint64_t m = x[i] < 0 ? 0 - (uint64_t)x[i] : (uint64_t)x[i];
        if (y[i] != code)
            fail_msg("%s, int%d, cpu %u: %lld / 2^%d with R %u is %lld, not %lld", text, bits[source] + 1, cpu,
                     (long long)x[i], shift, random ? R[i] : 0, (long long)y[i], (long long)code);
        want.saturated += outside;
        want.zeros_in += x[i] == 0;
        want.zeros_out += code == 0;
        want.underflowed += code == 0 && x[i] != 0;
        want.at_limit += code == grid.low || code == grid.high;
        want.max_abs = m > want.max_abs ? m : want.max_abs;
    }
    if (got.n != want.n || got.saturated != want.saturated || got.zeros_in != want.zeros_in || got.zeros_out != want.zeros_out ||
        got.underflowed != want.underflowed || got.at_limit != want.at_limit || got.max_abs != want.max_abs)
        fail_msg("%s, int%d, cpu %u, 2^%d: other counts", text, bits[source] + 1, cpu, shift);
}

static void casts_of_every_integer_are_the_slow_twins(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        const FxQuantiser q = quantiser_of(texts[k]);
        unsigned cpu;
        for (int i = 0; next_cpu(&i, &cpu);)
            for (int source = 0; source < 4; source++)
                for (int shift = -2; shift <= (source < 3 ? 33 : 62); shift++) {
                    check(texts[k], &q, source, FX_INT16, shift, cpu);
                    check(texts[k], &q, source, FX_FLOAT32, shift, cpu);
                    if (fx_grid_low(&q.grid) >= INT8_MIN && fx_grid_high(&q.grid) <= INT8_MAX)
                        check(texts[k], &q, source, FX_INT8, shift, cpu);
                }
    }
}

// What a shift of 0 does not need is not drawn: the result has no words in it.
static void a_cast_without_a_shift_is_the_same_under_any_words(void **state) {
    (void)state;
    const FxQuantiser q = quantiser_of("fixed8/stochastic:32");
    int64_t x[N], y[2][N];
    fill(x, 0, 0);
    for (uint32_t step = 0; step < 2; step++) {
        FxCast cast = cast_of(&q, 0, fx_cpu_detect());
        FxStats stats = {0};
        cast.random.rng.step = step;
        cast_codes(y[step], &cast, FX_INT8, FX_INT8, x, N, &stats);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(y[0][i], x[i] == -128 ? -127 : x[i]);
}

static void the_largest_magnitude_is_found_at_any_place(void **state) {
    (void)state;
    unsigned cpu;
    for (int i = 0; next_cpu(&i, &cpu);)
        for (int source = 0; source < 4; source++)
            for (size_t n = 0; n < 150; n++) {
                int64_t x[150];
                uint64_t want = 0;
                int exponent = 0;
                for (size_t j = 0; j < n; j++) {
                    x[j] = slow_fill(j + 1000 * n, (int)(n % (size_t)bits[source]) + 1);
                    x[j] = n % 5 == 1 && j == n / 2 && source < 3 ? -(INT64_C(1) << bits[source]) : x[j];
                    const uint64_t m = x[j] < 0 ? 0 - (uint64_t)x[j] : (uint64_t)x[j];
                    want = m > want ? m : want;
                }
                FxTensor t = tensor_of(types[source], x, n);
                assert_int_equal(fx_max_abs(t.data, t.type, n, &exponent, cpu), want);
                tensor_free(&t);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(casts_of_every_integer_are_the_slow_twins),
        cmocka_unit_test(a_cast_without_a_shift_is_the_same_under_any_words),
        cmocka_unit_test(the_largest_magnitude_is_found_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
