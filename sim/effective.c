// What a recipe comes to: settings that rule nowhere, and the text of everything in effect.
#include "sim/recipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/quantiser.h"

void fx_warn(FxWarnings *warnings, const char *format, ...) {
    size_t used = strlen(warnings->text);
    va_list list;
    va_start(list, format);
    if (used + 2 < sizeof warnings->text) {
        vsnprintf(warnings->text + used, sizeof warnings->text - used - 1, format, list);
        strcat(warnings->text, "\n");
    }
    va_end(list);
}

int fx_recipe_settle(FxRecipe *recipe, const char *path, const char *value, const char *what, FxError *err) {
    const FxKey *key = fx_key_find(path);
    char text[FX_PATH + FX_VALUE], overrides[sizeof recipe->overrides];
    for (int i = recipe->count; i-- > 0;) { // the last one rules
        FxSetting *s = &recipe->settings[i];
        FxError why;
        if (s->key != key)
            continue;
        if (strlen(value) >= sizeof s->value || key->check(key, value, &why))
            return fx_fail(err, FX_EXIT_USAGE, "%s: %s: %s: %s", s->source, what, path,
                           strlen(value) >= sizeof s->value ? "too long a value" : why.text);
        strcpy(s->value, value);
        return 0;
    }
    memcpy(overrides, recipe->overrides, sizeof overrides); // what follows from others is no override of its own
    snprintf(text, sizeof text, "%s=%s", path, value);
    int result = fx_recipe_override(recipe, text, what, err);
    memcpy(recipe->overrides, overrides, sizeof overrides);
    return result;
}

static bool fits_some_layer(const FxSetting *s, const FxLayerName *names, int layers) {
    for (int l = 0; l < layers; l++)
        if (fx_setting_reach(s, &names[l]))
            return true;
    return false;
}

// Whether any part of the assignment that s belongs to rules somewhere.
static bool assignment_won(const FxRecipe *recipe, const FxSetting *s) {
    for (int i = 0; i < recipe->count; i++)
        if (recipe->settings[i].won && !strcmp(recipe->settings[i].source, s->source))
            return true;
    return false;
}

// Names of the layers that s reaches and in which another value of key, s's own or one that has it as parent, rules.
static void keepers(char *text, size_t size, const FxRecipe *recipe, const FxSetting *s, const FxKey *key,
                    const FxLayerName *names, int layers) {
    text[0] = 0;
    for (int l = 0; l < layers; l++) {
        const FxSetting *ruler = fx_setting_reach(s, &names[l]) ? fx_recipe_ruler(recipe, key, &names[l]) : NULL;
        bool specific = ruler && (key != s->key || fx_setting_reach(ruler, &names[l]) > fx_setting_reach(s, &names[l]));
        if (specific && strcmp(ruler->value, s->value) && strlen(text) + sizeof names[l].name + 2 < size)
            sprintf(text + strlen(text), " %s", names[l].name);
    }
}

static void warn_of_keepers(FxWarnings *warnings, const FxRecipe *recipe, const FxSetting *s, const FxLayerName *names, int layers) {
    char text[512], parent[FX_PATH];
    for (int i = 0; fx_key(i); i++) {
        const FxKey *key = fx_key(i);
        if (key != s->key && !(fx_key_parent(parent, key->path) && !strcmp(parent, s->key->path)))
            continue;
        keepers(text, sizeof text, recipe, s, key, names, layers);
        if (text[0])
            fx_warn(warnings, "%s: these layers keep their own %s:%s", s->source, key->path, text);
    }
}

int fx_recipe_unused(FxRecipe *recipe, const FxLayerName *names, int layers, FxWarnings *warnings, FxError *err) {
    for (int i = 0; i < recipe->count; i++) {
        const FxSetting *s = &recipe->settings[i];
        char text[512] = "";
        if (!(s->key->flags & FX_KEY_LAYER))
            continue;
        if (s->layer[0] && !fits_some_layer(s, names, layers)) {
            for (int l = 0; l < layers && strlen(text) + 32 < sizeof text; l++)
                sprintf(text + strlen(text), " %s", names[l].name);
            return fx_fail(err, FX_EXIT_USAGE, "%s: no layer \"%s\"; known: first last conv fc%s", s->source, s->layer, text);
        }
        if (!s->from_user)
            continue;
        if (!assignment_won(recipe, s))
            return fx_fail(err, FX_EXIT_USAGE, "%s: takes effect in no layer: %s", s->source,
                           s->lost ? "other settings rule everywhere" : "nothing reads it in this network");
        warn_of_keepers(warnings, recipe, s, names, layers);
    }
    return 0;
}

