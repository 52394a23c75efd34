// exp, log and cos of formats/math_f32.h against MPFR, laws and special values; arrays on every instruction set against
// the single functions. With the argument "slow": every float32.
#include "formats/bits_f32.h"
#include "formats/math_f32.h"
#include "tests/layer_of.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#ifdef FX_MPFR
#include <mpfr.h>
#endif

static bool slow_run;
static uint32_t stride = 1009;

typedef struct FunctionF32 {
    const char *name;
    float (*one)(float);
    void (*array)(float *, size_t, unsigned);
    double (*libm)(double);
#ifdef FX_MPFR
    int (*mpfr)(mpfr_t, const mpfr_t, mpfr_rnd_t);
#endif
} FunctionF32;

#ifdef FX_MPFR
#define WITH_MPFR(f) , f
#else
#define WITH_MPFR(f)
#endif
static const FunctionF32 functions[] = {{"exp", fx_expf, fx_exp_array_f32, exp WITH_MPFR(mpfr_exp)},
                                        {"log", fx_logf, fx_log_array_f32, log WITH_MPFR(mpfr_log)}};

// |y - want| in units of the last place of a float32 near want; 0 where both are the same special value.
static double ulps_f32(float y, double want) {
    if (isnan(want))
        return isnan(y) ? 0 : HUGE_VAL;
    if (fabs(want) >= 0x1.ffffffp127) // rounds to Inf
        return isinf(y) && !signbit(y) == !signbit(want) ? 0 : isinf(want) ? HUGE_VAL : fabs((double)y - want) / 0x1p104;
    if (isinf(y))
        return fabs(want) >= 0x1.fffffep127 ? 0.5 : HUGE_VAL;
    int e;
    frexp(want, &e);
    return fabs((double)y - want) / ldexp(1, (e > -125 ? e : -125) - 24);
}

#ifdef FX_MPFR
static double by_mpfr(const FunctionF32 *f, float x) {
    mpfr_t a, b;
    mpfr_inits2(53, a, b, (mpfr_ptr)0);
    mpfr_set_flt(a, x, MPFR_RNDN);
    f->mpfr(b, a, MPFR_RNDN);
    double want = mpfr_get_d(b, MPFR_RNDN);
    mpfr_clears(a, b, (mpfr_ptr)0);
    return want;
}
#endif

enum { CHUNK = 1 << 16 };

typedef struct Worst {
    double ulps;
    uint32_t x;
    bool differ; // array and single function
} Worst;

// CHUNK inputs, `step` apart. The C library's float64 function is the quick judge; MPFR hears every input of the normal
// run, in the slow one every 1009th and each that the quick judge finds off by more than 0.6 ulp.
static void check_chunk(Worst *worst, const FunctionF32 *f, uint64_t first, uint32_t step, unsigned cpu) {
    float *x = malloc(CHUNK * sizeof *x);
    size_t n = 0;
    for (uint64_t bits = first; bits < UINT64_C(1) << 32 && n < CHUNK; bits += step)
        x[n++] = fx_float_of((uint32_t)bits);
    f->array(x, n, cpu);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)(first + i * step);
        float in = fx_float_of(bits);
        double want = f->libm((double)in), ulps;
#ifdef FX_MPFR
        if ((!slow_run || bits % 1009 == 0 || ulps_f32(x[i], want) > 0.6) && !isnan(in) && fabsf(in) > 0x1p-60f && (f->libm == log || fabsf(in) < 200))
            want = by_mpfr(f, in);
#endif
        ulps = ulps_f32(x[i], want);
        if (ulps > worst->ulps)
            *worst = (Worst){ulps, bits, worst->differ};
        if ((isnan(x[i]) && fx_float_bits(x[i]) != 0x7FC00000) || (i % 64 == 0 && fx_float_bits(x[i]) != fx_float_bits(f->one(in))))
            *worst = (Worst){worst->ulps, bits, true};
    }
    free(x);
#ifdef FX_MPFR
    mpfr_free_cache();
#endif
}

