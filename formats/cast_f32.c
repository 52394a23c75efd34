// The framework around the float32 kernels: which of them serve a cast, blocks of FX_BLOCK elements, random words,
// statistics. What a special number becomes is asked of fx_encode.
#include "formats/cast_f32.h"

#include "formats/kernels_f32.h"

#include <string.h>

static const FxKernelsF32 *const table[] = {
    &fx_kernels_f32_scalar,
#if defined(__x86_64__)
    &fx_kernels_f32_avx2,
    &fx_kernels_f32_avx512,
#endif
};

const FxKernelsF32 *fx_kernels_f32(unsigned cpu) {
    const FxKernelsF32 *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}

enum { EXPONENT_F32 = 0xFF << 23, FIELD_BIAS = 127, FIELD_UNIT = 150, FIELD_MOST = 254, OUTPUTS = 2 };

// What one cast runs.
typedef struct Plan {
    const FxKernelsF32 *kernels;
    FxGridF32 grid;
    int base; // lowest of a group is base + its shift
    FxRoundF32 *round;
    int outputs;
    struct {
        FxFinishF32 *finish;
        FxFusedF32 *fused;
        char *data;
        FxType type;
        size_t size;
    } out[OUTPUTS];
    bool has_values, draws, fused;
} Plan;

static bool has_float_kernels(const FxQuantiser *q) {
    const FxGrid *g = &q->grid;
    return (g->kind == &fx_grid_float || g->kind == &fx_grid_p3109) && g->lowest == FX_LOWEST_SUB;
}

static void plan_float(Plan *p, const FxQuantiser *q, const FxRoundArg *round) {
    const FxGrid *g = &q->grid;
    FxEncodeArg arg = {.arg = round};
    int64_t over = fx_encode(q, (FxNumber){1, 1000, false, FX_FINITE}, &arg).code;
    int64_t inf = fx_encode(q, (FxNumber){.class_of = FX_INFINITE}, &arg).code, nan = fx_encode(q, (FxNumber){.class_of = FX_NAN}, &arg).code;
    p->base = 1 - g->bias + FIELD_BIAS;
    p->grid = (FxGridF32){.mantissa_bits = g->mantissa_bits, .limit = (uint32_t)fx_float_max_code(g), .over = (uint32_t)over,
                          .inf = (uint32_t)inf, .nan = (uint32_t)nan, .sign_shift = 32 - g->bits, .negative_zero = fx_float_has_negative_zero(g)};
    int field = (int)(p->grid.limit >> g->mantissa_bits), binade = field > 1 ? field - 1 : 0;
    uint32_t n = p->grid.limit - ((uint32_t)binade << g->mantissa_bits);
    int top = 31 - __builtin_clz(n);
    p->grid.limit_value = ((uint32_t)(binade + top - g->mantissa_bits) << 23) + ((n - (UINT32_C(1) << top)) << (23 - top));
    p->grid.unsigned_nan = fx_float_nan_code(g) < 0;
}

static void plan_fixed(Plan *p, const FxQuantiser *q) {
    p->base = FIELD_UNIT;
    p->grid = (FxGridF32){.is_fixed = true, .low = (int32_t)fx_grid_low(&q->grid), .high = (int32_t)fx_grid_high(&q->grid)};
}

// Whether this thread's floats round to nearest-even, as all of C's do unless somebody changed it.
static bool adds_to_nearest(void) {
    volatile float one = 1, quarter = 0x1p-25f, most = 0x1.8p-24f;
    return one + quarter == 1 && one + most > 1 && -one - quarter == -1;
}

static FxRoundF32 *rounding_of(const Plan *p, const FxQuantiser *q, int r) {
    int mode = q->rounding.mode;
    bool few = !p->draws || r <= (p->grid.is_fixed ? 28 - q->grid.bits : 28 - q->grid.mantissa_bits);
    if (r == 32 && fx_rounding_is_stochastic(&q->rounding))
        return p->kernels->stochastic_c32;
    return few && p->kernels->few[mode] ? p->kernels->few[mode] : p->kernels->round[mode];
}

