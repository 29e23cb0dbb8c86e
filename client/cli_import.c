/* Everything is placed at the end of a region that has no holes, so that the addresses are known in
 * advance: EXPORT.md says how, and what is left where it fails. */
#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_export.h"
#include "client/cli_method.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "client/cli_progress.h"
#include "client/cli_signal.h"
#include "client/cli_source.h"
#include "client/cli_stream.h"
#include "client/cli_values.h"
#include "core/bytes.h"
#include "core/limits.h"

/* Requests under way at a time; the library keeps a copy of their bytes. */
#define WINDOW 16

/* A smaller hole is sent as zeros. */
#define HOLE_MIN ((uint64_t)64 * KIB)

struct sent {
    mregion_ticket ticket;
    uint64_t address; /* that it has to have */
};

struct import {
    struct cli *cli;
    char region[REGION_NAME_MAX + 1];
    struct cli_source source;
    struct cli_progress progress;
    struct stream_reader reader;
    struct stream_record record;
    uint64_t size;
    uint64_t pages;
    uint64_t in_use;
    bool is_made;    /* the region, here */
    bool is_touched; /* something was sent to be placed in it */
    uint64_t end;    /* of what is sent or gathered */
    uint64_t piece;  /* added with one request, at most */
    uint8_t *gathered;
    size_t gathered_size; /* the last bytes before end */
    struct sent sent[WINDOW];
    size_t sent_first;
    size_t sent_count;
    struct mregion_block *holes;
    size_t holes_count;
    size_t holes_room;
};

static int next_record(struct import *import)
{
    struct stream_reader *reader = &import->reader;

    if (cli_signal_pending())
        return cli_fail(import->cli, CLI_LOCAL_IO, "import: interrupted");
    switch (stream_read(reader, &import->record)) {
    case STREAM_OK:
        return CLI_OK;
    case STREAM_DAMAGED:
        return cli_fail(import->cli, CLI_CORRUPT, "%s: %s", import->source.name, reader->problem);
    default:
        return cli_fail(import->cli, CLI_LOCAL_IO, "%s: cannot read: %s", import->source.name,
                        strerror(errno));
    }
}

/* ---- Requests under way ---- */

static int fail_placed(struct import *import, uint64_t address, uint64_t wanted)
{
    return cli_fail(import->cli, CLI_REFUSED,
                    "%s: what belongs at %" PRIu64 " came to %" PRIu64
                    ": somebody else changes the region",
                    import->region, wanted, address);
}

static int collect_first(struct import *import)
{
    struct sent *first = &import->sent[import->sent_first];
    struct mregion_error error;
    uint64_t address;

    import->sent_first = (import->sent_first + 1) % WINDOW;
    import->sent_count--;
    if (mregion_collect_uint(import->cli->connection, first->ticket, &address, &error) !=
        MREGION_OK) {
        if (error.code == MREGION_ERR_TIMEOUT)
            mregion_forget(import->cli->connection, first->ticket);
        return cli_fail_library(import->cli, &error, NULL);
    }
    return address == first->address ? CLI_OK : fail_placed(import, address, first->address);
}

static int collect_all(struct import *import)
{
    int status = CLI_OK;

    while (status == CLI_OK && import->sent_count > 0)
        status = collect_first(import);
    return status;
}

static void forget_all(struct import *import)
{
    for (; import->sent_count > 0; import->sent_count--) {
        mregion_forget(import->cli->connection, import->sent[import->sent_first].ticket);
        import->sent_first = (import->sent_first + 1) % WINDOW;
    }
}

/* Sends what is gathered (a hole: allocates size bytes instead), which then is at address. */
static int send_piece(struct import *import, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    struct mregion *connection = import->cli->connection;
    struct sent *sent;
    struct mregion_error error;
    int code, status = CLI_OK;

    if (size == 0)
        return CLI_OK;
    if (import->sent_count == WINDOW)
        status = collect_first(import);
    if (status != CLI_OK)
        return status;
    sent = &import->sent[(import->sent_first + import->sent_count) % WINDOW];
    sent->address = address;
    import->is_touched = true;
    code = bytes == NULL
               ? mregion_submit_allocate(connection, import->region, size, &sent->ticket, &error)
               : mregion_submit_add(connection, import->region, bytes, size, &sent->ticket, &error);
    if (code != MREGION_OK)
        return cli_fail_library(import->cli, &error, NULL);
    import->sent_count++;
    return CLI_OK;
}

