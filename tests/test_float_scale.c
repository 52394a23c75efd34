// Scales of float sources: real-max and real-mean against exact quotients, max-mean and the powers of two against loops over
// exponents, and every kind of group against each group quantised alone.
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

enum { MOST = 9000 };

// kind 0: moderate; 1: a wide range; 2: moderate with NaN and infinities; 3: subnormals; 4: zeros; 5: multiples of one number,
// so that quotients tie.
enum { KINDS = 6 };
static void fill(float *x, size_t n, int kind, uint64_t seed) {
    float unit = 1 + (float)(slow_mix(seed) % 1000) / 1024;
    for (size_t i = 0; i < n; i++) {
        uint64_t word = slow_mix(seed * 104729 + i);
        float m = 1 + ldexpf((float)(word / 4096 % 8388608), -23);
        x[i] = ldexpf(m, (int)(word / 2 % (kind == 1 ? 60 : 12)) - 10);
        if (kind == 2 && word / 64 % 9 == 0)
            x[i] = word / 128 % 2 ? NAN : INFINITY;
        if (kind == 3)
            x[i] = ldexpf((float)(word / 4096 % 8388608), -149);
        if (kind == 4)
            x[i] = 0;
        if (kind == 5)
            x[i] = i == 0 ? 254 * unit : (float)(word / 64 % 255) * unit;
        x[i] = word % 2 ? -x[i] : x[i];
    }
}

// x / s rounded to an integer by mode: how far |x| is above a whole number of s, exactly. s has at most 24 bits.
static double quotient(const char *mode, int r, uint32_t R, double x, double s) {
    double a = fabs(x), n = floor(a / s), sign = x < 0 ? -1 : 1, words = ldexp(1, r);
    while (n * s > a)
        n -= 1;
    while ((n + 1) * s <= a)
        n += 1;
    double rest = a - n * s;
    bool up = false;
    if (rest == 0)
        return sign * n;
    if (!strcmp(mode, "nearest-even"))
        up = 2 * rest > s || (2 * rest == s && fmod(n, 2) == 1);
    else if (!strcmp(mode, "nearest-away"))
        up = 2 * rest >= s;
    else if (!strcmp(mode, "floor"))
        up = x < 0;
    else if (!strcmp(mode, "ceil"))
        up = x > 0;
    else if (!strncmp(mode, "stochastic", 10)) { // variant a or c of d, toward +infinity
        double d = floor(rest * words / s), left;
        while (d * s > rest * words)
            d -= 1;
        while ((d + 1) * s <= rest * words)
            d += 1;
        left = rest * words - d * s;
        bool a_law = strstr(mode, ":a") != NULL;
        if (!a_law)
            d += 2 * left > s || (2 * left == s && fmod(d, 2) == 1);
        if (x < 0)
            d = words - d - (a_law && left > 0);
        up = x > 0 ? d + (double)R >= words : !(d + (double)R >= words);
    } else if (strcmp(mode, "toward-zero")) {
        fail_msg("no rounding %s here", mode);
    }
    return sign * (n + up);
}

static float mean_magnitude(const float *x, size_t n) {
    float sum = 0;
    size_t finite = 0;
    for (size_t first = 0; first < n; first += 4096) {
        float chunk = 0;
        for (size_t i = first; i < n && i < first + 4096; i++)
            if (isfinite(x[i])) {
                chunk += fabsf(x[i]);
                finite++;
            }
        sum += chunk;
    }
    return finite ? sum / (float)finite : 0;
}

