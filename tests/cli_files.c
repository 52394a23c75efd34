// What the tests of the command line need and a shell lacks.
//   cli_files state CHECKPOINT              its bytes without the CSV lengths and the CRC-32 at its end, to stdout
//   cli_files patch CHECKPOINT OFFSET WORD  puts 32 bits, little-endian, at OFFSET and makes the CRC-32 right again
//   cli_files png DIR                       data sets DIR/NAME of PNG files; of all but "good" one file is wrong
#include "tests/data_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LENGTHS = 28, LENGTHS_END = 44 }; // of log.csv and stats.csv in a checkpoint

static Buffer read_all(const char *path) {
    Buffer b = {0};
    unsigned char part[4096];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        buffer_add(&b, part, n);
    fclose(f);
    if (b.size < LENGTHS_END + 4) {
        fprintf(stderr, "%s: %zu bytes are no checkpoint\n", path, b.size);
        exit(1);
    }
    return b;
}

static int state(const char *path) {
    Buffer b = read_all(path);
    fwrite(b.bytes, 1, LENGTHS, stdout);
    fwrite(b.bytes + LENGTHS_END, 1, b.size - 4 - LENGTHS_END, stdout);
    buffer_free(&b);
    return fflush(stdout) ? 1 : 0;
}

static void put_le(unsigned char *to, uint32_t word) {
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(word >> 8 * i);
}

static int patch(const char *path, const char *offset, const char *word) {
    Buffer b = read_all(path);
    size_t at = strtoul(offset, NULL, 0);
    if (at + 8 > b.size) {
        fprintf(stderr, "%s: nothing at %s\n", path, offset);
        return 1;
    }
    put_le(b.bytes + at, (uint32_t)strtoul(word, NULL, 0));
    put_le(b.bytes + b.size - 4, (uint32_t)crc32(0, b.bytes, (uInt)(b.size - 4)));
    FILE *f = fopen(path, "wb");
    int failed = !f || fwrite(b.bytes, 1, b.size, f) != b.size;
    failed |= f && fclose(f);
    buffer_free(&b);
    if (failed)
        perror(path);
    return failed;
}

// DIR/name/{train,test}/{a,b}/0.png of 8 x 8 grey pixels, train/b/0.png as given.
static void png_set(const char *dir, const char *name, Buffer odd) {
    static const char *const folders[] = {"", "/train", "/train/a", "/train/b", "/test", "/test/a", "/test/b"};
    const PngShape shape = {.width = 8, .height = 8, .depth = 8, .colour = PNG_GREY};
    unsigned char rows[64];
    char path[256];
    for (int i = 0; i < 64; i++)
        rows[i] = (unsigned char)(4 * i);
    for (int i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "%s%s", name, folders[i]);
        make_dir(dir, path);
        if (strlen(folders[i]) < 7)
            continue;
        strcat(path, "/0.png");
        if (strstr(path, "train/b"))
            write_file(dir, path, odd.size ? odd.bytes : rows, odd.size);
        else
            write_buffer(dir, path, png_make(shape, rows));
    }
    buffer_free(&odd);
}

static Buffer cut(Buffer b, size_t size) {
    b.size = size;
    return b;
}

static int png(const char *dir) {
    static const unsigned char rows[4 * 16 * 16];
    const PngShape shape = {.width = 8, .height = 8, .depth = 8, .colour = PNG_GREY};
    PngShape huge = shape, deep = shape, clear = shape, wide = shape;
    huge.width = huge.height = 0x7fffffff;
    deep.depth = 16;
    clear.colour = PNG_RGBA;
    wide.width = 16;
    Buffer whole = png_make(shape, rows), damaged = png_make(shape, rows), bomb = {0}, text = {0}, none = {0};
    size_t size = whole.size;
    damaged.bytes[size - 20] ^= 1;
    png_begin(&bomb, huge);
    png_chunk(&bomb, "IDAT", "", 0);
    png_chunk(&bomb, "IEND", "", 0);
    buffer_add(&text, "no picture at all\n", 18);
    png_set(dir, "good", png_make(shape, rows));
    png_set(dir, "cut", cut(whole, size / 2));
    png_set(dir, "damaged", damaged);
    png_set(dir, "huge", bomb);
    png_set(dir, "16-bits", png_make(deep, rows));
    png_set(dir, "transparent", png_make(clear, rows));
    png_set(dir, "other-size", png_make(wide, rows));
    png_set(dir, "text", text);
    png_set(dir, "empty", none);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "state"))
        return state(argv[2]);
    if (argc == 5 && !strcmp(argv[1], "patch"))
        return patch(argv[2], argv[3], argv[4]);
    if (argc == 3 && !strcmp(argv[1], "png"))
        return png(argv[2]);
    fprintf(stderr, "usage: cli_files state FILE | patch FILE OFFSET WORD | png DIR\n");
    return 2;
}
