/* The simulated disk must be right before anything can be proved on it. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "support_simcrash.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;

static void setup(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
}

static void teardown(void)
{
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static struct io_file *open_on(struct io *on, const char *path, unsigned flags)
{
    struct io_file *file;
    ck_assert_int_eq(on->ops->open(on, path, flags, &file), 0);
    return file;
}

static int write_bytes(struct io_file *file, uint64_t offset, const void *bytes, size_t size)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    return io->ops->write(io, file, &vector, 1, offset);
}

static void write_fill(struct io_file *file, uint64_t offset, char fill, size_t size)
{
    char *bytes = malloc(size);
    memset(bytes, fill, size);
    ck_assert_int_eq(write_bytes(file, offset, bytes, size), 0);
    free(bytes);
}

static void sync_file(struct io_file *file)
{
    ck_assert_int_eq(io->ops->sync(io, file), 0);
}

static void sync_directory(const char *path)
{
    ck_assert_int_eq(io->ops->sync_directory(io, path), 0);
}

static bool exists(struct simdisk *on, const char *path)
{
    return simtree_find(simdisk_tree(on), path) != NULL;
}

static uint64_t length_on(struct simdisk *on, const char *path)
{
    return image_length(simtree_find(simdisk_tree(on), path)->cached);
}

static char byte_on(struct simdisk *on, const char *path, uint64_t offset)
{
    char byte;
    image_read(simtree_find(simdisk_tree(on), path)->cached, offset, &byte, 1);
    return byte;
}

/* A file of two synced sectors full of 'a' under a synced name. */
static struct io_file *settled_file(const char *path)
{
    struct io_file *file = open_on(io, path, IO_CREATE);
    write_fill(file, 0, 'a', 2 * SIM_SECTOR);
    sync_file(file);
    sync_directory(".");
    ck_assert_uint_eq(simdisk_pending(disk), 0);
    return file;
}

START_TEST(test_reads_what_was_written)
{
    struct io_file *file = open_on(io, "f", IO_CREATE | IO_EXCLUSIVE);
    struct io_file *other;
    ck_assert_int_eq(io->ops->open(io, "f", IO_CREATE | IO_EXCLUSIVE, &other), -EEXIST);
    ck_assert_int_eq(io->ops->open(io, "g", 0, &other), -ENOENT);
    char first[] = "hello ", second[] = "world", buffer[32] = {0};
    struct iovec vectors[] = {{first, 6}, {second, 5}};
    ck_assert_int_eq(io->ops->write(io, file, vectors, 2, 5000), 0);
    ck_assert_int_eq(io->ops->read(io, file, buffer, 32, 5000), 11);
    ck_assert_str_eq(buffer, "hello world");
    ck_assert_int_eq(io->ops->read(io, file, buffer, 4, 0), 4);
    ck_assert_int_eq(buffer[0] | buffer[1] | buffer[2] | buffer[3], 0);
    ck_assert_int_eq(io->ops->read(io, file, buffer, 4, 6000), 0);
    uint64_t size;
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 5011);
    ck_assert_int_eq(io->ops->truncate(io, file, 5003), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, 6000), 0);
    ck_assert_int_eq(io->ops->read(io, file, buffer, 5, 5000), 5);
    ck_assert_mem_eq(buffer, "hel\0\0", 5);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_only_synced_bytes_survive)
{
    struct io_file *file = settled_file("f");
    write_fill(file, 0, 'b', 10);
    write_fill(file, SIM_SECTOR, 'c', SIM_SECTOR);
    ck_assert_uint_eq(simdisk_pending(disk), 2);
    struct simdisk *none = simdisk_crash_none(disk);
    ck_assert_int_eq(byte_on(none, "f", 0), 'a');
    ck_assert_int_eq(byte_on(none, "f", SIM_SECTOR), 'a');
    struct simdisk *second =
        simdisk_crash(disk, (bool[]){false, true}, (struct tear){TEAR_NONE, 0}, 0);
    ck_assert_int_eq(byte_on(second, "f", 0), 'a');
    ck_assert_int_eq(byte_on(second, "f", SIM_SECTOR), 'c');
    sync_file(file);
    struct simdisk *all = simdisk_crash_none(disk);
    ck_assert_int_eq(byte_on(all, "f", 0), 'b');
    ck_assert_int_eq(byte_on(all, "f", 10), 'a');
    ck_assert_int_eq(byte_on(all, "f", SIM_SECTOR), 'c');
    simdisk_free(none);
    simdisk_free(second);
    simdisk_free(all);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_sync_settles_one_file_only)
{
    struct io_file *one = settled_file("one");
    struct io_file *two = settled_file("two");
    write_fill(one, 0, 'b', 1);
    write_fill(two, 0, 'b', 1);
    sync_file(one);
    struct simdisk *crashed = simdisk_crash_none(disk);
    ck_assert_int_eq(byte_on(crashed, "one", 0), 'b');
    ck_assert_int_eq(byte_on(crashed, "two", 0), 'a');
    simdisk_free(crashed);
    io->ops->close(io, one);
    io->ops->close(io, two);
}
END_TEST

