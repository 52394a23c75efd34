#include "sim/feed.h"

#include <stdlib.h>
#include <string.h>

int fx_feed_init(FxFeed *feed, const FxDataset *data, const FxConfig *config, FxError *err) {
    memset(feed, 0, sizeof *feed);
    feed->data = data;
    feed->config = config;
    feed->order = malloc(config->train_images * sizeof *feed->order);
    return feed->order ? 0 : fx_fail_memory(err, "order of the images", config->train_images * sizeof *feed->order);
}

void fx_feed_free(FxFeed *feed) {
    free(feed->order);
    memset(feed, 0, sizeof *feed);
}

// Fisher-Yates from 0 .. N-1, anew each epoch: swap i with word(i) * (i + 1) >> 32.
static void shuffle(FxFeed *feed, uint64_t epoch) {
    if (feed->ordered && feed->epoch == epoch)
        return;
    FxRng rng = {feed->config->seed_order, FX_ROLE_ORDER, (uint32_t)epoch};
    size_t n = feed->config->train_images;
    for (size_t i = 0; i < n; i++)
        feed->order[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        size_t j = (size_t)((uint64_t)fx_rng_word(rng, i) * (i + 1) >> 32);
        uint32_t t = feed->order[i];
        feed->order[i] = feed->order[j];
        feed->order[j] = t;
    }
    feed->epoch = epoch;
    feed->ordered = true;
}

// Pads the raw bytes with 0, crops at (dy, dx), then mirrors left to right.
static void augment(uint8_t *out, const uint8_t *in, FxShape shape, const FxAugment *a, uint32_t word) {
    size_t h = (size_t)shape.h, w = (size_t)shape.w, c = (size_t)shape.c;
    uint32_t span = 2 * (uint32_t)a->pad + 1;
    int dy = (int)((word & 32767) * span >> 15) - a->pad, dx = (int)((word >> 15 & 32767) * span >> 15) - a->pad;
    bool flip = a->flip && word >> 31;
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            int iy = (int)y + dy, ix = (int)(flip ? w - 1 - x : x) + dx;
            uint8_t *to = out + (y * w + x) * c;
            if (iy < 0 || iy >= shape.h || ix < 0 || ix >= shape.w)
                memset(to, 0, c);
            else
                memcpy(to, in + ((size_t)iy * w + (size_t)ix) * c, c);
        }
}

int fx_feed_train(FxFeed *feed, FxNet *net, uint64_t step) {
    const FxConfig *config = feed->config;
    const FxImages *images = &feed->data->train;
    const FxAugment *how = &fx_config_phase(config, step)->augment;
    uint64_t epoch = step / config->steps_per_epoch;
    size_t first = (size_t)(step % config->steps_per_epoch) * (size_t)config->batch, left = config->train_images - first;
    int n = left < (size_t)config->batch ? (int)left : config->batch;
    size_t size = fx_shape_count(fx_shape_images(net->shape, 1));
    FxRng rng = {config->seed_augment, FX_ROLE_AUGMENT, (uint32_t)epoch};
    shuffle(feed, epoch);
    for (int i = 0; i < n; i++) {
        size_t number = feed->order[first + (size_t)i];
        uint8_t *to = net->batch_pixels + (size_t)i * size;
        net->batch_labels[i] = images->labels[number];
        if (how->pad || how->flip)
            augment(to, images->pixels + number * size, net->shape, how, fx_rng_word(rng, number));
        else
            memcpy(to, images->pixels + number * size, size);
    }
    return n;
}

void fx_feed_images(FxNet *net, const FxImages *images, size_t first, int n) {
    size_t size = fx_shape_count(fx_shape_images(net->shape, 1));
    memcpy(net->batch_pixels, images->pixels + first * size, (size_t)n * size);
    memcpy(net->batch_labels, images->labels + first, (size_t)n);
}
