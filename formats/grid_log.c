// Power-of-two sets: log2 and logsqrt2 (Miyashita et al. 1603.01025) and INQ (Zhou et al. 1702.03044). Codes: a sign bit
// above the magnitude's code, 0 is zero. Nearest modes decide in the log (log2, logsqrt2); no tie can occur there.
#include "formats/grid.h"
#include "formats/quantiser.h"

#include <stdio.h>
#include <string.h>

// floor(2^(63 + i/4)), i = 1, 2, 3
static const uint64_t root4[4] = {0, UINT64_C(0x9837F0518DB8A96F), UINT64_C(0xB504F333F9DE6484), UINT64_C(0xD744FCCAD69D6AF4)};
enum { SQRT2_F32 = 0xB504F3, SQRT2_SHIFT = 23 }; // float32(sqrt 2) * 2^23

// Whether |x| / 2^floor(log2|x|) is above 2^(i/4).
static bool above_root4(FxNumber x, int i) {
    return x.magnitude << __builtin_clzll(x.magnitude) > root4[i];
}

static FxEncoded signed_pattern(int bits, bool negative, int64_t code, int64_t most) {
    bool saturated = code > most;
    code = saturated ? most : code < 0 ? 0 : code;
    return (FxEncoded){negative && code ? code | INT64_C(1) << bits : code, saturated};
}

static bool only_nearest(const FxRoundMode *mode) {
    return mode->needs & FX_ROUND_NEAREST;
}

static bool log2_rounds(const FxRoundMode *mode) {
    return !(mode->needs & FX_ROUND_INTEGER);
}

// ":bB:fsrF"; the magnitude's code has B bits.
static bool log_parse(FxGrid *g, const char *p) {
    int B;
    if (*p++ != 'b' || !fx_grid_integer(&B, &p, false) || B < 1 || B > 7 || strncmp(p, ":fsr", 4) ||
        (p += 4, !fx_grid_integer(&g->fsr, &p, true)))
        return false;
    g->is_signed = true;
    g->bits = B + 1;
    return *p == 0;
}

static void log_print(char *text, size_t size, const FxGrid *g) {
    snprintf(text, size, "%sb%d:fsr%d", g->kind->prefix, g->bits - 1, g->fsr);
}

// Code c is 2^(FSR - 2^B + c), c = 1 .. 2^B - 1.
static FxEncoded log2_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    const FxGrid *g = &q->grid;
    int B = g->bits - 1, most = (1 << B) - 1, zero = g->fsr - (1 << B);
    if (x.class_of == FX_INFINITE)
        return (FxEncoded){signed_pattern(B, x.negative, most, most).code, false};
    if (x.class_of == FX_NAN || !x.magnitude)
        return (FxEncoded){0, false};
    int top = fx_number_log2(x);
    if (fx_rounding_mode(&q->rounding)->needs & FX_ROUND_NEAREST)
        return signed_pattern(B, x.negative, top + above_root4(x, 2) - zero, most);
    int unit = top <= zero ? zero + 1 : top; // below the least value: between 0 and it
    int64_t n = fx_round_number(q, x, unit, true, arg);
    n = n < 0 ? -n : n;
    return signed_pattern(B, x.negative, n == 0 ? 0 : unit - zero + (n == 2), most);
}

static FxNumber log2_decode(const FxGrid *g, int64_t code, int anchor) {
    (void)anchor;
    int B = g->bits - 1, c = (int)(code & ((1 << B) - 1));
    return (FxNumber){c != 0, c ? g->fsr - (1 << B) + c : 0, c != 0 && code >> B, FX_FINITE};
}

static FxNumber log_largest(const FxGrid *g) {
    return g->kind->decode(g, (INT64_C(1) << (g->bits - 1)) - 1, 0);
}

const FxGridKind fx_grid_log2 = {
    .prefix = "log2:", .syntax = "log2:bB:fsrF",
    .help = "0 and +-2^k, k = F - 2^B + 1 .. F - 1 (B 1..7); nearest modes decide in the log",
    .has_patterns = true,
    .parse = log_parse, .print = log_print, .rounds = log2_rounds, .overflows = fx_grid_saturates,
    .encode = log2_encode, .decode = log2_decode, .largest = log_largest,
};

