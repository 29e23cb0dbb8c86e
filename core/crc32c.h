/* CRC32C (Castagnoli), the checksum of every structure on disk. */
#ifndef MREGION_CORE_CRC32C_H
#define MREGION_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what crc covers already, followed by size bytes; 0 to begin with. So
 * crc32c(crc32c(0, a), b) is the checksum of a and b together, and crc32c(0, "123456789", 9) is
 * the standard's 0xe3069283. Any thread. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
