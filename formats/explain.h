// What there is to say about a grid: where its positive codes lie and what the others stand for.
#ifndef FX_EXPLAIN_H
#define FX_EXPLAIN_H

#include "formats/quantiser.h"

// The codes of the positive finite values, ascending with their value.
typedef struct FxCodes {
    int64_t first, last;
} FxCodes;

FxCodes fx_codes_positive(const FxGrid *grid);

// Lowest and highest code to list: all bit patterns, or the integers of the grid.
FxCodes fx_codes_all(const FxGrid *grid);

typedef enum FxCodeClass { FX_CODE_ZERO, FX_CODE_SUBNORMAL, FX_CODE_NORMAL, FX_CODE_INF, FX_CODE_NAN, FX_CODE_UNUSED } FxCodeClass;

// Unused: a bit pattern that no number is encoded as and that is no NaN either.
FxCodeClass fx_code_class(const FxGrid *grid, int64_t code);
const char *fx_code_class_name(FxCodeClass class_of);

// The value of a code under the scale const:E, and at scale 1 under all other rules.
FxNumber fx_code_value(const FxQuantiser *q, int64_t code);

enum { FX_CODE_TEXT = 24 };

// As in dumps: a signed decimal, or 0x and all digits of a bit pattern.
void fx_code_print(char text[FX_CODE_TEXT], const FxGrid *grid, int64_t code);

#endif
