#include "sim/histogram.h"

#include "formats/explain.h"
#include "sim/command.h"
#include "sim/dump_step.h"
#include "sim/picture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Bin {
    uint64_t word, count;
    FxNumber value;
} Bin;

typedef struct Histogram {
    const char *name;
    FxVector vector; // rank 0: not met yet
    Bin *bins;       // in the order of their values
    int count;
    uint64_t elements;
    char known[900]; // names that could have been given
} Histogram;

static int by_value(const void *a, const void *b) {
    const Bin *x = a, *y = b;
    int order = fx_number_compare(x->value, y->value), sign = x->value.negative ? -1 : 1;
    if (x->value.negative != y->value.negative) // -0 stands before 0
        return sign;
    return order ? sign * order : x->word < y->word ? -1 : 1;
}

static int by_word(const void *a, const void *b) {
    const Bin *x = a, *y = b;
    return x->word < y->word ? -1 : x->word > y->word;
}

// The grid's codes of numbers, each with its value.
static int list_codes(Histogram *h, const FxQuantiser *q, FxError *err) {
    const FxCodes all = fx_codes_all(&q->grid);
    const int bits = h->vector.bits;
    int used = 0;
    h->bins = calloc((size_t)1 << bits, sizeof *h->bins);
    if (!h->bins)
        return fx_fail_memory(err, "histogram", ((unsigned long long)1 << bits) * sizeof *h->bins);
    for (int64_t code = all.first; code <= all.last; code++) {
        FxCodeClass class_of = fx_code_class(&q->grid, code);
        if (class_of == FX_CODE_INF || class_of == FX_CODE_NAN || class_of == FX_CODE_UNUSED)
            continue;
        FxNumber value = fx_grid_is_fixed(&q->grid) ? fx_number_int(code, 0) : q->grid.kind->decode(&q->grid, code, 0);
        value.exponent += h->vector.exponent;
        h->bins[used++] = (Bin){(uint64_t)code & ((UINT64_C(1) << bits) - 1), 0, value};
    }
    h->count = used;
    qsort(h->bins, (size_t)used, sizeof *h->bins, by_word);
    return 0;
}

static int count_words(Histogram *h, const FxTensor *t, FxError *err) {
    FxQuantiser q;
    const FxVector *v = &h->vector;
    if (!v->grid[0] || !v->has_exponent || v->bits > 16 || fx_quantiser_parse(&q, v->grid, err))
        return fx_fail(err, FX_EXIT_USAGE, "--histogram %s: %d bits%s; codes of at most 16 bits and one scale can be counted", h->name, v->bits,
                       v->grid[0] ? "" : ", made by no quantiser");
    if (list_codes(h, &q, err))
        return -1;
    for (size_t i = 0; i < t->count; i++) {
        Bin key = {.word = fx_vector_word(v, t->type == FX_FLOAT32 ? &q : NULL, t, i)};
        Bin *bin = bsearch(&key, h->bins, (size_t)h->count, sizeof *h->bins, by_word);
        h->elements++;
        if (bin)
            bin->count++;
    }
    qsort(h->bins, (size_t)h->count, sizeof *h->bins, by_value);
    return 0;
}

static int add(void *user, FxVector *v, const FxTensor *t, FxError *err) {
    Histogram *h = user;
    char name[2 * FX_VECTOR_NAME];
    snprintf(name, sizeof name, "%s%s%s", v->layer, v->layer[0] ? "." : "", v->site);
    if (v->grid[0] && v->has_exponent && v->bits <= 16 && strlen(h->known) + strlen(name) + 2 < sizeof h->known)
        sprintf(h->known + strlen(h->known), " %s", name);
    if (strcmp(name, h->name) || h->vector.rank)
        return 0;
    h->vector = *v;
    return count_words(h, t, err);
}

static int write_csv(const Histogram *h, const char *path, FxError *err) {
    FILE *f = fopen(path, "wb");
    if (!f)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    fprintf(f, "code,value,count\n");
    for (int i = 0; i < h->count; i++) {
        char value[FX_VALUE_TEXT];
        fx_value_decimal(value, h->bins[i].value);
        fprintf(f, "0x%0*llx,%s,%llu\n", (h->vector.bits + 3) / 4, (unsigned long long)h->bins[i].word, value, (unsigned long long)h->bins[i].count);
    }
    bool failed = ferror(f) != 0;
    failed |= fclose(f) != 0;
    return failed ? fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno)) : 0;
}

// ---- the picture ----------------------------------------------------------------------------------------------------

enum { WIDTH = 1600, HEIGHT = 800, LEFT = 150, RIGHT = 40, TOP = 90, BOTTOM = 130, DOT = 3, SMALL = 2 };

