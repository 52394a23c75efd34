// fxsim formats --png: each format's positive values as ticks on a log2 axis, and below them the relative gap from each
// value to the next. Formats of more bits show binades as bars.
#include "formats/explain.h"
#include "sim/picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 1600, LEFT = 150, RIGHT = 70, HEADER = 130, PANEL = 265, PANEL_TOP = 16, FOOTER = 80, DOT = 3, LINE = 30 };
enum { STRIP = 70, STRIP_TOP = 70, GAP_TOP = 160, GAP_HEIGHT = 80, MOST_TICKS_BITS = 12 };

typedef struct Axis {
    int low, high;   // powers of two
    double pixels;   // of a binade
    int finest;      // -log2 of the smallest relative gap
} Axis;

static double log2_of(FxNumber x) {
    return log2((double)x.magnitude) + x.exponent;
}

static int column(const Axis *axis, double power) {
    return LEFT + (int)lround((power - axis->low) * axis->pixels);
}

// (b - a) / a of neighbours; subtracted as integers, since a float64 would lose their difference.
static double relative_gap(FxNumber a, FxNumber b) {
    int unit = a.exponent < b.exponent ? a.exponent : b.exponent;
    unsigned __int128 low = (unsigned __int128)a.magnitude << (a.exponent - unit), high = (unsigned __int128)b.magnitude << (b.exponent - unit);
    return (double)(high - low) / (double)low;
}

