#include "tests/run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH = FX_DIRECTORY + 32 };

static int prepare(FxRun *run, const char *recipe, const char *net, const char *const overrides[], int wide, FxError *err) {
    FxRecipe r;
    FxWarnings warnings = {{0}};
    char text[512];
    memset(run, 0, sizeof *run);
    if (fx_recipe_load(&r, recipe, err))
        return -1;
    snprintf(text, sizeof text, "run.net=%s", net);
    int failed = fx_recipe_override(&r, "run.data=digits", "test", err) || fx_recipe_override(&r, text, "test", err);
    for (int i = 0; !failed && overrides && overrides[i]; i++)
        failed = fx_recipe_override(&r, overrides[i], "test", err);
    if (failed) {
        fx_recipe_free(&r);
        return -1;
    }
    return fx_run_prepare_wide(run, &r, wide, &warnings, err);
}

int run_try(FxRun *run, const char *recipe, const char *net, const char *const overrides[], FxError *err) {
    return prepare(run, recipe, net, overrides, 0, err);
}

void run_open_wide(FxRun *run, const char *recipe, const char *net, const char *const overrides[], int wide) {
    FxError err = {0};
    if (prepare(run, recipe, net, overrides, wide, &err))
        fail_msg("recipe %s, net %s: %s", recipe, net, err.text);
}

void run_open(FxRun *run, const char *recipe, const char *net, const char *const overrides[]) {
    run_open_wide(run, recipe, net, overrides, 0);
}

bool run_step(FxRun *run, const FxTrace *trace) {
    int images = fx_feed_train(&run->feed, &run->net, run->step);
    bool fired = false;
    FxStep step = {.net = &run->net, .config = &run->config, .step = run->step, .images = images, .totals = &run->totals,
                   .loss_scale = fx_loss_scale_value(&run->loss_scale), .fired = &fired, .trace = trace};
    fx_step_train(&step);
    run->last_scale = step.loss_scale;
    fx_loss_scale_move(&run->loss_scale, &run->config.loss_scaling, fired);
    run->step++;
    run->images += (uint64_t)images;
    return fired;
}

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s: cannot be read", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    assert_int_equal(fread(bytes, 1, size, file), size);
    bytes[size] = 0;
    fclose(file);
    return bytes;
}

static Table table_read(const char *directory, const char *name) {
    Table t = {0};
    char path[PATH];
    size_t cells = 0, lines = 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    t.bytes = read_all(path);
    for (const char *p = t.bytes; *p; p++) {
        cells += *p == ',' || *p == '\n';
        lines += *p == '\n';
    }
    assert_true(lines > 0 && cells % lines == 0);
    t.columns = cells / lines;
    t.rows = lines - 1;
    t.cells = calloc(cells, sizeof *t.cells);
    if (!t.cells)
        abort();
    char *p = t.bytes;
    for (size_t i = 0; i < cells; i++) {
        t.cells[i] = p;
        p += strcspn(p, ",\n");
        *p++ = 0;
    }
    return t;
}

const char *table_cell(const Table *t, size_t row, const char *column) {
    size_t c = 0;
    while (c < t->columns && strcmp(t->cells[c], column))
        c++;
    if (c == t->columns || row >= t->rows)
        fail_msg("no column %s or no row %zu", column, row);
    return t->cells[(row + 1) * t->columns + c];
}

double table_number(const Table *t, size_t row, const char *column) {
    const char *cell = table_cell(t, row, column);
    char *end;
    double x = strtod(cell, &end);
    if (end == cell || *end)
        fail_msg("row %zu, %s: \"%s\" is no number", row, column, cell);
    return x;
}

static void remove_directory(const char *directory) {
    static const char *const names[] = {"recipe.ini", "command", "log.csv", "stats.csv", "last.csv", "checkpoint", "checkpoint.previous", "lock"};
    char path[PATH];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(directory), 0);
}

Trained run_train(const char *recipe, const char *net, const char *const overrides[]) {
    Trained out = {0};
    FxRun run;
    FxRunDir dir = {.lock = -1};
    FxTrainOptions options = {.quiet = true, .command = "test\n"};
    FxError err = {0};
    char directory[] = "/tmp/fxsim-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    run_open(&run, recipe, net, overrides);
    if (fx_rundir_open(&dir, directory, FX_EXISTING_AUTO, &err) || fx_train(&run, &dir, &options, &out.status, &err))
        fail_msg("%s: %s", recipe, err.text);
    fx_rundir_close(&dir);
    fx_run_free(&run);
    out.log = table_read(directory, "log.csv");
    out.stats = table_read(directory, "stats.csv");
    remove_directory(directory);
    return out;
}

void trained_free(Trained *t) {
    free(t->log.bytes);
    free(t->log.cells);
    free(t->stats.bytes);
    free(t->stats.cells);
    *t = (Trained){0};
}
