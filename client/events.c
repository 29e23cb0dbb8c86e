#include "client/events.h"

#include <stdlib.h>
#include <string.h>

#include "client/attempt.h"
#include "client/call.h"
#include "client/deadline.h"
#include "client/drive.h"
#include "client/error.h"
#include "client/loop.h"

/* Bytes of events that nobody has taken yet; what comes beyond is counted as lost. */
#define KEPT_MAX ((size_t)1 << 20)
/* The server is asked again after so long, or after half of what an answer may take. */
#define AGAIN_MS 15000
/* An answer that others wait for, too, is looked for so often once it is late. */
#define LATE_MS 1000

struct item {
    struct item *next;
    uint64_t lost; /* before it, here */
    size_t size;   /* 0: the subscription holds from here on */
    uint8_t bytes[];
};

/* One that was taken, and what it points to. */
struct told {
    struct mregion_event event;
    struct item *item;
    char name[64];
    char region[256];
    char text[MREGION_ERROR_TEXT_SIZE];
};

struct mregion_events {
    struct mregion *connection;
    mregion_on_event on_event; /* NULL: they are taken by mregion_events_next */
    void *data;

    struct pending *asking; /* NULL: nothing is asked */
    uint64_t asked_over;    /* the connection's number to which this belongs: */
    int64_t until;          /* its answer may take; or, where nothing is asked, until asking */
    bool is_subscribed;     /* over the present connection */
    bool is_known;          /* somebody was told of a subscription, so that the next is another */
    bool has_ended;         /* for this reason, which was told: */
    bool is_end_told;
    struct mregion_error end;

    struct item *first, **last;
    size_t kept;
    uint64_t lost; /* since the last one in there */
    struct told told;
};

/* ---- Kept until they are taken ---- */

static bool push(struct mregion_events *events, const uint8_t *bytes, size_t size)
{
    size_t memory = sizeof(struct item) + size;
    struct item *item = NULL;

    if (size == 0 || events->kept + memory <= KEPT_MAX)
        item = malloc(memory);
    if (item == NULL)
        return false;
    *item = (struct item){.lost = events->lost, .size = size};
    if (size > 0)
        memcpy(item->bytes, bytes, size);
    events->lost = 0;
    events->kept += memory;
    *events->last = item;
    events->last = &item->next;
    return true;
}

static struct item *pop(struct mregion_events *events)
{
    struct item *item = events->first;

    events->first = item->next;
    if (events->first == NULL)
        events->last = &events->first;
    events->kept -= sizeof *item + item->size;
    return item;
}

/* The first time who blocks knows it from mregion_events_open. */
static void set_subscribed(struct mregion_events *events)
{
    if (events->is_subscribed)
        return;
    if (!events->is_known && events->on_event == NULL)
        events->is_subscribed = true;
    else
        events->is_subscribed = push(events, NULL, 0); /* without memory the next event tries */
    events->is_known = events->is_known || events->is_subscribed;
}

static bool is_event(struct cursor *cursor)
{
    struct value name = cursor_next(cursor), params;

    if ((name.type != VALUE_STR && name.type != VALUE_BIN) || name.raw.size != 5 ||
        memcmp(name.raw.bytes, "event", 5) != 0)
        return false;
    params = cursor_next(cursor);
    return params.type == VALUE_ARRAY && params.count > 0;
}

void events_take(struct mregion *connection, struct cursor cursor)
{
    struct mregion_events *events = connection->events;
    struct cursor map;

    if (events == NULL || events->has_ended || !is_event(&cursor))
        return;
    map = cursor;
    if (cursor_next(&cursor).type != VALUE_MAP)
        return;
    cursor = map;
    cursor_skip(&cursor);
    set_subscribed(events);
    if (!push(events, map.at, (size_t)(cursor.at - map.at)))
        events->lost++;
}

/* ---- Asking ---- */

static void end(struct mregion_events *events, enum mregion_code code, const char *text)
{
    if (events->has_ended)
        return;
    (void)error_set(&events->end, code, "%s", text);
    events->has_ended = true;
}

static void drop_asking(struct mregion_events *events)
{
    if (events->asking != NULL)
        pending_forget(&events->connection->pending, events->asking);
    events->asking = NULL;
}

static uint32_t again_ms(const struct mregion *connection)
{
    uint32_t half = connection->timeout_default_ms / 2;

    return half < AGAIN_MS ? half : AGAIN_MS;
}

static void take_answer(struct mregion_events *events)
{
    struct pending *pending = events->asking;

    if (pending == NULL || pending->state == PENDING_WAITING)
        return;
    if (pending->state == PENDING_ANSWERED)
        set_subscribed(events);
    else
        end(events, pending->code,
            pending->text != NULL ? pending->text : "out of memory for the reason");
    pending_free(&events->connection->pending, pending);
    events->asking = NULL;
    events->until = deadline_after(again_ms(events->connection));
}

