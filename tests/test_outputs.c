// What fx_quantise hands back: statistics against a plain count, and codes, values and decoded codes against one another.
#include "tests/cast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 4, CHANNELS = 21, COUNT = SAMPLES * 5 * CHANNELS, LONG = 1300 }; // LONG: more than one block

static void quantise_on(unsigned cpu, const FxQuantiser *q, const FxArray *x, const FxDraw *draw, const FxOutput *y, FxStats *stats) {
    FxError err = {0};
    if (fx_quantise_on(cpu, q, NULL, x, draw, y, stats, &err))
        fail_msg("fx_quantise: %s", err.text);
}

static void quantise(const FxQuantiser *q, const FxArray *x, const FxDraw *draw, const FxOutput *y, FxStats *stats) {
    quantise_on(fx_cpu_detect(), q, x, draw, y, stats);
}

static bool same_stats(const FxStats *a, const FxStats *b) {
    return a->n == b->n && a->saturated == b->saturated && a->underflowed == b->underflowed && a->zeros_in == b->zeros_in &&
           a->zeros_out == b->zeros_out && a->nonfinite == b->nonfinite && a->at_limit == b->at_limit && a->masked == b->masked &&
           ldexp((double)a->max_abs, (int)a->max_exponent) == ldexp((double)b->max_abs, (int)b->max_exponent);
}

static void fail_stats(const char *text, const char *what, const FxStats *got, const FxStats *want) {
    const FxStats *s[] = {got, want};
    char line[2][300];
    for (int i = 0; i < 2; i++)
        snprintf(line[i], sizeof line[i], "n %llu, saturated %llu, underflowed %llu, zeros %llu -> %llu, nonfinite %llu, at_limit %llu, max %a",
                 (unsigned long long)s[i]->n, (unsigned long long)s[i]->saturated, (unsigned long long)s[i]->underflowed,
                 (unsigned long long)s[i]->zeros_in, (unsigned long long)s[i]->zeros_out, (unsigned long long)s[i]->nonfinite,
                 (unsigned long long)s[i]->at_limit, ldexp((double)s[i]->max_abs, (int)s[i]->max_exponent));
    fail_msg("%s, %s: %s; not %s", text, what, line[0], line[1]);
}

// ---- statistics

// x / unit to an integer by a named mode, in float64: exact for what is asked here.
static double plain_round(const char *mode, double t) {
    double down = floor(t), rest = t - down;
    if (!strcmp(mode, "toward-zero"))
        return trunc(t);
    if (!strcmp(mode, "away"))
        return t < 0 ? down : ceil(t);
    if (!strcmp(mode, "nearest-away"))
        return t < 0 ? -floor(-t + 0.5) : floor(t + 0.5);
    return rest > 0.5 || (rest == 0.5 && fmod(down, 2) != 0) ? down + 1 : down; // nearest-even
}

// What becomes of one number: whether it left the range, and the value under saturation.
typedef struct Fate {
    bool outside;
    double value;
} Fate;

static Fate fate_of(const FxGrid *g, const char *mode, double x) {
    bool fixed = !strncmp(g->kind->prefix, "fixed", 5) || !strncmp(g->kind->prefix, "ufixed", 6);
    if (fixed) {
        double high = ldexp(1, g->bits - g->is_signed) - 1, low = !g->is_signed ? 0 : g->twos_complement ? -high - 1 : -high;
        double k = plain_round(mode, ldexp(x, g->fraction));
        return (Fate){k > high || k < low, ldexp(k > high ? high : k < low ? low : k, -g->fraction)};
    }
    double max = ldexp(2 - ldexp(1, -g->mantissa_bits), (1 << g->exponent_bits) - 1 - g->bias); // all codes finite
    if (g->special == FX_SPECIAL_IEEE)
        max /= 2;
    else if (g->special == FX_SPECIAL_FN || g->special == FX_SPECIAL_P3109)
        max -= ldexp(1, (1 << g->exponent_bits) - 1 - g->bias - g->mantissa_bits);
    int binade = x != 0 ? ilogb(x) : 0, low = 1 - g->bias, unit = (binade < low ? low : binade) - g->mantissa_bits;
    double r = ldexp(plain_round(mode, ldexp(x, -unit)), unit);
    return (Fate){fabs(r) > max, fabs(r) > max ? copysign(max, r) : r};
}

// The largest value and, on fixed grids, the lowest stand at the grid's end.
static bool at_end(const FxGrid *g, double value) {
    Fate high = fate_of(g, "toward-zero", 0x1p200), low = fate_of(g, "toward-zero", -0x1p200);
    return value == high.value || value == low.value;
}

