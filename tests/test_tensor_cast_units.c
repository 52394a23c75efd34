// Integer tensors whose channels have a multiplier and an exponent of their own: the backward norms of golden/batchnorm; random
// data against the slow twin, every cpu and number of threads; plain casts as the case of multiplier 1; float32 outputs.
#include "sim/tensor_cast.h"
#include "tests/cast.h"
#include "tests/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1 << 17, CHANNELS = 2000, LIST = 64 };

static FxCast casts[CHANNELS];

static int same_counts(const FxStats *a, const FxStats *b) {
    return a->n == b->n && a->saturated == b->saturated && a->underflowed == b->underflowed && a->zeros_in == b->zeros_in &&
           a->zeros_out == b->zeros_out && a->at_limit == b->at_limit && a->nonfinite == b->nonfinite;
}

// ---- golden rows ----------------------------------------------------------------------------------------------------

static size_t list(int64_t *to, const Golden *g, size_t row, const char *column) {
    return golden_list(to, LIST, golden_cell(g, row, column));
}

// Rows first .. first + C - 1, one a channel. of_t: T is t times the multiplier G, else T itself.
static void check_case(const Golden *g, size_t first, size_t C, bool of_t) {
    int64_t x[LIST * LIST], want[LIST * LIST], words[LIST], column[LIST], last = INT32_MIN;
    int32_t multiplier[LIST], exponent[LIST], exponents[LIST];
    bool channel = !strcmp(golden_cell(g, first, "dx_scale"), "channel"), zero = true;
    FxRandom random = {fx_random_source(0), 32, {golden_unsigned(g, first, "seed"), (uint32_t)golden_unsigned(g, first, "stream"),
                                                 (uint32_t)golden_unsigned(g, first, "step")}};
    size_t n = 0;
    for (size_t c = 0; c < C; c++) {
        int64_t t[LIST], T[LIST];
        n = list(t, g, first + c, "t");
        assert_true(list(T, g, first + c, "T") == n && list(words, g, first + c, "words") == n && list(column, g, first + c, "dX") == n);
        multiplier[c] = 0;
        exponent[c] = (int32_t)golden_int(g, first + c, "E");
        last = exponent[c] > last ? exponent[c] : last;
        for (size_t i = 0; i < n; i++) {
            multiplier[c] = t[i] ? (int32_t)(T[i] / t[i]) : multiplier[c];
            zero = zero && T[i] == 0;
            x[i * C + c] = of_t ? t[i] : T[i];
            want[i * C + c] = column[i];
            assert_int_equal(fx_rng_word(random.rng, i * C + c), words[i]);
        }
    }
    char text[64];
    snprintf(text, sizeof text, "fixed%d@max%s/stochastic:%d", (int)golden_int(g, first, "dx_bits"), channel ? ".channel" : "", (int)golden_int(g, first, "r"));
    FxQuantiser q = quantiser_of(text);
    FxUnits units = {of_t ? multiplier : NULL, exponent, NULL};
    FxTensorCast cast = {.q = &q, .random = random, .channels = C, .casts = casts, .units = &units, .exponents = exponents, .last = (int)last};
    FxTensor from = tensor_of(of_t ? FX_INT32 : FX_INT64, x, n * C), to = tensor_new(fx_quantiser_type(&q), n * C);
    unsigned cpu;
    for (int line = 0; next_cpu(&line, &cpu);) {
        FxWork work = {2, cpu, NULL, 0};
        FxStats stats = {0};
        for (size_t c = 0; c < C; c++)
            exponents[c] = (int32_t)last;
        fx_tensor_cast(&cast, &work, &from, NULL, &to, &stats);
        for (size_t i = 0; i < n * C; i++) {
            int edx = (int)golden_int(g, first + i % C, "edx"), got = channel ? exponents[i % C] : to.exponent;
            if (fx_tensor_get(&to, i) != want[i] || got != edx)
                fail_msg("%s, element %zu: %d * 2^%d, not %d * 2^%d", golden_cell(g, first, "case"), i, (int)fx_tensor_get(&to, i), got, (int)want[i], edx);
        }
        assert_int_equal(stats.n, n * C);
        assert_int_equal(stats.max_abs == 0, zero);
    }
    tensor_free(&from);
    tensor_free(&to);
}

