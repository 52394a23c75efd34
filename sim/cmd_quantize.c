// fxsim quantize: numbers in, what a format makes of them out, in pieces, so that a file may be larger than memory.
#include "sim/command.h"

#include "formats/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PIECE = 65536, LONGEST_LINE = 4096 };

typedef enum Form { VALUES = 1, CODES = 2, BOTH = 3 } Form;

typedef struct Request {
    FxQuantiser q;
    const char *text, *path; // path NULL: standard input
    uint64_t seed, stream, step, lane, group, channels; // group, channels 0: not given
    bool raw, raw_out, decimal;
    Form form; // 0: not given
} Request;

void fx_usage_quantize(FILE *out) {
    fprintf(out,
            "Reads numbers from FILE or standard input, one a line: decimal (0.1, -3e-5), C99 hexadecimal (0x1.8p-3), inf, nan. Each\n"
            "is rounded once to float64, and that is quantised. Writes a line an element, and statistics to standard error.\n"
            "FORMAT: see fxsim formats.\n\n"
            "  --values      the values, C99 hexadecimal (the default)\n"
            "  --codes       the codes: signed decimals of fixed, binary and ternary, 0x patterns of the others\n"
            "  --both        code, blank, value\n"
            "  --decimal     values as the shortest decimals that read back\n"
            "  --raw         the input is float32, little-endian\n"
            "  --raw-out     the output is the values as float32, little-endian\n"
            "  --seed S, --stream N, --step N   of the random bits (0); element i of the input has word i\n"
            "  --lane BITS   random bits an element: 8, 16 or 32 (32)\n"
            "  --group N     every N elements are a tensor: scales of a tensor are chosen for each, controllers go on\n"
            "  --channels C  length of a row: blocks do not cross rows, .channel scales have C groups (the whole input)\n\n"
            "Scales that read a whole tensor first need --group or a regular file, which is then one tensor: read twice for max,\n"
            "max-ceil, max-fit and shift, else into memory. Exit codes: 1 input or output, 2 options, 4 the data.\n");
}

// ---- options

static int read_count(uint64_t *value, const char *name, const char *text, uint64_t low, uint64_t high, FxError *err) {
    uint64_t x = 0;
    bool good = *text != 0;
    for (const char *p = text; good && *p; p++) {
        good = *p >= '0' && *p <= '9' && x <= (UINT64_MAX - (uint64_t)(*p - '0')) / 10;
        x = x * 10 + (uint64_t)(*p - '0');
    }
    if (!good || x < low || x > high)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: --%s \"%.80s\": write a whole number from %" PRIu64 " to %" PRIu64, name, text, low, high);
    *value = x;
    return 0;
}

static int set_form(Request *r, Form form, const char *word, FxError *err) {
    if (r->form && r->form != form)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: %s: --values, --codes and --both exclude each other", word);
    r->form = form;
    return 0;
}

static int read_option(Request *r, int argc, char **argv, int *i, FxError *err) {
    const uint64_t most = UINT64_C(1) << 40;
    const struct {
        const char *name;
        uint64_t *value, low, high;
    } counts[] = {{"seed", &r->seed, 0, UINT64_MAX},   {"stream", &r->stream, 0, UINT32_MAX}, {"step", &r->step, 0, UINT32_MAX},
                  {"lane", &r->lane, 8, 32},           {"group", &r->group, 1, most},         {"channels", &r->channels, 1, most}};
    const struct {
        const char *name;
        bool *flag;
        Form form;
    } flags[] = {{"values", NULL, VALUES}, {"codes", NULL, CODES}, {"both", NULL, BOTH}, {"raw", &r->raw, 0}, {"raw-out", &r->raw_out, 0},
                 {"decimal", &r->decimal, 0}};
    const char *word = argv[*i], *name = word + 2, *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    for (size_t k = 0; word[1] == '-' && k < sizeof counts / sizeof counts[0]; k++) {
        if (strlen(counts[k].name) != n || strncmp(name, counts[k].name, n))
            continue;
        const char *text = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : "";
        return read_count(counts[k].value, counts[k].name, text, counts[k].low, counts[k].high, err);
    }
    for (size_t k = 0; word[1] == '-' && k < sizeof flags / sizeof flags[0]; k++) {
        if (strcmp(name, flags[k].name))
            continue;
        if (!flags[k].flag)
            return set_form(r, flags[k].form, word, err);
        *flags[k].flag = true;
        return 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "quantize: no option %.80s; see fxsim quantize --help", word);
}

