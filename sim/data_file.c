// Data sets: reading files. zlib's gzread reads plain files as they are, so one path serves both; a
// gzip file that is cut off or damaged shows as an error at the latest when its end is read, which
// fx_data_finish does.
#include "sim/data_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_STEP = 1 << 20, GZ_BUFFER = 1 << 17 };
#define DEFLATE_MAX_RATIO UINT64_C(1032) // a match of 258 bytes takes at least two bits

int fx_data_fail_errno(const char *path, FxError *err) {
    int lack = errno == ENOMEM || errno == EMFILE || errno == ENFILE;
    return fx_fail(err, lack ? FX_EXIT_RUNTIME : FX_EXIT_DATA, "%s: %s", path, strerror(errno));
}

int fx_data_join(char path[FX_DATA_PATH], const char *dir, const char *name, FxError *err) {
    int length = snprintf(path, FX_DATA_PATH, "%s/%s", dir, name);
    if (length < 0 || length >= FX_DATA_PATH)
        return fx_fail(err, FX_EXIT_DATA, "%.200s...: path longer than %d bytes", dir,
                       FX_DATA_PATH - 1);
    return 0;
}

int fx_data_stat(const char *path, struct stat *st, FxError *err) {
    if (stat(path, st) == 0)
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fx_data_fail_errno(path, err);
}

int fx_data_open_fd(const char *path, uint64_t *size, FxError *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fx_data_fail_errno(path, err);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        fx_data_fail_errno(path, err);
    } else if (!S_ISREG(st.st_mode)) {
        fx_fail(err, FX_EXIT_DATA, "%s: not a regular file", path);
    } else {
        *size = (uint64_t)st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

int fx_data_open(FxDataFile *file, const char *path, FxError *err) {
    *file = (FxDataFile){.path = path};
    int fd = fx_data_open_fd(path, &file->size, err);
    if (fd < 0)
        return -1;
    file->gz = gzdopen(fd, "rb");
    if (!file->gz) {
        close(fd);
        return fx_fail_memory(err, path, GZ_BUFFER);
    }
    gzbuffer(file->gz, GZ_BUFFER);
    return 0;
}

// Fills err from zlib's state if that is an error.
static int check(const FxDataFile *file, FxError *err) {
    int code;
    const char *message = gzerror(file->gz, &code);
    if (code == Z_OK || code == Z_STREAM_END)
        return 0;
    if (code == Z_ERRNO)
        return fx_data_fail_errno(file->path, err);
    if (code == Z_MEM_ERROR)
        return fx_fail_memory(err, file->path, GZ_BUFFER);
    if (code == Z_BUF_ERROR)
        return fx_fail(err, FX_EXIT_DATA,
                       "%s: gzip file cut off; its content ends after %llu bytes", file->path,
                       (unsigned long long)file->at);
    size_t skip =
        strncmp(message, "<fd:", 4) == 0 ? strcspn(message, " ") : 0; // gzdopen's name for the file
    return fx_fail(err, FX_EXIT_DATA, "%s: damaged gzip file:%s%s", file->path, skip ? "" : " ",
                   message + skip);
}

int fx_data_expect(const FxDataFile *file, uint64_t bytes, FxError *err) {
    uint64_t need = file->at + bytes;
    int plain = gzdirect(file->gz);
    if (check(file, err) != 0)
        return -1;
    if (plain && need > file->size)
        return fx_fail(err, FX_EXIT_DATA, "%s: cut off: %llu bytes instead of %llu", file->path,
                       (unsigned long long)file->size, (unsigned long long)need);
    if (!plain && need / DEFLATE_MAX_RATIO > file->size)
        return fx_fail(err, FX_EXIT_DATA, "%s: cut off: %llu bytes of gzip cannot hold %llu",
                       file->path, (unsigned long long)file->size, (unsigned long long)need);
    return 0;
}

int fx_data_read(FxDataFile *file, void *to, size_t bytes, FxError *err) {
    uint64_t need = file->at + bytes;
    for (size_t done = 0; done < bytes;) {
        unsigned step = bytes - done < READ_STEP ? (unsigned)(bytes - done) : READ_STEP;
        int got = gzread(file->gz, (char *)to + done, step);
        if (got > 0) {
            done += (size_t)got;
            file->at += (uint64_t)got;
        }
        if (got == (int)step)
            continue;
        if (check(file, err) != 0)
            return -1;
        return fx_fail(err, FX_EXIT_DATA, "%s: cut off: %llu bytes instead of at least %llu",
                       file->path, (unsigned long long)file->at, (unsigned long long)need);
    }
    return 0;
}

int fx_data_finish(FxDataFile *file, FxError *err) {
    char extra;
    int got = gzread(file->gz, &extra, 1);
    if (got > 0)
        return fx_fail(err, FX_EXIT_DATA, "%s: too long: more than %llu bytes", file->path,
                       (unsigned long long)file->at);
    if (check(file, err) != 0)
        return -1;
    fx_data_close(file);
    return 0;
}

void fx_data_close(FxDataFile *file) {
    if (file->gz)
        gzclose(file->gz);
    file->gz = NULL;
}

int fx_images_init(FxImages *images, const FxDataset *data, uint64_t count, const char *path,
                   FxError *err) {
    assert(!images->pixels && data->channels > 0);
    int h = data->height, w = data->width;
    if (h < 1 || w < 1 || h > FX_DATA_MAX_SIDE || w > FX_DATA_MAX_SIDE)
        return fx_fail(err, FX_EXIT_DATA, "%s: images of %d x %d pixels; a side has 1 to %d", path,
                       h, w, FX_DATA_MAX_SIDE);
    uint64_t size = (uint64_t)h * (uint64_t)w * (uint64_t)data->channels;
    if (count < 1)
        return fx_fail(err, FX_EXIT_DATA, "%s: no images; at least 1 is needed", path);
    if (count > FX_DATA_MAX_BYTES / size)
        return fx_fail(err, FX_EXIT_DATA,
                       "%s: %llu images of %d x %d x %d bytes; at most 2^31 bytes can be read",
                       path, (unsigned long long)count, h, w, data->channels);
    images->pixels = malloc((size_t)(count * size));
    images->labels = malloc((size_t)count);
    if (!images->pixels || !images->labels)
        return fx_fail_memory(err, path, count * (size + 1));
    images->count = (size_t)count;
    return 0;
}
