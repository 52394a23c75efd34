#include "tests/slow_step.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

// ---- forward --------------------------------------------------------------------------------------------------------------

static bool reads_site(const SlowStep *s, const SlowNode *n, FxSite site) {
    bool added = false;
    switch (site) {
    case FX_SITE_PREACT_ERROR: return n->kind == SLOW_NORM || n->kind == SLOW_ADD;
    case FX_SITE_SUM: return n->kind == SLOW_ADD;
    case FX_SITE_SUM_ERROR: return n->readers > 1;
    case FX_SITE_PREACT:
        for (int i = 0; n->kind == SLOW_PRODUCT && i < s->nodes; i++)
            added |= s->node[i].kind == SLOW_ADD && (&s->node[s->node[i].input] == n || &s->node[s->node[i].shortcut] == n);
        return added || n->kind == SLOW_NORM;
    default: return false;
    }
}

// A second node of the same id and role begins at 2^40.
uint64_t slow_step_word(const SlowStep *s, const SlowNode *node, FxSite site) {
    uint64_t ordinal = 0;
    for (const SlowNode *n = s->node; n < node; n++)
        ordinal += n->id == node->id && reads_site(s, n, site);
    return ordinal << 40;
}

static SlowValues at_site(SlowStep *s, SlowNode *node, FxSite site, const SlowValues *x) {
    return slow_step_round(s, node, site, x, slow_step_word(s, node, site), NULL);
}

static SlowValues output(SlowStep *s, const SlowNode *node) {
    return slow_step_values(s, (size_t)(s->images * node->oh * node->ow * node->oc), node->oc, 0);
}

// Calls f for every product x * w of a convolution, with the places of y, x and w.
typedef void Term(int64_t *out, const int64_t *a, const int64_t *b, size_t y, size_t x, size_t w);

static void convolve(const SlowStep *s, const SlowNode *l, Term *f, int64_t *out, const int64_t *a, const int64_t *b) {
    for (int n = 0; n < s->images; n++)
        for (int oh = 0; oh < l->oh; oh++)
            for (int ow = 0; ow < l->ow; ow++)
                for (int kh = 0; kh < l->kernel; kh++)
                    for (int kw = 0; kw < l->kernel; kw++) {
                        const int h = oh * l->stride - l->pad + kh, w = ow * l->stride - l->pad + kw;
                        if (h < 0 || h >= l->ih || w < 0 || w >= l->iw)
                            continue;
                        for (int ci = 0; ci < l->ic; ci++)
                            for (int co = 0; co < l->oc; co++)
                                f(out, a, b, (size_t)(((n * l->oh + oh) * l->ow + ow) * l->oc + co),
                                  (size_t)(((n * l->ih + h) * l->iw + w) * l->ic + ci), (size_t)(((kh * l->kernel + kw) * l->ic + ci) * l->oc + co));
                    }
}

static void term_forward(int64_t *out, const int64_t *a, const int64_t *b, size_t y, size_t x, size_t w) { out[y] += a[x] * b[w]; }
static void term_error(int64_t *out, const int64_t *a, const int64_t *b, size_t y, size_t x, size_t w) { out[x] += a[y] * b[w]; }
static void term_gradient(int64_t *out, const int64_t *a, const int64_t *b, size_t y, size_t x, size_t w) { out[w] += a[y] * b[x]; }

static SlowValues weights(SlowStep *s, SlowNode *node, FxSite site) {
    const FxQuantiser *q = &slow_step_site(s, node, FX_SITE_STORE)->q;
    const SlowValues kept = {node->kept[0].w, node->kept[0].n, node->oc, q->scale.parameter[0] - q->grid.fraction, NULL};
    return slow_step_round(s, node, site, &kept, 0, NULL);
}

