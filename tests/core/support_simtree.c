#include "support_simtree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void copy_name(char *to, const char *from)
{
    size_t length = strnlen(from, SIM_NAME);
    if (to == NULL || length == SIM_NAME)
        abort();
    memcpy(to, from, length + 1);
}

/* ---- Names ---- */

static struct entry *names_find(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->entries[i].name, name) == 0)
            return &names->entries[i];
    return NULL;
}

static void names_remove(struct names *names, const char *name, const struct node *target)
{
    struct entry *entry = names->entries == NULL ? NULL : names_find(names, name);
    if (entry != NULL && (target == NULL || entry->node == target))
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an entry of theirs was found */
        *entry = names->entries[--names->count];
}

static void names_put(struct names *names, const char *name, struct node *node)
{
    struct entry *entry = names_find(names, name);
    if (entry == NULL) {
        if (names->count == names->capacity) {
            names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
            names->entries =
                need(realloc(names->entries, names->capacity * sizeof names->entries[0]));
        }
        entry = &names->entries[names->count++];
        copy_name(entry->name, name);
    }
    entry->node = node;
}

static void names_copy(struct names *to, const struct names *from)
{
    struct entry *entries = need(malloc((from->count + 1) * sizeof *entries));
    for (size_t i = 0; i < from->count; i++)
        entries[i] = from->entries[i];
    *to = (struct names){entries, from->count, from->count + 1};
}

/* ---- Nodes ---- */

/* Those that are free, in a list through their nodes. */
static struct pending *spare_pendings;

static struct pending *pending_new(void)
{
    struct pending *pending = spare_pendings;
    if (pending == NULL)
        return need(malloc(sizeof *pending));
    spare_pendings = pending->next_spare;
    return pending;
}

static void pending_free(struct pending *pending)
{
    pending->next_spare = spare_pendings;
    spare_pendings = pending;
}

/* A file's images are left to the caller. */
static struct node *node_new(struct simtree *tree, const char *name, bool is_directory)
{
    struct node *node = need(calloc(1, sizeof *node));
    copy_name(node->name, name);
    node->is_directory = is_directory;
    if (tree->count == tree->capacity) {
        tree->capacity = tree->capacity == 0 ? 16 : tree->capacity * 2;
        tree->nodes = need(realloc(tree->nodes, tree->capacity * sizeof(struct node *)));
    }
    node->index = tree->count;
    tree->nodes[tree->count++] = node;
    return node;
}

static void node_free(struct node *node)
{
    image_release(node->cached);
    image_release(node->durable);
    free(node->cached_names.entries);
    free(node->durable_names.entries);
    free(node);
}

static void mark(struct node *node)
{
    if (node->marked)
        return;
    node->marked = true;
    for (size_t i = 0; i < node->cached_names.count; i++)
        mark(node->cached_names.entries[i].node);
    for (size_t i = 0; i < node->durable_names.count; i++)
        mark(node->durable_names.entries[i].node);
}

/* Frees the nodes that no name, handle or pending change leads to. */
static void sweep(struct simtree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        tree->nodes[i]->marked = false;
    mark(tree->root);
    for (size_t i = 0; i < tree->pendings; i++) {
        mark(tree->pending[i]->node);
        if (tree->pending[i]->kind == PENDING_NAMES) {
            mark(tree->pending[i]->names.target);
            mark(tree->pending[i]->names.removed_from);
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        struct node *node = tree->nodes[i];
        if (!node->marked && node->handles == 0) {
            node_free(node);
            continue;
        }
        node->index = count;
        tree->nodes[count++] = node;
    }
    tree->count = count;
}

struct simtree *simtree_new(void)
{
    struct simtree *tree = need(calloc(1, sizeof *tree));
    tree->root = node_new(tree, "", true);
    return tree;
}

void simtree_free(struct simtree *tree)
{
    if (tree == NULL)
        return;
    for (size_t i = 0; i < tree->count; i++)
        node_free(tree->nodes[i]);
    for (size_t i = 0; i < tree->pendings; i++)
        pending_free(tree->pending[i]);
    free(tree->nodes);
    free(tree->pending);
    free(tree);
}

struct node *simtree_child(const struct node *directory, const char *name)
{
    struct entry *entry = names_find(&directory->cached_names, name);
    return entry == NULL ? NULL : entry->node;
}

struct node *simtree_parent(struct simtree *tree, const char *path, const char **ret_name)
{
    struct node *directory = tree->root;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        char name[SIM_NAME];
        size_t length = (size_t)(slash - path);
        if (length >= sizeof name)
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        path = slash + 1;
        if (length == 0 || strcmp(name, ".") == 0)
            continue;
        directory = simtree_child(directory, name);
        if (directory == NULL || !directory->is_directory)
            return NULL;
    }
    *ret_name = path;
    return strlen(path) < SIM_NAME ? directory : NULL;
}