/* The bytes may be there and the length not, and the other way round. */
START_TEST(test_length_persists_on_its_own)
{
    struct io_file *file = settled_file("f");
    write_fill(file, 2 * SIM_SECTOR, 'b', SIM_SECTOR);
    ck_assert_uint_eq(simdisk_pending(disk), 2);
    const struct tear whole = {TEAR_NONE, 0};
    struct simdisk *length = simdisk_crash(disk, (bool[]){true, false}, whole, 0);
    ck_assert_uint_eq(length_on(length, "f"), 3 * SIM_SECTOR);
    ck_assert_int_eq(byte_on(length, "f", 2 * SIM_SECTOR), 0);
    struct simdisk *bytes = simdisk_crash(disk, (bool[]){false, true}, whole, 0);
    ck_assert_uint_eq(length_on(bytes, "f"), 2 * SIM_SECTOR);
    /* What lies past the length never comes back. */
    struct io *other = simdisk_io(bytes);
    struct io_file *reopened = open_on(other, "f", 0);
    ck_assert_int_eq(other->ops->truncate(other, reopened, 3 * SIM_SECTOR), 0);
    ck_assert_int_eq(byte_on(bytes, "f", 2 * SIM_SECTOR), 0);
    other->ops->close(other, reopened);
    simdisk_free(length);
    simdisk_free(bytes);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_names_need_their_directory)
{
    struct io_file *file = open_on(io, "f", IO_CREATE);
    write_fill(file, 0, 'a', 1);
    sync_file(file);
    struct simdisk *crashed = simdisk_crash_none(disk);
    ck_assert(!exists(crashed, "f"));
    simdisk_free(crashed);
    ck_assert_int_eq(io->ops->make_directory(io, "d"), 0);
    ck_assert_int_eq(io->ops->make_directory(io, "d"), -EEXIST);
    sync_directory(".");
    ck_assert_int_eq(io->ops->rename(io, "f", "d/g"), 0);
    crashed = simdisk_crash_none(disk);
    ck_assert(exists(crashed, "f") && !exists(crashed, "d/g"));
    simdisk_free(crashed);
    sync_directory("d");
    crashed = simdisk_crash_none(disk);
    ck_assert(!exists(crashed, "f"));
    ck_assert_int_eq(byte_on(crashed, "d/g", 0), 'a');
    simdisk_free(crashed);
    ck_assert_int_eq(io->ops->remove_directory(io, "d"), -ENOTEMPTY);
    ck_assert_int_eq(io->ops->remove(io, "d"), -EISDIR);
    ck_assert_int_eq(io->ops->remove(io, "d/g"), 0);
    ck_assert_int_eq(io->ops->remove(io, "d/g"), -ENOENT);
    crashed = simdisk_crash_none(disk);
    ck_assert(exists(crashed, "d/g"));
    simdisk_free(crashed);
    ck_assert_int_eq(io->ops->remove_directory(io, "d"), 0);
    sync_directory(".");
    crashed = simdisk_crash_none(disk);
    ck_assert(!exists(crashed, "d"));
    simdisk_free(crashed);
    io->ops->close(io, file);
}
END_TEST

