// Whole training runs against tests/golden/wage_runs.csv, which an implementation of its own made
// from the definitions. Rows of one run are done in one pass. Runs on MNIST and CIFAR-10 need their
// files: the directory that the environment variable FXSIM_DATA names, with mnist/ and cifar10/ in
// it.
#include "tests/golden.h"
#include "tests/net_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 81, DIGITS_ROWS = 72, MNIST_ROWS = 3, CIFAR_ROWS = 6 };

static const char *const run_columns[] = {"recipe", "bits", "net",  "data",   "train_images",
                                          "batch",  "seed", "rate", "augment"};
enum { RUN_COLUMNS = sizeof run_columns / sizeof run_columns[0], WORDS = 16 };

// A row's note, cut at spaces and semicolons.
typedef struct Note {
    char text[256];
    char *word[WORDS];
    int count;
} Note;

static void read_note(Note *note, const Golden *g, size_t row) {
    char *save = NULL;
    snprintf(note->text, sizeof note->text, "%s", golden_cell(g, row, "note"));
    note->count = 0;
    for (char *w = strtok_r(note->text, " ;", &save); w && note->count < WORDS;
         w = strtok_r(NULL, " ;", &save))
        note->word[note->count++] = w;
}

// An override of the recipe: its key has a dot, those of the answers have none.
static bool is_override(const char *word) {
    const char *dot = strchr(word, '.'), *equals = strchr(word, '=');
    return dot && equals && dot < equals;
}

static bool sets(const Note *note, const char *key) {
    size_t length = strlen(key);
    for (int i = 0; i < note->count; i++)
        if (!strncmp(note->word[i], key, length) && note->word[i][length] == '=')
            return true;
    return false;
}

// The number behind name=, or false.
static bool number_of(int64_t *number, const Note *note, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < note->count; i++)
        if (!strncmp(note->word[i], name, length) && note->word[i][length] == '=') {
            char *end;
            *number = strtoll(note->word[i] + length + 1, &end, 10);
            if (*end)
                fail_msg("note: \"%s\" is no number", note->word[i]);
            return true;
        }
    return false;
}

static bool same_run(const Golden *g, size_t a, size_t b) {
    Note x, y;
    for (int i = 0; i < RUN_COLUMNS; i++)
        if (strcmp(golden_cell(g, a, run_columns[i]), golden_cell(g, b, run_columns[i])))
            return false;
    read_note(&x, g, a);
    read_note(&y, g, b);
    char one[512] = "", other[512] = "";
    for (int i = 0; i < x.count; i++)
        if (is_override(x.word[i]))
            strcat(strcat(one, x.word[i]), " ");
    for (int i = 0; i < y.count; i++)
        if (is_override(y.word[i]))
            strcat(strcat(other, y.word[i]), " ");
    return !strcmp(one, other);
}

