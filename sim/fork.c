// A run that begins from another run's checkpoint, under its own recipe.
#include "sim/checkpoint_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The images that a run of this batch has seen after so many steps.
static uint64_t images_after(const FxConfig *c, uint64_t step) {
    uint64_t spe = c->steps_per_epoch, batch = (uint64_t)c->batch, pass = c->drop_last ? spe * batch : c->train_images;
    return step / spe * pass + step % spe * batch;
}

// One kept array under this run's format: as it is where that is the same, else rounded. Returns whether it was rounded.
static bool adopt(FxRun *run, const FxPhase *phase, FxForeign *from, const uint64_t formats[3]) {
    FxNode *node = run->net.keepers[from->keeper];
    int which = from->site == node->store_site ? 0 : from->site == FX_SITE_MOMENTUM ? 1 : 2;
    FxTensor *to = which == 0 ? &node->store : which == 1 ? &node->momentum : &node->second;
    bool same = from->data.type == to->type && formats[which] == node->site[from->site].format;
    if (from->data.count == 0 || to->count == 0)
        return false;
    from->data.exponent = node->exponents[which];
    if (same)
        memcpy(to->data, from->data.data, to->count * fx_type_size(to->type));
    else
        fx_net_adopt(&run->net, &run->config, phase, node, from->site, &from->data);
    if (same)
        to->exponent = from->data.exponent;
    return !same;
}

// The parent's formats, as its sites had them.
static void note_formats(const FxRun *run, uint64_t (*formats)[3]) {
    for (int k = 0; k < run->net.keeper_count; k++) {
        const FxNode *node = run->net.keepers[k];
        formats[k][0] = node->site[node->store_site].format;
        formats[k][1] = node->site[FX_SITE_MOMENTUM].format;
        formats[k][2] = node->site[FX_SITE_SECOND].format;
    }
}

// What a fork begins anew: another optimiser's state, counts, and a loss scale but for a dynamic one that goes on.
static void begin_anew(FxRun *run, bool other_rule, FxLossScale scale) {
    bool was_one = run->loss_scale.mantissa == 1 << 14 && run->loss_scale.exponent == -14; // a parent without one, most likely
    if (!run->config.loss_scaling.dynamic || was_one)
        run->loss_scale = scale;
    if (other_rule)
        run->net.updates = 0;
    for (int k = 0; k < run->net.keeper_count; k++) {
        FxNode *node = run->net.keepers[k];
        for (int i = 0; i < FX_SITE_NUMBERS; i++) {
            node->site[i].stats = (FxStats){0};
            node->site[i].quality = (FxQuality){0};
            node->site[i].exponent_moves = node->site[i].changed = node->site[i].floored = 0;
        }
        memset(node->sums, 0, sizeof node->sums);
    }
}

// The file of RUN that holds `step`.
static int file_of_step(char path[FX_CHECKPOINT_PATH], const char *directory, uint64_t step, FxError *err) {
    char paths[3][FX_CHECKPOINT_PATH];
    if (fx_checkpoint_paths(paths, directory, err))
        return -1;
    long long steps[2] = {fx_checkpoint_step(paths[0]), fx_checkpoint_step(paths[1])};
    int file = steps[0] == (long long)step ? 0 : steps[1] == (long long)step ? 1 : -1;
    if (file < 0 && steps[0] < 0)
        return fx_fail(err, FX_EXIT_USAGE, "--fork %s: no checkpoint is there", directory);
    if (file < 0)
        return fx_fail(err, FX_EXIT_USAGE, "--fork %s@%llu: its checkpoints are of step %lld%s%lld", directory, (unsigned long long)step, steps[0],
                       steps[1] >= 0 ? " and " : "; the one before: ", steps[1]);
    strcpy(path, paths[file]);
    return 0;
}

// The run from here on: the parent's state under this run's recipe. Returns how many arrays were rounded.
static int take_over(FxRun *run, uint64_t step, const uint64_t packed[FX_CHECKPOINT_TOTALS], FxForeign *foreign, uint64_t (*formats)[3]) {
    const FxPhase *phase = fx_config_phase(&run->config, step);
    const FxLossScale scale = run->loss_scale;
    const bool other_rule = packed[FX_PACKED_RULE] != fx_text_mark(run->config.update.rule->name);
    int rounded = 0;
    fx_checkpoint_unpack(run, packed);
    note_formats(run, formats);
    begin_anew(run, other_rule, scale);
    fx_net_start_controllers(&run->net, phase);
    for (int i = 0; i < fx_checkpoint_items(run); i++)
        if (foreign[i].data.data && (!other_rule || foreign[i].site == run->net.keepers[foreign[i].keeper]->store_site))
            rounded += adopt(run, phase, &foreign[i], formats[foreign[i].keeper]);
    return rounded;
}

int fx_checkpoint_fork(FxRun *run, const char *directory, uint64_t step, char text[256], FxError *err) {
    char path[FX_CHECKPOINT_PATH];
    uint64_t packed[FX_CHECKPOINT_TOTALS];
    if (file_of_step(path, directory, step, err))
        return -1;
    const size_t items = (size_t)fx_checkpoint_items(run);
    FxForeign *foreign = calloc(items, sizeof *foreign);
    uint64_t (*formats)[3] = calloc((size_t)run->net.keeper_count, sizeof *formats);
    int result = foreign && formats ? fx_checkpoint_read_foreign(run, path, packed, foreign, err)
                                    : fx_fail_memory(err, "fork", items * sizeof *foreign);
    if (result == 0 && images_after(&run->config, step) != packed[FX_PACKED_IMAGES])
        result = fx_fail(err, FX_EXIT_CHECKPOINT, "--fork %s@%llu: it had seen %llu images by then, this run would have seen %llu: run.batch and drop-last "
                         "must be the same", directory, (unsigned long long)step, (unsigned long long)packed[FX_PACKED_IMAGES],
                         (unsigned long long)images_after(&run->config, step));
    if (result == 0)
        snprintf(text, 256, "%.160s@%llu, %d tensors in another format\n", directory, (unsigned long long)step,
                 take_over(run, step, packed, foreign, formats));
    for (size_t i = 0; foreign && i < items; i++)
        free(foreign[i].data.data);
    free(foreign);
    free(formats);
    return result;
}
