// What a rounding did to a tensor: the columns mean, l2, sqnr_db, cosine, bias_ulp and crest of stats.csv.
// Source: run.md 6, formats.md 12.9.
#ifndef FX_QUALITY_F32_H
#define FX_QUALITY_F32_H

#include "formats/quantiser.h"
#include "layers/work.h"

// Sums over the elements of which both x and q are finite. 64-bit fields alone: a checkpoint keeps them as they stand.
typedef struct FxQuality {
    double sum;        // q
    double xx, qq, xq; // x^2, q^2, x * q
    double dd;         // (q - x)^2
    double bias;       // (q - x) / unit of the code at x, over `units` elements
    double max_abs;    // largest |q|, or |x|: of what crest is of
    uint64_t n, units;
    uint64_t of_source; // 1: crest is of x
} FxQuality;

// x, the source of a rounding, and q, what became of it: each of any integer type, value code * 2^exponent, or float32, whose
// exponent is not read. Same counts, |every exponent| <= 400.
typedef struct FxRounded {
    const FxTensor *x, *q;
    const FxUnits *units;     // of integer x's channels; NULL: x->exponent for all
    const int32_t *exponents; // of integer q's channels, on a fixed grid; NULL: q->exponent for all
    size_t channels;          // length of the last axis, where there are units or exponents
    const FxGrid *grid;
    bool has_unit;            // false: the grid's steps have no power of two in common, `bias` and `units` stay
    int exponent;             // of the code's unit on fixed grids, of the scale elsewhere, as FxOutput.exponents; not read beside exponents
    bool crest_of_source;     // crest is that of x, not of q: the same in every call for one sum
} FxRounded;

// Adds a rounding; zeroed before the first call.
// Values are float64; codes, and products with a channel's multiplier, beyond 2^53 are rounded once, to nearest-even. Sums are
// float64, in chunks of 4096 elements ascending from the tensor's start, chunk sums added ascending to what is there: the same
// bits for any number of threads.
// The unit at x is
//     fixed grids:   2^exponent, or that of the channel
//     float grids:   2^(max(floor(log2 |x|), lowest) - M), both relative to 2^exponent; lowest = 1 - bias, normz: -bias; binades go
//                    on beyond the largest value and, flushed, below the least
//     others:        none, `bias` and `units` stay
void fx_quality_add(FxQuality *sum, const FxRounded *rounded, const FxWork *work);

// NaN: not measured. All need an element; beyond that:
double fx_quality_mean(const FxQuality *sum);    // of q
double fx_quality_l2(const FxQuality *sum);      // sqrt(sum q^2)
double fx_quality_sqnr_db(const FxQuality *sum); // 10 log10(sum x^2 / sum (q - x)^2), by fx_log; neither sum 0
double fx_quality_cosine(const FxQuality *sum);  // sum xq / sqrt(sum x^2 * sum q^2); neither all 0
double fx_quality_bias(const FxQuality *sum);    // mean of (q - x) / unit, in units of the last place; a grid with units
double fx_quality_crest(const FxQuality *sum);   // max |q| / root mean square of q; q not all 0. Where of_source, both of x

#endif
