/* Blobs that are loaded in pieces without blocking, some of them ahead. */
#include <stdlib.h>
#include <string.h>

#include "client/async.h"
#include "client/blob.h"
#include "client/error.h"
#include "client/loop.h"
#include "core/bytes.h"

/* Fits a message of every server, whatever its max_message. */
#define PIECE ((uint64_t)60 << 10)
/* So many are asked for, or are there, at a time. */
#define WINDOW 16

struct slot {
    struct mregion_async_download *download;
    struct pending *pending; /* until it is handed over */
    uint64_t size;
    struct mregion_error failure; /* its code is MREGION_OK: there is none */
    uint8_t bytes[PIECE];
};

struct mregion_async_download {
    struct mregion *connection;
    char *region;
    uint64_t address, left; /* of what is not asked for */
    unsigned first, count;  /* slots, in the order of their pieces */
    unsigned moving;        /* of which so many have a pending one */
    bool is_given;          /* the first is the caller's at present */
    bool is_closed;         /* by the caller: freed with the last callback */
    struct pending *next;   /* what waits for the first slot; its callback: */
    mregion_on_answer on_answer;
    void *data;
    struct slot slots[WINDOW];
};

static struct slot *first_slot(struct mregion_async_download *download)
{
    return &download->slots[download->first];
}

static bool is_at_end(const struct mregion_async_download *download)
{
    return download->count == 0 && download->left == 0;
}

static void free_if_over(struct mregion_async_download *download)
{
    if (!download->is_closed || download->moving > 0 || download->next != NULL)
        return;
    free(download->region);
    free(download);
}

/* ---- Pieces ---- */

/* What the caller waits for is there, or never comes. */
static void look(struct mregion_async_download *download)
{
    struct pending *next = download->next;

    if (next == NULL || next->is_over ||
        (download->count > 0 ? first_slot(download)->pending != NULL : download->left > 0))
        return;
    pending_answer(&download->connection->pending, next, NULL, 0);
    loop_arm(download->connection);
}

static void on_piece(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    struct slot *slot = data;
    struct mregion_async_download *download = slot->download;

    (void)connection;
    slot->pending = NULL;
    download->moving--;
    if (answer->code != MREGION_OK) {
        (void)error_set(&slot->failure, answer->code, "%s", answer->text);
        download->left = 0; /* nothing behind it is wanted */
    }
    look(download);
    free_if_over(download);
}

static int ask(struct mregion_async_download *download, struct mregion_error *error)
{
    struct mregion *connection = download->connection;
    struct slot *slot = &download->slots[(download->first + download->count) % WINDOW];
    struct mregion_async own = {
        .on_answer = on_piece, .data = slot, .timeout_ms = MREGION_NO_TIMEOUT};
    uint64_t size = min_u64(download->left, PIECE);
    struct request request =
        blob_load_request(download->region, download->address, size, slot->bytes);
    mregion_ticket ticket;
    int code = async_start(connection, &request, &own, &ticket, error);

    if (code != MREGION_OK)
        return code;
    slot->download = download;
    slot->pending = pending_find_msgid(&connection->pending, (uint32_t)ticket);
    slot->size = size;
    slot->failure.code = MREGION_OK;
    download->address += size;
    download->left -= size;
    download->count++;
    download->moving++;
    return MREGION_OK;
}

/* As many as there is room for, which are some at least or all. */
static int ask_more(struct mregion_async_download *download, struct mregion_error *error)
{
    bool *is_full = &download->connection->loop.is_full;
    bool was_full = *is_full;
    int code = MREGION_OK;

    while (code == MREGION_OK && download->left > 0 && download->count < WINDOW)
        code = ask(download, error);
    if (code == MREGION_OK || download->count == 0)
        return code;
    *is_full = was_full; /* nobody was refused anything */
    return MREGION_OK;
}

/* ---- For callers ---- */