// What the library refuses of this quantiser at all, asked with an empty array.
static int try_empty(const Request *r, FxError *err) {
    FxArray none = {"", FX_FLOAT64, 0, 0, 0, 0, NULL};
    FxDraw draw = {r->seed, (uint32_t)r->stream, (uint32_t)r->step, 0, (int)r->lane};
    FxOutput nothing = {0};
    const FxRoundMode *mode = fx_rounding_mode(&r->q.rounding);
    if (mode->needs & FX_ROUND_DIRECTION)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: rounding %s needs the signs of the amounts subtracted, which only a training step has", mode->name);
    if (mode->needs & FX_ROUND_INTEGER)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: rounding %s exists for integer sources alone; numbers are read as floats", mode->name);
    return fx_quantise(&r->q, NULL, &none, &draw, &nothing, NULL, err);
}

static int read_words(Request *r, int argc, char **argv, FxError *err) {
    *r = (Request){.lane = 32};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            if (read_option(r, argc, argv, &i, err))
                return -1;
        } else if (!r->text) {
            r->text = argv[i];
        } else if (r->path) {
            return fx_fail(err, FX_EXIT_USAGE, "quantize: \"%.80s\" behind %.200s: one file at a time", argv[i], r->path);
        } else {
            r->path = argv[i];
        }
    }
    if (!r->text)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: a format is missing, as in: fxsim quantize e4m3fn numbers.txt; see --help");
    if (r->path && !strcmp(r->path, "-"))
        r->path = NULL;
    if (fx_quantiser_parse(&r->q, r->text, err) || try_empty(r, err))
        return -1;
    if (r->raw_out && (r->form || r->decimal))
        return fx_fail(err, FX_EXIT_USAGE, "quantize: --raw-out writes float32 values; it goes with none of --values, --codes, --both, --decimal");
    if (r->decimal && r->form == CODES)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: --decimal is about values; --codes writes none");
    if (r->q.scale.group == FX_GROUP_CHANNEL && !r->channels)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: %s: a scale by channel needs --channels C", r->text);
    if (r->channels && r->group % r->channels)
        return fx_fail(err, FX_EXIT_USAGE, "quantize: --group %" PRIu64 " is no multiple of --channels %" PRIu64, r->group, r->channels);
    r->form = r->form ? r->form : VALUES;
    return 0;
}

// ---- input

typedef struct Source {
    FILE *file;
    const char *name;
    bool raw;
    uint64_t line;
} Source;

static int failed_read(const Source *in, FxError *err) {
    return fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be read: %s", in->name, strerror(errno));
}

// A line without its end into text; its length, -1 at the end of the file, -2 for one that is too long or holds a 0.
static int read_line(Source *in, char text[LONGEST_LINE]) {
    int n = 0, c;
    bool bad = false;
    while ((c = getc_unlocked(in->file)) != EOF && c != '\n') {
        bad |= c == 0 || n == LONGEST_LINE - 1;
        if (n < LONGEST_LINE - 1)
            text[n++] = (char)(c ? c : '?');
        if (bad && n == LONGEST_LINE - 1) // no need to read an endless one
            break;
    }
    text[n] = 0;
    if (c == EOF && n == 0)
        return -1;
    in->line++;
    return bad ? -2 : n;
}

// strtod's texts without its extras; the program never leaves the C locale, whatever the environment says.
static bool parse_number(double *x, char *text) {
    char *end, *p = text + strspn(text, " \t");
    size_t n = strlen(p);
    while (n && strchr(" \t\r", p[n - 1]))
        p[--n] = 0;
    const char *digits = p + (*p == '-' || *p == '+');
    bool word = !strcasecmp(digits, "inf") || !strcasecmp(digits, "infinity") || !strcasecmp(digits, "nan");
    if (!word && (digits[0] == 0 || strspn(digits, "0123456789abcdefABCDEFxXpP.+-") != n - (size_t)(digits - p) || !strpbrk(digits, "0123456789")))
        return false;
    *x = strtod(p, &end);
    return *end == 0;
}

