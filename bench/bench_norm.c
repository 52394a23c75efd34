// Speed of the integer norms on a tensor of 128 x 32 x 32 x 16, as a share of the copy bandwidth measured in turn with
// every row: forward counts x and y once, backward x, gy and t, backward with its rounding by stochastic:32 to int8 x, gy
// and the codes, but not the t between them. Figures are the best of many, since a call has only a few
// milliseconds and a busy machine makes them longer by any amount; results are checked against the scalar loops on one
// thread before they are timed.
// usage: bench_norm [--cpu LEVEL]
#include "bench/peak.h"
#include "bench/shapes.h"
#include "formats/cpu.h"
#include "layers/norm.h"
#include "sim/tensor_cast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128 * 32 * 32, CHANNELS = 16, COUNT = ROWS * CHANNELS, ROUNDS = 25, COPY_BYTES = COUNT * 6 };

static const char *const kinds[] = {"l2", "l1", "range16", "shift"};

typedef struct Bench {
    FxNormRule rule;
    int32_t constant;
    FxTensor x, gy, gamma, beta, y, t;
    FxNormChannel channels[CHANNELS];
    FxUnitsSeen seen[CHANNELS];
    bool sees;
    FxWork work;
    FxQuantiser rounding;
    FxTensor codes; // t rounded
    FxStats stats;
} Bench;

static void *filled(size_t bytes) {
    void *p = fx_bench_allocate(bytes);
    memset(p, 1, bytes); // or its pages are made while something is timed
    return p;
}

// About normal, each channel with a mean and a width of its own.
static void fill(const FxTensor *t, uint64_t state) {
    const int bits = t->type == FX_INT8 ? 8 : 16;
    for (size_t i = 0; i < t->count; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const int64_t sum = (int64_t)((state >> 16 & 0xfff) + (state >> 28 & 0xfff) + (state >> 40 & 0xfff) + (state >> 52)) - 8190;
        const int64_t c = (int64_t)(i % CHANNELS);
        fx_tensor_set(t, i, (sum * (8 + c) / 32 + 100 * c) >> (16 - bits));
    }
}

static void forward(Bench *b) {
    fx_norm_forward(&b->rule, b->constant, &b->x, &b->gamma, &b->beta, b->channels, CHANNELS, &b->y, &b->work);
}

static void backward(Bench *b) {
    b->sees = fx_norm_backward(&b->rule, b->constant, &b->x, NULL, &b->gy, NULL, b->channels, CHANNELS, &b->t, b->seen, &b->work);
}

// As a step does it: t with its channels' units, rounded to a tensor of 8 bits at one scale.
static void rounded(Bench *b) {
    FxCast casts[CHANNELS];
    int32_t multiplier[CHANNELS], exponent[CHANNELS];
    backward(b);
    for (int c = 0; c < CHANNELS; c++) {
        multiplier[c] = b->channels[c].multiplier;
        exponent[c] = b->channels[c].exponent;
    }
    const FxUnits units = {multiplier, exponent, b->sees ? b->seen : NULL};
    const FxTensorCast cast = {.q = &b->rounding, .random = {fx_random_source(0), 32, {1, 2, 3}}, .samples = 128, .channels = CHANNELS,
                               .casts = casts, .units = &units};
    b->stats = (FxStats){0};
    fx_tensor_cast(&cast, &b->work, &b->t, NULL, &b->codes, &b->stats);
}

// The same bytes as the scalar loops on one thread.
static void check(Bench *b, const char *what) {
    const FxWork work = b->work;
    const size_t bytes = COUNT * sizeof(int32_t);
    void *y = fx_bench_allocate(bytes), *t = fx_bench_allocate(bytes), *codes = fx_bench_allocate(COUNT);
    b->work.cpu = FX_CPU_SCALAR;
    b->work.threads = 1;
    forward(b);
    rounded(b);
    memcpy(y, b->y.data, bytes);
    memcpy(t, b->t.data, bytes);
    memcpy(codes, b->codes.data, COUNT);
    b->work = work;
    forward(b);
    rounded(b);
    if (memcmp(y, b->y.data, bytes) || memcmp(t, b->t.data, bytes) || memcmp(codes, b->codes.data, COUNT)) {
        fprintf(stderr, "bench_norm: %s: other bytes than the scalar loops\n", what);
        exit(1);
    }
    free(y);
    free(t);
    free(codes);
}

// Bytes read and written a second, each thread copying its part.
static double copy_seconds(char *to, const char *from, int threads) {
    const double start = fx_bench_now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++)
        memcpy(to + COPY_BYTES / threads * part, from + COPY_BYTES / threads * part, (size_t)(COPY_BYTES / threads));
    return fx_bench_now() - start;
}

