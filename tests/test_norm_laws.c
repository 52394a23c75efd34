// Laws of the integer norms: traces of one channel, what must hold exactly, the slow twin on many shapes and kinds of
// data and on inputs that strain every sum.
#include "formats/cpu.h"
#include "layers/norm_math.h"
#include "tests/norm_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const FxNormKind kinds[] = {FX_NORM_L2, FX_NORM_L1, FX_NORM_RANGE, FX_NORM_SHIFT};

static int64_t most_of(const FxTensor *t) {
    return t->type == FX_INT8 ? 127 : 32767;
}

typedef enum Fill { GAUSS, UNIFORM, CONSTANT, ONE_HOT, EXTREMES, CAUCHY, SMALL, FILLS } Fill;

static int64_t filled(Fill fill, int64_t most, uint64_t i, size_t row, size_t n, size_t c) {
    switch (fill) {
    case GAUSS: return norm_clipped((double)most / 5 * (norm_gauss(i) + 0.3 * (double)(c % 5)), most);
    case UNIFORM: return (int64_t)(slow_mix(i) % (uint64_t)(2 * most + 1)) - most;
    case CONSTANT: return (int64_t)(c * 37) % (2 * most + 1) - most;
    case ONE_HOT: return row == (c * 7 + 3) % n ? (c % 2 ? -most : most) : 0;
    case EXTREMES: return slow_mix(i) % 2 ? most : -most;
    case CAUCHY: return norm_clipped(tan(3.14159265 * (norm_unit(i) - 0.5)) * 3, most);
    default: return (int64_t)(slow_mix(i) % 3) - 1;
    }
}

static void fill_run(NormRun *r, Fill x, Fill gy, uint64_t seed) {
    for (size_t i = 0; i < r->n * r->c; i++) {
        fx_tensor_set(&r->x, i, filled(x, most_of(&r->x), seed + i, i / r->c, r->n, i % r->c));
        fx_tensor_set(&r->gy, i, filled(gy, most_of(&r->gy), seed + i + 777777777, i / r->c, r->n, i % r->c));
    }
    r->gamma.exponent = -14;
    r->beta.exponent = -12;
    for (size_t c = 0; c < r->c; c++) {
        fx_tensor_set(&r->gamma, c, (int64_t)(slow_mix(seed + c) % 65535) - 32767);
        fx_tensor_set(&r->beta, c, (int64_t)(slow_mix(seed + c + 99) % 65535) - 32767);
        r->ex[c] = (int32_t)(slow_mix(seed + c) % 9) - 4;
        r->egy[c] = (int32_t)(slow_mix(seed + c + 5) % 9) - 12;
    }
}

// ---- traces -------------------------------------------------------------------------------------------------------

typedef struct Trace {
    FxNormKind kind;
    int chunks;
    int32_t constant, R, G;
    int eG;
    int32_t y[8], t[8];
    int64_t dgamma;
} Trace;

static const Trace traces[] = {
    {FX_NORM_L1, 1, 0, 16485, 24728, -26, {-11127, 38329, 69239, -35855, 13601, 19783, 56875, -85311},
     {182, -250, 70, 118, 198, -186, 6, -138}, 403025280},
    {FX_NORM_L2, 1, 0, 16977, 25466, -26, {-11703, 39229, 71061, -37169, 13763, 20129, 58328, -88101},
     {72, -222, 33, 59, 277, -120, -5, -94}, 415053696},
    {FX_NORM_RANGE, 1, 17360, 19792, 29688, -26, {-15002, 44374, 81484, -44690, 14686, 22108, 66640, -104066},
     {32, -160, -84, -32, 288, -96, 96, -44}, 483874816},
    {FX_NORM_RANGE, 2, 21262, 20200, 30300, -26, {-15480, 45120, 82995, -45780, 14820, 22395, 67845, -106380},
     {32, -160, 7, 121, 288, -96, -57, -135}, 493849600},
    {FX_NORM_SHIFT, 1, 0, 16384, 16384, -25, {-17408, 48128, 89088, -50176, 15360, 23552, 72704, -115712},
     {79, -208, 65, 63, 276, -120, 1, -98}, 24320 * 16384},
};

