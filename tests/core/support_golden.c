#include "support_golden.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/format1.h"
#include "core/format1_private.h"
#include "core/limits.h"
#include "core/migrate.h"
#include "core/record.h"

#define ARCHIVE SOURCE_ROOT "/tests/golden/format-1.tar.gz"
#define PATH_SIZE 128

const char *const golden_names[GOLDEN_REGIONS] = {"main", "seed", "packed", "empty"};

const struct golden_figures golden_figures[GOLDEN_REGIONS] = {
    [GOLDEN_MAIN] = {926281, 18, 723094, 8, 3368626123},
    [GOLDEN_SEED] = {1000, 1, 845, 3, 3199619895},
    [GOLDEN_PACKED] = {100, 1, 100, 0, 3925282574},
    [GOLDEN_EMPTY] = {0, 0, 0, 0, 0},
};

/* Check writes every assertion that holds to a file: most of the time of what is done a million
 * times over. So those are asserted only where they do not hold. */
static void need(int result)
{
    if (result != 0)
        ck_abort_msg("an operation of the disk: %s", strerror(-result));
}

/* ---- Files ---- */

void golden_write(struct simdisk *disk, const char *path, uint64_t offset, const void *bytes,
                  size_t size)
{
    struct io *io = simdisk_io(disk);
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    struct io_file *file;
    need(io->ops->open(io, path, IO_CREATE, &file));
    if (size > 0)
        need(io->ops->write(io, file, &vector, 1, offset));
    need(io->ops->sync(io, file));
    io->ops->close(io, file);
}

size_t golden_read(struct simdisk *disk, const char *path, uint64_t offset, void *bytes,
                   size_t size)
{
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    need(io->ops->open(io, path, IO_READ_ONLY, &file));
    ssize_t got = io->ops->read(io, file, bytes, size, offset);
    io->ops->close(io, file);
    if (got < 0)
        ck_abort_msg("reading %s: %s", path, strerror((int)-got));
    return (size_t)got;
}

void golden_flip(struct simdisk *disk, const char *path, uint64_t offset)
{
    uint8_t byte;
    ck_assert_uint_eq(golden_read(disk, path, offset, &byte, 1), 1);
    byte ^= 1;
    golden_write(disk, path, offset, &byte, 1);
}

void golden_resize(struct simdisk *disk, const char *path, uint64_t size)
{
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    need(io->ops->open(io, path, 0, &file));
    need(io->ops->truncate(io, file, size));
    need(io->ops->sync(io, file));
    io->ops->close(io, file);
}

/* ---- The store ---- */

/* A new file with its disk space; it is mostly zeros, which the disk has by itself. */
static void fill(struct simdisk *disk, const char *path, const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[DISK_BLOCK];
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    need(io->ops->open(io, path, IO_CREATE | IO_EXCLUSIVE, &file));
    if (size > 0)
        need(io->ops->allocate(io, file, 0, size));
    for (size_t at = 0; at < size; at += DISK_BLOCK) {
        size_t part = (size_t)min_u64(DISK_BLOCK, size - at);
        struct iovec vector = {(void *)(uintptr_t)(bytes + at), part};
        if (memcmp(bytes + at, zeros, part) != 0)
            need(io->ops->write(io, file, &vector, 1, at));
    }
    need(io->ops->sync(io, file));
    io->ops->close(io, file);
}

/* The archive is a ustar file: a block of 512 bytes with name and size, then the bytes. */
enum { TAR_BLOCK = 512, TAR_SIZE = 124, TAR_TYPE = 156 };

static bool is_wanted(const char *name, const char *region)
{
    size_t length = strlen("regions/");
    if (strncmp(name, "regions/", length) != 0)
        return true;
    size_t own = strlen(region);
    return strncmp(name + length, region, own) == 0 && name[length + own] == '/';
}

static void unpack(struct simdisk *disk, const char *region)
{
    static uint8_t bytes[8 * MIB];
    char header[TAR_BLOCK];
    FILE *pipe = popen("gzip -dc " ARCHIVE, "re");
    ck_assert_ptr_nonnull(pipe);
    while (fread(header, sizeof header, 1, pipe) == 1 && header[0] != '\0') {
        size_t size = (size_t)strtoull(header + TAR_SIZE, NULL, 8);
        size_t padded = (size_t)round_up(size, TAR_BLOCK);
        const char *name = header + strlen("data/");
        ck_assert_uint_le(padded, sizeof bytes);
        ck_assert_uint_eq(fread(bytes, 1, padded, pipe), padded);
        if (header[TAR_TYPE] == '0' && is_wanted(name, region))
            fill(disk, name, bytes, size);
    }
    while (fread(bytes, sizeof bytes, 1, pipe) == 1)
        continue;
    ck_assert_int_eq(pclose(pipe), 0);
}

