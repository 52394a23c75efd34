#include "layers/add.h"

#include "layers/map_kernels.h"

#include <assert.h>
#include <string.h>

enum { MOST_APART = 24, LANES = 256 };

typedef struct Exponents {
    int least, most; // least > most: none
} Exponents;

static void take(Exponents *e, int exponent) {
    e->least = exponent < e->least ? exponent : e->least;
    e->most = exponent > e->most ? exponent : e->most;
}

static bool is_zero(const FxTensor *x) {
    const unsigned char *bytes = x->data;
    size_t size = x->count * fx_type_size(x->type);
    return size == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, size - 1));
}

// Looks at `lanes` channels row by row until all have shown a product that is not 0.
static void take_lanes(Exponents *e, const FxAddend *a, size_t first, size_t lanes) {
    int32_t seen[LANES] = {0};
    bool open = true;
    for (size_t row = first; open && row < a->x->count; row += a->channels) {
        const int32_t *x = (const int32_t *)a->x->data + row;
        open = false;
        for (size_t c = 0; c < lanes; c++) {
            seen[c] |= a->multiplier[first + c] ? x[c] : 1;
            open |= !seen[c];
        }
    }
    for (size_t c = 0; c < lanes; c++)
        if (seen[c] && a->multiplier[first + c])
            take(e, a->exponent[first + c]);
}

static void take_addend(Exponents *e, const FxAddend *a) {
    if (!a->multiplier) {
        if (!is_zero(a->x))
            take(e, a->x->exponent);
        return;
    }
    for (size_t c = 0; c < a->channels; c += LANES)
        take_lanes(e, a, c, a->channels - c < LANES ? a->channels - c : LANES);
}

// The exponent of a sum of zeros.
static int first_exponent(const FxAddend *a) {
    int most = a->multiplier ? a->exponent[0] : a->x->exponent;
    for (size_t c = 1; c < a->channels; c++)
        most = a->exponent[c] > most ? a->exponent[c] : most;
    return most;
}

typedef struct Context {
    const FxAddend *addends;
    int count, e;
    bool holds; // some addend is wide
    int64_t *y;
    const FxMapKernels *kernels;
} Context;

static bool is_wide(const FxAddend *a) {
    return a->multiplier || a->x->type == FX_INT64;
}

static void add_addend(const Context *c, const FxAddend *a, int64_t *y, size_t first, size_t n) {
    const void *x = fx_tensor_at(a->x, first);
    int shift = a->x->exponent - c->e;
    if (a->multiplier) {
        for (size_t i = 0, run; i < n; i += run) {
            size_t channel = (first + i) % a->channels;
            run = a->channels - channel < n - i ? a->channels - channel : n - i;
            c->kernels->add_products(y + i, (const int32_t *)x + i, a->multiplier + channel, a->exponent + channel, c->e, run);
        }
        return;
    }
    if (a->x->type == FX_INT64)
        c->kernels->add_wide(y, x, n, shift);
    else if (shift < 0)
        c->kernels->add_right[a->x->type](y, x, n, -shift);
    else
        c->kernels->add_left[a->x->type](y, x, n, shift < MOST_APART ? shift : MOST_APART); // beyond: all of x is 0
    if (c->holds && a->x->type != FX_INT64)
        c->kernels->hold(y, n);
}

static void range(void *context, size_t first, size_t n, FxStats *stats) {
    const Context *c = context;
    (void)stats;
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t length = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        memset(c->y + i, 0, length * sizeof *c->y);
        for (int k = 0; k < c->count; k++)
            add_addend(c, &c->addends[k], c->y + i, i, length);
    }
}

void fx_add(const FxAddend *addends, int count, const FxTensor *y, int *exponent, const FxWork *work) {
    Exponents e = {INT32_MAX, INT32_MIN};
    Context c = {.addends = addends, .count = count, .y = y->data, .kernels = fx_map_kernels(work->cpu)};
    assert(count >= 1 && count <= FX_MOST_ADDENDS && y->type == FX_INT64);
    for (int k = 0; k < count; k++) {
        const FxAddend *a = &addends[k];
        assert(a->x->count == y->count && a->x->data != y->data && (a->x->type <= FX_INT32 || a->x->type == FX_INT64));
        assert(!a->multiplier == !a->exponent && !a->multiplier == !a->channels);
        assert(!a->multiplier || (a->x->type == FX_INT32 && y->count % a->channels == 0));
        take_addend(&e, a);
        c.holds |= is_wide(a);
    }
    if (e.least > e.most)
        e.least = e.most = first_exponent(&addends[0]);
    *exponent = c.e = e.least > e.most - MOST_APART ? e.least : e.most - MOST_APART;
    fx_work_ranges(work, y->count, range, &c, NULL);
}
