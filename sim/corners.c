#include "sim/corners.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// The clip of the activation that 64 inputs of 8 bits feed is 127 * 2^3, so ties lie at 4, 12, 20, ...; errors of largest magnitude
// m are shifted by round(log2 m) - 7; weights are the signs of kept codes beyond 32, which itself is a tie to 0.
static const FxCorner corners[] = {
    {"activation", "sums at ties to even both ways, at the clip, one below, one beyond, below zero", "16FC-10SSE", NULL, 1, .count = 16,
     .values = {0, 1, 3, 4, 5, 12, 20, 1012, 1015, 1016, 1017, 2540, -1, -4, -12, -1016}},
    {"zero-input", "an image of zeros: sums, activations and the first gradient are zero", "16FC-10SSE", NULL, 1, .zero_image = true},
    {"zero-error", "outputs equal to their targets: errors and gradients are zero, nothing is updated", "10SSE", NULL, 1, .errors = true, .count = 10,
     .values = {0}},
    {"error-left-shift", "errors below the grid's resolution are shifted left", "10SSE", NULL, 1, .errors = true, .count = 10,
     .values = {3, -1, 1, 0, 2, -3, -2, 1, 0, -1}},
    {"error-one", "a largest error of 1 becomes 128 and saturates", "10SSE", NULL, 1, .errors = true, .count = 10, .values = {1, 0, -1}},
    {"error-ties", "errors shifted right by one: odd ones are ties", "10SSE", NULL, 1, .errors = true, .count = 10,
     .values = {254, 1, 3, 5, -1, -3, -5, -254, 253, -253}},
    {"error-saturates", "a largest error just below the next power of two's half: not shifted, and beyond the grid", "10SSE", NULL, 1, .errors = true,
     .count = 10, .values = {180, -180, 127, -127, 128, -128, 126, 1, 0, -1}},
    {"pool-ties", "equal sums in a window: the first in row-major order wins", "4C3-MP2-10SSE", NULL, 1, .constant_image = true},
    {"ternary-flip", "kept weights at the edges of their signs and of the clip; the second step has the flipped weights", "10SSE", NULL, 2, .codes = true,
     .count = 16, .values = {31, 32, 33, -31, -32, -33, 64, -64, 63, -63, 0, 1, -1, 34, -34, 30}},
    {"accumulator-wrap", "sums that leave 11 bits wrap", "16FC-10SSE", "accumulator.kind=wrap:11", 1, .count = 16,
     .values = {1022, 1023, 1024, 1025, -1023, -1024, -1025, -1026, 2047, 2048, 2049, -2048, 2540, -2540, 0, 1}},
    {"accumulator-saturate", "sums that leave 11 bits are held at its ends", "16FC-10SSE", "accumulator.kind=saturate:11", 1, .count = 16,
     .values = {1022, 1023, 1024, 1025, -1023, -1024, -1025, -1026, 2047, 2048, 2049, -2048, 2540, -2540, 0, 1}},
};
enum { CORNERS = sizeof corners / sizeof corners[0], INPUTS = 64, LARGE = 20, PLUS = 64 };

const FxCorner *fx_corner(int i) {
    return i >= 0 && i < CORNERS ? &corners[i] : NULL;
}

static int large_then_binary(int i) {
    return i < LARGE ? 127 : i < LARGE + 7 ? 64 >> (i - LARGE) : 0;
}

static int input_code(const FxCorner *c, int i) {
    if (c->zero_image)
        return 0;
    if (c->constant_image)
        return 100;
    return large_then_binary(i);
}

// Signs of the weights into output o, so that they add up to `sum`: as many 127s as fit, the rest in binary.
static void plant_sum(const FxTensor *store, size_t outputs, size_t o, int sum) {
    int rest = sum < 0 ? -sum : sum, sign = sum < 0 ? -PLUS : PLUS;
    for (int i = 0; i < INPUTS; i++) {
        int code = large_then_binary(i), takes = code && rest >= code;
        rest -= takes ? code : 0;
        fx_tensor_set(store, (size_t)i * outputs + o, takes ? sign : 0);
    }
    assert(rest == 0);
}

static void plant(FxRun *run, const FxCorner *c) {
    FxNode *first = fx_net_product(&run->net, 0);
    size_t outputs = (size_t)first->layer.out.c;
    fx_feed_train(&run->feed, &run->net, 0); // says which image comes first
    uint32_t place = run->feed.order[0];
    for (int i = 0; i < INPUTS; i++)
        run->data.train.pixels[(size_t)place * INPUTS + (size_t)i] = (uint8_t)(128 + input_code(c, i));
    run->data.train.labels[place] = 0;
    if (c->codes)
        for (size_t i = 0; i < first->store.count; i++)
            fx_tensor_set(&first->store, i, c->values[i % (size_t)c->count]);
    // exponents of the image's codes and of the weights: what the first layer's sums declare
    int exponent = -7 - 1 - first->alpha, one = 1 << -exponent;
    for (int o = 0; !c->codes && o < c->count; o++)
        plant_sum(&first->store, outputs, (size_t)o, c->values[o] + (c->errors && o == 0 ? one : 0));
}

int fx_corner_prepare(FxRun *run, const FxCorner *corner, FxError *err) {
    FxRecipe recipe;
    FxWarnings ignored = {{0}};
    char net[64];
    snprintf(net, sizeof net, "run.net=%s", corner->net);
    const char *const common[] = {net, "run.data=digits", "run.batch=1", "run.epochs=1", "run.threads=1", "input.map=wage-128", corner->override};
    if (fx_recipe_load(&recipe, "wage", err))
        return -1;
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (common[i] && fx_recipe_override(&recipe, common[i], "corner", err)) {
            fx_recipe_free(&recipe);
            return -1;
        }
    memset(run, 0, sizeof *run);
    int result = fx_run_prepare(run, &recipe, &ignored, err);
    fx_recipe_free(&recipe);
    if (result == 0)
        plant(run, corner);
    return result;
}
