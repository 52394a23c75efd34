#include "sim/quality_f32.h"

#include "formats/bits_f32.h"
#include "formats/grid.h"
#include "formats/math_f32.h"

#include <assert.h>
#include <limits.h>
#include <math.h>

enum { CHUNK = 4096, BLOCK = 256, GROUP = 256 }; // elements of a sum, elements read at once, chunk sums on the stack

// The unit of a code is 2^(binade of x - mantissa_bits), held to lowest .. highest; equal steps have one value for both.
typedef struct Unit {
    bool exists;
    int mantissa_bits, lowest, highest;
} Unit;

typedef struct Job {
    const FxRounded *r;
    Unit unit;
} Job;

static Unit unit_of(const FxGrid *grid, int exponent) {
    if (grid->kind->is_fixed)
        return (Unit){true, 0, exponent, exponent};
    if (grid->kind != &fx_grid_float && grid->kind != &fx_grid_p3109)
        return (Unit){0};
    int lowest = (grid->lowest == FX_LOWEST_NORMZ ? 0 : 1) - grid->bias + exponent;
    return (Unit){true, grid->mantissa_bits, lowest - grid->mantissa_bits, INT_MAX};
}

// 2^n, n held to what float64 has.
static double power_of_two(int n) {
    n = n < -1022 ? -1022 : n > 1023 ? 1023 : n;
    return fx_double_of((uint64_t)(n + 1023) << 52);
}

static double per_unit(const Unit *unit, double x) {
    int n = (int)(fx_double_bits(x) >> 52 & 0x7FF) - 1023 - unit->mantissa_bits; // 0: below every `lowest`
    n = n < unit->lowest ? unit->lowest : n;
    return power_of_two(-(n < unit->highest ? n : unit->highest));
}

// The type is a constant wherever this is called, so that loops of one type remain.
FX_BITS_INLINE void read_codes(double *v, const void *data, FxType type, size_t n, double unit) {
    for (size_t i = 0; i < n; i++)
        v[i] = unit * (type == FX_INT8     ? (double)((const int8_t *)data)[i]
                       : type == FX_UINT8  ? (double)((const uint8_t *)data)[i]
                       : type == FX_INT16  ? (double)((const int16_t *)data)[i]
                       : type == FX_UINT16 ? (double)((const uint16_t *)data)[i]
                       : type == FX_INT32  ? (double)((const int32_t *)data)[i]
                       : type == FX_UINT32 ? (double)((const uint32_t *)data)[i]
                       : type == FX_INT64  ? (double)((const int64_t *)data)[i]
                                           : (double)((const float *)data)[i]);
}

static void read_values(double *v, const FxTensor *t, size_t first, size_t n) {
    const void *data = fx_tensor_at(t, first);
    const double unit = power_of_two(t->exponent);
    switch (t->type) {
    case FX_INT8: read_codes(v, data, FX_INT8, n, unit); break;
    case FX_UINT8: read_codes(v, data, FX_UINT8, n, unit); break;
    case FX_INT16: read_codes(v, data, FX_INT16, n, unit); break;
    case FX_UINT16: read_codes(v, data, FX_UINT16, n, unit); break;
    case FX_INT32: read_codes(v, data, FX_INT32, n, unit); break;
    case FX_UINT32: read_codes(v, data, FX_UINT32, n, unit); break;
    case FX_INT64: read_codes(v, data, FX_INT64, n, unit); break;
    default: read_codes(v, data, FX_FLOAT32, n, 1); break;
    }
}

// Each channel by its own unit. |code * multiplier| < 2^62: the product is exact, its float64 rounded once.
static void read_channels(double *v, const FxTensor *t, const int32_t *multiplier, const int32_t *exponent, size_t channels, size_t first, size_t n) {
    for (size_t i = 0, c = first % channels; i < n; i++, c = c + 1 < channels ? c + 1 : 0)
        v[i] = power_of_two(exponent ? exponent[c] : t->exponent) * (double)(fx_tensor_get(t, first + i) * (multiplier ? multiplier[c] : 1));
}

static void read_both(double *xs, double *qs, const FxRounded *r, size_t first, size_t n) {
    if (r->units)
        read_channels(xs, r->x, r->units->multiplier, r->units->exponent, r->channels, first, n);
    else
        read_values(xs, r->x, first, n);
    if (r->exponents)
        read_channels(qs, r->q, NULL, r->exponents, r->channels, first, n);
    else
        read_values(qs, r->q, first, n);
}

