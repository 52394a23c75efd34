// Global average pooling: the mean over all H * W = n positions of a channel, with a rectifier implied in front of it.
// Integers: the exact sum. n = 2^p: the exponent falls by p and nothing is rounded; else the code is
// floor(sum * 2^8 / n + 1/2) and the exponent falls by 8. Backward each position receives the error's code in the same way, so
// that a code of e may grow by 256 / n. FxLayer.gain has what is added to the exponent. y is int64: it holds the sum of every
// int32, and is held to +-(2^62 - 1), which sums of int64 alone can reach. float32: the sum, then one division.
#include "layers/global_average_pool.h"

#include <assert.h>
#include <string.h>

enum { FRACTION = 8, LOW_BITS = 31 };

static size_t positions_of(const FxLayer *l) {
    return (size_t)l->in.h * (size_t)l->in.w;
}

static bool is_power_of_two(uint64_t n) {
    return (n & (n - 1)) == 0;
}

static int plan(FxLayer *l, const char *what, FxError *err) {
    if (l->count >= 0 || l->kernel >= 0 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: it takes all positions: no count, window, padding or stride; write GAP", what);
    uint64_t n = positions_of(l);
    l->out = (FxShape){l->in.n, 1, 1, l->in.c};
    l->gain = is_power_of_two(n) ? -__builtin_ctzll(n) : -FRACTION;
    return 0;
}

uint64_t fx_gap_growth(uint64_t positions) {
    const uint64_t unit = 1 << FRACTION;
    return is_power_of_two(positions) || positions >= unit ? 1 : (unit + positions - 1) / positions;
}

// The code of sum / n.
static int64_t mean_of(__int128 sum, uint64_t n) {
    const int64_t most = (INT64_C(1) << 62) - 1;
    if (!is_power_of_two(n)) {
        __int128 twice = sum * (2 << FRACTION) + (__int128)n, size = 2 * (__int128)n, q;
        if (twice == (int64_t)twice) // much faster
            q = (int64_t)twice / (int64_t)size;
        else
            q = twice / size;
        sum = q - (q * size > twice);
    }
    return sum > most ? most : sum < -most ? -most : (int64_t)sum;
}

// high[j] and low[j] += the parts of x[j], so that 2^31 positions can be added up.
static void add_codes(int64_t *high, int64_t *low, const FxTensor *x, size_t first, size_t n) {
    if (x->type == FX_INT32) {
        const int32_t *codes = (const int32_t *)x->data + first;
        for (size_t j = 0; j < n; j++)
            low[j] += codes[j];
        return;
    }
    if (x->type == FX_INT64) {
        const int64_t *codes = (const int64_t *)x->data + first;
        for (size_t j = 0; j < n; j++) {
            high[j] += codes[j] >> LOW_BITS;
            low[j] += codes[j] & INT32_MAX;
        }
        return;
    }
    for (size_t j = 0; j < n; j++)
        low[j] += fx_tensor_get(x, first + j);
}

static void forward_image(const FxLayer *l, const FxTensor *x, const FxTensor *y, size_t image) {
    size_t positions = positions_of(l), channels = (size_t)l->in.c;
    for (size_t c = 0, n; c < channels; c += n) {
        int64_t high[FX_GAP_BLOCK] = {0}, low[FX_GAP_BLOCK] = {0}, *out = (int64_t *)y->data + image * channels + c;
        n = channels - c < FX_GAP_BLOCK ? channels - c : FX_GAP_BLOCK;
        for (size_t i = 0; i < positions; i++)
            add_codes(high, low, x, (image * positions + i) * channels + c, n);
        for (size_t j = 0; j < n; j++)
            out[j] = mean_of((__int128)high[j] * (INT64_C(1) << LOW_BITS) + low[j], positions);
    }
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts;
    int images = fx_layer_images(x, l->in);
    size_t positions = positions_of(l), channels = (size_t)l->in.c;
    assert(y->type == (x->type == FX_FLOAT32 ? FX_FLOAT32 : FX_INT64) && fx_layer_images(y, l->out) == images);
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (int n = 0; n < images; n++) {
        size_t image = (size_t)n;
        if (x->type == FX_FLOAT32)
            fx_gap_forward_f32(fx_tensor_at(y, image * channels), fx_tensor_at(x, image * positions * channels), positions, channels, work->cpu);
        else
            forward_image(l, x, y, image);
    }
}

static void backward_image(const FxLayer *l, const FxTensor *e, const FxTensor *dx, size_t image) {
    size_t positions = positions_of(l), channels = (size_t)l->in.c, first = image * positions * channels;
    char *row = fx_tensor_at(dx, first);
    for (size_t c = 0; c < channels; c++)
        fx_tensor_set(dx, first + c, mean_of(fx_tensor_get(e, image * channels + c), positions));
    for (size_t i = 1, size = channels * fx_type_size(dx->type); i < positions; i++)
        memcpy(row + i * size, row, size);
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)counts, (void)work;
    int images = fx_layer_images(e, l->out);
    size_t positions = positions_of(l), channels = (size_t)l->in.c;
    assert((e->type == FX_FLOAT32) == (dx->type == FX_FLOAT32) && fx_layer_images(dx, l->in) == images);
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1)
    for (int n = 0; n < images; n++) {
        size_t image = (size_t)n;
        if (e->type == FX_FLOAT32)
            fx_gap_backward_f32(fx_tensor_at(dx, image * positions * channels), fx_tensor_at(e, image * channels), positions, channels);
        else
            backward_image(l, e, dx, image);
    }
}

const FxLayerOps fx_gap_ops = {"GAP", "gap", FX_ROLE_MAP, true, "GAP: mean over all positions", plan, forward, backward_data, NULL, NULL};
