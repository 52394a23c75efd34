// The constants of the range law: float64 in a fixed order of operations, with a logarithm of its own, so that every
// machine finds the same integer.
#include "layers/norm.h"

#include <assert.h>
#include <math.h>

// log(v), v >= 1: v = m * 2^e with 1 <= m < 2; log m = 2 atanh((m - 1) / (m + 1)).
static double logarithm(double v) {
    const double ln2 = 0.693147180559945309417;
    int e = 0;
    for (; v >= 2; v /= 2)
        e++;
    const double z = (v - 1) / (v + 1);
    double power = z, sum = 0;
    for (int i = 1; i < 48; i += 2, power *= z * z)
        sum += power / i;
    return e * ln2 + 2 * sum;
}

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
            const double part = logarithm(n / exact[i - 1].n) / logarithm((double)exact[i].n / exact[i - 1].n);
            return exact[i - 1].constant + part * (exact[i].constant - exact[i - 1].constant);
        }
    return exact[LAST].constant;
}

int32_t fx_norm_range_constant(FxNormConstant constant, size_t nominal, int chunks) {
    assert(chunks >= 1 && nominal / (size_t)chunks >= 2);
    const double pi = 3.14159265358979323846, n = (double)(nominal / (size_t)chunks);
    double k = 65536 / sqrt(2 * logarithm(n));
    switch (constant) {
    case FX_NORM_PAPER: break;
    case FX_NORM_CODE: k *= 0.5 * 0.35 * (1 + sqrt(pi * logarithm(4))); break;
    default: k = between(n); break;
    }
    return (int32_t)(k + 0.5);
}
