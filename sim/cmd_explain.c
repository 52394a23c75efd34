// fxsim explain: everything a recipe comes to for a network, as lines "layer key = value"; --diff: the lines that the
// overrides change.
#include "sim/command.h"

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

static int bits_of(unsigned __int128 x) {
    int bits = 1; // the sign
    for (; x; x >>= 1)
        bits++;
    return bits;
}

static void explain_product(Facts *f, const FxNode *node, const FxLayerConfig *c, FxProductKind kind) {
    const FxLayer *l = &node->layer;
    const FxAccumulator *acc = &c->accumulator[kind];
    size_t taps = (size_t)l->kernel * (size_t)l->kernel, positions = (size_t)l->out.h * (size_t)l->out.w;
    size_t k[] = {l->fan_in, taps * (size_t)l->out.c, positions * (size_t)l->out.n};
    const FxTensor *sums = kind == FX_FORWARD ? &node->y : kind == FX_ERROR ? &node->dx : &node->dw;
    const FxTensor *left = kind == FX_ERROR ? &node->e : &node->x, *right = kind == FX_GRADIENT ? &node->e : &l->weight;
    char inner[24], outer[24];
    if (kind == FX_ERROR && node->name.first)
        return;
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    unsigned __int128 bound = (unsigned __int128)k[kind] * l->max_product[kind];
    fact(f, "%s %s product = integer (fixed x fixed grids): %s x %s, %zu products of at most %llu need %d bits; sums in %s",
         node->name.name, fx_product_names[kind], fx_type_name(left->type), fx_type_name(right->type), k[kind],
         (unsigned long long)l->max_product[kind], bits_of(bound), fx_type_name(sums->type));
    fact(f, "%s accumulator.%s = %s, group %d, chunk %d, outer %s, shift %d", node->name.name, fx_product_names[kind], inner, acc->group,
         acc->chunk, acc->chunk ? outer : "none", acc->shift);
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
    fact(f, "%s weights = %zu (fan-in %zu, alpha %d), %zu bytes kept, %zu multiply-adds an image forward", name, l->weights,
         l->fan_in, 1 << node->alpha, l->weights * fx_type_size(node->store.type), macs);
    for (int i = 0; fx_site_info(i); i++) {
        const FxSiteInfo *site = fx_site_info(i);
        const FxSiteConfig *s = &c->site[site->site];
        if (!fx_site_of(site->site, &node->name))
            continue;
        if (s->on)
            fx_quantiser_print(text, &s->q);
        fact(f, "%s %s = %s%s", name, site->name, s->on ? text : "none", s->on && s->clip ? ", clip mask" : "");
    }
    fact(f, "%s error.at = %s, gamma %d", name, c->error_before_masks ? "before-masks" : "between-masks", 1 << c->error_lower);
    fact(f, "%s store.clip = %.9g (%lld steps)", name, ldexp((double)c->store_limit, c->site[FX_SITE_STORE].q.scale.parameter[0] - c->site[FX_SITE_STORE].q.grid.fraction),
         (long long)c->store_limit);
    for (int kind = 0; kind < FX_PRODUCTS; kind++)
        explain_product(f, node, c, (FxProductKind)kind);
}

// Whether the text holds this line.
static bool has_line(const char *text, const char *line, size_t length) {
    for (const char *p = text; p && *p; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") == length && !strncmp(p, line, length))
            return true;
    return false;
}

static void explain_phase(Facts *f, FxRun *run, const FxPhase *phase) {
    FxScalar rate = fx_rate_at(&phase->rate, phase->start);
    fact(f, "update.rate = %d * 2^%d = %.17g (in %s)", (int)rate.mantissa, (int)rate.exponent, ldexp(rate.mantissa, rate.exponent), fx_recipe_text(&run->recipe, "update.rate-unit"));
    fact(f, "augment = pad %d, flip %s", phase->augment.pad, phase->augment.flip ? "yes" : "no");
    for (int i = 0; i < run->net.product_count; i++)
        explain_layer(f, run, phase, i);
}

// Of later phases only what changes.
static void explain_changes(Facts *f, const Facts *before, const Facts *after, uint64_t start) {
    for (const char *p = after->text; p && *p; p += strcspn(p, "\n") + 1) {
        size_t n = strcspn(p, "\n");
        if (!has_line(before->text, p, n))
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
    int lines = 0;
    for (const char *p = text; p && *p; p += strcspn(p, "\n") + 1) {
        size_t n = strcspn(p, "\n");
        if (has_line(other, p, n))
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