static struct simdisk *unpacked(enum golden_region region)
{
    struct simdisk *disk = simdisk_new(1);
    struct io *io = simdisk_io(disk);
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "regions/%s", golden_names[region]);
    need(io->ops->make_directory(io, "regions"));
    need(io->ops->make_directory(io, folder));
    unpack(disk, golden_names[region]);
    need(io->ops->sync_directory(io, folder));
    need(io->ops->sync_directory(io, "regions"));
    need(io->ops->sync_directory(io, "."));
    return disk;
}

/* Those that were unpacked once: to copy them costs next to nothing. */
static struct simdisk *originals[GOLDEN_REGIONS];

void golden_unpack(void)
{
    for (unsigned i = 0; i < GOLDEN_REGIONS; i++)
        if (originals[i] == NULL)
            originals[i] = unpacked((enum golden_region)i);
}

struct simdisk *golden_disk_of(enum golden_region region)
{
    const bool none = false; /* nothing is pending */
    if (originals[region] == NULL)
        originals[region] = unpacked(region);
    return simdisk_crash(originals[region], &none, (struct tear){0}, 1);
}

/* ---- Variants ---- */

struct look {
    struct meta meta;
    uint64_t size;                       /* of the region */
    uint64_t journal_start, journal_end; /* of the records behind the checkpoint */
    struct extent largest;
};

/* Where replay over a checkpoint begins. */
static uint64_t start_of(struct simdisk *disk, const char *folder, uint64_t sequence)
{
    char path[2 * PATH_SIZE];
    uint8_t header[48];
    snprintf(path, sizeof path, "%s/%s", folder,
             format1_checkpoint_name(format1_checkpoint_slot(sequence)));
    ck_assert_uint_eq(golden_read(disk, path, 0, header, sizeof header), sizeof header);
    return get_u64(header + 40);
}

static void look(struct simdisk *disk, const char *folder, struct look *look)
{
    struct io *io = simdisk_io(disk);
    struct format1 old = {.io = io, .folder = folder, .data_size = UINT64_MAX};
    struct extent block = {0, 0};
    struct err err = {0};
    uint32_t version;
    *look = (struct look){0};
    need(migrate_read_meta(io, folder, &look->meta, &version, &err));
    memcpy(old.secret, look->meta.secret, sizeof old.secret);
    freespace_init(&old.space, FIT_TIGHT);
    need(format1_read(&old, &err));
    look->size = old.space.size;
    look->journal_end = old.cut_at;
    look->journal_start = start_of(disk, folder, old.checkpoint_sequence);
    while (maxtree_seek(&old.space.tree, extent_end(block), &block))
        if (block.size > look->largest.size)
            look->largest = block;
    format1_release(&old);
}

static void make_sparse(struct simdisk *disk, const char *folder, const struct look *look)
{
    struct io *io = simdisk_io(disk);
    char path[2 * PATH_SIZE];
    struct io_file *file;
    uint64_t from = round_up(look->largest.address, DISK_BLOCK);
    uint64_t to = round_down(extent_end(look->largest), DISK_BLOCK);
    snprintf(path, sizeof path, "%s/data", folder);
    golden_resize(disk, path, look->size);
    if (from >= to)
        return;
    need(io->ops->open(io, path, 0, &file));
    need(io->ops->punch(io, file, from, to - from));
    need(io->ops->sync(io, file));
    io->ops->close(io, file);
}

static void segment_path(char path[2 * PATH_SIZE], const char *folder, uint64_t lsn)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    snprintf(path, 2 * PATH_SIZE, "%s/%s", folder,
             format1_journal_name(name, format1_journal_seq(lsn)));
}

/* The first block of a record of three. */
static void tear(struct simdisk *disk, const char *folder, const struct look *look)
{
    char path[2 * PATH_SIZE];
    struct record record;
    record_init(&record);
    need(record_reserve(&record, RECORD_EXTENT_EFFECT + 2 * DISK_BLOCK));
    size_t offset = record_add_put(&record, (struct extent){0, 2 * DISK_BLOCK});
    memset(record.bytes + offset, 0x5a, 2 * DISK_BLOCK);
    record_seal(&record, record_seed(look->meta.secret), look->journal_end, look->journal_end);
    segment_path(path, folder, look->journal_end);
    golden_write(disk, path, format1_journal_offset(look->journal_end), record.bytes, DISK_BLOCK);
    record_release(&record);
}

