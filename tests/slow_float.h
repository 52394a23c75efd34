// The slow twin of small floats, e8m0, logarithmic grids and INQ: every code is decoded from the definition, the values
// are sorted, and a number is placed between two neighbours, all on doubles that hold these numbers exactly. It shares no
// code and no trick with formats/: no bit pattern of a float is read here.
#ifndef FX_TESTS_SLOW_FLOAT_H
#define FX_TESTS_SLOW_FLOAT_H

#include "tests/slow.h"

typedef enum SlowKind { SLOW_FLOAT, SLOW_E8M0, SLOW_LOG2, SLOW_LOGSQRT2, SLOW_INQ } SlowKind;
typedef enum SlowSpecial { SLOW_IEEE, SLOW_FN, SLOW_FNUZ, SLOW_P3109, SLOW_NONE } SlowSpecial;
typedef enum SlowLowest { SLOW_SUB, SLOW_NORMZ, SLOW_FLUSH } SlowLowest;
typedef enum SlowPolicy { SLOW_SATURATE, SLOW_PROPAGATE, SLOW_TO_INF } SlowPolicy;

// A format, written down from its definition and not read from the text.
typedef struct SlowFormat {
    const char *text;
    SlowKind kind;
    int E, M, bias; // log grids, INQ: E is b
    SlowSpecial special;
    SlowLowest lowest;
    bool uf_flush;
    int fsr;
} SlowFormat;

extern const SlowFormat slow_formats[]; // up to 16 bits, then tf32; the named ones first; ends with text NULL

// A value at or above 0 with its code without the sign.
typedef struct SlowPoint {
    double value;
    int64_t code;
    bool odd; // last bit of the significand
} SlowPoint;

typedef struct SlowFloat {
    SlowFormat format;
    int bits;
    double *values;    // of each code; a NaN, an infinity, or finite
    SlowPoint *points; // ascending, one a value; negative ones are their mirror
    int64_t count;
    double beyond;     // the next point above the largest, if the grid went on
    int64_t sign;      // added to a code for a negative value; 0: there are none
    int64_t inf, nan;  // codes without sign, -1 where there is none
    bool nan_signed, minus_zero;
} SlowFloat;

// anchor: n1 of INQ. Freed by slow_float_free. Log grids take numbers of at most 24 bits.
SlowFloat slow_float_new(const SlowFormat *format, int anchor);
void slow_float_free(SlowFloat *f);
const SlowFormat *slow_format(const char *text); // one of slow_formats

// The code of x, and whether x is finite and its rounded, unclamped value is outside. law->bits random bits in R.
int64_t slow_float_code(const SlowFloat *f, const SlowLaw *law, SlowPolicy policy, double x, uint32_t R, bool *outside);

// How many of the 2^r words round x = lo + t, 0 < t < gap, away from zero, by the formulas of the laws.
uint64_t slow_float_ups(const SlowLaw *law, double t, double gap, bool negative);

// The point at or below a >= 0: an index into points, -1 below all of them.
int64_t slow_float_below(const SlowFloat *f, double a);

// Bits to numbers and back.
float slow_f32(uint32_t bits);
uint32_t slow_bits(float x);

#endif
