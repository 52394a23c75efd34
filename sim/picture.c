#include "sim/picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fx_picture_new(FxPicture *picture, int width, int height, FxError *err) {
    size_t size = (size_t)width * (size_t)height;
    *picture = (FxPicture){width, height, calloc(size, 1)};
    return picture->pixels ? 0 : fx_fail_memory(err, "a picture", size);
}

void fx_picture_free(FxPicture *picture) {
    free(picture->pixels);
    picture->pixels = NULL;
}

void fx_picture_box(FxPicture *picture, int x, int y, int width, int height, FxColour colour) {
    int right = x + width < picture->width ? x + width : picture->width;
    int bottom = y + height < picture->height ? y + height : picture->height;
    x = x < 0 ? 0 : x;
    for (int row = y < 0 ? 0 : y; row < bottom && x < right; row++)
        memset(picture->pixels + (size_t)row * (size_t)picture->width + x, (int)colour, (size_t)(right - x));
}

void fx_picture_text(FxPicture *picture, int x, int y, int dot, const char *text, FxColour colour) {
    for (; *text; text++, x += (FX_FONT_WIDTH + 1) * dot) {
        unsigned glyph = (unsigned char)*text < 32 || (unsigned char)*text > 126 ? '?' - 32 : (unsigned char)*text - 32;
        int below = strchr("gpqy", *text) ? 2 * dot : 0;
        for (int row = 0; row < FX_FONT_HEIGHT; row++)
            for (int column = 0; column < FX_FONT_WIDTH; column++)
                if (fx_font[glyph][row] >> (FX_FONT_WIDTH - 1 - column) & 1)
                    fx_picture_box(picture, x + column * dot, y + below + row * dot, dot, dot, colour);
    }
}

int fx_picture_text_width(int dot, const char *text) {
    return (int)strlen(text) * (FX_FONT_WIDTH + 1) * dot - dot;
}

#ifdef HAVE_LIBPNG

#include <png.h>

static const uint8_t colours[FX_COLOURS][3] = {
    [FX_WHITE] = {255, 255, 255}, [FX_BLACK] = {0, 0, 0},  [FX_GREY] = {110, 110, 110},  [FX_PALE] = {225, 225, 225},
    [FX_BLUE] = {0, 114, 178},    [FX_ORANGE] = {230, 159, 0}, [FX_GREEN] = {0, 158, 115},
};

int fx_picture_save(const FxPicture *picture, const char *path, FxError *err) {
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)picture->width, .height = (png_uint_32)picture->height,
                       .format = PNG_FORMAT_RGB_COLORMAP, .colormap_entries = FX_COLOURS};
    FILE *file = fopen(path, "wb");
    if (!file)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    errno = 0;
    bool written = png_image_write_to_stdio(&image, file, 0, picture->pixels, 0, colours);
    int why = errno;
    bool closed = fclose(file) == 0;
    if (written && closed)
        return 0;
    why = written || !why ? errno : why;
    return fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, why ? strerror(why) : image.message);
}

#else

int fx_picture_save(const FxPicture *picture, const char *path, FxError *err) {
    (void)picture;
    return fx_fail(err, FX_EXIT_RUNTIME, "%s: a picture, but this build has no PNG (libpng was not found)", path);
}

#endif
