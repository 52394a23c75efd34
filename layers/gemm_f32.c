// Blocks, edges and threads of the float32 products. k is gone through in sections, sections in blocks whose panels
// fit the caches; between blocks a chain of sums rests in memory, which changes nothing. The threads meet after each
// section, so that the operand that they share is packed once and needs little room.
#include "layers/gemm_f32.h"
#include "formats/cpu.h"
#include "layers/gemm_rounded_f32.h"

#include <assert.h>
#include <math.h>
#include <stdalign.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static const FxKernelF32 *const kernels[] = {
    &fx_gemm_scalar_f32,
#if defined(__x86_64__)
    &fx_gemm_avx2_f32,
    &fx_gemm_avx512_f32,
#endif
};
enum { KERNELS = sizeof kernels / sizeof kernels[0] };

const FxKernelF32 *fx_gemm_kernel_f32(int i) {
    return i >= 0 && i < KERNELS ? kernels[i] : NULL;
}

enum {
    K_BLOCK = 512,       // k of a block
    SECTION = 4096,      // k of a section, more only where chunks are longer
    ROW_BLOCK = 192,     // most rows and columns of a task
    COLUMN_BLOCK = 128,
    TASKS = 16,          // wanted, however few the rows
    SHARED_ROWS = 96,    // of a task of packing the shared operand; a multiple of every mr and nr
    SMALL_C = 1 << 15,   // elements of c below which tasks are chunks
    CHUNKS = 16,         // of a section then
    SHORT_CHUNK = 256,   // which are not shorter than this
    ADDED = 4096,        // sums of a task of adding chunks
    ROUNDED_ROWS = FX_ROUNDED_ROWS,
    SERIAL = 1 << 18     // products below which threads do not pay
};

typedef enum Strategy {
    SHARE_RIGHT, // many rows: the right operand is packed first; a task is a block of rows of c
    SHARE_LEFT,  // many columns: the left operand is packed first; a task is a block of columns of c
    BY_CHUNK     // long sums into a small c: a task is a chunk, whose sums are added when all of the section are there
} Strategy;

typedef struct Plan {
    const FxProductF32 *product;
    const FxKernelF32 *kernel;
    Strategy strategy;
    size_t m, n, k, section, k_block;
    size_t rows, columns;    // of a task; BY_CHUNK: of a left block
    int threads;
    bool in_place;           // the left operand is not packed
    size_t left_step, left_block, panel; // elements: of a line, of a block of left lines, of a right panel
    size_t shared, left, right, sums;    // bytes of scratch: packed by all; each thread's left block, panels and chains
    size_t words;            // bytes: those of random words
    size_t images, places;   // of k with the images last, or 0
    size_t part;             // elements of a chunk's sums
    float a_unit, b_unit;
    char *scratch;
} Plan;

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t blocks(size_t x, size_t unit) {
    return (x + unit - 1) / unit;
}

static size_t round_up(size_t x, size_t unit) {
    return blocks(x, unit) * unit;
}

// x cut into equal blocks of at most `most`, a multiple of unit.
static size_t even_block(size_t x, size_t most, size_t unit) {
    return x == 0 ? unit : round_up(blocks(x, blocks(x, most)), unit);
}

// An odd number of cache lines: the lines of a block do not compete for the same sets.
static size_t line_step(size_t elements) {
    return (blocks(elements, 16) | 1) * 16;
}

// What a code 1 is worth, if every code of the type times that is exact.
static float unit_of(FxType type, int exponent) {
    if (type == FX_FLOAT32) {
        assert(exponent >= -149 && exponent <= 127);
        return ldexpf(1, exponent);
    }
    assert(type == FX_INT8 || type == FX_UINT8 || type == FX_INT16 || type == FX_INT32);
    const int bits = type == FX_INT16 ? 16 : type == FX_INT32 ? 25 : 8; // magnitudes below 2^bits
    assert(exponent >= -149 && exponent + bits <= 128);
    return ldexpf(1, exponent);
}

static size_t own_bytes(const Plan *p) {
    return p->left + p->right + p->sums + FX_F32_STRIP_BYTES + p->words;
}

static float *own_left(const Plan *p, int thread) {
    return (float *)(p->scratch + p->shared + (size_t)thread * own_bytes(p));
}