typedef struct Writer {
    char *text;
    size_t size, used;
} Writer;

static void put(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(Writer *w, const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t room = w->used < w->size ? w->size - w->used : 0;
    int n = vsnprintf(room ? w->text + w->used : NULL, room, format, list);
    va_end(list);
    w->used += n > 0 ? (size_t)n : 0;
}

// The section that is open, so that each is written once.
static void put_key(Writer *w, char section[FX_PATH], const FxKey *key, const char *value) {
    size_t n = (size_t)(strrchr(key->path, '.') - key->path);
    if (strlen(section) != n || strncmp(section, key->path, n)) {
        snprintf(section, FX_PATH, "%.*s", (int)n, key->path);
        put(w, "%s[%s]\n", w->used ? "\n" : "", section);
    }
    put(w, "%s = %s\n", key->path + n + 1, value);
}

static bool is_scheduled(const char *value) {
    return strchr(value, ' ') != NULL;
}

// A quantiser in one line where no part changes during the run; true if it was written.
static bool put_quantiser(Writer *w, char section[FX_PATH], FxRecipe *recipe, const FxKey *whole) {
    const char *part[4];
    char text[4 * FX_VALUE];
    FxQuantiser q;
    FxError ignored;
    for (int i = 0; i < 4; i++) {
        part[i] = fx_recipe_text(recipe, whole[1 + i].path);
        // "none" says nothing of the other parts, which a layer with a grid of its own may inherit
        if (is_scheduled(part[i]) || (i && !strcmp(part[0], "none") && strcmp(part[i], whole[1 + i].fallback)))
            return false;
    }
    snprintf(text, sizeof text, "%s@%s/%s/%s", part[0], part[1], part[2], part[3]);
    if (strcmp(part[0], "none") && !fx_quantiser_parse(&q, text, &ignored))
        fx_quantiser_print(text, &q); // as it will be read: a part given alone stands as its user wrote it
    if (strlen(text) >= FX_VALUE)
        return false;
    put_key(w, section, whole, strcmp(part[0], "none") ? text : "none");
    return true;
}

size_t fx_recipe_write(char *text, size_t size, FxRecipe *recipe, bool neutral) {
    Writer w = {text, size, 0};
    char section[FX_PATH] = "", parent[FX_PATH];
    for (int i = 0; fx_key(i); i++) {
        const FxKey *key = fx_key(i);
        if (!strcmp(key->path, "recipe.base") || (!neutral && (key->flags & FX_KEY_NEUTRAL)))
            continue;
        bool copy = fx_key_parent(parent, key->path);
        if ((key->flags & FX_KEY_QUANTISER) && copy) // its parts follow where they are set
            continue;
        if (key->flags & FX_KEY_QUANTISER) {
            if (put_quantiser(&w, section, recipe, key))
                i += 4;
            continue;
        }
        if (!strcmp(key->path, "recipe.name")) {
            put_key(&w, section, key, recipe->name);
            continue;
        }
        bool inherits = copy && fx_recipe_find(recipe, key->path, NULL) == fx_recipe_find(recipe, parent, NULL);
        if (!inherits)
            put_key(&w, section, key, fx_recipe_text(recipe, key->path));
    }
    const char *open = ""; // of two that reach a layer alike the later rules: they keep their order
    for (int i = 0; i < recipe->count; i++) {
        const FxSetting *s = &recipe->settings[i];
        bool last = s->layer[0] != 0;
        for (int j = i + 1; j < recipe->count; j++)
            last &= recipe->settings[j].key != s->key || strcmp(recipe->settings[j].layer, s->layer);
        if (!last)
            continue;
        if (strcmp(open, s->layer))
            put(&w, "\n[layer.%s]\n", s->layer);
        open = s->layer;
        put(&w, "%s = %s\n", s->key->path, s->value);
    }
    return w.used;
}
