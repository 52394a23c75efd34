#include "bench/peak.h"

#include "formats/cpu.h"
#include "layers/gemm_kernel.h"

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

static void *aligned(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL) {
        fprintf(stderr, "bench: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
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
                char *panels = aligned(32768);
                memset(panels, 1, 32768);
                char *c = aligned(FX_GEMM_TILE_BYTES);
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
