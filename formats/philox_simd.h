// Philox 4x32-10 on 64-bit lanes, for the instruction sets that multiply 32 by 32 bits into 64 there: a lane holds one word of
// one block in its low half and whatever in its high half, which no multiplication reads. Included once by a kernels file, which
// defines VECTOR (the type), LANES (64-bit lanes of it), STARTS (the block of each lane, so that interleaving gives blocks in
// order) and the operations MUL, XOR3, HIGH (a lane's high half), SET1, LOAD, STORE, ADD, PAIR (low half of a, low half of b
// above it), FIRST and SECOND (interleaved 64-bit lanes).
#ifndef FX_PHILOX_SIMD_H
#define FX_PHILOX_SIMD_H

#include "formats/philox.h"
#include "formats/rng.h"

enum { CHAINS = 4 }; // independent vectors, to hide the multiplier's latency

static void philox_simd(uint32_t *out, FxRng rng, uint64_t block, size_t blocks) {
    static const uint64_t starts[LANES] = STARTS;
    const VECTOR m0 = SET1(UINT64_C(0xD2511F53)), m1 = SET1(UINT64_C(0xCD9E8D57)), offset = LOAD(starts);
    uint64_t wide = CHAINS * LANES;
    size_t b = 0;
    // the block number's low half must not run over within a group
    for (; b + wide <= blocks && (uint32_t)(block + b) <= UINT32_MAX - wide; b += wide) {
        VECTOR c0[CHAINS], c1[CHAINS], c2[CHAINS], c3[CHAINS];
        uint32_t k0 = (uint32_t)rng.seed, k1 = (uint32_t)(rng.seed >> 32);
        for (uint64_t j = 0; j < CHAINS; j++) {
            c0[j] = ADD(offset, SET1((uint32_t)(block + b + j * LANES)));
            c1[j] = SET1((block + b) >> 32);
            c2[j] = SET1(rng.step);
            c3[j] = SET1(rng.stream);
        }
        for (int r = 0; r < 10; r++) {
            VECTOR key0 = SET1(k0), key1 = SET1(k1);
            for (int j = 0; j < CHAINS; j++) {
                VECTOR p0 = MUL(m0, c0[j]), p1 = MUL(m1, c2[j]);
                c0[j] = XOR3(HIGH(p1), c1[j], key0);
                c1[j] = p1;
                c2[j] = XOR3(HIGH(p0), c3[j], key1);
                c3[j] = p0;
            }
            k0 += UINT32_C(0x9E3779B9);
            k1 += UINT32_C(0xBB67AE85);
        }
        for (uint64_t j = 0; j < CHAINS; j++) {
            VECTOR low = PAIR(c0[j], c1[j]), high = PAIR(c2[j], c3[j]);
            uint32_t *to = out + 4 * (b + j * LANES);
            STORE(to, FIRST(low, high));
            STORE(to + 2 * LANES, SECOND(low, high));
        }
    }
    for (; b < blocks; b++) {
        uint32_t c[4] = {(uint32_t)(block + b), (uint32_t)((block + b) >> 32), rng.step, rng.stream};
        fx_philox_rounds(c, (uint32_t)rng.seed, (uint32_t)(rng.seed >> 32), 10);
        for (int i = 0; i < 4; i++)
            out[4 * b + (size_t)i] = c[i];
    }
}

#endif
