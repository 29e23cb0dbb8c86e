#include "daemon/rest.h"

#include <malloc.h>
#include <stdbool.h>

#include "daemon/commit.h"
#include "daemon/regions.h"
#include "daemon/server.h"

/* How often it looks whether there was work. */
#define REST_MS 1000

static uint64_t events(const struct server *server)
{
    uint64_t gone = server->conns_total - server->conns_count;
    return server->requests_total + server->conns_total + gone;
}

void rest_init(struct server *server)
{
    uv_timer_init(&server->loop, &server->rest.timer);
    server->rest.timer.data = server;
    server->rest.events = events(server);
}

/* Whether none of them has been changed since the last time, and none has anything to finish. */
static bool rest_regions(struct server *server)
{
    bool are_quiet = true;
    struct region_entry *entry, *next;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    {
        uint64_t ticket = region_ticket(entry->region);
        bool is_quiet = ticket == entry->rest_ticket && commit_is_quiet(entry);
        entry->rest_ticket = ticket;
        are_quiet &= is_quiet;
        if (is_quiet)
            region_rest(entry->region);
    }
    return are_quiet;
}

static void on_rest(uv_timer_t *timer)
{
    struct server *server = timer->data;
    bool are_quiet = rest_regions(server);
    budget_age_kept(&server->arriving);
    if (!are_quiet || server->rest.events != events(server)) {
        server->rest.events = events(server);
        return;
    }
    uv_timer_stop(timer);
    budget_release_kept(&server->arriving);
    pieces_release(&server->pieces);
    request_cache_release(&server->requests);
    malloc_trim(0);
}

void rest_watch(struct server *server)
{
    if (server->rest.events != events(server) &&
        !uv_is_active((const uv_handle_t *)&server->rest.timer))
        uv_timer_start(&server->rest.timer, on_rest, REST_MS, REST_MS);
}
