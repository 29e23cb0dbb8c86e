#include "support_token.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT 99

struct token_id token_id(uint64_t number)
{
    struct token_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static uint8_t *answer(uint64_t number, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    ck_assert_ptr_nonnull(bytes);
    drive_pattern(bytes, size, number);
    return bytes;
}

int token_find(struct region *region, uint64_t number, size_t size, uint64_t *ret_ticket)
{
    struct token_id id = token_id(number);
    struct err err;
    const uint8_t *result = NULL;
    size_t got = 0;
    int found = region_token_find(region, id.bytes, FINGERPRINT, &result, &got, ret_ticket, &err);
    if (found != REGION_FOUND)
        return found;
    uint8_t *expected = answer(number, size);
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(result, expected, size);
    free(expected);
    return found;
}

int token_find_as(struct region *region, uint64_t number, uint64_t fingerprint, struct err *err)
{
    struct token_id id = token_id(number);
    const uint8_t *result;
    size_t size;
    uint64_t ticket;
    return region_token_find(region, id.bytes, fingerprint, &result, &size, &ticket, err);
}

int token_try_add(struct region *region, uint64_t number, size_t size, const void *blob,
                  uint64_t blob_size, struct err *err)
{
    struct token_id id = token_id(number);
    uint64_t address;
    int code = region_token_expect(region, size, err);
    if (code == 0)
        code = region_add(region, blob, blob_size, &address, err);
    if (code != 0)
        return code;
    uint8_t *bytes = answer(number, size);
    region_token_keep(region, id.bytes, FINGERPRINT, bytes, size);
    free(bytes);
    return 0;
}

struct adding {
    uint64_t number;
    size_t size;
    const void *blob;
    uint64_t blob_size;
};

static int stage(struct region *region, void *context, struct err *err)
{
    const struct adding *a = context;
    return token_try_add(region, a->number, a->size, a->blob, a->blob_size, err);
}

uint64_t token_add(struct region *region, uint64_t number, size_t size, const void *blob,
                   uint64_t blob_size)
{
    struct adding adding = {number, size, blob, blob_size};
    struct err err;
    int code = drive_until(region, stage, &adding, &err);
    ck_assert_msg(code == 0, "%s: %s", err_name(err.code), err.text);
    return region_ticket(region);
}
