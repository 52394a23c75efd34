// Accumulators against a slow reference in 128 bits that adds the products of the definition one by one, and against the
// known answers of golden/accumulators.csv.
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/layer_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const product_names[] = {"forward", "error", "gradient"};

// x under a policy, by adding and subtracting 2^bits or by comparing.
static Wide slow_policy(const FxPolicy *p, Wide x, uint64_t *left) {
    if (p->kind == FX_ACC_EXACT)
        return x;
    Wide span = slow_power(p->bits), low = -span / 2, high = span / 2 - 1;
    if (p->kind == FX_ACC_WRAP)
        return slow_wrap(x, low, p->bits);
    if (x < low || x > high)
        ++*left;
    return x < low ? low : x > high ? high : x;
}

// formats.md 12.8: groups of products, chunks of groups, neither crossing the other.
static Wide slow_sum(const FxAccumulator *acc, const Wide *product, size_t k, uint64_t *left) {
    size_t group = (size_t)acc->group, chunk = acc->chunk ? group * (size_t)acc->chunk : k;
    Wide outer = 0;
    for (size_t c = 0; c < k; c += chunk) {
        Wide inner = 0;
        size_t end = c + chunk < k ? c + chunk : k;
        for (size_t g = c; g < end; g += group) {
            Wide sum = 0;
            for (size_t i = g; i < g + group && i < end; i++)
                sum += slow_floor(product[i], slow_power(acc->shift));
            inner = slow_policy(&acc->inner, inner + sum, left);
        }
        if (!acc->chunk)
            return inner;
        outer = slow_policy(&acc->outer, outer + inner, left);
    }
    return outer;
}

static void accumulator_print(char *text, size_t size, const FxAccumulator *acc) {
    char inner[32], outer[32];
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    snprintf(text, size, "%s, outer %s, group %d, chunk %d, shift %d%s", inner, outer, acc->group, acc->chunk, acc->shift,
             acc->order == FX_ORDER_OH_OW_N ? ", oh-ow-n" : "");
}

static FxPolicy any_policy(int bits) {
    FxPolicy p = {.kind = (FxAccumulatorKind)draw(3)};
    if (p.kind != FX_ACC_EXACT)
        p.bits = bits - 6 + (int)draw(9);
    p.bits = p.kind != FX_ACC_EXACT && p.bits < 2 ? 2 : p.bits;
    return p;
}

// Widths near those of the sums, so that most of them leave the range now and then.
static FxAccumulator any_accumulator(FxProductKind kind, int bits) {
    static const int groups[] = {1, 1, 2, 3, 4, 7, 16, 1000}, chunks[] = {0, 0, 1, 2, 3, 5, 64}, shifts[] = {0, 0, 1, 3, 9, 31};
    FxAccumulator acc = {.group = groups[draw(8)], .chunk = chunks[draw(7)], .shift = shifts[draw(6)]};
    acc.inner = any_policy(bits - acc.shift);
    acc.outer = draw(2) ? acc.inner : any_policy(bits - acc.shift);
    acc.order = kind != FX_GRADIENT ? FX_ORDER_KH_KW_C : draw(2) ? FX_ORDER_OH_OW_N : FX_ORDER_N_OH_OW;
    return acc;
}

static Geometry any_geometry(void) {
    static const FxType types[] = {FX_INT8, FX_INT8, FX_UINT8, FX_INT16};
    int kernel = 1 + (int)draw(3), pad = (int)draw(2);
    int least = kernel > 2 * pad ? kernel - 2 * pad : 1;
    return (Geometry){draw(4) ? &fx_conv_ops : &fx_fc_ops, 1 + (int)draw(3), least + (int)draw(4), least + (int)draw(4),
                      1 + (int)draw(6), 1 + (int)draw(5), kernel, 1 + (int)draw(2), pad, types[draw(4)], types[draw(4)], types[draw(4)]};
}

