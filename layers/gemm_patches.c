// Matrix views: what stands in a view's rows and columns, and copies of parts of it in row-major order (im2col).
// Forward taps of one kernel row are one contiguous run of up to kernel_width * channels elements, clipped at the
// image's borders; gather taps are runs of one position's channels.
#include "layers/gemm.h"

#include <assert.h>
#include <string.h>

FxMatrix fx_matrix_plain(const void *data, FxType type, int rows, int columns, bool k_is_row) {
    return (FxMatrix){.data = data, .type = type, .images = rows, .height = 1, .width = 1,
                      .channels = columns, .out_height = 1, .out_width = 1, .kernel_height = 1,
                      .kernel_width = 1, .stride = 1, .pad = 0, .gather = false, .patch_rows = k_is_row};
}

static size_t positions_of(const FxMatrix *a) {
    return (size_t)a->images * (size_t)a->out_height * (size_t)a->out_width;
}

static size_t patch_of(const FxMatrix *a) {
    return (size_t)a->kernel_height * (size_t)a->kernel_width * (size_t)a->channels;
}

size_t fx_matrix_rows(const FxMatrix *a) {
    return a->patch_rows ? patch_of(a) : positions_of(a);
}

size_t fx_matrix_k(const FxMatrix *a) {
    return a->patch_rows ? positions_of(a) : patch_of(a);
}

// Copies `count` runs of `bytes` bytes. Short runs need no call: two words that overlap, or many.
static void copy_runs(char *out, size_t out_step, const char *in, size_t in_step, size_t count, size_t bytes) {
    if (bytes < 4) {
        for (; count > 0; count--, out += out_step, in += in_step)
            for (size_t i = 0; i < bytes; i++)
                out[i] = in[i];
    } else if (bytes <= 8) {
        for (; count > 0; count--, out += out_step, in += in_step) {
            memcpy(out, in, 4);
            memcpy(out + bytes - 4, in + bytes - 4, 4);
        }
    } else if (bytes <= 16) {
        for (; count > 0; count--, out += out_step, in += in_step) {
            memcpy(out, in, 8);
            memcpy(out + bytes - 8, in + bytes - 8, 8);
        }
    } else if (bytes <= 512) {
        for (; count > 0; count--, out += out_step, in += in_step) {
            size_t i = 0;
            for (; i + 64 < bytes; i += 64)
                memcpy(out + i, in + i, 64);
            for (; i + 16 < bytes; i += 16)
                memcpy(out + i, in + i, 16);
            memcpy(out + bytes - 16, in + bytes - 16, 16);
        }
    } else {
        for (; count > 0; count--, out += out_step, in += in_step)
            memcpy(out, in, bytes);
    }
}

static void zero_runs(char *out, size_t out_step, size_t count, size_t bytes) {
    for (; count > 0; count--, out += out_step)
        memset(out, 0, bytes);
}

// Neighbouring positions x .. x + count - 1 of an output row.
typedef struct Run {
    size_t image;
    int y, x, count;
} Run;

// Elements [from, to) of kernel row ky, forward taps, for each position of a run.
static void forward_runs(char *out, size_t out_step, const FxMatrix *a, size_t size, Run r, int ky, int64_t from,
                         int64_t to) {
    const int64_t line = (int64_t)a->width * a->channels;
    const int iy = r.y * a->stride - a->pad + ky;
    if (iy < 0 || iy >= a->height) {
        zero_runs(out, out_step, (size_t)r.count, (size_t)(to - from) * size);
        return;
    }
    const char *row = (const char *)a->data + (r.image * (size_t)a->height + (size_t)iy) * (size_t)line * size;
    const int64_t step = (int64_t)a->stride * a->channels;
    int64_t start = (int64_t)(r.x * a->stride - a->pad) * a->channels; // of a position's kernel row in the image row
    for (int i = 0; i < r.count;) {
        if (start + from >= 0 && start + to <= line) { // this one and its followers are inside
            const int64_t inside = (line - to - start) / step + 1;
            const int count = inside < r.count - i ? (int)inside : r.count - i;
            copy_runs(out, out_step, row + (size_t)(start + from) * size, (size_t)step * size, (size_t)count,
                      (size_t)(to - from) * size);
            i += count;
            start += count * step;
            out += (size_t)count * out_step;
            continue;
        }
        int64_t low = start + from < 0 ? -start : from, high = start + to > line ? line - start : to;
        low = low > to ? to : low;
        high = high < low ? low : high;
        memset(out, 0, (size_t)(low - from) * size);
        if (high > low)
            memcpy(out + (size_t)(low - from) * size, row + (size_t)(start + low) * size, (size_t)(high - low) * size);
        memset(out + (size_t)(high - from) * size, 0, (size_t)(to - high) * size);
        i++;
        start += step;
        out += out_step;
    }
}

