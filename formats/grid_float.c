// Small floats { E, M, bias, special values, exponent-zero rule } and E8M0. Source: OCP OFP8 and MX 1.0, IEEE P3109
// draft, IBM DLFloat (US20190369960), the FNUZ formats of StableHLO. Rounding: one rounding of the exact number with an
// exponent unbounded above, then the overflow policy, then the code.
#include "formats/grid.h"
#include "formats/quantiser.h"

#include <stdio.h>
#include <string.h>

static const char *const specials[] = {"ieee", "fn", "fnuz", "p3109", "none"};
static const char *const lowests[] = {"sub", "normz", "flush"};

// Exponent of the lowest binade.
static int lowest_binade(const FxGrid *g) {
    return (g->lowest == FX_LOWEST_NORMZ ? 0 : 1) - g->bias;
}

int64_t fx_float_max_code(const FxGrid *g) {
    int64_t all = (INT64_C(1) << (g->exponent_bits + g->mantissa_bits)) - 1;
    switch (g->special) {
    case FX_SPECIAL_IEEE: return all - (INT64_C(1) << g->mantissa_bits);
    case FX_SPECIAL_FN:
    case FX_SPECIAL_P3109: return all - 1;
    case FX_SPECIAL_FNUZ:
    case FX_SPECIAL_NONE: break;
    }
    return all;
}

int64_t fx_float_inf_code(const FxGrid *g) {
    if (g->special == FX_SPECIAL_IEEE || g->special == FX_SPECIAL_P3109)
        return fx_float_max_code(g) + 1;
    return -1;
}

int64_t fx_float_nan_code(const FxGrid *g) {
    int64_t all = (INT64_C(1) << (g->exponent_bits + g->mantissa_bits)) - 1;
    switch (g->special) {
    case FX_SPECIAL_IEEE: return g->mantissa_bits ? all - ((INT64_C(1) << (g->mantissa_bits - 1)) - 1) : -1;
    case FX_SPECIAL_FN: return all;
    case FX_SPECIAL_FNUZ:
    case FX_SPECIAL_P3109: return all + 1;
    case FX_SPECIAL_NONE: break;
    }
    return -1;
}

bool fx_float_has_negative_zero(const FxGrid *g) {
    return g->special != FX_SPECIAL_FNUZ && g->special != FX_SPECIAL_P3109;
}

static FxNumber float_decode(const FxGrid *g, int64_t code, int anchor) {
    (void)anchor;
    int64_t sign = INT64_C(1) << (g->exponent_bits + g->mantissa_bits), magnitude = code & (sign - 1);
    int64_t nan = fx_float_nan_code(g), one = INT64_C(1) << g->mantissa_bits;
    FxNumber x = {.negative = (code & sign) != 0 && code != nan};
    if (nan == sign ? code == nan : magnitude > fx_float_max_code(g)) {
        x.class_of = magnitude == fx_float_inf_code(g) ? FX_INFINITE : FX_NAN;
        return x;
    }
    if (magnitude == fx_float_inf_code(g)) {
        x.class_of = FX_INFINITE;
        return x;
    }
    int field = (int)(magnitude >> g->mantissa_bits);
    int64_t mantissa = magnitude & (one - 1);
    if (g->lowest == FX_LOWEST_NORMZ ? magnitude == 0 : g->lowest == FX_LOWEST_FLUSH ? field == 0 : false)
        return x;
    bool implicit = field > 0 || g->lowest == FX_LOWEST_NORMZ;
    x.magnitude = (uint64_t)(mantissa + (implicit ? one : 0));
    x.exponent = (field > 0 || g->lowest == FX_LOWEST_NORMZ ? field : 1) - g->bias - g->mantissa_bits;
    return x;
}

static FxNumber float_largest(const FxGrid *g) {
    return float_decode(g, fx_float_max_code(g), 0);
}

static int64_t signed_code(const FxGrid *g, int64_t magnitude, bool negative) {
    if (negative && (magnitude || fx_float_has_negative_zero(g)))
        return magnitude | INT64_C(1) << (g->exponent_bits + g->mantissa_bits);
    return magnitude;
}

static int64_t nan_or_max(const FxGrid *g, bool negative) {
    int64_t nan = fx_float_nan_code(g), sign = INT64_C(1) << (g->exponent_bits + g->mantissa_bits);
    if (nan < 0)
        return -1;
    return nan == sign ? nan : signed_code(g, nan, negative);
}

// What a result beyond the largest finite value becomes.
static int64_t overflow_code(const FxGrid *g, bool to_infinity, bool negative) {
    int64_t max = signed_code(g, fx_float_max_code(g), negative), inf = fx_float_inf_code(g);
    if (!to_infinity)
        return max;
    if (inf >= 0)
        return signed_code(g, inf, negative);
    int64_t nan = nan_or_max(g, negative);
    return nan >= 0 ? nan : max;
}

