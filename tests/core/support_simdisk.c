#include "support_simdisk.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/limits.h"

#define TRACE_LINES 64
#define PATH_SIZE 160

struct io_file {
    struct node *node;
    unsigned flags;
    uint64_t sync_errors; /* of the node, that this opening has been told of */
    const char *path;     /* kept */
};

struct trace {
    enum simdisk_op op;
    int result;
    uint64_t offset, size;
    const char *path; /* kept */
};

struct simdisk {
    struct io io; /* first: an io is its disk */
    struct simtree *tree;
    struct rng rng;
    simdisk_hook *hook;
    void *hook_context;
    struct simdisk_fault fault;
    uint64_t faults_hit;
    bool has_just_failed; /* in the operation under way */
    enum simdisk_lie lie;
    const struct simdisk *past; /* what a stale read answers, NULL = none is to come */
    const char *lie_pattern;    /* of the lie's paths, or the stale read's */
    uint64_t lie_nth;
    bool has_lied;
    uint64_t capacity; /* chunks, 0 = unlimited */
    unsigned cold_percent;
    bool bypasses_cache, has_clones;
    const char *ignored_pattern;
    uint64_t ignored_skip, ignored_count;
    uint64_t calls[SIM_OPS];
    uint64_t breaches, aligned_writes;
    unsigned open_files;
    uint64_t traced;
    struct trace trace[TRACE_LINES]; /* last */
};

int simdisk_inside;

static const char *const op_names[SIM_OPS] = {
    "open",   "read",           "read_now", "write",    "sync",       "allocate", "zero",
    "punch",  "usage",          "size",     "truncate", "mkdir",      "rmdir",    "remove",
    "rename", "sync_directory", "list",     "lock",     "free_space", "clone",
};

const char *simdisk_op_name(enum simdisk_op op)
{
    return op_names[op];
}

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static struct simdisk *disk_of(struct io *io)
{
    return (struct simdisk *)(void *)io;
}

/* ---- Paths ----
 * Every path that was ever used, once, so that a trace of the operations costs no copies. */

struct kept_path {
    struct kept_path *next;
    char text[PATH_SIZE];
};

static const char *keep_path(const char *path)
{
    static struct kept_path *buckets[4096];
    size_t length = strnlen(path, PATH_SIZE - 1);
    struct kept_path **slot = &buckets[crc32c(0, path, length) % 4096];
    while (*slot != NULL && (strncmp((*slot)->text, path, length) != 0 || (*slot)->text[length]))
        slot = &(*slot)->next;
    if (*slot == NULL) {
        simdisk_inside++;
        *slot = need(calloc(1, sizeof **slot));
        simdisk_inside--;
        memcpy((*slot)->text, path, length);
    }
    return (*slot)->text;
}

/* ---- What every operation passes through ---- */

static bool is_matched(const char *pattern, const char *path)
{
    return pattern == NULL || fnmatch(pattern, path, 0) == 0;
}

static int injected_fault(struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct simdisk_fault *fault = &disk->fault;
    if (fault->nth == 0 || !(fault->ops & SIM_BIT(op)) || !is_matched(fault->pattern, path))
        return 0;
    if (fault->nth > 1) {
        fault->nth--;
        return 0;
    }
    if (!fault->forever)
        fault->nth = 0;
    disk->faults_hit++;
    disk->has_just_failed = true;
    return -fault->error;
}

/* Returns 0, or the error that was asked for. The path is one that is kept. Must be followed by
 * leave. */
static int enter_kept(struct simdisk *disk, enum simdisk_op op, const char *path, uint64_t offset,
                      uint64_t size)
{
    if (disk->hook != NULL)
        disk->hook(disk->hook_context, disk, op, path);
    simdisk_inside++;
    disk->calls[op]++;
    struct trace *trace = &disk->trace[disk->traced++ % TRACE_LINES];
    trace->op = op;
    trace->offset = offset;
    trace->size = size;
    trace->path = path;
    return injected_fault(disk, op, path);
}

