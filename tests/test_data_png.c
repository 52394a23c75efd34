// Data sets: folders of PNG files. The files are made chunk by chunk, without libpng.
#include "tests/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { H = 5, W = 6, SIZE = H * W };

static const PngShape grey = {W, H, 8, PNG_GREY, 0};

static unsigned char pixel(int image, int i) {
    return (unsigned char)(40 * image + 7 * i + i * i / 3);
}

static void fill(unsigned char *pixels, int image, int count) {
    for (int i = 0; i < count; i++)
        pixels[i] = pixel(image, i);
}

static Buffer grey_png(int image) {
    unsigned char pixels[SIZE];
    fill(pixels, image, SIZE);
    return png_make(grey, pixels);
}

// Images 0 to 4. Classes in bytewise order: "10", "B", "a". The victim of the damage tests is
// train/B/1.png.
static int make_set(void **state) {
    static const char *const dirs[] = {"train",   "test",   "train/a", "train/10",
                                       "train/B", "test/B", "test/a"};
    static const char *const files[] = {"train/10/b.png", "train/B/1.png", "train/B/2.PNG",
                                        "train/a/x.png", "test/a/y.png"};
    *state = temp_make();
    for (int i = 0; i < 7; i++)
        make_dir(*state, dirs[i]);
    for (int i = 0; i < 5; i++)
        write_buffer(*state, files[i], grey_png(i));
    return 0;
}

static int remove_set(void **state) {
    temp_remove(*state);
    free(*state);
    return 0;
}

#ifdef HAVE_LIBPNG

static const char victim[] = "train/B/1.png";
static const PngShape rgb = {W, H, 8, PNG_RGB, 0};

static void must_load(FxDataset *data, const char *name) {
    FxError err = {0};
    if (fx_dataset_load(data, name, &err) != 0)
        fail_msg("%s: %s", name, err.text);
}

static void classes_and_files_come_in_bytewise_order(void **state) {
    static const unsigned char labels[] = {0, 1, 1, 2};
    write_file(*state, "train/README", "not a class", 11);
    write_file(*state, "train/a/notes.txt", "not an image", 12);
    write_file(*state, "train/a/.png", "hidden", 6);
    write_file(*state, "train/a/.x.png", "hidden", 6);
    make_dir(*state, "train/.hidden");
    FxDataset data;
    must_load(&data, *state);
    assert_int_equal(data.height, H);
    assert_int_equal(data.width, W);
    assert_int_equal(data.channels, 1);
    assert_int_equal(data.classes, 3);
    assert_int_equal(data.train.count, 4);
    assert_int_equal(data.test.count, 1);
    assert_memory_equal(data.train.labels, labels, 4);
    assert_int_equal(data.test.labels[0], 2);
    for (int image = 0; image < 5; image++)
        for (int i = 0; i < SIZE; i++)
            assert_int_equal((image < 4 ? data.train.pixels + image * SIZE : data.test.pixels)[i],
                             pixel(image, i));
    fx_dataset_free(&data);
}

// Writes the file over all five images, loads, and compares the first image.
static void check_all_as(const char *dir, Buffer b, const unsigned char *expected, int channels) {
    static const char *const files[] = {"train/10/b.png", "train/B/2.PNG", "train/a/x.png",
                                        "test/a/y.png"};
    for (int i = 0; i < 4; i++)
        write_file(dir, files[i], b.bytes, b.size);
    write_buffer(dir, victim, b);
    FxDataset data;
    must_load(&data, dir);
    assert_int_equal(data.channels, channels);
    for (int image = 0; image < 4; image++)
        assert_memory_equal(data.train.pixels + image * SIZE * channels, expected,
                            (size_t)(SIZE * channels));
    assert_memory_equal(data.test.pixels, expected, (size_t)(SIZE * channels));
    fx_dataset_free(&data);
}

