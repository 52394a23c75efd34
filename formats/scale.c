#include "formats/scale.h"

#include "formats/direction.h"

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
    return (FxScaleChoice){shift, in->exponent + shift, false};
}

static FxScaleChoice constant(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    int unit = scale->parameter[0] - grid->fraction;
    return (FxScaleChoice){unit - in->exponent, unit, false};
}

// Codes as without a scale; the declared exponent is alpha lower.
static FxScaleChoice alpha(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return (FxScaleChoice){-grid->fraction - in->exponent, -grid->fraction - in->alpha, false};
}

// The max rules drop only as many bits as the width demands: an integer source is never shifted left.
static FxScaleChoice fit(const FxScaleInput *in, int shift) {
    return kept(in, shift > 0 || in->is_float ? shift : 0);
}

static FxScaleChoice max_floor(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return fit(in, fx_log2_floor(in->max_abs) - fx_number_log2(fx_grid_largest(grid)));
}

// As max, so many exponents lower as the last search said; below the source's own it shifts left.
static FxScaleChoice direction(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return kept(in, max_floor(scale, grid, in).shift - fx_direction_kept(in->state, NULL));
}

static FxScaleChoice max_ceil(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return fit(in, fx_log2_ceil(in->max_abs) - (grid->bits - grid->is_signed));
}

// The smallest shift with max <= the grid's largest * 2^shift.
static int fitting(const FxGrid *grid, uint64_t max_abs) {
    FxNumber largest = fx_grid_largest(grid), max = {max_abs, 0, false, FX_FINITE};
    int shift = fx_log2_floor(max_abs) - fx_number_log2(largest);
    largest.exponent += shift;
    return shift + (fx_number_compare(max, largest) > 0);
}

static FxScaleChoice max_fit(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale;
    return fit(in, fitting(grid, in->max_abs));
}

// OCP MX 1.0: shared = floor(log2 max) - emax of the element; ceil: the smallest without saturation; even: floor of
// the maximum rounded to the element's precision. Below 2^-127 clamped; above 2^127 the scale is NaN.
static FxScaleChoice block(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    int emax = fx_number_log2(fx_grid_largest(grid)), shift = fx_log2_floor(in->max_abs) - emax;
    if (scale->parameter[0] == 1)
        shift = fitting(grid, in->max_abs);
    if (scale->parameter[0] == 2) {
        int precision = fx_grid_is_fixed(grid) ? grid->bits - grid->is_signed : grid->mantissa_bits + 1;
        int drop = fx_log2_floor(in->max_abs) + 1 - precision;
        FxRoundArg none = {0};
        int64_t n = fx_round(&fx_round_modes[FX_ROUND_NEAREST_EVEN], (int64_t)in->max_abs, drop > 0 ? drop : 0, 0, 0, &none);
        shift = fx_log2_floor((uint64_t)n) + (drop > 0 ? drop : 0) - emax;
    }
    FxScaleChoice choice = kept(in, shift);
    int shared = choice.exponent + grid->fraction, up = shared < -127 ? -127 - shared : 0;
    return (FxScaleChoice){shift + up, choice.exponent + up, shared > 127};
}

// Real scales divide beforehand: codes are rounded at unit 1.
static FxScaleChoice real(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    (void)scale, (void)grid;
    return (FxScaleChoice){-in->exponent, 0, false};
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
    return (FxScaleChoice){shift_nearest(scale, grid, in).shift, -grid->fraction, false};
}

static FxScaleChoice unit_ceil(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return (FxScaleChoice){shift_ceil(scale, grid, in).shift, -grid->fraction, false};
}

static FxScaleChoice unit_floor(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    return (FxScaleChoice){shift_floor(scale, grid, in).shift, -grid->fraction, false};
}

enum { CHANNEL = 1 << FX_GROUP_CHANNEL, ALL = CHANNEL | 1 << FX_GROUP_SAMPLE | 1 << FX_GROUP_BLOCK };