static void forward_product(SlowStep *s, SlowNode *node, const SlowValues *input) {
    const SlowValues w = weights(s, node, FX_SITE_WEIGHT);
    node->x = *input;
    slow_step_tell(s, node, "weight", &w);
    if (node->id > 1) {
        const FxSiteConfig *site = slow_step_site(s, node, FX_SITE_ACTIVATION);
        node->x = at_site(s, node, FX_SITE_ACTIVATION, input);
        slow_step_tell(s, node, "activation", &node->x);
        node->pass = site->clip ? slow_step_memory(s, input->n, 1) : NULL;
        for (size_t i = 0; node->pass && i < input->n; i++) { // within the grid before the rounding; exponents of constant scale
            const int shift = node->x.e - input->e;
            const Wide high = slow_power(site->q.grid.bits - 1) - 1;
            node->pass[i] = input->v[i] * slow_power(shift < 0 ? -shift : 0) <= high * slow_power(shift > 0 ? shift : 0);
        }
    }
    node->y = output(s, node);
    convolve(s, node, term_forward, node->y.v, node->x.v, w.v);
    node->y.e = node->x.e + w.e;
    slow_step_tell(s, node, "sum.forward", &node->y);
}

static size_t at(const SlowNode *n, int image, int h, int w, int c) {
    return (size_t)(((image * n->ih + h) * n->iw + w) * n->ic + c);
}

static void forward_pool(SlowStep *s, SlowNode *node, const SlowValues *x) {
    node->y = output(s, node);
    node->y.e = x->e;
    node->winner = slow_step_memory(s, node->y.n, sizeof *node->winner);
    for (size_t i = 0; i < node->y.n; i++) {
        const int c = (int)i % node->oc, ow = (int)i / node->oc % node->ow, oh = (int)i / node->oc / node->ow % node->oh;
        const int n = (int)i / node->oc / node->ow / node->oh;
        size_t best = at(node, n, oh * node->stride, ow * node->stride, c);
        for (int k = 0; k < node->kernel * node->kernel; k++) {
            const size_t j = at(node, n, oh * node->stride + k / node->kernel, ow * node->stride + k % node->kernel, c);
            best = x->v[j] > x->v[best] ? j : best;
        }
        node->winner[i] = (int)best;
        node->y.v[i] = x->v[best];
    }
}

// Positions of a power of two: its logarithm; else 8 bits behind the point.
static int gap_bits(const SlowNode *node, bool *exact) {
    const int n = node->ih * node->iw, p = slow_log2_floor((uint64_t)n);
    *exact = slow_power(p) == n;
    return *exact ? p : 8;
}

static void forward_gap(SlowStep *s, SlowNode *node, const SlowValues *x) {
    const int positions = node->ih * node->iw;
    bool exact;
    node->y = output(s, node);
    node->y.e = x->e - gap_bits(node, &exact);
    for (size_t i = 0; i < node->y.n; i++) {
        Wide sum = 0;
        for (int k = 0; k < positions; k++)
            sum += x->v[at(node, (int)i / node->oc, k / node->iw, k % node->iw, (int)i % node->oc)];
        node->y.v[i] = (int64_t)(exact ? sum : slow_quotient(sum * 256, positions));
    }
}

static void forward_add(SlowStep *s, SlowNode *node) {
    SlowValues parts[2];
    SlowNode *from[] = {&s->node[node->input], &s->node[node->shortcut]};
    for (int k = 0; k < 2; k++) {
        parts[k] = from[k]->y;
        if (from[k]->kind == SLOW_PRODUCT && slow_step_site(s, from[k], FX_SITE_PREACT)->on) {
            parts[k] = at_site(s, from[k], FX_SITE_PREACT, &from[k]->y);
            slow_step_tell(s, from[k], "preact", &parts[k]);
        }
    }
    node->y = slow_step_sum(s, parts, 2);
    slow_step_tell(s, node, "add", &node->y);
    if (!slow_step_site(s, node, FX_SITE_SUM)->on)
        return;
    node->y = at_site(s, node, FX_SITE_SUM, &node->y);
    slow_step_tell(s, node, "sum", &node->y);
}

