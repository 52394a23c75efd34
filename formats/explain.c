// A quantiser in words, for people.
#include "formats/quantiser.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Text {
    char *out;
    size_t size, length;
} Text;

static void add(Text *t, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->length < t->size ? t->out + t->length : NULL, t->length < t->size ? t->size - t->length : 0, format, list);
    va_end(list);
    t->length += n > 0 ? (size_t)n : 0;
}

size_t fx_quantiser_explain(char *out, size_t size, const FxQuantiser *q) {
    Text t = {out, size, 0};
    char text[FX_QUANTISER_TEXT];
    fx_quantiser_print(text, q);
    add(&t, "%s\n", text);
    return t.length;
}
