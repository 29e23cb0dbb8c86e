#include "support_events.h"

#include <string.h>

#include "core/meta.h"

static bool is_text(const msgpack_object *object, const char *text)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           memcmp(object->via.str.ptr, text, strlen(text)) == 0;
}

static const msgpack_object *get(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (is_text(&map->via.map.ptr[i].key, key))
            return &map->via.map.ptr[i].val;
    return NULL;
}

static bool is_name(const msgpack_object *object)
{
    return object != NULL && object->type == MSGPACK_OBJECT_STR &&
           region_name_is_valid(object->via.str.ptr, object->via.str.size);
}

static bool is_number(const msgpack_object *object)
{
    return object != NULL && object->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
}

/* What goes with each kind, if anything. */
static bool has_details(const msgpack_object *event, const msgpack_object *kind)
{
    const msgpack_object *failure = get(event, "failure");
    if (is_text(kind, "renamed"))
        return is_name(get(event, "before"));
    if (is_text(kind, "read_only"))
        return failure != NULL && failure->type == MSGPACK_OBJECT_STR;
    if (is_text(kind, "corrupt"))
        return is_number(get(event, "page")) != is_number(get(event, "pages"));
    if (is_text(kind, "checkpoint"))
        return is_number(get(event, "duration_us"));
    return is_text(kind, "created") || is_text(kind, "dropped");
}

static struct told_region *find(struct told *told, uint64_t id)
{
    for (size_t i = 0; i < told->count; i++)
        if (told->regions[i].id == id)
            return &told->regions[i];
    return NULL;
}

static struct told_region *find_name(struct told *told, const msgpack_object *name)
{
    for (size_t i = 0; i < told->count; i++)
        if (is_text(name, told->regions[i].name))
            return &told->regions[i];
    return NULL;
}

/* What it is called from now on. */
static void remember(struct told *told, uint64_t id, const msgpack_object *name)
{
    struct told_region *region = find(told, id);
    if (region == NULL && told->count == sizeof told->regions / sizeof told->regions[0])
        return;
    if (region == NULL)
        region = &told->regions[told->count++];
    *region = (struct told_region){.id = id};
    if (name != NULL)
        memcpy(region->name, name->via.str.ptr, name->via.str.size);
}

/* He may have learned of the region by this event only: it was there when he subscribed. */
static const char *fit(struct told *told, const msgpack_object *event, const msgpack_object *kind,
                       const msgpack_object *name, uint64_t id)
{
    const struct told_region *region = find(told, id), *namesake = find_name(told, name);
    bool is_renamed = is_text(kind, "renamed");
    const msgpack_object *before = is_renamed ? get(event, "before") : name;
    if (region != NULL && region->name[0] == '\0')
        return "an event is about a region that was dropped";
    if (region != NULL && is_text(kind, "created"))
        return "a region is created that is there";
    if (region != NULL && !is_text(before, region->name))
        return "an event calls a region what it was not called before";
    if (namesake != NULL && (namesake != region || is_renamed))
        return "an event gives a region the name of another one";
    remember(told, id, is_text(kind, "dropped") ? NULL : name);
    return NULL;
}

const char *event_judge(struct told *told, const msgpack_object *event)
{
    const msgpack_object *kind = get(event, "event"), *name = get(event, "region");
    const msgpack_object *id = get(event, "id"), *lost = get(event, "lost");
    if (kind == NULL || !is_name(name) || name->via.str.size >= sizeof told->regions[0].name ||
        !is_number(id) || !has_details(event, kind))
        return "an event is none";
    if (lost != NULL && !is_number(lost))
        return "an event says wrongly how many were lost";
    if (lost != NULL)
        told->count = 0;
    return told->sees_all ? fit(told, event, kind, name, id->via.u64) : NULL;
}
