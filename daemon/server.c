#include "daemon/server.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/access.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/files.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/rest.h"
#include "daemon/scrub.h"
#include "daemon/startup.h"

/* How often what only the clock ends is looked at. */
#define SWEEP_MS 250
/* And at least how often what has timeouts of its own, which are longer. */
#define TIMEOUTS_MS 15000

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};

/* ---- One turn ---- */

static void run_ready(struct server *server)
{
    struct conn *conn;
    while ((conn = server->ready) != NULL) {
        server->ready = conn->ready_next;
        if (server->ready == NULL)
            server->ready_last = &server->ready;
        conn->is_ready = false;
        if (conn->state == CONN_CLOSING)
            conn_leave_list(conn);
        else
            conn_run(conn);
    }
}

/* Whether there is room for the first of those who wait for memory. */
static bool may_grant(const struct budget *budget)
{
    return budget->waiting != NULL &&
           budget_fits(budget, budget->waiting, budget->waiting->wait_bytes);
}

/* Those who wait for memory, in their order, as far as it goes. */
static void grant_memory(struct budget *budget)
{
    while (may_grant(budget)) {
        struct conn *conn = budget->waiting;
        budget->is_granting = true;
        conn_unpark(conn);
        conn_run(conn);
        budget->is_granting = false;
        if (conn->wait == CONN_WAITS_MEMORY)
            break;
    }
}

static void flush_dirty(struct server *server)
{
    struct conn *conn;
    while ((conn = server->dirty) != NULL) {
        server->dirty = conn->dirty_next;
        conn->is_dirty = false;
        if (conn->state == CONN_CLOSING)
            conn_leave_list(conn);
        else
            conn_flush(conn);
    }
}

static void advance_stop(struct server *server);

/* Commits start before answers are written: the disk is what everybody waits for. */
static void turn(struct server *server)
{
    do {
        run_ready(server);
        grant_memory(&server->budget);
        grant_memory(&server->arriving);
        commit_pump(server);
        flush_dirty(server);
    } while (server->ready != NULL || server->dirty != NULL || server->regions.touched != NULL ||
             may_grant(&server->budget) ||
             may_grant(&server->arriving)); /* what was sent has left room */
    stats_end_turn(&server->stats);
    rest_watch(server);
    if (server->phase > SERVER_RUNNING)
        advance_stop(server);
}

/* All sockets have been looked at since those gave way. */
static void on_idle(uv_idle_t *idle)
{
    struct server *server = idle->data;
    struct conn *conn, *first = server->later;
    server->later = NULL;
    server->later_last = &server->later;
    uv_idle_stop(idle);
    while ((conn = first) != NULL) {
        first = conn->later_next;
        conn->is_later = false;
        if (conn->state == CONN_CLOSING)
            conn_leave_list(conn);
        else
            conn_go_on(conn);
    }
}

void server_go_round(struct server *server)
{
    if (!uv_is_active((uv_handle_t *)&server->idle))
        uv_idle_start(&server->idle, on_idle);
}

/* After timers and closed handles, before the loop waits. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct server *server = prepare->data;
    server->iteration++;
    server->tls_active = server->tls_reads;
    server->tls_reads = 0;
    turn(server);
}

/* After sockets and workers. */
static void on_check(uv_check_t *check)
{
    turn(check->data);
}

static void on_sweep(uv_timer_t *timer)
{
    struct server *server = timer->data;
    bool is_needed = server->budget.waiting != NULL || server->arriving.waiting != NULL ||
                     server->phase == SERVER_DRAINING;
    struct conn *conn, *next;
    for (conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        is_needed |= conn_sweep(conn, now_ms());
    }
    is_needed |= audit_sweep(server, false);
    listeners_resume(server);
    if (!is_needed && !server->accepting_pauses)
        uv_timer_stop(timer);
}