// Code c is 2^(FSR - (2^B - c) / 2).
static FxEncoded logsqrt2_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    (void)arg;
    const FxGrid *g = &q->grid;
    int B = g->bits - 1, most = (1 << B) - 1;
    if (x.class_of == FX_INFINITE)
        return (FxEncoded){signed_pattern(B, x.negative, most, most).code, false};
    if (x.class_of == FX_NAN || !x.magnitude)
        return (FxEncoded){0, false};
    int half = 2 * fx_number_log2(x) + above_root4(x, 1) + above_root4(x, 3);
    return signed_pattern(B, x.negative, half - (2 * g->fsr - (1 << B)), most);
}

// An odd half exponent is float32(sqrt 2) times a power of two.
static FxNumber logsqrt2_decode(const FxGrid *g, int64_t code, int anchor) {
    (void)anchor;
    int B = g->bits - 1, c = (int)(code & ((1 << B) - 1));
    if (c == 0)
        return (FxNumber){0};
    int half = 2 * g->fsr - (1 << B) + c, odd = half & 1;
    return (FxNumber){odd ? SQRT2_F32 : 1, (half - odd) / 2 - (odd ? SQRT2_SHIFT : 0), code >> B != 0, FX_FINITE};
}

const FxGridKind fx_grid_logsqrt2 = {
    .prefix = "logsqrt2:", .syntax = "logsqrt2:bB:fsrF",
    .help = "0 and +-2^(k/2), k = 2F - 2^B + 1 .. 2F - 1 (B 1..7)",
    .has_patterns = true,
    .parse = log_parse, .print = log_print, .rounds = only_nearest, .overflows = fx_grid_saturates,
    .encode = logsqrt2_encode, .decode = logsqrt2_decode, .largest = log_largest,
};

int fx_inq_anchor(FxNumber s) {
    if (s.class_of != FX_FINITE || !s.magnitude)
        return 0;
    uint64_t m = s.magnitude << __builtin_clzll(s.magnitude);
    return fx_number_log2(s) + (m >= UINT64_C(3) << 62);
}

static bool inq_parse(FxGrid *g, const char *p) {
    if (*p++ != 'b' || !fx_grid_integer(&g->bits, &p, false) || g->bits < 2 || g->bits > 8)
        return false;
    g->is_signed = true;
    return *p == 0;
}

static void inq_print(char *text, size_t size, const FxGrid *g) {
    snprintf(text, size, "inq:b%d", g->bits);
}

// Code c is 2^(n2 - 1 + c), c = 1 .. 2^(b-2), n2 = n1 + 1 - 2^(b-2); a cell runs from 3/4 to 3/2 of its value, the
// lowest one from 1/2.
static FxEncoded inq_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    const FxGrid *g = &q->grid;
    int most = 1 << (g->bits - 2), least = arg->anchor + 1 - most;
    if (x.class_of == FX_INFINITE)
        return (FxEncoded){signed_pattern(g->bits - 1, x.negative, most, most).code, false};
    if (x.class_of == FX_NAN || !x.magnitude)
        return (FxEncoded){0, false};
    int nearest = fx_inq_anchor(x);
    if (fx_number_log2(x) == least - 1)
        nearest = least;
    return signed_pattern(g->bits - 1, x.negative, nearest - least + 1, most);
}

static FxNumber inq_decode(const FxGrid *g, int64_t code, int anchor) {
    int c = (int)(code & ((1 << (g->bits - 1)) - 1)), least = anchor + 1 - (1 << (g->bits - 2));
    return (FxNumber){c != 0, c ? least - 1 + c : 0, c != 0 && code >> (g->bits - 1), FX_FINITE};
}

static FxNumber inq_largest(const FxGrid *g) {
    return inq_decode(g, INT64_C(1) << (g->bits - 2), 0);
}

const FxGridKind fx_grid_inq = {
    .prefix = "inq:", .syntax = "inq:bB",
    .help = "0 and +-2^k from n1 down, n1 from the tensor's maximum (INQ; B 2..8 bits with zero)",
    .has_patterns = true,
    .parse = inq_parse, .print = inq_print, .rounds = only_nearest, .overflows = fx_grid_saturates,
    .encode = inq_encode, .decode = inq_decode, .largest = inq_largest,
};
