// Time of fx_accumulate_f32 over that of fx_gemm_f32 for the same product, in the same run, on one and two threads, for
// the policies that training uses. A figure is the fastest of several runs of each in turn. Samples of each result are
// compared with the specification.
// Usage: bench_accumulator_f32 [--cpu LEVEL] [NAME of a shape]...
#include "bench/peak.h"
#include "bench/shapes.h"
#include "formats/cpu.h"
#include "layers/accumulator_exact.h"
#include "layers/accumulator_f32.h"
#include "layers/gemm_f32.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, MOST_THREADS = 2, SAMPLES = 10 };

typedef struct Line {
    const char *policy;
    int chunk;
    bool counting, images_last;
} Line;

static const Line lines[] = {
    {"float:e6m9", 64, true, false},
    {"float:e6m9", 64, false, false},
    {"float:e6m9", 0, true, false},
    {"float:e6m9/toward-zero", 0, true, false},
    {"float:e6m9/toward-zero", 0, false, false},
    {"float:e6m9/toward-zero", 64, false, false},
    {"float:e8m7/toward-zero", 0, false, false},
    {"float:e5m10/toward-zero", 64, true, false},
    {"float:e6m9/stochastic:8", 64, true, false},
    {"float:e6m9/stochastic:8", 0, false, false},
    {"float:e6m9/stochastic:8:a", 64, false, false},
    {"fp32", 0, false, false},
    {"fp32", 32, false, false},
    {"fp32", 4096, false, false},
    {"fp32", 32, false, true},
};

// Convolutions: the gradient's left operand is the image by patches.
typedef struct Shape {
    const char *name;
    int images, size, channels, kernel, pad, outputs;
} Shape;

static const Shape shapes[] = {
    {"LeNet conv1", 128, 28, 1, 5, 0, 32},
    {"LeNet conv2", 128, 12, 32, 5, 0, 64},
    {"VGG conv4", 8, 16, 256, 3, 1, 256},
    {"LeNet FC", 128, 1, 1024, 1, 0, 512},
};

// Values of four bits, as those of FP8, every fourth of them zero; or all 24 bits.
static float *random_values(size_t count, bool narrow) {
    float *values = fx_bench_allocate(count * sizeof *values);
    uint32_t x = 12345;
    for (size_t i = 0; i < count; i++) {
        x = x * 1664525u + 1013904223u;
        float mantissa = narrow ? (float)((int)(x >> 28 & 7) + 8) / 8 : (float)(x >> 8) * 0x1p-24f;
        values[i] = (x >> 16 & 3) == 0 ? 0 : ldexpf(x >> 27 & 1 ? mantissa : -mantissa, -(int)(x >> 19 & 7));
    }
    return values;
}

static double best_of(const FxAccumulateF32 *p, const FxAccumulator *acc, const FxRandom *random, const FxWork *work, bool counting,
                      const FxProductF32 *gemm, const FxWork *gemm_work, double *plain) {
    double best = 1e9;
    *plain = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        FxAccumulatorCountsF32 counts = {0};
        double start = fx_bench_now();
        fx_gemm_f32(gemm, gemm_work);
        double middle = fx_bench_now();
        fx_accumulate_f32(p, acc, random, work, counting ? &counts : NULL);
        double end = fx_bench_now();
        *plain = fmin(*plain, middle - start);
        best = fmin(best, end - middle);
    }
    return best;
}

static void read_row(float *out, const FxMatrix *a, size_t row) {
    size_t k = fx_matrix_k(a);
    if (a->patch_rows)
        fx_matrix_patches(out, 1, a, 0, k, row, 1);
    else
        fx_matrix_patches(out, k, a, row, 1, 0, k);
}

