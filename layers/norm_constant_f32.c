// The constants of the range law: float64 in a fixed order of operations, with the library's own logarithm, so that every
// machine finds the same numbers.
#include "formats/math_f32.h"
#include "layers/norm_f32.h"

#include <assert.h>
#include <math.h>

// 65536 / d2, d2 the expected range of n normal numbers, rounded.
static const struct {
    int n;
    int32_t constant;
} exact[] = {
    {8, 23018}, {16, 18555}, {32, 15832}, {49, 14621}, {64, 13981}, {98, 13105}, {128, 12629}, {196, 11962}, {256, 11592},
    {392, 11063}, {512, 10765}, {1024, 10088}, {2048, 9521}, {4096, 9037}, {8192, 8618}, {16384, 8251}, {65536, 7636},
};
enum { LAST = sizeof exact / sizeof exact[0] - 1 };

static double between(double n) {
    if (n <= exact[0].n)
        return exact[0].constant;
    for (int i = 1; i <= LAST; i++)
        if (n <= exact[i].n) {
            const double part = fx_log(n / exact[i - 1].n) / fx_log((double)exact[i].n / exact[i - 1].n);
            return exact[i - 1].constant + part * (exact[i].constant - exact[i - 1].constant);
        }
    return exact[LAST].constant;
}

// K, times 2^16.
static double law(FxNormConstant constant, size_t nominal, int chunks) {
    assert(chunks >= 1 && nominal / (size_t)chunks >= 2);
    const double pi = 3.14159265358979323846, n = (double)(nominal / (size_t)chunks);
    if (constant == FX_NORM_EXACT_D2)
        return between(n);
    const double gaussian = 65536 / sqrt(2 * fx_log(n));
    return constant == FX_NORM_CODE ? gaussian * (0.5 * 0.35 * (1 + sqrt(pi * fx_log(4)))) : gaussian;
}

int32_t fx_norm_range_constant(FxNormConstant constant, size_t nominal, int chunks) {
    return (int32_t)(law(constant, nominal, chunks) + 0.5);
}

float fx_norm_range_constant_f32(FxNormConstant constant, size_t nominal, int chunks) {
    return (float)(law(constant, nominal, chunks) / 65536);
}
