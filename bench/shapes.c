#include "bench/shapes.h"

#include "formats/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fx_bench_kinds[FX_BENCH_KINDS] = {"forward", "error", "gradient"};

static const FxBenchShape shapes[] = {
    {"LeNet conv1", 73728, 25, 32},    {"LeNet conv2", 8192, 800, 64},    {"LeNet FC", 128, 1024, 512},
    {"VGG conv2", 131072, 1152, 128},  {"VGG conv4", 32768, 2304, 256},   {"VGG conv6", 8192, 4608, 512},
};

static const FxBenchConv convs[] = {
    {"LeNet conv1", 28, 1, 32, 5, 0, "fg"},   {"LeNet conv2", 12, 32, 64, 5, 0, "feg"},
    {"VGG conv1", 32, 3, 128, 3, 1, "fg"},    {"VGG conv2", 32, 128, 128, 3, 1, "feg"},
    {"VGG conv6", 8, 512, 512, 3, 1, "feg"},  {"FC 8192x1024", 1, 8192, 1024, 1, 0, "feg"},
    {"FC 1024x512", 1, 1024, 512, 1, 0, "feg"}, {"FC 512x10", 1, 512, 10, 1, 0, "feg"},
};

const FxBenchShape *fx_bench_shape(int i) {
    return i < (int)(sizeof shapes / sizeof shapes[0]) ? &shapes[i] : NULL;
}

const FxBenchConv *fx_bench_conv(int i) {
    return i < (int)(sizeof convs / sizeof convs[0]) ? &convs[i] : NULL;
}

void fx_bench_plain(FxMatrix *a, FxMatrix *b, const FxBenchShape *s, int kind, const void *x, FxType x_type, const void *y, FxType y_type) {
    *a = fx_matrix_plain(x, x_type, s->m, s->k, kind == 2);
    *b = fx_matrix_plain(y, y_type, kind == 0 ? s->k : kind == 1 ? s->n : s->m, kind == 1 ? s->k : s->n, kind != 1);
}

void fx_bench_layer(FxMatrix *a, FxMatrix *b, const FxBenchConv *v, char which, FxType type, const void *x, const void *e, const void *w) {
    const int out = v->size + 2 * v->pad - v->kernel + 1, taps = v->kernel * v->kernel;
    const FxMatrix image = {.data = x, .type = type, .images = FX_BENCH_BATCH, .height = v->size, .width = v->size, .channels = v->channels,
                            .out_height = out, .out_width = out, .kernel_height = v->kernel, .kernel_width = v->kernel, .stride = 1,
                            .pad = v->pad, .patch_rows = which == 'g'};
    if (which == 'e') {
        *a = (FxMatrix){.data = e, .type = type, .images = FX_BENCH_BATCH, .height = out, .width = out, .channels = v->outputs,
                        .out_height = v->size, .out_width = v->size, .kernel_height = v->kernel, .kernel_width = v->kernel, .stride = 1,
                        .pad = v->pad, .gather = true};
        *b = (FxMatrix){.data = w, .type = type, .images = 1, .height = taps, .width = v->channels, .channels = v->outputs, .out_height = 1,
                        .out_width = v->channels, .kernel_height = taps, .kernel_width = 1, .stride = 1};
        return;
    }
    *a = image;
    *b = which == 'f' ? fx_matrix_plain(w, type, taps * v->channels, v->outputs, true)
                      : fx_matrix_plain(e, type, FX_BENCH_BATCH * out * out, v->outputs, true);
}

void *fx_bench_allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL) {
        fprintf(stderr, "bench: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

int fx_bench_cpu(unsigned *cpu, int argc, char **argv) {
    FxError err;
    *cpu = fx_cpu_detect();
    if (argc < 2 || strcmp(argv[1], "--cpu"))
        return 1;
    if (argc < 3 || fx_cpu_parse(cpu, argv[2], &err) < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], argc < 3 ? "--cpu: a level must follow" : err.text);
        exit(2);
    }
    return 3;
}

bool fx_bench_wanted(int words, char **word, const char *section, const char *name) {
    for (int i = 0; i < words; i++)
        if (!strcmp(word[i], section) || !strcmp(word[i], name))
            return true;
    return words == 0;
}
