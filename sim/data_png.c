// Data sets: PNG files in folders, train/CLASS/*.png and test/CLASS/*.png.
// Classes are the folders of train/ in bytewise order of their names; test/ holds no others. Images
// stand in the order of (class, file name), names bytewise. Entries whose name starts with a dot,
// and files that do not end in .png (any case), are not looked at. All images have one size and are
// all grey or all RGB, after libpng's own expansion of palettes and of 1, 2 and 4 bits; nothing is
// converted that would lose something: 16 bits a sample and transparency are refused, gamma and
// colour profiles not applied. Damage of any kind is an error.
#include "sim/data_internal.h"

#ifdef HAVE_LIBPNG

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_CLASSES = 256 };

typedef struct Names {
    int count;
    struct dirent **entry; // as scandir gives it
} Names;

typedef struct Part {
    char dir[FX_DATA_PATH];
    Names files[MAX_CLASSES]; // of each class
} Part;

typedef struct Listing {
    Names classes;
    Part train, test;
} Listing;

static void free_names(Names *names) {
    for (int i = 0; i < names->count; i++)
        free(names->entry[i]);
    free(names->entry);
    *names = (Names){0};
}

static void free_listing(Listing *all) {
    free_names(&all->classes);
    for (int c = 0; c < MAX_CLASSES; c++) {
        free_names(&all->train.files[c]);
        free_names(&all->test.files[c]);
    }
    free(all);
}