struct node *simtree_find(struct simtree *tree, const char *path)
{
    const char *name;
    struct node *directory = simtree_parent(tree, path, &name);
    if (directory == NULL || name[0] == '\0' || strcmp(name, ".") == 0)
        return directory;
    return simtree_child(directory, name);
}

/* ---- Changes ---- */

static struct pending *pend(struct simtree *tree, enum pending_kind kind, struct node *node)
{
    if (tree->pendings == tree->pending_capacity) {
        tree->pending_capacity = tree->pending_capacity == 0 ? 64 : tree->pending_capacity * 2;
        tree->pending =
            need(realloc(tree->pending, tree->pending_capacity * sizeof(struct pending *)));
    }
    struct pending *pending = pending_new();
    assert(!tree->has_power);
    memset(pending, 0,
           kind == PENDING_SECTOR ? offsetof(struct pending, sector.bytes) : sizeof *pending);
    pending->kind = kind;
    pending->node = node;
    tree->pending[tree->pendings++] = pending;
    return pending;
}

static void pend_names(struct simtree *tree, struct node *directory, const char *added,
                       struct node *removed_from, const char *removed, struct node *target)
{
    if (tree->has_power)
        return;
    struct pending *pending = pend(tree, PENDING_NAMES, directory);
    pending->names.target = target;
    pending->names.removed_from = removed_from;
    copy_name(pending->names.removed, removed);
    copy_name(pending->names.added, added);
}

struct node *simtree_make(struct simtree *tree, struct node *directory, const char *name,
                          bool is_directory)
{
    struct node *node = node_new(tree, name, is_directory);
    if (!is_directory) {
        node->cached = image_new();
        node->durable = image_share(node->cached);
    }
    names_put(&directory->cached_names, name, node);
    pend_names(tree, directory, name, directory, "", node);
    return node;
}

void simtree_unlink(struct simtree *tree, struct node *directory, const char *name)
{
    struct node *node = simtree_child(directory, name);
    names_remove(&directory->cached_names, name, node);
    pend_names(tree, directory, "", directory, name, node);
}

void simtree_rename(struct simtree *tree, struct node *from, const char *from_name, struct node *to,
                    const char *to_name)
{
    struct node *node = simtree_child(from, from_name);
    if (simtree_child(to, to_name) == node)
        return; /* two names of one file: both stay, as POSIX has it */
    names_remove(&from->cached_names, from_name, node);
    names_put(&to->cached_names, to_name, node);
    copy_name(node->name, to_name);
    pend_names(tree, to, to_name, from, from_name, node);
}

static void pend_length(struct simtree *tree, struct node *file)
{
    if (!tree->has_power)
        pend(tree, PENDING_LENGTH, file)->length = image_length(file->cached);
}

/* A sector that does not change is not pending, which keeps the zeros written to a fresh file out
 * of the way; once cached and durable have diverged, every write counts. */
static void pend_sectors(struct simtree *tree, struct node *file, uint64_t offset,
                         const void *bytes, size_t size)
{
    const uint8_t *in = bytes;
    uint64_t end = offset + size;
    for (uint64_t from = offset, to; from < end; from = to) {
        uint64_t number = from / SIM_SECTOR, start = number * SIM_SECTOR;
        to = min_u64(end, start + SIM_SECTOR);
        const uint8_t *old = image_sector(file->cached, start);
        const uint8_t *part = in + (from - offset);
        size_t length = (size_t)(to - from);
        if (!file->diverged && memcmp(old + (from - start), part, length) == 0)
            continue;
        struct pending *pending = pend(tree, PENDING_SECTOR, file);
        pending->sector.number = number;
        pending->sector.from = (uint16_t)(from - start);
        pending->sector.to = (uint16_t)(to - start);
        if (length < SIM_SECTOR)
            memcpy(pending->sector.bytes, old, SIM_SECTOR);
        memcpy(pending->sector.bytes + (from - start), part, length);
    }
}

void simtree_write(struct simtree *tree, struct node *file, uint64_t offset, const void *bytes,
                   size_t size)
{
    uint64_t end = offset + size;
    if (size == 0)
        return;
    if (end > image_length(file->cached))
        simtree_set_length(tree, file, end);
    else if (file->diverged)
        pend_length(tree, file);
    if (!tree->has_power)
        pend_sectors(tree, file, offset, bytes, size);
    image_write(&file->cached, offset, bytes, size);
}

static void write_zeros(struct simtree *tree, struct node *file, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[IMAGE_CHUNK];
    while (size > 0) {
        size_t part = (size_t)min_u64(size, IMAGE_CHUNK - offset % IMAGE_CHUNK);
        simtree_write(tree, file, offset, zeros, part);
        offset += part;
        size -= part;
    }
}

