// Speed of fx_quantise as a share of the copy bandwidth: a quantiser that reaches it costs no more than moving the data.
// One thread, statistics on; the copy is measured in turn with every row, so that a busy machine slows both. Figures are
// medians of nine; the scalar ones of three, on fewer elements. Every row's results are checked before they are timed.
// usage: bench_formats [elements [part of a row's name]]
#include "bench/peak.h"
#include "formats/cpu.h"
#include "formats/quantiser.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, SCALAR_ROUNDS = 3, SCALAR_MOST = 1 << 20, CHECKED = 4096, LINE = 16, NAME = 40 };
enum { DEFAULT_ELEMENTS = 64 << 20, LEAST_ELEMENTS = 16 << 20 }; // with fewer the arrays may stay in caches

// Million elements/s of other libraries on 16 Mi float32, one thread, measured by this project on another machine (Xeon
// Ice Lake, 2.8 GHz): for orientation only. QPyTorch's extension was built with -O3, CPFloat with OpenMP and PCG.
typedef struct Others {
    double cpfloat, qpytorch; // 0: not known
} Others;

typedef struct Row {
    const char *text;
    FxType source;
    char output;    // 'v' float32 values, 'c' codes and, of blocks, scale bytes
    double target;  // percent of the copy bandwidth; 0: none
    Others others;
} Row;

#define BOTH(text, target, ...) \
    {text, FX_FLOAT32, 'v', target, {__VA_ARGS__}}, {text, FX_FLOAT32, 'c', target, {0, 0}}

static const Row rows[] = {
    BOTH("e4m3fn", 80, 276, 0), // CPFloat's e4m3
    BOTH("e5m2", 80, 230, 149),
    BOTH("fixed8", 80, 0, 80),
    BOTH("bf16", 80, 0, 0),
    BOTH("fp16", 80, 0, 0),
    BOTH("e4m3fn/toward-zero", 0, 1073, 0),
    BOTH("e5m2/toward-zero", 0, 1229, 0),
    {"fixed8", FX_INT32, 'c', 80, {0, 0}},
    BOTH("e4m3fn/stochastic:8", 70, 199, 0),
    BOTH("e5m2/stochastic:8", 70, 283, 58),
    BOTH("fixed8/stochastic:8", 70, 0, 42),
    BOTH("bf16/stochastic:8", 70, 0, 0),
    BOTH("e4m3fn/stochastic:8:a", 0, 199, 0),
    BOTH("e5m2/stochastic:8:a", 0, 283, 58),
    BOTH("fixed8/stochastic:8:a", 0, 0, 42),
    BOTH("bf16/stochastic:8:a", 0, 0, 0),
    BOTH("e4m3fn@block32", 50, 0, 0),
    BOTH("e2m1fn@block32", 50, 0, 0),
    BOTH("fixed8f6@block32", 50, 0, 0),
    {"fixed8@max", FX_FLOAT32, 'v', 0, {0, 80}}, // QPyTorch's block floating point; reads the source twice
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static const FxDraw draw = {.seed = 20240229, .stream = 3, .step = 5, .lane_bits = 8};

// A row made ready, with the arrays that all rows share.
typedef struct Bench {
    const Row *row;
    FxQuantiser *q;
    FxArray x;
    FxOutput y;
    size_t groups;
    void *out;        // what is compared: y.values or y.codes
    size_t out_bytes;
} Bench;

static void die(const char *what, const char *why) {
    fprintf(stderr, "bench_formats: %s: %s\n", what, why);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL)
        die("an array", "no memory");
    memset(p, 1, bytes); // or its pages are made while something is timed
    return p;
}

// ---- data ---------------------------------------------------------------------------------------------------------