/* A replaced file: the old content or the new one under the name, if the new one was synced. */
START_TEST(test_rename_replaces_atomically)
{
    struct io_file *old = settled_file("meta");
    struct io_file *new = open_on(io, "meta.new", IO_CREATE);
    write_fill(new, 0, 'n', 1);
    sync_file(new);
    ck_assert_int_eq(io->ops->rename(io, "meta.new", "meta"), 0);
    ck_assert_uint_eq(simdisk_pending(disk), 2);
    for (unsigned subset = 0; subset < 4; subset++) {
        struct simdisk *crashed =
            simdisk_crash(disk, (bool[]){subset & 1, subset & 2}, (struct tear){TEAR_NONE, 0}, 0);
        ck_assert_int_eq(byte_on(crashed, "meta", 0), subset & 2 ? 'n' : 'a');
        ck_assert_int_eq(exists(crashed, "meta.new"), subset == 1);
        simdisk_free(crashed);
    }
    io->ops->close(io, old);
    io->ops->close(io, new);
}
END_TEST

/* Renamed twice without a sync between, and only the second reached the disk: one file under two
 * names, whichever it is written by. */
START_TEST(test_a_lost_renaming_leaves_two_names)
{
    struct io_file *file = settled_file("first");
    ck_assert_int_eq(io->ops->rename(io, "first", "second"), 0);
    ck_assert_int_eq(io->ops->rename(io, "second", "third"), 0);
    io->ops->close(io, file);
    struct simdisk *crashed =
        simdisk_crash(disk, (bool[]){false, true}, (struct tear){TEAR_NONE, 0}, 0);
    struct io *on = simdisk_io(crashed);
    ck_assert(exists(crashed, "first") && !exists(crashed, "second") && exists(crashed, "third"));
    struct iovec vector = {.iov_base = (char[]){'b'}, .iov_len = 1};
    file = open_on(on, "first", 0);
    ck_assert_int_eq(on->ops->write(on, file, &vector, 1, 0), 0);
    on->ops->close(on, file);
    ck_assert_int_eq(byte_on(crashed, "third", 0), 'b');
    /* POSIX: nothing is done. */
    ck_assert_int_eq(on->ops->rename(on, "first", "third"), 0);
    ck_assert(exists(crashed, "first") && exists(crashed, "third"));
    ck_assert_int_eq(on->ops->remove(on, "first"), 0);
    ck_assert(!exists(crashed, "first"));
    ck_assert_int_eq(byte_on(crashed, "third", 0), 'b');
    simdisk_free(crashed);
}
END_TEST

START_TEST(test_tear_spares_the_neighbors)
{
    struct io_file *file = settled_file("f");
    write_fill(file, 100, 'b', 200);
    const bool kept[] = {true};
    for (enum tear_kind kind = TEAR_FIRST_HALF; kind < TEAR_KINDS; kind++) {
        struct simdisk *crashed = simdisk_crash(disk, kept, (struct tear){kind, 0}, 7);
        ck_assert_int_eq(byte_on(crashed, "f", 99), 'a');
        ck_assert_int_eq(byte_on(crashed, "f", 300), 'a');
        if (kind == TEAR_FIRST_HALF || kind == TEAR_SECOND_HALF) {
            bool first = kind == TEAR_FIRST_HALF;
            ck_assert_int_eq(byte_on(crashed, "f", 100), first ? 'b' : 'a');
            ck_assert_int_eq(byte_on(crashed, "f", 299), first ? 'a' : 'b');
        }
        if (kind == TEAR_ZEROS)
            ck_assert_int_eq(byte_on(crashed, "f", 200), 0);
        simdisk_free(crashed);
    }
    io->ops->close(io, file);
}
END_TEST

/* As real kernels do: after a failed sync the bytes are seen but lost, and the next sync is fine.
 */
