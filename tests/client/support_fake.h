/* A server for tests that behaves as it is told: badly, mostly. It runs in a thread of the test,
 * listens on a Unix socket in a temporary folder, and hands every connection to a script. */
#ifndef MREGION_TESTS_CLIENT_SUPPORT_FAKE_H
#define MREGION_TESTS_CLIENT_SUPPORT_FAKE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"
#include "proto/rpc.h"

struct fake;

/* Called in the server's thread for each connection in turn (number 0, 1 ...); the socket is
 * blocking and closed afterwards. */
typedef void fake_script(struct fake *fake, int fd, unsigned number);

/* One request as it arrived. */
struct fake_request {
    uint8_t *frame; /* from malloc; fake_drop frees it */
    size_t size;
    struct rpc_request rpc;
    char method[64];
    struct value params[4];
};

struct fake {
    char folder[64];
    char address[128]; /* for mregion_connect */
    fake_script *script;
    void *context; /* of the script */
    int listener;
    unsigned connections; /* accepted so far; read after fake_stop */
    unsigned requests;    /* received so far; read after fake_stop */
    bool stopping;
    unsigned long thread;
};

void fake_start(struct fake *fake, fake_script *script, void *context);
/* Nobody listens at the address any more, as when a server is restarted; and again. The script of
 * the last connection has to end by itself. */
void fake_close(struct fake *fake);
void fake_open(struct fake *fake);
/* Waits for the script to return and removes everything. */
void fake_stop(struct fake *fake);

/* Reads the next request; false when the client has closed. */
bool fake_read(struct fake *fake, int fd, struct fake_request *request);
void fake_drop(struct fake_request *request);
/* The request's option token, 16 bytes in the frame; NULL where it has none. */
const uint8_t *fake_token(const struct fake_request *request);

/* Writes bytes; false when the client has closed. */
bool fake_write(int fd, const void *bytes, size_t size);
bool fake_answer_nil(int fd, uint32_t msgid);
bool fake_answer_uint(int fd, uint32_t msgid, uint64_t number);
bool fake_answer_bin(int fd, uint32_t msgid, const void *bytes, size_t size);
bool fake_answer_error(int fd, uint32_t msgid, const char *text);
/* serverInfo with this max_message. */
bool fake_answer_info(int fd, uint32_t msgid, uint64_t max_message);

/* A region of memory behind the socket, enough for blobs: a script. context is a struct
 * fake_region. */
struct fake_region {
    uint8_t *bytes;
    uint64_t size; /* handed out so far */
    uint64_t capacity;
    uint64_t max_message;
    unsigned stores, loads, adds;
    unsigned fail_store; /* the nth store or append answers no_space; 0: none */
    unsigned close_at;   /* the nth store, append or load closes the connection instead; 0: none */
    /* One upload at a time, whose bytes are behind what is handed out. */
    unsigned uploads, commits, aborts; /* begun; committed; aborted by the client */
    uint64_t upload;                   /* its number; 0: none is open */
    uint64_t upload_size, appended;
    uint8_t token[MREGION_TOKEN_SIZE]; /* of the last commit, and its answer: */
    uint64_t committed;
    unsigned close_commit;  /* the nth commit closes the connection once it is done; 0: none */
    unsigned silent_commit; /* the nth commit is done and not answered; 0: none */
    uint64_t freed_address, freed_size;
    unsigned frees;
};
void fake_region_init(struct fake_region *region, uint64_t capacity, uint64_t max_message);
void fake_region_release(struct fake_region *region);
void fake_region_script(struct fake *fake, int fd, unsigned number);

#endif
