// Reading CSV files as the project writes them: a header, a line a row, no quotes; no cell holds a comma.
#ifndef FX_CSV_H
#define FX_CSV_H

#include "formats/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct FxCsv {
    char *text;         // the file, its cells ended by 0
    const char **cells; // (rows + 1) x columns, the header first
    int rows, columns;  // 0 columns: no header, the file is empty or its header half-written
    bool cut;           // the last line was half-written (no newline, or cells missing) and is left out
} FxCsv;

// found: whether there is such a file; if not, the table is empty and that is no error.
// Errors: exit code 1, a file that cannot be read or a row, not the last, with another number of cells than the header.
int fx_csv_read(FxCsv *csv, const char *path, bool *found, FxError *err);
void fx_csv_free(FxCsv *csv); // accepts a zeroed struct

int fx_csv_column(const FxCsv *csv, const char *name); // -1: none

// Cell of a row from 0 on; negative rows count from the last one, -1. "" where there is no such row or column.
const char *fx_csv_cell(const FxCsv *csv, int row, const char *name);

// The number in a cell; NaN where it is empty or no finite number.
double fx_csv_number(const FxCsv *csv, int row, const char *name);

#endif