static FxStats count_plainly(const FxGrid *g, const char *mode, bool saturates, const double *x, const double *values, size_t n) {
    FxStats want = {.n = n};
    double max = 0;
    for (size_t i = 0; i < n; i++) {
        bool finite = isfinite(x[i]);
        Fate fate = finite ? fate_of(g, mode, x[i]) : (Fate){false, 0};
        if (finite && (saturates || !fate.outside) && values[i] != fate.value)
            fail_msg("%a becomes %a, not %a", x[i], values[i], fate.value);
        want.nonfinite += !finite;
        want.zeros_in += x[i] == 0;
        want.zeros_out += values[i] == 0;
        want.underflowed += finite && x[i] != 0 && values[i] == 0;
        want.saturated += finite && fate.outside;
        want.at_limit += at_end(g, values[i]);
        max = finite && fabs(x[i]) > max ? fabs(x[i]) : max;
    }
    int e = 0;
    double m = frexp(max, &e);
    want.max_abs = (uint64_t)ldexp(m, 53);
    want.max_exponent = e - 53;
    return want;
}

// Numbers of all magnitudes near the grid's: ties, ends, zeros of both signs, infinities and NaN among them.
static double awkward(uint64_t i, bool integers) {
    static const double known[] = {0, -0.0, INFINITY, -INFINITY, NAN, 0x1p-149, -0x1p-149, 448, 464, -464, 465, 15.875, 15.9375, -16, -16.0625, 0.0625};
    double x = ldexp((double)slow_fill(i, 11), (int)(slow_mix(i) % 36) - 24);
    if (!integers)
        return i % 5 == 0 ? known[i / 5 % 16] : x;
    return i % 7 == 0 ? 0 : (double)slow_fill(i, 1 + (int)(slow_mix(i) % 20));
}

static const char *const counted[] = {"e4m3fn", "e5m2", "e4m3", "e5m2fnuz", "binary8p4se", "e2m1fn", "e3m2fn", "fp16", "bf16",
    "fixed8f3", "fixed8f3t", "ufixed8f4", "fixed2f0", "fixed16f4t", "fixed24f-2"};
static const char *const counted_modes[] = {"nearest-even", "toward-zero", "away", "nearest-away"};

// Every way to ask gives the same count.
static void check_stats(const char *text, const FxArray *x, const double *exact) {
    static double values[LONG];
    static float singles[LONG];
    FxQuantiser q = quantiser_of(text);
    FxTensor codes = tensor_new(fx_quantiser_type(&q), x->count);
    const FxOutput asked[] = {{.values64 = values}, {.codes = codes.data}, {.values = singles}, {0}, {.codes = codes.data, .values = singles, .values64 = values}};
    FxStats want = {0};
    for (size_t a = 0; a < sizeof asked / sizeof asked[0]; a++) {
        int i = 0;
        for (unsigned cpu; next_cpu(&i, &cpu);) {
            FxStats got = {0}, parts = {0};
            quantise_on(cpu, &q, x, NULL, &asked[a], &got);
            if (a == 0)
                want = count_plainly(&q.grid, fx_rounding_mode(&q.rounding)->name, q.overflow == FX_OVERFLOW_SATURATE, exact, values, x->count);
            if (!same_stats(&got, &want))
                fail_stats(text, fx_kernels(cpu)->name, &got, &want);
            for (size_t first = 0, take = 7; first < x->count; first += take, take *= 3) { // added up over calls
                take = x->count - first < take ? x->count - first : take;
                FxArray part = {.data = (const char *)x->data + first * fx_type_size(x->type), .type = x->type, .count = take, .exponent = x->exponent};
                quantise_on(cpu, &q, &part, NULL, &(FxOutput){.codes = codes.data}, &parts);
            }
            if (!same_stats(&parts, &want))
                fail_stats(text, "in parts", &parts, &want);
        }
    }
    tensor_free(&codes);
}

