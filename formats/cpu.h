// Which SIMD variants may run. A set of flags is handed down; there is no hidden global, so that every
// variant can be tested on one machine.
#ifndef FX_CPU_H
#define FX_CPU_H

#include "formats/error.h"

enum {
    FX_CPU_SCALAR = 0,
    FX_CPU_AVX2 = 1,
    FX_CPU_AVX512 = 2, // F, CD, BW, DQ, VL
    FX_CPU_VNNI = 4    // AVX-512 VNNI
};

// What this machine can run.
unsigned fx_cpu_detect(void);

// "auto", "scalar", "avx2", "avx512", "avx512vnni": the flags up to the named level. A level that this
// machine does not have is an error that says what it has.
int fx_cpu_parse(unsigned *cpu, const char *name, FxError *err);

// The name of the highest level in cpu.
const char *fx_cpu_name(unsigned cpu);

// Name of level i, NULL past the last.
const char *fx_cpu_level(int i);

#endif