static double units_at(const Job *job, double d, double x, size_t i) {
    const FxRounded *r = job->r;
    if (!job->unit.exists)
        return 0;
    return d * (r->exponents ? power_of_two(-r->exponents[i % r->channels]) : per_unit(&job->unit, x));
}

static FxQuality chunk_sum(const Job *job, size_t first, size_t n) {
    FxQuality s = {0};
    for (size_t done = 0; done < n; done += BLOCK) {
        double xs[BLOCK], qs[BLOCK];
        size_t count = n - done < BLOCK ? n - done : BLOCK;
        read_both(xs, qs, job->r, first + done, count);
        for (size_t i = 0; i < count; i++) {
            double x = xs[i], q = qs[i], d = q - x, size = fabs(job->r->crest_of_source ? x : q);
            if (!isfinite(x) || !isfinite(q))
                continue;
            s.sum += q;
            s.xx += x * x;
            s.qq += q * q;
            s.xq += x * q;
            s.dd += d * d;
            s.bias += units_at(job, d, x, first + done + i);
            s.max_abs = size > s.max_abs ? size : s.max_abs;
            s.n++;
        }
    }
    s.units = job->unit.exists ? s.n : 0;
    return s;
}

static void add(FxQuality *to, const FxQuality *s) {
    to->sum += s->sum;
    to->xx += s->xx;
    to->qq += s->qq;
    to->xq += s->xq;
    to->dd += s->dd;
    to->bias += s->bias;
    to->max_abs = s->max_abs > to->max_abs ? s->max_abs : to->max_abs;
    to->n += s->n;
    to->units += s->units;
}

static void check(const FxRounded *r) {
    const bool channels = r->units || r->exponents;
    assert(r->x->count == r->q->count && r->x->type != FX_FLOAT64 && r->q->type != FX_FLOAT64);
    assert(!channels || (r->channels > 0 && r->x->count % r->channels == 0));
    assert(!r->units || !fx_type_is_float(r->x->type));
    assert(!r->exponents || (!fx_type_is_float(r->q->type) && r->grid->kind->is_fixed));
}

void fx_quality_add(FxQuality *sum, const FxRounded *r, const FxWork *work) {
    check(r);
    const Job job = {r, r->has_unit ? unit_of(r->grid, r->exponents ? 0 : r->exponent) : (Unit){0}};
    sum->of_source = r->crest_of_source;
    const size_t chunks = (r->x->count + CHUNK - 1) / CHUNK;
    for (size_t base = 0; base < chunks; base += GROUP) {
        FxQuality part[GROUP];
        const size_t n = chunks - base < GROUP ? chunks - base : GROUP;
#pragma omp parallel for num_threads(work->threads) schedule(static) if (work->threads > 1 && n > 1)
        for (size_t c = 0; c < n; c++) {
            size_t first = (base + c) * CHUNK;
            part[c] = chunk_sum(&job, first, r->x->count - first < CHUNK ? r->x->count - first : CHUNK);
        }
        for (size_t c = 0; c < n; c++)
            add(sum, &part[c]);
    }
}

double fx_quality_mean(const FxQuality *s) {
    return s->n ? s->sum / (double)s->n : (double)NAN;
}

double fx_quality_l2(const FxQuality *s) {
    return s->n ? sqrt(s->qq) : (double)NAN;
}

double fx_quality_sqnr_db(const FxQuality *s) {
    const double ten_by_ln10 = 4.3429448190325182765;
    return s->xx > 0 && s->dd > 0 ? ten_by_ln10 * fx_log(s->xx / s->dd) : (double)NAN;
}

double fx_quality_cosine(const FxQuality *s) {
    return s->xx > 0 && s->qq > 0 ? s->xq / sqrt(s->xx * s->qq) : (double)NAN;
}

double fx_quality_bias(const FxQuality *s) {
    return s->units ? s->bias / (double)s->units : (double)NAN;
}

double fx_quality_crest(const FxQuality *s) {
    const double squares = s->of_source ? s->xx : s->qq;
    return squares > 0 ? s->max_abs / sqrt(squares / (double)s->n) : (double)NAN;
}
