// The library's calls of fxsim.h: arrays of many groups.
#include "formats/cast_f32.h"
#include "formats/direction.h"
#include "formats/reals_f32.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

FxQuantiser *fx_quantiser_new(const char *text, const FxExtension *own, FxError *err) {
    FxQuantiser parsed, *q;
    if (fx_quantiser_parse_own(&parsed, text, own, err))
        return NULL;
    if (!(q = malloc(sizeof *q))) {
        fx_fail_memory(err, "a quantiser", sizeof *q);
        return NULL;
    }
    *q = parsed;
    return q;
}

void fx_quantiser_free(FxQuantiser *q) {
    free(q);
}

int fx_quantiser_bits(const FxQuantiser *q) {
    return q->grid.bits;
}

bool fx_quantiser_has_patterns(const FxQuantiser *q) {
    return q->grid.kind->has_patterns;
}

bool fx_quantiser_reads_all(const FxQuantiser *q) {
    return (q->scale.rule->needs_maximum && q->scale.group != FX_GROUP_BLOCK) || q->scale.rule->observe || q->grid.kind == &fx_grid_inq;
}

bool fx_quantiser_draws(const FxQuantiser *q) {
    return fx_rounding_mode(&q->rounding)->needs & FX_ROUND_RANDOM;
}

const FxGrid *fx_quantiser_grid(const FxQuantiser *q) {
    return &q->grid;
}

FxNumber fx_quantiser_decode(const FxQuantiser *q, int64_t code, int anchor) {
    return q->grid.kind->decode(&q->grid, code, anchor);
}

FxOverflow fx_quantiser_overflow(const FxQuantiser *q) {
    return q->overflow;
}

// How an array falls into groups: group g is `length` elements from `first`, `stride` apart.
typedef struct Layout {
    size_t groups, row, per_row, block, channels, stride;
} Layout;

typedef struct Span {
    size_t first, n, stride;
} Span;

static int layout_of(Layout *out, const FxQuantiser *q, const FxArray *x, FxError *err) {
    size_t samples = x->samples ? x->samples : 1, channels = x->channels ? x->channels : x->count;
    if (x->count % samples || (channels && x->count % channels))
        return fx_fail(err, FX_EXIT_USAGE, "%zu elements in %zu samples of rows of %zu channels: both must divide the count", x->count, samples,
                       channels);
    *out = (Layout){.groups = x->count > 0, .row = x->count, .per_row = 1, .block = x->count, .channels = channels, .stride = 1};
    if (x->count == 0)
        return 0;
    switch (q->scale.group) {
    case FX_GROUP_TENSOR: break;
    case FX_GROUP_CHANNEL: out->groups = channels; out->stride = channels; break;
    case FX_GROUP_SAMPLE: out->groups = samples; out->row = out->block = x->count / samples; break;
    case FX_GROUP_BLOCK:
        out->row = channels;
        out->block = (size_t)q->scale.block;
        out->per_row = (channels + out->block - 1) / out->block;
        out->groups = x->count / channels * out->per_row;
        break;
    }
    return 0;
}

static Span span_of(const Layout *layout, size_t g, size_t count) {
    if (layout->stride > 1)
        return (Span){g, count / layout->stride, layout->stride};
    size_t first = g / layout->per_row * layout->row + g % layout->per_row * layout->block, end = (g / layout->per_row + 1) * layout->row;
    return (Span){first, end - first < layout->block ? end - first : layout->block, 1};
}

int fx_quantiser_groups(size_t *groups, const FxQuantiser *q, const FxArray *x, FxError *err) {
    Layout layout = {0};
    if (layout_of(&layout, q, x, err))
        return -1;
    *groups = layout.groups;
    return 0;
}

enum { FX_STATE_MOST = FX_AUTOFLEX_WORDS };

size_t fx_state_words(const FxQuantiser *q) {
    return q->scale.rule->words ? (size_t)q->scale.rule->words : 1; // at least the last exponent
}

void fx_state_start(int64_t *state, const FxQuantiser *q, size_t groups) {
    for (size_t g = 0; g < groups; g++, state += fx_state_words(q)) {
        state[0] = 0;
        if (q->scale.rule->start)
            q->scale.rule->start(&q->scale, &q->grid, state);
    }
}

