// Quantisers for tests: from a text to codes in one call, and the same told to the slow twin.
#ifndef FX_TESTS_CAST_H
#define FX_TESTS_CAST_H

#include "formats/quantiser.h"
#include "tests/slow.h"

FxQuantiser quantiser_of(const char *text); // a text that does not parse fails the test
// Philox with 32-bit lanes, seed 1, stream 2, step 3.
FxCast cast_of(const FxQuantiser *q, int shift, unsigned cpu);
SlowGrid slow_grid_of(const FxQuantiser *q);
SlowLaw slow_law_of(const FxQuantiser *q, int width);

double number_value(FxNumber x); // rounded to float64

bool type_holds(FxType type, int64_t code);
// A tensor of n zero elements, to be freed by tensor_free; tensor_of fills it.
FxTensor tensor_new(FxType type, size_t n);
FxTensor tensor_of(FxType type, const int64_t *codes, size_t n);
void tensor_free(FxTensor *t);

// Casts x, kept in `in` and stored as `out`, in one range; the codes come back in y, those of float32 values as well.
void cast_codes(int64_t *y, const FxCast *cast, FxType in, FxType out, const int64_t *x, size_t n, FxStats *stats);

// Line i of the kernels that this machine can run; false past the last. *i moves behind it.
bool next_cpu(int *i, unsigned *cpu);

#endif
