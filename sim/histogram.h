// How often each code of a format occurs in a tensor of one training step.
#ifndef FX_HISTOGRAM_H
#define FX_HISTOGRAM_H

#include "sim/run.h"

// Does the run's next update. name: of a tensor, as fx_dump_step names it ("conv1.error.quantised"), of at most 16-bit codes that
// a quantiser has made. path: FILE.csv (code, value, count, a line a code in the order of values) or FILE.png. Errors: exit code 2 for a
// name that is none, 1.
int fx_dump_histogram(FxRun *run, const char *name, const char *path, FxError *err);

#endif
