// fxsim: only main prints errors and exits.
#include "sim/command.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const FxCommand fx_commands[] = {
    {"train", "RECIPE [options]", "train a network, write a run directory", fx_command_train, fx_usage_train},
    {"eval", "RUN [options]", "test error of a run's last checkpoint", fx_command_eval, fx_usage_eval},
    {"stats", "RUN [options]", "what each site last saw; --first-bad: which one went wrong first", fx_command_stats, fx_usage_stats},
    {"compare", "RUN... --by KEY [options]", "what settings do to the error, over seeds: differences, tests", fx_command_compare, fx_usage_compare},
    {"watch", "RUNDIR|SWEEPDIR [options]", "how far a run or a sweep has come", fx_command_watch, fx_usage_watch},
    {"explain", "RECIPE [options]", "what a recipe does, layer by layer; --diff: what -s changes", fx_command_explain, fx_usage_explain},
    {"dump", "RUN [options]", "every tensor of one step for NumPy or hardware; histograms", fx_command_dump, fx_usage_dump},
    {"check", "VEC --against OUT", "vectors of hardware against those of dump", fx_command_check, fx_usage_check},
    {"formats", "[NAME...] [options]", "grids, scales, roundings, overflow; NAME: range, precision, codes, pictures", fx_command_formats, fx_usage_formats},
    {"quantize", "FORMAT [options] [FILE]", "numbers in a format, as values or codes", fx_command_quantize, fx_usage_quantize},
    {0},
};

static void usage(FILE *out) {
    fprintf(out, "fxsim trains neural networks in simulated low-precision hardware arithmetic.\n\nusage: fxsim COMMAND ...\n\n");
    for (const FxCommand *c = fx_commands; c->name; c++)
        fprintf(out, "  %-8s %-25s %s\n", c->name, c->arguments, c->help);
    fprintf(out, "\nfxsim COMMAND --help says more. A first run: fxsim train wage --data digits --out runs/first\n");
}

static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

// One line, whatever names it holds.
static void print_error(FxError *err) {
    for (char *p = err->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    fprintf(stderr, "fxsim: %s\n", err->text);
}

static int unknown(const char *name) {
    char known[256] = "";
    FxError err;
    for (const FxCommand *c = fx_commands; c->name && strlen(known) + strlen(c->name) + 2 < sizeof known; c++)
        sprintf(known + strlen(known), " %s", c->name);
    if (name)
        fx_fail(&err, FX_EXIT_USAGE, "no command \"%.80s\"; known:%s; see fxsim --help", name, known);
    else
        fx_fail(&err, FX_EXIT_USAGE, "a command is missing; known:%s; see fxsim --help", known);
    print_error(&err);
    return FX_EXIT_USAGE;
}

// Where a caller has closed 0, 1 or 2, a file of the run would get that number, and messages would land in it.
static void occupy_standard_files(void) {
    int fd = open("/dev/null", O_RDONLY); // not for writing: what cannot be printed stays an error
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    if (fd >= 0)
        close(fd);
}

// The exit code, where what was printed has arrived.
static int printed(FxExit exit_code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return (int)exit_code;
    fprintf(stderr, "fxsim: standard output cannot be written\n");
    return FX_EXIT_RUNTIME;
}

int main(int argc, char **argv) {
    FxError err = {0};
    FxExit exit_code = FX_EXIT_DONE;
    occupy_standard_files();
    if (argc < 2) {
        return unknown(NULL);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return printed(FX_EXIT_DONE);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("fxsim %s, results_version %d\n", FXSIM_VERSION, FX_RESULTS_VERSION);
        return printed(FX_EXIT_DONE);
    }
    for (const FxCommand *c = fx_commands; c->name; c++) {
        if (strcmp(argv[1], c->name))
            continue;
        if (wants_help(argc - 1, argv + 1)) {
            printf("usage: fxsim %s %s\n%s\n\n", c->name, c->arguments, c->help);
            c->usage(stdout);
            return printed(FX_EXIT_DONE);
        }
        if (c->run(argc - 1, argv + 1, &exit_code, &err)) {
            print_error(&err);
            return (int)err.exit_code;
        }
        return printed(exit_code);
    }
    return unknown(argv[1]);
}
