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
#include "client/upload.h"
#include "core/bytes.h"

/* A source up to this size is read whole and goes as one message, where the server takes it. */
#define WHOLE_MAX ((uint64_t)4 << 20)
/* The same of one that is to be one change, for the caller has a token for it. */
#define WHOLE_WITH_TOKEN_MAX ((uint64_t)64 << 20)
/* An upload that waits for its source is kept by a message from time to time: more often than the
 * shortest upload_timeout. */
#define KEEP_MS 400
#define BUFFER_FIRST ((size_t)256 << 10)
#define BUFFER_LEAST ((size_t)4 << 10)

/* ---- Sources ---- */

struct source {
    struct mregion *connection; /* whose progress is asked when a signal comes */
    int fd;
    bool is_sized; /* a regular file: so many bytes are left of it, at least now, from here on */
    uint64_t expected;
    off_t offset;
    struct mregion_upload *upload; /* that goes on with what comes, or NULL */
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
    source->offset = offset;
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

/* Waits for a source that lets one wait, and meanwhile lets the server know that this goes on. */
static int source_wait(struct source *source, struct mregion_error *error)
{
    struct pollfd waiting = {.fd = source->fd, .events = POLLIN};
    int code = MREGION_OK, count = 0;

    if (source->is_sized || source->upload == NULL)
        return MREGION_OK;
    while (code == MREGION_OK && count == 0) {
        count = poll(&waiting, 1, KEEP_MS);
        if (count == 0)
            code = upload_append(source->upload, NULL, 0, error);
        else if (count < 0 && errno == EINTR)
            code = interrupted(source->connection, error);
    }
    return code;
}

/* Reads until the buffer holds size bytes from start on, or the source ends. */
static int source_fill(struct source *source, size_t size, struct mregion_error *error)
{
    int code = MREGION_OK;

    while (code == MREGION_OK && source->filled < size && !source->at_end) {
        uint8_t *at = source->buffer + source->start + source->filled;
        ssize_t count;

        code = source_wait(source, error);
        if (code != MREGION_OK)
            break;
        count = read(source->fd, at, size - source->filled);
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

/* ---- Over what is there ---- */

/* Stores what is filled, without waiting for the last answers. */
static int put(struct source *source, uint64_t address, uint64_t *written, struct pieces *pieces,
               struct mregion_error *error)
{
    int code = pieces_store(pieces, address + *written, source->buffer + source->start,
                            source->filled, error);

    *written += source->filled;
    source->filled = 0;
    return code;
}

/* A piece stays in the buffer until it is answered: there are as many parts in it as pieces may be
 * under way, and they are taken in turn. */
static int copy_in(struct source *source, uint64_t address, uint64_t *written,
                   struct pieces *pieces, struct mregion_error *error)
{
    size_t part = (size_t)pieces->size;
    int code = MREGION_OK;

    /* What was read to find out how long the source is. */
    if (source->filled > 0) {
        code = put(source, address, written, pieces, error);
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
            code = put(source, address, written, pieces, error);
    }
    return code == MREGION_OK ? pieces_finish(pieces, error) : code;
}

/* Stores the source piece by piece; nothing is undone. What shows before the first one is refused
 * as a whole, though. */
static int store_stream(struct mregion *connection, const char *region, struct source *source,
                        uint64_t address, uint64_t *ret_size, struct mregion_error *error)
{
    struct mregion_block block = {address, max_u64(source->expected, source->filled)};
    struct pieces pieces;
    int code = token_check_steps(connection, error);

    if (code == MREGION_OK)
        code = blob_check_allocated(connection, region, block, error);
    if (code != MREGION_OK)
        return code;
    code = pieces_init(&pieces, connection, region, error);
    if (code == MREGION_OK)
        code = copy_in(source, address, ret_size, &pieces, error);
    pieces_abandon(&pieces);
    return code;
}

/* ---- As one upload ---- */

/* From its beginning, if it has one still. */
static int source_rewind(struct source *source, struct mregion_error *error)
{
    source->start = 0;
    source->filled = 0;
    source->at_end = false;
    if (lseek(source->fd, source->offset, SEEK_SET) < 0)
        return error_set_system(error, MREGION_ERR_LOCAL_IO, errno, "cannot read once more");
    return MREGION_OK;
}

static int check_length(const struct source *source, uint64_t size, uint64_t added,
                        struct mregion_error *error)
{
    if (size == NO_SIZE || (added == size && source->at_end))
        return MREGION_OK;
    return error_set(error, MREGION_ERR_LOCAL_IO,
                     "the file has become %s while it was read; nothing was added",
                     added < size ? "shorter" : "longer");
}

/* Appends the source up to its end; *added bytes. */
static int append_source(struct mregion_upload *upload, struct source *source, uint64_t size,
                         uint64_t *added, struct mregion_error *error)
{
    int code = source_reserve(source, (size_t)UPLOAD_PIECE, error);

    *added = 0;
    do {
        if (code == MREGION_OK && source->filled == 0)
            code = source_fill(source, (size_t)UPLOAD_PIECE, error);
        if (code == MREGION_OK && *added + source->filled > size)
            return check_length(source, size, *added + source->filled, error);
        if (code == MREGION_OK && source->filled > 0)
            code = upload_append(upload, source->buffer, source->filled, error);
        *added += source->filled;
        source->filled = 0;
    } while (code == MREGION_OK && !source->at_end);
    return code == MREGION_OK ? check_length(source, size, *added, error) : code;
}

static int try_stream(struct mregion *connection, const char *region, struct source *source,
                      struct mregion_block *ret_block, struct mregion_error *error)
{
    struct mregion_upload upload;
    bool is_known = source->is_sized && source->expected > source->filled;
    uint64_t size = is_known ? source->expected : NO_SIZE;
    int code = upload_begin(&upload, connection, region, size, error);

    source->upload = &upload;
    ret_block->size = 0;
    if (code == MREGION_OK)
        code = append_source(&upload, source, size, &ret_block->size, error);
    if (code == MREGION_OK)
        code = upload_commit(&upload, &ret_block->address, error);
    source->upload = NULL;
    upload_end(&upload, code);
    return code;
}

/* A source that can be read once more is, when the connection is lost. */
static int add_stream(struct mregion *connection, const char *region, struct source *source,
                      struct mregion_block *ret_block, struct mregion_error *error)
{
    struct retries retries = {.count = 0};
    int code = token_check_steps(connection, error);

    if (code != MREGION_OK)
        return code;
    code = try_stream(connection, region, source, ret_block, error);
    while (source->is_sized && upload_retry(&retries, connection, ret_block->size, code)) {
        code = source_rewind(source, error);
        if (code == MREGION_OK)
            code = try_stream(connection, region, source, ret_block, error);
    }
    return code;
}

/* ---- From descriptors ---- */

/* How much of the source may go as one message. */
static int read_message(struct mregion *connection, struct source *source,
                        struct mregion_error *error)
{
    uint64_t max;
    int code =
        blob_message_max(connection, source->is_sized ? source->expected : UINT64_MAX, &max, error);

    uint64_t most = connection->has_token ? WHOLE_WITH_TOKEN_MAX : WHOLE_MAX;

    if (code != MREGION_OK)
        return code;
    return source_read_whole(source, (size_t)min_u64(max, most), error);
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
    struct transfer transfer;
    struct source source;
    uint64_t size = 0;
    int code = begin_source(connection, &source, &transfer, fd, error);

    if (code == MREGION_OK && source.at_end) {
        size = source.filled;
        code = blob_store(connection, region, address, source.buffer, size, error);
    } else if (code == MREGION_OK) {
        code = store_stream(connection, region, &source, address, &size, error);
    }
    end_source(connection, &source);
    if (code == MREGION_OK)
        *ret_size = size;
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

/* While one piece is written the next ones are on their way. */
#define BUFFERS PIECES_MAX

static int copy_out(struct mregion *connection, const char *region, struct mregion_block block,
                    int fd, struct mregion_error *error)
{
    struct pieces pieces;
    uint8_t *buffers = NULL;
    uint64_t asked = 0, written = 0, piece;
    unsigned in = 0, out = 0; /* the buffers whose turn it is */
    int code = pieces_init(&pieces, connection, region, error);

    pieces.size = min_u64(pieces.size, min_u64(block.size, LOAD_MAX));
    if (code == MREGION_OK && block.size > pieces.size)
        code = blob_check_allocated(connection, region, block, error);
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
