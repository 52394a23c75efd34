// A network ready to train: its nodes in reading order, every buffer planned, the weights' codes.
#ifndef FX_NET_H
#define FX_NET_H

#include "layers/layer.h"
#include "sim/config.h"
#include "sim/data.h"
#include "sim/memory.h"
#include "sim/quality_f32.h"

// Outputs of more bits or finer than this are refused: squares of their errors must add up in 128 bits, for 2^40 of them.
enum { FX_MOST_OUTPUT_BITS = 42, FX_LEAST_OUTPUT_EXPONENT = -42 };

// What a site has seen since the last row of stats.csv. 64-bit fields alone: a checkpoint keeps them as they stand.
typedef struct FxSiteState {
    FxStats stats;
    int64_t exponent;       // chosen last; for scales that are discarded, the shift
    uint64_t chosen;        // 1: an exponent has been chosen at all
    uint64_t exponent_moves;
    uint64_t changed;       // store: codes that differ from the step before
    int64_t words[FX_AUTOFLEX_WORDS]; // of a controller
    uint64_t rule;          // which rule they belong to
    uint64_t format;        // which quantiser the kept numbers have: told apart by a fork
    FxQuality quality;      // stats.kind = full
    FxStats last;           // of the last step alone
    uint64_t last_changed;
} FxSiteState;

typedef struct FxNode {
    FxLayer layer;
    int input; // node that feeds this one; -1: the image
    int id;    // of the last product layer up to here, first 1; 0 before any
    FxTensor y; // output: sums of a product, or what a map made of them
    FxTensor e, e_grad; // error at y; its copy for the gradient product, no data: none. Codes or float32
    // products
    FxLayerName name;
    FxTensor store;         // kept weights, behind them the bias of a net that has one
    FxTensor momentum, second; // of the optimiser, as many; no data: none
    int32_t exponents[3];   // of these three, for checkpoints
    FxTensor x, x_grad;     // operand: the image's, or the activation quantiser's; its copy for the gradient product
    FxTensor weight_back;   // copy of layer.weight for the error product
    FxTensor pass;          // clip mask of the activation quantiser, 1 = passes, uint8; no data: none
    FxTensor dx, dw;        // sums of the error and gradient products; behind dw the bias's gradient
    FxTensor db;            // of integers: the bias's gradient in its own unit
    FxTensor g;             // Q_gradient(dw); no data: the update rounds dw itself (rate-unit = lsb)
    bool updates_integers;  // the optimiser's sums are exact integers, else float32
    int alpha;              // log2 of WAGE's layer constant
    FxSiteState site[FX_SITE_NUMBERS];
    FxAccumulatorCounts sums[FX_PRODUCTS];
    uint64_t live_activations, live_errors; // codes other than 0 since the epoch began
} FxNode;

typedef struct FxNet {
    FxNode *nodes;
    int count;
    int *products;     // node of product layer i
    int product_count;
    char notation[512];
    FxShape shape;     // of the images, n = batch
    int classes;
    const FxLayerOps *loss;
    FxTensor image;        // what the input's map makes of the bytes where that is rounded again; no data: in one step
    FxTensor image_codes;  // x of the first product, or the input of a map before it
    FxTensor image_grad;   // its copy for the first gradient product
    uint8_t *batch_pixels; // batch x h x w x c, after augmentation
    uint8_t *batch_labels;
    FxTensor logits;       // quantised outputs, or those that a float32 loss reads; no data: the sums themselves
    FxTensor logits_pass;  // their clip mask
    FxTensor loss_error;   // e at the output before its quantiser: int64 or float32
    FxTensor update[FX_UPDATE_BUFFERS + 2]; // of the optimiser: buffers, the new store, directions
    FxTensor casts;        // room for a cast a channel, bytes
    FxTensor input_values; // of mean-std: 256 numbers a channel, float32
    uint64_t updates;      // that the optimiser has made: skipped steps are none
    FxMemory memory;
    FxWork work;
} FxNet;

// Reads the notation (or lenet, vgg7, mlp, auto) for images of a data set and plans every node's shape. loss: token that
// a net without one gets. Errors: exit code 2.
int fx_net_build(FxNet *net, const char *notation, const FxDataset *data, int batch, const char *loss, FxError *err);

// Names of the product layers, for a recipe: net->product_count of them.
void fx_net_names(const FxNet *net, FxLayerName *names);

// Types, bounds and buffers for every phase of the configuration; proves the accumulators, and chunks those of blocks by
// their shapes. Errors: exit code 2.
int fx_net_plan(FxNet *net, FxConfig *config, int threads, unsigned cpu, FxError *err);

// Sites that have seen nothing and controllers at their start; the initial weights, which the store's controller observes;
// both. Errors: exit code 1.
void fx_net_start(FxNet *net, const FxConfig *config);
int fx_net_draw(FxNet *net, const FxConfig *config, FxError *err);
int fx_net_init(FxNet *net, const FxConfig *config, FxError *err);

// A number that tells texts apart (FNV-1a).
uint64_t fx_text_mark(const char *text);

// Controllers whose rule is not the one that their words belong to begin anew: at the start, and in a fork.
void fx_net_start_controllers(FxNet *net, const FxPhase *phase);

// store, momentum or second = from, rounded to nearest by the site's quantiser.
void fx_net_adopt(FxNet *net, const FxConfig *config, const FxPhase *phase, int layer, FxSite site, const FxTensor *from);

// x[i] = (2 * word i + 1 - 2^32) * 2^-32 * sqrt(init_c / fan_in), float64.
void fx_init_draw_f64(void *x, FxRng rng, size_t n, int init_c, size_t fan_in);

void fx_net_free(FxNet *net); // accepts a zeroed struct

static inline FxNode *fx_net_product(const FxNet *net, int i) {
    return &net->nodes[net->products[i]];
}

#endif
