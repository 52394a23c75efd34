#include "sim/vectors.h"

#include "formats/number.h"
#include "sim/file.h"
#include "sim/npy.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

const char *const fx_vector_header = "file,step,layer,site,shape,layout,bits,signed,exponent,grid,crc32";
static const char *const endings[] = {".npy", ".hex"};

size_t fx_vector_count(const FxVector *v) {
    size_t n = 1;
    for (int i = 0; i < v->rank; i++)
        n *= v->shape[i];
    return n;
}

bool fx_vector_patterns(const FxVector *v, FxQuantiser *q) {
    FxError ignored;
    return v->bits < 32 && v->has_exponent && v->grid[0] && !fx_quantiser_parse(q, v->grid, &ignored) && q->grid.kind->has_patterns;
}

uint64_t fx_vector_word(const FxVector *v, const FxQuantiser *q, const FxTensor *t, size_t i) {
    uint64_t mask = v->bits < 64 ? (UINT64_C(1) << v->bits) - 1 : UINT64_MAX;
    if (t->type != FX_FLOAT32 || !q)
        return fx_tensor_bits(t, i) & mask;
    FxRoundArg arg = fx_round_arg(&q->rounding, 32);
    FxNumber x = fx_number_at(t->data, t->type, i, 0);
    x.exponent -= v->exponent;
    return (uint64_t)fx_encode(q, x, &(FxEncodeArg){.arg = &arg}).code & mask; // what fx_vector_is_exact is not rounded
}

bool fx_vector_is_exact(const FxVector *v, const FxQuantiser *q, const FxTensor *t, size_t i) {
    FxNumber x = fx_number_at(t->data, t->type, i, 0), code = q->grid.kind->decode(&q->grid, (int64_t)fx_vector_word(v, q, t, i), 0);
    code.exponent += v->exponent;
    if (x.class_of != code.class_of || x.class_of == FX_NAN)
        return x.class_of == code.class_of;
    if (x.class_of == FX_FINITE && x.magnitude == 0)
        return code.magnitude == 0;
    return x.negative == code.negative && (x.class_of != FX_FINITE || fx_number_compare(x, code) == 0);
}

// ---- writing --------------------------------------------------------------------------------------------------------

static int must_be_empty(const char *directory, FxError *err) {
    DIR *d = opendir(directory);
    bool empty = true;
    if (!d)
        return fx_fail(err, FX_EXIT_RUNTIME, "--out %s: %s", directory, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    return empty ? 0 : fx_fail(err, FX_EXIT_USAGE, "--out %s: holds files; nothing in it is replaced, give another directory", directory);
}

int fx_vectors_open(FxVectors *v, const char *directory, FxVectorForm form, FxError *err) {
    char path[FX_VECTOR_PATH + 16];
    memset(v, 0, sizeof *v);
    v->form = form;
    if (!directory[0] || strlen(directory) >= sizeof v->directory)
        return fx_fail(err, FX_EXIT_USAGE, "--out: a path of 1 to %d characters is needed", FX_VECTOR_PATH - 1);
    strcpy(v->directory, directory);
    if (mkdir(directory, 0777) && errno != EEXIST)
        return fx_fail(err, FX_EXIT_RUNTIME, "--out %s: %s", directory, strerror(errno));
    if (must_be_empty(directory, err))
        return -1;
    snprintf(path, sizeof path, "%s/manifest.csv", directory);
    v->manifest = fopen(path, "wb");
    if (!v->manifest || fprintf(v->manifest, "%s\n", fx_vector_header) < 0)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    return 0;
}

static bool is_used(const FxVectors *v, const char *name) {
    for (int i = 0; i < v->count; i++)
        if (!strcmp(v->names[i], name))
            return true;
    return false;
}

static int take_name(FxVectors *v, FxVector *vector, FxError *err) {
    char (*grown)[FX_VECTOR_NAME] = realloc(v->names, (size_t)(v->count + 1) * sizeof *grown);
    if (!grown)
        return fx_fail_memory(err, "manifest", sizeof *grown);
    v->names = grown;
    for (int i = 1; i == 1 || is_used(v, vector->file); i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, ".%d", i);
        snprintf(vector->file, sizeof vector->file, "%.30s%s%.40s%s%s", vector->layer, vector->layer[0] ? "." : "", vector->site, number, endings[v->form]);
    }
    strcpy(v->names[v->count++], vector->file);
    return 0;
}

static void print_shape(char text[96], const FxVector *v) {
    int n = 0;
    text[0] = 0;
    for (int i = 0; i < v->rank; i++)
        n += snprintf(text + n, 96 - (size_t)n, "%s%zu", i ? "x" : "", v->shape[i]);
}

