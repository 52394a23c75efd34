// Small pictures: rectangles and text in a few colours, written as PNG.
#ifndef FX_PICTURE_H
#define FX_PICTURE_H

#include "formats/quantiser.h"

#include <stdbool.h>
#include <stdint.h>

// Okabe and Ito's colours (2008), told apart by every kind of colour blindness, and greys.
typedef enum FxColour { FX_WHITE, FX_BLACK, FX_GREY, FX_PALE, FX_BLUE, FX_ORANGE, FX_GREEN, FX_COLOURS } FxColour;

typedef struct FxPicture {
    int width, height;
    uint8_t *pixels; // of FxColour, row by row
} FxPicture;

// White. Errors: exit code 1.
int fx_picture_new(FxPicture *picture, int width, int height, FxError *err);
void fx_picture_free(FxPicture *picture);

// What lies outside of the picture is not drawn.
void fx_picture_box(FxPicture *picture, int x, int y, int width, int height, FxColour colour);

enum { FX_FONT_WIDTH = 5, FX_FONT_HEIGHT = 7 };
extern const uint8_t fx_font[96 - 1][FX_FONT_HEIGHT]; // ASCII 32 .. 126; rows from the top, bit 4 leftmost; see picture_font.c

// Text whose top left corner is x, y; every dot `dot` pixels wide.
void fx_picture_text(FxPicture *picture, int x, int y, int dot, const char *text, FxColour colour);
int fx_picture_text_width(int dot, const char *text);

// Errors: exit code 1, also where the build has no libpng.
int fx_picture_save(const FxPicture *picture, const char *path, FxError *err);

// What formats can represent, one above another (cmd_formats_picture.c). Errors: exit code 1.
int fx_picture_formats(const char *path, const FxQuantiser *q, int count, FxError *err);

// "e4m3fn", "fixed8f3@const:2": what decides about the values, as a quantiser's text. cmd_formats.c
enum { FX_FORMAT_TEXT = 96 };
void fx_format_text(char text[FX_FORMAT_TEXT], const FxQuantiser *q);

#endif