static void check_real(const char *grid, const char *rule, const char *mode, int kind, size_t n) {
    static float x[MOST], values[MOST];
    static int64_t codes[MOST];
    char text[FX_QUANTISER_TEXT];
    snprintf(text, sizeof text, "%s@%s/%s", grid, rule, mode);
    FxQuantiser q = quantiser_of(text);
    int low = (int)fx_grid_low(&q.grid), high = (int)fx_grid_high(&q.grid);
    bool binary = !strcmp(grid, "binary");
    double max = 0;
    fill(x, n, kind, n + (uint64_t)kind);
    for (size_t i = 0; i < n; i++)
        max = isfinite(x[i]) && fabs((double)x[i]) > max ? fabs((double)x[i]) : max;
    float s = !strcmp(rule, "real-max") ? (float)(max / high) : mean_magnitude(x, n), scale;
    FxArray array = {.data = x, .type = FX_FLOAT32, .count = n};
    FxStats stats = {0};
    FxError err;
    uint64_t outside = 0;
    FxDraw draw = {3, 4, 5, 6, 8};
    if (fx_quantise(&q, NULL, &array, &draw, &(FxOutput){.codes = codes, .values = values, .scales = &scale}, &stats, &err))
        fail_msg("%s: %s", text, err.text);
    if (slow_bits(scale) != slow_bits(s))
        fail_msg("%s, kind %d, %zu elements: scale %a, not %a", text, kind, n, (double)scale, (double)s);
    FxTensor t = {codes, fx_quantiser_type(&q), n, 0};
    for (size_t i = 0; i < n; i++) {
        uint32_t R = fx_rng_lane((FxRng){3, 4, 5}, 6 + i, 8);
        double k = s == 0 || isnan(x[i]) ? 0 : isinf(x[i]) ? (x[i] < 0 ? low : high) : 0;
        if (s > 0 && isfinite(x[i]))
            k = binary ? 0 : quotient(mode, 8, R, (double)x[i], (double)s);
        bool out = !binary && isfinite(x[i]) && (k < low || k > high);
        k = binary ? (s > 0 && !isnan(x[i]) && x[i] < 0 ? -1 : 1) : k < low ? low : k > high ? high : k;
        outside += out;
        int64_t got = fx_tensor_get(&t, i);
        float value = (float)(k * (double)s);
        if (s == 0 && binary)
            value = values[i]; // no code of binary stands for 0
        else if (got != (int64_t)k)
            fail_msg("%s, kind %d: %a / %a: code %lld, not %.0f", text, kind, (double)x[i], (double)s, (long long)got, k);
        if (values[i] != value)
            fail_msg("%s, kind %d: code %lld of scale %a: value %a, not %a", text, kind, (long long)got, (double)s, (double)values[i], (double)value);
    }
    if (stats.saturated != outside)
        fail_msg("%s, kind %d, %zu elements: %llu saturated, not %llu", text, kind, n, (unsigned long long)stats.saturated,
                 (unsigned long long)outside);
}

static void real_scales_divide_exactly_and_round_once(void **state) {
    (void)state;
    static const char *const all[] = {"fixed8", "fixed8t", "fixed4", "fixed2", "fixed12f3", "ufixed8", "fixed24", "binary"};
    static const char *const modes[] = {"nearest-even", "nearest-away", "floor", "ceil", "toward-zero", "stochastic:8", "stochastic:8:a"};
    static const size_t lengths[] = {1, 2, 33, 700, 4096, 8999};
    for (size_t g = 0; g < sizeof all / sizeof all[0]; g++)
        for (size_t m = 0; m < (g == 7 ? 2 : 7); m++)
            for (int kind = 0; kind < KINDS; kind++)
                for (int l = 0; l < 6; l++) {
                    if (g < 7)
                        check_real(all[g], "real-max", modes[m], kind, lengths[l]);
                    check_real(all[g], "real-mean", modes[m], kind, lengths[l]);
                }
}

// ---- powers of two ------------------------------------------------------------------------------------------------

static int exponent_of(const char *text, const void *x, FxType type, size_t n, size_t samples, int exponent) {
    FxQuantiser q = quantiser_of(text);
    FxArray array = {.data = x, .type = type, .count = n, .samples = samples, .exponent = exponent};
    FxError err;
    int32_t got;
    if (fx_quantise(&q, NULL, &array, NULL, &(FxOutput){.exponents = &got}, NULL, &err))
        fail_msg("%s: %s", text, err.text);
    return got;
}

