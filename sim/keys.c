#include "sim/keys.h"

#include "formats/decimal.h"
#include "formats/quantiser.h"
#include "layers/accumulator.h"
#include "layers/layer.h"
#include "sim/loss_scale.h"
#include "sim/norm_config.h"
#include "sim/rate.h"
#include "sim/schedule.h"
#include "sim/ranges.h"
#include "sim/sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_any(const FxKey *key, const char *value, FxError *err) {
    (void)key, (void)value, (void)err;
    return 0;
}

static int check_choice(const FxKey *key, const char *value, FxError *err) {
    size_t n = strlen(value);
    for (const char *p = key->choices; *p;) {
        size_t length = strcspn(p, "|");
        if (length == n && !strncmp(p, value, n))
            return 0;
        p += length + (p[length] == '|');
    }
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: %s", value, key->choices);
}

static int check_number(const FxKey *key, const char *value, FxError *err) {
    size_t n = strspn(value, "0123456789");
    unsigned long long x = strtoull(value, NULL, 10);
    if (n == 0 || n > 19 || value[n] || x < (unsigned long long)key->low || x > (unsigned long long)key->high)
        return fx_fail(err, FX_EXIT_USAGE, "\"%s\" is no whole number from %lld to %lld", value, key->low, key->high);
    return 0;
}

// A seed: "seed" (follow --seed) or a 64-bit number.
static int check_seed(const FxKey *key, const char *value, FxError *err) {
    (void)key;
    size_t n = strspn(value, "0123456789");
    if (!strcmp(value, "seed") || (n > 0 && n <= 20 && !value[n] && (n < 20 || strcmp(value, "18446744073709551615") <= 0)))
        return 0;
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\" is no whole number below 2^64", value);
}

static int check_scalar(const FxKey *key, const char *value, FxError *err) {
    FxScalar s;
    (void)key;
    return fx_scalar_parse(&s, value, err);
}

static int check_decimal(const FxKey *key, const char *value, FxError *err) {
    FxDecimal d;
    (void)key;
    if (fx_decimal_parse(&d, value) == 0)
        return 0;
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\" is no decimal; write 0.5", value);
}

static int check_quantiser(const FxKey *key, const char *value, FxError *err) {
    FxQuantiser q;
    (void)key;
    return !strcmp(value, "none") ? 0 : fx_quantiser_parse(&q, value, err);
}

static int check_grid(const FxKey *key, const char *value, FxError *err) {
    FxGrid g;
    (void)key;
    return !strcmp(value, "none") ? 0 : fx_grid_parse(&g, value, NULL, err);
}

static int check_scale(const FxKey *key, const char *value, FxError *err) {
    FxScale s;
    (void)key;
    return fx_scale_parse(&s, value, err);
}

static int check_rounding(const FxKey *key, const char *value, FxError *err) {
    FxRounding r;
    (void)key;
    return fx_rounding_parse(&r, value, NULL, err);
}

static int check_overflow(const FxKey *key, const char *value, FxError *err) {
    FxOverflow o;
    (void)key;
    return fx_overflow_parse(&o, value, err);
}

static int check_policy(const FxKey *key, const char *value, FxError *err) {
    FxPolicy p;
    (void)key;
    return fx_policy_parse(&p, value, err);
}

static int check_outer(const FxKey *key, const char *value, FxError *err) {
    return !strcmp(value, "inner") ? 0 : check_policy(key, value, err);
}

static int check_chunk(const FxKey *key, const char *value, FxError *err) {
    return !strcmp(value, "none") ? 0 : check_number(key, value, err);
}

