// Softmax and squared-error losses, integer and float32: golden rows, slow twins in 128 bits and float64, finite
// differences, the defined order bit by bit, answers and ties.
#include "formats/math_f32.h"
#include "layers/loss_f32.h"
#include "tests/cast.h"
#include "tests/golden.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_row(int64_t *v, size_t n, const char *text) {
    for (size_t i = 0; i < n; i++) {
        char *end;
        v[i] = strtoll(text, &end, 10);
        if (end == text)
            fail_msg("\"%s\" has fewer than %zu numbers", text, n);
        text = end;
    }
    assert_int_equal(*text, 0);
}

static void every_golden_row_of_the_integer_softmax_comes_out(void **state) {
    (void)state;
    enum { ROWS = 40, CLASSES = 10 };
    Golden g = golden_read("softmax_int.csv", ROWS);
    for (size_t row = 0; row < ROWS; row++) {
        int64_t z[CLASSES], p[CLASSES], e[CLASSES];
        uint8_t label = (uint8_t)golden_int(&g, row, "label");
        read_row(z, CLASSES, golden_cell(&g, row, "logits"));
        read_row(p, CLASSES, golden_cell(&g, row, "p"));
        read_row(e, CLASSES, golden_cell(&g, row, "error"));
        for (int wide = 0; wide < 4; wide++) {
            FxTensor out = tensor_of(wide & 1 ? FX_INT64 : FX_INT32, z, CLASSES), got = tensor_new(wide & 2 ? FX_INT64 : FX_INT32, CLASSES);
            FxAnswers answers = {.loss = 5};
            out.exponent = (int)golden_int(&g, row, "exponent");
            fx_softmax(&out, &label, CLASSES, &got, &answers);
            for (size_t c = 0; c < CLASSES; c++)
                if (fx_tensor_get(&got, c) != e[c] || fx_tensor_get(&got, c) + (c == label ? 32768 : 0) != p[c])
                    fail_msg("row %zu class %zu: error %lld, not %lld", row, c, (long long)fx_tensor_get(&got, c), (long long)e[c]);
            assert_true(answers.loss == 5);
            tensor_free(&out);
            tensor_free(&got);
        }
    }
    golden_free(&g);
}

// ---- twins --------------------------------------------------------------------------------------------------------

static Wide nearest_even(Wide a, Wide b) {
    Wide q = slow_floor(a, b), twice = 2 * (a - q * b);
    return q + (twice > b || (twice == b && q % 2 != 0));
}

static Wide twin_table(Wide i) {
    return llroundl(ldexpl(exp2l(-(long double)i / 256), 30));
}

static Wide twin_v(Wide d, int exponent) {
    const Wide most = slow_power(40);
    Wide t = exponent > 40 ? (d ? most : 0) : exponent >= 0 ? d * 94548 * slow_power(exponent) : exponent < -120 ? 0 : nearest_even(d * 94548, slow_power(-exponent));
    t = t > most ? most : t;
    Wide n = t / 65536, i = t % 65536 / 256, low = t % 256;
    Wide between = twin_table(i) - ((twin_table(i) - twin_table(i + 1)) * low + 128) / 256;
    return n > 30 ? 0 : between / slow_power((int)n);
}

static Wide top_of(const FxTensor *out, size_t first, int classes) {
    Wide top = fx_tensor_get(out, first);
    for (int c = 1; c < classes; c++)
        if (fx_tensor_get(out, first + (size_t)c) > top)
            top = fx_tensor_get(out, first + (size_t)c);
    return top;
}

static void twin_softmax(Wide *e, const FxTensor *out, size_t first, int classes, int label) {
    Wide sum = 0, top = top_of(out, first, classes);
    for (int c = 0; c < classes; c++)
        sum += e[c] = twin_v(top - fx_tensor_get(out, first + (size_t)c), out->exponent);
    for (int c = 0; c < classes; c++)
        e[c] = slow_floor(2 * 32768 * e[c] + sum, 2 * sum) - (c == label ? 32768 : 0);
}

