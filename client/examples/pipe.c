/* Keeps what comes in, however much that is, and gives it out again: standard input becomes a blob
 * while it arrives, and the blob goes to standard output, on one poll loop and in some MiB of
 * memory.
 *
 *     cc pipe.c $(pkg-config --cflags --libs mregion) -o pipe
 *     tar c photos | ./pipe unix:/run/mregiond/mregiond.sock main | tar t
 *
 * The blob's reference goes to standard error. */
#include <errno.h>
#include <inttypes.h>
#include <mregion.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)
#define PIECES_MAX 8 /* under way at a time */

static struct mregion *connection;
static struct mregion_error error;

static void fail(const char *code, const char *text)
{
    fprintf(stderr, "pipe: %s: %s\n", code, text);
    exit(EXIT_FAILURE);
}

static void must(int code)
{
    if (code != MREGION_OK)
        fail(mregion_code_name(error.code), error.text);
}

static void must_answer(const struct mregion_answer *answer)
{
    if (answer->code != MREGION_OK)
        fail(mregion_code_name(answer->code), answer->text);
}

/* Waits for the server, or for one of our own descriptors where events is not 0, which is what it
 * tells. */
static bool wait_for(int fd, short events)
{
    struct pollfd waiting[2] = {{.events = POLLIN}, {.fd = fd, .events = events}};

    must(mregion_fd(connection, &waiting[0].fd, &error));
    while (poll(waiting, events != 0 ? 2 : 1, -1) < 0)
        if (errno != EINTR)
            fail("poll", strerror(errno));
    if (waiting[0].revents != 0)
        mregion_process(connection);
    return events != 0 && waiting[1].revents != 0;
}

/* ---- In ---- */

struct copy_in {
    unsigned under_way;
    uint64_t size;
    uint64_t address;
    bool is_committed;
};

static void on_appended(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct copy_in *copy = data;

    (void)self;
    must_answer(answer);
    copy->under_way--;
}

static void on_committed(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct copy_in *copy = data;

    (void)self;
    must_answer(answer);
    copy->address = answer->number;
    copy->is_committed = true;
}

/* While as many pieces are under way as may be, nothing is read: whoever writes has to wait. */
static void copy_in(const char *region, struct copy_in *copy)
{
    static char bytes[PIECE];
    struct mregion_async appended = {.on_answer = on_appended, .data = copy};
    struct mregion_async committed = {.on_answer = on_committed, .data = copy};
    struct mregion_async_upload *upload;
    bool is_at_end = false;

    must(mregion_async_upload_begin(connection, region, MREGION_UNKNOWN_SIZE, &upload, &error));
    while (!is_at_end) {
        ssize_t count;

        if (!wait_for(STDIN_FILENO, copy->under_way < PIECES_MAX ? POLLIN : 0))
            continue;
        count = read(STDIN_FILENO, bytes, sizeof bytes);
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            fail("cannot read", strerror(errno));
        is_at_end = count == 0;
        if (count <= 0)
            continue;
        must(mregion_async_upload_append(upload, bytes, (size_t)count, &appended, NULL, &error));
        copy->under_way++;
        copy->size += (uint64_t)count;
    }
    must(mregion_async_upload_commit(upload, &committed, NULL, &error));
    while (!copy->is_committed)
        (void)wait_for(-1, 0);
    mregion_async_upload_close(upload);
}

/* ---- Out ---- */

struct copy_out {
    const char *bytes; /* of the present piece, which stay until the next one is asked for */
    size_t left;
    bool is_waiting, is_at_end;
};

static void on_piece(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct copy_out *copy = data;

    (void)self;
    must_answer(answer);
    copy->is_waiting = false;
    copy->bytes = answer->result;
    copy->left = answer->result_size;
    copy->is_at_end = copy->left == 0;
}

static void copy_out(const char *region, uint64_t address, uint64_t size)
{
    struct copy_out copy = {.left = 0};
    struct mregion_async piece = {.on_answer = on_piece, .data = &copy};
    struct mregion_async_download *download;

    must(mregion_async_download_begin(connection, region, address, size, &download, &error));
    while (!copy.is_at_end) {
        ssize_t count;

        if (copy.left == 0 && !copy.is_waiting) {
            copy.is_waiting = true;
            must(mregion_async_download_next(download, &piece, NULL, &error));
        }
        if (!wait_for(STDOUT_FILENO, copy.left > 0 ? POLLOUT : 0))
            continue;
        count = write(STDOUT_FILENO, copy.bytes, copy.left);
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            fail("cannot write", strerror(errno));
        if (count > 0) {
            copy.bytes += count;
            copy.left -= (size_t)count;
        }
    }
    mregion_async_download_close(download);
}

int main(int argc, char **argv)
{
    struct copy_in copy = {.size = 0};

    if (argc != 3) {
        fprintf(stderr, "usage: pipe ADDRESS REGION\n");
        return EXIT_FAILURE;
    }
    must(mregion_open(argv[1], NULL, &connection, &error));
    copy_in(argv[2], &copy);
    fprintf(stderr, "%" PRIu64 "+%" PRIu64 "\n", copy.address, copy.size);
    copy_out(argv[2], copy.address, copy.size);
    mregion_close(connection);
    return EXIT_SUCCESS;
}
