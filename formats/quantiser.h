// A quantiser: grid, scale, rounding, overflow, four independent choices, written GRID[@SCALE][/ROUNDING][/OVERFLOW].
// Here: from integer sums to integer codes, with the fate of every number counted. No floating point.
#ifndef FX_QUANTISER_H
#define FX_QUANTISER_H

#include "formats/grid.h"
#include "formats/kernels.h"
#include "formats/rng.h"
#include "formats/round.h"
#include "formats/scale.h"
#include "formats/tensor.h"

typedef enum FxOverflow { FX_OVERFLOW_SATURATE, FX_OVERFLOW_WRAP } FxOverflow;

typedef struct FxQuantiser {
    FxGrid grid;
    FxScale scale;
    FxRounding rounding;
    FxOverflow overflow;
} FxQuantiser;

extern const char *const fx_quantiser_parts[4]; // "grid", "scale", "rounding", "overflow"

enum { FX_QUANTISER_TEXT = 160 };

// Left out: scale const:0, rounding nearest-even, overflow saturate. Errors: exit code 2.
int fx_quantiser_parse(FxQuantiser *q, const char *text, FxError *err);
// Canonical, all parts written out; parsing it again gives the same quantiser.
void fx_quantiser_print(char text[FX_QUANTISER_TEXT], const FxQuantiser *q);
// Whether the four choices go together.
int fx_quantiser_check(const FxQuantiser *q, FxError *err);

int fx_overflow_parse(FxOverflow *overflow, const char *text, FxError *err);
const char *fx_overflow_name(FxOverflow overflow);

// The type that carries the quantiser's codes.
FxType fx_quantiser_type(const FxQuantiser *q);

// The fate of the numbers of one or many calls. Everything is exact and independent of order.
typedef struct FxStats {
    uint64_t n;
    uint64_t saturated;   // rounded, unclamped code outside the grid, under any overflow policy
    uint64_t underflowed; // non-zero in, code 0 out
    uint64_t zeros_in, zeros_out;
    uint64_t at_limit;    // codes at the grid's end
    uint64_t masked;      // stopped by the clip mask on the way back
    uint64_t max_abs;     // largest magnitude in: max_abs * 2^max_exponent
    int64_t max_exponent;
} FxStats; // 64-bit fields alone: a checkpoint keeps them as they stand

void fx_stats_add(FxStats *sum, const FxStats *part);
// Takes a magnitude into max_abs.
void fx_stats_max(FxStats *stats, uint64_t max_abs, int64_t exponent);

// A quantiser made ready for one tensor: what is chosen once, before its ranges are cast.
typedef struct FxCast {
    const FxQuantiser *q;
    FxRoundArg arg;
    FxRandom random;     // its rng has the site's stream and the step
    uint64_t element0;   // logical index of the tensor's first element
    int64_t multiplier;  // of the source, 1 but for a rate
    int shift;           // code = source * multiplier / 2^shift
    int exponent;        // of the codes: value = code * 2^exponent
    unsigned cpu;
} FxCast;

// y[i] = the code of x[i] for first <= i < first + n. x: any type, |x| * multiplier < 2^62; y: fx_quantiser_type or
// wider. Adds to stats. Ranges may be cast in any order and in parallel.
void fx_cast_range(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats);

// The clip mask of a quantiser: a source passes iff low * 2^shift <= x <= high * 2^shift, before rounding.
void fx_cast_limits(const FxCast *cast, int64_t *low, int64_t *high);

#endif
