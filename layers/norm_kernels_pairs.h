// Loops over x and e, of types CODE and ERROR; SPLIT: sums of their products need more than 32 bits. Included by
// norm_kernels_body.h once a pair.

INLINE void PAIR(products_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    (void)l;
    const CODE *restrict x = b->x;
    const ERROR *restrict e = b->e;
    int32_t sum[FX_NORM_LANES] = {0}, low[FX_NORM_LANES] = {0}, high[FX_NORM_LANES] = {0};
    for (size_t row = 0; row < b->rows; row++, x += b->stride, e += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t product = e[i] * x[i];
            sum[i] += e[i];
            low[i] += SPLIT ? product & 0x7fff : product;
            if (SPLIT)
                high[i] += product >> 15;
        }
    for (size_t i = 0; i < n; i++) {
        s->sum[i] += sum[i];
        s->low[i] += low[i];
        s->high[i] += high[i];
    }
}

INLINE void PAIR(power_products_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    const CODE *restrict x = b->x;
    const ERROR *restrict e = b->e;
    int32_t sum[FX_NORM_LANES] = {0}, low[FX_NORM_LANES] = {0}, high[FX_NORM_LANES] = {0};
    for (size_t row = 0; row < b->rows; row++, x += b->stride, e += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t product = e[i] * power_of(x[i] * (1 << FRACTION) - l->mean[i]);
            sum[i] += e[i];
            low[i] += product & 0x7fff;
            high[i] += product >> 15;
        }
    for (size_t i = 0; i < n; i++) {
        s->sum[i] += sum[i];
        s->low[i] += low[i];
        s->high[i] += high[i];
    }
}

INLINE int32_t PAIR(limited)(int32_t t, int32_t limit) {
    t = t < limit ? t : limit;
    return t > -limit ? t : -limit;
}

INLINE void PAIR(plain_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    int32_t largest[FX_NORM_LANES] = {0}, zeros[FX_NORM_LANES] = {0};
    const ERROR *restrict e = b->e;
    int32_t *restrict y = b->y;
    const int32_t *restrict unit = l->unit, *restrict base = l->base;
    const int32_t limit = l->limit;
    for (size_t row = 0; row < b->rows; row++, e += b->stride, y += b->stride)
        for (size_t i = 0; i < n; i++) {
            y[i] = PAIR(limited)(e[i] * unit[i] - base[i], limit);
            see(y[i], &largest[i], &zeros[i]);
        }
    see_lanes(s, largest, zeros, n);
}

INLINE void PAIR(sign_steps_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    int32_t largest[FX_NORM_LANES] = {0}, zeros[FX_NORM_LANES] = {0};
    const CODE *restrict x = b->x;
    const ERROR *restrict e = b->e;
    int32_t *restrict y = b->y;
    const int32_t *restrict unit = l->unit, *restrict base = l->base, *restrict step = l->step;
    const int32_t *restrict above = l->above, *restrict below = l->below, limit = l->limit;
    for (size_t row = 0; row < b->rows; row++, x += b->stride, e += b->stride, y += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t up = x[i] > above[i] ? step[i] : 0, down = x[i] < below[i] ? step[i] : 0;
            y[i] = PAIR(limited)(e[i] * unit[i] - base[i] - up + down, limit);
            see(y[i], &largest[i], &zeros[i]);
        }
    see_lanes(s, largest, zeros, n);
}

INLINE void PAIR(line_steps_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    int32_t largest[FX_NORM_LANES] = {0}, zeros[FX_NORM_LANES] = {0};
    const CODE *restrict x = b->x;
    const ERROR *restrict e = b->e;
    int32_t *restrict y = b->y;
    const int32_t *restrict unit = l->unit, *restrict base = l->base, *restrict mean = l->mean;
    const int32_t *restrict factor = l->factor, *restrict shift = l->shift, limit = l->limit;
    for (size_t row = 0; row < b->rows; row++, x += b->stride, e += b->stride, y += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t d = x[i] * (1 << FRACTION) - mean[i];
            y[i] = PAIR(limited)(e[i] * unit[i] - base[i] - (((d * factor[i] >> shift[i]) + 1) >> 1), limit);
            see(y[i], &largest[i], &zeros[i]);
        }
    see_lanes(s, largest, zeros, n);
}

INLINE void PAIR(power_steps_lanes)(const FxNormBlock *b, const FxNormLanes *l, FxNormSums *s, size_t n) {
    int32_t largest[FX_NORM_LANES] = {0}, zeros[FX_NORM_LANES] = {0};
    const CODE *restrict x = b->x;
    const ERROR *restrict e = b->e;
    int32_t *restrict y = b->y;
    const int32_t *restrict unit = l->unit, *restrict base = l->base, *restrict mean = l->mean;
    const int32_t *restrict factor = l->factor, *restrict shift = l->shift, limit = l->limit;
    for (size_t row = 0; row < b->rows; row++, x += b->stride, e += b->stride, y += b->stride)
        for (size_t i = 0; i < n; i++) {
            const int32_t a = power_of(x[i] * (1 << FRACTION) - mean[i]);
            y[i] = PAIR(limited)(e[i] * unit[i] - base[i] - (((a * factor[i] >> shift[i]) + 1) >> 1), limit);
            see(y[i], &largest[i], &zeros[i]);
        }
    see_lanes(s, largest, zeros, n);
}

KERNEL(PAIR(products), PAIR(products_lanes))
KERNEL(PAIR(power_products), PAIR(power_products_lanes))
KERNEL(PAIR(plain), PAIR(plain_lanes))
KERNEL(PAIR(sign_steps), PAIR(sign_steps_lanes))
KERNEL(PAIR(line_steps), PAIR(line_steps_lanes))
KERNEL(PAIR(power_steps), PAIR(power_steps_lanes))

#undef PAIR
#undef ERROR
#undef SPLIT
