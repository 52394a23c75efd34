// fxsim train and fxsim eval.
#include "sim/command.h"

#include "sim/checkpoint.h"
#include "sim/import_weights.h"
#include "sim/text.h"
#include "sim/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Set by a signal and by nothing else; read between steps.
static volatile sig_atomic_t stop_requested;

static void request_stop(int number) {
    (void)number;
    stop_requested = 1;
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = request_stop};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND; // a second one ends the program at once
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // a file limit is an error of write, as a full disk is
}

static void print_warnings(const FxWarnings *warnings) {
    for (const char *p = warnings->text; *p; p += strcspn(p, "\n") + 1)
        fprintf(stderr, "fxsim: warning: %.*s\n", (int)strcspn(p, "\n"), p);
}

void fx_usage_train(FILE *out) {
    fx_usage_options(out);
    fprintf(out, "  --%-18s %s\n", "out DIR", "run directory (default runs/RECIPE-sSEED)");
    fprintf(out, "  --%-18s %s\n", "resume", "continue the run in DIR; a finished one ends at once, with its exit code");
    fprintf(out, "  --%-18s %s\n", "resume=auto", "the same, or start it where it is absent");
    fprintf(out, "  --%-18s %s\n", "force", "delete the run in DIR and start anew");
    fprintf(out, "  --%-18s %s\n", "fork RUN@STEP", "begin with the state of RUN's checkpoint at that step, under this recipe");
    fprintf(out, "  --%-18s %s\n", "weights PATH", "begin with these weights: a .npz or a directory of .npy files with LAYER.weights (kh kw ci co,");
    fprintf(out, "  %-20s %s\n", "", "or in out) and LAYER.bias, or one of fxsim dump --trace; floats are values, integers codes");
    fprintf(out, "\nThe run directory gets recipe.ini, command, log.csv, stats.csv and checkpoints.\n"
                 "Exit codes: 0 done, 1 runtime or I/O, 2 usage or recipe, 3 diverged, dead or stalled, 4 data missing or\n"
                 "corrupt, 5 checkpoint does not fit, 75 stopped early and resumable.\n");
}

// The words as a shell reads them.
static void join_command(char *text, size_t size, int argc, char **argv) {
    size_t used = (size_t)snprintf(text, size, "fxsim");
    for (int i = 0; i < argc && used < size; i++) {
        bool plain = argv[i][0] && strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@+,") == strlen(argv[i]);
        used += (size_t)snprintf(text + used, size - used, plain ? " %s" : " '", argv[i]);
        for (const char *p = argv[i]; !plain && *p && used < size; p++)
            used += (size_t)snprintf(text + used, size - used, *p == '\'' ? "'\\''" : "%c", *p);
        if (!plain && used < size)
            used += (size_t)snprintf(text + used, size - used, "'");
    }
    snprintf(used + 1 < size ? text + used : text + size - 2, 2, "\n");
}

// RUN@STEP: its state into the run, before anything is written or deleted. parent: a line that says whose it is.
static int fork_from(FxRun *run, const char *fork, const char *out, char parent[256], FxError *err) {
    char directory[FX_DIRECTORY];
    const char *at = strrchr(fork, '@');
    size_t length = at ? (size_t)(at - fork) : 0;
    struct stat from, to;
    if (!at || length == 0 || length >= sizeof directory || !at[1] || strspn(at + 1, "0123456789") != strlen(at + 1) || strlen(at) > 18)
        return fx_fail(err, FX_EXIT_USAGE, "--fork %.80s: write RUN@STEP, as runs/wage-s1@4680", fork);
    memcpy(directory, fork, length);
    directory[length] = 0;
    if (stat(directory, &from) == 0 && stat(out, &to) == 0 && from.st_ino == to.st_ino && from.st_dev == to.st_dev)
        return fx_fail(err, FX_EXIT_USAGE, "--fork %.80s: --out names the same run; a fork is a run of its own", fork);
    uint64_t step = strtoull(at + 1, NULL, 10);
    if (step >= run->config.total_steps)
        return fx_fail(err, FX_EXIT_USAGE, "--fork %.80s: this run ends at step %llu; more epochs are needed", fork,
                       (unsigned long long)run->config.total_steps);
    return fx_checkpoint_fork(run, directory, step, parent, err);
}

