// fx_quantise on float32 arrays against fx_encode number by number, its scales and counts redone here: on every SIMD level,
// from unaligned starts, for short and long arrays with every special number, in pieces and from several threads.
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

static const char *const grids[] = {
    "e4m3fn", "e5m2", "bf16", "fp16", "e2m1fn", "fixed8", "fixed12f3", "ufixed8", "dlfloat16", "hfp8_143_nosub", "e4m3fn@block32",
    "fixed8f6@block32", "fixed8@max", "e4m3fn@const:5", "e5m2@block16:even", "e2m1fn@block32:ceil", "fixed8t", "e4m3fnuz", "e3m2fn", "tf32", "fp32",
};
static const struct {
    const char *text;
    int lane;
} roundings[] = {
    {"nearest-even", 32}, {"toward-zero", 32}, {"floor", 32}, {"stochastic:8", 8}, {"stochastic:8:a", 8}, {"stochastic", 32},
    {"sr-eps:0.25:8", 8}, {"nearest-away", 32}, {"ceil", 32}, {"stochastic:8:b", 16}, {"stochastic:8:below", 8}, {"stochastic:16", 16},
    {"nearest-even/propagate", 32}, {"nearest-even/inf", 32}, {"stochastic:8/inf", 8},
};
enum { GRIDS = sizeof grids / sizeof grids[0], ROUNDINGS = sizeof roundings / sizeof roundings[0], MOST = 5000, WIDEST = 8 };

// ---- what must come out -------------------------------------------------------------------------------------------

typedef struct Expected {
    int64_t codes[MOST];
    float values[MOST];
    int32_t exponents[MOST / 16 + MOST];
    size_t groups;
    FxStats stats;
} Expected;

// The scale of one group: what x is divided by, and the exponent that is reported. formats.md 4.5, 12.4.
static bool group_scale(int *shift, int *exponent, const FxQuantiser *q, const float *x, size_t n) {
    double max = 0, largest = number_value(fx_grid_largest(&q->grid)); // fixed grids: in codes
    bool finite = true, fixed = fx_grid_is_fixed(&q->grid), block = q->scale.group == FX_GROUP_BLOCK;
    const char *rule = q->scale.rule->name;
    int unit = fixed ? -q->grid.fraction : 0;
    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        max = isfinite(x[i]) && fabs((double)x[i]) > max ? fabs((double)x[i]) : max;
    }
    if (!strcmp(rule, "const")) {
        *shift = *exponent = q->scale.parameter[0] + unit;
        return true;
    }
    if (!strcmp(rule, "max")) {
        *shift = *exponent = max > 0 ? ilogb(max) - ilogb(largest) : 0;
        return true;
    }
    assert_true(block);
    largest = ldexp(largest, unit);
    int e = max > 0 ? ilogb(max) - ilogb(largest) : -127;
    if (max > 0 && q->scale.parameter[0] == 1) // ceil
        for (e = -1000; ldexp(largest, e) < max;)
            e++;
    if (max > 0 && q->scale.parameter[0] == 2) { // even: the largest rounded to M + 1 bits first
        int m = fixed ? q->grid.bits - 2 : q->grid.mantissa_bits, at = ilogb(max);
        double digits = ldexp(max, m - at), whole = floor(digits), rest = digits - whole;
        whole += rest > 0.5 || (rest == 0.5 && fmod(whole, 2) == 1);
        e = ilogb(ldexp(whole, at - m)) - ilogb(largest);
    }
    e = e < -127 ? -127 : e;
    *shift = e + unit;
    *exponent = finite ? e + unit : 128 + unit;
    return finite;
}

