// Small floats and the other grids of bit patterns through fx_quantise against the slow twin of tests/slow_float.h and
// against MPFR. With the argument "slow": every float32 through each 8-bit format.
#include "formats/quantiser.h"
#include "tests/cast.h"
#include "tests/slow_float.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef FX_MPFR
#include <mpfr.h>
#endif

static bool slow_run;

static const char *const modes[] = {
    "nearest-even", "nearest-away", "nearest-zero", "nearest-up", "nearest-down", "toward-zero", "away", "floor", "ceil", "odd", "equal",
    "stochastic:8:a", "stochastic:8:b", "stochastic:5", "stochastic:8:below", "stochastic:32", "stochastic:32:b", "sr-eps:0.3:8",
    "signed-sr-eps:0.25:8",
};
enum { MODES = sizeof modes / sizeof modes[0] };
static const char *const policies[] = {"saturate", "propagate", "inf"}; // in the order of SlowPolicy

enum { SLOW_NAMED = 16 }; // lines of slow_formats of 8 and fewer bits with a name of their own
enum { ANCHOR = -2 }; // n1 of INQ: its array has one element of 2^-2

static bool parses(FxQuantiser *q, const SlowFormat *format, const char *mode, SlowPolicy policy) {
    char text[FX_QUANTISER_TEXT];
    FxError err;
    snprintf(text, sizeof text, "%s/%s/%s", format->text, mode, policies[policy]);
    return fx_quantiser_parse(q, text, &err) == 0;
}

// ---- codes --------------------------------------------------------------------------------------------------------

static void every_code_stands_for_the_value_of_the_definition(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format->text; format++) {
        FxQuantiser q = quantiser_of(format->text);
        for (int anchor = -3; anchor <= (format->kind == SLOW_INQ ? 3 : -3); anchor++) {
            SlowFloat f = slow_float_new(format, anchor);
            assert_int_equal(fx_quantiser_bits(&q), f.bits);
            for (int64_t c = 0; c < (INT64_C(1) << f.bits); c++) {
                if (format->kind == SLOW_INQ && isnan(f.values[c]))
                    continue;
                double value = number_value(fx_quantiser_decode(&q, c, anchor));
                bool same_sign = isnan(value) || !signbit(value) == !signbit(f.values[c]);
                if (!((isnan(value) && isnan(f.values[c])) || value == f.values[c]) || !same_sign)
                    fail_msg("%s: code 0x%llx is %a, not %a", format->text, (unsigned long long)c, value, f.values[c]);
            }
            double largest = number_value(fx_grid_largest(&q.grid));
            if (format->kind != SLOW_INQ && largest != f.points[f.count - 1].value)
                fail_msg("%s: largest %a, not %a", format->text, largest, f.points[f.count - 1].value);
            slow_float_free(&f);
        }
    }
}

static void check_round_trip(const SlowFormat *format, const SlowFloat *f, const char *mode, SlowPolicy policy) {
    FxQuantiser q;
    if (!parses(&q, format, mode, policy))
        return;
    FxRoundArg parameters = fx_round_arg(&q.rounding, 32);
    for (int64_t k = 0; k < 2 * (f->count + (f->inf >= 0)); k++) {
        bool negative = k % 2;
        int64_t bare = k / 2 < f->count ? f->points[k / 2].code : f->inf, code = bare + (negative ? f->sign : 0);
        bool infinite = bare == f->inf;
        if (negative && (f->sign == 0 || (f->values[bare] == 0 && !f->minus_zero)))
            continue;
        if (infinite && policy == SLOW_SATURATE)
            continue;
        FxEncodeArg arg = {(uint32_t)slow_mix((uint64_t)code) >> (32 - parameters.bits), (int)(k % 3) - 1, ANCHOR, &parameters};
        FxEncoded got = fx_encode(&q, fx_quantiser_decode(&q, code, ANCHOR), &arg);
        if (got.code != code || got.saturated)
            fail_msg("%s/%s/%s: code 0x%llx (%a) comes back as 0x%llx%s", format->text, mode, policies[policy], (unsigned long long)code,
                     f->values[code], (unsigned long long)got.code, got.saturated ? ", saturated" : "");
    }
}

