#include "layers/layer.h"

#include <assert.h>
#include <string.h>

const char *const fx_product_names[FX_PRODUCTS] = {"forward", "error", "gradient"};

static const FxLayerOps *const table[] = {&fx_conv_ops, &fx_fc_ops, &fx_max_pool_ops, &fx_gap_ops, &fx_relu_ops, &fx_dropout_ops, &fx_l2_norm_ops, &fx_l1_norm_ops,
                                          &fx_range_norm_ops, &fx_shift_norm_ops, &fx_add_ops, &fx_sse_ops, &fx_softmax_ops, &fx_niti_ops};

const FxLayerOps *fx_layer_ops(int i) {
    return i < (int)(sizeof table / sizeof table[0]) ? table[i] : NULL;
}

const FxLayerOps *fx_layer_find(const char *token) {
    for (int i = 0; fx_layer_ops(i); i++)
        if (!strcmp(table[i]->token, token))
            return table[i];
    return NULL;
}

FxShape fx_shape_images(FxShape shape, int n) {
    shape.n = n;
    return shape;
}

int fx_layer_images(const FxTensor *t, FxShape shape) {
    size_t image = fx_shape_count(fx_shape_images(shape, 1));
    assert(t->count % image == 0);
    return (int)(t->count / image);
}