static Wide twin_niti_s(Wide code, int exponent) {
    Wide s = slow_floor(code * 47274, 32768);
    return exponent < 0 ? slow_floor(s, slow_power(-exponent)) : s * slow_power(exponent);
}

static void twin_niti(Wide *e, const FxTensor *out, size_t first, int classes, int label) {
    int x = out->exponent;
    Wide sum = 0, given = 0, top = top_of(out, first, classes);
    for (int c = 0; c < classes; c++) {
        Wide z = fx_tensor_get(out, first + (size_t)c), s = twin_niti_s(z, x > 40 ? 40 : x) - (twin_niti_s(top, x > 40 ? 40 : x) - 10);
        e[c] = x > -7 ? slow_power(s > 0 ? (int)s : 0) - 1 : slow_power(1 - 2 * x) + z * slow_power(1 - x) + z * z;
        sum += e[c];
    }
    for (int c = 0; c < classes; c++)
        given += e[c] = slow_floor(e[c] * 2048, sum);
    e[label] -= given;
}

// The last unit that counts: 2^30 * 2^-30 = 1 for t = 30 * 2^16 exactly, 0 one step on. 20000 classes make it visible.
static void integer_softmax_counts_down_to_its_last_unit(void **state) {
    (void)state;
    enum { CLASSES = 20001 };
    FxTensor out = tensor_new(FX_INT32, CLASSES), e = tensor_new(FX_INT32, CLASSES);
    FxAnswers a = {0};
    out.exponent = -17;
    for (int step = 0; step < 3; step++) {
        Wide d = slow_floor(((Wide)1966080 + step) * slow_power(17), 94548);
        while (nearest_even(d * 94548, slow_power(17)) < 1966080 + step)
            d++;
        assert_true(nearest_even(d * 94548, slow_power(17)) == 1966080 + step);
        for (size_t c = 1; c < CLASSES; c++)
            fx_tensor_set(&out, c, (int64_t)-d);
        fx_softmax(&out, (const uint8_t[]){1}, CLASSES, &e, &a);
        assert_int_equal(fx_tensor_get(&e, 0), step ? 32768 : 32767); // 32768 * 2^30 / (2^30 + 20000) = 32767.39
    }
    tensor_free(&out);
    tensor_free(&e);
}

typedef void Softmax(const FxTensor *, const uint8_t *, int, const FxTensor *, FxAnswers *);
typedef void Twin(Wide *, const FxTensor *, size_t, int, int);

enum { IMAGES = 7, MOST = 40 };

static void check_integer(Softmax *ours, Twin *twin, FxType type, int exponent, int classes, int bits) {
    FxTensor out = tensor_new(type, (size_t)(IMAGES * classes)), e = tensor_new(FX_INT32, out.count);
    uint8_t labels[IMAGES];
    FxAnswers a = {0}, silent = {0}, plain = {0};
    out.exponent = exponent;
    for (size_t i = 0; i < out.count; i++) {
        int64_t v = slow_fill(draw(UINT64_C(1) << 60), bits);
        fx_tensor_set(&out, i, type == FX_INT8 && v < -127 ? -127 : v);
    }
    for (int i = 0; i < IMAGES; i++)
        labels[i] = (uint8_t)draw((uint64_t)classes);
    ours(&out, labels, classes, &e, &a);
    ours(&out, labels, classes, NULL, &silent);
    fx_sse(&out, labels, classes, 0, NULL, &plain);
    for (int i = 0; i < IMAGES; i++) {
        Wide want[MOST], sum = 0;
        twin(want, &out, (size_t)(i * classes), classes, labels[i]);
        for (int c = 0; c < classes; c++) {
            int64_t got = fx_tensor_get(&e, (size_t)(i * classes + c));
            sum += got;
            if (got != want[c])
                fail_msg("%s, exponent %d, %d classes, image %d class %d: %lld, not %lld", fx_type_name(type), exponent, classes, i, c, (long long)got, (long long)want[c]);
        }
        if (ours == fx_softmax_niti)
            assert_true(sum == 0);
    }
    assert_true(a.wrong == plain.wrong && a.ties == plain.ties && silent.wrong == plain.wrong && silent.ties == plain.ties);
    tensor_free(&out);
    tensor_free(&e);
}

