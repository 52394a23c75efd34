// How the integer norms go over a tensor: tasks of whole rows that end where a chunk ends, sums a task and channel, and
// what is worked out once a channel. All of it lives in the work's scratch.
#ifndef FX_NORM_PLAN_H
#define FX_NORM_PLAN_H

#include "layers/norm.h"
#include "layers/norm_kernels.h"

// The steps of a channel between its sums and its loop, each kind its own. The scratch begins with one a channel.
typedef struct FxNormSteps {
    int64_t sum;               // S
    int64_t above_sum, above, below; // L1: sum of x where d > 0, counts of d > 0 and d < 0
    int64_t spread;            // A = sum |d|; range: sum of max - min over the chunks
    int64_t squares, variance, root; // L2: sum x^2, V = sum d^2, sigma * 2^7; shift: variance = sum |d| * |a|
    int power;                 // shift: scale = 2^power
    int bits;                  // rounded away from gamma * R
    int32_t P;                 // gamma * R
    int64_t addend;            // of y, at its exponent
    int shift;                 // y = round(d * G / 2^shift) + addend
    // backward
    int64_t products, deviation; // sum gy * x, sum gy * d
    int64_t mean;              // gb, Fb fraction bits
    int64_t quotient;          // z; L2 and shift: q'
    int64_t step;              // kap
    int64_t signs, step_mean;  // L1: sum sgn(d), mean of kap * sgn(d)
    int64_t q;                 // L2, shift
    int q_bits, q_shift;       // rounded away from q'; correction = round(d * q / 2^q_shift)
} FxNormSteps;

// Sums of one task and channel.
typedef struct FxNormPartial {
    int64_t sum, product, above, below;
    int64_t zeros;   // of y, and its largest magnitude
    int32_t largest;
    int32_t max, min;
    uint32_t max_row, min_row; // first row of each
} FxNormPartial;

typedef struct FxNormPlan {
    size_t rows, channels;
    size_t chunks;     // min(m, rows); 1 of other kinds
    size_t period;     // lanes after which channels and lanes begin anew: a whole number of rows
    size_t task_rows, chunk_tasks; // rows of a task, tasks of a chunk
    FxNormSteps *steps;       // [channels]
    FxNormPartial *partials;  // [chunks * chunk_tasks][channels]
    int32_t *memory;          // of lanes
    FxNormLanes lanes;        // [period] each
} FxNormPlan;

FxNormPlan fx_norm_plan(const FxNormRule *rule, size_t count, size_t channels, const FxWork *work);

size_t fx_norm_chunk(const FxNormPlan *plan, size_t chunk); // first row

// What one pass over the tensor does: the kernel and, for sums, where a channel's go.
typedef struct FxNormPass {
    const FxNormPlan *plan;
    FxNormKernel *kernel;
    const FxTensor *x, *e, *y; // e, y: NULL where the kernel has none
    bool sums;                 // fills the partials
} FxNormPass;

void fx_norm_pass(const FxNormPass *pass, const FxWork *work);

// The partials of chunk [first, last) added up; of equal extremes the first row's.
FxNormPartial fx_norm_total(const FxNormPlan *plan, size_t channel, size_t first, size_t last);

// Lanes of a channel: each the parameter of channel i at lanes i, i + channels, ...
void fx_norm_spread(const FxNormPlan *plan, int32_t *lane, size_t channel, int64_t value);

static inline int fx_norm_fraction(const FxTensor *x) {
    return x->type == FX_INT8 ? 8 : 0;
}

static inline int fx_norm_wide(const FxTensor *x) { // index into a kernel's types
    return x->type == FX_INT16;
}

#endif
