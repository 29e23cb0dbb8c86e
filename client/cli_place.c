#include "client/cli_place.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_values.h"
#include "core/bytes.h"
#include "core/limits.h"

/* A smaller hole is sent as zeros. */
#define HOLE_MIN (64 * KIB)

/* Holes that an upload is worth, and that part of what comes. */
#define UPLOAD_HOLES (16 * MIB)
#define UPLOAD_HOLES_PART 2
/* Less is added. */
#define UPLOAD_MIN (1 * MIB)

/* Messages that free holes under way at a time, and holes in one. */
#define FREES_MAX 8
#define FREES_CHANGES 1000

bool place_init(struct place *place, struct cli *cli, const char *region, uint64_t piece,
                uint64_t changes_max)
{
    *place =
        (struct place){.cli = cli, .region = region, .piece = piece, .changes_max = changes_max};
    place->gathered = malloc((size_t)piece);
    return place->gathered != NULL;
}

void place_release(struct place *place)
{
    for (; place->count > 0; place->count--) {
        mregion_forget(place->cli->connection, place->requests[place->first].ticket);
        place->first = (place->first + 1) % PLACE_REQUESTS;
    }
    mregion_upload_close(place->upload);
    place->upload = NULL;
    free(place->holes);
    free(place->gathered);
    place->holes = NULL;
    place->gathered = NULL;
}

static int check_address(struct place *place, uint64_t address, uint64_t wanted)
{
    if (address == wanted)
        return CLI_OK;
    place->is_shared = true;
    return cli_fail(place->cli, CLI_REFUSED,
                    "%s: what belongs at %" PRIu64 " came to %" PRIu64
                    ": somebody else changes the region",
                    place->region, wanted, address);
}

/* ---- Requests under way ---- */

static int collect_first(struct place *place)
{
    struct place_request first = place->requests[place->first];
    struct mregion_error error;
    uint64_t address;

    place->first = (place->first + 1) % PLACE_REQUESTS;
    place->count--;
    place->kept -= first.kept;
    if (mregion_collect_uint(place->cli->connection, first.ticket, &address, &error) == MREGION_OK)
        return check_address(place, address, first.address);
    if (error.code == MREGION_ERR_TIMEOUT)
        mregion_forget(place->cli->connection, first.ticket);
    place->placed -= first.size;
    return cli_fail_library(place->cli, &error, NULL);
}

void place_settle(struct place *place)
{
    bool is_silent = false;

    for (; place->count > 0; place->count--) {
        struct place_request first = place->requests[place->first];
        uint64_t address = first.address;
        int code = MREGION_ERR_TIMEOUT;

        place->first = (place->first + 1) % PLACE_REQUESTS;
        if (!is_silent)
            code = mregion_collect_uint(place->cli->connection, first.ticket, &address, NULL);
        place->is_shared = place->is_shared || address != first.address;
        if (code != MREGION_OK)
            place->placed -= first.size;
        is_silent = code == MREGION_ERR_TIMEOUT;
        if (is_silent)
            mregion_forget(place->cli->connection, first.ticket);
    }
}

static int collect_until(struct place *place, size_t count, uint64_t kept)
{
    int status = CLI_OK;

    while (status == CLI_OK && (place->count > count || place->kept > kept))
        status = collect_first(place);
    return status;
}

/* Adds the bytes, or allocates as many where they are NULL, which then are at address. */
static int submit(struct place *place, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    struct mregion *connection = place->cli->connection;
    uint64_t kept = bytes != NULL ? size : 0;
    int status = collect_until(place, PLACE_REQUESTS - 1, PLACE_BYTES - kept);
    struct place_request request = {.address = address, .size = size, .kept = kept};
    struct mregion_error error;
    int code;

    if (status != CLI_OK)
        return status;
    code = bytes != NULL
               ? mregion_submit_add(connection, place->region, bytes, size, &request.ticket, &error)
               : mregion_submit_allocate(connection, place->region, size, &request.ticket, &error);
    if (code != MREGION_OK)
        return cli_fail_library(place->cli, &error, NULL);
    place->requests[(place->first + place->count) % PLACE_REQUESTS] = request;
    place->count++;
    place->kept += kept;
    place->placed += size;
    return CLI_OK;
}

/* ---- One upload ---- */

