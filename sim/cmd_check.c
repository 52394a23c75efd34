// fxsim check: vectors of hardware or another program against those of fxsim dump.
#include "sim/command.h"

#include "sim/vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fx_usage_check(FILE *out) {
    fprintf(out, "VEC: a directory that fxsim dump --trace wrote. OUT: one that holds files of the same names, .npy or .hex, some or all of\n"
                 "them. Compares in the order of the manifest, names the first element that differs, counts the files that do.\n\n"
                 "  --%-18s %s\n\nExit codes: 0 all that OUT holds is equal, 1 something differs, 2 usage, 4 a file cannot be read.\n",
            "against OUT", "what to compare with");
}

// OUT's file of a vector: its own name, or the other ending.
static bool find_file(char path[FX_VECTOR_PATH], const char *directory, const FxVector *v) {
    size_t stem = strlen(v->file) > 4 ? strlen(v->file) - 4 : strlen(v->file);
    const char *names[] = {v->file + stem, ".hex", ".npy"};
    for (int i = 0; i < 3; i++)
        if (snprintf(path, FX_VECTOR_PATH, "%s/%.*s%s", directory, (int)stem, v->file, names[i]) < FX_VECTOR_PATH && access(path, R_OK) == 0)
            return true;
    return false;
}

static void print_word(char text[48], const FxVector *v, uint64_t word, bool unknown) {
    uint64_t sign = v->bits < 64 && word >> (v->bits - 1) ? ~((UINT64_C(1) << v->bits) - 1) : 0;
    if (unknown)
        snprintf(text, 48, "x");
    else if (v->is_signed)
        snprintf(text, 48, "%lld (0x%0*llx)", (long long)(word | sign), (v->bits + 3) / 4, (unsigned long long)word);
    else
        snprintf(text, 48, "%llu (0x%0*llx)", (unsigned long long)word, (v->bits + 3) / 4, (unsigned long long)word);
}

static void print_index(char text[96], const FxVector *v, size_t i) {
    size_t rest = fx_vector_count(v);
    int n = 0;
    for (int d = 0; d < v->rank; d++) {
        rest /= v->shape[d];
        n += snprintf(text + n, 96 - (size_t)n, "%s%zu", d ? "," : "", i / rest % v->shape[d]);
    }
}

// 1: they differ. The first difference of all is told: then *said.
static int compare(const FxVector *v, const char *expected_path, const char *found_path, bool *said, FxError *err) {
    uint64_t *expected, *found;
    bool *expected_unknown, *unknown;
    char want[48], got[48], index[96];
    int result = 0;
    if (fx_vector_read(&expected, &expected_unknown, v, expected_path, err))
        return -1;
    if (fx_vector_read(&found, &unknown, v, found_path, err)) {
        free(expected);
        free(expected_unknown);
        return -1;
    }
    size_t count = fx_vector_count(v), different = 0;
    for (size_t i = count; i-- > 0;)
        if (expected[i] != found[i] || unknown[i]) {
            different++;
            print_index(index, v, i);
            print_word(want, v, expected[i], false);
            print_word(got, v, found[i], unknown[i]);
        }
    result = different > 0;
    if (different && !*said)
        printf("%s: layer %s, %s, element [%s] (%s): expected %s, found %s; %zu of %zu differ\n", found_path, v->layer[0] ? v->layer : "-", v->site, index,
               v->layout, want, got, different, count);
    *said |= different > 0;
    free(expected);
    free(expected_unknown);
    free(found);
    free(unknown);
    return result;
}

// VEC's own file: there, and as it was when it was dumped.
static int find_expected(char path[FX_VECTOR_PATH], const char *vectors, const FxVector *v, const char *where, FxError *err) {
    uint32_t crc;
    if (snprintf(path, FX_VECTOR_PATH, "%s/%s", vectors, v->file) >= FX_VECTOR_PATH || access(path, R_OK))
        return fx_fail(err, FX_EXIT_DATA, "%s: %s is not in %.200s", where, v->file, vectors);
    if (fx_file_crc32(&crc, path, err))
        return -1;
    if (crc == v->crc32)
        return 0;
    return fx_fail(err, FX_EXIT_DATA, "%s: %s has changed since it was dumped: CRC-32 %08x, not %08x", where, path, crc, v->crc32);
}

static int check_all(FILE *manifest, const char *path, const char *vectors, const char *out, FxExit *exit_code, FxError *err) {
    char line[2048], where[FX_VECTOR_PATH + 32], expected[FX_VECTOR_PATH], found[FX_VECTOR_PATH];
    int number = 1, compared = 0, different = 0, absent = 0;
    bool said = false;
    if (!fgets(line, sizeof line, manifest) || strcspn(line, "\r\n") != strlen(fx_vector_header) || strncmp(line, fx_vector_header, strlen(fx_vector_header)))
        return fx_fail(err, FX_EXIT_DATA, "%s:1: not the header of a manifest (%s)", path, fx_vector_header);
    while (fgets(line, sizeof line, manifest)) {
        FxVector v;
        snprintf(where, sizeof where, "%s:%d", path, ++number);
        line[strcspn(line, "\r\n")] = 0;
        if (fx_vector_parse(&v, line, where, err))
            return -1;
        if (find_expected(expected, vectors, &v, where, err))
            return -1;
        if (!find_file(found, out, &v)) {
            absent++;
            continue;
        }
        int result = compare(&v, expected, found, &said, err);
        if (result < 0)
            return -1;
        compared++;
        different += result;
    }
    if (compared == 0)
        return fx_fail(err, FX_EXIT_DATA, "check: %s holds no file of %s", out, path);
    printf("%d tensors compared, %d differ, %d not there\n", compared, different, absent);
    *exit_code = different ? FX_EXIT_RUNTIME : FX_EXIT_DONE;
    return 0;
}

int fx_command_check(int argc, char **argv, FxExit *exit_code, FxError *err) {
    const char *vectors = NULL, *out = NULL;
    char path[FX_VECTOR_PATH];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--against") && i + 1 < argc && !out)
            out = argv[++i];
        else if (argv[i][0] == '-')
            return fx_fail(err, FX_EXIT_USAGE, "check: %.80s: write fxsim check VEC --against OUT", argv[i]);
        else if (vectors)
            return fx_fail(err, FX_EXIT_USAGE, "check: \"%.80s\" behind %.80s: one directory of vectors at a time", argv[i], vectors);
        else
            vectors = argv[i];
    }
    if (!vectors || !out)
        return fx_fail(err, FX_EXIT_USAGE, "check: write fxsim check VEC --against OUT");
    if (snprintf(path, sizeof path, "%s/manifest.csv", vectors) >= (int)sizeof path)
        return fx_fail(err, FX_EXIT_USAGE, "check: the path is too long");
    FILE *manifest = fopen(path, "rb");
    if (!manifest)
        return fx_fail(err, FX_EXIT_DATA, "check: %s: %s; a directory of fxsim dump --trace is needed", path, strerror(errno));
    int result = check_all(manifest, path, vectors, out, exit_code, err);
    fclose(manifest);
    return result;
}