// The largest finite magnitude of a span.
static uint64_t span_max(const FxArray *x, Span span, int *exponent, unsigned cpu) {
    const char *data = x->data;
    size_t size = fx_type_size(x->type);
    if (span.stride == 1)
        return fx_max_abs(data + span.first * size, x->type, span.n, exponent, cpu);
    FxNumber best = {0};
    for (size_t k = 0; k < span.n; k++) {
        FxNumber number = fx_number_at(data, x->type, span.first + k * span.stride, 0);
        if (number.class_of == FX_FINITE && fx_number_compare(number, best) > 0)
            best = number;
    }
    if (fx_type_is_float(x->type))
        *exponent = best.exponent;
    return best.magnitude;
}

static bool span_is_finite(const FxArray *x, Span span) {
    for (size_t k = 0; fx_type_is_float(x->type) && k < span.n; k++)
        if (fx_number_at(x->data, x->type, span.first + k * span.stride, 0).class_of != FX_FINITE)
            return false;
    return true;
}

static uint64_t sample_mean(const FxArray *x, int *exponent, unsigned cpu) {
    size_t samples = x->samples ? x->samples : 1, n = x->count / samples;
    int top = *exponent, e = *exponent;
    FxSampleMean mean = {.is_float = fx_type_is_float(x->type)};
    mean.most = span_max(x, (Span){0, x->count, 1}, &top, cpu);
    mean.top = top;
    for (size_t s = 0; mean.most && s < samples; s++) {
        uint64_t m = span_max(x, (Span){s * n, n, 1}, &e, cpu);
        fx_sample_mean_add(&mean, m, e);
    }
    return fx_sample_mean_end(&mean, samples, exponent);
}

// The choice for one group, into cast.
static void choose(FxCast *cast, const FxArray *x, Span span, const int64_t *state) {
    const FxQuantiser *q = cast->q;
    const FxScaleRule *rule = q->scale.rule;
    bool is_float = fx_type_is_float(x->type);
    FxScaleInput in = {.exponent = is_float ? 0 : x->exponent, .is_float = is_float, .last = (int)state[0], .state = state};
    int at = in.exponent;
    if (rule->needs_maximum || q->grid.kind == &fx_grid_inq)
        in.max_abs = rule->sample_mean ? sample_mean(x, &at, cast->cpu) : span_max(x, span, &at, cast->cpu);
    if (rule->needs_maximum)
        in.exponent = at;
    FxScaleChoice choice = fx_scale_choose(&q->scale, &q->grid, &in);
    cast->shift = choice.shift + (is_float ? in.exponent : 0);
    cast->exponent = choice.exponent;
    cast->invalid = fx_scale_is_mx(&q->scale) && (choice.invalid || !span_is_finite(x, span));
    if (cast->invalid)
        cast->exponent = 128 - q->grid.fraction;
    if (q->grid.kind == &fx_grid_inq) {
        FxNumber s = {in.max_abs, at - q->scale.parameter[0], false, FX_FINITE};
        cast->anchor = cast->exponent = in.max_abs ? fx_inq_anchor(s) : in.last;
    }
    if (rule->real == FX_REAL_MAX && in.max_abs) {
        FxNumber max = {in.max_abs, at, false, FX_FINITE};
        cast->real = fx_number_f32(fx_number_to_f32(fx_number_divide(max, fx_grid_largest(&q->grid))));
    } else if (rule->real == FX_REAL_MEAN) {
        cast->real = fx_number_f32(fx_mean_abs_f32(x->data, x->type, x->exponent, span.first, span.stride, span.n));
    }
    if (rule->real)
        cast->shift = is_float ? 0 : -x->exponent;
    if (cast->real.class_of != FX_FINITE) // beyond float32
        cast->real = fx_number_f32(FX_F32_LARGEST);
}

// The search of a rule that makes one, where it is due. Such a rule has one group.
static void seek(const FxCast *cast, const FxArray *x, int64_t *state) {
    const FxQuantiser *q = cast->q;
    FxTensor source = {(void *)(uintptr_t)x->data, x->type, x->count, x->exponent};
    FxScaleInput in = {.exponent = x->exponent, .is_float = fx_type_is_float(x->type)};
    if (!q->scale.rule->seeks)
        return;
    in.max_abs = fx_max_abs(x->data, x->type, x->count, &in.exponent, cast->cpu);
    if (in.max_abs && fx_direction_is_due(&q->scale, state)) {
        int32_t deviation;
        int offset = fx_direction_offset(&source, &q->grid, fx_scale_choose(&q->scale, &q->grid, &in).exponent, cast->cpu, &deviation);
        fx_direction_keep(state, offset, deviation);
    }
    if (in.max_abs || !fx_direction_is_due(&q->scale, state))
        fx_direction_count(state);
}

