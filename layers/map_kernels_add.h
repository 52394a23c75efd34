// Adding up codes of one type X of at most 32 bits, for the body of maps, with NAME for its functions. No sum of 64 of them
// leaves 62 bits.
static void NAME(add_left)(int64_t *restrict y, const void *x, size_t n, int shift) {
    const X *restrict from = x;
    for (size_t i = 0; i < n; i++)
        y[i] += (int64_t)((uint64_t)from[i] << shift);
}

// floor(v / 2^s + 1/2): the floor and the bit below it, within 32 bits; 0 from s = 33 on.
static void NAME(add_right)(int64_t *restrict y, const void *x, size_t n, int shift) {
    const X *restrict from = x;
    if (shift > 32)
        return;
    for (size_t i = 0; i < n; i++) {
        int32_t v = (int32_t)from[i] >> (shift - 1);
        y[i] += (v >> 1) + (v & 1);
    }
}
