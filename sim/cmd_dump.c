// fxsim dump: one step of a run, for other programs; fxsim check (cmd_check.c) reads what they made of it.
#include "sim/command.h"

#include "sim/checkpoint_file.h"
#include "sim/corners.h"
#include "sim/dump_step.h"
#include "sim/find_ranges.h"
#include "sim/histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct DumpOptions {
    const char *run, *out, *step, *histogram, *form;
    bool trace, corners;
} DumpOptions;

void fx_usage_dump(FILE *out) {
    fprintf(out, "RUN: a run directory. The step is done again from the last checkpoint before it, or from the run's start; RUN is not changed.\n\n");
    fprintf(out, "  --%-18s %s\n", "step N", "the step before which N updates are done, first 0 (default: the one behind the last");
    fprintf(out, "  %-20s %s\n", "", "checkpoint, of a finished run its last)");
    fprintf(out, "  --%-18s %s\n", "trace", "write every tensor of the step into the directory that --out names: batch, labels,");
    fprintf(out, "  %-20s %s\n", "", "kept weights before and after, operands, sums of the three products, masks, pool");
    fprintf(out, "  %-20s %s\n", "", "arg-max, errors, gradients, updates, the random words (a rounding to r bits takes the");
    fprintf(out, "  %-20s %s\n", "", "top r of a Philox lane, the low r of an LFSR), with manifest.csv, sites.csv, step.csv;");
    fprintf(out, "  %-20s %s\n", "", "words of accumulators that round at random are not written");
    fprintf(out, "  --%-18s %s\n", "as npy|hex", ".npy for NumPy (the default), or .hex for $readmemh: one element a line, two's complement");
    fprintf(out, "  --%-18s %s\n", "histogram NAME", "of one tensor, named as --trace names its file (conv1.error.quantised), over the codes of");
    fprintf(out, "  %-20s %s\n", "", "its format; --out FILE.csv or FILE.png");
    fprintf(out, "  --%-18s %s\n", "corners", "without RUN: traces of steps with planted images and weights, a directory each:");
    for (int i = 0; fx_corner(i); i++)
        fprintf(out, "  %-20s %s: %s\n", "", fx_corner(i)->name, fx_corner(i)->help);
    fprintf(out, "  --%-18s %s\n", "out PATH", "directory that is absent or empty; of a histogram, the file");
}

static int read_options(DumpOptions *o, int argc, char **argv, FxError *err) {
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"--out", &o->out}, {"--step", &o->step}, {"--histogram", &o->histogram}, {"--as", &o->form}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof known / sizeof known[0] && strcmp(argv[i], known[k].name))
            k++;
        if (!strcmp(argv[i], "--trace"))
            o->trace = true;
        else if (!strcmp(argv[i], "--corners"))
            o->corners = true;
        else if (k < sizeof known / sizeof known[0] && *known[k].value)
            return fx_fail(err, FX_EXIT_USAGE, "dump: %s a second time, behind %.80s; keep one", argv[i], *known[k].value);
        else if (k < sizeof known / sizeof known[0] && i + 1 < argc)
            *known[k].value = argv[++i];
        else if (k < sizeof known / sizeof known[0])
            return fx_fail(err, FX_EXIT_USAGE, "dump: %s: a value must follow", argv[i]);
        else if (argv[i][0] == '-')
            return fx_fail(err, FX_EXIT_USAGE, "dump: no option %.80s; see fxsim dump --help", argv[i]);
        else if (o->run)
            return fx_fail(err, FX_EXIT_USAGE, "dump: \"%.80s\" behind %.80s: one run at a time", argv[i], o->run);
        else
            o->run = argv[i];
    }
    if (o->corners && (o->run || o->trace || o->histogram || o->step))
        return fx_fail(err, FX_EXIT_USAGE, "dump: --corners makes its own runs: only --as and --out go with it");
    if (!o->run && !o->corners)
        return fx_fail(err, FX_EXIT_USAGE, "dump: a run directory is missing, as in: fxsim dump runs/wage-s1 --step 4 --trace --out vectors");
    if (!o->corners && o->trace == (o->histogram != NULL))
        return fx_fail(err, FX_EXIT_USAGE, "dump: either --trace or --histogram NAME says what");
    if (!o->out)
        return fx_fail(err, FX_EXIT_USAGE, "dump: --out must say where to");
    if (o->form && strcmp(o->form, "npy") && strcmp(o->form, "hex"))
        return fx_fail(err, FX_EXIT_USAGE, "dump: --as %.80s: write npy or hex", o->form);
    if (o->step && (!o->step[0] || strspn(o->step, "0123456789") != strlen(o->step) || strlen(o->step) > 18))
        return fx_fail(err, FX_EXIT_USAGE, "dump: --step %.80s: write a number from 0", o->step);
    return 0;
}

