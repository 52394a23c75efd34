// Casts: codes and counts of every grid, rounding, overflow, type, shift, CPU path and split against the slow twin and a
// plain loop; WAGE's operators. With the argument "slow", more values and shifts.
#include "tests/cast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool slow_run;

enum { MOST = 2600, ELEMENT0 = 4090 };

// What a cast must give, by a plain loop.
typedef struct Expected {
    int64_t codes[MOST];
    FxStats stats;
} Expected;

static void expect(Expected *e, const FxCast *cast, const int64_t *x, size_t n, int exponent) {
    static uint32_t R[MOST];
    SlowGrid grid = slow_grid_of(cast->q);
    SlowLaw law = slow_law_of(cast->q, fx_random_width(&cast->random));
    FxStats s = {.n = n};
    bool random = fx_round_modes[cast->q->rounding.mode].needs & FX_ROUND_RANDOM;
    if (random)
        fx_random_bits(R, &cast->random, cast->element0, n, cast->arg.bits, 0);
    for (size_t i = 0; i < n; i++) {
        bool outside;
        int64_t y = slow_code(&grid, &law, (Wide)x[i] * cast->multiplier, cast->shift, random ? R[i] : 0, &outside);
        uint64_t m = (uint64_t)llabs(x[i]);
        e->codes[i] = y;
        s.saturated += outside;
        s.underflowed += x[i] != 0 && y == 0;
        s.zeros_in += x[i] == 0;
        s.zeros_out += y == 0;
        s.at_limit += y == grid.low || y == grid.high;
        s.max_exponent = m > s.max_abs ? exponent : s.max_exponent;
        s.max_abs = m > s.max_abs ? m : s.max_abs;
    }
    if (grid.kind != SLOW_FIXED) // the ends of these are all they have
        for (size_t i = s.at_limit = 0; i < n; i++)
            s.at_limit += e->codes[i] != 0;
    e->stats = s;
}

static bool same_stats(const FxStats *a, const FxStats *b) {
    return a->n == b->n && a->saturated == b->saturated && a->underflowed == b->underflowed && a->zeros_in == b->zeros_in &&
           a->zeros_out == b->zeros_out && a->at_limit == b->at_limit && a->masked == b->masked && a->max_abs == b->max_abs &&
           a->max_exponent == b->max_exponent;
}

static void print_stats(const char *whose, const FxStats *s) {
    print_error("%s: n %llu saturated %llu underflowed %llu zeros %llu %llu at limit %llu masked %llu max %llu * 2^%lld\n", whose,
                (unsigned long long)s->n, (unsigned long long)s->saturated, (unsigned long long)s->underflowed,
                (unsigned long long)s->zeros_in, (unsigned long long)s->zeros_out, (unsigned long long)s->at_limit,
                (unsigned long long)s->masked, (unsigned long long)s->max_abs, (long long)s->max_exponent);
}

// Casts [0, n) in pieces of changing size, last piece first where `split` is odd; split 0: in one piece.
static void cast_split(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t n, int split, FxStats *stats) {
    if (split == 0) {
        fx_cast_range(cast, x, y, 0, n, stats);
        return;
    }
    size_t ends[64] = {0}, pieces = 0;
    while (ends[pieces] < n && pieces < 62) {
        size_t take = 1 + slow_mix((uint64_t)split * 100 + pieces) % (n / 4 + 2);
        ends[pieces + 1] = pieces == 61 || ends[pieces] + take > n ? n : ends[pieces] + take;
        pieces++;
    }
    FxStats parts[2] = {{0}, {0}}; // and added up from two
    for (size_t k = 0; k < pieces; k++) {
        size_t p = split % 2 ? pieces - 1 - k : k;
        fx_cast_range(cast, x, y, ends[p], ends[p + 1] - ends[p], &parts[k % 2]);
    }
    fx_stats_add(stats, &parts[0]);
    fx_stats_add(stats, &parts[1]);
}

