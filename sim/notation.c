// Recursive descent over
//   net    = part { "-" part }
//   part   = item | number | number "x" "(" net ")" | "+" "(" net "|" [ net ] ")"
//   item   = [ number ] LETTERS [ number ] [ "p" number ] [ "s" number ]
// LETTERS are upper case; digits between two of them belong to them, as in L1BN.
// A part is parsed once, with the item that feeds it; a repetition then copies its items and moves
// their inputs: one inside the part by the distance of the copy, one in front of it to the end of
// the copy before. Time, memory and depth are bounded by the limits on items and on parentheses.
#include "sim/notation.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_LIMIT = 4096, NUMBER_LIMIT = 65535, DEPTH_LIMIT = 16, QUOTE_LIMIT = 24 };

static const char item_belongs[] =
    "here belongs an item like 16C3 or 32C3p1s2, a number, n x ( ... ) or +( ... | ... )";

typedef struct Parser {
    const char *text, *at; // at: the next byte to read
    FxItem *items;         // room for ITEM_LIMIT
    int count, depth;      // items so far; parentheses open
    FxError *err;
} Parser;

static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static int is_lower(char c) { return c >= 'a' && c <= 'z'; }

static void skip_spaces(Parser *p) {
    while (*p->at == ' ') p->at++;
}

static int column_of(const Parser *p, const char *at) {
    return at - p->text < INT_MAX ? (int)(at - p->text) + 1 : INT_MAX;
}

// The word at `at` as messages quote it: digits, or letters of one case, or one byte.
static void quote_word(char *out, size_t size, const char *at) {
    int (*same)(char) = is_digit(*at) ? is_digit : is_upper(*at) ? is_upper : is_lower;
    int n = 0;
    while (n <= QUOTE_LIMIT && same(at[n])) n++;
    if (*at == '\0')
        snprintf(out, size, "the end");
    else if (*at < ' ' || *at > '~') // bytes over 127 are one or the other, by the sign of char
        snprintf(out, size, "byte 0x%02x", (unsigned)(unsigned char)*at);
    else if (n > QUOTE_LIMIT)
        snprintf(out, size, "\"%.*s...\"", QUOTE_LIMIT, at);
    else
        snprintf(out, size, "\"%.*s\"", n ? n : 1, at);
}

// right: what would have been right.
static int fail_at(const Parser *p, const char *at, const char *right) {
    char quote[QUOTE_LIMIT + 8];
    quote_word(quote, sizeof quote, at);
    return fx_fail(p->err, FX_EXIT_USAGE, "network notation, column %d: read %s; %s",
                   column_of(p, at), quote, right);
}

// what: the number that belongs here, for messages. least: 1, or 0 for a padding.
static int parse_number(Parser *p, int *number, int least, const char *what) {
    skip_spaces(p);
    const char *start = p->at;
    int value = 0;
    for (; is_digit(*p->at); p->at++)
        if (value <= NUMBER_LIMIT) value = value * 10 + (*p->at - '0');
    if (p->at > start && value >= least && value <= NUMBER_LIMIT) {
        *number = value;
        return 0;
    }
    char right[96];
    snprintf(right, sizeof right, "%s lies in %d .. %d", what, least, NUMBER_LIMIT);
    return fail_at(p, start, right);
}

// Appends an item that stands at `at`, all its numbers absent; NULL after an error.
static FxItem *append_item(Parser *p, const char *at, int input) {
    if (p->count == ITEM_LIMIT) {
        fail_at(p, at, "a network has at most 4096 items");
        return NULL;
    }
    FxItem *item = &p->items[p->count++];
    *item = (FxItem){.before = FX_NOTATION_ABSENT,
                     .after = FX_NOTATION_ABSENT,
                     .pad = FX_NOTATION_ABSENT,
                     .stride = FX_NOTATION_ABSENT,
                     .input = {input, FX_NOTATION_INPUT},
                     .column = column_of(p, at)};
    return item;
}

static int parse_letters(Parser *p, FxItem *item) {
    const char *start = p->at;
    while (is_upper(*p->at)) {
        const char *behind = ++p->at;
        while (is_digit(*behind)) behind++;
        if (is_upper(*behind)) p->at = behind;
    }
    size_t n = (size_t)(p->at - start);
    if (n >= sizeof item->letters) return fail_at(p, start, "an item has at most 15 letters");
    memcpy(item->letters, start, n);
    return 0;
}

// LETTERS and what may follow them, into the item whose number before is known.
static int parse_item_rest(Parser *p, FxItem *item) {
    if (parse_letters(p, item)) return -1;
    skip_spaces(p);
    if (is_digit(*p->at) && parse_number(p, &item->after, 1, "a number behind letters")) return -1;
    skip_spaces(p);
    if (*p->at == 'p') {
        p->at++;
        if (parse_number(p, &item->pad, 0, "the padding behind p")) return -1;
    }
    skip_spaces(p);
    if (*p->at == 's') {
        p->at++;
        if (parse_number(p, &item->stride, 1, "the stride behind s")) return -1;
    }
    return 0;
}