static void errors_of_batch_norms_are_the_golden_ones(void **state) {
    (void)state;
    Golden g = golden_read("batchnorm/backward.csv", 64);
    for (size_t first = 0, C; first < g.rows; first += C) {
        for (C = 1; first + C < g.rows && !strcmp(golden_cell(&g, first, "case"), golden_cell(&g, first + C, "case")); C++) {
        }
        check_case(&g, first, C, true);
        check_case(&g, first, C, false);
    }
    golden_free(&g);
}

// ---- the slow twin --------------------------------------------------------------------------------------------------

typedef struct Trial {
    const char *grid, *scale, *rounding;
    FxType in, out;
    int bits, multiplier_bits, spread; // of the sources; 0: all 1; of the channels' exponents
    size_t channels;
} Trial;

static int most_apart; // that exponents of the codes' channels may be; 0: any

static int64_t x[MOST], want[MOST];
static int32_t multiplier[CHANNELS], exponent[CHANNELS];

static void fill(const Trial *t, size_t n, uint64_t seed) {
    for (size_t c = 0; c < t->channels; c++) {
        uint64_t word = slow_mix(seed * 7919 + c);
        multiplier[c] = !t->multiplier_bits || word % 8 == 0 ? 1 : word % 8 == 1 ? 0 : (int32_t)slow_fill(word, t->multiplier_bits);
        exponent[c] = -17 - (int32_t)(word / 64 % (uint64_t)(t->spread + 1));
    }
    for (size_t i = 0; i < n; i++) // every fifth channel is all zero
        x[i] = i % t->channels % 5 == 3 ? 0 : slow_fill(seed * MOST + i, t->bits);
}

static Wide product(const Trial *t, size_t i) {
    return (Wide)x[i] * multiplier[i % t->channels];
}

static Wide magnitude(Wide v) {
    return v < 0 ? -v : v;
}

// What a channel had before.
static int last_of(size_t c) { return (int)(c % 7) - 3; }

// Exponents too far below that of the coarsest channel are raised, zeros take it.
static void slow_hold(const Trial *t, size_t n, int *shift, int *exponents) {
    static bool carries[CHANNELS];
    bool any = false;
    int top = 0;
    memset(carries, 0, sizeof carries);
    for (size_t i = 0; i < n; i++)
        carries[i % t->channels] |= product(t, i) != 0;
    for (size_t c = 0; c < t->channels; c++)
        if (carries[c]) {
            top = !any || exponents[c] > top ? exponents[c] : top;
            any = true;
        }
    for (size_t c = 0; any && c < t->channels; c++)
        for (; !carries[c] ? exponents[c] != top : top - exponents[c] > most_apart;) {
            const int step = exponents[c] < top ? 1 : -1;
            exponents[c] += step;
            shift[c] += step;
        }
}

// Shift of each channel and exponent of its codes.
static void slow_choose(const Trial *t, const FxQuantiser *q, size_t n, int *shift, int *exponents) {
    bool channel = strstr(t->scale, ".channel");
    char rule[32];
    snprintf(rule, sizeof rule, "%.*s", (int)strcspn(t->scale, ".:"), t->scale);
    for (size_t group = 0; group < (channel ? t->channels : 1); group++) {
        int top = INT32_MIN, printed = channel ? last_of(group) : 0, down = 0;
        Wide max = 0;
        for (size_t i = 0; i < n; i++)
            if ((!channel || i % t->channels == group) && product(t, i) && exponent[i % t->channels] > top)
                top = exponent[i % t->channels];
        for (size_t i = 0; i < n; i++)
            if ((!channel || i % t->channels == group) && product(t, i)) {
                Wide m = magnitude(product(t, i)) / slow_power(top - exponent[i % t->channels]);
                max = m > max ? m : max;
            }
        if (!strcmp(rule, "const")) {
            printed = atoi(t->scale + 6) - q->grid.fraction;
            top = 0, down = printed;
        } else if (max) {
            down = slow_scale(&printed, rule, (uint64_t)fx_grid_high(&q->grid), q->grid.bits - 1, q->grid.fraction, 0, (uint64_t)max);
            printed += strncmp(rule, "shift-unit", 10) ? top : 0;
        }
        for (size_t c = 0; c < t->channels; c++)
            if (!channel || c == group) {
                shift[c] = top == INT32_MIN ? 0 : down + top - exponent[c];
                exponents[c] = printed;
            }
    }
    if (most_apart)
        slow_hold(t, n, shift, exponents);
}

