// The notation parser against items written out by hand, the law that a repetition is its text
// written out, and every kind of error with its column.
#include "sim/notation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { A = FX_NOTATION_ABSENT, IN = FX_NOTATION_INPUT };

static void parse(FxNotation *net, const char *text) {
    FxError err = {0};
    memset(net, 0xa5, sizeof *net); // what was in it before does not matter
    if (fx_notation_parse(net, text, &err)) fail_msg("%.60s: %s", text, err.text);
}

static void expect_item(const char *text, int i, const FxItem *got, const FxItem *want) {
    char line[2][160];
    const FxItem *item[2] = {got, want};
    for (int k = 0; k < 2; k++) {
        const FxItem *t = item[k];
        snprintf(line[k], sizeof line[k], "\"%s\" %d %d p%d s%d input %d %d start %d column %d",
                 t->letters, t->before, t->after, t->pad, t->stride, t->input[0],
                 t->letters[0] == '+' ? t->input[1] : IN, t->block_start, t->column);
    }
    if (strcmp(line[0], line[1]))
        fail_msg("%s, item %d: got %s, want %s", text, i, line[0], line[1]);
}

static void expect_items(const char *text, const FxItem *want, int count) {
    FxNotation net;
    parse(&net, text);
    assert_int_equal(net.count, count);
    for (int i = 0; i < count; i++) expect_item(text, i, &net.items[i], &want[i]);
    fx_notation_free(&net);
    assert_null(net.items);
    assert_int_equal(net.count, 0);
}

static void vgg7_has_eleven_items_in_a_chain(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"C", 128, 3, A, A, {IN}, 0, 4}, {"C", 128, 3, A, A, {0}, 0, 4},
        {"MP", A, 2, A, A, {1}, 0, 11},  {"C", 256, 3, A, A, {2}, 0, 18},
        {"C", 256, 3, A, A, {3}, 0, 18}, {"MP", A, 2, A, A, {4}, 0, 25},
        {"C", 512, 3, A, A, {5}, 0, 32}, {"C", 512, 3, A, A, {6}, 0, 32},
        {"MP", A, 2, A, A, {7}, 0, 39},  {"FC", 1024, A, A, A, {8}, 0, 43},
        {"", 10, A, A, A, {9}, 0, 50},
    };
    expect_items("2x(128C3)-MP2-2x(256C3)-MP2-2x(512C3)-MP2-1024FC-10", want, 11);
}

static void digits_between_letters_belong_to_the_letters(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"C", 4, 3, A, A, {IN}, 0, 1}, {"L1BN", A, A, A, A, {0}, 0, 5},
        {"A12B3C", 7, 4, 0, 2, {1}, 0, 10}, {"", 10, A, A, A, {2}, 0, 23},
    };
    expect_items("4C3-L1BN-7A12B3C4p0s2-10", want, 4);
}

static void lenet_has_unpadded_convolutions(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"C", 32, 5, 0, A, {IN}, 0, 1},   {"MP", A, 2, A, A, {0}, 0, 8},
        {"C", 64, 5, 0, A, {1}, 0, 12},   {"MP", A, 2, A, A, {2}, 0, 19},
        {"FC", 512, A, A, A, {3}, 0, 23}, {"", 10, A, A, A, {4}, 0, 29},
    };
    expect_items("32C5p0-MP2-64C5p0-MP2-512FC-10", want, 6);
}

static void the_loss_is_an_item_with_the_classes_before_its_letters(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"FC", 512, A, A, A, {IN}, 0, 1},
        {"FC", 512, A, A, A, {0}, 0, 7},
        {"SSE", 10, A, A, A, {1}, 0, 13},
    };
    expect_items("512FC-512FC-10SSE", want, 3);
}