static int64_t pixel(const SlowStep *s, int p) {
    const int code = s->config->map == FX_MAP_WAGE_128 || p <= 127 ? p - 128 : p - 127;
    return code < -127 ? -127 : code > 127 ? 127 : code;
}

static void forward(SlowStep *s) {
    SlowValues image = slow_step_values(s, (size_t)(s->images * s->h * s->w * s->channels), s->channels, -7);
    for (size_t i = 0; i < image.n; i++)
        image.v[i] = pixel(s, s->pixels[i]);
    slow_step_tell(s, slow_step_product(s, 1), "input", &image);
    for (int i = 0; i < s->nodes; i++) {
        SlowNode *n = &s->node[i];
        const SlowValues *x = n->input < 0 ? &image : &s->node[n->input].y;
        n->handed_count = 0;
        switch (n->kind) {
        case SLOW_PRODUCT: forward_product(s, n, x); break;
        case SLOW_POOL: forward_pool(s, n, x); break;
        case SLOW_GAP: forward_gap(s, n, x); break;
        case SLOW_ADD: forward_add(s, n); break;
        case SLOW_RELU:
            n->y = output(s, n);
            n->y.e = x->e;
            for (size_t k = 0; k < x->n; k++)
                n->y.v[k] = x->v[k] > 0 ? x->v[k] : 0;
            break;
        case SLOW_NORM:
            n->operand = at_site(s, n, FX_SITE_PREACT, x);
            slow_step_tell(s, n, "preact", &n->operand);
            slow_step_norm_forward(s, n);
            slow_step_tell(s, n, "norm", &n->y);
            break;
        }
    }
    slow_step_tell(s, &s->node[s->nodes - 1], "logits", &s->node[s->nodes - 1].y);
}

// ---- loss ---------------------------------------------------------------------------------------------------------------------

static int64_t power_of_half(uint64_t f) { // 2^30 * 2^(-f / 2^16) by the table and a straight line
    const int i = (int)(f / 256), low = (int)(f % 256);
    const int64_t a = llround(ldexp(pow(2, -i / 256.0), 30)), b = llround(ldexp(pow(2, -(i + 1) / 256.0), 30));
    return a - ((a - b) * low + 128) / 256;
}

static void softmax(const SlowStep *s, SlowValues *e, const SlowValues *z, size_t row) {
    const SlowLaw nearest = {.name = "nearest-even"};
    Wide total = 0, v[64];
    int64_t most = z->v[row];
    for (int c = 0; c < z->c; c++)
        most = z->v[row + (size_t)c] > most ? z->v[row + (size_t)c] : most;
    for (int c = 0; c < z->c; c++) {
        const Wide d = (Wide)(most - z->v[row + (size_t)c]) * 94548;
        Wide t = z->e >= 0 ? d * slow_power(z->e) : slow_round(&nearest, d, -z->e, 0);
        t = slow_clamp(t, slow_power(40));
        const Wide n = t / 65536;
        v[c] = n > 30 ? 0 : power_of_half((uint64_t)(t % 65536)) / slow_power((int)n);
        total += v[c];
    }
    for (int c = 0; c < z->c; c++)
        e->v[row + (size_t)c] = (int64_t)slow_quotient(v[c] * 32768, total) - (s->labels[row / (size_t)z->c] == c ? 32768 : 0);
}

static SlowValues loss_error(SlowStep *s) {
    const SlowValues *z = &s->node[s->nodes - 1].y;
    SlowValues e = slow_step_values(s, z->n, z->c, s->softmax ? -15 : z->e);
    for (size_t row = 0; row < z->n; row += (size_t)z->c) {
        if (s->softmax)
            softmax(s, &e, z, row);
        for (int c = 0; !s->softmax && c < z->c; c++)
            e.v[row + (size_t)c] = z->v[row + (size_t)c] - (s->labels[row / (size_t)z->c] == c ? (int64_t)slow_power(-z->e) : 0);
    }
    return e;
}

