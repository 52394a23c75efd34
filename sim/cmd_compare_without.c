// fxsim compare in a build without GSL, whose distributions its tests need.
#include "sim/command.h"

void fx_usage_compare(FILE *out) {
    fprintf(out, "Not in this build: GSL was not found. scripts/setup.sh build installs it (Debian: libgsl-dev); then build again.\n");
}

int fx_command_compare(int argc, char **argv, FxExit *exit_code, FxError *err) {
    (void)argc, (void)argv, (void)exit_code;
    return fx_fail(err, FX_EXIT_RUNTIME, "compare: built without GSL; scripts/setup.sh build installs it (Debian: libgsl-dev), then build again");
}
