// Layers: a forward map and its backward halves, exact on integers, in the defined order on float32. Data is n h w c; the number of images of a call
// is read from its tensors, so that the last batch of an evaluation may be short.
// Nothing here rounds: quantisers stand between layers, in the training step.
#ifndef FX_LAYER_H
#define FX_LAYER_H

#include "formats/tensor.h"
#include "layers/accumulator.h"
#include "layers/norm.h"
#include "layers/work.h"

typedef struct FxLayer FxLayer;

typedef enum FxRole {
    FX_ROLE_PRODUCT, // reads codes and a weight operand, gives sums
    FX_ROLE_MAP,     // an exact map of codes or sums
    FX_ROLE_NORM,    // a batch norm
    FX_ROLE_ADD,     // of two tensors: the end of a residual block
    FX_ROLE_PARAMETER, // gamma or beta of a norm
    FX_ROLE_LOSS
} FxRole;

// The three products of a layer with weights.
typedef enum FxProductKind { FX_FORWARD, FX_ERROR, FX_GRADIENT, FX_PRODUCTS } FxProductKind;
extern const char *const fx_product_names[FX_PRODUCTS]; // "forward", "error", "gradient"

// One line a layer. A layer has its place in the notation (token) and in recipes (name).
typedef struct FxLayerOps {
    const char *token, *name;
    FxRole role;
    bool relu_before;  // a ReLU is implied in front of it, except at the net's input
    const char *syntax;
    // Reads count, kernel, pad, stride (-1: not written) and in (n is the batch); sets out, the window and, for
    // products, the weight's sizes. Errors: exit code 2; what names the layer.
    int (*plan)(FxLayer *layer, const char *what, FxError *err);
    // y: of shape out. A product reads layer->weight; a map may write layer->saved for its backward.
    void (*forward)(const FxLayer *layer, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts);
    // dx: of shape in, from the error e at the output.
    void (*backward_data)(const FxLayer *layer, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts);
    // dw: of the weight's shape, summed over the batch. NULL: no weights.
    void (*backward_weights)(const FxLayer *layer, const FxTensor *x, const FxTensor *e, const FxTensor *dw, const FxWork *work,
                             FxAccumulatorCounts *counts);
    const char *saved; // what a map keeps in layer->saved, for traces
} FxLayerOps;

struct FxLayer {
    const FxLayerOps *ops;
    int count, kernel, pad, stride; // as planned
    FxShape in, out;
    // products: weights [kernel][kernel][ci][co]; a fully connected layer is a 1x1 convolution of 1x1 images with ci = h*w*c
    FxShape image; // what the product reads: in, or 1 x 1 x (h*w*c)
    size_t weights, fan_in;
    FxTensor weight;                     // operand: codes or float32
    FxTensor bias;                       // added to the forward sums, one a channel; count 0: none. Float32 where the sums are
    const FxRandom *random;              // of the accumulators of float sums, and of dropout
    FxAccumulator accumulator[FX_PRODUCTS];
    uint64_t max_product[FX_PRODUCTS];   // largest magnitude of one product
    uint64_t bias_terms;                 // as many largest forward products as a bias of integers may add up to
    FxTensor saved;                      // pool: place of the winner in its window, uint8; relu: 1 where x > 0, uint8
    bool in_place;                       // y may be x
    uint64_t first_word;                 // dropout: element whose word is the first; a second one behind a product: 2^40
    int gain;                            // of a map of integers: what it adds to the exponent, forward and backward; floats: nothing
};

const FxLayerOps *fx_layer_ops(int i); // NULL past the last
const FxLayerOps *fx_layer_find(const char *token);

// The shape with n images, and the images that a tensor of this shape holds.
FxShape fx_shape_images(FxShape shape, int n);
int fx_layer_images(const FxTensor *t, FxShape shape);

// Whether the additions of a float product are counted: not the plain float32 chains.
bool fx_layer_counts_f32(const FxAccumulator *acc);

// Bytes of scratch that a product of so many images needs; only the tensors' types are read.
size_t fx_layer_scratch(const FxLayer *layer, FxProductKind kind, int images, const FxTensor *left, const FxTensor *right,
                        const FxTensor *sums, const FxWork *work);

// The product of the kind as fx_accumulate wants it, without pointers where the tensors are NULL.
FxProduct fx_layer_product(const FxLayer *layer, FxProductKind kind, int images, const FxTensor *left, const FxTensor *right,
                           const FxTensor *sums);

// The kind that a norm's layer writes.
FxNormKind fx_norm_kind_of(const FxLayerOps *ops);

extern const FxLayerOps fx_l2_norm_ops, fx_l1_norm_ops, fx_range_norm_ops, fx_shift_norm_ops, fx_add_ops;
extern const FxLayerOps fx_gamma_ops, fx_beta_ops; // in no table
extern const FxLayerOps fx_identity_ops;           // likewise: a norm that a recipe leaves out
extern const FxLayerOps fx_conv_ops, fx_fc_ops, fx_max_pool_ops, fx_gap_ops, fx_relu_ops, fx_dropout_ops, fx_sse_ops, fx_softmax_ops, fx_niti_ops;

#endif
