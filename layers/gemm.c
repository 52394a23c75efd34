// Blocking, packing, edges and threads of the integer products.
//
// Both operands are cut along k into blocks whose panels fit the caches. Which operand is packed once for all
// threads and which one each thread packs for itself depends on the shape:
//   SHARE_RIGHT  many rows: the right operand is packed first; a task is a block of rows of c
//   SHARE_LEFT   many columns: the left operand is packed first; a task is a block of columns of c
//   BY_TAP       images of which many taps see nothing but padding: the right operand is packed first, tap by tap;
//                a task is one position of many images, and skips the taps that fall outside
//   SPLIT_K      long sums into a small c: a task is a range of k; the parts of c are added at the end
// Integer sums are exact (or wrapped modulo 2^32, which is as good), so none of this changes a result.
#include "layers/gemm.h"

#include "formats/cpu.h"
#include "layers/gemm_kernel.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static const FxGemmKernel *const kernels[] = {
    &fx_gemm_scalar32,
    &fx_gemm_scalar16,
#if defined(__x86_64__)
    &fx_gemm_avx2,
    &fx_gemm_avx512,
    &fx_gemm_vnni16,
    &fx_gemm_vnni8,
#endif
};
enum { KERNELS = sizeof kernels / sizeof kernels[0] };

const FxGemmKernel *fx_gemm_kernel(int i) {
    return i >= 0 && i < KERNELS ? kernels[i] : NULL;
}

enum {
    K_BLOCK = 768,         // codes of k in a panel
    K_BLOCK_STREAM = 2304, // the same where c is so large that it is best written once
    ROW_BLOCK = 192,       // rows of a task
    ROW_BLOCK_STRIDED = 480, // the same where rows run across the lines in memory
    COLUMN_BLOCK = 256,    // columns of a task
    SHARED_ROWS = 96,      // of a task of packing a shared operand; a multiple of every mr and nr
    STRIP_BYTES = 16384,   // of a copied patch block
    SPLIT_COLUMNS = 1024,  // most columns of SPLIT_K
    SMALL_C = 1 << 18,     // bytes of c that favour SPLIT_K
    MEDIUM_C = 1 << 22,
    STREAM_C = 1 << 24,
    LARGE_SHARE = 3 << 20, // bytes of a shared operand that no longer stay in the caches
    TAP_IMAGES = 32,       // least images, channels and per cent of useless products that favour BY_TAP
    TAP_CHANNELS = 32,
    TAP_USELESS = 12,
    SERIAL = 1 << 19       // products below which threads do not pay
};

typedef enum Strategy { SHARE_RIGHT, SHARE_LEFT, SPLIT_K, BY_TAP } Strategy;

typedef struct Plan {
    const FxProduct *product;
    const FxGemmKernel *kernel;
    Strategy strategy;
    size_t m, n, k, k_block, k_blocks;
    size_t rows, columns;              // of a task
    int tasks, threads;
    int planes;                        // 2: right int16 codes are split into 256 * high + low
    bool direct;                       // tiles add to c itself
    bool stream;                       // and store it past the caches
    size_t left_panel, right_panel;    // bytes
    size_t shared, left, right, strip; // bytes of scratch: shared panels; each thread's panels and patches
    size_t part, sums;                 // and of a part of c; each thread's sums of BY_TAP
    char *scratch;
} Plan;

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t round_up(size_t x, size_t unit) {
    return (x + unit - 1) / unit * unit;
}

static size_t blocks(size_t x, size_t unit) {
    return (x + unit - 1) / unit;
}

// x cut into equal blocks of at most `most`, a multiple of unit.
static size_t even_block(size_t x, size_t most, size_t unit) {
    const size_t count = blocks(x, most);
    return count == 0 ? unit : round_up(blocks(x, count), unit);
}

static const FxGemmKernel *choose_kernel(const FxProduct *p, unsigned cpu) {
    const FxGemmKernel *best = NULL;
    for (int i = 0; i < KERNELS; i++)
        if ((kernels[i]->cpu & cpu) == kernels[i]->cpu && (kernels[i]->left >> p->a.type & 1) &&
            (kernels[i]->right >> p->b.type & 1))
            best = kernels[i];
    assert(best);
    return best;
}