void simtree_zero(struct simtree *tree, struct node *file, uint64_t offset, uint64_t size)
{
    write_zeros(tree, file, offset, size);
    image_allocate(&file->cached, offset, size);
}

void simtree_punch(struct simtree *tree, struct node *file, uint64_t offset, uint64_t size)
{
    size_t first = tree->pendings;
    write_zeros(tree, file, offset, size);
    for (size_t i = first; i < tree->pendings; i++)
        if (tree->pending[i]->kind == PENDING_SECTOR)
            tree->pending[i]->sector.is_punched = true;
    image_punch(&file->cached, offset, size);
}

void simtree_set_length(struct simtree *tree, struct node *file, uint64_t length)
{
    if (length == image_length(file->cached) && !file->diverged)
        return;
    image_set_length(&file->cached, length);
    pend_length(tree, file);
}

/* ---- Reaching the disk ---- */

static void tear_sector(uint8_t *sector, const uint8_t *old, uint16_t from, uint16_t to,
                        enum tear_kind kind, uint64_t seed)
{
    size_t middle = from + (size_t)(to - from) / 2;
    struct rng rng = {seed};
    switch (kind) {
    case TEAR_FIRST_HALF:
        memcpy(sector + middle, old + middle, to - middle);
        break;
    case TEAR_SECOND_HALF:
        memcpy(sector + from, old + from, middle - from);
        break;
    case TEAR_ZEROS:
        memset(sector + from, 0, (size_t)(to - from));
        break;
    case TEAR_GARBAGE:
        for (size_t i = from; i < to; i++)
            sector[i] = (uint8_t)rng_next(&rng);
        break;
    default:
        break;
    }
}

/* Takes the disk space of the chunk at start if it is all zeros. */
static void punch_zeros(struct image **image, uint64_t start)
{
    uint8_t chunk[IMAGE_CHUNK];
    image_read(*image, start, chunk, sizeof chunk);
    if (chunk[0] == 0 && memcmp(chunk, chunk + 1, sizeof chunk - 1) == 0)
        image_punch(image, start, IMAGE_CHUNK);
}

static void apply_data(struct image **image, const struct pending *pending, enum tear_kind tear,
                       uint64_t seed)
{
    if (pending->kind == PENDING_LENGTH) {
        image_set_length(image, pending->length);
        return;
    }
    uint64_t start = pending->sector.number * SIM_SECTOR;
    uint8_t sector[SIM_SECTOR];
    memcpy(sector, pending->sector.bytes, SIM_SECTOR);
    if (tear != TEAR_NONE) {
        uint8_t old[SIM_SECTOR];
        image_read(*image, start, old, SIM_SECTOR);
        tear_sector(sector, old, pending->sector.from, pending->sector.to, tear, seed);
    }
    image_write(image, start, sector, SIM_SECTOR);
    if (pending->sector.is_punched)
        punch_zeros(image, round_down(start, IMAGE_CHUNK));
}

static void apply_names(struct names *removed_from, struct names *added_to,
                        const struct pending *pending)
{
    if (pending->names.removed[0] != '\0')
        names_remove(removed_from, pending->names.removed, pending->names.target);
    if (pending->names.added[0] != '\0')
        names_put(added_to, pending->names.added, pending->names.target);
}

void simtree_sync(struct simtree *tree, struct node *node)
{
    size_t left = 0;
    for (size_t i = 0; i < tree->pendings; i++) {
        struct pending *pending = tree->pending[i];
        if (pending->node != node) {
            tree->pending[left++] = pending;
            continue;
        }
        if (pending->kind == PENDING_NAMES)
            apply_names(&pending->names.removed_from->durable_names, &node->durable_names, pending);
        else if (node->diverged)
            apply_data(&node->durable, pending, TEAR_NONE, 0);
        pending_free(pending);
    }
    tree->pendings = left;
    if (node->is_directory) {
        sweep(tree);
    } else if (!node->diverged) {
        image_release(node->durable);
        node->durable = image_share(node->cached);
    }
}

void simtree_fail_sync(struct simtree *tree, struct node *file, struct rng *rng)
{
    size_t left = 0;
    unsigned percent = (unsigned)rng_below(rng, 3) * 50;
    for (size_t i = 0; i < tree->pendings; i++) {
        struct pending *pending = tree->pending[i];
        if (pending->node != file) {
            tree->pending[left++] = pending;
            continue;
        }
        if (rng_chance(rng, percent))
            apply_data(&file->durable, pending, TEAR_NONE, 0);
        pending_free(pending);
    }
    tree->pendings = left;
    file->diverged = true;
}

struct image *simtree_uncached(const struct simtree *tree, const struct node *file)
{
    if (!file->diverged || tree->has_power)
        return image_share(file->cached);
    struct image *image = image_share(file->durable);
    for (size_t i = 0; i < tree->pendings; i++)
        if (tree->pending[i]->node == file && tree->pending[i]->kind != PENDING_NAMES)
            apply_data(&image, tree->pending[i], TEAR_NONE, 0);
    return image;
}