static int send_gathered(struct import *import)
{
    size_t size = import->gathered_size;

    import->gathered_size = 0;
    return send_piece(import, import->end - size, import->gathered, size);
}

/* ---- Blocks and holes ---- */

static int note_hole(struct import *import, uint64_t size)
{
    if (import->holes_count == import->holes_room) {
        size_t room = import->holes_room > 0 ? import->holes_room * 2 : 1024;
        struct mregion_block *holes = reallocarray(import->holes, room, sizeof *holes);

        if (holes == NULL)
            return cli_no_memory(import->cli);
        import->holes = holes;
        import->holes_room = room;
    }
    import->holes[import->holes_count++] = (struct mregion_block){import->end, size};
    return CLI_OK;
}

/* Copies bytes, or zeros where they are NULL. */
static void copy_part(struct import *import, const uint8_t *bytes, size_t part)
{
    if (bytes != NULL)
        memcpy(import->gathered + import->gathered_size, bytes, part);
    else
        memset(import->gathered + import->gathered_size, 0, part);
    import->gathered_size += part;
}

/* The next bytes, zeros where they are NULL. What makes a whole piece is sent as it is. */
static int gather(struct import *import, const uint8_t *bytes, uint64_t size)
{
    int status = CLI_OK;

    while (size > 0 && status == CLI_OK) {
        uint64_t until = round_down(import->end, import->piece) + import->piece;
        size_t part = (size_t)min_u64(size, until - import->end);

        if (bytes != NULL && part == import->piece)
            status = send_piece(import, import->end, bytes, part);
        else
            copy_part(import, bytes, part);
        import->end += part;
        size -= part;
        bytes = bytes != NULL ? bytes + part : NULL;
        if (status == CLI_OK && import->end == until)
            status = send_gathered(import);
    }
    return status;
}

static int leave_hole(struct import *import, uint64_t until)
{
    uint64_t size = until - import->end;
    int status = size > 0 ? note_hole(import, size) : CLI_OK;

    if (status != CLI_OK || size == 0)
        return status;
    if (size < HOLE_MIN)
        return gather(import, NULL, size);
    status = send_gathered(import);
    if (status == CLI_OK)
        status = send_piece(import, import->end, NULL, size);
    import->end = until;
    return status;
}

static int take_blocks(struct import *import)
{
    const struct stream_record *record = &import->record;
    const uint8_t *bytes = record->bytes;
    int status = CLI_OK;

    for (size_t i = 0; i < record->count && status == CLI_OK; i++) {
        const struct mregion_block *block = &record->blocks[i];

        status = leave_hole(import, block->address);
        if (status == CLI_OK)
            status = gather(import, bytes, block->size);
        bytes += block->size;
    }
    cli_progress_show(&import->progress, import->reader.chain.sum.bytes, import->in_use);
    return status;
}

static int free_holes(struct import *import)
{
    struct mregion *connection = import->cli->connection;
    mregion_ticket tickets[CLI_TICKETS_MAX];
    struct mregion_error error;
    size_t done = 0;

    while (done < import->holes_count) {
        size_t count = 0, collected = 0;
        int code = MREGION_OK;

        while (code == MREGION_OK && count < CLI_TICKETS_MAX && done < import->holes_count) {
            const struct mregion_block *hole = &import->holes[done];

            code = mregion_submit_deallocate(connection, import->region, hole->address, hole->size,
                                             &tickets[count], &error);
            done += code == MREGION_OK;
            count += code == MREGION_OK;
        }
        if (code == MREGION_ERR_FULL)
            code = MREGION_OK;
        while (code == MREGION_OK && collected < count)
            code = mregion_collect_done(connection, tickets[collected++], &error);
        while (collected < count)
            mregion_forget(connection, tickets[collected++]);
        if (code != MREGION_OK)
            return cli_fail_library(import->cli, &error, NULL);
    }
    return CLI_OK;
}

