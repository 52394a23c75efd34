// What a checkpoint keeps of a run beside its weights: every total comes back as it was, whatever the loss.
#include "sim/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void prepare(FxRun *run, const char *loss) {
    FxRecipe recipe;
    FxWarnings warnings = {0};
    FxError err;
    char setting[40];
    snprintf(setting, sizeof setting, "run.loss=%s", loss);
    if (fx_recipe_load(&recipe, "wage-mnist", &err) || fx_recipe_override(&recipe, "run.data=digits", "test", &err) ||
        fx_recipe_override(&recipe, "run.net=4C3-MP2-10", "test", &err) || fx_recipe_override(&recipe, setting, "test", &err) ||
        fx_run_prepare(run, &recipe, &warnings, &err))
        fail_msg("%s", err.text);
}

// The training data of a real run are too few for a second chunk of the loss's sum, so the totals are made up.
static void every_total_comes_back(void **state) {
    (void)state;
    static const char *const losses[] = {"sse", "softmax"};
    for (int l = 0; l < 2; l++) {
        FxRun run, again;
        FxError err;
        FxMark mark = {.log_length = 11, .stats_length = 12, .status = FX_RUNNING}, got = {0};
        char dir[] = "/tmp/fxsim-test-XXXXXX", path[64];
        assert_non_null(mkdtemp(dir));
        prepare(&run, losses[l]);
        prepare(&again, losses[l]);
        run.step = 3;
        run.images = 384;
        run.loss_exponent = -9;
        run.totals = (FxTotals){.images = 5000, .answers = {((unsigned __int128)7 << 64) + 8, 21, 22}, .loss = {-1.5, 0.3, 5000},
                                .zero_tensors = 31, .saturated = 32, .store_changed = 33, .lost_targets = 34};
        if (fx_checkpoint_write(&run, dir, &mark, &err))
            fail_msg("%s", err.text);
        snprintf(path, sizeof path, "%s/checkpoint", dir);
        if (fx_checkpoint_read_file(&again, path, &got, &err))
            fail_msg("%s", err.text);
        const FxTotals *a = &run.totals, *b = &again.totals;
        assert_true(a->images == b->images && a->answers.loss == b->answers.loss && a->answers.wrong == b->answers.wrong &&
                    a->answers.ties == b->answers.ties);
        assert_true(a->loss.sum == b->loss.sum && a->loss.chunk == b->loss.chunk && a->loss.images == b->loss.images);
        assert_true(a->zero_tensors == b->zero_tensors && a->saturated == b->saturated && a->store_changed == b->store_changed &&
                    a->lost_targets == b->lost_targets);
        assert_true(again.step == 3 && again.images == 384 && again.loss_exponent == -9);
        assert_true(got.log_length == 11 && got.stats_length == 12 && got.status == FX_RUNNING);
        assert_int_equal(fx_checkpoint_state_crc32(&run), fx_checkpoint_state_crc32(&again));
        unlink(path);
        rmdir(dir);
        fx_run_free(&run);
        fx_run_free(&again);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_total_comes_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
