#include "tests/norm_run.h"
#include "formats/cpu.h"
#include "tests/cast.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(p);
    return p;
}

NormRun norm_run_new(FxNormKind kind, FxType x, FxType gy, size_t n, size_t c) {
    NormRun r = {.n = n, .c = c};
    r.rule = (FxNormRule){.kind = kind, .chunks = 1, .constant = FX_NORM_CODE, .nominal = n, .floor = 64, .fraction = 6,
                          .average_shift = 3, .lut_bits = 6};
    r.x = tensor_new(x, n * c);
    r.gy = tensor_new(gy, n * c);
    r.gamma = tensor_new(FX_INT16, c);
    r.beta = tensor_new(FX_INT16, c);
    r.y = tensor_new(FX_INT32, n * c);
    r.t = tensor_new(FX_INT32, n * c);
    r.y.exponent = FX_NORM_EXPONENT;
    r.ex = calloc(c, sizeof *r.ex);
    r.egy = calloc(c, sizeof *r.egy);
    r.channels = calloc(c, sizeof *r.channels);
    r.seen = calloc(c, sizeof *r.seen);
    assert_true(r.ex && r.egy && r.channels);
    return r;
}

void norm_run_free(NormRun *r) {
    FxTensor *tensors[] = {&r->x, &r->gy, &r->gamma, &r->beta, &r->y, &r->t};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        tensor_free(tensors[i]);
    free(r->ex);
    free(r->egy);
    free(r->channels);
    free(r->seen);
    free(r->scratch);
    *r = (NormRun){0};
}

FxWork norm_work(NormRun *r, unsigned cpu, int threads) {
    free(r->scratch);
    r->scratch_size = fx_norm_scratch(&r->rule, r->n, r->c);
    r->scratch = allocate(r->scratch_size);
    memset(r->scratch, 0x5a, r->scratch_size);
    return (FxWork){.threads = threads, .cpu = cpu, .scratch = r->scratch, .scratch_size = r->scratch_size};
}

void norm_forward(NormRun *r, unsigned cpu, int threads) {
    const FxWork work = norm_work(r, cpu, threads);
    memset(r->y.data, 0x5a, r->y.count * 4);
    fx_norm_forward(&r->rule, r->constant, &r->x, &r->gamma, &r->beta, r->channels, r->c, &r->y, &work);
}

void norm_backward(NormRun *r, unsigned cpu, int threads) {
    const FxWork work = norm_work(r, cpu, threads);
    memset(r->t.data, 0x5a, r->t.count * 4);
    r->sees = fx_norm_backward(&r->rule, r->constant, &r->x, r->ex, &r->gy, r->egy, r->channels, r->c, &r->t, r->seen, &work);
}

const FxNormSteps *norm_steps(const NormRun *r, size_t channel) {
    return (const FxNormSteps *)r->scratch + channel;
}

// Padding may hold anything.
static bool same_channel(const FxNormChannel *a, const FxNormChannel *b) {
    return a->num == b->num && a->den == b->den && a->mean == b->mean && a->R == b->R && a->k == b->k && a->G == b->G &&
           a->G_exponent == b->G_exponent && a->signs == b->signs && a->floored == b->floored && a->dbeta == b->dbeta &&
           a->dgamma == b->dgamma && a->multiplier == b->multiplier && a->exponent == b->exponent;
}

// What the loops saw of t is what stands in it.
static bool sees_t(const NormRun *r, size_t c) {
    FxUnitsSeen seen = {0, 0};
    for (size_t i = c; i < r->n * r->c; i += r->c) {
        const int64_t t = fx_tensor_get(&r->t, i);
        const uint64_t m = (uint64_t)(t < 0 ? -t : t);
        seen.max_abs = m > seen.max_abs ? m : seen.max_abs;
        seen.zeros += t == 0;
    }
    return !r->sees || (seen.max_abs == r->seen[c].max_abs && seen.zeros == r->seen[c].zeros);
}