/* ---- The region ---- */

static int pack_value(msgpack_packer *packer, char letter, const char *value)
{
    uint64_t number;

    if (letter != 'T' && cli_parse_number(value, &number))
        return msgpack_pack_uint64(packer, number);
    return msgpack_pack_str_with_body(packer, value, strlen(value));
}

/* [name, options]: those of the region that was exported. */
static bool pack_create(struct import *import, msgpack_packer *packer)
{
    const struct stream_head *head = &import->record.head;
    char value[128];
    size_t count = 0;
    int failed = msgpack_pack_array(packer, 2);

    for (const struct cli_option *option = cli_method_create_options; option->name != NULL;
         option++)
        count += stream_find(head, option->key, value, sizeof value);
    failed |= cli_pack_region(packer, import->region);
    failed |= msgpack_pack_map(packer, count);
    for (const struct cli_option *option = cli_method_create_options; option->name != NULL;
         option++) {
        if (!stream_find(head, option->key, value, sizeof value))
            continue;
        failed |= msgpack_pack_str_with_body(packer, option->key, strlen(option->key));
        failed |= pack_value(packer, option->letter, value);
    }
    return failed == 0;
}

static int make_region(struct import *import)
{
    struct cli_answer answer = {.is_there = false};
    struct mregion_error error;
    msgpack_sbuffer params;
    msgpack_packer packer;
    int status = CLI_OK;

    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (!pack_create(import, &packer))
        status = cli_no_memory(import->cli);
    else if (cli_answer_call_packed(import->cli, "createRegion", &params, &answer, &error) !=
             MREGION_OK)
        status = cli_fail_library(import->cli, &error, NULL);
    import->is_made = status == CLI_OK;
    cli_answer_release(&answer);
    msgpack_sbuffer_destroy(&params);
    return status;
}

/* A region of this name that has never been used will do. */
static int find_region(struct import *import)
{
    struct mregion_server_info server;
    struct mregion_memory_info info;
    struct mregion_error error;

    if (mregion_server_info(import->cli->connection, &server, &error) != MREGION_OK)
        return cli_fail_library(import->cli, &error, NULL);
    import->piece = stream_piece(server.max_message);
    switch (mregion_memory_info(import->cli->connection, import->region, &info, &error)) {
    case MREGION_OK:
        if (info.size == 0)
            return CLI_OK;
        return cli_fail(import->cli, CLI_REFUSED,
                        "%s is there and has been used (its size is %" PRIu64
                        "): drop it, or give another name",
                        import->region, info.size);
    case MREGION_ERR_NO_SUCH_REGION:
        return make_region(import);
    default:
        return cli_fail_library(import->cli, &error, NULL);
    }
}

/* What is given, else the region that is chosen, else the name that the region had. */
static int choose_name(struct import *import, const char *given)
{
    size_t size = sizeof import->region;

    if (given == NULL)
        given = import->cli->region;
    if (given == NULL) {
        if (stream_find(&import->record.head, "name", import->region, size))
            return CLI_OK;
        return cli_fail(import->cli, CLI_USAGE, "import: the stream has no name: give one");
    }
    if (strlen(given) >= size)
        return cli_fail(import->cli, CLI_USAGE, "import: a name has at most %d characters",
                        REGION_NAME_MAX);
    (void)snprintf(import->region, size, "%s", given);
    return CLI_OK;
}