static int write_hex(FILE *file, const FxVector *v, const FxTensor *t) {
    FxQuantiser q;
    const FxQuantiser *patterns = t->type == FX_FLOAT32 && fx_vector_patterns(v, &q) ? &q : NULL;
    char shape[96], exponent[32] = "";
    print_shape(shape, v);
    if (v->has_exponent)
        snprintf(exponent, sizeof exponent, ", times 2^%d", v->exponent);
    fprintf(file, "// %s%s%s, step %llu: %s %s, %d bits%s%s%s%s\n", v->layer, v->layer[0] ? " " : "", v->site, (unsigned long long)v->step, shape,
            v->layout, v->bits, v->is_signed ? " two's complement" : "", exponent, v->grid[0] ? ", " : "", v->grid);
    for (size_t i = 0; i < t->count; i++)
        fprintf(file, "%0*llx\n", (v->bits + 3) / 4, (unsigned long long)fx_vector_word(v, patterns, t, i));
    return ferror(file) ? -1 : 0;
}

// The narrowest type of .npy that holds v's words.
static FxType narrowest(const FxVector *v) {
    if (v->bits <= 8)
        return v->is_signed ? FX_INT8 : FX_UINT8;
    if (v->bits <= 16)
        return v->is_signed ? FX_INT16 : FX_UINT16;
    return v->bits > 32 ? FX_INT64 : v->is_signed ? FX_INT32 : FX_UINT32;
}

static int write_npy(FILE *file, const char *path, const FxVector *v, const FxTensor *t, FxError *err) {
    FxTensor codes = {NULL, narrowest(v), t->count, t->exponent};
    if (fx_type_is_float(t->type) || codes.type == t->type)
        return fx_npy_write(file, path, t, v->rank, v->shape, err);
    codes.data = malloc(t->count * fx_type_size(codes.type));
    if (!codes.data)
        return fx_fail_memory(err, path, t->count * fx_type_size(codes.type));
    for (size_t i = 0; i < t->count; i++)
        fx_tensor_set(&codes, i, fx_tensor_get(t, i));
    int result = fx_npy_write(file, path, &codes, v->rank, v->shape, err);
    free(codes.data);
    return result;
}

int fx_file_crc32(uint32_t *crc, const char *path, FxError *err) {
    unsigned char *bytes;
    size_t size;
    if (fx_file_read(&bytes, &size, path, FX_EXIT_DATA, err))
        return -1;
    *crc = (uint32_t)crc32_z(crc32(0, NULL, 0), bytes, size);
    free(bytes);
    return 0;
}

int fx_vectors_add(FxVectors *v, FxVector *vector, const FxTensor *t, FxError *err) {
    char path[FX_VECTOR_PATH + FX_VECTOR_NAME], shape[96], exponent[16] = "";
    assert(fx_vector_count(vector) == t->count);
    if (take_name(v, vector, err))
        return -1;
    snprintf(path, sizeof path, "%s/%s", v->directory, vector->file);
    FILE *file = fopen(path, "wb");
    if (!file)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    int result = v->form == FX_VECTOR_NPY ? write_npy(file, path, vector, t, err)
                 : write_hex(file, vector, t) ? fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno)) : 0;
    if (fclose(file) && result == 0)
        result = fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno));
    if (result || fx_file_crc32(&vector->crc32, path, err))
        return -1;
    print_shape(shape, vector);
    if (vector->has_exponent)
        snprintf(exponent, sizeof exponent, "%d", vector->exponent);
    if (fprintf(v->manifest, "%s,%llu,%s,%s,%s,%s,%d,%d,%s,%s,%08x\n", vector->file, (unsigned long long)vector->step, vector->layer, vector->site, shape,
                vector->layout, vector->bits, vector->is_signed, exponent, vector->grid, vector->crc32) < 0)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s/manifest.csv: cannot be written: %s", v->directory, strerror(errno));
    return 0;
}

int fx_vectors_close(FxVectors *v, FxError *err) {
    bool failed = v->manifest && fclose(v->manifest) != 0;
    free(v->names);
    v->manifest = NULL;
    v->names = NULL;
    return failed ? fx_fail(err, FX_EXIT_RUNTIME, "%s/manifest.csv: cannot be written: %s", v->directory, strerror(errno)) : 0;
}

// ---- reading --------------------------------------------------------------------------------------------------------

// A whole number and nothing behind it.
static bool read_number(const char *text, long long low, long long high, long long *n) {
    char *end;
    errno = 0;
    *n = strtoll(text, &end, 10);
    return !errno && end != text && !*end && !isspace((unsigned char)*text) && *n >= low && *n <= high;
}

