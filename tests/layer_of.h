// Product layers for tests: planned from a line of numbers, with tensors of random codes, run through FxLayerOps with
// guard bytes around everything they write; and the products' definitions, one term at a time.
#ifndef FX_TESTS_LAYER_OF_H
#define FX_TESTS_LAYER_OF_H

#include "layers/layer.h"
#include "tests/slow.h"

typedef struct Geometry {
    const FxLayerOps *ops; // conv or fc; fc ignores the window
    int n, h, w, ci, co, kernel, stride, pad;
    FxType x, weight, e;
} Geometry;

// A new number at each call, the same sequence in each run. 0 <= number < n.
uint64_t draw(uint64_t n);

// 1, and now and then 2 or 3: idle threads spin, which costs more than these small problems.
int any_threads(void);

// Codes of the type: all of them, or with half = true only those whose sum and difference of two stay inside.
FxTensor random_codes(FxType type, size_t count, bool half);
uint64_t type_max(FxType type); // largest magnitude

// Planned, group 1, exact, with the largest products of its types.
FxLayer layer_of(const Geometry *g);
FxTensor random_x(const FxLayer *l, const Geometry *g);
FxTensor random_e(const FxLayer *l, const Geometry *g);
FxTensor random_w(const FxLayer *l, const Geometry *g);

size_t product_k(const FxLayer *l, FxProductKind kind);
size_t product_outputs(const FxLayer *l, FxProductKind kind);

// The sums of the product in a new tensor of the type that the accumulator proves; left and right: x and w, e and w,
// x and e. counts may be NULL.
FxTensor product_run(const FxLayer *l, FxProductKind kind, const FxTensor *left, const FxTensor *right, unsigned cpu,
                     int threads, FxAccumulatorCounts *counts);

// Product k, in the accumulator's order, of output number `out`, from the definitions in design.md 3.
Wide product_term(const FxLayer *l, FxProductKind kind, const FxTensor *left, const FxTensor *right, size_t out, size_t k);

unsigned any_cpu(void); // one of this machine's instruction sets

// Line i of the instruction sets of this machine; false past the last.
bool cpu_level(int i, unsigned *cpu);

void geometry_print(char *text, size_t size, const Geometry *g);

#endif
