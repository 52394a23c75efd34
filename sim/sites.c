#include "sim/sites.h"

#include <assert.h>
#include <stddef.h>

static const FxSiteInfo sites[] = {
    {"input", FX_SITE_INPUT, "the image"},
    {"weight", FX_SITE_WEIGHT, "operand of the forward and error products, made from the store"},
    {"activation", FX_SITE_ACTIVATION, "what a layer's product reads"},
    {"error", FX_SITE_ERROR, "the error that a layer's two backward products read"},
    {"gradient", FX_SITE_GRADIENT, "the weight gradient"},
    {"store", FX_SITE_STORE, "the kept weights and their update"},
    {"logits", FX_SITE_LOGITS, "the outputs"},
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
