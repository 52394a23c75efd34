// Data sets: bytes of images with a class each.
#ifndef FX_DATA_H
#define FX_DATA_H

#include "formats/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct FxImages {
    size_t count;
    uint8_t *pixels; // count x height x width x channels
    uint8_t *labels; // 0 .. classes - 1
} FxImages;

typedef struct FxDataset {
    char name[256]; // as given to fx_dataset_load
    int height, width, channels, classes;
    FxImages train, test;
    uint32_t crc32; // zlib CRC-32 over train pixels, train labels, test pixels, test labels
} FxDataset;

// name: "digits", "fashion-mnist", or a directory that holds IDX files (.gz or not) named as MNIST's, CIFAR-10
// binaries (.bin or .bin.gz), or PNG files as train/CLASS/*.png and test/CLASS/*.png.
// Errors: exit code 4 and one line that names the file, what was read and what would be right; nothing is kept.
int fx_dataset_load(FxDataset *data, const char *name, FxError *err);
void fx_dataset_free(FxDataset *data); // accepts a zeroed struct

#endif
