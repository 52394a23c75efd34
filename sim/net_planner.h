// What the parts of the planner share: net_plan.c products, maps and the ends of the net; net_errors.c the errors on their
// way down; net_norm.c norms, their parameters, additions.
// Times of a step with n nodes: node i runs forward at i, the loss at n, node i backward at 2n - i, all updates behind 2n.
#ifndef FX_NET_PLANNER_H
#define FX_NET_PLANNER_H

#include "sim/net_sums.h"

static inline size_t fx_max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

// *t = count elements that live from birth to death.
int fx_plan_tensor(const Planner *p, FxTensor *t, FxType type, size_t count, int birth, int death);

// When the output of node i is read last in the forward pass, past maps that work in place.
int fx_last_reader(const FxNet *net, int i);
// e and e_grad of node i, and what it gathers where it has several readers. Behind the sums of all products.
int fx_plan_errors(const Planner *p, int i);
// Largest magnitude and carrier of the codes that reach the node from above.
int fx_plan_error_type(const Planner *p, int i, FxType *type, uint64_t *max_error);
// Whether what arrives at node i as an error, before any rounding, comes as float32.
bool fx_error_source_is_float(const FxNet *net, int i);

// Store, gradient and what the optimiser keeps of a product or parameter whose gradient has type `sums`.
int fx_plan_update(const Planner *p, FxNode *node, FxType sums, int backward);

int fx_plan_norm(const Planner *p, int i);
int fx_plan_add(const Planner *p, int i);
// Scratch that the norms ask for.
size_t fx_plan_norm_scratch(const FxNet *net);

#endif
