#include "tests/slow_norm.h"

#include <math.h>
#include <stdlib.h>

static const double pi = 3.14159265358979324;

double slow_norm_power_of_two(double v) {
    return v == 0 ? 0 : copysign(exp2(round(log2(fabs(v)))), v);
}

double slow_norm_constant(FxNormConstant constant, double c) {
    double factor = constant == FX_NORM_PAPER ? 1 : 0.5 * 0.35 * (1 + sqrt(pi * log(4)));
    return factor / sqrt(2 * log(c));
}

double slow_norm_mean(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

// Row i is its chunk's first that is largest (sign 1) or smallest (sign -1).
static bool wins(const SlowNorm *norm, const double *x, size_t n, size_t i, double sign) {
    size_t chunks = norm->chunks < n ? norm->chunks : n, chunk = 0;
    while (i >= (chunk + 1) * n / chunks)
        chunk++;
    for (size_t j = chunk * n / chunks; j < (chunk + 1) * n / chunks; j++)
        if (sign * x[j] > sign * x[i] || (j < i && x[j] == x[i]))
            return false;
    return true;
}

double slow_norm_scale(const SlowNorm *norm, const double *x, size_t n, double mean) {
    double sum = 0, chunks = (double)(norm->chunks < n ? norm->chunks : n);
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - mean;
        if (norm->kind == FX_NORM_L2)
            sum += d * d / (double)n;
        else if (norm->kind == FX_NORM_L1)
            sum += fabs(d) / (double)n;
        else if (norm->kind == FX_NORM_SHIFT)
            sum += d * slow_norm_power_of_two(d) / (double)n;
        else
            sum += (wins(norm, x, n, i, 1) ? x[i] : 0) - (wins(norm, x, n, i, -1) ? x[i] : 0);
    }
    if (norm->kind == FX_NORM_L2)
        return sqrt(sum + norm->epsilon);
    if (norm->kind == FX_NORM_L1)
        return sqrt(pi / 2) * sum + norm->epsilon;
    return norm->kind == FX_NORM_SHIFT ? 1 / slow_norm_power_of_two(1 / sqrt(sum + norm->epsilon)) : norm->constant * sum / chunks + norm->epsilon;
}

void slow_norm_apply(const SlowNorm *norm, double *y, const double *x, size_t n, double mean, double scale, double gamma, double beta) {
    for (size_t i = 0; i < n; i++)
        y[i] = (norm->kind == FX_NORM_SHIFT ? slow_norm_power_of_two(gamma) : gamma) * (x[i] - mean) / scale + beta;
}

// ds/dx[i]; signs: the mean of sgn d
static double slope(const SlowNorm *norm, const double *x, size_t n, double mean, double scale, double signs, size_t i) {
    double d = x[i] - mean;
    if (norm->detach)
        return 0;
    if (norm->kind == FX_NORM_L2)
        return d / scale / (double)n;
    if (norm->kind == FX_NORM_SHIFT)
        return slow_norm_power_of_two(d) / scale / (double)n;
    if (norm->kind == FX_NORM_RANGE)
        return norm->constant / (double)(norm->chunks < n ? norm->chunks : n) * (wins(norm, x, n, i, 1) - wins(norm, x, n, i, -1));
    return sqrt(pi / 2) / (double)n * ((d > 0) - (d < 0) - signs);
}

void slow_norm_backward(const SlowNorm *norm, double *dx, double *dgamma, double *dbeta, const double *x, const double *gy, size_t n,
                        double mean, double scale, double gamma) {
    if (norm->kind == FX_NORM_SHIFT)
        gamma = slow_norm_power_of_two(gamma);
    double signs = 0;
    *dgamma = *dbeta = 0;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - mean;
        signs += ((d > 0) - (d < 0)) / (double)n;
        *dbeta += gy[i];
        *dgamma += gy[i] * (norm->kind == FX_NORM_SHIFT ? slow_norm_power_of_two(d) : d) / scale;
    }
    for (size_t i = 0; i < n; i++)
        dx[i] = (gamma * gy[i] - gamma * *dbeta / (double)n - gamma * *dgamma * slope(norm, x, n, mean, scale, signs, i)) / scale;
}
