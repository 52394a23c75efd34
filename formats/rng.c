#include "formats/rng.h"

#include "formats/kernels.h"
#include "formats/philox.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static const FxRandomSource sources[] = {
    {"philox", 0, 0},
    {"lfsr:16", 16, 0xB400},
    {"lfsr:32", 32, UINT32_C(0x80200003)},
};

const FxRandomSource *fx_random_source(int i) {
    return i < (int)(sizeof sources / sizeof sources[0]) ? &sources[i] : NULL;
}

void fx_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2], int rounds) {
    memcpy(out, counter, 4 * sizeof *out);
    fx_philox_rounds(out, key[0], key[1], rounds);
}

uint32_t fx_rng_lane(FxRng rng, uint64_t i, int lane_bits) {
    uint64_t lanes = 128 / (uint64_t)lane_bits, block = i / lanes;
    uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), rng.step, rng.stream};
    fx_philox_rounds(c, (uint32_t)rng.seed, (uint32_t)(rng.seed >> 32), 10);
    unsigned bit = (unsigned)(i % lanes) * (unsigned)lane_bits;
    uint32_t word = c[bit / 32] >> bit % 32;
    return lane_bits == 32 ? word : word & ((UINT32_C(1) << lane_bits) - 1);
}

int fx_random_width(const FxRandom *random) {
    return random->source->width ? random->source->width : random->lane_bits;
}

enum { LFSR_BLOCK = 4096, LFSR_REGISTERS = 16 };

static void lfsr_bits(uint32_t *out, const FxRandom *random, uint64_t first, size_t n, int bits) {
    const FxRandomSource *source = random->source;
    uint32_t low = source->width == 32 ? UINT32_MAX : (UINT32_C(1) << source->width) - 1;
    uint32_t keep = bits == 32 ? UINT32_MAX : (UINT32_C(1) << bits) - 1;
    for (uint64_t block = first / LFSR_BLOCK; block * LFSR_BLOCK < first + n; block++) {
        for (uint64_t r = 0; r < LFSR_REGISTERS; r++) {
            uint32_t state = fx_rng_word(random->rng, block * LFSR_REGISTERS + r) & low;
            state = state ? state : 1;
            for (uint64_t i = block * LFSR_BLOCK + r; i < (block + 1) * LFSR_BLOCK && i < first + n; i += LFSR_REGISTERS) {
                state = (state >> 1) ^ (state & 1 ? source->mask : 0);
                if (i >= first)
                    out[i - first] = state & keep;
            }
        }
    }
}

void fx_random_bits(uint32_t *out, const FxRandom *random, uint64_t first, size_t n, int bits, unsigned cpu) {
    assert(bits >= 1 && bits <= fx_random_width(random));
    if (random->source->width) {
        lfsr_bits(out, random, first, n, bits);
        return;
    }
    const FxKernels *kernels = fx_kernels(cpu);
    uint64_t lanes = 128 / (uint64_t)random->lane_bits;
    int drop = random->lane_bits - bits;
    enum { CHUNK = 64 };
    uint32_t words[4 * CHUNK];
    while (n > 0) {
        uint64_t block = first / lanes, skip = first % lanes;
        size_t blocks = (size_t)((skip + n + lanes - 1) / lanes);
        blocks = blocks < CHUNK ? blocks : CHUNK;
        size_t take = (size_t)(blocks * lanes - skip);
        take = take < n ? take : n;
        bool whole = random->lane_bits == 32 && drop == 0 && skip == 0 && take == 4 * blocks; // the words themselves
        kernels->philox(whole ? out : words, random->rng, block, blocks);
        if (!whole)
            kernels->lanes(out, words, (size_t)skip, take, random->lane_bits, drop);
        out += take;
        first += take;
        n -= take;
    }
}
