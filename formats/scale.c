#include "formats/scale.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fx_log2_floor(uint64_t m) {
    assert(m > 0);
    return 63 - __builtin_clzll(m);
}

int fx_log2_ceil(uint64_t m) {
    return fx_log2_floor(m) + ((m & (m - 1)) != 0);
}

int fx_log2_nearest(uint64_t m) {
    int n = fx_log2_floor(m);
    return n + (m << (63 - n) > UINT64_C(0xB504F333F9DE6484)); // floor(sqrt(2) * 2^63)
}

static FxScaleChoice kept(const FxScaleInput *in, int shift) {
    return (FxScaleChoice){shift, in->exponent + shift};
}

static FxScaleChoice constant(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    int unit = scale->exponent - grid->fraction;
    return (FxScaleChoice){unit - in->exponent, unit};
}

// Codes as without a scale; the declared exponent is alpha lower.
static FxScaleChoice alpha(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return (FxScaleChoice){-grid->fraction - in->exponent, -grid->fraction - in->alpha};
}

// The three max rules drop only as many bits as the width demands: an integer source is never shifted left.
static FxScaleChoice fit(const FxScaleInput *in, int shift) {
    return kept(in, shift > 0 ? shift : 0);
}

static FxScaleChoice max_floor(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return fit(in, fx_log2_floor(in->max_abs) - fx_log2_floor((uint64_t)fx_grid_high(grid)));
}

static FxScaleChoice max_ceil(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return fit(in, fx_log2_ceil(in->max_abs) - (grid->bits - grid->is_signed));
}

static FxScaleChoice max_fit(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    uint64_t high = (uint64_t)fx_grid_high(grid);
    int shift = fx_log2_floor(in->max_abs) - fx_log2_floor(high);
    if (shift >= 0 && (unsigned __int128)high << shift < in->max_abs)
        shift++;
    return fit(in, shift);
}

// The source over the nearest (ceil, floor) power of two of its maximum, on a grid of F fraction bits.
static FxScaleChoice shift_nearest(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return kept(in, fx_log2_nearest(in->max_abs) - in->lower - grid->fraction);
}

static FxScaleChoice shift_ceil(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return kept(in, fx_log2_ceil(in->max_abs) - in->lower - grid->fraction);
}

static FxScaleChoice shift_floor(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return kept(in, fx_log2_floor(in->max_abs) - in->lower - grid->fraction);
}

// The same, then the scale is thrown away: the exponent is declared to be that of the grid.
static FxScaleChoice unit_nearest(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return (FxScaleChoice){shift_nearest(scale, grid, in).shift, -grid->fraction};
}

static FxScaleChoice unit_ceil(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return (FxScaleChoice){shift_ceil(scale, grid, in).shift, -grid->fraction};
}

static FxScaleChoice unit_floor(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return (FxScaleChoice){shift_floor(scale, grid, in).shift, -grid->fraction};
}

static const FxScaleRule rules[] = {
    // name, parameter, needs maximum, only fixed grids, shift, discards the scale
    {"const", true, false, false, false, false, constant, "2^E"},
    {"max", false, true, false, false, false, max_floor, "floor(log2 max|x|) meets the grid's top binade"},
    {"max-ceil", false, true, true, false, false, max_ceil, "ceil(log2 max|x|) bits in front of the unit (NITI)"},
    {"max-fit", false, true, false, false, false, max_fit, "the smallest exponent at which max|x| does not saturate"},
    {"shift", false, true, false, true, false, shift_nearest, "nearest power of two of max|x| in the log"},
    {"shift-ceil", false, true, false, true, false, shift_ceil, "next power of two above max|x|"},
    {"shift-floor", false, true, false, true, false, shift_floor, "power of two below max|x|"},
    {"shift-unit", false, true, true, true, true, unit_nearest, "as shift, then the scale is discarded (WAGE)"},
    {"shift-unit-ceil", false, true, true, true, true, unit_ceil, "as shift-ceil, scale discarded"},
    {"shift-unit-floor", false, true, true, true, true, unit_floor, "as shift-floor, scale discarded"},
    {"alpha", false, false, true, false, false, alpha, "WAGE's constant by fan-in, a power of two"},
};

const FxScaleRule *fx_scale_rule(int i) {
    return i < (int)(sizeof rules / sizeof rules[0]) ? &rules[i] : NULL;
}

FxScaleChoice fx_scale_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    if (!scale->rule->needs_maximum || in->max_abs)
        return scale->rule->choose(scale, grid, in);
    return (FxScaleChoice){0, scale->rule->discards ? -grid->fraction : in->last};
}

int fx_scale_parse(FxScale *scale, const char *text, FxError *err) {
    for (int i = 0; fx_scale_rule(i); i++) {
        const FxScaleRule *rule = &rules[i];
        size_t length = strlen(rule->name);
        if (strncmp(text, rule->name, length))
            continue;
        const char *rest = text + length;
        FxScale out = {.rule = rule};
        if (!rule->has_parameter && *rest == 0) {
            *scale = out;
            return 0;
        }
        const char *digits = rest + 1 + (*rest == ':' && rest[1] == '-');
        size_t n = *rest == ':' ? strspn(digits, "0123456789") : 0;
        bool zeros = n > 0 && *digits == '0' && (n > 1 || rest[1] == '-');
        if (rule->has_parameter && n > 0 && n <= 4 && !digits[n] && !zeros) {
            out.exponent = atoi(rest + 1);
            *scale = out;
            return 0;
        }
    }
    return fx_fail(err, FX_EXIT_USAGE,
                   "scale \"%s\": known: const:E, max, max-ceil, max-fit, shift[-ceil|-floor], "
                   "shift-unit[-ceil|-floor], alpha", text);
}

void fx_scale_print(char *text, size_t size, const FxScale *scale) {
    if (scale->rule->has_parameter)
        snprintf(text, size, "%s:%d", scale->rule->name, scale->exponent);
    else
        snprintf(text, size, "%s", scale->rule->name);
}