static uint64_t next_word(uint64_t *state) { // splitmix64
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double value_of(FxNumber x) {
    return (x.negative ? -1 : 1) * ldexp((double)x.magnitude, x.exponent);
}

// Of 64 numbers one is zero, one below the grid's normal numbers, one above its largest and 61 are about normally
// distributed, with the grid's middle or, where that is far from 1, with 1 as their deviation.
static void fill(void *x, size_t n, const FxQuantiser *q, FxType type) {
    const int unit = q->grid.kind->is_fixed ? -q->grid.fraction : 0;
    const double largest = ldexp(value_of(q->grid.kind->largest(&q->grid)), unit);
    const double least = ldexp(value_of(fx_quantiser_decode(q, 1, 0)), unit), deviation = largest > 4 ? 1 : largest / 4;
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        const uint64_t z = next_word(&state), kind = z >> 58;
        const double uniform = (double)(z & 0xffffff) * 0x1p-24, sign = z >> 57 & 1 ? -1 : 1;
        const uint64_t sum = (z & 0x3fff) + (z >> 14 & 0x3fff) + (z >> 28 & 0x3fff) + (z >> 42 & 0x3fff);
        double v = ((double)sum * 0x1p-14 - 2) * 1.7320508 * deviation; // four uniform numbers have a variance of 1 / 3
        if (kind == 0)
            v = 0;
        else if (kind == 1)
            v = sign * uniform * 4 * least;
        else if (kind == 2)
            v = sign * fmin(largest * (1 + uniform), (double)FLT_MAX);
        if (type == FX_INT32)
            ((int32_t *)x)[i] = (int32_t)(v * 0x1p20);
        else
            ((float *)x)[i] = (float)v;
    }
}

// ---- checks -------------------------------------------------------------------------------------------------------

// Numbers are quantised one by one with the exponents that were chosen; those of blocks are those of OCP MX 1.0.
static void check_numbers(const Bench *b, size_t n) {
    const FxQuantiser *q = b->q;
    const FxRoundArg round = fx_round_arg(&q->rounding, draw.lane_bits);
    const FxRandom random = {fx_random_source(0), draw.lane_bits, {draw.seed, draw.stream, draw.step}};
    const size_t length = b->groups > 1 ? (size_t)q->scale.block : n;
    const FxType type = fx_quantiser_type(q);
    FxNumber most = {0};
    for (size_t i = 0; i < n; i++) {
        const int exponent = b->y.exponents[i / length];
        uint32_t R, bits;
        fx_random_bits(&R, &random, i, 1, round.bits ? round.bits : 1, FX_CPU_SCALAR);
        FxNumber x = fx_number_at(b->x.data, b->x.type, i, b->x.exponent);
        most = i % length == 0 || fx_number_compare(x, most) > 0 ? x : most;
        x.exponent -= exponent;
        const int64_t code = fx_encode(q, x, &(FxEncodeArg){.R = R, .arg = &round}).code;
        if (b->row->output == 'c') {
            const FxTensor codes = {b->out, type, n, 0};
            if (fx_tensor_get(&codes, i) != code)
                die(b->row->text, "a code is not that of fx_encode");
        } else {
            FxNumber value = fx_quantiser_decode(q, code, 0);
            value.exponent += exponent;
            memcpy(&bits, (const float *)b->out + i, sizeof bits);
            if (bits != fx_number_to_f32(value))
                die(b->row->text, "a value is not that of fx_encode");
        }
        if (b->groups > 1 && i % length == length - 1 && most.magnitude) {
            const int scale = fx_number_log2(most) - fx_number_log2(q->grid.kind->largest(&q->grid)) + q->grid.fraction;
            if (b->y.mx[i / length] != (q->grid.kind->is_fixed ? scale : scale - q->grid.fraction) + 127)
                die(b->row->text, "a scale is not that of OCP MX 1.0");
        }
    }
}

static uint64_t mixed(uint64_t sum, const void *data, size_t bytes) {
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)data + i, bytes - i < sizeof word ? bytes - i : sizeof word);
        sum = (sum ^ word) * UINT64_C(0x100000001b3) + (sum >> 47);
    }
    return sum;
}

// Of everything that was written.
static uint64_t checksum(const Bench *b) {
    const uint64_t sum = mixed(mixed(0, b->out, b->out_bytes), b->y.exponents, b->groups * sizeof *b->y.exponents);
    return b->y.mx ? mixed(sum, b->y.mx, b->groups) : sum;
}

