// Casts of integers to codes in one pass, for the body of formats: those that widen, round and narrow make.

#define CAST(name, X, Y, V, U, ROUNDED)                                                                                             \
    static uint64_t name(void *y, const void *x, size_t n, int s, int low, int high, const uint32_t *R, int bits, FxBlockCounts *counts) { \
        const X *restrict from = x;                                                                                                 \
        const uint32_t *restrict word = R;                                                                                          \
        Y *restrict to = y;                                                                                                         \
        U max = 0, saturated = 0, zeros_in = 0, zeros_out = 0, at_limit = 0;                                                        \
        const V least = (V)low, most = (V)high;                                                                                     \
        (void)s, (void)word, (void)bits;                                                                                            \
        for (size_t i = 0; i < n; i++) {                                                                                            \
            const V v = from[i], q = (V)(ROUNDED), c = q < least ? least : q > most ? most : q;                                     \
            const U m = v < 0 ? (U)(0 - (U)v) : (U)v;                                                                               \
            max = m > max ? m : max;                                                                                                \
            saturated += (U)(c != q);                                                                                               \
            zeros_in += (U)(v == 0);                                                                                                \
            zeros_out += (U)(c == 0);                                                                                               \
            at_limit += (U)((c == least) | (c == most));                                                                            \
            to[i] = (Y)c;                                                                                                           \
        }                                                                                                                           \
        counts->saturated += (uint32_t)saturated;                                                                                   \
        counts->zeros_in += (uint32_t)zeros_in;                                                                                     \
        counts->zeros_out += (uint32_t)zeros_out;                                                                                   \
        counts->at_limit += (uint32_t)at_limit;                                                                                     \
        return max;                                                                                                                 \
    }

// Of v / 2^s what is dropped; half a step.
#define DROPPED(U) ((U)v & (((U)1 << s) - 1))
#define HALF(U) ((U)1 << (s - 1))
// Nearest-even; stochastic by the upper s of a word's bits: what is dropped has no more.
#define EVEN(V, U) (v >> s) + (DROPPED(U) + ((U)(v >> s) & 1) > HALF(U))
#define STOCHASTIC(V, U) (v >> s) + (V)((DROPPED(U) + (U)(word[i] >> (bits - s))) >> s)

// V holds a rounded x; U, V without sign, counts a block too.
#define CASTS(x, X, V, U)                                  \
    CAST(keep_##x##_int8, X, int8_t, V, U, v)              \
    CAST(keep_##x##_int16, X, int16_t, V, U, v)            \
    CAST(even_##x##_int8, X, int8_t, V, U, EVEN(V, U))     \
    CAST(even_##x##_int16, X, int16_t, V, U, EVEN(V, U))   \
    CAST(stochastic_##x##_int8, X, int8_t, V, U, STOCHASTIC(V, U)) \
    CAST(stochastic_##x##_int16, X, int16_t, V, U, STOCHASTIC(V, U))

CASTS(int8, int8_t, int32_t, uint32_t)
CASTS(int16, int16_t, int32_t, uint32_t)
CASTS(int32, int32_t, int32_t, uint32_t)
CASTS(int64, int64_t, int64_t, uint64_t)

#undef CAST
#undef DROPPED
#undef HALF
#undef EVEN
#undef STOCHASTIC
#undef CASTS