// All sums, the count of additions out of range and the largest magnitude.
static uint64_t check_product(const Geometry *g, const FxLayer *l, FxProductKind kind, const FxTensor *left, const FxTensor *right) {
    unsigned cpu = any_cpu();
    int threads = any_threads();
    FxAccumulatorCounts counts = {.overflow = 10, .max_abs = 1};
    FxTensor y = product_run(l, kind, left, right, cpu, threads, &counts);
    size_t k = product_k(l, kind);
    Wide *products = calloc(k, sizeof *products), max = 1;
    assert_non_null(products);
    uint64_t overflow = 0;
    char text[512];
    geometry_print(text, 256, g);
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, sizeof text - used, "; %s product, ", product_names[kind]);
    accumulator_print(text + used, sizeof text - used, &l->accumulator[kind]);
    for (size_t i = 0; i < y.count; i++) {
        for (size_t j = 0; j < k; j++)
            products[j] = product_term(l, kind, left, right, i, j);
        Wide want = slow_sum(&l->accumulator[kind], products, k, &overflow);
        if (want != fx_tensor_get(&y, i))
            fail_msg("%s, cpu %u, threads %d: sum %zu of %zu products is %lld, not %lld", text, cpu, threads, i, k,
                     (long long)fx_tensor_get(&y, i), (long long)want);
        max = want > max ? want : -want > max ? -want : max;
    }
    if (counts.overflow != overflow + 10 || counts.max_abs != (uint64_t)max)
        fail_msg("%s: %llu additions out of range, not %llu; largest sum %llu, not %llu", text,
                 (unsigned long long)counts.overflow - 10, (unsigned long long)overflow, (unsigned long long)counts.max_abs,
                 (unsigned long long)max);
    free(products);
    tensor_free(&y);
    return overflow;
}

static void sums_counts_and_maxima_are_those_of_adding_one_by_one(void **state) {
    (void)state;
    uint64_t overflow[FX_PRODUCTS] = {0};
    for (int i = 0; i < 1500; i++) {
        Geometry g = any_geometry();
        FxLayer l = layer_of(&g);
        FxTensor x = random_x(&l, &g), w = random_w(&l, &g), e = random_e(&l, &g);
        const FxTensor *operand[FX_PRODUCTS][2] = {{&x, &w}, {&e, &w}, {&x, &e}};
        for (int kind = 0; kind < FX_PRODUCTS; kind++) {
            int bits = 2;
            while (l.max_product[kind] * 4 >> bits)
                bits++;
            l.accumulator[kind] = any_accumulator((FxProductKind)kind, bits);
            overflow[kind] += check_product(&g, &l, (FxProductKind)kind, operand[kind][0], operand[kind][1]);
        }
        tensor_free(&x);
        tensor_free(&w);
        tensor_free(&e);
    }
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        if (overflow[kind] < 10000)
            fail_msg("the %s products left their ranges only %llu times", product_names[kind], (unsigned long long)overflow[kind]);
}

static void results_do_not_depend_on_threads_or_instruction_set(void **state) {
    (void)state;
    static const char *const policies[] = {"exact", "wrap:12", "wrap:33", "saturate:14", "saturate:40"};
    Geometry g = {&fx_conv_ops, 3, 9, 7, 16, 33, 3, 1, 1, FX_INT8, FX_INT8, FX_INT8};
    FxLayer l = layer_of(&g);
    FxTensor x = random_x(&l, &g), w = random_w(&l, &g), e = random_e(&l, &g);
    const FxTensor *operand[FX_PRODUCTS][2] = {{&x, &w}, {&e, &w}, {&x, &e}};
    for (int p = 0; p < 5; p++)
        for (int kind = 0; kind < FX_PRODUCTS; kind++) {
            FxError err;
            assert_int_equal(fx_policy_parse(&l.accumulator[kind].inner, policies[p], &err), 0);
            l.accumulator[kind].outer = l.accumulator[kind].inner;
            FxAccumulatorCounts first = {0};
            FxTensor y = product_run(&l, (FxProductKind)kind, operand[kind][0], operand[kind][1], 0, 1, &first);
            unsigned cpu;
            for (int i = 0; cpu_level(i, &cpu); i++)
                for (int threads = 1; threads <= 7; threads += threads == 3 ? 4 : 1) {
                    FxAccumulatorCounts counts = {0};
                    FxTensor z = product_run(&l, (FxProductKind)kind, operand[kind][0], operand[kind][1], cpu, threads, &counts);
                    if (memcmp(y.data, z.data, y.count * fx_type_size(y.type)) || counts.overflow != first.overflow ||
                        counts.max_abs != first.max_abs)
                        fail_msg("%s, %s product: cpu %u with %d threads gives other sums or counts", policies[p],
                                 product_names[kind], cpu, threads);
                    tensor_free(&z);
                }
            tensor_free(&y);
        }
    tensor_free(&x);
    tensor_free(&w);
    tensor_free(&e);
}

