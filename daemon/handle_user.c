/* Who asks, and what he may do. */
#include <sodium.h>

#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/authenticate.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/server.h"

/* What the functions called here may have left of the password below. */
#define STACK_WIPED ((size_t)16 * 1024)

enum outcome handle_AUTHENTICATE(struct call *call)
{
    struct err err;
    enum outcome outcome = HANDLED;
    if (authenticate_begin(call, &err) != 0)
        outcome = call_error(call, &err);
    input_wipe(&call->conn->input, call->size);
    sodium_stackzero(STACK_WIPED);
    return outcome;
}

static void pack_text_or_nil(msgpack_packer *packer, const char *text)
{
    if (text != NULL)
        answer_pack_text(packer, text);
    else
        msgpack_pack_nil(packer);
}

static void pack_grant(msgpack_packer *packer, const struct conf_grant *grant)
{
    msgpack_pack_map(packer, 2);
    answer_pack_text(packer, "regions");
    answer_pack_text(packer, grant->regions);
    answer_pack_text(packer, "access");
    answer_pack_text(packer, access_name(grant->access));
}

static void pack_grants(msgpack_packer *packer, const struct server *server,
                        const struct conf_user *user)
{
    static const struct conf_grant everything = {.regions = "*", .access = ACCESS_ADMIN};
    if (server->conf.users_count == 0) {
        msgpack_pack_array(packer, 1);
        pack_grant(packer, &everything);
        return;
    }
    size_t count = user != NULL ? user->grants_count : 0;
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_grant(packer, &user->grants[i]);
}

enum outcome handle_WHO_AM_I(struct call *call)
{
    const struct identity *identity = &call->conn->identity;
    msgpack_packer packer;
    if (!answer_begin(call->conn, call->envelope.msgid, &packer))
        return HANDLED;
    msgpack_pack_map(&packer, 4);
    answer_pack_text(&packer, "user");
    pack_text_or_nil(&packer, identity->user != NULL ? identity->user->name : NULL);
    answer_pack_text(&packer, "by");
    pack_text_or_nil(&packer, known_by_name(identity->by));
    answer_pack_text(&packer, "peer");
    answer_pack_text(&packer, call->conn->peer);
    answer_pack_text(&packer, "grants");
    pack_grants(&packer, call->server, identity->user);
    return HANDLED;
}