static void every_canonical_code_survives_decoding_and_encoding_in_every_mode(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format->text; format++) {
        SlowFloat f = slow_float_new(format, ANCHOR);
        for (int m = 0; m < MODES; m++)
            for (int p = SLOW_SATURATE; p <= SLOW_TO_INF; p++)
                check_round_trip(format, &f, modes[m], (SlowPolicy)p);
        slow_float_free(&f);
    }
}

static void values_grow_with_the_magnitude_of_the_code(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format->text; format++) {
        FxQuantiser q = quantiser_of(format->text);
        SlowFloat f = slow_float_new(format, ANCHOR);
        for (int64_t i = 1; i < f.count; i++) {
            int64_t a = f.points[i - 1].code, b = f.points[i].code;
            if (a >= b || fx_number_compare(fx_quantiser_decode(&q, a, ANCHOR), fx_quantiser_decode(&q, b, ANCHOR)) >= 0)
                fail_msg("%s: codes 0x%llx and 0x%llx", format->text, (unsigned long long)a, (unsigned long long)b);
        }
        slow_float_free(&f);
    }
}

static void every_pairing_of_float_grid_rounding_and_policy_parses_and_its_text_comes_back(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format->text; format++)
        for (int m = 0; m < MODES; m++)
            for (int p = SLOW_SATURATE; p <= SLOW_TO_INF; p++) {
                char text[FX_QUANTISER_TEXT], again[FX_QUANTISER_TEXT];
                FxQuantiser q, r;
                bool floats = format->kind == SLOW_FLOAT || format->kind == SLOW_E8M0;
                bool is_nearest = !strncmp(modes[m], "nearest", 7);
                bool wanted = floats || (p == SLOW_SATURATE && (format->kind == SLOW_LOG2 || is_nearest));
                if (parses(&q, format, modes[m], (SlowPolicy)p) != wanted)
                    fail_msg("%s/%s/%s: %s", format->text, modes[m], policies[p], wanted ? "refused" : "accepted");
                if (!wanted)
                    continue;
                fx_quantiser_print(text, &q);
                r = quantiser_of(text);
                fx_quantiser_print(again, &r);
                assert_string_equal(text, again);
            }
}

// ---- numbers in every mode ----------------------------------------------------------------------------------------

enum { MOST = 12000 };

// Points, midpoints, quarter points and thirds and their float32 neighbours, all float32 exponents, specials; at most MOST.
static size_t inputs(float *x, const SlowFloat *f, uint64_t seed) {
    static const uint32_t specials[] = {0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF800001, 0x7FFFFFFF,
                                        1, 0x80000001, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000};
    size_t n = 0;
    bool all = f->count <= 130;
    while (n < sizeof specials / sizeof specials[0]) {
        x[n] = slow_f32(specials[n]);
        n++;
    }
    for (int k = 0; k < (all ? (int)f->count + 1 : 260); k++) {
        int64_t i = all ? k : k < 20 ? k : k < 40 ? f->count - k + 20 : (int64_t)(slow_mix(seed + (uint64_t)k) % (uint64_t)f->count);
        double lo = i < f->count ? f->points[i].value : f->beyond;
        double hi = i + 1 < f->count ? f->points[i + 1].value : i < f->count ? f->beyond : 2 * f->beyond;
        for (int part = 0; part < 12; part += part % 3 == 0 && part < 9 ? 3 : 1) { // 0, 3, 6, 9, 10, 11 twelfths
            float y = (float)(lo + (hi - lo) * part / 12);
            for (int side = -1; side <= 1 && n + 2 <= MOST; side++) {
                float z = side ? nextafterf(y, side < 0 ? -1.0f : INFINITY) : y;
                x[n++] = z;
                x[n++] = -z;
            }
        }
    }
    size_t random = n + 1500 < MOST ? n + 1500 : MOST;
    for (; n < random; n++)
        x[n] = slow_f32((uint32_t)slow_mix(seed * MOST + n));
    return n;
}