static void statistics_of_float_arrays_are_a_plain_count(void **state) {
    (void)state;
    static double wide[LONG];
    static float narrow[LONG];
    for (size_t i = 0; i < LONG; i++)
        wide[i] = narrow[i] = (float)awkward(i, false);
    for (size_t f = 0; f < sizeof counted / sizeof counted[0]; f++)
        for (size_t m = 0; m < sizeof counted_modes / sizeof counted_modes[0]; m++)
            for (int o = 0; o < 4; o++) {
                char text[FX_QUANTISER_TEXT];
                FxQuantiser q;
                FxError err;
                snprintf(text, sizeof text, "%s/%s/%s", counted[f], counted_modes[m], fx_overflow_name((FxOverflow)o));
                if (fx_quantiser_parse(&q, text, &err))
                    continue; // a policy that the grid does not have
                check_stats(text, &(FxArray){.data = narrow, .type = FX_FLOAT32, .count = LONG}, wide);
                check_stats(text, &(FxArray){.data = wide, .type = FX_FLOAT64, .count = LONG}, wide);
            }
}

static void statistics_of_integer_arrays_are_a_plain_count(void **state) {
    (void)state;
    static int64_t x[LONG];
    static double exact[LONG];
    for (size_t f = 0; f < sizeof counted / sizeof counted[0]; f++)
        for (size_t m = 0; m < sizeof counted_modes / sizeof counted_modes[0]; m++)
            for (int unit = -9; unit <= 1; unit += 5)
                for (int wrap = 0; wrap < 2; wrap++) {
                    char text[FX_QUANTISER_TEXT];
                    FxQuantiser q;
                    FxError err;
                    snprintf(text, sizeof text, "%s/%s/%s", counted[f], counted_modes[m], wrap ? "wrap" : "saturate");
                    if (fx_quantiser_parse(&q, text, &err))
                        continue;
                    for (size_t i = 0; i < LONG; i++) {
                        x[i] = (int64_t)awkward(i, true);
                        exact[i] = ldexp((double)x[i], unit);
                    }
                    for (int type = FX_INT32; type <= FX_INT64; type++) {
                        FxTensor t = tensor_of((FxType)type, x, LONG);
                        check_stats(text, &(FxArray){.data = t.data, .type = t.type, .count = LONG, .exponent = unit}, exact);
                        tensor_free(&t);
                    }
                }
}

// ---- codes, values and decoded codes

// The group of element i, by the words of fxsim.h.
static size_t group_of(const FxQuantiser *q, size_t i) {
    size_t row = i / CHANNELS, column = i % CHANNELS;
    switch (q->scale.group) {
    case FX_GROUP_TENSOR: return 0;
    case FX_GROUP_CHANNEL: return column;
    case FX_GROUP_SAMPLE: return i / (COUNT / SAMPLES);
    case FX_GROUP_BLOCK: break;
    }
    size_t block = (size_t)q->scale.block;
    return row * ((CHANNELS + block - 1) / block) + column / block;
}

static bool same_double(double a, double b) {
    return isnan(a) ? isnan(b) : !memcmp(&a, &b, sizeof a);
}

// codes + values + values64 at once, each alone, and the codes decoded.
static void check_outputs(const char *text, const FxArray *x, const FxDraw *draw) {
    FxQuantiser q = quantiser_of(text);
    FxTensor codes = tensor_new(fx_quantiser_type(&q), COUNT), alone = tensor_new(fx_quantiser_type(&q), COUNT);
    static float values[COUNT], scales[COUNT], values_alone[COUNT], scales_alone[COUNT];
    static double values64[COUNT], values64_alone[COUNT];
    static int32_t exponents[COUNT], exponents_alone[COUNT];
    size_t size = fx_type_size(codes.type);
    bool real = q.scale.rule->real != FX_REAL_NONE;
    FxStats all = {0}, one = {0};
    quantise(&q, x, draw, &(FxOutput){.codes = codes.data, .values = values, .values64 = values64, .exponents = exponents, .scales = scales}, &all);
    quantise(&q, x, draw, &(FxOutput){.codes = alone.data}, &one);
    quantise(&q, x, draw, &(FxOutput){.values = values_alone}, NULL);
    quantise(&q, x, draw, &(FxOutput){.values64 = values64_alone}, NULL);
    quantise(&q, x, draw, &(FxOutput){.exponents = exponents_alone, .scales = scales_alone}, NULL);
    if (!same_stats(&all, &one))
        fail_stats(text, "all outputs against codes alone", &all, &one);
    for (size_t i = 0; i < COUNT; i++) {
        size_t g = group_of(&q, i);
        double decoded;
        fx_decode(&q, (const char *)codes.data + i * size, 1, exponents[g], real ? &scales[g] : NULL, &decoded);
        int64_t code = fx_tensor_get(&codes, i);
        if (code != fx_tensor_get(&alone, i) || !same_double((double)values[i], (double)values_alone[i]) || !same_double(values64[i], values64_alone[i]))
            fail_msg("%s, element %zu: code %lld and %lld, value %a and %a, %a and %a", text, i, (long long)code, (long long)fx_tensor_get(&alone, i),
                     (double)values[i], (double)values_alone[i], values64[i], values64_alone[i]);
        if (!same_double(decoded, values64[i]) || !same_double((double)(float)decoded, (double)values[i]))
            fail_msg("%s, element %zu: code %lld, exponent %d, scale %a: decoded %a, values %a and %a", text, i, (long long)code, (int)exponents[g],
                     (double)scales[g], decoded, (double)values[i], values64[i]);
        if (exponents[g] != exponents_alone[g] || !same_double((double)scales[g], (double)scales_alone[g]))
            fail_msg("%s, group %zu: exponent %d and %d, scale %a and %a", text, g, (int)exponents[g], (int)exponents_alone[g], (double)scales[g],
                     (double)scales_alone[g]);
    }
    tensor_free(&codes);
    tensor_free(&alone);
}

