// fxsim explain: everything a recipe comes to for a network, as lines "layer key = value"; --diff: the lines that the
// overrides change.
#include "sim/command.h"
#include "sim/net_sums.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fx_usage_explain(FILE *out) {
    fx_usage_options(out);
    fprintf(out, "  --%-18s %s\n", "diff", "only what differs from the recipe without the options");
}

// Lines of text that grow; out of memory is said once at the end.
typedef struct Facts {
    char *text;
    size_t size, used;
    bool failed;
} Facts;

static void fact(Facts *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fact(Facts *f, const char *format, ...) {
    char line[1024];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line - 1, format, list);
    va_end(list);
    size_t length = n < (int)sizeof line - 1 ? (size_t)n : sizeof line - 2;
    line[length++] = '\n';
    line[length] = 0;
    if (f->used + length + 1 > f->size) {
        size_t size = f->size ? 2 * f->size : 1 << 14;
        char *grown = realloc(f->text, size);
        if (!grown) {
            f->failed = true;
            return;
        }
        f->text = grown;
        f->size = size;
    }
    memcpy(f->text + f->used, line, length + 1);
    f->used += length;
}

// Why a product adds up floats, or does not.
static void reason(char *text, size_t size, const FxConfig *c, int index, FxProductKind kind) {
    const FxSite sites[] = {fx_left_site(c, index, kind), fx_right_site(c, index, kind)};
    const FxAccumulator *acc = &c->phases[0].layers[index].accumulator[kind];
    for (int i = 0; i < 2; i++)
        if (fx_carrier(c, index, sites[i], NULL) == FX_FLOAT32) {
            snprintf(text, size, "float (%s has no codes of one power-of-two scale)", fx_site(sites[i])->name);
            return;
        }
    snprintf(text, size, fx_product_is_float(c, index, kind) ? "float (accumulator %s)" : "integer (fixed x fixed grids)",
             acc->inner.kind == FX_ACC_FP32 ? "fp32" : "of floats");
}

static void explain_product(Facts *f, const FxConfig *config, const FxNode *node, const FxLayerConfig *c, FxProductKind kind) {
    const FxLayer *l = &node->layer;
    const FxAccumulator *acc = &c->accumulator[kind];
    size_t positions = (size_t)l->out.h * (size_t)l->out.w, terms = fx_product_terms(l, kind);
    FxOperands o = fx_operands(node, kind);
    char inner[FX_POLICY_TEXT], outer[FX_POLICY_TEXT], why[160], bound[96] = "";
    if (kind == FX_ERROR && node->name.first)
        return;
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    reason(why, sizeof why, config, node->id - 1, kind);
    if (o.sums->type != FX_FLOAT32)
        snprintf(bound, sizeof bound, " of at most %llu need %d bits", (unsigned long long)l->max_product[kind], fx_product_bits(l, kind));
    fact(f, "%s %s product = %s: %s x %s, %zu products%s; sums in %s, %zu bytes read, %zu multiply-adds an image", node->name.name,
         fx_product_names[kind], why, fx_type_name(o.left->type), fx_type_name(o.right->type), terms, bound, fx_type_name(o.sums->type),
         o.left->count * fx_type_size(o.left->type) + o.right->count * fx_type_size(o.right->type), l->weights * positions);
    fact(f, "%s accumulator.%s = %s, group %d, chunk %d, outer %s, shift %d", node->name.name, fx_product_names[kind], inner, acc->group,
         acc->chunk, acc->chunk ? outer : "none", acc->shift);
}

// Sites that a layer has; of copies and of what optimisers keep only those that are set.
static bool is_shown(const FxSiteConfig *s, const FxSiteInfo *info, const FxNode *node) {
    return fx_site_of(info->site, &node->name) && (info->parent ? s->is_set : s->on || info->site <= FX_SITE_STORE || info->site == FX_SITE_LOGITS);
}