START_TEST(test_failed_sync_loses_what_was_pending)
{
    struct io_file *file = settled_file("f");
    unsigned lost = 0;
    for (int i = 0; i < 16; i++) {
        char fill = (char)('b' + i);
        write_fill(file, 0, fill, 2 * SIM_SECTOR);
        simdisk_set_fault(disk,
                          (struct simdisk_fault){
                              .ops = SIM_BIT(SIM_SYNC), .pattern = "f", .nth = 1, .error = EIO});
        ck_assert_int_eq(io->ops->sync(io, file), -EIO);
        ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
        sync_file(file);
        ck_assert_int_eq(byte_on(disk, "f", 0), fill);
        struct simdisk *crashed = simdisk_crash_none(disk);
        if (byte_on(crashed, "f", 0) != fill)
            lost++;
        simdisk_free(crashed);
        /* Writing it again, though it changes nothing to the eye, does help. */
        write_fill(file, 0, fill, 2 * SIM_SECTOR);
        sync_file(file);
        crashed = simdisk_crash_none(disk);
        ck_assert_int_eq(byte_on(crashed, "f", 0), fill);
        simdisk_free(crashed);
    }
    ck_assert_uint_gt(lost, 0);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_every_opening_is_told_of_a_failed_sync)
{
    struct io_file *file = settled_file("f");
    struct io_file *other = open_on(io, "f", 0);
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = SIM_BIT(SIM_SYNC), .pattern = "f", .nth = 1, .error = EIO});
    ck_assert_int_eq(io->ops->sync(io, file), -EIO);
    struct io_file *later = open_on(io, "f", 0);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    ck_assert_int_eq(io->ops->sync(io, other), -EIO);
    ck_assert_int_eq(io->ops->sync(io, other), 0);
    ck_assert_int_eq(io->ops->sync(io, later), 0);
    io->ops->close(io, file);
    io->ops->close(io, other);
    io->ops->close(io, later);
}
END_TEST

START_TEST(test_the_nth_call_fails)
{
    struct io_file *file = settled_file("f");
    char byte;
    simdisk_set_fault(
        disk,
        (struct simdisk_fault){
            .ops = SIM_BIT(SIM_READ), .pattern = NULL, .nth = 3, .error = ENOSPC, .forever = true});
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), 1);
    ck_assert_int_eq(write_bytes(file, 0, "x", 1), 0);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), 1);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), -ENOSPC);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), -ENOSPC);
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_ALL, .pattern = "g*", .nth = 1, .error = EDQUOT});
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), 1);
    struct io_file *other;
    ck_assert_int_eq(io->ops->open(io, "gone", IO_CREATE, &other), -EDQUOT);
    ck_assert(!exists(disk, "gone"));
    ck_assert_int_eq(io->ops->open(io, "gone", 0, &other), -ENOENT);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_a_full_disk)
{
    simdisk_set_capacity(disk, 4 * IMAGE_CHUNK);
    struct io_file *file = open_on(io, "f", IO_CREATE);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 5 * IMAGE_CHUNK), -ENOSPC);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 3 * IMAGE_CHUNK), 0);
    ck_assert_uint_eq(simdisk_used(disk), 3 * IMAGE_CHUNK);
    write_fill(file, 0, 'x', 4 * IMAGE_CHUNK);
    ck_assert_int_eq(write_bytes(file, 4 * IMAGE_CHUNK, "x", 1), -ENOSPC);
    write_fill(file, 0, 'y', 4 * IMAGE_CHUNK);
    ck_assert_int_eq(io->ops->truncate(io, file, IMAGE_CHUNK), 0);
    ck_assert_uint_eq(simdisk_used(disk), IMAGE_CHUNK);
    ck_assert_int_eq(write_bytes(file, IMAGE_CHUNK, "x", 1), 0);
    io->ops->close(io, file);
}
END_TEST

static uint64_t usage_of(struct io_file *file)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(io->ops->usage(io, file, &bytes), 0);
    return bytes;
}

static uint64_t free_space(void)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(io->ops->free_space(io, &bytes), 0);
    return bytes;
}

START_TEST(test_punched_space_is_anybodys)
{
    simdisk_set_capacity(disk, 4 * IMAGE_CHUNK);
    struct io_file *file = open_on(io, "f", IO_CREATE);
    struct io_file *other = open_on(io, "g", IO_CREATE);
    write_fill(file, 0, 'x', 4 * IMAGE_CHUNK);
    ck_assert_uint_eq(free_space(), 0);
    ck_assert_int_eq(io->ops->punch(io, file, 100, 3 * IMAGE_CHUNK), 0);
    ck_assert_uint_eq(usage_of(file), 2 * IMAGE_CHUNK);
    ck_assert_uint_eq(free_space(), 2 * IMAGE_CHUNK);
    ck_assert_uint_eq(length_on(disk, "f"), 4 * IMAGE_CHUNK);
    ck_assert_int_eq(byte_on(disk, "f", 99), 'x');
    ck_assert_int_eq(byte_on(disk, "f", 100), 0);
    ck_assert_int_eq(byte_on(disk, "f", 3 * IMAGE_CHUNK + 99), 0);
    ck_assert_int_eq(byte_on(disk, "f", 3 * IMAGE_CHUNK + 100), 'x');
    ck_assert_int_eq(io->ops->allocate(io, other, 0, IMAGE_CHUNK), 0);
    ck_assert_int_eq(io->ops->zero(io, file, IMAGE_CHUNK, 2 * IMAGE_CHUNK), -ENOSPC);
    ck_assert_int_eq(write_bytes(file, IMAGE_CHUNK, "x", 1), 0);
    ck_assert_int_eq(write_bytes(file, 2 * IMAGE_CHUNK, "x", 1), -ENOSPC);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 4 * IMAGE_CHUNK), -ENOSPC);
    ck_assert_int_eq(io->ops->truncate(io, other, 0), 0);
    ck_assert_int_eq(io->ops->zero(io, file, 0, 3 * IMAGE_CHUNK), 0);
    ck_assert_uint_eq(usage_of(file), 4 * IMAGE_CHUNK);
    ck_assert_int_eq(byte_on(disk, "f", IMAGE_CHUNK), 0);
    io->ops->close(io, file);
    io->ops->close(io, other);
}
END_TEST

