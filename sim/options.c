#include "sim/command.h"

#include <stdlib.h>
#include <string.h>

static bool allows(const char *extra, const char *name) {
    size_t n = strlen(name);
    for (const char *p = extra; *p;) {
        size_t length = strcspn(p, " ");
        if (length == n && !strncmp(p, name, n))
            return true;
        p += length + (p[length] == ' ');
    }
    return false;
}

// Whether the word behind argv[i] is its value.
static bool takes_word(int argc, char **argv, int i) {
    static const char *const alone[] = {"--quiet", "--resume", "--force", "--diff"};
    if (!strcmp(argv[i], "-s"))
        return true;
    if (strncmp(argv[i], "--", 2) || strchr(argv[i], '='))
        return false;
    for (int j = 0; j < (int)(sizeof alone / sizeof alone[0]); j++)
        if (!strcmp(argv[i], alone[j]))
            return false;
    return strcmp(argv[i], "--drop-last") || (i + 1 < argc && (!strcmp(argv[i + 1], "yes") || !strcmp(argv[i + 1], "no")));
}

// The word behind an option, or what follows its '='.
static const char *value_of(int argc, char **argv, int *i, const char *equals, const char *name, FxError *err) {
    if (equals)
        return equals + 1;
    if (*i + 1 < argc && strncmp(argv[*i + 1], "--", 2))
        return argv[++*i];
    if (*i + 1 < argc)
        fx_fail(err, FX_EXIT_USAGE, "--%s: a value must follow, not %s", name, argv[*i + 1]);
    else
        fx_fail(err, FX_EXIT_USAGE, "--%s: a value must follow", name);
    return NULL;
}

// "--batch 64" is run.batch; its text in `overrides` is that of -s run.batch=64, unless log.csv has a column for it.
static int run_key(FxOptions *o, const char *name, const char *value, FxError *err) {
    char assignment[FX_PATH + FX_VALUE], what[FX_PATH];
    static const char *const columns[] = {"net", "data", "seed"};
    char saved[sizeof o->recipe.overrides];
    memcpy(saved, o->recipe.overrides, sizeof saved);
    if (strlen(value) >= FX_VALUE)
        return fx_fail(err, FX_EXIT_USAGE, "--%s: a value of %zu characters; at most %d", name, strlen(value), FX_VALUE - 1);
    snprintf(assignment, sizeof assignment, "run.%s=%s", name, value);
    snprintf(what, sizeof what, "--%.40s", name);
    if (fx_recipe_override(&o->recipe, assignment, what, err))
        return -1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, columns[i]))
            memcpy(o->recipe.overrides, saved, sizeof saved);
    return 0;
}

static int existing(FxOptions *o, FxExisting what, FxError *err) {
    if (o->existing != FX_EXISTING_REFUSE && o->existing != what)
        return fx_fail(err, FX_EXIT_USAGE, "--resume, --resume=auto and --force exclude each other");
    o->existing = what;
    return 0;
}

