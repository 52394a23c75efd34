// Small floats: every code, every conversion and every decode table that the golden files know.
#include "formats/bits_f32.h"
#include "tests/cast.h"
#include "tests/golden.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

enum { DETERMINISTIC = 10, POLICIES = 2, MOST_ROWS = 128, BF16_CODES = 65536 };

static const struct {
    const char *golden, *name;
} modes[DETERMINISTIC] = {
    {"RNE", "nearest-even"}, {"RNA", "nearest-away"}, {"RNZ", "nearest-zero"}, {"RHU", "nearest-up"}, {"RHD", "nearest-down"},
    {"RTZ", "toward-zero"},  {"RTP", "ceil"},         {"RTN", "floor"},        {"RTA", "away"},       {"RTO", "odd"},
};

static const struct {
    const char *golden, *name;
} policies[POLICIES] = {{"NS", "inf"}, {"SAT", "saturate"}};

// Rows of codes/NAME.csv and conv/NAME.csv; 0: no such table.
static const struct {
    const char *name;
    size_t codes, conversions;
} tables[] = {
    {"e5m2", 256, 109},        {"e4m3fn", 256, 109},      {"e4m3", 256, 109},          {"e3m4", 256, 109},        {"e3m4fn", 256, 109},
    {"e5m2fnuz", 256, 109},    {"e4m3fnuz", 256, 109},    {"e4m3b11fnuz", 256, 109},   {"hfp8_143_nosub", 256, 99},
    {"binary8p3se", 256, 109}, {"binary8p4se", 256, 109},
    {"e3m2fn", 64, 109},       {"e2m3fn", 64, 105},       {"e2m1fn", 16, 97},          {"fp16", 0, 109},
    {"bf16", 0, 107},          {"dlfloat16", 0, 101},     {"fp16_169_ieee", 0, 109},   {"tf32", 0, 104},          {"fp32", 0, 99},
};
enum { TABLES = sizeof tables / sizeof tables[0] };

static FxQuantiser quantiser_with(const char *grid, const char *rounding, const char *overflow) {
    char text[FX_QUANTISER_TEXT];
    snprintf(text, sizeof text, "%s/%s/%s", grid, rounding, overflow);
    return quantiser_of(text);
}

static FxNumber number_of(double x) {
    return fx_number_f64(fx_double_bits(x));
}

static int64_t encode(const FxQuantiser *q, FxNumber x, uint32_t R) {
    FxRoundArg round = fx_round_arg(&q->rounding, 32);
    FxEncodeArg arg = {.R = R, .arg = &round};
    return fx_encode(q, x, &arg).code;
}

// The whole of fx_quantise, codes alone.
static void quantise(FxTensor *codes, const FxQuantiser *q, const void *x, FxType type, size_t n) {
    FxArray in = {.data = x, .type = type, .count = n};
    FxOutput out = {.codes = codes->data};
    FxError err = {0};
    if (fx_quantise(q, NULL, &in, NULL, &out, NULL, &err))
        fail_msg("fx_quantise: %s", err.text);
}

// Whether a code is the one wanted, NaN by its class.
static bool same_code(const FxGrid *grid, int64_t got, int64_t want) {
    return got == want ||
           (grid->kind->decode(grid, got, 0).class_of == FX_NAN && grid->kind->decode(grid, want, 0).class_of == FX_NAN);
}

// ---- formats.csv

static void check_number(const char *format, const char *what, FxNumber got, double want) {
    char text[FX_NUMBER_HEX];
    fx_number_print_hex(text, got);
    if (strtod(text, NULL) != want)
        fail_msg("%s: %s is %s, not %a", format, what, text, want);
}

static void check_field(const char *format, const char *what, int64_t got, int64_t want) {
    if (got != want)
        fail_msg("%s: %s is 0x%" PRIx64 ", not 0x%" PRIx64, format, what, (uint64_t)got, (uint64_t)want);
}

static int64_t wanted_nan(const Golden *g, size_t row, int bits, int64_t max_code) {
    const char *text = golden_cell(g, row, "nan_codes"), *canonical = strstr(text, "canonical 0x");
    if (canonical)
        return strtoll(canonical + strlen("canonical "), NULL, 16);
    if (!strncmp(text, "0x80", 4))
        return 0x80;
    return !strcmp(text, "none") ? max_code : (INT64_C(1) << (bits - 1)) - 1; // none: NaN goes to the largest
}

