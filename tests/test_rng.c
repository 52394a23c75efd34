// Random words: known answers, an independent implementation, sameness over CPU paths and splits, and the statistics
// that a simulator leans on. With the argument "slow", longer runs of the same.
#include "formats/kernels.h"
#include "formats/rng.h"
#include "formats/round.h"
#include "tests/golden.h"
#include "tests/slow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__has_include)
#if __has_include(<Random123/philox.h>)
#include <Random123/philox.h>
#define HAVE_RANDOM123
#endif
#endif

static int effort = 1; // times the ordinary amount of random cases

static const int lane_widths[] = {8, 16, 32};

static bool usable(const FxKernels *line) {
    return (line->cpu & fx_cpu_detect()) == line->cpu;
}

static void philox_gives_the_known_answers(void **state) {
    (void)state;
    Golden g = golden_read("philox4x32_kat.csv", 8);
    for (size_t row = 0; row < g.rows; row++) {
        uint32_t counter[4], key[2], out[4];
        char name[16];
        for (int j = 0; j < 4; j++) {
            snprintf(name, sizeof name, "ctr%d", j);
            counter[j] = golden_hex(&g, row, name);
        }
        key[0] = golden_hex(&g, row, "key0");
        key[1] = golden_hex(&g, row, "key1");
        fx_philox4x32(out, counter, key, (int)golden_int(&g, row, "rounds"));
        for (int j = 0; j < 4; j++) {
            snprintf(name, sizeof name, "out%d", j);
            if (out[j] != golden_hex(&g, row, name))
                fail_msg("row %zu word %d: %08x, not %08x", row + 1, j, out[j], golden_hex(&g, row, name));
        }
    }
    golden_free(&g);
}

static void lanes_stand_where_the_specification_says(void **state) {
    (void)state;
    Golden g = golden_read("rng_lanes.csv", 72);
    for (size_t row = 0; row < g.rows; row++) {
        FxRng rng = {golden_unsigned(&g, row, "seed"), (uint32_t)golden_unsigned(&g, row, "stream"),
                     (uint32_t)golden_unsigned(&g, row, "step")};
        uint64_t element = golden_unsigned(&g, row, "elem");
        for (int w = 0; w < 3; w++) {
            char name[16];
            snprintf(name, sizeof name, "lane%d", lane_widths[w]);
            uint32_t lane = fx_rng_lane(rng, element, lane_widths[w]);
            if (lane != golden_unsigned(&g, row, name))
                fail_msg("row %zu: %s = %x, not %s", row + 1, name, lane, golden_cell(&g, row, name));
        }
        if (fx_rng_word(rng, element) != golden_unsigned(&g, row, "lane32"))
            fail_msg("row %zu: fx_rng_word is not the 32-bit lane", row + 1);
    }
    golden_free(&g);
}

static const FxRandomSource *source_named(const char *name) {
    for (int i = 0; fx_random_source(i); i++)
        if (!strcmp(fx_random_source(i)->name, name))
            return fx_random_source(i);
    fail_msg("no random source %s", name);
    return NULL;
}

static void lfsr_registers_give_the_known_answers(void **state) {
    (void)state;
    Golden g = golden_read("lfsr.csv", 136);
    for (size_t row = 0; row < g.rows; row++) {
        char name[32];
        uint32_t R = 0;
        snprintf(name, sizeof name, "lfsr:%s", golden_cell(&g, row, "width"));
        FxRandom random = {source_named(name), 32,
                           {golden_unsigned(&g, row, "seed"), (uint32_t)golden_unsigned(&g, row, "stream"),
                            (uint32_t)golden_unsigned(&g, row, "step")}};
        assert_int_equal(fx_random_width(&random), golden_int(&g, row, "width"));
        fx_random_bits(&R, &random, golden_unsigned(&g, row, "element"), 1, (int)golden_int(&g, row, "r"), 0);
        if (R != golden_unsigned(&g, row, "R"))
            fail_msg("row %zu: R = %u, not %s", row + 1, R, golden_cell(&g, row, "R"));
    }
    golden_free(&g);
}

