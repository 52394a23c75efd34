// Roundings of x / 2^s to an integer, on integers only. The law belongs to the grid: fixed grids are rounded here.
// Names say what ties and negatives do. Source of the stochastic family: P3109 (variants A, B, C), WAGE (below),
// Xia et al. 2202.12276 (sr-eps), NITI 2009.13108 (pseudo).
#ifndef FX_ROUND_H
#define FX_ROUND_H

#include "formats/decimal.h"
#include "formats/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FX_ROUND_MODES = 19, FX_ROUND_NEAREST_EVEN = 0 };
extern const FxRoundMode fx_round_modes[FX_ROUND_MODES];

// A mode with its parameters.
typedef struct FxRounding {
    int mode;               // index into fx_round_modes; FX_ROUND_MODES: own
    const FxRoundMode *own; // a mode of an extension
    int bits;           // random bits as written; 0: the whole width of the source
    FxDecimal eps;      // sr-eps, signed-sr-eps
    int constant;       // add-constant
} FxRounding;

static inline const FxRoundMode *fx_rounding_mode(const FxRounding *rounding) {
    return rounding->own ? rounding->own : &fx_round_modes[rounding->mode];
}

// Whether the law is plain stochastic: the fraction above the floor cut to r bits by nearest-even (variant C), up by the word.
static inline bool fx_rounding_is_stochastic(const FxRounding *rounding) {
    const char *law = fx_rounding_mode(rounding)->law;
    return !rounding->own && law && law[0] == 'c' && !law[1];
}

// own: NULL or an extension's modes. Syntax: nearest-even|away|zero|up|down, toward-zero, away, floor, ceil, odd, equal, stochastic[:r[:a|b|c|below]],
// sr-eps:e[:r], signed-sr-eps:e[:r], add-constant:c, pseudo. Errors: exit code 2.
int fx_rounding_parse(FxRounding *rounding, const char *text, const FxExtension *own, FxError *err);
void fx_rounding_print(char *text, size_t size, const FxRounding *rounding);

// The parameters as integers, for a source of `width` bits. bits > width is the caller's error to report first.
FxRoundArg fx_round_arg(const FxRounding *rounding, int width);

// The specification for every shift: exact left shift for s <= 0 (the caller has proved that it fits 63 bits), and
// s > 62 by s = 62 of x with its lost bits kept as a sticky bit, which changes no decision while |x| < 2^62 (pseudo reads
// every bit and goes its own way).
int64_t fx_round(const FxRoundMode *mode, int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg);

#endif
