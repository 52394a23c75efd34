// Decimal texts of recipes, read exactly: nothing passes through a float.
#ifndef FX_DECIMAL_H
#define FX_DECIMAL_H

#include "formats/error.h"

#include <stddef.h>
#include <stdint.h>

// "digits[.digits]", not negative, no sign, no leading zeros but the one before a point; needless zeros at the end
// are dropped. Returns -1 without a message if the text is anything else: the caller knows what it is for.
int fx_decimal_parse(FxDecimal *decimal, const char *text);
void fx_decimal_print(char *text, size_t size, const FxDecimal *decimal);

// value * 2^shift to the nearest integer, ties to even; 0 <= shift <= 60, the result must fit 63 bits.
int64_t fx_decimal_scale(const FxDecimal *decimal, int shift);
// The whole part.
uint64_t fx_decimal_floor(const FxDecimal *decimal);
// 1 if value * 2^shift is an integer below 2^62, which *code receives.
int fx_decimal_code(int64_t *code, const FxDecimal *decimal, int shift);

// A real that an integer run needs (rate, momentum, decay, loss scale): mantissa * 2^exponent with
// 2^14 <= |mantissa| < 2^15, or 0 = (0, 0).
typedef struct FxScalar {
    int32_t mantissa;
    int32_t exponent;
} FxScalar;

// "[-]decimal[e[+|-]n]" or "[-]a/b", rounded once, to nearest, ties to even. Errors: exit code 2.
int fx_scalar_parse(FxScalar *scalar, const char *text, FxError *err);
// The same times factor / divisor, rounded once.
int fx_scalar_parse_times(FxScalar *scalar, const char *text, uint32_t factor, uint32_t divisor, FxError *err);

#endif
