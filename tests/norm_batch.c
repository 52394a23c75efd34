#include "tests/norm_batch.h"

#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const Kind kinds[KINDS] = {
    {"l2", FX_NORM_L2, 1, false},         {"l1", FX_NORM_L1, 1, false},         {"range, m = 1", FX_NORM_RANGE, 1, false},
    {"range, m = 4", FX_NORM_RANGE, 4, false}, {"range, m = 16", FX_NORM_RANGE, 16, false}, {"shift", FX_NORM_SHIFT, 1, false},
    {"l2, detached", FX_NORM_L2, 1, true}, {"l1, detached", FX_NORM_L1, 1, true}, {"range, detached", FX_NORM_RANGE, 4, true},
    {"shift, detached", FX_NORM_SHIFT, 1, true}};

FxNormRule rule_of(const Kind *k, size_t n) {
    FxNormRule rule = {.kind = k->kind, .chunks = k->chunks, .constant = FX_NORM_CODE, .nominal = n, .detach = k->detach, .average_shift = 3};
    if (k->kind == FX_NORM_RANGE && n / (size_t)k->chunks < 2)
        rule.nominal = 2 * (size_t)k->chunks; // the batch is a short one
    return rule;
}

SlowNorm slow_of(const FxNormRule *rule, double epsilon) {
    SlowNorm s = {.kind = rule->kind, .chunks = (size_t)rule->chunks, .epsilon = epsilon, .detach = rule->detach};
    if (rule->kind == FX_NORM_RANGE)
        s.constant = slow_norm_constant(rule->constant, floor((double)rule->nominal / rule->chunks));
    return s;
}

double unit_draw(void) {
    return (double)draw(UINT64_C(1) << 40) * 0x1p-39 - 1;
}

double normal_draw(void) {
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += unit_draw() / 2;
    return sum;
}

void expect_about(const char *kind, const char *what, size_t i, double got, double want, double error) {
    if (!(fabs(got - want) <= error))
        fail_msg("%s: %s[%zu] is %.9g, not %.9g", kind, what, i, got, want);
}

static const float guard = 12345;

float *guarded(size_t n) {
    float *p = malloc((n + 1) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i <= n; i++)
        p[i] = guard;
    return p;
}

FxTensor small(const Batch *b, int i) {
    return (FxTensor){.data = b->small[i], .type = FX_FLOAT32, .count = b->c};
}

FxTensor large(const Batch *b, int i) {
    return (FxTensor){.data = b->large[i], .type = FX_FLOAT32, .count = b->n * b->c};
}

Batch batch_of(const Kind *kind, size_t n, size_t c) {
    Batch b = {.rule = rule_of(kind, n), .n = n, .c = c};
    for (int i = 0; i < SMALL; i++)
        b.small[i] = guarded(c);
    for (int i = 0; i < LARGE; i++)
        b.large[i] = guarded(n * c);
    return b;
}

void batch_free(Batch *b) {
    for (int i = 0; i < SMALL; i++)
        free(b->small[i]);
    for (int i = 0; i < LARGE; i++)
        free(b->large[i]);
}

void batch_fill(Batch *b) {
    for (size_t i = 0; i < b->c; i++) {
        double size = exp(normal_draw()), place = 2 * normal_draw();
        b->small[GAMMA][i] = (float)(0.2 + exp(normal_draw()));
        b->small[BETA][i] = (float)normal_draw();
        for (size_t j = 0; j < b->n; j++) {
            b->large[X][j * b->c + i] = (float)(size * (exp(normal_draw()) + place));
            b->large[GY][j * b->c + i] = (float)(normal_draw() + 0.3 * unit_draw());
        }
    }
}

void batch_copy(Batch *to, const Batch *b) {
    memcpy(to->large[X], b->large[X], b->n * b->c * sizeof(float));
    memcpy(to->large[GY], b->large[GY], b->n * b->c * sizeof(float));
    memcpy(to->small[GAMMA], b->small[GAMMA], b->c * sizeof(float));
    memcpy(to->small[BETA], b->small[BETA], b->c * sizeof(float));
}

FxWork work_of(const Batch *b, unsigned cpu, int threads) {
    size_t size = fx_norm_scratch_f32(&b->rule, b->n, b->c);
    FxWork work = {.threads = threads, .cpu = cpu, .scratch_size = size, .scratch = aligned_alloc(64, (size + sizeof guard + 63) / 64 * 64)};
    assert_non_null(work.scratch);
    memset(work.scratch, 0xFF, size);
    memcpy((char *)work.scratch + size, &guard, sizeof guard);
    return work;
}

void work_free(const FxWork *work) {
    assert_memory_equal((char *)work->scratch + work->scratch_size, &guard, sizeof guard);
    free(work->scratch);
}

static void statistics(const Batch *b, const FxWork *work) {
    FxTensor x = large(b, X), mean = small(b, MEAN), scale = small(b, SCALE);
    fx_norm_mean_f32(&x, &mean, work);
    fx_norm_scale_f32(&b->rule, &x, &mean, &scale, work);
}

static void forward(const Batch *b, const FxWork *work) {
    FxTensor x = large(b, X), y = large(b, Y), xhat = large(b, XHAT), y2 = large(b, Y_OF_XHAT), mean = small(b, MEAN),
             scale = small(b, SCALE), gamma = small(b, GAMMA), beta = small(b, BETA);
    fx_norm_apply_f32(&b->rule, &x, &mean, &scale, &gamma, &beta, &y, work);
    fx_norm_xhat_f32(&x, &mean, &scale, &xhat, work);
    fx_norm_affine_f32(&b->rule, &xhat, &gamma, &beta, &y2, work);
}

void backward(const Batch *b, int dx_place, const FxWork *work) {
    FxTensor x = large(b, X), gy = large(b, GY), dx = large(b, dx_place), mean = small(b, MEAN), scale = small(b, SCALE),
             gamma = small(b, GAMMA), dgamma = small(b, DGAMMA), dbeta = small(b, DBETA);
    fx_norm_backward_f32(&b->rule, &x, &mean, &scale, &gamma, &gy, &dgamma, &dbeta, &dx, work);
}

void run(const Batch *b, unsigned cpu, int threads) {
    FxWork work = work_of(b, cpu, threads);
    statistics(b, &work);
    forward(b, &work);
    backward(b, DX, &work);
    work_free(&work);
    for (int i = 0; i < SMALL; i++)
        assert_float_equal(b->small[i][b->c], guard, 0);
    for (int i = 0; i < LARGE; i++)
        assert_float_equal(b->large[i][b->n * b->c], guard, 0);
}