// Nothing of an earlier call may pass for a result.
static void forget(const Bench *b) {
    memset(b->out, 1, b->out_bytes);
    memset(b->y.exponents, 1, b->groups * sizeof *b->y.exponents);
    if (b->y.mx)
        memset(b->y.mx, 1, b->groups);
}

static void quantise(const Bench *b, unsigned cpu, size_t n, FxStats *stats) {
    FxError err;
    FxArray x = b->x;
    x.count = n;
    *stats = (FxStats){0};
    if (fx_quantise_on(cpu, b->q, NULL, &x, &draw, &b->y, stats, &err))
        die(b->row->text, err.text);
}

// The call that is timed.
static void run_public(const Bench *b) {
    FxError err;
    FxStats stats = {0};
    if (fx_quantise(b->q, NULL, &b->x, &draw, &b->y, &stats, &err) || stats.n != b->x.count)
        die(b->row->text, "fx_quantise failed");
}

// The same bytes and statistics on every level of the machine, and of the public call.
static void check(const Bench *b) {
    uint64_t first = 0;
    FxStats stats, other;
    FxError err;
    unsigned cpu;
    forget(b);
    quantise(b, FX_CPU_SCALAR, b->x.count, &stats);
    check_numbers(b, b->x.count < CHECKED ? b->x.count : CHECKED);
    first = checksum(b);
    for (int i = 0; fx_cpu_level(i); i++) {
        if (fx_cpu_parse(&cpu, fx_cpu_level(i), &err) || cpu == FX_CPU_SCALAR)
            continue; // not on this machine
        forget(b);
        quantise(b, cpu, b->x.count, &other);
        if (checksum(b) != first || memcmp(&stats, &other, sizeof stats))
            die(b->row->text, "other results on another SIMD level");
    }
    forget(b);
    run_public(b);
    if (checksum(b) != first)
        die(b->row->text, "fx_quantise gives other results than fx_quantise_on");
    if (stats.zeros_in == 0 || (b->row->target > 0 && b->groups == 1 && stats.saturated == 0))
        die(b->row->text, "the data have no zeros or nothing that saturates");
}

// ---- timing -------------------------------------------------------------------------------------------------------

// Ordinary stores: without the barrier a compiler makes one memcpy of it, which writes large arrays past the caches.
static void copy_words(uint32_t *restrict y, const uint32_t *restrict x, size_t n) {
    for (size_t i = 0; i < n; i += LINE) {
        for (size_t j = 0; j < LINE; j++)
            y[i + j] = x[i + j];
        __asm__ volatile("" ::: "memory");
    }
}

static double scalar_seconds(const Bench *b, size_t n) {
    double seconds[SCALAR_ROUNDS];
    FxStats stats;
    for (int i = 0; i < SCALAR_ROUNDS; i++) {
        const double start = fx_bench_now();
        quantise(b, FX_CPU_SCALAR, n, &stats);
        seconds[i] = fx_bench_now() - start;
    }
    return fx_bench_median(seconds, SCALAR_ROUNDS);
}

static void name_of(char name[NAME], const Row *row) {
    snprintf(name, NAME, "%s%s", row->source == FX_INT32 ? "int32 -> " : "", row->text);
}

static void print_row(const Bench *b, double seconds, double copy_seconds, double scalar_rate, int *below) {
    const Row *r = b->row;
    const double n = (double)b->x.count, rate = n / seconds * 1e-6;
    const double scale_bytes = r->output == 'c' && b->groups > 1 ? (double)b->groups : 0;
    const double bytes = 4 * n + (double)b->out_bytes + scale_bytes;
    const double speed = bytes / seconds * 1e-9, share = 100 * speed / (8 * n / copy_seconds * 1e-9);
    char name[NAME], target[20] = "-";
    name_of(name, r);
    if (r->target > 0) {
        const bool missed = share < r->target;
        snprintf(target, sizeof target, "%.0f %%%s", r->target, missed ? " !" : "");
        *below += missed;
    }
    printf("%-24s %-7s %5.2f %9.1f %7.2f %7.1f %% %7s %9.1f ", name, r->output == 'v' ? "values" : "codes", bytes / n,
           rate, speed, share, target, scalar_rate);
    if (r->others.cpfloat > 0)
        printf("  %.2f x CPFloat", rate / r->others.cpfloat);
    if (r->others.qpytorch > 0)
        printf("  %.2f x QPyTorch", rate / r->others.qpytorch);
    printf("\n");
    fflush(stdout);
}

