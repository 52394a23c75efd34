// Statistics of a few runs: samples, paired differences, corrections for many comparisons. The distributions are GSL's.
// What does not exist is NaN: a deviation of one value, a test of fewer than two pairs, a t test of equal differences.
#ifndef FX_STATISTICS_H
#define FX_STATISTICS_H

#include <stdbool.h>

typedef struct FxSample {
    int n;
    double mean, sd, min, max; // sd over n - 1
} FxSample;

typedef struct FxPaired {
    FxSample difference;
    double low, high;     // 95 % interval of the mean, Student's t
    double p_t;           // paired t test, two-sided
    double p_permutation; // all 2^n patterns of signs, |sum| at least the one seen; beyond FX_EXACT_PAIRS see sampled
    bool sampled;         // 2^20 patterns of mt19937, seed 1, and the one seen among them
    double least;         // fx_least_difference
    int needed;           // fx_seeds_needed
} FxPaired;

enum { FX_EXACT_PAIRS = 20, FX_MAX_SEEDS = 1000000 };

// n >= 0 finite values.
void fx_sample(FxSample *sample, const double *x, int n);

// differences: n >= 0, finite. Those that agree to 1e-9 of the largest count as equal, as do such sums: a difference of
// two error rates carries their rounding.
void fx_paired(FxPaired *paired, const double *differences, int n);

// The smallest mean difference that n pairs show with a probability of about 80 % at alpha = 5 %, two-sided:
// (t_{0.975,n-1} + t_{0.8,n-1}) * sd / sqrt(n). An approximation: the exact power there (noncentral t) is 73.1 % for
// n = 2, 76.6 for 3, 79.1 for 5, 79.9 for 10, 80.0 for 20 (SciPy 1.10). NaN for n < 2, sd = 0 or NaN.
double fx_least_difference(double sd, int n);

// The least n >= 2 for which fx_least_difference is at most |difference|, FX_MAX_SEEDS at most; 0: does not exist.
int fx_seeds_needed(double sd, double difference);

// Holm's step-down correction in place, each at most 1; NaN are no tests and stay.
void fx_holm(double *p, int count);

#endif