// "8x8x1": 1 to 4 sizes from 1, together at most 2^40 elements.
static bool read_shape(FxVector *v, const char *text) {
    const size_t most = (size_t)1 << 40;
    size_t elements = 1;
    for (v->rank = 0;; text++) {
        char *end;
        size_t n = (size_t)strtoull(text, &end, 10);
        if (!isdigit((unsigned char)*text) || v->rank == 4 || n == 0 || n > most / elements || (*end && *end != 'x'))
            return false;
        v->shape[v->rank++] = n;
        elements *= n;
        text = end;
        if (!*end)
            return true;
    }
}

int fx_vector_parse(FxVector *v, const char *line, const char *where, FxError *err) {
    enum { CELLS = 11 };
    char cell[CELLS][FX_QUANTISER_TEXT] = {{0}}, *end;
    int cells = 0;
    long long step = 0, bits = 0, sign = 0, exponent = 0;
    FxQuantiser q;
    FxError ignored;
    memset(v, 0, sizeof *v);
    for (const char *p = line;; p++) {
        size_t n = strcspn(p, ",");
        if (cells == CELLS || n >= sizeof cell[0])
            return fx_fail(err, FX_EXIT_DATA, "%s: not a line of a manifest (%s)", where, fx_vector_header);
        memcpy(cell[cells++], p, n);
        p += n;
        if (!*p)
            break;
    }
    if (cells != CELLS || !cell[0][0] || cell[0][0] == '.' || strchr(cell[0], '/') || strlen(cell[0]) >= sizeof v->file ||
        strlen(cell[2]) >= sizeof v->layer || strlen(cell[3]) >= sizeof v->site || strlen(cell[5]) >= sizeof v->layout)
        return fx_fail(err, FX_EXIT_DATA, "%s: not a line of a manifest (%s)", where, fx_vector_header);
    bool numbers = read_number(cell[1], 0, INT64_MAX, &step) && read_number(cell[6], 1, 64, &bits) && read_number(cell[7], 0, 1, &sign) &&
                   (!cell[8][0] || read_number(cell[8], INT16_MIN, INT16_MAX, &exponent));
    v->crc32 = (uint32_t)strtoul(cell[10], &end, 16);
    if (!numbers || !read_shape(v, cell[4]) || strlen(cell[10]) != 8 || *end || (cell[9][0] && fx_quantiser_parse(&q, cell[9], &ignored)))
        return fx_fail(err, FX_EXIT_DATA, "%s: step \"%.20s\", shape \"%.60s\", bits \"%.20s\", signed \"%.20s\", exponent \"%.20s\", grid \"%.60s\", "
                       "crc32 \"%.20s\": not all as fxsim dump writes them", where, cell[1], cell[4], cell[6], cell[7], cell[8], cell[9], cell[10]);
    strcpy(v->file, cell[0]);
    v->step = (uint64_t)step;
    strcpy(v->layer, cell[2]);
    strcpy(v->site, cell[3]);
    strcpy(v->layout, cell[5]);
    v->bits = (int)bits;
    v->is_signed = sign;
    v->has_exponent = cell[8][0] != 0;
    v->exponent = (int)exponent;
    strcpy(v->grid, cell[9]);
    return 0;
}

static void skip_blank(const char **p) {
    for (;;) {
        *p += strspn(*p, " \t\r\n\f");
        if ((*p)[0] == '/' && (*p)[1] == '/')
            *p += strcspn(*p, "\n");
        else if ((*p)[0] == '/' && (*p)[1] == '*' && strstr(*p + 2, "*/"))
            *p = strstr(*p + 2, "*/") + 2;
        else
            return;
    }
}

