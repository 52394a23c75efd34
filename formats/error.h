// Errors that come from outside: files, recipes, the command line, memory. Whoever meets one fills the
// caller's FxError and returns -1; only main prints and exits. What only our own code can get wrong is an assert.
#ifndef FX_ERROR_H
#define FX_ERROR_H

#include "formats/fxsim.h"

// Fills err and returns -1, so that `return fx_fail(...)` is the way out.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int fx_fail(FxError *err, FxExit exit_code, const char *format, ...);

// Out of memory while making `what`, which needs `bytes`.
int fx_fail_memory(FxError *err, const char *what, unsigned long long bytes);

#endif