// The one-pass kernel of every output, where all have one. least, most: the range of `lowest` that will be used.
static void fuse(Plan *p, const FxCast *cast, int least, int most) {
    const FxQuantiser *q = cast->q;
    bool even = q->rounding.mode == FX_ROUND_NEAREST_EVEN, fixed = p->grid.is_fixed;
    int r = even ? 0 : cast->arg.bits, M = p->grid.mantissa_bits, binades = (int)(p->grid.limit >> M) + 2;
    bool direct = !fixed && M > 0 && least == 1 && most == 1;
    int end = most + (fixed ? 0 : binades + 23 - M); // exponent field of the largest addend
    bool adds = (fixed ? q->grid.bits : M) + r <= 21 && least - M - r >= (fixed ? 26 : 2) && end < FIELD_MOST && adds_to_nearest();
    p->fused = (even || fx_rounding_is_stochastic(&q->rounding)) && (fixed || p->grid.over == p->grid.limit) && (direct ? r <= 23 - M : adds);
    p->grid.beyond = (uint32_t)binades << 23;
    if (even && direct && p->grid.limit == EXPONENT_F32 - 1 && p->grid.negative_zero && p->outputs == 1 && p->out[0].type == FX_FLOAT32) {
        p->out[0].fused = p->kernels->same;
        p->fused = true;
        return;
    }
    for (int i = 0; p->fused && i < p->outputs; i++) {
        int out = p->out[i].type == FX_FLOAT32 ? 0 : (int)p->out[i].size;
        p->out[i].fused = out > 2 ? NULL : p->kernels->fused[fixed ? 2 : direct][!even][out];
        p->fused = p->out[i].fused != NULL;
    }
}

// Everything but the outputs; false if no kernel serves the quantiser.
static bool plan(Plan *p, const FxCast *cast) {
    const FxQuantiser *q = cast->q;
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    bool fixed = fx_grid_is_fixed(&q->grid) && q->grid.bits <= 24 && q->overflow == FX_OVERFLOW_SATURATE;
    // there the sign decides what an overflow becomes
    bool by_sign = q->overflow == FX_OVERFLOW_INF && !(mode->needs & FX_ROUND_HOLDS_POSITIVE) != !(mode->needs & FX_ROUND_HOLDS_NEGATIVE);
    if (q->rounding.own || (mode->needs & (FX_ROUND_DIRECTION | FX_ROUND_INTEGER)) || q->scale.rule->real || by_sign ||
        !(fixed || has_float_kernels(q)))
        return false;
    *p = (Plan){.kernels = fx_kernels_f32(cast->cpu), .draws = mode->needs & FX_ROUND_RANDOM};
    if (fixed)
        plan_fixed(p, q);
    else
        plan_float(p, q, &cast->arg);
    p->round = rounding_of(p, q, cast->arg.bits);
    return true;
}

static bool add_output(Plan *p, void *data, FxType type) {
    const FxKernelsF32 *k = p->kernels;
    bool fixed = p->grid.is_fixed;
    size_t size = fx_type_size(type);
    FxFinishF32 *finish = type == FX_FLOAT32 ? (fixed ? k->values_fixed : k->values)
                          : size == 1        ? (fixed ? k->codes8_fixed : k->codes8)
                          : size == 2        ? (fixed ? k->codes16_fixed : k->codes16)
                                             : (fixed ? k->codes32_fixed : k->codes32);
    if (size > 4)
        return false;
    p->has_values = p->has_values || type == FX_FLOAT32;
    p->out[p->outputs].finish = finish;
    p->out[p->outputs].data = data;
    p->out[p->outputs].type = type;
    p->out[p->outputs++].size = size;
    return true;
}

// Whether a group of this shift stays within float32's exponents.
static bool in_range(const Plan *p, int shift) {
    int lowest = p->base + shift;
    if (p->grid.is_fixed)
        return lowest - 23 >= 1 && lowest - 23 + 31 - __builtin_clz((uint32_t)p->grid.high) <= FIELD_MOST;
    int least = p->has_values && lowest != 1 ? lowest - p->grid.mantissa_bits : lowest;
    int most = p->has_values && lowest != 1 ? lowest + (int)(p->grid.limit >> p->grid.mantissa_bits) : lowest;
    return least >= 1 && most <= FIELD_MOST;
}