static const FxScaleRule rules[] = {
    {.name = "const", .parameters = ":E", .choose = constant, .help = "2^E"},
    {.name = "max", .needs_maximum = true, .groups = ALL, .choose = max_floor, .help = "floor(log2 max|x|) meets the grid's top binade"},
    {.name = "max-ceil", .needs_maximum = true, .only_fixed = true, .groups = ALL, .choose = max_ceil,
     .help = "ceil(log2 max|x|) bits in front of the unit (NITI)"},
    {.name = "max-fit", .needs_maximum = true, .groups = ALL, .choose = max_fit, .help = "the smallest exponent at which max|x| does not saturate"},
    {.name = "max-mean", .needs_maximum = true, .sample_mean = true, .choose = max_floor,
     .help = "as max, of the mean over the samples' maxima"},
    {.name = "shift", .needs_maximum = true, .is_shift = true, .groups = ALL, .choose = shift_nearest,
     .help = "nearest power of two of max|x| in the log"},
    {.name = "shift-ceil", .needs_maximum = true, .is_shift = true, .groups = ALL, .choose = shift_ceil, .help = "next power of two above max|x|"},
    {.name = "shift-floor", .needs_maximum = true, .is_shift = true, .groups = ALL, .choose = shift_floor, .help = "power of two below max|x|"},
    {.name = "shift-unit", .needs_maximum = true, .only_fixed = true, .is_shift = true, .discards = true, .choose = unit_nearest,
     .help = "as shift, then the scale is discarded (WAGE)"},
    {.name = "shift-unit-ceil", .needs_maximum = true, .only_fixed = true, .is_shift = true, .discards = true, .choose = unit_ceil,
     .help = "as shift-ceil, scale discarded"},
    {.name = "shift-unit-floor", .needs_maximum = true, .only_fixed = true, .is_shift = true, .discards = true, .choose = unit_floor,
     .help = "as shift-floor, scale discarded"},
    {.name = "alpha", .only_fixed = true, .choose = alpha, .help = "WAGE's constant by fan-in, a power of two"},
    {.name = "overflow", .parameters = ":R:CALLS:PPM", .groups = CHANNEL, .choose = fx_overflow_choose, .words = FX_OVERFLOW_WORDS,
     .start = fx_overflow_start, .observe = fx_overflow_observe,
     .help = "dynamic fixed point: R integer bits, moved by the rate of overflows (5:100:100)"},
    {.name = "autoflex", .parameters = ":LO:HI", .groups = CHANNEL, .choose = fx_autoflex_choose, .words = FX_AUTOFLEX_WORDS,
     .start = fx_autoflex_start, .observe = fx_autoflex_observe,
     .help = "Flexpoint: predicted from earlier maxima, exponent in LO .. HI (-31:0)"},
    {.name = "direction", .parameters = ":N", .needs_maximum = true, .only_fixed = true, .seeks = true, .choose = direction,
     .words = FX_DIRECTION_WORDS, .start = fx_direction_begin,
     .help = "0 to 4 below max, where the cosine to the source is largest; sought every N calls (100)"},
    {.name = "block", .parameters = "N[:floor|ceil|even]", .needs_maximum = true, .choose = block,
     .help = "OCP MX: an E8M0 scale for N consecutive elements"},
    {.name = "real-max", .needs_maximum = true, .only_fixed = true, .groups = ALL, .real = FX_REAL_MAX, .choose = real,
     .help = "the float32 max|x| / largest code"},
    {.name = "real-mean", .needs_maximum = true, .groups = ALL, .real = FX_REAL_MEAN, .choose = real, .help = "the float32 mean of |x|"},
};

const FxScaleRule *fx_scale_rule(int i) {
    return i < (int)(sizeof rules / sizeof rules[0]) ? &rules[i] : NULL;
}

FxScaleChoice fx_scale_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    if (!scale->rule->needs_maximum || in->max_abs)
        return scale->rule->choose(scale, grid, in);
    if (scale->rule->choose == block)
        return (FxScaleChoice){0, -127 - grid->fraction, false};
    return (FxScaleChoice){0, scale->rule->discards ? -grid->fraction : in->last, false};
}