static float *own_right(const Plan *p, int thread) {
    return (float *)((char *)own_left(p, thread) + p->left);
}

static float *own_sums(const Plan *p, int thread) {
    return (float *)((char *)own_right(p, thread) + p->right);
}

static char *own_strip(const Plan *p, int thread) {
    return (char *)own_sums(p, thread) + p->sums;
}

static uint8_t *own_words(const Plan *p, int thread) {
    return (uint8_t *)own_strip(p, thread) + FX_F32_STRIP_BYTES;
}

static FxPartF32 left_part(const Plan *p, size_t row, size_t rows, size_t k0, size_t k) {
    return (FxPartF32){&p->product->a, p->a_unit, row, rows, k0, k, p->images, p->places};
}

static FxPartF32 right_part(const Plan *p, size_t row, size_t rows, size_t k0, size_t k) {
    return (FxPartF32){&p->product->b, p->b_unit, row, rows, k0, k, p->images, p->places};
}

static size_t task_block(size_t all, size_t most, size_t tile, size_t unit) {
    return even_block(all, smaller(most, round_up(blocks(all, TASKS), tile)), unit);
}

static Plan plan_of(const FxProductF32 *product, const FxWork *work) {
    Plan p = {.product = product, .scratch = work->scratch};
    for (int i = 0; i < KERNELS; i++)
        if ((kernels[i]->cpu & work->cpu) == kernels[i]->cpu)
            p.kernel = kernels[i];
    const FxRoundingF32 *rounding = product->rounding;
    assert(!rounding || (fx_rounded_kernel_f32(work->cpu) && p.kernel->nr == FX_ROUNDED_COLUMNS));
    const size_t mr = rounding ? ROUNDED_ROWS : (size_t)p.kernel->mr, nr = (size_t)p.kernel->nr, chunk = product->chunk;
    p.m = fx_matrix_rows(&product->a);
    p.n = fx_matrix_rows(&product->b);
    p.k = fx_matrix_k(&product->a);
    assert(p.k == fx_matrix_k(&product->b));
    p.a_unit = unit_of(product->a.type, product->a_exponent);
    p.b_unit = unit_of(product->b.type, product->b_exponent);
    p.threads = work->threads > 1 && p.m * p.n * p.k >= SERIAL ? work->threads : 1;

    if (product->images_last && product->a.patch_rows) {
        assert(product->b.patch_rows);
        p.images = (size_t)product->a.images;
        p.places = (size_t)product->a.out_height * (size_t)product->a.out_width;
        if (p.images == 1 || p.places == 1)
            p.images = 0; // the view's own order
    }

    p.strategy = p.m >= p.n || p.n <= nr ? SHARE_RIGHT : SHARE_LEFT;
    if (rounding) {
        p.words = rounding->random ? FX_ROUNDED_SCRATCH : 0;
        p.strategy = blocks(p.m, mr) >= blocks(p.n, nr) ? SHARE_RIGHT : SHARE_LEFT; // the more tasks
    } else if (p.m * p.n <= SMALL_C && chunk >= SHORT_CHUNK && p.k > chunk)
        p.strategy = BY_CHUNK;
    // Chains of chunks rest with their threads, so a section holds whole chunks.
    if (chunk == 0)
        p.section = even_block(p.k, SECTION, K_BLOCK);
    else
        p.section = smaller(p.k, p.strategy == BY_CHUNK ? CHUNKS * chunk : larger(chunk, SECTION / chunk * chunk));
    p.k_block = even_block(smaller(p.k, p.strategy == BY_CHUNK ? chunk : p.section), K_BLOCK, 16);
    const size_t k_blocks = blocks(p.section, p.k_block);

    p.rows = p.strategy == SHARE_LEFT ? p.m : p.strategy == BY_CHUNK ? even_block(p.m, ROW_BLOCK, 1)
                                                                     : task_block(p.m, ROW_BLOCK, mr, 1);
    p.columns = p.strategy == SHARE_LEFT ? task_block(p.n, COLUMN_BLOCK, nr, nr) : p.n;
    const FxPartF32 all = left_part(&p, 0, p.m, 0, p.k);
    p.in_place = fx_gemm_left_in_place_f32(&all) != NULL;
    const bool by_k = product->a.patch_rows;
    p.left_step = line_step(by_k ? p.rows : p.k_block);
    p.left_block = p.in_place ? 0 : (by_k ? p.k_block : p.rows) * p.left_step;
    p.panel = p.k_block * nr + 16; // 16: no two panels are a power of two apart
    const size_t panels = blocks(p.columns, nr) * p.panel * sizeof(float);
    const size_t left = p.left_block * sizeof(float), c = p.m * p.n * sizeof(float);
    p.left = p.strategy == SHARE_LEFT ? 0 : left;
    p.right = p.strategy == SHARE_RIGHT ? 0 : panels;
    p.shared = k_blocks * (p.strategy == SHARE_RIGHT ? panels : left);
    if (p.strategy == BY_CHUNK) {
        p.part = round_up(c, 64) / sizeof(float);
        p.shared = smaller(CHUNKS, blocks(p.k, chunk)) * p.part * sizeof(float);
    }
    if (chunk > 0 && p.strategy != BY_CHUNK)
        p.sums = blocks(p.rows, mr) * blocks(p.columns, nr) * mr * nr * sizeof(float);
    return p;
}

