// fxsim stats: what a run's sites saw last, and which site went wrong first, by which rule.
#include "sim/command.h"
#include "sim/log.h"
#include "sim/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 32, LINE = 8192 };

// A row, its cells as they stand in the file.
typedef struct StatsRow {
    char text[LINE];
    const char *cell[COLUMNS];
    int ordinal; // of its layer among the step's, parameters counting with their norm
} StatsRow;

static int column(const char *name) { // of the header
    int index = 0;
    size_t n = strlen(name);
    for (const char *p = fx_stats_header; strncmp(p, name, n) || (p[n] != ',' && p[n]); index++)
        p = strchr(p, ',') + 1;
    return index;
}

static double number(const StatsRow *row, const char *name) {
    return strtod(row->cell[column(name)], NULL); // an empty cell is 0
}

static bool measured(const StatsRow *row, const char *name) {
    return row->cell[column(name)][0] != 0;
}

static bool is_nonfinite(const StatsRow *r) {
    return number(r, "nonfinite") > 0;
}

static bool is_saturated(const StatsRow *r) { // a map of the image clamps by design
    return strcmp(r->cell[column("site")], "input") && number(r, "saturated") > 0.1 * number(r, "n");
}

static bool is_all_zero(const StatsRow *r) {
    return number(r, "n") > 0 && number(r, "zeros_out") == number(r, "n") && number(r, "zeros_in") < number(r, "n");
}

static bool is_flushed(const StatsRow *r) {
    double living = number(r, "n") - number(r, "zeros_in");
    return living > 0 && number(r, "underflowed") > 0.9 * living;
}

static bool is_noise(const StatsRow *r) {
    return measured(r, "sqnr_db") && number(r, "sqnr_db") < 0;
}

static bool is_still(const StatsRow *r) { // a norm's few parameters may well stand still for a step
    return !strcmp(r->cell[column("site")], "store") && measured(r, "changed") && number(r, "changed") == 0;
}

static const struct {
    const char *name, *help;
    bool (*holds)(const StatsRow *row);
} rules[] = {
    {"nonfinite", "an Inf or NaN came in", is_nonfinite},
    {"saturated", "more than a tenth of the elements lie outside the grid", is_saturated},
    {"all-zero", "something came in, and every code is 0", is_all_zero},
    {"flushed", "more than nine tenths of what is not 0 became 0", is_flushed},
    {"noise", "sqnr_db below 0: more error than signal (stats.kind = full)", is_noise},
    {"still", "store: no code changed", is_still},
};

void fx_usage_stats(FILE *out) {
    fprintf(out, "RUN: a run directory. Prints the last rows of stats.csv as a table.\n\n"
                 "  --%-18s %s\n  %-20s %s\n", "first-bad", "the first step, layer and site at which a rule below holds, read from last.csv (the last",
            "", "50 steps, written if a run dies), else from stats.csv; in a step forward sites come");
    fprintf(out, "  %-20s %s\n\nRules, the first that holds:\n", "", "first, then errors and gradients from the last layer down, then the updates");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        fprintf(out, "  %-12s %s\n", rules[i].name, rules[i].help);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

// Place in a step: forward sites of layers ascending, errors and gradients descending, then the updates; of equal places the first
// row. A norm's parameters have their gradients after its error.
static int place(const StatsRow *row) {
    const char *site = row->cell[column("site")];
    static const char *const backward[] = {"sum.error", "preact-error", "error", "error.grad", "gradient", "norm.gamma.gradient", "norm.beta.gradient"};
    static const char *const update[] = {"decay", "momentum", "second"};
    for (int i = 0; i < 7; i++)
        if (!strcmp(site, backward[i]))
            return 1000000 + 8 * (100000 - row->ordinal) + i;
    for (int i = 0; i < 3; i++)
        if (!strcmp(site, update[i]))
            return 2000000 + 8 * row->ordinal + i;
    return ends_with(site, "store") ? 2000003 + 8 * row->ordinal : 8 * row->ordinal;
}

// Numbers the row's layer: `before` is the row above it, of any step.
static void number_layer(StatsRow *row, const StatsRow *before, bool any) {
    const char *kind = row->cell[column("kind")];
    const bool same_step = any && !strcmp(row->cell[column("step")], before->cell[column("step")]);
    const bool parameter = !strcmp(kind, "gamma") || !strcmp(kind, "beta");
    row->ordinal = same_step ? before->ordinal : 0;
    row->ordinal += same_step && !parameter && strcmp(row->cell[column("layer")], before->cell[column("layer")]);
}

// The next row; 0 at the end, -1 for a line that is none. `line` counts.
static int read_row(StatsRow *row, FILE *file, const char *path, int *line, FxError *err) {
    if (!fgets(row->text, sizeof row->text, file))
        return ferror(file) ? fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno)) : 0;
    ++*line;
    row->text[strcspn(row->text, "\r\n")] = 0;
    int n = 0;
    for (char *p = row->text; n < COLUMNS; n++) {
        row->cell[n] = p;
        p += strcspn(p, ",");
        if (!*p) {
            n++;
            break;
        }
        *p++ = 0;
    }
    if (n != COLUMNS)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s:%d: %d cells; a row of stats.csv has %d", path, *line, n, COLUMNS);
    return 1;
}

