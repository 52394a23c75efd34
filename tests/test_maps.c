// Layers without weights: max pool and rectifier against their definitions, every error and place; the sum of squares.
#include "layers/loss.h"
#include "tests/cast.h"
#include "tests/layer_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const FxType sources[] = {FX_INT8, FX_UINT8, FX_INT16, FX_INT32, FX_INT64};

static FxWork work_of(int threads) {
    return (FxWork){.threads = threads, .cpu = any_cpu()};
}

static FxTensor filled(FxType type, size_t count, int64_t low, int64_t high) {
    FxTensor t = tensor_new(type, count);
    for (size_t i = 0; i < count; i++)
        fx_tensor_set(&t, i, low + (int64_t)draw((uint64_t)(high - low + 1)));
    return t;
}

static int64_t lowest(FxType type) {
    switch (type) {
    case FX_INT8: return INT8_MIN;
    case FX_UINT8: return 0;
    case FX_INT16: return INT16_MIN;
    case FX_INT32: return INT32_MIN;
    default: return -(INT64_C(1) << 61);
    }
}

static FxLayer pool_of(int kernel, int pad, int stride, FxShape in) {
    FxError err = {0};
    FxLayer l = {.ops = &fx_max_pool_ops, .count = -1, .kernel = kernel, .pad = pad, .stride = stride, .in = in};
    if (l.ops->plan(&l, "pool", &err))
        fail_msg("%s", err.text);
    l.saved = tensor_new(FX_UINT8, fx_shape_count(l.out));
    memset(l.saved.data, 0xee, l.saved.count);
    return l;
}

static size_t index_of(FxShape s, int n, int y, int x, int c) {
    return (size_t)(((n * s.h + y) * s.w + x) * s.c + c);
}

// The element that wins window (oy, ox), by looking at all of them; its number in the input.
static size_t winner_of(const FxLayer *l, const FxTensor *x, int n, int oy, int ox, int c, int *place) {
    size_t best = SIZE_MAX;
    for (int i = 0; i < l->kernel * l->kernel; i++) {
        int y = oy * l->stride - l->pad + i / l->kernel, z = ox * l->stride - l->pad + i % l->kernel;
        if (y < 0 || z < 0 || y >= l->in.h || z >= l->in.w)
            continue;
        size_t here = index_of(l->in, n, y, z, c);
        if (best == SIZE_MAX || fx_tensor_get(x, here) > fx_tensor_get(x, best)) {
            best = here;
            *place = i;
        }
    }
    return best;
}

static void pool_print(char *text, size_t size, const FxLayer *l, FxType x, FxType e, const FxWork *work) {
    snprintf(text, size, "MP%dp%ds%d of %d x %d x %d x %d, %s, errors %s, cpu %u, threads %d", l->kernel, l->pad, l->stride, l->in.n,
             l->in.h, l->in.w, l->in.c, fx_type_name(x), fx_type_name(e), work->cpu, work->threads);
}

// One pool: outputs, places, and the errors as they arrive when added one by one.
static void check_pool(FxLayer *l, FxType source, int64_t low, int64_t high, FxType error, FxType carried, int threads) {
    char text[160];
    FxWork work = work_of(threads);
    pool_print(text, sizeof text, l, source, error, &work);
    size_t in = fx_shape_count(l->in), out = fx_shape_count(l->out), i = 0;
    FxTensor x = filled(source, in, low, high), y = tensor_new(source, out), e = filled(error, out, -127, 127);
    FxTensor dx = filled(carried, in, -5, 5), want = tensor_new(FX_INT64, in);
    l->ops->forward(l, &x, &y, &work, NULL);
    l->ops->backward_data(l, &e, &dx, &work, NULL);
    int64_t sent = 0, arrived = 0;
    for (int n = 0; n < l->out.n; n++)
        for (int oy = 0; oy < l->out.h; oy++)
            for (int ox = 0; ox < l->out.w; ox++)
                for (int c = 0; c < l->out.c; c++, i++) {
                    int place = -1, saved = (int)fx_tensor_get(&l->saved, i);
                    size_t w = winner_of(l, &x, n, oy, ox, c, &place);
                    if (fx_tensor_get(&y, i) != fx_tensor_get(&x, w) || saved != place)
                        fail_msg("%s: y[%d %d %d %d] = %lld from place %d, not %lld from %d", text, n, oy, ox, c,
                                 (long long)fx_tensor_get(&y, i), saved, (long long)fx_tensor_get(&x, w), place);
                    fx_tensor_set(&want, w, fx_tensor_get(&want, w) + fx_tensor_get(&e, i));
                    sent += fx_tensor_get(&e, i);
                }
    for (i = 0; i < in; i++) {
        arrived += fx_tensor_get(&dx, i);
        if (fx_tensor_get(&dx, i) != fx_tensor_get(&want, i))
            fail_msg("%s: dx[%zu] = %lld, not %lld", text, i, (long long)fx_tensor_get(&dx, i), (long long)fx_tensor_get(&want, i));
    }
    if (sent != arrived)
        fail_msg("%s: errors of %lld in all were sent, %lld arrived", text, (long long)sent, (long long)arrived);
    FxTensor *all[] = {&x, &y, &e, &dx, &want};
    for (i = 0; i < 5; i++)
        tensor_free(all[i]);
}