static const char *const any_source[] = {"e4m3fn", "e5m2@max", "e4m3@max-fit.channel/stochastic", "binary8p3se/stochastic:5:b/inf", "fp16/odd/propagate",
    "fp32", "dlfloat16@const:3", "hfp8_143_nosub@shift.sample", "float:e4m3:bias11:none:flush:uf-flush", "e8m0/stochastic", "e4m3fn@block32",
    "e2m1fn@block4:even/stochastic:8:a", "fixed8f6@block10:ceil", "fixed8", "fixed8@max/stochastic:8:below", "fixed8t@max-ceil.channel", "fixed16f9@max-fit.sample",
    "fixed8@shift.block6/sr-eps:0.2", "fixed8@shift-unit", "fixed8@alpha", "ufixed8f4/equal", "fixed8f3t/nearest-even/wrap", "ufixed6f1/floor/wrap",
    "fixed8@max-mean", "fixed8@real-max", "fixed8@real-max.channel/stochastic", "fixed8@real-mean.sample", "ufixed4@real-max.block5", "binary@real-mean",
    "binary/stochastic", "ternary:t0.3@max", "ternary@max-fit.channel", "log2:b4:fsr2", "log2:b3:fsr0@max/stochastic", "logsqrt2:b5:fsr3", "inq:b4@const:2",
    "inq:b5", "fixed12@overflow", "fixed12@overflow:3:1:100.channel/stochastic", "fixed16t@autoflex", "fixed8@autoflex.channel/stochastic:7", "fixed40f20"};

static void outputs_agree_with_one_another_on_float_arrays(void **state) {
    (void)state;
    static float x[COUNT];
    static double wide[COUNT];
    for (size_t t = 0; t < sizeof any_source / sizeof any_source[0]; t++)
        for (int clean = 0; clean < 2; clean++) { // NaN makes an MX block NaN
            FxDraw draw = {.seed = 5 + t, .stream = 3, .step = 2, .element = 1001};
            for (size_t i = 0; i < COUNT; i++) {
                double v = awkward(i * (t + 1), false);
                wide[i] = v = clean && !isfinite(v) ? 0.25 : v;
                x[i] = (float)v;
            }
            check_outputs(any_source[t], &(FxArray){.data = x, .type = FX_FLOAT32, .count = COUNT, .samples = SAMPLES, .channels = CHANNELS}, &draw);
            check_outputs(any_source[t], &(FxArray){.data = wide, .type = FX_FLOAT64, .count = COUNT, .samples = SAMPLES, .channels = CHANNELS}, &draw);
        }
}

static void outputs_agree_with_one_another_on_integer_arrays(void **state) {
    (void)state;
    static const char *const integers_only[] = {"fixed8f3/pseudo", "fixed8@max/add-constant:100", "fixed8f3t/pseudo/wrap", "ufixed8@max/add-constant:7/wrap",
        "fixed8f4/signed-sr-eps:0.25", "e4m3fn/signed-sr-eps:0.4", "fixed8@max.channel/signed-sr-eps:0.1:9", "fixed8@max.channel/pseudo"};
    static const int widths[] = {7, 8, 15, 31, 40};
    size_t floats = sizeof any_source / sizeof any_source[0], all = floats + sizeof integers_only / sizeof integers_only[0];
    static int64_t x[COUNT];
    static int8_t direction[COUNT];
    for (size_t t = 0; t < all; t++)
        for (int type = FX_INT8; type <= FX_INT64; type++) {
            const char *text = t < floats ? any_source[t] : integers_only[t - floats];
            FxDraw draw = {.seed = 9 + t, .stream = 1, .step = 7, .element = 77};
            for (size_t i = 0; i < COUNT; i++) {
                x[i] = slow_fill(i * (t + 1), widths[type]);
                x[i] = type == FX_UINT8 ? llabs(x[i]) : x[i];
                direction[i] = (int8_t)((int)(slow_mix(i) % 3) - 1);
            }
            FxTensor source = tensor_of((FxType)type, x, COUNT);
            check_outputs(text, &(FxArray){.data = source.data, .type = source.type, .count = COUNT, .exponent = -6 - (int)t % 5, .samples = SAMPLES,
                                           .channels = CHANNELS, .direction = strstr(text, "signed-") ? direction : NULL}, &draw);
            tensor_free(&source);
        }
}

