#include "support_verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"
#include "core/store.h"
#include "support_region.h"

/* Its whole pages go straight to the data file. */
#define LARGE (LARGE_BLOB + 5000)
/* What a folder may make the engine reserve: a disk has an end. */
#define DISK_BYTES (256 * MIB)
/* More waiting than this is waiting for ever. */
#define STEPS 1000

static char complaint[700];

static const char *complain(const char *what, const struct err *err)
{
    (void)snprintf(complaint, sizeof complaint, "%s: %s", what, err != NULL ? err->text : "");
    return complaint;
}

/* ---- Fingerprints ---- */

struct summing {
    struct simdisk *disk;
    const char *folder;
    uint32_t sum; /* of all entries: the order in which they are listed is any */
};

static int sum_entry(void *context, const char *name, bool is_directory)
{
    struct summing *summing = context;
    struct io *io = simdisk_io(summing->disk);
    char path[IO_PATH_SIZE];
    struct io_file *file;
    uint64_t length = 0, at = 0;
    uint8_t bytes[DISK_BLOCK];
    ssize_t got;
    if (io_join(path, summing->folder, name, NULL) != 0)
        return -1;
    uint32_t sum = crc32c(0, path, strlen(path));
    if (is_directory) {
        summing->sum += sum + verdict_fingerprint(summing->disk, path);
        return 0;
    }
    if (io->ops->open(io, path, IO_READ_ONLY, &file) != 0)
        return -1;
    (void)io->ops->size(io, file, &length);
    /* What is longer than anything that is written here has a hole at its end. */
    while (at < 8 * MIB && (got = io->ops->read(io, file, bytes, sizeof bytes, at)) > 0) {
        sum = crc32c(sum, bytes, (size_t)got);
        at += (uint64_t)got;
    }
    io->ops->close(io, file);
    summing->sum += crc32c(sum, (const uint8_t *)&length, sizeof length);
    return 0;
}

uint32_t verdict_fingerprint(struct simdisk *disk, const char *folder)
{
    struct summing summing = {.disk = disk, .folder = folder};
    int result = simdisk_io(disk)->ops->list(simdisk_io(disk), folder, sum_entry, &summing);
    if (result != 0)
        abort();
    return summing.sum;
}

/* ---- Looking at a region ---- */

static void read_block(struct region *region, struct extent block, uint32_t *crc)
{
    uint8_t page[DATA_PAGE];
    uint64_t at = block.address, damaged;
    struct err err;
    while (at < extent_end(block)) {
        size_t part = (size_t)min_u64(DATA_PAGE - at % DATA_PAGE, extent_end(block) - at);
        int code = region_read(region, at, page, part, &damaged, &err);
        *crc = crc32c(*crc, (const uint8_t *)&code, sizeof code);
        if (code == 0)
            *crc = crc32c(*crc, page, part);
        at += part;
    }
}

static const char *look_at(struct region *region, struct verdict *verdict)
{
    struct extent blocks[64];
    struct region_look look;
    struct err err;
    uint64_t at = 0, end, size = region_size(region);
    size_t count = 64;
    const char *wrong = region_check(region);
    if (wrong != NULL)
        return wrong;
    region_get_info(region, &verdict->info);
    verdict->info.name = NULL;
    verdict->damaged = 0;
    for (; (end = region_piece_end(region, at)) > at; at = end) {
        region_look_at_piece(region, at, NULL, &look);
        verdict->damaged += look.damaged;
    }
    verdict->crc = 0;
    for (at = 0; count == 64; at = extent_end(blocks[63])) {
        if (region_allocated_blocks(region, at, size, blocks, 64, &count, &err) != 0)
            return complain("blocks cannot be listed", &err);
        for (size_t i = 0; i < count; i++)
            read_block(region, blocks[i], &verdict->crc);
    }
    return NULL;
}