static void expect(Expected *out, const FxQuantiser *q, const float *x, size_t n, const FxDraw *draw) {
    SlowLaw law = slow_law_of(q, draw->lane_bits);
    FxRoundArg parameters = fx_round_arg(&q->rounding, draw->lane_bits);
    bool draws = fx_quantiser_draws(q), patterns = fx_quantiser_has_patterns(q);
    size_t length = q->scale.group == FX_GROUP_BLOCK ? (size_t)q->scale.block : n ? n : 1;
    double largest = number_value(fx_grid_largest(&q->grid)), most = 0;
    FxStats *s = &out->stats;
    *s = (FxStats){.n = n};
    out->groups = 0;
    for (size_t first = 0; first < n || (n == 0 && out->groups == 0); first += length) {
        int shift, exponent;
        size_t end = n - first < length ? n : first + length;
        bool valid = group_scale(&shift, &exponent, q, x + first, end - first);
        out->exponents[out->groups++] = exponent;
        for (size_t i = first; i < end; i++) {
            FxNumber number = fx_number_f32(slow_bits(x[i]));
            FxEncodeArg arg = {draws ? fx_rng_lane((FxRng){draw->seed, draw->stream, draw->step}, draw->element + i, draw->lane_bits) >>
                                           (draw->lane_bits - law.bits) : 0, 0, 0, &parameters};
            bool is_finite = isfinite(x[i]);
            number.exponent -= shift;
            FxEncoded got = valid ? fx_encode(q, number, &arg) : (FxEncoded){0, false};
            double value = number_value(fx_quantiser_decode(q, got.code, 0));
            out->codes[i] = got.code;
            out->values[i] = valid ? (float)ldexp(value, exponent) : slow_f32(0x7FC00000);
            s->saturated += got.saturated;
            s->nonfinite += !is_finite;
            s->zeros_in += x[i] == 0;
            s->zeros_out += value == 0;
            s->underflowed += value == 0 && isfinite(x[i]) && x[i] != 0;
            s->at_limit += valid && (patterns ? fabs(value) == largest : got.code == fx_grid_low(&q->grid) || got.code == fx_grid_high(&q->grid));
            most = isfinite(x[i]) && fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
        }
    }
    s->max_abs = (uint64_t)ldexp(most, most > 0 ? 62 - ilogb(most) : 0);
    s->max_exponent = most > 0 ? ilogb(most) - 62 : 0;
}

// ---- comparing ----------------------------------------------------------------------------------------------------