// The exponent for a largest magnitude m by each rule's definition, of the scale on float grids, of the code's unit on fixed ones.
static int wanted(const char *rule, double m, double largest, int fraction, int bits) {
    int e = -400;
    if (!strcmp(rule, "max-ceil")) { // ceil(log2 m) - bits
        while (ldexp(1, e + bits) < m)
            e++;
        return e;
    }
    if (!strcmp(rule, "max-fit")) {
        while (ldexp(largest, e) < m)
            e++;
        return e;
    }
    if (!strncmp(rule, "max", 3)) {
        while (ldexp(1, e + 1) <= ldexp(m, -ilogb(largest)))
            e++;
        return e;
    }
    e = ilogb(m);
    double digits = ldexp(m, -e); // nearest in the log: m^2 against 2, which 24 bits never meet
    e += strstr(rule, "-ceil") ? digits > 1 : strstr(rule, "-floor") ? 0 : digits * digits > 2;
    return e - fraction;
}

static void exponents_of_float_sources_follow_each_rules_definition(void **state) {
    (void)state;
    static const char *const all[] = {"e4m3fn", "e5m2", "e2m1fn", "bf16", "fixed8", "fixed8f3", "ufixed6", "e3m4", "log2:b4:fsr0"};
    static const char *const rules[] = {"max", "max-fit", "max-ceil", "shift", "shift-ceil", "shift-floor", "max-mean"};
    for (size_t g = 0; g < sizeof all / sizeof all[0]; g++)
        for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
            for (uint64_t i = 0; i < 1500; i++) {
                char text[FX_QUANTISER_TEXT];
                FxQuantiser q;
                FxError err;
                snprintf(text, sizeof text, "%s@%s", all[g], rules[r]);
                if (fx_quantiser_parse(&q, text, &err)) {
                    assert_true(!strcmp(rules[r], "max-ceil") && !fx_grid_is_fixed(&q.grid));
                    continue;
                }
                bool fixed = fx_grid_is_fixed(&q.grid);
                double largest = number_value(fx_grid_largest(&q.grid)), m = 0;
                uint64_t word = slow_mix(i);
                float x[4] = {0, 0, INFINITY, NAN};
                x[1] = slow_f32((uint32_t)(word % 0x7F000000));
                if (i % 3 == 0) // at and next to largest * 2^k, 2^k, sqrt 2 * 2^k
                    x[1] = (float)ldexp(i % 9 == 0 ? largest : i % 9 == 3 ? 1 : 1.4142135623730951, (int)(word % 60) - 40);
                if (i % 3 == 0 && word / 64 % 3)
                    x[1] = nextafterf(x[1], word / 64 % 3 == 1 ? 0.0f : INFINITY);
                x[1] = word / 1024 % 2 ? -x[1] : x[1];
                m = fabs((double)x[1]);
                if (m == 0 || isinf(m))
                    continue;
                int want = wanted(rules[r], m, largest, fixed ? q.grid.fraction : 0, fixed ? q.grid.bits - q.grid.is_signed : 0);
                int got = exponent_of(text, x, FX_FLOAT32, 4, 1, 0);
                if (got != want)
                    fail_msg("%s: largest %a: exponent %d, not %d", text, m, got, want);
            }
}

