#include "formats/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "[-]digits" without needless zeros and at most 4 digits; moves *p behind it.
static bool integer(int *value, const char **p, bool negative_allowed) {
    bool negative = negative_allowed && **p == '-';
    const char *start = *p + negative;
    size_t length = strspn(start, "0123456789");
    if (length == 0 || length > 4 || (start[0] == '0' && (length > 1 || negative)))
        return false;
    *value = negative ? -atoi(start) : atoi(start);
    *p = start + length;
    return true;
}

static bool fixed_parse(FxGrid *grid, const char *p) {
    grid->is_signed = true;
    if (!integer(&grid->bits, &p, false) || grid->bits < 2 || grid->bits > 62)
        return false;
    grid->fraction = grid->bits - 1;
    if (*p == 'f' && (p++, !integer(&grid->fraction, &p, true)))
        return false;
    grid->twos_complement = *p == 't';
    return p[grid->twos_complement] == 0;
}

static bool ufixed_parse(FxGrid *grid, const char *p) {
    if (!integer(&grid->bits, &p, false) || grid->bits < 1 || grid->bits > 62)
        return false;
    grid->fraction = grid->bits;
    if (*p == 'f' && (p++, !integer(&grid->fraction, &p, true)))
        return false;
    return *p == 0;
}

static void fixed_print(char *text, size_t size, const FxGrid *grid) {
    snprintf(text, size, "%s%df%d%s", grid->kind->prefix, grid->bits, grid->fraction, grid->twos_complement ? "t" : "");
}

static bool any_mode(int mode) {
    (void)mode;
    return true;
}

static bool binary_parse(FxGrid *grid, const char *rest) {
    grid->is_signed = true;
    grid->bits = 2;
    return *rest == 0;
}

static void binary_print(char *text, size_t size, const FxGrid *grid) {
    snprintf(text, size, "%s", grid->kind->prefix);
}

// Nearest: the sign, 0 -> +1. Stochastic: +1 with probability clip((x + 1) / 2, 0, 1), by the mode's law on that fraction.
static int64_t binary_code(const FxGrid *grid, const FxRounding *rounding, int64_t x, int shift, uint32_t R, const FxRoundArg *arg) {
    (void)grid;
    if (!(fx_round_modes[rounding->mode].needs & FX_ROUND_RANDOM))
        return x < 0 ? -1 : 1;
    int s = shift < 0 ? 0 : shift > 61 ? 61 : shift, drop = shift - 61 < 62 ? shift - 61 : 62;
    int64_t one = INT64_C(1) << s, v = shift < 0 && x ? (x < 0 ? -one : one) : x;
    if (drop > 0) // lost bits stay as a sticky one, as in fx_round
        v = x >> drop | ((x & ((INT64_C(1) << drop) - 1)) != 0);
    if (v <= -one || v >= one)
        return v < 0 ? -1 : 1;
    return fx_round(rounding->mode, v + one, s + 1, R, 0, arg) ? 1 : -1;
}

static bool binary_rounds(int mode) {
    return (fx_round_modes[mode].needs & FX_ROUND_NEAREST) || fx_round_modes[mode].law;
}

static bool ternary_parse(FxGrid *grid, const char *rest) {
    grid->is_signed = true;
    grid->bits = 2;
    grid->threshold = (FxDecimal){5, 1};
    return *rest == 0 || (rest[0] == ':' && rest[1] == 't' && fx_decimal_parse(&grid->threshold, rest + 2) == 0);
}

static void ternary_print(char *text, size_t size, const FxGrid *grid) {
    char threshold[32];
    fx_decimal_print(threshold, sizeof threshold, &grid->threshold);
    snprintf(text, size, "%s:t%s", grid->kind->prefix, threshold);
}

// 0 iff |x| * 2^-shift <= threshold, i.e. |x| <= floor(threshold * 2^shift).
static int64_t ternary_code(const FxGrid *grid, const FxRounding *rounding, int64_t x, int shift, uint32_t R, const FxRoundArg *arg) {
    (void)rounding, (void)R, (void)arg;
    unsigned __int128 m = x < 0 ? 0 - (uint64_t)x : (uint64_t)x, t = grid->threshold.digits, unit = 1;
    for (int i = 0; i < grid->threshold.places; i++)
        unit *= 10;
    unsigned __int128 above = (unsigned __int128)1 << 122; // every m * unit
    if (shift >= 0)
        t = t == 0 ? 0 : shift < 122 && t < above >> shift ? t << shift : above;
    else
        t = -shift > 66 ? 0 : t >> -shift; // exact since m * unit is an integer
    return m * unit <= t ? 0 : x < 0 ? -1 : 1;
}

static bool ternary_rounds(int mode) {
    return !(fx_round_modes[mode].needs & (FX_ROUND_RANDOM | FX_ROUND_INTEGER));
}

static const FxGridKind kinds[] = {
    {"fixed", "fixedW[fF][t]", fixed_parse, fixed_print, NULL, any_mode},
    {"ufixed", "ufixedW[fF]", ufixed_parse, fixed_print, NULL, any_mode},
    {"binary", "binary", binary_parse, binary_print, binary_code, binary_rounds},
    {"ternary", "ternary[:tT]", ternary_parse, ternary_print, ternary_code, ternary_rounds},
};

const FxGridKind *fx_grid_kind(int i) {
    return i < (int)(sizeof kinds / sizeof kinds[0]) ? &kinds[i] : NULL;
}

int fx_grid_parse(FxGrid *grid, const char *text, FxError *err) {
    for (int i = 0; fx_grid_kind(i); i++) {
        size_t length = strlen(kinds[i].prefix);
        FxGrid out = {.kind = &kinds[i]};
        if (!strncmp(text, kinds[i].prefix, length) && kinds[i].parse(&out, text + length)) {
            *grid = out;
            return 0;
        }
    }
    return fx_fail(err, FX_EXIT_USAGE,
                   "grid \"%s\": known: fixedW[fF][t] (W 2..62), ufixedW[fF] (W 1..62), binary, ternary[:tT]", text);
}

void fx_grid_print(char *text, size_t size, const FxGrid *grid) {
    grid->kind->print(text, size, grid);
}

bool fx_grid_is_fixed(const FxGrid *grid) {
    return grid->kind->code == NULL;
}

int64_t fx_grid_high(const FxGrid *grid) {
    return (INT64_C(1) << (grid->bits - grid->is_signed)) - 1;
}

int64_t fx_grid_low(const FxGrid *grid) {
    return grid->is_signed ? -fx_grid_high(grid) - grid->twos_complement : 0;
}

int64_t fx_grid_wrap(const FxGrid *grid, int64_t q) {
    uint64_t low = (uint64_t)q & ((UINT64_C(1) << grid->bits) - 1), sign = UINT64_C(1) << (grid->bits - 1);
    return grid->is_signed && (low & sign) ? (int64_t)low - (int64_t)(sign << 1) : (int64_t)low;
}