static int read_text(Source *in, double *x, size_t limit, size_t *n, FxError *err) {
    char text[LONGEST_LINE];
    while (*n < limit) {
        int length = read_line(in, text);
        if (length == -1)
            return ferror(in->file) ? failed_read(in, err) : 0;
        if (length == -2 || !parse_number(&x[*n], text))
            return fx_fail(err, FX_EXIT_DATA, "%s:%" PRIu64 ": \"%.40s%s\" is no number; one a line, as 0.1, -3e-5, 0x1.8p-3, inf, nan", in->name,
                           in->line, text, strlen(text) > 40 ? "..." : "");
        ++*n;
    }
    return 0;
}

static int read_raw(Source *in, uint32_t *x, size_t limit, size_t *n, FxError *err) {
    size_t bytes = fread(x + *n, 1, (limit - *n) * 4, in->file), first = *n;
    *n += bytes / 4;
    for (size_t i = first; i < *n; i++) { // little-endian on every machine
        unsigned char b[4];
        memcpy(b, &x[i], 4);
        x[i] = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    }
    if (ferror(in->file))
        return failed_read(in, err);
    if (bytes % 4)
        return fx_fail(err, FX_EXIT_DATA, "%s: %zu bytes behind the last float32; --raw reads whole ones of 4 bytes", in->name, bytes % 4);
    return 0;
}

// ---- one piece

// How the input is cut: a piece holds up to `limit` elements, a multiple of `unit`; cuts fall on multiples of it.
typedef struct Work {
    const Request *r;
    size_t limit, unit, room;
    bool constant; // one group goes on through all pieces
    void *x;
    void *codes, *values; // values: float64, with --raw-out float32
    void *exponents, *scales; // int32_t and float, one a group of the piece
    void *state; // int64_t, of `groups` groups
    size_t groups;
    uint64_t element, groups_seen;
    FxStats stats;
} Work;

static int plan(Work *w, const Request *r, bool regular, FxError *err) {
    const FxScale *scale = &r->q.scale;
    bool all = fx_quantiser_reads_all(&r->q), blocks = scale->group == FX_GROUP_BLOCK;
    *w = (Work){.r = r, .unit = 1, .constant = !all && !blocks};
    if (r->channels)
        w->unit = (size_t)r->channels;
    else if (blocks)
        w->unit = (size_t)scale->block;
    w->limit = w->unit < PIECE ? PIECE / w->unit * w->unit : w->unit;
    if (r->group && (all || blocks)) {
        w->limit = (size_t)r->group;
        w->unit = r->channels ? (size_t)r->channels : w->limit;
    } else if (all && !regular) {
        return fx_fail(err, FX_EXIT_USAGE, "quantize: %s reads a whole tensor before its first element: give --group N or a regular file", r->text);
    } else if (all) {
        w->limit = SIZE_MAX / 16 / w->unit * w->unit;
    }
    return 0;
}

static bool resize(void **memory, size_t bytes) {
    void *fresh = realloc(*memory, bytes ? bytes : 1);
    *memory = fresh ? fresh : *memory;
    return fresh;
}

// Room for at least n elements.
static int grow(Work *w, size_t n, FxError *err) {
    const Request *r = w->r;
    size_t room = w->room ? w->room : PIECE;
    while (room < n)
        room *= 2;
    room = room < w->limit ? room : w->limit;
    if (room <= w->room)
        return 0;
    if (!resize(&w->x, room * (r->raw ? 4 : 8)))
        return fx_fail_memory(err, "quantize: a tensor", room * (r->raw ? 4 : 8));
    w->room = room;
    return 0;
}

// Outputs for n elements; new groups start fresh.
static int prepare(Work *w, const FxArray *x, FxError *err) {
    const Request *r = w->r;
    size_t groups, words = fx_state_words(&r->q), n = x->count;
    if (fx_quantiser_groups(&groups, &r->q, x, err))
        return -1;
    size_t code = r->form & CODES ? fx_type_size(fx_quantiser_type(&r->q)) : 0, value = r->raw_out ? 4 : r->form & VALUES ? 8 : 0;
    bool good = resize(&w->codes, n * code) && resize(&w->values, n * value) && resize(&w->exponents, groups * sizeof(int32_t)) &&
                resize(&w->scales, groups * sizeof(float));
    if (good && groups > w->groups) {
        good = resize(&w->state, groups * words * sizeof(int64_t));
        if (good)
            fx_state_start((int64_t *)w->state + w->groups * words, &r->q, groups - w->groups);
        w->groups = good ? groups : w->groups;
    }
    return good ? 0 : fx_fail_memory(err, "quantize: a tensor", n * (code + value));
}

