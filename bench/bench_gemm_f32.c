// Speed of fx_gemm_f32 in GMAC/s and as a share of the fused multiply-adds that the machine can do, measured in the same
// run, on one and two threads: plain products, then those of real convolutions and fully connected layers with their
// im2col. A figure is the fastest of nine, the peak that of just before and after: others may use the machine too. Samples
// of each result are compared with their definition before anything is timed. Usage: bench_gemm_f32 [--cpu LEVEL]
// [plain|net|NAME of a line]...
#include "bench/peak.h"
#include "formats/cpu.h"
#include "layers/gemm_f32.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, MOST_THREADS = 2, BATCH = 128, CHUNK = 4096, SAMPLES = 50 };
static const double SAMPLE_SECONDS = 2e-3; // a sample repeats shorter products

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL) {
        fprintf(stderr, "bench_gemm_f32: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

static float *random_values(size_t count) {
    float *values = allocate(count * sizeof *values);
    uint32_t x = 12345;
    for (size_t i = 0; i < count; i++) {
        x = x * 1664525u + 1013904223u;
        values[i] = (float)((int32_t)x >> 8) * 0x1p-23f;
    }
    return values;
}

static float element(const FxMatrix *a, size_t row, size_t k) {
    float x;
    fx_matrix_patches(&x, 1, a, a->patch_rows ? k : row, 1, a->patch_rows ? row : k, 1);
    return x;
}

static void require_equal(const char *name, const FxProductF32 *p) {
    const size_t m = fx_matrix_rows(&p->a), n = fx_matrix_rows(&p->b), k = fx_matrix_k(&p->a);
    uint32_t x = 7;
    for (int i = 0; i < SAMPLES; i++) {
        x = x * 1664525u + 1013904223u;
        const size_t row = (size_t)x * m >> 32, column = (size_t)(x * 747796405u) * n >> 32;
        float sum = 0, all = 0;
        for (size_t t = 0; t < k; t++) {
            sum = fmaf(element(&p->a, row, t), element(&p->b, column, t), sum);
            if (p->chunk > 0 && ((t + 1) % p->chunk == 0 || t + 1 == k)) {
                all += sum;
                sum = 0;
            }
        }
        if (p->c[row * n + column] != (p->chunk > 0 ? all : sum)) {
            fprintf(stderr, "bench_gemm_f32: %s: wrong sums\n", name);
            exit(1);
        }
    }
}

static double seconds_of(const FxProductF32 *p, const FxWork *work, int repeats) {
    const double start = fx_bench_now();
    for (int i = 0; i < repeats; i++)
        fx_gemm_f32(p, work);
    return (fx_bench_now() - start) / repeats;
}

static void time_product(const char *name, const char *kind, FxProductF32 p, unsigned cpu) {
    const size_t m = fx_matrix_rows(&p.a), n = fx_matrix_rows(&p.b), k = fx_matrix_k(&p.a);
    const double macs = (double)m * (double)n * (double)k * 1e-9;
    p.c = allocate(m * n * sizeof *p.c);
    printf("%-12s %-8s %6zu x %6zu x %4zu", name, kind, m, k, n);
    size_t most = 0;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        FxWork work = {.threads = threads, .cpu = cpu};
        work.scratch_size = fx_gemm_f32_scratch(&p, &work);
        work.scratch = allocate(work.scratch_size);
        most = work.scratch_size > most ? work.scratch_size : most;
        fx_gemm_f32(&p, &work);
        require_equal(name, &p);
        const double once = seconds_of(&p, &work, 1);
        const int repeats = once > SAMPLE_SECONDS ? 1 : (int)(SAMPLE_SECONDS / once) + 1;
        double best = 1e9, peak = fx_bench_peak_f32(cpu, threads);
        for (int i = 0; i < ROUNDS; i++)
            best = fmin(best, seconds_of(&p, &work, repeats));
        peak = fmax(peak, fx_bench_peak_f32(cpu, threads));
        printf(" | %9.3f ms %6.1f of %6.1f %3.0f%%", 1e3 * best, macs / best, peak, 100 * macs / best / peak);
        free(work.scratch);
    }
    printf(" | %5.1f MB\n", (double)most * 1e-6);
    fflush(stdout);
    free(p.c);
}

typedef struct Shape {
    const char *name;
    int m, k, n;
} Shape;

static const Shape shapes[] = {
    {"LeNet conv1", 73728, 25, 32},    {"LeNet conv2", 8192, 800, 64},    {"LeNet FC", 128, 1024, 512},
    {"VGG conv2", 131072, 1152, 128},  {"VGG conv4", 32768, 2304, 256},   {"VGG conv6", 8192, 4608, 512},
};
static const char *const kinds[] = {"forward", "error", "gradient"};

static void time_plain(const Shape *s, unsigned cpu) {
    const size_t m = (size_t)s->m, k = (size_t)s->k, n = (size_t)s->n;
    float *x = random_values(m * k), *y = random_values((m > k ? m : k) * n);
    for (int kind = 0; kind < 3; kind++) {
        FxProductF32 p = {.a = fx_matrix_plain(x, FX_FLOAT32, s->m, s->k, kind == 2), .chunk = kind == 2 ? CHUNK : 0};
        p.b = kind == 0   ? fx_matrix_plain(y, FX_FLOAT32, s->k, s->n, true)
              : kind == 1 ? fx_matrix_plain(y, FX_FLOAT32, s->n, s->k, false)
                          : fx_matrix_plain(y, FX_FLOAT32, s->m, s->n, true);
        time_product(s->name, kinds[kind], p, cpu);
    }
    free(x);
    free(y);
}

typedef struct Conv {
    const char *name;
    int size, channels, outputs, kernel, pad; // size 1: fully connected
    const char *products;                     // f, e, g
} Conv;

static const Conv convs[] = {
    {"LeNet conv1", 28, 1, 32, 5, 0, "fg"},   {"LeNet conv2", 12, 32, 64, 5, 0, "feg"},
    {"VGG conv1", 32, 3, 128, 3, 1, "fg"},    {"VGG conv2", 32, 128, 128, 3, 1, "feg"},
    {"VGG conv6", 8, 512, 512, 3, 1, "feg"},  {"FC 8192x1024", 1, 8192, 1024, 1, 0, "feg"},
    {"FC 1024x512", 1, 1024, 512, 1, 0, "feg"}, {"FC 512x10", 1, 512, 10, 1, 0, "feg"},
};

// A product as its layer makes it, from x, e and w.
static FxProductF32 conv_product(const Conv *v, char which, const float *x, const float *e, const float *w) {
    const int out = v->size + 2 * v->pad - v->kernel + 1, taps = v->kernel * v->kernel;
    FxProductF32 p = {0};
    const FxMatrix image = {.data = x, .type = FX_FLOAT32, .images = BATCH, .height = v->size, .width = v->size,
                            .channels = v->channels, .out_height = out, .out_width = out, .kernel_height = v->kernel,
                            .kernel_width = v->kernel, .stride = 1, .pad = v->pad};
    if (which == 'f') {
        p.a = image;
        p.b = fx_matrix_plain(w, FX_FLOAT32, taps * v->channels, v->outputs, true);
    } else if (which == 'e') {
        p.a = (FxMatrix){.data = e, .type = FX_FLOAT32, .images = BATCH, .height = out, .width = out,
                         .channels = v->outputs, .out_height = v->size, .out_width = v->size,
                         .kernel_height = v->kernel, .kernel_width = v->kernel, .stride = 1, .pad = v->pad,
                         .gather = true};
        p.b = (FxMatrix){.data = w, .type = FX_FLOAT32, .images = 1, .height = taps, .width = v->channels,
                         .channels = v->outputs, .out_height = 1, .out_width = v->channels, .kernel_height = taps,
                         .kernel_width = 1, .stride = 1};
    } else {
        p.a = image;
        p.a.patch_rows = true;
        p.b = fx_matrix_plain(e, FX_FLOAT32, BATCH * out * out, v->outputs, true);
        p.chunk = CHUNK;
    }
    return p;
}

static void time_conv(const Conv *v, unsigned cpu) {
    const size_t out = (size_t)(v->size + 2 * v->pad - v->kernel + 1);
    float *x = random_values((size_t)BATCH * (size_t)(v->size * v->size * v->channels));
    float *e = random_values((size_t)BATCH * out * out * (size_t)v->outputs);
    float *w = random_values((size_t)(v->kernel * v->kernel * v->channels) * (size_t)v->outputs);
    for (const char *which = v->products; *which; which++)
        time_product(v->name, kinds[*which == 'f' ? 0 : *which == 'e' ? 1 : 2], conv_product(v, *which, x, e, w), cpu);
    free(x);
    free(e);
    free(w);
}

static bool wanted(int argc, char **argv, const char *section, const char *name) {
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], section) || !strcmp(argv[i], name))
            return true;
    return argc == 0;
}

int main(int argc, char **argv) {
    unsigned cpu = fx_cpu_detect();
    FxError err = {0};
    int at = 1;
    if (argc > 2 && !strcmp(argv[1], "--cpu")) {
        if (fx_cpu_parse(&cpu, argv[2], &err) < 0) {
            fprintf(stderr, "bench_gemm_f32: %s\n", err.text);
            return 2;
        }
        at = 3;
    }
    printf("cpu %s; M x K x N; time, GMAC/s of the peak's, share on one thread | two threads | scratch\n", fx_cpu_name(cpu));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (wanted(argc - at, argv + at, "plain", shapes[i].name))
            time_plain(&shapes[i], cpu);
    printf("products of layers, batch %d, im2col included\n", BATCH);
    for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++)
        if (wanted(argc - at, argv + at, "net", convs[i].name))
            time_conv(&convs[i], cpu);
    return 0;
}
