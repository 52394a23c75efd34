#include "sim/sites.h"

#include <assert.h>
#include <stddef.h>

static const FxSiteInfo sites[] = {
    {"input", FX_SITE_INPUT, "the image", NULL},
    {"weight", FX_SITE_WEIGHT, "operand of the forward and error products, made from the store", NULL},
    {"weight.back", FX_SITE_WEIGHT_BACK, "another operand for the error product", "weight"},
    {"activation", FX_SITE_ACTIVATION, "what a layer's product reads", NULL},
    {"activation.grad", FX_SITE_ACTIVATION_GRAD, "another operand for the gradient product", "activation"},
    {"error", FX_SITE_ERROR, "the error that a layer's two backward products read", NULL},
    {"error.grad", FX_SITE_ERROR_GRAD, "another operand for the gradient product", "error"},
    {"gradient", FX_SITE_GRADIENT, "the weight gradient", NULL},
    {"store", FX_SITE_STORE, "the kept weights and their update", NULL},
    {"bias", FX_SITE_BIAS, "what is added to the forward sums, made from the store", NULL},
    {"logits", FX_SITE_LOGITS, "the outputs", NULL},
    {"momentum", FX_SITE_MOMENTUM, "the optimiser's running mean of gradients", NULL},
    {"second", FX_SITE_SECOND, "adam's running mean of squares", NULL},
    {"decay", FX_SITE_DECAY, "gradient plus weight decay", NULL},
    {"preact", FX_SITE_PREACT, "what a product hands to a norm or an addition", NULL},
    {"preact-error", FX_SITE_PREACT_ERROR, "the error that a norm or an addition receives", NULL},
    {"sum", FX_SITE_SUM, "what an addition hands on", NULL},
    {"sum.error", FX_SITE_SUM_ERROR, "the sum of the errors where a tensor has several readers", NULL},
    {"norm.mean", FX_SITE_NORM_MEAN, "a norm's means, in floats alone", NULL},
    {"norm.scale", FX_SITE_NORM_SCALE, "a norm's scales, in floats alone", NULL},
    {"norm.xhat", FX_SITE_NORM_XHAT, "what a norm has normalised, in floats alone", NULL},
    {"norm.gamma", FX_SITE_NORM_GAMMA, "a norm's factors, made from their store", NULL},
    {"norm.beta", FX_SITE_NORM_BETA, "a norm's addends, made from their store", NULL},
    {"norm.gamma.gradient", FX_SITE_GAMMA_GRADIENT, "the gradient of the factors", NULL},
    {"norm.beta.gradient", FX_SITE_BETA_GRADIENT, "the gradient of the addends", NULL},
    {"norm.gamma.store", FX_SITE_GAMMA_STORE, "the kept factors and their update", NULL},
    {"norm.beta.store", FX_SITE_BETA_STORE, "the kept addends and their update", NULL},
};

const FxSiteInfo *fx_site_info(int i) {
    return i < (int)(sizeof sites / sizeof sites[0]) ? &sites[i] : NULL;
}

const FxSiteInfo *fx_site(FxSite site) {
    int i = 0;
    while (fx_site_info(i) && sites[i].site != site)
        i++;
    assert(fx_site_info(i)); // every site has a line
    return &sites[i];
}
