// Whole training steps: images/s, multiply-adds/s and their share of the machine's VNNI peak measured in the same run;
// how time grows with threads, batch and width; peak memory of VGG7 at batch 128 with a data set of CIFAR-10's size.
// usage: bench_step [quick | recipes | norms]
#include "bench/peak.h"
#include "sim/input.h"
#include "sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SAMPLES = 5, CHECKED_STEPS = 2 };

static void die(const FxError *err) {
    fprintf(stderr, "bench_step: %s\n", err->text);
    exit((int)err->exit_code);
}

// Bytes that look like nothing in particular, the same each time.
static void fill(uint8_t *bytes, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

// A data set without files: `shape` images, labels in turn.
static FxDataset synthetic(int height, int width, int channels, size_t train, size_t test) {
    FxDataset data = {.height = height, .width = width, .channels = channels, .classes = 10};
    size_t image = (size_t)height * (size_t)width * (size_t)channels;
    FxImages *sets[] = {&data.train, &data.test};
    size_t counts[] = {train, test};
    strcpy(data.name, "synthetic");
    for (int s = 0; s < 2; s++) {
        sets[s]->count = counts[s];
        sets[s]->pixels = malloc(counts[s] * image);
        sets[s]->labels = malloc(counts[s]);
        if (!sets[s]->pixels || !sets[s]->labels)
            exit(1);
        fill(sets[s]->pixels, counts[s] * image, 1);
        for (size_t i = 0; i < counts[s]; i++)
            sets[s]->labels[i] = (uint8_t)(i % 10);
    }
    return data;
}

typedef struct Case {
    const char *recipe, *notation;
    int batch, threads;
} Case;

static void prepare(FxRun *run, const FxDataset *data, const Case *c) {
    FxError err;
    FxWarnings warnings = {{0}};
    char batch[40];
    unsigned cpu;
    memset(run, 0, sizeof *run);
    snprintf(batch, sizeof batch, "run.batch=%d", c->batch);
    run->data = *data;
    if (fx_recipe_load(&run->recipe, c->recipe, &err) || fx_recipe_override(&run->recipe, batch, "-s", &err) ||
        fx_cpu_parse(&cpu, "auto", &err) || fx_net_build(&run->net, c->notation, data, c->batch, fx_recipe_text(&run->recipe, "run.loss"), &err))
        die(&err);
    FxLayerName *names = calloc((size_t)run->net.product_count, sizeof *names);
    fx_net_names(&run->net, names);
    if (!names || fx_config_resolve(&run->config, &run->recipe, names, run->net.product_count, data->train.count, &warnings, &err) ||
        fx_net_plan(&run->net, &run->config, c->threads, cpu, &err) || fx_feed_init(&run->feed, data, &run->config, &err))
        die(&err);
    free(names);
    if ((run->net.input_values.data && fx_input_values_f32(&run->net.input_values, run->config.map, run->config.mean, run->config.std, data, &err)) ||
        fx_net_init(&run->net, &run->config, &err))
        die(&err);
}

static void release(FxRun *run) {
    memset(&run->data, 0, sizeof run->data); // borrowed
    fx_run_free(run);
}

// Multiply-adds of one trained image: three products a layer, but no error product in the first.
static double macs(const FxRun *run) {
    double sum = 0;
    for (int p = 0; p < run->net.product_count; p++) {
        const FxLayer *l = &fx_net_product(&run->net, p)->layer;
        sum += (p ? 3.0 : 2.0) * (double)l->weights * l->out.h * l->out.w;
    }
    return sum;
}

static void time_case(const FxDataset *data, const Case *c, double peak, uint32_t expected) {
    FxRun run;
    double seconds[SAMPLES];
    prepare(&run, data, c);
    for (int i = 0; i < CHECKED_STEPS; i++)
        fx_run_step(&run);
    if (fx_run_weights_crc32(&run) != expected) {
        fprintf(stderr, "bench_step: %s, %d threads: other weights than on one thread\n", c->notation, c->threads);
        exit(1);
    }
    double start = fx_bench_now();
    fx_run_step(&run);
    int repeats = 1 + (int)(0.3 / (fx_bench_now() - start));
    for (int s = 0; s < SAMPLES; s++) {
        start = fx_bench_now();
        for (int i = 0; i < repeats; i++)
            fx_run_step(&run);
        seconds[s] = (fx_bench_now() - start) / repeats;
    }
    double t = fx_bench_median(seconds, SAMPLES), rate = c->batch / t * macs(&run) * 1e-9;
    printf("%-58s %5d %7d %9.2f %10.0f %9.1f %8.1f %%\n", c->notation, c->batch, c->threads, t * 1e3, c->batch / t, rate, 100 * rate / peak);
    fflush(stdout);
    release(&run);
}

// Both thread counts of one net and batch, the second checked against the first.
static void time_pair(const FxDataset *data, const char *recipe, const char *notation, int batch, const double peaks[3]) {
    FxRun run;
    Case c = {recipe, notation, batch, 1};
    prepare(&run, data, &c);
    for (int i = 0; i < CHECKED_STEPS; i++)
        fx_run_step(&run);
    uint32_t crc = fx_run_weights_crc32(&run);
    release(&run);
    for (c.threads = 1; c.threads <= 2; c.threads++)
        time_case(data, &c, peaks[c.threads], crc);
}

// Images a second of one recipe on one and two threads, and its share of the first row's, which `first` keeps.
static void time_recipe(const FxDataset *data, const char *name, const char *notation, int batch, double first[3]) {
    uint32_t crc[3];
    printf("%-20s", name);
    for (int threads = 1; threads <= 2; threads++) {
        FxRun run;
        double seconds[SAMPLES];
        Case c = {name, notation, batch, threads};
        prepare(&run, data, &c);
        for (int k = 0; k < CHECKED_STEPS; k++)
            fx_run_step(&run);
        crc[threads] = fx_run_weights_crc32(&run);
        if (crc[threads] != crc[1]) {
            fprintf(stderr, "bench_step: %s: other weights than on one thread\n", name);
            exit(1);
        }
        for (int s = 0; s < SAMPLES; s++) {
            double start = fx_bench_now();
            fx_run_step(&run);
            seconds[s] = fx_bench_now() - start;
        }
        double rate = c.batch / fx_bench_median(seconds, SAMPLES);
        first[threads] = first[threads] > 0 ? first[threads] : rate;
        printf(" %12.0f %10.0f %%", rate, 100 * rate / first[threads]);
        fflush(stdout);
        release(&run);
    }
    printf("\n");
}

static void print_head(const char *what, const char *first) {
    printf("%-20s %12s %4s%8s %12s %4s%8s\n", what, "1 thread", "of ", first, "2 threads", "of ", first);
}

// Every recipe on LeNet.
static void time_recipes(const FxDataset *data) {
    double fp32[3] = {0};
    print_head("recipe, lenet", "fp32");
    time_recipe(data, "fp32", "lenet", 128, fp32);
    for (int i = 0; fx_recipe_name(i); i++)
        if (strcmp(fx_recipe_name(i), "fp32"))
            time_recipe(data, fx_recipe_name(i), "lenet", 128, fp32);
}

// The recipes with norms on a residual net, and on LeNet with norms.
static void time_norms(const FxDataset *small, const FxDataset *large) {
    static const char *const recipes[] = {"fp32-bn", "int8-l1bn", "banner2018", "ui8", "wage-bn"};
    for (int net = 0; net < 2; net++) {
        double fp32[3] = {0};
        print_head(net ? "recipe, lenet-bn" : "recipe, resnet20", "fp32-bn");
        for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
            time_recipe(net ? small : large, recipes[i], net ? "lenet-bn" : "resnet20", 128, fp32);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "recipes")) {
        FxDataset images = synthetic(28, 28, 1, 2048, 16);
        time_recipes(&images);
        fx_dataset_free(&images);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "norms")) {
        FxDataset small = synthetic(28, 28, 1, 2048, 16), large = synthetic(32, 32, 3, 2048, 16);
        time_norms(&small, &large);
        fx_dataset_free(&small);
        fx_dataset_free(&large);
        return 0;
    }
    bool quick = argc > 1 && !strcmp(argv[1], "quick");
    unsigned cpu = fx_cpu_detect();
    double peaks[3] = {0, fx_bench_peak(cpu, 1), fx_bench_peak(cpu, 2)};
    printf("%s; peak of 8-bit multiply-adds: %.0f GMAC/s on one thread, %.0f on two\n\n", fx_cpu_name(cpu), peaks[1], peaks[2]);
    printf("%-58s %5s %7s %9s %10s %9s %10s\n", "net", "batch", "threads", "ms/step", "images/s", "GMAC/s", "of peak");

    FxDataset small = synthetic(28, 28, 1, 2048, 16), large = synthetic(32, 32, 3, quick ? 1024 : 50000, quick ? 16 : 10000);
    time_pair(&small, "wage-mnist", "lenet", 128, peaks);
    time_pair(&small, "wage-mnist", "mlp", 128, peaks);
    time_pair(&large, "wage", "vgg7", 128, peaks);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("\npeak memory so far, data set of %zu + %zu images included: %.0f MB\n\n", large.train.count, large.test.count,
           (double)usage.ru_maxrss / 1e3);
    for (int batch = 16; batch <= 512 && !quick; batch *= 2)
        time_pair(&small, "wage-mnist", "lenet", batch, peaks);
    static const char *const widths[] = {"2x(32C3)-MP2-2x(64C3)-MP2-2x(128C3)-MP2-256FC-10", "2x(64C3)-MP2-2x(128C3)-MP2-2x(256C3)-MP2-512FC-10"};
    for (int i = 0; i < 2 && !quick; i++)
        time_pair(&large, "wage", widths[i], 128, peaks);
    for (int batch = 16; batch <= 64 && !quick; batch *= 2)
        time_pair(&large, "wage", "vgg7", batch, peaks);
    fx_dataset_free(&small);
    fx_dataset_free(&large);
    return 0;
}
