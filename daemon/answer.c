#include "daemon/answer.h"

#include <assert.h>
#include <string.h>

#include "daemon/conn.h"
#include "proto/pack.h"
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

/* Answers that are complete in a few bytes are put together here, and appended in one go. */
#define SMALL_MAX (RPC_RESULT_HEADER_MAX + PACK_UINT_MAX)

static void send_small(struct conn *conn, const uint8_t *answer, const uint8_t *end)
{
    if (!conn_takes_answers(conn))
        return;
    output_pack(&conn->output, (const char *)answer, (size_t)(end - answer));
    conn_send(conn);
}

void answer_nil(struct conn *conn, uint32_t msgid)
{
    uint8_t answer[SMALL_MAX];
    send_small(conn, answer, pack_nil(answer + rpc_result_header(answer, msgid)));
}

void answer_uint(struct conn *conn, uint32_t msgid, uint64_t number)
{
    uint8_t answer[SMALL_MAX];
    send_small(conn, answer, pack_uint(answer + rpc_result_header(answer, msgid), number));
}

void answer_bool(struct conn *conn, uint32_t msgid, bool value)
{
    uint8_t answer[SMALL_MAX];
    send_small(conn, answer, pack_bool(answer + rpc_result_header(answer, msgid), value));
}

void answer_packed(struct conn *conn, uint32_t msgid, const uint8_t *bytes, size_t size)
{
    uint8_t header[RPC_RESULT_HEADER_MAX];
    if (!conn_takes_answers(conn))
        return;
    output_pack(&conn->output, (const char *)header, rpc_result_header(header, msgid));
    output_pack(&conn->output, (const char *)bytes, size);
    conn_send(conn);
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

int answer_write_to_room(void *data, const char *bytes, size_t size)
{
    struct answer_room *room = data;
    assert(size <= (size_t)(room->limit - room->end));
    memcpy(room->end, bytes, size);
    room->end += size;
    return 0;
}
