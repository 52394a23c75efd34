#include "tests/slow_wage.h"

#include "formats/rng.h"

#include <stdlib.h>
#include <string.h>

static const SlowLaw nearest_even = {.name = "nearest-even"};

// Values of one tensor with the exponent of its unit.
typedef struct Codes {
    int64_t *x;
    size_t count;
    int exponent;
} Codes;

static Codes codes_new(size_t count, int exponent) {
    Codes c = {calloc(count + 1, sizeof *c.x), count, exponent};
    if (!c.x)
        abort();
    return c;
}

static void add(Recording *r, int layer, const char *what, const Codes *c) {
    recording_add(r, layer + 1, what, c->x, c->count, c->exponent);
}

static int64_t high_of(int bits) {
    return (int64_t)slow_power(bits - 1) - 1;
}

static Wide magnitude(Wide x) {
    return x < 0 ? -x : x;
}

// x / 2^shift rounded and held to +-high; a negative shift multiplies.
static int64_t coded(SlowWage *w, const SlowLaw *law, Wide x, int shift, uint32_t R, int64_t high) {
    Wide q = shift < 0 ? x * slow_power(-shift) : slow_round(law, x, shift, R);
    w->saturated += magnitude(q) > high;
    return (int64_t)(q > high ? high : q < -high ? -high : q);
}

// Whether x / 2^shift lies within +-high, unrounded.
static bool inside(Wide x, int shift, int64_t high) {
    return shift < 0 ? magnitude(x) * slow_power(-shift) <= high
                     : magnitude(x) <= high * slow_power(shift);
}

static uint64_t largest(const Codes *c) {
    uint64_t max = 0;
    for (size_t i = 0; i < c->count; i++)
        max = (uint64_t)magnitude(c->x[i]) > max ? (uint64_t)magnitude(c->x[i]) : max;
    return max;
}

