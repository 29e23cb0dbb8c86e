/* Puts bytes into a region that has never been used, in the order of their addresses, each where it
 * is to be: at the end of what is there, for as long as nothing is freed. Holes are filled
 * meanwhile, and freed when everything is in its place.
 *
 * As long as holes are a small part of what comes, all of that is one upload: it is in use when it
 * is committed, in the end, and is sent once, without waiting for anything but its being written.
 * Else it is added piece by piece, and larger holes are allocated. */
#ifndef MREGION_CLIENT_CLI_PLACE_H
#define MREGION_CLIENT_CLI_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli.h"

/* Requests under way at a time, and bytes of them, of which the library keeps a copy. */
#define PLACE_REQUESTS 512
#define PLACE_BYTES ((uint64_t)32 << 20)

struct place_request {
    mregion_ticket ticket;
    uint64_t address; /* that it has to have */
    uint64_t size;
    uint64_t kept;
};

struct place {
    struct cli *cli;
    const char *region;
    uint64_t size;   /* of the region in the end */
    uint64_t pages;  /* likewise */
    uint64_t in_use; /* as far as is known in advance */
    uint64_t piece;  /* sent with one request, at most: a power of two */
    uint64_t changes_max;
    bool is_touched;   /* something was sent to be placed */
    bool is_shared;    /* somebody else puts something there too */
    uint64_t placed;   /* bytes that are in use for what was sent, as far as that is known */
    uint64_t end;      /* of what is sent or gathered */
    uint64_t used;     /* bytes of it that are to be in use */
    uint8_t *gathered; /* the last bytes before end */
    size_t gathered_size;
    struct mregion_upload *upload; /* of everything from upload_address on */
    uint64_t upload_address;
    bool has_no_upload;                            /* the server has no room for it */
    struct place_request requests[PLACE_REQUESTS]; /* a ring */
    size_t first, count;
    uint64_t kept;
    struct mregion_block *holes;
    size_t holes_count, holes_room;
};

/* region is borrowed; piece and changes_max are what the server takes at a time. What the region is
 * to become is set by the caller: size, pages, in_use. False without memory. */
bool place_init(struct place *place, struct cli *cli, const char *region, uint64_t piece,
                uint64_t changes_max);
/* Where it has failed: waits for what is under way, as long as the server answers, so that it is
 * known what is placed. What has no answer counts as not placed. */
void place_settle(struct place *place);
/* What is under way is forgotten, and what was not committed never happens. */
void place_release(struct place *place);

/* A block of size bytes at this address, which is not before the end of the last one. Each says
 * what is wrong, like those below. */
int place_block(struct place *place, struct mregion_block block, const uint8_t *bytes);
/* No more comes: all of it is in its place, and durable. */
int place_finish(struct place *place);

#endif