size_t fx_gemm_f32_scratch(const FxProductF32 *product, const FxWork *work) {
    const Plan p = plan_of(product, work);
    return p.shared + (size_t)p.threads * own_bytes(&p);
}

// A block of c and of k.
typedef struct Block {
    float *c;                // its first element, lines of p->n
    size_t rows, columns;
    size_t k0, k, k_all;     // k0: from where the chains begin; k_all: where they end
    size_t chunk;            // 0: the chains are c itself
    const float *left, *right;
    size_t left_step;
    float *sums;             // chunk > 0: the chains
} Block;

// c = (is_first ? +0 : c) + sums
static void add_chunk(float *c, size_t step, const float *sums, size_t nr, size_t rows, size_t columns,
                      bool is_first) {
    for (size_t r = 0; r < rows; r++, c += step, sums += nr)
        for (size_t j = 0; j < columns; j++)
            c[j] = (is_first ? 0.0f : c[j]) + sums[j];
}

static void copy_sums(float *out, size_t out_step, const float *in, size_t in_step, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++)
        memcpy(out + r * out_step, in + r * in_step, columns * sizeof *out);
}

// One tile at the right edge of c, without chunks: by way of a whole tile.
static void tile_at_edge(const Plan *p, FxTileF32 t, size_t columns) {
    const size_t nr = (size_t)p->kernel->nr, rows = (size_t)t.rows;
    alignas(64) float whole[FX_F32_TILE] = {0};
    float *c = t.sums;
    if (t.go_on)
        copy_sums(whole, nr, c, p->n, rows, columns);
    t.sums = whole;
    t.sums_step = nr;
    p->kernel->tile(&t);
    copy_sums(c, p->n, whole, nr, rows, columns);
}

// One tile with chunks: its chains rest in sums; a chunk that ends is added to c.
static void tile_of_chunks(const Plan *p, FxTileF32 t, float *c, size_t columns, const Block *b) {
    const size_t nr = (size_t)p->kernel->nr, a_step = t.by_k ? t.a_step : 1, end = b->k0 + b->k;
    t.sums_step = nr;
    for (size_t k = b->k0; k < end; k += t.k) {
        const size_t at = k % b->chunk;
        t.k = smaller(b->chunk - at, end - k);
        t.go_on = at > 0;
        p->kernel->tile(&t);
        t.a += t.k * a_step;
        t.b += t.k * nr;
        if (t.k == b->chunk - at || k + t.k == b->k_all)
            add_chunk(c, p->n, t.sums, nr, (size_t)t.rows, columns, k < b->chunk);
    }
}

