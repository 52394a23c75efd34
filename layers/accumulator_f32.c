// The framework around the kernels of the float accumulators that accumulator_gemm_f32.c does not take: which of them serve a
// policy, packing, tiles, chunks, random words, and what the specification has to do instead.
#include "layers/accumulator_f32.h"

#include "formats/bits_f32.h"
#include "layers/accumulator_exact.h"
#include "layers/accumulator_gemm_f32.h"
#include "layers/accumulator_kernels_f32.h"

#include <assert.h>
#include <string.h>

static const FxAccKernelsF32 *const table[] = {
    &fx_acc_kernels_f32_scalar,
#if defined(__x86_64__)
    &fx_acc_kernels_f32_avx2,
    &fx_acc_kernels_f32_avx512,
#endif
};

const FxAccKernelsF32 *fx_acc_kernels_f32(unsigned cpu) {
    const FxAccKernelsF32 *best = table[0];
    for (size_t i = 1; i < sizeof table / sizeof table[0]; i++)
        if ((table[i]->cpu & cpu) == table[i]->cpu)
            best = table[i];
    return best;
}

int fx_accumulator_chunk_f32(const FxPolicy *inner, bool is_gradient) {
    return inner->kind == FX_ACC_FP32 && is_gradient ? 4096 : 0;
}

static bool policy_draws(const FxPolicy *p) {
    return p->kind == FX_ACC_FLOAT && (fx_rounding_mode(&p->q.rounding)->needs & FX_ROUND_RANDOM);
}

bool fx_accumulator_draws(const FxAccumulator *acc) {
    return policy_draws(&acc->inner) || policy_draws(&acc->outer);
}

int fx_accumulator_check_f32(const FxAccumulator *acc, int width, const char *what, FxError *err) {
    const FxPolicy *policies[] = {&acc->inner, &acc->outer};
    for (int i = 0; i < 2; i++) {
        char text[FX_POLICY_TEXT];
        fx_policy_print(text, sizeof text, policies[i]);
        bool chunks_of_exact = i == 0 && acc->chunk && policies[i]->kind == FX_ACC_EXACT;
        if (!fx_policy_is_float(policies[i]) && !chunks_of_exact)
            return fx_fail(err, FX_EXIT_USAGE, "%s: accumulator %s: float products add up under float:eXmY, fp32 or kulisch, "
                           "or exact inside of chunks", what, text);
        if (policy_draws(policies[i]) && policies[i]->q.rounding.bits > width)
            return fx_fail(err, FX_EXIT_USAGE, "%s: accumulator %s: the random source gives %d bits", what, text, width);
    }
    if (acc->inner.kind == FX_ACC_KULISCH && acc->chunk)
        return fx_fail(err, FX_EXIT_USAGE, "%s: accumulator kulisch is one exact sum and takes no chunk", what);
    if (acc->shift)
        return fx_fail(err, FX_EXIT_USAGE, "%s: accumulator shift %d: only products of integers are shifted", what, acc->shift);
    return 0;
}

enum { UNFIT = -1 };
enum { ROWS = FX_ACC_ROWS, LANES = FX_ACC_LANES, RUN = 512, SLICE = 256, LOWEST_FIELD = -147 };
static const float far = 0x1p100f; // 32-bit lanes: operands' product and sums stay below it

// Everything that is decided once a call.
typedef struct Plan {
    const FxAccumulateF32 *product;
    const FxAccumulator *acc;
    const FxRandom *random;
    unsigned cpu;
    const FxAccKernelsF32 *kernels;
    size_t m, n, k, panels;
    FxWordPlan words;
    size_t group, chunk;       // as the kernels run them
    uint64_t inner_word;       // of the first inner addition
    FxAddF32 inner[2], outer[2]; // [for any operands, for products and sums below `far`]
    bool fast, counting;
    bool joins;                // kulisch: a bias is one more product
    char *b;                   // panels of k + 1 rows
    float *b_max;              // largest magnitude of each panel, UNFIT: it holds what kernels cannot add
} Plan;

static float float_of(FxNumber x) {
    return fx_float_of(fx_number_to_f32(x));
}

