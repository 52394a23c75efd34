// A run that starts from weights that another program made.
#ifndef FX_IMPORT_WEIGHTS_H
#define FX_IMPORT_WEIGHTS_H

#include "sim/run.h"

// Replaces the initial weights of a prepared run. path: a .npz with an array LAYER.weights for each product layer (layout kh kw ci co, or
// in out), in a net with biases LAYER.bias, and for each norm NORM.gamma and NORM.beta, as norm3.gamma; NORM.running.mean and .scale may be
// left out, then they begin anew: of floats as they are stored, of integers with NORM.running.exponent, one number. Or a directory of such
// .npy files; or one of `fxsim dump --trace`, whose
// LAYER.store.after (.bias) then count. Floats are values, rounded to nearest by the store's quantiser and held to its clip; integers are
// the store's codes and must fit it. text: what was read, for the run's file "parent". Errors: exit code 4, 2 where the recipe looks for
// ranges first.
int fx_import_weights(FxRun *run, const char *path, char text[256], FxError *err);

#endif
