// A recipe tried on a net: loaded, overridden, resolved, with everything that was said on the way.
#ifndef FX_TESTS_TRIAL_H
#define FX_TESTS_TRIAL_H

#include "sim/net.h"

enum { TRIAL_LAYERS = 32, TRIAL_TEXT = 1 << 19 };

typedef struct Trial {
    FxRecipe recipe;
    FxNet net;
    FxLayerName names[TRIAL_LAYERS];
    int layers;
    FxConfig config;
    FxWarnings warnings;
    FxError err;
    int failed; // -1: err says why
} Trial;

// A data set without images: sizes and counts only.
FxDataset dataset_of(int h, int w, int c, int classes, size_t train);

// recipe: a built-in one, a path, or a text (anything with a line's end), which becomes the file my.ini. net: notation.
// stretch and overrides may be NULL; overrides end with NULL. 8x8 images, 10 classes, 1437 for training, unless data
// says otherwise.
Trial trial_of(const char *recipe, const char *net, const char *stretch, const char *const overrides[], const FxDataset *data);
// The same on the net 4C3-4C3-8FC-10; what fails, fails the test.
Trial trial_good(const char *recipe, const char *const overrides[]);
void trial_free(Trial *t);

// Everything that the configuration holds, a line each: equal texts are equal runs. The
// last line has what cannot change a result. To be freed.
char *trial_describe(const Trial *t);
// Quantiser of a site before update `step`, canonical, "none" where it is off.
const char *trial_site(const Trial *t, int layer, FxSite site, uint64_t step);

// The trial failed with exit code 2 and a message that holds both texts (NULL: anything).
void trial_refused(const Trial *t, const char *what, const char *read, const char *right);

// A directory for files that recipes name; removed when the program ends.
const char *trial_directory(void);
void trial_write(const char *name, const char *text);

#endif
