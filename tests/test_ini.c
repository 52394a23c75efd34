// The strict INI reader: what it hands over, in which order and with which line; every refusal with
// its text.
#include "sim/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// What entry was called with, one "line [section] key=value|" a call.
typedef struct Log {
    char text[1024];
    int calls, stop_at; // stop_at: the call that fails, 0 = none
} Log;

static int record(void *user, const char *section, const char *key, const char *value, int line,
                  FxError *err) {
    Log *log = user;
    size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof log->text - used, "%d [%s] %s=%s|", line, section, key,
             value);
    if (++log->calls == log->stop_at) return fx_fail(err, FX_EXIT_DATA, "stopped at %s", key);
    return 0;
}

// The text is copied to a block of its own size, so that memory checkers see a read behind its end.
static int read_bytes(const char *text, size_t size, Log *log, FxError *err) {
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    int result = fx_ini_read("my.ini", copy, size, record, log, err);
    free(copy);
    return result;
}

static void expect_entries(const char *text, const char *want) {
    Log log = {0};
    FxError err = {0};
    if (read_bytes(text, strlen(text), &log, &err)) fail_msg("%s: %s", text, err.text);
    assert_string_equal(log.text, want);
}

static void expect_error_bytes(const char *text, size_t size, const char *want) {
    Log log = {0};
    FxError err = {0};
    if (read_bytes(text, size, &log, &err) != -1) fail_msg("accepted: %.200s", text);
    assert_int_equal(err.exit_code, FX_EXIT_USAGE);
    assert_string_equal(err.text, want);
}

static void expect_error(const char *text, const char *want) {
    expect_error_bytes(text, strlen(text), want);
}

static void keys_arrive_in_file_order_with_section_and_line(void **state) {
    (void)state;
    expect_entries(
        "top = 1\n[run]\nbatch = 128\nloss=sse\n\n[layer.conv4]\nweight.q: fixed8f7\n",
        "1 [] top=1|3 [run] batch=128|4 [run] loss=sse|7 [layer.conv4] weight.q=fixed8f7|");
    expect_entries("[a]\nx = 1\n[b]\nx = 2\n[a]\ny = 3\n", "2 [a] x=1|4 [b] x=2|6 [a] y=3|");
}

static void blanks_around_keys_and_values_are_stripped_and_inside_kept(void **state) {
    (void)state;
    expect_entries("[s] \nrate   =   8 1@200  1/8@250   \na b:c\n",
                   "2 [s] rate=8 1@200  1/8@250|3 [s] a b=c|");
}

static void the_first_equals_sign_or_colon_splits(void **state) {
    (void)state;
    expect_entries("a = b:c=d\ne:f=g:h\nlaw = uniform:3\nq = [x]\n",
                   "1 [] a=b:c=d|2 [] e=f=g:h|3 [] law=uniform:3|4 [] q=[x]|");
}

static void texts_without_keys_call_nothing(void **state) {
    (void)state;
    expect_entries("", "");
    expect_entries("\n\n   \n\r\n", "");
    expect_entries("; a comment\n# another = one\n[section]\n;\n#", "");
}

static void line_ends_may_be_lf_crlf_or_missing(void **state) {
    (void)state;
    expect_entries("[a]\r\nx = 1\r\n\r\ny = 2\n; c\r\nz = 3", "2 [a] x=1|4 [a] y=2|6 [a] z=3|");
}

static void a_byte_order_mark_is_skipped_at_the_start_and_refused_elsewhere(void **state) {
    (void)state;
    expect_entries("\xef\xbb\xbf", "");
    expect_entries("\xef\xbb\xbfx = 1\n", "1 [] x=1|");
    expect_entries("\xef\xbb\xbf[a]\r\nx = 1\n", "2 [a] x=1|");
    static const char right[] = "only the text's start may hold one";
    char want[128];
    snprintf(want, sizeof want, "my.ini:1: a byte-order mark in column 1; %s", right);
    expect_error("\xef\xbb\xbf\xef\xbb\xbfx = 1\n", want);
    snprintf(want, sizeof want, "my.ini:2: a byte-order mark in column 5; %s", right);
    expect_error("[a]\nx = \xef\xbb\xbf"
                 "1\n",
                 want);
}

// A text of `size` bytes on one line: "x = " and letters.
static void fill_line(char *out, size_t size) {
    memset(out, 'v', size);
    memcpy(out, "x = ", 4);
    out[size] = '\0';
}

