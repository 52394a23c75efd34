#include "formats/error.h"

#include <stdarg.h>
#include <stdio.h>

int fx_fail(FxError *err, FxExit exit_code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    err->exit_code = exit_code;
    vsnprintf(err->text, sizeof err->text, format, list);
    va_end(list);
    return -1;
}

int fx_fail_memory(FxError *err, const char *what, unsigned long long bytes) {
    return fx_fail(err, FX_EXIT_RUNTIME, "%s: no memory for %llu bytes", what, bytes);
}
