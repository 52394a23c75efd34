// Quantises eight numbers to 8-bit floats (OCP e4m3fn), rounding stochastically with 8 random bits.
//     cc quantise.c $(pkg-config --cflags --libs fxsim) -o quantise && ./quantise
#include <fxsim.h>

#include <inttypes.h>
#include <stdio.h>

int main(void) {
    const float x[] = {1.0f, 0.3f, -0.3f, 3.14159f, 1000.0f, 1e-4f, 0.0f, 2.71828f};
    enum { N = sizeof x / sizeof x[0] };
    FxError err;

    // GRID[@SCALE][/ROUNDING][/OVERFLOW]: what is left out is const:0, nearest-even, saturate
    FxQuantiser *q = fx_quantiser_new("e4m3fn/stochastic:8", NULL, &err);
    if (!q) {
        fprintf(stderr, "%s\n", err.text);
        return (int)err.exit_code;
    }
    char text[2000];
    fx_quantiser_explain(text, sizeof text, q);
    fputs(text, stdout);

    // The random bits are a function of seed, stream, step and index: the same call gives the same codes everywhere.
    const FxDraw draw = {.seed = 42, .stream = 0, .step = 0, .lane_bits = 8};
    const FxArray array = {.data = x, .type = FX_FLOAT32, .count = N};
    uint8_t codes[N]; // fx_quantiser_type(q) is FX_UINT8
    float values[N];
    FxStats stats = {0};
    if (fx_quantise(q, NULL, &array, &draw, &(FxOutput){.codes = codes, .values = values}, &stats, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return (int)err.exit_code;
    }
    for (int i = 0; i < N; i++)
        printf("%-10g 0x%02x  %g\n", (double)x[i], codes[i], (double)values[i]);
    printf("%" PRIu64 " numbers: %" PRIu64 " saturated, %" PRIu64 " underflowed, %" PRIu64 " zeros, %" PRIu64
           " at the limit\n", stats.n, stats.saturated, stats.underflowed, stats.zeros_out, stats.at_limit);
    fx_quantiser_free(q);
    return 0;
}
