#include "tests/slow_float.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const SlowFormat slow_formats[] = { // formats.md 4.2 and 12.1
    {.text = "e5m2", .E = 5, .M = 2, .bias = 15},
    {.text = "e4m3fn", .E = 4, .M = 3, .bias = 7, .special = SLOW_FN},
    {.text = "e4m3", .E = 4, .M = 3, .bias = 7},
    {.text = "e3m4", .E = 3, .M = 4, .bias = 3},
    {.text = "e3m4fn", .E = 3, .M = 4, .bias = 3, .special = SLOW_FN},
    {.text = "e5m2fnuz", .E = 5, .M = 2, .bias = 16, .special = SLOW_FNUZ},
    {.text = "e4m3fnuz", .E = 4, .M = 3, .bias = 8, .special = SLOW_FNUZ},
    {.text = "e4m3b11fnuz", .E = 4, .M = 3, .bias = 11, .special = SLOW_FNUZ},
    {.text = "hfp8_143_nosub", .E = 4, .M = 3, .bias = 11, .special = SLOW_NONE, .lowest = SLOW_FLUSH},
    {.text = "e3m2fn", .E = 3, .M = 2, .bias = 3, .special = SLOW_NONE},
    {.text = "e2m3fn", .E = 2, .M = 3, .bias = 1, .special = SLOW_NONE},
    {.text = "e2m1fn", .E = 2, .M = 1, .bias = 1, .special = SLOW_NONE},
    {.text = "e8m0", .kind = SLOW_E8M0, .E = 8, .bias = 127},
    {.text = "binary8p3se", .E = 5, .M = 2, .bias = 16, .special = SLOW_P3109},
    {.text = "binary8p4se", .E = 4, .M = 3, .bias = 8, .special = SLOW_P3109},
    {.text = "binary8p3sf", .E = 5, .M = 2, .bias = 16, .special = SLOW_FNUZ},
    {.text = "fp16", .E = 5, .M = 10, .bias = 15},
    {.text = "bf16", .E = 8, .M = 7, .bias = 127},
    {.text = "dlfloat16", .E = 6, .M = 9, .bias = 31, .special = SLOW_FN, .lowest = SLOW_NORMZ},
    {.text = "fp16_169_ieee", .E = 6, .M = 9, .bias = 31},
    {.text = "binary8p1se", .E = 7, .M = 0, .bias = 64, .special = SLOW_P3109},
    {.text = "binary8p2se", .E = 6, .M = 1, .bias = 32, .special = SLOW_P3109},
    {.text = "binary8p5se", .E = 3, .M = 4, .bias = 4, .special = SLOW_P3109},
    {.text = "binary8p6se", .E = 2, .M = 5, .bias = 2, .special = SLOW_P3109},
    {.text = "binary8p7se", .E = 1, .M = 6, .bias = 1, .special = SLOW_P3109},
    {.text = "binary6p2se", .E = 4, .M = 1, .bias = 8, .special = SLOW_P3109},
    {.text = "binary6p3sf", .E = 3, .M = 2, .bias = 4, .special = SLOW_FNUZ},
    {.text = "float:e5m2:fnuz:normz", .E = 5, .M = 2, .bias = 16, .special = SLOW_FNUZ, .lowest = SLOW_NORMZ},
    {.text = "float:e5m2:normz:uf-flush", .E = 5, .M = 2, .bias = 15, .lowest = SLOW_NORMZ, .uf_flush = true},
    {.text = "float:e4m3:flush:uf-flush", .E = 4, .M = 3, .bias = 7, .lowest = SLOW_FLUSH, .uf_flush = true},
    {.text = "float:e4m3:bias-3:fn:flush", .E = 4, .M = 3, .bias = -3, .special = SLOW_FN, .lowest = SLOW_FLUSH},
    {.text = "float:e5m0", .E = 5, .M = 0, .bias = 15},
    {.text = "float:e5m0:none:flush", .E = 5, .M = 0, .bias = 15, .special = SLOW_NONE, .lowest = SLOW_FLUSH},
    {.text = "float:e3m0:fnuz", .E = 3, .M = 0, .bias = 4, .special = SLOW_FNUZ},
    {.text = "float:e2m2", .E = 2, .M = 2, .bias = 1},
    {.text = "float:e1m6:none", .E = 1, .M = 6, .bias = 0, .special = SLOW_NONE},
    {.text = "float:e6m9:fn:normz:uf-flush", .E = 6, .M = 9, .bias = 31, .special = SLOW_FN, .lowest = SLOW_NORMZ, .uf_flush = true},
    {.text = "log2:b3:fsr4", .kind = SLOW_LOG2, .E = 3, .fsr = 4},
    {.text = "log2:b5:fsr-3", .kind = SLOW_LOG2, .E = 5, .fsr = -3},
    {.text = "log2:b7:fsr64", .kind = SLOW_LOG2, .E = 7, .fsr = 64},
    {.text = "log2:b1:fsr1", .kind = SLOW_LOG2, .E = 1, .fsr = 1},
    {.text = "logsqrt2:b4:fsr0", .kind = SLOW_LOGSQRT2, .E = 4, .fsr = 0},
    {.text = "logsqrt2:b7:fsr20", .kind = SLOW_LOGSQRT2, .E = 7, .fsr = 20},
    {.text = "inq:b2", .kind = SLOW_INQ, .E = 2},
    {.text = "inq:b5", .kind = SLOW_INQ, .E = 5},
    {.text = "inq:b8", .kind = SLOW_INQ, .E = 8},
    {.text = "tf32", .E = 8, .M = 10, .bias = 127},
    {.text = NULL},
};

