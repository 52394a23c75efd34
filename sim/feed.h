// Which image comes when, and what becomes of it on the way in: order of an epoch, batches, augmentation.
#ifndef FX_FEED_H
#define FX_FEED_H

#include "sim/net.h"

typedef struct FxFeed {
    const FxDataset *data;
    const FxConfig *config;
    uint32_t *order; // of the epoch that `epoch` names
    uint64_t epoch;
    bool ordered;
} FxFeed;

int fx_feed_init(FxFeed *feed, const FxDataset *data, const FxConfig *config, FxError *err);
void fx_feed_free(FxFeed *feed);

// Puts the training batch of a step into the net; returns its images (fewer than the batch only without drop-last).
int fx_feed_train(FxFeed *feed, FxNet *net, uint64_t step);

// Puts images first .. first + n - 1 of a set into the net, in file order, unchanged.
void fx_feed_images(FxNet *net, const FxImages *images, size_t first, int n);

#endif