static int enter(struct simdisk *disk, enum simdisk_op op, const char *path, uint64_t offset,
                 uint64_t size)
{
    return enter_kept(disk, op, keep_path(path), offset, size);
}

static int enter_file(struct simdisk *disk, enum simdisk_op op, const struct io_file *file,
                      uint64_t offset, uint64_t size)
{
    return enter_kept(disk, op, file->path, offset, size);
}

static int leave(struct simdisk *disk, int result)
{
    struct trace *trace = &disk->trace[(disk->traced - 1) % TRACE_LINES];
    trace->result = result;
    simdisk_inside--;
    if (disk->has_just_failed && disk->fault.after != NULL)
        disk->fault.after(disk->fault.context, disk, trace->op, trace->path);
    disk->has_just_failed = false;
    return result;
}

static int breach(struct simdisk *disk, int error)
{
    disk->breaches++;
    return error;
}

static bool has_space(const struct simdisk *disk, uint64_t chunks)
{
    return disk->capacity == 0 || simtree_chunks(disk->tree) + chunks <= disk->capacity;
}

static int check_path(struct simdisk *disk, const char *path)
{
    bool good = path[0] != '/' && strstr(path, "..") == NULL && strlen(path) < PATH_SIZE;
    return good ? 0 : breach(disk, -EINVAL);
}

/* ---- Files ---- */

static int open_node(struct simdisk *disk, const char *path, unsigned flags, struct node **ret_node)
{
    const char *name;
    struct node *directory = simtree_parent(disk->tree, path, &name);
    if (directory == NULL)
        return -ENOENT;
    struct node *node = simtree_child(directory, name);
    if (node != NULL && (flags & IO_CREATE) && (flags & IO_EXCLUSIVE))
        return -EEXIST;
    if (node != NULL && node->is_directory)
        return -EISDIR;
    if (node == NULL) {
        if (!(flags & IO_CREATE))
            return -ENOENT;
        if (flags & IO_READ_ONLY)
            return breach(disk, -EINVAL);
        if (!has_space(disk, 1))
            return -ENOSPC;
        node = simtree_make(disk->tree, directory, name, false);
    }
    *ret_node = node;
    return 0;
}

static int sim_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    struct simdisk *disk = disk_of(io);
    struct node *node = NULL;
    int result = enter(disk, SIM_OPEN, path, flags, 0);
    if (result == 0)
        result = check_path(disk, path);
    if (result == 0)
        result = open_node(disk, path, flags, &node);
    if (result == 0) {
        struct io_file *file = need(calloc(1, sizeof *file));
        file->node = node;
        file->flags = flags;
        file->sync_errors = node->sync_errors;
        file->path = keep_path(path);
        node->handles++;
        disk->open_files++;
        *ret_file = file;
    }
    return leave(disk, result);
}

static void sim_close(struct io *io, struct io_file *file)
{
    struct simdisk *disk = disk_of(io);
    if (file->node->lock == file)
        file->node->lock = NULL;
    file->node->handles--;
    disk->open_files--;
    free(file);
}

static int check_transfer(struct simdisk *disk, const struct io_file *file, const void *buffer,
                          uint64_t size, uint64_t offset)
{
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return breach(disk, -EINVAL);
    if ((file->flags & IO_ALIGNED) &&
        ((uintptr_t)buffer % DISK_BLOCK != 0 || size % DISK_BLOCK != 0 || offset % DISK_BLOCK != 0))
        return breach(disk, -EINVAL);
    return 0;
}

static bool is_stale(struct simdisk *disk, const char *path)
{
    if (disk->past == NULL || disk->has_lied || !is_matched(disk->lie_pattern, path))
        return false;
    disk->has_lied = --disk->lie_nth == 0;
    return disk->has_lied;
}

/* Over the size bytes that were read. */
static void read_stale(struct simdisk *disk, const struct io_file *file, void *buffer, ssize_t size,
                       uint64_t offset)
{
    if (size <= 0 || !is_stale(disk, file->path))
        return;
    const struct node *old = simtree_find(disk->past->tree, file->path);
    if (old != NULL)
        image_read(old->cached, offset, buffer, (size_t)size);
}

