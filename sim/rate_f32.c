#include "sim/rate_f32.h"

#include "formats/math_f32.h"
#include "sim/rate.h"
#include "sim/schedule.h"

#include <assert.h>
#include <math.h>
#include <string.h>

FxScalar fx_scalar_of(double x) {
    assert(isfinite(x));
    if (x == 0)
        return (FxScalar){0, 0};
    int e;
    double m = frexp(x, &e) * 0x1p15; // 2^14 <= |m| < 2^15
    m = (m + 0x1.8p52) - 0x1.8p52;
    if (m == 0x1p15 || m == -0x1p15) {
        m /= 2;
        e++;
    }
    return (FxScalar){(int32_t)m, e - 15};
}

double fx_scalar_value(FxScalar scalar) {
    return ldexp(scalar.mantissa, scalar.exponent);
}

// x * 2^exponent
static FxScalar scaled(double x, int exponent) {
    FxScalar scalar = fx_scalar_of(x);
    scalar.exponent += scalar.mantissa ? exponent : 0;
    return scalar;
}

// (1 + cos(pi * a / n)) / 2, 0 < a < n. As a square: 1 + cos would cancel where the cosine nears -1. The three rational values
// (Niven's theorem) are exact, for at no other can the rate be a tie.
static double half_cosine(uint64_t a, uint64_t n) {
    if (n % 2 == 0 && a == n / 2)
        return 0.5;
    if (n % 3 == 0 && (a == n / 3 || a == n / 3 * 2))
        return a == n / 3 ? 0.75 : 0.25;
    double c = fx_cos((double)a / (double)n * 0x1.921fb54442d18p+0);
    return c * c;
}

FxScalar fx_rate_at(const FxRate *rate, uint64_t step) {
    assert(step >= rate->start);
    if (rate->cosine && step >= rate->stop)
        return rate->end;
    const FxScalar from = rate->from, end = rate->end;
    const uint64_t t = step - rate->start, warmup = rate->warmup;
    if (warmup > 0 && t < warmup - 1)
        return scaled((double)from.mantissa * (double)(t + 1) / (double)warmup, from.exponent);
    if (t <= warmup || !rate->cosine)
        return from;
    // both relative to 2^unit, the larger one's exponent; from the lower of the two up, so that nothing cancels
    const int unit = !end.mantissa || (from.mantissa && from.exponent > end.exponent) ? from.exponent : end.exponent;
    const double a = ldexp(from.mantissa, from.exponent - unit), b = ldexp(end.mantissa, end.exponent - unit);
    const uint64_t n = rate->stop - rate->start - warmup, done = t - warmup;
    return scaled(a > b ? b + (a - b) * half_cosine(done, n) : a + (b - a) * half_cosine(n - done, n), unit);
}

static int refuse(const char *text, const char *why, FxError *err) {
    return fx_fail(err, FX_EXIT_USAGE, "\"%.*s\": %s; known: NUMBER [warmup:Ns or warmup:Ne, updates or epochs] [cosine:END]", FX_VALUE - 1, text, why);
}

// "Ns" or "Ne"
static bool read_warmup(uint64_t *updates, const char *p, uint64_t steps_per_epoch) {
    size_t n = strspn(p, "0123456789");
    if (n == 0 || n > 15 || (p[n] != 's' && p[n] != 'e') || p[n + 1])
        return false;
    uint64_t count = 0, factor = p[n] == 's' ? 1 : steps_per_epoch;
    for (size_t i = 0; i < n; i++)
        count = count * 10 + (uint64_t)(p[i] - '0');
    *updates = factor && count > UINT64_MAX / factor ? UINT64_MAX : count * factor;
    return true;
}

static bool read_scalar(FxScalar *scalar, const char *p, uint32_t divisor) {
    FxError ignored;
    return fx_scalar_parse_times(scalar, p, 1, divisor, &ignored) == 0 && scalar->mantissa >= 0;
}

// Moves *p behind its next word; false at the end. A word that is too long stays without its end and is no word then.
static bool next_word(char word[FX_VALUE], const char **p) {
    *p += strspn(*p, " \t");
    size_t n = strcspn(*p, " \t"), kept = n < FX_VALUE ? n : 0;
    memcpy(word, *p, kept);
    word[kept] = 0;
    *p += n;
    return n > 0;
}

int fx_rate_parse(FxRate *rate, const char *text, uint64_t steps_per_epoch, uint32_t divisor, FxError *err) {
    FxRate out = {0};
    char word[FX_VALUE];
    const char *p = text;
    if (!next_word(word, &p) || !read_scalar(&out.from, word, divisor))
        return refuse(text, "a rate begins with a number that is not negative, as 0.1, 1e-4 or 1/8", err);
    for (bool warmup = false; next_word(word, &p);) {
        if (!strncmp(word, "warmup:", 7)) {
            if (warmup)
                return refuse(text, "a second warmup", err);
            warmup = true;
            if (!read_warmup(&out.warmup, word + 7, steps_per_epoch))
                return refuse(text, "warmup wants a whole number of at most 15 digits and s or e, as warmup:500s or warmup:1e", err);
        } else if (!strncmp(word, "cosine:", 7)) {
            if (out.cosine)
                return refuse(text, "a second cosine", err);
            out.cosine = true;
            if (!read_scalar(&out.end, word + 7, divisor))
                return refuse(text, "cosine ends at a number that is not negative, as cosine:0 or cosine:1e-4", err);
        } else {
            return refuse(text, "a word that is neither warmup nor cosine", err);
        }
    }
    *rate = out;
    return 0;
}
