// --stretch: all milestones and the epochs times a factor, written into the recipe itself, so that recipe.ini,
// config_crc32 and everything behind them are those of the stretched run.
#include "sim/recipe.h"

#include <stdio.h>
#include <string.h>

// n * factor to nearest, ties up; too large for a schedule: false.
static bool multiply(uint64_t *n, const FxDecimal *factor) {
    unsigned __int128 unit = 1;
    for (int i = 0; i < factor->places; i++)
        unit *= 10;
    unsigned __int128 product = (2 * (unsigned __int128)*n * factor->digits + unit) / (2 * unit);
    *n = (uint64_t)product;
    return product <= 999999999999999; // 15 digits, as a schedule holds
}

static int stretch_schedule(FxSetting *s, const FxDecimal *factor, FxError *err) {
    FxSchedule schedule;
    char text[FX_VALUE];
    if (fx_schedule_parse(&schedule, s->value, err))
        return -1;
    size_t used = (size_t)snprintf(text, sizeof text, "%s", schedule.item[0].text);
    for (int j = 1; j < schedule.count && used < sizeof text; j++) {
        FxScheduleItem *item = &schedule.item[j];
        uint64_t written = item->at;
        if (!multiply(&item->at, factor))
            return fx_fail(err, FX_EXIT_USAGE, "%s: %s: --stretch takes the milestone @%llu beyond 15 digits", s->source,
                           s->key->path, (unsigned long long)written);
        used += (size_t)snprintf(text + used, sizeof text - used, " %s@%llu%s", item->text, (unsigned long long)item->at,
                                 item->in_steps ? "s" : "");
    }
    if (used >= sizeof text)
        return fx_fail(err, FX_EXIT_USAGE, "%s: %s: stretched, the schedule is longer than %d characters", s->source,
                       s->key->path, FX_VALUE - 1);
    strcpy(s->value, text);
    return 0;
}

int fx_recipe_stretch(FxRecipe *recipe, const FxDecimal *factor, FxError *err) {
    uint64_t epochs = (uint64_t)fx_recipe_number(recipe, "run.epochs");
    char text[FX_VALUE];
    for (int i = 0; i < recipe->count; i++)
        if ((recipe->settings[i].key->flags & FX_KEY_SCHEDULE) && stretch_schedule(&recipe->settings[i], factor, err))
            return -1;
    if (!multiply(&epochs, factor) || epochs == 0)
        return fx_fail(err, FX_EXIT_USAGE, "--stretch: the run would have %llu epochs", (unsigned long long)epochs);
    snprintf(text, sizeof text, "%llu", (unsigned long long)epochs);
    return fx_recipe_settle(recipe, "run.epochs", text, "--stretch", err);
}
