// Writes data set files for tests: temporary directories, gzip, IDX, and PNG made by hand from its
// chunks, so that every byte can be wrong on purpose. What the test itself cannot do (no disk)
// aborts.
#ifndef FX_TESTS_DATA_FILES_H
#define FX_TESTS_DATA_FILES_H

#include "sim/data.h"

typedef struct Buffer {
    unsigned char *bytes;
    size_t size;
} Buffer;

void buffer_add(Buffer *b, const void *bytes, size_t size);
void buffer_add_u32(Buffer *b, uint32_t word); // big-endian
void buffer_free(Buffer *b);
Buffer buffer_gzip(const Buffer *b);

char *temp_make(void); // a new directory that all may enter; to be freed
void temp_remove(const char *dir);
char *path_of(const char *dir, const char *name); // to be freed
void make_dir(const char *dir, const char *name);
void write_file(const char *dir, const char *name, const void *bytes, size_t size);
void write_buffer(const char *dir, const char *name, Buffer b); // frees b

Buffer idx_images(uint32_t count, uint32_t h, uint32_t w, const unsigned char *pixels);
Buffer idx_labels(uint32_t count, const unsigned char *labels);

enum { PNG_GREY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GREY_ALPHA = 4, PNG_RGBA = 6 };

typedef struct PngShape {
    uint32_t width, height;
    int depth, colour, interlaced; // interlaced: 8 bits only
} PngShape;

void png_begin(Buffer *b, PngShape s); // signature, IHDR
void png_chunk(Buffer *b, const char type[4], const void *bytes, size_t size);
void png_end(Buffer *b, PngShape s,
             const unsigned char *rows); // IDAT of rows packed as PNG does, IEND
Buffer png_make(PngShape s, const unsigned char *rows);
void png_repair_crcs(unsigned char *bytes, size_t size); // as far as chunks can be followed

// Whether loading `name` gives -1, exit code 4, nothing kept and one line that holds `file` and
// `why`. If not, says on stderr what came instead.
int data_fails(const char *name, const char *file, const char *why);

#endif
