/* The blocks in use are listed in pages, and loaded in pieces, several under way at a time: each
 * slot is a record that fills while the ones before it are collected and written. */
#include "client/cli_export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli_method.h"
#include "client/cli_output.h"
#include "client/cli_progress.h"
#include "client/cli_signal.h"
#include "client/cli_stream.h"
#include "client/cli_target.h"
#include "client/cli_values.h"
#include "core/bytes.h"

/* Of 1 MiB each; what is under way at a time keeps server and network busy. */
#define SLOTS 6

/* A call of the library's fetches as many. */
#define PART 3000

/* How long a change of an older server may take from showing to being counted. */
#define SETTLE_MS 100

/* How often a block may be another one than it was a moment ago, until it is too much. */
#define TRIES_MAX 1000

/* Records from one look at the region to the next: nobody waits for hours to hear of a change. */
#define CHECK_EVERY 256

/* Whether the region of an older server has changed shows in these. */
static const char *const marks[] = {"uuid",      "commits",     "size",
                                    "allocated", "free_blocks", "largest_free"};
#define MARKS (sizeof marks / sizeof *marks)

const struct cli_option cli_export_options[] = {
    {"anyway", NULL, 0, NULL, 0},
    {NULL, NULL, 0, NULL, 0},
};

struct moment {
    bool has_changes; /* a server that is not an older one counts them: nothing else is to be known
                       */
    uint64_t changes;
    uint64_t numbers[MARKS];
    char uuid[40];
    uint64_t uptime_s;
};

struct slot {
    mregion_ticket tickets[STREAM_BLOCKS_MAX];
    struct mregion_block blocks[STREAM_BLOCKS_MAX];
    bool is_gone[STREAM_BLOCKS_MAX];
    size_t count;
    size_t bytes;
    uint8_t *record; /* the bytes are first loaded behind room for all blocks */
};

struct export
{
    struct cli *cli;
    const char *region;
    struct cli_target target;
    struct cli_progress progress;
    struct stream_chain chain;
    struct moment before;
    uint64_t size;
    uint64_t pages;
    bool is_lax;     /* changes are no failure */
    uint8_t *single; /* a record with one block, for what is loaded once more */
    uint64_t in_use;
    uint64_t piece;  /* loaded with one request, at most */
    uint64_t listed; /* up to here */
    struct mregion_block part[PART];
    size_t part_count;
    size_t part_next;
    struct slot slots[SLOTS];
    size_t first; /* slot under way that was begun first */
    size_t under_way;
};

/* ---- Whether it is one moment ---- */

static int read_moment(struct export *export, struct cli_answer *info, struct moment *ret_moment)
{
    struct cli_answer server = {.is_there = false};
    struct mregion_error error;
    const msgpack_object *map = &info->unpacked.data;

    if (cli_answer_call(export->cli, "serverInfo", NULL, &server, &error) != MREGION_OK)
        return cli_fail_library(export->cli, &error, NULL);
    ret_moment->uptime_s = cli_value_number(&server.unpacked.data, "uptime_s");
    export->piece = stream_piece(cli_value_number(&server.unpacked.data, "max_message"));
    cli_answer_release(&server);
    if (cli_answer_call(export->cli, "regionInfo", export->region, info, &error) != MREGION_OK)
        return cli_fail_library(export->cli, &error, NULL);
    for (size_t i = 0; i < MARKS; i++)
        ret_moment->numbers[i] = cli_value_number(map, marks[i]);
    ret_moment->has_changes = cli_value(map, "changes") != NULL;
    ret_moment->changes = cli_value_number(map, "changes");
    cli_value_text(map, "uuid", ret_moment->uuid, sizeof ret_moment->uuid);
    return CLI_OK;
}

static bool is_same(const struct moment *now, const struct moment *before)
{
    if (strcmp(now->uuid, before->uuid) != 0 || now->has_changes != before->has_changes)
        return false;
    if (now->has_changes)
        return now->changes == before->changes;
    return now->uptime_s >= before->uptime_s &&
           memcmp(now->numbers, before->numbers, sizeof now->numbers) == 0;
}

