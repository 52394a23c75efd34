#include "sim/statistics.h"

#include <assert.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const double equal = 1e-9; // relative; the least step of an error rate of 10^6 images is 10^-6

void fx_sample(FxSample *s, const double *x, int n) {
    *s = (FxSample){.n = n, .mean = NAN, .sd = NAN, .min = NAN, .max = NAN};
    if (n == 0)
        return;
    s->mean = gsl_stats_mean(x, 1, (size_t)n);
    gsl_stats_minmax(&s->min, &s->max, x, 1, (size_t)n);
    if (n > 1)
        s->sd = gsl_stats_sd(x, 1, (size_t)n);
}

static double sum_of_magnitudes(const double *d, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += fabs(d[i]);
    return sum;
}

// The sums of d[0..n) under all 2^n patterns of signs.
static void signed_sums(double *sums, const double *d, int n) {
    sums[0] = 0;
    for (int i = 0, count = 1; i < n; i++, count *= 2)
        for (int j = 0; j < count; j++) {
            sums[count + j] = sums[j] - d[i];
            sums[j] += d[i];
        }
}

// Two tables of half the values each: 2^n additions, and rounding that does not pile up.
static double exact_permutation(const double *d, int n, double limit) {
    enum { HALF = 1 << (FX_EXACT_PAIRS / 2) };
    double left[HALF], right[HALF];
    uint64_t extreme = 0;
    int half = n / 2, lefts = 1 << half, rights = 1 << (n - half);
    signed_sums(left, d, half);
    signed_sums(right, d + half, n - half);
    for (int i = 0; i < lefts; i++)
        for (int j = 0; j < rights; j++)
            extreme += fabs(left[i] + right[j]) >= limit;
    return (double)extreme / (double)(1 << n);
}

// The observed pattern counts as one of those drawn, so that p is never 0 (Phipson and Smyth 2010). NaN: no memory.
static double sampled_permutation(const double *d, int n, double limit) {
    enum { DRAWS = 1 << 20 };
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    uint64_t extreme = 1;
    if (!rng)
        return NAN;
    gsl_rng_set(rng, 1);
    for (int k = 0; k < DRAWS; k++) {
        double sum = 0;
        uint32_t bits = 0;
        for (int i = 0; i < n; i++, bits >>= 1) {
            if (i % 32 == 0)
                bits = (uint32_t)gsl_rng_get(rng);
            sum += bits & 1 ? d[i] : -d[i];
        }
        extreme += fabs(sum) >= limit;
    }
    gsl_rng_free(rng);
    return (double)extreme / (DRAWS + 1);
}

void fx_paired(FxPaired *p, const double *d, int n) {
    *p = (FxPaired){.low = NAN, .high = NAN, .p_t = NAN, .p_permutation = NAN, .least = NAN};
    fx_sample(&p->difference, d, n);
    if (n < 2)
        return;
    double sd = p->difference.sd, mean = p->difference.mean;
    double magnitude = fmax(fabs(p->difference.min), fabs(p->difference.max));
    if (p->difference.max - p->difference.min <= equal * magnitude)
        p->difference.sd = sd = 0;
    p->least = fx_least_difference(sd, n);
    p->needed = fx_seeds_needed(sd, mean);
    if (sd > 0) {
        double error = sd / sqrt(n);
        double half = gsl_cdf_tdist_Pinv(0.975, n - 1) * error;
        p->low = mean - half;
        p->high = mean + half;
        p->p_t = fmin(1, 2 * gsl_cdf_tdist_Q(fabs(mean) / error, n - 1));
    }
    double sum = sum_of_magnitudes(d, n), limit = fabs(mean) * n - equal * sum;
    p->sampled = n > FX_EXACT_PAIRS;
    p->p_permutation = p->sampled ? sampled_permutation(d, n, limit) : exact_permutation(d, n, limit);
}

double fx_least_difference(double sd, int n) {
    if (n < 2 || !(sd > 0))
        return NAN;
    return (gsl_cdf_tdist_Pinv(0.975, n - 1) + gsl_cdf_tdist_Pinv(0.8, n - 1)) * sd / sqrt(n);
}

int fx_seeds_needed(double sd, double difference) {
    int low = 1, high = 2; // enough at high, not at low
    if (!(sd > 0) || !(fabs(difference) > 0))
        return 0;
    while (high < FX_MAX_SEEDS && fx_least_difference(sd, high) > fabs(difference)) {
        low = high;
        high *= 2;
    }
    if (high >= FX_MAX_SEEDS) {
        high = FX_MAX_SEEDS;
        if (fx_least_difference(sd, high) > fabs(difference))
            return high;
    }
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (fx_least_difference(sd, middle) > fabs(difference))
            low = middle;
        else
            high = middle;
    }
    return high;
}

void fx_holm(double *p, int count) {
    int tests = 0;
    double last = 0, before = -1; // the corrected and the plain p of the step before
    for (int i = 0; i < count; i++)
        tests += !isnan(p[i]);
    double corrected[count > 0 ? count : 1];
    for (int i = 0; i < count; i++)
        corrected[i] = NAN;
    for (int done = 0; done < tests;) {
        double next = INFINITY;
        int ties = 0;
        for (int i = 0; i < count; i++)
            if (p[i] > before && p[i] < next)
                next = p[i];
        last = fmin(1, fmax(last, next * (tests - done)));
        for (int i = 0; i < count; i++)
            if (p[i] == next) {
                corrected[i] = last;
                ties++;
            }
        assert(ties > 0);
        done += ties;
        before = next;
    }
    if (count) // p may be NULL
        memcpy(p, corrected, (size_t)count * sizeof *p);
}
