// Convolution and fully connected layer: laws that hold exactly for every operand, and a direct definition by loops.
#include "tests/cast.h"
#include "tests/layer_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int channels[] = {1, 3, 4, 5, 16, 33};
enum { CHANNELS = sizeof channels / sizeof channels[0] };
static const FxType types[] = {FX_INT8, FX_UINT8, FX_INT16};

typedef void Check(const Geometry *g, const FxLayer *l, unsigned cpu, int threads);

// Every kernel, stride, padding and pair of channels; batch, sizes, types, threads and instruction set as drawn.
static void for_every_convolution(Check *check) {
    for (int kernel = 1; kernel <= 5; kernel++)
        for (int stride = 1; stride <= 3; stride++)
            for (int pad = 0; pad <= 2; pad++)
                for (int c = 0; c < CHANNELS * CHANNELS; c++) {
                    int least = kernel > 2 * pad ? kernel - 2 * pad : 1;
                    Geometry g = {&fx_conv_ops, 1 + (int)draw(3), least + (int)draw(6), least + (int)draw(6),
                                  channels[c / CHANNELS], channels[c % CHANNELS], kernel, stride, pad,
                                  types[draw(3)], types[draw(3)], types[draw(3)]};
                    FxLayer l = layer_of(&g);
                    check(&g, &l, any_cpu(), any_threads());
                }
}

static void for_every_fully_connected(Check *check) {
    for (int c = 0; c < CHANNELS * CHANNELS; c++)
        for (int t = 0; t < 27; t++) {
            Geometry g = {&fx_fc_ops, 1 + (int)draw(3), 1 + (int)draw(5), 1 + (int)draw(5), channels[c / CHANNELS],
                          channels[c % CHANNELS], 1, 1, 0, types[t % 3], types[t / 3 % 3], types[t / 9]};
            FxLayer l = layer_of(&g);
            check(&g, &l, any_cpu(), any_threads());
        }
}

static void both(Check *check) {
    for_every_convolution(check);
    for_every_fully_connected(check);
}

static int64_t at(const FxTensor *t, int i) {
    return fx_tensor_get(t, (size_t)i);
}

// y[n, oy, ox, co] by the definition of a layer of the paper, independent of what the plan noted.
static int64_t convolved(const Geometry *g, const FxTensor *x, const FxTensor *w, int n, int oy, int ox, int co) {
    int64_t sum = 0;
    for (int ky = 0; ky < g->kernel; ky++)
        for (int kx = 0; kx < g->kernel; kx++) {
            int iy = oy * g->stride - g->pad + ky, ix = ox * g->stride - g->pad + kx;
            if (iy < 0 || ix < 0 || iy >= g->h || ix >= g->w)
                continue;
            for (int ci = 0; ci < g->ci; ci++)
                sum += at(x, ((n * g->h + iy) * g->w + ix) * g->ci + ci) * at(w, ((ky * g->kernel + kx) * g->ci + ci) * g->co + co);
        }
    return sum;
}

static int64_t connected(const Geometry *g, const FxTensor *x, const FxTensor *w, int n, int co) {
    int64_t sum = 0;
    int inputs = g->h * g->w * g->ci;
    for (int i = 0; i < inputs; i++)
        sum += at(x, n * inputs + i) * at(w, i * g->co + co);
    return sum;
}

static void check_definition(const Geometry *g, const FxLayer *l, unsigned cpu, int threads) {
    char text[256];
    geometry_print(text, sizeof text, g);
    bool conv = g->ops == &fx_conv_ops;
    int oh = conv ? (g->h + 2 * g->pad - g->kernel) / g->stride + 1 : 1, i = 0;
    int ow = conv ? (g->w + 2 * g->pad - g->kernel) / g->stride + 1 : 1;
    FxTensor x = random_x(l, g), w = random_w(l, g), y = product_run(l, FX_FORWARD, &x, &w, cpu, threads, NULL);
    if (l->out.n != g->n || l->out.h != oh || l->out.w != ow || l->out.c != g->co)
        fail_msg("%s: planned %d %d %d %d, not %d %d %d %d", text, l->out.n, l->out.h, l->out.w, l->out.c, g->n, oh, ow, g->co);
    for (int n = 0; n < g->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int co = 0; co < g->co; co++, i++) {
                    int64_t want = conv ? convolved(g, &x, &w, n, oy, ox, co) : connected(g, &x, &w, n, co);
                    if (at(&y, i) != want)
                        fail_msg("%s, cpu %u, threads %d: y[%d %d %d %d] = %lld, not %lld", text, cpu, threads, n, oy, ox, co,
                                 (long long)at(&y, i), (long long)want);
                }
    tensor_free(&x);
    tensor_free(&w);
    tensor_free(&y);
}

