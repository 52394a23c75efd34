// Values that change during a run: "8 1@200 1/8@250" is 8, from pass 200 on 1, from pass 250 on 1/8; "@300s" counts
// updates. Items are read left to right; the last one whose milestone is reached rules.
#ifndef FX_SCHEDULE_H
#define FX_SCHEDULE_H

#include "formats/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { FX_SCHEDULE_ITEMS = 32, FX_VALUE = 160 };

typedef struct FxScheduleItem {
    char text[FX_VALUE]; // the words of the item without its milestone, one space apart
    uint64_t at;         // passes, or updates where in_steps
    bool in_steps;
} FxScheduleItem;

typedef struct FxSchedule {
    FxScheduleItem item[FX_SCHEDULE_ITEMS];
    int count;
} FxSchedule;

// A word that ends in @N or @Ns starts a new item. The first item has no milestone. Errors: exit code 2.
int fx_schedule_parse(FxSchedule *schedule, const char *value, FxError *err);

// Step from which the item rules, with steps_per_epoch updates a pass; at most UINT64_MAX.
uint64_t fx_schedule_step(const FxScheduleItem *item, uint64_t steps_per_epoch);

// The item that rules before update `step`.
const FxScheduleItem *fx_schedule_at(const FxSchedule *schedule, uint64_t step, uint64_t steps_per_epoch);

#endif
