// fxsim compare: what settings do to a metric, over seeds.
#include "sim/command.h"
#include "sim/compare.h"

#include <string.h>

static const char *const formats[] = {"text", "csv", "markdown", "latex"}; // by FxTableFormat

void fx_usage_compare(FILE *out) {
    fprintf(out,
            "RUN: a run's directory, or a sweep's (with sweep.csv), which stands for its runs. Runs of one setting with different\n"
            "seeds are its sample; each setting is compared with the reference over the seeds that both have.\n\n"
            "  --by KEY[,KEY]       what makes a setting: a column of log.csv (recipe, net, data, overrides, ...), a key of a recipe\n"
            "                       (gradient.rounding, layer.conv1.weight.grid; the value in effect) or of [run] (batch)\n"
            "  --metric NAME@ROW    a column of log.csv, by default test_error, at the last row (@final, the default) or at that of\n"
            "                       least val_error (@best-val, first of equals); what ends in _error is shown in %%\n"
            "  --reference SETTING  as the table has it; by default that of the first run\n"
            "  --format FORMAT      text, csv (all digits), markdown, latex\n"
            "  --include-failed     puts in the mean too what diverged, died, stalled or has not ended\n\n");
    fprintf(out,
            "The table: n runs in the mean, standard deviation (n - 1), time of a run; how many are done, running, cut (no process\n"
            "writes them), at chance (training error above 0.9(1 - 1/classes)). Then the mean difference, its 95 %% interval and p of\n"
            "the paired t test; p of the permutation test over all signs of the differences (beyond %d pairs 2^20 drawn ones, shown\n"
            "with ~); both also corrected after Holm over the settings. With n pairs that test cannot go below 2/2^n.\n"
            "least seen: the difference that so many seeds show with 80 %% power at 5 %%, (t_{0.975,n-1} + t_{0.8,n-1}) sd / sqrt(n),\n"
            "an approximation (exact power: 73 %% for 2 seeds, 77 for 3, 79 for 5); seeds needed: the least n at which it is no larger\n"
            "than the difference seen.\n", FX_EXACT_PAIRS);
}

static int read_keys(FxCompareOptions *o, char *list, FxError *err) { // cuts the list
    if (o->keys)
        return fx_fail(err, FX_EXIT_USAGE, "--by %s: --by a second time; write --by KEY,KEY", list);
    for (char *key = list; key;) {
        char *comma = strchr(key, ',');
        if (comma)
            *comma = 0;
        if (!*key || strlen(key) >= FX_PATH)
            return fx_fail(err, FX_EXIT_USAGE, "--by \"%.80s\": keys of 1 to %d characters, as in --by recipe,batch", key, FX_PATH - 1);
        if (o->keys == FX_COMPARE_KEYS)
            return fx_fail(err, FX_EXIT_USAGE, "--by: more than %d keys", FX_COMPARE_KEYS);
        if (!strcmp(key, "seed") || !strcmp(key, "run.seed"))
            return fx_fail(err, FX_EXIT_USAGE, "--by %s: the seeds are the sample; name what the settings differ in", key);
        o->by[o->keys++] = key;
        key = comma ? comma + 1 : NULL;
    }
    return 0;
}

static int read_metric(FxCompareOptions *o, const char *value, FxError *err) {
    size_t n = strcspn(value, "@");
    const char *row = value[n] ? value + n + 1 : "final";
    if (n == 0 || n >= sizeof o->column || (strcmp(row, "final") && strcmp(row, "best-val")))
        return fx_fail(err, FX_EXIT_USAGE, "--metric \"%.80s\": write COLUMN@final or COLUMN@best-val, as test_error@final", value);
    memcpy(o->column, value, n);
    o->column[n] = 0;
    o->best_val = !strcmp(row, "best-val");
    return 0;
}

static int read_format(FxCompareOptions *o, const char *value, FxError *err) {
    for (int f = 0; f < (int)(sizeof formats / sizeof formats[0]); f++)
        if (!strcmp(value, formats[f])) {
            o->format = (FxTableFormat)f;
            return 0;
        }
    return fx_fail(err, FX_EXIT_USAGE, "--format \"%.40s\"; known: text csv markdown latex", value);
}

static int read_option(FxCompareOptions *o, int argc, char **argv, int *i, FxError *err) {
    static const char *const names[] = {"--by", "--metric", "--reference", "--format"};
    char *word = argv[*i], *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    if (!strcmp(word, "--include-failed")) {
        o->include_failed = true;
        return 0;
    }
    for (int k = 0; k < 4; k++) {
        if (strlen(names[k]) != n || strncmp(word, names[k], n))
            continue;
        char *value = equals ? equals + 1 : *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) ? argv[++*i] : NULL;
        if (!value)
            return fx_fail(err, FX_EXIT_USAGE, "%s: a value must follow", names[k]);
        if (k == 2)
            o->reference = value;
        return k == 0 ? read_keys(o, value, err) : k == 1 ? read_metric(o, value, err) : k == 3 ? read_format(o, value, err) : 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "compare: no option %s; known: --by --metric --reference --format --include-failed", word);
}

static int read_arguments(FxComparison *c, FxCompareOptions *o, int argc, char **argv, FxError *err) {
    int paths = 0;
    for (int i = 1; i < argc; i++) { // all options first: reading runs takes a while
        if (argv[i][0] != '-')
            argv[1 + paths++] = argv[i]; // moved to the front: what is left behind has been read
        else if (read_option(o, argc, argv, &i, err))
            return -1;
    }
    if (paths == 0)
        return fx_fail(err, FX_EXIT_USAGE, "compare: runs are missing, as in: fxsim compare runs/* --by gradient.rounding");
    if (o->keys == 0)
        return fx_fail(err, FX_EXIT_USAGE, "compare: --by KEY is missing, as in: --by recipe or --by gradient.rounding");
    for (int i = 0; i < paths; i++)
        if (fx_run_logs_add(&c->logs, argv[1 + i], NULL, err))
            return -1;
    return c->logs.count ? 0 : fx_fail(err, FX_EXIT_USAGE, "compare: %s/sweep.csv names no run", argv[1]);
}

int fx_command_compare(int argc, char **argv, FxExit *exit_code, FxError *err) {
    FxCompareOptions o = {.column = "test_error"};
    FxComparison c = {0};
    int result = read_arguments(&c, &o, argc, argv, err) || fx_compare(&c, &o, err) ? -1 : 0;
    if (result == 0)
        fx_compare_print(stdout, &c, &o);
    fx_comparison_free(&c);
    *exit_code = FX_EXIT_DONE;
    return result;
}
