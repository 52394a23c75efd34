#include "layers/norm_f32.h"

#include "formats/math_f32.h"
#include "layers/norm_kernels_f32.h"

#include <assert.h>
#include <math.h>

enum { GROUP = 16 }; // channels of a task that looks for extremes

static const float l1_constant = 1.2533141373155003f; // sqrt(pi / 2)

typedef struct Scratch {
    float *partial[3];        // [block][c]: the sums of each block of rows
    float *total[3];          // [c]
    float *expanded[4];       // values a channel, repeated over a period
    float *max, *min;         // [chunk][c]
    int32_t *max_at, *min_at; // rows counted from the chunk's first
    size_t floats;
} Scratch;

// n elements of c channels; chunks: of a range norm, else 0.
typedef struct Plan {
    size_t n, c, blocks, chunks, period;
    Scratch s;
} Plan;

static float *take(float *base, size_t *used, size_t floats) {
    float *at = base ? base + *used : NULL;
    *used += floats;
    return at;
}

static Plan plan_of(const FxNormRule *rule, size_t n, size_t c, void *scratch) {
    Plan p = {.n = n, .c = c, .blocks = (n + FX_NORM_BLOCK - 1) / FX_NORM_BLOCK};
    if (rule && rule->kind == FX_NORM_RANGE)
        p.chunks = (size_t)rule->chunks < n ? (size_t)rule->chunks : n;
    p.period = (FX_NORM_BLOCK + c - 1) / c * c;
    Scratch *s = &p.s;
    for (int i = 0; i < 3; i++) {
        s->partial[i] = take(scratch, &s->floats, p.blocks * c);
        s->total[i] = take(scratch, &s->floats, c);
    }
    for (int i = 0; i < 4; i++)
        s->expanded[i] = take(scratch, &s->floats, p.period);
    s->max = take(scratch, &s->floats, p.chunks * c);
    s->min = take(scratch, &s->floats, p.chunks * c);
    s->max_at = (int32_t *)take(scratch, &s->floats, p.chunks * c);
    s->min_at = (int32_t *)take(scratch, &s->floats, p.chunks * c);
    return p;
}

size_t fx_norm_scratch_f32(const FxNormRule *rule, size_t n, size_t channels) {
    return plan_of(rule, n, channels, NULL).s.floats * sizeof(float);
}

static Plan plan_for(const FxNormRule *rule, const FxTensor *x, const FxTensor *channels, const FxWork *work) {
    size_t c = channels->count;
    assert(x->type == FX_FLOAT32 && channels->type == FX_FLOAT32 && c && x->count % c == 0);
    Plan p = plan_of(rule, x->count / c, c, work->scratch);
    assert(p.s.floats * sizeof(float) <= work->scratch_size);
    return p;
}

static float *data_of(const FxTensor *t, size_t count) {
    assert(t->type == FX_FLOAT32 && t->count == count);
    return t->data;
}

float fx_norm_power_of_two(float v) {
    return fx_norm_kernels_f32_scalar.power_of_two(v);
}

typedef struct SumContext {
    const Plan *plan;
    FxNormSum sum;
    const float *x, *gy, *mean;
    const FxNormKernelsF32 *kernels;
} SumContext;

static void sum_blocks(void *context, size_t first, size_t n, FxStats *stats) {
    const SumContext *s = context;
    const Plan *p = s->plan;
    (void)stats;
    for (size_t block = first; block < first + n; block++) {
        size_t row = block * FX_NORM_BLOCK, rows = p->n - row < FX_NORM_BLOCK ? p->n - row : FX_NORM_BLOCK;
        FxNormRows r = {.x = s->x + row * p->c, .gy = s->gy ? s->gy + row * p->c : NULL, .mean = s->mean, .rows = rows, .c = p->c,
                        .a = p->s.partial[0] + block * p->c, .b = p->s.partial[1] + block * p->c, .s = p->s.partial[2] + block * p->c};
        s->kernels->sum(s->sum, &r);
    }
}

// The sums over all rows, in plan->s.total.
static void sum_all(const Plan *p, FxNormSum sum, const float *x, const float *gy, const float *mean, const FxWork *work) {
    SumContext context = {p, sum, x, gy, mean, fx_norm_kernels_f32(work->cpu)};
    assert(p->n >= 2 && p->n <= 1 << 24);
    fx_work_tasks(work, p->blocks, 1, sum_blocks, &context, NULL);
    int sums = sum < FX_NORM_SUM_GRADIENT ? 1 : sum == FX_NORM_SUM_GRADIENT_SIGNS ? 3 : 2;
    for (int k = 0; k < sums; k++) {
        for (size_t i = 0; i < p->c; i++)
            p->s.total[k][i] = 0;
        for (size_t block = 0; block < p->blocks; block++)
            for (size_t i = 0; i < p->c; i++)
                p->s.total[k][i] += p->s.partial[k][block * p->c + i];
    }
}

