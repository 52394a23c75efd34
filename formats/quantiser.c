#include "formats/quantiser.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *const fx_quantiser_parts[4] = {"grid", "scale", "rounding", "overflow"};

static const char *const overflow_names[] = {[FX_OVERFLOW_SATURATE] = "saturate", [FX_OVERFLOW_WRAP] = "wrap"};

const char *fx_overflow_name(FxOverflow overflow) {
    return overflow_names[overflow];
}

int fx_overflow_parse(FxOverflow *overflow, const char *text, FxError *err) {
    for (int i = 0; i < 2; i++)
        if (!strcmp(text, overflow_names[i])) {
            *overflow = (FxOverflow)i;
            return 0;
        }
    return fx_fail(err, FX_EXIT_USAGE, "overflow \"%s\": known: saturate, wrap", text);
}

int fx_quantiser_check(const FxQuantiser *q, FxError *err) {
    char grid[64], scale[64], rounding[64];
    fx_grid_print(grid, sizeof grid, &q->grid);
    fx_scale_print(scale, sizeof scale, &q->scale);
    fx_rounding_print(rounding, sizeof rounding, &q->rounding);
    if (q->scale.rule->only_fixed && !fx_grid_is_fixed(&q->grid))
        return fx_fail(err, FX_EXIT_USAGE, "scale %s needs a fixed grid, not %s", scale, grid);
    if (!q->grid.kind->rounds(q->rounding.mode))
        return fx_fail(err, FX_EXIT_USAGE, "rounding %s does not exist on grid %s", rounding, grid);
    if (q->overflow == FX_OVERFLOW_WRAP && (!fx_grid_is_fixed(&q->grid) || (q->grid.is_signed && !q->grid.twos_complement)))
        return fx_fail(err, FX_EXIT_USAGE, "overflow wrap needs a two's complement or unsigned fixed grid, not %s", grid);
    return 0;
}

int fx_quantiser_parse(FxQuantiser *q, const char *text, FxError *err) {
    char copy[FX_QUANTISER_TEXT], *part[3];
    FxQuantiser out = {.overflow = FX_OVERFLOW_SATURATE};
    FxError ignored;
    if (strlen(text) >= sizeof copy)
        return fx_fail(err, FX_EXIT_USAGE, "quantiser text of %zu characters; the longest legal one has fewer than %d",
                       strlen(text), FX_QUANTISER_TEXT);
    strcpy(copy, text);
    int parts = 0;
    for (char *p = copy; p; ) {
        char *next = strchr(p, '/');
        if (next)
            *next++ = 0;
        if (parts == 3 || !*p)
            return fx_fail(err, FX_EXIT_USAGE, "\"%s\": write GRID[@SCALE][/ROUNDING][/OVERFLOW], no part empty", text);
        part[parts++] = p;
        p = next;
    }
    char *scale = strchr(copy, '@');
    if (scale)
        *scale++ = 0;
    if (fx_grid_parse(&out.grid, copy, err) || fx_scale_parse(&out.scale, scale ? scale : "const:0", err))
        return -1;
    bool only_overflow = parts == 2 && fx_overflow_parse(&out.overflow, part[1], &ignored) == 0;
    if (fx_rounding_parse(&out.rounding, parts > 1 && !only_overflow ? part[1] : "nearest-even", err))
        return -1;
    if (parts == 3 && fx_overflow_parse(&out.overflow, part[2], err))
        return -1;
    if (fx_quantiser_check(&out, err))
        return -1;
    *q = out;
    return 0;
}

void fx_quantiser_print(char text[FX_QUANTISER_TEXT], const FxQuantiser *q) {
    char grid[48], scale[32], rounding[48];
    fx_grid_print(grid, sizeof grid, &q->grid);
    fx_scale_print(scale, sizeof scale, &q->scale);
    fx_rounding_print(rounding, sizeof rounding, &q->rounding);
    snprintf(text, FX_QUANTISER_TEXT, "%s@%s/%s/%s", grid, scale, rounding, fx_overflow_name(q->overflow));
}