static int check_moment(struct export *export)
{
    struct cli_answer info = {.is_there = false};
    struct moment now;
    int status = read_moment(export, &info, &now);

    cli_answer_release(&info);
    if (status != CLI_OK)
        return status;
    if (is_same(&now, &export->before))
        return CLI_OK;
    if (export->is_lax) {
        export->chain.sum.has_changed = true;
        return CLI_OK;
    }
    return cli_fail(export->cli, CLI_AGAIN,
                    "%s is being changed: an export is of one moment, so try again when nobody "
                    "writes, or take what comes with --anyway",
                    export->region);
}

/* An older server counts what is durable: a change that was under way has been counted by then. */
static int check_end(struct export *export)
{
    struct timespec pause = {.tv_nsec = SETTLE_MS * 1000000L};

    if (!export->before.has_changes)
        (void)nanosleep(&pause, NULL);
    return check_moment(export);
}

/* ---- Out ---- */

static int write_out(struct export *export, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(export->target.fd, bytes, size);

        if (cli_signal_pending())
            return cli_fail(export->cli, CLI_LOCAL_IO, "export: interrupted");
        if (count < 0 && errno != EINTR)
            return cli_fail(export->cli, CLI_LOCAL_IO, "%s: cannot write: %s", export->target.name,
                            strerror(errno));
        if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
    return CLI_OK;
}

/* The options by their keys, as createRegion takes them. */
static size_t put_text(const msgpack_object *info, char text[STREAM_TEXT_MAX])
{
    char value[128];
    size_t length = 0;

    for (const char *const *key = (const char *const[]){"name", "uuid", NULL}; *key != NULL;
         key++) {
        cli_value_text(info, *key, value, sizeof value);
        length += (size_t)snprintf(text + length, STREAM_TEXT_MAX - length, "%s %s\n", *key, value);
    }
    for (const struct cli_option *option = cli_method_create_options; option->name != NULL;
         option++) {
        if (option->letter == 'T')
            cli_value_text(info, option->key, value, sizeof value);
        else
            (void)snprintf(value, sizeof value, "%" PRIu64, cli_value_number(info, option->key));
        length += (size_t)snprintf(text + length, STREAM_TEXT_MAX - length, "%s %s\n", option->key,
                                   value);
    }
    return length;
}

static int write_head(struct export *export)
{
    struct cli_answer info = {.is_there = false};
    char text[STREAM_TEXT_MAX];
    uint8_t start[STREAM_START_SIZE];
    uint8_t *record = export->slots[0].record;
    int status = read_moment(export, &info, &export->before);

    if (status == CLI_OK) {
        const msgpack_object *map = &info.unpacked.data;
        struct stream_head head = {.size = cli_value_number(map, "size"),
                                   .pages = cli_value_number(map, "pages"),
                                   .in_use = cli_value_number(map, "allocated"),
                                   .text = text,
                                   .text_size = put_text(map, text)};

        export->size = head.size;
        export->in_use = head.in_use;
        stream_start(&export->chain, start);
        status = write_out(export, start, sizeof start);
        if (status == CLI_OK)
            status = write_out(export, record, stream_put_head(&export->chain, &head, record));
    }
    cli_answer_release(&info);
    return status;
}

/* ---- In ---- */

/* The next piece of what is in use, up to a multiple of the largest piece. *ret_piece is of size 0
 * behind the last, and where there is no room for it. */
static int next_piece(struct export *export, size_t room, struct mregion_block *ret_piece)
{
    struct mregion_block *block = &export->part[export->part_next];
    struct mregion_error error;
    uint64_t until;

    *ret_piece = (struct mregion_block){0};
    if (export->part_next == export->part_count) {
        if (export->listed == export->size)
            return CLI_OK;
        if (export->listed > 0 && check_moment(export) != CLI_OK)
            return CLI_AGAIN;
        if (mregion_allocated_blocks_in_range(export->cli->connection, export->region,
                                              export->listed, export->size, PART, export->part,
                                              &export->part_count, &error) != MREGION_OK)
            return cli_fail_library(export->cli, &error, NULL);
        export->part_next = 0;
        block = export->part;
        export->listed = export->part_count == PART ? block[PART - 1].address + block[PART - 1].size
                                                    : export->size;
        if (export->part_count == 0)
            return CLI_OK;
    }
    until = round_down(block->address, export->piece) + export->piece;
    *ret_piece = *block;
    if (block->size > until - block->address)
        ret_piece->size = until - block->address;
    if (ret_piece->size > room) {
        ret_piece->size = 0; /* for the next record */
        return CLI_OK;
    }
    block->address += ret_piece->size;
    block->size -= ret_piece->size;
    if (block->size == 0)
        export->part_next++;
    return CLI_OK;
}

