#include "layers/accumulator_exact.h"

#include <assert.h>

// Two's complement fixed point in units of 2^LSB: products of float32 are multiples of 2^-298 below 2^256, exponents move
// them by at most FX_OPERANDS_EXPONENT, and 2^48 of them still fit.
enum { LIMBS = 23, LSB = -704 };

typedef struct Sum {
    uint64_t limb[LIMBS];
    bool nan, infinite[2]; // a NaN, +Inf, -Inf was among the addends
    bool minus_zeros;      // all addends were -0
} Sum;

static const Sum nothing = {.minus_zeros = true};

// Magnitudes of up to 127 bits.
static void add_scaled(Sum *s, unsigned __int128 magnitude, int exponent, bool negative) {
    if (!magnitude)
        return;
    int bit = exponent - LSB;
    assert(bit >= 0 && bit / 64 + 2 < LIMBS);
    uint64_t low = (uint64_t)magnitude, high = (uint64_t)(magnitude >> 64);
    int up = bit % 64;
    uint64_t part[3] = {low << up, high << up, 0};
    if (up) {
        part[1] |= low >> (64 - up);
        part[2] = high >> (64 - up);
    }
    uint64_t carry = 0;
    for (int i = bit / 64, j = 0; i < LIMBS && (j < 3 || carry); i++, j++) {
        uint64_t p = j < 3 ? part[j] : 0, old = s->limb[i];
        unsigned __int128 x = negative ? (unsigned __int128)old - p - carry : (unsigned __int128)old + p + carry;
        s->limb[i] = (uint64_t)x;
        carry = (uint64_t)(x >> 64) & 1;
    }
}

static void add_number(Sum *s, FxNumber x) {
    s->nan |= x.class_of == FX_NAN;
    s->infinite[x.negative] |= x.class_of == FX_INFINITE;
    s->minus_zeros &= x.class_of == FX_FINITE && !x.magnitude && x.negative;
    if (x.class_of == FX_FINITE)
        add_scaled(s, x.magnitude, x.exponent, x.negative);
}

static void add_product(Sum *s, FxNumber a, FxNumber b) {
    bool negative = a.negative != b.negative;
    if (a.class_of == FX_FINITE && b.class_of == FX_FINITE) {
        unsigned __int128 m = (unsigned __int128)a.magnitude * b.magnitude;
        s->minus_zeros &= !m && negative;
        add_scaled(s, m, a.exponent + b.exponent, negative);
        return;
    }
    bool zero = (a.class_of == FX_FINITE && !a.magnitude) || (b.class_of == FX_FINITE && !b.magnitude);
    bool is_nan = a.class_of == FX_NAN || b.class_of == FX_NAN || zero;
    add_number(s, (FxNumber){.class_of = is_nan ? FX_NAN : FX_INFINITE, .negative = negative});
}