static void check_cast(const char *text, const FxCast *cast, const Expected *e, const FxTensor *x, size_t n, FxType out, int split) {
    FxTensor y = tensor_new(out, n + 1);
    FxStats stats = {0};
    fx_tensor_set(&y, n, 0x55);
    cast_split(cast, x, &y, n, split, &stats);
    for (size_t i = 0; i < n; i++)
        if (fx_tensor_get(&y, i) != e->codes[i])
            fail_msg("%s, %s to %s, %s, split %d: element %zu: %lld * %lld / 2^%d: %lld, not %lld", text,
                     fx_type_name(x->type), fx_type_name(out), fx_cpu_name(cast->cpu), split, i,
                     (long long)fx_tensor_get(x, i), (long long)cast->multiplier, cast->shift,
                     (long long)fx_tensor_get(&y, i), (long long)e->codes[i]);
    if (!same_stats(&stats, &e->stats)) {
        print_stats("got", &stats);
        print_stats("not", &e->stats);
        fail_msg("%s, %s to %s, %s, split %d, shift %d: wrong counts", text, fx_type_name(x->type), fx_type_name(out),
                 fx_cpu_name(cast->cpu), split, cast->shift);
    }
    assert_int_equal(fx_tensor_get(&y, n), 0x55);
    tensor_free(&y);
}

static int type_bits(FxType type) {
    static const int bits[] = {7, 8, 15, 31, 62};
    return bits[type];
}

// One quantiser, one source type, one shift, every CPU path, target and split. random: NULL for 32-bit Philox lanes.
static void check_everywhere(const char *text, FxType in, int shift, int64_t multiplier, const FxRandom *random, uint64_t seed) {
    static Expected e;
    static int64_t x[MOST];
    FxQuantiser q = quantiser_of(text);
    int lost = 0, line = 0;
    while ((INT64_C(1) << lost) < multiplier)
        lost++;
    size_t n = seed % 7 == 0 ? MOST : 1 + slow_mix(seed) % (slow_run ? MOST - 1 : 300);
    for (size_t i = 0; i < n; i++) {
        x[i] = slow_fill(seed * MOST + i, type_bits(in) < 62 - lost ? type_bits(in) : 62 - lost);
        x[i] = in == FX_UINT8 ? llabs(x[i]) : i % 37 == 5 && in < FX_INT64 && lost == 0 ? -(INT64_C(1) << type_bits(in)) : x[i];
    }
    FxTensor source = tensor_of(in, x, n);
    source.exponent = -11;
    FxCast cast = cast_of(&q, shift, 0);
    cast.multiplier = multiplier;
    cast.element0 = ELEMENT0;
    if (random) {
        cast.random = *random;
        cast.arg = fx_round_arg(&q.rounding, fx_random_width(random));
    }
    expect(&e, &cast, x, n, source.exponent);
    while (next_cpu(&line, &cast.cpu))
        for (int out = FX_INT8; out <= FX_INT64; out++) {
            bool fits = type_holds((FxType)out, fx_grid_low(&q.grid)) && type_holds((FxType)out, fx_grid_high(&q.grid));
            for (int split = 0; fits && split < (slow_run ? 6 : 3); split++)
                check_cast(text, &cast, &e, &source, n, (FxType)out, split);
        }
    tensor_free(&source);
}

static const char *const all_quantisers[] = {
    "fixed8", "fixed2", "fixed3/floor", "fixed8t/nearest-away/wrap", "fixed8/stochastic:32:below", "fixed8/stochastic", "ufixed8/ceil",
    "ufixed8/nearest-even/wrap", "ufixed7", "ufixed1/odd", "ufixed1/stochastic:4:a/wrap", "fixed16/stochastic:8:b", "fixed16t/floor/wrap",
    "fixed16t/sr-eps:0.25:16", "fixed32/nearest-up", "fixed32t/equal/wrap", "fixed62/nearest-down", "fixed62t/pseudo/wrap",
    "fixed62/add-constant:200", "ufixed62/toward-zero", "ufixed62/away/wrap", "fixed20/nearest-zero", "fixed40/signed-sr-eps:0.1",
    "fixed12t/pseudo", "binary", "binary/stochastic:8:c", "ternary", "ternary:t0.7/floor", "ternary:t0", "fixed8/pseudo",
};