static void padding_and_stride_are_read_alone_and_together(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"C", 4, 5, 2, A, {IN}, 0, 1},    {"MP", A, 3, A, 2, {0}, 0, 7},
        {"C", 6, 2, 0, A, {1}, 0, 13},    {"FC", 16, A, A, A, {2}, 0, 19},
        {"SSE", 10, A, A, A, {3}, 0, 24},
    };
    expect_items("4C5p2-MP3s2-6C2p0-16FC-10SSE", want, 5);
    static const FxItem extremes[] = {
        {"C", 65535, 65535, 65535, 65535, {IN}, 0, 1},
        {"ABCDEFGHIJKLMNO", 1, 1, 0, 1, {0}, 0, 25},
        {"Z", A, A, 3, A, {1}, 0, 47},
    };
    expect_items("65535C65535p65535s65535-1ABCDEFGHIJKLMNO1p0s1-Zp3", extremes, 3);
}

static void a_residual_net_resolves_bodies_shortcuts_and_sums(void **state) {
    (void)state;
    static const FxItem want[] = {
        {"C", 16, 3, A, A, {IN}, 0, 1},   {"C", 16, 3, A, A, {0}, 1, 11},
        {"C", 16, 3, A, A, {1}, 0, 16},   {"+", A, A, A, A, {2, 0}, 0, 9},
        {"C", 16, 3, A, A, {3}, 1, 11},   {"C", 16, 3, A, A, {4}, 0, 16},
        {"+", A, A, A, A, {5, 3}, 0, 9},  {"C", 16, 3, A, A, {6}, 1, 11},
        {"C", 16, 3, A, A, {7}, 0, 16},   {"+", A, A, A, A, {8, 6}, 0, 9},
        {"C", 32, 3, A, 2, {9}, 1, 26},   {"C", 32, 3, A, A, {10}, 0, 33},
        {"C", 32, 1, A, 2, {9}, 1, 38},   {"+", A, A, A, A, {11, 12}, 0, 24},
        {"GAP", A, A, A, A, {13}, 0, 46}, {"SMX", 10, A, A, A, {14}, 0, 50},
    };
    expect_items("16C3-3x(+(16C3-16C3|))-+(32C3s2-32C3|32C1s2)-GAP-10SMX", want, 16);
}

static void blocks_at_the_input_and_inside_blocks_read_what_feeds_them(void **state) {
    (void)state;
    static const FxItem at_input[] = {{"BN", A, A, A, A, {IN}, 1, 3},
                                      {"+", A, A, A, A, {0, IN}, 0, 1}};
    expect_items("+(BN|)", at_input, 2);
    // blocks in a body and in a shortcut: each flags the first items of its own branches
    static const FxItem nested[] = {
        {"A", A, A, A, A, {IN}, 0, 1},   {"B", A, A, A, A, {0}, 1, 10},
        {"+", A, A, A, A, {1, 0}, 0, 8}, {"B", A, A, A, A, {2}, 1, 10},
        {"+", A, A, A, A, {3, 2}, 0, 8}, {"C", A, A, A, A, {0}, 1, 17},
        {"D", A, A, A, A, {0}, 1, 19},   {"+", A, A, A, A, {5, 6}, 0, 15},
        {"E", A, A, A, A, {7}, 0, 22},   {"+", A, A, A, A, {4, 8}, 0, 3},
        {"", 7, A, A, A, {9}, 0, 25},
    };
    expect_items("A-+(2x(+(B|))|+(C|D)-E)-7", nested, 11);
}

// The same items, but for their columns.
static void expect_same_net(const char *a_text, const char *b_text) {
    FxNotation a, b;
    parse(&a, a_text);
    parse(&b, b_text);
    assert_int_equal(a.count, b.count);
    for (int i = 0; i < a.count; i++) {
        a.items[i].column = b.items[i].column;
        expect_item(a_text, i, &a.items[i], &b.items[i]);
    }
    fx_notation_free(&a);
    fx_notation_free(&b);
}

static void a_repetition_is_its_part_written_out(void **state) {
    (void)state;
    expect_same_net("1x(A)", "A");
    expect_same_net("3x(16C3p1s2-BN)", "16C3p1s2-BN-16C3p1s2-BN-16C3p1s2-BN");
    expect_same_net("2x(2x(A)-3x(B))-9", "A-A-B-B-B-A-A-B-B-B-9");
    expect_same_net("2x(+(A|)-C)", "+(A|)-C-+(A|)-C");
    expect_same_net("Z-3x(+(A-B|C))", "Z-+(A-B|C)-+(A-B|C)-+(A-B|C)");
    expect_same_net("2x(+(+(A|)|))-F", "+(+(A|)|)-+(+(A|)|)-F");
    expect_same_net("Z-2x(A-+(2x(B)|2x(+(C|))))", "Z-A-+(B-B|+(C|)-+(C|))-A-+(B-B|+(C|)-+(C|))");
    expect_same_net("+(2x(A-B)|2x(C-D))", "+(A-B-A-B|C-D-C-D)");
}