static void every_lossless_kind_of_png_is_read_exactly(void **state) {
    unsigned char pixels[3 * SIZE], expanded[3 * SIZE];
    fill(pixels, 1, 3 * SIZE);
    check_all_as(*state, png_make(rgb, pixels), pixels, 3);
    for (int colour = PNG_GREY; colour <= PNG_RGB; colour += PNG_RGB) {
        PngShape s = {W, H, 8, colour, 1};
        check_all_as(*state, png_make(s, pixels), pixels, colour == PNG_RGB ? 3 : 1);
    }
    for (int depth = 1; depth <= 4; depth *= 2) { // grey: 2^depth values spread over 0..255
        PngShape s = {W, H, depth, PNG_GREY, 0};
        int row = (W * depth + 7) / 8, top = (1 << depth) - 1;
        for (int i = 0; i < SIZE; i++) {
            int bit = i % W * depth,
                code = pixels[i / W * row + bit / 8] >> (8 - depth - bit % 8) & top;
            expanded[i] = (unsigned char)(code * 255 / top);
        }
        check_all_as(*state, png_make(s, pixels), expanded, 1);
    }
    Buffer b = {0};
    PngShape s = {W, H, 8, PNG_PALETTE, 0};
    unsigned char palette[3 * 256];
    for (int i = 0; i < 3 * 256; i++)
        palette[i] = (unsigned char)(i * 5);
    for (int i = 0; i < 3 * SIZE; i++)
        expanded[i] = palette[3 * pixels[i / 3] + i % 3];
    png_begin(&b, s);
    png_chunk(&b, "PLTE", palette, sizeof palette);
    png_chunk(&b, "tEXt", "Comment\0x", 9);
    png_chunk(&b, "gAMA", "\0\0\1\0", 4); // not applied
    png_end(&b, s, pixels);
    check_all_as(*state, b, expanded, 3);
}

static void png_files_cut_anywhere_are_refused(void **state) {
    Buffer b = grey_png(1);
    for (size_t size = 0; size < b.size; size++) {
        write_file(*state, victim, b.bytes, size);
        assert_true(data_fails(*state, victim, "not a readable PNG: "));
    }
    buffer_free(&b);
}

static void every_wrong_bit_in_a_png_file_is_refused(void **state) {
    Buffer b = grey_png(1);
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        b.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        write_file(*state, victim, b.bytes, b.size);
        b.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(data_fails(*state, victim, "not a readable PNG: "));
    }
    buffer_free(&b);
}

static void damaged_chunks_are_refused(void **state) {
    unsigned char pixels[SIZE];
    fill(pixels, 1, SIZE);
    write_file(*state, victim, "GIF89a, which is not a PNG file at all", 38);
    assert_true(data_fails(*state, victim, "not a readable PNG: Not a PNG file"));
    Buffer b = {0}; // a wrong CRC, in a chunk nobody reads
    png_begin(&b, grey);
    png_chunk(&b, "tEXt", "Comment\0x", 9);
    b.bytes[b.size - 1] ^= 1;
    png_end(&b, grey, pixels);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "CRC error"));
    b = (Buffer){0}; // a row too few in IDAT, all CRCs right
    png_begin(&b, grey);
    png_end(&b, (PngShape){W, H - 1, 8, PNG_GREY, 0}, pixels);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "not a readable PNG: "));
    unsigned char more[SIZE + W] = {0};
    b = (Buffer){0}; // a row too many
    png_begin(&b, grey);
    png_end(&b, (PngShape){W, H + 1, 8, PNG_GREY, 0}, more);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "not a readable PNG: "));
    b = (Buffer){0}; // no pixels
    png_begin(&b, grey);
    png_chunk(&b, "IEND", NULL, 0);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "not a readable PNG: "));
    b = (Buffer){0}; // palette image without palette
    png_begin(&b, (PngShape){W, H, 8, PNG_PALETTE, 0});
    png_end(&b, grey, pixels);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "not a readable PNG: "));
}

static void sizes_that_do_not_fit_are_refused(void **state) {
    static const PngShape huge[] = {{4097, 1, 8, PNG_GREY, 0},
                                    {1, 4097, 8, PNG_GREY, 0},
                                    {0x7fffffff, 0x7fffffff, 8, PNG_RGB, 0},
                                    {0, 1, 8, PNG_GREY, 0},
                                    {0xffffffff, 1, 8, PNG_GREY, 0}};
    static const PngShape other[] = {
        {W + 1, H, 8, PNG_GREY, 0}, {W, H - 1, 8, PNG_GREY, 0}, {W, H, 8, PNG_RGB, 0}};
    unsigned char pixels[4 * SIZE] = {0};
    for (int i = 0; i < 5; i++) {
        Buffer b = {0};
        png_begin(&b, huge[i]);
        png_end(&b, grey, pixels);
        write_buffer(*state, victim, b);
        assert_true(data_fails(*state, victim, "not a readable PNG: "));
    }
    for (int i = 0; i < 3; i++) {
        write_buffer(*state, victim, png_make(other[i], pixels));
        assert_true(data_fails(*state, victim, "the first image has 5 x 6 of 1"));
    }
}

