// Speed of fx_gemm_f32 in GMAC/s and as a share of the fused multiply-adds that the machine can do, measured in the same
// run, on one and two threads: plain products, then those of real convolutions and fully connected layers with their
// im2col. A figure is the fastest of nine, the peak that of just before and after: others may use the machine too. Samples
// of each result are compared with their definition before anything is timed. Usage: bench_gemm_f32 [--cpu LEVEL]
// [plain|net|NAME of a line]...
#include "bench/peak.h"
#include "bench/shapes.h"
#include "formats/cpu.h"
#include "layers/gemm_f32.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, MOST_THREADS = 2, CHUNK = 4096, SAMPLES = 50 };
static const double SAMPLE_SECONDS = 2e-3; // a sample repeats shorter products

static float *random_values(size_t count) {
    float *values = fx_bench_allocate(count * sizeof *values);
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
    p.c = fx_bench_allocate(m * n * sizeof *p.c);
    printf("%-12s %-8s %6zu x %6zu x %4zu", name, kind, m, k, n);
    size_t most = 0;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        FxWork work = {.threads = threads, .cpu = cpu};
        work.scratch_size = fx_gemm_f32_scratch(&p, &work);
        work.scratch = fx_bench_allocate(work.scratch_size);
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

static void time_plain(const FxBenchShape *s, unsigned cpu) {
    const size_t m = (size_t)s->m, k = (size_t)s->k, n = (size_t)s->n;
    float *x = random_values(m * k), *y = random_values((m > k ? m : k) * n);
    for (int kind = 0; kind < 3; kind++) {
        FxProductF32 p = {.chunk = kind == 2 ? CHUNK : 0};
        fx_bench_plain(&p.a, &p.b, s, kind, x, FX_FLOAT32, y, FX_FLOAT32);
        time_product(s->name, fx_bench_kinds[kind], p, cpu);
    }
    free(x);
    free(y);
}

static void time_conv(const FxBenchConv *v, unsigned cpu) {
    const size_t out = (size_t)(v->size + 2 * v->pad - v->kernel + 1);
    float *x = random_values((size_t)FX_BENCH_BATCH * (size_t)(v->size * v->size * v->channels));
    float *e = random_values((size_t)FX_BENCH_BATCH * out * out * (size_t)v->outputs);
    float *w = random_values((size_t)(v->kernel * v->kernel * v->channels) * (size_t)v->outputs);
    for (const char *which = v->products; *which; which++) {
        FxProductF32 p = {.chunk = *which == 'g' ? CHUNK : 0};
        fx_bench_layer(&p.a, &p.b, v, *which, FX_FLOAT32, x, e, w);
        time_product(v->name, fx_bench_kinds[*which == 'f' ? 0 : *which == 'e' ? 1 : 2], p, cpu);
    }
    free(x);
    free(e);
    free(w);
}

int main(int argc, char **argv) {
    unsigned cpu;
    int at = fx_bench_cpu(&cpu, argc, argv);
    printf("cpu %s; M x K x N; time, GMAC/s of the peak's, share on one thread | two threads | scratch\n", fx_cpu_name(cpu));
    for (int i = 0; fx_bench_shape(i); i++)
        if (fx_bench_wanted(argc - at, argv + at, "plain", fx_bench_shape(i)->name))
            time_plain(fx_bench_shape(i), cpu);
    printf("products of layers, batch %d, im2col included\n", FX_BENCH_BATCH);
    for (int i = 0; fx_bench_conv(i); i++)
        if (fx_bench_wanted(argc - at, argv + at, "net", fx_bench_conv(i)->name))
            time_conv(fx_bench_conv(i), cpu);
    return 0;
}