static int64_t largest_magnitude(FxType type) {
    return type == FX_INT8 ? 128 : type == FX_UINT8 ? 255 : 32768;
}

static bool is_wide(FxType type) {
    return type != FX_INT8 && type != FX_UINT8;
}

// The longest k, a multiple of FX_GEMM_STEP, whose sums a tile holds exactly. Where c is as narrow as the tile's sums,
// wrapped sums are as good.
static size_t exact_length(const Plan *p) {
    if (p->direct || p->kernel->acc != FX_INT32)
        return SIZE_MAX;
    const int64_t right = p->planes == 2 ? 128 : largest_magnitude(p->product->b.type);
    return (size_t)(INT32_MAX / (largest_magnitude(p->product->a.type) * right)) / FX_GEMM_STEP * FX_GEMM_STEP;
}

// Place of tap k of output coordinate o in the image, or -1.
static int tap_place(const FxMatrix *a, int o, int k, int limit) {
    int i = o * a->stride - a->pad + k;
    if (a->gather) {
        i = o + a->pad - k;
        if (i < 0 || i % a->stride != 0)
            return -1;
        i /= a->stride;
    }
    return i >= 0 && i < limit ? i : -1;
}

static size_t taps_inside(const FxMatrix *a, int outputs, int taps, int limit) {
    size_t count = 0;
    for (int o = 0; o < outputs; o++)
        for (int k = 0; k < taps; k++)
            count += tap_place(a, o, k, limit) >= 0;
    return count;
}

static bool favours_taps(const FxMatrix *a, size_t k_block) {
    if (a->patch_rows || a->images < TAP_IMAGES || a->channels < TAP_CHANNELS || (size_t)a->channels > k_block)
        return false;
    const size_t useful = taps_inside(a, a->out_height, a->kernel_height, a->height) *
                          taps_inside(a, a->out_width, a->kernel_width, a->width);
    const size_t all = (size_t)(a->out_height * a->kernel_height) * (size_t)(a->out_width * a->kernel_width);
    return useful * 100 <= all * (100 - TAP_USELESS);
}

static Strategy choose_strategy(const Plan *p) {
    const size_t c = p->m * p->n * fx_type_size(p->product->c_type);
    const size_t share = p->k * smaller(p->m, p->n) * fx_type_size(p->kernel->packed);
    if (p->n > SPLIT_COLUMNS)
        return p->m >= p->n ? SHARE_RIGHT : SHARE_LEFT;
    if ((c <= SMALL_C && p->k_blocks >= 8) || (c <= MEDIUM_C && share > LARGE_SHARE && p->k_blocks >= 8))
        return SPLIT_K;
    return p->m >= p->n ? SHARE_RIGHT : SHARE_LEFT;
}

static bool shares_right(const Plan *p) {
    return p->strategy == SHARE_RIGHT || p->strategy == BY_TAP;
}

// A strip: STRIP_BYTES of copied patches, or a panel's worth of them if that is more.
static size_t strip_bytes(const Plan *p, const FxMatrix *a, size_t rows, size_t width) {
    const size_t least = a->patch_rows ? FX_GEMM_STEP * rows : p->k_block * width;
    return round_up(larger(least * fx_type_size(a->type), STRIP_BYTES), 64);
}

