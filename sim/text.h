// Texts of CSV files and messages.
#ifndef FX_TEXT_H
#define FX_TEXT_H

#include <stddef.h>

enum { FX_NUMBER = 40 };

// The least P of 1..17 for which %.Pg reads back equal, with a decimal point in any locale. Not a number: empty.
void fx_number(char text[FX_NUMBER], double x);

// Bytes that a cell may not hold (blank, comma, '%', control bytes) as %XX.
void fx_cell(char *out, size_t size, const char *text);
// And back: the text of a cell.
void fx_cell_text(char *out, size_t size, const char *cell);

#endif
