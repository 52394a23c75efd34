// Data sets: CIFAR-10, binary version, plain or gzip: data_batch_1.bin to data_batch_5.bin and
// test_batch.bin. Each holds 10,000 records of 3073 bytes: label 0..9, then 1024 bytes red, 1024
// green, 1024 blue, row-major. The planes are stored interleaved (h w c), a record at a time.
// Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
#include "sim/data_internal.h"

#include <stdio.h>

enum {
    SIDE = 32,
    PIXELS = SIDE * SIDE,
    CHANNELS = 3,
    CLASSES = 10,
    RECORDS = 10000,
    TRAIN_FILES = 5
};

// File i: 0 to 4 training, 5 test. Path of the plain file, else of the gzip one. 1: found, 0: none,
// -1: error.
static int find(char path[FX_DATA_PATH], const char *dir, int i, FxError *err) {
    for (int gz = 0; gz < 2; gz++) {
        char name[32];
        struct stat st;
        if (i < TRAIN_FILES)
            snprintf(name, sizeof name, "data_batch_%d.bin%s", i + 1, gz ? ".gz" : "");
        else
            snprintf(name, sizeof name, "test_batch.bin%s", gz ? ".gz" : "");
        if (fx_data_join(path, dir, name, err) != 0)
            return -1;
        int found = fx_data_stat(path, &st, err);
        if (found != 0)
            return found;
    }
    return 0;
}

static int present(const char *dir, FxError *err) {
    char path[FX_DATA_PATH];
    int found = 0;
    for (int i = 0; i <= TRAIN_FILES && found == 0; i++)
        found = find(path, dir, i, err);
    return found;
}

static int read_records(FxDataFile *file, uint8_t *pixels, uint8_t *labels, FxError *err) {
    unsigned char record[1 + CHANNELS * PIXELS];
    if (fx_data_expect(file, RECORDS * sizeof record, err) != 0)
        return -1;
    for (int i = 0; i < RECORDS; i++) {
        if (fx_data_read(file, record, sizeof record, err) != 0)
            return -1;
        if (record[0] >= CLASSES)
            return fx_fail(err, FX_EXIT_DATA, "%s: label %d of image %d; labels are 0 to %d",
                           file->path, record[0], i, CLASSES - 1);
        labels[i] = record[0];
        uint8_t *to = pixels + (size_t)i * CHANNELS * PIXELS;
        for (int p = 0; p < PIXELS; p++)
            for (int c = 0; c < CHANNELS; c++)
                to[CHANNELS * p + c] = record[1 + PIXELS * c + p];
    }
    return fx_data_finish(file, err);
}

// File i into images first, first + 1, ...
static int read_file(FxImages *images, size_t first, const char *dir, int i, FxError *err) {
    char path[FX_DATA_PATH];
    FxDataFile file = {0};
    int found = find(path, dir, i, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return fx_fail(err, FX_EXIT_DATA,
                       "%s: no such file, plain or .gz; CIFAR-10 needs data_batch_1.bin to "
                       "data_batch_5.bin and test_batch.bin",
                       path);
    int result = fx_data_open(&file, path, err);
    if (result == 0)
        result = read_records(&file, images->pixels + first * CHANNELS * PIXELS,
                              images->labels + first, err);
    fx_data_close(&file);
    return result;
}

static int load(FxDataset *data, const char *dir, FxError *err) {
    data->height = data->width = SIDE;
    data->channels = CHANNELS;
    data->classes = CLASSES;
    if (fx_images_init(&data->train, data, TRAIN_FILES * RECORDS, dir, err) != 0 ||
        fx_images_init(&data->test, data, RECORDS, dir, err) != 0)
        return -1;
    for (int i = 0; i < TRAIN_FILES; i++)
        if (read_file(&data->train, (size_t)i * RECORDS, dir, i, err) != 0)
            return -1;
    return read_file(&data->test, 0, dir, TRAIN_FILES, err);
}

const FxDataKind fx_data_cifar = {
    "CIFAR-10", "data_batch_1.bin[.gz] to data_batch_5.bin[.gz], test_batch.bin[.gz]", present,
    load};