static void formats_have_the_parameters_extremes_and_overflow_points_of_the_table(void **state) {
    (void)state;
    static const char *const specials[] = {"IEEE", "FN", "FNUZ", "P3109", "NONE"}, *const lowests[] = {"SUB", "NORMZ", "FLUSH"};
    Golden g = golden_read("formats.csv", TABLES);
    for (size_t row = 0; row < g.rows; row++) {
        const char *name = golden_cell(&g, row, "name");
        assert_string_equal(name, tables[row].name);
        FxQuantiser q = quantiser_with(name, "nearest-even", "inf");
        const FxGrid *grid = &q.grid;
        check_field(name, "bits", fx_quantiser_bits(&q), golden_int(&g, row, "bits"));
        check_field(name, "exp_bits", grid->exponent_bits, golden_int(&g, row, "exp_bits"));
        check_field(name, "man_bits", grid->mantissa_bits, golden_int(&g, row, "man_bits"));
        check_field(name, "bias", grid->bias, golden_int(&g, row, "bias"));
        check_field(name, "has_inf", fx_float_inf_code(grid) >= 0, golden_int(&g, row, "has_inf"));
        check_field(name, "has_neg_zero", fx_float_has_negative_zero(grid), golden_int(&g, row, "has_neg_zero"));
        if (strcmp(specials[grid->special], golden_cell(&g, row, "special")) || strcmp(lowests[grid->lowest], golden_cell(&g, row, "exp0_rule")))
            fail_msg("%s: %s %s", name, specials[grid->special], lowests[grid->lowest]);
        int64_t max_code = golden_int(&g, row, "max_code"), least = golden_int(&g, row, "min_positive_code");
        double max = golden_double(&g, row, "max_hex"), midpoint = golden_double(&g, row, "rne_overflow_midpoint_hex");
        int64_t normal = grid->lowest == FX_LOWEST_NORMZ ? 1 : INT64_C(1) << grid->mantissa_bits;
        check_field(name, "max_code", fx_float_max_code(grid), max_code);
        check_number(name, "max", fx_grid_largest(grid), max);
        assert_true(max == golden_double(&g, row, "max_dec"));
        check_number(name, "min_positive", fx_quantiser_decode(&q, least, 0), golden_double(&g, row, "min_positive_hex"));
        check_number(name, "min_normal", fx_quantiser_decode(&q, normal, 0), golden_double(&g, row, "min_normal_hex"));
        check_field(name, "code of NaN", encode(&q, (FxNumber){.class_of = FX_NAN}, 0), wanted_nan(&g, row, grid->bits, max_code));
        FxRoundArg none = {0};
        FxEncodeArg arg = {.arg = &none};
        bool overflows = !strcmp(golden_cell(&g, row, "rne_midpoint_goes"), "overflows");
        if (fx_encode(&q, number_of(midpoint), &arg).saturated != overflows)
            fail_msg("%s: %a %s", name, midpoint, overflows ? "stays" : "overflows");
        if (fx_encode(&q, number_of(nextafter(midpoint, 0)), &arg).saturated || !fx_encode(&q, number_of(nextafter(midpoint, INFINITY)), &arg).saturated)
            fail_msg("%s: %a is not where RNE starts to overflow", name, midpoint);
    }
    golden_free(&g);
}