static void slow_cast(const Trial *t, const FxQuantiser *q, const FxRandom *random, uint64_t element0, size_t n, int *exponents, FxStats *stats) {
    static int shift[CHANNELS];
    SlowGrid grid = slow_grid_of(q);
    SlowLaw law = slow_law_of(q, random->lane_bits);
    Wide largest = 0;
    slow_choose(t, q, n, shift, exponents);
    *stats = (FxStats){.n = n};
    for (size_t i = 0; i < n; i++) {
        size_t c = i % t->channels;
        Wide T = product(t, i), size = magnitude(T) * slow_power(exponent[c] + 17 + t->spread);
        uint32_t R = fx_rng_lane(random->rng, element0 + i, random->lane_bits) / (UINT32_C(1) << (random->lane_bits - law.bits));
        bool outside = false;
        want[i] = T ? slow_code(&grid, &law, T, shift[c], R, &outside) : 0;
        stats->saturated += outside;
        stats->zeros_in += T == 0;
        stats->zeros_out += want[i] == 0;
        stats->underflowed += T != 0 && want[i] == 0;
        stats->at_limit += want[i] == grid.low || want[i] == grid.high;
        largest = size > largest ? size : largest;
    }
    while (largest && largest % 2 == 0) // for comparison, odd
        largest /= 2, stats->max_exponent++;
    stats->max_abs = (uint64_t)largest;
    stats->max_exponent -= largest ? 17 + t->spread : 0;
}

static void normalise(FxStats *stats) {
    for (; stats->max_abs && stats->max_abs % 2 == 0; stats->max_abs /= 2)
        stats->max_exponent++;
}

static FxUnitsSeen seen_of[CHANNELS];

static void find_seen(size_t n, size_t channels) {
    memset(seen_of, 0, sizeof seen_of);
    for (size_t i = 0; i < n; i++) {
        FxUnitsSeen *s = &seen_of[i % channels];
        const uint64_t m = x[i] < 0 ? 0 - (uint64_t)x[i] : (uint64_t)x[i];
        s->max_abs = m > s->max_abs ? m : s->max_abs;
        s->zeros += x[i] == 0;
    }
}

static void check_trial(const Trial *t, size_t n, uint64_t seed) {
    static int exponents[CHANNELS];
    static int32_t got[CHANNELS];
    char text[96];
    snprintf(text, sizeof text, "%s@%s/%s", t->grid, t->scale, t->rounding);
    FxQuantiser q = quantiser_of(text);
    FxRandom random = {fx_random_source(0), seed % 3 == 0 && q.rounding.bits == 8 ? 16 : 32, {seed, 77, 4}};
    FxStats known;
    uint64_t element0 = seed % 2 ? 12345 : 0;
    fill(t, n, seed);
    slow_cast(t, &q, &random, element0, n, exponents, &known);
    FxUnits units = {t->multiplier_bits ? multiplier : NULL, exponent, NULL};
    find_seen(n, t->channels);
    FxTensor from = tensor_of(t->in, x, n), to = tensor_new(t->out, n);
    unsigned cpu;
    for (int line = 0; next_cpu(&line, &cpu);)
        for (int threads = 1; threads <= 3; threads++) {
            FxWork work = {threads, cpu, NULL, 0};
            FxStats seen = {0};
            units.seen = threads == 2 ? seen_of : NULL; // who made x knows, or not
            FxTensorCast cast = {.q = &q, .random = random, .element0 = element0, .channels = t->channels, .casts = casts, .units = &units, .exponents = got,
                                 .spread = most_apart};
            memset(to.data, 0x55, n * fx_type_size(t->out));
            for (size_t c = 0; c < t->channels; c++)
                got[c] = last_of(c);
            fx_tensor_cast(&cast, &work, &from, NULL, &to, &seen);
            for (size_t i = 0; i < n; i++)
                if (fx_tensor_get(&to, i) != want[i])
                    fail_msg("%s of %s, %zu channels, %s, %d threads: element %zu, %lld * %d * 2^%d: %lld, not %lld", text, fx_type_name(t->in), t->channels,
                             fx_cpu_name(cpu), threads, i, (long long)x[i], multiplier[i % t->channels], exponent[i % t->channels],
                             (long long)fx_tensor_get(&to, i), (long long)want[i]);
            for (size_t c = 0; c < t->channels; c++)
                if ((q.scale.group ? got[c] : to.exponent) != exponents[c])
                    fail_msg("%s, channel %zu: exponent %d, not %d", text, c, q.scale.group ? got[c] : to.exponent, exponents[c]);
            assert_true(!q.scale.group || to.exponent == 0);
            normalise(&seen);
            if (!same_counts(&seen, &known) || seen.max_abs != known.max_abs || seen.max_exponent != known.max_exponent)
                fail_msg("%s of %s, %zu channels, %s, %d threads: other counts", text, fx_type_name(t->in), t->channels, fx_cpu_name(cpu), threads);
        }
    tensor_free(&from);
    tensor_free(&to);
}

