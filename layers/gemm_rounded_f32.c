// Tiles of a block whose sums are rounded after each addition, their chunks and random words.
#include "layers/gemm_rounded_f32.h"

#include <assert.h>
#include <string.h>

const FxRoundedKernelF32 *fx_rounded_kernel_f32(unsigned cpu) {
#if defined(__x86_64__)
    if ((cpu & fx_rounded_avx512_f32.cpu) == fx_rounded_avx512_f32.cpu)
        return &fx_rounded_avx512_f32;
#endif
    (void)cpu;
    return NULL;
}

enum { ROWS = FX_ROUNDED_ROWS, COLUMNS = FX_ROUNDED_COLUMNS, WORDS = FX_ROUNDED_WORDS, MOST_K = 1024 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// Words of additions [first, end) of a tile, those of the first at offset + first of each output.
typedef struct Window {
    uint8_t *words;
    uint64_t offset;
    size_t first, end;
} Window;

typedef struct Tile {
    const FxRoundedBlockF32 *block;
    size_t row, rows, column, columns; // of c
    Window inner, outer;
} Tile;

// Words of addition `at`; *count: of how many more up to `end`.
static const uint8_t *words_of(const Tile *t, Window *w, size_t at, size_t end, size_t *count) {
    const FxRoundedBlockF32 *b = t->block;
    const FxRoundingF32 *rounding = b->rounding;
    if (at < w->first || at >= w->end) {
        w->first = at;
        w->end = smaller(end, at + WORDS);
        for (size_t i = 0; i < t->rows; i++) {
            uint64_t output = (t->row + i) * b->n + t->column;
            b->kernel->draw(w->words + i * COLUMNS, ROWS * COLUMNS, rounding->random->rng, output * rounding->words + w->offset + at,
                            rounding->words, w->end - at, b->scratch);
        }
    }
    *count = w->end - at;
    return w->words + (at - w->first) * ROWS * COLUMNS;
}

// Outer addition `index` of the addends' rows, `step` apart.
static void add_outer(Tile *t, const float *addends, size_t step, size_t index, size_t end, FxRoundedCounts *counts) {
    const FxRoundedBlockF32 *b = t->block;
    size_t count;
    const uint8_t *R = b->rounding->outer.random_bits ? words_of(t, &t->outer, index, end, &count) : NULL;
    for (size_t i = 0; i < t->rows; i++) {
        float *c = b->c + (t->row + i) * b->n + t->column;
        if (index == 0 && b->chunk)
            memset(c, 0, t->columns * sizeof *c);
        b->kernel->add(c, addends + i * step, t->columns, &b->rounding->outer, R ? R + i * COLUMNS : NULL, counts);
    }
}

// left and right: of the tile's first row and column at b->k0.
static void run_tile(Tile *t, const float *left, const float *right, float *chains, FxRoundedCounts *counts) {
    const FxRoundedBlockF32 *b = t->block;
    float *c = b->c + t->row * b->n + t->column;
    FxRoundedTileF32 s = {.sums = b->chunk ? chains : c, .sums_step = b->chunk ? COLUMNS : b->n, .a = left, .a_row = b->left_row,
                          .a_k = b->left_k, .b = right, .rows = t->rows, .columns = b->chunk ? COLUMNS : t->columns};
    for (size_t k = b->k0, end = b->k0 + b->k; k < end;) {
        size_t in_chunk = b->chunk ? k % b->chunk : k, count;
        s.k = b->chunk ? smaller(end - k, b->chunk - in_chunk) : end - k;
        s.go_on = in_chunk > 0;
        if (b->rounding->inner.random_bits) {
            s.R = words_of(t, &t->inner, k, end, &count);
            s.k = smaller(s.k, count);
        }
        b->kernel->tile(&s, &b->rounding->inner, counts);
        s.a += s.k * s.a_k;
        s.b += s.k * COLUMNS;
        k += s.k;
        if (b->chunk && (k % b->chunk == 0 || k == b->k_all))
            add_outer(t, chains, COLUMNS, (k - 1) / b->chunk, (end - 1) / b->chunk + 1, counts);
    }
    if (b->k0 + b->k < b->k_all)
        return;
    if (b->rounding->bias) {
        size_t index = b->chunk ? (b->k_all - 1) / b->chunk + 1 : 0;
        add_outer(t, b->rounding->bias + t->column, 0, index, index + 1, counts);
    }
    for (size_t i = 0; i < t->rows; i++)
        b->rounding->counts[b->thread].minus_zeros += b->kernel->finish(c + i * b->n, t->columns, b->rounding->unit);
}

// counts[t] = how many of the rows' elements at k = t are not 0.
static void count_nonzero(uint32_t *counts, const float *x, size_t row_step, size_t k_step, size_t rows, size_t k) {
    memset(counts, 0, k * sizeof *counts);
    if (k_step == 1) {
        for (size_t row = 0; row < rows; row++)
            for (size_t t = 0; t < k; t++)
                counts[t] += x[row * row_step + t] != 0;
        return;
    }
    for (size_t t = 0; t < k; t++)
        for (size_t row = 0; row < rows; row++)
            counts[t] += x[t * k_step + row] != 0;
}

void fx_multiply_rounded_f32(const FxRoundedBlockF32 *b) {
    FxRoundedCounts *counts = b->rounding->counting ? &b->rounding->counts[b->thread] : NULL;
    uint32_t left[MOST_K], right[MOST_K];
    assert(b->k <= MOST_K && (b->left_row == 1 || b->left_k == 1));
    if (counts)
        count_nonzero(left, b->left, b->left_row, b->left_k, b->rows, b->k);
    const float *panel = b->right;
    float *chains = b->sums;
    for (size_t column = 0; column < b->columns; column += COLUMNS, panel += b->panel) {
        if (counts) {
            count_nonzero(right, panel, 1, COLUMNS, COLUMNS, b->k);
            for (size_t t = 0; t < b->k; t++)
                counts->nonzero += (uint64_t)left[t] * right[t];
        }
        for (size_t row = 0; row < b->rows; row += ROWS) {
            Tile t = {.block = b, .row = b->row + row, .rows = smaller(ROWS, b->rows - row), .column = b->column + column,
                      .columns = smaller(COLUMNS, b->columns - column)};
            t.inner = (Window){.words = b->scratch + FX_ROUNDED_DRAWN};
            t.outer = (Window){.words = b->scratch + FX_ROUNDED_DRAWN + FX_ROUNDED_WINDOW, .offset = b->rounding->outers};
            run_tile(&t, b->left + row * b->left_row, panel, chains, counts);
            chains += b->chunk ? t.rows * COLUMNS : 0;
        }
    }
}
