// What the planner proves of products: their operands, accumulators, chunks and losses.
#ifndef FX_NET_SUMS_H
#define FX_NET_SUMS_H

#include "sim/carriers.h"
#include "sim/net.h"

typedef struct Planner {
    FxNet *net;
    const FxConfig *config;
    FxError *err;
} Planner;

typedef struct FxOperands {
    const FxTensor *left, *right, *sums;
} FxOperands;

FxOperands fx_operands(const FxNode *node, FxProductKind kind);

// Products that one sum adds up; of integers, the bits with sign that the largest exact sum needs, a bias included.
size_t fx_product_terms(const FxLayer *layer, FxProductKind kind);
int fx_product_bits(const FxLayer *layer, FxProductKind kind);

// All errors: exit code 2. Codes of operands fit 32 bits; beside floats, 24.
int fx_check_operands(const Planner *p, int index);

// Some roundings exist for integers alone. Once all nodes are planned.
int fx_check_roundings(const Planner *p, int index);

// Accumulator bounds of one product layer over all phases, and the types of its sums.
// max_error: the largest error that the layer's products read, where its carrier is of integers.
int fx_plan_sums(const Planner *p, int index, uint64_t max_error, FxType sums[FX_PRODUCTS]);

// Accumulators of operands with blocks: a chunk is a block, and the gradient's order runs along the images.
int fx_chunk_blocks(const Planner *p, FxConfig *config);

// Target, width of the outputs and loss scale suit the loss; a recipe that claims integers has no floats.
int fx_check_loss(const Planner *p, bool integers);

#endif