int fx_command_train(int argc, char **argv, FxExit *exit_code, FxError *err) {
    FxOptions o;
    FxRun run = {0};
    FxRunDir dir = {.lock = -1};
    FxWarnings warnings = {{0}};
    FxStatus status = FX_RUNNING;
    char command[8192], out[256], parent[256];
    if (fx_options_read(&o, argc, argv, "out resume force fork weights", err))
        return -1;
    bool quiet = !strcmp(fx_recipe_text(&o.recipe, "run.quiet"), "yes");
    join_command(command, sizeof command, argc, argv);
    snprintf(out, sizeof out, "runs/%.160s-s%.20s", o.recipe.name, fx_recipe_text(&o.recipe, "run.seed"));
    catch_signals();
    int result = fx_run_prepare(&run, &o.recipe, &warnings, err);
    if (result == 0) {
        print_warnings(&warnings);
        const char *path = o.out ? o.out : out;
        bool goes_on = o.existing == FX_EXISTING_RESUME || o.existing == FX_EXISTING_AUTO;
        if (o.fork && o.weights)
            result = fx_fail(err, FX_EXIT_USAGE, "--fork and --weights both say what the run begins with; keep one");
        else if ((o.fork || o.weights) && goes_on)
            result = fx_fail(err, FX_EXIT_USAGE, "--%s begins a run, --resume goes on with one: such a run is resumed without it", o.fork ? "fork" : "weights");
        else if (o.weights)
            result = fx_import_weights(&run, o.weights, parent, err);
        else if (o.fork)
            result = fork_from(&run, o.fork, path, parent, err);
        if (result == 0)
            result = fx_rundir_open(&dir, path, o.existing, err);
    }
    if (result == 0) {
        FxTrainOptions options = {quiet, command, o.fork || o.weights ? parent : NULL, &stop_requested};
        if (!quiet)
            fprintf(stderr, "%s: recipe %s on %s, net %s, %d threads, %s\n", dir.path, run.recipe.name, run.data.name,
                    run.net.notation, run.net.work.threads, run.cpu_name);
        result = fx_train(&run, &dir, &options, &status, err);
        *exit_code = fx_status_exit(status);
    }
    fx_rundir_close(&dir);
    fx_run_free(&run);
    fx_options_free(&o);
    return result;
}

void fx_usage_eval(FILE *out) {
    fprintf(out, "RUN: a run directory. Prints test loss, error and ties under the weights of its last checkpoint.\n\n"
                 "  --%-18s %s\n  --%-18s %s\n  --%-18s %s\n",
            "checkpoint FILE", "these weights instead", "threads N", "0: one a processor", "cpu NAME", "auto, scalar, avx2, avx512, avx512vnni");
}

static void print_figures(const char *name, const FxFigures *f) {
    char loss[FX_NUMBER], error[FX_NUMBER];
    if (f->images == 0)
        return;
    fx_number(loss, fx_figures_loss(f));
    fx_number(error, (double)f->answers.wrong / (double)f->images);
    printf("%s,%llu,%s,%s,%llu,%llu\n", name, (unsigned long long)f->images, loss, error, (unsigned long long)f->answers.wrong,
           (unsigned long long)f->answers.ties);
}

int fx_command_eval(int argc, char **argv, FxExit *exit_code, FxError *err) {
    // the run directory's recipe.ini is the recipe
    char path[FX_DIRECTORY + 16];
    FxOptions o;
    FxRun run = {0};
    FxWarnings warnings = {{0}};
    FxMark mark;
    FxFigures test = {0}, validation = {0};
    int found = 1;
    if (argc < 2 || argv[1][0] == '-')
        return fx_fail(err, FX_EXIT_USAGE, "eval: a run directory must come first, as in: fxsim eval runs/wage-s1");
    const char *directory = argv[1];
    if (snprintf(path, sizeof path, "%s/recipe.ini", directory) >= (int)sizeof path)
        return fx_fail(err, FX_EXIT_USAGE, "eval: the path is too long");
    argv[1] = path;
    catch_signals();
    int result = fx_options_read(&o, argc, argv, "checkpoint", err);
    argv[1] = (char *)(uintptr_t)directory;
    if (result)
        return -1;
    result = fx_run_prepare(&run, &o.recipe, &warnings, err);
    warnings.text[0] = 0; // train said them
    if (result == 0)
        result = o.checkpoint ? fx_checkpoint_read_file(&run, o.checkpoint, &mark, err)
                              : fx_checkpoint_read(&run, directory, &mark, &found, &warnings, err);
    if (result == 0 && !found)
        result = fx_fail(err, FX_EXIT_CHECKPOINT, "eval: no checkpoint in %s", directory);
    print_warnings(&warnings);
    size_t held_out = result ? 0 : run.data.train.count - run.config.train_images;
    if (result == 0) {
        bool whole = fx_run_evaluate(&run, &run.data.test, 0, run.data.test.count, &test, &stop_requested) &&
                     fx_run_evaluate(&run, &run.data.train, run.config.train_images, held_out, &validation, &stop_requested);
        printf("set,images,loss,error,wrong,ties\n");
        if (whole) {
            print_figures("test", &test);
            print_figures("validation", &validation);
        }
        *exit_code = whole ? FX_EXIT_DONE : FX_EXIT_STOPPED;
    }
    fx_run_free(&run);
    fx_options_free(&o);
    return result;
}
