#include "formats/cpu.h"

#include <stddef.h>
#include <string.h>

typedef struct Level {
    const char *name;
    unsigned flags;
} Level;

static const Level levels[] = {
    {"scalar", FX_CPU_SCALAR},
    {"avx2", FX_CPU_AVX2},
    {"avx512", FX_CPU_AVX2 | FX_CPU_AVX512},
    {"avx512vnni", FX_CPU_AVX2 | FX_CPU_AVX512 | FX_CPU_VNNI},
};
enum { LEVEL_COUNT = sizeof levels / sizeof levels[0] };

unsigned fx_cpu_detect(void) {
    unsigned cpu = FX_CPU_SCALAR;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        cpu |= FX_CPU_AVX2;
    if ((cpu & FX_CPU_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        cpu |= FX_CPU_AVX512;
    if ((cpu & FX_CPU_AVX512) && __builtin_cpu_supports("avx512vnni"))
        cpu |= FX_CPU_VNNI;
#endif
    return cpu;
}

const char *fx_cpu_level(int i) {
    return i < LEVEL_COUNT ? levels[i].name : NULL;
}

const char *fx_cpu_name(unsigned cpu) {
    const char *name = levels[0].name;
    for (int i = 0; i < LEVEL_COUNT; i++)
        if ((levels[i].flags & cpu) == levels[i].flags)
            name = levels[i].name;
    return name;
}

int fx_cpu_parse(unsigned *cpu, const char *name, FxError *err) {
    unsigned present = fx_cpu_detect();
    if (!strcmp(name, "auto")) {
        *cpu = present;
        return 0;
    }
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(name, levels[i].name))
            continue;
        if ((levels[i].flags & present) != levels[i].flags)
            return fx_fail(err, FX_EXIT_USAGE, "--cpu %s: this machine has %s at most", name, fx_cpu_name(present));
        *cpu = levels[i].flags;
        return 0;
    }
    return fx_fail(err, FX_EXIT_USAGE, "--cpu \"%s\": known: auto scalar avx2 avx512 avx512vnni", name);
}