static Plan make_plan(const FxProduct *product, const FxWork *work) {
    Plan p = {.product = product, .kernel = choose_kernel(product, work->cpu), .scratch = work->scratch};
    const FxGemmKernel *kernel = p.kernel;
    const size_t mr = (size_t)kernel->mr, nr = (size_t)kernel->nr, size = fx_type_size(kernel->packed);
    p.m = fx_matrix_rows(&product->a);
    p.n = fx_matrix_rows(&product->b);
    p.k = fx_matrix_k(&product->a);
    assert(p.k == fx_matrix_k(&product->b));
    assert(product->c_type == FX_INT32 || product->c_type == FX_INT64);
    p.direct = product->c_type == kernel->acc;
    p.planes = kernel->packed == FX_INT16 && !p.direct && is_wide(product->a.type) && is_wide(product->b.type) ? 2 : 1;
    const size_t c_bytes = p.m * p.n * fx_type_size(product->c_type);
    const size_t k_most = c_bytes > STREAM_C ? K_BLOCK_STREAM : K_BLOCK;
    p.k_block = even_block(p.k, smaller(k_most, exact_length(&p)), FX_GEMM_STEP);
    if (favours_taps(&product->a, p.k_block)) {
        p.strategy = BY_TAP;
        p.k_block = (size_t)product->a.channels;
    }
    p.k_blocks = blocks(p.k, p.k_block);
    if (p.strategy != BY_TAP)
        p.strategy = choose_strategy(&p);
    p.stream = p.direct && p.k_blocks == 1 && p.strategy != BY_TAP && c_bytes > STREAM_C && (uintptr_t)product->c % 64 == 0 &&
               p.n * fx_type_size(product->c_type) % 64 == 0;
    const size_t steps = round_up(p.k_block, FX_GEMM_STEP) * size; // 64 bytes more: no two panels a power of two apart
    p.left_panel = round_up(steps * mr, 64) + 64;
    p.right_panel = round_up((steps + fx_type_size(kernel->acc)) * nr, 64) + 64;

    const size_t left_panels = blocks(p.m, mr), right_panels = blocks(p.n, nr), images = (size_t)product->a.images;
    p.rows = p.strategy == SHARE_LEFT ? round_up(p.m, mr)
             : p.strategy == BY_TAP   ? even_block(images, ROW_BLOCK, mr)
                                      : even_block(p.m, product->a.patch_rows ? ROW_BLOCK_STRIDED : ROW_BLOCK, mr);
    p.columns = p.strategy != SHARE_LEFT ? round_up(p.n, nr)
                                         : even_block(p.n, smaller(COLUMN_BLOCK, round_up(blocks(p.n, 8), nr)), nr);
    p.threads = work->threads > 1 && p.m * p.n * p.k >= SERIAL ? work->threads : 1;
    p.tasks = (int)(p.strategy == SHARE_RIGHT  ? blocks(p.m, p.rows)
                    : p.strategy == SHARE_LEFT ? blocks(p.n, p.columns)
                    : p.strategy == BY_TAP     ? p.m / images * blocks(images, p.rows)
                                               : smaller(p.k_blocks, (size_t)p.threads));
    p.shared = shares_right(&p)           ? right_panels * p.right_panel * p.k_blocks * (size_t)p.planes
               : p.strategy == SHARE_LEFT ? left_panels * p.left_panel * p.k_blocks
                                          : 0;
    p.left = p.strategy == SHARE_LEFT ? 0 : p.rows / mr * p.left_panel;
    p.right = shares_right(&p) ? 0 : p.columns / nr * p.right_panel;
    p.strip = larger(strip_bytes(&p, &product->a, p.strategy == SHARE_LEFT ? SHARED_ROWS : p.rows, mr),
                     strip_bytes(&p, &product->b, shares_right(&p) ? SHARED_ROWS : p.columns, nr));
    p.part = p.strategy == SPLIT_K ? round_up(p.m * p.n * fx_type_size(product->c_type), 64) : 0;
    p.sums = p.strategy == BY_TAP ? round_up(p.rows * p.n * fx_type_size(product->c_type), 64) : 0;
    return p;
}

// Scratch of one thread: left panels, right panels, strip, sums.
static size_t own_bytes(const Plan *p) {
    return p->left + p->right + p->strip + p->sums;
}

static char *own(const Plan *p, int thread) {
    return p->scratch + p->shared + (size_t)thread * own_bytes(p);
}

size_t fx_gemm_scratch(const FxProduct *product, const FxWork *work) {
    const Plan p = make_plan(product, work);
    return p.shared + (size_t)p.threads * own_bytes(&p) + (size_t)(p.tasks > 1 ? p.tasks - 1 : 0) * p.part;
}

static bool is_plain(const FxMatrix *a) {
    return a->kernel_height == 1 && a->kernel_width == 1 && a->stride == 1 && a->pad == 0 &&
           a->out_height == a->height && a->out_width == a->width;
}

// Plane 0 of an int16 code is its low byte as an int8, plane 1 the rest divided by 256 (-128 to 128).
static void split_planes(int16_t *codes, size_t count, int plane) {
    for (size_t i = 0; i < count; i++) {
        const int low = (int8_t)(uint8_t)((unsigned)codes[i] & 0xff);
        codes[i] = (int16_t)(plane == 0 ? low : (codes[i] - low) / 256);
    }
}