// Directed modes that point away from the infinity stay at the largest value.
static bool stays_finite(const FxQuantiser *q, bool negative) {
    return fx_rounding_mode(&q->rounding)->needs & (negative ? FX_ROUND_HOLDS_NEGATIVE : FX_ROUND_HOLDS_POSITIVE);
}

// Magnitude code of a finite x without upper limit.
static int64_t unbounded(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    const FxGrid *g = &q->grid;
    int M = g->mantissa_bits, low = lowest_binade(g), top = fx_number_log2(x);
    int64_t one = INT64_C(1) << M, n;
    FxNumber least = {(uint64_t)(g->lowest == FX_LOWEST_NORMZ ? one + 1 : one), low - M, false, FX_FINITE};
    if (g->lowest == FX_LOWEST_SUB || fx_number_compare(x, least) >= 0 || g->underflow_flush) {
        bool sub = g->lowest == FX_LOWEST_SUB;
        int binade = sub && top < low ? low : top;
        n = fx_round_number(q, x, binade - M, true, arg);
        n = n < 0 ? -n : n;
        FxNumber r = {(uint64_t)n, binade - M, false, FX_FINITE};
        if (!sub && fx_number_compare(r, least) < 0)
            return 0; // uf-flush
        if (!sub && binade < low) // uf-flush rounded up to the lowest binade: flush grids alone get here
            return one;
        return (int64_t)(binade - low) * one + n - (g->lowest == FX_LOWEST_NORMZ ? one : 0);
    }
    // uf-round without subnormals: between 0 (even) and the least value
    n = fx_round_number(q, fx_number_divide(x, least), 0, true, arg);
    return n == 0 ? 0 : g->lowest == FX_LOWEST_NORMZ ? 1 : one;
}

static FxEncoded float_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    const FxGrid *g = &q->grid;
    if (x.class_of == FX_NAN) {
        int64_t nan = nan_or_max(g, x.negative);
        return (FxEncoded){nan >= 0 ? nan : fx_float_max_code(g), false};
    }
    if (x.class_of == FX_INFINITE)
        return (FxEncoded){overflow_code(g, q->overflow != FX_OVERFLOW_SATURATE, x.negative), false};
    if (!x.magnitude)
        return (FxEncoded){signed_code(g, 0, x.negative), false};
    int64_t code = unbounded(q, x, arg);
    if (code > fx_float_max_code(g))
        return (FxEncoded){overflow_code(g, q->overflow == FX_OVERFLOW_INF && !stays_finite(q, x.negative), x.negative), true};
    return (FxEncoded){signed_code(g, code, x.negative), false};
}

static bool float_rounds(const FxRoundMode *mode) {
    return !(mode->needs & FX_ROUND_INTEGER);
}

static bool float_overflows(const FxGrid *grid, FxOverflow overflow) {
    (void)grid;
    return overflow != FX_OVERFLOW_WRAP;
}

// ":word" of a list; moves *p behind it.
static bool word(int *index, const char **p, const char *const list[], int n) {
    for (int i = 0; **p == ':' && i < n; i++) {
        size_t length = strlen(list[i]);
        if (!strncmp(*p + 1, list[i], length) && ((*p)[1 + length] == 0 || (*p)[1 + length] == ':')) {
            *index = i;
            *p += 1 + length;
            return true;
        }
    }
    return false;
}

// Every value is a float32, and there is one besides zero.
static bool float_fits(const FxGrid *g) {
    if (g->exponent_bits < 1 || g->exponent_bits > 8 || g->mantissa_bits < 0 || g->mantissa_bits > 23)
        return false;
    int64_t max = fx_float_max_code(g), least = g->lowest == FX_LOWEST_FLUSH ? INT64_C(1) << g->mantissa_bits : 1;
    return max >= least && fx_number_log2(float_largest(g)) <= 127 && lowest_binade(g) - g->mantissa_bits >= -149;
}

static bool float_parse(FxGrid *g, const char *p) {
    int special = FX_SPECIAL_IEEE, lowest = FX_LOWEST_SUB, flush = 0;
    static const char *const underflows[] = {"uf-round", "uf-flush"};
    if (*p++ != 'e' || !fx_grid_integer(&g->exponent_bits, &p, false) || *p++ != 'm' ||
        !fx_grid_integer(&g->mantissa_bits, &p, false) || g->exponent_bits > 8 || g->exponent_bits < 1)
        return false;
    bool has_bias = !strncmp(p, ":bias", 5);
    if (has_bias && (p += 5, !fx_grid_integer(&g->bias, &p, true)))
        return false;
    word(&special, &p, specials, 5);
    word(&lowest, &p, lowests, 3);
    word(&flush, &p, underflows, 2);
    g->special = (FxSpecial)special;
    g->lowest = (FxLowest)lowest;
    g->underflow_flush = flush;
    if (!has_bias)
        g->bias = fx_float_has_negative_zero(g) ? (1 << (g->exponent_bits - 1)) - 1 : 1 << (g->exponent_bits - 1);
    g->is_signed = true;
    g->bits = 1 + g->exponent_bits + g->mantissa_bits;
    return *p == 0 && float_fits(g);
}