static void statistics_do_not_need_an_output(void **state) {
    (void)state;
    static double x[COUNT];
    static int64_t integers[COUNT];
    for (size_t t = 0; t < sizeof any_source / sizeof any_source[0]; t++)
        for (int source = 0; source < 2; source++) {
            FxQuantiser q = quantiser_of(any_source[t]);
            FxDraw draw = {.seed = 5 + t, .element = 8};
            for (size_t i = 0; i < COUNT; i++) {
                x[i] = ldexp(awkward(i, false), (int)(i % CHANNELS % 7)); // channels of different sizes
                integers[i] = slow_fill(i, 2 + (int)(i % CHANNELS));
            }
            FxArray in = {.data = x, .type = FX_FLOAT64, .count = COUNT, .samples = SAMPLES, .channels = CHANNELS};
            if (source) {
                in.data = integers;
                in.type = FX_INT64;
                in.exponent = -6;
            }
            FxTensor codes = tensor_new(fx_quantiser_type(&q), COUNT);
            FxStats with = {0}, without = {0};
            quantise(&q, &in, &draw, &(FxOutput){.codes = codes.data}, &with);
            quantise(&q, &in, &draw, &(FxOutput){0}, &without);
            if (!same_stats(&without, &with))
                fail_stats(any_source[t], "without an output against with codes", &without, &with);
            tensor_free(&codes);
        }
}

// FxDraw.element: a call over a part draws the words of the whole.
static void an_array_cut_into_calls_has_the_same_codes(void **state) {
    (void)state;
    static const char *const texts[] = {"e4m3fn/stochastic:8", "fixed8f3/stochastic:7:below", "fixed8f3/equal", "binary/stochastic:8", "fixed8f3/signed-sr-eps:0.3:6"};
    static const int lanes[] = {8, 16, 32};
    static int64_t x[LONG];
    static int8_t direction[LONG], got[LONG], want[LONG];
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (int l = 0; l < 3; l++)
            for (size_t cut = 1; cut < LONG; cut = cut * 5 + 3) {
                FxQuantiser q = quantiser_of(texts[t]);
                for (size_t i = 0; i < LONG; i++) {
                    x[i] = slow_fill(i, 14);
                    direction[i] = (int8_t)((int)(i % 3) - 1);
                }
                FxArray whole = {.data = x, .type = FX_INT64, .count = LONG, .exponent = -9, .direction = direction};
                FxDraw draw = {.seed = 3, .stream = 4, .step = 5, .element = UINT64_C(0xfffffff0), .lane_bits = lanes[l]};
                quantise(&q, &whole, &draw, &(FxOutput){.codes = want}, NULL);
                for (size_t first = 0; first < LONG; first += cut) {
                    FxArray part = whole;
                    FxDraw there = draw;
                    part.data = x + first;
                    part.direction = direction + first;
                    part.count = LONG - first < cut ? LONG - first : cut;
                    there.element += first;
                    quantise(&q, &part, &there, &(FxOutput){.codes = got + first}, NULL);
                }
                for (size_t i = 0; i < LONG; i++)
                    if (got[i] != want[i])
                        fail_msg("%s in calls of %zu, %d-bit lanes, element %zu: code %d, not %d", texts[t], cut, lanes[l], i, got[i], want[i]);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_of_float_arrays_are_a_plain_count),
        cmocka_unit_test(statistics_of_integer_arrays_are_a_plain_count),
        cmocka_unit_test(outputs_agree_with_one_another_on_float_arrays),
        cmocka_unit_test(outputs_agree_with_one_another_on_integer_arrays),
        cmocka_unit_test(statistics_do_not_need_an_output),
        cmocka_unit_test(an_array_cut_into_calls_has_the_same_codes),
    };
    return cmocka_run_group_tests_name("outputs", tests, NULL, NULL);
}
