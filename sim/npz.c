#include "sim/npy.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBZIP
#include <zip.h>

// One entry's bytes.
static int read_entry(unsigned char **bytes, size_t *size, zip_t *archive, zip_uint64_t i, const char *path, FxError *err) {
    zip_stat_t st;
    *bytes = NULL;
    if (zip_stat_index(archive, i, 0, &st) || !(st.valid & ZIP_STAT_SIZE) || st.size > SIZE_MAX / 2)
        return fx_fail(err, FX_EXIT_DATA, "%s: %s", path, zip_strerror(archive));
    *size = (size_t)st.size;
    *bytes = malloc(*size ? *size : 1);
    if (!*bytes)
        return fx_fail_memory(err, path, *size);
    zip_file_t *file = zip_fopen_index(archive, i, 0);
    unsigned char behind;
    bool whole = file && zip_fread(file, *bytes, st.size) == (zip_int64_t)st.size;
    whole = whole && zip_fread(file, &behind, 1) == 0; // only at the end is its CRC-32 looked at
    if (file)
        whole &= zip_fclose(file) == 0;
    return whole ? 0 : fx_fail(err, FX_EXIT_DATA, "%s: damaged: %s cannot be unpacked", path, st.valid & ZIP_STAT_NAME ? st.name : "an entry");
}

int fx_npz_read(const char *path, int (*each)(void *user, const char *name, FxNpy *array, FxError *err), void *user, FxError *err) {
    int code, result = 0;
    zip_t *archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive) {
        zip_error_t why;
        zip_error_init_with_code(&why, code);
        fx_fail(err, FX_EXIT_DATA, "%s: %s", path, zip_error_strerror(&why));
        zip_error_fini(&why);
        return -1;
    }
    for (zip_int64_t i = 0; result == 0 && i < zip_get_num_entries(archive, 0); i++) {
        const char *entry = zip_get_name(archive, (zip_uint64_t)i, 0);
        char name[FX_NPY_NAME], what[FX_NPY_NAME + 1024];
        size_t length = entry ? strlen(entry) : 0, size = 0;
        unsigned char *bytes;
        FxNpy array;
        if (length < 5 || length >= sizeof name || strcmp(entry + length - 4, ".npy")) {
            result = fx_fail(err, FX_EXIT_DATA, "%s: holds \"%.80s\"; arrays as NumPy's savez writes them are needed", path, entry ? entry : "");
            break;
        }
        snprintf(name, sizeof name, "%.*s", (int)(length - 4), entry);
        snprintf(what, sizeof what, "%.1000s: %s", path, entry);
        result = read_entry(&bytes, &size, archive, (zip_uint64_t)i, path, err);
        if (result == 0)
            result = fx_npy_parse(&array, bytes, size, what, err);
        free(bytes);
        if (result == 0) {
            result = each(user, name, &array, err);
            free(array.tensor.data);
        }
    }
    zip_discard(archive);
    return result;
}
#else
int fx_npz_read(const char *path, int (*each)(void *user, const char *name, FxNpy *array, FxError *err), void *user, FxError *err) {
    (void)each;
    (void)user;
    return fx_fail(err, FX_EXIT_RUNTIME, "%s: built without libzip, which reads .npz; give a directory of .npy files", path);
}
#endif
