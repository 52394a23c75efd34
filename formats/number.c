#include "formats/number.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

FxNumber fx_number_int(int64_t x, int exponent) {
    return (FxNumber){x < 0 ? 0 - (uint64_t)x : (uint64_t)x, exponent, x < 0, FX_FINITE};
}

// The fields of an IEEE binary format of `mantissa` fraction bits.
static FxNumber take_apart(uint64_t bits, int mantissa, int exponent_bits) {
    int top = (1 << exponent_bits) - 1, bias = top >> 1;
    int field = (int)(bits >> mantissa) & top;
    uint64_t fraction = bits & ((UINT64_C(1) << mantissa) - 1);
    FxNumber x = {.negative = (bits >> (mantissa + exponent_bits)) & 1};
    if (field == top) {
        x.class_of = fraction ? FX_NAN : FX_INFINITE;
    } else {
        x.magnitude = fraction | (field ? UINT64_C(1) << mantissa : 0);
        x.exponent = (field ? field : 1) - bias - mantissa;
    }
    return x;
}

FxNumber fx_number_f32(uint32_t bits) {
    return take_apart(bits, 23, 8);
}

FxNumber fx_number_f64(uint64_t bits) {
    return take_apart(bits, 52, 11);
}

FxNumber fx_number_at(const void *data, FxType type, size_t i, int exponent) {
    uint32_t word;
    uint64_t wide;
    switch (type) {
    case FX_INT8: return fx_number_int(((const int8_t *)data)[i], exponent);
    case FX_UINT8: return fx_number_int(((const uint8_t *)data)[i], exponent);
    case FX_INT16: return fx_number_int(((const int16_t *)data)[i], exponent);
    case FX_UINT16: return fx_number_int(((const uint16_t *)data)[i], exponent);
    case FX_INT32: return fx_number_int(((const int32_t *)data)[i], exponent);
    case FX_UINT32: return fx_number_int(((const uint32_t *)data)[i], exponent);
    case FX_INT64: break;
    case FX_FLOAT32: memcpy(&word, (const char *)data + 4 * i, 4); return fx_number_f32(word);
    case FX_FLOAT64: memcpy(&wide, (const char *)data + 8 * i, 8); return fx_number_f64(wide);
    }
    return fx_number_int(((const int64_t *)data)[i], exponent);
}

int fx_number_log2(FxNumber x) {
    assert(x.class_of == FX_FINITE && x.magnitude);
    return 63 - __builtin_clzll(x.magnitude) + x.exponent;
}

int fx_number_compare(FxNumber a, FxNumber b) {
    if (!a.magnitude || !b.magnitude)
        return (a.magnitude != 0) - (b.magnitude != 0);
    int top_a = fx_number_log2(a), top_b = fx_number_log2(b);
    if (top_a != top_b)
        return top_a > top_b ? 1 : -1;
    uint64_t m = a.magnitude << __builtin_clzll(a.magnitude), n = b.magnitude << __builtin_clzll(b.magnitude);
    return (m > n) - (m < n);
}

FxNumber fx_number_divide(FxNumber x, FxNumber divisor) {
    assert(divisor.class_of == FX_FINITE && divisor.magnitude && !divisor.negative);
    if (x.class_of != FX_FINITE || !x.magnitude)
        return x;
    int up_x = __builtin_clzll(x.magnitude), up_d = __builtin_clzll(divisor.magnitude);
    // numerator in [2^123, 2^124), denominator in [2^63, 2^64): the quotient has 60 or 61 bits
    unsigned __int128 numerator = (unsigned __int128)(x.magnitude << up_x) << 60;
    uint64_t denominator = divisor.magnitude << up_d;
    uint64_t q = (uint64_t)(numerator / denominator);
    bool sticky = numerator % denominator != 0;
    x.magnitude = q << 1 | sticky;
    x.exponent += -up_x - 60 - divisor.exponent + up_d - 1;
    return x;
}

// Magnitude bits of an IEEE binary format.
static uint64_t put_together(FxNumber x, int mantissa, int exponent_bits) {
    uint64_t infinity = ((UINT64_C(1) << exponent_bits) - 1) << mantissa;
    if (x.class_of != FX_FINITE)
        return infinity | (x.class_of == FX_NAN ? UINT64_C(1) << (mantissa - 1) : 0);
    if (!x.magnitude)
        return 0;
    int bias = (1 << (exponent_bits - 1)) - 1, top = fx_number_log2(x);
    int lowest = top > 1 - bias ? top : 1 - bias;
    int shift = lowest - mantissa - x.exponent; // to units of the last place
    if (top > bias)
        return infinity;
    uint64_t n;
    if (shift <= 0) {
        n = x.magnitude << -shift;
    } else if (shift > 63) {
        n = 0; // below half a unit
    } else {
        uint64_t rest = x.magnitude & ((UINT64_C(1) << shift) - 1), half = UINT64_C(1) << (shift - 1);
        n = x.magnitude >> shift;
        n += rest > half || (rest == half && (n & 1));
    }
    return ((uint64_t)(lowest - (1 - bias)) << mantissa) + n; // a carry runs into the exponent field, up to infinity
}

uint32_t fx_number_to_f32(FxNumber x) {
    return (uint32_t)put_together(x, 23, 8) | (uint32_t)x.negative << 31;
}

uint64_t fx_number_to_f64(FxNumber x) {
    return put_together(x, 52, 11) | (uint64_t)x.negative << 63;
}

void fx_number_print_hex(char text[FX_NUMBER_HEX], FxNumber x) {
    const char *sign = x.negative ? "-" : "";
    if (x.class_of != FX_FINITE || !x.magnitude) {
        snprintf(text, FX_NUMBER_HEX, "%s%s", sign, x.class_of == FX_NAN ? "nan" : x.class_of == FX_INFINITE ? "inf" : "0x0p+0");
        return;
    }
    uint64_t fraction = x.magnitude << __builtin_clzll(x.magnitude) << 1; // behind the leading one
    char digits[20] = "";
    int n = 0;
    for (; fraction; fraction <<= 4)
        digits[n++] = "0123456789abcdef"[fraction >> 60];
    digits[n] = 0;
    snprintf(text, FX_NUMBER_HEX, "%s0x1%s%sp%+d", sign, n ? "." : "", digits, fx_number_log2(x));
}