static const int channels[] = {1, 2, 3, 5, 16, 17, 33, 70};

static void every_pool_takes_the_first_largest_and_sends_each_error_to_it_once(void **state) {
    (void)state;
    for (int kernel = 1; kernel <= 5; kernel++)
        for (int stride = 1; stride <= kernel + 2; stride++)
            for (int pad = 0; pad <= kernel / 2; pad++)
                for (int h = 1; h <= 9; h++) {
                    int w = h + (int)draw(3);
                    if (h + 2 * pad < kernel)
                        continue;
                    bool apart = stride >= kernel;
                    FxShape in = {1 + (int)draw(3), h, w, channels[draw(8)]};
                    FxLayer l = pool_of(kernel, pad, stride, in);
                    for (int s = 0; s < 5; s++) {
                        FxType source = sources[s];
                        int64_t low = lowest(source), high = source == FX_UINT8 ? 255 : -low - 1;
                        check_pool(&l, source, low, high, FX_INT8, apart ? FX_INT8 : FX_INT16, any_threads());
                        check_pool(&l, source, source == FX_UINT8 ? 0 : -2, 0, FX_INT16, FX_INT16, 1); // ties
                        check_pool(&l, source, low, source == FX_UINT8 ? 1 : -1, FX_INT32, FX_INT64, any_threads()); // padding would win
                    }
                    tensor_free(&l.saved);
                }
}

static void a_default_pool_is_unpadded_and_strides_by_its_size(void **state) {
    (void)state;
    FxLayer l = pool_of(2, -1, -1, (FxShape){2, 5, 7, 3});
    assert_int_equal(l.pad, 0);
    assert_int_equal(l.stride, 2);
    assert_int_equal(l.out.h, 2); // the last row and column belong to no window
    assert_int_equal(l.out.w, 3);
    assert_int_equal(l.out.n, 2);
    assert_int_equal(l.out.c, 3);
    tensor_free(&l.saved);
}

static void errors_of_four_overlapping_windows_meet_and_are_added_beyond_8_bits(void **state) {
    (void)state;
    FxLayer l = pool_of(3, 0, 2, (FxShape){1, 5, 5, 1}); // MP3s2: the middle lies in all four windows
    FxWork work = work_of(1);
    FxTensor x = tensor_new(FX_INT32, 25), y = tensor_new(FX_INT32, 4), e = tensor_new(FX_INT8, 4), dx = tensor_new(FX_INT16, 25);
    fx_tensor_set(&x, 12, 9);
    for (size_t i = 0; i < 4; i++)
        fx_tensor_set(&e, i, 127);
    l.ops->forward(&l, &x, &y, &work, NULL);
    l.ops->backward_data(&l, &e, &dx, &work, NULL);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(fx_tensor_get(&dx, i), i == 12 ? 508 : 0);
    FxTensor *all[] = {&x, &y, &e, &dx, &l.saved};
    for (size_t i = 0; i < 5; i++)
        tensor_free(all[i]);
}

