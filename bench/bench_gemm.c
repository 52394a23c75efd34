// Speed of fx_gemm in GMAC/s, on one and two threads: plain products side by side with oneDNN's
// dnnl_gemm_s8s8s32 where it is installed (-DFX_HAVE_DNNL), then the products of real convolutions and fully
// connected layers with their im2col included. A figure is the median of nine; the two libraries take turns.
// Results are compared before anything is timed. Usage: bench_gemm [--cpu LEVEL] [plain|wide|net]...
#include "bench/peak.h"
#include "bench/shapes.h"
#include "formats/cpu.h"
#include "layers/gemm.h"
#include "layers/gemm_kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef FX_HAVE_DNNL
#include <oneapi/dnnl/dnnl.h>
#endif

enum { ROUNDS = 9, MOST_THREADS = 2 };
static const double SAMPLE_SECONDS = 2e-3; // a sample repeats shorter products

static int8_t *random_codes(size_t count) {
    int8_t *codes = fx_bench_allocate(count);
    uint32_t x = 12345;
    for (size_t i = 0; i < count; i++) {
        x = x * 1664525u + 1013904223u;
        codes[i] = (int8_t)((int)(x >> 24) - 128);
    }
    return codes;
}

typedef struct Timed {
    FxProduct product;
    FxWork work;
    size_t m, n, k;
} Timed;

static void run_ours(const Timed *t) {
    fx_gemm(&t->product, &t->work);
}

#ifdef FX_HAVE_DNNL
static void run_dnnl(const Timed *t) {
    const FxMatrix *a = &t->product.a, *b = &t->product.b;
    const int32_t offset = 0;
    dnnl_gemm_s8s8s32(a->patch_rows ? 'T' : 'N', b->patch_rows ? 'N' : 'T', 'F', (dnnl_dim_t)t->m, (dnnl_dim_t)t->n,
                      (dnnl_dim_t)t->k, 1.0f, a->data, a->channels, 0, b->data, b->channels, 0, 0.0f, t->product.c,
                      (dnnl_dim_t)t->n, &offset);
}
#endif

static double seconds_of(void (*run)(const Timed *t), const Timed *t, int repeats) {
    const double start = fx_bench_now();
    for (int i = 0; i < repeats; i++)
        run(t);
    return (fx_bench_now() - start) / repeats;
}

static int repeats_for(void (*run)(const Timed *t), const Timed *t) {
    const double once = seconds_of(run, t, 1);
    return once > SAMPLE_SECONDS ? 1 : (int)(SAMPLE_SECONDS / once) + 1;
}

static void set_threads(int threads) {
#ifdef _OPENMP
    omp_set_num_threads(threads);
#endif
    (void)threads;
}

static void prepare(Timed *t, unsigned cpu) {
    t->m = fx_matrix_rows(&t->product.a);
    t->n = fx_matrix_rows(&t->product.b);
    t->k = fx_matrix_k(&t->product.a);
    t->product.c = fx_bench_allocate(t->m * t->n * sizeof(int32_t));
    t->product.c_type = FX_INT32;
    t->work = (FxWork){.threads = MOST_THREADS, .cpu = cpu};
    t->work.scratch_size = fx_gemm_scratch(&t->product, &t->work);
    for (int threads = 1; threads < MOST_THREADS; threads++) {
        const FxWork fewer = {.threads = threads, .cpu = cpu};
        const size_t size = fx_gemm_scratch(&t->product, &fewer);
        t->work.scratch_size = size > t->work.scratch_size ? size : t->work.scratch_size;
    }
    t->work.scratch = fx_bench_allocate(t->work.scratch_size);
}

static void release(Timed *t) {
    free(t->product.c);
    free(t->work.scratch);
}

// Compares c with `other`, or samples of it with sums over the definition if other is NULL.
static void require_equal(const char *name, const Timed *t, const int32_t *other) {
    const int32_t *c = t->product.c;
    if (other != NULL) {
        if (memcmp(c, other, t->m * t->n * sizeof *c) == 0)
            return;
    } else {
        uint32_t x = 7;
        bool same = true;
        for (int i = 0; i < 50; i++) {
            x = x * 1664525u + 1013904223u;
            const size_t row = (size_t)x * t->m >> 32, column = (size_t)(x * 747796405u) * t->n >> 32;
            int64_t sum = 0;
            for (size_t k = 0; k < t->k; k++) {
                const FxMatrix *a = &t->product.a, *b = &t->product.b;
                int8_t u, v;
                fx_matrix_patches(&u, 1, a, a->patch_rows ? k : row, 1, a->patch_rows ? row : k, 1);
                fx_matrix_patches(&v, 1, b, b->patch_rows ? k : column, 1, b->patch_rows ? column : k, 1);
                sum += u * v;
            }
            same = same && c[row * t->n + column] == sum;
        }
        if (same)
            return;
    }
    fprintf(stderr, "bench_gemm: %s: wrong sums\n", name);
    exit(1);
}