// One sum of the products a[i] * b[i] in the type that the proof gives.
static int64_t one_sum(const FxTensor *a, const FxTensor *b, const FxAccumulator *acc, uint64_t max_product, FxType *type,
                       FxAccumulatorCounts *counts) {
    FxError err = {0};
    FxWork work = {.threads = 1};
    int64_t result = 0;
    if (fx_accumulator_type(type, acc, a->count, max_product, "a sum", &err))
        fail_msg("%s", err.text);
    FxProduct p = {.a = fx_matrix_plain(a->data, a->type, 1, (int)a->count, false),
                   .b = fx_matrix_plain(b->data, b->type, 1, (int)b->count, false), .c = &result, .c_type = *type};
    work.scratch_size = fx_accumulate_scratch(&p, acc, &work);
    work.scratch = aligned_alloc(64, (work.scratch_size + 127) / 64 * 64);
    assert_non_null(work.scratch);
    fx_accumulate(&p, acc, max_product, &work, counts);
    free(work.scratch);
    FxTensor c = {&result, *type, 1, 0};
    return fx_tensor_get(&c, 0);
}

static FxTensor constant(FxType type, size_t n, int64_t code) {
    FxTensor t = tensor_new(type, n);
    for (size_t i = 0; i < n; i++)
        fx_tensor_set(&t, i, code);
    return t;
}

static void the_products_of_the_golden_table_sum_to_its_results(void **state) {
    (void)state;
    Golden g = golden_read("accumulators.csv", 108);
    int checked = 0, floating = 0;
    for (size_t row = 0; row < g.rows; row++) {
        const char *source = golden_cell(&g, row, "source"), *text = golden_cell(&g, row, "products"), *bias = golden_cell(&g, row, "bias");
        if (!strcmp(source, "float")) { // tests/test_accumulator_f32.c
            floating++;
            continue;
        }
        assert_string_equal(source, "int");
        int64_t product[128];
        size_t k = 0;
        uint64_t max = 0;
        FxError err = {0};
        for (char *end; *text; text = *end ? end + 1 : end, k++) {
            product[k] = strtoll(text, &end, 10);
            uint64_t size = (uint64_t)(product[k] < 0 ? -product[k] : product[k]);
            max = size > max ? size : max;
        }
        const char *chunk = golden_cell(&g, row, "chunk"), *outer = golden_cell(&g, row, "outer");
        const char *saturations = golden_cell(&g, row, "saturations");
        FxAccumulator acc = {.group = (int)golden_int(&g, row, "group"), .shift = (int)golden_int(&g, row, "shift")};
        acc.chunk = strcmp(chunk, "none") ? (int)golden_int(&g, row, "chunk") : 0;
        if (fx_policy_parse(&acc.inner, golden_cell(&g, row, "inner"), &err) ||
            fx_policy_parse(&acc.outer, *outer ? outer : golden_cell(&g, row, "inner"), &err))
            fail_msg("row %zu: %s", row + 1, err.text);
        FxTensor a = tensor_of(FX_INT32, product, k), b = constant(FX_INT8, k, 1);
        FxAccumulatorCounts counts = {0};
        FxType type;
        int64_t sum = one_sum(&a, &b, &acc, max, &type, &counts);
        if (*bias) // one last outer addition
            sum = fx_policy_add(&acc.outer, sum, golden_int(&g, row, "bias"), &counts.overflow);
        if (sum != golden_int(&g, row, "result"))
            fail_msg("row %zu: %s gives %lld, not %s", row + 1, golden_cell(&g, row, "inner"), (long long)sum,
                     golden_cell(&g, row, "result"));
        if (*saturations && counts.overflow != golden_unsigned(&g, row, "saturations"))
            fail_msg("row %zu: %llu additions out of range, not %s", row + 1, (unsigned long long)counts.overflow, saturations);
        tensor_free(&a);
        tensor_free(&b);
        checked++;
    }
    assert_int_equal(checked, 55);
    assert_int_equal(floating, 53);
    golden_free(&g);
}

