// Each line is checked as it stands in the text and then handed to inih, which splits it into
// section, key and value. What inih would read leniently never reaches it, so the rules hold
// however inih was built; the line number is our own count, for Debian's inih passes none. The
// first wrong line is the one reported; entry has been called for the keys above it. Beyond the
// list in the header: lines end with LF or CRLF. A UTF-8 byte-order mark is skipped at the start
// and refused elsewhere. A tab is a control byte. ';' and '#' are refused in sections and keys too,
// and so are text behind a section's ']' and blanks at the ends of its name. Limits: a section's
// name 49 bytes (inih cuts longer ones), 4096 keys, 16 MiB.
#include "sim/ini.h"

#include <ini.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_LIMIT = 180, SECTION_LIMIT = 49, KEY_LIMIT = 4096, TEXT_LIMIT = 16 << 20 };

static const char byte_order_mark[] = "\xef\xbb\xbf";

typedef struct Key { // parts of the text, as long as inih says
    const char *section, *name;
    size_t section_size, name_size;
    int line;
} Key;

typedef struct Reader {
    const char *name;                 // of the text, for messages
    const char *next, *end;           // the text not yet read
    const char *line_start, *section; // the line inih has now, the name of the section it stands in
    int line, failed;                 // number of that line; whether err is filled
    Key *keys;                        // room for KEY_LIMIT
    int key_count;
    FxIniEntry entry;
    void *user;
    FxError *err;
} Reader;

// Puts name and line in front.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static int fail_line(const Reader *r, const char *format, ...) {
    char text[sizeof r->err->text];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return fx_fail(r->err, FX_EXIT_USAGE, "%s:%d: %s", r->name, r->line, text);
}

// Length of the UTF-8 sequence at s, 0 if none is there in `size` > 0 bytes (RFC 3629, section 4).
static size_t utf8_size(const char *s, size_t size) {
    static const unsigned char first_of_size[] = {0, 0, 0xc2, 0xe0, 0xf0, 0xf5};
    const unsigned char *b = (const unsigned char *)s;
    if (b[0] < 0x80) return 1;
    size_t n = 1;
    while (n < 5 && b[0] >= first_of_size[n + 1]) n++;
    if (n == 1 || n == 5 || n > size) return 0;
    for (size_t i = 1; i < n; i++)
        if ((b[i] & 0xc0) != 0x80) return 0;
    int overlong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xf0 && b[1] < 0x90);
    int no_character = (b[0] == 0xed && b[1] >= 0xa0) || (b[0] == 0xf4 && b[1] >= 0x90);
    return overlong || no_character ? 0 : n;
}

static int check_bytes(const Reader *r, const char *line, size_t size) {
    for (size_t i = 0, n; i < size; i += n) {
        unsigned byte = (unsigned char)line[i];
        int column = (int)i + 1;
        n = utf8_size(line + i, size - i);
        if (n == 0) return fail_line(r, "byte 0x%02x in column %d; write UTF-8", byte, column);
        if (byte == '\t') return fail_line(r, "a tab in column %d; write spaces", column);
        if (byte < ' ' || byte == 0x7f)
            return fail_line(
                r, "control byte 0x%02x in column %d; write text, lines end with LF or CRLF", byte,
                column);
        if (n == 3 && memcmp(line + i, byte_order_mark, 3) == 0)
            return fail_line(
                r, "a byte-order mark in column %d; only the text's start may hold one", column);
    }
    return 0;
}

// The line starts with '['. size: without blanks at its end.
static int check_section(const Reader *r, const char *line, size_t size) {
    const char *close = memchr(line, ']', size);
    const char *wrong = NULL;
    int name_size = close ? (int)(close - line) - 1 : 0;
    if (!close)
        wrong = "no \"]\"";
    else if (name_size == 0 || line[1] == ' ' || close[-1] == ' ')
        wrong = "an empty name, or blanks at its ends,";
    else if (close != line + size - 1)
        wrong = "text behind \"]\"";
    if (wrong)
        return fail_line(r, "%s in \"%.*s\"; write a section as [name]", wrong, (int)size, line);
    if (name_size > SECTION_LIMIT)
        return fail_line(r, "section \"%.*s\" of %d bytes; a section's name has at most %d",
                         name_size, line + 1, name_size, SECTION_LIMIT);
    return 0;
}

