// Random words as functions of position: Philox 4x32-10 keyed by (seed, stream, step), word i of element i.
// Nothing is advanced, so order, threads and restarts cannot change a word.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#ifndef FX_RNG_H
#define FX_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct FxRng {
    uint64_t seed;         // the key: low word, high word
    uint32_t stream, step; // counter words 3 and 2; the block number is in words 0 and 1
} FxRng;

// One Philox block: 4 words of counter under key. rounds = 10 for everything but known-answer tests.
void fx_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2], int rounds);

// Lane of element i: 8, 16 or 32 bits. Element i reads block i / L, L = 128 / lane_bits, bits
// [(i mod L) * lane_bits, + lane_bits) of the block, word 0 lowest.
uint32_t fx_rng_lane(FxRng rng, uint64_t i, int lane_bits);

// Word i: the 32-bit lane.
static inline uint32_t fx_rng_word(FxRng rng, uint64_t i) {
    return fx_rng_lane(rng, i, 32);
}

// Where the words of a rounding come from: one line a source.
typedef struct FxRandomSource {
    const char *name;   // as recipes write it: "philox", "lfsr:16"
    int width;          // register bits of an LFSR; 0: the lane
    uint32_t mask;      // its taps
} FxRandomSource;

const FxRandomSource *fx_random_source(int i); // NULL past the last

// A source, the width of a Philox lane and the place in the run: all that a rounding needs to draw.
typedef struct FxRandom {
    const FxRandomSource *source;
    int lane_bits; // 8, 16 or 32
    FxRng rng;
} FxRandom;

// Bits that one word of the source has: the lane's width, or the register's.
int fx_random_width(const FxRandom *random);

// out[j] = R of element first + j, j < n: bits random bits, the top ones of a Philox lane or the low ones of an
// LFSR. 1 <= bits <= fx_random_width.
// LFSR (Galois, right shift): element i is clock (i mod 4096) / 16 + 1 of register i mod 16 of block i / 4096; a
// register starts from the low bits of the 32-bit Philox lane at element (i / 4096) * 16 + (i mod 16), 0 replaced by 1.
void fx_random_bits(uint32_t *out, const FxRandom *random, uint64_t first, size_t n, int bits, unsigned cpu);

#endif