static void a_saturating_accumulator_that_just_cannot_saturate_is_exact_and_a_bit_less_is_not(void **state) {
    (void)state;
    for (int bits = 9; bits <= 62; bits++)
        for (int sign = -1; sign <= 1; sign += 2) {
            // 16 products of one sign whose sum is the range's end: multiples of 2^30, and what is left
            int64_t high = (INT64_C(1) << (bits - 1)) - 1, end = sign > 0 ? high : -high - 1, part = end / (1 << 30);
            int64_t code[2][16], most = ((INT64_C(1) << 62) - 1) / 16;
            for (int i = 0; i < 16; i++) {
                code[0][i] = i < 14 ? part / 14 : i < 15 ? part % 14 : end % (1 << 30);
                code[1][i] = i < 15 ? 1 << 30 : 1;
            }
            FxTensor a = tensor_of(FX_INT32, code[0], 16), b = tensor_of(FX_INT32, code[1], 16);
            for (int less = 0; less < 2; less++)
                for (int proved = 0; proved < 2; proved++) {
                    FxAccumulator acc = {.group = 1, .inner = {.kind = FX_ACC_SATURATE, .bits = bits - less}};
                    FxAccumulatorCounts counts = {0};
                    FxType type;
                    int64_t limit = proved ? high / 16 + (sign < 0) : high;
                    uint64_t max = (uint64_t)(limit < most ? limit : most);
                    int64_t got = one_sum(&a, &b, &acc, max, &type, &counts);
                    int64_t want = !less ? end : sign > 0 ? (INT64_C(1) << (bits - 2)) - 1 : -(INT64_C(1) << (bits - 2));
                    if (got != want || (counts.overflow > 0) != less)
                        fail_msg("saturate:%d, largest product %llu: %lld, not %lld, %llu additions out of range", bits - less,
                                 (unsigned long long)max, (long long)got, (long long)want, (unsigned long long)counts.overflow);
                }
            tensor_free(&a);
            tensor_free(&b);
        }
}

static void a_sum_one_past_the_range_saturates_even_where_every_product_is_the_largest(void **state) {
    (void)state;
    for (int bits = 6; bits <= 62; bits++) { // 16 * 2^(bits - 5) = 2^(bits - 1)
        int64_t left = INT64_C(1) << (bits - 5) / 2, right = INT64_C(1) << (bits - 5 - (bits - 5) / 2);
        FxTensor a = constant(FX_INT32, 16, left), b = constant(FX_INT32, 16, right);
        FxAccumulator acc = {.group = 1, .inner = {.kind = FX_ACC_SATURATE, .bits = bits}};
        FxAccumulatorCounts counts = {0};
        FxType type;
        int64_t got = one_sum(&a, &b, &acc, (uint64_t)(left * right), &type, &counts), want = (INT64_C(1) << (bits - 1)) - 1;
        if (got != want || counts.overflow != 1)
            fail_msg("saturate:%d, 16 products of 2^%d: %lld, not %lld; %llu additions out of range, not 1", bits, bits - 5,
                     (long long)got, (long long)want, (unsigned long long)counts.overflow);
        tensor_free(&a);
        tensor_free(&b);
    }
}

static void check_type(const char *inner, const char *outer, int chunk, size_t k, uint64_t max_product, int want) {
    FxAccumulator acc = {.group = 1, .chunk = chunk};
    FxError err = {0};
    FxType type = FX_INT8;
    if (fx_policy_parse(&acc.inner, inner, &err) || fx_policy_parse(&acc.outer, outer, &err))
        fail_msg("%s", err.text);
    int got = fx_accumulator_type(&type, &acc, k, max_product, "conv1, forward product", &err) ? -1 : (int)type;
    if (got != want || (got < 0 && (err.exit_code != FX_EXIT_USAGE || !strstr(err.text, "conv1, forward product") || type != FX_INT8)))
        fail_msg("%s, outer %s, chunk %d: %zu products of up to %llu give type %d, not %d: %s", inner, outer, chunk, k,
                 (unsigned long long)max_product, got, want, err.text);
}