void norm_run_everywhere(NormRun *r) {
    int32_t *y = NULL, *t = NULL;
    FxNormChannel *channels = calloc(r->c, sizeof *channels);
    const size_t bytes = r->n * r->c * 4;
    FxError err;
    unsigned cpu;
    for (int level = 1; fx_cpu_level(level); level++) {
        if (fx_cpu_parse(&cpu, fx_cpu_level(level), &err))
            continue;
        for (int threads = 1; threads <= 3; threads++) {
            memset(r->channels, 0, r->c * sizeof *r->channels);
            norm_forward(r, cpu, threads);
            norm_backward(r, cpu, threads);
            if (!y) {
                y = allocate(bytes);
                t = allocate(bytes);
                memcpy(y, r->y.data, bytes);
                memcpy(t, r->t.data, bytes);
                memcpy(channels, r->channels, r->c * sizeof *channels);
            }
            bool same = !memcmp(y, r->y.data, bytes) && !memcmp(t, r->t.data, bytes);
            for (size_t c = 0; c < r->c; c++)
                same = same && same_channel(&channels[c], &r->channels[c]);
            if (!same)
                fail_msg("%s, %d threads, n = %zu, C = %zu, kind %d: other bytes than the first", fx_cpu_level(level), threads, r->n, r->c,
                         r->rule.kind);
            for (size_t c = 0; c < r->c; c++)
                if (!sees_t(r, c))
                    fail_msg("%s, %d threads, n = %zu, C = %zu, kind %d, channel %zu: t has not %llu at most and %llu zeros", fx_cpu_level(level), threads,
                             r->n, r->c, r->rule.kind, c, (unsigned long long)r->seen[c].max_abs, (unsigned long long)r->seen[c].zeros);
        }
    }
    free(y);
    free(t);
    free(channels);
}

Wide slow_clamp(Wide v, Wide limit) {
    return v > limit ? limit : v < -limit ? -limit : v;
}

Wide slow_shift(Wide v, int s) {
    return s <= 0 ? v * slow_power(-s) : s > 120 ? 0 : slow_floor(2 * v + slow_power(s), slow_power(s + 1));
}

Wide slow_quotient(Wide a, Wide n) {
    return slow_floor(2 * a + n, 2 * n);
}

static Wide magnitude(Wide v) {
    return v < 0 ? -v : v;
}

Wide slow_power_near(Wide v) {
    Wide p = 1;
    if (v == 0)
        return 0;
    while (2 * p * p < v * v) // p < |v| / sqrt(2): the next power is nearer
        p *= 2;
    return v < 0 ? -p : p;
}

static void divide(Wide num, Wide den, Wide *R, int *k) {
    int least = 13; // num * 2^least < 2^14
    while (slow_power(13 - least) <= num)
        least--;
    for (*k = least; *k < 90; ++*k) {
        const Wide a = *k > 0 ? num * slow_power(*k) : num, b = *k < 0 ? den * slow_power(-*k) : den;
        if (a < b * 16384)
            continue;
        *R = slow_quotient(a, b);
        break;
    }
    if (*R == 32768)
        *R = 16384, --*k;
}

void slow_reciprocal(const FxNormRule *rule, Wide num, Wide den, Wide *R, int *k) {
    divide(num, den, R, k);
    if (rule->division == FX_NORM_POWER_OF_TWO) {
        *k -= *R * *R >= slow_power(29);
        *R = 16384;
    }
    if (rule->division != FX_NORM_LUT)
        return;
    Wide Q = 0;
    int kq;
    divide(den, num, &Q, &kq);
    const int b = rule->lut_bits;
    const Wide i = slow_floor(Q - 16384, slow_power(14 - b));
    *R = slow_quotient(slow_power(16 + b), slow_power(b + 1) + 2 * i + 1);
    if (rule->newton) {
        *R += slow_shift(*R * (slow_power(29) - Q * *R), 29);
        *R = *R < 16384 ? 16384 : *R > 32767 ? 32767 : *R;
    }
    *k = 29 - kq;
}

// a / n, of hardware division by a rounded reciprocal.
static Wide mean_of(const NormRun *r, Wide a) {
    int p = 0;
    const Wide n = (Wide)r->n;
    if (!r->rule.hardware_division)
        return slow_quotient(a, n);
    while (slow_power(p + 1) <= n)
        p++;
    return slow_shift(a * slow_quotient(slow_power(p + 15), n), p + 15);
}

static int fraction(const NormRun *r) {
    return r->x.type == FX_INT8 ? 8 : 0;
}

static Wide code(const FxTensor *t, const NormRun *r, size_t i, size_t c) {
    return fx_tensor_get(t, i * r->c + c);
}

static Wide deviation(const NormRun *r, const SlowNorm *s, size_t i, size_t c) {
    return code(&r->x, r, i, c) * slow_power(fraction(r)) - s->M;
}

// First places of the extremes of a chunk.
static void extremes(const NormRun *r, size_t chunk, size_t chunks, size_t c, size_t *high, size_t *low) {
    *high = *low = chunk * r->n / chunks;
    for (size_t i = *high; i < (chunk + 1) * r->n / chunks; i++) {
        *high = code(&r->x, r, i, c) > code(&r->x, r, *high, c) ? i : *high;
        *low = code(&r->x, r, i, c) < code(&r->x, r, *low, c) ? i : *low;
    }
}

