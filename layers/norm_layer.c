// Norms and additions as the notation sees them; how they compute is in norm.h, norm_f32.h and add.h, and the training step
// calls that. And the map that stands for a norm left out.
#include "layers/layer.h"

#include <string.h>

static int plan_same(FxLayer *l, const char *what, FxError *err) {
    if (l->count >= 0 || l->kernel >= 0 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: it has no numbers: write %s alone", what, l->ops->token);
    l->out = l->in;
    return 0;
}

static void forward(const FxLayer *l, const FxTensor *x, const FxTensor *y, const FxWork *work, FxAccumulatorCounts *counts) {
    (void)l, (void)work, (void)counts;
    if (y->data != x->data)
        memcpy(y->data, x->data, x->count * fx_type_size(x->type));
}

static void backward_data(const FxLayer *l, const FxTensor *e, const FxTensor *dx, const FxWork *work, FxAccumulatorCounts *counts) {
    forward(l, e, dx, work, counts);
}

const FxLayerOps fx_l2_norm_ops = {"BN", "norm", FX_ROLE_NORM, false, "BN: batch norm by the standard deviation", plan_same, NULL, NULL, NULL, NULL};
const FxLayerOps fx_l1_norm_ops = {"L1BN", "norm", FX_ROLE_NORM, false, "L1BN: by the mean deviation", plan_same, NULL, NULL, NULL, NULL};
const FxLayerOps fx_range_norm_ops = {"RBN", "norm", FX_ROLE_NORM, false, "RBN: by the range", plan_same, NULL, NULL, NULL, NULL};
const FxLayerOps fx_shift_norm_ops = {"SBN", "norm", FX_ROLE_NORM, false, "SBN: by shifts alone", plan_same, NULL, NULL, NULL, NULL};
const FxLayerOps fx_add_ops = {"+", "add", FX_ROLE_ADD, false, "+(BODY|SHORTCUT): residual block, an empty shortcut is the identity", plan_same, NULL, NULL,
                               NULL, NULL};
const FxLayerOps fx_gamma_ops = {"", "gamma", FX_ROLE_PARAMETER, false, "", NULL, NULL, NULL, NULL, NULL};
const FxLayerOps fx_beta_ops = {"", "beta", FX_ROLE_PARAMETER, false, "", NULL, NULL, NULL, NULL, NULL};
const FxLayerOps fx_identity_ops = {"", "identity", FX_ROLE_MAP, false, "", plan_same, forward, backward_data, NULL, NULL};

FxNormKind fx_norm_kind_of(const FxLayerOps *ops) {
    return ops == &fx_l1_norm_ops ? FX_NORM_L1 : ops == &fx_range_norm_ops ? FX_NORM_RANGE : ops == &fx_shift_norm_ops ? FX_NORM_SHIFT : FX_NORM_L2;
}
