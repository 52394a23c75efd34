#include "formats/grid.h"
#include "formats/quantiser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool fx_grid_integer(int *value, const char **p, bool negative_allowed) {
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
    if (!fx_grid_integer(&grid->bits, &p, false) || grid->bits < 2 || grid->bits > 62)
        return false;
    grid->fraction = grid->bits - 1;
    if (*p == 'f' && (p++, !fx_grid_integer(&grid->fraction, &p, true)))
        return false;
    grid->twos_complement = *p == 't';
    return p[grid->twos_complement] == 0;
}

static bool ufixed_parse(FxGrid *grid, const char *p) {
    if (!fx_grid_integer(&grid->bits, &p, false) || grid->bits < 1 || grid->bits > 62)
        return false;
    grid->fraction = grid->bits;
    if (*p == 'f' && (p++, !fx_grid_integer(&grid->fraction, &p, true)))
        return false;
    return *p == 0;
}

static void fixed_print(char *text, size_t size, const FxGrid *grid) {
    snprintf(text, size, "%s%df%d%s", grid->kind->prefix, grid->bits, grid->fraction, grid->twos_complement ? "t" : "");
}

static bool any_mode(const FxRoundMode *mode) {
    (void)mode;
    return true;
}

bool fx_grid_saturates(const FxGrid *grid, FxOverflow overflow) {
    (void)grid;
    return overflow == FX_OVERFLOW_SATURATE;
}

static bool fixed_overflows(const FxGrid *grid, FxOverflow overflow) {
    return overflow == FX_OVERFLOW_SATURATE || (overflow == FX_OVERFLOW_WRAP && (!grid->is_signed || grid->twos_complement));
}

static FxEncoded clamped(const FxGrid *g, int64_t code, bool counts) {
    int64_t low = fx_grid_low(g), high = fx_grid_high(g), y = code < low ? low : code > high ? high : code;
    return (FxEncoded){y, counts && y != code};
}

// NaN becomes 0, Inf saturates by its sign under every policy.
static FxEncoded fixed_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    const FxGrid *g = &q->grid;
    if (x.class_of != FX_FINITE)
        return clamped(g, x.class_of == FX_NAN ? 0 : x.negative ? INT64_MIN : INT64_MAX, false);
    int64_t code = fx_round_number(q, x, 0, false, arg);
    if (q->overflow != FX_OVERFLOW_WRAP)
        return clamped(g, code, true);
    FxEncoded out = clamped(g, code, true);
    if (x.magnitude && x.exponent >= 0) // exact: the low bits of the left shift
        code = x.exponent < 63 ? (int64_t)((x.negative ? 0 - x.magnitude : x.magnitude) << x.exponent) : 0;
    out.code = fx_grid_wrap(g, code);
    return out;
}

static FxNumber integer_decode(const FxGrid *g, int64_t code, int anchor) {
    (void)g, (void)anchor;
    return fx_number_int(code, 0);
}