bool fx_scale_is_mx(const FxScale *scale) {
    return scale->rule->choose == block;
}

bool fx_scale_is_single(const FxScale *scale) {
    return !scale->group && !scale->rule->real && !scale->rule->sample_mean;
}

bool fx_scale_is_constant(const FxScale *scale) {
    return scale->rule->choose == constant;
}

int fx_scale_check(const FxScale *scale, const FxGrid *grid, FxError *err) {
    const FxScaleRule *rule = scale->rule;
    char text[64], grid_text[64];
    fx_grid_print(grid_text, sizeof grid_text, grid);
    fx_scale_print(text, sizeof text, scale);
    bool fixed = fx_grid_is_fixed(grid), is_signed_fixed = fixed && grid->is_signed;
    if (rule->only_fixed && !fixed)
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs a fixed grid, not %s", text, grid_text);
    if (rule->real == FX_REAL_MEAN && !fixed && (strcmp(grid->kind->prefix, "binary") || grid->kind->has_patterns))
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs a fixed grid or binary, not %s", text, grid_text);
    if (rule->real && grid->bits > 24)
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs at most 24 bits, so that a code is a float32; %s has %d", text, grid_text, grid->bits);
    if (grid->kind == &fx_grid_inq && rule->choose != constant)
        return fx_fail(err, FX_EXIT_USAGE, "grid %s takes scale const:E alone, not %s", grid_text, text);
    if (rule->observe && !is_signed_fixed)
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs a signed fixed grid, not %s", text, grid_text);
    if (rule->observe == fx_autoflex_observe && (grid->bits < 5 || grid->bits > 16))
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs 5 to 16 bits; %s has %d", text, grid_text, grid->bits);
    if (rule->seeks && grid->bits > FX_DIRECTION_MOST_BITS)
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs at most %d bits; %s has %d", text, FX_DIRECTION_MOST_BITS, grid_text, grid->bits);
    int nob = grid->bits - 1;
    if (rule->observe == fx_overflow_observe && (scale->parameter[0] < nob - 126 || scale->parameter[0] > nob + 127))
        return fx_fail(err, FX_EXIT_USAGE, "scale %s: R of %s stays in %d .. %d", text, grid_text, nob - 126, nob + 127);
    return 0;
}

// "[-]digits" of at most 7 digits in front of ':' or the end; moves *p behind it.
static bool parameter(int *value, const char **p, bool negative_allowed) {
    bool negative = negative_allowed && **p == '-';
    const char *digits = *p + negative;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 7 || (*digits == '0' && (n > 1 || negative)))
        return false;
    *value = negative ? -atoi(digits) : atoi(digits);
    *p = digits + n;
    return true;
}

// The parameters behind the name, up to a group's point.
static bool parse_parameters(FxScale *out, const char **p) {
    const FxScaleRule *rule = out->rule;
    int *v = out->parameter;
    static const char *const ways[] = {":floor", ":ceil", ":even"};
    if (rule->choose == constant)
        return **p == ':' && (++*p, parameter(&v[0], p, true)) && v[0] >= -9999 && v[0] <= 9999;
    if (fx_scale_is_mx(out)) {
        out->group = FX_GROUP_BLOCK;
        if (!parameter(&out->block, p, false) || out->block < 1)
            return false;
        for (int i = 0; i < 3; i++)
            if (!strcmp(*p, ways[i])) {
                v[0] = i;
                *p += strlen(ways[i]);
            }
        return true;
    }
    if (rule->seeks) {
        v[0] = 100;
        return **p != ':' || (++*p, parameter(&v[0], p, false) && v[0] >= 1);
    }
    if (rule->observe == fx_overflow_observe) {
        memcpy(v, (int[]){5, 100, 100}, sizeof out->parameter);
        if (**p != ':')
            return true;
        return (++*p, parameter(&v[0], p, true)) && *(*p)++ == ':' && parameter(&v[1], p, false) && *(*p)++ == ':' &&
               parameter(&v[2], p, false) && v[1] >= 1 && v[2] <= 1000000;
    }
    if (rule->observe == fx_autoflex_observe) {
        memcpy(v, (int[]){-31, 0, 0}, sizeof out->parameter);
        if (**p != ':')
            return true;
        return (++*p, parameter(&v[0], p, true)) && *(*p)++ == ':' && parameter(&v[1], p, true) && v[0] <= v[1] && v[1] - v[0] <= 31 &&
               v[0] >= -999 && v[1] <= 999;
    }
    return true;
}

