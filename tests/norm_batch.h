// A batch for the float norms with everything that they read and write, guarded, and the kinds that tests walk.
#ifndef FX_TESTS_NORM_BATCH_H
#define FX_TESTS_NORM_BATCH_H

#include "layers/norm_f32.h"
#include "tests/slow_norm.h"

typedef struct Kind {
    const char *name;
    FxNormKind kind;
    int chunks;
    bool detach;
} Kind;

enum { KINDS = 10 };
extern const Kind kinds[KINDS];

// constant = code of a nominal batch of n; weight 1/8 on the new.
FxNormRule rule_of(const Kind *k, size_t n);
SlowNorm slow_of(const FxNormRule *rule, double epsilon);

double unit_draw(void);   // -1..1
double normal_draw(void); // a sum of twelve, variance 1
// got is within error of want.
void expect_about(const char *kind, const char *what, size_t i, double got, double want, double error);

enum { MEAN, SCALE, GAMMA, BETA, DGAMMA, DBETA, SMALL };
enum { X, Y, XHAT, Y_OF_XHAT, GY, DX, LARGE };

// small: c values, large: n x c, one guard element behind each.
typedef struct Batch {
    FxNormRule rule;
    size_t n, c;
    float *small[SMALL], *large[LARGE];
} Batch;

float *guarded(size_t n); // to be freed
Batch batch_of(const Kind *kind, size_t n, size_t c);
void batch_free(Batch *b);
// Skewed data, a size and place of its own for each channel.
void batch_fill(Batch *b);
void batch_copy(Batch *to, const Batch *b); // x, gy, gamma, beta
FxTensor small(const Batch *b, int i);
FxTensor large(const Batch *b, int i);

// work->scratch of just the size asked for, guarded.
FxWork work_of(const Batch *b, unsigned cpu, int threads);
void work_free(const FxWork *work);

void backward(const Batch *b, int dx_place, const FxWork *work);
// Statistics, forward in one and in two steps, backward; the guards hold.
void run(const Batch *b, unsigned cpu, int threads);

#endif