static FxAddF32 add_of(const FxPolicy *policy, const FxAccKernelsF32 *kernels, const FxRandom *random, bool near) {
    const FxQuantiser *q = &policy->q;
    FxAddF32 add = {0};
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    if (!fx_policy_is_float(policy) || q->grid.lowest != FX_LOWEST_SUB || q->rounding.own)
        return add;
    add.mantissa_bits = q->grid.mantissa_bits;
    add.low = 1 - q->grid.bias;
    add.most = float_of(fx_grid_largest(&q->grid));
    add.hand_back = q->overflow == FX_OVERFLOW_INF;
    add.draws = policy_draws(policy);
    add.round = fx_round_arg(&q->rounding, random ? fx_random_width(random) : 32);
    int r = add.draws ? add.round.bits : 0, M = add.mantissa_bits;
    if (M + r > 48)
        return add;
    if (near && M + r <= 21 && add.low - M - r >= LOWEST_FIELD) {
        add.single = !strcmp(mode->name, "nearest-even") ? kernels->even : !strcmp(mode->name, "toward-zero") ? kernels->zero
                     : mode->law && !strcmp(mode->law, "c") ? kernels->stochastic_c
                     : mode->law && !strcmp(mode->law, "a") ? kernels->stochastic_a : NULL;
        if (add.single && add.most > far) {
            add.most = far;
            add.hand_back = true;
        }
    }
    if (!add.single)
        add.single = policy->kind == FX_ACC_FP32 && kernels->fp32 ? kernels->fp32 : kernels->wide[0][q->rounding.mode];
    add.grouped = kernels->wide[1][q->rounding.mode];
    return add;
}

// Exact sums are groups: a kulisch sum one of all products, exact chunks groups of the outer sum.
static void plan_policies(Plan *p, const FxAccumulator *acc) {
    const FxAccKernelsF32 *kernels = p->kernels;
    const FxPolicy *inner = acc->inner.kind == FX_ACC_EXACT ? &acc->outer : &acc->inner;
    p->group = (size_t)acc->group;
    p->chunk = (size_t)acc->chunk;
    p->joins = inner->kind == FX_ACC_KULISCH;
    if (acc->inner.kind == FX_ACC_EXACT) {
        p->group *= p->chunk;
        p->chunk = 0;
        p->inner_word = p->words.groups;
    }
    if (p->joins)
        p->group = p->k + 1;
    for (int near = 0; near < 2; near++) {
        p->inner[near] = add_of(inner, kernels, p->random, near);
        p->outer[near] = add_of(&acc->outer, kernels, p->random, near);
    }
    bool outer = (p->chunk || p->product->bias) && !p->joins;
    p->fast = p->inner->single && (!outer || (p->outer->single && acc->outer.kind != FX_ACC_KULISCH)) &&
              !(acc->inner.kind == FX_ACC_EXACT && acc->outer.kind == FX_ACC_KULISCH);
}

// ---- packing ------------------------------------------------------------------------------------------------------

#define CONVERT(type) \
    for (size_t i = 0; i < n; i++) { \
        double x = ((const type *)raw)[i] * scale; \
        out[i] = (float)x; \
        bad |= !(out[i] == x) | !(out[i] - out[i] == 0); \
    } \
    break

// To float32; false if one is not finite or not exact there.
static bool convert(float *out, const void *raw, FxType type, size_t n, int exponent) {
    double scale = fx_double_of((uint64_t)(exponent + 1023) << 52);
    int bad = 0;
    switch (type) {
    case FX_INT8: CONVERT(int8_t);
    case FX_UINT8: CONVERT(uint8_t);
    case FX_INT16: CONVERT(int16_t);
    case FX_INT32: CONVERT(int32_t);
    case FX_FLOAT32: CONVERT(float);
    default: return false;
    }
    return !bad;
}

// ---- one thread's tiles ---------------------------------------------------------------------------------------------

// Words of a tile's additions, SLICE of them for each output, as the kernels read them.
typedef struct Window {
    uint32_t *words; // SLICE x rows x LANES
    uint64_t first, end, offset; // additions held; of addition 0 within an output's words
    int bits;
} Window;

typedef struct Thread {
    const Plan *plan;
    void *raw;     // RUN * LANES elements of four bytes
    float *flat, *a, *ones;
    uint32_t *drawn; // LANES x SLICE
    Window inner, outer;
    void *row[2];  // of a and of b, for the specification
    FxAccumulatorCountsF32 counts;
} Thread;

enum { FLAT = RUN * LANES, WORDS = SLICE * ROWS * LANES, DRAWN = SLICE * LANES, LINE = 64 };

static size_t round_up(size_t bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
}

static size_t panel_bytes(size_t k) {
    return (k + 1) * LANES * sizeof(float);
}

static size_t thread_bytes(size_t k) {
    return 4 * (2 * FLAT + 2 * WORDS + DRAWN) + LINE + round_up((k + 1) * ROWS * sizeof(float)) + 2 * round_up(k * 4);
}

