// Whole files in memory.
#ifndef FX_FILE_H
#define FX_FILE_H

#include "formats/error.h"

// The bytes of a regular file with a 0 behind them, which size does not count; the caller frees *bytes. Errors: exit_code, or 1 for no
// memory; *bytes is then NULL.
int fx_file_read(unsigned char **bytes, size_t *size, const char *path, FxExit exit_code, FxError *err);

#endif