/* Zeros reach the disk sector by sector, whether the space is kept or not. */
START_TEST(test_zeros_wait_for_a_sync)
{
    for (int punched = 0; punched < 2; punched++) {
        struct io_file *file = open_on(io, "f", IO_CREATE);
        write_fill(file, 0, 'a', IMAGE_CHUNK);
        sync_file(file);
        sync_directory(".");
        int (*zeros)(struct io *, struct io_file *, uint64_t, uint64_t) =
            punched ? io->ops->punch : io->ops->zero;
        ck_assert_int_eq(zeros(io, file, 0, IMAGE_CHUNK), 0);
        ck_assert_uint_eq(simdisk_pending(disk), IMAGE_CHUNK / SIM_SECTOR);
        bool kept[IMAGE_CHUNK / SIM_SECTOR] = {[1] = true};
        struct simdisk *one = simdisk_crash(disk, kept, (struct tear){TEAR_NONE, 0}, 0);
        ck_assert_int_eq(byte_on(one, "f", 0), 'a');
        ck_assert_int_eq(byte_on(one, "f", SIM_SECTOR), 0);
        ck_assert_int_eq(byte_on(one, "f", 2 * SIM_SECTOR), 'a');
        ck_assert_uint_eq(simdisk_used(one), IMAGE_CHUNK);
        struct simdisk *torn = simdisk_crash(disk, kept, (struct tear){TEAR_FIRST_HALF, 1}, 0);
        ck_assert_int_eq(byte_on(torn, "f", SIM_SECTOR), 0);
        ck_assert_int_eq(byte_on(torn, "f", 2 * SIM_SECTOR - 1), 'a');
        memset(kept, true, sizeof kept);
        struct simdisk *all = simdisk_crash(disk, kept, (struct tear){TEAR_NONE, 0}, 0);
        ck_assert_uint_eq(simdisk_used(all), punched ? 0 : IMAGE_CHUNK);
        sync_file(file);
        struct simdisk *synced = simdisk_crash_none(disk);
        ck_assert_int_eq(byte_on(synced, "f", 0), 0);
        ck_assert_uint_eq(simdisk_used(synced), punched ? 0 : IMAGE_CHUNK);
        struct simdisk *crashed[] = {one, torn, all, synced};
        for (size_t i = 0; i < 4; i++)
            simdisk_free(crashed[i]);
        io->ops->close(io, file);
    }
}
END_TEST