void golden_append(struct simdisk *disk, struct record *record)
{
    static const char folder[] = "regions/main";
    char path[2 * PATH_SIZE];
    struct look found;
    look(disk, folder, &found);
    record_seal(record, record_seed(found.meta.secret), found.journal_end, found.journal_end);
    segment_path(path, folder, found.journal_end);
    golden_write(disk, path, format1_journal_offset(found.journal_end), record->bytes,
                 (size_t)record_padded(record->length));
}

/* Takes a put out of the data file, where what it put is still there. */
static void unput(struct simdisk *disk, const char *folder, const struct format1_effect *put,
                  const uint8_t *bytes)
{
    char path[2 * PATH_SIZE];
    size_t size = (size_t)put->extent.size;
    uint8_t *now = malloc(size);
    ck_assert_ptr_nonnull(now);
    snprintf(path, sizeof path, "%s/data", folder);
    ck_assert_uint_eq(golden_read(disk, path, put->extent.address, now, size), size);
    if (memcmp(now, bytes, size) == 0) {
        memset(now, 0xee, size);
        golden_write(disk, path, put->extent.address, now, size);
    }
    free(now);
}

static void fall_behind(struct simdisk *disk, const char *folder, const struct look *look)
{
    struct format1_journal_reader reader;
    struct format1_journal_record record = {0};
    struct format1_effect_cursor cursor;
    struct format1_effect effect;
    struct err err = {0};
    bool is_valid = true;
    need(format1_journal_reader_open(&reader, simdisk_io(disk), folder, look->meta.secret, &err));
    for (uint64_t lsn = look->journal_start; lsn < look->journal_end;) {
        need(format1_journal_reader_record(&reader, lsn, &record, &is_valid, &err));
        ck_assert(is_valid);
        format1_effect_begin(&cursor, record.bytes, &record.header);
        while (format1_effect_next(&cursor, &effect) == 1)
            if (effect.kind == FORMAT1_EFFECT_PUT)
                unput(disk, folder, &effect, record.bytes + effect.offset);
        lsn += format1_record_padded(record.header.length);
    }
    free(record.bytes);
    format1_journal_reader_release(&reader);
}

void golden_vary(struct simdisk *disk, enum golden_region region, enum golden_variant variant)
{
    char folder[PATH_SIZE];
    struct look found;
    snprintf(folder, sizeof folder, "regions/%s", golden_names[region]);
    look(disk, folder, &found);
    if (variant == GOLDEN_SPARSE)
        make_sparse(disk, folder, &found);
    else if (variant == GOLDEN_TORN)
        tear(disk, folder, &found);
    else if (variant == GOLDEN_BEHIND)
        fall_behind(disk, folder, &found);
}

/* ---- All of it ---- */

struct summing {
    struct simdisk *disk;
    const char *folder;
    uint32_t sum; /* of all entries: the order in which they are listed is any */
};

static int sum_entry(void *context, const char *name, bool is_directory)
{
    struct summing *summing = context;
    char path[2 * PATH_SIZE];
    static uint8_t bytes[64 * KIB];
    snprintf(path, sizeof path, "%s/%s", summing->folder, name);
    const char *inside = strncmp(path, "./", 2) == 0 ? path + 2 : path;
    uint32_t sum = crc32c(0, path, strlen(path));
    if (is_directory) {
        struct io *io = simdisk_io(summing->disk);
        struct summing below = {.disk = summing->disk, .folder = inside, .sum = sum};
        need(io->ops->list(io, inside, sum_entry, &below));
        sum = below.sum;
    } else {
        uint64_t offset = 0;
        size_t got;
        while ((got = golden_read(summing->disk, inside, offset, bytes, sizeof bytes)) > 0) {
            sum = crc32c(sum, bytes, got);
            offset += got;
        }
        sum = crc32c(sum, &offset, sizeof offset);
    }
    summing->sum += sum;
    return 0;
}

uint32_t golden_fingerprint(struct simdisk *disk)
{
    struct io *io = simdisk_io(disk);
    struct summing summing = {.disk = disk, .folder = "."};
    need(io->ops->list(io, ".", sum_entry, &summing));
    return summing.sum;
}

bool golden_same_old(struct simdisk *one, struct simdisk *other, enum golden_region region)
{
    static const char *const old[] = {"checkpoint-0", "checkpoint-1", "journal-0000000000000002",
                                      "journal-0000000000000003"};
    char path[PATH_SIZE];
    bool is_same = true;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        snprintf(path, sizeof path, "regions/%s/%s", golden_names[region], old[i]);
        const struct node *a = simtree_find(simdisk_tree(one), path);
        const struct node *b = simtree_find(simdisk_tree(other), path);
        if (a == NULL || b == NULL)
            is_same = is_same && a == b;
        else
            is_same = is_same && image_equal(a->cached, b->cached);
    }
    return is_same;
}