/* Begins a record with as many pieces as it takes; of none at the end. */
static int begin_slot(struct export *export, struct slot *slot)
{
    uint8_t *bytes = stream_bytes_of(slot->record, STREAM_BLOCKS_MAX);
    struct mregion_error error;

    slot->count = slot->bytes = 0;
    while (slot->count < STREAM_BLOCKS_MAX && slot->bytes < STREAM_BYTES_MAX) {
        struct mregion_block *piece = &slot->blocks[slot->count];
        int status = next_piece(export, STREAM_BYTES_MAX - slot->bytes, piece);

        if (status != CLI_OK)
            return status;
        if (piece->size == 0)
            break;
        if (mregion_submit_load(export->cli->connection, export->region, piece->address,
                                piece->size, bytes + slot->bytes, &slot->tickets[slot->count],
                                &error) != MREGION_OK)
            return cli_fail_library(export->cli, &error, NULL);
        slot->bytes += piece->size;
        slot->count++;
    }
    return CLI_OK;
}

/* Collects the loads of a record; *ret_gone is set where a block is not there any more, whose size
 * is 0 then. */
static int collect_slot(struct export *export, struct slot *slot, bool *ret_gone)
{
    struct mregion_error error;
    int status = CLI_OK;

    for (size_t i = 0; i < slot->count && status == CLI_OK; i++) {
        int code = mregion_collect_done(export->cli->connection, slot->tickets[i], &error);

        if (code != MREGION_ERR_TIMEOUT)
            slot->tickets[i] = 0;
        slot->is_gone[i] = code == MREGION_ERR_NOT_ALLOCATED || code == MREGION_ERR_OUT_OF_BOUNDS;
        *ret_gone = *ret_gone || slot->is_gone[i];
        /* That a block was freed meanwhile is a change like another. */
        if (slot->is_gone[i])
            status = check_moment(export);
        if (status == CLI_OK && code != MREGION_OK && !(slot->is_gone[i] && export->is_lax))
            status = cli_fail_library(export->cli, &error, NULL);
    }
    return status;
}

/* The bytes are in the record already. */
static int write_single(struct export *export, struct mregion_block block)
{
    return write_out(export, export->single,
                     stream_put_data(&export->chain, &block, 1, export->single));
}

/* What is left of a block that was changed: as it is now, part by part. */
static int write_rest(struct export *export, struct mregion_block block)
{
    struct mregion *connection = export->cli->connection;
    uint64_t at = block.address, end = block.address + block.size;
    struct mregion_error error;
    struct mregion_block part;
    size_t count;
    int status = CLI_OK;

    for (unsigned tries = 0; status == CLI_OK && at < end; tries++) {
        int code = mregion_allocated_blocks_in_range(connection, export->region, at, end, 1, &part,
                                                     &count, &error);

        if (code == MREGION_OK && count == 0)
            break;
        if (code == MREGION_OK && (part.address < at || part.size > end - part.address))
            return cli_fail(export->cli, CLI_UNAVAILABLE,
                            "the server lists a block that goes beyond what was asked for");
        if (code == MREGION_OK)
            code = mregion_load(connection, export->region, part.address, part.size,
                                stream_bytes_of(export->single, 1), &error);
        if (code == MREGION_OK) {
            status = write_single(export, part);
            at = part.address + part.size;
            tries = 0;
        } else if (code != MREGION_ERR_NOT_ALLOCATED || tries == TRIES_MAX) {
            status = cli_fail_library(export->cli, &error, NULL);
        }
    }
    return status;
}

/* Block by block. */
static int write_apart(struct export *export, const struct slot *slot)
{
    const uint8_t *loaded = stream_bytes_of(slot->record, STREAM_BLOCKS_MAX);
    int status = CLI_OK;

    for (size_t i = 0; i < slot->count && status == CLI_OK; i++) {
        struct mregion_block block = slot->blocks[i];

        if (slot->is_gone[i]) {
            status = write_rest(export, block);
        } else {
            memcpy(stream_bytes_of(export->single, 1), loaded, block.size);
            status = write_single(export, block);
        }
        loaded += block.size;
    }
    return status;
}

