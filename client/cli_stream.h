/* The stream that export writes and import reads: EXPORT.md is its description. */
#ifndef MREGION_CLIENT_CLI_STREAM_H
#define MREGION_CLIENT_CLI_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"

#define STREAM_BLOCKS_MAX 256
#define STREAM_BYTES_MAX ((size_t)1 << 20)
#define STREAM_TEXT_MAX ((size_t)8192)

#define STREAM_START_SIZE 16
#define STREAM_HEADER_SIZE 16
#define STREAM_BODY_MAX ((size_t)8192 + STREAM_BYTES_MAX)
#define STREAM_RECORD_MAX (STREAM_HEADER_SIZE + STREAM_BODY_MAX)

enum stream_kind { STREAM_HEAD = 1, STREAM_DATA = 2, STREAM_END = 3 };

struct stream_head {
    uint64_t size;
    uint64_t pages;
    uint64_t in_use;
    const char *text; /* lines "KEY VALUE\n" */
    size_t text_size;
};

struct stream_end {
    uint64_t blocks;
    uint64_t bytes;
    bool has_changed; /* the region, meanwhile */
};

/* How much is best sent or loaded at a time by who has such messages: a power of two, and no more
 * than a record has. */
uint64_t stream_piece(uint64_t max_message);

/* Where it is a pipe it holds a whole record from now on, if the system lets it: who writes and who
 * reads have to wait for each other less often. */
void stream_widen(int fd);

/* ---- Writing ---- */

/* What one record says of all before it. */
struct stream_chain {
    uint32_t crc;
    uint32_t number;
    struct stream_end sum;
};

/* The start of the stream, and of the chain. */
void stream_start(struct stream_chain *chain, uint8_t start[STREAM_START_SIZE]);

/* Each makes a record, which has room for STREAM_RECORD_MAX bytes, and returns its size. */
size_t stream_put_head(struct stream_chain *chain, const struct stream_head *head, uint8_t *record);
size_t stream_put_end(struct stream_chain *chain, uint8_t *record);

/* Where the bytes of a data record with so many blocks are to be put. */
uint8_t *stream_bytes_of(uint8_t *record, size_t count);
/* The bytes are there already. */
size_t stream_put_data(struct stream_chain *chain, const struct mregion_block *blocks, size_t count,
                       uint8_t *record);

/* ---- Reading ---- */

struct stream_record {
    enum stream_kind kind;
    struct stream_head head;
    bool has_changed; /* of end */
    size_t count;     /* of data */
    struct mregion_block blocks[STREAM_BLOCKS_MAX];
    const uint8_t *bytes;
};

enum stream_status {
    STREAM_OK,
    STREAM_DAMAGED,    /* the problem says how */
    STREAM_UNREADABLE, /* errno says why */
};

#define STREAM_PROBLEM_SIZE 160

struct stream_reader {
    int fd;
    struct stream_chain chain;
    uint64_t offset;  /* in the stream */
    uint64_t size;    /* of the region */
    uint64_t address; /* where the last block ended */
    bool has_started;
    bool has_head;
    char problem[STREAM_PROBLEM_SIZE];
    uint8_t body[STREAM_BODY_MAX];
};

/* fd is borrowed. The first record is the head. */
void stream_reader_init(struct stream_reader *reader, int fd);

/* The next record, which is good until the next call; behind the end nothing is left, which has
 * been made certain. A signal ends a read with EINTR. */
enum stream_status stream_read(struct stream_reader *reader, struct stream_record *ret_record);

/* The value of a key in the text of a head, which becomes a string of at most size - 1 characters.
 * False where there is none, or it is longer. */
bool stream_find(const struct stream_head *head, const char *key, char *ret_value, size_t size);

#endif
