/* Blobs from and to file descriptors, in bounded memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/blob.h"
#include "client/error.h"
#include "client/pieces.h"
#include "client/token.h"
#include "core/bytes.h"

/* A source up to this size is read whole and goes as one message, where the server takes it. */
#define WHOLE_MAX ((uint64_t)64 << 20)
/* Room for a source of unknown length at first. */
#define ALLOCATE_FIRST WHOLE_MAX
#define BUFFER_FIRST ((size_t)256 << 10)
#define BUFFER_LEAST ((size_t)4 << 10)

/* ---- Sources ---- */

struct source {
    struct mregion *connection; /* whose progress is asked when a signal comes */
    int fd;
    bool is_sized; /* a regular file: so many bytes are left of it, at least now */
    uint64_t expected;
    uint8_t *buffer;
    size_t capacity;
    size_t start; /* where in the buffer what was read begins */
    size_t filled;
    bool at_end;
};

static void source_init(struct source *source, struct mregion *connection, int fd)
{
    struct stat status;
    off_t offset;

    *source = (struct source){.connection = connection, .fd = fd};
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    offset = lseek(fd, 0, SEEK_CUR);
    source->is_sized = offset >= 0;
    if (offset >= 0 && offset < status.st_size)
        source->expected = (uint64_t)(status.st_size - offset);
}

static void source_release(struct source *source)
{
    free(source->buffer);
    source->buffer = NULL;
}

static int source_reserve(struct source *source, size_t capacity, struct mregion_error *error)
{
    uint8_t *buffer;

    if (capacity <= source->capacity)
        return MREGION_OK;
    buffer = realloc(source->buffer, capacity);
    if (buffer == NULL)
        return error_no_memory(error);
    source->buffer = buffer;
    source->capacity = capacity;
    return MREGION_OK;
}

/* A signal has come while a descriptor was waited for, which may take for ever: whoever watches the
 * progress may have had enough. */
static int interrupted(struct mregion *connection, struct mregion_error *error)
{
    struct transfer *transfer = connection->transfer;

    if (transfer == NULL ||
        transfer->progress(transfer->done, transfer->total, transfer->context) == 0)
        return MREGION_OK;
    transfer->is_canceled = true;
    return error_set(error, MREGION_ERR_CANCELED, "canceled");
}

/* Waits for a descriptor that is not blocking after all. */
static int wait_for(struct mregion *connection, int fd, short events, struct mregion_error *error)
{
    struct pollfd waiting = {.fd = fd, .events = events};

    return poll(&waiting, 1, -1) < 0 && errno == EINTR ? interrupted(connection, error)
                                                       : MREGION_OK;
}

/* Reads until the buffer holds size bytes from start on, or the source ends. */
static int source_fill(struct source *source, size_t size, struct mregion_error *error)
{
    int code = MREGION_OK;

    while (code == MREGION_OK && source->filled < size && !source->at_end) {
        uint8_t *at = source->buffer + source->start + source->filled;
        ssize_t count = read(source->fd, at, size - source->filled);

        if (count > 0)
            source->filled += (size_t)count;
        else if (count == 0)
            source->at_end = true;
        else if (errno == EAGAIN)
            code = wait_for(source->connection, source->fd, POLLIN, error);
        else if (errno == EINTR)
            code = interrupted(source->connection, error);
        else
            code = error_set_system(error, MREGION_ERR_LOCAL_IO, errno, "cannot read");
    }
    return code;
}

/* Reads it whole if it has at most max bytes: then at_end is set. Otherwise its beginning is in
 * the buffer, or nothing when it is known to be longer. */
static int source_read_whole(struct source *source, size_t max, struct mregion_error *error)
{
    size_t limit = max + 1; /* the end shows only when something behind it is asked for */
    size_t capacity = BUFFER_FIRST;
    int code = MREGION_OK;

    if (source->is_sized && source->expected > max)
        return MREGION_OK;
    if (source->is_sized && source->expected >= BUFFER_LEAST)
        capacity = (size_t)source->expected + 1;
    else if (source->is_sized)
        capacity = BUFFER_LEAST;
    while (code == MREGION_OK && !source->at_end && source->filled < limit) {
        if (capacity > limit)
            capacity = limit;
        code = source_reserve(source, capacity, error);
        if (code == MREGION_OK)
            code = source_fill(source, capacity, error);
        capacity *= 2;
    }
    return code;
}

/* ---- In pieces ---- */

/* What a source is written to. A block of our own grows with it. */
struct target {
    struct mregion_block block;
    bool is_ours;
    uint64_t written;
};

/* Room for size bytes more. */
static int target_reserve(struct target *target, struct pieces *pieces, uint64_t size,
                          struct mregion_error *error)
{
    uint64_t needed = target->written + size;
    uint64_t larger = 2 * target->block.size;
    int code;

