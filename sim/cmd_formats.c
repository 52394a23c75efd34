// fxsim formats: the tables of formats/, as they are; what a quantiser can represent, in words, codes and pictures.
#include "sim/command.h"

#include "formats/explain.h"
#include "sim/picture.h"
#include "sim/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED_BITS = 8, MOST_LISTED_BITS = 16, MOST_PICTURED = 48 };

void fx_usage_formats(FILE *out) {
    fprintf(out,
            "A quantiser is written GRID[@SCALE][/ROUNDING][/OVERFLOW], as fixed8f7@shift-unit/stochastic:32:below/saturate.\n"
            "Left out: scale const:0, rounding nearest-even, overflow saturate.\n\n"
            "Without a NAME: all grids, named formats, scales, roundings and overflow policies. With one (a quantiser, as e4m3fn\n"
            "or fixed8f3): its range, precision and special codes, and at most %d bits: all codes.\n\n"
            "  --codes     all codes of up to %d bits too\n"
            "  --csv       the codes (up to %d bits) as CSV instead of text: format,code,bits,class,value,value_hex\n"
            "  --png FILE  a picture instead of text: the positive values on a log2 axis\n",
            LISTED_BITS, MOST_LISTED_BITS, MOST_LISTED_BITS);
}

// ---- the tables

static void list_grids(void) {
    printf("grids\n");
    for (int i = 0; fx_grid_kind(i); i++) {
        const FxGridKind *kind = fx_grid_kind(i);
        if (strlen(kind->syntax) > 20)
            printf("  %s\n  %-20s %s\n", kind->syntax, "", kind->help);
        else
            printf("  %-20s %s\n", kind->syntax, kind->help);
    }
}

// The aliases whose text is read as the named grid.
static void print_aliases(const char *name) {
    const char *mark = "  also ";
    for (int i = 0; fx_grid_alias(i); i++) {
        FxGrid grid;
        FxError ignored;
        if (fx_grid_parse(&grid, fx_grid_alias(i), NULL, &ignored) == 0 && grid.name && !strcmp(grid.name, name)) {
            printf("%s%s", mark, fx_grid_alias(i));
            mark = ", ";
        }
    }
}

