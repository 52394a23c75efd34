// Sites: the named places at which tensors are rounded. One line a site; its number is its role in the random streams.
#ifndef FX_SITES_H
#define FX_SITES_H

typedef enum FxSite {
    FX_SITE_INPUT = 0,
    FX_SITE_WEIGHT = 1,
    FX_SITE_ACTIVATION = 2,
    FX_SITE_ERROR = 3,
    FX_SITE_GRADIENT = 4,
    FX_SITE_STORE = 5,
    FX_SITE_WEIGHT_BACK = 6,
    FX_SITE_ACTIVATION_GRAD = 7,
    FX_SITE_ERROR_GRAD = 8,
    FX_SITE_BIAS = 9,
    FX_SITE_PREACT = 10,
    FX_SITE_PREACT_ERROR = 11,
    FX_SITE_SUM = 12,
    FX_SITE_LOGITS = 13,
    FX_SITE_MOMENTUM = 14,
    FX_SITE_SECOND = 15,
    FX_SITE_DECAY = 16,
    FX_SITE_SUM_ERROR = 17,
    FX_SITE_NORM_MEAN = 32,
    FX_SITE_NORM_SCALE = 33,
    FX_SITE_NORM_XHAT = 34,
    FX_SITE_NORM_GAMMA = 35,
    FX_SITE_NORM_BETA = 36,
    FX_SITE_GAMMA_GRADIENT = 37,
    FX_SITE_BETA_GRADIENT = 38,
    FX_SITE_GAMMA_STORE = 39,
    FX_SITE_BETA_STORE = 40
} FxSite;

enum { FX_SITE_NUMBERS = 41 }; // array size that every site number fits

// Roles of the random streams that are no sites.
enum { FX_ROLE_ACCUMULATOR = 64 /* forward; then error, gradient */, FX_ROLE_INIT = 128, FX_ROLE_ORDER = 129, FX_ROLE_AUGMENT = 130, FX_ROLE_DROPOUT = 131 };

typedef struct FxSiteInfo {
    const char *name;
    FxSite site;
    const char *help;
    const char *parent; // of a copy for one product: it exists where a recipe sets one of its parts; NULL elsewhere
} FxSiteInfo;

const FxSiteInfo *fx_site_info(int i); // NULL past the last
const FxSiteInfo *fx_site(FxSite site);

#endif
