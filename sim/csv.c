#include "sim/csv.h"

#include "sim/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int count(const char *text, char what) {
    int n = 0;
    for (; *text; text++)
        n += *text == what;
    return n;
}

// Cuts a line at its commas; returns how many cells it has and stores at most `room`.
static int split(const char **cells, int room, char *line) {
    int n = 0;
    line[strcspn(line, "\r")] = 0;
    for (char *p = line;; *p++ = 0) {
        if (n < room)
            cells[n] = p;
        n++;
        p += strcspn(p, ",");
        if (!*p)
            return n;
    }
}

static int cut_into_cells(FxCsv *csv, size_t size, const char *path, FxError *err) {
    int lines = count(csv->text, '\n');
    csv->cut = size > 0 && csv->text[size - 1] != '\n';
    if (lines == 0)
        return 0;
    char *line = csv->text, *end = strchr(line, '\n');
    *end = 0;
    line[strcspn(line, "\r")] = 0; // as split does, so that both count the same cells
    int columns = count(line, ',') + 1;
    size_t bytes = (size_t)lines * (size_t)columns * sizeof *csv->cells;
    csv->cells = malloc(bytes);
    if (!csv->cells)
        return fx_fail_memory(err, path, bytes);
    csv->columns = split(csv->cells, columns, line);
    for (int row = 1; row < lines; row++) {
        line = end + 1;
        end = strchr(line, '\n');
        *end = 0;
        int n = split(csv->cells + (size_t)row * (size_t)columns, columns, line);
        if (n == columns)
            csv->rows++;
        else if (row == lines - 1 && !csv->cut)
            csv->cut = true;
        else
            return fx_fail(err, FX_EXIT_RUNTIME, "%s:%d: %d cells; its header has %d", path, row + 1, n, columns);
    }
    return 0;
}

int fx_csv_read(FxCsv *csv, const char *path, bool *found, FxError *err) {
    struct stat st;
    size_t size;
    unsigned char *text;
    memset(csv, 0, sizeof *csv);
    *found = stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
    if (!*found)
        return 0;
    if (fx_file_read(&text, &size, path, FX_EXIT_RUNTIME, err))
        return -1;
    csv->text = (char *)text;
    for (char *p = csv->text; (p = memchr(p, 0, size - (size_t)(p - csv->text)));) // what a crash left: no cell ends there
        *p = '?';
    if (cut_into_cells(csv, size, path, err)) {
        fx_csv_free(csv);
        return -1;
    }
    return 0;
}

void fx_csv_free(FxCsv *csv) {
    free(csv->text);
    free((void *)csv->cells);
    memset(csv, 0, sizeof *csv);
}

int fx_csv_column(const FxCsv *csv, const char *name) {
    for (int i = 0; i < csv->columns; i++)
        if (!strcmp(csv->cells[i], name))
            return i;
    return -1;
}

const char *fx_csv_cell(const FxCsv *csv, int row, const char *name) {
    int column = fx_csv_column(csv, name);
    row = row < 0 ? csv->rows + row : row;
    if (column < 0 || row < 0 || row >= csv->rows)
        return "";
    return csv->cells[(size_t)(row + 1) * (size_t)csv->columns + (size_t)column];
}

double fx_csv_number(const FxCsv *csv, int row, const char *name) {
    const char *text = fx_csv_cell(csv, row, name);
    char *end;
    double x = strtod(text, &end);
    return end == text || *end || !isfinite(x) ? NAN : x;
}