static int check_result(struct import *import)
{
    struct mregion_memory_info info;
    struct mregion_error error;
    uint64_t before;
    int code = mregion_memory_info(import->cli->connection, import->region, &info, &error);

    if (code == MREGION_OK && info.pages < import->pages)
        code = mregion_grow(import->cli->connection, import->region, import->pages - info.pages,
                            &before, &error);
    if (code != MREGION_OK)
        return cli_fail_library(import->cli, &error, NULL);
    if (info.size == import->size && info.allocated == import->reader.chain.sum.bytes)
        return CLI_OK;
    return cli_fail(import->cli, CLI_REFUSED,
                    "%s: %" PRIu64 " of %" PRIu64 " bytes are in use, not %" PRIu64 " of %" PRIu64
                    ": somebody else changes the region",
                    import->region, info.allocated, info.size, import->reader.chain.sum.bytes,
                    import->size);
}

/* ---- All of it ---- */

static int read_all(struct import *import, const char *name)
{
    int status = next_record(import);

    if (status == CLI_OK)
        status = choose_name(import, name);
    if (status != CLI_OK)
        return status;
    import->size = import->record.head.size;
    import->pages = import->record.head.pages;
    import->in_use = import->record.head.in_use;
    status = find_region(import);
    if (status == CLI_OK)
        status = next_record(import);
    while (status == CLI_OK && import->record.kind == STREAM_DATA) {
        status = take_blocks(import);
        if (status == CLI_OK)
            status = next_record(import);
    }
    if (status == CLI_OK)
        status = leave_hole(import, import->size);
    if (status == CLI_OK)
        status = send_gathered(import);
    if (status == CLI_OK)
        status = collect_all(import);
    if (status == CLI_OK)
        status = free_holes(import);
    return status == CLI_OK ? check_result(import) : status;
}

/* Nothing of it is of use to anybody. */
static void undo(struct import *import)
{
    struct mregion *connection = import->cli->connection;
    struct mregion_error error;

    forget_all(import);
    if (import->is_made) {
        if (mregion_drop_region(connection, import->region, &error) != MREGION_OK)
            (void)cli_fail(import->cli, CLI_REFUSED,
                           "%s has a part of it, and cannot be dropped: %s", import->region,
                           error.text);
    } else if (!import->is_touched) {
        return; /* it is as it was */
    } else if (mregion_clear(connection, import->region, &error) != MREGION_OK) {
        (void)cli_fail(import->cli, CLI_REFUSED, "%s has a part of it, and cannot be cleared: %s",
                       import->region, error.text);
    } else {
        (void)cli_fail(import->cli, CLI_REFUSED,
                       "%s is empty, but has been used: drop it before another import",
                       import->region);
    }
}

static void print_result(const struct import *import)
{
    const struct stream_end *sum = &import->reader.chain.sum;

    if (import->cli->form == CLI_JSON)
        (void)printf("{\"region\":\"%s\",\"size\":%" PRIu64 ",\"allocated\":%" PRIu64
                     ",\"blocks\":%" PRIu64 "}\n",
                     import->region, import->size, sum->bytes, sum->blocks);
    else
        (void)printf("%s\n", import->region);
}

static int run(struct import *import, const char *name)
{
    struct cli *cli = import->cli;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    stream_reader_init(&import->reader, import->source.fd);
    cli_progress_begin(&import->progress, cli->connection, import->source.name, false);
    /* Pieces are no progress of their own. */
    mregion_set_progress(cli->connection, NULL, NULL);
    status = read_all(import, name);
    cli_progress_end(&import->progress, cli->connection);
    if (status == CLI_OK && import->record.has_changed)
        (void)cli_fail(cli, CLI_OK, CLI_EXPORT_CHANGED, import->region);
    if (status == CLI_OK)
        print_result(import);
    else
        undo(import);
    return status;
}

int cli_import(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *name = arguments->count > 1 ? arguments->items[1] : NULL;
    struct import *import = calloc(1, sizeof *import);
    int status;

    if (import == NULL)
        return cli_no_memory(cli);
    import->cli = cli;
    import->gathered = malloc(STREAM_BYTES_MAX);
    status = import->gathered == NULL ? cli_no_memory(cli)
                                      : cli_source_open(cli, arguments->items[0], &import->source);
    if (status == CLI_OK) {
        status = run(import, name);
        cli_source_close(&import->source);
    }
    free(import->holes);
    free(import->gathered);
    free(import);
    return status;
}