static FxNumber integer_largest(const FxGrid *g) {
    return fx_number_int(fx_grid_high(g), 0);
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
static FxEncoded binary_encode(const FxQuantiser *q, FxNumber number, const FxEncodeArg *arg) {
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    bool finite = number.class_of == FX_FINITE, negative = number.negative && number.class_of != FX_NAN && (!finite || number.magnitude);
    if (!(mode->needs & FX_ROUND_RANDOM) || !finite)
        return (FxEncoded){negative ? -1 : 1, false};
    int64_t x = negative ? -(int64_t)number.magnitude : (int64_t)number.magnitude;
    int shift = -number.exponent;
    int s = shift < 0 ? 0 : shift > 61 ? 61 : shift, drop = shift - 61 < 62 ? shift - 61 : 62;
    int64_t one = INT64_C(1) << s, v = shift < 0 && x ? (x < 0 ? -one : one) : x;
    if (drop > 0) // lost bits stay as a sticky one, as in fx_round
        v = x >> drop | ((x & ((INT64_C(1) << drop) - 1)) != 0);
    if (v <= -one || v >= one)
        return (FxEncoded){v < 0 ? -1 : 1, false};
    return (FxEncoded){fx_round(mode, v + one, s + 1, arg->R, 0, arg->arg) ? 1 : -1, false};
}

static bool binary_rounds(const FxRoundMode *mode) {
    return (mode->needs & FX_ROUND_NEAREST) || mode->law;
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
static FxEncoded ternary_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    (void)arg;
    if (x.class_of != FX_FINITE)
        return (FxEncoded){x.class_of == FX_NAN ? 0 : x.negative ? -1 : 1, false};
    unsigned __int128 m = x.magnitude, t = q->grid.threshold.digits, unit = 1;
    int shift = -x.exponent;
    for (int i = 0; i < q->grid.threshold.places; i++)
        unit *= 10;
    unsigned __int128 above = (unsigned __int128)1 << 123; // every m * unit
    if (shift >= 0)
        t = t == 0 ? 0 : shift < 123 && t < above >> shift ? t << shift : above;
    else
        t = -shift > 66 ? 0 : t >> -shift; // exact since m * unit is an integer
    return (FxEncoded){m * unit <= t ? 0 : x.negative ? -1 : 1, false};
}

static bool ternary_rounds(const FxRoundMode *mode) {
    return !(mode->needs & (FX_ROUND_RANDOM | FX_ROUND_INTEGER));
}

static const FxGridKind fixed = {
    .prefix = "fixed", .syntax = "fixedW[fF][t]",
    .help = "W bits with sign (2..62), F of them fraction (default W-1); symmetric, t: two's complement",
    .is_fixed = true,
    .parse = fixed_parse, .print = fixed_print, .rounds = any_mode, .overflows = fixed_overflows,
    .encode = fixed_encode, .decode = integer_decode, .largest = integer_largest,
};

static const FxGridKind ufixed = {
    .prefix = "ufixed", .syntax = "ufixedW[fF]",
    .help = "unsigned, W bits (1..62), F of them fraction (default W)",
    .is_fixed = true,
    .parse = ufixed_parse, .print = fixed_print, .rounds = any_mode, .overflows = fixed_overflows,
    .encode = fixed_encode, .decode = integer_decode, .largest = integer_largest,
};

static const FxGridKind binary = {
    .prefix = "binary", .syntax = "binary",
    .help = "-1 and +1; 0 becomes +1",
    .parse = binary_parse, .print = binary_print, .rounds = binary_rounds, .overflows = fx_grid_saturates,
    .encode = binary_encode, .decode = integer_decode, .largest = integer_largest,
};

static const FxGridKind ternary = {
    .prefix = "ternary", .syntax = "ternary[:tT]",
    .help = "-1, 0, +1; 0 iff |x| <= T (default 0.5)",
    .parse = ternary_parse, .print = ternary_print, .rounds = ternary_rounds, .overflows = fx_grid_saturates,
    .encode = ternary_encode, .decode = integer_decode, .largest = integer_largest,
};

static const FxGridKind *const kinds[] = {
    &fixed, &ufixed, &binary, &ternary, &fx_grid_float, &fx_grid_p3109, &fx_grid_e8m0, &fx_grid_log2, &fx_grid_logsqrt2, &fx_grid_inq,
};

#define NAMED(n, X, Y, B, s, l) \
    {.kind = &fx_grid_float, .name = n, .bits = 1 + X + Y, .is_signed = true, .exponent_bits = X, .mantissa_bits = Y, .bias = B, .special = s, .lowest = l}

// Named formats. Sources: OCP OFP8 and MX 1.0 (e5m2, e4m3fn, e3m2fn, e2m3fn, e2m1fn), ml_dtypes and StableHLO (e4m3,
// e3m4, fnuz), Intel FP8 toolkit (e3m4fn), IBM (hfp8: Sun et al. 2019; dlfloat16: Agrawal et al. 2019; 1-6-9: Wang et al.
// 1812.08011), IEEE 754 (fp16, fp32), NVIDIA (tf32), Google (bf16).
static const FxGrid named[] = {
    NAMED("e5m2", 5, 2, 15, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("e4m3fn", 4, 3, 7, FX_SPECIAL_FN, FX_LOWEST_SUB),
    NAMED("e4m3", 4, 3, 7, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("e3m4", 3, 4, 3, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("e3m4fn", 3, 4, 3, FX_SPECIAL_FN, FX_LOWEST_SUB),
    NAMED("e5m2fnuz", 5, 2, 16, FX_SPECIAL_FNUZ, FX_LOWEST_SUB),
    NAMED("e4m3fnuz", 4, 3, 8, FX_SPECIAL_FNUZ, FX_LOWEST_SUB),
    NAMED("e4m3b11fnuz", 4, 3, 11, FX_SPECIAL_FNUZ, FX_LOWEST_SUB),
    NAMED("hfp8_143_nosub", 4, 3, 11, FX_SPECIAL_NONE, FX_LOWEST_FLUSH),
    NAMED("e3m2fn", 3, 2, 3, FX_SPECIAL_NONE, FX_LOWEST_SUB),
    NAMED("e2m3fn", 2, 3, 1, FX_SPECIAL_NONE, FX_LOWEST_SUB),
    NAMED("e2m1fn", 2, 1, 1, FX_SPECIAL_NONE, FX_LOWEST_SUB),
    NAMED("fp16", 5, 10, 15, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("bf16", 8, 7, 127, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("dlfloat16", 6, 9, 31, FX_SPECIAL_FN, FX_LOWEST_NORMZ),
    NAMED("fp16_169_ieee", 6, 9, 31, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("tf32", 8, 10, 127, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
    NAMED("fp32", 8, 23, 127, FX_SPECIAL_IEEE, FX_LOWEST_SUB),
};

static const struct {
    const char *name, *target;
} aliases[] = {{"fp8-152", "e5m2"}, {"fp16-169", "fp16_169_ieee"}};

const FxGridKind *fx_grid_kind(int i) {
    return i < (int)(sizeof kinds / sizeof kinds[0]) ? kinds[i] : NULL;
}

const FxGrid *fx_grid_named(int i) {
    return i < (int)(sizeof named / sizeof named[0]) ? &named[i] : NULL;
}

const char *fx_grid_alias(int i) {
    return i < (int)(sizeof aliases / sizeof aliases[0]) ? aliases[i].name : NULL;
}

static bool parse_kind(FxGrid *grid, const FxGridKind *kind, const char *text) {
    size_t length = strlen(kind->prefix);
    FxGrid out = {.kind = kind};
    if (strncmp(text, kind->prefix, length) || !kind->parse(&out, text + length))
        return false;
    *grid = out;
    return true;
}

int fx_grid_parse(FxGrid *grid, const char *text, const FxExtension *own, FxError *err) {
    const char *name = text;
    for (int i = 0; fx_grid_alias(i); i++)
        if (!strcmp(text, aliases[i].name))
            name = aliases[i].target;
    for (int i = 0; fx_grid_named(i); i++)
        if (!strcmp(name, named[i].name)) {
            *grid = named[i];
            return 0;
        }
    for (int i = 0; fx_grid_kind(i); i++)
        if (parse_kind(grid, kinds[i], text))
            return 0;
    for (size_t i = 0; own && i < own->grid_count; i++)
        if (parse_kind(grid, &own->grids[i], text))
            return 0;
    char known[700] = "";
    for (int i = 0; fx_grid_kind(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", kinds[i]->syntax);
    for (int i = 0; fx_grid_named(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", named[i].name);
    return fx_fail(err, FX_EXIT_USAGE, "grid \"%s\": known: %s", text, known);
}

void fx_grid_print(char *text, size_t size, const FxGrid *grid) {
    if (grid->name)
        snprintf(text, size, "%s", grid->name);
    else
        grid->kind->print(text, size, grid);
}

int64_t fx_grid_high(const FxGrid *grid) {
    return (INT64_C(1) << (grid->bits - grid->is_signed)) - 1;
}

int64_t fx_grid_low(const FxGrid *grid) {
    return grid->is_signed ? -fx_grid_high(grid) - grid->twos_complement : 0;
}

FxNumber fx_grid_largest(const FxGrid *grid) {
    return grid->kind->largest(grid);
}

int64_t fx_grid_wrap(const FxGrid *grid, int64_t q) {
    uint64_t low = (uint64_t)q & ((UINT64_C(1) << grid->bits) - 1), sign = UINT64_C(1) << (grid->bits - 1);
    return grid->is_signed && (low & sign) ? (int64_t)low - (int64_t)(sign << 1) : (int64_t)low;
}
