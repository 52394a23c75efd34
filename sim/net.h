// A network ready to train: its nodes in reading order, every buffer planned, the weights' codes.
#ifndef FX_NET_H
#define FX_NET_H

#include "layers/layer.h"
#include "sim/config.h"
#include "sim/data.h"
#include "sim/memory.h"
#include "sim/quality_f32.h"
#include "sim/tensor_cast.h"

// Outputs of more bits or finer than this are refused: squares of their errors must add up in 128 bits, for 2^40 of them.
enum { FX_MOST_OUTPUT_BITS = 42, FX_LEAST_OUTPUT_EXPONENT = -42 };

// What a site has seen since the last row of stats.csv. 64-bit fields alone: a checkpoint keeps them as they stand.
typedef struct FxSiteState {
    FxStats stats;
    int64_t exponent;       // chosen last; for scales that are discarded, the shift
    uint64_t chosen;        // 1: an exponent has been chosen at all
    uint64_t exponent_moves;
    uint64_t changed;       // store: codes that differ from the step before
    uint64_t floored;       // preact of a norm in integers: channels whose floor acted
    int64_t words[FX_AUTOFLEX_WORDS]; // of a controller
    uint64_t rule;          // which rule they belong to
    uint64_t format;        // which quantiser the kept numbers have: told apart by a fork
    FxQuality quality;      // stats.kind = full
    FxStats last;           // of the last step alone
    uint64_t last_changed, last_floored;
} FxSiteState;

// A node may have so many readers.
enum { FX_MOST_READERS = 16 };

typedef struct FxNormNode FxNormNode;

// Products, maps, norms, additions, the loss; and behind each norm two parameters, gamma and beta, which stand in no list of nodes
// but have stores, sites and updates as products have.
typedef struct FxNode {
    FxLayer layer;
    int input;    // node that feeds this one; -1: the image
    int shortcut; // of an addition: the node that feeds its second operand; -1 elsewhere
    int readers[FX_MOST_READERS], reader_count; // nodes that read y, in reading order
    int owner;    // this node or, of a map, the first below it that is none: its site rounds the error that arrives here; -1: the image
    int id;       // of the last product layer up to here, first 1; 0 before any
    uint64_t first_word[FX_SITE_NUMBERS]; // index of a site's first random word: a second node of the same id and role begins at 2^40
    FxTensor y; // output: sums of a product, or what a map made of them; of norms int32 or float32, of additions int64 or float32
    FxTensor e, e_grad; // error at y; its copy for the gradient product, no data: none. Codes or float32
    FxTensor handed;    // what this node hands down as an error where the node below has several readers; with units: see FxUnits
    FxUnits handed_units;
    FxTensor fork, fork_codes; // sum of what the readers hand down, where there are several; rounded at sum.error, no data: not
    FxNormNode *norm;   // NULL elsewhere
    FxTensor sum;       // additions: before the site sum; no data: y itself
    // products, norms, additions and parameters
    FxLayerName name;
    FxSite store_site, gradient_site; // of what has a store
    FxTensor store;         // kept weights, behind them the bias of a net that has one
    FxTensor momentum, second; // of the optimiser, as many; no data: none
    int32_t exponents[3];   // of these three, for checkpoints
    FxTensor x, x_grad;     // operand: the image's, or the activation quantiser's; its copy for the gradient product. Norms: Q_preact of
                            // the input; additions: of their operands, no data: as they are
    FxTensor weight_back;   // copy of layer.weight for the error product
    FxTensor pass;          // clip mask of the activation quantiser, 1 = passes, uint8; no data: none
    int32_t *e_exponents;   // of products: one an output channel, at most FX_ERROR_SPREAD apart; NULL: e.exponent
    FxTensor weight_aligned; // with e_exponents: what the error product reads, int16, each channel in the unit of the finest
    int32_t *dw_exponents;  // one an output channel; NULL: dw.exponent
    FxTensor dx, dw;        // sums of the error and gradient products; behind dw the bias's gradient. Norms: t, or dX in float32
    FxTensor db;            // of integers: the bias's gradient in its own unit
    FxTensor g;             // Q_gradient(dw); no data: the update rounds dw itself (rate-unit = lsb)
    bool updates_integers;  // the optimiser's sums are exact integers, else float32
    int alpha;              // log2 of WAGE's layer constant
    FxSiteState site[FX_SITE_NUMBERS];
    FxAccumulatorCounts sums[FX_PRODUCTS];
    uint64_t live_activations, live_errors; // codes other than 0 since the epoch began
} FxNode;

// A batch norm. Integers: running statistics int32 of the exponent running_state[1]; else float32.
struct FxNormNode {
    FxNormRule rule;
    bool integers;
    int32_t range_constant;
    FxNormChannel *channels;
    int32_t *x_exponents;        // of preact; NULL: one a tensor
    FxTensor x_kept;             // with x_exponents: those of the last training step, which channels that are all zero keep
    int32_t *multiplier, *exponent; // of dx
    FxUnitsSeen *seen;           // in dx
    FxTensor mean, scale, xhat;  // float32; xhat no data: it is not rounded
    FxTensor running[2];         // mean, scale
    int64_t running_state[2];    // 1: begun; exponent
    FxNode parameter[2];         // gamma, beta
};

typedef struct FxNet {
    FxNode *nodes;
    int count;
    FxNode **keepers;  // nodes with a store or sites, in reading order, a norm's parameters behind it
    int keeper_count;
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

// Connections, net_graph.c: readers, names and keepers, once all nodes are there. Errors: exit code 2.
int fx_net_connect(FxNet *net, FxError *err);
// FxNode.owner of node i, that of its input being known.
int fx_net_owner(const FxNet *net, int i);
// Keepers anew, once a recipe has left norms out: they are maps from then on.
void fx_net_find_keepers(FxNet *net);
// Whether the site is one of this node.
bool fx_node_has_site(const FxNode *node, FxSite site);
static inline bool fx_node_is_fork(const FxNode *node) { return node->reader_count > 1; }
// Largest magnitude of a node's kept codes; INT64_MAX: no fixed grid.
int64_t fx_node_store_limit(const FxNode *node, const FxLayerConfig *c);

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
void fx_net_adopt(FxNet *net, const FxConfig *config, const FxPhase *phase, FxNode *node, FxSite site, const FxTensor *from);

// x[i] = (2 * word i + 1 - 2^32) * 2^-32 * sqrt(init_c / fan_in), float64.
void fx_init_draw_f64(void *x, FxRng rng, size_t n, int init_c, size_t fan_in);

void fx_net_free(FxNet *net); // accepts a zeroed struct

static inline FxNode *fx_net_product(const FxNet *net, int i) {
    return &net->nodes[net->products[i]];
}

#endif