static ssize_t read_part(struct simdisk *disk, const struct io_file *file, void *buffer,
                         size_t size, uint64_t offset)
{
    bool is_direct = disk->bypasses_cache && (file->flags & IO_FROM_DISK) != 0;
    struct image *seen =
        is_direct ? simtree_uncached(disk->tree, file->node) : image_share(file->node->cached);
    uint64_t length = image_length(file->node->cached);
    size_t part = offset >= length ? 0 : (size_t)min_u64(size, length - offset);
    image_read(seen, offset, buffer, part);
    image_release(seen);
    return (ssize_t)part;
}

static ssize_t sim_read(struct io *io, struct io_file *file, void *buffer, size_t size,
                        uint64_t offset)
{
    struct simdisk *disk = disk_of(io);
    ssize_t result = enter_file(disk, SIM_READ, file, offset, size);
    if (result == 0)
        result = check_transfer(disk, file, buffer, size, offset);
    if (result == 0)
        result = read_part(disk, file, buffer, size, offset);
    read_stale(disk, file, buffer, result, offset);
    leave(disk, (int)result);
    return result;
}

/* At most size bytes, into the vectors one behind the other. */
static ssize_t read_vectors(struct simdisk *disk, const struct io_file *file,
                            const struct iovec *vectors, size_t count, uint64_t offset, size_t size)
{
    ssize_t had = 0;
    for (size_t i = 0; i < count && size > 0; i++) {
        size_t part = (size_t)min_u64(vectors[i].iov_len, size);
        ssize_t got = check_transfer(disk, file, vectors[i].iov_base, part, offset);
        if (got == 0)
            got = read_part(disk, file, vectors[i].iov_base, part, offset);
        if (got < 0)
            return got;
        read_stale(disk, file, vectors[i].iov_base, got, offset);
        had += got;
        offset += (uint64_t)got;
        size -= part;
    }
    return had;
}

static ssize_t sim_read_now(struct io *io, struct io_file *file, const struct iovec *vectors,
                            size_t count, uint64_t offset)
{
    struct simdisk *disk = disk_of(io);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += vectors[i].iov_len;
    ssize_t result = enter_file(disk, SIM_READ_NOW, file, offset, size);
    if (result == 0 && count > IO_VECTORS_MAX)
        result = breach(disk, -EINVAL);
    if (result == 0 && size > 0 && rng_chance(&disk->rng, disk->cold_percent)) {
        size = (size_t)rng_below(&disk->rng, size);
        result = size == 0 ? -EAGAIN : 0;
    }
    if (result == 0)
        result = read_vectors(disk, file, vectors, count, offset, size);
    leave(disk, (int)result);
    return result;
}

/* Writes as much as there is space for. */
static int write_part(struct simdisk *disk, struct node *node, const uint8_t *bytes, size_t size,
                      uint64_t offset)
{
    while (size > 0) {
        size_t part = size;
        if (disk->capacity != 0)
            part = (size_t)min_u64(size, IMAGE_CHUNK - offset % IMAGE_CHUNK);
        uint64_t holes = disk->capacity == 0 ? 0 : image_holes(node->cached, offset, part);
        if (holes > 0 && !has_space(disk, holes))
            return -ENOSPC;
        simtree_write(disk->tree, node, offset, bytes, part);
        bytes += part;
        offset += part;
        size -= part;
    }
    return 0;
}

static int write_vectors(struct simdisk *disk, struct io_file *file, const struct iovec *vectors,
                         size_t count, uint64_t offset, uint64_t limit)
{
    int result = 0;
    /* Without a limit on space the length changes once, for all vectors. */
    if (disk->capacity == 0 && limit > 0 && offset + limit > image_length(file->node->cached))
        simtree_set_length(disk->tree, file->node, offset + limit);
    for (size_t i = 0; i < count && result == 0 && limit > 0; i++) {
        const struct iovec *vector = &vectors[i];
        result = check_transfer(disk, file, vector->iov_base, vector->iov_len, offset);
        size_t part = (size_t)min_u64(vector->iov_len, limit);
        if (result == 0)
            result = write_part(disk, file->node, vector->iov_base, part, offset);
        offset += part;
        limit -= part;
    }
    return result;
}

