#include "tests/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

Wide slow_power(int n) {
    Wide p = 1;
    if (n < 0 || n > 126)
        fail_msg("the slow twin has no 2^%d", n);
    for (int i = 0; i < n; i++)
        p *= 2;
    return p;
}

Wide slow_floor(Wide a, Wide b) {
    return a % b < 0 ? a / b - 1 : a / b;
}

Wide slow_wrap(Wide q, Wide low, int bits) {
    Wide all = slow_power(bits);
    return q - slow_floor(q - low, all) * all;
}

// a / b to nearest, ties to even; a >= 0, b > 0.
static Wide nearest(Wide a, Wide b) {
    Wide q = a / b, rest = a % b;
    if (rest > b - rest || (rest == b - rest && q % 2 == 1))
        q += 1;
    return q;
}

uint64_t slow_eps(uint64_t digits, int places, int bits) {
    Wide unit = 1;
    for (int i = 0; i < places; i++)
        unit *= 10;
    return (uint64_t)nearest((Wide)digits * slow_power(bits), unit);
}

// The parts of x / 2^s: floor and what it drops, and the same of the magnitude.
typedef struct Parts {
    Wide unit, q, rem, whole, frac;
    bool negative;
} Parts;

static Parts divide(Wide x, int s) {
    Parts p = {.unit = slow_power(s), .negative = x < 0};
    Wide m = x < 0 ? -x : x;
    p.q = slow_floor(x, p.unit);
    p.rem = x - p.q * p.unit;
    p.whole = m / p.unit;
    p.frac = m % p.unit;
    return p;
}

uint64_t slow_ups(const SlowLaw *law, Wide x, int s, bool *on_magnitude) {
    Parts p = divide(x, s);
    Wide words = slow_power(law->bits), up = 0;
    const char *variant = law->variant ? law->variant : "";
    *on_magnitude = !strcmp(variant, "below") || !strcmp(law->name, "sr-eps") || !strcmp(law->name, "equal");
    if (!strcmp(variant, "a"))
        up = p.rem * words / p.unit;
    else if (!strcmp(variant, "b")) // floor(rem 2^r / 2^s + 1/2)
        up = (p.rem * words * 2 + p.unit) / (p.unit * 2);
    else if (!strcmp(variant, "c"))
        up = nearest(p.rem * words, p.unit);
    else if (!strcmp(variant, "below")) // R < frac 2^r / 2^s: as many as its ceiling
        up = (p.frac * words + p.unit - 1) / p.unit;
    else if (!strcmp(law->name, "equal"))
        up = p.frac ? words / 2 : 0;
    else if (!strcmp(law->name, "sr-eps"))
        up = p.frac ? nearest(p.frac * words, p.unit) + (Wide)slow_eps(law->eps_digits, law->eps_places, law->bits) : 0;
    else if (!strcmp(law->name, "signed-sr-eps"))
        up = p.rem ? nearest(p.rem * words, p.unit) -
                         law->direction * (Wide)slow_eps(law->eps_digits, law->eps_places, law->bits)
                   : 0;
    else
        fail_msg("the slow twin counts no words of %s", law->name);
    return (uint64_t)(up < 0 ? 0 : up > words ? words : up);
}

// What a random word decides: up or not, toward +infinity or, for laws of the magnitude, away from zero.
static bool drawn_up(const SlowLaw *law, const Parts *p, Wide R) {
    Wide words = slow_power(law->bits), e = 0;
    if (!strcmp(law->name, "equal"))
        return p->frac && R * 2 >= words;
    if (!strcmp(law->name, "stochastic")) {
        if (!strcmp(law->variant, "a"))
            return p->rem * words / p->unit + R >= words;
        if (!strcmp(law->variant, "b"))
            return p->rem * words * 2 / p->unit + 2 * R + 1 >= 2 * words;
        if (!strcmp(law->variant, "c"))
            return nearest(p->rem * words, p->unit) + R >= words;
        return p->frac * words > R * p->unit;
    }
    e = (Wide)slow_eps(law->eps_digits, law->eps_places, law->bits);
    if (!strcmp(law->name, "sr-eps"))
        return p->frac && nearest(p->frac * words, p->unit) + e + R >= words;
    return p->rem && nearest(p->rem * words, p->unit) - law->direction * e + R >= words;
}

static bool pseudo_up(const Parts *p, int s) {
    Wide half = slow_power(s / 2), high = p->frac / half, low = p->frac % half;
    return high > (s % 2 ? 2 * low : low);
}

