// libFuzzer target of the data set readers. The first byte says which file of a set the other bytes
// are; the rest of the set is good. A set that loads must be consistent and load the same again.
#include "tests/data_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct Role {
    const char *file; // below the set's directory
    int png;          // its CRCs are repaired
} Role;

static const Role roles[] = {
    {"train-images-idx3-ubyte", 0},
    {"train-images-idx3-ubyte.gz", 0},
    {"train-labels-idx1-ubyte", 0},
    {"t10k-images-idx3-ubyte", 0},
    {"t10k-labels-idx1-ubyte.gz", 0},
    {"data_batch_1.bin", 0},
    {"data_batch_1.bin.gz", 0},
    {"train/a/1.png", 0},
    {"train/a/1.png", 1},
    {"train/a/2.png", 1},
    {"test/b/1.png", 1},
};
enum { ROLES = sizeof roles / sizeof roles[0] };

static void write_unless(const char *dir, const char *name, const char *taken, Buffer b) {
    if (strncmp(taken, name, strlen(name)) != 0) // a name is the beginning of its .gz
        write_file(dir, name, b.bytes, b.size);
    buffer_free(&b);
}

static void write_set(const char *dir, const char *taken) {
    static const unsigned char pixels[27] = {1, 2, 3}, labels[3] = {9, 0, 1};
    if (strstr(taken, "idx")) {
        write_unless(dir, "train-images-idx3-ubyte", taken, idx_images(3, 3, 3, pixels));
        write_unless(dir, "train-labels-idx1-ubyte", taken, idx_labels(3, labels));
        write_unless(dir, "t10k-images-idx3-ubyte", taken, idx_images(2, 3, 3, pixels));
        write_unless(dir, "t10k-labels-idx1-ubyte", taken, idx_labels(2, labels));
    }
    if (strstr(taken, "png")) {
        static const char *const files[] = {"train/a/1.png", "train/a/2.png", "train/b/1.png",
                                            "test/b/1.png"};
        static const char *const dirs[] = {"train", "train/a", "train/b", "test", "test/b"};
        for (int i = 0; i < 5; i++)
            make_dir(dir, dirs[i]);
        for (int i = 0; i < 4; i++)
            write_unless(dir, files[i], taken, png_make((PngShape){3, 3, 8, PNG_RGB, 0}, pixels));
    }
}

static void check(const char *dir) {
    FxDataset a, b;
    FxError err = {0};
    if (fx_dataset_load(&a, dir, &err) != 0) {
        if (err.exit_code != FX_EXIT_DATA || !strstr(err.text, dir) || strchr(err.text, '\n'))
            abort();
        return;
    }
    if (fx_dataset_load(&b, dir, &err) != 0 || a.crc32 != b.crc32 || a.train.count < 1 ||
        a.test.count < 1)
        abort();
    for (size_t i = 0; i < a.train.count; i++)
        if (a.train.labels[i] >= a.classes)
            abort();
    fx_dataset_free(&a);
    fx_dataset_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1)
        return -1;
    const Role *role = &roles[bytes[0] % ROLES];
    char *dir = temp_make();
    write_set(dir, role->file);
    Buffer b = {0};
    buffer_add(&b, bytes + 1, size - 1);
    if (role->png && b.size)
        png_repair_crcs(b.bytes, b.size);
    write_buffer(dir, role->file, b);
    check(dir);
    temp_remove(dir);
    free(dir);
    return 0;
}