// All 16 registers of a block, clock by clock.
static void lfsr_block(uint32_t out[4096], const FxRandom *random, uint64_t block) {
    uint32_t mask = random->source->width == 16 ? 0xB400 : UINT32_C(0x80200003), state[16];
    for (uint64_t r = 0; r < 16; r++) {
        uint32_t lane = fx_rng_lane(random->rng, block * 16 + r, 32);
        state[r] = random->source->width == 16 ? lane % 65536 : lane;
        state[r] = state[r] == 0 ? 1 : state[r];
    }
    for (int i = 0; i < 4096; i++) {
        uint32_t *s = &state[i % 16];
        *s = *s % 2 ? (*s / 2) ^ mask : *s / 2;
        out[i] = *s;
    }
}

static void lfsr_words_do_not_depend_on_where_a_range_starts_or_ends(void **state) {
    (void)state;
    for (int width = 16; width <= 32; width += 16) {
        FxRandom random = {source_named(width == 16 ? "lfsr:16" : "lfsr:32"), 8, {77, 5, 6}};
        static uint32_t all[3 * 4096], part[3 * 4096 + 1];
        for (uint64_t b = 0; b < 3; b++)
            lfsr_block(&all[b * 4096], &random, 7 + b);
        for (int trial = 0; trial < 200; trial++) {
            size_t first = slow_mix((uint64_t)trial) % (3 * 4096), n = slow_mix(first) % (3 * 4096 - first + 1);
            int bits = 1 + trial % width;
            part[n] = 0xA5A5A5A5;
            fx_random_bits(part, &random, 7 * 4096 + first, n, bits, 0);
            for (size_t j = 0; j < n; j++)
                if (part[j] != all[first + j] % ((uint64_t)1 << bits))
                    fail_msg("lfsr:%d r %d element %zu of range %zu + %zu: %x", width, bits, first + j, first, n, part[j]);
            assert_int_equal(part[n], 0xA5A5A5A5);
        }
    }
}

static void the_16_bit_register_visits_every_state_but_zero(void **state) {
    (void)state;
    uint32_t mask = source_named("lfsr:16")->mask, s = 1;
    int period = 0;
    do {
        s = (s / 2) ^ (s % 2 ? mask : 0);
        period++;
    } while (s != 1 && period < 70000);
    assert_int_equal(period, 65535);
}

static void philox_equals_random123_on_every_cpu_path(void **state) {
    (void)state;
#ifdef HAVE_RANDOM123
    for (uint64_t trial = 0; trial < (uint64_t)effort * 2000; trial++) {
        FxRng rng = {slow_mix(4 * trial), (uint32_t)slow_mix(4 * trial + 1), (uint32_t)slow_mix(4 * trial + 2)};
        uint64_t block = slow_mix(4 * trial + 3);
        block = trial % 3 == 0 ? block : trial % 3 == 1 ? block % 1000 : UINT32_MAX - 5 + block % 4; // carries too
        size_t blocks = 1 + trial % 40;
        uint32_t want[40 * 4], got[40 * 4 + 1];
        philox4x32_key_t key = {{(uint32_t)rng.seed, (uint32_t)(rng.seed >> 32)}};
        for (size_t b = 0; b < blocks; b++) {
            uint64_t i = block + b;
            philox4x32_ctr_t counter = {{(uint32_t)i, (uint32_t)(i >> 32), rng.step, rng.stream}};
            counter = philox4x32_R(10, counter, key);
            memcpy(&want[4 * b], counter.v, sizeof counter.v);
        }
        for (int l = 0; fx_kernels_line(l); l++) {
            if (!usable(fx_kernels_line(l)))
                continue;
            got[4 * blocks] = 0xA5A5A5A5;
            fx_kernels_line(l)->philox(got, rng, block, blocks);
            if (memcmp(got, want, 4 * blocks * sizeof *got) || got[4 * blocks] != 0xA5A5A5A5)
                fail_msg("%s: seed %llx stream %x step %x: blocks %llx + %zu differ", fx_kernels_line(l)->name,
                         (unsigned long long)rng.seed, rng.stream, rng.step, (unsigned long long)block, blocks);
        }
    }
#else
    print_message("Random123 is not installed (Debian: librandom123-dev)\n");
    skip();
#endif
}

static void a_cpu_chooses_the_line_it_names(void **state) {
    (void)state;
    for (int l = 0; fx_kernels_line(l); l++)
        assert_ptr_equal(fx_kernels(fx_kernels_line(l)->cpu), fx_kernels_line(l));
}

