// Scales of groups through fx_quantise: OCP MX blocks, and every rule's known codes, exponents and scales.
#include "formats/bits_f32.h"
#include "tests/cast.h"
#include "tests/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 32, TAGS = 13, ELEMENTS = 6, MX_ROWS = TAGS * ELEMENTS, ROOM = 16, SCALE_ROWS = 325 };

// A call's outputs of up to TAGS blocks.
typedef struct Result {
    int64_t codes[TAGS * BLOCK];
    float values[TAGS * BLOCK];
    double values64[TAGS * BLOCK];
    int32_t exponents[TAGS];
    float scales[TAGS];
    uint8_t mx[TAGS];
    FxStats stats;
} Result;

static void quantise(Result *out, const FxQuantiser *q, const FxArray *x) {
    FxTensor codes = tensor_new(fx_quantiser_type(q), x->count);
    FxError err = {0};
    size_t groups;
    assert_true(x->count <= TAGS * BLOCK);
    assert_int_equal(fx_quantiser_groups(&groups, q, x, &err), 0);
    assert_true(groups <= TAGS);
    memset(out, 0, sizeof *out);
    FxOutput y = {codes.data, out->values, out->values64, out->exponents, out->scales, out->mx};
    if (fx_quantise(q, NULL, x, NULL, &y, &out->stats, &err))
        fail_msg("fx_quantise: %s", err.text);
    for (size_t i = 0; i < x->count; i++)
        out->codes[i] = fx_tensor_get(&codes, i);
    tensor_free(&codes);
}

// The numbers of a cell, hexadecimal or decimal, with spaces between.
static size_t read_codes(int64_t *out, size_t room, const char *text) {
    size_t n = 0;
    for (char *end; *text; text = end) {
        if (n == room)
            fail_msg("more than %zu numbers in \"%s\"", room, text);
        out[n++] = strtoll(text, &end, 0);
        if (end == text)
            fail_msg("no number: \"%s\"", text);
        end += strspn(end, " ");
    }
    return n;
}

static size_t read_floats(float *out, size_t room, const char *text) {
    size_t n = 0;
    for (char *end; *text; text = end) {
        if (n == room)
            fail_msg("more than %zu numbers in \"%s\"", room, text);
        out[n++] = strtof(text, &end);
        if (end == text)
            fail_msg("no number: \"%s\"", text);
        end += strspn(end, " ");
    }
    return n;
}

static bool same_float(float a, float b) {
    return isnan(a) ? isnan(b) : !memcmp(&a, &b, sizeof a);
}

// grid(code) * 2^exponent as a double, by libm.
static double value_of(const FxQuantiser *q, int64_t code, int exponent) {
    char text[FX_NUMBER_HEX];
    fx_number_print_hex(text, fx_quantiser_decode(q, code, 0));
    return ldexp(strtod(text, NULL), exponent);
}

// ---- mx_blocks.csv

typedef struct MxRow {
    char text[40], tag[64];
    float x[BLOCK];
    int64_t codes[BLOCK];
    int scale_code;
} MxRow;

static void read_mx(MxRow rows[MX_ROWS]) {
    Golden g = golden_read("mx_blocks.csv", MX_ROWS);
    for (size_t row = 0; row < g.rows; row++) {
        const char *element = golden_cell(&g, row, "elem");
        bool integer = !strcmp(element, "int8");
        int64_t bits[BLOCK];
        MxRow *r = &rows[row];
        snprintf(r->text, sizeof r->text, "%s@block32", integer ? "fixed8f6" : element);
        snprintf(r->tag, sizeof r->tag, "%s", golden_cell(&g, row, "tag"));
        r->scale_code = (int)golden_int(&g, row, "scale_code");
        assert_int_equal(read_codes(bits, BLOCK, golden_cell(&g, row, "in_f32_bits")), BLOCK);
        assert_int_equal(read_codes(r->codes, BLOCK, golden_cell(&g, row, "elem_codes")), BLOCK);
        for (size_t i = 0; i < BLOCK; i++) {
            r->x[i] = fx_float_of((uint32_t)bits[i]);
            r->codes[i] = integer && r->codes[i] > 127 ? r->codes[i] - 256 : r->codes[i];
        }
    }
    golden_free(&g);
}