typedef struct Wrong {
    bool found;
    char text[400];
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

static void check(const Wrong *wrong) {
    if (wrong->found)
        fail_msg("%s", wrong->text);
}

static int64_t code_at(const FxQuantiser *q, const void *codes, size_t i) {
    FxTensor t = {(void *)(uintptr_t)codes, fx_quantiser_type(q), i + 1, 0};
    return fx_tensor_get(&t, i);
}

static bool same_float(float a, float b) {
    return slow_bits(a) == slow_bits(b);
}

static bool same_counts(Wrong *wrong, const char *where, const FxStats *a, const FxStats *b) {
    const uint64_t got[] = {a->n, a->saturated, a->underflowed, a->zeros_in, a->zeros_out, a->nonfinite, a->at_limit, a->masked};
    const uint64_t want[] = {b->n, b->saturated, b->underflowed, b->zeros_in, b->zeros_out, b->nonfinite, b->at_limit, b->masked};
    static const char *const names[] = {"n", "saturated", "underflowed", "zeros in", "zeros out", "nonfinite", "at limit", "masked"};
    for (int i = 0; i < 8; i++)
        if (got[i] != want[i])
            return note(wrong, "%s: %s %llu, not %llu", where, names[i], (unsigned long long)got[i], (unsigned long long)want[i]), false;
    if (ldexp((double)a->max_abs, (int)a->max_exponent) != ldexp((double)b->max_abs, (int)b->max_exponent))
        return note(wrong, "%s: largest %llu * 2^%lld, not %llu * 2^%lld", where, (unsigned long long)a->max_abs, (long long)a->max_exponent,
                    (unsigned long long)b->max_abs, (long long)b->max_exponent), false;
    return true;
}

// One call at an offset into its arrays. which: 1 codes, 2 values, 3 both, 0 counts alone.
static void check_call(Wrong *wrong, const Expected *e, const char *text, const FxQuantiser *q, unsigned cpu, const float *x, size_t n,
                       const FxDraw *draw, size_t offset, int which) {
    size_t size = fx_type_size(fx_quantiser_type(q)), room = (n + 2 * WIDEST) * 4;
    unsigned char *in = malloc(room), *codes = malloc(room), *values = malloc(room), *kept = malloc(room);
    int32_t exponents[MOST / 16 + 2];
    uint8_t mx[MOST / 16 + 2];
    FxStats stats = {0};
    FxError err = {0};
    char where[300];
    snprintf(where, sizeof where, "%s on %s, %zu elements, offset %zu, outputs %d, element %llu", text, fx_cpu_name(cpu), n, offset, which,
             (unsigned long long)draw->element);
    if (!in || !codes || !values || !kept) {
        note(wrong, "no memory");
        goto done;
    }
    memset(codes, 0xA5, room);
    memset(values, 0xA5, room);
    memset(kept, 0xA5, room);
    memcpy(in + offset * sizeof *x, x, n * sizeof *x);
    FxArray array = {.data = in + offset * sizeof *x, .type = FX_FLOAT32, .count = n};
    FxOutput y = {.codes = which & 1 ? codes + offset * size : NULL, .values = which & 2 ? (float *)(void *)(values + offset * sizeof *x) : NULL,
                  .exponents = exponents, .mx = q->scale.group == FX_GROUP_BLOCK ? mx : NULL};
    if (fx_quantise_on(cpu, q, NULL, &array, draw, &y, &stats, &err)) {
        note(wrong, "%s: %s", where, err.text);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        if ((which & 1) && code_at(q, y.codes, i) != e->codes[i])
            note(wrong, "%s: element %zu: %a (0x%08x): code 0x%llx, not 0x%llx", where, i, (double)x[i], slow_bits(x[i]),
                 (unsigned long long)code_at(q, y.codes, i), (unsigned long long)e->codes[i]);
        if ((which & 2) && !same_float(y.values[i], e->values[i]))
            note(wrong, "%s: element %zu: %a (0x%08x): value %a (0x%08x), not %a (0x%08x)", where, i, (double)x[i], slow_bits(x[i]),
                 (double)y.values[i], slow_bits(y.values[i]), (double)e->values[i], slow_bits(e->values[i]));
    }
    size_t used[2] = {which & 1 ? size * n : 0, which & 2 ? sizeof *x * n : 0}, starts[2] = {size * offset, sizeof *x * offset};
    unsigned char *const outputs[2] = {codes, values};
    for (int k = 0; k < 2; k++)
        if (memcmp(outputs[k], kept, starts[k]) || memcmp(outputs[k] + starts[k] + used[k], kept, room - starts[k] - used[k]))
            note(wrong, "%s: bytes around the %s are written", where, k ? "values" : "codes");
    for (size_t g = 0; n && g < e->groups; g++)
        if (exponents[g] != e->exponents[g] || (y.mx && mx[g] != e->exponents[g] + q->grid.fraction + 127))
            note(wrong, "%s: group %zu: exponent %d, not %d", where, g, exponents[g], e->exponents[g]);
    same_counts(wrong, where, &stats, &e->stats);
done:
    free(in);
    free(codes);
    free(values);
    free(kept);
}

// ---- inputs -------------------------------------------------------------------------------------------------------

// kind 0: around 1, finite; 1: any float32; 2: many specials, subnormals, ties and edges; 3: zeros; 4: subnormals and zeros;
// 5: blocks of 32 each with its own range, every fourth with one NaN or infinity.
enum { KINDS = 6 };
static void fill(float *x, size_t n, int kind, uint64_t seed) {
    static const uint32_t specials[] = {0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFBFFFFF, 1, 0x80000001,
                                        0x7FFFFF, 0x800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x43E00000, 0x43E80000, 0x43E80001, 0x47600000, 0x47700000,
                                        0x477FF000, 0x3F800000, 0xBF800000, 0x3F7F0000, 0x3F7FFFFF, 0x3B000000, 0x3A800000, 0x3A800001, 0x37800000};
    for (size_t i = 0; i < n; i++) {
        uint64_t word = slow_mix(seed * 7919 + i);
        uint32_t sign = (uint32_t)(word % 2) << 31, any = (uint32_t)(word / 256);
        int e = kind == 5 ? (int)(slow_mix(seed + i / 32) % 250) - 125 : (int)(word / 2 % 24) - 16;
        float y = slow_f32(slow_bits(ldexpf(1 + ldexpf((float)(any % 8388608), -23), e)) | sign);
        if (word / 64 % 4 == 0) // few bits: points, ties
            y = slow_f32(slow_bits(y) & 0xFFF80000);
        if (kind == 1 || (kind == 2 && word / 1024 % 3 == 0))
            y = slow_f32(any);
        if (kind == 2 && word / 1024 % 3 == 1)
            y = slow_f32(specials[any % (sizeof specials / sizeof specials[0])]);
        if (kind == 3)
            y = slow_f32(sign);
        if (kind == 4)
            y = slow_f32(word / 64 % 3 ? sign | (any % 0x800000) : sign);
        if (kind == 5 && i / 32 % 4 == 3 && i % 32 == any % 32)
            y = slow_f32(specials[2 + any % 6]);
        x[i] = y;
    }
}

static bool quantiser_for(FxQuantiser *q, char *text, size_t g, size_t r) {
    FxError err;
    snprintf(text, FX_QUANTISER_TEXT, "%s/%s", grids[g], roundings[r].text);
    return fx_quantiser_parse(q, text, &err) == 0;
}

static void every_simd_level_gives_the_codes_values_and_counts_of_one_number_at_a_time(void **state) {
    (void)state;
    static Wrong wrong;
    static float x[MOST];
    static Expected e;
    int tried = 0;
    for (size_t g = 0; g < GRIDS; g++)
        for (size_t r = 0; r < ROUNDINGS; r++) {
            char text[FX_QUANTISER_TEXT];
            FxQuantiser q;
            if (!quantiser_for(&q, text, g, r))
                continue;
            tried++;
            for (size_t n = 0; n <= 4200; n += n < 70 ? 1 : 4099) {
                uint64_t seed = (g * ROUNDINGS + r) * 10000 + n;
                fill(x, n, (int)(n > 70 ? 2 : (n + r) % KINDS), seed);
                FxDraw draw = {seed, 3, 4, seed % 5 ? seed % 1000 : 0, roundings[r].lane};
                int line = 0;
                expect(&e, &q, x, n, &draw);
                for (unsigned cpu; next_cpu(&line, &cpu);)
                    for (int which = 0; which <= 3; which++)
                        check_call(&wrong, &e, text, &q, cpu, x, n, &draw, (size_t)(seed + (uint64_t)which) % WIDEST, which);
                check(&wrong);
            }
        }
    assert_true(tried >= 15 * 10);
}

static void long_arrays_of_every_kind_of_number_give_the_same_on_every_level(void **state) {
    (void)state;
    static Wrong wrong;
    static float x[MOST];
    static Expected e;
    for (size_t g = 0; g < GRIDS; g++)
        for (size_t r = 0; r < ROUNDINGS; r++)
            for (int kind = 0; kind < KINDS; kind++) {
                char text[FX_QUANTISER_TEXT];
                FxQuantiser q;
                size_t n = 1000 + slow_mix(g * 100 + r * 10 + (size_t)kind) % 1600;
                if (!quantiser_for(&q, text, g, r))
                    continue;
                FxDraw draw = {g, 5, 6, 17 * (size_t)kind, roundings[r].lane};
                fill(x, n, kind, g * 1000 + r * 10 + (size_t)kind);
                expect(&e, &q, x, n, &draw);
                int line = 0;
                for (unsigned cpu; next_cpu(&line, &cpu);)
                    for (int which = 1; which <= 2; which++)
                        check_call(&wrong, &e, text, &q, cpu, x, n, &draw, slow_mix(g + r) % WIDEST, which);
                check(&wrong);
            }
}

// ---- pieces and threads -------------------------------------------------------------------------------------------

// Pieces of odd sizes (whole blocks where a block has a scale); `threads`: all at once, and each counts for itself.
static void check_pieces(const char *text, const FxQuantiser *q, int lane, size_t n, uint64_t seed, bool threads) {
    static float x[MOST], values[MOST];
    static uint32_t codes[MOST];
    static Expected e;
    static Wrong wrong;
    size_t ends[MOST + 1] = {0}, size = fx_type_size(fx_quantiser_type(q));
    int pieces = 0;
    FxDraw draw = {seed, 9, 10, 123456789012345 + seed, lane};
    FxStats sum = {0};
    fill(x, n, 1 + (int)(seed % 2), seed);
    expect(&e, q, x, n, &draw);
    memset(codes, 0xA5, sizeof codes);
    memset(values, 0xA5, sizeof values);
    while (ends[pieces] < n) {
        size_t take = q->scale.group == FX_GROUP_BLOCK ? (size_t)q->scale.block * (1 + slow_mix(seed + (uint64_t)pieces) % 9)
                                                       : 1 + slow_mix(seed + (uint64_t)pieces) % (pieces % 3 ? 67 : 700);
        ends[pieces + 1] = ends[pieces] + take < n ? ends[pieces] + take : n;
        pieces++;
    }
#pragma omp parallel for schedule(dynamic, 1) if (threads)
    for (int k = 0; k < pieces; k++) {
        int p = seed % 3 ? k : pieces - 1 - k;
        FxDraw part = draw;
        FxStats stats = {0};
        FxError err;
        part.element += ends[p];
        FxArray array = {.data = x + ends[p], .type = FX_FLOAT32, .count = ends[p + 1] - ends[p]};
        if (fx_quantise(q, NULL, &array, &part, &(FxOutput){.codes = (char *)codes + ends[p] * size, .values = values + ends[p]}, &stats, &err))
            note(&wrong, "%s: %s", text, err.text);
#pragma omp critical
        fx_stats_add(&sum, &stats);
    }
    for (size_t i = 0; i < n; i++)
        if (code_at(q, codes, i) != e.codes[i] || !same_float(values[i], e.values[i]))
            note(&wrong, "%s in %d pieces%s: element %zu: %a: code 0x%llx, value %a; not 0x%llx, %a", text, pieces, threads ? " at once" : "", i,
                 (double)x[i], (unsigned long long)code_at(q, codes, i), (double)values[i], (unsigned long long)e.codes[i], (double)e.values[i]);
    same_counts(&wrong, text, &sum, &e.stats);
    check(&wrong);
}

static void pieces(bool threads) {
    for (size_t g = 0; g < GRIDS; g++)
        for (size_t r = 0; r < ROUNDINGS; r++) {
            char text[FX_QUANTISER_TEXT];
            FxQuantiser q;
            if (!quantiser_for(&q, text, g, r) || !strcmp(q.scale.rule->name, "max")) // whose scale needs all
                continue;
            for (uint64_t seed = 1; seed <= 3; seed++)
                check_pieces(text, &q, roundings[r].lane, 1500 + 997 * (seed % 3), seed + 10 * r, threads);
        }
}

static void an_array_cut_into_calls_gives_the_same_bytes(void **state) {
    (void)state;
    pieces(false);
}

static void calls_of_several_threads_at_once_give_the_same_bytes(void **state) {
    (void)state;
    pieces(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_simd_level_gives_the_codes_values_and_counts_of_one_number_at_a_time),
        cmocka_unit_test(long_arrays_of_every_kind_of_number_give_the_same_on_every_level),
        cmocka_unit_test(an_array_cut_into_calls_gives_the_same_bytes),
        cmocka_unit_test(calls_of_several_threads_at_once_give_the_same_bytes),
    };
    return cmocka_run_group_tests_name("float arrays", tests, NULL, NULL);
}