// All tiles of a block. Its rows are cut into tiles of nearly equal height.
static void multiply(const Plan *p, const Block *b, int thread) {
    if (p->product->rounding) {
        const size_t at = (size_t)(b->c - p->product->c);
        const bool by_k = p->product->a.patch_rows;
        const FxRoundedBlockF32 block = {
            .rounding = p->product->rounding, .kernel = fx_rounded_kernel_f32(p->kernel->cpu), .c = p->product->c, .n = p->n,
            .row = at / p->n, .rows = b->rows, .column = at % p->n, .columns = b->columns, .k0 = b->k0, .k = b->k, .k_all = b->k_all,
            .chunk = b->chunk, .left = b->left, .left_row = by_k ? 1 : b->left_step, .left_k = by_k ? b->left_step : 1,
            .right = b->right, .panel = p->panel, .sums = b->sums, .thread = thread, .scratch = own_words(p, thread),
        };
        fx_multiply_rounded_f32(&block);
        return;
    }
    const size_t mr = (size_t)p->kernel->mr, nr = (size_t)p->kernel->nr, tiles = blocks(b->rows, mr);
    FxTileF32 t = {.a_step = b->left_step, .b = b->right, .k = b->k, .by_k = p->product->a.patch_rows,
                   .go_on = b->k0 > 0, .sums = b->sums};
    for (size_t j = 0; j < b->columns; j += nr, t.b += p->panel) {
        const size_t columns = smaller(nr, b->columns - j);
        for (size_t i = 0; i < tiles; i++) {
            const size_t row = b->rows * i / tiles;
            float *c = b->c + row * p->n + j;
            t.rows = (int)(b->rows * (i + 1) / tiles - row);
            t.a = b->left + row * (t.by_k ? 1 : t.a_step);
            if (b->chunk == 0) {
                t.sums = c;
                t.sums_step = p->n;
                if (columns == nr)
                    p->kernel->tile(&t);
                else
                    tile_at_edge(p, t, columns);
            } else {
                tile_of_chunks(p, t, c, columns, b);
                t.sums += mr * nr;
            }
        }
    }
}

// The left block of a task, in memory or packed.
static void take_left(const Plan *p, Block *b, size_t row, size_t k0, int thread) {
    const FxPartF32 part = left_part(p, row, b->rows, k0, b->k);
    float *const packed = own_left(p, thread);
    b->left_step = p->in_place ? (size_t)p->product->a.channels : p->left_step;
    b->left = p->in_place ? fx_gemm_left_in_place_f32(&part) : packed;
    if (!p->in_place)
        fx_gemm_pack_left_f32(packed, p->left_step, &part, own_strip(p, thread));
}

static size_t section_end(const Plan *p, size_t section) {
    return smaller(p->k, section + p->section);
}

// The panels of block `block` of a section, and its left lines, where they are shared.
static float *shared_right(const Plan *p, size_t block) {
    return (float *)p->scratch + block * blocks(p->n, (size_t)p->kernel->nr) * p->panel;
}

static float *shared_left(const Plan *p, size_t block) {
    return (float *)p->scratch + block * p->left_block;
}

// Packs part `task` of the shared operand: a block of k times a block of rows.
static void pack_shared(const Plan *p, size_t section, int task, int thread) {
    const bool is_left = p->strategy == SHARE_LEFT;
    const size_t all = is_left ? p->m : p->n, parts = blocks(all, SHARED_ROWS);
    const size_t block = (size_t)task / parts, row = (size_t)task % parts * SHARED_ROWS;
    const size_t rows = smaller(SHARED_ROWS, all - row), k0 = section + block * p->k_block;
    const size_t k = smaller(p->k_block, section_end(p, section) - k0);
    if (is_left) {
        const FxPartF32 part = left_part(p, row, rows, k0, k);
        float *out = shared_left(p, block) + row * (p->product->a.patch_rows ? 1 : p->left_step);
        fx_gemm_pack_left_f32(out, p->left_step, &part, own_strip(p, thread));
    } else {
        const FxPartF32 part = right_part(p, row, rows, k0, k);
        float *out = shared_right(p, block) + row / (size_t)p->kernel->nr * p->panel;
        fx_gemm_pack_right_f32(out, p->panel, p->kernel, &part, own_strip(p, thread));
    }
}

static void run_rows(const Plan *p, size_t section, int task, int thread) {
    const size_t row = (size_t)task * p->rows, end = section_end(p, section);
    Block b = {.c = p->product->c + row * p->n, .rows = smaller(p->rows, p->m - row), .columns = p->n, .k_all = p->k,
               .chunk = p->product->chunk, .sums = own_sums(p, thread)};
    for (size_t block = 0; section + block * p->k_block < end; block++) {
        b.k0 = section + block * p->k_block;
        b.k = smaller(p->k_block, end - b.k0);
        b.right = shared_right(p, block);
        take_left(p, &b, row, b.k0, thread);
        multiply(p, &b, thread);
    }
}

