#include "tests/layer_of.h"

#include "formats/cpu.h"
#include "tests/cast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 64, GUARD_BYTE = 0x5a };

uint64_t draw(uint64_t n) {
    static uint64_t calls;
    return slow_mix(++calls) % n;
}

int any_threads(void) {
    return draw(32) ? 1 : 2 + (int)draw(2);
}

uint64_t type_max(FxType type) {
    switch (type) {
    case FX_INT8: return 128;
    case FX_UINT8: return 255;
    case FX_INT16: return 32768;
    default: return UINT64_C(1) << 31;
    }
}

FxTensor random_codes(FxType type, size_t count, bool half) {
    FxTensor t = tensor_new(type, count);
    int64_t max = (int64_t)type_max(type), low = type == FX_UINT8 ? 0 : -max, high = type == FX_UINT8 ? max : max - 1;
    if (half) {
        low /= 2;
        high /= 2;
    }
    for (size_t i = 0; i < count; i++)
        fx_tensor_set(&t, i, low + (int64_t)draw((uint64_t)(high - low + 1)));
    return t;
}

FxLayer layer_of(const Geometry *g) {
    FxError err = {0};
    bool conv = g->ops == &fx_conv_ops;
    FxLayer l = {.ops = g->ops, .count = g->co, .kernel = conv ? g->kernel : -1, .pad = conv ? g->pad : -1,
                 .stride = conv ? g->stride : -1, .in = {g->n, g->h, g->w, g->ci}};
    if (g->ops->plan(&l, "a layer", &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < FX_PRODUCTS; i++)
        l.accumulator[i].group = 1;
    l.max_product[FX_FORWARD] = type_max(g->x) * type_max(g->weight);
    l.max_product[FX_ERROR] = type_max(g->e) * type_max(g->weight);
    l.max_product[FX_GRADIENT] = type_max(g->x) * type_max(g->e);
    return l;
}

FxTensor random_x(const FxLayer *l, const Geometry *g) {
    return random_codes(g->x, fx_shape_count(l->in), false);
}

FxTensor random_e(const FxLayer *l, const Geometry *g) {
    return random_codes(g->e, fx_shape_count(l->out), false);
}

FxTensor random_w(const FxLayer *l, const Geometry *g) {
    return random_codes(g->weight, l->weights, false);
}

size_t product_k(const FxLayer *l, FxProductKind kind) {
    size_t taps = (size_t)l->kernel * (size_t)l->kernel;
    return kind == FX_FORWARD ? taps * (size_t)l->image.c
           : kind == FX_ERROR ? taps * (size_t)l->out.c
                              : (size_t)l->out.n * (size_t)l->out.h * (size_t)l->out.w;
}

size_t product_outputs(const FxLayer *l, FxProductKind kind) {
    return kind == FX_FORWARD ? fx_shape_count(l->out) : kind == FX_ERROR ? fx_shape_count(l->in) : l->weights;
}

static void *guarded(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 2 * GUARD);
    if (!p)
        fail_msg("no memory for %zu bytes", bytes);
    memset(p, GUARD_BYTE, (bytes + 63) / 64 * 64 + 2 * GUARD);
    return p + GUARD;
}

static void guarded_free(void *block, size_t bytes, const char *what) {
    char *p = block;
    for (size_t i = 1; i <= GUARD; i++)
        if (p[-(ptrdiff_t)i] != GUARD_BYTE || p[bytes + i - 1] != GUARD_BYTE)
            fail_msg("wrote outside the %s of %zu bytes", what, bytes);
    free(p - GUARD);
}