static void integer_softmax_is_that_of_the_slow_twin(void **state) {
    (void)state;
    for (int exponent = -100; exponent <= 60; exponent++)
        for (int classes = 1; classes <= 12; classes += 1 + (int)draw(3)) {
            check_integer(fx_softmax, twin_softmax, FX_INT8, exponent, classes, 7);
            check_integer(fx_softmax, twin_softmax, FX_INT16, exponent, classes, 15);
            check_integer(fx_softmax, twin_softmax, FX_INT32, exponent, classes, 31);
            check_integer(fx_softmax, twin_softmax, FX_INT64, exponent, classes, 60);
        }
}

static void niti_cross_entropy_is_that_of_the_slow_twin_and_still_where_exponents_end(void **state) {
    (void)state;
    for (int exponent = -52; exponent <= 30; exponent++) // the twin's squares fit 128 bits down to -52
        for (int k = 0; k < 30; k++)
            check_integer(fx_softmax_niti, twin_niti, FX_INT8, exponent, 1 + k, k % 2 ? 3 : 7);
    static const int64_t z[4] = {3, -4, 127, 0};
    FxTensor out = tensor_of(FX_INT8, z, 4), e = tensor_new(FX_INT32, 4);
    FxAnswers a = {0};
    // -4 * 47274 / 2^15 = -5.77, down to -6; 3: 4.3, 4; 127: 183.2, 183, at 2^-5 0, -1, 5, 0; s' = 5, 4, 10, 5; v = 31, 15, 1023, 31; sum 1100
    static const int32_t by_hand[] = {57, 27, -141, 57}; // p = 57, 27, 1904, 57; all of them, 2045, off the label
    out.exponent = -5;
    fx_softmax_niti(&out, (const uint8_t[]){2}, 4, &e, &a);
    assert_memory_equal(e.data, by_hand, sizeof by_hand);
    tensor_free(&out);
    tensor_free(&e);
}

static void nitis_shift_by_four_is_the_quantiser_the_header_names(void **state) {
    (void)state;
    FxQuantiser q = quantiser_of("fixed8/stochastic:4");
    FxCast cast = cast_of(&q, -7 - FX_NITI_EXPONENT, any_cpu());
    int64_t e[4096], y[4096];
    FxStats stats = {0};
    for (int64_t i = 0; i < 4096; i++)
        e[i] = i - 2048;
    cast_codes(y, &cast, FX_INT32, FX_INT8, e, 4096, &stats);
    for (int64_t i = 0; i < 4096; i++) {
        Wide R = fx_rng_word(cast.random.rng, cast.element0 + (uint64_t)i) >> 28, want = slow_floor(e[i] + R, 16);
        assert_int_equal(y[i], want > 127 ? 127 : want < -127 ? -127 : want);
    }
}

// ---- float64 twins and finite differences ---------------------------------------------------------------------------

typedef double TwinLoss(const double *z, int classes, int label);

static double cross_entropy(const double *z, int classes, int label) {
    double top = z[0], sum = 0;
    for (int c = 1; c < classes; c++)
        top = fmax(top, z[c]);
    for (int c = 0; c < classes; c++)
        sum += exp(z[c] - top);
    return log(sum) + (top - z[label]);
}

static double squares(const double *z, int classes, int label) {
    double sum = 0;
    for (int c = 0; c < classes; c++)
        sum += (z[c] - (c == label)) * (z[c] - (c == label)) / 2;
    return sum;
}