void server_sweep_soon(struct server *server)
{
    if (!uv_is_active((uv_handle_t *)&server->sweep))
        uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

void server_note_holds(struct server *server)
{
    server->holds_ms = uv_now(&server->loop);
    server_sweep_soon(server);
}

/* How often the timeouts of connections are looked at: a quarter of the shorter one. 0: there are
 * none. */
static uint64_t timeouts_period_ms(const struct conf *conf)
{
    uint64_t idle_ms = conf->idle_timeout_ms, message_ms = conf->message_timeout_ms;
    uint64_t shorter_ms =
        idle_ms > 0 && (message_ms == 0 || idle_ms < message_ms) ? idle_ms : message_ms;
    uint64_t period_ms = shorter_ms / 4;
    if (shorter_ms == 0)
        return 0;
    if (period_ms < SWEEP_MS)
        return SWEEP_MS;
    return period_ms < TIMEOUTS_MS ? period_ms : TIMEOUTS_MS;
}

static void on_timeouts(uv_timer_t *timer)
{
    struct server *server = timer->data;
    bool is_needed = false;
    struct conn *conn, *next;
    for (conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        is_needed |= conn_check_time(conn);
    }
    if (!is_needed)
        uv_timer_stop(timer); /* a server at rest sleeps */
}

void server_watch_time(struct server *server)
{
    uint64_t period_ms = timeouts_period_ms(&server->conf);
    if (period_ms == 0)
        uv_timer_stop(&server->timeouts);
    else if (!uv_is_active((uv_handle_t *)&server->timeouts) ||
             uv_timer_get_repeat(&server->timeouts) != period_ms)
        uv_timer_start(&server->timeouts, on_timeouts, period_ms, period_ms);
}

/* ---- The end, step by step ---- */

/* Nobody waits for hours. */
static void end_long_work(struct server *server)
{
    struct region_entry *entry, *next;
    struct err err;
    err_set(&err, ERR_SHUTTING_DOWN, "the server is stopping, and does not finish the scrub");
    HASH_ITER(by_id, server->regions.ids, entry, next)
    scrub_refuse(entry, &err);
    err_set(&err, ERR_SHUTTING_DOWN, "the server is stopping, and does not finish the backup");
    backup_refuse(server, NULL, &err);
    admin_hurry(&server->admin);
}

static void begin_stop(struct server *server)
{
    server->phase = SERVER_DRAINING;
    server->drain_deadline_ms = now_ms() + DRAIN_MS;
    log_info("stopping: finishing what %" PRIu64 " connection%s sent", server->conns_count,
             server->conns_count == 1 ? " has" : "s have");
    notify_stopping();
    notify_status("finishing requests");
    listeners_close(server);
    end_long_work(server);
    authenticate_hurry(server);
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next)
        conn_end(conn);
    server_sweep_soon(server);
}

static void begin_checkpoints(struct server *server)
{
    server->phase = SERVER_CHECKPOINT;
    notify_status("writing checkpoints");
    struct region_entry *entry, *next;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    {
        struct region_info info;
        struct err err;
        uint64_t ticket;
        region_get_info(entry->region, &info);
        region_hurry(entry->region);
        if (!server->is_hurried && info.journal_bytes > 0 &&
            region_request_checkpoint(entry->region, &ticket, &err) > 0)
            log_warning("region %s: no checkpoint, so the next start replays its journal: %s",
                        entry->name, err.text);
        commit_touch(entry);
    }
}

static bool all_quiet(const struct server *server)
{
    struct region_entry *entry, *next;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    if (!commit_is_quiet(entry))
        return false;
    return true;
}

/* Whether every change is as durable as it will become, so that only checkpoints are unfinished. */
static bool all_durable(const struct server *server)
{
    struct region_entry *entry, *next;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    if (entry->changes != NULL || entry->retries != NULL || entry->reads > 0 ||
        entry->lanes[LANE_COMMIT].job != NULL || !region_is_flushed(entry->region))
        return false;
    return true;
}

static void advance_stop(struct server *server)
{
    if (server->phase == SERVER_DRAINING && server->conns == NULL &&
        admin_is_idle(&server->admin) && authenticator_is_idle(&server->authenticator) &&
        reload_is_idle(&server->reload) && server->backups.removals == NULL) {
        begin_checkpoints(server);
        commit_pump(server);
    }
    if (server->phase != SERVER_CHECKPOINT)
        return;
    if (all_quiet(server)) {
        server->phase = SERVER_STOPPED;
        uv_stop(&server->loop);
    } else if (server->is_hurried && all_durable(server)) {
        log_info("stopped without checkpoints");
        _exit(EXIT_SUCCESS); /* a region whose checkpoint is under way cannot be closed in order */
    }
}

static void on_stop_signal(struct server *server)
{
    if (server->phase == SERVER_RUNNING) {
        begin_stop(server);
    } else if (!server->is_hurried) {
        log_info("asked again to stop: no checkpoints");
        server->is_hurried = true;
        server->drain_deadline_ms = 0;
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;
    if (number == SIGHUP)
        reload_start(server);
    else
        on_stop_signal(server);
}

/* ---- The beginning ---- */

static int init_loop(struct server *server, struct err *err)
{
    int error = uv_loop_init(&server->loop);
    if (error != 0)
        return err_set(err, ERR_INTERNAL, "cannot make an event loop: %s", uv_strerror(error));
    uv_idle_init(&server->loop, &server->idle);
    uv_prepare_init(&server->loop, &server->prepare);
    uv_check_init(&server->loop, &server->check);
    uv_timer_init(&server->loop, &server->sweep);
    uv_timer_init(&server->loop, &server->timeouts);
    uv_timer_init(&server->loop, &server->watchdog);
    rest_init(server);
    authenticator_init(server);
    server->timeouts.data = server;
    server->idle.data = server->prepare.data = server->check.data = server->sweep.data = server;
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&server->loop, &server->signals[i]);
        server->signals[i].data = server;
    }
    return 0;
}

static int start_loop(struct server *server, struct err *err)
{
    int error = 0;
    uv_prepare_start(&server->prepare, on_prepare);
    uv_check_start(&server->check, on_check);
    for (size_t i = 0; i < 3 && error == 0; i++)
        error = uv_signal_start(&server->signals[i], on_signal, signal_numbers[i]);
    if (error != 0)
        return err_set(err, ERR_INTERNAL, "cannot watch for signals: %s", uv_strerror(error));
    notify_watchdog_start(&server->watchdog);
    return 0;
}

