#include "core/crc32c.h"

#include <isa-l/crc.h>

/* ISA-L counts bytes in an int. */
#define STRETCH ((size_t)1 << 30)

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    /* ISA-L's function leaves both inversions of the standard to its caller. */
    crc = ~crc;
    while (size > 0) {
        size_t part = size < STRETCH ? size : STRETCH;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)part, crc);
        at += part;
        size -= part;
    }
    return ~crc;
}
