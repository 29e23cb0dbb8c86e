/* Numbers of fixed size, little-endian, made from the table in mregion.h. */
#include <endian.h>

#include "client/mregion.h"

/* Turns a number as this machine has it into the stored form, or back. */
static void swap_to_little_endian(unsigned char *bytes, size_t size)
{
#if __BYTE_ORDER == __BIG_ENDIAN
    for (size_t i = 0; i < size / 2; i++) {
        unsigned char byte = bytes[i];

        bytes[i] = bytes[size - 1 - i];
        bytes[size - 1 - i] = byte;
    }
#else
    (void)bytes;
    (void)size;
#endif
}

#define DEFINE_NUMBER(name, type)                                                                  \
    int mregion_add_##name(struct mregion *connection, const char *region, type value,             \
                           uint64_t *ret_address, struct mregion_error *error)                     \
    {                                                                                              \
        swap_to_little_endian((unsigned char *)&value, sizeof value);                              \
        return mregion_add(connection, region, &value, sizeof value, ret_address, error);          \
    }                                                                                              \
                                                                                                   \
    int mregion_load_##name(struct mregion *connection, const char *region, uint64_t address,      \
                            type *ret_value, struct mregion_error *error)                          \
    {                                                                                              \
        type value;                                                                                \
        int code = mregion_load(connection, region, address, sizeof value, &value, error);         \
                                                                                                   \
        if (code != MREGION_OK)                                                                    \
            return code;                                                                           \
        swap_to_little_endian((unsigned char *)&value, sizeof value);                              \
        *ret_value = value;                                                                        \
        return MREGION_OK;                                                                         \
    }                                                                                              \
                                                                                                   \
    int mregion_store_##name(struct mregion *connection, const char *region, uint64_t address,     \
                             type value, struct mregion_error *error)                              \
    {                                                                                              \
        swap_to_little_endian((unsigned char *)&value, sizeof value);                              \
        return mregion_store(connection, region, address, &value, sizeof value, error);            \
    }                                                                                              \
                                                                                                   \
    int mregion_remove_##name(struct mregion *connection, const char *region, uint64_t address,    \
                              type *ret_value, struct mregion_error *error)                        \
    {                                                                                              \
        type value;                                                                                \
        int code = mregion_remove(connection, region, address, sizeof value, &value, error);       \
                                                                                                   \
        if (code != MREGION_OK)                                                                    \
            return code;                                                                           \
        swap_to_little_endian((unsigned char *)&value, sizeof value);                              \
        *ret_value = value;                                                                        \
        return MREGION_OK;                                                                         \
    }

MREGION_NUMBERS(DEFINE_NUMBER)