static void what_would_lose_something_is_refused(void **state) {
    unsigned char pixels[8 * SIZE] = {0};
    write_buffer(*state, victim, png_make((PngShape){W, H, 16, PNG_GREY, 0}, pixels));
    assert_true(data_fails(*state, victim, "16 bits a sample; 8 or fewer can be read"));
    write_buffer(*state, victim, png_make((PngShape){W, H, 16, PNG_RGB, 0}, pixels));
    assert_true(data_fails(*state, victim, "16 bits a sample; 8 or fewer can be read"));
    write_buffer(*state, victim, png_make((PngShape){W, H, 8, PNG_GREY_ALPHA, 0}, pixels));
    assert_true(data_fails(*state, victim, "has transparency"));
    write_buffer(*state, victim, png_make((PngShape){W, H, 8, PNG_RGBA, 0}, pixels));
    assert_true(data_fails(*state, victim, "has transparency"));
    Buffer b = {0};
    png_begin(&b, grey);
    png_chunk(&b, "tRNS", "\0\5", 2);
    png_end(&b, grey, pixels);
    write_buffer(*state, victim, b);
    assert_true(data_fails(*state, victim, "has transparency"));
}

static void folders_that_make_no_set_are_refused(void **state) {
    make_dir(*state, "test/C");
    assert_true(data_fails(*state, "test/C", "train has no such class"));
    char *path = path_of(*state, "test/C");
    assert_int_equal(rmdir(path), 0);
    free(path);
    make_dir(*state, "train/empty");
    assert_true(data_fails(*state, "train/empty", "no file *.png"));
    path = path_of(*state, "train/empty");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_true(data_fails(*state, "train/empty", "a link that leads nowhere"));
    assert_int_equal(unlink(path), 0);
    free(path);
    path = path_of(*state, "test/a/y.png");
    assert_int_equal(unlink(path), 0);
    assert_true(data_fails(*state, "test", "no images"));
    make_dir(*state, "test/a/y.png");
    assert_true(data_fails(*state, "test/a/y.png", "not a regular file"));
    free(path);
    path = path_of(*state, "train");
    make_dir(*state, "only");
    char *only = path_of(*state, "only"), *moved = path_of(*state, "only/train");
    assert_int_equal(rename(path, moved), 0);
    assert_true(data_fails(only, "only/test", "No such file or directory"));
    assert_true(data_fails(*state, "/train", "No such file or directory"));
    make_dir(*state, "train");
    assert_true(data_fails(*state, "/train", "0 folders of classes; 1 to 256"));
    free(path);
    free(only);
    free(moved);
}

static void up_to_256_classes_are_read(void **state) {
    make_dir(*state, "many");
    make_dir(*state, "many/train");
    make_dir(*state, "many/test");
    char *many = path_of(*state, "many"), name[] = "train/c000", file[] = "train/c000/1.png";
    for (int c = 0; c < 257; c++) {
        for (int i = 0, ten = 100; i < 3; i++, ten /= 10)
            name[7 + i] = file[7 + i] = (char)('0' + c / ten % 10);
        if (c == 256) {
            make_dir(many, "test/c255");
            write_buffer(many, "test/c255/1.png", grey_png(0));
            FxDataset data;
            must_load(&data, many);
            assert_int_equal(data.classes, 256);
            assert_int_equal(data.train.labels[255], 255);
            assert_int_equal(data.test.labels[0], 255);
            fx_dataset_free(&data);
        }
        make_dir(many, name);
        write_buffer(many, file, grey_png(c));
    }
    assert_true(data_fails(many, "many/train", "257 folders of classes; 1 to 256"));
    free(many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(classes_and_files_come_in_bytewise_order, make_set,
                                        remove_set),
        cmocka_unit_test_setup_teardown(every_lossless_kind_of_png_is_read_exactly, make_set,
                                        remove_set),
        cmocka_unit_test_setup_teardown(png_files_cut_anywhere_are_refused, make_set, remove_set),
        cmocka_unit_test_setup_teardown(every_wrong_bit_in_a_png_file_is_refused, make_set,
                                        remove_set),
        cmocka_unit_test_setup_teardown(damaged_chunks_are_refused, make_set, remove_set),
        cmocka_unit_test_setup_teardown(sizes_that_do_not_fit_are_refused, make_set, remove_set),
        cmocka_unit_test_setup_teardown(what_would_lose_something_is_refused, make_set, remove_set),
        cmocka_unit_test_setup_teardown(folders_that_make_no_set_are_refused, make_set, remove_set),
        cmocka_unit_test_setup_teardown(up_to_256_classes_are_read, make_set, remove_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void without_libpng_the_error_says_so(void **state) {
    assert_true(data_fails(*state, *state, "this build has no PNG"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_libpng_the_error_says_so, make_set, remove_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
