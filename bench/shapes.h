// The products that the benchmarks of GEMMs share.
#ifndef FX_BENCH_SHAPES_H
#define FX_BENCH_SHAPES_H

#include "layers/gemm.h"

enum { FX_BENCH_BATCH = 128, FX_BENCH_KINDS = 3 };
extern const char *const fx_bench_kinds[FX_BENCH_KINDS]; // forward, error, gradient

// M x K by K x N.
typedef struct FxBenchShape {
    const char *name;
    int m, k, n;
} FxBenchShape;

// A layer at batch 128; size 1: fully connected. products: f, e, g.
typedef struct FxBenchConv {
    const char *name;
    int size, channels, outputs, kernel, pad;
    const char *products;
} FxBenchConv;

const FxBenchShape *fx_bench_shape(int i); // NULL past the last
const FxBenchConv *fx_bench_conv(int i);   // NULL past the last

// Plain operands in the order that the product of a kind reads them. y: k x n, of the gradient m x n.
void fx_bench_plain(FxMatrix *a, FxMatrix *b, const FxBenchShape *shape, int kind, const void *x, FxType x_type, const void *y, FxType y_type);

// Operands of a product as its layer makes it: which of f, e, g; x, e and w of one type.
void fx_bench_layer(FxMatrix *a, FxMatrix *b, const FxBenchConv *conv, char which, FxType type, const void *x, const void *e, const void *w);

// Aligned bytes; no memory ends the program.
void *fx_bench_allocate(size_t bytes);

// --cpu LEVEL at the front of the arguments; returns the index of the first one behind it. An unknown level ends the program.
int fx_bench_cpu(unsigned *cpu, int argc, char **argv);

// Whether one of the words names it; true without words.
bool fx_bench_wanted(int words, char **word, const char *section, const char *name);

#endif