static void spaces_between_tokens_change_only_columns(void **state) {
    (void)state;
    expect_same_net("2x(128C3p1s2)-+(A|)-+(A|B)-10SSE",
                    "  2 x ( 128 C 3 p 1 s 2 ) - + ( A | ) - +(A | B) - 10 SSE  ");
    expect_same_net("007C03p00", "7C3p0");
    static const FxItem want[] = {{"C", 8, 3, A, A, {IN}, 0, 9}, {"", 10, A, A, A, {0}, 0, 20}};
    expect_items("  1 x ( 8 C 3 )  - 10", want, 2);
}

static void expect_error(const char *text, const char *want) {
    FxNotation net;
    FxError err = {0};
    memset(&net, 0xa5, sizeof net);
    if (fx_notation_parse(&net, text, &err) != -1) fail_msg("accepted: %.60s", text);
    assert_int_equal(err.exit_code, FX_EXIT_USAGE);
    assert_string_equal(err.text, want);
    assert_null(net.items);
    assert_int_equal(net.count, 0);
    fx_notation_free(&net);
}

#define ITEM_BELONGS                                                                               \
    "; here belongs an item like 16C3 or 32C3p1s2, a number, n x ( ... ) or +( ... | ... )"
#define UNROLLED "; a network has at most 4096 items, repetitions unrolled"
#define NOTATION "network notation, column "

static void where_an_item_is_missing_the_error_says_so(void **state) {
    (void)state;
    expect_error("", NOTATION "1: read the end" ITEM_BELONGS);
    expect_error("   ", NOTATION "4: read the end" ITEM_BELONGS);
    expect_error("A-", NOTATION "3: read the end" ITEM_BELONGS);
    expect_error("-A", NOTATION "1: read \"-\"" ITEM_BELONGS);
    expect_error("A--B", NOTATION "3: read \"-\"" ITEM_BELONGS);
    expect_error("2x()", NOTATION "4: read \")\"" ITEM_BELONGS);
    expect_error("+(|A)", NOTATION "3: read \"|\"" ITEM_BELONGS);
    expect_error("+( |)", NOTATION "4: read \"|\"" ITEM_BELONGS);
    expect_error("+(A-|)", NOTATION "5: read \"|\"" ITEM_BELONGS);
    expect_error("+(A|B-)", NOTATION "7: read \")\"" ITEM_BELONGS);
    expect_error("(A)", NOTATION "1: read \"(\"" ITEM_BELONGS);
    expect_error("lenet", NOTATION "1: read \"lenet\"" ITEM_BELONGS);
    expect_error("x(A)", NOTATION "1: read \"x\"" ITEM_BELONGS);
    expect_error("A-\xc3\x97", NOTATION "3: read byte 0xc3" ITEM_BELONGS);
}

static void behind_a_part_only_a_dash_or_what_closes_is_right(void **state) {
    (void)state;
    expect_error("A B", NOTATION "3: read \"B\"; here belongs \"-\" and the next item, or the end");
    expect_error("C3 16C3",
                 NOTATION "4: read \"16\"; here belongs \"-\" and the next item, or the end");
    expect_error("A)", NOTATION "2: read \")\"; here belongs \"-\" and the next item, or the end");
    expect_error("3X(A)",
                 NOTATION "3: read \"(\"; here belongs \"-\" and the next item, or the end");
    expect_error("A\t-B",
                 NOTATION "2: read byte 0x09; here belongs \"-\" and the next item, or the end");
    expect_error("A\xe2\x80\x93"
                 "B",
                 NOTATION "2: read byte 0xe2; here belongs \"-\" and the next item, or the end");
    expect_error("10 7",
                 NOTATION "4: read \"7\"; here belongs \"-\" and the next item, or the end");
    expect_error("2x(A",
                 NOTATION "5: read the end; here belongs \"-\" and the next item, or \")\"");
    expect_error("2x(A|B)",
                 NOTATION "5: read \"|\"; here belongs \"-\" and the next item, or \")\"");
    expect_error("+(A|B|C)",
                 NOTATION "6: read \"|\"; here belongs \"-\" and the next item, or \")\"");
    expect_error("+(A)", NOTATION
                 "4: read \")\"; here belongs \"-\" and the next item, or \"|\" and the shortcut");
    expect_error(
        "+(A", NOTATION
        "4: read the end; here belongs \"-\" and the next item, or \"|\" and the shortcut");
    expect_error("+(A|", NOTATION "5: read the end" ITEM_BELONGS);
}

