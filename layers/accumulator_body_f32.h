// Loops of accumulator_kernels_f32.h in 64-bit lanes; the compiler makes the vectors. Included once by the file of each
// instruction set, which defines FX_ACC_WIDE, the initialiser of its table's `wide`.
//
// A product of two float32 is exact in float64. A sum of two float64 is not, but two-sum finds its error exactly; with its last
// bit set where something was lost (rounding to odd) it rounds to 24 bits and fewer as the exact sum would.
#include "formats/bits_f32.h"
#include "formats/round_body.h"
#include "layers/accumulator_kernels_f32.h"

#include <string.h>

#define INLINE __attribute__((always_inline)) static inline

enum { LANES = FX_ACC_LANES, BIAS64 = 1023, FRACTION64 = 52 };
static const uint64_t sign64 = UINT64_C(1) << 63;

// a + b and what its rounding lost (Knuth), exact whichever is larger.
INLINE double two_sum(double a, double b, double *lost) {
    double s = a + b, part = s - a;
    *lost = (a - (s - part)) + (b - part);
    return s;
}

// s, of which `lost` is missing, to odd: between two neighbours the one whose last bit is set.
INLINE uint64_t to_odd(double s, double lost) {
    uint64_t x = fx_double_bits(s), even = 0 - (~x & 1), inexact = lost != 0 ? ~UINT64_C(0) : UINT64_C(0);
    uint64_t one = 1 | (0 - ((x ^ fx_double_bits(lost)) >> 63)); // away from zero or, where the signs differ, -1
    return x + (one & inexact & even);
}

// The exponent field of the binade that decides the unit of |x|.
INLINE uint64_t binade(uint64_t a, uint64_t low) {
    uint64_t top = a & UINT64_C(0x7FF) << FRACTION64;
    return (int64_t)top > (int64_t)low ? top : low;
}

// The value of magnitude a rounded to the grid without upper limit.
typedef double Law(uint64_t a, uint64_t sign, uint64_t low, const FxAddF32 *add, uint64_t R, FxRoundShift *shift, bool magnitude);

// a + 2^52 units has the unit as its last place; the machine rounds to nearest-even.
INLINE double law_even(uint64_t a, uint64_t sign, uint64_t low, const FxAddF32 *add, uint64_t R, FxRoundShift *shift, bool magnitude) {
    (void)sign, (void)R, (void)shift, (void)magnitude;
    double magic = fx_double_of(binade(a, low) + ((uint64_t)(FRACTION64 - add->mantissa_bits) << FRACTION64));
    return (fx_double_of(a) + magic) - magic;
}

// Likewise at 2^-r of a unit; the random bits are added to that integer and its low r bits dropped.
INLINE double law_stochastic_c(uint64_t a, uint64_t sign, uint64_t low, const FxAddF32 *add, uint64_t R, FxRoundShift *shift, bool magnitude) {
    (void)sign, (void)shift, (void)magnitude;
    uint64_t coarse = binade(a, low) + ((uint64_t)(FRACTION64 - add->mantissa_bits) << FRACTION64);
    uint64_t fine = coarse - ((uint64_t)add->round.bits << FRACTION64);
    uint64_t n = fx_double_bits(fx_double_of(a) + fx_double_of(fine)) - fine;
    return fx_double_of(coarse + ((n + R) >> add->round.bits)) - fx_double_of(coarse);
}

// The nearest, and one unit less where that is above the number.
INLINE double law_toward_zero(uint64_t a, uint64_t sign, uint64_t low, const FxAddF32 *add, uint64_t R, FxRoundShift *shift, bool magnitude) {
    double nearest = law_even(a, sign, low, add, R, shift, magnitude), number = fx_double_of(a);
    double unit = fx_double_of(binade(a, low) - ((uint64_t)add->mantissa_bits << FRACTION64));
    return nearest - (nearest > number ? unit : 0);
}