static uint32_t decoded_bits(const FxQuantiser *q, int64_t code, int anchor) {
    return fx_number_to_f32(fx_quantiser_decode(q, code, anchor));
}

static int64_t code_at(const FxQuantiser *q, const void *codes, size_t i) {
    FxTensor t = {(void *)(uintptr_t)codes, fx_quantiser_type(q), i + 1, 0};
    return fx_tensor_get(&t, i);
}

static void check_inputs(const SlowFloat *f, const char *mode, SlowPolicy policy, const float *x, size_t n) {
    static float values[MOST];
    static uint32_t codes[MOST]; // of the widest type
    static int8_t direction[MOST];
    FxQuantiser q;
    if (!parses(&q, &f->format, mode, policy))
        return;
    int lane = fx_quantiser_draws(&q) && (q.rounding.bits == 0 || q.rounding.bits > 16) ? 32 : 8;
    SlowLaw law = slow_law_of(&q, lane);
    for (size_t i = 0; i < n; i++)
        direction[i] = (int8_t)((int)(i % 3) - 1);
    FxArray array = {.data = x, .type = FX_FLOAT32, .count = n, .direction = direction};
    FxDraw draw = {7, 8, 9, 100, lane};
    FxStats stats = {0};
    FxError err;
    int32_t exponent;
    uint64_t outside = 0;
    if (fx_quantise(&q, NULL, &array, &draw, &(FxOutput){.codes = codes, .values = values, .exponents = &exponent}, &stats, &err))
        fail_msg("%s/%s: %s", f->format.text, mode, err.text);
    assert_int_equal(exponent, f->format.kind == SLOW_INQ ? ANCHOR : 0);
    for (size_t i = 0; i < n; i++) {
        bool out;
        uint32_t R = fx_rng_lane((FxRng){7, 8, 9}, 100 + i, lane) >> (lane - law.bits);
        law.direction = direction[i];
        int64_t want = slow_float_code(f, &law, policy, x[i], R, &out), got = code_at(&q, codes, i);
        outside += out;
        if (got != want || slow_bits(values[i]) != decoded_bits(&q, want, ANCHOR))
            fail_msg("%s/%s/%s: %a (0x%08x), R 0x%x: code 0x%llx of %a, value %a; not 0x%llx of %a", f->format.text, mode, policies[policy],
                     (double)x[i], slow_bits(x[i]), R, (unsigned long long)got, f->values[got], (double)values[i],
                     (unsigned long long)want, f->values[want]);
    }
    if (stats.saturated != outside || stats.n != n)
        fail_msg("%s/%s/%s: %llu saturated, not %llu", f->format.text, mode, policies[policy], (unsigned long long)stats.saturated,
                 (unsigned long long)outside);
}

static void every_mode_and_policy_gives_the_codes_of_the_slow_twin(void **state) {
    (void)state;
    static float x[MOST];
    for (const SlowFormat *format = slow_formats; format->text; format++) {
        SlowFloat f = slow_float_new(format, ANCHOR);
        size_t n = inputs(x, &f, (uint64_t)(format - slow_formats));
        if (format->kind == SLOW_INQ) { // the largest magnitude makes n1 = floor(log2(4 s / 3)) = -2
            for (size_t i = 0; i < n; i++)
                x[i] = !isfinite(x[i]) ? 0 : fabsf(x[i]) >= 0.375f ? x[i] < 0 ? -0.374f : 0.374f : x[i];
            x[n - 1] = 0.25f;
        }
        for (int m = 0; m < MODES; m++)
            for (int p = SLOW_SATURATE; p <= SLOW_TO_INF; p++)
                check_inputs(&f, modes[m], (SlowPolicy)p, x, n);
        slow_float_free(&f);
    }
}

// ---- all float32 --------------------------------------------------------------------------------------------------

// Magnitudes whose bits are at or above `from`, up to the next step, have one code.
typedef struct Step {
    uint32_t from;
    int64_t code;
    bool outside;
} Step;

enum { STEPS = 300, CHUNK = 4096 };

