/* What a batch is going to do, found out before any of it is done: that its changes are
 * well-formed, how large their results may become, and what must be read for those that answer
 * bytes.
 *
 * The results are gathered in one buffer. At first each has a slot, as large as it can become: a
 * number lies there in the machine's form, the bytes of a removeBlob behind the room for their
 * header. When all changes are staged plan_pack moves them together, as MessagePack.
 *
 * A removeBlob's bytes are read before the first change is staged, as far as they are in use by
 * then. What earlier changes of the batch put into the block is laid over them while the changes
 * are staged (plan_gave, plan_overlay); what neither was in use nor was put there has no content,
 * and is answered as zeros. Loop thread, except for plan_read. */
#ifndef MREGION_DAEMON_PLAN_H
#define MREGION_DAEMON_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/region.h"
#include "daemon/budget.h"
#include "daemon/change.h"
#include "proto/rpc.h"

struct region_entry;

/* A piece of a removeBlob's block that is in use before the batch. */
struct plan_part {
    struct extent block;
    uint8_t *to;
    size_t filled;
    uint32_t index; /* of the change */
    struct region_pin pin;
};

/* Bytes that a change of the batch has put somewhere; NULL: it has moved them there. */
struct plan_given {
    struct extent block;
    const uint8_t *bytes;
};

struct plan {
    struct rpc_param changes;
    bool answers;         /* somebody wants to know the results */
    bool is_large;        /* has a blob that the region borrows */
    uint32_t removes;     /* how many bring bytes; 0 where nobody wants them */
    uint64_t blob_bytes;  /* that go into the region */
    uint64_t read_bytes;  /* of removes together */
    uint64_t result_size; /* at most */

    struct plan_part *parts; /* with removes, once plan_collect was called */
    size_t parts_count, parts_capacity;
    struct plan_given *given;
    size_t given_count;
    uint64_t charged; /* memory of all that, in the budget; while a worker reads */
};

/* Goes through the changes of a batch of this region and fills in all but the arrays. fingerprint
 * is what they are added to; NULL without a token. *err names the change. */
int plan_init(struct plan *plan, const struct rpc_param *changes, const struct region_entry *entry,
              bool answers, uint64_t read_max, uint64_t *fingerprint, struct err *err);
/* A copy on the heap, for a request; NULL without memory. */
struct plan *plan_new(const struct plan *plan);
/* Gives back what was charged. NULL is fine. */
void plan_free(struct plan *plan, struct budget *budget);
/* Counts its memory in the budget: it is going to live for longer than this turn. */
void plan_charge(struct plan *plan, struct budget *budget);

/* ---- Reading ---- */

/* Finds out what is to be read into the slots, which begin at results. 0, REGION_WAIT or a code; an
 * earlier collection is replaced. *ret_is_new: it is another one than before. */
int plan_collect(struct plan *plan, struct region *region, uint8_t *results, bool *ret_is_new,
                 struct err *err);
/* Clears the slots and reads what is cached; whether that was all. */
bool plan_read_now(struct plan *plan, struct region *region, uint8_t *results);
/* Worker. Reads the rest; as region_read. */
int plan_read(struct plan *plan, struct region *region, uint64_t *ret_damaged, struct err *err);
void plan_pin(struct plan *plan, struct region *region);
void plan_unpin(struct plan *plan, struct region *region);

/* ---- Staging ---- */

/* Stages all changes, in order, between region_atomic_begin and _end, and fills the slots. */
int plan_stage(struct plan *plan, struct region *region, uint8_t *results, struct err *err);
/* After that: makes one array of the slots; returns its size. */
size_t plan_pack(const struct plan *plan, uint8_t *results);

#endif
