// What differs between runs that are compared, beside the seed and the keys of --by.
#include "sim/compare.h"

#include "layers/layer.h"

#include <string.h>

// Names, each once, the first few written out.
typedef struct Names {
    char text[600];
    int count;
} Names;

static void note(Names *names, const char *layer, const char *path) {
    enum { SHOWN = 8 };
    char name[FX_PATH + 40];
    size_t used = strlen(names->text);
    snprintf(name, sizeof name, "%s%s%s%s", layer[0] ? "layer." : "", layer, layer[0] ? "." : "", path);
    for (const char *p = names->text; *p; p += strcspn(p, " "), p += *p == ' ') {
        size_t n = strcspn(p, " ");
        if (strlen(name) == n && !strncmp(p, name, n))
            return;
    }
    if (names->count++ < SHOWN)
        snprintf(names->text + used, sizeof names->text - used, "%s%s", used ? " " : "", name);
}

static bool starts(const char *text, const char *start, size_t n) { // and goes on
    return strlen(text) > n && !strncmp(text, start, n);
}

// accumulator.error.kind is not what the column acc_forward shows.
static bool is_of_other_product(const char *column, const char *path) {
    char start[40];
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        snprintf(start, sizeof start, "accumulator.%s.", fx_product_names[kind]);
        if (!strncmp(path, start, strlen(start)))
            return !strncmp(column, "acc_", 4) && strcmp(column + 4, fx_product_names[kind]);
    }
    return false;
}

// Whether a key of --by says of this key of a recipe that it may differ.
static bool is_named(const char *by, const char *layer, const char *path) {
    static const char *const columns[][2] = {{"rate", "update.rate"}, {"loss_scale", "loss-scale."}, {"acc_forward", "accumulator."},
                                             {"acc_error", "accumulator."}, {"acc_gradient", "accumulator."}};
    char full[FX_PATH + 40];
    size_t n = strlen(by);
    snprintf(full, sizeof full, "%s%s%s%s", layer[0] ? "layer." : "", layer, layer[0] ? "." : "", path);
    if (!strcmp(by, full) || (!layer[0] && !strncmp(path, "run.", 4) && !strcmp(path + 4, by)))
        return true;
    if (n > 2 && !strcmp(by + n - 2, ".q") && starts(full, by, n - 1))
        return true;
    if (!strchr(by, '.') && starts(path, by, n) && path[n] == '.') // a column of a site
        return true;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (!strcmp(by, columns[i][0]) && !strncmp(path, columns[i][1], strlen(columns[i][1])) && !is_of_other_product(by, path))
            return true;
    return false;
}

static bool is_asked_for(const FxCompareOptions *o, const char *layer, const char *path) {
    for (int k = 0; k < o->keys; k++)
        if (is_named(o->by[k], layer, path))
            return true;
    return false;
}

static bool is_compared(const FxKey *key) {
    return !(key->flags & (FX_KEY_NEUTRAL | FX_KEY_QUANTISER)) && strncmp(key->path, "recipe.", 7) && strcmp(key->path, "run.seed");
}

static const char *layer_value(const FxRecipe *recipe, const FxSetting *like) {
    const char *value = "";
    for (int i = 0; i < recipe->count; i++)
        if (recipe->settings[i].key == like->key && !strcmp(recipe->settings[i].layer, like->layer))
            value = recipe->settings[i].value;
    return value;
}

static void differing_layers(Names *names, const FxRecipe *a, const FxRecipe *b, const FxCompareOptions *o) {
    for (int i = 0; i < a->count; i++) {
        const FxSetting *s = &a->settings[i];
        if (s->layer[0] && strcmp(layer_value(a, s), layer_value(b, s)) && !is_asked_for(o, s->layer, s->key->path))
            note(names, s->layer, s->key->path);
    }
}

static void differing(Names *names, FxRecipe *a, FxRecipe *b, const FxCompareOptions *o) {
    for (int i = 0; fx_key(i); i++) {
        const FxKey *key = fx_key(i);
        if (!is_compared(key) || (!fx_recipe_ruler(a, key, NULL) && !fx_recipe_ruler(b, key, NULL))) // unset: it follows its parent
            continue;
        if (strcmp(fx_recipe_text(a, key->path), fx_recipe_text(b, key->path)) && !is_asked_for(o, "", key->path))
            note(names, "", key->path);
    }
    differing_layers(names, a, b, o);
    differing_layers(names, b, a, o);
}

