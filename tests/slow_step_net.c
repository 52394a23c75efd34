// The twin's net: notation, shapes, what implies a ReLU.
#include "tests/slow_step.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int append(SlowStep *s, SlowNodeKind kind, int input) {
    assert_true(s->nodes < SLOW_NODES);
    SlowNode *n = &s->node[s->nodes];
    const SlowNode *from = input < 0 ? NULL : &s->node[input];
    *n = (SlowNode){.kind = kind, .input = input, .shortcut = -1, .id = s->products, .owner = s->nodes, .stride = 1, .kernel = 1};
    n->oh = n->ih = from ? from->oh : s->h;
    n->ow = n->iw = from ? from->ow : s->w;
    n->oc = n->ic = from ? from->oc : s->channels;
    if (from && kind != SLOW_PRODUCT && kind != SLOW_NORM && kind != SLOW_ADD)
        n->owner = from->owner;
    if (input >= 0)
        s->node[input].readers++;
    return s->nodes++;
}

static int relu(SlowStep *s, int input) {
    return input < 0 || s->node[input].kind == SLOW_RELU ? input : append(s, SLOW_RELU, input);
}

static void keep(SlowKept *k, FxSite store, FxSite gradient, size_t n, const char *told) {
    *k = (SlowKept){.store_site = store, .gradient_site = gradient, .n = n, .told = told, .w = calloc(n, sizeof *k->w), .m = calloc(n, sizeof *k->m)};
    if (!k->w || !k->m)
        abort();
}

static int product(SlowStep *s, int input, int count, int kernel, int pad, int stride) {
    s->products++;
    SlowNode *n = &s->node[append(s, SLOW_PRODUCT, input)];
    if (kernel == 0) { // fully connected: one position
        n->ic *= n->ih * n->iw;
        n->ih = n->iw = n->oh = n->ow = 1;
    } else {
        n->kernel = kernel;
        n->pad = pad >= 0 ? pad : (kernel - 1) / 2;
        n->stride = stride >= 0 ? stride : 1;
        n->oh = (n->ih + 2 * n->pad - kernel) / n->stride + 1;
        n->ow = (n->iw + 2 * n->pad - kernel) / n->stride + 1;
    }
    n->oc = count;
    keep(&n->kept[0], FX_SITE_STORE, FX_SITE_GRADIENT, (size_t)(n->kernel * n->kernel * n->ic * n->oc), "gradient");
    n->kept[0].decays = true;
    return (int)(n - s->node);
}

static int norm(SlowStep *s, int input) {
    SlowNode *n = &s->node[append(s, SLOW_NORM, input)];
    uint64_t ordinal = 0;
    for (const SlowNode *o = s->node; o < n; o++)
        ordinal += o->kind == SLOW_NORM && o->id == n->id;
    assert_true(n->oc <= SLOW_CHANNELS);
    keep(&n->kept[0], FX_SITE_GAMMA_STORE, FX_SITE_GAMMA_GRADIENT, (size_t)n->oc, "norm.gamma.gradient");
    keep(&n->kept[1], FX_SITE_BETA_STORE, FX_SITE_BETA_GRADIENT, (size_t)n->oc, "norm.beta.gradient");
    for (uint64_t which = 0; which < 2; which++) {
        n->kept[which].word = ordinal << 40;
        n->kept[which].shared_word = (1 + 2 * ordinal + which) << 40;
    }
    const FxQuantiser *q = &slow_step_site(s, n, FX_SITE_GAMMA_STORE)->q;
    for (int c = 0; c < n->oc; c++)
        n->kept[0].w[c] = (int64_t)slow_power(q->grid.fraction - q->scale.parameter[0]);
    return (int)(n - s->node);
}

static int number(const char **p) {
    int v = -1;
    for (; isdigit((unsigned char)**p); (*p)++)
        v = (v < 0 ? 0 : v) * 10 + (**p - '0');
    return v;
}

static int after(const char **p, char letter) {
    if (**p != letter)
        return -1;
    ++*p;
    return number(p);
}

static int part(SlowStep *s, const char **p, int input);

// Both branches read the rectified input where the body begins with a product; the sum is rectified.
static int block(SlowStep *s, const char **p, int input) {
    *p += 2; // "+("
    const char *first = *p;
    number(&first);
    if (*first == 'C' || *first == 'F')
        input = relu(s, input);
    const int body = part(s, p, input);
    ++*p; // "|"
    const int shortcut = **p == ')' ? input : part(s, p, input);
    ++*p;
    const int sum = append(s, SLOW_ADD, body);
    s->node[sum].shortcut = shortcut;
    s->node[shortcut].readers++;
    return relu(s, sum);
}

static int item(SlowStep *s, const char **p, int input) {
    char letters[8] = "";
    if (**p == '+')
        return block(s, p, input);
    const int count = number(p);
    for (size_t i = 0; isupper((unsigned char)**p); i++)
        letters[i] = *(*p)++;
    const int kernel = number(p), pad = after(p, 'p'), stride = after(p, 's');
    if (!strcmp(letters, "C"))
        return product(s, s->products ? relu(s, input) : input, count, kernel, pad, stride);
    if (!strcmp(letters, "FC") || !letters[0])
        return product(s, s->products ? relu(s, input) : input, count, 0, -1, -1);
    if (!strcmp(letters, "BN"))
        return norm(s, input);
    const bool pool = !strcmp(letters, "MP"); // a mean is one of rectified numbers
    const int i = append(s, pool ? SLOW_POOL : SLOW_GAP, pool ? input : relu(s, input));
    SlowNode *n = &s->node[i];
    n->kernel = n->stride = n->kind == SLOW_POOL ? kernel : n->ih;
    n->oh = n->ih / n->stride;
    n->ow = n->iw / n->stride;
    return i;
}

static int part(SlowStep *s, const char **p, int input) {
    input = item(s, p, input);
    while (**p == '-') {
        ++*p;
        input = item(s, p, input);
    }
    return input;
}

void slow_step_open(SlowStep *s) {
    const char *p = s->notation;
    s->nodes = s->products = 0;
    part(s, &p, -1);
    assert_int_equal(*p, 0);
}

void slow_step_close(SlowStep *s) {
    for (int i = 0; i < s->nodes; i++)
        for (int k = 0; k < 2; k++) {
            free(s->node[i].kept[k].w);
            free(s->node[i].kept[k].m);
        }
    s->nodes = 0;
}

SlowNode *slow_step_product(SlowStep *s, int id) {
    for (int i = 0; i < s->nodes; i++)
        if (s->node[i].kind == SLOW_PRODUCT && s->node[i].id == id)
            return &s->node[i];
    return NULL;
}

SlowNode *slow_step_norm(SlowStep *s, int id, int which) {
    for (int i = 0; i < s->nodes; i++)
        if (s->node[i].kind == SLOW_NORM && s->node[i].id == id && which-- == 0)
            return &s->node[i];
    return NULL;
}