FxType fx_quantiser_type(const FxQuantiser *q) {
    return fx_type_for_range(fx_grid_low(&q->grid), fx_grid_high(&q->grid));
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

// Rounds one block by the law of the grid; shifts of any size.
static void round_block(const FxCast *cast, const FxKernels *kernels, int64_t *q, const int64_t *v, size_t n, const uint32_t *R) {
    const FxGrid *grid = &cast->q->grid;
    int mode = cast->q->rounding.mode;
    if (grid->kind->code) {
        for (size_t i = 0; i < n; i++)
            q[i] = grid->kind->code(grid, &cast->q->rounding, v[i], cast->shift, R ? R[i] : 0, &cast->arg);
    } else if (cast->shift == 0) {
        memcpy(q, v, n * sizeof *q);
    } else if (cast->shift < 0) {
        shift_left(q, v, n, -cast->shift, cast->q->overflow == FX_OVERFLOW_WRAP);
    } else if (cast->shift <= 62) {
        kernels->round[mode](q, v, n, cast->shift, R, &cast->arg);
    } else {
        for (size_t i = 0; i < n; i++)
            q[i] = fx_round(mode, v[i], cast->shift, R ? R[i] : 0, 0, &cast->arg);
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

static uint64_t cast_block(const FxCast *cast, const FxKernels *kernels, const void *x, FxType x_type, void *y, FxType y_type,
                           uint64_t element, size_t n, FxBlockCounts *counts) {
    const FxGrid *grid = &cast->q->grid;
    int64_t low = fx_grid_low(grid), high = fx_grid_high(grid);
    const FxRoundMode *mode = &fx_round_modes[cast->q->rounding.mode];
    bool wrap = cast->q->overflow == FX_OVERFLOW_WRAP;
    if (x_type == FX_INT32 && y_type == FX_INT8 && cast->q->rounding.mode == FX_ROUND_NEAREST_EVEN && cast->multiplier == 1 && !wrap &&
        fx_grid_is_fixed(grid) && cast->shift >= 1 && cast->shift <= 31)
        return kernels->nearest_even_int8(y, x, n, cast->shift, (int)low, (int)high, counts);

    int64_t v[FX_BLOCK], q[FX_BLOCK];
    uint32_t R[FX_BLOCK];
    bool random = mode->needs & FX_ROUND_RANDOM;
    uint64_t max = kernels->widen(v, x, x_type, n, cast->multiplier, counts);
    if (random)
        fx_random_bits(R, &cast->random, element, n, cast->arg.bits, cast->cpu);
    round_block(cast, kernels, q, v, n, random ? R : NULL);
    if (wrap)
        wrap_block(grid, q, v, n, cast->shift, counts);
    kernels->narrow(y, y_type, q, n, low, high, counts);
    return max;
}

void fx_cast_range(const FxCast *cast, const FxTensor *x, const FxTensor *y, size_t first, size_t n, FxStats *stats) {
    assert(first + n <= x->count && first + n <= y->count);
    const FxKernels *kernels = fx_kernels(cast->cpu);
    FxStats part = {.n = n};
    for (size_t i = first; i < first + n; i += FX_BLOCK) {
        size_t take = first + n - i < FX_BLOCK ? first + n - i : FX_BLOCK;
        FxBlockCounts counts = {0};
        uint64_t max = cast_block(cast, kernels, fx_tensor_at(x, i), x->type, fx_tensor_at(y, i), y->type,
                                  cast->element0 + i, take, &counts);
        part.saturated += counts.saturated;
        part.zeros_in += counts.zeros_in;
        part.zeros_out += counts.zeros_out;
        part.at_limit += counts.at_limit;
        fx_stats_max(&part, max, x->exponent);
    }
    // zero always becomes zero, except on grids that have none
    part.underflowed = part.zeros_out > part.zeros_in ? part.zeros_out - part.zeros_in : 0;
    fx_stats_add(stats, &part);
}
