// Which tensors are carried as integer codes and which as float32, and which products, losses and updates therefore run
// on integers. Decided over all phases of a run at once, from the recipe alone.
#ifndef FX_CARRIERS_H
#define FX_CARRIERS_H

#include "sim/config.h"

// A site of layer `index`: the integer type that holds its codes in every phase, or FX_FLOAT32 where some phase has values
// that are no integers of one power-of-two scale. *max (may be NULL): largest magnitude of its codes.
FxType fx_carrier(const FxConfig *config, int index, FxSite site, uint64_t *max);
FxType fx_wider_type(FxType a, FxType b);

// The most that exponents of an error's channels may differ: codes of 9 bits, moved up so far, are codes of 16.
enum { FX_ERROR_SPREAD = 7 };

// Whether a site is not `none` in some phase.
bool fx_is_on(const FxConfig *config, int index, FxSite site);

// Whether a copy exists in some phase.
bool fx_has_copy(const FxConfig *config, int index, FxSite copy);

// Whether what the site input rounds is the map's float32, or its codes.
bool fx_image_is_float(const FxConfig *config);

// The sites that a product reads: the copies where they exist.
FxSite fx_left_site(const FxConfig *config, int index, FxProductKind kind);
FxSite fx_right_site(const FxConfig *config, int index, FxProductKind kind);

// Float: an operand or the accumulator is one of floats.
bool fx_product_is_float(const FxConfig *config, int index, FxProductKind kind);

// The loss runs on integers where outputs and error are integers; the update where store, gradient, momentum and decay are
// fixed grids of constant scale.
bool fx_loss_is_integer(const FxConfig *config);
bool fx_update_is_integer(const FxConfig *config, int index, FxSite store, FxSite gradient);

// A norm runs on integers where its input, its error and its parameters are 8 or 16 bits of power-of-two scales.
bool fx_norm_is_integer(const FxConfig *config, int index);
// Whether a site's integers have an exponent a channel in some phase.
bool fx_has_channels(const FxConfig *config, int index, FxSite site);
// The same of a site that is carried in integers.
bool fx_has_integer_channels(const FxConfig *config, int index, FxSite site);

#endif