// Packs rows [row, row + rows) and k [k0, k0 + k) of an operand into panels.
static void pack(const Plan *p, bool is_left, void *panels, size_t row, size_t rows, size_t k0, size_t k, int plane,
                 char *strip) {
    const FxGemmKernel *kernel = p->kernel;
    const FxMatrix *a = is_left ? &p->product->a : &p->product->b;
    FxGemmPack *const put = is_left ? kernel->pack_left : kernel->pack_right;
    const size_t size = fx_type_size(a->type), panel = is_left ? p->left_panel : p->right_panel;
    const size_t width = (size_t)(is_left ? kernel->mr : kernel->nr);
    const bool split = !is_left && p->planes == 2;
    FxGemmBlock in = {.type = a->type, .k_is_row = a->patch_rows, .rows = rows, .k = k,
                      .lift = p->product->a.type == FX_INT8};
    if (is_plain(a) && !split) {
        const size_t line = (size_t)a->channels;
        in.stride = line * size;
        in.data = (const char *)a->data + (a->patch_rows ? k0 * line + row : row * line + k0) * size;
        put(panels, panel, 0, &in);
    } else if (a->patch_rows) {
        const size_t step = STRIP_BYTES / (rows * size) / FX_GEMM_STEP * FX_GEMM_STEP, lines = larger(step, FX_GEMM_STEP);
        in.stride = rows * size;
        in.data = strip;
        for (size_t done = 0; done < k; done += lines) {
            in.k = smaller(lines, k - done);
            fx_matrix_patches(strip, rows, a, k0 + done, in.k, row, rows);
            if (split)
                split_planes((int16_t *)strip, in.k * rows, plane);
            put(panels, panel, done, &in);
        }
    } else {
        const size_t step = STRIP_BYTES / (k * size) / width * width, lines = larger(step, width);
        in.stride = k * size;
        in.data = strip;
        for (size_t done = 0; done < rows; done += lines) {
            in.rows = smaller(lines, rows - done);
            fx_matrix_patches(strip, k, a, row + done, in.rows, k0, k);
            if (split)
                split_planes((int16_t *)strip, in.rows * k, plane);
            put((char *)panels + done / width * panel, panel, 0, &in);
        }
    }
}

// c = (add ? c : 0) + (tile << shift), element by element, modulo 2^32 or 2^64.
static void fold(const Plan *p, void *c, const void *tile, size_t rows, size_t columns, bool add, int shift) {
    const size_t nr = (size_t)p->kernel->nr;
    for (size_t r = 0; r < rows; r++) {
        uint32_t *narrow = (uint32_t *)c + r * p->n;
        uint64_t *wide = (uint64_t *)c + r * p->n;
        const int32_t *sum32 = (const int32_t *)tile + r * nr;
        const int64_t *sum64 = (const int64_t *)tile + r * nr;
        if (p->product->c_type == FX_INT32 && p->kernel->acc == FX_INT32)
            for (size_t j = 0; j < columns; j++)
                narrow[j] = (add ? narrow[j] : 0) + ((uint32_t)sum32[j] << shift);
        else if (p->product->c_type == FX_INT32)
            for (size_t j = 0; j < columns; j++)
                narrow[j] = (add ? narrow[j] : 0) + (uint32_t)((uint64_t)sum64[j] << shift);
        else if (p->kernel->acc == FX_INT32)
            for (size_t j = 0; j < columns; j++)
                wide[j] = (add ? wide[j] : 0) + ((uint64_t)sum32[j] << shift);
        else
            for (size_t j = 0; j < columns; j++)
                wide[j] = (add ? wide[j] : 0) + ((uint64_t)sum64[j] << shift);
    }
}

