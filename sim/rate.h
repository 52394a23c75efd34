// Learning rates that move inside one item of a schedule: "0.02", "0.02 cosine:0", "0.1 warmup:500s cosine:1e-4",
// "1/8 warmup:1e". Warm-up rises linearly from the item's start, then the rate stays or falls along half a cosine that ends
// with the item. Source: formats.md 12.7; cosine: SGDR (Loshchilov and Hutter 1608.03983, eq. 5), one period, no restart;
// warm-up: Goyal et al. 1706.02677, 2.2, from one step above 0.
#ifndef FX_RATE_H
#define FX_RATE_H

#include "formats/decimal.h"

#include <stdbool.h>

typedef struct FxRate {
    FxScalar from;        // not negative
    bool cosine;
    FxScalar end;         // cosine: not negative, may lie above from
    uint64_t warmup;      // updates, 0: none
    uint64_t start, stop; // updates the item rules: [start, stop)
} FxRate;

// "SCALAR [warmup:Ns|warmup:Ne] [cosine:END]": the scalar first, the other words in any order, each at most once. N: at most
// 15 digits, updates or passes of steps_per_epoch updates; at most UINT64_MAX updates come out. start and stop are left 0.
// Every number is divided by `divisor` before its one rounding. Errors: exit code 2.
int fx_rate_parse(FxRate *rate, const char *text, uint64_t steps_per_epoch, uint32_t divisor, FxError *err);

// The rate of update `step`, not before start. With t = step - start:
//     t < warmup:     from * (t + 1) / warmup; the last is `from` itself
//     no cosine:      from, bit for bit
//     step >= stop:   end, before all others where there is a cosine
//     else:           end + (from - end) * (1 + cos(pi * (t - warmup) / (stop - start - warmup))) / 2; the first is `from`
// In float64, then rounded once, to nearest, ties to even. No range of from and end is too large.
FxScalar fx_rate_at(const FxRate *rate, uint64_t step);

#endif
