// libFuzzer: any recipe text, read and resolved on a small net, gives a configuration or one error line; what resolves is
// written as a recipe that resolves again. The first byte chooses the net; lines that start with '!' are overrides.
#include "sim/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAYERS = 8, WRITTEN = 1 << 16 };

static void require(int holds) {
    if (!holds) abort();
}

static void require_error(const FxError *err) {
    require(err->exit_code == FX_EXIT_USAGE && err->text[0] && !strchr(err->text, '\n'));
}

// Loads the text through a file without a name. A base may be a built-in recipe, no file.
static int load(FxRecipe *recipe, const char *text, size_t size, FxError *err) {
    char path[64];
    FILE *file = tmpfile();
    require(file != NULL && fwrite(text, 1, size, file) == size && fflush(file) == 0);
    snprintf(path, sizeof path, "/dev/fd/%d", fileno(file));
    int result = fx_recipe_load(recipe, path, err);
    fclose(file);
    return result;
}

static int resolve(FxConfig *config, FxRecipe *recipe, const FxNet *net, FxError *err) {
    FxLayerName names[LAYERS];
    FxWarnings warnings = {{0}};
    fx_net_names(net, names);
    return fx_config_resolve(config, recipe, names, net->product_count, 1437, &warnings, err);
}

// The recipe that was resolved, written, loaded and resolved, has as many phases and steps.
static void require_again(FxRecipe *recipe, const FxConfig *config, const FxNet *net) {
    static char text[WRITTEN], again[WRITTEN];
    FxRecipe second;
    FxConfig same;
    FxError err = {.text = ""};
    size_t size = fx_recipe_write(text, sizeof text, recipe, true);
    if (size >= sizeof text) return;
    require(load(&second, text, size, &err) == 0);
    require(resolve(&same, &second, net, &err) == 0);
    require(same.phase_count == config->phase_count && same.total_steps == config->total_steps);
    require(fx_recipe_write(again, sizeof again, &second, true) == size && !memcmp(text, again, size));
    fx_config_free(&same);
    fx_recipe_free(&second);
}

static void try_net(FxNet *net, FxConfig *config) {
    FxError err = {.text = ""};
    if (config->batch > 64) return;
    if (fx_net_plan(net, config, 1, 0, &err))
        require_error(&err);
    else
        fx_net_init(net, config, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const nets[] = {"10", "2C3-MP3s2-2C3-4FC-10", "MP2-3FC-R-10SSE", "2C3-BN-+(2C3-RBN-2C3-BN|)-GAP-10",
                                       "2C3-+(3C3s2-L1BN|MP2-3C1)-SBN-DO50-10"};
    const FxDataset set = {.height = 8, .width = 8, .channels = 1, .classes = 10, .train = {.count = 1437}};
    FxRecipe recipe;
    FxConfig config;
    FxNet net;
    FxError err = {.text = ""};
    if (size == 0) return 0;
    char *text = malloc(size + 1), *overrides = NULL;
    require(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    for (char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        if (*p == '!' && !overrides) overrides = p;
        if (!strncmp(p, "base", 4) && (memchr(p, '/', strcspn(p, "\n")) || strstr(p, ".ini"))) { // no other files
            free(text);
            return 0;
        }
    }
    size_t length = overrides ? (size_t)(overrides - text) : size - 1;
    if (load(&recipe, text, length, &err)) {
        require_error(&err);
        free(text);
        return 0;
    }
    int failed = 0;
    for (char *p = overrides, *next; p && *p && !failed; p = next) {
        next = p + strcspn(p, "\n");
        next += *next ? (*next = 0, 1) : 0;
        failed = *p == '!' ? fx_recipe_override(&recipe, p + 1, "-s", &err) : 0;
    }
    if (!failed)
        failed = fx_net_build(&net, nets[data[0] % (sizeof nets / sizeof nets[0])], &set, (int)fx_recipe_number(&recipe, "run.batch"), "sse", &err);
    else
        memset(&net, 0, sizeof net);
    if (failed || resolve(&config, &recipe, &net, &err)) {
        require_error(&err);
    } else {
        require_again(&recipe, &config, &net);
        try_net(&net, &config);
        fx_config_free(&config);
    }
    fx_net_free(&net);
    fx_recipe_free(&recipe);
    free(text);
    return 0;
}