static void codes_and_counts_equal_a_plain_loop_however_they_are_cast(void **state) {
    (void)state;
    static const int shifts[] = {-130, -70, -63, -62, -61, -40, -33, -8, -1, 0, 1, 2, 5, 7, 8, 15, 16, 23, 30, 31, 32, 33, 47, 54, 60, 61, 62, 63,
                                 64, 65, 70, 85};
    uint64_t seed = 0;
    for (size_t t = 0; t < sizeof all_quantisers / sizeof all_quantisers[0]; t++)
        for (size_t s = 0; s < sizeof shifts / sizeof shifts[0]; s++)
            for (int in = FX_INT8; in <= FX_INT64; in++)
                for (int again = 0; again < (slow_run ? 6 : 1); again++)
                    check_everywhere(all_quantisers[t], (FxType)in, shifts[s], 1, NULL, seed++);
}

static void multiplied_sources_are_cast_from_the_exact_product(void **state) {
    (void)state;
    static const int64_t multipliers[] = {1, 2, 3, 16384, 26214, 32767};
    for (size_t t = 0; t < sizeof all_quantisers / sizeof all_quantisers[0]; t++)
        for (size_t m = 0; m < 6; m++)
            for (int shift = -3; shift < 60; shift += 9) {
                check_everywhere(all_quantisers[t], FX_INT32, shift, multipliers[m], NULL, (uint64_t)shift + 1000 * m + 3);
                check_everywhere(all_quantisers[t], FX_INT64, shift, multipliers[m], NULL, (uint64_t)shift + 1000 * m + 9);
            }
}