// What a controller is told: a look at the codes before they are written.
static FxScaleSeen look(const FxCast *cast, const FxArray *x, Span span) {
    FxTensor source = {(void *)(uintptr_t)x->data, x->type, x->count, x->exponent};
    FxScaleSeen seen = {.n = span.n};
    FxStats ignored = {0};
    int64_t codes[FX_BLOCK]; // room for any type
    uint64_t limit = (uint64_t)fx_grid_high(&cast->q->grid);
    for (size_t k = 0; k < span.n;) {
        size_t take = span.stride > 1 ? 1 : span.n - k < FX_BLOCK ? span.n - k : FX_BLOCK, first = span.first + k * span.stride;
        FxTensor part = {(char *)source.data + first * fx_type_size(x->type), x->type, take, x->exponent}, out = {codes, fx_quantiser_type(cast->q), take, 0};
        FxCast here = *cast;
        here.element0 += first;
        here.direction = cast->direction ? cast->direction + first : NULL;
        fx_cast_range(&here, &part, &out, 0, take, &ignored);
        for (size_t i = 0; i < take; i++) {
            int64_t code = fx_tensor_get(&out, i);
            uint64_t m = code < 0 ? 0 - (uint64_t)code : (uint64_t)code;
            seen.largest = m > seen.largest ? m : seen.largest;
            seen.at_limit += m >= limit;
            seen.at_half += m >= (limit + 1) / 2;
        }
        k += take;
    }
    return seen;
}

// Codes first; what else is asked for is cast again: the same numbers, counted once.
static void write_span(const FxCast *cast, size_t channels, const FxArray *x, size_t first, size_t n, const FxOutput *y, FxStats *stats) {
    FxTensor source = {(void *)(uintptr_t)x->data, x->type, x->count, x->exponent};
    FxTensor out[3] = {{y->codes, fx_quantiser_type(cast->q), x->count, 0}, {y->values, FX_FLOAT32, x->count, 0}, {y->values64, FX_FLOAT64, x->count, 0}};
    FxStats again = {0};
    bool counted = false;
    for (int i = 0; i < 3; i++)
        if (out[i].data) {
            fx_cast_channels(cast, channels, &source, &out[i], first, n, counted ? &again : stats);
            counted = true;
        }
    int64_t codes[FX_BLOCK];
    for (size_t k = 0, take; !counted && k < n; k += take) { // statistics alone
        take = channels ? 1 : n - k < FX_BLOCK ? n - k : FX_BLOCK;
        FxTensor part = {(char *)source.data + (first + k) * fx_type_size(x->type), x->type, take, x->exponent}, scratch = {codes, FX_INT64, take, 0};
        FxCast here = cast[channels ? (first + k) % channels : 0];
        here.element0 += first + k;
        here.direction = cast->direction ? cast->direction + first + k : NULL;
        fx_cast_channels(&here, 0, &part, &scratch, 0, take, stats);
    }
}

static void note_group(const FxCast *cast, size_t g, const FxOutput *y) {
    if (y->exponents)
        y->exponents[g] = cast->exponent;
    if (y->scales) {
        uint32_t bits = fx_number_to_f32(cast->real);
        memcpy(&y->scales[g], &bits, sizeof bits);
    }
    if (y->mx && fx_scale_is_mx(&cast->q->scale))
        y->mx[g] = (uint8_t)(cast->exponent + cast->q->grid.fraction + 127);
}

void fx_quantise_span(const FxCast *start, const FxArray *x, size_t first, size_t n, size_t group, const FxOutput *y, FxStats *stats) {
    FxCast cast = *start;
    int64_t fresh[FX_STATE_MOST];
    fx_state_start(fresh, cast.q, 1);
    choose(&cast, x, (Span){first, n, 1}, fresh);
    note_group(&cast, group, y);
    write_span(&cast, 0, x, first, n, y, stats);
}

