// Statistics of few runs against SciPy 1.10 (numbers below), enumeration by hand and laws.
#include "sim/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double x, double want) {
    if (isnan(want) ? !isnan(x) : !(fabs(x - want) <= 1e-9 * fmax(1e-6, fabs(want))))
        fail_msg("%.17g, not %.17g", x, want);
}

// SciPy 1.10, for each d:
//   r = stats.ttest_1samp(d, 0); h = stats.t.ppf(.975, n - 1) * np.std(d, ddof=1) / n ** .5; mean - h, mean + h, r.pvalue
//   sum(abs(np.dot(s, d)) >= abs(sum(d)) - 1e-9 for s in itertools.product((1, -1), repeat=n)), 2 ** n
//   (stats.t.ppf(.975, n - 1) + stats.t.ppf(.8, n - 1)) * sd / n ** .5, and the first n at which it is <= |mean|
static const struct {
    int n;
    double d[8], mean, sd, low, high, p_t;
    int extreme;
    double least;
    int needed;
} cases[] = {
    {3, {0.5, 0.3, 0.9}, 0.5666666666666668, 0.3055050463303894, -0.19224994008122642, 1.3255832734145598, 0.0847507665011186, 2,
     0.9459994760865906, 5},
    {2, {1, 2}, 1.5, 0.7071067811865476, -4.853102368216047, 7.853102368216047, 0.20483276469913345, 2, 7.041293328462273, 4},
    {8, {1, -2, 3, -4, 5, -6, 7.5, 8}, 1.5625, 5.23339209854783, -2.8127252843998427, 5.937725284399843, 0.42632530469932206, 112,
     6.033134169372858, 91},
    {5, {0.12, -0.05, 0.31, 0.22, 0.08}, 0.136, 0.13722244714331544, -0.03438417236327407, 0.30638417236327403, 0.09100130531838076, 4,
     0.22812904562182074, 11},
    {6, {1, 1, -1, 2, 0, 0}, 0.5, 1.0488088481701516, -0.6006573851269501, 1.60065738512695, 0.2955586447345284, 32, 1.4943825092403014, 37},
};

static void paired_tests_agree_with_scipy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FxPaired p;
        fx_paired(&p, cases[i].d, cases[i].n);
        assert_int_equal(p.difference.n, cases[i].n);
        near(p.difference.mean, cases[i].mean);
        near(p.difference.sd, cases[i].sd);
        near(p.low, cases[i].low);
        near(p.high, cases[i].high);
        near(p.p_t, cases[i].p_t);
        near(p.p_permutation, cases[i].extreme / (double)(1 << cases[i].n));
        near(p.least, cases[i].least);
        assert_int_equal(p.needed, cases[i].needed);
        assert_false(p.sampled);
    }
}

static void signs_of_all_differences_do_not_matter(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FxPaired p, q;
        double minus[8];
        for (int k = 0; k < cases[i].n; k++)
            minus[k] = -cases[i].d[k];
        fx_paired(&p, cases[i].d, cases[i].n);
        fx_paired(&q, minus, cases[i].n);
        near(q.p_t, p.p_t);
        near(q.p_permutation, p.p_permutation);
        near(q.low, -p.high);
        assert_int_equal(q.needed, p.needed);
    }
}

static void nothing_is_said_of_fewer_than_two_pairs(void **state) {
    (void)state;
    const double one = 0.25;
    FxPaired p;
    fx_paired(&p, &one, 1);
    near(p.difference.mean, 0.25);
    near(p.difference.min, 0.25);
    const double none[] = {p.difference.sd, p.low, p.high, p.p_t, p.p_permutation, p.least};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_true(isnan(none[i]));
    assert_int_equal(p.needed, 0);
    fx_paired(&p, NULL, 0);
    assert_int_equal(p.difference.n, 0);
    assert_true(isnan(p.difference.mean) && isnan(p.difference.min) && isnan(p.p_t) && isnan(p.p_permutation));
}

// Error rates as they come: 0.3 - 0.2 and 0.2 - 0.1 are two float64. Without a spread there is no t test.
static void differences_equal_but_for_rounding_have_no_spread(void **state) {
    (void)state;
    const double d[] = {0.3 - 0.2, 0.2 - 0.1, 0.7 - 0.6};
    FxPaired p;
    assert_true(d[0] != d[1]);
    fx_paired(&p, d, 3);
    near(p.difference.mean, 0.1);
    assert_true(p.difference.sd == 0);
    assert_true(isnan(p.p_t) && isnan(p.low) && isnan(p.high) && isnan(p.least));
    assert_int_equal(p.needed, 0);
    near(p.p_permutation, 2.0 / 8);
    const double zeros[4] = {0};
    fx_paired(&p, zeros, 4);
    assert_true(isnan(p.p_t) && p.difference.sd == 0);
    near(p.p_permutation, 1);
    assert_int_equal(p.needed, 0);
}

// 0.1 + 0.2 - 0.3 is not 0 in float64, nor are sums of tenths exact: counted here in whole tenths.
static void sums_equal_but_for_rounding_are_ties(void **state) {
    (void)state;
    const double d[] = {0.1, 0.2, -0.3, 0.5};
    int extreme = 0;
    for (int s = 0; s < 16; s++) { // in whole tenths
        int sum = (s & 1 ? -1 : 1) + (s & 2 ? -2 : 2) + (s & 4 ? 3 : -3) + (s & 8 ? -5 : 5);
        extreme += sum >= 5 || sum <= -5;
    }
    FxPaired p;
    fx_paired(&p, d, 4);
    near(p.p_permutation, extreme / 16.0);
    const double e[] = {0.1, 0.2, -0.3};
    fx_paired(&p, e, 3);
    near(p.p_permutation, 1);
}

