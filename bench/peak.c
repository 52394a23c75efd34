#include "bench/peak.h"
#include "bench/shapes.h"

#include "formats/cpu.h"
#include "layers/gemm_kernel.h"
#include "layers/gemm_kernel_f32.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 9 };

double fx_bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fx_bench_median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return x[n / 2];
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int vnni_loop(int loops) {
    __m512i sum[24];
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++)
        sum[i] = _mm512_set1_epi32(i);
    const __m512i x = _mm512_set1_epi8((char)loops), y = _mm512_set1_epi8(3);
    for (int l = 0; l < loops; l++)
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], x, y);
            __asm__ volatile("" : "+v"(sum[i]));
        }
#pragma GCC unroll 24
    for (int i = 1; i < 24; i++)
        sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    return _mm512_reduce_add_epi32(sum[0]);
}

__attribute__((target("avx512f"))) static float fma512_loop(int loops) {
    __m512 sum[24];
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++)
        sum[i] = _mm512_set1_ps((float)i);
    const __m512 x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(1.0f);
    for (int l = 0; l < loops; l++)
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            sum[i] = _mm512_fmadd_ps(sum[i], x, y);
            __asm__ volatile("" : "+v"(sum[i]));
        }
#pragma GCC unroll 24
    for (int i = 1; i < 24; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_reduce_add_ps(sum[0]);
}

__attribute__((target("avx2,fma"))) static float fma256_loop(int loops) {
    __m256 sum[12];
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_set1_ps((float)i);
    const __m256 x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(1.0f);
    for (int l = 0; l < loops; l++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            sum[i] = _mm256_fmadd_ps(sum[i], x, y);
            __asm__ volatile("" : "+x"(sum[i]));
        }
#pragma GCC unroll 12
    for (int i = 1; i < 12; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    return _mm256_cvtss_f32(sum[0]);
}
#endif

double fx_bench_peak(unsigned cpu, int threads) {
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double macs = 0;
        const double start = fx_bench_now();
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) reduction(+ : macs)
#endif
        {
#if defined(__x86_64__)
            if (cpu & FX_CPU_VNNI) {
                volatile int keep = vnni_loop(1000000);
                (void)keep;
                macs += 1e6 * 24 * 64;
            } else
#endif
            {
                const FxGemmKernel *kernel = NULL;
                for (int i = 0; fx_gemm_kernel(i); i++)
                    if ((fx_gemm_kernel(i)->cpu & cpu) == fx_gemm_kernel(i)->cpu && (fx_gemm_kernel(i)->left & 1))
                        kernel = fx_gemm_kernel(i);
                char *panels = fx_bench_allocate(32768);
                memset(panels, 1, 32768);
                char *c = fx_bench_allocate(FX_GEMM_TILE_BYTES);
                for (int i = 0; i < 100000; i++)
                    kernel->tile(c, (size_t)kernel->nr, panels, panels + 8192, 64, false);
                macs += 1e5 * 64 * kernel->mr * kernel->nr * kernel->kr;
                free(panels);
                free(c);
            }
        }
        const double rate = macs / (fx_bench_now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

// What one thread does: multiply-adds done.
static double fma_loop(unsigned cpu) {
#if defined(__x86_64__)
    if (cpu & (FX_CPU_AVX512 | FX_CPU_AVX2)) {
        volatile float keep = cpu & FX_CPU_AVX512 ? fma512_loop(1000000) : fma256_loop(1000000);
        (void)keep;
        return cpu & FX_CPU_AVX512 ? 1e6 * 24 * 16 : 1e6 * 12 * 8;
    }
#endif
    (void)cpu;
    const FxKernelF32 *kernel = &fx_gemm_scalar_f32;
    const size_t mr = (size_t)kernel->mr, nr = (size_t)kernel->nr;
    float *panels = fx_bench_allocate(32768);
    for (int i = 0; i < 8192; i++)
        panels[i] = 1;
    const FxTileF32 tile = {.sums = panels + 6144, .sums_step = nr, .a = panels, .a_step = mr, .b = panels + 2048, .k = 128,
                            .rows = kernel->mr, .by_k = true};
    for (int i = 0; i < 10000; i++)
        kernel->tile(&tile);
    free(panels);
    return 1e4 * 128 * (double)(mr * nr);
}

double fx_bench_peak_f32(unsigned cpu, int threads) {
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double macs = 0;
        const double start = fx_bench_now();
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) reduction(+ : macs)
#endif
        macs += fma_loop(cpu);
        const double rate = macs / (fx_bench_now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}