    if (!target->is_ours || needed <= target->block.size)
        return MREGION_OK;
    code = pieces_finish(pieces, error);
    if (code != MREGION_OK)
        return code;
    if (larger < needed)
        larger = needed;
    code = mregion_resize(pieces->connection, pieces->region, target->block.address,
                          target->block.size, larger, &target->block.address, error);
    if (code == MREGION_OK)
        target->block.size = larger;
    return code;
}

/* Stores what is filled, without waiting for the last answers. */
static int put(struct source *source, struct target *target, struct pieces *pieces,
               struct mregion_error *error)
{
    int code = target_reserve(target, pieces, source->filled, error);

    if (code == MREGION_OK)
        code = pieces_store(pieces, target->block.address + target->written,
                            source->buffer + source->start, source->filled, error);
    target->written += source->filled;
    source->filled = 0;
    return code;
}

/* A piece stays in the buffer until it is answered: there are as many parts in it as pieces may be
 * under way, and they are taken in turn. */
static int copy_in(struct source *source, struct target *target, struct pieces *pieces,
                   struct mregion_error *error)
{
    size_t part = (size_t)pieces->size;
    int code = MREGION_OK;

    /* What was read to find out how long the source is. */
    if (source->filled > 0) {
        code = put(source, target, pieces, error);
        if (code == MREGION_OK)
            code = pieces_finish(pieces, error);
    }
    if (code == MREGION_OK)
        code = source_reserve(source, PIECES_MAX * part, error);
    for (size_t turn = 0; code == MREGION_OK && !source->at_end; turn = (turn + 1) % PIECES_MAX) {
        source->start = turn * part;
        if (pieces->count == PIECES_MAX)
            code = pieces_pop(pieces, error);
        if (code == MREGION_OK)
            code = source_fill(source, part, error);
        if (code == MREGION_OK && source->filled > 0)
            code = put(source, target, pieces, error);
    }
    return code == MREGION_OK ? pieces_finish(pieces, error) : code;
}

/* Writes the source to the target piece by piece; nothing is undone. */
static int stream(struct mregion *connection, const char *region, struct source *source,
                  struct target *target, struct mregion_error *error)
{
    struct pieces pieces;
    int code = pieces_init(&pieces, connection, region, error);

    if (code == MREGION_OK)
        code = copy_in(source, target, &pieces, error);
    pieces_abandon(&pieces);
    return code;
}

/* Allocates, streams, cuts to size. */
static int add_stream(struct mregion *connection, const char *region, struct source *source,
                      struct mregion_block *ret_block, struct mregion_error *error)
{
    struct target target = {.is_ours = true};
    int code;

    code = token_check_steps(connection, error);
    if (code != MREGION_OK)
        return code;
    target.block.size = source->is_sized ? source->expected : ALLOCATE_FIRST;
    if (target.block.size < source->filled)
        target.block.size = source->filled;
    code = mregion_allocate(connection, region, target.block.size, &target.block.address, error);
    if (code != MREGION_OK)
        return code;
    code = stream(connection, region, source, &target, error);
    if (code == MREGION_OK && target.written < target.block.size)
        code = mregion_resize(connection, region, target.block.address, target.block.size,
                              target.written, &target.block.address, error);
    if (code != MREGION_OK) {
        pieces_give_back(connection, region, target.block, error);
        return code;
    }
    *ret_block = (struct mregion_block){target.block.address, target.written};
    return MREGION_OK;
}

/* ---- From descriptors ---- */

/* How much of the source may go as one message. */
static int read_message(struct mregion *connection, struct source *source,
                        struct mregion_error *error)
{
    uint64_t max;
    int code =
        blob_message_max(connection, source->is_sized ? source->expected : UINT64_MAX, &max, error);

    if (code != MREGION_OK)
        return code;
    return source_read_whole(source, (size_t)(max < WHOLE_MAX ? max : WHOLE_MAX), error);
}

/* Begins a blob that comes from a source; end with end_source. */
static int begin_source(struct mregion *connection, struct source *source,
                        struct transfer *transfer, int fd, struct mregion_error *error)
{
    source_init(source, connection, fd);
    blob_begin(connection, transfer, source->expected);
    return read_message(connection, source, error);
}

static void end_source(struct mregion *connection, struct source *source)
{
    blob_end_change(connection);
    source_release(source);
}

int mregion_add_fd(struct mregion *connection, const char *region, int fd, uint64_t *ret_address,
                   uint64_t *ret_size, struct mregion_error *error)
{
    struct mregion_block block = {0};
    struct transfer transfer;
    struct source source;
    int code = begin_source(connection, &source, &transfer, fd, error);

    if (code == MREGION_OK && source.at_end) {
        block.size = source.filled;
        code = blob_add(connection, region, source.buffer, block.size, &block.address, error);
    } else if (code == MREGION_OK) {
        code = add_stream(connection, region, &source, &block, error);
    }
    end_source(connection, &source);
    if (code == MREGION_OK) {
        *ret_address = block.address;
        *ret_size = block.size;
    }
    return code;
}