/* Whether all that is left had better be one. What is gathered does not count. */
static bool is_dense(const struct place *place)
{
    uint64_t left = place->size - place->end;
    uint64_t in_use = place->in_use > place->used ? place->in_use - place->used : 0;

    return left >= UPLOAD_MIN && in_use <= left &&
           left - in_use <= max_u64(UPLOAD_HOLES, left / UPLOAD_HOLES_PART);
}

/* Begins it, of everything from address on, where the server has room for one. */
static int begin_upload(struct place *place, uint64_t address)
{
    struct mregion_error error;
    int code = mregion_upload_begin(place->cli->connection, place->region, place->size - address,
                                    &place->upload, &error);

    if (code == MREGION_OK) {
        place->upload_address = address;
        return CLI_OK;
    }
    place->upload = NULL;
    place->has_no_upload = code == MREGION_ERR_BUSY;
    return place->has_no_upload ? CLI_OK : cli_fail_library(place->cli, &error, NULL);
}

static int append(struct place *place, const uint8_t *bytes, uint64_t size)
{
    struct mregion_error error;

    if (mregion_upload_append(place->upload, bytes, size, &error) == MREGION_OK)
        return CLI_OK;
    return cli_fail_library(place->cli, &error, NULL);
}

static int commit_upload(struct place *place)
{
    struct mregion_error error;
    uint64_t address;

    if (mregion_upload_commit(place->upload, &address, &error) != MREGION_OK)
        return cli_fail_library(place->cli, &error, NULL);
    place->placed += place->size - place->upload_address;
    return check_address(place, address, place->upload_address);
}

/* ---- Pieces ---- */

/* All pages at once, so that nothing has to wait for more of them later. */
static int take_pages(struct place *place)
{
    struct mregion *connection = place->cli->connection;
    struct mregion_error error;
    uint64_t before, there;
    int code = mregion_pages(connection, place->region, &there, &error);

    if (code == MREGION_OK && there < place->pages)
        code = mregion_grow(connection, place->region, place->pages - there, &before, &error);
    return code == MREGION_OK ? CLI_OK : cli_fail_library(place->cli, &error, NULL);
}

/* The piece in front of the end. */
static int send_piece(struct place *place, const uint8_t *bytes, uint64_t size)
{
    uint64_t address = place->end - size;
    bool is_first = !place->is_touched;
    int status = CLI_OK;

    if (size == 0)
        return CLI_OK;
    place->is_touched = true;
    if (place->upload == NULL && !place->has_no_upload && is_dense(place))
        status = begin_upload(place, address);
    else if (is_first)
        status = take_pages(place);
    if (status != CLI_OK)
        return status;
    return place->upload != NULL ? append(place, bytes, size) : submit(place, address, bytes, size);
}

static int send_gathered(struct place *place)
{
    size_t size = place->gathered_size;

    place->gathered_size = 0;
    return send_piece(place, place->gathered, size);
}

/* Copies bytes, or zeros where they are NULL. */
static void copy_part(struct place *place, const uint8_t *bytes, size_t part)
{
    if (bytes != NULL)
        memcpy(place->gathered + place->gathered_size, bytes, part);
    else
        memset(place->gathered + place->gathered_size, 0, part);
    place->gathered_size += part;
}

/* The next bytes, zeros where they are NULL. What makes a whole piece is sent as it is. */
static int gather(struct place *place, const uint8_t *bytes, uint64_t size)
{
    int status = CLI_OK;

    while (size > 0 && status == CLI_OK) {
        uint64_t until = round_down(place->end, place->piece) + place->piece;
        size_t part = (size_t)min_u64(size, until - place->end);
        bool is_whole = bytes != NULL && part == place->piece;

        if (!is_whole)
            copy_part(place, bytes, part);
        place->end += part;
        size -= part;
        if (bytes != NULL)
            place->used += part;
        if (is_whole)
            status = send_piece(place, bytes, part);
        else if (place->end == until)
            status = send_gathered(place);
        bytes = bytes != NULL ? bytes + part : NULL;
    }
    return status;
}

/* ---- Holes ---- */

static int note_hole(struct place *place, uint64_t size)
{
    if (place->holes_count == place->holes_room) {
        size_t room = place->holes_room > 0 ? place->holes_room * 2 : 1024;
        struct mregion_block *holes = reallocarray(place->holes, room, sizeof *holes);

        if (holes == NULL)
            return cli_no_memory(place->cli);
        place->holes = holes;
        place->holes_room = room;
    }
    place->holes[place->holes_count++] = (struct mregion_block){place->end, size};
    return CLI_OK;
}

