#include "tests/cast.h"

#include "formats/bits_f32.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

FxQuantiser quantiser_of(const char *text) {
    FxQuantiser q = {0};
    FxError err = {0};
    if (fx_quantiser_parse(&q, text, &err))
        fail_msg("%s: %s", text, err.text);
    return q;
}

FxCast cast_of(const FxQuantiser *q, int shift, unsigned cpu) {
    FxCast cast = {.q = q, .random = {fx_random_source(0), 32, {1, 2, 3}}, .multiplier = 1, .shift = shift, .cpu = cpu};
    cast.arg = fx_round_arg(&q->rounding, fx_random_width(&cast.random));
    return cast;
}

SlowGrid slow_grid_of(const FxQuantiser *q) {
    const FxGrid *g = &q->grid;
    Wide all = slow_power(g->bits), high = g->is_signed ? all / 2 - 1 : all - 1;
    SlowGrid grid = {.low = !g->is_signed ? 0 : g->twos_complement ? -all / 2 : -high, .high = high, .bits = g->bits,
                     .wrap = q->overflow == FX_OVERFLOW_WRAP};
    grid.kind = !strcmp(g->kind->prefix, "binary")    ? SLOW_BINARY
                : !strcmp(g->kind->prefix, "ternary") ? SLOW_TERNARY
                                                      : SLOW_FIXED;
    grid.threshold_digits = g->threshold.digits;
    grid.threshold_places = g->threshold.places;
    return grid;
}

SlowLaw slow_law_of(const FxQuantiser *q, int width) {
    const FxRounding *r = &q->rounding;
    const FxRoundMode *mode = &fx_round_modes[r->mode];
    return (SlowLaw){mode->name, mode->law, r->bits ? r->bits : width, r->eps.digits, r->eps.places, r->constant, 0};
}

double number_value(FxNumber x) {
    return fx_double_of(fx_number_to_f64(x));
}

bool type_holds(FxType type, int64_t code) {
    switch (type) {
    case FX_INT8: return code >= INT8_MIN && code <= INT8_MAX;
    case FX_UINT8: return code >= 0 && code <= UINT8_MAX;
    case FX_INT16: return code >= INT16_MIN && code <= INT16_MAX;
    case FX_UINT16: return code >= 0 && code <= UINT16_MAX;
    case FX_UINT32: return code >= 0 && code <= UINT32_MAX;
    case FX_INT32: return code >= INT32_MIN && code <= INT32_MAX;
    case FX_INT64: return true;
    case FX_FLOAT32:
    case FX_FLOAT64: break;
    }
    return false;
}

FxTensor tensor_new(FxType type, size_t n) {
    FxTensor t = {.data = calloc(n ? n : 1, fx_type_size(type)), .type = type, .count = n};
    if (!t.data)
        fail_msg("no memory for %zu elements", n);
    return t;
}

FxTensor tensor_of(FxType type, const int64_t *codes, size_t n) {
    FxTensor t = tensor_new(type, n);
    for (size_t i = 0; i < n; i++)
        fx_tensor_set(&t, i, codes[i]);
    return t;
}

void tensor_free(FxTensor *t) {
    free(t->data);
    *t = (FxTensor){0};
}

void cast_codes(int64_t *y, const FxCast *cast, FxType in, FxType out, const int64_t *x, size_t n, FxStats *stats) {
    FxTensor source = tensor_of(in, x, n), codes = tensor_new(out, n);
    fx_cast_range(cast, &source, &codes, 0, n, stats);
    for (size_t i = 0; i < n; i++) {
        if (out == FX_FLOAT32) {
            const double code = ldexp((double)((const float *)codes.data)[i], -cast->exponent);
            y[i] = (int64_t)code;
            assert_true((double)y[i] == code);
        } else {
            y[i] = fx_tensor_get(&codes, i);
        }
    }
    tensor_free(&source);
    tensor_free(&codes);
}

bool next_cpu(int *i, unsigned *cpu) {
    for (; fx_kernels_line(*i); (*i)++) {
        *cpu = fx_kernels_line(*i)->cpu;
        if ((*cpu & fx_cpu_detect()) == *cpu)
            return (*i)++, true;
    }
    return false;
}