static void time_row(const Bench *b, uint32_t *copied, int *below, double *copy_sum) {
    double seconds[ROUNDS], copies[ROUNDS];
    const size_t n = b->x.count, few = n < SCALAR_MOST ? n : SCALAR_MOST;
    for (int i = 0; i < ROUNDS; i++) {
        double start = fx_bench_now();
        copy_words(copied, b->x.data, n);
        copies[i] = fx_bench_now() - start;
        start = fx_bench_now();
        run_public(b);
        seconds[i] = fx_bench_now() - start;
    }
    const double copy = fx_bench_median(copies, ROUNDS);
    *copy_sum += 8 * (double)n / copy * 1e-9;
    print_row(b, fx_bench_median(seconds, ROUNDS), copy, (double)few / scalar_seconds(b, few) * 1e-6, below);
}

int main(int argc, char **argv) {
    const size_t asked = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_ELEMENTS, n = (asked + 63) / 64 * 64;
    if (n == 0 || n > SIZE_MAX / 16)
        die("usage", "bench_formats [elements [part of a row's name]]");
    uint32_t *source = allocate(n * 4), *copied = allocate(n * 4);
    void *out = allocate(n * 4);
    int32_t *exponents = allocate((n / 32 + 1) * 4);
    uint8_t *mx = allocate(n / 32 + 1);
    double copy_sum = 0;
    int below = 0, timed = 0, targets = 0;

    printf("%s; %zu elements (%.0f MiB of float32), one thread, statistics on\n"
           "bytes: read and written an element; M/s: million elements a second; share: of a copy's GB/s;\n"
           "factors: of the M/s that another library reached on another machine\n\n",
           fx_cpu_name(fx_cpu_detect()), n, (double)n * 4 / 1048576);
    if (n < LEAST_ELEMENTS)
        printf("SMALL ARRAYS: they may stay in caches, and a copy there is no measure\n\n");
    printf("%-24s %-7s %5s %9s %7s %9s %7s %9s\n", "from float32 to", "writes", "bytes", "M/s", "GB/s", "share",
           "target", "scalar");
    for (int i = 0; i < ROWS; i++) {
        const Row *r = &rows[i];
        FxError err;
        char name[NAME];
        name_of(name, r);
        if (argc > 2 && !strstr(name, argv[2]))
            continue;
        Bench b = {.row = r, .q = fx_quantiser_new(r->text, NULL, &err), .out = out};
        if (!b.q)
            die(r->text, err.text);
        const size_t size = r->output == 'v' ? 4 : fx_type_size(fx_quantiser_type(b.q));
        b.x = (FxArray){.data = source, .type = r->source, .count = n, .exponent = r->source == FX_INT32 ? -20 : 0};
        b.y = (FxOutput){.exponents = exponents, .mx = b.q->scale.group == FX_GROUP_BLOCK ? mx : NULL};
        b.out_bytes = n * size;
        if (r->output == 'v')
            b.y.values = out;
        else
            b.y.codes = out;
        if (fx_quantiser_groups(&b.groups, b.q, &b.x, &err))
            die(r->text, err.text);
        fill(source, n, b.q, r->source);
        check(&b);
        time_row(&b, copied, &below, &copy_sum);
        timed++;
        targets += r->target > 0;
        fx_quantiser_free(b.q);
    }
    if (timed)
        printf("\ncopy: %.2f GB/s in the mean; %d of %d targets missed\n", copy_sum / timed, below, targets);
    free(source);
    free(copied);
    free(out);
    free(exponents);
    free(mx);
    return 0;
}