const SlowFormat *slow_format(const char *text) {
    for (int i = 0; slow_formats[i].text; i++)
        if (!strcmp(slow_formats[i].text, text))
            return &slow_formats[i];
    fail_msg("the slow twin has no format %s", text);
    return NULL;
}

float slow_f32(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint32_t slow_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static int64_t power(int n) {
    return (int64_t)slow_power(n);
}

// formats.md 4.1.
static double float_value(const SlowFormat *f, int64_t code) {
    int64_t half = power(f->E + f->M), bare = code % half, field = bare / power(f->M), man = bare % power(f->M);
    double sign = code / half ? -1 : 1, fraction = (double)man / (double)power(f->M);
    if (f->special == SLOW_IEEE && field == power(f->E) - 1)
        return man ? NAN : sign * INFINITY;
    if (f->special == SLOW_FN && bare == half - 1)
        return NAN;
    if ((f->special == SLOW_FNUZ || f->special == SLOW_P3109) && code == half)
        return NAN;
    if (f->special == SLOW_P3109 && bare == half - 1)
        return sign * INFINITY;
    if (field > 0)
        return sign * ldexp(1 + fraction, (int)field - f->bias);
    if (f->lowest == SLOW_SUB)
        return sign * ldexp(fraction, 1 - f->bias);
    if (f->lowest == SLOW_NORMZ && man)
        return sign * ldexp(1 + fraction, -f->bias);
    return sign * 0.0;
}

// formats.md 5 and 12.10: c is the code without sign, 0 stands for zero.
static double other_value(const SlowFormat *f, int64_t code, int anchor) {
    int magnitude_bits = f->kind == SLOW_INQ ? f->E - 1 : f->E;
    int c = (int)(code % power(magnitude_bits)), left = (int)power(f->E) - c;
    double sign = code / power(magnitude_bits) ? -1 : 1;
    if (f->kind == SLOW_E8M0)
        return code == 255 ? NAN : ldexp(1, (int)code - 127);
    if (c == 0)
        return 0;
    if (f->kind == SLOW_LOG2)
        return sign * ldexp(1, f->fsr - left);
    if (f->kind == SLOW_LOGSQRT2) // 2^(k + 1/2) is float32(sqrt 2) * 2^k
        return sign * (left % 2 ? ldexp((double)(float)1.41421356237309504880, f->fsr - (left + 1) / 2) : ldexp(1, f->fsr - left / 2));
    int levels = (int)power(f->E - 1) / 2, n2 = anchor + 1 - levels;
    return c > levels ? NAN : sign * ldexp(1, n2 + c - 1); // codes above n1 are no codes
}

static int by_value(const void *a, const void *b) {
    const SlowPoint *p = a, *q = b;
    return p->value < q->value ? -1 : p->value > q->value ? 1 : p->code < q->code ? -1 : 1;
}

SlowFloat slow_float_new(const SlowFormat *format, int anchor) {
    SlowFloat f = {.format = *format, .inf = -1, .nan = -1};
    f.bits = format->kind == SLOW_FLOAT ? 1 + format->E + format->M : format->kind == SLOW_E8M0 || format->kind == SLOW_INQ ? format->E : format->E + 1;
    int64_t codes = power(f.bits), n = 0;
    f.sign = format->kind == SLOW_E8M0 ? 0 : codes / 2;
    f.values = calloc((size_t)codes, sizeof *f.values);
    f.points = calloc((size_t)codes, sizeof *f.points);
    if (!f.values || !f.points)
        fail_msg("no memory for %s", format->text);
    for (int64_t c = 0; c < codes; c++) {
        f.values[c] = format->kind == SLOW_FLOAT ? float_value(format, c) : other_value(format, c, anchor);
        if (c < (f.sign ? f.sign : codes) && isfinite(f.values[c]))
            f.points[n++] = (SlowPoint){f.values[c], c, f.values[c] > 0 && (format->M == 0 || c % 2 == 1)};
        if (isinf(f.values[c]) && f.values[c] > 0)
            f.inf = c;
    }
    qsort(f.points, (size_t)n, sizeof *f.points, by_value);
    for (int64_t i = 0; i < n; i++) // of equal values the least code is the one that is written
        if (i == 0 || f.points[i].value > f.points[f.count - 1].value)
            f.points[f.count++] = f.points[i];
    double largest = f.points[f.count - 1].value;
    int e;
    frexp(largest, &e); // largest < 2^e
    f.beyond = largest + ldexp(1, e - 1 - format->M);
    if (format->kind == SLOW_INQ)
        f.beyond = 2 * largest;
    if (format->kind == SLOW_E8M0)
        f.nan = 255;
    if (format->kind != SLOW_FLOAT)
        return f;
    f.minus_zero = format->special != SLOW_FNUZ && format->special != SLOW_P3109;
    f.nan_signed = format->special == SLOW_IEEE || format->special == SLOW_FN;
    if (format->special == SLOW_IEEE && format->M > 0) // the quiet bit alone
        f.nan = (power(format->E) - 1) * power(format->M) + power(format->M - 1);
    if (format->special == SLOW_FN)
        f.nan = power(format->E + format->M) - 1;
    if (!f.minus_zero)
        f.nan = power(format->E + format->M);
    return f;
}

void slow_float_free(SlowFloat *f) {
    free(f->values);
    free(f->points);
    *f = (SlowFloat){0};
}

int64_t slow_float_below(const SlowFloat *f, double a) {
    int64_t low = -1, high = f->count; // points[low] <= a < points[high]
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (f->points[middle].value <= a)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// nu * 2^r for nu = t / gap: whole part, and what is left in units of gap. Exact: gap has few bits.
static int64_t scaled(double *rest, double t, double gap, int r) {
    double T = ldexp(t, r), k = floor(T / gap);
    while (k * gap > T)
        k -= 1;
    while ((k + 1) * gap <= T)
        k += 1;
    *rest = T - k * gap;
    return (int64_t)k;
}

static int64_t scaled_to_nearest(double t, double gap, int r) {
    double rest;
    int64_t k = scaled(&rest, t, gap, r);
    return k + (2 * rest > gap || (2 * rest == gap && k % 2 == 1));
}

static bool law_is(const SlowLaw *law, const char *name) {
    return !strcmp(law->name, name);
}

static bool random_up(const SlowLaw *law, double t, double gap, bool negative, int64_t R) {
    int64_t words = power(law->bits), whole, near = scaled_to_nearest(t, gap, law->bits), eps = 0;
    double rest;
    if (law_is(law, "equal"))
        return 2 * R >= words;
    if (law_is(law, "stochastic")) {
        whole = scaled(&rest, t, gap, law->bits);
        if (!strcmp(law->variant, "a"))
            return whole + R >= words;
        if (!strcmp(law->variant, "b"))
            return 2 * whole + (2 * rest >= gap) + 2 * R + 1 >= 2 * words;
        if (!strcmp(law->variant, "c"))
            return near + R >= words;
        return whole > R || (whole == R && rest > 0); // below
    }
    eps = (int64_t)slow_eps(law->eps_digits, law->eps_places, law->bits);
    if (law_is(law, "sr-eps"))
        return near + eps + R >= words;
    if (!law_is(law, "signed-sr-eps"))
        fail_msg("the slow twin knows no rounding %s", law->name);
    int64_t d = negative ? words - near : near; // of the distance from the neighbour toward -infinity
    bool to_plus = d - law->direction * eps + R >= words;
    return negative ? !to_plus : to_plus;
}

uint64_t slow_float_ups(const SlowLaw *law, double t, double gap, bool negative) {
    int64_t words = power(law->bits), near = scaled_to_nearest(t, gap, law->bits), eps = 0, ups = 0;
    double rest;
    int64_t whole = scaled(&rest, t, gap, law->bits);
    if (strstr(law->name, "eps"))
        eps = (int64_t)slow_eps(law->eps_digits, law->eps_places, law->bits);
    if (law_is(law, "equal"))
        ups = words / 2;
    else if (law_is(law, "sr-eps"))
        ups = near + eps;
    else if (law_is(law, "signed-sr-eps")) // P(+infinity) = d - v eps
        ups = negative ? near + law->direction * eps : near - law->direction * eps;
    else if (!strcmp(law->variant, "a"))
        ups = whole;
    else if (!strcmp(law->variant, "b"))
        ups = whole + (2 * rest >= gap);
    else if (!strcmp(law->variant, "c"))
        ups = near;
    else
        ups = whole + (rest > 0);
    return (uint64_t)(ups < 0 ? 0 : ups > words ? words : ups);
}

// Whether lo + t, 0 < t < gap, goes away from zero.
static bool goes_up(const SlowLaw *law, double t, double gap, bool negative, bool odd, uint32_t R) {
    const struct {
        const char *name;
        bool up, up_at_half; // the second counts for nearest modes alone
    } laws[] = {
        {"nearest-even", false, odd}, {"nearest-away", false, true}, {"nearest-zero", false, false}, {"nearest-up", false, !negative},
        {"nearest-down", false, negative}, {"toward-zero", false, false}, {"away", true, false}, {"floor", negative, false},
        {"ceil", !negative, false}, {"odd", !odd, false},
    };
    for (size_t i = 0; i < sizeof laws / sizeof laws[0]; i++)
        if (law_is(law, laws[i].name))
            return i >= 5 ? laws[i].up : 2 * t > gap || (2 * t == gap && laws[i].up_at_half);
    return random_up(law, t, gap, negative, R);
}

// Nearest in the log: 2^e m by m^2 against 2, or in half exponents by m^4 against 2 and 8. Returns the index of the point.
static int64_t log_nearest(const SlowFloat *f, double a) {
    int e, b = f->format.E;
    Wide m = (Wide)ldexp(frexp(a, &e), 24), unit = slow_power(23), square = m * m;
    e -= 1;
    if (f->format.kind == SLOW_LOG2)
        return e + (square > 2 * unit * unit) - f->format.fsr + power(b);
    Wide scale = unit * unit * unit * unit; // m / unit is in [1, 2)
    int h = 2 * e + (square * square > 2 * scale) + (square * square > 8 * scale);
    return h - 2 * f->format.fsr + power(b);
}

static int64_t with_sign(const SlowFloat *f, int64_t code, bool negative) {
    return negative && (f->minus_zero || f->values[code] != 0) ? code + f->sign : code;
}

static int64_t beyond_all(const SlowFloat *f, bool finite, SlowPolicy policy, const SlowLaw *law, bool negative) {
    bool inward = law_is(law, "toward-zero") || law_is(law, "odd") || law_is(law, negative ? "ceil" : "floor");
    bool keeps = policy == SLOW_SATURATE || (finite && (policy == SLOW_PROPAGATE || inward));
    if (!keeps && f->inf >= 0)
        return f->inf + (negative ? f->sign : 0);
    if (!keeps && f->nan >= 0)
        return f->nan + (negative && f->nan_signed ? f->sign : 0);
    return with_sign(f, f->points[f->count - 1].code, negative);
}

int64_t slow_float_code(const SlowFloat *f, const SlowLaw *law, SlowPolicy policy, double x, uint32_t R, bool *outside) {
    bool negative = signbit(x) != 0, nearest = !strncmp(law->name, "nearest", 7);
    double a = fabs(x);
    SlowKind kind = f->format.kind;
    *outside = false;
    if (kind == SLOW_E8M0 && !(x > 0 && isfinite(x)))
        return f->nan;
    if (isnan(x))
        return f->nan >= 0 ? f->nan + (negative && f->nan_signed ? f->sign : 0) : kind == SLOW_FLOAT ? f->points[f->count - 1].code : 0;
    if (isinf(x))
        return beyond_all(f, false, policy, law, negative);
    int64_t i = a < f->beyond ? slow_float_below(f, a) : f->count;
    if (i < 0) // below all of e8m0
        return f->points[0].code;
    if ((kind == SLOW_LOG2 || kind == SLOW_LOGSQRT2) && nearest && a > 0) {
        i = log_nearest(f, a);
        i = i < 0 ? 0 : i;
    } else if (i < f->count && a > f->points[i].value) {
        double lo = f->points[i].value, gap = (i + 1 < f->count ? f->points[i + 1].value : f->beyond) - lo;
        if (i == 0 && f->format.uf_flush) { // binades go on below the least value; what then lies below it is zero
            int e;
            frexp(a, &e);
            double unit = ldexp(1, e - 1 - f->format.M), n = floor(a / unit);
            bool up = a > n * unit && goes_up(law, a - n * unit, unit, negative, fmod(n, 2) == 1, R);
            i = (n + up) * unit >= f->points[1].value;
        } else if (kind == SLOW_INQ) {
            i += 2 * (a - lo) >= gap;
        } else {
            i += goes_up(law, a - lo, gap, negative, f->points[i].odd, R);
        }
    }
    *outside = i >= f->count;
    return *outside ? beyond_all(f, true, policy, law, negative) : with_sign(f, f->points[i].code, negative);
}
