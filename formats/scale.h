// Scale rules: how the exponent of a group is chosen. On integer sources a scale is a shift.
#ifndef FX_SCALE_H
#define FX_SCALE_H

#include "formats/error.h"
#include "formats/grid.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct FxScaleRule FxScaleRule;

typedef struct FxScale {
    const FxScaleRule *rule;
    int exponent; // const
} FxScale;

// What a rule may look at. Codes of the source: value = code * 2^exponent.
typedef struct FxScaleInput {
    uint64_t max_abs; // largest magnitude of the source's codes; read by rules that need it
    int exponent;
    int alpha;        // log2 of WAGE's layer constant
    int lower;        // log2 of WAGE's gamma: shift rules choose an exponent that much lower
    int last;         // the exponent printed last; 0 at first
} FxScaleInput;

// Output code = source code / 2^shift; value = code * 2^exponent (of the code's unit).
typedef struct FxScaleChoice {
    int shift, exponent;
} FxScaleChoice;

// One line a rule. Rules that decide before a product read no maximum; stateful ones will keep `last` and their
// counters in the parameter memory and be told of each result by an `observe` of this table.
struct FxScaleRule {
    const char *name;
    bool has_parameter;
    bool needs_maximum; // decides from the finished source
    bool only_fixed;
    bool is_shift;      // reads `lower`
    bool discards;      // the declared exponent does not follow the source
    FxScaleChoice (*choose)(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);
    const char *help;
};

const FxScaleRule *fx_scale_rule(int i); // NULL past the last

// The rule's choice. A source that is all zero keeps the last exponent (0 at first) where the rule reads a maximum.
FxScaleChoice fx_scale_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in);

// Errors: exit code 2.
int fx_scale_parse(FxScale *scale, const char *text, FxError *err);
void fx_scale_print(char *text, size_t size, const FxScale *scale);

// round(log2 m), m > 0: exact, there are no ties (2^(k+1/2) is no integer). Source: WAGE (arXiv 1802.04680), Shift;
// the authors' code rounds a float logarithm instead.
int fx_log2_nearest(uint64_t m);
int fx_log2_floor(uint64_t m);
int fx_log2_ceil(uint64_t m);

#endif