static void say(const Names *names, const char *where, const char *what) {
    enum { SHOWN = 8 };
    if (names->count > SHOWN)
        fx_compare_warn("%s%s: %s and %d more", where, what, names->text, names->count - SHOWN);
    else if (names->count)
        fx_compare_warn("%s%s: %s", where, what, names->text);
}

static bool takes_part(const FxComparison *c, int i) {
    return c->runs[i].group >= 0 && c->logs.run[i].log.rows > 0;
}

// The first run that takes part and has a recipe, in a group or (-1) in any.
static FxRunLog *first_of(FxComparison *c, int group) {
    for (int i = 0; i < c->logs.count; i++)
        if (takes_part(c, i) && c->logs.run[i].has_recipe && (group < 0 || c->runs[i].group == group))
            return &c->logs.run[i];
    return NULL;
}

// A column that all runs should agree on.
static void check_column(const FxComparison *c, const char *column, const char *what, bool counted_only) {
    int first = -1;
    for (int i = 0; i < c->logs.count; i++) {
        if (!takes_part(c, i) || (counted_only && !c->runs[i].counted))
            continue;
        const char *value = fx_csv_cell(&c->logs.run[i].log, -1, column);
        if (first < 0) {
            first = i;
            continue;
        }
        const char *other = fx_csv_cell(&c->logs.run[first].log, -1, column);
        if (strcmp(value, other)) {
            fx_compare_warn("%s: %s in %s, %s in %s", what, other, c->logs.run[first].path, value, c->logs.run[i].path);
            return;
        }
    }
}

// Runs without a recipe.ini have only their column of overrides.
static void check_overrides(FxComparison *c, int group) {
    const FxRunLog *first = NULL;
    for (int i = 0; i < c->logs.count; i++) {
        const FxRunLog *run = &c->logs.run[i];
        if (!takes_part(c, i) || c->runs[i].group != group)
            continue;
        first = first ? first : run;
        const char *a = fx_csv_cell(&first->log, -1, "overrides"), *b = fx_csv_cell(&run->log, -1, "overrides");
        if (strcmp(a, b) && (!first->has_recipe || !run->has_recipe)) {
            fx_compare_warn("setting %s mixes overrides \"%s\" (%s) and \"%s\" (%s)", c->groups[group].name, a, first->path, b, run->path);
            return;
        }
    }
}

static void check_recipes_are_there(const FxComparison *c) {
    for (int i = 0; i < c->logs.count; i++) {
        const FxRunLog *run = &c->logs.run[i];
        if (takes_part(c, i) && !run->has_recipe)
            fx_compare_warn("%s: %s%s: whether it differs in other keys is told by its overrides alone", run->path,
                            run->why[0] ? "recipe.ini cannot be read: " : "no recipe.ini", run->why);
    }
}

void fx_compare_check_keys(FxComparison *c, const FxCompareOptions *o) {
    static const char *const whole[] = {"recipe", "overrides", "config_crc32", "run_id"}; // such settings differ in any key
    bool any_key = false;
    char where[300];
    for (int k = 0; k < o->keys; k++)
        for (size_t w = 0; w < sizeof whole / sizeof whole[0]; w++)
            any_key |= !strcmp(o->by[k], whole[w]);
    check_recipes_are_there(c);
    Names between = {{0}, 0};
    for (int g = 0; g < c->group_count; g++) {
        FxRunLog *first = first_of(c, g), *of_all = first_of(c, -1);
        Names within = {{0}, 0};
        for (int i = 0; first && i < c->logs.count; i++)
            if (takes_part(c, i) && c->runs[i].group == g && c->logs.run[i].has_recipe)
                differing(&within, &first->recipe, &c->logs.run[i].recipe, o);
        snprintf(where, sizeof where, "setting %.200s ", c->groups[g].name);
        say(&within, where, "mixes runs that differ in other keys");
        if (first)
            differing(&between, &of_all->recipe, &first->recipe, o);
        check_overrides(c, g);
    }
    if (!any_key)
        say(&between, "", "the settings differ in other keys than --by, too");
    check_column(c, "results_version", "runs of different results_version", false);
    check_column(c, "epoch", "runs of different lengths, in epochs", true);
}