static int open_stats(FILE **file, char path[FX_DIRECTORY + 16], const char *directory, const char *name, FxError *err) {
    char header[LINE] = "";
    if (snprintf(path, FX_DIRECTORY + 16, "%s/%s", directory, name) >= FX_DIRECTORY + 16)
        return fx_fail(err, FX_EXIT_USAGE, "stats: the path is too long");
    *file = fopen(path, "rb");
    if (!*file)
        return fx_fail(err, FX_EXIT_USAGE, "stats: %s: %s; a run directory with stats.csv is needed", path, strerror(errno));
    if (!fgets(header, sizeof header, *file) || strcspn(header, "\n") != strlen(fx_stats_header) || strncmp(header, fx_stats_header, strlen(fx_stats_header))) {
        fclose(*file);
        return fx_fail(err, FX_EXIT_RUNTIME, "%s:1: not the header of a stats.csv", path);
    }
    return 0;
}

static int rule_of(const StatsRow *row) {
    int rule = 0;
    while (rule < (int)(sizeof rules / sizeof rules[0]) && !rules[rule].holds(row))
        rule++;
    return rule < (int)(sizeof rules / sizeof rules[0]) && strncmp(row->cell[column("site")], "accumulator", 11) ? rule : -1;
}

static void copy_row(StatsRow *to, const StatsRow *from) {
    *to = *from;
    for (int i = 0; i < COLUMNS; i++)
        to->cell[i] = to->text + (from->cell[i] - from->text);
}

static int first_bad(FILE *file, const char *path, FxError *err) {
    StatsRow row, before = {.text = ""}, found = {.text = ""};
    long long best_step = -1;
    int best_place = 0, best_rule = -1, result, line = 1;
    for (bool any = false; (result = read_row(&row, file, path, &line, err)) > 0; any = true) {
        number_layer(&row, &before, any);
        copy_row(&before, &row);
        int rule = rule_of(&row), here = place(&row);
        long long step = atoll(row.cell[column("step")]);
        if (rule < 0 || (best_rule >= 0 && (step > best_step || (step == best_step && here >= best_place))))
            continue;
        best_step = step;
        best_place = here;
        best_rule = rule;
        copy_row(&found, &row);
    }
    if (result < 0)
        return -1;
    if (best_rule < 0) {
        printf("nothing: no rule holds in %s\n", path);
        return 0;
    }
    printf("step %lld, %s, %s: %s (%s)\n", best_step, found.cell[column("layer")], found.cell[column("site")], rules[best_rule].name,
           rules[best_rule].help);
    static const char *const shown[] = {"format", "rounding", "exponent", "n", "saturated", "underflowed", "zeros_in", "zeros_out", "nonfinite", "changed",
                                        "max_abs", "sqnr_db"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (measured(&found, shown[i]))
            printf("  %-12s %s\n", shown[i], found.cell[column(shown[i])]);
    printf("  read from    %s\n", path);
    return 0;
}

static int print_table(FILE *file, const char *path, FxError *err) {
    StatsRow row;
    int result, line = 1;
    long start = ftell(file), from = start;
    char last[32] = "";
    for (long at = start; (result = read_row(&row, file, path, &line, err)) > 0; at = ftell(file))
        if (strcmp(last, row.cell[column("step")])) {
            snprintf(last, sizeof last, "%s", row.cell[column("step")]);
            from = at;
        }
    if (result < 0 || fseek(file, from, SEEK_SET))
        return -1;
    printf("step %s of %s\n%-10s %-20s %-34s %9s %12s %10s %10s %10s %10s\n", last[0] ? last : "-", path, "layer", "site", "format", "exponent", "max_abs",
           "saturated", "underflow", "zeros", "changed");
    while ((result = read_row(&row, file, path, &line, err)) > 0) {
        double n = number(&row, "n") > 0 ? number(&row, "n") : 1;
        if (!measured(&row, "n")) { // an accumulator
            printf("%-10s %-20s %-34s", row.cell[column("layer")], row.cell[column("site")], row.cell[column("format")]);
            static const char *const cells[] = {"acc_bits", "acc_overflow", "acc_swamped"};
            for (int i = 0; i < 3; i++)
                if (measured(&row, cells[i]))
                    printf("  %s %s", cells[i] + 4, row.cell[column(cells[i])]);
            printf("\n");
            continue;
        }
        printf("%-10s %-20s %-34s %9s %12.5g %9.3f%% %9.3f%% %9.3f%% %10s\n", row.cell[column("layer")], row.cell[column("site")],
               row.cell[column("format")], row.cell[column("exponent")], number(&row, "max_abs"), 100 * number(&row, "saturated") / n,
               100 * number(&row, "underflowed") / n, 100 * number(&row, "zeros_out") / n, row.cell[column("changed")]);
    }
    return result;
}

int fx_command_stats(int argc, char **argv, FxExit *exit_code, FxError *err) {
    const char *directory = NULL;
    bool bad = false;
    char path[FX_DIRECTORY + 16];
    FILE *file;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--first-bad"))
            bad = true;
        else if (argv[i][0] == '-')
            return fx_fail(err, FX_EXIT_USAGE, "stats: no option %s; known: --first-bad", argv[i]);
        else if (directory)
            return fx_fail(err, FX_EXIT_USAGE, "stats: \"%s\" behind %s: one run at a time", argv[i], directory);
        else
            directory = argv[i];
    }
    if (!directory)
        return fx_fail(err, FX_EXIT_USAGE, "stats: a run directory is missing, as in: fxsim stats runs/wage-s1");
    if (!bad || open_stats(&file, path, directory, "last.csv", err))
        if (open_stats(&file, path, directory, "stats.csv", err))
            return -1;
    int result = bad ? first_bad(file, path, err) : print_table(file, path, err);
    fclose(file);
    *exit_code = FX_EXIT_DONE;
    return result;
}