static void print_value(double x, bool decimal) {
    char text[FX_VALUE_TEXT];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    (decimal ? fx_value_decimal : fx_value_hex)(text, fx_number_f64(bits));
    fputs(text, stdout);
}

static void print_lines(const Work *w, size_t n) {
    const Request *r = w->r;
    FxTensor codes = {w->codes, fx_quantiser_type(&r->q), n, 0};
    char text[FX_CODE_TEXT];
    for (size_t i = 0; i < n; i++) {
        if (r->form & CODES) {
            fx_code_print(text, &r->q.grid, fx_tensor_get(&codes, i));
            fputs(text, stdout);
            if (r->form & VALUES)
                putc_unlocked(' ', stdout);
        }
        if (r->form & VALUES)
            print_value(((const double *)w->values)[i], r->decimal);
        putc_unlocked('\n', stdout);
    }
}

// Little-endian on every machine, in place.
static void write_raw(Work *w, size_t n) {
    unsigned char *b = w->values;
    for (size_t i = 0; i < n; i++, b += 4) {
        uint32_t u;
        memcpy(&u, b, sizeof u);
        for (int k = 0; k < 4; k++)
            b[k] = (unsigned char)(u >> 8 * k);
    }
    fwrite(w->values, 4, n, stdout);
}

static int quantise_piece(Work *w, size_t n, FxError *err) {
    const Request *r = w->r;
    FxArray x = {.data = w->x, .type = r->raw ? FX_FLOAT32 : FX_FLOAT64, .count = n, .channels = (size_t)r->channels};
    FxDraw draw = {r->seed, (uint32_t)r->stream, (uint32_t)r->step, w->element, (int)r->lane};
    size_t groups;
    if (n == 0)
        return 0;
    if (prepare(w, &x, err) || fx_quantiser_groups(&groups, &r->q, &x, err))
        return -1;
    bool values = !r->raw_out && (r->form & VALUES);
    FxOutput y = {.codes = r->form & CODES ? w->codes : NULL, .values = r->raw_out ? w->values : NULL, .values64 = values ? w->values : NULL,
                  .exponents = w->exponents, .scales = w->scales};
    if (!r->group) // pieces of one input are no calls that follow each other
        fx_state_start(w->state, &r->q, groups);
    if (fx_quantise(&r->q, w->state, &x, &draw, &y, &w->stats, err))
        return -1;
    w->element += n;
    w->groups_seen = w->constant ? 1 : w->groups_seen + groups;
    if (r->raw_out)
        write_raw(w, n);
    else
        print_lines(w, n);
    return ferror(stdout) ? fx_fail(err, FX_EXIT_RUNTIME, "standard output cannot be written") : 0;
}

// ---- all of it

static int fill(Work *w, Source *in, size_t *n, FxError *err) {
    *n = 0;
    for (;;) {
        if (*n == w->room && grow(w, *n + 1, err))
            return -1;
        size_t before = *n, room = w->room;
        if (in->raw ? read_raw(in, w->x, room, n, err) : read_text(in, w->x, room, n, err))
            return -1;
        if (*n < room || room == w->limit || *n == before)
            return 0;
    }
}

// Bad data do not spoil what stands before them: whole units of the piece are still written.
static int quantise_all(Work *w, Source *in, FxError *err) {
    for (;;) {
        size_t n;
        FxError later;
        int result = fill(w, in, &n, err);
        bool last = n < w->limit, odd = w->r->channels && n % w->r->channels;
        uint64_t read = w->element + n;
        if ((result || odd) && last)
            n = fx_quantiser_reads_all(&w->r->q) ? 0 : n / w->unit * w->unit; // half a tensor would get another scale
        if (quantise_piece(w, n, result ? &later : err)) {
            if (result)
                *err = later;
            return -1;
        }
        if (result)
            return -1;
        if (odd)
            return fx_fail(err, FX_EXIT_DATA, "%s: %" PRIu64 " numbers are no whole rows of --channels %" PRIu64, in->name, read, w->r->channels);
        if (last)
            return 0;
    }
}

