// From bytes to what the first product reads: the maps' codes at every width, the same numbers whatever carries them, and a
// copy for the gradient product that leaves the forward product alone.
#include "sim/input.h"
#include "formats/bits_f32.h"
#include "tests/net_fixture.h"
#include "tests/slow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// x / 127.5 - 1, x / 128 - 1 and x / 255 in steps of 2^-F, rounded once to nearest, ties to even,
// then held to the grid.
static void every_byte_becomes_the_code_of_its_number_at_every_width(void **state) {
    (void)state;
    static const FxInputMap maps[] = {FX_MAP_WAGE_127_5, FX_MAP_WAGE_128, FX_MAP_UNIT};
    for (int bits = 2; bits <= 16; bits++)
        for (int p = 0; p < 256 * 3; p++) {
            char text[16];
            FxGrid grid;
            FxError err;
            bool saturated;
            int map = p / 256, byte = p % 256;
            snprintf(text, sizeof text, "fixed%d", bits);
            assert_int_equal(fx_grid_parse(&grid, text, NULL, &err), 0);
            Wide unit = slow_power(bits - 1), high = unit - 1;
            Wide above = (map == 0   ? 2 * byte - 255
                          : map == 1 ? byte - 128
                                     : byte) *
                         unit,
                 below = map == 1 ? 128 : 255;
            Wide code = slow_floor(above, below), rest = above - code * below;
            code += rest * 2 > below || (rest * 2 == below && code % 2 != 0);
            bool outside = code > high || code < -high;
            code = code > high ? high : code < -high ? -high : code;
            int64_t got = fx_input_code(maps[map], &grid, byte, &saturated);
            if (got != (int64_t)code || saturated != outside)
                fail_msg("map %d, %d bits, byte %d: %lld%s, not %lld%s", map, bits, byte,
                         (long long)got, saturated ? " saturated" : "", (long long)code,
                         outside ? " saturated" : "");
            if (bits == 8 && map == 0 &&
                (got == 0 || got != (byte == 0     ? -127
                                     : byte == 255 ? 127
                                     : byte <= 127 ? byte - 128
                                                   : byte - 127)))
                fail_msg("byte %d: %lld", byte, (long long)got);
        }
}

// All 256 bytes in one image.
static const FxDataset *every_byte(void) {
    static uint8_t pixels[256], labels[1] = {3};
    static const FxDataset data = {.name = "bytes", .height = 16, .width = 16, .channels = 1, .classes = 10,
                                   .train = {1, pixels, labels}, .test = {1, pixels, labels}};
    for (int p = 0; p < 256; p++)
        pixels[p] = (uint8_t)(p * 37);
    return &data;
}

typedef struct Way {
    const char *recipe, *net;
    const char *overrides[4]; // up to the first NULL
    bool floats;              // the image's codes are float32
    bool carries_floats;      // though their grid is fixed
} Way;

static int try_way(NetFixture *f, const Way *way, FxError *err) {
    NetSetup setup = {.recipe = way->recipe, .net = way->net, .data = every_byte(), .batch = 1, .seed = 5, .floats = way->carries_floats};
    for (int i = 0; i < 4 && way->overrides[i]; i++)
        setup.overrides[i] = way->overrides[i];
    return net_try(f, &setup, err);
}

static Recording first_step(const Way *way, FxStats *stats) {
    NetFixture f;
    Recording r = {0};
    FxError err = {0};
    FxTrace trace = recording_trace(&r);
    if (try_way(&f, way, &err))
        fail_msg("%s, %s, %s: %s", way->recipe, way->overrides[0], way->overrides[1], err.text);
    net_train(&f, &trace);
    *stats = fx_net_product(&f.net, 0)->site[FX_SITE_INPUT].stats;
    net_close(&f);
    return r;
}

static double number_at(const Recorded *t, size_t i, bool floats) {
    return floats ? (double)fx_float_of((uint32_t)t->codes[i]) : ldexp((double)t->codes[i], t->exponent);
}