typedef struct ExtremeContext {
    const Plan *plan;
    const float *x;
    const FxNormKernelsF32 *kernels;
} ExtremeContext;

static size_t chunk_start(const Plan *p, size_t chunk) {
    return chunk * p->n / p->chunks;
}

static void extremes_tasks(void *context, size_t first, size_t n, FxStats *stats) {
    const ExtremeContext *e = context;
    const Plan *p = e->plan;
    size_t groups = (p->c + GROUP - 1) / GROUP;
    (void)stats;
    for (size_t task = first; task < first + n; task++) {
        size_t chunk = task / groups, i = task % groups * GROUP, at = chunk * p->c + i;
        size_t row = chunk_start(p, chunk), rows = chunk_start(p, chunk + 1) - row;
        e->kernels->extremes(p->s.max + at, p->s.min + at, p->s.max_at + at, p->s.min_at + at, e->x + row * p->c + i, rows, p->c,
                             p->c - i < GROUP ? p->c - i : GROUP);
    }
}

static void extremes_all(const Plan *p, const float *x, const FxWork *work) {
    ExtremeContext context = {p, x, fx_norm_kernels_f32(work->cpu)};
    fx_work_tasks(work, p->chunks * ((p->c + GROUP - 1) / GROUP), 1, extremes_tasks, &context, NULL);
}

typedef struct MapContext {
    const Plan *plan;
    FxNormMap map;
    float *out;
    const float *x, *gy;
    const FxNormKernelsF32 *kernels;
} MapContext;

static void map_rows(void *context, size_t first, size_t n, FxStats *stats) {
    const MapContext *m = context;
    const Plan *p = m->plan;
    size_t at = first * p->c;
    (void)stats;
    FxNormElements e = {.out = m->out + at, .x = m->x + at, .gy = m->gy ? m->gy + at : NULL, .p = p->s.expanded[0],
                        .q = p->s.expanded[1], .r = p->s.expanded[2], .s = p->s.expanded[3], .n = n * p->c, .period = p->period};
    m->kernels->map(m->map, &e);
}

// The first c of each array in plan->s.expanded are set.
static void map_all(const Plan *p, FxNormMap map, float *out, const float *x, const float *gy, const FxWork *work) {
    MapContext context = {p, map, out, x, gy, fx_norm_kernels_f32(work->cpu)};
    for (int k = 0; k < 4; k++)
        for (size_t i = p->c; i < p->period; i++)
            p->s.expanded[k][i] = p->s.expanded[k][i - p->c];
    fx_work_tasks(work, p->n, FX_TASK / p->c + 1, map_rows, &context, NULL);
}

void fx_norm_mean_f32(const FxTensor *x, const FxTensor *mean, const FxWork *work) {
    Plan p = plan_for(NULL, x, mean, work);
    sum_all(&p, FX_NORM_SUM_X, x->data, NULL, NULL, work);
    for (size_t i = 0; i < p.c; i++)
        ((float *)mean->data)[i] = p.s.total[0][i] / (float)p.n;
}

// Largest power of two whose square is at most 2 v: 2^q with 2^(2q-1) <= v < 2^(2q+1).
static float root_power(float v) {
    int e;
    if (!isfinite(v))
        return v;
    frexpf(v, &e); // 2^(e-1) <= v < 2^e; v >= epsilon
    return ldexpf(1, (e + 1024) / 2 - 512);
}

static float scale_of(const FxNormRule *rule, float sum, float n) {
    switch (rule->kind) {
    case FX_NORM_L2: return sqrtf(sum / n + FX_NORM_EPSILON);
    case FX_NORM_L1: return l1_constant * (sum / n) + FX_NORM_EPSILON;
    case FX_NORM_SHIFT: return root_power(sum / n + FX_NORM_EPSILON);
    case FX_NORM_RANGE: break;
    }
    return fx_norm_range_constant_f32(rule->constant, rule->nominal, rule->chunks) * sum + FX_NORM_EPSILON;
}

void fx_norm_scale_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxWork *work) {
    Plan p = plan_for(rule, x, mean, work);
    float *out = data_of(scale, p.c), *total = p.s.total[0];
    if (rule->kind == FX_NORM_RANGE) {
        assert(p.n >= 2);
        extremes_all(&p, x->data, work);
        for (size_t i = 0; i < p.c; i++)
            total[i] = 0;
        for (size_t at = 0; at < p.chunks * p.c; at++)
            total[at % p.c] += p.s.max[at] - p.s.min[at];
        for (size_t i = 0; i < p.c; i++)
            total[i] /= (float)p.chunks;
    } else {
        FxNormSum sum = rule->kind == FX_NORM_L2 ? FX_NORM_SUM_SQUARE : rule->kind == FX_NORM_L1 ? FX_NORM_SUM_ABSOLUTE : FX_NORM_SUM_SHIFTED;
        sum_all(&p, sum, x->data, NULL, mean->data, work);
    }
    for (size_t i = 0; i < p.c; i++)
        out[i] = scale_of(rule, total[i], (float)p.n);
}