static void the_words_of_a_cast_come_from_the_named_source_and_lane(void **state) {
    (void)state;
    static const char *const texts[] = {"fixed8/stochastic", "fixed8/equal", "fixed8t/stochastic:8:below/wrap", "binary/stochastic",
                                        "fixed16/sr-eps:0.3", "fixed16/stochastic:5:a"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (int s = 0; fx_random_source(s); s++)
            for (int lane = 8; lane <= 32; lane *= 2)
                for (int shift = 3; shift < 40; shift += 12) {
                    FxRandom random = {fx_random_source(s), lane, {4, (uint32_t)shift, 6}};
                    check_everywhere(texts[t], FX_INT32, shift, 1, &random, (uint64_t)(shift * 7));
                }
}

// int32 to int8, nearest-even, has a loop of its own; the same numbers as int64 have not.
static void the_fast_path_gives_what_the_general_one_gives(void **state) {
    (void)state;
    static const char *const texts[] = {"fixed8", "fixed8t", "fixed5", "fixed2", "ufixed7", "ufixed1"};
    static int64_t x[MOST], fast[MOST], general[MOST];
    for (size_t t = 0; t < 6; t++)
        for (int shift = 1; shift <= 31; shift++)
            for (size_t n = 0; n < MOST; n += n < 70 ? 1 : 613) {
                FxQuantiser q = quantiser_of(texts[t]);
                int line = 0;
                for (size_t i = 0; i < n; i++)
                    x[i] = i % 41 == 7 ? INT32_MIN : i % 41 == 8 ? INT32_MAX : slow_fill(i + n * 100 + (size_t)shift, 31);
                for (unsigned cpu; next_cpu(&line, &cpu);) {
                    FxCast cast = cast_of(&q, shift, cpu);
                    FxStats a = {0}, b = {0};
                    cast_codes(fast, &cast, FX_INT32, FX_INT8, x, n, &a);
                    cast_codes(general, &cast, FX_INT64, FX_INT8, x, n, &b);
                    for (size_t i = 0; i < n; i++)
                        if (fast[i] != general[i])
                            fail_msg("%s %s: %lld / 2^%d: %lld fast, %lld else", fx_cpu_name(cpu), texts[t], (long long)x[i], shift,
                                     (long long)fast[i], (long long)general[i]);
                    if (!same_stats(&a, &b)) {
                        print_stats("fast", &a);
                        print_stats("else", &b);
                        fail_msg("%s %s shift %d n %zu: counts differ", fx_cpu_name(cpu), texts[t], shift, n);
                    }
                }
            }
}

static void a_left_shift_saturates_or_wraps_and_counts(void **state) {
    (void)state;
    static const int64_t x[] = {0, 1, -1, 15, 16, -15, -16, -17, 127, -128};
    static const int64_t saturated[] = {0, 8, -8, 120, 127, -120, -127, -127, 127, -127}, wrapped[] = {0, 8, -8, 120, -128, -120, -128, 120, -8, 0};
    FxQuantiser q = quantiser_of("fixed8"), w = quantiser_of("fixed8t/wrap");
    int64_t y[10];
    FxStats s = {0}, t = {0};
    FxCast cast = cast_of(&q, -3, 0), cast_wrap = cast_of(&w, -3, 0);
    cast_codes(y, &cast, FX_INT8, FX_INT8, x, 10, &s);
    assert_memory_equal(y, saturated, sizeof y);
    assert_int_equal(s.saturated, 5);
    cast_codes(y, &cast_wrap, FX_INT8, FX_INT8, x, 10, &t);
    assert_memory_equal(y, wrapped, sizeof y);
    assert_int_equal(t.saturated, 4);
    assert_int_equal(t.underflowed, 1);
}

static void the_clip_mask_is_the_range_before_rounding(void **state) {
    (void)state;
    static const char *const texts[] = {"fixed8", "fixed2", "fixed8t", "ufixed8", "ufixed1", "fixed62", "fixed62t", "ufixed62", "fixed33t",
                                        "binary", "ternary"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (int shift = -130; shift <= 130; shift++) {
            FxQuantiser q = quantiser_of(texts[t]);
            FxCast cast = cast_of(&q, shift, 0);
            int64_t low = 1, high = -1, largest = (INT64_C(1) << 62) - 1;
            Wide first = fx_grid_low(&q.grid), last = fx_grid_high(&q.grid), left = 1;
            fx_cast_limits(&cast, &low, &high);
            if (shift >= 0) { // beyond 2^63 times a code nothing is left outside
                first *= slow_power(shift < 63 ? shift : 63);
                last *= slow_power(shift < 63 ? shift : 63);
            } else {
                left = slow_power(-shift < 63 ? -shift : 63);
            }
            for (uint64_t i = 0; i < 60; i++) {
                int64_t x = slow_fill(i, 62);
                if (i < 20)
                    x = i % 2 ? (low < -largest ? -largest : low) + (int64_t)i / 2 - 4 : (high > largest ? largest : high) + (int64_t)i / 2 - 4;
                x = x > largest ? largest : x < -largest ? -largest : x;
                if ((x >= low && x <= high) != (x * left >= first && x * left <= last))
                    fail_msg("%s shift %d: %lld against [%lld, %lld]", texts[t], shift, (long long)x, (long long)low, (long long)high);
            }
        }
}

// wage.md 2.2.
static void half_to_even_has_the_known_answers(void **state) {
    (void)state;
    static const int64_t known[][3] = {{1, 1, 0}, {3, 1, 2}, {5, 1, 2}, {-3, 1, -2}, {6, 2, 2}, {2, 2, 0}, {10, 2, 2}, {-6, 2, -2},
        {16, 5, 0}, {48, 5, 2}, {80, 5, 2}, {17, 5, 1}, {4063, 5, 127}, {4080, 5, 128}};
    FxQuantiser q = quantiser_of("fixed16");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        FxCast cast = cast_of(&q, (int)known[i][1], fx_cpu_detect());
        FxStats stats = {0};
        int64_t y;
        cast_codes(&y, &cast, FX_INT32, FX_INT16, &known[i][0], 1, &stats);
        if (y != known[i][2])
            fail_msg("rhe(%lld, %lld) = %lld", (long long)known[i][0], (long long)known[i][1], (long long)y);
    }
}

// wage.md 2.4: stored weights of exponent -7 to ternary and 3-bit ones.
static void wage_weights_have_the_known_codes(void **state) {
    (void)state;
    static const int64_t w2[] = {-64, -33, -32, 0, 32, 33, 127}, t2[] = {-1, -1, 0, 0, 0, 1, 1};
    static const int64_t w3[] = {16, 17, 48, 49, 80, 81, 127}, t3[] = {0, 1, 2, 2, 2, 3, 3};
    for (int m = 0; m < 6; m++) {
        FxQuantiser q[] = {quantiser_of("fixed2@alpha"), quantiser_of("fixed3@alpha")};
        for (int k = 0; k < 2; k++) {
            FxScaleChoice choice = fx_scale_choose(&q[k].scale, &q[k].grid, &(FxScaleInput){.exponent = -7, .alpha = m});
            assert_int_equal(choice.exponent, -1 - k - m);
            FxCast cast = cast_of(&q[k], choice.shift, fx_cpu_detect());
            FxStats stats = {0};
            int64_t y[7];
            cast_codes(y, &cast, FX_INT8, FX_INT8, k ? w3 : w2, 7, &stats);
            assert_memory_equal(y, k ? t3 : t2, sizeof y);
        }
        for (int w = -127; w <= 127; w++) { // t = sign(w) if |w| > 32, else 0
            FxCast cast = cast_of(&q[0], 6, fx_cpu_detect());
            FxStats stats = {0};
            int64_t x = w, y;
            cast_codes(&y, &cast, FX_INT8, FX_INT8, &x, 1, &stats);
            if (y != (w > 32 ? 1 : w < -32 ? -1 : 0))
                fail_msg("Q_W(%d) = %lld", w, (long long)y);
        }
    }
}

// wage.md 2.4: sums of exponent -8-m to activations, and the mask from the limits.
static void wage_activations_have_the_known_codes_and_masks(void **state) {
    (void)state;
    static const int64_t known[][4] = { // m, z, a, pass
        {0, 1, 0, 1}, {0, 2, 1, 1}, {0, 3, 2, 1}, {0, 5, 2, 1}, {0, 253, 126, 1}, {0, 254, 127, 1}, {0, 255, 127, 0}, {0, 300, 127, 0},
        {0, -3, 0, 1}, {4, 16, 0, 1}, {4, 17, 1, 1}, {4, 48, 2, 1}, {4, 4064, 127, 1}, {4, 4065, 127, 0}};
    FxQuantiser q = quantiser_of("fixed8");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int m = (int)known[i][0];
        FxScaleChoice choice = fx_scale_choose(&q.scale, &q.grid, &(FxScaleInput){.exponent = -8 - m});
        FxCast cast = cast_of(&q, choice.shift, fx_cpu_detect());
        FxStats stats = {0};
        int64_t z = known[i][1], relu = z > 0 ? z : 0, a, low, high;
        assert_int_equal(choice.shift, 1 + m);
        assert_int_equal(choice.exponent, -7);
        cast_codes(&a, &cast, FX_INT32, FX_INT8, &relu, 1, &stats);
        fx_cast_limits(&cast, &low, &high);
        if (a != known[i][2] || (z <= high) != known[i][3] || high != INT64_C(127) << (1 + m))
            fail_msg("m %d: Q_A(%lld) = %lld, limit %lld", m, (long long)z, (long long)a, (long long)high);
    }
}

