#include "tests/data_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static void need(int ok, const char *what) {
    if (ok)
        return;
    perror(what);
    abort();
}

void buffer_add(Buffer *b, const void *bytes, size_t size) {
    if (size == 0)
        return;
    b->bytes = realloc(b->bytes, b->size + size);
    need(b->bytes != NULL, "realloc");
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

void buffer_add_u32(Buffer *b, uint32_t word) {
    unsigned char bytes[4] = {(unsigned char)(word >> 24), (unsigned char)(word >> 16),
                              (unsigned char)(word >> 8), (unsigned char)word};
    buffer_add(b, bytes, 4);
}

void buffer_free(Buffer *b) {
    free(b->bytes);
    *b = (Buffer){0};
}

static Buffer deflate_all(const unsigned char *bytes, size_t size, int window_bits) {
    z_stream z = {0};
    need(deflateInit2(&z, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK,
         "deflateInit2");
    Buffer to = {.size = deflateBound(&z, (uLong)size)};
    to.bytes = malloc(to.size);
    need(to.bytes != NULL, "malloc");
    z.next_in = (unsigned char *)(uintptr_t)bytes;
    z.avail_in = (uInt)size;
    z.next_out = to.bytes;
    z.avail_out = (uInt)to.size;
    need(deflate(&z, Z_FINISH) == Z_STREAM_END, "deflate");
    to.size = z.total_out;
    deflateEnd(&z);
    return to;
}

Buffer buffer_gzip(const Buffer *b) {
    return deflate_all(b->bytes, b->size, 15 + 16);
}

char *path_of(const char *dir, const char *name) {
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    need(path != NULL, "malloc");
    snprintf(path, size, "%s/%s", dir, name);
    return path;
}

char *temp_make(void) {
    const char *base = getenv("TMPDIR");
    char *dir = path_of(base && base[0] ? base : "/tmp", "fxsim-test-XXXXXX");
    need(mkdtemp(dir) != NULL, dir);
    need(chmod(dir, 0755) == 0, dir);
    return dir;
}

void temp_remove(const char *dir) {
    DIR *d = opendir(dir);
    need(d != NULL, dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = path_of(dir, e->d_name);
        struct stat st;
        need(lstat(path, &st) == 0, path);
        if (S_ISDIR(st.st_mode))
            temp_remove(path);
        else
            need(unlink(path) == 0, path);
        free(path);
    }
    closedir(d);
    need(rmdir(dir) == 0, dir);
}

void make_dir(const char *dir, const char *name) {
    char *path = path_of(dir, name);
    need(mkdir(path, 0755) == 0, path);
    free(path);
}

void write_file(const char *dir, const char *name, const void *bytes, size_t size) {
    char *path = path_of(dir, name);
    FILE *f = fopen(path, "wb");
    need(f != NULL, path);
    need(fwrite(bytes, 1, size, f) == size && fclose(f) == 0, path);
    free(path);
}

void write_buffer(const char *dir, const char *name, Buffer b) {
    write_file(dir, name, b.bytes, b.size);
    buffer_free(&b);
}

Buffer idx_images(uint32_t count, uint32_t h, uint32_t w, const unsigned char *pixels) {
    Buffer b = {0};
    const uint32_t header[] = {2051, count, h, w};
    for (int i = 0; i < 4; i++)
        buffer_add_u32(&b, header[i]);
    buffer_add(&b, pixels, (size_t)count * h * w);
    return b;
}

Buffer idx_labels(uint32_t count, const unsigned char *labels) {
    Buffer b = {0};
    buffer_add_u32(&b, 2049);
    buffer_add_u32(&b, count);
    buffer_add(&b, labels, count);
    return b;
}

void png_chunk(Buffer *b, const char type[4], const void *bytes, size_t size) {
    buffer_add_u32(b, (uint32_t)size);
    size_t start = b->size;
    buffer_add(b, type, 4);
    buffer_add(b, bytes, size);
    buffer_add_u32(b, (uint32_t)crc32(0, b->bytes + start, (uInt)(b->size - start)));
}

void png_begin(Buffer *b, PngShape s) {
    buffer_add(b, "\x89PNG\r\n\x1a\n", 8);
    Buffer header = {0};
    buffer_add_u32(&header, s.width);
    buffer_add_u32(&header, s.height);
    unsigned char rest[] = {(unsigned char)s.depth, (unsigned char)s.colour, 0, 0,
                            (unsigned char)s.interlaced};
    buffer_add(&header, rest, sizeof rest);
    png_chunk(b, "IHDR", header.bytes, header.size);
    buffer_free(&header);
}

// Scan lines, each after its filter byte 0.
static Buffer scan_lines(PngShape s, const unsigned char *rows) {
    static const unsigned x0[] = {0, 4, 0, 2, 0, 1, 0}, dx[] = {8, 8, 4, 4, 2, 2, 1};
    static const unsigned y0[] = {0, 0, 4, 0, 2, 0, 1}, dy[] = {8, 8, 8, 4, 4, 2, 2};
    static const unsigned samples[] = {1, 0, 3, 1, 2, 0, 4};
    unsigned pixel_bits = samples[s.colour] * (unsigned)s.depth, pixel = pixel_bits / 8;
    size_t row = ((size_t)s.width * pixel_bits + 7) / 8;
    Buffer lines = {0};
    if (!s.interlaced)
        for (uint32_t y = 0; y < s.height; y++) {
            buffer_add(&lines, "", 1);
            buffer_add(&lines, rows + y * row, row);
        }
    for (int p = 0; s.interlaced && p < 7; p++)
        for (uint32_t y = y0[p]; y < s.height && x0[p] < s.width; y += dy[p]) {
            buffer_add(&lines, "", 1);
            for (uint32_t x = x0[p]; x < s.width; x += dx[p])
                buffer_add(&lines, rows + y * row + x * pixel, pixel);
        }
    return lines;
}

void png_end(Buffer *b, PngShape s, const unsigned char *rows) {
    Buffer lines = scan_lines(s, rows), packed = deflate_all(lines.bytes, lines.size, 15);
    png_chunk(b, "IDAT", packed.bytes, packed.size);
    png_chunk(b, "IEND", NULL, 0);
    buffer_free(&lines);
    buffer_free(&packed);
}

Buffer png_make(PngShape s, const unsigned char *rows) {
    Buffer b = {0};
    png_begin(&b, s);
    png_end(&b, s, rows);
    return b;
}

void png_repair_crcs(unsigned char *bytes, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        unsigned char *c = bytes + at;
        size_t length = (size_t)c[0] << 24 | (size_t)c[1] << 16 | (size_t)c[2] << 8 | c[3];
        if (length > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, c + 4, (uInt)(4 + length));
        for (int i = 0; i < 4; i++)
            c[8 + length + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

int data_fails(const char *name, const char *file, const char *why) {
    FxDataset data;
    FxError err = {0};
    int result = fx_dataset_load(&data, name, &err);
    int kept = data.train.pixels || data.train.labels || data.test.pixels || data.test.labels;
    if (result == -1 && err.exit_code == FX_EXIT_DATA && !kept && strstr(err.text, file) &&
        strstr(err.text, why) && !strchr(err.text, '\n'))
        return 1;
    fprintf(stderr,
            "%s: result %d, exit code %d, kept %d, text \"%s\"; the text should hold \"%s\" and "
            "\"%s\"\n",
            name, result, (int)err.exit_code, kept, err.text, file, why);
    fx_dataset_free(&data);
    return 0;
}
