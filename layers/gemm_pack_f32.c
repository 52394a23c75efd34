// Packing of float32 products: parts of matrix views as float32 values, in the orders that the tiles read.
#include "layers/gemm_kernel_f32.h"

#include <string.h>

static bool is_plain(const FxMatrix *a) {
    return a->kernel_height == 1 && a->kernel_width == 1 && a->stride == 1 && a->pad == 0 &&
           a->out_height == a->height && a->out_width == a->width;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

enum { AHEAD = 16 }; // lines to fetch ahead

// Lines of a view in memory, of its own type: positions [line, line + lines), elements [at, at + count) of each.
typedef struct Lines {
    const FxMatrix *from;
    size_t line, lines, at, count;
} Lines;

static Lines lines_of(const FxPartF32 *p) {
    if (p->from->patch_rows)
        return (Lines){p->from, p->k0, p->k, p->row, p->rows};
    return (Lines){p->from, p->row, p->rows, p->k0, p->k};
}

static inline const char *plain_line(const FxMatrix *a, size_t line, size_t at) {
    return (const char *)a->data + (line * (size_t)a->channels + at) * fx_type_size(a->type);
}

// One line as values. The product with a power of two is exact.
static void convert(float *out, const char *line, FxType type, float unit, size_t count) {
    switch (type) {
    case FX_INT8:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const int8_t *)line)[i] * unit;
        return;
    case FX_UINT8:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const uint8_t *)line)[i] * unit;
        return;
    case FX_INT16:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const int16_t *)line)[i] * unit;
        return;
    case FX_INT32:
        for (size_t i = 0; i < count; i++)
            out[i] = (float)((const int32_t *)line)[i] * unit;
        return;
    default:
        if (unit == 1) {
            memcpy(out, line, count * sizeof *out);
            return;
        }
        for (size_t i = 0; i < count; i++)
            out[i] = ((const float *)(const void *)line)[i] * unit;
    }
}

// Lines as values, `step` apart. strip: half of FX_F32_STRIP_BYTES, at least one line.
static void copy_lines(float *out, size_t step, Lines l, float unit, char *strip) {
    const FxMatrix *a = l.from;
    const size_t size = fx_type_size(a->type);
    if (is_plain(a) && a->type == FX_FLOAT32 && l.count == 32 && unit == 1) { // a panel's line, too short for a call
        for (size_t i = 0; i < l.lines; i++)
            memcpy(out + i * step, plain_line(a, l.line + i, l.at), 32 * sizeof *out);
        return;
    }
    if (is_plain(a)) {
        for (size_t i = 0; i < l.lines; i++) {
            // parts of long lines: too short for the hardware to see where they go on
            if (i + AHEAD < l.lines && l.count < (size_t)a->channels)
                for (size_t j = 0; j < l.count * size; j += 64)
                    __builtin_prefetch(plain_line(a, l.line + i + AHEAD, l.at) + j);
            convert(out + i * step, plain_line(a, l.line + i, l.at), a->type, unit, l.count);
        }
        return;
    }
    if (a->type == FX_FLOAT32) {
        fx_matrix_patches(out, step, a, l.line, l.lines, l.at, l.count);
        for (size_t i = 0; unit != 1 && i < l.lines; i++)
            for (size_t j = 0; j < l.count; j++)
                out[i * step + j] *= unit;
        return;
    }
    const size_t most = FX_F32_STRIP_BYTES / 2 / (l.count * size);
    for (size_t done = 0; done < l.lines; done += most) {
        const size_t lines = smaller(most, l.lines - done);
        fx_matrix_patches(strip, l.count, a, l.line + done, lines, l.at, l.count);
        for (size_t i = 0; i < lines; i++)
            convert(out + (done + i) * step, strip + i * l.count * size, a->type, unit, l.count);
    }
}

// The lines of a part, one by one where the view has them elsewhere.
static void copy_part(float *out, size_t step, const FxPartF32 *part, char *strip) {
    if (part->images == 0) {
        copy_lines(out, step, lines_of(part), part->unit, strip);
        return;
    }
    size_t image = part->k0 % part->images, place = part->k0 / part->images;
    for (size_t i = 0; i < part->k; i++, out += step) {
        copy_lines(out, step, (Lines){part->from, image * part->places + place, 1, part->row, part->rows}, part->unit, strip);
        if (++image == part->images) {
            image = 0;
            place++;
        }
    }
}

void fx_gemm_pack_left_f32(float *out, size_t step, const FxPartF32 *part, char *strip) {
    copy_part(out, step, part, strip);
}

// Rows a multiple of 2 KiB apart share so few sets of the first cache that a tile's would displace each other.
const float *fx_gemm_left_in_place_f32(const FxPartF32 *part) {
    const FxMatrix *a = part->from;
    if (a->type != FX_FLOAT32 || part->unit != 1 || a->patch_rows || !is_plain(a) || a->channels % 512 == 0)
        return NULL;
    return (const float *)plain_line(a, part->row, part->k0);
}

// A panel whose operand's lines are rows. Missing rows are 0.
static void transpose_panel(float *out, const FxKernelF32 *kernel, const FxPartF32 *part, char *strip) {
    const FxMatrix *b = part->from;
    const size_t nr = (size_t)kernel->nr;
    float *const values = (float *)(strip + FX_F32_STRIP_BYTES / 2);
    if (b->type == FX_FLOAT32 && is_plain(b) && part->rows == nr && part->unit == 1) {
        kernel->transpose(out, (const float *)plain_line(b, part->row, part->k0), (size_t)b->channels, part->k);
        return;
    }
    for (size_t done = 0; done < part->k; done += FX_F32_PART) {
        const Lines l = {b, part->row, part->rows, part->k0 + done, smaller(FX_F32_PART, part->k - done)};
        copy_lines(values, FX_F32_PART, l, part->unit, strip);
        memset(values + part->rows * FX_F32_PART, 0, (nr - part->rows) * FX_F32_PART * sizeof *values);
        kernel->transpose(out + done * nr, values, FX_F32_PART, l.count);
    }
}

void fx_gemm_pack_right_f32(float *panels, size_t panel, const FxKernelF32 *kernel, const FxPartF32 *part,
                            char *strip) {
    const size_t nr = (size_t)kernel->nr;
    for (size_t done = 0; done < part->rows; done += nr, panels += panel) {
        FxPartF32 one = *part;
        one.row += done;
        one.rows = smaller(nr, part->rows - done);
        if (!one.from->patch_rows) {
            transpose_panel(panels, kernel, &one, strip);
            continue;
        }
        copy_part(panels, nr, &one, strip);
        for (size_t k = 0; one.rows < nr && k < one.k; k++)
            memset(panels + k * nr + one.rows, 0, (nr - one.rows) * sizeof *panels);
    }
}