static double float64_of(FxNumber x) {
    uint64_t bits = fx_number_to_f64(x);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void list_named(void) {
    printf("\nnamed formats\n  %-15s %4s %8s %8s %5s %12s %16s %18s\n", "", "bits", "exponent", "mantissa", "bias", "largest", "smallest normal",
           "smallest positive");
    for (int i = 0; fx_grid_named(i); i++) {
        const FxGrid *g = fx_grid_named(i);
        FxCodes codes = fx_codes_positive(g);
        int64_t normal = INT64_C(1) << g->mantissa_bits;
        if (fx_code_class(g, codes.first) != FX_CODE_SUBNORMAL)
            normal = codes.first;
        printf("  %-15s %4d %8d %8d %5d %12.6g %16.6g %18.6g", g->name, g->bits, g->exponent_bits, g->mantissa_bits, g->bias,
               float64_of(fx_grid_largest(g)), float64_of(g->kind->decode(g, normal, 0)), float64_of(g->kind->decode(g, codes.first, 0)));
        print_aliases(g->name);
        printf("\n");
    }
}

static void list_scales(void) {
    static const char *const groups[] = {[FX_GROUP_CHANNEL] = ".channel", [FX_GROUP_SAMPLE] = ".sample", [FX_GROUP_BLOCK] = ".blockN"};
    printf("\nscales\n");
    for (int i = 0; fx_scale_rule(i); i++) {
        const FxScaleRule *rule = fx_scale_rule(i);
        char name[60], suffixes[40] = "";
        snprintf(name, sizeof name, "%s%s", rule->name, rule->parameters ? rule->parameters : "");
        for (int k = FX_GROUP_CHANNEL; k <= FX_GROUP_BLOCK; k++)
            if (rule->groups >> k & 1)
                snprintf(suffixes + strlen(suffixes), sizeof suffixes - strlen(suffixes), "%s%s", suffixes[0] ? ", " : "; takes ", groups[k]);
        if (strlen(name) > 20)
            printf("  %s\n  %-20s %s%s\n", name, "", rule->help, suffixes);
        else
            printf("  %-20s %s%s\n", name, rule->help, suffixes);
    }
}

static void list_roundings(void) {
    printf("\nroundings\n");
    for (int i = 0; i < FX_ROUND_MODES; i++) {
        const FxRoundMode *mode = &fx_round_modes[i];
        char name[40];
        snprintf(name, sizeof name, "%s%s%s", mode->name, mode->law ? ":r:" : "", mode->law ? mode->law : "");
        printf("  %-20s %s\n", name, mode->help);
    }
    printf("    parameters: stochastic[:r[:law]], sr-eps:e[:r], signed-sr-eps:e[:r], add-constant:c; r random bits (1..32)\n");
}

static void list_overflow(void) {
    static const char *const help[FX_OVERFLOWS] = {
        [FX_OVERFLOW_SATURATE] = "what is too large, and Inf, becomes the largest value",
        [FX_OVERFLOW_PROPAGATE] = "the same, but Inf becomes Inf, else NaN",
        [FX_OVERFLOW_INF] = "what is too large becomes Inf, else NaN",
        [FX_OVERFLOW_WRAP] = "drops the high bits; two's complement and unsigned fixed grids",
    };
    printf("\noverflow\n");
    for (int i = 0; i < FX_OVERFLOWS; i++)
        printf("  %-20s %s\n", fx_overflow_name((FxOverflow)i), help[i]);
}

static void list_all(void) {
    printf("A quantiser is written GRID[@SCALE][/ROUNDING][/OVERFLOW]; fxsim formats NAME says what one can represent.\n\n");
    list_grids();
    list_named();
    list_scales();
    list_roundings();
    list_overflow();
}

// ---- codes

void fx_format_text(char text[FX_FORMAT_TEXT], const FxQuantiser *q) {
    char scale[48];
    fx_grid_print(text, FX_FORMAT_TEXT, &q->grid);
    fx_scale_print(scale, sizeof scale, &q->scale);
    if (strcmp(scale, "const:0"))
        snprintf(text + strlen(text), FX_FORMAT_TEXT - strlen(text), "@%s", scale);
}

// The code's bits; apart: with a blank between the fields of a float.
static void bits_text(char text[80], const FxGrid *g, int64_t code, bool apart) {
    char *p = text;
    for (int i = g->bits - 1; i >= 0; i--) {
        *p++ = (char)('0' + ((uint64_t)code >> i & 1));
        bool ends = i == g->exponent_bits + g->mantissa_bits || i == g->mantissa_bits;
        if (apart && g->exponent_bits && ends && i)
            *p++ = ' ';
    }
    *p = 0;
}

void fx_value_hex(char text[FX_VALUE_TEXT], FxNumber x) {
    x.negative = x.negative && x.class_of != FX_NAN; // its sign is the code's business
    fx_number_print_hex(text, x);
}

// "2.4e+02" is the shortest text of 240, and not what a person expects.
void fx_value_decimal(char text[FX_VALUE_TEXT], FxNumber x) {
    FxNumber back = fx_number_f64(fx_number_to_f64(x));
    if (x.class_of != FX_FINITE || back.class_of != FX_FINITE || fx_number_compare(x, back)) {
        fx_value_hex(text, x);
        return;
    }
    fx_number(text, float64_of(x));
    const char *power = strstr(text, "e+");
    int tens = power ? atoi(power + 2) : 0;
    if (tens > 0 && tens < 16) // exact: an integer below 10^16 that is a float64
        snprintf(text, FX_VALUE_TEXT, "%.0f", float64_of(x));
}

static void print_codes(const FxQuantiser *q, bool csv) {
    FxCodes all = fx_codes_all(&q->grid);
    char format[FX_FORMAT_TEXT], code[FX_CODE_TEXT], bits[80], value[FX_VALUE_TEXT], hex[FX_VALUE_TEXT];
    fx_format_text(format, q);
    for (int64_t c = all.first; c <= all.last; c++) {
        FxCodeClass class_of = fx_code_class(&q->grid, c);
        if (class_of == FX_CODE_UNUSED && !q->grid.kind->has_patterns) // binary has no 0
            continue;
        FxNumber x = fx_code_value(q, c);
        fx_code_print(code, &q->grid, c);
        bits_text(bits, &q->grid, c, !csv);
        fx_value_decimal(value, x);
        fx_value_hex(hex, x);
        if (class_of == FX_CODE_UNUSED)
            value[0] = hex[0] = 0;
        if (csv)
            printf("%s,%s,%s,%s,%s,%s\n", format, code, bits, fx_code_class_name(class_of), value, hex);
        else
            printf("  %8s  %-19s  %-9s  %-24s  %s\n", code, bits, fx_code_class_name(class_of), value, hex);
    }
}

static int print_one(const FxQuantiser *q, bool codes, FxError *err) {
    size_t length = fx_quantiser_explain(NULL, 0, q);
    char *text = malloc(length + 1);
    if (!text)
        return fx_fail_memory(err, "a text", length + 1);
    fx_quantiser_explain(text, length + 1, q);
    fputs(text, stdout);
    free(text);
    if (codes) {
        printf("\n  %8s  %-19s  %-9s  %-24s  %s\n", "code", "bits", "class", "value", "exact");
        print_codes(q, false);
    }
    return 0;
}

// ---- the command

typedef struct Request {
    FxQuantiser q[MOST_PICTURED];
    int count;
    bool codes, csv;
    const char *png;
} Request;

static int read_words(Request *r, int argc, char **argv, FxError *err) {
    for (int i = 1; i < argc; i++) {
        bool is_png = !strncmp(argv[i], "--png", 5) && (argv[i][5] == 0 || argv[i][5] == '=');
        if (!strcmp(argv[i], "--codes")) {
            r->codes = true;
        } else if (!strcmp(argv[i], "--csv")) {
            r->csv = true;
        } else if (is_png && r->png) {
            return fx_fail(err, FX_EXIT_USAGE, "formats: %s: --png a second time, behind %s; keep one", argv[i], r->png);
        } else if (is_png) {
            r->png = argv[i][5] ? argv[i] + 6 : i + 1 < argc ? argv[++i] : "";
            if (!r->png[0] || !strncmp(r->png, "--", 2))
                return fx_fail(err, FX_EXIT_USAGE, "formats: --png: a file must follow, as --png formats.png");
        } else if (argv[i][0] == '-') {
            return fx_fail(err, FX_EXIT_USAGE, "formats: no option %s; known: --codes, --csv, --png FILE", argv[i]);
        } else if (r->count == MOST_PICTURED) {
            return fx_fail(err, FX_EXIT_USAGE, "formats: \"%s\": %d formats at once are the most", argv[i], MOST_PICTURED);
        } else if (fx_quantiser_parse(&r->q[r->count++], argv[i], err)) {
            return -1;
        }
    }
    if (r->count == 0 && (r->codes || r->csv || r->png))
        return fx_fail(err, FX_EXIT_USAGE, "formats: --%s: the name of a format is missing, as e4m3fn", r->png ? "png" : r->csv ? "csv" : "codes");
    for (int i = 0; i < r->count && (r->codes || r->csv); i++)
        if (r->q[i].grid.bits > MOST_LISTED_BITS) {
            char text[FX_FORMAT_TEXT];
            fx_format_text(text, &r->q[i]);
            return fx_fail(err, FX_EXIT_USAGE, "formats: --%s: %s has %d bits; codes are listed up to %d", r->csv ? "csv" : "codes", text,
                           r->q[i].grid.bits, MOST_LISTED_BITS);
        }
    return 0;
}

static int print_names(const Request *r, FxError *err) {
    for (int i = 0; i < r->count && !ferror(stdout); i++) {
        printf(i ? "\n" : "");
        if (print_one(&r->q[i], r->codes || r->q[i].grid.bits <= LISTED_BITS, err))
            return -1;
    }
    return 0;
}

int fx_command_formats(int argc, char **argv, FxExit *exit_code, FxError *err) {
    Request request = {0}, *r = &request;
    *exit_code = FX_EXIT_DONE;
    if (read_words(r, argc, argv, err))
        return -1;
    if (r->count == 0) {
        list_all();
        return 0;
    }
    if (r->png && fx_picture_formats(r->png, r->q, r->count, err))
        return -1;
    if (r->csv) {
        printf("format,code,bits,class,value,value_hex\n");
        for (int i = 0; i < r->count; i++)
            print_codes(&r->q[i], true);
        return 0;
    }
    return r->png && !r->codes ? 0 : print_names(r, err);
}
