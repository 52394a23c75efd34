// Bodies of the loops of kernels_f32.h. Included once by the file of each instruction set, which defines
// FX_KERNELS_F32_TABLE and FX_KERNELS_F32_CPU; the compiler makes the vectors.
#include "formats/bits_f32.h"
#include "formats/kernels_f32.h"
#include "formats/round_body.h"

#define INLINE __attribute__((always_inline)) static inline

enum { EXPONENT = 0xFF << 23, NAN_BITS = EXPONENT | 1 << 22 };

// float32 magnitude bits a as m * 2^(e - 150).
INLINE int32_t field(uint32_t a) {
    int32_t e = (int32_t)(a >> 23);
    return e > 1 ? e : 1;
}

INLINE uint32_t mantissa(uint32_t a) {
    return (a & 0x7FFFFF) | (a > 0x7FFFFF ? 0x800000 : 0);
}

// How far right the mantissa goes to become an integer of the grid's unit; e: its field, low: lowest of its block.
INLINE int32_t drop(int32_t e, int32_t low, const FxGridF32 *grid, bool fixed) {
    if (fixed)
        return low - e;
    return 23 - grid->mantissa_bits + (e > low ? 0 : low - e);
}

// ---- 32-bit rounding: mantissas moved up by 6 bits stay below 2^30. Shifts are cut at 31, beyond which nothing changes
// (v / 2^31 is below one half, and not 0 where v is not), and at 1, below which a fixed grid saturates anyway. v: the
// magnitude on float grids for laws that do not look at the sign, else the signed number.

enum { UP = 6 };

INLINE int32_t cut(int32_t shift) {
    return shift > 31 ? 31 : shift < 1 ? 1 : shift;
}

// (v + most of a step) / 2^k by floor; unsigned, since a magnitude's sum may pass 2^31.
INLINE int32_t raised(int32_t v, uint32_t by, int32_t k) {
    return (int32_t)(((uint32_t)v + by) >> k);
}

INLINE int32_t even(int32_t v, int32_t k) {
    return (v + ((INT32_C(1) << (k - 1)) - 1) + ((v >> k) & 1)) >> k;
}

INLINE int32_t half_of(int32_t k) {
    return INT32_C(1) << (k - 1);
}

typedef int32_t Law32(int32_t v, int32_t shift, int32_t R, int32_t r);

INLINE int32_t law_nearest_even(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return even(v, cut(shift));
}

INLINE int32_t law_nearest_up(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return (v + half_of(cut(shift))) >> cut(shift);
}

INLINE int32_t law_nearest_down(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return (v + half_of(cut(shift)) - 1) >> cut(shift);
}

INLINE int32_t law_floor(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return v >> cut(shift);
}

INLINE int32_t law_ceil(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return -(-v >> cut(shift));
}

INLINE int32_t law_odd(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    int32_t k = cut(shift), q = v >> k;
    return q | ((v & (int32_t)((UINT32_C(1) << k) - 1)) != 0);
}

// Magnitudes alone.
INLINE int32_t law_away(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)R, (void)r;
    return raised(v, (UINT32_C(1) << cut(shift)) - 1, cut(shift));
}

// (fraction cut to r bits + R) / 2^r by floor; on magnitudes and on signed numbers alike.
INLINE int32_t law_stochastic_a(int32_t v, int32_t shift, int32_t R, int32_t r) {
    return ((v >> cut(shift - r)) + R) >> r;
}

INLINE int32_t law_stochastic_c(int32_t v, int32_t shift, int32_t R, int32_t r) {
    return (even(v, cut(shift - r)) + R) >> r;
}

// 32 random bits: the fraction as 32 bits, up where adding R carries. Exact down to a step of 2^31; below, to nearest-even.
INLINE int32_t law_stochastic_c32(int32_t v, int32_t shift, int32_t R, int32_t r) {
    (void)r;
    int32_t near = cut(shift), far = shift > 32 ? shift - 32 : 0;
    far = far < 31 ? far : 31;
    int32_t rounded = far > 0 ? even(v, far > 0 ? far : 1) : v;
    uint32_t fraction = shift > 31 ? (uint32_t)rounded : (uint32_t)v << (32 - near);
    uint32_t carry = fraction + (uint32_t)R < fraction, whole = (v < 0) & (shift > 31) & (rounded == 0); // a fraction of 1
    return (v >> near) + (int32_t)(carry | whole);
}

