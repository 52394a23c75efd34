#include "sim/ranges.h"

#include <stdio.h>
#include <string.h>

int fx_ranges_parse(FxRanges *ranges, const char *text, FxError *err) {
    unsigned epochs, bits;
    char rest;
    *ranges = (FxRanges){0, 0};
    if (!strcmp(text, "none"))
        return 0;
    if (strspn(text, "0123456789e:") != strlen(text) || strlen(text) > 12 || sscanf(text, "%ue:%u%c", &epochs, &bits, &rest) != 2 || epochs < 1 ||
        bits < 3 || bits > 24)
        return fx_fail(err, FX_EXIT_USAGE, "\"%.40s\"; known: none, or EPOCHSe:BITS as 2e:16, at most 24 bits", text);
    *ranges = (FxRanges){epochs, (int)bits};
    return 0;
}
