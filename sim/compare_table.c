// The table of fxsim compare: one line of columns[] a column.
#include "sim/compare.h"

#include "sim/text.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef enum Style { TEXT, COUNT, METRIC, P_VALUE, DRAWN_P, SECONDS, SEEDS } Style;
enum { CELL = FX_COMPARE_KEYS * (FX_KEY_TEXT + 80) };

typedef struct Column {
    const char *name, *title; // in CSV; elsewhere. NULL: not there
    int part;                 // of the printed tables: 0 the samples, 1 the comparisons, 2 both
    Style style;
    double (*number)(const FxRunGroup *g);                                   // NaN: does not exist
    void (*text)(char out[CELL], const FxComparison *c, const FxRunGroup *g); // TEXT
} Column;

static double get_n(const FxRunGroup *g) { return g->sample.n; }
static double get_mean(const FxRunGroup *g) { return g->sample.mean; }
static double get_sd(const FxRunGroup *g) { return g->sample.sd; }
static double get_min(const FxRunGroup *g) { return g->sample.min; }
static double get_max(const FxRunGroup *g) { return g->sample.max; }
static double get_seconds(const FxRunGroup *g) { return g->seconds; }
static double get_pairs(const FxRunGroup *g) { return g->paired.difference.n; }
static double get_difference(const FxRunGroup *g) { return g->paired.difference.mean; }
static double get_low(const FxRunGroup *g) { return g->paired.low; }
static double get_high(const FxRunGroup *g) { return g->paired.high; }
static double get_p_t(const FxRunGroup *g) { return g->paired.p_t; }
static double get_holm_t(const FxRunGroup *g) { return g->holm_t; }
static double get_p_permutation(const FxRunGroup *g) { return g->paired.p_permutation; }
static double get_holm_permutation(const FxRunGroup *g) { return g->holm_permutation; }
static double get_least(const FxRunGroup *g) { return g->paired.least; }
static double get_needed(const FxRunGroup *g) { return g->paired.needed ? (double)g->paired.needed : (double)NAN; }
static double get_at_chance(const FxRunGroup *g) { return g->at_chance; }
static double get_done(const FxRunGroup *g) { return g->states[FX_STATE_DONE]; }
static double get_stopped(const FxRunGroup *g) { return g->states[FX_STATE_STOPPED]; }
static double get_running(const FxRunGroup *g) { return g->states[FX_STATE_RUNNING]; }
static double get_cut(const FxRunGroup *g) { return g->states[FX_STATE_CUT]; }
static double get_diverged(const FxRunGroup *g) { return g->states[FX_STATE_DIVERGED]; }
static double get_dead(const FxRunGroup *g) { return g->states[FX_STATE_DEAD]; }
static double get_stalled(const FxRunGroup *g) { return g->states[FX_STATE_STALLED]; }
static double get_missing(const FxRunGroup *g) { return g->states[FX_STATE_MISSING]; }

static void setting_text(char out[CELL], const FxComparison *c, const FxRunGroup *g) {
    (void)c;
    snprintf(out, CELL, "%s", g->name);
}

static void reference_text(char out[CELL], const FxComparison *c, const FxRunGroup *g) {
    snprintf(out, CELL, "%s", g == &c->groups[c->reference] ? "" : c->groups[c->reference].name);
}

static void permutation_text(char out[CELL], const FxComparison *c, const FxRunGroup *g) {
    (void)c;
    snprintf(out, CELL, "%s", isnan(g->paired.p_permutation) ? "" : g->paired.sampled ? "sampled" : "exact");
}

// "3 done, 1 dead, 1 at chance"
static void status_text(char out[CELL], const FxComparison *c, const FxRunGroup *g) {
    size_t used = 0;
    (void)c;
    out[0] = 0;
    for (int s = 0; s < FX_STATES; s++)
        if (g->states[s])
            used += (size_t)snprintf(out + used, CELL - used, "%s%d %s", used ? ", " : "", g->states[s], fx_run_state_name((FxRunState)s));
    if (g->at_chance)
        snprintf(out + used, CELL - used, "%s%d at chance", used ? ", " : "", g->at_chance);
}

