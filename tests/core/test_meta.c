#include "core/meta.h"

#include <check.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/migrate.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;
static struct err err;
static struct meta meta, found;
static uint32_t version;

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
    meta = (struct meta){.id = 77, .uuid = "sixteen bytes o", .name = "main"};
    meta.options = region_options_default();
    meta.options.durability = DURABILITY_INTERVAL;
    meta.options.fit = FIT_LARGEST;
    meta.options.max_size = 123456789;
    meta.options.checksum = CHECKSUM_OFF;
    meta.options.token_window = 11;
    meta.options.discard = 12;
    meta.options.scrub_interval_ms = 13;
    meta.options.scrub_rate = 14;
    meta.options.page_cache = 15;
    ck_assert_int_eq(meta_write(io, "r", &meta, &err), 0);
}

static void tear_down(void)
{
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static size_t load(uint8_t *bytes)
{
    struct io_file *file;
    ck_assert_int_eq(io->ops->open(io, "r/meta", IO_READ_ONLY, &file), 0);
    ssize_t size = io->ops->read(io, file, bytes, META_SIZE_MAX, 0);
    io->ops->close(io, file);
    return (size_t)size;
}

static void store(const uint8_t *bytes, size_t size)
{
    struct io_file *file;
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    ck_assert_int_eq(io->ops->open(io, "r/meta", 0, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, 0), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), 0);
    io->ops->close(io, file);
}

static int read_meta(void)
{
    return migrate_read_meta(io, "r", &found, &version, &err);
}

START_TEST(what_is_written_is_read)
{
    ck_assert_int_eq(read_meta(), 0);
    ck_assert_uint_eq(version, REGION_FORMAT);
    ck_assert_uint_eq(found.id, 77);
    ck_assert_mem_eq(found.uuid, meta.uuid, 16);
    ck_assert_str_eq(found.name, "main");
    ck_assert_int_eq(found.options.durability, DURABILITY_INTERVAL);
    ck_assert_int_eq(found.options.fit, FIT_LARGEST);
    ck_assert_uint_eq(found.options.max_size, 123456789);
    ck_assert_uint_eq(found.options.journal_size, meta.options.journal_size);
    ck_assert_uint_eq(found.options.flush_interval_ms, meta.options.flush_interval_ms);
    ck_assert_int_eq(found.options.checksum, CHECKSUM_OFF);
    ck_assert_uint_eq(found.options.token_window, 11);
    ck_assert_uint_eq(found.options.discard, 12);
    ck_assert_uint_eq(found.options.scrub_interval_ms, 13);
    ck_assert_uint_eq(found.options.scrub_rate, 14);
    ck_assert_uint_eq(found.options.page_cache, 15);
}
END_TEST

START_TEST(it_is_durable_and_replaced_whole)
{
    struct simdisk *crashed;
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    meta.id = 78;
    memset(meta.name, 'x', REGION_NAME_MAX);
    ck_assert_int_eq(meta_write(io, "r", &meta, &err), 0);
    crashed = simdisk_crash_none(disk);
    ck_assert_int_eq(migrate_read_meta(simdisk_io(crashed), "r", &found, &version, &err), 0);
    ck_assert_uint_eq(found.id, 78);
    ck_assert_str_eq(found.name, meta.name);
    simdisk_free(crashed);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    uint8_t bytes[META_SIZE_MAX];
    size_t size = load(bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        store(bytes, size);
        int code = read_meta();
        bool is_version = bit / 8 >= 8 && bit / 8 < 12;
        ck_assert_msg(code == ERR_CORRUPT || (is_version && code == ERR_INVALID_ARGUMENT),
                      "bit %zu: %d", bit, code);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(every_other_length_is_refused)
{
    uint8_t bytes[META_SIZE_MAX + 1] = {0};
    size_t size = load(bytes);
    for (size_t length = 0; length < 2 * size; length++) {
        store(bytes, length);
        ck_assert_int_eq(read_meta(), length == size ? 0 : ERR_CORRUPT);
    }
    store(bytes, sizeof bytes);
    ck_assert_int_eq(read_meta(), ERR_CORRUPT);
}
END_TEST

/* With a checksum that fits: what no program ever wrote. */
START_TEST(nonsense_is_refused)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } changes[] = {{16, DURABILITIES}, {20, 3}, {40, 1}, {152, CHECKSUMS}, {167, 0xff}};
    uint8_t bytes[META_SIZE_MAX];
    size_t size = load(bytes);
    put_u32(bytes + changes[_i].offset, changes[_i].value);
    put_u32(bytes + 12, crc32c(crc32c(0, bytes, 12), bytes + 16, size - 16));
    store(bytes, size);
    ck_assert_int_eq(read_meta(), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "r/meta"));
}
END_TEST

START_TEST(versions)
{
    uint8_t bytes[META_SIZE_MAX];
    size_t size = load(bytes);
    put_u32(bytes + 8, REGION_FORMAT + 1);
    store(bytes, size + 100); /* whatever a newer one looks like behind the version */
    ck_assert_int_eq(read_meta(), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "version 3"));
    put_u32(bytes + 8, 0);
    store(bytes, size);
    ck_assert_int_eq(read_meta(), ERR_CORRUPT);
    ck_assert_int_eq(io->ops->remove(io, "r/meta"), 0);
    ck_assert_int_eq(read_meta(), ERR_IO_ERROR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meta");
    TCase *tests = tcase_create("meta");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, it_is_durable_and_replaced_whole);
    tcase_add_test(tests, every_flipped_bit_is_noticed);
    tcase_add_test(tests, every_other_length_is_refused);
    tcase_add_loop_test(tests, nonsense_is_refused, 0, 5);
    tcase_add_test(tests, versions);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