// ---- backward -----------------------------------------------------------------------------------------------------------------

// A raw error arrives at a node and is rounded at the site of its owner.
static void arrive(SlowStep *s, SlowNode *node, const SlowValues *raw) {
    SlowNode *owner = &s->node[node->owner];
    const bool product = owner->kind == SLOW_PRODUCT;
    node->e = at_site(s, owner, product ? FX_SITE_ERROR : FX_SITE_PREACT_ERROR, raw);
    slow_step_tell(s, node, product ? "error.quantised" : "preact-error.quantised", &node->e);
    node->e_grad.n = 0;
    if (!product || !slow_step_site(s, owner, FX_SITE_ERROR_GRAD)->is_set)
        return;
    node->e_grad = at_site(s, owner, FX_SITE_ERROR_GRAD, raw);
    slow_step_tell(s, node, "error.grad.quantised", &node->e_grad);
}

static void hand_down(SlowStep *s, int to, const SlowValues *raw) {
    SlowNode *node = &s->node[to];
    if (node->readers > 1)
        node->handed[node->handed_count++] = *raw;
    else
        arrive(s, node, raw);
}

static void gather(SlowStep *s, SlowNode *node) {
    SlowValues parts[2], sum;
    for (int k = 0; k < node->handed_count; k++) // in reading order: of zeros the first one's exponent is kept
        parts[node->handed_count - 1 - k] = node->handed[k];
    sum = slow_step_sum(s, parts, node->handed_count);
    slow_step_tell(s, node, "fork", &sum);
    if (slow_step_site(s, node, FX_SITE_SUM_ERROR)->on) {
        sum = at_site(s, node, FX_SITE_SUM_ERROR, &sum);
        slow_step_tell(s, node, "fork.quantised", &sum);
    }
    arrive(s, node, &sum);
}

static SlowValues map_back(SlowStep *s, const SlowNode *node, const SlowValues *e) {
    SlowValues below = slow_step_values(s, (size_t)(s->images * node->ih * node->iw * node->ic), node->ic, e->e);
    bool exact = true;
    const int bits = node->kind == SLOW_GAP ? gap_bits(node, &exact) : 0, positions = node->ih * node->iw;
    below.e -= bits;
    below.ec = e->ec;
    for (int c = 0; bits && e->ec && c < e->c; c++) {
        below.ec = below.ec == e->ec ? slow_step_memory(s, (size_t)e->c, sizeof *below.ec) : below.ec;
        below.ec[c] = e->ec[c] - bits;
    }
    for (size_t i = 0; i < e->n; i++)
        switch (node->kind) {
        case SLOW_RELU: below.v[i] = node->y.v[i] > 0 ? e->v[i] : 0; break;
        case SLOW_POOL: below.v[node->winner[i]] = e->v[i]; break;
        default:
            for (int k = 0; k < positions; k++)
                below.v[at(node, (int)i / node->oc, k / node->iw, k % node->iw, (int)i % node->oc)] =
                    exact ? e->v[i] : (int64_t)slow_quotient((Wide)e->v[i] * 256, positions);
            break;
        }
    return below;
}

static void backward_map(SlowStep *s, SlowNode *node) {
    SlowNode *input = &s->node[node->input];
    const SlowValues e = map_back(s, node, &node->e);
    if (input->readers > 1) {
        hand_down(s, node->input, &e);
        return;
    }
    input->e = e;
    input->e_grad.n = 0;
    if (node->e_grad.n)
        input->e_grad = map_back(s, node, &node->e_grad);
}

static void finish_gradient(SlowStep *s, SlowNode *node, SlowKept *k) {
    if (s->config->update.lsb)
        return;
    k->dw = slow_step_round(s, node, k->gradient_site, &k->dw, k->word, NULL);
    slow_step_tell(s, node, k->told, &k->dw);
}