static const Column columns[] = {
    {"setting", "setting", 2, TEXT, NULL, setting_text},
    {"n", "n", 0, COUNT, get_n, NULL},
    {"mean", "mean", 0, METRIC, get_mean, NULL},
    {"sd", "sd", 0, METRIC, get_sd, NULL},
    {"min", "min", 0, METRIC, get_min, NULL},
    {"max", "max", 0, METRIC, get_max, NULL},
    {"time_s", "time/s", 0, SECONDS, get_seconds, NULL},
    {NULL, "runs", 0, TEXT, NULL, status_text},
    {"reference", NULL, 1, TEXT, NULL, reference_text},
    {"pairs", "pairs", 1, COUNT, get_pairs, NULL},
    {"difference", "difference", 1, METRIC, get_difference, NULL},
    {"low", "95 % from", 1, METRIC, get_low, NULL},
    {"high", "to", 1, METRIC, get_high, NULL},
    {"p_t", "p (t)", 1, P_VALUE, get_p_t, NULL},
    {"p_t_holm", "Holm", 1, P_VALUE, get_holm_t, NULL},
    {"p_permutation", "p (signs)", 1, DRAWN_P, get_p_permutation, NULL},
    {"p_permutation_holm", "Holm", 1, DRAWN_P, get_holm_permutation, NULL},
    {"permutation", NULL, 1, TEXT, NULL, permutation_text},
    {"least_difference", "least seen", 1, METRIC, get_least, NULL},
    {"seeds_needed", "seeds needed", 1, SEEDS, get_needed, NULL},
    {"done", NULL, 0, COUNT, get_done, NULL},
    {"stopped", NULL, 0, COUNT, get_stopped, NULL},
    {"running", NULL, 0, COUNT, get_running, NULL},
    {"cut", NULL, 0, COUNT, get_cut, NULL},
    {"diverged", NULL, 0, COUNT, get_diverged, NULL},
    {"dead", NULL, 0, COUNT, get_dead, NULL},
    {"stalled", NULL, 0, COUNT, get_stalled, NULL},
    {"missing", NULL, 0, COUNT, get_missing, NULL},
    {"at_chance", NULL, 0, COUNT, get_at_chance, NULL},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

// -- CSV: all digits

static void print_csv(FILE *out, const FxComparison *c, const FxCompareOptions *o) {
    char text[CELL], cell[3 * CELL];
    for (int i = 0; i < COLUMNS; i++)
        if (columns[i].name)
            fprintf(out, "%s%s%s%s", i ? "," : "", columns[i].name, columns[i].style == METRIC && c->percent ? "_percent" : "", i ? "" : ",metric");
    fprintf(out, "\n");
    for (int g = 0; g < c->group_count; g++) {
        for (int i = 0; i < COLUMNS; i++) {
            if (!columns[i].name)
                continue;
            if (columns[i].style == TEXT)
                columns[i].text(text, c, &c->groups[g]);
            else
                fx_number(text, columns[i].number(&c->groups[g]));
            fx_cell(cell, sizeof cell, text);
            fprintf(out, "%s%s", i ? "," : "", cell);
            if (i == 0)
                fprintf(out, ",%s@%s", o->column, o->best_val ? "best-val" : "final");
        }
        fprintf(out, "\n");
    }
}

// -- text, Markdown, LaTeX: rounded

static void rounded(char out[CELL], const FxComparison *c, const FxRunGroup *g, const Column *column) {
    if (column->style == TEXT) {
        column->text(out, c, g);
        for (char *p = out; *p; p++)
            *p = (unsigned char)*p < ' ' || *p == 127 ? '?' : *p;
        if (!out[0])
            strcpy(out, "-");
        return;
    }
    double x = column->number(g);
    if (isnan(x))
        strcpy(out, "-");
    else if (column->style == COUNT)
        snprintf(out, CELL, "%.0f", x);
    else if (column->style == SEEDS)
        snprintf(out, CELL, "%s%.0f", x >= FX_MAX_SEEDS ? ">=" : "", x);
    else if (column->style == SECONDS)
        snprintf(out, CELL, "%.*f", x < 100 ? 2 : 0, x);
    else if (column->style == METRIC)
        snprintf(out, CELL, c->percent ? "%.2f" : "%.4g", x);
    else
        snprintf(out, CELL, "%s%.2g", column->style == DRAWN_P && g->paired.sampled ? "~" : "", x);
    if (!strcmp(out, "-0.00"))
        strcpy(out, "0.00");
}

static int length(const char *text) { // characters of UTF-8
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xC0) != 0x80;
    return n;
}

static void put_text(FILE *out, const char *text, int width, bool left) {
    int blanks = width - length(text);
    for (int i = 0; !left && i < blanks; i++)
        putc(' ', out);
    fputs(text, out);
    for (int i = 0; left && i < blanks; i++)
        putc(' ', out);
}

static void put_latex(FILE *out, const char *text) {
    static const struct {
        char from;
        const char *to;
    } escapes[] = {{'_', "\\_"}, {'%', "\\%"}, {'&', "\\&"}, {'#', "\\#"}, {'$', "\\$"}, {'{', "\\{"}, {'}', "\\}"}, {'~', "\\textasciitilde{}"},
                   {'^', "\\textasciicircum{}"}, {'\\', "\\textbackslash{}"}, {'>', "\\textgreater{}"}, {'<', "\\textless{}"}, {'|', "\\textbar{}"}};
    for (; *text; text++) {
        size_t i = 0;
        while (i < sizeof escapes / sizeof escapes[0] && escapes[i].from != *text)
            i++;
        if (i < sizeof escapes / sizeof escapes[0])
            fputs(escapes[i].to, out);
        else
            putc(*text, out);
    }
}