// The line is to be a key, '=' or ':', and a value. size: without blanks at its end.
static int check_key(const Reader *r, const char *line, size_t size) {
    size_t split = 0;
    while (split < size && line[split] != '=' && line[split] != ':') split++;
    const char *wrong = split == size       ? "no \"=\""
                        : split == 0        ? "no key"
                        : split == size - 1 ? "no value"
                                            : NULL;
    if (!wrong) return 0;
    return fail_line(r, "%s in \"%.*s\"; write key = value", wrong, (int)size, line);
}

// size: without the line's end.
static int check_line(const Reader *r, const char *line, size_t size) {
    if (size > LINE_LIMIT)
        return fail_line(r, "a line of %zu bytes; write at most %d, comments too", size,
                         LINE_LIMIT);
    if (check_bytes(r, line, size)) return -1;
    while (size && line[size - 1] == ' ') size--;
    if (size == 0 || line[0] == ';' || line[0] == '#') return 0;
    size_t start = 0;
    while (line[start] == ' ') start++;
    if (start)
        return fail_line(r,
                         "blanks in front of \"%.*s\"; start in column 1, each value on one line",
                         (int)(size - start), line + start);
    for (size_t i = 0; i < size; i++)
        if (line[i] == ';' || line[i] == '#')
            return fail_line(
                r, "\"%c\" in column %d of \"%.*s\"; write comments on lines of their own", line[i],
                (int)i + 1, (int)size, line);
    return line[0] == '[' ? check_section(r, line, size) : check_key(r, line, size);
}

// inih asks for a line, in num bytes of room; NULL ends the text. Whatever ended it becomes LF.
static char *next_line(char *out, int num, void *stream) {
    Reader *r = stream;
    if (r->failed || r->next == r->end) return NULL;
    const char *line = r->next;
    const char *newline = memchr(line, '\n', (size_t)(r->end - line));
    size_t size = (size_t)((newline ? newline : r->end) - line);
    r->next = newline ? newline + 1 : r->end;
    if (newline && size && line[size - 1] == '\r') size--;
    r->line++;
    r->line_start = line;
    r->failed = check_line(r, line, size);
    if (!r->failed && num < LINE_LIMIT + 2)
        r->failed = fx_fail(r->err, FX_EXIT_RUNTIME,
                            "inih has room for %d bytes a line; build it for 200", num);
    if (r->failed) return NULL;
    if (size && line[0] == '[') r->section = line + 1;
    memcpy(out, line, size);
    memcpy(out + size, "\n", 2);
    return out;
}

static int same(const char *a, size_t a_size, const char *b, size_t b_size) {
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

static int remember_key(Reader *r, const char *section, const char *name) {
    Key key = {r->section, r->line_start, strlen(section), strlen(name), r->line};
    for (const Key *k = r->keys; k < r->keys + r->key_count; k++)
        if (same(k->name, k->name_size, key.name, key.name_size) &&
            same(k->section, k->section_size, key.section, key.section_size))
            return fail_line(r,
                             "key \"%s\" of section [%s] a second time; line %d has it, keep one",
                             name, section, k->line);
    if (r->key_count == KEY_LIMIT)
        return fail_line(r, "key \"%s\" is one too many; write at most %d keys", name, KEY_LIMIT);
    r->keys[r->key_count++] = key;
    return 0;
}

static int take_key(void *stream, const char *section, const char *name, const char *value) {
    Reader *r = stream;
    r->failed =
        remember_key(r, section, name) || r->entry(r->user, section, name, value, r->line, r->err);
    return !r->failed;
}

int fx_ini_read(const char *name, const char *text, size_t size, FxIniEntry entry, void *user,
                FxError *err) {
    assert(name && (text || !size) && entry && err);
    if (size > TEXT_LIMIT)
        return fx_fail(err, FX_EXIT_USAGE, "%s: %zu bytes; write at most %d", name, size,
                       TEXT_LIMIT);
    if (size == 0) return 0;
    size_t mark = size >= 3 && memcmp(text, byte_order_mark, 3) == 0 ? 3 : 0;
    Reader r = {.name = name,
                .next = text + mark,
                .end = text + size,
                .section = "",
                .entry = entry,
                .user = user,
                .err = err};
    r.keys = malloc(KEY_LIMIT * sizeof(Key));
    if (!r.keys) return fx_fail_memory(err, name, KEY_LIMIT * sizeof(Key));
    int refused = ini_parse_stream(next_line, &r, take_key, &r);
    free(r.keys);
    if (!r.failed && refused) // its own memory, or a build that differs
        return fx_fail(err, FX_EXIT_RUNTIME,
                       "%s: inih failed with code %d; fxsim needs its defaults", name, refused);
    return r.failed ? -1 : 0;
}