static void check_block(const MxRow *r, const FxQuantiser *q, const Result *got, size_t block, size_t n) {
    bool nan = r->scale_code == 0xff;
    int exponent = (nan ? 128 : r->scale_code - 127) - q->grid.fraction;
    if (got->mx[block] != r->scale_code || got->exponents[block] != exponent)
        fail_msg("%s, %s: scale 0x%02x exponent %d, not 0x%02x and %d", r->text, r->tag, (unsigned)got->mx[block], (int)got->exponents[block],
                 (unsigned)r->scale_code, exponent);
    for (size_t i = 0; i < n; i++) {
        size_t at = block * BLOCK + i;
        double want = nan ? (double)NAN : value_of(q, r->codes[i], exponent);
        if (got->codes[at] != r->codes[i])
            fail_msg("%s, %s: element %zu, %a, is 0x%02x, not 0x%02x", r->text, r->tag, i, (double)r->x[i], (unsigned)got->codes[at] & 0xff,
                     (unsigned)r->codes[i] & 0xff);
        if (!same_float(got->values[at], (float)want) || (nan ? !isnan(got->values64[at]) : memcmp(&got->values64[at], &want, sizeof want) != 0))
            fail_msg("%s, %s: element %zu has value %a and %a, not %a", r->text, r->tag, i, (double)got->values[at], got->values64[at], want);
    }
}

static void every_mx_block_has_the_known_scale_elements_and_values(void **state) {
    (void)state;
    static MxRow rows[MX_ROWS];
    read_mx(rows);
    for (size_t row = 0; row < MX_ROWS; row++) {
        FxQuantiser q = quantiser_of(rows[row].text);
        Result got;
        double wide[BLOCK];
        for (size_t i = 0; i < BLOCK; i++)
            wide[i] = (double)rows[row].x[i];
        quantise(&got, &q, &(FxArray){.data = rows[row].x, .type = FX_FLOAT32, .count = BLOCK});
        check_block(&rows[row], &q, &got, 0, BLOCK);
        quantise(&got, &q, &(FxArray){.data = wide, .type = FX_FLOAT64, .count = BLOCK});
        check_block(&rows[row], &q, &got, 0, BLOCK);
    }
}

// All blocks of an element type behind one another, as one row and as rows of 1 block.
static void blocks_of_one_array_do_not_touch_one_another(void **state) {
    (void)state;
    static MxRow rows[MX_ROWS];
    static float x[TAGS * BLOCK];
    read_mx(rows);
    for (size_t element = 0; element < ELEMENTS; element++) {
        FxQuantiser q = quantiser_of(rows[element].text);
        for (size_t tag = 0; tag < TAGS; tag++) {
            assert_string_equal(rows[tag * ELEMENTS + element].text, rows[element].text);
            memcpy(x + tag * BLOCK, rows[tag * ELEMENTS + element].x, sizeof rows->x);
        }
        for (size_t channels = BLOCK; channels <= TAGS * BLOCK; channels += (TAGS - 1) * BLOCK) {
            Result got;
            quantise(&got, &q, &(FxArray){.data = x, .type = FX_FLOAT32, .count = TAGS * BLOCK, .channels = channels});
            for (size_t tag = 0; tag < TAGS; tag++)
                check_block(&rows[tag * ELEMENTS + element], &q, &got, tag, BLOCK);
        }
    }
}

