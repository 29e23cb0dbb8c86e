/* An append-only log: a region in which nothing is ever freed. Every blob goes to its end, whole or
 * not at all, and so the entries stand one behind the other, each as
 *
 *     bytes 0-3    its length, little-endian
 *     bytes 4-     its bytes
 *
 * Lines are appended as fast as they come, without waiting for one to be durable before the next is
 * sent; each is acknowledged once it is.
 *
 *     cc log.c $(pkg-config --cflags --libs mregion) -o log
 *     ./log unix:/run/mregiond/mregiond.sock main append < lines
 *     ./log unix:/run/mregiond/mregiond.sock main read */
#include <errno.h>
#include <inttypes.h>
#include <mregion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 4
#define LINE_MAX_SIZE ((size_t)64 << 10)
/* Read at a time; more than the largest entry. */
#define CHUNK ((uint64_t)256 << 10)

static struct mregion *connection;
static const char *region;
static struct mregion_error error;

static void must(int code)
{
    if (code == MREGION_OK)
        return;
    fprintf(stderr, "log: %s: %s\n", mregion_code_name(error.code), error.text);
    exit(EXIT_FAILURE);
}

static uint32_t length_of(const uint8_t *header)
{
    return (uint32_t)header[0] | (uint32_t)header[1] << 8 | (uint32_t)header[2] << 16 |
           (uint32_t)header[3] << 24;
}

/* ---- Append ---- */

static unsigned under_way;

static void on_appended(struct mregion *log, const struct mregion_answer *answer, void *data)
{
    (void)log;
    (void)data;
    if (answer->code != MREGION_OK) {
        fprintf(stderr, "log: %s: %s\n", mregion_code_name(answer->code), answer->text);
        exit(EXIT_FAILURE);
    }
    under_way--;
    printf("durable at %" PRIu64 "\n", answer->number);
}

static void wait_for_answers(void)
{
    struct pollfd waiting = {.events = POLLIN};

    must(mregion_fd(connection, &waiting.fd, &error));
    if (poll(&waiting, 1, -1) < 0 && errno != EINTR) {
        perror("log: poll");
        exit(EXIT_FAILURE);
    }
    mregion_process(connection);
}

static void append(const char *line, size_t length)
{
    static const struct mregion_async async = {.on_answer = on_appended};
    uint8_t entry[HEADER + LINE_MAX_SIZE];
    int code;

    for (unsigned i = 0; i < HEADER; i++)
        entry[i] = (uint8_t)(length >> (8 * i));
    memcpy(entry + HEADER, line, length);
    /* As many are under way as the library keeps for us, and no more. */
    while ((code = mregion_async_add(connection, region, entry, HEADER + length, &async, NULL,
                                     &error)) == MREGION_ERR_FULL)
        wait_for_answers();
    must(code);
    under_way++;
    mregion_process(connection);
}

static void append_lines(void)
{
    static char line[LINE_MAX_SIZE + 1];

    while (fgets(line, sizeof line, stdin) != NULL)
        append(line, strcspn(line, "\n"));
    while (under_way > 0)
        wait_for_answers();
}

/* ---- Read ---- */

/* Prints the entries that are whole in the chunk; returns how many bytes they take. */
static uint64_t print_entries(const uint8_t *chunk, uint64_t size)
{
    uint64_t at = 0;

    while (size - at >= HEADER && size - at - HEADER >= length_of(chunk + at)) {
        printf("%.*s\n", (int)length_of(chunk + at), (const char *)chunk + at + HEADER);
        at += HEADER + length_of(chunk + at);
    }
    return at;
}

static void read_entries(void)
{
    uint64_t size, at = 0, done;

    must(mregion_size(connection, region, &size, &error));
    while (at < size) {
        uint64_t chunk_size = size - at < CHUNK ? size - at : CHUNK;
        void *chunk;

        must(mregion_load_new(connection, region, at, chunk_size, &chunk, &error));
        done = print_entries(chunk, chunk_size);
        mregion_free(chunk);
        if (done == 0) {
            fprintf(stderr, "log: at %" PRIu64 " is no entry\n", at);
            exit(EXIT_FAILURE);
        }
        at += done;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[3], "append") != 0 && strcmp(argv[3], "read") != 0)) {
        fprintf(stderr, "usage: log ADDRESS REGION append|read\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_open(argv[1], NULL, &connection, &error));
    if (strcmp(argv[3], "append") == 0)
        append_lines();
    else
        read_entries();
    mregion_close(connection);
    return EXIT_SUCCESS;
}