static int parse_open(Parser *p, const char *right) {
    skip_spaces(p);
    if (*p->at != '(') return fail_at(p, p->at, right);
    if (p->depth == DEPTH_LIMIT) return fail_at(p, p->at, "parentheses nest at most 16 deep");
    p->depth++;
    p->at++;
    return 0;
}

// The callers stand on the parenthesis: parse_chain ends nowhere else.
static void parse_close(Parser *p) {
    assert(*p->at == ')');
    p->depth--;
    p->at++;
}

static int parse_chain(Parser *p, int input, char closing);

static void move_input(int *input, int first, int distance) {
    *input = *input < first ? first + distance - 1 : *input + distance;
}

// "x ( net )", the number before it known and standing at `at`.
static int parse_repetition(Parser *p, const char *at, int times, int input) {
    int first = p->count;
    p->at++;
    if (parse_open(p, "a repetition is written n x ( ... )")) return -1;
    if (parse_chain(p, input, ')')) return -1;
    parse_close(p);
    int size = p->count - first;
    if (times > (ITEM_LIMIT - first) / size)
        return fail_at(p, at, "a network has at most 4096 items, repetitions unrolled");
    for (; p->count < first + times * size; p->count++) {
        int distance = (p->count - first) / size * size;
        FxItem *item = &p->items[p->count];
        *item = p->items[p->count - distance];
        move_input(&item->input[0], first, distance);
        if (item->letters[0] == '+') move_input(&item->input[1], first, distance);
    }
    return 0;
}

static int parse_block(Parser *p, int input) {
    const char *start = p->at++;
    int first = p->count;
    if (parse_open(p, "a residual block is written +( body | shortcut )")) return -1;
    if (parse_chain(p, input, '|')) return -1;
    p->items[first].block_start = 1;
    int body = p->count - 1, shortcut = input;
    p->at++;
    skip_spaces(p);
    if (*p->at != ')') {
        first = p->count;
        if (parse_chain(p, input, ')')) return -1;
        p->items[first].block_start = 1;
        shortcut = p->count - 1;
    }
    parse_close(p);
    FxItem *sum = append_item(p, start, body);
    if (!sum) return -1;
    sum->letters[0] = '+';
    sum->input[1] = shortcut;
    return 0;
}

static int parse_part(Parser *p, int input) {
    skip_spaces(p);
    const char *start = p->at;
    int before = FX_NOTATION_ABSENT;
    if (*start == '+') return parse_block(p, input);
    if (is_digit(*start) && parse_number(p, &before, 1, "a number before letters or x")) return -1;
    skip_spaces(p);
    if (before != FX_NOTATION_ABSENT && *p->at == 'x')
        return parse_repetition(p, start, before, input);
    if (before == FX_NOTATION_ABSENT && !is_upper(*start)) return fail_at(p, start, item_belongs);
    FxItem *item = append_item(p, start, input);
    if (!item) return -1;
    item->before = before;
    return is_upper(*p->at) ? parse_item_rest(p, item) : 0;
}

// What would have been right behind a part, where neither '-' nor the closing byte stands.
static const char *right_behind_part(char read, char closing) {
    if (read == 'p' || read == 's') return "pN and sN stand behind letters, once each, p before s";
    if (is_lower(read)) return "letters are upper case, but for n x ( ... ), pN and sN";
    if (closing == '|') return "here belongs \"-\" and the next item, or \"|\" and the shortcut";
    if (closing == ')') return "here belongs \"-\" and the next item, or \")\"";
    return "here belongs \"-\" and the next item, or the end";
}

// Parses parts that feed each other, the first fed by `input`; ends standing on the closing byte,
// after at least one item. The chain's last item is then the last item parsed.
static int parse_chain(Parser *p, int input, char closing) {
    for (;;) {
        if (parse_part(p, input)) return -1;
        skip_spaces(p);
        if (*p->at == closing) return 0;
        if (*p->at != '-') return fail_at(p, p->at, right_behind_part(*p->at, closing));
        p->at++;
        input = p->count - 1;
    }
}

int fx_notation_parse(FxNotation *net, const char *text, FxError *err) {
    assert(net && text && err);
    *net = (FxNotation){0};
    size_t bytes = ITEM_LIMIT * sizeof(FxItem);
    Parser p = {.text = text, .at = text, .items = malloc(bytes), .err = err};
    if (!p.items) return fx_fail_memory(err, "network notation", bytes);
    if (parse_chain(&p, FX_NOTATION_INPUT, '\0')) {
        free(p.items);
        return -1;
    }
    FxItem *fitted = realloc(p.items, (size_t)p.count * sizeof(FxItem));
    *net = (FxNotation){.items = fitted ? fitted : p.items, .count = p.count};
    return 0;
}

void fx_notation_free(FxNotation *net) {
    free(net->items);
    *net = (FxNotation){0};
}