static void random_bits_are_the_top_bits_of_the_lanes_on_every_cpu_path(void **state) {
    (void)state;
    static uint32_t got[1201];
    for (int l = 0; fx_kernels_line(l); l++) {
        const FxKernels *line = fx_kernels_line(l);
        if (!usable(line))
            continue;
        for (int trial = 0; trial < 160 * effort; trial++) {
            FxRandom random = {source_named("philox"), lane_widths[trial % 3], {slow_mix((uint64_t)trial), 258 + (uint32_t)trial, 3 * (uint32_t)trial}};
            uint64_t first = slow_mix((uint64_t)trial + 1000);
            first = trial % 4 == 0 ? first >> 5 : trial % 4 == 1 ? (UINT64_C(1) << 36) - first % 300 : first % 100;
            size_t n = trial < 100 ? (size_t)trial % 40 : slow_mix((uint64_t)trial + 2000) % 1200;
            for (int bits = 1; bits <= random.lane_bits; bits++) {
                got[n] = 0xA5A5A5A5;
                fx_random_bits(got, &random, first, n, bits, line->cpu);
                for (size_t j = 0; j < n; j++) {
                    uint64_t lane = fx_rng_lane(random.rng, first + j, random.lane_bits);
                    if (got[j] != lane / (UINT64_C(1) << (random.lane_bits - bits)))
                        fail_msg("%s: lane %d r %d: element %llu of range %llu + %zu: %x from lane %llx", line->name,
                                 random.lane_bits, bits, (unsigned long long)(first + j), (unsigned long long)first, n,
                                 got[j], (unsigned long long)lane);
                }
                assert_int_equal(got[n], 0xA5A5A5A5);
            }
        }
    }
}

static void any_split_of_an_array_gives_the_same_words(void **state) {
    (void)state;
    enum { N = 1000 };
    static uint32_t whole[N], parts[N];
    for (int s = 0; fx_random_source(s); s++)
        for (int trial = 0; trial < 60 * effort; trial++) {
            FxRandom random = {fx_random_source(s), lane_widths[trial % 3], {9, 8, 7}};
            int bits = 1 + trial % fx_random_width(&random);
            uint64_t first = slow_mix((uint64_t)trial) % 5000;
            fx_random_bits(whole, &random, first, N, bits, fx_cpu_detect());
            for (size_t i = 0, take; i < N; i += take) {
                take = 1 + slow_mix(i * 1000 + (size_t)trial) % (trial % 2 ? 7 : 300);
                take = take < N - i ? take : N - i;
                fx_random_bits(&parts[i], &random, first + i, take, bits, fx_cpu_detect());
            }
            if (memcmp(whole, parts, sizeof whole))
                fail_msg("%s lane %d r %d from %llu: parts differ from the whole", random.source->name,
                         random.lane_bits, bits, (unsigned long long)first);
        }
}

// formats.md 6.4, test 4.
static void lanes_are_uniform(void **state) {
    (void)state;
    enum { CHUNK = 4096 };
    static uint32_t R[CHUNK];
    for (int w = 0; w < 3; w++)
        for (int low = 0; low < (w ? 2 : 1); low++) {
            FxRandom random = {source_named("philox"), lane_widths[w], {2026, 257, 1}};
            uint32_t cells[256] = {0};
            size_t n = (size_t)1 << 22;
            for (size_t i = 0; i < n; i += CHUNK) {
                fx_random_bits(R, &random, i, CHUNK, low ? random.lane_bits : 8, fx_cpu_detect());
                for (size_t j = 0; j < CHUNK; j++)
                    cells[R[j] % 256]++;
            }
            double expected = (double)n / 256, sum = 0;
            for (int c = 0; c < 256; c++)
                sum += (cells[c] - expected) * (cells[c] - expected) / expected;
            if (sum < 142 || sum > 368)
                fail_msg("lane %d, %s 8 bits: chi-square %.1f outside [142, 368]", random.lane_bits,
                         low ? "low" : "top", sum);
        }
}

// One part of test 3: the error of element i's rounding with 8 random bits, and its variance.
typedef struct Site {
    FxRandom random;
    uint64_t first, stride;
} Site;

enum { GROUPS = 4096, GROUP = 1024, SPAN = 1 << 14 };

static double error_of(int mode, uint32_t R, uint64_t x, double *variance) {
    FxRoundArg arg = {.bits = 8};
    int64_t v = (int64_t)(x % 65536);
    double p = (double)(v % 256) / 256;
    *variance += p * (1 - p);
    return (double)fx_round(&fx_round_modes[mode], v, 8, R, 0, &arg) - (double)v / 256;
}