static void one_channel_gives_the_known_numbers_under_every_kind(void **state) {
    (void)state;
    static const int64_t X[8] = {-3, 5, 10, -7, 1, 2, 8, -15}, Gy[8] = {1, -2, 3, 0, 5, -1, 2, -4};
    for (size_t k = 0; k < sizeof traces / sizeof traces[0]; k++) {
        const Trace *want = &traces[k];
        NormRun r = norm_run_new(want->kind, FX_INT8, FX_INT8, 8, 1);
        r.rule.chunks = want->chunks;
        r.constant = want->constant;
        fx_tensor_set(&r.gamma, 0, 24576);
        fx_tensor_set(&r.beta, 0, 4096);
        r.gamma.exponent = r.beta.exponent = -15;
        for (size_t i = 0; i < 8; i++) {
            fx_tensor_set(&r.x, i, X[i]);
            fx_tensor_set(&r.gy, i, Gy[i]);
        }
        norm_run_everywhere(&r);
        const FxNormChannel *c = r.channels;
        if (c->mean != 32 || c->R != want->R || c->k != 25 || c->G != want->G || c->G_exponent != want->eG ||
            c->dgamma != want->dgamma || c->dbeta != 4)
            fail_msg("trace %zu: M %d R %d k %d G %d eG %d dgamma %lld", k, c->mean, c->R, c->k, c->G, c->G_exponent, (long long)c->dgamma);
        assert_memory_equal(r.y.data, want->y, sizeof want->y);
        assert_memory_equal(r.t.data, want->t, sizeof want->t);
        norm_run_free(&r);
    }
}

// ---- the twin -----------------------------------------------------------------------------------------------------

static void random_rule(NormRun *r, uint64_t i) {
    static const int chunks[] = {1, 2, 3, 16};
    FxNormRule *rule = &r->rule;
    rule->chunks = chunks[slow_mix(i) % 4];
    rule->constant = (FxNormConstant)(slow_mix(i + 1) % 3);
    rule->nominal = r->n > 2 * (size_t)rule->chunks ? r->n : 2 * (size_t)rule->chunks;
    rule->detach = slow_mix(i + 2) % 6 == 0;
    rule->keep_dead = slow_mix(i + 3) % 2;
    rule->floor = 1 << slow_mix(i + 4) % 9;
    rule->division = (FxNormDivision)(slow_mix(i + 5) % 3);
    rule->lut_bits = 4 + (int)(slow_mix(i + 6) % 5);
    rule->newton = slow_mix(i + 7) % 2;
    rule->hardware_division = slow_mix(i + 8) % 4 == 0;
    rule->fraction = (int)(slow_mix(i + 9) % 16);
    rule->int32_profile = slow_mix(i + 10) % 4 == 0;
    r->constant = fx_norm_range_constant(rule->constant, rule->nominal, rule->chunks);
}

static void random_shapes_agree_with_the_twin(void **state) {
    (void)state;
    // the last ones have several tasks, whose ends lie inside of a period
    static const size_t shapes[][2] = {{1, 1}, {1, 3}, {2, 1}, {2, 10}, {7, 3}, {16, 16}, {33, 6}, {64, 64}, {100, 10}, {5, 130}, {63, 70},
                                       {1030, 1}, {257, 32}, {33000, 1}, {3300, 10}, {1100, 63}, {600, 65}};
    enum { SHAPES = sizeof shapes / sizeof shapes[0] };
    size_t floored = 0, wide = 0;
    for (uint64_t i = 0; i < 10 * SHAPES; i++)
        for (int kind = 0; kind < 4; kind++) {
            const uint64_t seed = i * 1000003 + (uint64_t)kind * 500009;
            const size_t *shape = shapes[i % SHAPES];
            if (shape[0] * shape[1] > 20000 && i / SHAPES > 3)
                continue; // the twin is slow
            NormRun r = norm_run_new(kinds[kind], slow_mix(seed) % 2 ? FX_INT16 : FX_INT8, slow_mix(seed + 1) % 2 ? FX_INT16 : FX_INT8,
                                     shape[0], shape[1]);
            random_rule(&r, seed + 10);
            fill_run(&r, (Fill)(slow_mix(seed + 3) % FILLS), (Fill)(slow_mix(seed + 4) % FILLS), seed);
            if (slow_mix(seed + 5) % 4 == 0)
                r.gamma.exponent = 5 + (int)(slow_mix(seed + 6) % 9); // shifts d * G left
            if (slow_mix(seed + 7) % 4 == 0)
                r.beta.exponent = (int)(slow_mix(seed + 8) % 5); // near saturation and beyond
            norm_run_everywhere(&r);
            norm_compare(&r, "random");
            for (size_t c = 0; c < r.c; c++) {
                floored += r.channels[c].floored;
                wide += -16 - r.channels[c].G_exponent <= 0;
            }
            norm_run_free(&r);
        }
    assert_true(floored > 100 && wide > 100);
}