static void explain_layer(Facts *f, const FxRun *run, const FxPhase *phase, int index) {
    const FxNode *node = fx_net_product(&run->net, index);
    const FxLayer *l = &node->layer;
    const FxLayerConfig *c = &phase->layers[index];
    const char *name = node->name.name;
    char text[FX_QUANTISER_TEXT];
    size_t macs = l->weights * (size_t)l->out.h * (size_t)l->out.w;
    fact(f, "%s shape = %dx%dx%d to %dx%dx%d, window %d, stride %d, padding %d", name, l->in.h, l->in.w, l->in.c, l->out.h,
         l->out.w, l->out.c, l->kernel, l->stride, l->pad);
    if (l->bias.count)
        fact(f, "%s biases = %zu, %s", name, l->bias.count, fx_type_name(l->bias.type));
    fact(f, "%s weights = %zu (fan-in %zu, alpha %d), %zu bytes kept, %zu multiply-adds an image forward", name, l->weights,
         l->fan_in, 1 << node->alpha, l->weights * fx_type_size(node->store.type), macs);
    for (int i = 0; fx_site_info(i); i++) {
        const FxSiteInfo *site = fx_site_info(i);
        const FxSiteConfig *s = &c->site[site->site];
        if (!is_shown(s, site, node))
            continue;
        if (s->on)
            fx_quantiser_print(text, &s->q);
        fact(f, "%s %s = %s%s", name, site->name, s->on ? text : "none", s->on && s->clip ? ", clip mask" : "");
    }
    fact(f, "%s error.at = %s, gamma %d", name, c->error_before_masks ? "before-masks" : "between-masks", 1 << c->error_lower);
    if (c->store_limit < INT64_MAX)
        fact(f, "%s store.clip = %.9g (%lld steps)", name, ldexp((double)c->store_limit, c->site[FX_SITE_STORE].q.scale.parameter[0] - c->site[FX_SITE_STORE].q.grid.fraction),
         (long long)c->store_limit);
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        explain_product(f, &run->config, node, c, (FxProductKind)kind);
    if (!run->config.update.lsb)
        fact(f, "%s update = %s", name, node->updates_integers ? "integer (store, gradient and momentum are fixed grids of constant scale)" : "float32");
}

// Whether the text holds this line, its newline included. *near: where the search begins and comes round again, left behind
// what was found: lines of two texts mostly have one order.
static bool has_line(const char *text, const char **near, const char *line, size_t length) {
    const char *p = text && *near ? *near : text;
    size_t n;
    for (size_t left = text ? strlen(text) : 0; left > 0; left -= n, p += n) {
        if (!*p)
            p = text;
        n = (size_t)(strchr(p, '\n') - p) + 1;
        if (n == length && !memcmp(p, line, n)) {
            *near = p + n;
            return true;
        }
    }
    return false;
}

static void explain_phase(Facts *f, FxRun *run, const FxPhase *phase) {
    FxScalar rate = fx_rate_at(&phase->rate, phase->start);
    fact(f, "update.rate = %d * 2^%d = %.17g (in %s)", (int)rate.mantissa, (int)rate.exponent, ldexp(rate.mantissa, rate.exponent), fx_recipe_text(&run->recipe, "update.rate-unit"));
    if (phase->momentum.mantissa)
        fact(f, "update.momentum = %.9g", ldexp(phase->momentum.mantissa, phase->momentum.exponent));
    if (phase->decay.mantissa)
        fact(f, "update.weight-decay = %.9g", ldexp(phase->decay.mantissa, phase->decay.exponent));
    fact(f, "augment = pad %d, flip %s", phase->augment.pad, phase->augment.flip ? "yes" : "no");
    for (int i = 0; i < run->net.product_count; i++)
        explain_layer(f, run, phase, i);
}

// Of later phases only what changes.
static void explain_changes(Facts *f, const Facts *before, const Facts *after, uint64_t start) {
    const char *near = NULL;
    for (const char *p = after->text; p && *p; p += strcspn(p, "\n") + 1) {
        size_t n = strcspn(p, "\n");
        if (!has_line(before->text, &near, p, n + 1))
            fact(f, "from step %llu: %.*s", (unsigned long long)start, (int)n, p);
    }
}