Wide slow_root(Wide x) {
    Wide low = 0, high = slow_power(60);
    while (low < high) {
        Wide middle = (low + high + 1) / 2;
        if (middle * middle <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void slow_wage_init(SlowWage *w) {
    int fraction = w->weight - 1;
    w->loss = 0;
    w->wrong = w->ties = w->saturated = w->masked = w->changed = w->zero_tensors = 0;
    for (int l = 0; l < w->layers; l++) {
        size_t n = (size_t)w->sizes[l], count = n * (size_t)w->sizes[l + 1];
        Wide natural = slow_root(3 * slow_power(2 * fraction + 32) / (Wide)n),
             floor = 98304; // 1.5 * 2^16
        Wide S = natural > floor ? natural : floor;
        w->alpha[l] = 0; // 9/4 n >= 3 * 2^(2j + 2 k_W - 1)
        while (9 * (Wide)n >= 12 * slow_power(2 * w->alpha[l] + 2 * w->weight - 1))
            w->alpha[l]++;
        w->store[l] = codes_new(count, 0).x;
        for (size_t i = 0; i < count; i++) {
            Wide word = fx_rng_word((FxRng){w->seed, (uint32_t)(l + 1) * 256 + 128, 0}, i);
            Wide code =
                slow_floor((2 * word - slow_power(32)) * S + slow_power(47), slow_power(48));
            int64_t high = high_of(w->weight);
            code = (code > high    ? high
                    : code < -high ? -high
                                   : code) *
                   slow_power(w->gradient - w->weight);
            w->store[l][i] = (int64_t)(code > w->limit    ? w->limit
                                       : code < -w->limit ? -w->limit
                                                          : code);
        }
    }
}

void slow_wage_free(SlowWage *w) {
    for (int l = 0; l < w->layers; l++)
        free(w->store[l]);
    memset(w->store, 0, sizeof w->store);
}

static Codes input(SlowWage *w, const uint8_t *pixels, int images) {
    int f = w->activation - 1;
    Codes c = codes_new((size_t)images * (size_t)w->sizes[0], -f);
    for (size_t i = 0; i < c.count; i++) {
        Wide p = pixels[i], twice = 2 * p - 255;
        Wide code = w->unit ? (p * slow_power(f + 1) + 255) / 510
                            : (magnitude(twice) * slow_power(f + 1) + 255) / 510;
        c.x[i] = coded(w, &nearest_even, !w->unit && twice < 0 ? -code : code, 0, 0,
                       high_of(w->activation));
    }
    return c;
}

static Codes weights(SlowWage *w, int l) {
    Codes c = codes_new((size_t)w->sizes[l] * (size_t)w->sizes[l + 1], 1 - w->weight - w->alpha[l]);
    for (size_t i = 0; i < c.count; i++)
        c.x[i] =
            coded(w, &nearest_even, w->store[l][i], w->gradient - w->weight, 0, high_of(w->weight));
    return c;
}

// z[n][out] = sum over in of x[n][in] * t[in][out]
static Codes forward(const SlowWage *w, int l, const Codes *x, const Codes *t) {
    size_t in = (size_t)w->sizes[l], out = (size_t)w->sizes[l + 1], images = x->count / in;
    Codes z = codes_new(images * out, x->exponent + t->exponent);
    for (size_t n = 0; n < images; n++)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++)
                z.x[n * out + o] += x->x[n * in + i] * t->x[i * out + o];
    return z;
}

// dx[n][in] = sum over out of e[n][out] * t[in][out]
static Codes error_product(const SlowWage *w, int l, const Codes *e, const Codes *t) {
    size_t in = (size_t)w->sizes[l], out = (size_t)w->sizes[l + 1], images = e->count / out;
    Codes dx = codes_new(images * in, e->exponent + t->exponent);
    for (size_t n = 0; n < images; n++)
        for (size_t i = 0; i < in; i++)
            for (size_t o = 0; o < out; o++)
                dx.x[n * in + i] += e->x[n * out + o] * t->x[i * out + o];
    return dx;
}

// dw[in][out] = sum over n of x[n][in] * e[n][out]
static Codes gradient(const SlowWage *w, int l, const Codes *x, const Codes *e) {
    size_t in = (size_t)w->sizes[l], out = (size_t)w->sizes[l + 1], images = e->count / out;
    Codes dw = codes_new(in * out, x->exponent + e->exponent);
    for (size_t n = 0; n < images; n++)
        for (size_t i = 0; i < in; i++)
            for (size_t o = 0; o < out; o++)
                dw.x[i * out + o] += x->x[n * in + i] * e->x[n * out + o];
    return dw;
}

// Q_E
static Codes quantised_error(SlowWage *w, const Codes *e) {
    Codes q = codes_new(e->count, 1 - w->error);
    int ignored, fraction = w->error - 1;
    uint64_t max = largest(e);
    w->zero_tensors += max == 0;
    if (max == 0)
        return q;
    int shift = slow_scale(&ignored, w->scale, (uint64_t)high_of(w->error), fraction, fraction,
                           w->lower, max);
    for (size_t i = 0; i < e->count; i++)
        q.x[i] = coded(w, &nearest_even, e->x[i], shift, 0, high_of(w->error));
    return q;
}

// Q_G and the update
static void update(SlowWage *w, int l, const Codes *dw, uint64_t step, Recording *r) {
    Codes k = codes_new(dw->count, 1 - w->gradient), after = codes_new(dw->count, 1 - w->gradient);
    SlowLaw law = {.name = "stochastic", .variant = "below", .bits = w->random_bits};
    uint64_t max = largest(dw);
    w->zero_tensors += max == 0;
    for (size_t i = 0; i < dw->count; i++) {
        uint32_t word =
            fx_rng_word((FxRng){w->seed, (uint32_t)(l + 1) * 256 + 4, (uint32_t)step}, i);
        uint32_t R = (uint32_t)((Wide)word / slow_power(32 - w->random_bits));
        int64_t old = w->store[l][i];
        if (max)
            k.x[i] = coded(w, &law, (Wide)dw->x[i] * w->mantissa,
                           slow_log2_nearest(max) - w->exponent, R, high_of(w->gradient));
        w->store[l][i] = coded(w, &nearest_even, old - k.x[i], 0, 0, w->limit);
        w->changed += w->store[l][i] != old;
        after.x[i] = w->store[l][i];
    }
    add(r, l, "update", &k);
    add(r, l, "store.after", &after);
    free(k.x);
    free(after.x);
}

// ReLU and Q_A between layer l - 1 and l: z becomes max(z, 0); the codes are returned, the masks
// kept.
static Codes activate(SlowWage *w, int l, Codes *z, Codes *relu, Codes *pass, Recording *r) {
    Codes a = codes_new(z->count, 1 - w->activation);
    *relu = codes_new(z->count, 0);
    *pass = codes_new(z->count, 0);
    int shift = a.exponent - z->exponent;
    for (size_t i = 0; i < z->count; i++) {
        relu->x[i] = z->x[i] > 0;
        z->x[i] = z->x[i] > 0 ? z->x[i] : 0;
        pass->x[i] = inside(z->x[i], shift, high_of(w->activation));
        a.x[i] = coded(w, &nearest_even, z->x[i], shift, 0, high_of(w->activation));
    }
    add(r, l - 1, "relu", z);
    add(r, l - 1, "relu.mask", relu);
    add(r, l, "activation", &a);
    if (w->activation_clip)
        add(r, l, "activation.clip", pass);
    return a;
}

// The outputs as the loss sees them, the error, and which outputs lie in the grid of their
// quantiser.
static Codes output_error(SlowWage *w, const Codes *z, const uint8_t *labels, Codes *pass,
                          Recording *r) {
    size_t classes = (size_t)w->sizes[w->layers];
    Codes out = codes_new(z->count, w->logits ? 1 - w->logits : z->exponent),
          e = codes_new(z->count, out.exponent);
    *pass = codes_new(z->count, 0);
    for (size_t i = 0; i < z->count; i++) {
        int shift = out.exponent - z->exponent;
        out.x[i] =
            w->logits ? coded(w, &nearest_even, z->x[i], shift, 0, high_of(w->logits)) : z->x[i];
        pass->x[i] = !w->logits || inside(z->x[i], shift, high_of(w->logits));
        e.x[i] = out.x[i] -
                 (i % classes == labels[i / classes] ? (int64_t)slow_power(-out.exponent) : 0);
        w->loss += (Wide)e.x[i] * e.x[i];
    }
    for (size_t n = 0; n < z->count / classes; n++) {
        const int64_t *line = out.x + n * classes;
        size_t best = 0, top = 0;
        for (size_t c = 1; c < classes; c++)
            best = line[c] > line[best] ? c : best;
        for (size_t c = 0; c < classes; c++)
            top += line[c] == line[best];
        w->wrong += best != labels[n];
        w->ties += top > 1;
    }
    add(r, w->layers - 1, "logits", &out);
    add(r, w->layers - 1, "logits.error", &e);
    free(out.x);
    return e;
}

static void mask(SlowWage *w, Codes *c, const Codes *pass, bool counts) {
    for (size_t i = 0; i < c->count; i++) {
        w->masked += counts && !pass->x[i];
        c->x[i] = pass->x[i] ? c->x[i] : 0;
    }
}

// From dx of layer l to the error of layer l - 1: clip mask, Q_E, ReLU mask.
static Codes hand_down(SlowWage *w, int l, Codes *dx, const Codes *pass, const Codes *relu,
                       Recording *r) {
    if (w->activation_clip && !w->before_masks)
        mask(w, dx, pass, true);
    Codes e = quantised_error(w, dx);
    add(r, l - 1, "error.quantised", &e);
    if (w->activation_clip && w->before_masks)
        mask(w, &e, pass, true);
    mask(w, &e, relu, false);
    return e;
}

void slow_wage_step(SlowWage *w, const uint8_t *pixels, const uint8_t *labels, int images,
                    uint64_t step, Recording *r) {
    Codes x[SLOW_LAYERS], t[SLOW_LAYERS], relu[SLOW_LAYERS] = {{0}}, pass[SLOW_LAYERS] = {{0}},
                                          z = {0}, out_pass;
    int last = w->layers - 1;
    x[0] = input(w, pixels, images);
    add(r, 0, "input", &x[0]);
    for (int l = 0; l < w->layers; l++) {
        Codes before = {w->store[l], (size_t)w->sizes[l] * (size_t)w->sizes[l + 1],
                        1 - w->gradient};
        t[l] = weights(w, l);
        add(r, l, "store.before", &before);
        add(r, l, "weight", &t[l]);
        if (l > 0) {
            x[l] = activate(w, l, &z, &relu[l], &pass[l], r);
            free(z.x);
        }
        z = forward(w, l, &x[l], &t[l]);
        add(r, l, "sum.forward", &z);
    }
    Codes raw = output_error(w, &z, labels, &out_pass, r), e = quantised_error(w, &raw);
    add(r, last, "error.quantised", &e);
    if (w->logits && w->logits_clip)
        mask(w, &e, &out_pass, true);
    for (int l = last; l >= 0; l--) {
        Codes dw = gradient(w, l, &x[l], &e), dx = error_product(w, l, &e, &t[l]);
        add(r, l, "error", &e);
        add(r, l, "sum.gradient", &dw);
        if (l > 0)
            add(r, l, "sum.error", &dx);
        update(w, l, &dw, step, r);
        free(e.x);
        e = (Codes){0};
        if (l > 0)
            e = hand_down(w, l, &dx, &pass[l], &relu[l], r);
        free(dw.x);
        free(dx.x);
        free(x[l].x);
        free(t[l].x);
        free(relu[l].x);
        free(pass[l].x);
    }
    free(raw.x);
    free(z.x);
    free(out_pass.x);
}