static void exp_and_log_of_float32_are_within_an_ulp(void **state) {
    (void)state;
    unsigned cpu = any_cpu();
    for (size_t k = 0; k < 2; k++) {
        const uint64_t span = (uint64_t)CHUNK * stride, chunks = ((UINT64_C(1) << 32) + span - 1) / span;
        Worst worst = {0};
#pragma omp parallel for schedule(dynamic)
        for (uint64_t c = 0; c < chunks; c++) {
            Worst mine = {0};
            check_chunk(&mine, &functions[k], c * span, stride, cpu);
#pragma omp critical
            if (mine.differ || (mine.ulps > worst.ulps && !worst.differ))
                worst = mine;
        }
        printf("%sf: at most %.4f ulp, at %a\n", functions[k].name, worst.ulps, (double)fx_float_of(worst.x));
        if (worst.ulps > 0.51 || worst.differ)
            fail_msg("%sf(%a) = %a is off by %g ulp, or not what the array or the NaN rule gives", functions[k].name, (double)fx_float_of(worst.x),
                     (double)functions[k].one(fx_float_of(worst.x)), worst.ulps);
    }
}

static void arrays_give_the_bits_of_the_single_functions_on_every_instruction_set(void **state) {
    (void)state;
    static const uint32_t special[] = {0, 0x80000000, 1, 0x80000001, 0x7FFFFF, 0x800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
                                       0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x42B17217, 0x42B17218, 0x42B17219, 0xC2CFF1B4, 0xC2CFF1B5};
    enum { SPECIAL = sizeof special / sizeof special[0], MOST = 300 };
    unsigned cpu;
    for (int level = 0; cpu_level(level, &cpu); level++)
        for (size_t k = 0; k < 2; k++)
            for (size_t n = 0; n < MOST; n++) {
                float x[MOST + 1], y[MOST + 1];
                for (size_t i = 0; i <= n; i++)
                    y[i] = x[i] = fx_float_of(i < SPECIAL ? special[i] : i % 2 ? (uint32_t)draw(UINT64_C(1) << 32) : (uint32_t)draw(0x8000000) + 0x3C000000);
                functions[k].array(y, n, cpu);
                for (size_t i = 0; i <= n; i++) {
                    float want = i < n ? functions[k].one(x[i]) : x[i]; // the one behind stays
                    if (fx_float_bits(y[i]) != fx_float_bits(want))
                        fail_msg("%s, cpu %u, element %zu of %zu: %a, not %a, at %a", functions[k].name, cpu, i, n, (double)y[i], (double)want, (double)x[i]);
                }
            }
}

static void special_values_are_those_of_the_header(void **state) {
    (void)state;
    assert_true(fx_expf(0) == 1 && fx_exp(0) == 1 && fx_expf(-INFINITY) == 0 && fx_exp(-INFINITY) == 0);
    assert_true(fx_expf(INFINITY) == INFINITY && fx_exp(INFINITY) == HUGE_VAL && fx_exp(709.79) == HUGE_VAL && fx_exp(-745.14) == 0);
    assert_true(fx_exp(-745.13) == 0x1p-1074 && fx_expf(-103.9f) == 0x1p-149f && fx_expf(-104.0f) == 0);
    assert_true(fx_logf(1) == 0 && !signbit(fx_logf(1)) && fx_log(1) == 0 && !signbit(fx_log(1)));
    assert_true(fx_logf(0) == -INFINITY && fx_logf(-0.0f) == -INFINITY && fx_log(0) == -HUGE_VAL && fx_log(-0.0) == -HUGE_VAL);
    assert_true(fx_logf(INFINITY) == INFINITY && fx_log(HUGE_VAL) == HUGE_VAL);
    assert_true(isnan(fx_logf(-1)) && isnan(fx_log(-1)) && isnan(fx_log(-HUGE_VAL)) && isnan(fx_exp(fx_double_of(UINT64_C(0xFFF8) << 48))));
    assert_true(fx_cos(0) == 1 && fx_cos(0x1.921fb54442d18p+1) == -1 && isnan(fx_cos(0x1.1p20)) && isnan(fx_cos(HUGE_VAL)));
}

#ifdef FX_MPFR
typedef struct FunctionF64 {
    const char *name;
    double (*ours)(double);
    int (*mpfr)(mpfr_t, const mpfr_t, mpfr_rnd_t);
    double low, high; // inputs are even between these, and all magnitudes between them
} FunctionF64;

