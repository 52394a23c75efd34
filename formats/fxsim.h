// fxsim: numeric formats of low-precision hardware, simulated exactly. The one public header of libfxsim.
//
// A quantiser is four independent choices, written GRID[@SCALE][/ROUNDING][/OVERFLOW], as "e4m3fn",
// "fixed8@max/stochastic:8", "e2m1fn@block32" or "fixed16t@autoflex". A code k of a group stands for
//     value = grid(k) * 2^exponent(group)        (real-max, real-mean: float32(k * scale(group)))
// `fxsim formats` lists all grids, scales, roundings and overflow policies.
//
// Everything is a function of its arguments: there is no global, no clock and no hidden state, so any number of threads
// may call anything at once as long as they write to different memory. The same call gives the same bytes on every
// machine, SIMD level and thread, and however an array is cut into calls (FxDraw.element).
#ifndef FXSIM_H
#define FXSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FX_PUBLIC __attribute__((visibility("default")))
#else
#define FX_PUBLIC
#endif

// ---- errors -------------------------------------------------------------------------------------------------------

// The exit codes of the command line; a library call reports FX_EXIT_USAGE (the text or the arguments are wrong) or
// FX_EXIT_RUNTIME (no memory).
typedef enum FxExit {
    FX_EXIT_DONE = 0,
    FX_EXIT_RUNTIME = 1,    // runtime, input or output
    FX_EXIT_USAGE = 2,      // command line or recipe
    FX_EXIT_FAILED_RUN = 3, // diverged, dead or stalled
    FX_EXIT_DATA = 4,       // data missing or corrupt
    FX_EXIT_CHECKPOINT = 5, // checkpoint does not fit
    FX_EXIT_STOPPED = 75    // stopped early, can be resumed
} FxExit;

// Filled by a call that returns -1 or NULL; its outputs are then untouched.
typedef struct FxError {
    FxExit exit_code;
    char text[1024]; // one line: what was read, where, what would be right
} FxError;

// ---- numbers and arrays -------------------------------------------------------------------------------------------

typedef enum FxType {
    FX_INT8, FX_UINT8, FX_INT16, FX_INT32, FX_INT64, // carriers of fixed grids
    FX_UINT16, FX_UINT32, // bit patterns beyond 8 bits
    FX_FLOAT32, FX_FLOAT64
} FxType;

typedef enum FxNumberClass { FX_FINITE, FX_INFINITE, FX_NAN } FxNumberClass;

// One exact number: (-1)^negative * magnitude * 2^exponent, an infinity or a NaN.
typedef struct FxNumber {
    uint64_t magnitude; // below 2^63; 0 is a signed zero
    int exponent;
    bool negative;
    FxNumberClass class_of;
} FxNumber;

// An input array, row-major [samples][...][channels]. Elements: float32, float64, or integers of value
// x * 2^exponent with |x| < 2^62 and |exponent| <= 2^20. Aligned as its elements ask for.
typedef struct FxArray {
    const void *data;
    FxType type;
    size_t count;
    int exponent;    // integers only; 0 for floats
    size_t samples;  // groups of scale .sample and what max-mean averages over; 0 means 1; divides count
    size_t channels; // length of the last axis: groups of scale .channel, rows that blocks do not cross; 0 means count
    const int8_t *direction; // signs of the amounts that were subtracted, one an element: signed-sr-eps alone reads them
} FxArray;

// ---- quantisers ---------------------------------------------------------------------------------------------------

typedef struct FxQuantiser FxQuantiser;
typedef struct FxExtension FxExtension; // roundings and grids of your own, below

enum { FX_QUANTISER_TEXT = 176 }; // longest canonical text with its 0

// Parses a quantiser's text. own: NULL or tables that must outlive the quantiser. Errors: FX_EXIT_USAGE, the text names
// what is known; NULL is returned. The result is never changed by any call: share it between threads.
FX_PUBLIC FxQuantiser *fx_quantiser_new(const char *text, const FxExtension *own, FxError *err);
FX_PUBLIC void fx_quantiser_free(FxQuantiser *q); // accepts NULL

// Canonical text with all parts written out; parsing it gives the same quantiser.
FX_PUBLIC void fx_quantiser_print(char text[FX_QUANTISER_TEXT], const FxQuantiser *q);

// Writes some lines about a quantiser (range, precision, special codes, how it rounds) as text into out, cut to size.
// Returns the length of the whole text, as snprintf does.
FX_PUBLIC size_t fx_quantiser_explain(char *out, size_t size, const FxQuantiser *q);

// The type of the codes. Codes of fixed grids, binary and ternary are integers, in the first of int8, uint8, int16, int32,
// int64 that holds them all; codes of all other grids are bit patterns in uint8, uint16 or uint32.
FX_PUBLIC FxType fx_quantiser_type(const FxQuantiser *q);
// Bits of a code's pattern.
FX_PUBLIC int fx_quantiser_bits(const FxQuantiser *q);
// Whether codes are bit patterns.
FX_PUBLIC bool fx_quantiser_has_patterns(const FxQuantiser *q);
// Whether the first element of an array can only be rounded once the last has been seen; false for blocks.
FX_PUBLIC bool fx_quantiser_reads_all(const FxQuantiser *q);
// Whether random bits are drawn.
FX_PUBLIC bool fx_quantiser_draws(const FxQuantiser *q);