typedef struct Staircase {
    Step steps[2][STEPS];
    int count[2];
    uint32_t value_bits[256]; // of each code
} Staircase;

static int64_t slow_nearest(const SlowFloat *f, uint32_t bits, bool *outside) {
    SlowLaw law = {.name = "nearest-even"};
    return slow_float_code(f, &law, SLOW_SATURATE, slow_f32(bits), 0, outside);
}

// The slow twin is monotone below infinity; where it moves is found by halving.
static void climb(Staircase *stairs, const SlowFloat *f) {
    for (int negative = 0; negative < 2; negative++) {
        Step *step = stairs->steps[negative];
        uint32_t sign = negative ? 0x80000000 : 0, from = 0;
        int n = 0;
        while (from <= 0x7F800001) {
            assert_true(n < STEPS);
            step[n].from = from;
            step[n].code = slow_nearest(f, sign + from, &step[n].outside);
            uint32_t low = from, high = from < 0x7F800000 ? 0x7F800000 : from + 1; // infinity and NaN stand alone
            while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                bool outside;
                int64_t code = slow_nearest(f, sign + middle, &outside);
                if (code == step[n].code && outside == step[n].outside)
                    low = middle;
                else
                    high = middle;
            }
            from = high;
            n++;
        }
        stairs->count[negative] = n;
    }
}

typedef struct Wrong {
    bool found;
    char text[300];
} Wrong;

static void note(Wrong *wrong, const char *format, ...) {
    va_list args;
    va_start(args, format);
#pragma omp critical
    if (!wrong->found) {
        wrong->found = true;
        vsnprintf(wrong->text, sizeof wrong->text, format, args);
    }
    va_end(args);
}

// count inputs from `first` on, `stride` apart. outputs: 1 codes, 2 values, 3 both, each by a call of its own.
static void check_chunk(Wrong *wrong, const FxQuantiser *q, const SlowFloat *f, const Staircase *stairs, uint32_t first, uint32_t stride,
                        size_t count, int outputs) {
    float x[CHUNK], values[CHUNK];
    uint8_t codes[CHUNK];
    FxStats stats[2] = {{0}}, want = {.n = count};
    FxError err;
    for (size_t i = 0; i < count; i++)
        x[i] = slow_f32(first + (uint32_t)i * stride);
    FxArray array = {.data = x, .type = FX_FLOAT32, .count = count};
    if ((outputs & 1 && fx_quantise(q, NULL, &array, NULL, &(FxOutput){.codes = codes}, &stats[0], &err)) ||
        (outputs & 2 && fx_quantise(q, NULL, &array, NULL, &(FxOutput){.values = values}, &stats[1], &err))) {
        note(wrong, "%s", err.text);
        return;
    }
    int k = 0, sign = -1;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = first + (uint32_t)i * stride, magnitude = bits & 0x7FFFFFFF;
        if ((int)(bits >> 31) != sign) {
            sign = (int)(bits >> 31);
            k = 0;
        }
        const Step *step = stairs->steps[sign];
        while (k + 1 < stairs->count[sign] && step[k + 1].from <= magnitude)
            k++;
        if (outputs & 1 && codes[i] != step[k].code)
            note(wrong, "%s: 0x%08x: code 0x%02x, not 0x%02x", f->format.text, bits, codes[i], (unsigned)step[k].code);
        if (outputs & 2 && slow_bits(values[i]) != stairs->value_bits[step[k].code])
            note(wrong, "%s: 0x%08x: value 0x%08x, not 0x%08x", f->format.text, bits, slow_bits(values[i]), stairs->value_bits[step[k].code]);
        bool zero = f->values[step[k].code] == 0;
        want.saturated += step[k].outside;
        want.nonfinite += magnitude >= 0x7F800000;
        want.zeros_in += magnitude == 0;
        want.zeros_out += zero;
        want.underflowed += zero && magnitude != 0 && magnitude < 0x7F800000;
    }
    for (int i = 0; i < 2; i++) {
        const FxStats *s = &stats[i];
        if (!(outputs & (1 << i)))
            continue;
        if (s->n != want.n || s->saturated != want.saturated || s->nonfinite != want.nonfinite || s->zeros_in != want.zeros_in ||
            s->zeros_out != want.zeros_out || s->underflowed != want.underflowed)
            note(wrong, "%s: counts of %zu from 0x%08x: saturated %llu not %llu, zeros %llu %llu not %llu %llu, underflowed %llu not %llu",
                 f->format.text, count, first, (unsigned long long)s->saturated, (unsigned long long)want.saturated,
                 (unsigned long long)s->zeros_in, (unsigned long long)s->zeros_out, (unsigned long long)want.zeros_in,
                 (unsigned long long)want.zeros_out, (unsigned long long)s->underflowed, (unsigned long long)want.underflowed);
    }
}

