// Scale rules: how the exponent of a group is chosen. On integer sources a scale is a shift.
#ifndef FX_SCALE_H
#define FX_SCALE_H

#include "formats/error.h"
#include "formats/grid.h"

typedef struct FxScaleRule FxScaleRule;

// Which elements share an exponent: all; those of one index of the last axis; one index of the first axis; N
// consecutive ones of a row.
typedef enum FxGroup { FX_GROUP_TENSOR, FX_GROUP_CHANNEL, FX_GROUP_SAMPLE, FX_GROUP_BLOCK } FxGroup;

enum { FX_SCALE_PARAMETERS = 3 };

typedef struct FxScale {
    const FxScaleRule *rule;
    int parameter[FX_SCALE_PARAMETERS]; // const: E; overflow: R, CALLS, PPM; autoflex: LO, HI; direction: N; block: floor 0, ceil 1, even 2
    FxGroup group;
    int block; // elements of a block
} FxScale;

// What a rule may look at. Integer sources: codes of value = code * 2^exponent. Float sources: `exponent` belongs to
// max_abs alone, and the shift of the choice counts from there.
typedef struct FxScaleInput {
    uint64_t max_abs; // largest magnitude; read by rules that need it
    int exponent;
    bool is_float;
    int alpha;        // log2 of WAGE's layer constant
    int lower;        // log2 of WAGE's gamma: shift rules choose an exponent that much lower
    int last;         // the exponent printed last; 0 at first
    const int64_t *state; // of rules that have words; NULL: at their start
} FxScaleInput;

// Output code = source code / 2^shift; value = code * 2^exponent (of the code's unit on fixed grids, of the scale else).
typedef struct FxScaleChoice {
    int shift, exponent;
    bool invalid; // the MX scale is NaN
} FxScaleChoice;

// What a rule is told of the codes that it made.
typedef struct FxScaleSeen {
    uint64_t n;
    uint64_t largest;  // largest magnitude of a code
    uint64_t at_limit; // codes at the positive or negative end of the symmetric range
    uint64_t at_half;  // codes at or above the end of half that range
} FxScaleSeen;

typedef enum FxReal { FX_REAL_NONE, FX_REAL_MAX, FX_REAL_MEAN } FxReal; // scales that are no powers of two

// One line a rule.
struct FxScaleRule {
    const char *name;
    const char *parameters; // as printed in the syntax, "" for none
    bool needs_maximum; // decides from the finished source
    bool only_fixed;
    bool is_shift;      // reads `lower`
    bool discards;      // the declared exponent does not follow the source
    bool sample_mean;   // its maximum is the mean over the samples' maxima
    bool seeks;         // its state comes from searches of the source (formats/direction.h) that the caller makes when one is due
    unsigned groups;    // 1 << FxGroup of the suffixes it takes
    FxReal real;
    FxScaleChoice (*choose)(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);
    // Controllers: words of state, its start, and what they make of a finished call. observe returns true if the same
    // call must be repeated with the exponent that it now chooses.
    int words;
    void (*start)(const FxScale *scale, const FxGrid *grid, int64_t *state);
    bool (*observe)(const FxScale *scale, const FxGrid *grid, int64_t *state, const FxScaleSeen *seen);
    const char *help;
};

const FxScaleRule *fx_scale_rule(int i); // NULL past the last

// The rule's choice. A source that is all zero keeps the last exponent (0 at first) where the rule reads a maximum.
FxScaleChoice fx_scale_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);

// MX: blocks with an E8M0 scale of their own.
bool fx_scale_is_mx(const FxScale *scale);
// One power of two for the whole tensor, from the tensor's maximum or a state; one that is written down.
bool fx_scale_is_single(const FxScale *scale);
bool fx_scale_is_constant(const FxScale *scale);

// The mean of the samples' maxima, which rules with sample_mean read: integers rounded by divr, at least 1; floats cut 40 bits
// below the last one of the largest. top: exponent that belongs to the largest of all, `most`; zeroed but for these.
typedef struct FxSampleMean {
    bool is_float;
    int top;
    uint64_t most;
    unsigned __int128 sum;
} FxSampleMean;

void fx_sample_mean_add(FxSampleMean *mean, uint64_t max_abs, int exponent);
// *exponent: what the result counts in; of integers as it was.
uint64_t fx_sample_mean_end(const FxSampleMean *mean, size_t samples, int *exponent);

// Whether rule, parameters, group and grid go together. Errors: exit code 2.
int fx_scale_check(const FxScale *scale, const FxGrid *grid, FxError *err);

// Errors: exit code 2.
int fx_scale_parse(FxScale *scale, const char *text, FxError *err);
void fx_scale_print(char *text, size_t size, const FxScale *scale);

// round(log2 m), m > 0: exact, there are no ties (2^(k+1/2) is no integer). Source: WAGE (arXiv 1802.04680), Shift;
// the authors' code rounds a float logarithm instead.
int fx_log2_nearest(uint64_t m);
int fx_log2_floor(uint64_t m);
int fx_log2_ceil(uint64_t m);

// Controllers, controller.c.
// Overflow rates: Courbariaux, Bengio, David 1412.7024; counts are totals of CALLS calls. State: R, calls, codes seen,
// codes at the limit, codes at half the range.
enum { FX_OVERFLOW_WORDS = 5 };
FxScaleChoice fx_overflow_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);
void fx_overflow_start(const FxScale *scale, const FxGrid *grid, int64_t *state);
bool fx_overflow_observe(const FxScale *scale, const FxGrid *grid, int64_t *state, const FxScaleSeen *seen);

// Autoflex: Koster et al. 1711.02213, alpha 2, beta 3, gamma 100, 16 entries, in integers. State: the exponent of
// kappa, whether the start is over, its tries, overflows, entries, and the entries in units of 2^LO, oldest first.
enum { FX_AUTOFLEX_ENTRIES = 16, FX_AUTOFLEX_WORDS = 5 + FX_AUTOFLEX_ENTRIES };
FxScaleChoice fx_autoflex_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);
void fx_autoflex_start(const FxScale *scale, const FxGrid *grid, int64_t *state);
bool fx_autoflex_observe(const FxScale *scale, const FxGrid *grid, int64_t *state, const FxScaleSeen *seen);
// Whether the scale is autoflex and its start is not over.
bool fx_autoflex_is_starting(const FxScale *scale, const int64_t *state);

// Direction: Zhu et al. 1912.12607. The exponent of rule max minus an offset that a search finds at the first call and every N
// calls (fx_direction_offset, given the exponent that the rule chooses without a state). State: the last exponent, for callers that
// keep it there; the offset; calls since the search; whether one was made; its deviation in 2^-15.
enum { FX_DIRECTION_WORDS = 5 };
void fx_direction_begin(const FxScale *scale, const FxGrid *grid, int64_t *state);
// Whether this call must search first; a source of zeros puts it off.
bool fx_direction_is_due(const FxScale *scale, const int64_t *state);
// What a search found.
void fx_direction_keep(int64_t *state, int offset, int32_t deviation);
// A call was made, search or not; one that put its search off does not count.
void fx_direction_count(int64_t *state);
int fx_direction_kept(const int64_t *state, int32_t *deviation); // NULL: 0; deviation may be NULL

#endif