static Thread thread_of(const Plan *p, char *scratch) {
    Thread t = {.plan = p};
    char *at = scratch;
    t.raw = at, at += 4 * FLAT;
    t.flat = (float *)(void *)at, at += 4 * FLAT;
    t.inner.words = (uint32_t *)(void *)at, at += 4 * WORDS;
    t.outer.words = (uint32_t *)(void *)at, at += 4 * WORDS;
    t.drawn = (uint32_t *)(void *)at, at += 4 * DRAWN;
    t.ones = (float *)(void *)at, at += LINE;
    t.row[0] = at, at += round_up(p->k * 4);
    t.row[1] = at, at += round_up(p->k * 4);
    t.a = (float *)(void *)at;
    for (int i = 0; i < ROWS; i++)
        t.ones[i] = 1;
    t.inner.bits = p->inner->round.bits;
    t.inner.offset = p->inner_word;
    t.outer.bits = p->outer->round.bits;
    t.outer.offset = p->words.groups;
    return t;
}

// Rows row0 .. of an operand, out[place][row] with `width` rows a place; missing ones are 0. Returns their largest magnitude or UNFIT.
static float pack(Thread *t, float *out, size_t width, const FxMatrix *a, int exponent, size_t row0, size_t rows) {
    const FxMatrix *order_of = &t->plan->product->a;
    size_t images = (size_t)order_of->images, positions = (size_t)order_of->out_height * (size_t)order_of->out_width;
    bool moved = t->plan->acc->order == FX_ORDER_OH_OW_N && order_of->patch_rows, good = true;
    size_t k = t->plan->k;
    float *flat = t->flat;
    void *raw = t->raw;
    float max = 0;
    if (rows < width)
        memset(out, 0, k * width * sizeof *out);
    for (size_t first = 0; first < k; first += RUN) {
        size_t run = k - first < RUN ? k - first : RUN;
        if (a->patch_rows)
            fx_matrix_patches(raw, rows, a, first, run, row0, rows);
        else
            fx_matrix_patches(raw, run, a, row0, rows, first, run);
        good &= convert(flat, raw, a->type, run * rows, exponent);
        size_t row_step = a->patch_rows ? 1 : run, k_step = a->patch_rows ? rows : 1;
        for (size_t i = 0; i < run; i++) {
            size_t at = first + i;
            at = moved ? at % positions * images + at / positions : at;
            for (size_t row = 0; row < rows; row++)
                out[at * width + row] = flat[i * k_step + row * row_step];
        }
        for (size_t i = 0; i < run * rows; i++) {
            float x = flat[i] < 0 ? -flat[i] : flat[i];
            max = x > max ? x : max;
        }
    }
    return good ? max : UNFIT;
}

typedef struct Tile {
    size_t row, rows, column, columns; // of the result
    const float *b;
    bool near; // operands and sums suit the 32-bit lanes
    float sum[ROWS * LANES], chunk[ROWS * LANES];
    uint64_t overflow, swamped;
    bool failed;
} Tile;

// Words of addition `at` of the tile and of some behind it; *count: how many.
static const uint32_t *window(const Thread *t, Window *w, const Tile *tile, uint64_t at, size_t *count) {
    const Plan *p = t->plan;
    if (at < w->first || at >= w->end) {
        uint64_t left = p->words.words - w->offset - at, take = left < SLICE ? left : SLICE;
        w->first = at;
        w->end = at + take;
        if (tile->columns < LANES) // lanes without an output too must stay inside of the laws
            memset(t->drawn, 0, DRAWN * sizeof *t->drawn);
        for (size_t row = 0; row < tile->rows; row++) {
            for (size_t lane = 0; lane < tile->columns; lane++) {
                uint64_t output = (tile->row + row) * p->n + tile->column + lane;
                fx_random_bits(t->drawn + lane * SLICE, p->random, output * p->words.words + w->offset + at, take, w->bits, p->cpu);
            }
            p->kernels->transpose(w->words + row * LANES, tile->rows * LANES, t->drawn, SLICE, take);
        }
    }
    *count = (size_t)(w->end - at);
    return w->words + (at - w->first) * tile->rows * LANES;
}

static void run(Tile *tile, FxStepsF32 steps) {
    (steps.group > 1 ? steps.add->grouped : steps.add->single)(&steps);
    tile->overflow += steps.overflow;
    tile->swamped += steps.swamped;
    tile->failed |= steps.failed;
}

