#include "support_calls.h"

#include <msgpack.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "proto/methods.h"
#include "support_random.h"
#include "support_vault.h"
#include "tests/fuzz/fuzz.h"

#define BLOCKS_MAX 64
#define CHANGES_MAX 12

struct making {
    const struct server *server;
    msgpack_packer packer;
    struct rng rng; /* of what the bytes do not say */
    uint8_t method, region, first, second, size, options;
    bool is_change;                   /* of a batch */
    const struct region_entry *entry; /* that is meant, or NULL */
    struct extent block;              /* in it, that is meant */
};

static const char *const region_names[] = {"main", "b", "c", "main", "x", "y", "none", ""};
/* For regions that are to be called otherwise. */
static const char *const new_names[] = {"x", "y", "x", "y", "main", "b", "c", "no/name"};
static const char *const patterns[] = {
    "*", "max_*", "regions.*,users.*", "backup_dir", "*b*,*", "regions.c.f?", "", "tls_*,nothing,"};
static const char *const user_names[] = {"alice", "bob", "carol", "nobody"};

static const uint32_t sizes[] = {100,   0,     1,     30,    64,    500,    1000,   1500,
                                 2048,  3000,  4000,  4096,  4097,  8192,   10000,  16384,
                                 16400, 20000, 40000, 65000, 65535, 65536,  7,      200,
                                 300,   70000, 90000, 12288, 50000, 131072, 262200, 300000};

static uint32_t size_of(uint8_t byte)
{
    return sizes[byte % (sizeof sizes / sizeof sizes[0])] + byte / 64;
}

static int append(void *data, const char *bytes, size_t size)
{
    memcpy(bytes_add(data, size), bytes, size);
    return 0;
}

/* ---- Parameters ---- */

static void pack_text(struct making *making, const char *text, bool is_bin)
{
    size_t length = strlen(text);
    if (is_bin)
        msgpack_pack_bin_with_body(&making->packer, text, length);
    else
        msgpack_pack_str_with_body(&making->packer, text, length);
}

static void find_block(struct making *making)
{
    struct extent blocks[BLOCKS_MAX];
    size_t count = 0;
    struct err err;
    making->block = (struct extent){making->first * (uint64_t)64, size_of(making->size)};
    if (making->entry == NULL || making->entry->region == NULL)
        return;
    const struct region *region = making->entry->region;
    if (region_allocated_blocks(region, 0, region_size(region), blocks, BLOCKS_MAX, &count, &err) ==
            0 &&
        count > 0)
        making->block = blocks[making->first % count];
}

static void choose_region(struct making *making)
{
    const char *name = region_names[making->region % 8];
    making->entry = regions_find_name(&making->server->regions, name, strlen(name));
    find_block(making);
}

static void pack_region(struct making *making)
{
    if (making->region & 8 && making->entry != NULL)
        msgpack_pack_uint64(&making->packer, making->entry->id);
    else
        pack_text(making, region_names[making->region % 8], making->region & 16);
}

/* Where in the block that is meant, or elsewhere. */
static uint64_t address(const struct making *making)
{
    switch (making->second % 8) {
    case 5:
        return making->block.address + making->second;
    case 6:
        return extent_end(making->block);
    case 7:
        return (uint64_t)1 << making->second / 4;
    default:
        return making->block.address;
    }
}

static uint64_t size_for(const struct making *making)
{
    switch (making->second / 8 % 8) {
    case 4:
        return size_of(making->size);
    case 5:
        return making->block.size / 2;
    case 6:
        return making->block.size + making->size;
    case 7:
        return making->second < 200 ? making->size : UINT64_MAX - making->size;
    default:
        return making->block.size;
    }
}

static uint64_t number_of(const struct making *making, const char *name, size_t length)
{
    uint64_t whole = making->entry != NULL && making->entry->region != NULL
                         ? region_size(making->entry->region)
                         : making->size * (uint64_t)4096;
    if (length == 7 || length == 5)
        if (strncmp(name, "address", length) == 0 || strncmp(name, "start", length) == 0)
            return address(making);
    if (length == 3) /* end */
        return making->second & 32 ? whole : address(making) + making->size * (uint64_t)100;
    if (strncmp(name, "upload", length) == 0)
        return making->server->uploads_next - 1 - making->second % 4;
    if (strncmp(name, "pages", length) == 0)
        return making->second & 32 ? making->second : making->second % 3;
    if (strncmp(name, "header_size", length) == 0)
        return address(making);
    if (strncmp(name, "new_size", length) == 0)
        return size_of(making->size);
    return making->method == METHOD_ALLOCATE ? size_of(making->size) : size_for(making);
}

static void pack_blob(struct making *making)
{
    static uint8_t blob[300064];
    uint32_t size = size_of(making->size);
    if (making->method == METHOD_AUTHENTICATE) {
        pack_text(making, making->first % 3 == 0 ? "wrong" : "secret", making->second & 1);
        return;
    }
    memset(blob, 'a' + making->first % 26, size);
    if (making->region & 32)
        msgpack_pack_str_with_body(&making->packer, blob, size);
    else
        msgpack_pack_bin_with_body(&making->packer, blob, size);
}

/* ---- Batches ---- */

static void pack_parameters(struct making *making, bool has_region);