static void the_proof_is_right_at_its_edges(void **state) {
    (void)state;
    check_type("exact", "exact", 0, 133144, 127 * 127, FX_INT32);
    check_type("exact", "exact", 0, 133145, 127 * 127, FX_INT64);
    check_type("exact", "exact", 0, 131071, 128 * 128, FX_INT32);
    check_type("exact", "exact", 0, 131072, 128 * 128, FX_INT64); // 2^31
    check_type("exact", "exact", 0, 1, INT32_MAX, FX_INT32);
    check_type("exact", "exact", 0, (size_t)1 << 32, (UINT64_C(1) << 30) - 1, FX_INT64);
    check_type("exact", "exact", 0, (size_t)1 << 32, UINT64_C(1) << 30, -1); // 2^62 needs 64 bits
    check_type("exact", "exact", 0, 1, (UINT64_C(1) << 62) - 1, FX_INT64);
    check_type("exact", "exact", 0, 1, UINT64_C(1) << 62, -1);
    check_type("exact", "exact", 0, SIZE_MAX, UINT64_MAX, -1);
    check_type("wrap:16", "wrap:16", 0, 1, UINT64_C(1) << 62, -1); // the exact sum has to fit on the way
    check_type("wrap:32", "wrap:32", 0, 1000000, 128 * 128, FX_INT32);
    check_type("wrap:33", "wrap:33", 0, 1000000, 128 * 128, FX_INT64);
    check_type("saturate:32", "saturate:32", 0, 1000000, 128 * 128, FX_INT32);
    check_type("saturate:33", "saturate:33", 0, 1000000, 128 * 128, FX_INT64);
    check_type("saturate:8", "exact", 4, 1000000, 128 * 128, FX_INT64); // chunked: the outer policy bounds the sum
    check_type("exact", "saturate:20", 4, 1000000, 128 * 128, FX_INT32);
    check_type("saturate:8", "exact", 0, 1000000, 128 * 128, FX_INT32);
    check_type("float:e6m9", "float:e6m9", 0, 1, 1, -1); // policies of floats
    check_type("exact", "fp32", 4, 1, 1, -1);
    check_type("kulisch", "kulisch", 0, 1, 1, -1);
}

static void sums_at_the_edge_of_the_proof_are_exact(void **state) {
    (void)state;
    static const struct {
        FxType type;
        int64_t code;
        size_t k;
    } edges[] = {{FX_INT8, 127, 133144}, {FX_INT8, 127, 133145}, {FX_INT8, -128, 131071}, {FX_INT8, -128, 131072},
                 {FX_UINT8, 255, 33025}, {FX_UINT8, 255, 33026}, {FX_INT16, -32768, 1}, {FX_INT16, -32768, 2},
                 {FX_INT16, 32767, 5}, {FX_INT32, INT32_MIN, 1}, {FX_INT32, INT32_MAX, 1}};
    static const char *const policies[] = {"exact", "wrap:16", "wrap:32", "wrap:40", "saturate:32", "saturate:62"};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++)
            for (int negative = 0; negative < 2 && (!negative || edges[i].code > 0); negative++) {
                if (edges[i].code == INT32_MIN) // 2^62 is refused
                    continue;
                FxAccumulator acc = {.group = 1};
                FxError err;
                FxType type, other_type = edges[i].type == FX_UINT8 && negative ? FX_INT16 : edges[i].type;
                assert_int_equal(fx_policy_parse(&acc.inner, policies[p], &err), 0);
                FxTensor a = constant(edges[i].type, edges[i].k, edges[i].code);
                FxTensor b = constant(other_type, edges[i].k, negative ? -edges[i].code : edges[i].code);
                Wide exact = (Wide)edges[i].code * (negative ? -edges[i].code : edges[i].code), sum = exact * (Wide)edges[i].k, want = sum;
                uint64_t left = 0;
                want = slow_policy(&acc.inner, sum, &left); // all products have one sign: saturating on the way is the same
                FxAccumulatorCounts counts = {0};
                int64_t got = one_sum(&a, &b, &acc, (uint64_t)(exact < 0 ? -exact : exact), &type, &counts);
                if (got != want || (counts.overflow > 0) != (left > 0))
                    fail_msg("%s, %zu products of %s codes %lld, negative %d: %lld, not %lld", policies[p], edges[i].k,
                             fx_type_name(edges[i].type), (long long)edges[i].code, negative, (long long)got, (long long)want);
                tensor_free(&a);
                tensor_free(&b);
            }
}