// n differences of one size, k of them negative: p is a binomial tail, counted here by Pascal's triangle.
static double binomial_tails(int n, int k) {
    double row[64] = {1}, tail = 0, all = ldexp(1, n);
    for (int i = 1; i <= n; i++)
        for (int j = i; j > 0; j--)
            row[j] += row[j - 1];
    for (int j = 0; j <= n; j++)
        tail += (j <= k || j >= n - k) ? row[j] : 0;
    return tail / all;
}

static void permutations_of_equal_sizes_are_binomial(void **state) {
    (void)state;
    for (int n = 2; n <= FX_EXACT_PAIRS; n += n < 6 ? 1 : 7)
        for (int k = 0; 2 * k < n; k++) {
            double d[FX_EXACT_PAIRS];
            FxPaired p;
            for (int i = 0; i < n; i++)
                d[i] = i < k ? -0.1 : 0.1;
            fx_paired(&p, d, n);
            assert_false(p.sampled);
            near(p.p_permutation, binomial_tails(n, k));
        }
}

static void beyond_twenty_pairs_permutations_are_drawn_alike_each_time(void **state) {
    (void)state;
    double d[40];
    FxPaired p, again;
    for (int n = 21; n <= 40; n += 19) {
        for (int i = 0; i < n; i++)
            d[i] = i < n / 3 ? -0.1 : 0.1;
        fx_paired(&p, d, n);
        fx_paired(&again, d, n);
        assert_true(p.sampled);
        assert_true(p.p_permutation == again.p_permutation);
        double want = binomial_tails(n, n / 3), error = sqrt(want * (1 - want) / (1 << 20));
        if (fabs(p.p_permutation - want) > 4 * error) // seed 1 is what it is: no chance in this test
            fail_msg("n = %d: %g, not %g +- %g", n, p.p_permutation, want, error);
        for (int i = 0; i < n; i++)
            d[i] = 1 + 0.01 * i;
        fx_paired(&p, d, n);
        assert_true(p.p_permutation > 0); // the pattern seen is one of those drawn
    }
}

// By hand: sorted p times m, m - 1, ..., never falling, at most 1; 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 are 0.02, 0.03,
// 0.06, 0.04, and the last may not fall.
static void holm_steps_down(void **state) {
    (void)state;
    double p[] = {0.01, NAN, 0.04, 0.03, 0.005}, want[] = {0.03, NAN, 0.06, 0.06, 0.02};
    fx_holm(p, 5);
    for (int i = 0; i < 5; i++)
        near(p[i], want[i]);
    double ties[] = {0.02, 0.02, 0.5}, tied[] = {0.06, 0.06, 0.5};
    fx_holm(ties, 3);
    for (int i = 0; i < 3; i++)
        near(ties[i], tied[i]);
    double large[] = {0.6, 0.7}, zero[] = {0, 1}, alone = 0.04, none = NAN;
    fx_holm(large, 2);
    assert_true(large[0] == 1 && large[1] == 1);
    fx_holm(zero, 2);
    assert_true(zero[0] == 0 && zero[1] == 1);
    fx_holm(&alone, 1);
    near(alone, 0.04);
    fx_holm(&none, 1);
    assert_true(isnan(none));
    fx_holm(NULL, 0);
}

// stats.t.ppf(.975, n - 1) + stats.t.ppf(.8, n - 1), over sqrt(n): for sd = 1.
static void the_least_difference_follows_its_formula(void **state) {
    (void)state;
    const struct {
        int n;
        double quantiles;
    } table[] = {{2, 12.706204736432095 + 1.3763819204924512}, {3, 4.302652729911275 + 1.0606601717798223},
                 {5, 2.7764451051977987 + 0.94096457719753},   {10, 2.2621571627409915 + 0.8834038596855205},
                 {20, 2.093024054408263 + 0.8609505502689289}, {100, 1.9842169515086827 + 0.8452670319493958},
                 {1000, 1.9623414611334487 + 0.8419811822589467}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        near(fx_least_difference(1, table[i].n), table[i].quantiles / sqrt(table[i].n));
    assert_true(isnan(fx_least_difference(1, 1)));
    assert_true(isnan(fx_least_difference(0, 5)));
    assert_true(isnan(fx_least_difference(NAN, 5)));
}

static void seeds_needed_are_the_least_that_suffice(void **state) {
    (void)state;
    for (double difference = 12; difference > 0.01; difference *= 0.77) {
        int n = fx_seeds_needed(1, -difference);
        if (!(fx_least_difference(1, n) <= difference) || (n > 2 && !(fx_least_difference(1, n - 1) > difference)))
            fail_msg("%g: %d", difference, n);
    }
    assert_int_equal(fx_seeds_needed(1, 0), 0);
    assert_int_equal(fx_seeds_needed(0, 1), 0);
    assert_int_equal(fx_seeds_needed(NAN, 1), 0);
    assert_int_equal(fx_seeds_needed(1, 1e-9), FX_MAX_SEEDS);
    assert_int_equal(fx_seeds_needed(1e-9, 1), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paired_tests_agree_with_scipy),
        cmocka_unit_test(signs_of_all_differences_do_not_matter),
        cmocka_unit_test(nothing_is_said_of_fewer_than_two_pairs),
        cmocka_unit_test(differences_equal_but_for_rounding_have_no_spread),
        cmocka_unit_test(sums_equal_but_for_rounding_are_ties),
        cmocka_unit_test(permutations_of_equal_sizes_are_binomial),
        cmocka_unit_test(beyond_twenty_pairs_permutations_are_drawn_alike_each_time),
        cmocka_unit_test(holm_steps_down),
        cmocka_unit_test(the_least_difference_follows_its_formula),
        cmocka_unit_test(seeds_needed_are_the_least_that_suffice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
