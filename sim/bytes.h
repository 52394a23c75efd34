// Little-endian numbers in files, whatever the machine's order.
#ifndef FX_BYTES_H
#define FX_BYTES_H

#include <stddef.h>
#include <stdint.h>

// The low `bytes` bytes of x.
static inline void fx_put_le(unsigned char *to, uint64_t x, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(x >> 8 * i);
}

static inline uint64_t fx_get_le(const unsigned char *from, size_t bytes) {
    uint64_t x = 0;
    for (size_t i = 0; i < bytes; i++)
        x |= (uint64_t)from[i] << 8 * i;
    return x;
}

#endif