static void a_pool_refuses_wrong_numbers_with_exit_code_2(void **state) {
    (void)state;
    static const struct {
        int count, kernel, pad, size;
        const char *says;
    } wrong[] = {{-1, -1, -1, 8, "1 to 15"}, {4, 2, -1, 8, "window alone"}, {-1, 16, -1, 20, "1 to 15"},
                 {-1, 3, 2, 8, "at most 1"}, {-1, 9, -1, 8, "9x9 window does not fit 8x8"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        FxError err = {0};
        FxLayer l = {.count = wrong[i].count, .kernel = wrong[i].kernel, .pad = wrong[i].pad, .stride = -1,
                     .in = {1, wrong[i].size, wrong[i].size, 1}};
        if (fx_max_pool_ops.plan(&l, "column 1: max-pool", &err) == 0)
            fail_msg("pool %zu was planned", i);
        if (err.exit_code != FX_EXIT_USAGE || !strstr(err.text, wrong[i].says) || strncmp(err.text, "column 1: max-pool", 18))
            fail_msg("pool %zu: exit code %d, \"%s\", which does not say \"%s\"", i, (int)err.exit_code, err.text, wrong[i].says);
    }
}

static void check_relu(FxType type, int64_t low, int64_t high, size_t n, bool in_place, int threads) {
    FxWork work = work_of(threads);
    FxError err;
    FxLayer l = {.ops = &fx_relu_ops, .count = -1, .kernel = -1, .pad = -1, .stride = -1, .in = {1, 1, 1, (int)n}};
    assert_int_equal(l.ops->plan(&l, "relu", &err), 0);
    assert_int_equal(fx_shape_count(l.out), n);
    assert_true(l.in_place);
    l.saved = filled(FX_UINT8, n, 2, 255);
    FxTensor x = filled(type, n, low, high), e = filled(type, n, low, high), y = tensor_new(type, n), dx = tensor_new(type, n);
    FxTensor y0 = tensor_new(type, n), dx0 = tensor_new(type, n);
    for (size_t i = 0; i < n; i++) {
        int64_t v = fx_tensor_get(&x, i);
        fx_tensor_set(&y0, i, v > 0 ? v : 0);
        fx_tensor_set(&dx0, i, v > 0 ? fx_tensor_get(&e, i) : 0);
    }
    l.ops->forward(&l, &x, in_place ? &x : &y, &work, NULL);
    l.ops->backward_data(&l, &e, in_place ? &e : &dx, &work, NULL);
    for (size_t i = 0; i < n; i++) {
        int64_t got = fx_tensor_get(in_place ? &x : &y, i), error = fx_tensor_get(in_place ? &e : &dx, i);
        if (got != fx_tensor_get(&y0, i) || error != fx_tensor_get(&dx0, i) || fx_tensor_get(&l.saved, i) != (got > 0))
            fail_msg("%s, in place %d, cpu %u, threads %d, element %zu of %zu: y %lld, not %lld; dx %lld, not %lld; mask %lld",
                     fx_type_name(type), in_place, work.cpu, threads, i, n, (long long)got, (long long)fx_tensor_get(&y0, i),
                     (long long)error, (long long)fx_tensor_get(&dx0, i), (long long)fx_tensor_get(&l.saved, i));
    }
    FxTensor *all[] = {&x, &e, &y, &dx, &y0, &dx0, &l.saved};
    for (size_t i = 0; i < 7; i++)
        tensor_free(all[i]);
}

static void relu_passes_what_is_above_zero_and_its_error_only(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 63, 64, 65, 1000, FX_TASK, FX_TASK + 1, 2 * FX_TASK + 77};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int t = 0; t < 5; t++)
            for (int i = 0; i < 4; i++) {
                int64_t low = lowest(sources[t]), high = sources[t] == FX_UINT8 ? 255 : -low - 1;
                check_relu(sources[t], i < 2 ? low : low < 0 ? -1 : 0, i < 2 ? high : 1, sizes[s], i % 2, any_threads());
            }
}

typedef struct Answer {
    Wide loss;
    uint64_t wrong, ties;
} Answer;

