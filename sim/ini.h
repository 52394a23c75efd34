// A strict reader over inih. Stock inih lets long lines spill over, reads indented lines as continuations,
// lets duplicates pass and keeps '#' in values; here each of these is an error with its line number.
#ifndef FX_INI_H
#define FX_INI_H

#include "formats/error.h"

#include <stddef.h>

// Called for each key in file order. section may be "". Return -1 after fx_fail to stop.
typedef int (*FxIniEntry)(void *user, const char *section, const char *key, const char *value, int line, FxError *err);

// name is what messages call the text ("my.ini"). Comments are lines that start with ';' or '#'. Refused, exit
// code 2, as "name:line: what was read; what would be right": lines over 180 bytes, indented lines, a key without
// '=' or ':' or with an empty name or value, an unclosed or empty section, a key given twice in one section (also
// where the section is opened twice), ';' or '#' in a value, control bytes, bytes that are not UTF-8, a NUL.
int fx_ini_read(const char *name, const char *text, size_t size, FxIniEntry entry, void *user, FxError *err);

#endif
