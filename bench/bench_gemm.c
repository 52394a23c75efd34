// Speed of fx_gemm in GMAC/s, on one and two threads: plain products side by side with oneDNN's
// dnnl_gemm_s8s8s32 where it is installed (-DFX_HAVE_DNNL), then the products of real convolutions and fully
// connected layers with their im2col included. A figure is the median of nine; the two libraries take turns.
// Results are compared before anything is timed. Usage: bench_gemm [plain|wide|net]...
#include "bench/peak.h"
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

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL) {
        fprintf(stderr, "bench_gemm: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

static int8_t *random_codes(size_t count) {
    int8_t *codes = allocate(count);
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
    t->product.c = allocate(t->m * t->n * sizeof(int32_t));
    t->product.c_type = FX_INT32;
    t->work = (FxWork){.threads = MOST_THREADS, .cpu = cpu};
    t->work.scratch_size = fx_gemm_scratch(&t->product, &t->work);
    for (int threads = 1; threads < MOST_THREADS; threads++) {
        const FxWork fewer = {.threads = threads, .cpu = cpu};
        const size_t size = fx_gemm_scratch(&t->product, &fewer);
        t->work.scratch_size = size > t->work.scratch_size ? size : t->work.scratch_size;
    }
    t->work.scratch = allocate(t->work.scratch_size);
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

typedef struct Shape {
    const char *name;
    int m, k, n;
} Shape;

static const Shape shapes[] = {
    {"LeNet conv1", 73728, 25, 32},    {"LeNet conv2", 8192, 800, 64},    {"LeNet FC", 128, 1024, 512},
    {"VGG conv2", 131072, 1152, 128},  {"VGG conv4", 32768, 2304, 256},   {"VGG conv6", 8192, 4608, 512},
};
static const char *const kinds[] = {"forward", "error", "gradient"};
enum { SHAPES = sizeof shapes / sizeof shapes[0], KINDS = 3 };

static double log_sum[MOST_THREADS], worst[MOST_THREADS];
static int compared;

static void time_plain(const Shape *s, int kind, unsigned cpu, const double *peaks) {
    int8_t *x = random_codes((size_t)s->m * (size_t)s->k);
    int8_t *y = random_codes((size_t)(kind == 2 ? s->m : s->k) * (size_t)s->n);
    Timed t = {.product = {.a = fx_matrix_plain(x, FX_INT8, s->m, s->k, kind == 2)}};
    t.product.b = kind == 0   ? fx_matrix_plain(y, FX_INT8, s->k, s->n, true)
                  : kind == 1 ? fx_matrix_plain(y, FX_INT8, s->n, s->k, false)
                              : fx_matrix_plain(y, FX_INT8, s->m, s->n, true);
    prepare(&t, cpu);
    const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
    printf("%-12s %-9s %6zu x %6zu x %4zu", s->name, kinds[kind], t.m, t.k, t.n);
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
        d.product.c = allocate(t.m * t.n * sizeof(int32_t));
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
    compared++;
    release(&t);
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
    {"FC 1024x512", 1, 1024, 512, 1, 0, "feg"},
};
enum { CONVS = sizeof convs / sizeof convs[0], BATCH = 128 };

// A product as its layer makes it, from random x, e and w.
static FxProduct conv_product(const Conv *v, char which, const int8_t *x, const int8_t *e, const int8_t *w) {
    const int out = v->size + 2 * v->pad - v->kernel + 1, taps = v->kernel * v->kernel;
    FxProduct p = {0};
    FxMatrix image = {.data = x, .type = FX_INT8, .images = BATCH, .height = v->size, .width = v->size,
                      .channels = v->channels, .out_height = out, .out_width = out, .kernel_height = v->kernel,
                      .kernel_width = v->kernel, .stride = 1, .pad = v->pad};
    if (which == 'f') {
        p.a = image;
        p.b = fx_matrix_plain(w, FX_INT8, taps * v->channels, v->outputs, true);
    } else if (which == 'e') {
        p.a = (FxMatrix){.data = e, .type = FX_INT8, .images = BATCH, .height = out, .width = out,
                         .channels = v->outputs, .out_height = v->size, .out_width = v->size,
                         .kernel_height = v->kernel, .kernel_width = v->kernel, .stride = 1, .pad = v->pad,
                         .gather = true};
        p.b = (FxMatrix){.data = w, .type = FX_INT8, .images = 1, .height = taps, .width = v->channels,
                         .channels = v->outputs, .out_height = 1, .out_width = v->channels, .kernel_height = taps,
                         .kernel_width = 1, .stride = 1};
    } else {
        p.a = image;
        p.a.patch_rows = true;
        p.b = fx_matrix_plain(e, FX_INT8, BATCH * out * out, v->outputs, true);
    }
    return p;
}

static void time_conv(const Conv *v, unsigned cpu, const double *peaks) {
    const size_t out = (size_t)(v->size + 2 * v->pad - v->kernel + 1);
    int8_t *x = random_codes((size_t)BATCH * (size_t)(v->size * v->size * v->channels));
    int8_t *e = random_codes((size_t)BATCH * out * out * (size_t)v->outputs);
    int8_t *w = random_codes((size_t)(v->kernel * v->kernel * v->channels) * (size_t)v->outputs);
    for (const char *which = v->products; *which; which++) {
        Timed t = {.product = conv_product(v, *which, x, e, w)};
        prepare(&t, cpu);
        const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
        const char *kind = kinds[*which == 'f' ? 0 : *which == 'e' ? 1 : 2];
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
static void time_wide(const Shape *s, int kind, FxType left, unsigned cpu) {
    size_t x_count = (size_t)s->m * (size_t)s->k, y_count = (size_t)(kind == 2 ? s->m : s->k) * (size_t)s->n;
    int8_t *x = random_codes(x_count * fx_type_size(left)), *y = random_codes(y_count * sizeof(int16_t));
    Timed t = {.product = {.a = fx_matrix_plain(x, left, s->m, s->k, kind == 2), .c_type = FX_INT64}};
    t.product.b = fx_matrix_plain(y, FX_INT16, kind == 0 ? s->k : kind == 1 ? s->n : s->m, kind == 1 ? s->k : s->n, kind != 1);
    t.m = fx_matrix_rows(&t.product.a), t.n = fx_matrix_rows(&t.product.b), t.k = fx_matrix_k(&t.product.a);
    t.product.c = allocate(t.m * t.n * sizeof(int64_t));
    const double macs = (double)t.m * (double)t.n * (double)t.k * 1e-9;
    printf("%-12s %-9s %6zu x %6zu x %4zu %s x int16", s->name, kinds[kind], t.m, t.k, t.n, fx_type_name(left));
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double ours[ROUNDS];
        t.work = (FxWork){.threads = threads, .cpu = cpu};
        t.work.scratch_size = fx_gemm_scratch(&t.product, &t.work);
        t.work.scratch = allocate(t.work.scratch_size);
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

static bool wanted(int argc, char **argv, const char *section) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], section))
            return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    const unsigned cpu = fx_cpu_detect();
    double peaks[MOST_THREADS];
    for (int threads = 1; threads <= MOST_THREADS; threads++)
        peaks[threads - 1] = fx_bench_peak(cpu, threads);
    printf("cpu %s, peak of byte products: %.0f GMAC/s on one thread, %.0f on two\n", fx_cpu_name(cpu), peaks[0],
           peaks[1]);
    if (wanted(argc, argv, "plain")) {
        printf("\nplain int8 x int8 products, M x K x N, packing included: GMAC/s, share of the peak, oneDNN's GMAC/s, "
               "ratio; one thread | two threads\n");
        for (int i = 0; i < SHAPES; i++)
            for (int kind = 0; kind < KINDS; kind++)
                time_plain(&shapes[i], kind, cpu, peaks);
#ifdef FX_HAVE_DNNL
        for (int t = 0; t < MOST_THREADS; t++)
            printf("ours / oneDNN on %d thread%s: geometric mean %.3f, worst %.2f\n", t + 1, t ? "s" : "",
                   exp(log_sum[t] / compared), worst[t]);
#endif
    }
    if (wanted(argc, argv, "wide")) {
        printf("\nproducts of 16 bits into 64-bit sums; one thread | two threads\n");
        for (int i = 3; i < SHAPES; i++)
            for (int kind = 0; kind < KINDS; kind++)
                time_wide(&shapes[i], kind, FX_INT16, cpu);
        time_wide(&shapes[4], 0, FX_INT8, cpu);
    }
    if (wanted(argc, argv, "net")) {
        printf("\nproducts of layers, batch %d, im2col included: time, GMAC/s, share of the peak\n", BATCH);
        for (int i = 0; i < CONVS; i++)
            time_conv(&convs[i], cpu, peaks);
    }
    return 0;
}