/* Space that was reserved again, but not for sure yet, is gone after a crash. */
START_TEST(test_reserved_again_needs_a_sync)
{
    struct io_file *file = open_on(io, "f", IO_CREATE);
    write_fill(file, 0, 'a', IMAGE_CHUNK);
    ck_assert_int_eq(io->ops->punch(io, file, 0, IMAGE_CHUNK), 0);
    sync_file(file);
    sync_directory(".");
    ck_assert_int_eq(io->ops->allocate(io, file, 0, IMAGE_CHUNK), 0);
    struct simdisk *crashed = simdisk_crash_none(disk);
    ck_assert_uint_eq(simdisk_used(disk), IMAGE_CHUNK);
    ck_assert_uint_eq(simdisk_used(crashed), 0);
    ck_assert_uint_eq(length_on(crashed, "f"), IMAGE_CHUNK);
    simdisk_free(crashed);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_faults_of_zero_and_punch)
{
    struct io_file *file = settled_file("f");
    struct io_file *reader = open_on(io, "f", IO_READ_ONLY);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_PUNCH), .pattern = NULL, .nth = 1, .error = EOPNOTSUPP});
    ck_assert_int_eq(io->ops->punch(io, file, 0, SIM_SECTOR), -EOPNOTSUPP);
    ck_assert_int_eq(byte_on(disk, "f", 0), 'a');
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = SIM_BIT(SIM_ZERO), .pattern = NULL, .nth = 1, .error = EIO});
    ck_assert_int_eq(io->ops->zero(io, file, 0, SIM_SECTOR), -EIO);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_int_eq(io->ops->zero(io, reader, 0, 1), -EBADF);
    ck_assert_int_eq(io->ops->punch(io, file, SIM_SECTOR, 2 * SIM_SECTOR), -EINVAL);
    ck_assert_int_eq(io->ops->punch(io, file, 0, 0), -EINVAL);
    ck_assert_uint_eq(simdisk_breaches(disk), 3);
    io->ops->close(io, file);
    io->ops->close(io, reader);
}
END_TEST

/* What a failed sync has lost is in the cache, and not on the disk; what comes later gets there. */
START_TEST(test_reads_past_the_cache)
{
    char *block = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
    struct io_file *file = open_on(io, "f", IO_CREATE);
    struct io_file *direct = open_on(io, "f", IO_READ_ONLY | IO_ALIGNED | IO_FROM_DISK);
    unsigned lost = 0;
    for (int i = 0; i < 40; i++) {
        memset(block, 'a', DISK_BLOCK);
        ck_assert_int_eq(write_bytes(file, 0, block, DISK_BLOCK), 0);
        ck_assert_int_eq(io->ops->sync(io, file), 0);
        simdisk_set_fault(disk,
                          (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC), .nth = 1, .error = EIO});
        ck_assert_int_eq(write_bytes(file, 0, "b", 1), 0);
        ck_assert_int_eq(io->ops->sync(io, file), -EIO);
        ck_assert_int_eq(io->ops->read(io, file, block, 1, 0), 1);
        ck_assert_int_eq(block[0], 'b');
        if (i == 0) {
            ck_assert_int_eq(io->ops->read(io, direct, block, DISK_BLOCK, 0), DISK_BLOCK);
            ck_assert_int_eq(block[0], 'b');
            simdisk_bypass_cache(disk);
        }
        ck_assert_int_eq(io->ops->read(io, direct, block, DISK_BLOCK, 0), DISK_BLOCK);
        lost += block[0] == 'a';
        ck_assert_int_eq(write_bytes(file, SIM_SECTOR, "c", 1), 0);
        ck_assert_int_eq(io->ops->read(io, direct, block, DISK_BLOCK, 0), DISK_BLOCK);
        ck_assert_int_eq(block[SIM_SECTOR], 'c');
    }
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_lt(lost, 40);
    free(block);
    io->ops->close(io, direct);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_breaches_are_counted)
{
    struct io_file *file = settled_file("f");
    struct io_file *reader = open_on(io, "f", IO_READ_ONLY);
    struct io_file *aligned = open_on(io, "f", IO_ALIGNED);
    struct io_file *none;
    char *buffer = aligned_alloc(DISK_BLOCK, 2 * DISK_BLOCK);
    memset(buffer, 'z', 2 * DISK_BLOCK);
    ck_assert_int_eq(write_bytes(aligned, 0, buffer, DISK_BLOCK), 0);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_int_eq(write_bytes(reader, 0, "x", 1), -EBADF);
    ck_assert_int_eq(write_bytes(aligned, 512, buffer, DISK_BLOCK), -EINVAL);
    ck_assert_int_eq(write_bytes(aligned, 0, buffer + 1, DISK_BLOCK), -EINVAL);
    ck_assert_int_eq(write_bytes(aligned, 0, buffer, 100), -EINVAL);
    ck_assert_int_eq(io->ops->open(io, "../f", 0, &none), -EINVAL);
    ck_assert_uint_eq(simdisk_breaches(disk), 5);
    free(buffer);
    io->ops->close(io, file);
    io->ops->close(io, reader);
    io->ops->close(io, aligned);
}
END_TEST

