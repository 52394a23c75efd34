// A quantiser: grid, scale, rounding, overflow, four independent choices, written GRID[@SCALE][/ROUNDING][/OVERFLOW].
// Here: from arrays of one group to codes or values, with the fate of every number counted. No floating point: float32
// and float64 are taken apart and put together as bits (formats/number.h).
#ifndef FX_QUANTISER_H
#define FX_QUANTISER_H

#include "formats/grid.h"
#include "formats/kernels.h"
#include "formats/rng.h"
#include "formats/round.h"
#include "formats/scale.h"
#include "formats/tensor.h"

struct FxQuantiser {
    FxGrid grid;
    FxScale scale;
    FxRounding rounding;
    FxOverflow overflow;
};

extern const char *const fx_quantiser_parts[4]; // "grid", "scale", "rounding", "overflow"

// Left out: scale const:0, rounding nearest-even, overflow saturate. Errors: exit code 2.
int fx_quantiser_parse(FxQuantiser *q, const char *text, FxError *err);
// The same with an extension's roundings and grids.
int fx_quantiser_parse_own(FxQuantiser *q, const char *text, const FxExtension *own, FxError *err);
// Whether the four choices go together.
int fx_quantiser_check(const FxQuantiser *q, FxError *err);

int fx_overflow_parse(FxOverflow *overflow, const char *text, FxError *err);
const char *fx_overflow_name(FxOverflow overflow);

// One number to a code, at any scale: the specification of every cast. x is already divided by the scale.
static inline FxEncoded fx_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    return q->grid.kind->encode(q, x, arg);
}

void fx_stats_add(FxStats *sum, const FxStats *part);
// Takes a magnitude into max_abs.
void fx_stats_max(FxStats *stats, uint64_t max_abs, int64_t exponent);

// Units of a source's channels, C of each: value of element i = x[i] * multiplier[i % C] * 2^exponent[i % C]. multiplier
// NULL: 1; exponent NULL: the tensor's. |x * multiplier| < 2^62 is proved by the caller.
// seen: what who made x knows of each channel, exactly; NULL: nothing.
typedef struct FxUnitsSeen {
    uint64_t max_abs, zeros; // largest |x|, number of zeros among x, both before the multiplier
} FxUnitsSeen;
typedef struct FxUnits {
    const int32_t *multiplier, *exponent;
    const FxUnitsSeen *seen;
} FxUnits;

// A quantiser made ready for one group: what is chosen once, before its ranges are cast.
typedef struct FxCast {
    const FxQuantiser *q;
    FxRoundArg arg;
    FxRandom random;     // its rng has the site's stream and the step
    uint64_t element0;   // logical index of the tensor's first element
    int64_t multiplier;  // of the source, 1 but for a rate or a channel's unit; integer sources only
    int shift;           // code = source * multiplier / 2^shift; float sources: code = value / 2^shift
    int exponent;        // of the codes: value = code * 2^exponent
    int anchor;          // n1 of an INQ set
    bool invalid;        // the MX scale is NaN: codes 0, values NaN
    FxNumber real;       // real-max, real-mean: the scale, which divides before the shift; 0: all codes are 0
    const int8_t *direction; // of the tensor's elements: signs of the amounts subtracted; NULL: 0
    uint64_t max_abs;    // of a channel with units: its largest |source|, before the multiplier
    unsigned cpu;
} FxCast;

// y[i] = the code of x[i] for first <= i < first + n, or with y of float32 or float64 its value. x: any type,
// |x * multiplier| < 2^62 for integers; y: fx_quantiser_type or wider. Adds to stats. Ranges may be cast in any order
// and in parallel.
// With channels > 0 element i goes by cast[i % channels]; all of them share q, random, element0 and cpu.
void fx_cast_channels(const FxCast *cast, size_t channels, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats);
void fx_cast_range(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats);

// Channels with units, formats/units.c. Both may run on ranges in parallel.
// Raises casts[c].max_abs to the largest |x[i]| of channel c = i % channels; adds the zeros among x * multiplier to stats.
void fx_units_max(FxCast *casts, size_t channels, const FxTensor *x, size_t first, size_t n, FxStats *stats);
// fx_cast_channels for integer x whose multipliers, shifts and max_abs stand in casts. table: of fx_units_plan, or NULL. Adds
// to stats, but for max_abs, and with a table but for zeros_in and underflowed: these the caller has from fx_units_max.
void fx_units_cast(const FxCast *casts, size_t channels, const FxUnitsTable *table, const FxTensor *x, const FxTensor *y, size_t first, size_t n,
                   FxStats *stats);
// Lays the casts out for the kernels; false where these cannot.
bool fx_units_plan(FxUnitsTable *table, const FxCast *casts, size_t channels, FxType x, FxType y);

// The value of a code of this cast.
FxNumber fx_cast_value(const FxCast *cast, int64_t code);

// The largest finite magnitude of n elements, in units of 2^*exponent; integer sources leave *exponent alone.
uint64_t fx_max_abs(const void *x, FxType type, size_t n, int *exponent, unsigned cpu);
static inline bool fx_type_is_float(FxType type) {
    return type == FX_FLOAT32 || type == FX_FLOAT64;
}

// fx_quantise on a given SIMD level (flags of formats/cpu.h): the bytes are the same on all.
int fx_quantise_on(unsigned cpu, const FxQuantiser *q, int64_t *state, const FxArray *x, const FxDraw *draw, const FxOutput *y,
                   FxStats *stats, FxError *err);

// One group that lies together: n elements from `first` on, its scale chosen without a state. start: a cast with
// everything but the choice.
void fx_quantise_span(const FxCast *start, const FxArray *x, size_t first, size_t n, size_t group, const FxOutput *y, FxStats *stats);

// Groups of one channel: elements i with equal i % channels, of x->count. casts: room for so many. The scales are chosen without
// a state.
void fx_quantise_columns(const FxCast *start, FxCast *casts, const FxArray *x, size_t channels, const FxOutput *y, FxStats *stats);

// The clip mask of a quantiser: a source passes iff low * 2^shift <= x <= high * 2^shift, before rounding.
void fx_cast_limits(const FxCast *cast, int64_t *low, int64_t *high);

#endif