static int bytewise(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static int is_png(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return is_visible(entry) && length > 4 && strcasecmp(entry->d_name + length - 4, ".png") == 0;
}

static int list(Names *names, const char *dir, int (*filter)(const struct dirent *), FxError *err) {
    int count = scandir(dir, &names->entry, filter, bytewise);
    if (count < 0)
        return fx_data_fail_errno(dir, err);
    names->count = count;
    return 0;
}

// 1: dir/name is a folder; 0: something else; -1: error.
static int is_folder(const char *dir, const char *name, FxError *err) {
    char path[FX_DATA_PATH];
    struct stat st;
    if (fx_data_join(path, dir, name, err) != 0)
        return -1;
    int found = fx_data_stat(path, &st, err);
    if (found == 0)
        return fx_fail(err, FX_EXIT_DATA, "%s: a link that leads nowhere", path);
    return found > 0 ? S_ISDIR(st.st_mode) : -1;
}

static int list_folders(Names *names, const char *dir, FxError *err) {
    if (list(names, dir, is_visible, err) != 0)
        return -1;
    int kept = 0, result = 0;
    for (int i = 0; i < names->count; i++) {
        int folder = result == 0 ? is_folder(dir, names->entry[i]->d_name, err) : 0;
        if (folder < 0)
            result = -1;
        if (folder > 0)
            names->entry[kept++] = names->entry[i];
        else
            free(names->entry[i]);
    }
    names->count = kept;
    return result;
}

static int list_files(Part *part, int label, const char *name, FxError *err) {
    char path[FX_DATA_PATH];
    if (fx_data_join(path, part->dir, name, err) != 0)
        return -1;
    return list(&part->files[label], path, is_png, err);
}

static int list_train(Listing *all, const char *dir, FxError *err) {
    if (fx_data_join(all->train.dir, dir, "train", err) != 0 ||
        list_folders(&all->classes, all->train.dir, err) != 0)
        return -1;
    if (all->classes.count < 1 || all->classes.count > MAX_CLASSES)
        return fx_fail(err, FX_EXIT_DATA, "%s: %d folders of classes; 1 to %d can be read",
                       all->train.dir, all->classes.count, MAX_CLASSES);
    for (int c = 0; c < all->classes.count; c++) {
        const char *name = all->classes.entry[c]->d_name;
        if (list_files(&all->train, c, name, err) != 0)
            return -1;
        if (all->train.files[c].count == 0)
            return fx_fail(err, FX_EXIT_DATA, "%s/%s: no file *.png in this class", all->train.dir,
                           name);
    }
    return 0;
}

static int list_test(Listing *all, const char *dir, FxError *err) {
    Names folders = {0};
    int result = fx_data_join(all->test.dir, dir, "test", err);
    if (result == 0)
        result = list_folders(&folders, all->test.dir, err);
    for (int i = 0; i < folders.count && result == 0; i++) {
        const char *name = folders.entry[i]->d_name;
        int c = 0;
        while (c < all->classes.count && strcmp(all->classes.entry[c]->d_name, name) != 0)
            c++;
        if (c == all->classes.count)
            result = fx_fail(err, FX_EXIT_DATA, "%s/%s: %s has no such class", all->test.dir, name,
                             all->train.dir);
        else
            result = list_files(&all->test, c, name, err);
    }
    free_names(&folders);
    return result;
}

// One file being decoded.
typedef struct Decoder {
    const char *path;
    FILE *file;
    png_structp png;
    png_infop info;
    char warning[96]; // libpng's last one; it often says what the error only summarises
    size_t lacking;   // bytes that malloc refused
    FxError *err;
} Decoder;

static void on_warning(png_structp png, png_const_charp message) {
    Decoder *d = png_get_error_ptr(png);
    snprintf(d->warning, sizeof d->warning, " (%s)", message);
}

PNG_NORETURN static void on_error(png_structp png, png_const_charp message) {
    Decoder *d = png_get_error_ptr(png);
    if (d->lacking)
        fx_fail_memory(d->err, d->path, d->lacking);
    else
        fx_fail(d->err, FX_EXIT_DATA, "%s: not a readable PNG: %s%s", d->path, message, d->warning);
    png_longjmp(png, 1);
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    Decoder *d = png_get_mem_ptr(png);
    void *memory = malloc(size);
    if (!memory)
        d->lacking = size;
    return memory;
}

static void on_free(png_structp png, png_voidp memory) {
    (void)png;
    free(memory);
}

static void on_read(png_structp png, png_bytep to, size_t bytes) {
    Decoder *d = png_get_io_ptr(png);
    if (fread(to, 1, bytes, d->file) != bytes)
        png_error(png, ferror(d->file) ? strerror(errno) : "the file is cut off");
}

static void close_decoder(Decoder *d) {
    if (d->png)
        png_destroy_read_struct(&d->png, &d->info, NULL);
    if (d->file)
        fclose(d->file);
}

static int open_decoder(Decoder *d, const char *path, FxError *err) {
    *d = (Decoder){.path = path, .err = err};
    uint64_t size;
    int fd = fx_data_open_fd(path, &size, err);
    if (fd < 0)
        return -1;
    d->file = fdopen(fd, "rb");
    if (!d->file) {
        close(fd);
        return fx_fail_memory(err, path, sizeof(FILE));
    }
    d->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, d, on_error, on_warning, d, on_malloc,
                                      on_free);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    return d->info ? 0 : fx_fail_memory(err, path, size);
}

// Up to the first pixel. Sets data's shape if it has none, else compares.
static int read_header(Decoder *d, FxDataset *data) {
    if (setjmp(png_jmpbuf(d->png)))
        return -1;
    png_structp png = d->png;
    png_set_read_fn(png, d, on_read);
    png_set_user_limits(png, FX_DATA_MAX_SIDE, FX_DATA_MAX_SIDE);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Text, profiles and the like are not parsed, only their CRC is checked.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_benign_errors(png, 0);
    png_read_info(png, d->info);
    if (png_get_bit_depth(png, d->info) == 16)
        return fx_fail(d->err, FX_EXIT_DATA, "%s: 16 bits a sample; 8 or fewer can be read",
                       d->path);
    if ((png_get_color_type(png, d->info) & PNG_COLOR_MASK_ALPHA) ||
        png_get_valid(png, d->info, PNG_INFO_tRNS))
        return fx_fail(d->err, FX_EXIT_DATA,
                       "%s: has transparency; grey or RGB without it can be read", d->path);
    png_set_expand(png); // palettes to RGB, grey of 1, 2, 4 bits to 8
    png_set_interlace_handling(png);
    png_read_update_info(png, d->info);
    int h = (int)png_get_image_height(png, d->info), w = (int)png_get_image_width(png, d->info);
    int channels = png_get_channels(png, d->info);
    if (!data->height) {
        data->height = h;
        data->width = w;
        data->channels = channels;
    }
    if (h != data->height || w != data->width || channels != data->channels)
        return fx_fail(d->err, FX_EXIT_DATA,
                       "%s: %d x %d pixels of %d bytes; the first image has %d x %d of %d", d->path,
                       h, w, channels, data->height, data->width, data->channels);
    return 0;
}

