// Data sets: the built-in digits; origin and licence stand with the table (data_digits_table.c).
// 1,797 images of 8 x 8 pixels in published order, the first 1,437 for training, the last 360 for
// testing. A value v of 0..16 becomes the byte min(255, 16 v).
#include "sim/data_internal.h"

enum { PIXELS = FX_DIGITS_SIDE * FX_DIGITS_SIDE };

static void unpack(FxImages *images, int first) {
    for (size_t i = 0; i < images->count; i++) {
        const char *line = fx_digits[(size_t)first + i];
        for (int p = 0; p < PIXELS; p++) {
            int byte = 16 * (line[p] - 'a');
            images->pixels[i * PIXELS + (size_t)p] = (uint8_t)(byte > 255 ? 255 : byte);
        }
        images->labels[i] = (uint8_t)(line[PIXELS] - '0');
    }
}

int fx_data_load_digits(FxDataset *data, FxError *err) {
    data->height = data->width = FX_DIGITS_SIDE;
    data->channels = 1;
    data->classes = 10;
    if (fx_images_init(&data->train, data, FX_DIGITS_TRAIN, "digits", err) != 0 ||
        fx_images_init(&data->test, data, FX_DIGITS_COUNT - FX_DIGITS_TRAIN, "digits", err) != 0)
        return -1;
    unpack(&data->train, 0);
    unpack(&data->test, FX_DIGITS_TRAIN);
    return 0;
}