// One word of $readmemh's syntax: hexadecimal digits, '_' between them, x and z. -1: something else.
static int read_word(const char **p, uint64_t *word, bool *unknown) {
    int digits = 0;
    *word = 0;
    *unknown = false;
    for (; **p && !strchr(" \t\r\n\f/", **p); ++*p) {
        int c = tolower((unsigned char)**p);
        if (c == '_')
            continue;
        digits++;
        if (c == 'x' || c == 'z' || c == '?')
            *unknown = true;
        else if (!isxdigit(c) || *word >> 60)
            return -1;
        else
            *word = *word << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return digits ? 0 : -1;
}

// Characters of a word that a message shows.
static int shown(const char *word) {
    size_t n = strcspn(word, " \t\r\n\f");
    return n < 16 ? (int)n : 16;
}

// given: all false before.
static int parse_hex(uint64_t *words, bool *unknown, bool *given, const FxVector *v, const char *text, const char *path, FxError *err) {
    size_t at = 0, seen = 0, count = fx_vector_count(v);
    uint64_t mask = v->bits < 64 ? (UINT64_C(1) << v->bits) - 1 : UINT64_MAX, word;
    bool is_unknown;
    for (const char *p = text; skip_blank(&p), *p;) {
        const char *from = p;
        bool address = *p == '@';
        p += address;
        if (read_word(&p, &word, &is_unknown) || (address && is_unknown))
            return fx_fail(err, FX_EXIT_DATA, "%s: element %zu: hexadecimal digits are needed, not \"%.*s\"", path, at, shown(from), from);
        if (address) {
            at = (size_t)word;
            continue;
        }
        if (at >= count)
            return fx_fail(err, FX_EXIT_DATA, "%s: more than the %zu elements that the manifest says", path, count);
        if (word & ~mask)
            return fx_fail(err, FX_EXIT_DATA, "%s: element %zu is %llx; the manifest says %d bits", path, at, (unsigned long long)word, v->bits);
        words[at] = word;
        unknown[at] = is_unknown;
        seen += !given[at];
        given[at++] = true;
    }
    if (seen < count)
        return fx_fail(err, FX_EXIT_DATA, "%s: %zu elements; the manifest says %zu", path, seen, count);
    return 0;
}

static int parse_npy(uint64_t *words, const FxVector *v, const unsigned char *bytes, size_t size, const char *path, FxError *err) {
    FxNpy a;
    FxQuantiser q;
    size_t count = fx_vector_count(v);
    if (fx_npy_parse(&a, bytes, size, path, err))
        return -1;
    int result = 0;
    bool same = a.tensor.count == count, patterns = a.tensor.type == FX_FLOAT32 && fx_vector_patterns(v, &q);
    bool floats = v->bits == 32 && !v->is_signed && !v->has_exponent; // or integers that look so: places of images, random words
    if (!same || a.tensor.type == FX_FLOAT64 || (a.tensor.type == FX_FLOAT32 && !patterns && !floats))
        result = fx_fail(err, FX_EXIT_DATA, "%s: %zu elements of %s; the manifest says %zu of %d bits", path, a.tensor.count, fx_type_name(a.tensor.type), count,
                         v->bits);
    uint64_t mask = v->bits < 64 ? (UINT64_C(1) << v->bits) - 1 : UINT64_MAX;
    for (size_t i = 0; result == 0 && i < count; i++) {
        words[i] = fx_vector_word(v, patterns ? &q : NULL, &a.tensor, i);
        if (patterns && !fx_vector_is_exact(v, &q, &a.tensor, i)) {
            char value[FX_NUMBER_HEX];
            fx_number_print_hex(value, fx_number_at(a.tensor.data, a.tensor.type, i, 0));
            result = fx_fail(err, FX_EXIT_DATA, "%s: element %zu is %s, which %s has not", path, i, value, v->grid);
            break;
        }
        int64_t whole = a.tensor.type < FX_FLOAT32 ? fx_tensor_get(&a.tensor, i) : 0;
        uint64_t kept = words[i], sign = v->is_signed && v->bits < 64 && kept >> (v->bits - 1) ? ~mask : 0;
        if (a.tensor.type < FX_FLOAT32 && (uint64_t)whole != (kept | sign))
            result = fx_fail(err, FX_EXIT_DATA, "%s: element %zu is %lld; the manifest says %d bits%s", path, i, (long long)whole, v->bits,
                             v->is_signed ? " with sign" : "");
    }
    free(a.tensor.data);
    return result;
}

int fx_vector_read(uint64_t **words, bool **unknown, const FxVector *v, const char *path, FxError *err) {
    unsigned char *bytes;
    size_t size, length = strlen(path), count = fx_vector_count(v);
    if (fx_file_read(&bytes, &size, path, FX_EXIT_DATA, err))
        return -1;
    if (count > size && count > 1u << 24) { // an element takes a byte at least: no memory for what cannot be there
        free(bytes);
        return fx_fail(err, FX_EXIT_DATA, "%s: %zu bytes; the manifest says %zu elements", path, size, count);
    }
    bool *given = calloc(count, sizeof *given);
    *words = calloc(count, sizeof **words);
    *unknown = calloc(count, sizeof **unknown);
    int result = given && *words && *unknown ? 0 : fx_fail_memory(err, path, count * 10);
    if (result == 0)
        result = length > 4 && !strcmp(path + length - 4, ".npy") ? parse_npy(*words, v, bytes, size, path, err)
                                                                  : parse_hex(*words, *unknown, given, v, (const char *)bytes, path, err);
    free(bytes);
    free(given);
    if (result) {
        free(*words);
        free(*unknown);
    }
    return result;
}