static int read_pixels(Decoder *d, const FxDataset *data, uint8_t *pixels) {
    if (setjmp(png_jmpbuf(d->png)))
        return -1;
    size_t row = (size_t)data->width * (size_t)data->channels;
    assert(png_get_rowbytes(d->png, d->info) == row);
    int passes = png_get_interlace_type(d->png, d->info) == PNG_INTERLACE_NONE
                     ? 1
                     : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < data->height; y++)
            png_read_row(d->png, pixels + (size_t)y * row, NULL);
    png_read_end(d->png, NULL);
    return 0;
}

// Decodes a file into pixels; pixels NULL: only its shape.
static int read_image(uint8_t *pixels, FxDataset *data, const char *dir, const char *class_name,
                      const char *name, FxError *err) {
    char folder[FX_DATA_PATH], path[FX_DATA_PATH];
    if (fx_data_join(folder, dir, class_name, err) != 0 ||
        fx_data_join(path, folder, name, err) != 0)
        return -1;
    Decoder d;
    int result = open_decoder(&d, path, err);
    if (result == 0)
        result = read_header(&d, data);
    if (result == 0 && pixels)
        result = read_pixels(&d, data, pixels);
    close_decoder(&d);
    return result;
}

static int read_part(FxImages *images, FxDataset *data, const Listing *all, const Part *part,
                     FxError *err) {
    uint64_t count = 0;
    for (int c = 0; c < all->classes.count; c++)
        count += (uint64_t)part->files[c].count;
    if (fx_images_init(images, data, count, part->dir, err) != 0)
        return -1;
    size_t size = (size_t)data->height * (size_t)data->width * (size_t)data->channels, at = 0;
    for (int c = 0; c < all->classes.count; c++)
        for (int i = 0; i < part->files[c].count; i++, at++) {
            if (read_image(images->pixels + at * size, data, part->dir,
                           all->classes.entry[c]->d_name, part->files[c].entry[i]->d_name,
                           err) != 0)
                return -1;
            images->labels[at] = (uint8_t)c;
        }
    return 0;
}

static int load(FxDataset *data, const char *dir, FxError *err) {
    Listing *all = calloc(1, sizeof *all);
    if (!all)
        return fx_fail_memory(err, dir, sizeof *all);
    int result = list_train(all, dir, err);
    if (result == 0)
        result = list_test(all, dir, err);
    if (result == 0)
        result = read_image(NULL, data, all->train.dir, all->classes.entry[0]->d_name,
                            all->train.files[0].entry[0]->d_name, err);
    data->classes = all->classes.count;
    if (result == 0)
        result = read_part(&data->train, data, all, &all->train, err);
    if (result == 0)
        result = read_part(&data->test, data, all, &all->test, err);
    free_listing(all);
    return result;
}

#else

static int load(FxDataset *data, const char *dir, FxError *err) {
    (void)data;
    return fx_fail(err, FX_EXIT_DATA,
                   "%s: folders of PNG files, but this build has no PNG (libpng was not found)",
                   dir);
}

#endif

static int present(const char *dir, FxError *err) {
    static const char *const folders[] = {"train", "test"};
    for (int i = 0; i < 2; i++) {
        char path[FX_DATA_PATH];
        struct stat st;
        if (fx_data_join(path, dir, folders[i], err) != 0)
            return -1;
        int found = fx_data_stat(path, &st, err);
        if (found < 0 || (found > 0 && S_ISDIR(st.st_mode)))
            return found;
    }
    return 0;
}

const FxDataKind fx_data_png = {"PNG", "train/CLASS/*.png, test/CLASS/*.png", present, load};
