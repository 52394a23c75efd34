// The image: bytes to numbers, and to what the site input makes of them.
#ifndef FX_INPUT_H
#define FX_INPUT_H

#include "sim/step.h"

// One byte's code under a map and a grid of F fraction bits, rounded once from the exact map, then clamped.
// *saturated: the rounded code lay outside the grid.
//   wage-127.5: p/127.5 - 1, ties do not occur;  wage-128: (p - 128)/128, ties to even;  unit: p/255, no ties
int64_t fx_input_code(FxInputMap map, const FxGrid *grid, int byte, bool *saturated);

// Whether the codes come from the bytes in one rounding: an integer map and a fixed grid of constant scale. Else the map's
// float32, or where the grid is of integers its codes of 24 bits behind the point, go through the site's quantiser.
bool fx_input_is_direct(const FxConfig *config);

// values[byte * channels + c] = float32 of the exact map, rounded once; so near to it that no grid of up to 12 bits behind the
// point rounds it otherwise. mean-std: (byte / 255 - mean) / std from float64; mean, std: "data", the training images' own from
// exact sums, or a decimal a channel. Errors: exit code 2.
int fx_input_values_f32(const FxTensor *values, FxInputMap map, const char *mean, const char *std, const FxDataset *data, FxError *err);

// x[i] = values[bytes[i] * channels + i % channels], first a multiple of channels.
void fx_input_look_up_f32(void *x, const uint8_t *bytes, size_t first, size_t n, const void *values, size_t channels);

// codes = those of net->batch_pixels, s->images of them; counts at the site input of the first product.
void fx_input_codes(const FxStep *s, FxTensor *codes);

#endif
