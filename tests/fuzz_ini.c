// libFuzzer: any bytes give entries that keep the header's promises, or one error line that names
// the text. A text that is accepted holds as many entries as it has lines that start neither a
// comment nor a section.
#include "sim/ini.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Seen {
    int line, count;
} Seen;

static void require(int holds) {
    if (!holds) abort();
}

static int is_stripped(const char *s) {
    size_t n = strlen(s);
    return n && s[0] != ' ' && s[n - 1] != ' ' && n <= 180 && !strpbrk(s, ";#\t\n\r");
}

static int check_entry(void *user, const char *section, const char *key, const char *value,
                       int line, FxError *err) {
    Seen *seen = user;
    require(section[0] == '\0' || is_stripped(section));
    require(strlen(section) <= 49 && !strchr(section, ']'));
    require(is_stripped(key) && !strpbrk(key, "=:") && key[0] != '[');
    require(is_stripped(value));
    require(line > seen->line && err->text[0] == '\0');
    seen->line = line;
    seen->count++;
    return 0;
}

static int count_entries(const char *text, size_t size) {
    int entries = 0;
    size_t start = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (size_t i = start, next; i < size; i = next) {
        const char *newline = memchr(text + i, '\n', size - i);
        next = newline ? (size_t)(newline - text) + 1 : size;
        entries += !memchr(";#[ \r\n", text[i], 6);
    }
    return entries;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FxError err = {.text = ""};
    Seen seen = {0};
    char *text = malloc(size ? size : 1); // exactly the text, so that a read behind it is seen
    require(text != NULL);
    if (size) memcpy(text, data, size);
    if (fx_ini_read("my.ini", text, size, check_entry, &seen, &err)) {
        require(err.exit_code == FX_EXIT_USAGE && strncmp(err.text, "my.ini:", 7) == 0);
        require(!strchr(err.text, '\n') && strchr(err.text, ';'));
    } else {
        require(seen.count == count_entries(text, size));
    }
    free(text);
    return 0;
}