static int read_option(FxOptions *o, int argc, char **argv, int *i, const char *extra, FxError *err) {
    char name[FX_PATH] = "", path[FX_PATH + 8];
    const char *word = argv[*i] + 2, *equals = strchr(word, '='), *value;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    if (n < sizeof name - 8)
        memcpy(name, word, n);
    snprintf(path, sizeof path, "run.%s", name);
    if (!equals && (!strcmp(name, "quiet") || !strcmp(name, "drop-last")) && !takes_word(argc, argv, *i))
        return run_key(o, name, "yes", err);
    if (name[0] && fx_key_find(path))
        return (value = value_of(argc, argv, i, equals, name, err)) ? run_key(o, name, value, err) : -1;
    if (!strcmp(name, "stretch")) {
        if (!(value = value_of(argc, argv, i, equals, name, err)))
            return -1;
        if (o->stretch.digits)
            return fx_fail(err, FX_EXIT_USAGE, "--stretch %s: --stretch a second time; keep one", value);
        if (fx_decimal_parse(&o->stretch, value) || o->stretch.digits == 0)
            return fx_fail(err, FX_EXIT_USAGE, "--stretch \"%s\": write a decimal above 0, as 0.1", value);
        return 0;
    }
    if (!strcmp(name, "resume") && allows(extra, name)) {
        if (equals && strcmp(equals + 1, "auto"))
            return fx_fail(err, FX_EXIT_USAGE, "--resume=%s: write --resume or --resume=auto", equals + 1);
        return existing(o, equals ? FX_EXISTING_AUTO : FX_EXISTING_RESUME, err);
    }
    if (!strcmp(name, "force") && allows(extra, name) && !equals) {
        return existing(o, FX_EXISTING_FORCE, err);
    }
    if (!strcmp(name, "diff") && allows(extra, name) && !equals) {
        o->diff = true;
        return 0;
    }
    if ((!strcmp(name, "out") || !strcmp(name, "checkpoint") || !strcmp(name, "fork") || !strcmp(name, "weights")) && allows(extra, name)) {
        if (!(value = value_of(argc, argv, i, equals, name, err)))
            return -1;
        const char **place = name[0] == 'o' ? &o->out : name[0] == 'f' ? &o->fork : name[0] == 'w' ? &o->weights : &o->checkpoint;
        if (*place)
            return fx_fail(err, FX_EXIT_USAGE, "--%s %s: --%s a second time, behind %s; keep one", name, value, name, *place);
        *place = value;
        return 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "no option %s; see --help", argv[*i]);
}

int fx_options_read(FxOptions *o, int argc, char **argv, const char *extra, FxError *err) {
    memset(o, 0, sizeof *o);
    for (int i = 1; i < argc; i++) { // the recipe first: options change it
        if (argv[i][0] == '-') {
            i += takes_word(argc, argv, i);
            continue;
        }
        if (o->recipe_name)
            return fx_fail(err, FX_EXIT_USAGE, "\"%s\" behind recipe %s: one recipe at a time", argv[i], o->recipe_name);
        o->recipe_name = argv[i];
    }
    if (!o->recipe_name)
        return fx_fail(err, FX_EXIT_USAGE, "%s: a recipe is missing, as in: fxsim %s wage; see --help", argv[0], argv[0]);
    if (fx_recipe_load(&o->recipe, o->recipe_name, err))
        return -1;
    for (int i = 1; i < argc; i++) {
        int result = 0;
        if (!strcmp(argv[i], "-s"))
            result = i + 1 < argc ? fx_recipe_override(&o->recipe, argv[++i], "-s", err)
                                  : fx_fail(err, FX_EXIT_USAGE, "-s: section.key=value must follow");
        else if (!strncmp(argv[i], "--", 2) && argv[i][2])
            result = read_option(o, argc, argv, &i, extra, err);
        else if (argv[i][0] == '-')
            result = fx_fail(err, FX_EXIT_USAGE, "no option %s; see --help", argv[i]);
        if (result) {
            fx_options_free(o);
            return -1;
        }
    }
    if (o->stretch.digits && fx_recipe_stretch(&o->recipe, &o->stretch, err)) {
        fx_options_free(o);
        return -1;
    }
    return 0;
}

void fx_options_free(FxOptions *options) {
    fx_recipe_free(&options->recipe);
}

void fx_usage_options(FILE *out) {
    fprintf(out, "RECIPE: a built-in one (");
    for (int i = 0; fx_recipe_name(i); i++)
        fprintf(out, "%s%s", i ? ", " : "", fx_recipe_name(i));
    fprintf(out, ") or the path of a file that ends in .ini\n\n");
    for (int i = 0; fx_key(i); i++)
        if (!strncmp(fx_key(i)->path, "run.", 4))
            fprintf(out, "  --%-18s %s (where no recipe says: %s)\n", fx_key(i)->path + 4, fx_key(i)->help, fx_key(i)->fallback);
    fprintf(out, "  --%-18s %s\n", "stretch F", "multiply all milestones and the epochs by F");
    fprintf(out, "  -s %-17s %s\n", "SECTION.KEY=VALUE", "any key of the recipe, as -s gradient.rounding=nearest-even or");
    fprintf(out, "  %-20s %s\n", "", "-s layer.first.error.grid=fixed12; a schedule: -s \"update.rate=8 1@200\"");
}
