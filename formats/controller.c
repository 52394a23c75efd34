// Scale rules with a state: those that decide before they see the data, from what earlier calls did; and the direction's offset.
// Integers only.
#include "formats/scale.h"

#include <string.h>

// ---- overflow rates

enum { OVERFLOW_R, OVERFLOW_CALLS, OVERFLOW_SEEN, OVERFLOW_LIMIT, OVERFLOW_HALF };

static FxScaleChoice predicted(int unit, const FxScaleInput *in) {
    return (FxScaleChoice){unit - in->exponent, unit, false};
}

// The unit is 2^(R - NOB), NOB = W - 1: R is the number of integer bits.
FxScaleChoice fx_overflow_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    int R = in->state ? (int)in->state[OVERFLOW_R] : scale->parameter[0];
    return predicted(R - (grid->bits - 1), in);
}

void fx_overflow_start(const FxScale *scale, const FxGrid *grid, int64_t *state) {
    (void)grid;
    memset(state, 0, FX_OVERFLOW_WORDS * sizeof *state);
    state[OVERFLOW_R] = scale->parameter[0];
}

// count / n > ppm / 10^6, exactly.
static bool rate_above(int64_t count, int64_t n, int ppm) {
    return (__int128)count * 1000000 > (__int128)ppm * n;
}

bool fx_overflow_observe(const FxScale *scale, const FxGrid *grid, int64_t *state, const FxScaleSeen *seen) {
    int nob = grid->bits - 1, ppm = scale->parameter[2];
    state[OVERFLOW_CALLS]++;
    state[OVERFLOW_SEEN] += (int64_t)seen->n;
    state[OVERFLOW_LIMIT] += (int64_t)seen->at_limit;
    state[OVERFLOW_HALF] += (int64_t)seen->at_half;
    if (state[OVERFLOW_CALLS] < scale->parameter[1])
        return false;
    int64_t R = state[OVERFLOW_R];
    if (rate_above(state[OVERFLOW_LIMIT], state[OVERFLOW_SEEN], ppm))
        R++;
    else if (!rate_above(state[OVERFLOW_HALF], state[OVERFLOW_SEEN], ppm))
        R--;
    R = R > nob + 127 ? nob + 127 : R < nob - 126 ? nob - 126 : R;
    memset(state, 0, FX_OVERFLOW_WORDS * sizeof *state);
    state[OVERFLOW_R] = R;
    return false;
}

// ---- Autoflex

enum { FLEX_KAPPA, FLEX_STARTED, FLEX_TRIES, FLEX_OVERFLOWS, FLEX_COUNT, FLEX_ENTRY };
enum { FLEX_MAX_TRIES = 10, FLEX_OFFSET = 100 };

FxScaleChoice fx_autoflex_choose(const FxScale *scale, const FxGrid *grid, const FxScaleInput *in) {
    int64_t fresh[FX_AUTOFLEX_WORDS];
    fx_autoflex_start(scale, grid, fresh);
    return predicted((int)(in->state ? in->state : fresh)[FLEX_KAPPA], in);
}

static int64_t kappa_clamped(const FxScale *scale, int64_t kappa) {
    int64_t low = scale->parameter[0], high = scale->parameter[1];
    return kappa < low ? low : kappa > high ? high : kappa;
}

void fx_autoflex_start(const FxScale *scale, const FxGrid *grid, int64_t *state) {
    (void)grid;
    memset(state, 0, FX_AUTOFLEX_WORDS * sizeof *state);
    state[FLEX_KAPPA] = kappa_clamped(scale, 0);
}

// One round of the start: moves kappa; whether the call must be repeated, at last at the final kappa.
static bool start_again(const FxScale *scale, const FxGrid *grid, int64_t *state, int64_t gamma) {
    int N = grid->bits;
    int64_t kappa = state[FLEX_KAPPA];
    if (gamma >= (INT64_C(1) << (N - 1)) - 1) {
        kappa += (N - 1) / 2;
    } else if (gamma < INT64_C(1) << (N - 2)) {
        kappa += fx_log2_ceil((uint64_t)(gamma > 1 ? gamma : 1)) - (N - 2);
        state[FLEX_STARTED] = gamma > INT64_C(1) << ((N - 1) / 2 - 2);
    } else {
        state[FLEX_STARTED] = 1;
    }
    state[FLEX_KAPPA] = kappa_clamped(scale, kappa);
    if (++state[FLEX_TRIES] >= FLEX_MAX_TRIES)
        state[FLEX_STARTED] = 1;
    return true;
}

