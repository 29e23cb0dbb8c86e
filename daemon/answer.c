#include "daemon/answer.h"

#include <string.h>

#include "daemon/conn.h"
#include "proto/rpc.h"

/* What packing returns is not looked at: output.has_failed remembers, and closes the connection. */

bool answer_begin(struct conn *conn, uint32_t msgid, msgpack_packer *packer)
{
    if (!conn_takes_answers(conn))
        return false;
    msgpack_packer_init(packer, &conn->output, output_pack);
    rpc_pack_result(packer, msgid);
    conn_send(conn);
    return true;
}

void answer_nil(struct conn *conn, uint32_t msgid)
{
    msgpack_packer packer;
    if (answer_begin(conn, msgid, &packer))
        msgpack_pack_nil(&packer);
}

void answer_uint(struct conn *conn, uint32_t msgid, uint64_t number)
{
    msgpack_packer packer;
    if (answer_begin(conn, msgid, &packer))
        msgpack_pack_uint64(&packer, number);
}

void answer_bool(struct conn *conn, uint32_t msgid, bool value)
{
    msgpack_packer packer;
    if (!answer_begin(conn, msgid, &packer))
        return;
    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void answer_packed(struct conn *conn, uint32_t msgid, const uint8_t *bytes, size_t size)
{
    msgpack_packer packer;
    if (answer_begin(conn, msgid, &packer))
        output_pack(&conn->output, (const char *)bytes, size);
}

void answer_error(struct conn *conn, uint32_t msgid, const struct err *err)
{
    if (!conn_takes_answers(conn))
        return;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &conn->output, output_pack);
    rpc_pack_error(&packer, msgid, err);
    conn_send(conn);
}

void answer_pack_text(msgpack_packer *packer, const char *text)
{
    size_t length = strlen(text);
    msgpack_pack_str(packer, length);
    msgpack_pack_str_body(packer, text, length);
}
