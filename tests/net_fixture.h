// Nets ready to step, for tests: recipe, data, net, configuration and feed set up in one call; the
// weights' CRC, the answers over a test set, and a recording of every tensor of a step.
#ifndef FX_TESTS_NET_FIXTURE_H
#define FX_TESTS_NET_FIXTURE_H

#include "sim/feed.h"
#include "sim/step.h"

enum { NET_OVERRIDES = 16 };

typedef struct NetSetup {
    const char *recipe, *net;
    const FxDataset *data;
    int batch;
    uint64_t seed;
    int threads; // 0: one
    unsigned cpu;
    bool floats; // fixed grids too are carried as float32
    const char *overrides[NET_OVERRIDES]; // key=value, up to the first NULL
} NetSetup;

typedef struct NetFixture {
    const FxDataset *data;
    FxRecipe recipe;
    FxConfig config;
    FxNet net;
    FxFeed feed;
    FxTotals totals; // since the epoch's start
    uint64_t step;   // updates done
} NetFixture;

// Initial weights; what does not resolve fails the test with the message. Free with net_close.
void net_open(NetFixture *f, const NetSetup *setup);
// The same, but says whether it could be made: -1 and the reason.
int net_try(NetFixture *f, const NetSetup *setup, FxError *err);
void net_close(NetFixture *f);

// One update on the next batch; trace may be NULL. At an epoch's start the totals begin anew.
void net_train(NetFixture *f, const FxTrace *trace);
// One update on the `images` that already stand in the net's batch, under the loss scale that the
// recipe starts with.
void net_train_batch(NetFixture *f, int images, const FxTrace *trace);
// The answers over all test images under the weights as they are.
FxTotals net_evaluate(NetFixture *f);

// The sites' counts begin anew.
void net_clear_stats(NetFixture *f);

// zlib CRC-32 over each layer's stored codes as little-endian int32, each layer followed by the
// exponent of its store.
uint32_t net_crc(const NetFixture *f);
FxLayerConfig *net_layer_config(const NetFixture *f, int layer); // under the current step's phase

// A data set made by a formula: n images h x w x c of 10 classes for training, n / 4 for the test.
// fx_dataset_free frees it.
FxDataset dataset_made(int h, int w, int c, size_t n);
// The built-in digits, loaded once a program; never freed.
const FxDataset *dataset_digits(void);

// Every tensor of a step, widened. Pieces of one tensor told one after the other are joined.
typedef struct Recorded {
    int id;
    char what[32];
    size_t count;
    int exponent;
    int64_t *codes;
} Recorded;

typedef struct Recording {
    Recorded *tensors;
    size_t count;
} Recording;

FxTrace recording_trace(Recording *r);
void recording_add(Recording *r, int id, const char *what, const int64_t *codes, size_t count,
                   int exponent);
const Recorded *recording_find(const Recording *r, int id, const char *what); // NULL: not there
void recording_clear(Recording *r);
// The same tensors with the same exponents and codes; where not, fails and names the first
// difference.
void recordings_must_agree(const Recording *got, const Recording *wanted, const char *label);

#endif
