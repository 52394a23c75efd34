#include "sim/net.h"

#include <math.h>

void fx_init_draw_f64(void *x, FxRng rng, size_t n, int init_c, size_t fan_in) {
    double *out = x;
    double half = sqrt((double)init_c / (double)fan_in);
    for (size_t i = 0; i < n; i++)
        out[i] = (2.0 * fx_rng_word(rng, i) + 1 - 0x1p32) * 0x1p-32 * half;
}