static void whole_decode_tables_have_the_known_crc(void **state) {
    (void)state;
    Golden g = golden_read("formats.csv", TABLES);
    size_t checked = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (!*golden_cell(&g, row, "crc32_of_decode_as_f32_le"))
            continue;
        FxQuantiser q = quantiser_of(golden_cell(&g, row, "name"));
        size_t n = (size_t)1 << fx_quantiser_bits(&q);
        FxTensor codes = tensor_new(fx_quantiser_type(&q), n);
        double *values = calloc(n, sizeof *values);
        unsigned char *bytes = calloc(n, 4);
        if (!values || !bytes)
            fail_msg("no memory for %zu values", n);
        for (size_t i = 0; i < n; i++)
            fx_tensor_set(&codes, i, (int64_t)i);
        fx_decode(&q, codes.data, n, 0, NULL, values);
        for (size_t i = 0; i < n; i++) {
            float value = (float)values[i];
            uint32_t bits = isnan(value) ? UINT32_C(0x7fc00000) : fx_float_bits(value);
            if (!isnan(value) && (double)value != values[i])
                fail_msg("%s: code 0x%zx, %a, is no float32", golden_cell(&g, row, "name"), i, values[i]);
            for (int b = 0; b < 4; b++)
                bytes[4 * i + (size_t)b] = (unsigned char)(bits >> 8 * b);
        }
        uint32_t crc = (uint32_t)crc32(0, bytes, (unsigned)(4 * n)), want = (uint32_t)golden_unsigned(&g, row, "crc32_of_decode_as_f32_le");
        if (crc != want)
            fail_msg("%s: crc 0x%08x, not 0x%08x", golden_cell(&g, row, "name"), (unsigned)crc, (unsigned)want);
        checked++;
        free(values);
        free(bytes);
        tensor_free(&codes);
    }
    assert_int_equal(checked, TABLES - 1);
    golden_free(&g);
}

// ---- codes/NAME.csv

static FxNumberClass class_named(const char *name) {
    return !strcmp(name, "nan") ? FX_NAN : !strcmp(name, "inf") ? FX_INFINITE : FX_FINITE;
}

// sign: of a table that has that column, else false.
static void check_code(const Golden *g, size_t row, const FxQuantiser *q, bool sign) {
    const char *class_of = golden_cell(g, row, "class"), *value_hex = golden_cell(g, row, "value_hex");
    char got[FX_NUMBER_HEX];
    FxNumber x = fx_quantiser_decode(q, golden_int(g, row, "code"), 0);
    fx_number_print_hex(got, x);
    double value = strtod(got, NULL);
    bool nan = x.class_of == FX_NAN, zero = x.class_of == FX_FINITE && !x.magnitude;
    uint32_t bits = fx_number_to_f32(x), want = (uint32_t)golden_unsigned(g, row, "f32_bits");
    if (x.class_of != class_named(class_of) || zero != !strncmp(class_of, "zero", 4) || (nan ? (bits & 0x7fffffff) <= 0x7f800000 : bits != want) ||
        (!nan && (value != golden_double(g, row, "value_hex") || x.negative != sign)))
        fail_msg("%s %s: %s, float32 0x%08x, not %s %s 0x%08x", g->name, golden_cell(g, row, "code"), got, (unsigned)bits, class_of, value_hex,
                 (unsigned)want);
    if (x.class_of == FX_FINITE && !zero && sign == x.negative && *golden_cell(g, row, "exp2")) {
        bool is_e8m0 = q->grid.kind == &fx_grid_e8m0;
        FxNumber exact = {is_e8m0 ? 1 : (uint64_t)llabs(golden_int(g, row, "odd_int")), (int)golden_int(g, row, "exp2"), sign, FX_FINITE};
        if (fx_number_compare(x, exact) != 0)
            fail_msg("%s %s: %s, not the odd integer and power of two", g->name, golden_cell(g, row, "code"), got);
    }
}

static void every_code_stands_for_its_exact_value(void **state) {
    (void)state;
    size_t checked = 0;
    for (size_t t = 0; t < TABLES; t++) {
        if (!tables[t].codes)
            continue;
        char file[64];
        snprintf(file, sizeof file, "codes/%s.csv", tables[t].name);
        Golden g = golden_read(file, tables[t].codes);
        FxQuantiser q = quantiser_of(tables[t].name);
        int X = q.grid.exponent_bits, M = q.grid.mantissa_bits;
        for (size_t row = 0; row < g.rows; row++, checked++) {
            int64_t sign = golden_int(&g, row, "sign");
            check_field(file, "code", sign << (X + M) | golden_int(&g, row, "exp") << M | golden_int(&g, row, "man"), golden_int(&g, row, "code"));
            check_field(file, "row", (int64_t)row, golden_int(&g, row, "code"));
            check_code(&g, row, &q, sign != 0);
        }
        golden_free(&g);
    }
    Golden g = golden_read("codes/e8m0.csv", 256);
    FxQuantiser q = quantiser_of("e8m0");
    for (size_t row = 0; row < g.rows; row++, checked++)
        check_code(&g, row, &q, false);
    golden_free(&g);
    assert_int_equal(checked, 12 * 256 + 2 * 64 + 16);
}

