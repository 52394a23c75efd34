// fxsim explain: everything a recipe comes to for a network, as lines "layer key = value"; --diff: the lines that the
// overrides change.
#include "layers/norm_f32.h"
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
    return fx_node_has_site(node, info->site) && (info->parent ? s->is_set : s->on || info->site <= FX_SITE_STORE || info->site == FX_SITE_LOGITS);
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

static void explain_site(Facts *f, const FxPhase *phase, const FxNode *node, FxSite site) {
    const FxSiteConfig *s = &phase->layers[node->id - 1].site[site];
    char text[FX_QUANTISER_TEXT];
    if (s->on)
        fx_quantiser_print(text, &s->q);
    fact(f, "%s %s = %s", node->name.name, fx_site(site)->name, s->on ? text : "none");
}

// What reads or feeds a node: its name, or of a map that of what it stands above.
static const char *name_of(const FxNet *net, int node) {
    const FxNode *n = node < 0 ? NULL : &net->nodes[node];
    return n && n->layer.ops->role == FX_ROLE_MAP ? n->owner < 0 ? "image" : net->nodes[n->owner].name.name : n ? n->name.name : "image";
}

// Why a norm computes in floats.
static void norm_reason(char *text, size_t size, const FxConfig *c, int index) {
    static const FxSite sites[] = {FX_SITE_PREACT, FX_SITE_PREACT_ERROR, FX_SITE_NORM_GAMMA, FX_SITE_NORM_BETA};
    snprintf(text, size, "float32 (%s)", "something else in the recipe carries floats");
    for (int i = 0; i < 4; i++) {
        FxType type = fx_carrier(c, index, sites[i], NULL);
        if (type == FX_INT8 || type == FX_INT16)
            continue;
        snprintf(text, size, "float32 (%s is no signed fixed grid of 8 to 16 bits)", fx_site(sites[i])->name);
        return;
    }
}

static void explain_norm(Facts *f, FxRun *run, const FxPhase *phase, const FxNode *node) {
    static const char *const kinds[] = {[FX_NORM_L2] = "l2", [FX_NORM_L1] = "l1", [FX_NORM_RANGE] = "range", [FX_NORM_SHIFT] = "shift"};
    static const char *const laws[] = {[FX_NORM_PAPER] = "paper", [FX_NORM_CODE] = "code", [FX_NORM_EXACT_D2] = "exact_d2"};
    const FxNormNode *norm = node->norm;
    const FxNormRule *r = &norm->rule;
    const char *name = node->name.name;
    char why[160] = "integers (preact, preact-error, gamma and beta are 8 or 16 bits)";
    if (!norm->integers)
        norm_reason(why, sizeof why, &run->config, node->id - 1);
    fact(f, "%s norm = %s of %s, %d channels of %zu elements, in %s", name, kinds[r->kind], name_of(&run->net, node->input), node->layer.out.c, r->nominal, why);
    if (r->kind == FX_NORM_RANGE)
        fact(f, "%s range = %d chunks, constant %s = %.9g", name, r->chunks, laws[r->constant], norm->integers ? ldexp(norm->range_constant, -16)
             : (double)fx_norm_range_constant_f32(r->constant, r->nominal, r->chunks));
    if (norm->integers)
        fact(f, "%s integers = floor %d, dead channels %s, reciprocal %s, division %s, fraction %d, %s profile", name, r->floor, r->keep_dead ? "kept" : "zero",
             fx_recipe_text(&run->recipe, "norm.reciprocal"), r->hardware_division ? "hardware" : "exact", r->fraction, r->int32_profile ? "int32" : "int64");
    if (r->average_pytorch)
        fact(f, "%s average = 0.1 of the new, variances over n - 1", name);
    else
        fact(f, "%s average = 2^-%d of the %s", name, r->average_shift, r->average_old ? "old" : "new");
    fact(f, "%s backward = %s", name, r->detach ? "detach" : "exact");
    for (int i = 0; fx_site_info(i); i++)
        if (fx_node_has_site(node, fx_site_info(i)->site) && fx_site_info(i)->site != FX_SITE_SUM_ERROR)
            explain_site(f, phase, node, fx_site_info(i)->site);
    for (int which = 0; which < 2; which++) {
        const FxNode *p = &norm->parameter[which];
        const FxSite own[] = {which ? FX_SITE_NORM_BETA : FX_SITE_NORM_GAMMA, p->gradient_site, p->store_site};
        for (int i = 0; i < 3; i++)
            explain_site(f, phase, p, own[i]);
        if (!run->config.update.lsb)
            fact(f, "%s update = %s, no weight decay", p->name.name, p->updates_integers ? "integer" : "float32");
    }
}

static void explain_add(Facts *f, const FxRun *run, const FxPhase *phase, const FxNode *node) {
    const FxNet *net = &run->net;
    const int from[] = {node->input, node->shortcut};
    const FxTensor *sum = node->sum.data ? &node->sum : &node->y;
    for (int k = 0; k < 2; k++) {
        const FxTensor *rounded = k ? &node->x_grad : &node->x, *x = rounded->data ? rounded : &net->nodes[from[k]].y;
        fact(f, "%s operand %d = %s, %s, %s", node->name.name, k + 1, name_of(net, from[k]), rounded->data ? "rounded at preact" : "exact", fx_type_name(x->type));
    }
    fact(f, "%s add = in %s, to %s", node->name.name, fx_type_name(sum->type), fx_type_name(node->y.type));
    explain_site(f, phase, node, FX_SITE_SUM);
    explain_site(f, phase, node, FX_SITE_PREACT_ERROR);
}

static void explain_fork(Facts *f, const FxRun *run, const FxPhase *phase, const FxNode *node) {
    char readers[512] = "";
    for (int k = 0; k < node->reader_count; k++)
        snprintf(readers + strlen(readers), sizeof readers - strlen(readers), "%s%s", k ? " " : "", run->net.nodes[node->readers[k]].layer.ops->role == FX_ROLE_MAP
                 ? run->net.nodes[node->readers[k]].layer.ops->name : name_of(&run->net, node->readers[k]));
    fact(f, "%s readers = %s; their errors add up in %s", node->name.name, readers, fx_type_name(node->fork.type));
    explain_site(f, phase, node, FX_SITE_SUM_ERROR);
}

// What stands between the products.
static void explain_node(Facts *f, FxRun *run, const FxPhase *phase, const FxNode *node) {
    const FxLayer *l = &node->layer;
    if (l->ops->role == FX_ROLE_NORM)
        explain_norm(f, run, phase, node);
    if (l->ops->role == FX_ROLE_ADD)
        explain_add(f, run, phase, node);
    if (l->ops == &fx_gap_ops)
        fact(f, "%s GAP = mean of %dx%d positions, %s", name_of(&run->net, node->input), l->in.h, l->in.w,
             node->y.type == FX_FLOAT32 ? "float32" : l->gain < 0 && INT64_C(1) << -l->gain == (int64_t)l->in.h * l->in.w ? "exact" : "8 bits behind the point, halves up");
    if (fx_node_is_fork(node) && node->owner >= 0)
        explain_fork(f, run, phase, node);
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
    for (int i = 0; i < run->net.count; i++) {
        const FxNode *node = &run->net.nodes[i];
        if (node->layer.ops->role == FX_ROLE_PRODUCT)
            explain_layer(f, run, phase, node->id - 1);
        explain_node(f, run, phase, node);
    }
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