/* ---- Crashes ---- */

void simtree_keep_power(struct simtree *tree)
{
    assert(tree->pendings == 0);
    tree->has_power = true;
}

/* The state of every node after the crash, by index. */
struct survivors {
    struct image **images;
    struct names *names;
};

static void survivors_begin(struct survivors *s, const struct simtree *tree)
{
    s->images = need(calloc(tree->count, sizeof(struct image *)));
    s->names = need(calloc(tree->count, sizeof s->names[0]));
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->nodes[i]->is_directory)
            names_copy(&s->names[i], &tree->nodes[i]->durable_names);
        else
            s->images[i] = image_share(tree->nodes[i]->durable);
    }
}

static void survivors_end(struct survivors *s, const struct simtree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        image_release(s->images[i]);
        free(s->names[i].entries);
    }
    free(s->images);
    free(s->names);
}

/* The copy that an earlier entry of the directory led to: of two renamings of one file in it the
 * first may be lost, and then it has the first name still, and the last one, too. */
static struct node *copied_before(const struct names *names, size_t i, const struct node *copy)
{
    for (size_t j = 0; j < i && !names->entries[i].node->is_directory; j++)
        if (names->entries[j].node == names->entries[i].node)
            return copy->cached_names.entries[j].node;
    return NULL;
}

static void rebuild(struct simtree *to, struct node *copy, const struct node *node,
                    struct survivors *s)
{
    if (!node->is_directory) {
        struct image **image = &s->images[node->index];
        /* Bytes past the length that reached the disk are never seen again. */
        if (*image != node->durable || node->diverged)
            image_set_length(image, image_length(*image));
        copy->cached = image_share(*image);
        copy->durable = image_share(*image);
        return;
    }
    const struct names *names = &s->names[node->index];
    names_copy(&copy->cached_names, names);
    for (size_t i = 0; i < names->count; i++) {
        struct entry *entry = &copy->cached_names.entries[i];
        struct node *child = entry->node, *before = copied_before(names, i, copy);
        entry->node = before != NULL ? before : node_new(to, entry->name, child->is_directory);
        if (before == NULL)
            rebuild(to, entry->node, child, s);
    }
    names_copy(&copy->durable_names, &copy->cached_names);
}

struct simtree *simtree_crash(const struct simtree *tree, const bool *kept, struct tear tear,
                              uint64_t seed)
{
    struct survivors s;
    assert(!tree->has_power);
    survivors_begin(&s, tree);
    for (size_t i = 0; i < tree->pendings; i++) {
        const struct pending *pending = tree->pending[i];
        if (!kept[i])
            continue;
        if (pending->kind == PENDING_NAMES)
            apply_names(&s.names[pending->names.removed_from->index],
                        &s.names[pending->node->index], pending);
        else
            apply_data(&s.images[pending->node->index], pending,
                       tear.pending == i ? tear.kind : TEAR_NONE, seed);
    }
    struct simtree *crashed = simtree_new();
    rebuild(crashed, crashed->root, tree->root, &s);
    survivors_end(&s, tree);
    return crashed;
}

/* ---- Questions ---- */

uint64_t simtree_chunks(const struct simtree *tree)
{
    uint64_t chunks = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (!tree->nodes[i]->is_directory)
            chunks += image_chunks(tree->nodes[i]->cached);
    return chunks;
}

static bool node_equal(const struct node *one, const struct node *other)
{
    if (one->is_directory != other->is_directory)
        return false;
    if (!one->is_directory)
        return image_equal(one->cached, other->cached);
    if (one->cached_names.count != other->cached_names.count)
        return false;
    for (size_t i = 0; i < one->cached_names.count; i++) {
        const struct entry *entry = &one->cached_names.entries[i];
        const struct node *child = simtree_child(other, entry->name);
        if (child == NULL || !node_equal(entry->node, child))
            return false;
    }
    return true;
}

bool simtree_equal(const struct simtree *one, const struct simtree *other)
{
    return node_equal(one->root, other->root);
}

void simtree_print_pending(const struct pending *pending, FILE *out)
{
    const char *name = pending->node->name;
    switch (pending->kind) {
    case PENDING_SECTOR:
        fprintf(out, "%s sector %llu [%u, %u)", name, (unsigned long long)pending->sector.number,
                pending->sector.from, pending->sector.to);
        break;
    case PENDING_LENGTH:
        fprintf(out, "%s length %llu", name, (unsigned long long)pending->length);
        break;
    case PENDING_NAMES:
        fprintf(out, "directory '%s' removes '%s' adds '%s'", name, pending->names.removed,
                pending->names.added);
        break;
    }
}