// ceil(log2 chi), chi = alpha * (max + beta * std + gamma * kappa), in units of 2^LO.
static int chi_log2_ceil(const int64_t *entry, int n, __int128 kappa) {
    __int128 sum = 0, squares = 0, max = 0;
    for (int i = 0; i < n; i++) {
        sum += entry[i];
        squares += (__int128)entry[i] * entry[i];
        max = entry[i] > max ? entry[i] : max;
    }
    __int128 spread = 36 * (n * squares - sum * sum), base = 2 * (max + FLEX_OFFSET * kappa);
    for (int j = 0;; j++) {
        __int128 rest = ((__int128)1 << j) - base;
        if (rest < 0)
            continue;
        // spread <= (rest * n)^2 without leaving 128 bits: spread is below 2^127
        __int128 root = rest * n;
        if (root >= (__int128)1 << 63 || spread <= root * root)
            return j;
    }
}

bool fx_autoflex_observe(const FxScale *scale, const FxGrid *grid, int64_t *state, const FxScaleSeen *seen) {
    int64_t gamma = (int64_t)seen->largest;
    int N = grid->bits, low = scale->parameter[0];
    if (!state[FLEX_STARTED])
        return start_again(scale, grid, state, gamma);
    int up = (int)state[FLEX_KAPPA] - low; // kappa in units of 2^LO is 2^up, up <= 31
    if (gamma >= (INT64_C(1) << (N - 1)) - 1) {
        state[FLEX_OVERFLOWS]++;
        state[FLEX_COUNT] = 0;
        gamma *= 2;
    }
    int n = (int)state[FLEX_COUNT];
    int64_t *entry = state + FLEX_ENTRY;
    if (n == FX_AUTOFLEX_ENTRIES)
        memmove(entry, entry + 1, (size_t)--n * sizeof *entry);
    entry[n++] = gamma << up;
    state[FLEX_COUNT] = n;
    int64_t kappa = chi_log2_ceil(entry, n, (__int128)1 << up) + low - (N - 1);
    state[FLEX_KAPPA] = kappa_clamped(scale, kappa);
    return false;
}

bool fx_autoflex_is_starting(const FxScale *scale, const int64_t *state) {
    return scale->rule->observe == fx_autoflex_observe && !state[FLEX_STARTED];
}

// ---- direction

enum { DIRECTION_LAST, DIRECTION_OFFSET, DIRECTION_CALLS, DIRECTION_BEGUN, DIRECTION_DEVIATION };

void fx_direction_begin(const FxScale *scale, const FxGrid *grid, int64_t *state) {
    (void)scale, (void)grid;
    memset(state, 0, FX_DIRECTION_WORDS * sizeof *state);
}

bool fx_direction_is_due(const FxScale *scale, const int64_t *state) {
    return !state[DIRECTION_BEGUN] || state[DIRECTION_CALLS] >= scale->parameter[0];
}

void fx_direction_keep(int64_t *state, int offset, int32_t deviation) {
    state[DIRECTION_OFFSET] = offset;
    state[DIRECTION_CALLS] = 0;
    state[DIRECTION_BEGUN] = 1;
    state[DIRECTION_DEVIATION] = deviation;
}

void fx_direction_count(int64_t *state) {
    state[DIRECTION_CALLS] += state[DIRECTION_BEGUN];
}

int fx_direction_kept(const int64_t *state, int32_t *deviation) {
    if (deviation)
        *deviation = state ? (int32_t)state[DIRECTION_DEVIATION] : 0;
    return state ? (int)state[DIRECTION_OFFSET] : 0;
}