// Mean and variance over groups of the sum of errors, each site's error times its sign.
static void check_independence(const char *what, const Site *sites, int count, const double *sign) {
    static uint32_t R[SPAN];
    double sum_z = 0, sum_z2 = 0;
    FxRounding rounding;
    FxError err;
    assert_int_equal(fx_rounding_parse(&rounding, "stochastic:8:c", NULL, &err), 0);
    for (uint64_t g = 0; g < GROUPS; g++) {
        double sum = 0, variance = 0;
        for (int s = 0; s < count; s++) {
            uint64_t start = sites[s].first + g * GROUP * sites[s].stride;
            fx_random_bits(R, &sites[s].random, start, GROUP * sites[s].stride, 8, fx_cpu_detect());
            for (uint64_t j = 0; j < GROUP; j++)
                sum += sign[s] * error_of(rounding.mode, R[j * sites[s].stride], slow_mix(start + j * sites[s].stride), &variance);
        }
        double z = sum / sqrt(variance);
        sum_z += z;
        sum_z2 += z * z;
    }
    double mean = sum_z / GROUPS, var = (sum_z2 - sum_z * mean) / (GROUPS - 1);
    if (fabs(mean) > 5 / sqrt(GROUPS) || fabs(var - 1) > 5 * sqrt(2.0 / GROUPS))
        fail_msg("%s, lane %d: Z has mean %.4f and variance %.4f", what, sites[0].random.lane_bits, mean, var);
}

// formats.md 6.4, test 3.
static void errors_are_independent_over_elements_steps_and_streams(void **state) {
    (void)state;
    const double plus[2] = {1, 1}, minus[2] = {1, -1};
    for (int w = 0; w < 3; w++) {
        FxRandom random = {source_named("philox"), lane_widths[w], {42, 512, 10}};
        Site here = {random, 0, 1}, other = here;
        check_independence("all elements", &here, 1, plus);
        for (int i = 0; i < 2; i++) {
            Site stride = {random, 0, i ? 128 / (uint64_t)random.lane_bits : 4};
            check_independence(i ? "every L-th element" : "every 4th element", &stride, 1, plus);
        }
        other.random.rng.step++;
        check_independence("step and the next", (Site[]){here, other}, 2, plus);
        check_independence("step less the next", (Site[]){here, other}, 2, minus);
        other = here;
        other.random.rng.stream++;
        check_independence("stream and the next", (Site[]){here, other}, 2, plus);
        check_independence("stream less the next", (Site[]){here, other}, 2, minus);
    }
}

// formats.md 6.4, test 2, for the variant whose bias r bits show.
static void the_mean_of_many_draws_is_the_probability(void **state) {
    (void)state;
    enum { CHUNK = 4096 };
    static uint32_t R[CHUNK];
    FxRandom random = {source_named("philox"), 8, {3, 1025, 4}};
    size_t n = (size_t)1 << 20;
    for (int k = 1; k < 256; k += 51) {
        size_t ups = 0;
        for (size_t i = 0; i < n; i += CHUNK) {
            fx_random_bits(R, &random, i, CHUNK, 8, fx_cpu_detect());
            for (size_t j = 0; j < CHUNK; j++)
                ups += R[j] + (uint32_t)k >= 256;
        }
        double p = k / 256.0, expected = (double)n * p;
        if (fabs((double)ups - expected) > 5 * sqrt(expected * (1 - p)))
            fail_msg("P = %d/256: %zu ups of %zu", k, ups, n);
    }
}

int main(int argc, char **argv) {
    effort = argc > 1 && !strcmp(argv[1], "slow") ? 20 : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(lanes_stand_where_the_specification_says),
        cmocka_unit_test(lfsr_registers_give_the_known_answers),
        cmocka_unit_test(lfsr_words_do_not_depend_on_where_a_range_starts_or_ends),
        cmocka_unit_test(the_16_bit_register_visits_every_state_but_zero),
        cmocka_unit_test(philox_equals_random123_on_every_cpu_path),
        cmocka_unit_test(a_cpu_chooses_the_line_it_names),
        cmocka_unit_test(random_bits_are_the_top_bits_of_the_lanes_on_every_cpu_path),
        cmocka_unit_test(any_split_of_an_array_gives_the_same_words),
        cmocka_unit_test(lanes_are_uniform),
        cmocka_unit_test(errors_are_independent_over_elements_steps_and_streams),
        cmocka_unit_test(the_mean_of_many_draws_is_the_probability),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
