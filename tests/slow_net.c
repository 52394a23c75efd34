#include "tests/slow_net.h"

#include "formats/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *zeros(size_t n) {
    double *x = calloc(n + 1, sizeof *x);
    if (!x)
        abort();
    return x;
}

double slow_net_scalar(double x) {
    int power;
    double part = frexp(x, &power);
    return ldexp(rint(part * 32768) / 32768, power);
}

// ---- shapes -----------------------------------------------------------------------------------------------------------

// One item: [count]LETTERS[kernel] and then sN, pN; a bare number is a fully connected output.
static SlowNetLayer item_of(const char *text) {
    SlowNetLayer l = {.kernel = 1, .stride = 1};
    char letters[3] = "";
    int used = 0, count = 0;
    while (*text >= '0' && *text <= '9')
        count = count * 10 + *text++ - '0';
    while (*text >= 'A' && *text <= 'Z' && used < 2)
        letters[used++] = *text++;
    l.kind = letters[0] == 'C' ? SLOW_CONV : letters[0] == 'M' ? SLOW_POOL : SLOW_FC;
    l.out_c = count;
    if (l.kind == SLOW_FC)
        return l;
    l.kernel = atoi(text);
    l.stride = l.kind == SLOW_POOL ? l.kernel : 1;
    l.pad = l.kind == SLOW_POOL ? 0 : (l.kernel - 1) / 2;
    if (strchr(text, 's'))
        l.stride = atoi(strchr(text, 's') + 1);
    if (strchr(text, 'p'))
        l.pad = atoi(strchr(text, 'p') + 1);
    return l;
}

static void shape(SlowNetLayer *l, int h, int w, int c) {
    l->in_h = h;
    l->in_w = w;
    l->in_c = c;
    if (l->kind == SLOW_FC) { // one row of inputs
        l->in_h = l->in_w = 1;
        l->in_c = h * w * c;
    }
    l->out_h = (l->in_h + 2 * l->pad - l->kernel) / l->stride + 1;
    l->out_w = (l->in_w + 2 * l->pad - l->kernel) / l->stride + 1;
    if (l->kind == SLOW_POOL)
        l->out_c = c;
}

static size_t inputs(const SlowNetLayer *l) {
    return (size_t)l->in_h * (size_t)l->in_w * (size_t)l->in_c;
}

static size_t outputs(const SlowNetLayer *l) {
    return (size_t)l->out_h * (size_t)l->out_w * (size_t)l->out_c;
}

void slow_net_init(SlowNet *net) {
    char text[128], *save = NULL;
    int h = net->h, w = net->w, c = net->c, products = 0;
    snprintf(text, sizeof text, "%s", net->notation);
    net->layers = 0;
    for (char *item = strtok_r(text, "-", &save); item; item = strtok_r(NULL, "-", &save)) {
        SlowNetLayer *l = &net->layer[net->layers++];
        bool last = !*save;
        *l = item_of(item);
        shape(l, h, w, c);
        h = l->out_h;
        w = l->out_w;
        c = l->out_c;
        if (l->kind == SLOW_POOL)
            continue;
        size_t fan_in = (size_t)l->kernel * (size_t)l->kernel * (size_t)l->in_c;
        l->weights = fan_in * (size_t)l->out_c;
        l->biases = net->bias ? (size_t)l->out_c : 0;
        l->w = zeros(l->weights + l->biases);
        l->m = zeros(l->weights + l->biases);
        l->v = zeros(l->weights + l->biases);
        l->dw = zeros(l->weights + l->biases);
        products++;
        for (size_t i = 0; i < l->weights; i++) {
            double word = fx_rng_word((FxRng){net->seed, (uint32_t)products * 256 + 128, 0}, i);
            l->w[i] = (double)(float)((2 * word + 1 - ldexp(1, 32)) * ldexp(1, -32) * sqrt((last ? 3.0 : 6.0) / (double)fan_in));
        }
    }
    net->classes = c;
    for (int i = 0; i < net->layers; i++) {
        SlowNetLayer *l = &net->layer[i];
        l->x = zeros((size_t)net->batch * inputs(l));
        l->dx = zeros((size_t)net->batch * inputs(l));
        l->y = zeros((size_t)net->batch * outputs(l));
        l->e = zeros((size_t)net->batch * outputs(l));
    }
}

