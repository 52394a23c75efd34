#include "formats/round.h"

#include "formats/round_body.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((INT64_C(-3) >> 1) == -2, "shifting a negative number right must be floor");

enum { RANDOM = FX_ROUND_RANDOM, NEAREST = FX_ROUND_NEAREST, INTEGER = FX_ROUND_INTEGER };

const FxRoundMode fx_round_modes[FX_ROUND_MODES] = {
    {"nearest-even", NULL, NEAREST, round_nearest_even, "ties to the even code"},
    {"nearest-away", NULL, NEAREST, round_nearest_away, "ties away from zero"},
    {"nearest-zero", NULL, NEAREST, round_nearest_zero, "ties toward zero"},
    {"nearest-up", NULL, NEAREST, round_nearest_up, "ties toward +infinity"},
    {"nearest-down", NULL, NEAREST, round_nearest_down, "ties toward -infinity"},
    {"toward-zero", NULL, FX_ROUND_HOLDS_POSITIVE | FX_ROUND_HOLDS_NEGATIVE, round_toward_zero, "drops the fraction of the magnitude"},
    {"away", NULL, 0, round_away, "any fraction moves away from zero"},
    {"floor", NULL, FX_ROUND_HOLDS_POSITIVE, round_floor, "toward -infinity"},
    {"ceil", NULL, FX_ROUND_HOLDS_NEGATIVE, round_ceil, "toward +infinity"},
    {"odd", NULL, FX_ROUND_HOLDS_POSITIVE | FX_ROUND_HOLDS_NEGATIVE, round_odd, "inexact results to the odd neighbour"},
    {"equal", NULL, RANDOM, round_equal, "inexact results to either neighbour, 1/2 each"},
    {"stochastic", "a", RANDOM | FX_ROUND_MAGNITUDE, round_stochastic_a, "fraction cut to r bits by floor"},
    {"stochastic", "b", RANDOM | FX_ROUND_MAGNITUDE, round_stochastic_b, "fraction cut to r bits by nearest, half a unit added"},
    {"stochastic", "c", RANDOM | FX_ROUND_MAGNITUDE, round_stochastic_c, "fraction cut to r bits by nearest-even (the default)"},
    {"stochastic", "below", RANDOM, round_stochastic_below, "WAGE: magnitude up iff R < fraction"},
    {"sr-eps", NULL, RANDOM, round_sr_eps, "stochastic, up with probability fraction + e"},
    {"signed-sr-eps", NULL, RANDOM | FX_ROUND_DIRECTION, round_signed_sr_eps,
     "stochastic, biased by e against the amount subtracted"},
    {"add-constant", NULL, INTEGER, round_add_constant, "floor after adding c/256 of a step"},
    {"pseudo", NULL, INTEGER, round_pseudo, "NITI: the dropped bits' low half decides"},
};

static int mode_of(const char *name, const char *law) {
    for (int i = 0; i < FX_ROUND_MODES; i++)
        if (!strcmp(fx_round_modes[i].name, name) &&
            (!fx_round_modes[i].law || !law || !strcmp(fx_round_modes[i].law, law)))
            return i;
    return -1;
}

// A whole number without sign or leading zeros, at most 9 digits; -1 otherwise.
static int number(const char *text) {
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 9 || text[length] || (text[0] == '0' && length > 1))
        return -1;
    return atoi(text);
}

// Splits text at ':' into words; returns how many, or -1 if there are too many or one is empty or too long.
enum { WORDS = 3, WORD = 40 };
static int split(char word[WORDS][WORD], const char *text) {
    int n = 0;
    for (const char *p = text;; p++) {
        size_t length = strcspn(p, ":");
        if (n == WORDS || length == 0 || length >= WORD)
            return -1;
        memcpy(word[n], p, length);
        word[n++][length] = 0;
        p += length;
        if (!*p)
            return n;
    }
}

