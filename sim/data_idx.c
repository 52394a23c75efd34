// Data sets: IDX files as MNIST and Fashion-MNIST come in, plain or gzip.
// Images: big-endian u32 2051, count, rows, columns, then count x rows x columns bytes, row-major.
// Labels: big-endian u32 2049, count, then count bytes 0..9.
// Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
#include "sim/data_internal.h"

#include <stdio.h>

enum { MAGIC_IMAGES = 2051, MAGIC_LABELS = 2049, CLASSES = 10 };

typedef struct Part {
    const char *images, *labels; // first halves of the file names
} Part;

static const Part train_part = {"train-images", "train-labels"};
static const Part test_part = {"t10k-images", "t10k-labels"};
static const char image_type[] = "idx3-ubyte", label_type[] = "idx1-ubyte";

// Path of the first of the four spellings that is there. 1: found, 0: none, -1: error.
static int find(char path[FX_DATA_PATH], const char *dir, const char *stem, const char *type,
                FxError *err) {
    static const char *const separators[] = {"-", "."}, *const ends[] = {"", ".gz"};
    for (int i = 0; i < 4; i++) {
        char name[64];
        struct stat st;
        snprintf(name, sizeof name, "%s%s%s%s", stem, separators[i / 2], type, ends[i % 2]);
        if (fx_data_join(path, dir, name, err) != 0)
            return -1;
        int found = fx_data_stat(path, &st, err);
        if (found != 0)
            return found;
    }
    return 0;
}

static int present(const char *dir, FxError *err) {
    const Part *const parts[] = {&train_part, &test_part};
    char path[FX_DATA_PATH];
    for (int i = 0; i < 2; i++) {
        int found = find(path, dir, parts[i]->images, image_type, err);
        if (found == 0)
            found = find(path, dir, parts[i]->labels, label_type, err);
        if (found != 0)
            return found;
    }
    return 0;
}

static int find_and_open(FxDataFile *file, char path[FX_DATA_PATH], const char *dir,
                         const char *stem, const char *type, FxError *err) {
    int found = find(path, dir, stem, type, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return fx_fail(err, FX_EXIT_DATA, "%s: no file %s-%s, nor %s.%s, plain or .gz", dir, stem,
                       type, stem, type);
    return fx_data_open(file, path, err);
}

// Reads the magic number and `count` sizes.
static int read_header(FxDataFile *file, uint32_t magic, uint32_t sizes[], int count,
                       FxError *err) {
    unsigned char bytes[16];
    if (fx_data_read(file, bytes, (size_t)(4 + 4 * count), err) != 0)
        return -1;
    for (int i = 0; i <= count; i++) {
        const unsigned char *b = bytes + 4 * i;
        uint32_t word = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        if (i == 0 && word != magic)
            return fx_fail(err, FX_EXIT_DATA, "%s: magic number %u; IDX %s have %u", file->path,
                           word, magic == MAGIC_IMAGES ? "images" : "labels", magic);
        if (i > 0)
            sizes[i - 1] = word;
    }
    return 0;
}

static int read_images(FxDataFile *file, FxDataset *data, FxImages *images, FxError *err) {
    uint32_t sizes[3];
    if (read_header(file, MAGIC_IMAGES, sizes, 3, err) != 0)
        return -1;
    if (sizes[1] > FX_DATA_MAX_SIDE || sizes[2] > FX_DATA_MAX_SIDE)
        return fx_fail(err, FX_EXIT_DATA, "%s: images of %u x %u pixels; a side has 1 to %d",
                       file->path, sizes[1], sizes[2], FX_DATA_MAX_SIDE);
    int h = (int)sizes[1], w = (int)sizes[2];
    if (data->height && (h != data->height || w != data->width))
        return fx_fail(err, FX_EXIT_DATA,
                       "%s: images of %d x %d pixels; those of the training set have %d x %d",
                       file->path, h, w, data->height, data->width);
    data->height = h;
    data->width = w;
    uint64_t bytes = (uint64_t)sizes[0] * sizes[1] * sizes[2];
    if (fx_data_expect(file, bytes, err) != 0 ||
        fx_images_init(images, data, sizes[0], file->path, err) != 0 ||
        fx_data_read(file, images->pixels, (size_t)bytes, err) != 0)
        return -1;
    return fx_data_finish(file, err);
}

static int read_labels(FxDataFile *file, FxImages *images, FxError *err) {
    uint32_t count;
    if (read_header(file, MAGIC_LABELS, &count, 1, err) != 0)
        return -1;
    if (count != images->count)
        return fx_fail(err, FX_EXIT_DATA, "%s: %u labels for %zu images", file->path, count,
                       images->count);
    if (fx_data_read(file, images->labels, images->count, err) != 0 ||
        fx_data_finish(file, err) != 0)
        return -1;
    for (size_t i = 0; i < images->count; i++)
        if (images->labels[i] >= CLASSES)
            return fx_fail(err, FX_EXIT_DATA, "%s: label %d of image %zu; labels are 0 to %d",
                           file->path, images->labels[i], i, CLASSES - 1);
    return 0;
}

static int read_part(FxDataset *data, FxImages *images, const Part *part, const char *dir,
                     FxError *err) {
    char path[FX_DATA_PATH];
    FxDataFile file = {0};
    int result = find_and_open(&file, path, dir, part->images, image_type, err);
    if (result == 0)
        result = read_images(&file, data, images, err);
    fx_data_close(&file);
    if (result == 0)
        result = find_and_open(&file, path, dir, part->labels, label_type, err);
    if (result == 0)
        result = read_labels(&file, images, err);
    fx_data_close(&file);
    return result;
}

static int load(FxDataset *data, const char *dir, FxError *err) {
    data->channels = 1;
    data->classes = CLASSES;
    if (read_part(data, &data->train, &train_part, dir, err) != 0)
        return -1;
    return read_part(data, &data->test, &test_part, dir, err);
}

const FxDataKind fx_data_idx = {
    "IDX",
    "train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-..., t10k-labels-...",
    present, load};
