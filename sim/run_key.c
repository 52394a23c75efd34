// What a key is for a run: a column of its log, or what its recipe comes to.
#include "sim/run_log.h"

#include "layers/layer.h"
#include "sim/log.h"
#include "sim/notation.h"
#include "sim/text.h"

#include <string.h>

// The net as the run's log or recipe has it, in notation; false: neither does.
static bool notation_of(FxNotation *net, const FxRunLog *run) {
    FxError ignored;
    char text[FX_KEY_TEXT];
    fx_cell_text(text, sizeof text, fx_csv_cell(&run->log, -1, "net"));
    return text[0] && fx_notation_parse(net, text, &ignored) == 0;
}

int fx_run_log_classes(const FxRunLog *run) {
    FxNotation net = {0};
    if (!notation_of(&net, run))
        return 0;
    int classes = net.count > 0 ? net.items[net.count - 1].before : 0;
    fx_notation_free(&net);
    return classes > 0 ? classes : 0;
}

// The product layer of this name ("conv1"), numbered as sim/net_build.c does.
static bool find_layer(FxLayerName *layer, const FxRunLog *run, const char *name) {
    FxNotation net = {0};
    int id = 0;
    bool found = false;
    memset(layer, 0, sizeof *layer);
    if (!notation_of(&net, run))
        return false;
    for (int i = 0; i < net.count; i++) {
        const FxLayerOps *ops = fx_layer_find(net.items[i].letters);
        bool output = i == net.count - 1; // a product and a loss, or a bare number: one fully connected layer
        if (!output && (!ops || ops->role != FX_ROLE_PRODUCT))
            continue;
        const char *kind = output ? "fc" : ops->name;
        char text[24];
        snprintf(text, sizeof text, "%s%d", kind, ++id);
        if (strcmp(text, name) && strcmp(name, "first") && strcmp(name, "last"))
            continue;
        if ((!strcmp(name, "first") && id > 1) || (!strcmp(name, "last") && !output))
            continue;
        *layer = (FxLayerName){.kind = !strcmp(kind, "fc") ? "fc" : "conv", .first = id == 1, .last = output};
        memcpy(layer->name, text, sizeof layer->name);
        found = true;
    }
    fx_notation_free(&net);
    return found;
}

// The value in effect. A whole quantiser is put together from its parts, which is how recipes keep it.
static void effective(char text[FX_KEY_TEXT], FxRecipe *recipe, const FxKey *key, const FxLayerName *layer) {
    const FxSetting *s;
    if (!(key->flags & FX_KEY_QUANTISER)) {
        s = fx_recipe_find(recipe, key->path, layer);
        snprintf(text, FX_KEY_TEXT, "%s", s ? s->value : key->fallback);
        return;
    }
    const char *part[4];
    for (int i = 0; i < 4; i++) {
        s = fx_recipe_find(recipe, key[1 + i].path, layer);
        part[i] = s ? s->value : key[1 + i].fallback;
    }
    if (strcmp(part[0], "none"))
        snprintf(text, FX_KEY_TEXT, "%s@%s/%s/%s", part[0], part[1], part[2], part[3]);
    else
        snprintf(text, FX_KEY_TEXT, "none");
}

// The value of "path=" in overrides, "key=value" joined by ';', the last one.
static bool overridden(char text[FX_KEY_TEXT], const char *overrides, const char *path) {
    size_t n = strlen(path);
    bool found = false;
    for (const char *p = overrides; p && *p; p += strcspn(p, ";"), p += *p == ';')
        if (!strncmp(p, path, n) && p[n] == '=') {
            snprintf(text, FX_KEY_TEXT, "%.*s", (int)(strcspn(p, ";") - n - 1), p + n + 1);
            found = true;
        }
    return found;
}

static int recipe_key(char text[FX_KEY_TEXT], FxRunLog *run, const char *path, FxError *err) {
    char layer_name[24] = "";
    const char *rest = path;
    if (!strncmp(path, "layer.", 6)) {
        size_t n = strcspn(path + 6, ".");
        if (n == 0 || n >= sizeof layer_name || path[6 + n] != '.')
            return fx_fail(err, FX_EXIT_USAGE, "--by %s: write layer.conv1.weight.grid", path);
        memcpy(layer_name, path + 6, n);
        rest = path + 7 + n;
    }
    const FxKey *key = fx_key_find(rest);
    if (!key || (layer_name[0] && !(key->flags & FX_KEY_LAYER)))
        return fx_fail(err, FX_EXIT_USAGE, "--by %.80s: no column of log.csv and no key of a recipe%s; known: recipe net data overrides "
                       "..., section.key as gradient.rounding or run.batch", path, key ? "'s layer" : "");
    FxLayerName layer;
    if (!run->has_recipe) {
        if (overridden(text, run->overrides, path))
            return 0;
        fx_fail(err, FX_EXIT_USAGE, "%s: %s%s; --by %s is read there", run->path, run->why[0] ? "recipe.ini cannot be read: " : "no recipe.ini",
                run->why, path);
        return 1;
    }
    if (layer_name[0] && !find_layer(&layer, run, layer_name)) {
        fx_fail(err, FX_EXIT_USAGE, "%s: --by %s: its net has no layer %s", run->path, path, layer_name);
        return 1;
    }
    effective(text, &run->recipe, key, layer_name[0] ? &layer : NULL);
    return 0;
}

int fx_run_log_key(char text[FX_KEY_TEXT], FxRunLog *run, const char *key, FxError *err) {
    static const char *const in_recipe[][2] = {{"recipe", "recipe.name"}, {"net", "run.net"}, {"data", "run.data"}};
    char path[FX_PATH + 8];
    if (run->log.rows && fx_csv_column(&run->log, key) >= 0) {
        fx_cell_text(text, FX_KEY_TEXT, fx_csv_cell(&run->log, -1, key));
        return 0;
    }
    if (!strcmp(key, "overrides") && run->overrides) {
        fx_cell_text(text, FX_KEY_TEXT, run->overrides);
        return 0;
    }
    for (size_t i = 0; i < sizeof in_recipe / sizeof in_recipe[0]; i++)
        if (!strcmp(key, in_recipe[i][0]) && run->has_recipe) {
            snprintf(text, FX_KEY_TEXT, "%s", i ? fx_recipe_text(&run->recipe, in_recipe[i][1]) : run->recipe.name);
            return 0;
        }
    if (run->log.rows == 0 && fx_log_has_column(key)) {
        fx_fail(err, FX_EXIT_USAGE, "%s: log.csv has no row", run->path);
        return 1;
    }
    snprintf(path, sizeof path, "run.%.60s", key);
    return recipe_key(text, run, !strchr(key, '.') && fx_key_find(path) ? path : key, err);
}