static bool is_lied_about(struct simdisk *disk, const char *path)
{
    if (disk->lie == LIE_NONE || disk->has_lied || !is_matched(disk->lie_pattern, path))
        return false;
    disk->has_lied = --disk->lie_nth == 0;
    return disk->has_lied;
}

/* Somewhere else in the file, as far from its end, in whole sectors. */
static uint64_t elsewhere(struct simdisk *disk, const struct node *node, uint64_t offset,
                          uint64_t size)
{
    uint64_t length = image_length(node->cached);
    uint64_t places = length > size ? (length - size) / SIM_SECTOR + 1 : 1;
    uint64_t place = rng_below(&disk->rng, places);
    if (places > 1 && place == offset / SIM_SECTOR)
        place = (place + 1) % places;
    return place * SIM_SECTOR + offset % SIM_SECTOR;
}

/* The bytes of the file as they would be, and then what the lie makes of them. */
static void write_lie(struct simdisk *disk, struct io_file *file, const struct iovec *vectors,
                      size_t count, uint64_t offset, uint64_t size)
{
    struct node *node = file->node;
    uint8_t *old = need(malloc(size + 1)), *fresh = need(calloc(1, size + 1));
    image_read(node->cached, offset, old, size);
    for (size_t i = 0, at = 0; i < count; at += vectors[i].iov_len, i++)
        memcpy(fresh + at, vectors[i].iov_base, vectors[i].iov_len);
    if (offset + size > image_length(node->cached))
        simtree_set_length(disk->tree, node, offset + size);
    if (disk->lie == LIE_LOST_SECTOR) {
        uint64_t first = offset / SIM_SECTOR, last = (offset + size - 1) / SIM_SECTOR;
        uint64_t lost = rng_between(&disk->rng, first, last) * SIM_SECTOR;
        uint64_t from = max_u64(lost, offset), to = min_u64(lost + SIM_SECTOR, offset + size);
        memcpy(fresh + (from - offset), old + (from - offset), to - from);
        simtree_write(disk->tree, node, offset, fresh, size);
    } else if (disk->lie == LIE_ZEROS) {
        simtree_zero(disk->tree, node, offset, size);
    } else if (disk->lie == LIE_MISDIRECTED) {
        simtree_write(disk->tree, node, elsewhere(disk, node, offset, size), fresh, size);
    }
    free(old);
    free(fresh);
}

static int sim_write(struct io *io, struct io_file *file, struct iovec *vectors, size_t count,
                     uint64_t offset)
{
    struct simdisk *disk = disk_of(io);
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += vectors[i].iov_len;
    int result = enter_file(disk, SIM_WRITE, file, offset, size);
    if (file->flags & IO_READ_ONLY)
        return leave(disk, breach(disk, -EBADF));
    disk->aligned_writes += (file->flags & IO_ALIGNED) != 0;
    if (result != 0)
        write_vectors(disk, file, vectors, count, offset, rng_below(&disk->rng, size + 1));
    else if (size > 0 && is_lied_about(disk, file->path))
        write_lie(disk, file, vectors, count, offset, size);
    else
        result = write_vectors(disk, file, vectors, count, offset, size);
    /* Whoever counts on the vectors afterwards shall notice. */
    memset(vectors, 0, count * sizeof vectors[0]);
    return leave(disk, result);
}

static bool is_ignored(struct simdisk *disk, const char *path)
{
    if (disk->ignored_count == 0 || !is_matched(disk->ignored_pattern, path))
        return false;
    if (disk->ignored_skip > 0) {
        disk->ignored_skip--;
        return false;
    }
    disk->ignored_count--;
    return true;
}

