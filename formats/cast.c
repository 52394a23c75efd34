// Casting one group: integer sources on fixed grids by the kernels of each instruction set, everything else number by
// number through fx_encode.
#include "formats/cast_f32.h"
#include "formats/kernels_f32.h"
#include "formats/round_body.h"
#include "formats/values_f32.h"

#include <assert.h>
#include <string.h>

enum { FX_FAR = 62 }; // results beyond 2^62 are cut there: outside every grid

int64_t fx_round_number(const FxQuantiser *q, FxNumber x, int unit, bool magnitude, const FxEncodeArg *arg) {
    const FxRoundMode *mode = fx_rounding_mode(&q->rounding);
    int shift = unit - x.exponent;
    if (!x.magnitude)
        return 0;
    int64_t far = INT64_C(1) << FX_FAR, v = (int64_t)x.magnitude;
    if (shift < 0 && fx_number_log2(x) - unit >= FX_FAR)
        return x.negative ? -far : far;
    if (magnitude && (mode->needs & FX_ROUND_MAGNITUDE)) {
        v = fx_round(mode, v, shift, arg->R, arg->direction, arg->arg);
        return x.negative ? -v : v;
    }
    return fx_round(mode, x.negative ? -v : v, shift, arg->R, arg->direction, arg->arg);
}

FxNumber fx_cast_value(const FxCast *cast, int64_t code) {
    if (cast->invalid)
        return (FxNumber){.class_of = FX_NAN};
    FxNumber x = cast->q->grid.kind->decode(&cast->q->grid, code, cast->anchor);
    x.exponent += cast->exponent;
    if (cast->q->grid.kind == &fx_grid_inq)
        x.exponent += cast->q->scale.parameter[0] - cast->exponent; // the exponent printed is n1
    if (cast->q->scale.rule->real) { // float32(code * s): the product is exact, then one rounding
        x.magnitude *= cast->real.magnitude;
        x.exponent += cast->real.exponent;
        x = fx_number_f32(fx_number_to_f32(x));
    }
    return x;
}

// a * 2^shift against b, for magnitudes; shift may be negative.
static bool magnitude_above(uint64_t a, int64_t shift, uint64_t b, int64_t b_shift) {
    int64_t d = shift - b_shift;
    if (a == 0 || b == 0)
        return a != 0;
    if (d > 64)
        return true;
    if (d < -64)
        return false;
    return d >= 0 ? (unsigned __int128)a << d > b : a > (unsigned __int128)b << -d;
}

void fx_stats_max(FxStats *stats, uint64_t max_abs, int64_t exponent) {
    if (max_abs && magnitude_above(max_abs, exponent, stats->max_abs, stats->max_exponent)) {
        stats->max_abs = max_abs;
        stats->max_exponent = exponent;
    }
}

void fx_stats_add(FxStats *sum, const FxStats *part) {
    sum->n += part->n;
    sum->saturated += part->saturated;
    sum->underflowed += part->underflowed;
    sum->zeros_in += part->zeros_in;
    sum->zeros_out += part->zeros_out;
    sum->at_limit += part->at_limit;
    sum->nonfinite += part->nonfinite;
    sum->masked += part->masked;
    fx_stats_max(sum, part->max_abs, part->max_exponent);
}

void fx_cast_limits(const FxCast *cast, int64_t *low, int64_t *high) {
    int64_t l = fx_grid_low(&cast->q->grid), h = fx_grid_high(&cast->q->grid);
    int s = cast->shift;
    if (s <= 0) { // low <= x * 2^-s <= high
        int k = -s < 62 ? -s : 62;
        *low = -(-l >> k);
        *high = h >> k;
        return;
    }
    bool fits = s < 62 && h <= INT64_MAX >> s && -l <= INT64_MAX >> s;
    *low = fits ? l * (INT64_C(1) << s) : l ? INT64_MIN : 0;
    *high = fits ? h << s : INT64_MAX;
}

// Exact left shift. Results beyond 62 bits keep their sign and stay outside every grid; wrapping reads low bits only.
static void shift_left(int64_t *q, const int64_t *v, size_t n, int k, bool wrap) {
    for (size_t i = 0; i < n; i++) {
        int64_t bound = k < 62 ? INT64_C(1) << (62 - k) : 1;
        if (wrap)
            q[i] = k < 64 ? (int64_t)((uint64_t)v[i] << k) : 0;
        else if (v[i] >= bound || v[i] <= -bound)
            q[i] = v[i] < 0 ? INT64_MIN : INT64_MAX;
        else
            q[i] = v[i] ? (int64_t)((uint64_t)v[i] << k) : 0;
    }
}

