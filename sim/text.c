#include "sim/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fx_number(char text[FX_NUMBER], double x) {
    text[0] = 0;
    if (x != x)
        return;
    for (int p = 1; p <= 17; p++) {
        snprintf(text, FX_NUMBER, "%.*g", p, x);
        if (strtod(text, NULL) == x)
            break;
    }
    for (char *c = text; *c; c++) // whatever the locale's point is
        if (!strchr("0123456789+-einfa", *c))
            *c = '.';
}

void fx_cell(char *out, size_t size, const char *text) {
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && used + 4 < size; p++) {
        if (*p <= ' ' || *p == ',' || *p == '%' || *p == 127 || *p == '"')
            used += (size_t)snprintf(out + used, size - used, "%%%02X", *p);
        else
            out[used++] = (char)*p;
    }
    if (size)
        out[used < size ? used : size - 1] = 0;
}

static int hex_digit(char c) {
    const char *digits = "0123456789ABCDEF", *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

void fx_cell_text(char *out, size_t size, const char *cell) {
    size_t used = 0;
    for (; *cell && used + 1 < size; cell++) {
        int high = *cell == '%' ? hex_digit(cell[1]) : -1, low = high >= 0 ? hex_digit(cell[2]) : -1;
        out[used++] = low >= 0 ? (char)(16 * high + low) : *cell;
        cell += low >= 0 ? 2 : 0;
    }
    if (size)
        out[used] = 0;
}
