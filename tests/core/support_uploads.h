/* Uploads in a test: some at a time, which come in pieces, and of which some are aborted. What is
 * borrowed is made useless once nobody is to look at it any more. */
#ifndef MREGION_TESTS_SUPPORT_UPLOADS_H
#define MREGION_TESTS_SUPPORT_UPLOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/region.h"
#include "support_random.h"

struct upload;

struct uploads {
    struct upload *first;
    size_t count;
    struct upload_loan *orphans; /* bytes of some that were aborted while a job had them */
    bool may_fail;
    uint64_t committed, aborted;
};

/* What a step did. */
enum upload_event {
    UPLOAD_NOTHING, /* it was told to wait, or refused and that was to be expected */
    UPLOAD_MOVED,   /* it began, went on, or was aborted: the region may have grown */
    UPLOAD_DONE,    /* it is a blob now */
};

struct upload_result {
    enum upload_event event;
    uint64_t address, size, content; /* of UPLOAD_DONE */
    bool has_token;
};

/* Begins one, of at most size_max bytes, or goes on with one that there is. NULL, or a complaint.
 */
const char *uploads_step(struct uploads *uploads, struct region *region, uint64_t size_max,
                         uint64_t content, struct rng *rng, struct upload_result *ret_result);
/* A job of the upload lane is done. */
void uploads_reap(struct uploads *uploads);
/* Before the region is closed, which gives them up. No job is under way. */
void uploads_release(struct uploads *uploads);

#endif
