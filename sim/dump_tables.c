// Tables beside the tensors of a dump: what a step reads besides them, what its sites saw.
#include "sim/dump_parts.h"
#include "sim/net_sums.h"

#include <errno.h>
#include <string.h>

static FILE *beside(FxDump *d, const char *name) {
    char path[FX_VECTOR_PATH + 16];
    snprintf(path, sizeof path, "%s/%s", d->directory, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        d->failed = fx_fail(d->err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno)) != 0;
    return f;
}

static void finish(FxDump *d, FILE *f, const char *name) {
    if (fclose(f) && !d->failed)
        d->failed = fx_fail(d->err, FX_EXIT_RUNTIME, "%s/%s: cannot be written: %s", d->directory, name, strerror(errno)) != 0;
}

// How a product is added up: "exact", "saturate:11", "float:e6m9 chunk 64 outer fp32"; what is left out is the default.
static void print_accumulator(char *text, size_t size, const FxAccumulator *acc) {
    char inner[FX_POLICY_TEXT], outer[FX_POLICY_TEXT], group[24] = "", chunk[FX_POLICY_TEXT + 40] = "", shift[24] = "";
    fx_policy_print(inner, sizeof inner, &acc->inner);
    fx_policy_print(outer, sizeof outer, &acc->outer);
    if (acc->group != 1)
        snprintf(group, sizeof group, " group %d", acc->group);
    if (acc->chunk)
        snprintf(chunk, sizeof chunk, " chunk %d outer %s", acc->chunk, outer);
    if (acc->shift)
        snprintf(shift, sizeof shift, " shift %d", acc->shift);
    snprintf(text, size, "%s%s%s%s", inner, group, chunk, shift);
}

static void write_layer(const FxDump *d, FILE *f, int index) {
    const FxNode *node = fx_net_product(&d->run->net, index);
    const FxLayerConfig *c = &fx_step_phase(&d->step)->layers[index];
    char text[2 * FX_POLICY_TEXT + 96];
    fprintf(f, "%s.log2_alpha,%d\n", node->name.name, node->alpha);
    if (c->store_limit < INT64_MAX)
        fprintf(f, "%s.store_limit,%lld\n", node->name.name, (long long)c->store_limit);
    for (int kind = 0; kind < FX_PRODUCTS; kind++) {
        print_accumulator(text, sizeof text, &c->accumulator[kind]);
        fprintf(f, "%s.accumulator.%s,%s\n", node->name.name, fx_product_names[kind], text);
    }
}

// Windows: of convolutions LAYER.kernel and so on, of pools LAYER.max-pool.kernel.
static void write_windows(const FxDump *d, FILE *f) {
    for (int i = 0; i < d->run->net.count; i++) {
        const FxNode *node = &d->run->net.nodes[i];
        const FxLayer *l = &node->layer;
        if (l->ops != &fx_conv_ops && l->ops != &fx_max_pool_ops)
            continue;
        char name[2 * FX_VECTOR_NAME], pool[FX_VECTOR_NAME];
        fx_dump_map_name(pool, &d->run->net, node, l->ops->name);
        if (l->ops == &fx_conv_ops)
            snprintf(name, sizeof name, "%s", node->name.name);
        else
            snprintf(name, sizeof name, "%s.%s", fx_dump_map_layer(&d->run->net, node), pool);
        fprintf(f, "%s.kernel,%d\n%s.stride,%d\n%s.pad,%d\n", name, l->kernel, name, l->stride, name, l->pad);
    }
}

// How norms compute, and the exponent of the running statistics that integers have before the step.
static void write_norms(const FxDump *d, FILE *f) {
    static const char *const kinds[] = {[FX_NORM_L2] = "l2", [FX_NORM_L1] = "l1", [FX_NORM_RANGE] = "range", [FX_NORM_SHIFT] = "shift"};
    for (int i = 0; i < d->run->net.count; i++) {
        const FxNode *node = &d->run->net.nodes[i];
        const FxNormNode *norm = node->norm;
        if (node->layer.ops->role != FX_ROLE_NORM)
            continue;
        fprintf(f, "%s.kind,%s\n%s.numbers,%s\n", node->name.name, kinds[norm->rule.kind], node->name.name, norm->integers ? "integers" : "float32");
        if (norm->integers && norm->rule.kind == FX_NORM_RANGE)
            fprintf(f, "%s.range_constant,%d\n", node->name.name, norm->range_constant);
        if (norm->integers && norm->running_state[0])
            fprintf(f, "%s.running_exponent,%lld\n", node->name.name, (long long)norm->running_state[1]);
    }
}

void fx_dump_write_step(FxDump *d) {
    const FxRun *run = d->run;
    FxScalar rate = fx_step_rate(&d->step), scale = d->step.loss_scale;
    FILE *f = beside(d, "step.csv");
    if (!f)
        return;
    fprintf(f, "key,value\nrecipe,%s\nnet,%s\nconfig_crc32,%08x\nresults_version,%d\nseed,%llu\n", run->recipe.name, run->net.notation, run->config_crc32,
            FX_RESULTS_VERSION, (unsigned long long)run->config.seed_round);
    fprintf(f, "step,%llu\nimages,%d\nrate_mantissa,%lld\nrate_exponent,%lld\nrate_unit,%s\nloss_scale_mantissa,%lld\nloss_scale_exponent,%lld\n",
            (unsigned long long)d->step.step, d->images, (long long)rate.mantissa, (long long)rate.exponent, run->config.update.lsb ? "lsb" : "value",
            (long long)scale.mantissa, (long long)scale.exponent);
    static const char *const texts[] = {"run.loss", "input.map", "random.source", "random.lane"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        fprintf(f, "%s,%s\n", texts[i], fx_recipe_text(&d->run->recipe, texts[i]));
    for (int p = 0; p < run->net.product_count; p++)
        write_layer(d, f, p);
    write_windows(d, f);
    write_norms(d, f);
    finish(d, f, "step.csv");
}

// After the step: what the sites saw in it.
void fx_dump_write_sites(FxDump *d) {
    FILE *f = beside(d, "sites.csv");
    if (!f)
        return;
    fprintf(f, "layer,site,format,max_abs,max_exponent,exponent,n,saturated,underflowed,zeros_in,zeros_out,at_limit,changed\n");
    for (int k = 0; k < d->run->net.keeper_count; k++)
        for (int i = 0; fx_site_info(i); i++) {
            const FxNode *node = d->run->net.keepers[k];
            const FxSiteConfig *site = &fx_step_phase(&d->step)->layers[node->id - 1].site[fx_site_info(i)->site];
            const FxSiteState *s = &node->site[fx_site_info(i)->site];
            char format[FX_QUANTISER_TEXT] = "";
            if (!site->on || s->last.n == 0)
                continue;
            fx_quantiser_print(format, &site->q);
            fprintf(f, "%s,%s,%s,%llu,%lld,", node->name.name, fx_site_info(i)->name, format, (unsigned long long)s->last.max_abs,
                    (long long)s->last.max_exponent);
            if (s->chosen)
                fprintf(f, "%lld", (long long)s->exponent);
            fprintf(f, ",%llu,%llu,%llu,%llu,%llu,%llu,%llu\n", (unsigned long long)s->last.n, (unsigned long long)s->last.saturated,
                    (unsigned long long)s->last.underflowed, (unsigned long long)s->last.zeros_in, (unsigned long long)s->last.zeros_out,
                    (unsigned long long)s->last.at_limit, (unsigned long long)s->last_changed);
        }
    finish(d, f, "sites.csv");
}