// What the forward product reads, as numbers, its sums, bit for bit, and what is counted; the gradient's sums are others
// just where the second way has a copy.
static void expect_same_forward(const Way *first, const Way *second, bool copied) {
    const Way *way[] = {first, second};
    FxStats stats[2];
    Recording r[2];
    const Recorded *x[2], *y[2], *dw[2];
    for (int i = 0; i < 2; i++) {
        r[i] = first_step(way[i], &stats[i]);
        x[i] = recording_find(&r[i], 1, "input");
        y[i] = recording_find(&r[i], 1, "sum.forward");
        dw[i] = recording_find(&r[i], 1, "sum.gradient");
    }
    for (size_t i = 0; i < x[0]->count; i++)
        if (number_at(x[0], i, first->floats) != number_at(x[1], i, second->floats))
            fail_msg("%s, %s and %s: input[%zu] is %.9g beside %.9g", first->recipe, first->overrides[0], second->overrides[0], i,
                     number_at(x[0], i, first->floats), number_at(x[1], i, second->floats));
    if (y[0]->exponent != y[1]->exponent || memcmp(y[0]->codes, y[1]->codes, y[0]->count * sizeof *y[0]->codes))
        fail_msg("%s, %s and %s: other sums", first->recipe, first->overrides[0], second->overrides[0]);
    if ((dw[0]->exponent == dw[1]->exponent && !memcmp(dw[0]->codes, dw[1]->codes, dw[0]->count * sizeof *dw[0]->codes)) == copied)
        fail_msg("%s, %s: the gradient product reads %s", second->recipe, second->overrides[0], copied ? "no copy" : "something else");
    if (stats[0].n != stats[1].n || stats[0].saturated != stats[1].saturated || stats[0].underflowed != stats[1].underflowed ||
        stats[0].at_limit != stats[1].at_limit || stats[0].zeros_in != stats[1].zeros_in || stats[0].zeros_out != stats[1].zeros_out)
        fail_msg("%s, %s and %s: other counts", first->recipe, first->overrides[0], second->overrides[0]);
    recording_clear(&r[0]);
    recording_clear(&r[1]);
}

static const char *const maps[] = {"input.map=wage-127.5", "input.map=wage-128", "input.map=unit"};

#define COARSE "layer.first.activation.grad.q=fixed3f1"

// A copy has the map's numbers kept and rounded twice; carried in float32 they are looked up as values.
static void a_fixed_input_is_the_same_numbers_with_a_copy_and_in_float32(void **state) {
    (void)state;
    for (int bits = 2; bits <= 16; bits++)
        for (int map = 0; map < 3; map++) {
            char fixed[32];
            snprintf(fixed, sizeof fixed, "input.q=fixed%d", bits);
            const char *net = bits % 2 ? "10" : "2C3-10";
            const Way plain = {"fp32", net, {fixed, maps[map]}, false, false}, copy = {"fp32", net, {fixed, maps[map], COARSE}, false, false},
                      real = {"fp32", net, {fixed, maps[map]}, true, true}, both = {"fp32", net, {fixed, maps[map], COARSE}, true, true},
                      wage = {"wage", net, {fixed, maps[map]}, false, false}, two = {"wage", net, {fixed, maps[map], COARSE}, false, false};
            expect_same_forward(&plain, &copy, true);
            expect_same_forward(&plain, &real, false);
            expect_same_forward(&plain, &both, true);
            expect_same_forward(&wage, &two, true);
        }
}

static void an_image_of_reals_is_the_same_numbers_with_a_copy(void **state) {
    (void)state;
    static const char *const inputs[] = {"input.q=none", "input.q=e4m3fn", "input.q=fixed8f4", "input.q=fixed8@max", "input.q=bf16"};
    for (int i = 0; i < 5; i++) {
        bool floats = i != 2 && i != 3;
        const Way plain = {"fp32", "2C3-10", {inputs[i], "input.map=mean-std"}, floats, false},
                   copy = {"fp32", "2C3-10", {inputs[i], "input.map=mean-std", COARSE}, floats, false};
        expect_same_forward(&plain, &copy, true);
    }
}