static void time_row(Bench *b, const char *name, void (*run)(Bench *), double bytes, char *to, const char *from) {
    double t = 1e9, copied = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        const double seconds = copy_seconds(to, from, b->work.threads), start = fx_bench_now();
        run(b);
        const double end = fx_bench_now();
        copied = seconds < copied ? seconds : copied;
        t = end - start < t ? end - start : t;
    }
    const double copy = 2.0 * COPY_BYTES / copied;
    printf("%-28s %7d %9.3f %10.2f %10.2f %8.1f %%\n", name, b->work.threads, t * 1e3, bytes / t * 1e-9, copy * 1e-9, 100 * bytes / t / copy);
    fflush(stdout);
}

static void time_kind(Bench *b, FxNormKind kind, char *to, const char *from) {
    const int bits = b->x.type == FX_INT8 ? 8 : 16, gy_bits = b->gy.type == FX_INT8 ? 8 : 16;
    b->rule = (FxNormRule){.kind = kind, .chunks = 16, .constant = FX_NORM_CODE, .nominal = ROWS, .floor = 64, .fraction = 6};
    b->constant = fx_norm_range_constant(b->rule.constant, ROWS, b->rule.chunks);
    b->work.scratch_size = fx_norm_scratch(&b->rule, ROWS, CHANNELS);
    b->work.scratch = filled(b->work.scratch_size);
    for (b->work.threads = 1; b->work.threads <= 2; b->work.threads++) {
        char name[64];
        check(b, kinds[kind]);
        snprintf(name, sizeof name, "%s int%d forward", kinds[kind], bits);
        time_row(b, name, forward, COUNT * (bits / 8 + 4.0), to, from);
        snprintf(name, sizeof name, "%s int%d backward of int%d", kinds[kind], bits, gy_bits);
        time_row(b, name, backward, COUNT * (bits / 8 + gy_bits / 8 + 4.0), to, from);
        snprintf(name, sizeof name, "%s int%d of int%d, rounded", kinds[kind], bits, gy_bits);
        time_row(b, name, rounded, COUNT * (bits / 8 + gy_bits / 8 + 1.0), to, from);
    }
    free(b->work.scratch);
}

int main(int argc, char **argv) {
    static Bench b;
    unsigned cpu;
    if (fx_bench_cpu(&cpu, argc, argv) < argc) {
        fprintf(stderr, "usage: bench_norm [--cpu LEVEL]\n");
        return 2;
    }
    int16_t gamma[CHANNELS], beta[CHANNELS];
    for (int c = 0; c < CHANNELS; c++)
        gamma[c] = (int16_t)(16384 - 700 * c), beta[c] = (int16_t)(300 * c);
    b.gamma = (FxTensor){gamma, FX_INT16, CHANNELS, -14};
    b.beta = (FxTensor){beta, FX_INT16, CHANNELS, -13};
    b.y = (FxTensor){filled(COUNT * 4), FX_INT32, COUNT, FX_NORM_EXPONENT};
    b.t = (FxTensor){filled(COUNT * 4), FX_INT32, COUNT, 0};
    b.codes = (FxTensor){filled(COUNT), FX_INT8, COUNT, 0};
    FxError err;
    if (fx_quantiser_parse(&b.rounding, "fixed8@max/stochastic:32", &err)) {
        fprintf(stderr, "bench_norm: %s\n", err.text);
        return 1;
    }
    b.work.cpu = cpu;
    char *to = filled(COPY_BYTES), *from = filled(COPY_BYTES);
    printf("%s, %d x %d\n%-28s %7s %9s %10s %10s %10s\n", fx_cpu_name(cpu), ROWS, CHANNELS, "norm", "threads", "ms", "GB/s", "copy GB/s", "of copy");
    static const FxType types[][2] = {{FX_INT8, FX_INT8}, {FX_INT16, FX_INT8}, {FX_INT16, FX_INT16}};
    for (int i = 0; i < 3; i++) {
        b.x = (FxTensor){filled(COUNT * 2), types[i][0], COUNT, 0};
        b.gy = (FxTensor){filled(COUNT * 2), types[i][1], COUNT, 0};
        fill(&b.x, 1);
        fill(&b.gy, 2);
        for (int kind = 0; kind < 4; kind++)
            time_kind(&b, (FxNormKind)kind, to, from);
        free(b.x.data);
        free(b.gy.data);
    }
    free(b.y.data);
    free(b.t.data);
    free(b.codes.data);
    free(to);
    free(from);
    return 0;
}