static void require_equal(const char *name, const FxAccumulateF32 *p, const FxAccumulator *acc, const FxRandom *random) {
    size_t m = fx_matrix_rows(&p->a), n = fx_matrix_rows(&p->b), k = fx_matrix_k(&p->a);
    float *a = fx_bench_allocate(k * sizeof *a), *b = fx_bench_allocate(k * sizeof *b);
    uint32_t x = 7;
    for (int i = 0; i < SAMPLES; i++) {
        x = x * 1664525u + 1013904223u;
        size_t row = (size_t)x * m >> 32, column = (size_t)(x * 747796405u) * n >> 32;
        read_row(a, &p->a, row);
        read_row(b, &p->b, column);
        FxExactOutput o = {acc, &p->a, {a, FX_FLOAT32, 0}, {b, FX_FLOAT32, 0}, k, NULL, random, row * n + column};
        uint32_t want = fx_accumulate_exact(&o, NULL);
        if (memcmp(&p->c[row * n + column], &want, sizeof want)) {
            fprintf(stderr, "bench_accumulator_f32: %s: wrong sums\n", name);
            exit(1);
        }
    }
    free(a);
    free(b);
}

static void time_shape(const Shape *s, bool gradient, bool narrow, unsigned cpu) {
    int out = s->size + 2 * s->pad - s->kernel + 1, patch = s->kernel * s->kernel * s->channels, positions = s->images * out * out;
    float *x = random_values((size_t)(s->images * s->size * s->size * s->channels), narrow);
    float *y = random_values((size_t)(gradient ? positions : patch) * (size_t)s->outputs, narrow);
    FxMatrix image = {.data = x, .type = FX_FLOAT32, .images = s->images, .height = s->size, .width = s->size, .channels = s->channels,
                      .out_height = out, .out_width = out, .kernel_height = s->kernel, .kernel_width = s->kernel, .stride = 1, .pad = s->pad,
                      .patch_rows = gradient};
    FxMatrix right = fx_matrix_plain(y, FX_FLOAT32, gradient ? positions : patch, s->outputs, true);
    size_t m = fx_matrix_rows(&image), n = (size_t)s->outputs;
    FxAccumulateF32 p = {.a = image, .b = right, .c = fx_bench_allocate(m * n * sizeof(float))};
    FxProductF32 gemm = {.a = image, .b = right, .c = p.c, .chunk = gradient ? 4096 : 0};
    FxRandom random = {fx_random_source(0), 8, {1, 2, 3}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (lines[i].images_last && !gradient)
            continue;
        FxAccumulator acc = {.group = 1, .chunk = lines[i].chunk, .order = lines[i].images_last ? FX_ORDER_OH_OW_N : FX_ORDER_N_OH_OW};
        FxError err = {0};
        if (fx_policy_parse(&acc.inner, lines[i].policy, &err) < 0)
            exit(1);
        acc.outer = acc.inner;
        printf("%-12s %-8s %-6s %-26s chunk %4d%s%s", s->name, gradient ? "gradient" : "forward", narrow ? "narrow" : "wide", lines[i].policy,
               lines[i].chunk, lines[i].counting ? ", counts" : "        ", lines[i].images_last ? ", oh-ow-n" : "         ");
        for (int threads = 1; threads <= MOST_THREADS; threads++) {
            FxWork work = {.threads = threads, .cpu = cpu}, gemm_work = work;
            work.scratch = fx_bench_allocate(work.scratch_size = fx_accumulate_f32_scratch(&p, &work));
            gemm_work.scratch = fx_bench_allocate(gemm_work.scratch_size = fx_gemm_f32_scratch(&gemm, &gemm_work));
            double plain, time = best_of(&p, &acc, &random, &work, lines[i].counting, &gemm, &gemm_work, &plain);
            require_equal(s->name, &p, &acc, &random);
            printf(" | %9.3f ms %5.1f times", time * 1e3, time / plain);
            free(work.scratch);
            free(gemm_work.scratch);
        }
        printf("\n");
        fflush(stdout);
    }
    free(x);
    free(y);
    free(p.c);
}

int main(int argc, char **argv) {
    unsigned cpu;
    int at = fx_bench_cpu(&cpu, argc, argv);
    printf("cpu %s; time and how many times fx_gemm_f32's, on one thread | two threads\n", fx_cpu_name(cpu));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int kind = 0; fx_bench_wanted(argc - at, argv + at, "all", shapes[i].name) && kind < 4; kind++)
            time_shape(&shapes[i], kind & 1, kind < 2, cpu);
    return 0;
}
