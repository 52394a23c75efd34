// The inner loops of formats/, one table an instruction set, all from the same source (kernels_body.h), so that all
// give the same bits. Arrays are short (a block of FX_BLOCK elements stays in the first cache), nothing here fails.
#ifndef FX_KERNELS_H
#define FX_KERNELS_H

#include "formats/cpu.h"
#include "formats/rng.h"
#include "formats/round.h"
#include "formats/tensor.h"

enum { FX_BLOCK = 1024 };

// What a block did; added up by the caller.
typedef struct FxBlockCounts {
    uint32_t saturated; // rounded, unclamped code outside [low, high]
    uint32_t zeros_in, zeros_out;
    uint32_t at_limit; // codes at low or high after clamping
} FxBlockCounts;

// Rounding of a channel's products for each of `period` elements, a multiple of the channels, laid out for the kernels below:
// q = (even(x * multiplier / 2^drop) + (R >> word)) >> shift; nearest-even has no word and shift 0.
enum { FX_UNITS_PERIOD = 1024 };
typedef struct FxUnitsTable {
    size_t period;
    uint32_t bits; // of a random word; 0: nearest-even
    bool far;      // some drop is not 0
    bool is_short; // none, and x * multiplier + 2^shift stays within int32
    FxType type;   // of the codes, int8 or int16
    int32_t low, high;
    int32_t multiplier[FX_UNITS_PERIOD];
    uint32_t word[FX_UNITS_PERIOD];  // 0..31
    int64_t shift[FX_UNITS_PERIOD];  // 0..32
    int64_t drop[FX_UNITS_PERIOD];   // 0..63
    int64_t below[FX_UNITS_PERIOD];  // half a step of 2^drop, less 1; 0 where drop is 0
} FxUnitsTable;

// int8, int16 (computed in 32 bits), int32 and int64, to int8 and int16.
enum { FX_CAST_SOURCES = 4 };

// y[i] = x[i] / 2^s rounded, clamped to [low, high]; counts; returns the largest |x[i]|. R: n words, of stochastic alone.
typedef uint64_t FxCastKernel(void *y, const void *x, size_t n, int s, int low, int high, const uint32_t *R, int bits, FxBlockCounts *counts);

// y[i] = x[i] by t from its entry `at` on, clamped to its codes, n <= FX_BLOCK and at + n <= period; counts but for zeros_in.
// |x * multiplier| < 2^62, rounded within int32. R: n words, NULL for nearest-even.
typedef void FxUnitsKernel(void *y, const int32_t *x, size_t n, const FxUnitsTable *t, size_t at, const uint32_t *R, FxBlockCounts *counts);

typedef struct FxKernels {
    const char *name;
    unsigned cpu; // needed flags of formats/cpu.h

    // Philox blocks block .. block + blocks - 1 of rng's stream and step, 4 words each.
    void (*philox)(uint32_t *out, FxRng rng, uint64_t block, size_t blocks);

    // out[j] = the top bits, lane_bits - drop of them, of lane skip + j of the words; lanes of 8, 16 or 32 bits.
    void (*lanes)(uint32_t *out, const uint32_t *words, size_t skip, size_t n, int lane_bits, int drop);

    // v[i] = x[i] * multiplier; counts zeros; returns the largest |x[i]|.
    uint64_t (*widen)(int64_t *v, const void *x, FxType type, size_t n, int64_t multiplier, FxBlockCounts *counts);

    // q[i] = the mode's law on v[i] / 2^s, 0 < s <= 62. R: n words (NULL for a deterministic mode).
    void (*round[FX_ROUND_MODES])(int64_t *q, const int64_t *v, size_t n, int s, const uint32_t *R, const FxRoundArg *arg);

    // y[i] = q[i] clamped to [low, high], stored as type; counts.
    void (*narrow)(void *y, FxType type, const int64_t *q, size_t n, int64_t low, int64_t high, FxBlockCounts *counts);

    // The three above in one pass, multiplier 1, by the codes of the source and of the result: s = 0; nearest-even, 1 <= s < the
    // bits it is computed in, 32 or 64, at most 62; stochastic of `bits` bits, 1 <= s <= bits and s as for nearest-even.
    FxCastKernel *keep[FX_CAST_SOURCES][2], *even[FX_CAST_SOURCES][2], *stochastic[FX_CAST_SOURCES][2];

    // The clip mask: pass[i] = 1 where low <= x[i] <= high; and its use: x[i] = 0 where pass[i] is 0, returns how many.
    void (*pass)(uint8_t *pass, const int32_t *x, size_t n, int32_t low, int32_t high);
    uint32_t (*mask)(int32_t *x, const uint8_t *pass, size_t n);

    // w[i] = w[i] - k[i] held to +-limit; counts as narrow does, *changed the codes that moved; returns the largest |w - k|.
    uint64_t (*subtract)(void *w, FxType type, const int64_t *k, size_t n, int64_t limit, FxBlockCounts *counts, uint32_t *changed);

    uint64_t (*max_abs)(const void *x, FxType type, size_t n);

    // Channels with units of their own. max[i % period] rises to |x[i]|, zeros[i % period] by the zeros.
    void (*max_abs_period)(uint32_t *max, uint32_t *zeros, const int32_t *x, size_t n, size_t period);
    // By the laws nearest-even, stochastic with every drop 0, the same of short products, and stochastic.
    FxUnitsKernel *units_even, *units_stochastic, *units_short, *units_far;
} FxKernels;

// The last table line whose flags are all in cpu.
const FxKernels *fx_kernels(unsigned cpu);
// Line i, NULL past the last: for tests and benches.
const FxKernels *fx_kernels_line(int i);

extern const FxKernels fx_kernels_scalar, fx_kernels_avx2, fx_kernels_avx512;

#endif