static void put_markdown(FILE *out, const char *text) {
    for (; *text; text++)
        fprintf(out, *text == '|' || *text == '\\' || *text == '*' || *text == '_' || *text == '<' ? "\\%c" : "%c", *text);
}

static void put_cell(FILE *out, FxTableFormat format, const char *text, int width, bool left, bool first) {
    if (format == FX_TABLE_TEXT) {
        fputs(first ? "" : "  ", out);
        put_text(out, text, width, left);
    } else if (format == FX_TABLE_MARKDOWN) {
        fputs(first ? "| " : " | ", out);
        put_markdown(out, text);
    } else {
        fputs(first ? "" : " & ", out);
        put_latex(out, !strncmp(text, "-", 1) && !text[1] ? "--" : text);
    }
}

static void end_line(FILE *out, FxTableFormat format) {
    fputs(format == FX_TABLE_MARKDOWN ? " |\n" : format == FX_TABLE_LATEX ? " \\\\\n" : "\n", out);
}

static bool shown(const Column *column, int part) {
    return column->title && (column->part == part || column->part == 2);
}

static void title(char out[CELL], const FxComparison *c, const Column *column) {
    snprintf(out, CELL, "%s%s", column->title, column->style == METRIC && c->percent && strncmp(column->title, "95", 2) ? " %" : "");
}

static void print_header(FILE *out, const FxComparison *c, FxTableFormat format, int part, const int width[COLUMNS]) {
    char text[CELL];
    if (format == FX_TABLE_LATEX) {
        fputs("\\begin{tabular}{", out);
        for (int i = 0; i < COLUMNS; i++)
            if (shown(&columns[i], part))
                putc(columns[i].style == TEXT ? 'l' : 'r', out);
        fputs("}\n\\hline\n", out);
    }
    for (int i = 0; i < COLUMNS; i++)
        if (shown(&columns[i], part)) {
            title(text, c, &columns[i]);
            put_cell(out, format, text, width[i], columns[i].style == TEXT, i == 0);
        }
    end_line(out, format);
    if (format == FX_TABLE_LATEX)
        fputs("\\hline\n", out);
    for (int i = 0; format == FX_TABLE_MARKDOWN && i < COLUMNS; i++)
        if (shown(&columns[i], part))
            fputs(columns[i].style == TEXT ? "|---" : "|---:", out);
    if (format == FX_TABLE_MARKDOWN)
        fputs("|\n", out);
}

static void print_part(FILE *out, const FxComparison *c, FxTableFormat format, int part) {
    int width[COLUMNS] = {0};
    char text[CELL];
    for (int i = 0; i < COLUMNS; i++) {
        if (!shown(&columns[i], part))
            continue;
        title(text, c, &columns[i]);
        width[i] = length(text);
        for (int g = 0; g < c->group_count; g++) {
            rounded(text, c, &c->groups[g], &columns[i]);
            width[i] = length(text) > width[i] ? length(text) : width[i];
        }
        if (columns[i].text == status_text) // the last one: no blanks behind it
            width[i] = 0;
    }
    print_header(out, c, format, part, width);
    for (int g = 0; g < c->group_count; g++) {
        if (part == 1 && g == c->reference)
            continue;
        for (int i = 0; i < COLUMNS; i++)
            if (shown(&columns[i], part)) {
                rounded(text, c, &c->groups[g], &columns[i]);
                put_cell(out, format, text, width[i], columns[i].style == TEXT, i == 0);
            }
        end_line(out, format);
    }
    if (format == FX_TABLE_LATEX)
        fputs("\\hline\n\\end{tabular}\n", out);
}

static void print_caption(FILE *out, FxTableFormat format, const char *text) {
    for (const char *p = text; *p && format == FX_TABLE_LATEX; p++)
        assert(*p != '\n'); // it would leave the comment
    fputs(format == FX_TABLE_LATEX ? "% " : "", out);
    if (format == FX_TABLE_MARKDOWN)
        put_markdown(out, text);
    else
        fputs(text, out);
    fputs(format == FX_TABLE_MARKDOWN ? "\n\n" : "\n", out);
}

void fx_compare_print(FILE *out, const FxComparison *c, const FxCompareOptions *o) {
    char caption[CELL + 200], name[CELL];
    if (o->format == FX_TABLE_CSV) {
        print_csv(out, c, o);
        return;
    }
    snprintf(caption, sizeof caption, "%s@%s%s over the seeds", o->column, o->best_val ? "best-val" : "final", c->percent ? " in %" : "");
    print_caption(out, o->format, caption);
    print_part(out, c, o->format, 0);
    if (c->group_count < 2)
        return;
    putc('\n', out);
    rounded(name, c, &c->groups[c->reference], &columns[0]);
    snprintf(caption, sizeof caption, "differences to %s, seed by seed%s", name, c->percent ? ", in percentage points" : "");
    print_caption(out, o->format, caption);
    print_part(out, c, o->format, 1);
}