static const Trial trials[] = {
    // what the kernels do
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 16, 15, 5, 16},
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 14, 14, 5, 16}, // short products
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 23, 15, 60, 64},
    {"fixed8", "max", "stochastic:8", FX_INT32, FX_INT8, 31, 15, 14, 32},
    {"fixed8", "max", "stochastic:8", FX_INT32, FX_INT8, 23, 15, 60, 10},
    {"fixed8", "max", "nearest-even", FX_INT32, FX_INT8, 31, 15, 30, 16},
    {"fixed8", "max", "stochastic:8", FX_INT32, FX_INT8, 8, 5, 14, 16}, // shifts about the random bits
    {"fixed8", "max", "nearest-even", FX_INT32, FX_INT8, 31, 31, 60, 100},
    {"fixed16", "max", "stochastic:32", FX_INT32, FX_INT16, 31, 15, 14, 600},
    {"fixed16", "max-ceil", "stochastic", FX_INT32, FX_INT16, 31, 15, 0, 3},
    {"fixed8t", "max", "stochastic:32", FX_INT32, FX_INT16, 30, 15, 5, 1},
    {"ufixed8", "max", "nearest-even", FX_INT32, FX_INT16, 31, 15, 5, 7},
    {"fixed8", "max.channel", "stochastic:32", FX_INT32, FX_INT8, 31, 15, 60, 64},
    {"fixed8", "max-fit.channel", "nearest-even", FX_INT32, FX_INT8, 31, 15, 30, 20},
    {"ufixed7", "max.channel", "stochastic:32", FX_INT32, FX_INT8, 20, 14, 14, 20}, // zeros are at a limit
    {"ufixed8", "max.channel", "stochastic:32", FX_INT32, FX_INT16, 14, 10, 14, 20},
    {"fixed8", "const:4", "stochastic:32", FX_INT32, FX_INT8, 20, 15, 5, 16},
    {"fixed8", "shift-unit", "stochastic:8", FX_INT32, FX_INT8, 31, 15, 14, 48},
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 31, 0, 14, 16},
    // what goes number by number
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 1, 0, 5, 16},
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 5, 3, 14, 64},
    {"fixed8", "max", "stochastic:32", FX_INT32, FX_INT8, 23, 15, 60, 1500},
    {"fixed8", "max", "stochastic:32", FX_INT64, FX_INT8, 39, 0, 60, 16},
    {"fixed8", "max.channel", "nearest-even", FX_INT64, FX_INT8, 60, 0, 60, 10},
    {"fixed8", "max", "nearest-away", FX_INT64, FX_INT8, 46, 15, 30, 12},
    {"fixed16", "max", "stochastic:8", FX_INT64, FX_INT16, 46, 15, 5, 16},
    {"fixed8", "max", "toward-zero", FX_INT32, FX_INT8, 31, 15, 14, 16},
    {"fixed8", "max", "stochastic:8", FX_INT16, FX_INT8, 15, 15, 14, 16},
    {"fixed8", "max", "nearest-even", FX_INT8, FX_INT8, 7, 15, 30, 64},
    {"fixed24", "max", "stochastic:32", FX_INT32, FX_INT32, 31, 15, 14, 16},
    {"fixed32", "max-fit", "nearest-even", FX_INT32, FX_INT32, 31, 15, 5, 16},
    {"fixed24", "max-ceil.channel", "stochastic:8", FX_INT32, FX_INT32, 31, 15, 5, 16},
    {"fixed8", "max", "stochastic:32:below", FX_INT32, FX_INT8, 23, 15, 30, 16},
    {"fixed8", "max", "stochastic:8:a", FX_INT32, FX_INT8, 31, 15, 14, 16},
    {"fixed8", "max", "stochastic:8:b", FX_INT32, FX_INT8, 31, 15, 14, 16},
    {"fixed8", "max", "sr-eps:0.1:8", FX_INT32, FX_INT8, 31, 15, 14, 16},
    {"fixed8", "max", "add-constant:64", FX_INT32, FX_INT8, 31, 15, 14, 16},
    {"fixed8", "max", "pseudo", FX_INT32, FX_INT8, 31, 15, 30, 16},
    {"fixed8", "max.channel", "equal", FX_INT32, FX_INT8, 31, 15, 30, 16},
    {"fixed8t", "const:3", "stochastic:8/wrap", FX_INT32, FX_INT8, 31, 15, 5, 16},
    {"fixed16", "const:-20", "stochastic:32", FX_INT32, FX_INT16, 7, 4, 14, 16}, // shifts left
    {"fixed8f7", "shift", "nearest-even", FX_INT32, FX_INT8, 4, 2, 5, 16},
    {"fixed8", "shift-ceil.channel", "stochastic:8", FX_INT32, FX_INT8, 4, 2, 5, 16},
    {"fixed8", "const:-15", "stochastic:32", FX_INT32, FX_INT8, 31, 15, 5, 16}, // far beyond the grid
    {"fixed8", "const:-9", "stochastic:32", FX_INT32, FX_INT8, 31, 15, 5, 16}, // and beyond int32
};