static int check_law(const FxKey *key, const char *value, FxError *err) {
    static const char prefix[] = "uniform-fan-in:";
    size_t length = strlen(prefix);
    (void)key;
    const char *digits = value + length;
    if (!strncmp(value, prefix, length)) {
        size_t n = strspn(digits, "0123456789");
        if (n > 0 && n <= 4 && !digits[n] && digits[0] != '0')
            return 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: uniform-fan-in:C, C from 1 to 9999", value);
}

static int check_power(const FxKey *key, const char *value, FxError *err) {
    if (check_number(key, value, err))
        return -1;
    int x = atoi(value);
    return x & (x - 1) ? fx_fail(err, FX_EXIT_USAGE, "\"%s\" is no power of two", value) : 0;
}

static int check_reciprocal(const FxKey *key, const char *value, FxError *err) {
    FxNormRule rule;
    (void)key;
    return fx_norm_parse_reciprocal(&rule, value, err);
}

static int check_average(const FxKey *key, const char *value, FxError *err) {
    FxNormRule rule;
    (void)key;
    return fx_norm_parse_average(&rule, value, err);
}

// A number, or the words behind it of a rate that moves.
static int check_rate(const FxKey *key, const char *value, FxError *err) {
    FxRate rate;
    (void)key;
    return fx_rate_parse(&rate, value, 1, 1, err);
}

static int check_factor(const FxKey *key, const char *value, FxError *err) {
    FxScalar s;
    (void)key;
    if (fx_scalar_parse(&s, value, err))
        return -1;
    bool above_one = s.exponent + 14 > 0 || (s.exponent + 14 == 0 && s.mantissa > 1 << 14);
    return s.mantissa < 0 || (s.mantissa && above_one) ? fx_fail(err, FX_EXIT_USAGE, "\"%s\": write a number from 0 to 1", value) : 0;
}

static int check_trigger(const FxKey *key, const char *value, FxError *err) {
    static const char prefix[] = "saturated:";
    FxError why;
    FxScalar share;
    (void)key;
    if (!strcmp(value, "nonfinite") ||
        (!strncmp(value, prefix, strlen(prefix)) && fx_scalar_parse(&share, value + strlen(prefix), &why) == 0 && share.mantissa > 0))
        return 0;
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: nonfinite, saturated:SHARE as saturated:1e-5", value);
}

static int check_growth(const FxKey *key, const char *value, FxError *err) {
    FxGrowth growth;
    (void)key;
    return fx_growth_parse(&growth, value, err);
}

static int check_ranges(const FxKey *key, const char *value, FxError *err) {
    FxRanges ranges;
    (void)key;
    return fx_ranges_parse(&ranges, value, err);
}

// "data", or a decimal a channel.
static int check_means(const FxKey *key, const char *value, FxError *err) {
    char copy[FX_VALUE], *save = NULL;
    int count = 0;
    (void)key;
    snprintf(copy, sizeof copy, "%s", value);
    for (char *word = strtok_r(copy, " ", &save); word && strcmp(value, "data"); word = strtok_r(NULL, " ", &save), count++) {
        FxDecimal d;
        if (fx_decimal_parse(&d, word))
            return fx_fail(err, FX_EXIT_USAGE, "\"%s\": write data, or a decimal a channel with blanks between, as 0.49 0.48 0.45", value);
    }
    return 0;
}

static int check_augment(const FxKey *key, const char *value, FxError *err) {
    (void)key;
    if (!strcmp(value, "none"))
        return 0;
    char copy[64], *save = NULL;
    snprintf(copy, sizeof copy, "%s", value);
    int pad = 0, crop = 0, flip = 0;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        size_t n = strncmp(word, "pad:", 4) ? 0 : strspn(word + 4, "0123456789");
        if (n >= 1 && n <= 2 && !word[4 + n] && atoi(word + 4) >= 1 && atoi(word + 4) <= 16)
            pad++;
        else if (!strcmp(word, "crop"))
            crop++;
        else if (!strcmp(word, "flip"))
            flip++;
        else
            pad = 9;
    }
    if (pad > 1 || crop > 1 || flip > 1 || pad != crop || strlen(value) >= sizeof copy)
        return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; known: none, or of \"pad:P crop\" (P 1..16) and \"flip\"", value);
    return 0;
}

// "1e" epochs, "10m" minutes, "500s" steps; choices holds the units allowed.
static int check_period(const FxKey *key, const char *value, FxError *err) {
    size_t n = strspn(value, "0123456789");
    if (n > 0 && n <= 9 && atoi(value) > 0 && value[n] && !value[n + 1] && strchr(key->choices, value[n]))
        return 0;
    return fx_fail(err, FX_EXIT_USAGE, "\"%s\"; write a number and a unit of \"%s\" (e epochs, m minutes, s steps), as 1e",
                   value, key->choices);
}

