#include "sim/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Sums of p and p^2 of one channel over all training images: integers, so exact. 2^16 * 2^40 bytes fit.
static void moments(const FxDataset *data, int channel, double *mean, double *std) {
    size_t image = (size_t)data->height * (size_t)data->width * (size_t)data->channels, channels = (size_t)data->channels;
    uint64_t n = data->train.count * image / channels, sum = 0, squares = 0;
    for (size_t i = (size_t)channel; i < data->train.count * image; i += channels) {
        uint64_t p = data->train.pixels[i];
        sum += p;
        squares += p * p;
    }
    unsigned __int128 spread = (unsigned __int128)n * squares - (unsigned __int128)sum * sum;
    *mean = (double)sum / ((double)n * 255);
    *std = sqrt((double)spread) / ((double)n * 255);
}

// Number `channel` of a list; false if there are fewer.
static bool number_of(double *out, const char *list, int channel) {
    char *end;
    for (int i = 0; i <= channel; i++) {
        list += strspn(list, " ");
        if (!*list)
            return false;
        *out = strtod(list, &end);
        list = end;
    }
    return true;
}

// More numbers than channels?
static bool has_more(const char *list, int channels) {
    double ignored;
    return strcmp(list, "data") && number_of(&ignored, list, channels);
}

// wage-127.5: p / 127.5 - 1; wage-128: (p - 128) / 128; unit: p / 255.
static float plain_value(FxInputMap map, int p) {
    return (float)(map == FX_MAP_UNIT ? p / 255.0 : map == FX_MAP_WAGE_128 ? (p - 128) / 128.0 : (2 * p - 255) / 255.0);
}

int fx_input_values_f32(const FxTensor *values, FxInputMap map, const char *mean_text, const char *std_text, const FxDataset *data, FxError *err) {
    for (int p = 0; p < 256 && map != FX_MAP_MEAN_STD; p++)
        for (int c = 0; c < data->channels; c++)
            ((float *)values->data)[p * data->channels + c] = plain_value(map, p);
    if (map != FX_MAP_MEAN_STD)
        return 0;
    if (has_more(mean_text, data->channels) || has_more(std_text, data->channels))
        return fx_fail(err, FX_EXIT_USAGE, "input.mean = %s, input.std = %s: the images have %d channels", mean_text, std_text, data->channels);
    for (int c = 0; c < data->channels; c++) {
        double mean, std;
        moments(data, c, &mean, &std);
        if (strcmp(mean_text, "data") && !number_of(&mean, mean_text, c))
            return fx_fail(err, FX_EXIT_USAGE, "input.mean = %s: the images have %d channels", mean_text, data->channels);
        if (strcmp(std_text, "data") && !number_of(&std, std_text, c))
            return fx_fail(err, FX_EXIT_USAGE, "input.std = %s: the images have %d channels", std_text, data->channels);
        if (!(std > 0))
            return fx_fail(err, FX_EXIT_USAGE, "input.std: %g in channel %d; above 0 is needed", std, c);
        for (int p = 0; p < 256; p++)
            ((float *)values->data)[(size_t)p * (size_t)data->channels + (size_t)c] = (float)((p / 255.0 - mean) / std);
    }
    return 0;
}

void fx_input_look_up_f32(void *x, const uint8_t *bytes, size_t first, size_t n, const void *values, size_t channels) {
    const float *table = values;
    float *out = x;
    size_t c = first % channels;
    for (size_t i = first; i < first + n; i++, c = c + 1 == channels ? 0 : c + 1)
        out[i] = table[(size_t)bytes[i] * channels + c];
}