// Groups of an array, each with its own exponent; none in an empty array. Errors: FX_EXIT_USAGE when samples or channels
// do not divide count.
FX_PUBLIC int fx_quantiser_groups(size_t *groups, const FxQuantiser *q, const FxArray *x, FxError *err);

// The exact value of a code at exponent 0: grid(code). Fixed grids: code * 2^0, the exponent is that of the code's unit.
// anchor: n1 of an INQ set, 0 elsewhere. The code must be one of the grid.
FX_PUBLIC FxNumber fx_quantiser_decode(const FxQuantiser *q, int64_t code, int anchor);

// ---- quantising ---------------------------------------------------------------------------------------------------

// Where the random bits come from: they are a function of (seed, stream, step, index of the element).
// Philox 4x32-10 (Salmon et al., SC 2011) with key seed and counter (block, step, stream); element i has lane i.
typedef struct FxDraw {
    uint64_t seed;
    uint32_t stream, step;
    uint64_t element; // index of the array's first element: cut an array into calls as you like
    int lane_bits;    // 8, 16 or 32 bits an element; 0 means 32. r random bits are the lane's top r
} FxDraw;

// Memory of the scale rules, fx_state_words(q) words a group: the last exponent, a controller's counters. Plain
// integers: copy them to save and restore a state. It starts from fx_state_start.
FX_PUBLIC size_t fx_state_words(const FxQuantiser *q);
FX_PUBLIC void fx_state_start(int64_t *state, const FxQuantiser *q, size_t groups);

// What a call writes. Any pointer may be NULL.
typedef struct FxOutput {
    void *codes;       // count elements of fx_quantiser_type
    float *values;     // count float32: the value, rounded to nearest-even only where a float32 cannot hold it
    double *values64;  // the same as float64
    int32_t *exponents; // one a group: of the code's unit on fixed grids, of the scale elsewhere; INQ: n1; NaN of MX: 128 - F
    float *scales;     // one a group: real-max and real-mean; 0 for an all-zero group and below float32 (codes 0), the
                       // largest float32 beyond it
    uint8_t *mx;       // one a group of an MX scale (blockN): its E8M0 code
} FxOutput;

// The fate of the numbers of one or many calls. Exact, as numbers independent of order. A NaN block's codes count as
// the zeros they are.
typedef struct FxStats {
    uint64_t n;
    uint64_t saturated;   // finite, and the rounded, unclamped value outside the grid, under any overflow policy
    uint64_t underflowed; // non-zero in, zero out
    uint64_t zeros_in, zeros_out;
    uint64_t nonfinite;   // infinities and NaN in
    uint64_t at_limit;    // codes at the grid's end
    uint64_t masked;      // stopped by a clip mask on the way back (training only)
    uint64_t max_abs;     // largest finite magnitude in: max_abs * 2^max_exponent
    int64_t max_exponent;
} FxStats; // 64-bit fields alone: a checkpoint keeps them as they stand

// Quantises an array. state: NULL means a fresh one (which stateful rules then forget). draw: NULL means all 0. stats:
// added to; may be NULL. An empty array does nothing. Returns -1 with FX_EXIT_USAGE if the array does not fit the
// quantiser, FX_EXIT_RUNTIME if there is no memory for the scales of .channel.
// Controllers (overflow, autoflex) move their state once a call; autoflex repeats its first call by itself until it has
// found its exponent (Koster et al. 1711.02213).
FX_PUBLIC int fx_quantise(const FxQuantiser *q, int64_t *state, const FxArray *x, const FxDraw *draw, const FxOutput *y,
                          FxStats *stats, FxError *err);

// Decodes n codes of fx_quantiser_type of one group: exponent as FxOutput.exponents (INQ: n1), scale NULL or its real
// scale. Writes float64, rounded to nearest-even only where a float64 cannot hold the value.
FX_PUBLIC void fx_decode(const FxQuantiser *q, const void *codes, size_t n, int exponent, const float *scale, double *values);

// ---- roundings and grids of your own ------------------------------------------------------------------------------

enum {
    FX_ROUND_RANDOM = 1,    // draws random bits
    FX_ROUND_DIRECTION = 2, // needs the sign of the amount subtracted: only at a store
    FX_ROUND_INTEGER = 4,   // exists only for fixed grids with integer sources
    FX_ROUND_NEAREST = 8,
    FX_ROUND_HOLDS_POSITIVE = 32, // never takes a positive number up, or stays finite by definition (odd):
    FX_ROUND_HOLDS_NEGATIVE = 64, // ... a negative one down; overflow policy `inf` then gives the largest value
    FX_ROUND_MAGNITUDE = 16 // float-like grids hand it the magnitude, fixed grids the signed number (variants A, B, C)
};