static float gamma_of(const FxNormRule *rule, const float *gamma, size_t i) {
    return rule->kind == FX_NORM_SHIFT ? fx_norm_power_of_two(gamma[i]) : gamma[i];
}

static void apply(const FxNormRule *rule, const Plan *p, const float *x, const float *mean, const float *gamma, const float *beta, float *y,
                  const FxWork *work) {
    const float *scale = p->s.total[0];
    for (size_t i = 0; i < p->c; i++) {
        p->s.expanded[0][i] = mean[i];
        p->s.expanded[1][i] = gamma_of(rule, gamma, i) * (1 / scale[i]);
        p->s.expanded[2][i] = beta[i];
        p->s.expanded[3][i] = 0;
    }
    map_all(p, FX_NORM_MAP_APPLY, y, x, NULL, work);
}

void fx_norm_apply_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *gamma,
                       const FxTensor *beta, const FxTensor *y, const FxWork *work) {
    Plan p = plan_for(rule, x, mean, work);
    for (size_t i = 0; i < p.c; i++)
        p.s.total[0][i] = data_of(scale, p.c)[i];
    apply(rule, &p, x->data, mean->data, data_of(gamma, p.c), data_of(beta, p.c), data_of(y, x->count), work);
}

void fx_norm_xhat_f32(const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *xhat, const FxWork *work) {
    Plan p = plan_for(NULL, x, mean, work);
    for (size_t i = 0; i < p.c; i++) {
        p.s.expanded[0][i] = ((float *)mean->data)[i];
        p.s.expanded[1][i] = 1 / data_of(scale, p.c)[i];
        p.s.expanded[2][i] = p.s.expanded[3][i] = 0;
    }
    map_all(&p, FX_NORM_MAP_XHAT, data_of(xhat, x->count), x->data, NULL, work);
}

void fx_norm_affine_f32(const FxNormRule *rule, const FxTensor *xhat, const FxTensor *gamma, const FxTensor *beta, const FxTensor *y,
                        const FxWork *work) {
    Plan p = plan_for(rule, xhat, gamma, work);
    for (size_t i = 0; i < p.c; i++) {
        p.s.expanded[1][i] = gamma_of(rule, gamma->data, i);
        p.s.expanded[2][i] = data_of(beta, p.c)[i];
        p.s.expanded[0][i] = p.s.expanded[3][i] = 0;
    }
    map_all(&p, FX_NORM_MAP_AFFINE, data_of(y, xhat->count), xhat->data, NULL, work);
}

// The rows of the chunks' extremes get what the scale sends there: dx = gamma r (gy - mean gy -+ K dgamma / m).
static void range_gradient(const FxNormRule *rule, const Plan *p, const float *dgamma, float *dx) {
    float k = fx_norm_range_constant_f32(rule->constant, rule->nominal, rule->chunks) / (float)p->chunks;
    for (size_t at = 0; at < p->chunks * p->c; at++) {
        size_t i = at % p->c, row = chunk_start(p, at / p->c) * p->c + i;
        if (p->s.max_at[at] == p->s.min_at[at])
            continue;
        float t = k * dgamma[i], q = p->s.expanded[1][i], r = p->s.expanded[2][i];
        dx[row + (size_t)p->s.max_at[at] * p->c] = ((p->s.max[at] - r) - t) * q;
        dx[row + (size_t)p->s.min_at[at] * p->c] = ((p->s.min[at] - r) + t) * q;
    }
}

// The places of the chunks' extremes, and gy there in place of the extremes, since dx may be gy.
static void range_places(const Plan *p, const float *x, const float *gy, const FxWork *work) {
    extremes_all(p, x, work);
    for (size_t at = 0; at < p->chunks * p->c; at++) {
        const float *first = gy + chunk_start(p, at / p->c) * p->c + at % p->c;
        p->s.max[at] = first[(size_t)p->s.max_at[at] * p->c];
        p->s.min[at] = first[(size_t)p->s.min_at[at] * p->c];
    }
}

static FxNormMap backward_map(const FxNormRule *rule) {
    if (rule->detach || rule->kind == FX_NORM_RANGE)
        return FX_NORM_MAP_BACK;
    return rule->kind == FX_NORM_L2 ? FX_NORM_MAP_BACK_LINEAR : rule->kind == FX_NORM_L1 ? FX_NORM_MAP_BACK_SIGN : FX_NORM_MAP_BACK_SHIFTED;
}