static void every_cast_is_the_slow_twins(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof trials / sizeof trials[0]; k++)
        for (uint64_t seed = 2 * k; seed < 2 * k + 2; seed++) {
            size_t least = k % 7 == 0 && seed % 2 ? 70000 : 3000; // several tasks, or one
            check_trial(&trials[k], (least / trials[k].channels + 1) * trials[k].channels, seed);
        }
}

static void exponents_too_far_below_the_largest_are_raised(void **state) {
    static const Trial held[] = {
        {"fixed8", "max.channel", "stochastic:32", FX_INT32, FX_INT8, 31, 15, 14, 20},
        {"fixed8", "max.channel", "nearest-even", FX_INT64, FX_INT8, 60, 0, 60, 10},
        {"fixed8", "max.channel", "stochastic:8", FX_INT32, FX_INT8, 8, 0, 14, 16},
    };
    (void)state;
    for (most_apart = 7; most_apart; most_apart = most_apart == 7 ? 3 : 0)
        for (size_t k = 0; k < sizeof held / sizeof held[0]; k++)
            for (uint64_t seed = 1; seed < 4; seed++)
                check_trial(&held[k], 100 * held[k].channels, seed);
}

// Short tensors and rows: every length about a vector's.
static void every_small_shape_is_the_slow_twins(void **state) {
    (void)state;
    for (size_t rows = 1; rows <= 3; rows++)
        for (size_t channels = 1; channels <= 70; channels += channels < 20 ? 1 : 7) {
            Trial t = trials[rows];
            t.channels = channels;
            check_trial(&t, rows * channels, rows * 100 + channels);
        }
}

// ---- laws -----------------------------------------------------------------------------------------------------------