// wage.md 2.4, Q_G, by its own formula: B bits, k += 1 iff frac * 2^B > R * 2^f.
static void wage_updates_follow_the_formula(void **state) {
    (void)state;
    static const int h_of[] = {3, 0, -3};
    static int64_t x[MOST], y[MOST], y14[MOST];
    static uint32_t R[MOST];
    for (int trial = 0; trial < 90; trial++) {
        int B = (int[]){32, 16, 23}[trial % 3], h = h_of[trial / 3 % 3], bits = 1 + trial / 3;
        char text[64];
        snprintf(text, sizeof text, "fixed8@shift-unit/stochastic:%d:below", B);
        FxQuantiser q = quantiser_of(text);
        FxScaleInput in = {0};
        for (size_t i = 0; i < MOST; i++) {
            x[i] = slow_fill(i + (uint64_t)trial * MOST, bits);
            in.max_abs = (uint64_t)llabs(x[i]) > in.max_abs ? (uint64_t)llabs(x[i]) : in.max_abs;
        }
        in.lower = h - 7; // eta units of the grid, whose code 1 is 2^-7
        FxScaleChoice choice = fx_scale_choose(&q.scale, &q.grid, &in);
        int f = slow_log2_nearest(in.max_abs) - h;
        assert_int_equal(choice.shift, f);
        FxCast cast = cast_of(&q, choice.shift, fx_cpu_detect()), cast14 = cast;
        FxStats stats = {0}, stats14 = {0};
        cast_codes(y, &cast, FX_INT32, FX_INT8, x, MOST, &stats);
        cast14.multiplier = 16384; // a rate of mantissa 2^14: the same from 14 bits further up
        cast14.shift += 14;
        cast_codes(y14, &cast14, FX_INT32, FX_INT8, x, MOST, &stats14);
        fx_random_bits(R, &cast.random, 0, MOST, B, 0);
        for (size_t i = 0; i < MOST; i++) {
            Wide m = llabs(x[i]), unit = slow_power(f < 0 ? 0 : f), k = f < 0 ? m * slow_power(-f) : m / unit;
            k += m % unit * slow_power(B) > (Wide)R[i] * unit;
            if (y[i] != (x[i] < 0 ? -k : k) || y14[i] != y[i])
                fail_msg("B %d f %d: dW %lld with R %u: %lld, by a rate of 2^14 %lld", B, f, (long long)x[i], R[i],
                         (long long)y[i], (long long)y14[i]);
            assert_true(k <= (h == 3 ? 12 : h == 0 ? 2 : 1));
        }
    }
}