// ".channel", ".sample", ".blockN" of a rule that takes it.
static bool parse_group(FxScale *out, const char *p) {
    if (*p++ != '.')
        return false;
    if (!strcmp(p, "channel"))
        out->group = FX_GROUP_CHANNEL;
    else if (!strcmp(p, "sample"))
        out->group = FX_GROUP_SAMPLE;
    else if (!strncmp(p, "block", 5) && (p += 5, parameter(&out->block, &p, false)) && *p == 0 && out->block >= 1)
        out->group = FX_GROUP_BLOCK;
    else
        return false;
    return out->rule->groups >> out->group & 1;
}

int fx_scale_parse(FxScale *scale, const char *text, FxError *err) {
    for (int i = 0; fx_scale_rule(i); i++) {
        size_t length = strlen(rules[i].name);
        FxScale out = {.rule = &rules[i]};
        const char *rest = text + length;
        if (!strncmp(text, rules[i].name, length) && parse_parameters(&out, &rest) && (*rest == 0 || parse_group(&out, rest))) {
            *scale = out;
            return 0;
        }
    }
    char known[700] = "";
    for (int i = 0; fx_scale_rule(i); i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s%s", i ? ", " : "", rules[i].name,
                 rules[i].parameters ? rules[i].parameters : "");
    return fx_fail(err, FX_EXIT_USAGE, "scale \"%s\": known: %s; most take .channel, .sample or .blockN", text, known);
}

void fx_scale_print(char *text, size_t size, const FxScale *scale) {
    const FxScaleRule *rule = scale->rule;
    const int *v = scale->parameter;
    static const char *const ways[] = {"floor", "ceil", "even"};
    if (fx_scale_is_mx(scale)) {
        snprintf(text, size, "block%d:%s", scale->block, ways[v[0]]);
        return;
    }
    char parameters[40] = "", group[20] = "";
    if (rule->choose == constant || rule->seeks)
        snprintf(parameters, sizeof parameters, ":%d", v[0]);
    if (rule->observe == fx_overflow_observe)
        snprintf(parameters, sizeof parameters, ":%d:%d:%d", v[0], v[1], v[2]);
    if (rule->observe == fx_autoflex_observe)
        snprintf(parameters, sizeof parameters, ":%d:%d", v[0], v[1]);
    if (scale->group == FX_GROUP_BLOCK)
        snprintf(group, sizeof group, ".block%d", scale->block);
    else if (scale->group)
        snprintf(group, sizeof group, "%s", scale->group == FX_GROUP_CHANNEL ? ".channel" : ".sample");
    snprintf(text, size, "%s%s%s", rule->name, parameters, group);
}

enum { MEAN_BITS = 40 };

void fx_sample_mean_add(FxSampleMean *mean, uint64_t max_abs, int exponent) {
    int up = mean->is_float ? exponent - mean->top + MEAN_BITS : 0;
    mean->sum += up >= 0 ? (unsigned __int128)max_abs << up : up > -64 ? max_abs >> -up : 0;
}

uint64_t fx_sample_mean_end(const FxSampleMean *mean, size_t samples, int *exponent) {
    unsigned __int128 sum = mean->sum;
    if (!mean->is_float) {
        uint64_t rounded = (uint64_t)((2 * sum + samples) / (2 * samples));
        return rounded || !mean->most ? rounded : 1; // 0 would say that all are zeros
    }
    sum /= samples;
    *exponent = mean->top - MEAN_BITS;
    for (; sum >> 62; sum >>= 1)
        ++*exponent;
    return (uint64_t)sum;
}
