// Recipes: which value each key has for each layer at each time, and who said so.
// Specific beats general wherever it stands: all < kind (layer.conv) < layer.first, layer.last < name (layer.conv4).
// Among equally specific settings the later source wins: defaults < base recipe < recipe < command line.
// SITE.q sets the parts SITE.grid, .scale, .rounding, .overflow; precedence is decided part by part.
#ifndef FX_RECIPE_H
#define FX_RECIPE_H

#include "formats/decimal.h"
#include "sim/keys.h"
#include "sim/schedule.h"

#include <stdbool.h>
#include <stddef.h>

// How a layer is called in recipes.
typedef struct FxLayerName {
    const char *kind; // "conv", "fc"
    char name[24];    // kind and number: "conv1", "fc3"
    bool first, last;
    bool norm, add, fork; // such a node stands behind it, before the next product
    bool added;           // an addition reads its sums
    bool range;           // a norm behind it is written as one by the range
} FxLayerName;

typedef struct FxSetting {
    const FxKey *key;
    char layer[24];      // selector behind "layer.", "" for all
    char value[FX_VALUE];
    char source[288];    // for messages: "wage.ini:12" or "-s weight.q=..."
    bool from_user;      // the command line
    bool whole;          // the part of a SITE.q, not written by itself
    bool won, lost;      // noted by fx_recipe_find for some layer
} FxSetting;

typedef struct FxRecipe {
    FxSetting *settings; // in order of their sources
    int count, capacity;
    char name[FX_VALUE];
    char overrides[1024]; // key=value joined by ';', as given, neutral keys left out
} FxRecipe;

// A recipe of sim/recipes by name, or a file (a name with '/' or ending in ".ini"), with its bases.
int fx_recipe_load(FxRecipe *recipe, const char *name, FxError *err);
void fx_recipe_free(FxRecipe *recipe);

// One "section.key=value" of the command line (what: the option's name, for messages).
int fx_recipe_override(FxRecipe *recipe, const char *assignment, const char *what, FxError *err);

// The setting of this very key that rules for a layer (NULL: of no layer); NULL: none.
const FxSetting *fx_recipe_ruler(const FxRecipe *recipe, const FxKey *key, const FxLayerName *layer);

// The same, or else that of the key's parent, and noted as read; NULL where only the key's fallback rules.
const FxSetting *fx_recipe_find(FxRecipe *recipe, const char *path, const FxLayerName *layer);

// The text of a key that belongs to no layer and holds no schedule.
const char *fx_recipe_text(FxRecipe *recipe, const char *path);
long long fx_recipe_number(FxRecipe *recipe, const char *path);

// Makes value the ruling one of a key that belongs to no layer, without noting an override: for what follows from other
// settings. what: for messages. Errors: exit code 2.
int fx_recipe_settle(FxRecipe *recipe, const char *path, const char *value, const char *what, FxError *err);

// Multiplies all milestones and run.epochs by a factor, to nearest. Errors: exit code 2.
int fx_recipe_stretch(FxRecipe *recipe, const FxDecimal *factor, FxError *err);

// Lines for the user, one a warning.
typedef struct FxWarnings {
    char text[4096];
} FxWarnings;
void fx_warn(FxWarnings *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));

// After everything has been looked up: a layer's section that fits no layer, or an override that rules in no layer, is
// an error (exit code 2); an override that some layers or products keep for themselves is a warning that names them.
int fx_recipe_unused(FxRecipe *recipe, const FxLayerName *names, int layers, FxWarnings *warnings, FxError *err);

// Everything in effect, as a recipe file that loads to the same run. neutral: with the keys that cannot change a result.
// Writes at most size bytes with the final 0; returns the length needed.
size_t fx_recipe_write(char *text, size_t size, FxRecipe *recipe, bool neutral);

// How specific a setting is for a layer; 0: not this layer's.
int fx_setting_reach(const FxSetting *setting, const FxLayerName *layer);

// Names of the built-in recipes, NULL past the last.
const char *fx_recipe_name(int i);

#endif