void fx_norm_backward_f32(const FxNormRule *rule, const FxTensor *x, const FxTensor *mean, const FxTensor *scale, const FxTensor *gamma,
                          const FxTensor *gy, const FxTensor *dgamma, const FxTensor *dbeta, const FxTensor *dx, const FxWork *work) {
    Plan p = plan_for(rule, x, mean, work);
    const float *x_data = x->data, *gy_data = data_of(gy, x->count), n = (float)p.n;
    float *dg = data_of(dgamma, p.c), *db = data_of(dbeta, p.c);
    bool exact = !rule->detach;
    FxNormSum sum = rule->kind == FX_NORM_SHIFT ? FX_NORM_SUM_GRADIENT_SHIFTED
                    : rule->kind == FX_NORM_L1 && exact ? FX_NORM_SUM_GRADIENT_SIGNS : FX_NORM_SUM_GRADIENT;
    sum_all(&p, sum, x_data, gy_data, mean->data, work);
    for (size_t i = 0; i < p.c; i++) {
        float r = 1 / data_of(scale, p.c)[i];
        db[i] = p.s.total[0][i];
        dg[i] = r * p.s.total[1][i];
        p.s.expanded[0][i] = ((float *)mean->data)[i];
        p.s.expanded[1][i] = gamma_of(rule, data_of(gamma, p.c), i) * r;
        p.s.expanded[2][i] = db[i] / n;
        p.s.expanded[3][i] = r * dg[i] / n;
        if (rule->kind == FX_NORM_L1 && exact) { // the mean of the signs goes with the mean of gy
            float s = l1_constant * dg[i] / n;
            p.s.expanded[2][i] -= s * (p.s.total[2][i] / n);
            p.s.expanded[3][i] = s;
        }
    }
    if (!dx)
        return;
    bool range = rule->kind == FX_NORM_RANGE && exact;
    if (range)
        range_places(&p, x_data, gy_data, work);
    map_all(&p, backward_map(rule), data_of(dx, x->count), x_data, gy_data, work);
    if (range)
        range_gradient(rule, &p, dg, dx->data);
}

FxNormAverageF32 fx_norm_average_of_rule(const FxNormRule *rule) {
    return (FxNormAverageF32){.weight = ldexpf(1, -rule->average_shift), .old = rule->average_old};
}

static bool keeps_variance(const FxNormRule *rule, const FxNormAverageF32 *average) {
    return average->unbiased && rule->kind == FX_NORM_L2;
}

static void average_in(float *run, float value, const FxNormAverageF32 *average) {
    *run = average->old ? fmaf(average->weight, *run - value, value) : fmaf(average->weight, value - *run, *run);
}

void fx_norm_average_f32(const FxNormRule *rule, const FxNormAverageF32 *average, const FxTensor *mean, const FxTensor *scale, size_t n,
                         bool begun, const FxTensor *running_mean, const FxTensor *running_scale) {
    size_t c = mean->count;
    const float *new_mean = data_of(mean, c), *new_scale = data_of(scale, c);
    float *run_mean = data_of(running_mean, c), *run_scale = data_of(running_scale, c);
    bool variance = keeps_variance(rule, average);
    assert(n >= 2 && n <= 1 << 24);
    for (size_t i = 0; i < c; i++) {
        float value = new_scale[i];
        if (variance) {
            value = fmaf(value, value, -FX_NORM_EPSILON);
            value = (value < 0 ? 0 : value) * ((float)n / (float)(n - 1));
        }
        if (!begun) {
            run_mean[i] = variance ? 0 : new_mean[i];
            run_scale[i] = variance ? 1 : value;
        }
        average_in(&run_mean[i], new_mean[i], average);
        average_in(&run_scale[i], value, average);
    }
}

void fx_norm_infer_f32(const FxNormRule *rule, const FxNormAverageF32 *average, const FxTensor *x, const FxTensor *running_mean,
                       const FxTensor *running_scale, const FxTensor *gamma, const FxTensor *beta, const FxTensor *y, const FxWork *work) {
    Plan p = plan_for(rule, x, running_mean, work);
    const float *run = data_of(running_scale, p.c);
    for (size_t i = 0; i < p.c; i++)
        p.s.total[0][i] = keeps_variance(rule, average) ? sqrtf(run[i] + FX_NORM_EPSILON)
                          : rule->kind == FX_NORM_SHIFT ? fx_norm_power_of_two(run[i]) : run[i];
    apply(rule, &p, x->data, running_mean->data, data_of(gamma, p.c), data_of(beta, p.c), data_of(y, x->count), work);
}