static void straining_inputs_agree_with_the_twin(void **state) {
    (void)state;
    static const Fill fills[] = {ONE_HOT, EXTREMES, CAUCHY};
    for (int kind = 0; kind < 4; kind++)
        for (int types = 0; types < 4; types++)
            for (int x = 0; x < 3; x++)
                for (int gy = 0; gy < 3; gy++) {
                    NormRun r = norm_run_new(kinds[kind], types & 1 ? FX_INT16 : FX_INT8, types & 2 ? FX_INT16 : FX_INT8, 5000, 3);
                    r.rule.chunks = 4;
                    r.constant = fx_norm_range_constant(FX_NORM_CODE, r.n, 4);
                    fill_run(&r, fills[x], fills[gy], 31);
                    for (size_t i = 0; x == 1 && gy == 1 && i < r.n; i++) // every product of the same sign, and every element
                        for (size_t c = 0; c < 3; c++) {
                            fx_tensor_set(&r.x, i * 3 + c, (c == 0 || (c == 1 && i % 2)) ? most_of(&r.x) : -most_of(&r.x));
                            fx_tensor_set(&r.gy, i * 3 + c, i % 2 || c == 0 ? most_of(&r.gy) : -most_of(&r.gy));
                        }
                    norm_run_everywhere(&r);
                    norm_compare(&r, "straining");
                    norm_run_free(&r);
                }
}

static void what_passes_32_bits_saturates(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int sign = -1; sign <= 1; sign += 2) {
            NormRun r = norm_run_new(kinds[kind], FX_INT16, FX_INT16, 1000, 1);
            r.constant = 8000;
            fill_run(&r, GAUSS, GAUSS, 7);
            r.rule.fraction = 15;
            fx_tensor_set(&r.gamma, 0, 20000);
            fx_tensor_set(&r.beta, 0, sign * 32767); // y overflows where it is 1 and more away from beta
            r.beta.exponent = 0;
            for (size_t i = 0; i < r.n; i++) { // two far elements make the step, all others the mean, the last one t
                fx_tensor_set(&r.x, i, i < 2 ? (i ? 32000 : -32000) : i % 2 ? 1 : -1);
                fx_tensor_set(&r.gy, i, sign * (i == 0 || i == 999 ? 32767 : -32767));
            }
            norm_run_everywhere(&r);
            norm_compare(&r, "large");
            assert_int_equal(fx_tensor_get(&r.y, sign > 0 ? 1 : 0), sign > 0 ? INT32_MAX : -INT32_MAX);
            if (kinds[kind] == FX_NORM_L1)
                assert_int_equal(fx_tensor_get(&r.t, 999), sign > 0 ? INT32_MAX : -INT32_MAX);
            norm_run_free(&r);
        }
}

static void every_instruction_set_takes_the_nearest_power_of_every_deviation(void **state) {
    (void)state;
    FxError err;
    unsigned cpu;
    for (int level = 1; fx_cpu_level(level); level++) {
        if (fx_cpu_parse(&cpu, fx_cpu_level(level), &err))
            continue;
        for (int32_t first = -65534; first <= 65534; first += FX_NORM_LANES) {
            int16_t x[FX_NORM_LANES];
            int8_t e[FX_NORM_LANES];
            int32_t mean[FX_NORM_LANES];
            FxNormSums sums = {.low = {0}};
            for (int i = 0; i < FX_NORM_LANES; i++) {
                x[i] = (int16_t)((first + i) / 2 > 32767 ? 32767 : (first + i) / 2);
                mean[i] = x[i] - (first + i);
                e[i] = 1;
            }
            const FxNormBlock block = {.x = x, .e = e, .stride = FX_NORM_LANES, .rows = 1, .lanes = FX_NORM_LANES};
            const FxNormLanes lanes = {.mean = mean};
            fx_norm_kernels(cpu)->power_products[1][0](&block, &lanes, &sums);
            for (int i = 0; i < FX_NORM_LANES && first + i <= 65534; i++) {
                const int64_t a = sums.low[i] + sums.high[i] * (INT64_C(1) << 15);
                if (a != (int64_t)slow_power_near(first + i) || a != fx_norm_power(first + i))
                    fail_msg("%s: a of d = %d: %lld", fx_cpu_level(level), first + i, (long long)a);
            }
        }
    }
}