// by_sign: the law looks at the sign, or the grid does; magnitude laws get the sign back afterwards.
INLINE void round32(Law32 *law, bool by_sign, bool fixed, int32_t *restrict n, const uint32_t *restrict x, const int32_t *restrict lowest,
                    size_t count, const FxGridF32 *grid, const uint32_t *restrict R, const FxRoundArg *arg) {
    FxGridF32 g = *grid;
    int32_t r = arg->bits;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF;
        int32_t v = (int32_t)(mantissa(a) << UP), shift = drop(field(a), lowest[i], &g, fixed) + UP, negative = (int32_t)x[i] >> 31;
        if (by_sign)
            v = (v ^ negative) - negative;
        int32_t q = law(v, shift, R ? (int32_t)R[i] : 0, r);
        if (by_sign != fixed) // a float grid wants the magnitude, a fixed one the sign
            q = (q ^ negative) - negative;
        n[i] = q;
    }
}

typedef int32_t N;
typedef const uint32_t X;
typedef const int32_t Low;
typedef const FxGridF32 G;
typedef const FxRoundArg Arg;

#define ROUND32(name, law, float_by_sign, fixed_by_sign) \
    static void name(N *n, X *x, Low *l, size_t count, G *g, X *R, Arg *a) { \
        if (g->is_fixed) \
            round32(law, fixed_by_sign, true, n, x, l, count, g, R, a); \
        else \
            round32(law, float_by_sign, false, n, x, l, count, g, R, a); \
    }

ROUND32(few_nearest_even, law_nearest_even, false, false)
ROUND32(few_nearest_away, law_nearest_up, false, false)   // of the magnitude
ROUND32(few_nearest_zero, law_nearest_down, false, false) // of the magnitude
ROUND32(few_nearest_up, law_nearest_up, true, true)
ROUND32(few_nearest_down, law_nearest_down, true, true)
ROUND32(few_toward_zero, law_floor, false, false)         // of the magnitude
ROUND32(few_away, law_away, false, false)
ROUND32(few_floor, law_floor, true, true)
ROUND32(few_ceil, law_ceil, true, true)
ROUND32(few_odd, law_odd, false, false)
ROUND32(few_stochastic_a, law_stochastic_a, false, true)
ROUND32(few_stochastic_c, law_stochastic_c, false, true)
ROUND32(whole_stochastic_c, law_stochastic_c32, false, true)

// ---- 64-bit rounding by the laws of round_body.h: mantissas moved up by 36 bits; bits beyond a shift of 62 stay as a
// sticky one, as in fx_round.

enum { UP64 = 36 };

INLINE void round64(FxRoundShift *law, bool magnitude, bool fixed, int32_t *restrict n, const uint32_t *restrict x, const int32_t *restrict lowest, size_t count,
                    const FxGridF32 *grid, const uint32_t *restrict R, const FxRoundArg *arg) {
    FxGridF32 g = *grid;
    FxRoundArg a = *arg;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = x[i] & 0x7FFFFFFF;
        int64_t v = (int64_t)mantissa(bits) << UP64, shift = drop(field(bits), lowest[i], &g, fixed) + UP64;
        if (fixed || !magnitude)
            v = x[i] >> 31 ? -v : v;
        int64_t far = shift > 62 ? shift - 62 : 0;
        far = far < 62 ? far : 62;
        v = v >> far | ((v & ((INT64_C(1) << far) - 1)) != 0);
        shift = shift - far < 62 ? shift - far : 62;
        shift = shift < 1 ? 1 : shift;
        int64_t q = law(v, (int)shift, R ? R[i] : 0, 0, &a), most = INT64_C(1) << 30;
        if (!fixed)
            q = q < 0 ? -q : q;
        q = q > most ? most : q;
        n[i] = (int32_t)(q < -most ? -most : q);
    }
}

