// Test vectors: tensors as files that NumPy and hardware read, and manifest.csv, which describes them.
#ifndef FX_VECTORS_H
#define FX_VECTORS_H

#include "formats/quantiser.h"

#include <stdio.h>

enum { FX_VECTOR_NAME = 96, FX_VECTOR_PATH = 4096 };

// .npy: codes in the narrowest usual type, values of floats as float32. .hex, as $readmemh reads it: one element a line,
// row-major, ceil(bits / 4) lower-case digits; integers as two's complement masked to their width, values of a float grid of
// constant scale as its bit patterns, all others as the bits of a float32.
typedef enum FxVectorForm { FX_VECTOR_NPY, FX_VECTOR_HEX } FxVectorForm;

// One line of manifest.csv. value = code * 2^exponent; of float grids the exponent is the scale's.
typedef struct FxVector {
    char file[FX_VECTOR_NAME];
    uint64_t step;
    char layer[FX_VECTOR_NAME], site[FX_VECTOR_NAME];
    int rank;
    size_t shape[4];
    char layout[24]; // "n.h.w.c", "kh.kw.ci.co", "in.out", ...
    int bits;        // of a word
    bool is_signed, has_exponent;
    int exponent;
    char grid[FX_QUANTISER_TEXT]; // "" for what no quantiser has made
    uint32_t crc32;  // of the file
} FxVector;

extern const char *const fx_vector_header; // of manifest.csv

typedef struct FxVectors {
    char directory[FX_VECTOR_PATH];
    FxVectorForm form;
    FILE *manifest;
    int count;
    char (*names)[FX_VECTOR_NAME]; // of the files so far
} FxVectors;

// Makes the directory, which must be absent or empty. Errors: exit code 2 if it is not, 1.
int fx_vectors_open(FxVectors *vectors, const char *directory, FxVectorForm form, FxError *err);
// Writes t as LAYER.SITE.npy or .hex and its line; fills vector->file and crc32. A name used before gets a number behind it.
int fx_vectors_add(FxVectors *vectors, FxVector *vector, const FxTensor *t, FxError *err);
int fx_vectors_close(FxVectors *vectors, FxError *err); // also after an error

// Reads the line of a manifest, without its end. Errors: exit code 4; where: file and line.
int fx_vector_parse(FxVector *vector, const char *line, const char *where, FxError *err);

// The words of a vector's file (.npy or .hex) as its manifest describes them, masked to their width; unknown[i]: an x or z
// stands there. The caller frees both. Errors: exit code 4.
int fx_vector_read(uint64_t **words, bool **unknown, const FxVector *vector, const char *path, FxError *err);

// zlib's CRC-32 of a file. Errors: exit code 4.
int fx_file_crc32(uint32_t *crc, const char *path, FxError *err);

// The word of element i as vectors are written.
uint64_t fx_vector_word(const FxVector *vector, const FxQuantiser *q, const FxTensor *t, size_t i);
// Whether the word of element i of a float tensor, whose patterns q tells, is its value, and not that of a neighbour on the grid.
bool fx_vector_is_exact(const FxVector *vector, const FxQuantiser *q, const FxTensor *t, size_t i);
// The quantiser that tells the patterns of a vector of floats; false: its words are the bits of float32 or integers.
bool fx_vector_patterns(const FxVector *vector, FxQuantiser *q);

size_t fx_vector_count(const FxVector *vector);

#endif