// Of range the elements that carry the scale's term are moved when the loops are through.
static void every_loop_but_ranges_sees_its_t(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int detach = 0; detach < 2; detach++)
            for (int pair = 0; pair < 4; pair++) {
                NormRun r = norm_run_new(kinds[kind], pair & 1 ? FX_INT16 : FX_INT8, pair & 2 ? FX_INT16 : FX_INT8, 6000, 10); // several tasks
                r.rule.chunks = 4;
                r.rule.detach = detach;
                r.constant = 20000;
                fill_run(&r, GAUSS, GAUSS, (uint64_t)(kind * 8 + pair));
                norm_run_everywhere(&r);
                assert_true(r.sees == (detach || kinds[kind] != FX_NORM_RANGE));
                for (size_t c = 0; c < r.c; c++)
                    assert_true(!r.sees || r.seen[c].max_abs);
                norm_run_free(&r);
            }
}

// ---- invariants ---------------------------------------------------------------------------------------------------

static NormRun invariant_run(FxNormKind kind, FxType type, size_t n, uint64_t seed) {
    NormRun r = norm_run_new(kind, type, FX_INT8, n, 10);
    r.rule.chunks = 4;
    r.constant = fx_norm_range_constant(FX_NORM_CODE, n < 8 ? 8 : n, 4);
    fill_run(&r, GAUSS, GAUSS, seed);
    for (size_t i = 0; i < r.x.count; i++) // room for what is added or multiplied
        fx_tensor_set(&r.x, i, fx_tensor_get(&r.x, i) / 4);
    return r;
}

static void adding_a_constant_to_x_leaves_y(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int add = -60; add <= 60; add += 24) {
            NormRun r = invariant_run(kinds[kind], add % 16 ? FX_INT16 : FX_INT8, 77, (uint64_t)(add + 100));
            norm_forward(&r, fx_cpu_detect(), 1);
            int32_t *y = malloc(r.y.count * 4);
            assert_non_null(y);
            memcpy(y, r.y.data, r.y.count * 4);
            for (size_t i = 0; i < r.x.count; i++)
                fx_tensor_set(&r.x, i, fx_tensor_get(&r.x, i) + add);
            norm_forward(&r, fx_cpu_detect(), 1);
            assert_memory_equal(y, r.y.data, r.y.count * 4);
            free(y);
            norm_run_free(&r);
        }
}

static void doubling_x_leaves_y_where_the_mean_is_exact(void **state) {
    (void)state;
    static const FxNormKind homogeneous[] = {FX_NORM_L1, FX_NORM_RANGE, FX_NORM_SHIFT};
    for (int kind = 0; kind < 3; kind++)
        for (int wide = 0; wide < 2; wide++) {
            NormRun r = invariant_run(homogeneous[kind], wide ? FX_INT16 : FX_INT8, 128, 5);
            for (size_t c = 0; wide && c < r.c; c++) { // 128 divides the sum of 16 bits
                int64_t sum = 0;
                for (size_t i = 0; i < 128; i++)
                    sum += fx_tensor_get(&r.x, i * r.c + c);
                for (; sum % 128; sum--) {
                    const size_t i = (size_t)(sum & 127) * r.c + c;
                    fx_tensor_set(&r.x, i, fx_tensor_get(&r.x, i) - 1);
                }
            }
            norm_forward(&r, fx_cpu_detect(), 1);
            int32_t *y = malloc(r.y.count * 4);
            assert_non_null(y);
            memcpy(y, r.y.data, r.y.count * 4);
            for (int doubled = 0; doubled < 2; doubled++) {
                for (size_t i = 0; i < r.x.count; i++)
                    fx_tensor_set(&r.x, i, fx_tensor_get(&r.x, i) * 2);
                norm_forward(&r, fx_cpu_detect(), 1);
                assert_memory_equal(y, r.y.data, r.y.count * 4);
                assert_false(r.channels[0].floored);
            }
            free(y);
            norm_run_free(&r);
        }
}