// The short last block of a row is as if zeros followed; the next row starts a block of its own.
static void a_short_block_is_a_block_padded_with_zeros(void **state) {
    (void)state;
    static MxRow rows[MX_ROWS];
    read_mx(rows);
    for (size_t row = 0; row < MX_ROWS; row++)
        for (size_t tail = 1; tail < BLOCK; tail += 6) {
            float padded[BLOCK] = {0}, short_rows[2 * (BLOCK + BLOCK)];
            FxQuantiser q = quantiser_of(rows[row].text);
            size_t channels = BLOCK + tail;
            Result want, got;
            memcpy(padded, rows[row].x, tail * sizeof *padded);
            for (size_t r = 0; r < 2; r++) {
                memcpy(short_rows + r * channels, rows[row].x, sizeof padded);
                memcpy(short_rows + r * channels + BLOCK, padded, tail * sizeof *padded);
            }
            quantise(&want, &q, &(FxArray){.data = padded, .type = FX_FLOAT32, .count = BLOCK});
            quantise(&got, &q, &(FxArray){.data = short_rows, .type = FX_FLOAT32, .count = 2 * channels, .channels = channels});
            for (size_t r = 0; r < 2; r++) {
                if (got.mx[2 * r] != rows[row].scale_code || got.mx[2 * r + 1] != want.mx[0] || got.exponents[2 * r + 1] != want.exponents[0])
                    fail_msg("%s, %s: row %zu, tail of %zu: scales 0x%02x 0x%02x, not 0x%02x 0x%02x", rows[row].text, rows[row].tag, r, tail,
                             (unsigned)got.mx[2 * r], (unsigned)got.mx[2 * r + 1], (unsigned)rows[row].scale_code, (unsigned)want.mx[0]);
                for (size_t i = 0; i < channels; i++) {
                    int64_t code = i < BLOCK ? rows[row].codes[i] : want.codes[i - BLOCK];
                    if (got.codes[r * channels + i] != code)
                        fail_msg("%s, %s: row %zu, tail of %zu, element %zu: code %lld, not %lld", rows[row].text, rows[row].tag, r, tail, i,
                                 (long long)got.codes[r * channels + i], (long long)code);
                }
            }
        }
}

// ---- scale_rules.csv

// Codes and the exponent, from one call.
static void check_scale_row(const Golden *g, size_t row, const FxQuantiser *q, const Result *got, size_t n) {
    const char *text = golden_cell(g, row, "text"), *exponent = golden_cell(g, row, "exponent"), *scale = golden_cell(g, row, "scale");
    int64_t want[ROOM];
    assert_int_equal(read_codes(want, ROOM, golden_cell(g, row, "codes")), n);
    for (size_t i = 0; i < n; i++)
        if (got->codes[i] != want[i])
            fail_msg("row %zu %s of %s: code %lld, not %lld", row + 1, text, golden_cell(g, row, "in"), (long long)got->codes[i], (long long)want[i]);
    if (*exponent && got->exponents[0] != golden_int(g, row, "exponent"))
        fail_msg("row %zu %s of %s: exponent %d, not %s", row + 1, text, golden_cell(g, row, "in"), (int)got->exponents[0], exponent);
    bool real = q->scale.rule->real != FX_REAL_NONE;
    assert_true(real != (*exponent != 0));
    if (real && !same_float(got->scales[0], (float)golden_double(g, row, "scale")))
        fail_msg("row %zu %s of %s: scale %a, not %s", row + 1, text, golden_cell(g, row, "in"), (double)got->scales[0], scale);
    if (q->scale.group == FX_GROUP_BLOCK && got->mx[0] != golden_int(g, row, "scale") + 127)
        fail_msg("row %zu %s of %s: MX code 0x%02x of scale %s", row + 1, text, golden_cell(g, row, "in"), (unsigned)got->mx[0], scale);
    for (size_t i = 0; i < n; i++) {
        float value = real ? (float)((double)want[i] * (double)got->scales[0]) : (float)value_of(q, want[i], got->exponents[0]);
        if (got->values[i] != value)
            fail_msg("row %zu %s: code %lld has value %a, not %a", row + 1, text, (long long)want[i], (double)got->values[i], (double)value);
    }
}

static void float_rows_of_the_scale_table_give_the_known_codes_exponents_and_scales(void **state) {
    (void)state;
    Golden g = golden_read("scale_rules.csv", SCALE_ROWS);
    size_t checked = 0, reals = 0, blocks = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (strcmp(golden_cell(&g, row, "source"), "float"))
            continue;
        FxQuantiser q = quantiser_of(golden_cell(&g, row, "text"));
        float x[ROOM];
        double wide[ROOM];
        size_t n = read_floats(x, ROOM, golden_cell(&g, row, "in"));
        for (size_t i = 0; i < n; i++)
            wide[i] = (double)x[i];
        Result got;
        quantise(&got, &q, &(FxArray){.data = x, .type = FX_FLOAT32, .count = n});
        check_scale_row(&g, row, &q, &got, n);
        quantise(&got, &q, &(FxArray){.data = wide, .type = FX_FLOAT64, .count = n});
        check_scale_row(&g, row, &q, &got, n);
        checked++;
        reals += q.scale.rule->real == FX_REAL_MAX;
        blocks += q.scale.group == FX_GROUP_BLOCK;
    }
    assert_int_equal(checked, 192);
    assert_int_equal(reals, 13);
    assert_int_equal(blocks, 40);
    golden_free(&g);
}

