#include "sim/recipe.h"

#include "sim/builtin.h"
#include "sim/ini.h"
#include "formats/quantiser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BASES = 8, MAX_FILE = 1 << 20 };

const char *fx_recipe_name(int i) {
    return fx_builtin_recipes[i].name;
}

void fx_recipe_free(FxRecipe *recipe) {
    free(recipe->settings);
    memset(recipe, 0, sizeof *recipe);
}

// Where a setting comes from.
typedef struct Origin {
    FxRecipe *recipe;
    const char *file;     // NULL: the command line
    char base[FX_VALUE];  // recipe.base, if the file has it
} Origin;

static FxSetting *append(FxRecipe *recipe, FxError *err) {
    if (recipe->count == recipe->capacity) {
        int capacity = recipe->capacity ? 2 * recipe->capacity : 128;
        FxSetting *grown = realloc(recipe->settings, (size_t)capacity * sizeof *grown);
        if (!grown) {
            fx_fail_memory(err, "recipe", (size_t)capacity * sizeof *grown);
            return NULL;
        }
        recipe->settings = grown;
        recipe->capacity = capacity;
    }
    FxSetting *s = &recipe->settings[recipe->count++];
    memset(s, 0, sizeof *s);
    return s;
}

static int same_value(void *user, const char *section, const char *key, const char *value, int line, FxError *err) {
    (void)section, (void)key, (void)line;
    return strcmp(value, user) ? fx_fail(err, FX_EXIT_USAGE, "blanks at the ends of a value; write it without") : 0;
}

// Whether fx_recipe_write can write the line and fx_ini_read reads it back.
static int fits_a_file(const char *path, const char *value, const char *source, FxError *err) {
    if (strpbrk(value, "\r\n"))
        return fx_fail(err, FX_EXIT_USAGE, "%s: %s: a value of several lines; write it on one", source, path);
    char line[FX_PATH + FX_VALUE + 8], wanted[FX_VALUE];
    FxError why;
    int n = snprintf(line, sizeof line, "%s = %s\n", path, value);
    snprintf(wanted, sizeof wanted, "%s", value);
    if (fx_ini_read("recipe.ini", line, (size_t)n, same_value, wanted, &why))
        return fx_fail(err, why.exit_code, "%s: %s: %s", source, path, why.text);
    return 0;
}

// The setting of the same source (a file, the command line) that a new one would hide. A part may stand behind its whole.
static const FxSetting *hidden(const FxRecipe *recipe, const FxKey *key, const char *layer, bool from_user, bool whole) {
    for (int i = 0; i < recipe->count; i++) {
        const FxSetting *s = &recipe->settings[i];
        if (s->key == key && !strcmp(s->layer, layer) && s->from_user == from_user && (whole || !s->whole))
            return s;
    }
    return NULL;
}

static int add(FxRecipe *recipe, const FxKey *key, const char *layer, const char *value, const char *source, bool from_user,
               bool whole, FxError *err) {
    const FxSetting *other = hidden(recipe, key, layer, from_user, whole);
    if (other)
        return fx_fail(err, FX_EXIT_USAGE, "%s: sets %s a second time; %s has set it, keep one", source, key->path, other->source);
    if (fits_a_file(key->path, value, source, err))
        return -1;
    FxSetting *s = append(recipe, err);
    if (!s)
        return -1;
    s->key = key;
    s->from_user = from_user;
    s->whole = whole;
    snprintf(s->layer, sizeof s->layer, "%s", layer);
    snprintf(s->value, sizeof s->value, "%s", value);
    snprintf(s->source, sizeof s->source, "%s", source);
    return 0;
}

// The text of one part of a quantiser; "none" has the other parts' fallbacks.
static void part_text(char *text, size_t size, const char *q_text, const FxKey *part) {
    FxQuantiser q;
    FxError ignored;
    const char *name = strrchr(part->path, '.') + 1;
    if (!strcmp(q_text, "none") || fx_quantiser_parse(&q, q_text, &ignored))
        snprintf(text, size, "%s", part->fallback);
    else if (!strcmp(name, "grid"))
        fx_grid_print(text, size, &q.grid);
    else if (!strcmp(name, "scale"))
        fx_scale_print(text, size, &q.scale);
    else if (!strcmp(name, "rounding"))
        fx_rounding_print(text, size, &q.rounding);
    else
        snprintf(text, size, "%s", fx_overflow_name(q.overflow));
}

// SITE.q: each part gets the schedule of the whole. The parts stand behind the whole in the table.
static int add_parts(FxRecipe *recipe, const FxKey *key, const char *layer, const FxSchedule *schedule, const char *source,
                     bool from_user, FxError *err) {
    for (const FxKey *part = key + 1; part <= key + 4; part++) {
        char value[FX_VALUE] = "";
        for (int i = 0; i < schedule->count; i++) {
            const FxScheduleItem *item = &schedule->item[i];
            char text[FX_QUANTISER_TEXT], mark[32] = "";
            part_text(text, sizeof text, item->text, part);
            if (i)
                snprintf(mark, sizeof mark, "@%llu%s", (unsigned long long)item->at, item->in_steps ? "s" : "");
            size_t used = strlen(value);
            if (used + strlen(text) + strlen(mark) + 2 > sizeof value)
                return fx_fail(err, FX_EXIT_USAGE, "%s: the schedule of %s is longer than %d characters", source, key->path,
                               FX_VALUE - 1);
            snprintf(value + used, sizeof value - used, "%s%s%s", i ? " " : "", text, mark);
        }
        if (add(recipe, part, layer, value, source, from_user, true, err))
            return -1;
    }
    return 0;
}