static void twin_gradient(double *e, TwinLoss *loss, const double *z, int classes, int label) {
    double top = z[0], sum = 0;
    for (int c = 1; c < classes; c++)
        top = fmax(top, z[c]);
    for (int c = 0; c < classes; c++)
        sum += exp(z[c] - top);
    for (int c = 0; c < classes; c++)
        e[c] = (loss == squares ? z[c] : exp(z[c] - top) / sum) - (c == label);
    for (int c = 0; c < classes; c++) { // the twin has to earn its trust
        const double h = 0x1p-12;
        double near[MOST];
        memcpy(near, z, (size_t)classes * sizeof *z);
        near[c] = z[c] + h;
        double up = loss(near, classes, label);
        near[c] = z[c] - h;
        double slope = (up - loss(near, classes, label)) / (2 * h);
        if (!(fabs(slope - e[c]) < 1e-6))
            fail_msg("finite difference %g, gradient %g", slope, e[c]);
    }
}

static FxTensor random_floats(size_t n, double half_width) {
    FxTensor t = tensor_new(FX_FLOAT32, n);
    for (size_t i = 0; i < n; i++)
        ((float *)t.data)[i] = (float)(half_width * ((double)draw(UINT64_C(1) << 40) * 0x1p-39 - 1));
    return t;
}

static void run_f32(TwinLoss *which, const FxTensor *out, const uint8_t *labels, int classes, float scale, int batch, unsigned cpu,
                    const FxTensor *e, FxAnswers *a, FxLossSum *loss) {
    if (which == squares)
        fx_sse_f32(out, labels, classes, scale, e, a, loss);
    else
        fx_softmax_f32(out, labels, classes, scale, batch, cpu, e, a, loss);
}

static void check_f32(TwinLoss *which, int classes, double width, float scale, int batch) {
    FxTensor out = random_floats((size_t)(IMAGES * classes), width), e = tensor_new(FX_FLOAT32, out.count), again = tensor_new(FX_FLOAT32, out.count);
    uint8_t labels[IMAGES];
    double factor = which == squares ? (double)scale : (double)scale / batch, total = 0;
    FxAnswers a = {0}, silent = {0};
    FxLossSum loss = {0}, loss_alone = {0};
    for (int i = 0; i < IMAGES; i++)
        labels[i] = (uint8_t)draw((uint64_t)classes);
    run_f32(which, &out, labels, classes, scale, batch, any_cpu(), &e, &a, &loss);
    run_f32(which, &out, labels, classes, scale, batch, 0, NULL, &silent, &loss_alone);
    uint64_t wrong = 0;
    for (int i = 0; i < IMAGES; i++) {
        double z[MOST], want[MOST];
        int best = 0;
        for (int c = 0; c < classes; c++) {
            z[c] = (double)((float *)out.data)[i * classes + c];
            best = z[c] > z[best] ? c : best;
        }
        wrong += best != labels[i];
        total += which(z, classes, labels[i]);
        twin_gradient(want, which, z, classes, labels[i]);
        for (int c = 0; c < classes; c++) {
            double got = (double)((float *)e.data)[i * classes + c] / factor;
            if (!(fabs(got - want[c]) <= 1e-5 * fmax(1, fabs(want[c]))))
                fail_msg("%d classes, width %g, image %d class %d: %.9g, not %.9g", classes, width, i, c, got, want[c]);
        }
    }
    if (!(fabs(fx_loss_total(&loss) - total) <= 1e-13 * fmax(1, total) * classes) || fx_loss_total(&loss) != fx_loss_total(&loss_alone) ||
        loss.images != IMAGES || a.wrong != wrong || silent.wrong != wrong || a.ties != silent.ties)
        fail_msg("%d classes: loss %.17g, not %.17g; wrong %llu, not %llu", classes, fx_loss_total(&loss), total, (unsigned long long)a.wrong, (unsigned long long)wrong);
    unsigned cpu;
    for (int level = 0; cpu_level(level, &cpu); level++) {
        run_f32(which, &out, labels, classes, scale, batch, cpu, &again, &a, &loss);
        assert_memory_equal(again.data, e.data, e.count * sizeof(float));
    }
    FxTensor *all[] = {&out, &e, &again};
    for (int i = 0; i < 3; i++)
        tensor_free(all[i]);
}

