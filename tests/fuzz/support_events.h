/* What a subscriber is told, as somebody sees it who remembers what he was told before. */
#ifndef MREGION_TESTS_SUPPORT_EVENTS_H
#define MREGION_TESTS_SUPPORT_EVENTS_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct told_region {
    uint64_t id;
    char name[128]; /* "": it is dropped */
};

struct told {
    bool sees_all; /* every region, always, so that what he is told is a whole story */
    struct told_region regions[256];
    size_t count;
};

/* NULL, or what is wrong with the one parameter of an event, or with it after those before. */
const char *event_judge(struct told *told, const msgpack_object *event);

#endif