// Codes that share their value with a lower one are not canonical: the exponent field 0 of FLUSH formats.
static bool is_canonical(const FxGrid *grid, int64_t code) {
    int64_t field = grid->mantissa_bits ? code & ((INT64_C(1) << (grid->exponent_bits + grid->mantissa_bits)) - 1) : 0;
    return grid->lowest != FX_LOWEST_FLUSH || field == 0 || field >> grid->mantissa_bits > 0;
}

static size_t check_own_codes(const FxQuantiser *q, int64_t n, const char *text) {
    FxRoundArg round = fx_round_arg(&q->rounding, 32);
    size_t checked = 0;
    for (int64_t code = 0; code < n; code++) {
        FxNumber x = fx_quantiser_decode(q, code, 0);
        bool is_e8m0 = q->grid.kind == &fx_grid_e8m0;
        if (x.class_of == FX_NAN || (x.class_of == FX_INFINITE && q->overflow == FX_OVERFLOW_SATURATE) || (!is_e8m0 && !is_canonical(&q->grid, code)))
            continue;
        for (int draw = 0; draw < 6; draw++) {
            uint32_t top = round.bits == 32 ? UINT32_MAX : (UINT32_C(1) << round.bits) - 1;
            FxEncodeArg arg = {draw % 2 ? top : 0, draw / 2 - 1, 0, &round};
            FxEncoded got = fx_encode(q, x, &arg);
            if (got.code != code || got.saturated)
                fail_msg("%s: the value of 0x%" PRIx64 " becomes 0x%" PRIx64 "%s", text, (uint64_t)code, (uint64_t)got.code, got.saturated ? ", saturated" : "");
        }
        checked++;
    }
    return checked;
}

static void the_value_of_a_code_has_that_code_in_every_mode(void **state) {
    (void)state;
    static const char *const overflows[] = {"saturate", "propagate", "inf"};
    size_t checked = 0, refused = 0;
    for (size_t t = 0; t <= TABLES; t++)
        for (int m = 0; m < FX_ROUND_MODES; m++)
            for (int o = 0; o < 3; o++) {
                const char *name = t < TABLES ? tables[t].name : "e8m0";
                size_t codes = t < TABLES ? tables[t].codes : 256;
                const FxRoundMode *mode = &fx_round_modes[m];
                const char *parameter = !strcmp(mode->name, "add-constant") ? ":3" : strstr(mode->name, "sr-eps") ? ":0.3" : mode->law ? ":9:" : "";
                char text[FX_QUANTISER_TEXT];
                snprintf(text, sizeof text, "%s/%s%s%s/%s", name, mode->name, parameter, mode->law ? mode->law : "", overflows[o]);
                FxQuantiser q;
                FxError err;
                bool exists = fx_quantiser_parse(&q, text, &err) == 0;
                refused += !exists;
                if (exists != !(mode->needs & FX_ROUND_INTEGER))
                    fail_msg("%s: %s", text, exists ? "taken" : err.text);
                if (exists && codes)
                    checked += check_own_codes(&q, (int64_t)codes, text);
            }
    assert_true(checked > 16 * 3 * 12 * 240);
    assert_int_equal(refused, 2 * 3 * (TABLES + 1));
}

// ---- conv/NAME.csv

static void check_conversions(const Golden *g, const char *format, const char *column, const FxQuantiser *q, const void *x, FxType type,
                              const size_t *rows, size_t n) {
    FxTensor codes = tensor_new(fx_quantiser_type(q), n);
    quantise(&codes, q, x, type, n);
    for (size_t i = 0; i < n; i++) {
        int64_t got = fx_tensor_get(&codes, i), want = golden_int(g, rows[i], column);
        if (!same_code(&q->grid, got, want))
            fail_msg("%s row %zu (%s) %s from %s: %s is 0x%" PRIx64 ", not 0x%" PRIx64, format, rows[i] + 1, golden_cell(g, rows[i], "tag"),
                     golden_cell(g, rows[i], "in_f64"), fx_type_name(type), column, (uint64_t)got, (uint64_t)want);
    }
    tensor_free(&codes);
}

