// The slow twin of a training step of integer nets with batch norms, residual blocks and global average pooling: loops over a
// net in notation, every rounding at its site from the definitions of tests/slow.h and tests/norm_run.h. Of the product it
// reads the resolved recipe (formats, what the norms' keys say), the batch's bytes and the initial weights, and nothing else.
#ifndef FX_TESTS_SLOW_STEP_H
#define FX_TESTS_SLOW_STEP_H

#include "sim/config.h"
#include "tests/norm_run.h"

enum { SLOW_NODES = 40, SLOW_CHANNELS = 16 };

// Codes with one exponent, or one a channel: element i belongs to channel i % c.
typedef struct SlowValues {
    int64_t *v;
    size_t n;
    int c, e;
    int *ec; // NULL: e
} SlowValues;

// mantissa * 2^exponent
typedef struct SlowScalar {
    Wide m;
    int e;
} SlowScalar;

// up / down in 15 bits, to nearest, ties to even.
SlowScalar slow_scalar(Wide up, Wide down);

// What an optimiser keeps, and the finished gradient.
typedef struct SlowKept {
    FxSite store_site, gradient_site;
    uint64_t word, shared_word; // first random word of its own roles; of momentum
    bool decays;
    size_t n;
    int64_t *w, *m;
    SlowValues dw;
    const char *told; // name of the rounded gradient
} SlowKept;

typedef enum SlowNodeKind { SLOW_PRODUCT, SLOW_POOL, SLOW_RELU, SLOW_GAP, SLOW_NORM, SLOW_ADD } SlowNodeKind;

typedef struct SlowNode {
    SlowNodeKind kind;
    int input, shortcut; // nodes; -1: the image or none
    int id, readers, owner;
    int ih, iw, ic, oh, ow, oc, kernel, stride, pad;
    SlowKept kept[2];    // of a product: weights; of a norm: gamma, beta
    int last[FX_SITE_NUMBERS][SLOW_CHANNELS + 1]; // exponents chosen last: of channels, then of the tensor
    // of the step
    SlowValues x, operand, y, e, e_grad, handed[2];
    uint8_t *pass;
    int *winner;
    int handed_count;
    // norms
    bool begun;
    int64_t run_mean[SLOW_CHANNELS], run_scale[SLOW_CHANNELS];
    int run_exponent;
} SlowNode;

// Told of the tensors of a step, in order.
typedef void SlowTold(void *user, int id, const char *what, const SlowValues *v);

typedef struct SlowStep {
    // set before slow_step_open
    const FxConfig *config;
    const char *notation;
    int h, w, channels, batch;
    bool softmax;
    uint64_t seed;
    SlowScalar rate, momentum, decay; // as the update uses them: of the batch's sum
    SlowTold *told;
    void *user;

    SlowNode node[SLOW_NODES];
    int nodes, products;
    uint64_t step;
    // of the call
    const uint8_t *pixels, *labels;
    int images;
    bool evaluation;
    uint64_t first_image;
    void **memory; // until the call ends
    size_t pieces;
} SlowStep;

// Nodes and shapes; stores of zeros, gamma 1.
void slow_step_open(SlowStep *s);
void slow_step_close(SlowStep *s);
// The node of product layer id, the norm `which` of those that stand behind it.
SlowNode *slow_step_product(SlowStep *s, int id);
SlowNode *slow_step_norm(SlowStep *s, int id, int which);

void slow_step_train(SlowStep *s, const uint8_t *pixels, const uint8_t *labels, int images);
// Forward only, its words those of images first, first + 1, ...
void slow_step_evaluate(SlowStep *s, const uint8_t *pixels, int images, uint64_t first);

// Parts, for slow_step*.c
void *slow_step_memory(SlowStep *s, size_t count, size_t size); // zeros
SlowValues slow_step_values(SlowStep *s, size_t n, int c, int e);
void slow_step_tell(SlowStep *s, const SlowNode *node, const char *what, const SlowValues *v);
const FxSiteConfig *slow_step_site(const SlowStep *s, const SlowNode *node, FxSite site);
int slow_step_exponent(const SlowValues *x, size_t i);
// x rounded at a site whose words begin at `word`; x itself where the site is none. steps: NULL, or a rate that is applied first
// while the scale is chosen without it: the result counts steps.
SlowValues slow_step_round(SlowStep *s, SlowNode *node, FxSite site, const SlowValues *x, uint64_t word, const SlowScalar *steps);
SlowValues slow_step_sum(SlowStep *s, const SlowValues *parts, int count);
void slow_step_norm_forward(SlowStep *s, SlowNode *node);
void slow_step_norm_backward(SlowStep *s, SlowNode *node, SlowValues *t);
void slow_step_update(SlowStep *s, SlowNode *node, SlowKept *kept);
uint64_t slow_step_word(const SlowStep *s, const SlowNode *node, FxSite site);

#endif
