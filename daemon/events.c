#include "daemon/events.h"

#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"

/* What is told besides the region: a number or a text, or neither. */
struct event {
    const char *name;
    const char *key;
    const char *text; /* NULL: the number */
    uint64_t number;
};

static void pack(struct conn *conn, const struct event *event, const char *region, uint64_t id)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, &conn->output, output_pack);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint8(&packer, 2);
    answer_pack_text(&packer, "event");
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, 3U + (event->key != NULL) + (conn->events_lost > 0));
    answer_pack_text(&packer, "event");
    answer_pack_text(&packer, event->name);
    answer_pack_text(&packer, "region");
    answer_pack_text(&packer, region);
    answer_pack_text(&packer, "id");
    msgpack_pack_uint64(&packer, id);
    if (event->key != NULL) {
        answer_pack_text(&packer, event->key);
        if (event->text != NULL)
            answer_pack_text(&packer, event->text);
        else
            msgpack_pack_uint64(&packer, event->number);
    }
    if (conn->events_lost > 0) {
        answer_pack_text(&packer, "lost");
        msgpack_pack_uint64(&packer, conn->events_lost);
        conn->events_lost = 0;
    }
    conn_send(conn);
}

/* Users may have come, and grants may be others, since it has subscribed. Once the peer has sent
 * its last, what it asked for is all that it gets: TLS may have said the end already, behind which
 * nothing goes out. */
static bool may_hear_anything(const struct conn *conn)
{
    bool is_known = conn->server->conf.users_count == 0 || conn->identity.user != NULL;
    return is_known && conn->state == CONN_OPEN;
}

static void give(struct conn *conn, const struct event *event, const char *region, uint64_t id)
{
    if (conn->output.pending >= EVENTS_UNREAD)
        conn->events_lost++;
    else
        pack(conn, event, region, id);
}

static void tell(const struct region_entry *entry, const struct event *event)
{
    struct server *server = entry->server;
    if (!server->has_subscribers)
        return;
    server->has_subscribers = false; /* unless there is one left */
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next) {
        if (!conn->is_subscribed)
            continue;
        server->has_subscribers = true;
        if (may_hear_anything(conn) && access_sees(conn, entry))
            give(conn, event, entry->name, entry->id);
    }
}

void events_created(const struct region_entry *entry)
{
    tell(entry, &(struct event){.name = "created"});
}

void events_dropped(const struct region_entry *entry)
{
    tell(entry, &(struct event){.name = "dropped"});
}

/* Who may see it by one of its names only has lost it, or got it. */
static void tell_renamed(struct conn *conn, const struct region_entry *entry, const char *before)
{
    bool sees_before = access_sees_name(conn, before), sees_it = access_sees(conn, entry);
    if (sees_before && sees_it)
        give(conn, &(struct event){.name = "renamed", .key = "before", .text = before}, entry->name,
             entry->id);
    else if (sees_before)
        give(conn, &(struct event){.name = "dropped"}, before, entry->id);
    else if (sees_it)
        give(conn, &(struct event){.name = "created"}, entry->name, entry->id);
}

void events_renamed(const struct region_entry *entry, const char *before)
{
    if (!entry->server->has_subscribers)
        return;
    for (struct conn *conn = entry->server->conns; conn != NULL; conn = conn->next)
        if (conn->is_subscribed && may_hear_anything(conn))
            tell_renamed(conn, entry, before);
}

void events_read_only(const struct region_entry *entry, const struct err *failure)
{
    tell(entry, &(struct event){.name = "read_only", .key = "failure", .text = failure->text});
}

void events_corrupt(const struct region_entry *entry, const struct region_finding *finding)
{
    tell(entry, &(struct event){.name = "corrupt", .key = "page", .number = finding->address});
}

void events_more_corrupt(const struct region_entry *entry, uint64_t count)
{
    tell(entry, &(struct event){.name = "corrupt", .key = "pages", .number = count});
}

void events_checkpoint(const struct region_entry *entry, uint64_t us)
{
    tell(entry, &(struct event){.name = "checkpoint", .key = "duration_us", .number = us});
}

enum outcome handle_SUBSCRIBE(struct call *call)
{
    call->conn->is_subscribed = true;
    call->server->has_subscribers = true;
    return call_nil(call);
}
