#include "sim/loss_scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fx_growth_parse(FxGrowth *growth, const char *text, FxError *err) {
    char factor[64], word[8], period[32], rest;
    FxError why;
    int n = sscanf(text, "%63s %7s %31s %c", factor, word, period, &rest);
    size_t digits = n == 3 ? strspn(period, "0123456789") : 0;
    if (n != 3 || strcmp(word, "after") || !digits || digits > 15 || strcmp(period + digits, "s") || atoll(period) == 0 ||
        fx_scalar_parse(&growth->factor, factor, &why) || growth->factor.mantissa <= 0 || growth->factor.exponent + 14 < 0)
        return fx_fail(err, FX_EXIT_USAGE, "\"%.60s\"; write FACTOR after Ns, the factor at least 1, as 2 after 2000s", text);
    growth->after = (uint64_t)atoll(period);
    return 0;
}

FxLossScale fx_loss_scale_start(const FxLossScaling *how) {
    FxScalar one = {1 << 14, -14}, start = how->on ? how->value : one;
    return (FxLossScale){start.mantissa, start.exponent, 0};
}

FxScalar fx_loss_scale_value(const FxLossScale *scale) {
    return (FxScalar){(int32_t)scale->mantissa, (int32_t)scale->exponent};
}

bool fx_loss_scale_fires(const FxLossScaling *how, const FxStats *stats, uint64_t lost) {
    if (!how->on || !how->on_saturation)
        return how->on && lost > 0;
    int shift = -how->share.exponent; // saturated * 2^shift > n * mantissa
    if (shift < 0)
        return false;
    if (shift >= 63)
        return stats->saturated > 0;
    return (unsigned __int128)stats->saturated << shift > (unsigned __int128)stats->n * (unsigned)how->share.mantissa;
}

// The product to 15 bits, nearest-even.
static FxScalar multiply(FxScalar a, FxScalar b) {
    int32_t p = a.mantissa * b.mantissa; // 2^28 .. below 2^30
    int shift = p >> 29 ? 15 : 14, half = 1 << (shift - 1), rest = p & (2 * half - 1), q = p >> shift;
    q += rest > half || (rest == half && (q & 1));
    return q >> 15 ? (FxScalar){q >> 1, a.exponent + b.exponent + shift + 1} : (FxScalar){q, a.exponent + b.exponent + shift};
}

static bool below(FxScalar a, FxScalar b) { // both positive
    return a.exponent != b.exponent ? a.exponent < b.exponent : a.mantissa < b.mantissa;
}

void fx_loss_scale_move(FxLossScale *scale, const FxLossScaling *how, bool skipped) {
    if (!how->dynamic)
        return;
    FxScalar now = fx_loss_scale_value(scale), next = now;
    if (skipped) {
        next = multiply(now, how->backoff);
        if (how->floor.mantissa > 0 && below(next, how->floor))
            next = how->floor;
        scale->good = 0;
    } else if (++scale->good == how->growth.after) {
        next = multiply(now, how->growth.factor);
        scale->good = 0;
    }
    bool grows = below(now, next), far = grows ? next.exponent + 14 > how->most : next.exponent + 14 < -FX_MOST_LOSS_SCALE;
    if (far)
        next = now;
    scale->mantissa = next.mantissa;
    scale->exponent = next.exponent;
}