static size_t chunks_of(const NormRun *r) {
    return (size_t)r->rule.chunks < r->n ? (size_t)r->rule.chunks : r->n;
}

static void slow_scale_of(const NormRun *r, SlowNorm *s, size_t c) {
    Wide total = 0, n = (Wide)r->n;
    for (size_t i = 0; i < r->n; i++) {
        const Wide d = deviation(r, s, i, c);
        total += r->rule.kind == FX_NORM_L1 ? magnitude(d) : r->rule.kind == FX_NORM_L2 ? d * d : d * slow_power_near(d);
    }
    switch (r->rule.kind) {
    case FX_NORM_L1: s->num = n * 32768, s->den = total * 41069; break;
    case FX_NORM_L2:
        s->num = 128;
        for (Wide bit = slow_power(40); bit; bit /= 2) // largest root
            s->den += (s->den + bit) * (s->den + bit) <= slow_floor(total * slow_power(14), n) ? bit : 0;
        break;
    case FX_NORM_RANGE:
        s->num = (Wide)chunks_of(r) * 65536;
        for (size_t k = 0; k < chunks_of(r); k++) {
            size_t high, low;
            extremes(r, k, chunks_of(r), c, &high, &low);
            s->den += (code(&r->x, r, high, c) - code(&r->x, r, low, c)) * r->constant * slow_power(fraction(r));
        }
        break;
    default:
        s->num = s->den = 1;
        while (total * 2 >= s->den * s->den * 4 * n) // V / n >= 2^(2q+1)
            s->den *= 2;
        // 2^q below the floor, or at it with V / n < 2^(2q-1)
        s->floored = s->den < r->rule.floor || total * 2 < (Wide)r->rule.floor * r->rule.floor * n;
        s->den = s->den < r->rule.floor ? r->rule.floor : s->den;
        break;
    }
    if (r->rule.kind != FX_NORM_SHIFT) {
        s->floored = s->den < s->num * r->rule.floor;
        s->den = s->floored ? s->num * r->rule.floor : s->den;
    }
}

int slow_gain(Wide product, Wide *G) {
    int bits = 0;
    while (magnitude(product) >= slow_power(15 + bits))
        bits++;
    *G = slow_shift(product, bits);
    if (magnitude(*G) == 32768)
        *G = *G > 0 ? 16384 : -16384, bits++;
    return bits;
}

static void slow_forward(const NormRun *r, SlowNorm *s, size_t c) {
    Wide sum = 0, gamma = fx_tensor_get(&r->gamma, c);
    for (size_t i = 0; i < r->n; i++)
        sum += code(&r->x, r, i, c);
    s->M = mean_of(r, sum * slow_power(fraction(r)));
    slow_scale_of(r, s, c);
    if (r->rule.kind == FX_NORM_SHIFT) {
        s->R = 16384;
        for (s->k = 14; slow_power(s->k - 14) < s->den;)
            s->k++;
        gamma = slow_power_near(gamma);
    } else
        slow_reciprocal(&r->rule, s->num, s->den, &s->R, &s->k);
    const int bits = slow_gain(gamma * s->R, &s->G);
    s->eG = r->gamma.exponent - s->k + bits;
    for (size_t i = 0; i < r->n; i++) {
        const Wide T = slow_shift(deviation(r, s, i, c) * s->G, -16 - s->eG) + slow_shift(fx_tensor_get(&r->beta, c), -16 - r->beta.exponent);
        s->y[i] = slow_clamp(T, INT32_MAX);
    }
}