enum { L = FX_KEY_LAYER, S = FX_KEY_SCHEDULE, N = FX_KEY_NEUTRAL, LS = L | S };
#define MANY 1000000000000LL

#define SITE(name, flags)                                                                                   \
    {name ".q", "none", (flags) | FX_KEY_QUANTISER, check_quantiser, NULL, 0, 0, "GRID[@SCALE][/ROUNDING][/OVERFLOW], or none"}, \
    {name ".grid", "none", flags, check_grid, NULL, 0, 0, "which codes exist"},                             \
    {name ".scale", "const:0", flags, check_scale, NULL, 0, 0, "how the exponent is chosen"},               \
    {name ".rounding", "nearest-even", flags, check_rounding, NULL, 0, 0, "which neighbour"},               \
    {name ".overflow", "saturate", flags, check_overflow, NULL, 0, 0, "saturate, wrap, inf or propagate"}

#define ACCUMULATOR(name)                                                                    \
    {name ".kind", "exact", LS, check_policy, NULL, 0, 0, "exact, wrap:N, saturate:N; of floats fp32, kulisch, float:eXmY/ROUNDING"},                   \
    {name ".outer", "inner", LS, check_outer, NULL, 0, 0, "policy of the sum of chunks; inner: as kind"},   \
    {name ".group", "1", LS, check_number, NULL, 1, 1 << 20, "products summed exactly before each addition"}, \
    {name ".chunk", "none", LS, check_chunk, NULL, 1, 1 << 20, "groups that make one outer addend"},        \
    {name ".shift", "0", LS, check_number, NULL, 0, 31, "low bits dropped from each product"}