static void add_sum(Sum *s, const Sum *x) {
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        unsigned __int128 t = (unsigned __int128)s->limb[i] + x->limb[i] + carry;
        s->limb[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    s->nan |= x->nan;
    s->infinite[0] |= x->infinite[0];
    s->infinite[1] |= x->infinite[1];
    s->minus_zeros &= x->minus_zeros;
}

// The sum as one number: its top 61 bits and, in the last place, whether anything stood below them. That decides every
// rounding of 24 bits and 33 random ones as the whole sum would.
static FxNumber number_of(const Sum *s) {
    if (s->nan || (s->infinite[0] && s->infinite[1]))
        return (FxNumber){.class_of = FX_NAN};
    if (s->infinite[0] || s->infinite[1])
        return (FxNumber){.class_of = FX_INFINITE, .negative = s->infinite[1]};
    uint64_t m[LIMBS];
    FxNumber x = {.negative = s->limb[LIMBS - 1] >> 63};
    uint64_t carry = x.negative;
    int top = -1;
    for (int i = 0; i < LIMBS; i++) {
        m[i] = (x.negative ? ~s->limb[i] : s->limb[i]) + carry;
        carry = carry && m[i] == 0;
        if (m[i])
            top = i * 64 + 63 - __builtin_clzll(m[i]);
    }
    if (top < 0)
        return (FxNumber){0};
    int low = top > 60 ? top - 60 : 0, limb = low / 64, up = low % 64;
    x.magnitude = m[limb] >> up;
    if (up && limb + 1 < LIMBS)
        x.magnitude |= m[limb + 1] << (64 - up);
    bool rest = up && m[limb] << (64 - up);
    for (int i = 0; i < limb; i++)
        rest |= m[i] != 0;
    x.magnitude = (x.magnitude & ((UINT64_C(1) << 61) - 1)) << 1 | rest;
    x.exponent = LSB + low - 1;
    return x;
}

static uint32_t special_bits(FxNumber x) {
    return x.class_of == FX_NAN ? FX_CANONICAL_NAN : UINT32_C(0x7F800000) | (uint32_t)x.negative << 31;
}

// Rounds a sum by the policy. Inf and NaN pass under every policy; the carrier holds them where the grid does not.
static uint32_t rounded(const FxPolicy *policy, const Sum *s, const FxRoundArg *round, uint32_t R, FxAccumulatorCountsF32 *counts) {
    FxNumber x = number_of(s);
    if (x.class_of != FX_FINITE)
        return special_bits(x);
    if (!x.magnitude) // an exact zero is +0, but for fmaf, whose -0 + -0 is -0
        return policy->kind == FX_ACC_FP32 && s->minus_zeros ? UINT32_C(1) << 31 : 0;
    FxEncodeArg arg = {.R = R, .arg = round};
    FxEncoded e = fx_encode(&policy->q, x, &arg);
    counts->overflow += e.saturated;
    FxNumber value = policy->q.grid.kind->decode(&policy->q.grid, e.code, 0);
    return value.class_of == FX_FINITE ? fx_number_to_f32(value) : special_bits(value);
}

static uint32_t add(const FxPolicy *policy, uint32_t sum, const Sum *addend, const FxRoundArg *round, uint32_t R,
                    FxAccumulatorCountsF32 *counts) {
    FxNumber before = fx_number_f32(sum), more = number_of(addend);
    Sum s = *addend;
    add_number(&s, before);
    uint32_t after = rounded(policy, &s, round, R, counts);
    bool both_zero = !((sum | after) & INT32_MAX);
    counts->swamped += before.class_of == FX_FINITE && more.class_of == FX_FINITE && more.magnitude && (after == sum || both_zero);
    return after;
}

FxWordPlan fx_accumulator_words(const FxAccumulator *acc, size_t k, bool has_bias) {
    FxWordPlan p = {.groups = (k + (size_t)acc->group - 1) / (size_t)acc->group, .outers = has_bias};
    if (acc->chunk)
        p.outers += (p.groups + (size_t)acc->chunk - 1) / (size_t)acc->chunk;
    p.words = p.groups + p.outers;
    return p;
}

static FxNumber operand(const FxOperandRow *row, size_t i) {
    FxNumber x = fx_number_at(row->data, row->type, i, 0);
    x.exponent += row->exponent;
    return x;
}

static bool draws(const FxPolicy *policy) {
    return policy->kind == FX_ACC_FLOAT && (fx_rounding_mode(&policy->q.rounding)->needs & FX_ROUND_RANDOM);
}

// One policy with what it rounds by.
typedef struct Adder {
    const FxPolicy *policy;
    FxRoundArg round;
    const FxRandom *random; // NULL: it draws nothing
    uint64_t word;          // element of its next addition
} Adder;

static Adder adder_of(const FxPolicy *policy, const FxRandom *random, uint64_t word) {
    assert(!draws(policy) || random);
    return (Adder){policy, fx_round_arg(&policy->q.rounding, random ? fx_random_width(random) : 32), draws(policy) ? random : NULL, word};
}

static uint32_t next(Adder *adder, uint32_t sum, const Sum *addend, FxAccumulatorCountsF32 *counts) {
    uint32_t R = 0;
    if (adder->random)
        fx_random_bits(&R, adder->random, adder->word, 1, adder->round.bits, 0);
    adder->word++;
    return add(adder->policy, sum, addend, &adder->round, R, counts);
}

static Sum sum_of_bits(uint32_t bits) {
    Sum s = nothing;
    add_number(&s, fx_number_f32(bits));
    return s;
}

uint32_t fx_accumulate_exact(const FxExactOutput *o, FxAccumulatorCountsF32 *counts) {
    const FxAccumulator *acc = o->acc;
    FxAccumulatorCountsF32 ignored = {0}, *c = counts ? counts : &ignored;
    FxWordPlan words = fx_accumulator_words(acc, o->k, o->bias != NULL);
    Adder inner = adder_of(&acc->inner, o->random, o->output * words.words);
    Adder outer = adder_of(&acc->outer, o->random, o->output * words.words + words.groups);
    size_t group = (size_t)acc->group, chunk = (size_t)acc->chunk, groups = 0;
    bool inner_exact = acc->inner.kind == FX_ACC_EXACT || acc->inner.kind == FX_ACC_KULISCH;
    bool outer_exact = chunk ? acc->outer.kind == FX_ACC_KULISCH : acc->inner.kind == FX_ACC_KULISCH;
    Sum part = nothing, whole = nothing; // the exact sums, where those are
    uint32_t sum = 0, result = 0;
    for (size_t p = 0; p < o->k; p += group) {
        Sum products = nothing;
        for (size_t j = p; j < o->k && j < p + group; j++) {
            size_t i = fx_order_place(o->order_of, acc->order, j);
            add_product(inner_exact ? &part : &products, operand(&o->a, i), operand(&o->b, i));
        }
        if (!inner_exact)
            sum = next(&inner, sum, &products, c);
        if (chunk && (++groups == chunk || p + group >= o->k)) {
            Sum done = inner_exact ? part : sum_of_bits(sum);
            if (outer_exact)
                add_sum(&whole, &done);
            else
                result = next(&outer, result, &done, c);
            part = nothing;
            sum = 0;
            groups = 0;
        }
    }
    if (!chunk) {
        result = sum;
        whole = part;
    }
    Sum bias = o->bias ? sum_of_bits(*o->bias) : nothing;
    if (outer_exact) {
        if (o->bias)
            add_sum(&whole, &bias);
        FxPolicy last = chunk ? acc->outer : acc->inner;
        return rounded(&last, &whole, &outer.round, 0, c);
    }
    return o->bias ? next(&outer, result, &bias, c) : result;
}