int mregion_async_download_begin(struct mregion *connection, const char *region, uint64_t address,
                                 uint64_t size, struct mregion_async_download **ret_download,
                                 struct mregion_error *error)
{
    struct mregion_async_download *download = malloc(sizeof *download);
    int code;

    if (download == NULL)
        return error_no_memory(error);
    download->connection = connection;
    download->region = NULL;
    download->address = address;
    download->left = size;
    download->first = 0;
    download->count = 0;
    download->moving = 0;
    download->is_given = false;
    download->is_closed = false;
    download->next = NULL;
    if (region != NULL && (download->region = strdup(region)) == NULL)
        code = error_no_memory(error);
    else
        /* Whether there is such a block is for the server to say, even where it is empty. */
        code = size == 0 ? ask(download, error) : ask_more(download, error);
    if (code == MREGION_OK) {
        *ret_download = download;
        return code;
    }
    free(download->region);
    free(download);
    return code;
}

static void on_next(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    struct mregion_async_download *download = data;
    mregion_on_answer on_answer = download->on_answer;
    struct mregion_error reason = {.code = MREGION_OK};
    struct mregion_answer told = *answer;

    data = download->data;
    download->next = NULL;
    if (answer->code != MREGION_OK) {
        (void)error_set(&reason, answer->code, "%s", answer->text);
    } else if (download->is_closed) {
        (void)error_set(&reason, MREGION_ERR_CANCELED, "the download was closed");
    } else if (download->count > 0) {
        const struct slot *slot = first_slot(download);

        reason = slot->failure;
        told.result = reason.code == MREGION_OK && slot->size > 0 ? slot->bytes : NULL;
        told.result_size = told.result != NULL ? (size_t)slot->size : 0;
        download->is_given = reason.code == MREGION_OK;
    }
    told.code = reason.code;
    told.text = reason.code == MREGION_OK ? "" : reason.text;
    free_if_over(download);
    if (on_answer != NULL)
        on_answer(connection, &told, data);
}

/* The caller is through with the piece that it has. */
static void take_back(struct mregion_async_download *download)
{
    if (!download->is_given)
        return;
    download->is_given = false;
    download->first = (download->first + 1) % WINDOW;
    download->count--;
}

int mregion_async_download_next(struct mregion_async_download *download,
                                const struct mregion_async *async, mregion_ticket *ret_ticket,
                                struct mregion_error *error)
{
    static const struct mregion_async nobody;
    struct mregion *connection = download->connection;
    /* It has a ticket and a deadline as a request has, and is never sent. */
    struct request request = {.method = METHOD_PING, .is_held = true, .is_owed = true};
    struct mregion_async own = async != NULL ? *async : nobody;
    mregion_ticket ticket;
    int code;

    if (download->next != NULL)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the piece before has been asked for and is not there yet");
    take_back(download);
    code = is_at_end(download) ? MREGION_OK : ask_more(download, error);
    if (code != MREGION_OK)
        return code;
    download->on_answer = own.on_answer;
    download->data = own.data;
    own.on_answer = on_next;
    own.data = download;
    code = async_start(connection, &request, &own, &ticket, error);
    if (code != MREGION_OK)
        return code;
    download->next = pending_find_msgid(&connection->pending, (uint32_t)ticket);
    if (ret_ticket != NULL)
        *ret_ticket = ticket;
    look(download);
    return MREGION_OK;
}

void mregion_async_download_close(struct mregion_async_download *download)
{
    static const char reason[] = "the download was closed";

    if (download == NULL)
        return;
    download->is_closed = true;
    if (download->next != NULL && !download->next->is_over)
        async_give_up(download->connection, download->next, MREGION_ERR_CANCELED, reason);
    for (unsigned i = 0; i < download->count; i++) {
        struct slot *slot = &download->slots[(download->first + i) % WINDOW];

        if (slot->pending != NULL && !slot->pending->is_over)
            async_give_up(download->connection, slot->pending, MREGION_ERR_CANCELED, reason);
    }
    loop_arm(download->connection);
    free_if_over(download);
}
