// Data sets: what the readers of the several layouts share, and the table line each of them fills.
// All readers decode straight into the arrays of the data set: no second copy of a set is ever in
// memory.
#ifndef FX_DATA_INTERNAL_H
#define FX_DATA_INTERNAL_H

#include "sim/data.h"

#include <sys/stat.h>
#include <zlib.h>

enum { FX_DATA_PATH = 1280, FX_DATA_MAX_SIDE = 4096 };
#define FX_DATA_MAX_BYTES (UINT64_C(1) << 31) // of train.pixels, and of test.pixels

// One layout of a directory.
typedef struct FxDataKind {
    const char *name;  // "IDX"
    const char *files; // what it looks for, for people
    int (*present)(const char *dir,
                   FxError *err); // 1: some of its files are there; 0: none; -1: error
    int (*load)(FxDataset *data, const char *dir, FxError *err); // on error the caller frees data
} FxDataKind;

extern const FxDataKind fx_data_idx, fx_data_cifar, fx_data_png;

enum { FX_DIGITS_COUNT = 1797, FX_DIGITS_TRAIN = 1437, FX_DIGITS_SIDE = 8 };
// An image a line: 64 pixels 'a' + value, value 0..16, row-major; the label '0'..'9'; NUL.
extern const char fx_digits[FX_DIGITS_COUNT][FX_DIGITS_SIDE * FX_DIGITS_SIDE + 2];
int fx_data_load_digits(FxDataset *data, FxError *err);

// Fails with errno's message; exit code 1 if the cause is this machine's lack of memory or
// descriptors, else 4.
int fx_data_fail_errno(const char *path, FxError *err);

// path = dir/name.
int fx_data_join(char path[FX_DATA_PATH], const char *dir, const char *name, FxError *err);

// 1: path is there and st filled; 0: nothing is there; -1: it cannot be told (permission, say).
int fx_data_stat(const char *path, struct stat *st, FxError *err);

// A file descriptor of an existing regular file, or -1. Never blocks on a pipe.
int fx_data_open_fd(const char *path, uint64_t *size, FxError *err);

// A file read from front to end, plain or gzip.
typedef struct FxDataFile {
    gzFile gz;
    const char *path;  // borrowed
    uint64_t size, at; // bytes of the file itself; bytes of content read so far
} FxDataFile;

int fx_data_open(FxDataFile *file, const char *path, FxError *err);
// Error unless `bytes` more can be there, judged by the file's size: to be asked before memory is
// allocated.
int fx_data_expect(const FxDataFile *file, uint64_t bytes, FxError *err);
int fx_data_read(FxDataFile *file, void *to, size_t bytes, FxError *err);
// Error unless everything is read and gzip's checksum is right.
int fx_data_finish(FxDataFile *file, FxError *err);
void fx_data_close(FxDataFile *file); // accepts a zeroed struct

// Checks data's height, width and channels and count against the limits, then allocates.
int fx_images_init(FxImages *images, const FxDataset *data, uint64_t count, const char *path,
                   FxError *err);

#endif
