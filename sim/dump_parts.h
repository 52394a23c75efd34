// What the parts of a dump share: dump_step.c the tensors that a step tells of, dump_norm.c the numbers that a norm keeps for each
// channel, dump_tables.c step.csv and sites.csv.
#ifndef FX_DUMP_PARTS_H
#define FX_DUMP_PARTS_H

#include "sim/dump_step.h"

typedef struct FxDump {
    FxRun *run;
    const FxSink *sink;
    const char *directory;
    FxStep step;      // what random words are a function of
    int images;
    FxTensor update;  // pieces so far; count grows to the store's
    bool failed;
    FxError *err;
} FxDump;

// Hands the sink a described tensor, unless something failed before.
void fx_dump_add(FxDump *d, FxVector *v, const FxTensor *t);
// A tensor with an element a channel as LAYER.SITE. Integers: signed, of so many bits, exponent t->exponent where has_exponent.
void fx_dump_channels(FxDump *d, const char *layer, const char *site, const FxTensor *t, int bits, bool has_exponent);
// Exponents of the channels of LAYER.SITE as LAYER.SITE.exponent.
void fx_dump_exponents(FxDump *d, const char *layer, const char *site, int32_t *exponents, size_t channels);

// What is `what` at a map, the first of its kind above its owner; a second: a number behind the first word, relu2.mask.
void fx_dump_map_name(char name[FX_VECTOR_NAME], const FxNet *net, const FxNode *map, const char *what);
// The name of the product, norm or addition that a map stands above; "image".
const char *fx_dump_map_layer(const FxNet *net, const FxNode *map);

// Behind a norm's forward and backward half: what it has kept for each channel; the gradients of gamma and beta before their quantiser.
void fx_dump_norm(FxDump *d, const FxNode *norm);
void fx_dump_norm_back(FxDump *d, const FxNode *norm);
// Running statistics of all norms that have begun. end: ".before", or "" behind the step.
void fx_dump_running(FxDump *d, const char *end);

void fx_dump_write_step(FxDump *d);
void fx_dump_write_sites(FxDump *d);

#endif