void fx_quantise_columns(const FxCast *start, FxCast *casts, const FxArray *x, size_t channels, const FxOutput *y, FxStats *stats) {
    int64_t fresh[FX_STATE_MOST];
    fx_state_start(fresh, start->q, 1);
    for (size_t c = 0; c < channels; c++) {
        casts[c] = *start;
        choose(&casts[c], x, (Span){c, x->count / channels, channels}, fresh);
        note_group(&casts[c], c, y);
    }
    write_span(casts, channels, x, 0, x->count, y, stats);
}

static int check_array(const FxQuantiser *q, const FxArray *x, FxError *err) {
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    if (fx_type_is_float(x->type) && (mode->needs & FX_ROUND_INTEGER))
        return fx_fail(err, FX_EXIT_USAGE, "rounding %s exists for integer arrays alone, not for %s", mode->name, fx_type_name(x->type));
    enum { FAR = 1 << 20 };
    if (fx_type_is_float(x->type) ? x->exponent != 0 : x->exponent < -FAR || x->exponent > FAR)
        return fx_fail(err, FX_EXIT_USAGE, "an array of %s with exponent %d: floats take 0, integers at most 2^20 either way",
                       fx_type_name(x->type), x->exponent);
    if ((mode->needs & FX_ROUND_DIRECTION) && !x->direction)
        return fx_fail(err, FX_EXIT_USAGE, "rounding %s needs the signs of the amounts subtracted", mode->name);
    return 0;
}

int fx_quantise(const FxQuantiser *q, int64_t *state, const FxArray *x, const FxDraw *draw, const FxOutput *y, FxStats *stats, FxError *err) {
    return fx_quantise_on(fx_cpu_detect(), q, state, x, draw, y, stats, err);
}

int fx_quantise_on(unsigned cpu, const FxQuantiser *q, int64_t *state, const FxArray *x, const FxDraw *draw, const FxOutput *y,
                   FxStats *stats, FxError *err) {
    static const FxDraw none;
    Layout layout = {0};
    draw = draw ? draw : &none;
    int lane = draw->lane_bits ? draw->lane_bits : 32;
    if (check_array(q, x, err) || layout_of(&layout, q, x, err))
        return -1;
    if ((lane != 8 && lane != 16 && lane != 32) || q->rounding.bits > lane)
        return fx_fail(err, FX_EXIT_USAGE, "random lanes of %d bits: 8, 16 or 32, and at least the %d bits of the rounding", lane, q->rounding.bits);
    if (x->count == 0) // nothing is seen: no state moves
        return 0;
    bool strided = layout.stride > 1;
    FxCast one, *casts = strided ? malloc(layout.groups * sizeof *casts) : &one;
    if (!casts)
        return fx_fail_memory(err, "the scales of the channels", layout.groups * sizeof *casts);
    FxCast start = {.q = q, .element0 = draw->element, .multiplier = 1, .direction = x->direction, .cpu = cpu};
    start.random = (FxRandom){fx_random_source(0), lane, {draw->seed, draw->stream, draw->step}};
    start.arg = fx_round_arg(&q->rounding, lane);
    FxStats total = {0};
    bool mx = fx_scale_is_mx(&q->scale), done = mx;
    for (size_t row = 0; done && row * layout.row < x->count; row++)
        done = fx_blocks_f32(&start, x, row * layout.row, layout.row, row * layout.per_row, y, &total);
    for (size_t g = 0; !done && g < layout.groups; g++) {
        Span span = span_of(&layout, g, x->count);
        int64_t fresh[FX_STATE_MOST], *mine = state ? state + g * fx_state_words(q) : fresh;
        FxCast *cast = strided ? &casts[g] : &one;
        if (!state)
            fx_state_start(fresh, q, 1);
        seek(&start, x, mine);
        for (bool again = true; again;) {
            *cast = start;
            choose(cast, x, span, mine);
            again = false;
            if (q->scale.rule->observe) {
                FxScaleSeen seen = look(cast, x, span);
                again = q->scale.rule->observe(&q->scale, &q->grid, mine, &seen);
            } else if (!mx) { // MX keeps no state
                mine[0] = cast->exponent;
            }
        }
        note_group(cast, g, y);
        if (!strided)
            write_span(cast, 0, x, span.first, span.n, y, &total);
    }
    if (strided) {
        write_span(casts, layout.stride, x, 0, x->count, y, &total);
        free(casts);
    }
    if (stats)
        fx_stats_add(stats, &total);
    return 0;
}