static int set(FxRecipe *recipe, const char *path, const char *value, const char *source, bool from_user, FxError *err) {
    char layer[24] = "";
    const char *rest = path;
    if (!strncmp(path, "layer.", 6)) {
        size_t n = strcspn(path + 6, ".");
        if (n == 0 || n >= sizeof layer || path[6 + n] != '.')
            return fx_fail(err, FX_EXIT_USAGE, "%s: \"%s\"; write layer.first.error.q or layer.conv4.error.q", source, path);
        memcpy(layer, path + 6, n);
        layer[n] = 0;
        rest = path + 7 + n;
    }
    const FxKey *key = fx_key_find(rest);
    if (!key) {
        char known[512] = "";
        size_t section = strcspn(rest, ".") + 1;
        for (int i = 0; fx_key(i); i++) // the keys of this section, or else the sections
            if (!strncmp(fx_key(i)->path, rest, section) && strlen(known) + FX_PATH < sizeof known)
                sprintf(known + strlen(known), " %s", fx_key(i)->path);
        if (!known[0])
            strcpy(known, " sections recipe run input init weight activation error logits gradient store bias update momentum second decay "
                          "loss-scale accumulator random stats, layer.NAME");
        return fx_fail(err, FX_EXIT_USAGE, "%s: no key \"%.80s\"; known:%s", source, rest, known);
    }
    if (layer[0] && !(key->flags & FX_KEY_LAYER))
        return fx_fail(err, FX_EXIT_USAGE, "%s: %s is one for the whole run, not a layer's", source, key->path);
    FxSchedule schedule;
    FxError why;
    if (strlen(value) >= FX_VALUE)
        return fx_fail(err, FX_EXIT_USAGE, "%s: %s: a value of %zu characters; at most %d", source, key->path, strlen(value),
                       FX_VALUE - 1);
    if (!(key->flags & FX_KEY_SCHEDULE)) { // spaces and '@' are the value's own
        if (key->check(key, value, &why))
            return fx_fail(err, FX_EXIT_USAGE, "%s: %s: %s", source, key->path, why.text);
        memset(&schedule, 0, sizeof schedule);
        schedule.count = 1;
        snprintf(schedule.item[0].text, sizeof schedule.item[0].text, "%s", value);
    } else {
        if (fx_schedule_parse(&schedule, value, &why))
            return fx_fail(err, FX_EXIT_USAGE, "%s: %s: %s", source, key->path, why.text);
        for (int i = 0; i < schedule.count; i++)
            if (key->check(key, schedule.item[i].text, &why))
                return fx_fail(err, FX_EXIT_USAGE, "%s: %s: %s", source, key->path, why.text);
    }
    if (key->flags & FX_KEY_QUANTISER)
        return add_parts(recipe, key, layer, &schedule, source, from_user, err);
    return add(recipe, key, layer, value, source, from_user, false, err);
}

static int entry(void *user, const char *section, const char *key, const char *value, int line, FxError *err) {
    Origin *origin = user;
    char path[FX_VALUE], source[288];
    snprintf(path, sizeof path, "%s.%s", section, key);
    snprintf(source, sizeof source, "%s:%d", origin->file, line);
    if (!strcmp(path, "recipe.base"))
        snprintf(origin->base, sizeof origin->base, "%s", value);
    return set(origin->recipe, path, value, source, false, err);
}

static int read_file(char **text, size_t *size, const char *path, FxError *err) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return fx_fail(err, FX_EXIT_USAGE, "recipe %s: %s", path, strerror(errno));
    *text = malloc(MAX_FILE + 1);
    if (!*text) {
        fclose(f);
        return fx_fail_memory(err, path, MAX_FILE);
    }
    *size = fread(*text, 1, MAX_FILE + 1, f);
    int failed = ferror(f);
    fclose(f);
    if (!failed && *size <= MAX_FILE)
        return 0;
    free(*text);
    return fx_fail(err, FX_EXIT_USAGE, "recipe %s: %s", path, failed ? "cannot be read" : "longer than 1 MiB");
}

static bool is_file(const char *name) {
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 4 && !strcmp(name + n - 4, ".ini"));
}