// Rounds one block of a fixed grid; shifts of any size.
static void round_block(const FxCast *cast, const FxKernels *kernels, int64_t *q, const int64_t *v, size_t n, const uint32_t *R) {
    const FxRounding *rounding = &cast->q->rounding;
    if (cast->shift == 0) {
        memcpy(q, v, n * sizeof *q);
    } else if (cast->shift < 0) {
        shift_left(q, v, n, -cast->shift, cast->q->overflow == FX_OVERFLOW_WRAP);
    } else if (cast->shift <= 62 && !rounding->own) {
        kernels->round[rounding->mode](q, v, n, cast->shift, R, &cast->arg);
    } else {
        for (size_t i = 0; i < n; i++)
            q[i] = fx_round(fx_rounding_mode(rounding), v[i], cast->shift, R ? R[i] : 0, 0, &cast->arg);
    }
}

// Counts codes outside the grid and brings them back by dropping high bits.
static void wrap_block(const FxGrid *grid, int64_t *q, const int64_t *v, size_t n, int shift, FxBlockCounts *counts) {
    int64_t low = fx_grid_low(grid), high = fx_grid_high(grid);
    int64_t bound = shift < -62 ? 1 : shift < 0 ? INT64_C(1) << (62 + shift) : INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        bool lost = v[i] >= bound || v[i] <= -bound; // a left shift pushed bits out
        counts->saturated += lost || q[i] < low || q[i] > high;
        q[i] = fx_grid_wrap(grid, q[i]);
    }
}

// The kernel that does all of it, NULL: none does.
static FxCastKernel *one_pass(const FxCast *cast, const FxKernels *kernels, FxType x, FxType y) {
    const FxRounding *rounding = &cast->q->rounding;
    const int from = x == FX_INT8 ? 0 : x == FX_INT16 ? 1 : x == FX_INT32 ? 2 : 3, to = y == FX_INT16, s = cast->shift;
    if ((x != FX_INT8 && x != FX_INT16 && x != FX_INT32 && x != FX_INT64) || (y != FX_INT8 && y != FX_INT16) || cast->multiplier != 1 ||
        cast->q->overflow == FX_OVERFLOW_WRAP || s < 0 || s > (x == FX_INT64 ? 62 : 31))
        return NULL;
    if (s == 0)
        return kernels->keep[from][to];
    if (fx_rounding_is_stochastic(rounding))
        return s <= cast->arg.bits ? kernels->stochastic[from][to] : NULL;
    return !rounding->own && rounding->mode == FX_ROUND_NEAREST_EVEN ? kernels->even[from][to] : NULL;
}

// Integers to codes of a fixed grid.
static uint64_t cast_block(const FxCast *cast, const FxKernels *kernels, const void *x, FxType x_type, void *y, FxType y_type,
                           const uint32_t *R, size_t n, FxBlockCounts *counts) {
    const FxGrid *grid = &cast->q->grid;
    int64_t low = fx_grid_low(grid), high = fx_grid_high(grid);
    bool wrap = cast->q->overflow == FX_OVERFLOW_WRAP;
    FxCastKernel *kernel = one_pass(cast, kernels, x_type, y_type);
    if (kernel)
        return kernel(y, x, n, cast->shift, (int)low, (int)high, R, cast->arg.bits, counts);

    int64_t v[FX_BLOCK], q[FX_BLOCK];
    uint64_t max = kernels->widen(v, x, x_type, n, cast->multiplier, counts);
    round_block(cast, kernels, q, v, n, R);
    if (wrap)
        wrap_block(grid, q, v, n, cast->shift, counts);
    kernels->narrow(y, y_type, q, n, low, high, counts);
    return max;
}

static void put(const FxTensor *y, size_t i, const FxCast *cast, int64_t code) {
    if (!fx_type_is_float(y->type)) {
        fx_tensor_set(y, i, cast->invalid ? 0 : code);
        return;
    }
    FxNumber value = fx_cast_value(cast, code);
    if (y->type == FX_FLOAT32)
        memcpy(fx_tensor_at(y, i), &(uint32_t){fx_number_to_f32(value)}, 4);
    else
        memcpy(fx_tensor_at(y, i), &(uint64_t){fx_number_to_f64(value)}, 8);
}

// Whether code stands at the grid's end.
static bool at_limit(const FxGrid *grid, int64_t code) {
    if (!grid->kind->has_patterns)
        return code == fx_grid_low(grid) || code == fx_grid_high(grid);
    FxNumber x = grid->kind->decode(grid, code, 0), largest = fx_grid_largest(grid);
    return x.class_of == FX_FINITE && fx_number_compare(x, largest) == 0;
}