static void a_constant_channel_and_a_single_element_give_beta(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (size_t n = 1; n < 100; n += 7)
            for (int wide = 0; wide < 2; wide++) {
                NormRun r = norm_run_new(kinds[kind], wide ? FX_INT16 : FX_INT8, FX_INT8, n, 10);
                r.constant = 20000;
                fill_run(&r, CONSTANT, GAUSS, n);
                norm_run_everywhere(&r);
                for (size_t i = 0; i < r.y.count; i++) {
                    const int64_t beta = (int64_t)slow_shift(fx_tensor_get(&r.beta, i % r.c), -16 - r.beta.exponent);
                    if (fx_tensor_get(&r.y, i) != beta || fx_tensor_get(&r.t, i) != 0 || !r.channels[i % r.c].floored)
                        fail_msg("kind %d, n = %zu: y %lld, beta %lld", kind, n, (long long)fx_tensor_get(&r.y, i), (long long)beta);
                }
                norm_run_free(&r);
            }
}

static void sums_of_deviations_and_of_errors_are_what_they_must_be(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 60; i++)
        for (int kind = 0; kind < 2; kind++) {
            NormRun r = norm_run_new(kind ? FX_NORM_RANGE : FX_NORM_L1, i % 2 ? FX_INT16 : FX_INT8, FX_INT8, 3 + 37 * i, 6);
            r.rule.chunks = 2;
            r.constant = 12000;
            fill_run(&r, (Fill)(i % FILLS), GAUSS, i);
            norm_forward(&r, fx_cpu_detect(), 1);
            for (size_t c = 0; c < r.c && !kind; c++) {
                int64_t sum = 0;
                for (size_t k = 0; k < r.n; k++)
                    sum += llabs(fx_tensor_get(&r.x, k * r.c + c) * (i % 2 ? 1 : 256) - r.channels[c].mean);
                assert_int_equal(norm_steps(&r, c)->spread, sum);
            }
            norm_backward(&r, fx_cpu_detect(), 1);
            for (size_t c = 0; c < r.c; c++) {
                int64_t sum = 0, most = 0;
                for (size_t k = 0; k < r.n; k++) {
                    const int64_t t = fx_tensor_get(&r.t, k * r.c + c);
                    sum += t;
                    most = llabs(t) > most ? llabs(t) : most;
                }
                if (most < INT32_MAX && llabs(sum) > (int64_t)r.n)
                    fail_msg("kind %d, n = %zu: the errors add up to %lld", r.rule.kind, r.n, (long long)sum);
            }
            norm_run_free(&r);
        }
}

// ---- running statistics -------------------------------------------------------------------------------------------

static void inference_on_the_batch_that_began_the_statistics_is_its_forward(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (int wide = 0; wide < 2; wide++) {
            NormRun r = invariant_run(kinds[kind], wide ? FX_INT16 : FX_INT8, 512, 3);
            int32_t mean[10], scale[10], mean_before[10], scale_before[10];
            FxNormRunning running = {mean, scale, 0, false};
            double signal = 0, error = 0;
            int32_t *y = malloc(r.y.count * 4);
            assert_non_null(y);
            norm_forward(&r, fx_cpu_detect(), 1);
            memcpy(y, r.y.data, r.y.count * 4);
            fx_norm_average(&r.rule, &r.x, r.ex, r.channels, r.c, &running);
            memcpy(mean_before, mean, sizeof mean);
            memcpy(scale_before, scale, sizeof scale);
            fx_norm_average(&r.rule, &r.x, r.ex, r.channels, r.c, &running); // the same once more moves nothing
            assert_memory_equal(mean, mean_before, sizeof mean);
            assert_memory_equal(scale, scale_before, sizeof scale);
            const FxWork work = norm_work(&r, fx_cpu_detect(), 2);
            fx_norm_infer(&r.rule, &r.x, r.ex, &r.gamma, &r.beta, &running, r.c, &r.y, &work);
            for (size_t i = 0; i < r.y.count; i++)
                signal += pow(y[i], 2), error += pow(y[i] - (double)fx_tensor_get(&r.y, i), 2);
            if (signal < 1e7 * error)
                fail_msg("kind %d: %.1f dB", kinds[kind], 10 * log10(signal / error));
            free(y);
            norm_run_free(&r);
        }
}

