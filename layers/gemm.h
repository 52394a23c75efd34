// Integer matrix products: c[m][n] = sum over k of a(m, k) * b(n, k), exact.
//
// An operand is a matrix view (FxMatrix) of a tensor in n h w c order; packing reads through the view, so a
// convolution is a product whose left operand is packed straight from the image (im2col without a matrix).
// The framework owns blocking, packing, edges and threads; a kernel computes one full tile from packed panels.
#ifndef FX_GEMM_H
#define FX_GEMM_H

#include "formats/tensor.h"
#include "layers/work.h"

#include <stdbool.h>

// A matrix of positions x patch, both seen in row-major order: position = (image, oy, ox), patch = (ky, kx, ch).
// Element = data[image][iy][ix][ch], or 0 where (iy, ix) is outside the image (or off the stride), with
//   gather = false:  iy = oy * stride - pad + ky            (forward taps; ix likewise)
//   gather = true:   iy = (oy + pad - ky) / stride, 0 where stride does not divide  (taps of the error product)
typedef struct FxMatrix {
    const void *data;
    FxType type; // FX_INT8, FX_UINT8 (codes 0..255), FX_INT16, FX_INT32
    int images, height, width, channels;
    int out_height, out_width;
    int kernel_height, kernel_width, stride, pad;
    bool gather;
    bool patch_rows; // false: a row is a position, k runs along the patch. true: the other way round
} FxMatrix;

// rows x columns, contiguous, row-major; k runs along the columns, or along the rows where k_is_row.
FxMatrix fx_matrix_plain(const void *data, FxType type, int rows, int columns, bool k_is_row);
size_t fx_matrix_rows(const FxMatrix *a);
size_t fx_matrix_k(const FxMatrix *a);

// Copies the part [position0, position0 + positions) x [patch0, patch0 + patches) into out, row-major, stride
// out_stride elements, in the operand's own type. The im2col of packing; also for ordered accumulators and tests.
void fx_matrix_patches(void *out, size_t out_stride, const FxMatrix *a, size_t position0, size_t positions,
                       size_t patch0, size_t patches);

typedef struct FxProduct {
    FxMatrix a, b; // a: m rows, b: n rows, the same k
    void *c;       // m x n, row-major, overwritten
    FxType c_type; // FX_INT32 or FX_INT64; the caller has proved that every sum fits
} FxProduct;

// Bytes of work->scratch that fx_gemm needs for this product, threads and cpu (pointers are not read). Not monotone: a
// smaller batch or fewer threads may need more, so whoever plans asks for each that will run.
size_t fx_gemm_scratch(const FxProduct *product, const FxWork *work);

// Any operand types. int8, uint8 and int16 operands run in int32 tiles so short that their sums are exact (a second
// int16 operand as 256 * high + low), which are added in c's type; int32 operands run in int64 scalar code. The result
// never depends on work. A large c is written faster where it is 64-byte aligned and n is a multiple of 16.
void fx_gemm(const FxProduct *product, const FxWork *work);

#endif
