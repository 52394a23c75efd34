// The integer norms against the same norms of the same codes in float64, as close as they were measured when they were
// designed; their reciprocals and the constants of the range law.
#include "layers/norm_math.h"
#include "tests/norm_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const FxNormKind kinds[] = {FX_NORM_L2, FX_NORM_L1, FX_NORM_RANGE};

enum { CHUNKS = 16 };

typedef struct Noise {
    double signal, error;
} Noise;

static double decibels(const Noise *n) {
    return 10 * log10(n->signal / n->error);
}

static void count(Noise *noise, double want, double got) {
    noise->signal += want * want;
    noise->error += (want - got) * (want - got);
}

// Mean, scale and dscale/dx * n (L1, L2) of a channel of codes.
static void float_scale(const NormRun *r, size_t c, double *mean, double *scale) {
    const double n = (double)r->n;
    double sum = 0, spread = 0;
    for (size_t i = 0; i < r->n; i++)
        sum += (double)fx_tensor_get(&r->x, i * r->c + c);
    *mean = sum / n;
    for (size_t i = 0; i < r->n; i++) {
        const double d = (double)fx_tensor_get(&r->x, i * r->c + c) - *mean;
        spread += r->rule.kind == FX_NORM_L1 ? fabs(d) : d * d;
    }
    *scale = r->rule.kind == FX_NORM_L1 ? sqrt(1.5707963267948966) * spread / n : sqrt(spread / n);
    if (r->rule.kind != FX_NORM_RANGE)
        return;
    spread = 0;
    for (size_t k = 0; k < CHUNKS; k++) {
        int64_t high = INT64_MIN, low = INT64_MAX;
        for (size_t i = k * r->n / CHUNKS; i < (k + 1) * r->n / CHUNKS; i++) {
            const int64_t x = fx_tensor_get(&r->x, i * r->c + c);
            high = x > high ? x : high;
            low = x < low ? x : low;
        }
        spread += (double)(high - low);
    }
    *scale = r->constant * 0x1p-16 * spread / CHUNKS;
}

// dscale/dx into term.
static void float_slope(const NormRun *r, size_t c, double mean, double scale, double *term) {
    const double n = (double)r->n, c1 = sqrt(1.5707963267948966);
    double signs = 0;
    for (size_t i = 0; i < r->n; i++) {
        const double d = (double)fx_tensor_get(&r->x, i * r->c + c) - mean, sign = (d > 0) - (d < 0);
        signs += sign;
        term[i] = r->rule.kind == FX_NORM_L1 ? c1 / n * sign : r->rule.kind == FX_NORM_L2 ? d / scale / n : 0;
    }
    for (size_t i = 0; r->rule.kind == FX_NORM_L1 && i < r->n; i++)
        term[i] -= c1 / n * signs / n;
    for (size_t k = 0; r->rule.kind == FX_NORM_RANGE && k < CHUNKS; k++) {
        size_t high = k * r->n / CHUNKS, low = high;
        for (size_t i = high; i < (k + 1) * r->n / CHUNKS; i++) {
            high = fx_tensor_get(&r->x, i * r->c + c) > fx_tensor_get(&r->x, high * r->c + c) ? i : high;
            low = fx_tensor_get(&r->x, i * r->c + c) < fx_tensor_get(&r->x, low * r->c + c) ? i : low;
        }
        term[high] += r->constant * 0x1p-16 / CHUNKS;
        term[low] -= r->constant * 0x1p-16 / CHUNKS;
    }
}

// The same norm of the same codes in float64, forward and backward.
static void count_noise(const NormRun *r, Noise *forward, Noise *backward) {
    double *term = malloc(r->n * sizeof *term);
    assert_non_null(term);
    for (size_t c = 0; c < r->c; c++) {
        const double gamma = ldexp((double)fx_tensor_get(&r->gamma, c), r->gamma.exponent), n = (double)r->n;
        const double beta = ldexp((double)fx_tensor_get(&r->beta, c), r->beta.exponent);
        double mean, scale, sum = 0, dgamma = 0;
        float_scale(r, c, &mean, &scale);
        float_slope(r, c, mean, scale, term);
        for (size_t i = 0; i < r->n; i++) {
            const double xhat = ((double)fx_tensor_get(&r->x, i * r->c + c) - mean) / scale, gy = (double)fx_tensor_get(&r->gy, i * r->c + c);
            count(forward, gamma * xhat + beta, ldexp((double)fx_tensor_get(&r->y, i * r->c + c), FX_NORM_EXPONENT));
            sum += gy;
            dgamma += gy * xhat;
        }
        // single elements of d = 0 lose their sign where the rounded mean is a code: seen on 8 bits, whose mean has 8 fraction bits
        if (r->rule.kind == FX_NORM_L1 && r->channels[c].mean % 256 == 0)
            continue;
        for (size_t i = 0; i < r->n; i++) {
            const double gy = (double)fx_tensor_get(&r->gy, i * r->c + c);
            const double dx = gamma / scale * (gy - sum / n - dgamma * term[i]);
            count(backward, ldexp(dx, r->egy[c] - r->ex[c]),
                  ldexp((double)fx_tensor_get(&r->t, i * r->c + c) * r->channels[c].multiplier, r->channels[c].exponent));
        }
        if (fabs(dgamma - ldexp((double)r->channels[c].dgamma, -r->channels[c].k)) > 3e-4 * fabs(dgamma) + n * 1e-3)
            fail_msg("dgamma %g, not %g", ldexp((double)r->channels[c].dgamma, -r->channels[c].k), dgamma);
    }
    free(term);
}