// Height of a count: logarithmic, one element a tenth of a decade high so that it is seen.
static int height_of(uint64_t count, double decades) {
    return count ? (int)((log10((double)count) + 0.1) / (decades + 0.1) * (HEIGHT - TOP - BOTTOM)) : 0;
}

static void centred(FxPicture *p, int x, int y, int dot, const char *text) {
    fx_picture_text(p, x - fx_picture_text_width(dot, text) / 2, y, dot, text, FX_BLACK);
}

// Bars of neighbouring codes share a column where there are more codes than pixels.
static void draw_bars(FxPicture *p, const Histogram *h, int columns, double decades) {
    const int ground = HEIGHT - BOTTOM, span = WIDTH - LEFT - RIGHT;
    for (int c = 0; c < columns; c++) {
        uint64_t sum = 0;
        int first = (int)((int64_t)c * h->count / columns), last = (int)((int64_t)(c + 1) * h->count / columns);
        for (int i = first; i < last; i++)
            sum += h->bins[i].count;
        int high = height_of(sum, decades), from = LEFT + c * span / columns, width = LEFT + (c + 1) * span / columns - from;
        fx_picture_box(p, from, ground - high, width > 3 ? width - 1 : width, high, first == 0 || last == h->count ? FX_ORANGE : FX_BLUE);
    }
    for (int i = 0; i <= 4; i++) { // five codes and their values
        int bin = (int)((int64_t)i * (h->count - 1) / 4), x = LEFT + (int)((2 * (int64_t)bin + 1) * span / (2 * h->count));
        char value[FX_VALUE_TEXT];
        fx_value_decimal(value, h->bins[bin].value);
        if (strlen(value) > 12)
            snprintf(value, sizeof value, "%.4g", (double)h->bins[bin].value.magnitude * exp2(h->bins[bin].value.exponent) * (h->bins[bin].value.negative ? -1 : 1));
        fx_picture_box(p, x, ground, 2, 12, FX_GREY);
        centred(p, x, ground + 20, SMALL, value);
    }
}

static int write_png(const Histogram *h, const char *path, FxError *err) {
    FxPicture p;
    char text[160];
    int columns = h->count < (WIDTH - LEFT - RIGHT) ? h->count : (WIDTH - LEFT - RIGHT) / 2;
    uint64_t most = 1;
    if (fx_picture_new(&p, WIDTH, HEIGHT, err))
        return -1;
    for (int i = 0; i < h->count; i++)
        most = h->bins[i].count > most ? h->bins[i].count : most;
    double decades = ceil(log10((double)most * (columns < h->count ? 2.0 : 1.0)) + 1e-9);
    decades = decades < 1 ? 1 : decades;
    for (int d = 0; d <= (int)decades; d++) {
        uint64_t count = (uint64_t)llround(pow(10, d));
        int y = HEIGHT - BOTTOM - height_of(count, decades);
        snprintf(text, sizeof text, "%llu", (unsigned long long)count);
        fx_picture_box(&p, LEFT, y, WIDTH - LEFT - RIGHT, 1, FX_PALE);
        fx_picture_text(&p, LEFT - 12 - fx_picture_text_width(SMALL, text), y - FX_FONT_HEIGHT * SMALL / 2, SMALL, text, FX_BLACK);
    }
    draw_bars(&p, h, columns, decades);
    fx_picture_box(&p, LEFT, HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT, 2, FX_GREY);
    snprintf(text, sizeof text, "%.60s, step %llu: %llu elements", h->name, (unsigned long long)h->vector.step, (unsigned long long)h->elements);
    fx_picture_text(&p, LEFT, 20, DOT, text, FX_BLACK);
    snprintf(text, sizeof text, "elements a code, logarithmic; both ends of the grid in orange");
    fx_picture_text(&p, LEFT, 56, SMALL, text, FX_BLACK);
    snprintf(text, sizeof text, "value: the codes of %.90s in the order of their values", h->vector.grid);
    centred(&p, LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 60, SMALL, text);
    int result = fx_picture_save(&p, path, err);
    fx_picture_free(&p);
    return result;
}

int fx_dump_histogram(FxRun *run, const char *name, const char *path, FxError *err) {
    Histogram h = {.name = name};
    size_t length = strlen(path);
    bool csv = length > 4 && !strcmp(path + length - 4, ".csv"), png = length > 4 && !strcmp(path + length - 4, ".png");
    if (!csv && !png)
        return fx_fail(err, FX_EXIT_USAGE, "--histogram: --out %.200s: the name must end in .csv or .png", path);
    int result = fx_dump_step(run, &(FxSink){add, &h}, NULL, err);
    if (result == 0 && !h.vector.rank)
        result = fx_fail(err, FX_EXIT_USAGE, "--histogram %.80s: no tensor of the step; those that can be counted:%s", name, h.known);
    if (result == 0)
        result = csv ? write_csv(&h, path, err) : write_png(&h, path, err);
    free(h.bins);
    return result;
}
