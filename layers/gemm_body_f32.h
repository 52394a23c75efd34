// The tile of a float32 product for one instruction set, included once by each gemm_ISA_f32.c, which defines MR, NR = 2 * LANES and
//   VECTOR, ZERO(), LOAD(p), STORE(p, v), SET1(x), FMADD(x, b, c)
// Left values are broadcast straight from memory, so that neither of the operand's two orders needs transposing.

#define INLINE static inline __attribute__((always_inline))

// rows and by_k are constants where this is inlined.
INLINE void tile_of(const FxTileF32 *t, const int rows, const bool by_k) {
    VECTOR acc[MR][2];
    float *sums = t->sums;
    const size_t step = t->a_step;
    const float *a = t->a, *b = t->b;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        acc[r][0] = t->go_on ? LOAD(sums + (size_t)r * t->sums_step) : ZERO();
        acc[r][1] = t->go_on ? LOAD(sums + (size_t)r * t->sums_step + LANES) : ZERO();
    }
    // rows 3i + {0, 1, 2} are base + step * {0, 4, 8} bytes
    const float *a3 = a + (rows > 3 ? 3 : 0) * step, *a6 = a + (rows > 6 ? 6 : 0) * step;
    const float *a9 = a + (rows > 9 ? 9 : 0) * step;
    for (size_t k = t->k; k > 0; k--, b += NR) {
        const VECTOR b0 = LOAD(b), b1 = LOAD(b + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const float *base = r < 3 ? a : r < 6 ? a3 : r < 9 ? a6 : a9;
            const VECTOR x = SET1(by_k ? a[r] : base[(size_t)(r % 3) * step]);
            acc[r][0] = FMADD(x, b0, acc[r][0]);
            acc[r][1] = FMADD(x, b1, acc[r][1]);
        }
        if (by_k)
            a += step;
        else
            a++, a3++, a6++, a9++;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        STORE(sums + (size_t)r * t->sums_step, acc[r][0]);
        STORE(sums + (size_t)r * t->sums_step + LANES, acc[r][1]);
    }
}

// The rest of a transpose into columns of NR.
INLINE void transpose_rest(float *out, const float *in, size_t step, size_t i, size_t k) {
    for (; i < k; i++)
        for (size_t j = 0; j < NR; j++)
            out[i * NR + j] = in[j * step + i];
}