static void every_known_conversion_is_right_from_float64_and_float32(void **state) {
    (void)state;
    size_t singles = 0, doubles = 0;
    for (size_t t = 0; t < TABLES; t++) {
        char file[64];
        snprintf(file, sizeof file, "conv/%s.csv", tables[t].name);
        Golden g = golden_read(file, tables[t].conversions);
        double wide[MOST_ROWS];
        float narrow[MOST_ROWS];
        size_t all[MOST_ROWS], some[MOST_ROWS], n = 0;
        for (size_t row = 0; row < g.rows; row++) {
            wide[row] = golden_double(&g, row, "in_f64");
            all[row] = row;
            if (!*golden_cell(&g, row, "in_f32_bits"))
                continue;
            narrow[n] = fx_float_of((uint32_t)golden_unsigned(&g, row, "in_f32_bits"));
            some[n++] = row;
        }
        for (int p = 0; p < POLICIES; p++)
            for (int m = 0; m < DETERMINISTIC; m++) {
                char column[16];
                snprintf(column, sizeof column, "%s_%s", policies[p].golden, modes[m].golden);
                FxQuantiser q = quantiser_with(tables[t].name, modes[m].name, policies[p].name);
                check_conversions(&g, tables[t].name, column, &q, wide, FX_FLOAT64, all, g.rows);
                check_conversions(&g, tables[t].name, column, &q, narrow, FX_FLOAT32, some, n);
            }
        singles += n;
        doubles += g.rows;
        golden_free(&g);
    }
    assert_true(singles > 1500 && singles < doubles);
    assert_int_equal(doubles, 2129);
}

static void check_draw(const Golden *g, size_t row, const FxQuantiser *q, uint32_t R, const char *column) {
    int64_t got = encode(q, number_of(golden_double(g, row, "in_f64")), R), want = golden_int(g, row, column);
    if (!same_code(&q->grid, got, want))
        fail_msg("%s row %zu (%s): R 0x%08x gives 0x%" PRIx64 ", not %s 0x%" PRIx64, g->name, row + 1, golden_cell(g, row, "tag"), (unsigned)R,
                 (uint64_t)got, column, (uint64_t)want);
}

// Variant A goes up iff floor(p * 2^32) + R >= 2^32: the two words beside that edge pin p to 32 bits.
static void stochastic_draws_give_the_known_neighbours_with_the_known_probability(void **state) {
    (void)state;
    size_t edges = 0, exact = 0, tiny = 0;
    for (size_t t = 0; t < TABLES; t++) {
        char file[64], lo[16], hi[16], only[16];
        snprintf(file, sizeof file, "conv/%s.csv", tables[t].name);
        Golden g = golden_read(file, tables[t].conversions);
        for (int p = 0; p < POLICIES; p++) {
            FxQuantiser q = quantiser_with(tables[t].name, "stochastic:32:a", policies[p].name);
            snprintf(lo, sizeof lo, "SR_lo_%s", policies[p].golden);
            snprintf(hi, sizeof hi, "SR_hi_%s", policies[p].golden);
            snprintf(only, sizeof only, "%s_RNE", policies[p].golden);
            for (size_t row = 0; row < g.rows; row++) {
                long double num = strtold(golden_cell(&g, row, "p_hi_num"), NULL), den = strtold(golden_cell(&g, row, "p_hi_den"), NULL);
                uint64_t up = (uint64_t)floorl(ldexpl(num / den, 32));
                bool certain = num == 0 || num == den;
                const char *low = num == 0 ? (*golden_cell(&g, row, lo) ? lo : only) : num == den ? hi : lo;
                check_draw(&g, row, &q, 0, low);
                check_draw(&g, row, &q, UINT32_MAX, certain || !up ? low : hi);
                exact += certain;
                tiny += !certain && !up;
                if (certain || !up)
                    continue;
                check_draw(&g, row, &q, (uint32_t)(UINT32_MAX - up), lo);
                check_draw(&g, row, &q, (uint32_t)((UINT64_C(1) << 32) - up), hi);
                edges++;
            }
        }
        golden_free(&g);
    }
    assert_int_equal(edges + exact + tiny, 2 * 2129);
    assert_true(edges > 2000 && tiny < 400);
}

// ---- all bf16 inputs