/* A failure is told once to each opening of the file, as Linux does. */
static int sim_sync(struct io *io, struct io_file *file)
{
    struct simdisk *disk = disk_of(io);
    struct node *node = file->node;
    int result = enter_file(disk, SIM_SYNC, file, 0, 0);
    if (result != 0)
        node->sync_errors++;
    else if (file->sync_errors < node->sync_errors)
        result = -EIO;
    file->sync_errors = node->sync_errors;
    if (result != 0)
        simtree_fail_sync(disk->tree, node, &disk->rng);
    else if (!is_ignored(disk, file->path))
        simtree_sync(disk->tree, file->node);
    return leave(disk, result);
}

static int sim_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_ALLOCATE, file, offset, size);
    if (file->flags & IO_READ_ONLY)
        return leave(disk, breach(disk, -EBADF));
    if (size == 0 || offset > INT64_MAX || size > INT64_MAX - offset)
        return leave(disk, breach(disk, -EINVAL));
    struct node *node = file->node;
    if (result == 0 && !has_space(disk, image_holes(node->cached, offset, size)))
        result = -ENOSPC;
    if (result == 0) {
        if (offset + size > image_length(node->cached))
            simtree_set_length(disk->tree, node, offset + size);
        image_allocate(&node->cached, offset, size);
    }
    return leave(disk, result);
}

/* What zero and punch may be asked for: a range within a file that may be written. */
static int check_range(struct simdisk *disk, const struct io_file *file, uint64_t offset,
                       uint64_t size)
{
    uint64_t length = image_length(file->node->cached);
    if (file->flags & IO_READ_ONLY)
        return breach(disk, -EBADF);
    if (size == 0 || offset > length || size > length - offset)
        return breach(disk, -EINVAL);
    return 0;
}

static int sim_zero(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_ZERO, file, offset, size);
    int checked = check_range(disk, file, offset, size);
    if (checked != 0)
        return leave(disk, checked);
    if (result == 0 && !has_space(disk, image_holes(file->node->cached, offset, size)))
        result = -ENOSPC;
    else if (result != 0)
        size = rng_below(&disk->rng, size + 1);
    if (result != -ENOSPC && size > 0)
        simtree_zero(disk->tree, file->node, offset, size);
    return leave(disk, result);
}

static int sim_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_PUNCH, file, offset, size);
    int checked = check_range(disk, file, offset, size);
    if (checked != 0)
        return leave(disk, checked);
    if (result != 0)
        size = result == -EOPNOTSUPP ? 0 : rng_below(&disk->rng, size + 1);
    if (size > 0)
        simtree_punch(disk->tree, file->node, offset, size);
    return leave(disk, result);
}

static int sim_usage(struct io *io, struct io_file *file, uint64_t *ret_bytes)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_USAGE, file, 0, 0);
    if (result == 0)
        *ret_bytes = image_chunks(file->node->cached) * IMAGE_CHUNK;
    return leave(disk, result);
}

static int sim_size(struct io *io, struct io_file *file, uint64_t *ret_size)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_SIZE, file, 0, 0);
    if (result == 0)
        *ret_size = image_length(file->node->cached);
    return leave(disk, result);
}

static int sim_truncate(struct io *io, struct io_file *file, uint64_t size)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_TRUNCATE, file, 0, size);
    if (file->flags & IO_READ_ONLY)
        return leave(disk, breach(disk, -EBADF));
    if (result == 0)
        simtree_set_length(disk->tree, file->node, size);
    return leave(disk, result);
}

static int sim_lock(struct io *io, struct io_file *file)
{
    struct simdisk *disk = disk_of(io);
    int result = enter_file(disk, SIM_LOCK, file, 0, 0);
    if (result == 0 && file->node->lock != NULL && file->node->lock != file)
        result = -EWOULDBLOCK;
    if (result == 0)
        file->node->lock = file;
    return leave(disk, result);
}

/* ---- Names ---- */

