// Golden tables for tests: comma separated, no quoting, the first line names the columns. A file that is missing, cut
// short or ragged, a column or number that is not there fails the running test and says where.
#ifndef FX_TESTS_GOLDEN_H
#define FX_TESTS_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

typedef struct Golden {
    const char *name;
    char *bytes;         // the whole file, cut up
    size_t columns, rows;
    const char **names;  // of the columns
    const char **cells;  // rows x columns
} Golden;

// Reads FX_GOLDEN/name, which must have exactly `rows` rows behind its header.
Golden golden_read(const char *name, size_t rows);
void golden_free(Golden *g);

size_t golden_column(const Golden *g, const char *column);
const char *golden_cell(const Golden *g, size_t row, const char *column);
// Decimal, or hexadecimal behind 0x.
int64_t golden_int(const Golden *g, size_t row, const char *column);
uint64_t golden_unsigned(const Golden *g, size_t row, const char *column);
// Hexadecimal without 0x.
uint32_t golden_hex(const Golden *g, size_t row, const char *column);
// Integers with single blanks between, at most `room`; returns how many.
size_t golden_list(int64_t *list, size_t room, const char *text);
// A C99 hexadecimal or decimal floating number.
double golden_double(const Golden *g, size_t row, const char *column);

#endif
