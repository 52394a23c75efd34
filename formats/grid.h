// Grids: which codes exist. value = code * 2^-fraction * scale for the fixed ones.
#ifndef FX_GRID_H
#define FX_GRID_H

#include "formats/decimal.h"
#include "formats/error.h"
#include "formats/round.h"

#include <stdbool.h>

typedef struct FxGridKind FxGridKind;

typedef struct FxGrid {
    const FxGridKind *kind;
    int bits, fraction;   // fixed grids: bits with the sign, bits behind the point; others: 2 and 0
    bool is_signed;
    bool twos_complement; // signed and reaching -2^(bits-1); otherwise symmetric
    FxDecimal threshold;  // ternary: 0 iff |x| <= threshold
} FxGrid;

// One line a kind.
struct FxGridKind {
    const char *prefix; // "fixed", "ufixed", "binary", "ternary"
    const char *syntax;
    // Reads what follows the prefix; false if it is not this kind's.
    bool (*parse)(FxGrid *grid, const char *rest);
    void (*print)(char *text, size_t size, const FxGrid *grid);
    // The code of x * 2^-shift for grids that are no equal steps; NULL: rounded by fx_round and clamped.
    int64_t (*code)(const FxGrid *grid, const FxRounding *rounding, int64_t x, int shift, uint32_t R, const FxRoundArg *arg);
    // Whether the mode of round.h exists on this grid.
    bool (*rounds)(int mode);
};

const FxGridKind *fx_grid_kind(int i); // NULL past the last

// Errors: exit code 2.
int fx_grid_parse(FxGrid *grid, const char *text, FxError *err);
void fx_grid_print(char *text, size_t size, const FxGrid *grid);

// Smallest and largest code.
int64_t fx_grid_low(const FxGrid *grid);
int64_t fx_grid_high(const FxGrid *grid);
bool fx_grid_is_fixed(const FxGrid *grid);

// q brought back into the grid by dropping high bits (two's complement and unsigned fixed grids).
int64_t fx_grid_wrap(const FxGrid *grid, int64_t q);

#endif