// The net of the run that row `first` begins.
static void open_run(NetFixture *f, const Golden *g, size_t first, const FxDataset *data) {
    char text[12][96];
    int w, a, grad, e, n = 0, used;
    Note note;
    const char *bits = golden_cell(g, first, "bits");
    NetSetup setup = {.recipe = golden_cell(g, first, "recipe"),
                      .net = golden_cell(g, first, "net"),
                      .data = data,
                      .batch = (int)golden_int(g, first, "batch"),
                      .seed = golden_unsigned(g, first, "seed"),
                      .threads = 2,
                      .cpu = fx_cpu_detect()};
    if (sscanf(bits, "%d-%d-%d-%d%n", &w, &a, &grad, &e, &used) != 4 || bits[used])
        fail_msg("row %zu: bits \"%s\"", first + 1, bits);
    if (data->train.count != golden_unsigned(g, first, "train_images"))
        fail_msg("row %zu: %zu training images, not %s", first + 1, data->train.count,
                 golden_cell(g, first, "train_images"));
    snprintf(text[n++], sizeof text[0], "weight.q=fixed%d@alpha", w);
    snprintf(text[n++], sizeof text[0], "input.q=fixed%d", a);
    snprintf(text[n++], sizeof text[0], "activation.q=fixed%d", a);
    snprintf(text[n++], sizeof text[0], "store.q=fixed%d", grad);
    snprintf(text[n++], sizeof text[0], "gradient.grid=fixed%d",
             grad); // @shift-unit and the rounding are the recipe's
    snprintf(text[n++], sizeof text[0], "error.q=fixed%d@shift-unit", e);
    read_note(&note, g, first);
    if (!sets(&note, "store.clip")) // a key is set once
        snprintf(text[n++], sizeof text[0], "store.clip=%.10g", 1 - 2.0 / (1 << w));
    snprintf(text[n++], sizeof text[0], "update.rate=%s", golden_cell(g, first, "rate"));
    snprintf(text[n++], sizeof text[0], "run.augment=%s", golden_cell(g, first, "augment"));
    for (int i = 0; i < n; i++)
        setup.overrides[i] = text[i];
    for (int i = 0; i < note.count && n < NET_OVERRIDES; i++)
        if (is_override(note.word[i]))
            setup.overrides[n++] = note.word[i];
    net_open(f, &setup);
}

static void must_equal(const Golden *g, size_t row, const char *what, int64_t got, int64_t wanted) {
    if (got != wanted)
        fail_msg("row %zu (%s %s on %s, %s, rate %s, step %s): %s = %" PRId64 ", not %" PRId64,
                 row + 1, golden_cell(g, row, "recipe"), golden_cell(g, row, "net"),
                 golden_cell(g, row, "data"), golden_cell(g, row, "bits"),
                 golden_cell(g, row, "rate"), golden_cell(g, row, "step"), what, got, wanted);
}

static void check_row(NetFixture *f, const Golden *g, size_t row) {
    Note note;
    int64_t number;
    uint32_t crc = net_crc(f), wanted = golden_hex(g, row, "weights_crc32");
    const FxTotals train = f->totals, test = net_evaluate(f);
    read_note(&note, g, row);
    if (crc != wanted)
        fail_msg("row %zu (%s %s, %s, rate %s, step %s): weights %08x, not %08x", row + 1,
                 golden_cell(g, row, "recipe"), golden_cell(g, row, "net"),
                 golden_cell(g, row, "bits"), golden_cell(g, row, "rate"),
                 golden_cell(g, row, "step"), crc, wanted);
    const FxNode *last = fx_net_product(&f->net, f->net.product_count - 1);
    const FxSiteConfig *logits =
        &net_layer_config(f, f->net.product_count - 1)->site[FX_SITE_LOGITS];
    int e = logits->on ? logits->q.scale.parameter[0] - logits->q.grid.fraction : last->y.exponent;
    must_equal(g, row, "e given in the note", number_of(&number, &note, "e"), true);
    must_equal(g, row, "e", e, number);
    if (f->step == 0) {
        must_equal(g, row, "loss_sum empty", *golden_cell(g, row, "loss_sum_or_empty") == 0, true);
    } else {
        must_equal(g, row, "loss_sum", (int64_t)train.answers.loss,
                   golden_int(g, row, "loss_sum_or_empty"));
        must_equal(g, row, "images and wrong given in the note",
                   number_of(&number, &note, "images") && number_of(&number, &note, "wrong"), true);
        must_equal(g, row, "wrong", (int64_t)train.answers.wrong, number);
        number_of(&number, &note, "images");
        must_equal(g, row, "images", (int64_t)train.images, number);
    }
    static const char *const names[] = {"test_sum", "test_wrong", "test_ties"};
    const int64_t answers[] = {(int64_t)test.answers.loss, (int64_t)test.answers.wrong,
                               (int64_t)test.answers.ties};
    for (int i = 0; i < 3; i++) {
        must_equal(g, row, "test answers given in the note", number_of(&number, &note, names[i]),
                   true);
        must_equal(g, row, names[i], answers[i], number);
    }
    must_equal(g, row, "test images", (int64_t)test.images, (int64_t)f->data->test.count);
}