// Inner additions of the products from k0 to k1 to tile->chunk.
static void add_products(Thread *t, Tile *tile, size_t k0, size_t k1) {
    const Plan *p = t->plan;
    const FxAddF32 *add = &p->inner[tile->near];
    for (size_t at = k0; at < k1;) {
        size_t end = k1, count;
        FxStepsF32 s = {.add = add, .sum = tile->chunk, .a = t->a + at * ROWS, .b = tile->b + at * LANES, .rows = tile->rows,
                        .group = p->group, .counting = p->counting};
        if (add->draws) {
            s.R = window(t, &t->inner, tile, at / p->group, &count);
            end = k1 - at > count * p->group ? at + count * p->group : k1;
        }
        s.k = end - at;
        run(tile, s);
        at = end;
    }
}

// Outer addition `index` of values to sums: rows x LANES, or one row of values for all.
static void add_outer(Thread *t, Tile *tile, const FxAddF32 *add, float *sum, const float *values, size_t step, uint64_t index) {
    size_t count;
    const uint32_t *R = add->draws ? window(t, &t->outer, tile, index, &count) : NULL;
    for (size_t row = 0; row < tile->rows; row++)
        run(tile, (FxStepsF32){.add = add, .sum = sum + row * LANES, .a = t->ones, .b = values + row * step, .k = 1, .rows = 1,
                               .group = 1, .R = R ? R + row * LANES : NULL, .counting = t->plan->counting});
}

static float *sums_of_tile(Thread *t, Tile *tile) {
    const Plan *p = t->plan;
    t->inner.end = t->outer.end = t->inner.first = t->outer.first = 0;
    size_t k = p->k + (p->joins && p->product->bias), part = p->chunk ? p->chunk * p->group : k;
    uint64_t index = 0;
    float *result = p->chunk ? tile->sum : tile->chunk;
    memset(tile->sum, 0, sizeof tile->sum);
    memset(tile->chunk, 0, sizeof tile->chunk);
    bool near = tile->near && p->inner[1].most <= far;
    for (size_t at = 0; at < k && !tile->failed; at += part) {
        size_t end = k - at < part ? k : at + part;
        if (p->chunk)
            memset(tile->chunk, 0, sizeof tile->chunk);
        add_products(t, tile, at, end);
        if (p->chunk && !tile->failed)
            add_outer(t, tile, &p->outer[near], tile->sum, tile->chunk, LANES, index++);
    }
    if (p->product->bias && !p->joins && !tile->failed)
        add_outer(t, tile, p->outer, result, tile->b + p->k * LANES, 0, p->words.outers - 1);
    return result;
}

// The specification, for one output.
static float exact(Thread *t, size_t row, size_t column, FxAccumulatorCountsF32 *counts) {
    const Plan *p = t->plan;
    const FxMatrix *m[2] = {&p->product->a, &p->product->b};
    size_t index[2] = {row, column};
    for (int i = 0; i < 2; i++) {
        if (m[i]->patch_rows)
            fx_matrix_patches(t->row[i], 1, m[i], 0, p->k, index[i], 1);
        else
            fx_matrix_patches(t->row[i], p->k, m[i], index[i], 1, 0, p->k);
    }
    uint32_t bias = p->product->bias ? fx_float_bits(p->product->bias[column]) : 0;
    FxExactOutput o = {p->acc, m[0], {t->row[0], m[0]->type, p->product->a_exponent}, {t->row[1], m[1]->type, p->product->b_exponent},
                       p->k, p->product->bias ? &bias : NULL, p->random, row * p->n + column};
    return fx_float_of(fx_accumulate_exact(&o, counts));
}

static void store(Thread *t, Tile *tile, const float *sums) {
    const Plan *p = t->plan;
    for (size_t row = 0; row < tile->rows; row++) {
        float *c = p->product->c + (tile->row + row) * p->n + tile->column;
        for (size_t i = 0; i < tile->columns; i++) {
            if (!sums) {
                c[i] = exact(t, tile->row + row, tile->column + i, &t->counts);
            } else {
                c[i] = sums[row * LANES + i];
                if (fx_float_bits(c[i]) == UINT32_C(1) << 31) // the kernels' -0 may be an exact zero, or a zero of a grid without sign
                    c[i] = exact(t, tile->row + row, tile->column + i, NULL);
            }
        }
    }
    if (sums) {
        t->counts.overflow += tile->overflow;
        t->counts.swamped += p->joins ? 0 : tile->swamped;
    }
}