static void forward_is_the_sum_of_the_definition(void **state) {
    (void)state;
    both(check_definition);
}

static Wide inner_product(const FxTensor *a, const FxTensor *b) {
    Wide sum = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        sum += (Wide)fx_tensor_get(a, i) * fx_tensor_get(b, i);
    return sum;
}

static void check_adjoint(const Geometry *g, const FxLayer *l, unsigned cpu, int threads) {
    FxTensor x = random_x(l, g), w = random_w(l, g), e = random_e(l, g);
    FxTensor y = product_run(l, FX_FORWARD, &x, &w, cpu, threads, NULL);
    FxTensor dx = product_run(l, FX_ERROR, &e, &w, cpu, threads, NULL);
    FxTensor dw = product_run(l, FX_GRADIENT, &x, &e, cpu, threads, NULL);
    Wide forward = inner_product(&y, &e), error = inner_product(&x, &dx), gradient = inner_product(&w, &dw);
    if (forward != error || forward != gradient) {
        char text[256];
        geometry_print(text, sizeof text, g);
        fail_msg("%s, cpu %u, threads %d: <y, e> = %lld, <x, dx> = %lld, <w, dw> = %lld (low 64 bits)", text, cpu, threads,
                 (long long)forward, (long long)error, (long long)gradient);
    }
    FxTensor *all[] = {&x, &w, &e, &y, &dx, &dw};
    for (int i = 0; i < 6; i++)
        tensor_free(all[i]);
}

static void error_and_gradient_products_are_adjoint_to_the_forward_product(void **state) {
    (void)state;
    both(check_adjoint);
}

static FxTensor sum_of(const FxTensor *a, int64_t factor, const FxTensor *b) {
    FxTensor t = tensor_new(a->type, a->count);
    for (size_t i = 0; i < a->count; i++)
        fx_tensor_set(&t, i, fx_tensor_get(a, i) + factor * fx_tensor_get(b, i));
    return t;
}

// f(u + factor * v) = f(u) + factor * f(v), f the product in its left or its right operand.
static void check_linear_in(const Geometry *g, const FxLayer *l, FxProductKind kind, bool right, unsigned cpu, int threads) {
    FxType type[FX_PRODUCTS][2] = {{g->x, g->weight}, {g->e, g->weight}, {g->x, g->e}};
    size_t size[FX_PRODUCTS][2] = {{fx_shape_count(l->in), l->weights}, {fx_shape_count(l->out), l->weights},
                                   {fx_shape_count(l->in), fx_shape_count(l->out)}};
    FxTensor other = random_codes(type[kind][!right], size[kind][!right], false);
    FxTensor u = random_codes(type[kind][right], size[kind][right], true), v = random_codes(u.type, u.count, true);
    int64_t factor = u.type != FX_UINT8 && draw(2) ? -1 : 1;
    FxTensor uv = sum_of(&u, factor, &v), y[3];
    const FxTensor *in[3] = {&u, &v, &uv};
    for (int i = 0; i < 3; i++)
        y[i] = product_run(l, kind, right ? &other : in[i], right ? in[i] : &other, cpu, threads, NULL);
    for (size_t i = 0; i < y[0].count; i++) {
        int64_t a = fx_tensor_get(&y[0], i), b = fx_tensor_get(&y[1], i), c = fx_tensor_get(&y[2], i);
        if (a + factor * b != c) {
            char text[256];
            geometry_print(text, sizeof text, g);
            fail_msg("%s, product %d, cpu %u, threads %d, sum %zu: %lld %+d * %lld is not %lld", text, (int)kind, cpu, threads, i,
                     (long long)a, (int)factor, (long long)b, (long long)c);
        }
    }
    FxTensor *all[] = {&other, &u, &v, &uv, &y[0], &y[1], &y[2]};
    for (int i = 0; i < 7; i++)
        tensor_free(all[i]);
}