static void add_counts(FxStats *stats, const FxCountsF32 *c) {
    FxNumber max = fx_number_f32(c->max);
    stats->saturated += c->saturated;
    stats->underflowed += c->underflowed;
    stats->zeros_in += c->zeros_in;
    stats->zeros_out += c->zeros_out;
    stats->nonfinite += c->nonfinite;
    stats->at_limit += c->at_limit;
    fx_stats_max(stats, max.magnitude, max.exponent);
}

// n <= FX_BLOCK elements, x and lowest theirs; element: of the first one, from which the random words come; at: its place in
// the outputs.
static void cast_chunk(const Plan *p, const FxCast *cast, const uint32_t *x, const int32_t *lowest, uint64_t element, size_t at, size_t n,
                       FxStats *stats) {
    int32_t k[FX_BLOCK];
    uint32_t R[FX_BLOCK];
    FxCountsF32 counts;
    if (p->draws)
        fx_random_bits(R, &cast->random, element, n, cast->arg.bits, cast->cpu);
    for (int i = 0; p->fused && i < p->outputs; i++)
        p->out[i].fused(p->out[i].data + at * p->out[i].size, x, lowest, n, &p->grid, R, &cast->arg, &counts);
    if (p->fused && counts.max < 0xFFu << 23) {
        add_counts(stats, &counts);
        return;
    }
    p->round(k, x, lowest, n, &p->grid, p->draws ? R : NULL, &cast->arg);
    for (int i = 0; i < p->outputs; i++)
        p->out[i].finish(p->out[i].data + at * p->out[i].size, x, k, lowest, n, &p->grid, &counts);
    add_counts(stats, &counts); // the same from every output
}

bool fx_cast_f32(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats) {
    Plan p;
    int32_t lowest[FX_BLOCK];
    bool moved = y->type == FX_FLOAT32 && cast->exponent != cast->shift; // values of another exponent than the codes were made at
    if (x->type != FX_FLOAT32 || cast->invalid || moved || !plan(&p, cast) || !add_output(&p, y->data, y->type) || !in_range(&p, cast->shift))
        return false;
    if (y->type == FX_FLOAT32 && p.base + cast->shift == 1)
        p.out[0].finish = p.kernels->values_direct;
    fuse(&p, cast, p.base + cast->shift, p.base + cast->shift);
    p.grid.uniform = true;
    size_t most = n < FX_BLOCK ? n : FX_BLOCK;
    for (size_t i = 0; i < most; i++)
        lowest[i] = p.base + cast->shift;
    FxStats part = {.n = n};
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t take = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        cast_chunk(&p, cast, (const uint32_t *)x->data + i, lowest, cast->element0 + i, i, take, &part);
    }
    fx_stats_add(stats, &part);
    return true;
}

// The scale of one block from its largest magnitude's bits; Inf and NaN among them make it NaN.
static FxScaleChoice block_scale(const FxQuantiser *q, uint32_t max) {
    FxNumber x = fx_number_f32(max);
    FxScaleInput in = {.max_abs = x.magnitude, .exponent = x.exponent, .is_float = true};
    if (x.class_of != FX_FINITE)
        return (FxScaleChoice){.invalid = true};
    return fx_scale_choose(&q->scale, &q->grid, &in);
}

typedef struct Blocks {
    size_t count;
    uint32_t max[FX_BLOCK];
    int32_t exponent[FX_BLOCK];
    int32_t lowest[FX_BLOCK]; // one an element
} Blocks;

// Exponents by `floor` where all maxima are normal numbers, whose fields say all, or 0. false if one is not.
static bool floor_scales(Blocks *blocks, int emax, int fraction) {
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t b = 0; b < blocks->count; b++) {
        uint32_t max = blocks->max[b];
        int32_t shared = (int32_t)(max >> 23) - FIELD_BIAS - emax;
        blocks->exponent[b] = (shared < -127 || max == 0 ? -127 : shared) - fraction;
        uint32_t nonzero = max == 0 ? UINT32_MAX : max;
        least = nonzero < least ? nonzero : least;
        most = max > most ? max : most;
    }
    return least >= 1u << 23 && most < 0xFFu << 23 && (int)(most >> 23) - FIELD_BIAS - emax <= 127;
}

