// What a norm keeps for each channel, in a dump: layers/norm.h says what the numbers mean.
#include "sim/dump_parts.h"

#include <stdlib.h>
#include <string.h>

// A channel's numbers behind its forward half, by name.
static const struct {
    const char *name;
    int bits;
} numbers[] = {{"mean", 32}, {"num", 64}, {"den", 64}, {"R", 32}, {"k", 32}, {"G", 32}, {"G.exponent", 32}, {"signs", 32}, {"floored", 32}};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static int64_t number(const FxNormChannel *c, int i) {
    const int64_t all[NUMBERS] = {c->mean, c->num, c->den, c->R, c->k, c->G, c->G_exponent, c->signs, c->floored};
    return all[i];
}

void fx_dump_norm(FxDump *d, const FxNode *node) {
    const FxNormNode *norm = node->norm;
    const size_t channels = (size_t)node->layer.out.c;
    const FxSiteConfig *sites = fx_step_phase(&d->step)->layers[node->id - 1].site;
    if (!norm->integers) { // rounded ones have been told of
        if (!sites[FX_SITE_NORM_MEAN].on)
            fx_dump_channels(d, node->name.name, "norm.mean", &norm->mean, 32, false);
        if (!sites[FX_SITE_NORM_SCALE].on)
            fx_dump_channels(d, node->name.name, "norm.scale", &norm->scale, 32, false);
        return;
    }
    FxTensor t = {malloc(8 * channels), FX_INT64, channels, 0};
    if (!t.data) {
        d->failed = fx_fail_memory(d->err, "channels", 8 * channels) != 0;
        return;
    }
    for (int i = 0; i < NUMBERS; i++) {
        char name[FX_VECTOR_NAME];
        for (size_t c = 0; c < channels; c++)
            fx_tensor_set(&t, c, number(&norm->channels[c], i));
        snprintf(name, sizeof name, "channel.%s", numbers[i].name);
        fx_dump_channels(d, node->name.name, name, &t, numbers[i].bits, false);
    }
    free(t.data);
}

void fx_dump_norm_back(FxDump *d, const FxNode *node) {
    FxNormNode *norm = node->norm;
    const size_t channels = (size_t)node->layer.out.c;
    if (norm->integers) {
        fx_dump_channels(d, node->name.name, "back.multiplier", &(FxTensor){norm->multiplier, FX_INT32, channels, 0}, 32, false);
        fx_dump_exponents(d, node->name.name, "back", norm->exponent, channels);
    }
    for (int which = 0; which < 2; which++) {
        FxNode *p = &norm->parameter[which];
        fx_dump_channels(d, p->name.name, "sum.gradient", &p->dw, 64, false);
        if (norm->integers)
            fx_dump_exponents(d, p->name.name, "sum.gradient", p->dw_exponents, channels);
    }
}

void fx_dump_running(FxDump *d, const char *end) {
    static const char *const names[] = {"mean", "scale"};
    for (int i = 0; i < d->run->net.count; i++) {
        FxNode *node = &d->run->net.nodes[i];
        FxNormNode *norm = node->norm;
        char name[FX_VECTOR_NAME];
        if (node->layer.ops->role != FX_ROLE_NORM || !norm->running_state[0])
            continue;
        int32_t exponent = (int32_t)norm->running_state[1];
        for (int k = 0; k < 2; k++) {
            FxTensor t = norm->running[k];
            t.exponent = exponent;
            snprintf(name, sizeof name, "running.%s%s", names[k], end);
            fx_dump_channels(d, node->name.name, name, &t, 32, true);
        }
        snprintf(name, sizeof name, "running%s", end);
        if (norm->integers)
            fx_dump_exponents(d, node->name.name, name, &exponent, 1);
    }
}