static void lines_hold_180_bytes_and_no_more(void **state) {
    (void)state;
    char line[300], text[400], want[400];
    fill_line(line, 180);
    snprintf(want, sizeof want, "1 [] x=%s|2 [] y=1|", line + 4);
    snprintf(text, sizeof text, "%s\r\ny = 1\n", line);
    expect_entries(text, want);
    snprintf(text, sizeof text, "\xef\xbb\xbf%s\ny = 1\n", line);
    expect_entries(text, want);
    fill_line(line, 181);
    expect_error(line, "my.ini:1: a line of 181 bytes; write at most 180, comments too");
    line[0] = ';';
    snprintf(text, sizeof text, "a = 1\n%s\n", line);
    expect_error(text, "my.ini:2: a line of 181 bytes; write at most 180, comments too");
    memset(line, ' ', 250);
    line[250] = '\0';
    expect_error(line, "my.ini:1: a line of 250 bytes; write at most 180, comments too");
}

static void indented_lines_are_no_continuations(void **state) {
    (void)state;
    expect_error("a = 1\n  2\n",
                 "my.ini:2: blanks in front of \"2\"; start in column 1, each value on one line");
    expect_error(" [a]\n",
                 "my.ini:1: blanks in front of \"[a]\"; start in column 1, each value on one line");
    expect_error(
        "a = 1\n b = 2  \n",
        "my.ini:2: blanks in front of \"b = 2\"; start in column 1, each value on one line");
    expect_error("\n ; c\n",
                 "my.ini:2: blanks in front of \"; c\"; start in column 1, each value on one line");
}

static void a_key_needs_a_name_a_sign_and_a_value(void **state) {
    (void)state;
    expect_error("[run]\nbatch 128\n", "my.ini:2: no \"=\" in \"batch 128\"; write key = value");
    expect_error("= 3\n", "my.ini:1: no key in \"= 3\"; write key = value");
    expect_error(": 3\n", "my.ini:1: no key in \": 3\"; write key = value");
    expect_error("=\n", "my.ini:1: no key in \"=\"; write key = value");
    expect_error("a =\n", "my.ini:1: no value in \"a =\"; write key = value");
    expect_error("a:   \r\n", "my.ini:1: no value in \"a:\"; write key = value");
}

static void a_section_is_one_closed_name_and_nothing_behind_it(void **state) {
    (void)state;
    expect_error("[run\n", "my.ini:1: no \"]\" in \"[run\"; write a section as [name]");
    expect_error("[run = ]x\n", "my.ini:1: an empty name, or blanks at its ends, in \"[run = ]x\"; "
                                "write a section as [name]");
    expect_error(
        "[]\n",
        "my.ini:1: an empty name, or blanks at its ends, in \"[]\"; write a section as [name]");
    expect_error(
        "[ ]\n",
        "my.ini:1: an empty name, or blanks at its ends, in \"[ ]\"; write a section as [name]");
    expect_error(
        "[ a]\n",
        "my.ini:1: an empty name, or blanks at its ends, in \"[ a]\"; write a section as [name]");
    expect_error("[a] b = 1\n",
                 "my.ini:1: text behind \"]\" in \"[a] b = 1\"; write a section as [name]");
    expect_error("[a]]\n", "my.ini:1: text behind \"]\" in \"[a]]\"; write a section as [name]");
    expect_error("[\n", "my.ini:1: no \"]\" in \"[\"; write a section as [name]");
}

static void section_names_are_never_cut(void **state) {
    (void)state;
    char name[64], text[128], want[192];
    memset(name, 's', sizeof name);
    name[49] = '\0';
    snprintf(text, sizeof text, "[%s]\nx = 1\n", name);
    snprintf(want, sizeof want, "2 [%s] x=1|", name);
    expect_entries(text, want);
    name[49] = 's';
    name[50] = '\0';
    snprintf(text, sizeof text, "[%s]\nx = 1\n", name);
    snprintf(want, sizeof want,
             "my.ini:1: section \"%s\" of 50 bytes; a section's name has at most 49", name);
    expect_error(text, want);
}

static void a_key_given_twice_in_a_section_names_both_lines(void **state) {
    (void)state;
    expect_error("[a]\nx = 1\ny = 1\nx = 1\n",
                 "my.ini:4: key \"x\" of section [a] a second time; line 2 has it, keep one");
    expect_error("[a]\nx = 1\n[b]\nx = 1\n[a]\nx: 1\n",
                 "my.ini:6: key \"x\" of section [a] a second time; line 2 has it, keep one");
    expect_error("x=1\nx=2",
                 "my.ini:2: key \"x\" of section [] a second time; line 1 has it, keep one");
    expect_entries("[a]\nx = 1\nX = 1\nxx = 1\n[aa]\nx = 1\n",
                   "2 [a] x=1|3 [a] X=1|4 [a] xx=1|6 [aa] x=1|");
}

