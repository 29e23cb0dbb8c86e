/* One random change of a region: chosen from what the model says, staged on the engine, applied to
 * the model. */
#ifndef MREGION_TESTS_SUPPORT_CHANGE_H
#define MREGION_TESTS_SUPPORT_CHANGE_H

#include "core/region.h"
#include "support_random.h"
#include "support_shadow.h"

enum change_kind {
    CHANGE_ALLOCATE,
    CHANGE_ADD,
    CHANGE_DEALLOCATE,
    CHANGE_RESIZE,
    CHANGE_STORE,
    CHANGE_REPLACE,
    CHANGE_DEALLOCATE_RANGE,
    CHANGE_CLEAR,
    CHANGE_GROW,
    CHANGE_ATOMIC, /* several of the others, all or nothing: what they are the pump chooses */
    CHANGE_KINDS,
};

struct change {
    enum change_kind kind;
    struct extent block; /* what it is about; of a range: from address to its end */
    uint64_t size;       /* the new size, the header size, the pages */
    uint64_t content;
    bool has_token;
    uint8_t *bytes; /* exactly size of them, on the heap, of changes with a blob */
};

struct change_weights {
    uint64_t live_target;   /* bytes in use that the choice steers to */
    uint64_t size_max;      /* of one block */
    unsigned large_percent; /* of the sizes are around LARGE_BLOB or above */
    unsigned bad_percent;   /* of the changes are about a random block, mostly wrong ones */
};

struct change change_choose(const struct shadow *shadow, const struct change_weights *weights,
                            struct rng *rng, uint64_t content);
void change_release(struct change *change);

/* What the engine must answer. */
enum err_code change_expect(const struct shadow *shadow, const struct change *change);

/* What the engine answers, with the address, freed bytes or pages in *ret_value. */
int change_stage(struct region *region, const struct change *change, uint64_t *ret_value,
                 struct err *err);

/* NULL, or what is wrong with the value. */
const char *change_apply(struct shadow *shadow, const struct change *change, uint64_t value);

void change_print(const struct change *change, FILE *out);

#endif