static void run_columns(const Plan *p, size_t section, int task, int thread) {
    const size_t column = (size_t)task * p->columns, end = section_end(p, section);
    Block b = {.c = p->product->c + column, .rows = p->m, .columns = smaller(p->columns, p->n - column), .k_all = p->k,
               .chunk = p->product->chunk, .sums = own_sums(p, thread), .right = own_right(p, thread)};
    for (size_t block = 0; section + block * p->k_block < end; block++) {
        b.k0 = section + block * p->k_block;
        b.k = smaller(p->k_block, end - b.k0);
        const FxPartF32 part = right_part(p, column, b.columns, b.k0, b.k), left = left_part(p, 0, p->m, b.k0, b.k);
        fx_gemm_pack_right_f32(own_right(p, thread), p->panel, p->kernel, &part, own_strip(p, thread));
        b.left_step = p->in_place ? (size_t)p->product->a.channels : p->left_step;
        b.left = p->in_place ? fx_gemm_left_in_place_f32(&left) : shared_left(p, block);
        multiply(p, &b, thread);
    }
}

static void run_chunk(const Plan *p, size_t section, int task, int thread) {
    const size_t first = section + (size_t)task * p->product->chunk, end = smaller(p->k, first + p->product->chunk);
    Block b = {.columns = p->n, .right = own_right(p, thread)};
    for (size_t k0 = first; k0 < end; k0 += p->k_block) {
        b.k0 = k0 - first;
        b.k = smaller(p->k_block, end - k0);
        const FxPartF32 part = right_part(p, 0, p->n, k0, b.k);
        fx_gemm_pack_right_f32(own_right(p, thread), p->panel, p->kernel, &part, own_strip(p, thread));
        for (size_t row = 0; row < p->m; row += p->rows) {
            b.rows = smaller(p->rows, p->m - row);
            b.c = (float *)p->scratch + (size_t)task * p->part + row * p->n;
            take_left(p, &b, row, k0, thread);
            multiply(p, &b, thread);
        }
    }
}

// Adds the sums of a section's chunks to a range of c, in the order of the chunks.
static void add_chunks(const Plan *p, size_t section, int task, int thread) {
    (void)thread;
    const size_t first = (size_t)task * ADDED, count = smaller(ADDED, p->m * p->n - first);
    const size_t chunks = blocks(section_end(p, section) - section, p->product->chunk);
    for (size_t chunk = 0; chunk < chunks; chunk++)
        add_chunk(p->product->c + first, 0, (const float *)p->scratch + chunk * p->part + first, 0, 1, count,
                  section + chunk == 0);
}

// is_small: less work than waking the threads is worth.
static void for_each(const Plan *p, void (*run)(const Plan *p, size_t section, int task, int thread), size_t section,
                     size_t count, bool is_small) {
    (void)is_small;
#ifdef _OPENMP
    if (p->threads > 1 && count > 1 && !is_small) {
#pragma omp parallel for num_threads(p->threads) schedule(dynamic)
        for (int i = 0; i < (int)count; i++)
            run(p, section, i, omp_get_thread_num());
        return;
    }
#endif
    for (int i = 0; i < (int)count; i++)
        run(p, section, i, 0);
}

void fx_gemm_f32(const FxProductF32 *product, const FxWork *work) {
    const Plan p = plan_of(product, work);
    assert(fx_gemm_f32_scratch(product, work) <= work->scratch_size);
    if (p.k == 0)
        memset(product->c, 0, p.m * p.n * sizeof *product->c);
    for (size_t section = 0; section < p.k; section += p.section) {
        const size_t k = section_end(&p, section) - section;
        if (p.strategy == BY_CHUNK) {
            for_each(&p, run_chunk, section, blocks(k, product->chunk), false);
            for_each(&p, add_chunks, section, blocks(p.m * p.n, ADDED), p.m * p.n <= ADDED);
            continue;
        }
        const bool shares_left = p.strategy == SHARE_LEFT;
        const size_t parts = blocks(shares_left ? p.m : p.n, SHARED_ROWS);
        if (!shares_left || !p.in_place)
            for_each(&p, pack_shared, section, blocks(k, p.k_block) * parts, p.shared <= 1 << 17);
        if (shares_left)
            for_each(&p, run_columns, section, blocks(p.n, p.columns), false);
        else
            for_each(&p, run_rows, section, blocks(p.m, p.rows), false);
    }
}