// Floats of any map but mean-std: p / 127.5 - 1, p / 128 - 1 or p / 255, rounded once.
static void an_image_of_floats_is_the_map_s_numbers_to_nearest(void **state) {
    (void)state;
    static const struct {
        const char *input;
        double share, least; // half a step: of the magnitude, or below the normal numbers
    } grids[] = {{"input.q=none", 0x1p-24, 0}, {"input.q=bf16", 0x1p-8, 0}, {"input.q=e4m3fn", 0x1p-4, 0x1p-10}, {"input.q=e5m2", 0x1p-3, 0x1p-17}};
    for (int i = 0; i < 4; i++)
        for (int map = 0; map < 3; map++) {
            const Way way = {.recipe = "fp32", .net = "10", .overrides = {grids[i].input, maps[map]}};
            FxStats ignored;
            Recording r = first_step(&way, &ignored);
            const Recorded *got = recording_find(&r, 1, "input");
            assert_int_equal(got->count, 256);
            for (size_t j = 0; j < 256; j++) {
                double p = every_byte()->train.pixels[j], x = map == 0 ? p / 127.5 - 1 : map == 1 ? (p - 128) / 128 : p / 255;
                double value = number_at(got, j, true), most = fmax(grids[i].share * fabs(x) * (1 + 0x1p-20), grids[i].least);
                if (!(fabs(value - x) <= most))
                    fail_msg("%s, %s: byte %g is %.9g, not %.9g", maps[map], grids[i].input, p, value, x);
            }
            recording_clear(&r);
        }
}

// So no fixed grid is carried in float32 for the sake of another phase.
static void the_input_takes_no_schedule(void **state) {
    (void)state;
    NetFixture f;
    FxError err = {0};
    const Way way = {.recipe = "fp32", .net = "10", .overrides = {"input.map=unit", "input.q=fixed8 e4m3fn@1s"}};
    assert_int_equal(try_way(&f, &way, &err), -1);
    if (err.exit_code != FX_EXIT_USAGE || !strstr(err.text, "fixed8 e4m3fn"))
        fail_msg("exit code %d: %s", err.exit_code, err.text);
}

// Roundings that exist for integers alone read the map's integers, where there are any.
static void a_rounding_of_integers_is_refused_where_the_image_is_float32(void **state) {
    (void)state;
#define COPY "layer.first.activation.grad.q=fixed8@max/pseudo"
    static const struct {
        const char *overrides[3];
        const char *refused; // the site, NULL: not refused
    } cases[] = {
        {{"input.map=unit", "input.q=fixed8@max/pseudo"}, NULL},
        {{"input.map=unit", "input.q=fixed8", COPY}, NULL},
        {{"input.map=unit", "input.q=fixed8@max/pseudo", "layer.first.activation.grad.q=e4m3fn"}, NULL},
        {{"input.map=unit", "input.q=e4m3fn", COPY}, "activation.grad.rounding = pseudo"},
        {{"input.map=wage-128", "input.q=none", COPY}, "activation.grad.rounding = pseudo"},
        {{"input.map=mean-std", "input.q=fixed8@max/pseudo"}, "input.rounding = pseudo"},
        {{"input.map=mean-std", "input.q=fixed8", COPY}, "activation.grad.rounding = pseudo"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        NetFixture f;
        FxError err = {0};
        const char *const *o = cases[i].overrides, *what = cases[i].refused;
        const Way way = {.recipe = "fp32", .net = "10", .overrides = {o[0], o[1], o[2]}};
        int failed = try_way(&f, &way, &err);
        bool said = failed && what && err.exit_code == FX_EXIT_USAGE && strstr(err.text, what) && strstr(err.text, "integers alone");
        if (what ? !said : failed)
            fail_msg("%s, %s: %s", o[1], o[2] ? o[2] : "no copy", failed ? err.text : "not refused");
        for (int step = 0; !failed && step < 3; step++)
            net_train(&f, NULL);
        if (!failed)
            net_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_becomes_the_code_of_its_number_at_every_width),
        cmocka_unit_test(a_fixed_input_is_the_same_numbers_with_a_copy_and_in_float32),
        cmocka_unit_test(an_image_of_reals_is_the_same_numbers_with_a_copy),
        cmocka_unit_test(an_image_of_floats_is_the_map_s_numbers_to_nearest),
        cmocka_unit_test(the_input_takes_no_schedule),
        cmocka_unit_test(a_rounding_of_integers_is_refused_where_the_image_is_float32),
    };
    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