Wide slow_round(const SlowLaw *law, Wide x, int s, uint32_t R) {
    const char *name = law->name;
    Parts p = divide(x, s);
    bool inexact = p.rem != 0, below_half = p.rem < p.unit - p.rem, tie = p.rem == p.unit - p.rem;
    Wide toward = p.negative ? -p.whole : p.whole, away = inexact ? (p.negative ? toward - 1 : toward + 1) : toward;
    Wide even = p.q % 2 == 0 ? p.q : p.q + 1, odd = p.q % 2 == 0 ? p.q + 1 : p.q;
    if (!strncmp(name, "nearest", 7)) {
        const struct {
            const char *name;
            Wide at_half;
        } ties[] = {{"nearest-even", even}, {"nearest-away", away}, {"nearest-zero", toward},
                    {"nearest-up", p.q + 1}, {"nearest-down", p.q}};
        for (int i = 0; i < 5; i++)
            if (!strcmp(name, ties[i].name))
                return tie ? ties[i].at_half : below_half ? p.q : p.q + 1;
    }
    if (!strcmp(name, "toward-zero"))
        return toward;
    if (!strcmp(name, "away"))
        return away;
    if (!strcmp(name, "floor"))
        return p.q;
    if (!strcmp(name, "ceil"))
        return inexact ? p.q + 1 : p.q;
    if (!strcmp(name, "odd"))
        return inexact ? odd : p.q;
    if (!strcmp(name, "add-constant"))
        return slow_floor(x + law->constant * p.unit / 256, p.unit);
    if (!strcmp(name, "pseudo"))
        return pseudo_up(&p, s) ? away : toward;
    if (strcmp(name, "equal") && strcmp(name, "sr-eps") && strcmp(name, "signed-sr-eps") && strcmp(name, "stochastic"))
        fail_msg("the slow twin knows no rounding %s", name);
    bool up = drawn_up(law, &p, R);
    if (!strcmp(name, "equal") || !strcmp(name, "sr-eps") || (law->variant && !strcmp(law->variant, "below")))
        return up ? away : toward;
    return up ? p.q + 1 : p.q;
}

static bool within_threshold(const SlowGrid *grid, Wide m, int shift) {
    Wide digits = (Wide)grid->threshold_digits;
    for (int i = 0; i < grid->threshold_places; i++)
        m *= 10;
    if (shift < 0)
        return m <= digits / slow_power(-shift < 126 ? -shift : 126);
    return (m + slow_power(shift) - 1) / slow_power(shift) <= digits;
}

int64_t slow_code(const SlowGrid *grid, const SlowLaw *law, Wide v, int shift, uint32_t R, bool *outside) {
    Wide q, m = v < 0 ? -v : v;
    *outside = false;
    if (grid->kind == SLOW_TERNARY)
        return within_threshold(grid, m, shift) ? 0 : v < 0 ? -1 : 1;
    if (shift < 0) { // 2^64 times anything is outside of every grid, and 0 in its low bits
        v *= slow_power(shift < -64 ? 64 : -shift);
        shift = 0;
    }
    if (grid->kind == SLOW_BINARY) {
        Wide unit = slow_power(shift);
        if (strcmp(law->name, "stochastic"))
            return v < 0 ? -1 : 1;
        return v >= unit || (v > -unit && slow_round(law, v + unit, shift + 1, R) == 1) ? 1 : -1;
    }
    q = slow_round(law, v, shift, R);
    *outside = q < grid->low || q > grid->high;
    if (grid->wrap)
        return (int64_t)slow_wrap(q, grid->low, grid->bits);
    return (int64_t)(q < grid->low ? grid->low : q > grid->high ? grid->high : q);
}

int slow_log2_floor(uint64_t m) {
    int k = 0;
    while (slow_power(k + 1) <= (Wide)m)
        k++;
    return k;
}

int slow_log2_ceil(uint64_t m) {
    int k = 0;
    while (slow_power(k) < (Wide)m)
        k++;
    return k;
}

int slow_log2_nearest(uint64_t m) {
    unsigned __int128 square = (unsigned __int128)m * m, bound = 2; // 2^(2k+1)
    int k = 0;
    for (; square > bound && k < 63; k++)
        bound *= 4;
    return square > bound ? 64 : k;
}

int slow_scale(int *exponent, const char *rule, uint64_t grid_high, int bits, int fraction, int lower, uint64_t max) {
    int shift = 0;
    const char *tail = strrchr(rule, '-');
    if (!strcmp(rule, "max"))
        while (slow_log2_floor(grid_high) + shift < slow_log2_floor(max))
            shift++;
    else if (!strcmp(rule, "max-ceil"))
        while (slow_power(bits + shift) < (Wide)max)
            shift++;
    else if (!strcmp(rule, "max-fit"))
        while ((Wide)grid_high * slow_power(shift) < (Wide)max)
            shift++;
    else if (!strncmp(rule, "shift", 5))
        shift = (tail && !strcmp(tail, "-ceil")    ? slow_log2_ceil(max)
                 : tail && !strcmp(tail, "-floor") ? slow_log2_floor(max)
                                                   : slow_log2_nearest(max)) - lower - fraction;
    else
        fail_msg("the slow twin knows no scale %s", rule);
    *exponent = !strncmp(rule, "shift-unit", 10) ? -fraction : shift;
    return shift;
}

uint64_t slow_mix(uint64_t i) {
    i = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    i = (i ^ i / 1073741824) * UINT64_C(0xBF58476D1CE4E5B9);
    i = (i ^ i / 134217728) * UINT64_C(0x94D049BB133111EB);
    return i ^ i / 2147483648;
}

int64_t slow_fill(uint64_t i, int bits) {
    uint64_t word = slow_mix(i), small = word % 8;
    int width = 1 + (int)(word / 8 % (uint64_t)bits);
    Wide limit = slow_power(bits) - 1, unit = slow_power(width - 1), x;
    if (small < 4) // any number below 2^width
        x = (Wide)slow_mix(word) % (unit * 2);
    else if (small < 6) // a multiple of 2^(width - 1), or next to it
        x = (Wide)(slow_mix(word) % 16) * unit + (Wide)(word / 4096 % 3) - 1;
    else if (small == 6)
        x = limit - (Wide)(word / 4096 % 3);
    else
        x = (Wide)(word / 4096 % 4);
    x = x > limit ? limit : x < 0 ? 0 : x;
    return (int64_t)(word / 65536 % 2 ? -x : x);
}
