// step_dump DIRECTORY STEPS KEY=VALUE...: trains lenet by the recipe fp32 on made-up images, 16 a batch, and leaves every
// tensor of every step in DIRECTORY/STEP.LAYER.WHAT as raw float32, the labels in DIRECTORY/STEP.labels as bytes; prints
// the numbers of the optimiser and the loss of each step. Another program can then compute the same steps.
#include "formats/cpu.h"
#include "sim/feed.h"
#include "sim/input.h"
#include "sim/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16, IMAGES = 64, SIDE = 28, LAYERS = 16 };

typedef struct Place {
    const char *directory;
    int step;
} Place;

static void write_file(const Place *place, const char *name, const void *data, size_t bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%d.%s", place->directory, place->step, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) {
        fprintf(stderr, "step_dump: cannot write %s\n", path);
        exit(1);
    }
}

static void dump(void *user, const FxNode *node, const char *what, const FxTensor *t) {
    char name[64];
    snprintf(name, sizeof name, "%d.%s", node->id, what);
    if (t->type == FX_FLOAT32)
        write_file(user, name, t->data, t->count * sizeof(float));
}

// Strokes that the class turns, and grains that it does not.
static FxDataset made_up(void) {
    static uint8_t pixels[IMAGES * SIDE * SIDE], labels[IMAGES];
    FxDataset data = {.name = "made up", .height = SIDE, .width = SIDE, .channels = 1, .classes = 10};
    for (int i = 0; i < IMAGES; i++) {
        int label = i * 7 % 10;
        labels[i] = (uint8_t)label;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                FxRng rng = {9, (uint32_t)i, 0};
                int stroke = (x * (label + 1) + y * (10 - label) + i) % 32 < 9 ? 190 : 15;
                pixels[(i * SIDE + y) * SIDE + x] = (uint8_t)(stroke + (int)(fx_rng_word(rng, (uint64_t)(y * SIDE + x)) >> 26));
            }
    }
    data.train = data.test = (FxImages){IMAGES, pixels, labels};
    return data;
}

static int fail(const FxError *err) {
    fprintf(stderr, "step_dump: %s\n", err->text);
    return (int)err->exit_code;
}

static double number(FxScalar s) {
    return ldexp(s.mantissa, s.exponent);
}

int main(int argc, char **argv) {
    FxRecipe recipe = {0};
    FxConfig config = {0};
    FxNet net = {0};
    FxFeed feed = {0};
    FxLayerName names[LAYERS];
    FxWarnings warnings = {{0}};
    FxError err = {0};
    FxDataset data = made_up();
    if (argc < 3)
        return 2;
    if (fx_recipe_load(&recipe, "fp32", &err) || fx_recipe_override(&recipe, "run.batch=16", "step_dump", &err))
        return fail(&err);
    for (int i = 3; i < argc; i++)
        if (fx_recipe_override(&recipe, argv[i], "step_dump", &err))
            return fail(&err);
    if (fx_net_build(&net, "lenet", &data, BATCH, fx_recipe_text(&recipe, "run.loss"), &err))
        return fail(&err);
    fx_net_names(&net, names);
    if (fx_config_resolve(&config, &recipe, names, net.product_count, IMAGES, &warnings, &err) ||
        fx_net_plan(&net, &config, 1, fx_cpu_detect(), &err) || fx_feed_init(&feed, &data, &config, &err) ||
        fx_input_values_f32(&net.input_values, config.map, config.mean, config.std, &data, &err) || fx_net_init(&net, &config, &err))
        return fail(&err);
    const FxPhase *phase = fx_config_phase(&config, 0);
    printf("steps %d\nbias %d\nadam %d\nnesterov %d\n", atoi(argv[2]), config.bias, config.update.rule->has_second, config.update.nesterov);
    printf("rate %.17g\nmomentum %.17g\ndecay %.17g\n", number(phase->rate.from), number(phase->momentum), number(phase->decay));
    printf("beta1 %.17g\nbeta2 %.17g\nepsilon %.17g\n", number(config.update.beta1), number(config.update.beta2), number(config.update.epsilon));
    for (int i = 0; i < atoi(argv[2]); i++) {
        Place place = {argv[1], i};
        FxTrace trace = {dump, &place};
        FxTotals totals = {0};
        FxStep step = {.net = &net, .config = &config, .step = (uint64_t)i, .images = fx_feed_train(&feed, &net, (uint64_t)i), .totals = &totals,
                       .trace = &trace};
        write_file(&place, "labels", net.batch_labels, (size_t)step.images);
        fx_step_train(&step);
        printf("loss%d %.17g\n", i, fx_loss_total(&totals.loss) / step.images);
    }
    fx_feed_free(&feed);
    fx_config_free(&config);
    fx_net_free(&net);
    fx_recipe_free(&recipe);
    return 0;
}