#ifdef FX_HAVE_DNNL
static double log_sum[MOST_THREADS], worst[MOST_THREADS];
static int compared;
#endif

static void time_plain(const FxBenchShape *s, int kind, unsigned cpu, const double *peaks) {
    int8_t *x = random_codes((size_t)s->m * (size_t)s->k);
    int8_t *y = random_codes((size_t)(kind == 2 ? s->m : s->k) * (size_t)s->n);
    Timed t = {0};
    fx_bench_plain(&t.product.a, &t.product.b, s, kind, x, FX_INT8, y, FX_INT8);
    prepare(&t, cpu);
    const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
    printf("%-12s %-9s %6zu x %6zu x %4zu", s->name, fx_bench_kinds[kind], t.m, t.k, t.n);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double ours[ROUNDS];
        t.work.threads = threads;
        set_threads(threads);
        run_ours(&t);
        require_equal(s->name, &t, NULL);
        const int repeats = repeats_for(run_ours, &t);
#ifdef FX_HAVE_DNNL
        double theirs[ROUNDS];
        Timed d = t;
        d.product.c = fx_bench_allocate(t.m * t.n * sizeof(int32_t));
        run_dnnl(&d);
        require_equal(s->name, &t, d.product.c);
        const int their_repeats = repeats_for(run_dnnl, &d);
        for (int i = 0; i < ROUNDS; i++) {
            ours[i] = seconds_of(run_ours, &t, repeats);
            theirs[i] = seconds_of(run_dnnl, &d, their_repeats);
        }
        free(d.product.c);
        const double a = fx_bench_median(ours, ROUNDS), b = fx_bench_median(theirs, ROUNDS), ratio = b / a;
        log_sum[threads - 1] += log(ratio);
        worst[threads - 1] = compared == 0 || ratio < worst[threads - 1] ? ratio : worst[threads - 1];
        printf(" | %6.1f %3.0f%% %6.1f %5.2f", macs / a, 100 * macs / a / peaks[threads - 1], macs / b, ratio);
#else
        for (int i = 0; i < ROUNDS; i++)
            ours[i] = seconds_of(run_ours, &t, repeats);
        const double a = fx_bench_median(ours, ROUNDS);
        printf(" | %6.1f %3.0f%%             ", macs / a, 100 * macs / a / peaks[threads - 1]);
#endif
    }
    printf("\n");
    fflush(stdout);
#ifdef FX_HAVE_DNNL
    compared++;
#endif
    release(&t);
    free(x);
    free(y);
}

static void time_conv(const FxBenchConv *v, unsigned cpu, const double *peaks) {
    const size_t out = (size_t)(v->size + 2 * v->pad - v->kernel + 1);
    int8_t *x = random_codes((size_t)FX_BENCH_BATCH * (size_t)(v->size * v->size * v->channels));
    int8_t *e = random_codes((size_t)FX_BENCH_BATCH * out * out * (size_t)v->outputs);
    int8_t *w = random_codes((size_t)(v->kernel * v->kernel * v->channels) * (size_t)v->outputs);
    for (const char *which = v->products; *which; which++) {
        Timed t = {0};
        fx_bench_layer(&t.product.a, &t.product.b, v, *which, FX_INT8, x, e, w);
        prepare(&t, cpu);
        const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
        const char *kind = fx_bench_kinds[*which == 'f' ? 0 : *which == 'e' ? 1 : 2];
        printf("%-12s %-9s %6zu x %6zu x %4zu", v->name, kind, t.m, t.k, t.n);
        for (int threads = 1; threads <= MOST_THREADS; threads++) {
            double ours[ROUNDS];
            t.work.threads = threads;
            run_ours(&t);
            require_equal(v->name, &t, NULL);
            const int repeats = repeats_for(run_ours, &t);
            for (int i = 0; i < ROUNDS; i++)
                ours[i] = seconds_of(run_ours, &t, repeats);
            const double a = fx_bench_median(ours, ROUNDS);
            printf(" | %8.3f ms %6.1f %3.0f%%", 1e3 * a, macs / a, 100 * macs / a / peaks[threads - 1]);
        }
        printf(" | scratch %5.1f MB\n", (double)t.work.scratch_size * 1e-6);
        fflush(stdout);
        release(&t);
    }
    free(x);
    free(e);
    free(w);
}