static void max_mean_takes_the_mean_of_the_samples_maxima(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        enum { S = 7, N = 5 };
        static const char *const all[] = {"fixed8", "e4m3fn", "fixed8f2"};
        float x[S * N];
        int32_t v[S * N];
        size_t samples = 1 + (size_t)(i % S);
        double sum = 0, largest = 127;
        uint64_t whole = 0;
        for (size_t s = 0; s < samples; s++) {
            double most = 0;
            int64_t most_v = 0;
            for (size_t k = 0; k < N; k++) {
                uint64_t word = slow_mix(i * S * N + s * N + k);
                x[s * N + k] = i % 3 == 0 ? (float)(1u << word % 9) : ldexpf((float)(word / 64 % 16777216), (int)(word % 16) - 20);
                v[s * N + k] = i % 3 == 0 ? (int32_t)(1u << word % 20) : (int32_t)(word / 64 % 2000000) - 1000000;
                x[s * N + k] = word / 32 % 2 ? -x[s * N + k] : x[s * N + k];
                most = fmax(most, fabs((double)x[s * N + k]));
                most_v = llabs((int64_t)v[s * N + k]) > most_v ? llabs((int64_t)v[s * N + k]) : most_v;
            }
            sum += most; // exact: at most 24 + 18 + 3 bits
            whole += (uint64_t)most_v;
        }
        char text[FX_QUANTISER_TEXT];
        snprintf(text, sizeof text, "%s@max-mean", all[i % 3]);
        largest = i % 3 == 1 ? 448 : 127;
        int e = -200, got = exponent_of(text, x, FX_FLOAT32, samples * N, samples, 0);
        while (ldexp((double)samples, e + 1 + ilogb(largest)) <= sum) // the largest e with 2^(e + log2 largest) <= mean
            e++;
        if (got != e)
            fail_msg("%s: %zu samples, sum of maxima %a: exponent %d, not %d", text, samples, sum, got, e);
        if (i % 3 == 1)
            continue;
        uint64_t mean = (2 * whole + samples) / (2 * samples); // rounded to nearest
        int shift = mean == 0 ? 0 : slow_log2_floor(mean) - 6;
        got = exponent_of(text, v, FX_INT32, samples * N, samples, -3);
        if (got != (shift < 0 ? 0 : shift) - 3)
            fail_msg("%s: int32, %zu samples, mean of maxima %llu: exponent %d, not %d", text, samples, (unsigned long long)mean, got,
                     (shift < 0 ? 0 : shift) - 3);
    }
}

// ---- groups -------------------------------------------------------------------------------------------------------

// Element i of the array [samples][rows][channels] belongs to a group; what is the group's k-th element?
static size_t member(FxGroup group, size_t g, size_t k, size_t length, size_t channels, size_t block) {
    size_t per_row = block ? (channels + block - 1) / block : 1;
    switch (group) {
    case FX_GROUP_CHANNEL: return k * channels + g;
    case FX_GROUP_SAMPLE: return g * length + k;
    case FX_GROUP_BLOCK: return g / per_row * channels + g % per_row * block + k;
    case FX_GROUP_TENSOR: break;
    }
    return k;
}

