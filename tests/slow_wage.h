// The slow twin of a WAGE training step, for fully connected nets of any widths: loops, division
// and remainder in 128 bits. It shares with the product only the random words.
#ifndef FX_TESTS_SLOW_WAGE_H
#define FX_TESTS_SLOW_WAGE_H

#include "tests/net_fixture.h"
#include "tests/slow.h"

enum { SLOW_LAYERS = 4 };

typedef struct SlowWage {
    int layers, sizes[SLOW_LAYERS + 1];      // inputs, outputs of each layer
    int weight, activation, gradient, error; // k_W, k_A (the input's too), k_G, k_E
    int logits;                              // bits of the quantised outputs, 0: not quantised
    bool logits_clip;                        // logits.ste = clip
    bool activation_clip;                    // activation.ste = clip
    bool unit;                               // input.map = unit, else wage-127.5
    const char *scale; // of the error: "shift-unit", "shift-unit-ceil", "shift-unit-floor"
    int lower;         // log2 of error.gamma
    bool before_masks; // error.at = before-masks
    int random_bits;   // gradient.rounding = stochastic:r:below
    int64_t limit;     // store.clip in steps of the store
    int64_t mantissa;  // rate = mantissa * 2^exponent
    int exponent;
    uint64_t seed;

    int64_t *store[SLOW_LAYERS]; // [in][out]
    int alpha[SLOW_LAYERS];      // log2
    Wide loss;                   // since slow_wage_init
    uint64_t wrong, ties, saturated, masked, changed, zero_tensors;
} SlowWage;

// Layer constants and initial weights (init.law = uniform-fan-in:3, init.floor = 1.5). Free with
// slow_wage_free.
void slow_wage_init(SlowWage *w);
void slow_wage_free(SlowWage *w);

// One update. pixels: images x sizes[0]. Every tensor is added to r under the name that the trace
// of a step gives it.
void slow_wage_step(SlowWage *w, const uint8_t *pixels, const uint8_t *labels, int images,
                    uint64_t step, Recording *r);

// The largest r with r^2 <= x < 2^120.
Wide slow_root(Wide x);

#endif
