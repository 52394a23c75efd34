// Loops over x alone, of type CODE with FRACTION = F. Included by norm_kernels_body.h once a type.

INLINE void NAME(add_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    (void)l;
    const CODE *restrict x = b->x;
    int32_t sum[FX_NORM_LANES] = {0};
    for (size_t row = 0; row < b->rows; row++, x += b->stride)
        for (size_t i = 0; i < n; i++)
            sum[i] += x[i];
    for (size_t i = 0; i < n; i++)
        s->sum[i] += sum[i];
}

INLINE void NAME(squares_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    (void)l;
    const CODE *restrict x = b->x;
    int32_t sum[FX_NORM_LANES] = {0}, low[FX_NORM_LANES] = {0}, high[FX_NORM_LANES] = {0};
    for (size_t row = 0; row < b->rows; row++, x += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t v = x[i], square = v * v;
            sum[i] += v;
            low[i] += square & 0x7fff;
            high[i] += square >> 15;
        }
    for (size_t i = 0; i < n; i++) {
        s->sum[i] += sum[i];
        s->low[i] += low[i];
        s->high[i] += high[i];
    }
}

// From the last row to the first, so that the first of equals stays.
INLINE void NAME(extremes_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    (void)l;
    int32_t sum[FX_NORM_LANES] = {0};
    int16_t max[FX_NORM_LANES], min[FX_NORM_LANES], max_row[FX_NORM_LANES] = {0}, min_row[FX_NORM_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        max[i] = INT16_MIN, min[i] = INT16_MAX;
    for (size_t row = b->rows; row-- > 0;) {
        const CODE *restrict x = (const CODE *)b->x + row * b->stride;
        const int16_t here = (int16_t)(b->first_row + (int)row);
        for (size_t i = 0; i < n; i++) {
            const int16_t v = x[i];
            max_row[i] = v >= max[i] ? here : max_row[i];
            max[i] = v >= max[i] ? v : max[i];
            min_row[i] = v <= min[i] ? here : min_row[i];
            min[i] = v <= min[i] ? v : min[i];
        }
        for (size_t i = 0; i < n; i++)
            sum[i] += x[i];
    }
    for (size_t i = 0; i < n; i++) {
        s->sum[i] += sum[i];
        s->max_row[i] = max[i] > s->max[i] ? max_row[i] : s->max_row[i];
        s->max[i] = max[i] > s->max[i] ? max[i] : s->max[i];
        s->min_row[i] = min[i] < s->min[i] ? min_row[i] : s->min_row[i];
        s->min[i] = min[i] < s->min[i] ? min[i] : s->min[i];
    }
}

INLINE void NAME(sides_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    const CODE *restrict x = b->x;
    int32_t sum[FX_NORM_LANES] = {0};
    int16_t over[FX_NORM_LANES], under[FX_NORM_LANES], above[FX_NORM_LANES] = {0}, below[FX_NORM_LANES] = {0}, part[FX_NORM_LANES];
    for (size_t i = 0; i < n; i++)
        over[i] = (int16_t)l->above[i], under[i] = (int16_t)l->below[i];
    for (size_t row = 0; row < b->rows; row++, x += b->stride) {
        for (size_t i = 0; i < n; i++) {
            const int16_t v = x[i];
            part[i] = v > over[i] ? v : 0;
            above[i] = (int16_t)(above[i] + (v > over[i]));
            below[i] = (int16_t)(below[i] + (v < under[i]));
        }
        for (size_t i = 0; i < n; i++)
            sum[i] += part[i];
    }
    for (size_t i = 0; i < n; i++) {
        s->sum[i] += sum[i];
        s->above[i] = (int16_t)(s->above[i] + above[i]);
        s->below[i] = (int16_t)(s->below[i] + below[i]);
    }
}

INLINE void NAME(powers_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    const CODE *restrict x = b->x;
    int32_t low[FX_NORM_LANES] = {0}, high[FX_NORM_LANES] = {0};
    for (size_t row = 0; row < b->rows; row++, x += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t d = x[i] * (1 << FRACTION) - l->mean[i];
            const uint32_t m = (uint32_t)(d < 0 ? -d : d), product = m * (uint32_t)power_of((int32_t)m);
            low[i] += (int32_t)(product & 0x7fff);
            high[i] += (int32_t)(product >> 15);
        }
    for (size_t i = 0; i < n; i++) {
        s->low[i] += low[i];
        s->high[i] += high[i];
    }
}

INLINE void NAME(map_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    (void)s;
    const CODE *restrict x = b->x;
    int32_t *restrict y = b->y;
    const int32_t *restrict mean = l->mean, *restrict factor = l->factor, *restrict shift = l->shift, *restrict base = l->base;
    for (size_t row = 0; row < b->rows; row++, x += b->stride, y += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t d = x[i] * (1 << FRACTION) - mean[i];
            y[i] = (((d * factor[i] >> shift[i]) + 1) >> 1) + base[i];
        }
}

KERNEL(NAME(add), NAME(add_lanes))
KERNEL(NAME(squares), NAME(squares_lanes))
KERNEL(NAME(extremes), NAME(extremes_lanes))
KERNEL(NAME(sides), NAME(sides_lanes))
KERNEL(NAME(powers), NAME(powers_lanes))
KERNEL(NAME(map), NAME(map_lanes))