static Answer answer_of(const FxTensor *out, const uint8_t *labels, int classes, int64_t one, const FxTensor *e) {
    Answer a = {0};
    for (int n = 0; n < (int)(out->count / (size_t)classes); n++) {
        const size_t row = (size_t)(n * classes);
        int at_top = 0, first = -1;
        for (int c = 0; c < classes; c++) {
            bool largest = true;
            for (int d = 0; d < classes; d++)
                largest &= fx_tensor_get(out, row + (size_t)d) <= fx_tensor_get(out, row + (size_t)c);
            at_top += largest;
            first = largest && first < 0 ? c : first;
            Wide error = (Wide)fx_tensor_get(out, row + (size_t)c) - (c == labels[n] ? one : 0);
            a.loss += error * error;
            if (e && error != fx_tensor_get(e, row + (size_t)c))
                fail_msg("image %d class %d: error %lld, not %lld", n, c, (long long)fx_tensor_get(e, row + (size_t)c), (long long)error);
        }
        a.wrong += first != labels[n];
        a.ties += at_top > 1;
    }
    return a;
}

static void check_sse(FxType type, int64_t low, int64_t high, int classes, int images, int64_t one, FxType error) {
    size_t count = (size_t)(images * classes);
    FxTensor out = filled(type, count, low, high), e = tensor_new(error, count);
    FxAnswers got = {.loss = 7, .wrong = 5, .ties = 3}, silent = {0}; // what was there is added to
    uint8_t labels[64];
    for (int i = 0; i < images; i++)
        labels[i] = (uint8_t)draw((uint64_t)classes);
    fx_sse(&out, labels, classes, one, &e, &got);
    fx_sse(&out, labels, classes, one, NULL, &silent);
    Answer want = answer_of(&out, labels, classes, one, &e);
    if (got.loss != (unsigned __int128)want.loss + 7 || got.wrong != want.wrong + 5 || got.ties != want.ties + 3 ||
        silent.loss + 7 != got.loss || silent.wrong + 5 != got.wrong || silent.ties + 3 != got.ties)
        fail_msg("%s %lld..%lld, %d classes, %d images: loss %llu, not %llu (low 64 bits); wrong %llu, not %llu; ties %llu, not %llu",
                 fx_type_name(type), (long long)low, (long long)high, classes, images, (unsigned long long)(got.loss - 7),
                 (unsigned long long)want.loss, (unsigned long long)got.wrong - 5, (unsigned long long)want.wrong,
                 (unsigned long long)got.ties - 3, (unsigned long long)want.ties);
    tensor_free(&out);
    tensor_free(&e);
}

static void sum_of_squares_errors_and_answers_are_those_of_the_definition(void **state) {
    (void)state;
    for (int classes = 1; classes <= 12; classes++)
        for (int images = 1; images <= 20; images += 3) {
            check_sse(FX_INT8, -127, 127, classes, images, 128, FX_INT32);
            check_sse(FX_INT8, 0, 1, classes, images, 128, FX_INT64); // ties
            check_sse(FX_INT32, -3, -2, classes, images, 1 << 20, FX_INT64);
            check_sse(FX_INT32, INT32_MIN, INT32_MAX, classes, images, 1 << 10, FX_INT64);
            check_sse(FX_INT64, -(INT64_C(1) << 59), INT64_C(1) << 59, classes, images, INT64_C(1) << 60, FX_INT64);
        }
}

static void the_lowest_index_answers_and_a_tie_below_the_top_is_none(void **state) {
    (void)state;
    static const int8_t out[4][3] = {{5, 5, 1}, {1, 5, 5}, {2, 2, 7}, {3, 3, 3}};
    static const uint8_t labels[] = {1, 1, 2, 0};
    FxTensor t = {(void *)(uintptr_t)out, FX_INT8, 12, 0};
    FxAnswers a = {0};
    fx_sse(&t, labels, 3, 128, NULL, &a);
    assert_int_equal(a.wrong, 1); // the first: 0 answers, 1 is right
    assert_int_equal(a.ties, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pool_takes_the_first_largest_and_sends_each_error_to_it_once),
        cmocka_unit_test(a_default_pool_is_unpadded_and_strides_by_its_size),
        cmocka_unit_test(errors_of_four_overlapping_windows_meet_and_are_added_beyond_8_bits),
        cmocka_unit_test(a_pool_refuses_wrong_numbers_with_exit_code_2),
        cmocka_unit_test(relu_passes_what_is_above_zero_and_its_error_only),
        cmocka_unit_test(sum_of_squares_errors_and_answers_are_those_of_the_definition),
        cmocka_unit_test(the_lowest_index_answers_and_a_tie_below_the_top_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