static int start(struct server *server, struct err *err)
{
    int status = startup_drop_privileges(server, err);
    if (status == 0)
        status = startup_open_store(server, err);
    if (status == 0 && server->listeners == NULL) /* not opened before privileges were dropped */
        status = listeners_open(server, &server->conf, err);
    if (status == 0)
        status = startup_restrict_files(server, err);
    if (status != 0)
        return status;
    files_raise_limit(server);
    int error = workers_init(&server->workers, &server->loop);
    if (error != 0)
        return err_set(err, ERR_INTERNAL, "cannot start worker threads: %s", strerror(-error));
    server->has_workers = true;
    status = start_loop(server, err);
    certificates_log(&server->certificates);
    access_begin_users(server);
    if (status == 0)
        status = http_start(server, err);
    if (status == 0)
        status = listeners_start(server, err);
    if (status == 0)
        status = sandbox_restrict_calls(&server->sandbox, err);
    return status;
}

/* Closes whatever is open, whether the start went through or not. */
static void stop(struct server *server)
{
    /* Closing their handles makes signals deadly again: one more of them, which is obeyed already,
     * is not to spoil the exit status. */
    sigset_t late;
    sigemptyset(&late);
    for (size_t i = 0; i < 3; i++)
        sigaddset(&late, signal_numbers[i]);
    pthread_sigmask(SIG_BLOCK, &late, NULL);
    on_idle(&server->idle); /* connections that are closed by now */
    audit_sweep(server, true);
    listeners_close(server);
    if (server->has_workers)
        workers_stop(&server->workers);
    http_stop(server);
    startup_close_store(server);
    sandbox_release(&server->sandbox);
    uv_close((uv_handle_t *)&server->idle, NULL);
    uv_close((uv_handle_t *)&server->prepare, NULL);
    uv_close((uv_handle_t *)&server->check, NULL);
    uv_close((uv_handle_t *)&server->sweep, NULL);
    uv_close((uv_handle_t *)&server->timeouts, NULL);
    uv_close((uv_handle_t *)&server->watchdog, NULL);
    uv_close((uv_handle_t *)&server->rest.timer, NULL);
    authenticator_release(server);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    int error = uv_loop_close(&server->loop);
    assert(error == 0);
    budget_release_kept(&server->arriving);
    request_cache_release(&server->requests);
    pieces_release(&server->pieces);
    tls_pool_release(&server->tls_pool);
}

static int serve(struct server *server)
{
    struct err err;
    if (init_loop(server, &err) != 0) {
        log_error("%s", err.text);
        return EXIT_FAILURE;
    }
    int status = start(server, &err);
    if (status != 0) {
        log_error("%s", err.text);
    } else {
        server->phase = SERVER_RUNNING;
        notify_ready();
        notify_status("serving %" PRIu64 " region%s", server->regions.count,
                      server->regions.count == 1 ? "" : "s");
        log_print("ready");
        log_running(true);
        uv_run(&server->loop, UV_RUN_DEFAULT);
    }
    stop(server);
    if (status == 0)
        log_info("stopped");
    return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Not the same after a restart, so that a client which has not noticed it does not go on with the
 * upload of somebody else. Below 2^53, which is where some clients' numbers end. */
static uint64_t first_upload(void)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
        number = (uint32_t)uv_hrtime();
    return 1 + ((uint64_t)number << 20);
}

/* Nobody is served yet, and what is on the disk stands a SIGKILL. */
static void on_stopped_early(int number)
{
    (void)number;
    _exit(EXIT_SUCCESS);
}

int server_run(struct conf *conf, struct certificates *certificates,
               const struct arguments *arguments)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        log_error("out of memory");
        certificates_release(certificates);
        conf_release(conf);
        return EXIT_FAILURE;
    }
    if (sodium_init() < 0) {
        log_error("cannot start libsodium: the system gives no random numbers");
        certificates_release(certificates);
        conf_release(conf);
        free(server);
        return EXIT_FAILURE;
    }
    /* What goes through a ring no filter sees: libuv must not have one, and not expect one. */
    setenv("UV_USE_IO_URING", "0", 1);
    signal(SIGPIPE, SIG_IGN);
    /* Until they can be served. A recovery or a migration may take long. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, on_stopped_early);
    signal(SIGINT, on_stopped_early);
    server->conf = *conf;
    server->certificates = *certificates;
    server->arguments = arguments;
    server->sandbox.ruleset = -1;
    server->started_ms = now_ms();
    server->ready_last = &server->ready;
    server->later_last = &server->later;
    server->uploads_next = first_upload();
    budget_init(&server->budget, conf->max_buffered, conf->max_message);
    budget_init_part(&server->arriving, &server->budget);
    pieces_init(&server->pieces, &server->budget);
    admin_init(&server->admin);
    int status = serve(server);
    config_changes_release(&server->reload.changes);
    conf_release(&server->conf);
    certificates_release(&server->certificates);
    free(server);
    return status;
}