// Any other by its specification, on the 53 bits and the shift down to the unit, cut at 62 with a sticky bit.
INLINE double law_any(uint64_t a, uint64_t sign, uint64_t low, const FxAddF32 *add, uint64_t R, FxRoundShift *law, bool magnitude) {
    uint64_t top = binade(a, low), m = (a & ((UINT64_C(1) << FRACTION64) - 1)) | (a ? UINT64_C(1) << FRACTION64 : 0);
    int64_t shift = (int64_t)(top >> FRACTION64) - (int64_t)(a >> FRACTION64) + FRACTION64 - add->mantissa_bits;
    int64_t far = shift > 62 ? shift - 62 : 0;
    far = far < 62 ? far : 62;
    int64_t v = (int64_t)(m >> far | ((m & ((UINT64_C(1) << far) - 1)) ? UINT64_C(1) : UINT64_C(0)));
    shift = shift < 62 ? shift : 62;
    v = !magnitude && sign ? -v : v;
    int64_t q = law(v, (int)shift, (uint32_t)R, 0, &add->round);
    q = q < 0 ? -q : q;
    uint64_t coarse = top + ((uint64_t)(FRACTION64 - add->mantissa_bits) << FRACTION64);
    return fx_double_of(coarse + (uint64_t)q) - fx_double_of(coarse);
}

// What additions did, a lane; bad: something was lost that two float64 do not hold.
typedef struct Lanes {
    uint64_t overflow[LANES], swamped[LANES], bad[LANES];
} Lanes;

// Products j .. of one group for every lane: their exact sum as high + low.
INLINE void sum_group(double high[LANES], double low[LANES], Lanes *c, const FxStepsF32 *s, size_t row, size_t first, size_t end) {
    memset(high, 0, LANES * sizeof *high);
    memset(low, 0, LANES * sizeof *low);
    for (size_t j = first; j < end; j++) {
        double a = s->a[j * FX_ACC_ROWS + row];
        const float *b = s->b + j * LANES;
        for (size_t i = 0; i < LANES; i++) {
            double lost, missing;
            high[i] = two_sum(high[i], a * (double)b[i], &lost);
            low[i] = two_sum(low[i], lost, &missing);
            c->bad[i] |= fx_double_bits(missing) << 1;
        }
    }
}

// One addition to every lane of a row: sum + (addend + more), rounded. Passes of one element type each, which compilers turn
// into vectors where they gave up on the whole. Counts are kept a lane.
INLINE void add_row(Law *law, FxRoundShift *shift, bool magnitude, bool grouped, double *restrict sum, const double *restrict addend,
                    const double *restrict more, const uint32_t *restrict R, const FxAddF32 *add, Lanes *restrict c) {
    const uint64_t low = (uint64_t)(add->low + BIAS64) << FRACTION64;
    const double most = add->most;
    uint64_t x[LANES], word[LANES];
    double value[LANES];
    for (size_t i = 0; i < LANES; i++)
        word[i] = R ? R[i] : 0;
    for (size_t i = 0; i < LANES; i++) {
        double lost, t = two_sum(sum[i], addend[i], &lost);
        if (grouped) { // the missing parts together, and once more so that t is the nearest to all of it
            double missing, rest = two_sum(lost, more[i], &missing);
            c->bad[i] |= fx_double_bits(missing) << 1;
            t = two_sum(t, rest, &lost);
        }
        x[i] = to_odd(t, lost);
    }
    for (size_t i = 0; i < LANES; i++)
        value[i] = law(x[i] & ~sign64, x[i] & sign64, low, add, word[i], shift, magnitude);
    for (size_t i = 0; i < LANES; i++) {
        double held = value[i] > most ? most : value[i];
        c->overflow[i] += value[i] > most ? 1 : 0;
        held = fx_double_of(fx_double_bits(held) | (x[i] & sign64));
        double there = grouped && addend[i] == 0 ? more[i] : addend[i];
        c->swamped[i] += held == sum[i] ? there != 0 ? UINT64_C(1) : UINT64_C(0) : UINT64_C(0);
        sum[i] = held;
    }
}

INLINE void wide(Law *law, FxRoundShift *shift, bool magnitude, bool grouped, FxStepsF32 *s) {
    const FxAddF32 add = *s->add;
    size_t group = grouped ? s->group : 1, index = 0;
    double sum[FX_ACC_ROWS][LANES];
    Lanes counts = {{0}, {0}, {0}};
    for (size_t row = 0; row < s->rows; row++)
        for (size_t i = 0; i < LANES; i++)
            sum[row][i] = s->sum[row * LANES + i];
    for (size_t first = 0; first < s->k; first += group, index++) {
        size_t end = first + group < s->k ? first + group : s->k;
        for (size_t row = 0; row < s->rows; row++) {
            const uint32_t *R = add.draws ? s->R + (index * s->rows + row) * LANES : NULL;
            const float *restrict b = s->b + first * LANES;
            double a = s->a[first * FX_ACC_ROWS + row], addend[LANES], more[LANES];
            if (grouped)
                sum_group(addend, more, &counts, s, row, first, end);
            else
                for (size_t i = 0; i < LANES; i++)
                    addend[i] = a * (double)b[i];
            add_row(law, shift, magnitude, grouped, sum[row], addend, more, R, &add, &counts);
        }
    }
    uint64_t overflow = 0, bad = 0;
    for (size_t i = 0; i < LANES; i++) {
        overflow += counts.overflow[i];
        s->swamped += counts.swamped[i];
        bad |= counts.bad[i];
    }
    s->overflow += overflow;
    s->failed |= bad != 0 || (add.hand_back && overflow);
    for (size_t row = 0; row < s->rows; row++)
        for (size_t i = 0; i < LANES; i++)
            s->sum[row * LANES + i] = (float)sum[row][i];
}

