#include "sim/input.h"

#include "formats/round.h"
#include "sim/carriers.h"
#include "sim/cast.h"

#include <string.h>

int64_t fx_input_code(FxInputMap map, const FxGrid *grid, int p, bool *saturated) {
    int f = grid->fraction;
    int64_t code = 0, high = fx_grid_high(grid), low = fx_grid_low(grid);
    int64_t d = 2 * (int64_t)p - 255, m = d < 0 ? -d : d;
    FxRoundArg none = {0};
    switch (map) {
    case FX_MAP_WAGE_127_5:
        code = ((m << (f + 1)) + 255) / 510;
        code = d < 0 ? -code : code;
        break;
    case FX_MAP_WAGE_128:
        code = fx_round(&fx_round_modes[FX_ROUND_NEAREST_EVEN], p - 128, 7 - f, 0, 0, &none);
        break;
    case FX_MAP_UNIT:
        code = (((int64_t)p << (f + 1)) + 255) / 510;
        break;
    case FX_MAP_MEAN_STD: // is no map to codes
        break;
    }
    *saturated = code < low || code > high;
    return code < low ? low : code > high ? high : code;
}

// What a byte becomes, and what its fate is called.
typedef struct ByteTable {
    int64_t code[256];
    uint8_t saturated[256], at_limit[256], zero_in[256];
    const uint8_t *bytes;
    const FxTensor *codes;
    int exponent;
} ByteTable;

static void input_range(void *context, size_t first, size_t n, FxStats *stats) {
    const ByteTable *t = context;
    FxStats part = {.n = n};
    int8_t *codes8 = t->codes->type == FX_INT8 ? t->codes->data : NULL;
    for (size_t i = first; i < first + n; i++) {
        uint8_t p = t->bytes[i];
        if (codes8)
            codes8[i] = (int8_t)t->code[p];
        else
            fx_tensor_set(t->codes, i, t->code[p]);
        part.saturated += t->saturated[p];
        part.at_limit += t->at_limit[p];
        part.zeros_in += t->zero_in[p];
        part.zeros_out += t->code[p] == 0;
    }
    part.underflowed = part.zeros_out - part.zeros_in;
    fx_stats_max(&part, fx_kernels(FX_CPU_SCALAR)->max_abs(fx_tensor_at(t->codes, first), t->codes->type, n), t->exponent);
    fx_stats_add(stats, &part);
}

bool fx_input_is_direct(const FxConfig *config) {
    bool direct = !fx_image_is_float(config);
    for (int i = 0; i < config->phase_count; i++)
        direct &= fx_site_is_constant(&config->phases[i].layers[0].site[FX_SITE_INPUT]);
    return direct;
}

typedef struct ImageContext {
    const FxNet *net;
    int32_t code[256];
} ImageContext;

static void image_range(void *context, size_t first, size_t n, FxStats *stats) {
    const ImageContext *c = context;
    const FxNet *net = c->net;
    (void)stats;
    if (net->image.type == FX_FLOAT32) {
        fx_input_look_up_f32(net->image.data, net->batch_pixels, first, n, net->input_values.data, (size_t)net->shape.c);
        return;
    }
    for (size_t i = first; i < first + n; i++)
        ((int32_t *)net->image.data)[i] = c->code[net->batch_pixels[i]];
}

// The map's numbers, so fine that a second rounding decides as one of the exact map would, then the site's quantiser, and its copy for the first gradient product.
static void round_image(const FxStep *s, FxTensor *codes) {
    FxNet *net = s->net;
    FxNode *first = fx_net_product(net, 0);
    ImageContext context = {.net = net};
    const FxGrid fine = {.bits = 26, .fraction = 24, .is_signed = true};
    bool ignored;
    for (int p = 0; p < 256; p++)
        context.code[p] = (int32_t)fx_input_code(s->config->map, &fine, p, &ignored);
    FxTensor image = net->image;
    image.count = codes->count;
    image.exponent = image.type == FX_FLOAT32 ? 0 : -24;
    fx_work_ranges(&net->work, image.count, image_range, &context, NULL);
    FxSource source = {.x = &image};
    fx_site_cast(s, first, FX_SITE_INPUT, &source, codes);
    net->image_codes.exponent = first->x.exponent = codes->exponent;
    if (!net->image_grad.data || s->evaluation)
        return;
    FxTensor copy = net->image_grad;
    copy.count = codes->count;
    fx_site_cast(s, first, FX_SITE_ACTIVATION_GRAD, &source, &copy);
    first->x_grad.exponent = copy.exponent;
}

void fx_input_codes(const FxStep *s, FxTensor *codes) {
    FxNet *net = s->net;
    if (net->image.data) {
        round_image(s, codes);
        return;
    }
    FxSiteState *state = &fx_net_product(net, 0)->site[FX_SITE_INPUT];
    const FxGrid *grid = &fx_step_phase(s)->layers[0].site[FX_SITE_INPUT].q.grid;
    ByteTable table = {.bytes = net->batch_pixels, .codes = codes, .exponent = -grid->fraction};
    FxStats stats = {0};
    for (int p = 0; p < 256; p++) {
        bool saturated;
        table.code[p] = fx_input_code(s->config->map, grid, p, &saturated);
        table.saturated[p] = saturated;
        table.at_limit[p] = table.code[p] == fx_grid_low(grid) || table.code[p] == fx_grid_high(grid);
        table.zero_in[p] = s->config->map == FX_MAP_UNIT ? p == 0 : s->config->map == FX_MAP_WAGE_128 && p == 128;
    }
    fx_work_ranges(&net->work, codes->count, input_range, &table, &stats);
    codes->exponent = net->image_codes.exponent = -grid->fraction;
    fx_net_product(net, 0)->x.exponent = codes->exponent;
    if (s->evaluation)
        return;
    state->exponent = codes->exponent;
    state->chosen = 1;
    fx_stats_add(&state->stats, &stats);
    fx_stats_add(&state->last, &stats);
    s->totals->saturated += stats.saturated;
}