static int make_directory(struct simdisk *disk, const char *path)
{
    const char *name;
    struct node *directory = simtree_parent(disk->tree, path, &name);
    if (directory == NULL)
        return -ENOENT;
    if (name[0] == '\0' || simtree_child(directory, name) != NULL)
        return -EEXIST;
    simtree_make(disk->tree, directory, name, true);
    return 0;
}

static int sim_make_directory(struct io *io, const char *path)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_MAKE_DIRECTORY, path, 0, 0);
    if (result == 0)
        result = check_path(disk, path);
    if (result == 0)
        result = make_directory(disk, path);
    return leave(disk, result);
}

static int remove_node(struct simdisk *disk, const char *path, bool is_directory)
{
    const char *name;
    struct node *directory = simtree_parent(disk->tree, path, &name);
    struct node *node = directory == NULL ? NULL : simtree_child(directory, name);
    if (node == NULL)
        return -ENOENT;
    if (node->is_directory != is_directory)
        return is_directory ? -ENOTDIR : -EISDIR;
    if (node->cached_names.count > 0)
        return -ENOTEMPTY;
    simtree_unlink(disk->tree, directory, name);
    return 0;
}

static int sim_remove_directory(struct io *io, const char *path)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_REMOVE_DIRECTORY, path, 0, 0);
    if (result == 0)
        result = check_path(disk, path);
    if (result == 0)
        result = remove_node(disk, path, true);
    return leave(disk, result);
}

static int sim_remove(struct io *io, const char *path)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_REMOVE, path, 0, 0);
    if (result == 0)
        result = check_path(disk, path);
    if (result == 0)
        result = remove_node(disk, path, false);
    return leave(disk, result);
}

static int rename_node(struct simdisk *disk, const char *from, const char *to)
{
    const char *from_name, *to_name;
    struct node *from_directory = simtree_parent(disk->tree, from, &from_name);
    struct node *to_directory = simtree_parent(disk->tree, to, &to_name);
    if (from_directory == NULL || to_directory == NULL || to_name[0] == '\0')
        return -ENOENT;
    struct node *node = simtree_child(from_directory, from_name);
    struct node *target = simtree_child(to_directory, to_name);
    if (node == NULL)
        return -ENOENT;
    if (target != NULL && target != node) {
        if (target->is_directory != node->is_directory)
            return target->is_directory ? -EISDIR : -ENOTDIR;
        if (target->cached_names.count > 0)
            return -ENOTEMPTY;
    }
    simtree_rename(disk->tree, from_directory, from_name, to_directory, to_name);
    return 0;
}

static int sim_rename(struct io *io, const char *from, const char *to)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_RENAME, from, 0, 0);
    if (result == 0)
        result = check_path(disk, from);
    if (result == 0)
        result = check_path(disk, to);
    if (result == 0)
        result = rename_node(disk, from, to);
    return leave(disk, result);
}

static int sim_sync_directory(struct io *io, const char *path)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_SYNC_DIRECTORY, path, 0, 0);
    struct node *node = simtree_find(disk->tree, path);
    if (result == 0 && (node == NULL || !node->is_directory))
        result = -ENOENT;
    if (result == 0 && !is_ignored(disk, path))
        simtree_sync(disk->tree, node);
    return leave(disk, result);
}

/* The names are copied first: visit may remove them. */
static int sim_list(struct io *io, const char *path,
                    int (*visit)(void *context, const char *name, bool is_directory), void *context)
{
    struct simdisk *disk = disk_of(io);
    int result = enter(disk, SIM_LIST, path, 0, 0);
    struct node *node = simtree_find(disk->tree, path);
    if (result == 0 && (node == NULL || !node->is_directory))
        result = -ENOENT;
    if (result != 0)
        return leave(disk, result);
    size_t count = node->cached_names.count;
    struct entry *entries = need(malloc((count + 1) * sizeof entries[0]));
    bool *directories = need(malloc(count + 1));
    for (size_t i = 0; i < count; i++) {
        entries[i] = node->cached_names.entries[i];
        directories[i] = entries[i].node->is_directory;
    }
    leave(disk, 0);
    for (size_t i = 0; i < count && result == 0; i++)
        result = visit(context, entries[i].name, directories[i]);
    free(entries);
    free(directories);
    return result;
}

