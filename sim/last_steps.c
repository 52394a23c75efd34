#include "sim/last_steps.h"

#include <stdlib.h>

static int lines(void) {
    int n = 0;
    while (fx_site_info(n))
        n++;
    return n;
}

int fx_last_init(FxLastSteps *last, int layers, FxError *err) {
    size_t count = (size_t)FX_LAST_STEPS * (size_t)layers * (size_t)lines();
    *last = (FxLastSteps){.sites = calloc(count, sizeof *last->sites), .layers = layers};
    return last->sites ? 0 : fx_fail_memory(err, "the last steps", count * sizeof *last->sites);
}

void fx_last_free(FxLastSteps *last) {
    free(last->sites);
    *last = (FxLastSteps){0};
}

static FxLastSite *place(const FxLastSteps *last, uint64_t step, int layer, int line) {
    return &last->sites[((size_t)(step % FX_LAST_STEPS) * (size_t)last->layers + (size_t)layer) * (size_t)lines() + (size_t)line];
}

void fx_last_note(FxLastSteps *last, const FxNet *net, uint64_t step) {
    if (last->next != step) // the first one, or after a resume
        last->first = step;
    last->next = step + 1;
    if (last->next - last->first > FX_LAST_STEPS)
        last->first = last->next - FX_LAST_STEPS;
    for (int layer = 0; layer < last->layers; layer++)
        for (int line = 0; fx_site_info(line); line++) {
            const FxSiteState *state = &net->keepers[layer]->site[fx_site_info(line)->site];
            *place(last, step, layer, line) = (FxLastSite){state->last, state->exponent, state->chosen, state->last_changed, state->last_floored};
        }
}

const FxLastSite *fx_last_site(const FxLastSteps *last, uint64_t step, int layer, int line) {
    return place(last, step, layer, line);
}