static void ask(struct mregion_events *events)
{
    static const struct request request = {.method = METHOD_SUBSCRIBE};
    struct mregion_error reason;
    int code = call_start_own(events->connection, &request, &events->asking, &reason);

    if (code != MREGION_OK)
        end(events, reason.code, reason.text);
    events->connection->was_subscribed = true;
    events->until = DEADLINE_NEVER;
    events->asked_over = 0;
}

/* Once it is sent it has the connection's time for an answer; then, where nobody else waits for
 * one, there is nobody at the other end. */
static void look_at_asking(struct mregion_events *events)
{
    struct mregion *connection = events->connection;

    if (!events->asking->is_sent)
        return;
    if (events->asked_over != connection->attempts) {
        events->asked_over = connection->attempts;
        events->until = deadline_after(connection->timeout_default_ms);
    } else if (deadline_left(events->until) == 0 && connection->pending.waiting > 1) {
        events->until = deadline_after(LATE_MS);
    } else if (deadline_left(events->until) == 0 && connection->fd >= 0) {
        (void)connection_end(connection, false, MREGION_ERR_LOST,
                             "who is subscribed has no answer in time", NULL);
    }
}

void events_step(struct mregion *connection)
{
    struct mregion_events *events = connection->events;

    if (events == NULL)
        return;
    take_answer(events);
    if (events->has_ended)
        drop_asking(events);
    else if (events->asking != NULL)
        look_at_asking(events);
    else if (!events->is_subscribed || deadline_left(events->until) == 0)
        ask(events);
}

void events_lose(struct mregion *connection)
{
    struct mregion_events *events = connection->events;

    connection->was_subscribed = false;
    if (events == NULL)
        return;
    take_answer(events);
    events->is_subscribed = false;
    events->until = DEADLINE_NEVER;
}

void events_fail(struct mregion *connection, const struct mregion_error *reason)
{
    struct mregion_events *events = connection->events;

    if (events != NULL && events->asking != NULL && !events->asking->is_sent)
        end(events, reason->code, reason->text);
}

int64_t events_until(const struct mregion *connection)
{
    const struct mregion_events *events = connection->events;

    if (events == NULL || events->has_ended)
        return DEADLINE_NEVER;
    if (events->asking == NULL)
        return events->is_subscribed ? events->until : 0;
    if (events->asking->state != PENDING_WAITING)
        return 0;
    if (!events->asking->is_sent)
        return DEADLINE_NEVER;
    return events->asked_over == connection->attempts ? events->until : 0;
}

/* ---- Taking ---- */

bool events_has_next(const struct mregion_events *events)
{
    return events->first != NULL || (events->has_ended && !events->is_end_told);
}

bool events_is_settled(const struct mregion_events *events)
{
    return events->is_subscribed || events->has_ended;
}

static const struct {
    const char *name;
    enum mregion_event_kind kind;
} kinds[] = {
    {"created", MREGION_EVENT_CREATED},       {"dropped", MREGION_EVENT_DROPPED},
    {"corrupt", MREGION_EVENT_CORRUPT},       {"read_only", MREGION_EVENT_READ_ONLY},
    {"checkpoint", MREGION_EVENT_CHECKPOINT}, {"renamed", MREGION_EVENT_RENAMED},
};

static enum mregion_event_kind kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    }
    return MREGION_EVENT_OTHER;
}

/* Where the value of a key goes: a text, cut where it is too long, or a number. */
struct place {
    const char *key;
    char *text;
    size_t room;
    uint64_t *number;
};

static void put(const struct place *place, struct value value)
{
    if (place->number != NULL) {
        if (value.type == VALUE_UINT)
            *place->number = value.number;
    } else if (value.type == VALUE_STR || value.type == VALUE_BIN) {
        size_t length = value.raw.size < place->room ? value.raw.size : place->room - 1;

        memcpy(place->text, value.raw.bytes, length);
        place->text[length] = '\0';
    }
}

static void read_map(struct told *told)
{
    struct mregion_event *event = &told->event;
    const struct place places[] = {
        {"event", told->name, sizeof told->name, NULL},
        {"region", told->region, sizeof told->region, NULL},
        {"failure", told->text, sizeof told->text, NULL},
        {"before", told->text, sizeof told->text, NULL},
        {"id", NULL, 0, &event->region_id},
        {"page", NULL, 0, &event->page},
        {"pages", NULL, 0, &event->pages},
        {"duration_us", NULL, 0, &event->duration_us},
        {"lost", NULL, 0, &event->lost},
    };
    struct cursor cursor = {.at = event->map, .end = told->item->bytes + told->item->size};
    struct value map = cursor_next(&cursor);

    for (uint32_t i = 0; i < map.count; i++) {
        struct value key = cursor_next(&cursor);
        struct cursor at = cursor;

        cursor_skip(&cursor);
        if (key.type != VALUE_STR && key.type != VALUE_BIN)
            continue;
        for (size_t j = 0; j < sizeof places / sizeof *places; j++) {
            if (strlen(places[j].key) == key.raw.size &&
                memcmp(places[j].key, key.raw.bytes, key.raw.size) == 0)
                put(&places[j], cursor_next(&at));
        }
    }
}

