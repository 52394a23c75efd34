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