#define ROUND64(name, law, magnitude) \
    static void name(N *n, X *x, Low *l, size_t count, G *g, X *R, Arg *a) { \
        if (g->is_fixed) \
            round64(law, magnitude, true, n, x, l, count, g, R, a); \
        else \
            round64(law, magnitude, false, n, x, l, count, g, R, a); \
    }

ROUND64(any_equal, round_equal, false)
ROUND64(any_stochastic_a, round_stochastic_a, true)
ROUND64(any_stochastic_b, round_stochastic_b, true)
ROUND64(any_stochastic_c, round_stochastic_c, true)
ROUND64(any_below, round_stochastic_below, false)
ROUND64(any_sr_eps, round_sr_eps, false)

// ---- codes and values

typedef enum Out { VALUES, DIRECT, CODES8, CODES16, CODES32 } Out;

INLINE void store(void *y, Out out, size_t i, uint32_t word) {
    if (out == CODES8)
        ((uint8_t *)y)[i] = (uint8_t)word;
    else if (out == CODES16)
        ((uint16_t *)y)[i] = (uint16_t)word;
    else
        ((uint32_t *)y)[i] = word;
}

// k * 2^(field - 127), exact.
INLINE uint32_t scaled(int32_t k, int32_t power_field) {
    return fx_float_bits((float)k * fx_float_of((uint32_t)power_field << 23));
}

// careful: Inf and NaN among the numbers. The plain loops ignore them; when the largest magnitude says that there was
// one, the careful ones do the block again.
INLINE void float_loop(Out out, bool careful, void *restrict y, const uint32_t *restrict x, const int32_t *restrict n,
                       const int32_t *restrict lowest, size_t count, const FxGridF32 *grid, FxCountsF32 *counts) {
    FxGridF32 g = *grid;
    uint32_t saturated = 0, zeros_in = 0, zeros_out = 0, nonfinite = 0, at_limit = 0, max = 0;
    uint32_t magnitude = (0x80000000u >> g.sign_shift) - 1, no_negative_zero = !g.negative_zero, unsigned_nan = g.unsigned_nan;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF, sign = x[i] & 0x80000000, special = 0, bare = 0;
        int32_t e = (int32_t)(a >> 23), low = lowest[i], top = e > low ? e : low; // low >= 1
        uint32_t c = ((uint32_t)(top - low) << g.mantissa_bits) + (uint32_t)n[i];
        uint32_t over = c > g.limit, code = over ? g.over : c;
        if (careful) {
            uint32_t is_nan = a > EXPONENT, beyond = is_nan ? g.nan : g.inf;
            special = a >= EXPONENT;
            code = special ? beyond : code;
            bare = is_nan & unsigned_nan;
        }
        bare |= ((code & magnitude) == 0) & no_negative_zero;
        sign = bare ? 0 : sign;
        uint32_t far = code == g.nan ? NAN_BITS : EXPONENT;
        if (out == DIRECT) {
            uint32_t value = code << (23 - g.mantissa_bits);
            value = code > g.limit ? far : value;
            store(y, out, i, value | sign);
        } else if (out == VALUES) {
            int32_t binade = (int32_t)(code >> g.mantissa_bits) - 1;
            binade = binade > 0 ? binade : 0;
            int32_t k = (int32_t)code - (binade << g.mantissa_bits);
            uint32_t value = scaled(k, low + binade - g.mantissa_bits);
            value = code > g.limit ? far : value;
            store(y, out, i, value | sign);
        } else {
            store(y, out, i, code | sign >> g.sign_shift);
        }
        uint32_t seen = careful ? a & (special - 1) : a;
        saturated += careful ? over & !special : over;
        zeros_in += a == 0;
        zeros_out += code == 0;
        nonfinite += special;
        at_limit += code == g.limit;
        max = seen > max ? seen : max;
    }
    *counts = (FxCountsF32){saturated, zeros_out - zeros_in, zeros_in, zeros_out, nonfinite, at_limit, max};
}

INLINE void finish_float(Out out, void *y, const uint32_t *x, const int32_t *n, const int32_t *lowest, size_t count, const FxGridF32 *grid,
                         FxCountsF32 *counts) {
    float_loop(out, false, y, x, n, lowest, count, grid, counts);
    if (counts->max >= EXPONENT)
        float_loop(out, true, y, x, n, lowest, count, grid, counts);
}

