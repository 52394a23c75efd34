#include "sim/schedule.h"

#include <ctype.h>
#include <string.h>

// Cuts a milestone off the end of word; false if there is none.
static bool milestone(char *word, uint64_t *at, bool *in_steps) {
    char *mark = strrchr(word, '@');
    if (!mark || mark == word)
        return false;
    size_t n = strspn(mark + 1, "0123456789");
    *in_steps = mark[1 + n] == 's';
    if (n == 0 || n > 15 || mark[1 + n + *in_steps])
        return false;
    *at = 0;
    for (size_t i = 1; i <= n; i++)
        *at = *at * 10 + (uint64_t)(mark[i] - '0');
    *mark = 0;
    return true;
}

int fx_schedule_parse(FxSchedule *schedule, const char *value, FxError *err) {
    memset(schedule, 0, sizeof *schedule);
    for (const char *p = value; *p;) {
        while (*p == ' ' || *p == '\t')
            p++;
        size_t n = strcspn(p, " \t");
        if (n == 0)
            break;
        char word[FX_VALUE];
        if (n >= sizeof word)
            return fx_fail(err, FX_EXIT_USAGE, "\"%.40s...\": a word of %zu characters; at most %d", p, n, FX_VALUE - 1);
        memcpy(word, p, n);
        word[n] = 0;
        p += n;
        uint64_t at = 0;
        bool in_steps = false, starts = milestone(word, &at, &in_steps);
        if (starts && schedule->count == 0)
            return fx_fail(err, FX_EXIT_USAGE, "\"%s\": the first value of a schedule has no milestone", value);
        if (starts || schedule->count == 0) {
            if (schedule->count == FX_SCHEDULE_ITEMS)
                return fx_fail(err, FX_EXIT_USAGE, "\"%.40s...\": more than %d milestones", value, FX_SCHEDULE_ITEMS - 1);
            schedule->count++;
        }
        FxScheduleItem *item = &schedule->item[schedule->count - 1];
        size_t used = strlen(item->text);
        if (used + n + 2 > sizeof item->text)
            return fx_fail(err, FX_EXIT_USAGE, "\"%.40s...\": longer than %d characters", value, FX_VALUE - 1);
        if (used)
            item->text[used++] = ' ';
        strcpy(item->text + used, word);
        if (starts) {
            item->at = at;
            item->in_steps = in_steps;
        }
    }
    if (schedule->count == 0)
        return fx_fail(err, FX_EXIT_USAGE, "an empty value");
    return 0;
}

uint64_t fx_schedule_step(const FxScheduleItem *item, uint64_t steps_per_epoch) {
    uint64_t factor = item->in_steps ? 1 : steps_per_epoch;
    return factor && item->at > UINT64_MAX / factor ? UINT64_MAX : item->at * factor;
}

const FxScheduleItem *fx_schedule_at(const FxSchedule *schedule, uint64_t step, uint64_t steps_per_epoch) {
    const FxScheduleItem *best = &schedule->item[0];
    for (int i = 1; i < schedule->count; i++)
        if (step >= fx_schedule_step(&schedule->item[i], steps_per_epoch))
            best = &schedule->item[i];
    return best;
}
