// What resolving a recipe needs at hand, and its parts: config.c the run and its phases, config_layer.c the sites and
// accumulators of a layer, config_update.c optimiser, rate and loss scale.
#ifndef FX_CONFIG_RESOLVE_H
#define FX_CONFIG_RESOLVE_H

#include "sim/config.h"

typedef struct Resolver {
    FxConfig *config;
    FxRecipe *recipe;
    const FxLayerName *names;
    FxWarnings *warnings;
    FxError *err;
} Resolver;

// The text of a key that rules for the layer (NULL: of no layer) before update `step`.
int fx_value_at(const Resolver *r, char text[FX_VALUE], const char *path, const FxLayerName *layer, uint64_t step);

// before: the layer in the phase before, NULL in the first.
int fx_layer_at(const Resolver *r, FxLayerConfig *c, const FxLayerConfig *before, const FxLayerName *layer, uint64_t step);

// The keys norm.* of a layer.
int fx_norm_at(const Resolver *r, FxNormConfig *c, const FxLayerName *layer, uint64_t step);

// Norms of a net: whether any are written; of those that the recipe does not leave out whether there are any; by the range; on
// integers.
typedef struct FxNormsThere {
    bool written, any, range, integers;
} FxNormsThere;

FxNormsThere fx_norms_there(const Resolver *r);

// The keys of [update] and [loss-scale] that hold no schedule; those that do.
int fx_resolve_update(const Resolver *r);
int fx_update_at(const Resolver *r, FxPhase *phase, uint64_t step);

// After everything is resolved: overrides on the command line that cannot work beside the other settings. Errors: exit code 2.
int fx_check_effect(const Resolver *r);

#endif