// Every row of the data set; returns how many there were.
static int check_rows(const char *name, const FxDataset *data) {
    Golden g = golden_read("wage_runs.csv", ROWS);
    int done = 0;
    for (size_t first = 0; first < g.rows; first++) {
        NetFixture f;
        bool begins = !strcmp(golden_cell(&g, first, "data"), name);
        for (size_t row = 0; row < first && begins; row++)
            begins = !same_run(&g, first, row);
        if (!begins)
            continue;
        open_run(&f, &g, first, data);
        for (size_t row = first; row < g.rows; row++) {
            if (!same_run(&g, first, row))
                continue;
            uint64_t step = golden_unsigned(&g, row, "step");
            if (step < f.step)
                fail_msg("row %zu: the steps of a run must ascend", row + 1);
            while (f.step < step)
                net_train(&f, NULL);
            check_row(&f, &g, row);
            done++;
        }
        net_close(&f);
    }
    golden_free(&g);
    return done;
}

// Loads FXSIM_DATA/name; skips the test where there is no such variable.
static FxDataset load_or_skip(const char *name, int rows) {
    const char *directory = getenv("FXSIM_DATA");
    FxDataset data = {0};
    FxError err = {0};
    char path[200];
    if (!directory || !*directory) {
        print_message("%d rows on %s skipped: FXSIM_DATA names no directory with %s/ in it\n", rows,
                      name, name);
        skip();
    }
    snprintf(path, sizeof path, "%.150s/%s", directory, name);
    if (fx_dataset_load(&data, path, &err))
        fail_msg("%s", err.text);
    return data;
}

static void every_row_on_digits_has_the_known_weights_and_answers(void **state) {
    (void)state;
    assert_int_equal(check_rows("digits", dataset_digits()), DIGITS_ROWS);
}

static void every_row_on_mnist_has_the_known_weights_and_answers(void **state) {
    (void)state;
    FxDataset data = load_or_skip("mnist", MNIST_ROWS);
    assert_int_equal(check_rows("mnist", &data), MNIST_ROWS);
    fx_dataset_free(&data);
}

static void every_row_on_cifar10_has_the_known_weights_and_answers(void **state) {
    (void)state;
    FxDataset data = load_or_skip("cifar10", CIFAR_ROWS);
    assert_int_equal(check_rows("cifar10", &data), CIFAR_ROWS);
    fx_dataset_free(&data);
}

static void each_row_belongs_to_one_of_the_three_data_sets(void **state) {
    (void)state;
    Golden g = golden_read("wage_runs.csv", ROWS);
    int digits = 0, mnist = 0, cifar = 0;
    for (size_t row = 0; row < g.rows; row++) {
        digits += !strcmp(golden_cell(&g, row, "data"), "digits");
        mnist += !strcmp(golden_cell(&g, row, "data"), "mnist");
        cifar += !strcmp(golden_cell(&g, row, "data"), "cifar10");
    }
    golden_free(&g);
    assert_int_equal(digits, DIGITS_ROWS);
    assert_int_equal(mnist, MNIST_ROWS);
    assert_int_equal(cifar, CIFAR_ROWS);
    assert_int_equal(digits + mnist + cifar, ROWS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_belongs_to_one_of_the_three_data_sets),
        cmocka_unit_test(every_row_on_digits_has_the_known_weights_and_answers),
        cmocka_unit_test(every_row_on_mnist_has_the_known_weights_and_answers),
        cmocka_unit_test(every_row_on_cifar10_has_the_known_weights_and_answers),
    };
    return cmocka_run_group_tests_name("wage_runs", tests, NULL, NULL);
}
