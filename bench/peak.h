// What the machine can do, measured in the same run as what is compared with it.
#ifndef FX_BENCH_PEAK_H
#define FX_BENCH_PEAK_H

// Seconds of the monotonic clock.
double fx_bench_now(void);

// Median of n numbers; sorts them.
double fx_bench_median(double *x, int n);

// Best GMAC/s of vpdpbusd on registers, or of the best tile on panels in the first cache; on that many threads.
double fx_bench_peak(unsigned cpu, int threads);

// Best GMAC/s of float32 fused multiply-adds on registers, or of the scalar tile; on that many threads.
double fx_bench_peak_f32(unsigned cpu, int threads);

#endif
