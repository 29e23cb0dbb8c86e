/* The daemon: its loop, and everything that belongs to it.
 *
 * One turn of the loop: sockets are read and their requests staged; workers' results come in and
 * answer requests; then, before the loop waits again, server_turn runs whoever has something to
 * do, starts the commits that have gathered and sends the answers. */
#ifndef MREGION_DAEMON_SERVER_H
#define MREGION_DAEMON_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "conf/conf.h"
#include "core/io.h"
#include "core/store.h"
#include "daemon/admin.h"
#include "daemon/audit.h"
#include "daemon/authenticate.h"
#include "daemon/backup.h"
#include "daemon/budget.h"
#include "daemon/certificates.h"
#include "daemon/http.h"
#include "daemon/input.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/origin.h"
#include "daemon/output.h"
#include "daemon/regions.h"
#include "daemon/reload.h"
#include "daemon/request.h"
#include "daemon/rest.h"
#include "daemon/sandbox.h"
#include "daemon/stats.h"
#include "daemon/worker.h"
#include "proto/tls.h"

struct arguments;
struct conn;

enum server_phase {
    SERVER_STARTING,
    SERVER_RUNNING,
    SERVER_DRAINING,   /* asked to stop: finishing what has arrived */
    SERVER_CHECKPOINT, /* no connections left: writing checkpoints, for a quick start next time */
    SERVER_STOPPED,    /* closing handles */
};

/* What was refused or ended since the start, as serverInfo tells it. */
struct counters {
    uint64_t connections_refused;   /* when they came */
    uint64_t connections_failed;    /* for what they sent */
    uint64_t connections_timed_out; /* for what they did not send, or not take */
    uint64_t requests_failed;       /* answered with an error; notifications too */
    uint64_t accept_pauses;
};

struct server {
    uv_loop_t loop;
    enum server_phase phase;
    bool is_hurried; /* a second signal: no checkpoints, no waiting for those who do not read */
    const struct arguments *arguments;
    struct conf conf; /* what holds now */

    struct io *io;
    struct store *store;
    struct workers workers;
    bool has_workers; /* they run */
    struct sandbox sandbox;
    struct regions regions;
    struct admin admin;
    struct backups_service backups;
    struct users_means means;
    struct authenticator authenticator;
    struct audit audit;
    struct reload reload;

    struct http http;
    struct listener *listeners;
    bool has_subscribers;  /* to events; or had some the last time */
    bool accepting_pauses; /* for want of file descriptors */
    struct conn *conns;    /* in the order in which they came */
    struct roll *rolls;    /* that go through them */
    uint64_t conns_count;
    uint64_t conns_total;
    uint64_t requests_total;
    struct counters counters;
    struct stats stats;
    uint64_t authentications;         /* that went well */
    uint64_t authentication_failures; /* that did not */
    uint64_t refusals;                /* of what a user, or nobody, may not do */
    uint64_t uploads_count;           /* that are open */
    uint64_t uploads_next;            /* handle */
    struct conn *ready;               /* to be run this turn, in order of waking */
    struct conn **ready_last;
    struct conn *dirty; /* with output to send */
    struct conn *later; /* to go on in the next iteration, in order */
    struct conn **later_last;
    uint64_t iteration; /* of the loop */

    struct origins origins;
    struct budget budget;
    struct budget arriving; /* the part of it of messages that are not whole yet */
    struct pieces pieces;
    uint64_t holds_ms; /* when a load could not hold its pages for what others hold, as uv_now; 0 */
    struct request_cache requests;
    uint8_t scratch[SCRATCH_SIZE];
    struct certificates certificates; /* of new TLS connections */
    struct tls_pool tls_pool;
    uint8_t tls_scratch[SCRATCH_SIZE]; /* what they read, encrypted */
    uint64_t tls_reads;                /* in this iteration */
    uint64_t tls_active;               /* in the one before: how many have something to do */

    struct log_limit accept_limit; /* what peers can have logged at will */
    struct log_limit refuse_limit;
    struct log_limit pause_limit;
    struct log_limit late_limit;
    struct log_limit fail_limit;
    struct log_limit damage_limit;

    uint64_t started_ms;
    uint64_t drain_deadline_ms; /* before that no unsent answers are given up */
    uv_idle_t idle;             /* runs while there are such */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t sweep;
    struct rest rest;
    uv_timer_t timeouts;
    uv_timer_t watchdog;
    uv_signal_t signals[3];
};

/* Something waits that only the clock ends: conn_sweep and the like are due for a while. */
void server_sweep_soon(struct server *server);

/* A load could not hold its pages, because others hold too many. */
void server_note_holds(struct server *server);
/* A connection may pass a timeout: conn_check_time is due now and then. */
void server_watch_time(struct server *server);

/* Somebody is in the list of those that go on later: the loop does not wait for sockets then. */
void server_go_round(struct server *server);

/* Runs the daemon until it is told to stop. Takes over *conf and *certificates. The exit code. */
int server_run(struct conf *conf, struct certificates *certificates,
               const struct arguments *arguments);

/* A monotonic clock in milliseconds, as region_next_job wants it. */
static inline uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

#endif