INLINE void fixed_loop(Out out, bool careful, void *restrict y, const uint32_t *restrict x, const int32_t *restrict n,
                       const int32_t *restrict lowest, size_t count, const FxGridF32 *grid, FxCountsF32 *counts) {
    FxGridF32 g = *grid;
    uint32_t saturated = 0, lost = 0, zeros_in = 0, zeros_out = 0, nonfinite = 0, at_limit = 0, max = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF, special = 0;
        int32_t q = n[i];
        if (careful) {
            int32_t end = x[i] >> 31 ? INT32_MIN : INT32_MAX;
            end = a > EXPONENT ? 0 : end;
            special = a >= EXPONENT;
            q = special ? end : q;
        }
        int32_t c = q < g.low ? g.low : q;
        c = c > g.high ? g.high : c;
        store(y, out, i, out == VALUES ? scaled(c, lowest[i] - 23) : (uint32_t)c);
        uint32_t seen = careful ? a & (special - 1) : a;
        saturated += careful ? (c != q) & !special : (uint32_t)(c != q);
        zeros_in += a == 0;
        zeros_out += c == 0;
        nonfinite += special;
        lost += special & (c == 0);
        at_limit += (c == g.low) | (c == g.high);
        max = seen > max ? seen : max;
    }
    *counts = (FxCountsF32){saturated, zeros_out - zeros_in - lost, zeros_in, zeros_out, nonfinite, at_limit, max};
}

INLINE void finish_fixed(Out out, void *y, const uint32_t *x, const int32_t *n, const int32_t *lowest, size_t count, const FxGridF32 *grid,
                         FxCountsF32 *counts) {
    fixed_loop(out, false, y, x, n, lowest, count, grid, counts);
    if (counts->max >= EXPONENT)
        fixed_loop(out, true, y, x, n, lowest, count, grid, counts);
}

typedef FxCountsF32 Counts;

static void values(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_float(VALUES, y, x, n, l, count, g, c); }
static void values_direct(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_float(DIRECT, y, x, n, l, count, g, c); }
static void codes8(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_float(CODES8, y, x, n, l, count, g, c); }
static void codes16(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_float(CODES16, y, x, n, l, count, g, c); }
static void codes32(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_float(CODES32, y, x, n, l, count, g, c); }
static void values_fixed(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_fixed(VALUES, y, x, n, l, count, g, c); }
static void codes8_fixed(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_fixed(CODES8, y, x, n, l, count, g, c); }
static void codes16_fixed(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_fixed(CODES16, y, x, n, l, count, g, c); }
static void codes32_fixed(void *y, X *x, Low *n, Low *l, size_t count, G *g, Counts *c) { finish_fixed(CODES32, y, x, n, l, count, g, c); }

// ---- the commonest casts in one pass: nearest-even or stochastic c, saturating, no Inf or NaN (seen from the maximum; the
// caller then does the block again in two passes). Float and fixed grids round by one float addition: x + 2^23 units is
// rounded to whole units by the machine, to nearest-even, and its bits count them. Exact as long as the machine's rounding is
// the default one and the unit is no subnormal (cast_f32.c sees to both) and x stays below 2^22 units, to which it is cut:
// far beyond the grid's end.

typedef enum Kind { FLOAT, DIRECT_FLOAT, FIXED } Kind; // direct: the lowest binade is float32's own

// Counts without comparisons, which cost more: the number of v > end, v <= end + 1, is the sum of max(v, end) - end.
INLINE uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

INLINE uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

// Where -0 does not exist, its pattern was written for a negative that became zero.
INLINE void clear_negative_zeros(Out out, void *restrict y, size_t count, uint32_t pattern) {
    for (size_t i = 0; i < count; i++) {
        uint32_t word = out == CODES8 ? ((uint8_t *)y)[i] : out == CODES16 ? ((uint16_t *)y)[i] : ((uint32_t *)y)[i];
        store(y, out, i, word == pattern ? 0 : word);
    }
}