static void results_are_as_close_to_float64_as_they_were_measured(void **state) {
    (void)state;
    static const size_t rows[] = {6272, 8192};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 2; i++)
            for (int fraction = 6; fraction <= 8; fraction += 2) {
                NormRun r = norm_run_new(kinds[kind], FX_INT8, FX_INT8, rows[i], 32);
                Noise forward = {0, 0}, backward = {0, 0};
                r.rule.chunks = CHUNKS;
                r.rule.fraction = fraction;
                r.constant = fx_norm_range_constant(FX_NORM_CODE, rows[i], CHUNKS);
                r.gamma.exponent = r.beta.exponent = -14;
                for (size_t c = 0; c < r.c; c++) {
                    fx_tensor_set(&r.gamma, c, (int64_t)(16384 * (0.3 + 1.2 * norm_unit(c))));
                    fx_tensor_set(&r.beta, c, (int64_t)(3000 * norm_gauss(c + 50)));
                    const double width = 25 * exp(0.3 * norm_gauss(c + 100)), mean = 8 * norm_gauss(c + 200);
                    for (size_t k = 0; k < r.n; k++) {
                        const double z = norm_gauss(k * 32 + c + 1000);
                        fx_tensor_set(&r.x, k * 32 + c, norm_clipped(width * z + mean, 127));
                        fx_tensor_set(&r.gy, k * 32 + c, norm_clipped(20 * norm_gauss(k * 32 + c + 9000000) + 4 * z, 127));
                    }
                }
                norm_run_everywhere(&r);
                count_noise(&r, &forward, &backward);
                if (decibels(&forward) < 72 || decibels(&backward) < (fraction == 6 ? 48 : 60))
                    fail_msg("kind %d, n = %zu, %d fraction bits: %.1f dB forward, %.1f dB backward", kinds[kind], r.n, fraction, decibels(&forward),
                             decibels(&backward));
                norm_run_free(&r);
            }
}

// A coarse reciprocal costs what its relative error says.
static void reciprocals_are_as_good_as_their_tables(void **state) {
    (void)state;
    static const struct { FxNormDivision division; int bits; bool newton; double least; } rows[] = {
        {FX_NORM_DIVIDE, 0, false, 15}, {FX_NORM_LUT, 8, false, 8.99}, {FX_NORM_LUT, 6, false, 6.98}, {FX_NORM_LUT, 4, false, 4.95},
        {FX_NORM_LUT, 4, true, 9.9}, {FX_NORM_LUT, 6, true, 13.2}, {FX_NORM_LUT, 8, true, 13.9}, {FX_NORM_POWER_OF_TWO, 0, false, 1.27},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const FxNormRule rule = {.division = rows[i].division, .lut_bits = rows[i].bits, .newton = rows[i].newton};
        double worst = 0;
        for (int64_t den = 1 << 14; den < 1 << 16; den++) {
            int32_t R, k;
            fx_norm_reciprocal(&rule, 3, den, &R, &k);
            worst = fmax(worst, fabs(ldexp(R, -k) * (double)den / 3 - 1));
        }
        if (worst > exp2(-rows[i].least))
            fail_msg("row %zu: relative error 2^%.2f", i, log2(worst));
    }
}

static void the_range_constants_are_those_of_the_table(void **state) {
    (void)state;
    static const int table[][3] = { // n, 65536 / d2, 65536 K of the code
        {8, 23018, 17360}, {16, 18555, 15034}, {32, 15832, 13447}, {49, 14621, 12690}, {64, 13981, 12275}, {98, 13105, 11691},
        {128, 12629, 11365}, {196, 11962, 10896}, {256, 11592, 10631}, {392, 11063, 10245}, {512, 10765, 10023}, {1024, 10088, 9509},
        {2048, 9521, 9066}, {4096, 9037, 8680}, {8192, 8618, 8340}, {16384, 8251, 8036}, {65536, 7636, 7517}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const size_t n = (size_t)table[i][0];
        assert_int_equal(fx_norm_range_constant(FX_NORM_EXACT_D2, n * 16 + 15, 16), table[i][1]);
        assert_int_equal(fx_norm_range_constant(FX_NORM_CODE, n * 16, 16), table[i][2]);
        assert_int_equal(fx_norm_range_constant(FX_NORM_PAPER, n * 3, 3), lround(65536 / sqrt(2 * log((double)n))));
    }
    assert_int_equal(fx_norm_range_constant(FX_NORM_EXACT_D2, 2, 1), 23018);
    assert_int_equal(fx_norm_range_constant(FX_NORM_EXACT_D2, 1 << 20, 1), 7636);
    assert_int_equal(fx_norm_range_constant(FX_NORM_EXACT_D2, 1 << 15, 1), 7944); // halfway in log2 n: 7943.5
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_as_close_to_float64_as_they_were_measured),
        cmocka_unit_test(reciprocals_are_as_good_as_their_tables),
        cmocka_unit_test(the_range_constants_are_those_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
