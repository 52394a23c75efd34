// The image: bytes to codes of the site input.
#ifndef FX_INPUT_H
#define FX_INPUT_H

#include "sim/step.h"

// One byte's code under a map and a grid of F fraction bits, rounded once from the exact map, then clamped.
// *saturated: the rounded code lay outside the grid.
//   wage-127.5: p/127.5 - 1, ties do not occur;  wage-128: (p - 128)/128, ties to even;  unit: p/255, no ties
int64_t fx_input_code(FxInputMap map, const FxGrid *grid, int byte, bool *saturated);

// codes = those of net->batch_pixels, s->images of them; counts at the site input of the first product.
void fx_input_codes(const FxStep *s, FxTensor *codes);

#endif