#define WIDE(name, law, shift, magnitude) \
    static void single_##name(FxStepsF32 *s) { wide(law, shift, magnitude, false, s); } \
    static void grouped_##name(FxStepsF32 *s) { wide(law, shift, magnitude, true, s); }

WIDE(nearest_even, law_even, NULL, false)
WIDE(nearest_away, law_any, round_nearest_away, false)
WIDE(nearest_zero, law_any, round_nearest_zero, false)
WIDE(nearest_up, law_any, round_nearest_up, false)
WIDE(nearest_down, law_any, round_nearest_down, false)
WIDE(toward_zero, law_toward_zero, NULL, false)
WIDE(away, law_any, round_away, false)
WIDE(floor, law_any, round_floor, false)
WIDE(ceil, law_any, round_ceil, false)
WIDE(odd, law_any, round_odd, false)
WIDE(equal, law_any, round_equal, false)
WIDE(stochastic_a, law_any, round_stochastic_a, true)
WIDE(stochastic_b, law_any, round_stochastic_b, true)
WIDE(stochastic_c, law_stochastic_c, NULL, true)
WIDE(below, law_any, round_stochastic_below, false)
WIDE(sr_eps, law_any, round_sr_eps, false)

// in the order of fx_round_modes; those that need integers or a direction have none
#define WIDE_LINE(kind) \
    {kind##_nearest_even, kind##_nearest_away, kind##_nearest_zero, kind##_nearest_up, kind##_nearest_down, kind##_toward_zero, \
     kind##_away, kind##_floor, kind##_ceil, kind##_odd, kind##_equal, kind##_stochastic_a, kind##_stochastic_b, kind##_stochastic_c, \
     kind##_below, kind##_sr_eps, NULL, NULL, NULL}
#define FX_ACC_WIDE {WIDE_LINE(single), WIDE_LINE(grouped)}

__attribute__((unused)) static void transpose_words(uint32_t *out, size_t step, const uint32_t *in, size_t in_step, size_t n) {
    for (size_t j = 0; j < n; j++)
        for (size_t lane = 0; lane < LANES; lane++)
            out[j * step + lane] = in[lane * in_step + j];
}

// fmaf: the machine's own sum. Inf and NaN are handed back, since their counts and an outer policy need them.
#ifdef __FMA__
static void fused_multiply_add(FxStepsF32 *s) {
    uint32_t swamped = 0, beyond = 0;
    for (size_t row = 0; row < s->rows; row++) {
        float sum[LANES];
        memcpy(sum, s->sum + row * LANES, sizeof sum);
        for (size_t j = 0; j < s->k; j++) {
            const float *restrict b = s->b + j * LANES;
            float a = s->a[j * FX_ACC_ROWS + row];
            if (s->counting) {
                for (size_t i = 0; i < LANES; i++) {
                    float x = __builtin_fmaf(a, b[i], sum[i]);
                    swamped += (uint32_t)((x == sum[i]) & (a != 0) & (b[i] != 0));
                    sum[i] = x;
                }
            } else {
                for (size_t i = 0; i < LANES; i++)
                    sum[i] = __builtin_fmaf(a, b[i], sum[i]);
            }
            if (j % 4096 == 4095) { // before the 32-bit count could run over
                s->swamped += swamped;
                swamped = 0;
            }
        }
        for (size_t i = 0; i < LANES; i++)
            beyond |= !(sum[i] - sum[i] == 0);
        memcpy(s->sum + row * LANES, sum, sizeof sum);
    }
    s->swamped += swamped;
    s->failed |= beyond != 0;
}
#endif