static void pack_change(struct making *batch)
{
    struct making making = *batch;
    const struct method *method;
    bool has_region = rng_chance(&batch->rng, 20);
    making.is_change = true;
    do
        making.method = (uint8_t)rng_below(&batch->rng, METHODS);
    while (!method_is_change((enum method_id)making.method) && rng_chance(&batch->rng, 97));
    making.first = (uint8_t)rng_next(&batch->rng);
    making.second = rng_chance(&batch->rng, 90) ? 0 : (uint8_t)rng_next(&batch->rng);
    making.size = rng_chance(&batch->rng, 90) ? (uint8_t)rng_below(&batch->rng, 12)
                                              : (uint8_t)rng_next(&batch->rng);
    method = &methods[making.method];
    has_region &= method->parameters[0] == 'R';
    find_block(&making);
    msgpack_pack_array(&making.packer,
                       1 + method->parameter_count - (method->parameters[0] == 'R' && !has_region));
    pack_text(&making, method->name, false);
    pack_parameters(&making, has_region);
}

static void pack_changes(struct making *making)
{
    unsigned count = making->is_change ? 0 : making->first % (CHANGES_MAX + 1);
    msgpack_pack_array(&making->packer, count);
    for (unsigned i = 0; i < count; i++)
        pack_change(making);
}

static const char *name_for(const struct making *making, const char *parameter)
{
    switch (making->method) {
    case METHOD_AUTHENTICATE:
        return user_names[making->region % 4];
    case METHOD_RENAME_REGION:
        return new_names[making->first % 8];
    case METHOD_CONFIG_GET:
        return patterns[making->region % 8];
    default:
        return strncmp(parameter, "backup", 6) == 0 ? vault_names[making->first % VAULT_NAMES]
                                                    : region_names[making->region % 8];
    }
}

static void pack_parameter(struct making *making, char letter, const char *name, size_t length)
{
    switch (letter) {
    case 'R':
        pack_region(making);
        break;
    case 'U':
        msgpack_pack_uint64(&making->packer, number_of(making, name, length));
        break;
    case 'S':
        if (making->second & 1)
            msgpack_pack_nil(&making->packer);
        else
            msgpack_pack_uint64(&making->packer, size_of(making->size));
        break;
    case 'N':
        pack_text(making, name_for(making, name), making->region & 16);
        break;
    case 'B':
        pack_blob(making);
        break;
    default:
        pack_changes(making);
        break;
    }
}

static void pack_parameters(struct making *making, bool has_region)
{
    const struct method *method = &methods[making->method];
    const char *name = method->names;
    for (unsigned i = 0; i < method->parameter_count; i++) {
        size_t length = strcspn(name, ",");
        if (method->parameters[i] != 'R' || has_region)
            pack_parameter(making, method->parameters[i], name, length);
        name += length + (name[length] == ',' ? 2 : 0);
    }
}

/* ---- Options ---- */

static void pack_token(struct making *making)
{
    char id[16] = "the same number";
    id[0] = (char)(making->options >> 5);
    pack_text(making, "token", false);
    msgpack_pack_bin_with_body(&making->packer, id, sizeof id);
}

static void pack_option(struct making *making, const char *key, size_t length)
{
    static const char *const words[] = {"sync",    "interval", "none", "lowest",
                                        "largest", "tight",    "on",   "off"};
    msgpack_pack_str_with_body(&making->packer, key, length);
    if (making->second & 64)
        pack_text(making, words[making->second % 8], false);
    else
        msgpack_pack_uint64(&making->packer, (uint64_t)making->size << making->first % 32);
}

/* One that it knows, if any. */
static void pack_known(struct making *making)
{
    const char *key = methods[making->method].options;
    unsigned which = (making->options >> 5) + (making->region & 64 ? 8 : 0);
    for (unsigned skip = which; skip > 0 && strchr(key, ',') != NULL; skip--)
        key = strchr(key, ',') + 1;
    if (strncmp(key, "token", 5) == 0) {
        msgpack_pack_map(&making->packer, 1);
        pack_token(making);
    } else {
        msgpack_pack_map(&making->packer, 1);
        pack_option(making, key, strcspn(key, ","));
    }
}

static bool has_options(const struct making *making)
{
    return making->options % 4 == 1 || making->options % 8 == 2;
}

void call_append(const struct server *server, struct client *client,
                 const uint8_t bytes[CALL_BYTES], uint32_t id, bool is_notification)
{
    struct making making = {
        .server = server,
        .rng = {get_u32(bytes + 1)},
        .method = bytes[0] % METHODS,
        .region = bytes[1],
        .first = bytes[2],
        .second = bytes[3],
        .size = bytes[4],
        .options = bytes[5],
    };
    const struct method *method = &methods[making.method];
    msgpack_packer_init(&making.packer, &client->to_send, append);
    choose_region(&making);
    msgpack_pack_array(&making.packer, is_notification ? 3 : 4);
    msgpack_pack_int(&making.packer, is_notification ? 2 : 0);
    if (!is_notification)
        msgpack_pack_uint32(&making.packer, id);
    pack_text(&making, method->name, making.options & 8);
    msgpack_pack_array(&making.packer, method->parameter_count + has_options(&making));
    pack_parameters(&making, true);
    if (!has_options(&making))
        return;
    if (making.options % 4 == 1)
        pack_known(&making);
    else
        msgpack_pack_map(&making.packer, 0);
}
