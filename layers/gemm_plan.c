// The table of kernels, and how a product is cut: see gemm_plan.h.
#include "layers/gemm_plan.h"

#include <assert.h>

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
    K_BLOCK = 768,           // codes of k in a panel
    K_BLOCK_STREAM = 2304,   // the same where c is so large that it is best written once
    ROW_BLOCK = 192,         // rows of a task
    ROW_BLOCK_STRIDED = 480, // the same where rows run across the lines in memory
    COLUMN_BLOCK = 256,      // columns of a task
    TASKS_PER_THREAD = 4,    // at least
    STREAM_C = 1 << 24,      // bytes of c that no cache keeps until it is read
    SMALL_C = 1 << 18,       // bytes of c that favour FX_GEMM_SPLIT_K
    MEDIUM_C = 1 << 22,      // the same if a shared operand would be large
    LARGE_SHARE = 3 << 20,
    SPLIT_BLOCKS = 8,        // least blocks of k and most columns of FX_GEMM_SPLIT_K
    SPLIT_COLUMNS = 1024,
    SPLIT_BYTES = 1 << 25,   // and most bytes of its parts of c
    TAP_IMAGES = 32,         // least images, channels and per cent of useless products of FX_GEMM_BY_TAP
    TAP_CHANNELS = 32,
    TAP_USELESS = 12,
    SERIAL = 1 << 19         // products below which threads do not pay
};

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
static size_t exact_length(const FxGemmPlan *p) {
    if (p->direct || p->kernel->acc != FX_INT32)
        return SIZE_MAX;
    const int64_t right = p->planes == 2 ? 128 : largest_magnitude(p->product->b.type);
    return (size_t)(INT32_MAX / (largest_magnitude(p->product->a.type) * right)) / FX_GEMM_STEP * FX_GEMM_STEP;
}