// The rows x columns block of c at (row, column): all tiles of two packed blocks.
static void multiply(const Plan *p, char *c, const char *left, const char *right, size_t row, size_t rows,
                     size_t column, size_t columns, size_t k, bool add, int shift) {
    const FxGemmKernel *kernel = p->kernel;
    const size_t mr = (size_t)kernel->mr, nr = (size_t)kernel->nr, groups = blocks(k, (size_t)kernel->kr);
    const size_t size = fx_type_size(p->product->c_type);
    const FxGemmStore store = p->stream ? FX_GEMM_STREAM : add ? FX_GEMM_ADD : FX_GEMM_SET;
    alignas(64) char tile[FX_GEMM_TILE_BYTES];
    for (size_t j = 0; j < columns; j += nr, right += p->right_panel) {
        const char *a = left;
        for (size_t i = 0; i < rows; i += mr, a += p->left_panel) {
            char *to = c + ((row + i) * p->n + column + j) * size;
            if (p->direct && shift == 0 && rows - i >= mr && columns - j >= nr) {
                kernel->tile(to, p->n, a, right, groups, store);
            } else {
                kernel->tile(tile, nr, a, right, groups, FX_GEMM_SET);
                fold(p, to, tile, smaller(mr, rows - i), smaller(nr, columns - j), add, shift);
            }
        }
    }
}

static size_t block_k(const Plan *p, size_t block) {
    return smaller(p->k_block, p->k - block * p->k_block);
}

static char *shared_right(const Plan *p, size_t block, int plane) {
    return p->scratch + ((size_t)plane * p->k_blocks + block) * blocks(p->n, (size_t)p->kernel->nr) * p->right_panel;
}

static char *shared_left(const Plan *p, size_t block) {
    return p->scratch + block * blocks(p->m, (size_t)p->kernel->mr) * p->left_panel;
}

// Packs part `task` of the shared operand: a block of k times a block of rows.
static int shared_tasks(const Plan *p) {
    if (p->strategy == SPLIT_K)
        return 0;
    return (int)(p->k_blocks * blocks(shares_right(p) ? p->n : p->m, SHARED_ROWS));
}

static void pack_shared(const Plan *p, int task, int thread) {
    const bool is_left = p->strategy == SHARE_LEFT;
    const size_t all = is_left ? p->m : p->n, parts = blocks(all, SHARED_ROWS);
    const size_t block = (size_t)task / parts, row = (size_t)task % parts * SHARED_ROWS;
    const size_t rows = smaller(SHARED_ROWS, all - row);
    char *strip = own(p, thread) + p->left + p->right;
    for (int plane = 0; plane < (is_left ? 1 : p->planes); plane++) {
        char *panels = is_left ? shared_left(p, block) + row / (size_t)p->kernel->mr * p->left_panel
                               : shared_right(p, block, plane) + row / (size_t)p->kernel->nr * p->right_panel;
        pack(p, is_left, panels, row, rows, block * p->k_block, block_k(p, block), plane, strip);
    }
}

static void run_rows(const Plan *p, int task, int thread) {
    const size_t row = (size_t)task * p->rows, rows = smaller(p->rows, p->m - row);
    char *left = own(p, thread), *strip = left + p->left;
    for (size_t block = 0; block < p->k_blocks; block++) {
        pack(p, true, left, row, rows, block * p->k_block, block_k(p, block), 0, strip);
        for (int plane = 0; plane < p->planes; plane++)
            multiply(p, p->product->c, left, shared_right(p, block, plane), row, rows, 0, p->n, block_k(p, block),
                     block > 0 || plane > 0, plane == 0 ? 0 : 8);
    }
}

// Position task % (positions of an image) of the images of a block.
static void run_taps(const Plan *p, int task, int thread) {
    const FxMatrix *a = &p->product->a;
    const int plane = a->out_height * a->out_width, oy = task % plane / a->out_width, ox = task % a->out_width;
    const size_t image = (size_t)(task / plane) * p->rows, images = smaller(p->rows, (size_t)a->images - image);
    const size_t size = fx_type_size(a->type), line = p->n * fx_type_size(p->product->c_type);
    const size_t pixel = (size_t)a->channels * size, stride = (size_t)a->height * (size_t)a->width * pixel;
    char *left = own(p, thread), *sums = left + p->left + p->strip;
    bool add = false;
    for (int tap = 0; tap < a->kernel_height * a->kernel_width; tap++) {
        const int iy = tap_place(a, oy, tap / a->kernel_width, a->height);
        const int ix = tap_place(a, ox, tap % a->kernel_width, a->width);
        if (iy < 0 || ix < 0)
            continue;
        const FxGemmBlock in = {.data = (const char *)a->data + image * stride +
                                        ((size_t)iy * (size_t)a->width + (size_t)ix) * pixel,
                                .type = a->type, .stride = stride, .rows = images, .k = (size_t)a->channels};
        p->kernel->pack_left(left, p->left_panel, 0, &in);
        for (int part = 0; part < p->planes; part++, add = true)
            multiply(p, sums, left, shared_right(p, (size_t)tap, part), 0, images, 0, p->n, in.k, add,
                     part == 0 ? 0 : 8);
    }
    if (!add)
        memset(sums, 0, images * line);
    for (size_t i = 0; i < images; i++)
        memcpy((char *)p->product->c + ((image + i) * (size_t)plane + (size_t)(task % plane)) * line, sums + i * line,
               line);
}