INLINE void fuse(Out out, Kind kind, bool stochastic, bool uniform, void *restrict y, const uint32_t *restrict x, const int32_t *restrict lowest, size_t count,
                 const FxGridF32 *grid, const uint32_t *restrict R, const FxRoundArg *arg, FxCountsF32 *counts) {
    FxGridF32 g = *grid;
    int32_t r = stochastic ? arg->bits : 0, M = g.mantissa_bits, k = 23 - M - r;
    uint32_t half = k > 0 ? (UINT32_C(1) << (k - 1)) - 1 : 0, odd = k > 0;
    uint32_t saturated = 0, at_limit = 0, nonzero_in = 0, nonzero_out = 0, max = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF, sign = x[i] & 0x80000000, low = (uint32_t)lowest[uniform ? 0 : i] << 23, word;
        int32_t random = stochastic ? (int32_t)R[i] : 0;
        if (kind == FIXED) {
            uint32_t most = low - ((uint32_t)(2 + r) << 23), magic = low - ((uint32_t)r << 23) + 0x400000;
            int32_t n = (int32_t)(fx_float_bits(fx_float_of(smaller(a, most) | sign) + fx_float_of(magic)) - magic);
            n = stochastic ? (n + random) >> r : n;
            int32_t c = n < g.low ? g.low : n;
            c = c > g.high ? g.high : c;
            word = out == VALUES ? fx_float_bits((float)c * fx_float_of(low - (23u << 23))) : (uint32_t)c;
            saturated += c != n;
            at_limit += (c == g.low) | (c == g.high);
            nonzero_out += smaller((uint32_t)c, 1);
        } else {
            uint32_t most = low + g.beyond, v = kind == FLOAT ? smaller(a, most) : a, top = larger(v & EXPONENT, low), end = g.limit, c;
            if (kind == DIRECT_FLOAT) {
                c = (a + half + (a >> k & odd)) >> k;
                c = stochastic ? (c + (uint32_t)random) >> r : c;
            } else {
                uint32_t magic = top + ((uint32_t)k << 23);
                float sum = fx_float_of(v) + fx_float_of(magic);
                int32_t n = (int32_t)(fx_float_bits(sum) - magic);
                n = stochastic ? (n + random) >> r : n;
                c = ((top - low) >> (23 - M)) + (uint32_t)n;
                if (out == VALUES) { // the same in float32's bits
                    c = fx_float_bits(stochastic ? (float)n * fx_float_of(top - ((uint32_t)M << 23)) : sum - fx_float_of(magic));
                    end = low + g.limit_value;
                }
            }
            c = smaller(c, end + 1);
            saturated += larger(c, end) - (uniform ? 0 : end);
            c = smaller(c, end);
            at_limit += larger(c, end - 1) - (uniform ? 0 : end - 1);
            nonzero_out += smaller(c, 1);
            word = out != VALUES ? c | sign >> g.sign_shift : (kind == DIRECT_FLOAT ? c << (23 - M) : c) | sign;
        }
        store(y, out, i, word);
        nonzero_in += smaller(a, 1);
        max = larger(a, max);
    }
    if (kind != FIXED && uniform) { // what was left out above
        uint32_t end = kind == FLOAT && out == VALUES ? ((uint32_t)lowest[0] << 23) + g.limit_value : g.limit;
        saturated -= (uint32_t)count * end;
        at_limit -= (uint32_t)count * (end - 1);
    }
    if (kind != FIXED && !g.negative_zero)
        clear_negative_zeros(out, y, count, out == VALUES ? 0x80000000 : 0x80000000u >> g.sign_shift);
    uint32_t zeros_in = (uint32_t)count - nonzero_in, zeros_out = (uint32_t)count - nonzero_out;
    *counts = (FxCountsF32){saturated, zeros_out - zeros_in, zeros_in, zeros_out, 0, at_limit, max};
}

#define FUSED(name, out, kind, stochastic) \
    static void name(void *y, X *x, Low *l, size_t count, G *g, X *R, Arg *a, Counts *c) { \
        if (g->uniform) \
            fuse(out, kind, stochastic, true, y, x, l, count, g, R, a, c); \
        else \
            fuse(out, kind, stochastic, false, y, x, l, count, g, R, a, c); \
    }