static void free_work(Work *w) {
    free(w->x);
    free(w->codes);
    free(w->values);
    free(w->state);
    free(w->exponents);
    free(w->scales);
}

// Whether the scale is a power of two that the maximum alone decides: a regular file is then read twice, in pieces.
static bool settles(const FxQuantiser *q) {
    const FxScaleRule *rule = q->scale.rule;
    return rule->needs_maximum && q->scale.group == FX_GROUP_TENSOR && !rule->real && !rule->discards && !rule->sample_mean;
}

// The first reading: finds the maximum and puts the exponent chosen for it into the quantiser as a constant.
static int settle(Request *r, Source *in, FxError *err) {
    Work w = {.r = r, .limit = PIECE};
    FxNumber max = {0};
    FxQuantiser constant;
    int result;
    size_t n;
    do {
        result = fill(&w, in, &n, err);
        FxNumber piece = {0};
        if (result == 0)
            piece.magnitude = fx_max_abs(w.x, r->raw ? FX_FLOAT32 : FX_FLOAT64, n, &piece.exponent, FX_CPU_SCALAR);
        if (fx_number_compare(piece, max) > 0)
            max = piece;
    } while (result == 0 && n == w.limit);
    free_work(&w);
    if (result || (result = fx_quantiser_parse(&constant, "fixed8", err)))
        return result;
    FxScaleInput choice = {.max_abs = max.magnitude, .exponent = max.exponent, .is_float = true};
    constant.scale.parameter[0] = fx_scale_choose(&r->q.scale, &r->q.grid, &choice).exponent + r->q.grid.fraction;
    r->q.scale = constant.scale;
    rewind(in->file);
    in->line = 0;
    return 0;
}

static void print_statistics(const Work *w) {
    const FxStats *s = &w->stats;
    FxNumber max = {s->max_abs, (int)s->max_exponent, false, FX_FINITE};
    char text[FX_VALUE_TEXT];
    fx_value_decimal(text, max);
    fprintf(stderr, "n %" PRIu64 "\nsaturated %" PRIu64 "\nunderflowed %" PRIu64 "\nzeros_in %" PRIu64 "\nzeros_out %" PRIu64 "\nnonfinite %" PRIu64
            "\nat_limit %" PRIu64 "\nmax_abs %s\n", s->n, s->saturated, s->underflowed, s->zeros_in, s->zeros_out, s->nonfinite, s->at_limit, text);
    if (w->groups_seen != 1) {
        fprintf(stderr, "groups %" PRIu64 "\n", w->groups_seen);
    } else if (w->r->q.scale.rule->real) {
        uint32_t scale;
        memcpy(&scale, w->scales, sizeof scale);
        fx_value_hex(text, fx_number_f32(scale));
        fprintf(stderr, "scale %s\n", text);
    } else {
        fprintf(stderr, "exponent %d\n", (int)*(const int32_t *)w->exponents);
    }
}

int fx_command_quantize(int argc, char **argv, FxExit *exit_code, FxError *err) {
    Request r;
    Work w;
    struct stat st;
    *exit_code = FX_EXIT_DONE;
    if (read_words(&r, argc, argv, err))
        return -1;
    Source in = {stdin, r.path ? r.path : "standard input", r.raw, 0};
    if (r.path && !(in.file = fopen(r.path, "rb")))
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", r.path, strerror(errno));
    bool regular = fstat(fileno(in.file), &st) == 0 && S_ISREG(st.st_mode);
    w = (Work){0};
    int result = regular && !r.group && settles(&r.q) ? settle(&r, &in, err) : 0;
    if (result == 0)
        result = plan(&w, &r, regular, err);
    if (result == 0)
        result = quantise_all(&w, &in, err);
    if (result == 0 && fflush(stdout))
        result = fx_fail(err, FX_EXIT_RUNTIME, "standard output cannot be written");
    if (result == 0)
        print_statistics(&w);
    free_work(&w);
    if (r.path)
        fclose(in.file);
    return result;
}
