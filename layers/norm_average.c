// Running statistics of the integer norms: int32 with one exponent, which only rises.
#include "layers/norm_math.h"
#include "layers/norm_plan.h"

#include <assert.h>

enum { GUARD = 13 }; // bits below the first step's unit, so that its values stay below 2^29

// A channel's mean and scale in units of 2^exponent, from 2^unit.
static int64_t new_mean(const FxNormChannel *channel, int unit, int exponent) {
    const int h = unit - exponent;
    return h > 32 ? (channel->mean ? INT32_MAX : 0) : fx_norm_shift(channel->mean, -h);
}

static int64_t new_scale(const FxNormChannel *channel, int unit, int exponent) {
    const int h = unit - exponent;
    if (h > 32) // the scale is at least 64
        return INT32_MAX;
    const int64_t s = fx_norm_scaled_quotient(channel->den, h, channel->num);
    return s > 1 ? s : 1;
}

static bool fits(const FxNormChannel *channel, int unit, int exponent) {
    const int64_t limit = 1 << 30, mean = new_mean(channel, unit, exponent);
    return mean < limit && mean > -limit && new_scale(channel, unit, exponent) < limit;
}

// The old value moves by 2^-a of the way to the new one, or the new one by 2^-a of the way to the old.
static int32_t moved(const FxNormRule *rule, int64_t old, int64_t new) {
    const int64_t part = fx_norm_shift(new - old, rule->average_shift);
    return (int32_t)(rule->average_old ? new - part : old + part);
}

void fx_norm_average(const FxNormRule *rule, const FxTensor *x, const int32_t *x_exponents, const FxNormChannel *channels,
                     size_t channel_count, FxNormRunning *running) {
    assert(x->type == FX_INT8 || x->type == FX_INT16);
    const int F = fx_norm_fraction(x), before = running->exponent;
    int exponent = before;
    for (size_t c = 0; !running->begun && c < channel_count; c++) {
        const int unit = (x_exponents ? x_exponents[c] : x->exponent) - F;
        exponent = c == 0 || unit - GUARD < exponent ? unit - GUARD : exponent;
    }
    for (size_t c = 0; c < channel_count; c++)
        while (!fits(&channels[c], (x_exponents ? x_exponents[c] : x->exponent) - F, exponent))
            exponent++;
    assert(exponent >= INT16_MIN && exponent <= INT16_MAX);
    for (size_t c = 0; c < channel_count; c++) {
        const int unit = (x_exponents ? x_exponents[c] : x->exponent) - F;
        const int64_t mean = new_mean(&channels[c], unit, exponent), scale = new_scale(&channels[c], unit, exponent);
        const int64_t old_mean = running->begun ? fx_norm_shift(running->mean[c], exponent - before) : mean;
        const int64_t old_scale = running->begun ? fx_norm_shift(running->scale[c], exponent - before) : scale;
        running->mean[c] = running->begun ? moved(rule, old_mean, mean) : (int32_t)mean;
        running->scale[c] = running->begun ? moved(rule, old_scale, scale) : (int32_t)scale;
    }
    running->exponent = exponent;
    running->begun = true;
}