// The first positive code of at least 2^power; one above the last if there is none.
static int64_t code_from(const FxQuantiser *q, FxCodes codes, int power) {
    int64_t low = codes.first, high = codes.last + 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (fx_number_log2(fx_code_value(q, middle)) < power)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Axis axis_of(const FxQuantiser *q, int count) {
    Axis axis = {.low = 0, .high = 0, .finest = 3};
    for (int i = 0; i < count; i++) {
        FxCodes codes = fx_codes_positive(&q[i].grid);
        int low = fx_number_log2(fx_code_value(&q[i], codes.first)), high = fx_number_log2(fx_code_value(&q[i], codes.last)) + 1;
        if (i == 0 || low < axis.low)
            axis.low = low;
        if (i == 0 || high > axis.high)
            axis.high = high;
        if (codes.last > codes.first) {
            double gap = relative_gap(fx_code_value(&q[i], codes.last - 1), fx_code_value(&q[i], codes.last));
            int bits = (int)ceil(-log2(gap) - 1e-9);
            axis.finest = bits > axis.finest ? bits : axis.finest;
        }
    }
    axis.low--;
    axis.pixels = (double)(WIDTH - LEFT - RIGHT) / (axis.high - axis.low);
    return axis;
}

static FxColour colour_of(const FxQuantiser *q, int64_t code) {
    return fx_code_class(&q->grid, code) == FX_CODE_SUBNORMAL ? FX_ORANGE : FX_BLUE;
}

// ---- a panel

static int gap_row(const Axis *axis, int top, double log2_gap) {
    double down = -log2_gap / axis->finest;
    return top + GAP_TOP + (int)lround((down < 0 ? 0 : down > 1 ? 1 : down) * (GAP_HEIGHT - 3));
}

static void draw_ticks(FxPicture *p, const FxQuantiser *q, const Axis *axis, FxCodes codes, int top) {
    double closest = axis->pixels;
    for (int64_t c = codes.first; c < codes.last; c++) {
        double space = log2(1 + relative_gap(fx_code_value(q, c), fx_code_value(q, c + 1))) * axis->pixels;
        closest = space < closest ? space : closest;
    }
    int thick = closest >= 9 ? 4 : closest >= 6 ? 3 : closest >= 3 ? 2 : 1;
    for (int64_t c = codes.first; c <= codes.last; c++)
        fx_picture_box(p, column(axis, log2_of(fx_code_value(q, c))) - thick / 2, top + STRIP_TOP, thick, STRIP, colour_of(q, c));
    for (int64_t c = codes.first; c < codes.last; c++) {
        FxNumber here = fx_code_value(q, c), next = fx_code_value(q, c + 1);
        int from = column(axis, log2_of(here)), to = column(axis, log2_of(next));
        fx_picture_box(p, from, gap_row(axis, top, log2(relative_gap(here, next))), to > from ? to - from : 1, 4, FX_GREEN);
    }
}

// Bars as high as the bits of their count: a binade of 1 value has 1 bit, one of 2^M values M + 1.
static void draw_bars(FxPicture *p, const FxQuantiser *q, const Axis *axis, FxCodes codes, int top) {
    int low = fx_number_log2(fx_code_value(q, codes.first)), high = fx_number_log2(fx_code_value(q, codes.last));
    double most = 1;
    for (int power = low; power <= high; power++)
        most = fmax(most, log2((double)(code_from(q, codes, power + 1) - code_from(q, codes, power))) + 1);
    for (int power = low; power <= high; power++) {
        int64_t first = code_from(q, codes, power), end = code_from(q, codes, power + 1);
        if (end == first)
            continue;
        int from = column(axis, power), to = column(axis, power + 1), height = (int)lround((log2((double)(end - first)) + 1) / most * STRIP);
        int space = to - from > 3 ? 1 : 0;
        fx_picture_box(p, from, top + STRIP_TOP + STRIP - height, to - from - space, height, colour_of(q, first));
        if (first == codes.last)
            continue;
        double step = log2(relative_gap(fx_code_value(q, first), fx_code_value(q, first + 1))) + log2_of(fx_code_value(q, first));
        for (int x = from; x < to; x++)
            fx_picture_box(p, x, gap_row(axis, top, step - (power + (x - from) / axis->pixels)), 1, 4, FX_GREEN);
    }
}

// "0, -0, Inf, NaN" as far as they exist.
static void special_text(char text[48], const FxGrid *g, FxCodes codes) {
    int64_t half = INT64_C(1) << (g->bits - g->is_signed);
    bool patterns = g->kind->has_patterns;
    bool zero = fx_code_class(g, 0) == FX_CODE_ZERO, minus = patterns && g->is_signed && fx_code_class(g, half) == FX_CODE_ZERO;
    bool inf = patterns && codes.last + 1 < half && fx_code_class(g, codes.last + 1) == FX_CODE_INF;
    bool nan = patterns && (fx_code_class(g, half - 1) == FX_CODE_NAN || (g->is_signed && fx_code_class(g, half) == FX_CODE_NAN));
    snprintf(text, 48, "%s%s%s%s", zero ? ", 0" : "", minus ? ", -0" : "", inf ? ", Inf" : "", nan ? ", NaN" : "");
    if (text[0])
        memmove(text, text + 2, strlen(text + 2) + 1);
    else
        strcpy(text, "no zero, Inf or NaN");
}

// A value in a few characters; powers of two as the axis has them.
static const char *short_number(char text[32], FxNumber x) {
    int log2_floor = fx_number_log2(x);
    bool power = (x.magnitude & (x.magnitude - 1)) == 0;
    if (power && (log2_floor < 0 || log2_floor > 16))
        snprintf(text, 32, "2^%d", log2_floor);
    else if (log2_floor > 1000 || log2_floor < -1000) // no float64
        snprintf(text, 32, "about 2^%d", (int)lround(log2_of(x)));
    else
        snprintf(text, 32, "%.10g", ldexp((double)x.magnitude, x.exponent));
    return text;
}

static void draw_panel(FxPicture *p, const FxQuantiser *q, const Axis *axis, int top) {
    char name[FX_FORMAT_TEXT], text[160], special[48], low[32], high[32];
    FxCodes codes = fx_codes_positive(&q->grid);
    int bottom = top + GAP_TOP + GAP_HEIGHT;
    fx_format_text(name, q);
    special_text(special, &q->grid, codes);
    snprintf(text, sizeof text, "%d bits; %lld positive, %s .. %s; %s", q->grid.bits, (long long)(codes.last - codes.first + 1),
             short_number(low, fx_code_value(q, codes.first)), short_number(high, fx_code_value(q, codes.last)), special);
    fx_picture_text(p, 24, top, DOT, name, FX_BLACK);
    fx_picture_text(p, 24, top + LINE, DOT, text, FX_GREY);
    fx_picture_text(p, LEFT - 18 - fx_picture_text_width(DOT, "1"), top + GAP_TOP - 8, DOT, "1", FX_GREEN);
    snprintf(text, sizeof text, "2^-%d", axis->finest);
    fx_picture_text(p, LEFT - 18 - fx_picture_text_width(DOT, text), bottom - 14, DOT, text, FX_GREEN);
    fx_picture_box(p, LEFT, top + GAP_TOP + 1, WIDTH - LEFT - RIGHT, 1, FX_GREY);
    fx_picture_box(p, LEFT, bottom, WIDTH - LEFT - RIGHT, 1, FX_GREY);
    if (q->grid.bits <= MOST_TICKS_BITS)
        draw_ticks(p, q, axis, codes, top);
    else
        draw_bars(p, q, axis, codes, top);
}

// ---- the frame

static int label_step(const Axis *axis) {
    int widest = fx_picture_text_width(DOT, axis->low < -999 || axis->high > 999 ? "2^-99999" : "2^-999") + 24, step = 1;
    while (step * axis->pixels < widest)
        step *= 2;
    return step;
}

static void draw_axis(FxPicture *p, const Axis *axis, int top, int count, bool above) {
    int bottom = top + count * PANEL;
    int step = label_step(axis);
    for (int power = axis->low; power <= axis->high; power++) {
        char text[24];
        bool labelled = power % step == 0;
        int x = column(axis, power);
        for (int i = 0; labelled && i < count; i++)
            fx_picture_box(p, x - 1, top + PANEL_TOP + i * PANEL + STRIP_TOP, 2, GAP_TOP + GAP_HEIGHT - STRIP_TOP, FX_PALE);
        if (labelled || axis->pixels >= 8)
            fx_picture_box(p, x - 1, bottom, 2, labelled ? 14 : 7, FX_BLACK);
        snprintf(text, sizeof text, "2^%d", power);
        int left = x - fx_picture_text_width(DOT, text) / 2;
        if (labelled)
            fx_picture_text(p, left, bottom + 22, DOT, text, FX_BLACK);
        if (labelled && above)
            fx_picture_text(p, left, top - 32, DOT, text, FX_BLACK);
    }
    fx_picture_box(p, LEFT, bottom, WIDTH - LEFT - RIGHT, 2, FX_BLACK);
}

static void legend(FxPicture *p, int *x, int y, FxColour colour, int height, const char *text) {
    fx_picture_box(p, *x, y + (21 - height) / 2, 27, height, colour);
    fx_picture_text(p, *x + 39, y, DOT, text, FX_BLACK);
    *x += 39 + fx_picture_text_width(DOT, text) + 48;
}

static void draw_header(FxPicture *p, bool ticks, bool bars) {
    int x = 24;
    const char *what = !bars ? "positive values, a tick each" : ticks ? "positive values: a tick each, or a bar a binade" : "positive values, a bar a binade";
    fx_picture_text(p, 24, 16, DOT, what, FX_BLACK);
    if (bars)
        fx_picture_text(p, 24 + fx_picture_text_width(DOT, what) + 3 * DOT, 16, DOT, ", as high as log2 of its values", FX_BLACK);
    legend(p, &x, 56, FX_BLUE, 21, "normal");
    legend(p, &x, 56, FX_ORANGE, 21, "subnormal");
    legend(p, &x, 56, FX_GREEN, 4, "relative gap to the next value");
}

int fx_picture_formats(const char *path, const FxQuantiser *q, int count, FxError *err) {
    FxPicture p;
    Axis axis = axis_of(q, count);
    bool ticks = false, bars = false, above = count > 3;
    int header = HEADER + (above ? LINE : 0), bottom = header + count * PANEL;
    if (fx_picture_new(&p, WIDTH, bottom + FOOTER, err))
        return -1;
    for (int i = 0; i < count; i++) {
        ticks |= q[i].grid.bits <= MOST_TICKS_BITS;
        bars |= q[i].grid.bits > MOST_TICKS_BITS;
    }
    draw_header(&p, ticks, bars);
    draw_axis(&p, &axis, header, count, above);
    for (int i = 0; i < count; i++)
        draw_panel(&p, &q[i], &axis, header + PANEL_TOP + i * PANEL);
    int result = fx_picture_save(&p, path, err);
    fx_picture_free(&p);
    return result;
}
