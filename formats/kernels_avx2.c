#include <immintrin.h>

#define VECTOR __m256i
#define LANES 4
#define STARTS {0, 2, 1, 3}
#define MUL _mm256_mul_epu32
#define XOR3(a, b, c) _mm256_xor_si256(_mm256_xor_si256(a, b), c)
#define HIGH(a) _mm256_srli_epi64(a, 32)
#define SET1(a) _mm256_set1_epi64x((long long)(a))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, a) _mm256_storeu_si256((__m256i *)(p), a)
#define ADD _mm256_add_epi64
#define PAIR(a, b) _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xAA)
#define FIRST _mm256_unpacklo_epi64
#define SECOND _mm256_unpackhi_epi64
#include "formats/philox_simd.h"

#define FX_KERNELS_PHILOX philox_simd
#define FX_KERNELS_TABLE fx_kernels_avx2
#define FX_KERNELS_NAME "avx2"
#define FX_KERNELS_CPU FX_CPU_AVX2
#include "formats/kernels_body.h"