int mregion_add_file(struct mregion *connection, const char *region, const char *path,
                     uint64_t *ret_address, uint64_t *ret_size, struct mregion_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code;

    if (fd < 0)
        return error_set_system(error, MREGION_ERR_LOCAL_IO, errno, "cannot open %.300s", path);
    code = mregion_add_fd(connection, region, fd, ret_address, ret_size, error);
    (void)close(fd);
    return code;
}

int mregion_store_fd(struct mregion *connection, const char *region, uint64_t address, int fd,
                     uint64_t *ret_size, struct mregion_error *error)
{
    struct target target = {.block = {.address = address}};
    struct transfer transfer;
    struct source source;
    int code = begin_source(connection, &source, &transfer, fd, error);

    if (code == MREGION_OK && source.at_end) {
        target.written = source.filled;
        code = blob_store(connection, region, address, source.buffer, target.written, error);
    } else if (code == MREGION_OK) {
        code = token_check_steps(connection, error);
        if (code == MREGION_OK)
            code = stream(connection, region, &source, &target, error);
    }
    end_source(connection, &source);
    if (code == MREGION_OK)
        *ret_size = target.written;
    return code;
}

int mregion_replace_fd(struct mregion *connection, const char *region, uint64_t address,
                       uint64_t size, int fd, uint64_t *ret_address, uint64_t *ret_size,
                       struct mregion_error *error)
{
    struct mregion_block old = {address, size}, block = {0};
    struct transfer transfer;
    struct source source;
    int code = begin_source(connection, &source, &transfer, fd, error);

    if (code == MREGION_OK && source.at_end) {
        block.size = source.filled;
        code =
            blob_replace(connection, region, old, source.buffer, block.size, &block.address, error);
    } else if (code == MREGION_OK) {
        code = token_check_steps(connection, error);
        if (code == MREGION_OK)
            code = blob_check_allocated(connection, region, old, error);
        if (code == MREGION_OK)
            code = add_stream(connection, region, &source, &block, error);
        if (code == MREGION_OK)
            code = blob_retire(connection, region, old, block, &block.address, error);
    }
    end_source(connection, &source);
    if (code == MREGION_OK) {
        *ret_address = block.address;
        *ret_size = block.size;
    }
    return code;
}

/* ---- To a descriptor ---- */

static int write_all(struct mregion *connection, int fd, const uint8_t *bytes, uint64_t size,
                     struct mregion_error *error)
{
    int code = MREGION_OK;

    while (code == MREGION_OK && size > 0) {
        ssize_t count = write(fd, bytes, (size_t)size);

        if (count >= 0) {
            bytes += count;
            size -= (uint64_t)count;
        } else if (errno == EAGAIN) {
            code = wait_for(connection, fd, POLLOUT, error);
        } else if (errno == EINTR) {
            code = interrupted(connection, error);
        } else {
            code = error_set_system(error, MREGION_ERR_LOCAL_IO, errno, "cannot write");
        }
    }
    return code;
}

/* While one piece is written the next one is on its way. */
#define BUFFERS 2

static int copy_out(struct mregion *connection, const char *region, struct mregion_block block,
                    int fd, struct mregion_error *error)
{
    struct pieces pieces;
    uint8_t *buffers = NULL;
    uint64_t asked = 0, written = 0, piece;
    unsigned in = 0, out = 0; /* the buffers whose turn it is */
    int code = pieces_init(&pieces, connection, region, error);

    if (code == MREGION_OK && pieces.size > block.size)
        pieces.size = block.size;
    if (code == MREGION_OK) {
        buffers = malloc((size_t)(BUFFERS * pieces.size));
        if (buffers == NULL)
            code = error_no_memory(error);
    }
    while (code == MREGION_OK && written < block.size) {
        if (pieces.count < BUFFERS && asked < block.size) {
            piece = min_u64(block.size - asked, pieces.size);
            code = pieces_load(&pieces, block.address + asked, buffers + in * pieces.size, piece,
                               error);
            asked += piece;
            in = (in + 1) % BUFFERS;
        } else {
            piece = min_u64(block.size - written, pieces.size);
            code = pieces_pop(&pieces, error);
            if (code == MREGION_OK)
                code = write_all(connection, fd, buffers + out * pieces.size, piece, error);
            if (code == MREGION_OK)
                written += piece;
            out = (out + 1) % BUFFERS;
        }
    }
    pieces_abandon(&pieces);
    free(buffers);
    return code;
}

int mregion_load_fd(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
                    int fd, struct mregion_error *error)
{
    struct mregion_block block = {address, size};
    struct transfer transfer;
    int code;

    /* Whether there is such a block is for the server to say. */
    if (size == 0)
        return mregion_load(connection, region, address, 0, NULL, error);
    blob_begin(connection, &transfer, size);
    code = copy_out(connection, region, block, fd, error);
    blob_end(connection);
    return code;
}
