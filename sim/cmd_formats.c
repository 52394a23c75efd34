// fxsim formats: the tables of formats/, as they are.
#include "sim/command.h"

void fx_usage_formats(FILE *out) {
    fprintf(out, "A quantiser is written GRID[@SCALE][/ROUNDING][/OVERFLOW], as fixed8f7@shift-unit/stochastic:32:below/saturate.\n"
                 "Left out: scale const:0, rounding nearest-even, overflow saturate.\n");
}

int fx_command_formats(int argc, char **argv, FxExit *exit_code, FxError *err) {
    if (argc > 1)
        return fx_fail(err, FX_EXIT_USAGE, "formats: \"%s\": no argument is known", argv[1]);
    fx_usage_formats(stdout);
    printf("\ngrids\n");
    for (int i = 0; fx_grid_kind(i); i++)
        printf("  %s\n", fx_grid_kind(i)->syntax);
    printf("    W bits with sign, F of them fraction (default W-1, unsigned W); symmetric, t: two's complement;\n"
           "    ternary is 0 iff |x| <= T (default 0.5)\n\nscales\n");
    for (int i = 0; fx_scale_rule(i); i++)
        printf("  %-18s %s\n", fx_scale_rule(i)->name, fx_scale_rule(i)->help);
    printf("\nroundings\n");
    for (int i = 0; i < FX_ROUND_MODES; i++) {
        const FxRoundMode *mode = &fx_round_modes[i];
        char name[40];
        snprintf(name, sizeof name, "%s%s%s", mode->name, mode->law ? ":r:" : "", mode->law ? mode->law : "");
        printf("  %-18s %s\n", name, mode->help);
    }
    printf("    parameters: stochastic[:r[:law]], sr-eps:e[:r], signed-sr-eps:e[:r], add-constant:c; r random bits\n"
           "\noverflow\n  saturate\n  wrap               two's complement and unsigned fixed grids\n");
    *exit_code = FX_EXIT_DONE;
    return 0;
}