static bool is_same(const struct verdict *a, const struct verdict *b, bool with_pages)
{
    return a->info.size == b->info.size && a->info.allocated == b->info.allocated &&
           a->info.free_blocks == b->info.free_blocks && a->info.pages == b->info.pages &&
           a->info.tokens == b->info.tokens && a->crc == b->crc &&
           (!with_pages || a->damaged == b->damaged);
}

/* ---- Changes ---- */

enum change { ADD_SMALL, ADD_LARGE, STORE, FREE, GROW, TOKEN, CHECKPOINT, CHANGES };

static uint8_t bytes[LARGE];

static int stage(struct region *region, enum change change, uint64_t *address, struct err *err)
{
    uint64_t before;
    switch (change) {
    case ADD_SMALL:
        return region_add(region, bytes, 100, address, err);
    case ADD_LARGE:
        return region_add(region, bytes, LARGE, &before, err);
    case STORE:
        return region_store(region, *address, bytes + 1, 50, err);
    case FREE:
        return region_deallocate(region, (struct extent){*address, 100}, err);
    case GROW:
        return region_grow(region, 1, &before, err);
    default:
        return 0;
    }
}

static int stage_token(struct region *region, struct err *err)
{
    uint64_t address;
    static const uint8_t id[16] = "a verdict's own";
    int code = region_token_expect(region, 10, err);
    if (code == 0)
        code = region_add(region, bytes, 300, &address, err);
    if (code == 0)
        region_token_keep(region, id, 1, bytes, 10);
    return code;
}

/* A change that was refused for what a folder may well say (its limits, its damage) is none. */
static bool is_refusal(int code)
{
    return code == ERR_NO_SPACE || code == ERR_CORRUPT || code == ERR_TOO_LARGE ||
           code == ERR_NOT_ALLOCATED || code == ERR_OUT_OF_BOUNDS;
}

static const char *change(struct region *region)
{
    uint64_t address = UINT64_MAX - 200, ticket;
    struct err err;
    if (bytes[0] == 0)
        drive_pattern(bytes, sizeof bytes, 5);
    for (enum change i = 0; i < CHANGES; i++) {
        int code = REGION_WAIT;
        for (unsigned step = 0; code == REGION_WAIT && step < STEPS; step++) {
            if (i == CHECKPOINT)
                code = region_request_checkpoint(region, &ticket, &err);
            else
                code = i == TOKEN ? stage_token(region, &err) : stage(region, i, &address, &err);
            if (code == REGION_WAIT && !drive_step(region, LANE_COMMIT))
                (void)drive_step(region, LANE_BACKGROUND);
        }
        if (code == REGION_WAIT)
            return "a change waits for ever";
        if (code != 0 && !is_refusal(code))
            return complain("a change failed", &err);
        drive_settle(region);
    }
    region_hurry(region);
    drive_settle(region);
    return region_failure(region) != NULL ? complain("the region failed", region_failure(region))
                                          : NULL;
}

/* ---- Opening ---- */

/* Numbers that are near the last ones that any region can have are past them after a few openings.
 * With small segments there are also places that format 1, whose own are large, takes no file for.
 */
static bool is_at_the_end(const struct err *err)
{
    return strstr(err->text, "as there can never be") != NULL ||
           strstr(err->text, "no journal gets so far") != NULL;
}

static const char *open_to_read(struct simdisk *disk, const char *folder, struct verdict *verdict)
{
    struct region *region;
    uint32_t before = verdict_fingerprint(disk, ".");
    const char *wrong = NULL;
    verdict->code =
        region_open(simdisk_io(disk), folder, NULL, true, &region, &verdict->report, &verdict->err);
    if (verdict->code == 0) {
        wrong = look_at(region, verdict);
        region_close(region);
    }
    if (wrong == NULL && verdict_fingerprint(disk, ".") != before)
        wrong = "opening it to be read changed a file";
    return wrong;
}