// Number by number: the specification.
static void cast_numbers(const FxCast *casts, size_t channels, const FxTensor *x, const FxTensor *y, const uint32_t *R, size_t first,
                         size_t n, FxStats *stats) {
    const FxGrid *grid = &casts->q->grid;
    const bool is_integer = !fx_type_is_float(x->type); // without a -0
    for (size_t i = first; i < first + n; i++) {
        const FxCast *cast = &casts[channels ? i % channels : 0];
        FxNumber number = fx_number_at(x->data, x->type, i, 0);
        FxEncodeArg arg = {R ? R[i - first] : 0, cast->direction ? cast->direction[i] : 0, cast->anchor, &cast->arg};
        bool finite = number.class_of == FX_FINITE, zero = finite && (!number.magnitude || (channels && !cast->multiplier));
        stats->nonfinite += !finite;
        stats->zeros_in += zero;
        if (finite)
            fx_stats_max(stats, number.magnitude, number.exponent + x->exponent);
        number.magnitude *= round_magnitude(cast->multiplier);
        number.negative = number.negative != (cast->multiplier < 0) && (number.magnitude || !is_integer);
        number.exponent -= cast->shift;
        if (cast->q->scale.rule->real)
            number = cast->real.magnitude ? fx_number_divide(number, cast->real) : (FxNumber){0};
        FxEncoded out = {0, false};
        if (!cast->invalid)
            out = fx_encode(cast->q, number, &arg);
        put(y, i, cast, out.code);
        FxNumber value = grid->kind->decode(grid, out.code, cast->anchor);
        bool out_zero = value.class_of == FX_FINITE && !value.magnitude;
        stats->saturated += out.saturated;
        stats->zeros_out += out_zero;
        stats->underflowed += out_zero && finite && !zero;
        stats->at_limit += !cast->invalid && at_limit(grid, out.code);
    }
}

uint64_t fx_max_abs(const void *x, FxType type, size_t n, int *exponent, unsigned cpu) {
    if (!fx_type_is_float(type))
        return fx_kernels(cpu)->max_abs(x, type, n);
    if (type == FX_FLOAT32) {
        FxNumber found = fx_number_f32(fx_kernels_f32(cpu)->max_finite(x, n));
        *exponent = found.exponent;
        return found.magnitude;
    }
    FxNumber max = {0};
    for (size_t i = 0; i < n; i++) {
        FxNumber number = fx_number_at(x, type, i, 0);
        if (number.class_of == FX_FINITE && fx_number_compare(number, max) > 0)
            max = number;
    }
    *exponent = max.exponent;
    return max.magnitude;
}

enum { FX_EXACT_F32 = 1 << 24, FX_LEAST_UNIT = -100, FX_MOST_UNIT = 60 }; // products of these codes and units are float32

// Whether the kernels of fixed grids do it: codes, or their values where float32 holds them all.
static bool is_integer_cast(const FxCast *cast, const FxTensor *x, const FxTensor *y) {
    const FxGrid *grid = &cast->q->grid;
    if (!fx_grid_is_fixed(grid) || fx_type_is_float(x->type) || cast->q->scale.rule->real || cast->invalid || cast->direction)
        return false;
    return !fx_type_is_float(y->type) || (y->type == FX_FLOAT32 && fx_grid_low(grid) >= -FX_EXACT_F32 && fx_grid_high(grid) <= FX_EXACT_F32 &&
                                          cast->exponent >= FX_LEAST_UNIT && cast->exponent <= FX_MOST_UNIT);
}

void fx_cast_channels(const FxCast *cast, size_t channels, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats) {
    assert(first + n <= x->count && first + n <= y->count);
    const FxKernels *kernels = fx_kernels(cast->cpu);
    const FxGrid *grid = &cast->q->grid;
    FxStats part = {.n = n};
    if (channels == 0 && fx_cast_f32(cast, x, y, first, n, stats))
        return;
    bool integers = channels == 0 && is_integer_cast(cast, x, y), exact = integers && cast->shift <= 0;
    bool random = (fx_rounding_mode(&cast->q->rounding)->needs & FX_ROUND_RANDOM) && !exact;
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t take = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        uint32_t R[FX_BLOCK];
        if (random)
            fx_random_bits(R, &cast->random, cast->element0 + i, take, cast->arg.bits, cast->cpu);
        if (!integers) {
            cast_numbers(cast, channels, x, y, random ? R : NULL, i, take, &part);
            continue;
        }
        FxBlockCounts counts = {0};
        int32_t codes[FX_BLOCK];
        const FxTensor out = y->type == FX_FLOAT32 ? (FxTensor){codes, fx_type_for_range(fx_grid_low(grid), fx_grid_high(grid)), take, cast->exponent}
                                                   : (FxTensor){fx_tensor_at(y, i), y->type, take, 0};
        uint64_t max = cast_block(cast, kernels, fx_tensor_at(x, i), x->type, out.data, out.type, random ? R : NULL, take, &counts);
        if (y->type == FX_FLOAT32)
            fx_values_f32(fx_tensor_at(y, i), &out, 0, take);
        part.saturated += counts.saturated;
        part.zeros_in += counts.zeros_in;
        part.zeros_out += counts.zeros_out;
        part.underflowed += counts.zeros_out > counts.zeros_in ? counts.zeros_out - counts.zeros_in : 0; // zero becomes zero
        part.at_limit += counts.at_limit;
        fx_stats_max(&part, max, x->exponent);
    }
    fx_stats_add(stats, &part);
}

void fx_cast_range(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats) {
    fx_cast_channels(cast, 0, x, y, first, n, stats);
}
