#include "daemon/fingerprint.h"

#include <assert.h>
#include <isa-l/crc64.h>
#include <string.h>

#include "core/bytes.h"

static uint64_t add(uint64_t before, const void *bytes, size_t size)
{
    /* ISA-L inverts before and after, as the standard wants it. */
    return crc64_ecma_refl(before, bytes, size);
}

static uint64_t add_number(uint64_t before, uint64_t number)
{
    uint8_t bytes[8];
    put_u64(bytes, number);
    return add(before, bytes, sizeof bytes);
}

uint64_t fingerprint_add(uint64_t before, const struct rpc_call *call)
{
    const struct method *method = &methods[call->method];
    size_t length = strlen(method->name);
    uint8_t name_size = (uint8_t)length;
    assert(length <= UINT8_MAX && method->parameters[0] == 'R');
    uint64_t sum = add(before, &name_size, 1);
    sum = add(sum, method->name, length);
    for (unsigned i = 1; method->parameters[i] != '\0'; i++) {
        const struct rpc_param *param = &call->params[i];
        if (method->parameters[i] == 'B') {
            sum = add_number(sum, param->size);
            sum = add(sum, param->bytes, param->size);
        } else {
            sum = add_number(sum, param->number);
        }
    }
    return sum;
}
