// Bodies of the inner loops of maps. Included once by the file of each instruction set, which defines
// FX_MAP_KERNELS_TABLE and FX_MAP_KERNELS_CPU; the compiler makes the vectors. Integers only.
#include "layers/map_kernels.h"

#include <string.h>

#define NAME(name) name##_8
#define SUM int32_t
#define CODE int8_t
#include "layers/map_kernels_loops.h"
#undef NAME
#undef SUM
#undef CODE

#define NAME(name) name##_16
#define SUM int64_t
#define CODE int16_t
#include "layers/map_kernels_loops.h"
#undef NAME
#undef SUM
#undef CODE

const FxMapKernels FX_MAP_KERNELS_TABLE = {FX_MAP_KERNELS_CPU, pool_row_8, unpool_row_8, relu_8, relu_back_8,
                                           pool_row_16, unpool_row_16, relu_16, relu_back_16};
