#include "formats/decimal.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int fx_decimal_parse(FxDecimal *decimal, const char *text) {
    uint64_t digits = 0;
    int count = 0, places = 0;
    const char *point = NULL;
    if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && isdigit((unsigned char)text[1])))
        return -1;
    for (const char *p = text; *p; p++) {
        if (*p == '.' && !point) {
            point = p;
            if (!isdigit((unsigned char)p[1]))
                return -1;
            continue;
        }
        if (!isdigit((unsigned char)*p) || ++count > 18)
            return -1;
        digits = digits * 10 + (uint64_t)(*p - '0');
        places += point != NULL;
    }
    while (places > 0 && digits % 10 == 0) {
        digits /= 10;
        places--;
    }
    *decimal = (FxDecimal){digits, places};
    return 0;
}

static uint64_t power_of_ten(int n) {
    uint64_t p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

void fx_decimal_print(char *text, size_t size, const FxDecimal *d) {
    uint64_t unit = power_of_ten(d->places);
    if (d->places == 0)
        snprintf(text, size, "%llu", (unsigned long long)d->digits);
    else
        snprintf(text, size, "%llu.%0*llu", (unsigned long long)(d->digits / unit), d->places,
                 (unsigned long long)(d->digits % unit));
}

uint64_t fx_decimal_floor(const FxDecimal *d) {
    return d->digits / power_of_ten(d->places);
}

int64_t fx_decimal_scale(const FxDecimal *d, int shift) {
    assert(shift >= 0 && shift <= 60);
    unsigned __int128 x = (unsigned __int128)d->digits << shift, unit = power_of_ten(d->places);
    unsigned __int128 q = x / unit, rest = x % unit;
    q += rest * 2 > unit || (rest * 2 == unit && (q & 1));
    assert(q < (unsigned __int128)1 << 63);
    return (int64_t)q;
}

int fx_decimal_code(int64_t *code, const FxDecimal *d, int shift) {
    uint64_t x = d->digits;
    for (int i = 0; i < d->places; i++, x /= 5) // 10^places = 5^places * 2^places
        if (x % 5)
            return 0;
    shift -= d->places;
    if (x == 0)
        shift = 0;
    if (shift <= -64 || shift >= 62 || (shift < 0 && x & ((UINT64_C(1) << -shift) - 1)) || (shift >= 0 && x >> (62 - shift)))
        return 0;
    *code = (int64_t)(shift < 0 ? x >> -shift : x << shift);
    return 1;
}

// Just enough of an unsigned big integer to divide two decimal texts: little-endian 32-bit limbs.
enum { LIMBS = 96, MAX_DIGITS = 400, MAX_EXPONENT = 300 };
typedef struct Big {
    uint32_t limb[LIMBS];
} Big;

static void big_multiply_add(Big *b, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    assert(carry == 0);
}

static int big_compare(const Big *a, const Big *b) {
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

static void big_subtract(Big *a, const Big *b) {
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t x = (uint64_t)a->limb[i] - b->limb[i] - borrow;
        a->limb[i] = (uint32_t)x;
        borrow = x >> 63;
    }
}

static bool big_is_zero(const Big *b) {
    for (int i = 0; i < LIMBS; i++)
        if (b->limb[i])
            return false;
    return true;
}

// Reads "digits[.digits]" or, where point is false, "digits"; *places = digits behind the point.
static const char *read_digits(Big *b, int *places, const char *p, bool point) {
    int count = 0;
    bool behind = false;
    *places = 0;
    if (!isdigit((unsigned char)*p))
        return NULL;
    for (; isdigit((unsigned char)*p) || (point && !behind && *p == '.' && isdigit((unsigned char)p[1])); p++) {
        if (*p == '.') {
            behind = true;
            continue;
        }
        if (++count > MAX_DIGITS)
            return NULL;
        big_multiply_add(b, 10, (uint32_t)(*p - '0'));
        *places += behind;
    }
    return p;
}

// round(n / d) to 15 bits and an exponent, ties to even.
static FxScalar divide(Big *n, Big *d) {
    int exponent = 0;
    if (big_is_zero(n))
        return (FxScalar){0, 0};
    for (; big_compare(n, d) >= 0; exponent++) // 2^exponent * [1/2, 1)
        big_multiply_add(d, 2, 0);
    for (;; exponent--) {
        Big twice = *n;
        big_multiply_add(&twice, 2, 0);
        if (big_compare(&twice, d) >= 0)
            break;
        *n = twice;
    }
    int32_t q = 0;
    for (int bit = 0; bit < 15; bit++) {
        big_multiply_add(n, 2, 0);
        q *= 2;
        if (big_compare(n, d) >= 0) {
            big_subtract(n, d);
            q++;
        }
    }
    big_multiply_add(n, 2, 0);
    int half = big_compare(n, d);
    q += half > 0 || (half == 0 && (q & 1));
    exponent -= 15;
    if (q == 1 << 15) {
        q = 1 << 14;
        exponent++;
    }
    return (FxScalar){q, exponent};
}

int fx_scalar_parse(FxScalar *scalar, const char *text, FxError *err) {
    return fx_scalar_parse_times(scalar, text, 1, 1, err);
}

int fx_scalar_parse_times(FxScalar *scalar, const char *text, uint32_t factor, uint32_t divisor, FxError *err) {
    Big n = {{0}}, d = {{1}};
    int places = 0, ignored, power = 0;
    bool negative = text[0] == '-';
    const char *p = read_digits(&n, &places, text + negative, true);
    if (p && *p == '/' && places == 0) {
        memset(&d, 0, sizeof d);
        p = read_digits(&d, &ignored, p + 1, false);
    } else if (p && *p == 'e') {
        bool down = p[1] == '-';
        p += 1 + (down || p[1] == '+');
        if (!isdigit((unsigned char)*p))
            p = NULL;
        for (; p && isdigit((unsigned char)*p); p++)
            power = power > MAX_EXPONENT ? power : power * 10 + (*p - '0');
        power = down ? -power : power;
    }
    if (!p || *p || big_is_zero(&d) || power > MAX_EXPONENT || power < -MAX_EXPONENT)
        return fx_fail(err, FX_EXIT_USAGE, "\"%s\" is no number; write 0.1, 1e-4 or 1/8", text);
    for (int i = power - places; i > 0; i--)
        big_multiply_add(&n, 10, 0);
    for (int i = power - places; i < 0; i++)
        big_multiply_add(&d, 10, 0);
    big_multiply_add(&n, factor, 0);
    big_multiply_add(&d, divisor, 0);
    *scalar = divide(&n, &d);
    if (negative)
        scalar->mantissa = -scalar->mantissa;
    return 0;
}