static void check_groups(const char *grid, const char *rule, const char *suffix, const char *mode, FxType type, int kind) {
    enum { SAMPLES = 3, ROWS = 4, CHANNELS = 37, N = SAMPLES * ROWS * CHANNELS };
    static float x[N], some[N], values[N], values_alone[N];
    static int32_t v[N], v_some[N];
    static uint64_t codes[N], codes_alone[N];
    char text[FX_QUANTISER_TEXT], alone[FX_QUANTISER_TEXT];
    FxError err;
    FxQuantiser q, one;
    bool blocks = !strncmp(rule, "block", 5);
    snprintf(text, sizeof text, "%s@%s%s/%s", grid, rule, suffix, mode);
    snprintf(alone, sizeof alone, "%s@%s/%s", grid, blocks ? "block1000" : rule, mode); // a block of all
    if (fx_quantiser_parse(&one, alone, &err))
        return;
    q = quantiser_of(text);
    fill(x, N, kind, 99);
    for (size_t i = 0; i < N; i++) {
        x[i] = ldexpf(x[i], (int)(i % CHANNELS % 7) - (int)(i / (ROWS * CHANNELS)) * 2);
        v[i] = (int32_t)slow_fill(i + 5, 4 + (int)(i % 20));
    }
    FxGroup group = q.scale.group;
    size_t block = group == FX_GROUP_BLOCK ? (size_t)q.scale.block : 0, groups;
    size_t want = group == FX_GROUP_CHANNEL ? CHANNELS : group == FX_GROUP_SAMPLE ? SAMPLES : SAMPLES * ROWS * ((CHANNELS + block - 1) / block);
    FxArray array = {.data = type == FX_INT32 ? (const void *)v : x, .type = type, .count = N, .samples = SAMPLES, .channels = CHANNELS};
    array.exponent = type == FX_INT32 ? -9 : 0;
    assert_int_equal(fx_quantiser_groups(&groups, &q, &array, &err), 0);
    assert_int_equal(groups, want);
    int32_t exponents[N], exponent;
    float scales[N], scale;
    if (fx_quantise(&q, NULL, &array, NULL, &(FxOutput){.codes = codes, .values = values, .exponents = exponents, .scales = scales}, NULL, &err))
        fail_msg("%s: %s", text, err.text);
    FxTensor t = {codes, fx_quantiser_type(&q), N, 0}, u = {codes_alone, fx_quantiser_type(&q), N, 0};
    for (size_t g = 0; g < groups; g++) {
        size_t n = group == FX_GROUP_CHANNEL ? N / CHANNELS : group == FX_GROUP_SAMPLE ? N / SAMPLES : block;
        if (group == FX_GROUP_BLOCK) {
            size_t start = g % ((CHANNELS + block - 1) / block) * block;
            n = CHANNELS - start < block ? CHANNELS - start : block;
        }
        for (size_t k = 0; k < n; k++) {
            some[k] = x[member(group, g, k, n, CHANNELS, block)];
            v_some[k] = v[member(group, g, k, n, CHANNELS, block)];
        }
        FxArray part = {.data = type == FX_INT32 ? (const void *)v_some : some, .type = type, .count = n, .exponent = array.exponent};
        FxOutput y = {.codes = codes_alone, .values = values_alone, .exponents = &exponent, .scales = &scale};
        assert_int_equal(fx_quantise(&one, NULL, &part, NULL, &y, NULL, &err), 0);
        if (exponent != exponents[g] || slow_bits(scale) != slow_bits(scales[g]))
            fail_msg("%s: group %zu: exponent %d, scale %a; alone %d, %a", text, g, exponents[g], (double)scales[g], exponent, (double)scale);
        for (size_t k = 0; k < n; k++) {
            size_t i = member(group, g, k, n, CHANNELS, block);
            if (fx_tensor_get(&t, i) != fx_tensor_get(&u, k) || slow_bits(values[i]) != slow_bits(values_alone[k]))
                fail_msg("%s: group %zu, element %zu: code %lld, value %a; alone %lld, %a", text, g, i, (long long)fx_tensor_get(&t, i),
                         (double)values[i], (long long)fx_tensor_get(&u, k), (double)values_alone[k]);
        }
    }
}

static void a_group_gets_what_it_gets_alone(void **state) {
    (void)state;
    static const char *const all[] = {"fixed8", "e4m3fn", "e2m1fn", "fixed8f6", "ufixed8", "binary"};
    static const char *const rules[] = {"max", "max-ceil", "max-fit", "shift", "shift-ceil", "shift-floor", "real-max", "real-mean"};
    static const char *const suffixes[] = {".channel", ".sample", ".block16"};
    static const char *const modes[] = {"nearest-even", "floor"};
    for (size_t g = 0; g < sizeof all / sizeof all[0]; g++)
        for (int m = 0; m < 2; m++)
            for (int kind = 0; kind < KINDS; kind++)
                for (int type = 0; type < 2; type++) {
                    FxType of = type ? FX_INT32 : FX_FLOAT32;
                    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
                        for (int s = 0; s < 3; s++)
                            check_groups(all[g], rules[r], suffixes[s], modes[m], of, kind);
                    check_groups(all[g], "block16", "", modes[m], of, kind);
                    check_groups(all[g], "block37", "", modes[m], of, kind);
                }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_scales_divide_exactly_and_round_once),
        cmocka_unit_test(exponents_of_float_sources_follow_each_rules_definition),
        cmocka_unit_test(max_mean_takes_the_mean_of_the_samples_maxima),
        cmocka_unit_test(a_group_gets_what_it_gets_alone),
    };
    return cmocka_run_group_tests_name("float scale", tests, NULL, NULL);
}