static const char *work_in(struct region *region, const struct verdict *before,
                           struct verdict *after)
{
    struct verdict opened = {0};
    const char *wrong = look_at(region, &opened);
    if (wrong == NULL && before != NULL && !is_same(before, &opened, true))
        wrong = "it is not the same whether it is opened to be read or to be changed";
    if (wrong == NULL)
        wrong = change(region);
    if (wrong == NULL)
        wrong = look_at(region, after);
    return wrong;
}

/* The region as it was closed, opened to be read. */
static const char *look_again(struct simdisk *disk, const char *folder,
                              const struct verdict *before)
{
    struct verdict again = {0};
    const char *wrong = open_to_read(disk, folder, &again);
    if (wrong == NULL && again.code == ERR_CORRUPT && is_at_the_end(&again.err))
        return NULL;
    if (wrong == NULL && again.code != 0)
        wrong = complain("it is refused the second time", &again.err);
    if (wrong == NULL && !is_same(before, &again, false))
        wrong = "it is not the same after changes and an opening";
    return wrong;
}

const char *verdict_on(struct simdisk *disk, const char *folder, struct verdict *ret_verdict)
{
    struct verdict *read = ret_verdict, after = {0};
    struct region *region;
    struct err err;
    uint32_t before = verdict_fingerprint(disk, ".");
    *read = (struct verdict){0};
    simdisk_set_capacity(disk, DISK_BYTES);
    const char *wrong = open_to_read(disk, folder, read);
    if (wrong != NULL)
        return wrong;
    int code = region_open(simdisk_io(disk), folder, NULL, false, &region, NULL, &err);
    if (code != 0) {
        if (read->code == 0)
            return complain("it is opened to be read and not to be changed", &err);
        if (code != read->code || strcmp(err.text, read->err.text) != 0)
            return complain("it is refused for two reasons", &err);
        return verdict_fingerprint(disk, ".") == before ? NULL : "a refusal changed a file";
    }
    wrong = read->code == 0 ? work_in(region, read, &after)
                            : complain("it is opened to be changed and not to be read", &read->err);
    region_close(region);
    return wrong == NULL ? look_again(disk, folder, &after) : wrong;
}

/* ---- Format 1 ---- */

const char *verdict_on_old(struct simdisk *disk, const char *name, struct verdict *ret_verdict)
{
    struct verdict after = {0};
    struct migrate_plan plan;
    struct store *store;
    struct region *region;
    struct err err;
    char folder[IO_PATH_SIZE];
    uint32_t before = verdict_fingerprint(disk, ".");
    *ret_verdict = (struct verdict){0};
    simdisk_set_capacity(disk, DISK_BYTES);
    if (io_join(folder, "regions", name, NULL) != 0 ||
        store_open(simdisk_io(disk), false, &store, &err) != 0)
        return complain("the store is refused", &err);
    ret_verdict->code = store_look_region(store, name, &plan, &ret_verdict->err);
    int code = store_open_region(store, name, NULL, &region, &ret_verdict->report, &err);
    store_close(store);
    if (code != 0) {
        if (ret_verdict->code == 0)
            return code == ERR_CORRUPT && is_at_the_end(&err)
                       ? NULL
                       : complain("it has a plan and no migration", &err);
        if (code != ret_verdict->code || strcmp(err.text, ret_verdict->err.text) != 0)
            return complain("it is refused for two reasons", &err);
        return verdict_fingerprint(disk, ".") == before ? NULL : "a refusal changed a file";
    }
    const char *wrong = NULL;
    if (ret_verdict->code != 0)
        wrong = complain("it was migrated without a plan", &ret_verdict->err);
    if (wrong == NULL)
        wrong = look_at(region, ret_verdict);
    if (wrong == NULL)
        wrong = work_in(region, ret_verdict, &after);
    region_close(region);
    return wrong == NULL ? look_again(disk, folder, &after) : wrong;
}
