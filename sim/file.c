#include "sim/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int fx_file_read(unsigned char **bytes, size_t *size, const char *path, FxExit exit_code, FxError *err) {
    struct stat st;
    *bytes = NULL;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) // not opened: a pipe would wait for its writer
        return fx_fail(err, exit_code, "%s: not a file", path);
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &st) || !S_ISREG(st.st_mode)) {
        fx_fail(err, exit_code, "%s: %s", path, file ? "not a file" : strerror(errno));
        if (file)
            fclose(file);
        return -1;
    }
    *size = (size_t)st.st_size;
    *bytes = malloc(*size + 1);
    bool failed = false;
    if (*bytes) {
        *size = fread(*bytes, 1, *size, file); // fewer where its writer has just cut it
        failed = ferror(file) != 0;
    }
    fclose(file);
    if (!*bytes)
        return fx_fail_memory(err, path, *size);
    (*bytes)[*size] = 0;
    if (!failed)
        return 0;
    free(*bytes);
    *bytes = NULL;
    return fx_fail(err, exit_code, "%s: cannot be read", path);
}