static void backward_product(SlowStep *s, SlowNode *node) {
    const SlowValues *e = node->e_grad.n ? &node->e_grad : &node->e;
    const SlowValues w = weights(s, node, slow_step_site(s, node, FX_SITE_WEIGHT_BACK)->is_set ? FX_SITE_WEIGHT_BACK : FX_SITE_WEIGHT);
    SlowValues dw = slow_step_values(s, node->kept[0].n, node->oc, node->x.e + e->e), dx = slow_step_values(s, node->x.n, node->x.c, node->e.e + w.e);
    slow_step_tell(s, node, "error", &node->e);
    convolve(s, node, term_gradient, dw.v, e->v, node->x.v);
    if (e->ec)
        dw.ec = slow_step_memory(s, (size_t)node->oc, sizeof *dw.ec);
    for (int c = 0; e->ec && c < node->oc; c++)
        dw.ec[c] = e->ec[c] + node->x.e;
    slow_step_tell(s, node, "sum.gradient", &dw);
    node->kept[0].dw = dw;
    finish_gradient(s, node, &node->kept[0]);
    if (node->id == 1)
        return;
    SlowValues aligned = node->e;
    if (node->e.ec) { // all channels in the unit of the finest
        aligned = slow_step_values(s, node->e.n, node->e.c, node->e.ec[0]);
        for (int c = 0; c < node->e.c; c++)
            aligned.e = node->e.ec[c] < aligned.e ? node->e.ec[c] : aligned.e;
        for (size_t i = 0; i < aligned.n; i++)
            aligned.v[i] = node->e.v[i] * (int64_t)slow_power(node->e.ec[i % (size_t)node->e.c] - aligned.e);
    }
    convolve(s, node, term_error, dx.v, aligned.v, w.v);
    dx.e = aligned.e + w.e;
    slow_step_tell(s, node, "sum.error", &dx);
    for (size_t i = 0; node->pass && i < dx.n; i++)
        dx.v[i] = node->pass[i] ? dx.v[i] : 0;
    hand_down(s, node->input, &dx);
}

static void backward(SlowStep *s) {
    const SlowValues e = loss_error(s);
    slow_step_tell(s, &s->node[s->nodes - 1], "logits.error", &e);
    arrive(s, &s->node[s->nodes - 1], &e);
    for (int i = s->nodes - 1; i >= 0; i--) {
        SlowNode *n = &s->node[i];
        SlowValues down;
        if (n->readers > 1)
            gather(s, n);
        switch (n->kind) {
        case SLOW_PRODUCT: backward_product(s, n); break;
        case SLOW_NORM:
            slow_step_tell(s, n, "preact-error", &n->e);
            slow_step_norm_backward(s, n, &down);
            finish_gradient(s, n, &n->kept[0]);
            finish_gradient(s, n, &n->kept[1]);
            hand_down(s, n->input, &down);
            break;
        case SLOW_ADD:
            slow_step_tell(s, n, "preact-error", &n->e);
            hand_down(s, n->input, &n->e);
            hand_down(s, n->shortcut, &n->e);
            break;
        default: backward_map(s, n); break;
        }
    }
}

static void end(SlowStep *s) {
    for (size_t i = 0; i < s->pieces; i++)
        free(s->memory[i]);
    free(s->memory);
    s->memory = NULL;
    s->pieces = 0;
}

void slow_step_train(SlowStep *s, const uint8_t *pixels, const uint8_t *labels, int images) {
    s->pixels = pixels;
    s->labels = labels;
    s->images = images;
    s->evaluation = false;
    forward(s);
    backward(s);
    for (int i = 0; i < s->nodes; i++)
        for (int k = 0; k < 2; k++)
            if (s->node[i].kept[k].n)
                slow_step_update(s, &s->node[i], &s->node[i].kept[k]);
    s->step++;
    end(s);
}

void slow_step_evaluate(SlowStep *s, const uint8_t *pixels, int images, uint64_t first) {
    s->pixels = pixels;
    s->images = images;
    s->evaluation = true;
    s->first_image = first;
    forward(s);
    end(s);
}