FxTensor product_run(const FxLayer *layer, FxProductKind kind, const FxTensor *left, const FxTensor *right, unsigned cpu,
                     int threads, FxAccumulatorCounts *counts) {
    FxLayer l = *layer;
    FxError err = {0};
    FxTensor sums = {.count = product_outputs(&l, kind)};
    if (fx_accumulator_type(&sums.type, &l.accumulator[kind], product_k(&l, kind), l.max_product[kind], "a product", &err))
        fail_msg("%s", err.text);
    size_t bytes = sums.count * fx_type_size(sums.type);
    sums.data = guarded(bytes);
    FxWork work = {.threads = threads, .cpu = cpu};
    FxProduct p = fx_layer_product(&l, kind, l.out.n, left, right, &sums);
    work.scratch_size = fx_accumulate_scratch(&p, &l.accumulator[kind], &work);
    work.scratch = guarded(work.scratch_size);
    l.weight = kind == FX_GRADIENT ? (FxTensor){0} : *right;
    if (kind == FX_FORWARD)
        l.ops->forward(&l, left, &sums, &work, counts);
    else if (kind == FX_ERROR)
        l.ops->backward_data(&l, left, &sums, &work, counts);
    else
        l.ops->backward_weights(&l, left, right, &sums, &work, counts);
    guarded_free(work.scratch, work.scratch_size, "scratch");
    FxTensor out = tensor_new(sums.type, sums.count);
    memcpy(out.data, sums.data, bytes);
    guarded_free(sums.data, bytes, "sums");
    return out;
}

// Element of n h w c data, 0 outside the image.
static Wide pixel(const FxTensor *t, FxShape s, int n, int y, int x, int c) {
    if (y < 0 || x < 0 || y >= s.h || x >= s.w)
        return 0;
    return fx_tensor_get(t, (size_t)(((n * s.h + y) * s.w + x) * s.c + c));
}

Wide product_term(const FxLayer *l, FxProductKind kind, const FxTensor *left, const FxTensor *right, size_t out, size_t k) {
    int o = (int)out, j = (int)k, size = l->kernel, s = l->stride, p = l->pad;
    FxShape in = l->image, to = l->out;
    if (kind == FX_FORWARD) {
        int co = o % to.c, ox = o / to.c % to.w, oy = o / to.c / to.w % to.h, n = o / to.c / to.w / to.h;
        int ci = j % in.c, kx = j / in.c % size, ky = j / in.c / size;
        return pixel(left, in, n, oy * s - p + ky, ox * s - p + kx, ci) *
               fx_tensor_get(right, (size_t)(((ky * size + kx) * in.c + ci) * to.c + co));
    }
    if (kind == FX_ERROR) {
        int ci = o % in.c, ix = o / in.c % in.w, iy = o / in.c / in.w % in.h, n = o / in.c / in.w / in.h;
        int co = j % to.c, kx = j / to.c % size, ky = j / to.c / size;
        if ((iy + p - ky) % s || (ix + p - kx) % s)
            return 0;
        return pixel(left, to, n, (iy + p - ky) / s, (ix + p - kx) / s, co) *
               fx_tensor_get(right, (size_t)(((ky * size + kx) * in.c + ci) * to.c + co));
    }
    int co = o % to.c, ci = o / to.c % in.c, kx = o / to.c / in.c % size, ky = o / to.c / in.c / size;
    int n, oy, ox;
    if (l->accumulator[kind].order == FX_ORDER_OH_OW_N) {
        n = j % to.n;
        ox = j / to.n % to.w;
        oy = j / to.n / to.w;
    } else {
        ox = j % to.w;
        oy = j / to.w % to.h;
        n = j / to.w / to.h;
    }
    return pixel(left, in, n, oy * s - p + ky, ox * s - p + kx, ci) * pixel(right, to, n, oy, ox, co);
}

bool cpu_level(int i, unsigned *cpu) {
    FxError err;
    return fx_cpu_level(i) && fx_cpu_parse(cpu, fx_cpu_level(i), &err) == 0;
}

unsigned any_cpu(void) {
    unsigned cpu = 0, found = 0;
    for (int i = 0; cpu_level(i, &cpu); i++)
        if (draw((uint64_t)i + 1) == 0)
            found = cpu;
    return found;
}

void geometry_print(char *text, size_t size, const Geometry *g) {
    snprintf(text, size, "%s n %d h %d w %d ci %d co %d kernel %d stride %d pad %d, x %s w %s e %s", g->ops->name, g->n, g->h,
             g->w, g->ci, g->co, g->kernel, g->stride, g->pad, fx_type_name(g->x), fx_type_name(g->weight),
             fx_type_name(g->e));
}