static void all_65536_bf16_inputs_have_the_known_codes(void **state) {
    (void)state;
    static float x[BF16_CODES];
    FxTensor codes = tensor_new(FX_UINT8, BF16_CODES);
    for (uint32_t b = 0; b < BF16_CODES; b++)
        x[b] = fx_float_of(b << 16);
    Golden g = golden_read("crc_all_bf16_inputs.csv", 14 * POLICIES * DETERMINISTIC);
    for (size_t row = 0; row < g.rows; row++) {
        const char *mode = NULL, *policy = NULL, *format = golden_cell(&g, row, "fmt");
        for (int m = 0; m < DETERMINISTIC; m++)
            mode = strcmp(modes[m].golden, golden_cell(&g, row, "mode")) ? mode : modes[m].name;
        for (int p = 0; p < POLICIES; p++)
            policy = strcmp(policies[p].golden, golden_cell(&g, row, "policy")) ? policy : policies[p].name;
        assert_true(mode && policy);
        FxQuantiser q = quantiser_with(format, mode, policy);
        assert_int_equal(fx_quantiser_type(&q), FX_UINT8);
        quantise(&codes, &q, x, FX_FLOAT32, BF16_CODES);
        uint32_t crc = (uint32_t)crc32(0, codes.data, BF16_CODES), want = (uint32_t)golden_unsigned(&g, row, "crc32");
        if (crc != want)
            fail_msg("row %zu %s/%s/%s: crc 0x%08x, not 0x%08x", row + 1, format, mode, policy, (unsigned)crc, (unsigned)want);
    }
    tensor_free(&codes);
    golden_free(&g);
}

// ---- stochastic rounding with explicit R

static void check_stochastic_table(const char *file, size_t rows) {
    static const char *const laws[] = {"a", "b", "c"};
    Golden g = golden_read(file, rows);
    for (size_t row = 0; row < g.rows; row++)
        for (int p = 0; p < POLICIES; p++)
            for (int v = 0; v < 3; v++) {
                char rounding[32], column[16];
                snprintf(rounding, sizeof rounding, "stochastic:%d:%s", (int)golden_int(&g, row, "r"), laws[v]);
                snprintf(column, sizeof column, "%s_%c", policies[p].golden, 'A' + v);
                const char *format = golden_cell(&g, row, "fmt");
                FxQuantiser q = quantiser_with(format, rounding, policies[p].name);
                uint32_t bits = (uint32_t)golden_unsigned(&g, row, "in_f32_bits"), R = (uint32_t)golden_unsigned(&g, row, "R");
                assert_true((double)fx_float_of(bits) == golden_double(&g, row, "in_hex"));
                int64_t got = encode(&q, fx_number_f32(bits), R), want = golden_int(&g, row, column);
                if (!same_code(&q.grid, got, want) || encode(&q, number_of((double)fx_float_of(bits)), R) != got)
                    fail_msg("%s row %zu: %s/%s of %s, R %u: %s is 0x%" PRIx64 ", not 0x%" PRIx64, file, row + 1, format, rounding,
                             golden_cell(&g, row, "in_hex"), (unsigned)R, column, (uint64_t)got, (uint64_t)want);
            }
    golden_free(&g);
}

static void known_random_words_give_the_known_codes_in_variants_a_b_and_c(void **state) {
    (void)state;
    check_stochastic_table("sr_kat.csv", 168);
}

static void ties_of_the_fraction_tell_variants_a_b_and_c_apart(void **state) {
    (void)state;
    check_stochastic_table("sr_kat_ties.csv", 420);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_the_parameters_extremes_and_overflow_points_of_the_table),
        cmocka_unit_test(whole_decode_tables_have_the_known_crc),
        cmocka_unit_test(every_code_stands_for_its_exact_value),
        cmocka_unit_test(the_value_of_a_code_has_that_code_in_every_mode),
        cmocka_unit_test(every_known_conversion_is_right_from_float64_and_float32),
        cmocka_unit_test(stochastic_draws_give_the_known_neighbours_with_the_known_probability),
        cmocka_unit_test(all_65536_bf16_inputs_have_the_known_codes),
        cmocka_unit_test(known_random_words_give_the_known_codes_in_variants_a_b_and_c),
        cmocka_unit_test(ties_of_the_fraction_tell_variants_a_b_and_c_apart),
    };
    return cmocka_run_group_tests_name("float", tests, NULL, NULL);
}