static void float32_losses_are_those_of_the_float64_twin(void **state) {
    (void)state;
    static const double widths[] = {0.01, 1, 8, 100};
    for (int classes = 1; classes <= MOST; classes += 3)
        for (int w = 0; w < 4; w++) {
            check_f32(cross_entropy, classes, widths[w], w % 2 ? 1.0f : 1024.0f, 1 + 31 * w);
            check_f32(squares, classes, widths[w], w % 2 ? 1.0f : 1024.0f, 1);
        }
}

static void float32_errors_are_made_in_the_order_of_the_header(void **state) {
    (void)state;
    for (int classes = 2; classes <= 9001; classes = classes * 3 + 1) {
        FxTensor out = random_floats((size_t)classes, 6), e = tensor_new(FX_FLOAT32, out.count);
        const float *z = out.data;
        float top = z[0], total = 0, factor = 3.0f / 7.0f;
        for (int c = 0; c < classes; c++)
            top = z[c] > top ? z[c] : top;
        for (int c = 0; c < classes;) {
            float part = 0;
            for (int end = c + 4096; c < classes && c < end; c++)
                part += fx_expf(z[c] - top);
            total += part;
        }
        FxAnswers a = {0};
        FxLossSum loss = {0};
        fx_softmax_f32(&out, (const uint8_t[]){1}, classes, 3, 7, any_cpu(), &e, &a, &loss);
        for (int c = 0; c < classes; c++) {
            float p = fx_expf(z[c] - top) / total, less = p - (c == 1 ? 1.0f : 0.0f), want = less * factor;
            assert_memory_equal((float *)e.data + c, &want, sizeof want);
        }
        tensor_free(&out);
        tensor_free(&e);
    }
}

static void integer_p_is_within_0_7_units_of_the_softmax_and_its_logged_loss_is_exact(void **state) {
    (void)state;
    enum { CLASSES = 10 };
    double worst = 0;
    for (int k = 0; k < 20000; k++) {
        int64_t codes[CLASSES];
        double z[CLASSES], gradient[CLASSES];
        int exponent = -(int)draw(24), bits = 4 + (int)draw(20);
        uint8_t label = (uint8_t)draw(CLASSES);
        for (int c = 0; c < CLASSES; c++) {
            codes[c] = slow_fill(draw(UINT64_C(1) << 60), bits);
            z[c] = ldexp((double)codes[c], exponent);
        }
        FxTensor out = tensor_of(FX_INT32, codes, CLASSES), e = tensor_new(FX_INT32, CLASSES);
        FxAnswers a = {0};
        FxLossSum loss = {0};
        out.exponent = exponent;
        fx_softmax(&out, &label, CLASSES, &e, &a);
        fx_softmax_loss(&out, &label, CLASSES, &loss);
        double want = cross_entropy(z, CLASSES, label), top = z[0], sum = 0;
        if (!(fabs(fx_loss_total(&loss) - want) <= 1e-13 * fmax(1, want)))
            fail_msg("loss %.17g, not %.17g", fx_loss_total(&loss), want);
        for (int c = 0; c < CLASSES; c++)
            top = fmax(top, z[c]);
        for (int c = 0; c < CLASSES; c++)
            sum += exp(z[c] - top);
        for (int c = 0; c < CLASSES; c++) {
            gradient[c] = exp(z[c] - top) / sum - (c == label);
            worst = fmax(worst, fabs((double)fx_tensor_get(&e, (size_t)c) - ldexp(gradient[c], -FX_SOFTMAX_EXPONENT)));
        }
        tensor_free(&out);
        tensor_free(&e);
    }
    if (!(worst > 0.5 && worst <= 0.7))
        fail_msg("p is off by up to %g units", worst);
}

// ---- answers and sums -----------------------------------------------------------------------------------------------

static void float_answers_take_the_lowest_index_and_a_nan_is_always_wrong(void **state) {
    (void)state;
    static const float out[][3] = {{5, 5, 1}, {1, 5, 5}, {2, 2, 7}, {-0.0f, 0, -1}, {NAN, 1, 1}, {2, NAN, 1}, {NAN, NAN, NAN}, {INFINITY, 0, -INFINITY}};
    static const uint8_t labels[] = {1, 1, 2, 0, 0, 0, 0, 0};
    FxTensor t = {(void *)(uintptr_t)out, FX_FLOAT32, 24, 0};
    FxAnswers a = {.wrong = 10, .ties = 20};
    fx_answers_count_f32(&t, labels, 3, &a);
    assert_int_equal(a.wrong, 14); // the first, and the three with a NaN
    assert_int_equal(a.ties, 23);
}

