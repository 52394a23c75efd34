#include "sim/npy.h"

#include "sim/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "\x93NUMPY";

// One line a type. uint16 and uint32 are bit patterns and masks here, float64 is read only.
static const struct {
    char kind, size;
    FxType type;
} types[] = {{'i', 1, FX_INT8},  {'u', 1, FX_UINT8},  {'b', 1, FX_UINT8},   {'i', 2, FX_INT16},   {'u', 2, FX_UINT16},
             {'i', 4, FX_INT32}, {'u', 4, FX_UINT32}, {'i', 8, FX_INT64}, {'f', 4, FX_FLOAT32}, {'f', 8, FX_FLOAT64}};
enum { TYPES = sizeof types / sizeof types[0] };

int fx_npy_write(FILE *file, const char *path, const FxTensor *t, int rank, const size_t *shape, FxError *err) {
    unsigned char head[256], buffer[4096];
    char text[192];
    int line = 0;
    while (types[line].type != t->type)
        line++;
    size_t size = fx_type_size(t->type);
    int n = snprintf(text, sizeof text, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", size == 1 ? '|' : '<', types[line].kind, (int)size);
    for (int i = 0; i < rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%zu,%s", shape[i], i + 1 < rank ? " " : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    size_t whole = (size_t)(10 + n + 1 + 63) / 64 * 64; // the data begins on a multiple of 64
    memset(head, ' ', sizeof head);
    memcpy(head, magic, 6);
    head[6] = 1;
    head[7] = 0;
    fx_put_le(head + 8, whole - 10, 2);
    memcpy(head + 10, text, (size_t)n);
    head[whole - 1] = '\n';
    bool failed = fwrite(head, 1, whole, file) != whole;
    for (size_t i = 0; i < t->count && !failed;) {
        size_t used = 0;
        for (; used + size <= sizeof buffer && i < t->count; used += size, i++)
            fx_put_le(buffer + used, fx_tensor_bits(t, i), size);
        failed = fwrite(buffer, 1, used, file) != used;
    }
    return failed ? fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno)) : 0;
}

// The word behind 'key': in the header's dictionary; NULL: none.
static const char *value_of(const char *head, const char *key) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *p = strstr(head, quoted);
    p = p ? strchr(p + strlen(quoted), ':') : NULL;
    return p ? p + 1 + strspn(p + 1, " ") : NULL;
}

static int read_shape(FxNpy *a, const char *text) {
    a->tensor.count = 1;
    if (!text || *text != '(')
        return -1;
    for (text += 1 + strspn(text + 1, " "); *text != ')'; text += strspn(text, ", ")) {
        char *end;
        errno = 0;
        unsigned long long n = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || errno || a->rank == FX_NPY_RANK || (n && a->tensor.count > (SIZE_MAX >> 4) / n))
            return -1;
        a->shape[a->rank++] = (size_t)n;
        a->tensor.count *= (size_t)n;
        text = end;
    }
    return 0;
}

int fx_npy_parse(FxNpy *a, const unsigned char *bytes, size_t size, const char *path, FxError *err) {
    char head[4096];
    memset(a, 0, sizeof *a);
    size_t wide = size > 6 && bytes[6] > 1 ? 4 : 2, start = size >= 8 + wide ? (size_t)fx_get_le(bytes + 8, wide) + 8 + wide : SIZE_MAX;
    if (size < 12 || memcmp(bytes, magic, 6) || start > size || start - 8 - wide >= sizeof head)
        return fx_fail(err, FX_EXIT_DATA, "%s: not a .npy file", path);
    memcpy(head, bytes + 8 + wide, start - 8 - wide);
    head[start - 8 - wide] = 0;
    const char *descr = value_of(head, "descr"), *order = value_of(head, "fortran_order");
    int line = 0;
    while (line < TYPES && (!descr || strlen(descr) < 5 || descr[2] != types[line].kind || descr[3] != '0' + types[line].size || descr[4] != descr[0]))
        line++;
    if (line == TYPES)
        return fx_fail(err, FX_EXIT_DATA, "%s: descr is %.24s; integers of up to 64 bits, float32 and float64 can be read", path, descr ? descr : "missing");
    if (read_shape(a, value_of(head, "shape")))
        return fx_fail(err, FX_EXIT_DATA, "%s: no shape of at most %d sizes in its header", path, FX_NPY_RANK);
    if (!order || (strncmp(order, "False", 5) && a->rank > 1))
        return fx_fail(err, FX_EXIT_DATA, "%s: column-major; save it with numpy.ascontiguousarray", path);
    size_t width = (size_t)types[line].size;
    if (size - start != a->tensor.count * width)
        return fx_fail(err, FX_EXIT_DATA, "%s: %zu bytes of data where its header says %zu", path, size - start, a->tensor.count * width);
    a->tensor.type = types[line].type;
    a->tensor.data = malloc(a->tensor.count ? a->tensor.count * width : 1);
    if (!a->tensor.data)
        return fx_fail_memory(err, path, a->tensor.count * width);
    for (size_t i = 0; i < a->tensor.count; i++) {
        unsigned char element[8];
        for (size_t b = 0; b < width; b++)
            element[b] = bytes[start + i * width + (descr[1] == '>' ? width - 1 - b : b)];
        uint64_t x = fx_get_le(element, width);
        if (width == 1)
            ((uint8_t *)a->tensor.data)[i] = (uint8_t)x;
        else if (width == 2)
            ((uint16_t *)a->tensor.data)[i] = (uint16_t)x;
        else if (width == 4)
            ((uint32_t *)a->tensor.data)[i] = (uint32_t)x;
        else
            ((uint64_t *)a->tensor.data)[i] = x;
    }
    return 0;
}
