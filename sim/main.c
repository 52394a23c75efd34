// fxsim: only main prints errors and exits.
#include "sim/command.h"

#include <string.h>

const FxCommand fx_commands[] = {
    {"train", "RECIPE [options]", "train a network, write a run directory", fx_command_train, fx_usage_train},
    {"eval", "RUN [options]", "test error of a run's last checkpoint", fx_command_eval, fx_usage_eval},
    {"explain", "RECIPE [options]", "what a recipe does, layer by layer; --diff: what -s changes", fx_command_explain, fx_usage_explain},
    {"formats", "", "grids, scales, roundings and overflow policies", fx_command_formats, fx_usage_formats},
    {0},
};

static void usage(FILE *out) {
    fprintf(out, "fxsim trains neural networks in simulated low-precision hardware arithmetic.\n\nusage: fxsim COMMAND ...\n\n");
    for (const FxCommand *c = fx_commands; c->name; c++)
        fprintf(out, "  %-8s %-18s %s\n", c->name, c->arguments, c->help);
    fprintf(out, "\nfxsim COMMAND --help says more. A first run: fxsim train wage --data digits --out runs/first\n");
}

static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

int main(int argc, char **argv) {
    FxError err = {0};
    FxExit exit_code = FX_EXIT_DONE;
    if (argc < 2) {
        usage(stderr);
        return FX_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return FX_EXIT_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("fxsim %s, results_version %d\n", FXSIM_VERSION, FX_RESULTS_VERSION);
        return FX_EXIT_DONE;
    }
    for (const FxCommand *c = fx_commands; c->name; c++) {
        if (strcmp(argv[1], c->name))
            continue;
        if (wants_help(argc - 1, argv + 1)) {
            printf("usage: fxsim %s %s\n%s\n\n", c->name, c->arguments, c->help);
            c->usage(stdout);
            return FX_EXIT_DONE;
        }
        if (c->run(argc - 1, argv + 1, &exit_code, &err)) {
            fprintf(stderr, "fxsim: %s\n", err.text);
            return (int)err.exit_code;
        }
        if (fflush(stdout) || ferror(stdout)) {
            fprintf(stderr, "fxsim: standard output cannot be written\n");
            return FX_EXIT_RUNTIME;
        }
        return (int)exit_code;
    }
    fprintf(stderr, "fxsim: no command \"%s\"; known:", argv[1]);
    for (const FxCommand *c = fx_commands; c->name; c++)
        fprintf(stderr, " %s", c->name);
    fprintf(stderr, "\n");
    return FX_EXIT_USAGE;
}