// 16 x 16 and 8 x 16 bits into 64-bit sums, the shapes of `plain`.
static void time_wide(const FxBenchShape *s, int kind, FxType left, unsigned cpu) {
    size_t x_count = (size_t)s->m * (size_t)s->k, y_count = (size_t)(kind == 2 ? s->m : s->k) * (size_t)s->n;
    int8_t *x = random_codes(x_count * fx_type_size(left)), *y = random_codes(y_count * sizeof(int16_t));
    Timed t = {.product = {.c_type = FX_INT64}};
    fx_bench_plain(&t.product.a, &t.product.b, s, kind, x, left, y, FX_INT16);
    t.m = fx_matrix_rows(&t.product.a), t.n = fx_matrix_rows(&t.product.b), t.k = fx_matrix_k(&t.product.a);
    t.product.c = fx_bench_allocate(t.m * t.n * sizeof(int64_t));
    const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
    printf("%-12s %-9s %6zu x %6zu x %4zu %s x int16", s->name, fx_bench_kinds[kind], t.m, t.k, t.n, fx_type_name(left));
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double ours[ROUNDS];
        t.work = (FxWork){.threads = threads, .cpu = cpu};
        t.work.scratch_size = fx_gemm_scratch(&t.product, &t.work);
        t.work.scratch = fx_bench_allocate(t.work.scratch_size);
        run_ours(&t);
        for (size_t i = 0; i < 20; i++) { // against the definition
            size_t row = i * 7919 % t.m, column = i * 104729 % t.n;
            int64_t sum = 0;
            for (size_t k = 0; k < t.k; k++) {
                size_t a = kind == 2 ? k * (size_t)s->k + row : row * (size_t)s->k + k;
                size_t b = kind == 1 ? column * (size_t)s->k + k : k * (size_t)s->n + column;
                sum += (int64_t)(left == FX_INT8 ? x[a] : ((int16_t *)(void *)x)[a]) * ((int16_t *)(void *)y)[b];
            }
            if (((int64_t *)t.product.c)[row * t.n + column] != sum) {
                fprintf(stderr, "bench_gemm: %s, wide: wrong sums\n", s->name);
                exit(1);
            }
        }
        for (int i = 0; i < ROUNDS; i++)
            ours[i] = seconds_of(run_ours, &t, 1);
        printf(" | %6.1f GMAC/s", macs / fx_bench_median(ours, ROUNDS));
        free(t.work.scratch);
    }
    printf("\n");
    fflush(stdout);
    free(t.product.c);
    free(x);
    free(y);
}

int main(int argc, char **argv) {
    unsigned cpu;
    const int at = fx_bench_cpu(&cpu, argc, argv);
    double peaks[MOST_THREADS];
    for (int threads = 1; threads <= MOST_THREADS; threads++)
        peaks[threads - 1] = fx_bench_peak(cpu, threads);
    printf("cpu %s, peak of byte products: %.0f GMAC/s on one thread, %.0f on two\n", fx_cpu_name(cpu), peaks[0],
           peaks[1]);
    if (fx_bench_wanted(argc - at, argv + at, "plain", "plain")) {
        printf("\nplain int8 x int8 products, M x K x N, packing included: GMAC/s, share of the peak, oneDNN's GMAC/s, "
               "ratio; one thread | two threads\n");
        for (int i = 0; fx_bench_shape(i); i++)
            for (int kind = 0; kind < FX_BENCH_KINDS; kind++)
                time_plain(fx_bench_shape(i), kind, cpu, peaks);
#ifdef FX_HAVE_DNNL
        for (int t = 0; t < MOST_THREADS; t++)
            printf("ours / oneDNN on %d thread%s: geometric mean %.3f, worst %.2f\n", t + 1, t ? "s" : "",
                   exp(log_sum[t] / compared), worst[t]);
#endif
    }
    if (fx_bench_wanted(argc - at, argv + at, "wide", "wide")) {
        printf("\nproducts of 16 bits into 64-bit sums; one thread | two threads\n");
        for (int i = 3; fx_bench_shape(i); i++)
            for (int kind = 0; kind < FX_BENCH_KINDS; kind++)
                time_wide(fx_bench_shape(i), kind, FX_INT16, cpu);
        time_wide(fx_bench_shape(4), 0, FX_INT8, cpu);
    }
    if (fx_bench_wanted(argc - at, argv + at, "net", "net")) {
        printf("\nproducts of layers, batch %d, im2col included: time, GMAC/s, share of the peak\n", FX_BENCH_BATCH);
        for (int i = 0; fx_bench_conv(i); i++)
            time_conv(fx_bench_conv(i), cpu, peaks);
    }
    return 0;
}
