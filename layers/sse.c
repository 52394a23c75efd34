#include "layers/loss.h"

#include <assert.h>

static int plan(FxLayer *l, const char *what, FxError *err) {
    if (l->kernel >= 0 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write the number of classes alone, as 10SSE", what);
    l->out = l->in;
    return 0;
}

void fx_answers_count(const FxTensor *out, const uint8_t *labels, int classes, FxAnswers *answers) {
    size_t n = out->count / (size_t)classes;
    for (size_t i = 0; i < n; i++) {
        int best = 0, equal = 1;
        int64_t top = fx_tensor_get(out, i * (size_t)classes);
        for (int c = 1; c < classes; c++) {
            int64_t z = fx_tensor_get(out, i * (size_t)classes + (size_t)c);
            equal = z > top ? 1 : equal + (z == top);
            best = z > top ? c : best;
            top = z > top ? z : top;
        }
        answers->wrong += best != labels[i];
        answers->ties += equal > 1;
    }
}

void fx_sse(const FxTensor *out, const uint8_t *labels, int classes, int64_t one, const FxTensor *e, FxAnswers *answers) {
    size_t n = out->count / (size_t)classes;
    assert(out->count == n * (size_t)classes && (!e || e->count == out->count));
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < classes; c++) {
            size_t at = i * (size_t)classes + (size_t)c;
            int64_t d = fx_tensor_get(out, at) - (c == labels[i] ? one : 0);
            uint64_t m = d < 0 ? 0 - (uint64_t)d : (uint64_t)d;
            answers->loss += (unsigned __int128)m * m;
            if (e)
                fx_tensor_set(e, at, d);
        }
    fx_answers_count(out, labels, classes, answers);
}

const FxLayerOps fx_sse_ops = {"SSE", "sse", FX_ROLE_LOSS, true, "nSSE: n outputs, sum of squared errors", plan, NULL, NULL, NULL, NULL};