// Error in ulps of a float64 near the true value.
static double ulps_f64(const FunctionF64 *f, double x) {
    mpfr_t a, want;
    mpfr_inits2(120, a, want, (mpfr_ptr)0);
    mpfr_set_d(a, x, MPFR_RNDN);
    f->mpfr(want, a, MPFR_RNDN);
    double y = f->ours(x), nearest = mpfr_get_d(want, MPFR_RNDN), ulps;
    int e;
    frexp(nearest, &e);
    mpfr_sub_d(want, want, y, MPFR_RNDN);
    mpfr_mul_2si(want, want, 53 - (e > -1021 ? e : -1021), MPFR_RNDN);
    ulps = isfinite(nearest) && isfinite(y) ? fabs(mpfr_get_d(want, MPFR_RNDN)) : nearest == y ? 0 : HUGE_VAL;
    mpfr_clears(a, want, (mpfr_ptr)0);
    return ulps;
}
#endif

static void exp_log_and_cos_of_float64_are_within_an_ulp(void **state) {
    (void)state;
#ifdef FX_MPFR
    static const FunctionF64 f64s[] = {{"exp", fx_exp, mpfr_exp, -746, 710}, {"exp", fx_exp, mpfr_exp, -1, 1},
                                       {"log", fx_log, mpfr_log, 0, 0x1.fffffffffffffp1023}, {"log", fx_log, mpfr_log, 0.5, 2},
                                       {"cos", fx_cos, mpfr_cos, -0x1p20, 0x1p20}, {"cos", fx_cos, mpfr_cos, -7, 7}};
    for (size_t k = 0; k < sizeof f64s / sizeof f64s[0]; k++) {
        const FunctionF64 *f = &f64s[k];
        double worst = 0, at = 0;
        for (uint64_t i = 0; i < (slow_run ? 4000000 : 100000); i++) {
            double x = f->low + (f->high - f->low) * ((double)draw(UINT64_C(1) << 53) * 0x1p-53);
            if (i % 3 == 0)
                x = fx_double_of(draw(0x7FF0000000000000));
            if (i % 3 == 0 && f->low < 0 && i % 2)
                x = -x;
            if (i % 3 == 1 && f->mpfr == mpfr_cos) // next to the zeros
                x = (double)draw((uint64_t)(f->high * 0.6)) * 0x1.921fb54442d18p+0;
            if (x < f->low || x > f->high)
                continue;
            double ulps = ulps_f64(f, x);
            if (ulps > worst) {
                worst = ulps;
                at = x;
            }
        }
        printf("%s: at most %.4f ulp, at %a\n", f->name, worst, at);
        if (!(worst > 0.4 && worst <= 0.9)) // an oracle that finds no error at all looks elsewhere
            fail_msg("%s(%a) = %a is off by %g ulp", f->name, at, f->ours(at), worst);
    }
#else
    skip();
#endif
}

// Little-endian, like every CRC of this program.
static uint32_t crc_of(uint32_t crc, uint64_t bits, int bytes) {
    unsigned char b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (unsigned char)(bits >> 8 * i);
    return (uint32_t)crc32(crc, b, (unsigned)bytes);
}

static void every_compiler_and_machine_gives_these_bits(void **state) {
    (void)state;
    static const uint32_t want[] = {0x333c32ea, 0x17ccb17f, 0xb9fcb54d, 0xa4a02eeb, 0x96ea3a36};
    uint32_t got[5] = {0};
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 10007)
        for (int k = 0; k < 2; k++)
            got[k] = crc_of(got[k], fx_float_bits(functions[k].one(fx_float_of((uint32_t)bits))), 4);
    for (uint64_t i = 0; i < 100000; i++) {
        double (*const f[])(double) = {fx_exp, fx_log, fx_cos};
        const double x[] = {(double)i * 0.0142 - 711, i % 2 ? (double)i * 1e-4 : fx_double_of(i * 0x53E2D6238DA3), (double)i * 0.37 - 18000};
        for (int k = 0; k < 3; k++) {
            got[2 + k] = crc_of(got[2 + k], fx_double_bits(f[k](x[k])), 8);
        }
    }
    for (int k = 0; k < 5; k++)
        if (got[k] != want[k])
            fail_msg("function %d: %08x, not %08x", k, got[k], want[k]);
}

int main(int argc, char **argv) {
    slow_run = argc > 1 && !strcmp(argv[1], "slow");
    stride = slow_run ? 1 : stride;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_values_are_those_of_the_header),
        cmocka_unit_test(arrays_give_the_bits_of_the_single_functions_on_every_instruction_set),
        cmocka_unit_test(every_compiler_and_machine_gives_these_bits),
        cmocka_unit_test(exp_and_log_of_float32_are_within_an_ulp),
        cmocka_unit_test(exp_log_and_cos_of_float64_are_within_an_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
