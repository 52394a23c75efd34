// libFuzzer: any text gives a quantiser that keeps the promises of fxsim.h, or one error line. The first byte chooses
// the lane, the second the source's type, the rest is the text.
// Seeds: awk -F, 'NR > 1 { printf "\x20\x20%s", $1 > ("corpus/" NR) }' tests/golden/grid_text.csv
#include "formats/fxsim.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_TABLE = 12, SAMPLE = 64 }; // decodes all codes of grids with that many bits, a sample of wider ones

#define require(holds) ((holds) ? (void)0 : broken(__LINE__, #holds))

static _Noreturn void broken(int line, const char *what) {
    fprintf(stderr, "fuzz_quantiser.c:%d: does not hold: %s\n", line, what);
    abort();
}

// Printing is stable, and its result means the same quantiser.
static void require_stable_text(const FxQuantiser *q) {
    char text[FX_QUANTISER_TEXT], again[FX_QUANTISER_TEXT];
    FxError err;
    memset(text, 1, sizeof text);
    fx_quantiser_print(text, q);
    require(memchr(text, '\0', sizeof text) != NULL && text[0]);
    FxQuantiser *copy = fx_quantiser_new(text, NULL, &err);
    require(copy != NULL);
    fx_quantiser_print(again, copy);
    require(!strcmp(text, again));
    require(fx_quantiser_type(copy) == fx_quantiser_type(q) && fx_quantiser_bits(copy) == fx_quantiser_bits(q));
    require(fx_quantiser_draws(copy) == fx_quantiser_draws(q) && fx_state_words(copy) == fx_state_words(q));
    require(fx_quantiser_reads_all(copy) == fx_quantiser_reads_all(q));
    fx_quantiser_free(copy);
}

// The length is that of the whole text, whatever the room.
static void require_explanation(const FxQuantiser *q, size_t room) {
    char *text, *part;
    const size_t length = fx_quantiser_explain(NULL, 0, q);
    require(length > 0 && length < 20000);
    text = malloc(length + 1);
    part = malloc(room + 1);
    require(text && part);
    require(fx_quantiser_explain(text, length + 1, q) == length && strlen(text) == length);
    require(fx_quantiser_explain(part, room, q) == length);
    const size_t kept = room > length ? length : room ? room - 1 : 0;
    require(memcmp(text, part, kept) == 0 && (!room || part[kept] == '\0'));
    free(text);
    free(part);
}

static void require_number(FxNumber x) {
    require(x.class_of == FX_FINITE || x.class_of == FX_INFINITE || x.class_of == FX_NAN);
    require(x.class_of != FX_FINITE || x.magnitude >> 63 == 0);
    require(!x.magnitude || (x.exponent > -100000 && x.exponent < 100000));
}

// Every code stands for a number. Fixed grids say so of themselves: code * 2^0.
static void require_codes(const FxQuantiser *q) {
    const int bits = fx_quantiser_bits(q);
    require(bits >= 1 && bits <= 62);
    const bool patterns = fx_quantiser_has_patterns(q);
    const int64_t count = INT64_C(1) << (bits < LARGEST_TABLE ? bits : LARGEST_TABLE);
    const int64_t step = (INT64_C(1) << bits) / count;
    for (int64_t i = 0; patterns && i < count; i++)
        for (int anchor = -3; anchor <= 3; anchor += 3)
            require_number(fx_quantiser_decode(q, i * step + (step > 1 ? i % step : 0), anchor));
}

// Codes of any type as integers.
static int64_t code_at(const void *codes, FxType type, size_t i) {
    switch (type) {
    case FX_INT8: return ((const int8_t *)codes)[i];
    case FX_UINT8: return ((const uint8_t *)codes)[i];
    case FX_INT16: return ((const int16_t *)codes)[i];
    case FX_UINT16: return ((const uint16_t *)codes)[i];
    case FX_INT32: return ((const int32_t *)codes)[i];
    case FX_UINT32: return ((const uint32_t *)codes)[i];
    case FX_INT64: return ((const int64_t *)codes)[i];
    default: abort();
    }
}