static const char *const plain[] = {"fixed8@max/stochastic:32", "fixed8@max-ceil", "fixed16@shift/stochastic:8", "fixed16t@autoflex",
                                    "fixed10@overflow:5:2:100", "fixed8@shift-unit/stochastic:8:below", "fixed8f3@const:2", "e5m2@max/stochastic:8"};

static void multiplier_one_and_one_exponent_is_the_plain_cast(void **state) {
    (void)state;
    enum { C = 24, N = C * 3000 };
    static int32_t ones[C], exponents[C];
    for (size_t k = 0; k < sizeof plain / sizeof plain[0]; k++)
        for (int form = 0; form < 2; form++) {
            FxQuantiser q = quantiser_of(plain[k]);
            FxType type = fx_grid_is_fixed(&q.grid) ? fx_quantiser_type(&q) : FX_FLOAT32;
            int64_t words[2][FX_AUTOFLEX_WORDS] = {{0}};
            for (size_t i = 0; i < N; i++)
                x[i] = slow_fill(k * N + i, 20);
            for (size_t c = 0; c < C; c++)
                ones[c] = 1, exponents[c] = -14;
            for (int i = 0; i < 2 && q.scale.rule->start; i++)
                q.scale.rule->start(&q.scale, &q.grid, words[i]);
            FxUnits units = {form ? ones : NULL, exponents, NULL};
            FxTensor from = tensor_of(FX_INT32, x, N), to[2] = {tensor_new(type, N), tensor_new(type, N)};
            from.exponent = -14;
            for (int call = 0; call < 3; call++) {
                FxStats stats[2] = {{0}};
                FxScaleChoice choice[2];
                for (int i = 0; i < 2; i++) {
                    FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {5, 6, 7}}, .state = words[i], .observes = true, .channels = C,
                                         .casts = casts, .units = i ? &units : NULL};
                    choice[i] = fx_tensor_cast(&cast, &(FxWork){2, fx_cpu_detect(), NULL, 0}, &from, NULL, &to[i], &stats[i]);
                }
                assert_memory_equal(to[0].data, to[1].data, N * fx_type_size(type));
                assert_int_equal(to[0].exponent, to[1].exponent);
                assert_int_equal(choice[0].shift, choice[1].shift);
                assert_true(same_counts(&stats[0], &stats[1]) && stats[0].max_abs == stats[1].max_abs && stats[0].max_exponent == stats[1].max_exponent);
            }
            assert_memory_equal(words[0], words[1], sizeof words[0]);
            tensor_free(&from);
            tensor_free(&to[0]);
            tensor_free(&to[1]);
        }
}

// Products of 24 bits are float32: a float site then rounds the same numbers.
static void float_sites_round_the_value(void **state) {
    (void)state;
    static const char *const texts[] = {"fp32", "e4m3fn/stochastic:8", "e5m2", "bf16/stochastic", "fixed8f7/stochastic:8", "log2:b4:fsr3"};
    enum { C = 12, N = C * 500 };
    static float values[N], known[N], got[N];
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        Trial t = {.bits = 12, .multiplier_bits = 11, .spread = 14, .channels = C};
        FxQuantiser q = quantiser_of(texts[k]);
        FxStats stats[2] = {{0}};
        fill(&t, N, k);
        for (size_t i = 0; i < N; i++)
            values[i] = (float)ldexp((double)product(&t, i), exponent[i % C]);
        FxUnits units = {multiplier, exponent, NULL};
        FxTensor from[2] = {{values, FX_FLOAT32, N, 0}, tensor_of(FX_INT32, x, N)}, to[2] = {{known, FX_FLOAT32, N, 0}, {got, FX_FLOAT32, N, 0}};
        for (int i = 0; i < 2; i++) {
            FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {5, 6, 7}}, .channels = C, .casts = casts, .units = i ? &units : NULL};
            fx_tensor_cast(&cast, &(FxWork){2, fx_cpu_detect(), NULL, 0}, &from[i], NULL, &to[i], &stats[i]);
        }
        for (size_t i = 0; i < N; i++)
            if (memcmp(&known[i], &got[i], sizeof got[i]))
                fail_msg("%s: %.9g becomes %.9g, not %.9g", texts[k], (double)values[i], (double)got[i], (double)known[i]);
        assert_true(same_counts(&stats[0], &stats[1]));
        assert_int_equal(to[1].exponent, 0);
        tensor_free(&from[1]);
    }
}

