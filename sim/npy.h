// Arrays in NumPy's format: .npy files of version 1.0, and archives of them, .npz.
// Source: NEP 1, "A Simple File Format for NumPy Arrays".
#ifndef FX_NPY_H
#define FX_NPY_H

#include "formats/error.h"
#include "formats/tensor.h"

#include <stdio.h>

enum { FX_NPY_RANK = 8, FX_NPY_NAME = 256 };

// An array read; data is the caller's to free.
typedef struct FxNpy {
    FxTensor tensor; // exponent 0
    int rank;
    size_t shape[FX_NPY_RANK];
} FxNpy;

// A row-major, little-endian array. Errors: exit code 1.
int fx_npy_write(FILE *file, const char *path, const FxTensor *t, int rank, const size_t *shape, FxError *err);

// Reads row-major arrays of 8 to 64-bit integers but uint64, float32 and float64, of either byte order, from the bytes of
// a .npy file. Errors: exit code 4.
int fx_npy_parse(FxNpy *array, const unsigned char *bytes, size_t size, const char *path, FxError *err);

// The arrays of a .npz, one call of `each` for one: its name without .npy. Errors: exit code 4, 1 where the build has no
// libzip, and what `each` fails with.
int fx_npz_read(const char *path, int (*each)(void *user, const char *name, FxNpy *array, FxError *err), void *user, FxError *err);

#endif