static void check_all_inputs(const SlowFormat *format, uint32_t stride) {
    static Staircase stairs;
    static Wrong wrong;
    FxQuantiser q = quantiser_of(format->text);
    SlowFloat f = slow_float_new(format, 0);
    climb(&stairs, &f);
    for (int64_t c = 0; c < (INT64_C(1) << f.bits); c++)
        stairs.value_bits[c] = decoded_bits(&q, c, 0);
    uint64_t inputs_in_all = (UINT64_C(1) << 32) / stride, chunks = (inputs_in_all + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(dynamic, 16)
    for (uint64_t c = 0; c < chunks; c++) {
        size_t n = c + 1 < chunks ? CHUNK : (size_t)(inputs_in_all - c * CHUNK);
        check_chunk(&wrong, &q, &f, &stairs, (uint32_t)(c * CHUNK * stride), stride, n, stride == 1 ? 3 : 1 + (int)(c % 2));
    }
    slow_float_free(&f);
    if (wrong.found)
        fail_msg("%s", wrong.text);
}

static void every_257th_float32_gives_the_nearest_code_and_its_value(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format->text; format++)
        if (format->kind == SLOW_E8M0 || (format->kind == SLOW_FLOAT && format->E + format->M < 8))
            check_all_inputs(format, format < slow_formats + SLOW_NAMED ? 257 : 257 * 61); // others than the named ones are sparser
}

static void every_float32_gives_the_nearest_code_and_its_value(void **state) {
    (void)state;
    for (const SlowFormat *format = slow_formats; format < slow_formats + SLOW_NAMED; format++)
        if (format->kind == SLOW_E8M0 || (format->kind == SLOW_FLOAT && format->E + format->M == 7))
            check_all_inputs(format, 1);
}

// ---- MPFR ---------------------------------------------------------------------------------------------------------

#ifdef FX_MPFR
static void against_mpfr(const SlowFloat *f, const char *mode, mpfr_rnd_t rnd) {
    FxQuantiser q;
    assert_true(parses(&q, &f->format, mode, SLOW_TO_INF));
    mpfr_exp_t emin = mpfr_get_emin(), emax = mpfr_get_emax();
    mpfr_t y;
    mpfr_init2(y, f->format.M + 1);
    mpfr_set_emin(1 - f->format.bias - f->format.M + 1); // MPFR's significands are below 1
    mpfr_set_emax(f->format.bias + 1);
    for (uint64_t i = 0; i < (slow_run ? 400000u : 20000u); i++) {
        uint64_t word = slow_mix(i * 31 + (uint64_t)f->format.M);
        int span = (1 << f->format.E) + f->format.M + 6, e = (int)(word % (uint64_t)span) - span / 2 - f->format.M / 2;
        double x = ldexp(1 + ldexp((double)(slow_mix(word) % (UINT64_C(1) << 52)), -52), e), got = 0;
        int64_t k = (int64_t)(word / 65536 % (uint64_t)f->count);
        double lo = f->points[k].value, hi = k + 1 < f->count ? f->points[k + 1].value : f->beyond;
        if (i % 4 == 1) // a point, a midpoint, and next to them
            x = i % 8 == 1 ? lo : lo + (hi - lo) / 2;
        if (i % 4 == 1 && i % 3)
            x = nextafter(x, i % 3 == 1 ? 0 : INFINITY);
        if (i % 64 == 3)
            x = i % 128 == 3 ? ldexp(1, (int)(word / 256 % 2000) - 1074) : f->beyond - ldexp(f->beyond, -(int)(word / 256 % 20));
        x = word / 128 % 2 ? -x : x;
        int t = mpfr_set_d(y, x, rnd);
        t = mpfr_check_range(y, t, rnd);
        mpfr_subnormalize(y, t, rnd);
        double want = mpfr_get_d(y, rnd);
        FxArray array = {.data = &x, .type = FX_FLOAT64, .count = 1};
        FxError err;
        assert_int_equal(fx_quantise(&q, NULL, &array, NULL, &(FxOutput){.values64 = &got}, NULL, &err), 0);
        if (memcmp(&got, &want, sizeof got))
            fail_msg("%s/%s: %a becomes %a, not %a", f->format.text, mode, x, got, want);
    }
    mpfr_clear(y);
    mpfr_set_emin(emin);
    mpfr_set_emax(emax);
}
#endif