// Quantises numbers at the edges of every type; decoding the codes gives the values.
static void require_quantised(const FxQuantiser *q, int lane, bool as_float64) {
    static const double numbers[] = {0.0, -0.0, 1.0, -1.0, 0.5, -0.25, 3.0, 1.0 / 3, -448.0, 449.0, 65504.0, 1e-3, -1e-7,
                                     FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_TRUE_MIN, DBL_MAX, -DBL_MIN, DBL_TRUE_MIN,
                                     INFINITY, -INFINITY, NAN, -NAN};
    enum { N = sizeof numbers / sizeof numbers[0], CHANNELS = 12, MOST = N }; // 2 rows
    float narrow[N];
    uint64_t zeros = 0;
    for (int i = 0; i < N; i++) {
        narrow[i] = fabs(numbers[i]) <= (double)FLT_MAX || !isfinite(numbers[i]) ? (float)numbers[i] : FLT_MAX;
        zeros += as_float64 ? numbers[i] == 0 : narrow[i] == 0;
    }
    const FxArray x = {.data = as_float64 ? (const void *)numbers : narrow, .type = as_float64 ? FX_FLOAT64 : FX_FLOAT32,
                       .count = N, .channels = CHANNELS, .samples = 2};
    const FxDraw draw = {.seed = 7, .stream = 1, .step = 2, .element = 5, .lane_bits = lane};
    FxError err = {.text = ""};
    size_t groups = 0;
    require(fx_quantiser_groups(&groups, q, &x, &err) == 0 && groups >= 1 && groups <= MOST);
    const size_t words = fx_state_words(q);
    int64_t codes[N], *state = malloc(words * groups * sizeof *state);
    float values[N], scales[MOST];
    double values64[N];
    int32_t exponents[MOST];
    uint8_t mx[MOST];
    FxStats stats = {0};
    require(words >= 1 && state != NULL);
    fx_state_start(state, q, groups);
    const FxOutput all = {codes, values, values64, exponents, scales, mx};
    for (int call = 0; call < 3; call++) { // controllers move
        memset(&stats, 0, sizeof stats);
        if (fx_quantise(q, state, &x, &draw, &all, &stats, &err)) { // integers alone, directions, a lane too narrow
            require(err.exit_code == FX_EXIT_USAGE && err.text[0] && !strchr(err.text, '\n'));
            break;
        }
        require(stats.n == N && stats.nonfinite == 4 && stats.zeros_in == zeros);
        require(stats.zeros_out <= N && stats.saturated <= N && stats.at_limit <= N);
        require(stats.underflowed <= stats.zeros_out);
        const FxType type = fx_quantiser_type(q);
        for (int i = 0; i < N; i++) {
            const int64_t code = code_at(codes, type, (size_t)i);
            if (fx_quantiser_has_patterns(q))
                require(code >= 0 && code >> fx_quantiser_bits(q) == 0);
            require_number(fx_quantiser_decode(q, code, fx_quantiser_has_patterns(q) ? exponents[0] : 0)); // n1 of INQ
            require(isnan(values64[i]) ? isnan(values[i]) : values[i] == (float)values64[i] || isinf(values[i]));
        }
        double decoded[N];
        if (groups == 1 && !isnan(values64[2])) {
            char text[FX_QUANTISER_TEXT];
            fx_quantiser_print(text, q);
            fx_decode(q, codes, N, exponents[0], strstr(text, "@real-") ? &scales[0] : NULL, decoded);
            for (int i = 0; i < N; i++)
                require(decoded[i] == values64[i] || (isnan(decoded[i]) && isnan(values64[i])));
        }
    }
    free(state);
}

// Integers of any size; here the roundings that need them.
static void require_integers(const FxQuantiser *q, int lane) {
    static const int64_t most = (INT64_C(1) << 62) - 1;
    const int64_t numbers[] = {0, 1, -1, 127, -128, 128, 1000, -12345, INT32_MAX, INT32_MIN, most, -most};
    static const int8_t direction[] = {0, 1, -1, 1, -1, 0, 1, 1, -1, -1, 0, 1};
    enum { N = sizeof numbers / sizeof numbers[0] };
    const FxDraw draw = {.seed = 9, .lane_bits = lane};
    const FxArray x = {.data = numbers, .type = FX_INT64, .count = N, .exponent = -7, .channels = 6,
                       .direction = direction};
    int64_t codes[N];
    double values64[N];
    FxError err = {.text = ""};
    FxStats stats = {0};
    if (fx_quantise(q, NULL, &x, &draw, &(FxOutput){.codes = codes, .values64 = values64}, &stats, &err) == 0)
        require(stats.n == N && stats.zeros_in == 1 && stats.nonfinite == 0);
    else
        require(err.exit_code == FX_EXIT_USAGE && err.text[0] && !strchr(err.text, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    FxError err = {.text = ""};
    const int lane = 8 << data[0] % 3;
    char *text = malloc(size - 1);
    require(text != NULL);
    memcpy(text, data + 2, size - 2);
    text[size - 2] = '\0';
    FxQuantiser *q = fx_quantiser_new(text, NULL, &err);
    if (!q) {
        require(err.exit_code == FX_EXIT_USAGE && err.text[0]);
        require(memchr(err.text, '\0', sizeof err.text) != NULL);
    } else {
        require_stable_text(q);
        require_explanation(q, data[1]);
        require_codes(q);
        require_quantised(q, lane, data[1] & 1);
        require_integers(q, lane);
    }
    fx_quantiser_free(q);
    free(text);
    return 0;
}
