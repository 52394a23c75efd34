// Exact numbers: sources of any type taken apart, results put together, on integers only.
#ifndef FX_NUMBER_H
#define FX_NUMBER_H

#include "formats/fxsim.h"

enum { FX_F32_LARGEST = 0x7F7FFFFF };
enum { FX_NUMBER_HEX = 32 }; // longest text of fx_number_print_hex with its 0

FxNumber fx_number_int(int64_t x, int exponent);
// From the bits of an IEEE binary32 or binary64.
FxNumber fx_number_f32(uint32_t bits);
FxNumber fx_number_f64(uint64_t bits);
// Element i of an array of any type.
FxNumber fx_number_at(const void *data, FxType type, size_t i, int exponent);

// floor(log2 |x|), x finite and not 0.
int fx_number_log2(FxNumber x);
// -1, 0, 1 as |a| is below, equal to, above |b|; both finite.
int fx_number_compare(FxNumber a, FxNumber b);
// x / divisor with the dropped part of the quotient kept as a sticky bit: at least 59 bits in front of it, which
// decides every rounding of up to 24 result bits and 33 random ones as the exact quotient would. divisor finite, above 0.
FxNumber fx_number_divide(FxNumber x, FxNumber divisor);

// Rounded to nearest-even; beyond the largest finite one, infinity.
uint32_t fx_number_to_f32(FxNumber x);
uint64_t fx_number_to_f64(FxNumber x);

// C99 hexadecimal text, exact: "-0x1.8p-3", "0x0p+0", "inf", "-nan".
void fx_number_print_hex(char text[FX_NUMBER_HEX], FxNumber x);

#endif
