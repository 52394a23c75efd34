// A quantiser in words, for people. Everything that the grid's functions can answer is asked of them.
#include "formats/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- codes

// Codes without sign: 0 .. half - 1.
static int64_t half_of(const FxGrid *grid) {
    return INT64_C(1) << (grid->bits - grid->is_signed);
}

// The first code from low on whose value is not finite, beyond the largest or (positive) above 0; high if none is. All
// grids ascend with the code, zeros first, so that halving finds it.
static int64_t first_code(const FxGrid *grid, int64_t low, int64_t high, bool positive) {
    FxNumber largest = fx_grid_largest(grid);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        FxNumber x = grid->kind->decode(grid, middle, 0);
        bool beyond = x.class_of != FX_FINITE || fx_number_compare(x, largest) > 0;
        if (beyond || (positive && x.magnitude))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

FxCodes fx_codes_positive(const FxGrid *grid) {
    int64_t half = half_of(grid);
    return (FxCodes){first_code(grid, 0, half, true), first_code(grid, 0, half, false) - 1};
}

FxCodes fx_codes_all(const FxGrid *grid) {
    if (grid->kind->has_patterns)
        return (FxCodes){0, (INT64_C(1) << grid->bits) - 1};
    return (FxCodes){fx_grid_low(grid), fx_grid_high(grid)};
}

// Exponent field 0 of a float grid with subnormals.
static bool is_subnormal(const FxGrid *grid, int64_t magnitude) {
    return grid->exponent_bits && grid->lowest == FX_LOWEST_SUB && magnitude && magnitude < INT64_C(1) << grid->mantissa_bits;
}

// The one grid of integers that skips 0.
static bool is_binary(const FxGrid *grid) {
    return !grid->kind->has_patterns && strcmp(grid->kind->prefix, "binary") == 0;
}

FxCodeClass fx_code_class(const FxGrid *grid, int64_t code) {
    FxNumber x = grid->kind->decode(grid, code, 0);
    if (x.class_of != FX_FINITE)
        return x.class_of == FX_NAN ? FX_CODE_NAN : FX_CODE_INF;
    if (!grid->kind->has_patterns)
        return code ? FX_CODE_NORMAL : is_binary(grid) ? FX_CODE_UNUSED : FX_CODE_ZERO;
    FxCodes positive = fx_codes_positive(grid);
    int64_t magnitude = code & (half_of(grid) - 1);
    if (magnitude > positive.last || (magnitude && magnitude < positive.first))
        return FX_CODE_UNUSED;
    if (is_subnormal(grid, magnitude))
        return FX_CODE_SUBNORMAL;
    return x.magnitude ? FX_CODE_NORMAL : code && !x.negative ? FX_CODE_UNUSED : FX_CODE_ZERO;
}

const char *fx_code_class_name(FxCodeClass class_of) {
    static const char *const names[] = {"zero", "subnormal", "normal", "inf", "nan", "unused"};
    return names[class_of];
}

FxNumber fx_code_value(const FxQuantiser *q, int64_t code) {
    FxNumber x = q->grid.kind->decode(&q->grid, code, 0);
    bool constant = !q->scale.rule->needs_maximum && !q->scale.rule->observe;
    x.exponent += (constant ? q->scale.parameter[0] : 0) - q->grid.fraction;
    return x;
}

void fx_code_print(char text[FX_CODE_TEXT], const FxGrid *grid, int64_t code) {
    if (grid->kind->has_patterns)
        snprintf(text, FX_CODE_TEXT, "0x%0*" PRIx64, (grid->bits + 3) / 4, (uint64_t)code);
    else
        snprintf(text, FX_CODE_TEXT, "%" PRId64, code);
}

// ---- numbers

enum { NUMBER = 96 }; // FX_NUMBER_HEX and more

// Five decimal digits of a finite number above 0. 64 bits are kept at every step, so that the digits are right but for
// numbers within 10^-15 of halfway between two texts.
static void print_about(char text[NUMBER], FxNumber x) {
    int e = x.exponent - __builtin_clzll(x.magnitude), tens = 4;
    uint64_t m = x.magnitude << __builtin_clzll(x.magnitude); // x = m * 2^e * 10^(tens - 4)
    for (;;) {
        uint64_t whole = e > -44 ? UINT64_MAX : e > -64 ? m >> -e : 0;
        if (whole >= 10000 && whole < 100000)
            break;
        bool down = whole >= 100000;
        unsigned __int128 t = down ? ((unsigned __int128)m << 60) / 10 : (unsigned __int128)m * 10;
        e -= down ? 60 : 0;
        for (; t >> 64; t >>= 1)
            e++;
        m = (uint64_t)t;
        tens += down ? 1 : -1;
    }
    uint64_t digits = ((m >> (-e - 1)) + 1) / 2;
    tens += digits == 100000;
    digits /= digits == 100000 ? 10 : 1;
    if (tens < -3 || tens > 3) {
        snprintf(text, NUMBER, "%" PRIu64 ".%04" PRIu64 "e%+03d", digits / 10000, digits % 10000, tens);
        return;
    }
    uint64_t unit = 1; // 10^(4 - tens)
    for (int i = tens; i < 4; i++)
        unit *= 10;
    snprintf(text, NUMBER, "%" PRIu64 ".%0*" PRIu64, digits / unit, 4 - tens, digits % unit);
}

// The exact decimal digits where these are few.
static bool print_exact(char text[NUMBER], FxNumber x) {
    enum { PLACES = 12 };
    const uint64_t limit = UINT64_C(10000000000);
    uint64_t unit = 1;
    for (; x.magnitude && !(x.magnitude & 1); x.magnitude >>= 1)
        x.exponent++;
    if (!x.magnitude)
        x.exponent = 0;
    if (x.magnitude >= limit || x.exponent < -PLACES || x.exponent > 34)
        return false;
    unsigned __int128 digits = x.exponent > 0 ? (unsigned __int128)x.magnitude << x.exponent : x.magnitude;
    for (int i = 0; i > x.exponent; i--) {
        digits *= 5;
        unit *= 10;
    }
    if (digits >= limit)
        return false;
    uint64_t n = (uint64_t)digits;
    int used = snprintf(text, NUMBER, "%s%" PRIu64, x.negative ? "-" : "", n / unit);
    if (x.exponent < 0)
        snprintf(text + used, NUMBER - (size_t)used, ".%0*" PRIu64, -x.exponent, n % unit);
    return true;
}

// "448", "-448", "~3.3895e+38" where the digits are cut, "NaN".
static const char *short_text(char text[NUMBER], FxNumber x) {
    char about[NUMBER];
    if (x.class_of != FX_FINITE) {
        snprintf(text, NUMBER, "%s", x.class_of == FX_NAN ? "NaN" : x.negative ? "-Inf" : "Inf");
    } else if (!print_exact(text, x)) {
        print_about(about, x);
        snprintf(text, NUMBER, "~%s%.40s", x.negative ? "-" : "", about);
    }
    return text;
}

// ---- lines

typedef struct Text {
    char *out;
    size_t size, length;
} Text;

static void add(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(Text *t, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->length < t->size ? t->out + t->length : NULL, t->length < t->size ? t->size - t->length : 0, format, list);
    va_end(list);
    t->length += n > 0 ? (size_t)n : 0;
}

static void label(Text *t, const char *name) {
    add(t, "  %-18s ", name);
}

// One value with its exact hexadecimal text and its code.
static void add_value(Text *t, const char *name, const FxQuantiser *q, int64_t code) {
    char text[NUMBER], hex[FX_NUMBER_HEX], pattern[FX_CODE_TEXT];
    FxNumber x = fx_code_value(q, code);
    fx_number_print_hex(hex, x);
    fx_code_print(pattern, &q->grid, code);
    label(t, name);
    add(t, "%s = %s, code %s\n", short_text(text, x), hex, pattern);
}

static void add_code(Text *t, const FxGrid *g) {
    label(t, "code");
    if (g->exponent_bits)
        add(t, "%d bits: sign, %d exponent (bias %d), %d mantissa\n", g->bits, g->exponent_bits, g->bias, g->mantissa_bits);
    else if (!g->kind->has_patterns)
        add(t, "%d bits, an integer %" PRId64 " .. %" PRId64 "\n", g->bits, fx_grid_low(g), fx_grid_high(g));
    else
        add(t, "%d bits%s\n", g->bits, g->is_signed ? ", the highest one the sign" : ", no sign");
}

static void add_range(Text *t, const FxQuantiser *q, FxCodes codes) {
    const FxGrid *g = &q->grid;
    char high[NUMBER], low[NUMBER];
    FxNumber top = fx_code_value(q, codes.last), bottom = top;
    bottom.negative = true;
    if (!g->kind->has_patterns)
        bottom = fx_code_value(q, fx_grid_low(g));
    else if (!g->is_signed)
        bottom = fx_code_value(q, codes.first);
    label(t, "range");
    add(t, "%s .. %s\n", short_text(low, bottom), short_text(high, top));
    add_value(t, "largest", q, codes.last);
    add_value(t, "smallest positive", q, codes.first);
    int64_t normal = INT64_C(1) << g->mantissa_bits;
    if (is_subnormal(g, codes.first) && normal <= codes.last) {
        add_value(t, "smallest normal", q, normal);
    } else if (g->exponent_bits) {
        label(t, "smallest normal");
        add(t, is_subnormal(g, codes.first) ? "none: all values are subnormal\n" : "the smallest positive: no subnormals\n");
    }
    label(t, "positive values");
    add(t, "%" PRId64 "\n", codes.last - codes.first + 1);
    if (g->kind == &fx_grid_inq) {
        label(t, "anchor");
        add(t, "values above and below are those of n1 = 0; n1 follows the tensor's maximum\n");
    }
}

static void add_precision(Text *t, const FxQuantiser *q, FxCodes codes) {
    const FxGrid *g = &q->grid;
    FxNumber top = g->kind->decode(g, codes.last, 0), next = g->kind->decode(g, codes.last - 1, 0);
    label(t, "precision");
    if (!g->kind->has_patterns) {
        int bits = g->bits - g->is_signed;
        add(t, "equal steps of 2^%d, %d bit%s at the largest\n", fx_code_value(q, 1).exponent, bits, bits > 1 ? "s" : "");
    } else if (!g->exponent_bits) {
        next.exponent++;
        bool twice = codes.first == codes.last || fx_number_compare(next, top) == 0;
        add(t, twice ? "neighbours differ by a factor of 2\n" : "neighbours differ by a factor of sqrt 2, as float32 has it\n");
    } else if (is_subnormal(g, codes.last)) {
        add(t, "equal steps of 2^%d\n", fx_code_value(q, codes.last).exponent);
    } else {
        int M = g->mantissa_bits;
        if (M == 0)
            add(t, "1 bit, relative gap 1\n");
        else
            add(t, "%d bits, relative gap 1/%" PRId64 " .. 1/%" PRId64 "%s\n", M + 1, (INT64_C(2) << M) - 1, INT64_C(1) << M,
                is_subnormal(g, codes.first) ? "; subnormals in equal steps" : "");
    }
}

static void add_span(Text *t, const FxGrid *g, const char *name, int64_t from, int64_t last) {
    char first[FX_CODE_TEXT], end[FX_CODE_TEXT];
    if (from > last)
        return;
    fx_code_print(first, g, from);
    fx_code_print(end, g, last);
    add(t, "%s %s%s%s; ", name, first, from < last ? " .. " : "", from < last ? end : "");
}

// Below and above the positive codes, and the same behind the sign bit: -0 or NaN; unused zeros; Inf; NaN or unused.
static void add_special(Text *t, const FxGrid *g, FxCodes positive) {
    int64_t half = half_of(g);
    size_t before;
    label(t, "special codes");
    before = t->length;
    for (int sign = 0; g->kind->has_patterns && sign <= g->is_signed; sign++) {
        int64_t base = sign ? half : 0, above = base + positive.last + 1, end = base + half - 1;
        FxCodeClass zero = fx_code_class(g, base);
        if (sign)
            add_span(t, g, zero == FX_CODE_ZERO ? "-0" : zero == FX_CODE_NAN ? "NaN" : "unused", base, base);
        add_span(t, g, "unused", base + 1, base + positive.first - 1);
        if (above <= end && fx_code_class(g, above) == FX_CODE_INF) {
            add_span(t, g, sign ? "-Inf" : "Inf", above, above);
            above++;
        }
        if (above <= end)
            add_span(t, g, fx_code_class(g, above) == FX_CODE_NAN ? "NaN" : "unused", above, end);
    }
    if (t->length > before)
        t->length -= 2; // the last "; "
    add(t, t->length > before ? "\n" : "none\n");
}

// What a number becomes that is x units of the grid.
static void add_fate(Text *t, const FxQuantiser *q, const char *name, FxNumber x, const char *end) {
    char text[NUMBER];
    FxRoundArg parameters = fx_round_arg(&q->rounding, 32);
    FxEncodeArg arg = {.arg = &parameters};
    add(t, "%s -> %s%s", name, short_text(text, fx_code_value(q, fx_encode(q, x, &arg).code)), end);
}

// Halfway above the largest (below the lowest) value: whether it is outside of the grid already.
static bool halfway(const FxQuantiser *q, int64_t code, bool below, char text[NUMBER]) {
    FxEncodeArg arg = {.arg = &(FxRoundArg){0}};
    FxNumber x = q->grid.kind->decode(&q->grid, code, 0), value = fx_code_value(q, code);
    x = (FxNumber){2 * x.magnitude + 1, x.exponent - 1, below, FX_FINITE};
    value = (FxNumber){x.magnitude, value.exponent - 1, below, FX_FINITE};
    if (!print_exact(text, value))
        fx_number_print_hex(text, value);
    return fx_encode(q, x, &arg).saturated;
}

// Of nearest modes on floats and fixed grids.
static void add_threshold(Text *t, const FxQuantiser *q, FxCodes codes) {
    const FxGrid *g = &q->grid;
    char high[NUMBER], low[NUMBER];
    if (!(fx_rounding_mode(&q->rounding)->needs & FX_ROUND_NEAREST) || !(g->exponent_bits || g->kind->is_fixed))
        return;
    bool above = halfway(q, codes.last, false, high);
    bool below = halfway(q, g->kind->has_patterns ? codes.last | half_of(g) : fx_grid_low(g), true, low);
    label(t, "saturates");
    if (above == below && !strcmp(high, low + 1))
        add(t, "|x| %s %s\n", above ? ">=" : ">", high);
    else
        add(t, "x %s %s, x %s %s\n", above ? ">=" : ">", high, below ? "<=" : "<", low);
}

static void add_overflow(Text *t, const FxQuantiser *q, FxCodes codes) {
    label(t, "overflow");
    add(t, "%s: ", fx_overflow_name(q->overflow));
    FxNumber far = {1, fx_number_log2(fx_grid_largest(&q->grid)) + 9, false, FX_FINITE};
    FxNumber inf = {.class_of = FX_INFINITE};
    if (q->overflow == FX_OVERFLOW_WRAP) {
        add(t, "the high bits are dropped, ");
    } else {
        add_fate(t, q, "above", far, ", ");
        far.negative = true;
        add_fate(t, q, "below", far, ", ");
    }
    add_fate(t, q, "Inf", inf, ", ");
    inf.negative = true;
    add_fate(t, q, "-Inf", inf, ", ");
    add_fate(t, q, "NaN", (FxNumber){.class_of = FX_NAN}, "\n");
    add_threshold(t, q, codes);
}

static void add_rules(Text *t, const FxQuantiser *q) {
    char scale[64], rounding[64];
    const FxScaleRule *rule = q->scale.rule;
    fx_rounding_print(rounding, sizeof rounding, &q->rounding);
    fx_scale_print(scale, sizeof scale, &q->scale);
    label(t, "rounding");
    add(t, "%s: %s\n", rounding, fx_rounding_mode(&q->rounding)->help);
    label(t, "scale");
    add(t, "%s: %s\n", scale, rule->help);
    if (rule->needs_maximum || rule->observe) {
        label(t, "");
        add(t, "the values above are those at scale 1\n");
    }
}

// Of a grid of somebody's own nothing is known but what its table line says.
static bool is_built_in(const FxGridKind *kind) {
    for (int i = 0; fx_grid_kind(i); i++)
        if (fx_grid_kind(i) == kind)
            return true;
    return false;
}

size_t fx_quantiser_explain(char *out, size_t size, const FxQuantiser *q) {
    Text t = {out, size, 0};
    char text[FX_QUANTISER_TEXT];
    if (size)
        out[0] = 0;
    fx_quantiser_print(text, q);
    add(&t, "%s\n", text);
    label(&t, "grid");
    q->grid.kind->print(text, sizeof text, &q->grid);
    add(&t, "%s%s%s\n", text, q->grid.exponent_bits ? "" : ": ", q->grid.exponent_bits ? "" : q->grid.kind->help);
    add_code(&t, &q->grid);
    if (is_built_in(q->grid.kind)) {
        FxCodes codes = fx_codes_positive(&q->grid);
        add_range(&t, q, codes);
        add_precision(&t, q, codes);
        add_special(&t, &q->grid, codes);
        add_overflow(&t, q, codes);
    }
    add_rules(&t, q);
    return t.length;
}
