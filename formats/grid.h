// Grids: which codes exist and what they stand for. Fixed grids are equal steps of 2^-fraction; all others encode
// one exact number at a time (fx_encode), which is their specification; formats/kernels_f32.h has fast ones.
#ifndef FX_GRID_H
#define FX_GRID_H

#include "formats/decimal.h"
#include "formats/error.h"
#include "formats/number.h"
#include "formats/round.h"

enum { FX_OVERFLOWS = 4 };

const FxGridKind *fx_grid_kind(int i);   // NULL past the last
const FxGrid *fx_grid_named(int i);      // formats with a name of their own, NULL past the last
const char *fx_grid_alias(int i);        // the i-th alias, NULL past the last

// own: NULL or an extension's grids. Errors: exit code 2.
int fx_grid_parse(FxGrid *grid, const char *text, const FxExtension *own, FxError *err);
void fx_grid_print(char *text, size_t size, const FxGrid *grid);

static inline bool fx_grid_is_fixed(const FxGrid *grid) {
    return grid->kind->is_fixed;
}

// Smallest and largest code of fixed grids, binary and ternary.
int64_t fx_grid_low(const FxGrid *grid);
int64_t fx_grid_high(const FxGrid *grid);

// The largest finite value; of fixed grids in units of the code.
FxNumber fx_grid_largest(const FxGrid *grid);

// q brought back into the grid by dropping high bits (two's complement and unsigned fixed grids).
int64_t fx_grid_wrap(const FxGrid *grid, int64_t q);

// For the kinds' tables: whether the policy is `saturate`.
bool fx_grid_saturates(const FxGrid *grid, FxOverflow overflow);

// For the kinds' tables: "[-]digits" without needless zeros and at most 4 digits; moves *p behind it.
bool fx_grid_integer(int *value, const char **p, bool negative_allowed);

extern const FxGridKind fx_grid_float, fx_grid_p3109, fx_grid_e8m0; // grid_float.c
extern const FxGridKind fx_grid_log2, fx_grid_logsqrt2, fx_grid_inq; // grid_log.c

// Float grids: the largest finite code without sign, and the codes of +Inf and +NaN, -1 where there is none.
int64_t fx_float_max_code(const FxGrid *grid);
int64_t fx_float_inf_code(const FxGrid *grid);
int64_t fx_float_nan_code(const FxGrid *grid);
bool fx_float_has_negative_zero(const FxGrid *grid);

// n1 of an INQ set from the tensor's largest magnitude: floor(log2(4 s / 3)); 0 for s = 0.
int fx_inq_anchor(FxNumber s);

#endif