void slow_net_free(SlowNet *net) {
    for (int i = 0; i < net->layers; i++) {
        SlowNetLayer *l = &net->layer[i];
        double *all[] = {l->w, l->m, l->v, l->x, l->y, l->e, l->dx, l->dw};
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            free(all[j]);
    }
    net->layers = 0;
}

// ---- forward and backward ---------------------------------------------------------------------------------------------

static size_t at(int n, int y, int x, int c, int h, int w, int channels) {
    return (((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)channels + (size_t)c;
}

// The place in the input that output (oy, ox) reads through tap (ky, kx); false: the padding.
static bool reads(const SlowNetLayer *l, int oy, int ox, int ky, int kx, int *y, int *x) {
    *y = oy * l->stride - l->pad + ky;
    *x = ox * l->stride - l->pad + kx;
    return *y >= 0 && *y < l->in_h && *x >= 0 && *x < l->in_w;
}

// What a product does with every pair of an input and an output that a weight joins.
typedef void Pair(SlowNetLayer *l, size_t input, size_t output, size_t weight);

static void pair_forward(SlowNetLayer *l, size_t input, size_t output, size_t weight) {
    l->y[output] += l->x[input] * l->w[weight];
}

static void pair_backward(SlowNetLayer *l, size_t input, size_t output, size_t weight) {
    l->dx[input] += l->e[output] * l->w[weight];
    l->dw[weight] += l->e[output] * l->x[input];
}

static void product(SlowNetLayer *l, int n, Pair *pair) {
    for (int image = 0; image < n; image++)
        for (int oy = 0; oy < l->out_h; oy++)
            for (int ox = 0; ox < l->out_w; ox++)
                for (int ky = 0; ky < l->kernel; ky++)
                    for (int kx = 0; kx < l->kernel; kx++)
                        for (int c = 0; c < l->in_c; c++)
                            for (int o = 0; o < l->out_c; o++) {
                                int y, x;
                                if (reads(l, oy, ox, ky, kx, &y, &x))
                                    pair(l, at(image, y, x, c, l->in_h, l->in_w, l->in_c), at(image, oy, ox, o, l->out_h, l->out_w, l->out_c),
                                         at(ky, kx, c, o, l->kernel, l->in_c, l->out_c));
                            }
}

// The first largest number of a window: a place in x.
static size_t winner(const SlowNetLayer *l, int image, int oy, int ox, int c) {
    size_t best = SIZE_MAX;
    for (int ky = 0; ky < l->kernel; ky++)
        for (int kx = 0; kx < l->kernel; kx++) {
            int y, x;
            if (!reads(l, oy, ox, ky, kx, &y, &x))
                continue;
            size_t i = at(image, y, x, c, l->in_h, l->in_w, l->in_c);
            best = best == SIZE_MAX || l->x[i] > l->x[best] ? i : best;
        }
    return best;
}

static void pool(SlowNetLayer *l, int n, bool backward) {
    for (int image = 0; image < n; image++)
        for (int oy = 0; oy < l->out_h; oy++)
            for (int ox = 0; ox < l->out_w; ox++)
                for (int c = 0; c < l->out_c; c++) {
                    size_t out = at(image, oy, ox, c, l->out_h, l->out_w, l->out_c), in = winner(l, image, oy, ox, c);
                    if (backward)
                        l->dx[in] += l->e[out];
                    else
                        l->y[out] = l->x[in];
                }
}

static bool rectifies(const SlowNet *net, int i) {
    bool behind_a_product = false;
    for (int j = 0; j < i; j++)
        behind_a_product |= net->layer[j].kind != SLOW_POOL;
    return behind_a_product && net->layer[i].kind != SLOW_POOL;
}

// log(sum of exp(y)) of one image, and the share of each class in that sum.
static double log_sum(double *share, const double *y, int classes) {
    double top = y[0], sum = 0;
    for (int c = 1; c < classes; c++)
        top = y[c] > top ? y[c] : top;
    for (int c = 0; c < classes; c++)
        sum += exp(y[c] - top);
    for (int c = 0; c < classes; c++)
        share[c] = exp(y[c] - top) / sum;
    return top + log(sum);
}

void slow_net_forward(SlowNet *net, const double *images, const uint8_t *labels, int n) {
    const double *from = images;
    double share[256];
    for (int i = 0; i < net->layers; i++) {
        SlowNetLayer *l = &net->layer[i];
        size_t out = (size_t)n * outputs(l);
        for (size_t j = 0; j < (size_t)n * inputs(l); j++)
            l->x[j] = rectifies(net, i) && from[j] < 0 ? 0 : from[j];
        for (size_t j = 0; j < out && l->kind != SLOW_POOL; j++)
            l->y[j] = l->biases ? l->w[l->weights + j % l->biases] : 0;
        if (l->kind == SLOW_POOL)
            pool(l, n, false);
        else
            product(l, n, pair_forward);
        from = l->y;
    }
    net->loss = 0;
    for (int image = 0; image < n; image++) {
        const double *y = from + image * net->classes;
        if (net->softmax) {
            net->loss += log_sum(share, y, net->classes) - y[labels[image]];
            continue;
        }
        for (int c = 0; c < net->classes; c++)
            net->loss += (y[c] - (c == labels[image])) * (y[c] - (c == labels[image])) / 2;
    }
}

static double loss_scale_of(const SlowNet *net) {
    return net->loss_scale > 0 ? net->loss_scale : 1;
}

double slow_net_objective(const SlowNet *net) {
    return loss_scale_of(net) * (net->softmax ? net->loss / net->batch : net->loss);
}

void slow_net_backward(SlowNet *net, const uint8_t *labels, int n) {
    SlowNetLayer *last = &net->layer[net->layers - 1];
    double share[256];
    for (int image = 0; image < n; image++) {
        const double *y = last->y + image * net->classes;
        log_sum(share, y, net->classes);
        for (int c = 0; c < net->classes; c++) {
            double wanted = c == labels[image], e = net->softmax ? (share[c] - wanted) / net->batch : y[c] - wanted;
            last->e[image * net->classes + c] = e * loss_scale_of(net);
        }
    }
    for (int i = net->layers - 1; i >= 0; i--) {
        SlowNetLayer *l = &net->layer[i];
        memset(l->dx, 0, (size_t)n * inputs(l) * sizeof *l->dx);
        if (l->kind == SLOW_POOL) {
            pool(l, n, true);
        } else {
            memset(l->dw, 0, (l->weights + l->biases) * sizeof *l->dw);
            product(l, n, pair_backward);
            for (size_t j = 0; l->biases && j < (size_t)n * outputs(l); j++)
                l->dw[l->weights + j % l->biases] += l->e[j];
        }
        for (size_t j = 0; i > 0 && j < (size_t)n * inputs(l); j++)
            net->layer[i - 1].e[j] = rectifies(net, i) && !(l->x[j] > 0) ? 0 : l->dx[j];
    }
}

// ---- update -----------------------------------------------------------------------------------------------------------

static void update_one(const SlowNet *net, double *w, double *m, double *v, double dw, uint64_t done) {
    double g = dw / loss_scale_of(net) + net->decay * *w, t = (double)done + 1;
    switch (net->rule) {
    case SLOW_SGD:
        *m = net->momentum * *m + g;
        *w -= net->rate * (net->nesterov ? g + net->momentum * *m : *m);
        break;
    case SLOW_SGD_INNER:
        *m = net->momentum * *m - net->rate * g;
        *w += *m;
        break;
    case SLOW_ADAM:
        *m = net->beta1 * *m + (1 - net->beta1) * g;
        *v = net->beta2 * *v + (1 - net->beta2) * g * g;
        *w -= net->rate * (*m / (1 - pow(net->beta1, t))) / (sqrt(*v / (1 - pow(net->beta2, t))) + net->epsilon);
        break;
    }
}

void slow_net_update(SlowNet *net, uint64_t done) {
    for (int i = 0; i < net->layers; i++) {
        SlowNetLayer *l = &net->layer[i];
        for (size_t j = 0; j < l->weights + l->biases; j++)
            update_one(net, &l->w[j], &l->m[j], &l->v[j], l->dw[j], done);
    }
}