static void check_linear(const Geometry *g, const FxLayer *l, unsigned cpu, int threads) {
    FxProductKind kind = (FxProductKind)draw(FX_PRODUCTS);
    check_linear_in(g, l, kind, false, cpu, threads);
    check_linear_in(g, l, kind, true, cpu, threads);
}

static void products_are_linear_in_each_operand(void **state) {
    (void)state;
    both(check_linear);
}

// All sums of all three products, one by one: adjointness binds only their inner products.
static void check_terms(const Geometry *g, const FxLayer *l, unsigned cpu, int threads) {
    if (draw(8)) // an eighth of them: the definition is slow
        return;
    FxTensor x = random_x(l, g), w = random_w(l, g), e = random_e(l, g);
    const FxTensor *operand[FX_PRODUCTS][2] = {{&x, &w}, {&e, &w}, {&x, &e}};
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        FxTensor y = product_run(l, (FxProductKind)kind, operand[kind][0], operand[kind][1], cpu, threads, NULL);
        size_t k = product_k(l, (FxProductKind)kind), first = (size_t)draw(17);
        for (size_t i = first; i < y.count; i += 17) {
            Wide want = 0;
            for (size_t j = 0; j < k; j++)
                want += product_term(l, (FxProductKind)kind, operand[kind][0], operand[kind][1], i, j);
            if (want != fx_tensor_get(&y, i)) {
                char text[256];
                geometry_print(text, sizeof text, g);
                fail_msg("%s, product %d, cpu %u, threads %d: sum %zu is %lld, not %lld", text, kind, cpu, threads, i,
                         (long long)fx_tensor_get(&y, i), (long long)want);
            }
        }
        tensor_free(&y);
    }
    tensor_free(&x);
    tensor_free(&w);
    tensor_free(&e);
}

static void every_sum_of_the_three_products_is_the_sum_of_its_terms(void **state) {
    (void)state;
    both(check_terms);
}

static void a_short_last_batch_gives_the_first_images_of_a_full_one(void **state) {
    (void)state;
    Geometry g = {&fx_conv_ops, 3, 7, 5, 5, 16, 3, 2, 1, FX_INT8, FX_INT8, FX_INT8};
    FxLayer l = layer_of(&g);
    FxTensor x = random_x(&l, &g), w = random_w(&l, &g), y = product_run(&l, FX_FORWARD, &x, &w, any_cpu(), 2, NULL);
    l.in.n = l.image.n = l.out.n = 2;
    FxTensor part = x;
    part.count = fx_shape_count(l.in);
    FxTensor short_y = product_run(&l, FX_FORWARD, &part, &w, any_cpu(), 1, NULL);
    assert_int_equal(short_y.count * 3, y.count * 2);
    assert_memory_equal(short_y.data, y.data, short_y.count * fx_type_size(y.type));
    tensor_free(&x);
    tensor_free(&w);
    tensor_free(&y);
    tensor_free(&short_y);
}

static void default_padding_of_a_convolution_keeps_odd_kernels_the_same_size(void **state) {
    (void)state;
    for (int kernel = 1; kernel <= 9; kernel++) {
        FxLayer l = {.ops = &fx_conv_ops, .count = 2, .kernel = kernel, .pad = -1, .stride = -1, .in = {1, 11, 13, 3}};
        FxError err;
        assert_int_equal(fx_conv_ops.plan(&l, "conv", &err), 0);
        assert_int_equal(l.pad, (kernel - 1) / 2);
        assert_int_equal(l.out.h, kernel % 2 ? 11 : 10);
        assert_int_equal(l.out.w, kernel % 2 ? 13 : 12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_the_sum_of_the_definition),
        cmocka_unit_test(error_and_gradient_products_are_adjoint_to_the_forward_product),
        cmocka_unit_test(products_are_linear_in_each_operand),
        cmocka_unit_test(every_sum_of_the_three_products_is_the_sum_of_its_terms),
        cmocka_unit_test(a_short_last_batch_gives_the_first_images_of_a_full_one),
        cmocka_unit_test(default_padding_of_a_convolution_keeps_odd_kernels_the_same_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
