// A recipe resolved for one network: every number the run needs, for every phase of its schedules.
#ifndef FX_CONFIG_H
#define FX_CONFIG_H

#include "formats/quantiser.h"
#include "layers/layer.h"
#include "sim/loss_scale.h"
#include "sim/norm_config.h"
#include "sim/optimiser.h"
#include "sim/ranges.h"
#include "sim/rate.h"
#include "sim/recipe.h"
#include "sim/sites.h"

typedef struct FxSiteConfig {
    bool on;     // false: q = none; the quantiser is then fp32, which changes no float32
    bool is_set; // copies: the recipe sets some part of it, so that it exists
    FxQuantiser q;
    bool clip; // the straight-through rule masks what lies outside the grid
} FxSiteConfig;

// Whether the site holds integers of one power-of-two scale.
bool fx_site_is_integer(const FxSiteConfig *site);
// Fixed grids: whether the unit of its codes is written down (const); or follows no data (const, alpha).
bool fx_site_is_constant(const FxSiteConfig *site);
bool fx_site_has_fixed_steps(const FxSiteConfig *site);
// Integers of one exponent a channel, which preact, error and error.grad may hold.
bool fx_site_is_channel(const FxSiteConfig *site);
// Whether an overflow controller moves its range.
bool fx_site_has_overflow(const FxSiteConfig *site);

// One product layer in one phase.
typedef struct FxLayerConfig {
    FxSiteConfig site[FX_SITE_NUMBERS];
    FxAccumulator accumulator[FX_PRODUCTS];
    int error_lower;         // log2 of error.gamma
    bool error_before_masks; // error.at = before-masks
    int64_t store_limit;     // largest kept code of a fixed grid; INT64_MAX elsewhere
    int init_c;              // half width sqrt(init_c / fan-in) of the initial weights
    FxNormConfig norm;       // of the norms behind it
} FxLayerConfig;

// Whether a product layer, with the norms and additions behind it, has the site: only the first has an input, all others
// an activation, only the last logits. The first layer's activation.grad is a copy of its input.
bool fx_site_of(FxSite site, const FxLayerName *layer);

typedef struct FxAugment {
    int pad;   // 0: no crop
    bool flip;
} FxAugment;

// From step `start` on.
typedef struct FxPhase {
    uint64_t start;
    FxRate rate;
    FxScalar momentum, decay;
    FxAugment augment;
    FxLayerConfig *layers;
} FxPhase;

typedef enum FxUnit { FX_UNIT_EPOCHS, FX_UNIT_MINUTES, FX_UNIT_STEPS } FxUnit;
typedef struct FxPeriod {
    uint64_t count;
    FxUnit unit;
} FxPeriod;

typedef enum FxInputMap { FX_MAP_WAGE_127_5, FX_MAP_WAGE_128, FX_MAP_UNIT, FX_MAP_MEAN_STD } FxInputMap;

typedef struct FxUpdateConfig {
    const FxOptimiser *rule;
    bool lsb; // the rate counts steps of the store
    bool nesterov;
    bool by_deviation; // the rate shrinks with the deviation of the layer's errors
    FxScalar beta1, beta2, epsilon; // adam
} FxUpdateConfig;


typedef struct FxConfig {
    int batch;
    bool drop_last;
    uint64_t epochs, max_steps, steps_per_epoch, total_steps;
    size_t train_images; // validation left out
    uint64_t seed_init, seed_order, seed_augment, seed_round, seed;
    const FxRandomSource *source;
    int lane_bits;
    FxInputMap map;
    const char *mean, *std; // of mean-std: "data" or a decimal a channel
    bool bias, claims_integer;
    bool carries_floats; // for tests: fixed grids are carried as float32 values too
    bool sums_errors;  // the integer softmax hands down the sum's error: rate and decay are divided by the batch
    FxUpdateConfig update;
    FxLossScaling loss_scaling;
    FxDecimal init_floor;
    FxRanges ranges;
    FxPeriod stats_every, checkpoint_every;
    bool stats_on, stats_full;
    int layer_count, phase_count;
    FxPhase *phases;
} FxConfig;

// names: of the product layers, in reading order.
// Errors: exit code 2.
int fx_config_resolve(FxConfig *config, FxRecipe *recipe, const FxLayerName *names, int layers, size_t train_images,
                      FxWarnings *warnings, FxError *err);
void fx_config_free(FxConfig *config);

// Makes the grid of every site that has an overflow controller at least so many bits wide.
void fx_config_widen(FxConfig *config, int bits);

const FxPhase *fx_config_phase(const FxConfig *config, uint64_t step);

#endif
