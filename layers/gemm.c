// Packing, edges and threads of the integer products, along the lines of their plan. Integer sums are exact (or
// wrapped modulo 2^32, which is as good), so neither blocks nor threads change a result.
#include "layers/gemm_plan.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

size_t fx_gemm_scratch(const FxProduct *product, const FxWork *work) {
    const FxGemmPlan p = fx_gemm_plan(product, work);
    const size_t parts = p.tasks > 1 ? (size_t)p.tasks - 1 : 0; // of c, beside c itself
    return p.shared + (size_t)p.threads * own_bytes(&p) + parts * p.part;
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
static void pack(const FxGemmPlan *p, bool is_left, void *panels, size_t row, size_t rows, size_t k0, size_t k,
                 int plane, char *strip) {
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
        const size_t step = FX_GEMM_STRIP_BYTES / (rows * size) / FX_GEMM_STEP * FX_GEMM_STEP;
        const size_t lines = larger(step, FX_GEMM_STEP);
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
        const size_t step = FX_GEMM_STRIP_BYTES / (k * size) / width * width, lines = larger(step, width);
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
static void fold(const FxGemmPlan *p, void *c, const void *tile, size_t rows, size_t columns, bool add, int shift) {
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
static void multiply(const FxGemmPlan *p, char *c, const char *left, const char *right, size_t row, size_t rows,
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
    if (p->stream)
        atomic_thread_fence(memory_order_seq_cst); // streamed stores are not ordered with what follows
}

static size_t block_k(const FxGemmPlan *p, size_t block) {
    return smaller(p->k_block, p->k - block * p->k_block);
}

static char *shared_right(const FxGemmPlan *p, size_t block, int plane) {
    return p->scratch + ((size_t)plane * p->k_blocks + block) * blocks(p->n, (size_t)p->kernel->nr) * p->right_panel;
}

static char *shared_left(const FxGemmPlan *p, size_t block) {
    return p->scratch + block * blocks(p->m, (size_t)p->kernel->mr) * p->left_panel;
}

// Packs part `task` of the shared operand: a block of k times a block of rows.
static int shared_tasks(const FxGemmPlan *p) {
    if (p->strategy == FX_GEMM_SPLIT_K)
        return 0;
    return (int)(p->k_blocks * blocks(shares_right(p) ? p->n : p->m, FX_GEMM_SHARED_ROWS));
}

static void pack_shared(const FxGemmPlan *p, int task, int thread) {
    const bool is_left = p->strategy == FX_GEMM_SHARE_LEFT;
    const size_t all = is_left ? p->m : p->n, parts = blocks(all, FX_GEMM_SHARED_ROWS);
    const size_t block = (size_t)task / parts, row = (size_t)task % parts * FX_GEMM_SHARED_ROWS;
    const size_t rows = smaller(FX_GEMM_SHARED_ROWS, all - row);
    char *strip = own(p, thread) + p->left + p->right;
    for (int plane = 0; plane < (is_left ? 1 : p->planes); plane++) {
        char *panels = is_left ? shared_left(p, block) + row / (size_t)p->kernel->mr * p->left_panel
                               : shared_right(p, block, plane) + row / (size_t)p->kernel->nr * p->right_panel;
        pack(p, is_left, panels, row, rows, block * p->k_block, block_k(p, block), plane, strip);
    }
}

static void run_rows(const FxGemmPlan *p, int task, int thread) {
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
static void run_taps(const FxGemmPlan *p, int task, int thread) {
    const FxMatrix *a = &p->product->a;
    const int plane = a->out_height * a->out_width, oy = task % plane / a->out_width, ox = task % a->out_width;
    const size_t image = (size_t)(task / plane) * p->rows, images = smaller(p->rows, (size_t)a->images - image);
    const size_t size = fx_type_size(a->type), line = p->n * fx_type_size(p->product->c_type);
    const size_t pixel = (size_t)a->channels * size, stride = (size_t)a->height * (size_t)a->width * pixel;
    char *left = own(p, thread), *sums = left + p->left + p->strip;
    bool add = false;
    for (int tap = 0; tap < a->kernel_height * a->kernel_width; tap++) {
        const int iy = fx_gemm_tap(a, oy, tap / a->kernel_width, a->height);
        const int ix = fx_gemm_tap(a, ox, tap % a->kernel_width, a->width);
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

static void run_columns(const FxGemmPlan *p, int task, int thread) {
    const size_t column = (size_t)task * p->columns, columns = smaller(p->columns, p->n - column);
    char *right = own(p, thread), *strip = right + p->right;
    for (size_t block = 0; block < p->k_blocks; block++)
        for (int plane = 0; plane < p->planes; plane++) {
            pack(p, false, right, column, columns, block * p->k_block, block_k(p, block), plane, strip);
            multiply(p, p->product->c, shared_left(p, block), right, 0, p->m, column, columns, block_k(p, block),
                     block > 0 || plane > 0, plane == 0 ? 0 : 8);
        }
}

static char *part_of_c(const FxGemmPlan *p, int task) {
    if (task == 0)
        return p->product->c;
    return own(p, p->threads) + (size_t)(task - 1) * p->part;
}

static void run_k(const FxGemmPlan *p, int task, int thread) {
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

static void add_parts(const FxGemmPlan *p, int task, int thread) {
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

enum { SERIAL_BYTES = 1 << 18 }; // packed or added bytes below which threads do not pay

// small: less work than waking the threads is worth.
static void for_each(const FxGemmPlan *p, void (*run)(const FxGemmPlan *p, int task, int thread), int count,
                     bool small) {
    (void)small;
#ifdef _OPENMP
    if (p->threads > 1 && count > 1 && !small) {
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
    static void (*const runs[])(const FxGemmPlan *, int, int) = {run_rows, run_columns, run_k, run_taps};
    const FxGemmPlan p = fx_gemm_plan(product, work);
    assert(fx_gemm_scratch(product, work) <= work->scratch_size);
    if (p.k == 0) {
        memset(product->c, 0, p.m * p.n * fx_type_size(product->c_type));
        return;
    }
    for_each(&p, pack_shared, shared_tasks(&p), p.shared <= SERIAL_BYTES);
    for_each(&p, runs[p.strategy], p.tasks, false);
    if (p.strategy == FX_GEMM_SPLIT_K && p.tasks > 1)
        for_each(&p, add_parts, (int)blocks(p.m * p.n, ADDED), (size_t)(p.tasks - 1) * p.part <= SERIAL_BYTES);
}