START_TEST(test_lock_excludes)
{
    struct io_file *one = open_on(io, "lock", IO_CREATE);
    struct io_file *two = open_on(io, "lock", 0);
    ck_assert_int_eq(io->ops->lock(io, one), 0);
    ck_assert_int_eq(io->ops->lock(io, two), -EWOULDBLOCK);
    io->ops->close(io, one);
    ck_assert_int_eq(io->ops->lock(io, two), 0);
    io->ops->close(io, two);
}
END_TEST

START_TEST(test_cold_reads)
{
    struct io_file *file = settled_file("f");
    char buffer[100];
    unsigned full = 0, partly = 0, none = 0;
    simdisk_set_cold_reads(disk, 50);
    for (int i = 0; i < 1000; i++) {
        ssize_t got = io_read_now(io, file, buffer, i % 2 ? 100 : 1, 0);
        full += got == (i % 2 ? 100 : 1);
        partly += got > 0 && got < 100 && i % 2;
        none += got == -EAGAIN;
    }
    ck_assert(full > 0 && partly > 0 && none > 0);
    ck_assert_uint_eq(full + partly + none, 1000);
    io->ops->close(io, file);
}
END_TEST

static int visit_and_count(void *context, const char *name, bool is_directory)
{
    unsigned *seen = context;
    *seen += is_directory ? 100 : 1;
    return strcmp(name, "stop") == 0 ? 7 : 0;
}

START_TEST(test_list)
{
    unsigned seen = 0;
    io->ops->close(io, open_on(io, "a", IO_CREATE));
    ck_assert_int_eq(io->ops->make_directory(io, "d"), 0);
    io->ops->close(io, open_on(io, "d/x", IO_CREATE));
    ck_assert_int_eq(io->ops->list(io, ".", visit_and_count, &seen), 0);
    ck_assert_uint_eq(seen, 101);
    ck_assert_int_eq(io->ops->list(io, "none", visit_and_count, &seen), -ENOENT);
    ck_assert_int_eq(io->ops->rename(io, "d/x", "d/stop"), 0);
    ck_assert_int_eq(io->ops->list(io, "d", visit_and_count, &seen), 7);
}
END_TEST

START_TEST(test_ignored_syncs)
{
    struct io_file *file = settled_file("f");
    simdisk_ignore_syncs(disk, "f", 2, 1);
    write_fill(file, 0, 'b', 1);
    sync_file(file);
    ck_assert_uint_eq(simdisk_pending(disk), 0);
    write_fill(file, 0, 'c', 1);
    sync_file(file);
    ck_assert_uint_eq(simdisk_pending(disk), 1);
    sync_file(file);
    ck_assert_uint_eq(simdisk_pending(disk), 0);
    io->ops->close(io, file);
}
END_TEST

/* ---- Enumeration ---- */

struct seen {
    unsigned states, sectors[16], torn;
};

static int remember(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct seen *seen = context;
    unsigned subset = 0;
    seen->states++;
    seen->torn += how->tear.kind != TEAR_NONE;
    for (unsigned i = 0; i < 4; i++)
        subset |= (unsigned)(byte_on(crashed, "f", i * SIM_SECTOR) == 'b') << i;
    seen->sectors[subset]++;
    return 0;
}

START_TEST(test_every_subset_of_few)
{
    struct io_file *file = open_on(io, "f", IO_CREATE);
    write_fill(file, 0, 'a', 4 * SIM_SECTOR);
    sync_file(file);
    sync_directory(".");
    write_fill(file, 0, 'b', 4 * SIM_SECTOR);
    struct rng rng = {1};
    struct seen seen = {0};
    uint64_t states = 0;
    struct simcrash_plan plan = {.exhaustive_max = 4, .tears = 20};
    ck_assert_int_eq(simcrash_enumerate(disk, &plan, &rng, remember, &seen, &states), 0);
    ck_assert_uint_eq(states, 36);
    ck_assert_uint_eq(seen.torn, 20);
    for (unsigned subset = 0; subset < 16; subset++)
        ck_assert_uint_ge(seen.sectors[subset], 1);
    io->ops->close(io, file);
}
END_TEST

