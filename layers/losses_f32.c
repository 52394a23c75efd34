// The table of losses. Of a softmax the logged cross-entropy is a float64, on integers too.
#include "layers/loss_f32.h"

#include <assert.h>
#include <math.h>

static void sse(const FxLossCall *c) {
    fx_sse(c->out, c->labels, c->classes, c->one, c->e, c->answers);
}

static void sse_f32(const FxLossCall *c) {
    fx_sse_f32(c->out, c->labels, c->classes, (float)ldexp(c->scale.mantissa, c->scale.exponent), c->e, c->answers, c->loss);
}

static void softmax(const FxLossCall *c) {
    fx_softmax(c->out, c->labels, c->classes, c->e, c->answers);
    fx_softmax_loss(c->out, c->labels, c->classes, c->loss);
}

static void softmax_f32(const FxLossCall *c) {
    fx_softmax_f32(c->out, c->labels, c->classes, (float)ldexp(c->scale.mantissa, c->scale.exponent), c->batch, c->cpu, c->e, c->answers,
                   c->loss);
}

static void niti(const FxLossCall *c) {
    fx_softmax_niti(c->out, c->labels, c->classes, c->e, c->answers);
    fx_softmax_loss(c->out, c->labels, c->classes, c->loss);
}

static const FxLossRule rules[] = {
    {&fx_sse_ops, true, false, 0, false, sse, sse_f32},
    {&fx_softmax_ops, false, true, FX_SOFTMAX_EXPONENT, false, softmax, softmax_f32},
    {&fx_niti_ops, false, true, FX_NITI_EXPONENT, true, niti, NULL},
};

const FxLossRule *fx_loss_rule(const FxLayerOps *ops) {
    const FxLossRule *rule = rules;
    while (rule->ops != ops)
        rule++;
    return rule;
}
