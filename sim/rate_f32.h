// Scalars and float64.
#ifndef FX_RATE_F32_H
#define FX_RATE_F32_H

#include "formats/decimal.h"

// x rounded once to 15 bits, to nearest, ties to even; +-0 is (0, 0). x must be finite.
FxScalar fx_scalar_of(double x);

// Exact, but rounded where the value is below 2^-1008, and Inf from 2^1024 on.
double fx_scalar_value(FxScalar scalar);

#endif
