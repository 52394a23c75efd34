#ifndef FX_FIND_RANGES_H
#define FX_FIND_RANGES_H

#include "sim/run.h"

// init.ranges: trains a twin of the run, which has not begun, with wide @overflow grids, takes its ranges over and draws the
// weights anew. stop: as in training; *stopped says that it came. Errors: those of preparing a run.
int fx_find_ranges(FxRun *run, const volatile sig_atomic_t *stop, bool *stopped, FxError *err);

#endif
