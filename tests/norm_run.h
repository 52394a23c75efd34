// An integer norm on tensors of its own, run forward and backward with whatever instruction set and threads; its channels
// told to the slow twin, which works from the definitions, one channel at a time, in 128 bits, by loops and quotients.
#ifndef FX_TESTS_NORM_RUN_H
#define FX_TESTS_NORM_RUN_H

#include "layers/norm_plan.h"
#include "tests/slow.h"

typedef struct NormRun {
    FxNormRule rule;
    int32_t constant;
    size_t n, c;
    FxTensor x, gy, gamma, beta, y, t;
    int32_t *ex, *egy;      // exponents a channel
    FxNormChannel *channels;
    FxUnitsSeen *seen; // where `sees`
    bool sees;
    void *scratch;
    size_t scratch_size;
} NormRun;

// Tensors of zeros: l1 of exact division, floor 64, fraction 6, until the caller says otherwise.
NormRun norm_run_new(FxNormKind kind, FxType x, FxType gy, size_t n, size_t c);
void norm_run_free(NormRun *r);

FxWork norm_work(NormRun *r, unsigned cpu, int threads); // the scratch is filled with rubbish
void norm_forward(NormRun *r, unsigned cpu, int threads);
void norm_backward(NormRun *r, unsigned cpu, int threads);
// A channel's steps as the last call left them.
const FxNormSteps *norm_steps(const NormRun *r, size_t channel);

// Both on every instruction set and on 1, 2 and 3 threads: the same y, t and channels each time.
void norm_run_everywhere(NormRun *r);

// One channel by the twin. y, t: n numbers.
typedef struct SlowNorm {
    Wide M, num, den, R, G, db, dgm;
    int k, eG, E;
    bool floored, dead;
    Wide *y, *t;
} SlowNorm;

SlowNorm slow_norm(const NormRun *r, size_t channel);
void slow_norm_free(SlowNorm *s);

// floor(v / 2^s + 1/2), s of any sign; floor(a / n + 1/2); sgn(v) * 2^(log2 |v| to nearest).
Wide slow_shift(Wide v, int s);
Wide slow_quotient(Wide a, Wide n);
Wide slow_power_near(Wide v);
Wide slow_clamp(Wide v, Wide limit);
int slow_gain(Wide product, Wide *G); // G ~ product / 2^result, 16 bits
void slow_reciprocal(const FxNormRule *rule, Wide num, Wide den, Wide *R, int *k);

// The twin and the run agree in every result of every channel.
void norm_compare(const NormRun *r, const char *what);

// Functions of i that look uniform in (0, 1) and normal; v rounded and clipped to +-limit.
double norm_unit(uint64_t i);
double norm_gauss(uint64_t i);
int64_t norm_clipped(double v, int64_t limit);

#endif
