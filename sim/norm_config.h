// The keys norm.*: how the norms behind a product layer compute.
#ifndef FX_NORM_CONFIG_H
#define FX_NORM_CONFIG_H

#include "formats/error.h"
#include "layers/norm.h"

typedef enum FxNormChoice { FX_NORM_AS_WRITTEN, FX_NORM_SWAPPED, FX_NORM_LEFT_OUT } FxNormChoice;

typedef struct FxNormConfig {
    FxNormChoice choice; // of the kind: rule.kind holds it where it is swapped
    FxNormRule rule;     // nominal is set where the shape is known
} FxNormConfig;

// Texts of norm.reciprocal and norm.average. Errors: exit code 2.
int fx_norm_parse_reciprocal(FxNormRule *rule, const char *text, FxError *err);
int fx_norm_parse_average(FxNormRule *rule, const char *text, FxError *err);

#endif