static void integer_rows_of_the_scale_table_give_the_known_codes_through_the_library(void **state) {
    (void)state;
    Golden g = golden_read("scale_rules.csv", SCALE_ROWS);
    size_t checked = 0;
    for (size_t row = 0; row < g.rows; row++) {
        if (strcmp(golden_cell(&g, row, "source"), "int"))
            continue;
        FxQuantiser q = quantiser_of(golden_cell(&g, row, "text"));
        int64_t x[ROOM];
        int unit = (int)golden_int(&g, row, "unit");
        size_t n = read_codes(x, ROOM, golden_cell(&g, row, "in"));
        Result got;
        quantise(&got, &q, &(FxArray){.data = x, .type = FX_INT64, .count = n, .exponent = unit});
        check_scale_row(&g, row, &q, &got, n);
        checked++;
    }
    assert_int_equal(checked, 133);
    golden_free(&g);
}

// The integers of a block are the same numbers as their float64: MX and real scales do not care where they come from.
static void block_and_real_scales_agree_on_integer_and_float_sources(void **state) {
    (void)state;
    static const char *const texts[] = {"e4m3fn@block32", "e5m2@block32:ceil", "e2m1fn@block32:even", "fixed8f6@block32", "fixed8f6@block5:even",
        "fixed8@real-max", "fixed8t@real-max.block5", "ufixed4@real-max", "e4m3fn@max", "e4m3@max-fit", "fp16@max", "fixed8@real-mean"};
    enum { N = 40 };
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (uint64_t seed = 0; seed < 60; seed++) {
            FxQuantiser q = quantiser_of(texts[t]);
            int64_t x[N];
            double wide[N];
            int unit = (int)(slow_mix(seed) % 60) - 40;
            for (uint64_t i = 0; i < N; i++) {
                x[i] = slow_fill(seed * 64 + i, 1 + (int)(seed % 40));
                x[i] = q.grid.is_signed ? x[i] : llabs(x[i]);
                wide[i] = ldexp((double)x[i], unit);
            }
            wide[0] = ldexp((double)(x[0] = INT64_C(1) << 41), unit); // the max rules never shift integers left
            Result integers, floats;
            quantise(&integers, &q, &(FxArray){.data = x, .type = FX_INT64, .count = N, .exponent = unit});
            quantise(&floats, &q, &(FxArray){.data = wide, .type = FX_FLOAT64, .count = N});
            for (size_t i = 0; i < N; i++)
                if (integers.codes[i] != floats.codes[i] || memcmp(&integers.values64[i], &floats.values64[i], sizeof(double)) != 0)
                    fail_msg("%s, seed %llu, element %zu, %a: code %lld from integers, %lld from floats", texts[t], (unsigned long long)seed, i,
                             wide[i], (long long)integers.codes[i], (long long)floats.codes[i]);
            if (integers.exponents[0] != floats.exponents[0] || integers.scales[0] != floats.scales[0] || integers.mx[0] != floats.mx[0])
                fail_msg("%s, seed %llu: exponents %d and %d, scales %a and %a", texts[t], (unsigned long long)seed, (int)integers.exponents[0],
                         (int)floats.exponents[0], (double)integers.scales[0], (double)floats.scales[0]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mx_block_has_the_known_scale_elements_and_values),
        cmocka_unit_test(blocks_of_one_array_do_not_touch_one_another),
        cmocka_unit_test(a_short_block_is_a_block_padded_with_zeros),
        cmocka_unit_test(float_rows_of_the_scale_table_give_the_known_codes_exponents_and_scales),
        cmocka_unit_test(integer_rows_of_the_scale_table_give_the_known_codes_through_the_library),
        cmocka_unit_test(block_and_real_scales_agree_on_integer_and_float_sources),
    };
    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