FUSED(even_float_values, VALUES, FLOAT, false)
FUSED(even_float_codes8, CODES8, FLOAT, false)
FUSED(even_float_codes16, CODES16, FLOAT, false)
FUSED(even_direct_values, VALUES, DIRECT_FLOAT, false)
FUSED(even_direct_codes16, CODES16, DIRECT_FLOAT, false)
FUSED(even_fixed_values, VALUES, FIXED, false)
FUSED(even_fixed_codes8, CODES8, FIXED, false)
FUSED(even_fixed_codes16, CODES16, FIXED, false)
FUSED(stochastic_float_values, VALUES, FLOAT, true)
FUSED(stochastic_float_codes8, CODES8, FLOAT, true)
FUSED(stochastic_float_codes16, CODES16, FLOAT, true)
FUSED(stochastic_direct_values, VALUES, DIRECT_FLOAT, true)
FUSED(stochastic_direct_codes16, CODES16, DIRECT_FLOAT, true)
FUSED(stochastic_fixed_values, VALUES, FIXED, true)
FUSED(stochastic_fixed_codes8, CODES8, FIXED, true)
FUSED(stochastic_fixed_codes16, CODES16, FIXED, true)

// float32 on its own grid.
static void same(void *restrict y, const uint32_t *restrict x, Low *l, size_t count, G *g, X *R, Arg *arg, Counts *counts) {
    uint32_t zeros = 0, at_limit = 0, max = 0;
    (void)l, (void)R, (void)arg;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF;
        ((uint32_t *)y)[i] = x[i];
        zeros += a == 0;
        at_limit += a == g->limit;
        max = a > max ? a : max;
    }
    *counts = (Counts){.zeros_in = zeros, .zeros_out = zeros, .at_limit = at_limit, .max = max};
}

static uint32_t max_finite(const uint32_t *x, size_t n) {
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF;
        a &= 0 - (uint32_t)(a < EXPONENT);
        max = a > max ? a : max;
    }
    return max;
}

INLINE uint32_t max_of(const uint32_t *x, size_t n) {
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = x[i] & 0x7FFFFFFF;
        max = a > max ? a : max;
    }
    return max;
}

static void block_max(uint32_t *max, const uint32_t *x, size_t n, size_t block) {
    size_t b = 0;
    for (; block == 32 && (b + 1) * 32 <= n; b++) // a length that the compiler knows
        max[b] = max_of(x + b * 32, 32);
    for (; b * block < n; b++)
        max[b] = max_of(x + b * block, n - b * block < block ? n - b * block : block);
}

const FxKernelsF32 FX_KERNELS_F32_TABLE = {
    .cpu = FX_KERNELS_F32_CPU,
    // in the order of fx_round_modes; those that need integers or a direction have none
    .few = {few_nearest_even, few_nearest_away, few_nearest_zero, few_nearest_up, few_nearest_down, few_toward_zero, few_away, few_floor,
            few_ceil, few_odd, NULL, few_stochastic_a, NULL, few_stochastic_c, NULL, NULL, NULL, NULL, NULL},
    .round = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, any_equal, any_stochastic_a, any_stochastic_b, any_stochastic_c,
              any_below, any_sr_eps, NULL, NULL, NULL},
    .stochastic_c32 = whole_stochastic_c,
    .values = values, .values_direct = values_direct, .codes8 = codes8, .codes16 = codes16, .codes32 = codes32,
    .values_fixed = values_fixed, .codes8_fixed = codes8_fixed, .codes16_fixed = codes16_fixed, .codes32_fixed = codes32_fixed,
    .fused = {{{even_float_values, even_float_codes8, even_float_codes16},
               {stochastic_float_values, stochastic_float_codes8, stochastic_float_codes16}},
              {{even_direct_values, NULL, even_direct_codes16}, {stochastic_direct_values, NULL, stochastic_direct_codes16}},
              {{even_fixed_values, even_fixed_codes8, even_fixed_codes16},
               {stochastic_fixed_values, stochastic_fixed_codes8, stochastic_fixed_codes16}}},
    .same = same,
    .max_finite = max_finite,
    .block_max = block_max,
};
