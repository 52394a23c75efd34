// The ranges that overflow controllers start from: found by training for some epochs with wide grids, after which
// everything but the ranges starts anew. Source: Courbariaux et al. 1412.7024; specs/formats.md 12.5.
#ifndef FX_RANGES_H
#define FX_RANGES_H

#include "formats/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FxRanges {
    uint64_t epochs; // 0: none
    int bits;        // of every @overflow grid meanwhile
} FxRanges;

// "none" or "2e:16". Errors: exit code 2.
int fx_ranges_parse(FxRanges *ranges, const char *text, FxError *err);

struct FxRun;
struct FxConfig;

// Makes every @overflow grid at least so wide.
void fx_ranges_widen(struct FxConfig *config, int bits);

// Trains a twin of the run, which has not begun, takes its ranges over and draws the weights anew. stop: as in training;
// *stopped says that it came. Errors: those of preparing a run.
int fx_ranges_find(struct FxRun *run, const volatile sig_atomic_t *stop, bool *stopped, FxError *err);

#endif