static void a_loss_that_is_no_number_is_seen(void **state) {
    (void)state;
    static const float out[][3] = {{NAN, 1, 1}, {2, NAN, 1}, {INFINITY, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        FxTensor t = {(void *)(uintptr_t)out[i], FX_FLOAT32, 3, 0}, e = tensor_new(FX_FLOAT32, 3);
        FxAnswers a = {0};
        FxLossSum loss = {0};
        fx_softmax_f32(&t, (const uint8_t[]){2}, 3, 1, 1, any_cpu(), &e, &a, &loss);
        assert_true(isnan(fx_loss_total(&loss)) && isnan(((float *)e.data)[i < 2 ? 2 : 0]));
        tensor_free(&e);
    }
}

static void the_sum_of_losses_does_not_depend_on_batches(void **state) {
    (void)state;
    enum { N = 10000 };
    static const size_t batches[] = {1, 7, 128, 4096, N};
    FxTensor out = random_floats(2 * N, 3);
    static uint8_t labels[N];
    double want = 0, chunk = 0;
    for (size_t i = 0; i < N; i++) {
        FxTensor one = {(float *)out.data + 2 * i, FX_FLOAT32, 2, 0};
        FxLossSum alone = {0};
        fx_softmax_loss(&one, &labels[i], 2, &alone);
        chunk += fx_loss_total(&alone);
        if (i % 4096 == 4095) {
            want += chunk;
            chunk = 0;
        }
    }
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        FxLossSum loss = {0};
        for (size_t first = 0; first < N; first += batches[b]) {
            size_t n = N - first < batches[b] ? N - first : batches[b];
            FxTensor part = {(float *)out.data + 2 * first, FX_FLOAT32, 2 * n, 0};
            fx_softmax_loss(&part, labels + first, 2, &loss);
        }
        assert_true(loss.sum == want && loss.chunk == chunk && fx_loss_total(&loss) == want + chunk && loss.images == N);
    }
    tensor_free(&out);
}

static void the_softmax_layer_takes_the_number_of_classes_alone(void **state) {
    (void)state;
    FxError err = {0};
    FxLayer l = {.count = 10, .kernel = -1, .pad = -1, .stride = -1, .in = {4, 1, 1, 10}}, wrong = l;
    wrong.stride = 2;
    assert_int_equal(fx_softmax_ops.plan(&l, "output", &err), 0);
    assert_int_equal(l.out.c, 10);
    assert_int_not_equal(fx_softmax_ops.plan(&wrong, "output", &err), 0);
    assert_int_equal(err.exit_code, FX_EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_row_of_the_integer_softmax_comes_out),
        cmocka_unit_test(integer_softmax_is_that_of_the_slow_twin),
        cmocka_unit_test(integer_softmax_counts_down_to_its_last_unit),
        cmocka_unit_test(niti_cross_entropy_is_that_of_the_slow_twin_and_still_where_exponents_end),
        cmocka_unit_test(nitis_shift_by_four_is_the_quantiser_the_header_names),
        cmocka_unit_test(float32_losses_are_those_of_the_float64_twin),
        cmocka_unit_test(float32_errors_are_made_in_the_order_of_the_header),
        cmocka_unit_test(integer_p_is_within_0_7_units_of_the_softmax_and_its_logged_loss_is_exact),
        cmocka_unit_test(float_answers_take_the_lowest_index_and_a_nan_is_always_wrong),
        cmocka_unit_test(a_loss_that_is_no_number_is_seen),
        cmocka_unit_test(the_sum_of_losses_does_not_depend_on_batches),
        cmocka_unit_test(the_softmax_layer_takes_the_number_of_classes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