static void run_columns(const Plan *p, int task, int thread) {
    const size_t column = (size_t)task * p->columns, columns = smaller(p->columns, p->n - column);
    char *right = own(p, thread), *strip = right + p->right;
    for (size_t block = 0; block < p->k_blocks; block++)
        for (int plane = 0; plane < p->planes; plane++) {
            pack(p, false, right, column, columns, block * p->k_block, block_k(p, block), plane, strip);
            multiply(p, p->product->c, shared_left(p, block), right, 0, p->m, column, columns, block_k(p, block),
                     block > 0 || plane > 0, plane == 0 ? 0 : 8);
        }
}

static char *part_of_c(const Plan *p, int task) {
    if (task == 0)
        return p->product->c;
    return own(p, p->threads) + (size_t)(task - 1) * p->part;
}

static void run_k(const Plan *p, int task, int thread) {
    const size_t first = p->k_blocks * (size_t)task / (size_t)p->tasks;
    const size_t end = p->k_blocks * (size_t)(task + 1) / (size_t)p->tasks;
    char *left = own(p, thread), *right = left + p->left, *strip = right + p->right, *c = part_of_c(p, task);
    for (size_t block = first; block < end; block++)
        for (int plane = 0; plane < p->planes; plane++) {
            const size_t k0 = block * p->k_block, k = block_k(p, block);
            pack(p, false, right, 0, p->n, k0, k, plane, strip);
            for (size_t row = 0; row < p->m; row += p->rows) {
                const size_t rows = smaller(p->rows, p->m - row);
                pack(p, true, left, row, rows, k0, k, 0, strip);
                multiply(p, c, left, right, row, rows, 0, p->n, k, block > first || plane > 0, plane == 0 ? 0 : 8);
            }
        }
}

// Adds the parts of c, a range of rows a task.
enum { ADDED = 4096 };

static void add_parts(const Plan *p, int task, int thread) {
    (void)thread;
    const size_t first = (size_t)task * ADDED, end = smaller(p->m * p->n, first + ADDED);
    for (int part = 1; part < p->tasks; part++) {
        if (p->product->c_type == FX_INT32) {
            uint32_t *c = p->product->c;
            const uint32_t *x = (const uint32_t *)part_of_c(p, part);
            for (size_t i = first; i < end; i++)
                c[i] += x[i];
        } else {
            uint64_t *c = p->product->c;
            const uint64_t *x = (const uint64_t *)part_of_c(p, part);
            for (size_t i = first; i < end; i++)
                c[i] += x[i];
        }
    }
}

static void for_each(const Plan *p, void (*run)(const Plan *p, int task, int thread), int count) {
#ifdef _OPENMP
    if (p->threads > 1 && count > 1) {
#pragma omp parallel for num_threads(p->threads) schedule(dynamic)
        for (int i = 0; i < count; i++)
            run(p, i, omp_get_thread_num());
        return;
    }
#endif
    for (int i = 0; i < count; i++)
        run(p, i, 0);
}

void fx_gemm(const FxProduct *product, const FxWork *work) {
    static void (*const runs[])(const Plan *, int, int) = {run_rows, run_columns, run_k, run_taps};
    const Plan p = make_plan(product, work);
    assert(fx_gemm_scratch(product, work) <= work->scratch_size);
    if (p.k == 0) {
        memset(product->c, 0, p.m * p.n * fx_type_size(product->c_type));
        return;
    }
    for_each(&p, pack_shared, shared_tasks(&p));
    for_each(&p, runs[p.strategy], p.tasks);
    if (p.strategy == SPLIT_K && p.tasks > 1)
        for_each(&p, add_parts, (int)blocks(p.m * p.n, ADDED));
}