/* What is written to the one afterwards is not seen in the other: as a write of all its bytes. */
static int sim_clone(struct io *io, struct io_file *from, struct io_file *to)
{
    struct simdisk *disk = disk_of(io);
    uint64_t length = image_length(from->node->cached);
    int result = enter_file(disk, SIM_CLONE, to, 0, length);
    if (result == 0 && ((to->flags & IO_READ_ONLY) != 0 || image_length(to->node->cached) != 0))
        result = breach(disk, -EBADF);
    if (result == 0 && !disk->has_clones)
        result = -EOPNOTSUPP;
    uint8_t *bytes = need(malloc(length + 1));
    image_read(from->node->cached, 0, bytes, length);
    if (result == 0)
        result = write_part(disk, to->node, bytes, length, 0);
    free(bytes);
    return leave(disk, result);
}

static int sim_free_space(struct io *io, uint64_t *ret_bytes)
{
    struct simdisk *disk = disk_of(io);
    uint64_t capacity = disk->capacity == 0 ? INT64_MAX / IMAGE_CHUNK : disk->capacity;
    int result = enter(disk, SIM_FREE_SPACE, ".", 0, 0);
    uint64_t used = simtree_chunks(disk->tree);
    if (result == 0)
        *ret_bytes = used > capacity ? 0 : (capacity - used) * IMAGE_CHUNK;
    return leave(disk, result);
}

static int sim_random(struct io *io, void *buffer, size_t size)
{
    struct simdisk *disk = disk_of(io);
    uint8_t *bytes = buffer;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)rng_next(&disk->rng);
    return 0;
}

/* Nothing is certain before a sync, so a crash finds every write in any state already. */
static void sim_write_back(struct io *io, struct io_file *file)
{
    (void)io, (void)file;
}

static const struct io_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .read_now = sim_read_now,
    .write = sim_write,
    .sync = sim_sync,
    .write_back = sim_write_back,
    .allocate = sim_allocate,
    .zero = sim_zero,
    .punch = sim_punch,
    .usage = sim_usage,
    .size = sim_size,
    .truncate = sim_truncate,
    .make_directory = sim_make_directory,
    .remove_directory = sim_remove_directory,
    .remove = sim_remove,
    .rename = sim_rename,
    .sync_directory = sim_sync_directory,
    .list = sim_list,
    .lock = sim_lock,
    .clone = sim_clone,
    .free_space = sim_free_space,
    .random = sim_random,
};

/* ---- The disk ---- */

static struct simdisk *disk_on(struct simtree *tree, uint64_t seed)
{
    struct simdisk *disk = need(malloc(sizeof *disk));
    /* The trace is most of it, and is not looked at before it is written. */
    memset(disk, 0, offsetof(struct simdisk, trace));
    disk->io.ops = &sim_ops;
    disk->tree = tree;
    disk->rng.state = seed;
    return disk;
}

struct simdisk *simdisk_new(uint64_t seed)
{
    return disk_on(simtree_new(), seed);
}

void simdisk_free(struct simdisk *disk)
{
    if (disk == NULL)
        return;
    simtree_free(disk->tree);
    free(disk);
}

struct io *simdisk_io(struct simdisk *disk)
{
    return &disk->io;
}

struct simtree *simdisk_tree(struct simdisk *disk)
{
    return disk->tree;
}

size_t simdisk_pending(const struct simdisk *disk)
{
    return disk->tree->pendings;
}

const struct pending *const *simdisk_pending_list(const struct simdisk *disk)
{
    return (const struct pending *const *)disk->tree->pending;
}

struct simdisk *simdisk_crash(const struct simdisk *disk, const bool *kept, struct tear tear,
                              uint64_t seed)
{
    return disk_on(simtree_crash(disk->tree, kept, tear, seed), seed);
}