// The scale's term of every element, into t.
static void slow_term(const NormRun *r, SlowNorm *s, size_t c) {
    const int Fb = r->rule.fraction;
    Wide n = (Wide)r->n, signs = 0;
    for (size_t i = 0; i < r->n; i++)
        signs += (deviation(r, s, i, c) > 0) - (deviation(r, s, i, c) < 0);
    if (r->rule.kind == FX_NORM_L1) {
        const Wide step = slow_shift(slow_quotient(s->dgm, n) * 41069, s->k + 15 - Fb), mean = mean_of(r, step * signs);
        for (size_t i = 0; i < r->n; i++)
            s->t[i] = ((deviation(r, s, i, c) > 0) - (deviation(r, s, i, c) < 0)) * step - mean;
    } else if (r->rule.kind == FX_NORM_RANGE) {
        const Wide z = slow_clamp(slow_shift(s->dgm, s->k - 12), slow_power(47));
        const Wide step = slow_clamp(slow_shift(slow_quotient(z * r->constant, (Wide)chunks_of(r)), 28 - Fb), INT32_MAX);
        for (size_t k = 0; k < chunks_of(r); k++) {
            size_t high, low;
            extremes(r, k, chunks_of(r), c, &high, &low);
            s->t[high] += step;
            s->t[low] -= step;
        }
    } else {
        const Wide quotient = slow_quotient(s->dgm, n) * s->R;
        int bits = 0;
        while (magnitude(quotient) >= slow_power(15 + bits))
            bits++;
        const Wide q = slow_shift(quotient, bits);
        for (size_t i = 0; i < r->n; i++) {
            const Wide d = deviation(r, s, i, c);
            s->t[i] = slow_shift((r->rule.kind == FX_NORM_L2 ? d : slow_power_near(d)) * q, 2 * s->k - bits - Fb);
        }
    }
}

static void slow_backward(const NormRun *r, SlowNorm *s, size_t c) {
    const Wide unit = slow_power(r->rule.fraction);
    Wide products = 0;
    for (size_t i = 0; i < r->n; i++) {
        const Wide d = deviation(r, s, i, c);
        s->db += code(&r->gy, r, i, c);
        products += code(&r->gy, r, i, c) * (r->rule.kind == FX_NORM_SHIFT ? slow_power_near(d) : d);
    }
    s->dgm = products * s->R;
    if (!r->rule.detach)
        slow_term(r, s, c);
    const Wide mean = mean_of(r, s->db * unit);
    s->dead = s->floored && !r->rule.keep_dead;
    for (size_t i = 0; i < r->n; i++)
        s->t[i] = s->dead ? 0 : slow_clamp(code(&r->gy, r, i, c) * unit - mean - s->t[i], r->rule.int32_profile ? 32767 : INT32_MAX);
    s->E = s->eG + fraction(r) - r->rule.fraction + r->egy[c] - r->ex[c];
}

SlowNorm slow_norm(const NormRun *r, size_t channel) {
    SlowNorm s = {.y = calloc(r->n, sizeof *s.y), .t = calloc(r->n, sizeof *s.t)};
    assert_true(s.y && s.t);
    slow_forward(r, &s, channel);
    slow_backward(r, &s, channel);
    return s;
}

void slow_norm_free(SlowNorm *s) {
    free(s->y);
    free(s->t);
    *s = (SlowNorm){0};
}

static void equal(Wide got, Wide want, const NormRun *r, size_t c, size_t i, const char *what, const char *name) {
    if (got != want)
        fail_msg("%s, kind %d, n = %zu, C = %zu, channel %zu, element %zu: %s = %lld, not %lld", what, r->rule.kind, r->n, r->c, c, i, name,
                 (long long)got, (long long)want);
}

void norm_compare(const NormRun *r, const char *what) {
    for (size_t c = 0; c < r->c; c++) {
        SlowNorm s = slow_norm(r, c);
        const FxNormChannel *k = &r->channels[c];
        const struct { const char *name; Wide got, want; } results[] = {
            {"mean", k->mean, s.M}, {"num", k->num, s.num}, {"den", k->den, s.den}, {"floored", k->floored, s.floored}, {"R", k->R, s.R},
            {"k", k->k, s.k}, {"G", k->G, s.G}, {"G_exponent", k->G_exponent, s.eG}, {"dbeta", k->dbeta, s.db}, {"dgamma", k->dgamma, s.dgm},
            {"multiplier", k->multiplier, s.dead ? 0 : s.G}, {"exponent", k->exponent, s.E},
        };
        for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
            equal(results[i].got, results[i].want, r, c, 0, what, results[i].name);
        for (size_t i = 0; i < r->n; i++) {
            equal(code(&r->y, r, i, c), s.y[i], r, c, i, what, "y");
            equal(code(&r->t, r, i, c), s.t[i], r, c, i, what, "t");
        }
        slow_norm_free(&s);
    }
}

double norm_unit(uint64_t i) {
    return ((double)(slow_mix(i) >> 11) + 0.5) * 0x1p-53;
}

double norm_gauss(uint64_t i) {
    return sqrt(-2 * log(norm_unit(2 * i))) * cos(6.283185307179586 * norm_unit(2 * i + 1));
}

int64_t norm_clipped(double v, int64_t limit) {
    return v > (double)limit ? limit : v < -(double)limit ? -limit : (int64_t)floor(v + 0.5);
}