int fx_gemm_tap(const FxMatrix *a, int o, int k, int limit) {
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
            count += fx_gemm_tap(a, o, k, limit) >= 0;
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

static FxGemmStrategy choose_strategy(const FxGemmPlan *p) {
    const size_t c = p->m * p->n * fx_type_size(p->product->c_type);
    const size_t share = p->k * smaller(p->m, p->n) * fx_type_size(p->kernel->packed);
    const bool pays = c <= SMALL_C || (c <= MEDIUM_C && share > LARGE_SHARE);
    if (pays && p->k_blocks >= SPLIT_BLOCKS && p->n <= SPLIT_COLUMNS && c * (size_t)p->threads <= SPLIT_BYTES)
        return FX_GEMM_SPLIT_K;
    return p->m >= p->n ? FX_GEMM_SHARE_RIGHT : FX_GEMM_SHARE_LEFT;
}

// A strip: FX_GEMM_STRIP_BYTES of copied patches, or a panel's worth of them if that is more.
static size_t strip_bytes(const FxGemmPlan *p, const FxMatrix *a, size_t rows, size_t width) {
    const size_t least = a->patch_rows ? FX_GEMM_STEP * rows : p->k_block * width;
    return round_up(larger(least * fx_type_size(a->type), FX_GEMM_STRIP_BYTES), 64);
}

// Panels, tasks and scratch, once the strategy and k_block stand.
static void cut_tasks(FxGemmPlan *p) {
    const FxGemmKernel *kernel = p->kernel;
    const FxMatrix *a = &p->product->a;
    const size_t mr = (size_t)kernel->mr, nr = (size_t)kernel->nr, images = (size_t)a->images;
    const size_t steps = round_up(p->k_block, FX_GEMM_STEP) * fx_type_size(kernel->packed);
    p->left_panel = round_up(steps * mr, 64) + 64; // 64 more: no two panels are a power of two apart
    p->right_panel = round_up((steps + fx_type_size(kernel->acc)) * nr, 64) + 64;
    const size_t left_panels = blocks(p->m, mr), right_panels = blocks(p->n, nr), parts = p->k_blocks;

    const size_t few = TASKS_PER_THREAD * (size_t)p->threads; // so that no thread waits long for the last task
    const size_t few_rows = round_up(blocks(p->m, few), mr), few_columns = round_up(blocks(p->n, few), nr);
    const size_t row_block = a->patch_rows ? ROW_BLOCK_STRIDED : ROW_BLOCK;
    p->columns = round_up(p->n, nr);
    switch (p->strategy) {
    case FX_GEMM_SHARE_RIGHT:
        p->rows = even_block(p->m, smaller(row_block, few_rows), mr);
        p->tasks = (int)blocks(p->m, p->rows);
        p->shared = right_panels * p->right_panel * parts * (size_t)p->planes;
        break;
    case FX_GEMM_SHARE_LEFT:
        p->rows = round_up(p->m, mr);
        p->columns = even_block(p->n, smaller(COLUMN_BLOCK, few_columns), nr);
        p->tasks = (int)blocks(p->n, p->columns);
        p->shared = left_panels * p->left_panel * parts;
        break;
    case FX_GEMM_SPLIT_K:
        p->rows = even_block(p->m, row_block, mr);
        p->tasks = (int)smaller(p->k_blocks, (size_t)p->threads);
        p->part = round_up(p->m * p->n * fx_type_size(p->product->c_type), 64);
        break;
    case FX_GEMM_BY_TAP:
        p->rows = even_block(images, ROW_BLOCK, mr);
        p->tasks = (int)(p->m / images * blocks(images, p->rows));
        p->shared = right_panels * p->right_panel * parts * (size_t)p->planes;
        p->sums = round_up(p->rows * p->n * fx_type_size(p->product->c_type), 64);
        break;
    }
    const bool shares_left = p->strategy == FX_GEMM_SHARE_LEFT;
    p->left = shares_left ? 0 : p->rows / mr * p->left_panel;
    p->right = shares_right(p) ? 0 : p->columns / nr * p->right_panel;
    p->strip = larger(strip_bytes(p, a, shares_left ? FX_GEMM_SHARED_ROWS : p->rows, mr),
                      strip_bytes(p, &p->product->b, shares_right(p) ? FX_GEMM_SHARED_ROWS : p->columns, nr));
}

FxGemmPlan fx_gemm_plan(const FxProduct *product, const FxWork *work) {
    FxGemmPlan p = {.product = product, .kernel = choose_kernel(product, work->cpu), .scratch = work->scratch};
    const FxGemmKernel *kernel = p.kernel;
    p.m = fx_matrix_rows(&product->a);
    p.n = fx_matrix_rows(&product->b);
    p.k = fx_matrix_k(&product->a);
    assert(p.k == fx_matrix_k(&product->b));
    assert(product->c_type == FX_INT32 || product->c_type == FX_INT64);
    p.threads = work->threads > 1 && p.m * p.n * p.k >= SERIAL ? work->threads : 1;
    p.direct = product->c_type == kernel->acc;
    const bool both_wide = is_wide(product->a.type) && is_wide(product->b.type);
    p.planes = kernel->packed == FX_INT16 && !p.direct && both_wide ? 2 : 1;
    const size_t c_bytes = p.m * p.n * fx_type_size(product->c_type);
    const size_t k_most = c_bytes > STREAM_C ? K_BLOCK_STREAM : K_BLOCK;
    p.k_block = even_block(p.k, smaller(k_most, exact_length(&p)), FX_GEMM_STEP);
    if (favours_taps(&product->a, p.k_block)) {
        p.strategy = FX_GEMM_BY_TAP;
        p.k_block = (size_t)product->a.channels;
    }
    p.k_blocks = blocks(p.k, p.k_block);
    if (p.strategy != FX_GEMM_BY_TAP)
        p.strategy = choose_strategy(&p);
    p.stream = p.direct && p.k_blocks == 1 && p.strategy != FX_GEMM_BY_TAP && c_bytes > STREAM_C &&
               (uintptr_t)product->c % 64 == 0 && p.n * fx_type_size(product->c_type) % 64 == 0;
    cut_tasks(&p);
    return p;
}
