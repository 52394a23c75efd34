// The slow twin of a float training step: loops in float64 over a net in notation. It shares with the product the random
// words of the initial weights, and nothing else.
#ifndef FX_TESTS_SLOW_NET_H
#define FX_TESTS_SLOW_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOW_NET_LAYERS = 8 };

typedef enum SlowKindOfLayer { SLOW_CONV, SLOW_FC, SLOW_POOL } SlowKindOfLayer;

// Data is [n][h][w][c], weights [kernel][kernel][c][out_c], those of FC [h * w * c][out_c]. A ReLU stands in front of every
// product but the first.
typedef struct SlowNetLayer {
    SlowKindOfLayer kind;
    int kernel, stride, pad;
    int in_h, in_w, in_c, out_h, out_w, out_c;
    size_t weights, biases; // of all: w, m, v, dw hold the biases behind the weights
    double *w, *m, *v;      // m and v start from 0
    // of the last step; x as the layer read it
    double *x, *y, *e, *dx, *dw;
} SlowNetLayer;

typedef enum SlowRule { SLOW_SGD, SLOW_SGD_INNER, SLOW_ADAM } SlowRule;

typedef struct SlowNet {
    const char *notation;      // as "4C3-MP2-8C3p1s2-16FC-10"
    int h, w, c, batch;        // batch: the nominal one
    bool bias, softmax;        // else squared errors
    SlowRule rule;
    bool nesterov;
    double rate, momentum, decay, beta1, beta2, epsilon;
    double loss_scale;         // 0: 1
    uint64_t seed;

    int layers, classes;
    SlowNetLayer layer[SLOW_NET_LAYERS];
    double loss;               // of the last step: sum over its images, without mean and loss scale
} SlowNet;

// Shapes, and weights uniform in +-sqrt(6 / fan-in), of the last layer sqrt(3 / fan-in); biases 0. Free with slow_net_free.
void slow_net_init(SlowNet *net);
void slow_net_free(SlowNet *net);

// Sets y of every layer, and the loss, from images [n][h][w][c].
void slow_net_forward(SlowNet *net, const double *images, const uint8_t *labels, int n);
// e at the sums of every layer, dx and dw; the loss scale is in them. After slow_net_forward.
void slow_net_backward(SlowNet *net, const uint8_t *labels, int n);
// New weights from dw. done: updates before this one.
void slow_net_update(SlowNet *net, uint64_t done);

// What a training minimises: the mean over the nominal batch of the cross-entropy, or half the sum of squares; times the
// loss scale.
double slow_net_objective(const SlowNet *net);

// The number that recipes make of a decimal: 15 bits, to nearest.
double slow_net_scalar(double x);

#endif