// Place of tap k of output coordinate o in the error image, or -1.
static inline int gather_tap(int o, int k, int pad, int stride, int limit) {
    const int t = o + pad - k;
    if (t < 0 || t % stride != 0)
        return -1;
    return t / stride < limit ? t / stride : -1;
}

// Channels [from, to) of tap (ky, kx), gather taps, for each position of a run.
static void gather_runs(char *out, size_t out_step, const FxMatrix *a, size_t size, Run r, int ky, int kx, size_t from,
                        size_t to) {
    const size_t channels = (size_t)a->channels, bytes = (to - from) * size;
    const int iy = gather_tap(r.y, ky, a->pad, a->stride, a->height);
    if (iy < 0) {
        zero_runs(out, out_step, (size_t)r.count, bytes);
        return;
    }
    const size_t first = (r.image * (size_t)a->height + (size_t)iy) * (size_t)a->width;
    const char *row = (const char *)a->data + (first * channels + from) * size;
    for (int i = 0; i < r.count;) {
        const int ix = gather_tap(r.x + i, kx, a->pad, a->stride, a->width);
        int count = 1;
        if (ix < 0) {
            memset(out, 0, bytes);
        } else {
            if (a->stride == 1)
                count = r.count - i < a->width - ix ? r.count - i : a->width - ix;
            copy_runs(out, out_step, row + (size_t)ix * channels * size, channels * size, (size_t)count, bytes);
        }
        i += count;
        out += (size_t)count * out_step;
    }
}

// All positions, one contiguous part of the patch at a time: kernel rows (forward) or taps (gather).
static void run_patches(char *out, size_t out_step, const FxMatrix *a, size_t size, Run r, size_t patch0,
                        size_t patches) {
    const size_t unit = (size_t)a->channels * (size_t)(a->gather ? 1 : a->kernel_width);
    int part = (int)(patch0 / unit);
    size_t from = patch0 % unit;
    for (size_t done = 0; done < patches; part++) {
        const size_t to = unit - from < patches - done ? unit : from + patches - done;
        char *const to_out = out + done * size;
        if (a->gather)
            gather_runs(to_out, out_step, a, size, r, part / a->kernel_width, part % a->kernel_width, from, to);
        else
            forward_runs(to_out, out_step, a, size, r, part, (int64_t)from, (int64_t)to);
        done += to - from;
        from = 0;
    }
}

void fx_matrix_patches(void *out, size_t out_stride, const FxMatrix *a, size_t position0, size_t positions,
                       size_t patch0, size_t patches) {
    assert(position0 + positions <= positions_of(a) && patch0 + patches <= patch_of(a));
    if (patches == 0)
        return;
    const size_t size = fx_type_size(a->type), plane = (size_t)a->out_height * (size_t)a->out_width;
    Run r = {position0 / plane, (int)(position0 % plane / (size_t)a->out_width),
             (int)(position0 % (size_t)a->out_width), 0};
    char *row = out;
    for (size_t left = positions; left > 0; left -= (size_t)r.count) {
        r.count = a->out_width - r.x;
        if ((size_t)r.count > left)
            r.count = (int)left;
        run_patches(row, out_stride * size, a, size, r, patch0, patches);
        row += (size_t)r.count * out_stride * size;
        r.x = 0;
        if (++r.y == a->out_height) {
            r.y = 0;
            r.image++;
        }
    }
}
