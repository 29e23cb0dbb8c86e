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

/* Of nothing and a method's name, which most begin with. */
static uint64_t of_name[METHODS];

static uint64_t add_name(uint64_t before, const char *name)
{
    size_t length = strlen(name);
    uint8_t name_size = (uint8_t)length;
    assert(length <= UINT8_MAX);
    return add(add(before, &name_size, 1), name, length);
}

__attribute__((constructor)) static void fill_names(void)
{
    for (unsigned id = 0; id < METHODS; id++)
        of_name[id] = add_name(0, methods[id].name);
}

uint64_t fingerprint_add(uint64_t before, const struct rpc_call *call)
{
    const struct method *method = &methods[call->method];
    uint64_t sum = before == 0 ? of_name[call->method] : add_name(before, method->name);
    for (unsigned i = method->parameters[0] == 'R' ? 1 : 0; method->parameters[i] != '\0'; i++) {
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
