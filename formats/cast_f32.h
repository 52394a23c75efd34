// Casts from float32 at memory speed, where the kernels of kernels_f32.h have the grid, rounding and overflow policy.
#ifndef FX_CAST_F32_H
#define FX_CAST_F32_H

#include "formats/quantiser.h"

// fx_cast_range by the kernels; false, with nothing done, where they cannot.
bool fx_cast_f32(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats);

// One row of n float32 from element `first` on, in blocks of an MX scale. Writes what of y is asked for; groups are
// counted from `group`. false, with nothing done, where the kernels cannot.
bool fx_blocks_f32(const FxCast *start, const FxArray *x, size_t first, size_t n, size_t group, const FxOutput *y, FxStats *stats);

#endif
