// The norms' slow twin: one channel in float64, sums and derivatives as their formulas are written.
#ifndef FX_TESTS_SLOW_NORM_H
#define FX_TESTS_SLOW_NORM_H

#include "layers/norm.h"

typedef struct SlowNorm {
    FxNormKind kind;
    size_t chunks;
    double constant; // K of range
    double epsilon;
    bool detach;
} SlowNorm;

double slow_norm_power_of_two(double v); // AP2
double slow_norm_constant(FxNormConstant constant, double c); // paper and code
double slow_norm_mean(const double *x, size_t n);
// What the norm divides by.
double slow_norm_scale(const SlowNorm *norm, const double *x, size_t n, double mean);
// y = gamma (x - mean) / scale + beta
void slow_norm_apply(const SlowNorm *norm, double *y, const double *x, size_t n, double mean, double scale, double gamma, double beta);
// From the derivative by y those by x, gamma and beta.
void slow_norm_backward(const SlowNorm *norm, double *dx, double *dgamma, double *dbeta, const double *x, const double *gy, size_t n,
                        double mean, double scale, double gamma);

#endif