static void statistics_add_up_in_any_order(void **state) {
    (void)state;
    FxStats parts[6], forward = {0}, backward = {0};
    for (uint64_t i = 0; i < 6; i++)
        parts[i] = (FxStats){i + 1, i * 3, i, 7 - i, i * i, 11 * i, 2 * i, 5 * i, i == 4 ? 0 : 10 + i, i == 4 ? 90 : (int)(i * 7 % 6) * 40 - 100};
    for (int i = 0; i < 6; i++) {
        fx_stats_add(&forward, &parts[i]);
        fx_stats_add(&backward, &parts[5 - i]);
    }
    assert_true(same_stats(&forward, &backward));
    assert_true(forward.n == 21 && forward.saturated == 45 && forward.masked == 75);
    assert_true(forward.max_abs == 15 && forward.max_exponent == 100); // part 5 of exponent 100
    fx_stats_max(&forward, UINT64_MAX, 36); // just below 2^100
    assert_int_equal(forward.max_exponent, 100);
    fx_stats_max(&forward, 1, 104);
    assert_int_equal(forward.max_exponent, 104);
    fx_stats_max(&forward, 0, 1000);
    assert_int_equal(forward.max_exponent, 104);
}

static void the_larger_of_two_magnitudes_is_kept_whatever_their_exponents(void **state) {
    (void)state;
    for (int d = -130; d <= 130; d++)
        for (uint64_t i = 0; i < 300; i++) {
            uint64_t a = (uint64_t)llabs(slow_fill(i, 60)), b = (uint64_t)llabs(slow_fill(i + 300, 60));
            FxStats s = {.max_abs = b, .max_exponent = 5};
            fx_stats_max(&s, a, 5 + d);
            Wide left = a, right = b; // a * 2^d against b, and no 2^64 times anything is below 2^60
            if (d >= 0)
                left *= slow_power(d < 64 ? d : 64);
            else
                right *= slow_power(-d < 64 ? -d : 64);
            bool larger = left > right;
            if (s.max_abs != (larger ? a : b) || s.max_exponent != (larger ? 5 + d : 5))
                fail_msg("%llu * 2^%d against %llu: kept %llu * 2^%lld", (unsigned long long)a, d, (unsigned long long)b,
                         (unsigned long long)s.max_abs, (long long)s.max_exponent - 5);
        }
}

int main(int argc, char **argv) {
    slow_run = argc > 1 && !strcmp(argv[1], "slow");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_counts_equal_a_plain_loop_however_they_are_cast),
        cmocka_unit_test(multiplied_sources_are_cast_from_the_exact_product),
        cmocka_unit_test(the_words_of_a_cast_come_from_the_named_source_and_lane),
        cmocka_unit_test(the_fast_path_gives_what_the_general_one_gives),
        cmocka_unit_test(a_left_shift_saturates_or_wraps_and_counts),
        cmocka_unit_test(the_clip_mask_is_the_range_before_rounding),
        cmocka_unit_test(half_to_even_has_the_known_answers),
        cmocka_unit_test(wage_weights_have_the_known_codes),
        cmocka_unit_test(wage_activations_have_the_known_codes_and_masks),
        cmocka_unit_test(wage_updates_follow_the_formula),
        cmocka_unit_test(statistics_add_up_in_any_order),
        cmocka_unit_test(the_larger_of_two_magnitudes_is_kept_whatever_their_exponents),
    };
    return cmocka_run_group_tests_name("quantiser", tests, NULL, NULL);
}