static const FxKey keys[] = {
    {"recipe.name", "", 0, check_any, NULL, 0, 0, "what the recipe is called"},
    {"recipe.claim", "none", 0, check_choice, "none|integer", 0, 0, "integer: refuse to start if anything needs floating point"},
    {"recipe.base", "none", 0, check_any, NULL, 0, 0, "recipe whose keys rule where this one sets nothing"},

    {"run.net", "auto", 0, check_any, NULL, 0, 0, "network in notation, or lenet, vgg7, mlp; auto: by the data"},
    {"run.loss", "sse", 0, check_choice, "sse|softmax|niti", 0, 0, "loss of a net whose notation names none"},
    {"run.bias", "no", 0, check_choice, "no|yes", 0, 0, "a bias in every product"},
    {"run.data", "digits", 0, check_any, NULL, 0, 0, "digits, fashion-mnist, mnist, cifar10 or a directory"},
    {"run.batch", "128", 0, check_number, NULL, 1, 1 << 20, "images a step"},
    {"run.drop-last", "yes", 0, check_choice, "yes|no", 0, 0, "leave out the short last batch of an epoch"},
    {"run.augment", "none", S, check_augment, NULL, 0, 0, "none, or of \"pad:P crop\" and \"flip\""},
    {"run.epochs", "10", 0, check_number, NULL, 0, 1000000, "passes over the training images"},
    {"run.max-steps", "0", 0, check_number, NULL, 0, MANY, "stop after so many updates; 0: no such limit"},
    {"run.validation", "0", 0, check_number, NULL, 0, 1 << 30, "last training images held out"},
    {"run.seed", "1", 0, check_seed, NULL, 0, 0, "of all random words"},
    {"run.threads", "0", N, check_number, NULL, 0, 256, "0: one a processor"},
    {"run.cpu", "auto", N, check_choice, "auto|scalar|avx2|avx512|avx512vnni", 0, 0, "highest instruction set used"},
    {"run.checkpoint-every", "1e", N, check_period, "ems", 0, 0, "1e epochs, 10m minutes, 500s steps"},
    {"run.quiet", "no", N, check_choice, "yes|no", 0, 0, "no progress"},

    {"input.map", "wage-127.5", 0, check_choice, "wage-127.5|wage-128|unit|mean-std", 0, 0, "bytes to numbers"},
    {"input.mean", "data", 0, check_means, NULL, 0, 0, "of mean-std: a number a channel, of p/255; data: the training images' own"},
    {"input.std", "data", 0, check_means, NULL, 0, 0, "likewise"},
    SITE("input", 0),
    {"init.law", "uniform-fan-in:3", L, check_law, NULL, 0, 0, "half width sqrt(C/n) of the initial weights"},
    {"init.ranges", "none", 0, check_ranges, NULL, 0, 0, "Ne:W: N epochs with every @overflow grid W bits wide; then all but the ranges starts anew"},
    {"init.floor", "1.5", 0, check_decimal, NULL, 0, 0, "least half width, in steps of weight.grid; also defines alpha"},
    SITE("weight", LS),
    {"weight.ste", "identity", LS, check_choice, "identity", 0, 0, "which gradient passes"},
    SITE("weight.back", LS),
    SITE("activation", LS),
    SITE("activation.grad", LS),
    {"activation.ste", "clip", LS, check_choice, "identity|clip", 0, 0, "clip: the error of what lies outside the grid is 0"},
    SITE("error", LS),
    SITE("error.grad", LS),
    {"error.at", "between-masks", LS, check_choice, "between-masks|before-masks", 0, 0, "place of the error quantiser in hidden layers"},
    {"error.gamma", "1", LS, check_choice, "1|2|4|8", 0, 0, "WAGE's bound of the error window, lowered by gamma"},
    SITE("logits", LS),
    {"logits.ste", "clip", LS, check_choice, "identity|clip", 0, 0, "as activation.ste, on both sides"},
    SITE("gradient", LS),
    SITE("store", L),
    {"store.clip", "grid", L, check_any, NULL, 0, 0, "largest kept weight, a decimal; grid: the grid's own end"},

    SITE("bias", LS),

    SITE("preact", LS),
    SITE("preact-error", LS),
    SITE("sum", LS),
    SITE("sum.error", LS),
    {"norm.kind", "notation", L, check_choice, "notation|l2|l1|range|shift|none", 0, 0, "every norm's kind; notation: as the net says; none: left out"},
    {"norm.chunks", "16", L, check_number, NULL, 1, 4096, "range: pieces of a batch whose ranges are averaged"},
    {"norm.const", "exact_d2", L, check_choice, "paper|code|exact_d2", 0, 0, "range: law of the constant"},
    {"norm.backward", "exact", L, check_choice, "exact|detach", 0, 0, "detach: the scale counts as a constant"},
    {"norm.floor", "64", L, check_power, NULL, 1, 1 << 14, "of integers: least scale, in units of the differences; a power of two"},
    {"norm.dead", "zero", L, check_choice, "zero|keep", 0, 0, "of integers: the error of a channel at the floor"},
    {"norm.reciprocal", "division", L, check_reciprocal, NULL, 0, 0, "of integers: division, lutB, lutB+n (B 2 to 12; n: a Newton step), pow2"},
    {"norm.division", "exact", L, check_choice, "exact|hardware", 0, 0, "of integers: hardware multiplies by a rounded 1/n"},
    {"norm.fraction", "6", L, check_number, NULL, 0, 12, "of integers: fraction bits of the backward pass"},
    {"norm.profile", "int64", L, check_choice, "int64|int32", 0, 0, "of integers: int32 holds the backward pass to 16 bits"},
    {"norm.average", "3:new", L, check_average, NULL, 0, 0, "running statistics: A:new or A:old, whose weight is 2^-A; 0.1:new: PyTorch's, in floats"},
    SITE("norm.mean", LS),
    SITE("norm.scale", LS),
    SITE("norm.xhat", LS),
    SITE("norm.gamma", LS),
    SITE("norm.beta", LS),
    SITE("norm.gamma.gradient", LS),
    SITE("norm.beta.gradient", LS),
    SITE("norm.gamma.store", L),
    SITE("norm.beta.store", L),

    {"update.rule", "sgd", 0, check_choice, "sgd|sgd-inner|adam", 0, 0, "optimiser"},
    {"update.rate-unit", "lsb", 0, check_choice, "lsb|value", 0, 0, "lsb: the rate counts steps of store.grid"},
    {"update.rate", "8", S, check_rate, NULL, 0, 0, "learning rate; behind it cosine:END, warmup:Ns or warmup:Ne"},
    {"update.rate-factor", "none", 0, check_choice, "none|deviation", 0, 0, "deviation: less of a rate for layers whose rounded errors point elsewhere (scale direction)"},
    {"update.momentum", "0", S, check_factor, NULL, 0, 0, "mu of sgd, 0 to 1"},
    {"update.nesterov", "no", 0, check_choice, "no|yes", 0, 0, "sgd: look ahead"},
    {"update.weight-decay", "0", S, check_factor, NULL, 0, 0, "0 to 1, times the weight into the gradient"},
    {"update.beta1", "0.9", 0, check_factor, NULL, 0, 0, "adam"},
    {"update.beta2", "0.999", 0, check_factor, NULL, 0, 0, "adam"},
    {"update.epsilon", "1e-8", 0, check_scalar, NULL, 0, 0, "adam"},
    SITE("momentum", LS),
    SITE("second", LS),
    SITE("decay", LS),

    {"loss-scale.mode", "none", 0, check_choice, "none|constant|dynamic", 0, 0, "factor of the error at the output, taken off the gradient again"},
    {"loss-scale.value", "1", 0, check_scalar, NULL, 0, 0, "the factor; of dynamic the first one"},
    {"loss-scale.trigger", "nonfinite", 0, check_trigger, NULL, 0, 0, "what skips a step: nonfinite, or saturated:SHARE of a tensor"},
    {"loss-scale.growth", "2 after 2000s", 0, check_growth, NULL, 0, 0, "dynamic: factor after so many good steps"},
    {"loss-scale.backoff", "0.5", 0, check_factor, NULL, 0, 0, "dynamic: factor after a skipped step"},
    {"loss-scale.floor", "1", 0, check_scalar, NULL, 0, 0, "dynamic: least scale"},

    ACCUMULATOR("accumulator"),
    ACCUMULATOR("accumulator.forward"),
    {"accumulator.forward.order", "kh-kw-c", LS, check_choice, "kh-kw-c", 0, 0, "order of the additions, where it decides bits"},
    ACCUMULATOR("accumulator.error"),
    {"accumulator.error.order", "kh-kw-c", LS, check_choice, "kh-kw-c", 0, 0, "likewise"},
    ACCUMULATOR("accumulator.gradient"),
    {"accumulator.gradient.order", "n-oh-ow", LS, check_choice, "n-oh-ow|oh-ow-n", 0, 0, "likewise"},

    {"random.source", "philox", 0, check_choice, "philox|lfsr:16|lfsr:32", 0, 0, "of the rounding words"},
    {"random.lane", "32", 0, check_choice, "8|16|32", 0, 0, "bits of a rounding's word"},
    {"random.init", "seed", 0, check_seed, NULL, 0, 0, "seed of the initial weights"},
    {"random.order", "seed", 0, check_seed, NULL, 0, 0, "seed of the order of the images"},
    {"random.augment", "seed", 0, check_seed, NULL, 0, 0, "seed of the augmentation"},
    {"random.round", "seed", 0, check_seed, NULL, 0, 0, "seed of the roundings"},

    {"stats.every", "1e", 0, check_period, "es", 0, 0, "period of stats.csv"},
    {"stats.kind", "counts", 0, check_choice, "counts|full|none", 0, 0, "what stats.csv holds; full: SQNR, cosine and bias of each site too"},
};

const FxKey *fx_key(int i) {
    return i < (int)(sizeof keys / sizeof keys[0]) ? &keys[i] : NULL;
}

const FxKey *fx_key_find(const char *path) {
    for (int i = 0; fx_key(i); i++)
        if (!strcmp(keys[i].path, path))
            return &keys[i];
    return NULL;
}

int fx_key_parent(char parent[FX_PATH], const char *path) {
    static const char prefix[] = "accumulator.";
    size_t length = strlen(prefix);
    const char *part = strrchr(path, '.');
    for (int i = 0; fx_site_info(i); i++) {
        const FxSiteInfo *site = fx_site_info(i);
        if (site->parent && (size_t)(part - path) == strlen(site->name) && !strncmp(path, site->name, strlen(site->name))) {
            snprintf(parent, FX_PATH, "%s%s", site->parent, part);
            return 1;
        }
    }
    if (strncmp(path, prefix, length) || part < path + length || !strcmp(part, ".order"))
        return 0;
    snprintf(parent, FX_PATH, "accumulator%s", part);
    return 1;
}