// Reads one recipe into `into` and says its base.
static int load_one(FxRecipe *into, const char *name, char base[FX_VALUE], FxError *err) {
    Origin origin = {.recipe = into, .file = name};
    char *text = NULL;
    size_t size = 0;
    int result;
    if (is_file(name)) {
        if (read_file(&text, &size, name, err))
            return -1;
        result = fx_ini_read(name, text, size, entry, &origin, err);
        free(text);
    } else {
        const FxBuiltin *found = fx_builtin_recipes;
        char known[256] = "", file[FX_PATH + 8];
        for (; found->name && strcmp(found->name, name); found++)
            if (strlen(known) + strlen(found->name) + 2 < sizeof known)
                sprintf(known + strlen(known), " %s", found->name);
        if (!found->name)
            return fx_fail(err, FX_EXIT_USAGE, "no recipe \"%s\"; known:%s, or the path of a file that ends in .ini", name, known);
        snprintf(file, sizeof file, "%s.ini", name);
        origin.file = file;
        result = fx_ini_read(file, found->text, strlen(found->text), entry, &origin, err);
    }
    memcpy(base, origin.base, FX_VALUE);
    return result;
}

static int load_chain(FxRecipe *recipe, const char *name, int depth, FxError *err) {
    FxRecipe own = {0};
    char base[FX_VALUE] = "";
    if (depth > MAX_BASES)
        return fx_fail(err, FX_EXIT_USAGE, "recipe %s: more than %d bases, one on another", name, MAX_BASES);
    int result = load_one(&own, name, base, err);
    if (result == 0 && base[0] && strcmp(base, "none"))
        result = load_chain(recipe, base, depth + 1, err);
    for (int i = 0; result == 0 && i < own.count; i++) {
        FxSetting *s = append(recipe, err);
        if (s)
            *s = own.settings[i];
        else
            result = -1;
    }
    fx_recipe_free(&own);
    return result;
}

int fx_recipe_load(FxRecipe *recipe, const char *name, FxError *err) {
    memset(recipe, 0, sizeof *recipe);
    if (load_chain(recipe, name, 0, err)) {
        fx_recipe_free(recipe);
        return -1;
    }
    const char *own = fx_recipe_text(recipe, "recipe.name");
    snprintf(recipe->name, sizeof recipe->name, "%s", own[0] ? own : name);
    if (fits_a_file("recipe.name", recipe->name, name, err)) {
        fx_recipe_free(recipe);
        return -1;
    }
    return 0;
}

int fx_recipe_override(FxRecipe *recipe, const char *assignment, const char *what, FxError *err) {
    char path[FX_VALUE], source[288];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof path)
        return fx_fail(err, FX_EXIT_USAGE, "%s %.80s: write section.key=value", what, assignment);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    snprintf(source, sizeof source, "%s %s", what, assignment);
    for (char *p = source; *p; p++) // messages are one line
        *p = (unsigned char)*p < ' ' ? '?' : *p;
    if (!strcmp(path, "recipe.name") || !strcmp(path, "recipe.base"))
        return fx_fail(err, FX_EXIT_USAGE, "%s: %s can only stand in a recipe file", source, path);
    if (set(recipe, path, equals + 1, source, true, err))
        return -1;
    const FxKey *key = recipe->settings[recipe->count - 1].key;
    if (key->flags & FX_KEY_NEUTRAL)
        return 0;
    size_t used = strlen(recipe->overrides);
    if (used + strlen(assignment) + 2 > sizeof recipe->overrides)
        return fx_fail(err, FX_EXIT_USAGE, "%s: overrides of more than %zu characters; write a recipe file", what,
                       sizeof recipe->overrides);
    snprintf(recipe->overrides + used, sizeof recipe->overrides - used, "%s%s", used ? ";" : "", assignment);
    return 0;
}

int fx_setting_reach(const FxSetting *s, const FxLayerName *layer) {
    if (!s->layer[0])
        return 1;
    if (!layer)
        return 0;
    if (!strcmp(s->layer, layer->kind))
        return 2;
    if ((layer->first && !strcmp(s->layer, "first")) || (layer->last && !strcmp(s->layer, "last")))
        return 3;
    return strcmp(s->layer, layer->name) ? 0 : 4;
}

const FxSetting *fx_recipe_ruler(const FxRecipe *recipe, const FxKey *key, const FxLayerName *layer) {
    const FxSetting *best = NULL;
    for (int i = 0; i < recipe->count; i++) {
        const FxSetting *s = &recipe->settings[i];
        int r = s->key == key ? fx_setting_reach(s, layer) : 0;
        if (r && (!best || r >= fx_setting_reach(best, layer)))
            best = s;
    }
    return best;
}

const FxSetting *fx_recipe_find(FxRecipe *recipe, const char *path, const FxLayerName *layer) {
    const FxKey *key = fx_key_find(path);
    const FxSetting *best = fx_recipe_ruler(recipe, key, layer);
    char parent[FX_PATH];
    for (int i = 0; i < recipe->count; i++) {
        FxSetting *s = &recipe->settings[i];
        s->won |= s == best;
        s->lost |= s != best && s->key == key && fx_setting_reach(s, layer);
    }
    return !best && fx_key_parent(parent, path) ? fx_recipe_find(recipe, parent, layer) : best;
}

const char *fx_recipe_text(FxRecipe *recipe, const char *path) {
    const FxSetting *s = fx_recipe_find(recipe, path, NULL);
    return s ? s->value : fx_key_find(path)->fallback;
}

long long fx_recipe_number(FxRecipe *recipe, const char *path) {
    return atoll(fx_recipe_text(recipe, path));
}