// Reads the parameters behind the name of mode *m; false if they do not fit it.
static bool parameters(FxRounding *out, char word[WORDS][WORD], int words) {
    const FxRoundMode *mode = &fx_round_modes[out->mode];
    bool eps = mode->shift == round_sr_eps || mode->shift == round_signed_sr_eps;
    if (mode->law) {
        if (words > 2 && (out->mode = mode_of(word[0], word[2])) < 0)
            return false;
        if (words <= 2)
            out->mode = mode_of(word[0], "c");
        if (words >= 2)
            out->bits = number(word[1]);
        return words == 1 || (out->bits >= 1 && out->bits <= 32);
    }
    if (eps) {
        if (words < 2 || fx_decimal_parse(&out->eps, word[1]) || out->eps.digits == 0 || fx_decimal_floor(&out->eps) > 0)
            return false;
        out->bits = words == 3 ? number(word[2]) : 0;
        return words == 2 || (out->bits >= 1 && out->bits <= 32);
    }
    if (mode->shift == round_add_constant) {
        out->constant = words == 2 ? number(word[1]) : -1;
        return out->constant >= 0 && out->constant <= 255;
    }
    return words == 1;
}

int fx_rounding_parse(FxRounding *rounding, const char *text, const FxExtension *own, FxError *err) {
    char word[WORDS][WORD];
    FxRounding out = {0};
    int words = split(word, text);
    out.mode = words < 0 ? -1 : mode_of(word[0], NULL);
    for (size_t i = 0; out.mode < 0 && own && i < own->mode_count; i++)
        if (!strcmp(text, own->modes[i].name) && strlen(text) < WORD) {
            *rounding = (FxRounding){.mode = FX_ROUND_MODES, .own = &own->modes[i]};
            return 0;
        }
    if (out.mode < 0 || !parameters(&out, word, words))
        return fx_fail(err, FX_EXIT_USAGE,
                       "rounding \"%s\": known: nearest-even|away|zero|up|down, toward-zero, away, floor, ceil, odd, "
                       "equal, stochastic[:r[:a|b|c|below]], sr-eps:e[:r], signed-sr-eps:e[:r], add-constant:c, "
                       "pseudo (r 1..32, 0 < e < 1, c 0..255)", text);
    *rounding = out;
    return 0;
}

void fx_rounding_print(char *text, size_t size, const FxRounding *r) {
    const FxRoundMode *mode = fx_rounding_mode(r);
    char eps[32];
    if (mode->law && r->bits)
        snprintf(text, size, "%s:%d:%s", mode->name, r->bits, mode->law);
    else if (mode->shift == round_add_constant)
        snprintf(text, size, "%s:%d", mode->name, r->constant);
    else if (mode->shift == round_sr_eps || mode->shift == round_signed_sr_eps) {
        fx_decimal_print(eps, sizeof eps, &r->eps);
        if (r->bits)
            snprintf(text, size, "%s:%s:%d", mode->name, eps, r->bits);
        else
            snprintf(text, size, "%s:%s", mode->name, eps);
    } else
        snprintf(text, size, "%s", mode->name);
}

FxRoundArg fx_round_arg(const FxRounding *rounding, int width) {
    FxRoundArg arg = {.bits = rounding->bits ? rounding->bits : width, .constant = rounding->constant};
    if (rounding->eps.digits)
        arg.eps = (uint64_t)fx_decimal_scale(&rounding->eps, arg.bits);
    return arg;
}

// round_pseudo for s > 62: it compares the dropped bits with one another, so none may be lost.
static int64_t pseudo_far(int64_t x, int s) {
    uint64_t m = round_magnitude(x);
    int half = s / 2;
    return round_signed(x, half < 62 && m >> half > round_low(m, half) << (s & 1));
}

int64_t fx_round(const FxRoundMode *mode, int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    if (s <= 0)
        return x ? (int64_t)((uint64_t)x << -s) : 0;
    if (s > 62 && mode->shift == round_pseudo)
        return pseudo_far(x, s);
    if (s > 62) {
        int drop = s - 62 < 62 ? s - 62 : 62;
        x = (x >> drop) | (round_low((uint64_t)x, drop) != 0);
        s = 62;
    }
    return mode->shift(x, s, R, direction, arg);
}
