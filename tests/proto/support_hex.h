/* Messages of tests, written in hex with spaces where they help to read. */
#ifndef MREGION_TESTS_SUPPORT_HEX_H
#define MREGION_TESTS_SUPPORT_HEX_H

#include <stddef.h>
#include <stdint.h>

#define HEX_MAX 4096

struct hex {
    uint8_t bytes[HEX_MAX];
    size_t size;
};

/* The bytes of a text such as "94 00 01 a4 'ping' 90": hex digits in pairs, and what stands
 * between single quotes as it is. Fails the test on anything else. */
struct hex hex(const char *text);

#endif
