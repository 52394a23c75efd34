#include <immintrin.h>

#define VECTOR __m512i
#define LANES 8
#define STARTS {0, 4, 1, 5, 2, 6, 3, 7}
#define MUL _mm512_mul_epu32
#define XOR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define HIGH(a) _mm512_srli_epi64(a, 32)
#define SET1(a) _mm512_set1_epi64((long long)(a))
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, a) _mm512_storeu_si512(p, a)
#define ADD _mm512_add_epi64
#define PAIR(a, b) _mm512_mask_shuffle_epi32(a, 0xAAAA, b, _MM_PERM_CCAA)
#define FIRST _mm512_unpacklo_epi64
#define SECOND _mm512_unpackhi_epi64
#include "formats/philox_simd.h"
#include "formats/units_avx512.h"

#define FX_KERNELS_PHILOX philox_simd
#define FX_KERNELS_UNITS(name) name##_avx512
#define FX_KERNELS_TABLE fx_kernels_avx512
#define FX_KERNELS_NAME "avx512"
#define FX_KERNELS_CPU FX_CPU_AVX512
#include "formats/kernels_body.h"