static void float_print(char *text, size_t size, const FxGrid *g) {
    snprintf(text, size, "float:e%dm%d:bias%d:%s:%s:%s", g->exponent_bits, g->mantissa_bits, g->bias, specials[g->special],
             lowests[g->lowest], g->underflow_flush ? "uf-flush" : "uf-round");
}

const FxGridKind fx_grid_float = {
    .prefix = "float:",
    .syntax = "float:eXmY[:biasB][:ieee|fn|fnuz|p3109|none][:sub|normz|flush][:uf-round|uf-flush]",
    .help = "sign, X exponent bits (1..8), Y mantissa bits (0..23); every value a float32",
    .has_patterns = true,
    .parse = float_parse, .print = float_print, .rounds = float_rounds, .overflows = float_overflows,
    .encode = float_encode, .decode = float_decode, .largest = float_largest,
};

// "KpPse", "KpPsf": K bits, precision P with the hidden bit, signed, extended (with infinities) or finite.
static bool p3109_parse(FxGrid *g, const char *p) {
    int bits, precision;
    if (!fx_grid_integer(&bits, &p, false) || *p++ != 'p' || !fx_grid_integer(&precision, &p, false) || precision < 1 ||
        bits - precision < 1 || (strcmp(p, "se") && strcmp(p, "sf")))
        return false;
    g->is_signed = true;
    g->bits = bits;
    g->exponent_bits = bits - precision;
    g->mantissa_bits = precision - 1;
    g->special = !strcmp(p, "se") ? FX_SPECIAL_P3109 : FX_SPECIAL_FNUZ;
    g->bias = g->exponent_bits <= 8 ? 1 << (g->exponent_bits - 1) : 0;
    return float_fits(g);
}

static void p3109_print(char *text, size_t size, const FxGrid *g) {
    snprintf(text, size, "binary%dp%d%s", g->bits, g->mantissa_bits + 1, g->special == FX_SPECIAL_P3109 ? "se" : "sf");
}

const FxGridKind fx_grid_p3109 = {
    .prefix = "binary",
    .syntax = "binaryKpPse, binaryKpPsf",
    .help = "IEEE P3109: K bits, P of them precision with the hidden bit; se with infinities, sf without",
    .has_patterns = true,
    .parse = p3109_parse, .print = p3109_print, .rounds = float_rounds, .overflows = float_overflows,
    .encode = float_encode, .decode = float_decode, .largest = float_largest,
};

enum { E8M0_BIAS = 127, E8M0_MAX = 254, E8M0_NAN = 255 };

static FxNumber e8m0_decode(const FxGrid *g, int64_t code, int anchor) {
    (void)g, (void)anchor;
    return code == E8M0_NAN ? (FxNumber){.class_of = FX_NAN} : (FxNumber){1, (int)code - E8M0_BIAS, false, FX_FINITE};
}

static FxNumber e8m0_largest(const FxGrid *g) {
    return e8m0_decode(g, E8M0_MAX, 0);
}

// Zero, negatives, NaN and Inf have no code but NaN; everything below 2^-127 becomes 2^-127.
static FxEncoded e8m0_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    if (x.class_of != FX_FINITE || x.negative || !x.magnitude)
        return (FxEncoded){E8M0_NAN, false};
    int top = fx_number_log2(x);
    if (top < -E8M0_BIAS)
        return (FxEncoded){0, false};
    int64_t code = top + E8M0_BIAS + (fx_round_number(q, x, top, true, arg) == 2);
    if (code <= E8M0_MAX)
        return (FxEncoded){code, false};
    return (FxEncoded){q->overflow == FX_OVERFLOW_INF && !stays_finite(q, false) ? E8M0_NAN : E8M0_MAX, true};
}

static bool e8m0_parse(FxGrid *g, const char *p) {
    g->bits = 8;
    return *p == 0;
}

static void e8m0_print(char *text, size_t size, const FxGrid *g) {
    snprintf(text, size, "%s", g->kind->prefix);
}

const FxGridKind fx_grid_e8m0 = {
    .prefix = "e8m0",
    .syntax = "e8m0",
    .help = "OCP MX scale: 2^-127 .. 2^127 and NaN, no sign, no zero",
    .has_patterns = true,
    .parse = e8m0_parse, .print = e8m0_print, .rounds = float_rounds, .overflows = float_overflows,
    .encode = e8m0_encode, .decode = e8m0_decode, .largest = e8m0_largest,
};