static void comments_behind_anything_are_refused(void **state) {
    (void)state;
    static const char right[] = "write comments on lines of their own";
    static const struct {
        const char *text, *read;
    } cases[] = {
        {"a = 1 ; c\n", "\";\" in column 7 of \"a = 1 ; c\""},
        {"a = 1 # c\n", "\"#\" in column 7 of \"a = 1 # c\""},
        {"a = 1;2\n", "\";\" in column 6 of \"a = 1;2\""},
        {"a = #\n", "\"#\" in column 5 of \"a = #\""},
        {"[a] ; c\n", "\";\" in column 5 of \"[a] ; c\""},
        {"[a#b]\n", "\"#\" in column 3 of \"[a#b]\""},
        {"a;b = 1\n", "\";\" in column 2 of \"a;b = 1\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[160];
        snprintf(want, sizeof want, "my.ini:1: %s; %s", cases[i].read, right);
        expect_error(cases[i].text, want);
    }
}

static void every_control_byte_is_refused_even_in_comments(void **state) {
    (void)state;
    for (int byte = 0; byte < 128; byte++) {
        if ((byte >= ' ' && byte < 0x7f) || byte == '\n') continue;
        char text[] = "x = 1\n; a?b\n", want[128];
        text[9] = (char)byte;
        if (byte == '\t')
            snprintf(want, sizeof want, "my.ini:2: a tab in column 4; write spaces");
        else
            snprintf(
                want, sizeof want,
                "my.ini:2: control byte 0x%02x in column 4; write text, lines end with LF or CRLF",
                (unsigned)byte);
        expect_error_bytes(text, sizeof text - 1, want);
    }
    expect_error("a = 1\r",
                 "my.ini:1: control byte 0x0d in column 6; write text, lines end with LF or CRLF");
    expect_error("a = 1\r\r\n",
                 "my.ini:1: control byte 0x0d in column 6; write text, lines end with LF or CRLF");
    expect_error_bytes(
        "a = 1\0\nb = 2\n", 13,
        "my.ini:1: control byte 0x00 in column 6; write text, lines end with LF or CRLF");
}

static int accepts(const char *bytes, size_t size) {
    char text[16] = "x = ";
    Log log = {0};
    FxError err = {0};
    memcpy(text + 4, bytes, size);
    return read_bytes(text, 4 + size, &log, &err) == 0;
}

// The value is one code point, encoded here by the definition; size: the bytes to use.
static int accepts_code(unsigned code, size_t size) {
    static const unsigned first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    char bytes[4];
    for (size_t i = size; i-- > 1; code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(first[size] | code);
    return accepts(bytes, size);
}

static void utf8_is_accepted_exactly_where_it_is_well_formed(void **state) {
    (void)state;
    for (unsigned code = 0x80; code < 0x800; code++) assert_true(accepts_code(code, 2));
    for (unsigned code = 0x800; code < 0x10000; code++) {
        int right = (code < 0xd800 || code > 0xdfff) && code != 0xfeff;
        if (accepts_code(code, 3) != right)
            fail_msg("U+%04X: %s", code, right ? "refused" : "accepted");
    }
    for (unsigned code = 0x10000; code < 0x110000; code += 0x101)
        assert_true(accepts_code(code, 4));
    assert_true(accepts_code(0x10ffff, 4));
    assert_false(accepts_code(0x110000, 4));
    for (unsigned code = 0; code < 0x80; code++) assert_false(accepts_code(code, 2));
    for (unsigned code = 0; code < 0x800; code++) assert_false(accepts_code(code, 3));
    for (unsigned code = 0; code < 0x10000; code += 7) assert_false(accepts_code(code, 4));
    for (int byte = 0x80; byte < 0x100; byte++) {
        char cut[] = {(char)byte, '1'};
        assert_false(accepts(cut, 1)); // at the end of the text
        assert_false(accepts(cut, 2));
    }
    assert_false(accepts("\xe2\x82", 2));
    assert_false(accepts("\xf0\x9f\x98", 3));
    expect_error("ab = 1\nx = \xff\n", "my.ini:2: byte 0xff in column 5; write UTF-8");
}

static void an_entry_that_fails_stops_the_reading_with_its_own_error(void **state) {
    (void)state;
    static const char text[] = "a = 1\nb = 2\nc = 3\n[";
    Log log = {.stop_at = 2};
    FxError err = {0};
    assert_int_equal(read_bytes(text, sizeof text - 1, &log, &err), -1);
    assert_string_equal(log.text, "1 [] a=1|2 [] b=2|");
    assert_int_equal(err.exit_code, FX_EXIT_DATA);
    assert_string_equal(err.text, "stopped at b");
}

static void the_first_wrong_line_is_the_one_reported(void **state) {
    (void)state;
    Log log = {0};
    FxError err = {0};
    static const char text[] = "a = 1\nb\nc = 3\na = 1\n";
    assert_int_equal(read_bytes(text, sizeof text - 1, &log, &err), -1);
    assert_string_equal(log.text, "1 [] a=1|");
    assert_string_equal(err.text, "my.ini:2: no \"=\" in \"b\"; write key = value");
}

static int count(void *user, const char *section, const char *key, const char *value, int line,
                 FxError *err) {
    (void)section, (void)key, (void)value, (void)line, (void)err;
    ++*(int *)user;
    return 0;
}

// `keys` different keys, all equally long.
static int read_keys(int keys, int *calls, FxError *err) {
    size_t size = (size_t)keys * 12;
    char *text = malloc(size + 1);
    assert_non_null(text);
    for (int i = 0; i < keys; i++) {
        char line[32];
        snprintf(line, sizeof line, "key%04d = 1\n", i);
        memcpy(text + (size_t)i * 12, line, 12);
    }
    int result = fx_ini_read("my.ini", text, size, count, calls, err);
    free(text);
    return result;
}

static void a_text_has_4096_keys_and_no_more(void **state) {
    (void)state;
    FxError err = {0};
    int calls = 0;
    assert_int_equal(read_keys(4096, &calls, &err), 0);
    assert_int_equal(calls, 4096);
    calls = 0;
    assert_int_equal(read_keys(4097, &calls, &err), -1);
    assert_int_equal(calls, 4096);
    assert_int_equal(err.exit_code, FX_EXIT_USAGE);
    assert_string_equal(err.text,
                        "my.ini:4097: key \"key4096\" is one too many; write at most 4096 keys");
}

static void megabytes_end_with_one_short_error_or_none(void **state) {
    (void)state;
    size_t size = (size_t)16 << 20;
    char *text = malloc(size + 1);
    assert_non_null(text);
    int calls = 0;
    FxError err = {0};
    memset(text, '\n', size + 1);
    assert_int_equal(fx_ini_read("my.ini", text, size, count, &calls, &err), 0);
    assert_int_equal(fx_ini_read("my.ini", text, size + 1, count, &calls, &err), -1);
    assert_string_equal(err.text, "my.ini: 16777217 bytes; write at most 16777216");
    memset(text, 'a', size);
    assert_int_equal(fx_ini_read("my.ini", text, size, count, &calls, &err), -1);
    assert_string_equal(err.text,
                        "my.ini:1: a line of 16777216 bytes; write at most 180, comments too");
    assert_int_equal(calls, 0);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_arrive_in_file_order_with_section_and_line),
        cmocka_unit_test(blanks_around_keys_and_values_are_stripped_and_inside_kept),
        cmocka_unit_test(the_first_equals_sign_or_colon_splits),
        cmocka_unit_test(texts_without_keys_call_nothing),
        cmocka_unit_test(line_ends_may_be_lf_crlf_or_missing),
        cmocka_unit_test(a_byte_order_mark_is_skipped_at_the_start_and_refused_elsewhere),
        cmocka_unit_test(lines_hold_180_bytes_and_no_more),
        cmocka_unit_test(indented_lines_are_no_continuations),
        cmocka_unit_test(a_key_needs_a_name_a_sign_and_a_value),
        cmocka_unit_test(a_section_is_one_closed_name_and_nothing_behind_it),
        cmocka_unit_test(section_names_are_never_cut),
        cmocka_unit_test(a_key_given_twice_in_a_section_names_both_lines),
        cmocka_unit_test(comments_behind_anything_are_refused),
        cmocka_unit_test(every_control_byte_is_refused_even_in_comments),
        cmocka_unit_test(utf8_is_accepted_exactly_where_it_is_well_formed),
        cmocka_unit_test(an_entry_that_fails_stops_the_reading_with_its_own_error),
        cmocka_unit_test(the_first_wrong_line_is_the_one_reported),
        cmocka_unit_test(a_text_has_4096_keys_and_no_more),
        cmocka_unit_test(megabytes_end_with_one_short_error_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
