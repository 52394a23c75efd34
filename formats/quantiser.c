#include "formats/quantiser.h"

#include <stdio.h>
#include <string.h>

const char *const fx_quantiser_parts[4] = {"grid", "scale", "rounding", "overflow"};

static const char *const overflow_names[FX_OVERFLOWS] = {[FX_OVERFLOW_SATURATE] = "saturate", [FX_OVERFLOW_PROPAGATE] = "propagate",
                                                         [FX_OVERFLOW_INF] = "inf", [FX_OVERFLOW_WRAP] = "wrap"};

const char *fx_overflow_name(FxOverflow overflow) {
    return overflow_names[overflow];
}

int fx_overflow_parse(FxOverflow *overflow, const char *text, FxError *err) {
    for (int i = 0; i < FX_OVERFLOWS; i++)
        if (!strcmp(text, overflow_names[i])) {
            *overflow = (FxOverflow)i;
            return 0;
        }
    return fx_fail(err, FX_EXIT_USAGE, "overflow \"%s\": known: saturate, propagate, inf, wrap", text);
}

int fx_quantiser_check(const FxQuantiser *q, FxError *err) {
    char grid[64], rounding[64];
    fx_grid_print(grid, sizeof grid, &q->grid);
    fx_rounding_print(rounding, sizeof rounding, &q->rounding);
    if (fx_scale_check(&q->scale, &q->grid, err))
        return -1;
    if (!q->grid.kind->rounds(fx_rounding_mode(&q->rounding)))
        return fx_fail(err, FX_EXIT_USAGE, "rounding %s does not exist on grid %s", rounding, grid);
    if (!q->grid.kind->overflows(&q->grid, q->overflow))
        return fx_fail(err, FX_EXIT_USAGE, "overflow %s does not exist on grid %s%s", overflow_names[q->overflow], grid,
                       q->overflow == FX_OVERFLOW_WRAP ? "; wrap needs two's complement or unsigned fixed" : "");
    return 0;
}

int fx_quantiser_parse(FxQuantiser *q, const char *text, FxError *err) {
    return fx_quantiser_parse_own(q, text, NULL, err);
}

int fx_quantiser_parse_own(FxQuantiser *q, const char *text, const FxExtension *own, FxError *err) {
    char copy[FX_QUANTISER_TEXT], *part[3];
    FxQuantiser out = {.overflow = FX_OVERFLOW_SATURATE};
    FxError ignored;
    if (strlen(text) >= sizeof copy)
        return fx_fail(err, FX_EXIT_USAGE, "quantiser text of %zu characters; the longest legal one has fewer than %d",
                       strlen(text), FX_QUANTISER_TEXT);
    strcpy(copy, text);
    int parts = 0;
    for (char *p = copy; p; ) {
        char *next = strchr(p, '/');
        if (next)
            *next++ = 0;
        if (parts == 3 || !*p)
            return fx_fail(err, FX_EXIT_USAGE, "\"%s\": write GRID[@SCALE][/ROUNDING][/OVERFLOW], no part empty", text);
        part[parts++] = p;
        p = next;
    }
    char *scale = strchr(copy, '@');
    if (scale)
        *scale++ = 0;
    if (fx_grid_parse(&out.grid, copy, own, err) || fx_scale_parse(&out.scale, scale ? scale : "const:0", err))
        return -1;
    bool only_overflow = parts == 2 && fx_overflow_parse(&out.overflow, part[1], &ignored) == 0;
    if (fx_rounding_parse(&out.rounding, parts > 1 && !only_overflow ? part[1] : "nearest-even", own, err))
        return -1;
    if (parts == 3 && fx_overflow_parse(&out.overflow, part[2], err))
        return -1;
    if (fx_quantiser_check(&out, err))
        return -1;
    *q = out;
    return 0;
}

void fx_quantiser_print(char text[FX_QUANTISER_TEXT], const FxQuantiser *q) {
    char grid[64], scale[48], rounding[48];
    fx_grid_print(grid, sizeof grid, &q->grid);
    fx_scale_print(scale, sizeof scale, &q->scale);
    fx_rounding_print(rounding, sizeof rounding, &q->rounding);
    snprintf(text, FX_QUANTISER_TEXT, "%.63s@%.47s/%.39s/%s", grid, scale, rounding, fx_overflow_name(q->overflow));
}

FxType fx_quantiser_type(const FxQuantiser *q) {
    if (q->grid.kind->has_patterns)
        return q->grid.bits <= 8 ? FX_UINT8 : q->grid.bits <= 16 ? FX_UINT16 : FX_UINT32;
    return fx_type_for_range(fx_grid_low(&q->grid), fx_grid_high(&q->grid));
}