// What a rounding reads besides value and shift.
typedef struct FxRoundArg {
    int bits;          // random bits r, 1..32
    uint64_t eps;      // sr-eps: round(e * 2^r), to nearest, ties to even; 2^32 is possible
    int constant;      // add-constant: 0..255, in 1/256 of a step
} FxRoundArg;

// x / 2^s rounded, 0 < s <= 62, |x| < 2^62. R: arg->bits random bits. direction: sign of the amount subtracted.
typedef int64_t FxRoundShift(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg);

// One line a rounding mode.
typedef struct FxRoundMode {
    const char *name; // as recipes write it, without parameters
    const char *law;  // variant of stochastic: "a", "b", "c", "below"; NULL elsewhere
    unsigned needs;
    FxRoundShift *shift; // the specification of the mode
    const char *help;
} FxRoundMode;

// "digits / 10^places", at most 18 digits.
typedef struct FxDecimal {
    uint64_t digits;
    int places;
} FxDecimal;

typedef struct FxGridKind FxGridKind;

typedef enum FxOverflow { FX_OVERFLOW_SATURATE, FX_OVERFLOW_PROPAGATE, FX_OVERFLOW_INF, FX_OVERFLOW_WRAP } FxOverflow;

typedef enum FxSpecial { FX_SPECIAL_IEEE, FX_SPECIAL_FN, FX_SPECIAL_FNUZ, FX_SPECIAL_P3109, FX_SPECIAL_NONE } FxSpecial;
typedef enum FxLowest { FX_LOWEST_SUB, FX_LOWEST_NORMZ, FX_LOWEST_FLUSH } FxLowest;

// A grid with its parameters; a kind reads those it knows.
typedef struct FxGrid {
    const FxGridKind *kind;
    const char *name;     // of a named format; NULL: printed by its parameters
    int bits;             // of a code
    int fraction;         // fixed grids: bits behind the point; 0 elsewhere
    bool is_signed;
    bool twos_complement; // signed and reaching -2^(bits-1); otherwise symmetric
    int exponent_bits, mantissa_bits, bias; // float
    FxSpecial special;    // float: which codes are Inf and NaN, whether -0 exists
    FxLowest lowest;      // float: what the exponent field 0 means
    bool underflow_flush; // float without subnormals: round first, then flush (uf-flush)
    int fsr;              // log2, logsqrt2: full-scale range; own grids: free
    FxDecimal threshold;  // ternary: 0 iff |x| <= threshold
} FxGrid;

// A code and what became of the number.
typedef struct FxEncoded {
    int64_t code;
    bool saturated; // finite, and rounded outside the grid
} FxEncoded;

// Everything that encoding one number reads.
typedef struct FxEncodeArg {
    uint32_t R;            // random bits, rounding.bits of them
    int direction;         // sign of the amount subtracted (signed-sr-eps)
    int anchor;            // n1 of an INQ set
    const FxRoundArg *arg; // the rounding's parameters
} FxEncodeArg;

// One line a grid.
struct FxGridKind {
    const char *prefix; // the text's beginning: "fixed", "float:", "log2:"
    const char *syntax;
    const char *help;
    bool is_fixed;     // equal steps of 2^-fraction, codes are integers
    bool has_patterns; // codes are bit patterns without sign
    // Reads what follows the prefix; false if it is not this kind's.
    bool (*parse)(FxGrid *grid, const char *rest);
    void (*print)(char *text, size_t size, const FxGrid *grid);
    // Whether rounding mode and overflow policy exist here.
    bool (*rounds)(const FxRoundMode *mode);
    bool (*overflows)(const FxGrid *grid, FxOverflow overflow);
    // x (already divided by the scale; on fixed grids by the code's unit) to a code, by the quantiser's rounding and overflow policy.
    FxEncoded (*encode)(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg);
    // The value of a code (fixed grids: in units of the code).
    FxNumber (*decode)(const FxGrid *grid, int64_t code, int anchor);
    // The largest finite value (fixed grids: in units of the code).
    FxNumber (*largest)(const FxGrid *grid);
};

// Lines of your own, parsed after the built-in ones. A rounding is used as NAME (at most 39 characters) without
// parameters, a grid by its prefix.
struct FxExtension {
    const FxRoundMode *modes;
    size_t mode_count;
    const FxGridKind *grids;
    size_t grid_count;
};

// For a grid of your own: its parameters, the overflow policy, and x / 2^unit rounded to an integer by the quantiser's
// rounding. x finite, its magnitude below 2^62; results beyond 2^62 become +-2^62. magnitude: as float-like grids round,
// see FX_ROUND_MAGNITUDE.
FX_PUBLIC const FxGrid *fx_quantiser_grid(const FxQuantiser *q);
FX_PUBLIC FxOverflow fx_quantiser_overflow(const FxQuantiser *q);
FX_PUBLIC int64_t fx_round_number(const FxQuantiser *q, FxNumber x, int unit, bool magnitude, const FxEncodeArg *arg);

#ifdef __cplusplus
}
#endif

#endif
