// Casts of integers X to codes Y in one pass, for the body of formats, with NAME for their functions. V: holds a
// rounded x; U: V without sign, which counts a block too. Codes are the general path's: widen, round, narrow.
static inline Y NAME(end)(V q, V low, V high, U *saturated, U *zeros, U *at_limit) {
    V c = q < low ? low : q > high ? high : q;
    *saturated += (U)(c != q);
    *zeros += (U)(c == 0);
    *at_limit += (U)((c == low) | (c == high));
    return (Y)c;
}

static uint64_t NAME(keep)(void *y, const void *x, size_t n, int s, int low, int high, const uint32_t *R, int bits, FxBlockCounts *counts) {
    const X *restrict from = x;
    Y *restrict to = y;
    U max = 0, saturated = 0, zeros_in = 0, zeros_out = 0, at_limit = 0;
    (void)s, (void)R, (void)bits;
    for (size_t i = 0; i < n; i++) {
        V v = from[i];
        U m = v < 0 ? (U)(0 - (U)v) : (U)v;
        max = m > max ? m : max;
        zeros_in += (U)(v == 0);
        to[i] = NAME(end)(v, (V)low, (V)high, &saturated, &zeros_out, &at_limit);
    }
    add_counts(counts, (uint32_t)saturated, (uint32_t)zeros_in, (uint32_t)zeros_out, (uint32_t)at_limit);
    return max;
}

static uint64_t NAME(even)(void *y, const void *x, size_t n, int s, int low, int high, const uint32_t *R, int bits, FxBlockCounts *counts) {
    const X *restrict from = x;
    Y *restrict to = y;
    U max = 0, saturated = 0, zeros_in = 0, zeros_out = 0, at_limit = 0;
    const U mask = (U)(((U)1 << s) - 1), half = (U)((U)1 << (s - 1));
    (void)R, (void)bits;
    for (size_t i = 0; i < n; i++) {
        V v = from[i], q = (V)(v >> s);
        U m = v < 0 ? (U)(0 - (U)v) : (U)v;
        max = m > max ? m : max;
        zeros_in += (U)(v == 0);
        q = (V)(q + (((U)v & mask) + ((U)q & 1) > half));
        to[i] = NAME(end)(q, (V)low, (V)high, &saturated, &zeros_out, &at_limit);
    }
    add_counts(counts, (uint32_t)saturated, (uint32_t)zeros_in, (uint32_t)zeros_out, (uint32_t)at_limit);
    return max;
}

// Of a word's `bits` bits the upper s are used: what is dropped of x has no more.
static uint64_t NAME(stochastic)(void *y, const void *x, size_t n, int s, int low, int high, const uint32_t *R, int bits, FxBlockCounts *counts) {
    const X *restrict from = x;
    Y *restrict to = y;
    const uint32_t *restrict word = R;
    U max = 0, saturated = 0, zeros_in = 0, zeros_out = 0, at_limit = 0;
    const U mask = (U)(((U)1 << s) - 1);
    const int drop = bits - s;
    for (size_t i = 0; i < n; i++) {
        V v = from[i], q = (V)(v >> s);
        U m = v < 0 ? (U)(0 - (U)v) : (U)v;
        max = m > max ? m : max;
        zeros_in += (U)(v == 0);
        q = (V)(q + (V)((((U)v & mask) + (U)(word[i] >> drop)) >> s));
        to[i] = NAME(end)(q, (V)low, (V)high, &saturated, &zeros_out, &at_limit);
    }
    add_counts(counts, (uint32_t)saturated, (uint32_t)zeros_in, (uint32_t)zeros_out, (uint32_t)at_limit);
    return max;
}
