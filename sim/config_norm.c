// The keys norm.* of a layer.
#include "sim/carriers.h"
#include "sim/config_resolve.h"
#include "sim/norm_config.h"

#include <stdlib.h>
#include <string.h>

int fx_norm_parse_reciprocal(FxNormRule *rule, const char *text, FxError *err) {
    char *end;
    *rule = (FxNormRule){.division = FX_NORM_DIVIDE};
    if (!strcmp(text, "division"))
        return 0;
    rule->division = FX_NORM_POWER_OF_TWO;
    if (!strcmp(text, "pow2"))
        return 0;
    rule->division = FX_NORM_LUT;
    if (!strncmp(text, "lut", 3) && text[3] >= '1' && text[3] <= '9') {
        rule->lut_bits = (int)strtol(text + 3, &end, 10);
        rule->newton = !strcmp(end, "+n");
        if (rule->lut_bits >= 2 && rule->lut_bits <= 12 && (!*end || rule->newton))
            return 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: division, lutB, lutB+n with B from 2 to 12, pow2", text);
}

int fx_norm_parse_average(FxNormRule *rule, const char *text, FxError *err) {
    const char *colon = strchr(text, ':');
    *rule = (FxNormRule){.average_old = colon && !strcmp(colon, ":old")};
    rule->average_pytorch = !strcmp(text, "0.1:new");
    rule->average_shift = atoi(text);
    bool digits = colon && colon > text && colon - text <= 2 && strspn(text, "0123456789") == (size_t)(colon - text);
    bool known = colon && (rule->average_old || !strcmp(colon, ":new"));
    if (rule->average_pytorch || (digits && known && rule->average_shift >= 1 && rule->average_shift <= 15))
        return 0;
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: A:new, A:old with A from 1 to 15, 0.1:new", text);
}

int fx_norm_at(const Resolver *r, FxNormConfig *c, const FxLayerName *layer, uint64_t step) {
    static const struct {
        const char *name;
        FxNormKind kind;
    } kinds[] = {{"l2", FX_NORM_L2}, {"l1", FX_NORM_L1}, {"range", FX_NORM_RANGE}, {"shift", FX_NORM_SHIFT}};
    enum { KIND, CHUNKS, CONST, BACKWARD, FLOOR, DEAD, RECIPROCAL, DIVISION, FRACTION, PROFILE, AVERAGE, KEYS };
    static const char *const paths[KEYS] = {"norm.kind", "norm.chunks", "norm.const", "norm.backward", "norm.floor", "norm.dead",
                                            "norm.reciprocal", "norm.division", "norm.fraction", "norm.profile", "norm.average"};
    char text[KEYS][FX_VALUE];
    FxNormRule average;
    for (int i = 0; i < KEYS; i++)
        if (fx_value_at(r, text[i], paths[i], layer, step))
            return -1;
    if (fx_norm_parse_reciprocal(&c->rule, text[RECIPROCAL], r->err) || fx_norm_parse_average(&average, text[AVERAGE], r->err))
        return -1;
    c->choice = !strcmp(text[KIND], "none") ? FX_NORM_LEFT_OUT : FX_NORM_AS_WRITTEN;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(text[KIND], kinds[i].name)) {
            c->choice = FX_NORM_SWAPPED;
            c->rule.kind = kinds[i].kind;
        }
    c->rule.chunks = atoi(text[CHUNKS]);
    c->rule.constant = !strcmp(text[CONST], "paper") ? FX_NORM_PAPER : !strcmp(text[CONST], "code") ? FX_NORM_CODE : FX_NORM_EXACT_D2;
    c->rule.detach = !strcmp(text[BACKWARD], "detach");
    c->rule.floor = atoi(text[FLOOR]);
    c->rule.keep_dead = !strcmp(text[DEAD], "keep");
    c->rule.hardware_division = !strcmp(text[DIVISION], "hardware");
    c->rule.fraction = atoi(text[FRACTION]);
    c->rule.int32_profile = !strcmp(text[PROFILE], "int32");
    c->rule.average_shift = average.average_shift;
    c->rule.average_old = average.average_old;
    c->rule.average_pytorch = average.average_pytorch;
    return 0;
}

FxNormsThere fx_norms_there(const Resolver *r) {
    FxNormsThere there = {0};
    for (int l = 0; l < r->config->layer_count; l++) {
        const FxNormConfig *norm = &r->config->phases[0].layers[l].norm;
        there.written |= r->names[l].norm;
        if (!r->names[l].norm || norm->choice == FX_NORM_LEFT_OUT)
            continue;
        there.any = true;
        there.range |= norm->choice == FX_NORM_SWAPPED ? norm->rule.kind == FX_NORM_RANGE : r->names[l].range;
        there.integers |= fx_norm_is_integer(r->config, l);
    }
    return there;
}