static void formats_with_the_rules_of_ieee_round_float64_as_mpfr_does(void **state) {
    (void)state;
#ifdef FX_MPFR
    static const char *const names[] = {"e5m2", "e4m3", "e3m4", "fp16", "bf16", "tf32", "fp16_169_ieee"};
    static const SlowFormat fp32 = {.text = "fp32", .E = 8, .M = 23, .bias = 127};
    const struct {
        const char *mode;
        mpfr_rnd_t rnd;
    } roundings[] = {{"nearest-even", MPFR_RNDN}, {"toward-zero", MPFR_RNDZ}, {"ceil", MPFR_RNDU}, {"floor", MPFR_RNDD}, {"away", MPFR_RNDA}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        SlowFloat f = slow_float_new(slow_format(names[i]), 0);
        for (int m = 0; m < 5; m++)
            against_mpfr(&f, roundings[m].mode, roundings[m].rnd);
        slow_float_free(&f);
    }
    SlowPoint few[] = {{0, 0, false}, {ldexp(1, -149), 1, true}, {ldexp(1, -148), 2, false}, {1, 0, false}, {1 + ldexp(1, -23), 1, true},
                       {ldexp(2 - ldexp(1, -23), 127), 0, true}};
    for (int first = 0; first < 6; first += first ? 2 : 3) { // a slow twin of fp32 would have 2^31 points
        SlowFloat f = {.format = fp32, .points = few + first, .count = first < 5 ? 2 : 1, .beyond = ldexp(1, 128)};
        for (int m = 0; m < 5; m++)
            against_mpfr(&f, roundings[m].mode, roundings[m].rnd);
    }
#else
    print_message("MPFR is not installed (Debian: libmpfr-dev)\n");
    skip();
#endif
}

int main(int argc, char **argv) {
    slow_run = argc > 1 && !strcmp(argv[1], "slow");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_stands_for_the_value_of_the_definition),
        cmocka_unit_test(values_grow_with_the_magnitude_of_the_code),
        cmocka_unit_test(every_canonical_code_survives_decoding_and_encoding_in_every_mode),
        cmocka_unit_test(every_pairing_of_float_grid_rounding_and_policy_parses_and_its_text_comes_back),
        cmocka_unit_test(every_mode_and_policy_gives_the_codes_of_the_slow_twin),
        cmocka_unit_test(every_257th_float32_gives_the_nearest_code_and_its_value),
        cmocka_unit_test(formats_with_the_rules_of_ieee_round_float64_as_mpfr_does),
    };
    const struct CMUnitTest long_tests[] = {
        cmocka_unit_test(every_float32_gives_the_nearest_code_and_its_value),
        cmocka_unit_test(formats_with_the_rules_of_ieee_round_float64_as_mpfr_does),
    };
    if (slow_run)
        return cmocka_run_group_tests_name("float oracle, slow", long_tests, NULL, NULL);
    return cmocka_run_group_tests_name("float oracle", tests, NULL, NULL);
}