static void values_of_a_channels_codes_are_codes_times_its_unit(void **state) {
    (void)state;
    enum { C = 12, N = C * 500 };
    static float got[N];
    static int32_t exponents[C];
    static int8_t codes[N];
    Trial t = {.bits = 31, .multiplier_bits = 15, .spread = 30, .channels = C};
    FxQuantiser q = quantiser_of("fixed8@max.channel/stochastic:32");
    FxUnits units = {multiplier, exponent, NULL};
    FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {5, 6, 7}}, .channels = C, .casts = casts, .units = &units, .exponents = exponents};
    FxWork work = {2, fx_cpu_detect(), NULL, 0};
    FxStats stats[2] = {{0}};
    fill(&t, N, 3);
    FxTensor from = tensor_of(FX_INT32, x, N), to = {codes, FX_INT8, N, 0}, values = {got, FX_FLOAT32, N, 0};
    fx_tensor_cast(&cast, &work, &from, NULL, &to, &stats[0]);
    cast.exponents = NULL;
    fx_tensor_cast(&cast, &work, &from, NULL, &values, &stats[1]);
    for (size_t i = 0; i < N; i++)
        assert_true(got[i] == (float)ldexp(codes[i], exponents[i % C]));
    assert_true(same_counts(&stats[0], &stats[1]));
    // without units: the tensor's exponent for all, multiplier 1
    FxUnits same = {NULL, NULL, NULL};
    static int8_t again[N];
    static int32_t others[C];
    FxTensor second = {again, FX_INT8, N, 0};
    from.exponent = -5;
    cast.units = NULL;
    cast.exponents = exponents;
    fx_tensor_cast(&cast, &work, &from, NULL, &to, &stats[0]);
    cast.units = &same;
    cast.exponents = others;
    fx_tensor_cast(&cast, &work, &from, NULL, &second, &stats[0]);
    assert_memory_equal(codes, again, sizeof codes);
    assert_memory_equal(exponents, others, sizeof others);
    tensor_free(&from);
}

static void a_tensor_of_zeros_keeps_the_last_exponent(void **state) {
    (void)state;
    int32_t source[6] = {0, 5, 0, -7, 0, 3}, zero[2] = {77, 0}, units_of[2] = {-3, 9};
    int8_t codes[6];
    FxQuantiser q = quantiser_of("fixed8@max/stochastic:32");
    FxUnits units = {zero, units_of, NULL};
    FxTensorCast cast = {.q = &q, .random = {fx_random_source(0), 32, {5, 6, 7}}, .channels = 2, .casts = casts, .units = &units, .last = -21};
    FxTensor from = {source, FX_INT32, 6, 0}, to = {codes, FX_INT8, 6, 0};
    FxStats stats = {0};
    fx_tensor_cast(&cast, &(FxWork){1, fx_cpu_detect(), NULL, 0}, &from, NULL, &to, &stats);
    assert_int_equal(to.exponent, -21);
    for (int i = 0; i < 6; i++)
        assert_int_equal(codes[i], 0);
    assert_int_equal(stats.zeros_in, 6);
    assert_int_equal(stats.zeros_out, 6);
    assert_int_equal(stats.underflowed, 0);
    assert_int_equal(stats.max_abs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_batch_norms_are_the_golden_ones),
        cmocka_unit_test(every_cast_is_the_slow_twins),
        cmocka_unit_test(exponents_too_far_below_the_largest_are_raised),
        cmocka_unit_test(every_small_shape_is_the_slow_twins),
        cmocka_unit_test(multiplier_one_and_one_exponent_is_the_plain_cast),
        cmocka_unit_test(float_sites_round_the_value),
        cmocka_unit_test(values_of_a_channels_codes_are_codes_times_its_unit),
        cmocka_unit_test(a_tensor_of_zeros_keeps_the_last_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