static int leave_hole(struct place *place, uint64_t until)
{
    uint64_t size = until - place->end;
    int status = size > 0 ? note_hole(place, size) : CLI_OK;

    if (status == CLI_OK && size >= HOLE_MIN && place->upload == NULL)
        status = send_gathered(place);
    if (status != CLI_OK || size == 0)
        return status;
    if (size < HOLE_MIN || place->upload != NULL)
        return gather(place, NULL, size);
    place->is_touched = true;
    status = submit(place, place->end, NULL, size);
    place->end = until;
    return status;
}

/* [region, [["deallocate", address, size], ...]] */
static bool pack_frees(const struct place *place, const struct mregion_block *holes, size_t count,
                       msgpack_sbuffer *buffer)
{
    static const char method[] = "deallocate";
    msgpack_packer packer;
    int failed;

    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    failed = msgpack_pack_array(&packer, 2);
    failed |= cli_pack_region(&packer, place->region);
    failed |= msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++) {
        failed |= msgpack_pack_array(&packer, 3);
        failed |= msgpack_pack_str_with_body(&packer, method, strlen(method));
        failed |= msgpack_pack_uint64(&packer, holes[i].address);
        failed |= msgpack_pack_uint64(&packer, holes[i].size);
    }
    return failed == 0;
}

static int submit_frees(struct place *place, const struct mregion_block *holes, size_t count,
                        mregion_ticket *ret_ticket)
{
    struct mregion_error error;
    msgpack_sbuffer buffer;
    int status = CLI_OK;

    msgpack_sbuffer_init(&buffer);
    if (!pack_frees(place, holes, count, &buffer))
        status = cli_no_memory(place->cli);
    else if (mregion_submit(place->cli->connection, "batch", buffer.data, buffer.size, ret_ticket,
                            &error) != MREGION_OK)
        status = cli_fail_library(place->cli, &error, NULL);
    msgpack_sbuffer_destroy(&buffer);
    for (size_t i = 0; i < count; i++)
        place->placed -= holes[i].size;
    return status;
}

static int collect_frees(struct place *place, mregion_ticket ticket)
{
    struct mregion_error error;
    void *result;
    size_t size;

    if (mregion_collect(place->cli->connection, ticket, &result, &size, &error) != MREGION_OK) {
        mregion_forget(place->cli->connection, ticket);
        return cli_fail_library(place->cli, &error, NULL);
    }
    mregion_free(result);
    return CLI_OK;
}

/* Many in a message, and several of these under way. */
static int free_holes(struct place *place)
{
    size_t at_once = (size_t)max_u64(1, min_u64(place->changes_max, FREES_CHANGES));
    size_t sent = 0, submitted = 0, collected = 0;
    mregion_ticket tickets[FREES_MAX];
    int status = CLI_OK;

    while (status == CLI_OK && (sent < place->holes_count || collected < submitted)) {
        size_t count = (size_t)min_u64(place->holes_count - sent, at_once);

        if (submitted > collected && (count == 0 || submitted - collected == FREES_MAX)) {
            status = collect_frees(place, tickets[collected++ % FREES_MAX]);
            continue;
        }
        status = submit_frees(place, place->holes + sent, count, &tickets[submitted % FREES_MAX]);
        submitted += status == CLI_OK;
        sent += count;
    }
    while (collected < submitted)
        mregion_forget(place->cli->connection, tickets[collected++ % FREES_MAX]);
    return status;
}

/* ---- All of it ---- */

int place_block(struct place *place, struct mregion_block block, const uint8_t *bytes)
{
    int status = leave_hole(place, block.address);

    return status == CLI_OK ? gather(place, bytes, block.size) : status;
}

int place_finish(struct place *place)
{
    int status = leave_hole(place, place->size);

    if (status == CLI_OK)
        status = send_gathered(place);
    if (status == CLI_OK)
        status = collect_until(place, 0, 0);
    if (status == CLI_OK && place->upload != NULL)
        status = commit_upload(place);
    if (status == CLI_OK)
        status = free_holes(place);
    return status == CLI_OK ? take_pages(place) : status;
}