static void tell_item(struct told *told, struct item *item)
{
    struct mregion_event *event = &told->event;

    told->item = item;
    if (item->size == 0) {
        event->kind = MREGION_EVENT_SUBSCRIBED;
        event->name = "subscribed";
    } else {
        event->map = item->bytes;
        event->map_size = item->size;
        read_map(told);
        event->kind = kind_of(told->name);
    }
    event->lost += item->lost;
}

/* events_has_next. */
static void take(struct mregion_events *events, struct told *told)
{
    struct mregion_event *event = &told->event;

    told->name[0] = told->region[0] = told->text[0] = '\0';
    told->item = NULL;
    *event = (struct mregion_event){.name = told->name, .region = told->region, .text = told->text};
    if (events->first != NULL) {
        tell_item(told, pop(events));
        return;
    }
    event->kind = MREGION_EVENT_ENDED;
    event->code = events->end.code;
    event->name = "ended";
    event->lost = events->lost;
    memcpy(told->text, events->end.text, sizeof told->text);
    events->is_end_told = true;
}

/* ---- Without blocking ---- */

bool events_are_due(const struct mregion *connection)
{
    const struct mregion_events *events = connection->events;

    return events != NULL && events->on_event != NULL && events_has_next(events);
}

/* The callback may do anything, also end the subscription and begin another. */
void events_hand_over(struct mregion *connection)
{
    while (!connection->loop.is_closing && events_are_due(connection)) {
        struct mregion_events *events = connection->events;
        mregion_on_event on_event = events->on_event;
        void *data = events->data;
        struct told told;

        take(events, &told);
        on_event(connection, &told.event, data);
        free(told.item);
    }
}

/* ---- The public face ---- */

static int make(struct mregion *connection, mregion_on_event on_event, void *data,
                struct mregion_error *error)
{
    struct mregion_events *events;

    if (connection->events != NULL)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the connection has a subscription already: close that first, or open "
                         "another connection");
    if (connection->loop.is_closing)
        return error_set(error, MREGION_ERR_ARGUMENT, "the connection is being closed");
    events = calloc(1, sizeof *events);
    if (events == NULL)
        return error_no_memory(error);
    events->connection = connection;
    events->on_event = on_event;
    events->data = data;
    events->last = &events->first;
    connection->events = events;
    return MREGION_OK;
}

void events_release(struct mregion *connection)
{
    struct mregion_events *events = connection->events;

    if (events == NULL)
        return;
    drop_asking(events);
    while (events->first != NULL)
        free(pop(events));
    free(events->told.item);
    free(events);
    connection->events = NULL;
}

void mregion_events_close(struct mregion_events *events)
{
    if (events != NULL)
        events_release(events->connection);
}

int mregion_events_open(struct mregion *connection, struct mregion_events **ret_events,
                        struct mregion_error *error)
{
    struct mregion_events *events;
    int code = make(connection, NULL, NULL, error);

    if (code != MREGION_OK)
        return code;
    events = connection->events;
    connection_look(connection);
    attempt_hurry(connection);
    code = drive_until_event(connection, events_is_settled, deadline_after(connection->timeout_ms),
                             error);
    if (code == MREGION_OK && events->has_ended)
        code = error_set(error, events->end.code, "%s", events->end.text);
    if (code == MREGION_OK)
        *ret_events = events;
    else
        events_release(connection);
    return code;
}

int mregion_events_next(struct mregion_events *events, uint32_t timeout_ms,
                        const struct mregion_event **ret_event, struct mregion_error *error)
{
    int code;

    if (events->on_event != NULL)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the events of this subscription are handed to a callback");
    if (events->is_end_told)
        return error_set(error, events->end.code, "%s", events->end.text);
    if (timeout_ms > 0)
        attempt_hurry(events->connection);
    code =
        drive_until_event(events->connection, events_has_next, deadline_after(timeout_ms), error);
    if (code == MREGION_ERR_TIMEOUT && events->is_subscribed)
        return error_set(error, code, "no event in time");
    if (code != MREGION_OK)
        return code;
    free(events->told.item);
    take(events, &events->told);
    if (events->told.event.kind == MREGION_EVENT_ENDED)
        return error_set(error, events->end.code, "%s", events->end.text);
    *ret_event = &events->told.event;
    return MREGION_OK;
}

int mregion_async_events(struct mregion *connection, mregion_on_event on_event, void *data,
                         struct mregion_events **ret_events, struct mregion_error *error)
{
    int code = on_event != NULL
                   ? make(connection, on_event, data, error)
                   : error_set(error, MREGION_ERR_ARGUMENT, "nobody is there to hear of events");

    if (code != MREGION_OK)
        return code;
    events_step(connection);
    if (ret_events != NULL)
        *ret_events = connection->events;
    loop_arm(connection);
    return MREGION_OK;
}
