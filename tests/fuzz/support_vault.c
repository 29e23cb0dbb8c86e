#include "support_vault.h"

#include <stdlib.h>
#include <string.h>

#include "core/backups.h"
#include "core/bytes.h"
#include "core/meta.h"
#include "core/region.h"
#include "support_craft.h"
#include "support_region.h"
#include "tests/fuzz/fuzz.h"

/* Of those that only calls make. */
#define NEW_NAMES 2
#define BLOCKS_AT_ONCE 256

const char *const vault_names[VAULT_NAMES] = {"k",    "l",    "old",   "worn",
                                              "hand", "void", "../up", "none"};

/* ---- What is there ---- */

static void back_up(struct region *region, struct simdisk *vault, const char *name)
{
    struct region_backup backup;
    struct err err;
    FUZZ_REQUIRE(region_backup_begin(region, simdisk_io(vault), name, &err) == 0);
    while (!region_take_backup(region, &backup))
        if (!drive_step(region, LANE_BACKUP))
            FUZZ_REQUIRE(drive_step(region, LANE_COMMIT));
    FUZZ_REQUIRE(backup.code == 0);
}

/* What is in it by the end has no checkpoint. */
static struct simdisk *change_by_hand(struct simdisk *vault, const char *name)
{
    struct region *region;
    uint64_t address;
    struct err err;
    FUZZ_REQUIRE(region_open(simdisk_io(vault), name, NULL, false, &region, NULL, &err) == 0);
    FUZZ_REQUIRE(region_add(region, "by hand", 7, &address, &err) == 0);
    drive_settle(region);
    struct simdisk *cut = simdisk_crash_none(vault);
    region_close(region);
    simdisk_free(vault);
    return cut;
}

static void make_file(struct simdisk *vault, const char *folder, const char *path)
{
    struct io *io = simdisk_io(vault);
    struct io_file *file;
    FUZZ_REQUIRE(io->ops->make_directory(io, folder) == 0);
    FUZZ_REQUIRE(io->ops->open(io, path, IO_CREATE, &file) == 0);
    io->ops->close(io, file);
    FUZZ_REQUIRE(io->ops->sync_directory(io, folder) == 0);
    FUZZ_REQUIRE(io->ops->sync_directory(io, ".") == 0);
}

struct simdisk *vault_new(const struct simdisk *disk)
{
    static const char *const made[] = {"old", "worn", "hand"};
    struct simdisk *vault = simdisk_new(2), *copy = simdisk_crash_none(disk);
    struct region *region;
    struct err err;
    FUZZ_REQUIRE(region_open(simdisk_io(copy), "regions/main", NULL, false, &region, NULL, &err) ==
                 0);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        back_up(region, vault, made[i]);
    region_close(region);
    simdisk_free(copy);
    vault = change_by_hand(vault, "hand");
    craft_write(vault, "worn/data", 150000, "damaged", 7);
    make_file(vault, "void", "void/data");
    make_file(vault, ".new-k.1", ".new-k.1/data");
    return vault;
}

/* ---- What is left ---- */

void vault_compare(const struct simdisk *before, const struct simdisk *after)
{
    struct simdisk *const was = (struct simdisk *)(uintptr_t)before;
    struct simdisk *const is = (struct simdisk *)(uintptr_t)after;
    for (size_t i = 0; i < NEW_NAMES; i++)
        if (simtree_find(simdisk_tree(was), vault_names[i]) != NULL)
            FUZZ_REQUIRE(simtree_find(simdisk_tree(is), vault_names[i]) != NULL);
}

/* NULL, or what is wrong with the pages in use. */
static const char *read_all(struct region *region)
{
    static uint8_t buffer[1 * MIB];
    struct extent blocks[BLOCKS_AT_ONCE];
    uint64_t at = 0, damaged;
    size_t count;
    struct err err;
    do {
        if (region_allocated_blocks(region, at, region_size(region), blocks, BLOCKS_AT_ONCE, &count,
                                    &err) != 0)
            return "its blocks cannot be listed";
        for (size_t i = 0; i < count; i++) {
            at = extent_end(blocks[i]);
            for (uint64_t from = blocks[i].address; from < at; from += sizeof buffer)
                if (region_read(region, from, buffer, (size_t)min_u64(sizeof buffer, at - from),
                                &damaged, &err) != 0)
                    return "a page does not match its checksum";
        }
    } while (count == BLOCKS_AT_ONCE);
    return NULL;
}

struct verifying {
    struct simdisk *vault;
    bool is_exact;
};

static int verify_backup(void *context, const char *name, bool is_directory)
{
    const struct verifying *verifying = context;
    const char *wrong;
    struct region *region;
    struct err err;
    if (!is_directory || strcmp(name, "void") == 0)
        return 0;
    int code = region_open(simdisk_io(verifying->vault), name, NULL, true, &region, NULL, &err);
    wrong = code == 0 ? region_check(region) : err.text;
    if (wrong == NULL && verifying->is_exact && strcmp(name, "worn") != 0)
        wrong = read_all(region);
    if (wrong != NULL)
        (void)fprintf(stderr, "backup %s: %s\n", name, wrong);
    if (code == 0)
        region_close(region);
    return wrong == NULL ? 0 : -1;
}

void vault_verify(struct simdisk *vault, bool is_exact)
{
    struct io *io = simdisk_io(vault);
    struct verifying verifying = {vault, is_exact};
    struct io_file *lock;
    struct err err;
    FUZZ_REQUIRE(backups_open(io, &lock, &err) == 0);
    FUZZ_REQUIRE(io->ops->list(io, ".", verify_backup, &verifying) == 0);
    io->ops->close(io, lock);
    FUZZ_REQUIRE(simdisk_breaches(vault) == 0 && simdisk_open_files(vault) == 0);
    simdisk_free(vault);
}