static void block_of_rows(Thread *t, size_t row, size_t rows) {
    const Plan *p = t->plan;
    float max = p->fast ? pack(t, t->a, ROWS, &p->product->a, p->product->a_exponent, row, rows) : UNFIT;
    for (int i = 0; i < ROWS; i++)
        t->a[p->k * ROWS + (size_t)i] = 1; // of a bias that joins
    for (size_t panel = 0; panel < p->panels; panel++) {
        Tile tile = {.row = row, .rows = rows, .column = panel * LANES, .b = (const float *)(const void *)(p->b + panel * panel_bytes(p->k))};
        tile.columns = p->n - tile.column < LANES ? p->n - tile.column : LANES;
        tile.failed = max == UNFIT || p->b_max[panel] == UNFIT;
        tile.near = (double)max * (double)p->b_max[panel] < (double)far;
        const float *sums = tile.failed ? NULL : sums_of_tile(t, &tile);
        store(t, &tile, tile.failed ? NULL : sums);
    }
}

static void pack_panel(Thread *t, size_t panel) {
    const Plan *p = t->plan;
    const FxAccumulateF32 *product = p->product;
    size_t column = panel * LANES, columns = p->n - column < LANES ? p->n - column : LANES;
    float *out = (float *)(void *)(p->b + panel * panel_bytes(p->k)), *bias = out + p->k * LANES;
    p->b_max[panel] = pack(t, out, LANES, &product->b, product->b_exponent, column, columns);
    memset(bias, 0, LANES * sizeof *bias);
    for (size_t i = 0; product->bias && i < columns; i++) {
        bias[i] = product->bias[column + i];
        p->b_max[panel] = bias[i] - bias[i] == 0 ? p->b_max[panel] : UNFIT; // Inf or NaN
    }
}

size_t fx_accumulate_f32_scratch(const FxAccumulateF32 *product, const FxWork *work) {
    size_t k = fx_matrix_k(&product->a), panels = (fx_matrix_rows(&product->b) + LANES - 1) / LANES;
    size_t own = panels * panel_bytes(k) + round_up(panels * sizeof(float)) + (size_t)work->threads * thread_bytes(k);
    size_t gemm = fx_accumulate_gemm_f32_scratch(product, work);
    return own > gemm ? own : gemm;
}

void fx_accumulate_f32(const FxAccumulateF32 *product, const FxAccumulator *acc, const FxRandom *random, const FxWork *work,
                       FxAccumulatorCountsF32 *counts) {
    int exponents = product->a_exponent + product->b_exponent;
    assert(exponents <= FX_OPERANDS_EXPONENT && exponents >= -FX_OPERANDS_EXPONENT);
    assert(fx_accumulate_f32_scratch(product, work) <= work->scratch_size && (random || !fx_accumulator_draws(acc)));
    if (fx_accumulate_gemm_f32(product, acc, random, work, counts))
        return;
    Plan p = {.product = product, .acc = acc, .random = random, .cpu = work->cpu, .kernels = fx_acc_kernels_f32(work->cpu), .counting = counts != NULL,
              .m = fx_matrix_rows(&product->a), .n = fx_matrix_rows(&product->b), .k = fx_matrix_k(&product->a), .b = work->scratch};
    p.panels = (p.n + LANES - 1) / LANES;
    p.words = fx_accumulator_words(acc, p.k, product->bias != NULL);
    p.b_max = (float *)(void *)(p.b + p.panels * panel_bytes(p.k));
    plan_policies(&p, acc);
    char *scratch = (char *)(void *)p.b_max + round_up(p.panels * sizeof(float));
    size_t threads = (size_t)work->threads;
    uint64_t overflow = 0, swamped = 0;
#pragma omp parallel for num_threads(work->threads) schedule(static) if (threads > 1)
    for (size_t i = 0; i < threads; i++) {
        Thread t = thread_of(&p, scratch + i * thread_bytes(p.k));
        for (size_t panel = i * p.panels / threads; p.fast && panel < (i + 1) * p.panels / threads; panel++)
            pack_panel(&t, panel);
    }
    // exact counts: their sum does not depend on which thread took which rows
#pragma omp parallel for num_threads(work->threads) schedule(static) reduction(+ : overflow, swamped) if (threads > 1)
    for (size_t i = 0; i < threads; i++) {
        Thread t = thread_of(&p, scratch + i * thread_bytes(p.k));
        size_t blocks = (p.m + ROWS - 1) / ROWS;
        for (size_t block = i * blocks / threads; block < (i + 1) * blocks / threads; block++)
            block_of_rows(&t, block * ROWS, p.m - block * ROWS < ROWS ? p.m - block * ROWS : ROWS);
        overflow += t.counts.overflow;
        swamped += t.counts.swamped;
    }
    if (counts) {
        counts->overflow += overflow;
        counts->swamped += swamped;
    }
}
