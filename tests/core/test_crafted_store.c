/* Data directories that no program made: the file 'store', and what lies where regions are. */
#include <check.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/store.h"
#include "support_crafted.h"
#include "support_region.h"
#include "tests/support_main.h"

static struct err err;

/* ---- The file 'store' ---- */

static const struct crafted store_rules[] = {
    REFUSED(SET(store.length, 0), "store is not the file of a data directory", ""),
    REFUSED(SET(store.length, 11), "store is not the file of a data directory", ""),
    REFUSED(SET(store.length, 39), "store does not match its checksum", ""),
    REFUSED(SET(store.length, 41), "store does not match its checksum", ""),
    REFUSED(SET(store.version, 0), "store does not match its checksum", ""),
    NEWER(SET(store.version, 2), "use a newer mregiond", "format version 2"),
    NEWER(SET(store.version, UINT32_MAX), "use a newer mregiond", ""),
};

START_TEST(the_store_is_refused)
{
    static struct craft c;
    struct store *store;
    const struct crafted *row = &store_rules[_i / 2];
    craft_init(&c, 2);
    crafted_change(&c, row);
    struct simdisk *disk = craft_build(&c);
    uint32_t before = verdict_fingerprint(disk, ".");
    int code = store_open(simdisk_io(disk), _i % 2 == 0, &store, &err);
    ck_assert_msg(code == row->code, "%s: %d", row->text, code);
    for (size_t i = 0; i < 2; i++)
        ck_assert_msg(strstr(err.text, row->words[i]) != NULL, "%s: %s", row->text, err.text);
    ck_assert_uint_eq(verdict_fingerprint(disk, "."), before);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
    craft_release(&c);
}
END_TEST

/* ---- Ids ---- */

/* The id that the next region gets; 0: it is refused, and the region that is there opens. */
static uint64_t next_id(uint64_t in_store, uint64_t of_region)
{
    static struct craft c;
    struct store *store;
    struct region *region;
    uint64_t id = 0;
    struct region_options options = region_options_default();
    craft_init(&c, 2);
    c.store.next_id = in_store;
    c.meta.id = of_region;
    struct simdisk *disk = craft_build(&c);
    ck_assert_int_eq(store_open(simdisk_io(disk), false, &store, &err), 0);
    int code = store_create_region(store, "other", &options, &region, &err);
    if (code == 0) {
        id = region_id(region);
        drive_close(region);
    } else {
        ck_assert_int_eq(code, ERR_CORRUPT);
        ck_assert_msg(strstr(err.text, "no id left") != NULL, "%s", err.text);
    }
    code = store_open_region(store, CRAFT_REGION, NULL, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_uint_eq(region_id(region), of_region);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
    craft_release(&c);
    return id;
}

START_TEST(ids)
{
    ck_assert_uint_eq(next_id(2, 1), 2);
    ck_assert_uint_eq(next_id(1, 1), 2);
    ck_assert_uint_eq(next_id(0, 7), 8);
    ck_assert_uint_eq(next_id(9, 7), 9);
    ck_assert_uint_eq(next_id(1, UINT64_MAX - 1), 0);
    ck_assert_uint_eq(next_id(1, UINT64_MAX), 0);
    ck_assert_uint_eq(next_id(UINT64_MAX, 1), 0);
    ck_assert_uint_eq(next_id(UINT64_MAX - 1, 1), UINT64_MAX - 1);
}
END_TEST

/* ---- What is no region ---- */

static int count(void *context, const char *name)
{
    unsigned *names = context;
    ck_assert_str_eq(name, CRAFT_REGION);
    ++*names;
    return 0;
}

START_TEST(strangers_among_the_regions)
{
    static const char *const folders[] = {"regions/a b", "regions/-x", "regions/_",
                                          "regions/.hidden"};
    static struct craft c;
    struct store *store;
    struct region *region;
    unsigned names = 0;
    craft_init(&c, 2);
    struct simdisk *disk = craft_build(&c);
    struct io *io = simdisk_io(disk);
    craft_write(disk, "regions/file", 0, "x", 1);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        ck_assert_int_eq(io->ops->make_directory(io, folders[i]), 0);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    ck_assert_int_eq(store_list(store, count, &names, &err), 0);
    ck_assert_uint_eq(names, 1);
    ck_assert_int_eq(store_open_region(store, "file", NULL, &region, NULL, &err),
                     ERR_NO_SUCH_REGION);
    ck_assert_int_eq(store_open_region(store, "../regions/main", NULL, &region, NULL, &err),
                     ERR_NO_SUCH_REGION);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        ck_assert_int_eq(io->ops->remove_directory(io, folders[i]), 0);
    store_close(store);
    simdisk_free(disk);
    craft_release(&c);
}
END_TEST

/* A symbolic link to a region would be the same region twice. */
START_TEST(a_link_is_no_region)
{
    char path[] = "/tmp/mregion-crafted-XXXXXX", command[100];
    struct region_options options = region_options_default();
    struct store *store;
    struct region *region;
    struct io *io;
    unsigned names = 0;
    options.journal_size = JOURNAL_SIZE_MIN;
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(io_posix_new(path, &io), 0);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    ck_assert_int_eq(store_create_region(store, CRAFT_REGION, &options, &region, &err), 0);
    drive_close(region);
    (void)snprintf(command, sizeof command, "ln -s main %s/regions/link", path);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(store_list(store, count, &names, &err), 0);
    ck_assert_uint_eq(names, 1);
    ck_assert_int_eq(store_open_region(store, "link", NULL, &region, NULL, &err),
                     ERR_NO_SUCH_REGION);
    ck_assert_int_eq(store_open_region(store, CRAFT_REGION, NULL, &region, NULL, &err), 0);
    drive_close(region);
    store_close(store);
    io_posix_free(io);
    (void)snprintf(command, sizeof command, "rm -r %s", path);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crafted stores");
    TCase *tests = tcase_create("store");
    tcase_add_loop_test(tests, the_store_is_refused, 0,
                        2 * sizeof store_rules / sizeof store_rules[0]);
    tcase_add_test(tests, ids);
    tcase_add_test(tests, strangers_among_the_regions);
    tcase_add_test(tests, a_link_is_no_region);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