struct simdisk *simdisk_crash_none(const struct simdisk *disk)
{
    bool *kept = need(calloc(disk->tree->pendings + 1, sizeof *kept));
    struct simdisk *crashed = simdisk_crash(disk, kept, (struct tear){0}, 0);
    free(kept);
    return crashed;
}

struct simdisk *simdisk_crash_random(const struct simdisk *disk, struct rng *rng)
{
    bool *kept = need(calloc(disk->tree->pendings + 1, sizeof *kept));
    unsigned percent = (unsigned)rng_below(rng, 5) * 25;
    for (size_t i = 0; i < disk->tree->pendings; i++)
        kept[i] = rng_chance(rng, percent);
    struct simdisk *crashed = simdisk_crash(disk, kept, (struct tear){0}, rng_next(rng));
    free(kept);
    return crashed;
}

void simdisk_keep_power(struct simdisk *disk)
{
    simtree_keep_power(disk->tree);
}

void simdisk_set_hook(struct simdisk *disk, simdisk_hook *hook, void *context)
{
    disk->hook = hook;
    disk->hook_context = context;
}

void simdisk_set_fault(struct simdisk *disk, struct simdisk_fault fault)
{
    disk->fault = fault;
    disk->faults_hit = 0;
}

uint64_t simdisk_faults_hit(const struct simdisk *disk)
{
    return disk->faults_hit;
}

void simdisk_set_lie(struct simdisk *disk, enum simdisk_lie lie, const char *pattern, uint64_t nth)
{
    disk->lie = lie;
    disk->past = NULL;
    disk->lie_pattern = pattern;
    disk->lie_nth = nth;
    disk->has_lied = false;
}

void simdisk_set_stale(struct simdisk *disk, const struct simdisk *past, const char *pattern,
                       uint64_t nth)
{
    simdisk_set_lie(disk, LIE_NONE, pattern, nth);
    disk->past = past;
}

bool simdisk_has_lied(const struct simdisk *disk)
{
    return disk->has_lied;
}

void simdisk_set_clones(struct simdisk *disk)
{
    disk->has_clones = disk->io.shares_space = true;
}

void simdisk_set_capacity(struct simdisk *disk, uint64_t bytes)
{
    disk->capacity = bytes / IMAGE_CHUNK;
}

uint64_t simdisk_used(const struct simdisk *disk)
{
    return simtree_chunks(disk->tree) * IMAGE_CHUNK;
}

void simdisk_set_cold_reads(struct simdisk *disk, unsigned percent)
{
    disk->cold_percent = percent;
}

void simdisk_bypass_cache(struct simdisk *disk)
{
    disk->bypasses_cache = true;
}

void simdisk_ignore_syncs(struct simdisk *disk, const char *pattern, uint64_t nth, uint64_t count)
{
    disk->ignored_pattern = pattern;
    disk->ignored_skip = nth == 0 ? 0 : nth - 1;
    disk->ignored_count = count;
}

uint64_t simdisk_calls(const struct simdisk *disk, unsigned ops)
{
    uint64_t calls = 0;
    for (unsigned op = 0; op < SIM_OPS; op++)
        if (ops & SIM_BIT(op))
            calls += disk->calls[op];
    return calls;
}

uint64_t simdisk_aligned_writes(const struct simdisk *disk)
{
    return disk->aligned_writes;
}

uint64_t simdisk_breaches(const struct simdisk *disk)
{
    return disk->breaches;
}

unsigned simdisk_open_files(const struct simdisk *disk)
{
    return disk->open_files;
}

void simdisk_print_trace(const struct simdisk *disk, FILE *out)
{
    uint64_t first = disk->traced > TRACE_LINES ? disk->traced - TRACE_LINES : 0;
    for (uint64_t i = first; i < disk->traced; i++) {
        const struct trace *trace = &disk->trace[i % TRACE_LINES];
        fprintf(out, "  %6llu %s %s [%llu, +%llu) = %d\n", (unsigned long long)i,
                op_names[trace->op], trace->path, (unsigned long long)trace->offset,
                (unsigned long long)trace->size, trace->result);
    }
}