static void policies_that_are_none_are_refused_and_the_others_print_as_written(void **state) {
    (void)state;
    static const char *const good[][2] = {
        {"exact", "exact"}, {"wrap:2", "wrap:2"}, {"wrap:62", "wrap:62"}, {"saturate:2", "saturate:2"}, {"saturate:62", "saturate:62"},
        {"fp32", "fp32"}, {"kulisch", "kulisch"}, {"float:e6m9", "float:e6m9:bias31:ieee:sub:uf-round/nearest-even/saturate"},
        {"float:e5m10:bias9:none/stochastic:8/inf", "float:e5m10:bias9:none:sub:uf-round/stochastic:8:c/inf"},
        {"e4m3fn/toward-zero", "e4m3fn/toward-zero/saturate"}, {"fp8-152/propagate", "e5m2/nearest-even/propagate"},
        {"binary8p3se/sr-eps:0.25:8", "binary8p3se/sr-eps:0.25:8/saturate"}, {"fp32/nearest-even", "fp32/nearest-even/saturate"},
    };
    static const char *const bad[] = {"", "wrap", "wrap:", "wrap:1", "wrap:63", "wrap:016", "wrap:16x", "wrap: 16", "saturate:-3",
                                      "saturate:100", "exact:3", "Exact", "saturate16", "kulisch:3", "float:e9m2", "float:e5m10@max",
                                      "float:e5m10/wrap", "fixed8", "float:e5m10/", "float:e5m10/pseudo", "e8m0", "int8",
                                      "float:e5m10/signed-sr-eps:0.25:8", "float:e5m10/saturate/nearest-even", "log2:b4:fsr3"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        FxPolicy p, q;
        FxError err = {0};
        char text[FX_POLICY_TEXT];
        if (fx_policy_parse(&p, good[i][0], &err))
            fail_msg("%s", err.text);
        fx_policy_print(text, sizeof text, &p);
        assert_string_equal(text, good[i][1]);
        assert_int_equal(fx_policy_parse(&q, text, &err), 0);
        assert_memory_equal(&p.kind, &q.kind, sizeof p.kind);
        assert_true(fx_policy_is_float(&p) == (i > 4));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FxPolicy p = {.kind = FX_ACC_WRAP, .bits = 9};
        FxError err = {0};
        if (fx_policy_parse(&p, bad[i], &err) == 0 || err.exit_code != FX_EXIT_USAGE || !strstr(err.text, "known: exact, wrap:N"))
            fail_msg("\"%s\": exit code %d, \"%s\"", bad[i], (int)err.exit_code, err.text);
        assert_true(p.kind == FX_ACC_WRAP && p.bits == 9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_counts_and_maxima_are_those_of_adding_one_by_one),
        cmocka_unit_test(results_do_not_depend_on_threads_or_instruction_set),
        cmocka_unit_test(the_products_of_the_golden_table_sum_to_its_results),
        cmocka_unit_test(a_saturating_accumulator_that_just_cannot_saturate_is_exact_and_a_bit_less_is_not),
        cmocka_unit_test(a_sum_one_past_the_range_saturates_even_where_every_product_is_the_largest),
        cmocka_unit_test(the_proof_is_right_at_its_edges),
        cmocka_unit_test(sums_at_the_edge_of_the_proof_are_exact),
        cmocka_unit_test(policies_that_are_none_are_refused_and_the_others_print_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
