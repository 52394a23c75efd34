#include "tests/slow_sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef FX_MPFR
#include <mpfr.h>

enum { BITS = 2400 }; // 2^-1098 .. 2^1100 and a carry

bool slow_sum_exists(void) {
    return true;
}

// What the text of a policy says.
typedef struct Law {
    char name[40], variant[8];
    int r;
    double eps;
} Law;

static Law law_of(const FxPolicy *p, int width) {
    char text[FX_POLICY_TEXT];
    Law law = {.r = width};
    fx_policy_print(text, sizeof text, p);
    if (p->kind != FX_ACC_FLOAT)
        strcpy(text, "g/nearest-even/inf");
    char *rounding = strchr(text, '/') + 1, *word[4] = {0};
    *strchr(rounding, '/') = 0;
    int words = 0;
    for (char *w = strtok(rounding, ":"); w; w = strtok(NULL, ":"))
        word[words++] = w;
    strcpy(law.name, word[0]);
    if (!strcmp(law.name, "sr-eps")) {
        law.eps = atof(word[1]);
        law.r = words > 2 ? atoi(word[2]) : width;
    } else if (words > 1) {
        law.r = atoi(word[1]);
        strcpy(law.variant, words > 2 ? word[2] : "c");
    } else {
        strcpy(law.variant, "c");
    }
    return law;
}

// f * 2^bits to an integer: 'f' floor, 'e' nearest with ties to even.
static double cut(mpfr_t f, int bits, char how) {
    mpfr_t x;
    mpfr_init2(x, BITS);
    mpfr_mul_2si(x, f, bits, MPFR_RNDN);
    if (how == 'f')
        mpfr_floor(x, x);
    else
        mpfr_rint(x, x, MPFR_RNDN); // to nearest even
    double y = mpfr_get_d(x, MPFR_RNDN);
    mpfr_clear(x);
    return y;
}

// Whether n + f, 0 < f < 1, of this sign goes to n + 1.
static bool goes_up(const Law *law, double n, mpfr_t f, bool negative, uint32_t R) {
    int half = mpfr_cmp_d(f, 0.5);
    bool odd = fmod(n, 2) == 1;
    double whole = ldexp(1, law->r);
    const char *name = law->name;
    if (!strncmp(name, "nearest-", 8)) {
        const char *tie = name + 8;
        return half > 0 || (half == 0 && (!strcmp(tie, "even") ? odd : !strcmp(tie, "away") ? true : !strcmp(tie, "zero") ? false
                                          : !strcmp(tie, "up") ? !negative : negative));
    }
    if (!strcmp(name, "toward-zero") || !strcmp(name, "away"))
        return name[0] == 'a';
    if (!strcmp(name, "floor") || !strcmp(name, "ceil"))
        return negative == (name[0] == 'f');
    if (!strcmp(name, "odd"))
        return !odd;
    if (!strcmp(name, "equal"))
        return R >= whole / 2;
    if (!strcmp(name, "sr-eps"))
        return cut(f, law->r, 'e') + rint(law->eps * whole) + R >= whole;
    if (!strcmp(law->variant, "a"))
        return cut(f, law->r, 'f') + R >= whole;
    if (!strcmp(law->variant, "b"))
        return cut(f, law->r + 1, 'f') + 2.0 * R + 1 >= 2 * whole;
    if (!strcmp(law->variant, "c"))
        return cut(f, law->r, 'e') + R >= whole;
    mpfr_t level; // below: f * 2^r > R
    mpfr_init2(level, BITS);
    mpfr_mul_2si(level, f, law->r, MPFR_RNDN);
    bool up = mpfr_cmp_d(level, R) > 0;
    mpfr_clear(level);
    return up;
}

static float rounded(const FxPolicy *p, const Law *law, mpfr_t x, bool minus_zeros, uint32_t R, FxAccumulatorCountsF32 *counts) {
    if (mpfr_nan_p(x))
        return NAN;
    if (mpfr_inf_p(x))
        return mpfr_sgn(x) < 0 ? -INFINITY : INFINITY;
    if (mpfr_zero_p(x))
        return p->kind == FX_ACC_FP32 && minus_zeros ? -0.0f : 0;
    bool fp32 = p->kind != FX_ACC_FLOAT, negative = mpfr_sgn(x) < 0;
    const FxGrid *g = &p->q.grid;
    int E = fp32 ? 8 : g->exponent_bits, M = fp32 ? 23 : g->mantissa_bits, bias = fp32 ? 127 : g->bias;
    FxSpecial special = fp32 ? FX_SPECIAL_IEEE : g->special;
    int binade = (int)mpfr_get_exp(x) - 1;
    binade = binade < 1 - bias ? 1 - bias : binade;
    mpfr_t f, q;
    mpfr_inits2(BITS, f, q, (mpfr_ptr)0);
    mpfr_abs(f, x, MPFR_RNDN);
    mpfr_mul_2si(f, f, M - binade, MPFR_RNDN);
    mpfr_floor(q, f);
    mpfr_sub(f, f, q, MPFR_RNDN);
    double n = mpfr_get_d(q, MPFR_RNDN);
    if (!mpfr_zero_p(f))
        n += goes_up(law, n, f, negative, R);
    mpfr_clears(f, q, (mpfr_ptr)0);
    // the largest value: all ones, less a binade (ieee) or a code (fn, p3109)
    int64_t all = (INT64_C(1) << (E + M)) - 1;
    int64_t top = special == FX_SPECIAL_IEEE ? all - (INT64_C(1) << M) : special == FX_SPECIAL_FNUZ || special == FX_SPECIAL_NONE ? all : all - 1;
    int64_t field = top >> M, fraction = top & ((INT64_C(1) << M) - 1);
    double most = field ? ldexp((double)fraction + ldexp(1, M), (int)field - bias - M) : ldexp((double)fraction, 1 - bias - M);
    double y = ldexp(n, binade - M);
    if (y > most) {
        counts->overflow++;
        bool stays = !strcmp(law->name, "toward-zero") || !strcmp(law->name, "odd") || !strcmp(law->name, negative ? "ceil" : "floor");
        if (!fp32 && (p->q.overflow != FX_OVERFLOW_INF || stays || special == FX_SPECIAL_NONE))
            y = most;
        else if (special == FX_SPECIAL_IEEE || special == FX_SPECIAL_P3109)
            y = INFINITY;
        else
            return NAN;
    }
    if (y == 0 && (special == FX_SPECIAL_FNUZ || special == FX_SPECIAL_P3109))
        return 0;
    return (float)(negative ? -y : y);
}

