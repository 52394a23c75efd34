// The keys of recipes: one line a key. Reader, --help, recipe.ini and checks all walk this table.
#ifndef FX_KEYS_H
#define FX_KEYS_H

#include "formats/error.h"

enum {
    FX_KEY_LAYER = 1,    // may be set for a kind of layer, first, last or a name
    FX_KEY_SCHEDULE = 2, // may change during the run
    FX_KEY_NEUTRAL = 4,  // cannot change a result: left out of config_crc32
    FX_KEY_QUANTISER = 8 // a whole quantiser: sets the parts grid, scale, rounding, overflow
};

typedef struct FxKey FxKey;
struct FxKey {
    const char *path;     // "run.batch"
    const char *fallback; // value where nothing sets it
    unsigned flags;
    int (*check)(const FxKey *key, const char *value, FxError *err); // one item of a schedule; exit code 2
    const char *choices;  // words that check allows, for texts of a few words
    long long low, high;  // range of a whole number
    const char *help;
};

enum { FX_PATH = 64 };

// Line i of the table, NULL past the last. Lines of sites and accumulators stand there once for each of their places
// (weight.q, weight.grid, ...).
const FxKey *fx_key(int i);
const FxKey *fx_key_find(const char *path);

// The path that rules where this one is not set ("accumulator.kind" of "accumulator.forward.kind"); 0: none.
int fx_key_parent(char parent[FX_PATH], const char *path);

#endif
