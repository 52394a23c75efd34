// Data sets: the built-in digits, IDX and CIFAR-10 files read back exactly, damage of every kind
// refused, names. The PNG reader has its own file. With FXSIM_DATA=DIR the public sets in DIR/mnist
// and DIR/cifar10 are read too.
#include "tests/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static int make_temp(void **state) {
    *state = temp_make();
    return 0;
}

static int remove_temp(void **state) {
    temp_remove(*state);
    free(*state);
    return 0;
}

static void must_load(FxDataset *data, const char *name) {
    FxError err = {0};
    if (fx_dataset_load(data, name, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(data->name, name);
}

static void check_counts(const FxImages *images, const size_t expected[10]) {
    size_t counts[256] = {0};
    for (size_t i = 0; i < images->count; i++)
        counts[images->labels[i]]++;
    for (int c = 0; c < 256; c++)
        if (counts[c] != (c < 10 ? expected[c] : 0))
            fail_msg("label %d: %zu images instead of %zu", c, counts[c], c < 10 ? expected[c] : 0);
}

// Digits. Counts, sums and checksum were computed from the published table by another program.

static void digits_are_the_published_ones(void **state) {
    (void)state;
    FxDataset data;
    must_load(&data, "digits");
    assert_int_equal(data.height, 8);
    assert_int_equal(data.width, 8);
    assert_int_equal(data.channels, 1);
    assert_int_equal(data.classes, 10);
    assert_int_equal(data.train.count, 1437);
    assert_int_equal(data.test.count, 360);
    check_counts(&data.train, (size_t[]){143, 146, 142, 146, 144, 145, 144, 143, 141, 143});
    check_counts(&data.test, (size_t[]){35, 36, 35, 37, 37, 37, 37, 36, 33, 37});
    // Values 0 0 5 13 9 1 0 0 / 0 0 13 15 10 15 5 0 of the first image, a 0; row 1 of the second, a
    // 1, has a 16.
    static const uint8_t first[] = {0, 0, 80, 208, 144, 16, 0, 0, 0, 0, 208, 240, 160, 240, 80, 0};
    assert_memory_equal(data.train.pixels, first, sizeof first);
    assert_int_equal(data.train.labels[0], 0);
    assert_int_equal(data.train.labels[1], 1);
    assert_int_equal(data.train.pixels[64 + 8 + 4], 255);
    uint64_t sums[2] = {0};
    for (size_t i = 0; i < 1437 * 64; i++)
        sums[0] += data.train.pixels[i];
    for (size_t i = 0; i < 360 * 64; i++)
        sums[1] += data.test.pixels[i];
    assert_int_equal(sums[0], 7181692);
    assert_int_equal(sums[1], 1795340);
    assert_int_equal(data.crc32, 0xb27aea60);
    fx_dataset_free(&data);
    assert_null(data.train.pixels);
    fx_dataset_free(&data);
}

// IDX: 5 training and 3 test images of 3 x 2 pixels.

enum { TRAIN = 5, TEST = 3, H = 3, W = 2 };

static const unsigned char train_labels[TRAIN] = {9, 0, 3, 3, 7}, test_labels[TEST] = {1, 9, 0};

typedef struct IdxSet {
    unsigned char train[TRAIN * H * W], test[TEST * H * W];
    Buffer files[4]; // train images, train labels, test images, test labels
} IdxSet;

static const char *const idx_names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
static const char *const idx_dotted[] = {"train-images.idx3-ubyte", "train-labels.idx1-ubyte",
                                         "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"};

static IdxSet idx_set(void) {
    IdxSet set;
    for (int i = 0; i < TRAIN * H * W; i++)
        set.train[i] = (unsigned char)(255 - 7 * i);
    for (int i = 0; i < TEST * H * W; i++)
        set.test[i] = (unsigned char)(100 + 5 * i);
    set.files[0] = idx_images(TRAIN, H, W, set.train);
    set.files[1] = idx_labels(TRAIN, train_labels);
    set.files[2] = idx_images(TEST, H, W, set.test);
    set.files[3] = idx_labels(TEST, test_labels);
    return set;
}

static void idx_write(const char *dir, const IdxSet *set) {
    for (int i = 0; i < 4; i++)
        write_file(dir, idx_names[i], set->files[i].bytes, set->files[i].size);
}

static void idx_free(IdxSet *set) {
    for (int i = 0; i < 4; i++)
        buffer_free(&set->files[i]);
}

static uint32_t crc_of(const IdxSet *set) {
    uLong crc = crc32(0, set->train, sizeof set->train);
    crc = crc32(crc, train_labels, TRAIN);
    crc = crc32(crc, set->test, sizeof set->test);
    return (uint32_t)crc32(crc, test_labels, TEST);
}

static void idx_files_are_read_back_exactly_in_every_spelling(void **state) {
    for (int names = 0; names < 16 * 4; names++) {
        char *dir = path_of(*state, "set");
        make_dir(*state, "set");
        IdxSet set = idx_set();
        for (int i = 0; i < 4; i++) { // bit i: gzip or not; the two upper bits: with dots or not
            char name[64];
            snprintf(name, sizeof name, "%s%s",
                     names >> (4 + i % 2) & 1 ? idx_dotted[i] : idx_names[i],
                     names >> i & 1 ? ".gz" : "");
            Buffer b = names >> i & 1 ? buffer_gzip(&set.files[i]) : set.files[i];
            write_file(dir, name, b.bytes, b.size);
            if (names >> i & 1)
                buffer_free(&b);
        }
        FxDataset data;
        must_load(&data, dir);
        assert_int_equal(data.height, H);
        assert_int_equal(data.width, W);
        assert_int_equal(data.channels, 1);
        assert_int_equal(data.classes, 10);
        assert_int_equal(data.train.count, TRAIN);
        assert_int_equal(data.test.count, TEST);
        assert_memory_equal(data.train.pixels, set.train, sizeof set.train);
        assert_memory_equal(data.train.labels, train_labels, TRAIN);
        assert_memory_equal(data.test.pixels, set.test, sizeof set.test);
        assert_memory_equal(data.test.labels, test_labels, TEST);
        assert_int_equal(data.crc32, crc_of(&set));
        fx_dataset_free(&data);
        idx_free(&set);
        temp_remove(dir);
        free(dir);
    }
}

typedef struct Damage {
    int file;  // of idx_names
    size_t at; // offset of the byte that becomes `byte`
    unsigned char byte;
    const char *why; // what the error says
} Damage;

static void idx_files_with_one_wrong_byte_are_refused(void **state) {
    static const Damage cases[] = {
        {0, 2, 9, "magic number 2307; IDX images have 2051"},
        {0, 3, 1, "magic number 2049; IDX images have 2051"},
        {1, 3, 3, "magic number 2051; IDX labels have 2049"},
        {0, 0, 1, "magic number"},
        {0, 7, 0, "no images"},
        {0, 7, 4, "too long: more than 40 bytes"},
        {0, 7, 6, "cut off: 46 bytes instead of 52"},
        {0, 4, 255, "cut off"},
        {0, 11, 0, "a side has 1 to 4096"},
        {0, 15, 0, "a side has 1 to 4096"},
        {0, 10, 16, "a side has 1 to 4096"},
        {0, 12, 128, "a side has 1 to 4096"},
        {1, 7, 4, "4 labels for 5 images"},
        {1, 7, 6, "6 labels for 5 images"},
        {1, 4, 255, "labels for 5 images"},
        {2, 11, 2, "those of the training set have 3 x 2"},
        {2, 15, 3, "those of the training set have 3 x 2"},
        {1, 8 + 3, 10, "label 10 of image 3; labels are 0 to 9"},
        {3, 8 + 0, 255, "label 255 of image 0; labels are 0 to 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const Damage *c = &cases[i];
        IdxSet set = idx_set();
        set.files[c->file].bytes[c->at] = c->byte;
        idx_write(*state, &set);
        assert_true(data_fails(*state, idx_names[c->file], c->why));
        idx_free(&set);
    }
}

// Sparse file: 16 bytes that promise 4096 x 4096 x 200 bytes which are there, but more than 2^31.
static void idx_sets_over_the_limit_are_refused_before_memory_is_taken(void **state) {
    IdxSet set = idx_set();
    Buffer header = {0};
    for (int i = 0; i < 4; i++)
        buffer_add_u32(&header, (const uint32_t[]){2051, 129, 4096, 4096}[i]);
    idx_write(*state, &set);
    write_buffer(*state, idx_names[0], header);
    char *path = path_of(*state, idx_names[0]);
    assert_int_equal(truncate(path, (off_t)129 << 24 | 16), 0);
    assert_true(data_fails(*state, idx_names[0], "at most 2^31 bytes"));
    free(path);
    idx_free(&set);
}

static void idx_files_of_every_wrong_length_are_refused(void **state) {
    for (int f = 0; f < 4; f++) {
        IdxSet set = idx_set();
        idx_write(*state, &set);
        for (size_t size = 0; size < set.files[f].size; size++) {
            write_file(*state, idx_names[f], set.files[f].bytes, size);
            assert_true(data_fails(*state, idx_names[f], "cut off"));
        }
        buffer_add(&set.files[f], "", 1);
        idx_write(*state, &set);
        assert_true(data_fails(*state, idx_names[f], "too long"));
        idx_free(&set);
    }
}

static void gzip_files_cut_anywhere_are_refused(void **state) {
    IdxSet set = idx_set();
    idx_write(*state, &set);
    for (int f = 0; f < 4; f++) {
        char name[64], *path;
        snprintf(name, sizeof name, "%s.gz", idx_names[f]);
        path = path_of(*state, idx_names[f]);
        assert_int_equal(unlink(path), 0);
        Buffer gz = buffer_gzip(&set.files[f]);
        for (size_t size = 0; size < gz.size; size++) {
            write_file(*state, name, gz.bytes, size);
            assert_true(
                data_fails(*state, name, size == 1 ? ".gz" : "cut off")); // 1: not yet seen as gzip
        }
        write_file(*state, name, gz.bytes, gz.size);
        buffer_free(&gz);
        free(path);
    }
    FxDataset data;
    must_load(&data, *state);
    fx_dataset_free(&data);
    idx_free(&set);
}

static void one_wrong_bit_in_a_gzip_file_never_changes_the_data(void **state) {
    IdxSet set = idx_set();
    idx_write(*state, &set);
    char *path = path_of(*state, idx_names[0]);
    assert_int_equal(unlink(path), 0);
    Buffer gz = buffer_gzip(&set.files[0]);
    size_t refused = 0;
    for (size_t bit = 0; bit < 8 * gz.size; bit++) {
        gz.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        write_file(*state, "train-images-idx3-ubyte.gz", gz.bytes, gz.size);
        gz.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        FxDataset data;
        FxError err = {0};
        if (fx_dataset_load(&data, *state, &err) != 0) {
            refused++;
            assert_int_equal(err.exit_code, FX_EXIT_DATA);
            assert_non_null(strstr(err.text, "train-images-idx3-ubyte.gz"));
            continue;
        }
        assert_int_equal(data.crc32, crc_of(&set));
        fx_dataset_free(&data);
    }
    assert_true(refused >= 8 * (gz.size - 10)); // all but some of the ten header bytes
    gz.bytes[gz.size - 8] ^= 1;                 // the stored CRC
    write_buffer(*state, "train-images-idx3-ubyte.gz", gz);
    assert_true(data_fails(*state, "train-images-idx3-ubyte.gz",
                           "damaged gzip file: incorrect data check"));
    free(path);
    idx_free(&set);
}

// CIFAR-10. A few records hold a pattern, the others zeros.

enum { RECORD = 3073, RECORDS = 10000 };

static const int marked[] = {0, 1, 4999, 9999};

static unsigned char cifar_pixel(int file, int record, int c, int y, int x) {
    return (unsigned char)(1 + 89 * c + 7 * y + 3 * x + record + 50 * file);
}

static unsigned char *cifar_content(int file) {
    unsigned char *all = calloc(RECORDS, RECORD);
    assert_non_null(all);
    for (int m = 0; m < 4; m++) {
        unsigned char *r = all + (size_t)marked[m] * RECORD;
        *r++ = (unsigned char)((file + m + 4) % 10);
        for (int i = 0; i < 3072; i++)
            *r++ = cifar_pixel(file, marked[m], i / 1024, i / 32 % 32, i % 32);
    }
    return all;
}

static const char *const cifar_names[] = {"data_batch_1.bin", "data_batch_2.bin",
                                          "data_batch_3.bin", "data_batch_4.bin",
                                          "data_batch_5.bin", "test_batch.bin"};

// The files with a 1 bit in `gz` are compressed.
static void cifar_write(const char *dir, unsigned gz) {
    for (int f = 0; f < 6; f++) {
        Buffer b = {cifar_content(f), (size_t)RECORDS * RECORD};
        char name[32];
        snprintf(name, sizeof name, "%s%s", cifar_names[f], gz >> f & 1 ? ".gz" : "");
        if (gz >> f & 1)
            write_buffer(dir, name, buffer_gzip(&b));
        else
            write_file(dir, name, b.bytes, b.size);
        buffer_free(&b);
    }
}

static void check_cifar(const uint8_t *pixels, const uint8_t *labels, int file) {
    size_t nonzero = 0, wanted = 0;
    for (int m = 0; m < 4; m++) {
        assert_int_equal(labels[marked[m]], (file + m + 4) % 10);
        for (int i = 0; i < 3072; i++) {
            uint8_t got = pixels[(size_t)marked[m] * 3072 + (size_t)i];
            uint8_t want = cifar_pixel(file, marked[m], i % 3, i / 96, i / 3 % 32);
            wanted += want != 0;
            if (got != want)
                fail_msg("file %d record %d byte %d: %d instead of %d", file, marked[m], i, got,
                         want);
        }
    }
    for (size_t i = 0; i < (size_t)RECORDS * 3072; i++)
        nonzero += pixels[i] != 0;
    assert_int_equal(nonzero, wanted);
}

static void cifar_files_are_read_back_exactly_with_channels_interleaved(void **state) {
    for (int gz = 0; gz < 2; gz++) {
        char *dir = path_of(*state, gz ? "gz" : "plain");
        make_dir(*state, gz ? "gz" : "plain");
        cifar_write(dir, gz ? 0x3f : 0);
        FxDataset data;
        must_load(&data, dir);
        assert_int_equal(data.height, 32);
        assert_int_equal(data.width, 32);
        assert_int_equal(data.channels, 3);
        assert_int_equal(data.classes, 10);
        assert_int_equal(data.train.count, 50000);
        assert_int_equal(data.test.count, 10000);
        for (int f = 0; f < 5; f++)
            check_cifar(data.train.pixels + (size_t)f * RECORDS * 3072,
                        data.train.labels + f * RECORDS, f);
        check_cifar(data.test.pixels, data.test.labels, 5);
        fx_dataset_free(&data);
        temp_remove(dir);
        free(dir);
    }
}

static void damaged_cifar_files_are_refused(void **state) {
    cifar_write(*state, 0x3e); // data_batch_1.bin plain, the others gzip
    Buffer b = {cifar_content(0), (size_t)RECORDS * RECORD};
    write_file(*state, cifar_names[0], b.bytes, b.size - 1);
    assert_true(data_fails(*state, cifar_names[0], "cut off: 30729999 bytes instead of 30730000"));
    write_file(*state, cifar_names[0], b.bytes, 0);
    assert_true(data_fails(*state, cifar_names[0], "cut off: 0 bytes"));
    b.bytes[7 * RECORD] = 10;
    write_file(*state, cifar_names[0], b.bytes, b.size);
    assert_true(data_fails(*state, cifar_names[0], "label 10 of image 7; labels are 0 to 9"));
    b.bytes[7 * RECORD] = 0;
    buffer_add(&b, "", 1);
    write_file(*state, cifar_names[0], b.bytes, b.size);
    assert_true(data_fails(*state, cifar_names[0], "too long: more than 30730000 bytes"));

    b.size--;
    char *path = path_of(*state, cifar_names[0]);
    assert_int_equal(unlink(path), 0);
    assert_true(data_fails(*state, cifar_names[0], "no such file"));
    Buffer gz = buffer_gzip(&b);
    write_file(*state, "data_batch_1.bin.gz", gz.bytes, gz.size / 2);
    assert_true(data_fails(*state, "data_batch_1.bin.gz", "cut off"));
    write_file(*state, "data_batch_1.bin.gz", gz.bytes, 100);
    assert_true(
        data_fails(*state, "data_batch_1.bin.gz", "100 bytes of gzip cannot hold 30730000"));
    write_file(*state, "data_batch_1.bin.gz", gz.bytes, gz.size - 1);
    assert_true(data_fails(*state, "data_batch_1.bin.gz", "gzip file cut off"));
    gz.bytes[gz.size - 6] ^= 0x10;
    write_file(*state, "data_batch_1.bin.gz", gz.bytes, gz.size);
    assert_true(
        data_fails(*state, "data_batch_1.bin.gz", "damaged gzip file: incorrect data check"));
    buffer_free(&gz);
    buffer_free(&b);
    free(path);
}

// Public sets. Label counts and means from their descriptions; checksums computed by another
// program.

static void check_public(const char *dir, size_t image, const double *means, int channels,
                         uint32_t crc) {
    FxDataset data;
    must_load(&data, dir);
    assert_int_equal(data.crc32, crc);
    assert_int_equal(data.channels, channels);
    assert_int_equal((size_t)(data.height * data.width * channels), image);
    for (int c = 0; c < channels; c++) {
        uint64_t sum = 0;
        size_t n = data.train.count * image;
        for (size_t i = (size_t)c; i < n; i += (size_t)channels)
            sum += data.train.pixels[i];
        double mean = (double)sum / 255 / (double)(n / (size_t)channels);
        if (mean < means[c] - 0.00005 || mean > means[c] + 0.00005)
            fail_msg("%s: mean %f of channel %d instead of %f", dir, mean, c, means[c]);
    }
    if (channels == 1 && means[0] < 0.2) { // MNIST
        check_counts(&data.train,
                     (size_t[]){5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
        check_counts(&data.test, (size_t[]){980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
    } else {
        size_t train[10], test[10];
        for (int i = 0; i < 10; i++) {
            train[i] = channels == 3 ? 5000 : 6000;
            test[i] = 1000;
        }
        check_counts(&data.train, train);
        check_counts(&data.test, test);
    }
    fx_dataset_free(&data);
}

static void public_sets_have_their_published_figures(void **state) {
    (void)state;
    const char *base = getenv("FXSIM_DATA");
    if (!base || !base[0])
        skip();
    char *mnist = path_of(base, "mnist"), *cifar = path_of(base, "cifar10");
    check_public(mnist, 784, (double[]){0.1307}, 1, 0x1939f699);
    check_public(cifar, 3072, (double[]){0.4914, 0.4822, 0.4465}, 3, 0x981c6f42);
    free(mnist);
    free(cifar);
}

static void fashion_mnist_is_found_where_the_debian_package_puts_it(void **state) {
    (void)state;
    if (access("/usr/share/datasets/fashion-mnist", R_OK) != 0)
        skip();
    check_public("fashion-mnist", 784, (double[]){0.2860}, 1, 0xc7a95b27);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_the_published_ones),
        cmocka_unit_test_setup_teardown(idx_files_are_read_back_exactly_in_every_spelling,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(idx_files_with_one_wrong_byte_are_refused, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(idx_sets_over_the_limit_are_refused_before_memory_is_taken,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(idx_files_of_every_wrong_length_are_refused, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(gzip_files_cut_anywhere_are_refused, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(one_wrong_bit_in_a_gzip_file_never_changes_the_data,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(cifar_files_are_read_back_exactly_with_channels_interleaved,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(damaged_cifar_files_are_refused, make_temp, remove_temp),
        cmocka_unit_test(public_sets_have_their_published_figures),
        cmocka_unit_test(fashion_mnist_is_found_where_the_debian_package_puts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
