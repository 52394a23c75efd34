// Data sets: what a name means, and directories that hold no set, two, or one that cannot be read.
#include "tests/data_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void write_idx(const char *dir) {
    static const unsigned char pixels[4] = {1, 2, 3, 4}, labels[1] = {5};
    write_buffer(dir, "train-images-idx3-ubyte", idx_images(1, 2, 2, pixels));
    write_buffer(dir, "train-labels-idx1-ubyte", idx_labels(1, labels));
    write_buffer(dir, "t10k-images-idx3-ubyte", idx_images(1, 2, 2, pixels));
    write_buffer(dir, "t10k-labels-idx1-ubyte", idx_labels(1, labels));
}

static void must_load(const char *name) {
    FxDataset data;
    FxError err = {0};
    if (fx_dataset_load(&data, name, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(data.name, name);
    assert_int_equal(data.train.labels[0], 5);
    fx_dataset_free(&data);
}

static void directories_without_a_set_are_refused_with_what_was_looked_for(void **state) {
    assert_true(data_fails(*state, *state, "looked for IDX (train-images-idx3-ubyte[.gz]"));
    assert_true(data_fails(*state, *state, "CIFAR-10 (data_batch_1.bin[.gz]"));
    assert_true(data_fails(*state, *state, "PNG (train/CLASS/*.png"));
    char *path = path_of(*state, "absent");
    assert_true(data_fails(path, path, "No such file or directory"));
    write_file(*state, "file", "x", 1);
    free(path);
    path = path_of(*state, "file");
    assert_true(data_fails(path, path, "Not a directory"));
    free(path);
    assert_true(data_fails("", "", "no such data set or directory"));
}

static void directories_with_two_kinds_are_refused(void **state) {
    write_idx(*state);
    must_load(*state);
    write_file(*state, "test_batch.bin.gz", "", 0);
    assert_true(data_fails(*state, *state, "holds files of two kinds, IDX (train-"));
    assert_true(data_fails(*state, *state, "and CIFAR-10 (data_"));
    char *path = path_of(*state, "test_batch.bin.gz");
    assert_int_equal(unlink(path), 0);
    free(path);
    make_dir(*state, "test");
    assert_true(data_fails(*state, *state, "and PNG (train/"));
}

static void each_missing_idx_file_is_named(void **state) {
    static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    for (int i = 0; i < 4; i++) {
        write_idx(*state);
        char *path = path_of(*state, names[i]);
        assert_int_equal(unlink(path), 0);
        assert_true(data_fails(*state, names[i], "no file"));
        free(path);
    }
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state) {
    write_idx(*state);
    char *path = path_of(*state, "train-labels-idx1-ubyte");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_true(data_fails(*state, "train-labels-idx1-ubyte", "not a regular file"));
    assert_int_equal(unlink(path), 0);
    make_dir(*state, "train-labels-idx1-ubyte");
    assert_true(data_fails(*state, "train-labels-idx1-ubyte", "not a regular file"));
    free(path);
}

static void what_may_not_be_read_is_refused_with_the_reason(void **state) {
    int root = geteuid() == 0;
    write_idx(*state);
    char *path = path_of(*state, "train-images-idx3-ubyte");
    if (root && seteuid(65534) != 0)
        skip(); // a sandbox
    must_load(*state);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int file_refused = data_fails(*state, "train-images-idx3-ubyte", "Permission denied");
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(*state, root ? 0744 : 0400), 0); // may be listed, not entered
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int entry_refused = data_fails(*state, "train-images-idx3-ubyte", "Permission denied");
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(*state, root ? 0700 : 0), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int dir_refused = data_fails(*state, *state, "Permission denied");
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_true(file_refused && entry_refused && dir_refused);
    free(path);
}

static void known_names_are_found_in_the_users_data_directory(void **state) {
    if (access("/usr/share/datasets/mnist", F_OK) == 0 ||
        access("/usr/share/datasets/cifar10", F_OK) == 0)
        skip();
    assert_int_equal(chdir(*state), 0); // no directory `mnist` here
    make_dir(*state, "fxsim");
    make_dir(*state, "fxsim/mnist");
    make_dir(*state, ".local");
    make_dir(*state, ".local/share");
    make_dir(*state, ".local/share/fxsim");
    make_dir(*state, ".local/share/fxsim/cifar10");
    char *in_xdg = path_of(*state, "fxsim/mnist"),
         *in_home = path_of(*state, ".local/share/fxsim/cifar10");
    write_idx(in_xdg);
    write_idx(in_home); // only the place matters here
    setenv("XDG_DATA_HOME", *state, 1);
    setenv("HOME", *state, 1);
    must_load("mnist");
    assert_true(data_fails("cifar10", "cifar10", "to get it: scripts/get-data.sh cifar10"));
    unsetenv("XDG_DATA_HOME");
    must_load("cifar10");
    assert_true(
        data_fails("mnist", "/.local/share/fxsim/mnist", "to get it: scripts/get-data.sh mnist"));
    setenv("XDG_DATA_HOME", "relative", 1); // does not count
    must_load("cifar10");
    make_dir(*state, "mnist"); // at last a directory of that name here
    assert_true(data_fails("mnist", "mnist", "no data set in this directory"));
    char *here = path_of(*state, "mnist");
    write_idx(here);
    must_load("mnist");
    must_load("./mnist");
    assert_int_equal(chdir("/"), 0);
    free(here);
    free(in_xdg);
    free(in_home);
}

static void other_names_are_directories_and_digits_never_is(void **state) {
    assert_int_equal(chdir(*state), 0);
    make_dir(*state, "mine");
    make_dir(*state, "digits");
    write_idx("mine");
    must_load("mine");
    must_load("mine/");
    FxDataset data;
    FxError err = {0};
    assert_int_equal(fx_dataset_load(&data, "digits", &err), 0);
    assert_int_equal(data.train.count, 1437);
    fx_dataset_free(&data);
    assert_true(data_fails("./digits", "./digits", "no data set in this directory"));
    assert_true(data_fails("mnits", "mnits", "known names: digits, fashion-mnist, mnist, cifar10"));
    assert_int_equal(chdir("/"), 0);
}

static void names_that_do_not_fit_are_refused(void **state) {
    (void)state;
    char name[5000];
    memset(name, '/', sizeof name);
    name[5000 - 1] = 0;
    assert_true(data_fails(name, "///", "longer than 255 bytes"));
    name[256] = 0;
    assert_true(data_fails(name, "///", "longer than 255 bytes"));
    name[255] = 0; // the root directory
    assert_true(data_fails(name, "///", "no data set in this directory"));
    assert_true(data_fails("two\nlines/", "two?lines/", "No such file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            directories_without_a_set_are_refused_with_what_was_looked_for, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(directories_with_two_kinds_are_refused, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(each_missing_idx_file_is_named, make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused_without_waiting,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(what_may_not_be_read_is_refused_with_the_reason, make_temp,
                                        remove_temp),
        cmocka_unit_test_setup_teardown(known_names_are_found_in_the_users_data_directory,
                                        make_temp, remove_temp),
        cmocka_unit_test_setup_teardown(other_names_are_directories_and_digits_never_is, make_temp,
                                        remove_temp),
        cmocka_unit_test(names_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