// Folded inference of one element, from its definition.
static Wide slow_infer(const NormRun *r, const FxNormRunning *running, size_t i, size_t c) {
    Wide R = 16384, G, gamma = fx_tensor_get(&r->gamma, c);
    int k = 14;
    if (r->rule.kind == FX_NORM_SHIFT) {
        gamma = slow_power_near(gamma);
        while (slow_power(k - 14) < slow_power_near(running->scale[c]))
            k++;
    } else
        slow_reciprocal(&r->rule, 1, running->scale[c], &R, &k);
    const int bits = slow_gain(gamma * R, &G), eG = r->gamma.exponent - k - running->exponent + bits, s = -16 - eG - r->ex[c];
    const Wide b = slow_shift(fx_tensor_get(&r->beta, c), -16 - r->beta.exponent) - slow_shift(running->mean[c] * G, -16 - eG - running->exponent);
    const Wide product = fx_tensor_get(&r->x, i * r->c + c) * G;
    if (s < -31 && product)
        return product > 0 ? INT32_MAX : -INT32_MAX;
    return slow_clamp((s < -31 ? 0 : slow_shift(product, s)) + b, INT32_MAX);
}

static void inference_agrees_with_the_twin_at_near_and_far_exponents(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 240; seed++) {
        NormRun r = norm_run_new(kinds[seed % 4], seed % 3 ? FX_INT16 : FX_INT8, FX_INT8, 21, 10);
        int32_t mean[10], scale[10];
        const FxNormRunning running = {mean, scale, -20, true};
        random_rule(&r, seed + 4000);
        fill_run(&r, UNIFORM, GAUSS, seed * 31);
        for (size_t c = 0; c < r.c; c++) {
            mean[c] = (int32_t)slow_fill(seed * 10 + c, 30);
            scale[c] = (int32_t)llabs(slow_fill(seed * 10 + c + 5555, 30)) | 1;
            r.ex[c] = (int32_t)(slow_mix(seed * 10 + c + 9) % 121) - 60;
            r.ex[c] = seed % 2 ? r.ex[c] : -17 + r.ex[c] / 20;
        }
        for (int threads = 1; threads <= 2; threads++) {
            const FxWork work = norm_work(&r, threads == 1 ? FX_CPU_SCALAR : fx_cpu_detect(), threads);
            fx_norm_infer(&r.rule, &r.x, r.ex, &r.gamma, &r.beta, &running, r.c, &r.y, &work);
            for (size_t i = 0; i < r.y.count; i++)
                if (fx_tensor_get(&r.y, i) != (int64_t)slow_infer(&r, &running, i / r.c, i % r.c))
                    fail_msg("seed %d, element %zu: %lld, not %lld", (int)seed, i, (long long)fx_tensor_get(&r.y, i),
                             (long long)slow_infer(&r, &running, i / r.c, i % r.c));
        }
        norm_run_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_channel_gives_the_known_numbers_under_every_kind),
        cmocka_unit_test(random_shapes_agree_with_the_twin),
        cmocka_unit_test(straining_inputs_agree_with_the_twin),
        cmocka_unit_test(what_passes_32_bits_saturates),
        cmocka_unit_test(every_instruction_set_takes_the_nearest_power_of_every_deviation),
        cmocka_unit_test(every_loop_but_ranges_sees_its_t),
        cmocka_unit_test(adding_a_constant_to_x_leaves_y),
        cmocka_unit_test(doubling_x_leaves_y_where_the_mean_is_exact),
        cmocka_unit_test(a_constant_channel_and_a_single_element_give_beta),
        cmocka_unit_test(sums_of_deviations_and_of_errors_are_what_they_must_be),
        cmocka_unit_test(inference_agrees_with_the_twin_at_near_and_far_exponents),
        cmocka_unit_test(inference_on_the_batch_that_began_the_statistics_is_its_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