// The run as it was before `step` (NULL: as its last checkpoint is).
static int bring_to(FxRun *run, const char *directory, const char *step, FxError *err) {
    char path[3][FX_CHECKPOINT_PATH], parent[FX_CHECKPOINT_PATH + 16];
    FxMark mark;
    bool stopped = false;
    if (fx_checkpoint_paths(path, directory, err))
        return -1;
    long long held[2] = {fx_checkpoint_step(path[0]), fx_checkpoint_step(path[1])}, wanted = step ? strtoll(step, NULL, 10) : held[0];
    snprintf(parent, sizeof parent, "%.4000s/parent", directory);
    if (!step && (uint64_t)wanted == run->config.total_steps)
        wanted--;
    if (wanted < 0)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "dump: no checkpoint in %s; --step N begins at the run's start", directory);
    if ((uint64_t)wanted >= run->config.total_steps)
        return fx_fail(err, FX_EXIT_USAGE, "dump: step %lld: the run ends with %llu updates, its last step is %llu", wanted,
                       (unsigned long long)run->config.total_steps, (unsigned long long)run->config.total_steps - 1);
    int file = held[0] >= 0 && held[0] <= wanted ? 0 : held[1] >= 0 && held[1] <= wanted ? 1 : -1;
    if (file >= 0 && fx_checkpoint_read_file(run, path[file], &mark, err))
        return -1;
    if (file < 0 && access(parent, F_OK) == 0)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "dump: step %lld: %s began from other weights, and has no checkpoint before that step", wanted, directory);
    if (file < 0 && fx_find_ranges(run, NULL, &stopped, err))
        return -1;
    while (run->step < (uint64_t)wanted)
        fx_run_step(run);
    return 0;
}

static int add_vector(void *user, FxVector *vector, const FxTensor *t, FxError *err) {
    return fx_vectors_add(user, vector, t, err);
}

static int dump_trace(FxRun *run, const char *out, const char *form, FxError *err) {
    FxVectors vectors;
    FxError second;
    int result = fx_vectors_open(&vectors, out, form && !strcmp(form, "hex") ? FX_VECTOR_HEX : FX_VECTOR_NPY, err);
    if (result == 0)
        result = fx_dump_step(run, &(FxSink){add_vector, &vectors}, vectors.directory, err);
    if (fx_vectors_close(&vectors, result ? &second : err))
        result = -1;
    if (result == 0)
        printf("step %llu: %d tensors in %s\n", (unsigned long long)run->step - 1, vectors.count, out);
    return result;
}

// DIR/CORNER, or where there are several steps DIR/CORNER-STEP.
static int dump_corners(const char *out, const char *form, FxError *err) {
    int result = 0;
    if (mkdir(out, 0777) && errno != EEXIST)
        return fx_fail(err, FX_EXIT_RUNTIME, "--out %s: %s", out, strerror(errno));
    for (int i = 0; result == 0 && fx_corner(i); i++) {
        const FxCorner *c = fx_corner(i);
        FxRun run;
        result = fx_corner_prepare(&run, c, err);
        for (int step = 0; result == 0 && step < c->steps; step++) {
            char path[FX_VECTOR_PATH], number[16] = "";
            if (c->steps > 1)
                snprintf(number, sizeof number, "-%d", step);
            if (snprintf(path, sizeof path, "%s/%s%s", out, c->name, number) >= (int)sizeof path)
                result = fx_fail(err, FX_EXIT_USAGE, "--out %.80s...: the path is too long", out);
            else
                result = dump_trace(&run, path, form, err);
        }
        fx_run_free(&run);
    }
    return result;
}

int fx_command_dump(int argc, char **argv, FxExit *exit_code, FxError *err) {
    DumpOptions o = {0};
    FxWarnings warnings = {{0}};
    FxRun run = {0};
    FxRecipe recipe;
    char path[FX_DIRECTORY + 16];
    if (read_options(&o, argc, argv, err))
        return -1;
    *exit_code = FX_EXIT_DONE;
    if (o.corners)
        return dump_corners(o.out, o.form, err);
    if (snprintf(path, sizeof path, "%s/recipe.ini", o.run) >= (int)sizeof path)
        return fx_fail(err, FX_EXIT_USAGE, "dump: the path is too long");
    if (fx_recipe_load(&recipe, path, err))
        return -1;
    int result = fx_run_prepare(&run, &recipe, &warnings, err);
    if (result == 0)
        result = bring_to(&run, o.run, o.step, err);
    if (result == 0)
        result = o.trace ? dump_trace(&run, o.out, o.form, err) : fx_dump_histogram(&run, o.histogram, o.out, err);
    fx_run_free(&run);
    fx_recipe_free(&recipe);
    return result;
}