static int end_slot(struct export *export, struct slot *slot)
{
    /* The bytes have room for more blocks in front of them than there are. */
    uint8_t *record = slot->record + (STREAM_BLOCKS_MAX - slot->count) * sizeof slot->blocks[0];
    bool has_gone = false;
    int status = collect_slot(export, slot, &has_gone);

    if (status == CLI_OK && export->chain.number % CHECK_EVERY == 0)
        status = check_moment(export);
    if (status == CLI_OK && has_gone)
        status = write_apart(export, slot);
    else if (status == CLI_OK)
        status = write_out(export, record,
                           stream_put_data(&export->chain, slot->blocks, slot->count, record));
    cli_progress_show(&export->progress, export->chain.sum.bytes, export->in_use);
    return status;
}

static int move_blocks(struct export *export)
{
    int status = CLI_OK;
    bool is_last = false;

    while (status == CLI_OK && !(is_last && export->under_way == 0)) {
        struct slot *slot = &export->slots[(export->first + export->under_way) % SLOTS];

        if (!is_last && export->under_way < SLOTS) {
            status = begin_slot(export, slot);
            is_last = slot->count == 0;
            export->under_way += !is_last;
            continue;
        }
        status = end_slot(export, &export->slots[export->first]);
        export->first = (export->first + 1) % SLOTS;
        export->under_way--;
    }
    return status;
}

/* ---- All of it ---- */

static int write_all(struct export *export)
{
    int status = write_head(export);

    if (status == CLI_OK)
        status = move_blocks(export);
    if (status == CLI_OK)
        status = check_end(export);
    if (status == CLI_OK)
        status = write_out(export, export->slots[0].record,
                           stream_put_end(&export->chain, export->slots[0].record));
    return status;
}

/* The library may write to a buffer until its ticket is forgotten. */
static void export_free(struct export *export)
{
    for (size_t i = 0; export != NULL && i < SLOTS; i++) {
        struct slot *slot = &export->slots[i];

        for (size_t j = 0; j < STREAM_BLOCKS_MAX; j++) {
            if (slot->tickets[j] != 0)
                mregion_forget(export->cli->connection, slot->tickets[j]);
        }
        free(slot->record);
    }
    if (export != NULL)
        free(export->single);
    free(export);
}

static struct export *export_new(struct cli *cli, const char *region)
{
    struct export *export = calloc(1, sizeof *export);

    if (export == NULL)
        return NULL;
    export->cli = cli;
    export->region = region;
    export->single = malloc(STREAM_RECORD_MAX);
    if (export->single == NULL) {
        export_free(export);
        return NULL;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        export->slots[i].record = malloc(STREAM_RECORD_MAX);
        if (export->slots[i].record == NULL) {
            export_free(export);
            return NULL;
        }
    }
    return export;
}

static int run(struct export *export, const char *path)
{
    struct cli *cli = export->cli;
    int status = cli_target_open(cli, path, &export->target);

    if (status != CLI_OK)
        return status;
    cli_progress_begin(&export->progress, cli->connection, export->region, false);
    /* Pieces are no progress of their own. */
    mregion_set_progress(cli->connection, NULL, NULL);
    status = write_all(export);
    cli_progress_end(&export->progress, cli->connection);
    if (status == CLI_OK && export->chain.sum.has_changed)
        (void)cli_fail(cli, CLI_OK, CLI_EXPORT_CHANGED, export->region);
    if (status == CLI_OK)
        return cli_target_commit(cli, &export->target, false);
    cli_target_abandon(&export->target);
    return status;
}

int cli_export(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *path = arguments->count > 0 ? arguments->items[0] : "-";
    struct export *export;
    const char *region;
    int status;

    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO) != 0)
        return cli_fail(cli, CLI_USAGE,
                        "export: standard output is a terminal: name a file, or a pipe");
    status = cli_output_flush(cli);
    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status != CLI_OK)
        return status;
    export = export_new(cli, region);
    if (export != NULL)
        export->is_lax = arguments->options[0] != NULL;
    status = export == NULL ? cli_no_memory(cli) : run(export, path);
    export_free(export);
    return status;
}