static void explain_run(Facts *f, FxRun *run) {
    const FxConfig *c = &run->config;
    fact(f, "net = %s", run->net.notation);
    fact(f, "data = %s, %zu training images, %zu test images, %dx%dx%d", run->data.name, c->train_images, run->data.test.count,
         run->data.height, run->data.width, run->data.channels);
    fact(f, "batch = %d, %llu steps an epoch, %llu epochs, %llu steps", c->batch, (unsigned long long)c->steps_per_epoch,
         (unsigned long long)c->epochs, (unsigned long long)c->total_steps);
    fact(f, "random = %s, lane %d, seed %llu (init %llu, order %llu, augment %llu, round %llu)", c->source->name, c->lane_bits,
         (unsigned long long)c->seed, (unsigned long long)c->seed_init, (unsigned long long)c->seed_order,
         (unsigned long long)c->seed_augment, (unsigned long long)c->seed_round);
    fact(f, "input.map = %s", fx_recipe_text(&run->recipe, "input.map"));
    fact(f, "init = %s, floor %s", fx_recipe_text(&run->recipe, "init.law"), fx_recipe_text(&run->recipe, "init.floor"));
    fact(f, "loss = %s, in %s", run->net.loss->name, run->net.loss_error.type == FX_FLOAT32 ? "float32" : "integers");
    fact(f, "update.rule = %s%s", c->update.rule->name, c->update.nesterov ? ", nesterov" : "");
    if (c->sums_errors)
        fact(f, "update.rate and weight-decay = for the batch's sum: the rate is divided by %d, the decay multiplied", c->batch);
    FxLossScale scale = fx_loss_scale_start(&c->loss_scaling);
    if (c->loss_scaling.on)
        fact(f, "loss-scale = %s, %.9g, skips a step on %s", fx_recipe_text(&run->recipe, "loss-scale.mode"),
             ldexp((double)scale.mantissa, (int)scale.exponent), fx_recipe_text(&run->recipe, "loss-scale.trigger"));
    if (c->ranges.epochs)
        fact(f, "init.ranges = %llu epochs with overflow grids of %d bits come first", (unsigned long long)c->ranges.epochs, c->ranges.bits);
    fact(f, "memory = %.1f MB of buffers, data set aside", (double)run->net.memory.size / 1e6);
    Facts before = {0};
    for (int p = 0; p < c->phase_count; p++) {
        Facts after = {0};
        explain_phase(&after, run, &c->phases[p]);
        if (p == 0)
            for (const char *line = after.text; line && *line; line += strcspn(line, "\n") + 1)
                fact(f, "%.*s", (int)strcspn(line, "\n"), line);
        else
            explain_changes(f, &before, &after, c->phases[p].start);
        f->failed |= after.failed;
        free(before.text);
        before = after;
    }
    free(before.text);
}

static int collect(Facts *f, FxOptions *o, FxError *err) {
    FxRun run = {0};
    FxWarnings warnings = {{0}};
    if (fx_run_prepare(&run, &o->recipe, &warnings, err))
        return -1;
    explain_run(f, &run);
    for (const char *p = warnings.text; *p; p += strcspn(p, "\n") + 1)
        fact(f, "warning = %.*s", (int)strcspn(p, "\n"), p);
    fx_run_free(&run);
    return f->failed ? fx_fail_memory(err, "explain", f->size) : 0;
}

static int print_missing(const char *mark, const char *text, const char *other) {
    const char *near = NULL;
    int lines = 0;
    for (const char *p = text; p && *p; p += strcspn(p, "\n") + 1) {
        size_t n = strcspn(p, "\n");
        if (has_line(other, &near, p, n + 1))
            continue;
        printf("%s %.*s\n", mark, (int)n, p);
        lines++;
    }
    return lines;
}

int fx_command_explain(int argc, char **argv, FxExit *exit_code, FxError *err) {
    FxOptions o, plain;
    Facts with = {0}, without = {0};
    if (fx_options_read(&o, argc, argv, "diff", err))
        return -1;
    bool diff = o.diff;
    // the same data and net without anything else, so that only what the overrides do differs
    char *bare[8] = {argv[0], (char *)(uintptr_t)o.recipe_name}, data[FX_VALUE + 8], net[FX_VALUE + 8];
    snprintf(data, sizeof data, "--data=%s", fx_recipe_text(&o.recipe, "run.data"));
    snprintf(net, sizeof net, "--net=%s", fx_recipe_text(&o.recipe, "run.net"));
    bare[2] = data;
    bare[3] = net;
    int result = collect(&with, &o, err);
    if (result == 0 && diff)
        result = fx_options_read(&plain, 4, bare, "", err);
    if (result == 0 && diff) {
        result = collect(&without, &plain, err);
        fx_options_free(&plain);
    }
    if (result == 0 && diff && print_missing("-", without.text, with.text) + print_missing("+", with.text, without.text) == 0)
        printf("no difference\n");
    if (result == 0 && !diff)
        fputs(with.text, stdout);
    free(with.text);
    free(without.text);
    fx_options_free(&o);
    *exit_code = FX_EXIT_DONE;
    return result;
}
