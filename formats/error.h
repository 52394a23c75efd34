// Errors that come from outside: files, recipes, the command line, memory. Whoever meets one fills the
// caller's FxError and returns -1; only main prints and exits. What only our own code can get wrong is an assert.
#ifndef FX_ERROR_H
#define FX_ERROR_H

// The exit codes of the command line.
typedef enum FxExit {
    FX_EXIT_DONE = 0,
    FX_EXIT_RUNTIME = 1,    // runtime, input or output
    FX_EXIT_USAGE = 2,      // command line or recipe
    FX_EXIT_FAILED_RUN = 3, // diverged, dead or stalled
    FX_EXIT_DATA = 4,       // data missing or corrupt
    FX_EXIT_CHECKPOINT = 5, // checkpoint does not fit
    FX_EXIT_STOPPED = 75    // stopped early, can be resumed
} FxExit;

typedef struct FxError {
    FxExit exit_code;
    char text[1024]; // one line: what was read, where, what would be right
} FxError;

// Fills err and returns -1, so that `return fx_fail(...)` is the way out.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int fx_fail(FxError *err, FxExit exit_code, const char *format, ...);

// Out of memory while making `what`, which needs `bytes`.
int fx_fail_memory(FxError *err, const char *what, unsigned long long bytes);

#endif