// One addition; sum and addend -> sum.
static float add(const FxPolicy *p, const Law *law, float sum, mpfr_t addend, bool minus_zeros, uint32_t R, FxAccumulatorCountsF32 *counts) {
    mpfr_t x;
    mpfr_init2(x, BITS);
    mpfr_add_d(x, addend, (double)sum, MPFR_RNDN);
    float y = rounded(p, law, x, minus_zeros && sum == 0 && signbit(sum), R, counts);
    if (isfinite(sum) && mpfr_regular_p(addend) && y == sum)
        counts->swamped++;
    mpfr_clear(x);
    return y;
}

static uint32_t word(FxRng rng, uint64_t i, const Law *law) {
    return fx_rng_word(rng, i) >> (32 - law->r);
}

float slow_sum(const FxAccumulator *acc, const float *a, const float *b, size_t k, int exponent, const float *bias, FxRng rng,
               uint64_t output, FxAccumulatorCountsF32 *counts) {
    Law inner = law_of(&acc->inner, 32), outer = law_of(&acc->outer, 32);
    size_t group = (size_t)acc->group, G = (k + group - 1) / group, chunk = acc->chunk ? (size_t)acc->chunk : G;
    size_t C = (acc->chunk ? (G + chunk - 1) / chunk : 0) + (bias != NULL);
    uint64_t first = output * (G + C);
    bool inner_exact = acc->inner.kind == FX_ACC_EXACT || acc->inner.kind == FX_ACC_KULISCH;
    bool outer_exact = acc->chunk ? acc->outer.kind == FX_ACC_KULISCH : inner_exact;
    mpfr_t product, sum, part, whole;
    mpfr_inits2(BITS, product, sum, part, whole, (mpfr_ptr)0);
    mpfr_set_zero(whole, 1);
    float result = 0;
    for (size_t c = 0; c * chunk < G; c++) {
        float x = 0;
        mpfr_set_zero(part, 1);
        for (size_t g = c * chunk; g < (c + 1) * chunk && g < G; g++) {
            bool minus_zeros = true;
            mpfr_set_zero(sum, 1);
            for (size_t i = g * group; i < (g + 1) * group && i < k; i++) {
                mpfr_set_d(product, (double)a[i], MPFR_RNDN);
                mpfr_mul_d(product, product, (double)b[i], MPFR_RNDN);
                mpfr_mul_2si(product, product, exponent, MPFR_RNDN);
                minus_zeros &= mpfr_zero_p(product) && mpfr_signbit(product);
                mpfr_add(sum, sum, product, MPFR_RNDN);
            }
            if (inner_exact)
                mpfr_add(part, part, sum, MPFR_RNDN);
            else
                x = add(&acc->inner, &inner, x, sum, minus_zeros, word(rng, first + g, &inner), counts);
        }
        if (!acc->chunk && !inner_exact) {
            result = x;
            break;
        }
        bool minus_zero = !inner_exact && x == 0 && signbit(x);
        if (!inner_exact)
            mpfr_set_d(part, (double)x, MPFR_RNDN);
        if (outer_exact)
            mpfr_add(whole, whole, part, MPFR_RNDN);
        else
            result = add(&acc->outer, &outer, result, part, minus_zero, word(rng, first + G + c, &outer), counts);
    }
    if (outer_exact) {
        if (bias)
            mpfr_add_d(whole, whole, (double)*bias, MPFR_RNDN);
        FxPolicy last = acc->chunk ? acc->outer : acc->inner;
        result = rounded(&last, &outer, whole, false, 0, counts);
    } else if (bias) {
        mpfr_set_d(part, (double)*bias, MPFR_RNDN);
        result = add(&acc->outer, &outer, result, part, *bias == 0 && signbit(*bias), word(rng, first + G + C - 1, &outer), counts);
    }
    mpfr_clears(product, sum, part, whole, (mpfr_ptr)0);
    return result;
}

#else
bool slow_sum_exists(void) {
    return false;
}

float slow_sum(const FxAccumulator *acc, const float *a, const float *b, size_t k, int exponent, const float *bias, FxRng rng,
               uint64_t output, FxAccumulatorCountsF32 *counts) {
    (void)acc, (void)a, (void)b, (void)k, (void)exponent, (void)bias, (void)rng, (void)output, (void)counts;
    abort();
}
#endif
