#include "tests/golden.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *allocate(size_t bytes) {
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p)
        fail_msg("no memory for %zu bytes", bytes);
    return p;
}

// The file's bytes and a 0 behind them.
static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("golden table %s: %s", path, strerror(errno));
        return NULL;
    }
    char *bytes = NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        rewind(file);
        bytes = allocate((size_t)size + 1);
        if (fread(bytes, 1, (size_t)size, file) != (size_t)size)
            fail_msg("golden table %s: cannot be read", path);
    }
    fclose(file);
    return bytes;
}

static size_t count(const char *text, char c) {
    size_t n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

// Cuts line at its commas; returns how many cells there are, of which at most `room` are stored.
static size_t cut(const char **cells, size_t room, char *line) {
    size_t n = 0;
    for (char *p = line; p; n++) {
        char *next = strchr(p, ',');
        if (next)
            *next++ = 0;
        if (n < room)
            cells[n] = p;
        p = next;
    }
    return n;
}

Golden golden_read(const char *name, size_t rows) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", FX_GOLDEN, name);
    Golden g = {.name = name, .bytes = read_all(path)};
    size_t lines = count(g.bytes, '\n'), line_number = 0;
    for (char *line = g.bytes; line && *line; line_number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (line_number == 0) {
            g.columns = count(line, ',') + 1;
            g.names = allocate(g.columns * sizeof *g.names);
            g.cells = allocate((lines + 1) * g.columns * sizeof *g.cells);
            cut(g.names, g.columns, line);
        } else {
            size_t n = cut(&g.cells[g.rows++ * g.columns], g.columns, line);
            if (n != g.columns)
                fail_msg("%s:%zu: %zu cells, the header has %zu", path, line_number + 1, n, g.columns);
        }
        line = next;
    }
    if (g.rows != rows)
        fail_msg("%s has %zu rows, the test was written for %zu", path, g.rows, rows);
    return g;
}

void golden_free(Golden *g) {
    free(g->cells);
    free(g->names);
    free(g->bytes);
    *g = (Golden){0};
}

size_t golden_column(const Golden *g, const char *column) {
    for (size_t c = 0; c < g->columns; c++)
        if (!strcmp(g->names[c], column))
            return c;
    fail_msg("%s has no column \"%s\"", g->name, column);
    return 0;
}

const char *golden_cell(const Golden *g, size_t row, const char *column) {
    if (row >= g->rows)
        fail_msg("%s has no row %zu", g->name, row);
    return g->cells[row * g->columns + golden_column(g, column)];
}

static void no_number(const Golden *g, size_t row, const char *column, const char *text) {
    fail_msg("%s row %zu: %s: \"%s\" is no number that fits", g->name, row + 1, column, text);
}

static int base_of(const char *text) {
    return !strncmp(text, "0x", 2) ? 16 : 10;
}

int64_t golden_int(const Golden *g, size_t row, const char *column) {
    const char *text = golden_cell(g, row, column);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, base_of(text));
    if (!*text || *end || errno)
        no_number(g, row, column, text);
    return value;
}

uint64_t golden_unsigned(const Golden *g, size_t row, const char *column) {
    const char *text = golden_cell(g, row, column);
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, base_of(text));
    if (!*text || *end || errno || *text == '-')
        no_number(g, row, column, text);
    return value;
}

uint32_t golden_hex(const Golden *g, size_t row, const char *column) {
    const char *text = golden_cell(g, row, column);
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 16);
    if (!*text || *end || errno || *text == '-' || value > UINT32_MAX)
        no_number(g, row, column, text);
    return (uint32_t)value;
}

double golden_double(const Golden *g, size_t row, const char *column) {
    const char *text = golden_cell(g, row, column);
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end)
        no_number(g, row, column, text);
    return value;
}

size_t golden_list(int64_t *list, size_t room, const char *text) {
    size_t n = 0;
    for (char *end; *text; text = end + (*end == ' ')) {
        assert_true(n < room);
        list[n++] = strtoll(text, &end, 10);
        assert_true(end != text);
    }
    return n;
}