START_TEST(test_chosen_subsets_of_many)
{
    struct io_file *file = settled_file("f");
    write_fill(file, 0, 'b', 100 * SIM_SECTOR);
    ck_assert_uint_eq(simdisk_pending(disk), 101);
    struct rng rng = {1};
    struct seen seen = {0};
    uint64_t states = 0;
    struct simcrash_plan plan = {.exhaustive_max = 8, .sample = 10, .random_subsets = 20};
    ck_assert_int_eq(simcrash_enumerate(disk, &plan, &rng, remember, &seen, &states), 0);
    ck_assert_uint_eq(states, 11 + 10 + 10 + 2 + 20);
    ck_assert_uint_ge(seen.sectors[0], 1);
    ck_assert_uint_ge(seen.sectors[15], 1);
    io->ops->close(io, file);
}
END_TEST

/* Two syncs in the wrong order: a name that points to a file whose bytes were never synced. The
 * enumeration must find the state in which they are missing. */
static int find_empty(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    (void)context;
    (void)how;
    return exists(crashed, "f") && byte_on(crashed, "f", 0) != 'a';
}

START_TEST(test_a_missing_sync_is_found)
{
    struct rng rng = {1};
    uint64_t states = 0;
    const struct simcrash_plan plans[] = {{.exhaustive_max = 10}, {.sample = 5}};
    struct io_file *file = open_on(io, "f", IO_CREATE);
    write_fill(file, 0, 'a', SIM_SECTOR);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(simcrash_enumerate(disk, &plans[i], &rng, find_empty, NULL, &states), 1);
    sync_file(file);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(simcrash_enumerate(disk, &plans[i], &rng, find_empty, NULL, &states), 0);
    io->ops->close(io, file);
}
END_TEST

/* Random operations on a disk and its crashed copies leave the originals alone. */
START_TEST(test_copies_are_independent)
{
    struct io_file *file = settled_file("f");
    struct simdisk *copy = simdisk_crash_none(disk);
    ck_assert(simtree_equal(simdisk_tree(disk), simdisk_tree(copy)));
    struct io *other = simdisk_io(copy);
    struct io_file *other_file = open_on(other, "f", 0);
    struct iovec vector = {.iov_base = (char[]){"x"}, .iov_len = 1};
    ck_assert_int_eq(other->ops->write(other, other_file, &vector, 1, 0), 0);
    ck_assert_int_eq(byte_on(copy, "f", 0), 'x');
    ck_assert_int_eq(byte_on(disk, "f", 0), 'a');
    ck_assert(!simtree_equal(simdisk_tree(disk), simdisk_tree(copy)));
    other->ops->close(other, other_file);
    simdisk_free(copy);
    io->ops->close(io, file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simdisk");
    TCase *tcase = tcase_create("simdisk");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_reads_what_was_written);
    tcase_add_test(tcase, test_only_synced_bytes_survive);
    tcase_add_test(tcase, test_sync_settles_one_file_only);
    tcase_add_test(tcase, test_length_persists_on_its_own);
    tcase_add_test(tcase, test_names_need_their_directory);
    tcase_add_test(tcase, test_rename_replaces_atomically);
    tcase_add_test(tcase, test_a_lost_renaming_leaves_two_names);
    tcase_add_test(tcase, test_tear_spares_the_neighbors);
    tcase_add_test(tcase, test_failed_sync_loses_what_was_pending);
    tcase_add_test(tcase, test_every_opening_is_told_of_a_failed_sync);
    tcase_add_test(tcase, test_the_nth_call_fails);
    tcase_add_test(tcase, test_a_full_disk);
    tcase_add_test(tcase, test_punched_space_is_anybodys);
    tcase_add_test(tcase, test_zeros_wait_for_a_sync);
    tcase_add_test(tcase, test_reserved_again_needs_a_sync);
    tcase_add_test(tcase, test_faults_of_zero_and_punch);
    tcase_add_test(tcase, test_breaches_are_counted);
    tcase_add_test(tcase, test_reads_past_the_cache);
    tcase_add_test(tcase, test_lock_excludes);
    tcase_add_test(tcase, test_cold_reads);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_ignored_syncs);
    tcase_add_test(tcase, test_every_subset_of_few);
    tcase_add_test(tcase, test_chosen_subsets_of_many);
    tcase_add_test(tcase, test_a_missing_sync_is_found);
    tcase_add_test(tcase, test_copies_are_independent);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