static bool any_scales(Blocks *blocks, const FxQuantiser *q) {
    for (size_t b = 0; b < blocks->count; b++) {
        FxScaleChoice choice = block_scale(q, blocks->max[b]);
        if (choice.invalid)
            return false;
        blocks->exponent[b] = choice.exponent;
    }
    return true;
}

// The scales of up to FX_BLOCK elements; false if a block is beyond the kernels.
static bool chunk_scales(Plan *p, const FxCast *cast, const uint32_t *x, size_t n, int emax, Blocks *blocks) {
    const FxQuantiser *q = cast->q;
    size_t block = (size_t)q->scale.block;
    int least = FIELD_MOST, most = -FIELD_MOST;
    blocks->count = (n + block - 1) / block;
    p->kernels->block_max(blocks->max, x, n, block);
    if (!(q->scale.parameter[0] == 0 && floor_scales(blocks, emax, q->grid.fraction)) && !any_scales(blocks, q))
        return false;
    for (size_t b = 0; b < blocks->count; b++) {
        int e = blocks->exponent[b], zero = blocks->max[b] == 0;
        least = !zero && e < least ? e : least;
        most = !zero && e > most ? e : most;
    }
    if (most < least) // zeros alone
        least = most = 0;
    if (!in_range(p, least) || !in_range(p, most) || p->base + least == 1)
        return false;
    fuse(p, cast, p->base + least, p->base + most);
    for (size_t b = 0; b < blocks->count; b++) {
        size_t length = n - b * block < block ? n - b * block : block;
        int32_t lowest = p->base + (blocks->max[b] ? blocks->exponent[b] : most), *to = blocks->lowest + b * block;
        if (length == 32) // a length that the compiler knows
            for (size_t i = 0; i < 32; i++)
                to[i] = lowest;
        else
            for (size_t i = 0; i < length; i++)
                to[i] = lowest;
    }
    return true;
}

static void note_blocks(const Blocks *blocks, size_t group, int fraction, const FxOutput *y) {
    for (size_t b = 0; y->exponents && b < blocks->count; b++)
        y->exponents[group + b] = blocks->exponent[b];
    for (size_t b = 0; y->scales && b < blocks->count; b++)
        y->scales[group + b] = 0;
    for (size_t b = 0; y->mx && b < blocks->count; b++)
        y->mx[group + b] = (uint8_t)(blocks->exponent[b] + fraction + 127);
}

bool fx_blocks_f32(const FxCast *start, const FxArray *x, size_t first, size_t n, size_t group, const FxOutput *y, FxStats *stats) {
    const FxQuantiser *q = start->q;
    size_t block = (size_t)q->scale.block, whole = FX_BLOCK / block * block;
    Blocks blocks;
    Plan p;
    if (x->type != FX_FLOAT32 || block > FX_BLOCK || y->values64 || !(y->codes || y->values) || !plan(&p, start))
        return false;
    if ((y->codes && !add_output(&p, y->codes, fx_quantiser_type(q))) || (y->values && !add_output(&p, y->values, FX_FLOAT32)))
        return false;
    int emax = fx_number_log2(fx_grid_largest(&q->grid)) - q->grid.fraction;
    const uint32_t *bits = x->data;
    for (size_t i = first; i < first + n; i += whole) {
        size_t take = first + n - i < whole ? first + n - i : whole;
        FxStats part = {.n = take};
        if (chunk_scales(&p, start, bits + i, take, emax, &blocks)) {
            cast_chunk(&p, start, bits + i, blocks.lowest, start->element0 + i, i, take, &part);
            note_blocks(&blocks, group, q->grid.fraction, y);
            fx_stats_add(stats, &part);
        } else {
            for (size_t b = 0; b * block < take; b++)
                fx_quantise_span(start, x, i + b * block, take - b * block < block ? take - b * block : block, group + b, y, stats);
        }
        group += (take + block - 1) / block;
    }
    return true;
}
