// A grid and a rounding of one's own, linked from here and then used in quantiser texts like the built-in ones: NF4,
// the 16 levels of QLoRA (Dettmers et al. 2305.14314), and "nearest-odd", which sends ties to the odd neighbour.
//     cc own_format.c $(pkg-config --cflags --libs fxsim) -o own_format && ./own_format
#include <fxsim.h>

#include <inttypes.h>
#include <stdio.h>

enum { UNIT = 27, ZERO = 7, LEVELS = 16 }; // levels count in 2^-27: float32 numbers, so exact; code 7 is zero
static const int64_t level[LEVELS] = {-134217728, -93441416, -70474112, -53004928, -38177076, -24799870, -12220529, 0,
                                      10681087, 21599686, 33032634, 45354216, 59151072, 75513176, 97033624, 134217728};

static bool nf4_parse(FxGrid *grid, const char *rest) { // rest: what follows "nf4", no parameters here
    grid->bits = 4;
    return *rest == 0;
}

static void nf4_print(char *text, size_t size, const FxGrid *grid) {
    snprintf(text, size, "%s", grid->kind->prefix);
}

static FxNumber exact(int64_t x, int exponent) { // x * 2^exponent
    return (FxNumber){.magnitude = (uint64_t)(x < 0 ? -x : x), .exponent = exponent, .negative = x < 0};
}

static FxNumber nf4_decode(const FxGrid *grid, int64_t code, int anchor) {
    (void)grid, (void)anchor;
    return exact(level[code], -UNIT);
}

static FxNumber nf4_largest(const FxGrid *grid) {
    return nf4_decode(grid, LEVELS - 1, 0);
}

// x in units of 2^-60, saturated. A lost bit stays visible in the last one, so that no tie arises where none was.
static int64_t nf4_units(FxNumber x, bool *saturated) {
    const uint64_t one = UINT64_C(1) << 60;
    const int up = x.exponent + 60;
    uint64_t m = x.magnitude;
    if (m && up >= 0)
        m = up > 60 || m > one >> up ? one + 1 : m << up;
    else if (m)
        m = up > -64 ? m >> -up | (m << (64 + up) != 0) : 1;
    *saturated = m > one;
    m = m > one ? one : m;
    return x.negative ? -(int64_t)m : (int64_t)m;
}

// The place of x among the levels, as a number: between codes c and c + 1 it is c plus the fraction of the way. That is
// rounded by whatever rounding the quantiser has; stochastic ones go up with the probability of that fraction.
static FxEncoded nf4_encode(const FxQuantiser *q, FxNumber x, const FxEncodeArg *arg) {
    if (x.class_of != FX_FINITE)
        return (FxEncoded){x.class_of == FX_NAN ? ZERO : x.negative ? 0 : LEVELS - 1, false};
    bool saturated;
    const int64_t v = nf4_units(x, &saturated);
    int c = 0;
    while (c < LEVELS - 2 && v >= level[c + 1] * (INT64_C(1) << (60 - UNIT)))
        c++;
    const int64_t way = v - level[c] * (INT64_C(1) << (60 - UNIT)), gap = level[c + 1] - level[c]; // their ratio: 2^-33
    // counted from zero's place, for roundings that look at the sign; in 2^-34, the last bit sticky
    const int64_t place = (c - ZERO) * (INT64_C(1) << 34) + way / gap * 2 + (way % gap != 0);
    return (FxEncoded){fx_round_number(q, exact(place, -34), 0, false, arg) + ZERO, saturated};
}

static bool nf4_rounds(const FxRoundMode *mode) {
    return !(mode->needs & (FX_ROUND_INTEGER | FX_ROUND_DIRECTION));
}

static bool nf4_overflows(const FxGrid *grid, FxOverflow overflow) {
    (void)grid;
    return overflow == FX_OVERFLOW_SATURATE;
}

// x / 2^s to the nearest integer, ties to the odd one. >> of a negative number is floor.
static int64_t nearest_odd(int64_t x, int s, uint32_t R, int direction, const FxRoundArg *arg) {
    (void)R, (void)direction, (void)arg;
    const int64_t q = x >> s, rest = x & ((INT64_C(1) << s) - 1), half = INT64_C(1) << (s - 1);
    return q + (rest > half || (rest == half && !(q & 1)));
}

static const FxRoundMode modes[] = {
    {.name = "nearest-odd", .needs = FX_ROUND_NEAREST, .shift = nearest_odd, .help = "ties to odd"},
};
static const FxGridKind grids[] = {
    {.prefix = "nf4", .syntax = "nf4", .help = "16 levels for normal numbers", .has_patterns = true,
     .parse = nf4_parse, .print = nf4_print, .rounds = nf4_rounds, .overflows = nf4_overflows,
     .encode = nf4_encode, .decode = nf4_decode, .largest = nf4_largest},
};
static const FxExtension own = {.modes = modes, .mode_count = 1, .grids = grids, .grid_count = 1};

// Quantises x, or says why not.
static bool quantise(const char *text, const float *x, size_t n, float *values, FxStats *stats) {
    FxError err;
    FxQuantiser *q = fx_quantiser_new(text, &own, &err);
    const FxArray array = {.data = x, .type = FX_FLOAT32, .count = n};
    const FxDraw draw = {.seed = 1};
    const bool done = q && !fx_quantise(q, NULL, &array, &draw, &(FxOutput){.values = values}, stats, &err);
    if (!done)
        fprintf(stderr, "%s\n", err.text);
    fx_quantiser_free(q);
    return done;
}

int main(void) {
    static const char *const texts[] = {"nf4", "nf4/floor", "nf4/stochastic:16", "nf4@block4:ceil/nearest-odd",
                                        "fixed4f1/nearest-odd", "e4m3fn/nearest-odd"};
    static const float x[] = {0.25f, -0.75f, 0.5f, 1.25f, 0.04f, -3.0f, 17.0f, 0.0f};
    enum { N = sizeof x / sizeof x[0], MANY = 100000 };
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        float values[N];
        FxStats stats = {0};
        if (!quantise(texts[t], x, N, values, &stats))
            return 1;
        printf("%s:", texts[t]);
        for (int i = 0; i < N; i++)
            printf(" %g", (double)values[i]);
        printf("; %" PRIu64 " saturated\n", stats.saturated);
    }
    // Right on average: 0.25 lies between two levels, and many levels drawn for it have that mean.
    static float same[MANY], drawn[MANY];
    double sum = 0;
    for (int i = 0; i < MANY; i++)
        same[i] = 0.25f;
    if (!quantise("nf4/stochastic", same, MANY, drawn, NULL))
        return 1;
    for (int i = 0; i < MANY; i++)
        sum += (double)drawn[i];
    printf("mean of %d levels drawn for 0.25: %.4f\n", MANY, sum / MANY);
    return 0;
}