static void suffixes_out_of_order_or_twice_are_named(void **state) {
    (void)state;
    static const char right[] = "pN and sN stand behind letters, once each, p before s";
    static const struct {
        const char *text, *read;
    } cases[] = {{"C3s2p1", "5: read \"p\""}, {"C3p1p1", "5: read \"p\""},
                 {"C3s1s1", "5: read \"s\""}, {"10p0", "3: read \"p\""},
                 {"10s2", "3: read \"s\""},   {"10sse", "3: read \"sse\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[160];
        snprintf(want, sizeof want, NOTATION "%s; %s", cases[i].read, right);
        expect_error(cases[i].text, want);
    }
    expect_error("128c3",
                 NOTATION "4: read \"c\"; letters are upper case, but for n x ( ... ), pN and sN");
    expect_error("C3x(A)",
                 NOTATION "3: read \"x\"; letters are upper case, but for n x ( ... ), pN and sN");
}

static void numbers_outside_their_range_are_quoted(void **state) {
    (void)state;
    expect_error("0C3", NOTATION "1: read \"0\"; a number before letters or x lies in 1 .. 65535");
    expect_error("0x(A)",
                 NOTATION "1: read \"0\"; a number before letters or x lies in 1 .. 65535");
    expect_error("65536",
                 NOTATION "1: read \"65536\"; a number before letters or x lies in 1 .. 65535");
    expect_error("A-4294967297C", NOTATION
                 "3: read \"4294967297\"; a number before letters or x lies in 1 .. 65535");
    expect_error("C0", NOTATION "2: read \"0\"; a number behind letters lies in 1 .. 65535");
    expect_error("C65536",
                 NOTATION "2: read \"65536\"; a number behind letters lies in 1 .. 65535");
    expect_error("C3p65536", NOTATION "4: read \"65536\"; the padding behind p lies in 0 .. 65535");
    expect_error("C3p", NOTATION "4: read the end; the padding behind p lies in 0 .. 65535");
    expect_error("C3pool", NOTATION "4: read \"ool\"; the padding behind p lies in 0 .. 65535");
    expect_error("C3p-1", NOTATION "4: read \"-\"; the padding behind p lies in 0 .. 65535");
    expect_error("C3s0", NOTATION "4: read \"0\"; the stride behind s lies in 1 .. 65535");
    expect_error("C3s", NOTATION "4: read the end; the stride behind s lies in 1 .. 65535");
}

static void parentheses_missing_behind_x_and_plus_are_named(void **state) {
    (void)state;
    expect_error("2xA", NOTATION "3: read \"A\"; a repetition is written n x ( ... )");
    expect_error("2x", NOTATION "3: read the end; a repetition is written n x ( ... )");
    expect_error("+A", NOTATION "2: read \"A\"; a residual block is written +( body | shortcut )");
    expect_error("A-+",
                 NOTATION "4: read the end; a residual block is written +( body | shortcut )");
}

static void limits_hold_and_one_more_is_refused(void **state) {
    (void)state;
    static const char *const full[] = {"4096x(A)", "64x(64x(A))", "1365x(+(A|B))-Z", "4095x(A)-Z"};
    FxNotation net;
    for (int i = 0; i < 4; i++) {
        parse(&net, full[i]);
        assert_int_equal(net.count, 4096);
        fx_notation_free(&net);
    }
    parse(&net, "1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(A))))))))))))))))");
    assert_int_equal(net.count, 1);
    fx_notation_free(&net);

    expect_error("4097x(A)", NOTATION "1: read \"4097\"" UNROLLED);
    expect_error("4096x(A-B)", NOTATION "1: read \"4096\"" UNROLLED);
    expect_error("A-65535x(A)", NOTATION "3: read \"65535\"" UNROLLED);
    expect_error("4096x(4096x(4096x(A)))", NOTATION "7: read \"4096\"" UNROLLED);
    expect_error("4096x(A)-Z", NOTATION "10: read \"Z\"; a network has at most 4096 items");
    expect_error("+(4096x(A)|)", NOTATION "1: read \"+\"; a network has at most 4096 items");
    expect_error("1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(1x(A)))))))))))))))))",
                 NOTATION "51: read \"(\"; parentheses nest at most 16 deep");
    expect_error("A-ABCDEFGHIJKLMNOP",
                 NOTATION "3: read \"ABCDEFGHIJKLMNOP\"; an item has at most 15 letters");
}

// Four megabytes of `pattern`; the error, or NULL where it parses.
static void expect_megabytes(const char *pattern, const char *tail, const char *want) {
    size_t n = strlen(pattern), times = ((size_t)4 << 20) / n;
    char *text = malloc(times * n + strlen(tail) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < times; i++) memcpy(text + i * n, pattern, n);
    strcpy(text + times * n, tail);
    if (want) {
        expect_error(text, want);
    } else {
        FxNotation net;
        parse(&net, text);
        fx_notation_free(&net);
    }
    free(text);
}

static void megabytes_of_anything_end_with_one_short_error(void **state) {
    (void)state;
    expect_megabytes("4096x(", "", NOTATION "102: read \"(\"; parentheses nest at most 16 deep");
    expect_megabytes("+(", "", NOTATION "34: read \"(\"; parentheses nest at most 16 deep");
    expect_megabytes("A-", "A", NOTATION "8193: read \"A\"; a network has at most 4096 items");
    expect_megabytes("9", "",
                     NOTATION "1: read \"999999999999999999999999...\"; "
                              "a number before letters or x lies in 1 .. 65535");
    expect_megabytes("A", "",
                     NOTATION
                     "1: read \"AAAAAAAAAAAAAAAAAAAAAAAA...\"; an item has at most 15 letters");
    expect_megabytes("x", "", NOTATION "1: read \"xxxxxxxxxxxxxxxxxxxxxxxx...\"" ITEM_BELONGS);
    expect_megabytes(" ", "", NOTATION "4194305: read the end" ITEM_BELONGS);
    expect_megabytes(" ", "A", NULL);
    expect_megabytes("0", "7C3", NULL);
}

static void freeing_a_zeroed_notation_does_nothing(void **state) {
    (void)state;
    FxNotation net = {0};
    fx_notation_free(&net);
    fx_notation_free(&net);
    assert_null(net.items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vgg7_has_eleven_items_in_a_chain),
        cmocka_unit_test(digits_between_letters_belong_to_the_letters),
        cmocka_unit_test(lenet_has_unpadded_convolutions),
        cmocka_unit_test(the_loss_is_an_item_with_the_classes_before_its_letters),
        cmocka_unit_test(padding_and_stride_are_read_alone_and_together),
        cmocka_unit_test(a_residual_net_resolves_bodies_shortcuts_and_sums),
        cmocka_unit_test(blocks_at_the_input_and_inside_blocks_read_what_feeds_them),
        cmocka_unit_test(a_repetition_is_its_part_written_out),
        cmocka_unit_test(spaces_between_tokens_change_only_columns),
        cmocka_unit_test(where_an_item_is_missing_the_error_says_so),
        cmocka_unit_test(behind_a_part_only_a_dash_or_what_closes_is_right),
        cmocka_unit_test(suffixes_out_of_order_or_twice_are_named),
        cmocka_unit_test(numbers_outside_their_range_are_quoted),
        cmocka_unit_test(parentheses_missing_behind_x_and_plus_are_named),
        cmocka_unit_test(limits_hold_and_one_more_is_refused),
        cmocka_unit_test(megabytes_of_anything_end_with_one_short_error),
        cmocka_unit_test(freeing_a_zeroed_notation_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
