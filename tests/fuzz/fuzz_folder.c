/* Whole region folders whose checksums are right and whose contents are not. The input says what is
 * in the folder: a description (support_craft.h) with numbers changed, or a real folder, left by a
 * short run, with fields changed and every checksum mended. Whatever it is, it is refused with
 * nothing changed, or opened; both openings say the same; an opened region is consistent, works,
 * and is there again (support_verdict.h).
 *
 *     byte 0    what to begin with: a description of format 2 or 1, or one of the real folders
 *     6 bytes   a step: what to do, where (2 bytes), how (2 bytes), with what
 *
 * The memory that opening takes is bounded: no number in a folder is believed. */
#include <errno.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_craft.h"
#include "support_region.h"
#include "support_verdict.h"
#include "tests/fuzz/fuzz.h"

#define STEP 6
#define STEPS_MAX 24
#define REAL_FOLDERS 6
/* The disk is in memory, and a region reserves what its data file has. */
#define DATA_MAX (1 * MIB)

struct step {
    uint8_t what;
    uint16_t where, how;
    uint8_t with;
};

/* ---- Numbers ---- */

/* What is near a limit of something. 2^61 and 2^62 come without their neighbors below: a region
 * that is at the end of its numbers opens once. */
static uint64_t interesting(uint16_t how)
{
    static const uint64_t bases[] = {
        0,
        1,
        2,
        16,
        48,
        255,
        4096,
        8192,
        32768,
        65536,
        1 << 20,
        16 << 20,
        0x7fffffff,
        0xffffffff,
        (uint64_t)1 << 32,
        (uint64_t)1 << 40,
        (uint64_t)1 << 46,
        (uint64_t)1 << 61,
        (uint64_t)1 << 62,
        (uint64_t)1 << 63,
        UINT64_MAX,
        3 * (JOURNAL_SEGMENT - 4096),
        4 * (JOURNAL_SEGMENT - 4096),
        5 * (JOURNAL_SEGMENT - 4096),
        JOURNAL_SEGMENT,
    };
    static const uint64_t near[] = {0, 1, 4096, (uint64_t)0 - 1, (uint64_t)0 - 4096, 50, 2, 3};
    uint64_t base = bases[how % (sizeof bases / sizeof bases[0])];
    uint64_t off = near[how / (sizeof bases / sizeof bases[0]) % 8];
    bool is_end = base == (uint64_t)1 << 61 || base == (uint64_t)1 << 62;
    return is_end && off > 4096 ? base : base + off;
}

static uint64_t changed(uint64_t value, uint16_t how, uint8_t with)
{
    switch (with % 8) {
    case 0:
        return interesting(how);
    case 1:
        return value + how;
    case 2:
        return value - how;
    case 3:
        return value ^ (uint64_t)1 << how % 64;
    case 4:
        return value + interesting(how);
    case 5:
        return value + (uint64_t)how * DISK_BLOCK;
    case 6:
        return how;
    default:
        return value * 2 + how % 3;
    }
}

/* ---- Descriptions ---- */

static void change_field(struct craft *c, const struct step *step)
{
    struct craft_field fields[CRAFT_FIELDS];
    size_t count = craft_fields(c, fields);
    const struct craft_field *field = &fields[step->where % count];
    uint64_t value = 0;
    memcpy(&value, field->at, field->size);
    value = changed(value, step->how, step->with);
    memcpy(field->at, &value, field->size);
}

static void add_effect(struct craft *c, const struct step *step)
{
    if (c->record_count == 0)
        return;
    struct craft_record *record = &c->records[(step->where >> 8) % c->record_count];
    uint8_t kind = (uint8_t)(step->where % 11);
    uint64_t first = changed(8192, step->how, step->with);
    uint32_t count = 1 + step->with / 8 % 3;
    if (kind == 3)
        craft_put(record, first, 1 + (uint64_t)step->with * 40, step->with);
    else if (kind >= 5 && kind <= 7)
        craft_pages(record, kind, first / DISK_BLOCK, count, count, step->how);
    else if (kind == 9)
        craft_token(record, 3 + step->how % 4, step->with, step->with % 40, step->with % 40);
    else
        craft_effect(record, kind, kind == 8 ? first / DISK_BLOCK : first,
                     kind == 8 ? count : (uint64_t)count * 100);
}

static void add_entry(struct craft *c, const struct step *step)
{
    struct craft_checkpoint *checkpoint = &c->checkpoints[step->where % 2];
    if (checkpoint->chunk_count == CRAFT_CHUNKS)
        return;
    if (step->where & 2 && c->format == 2)
        craft_kept(checkpoint, checkpoint->token_sequence + step->how % 3, step->with,
                   step->with % 60, step->with % 60);
    else
        craft_free(checkpoint, changed(16384, step->how, step->with), 1 + (step->where >> 2));
}

static void change_list(struct craft *c, const struct step *step)
{
    uint64_t lsn = craft_end(c);
    switch (step->where % 6) {
    case 0:
        c->record_count -= c->record_count > 0;
        break;
    case 1:
        if (c->record_count < CRAFT_RECORDS)
            (void)craft_record(c);
        break;
    case 2:
        if (c->segment_count < CRAFT_SEGMENTS)
            (void)craft_segment(c, changed(lsn / c->payload + 1, step->how, step->with));
        break;
    case 3:
        c->segment_count -= c->segment_count > 0;
        break;
    case 4:
        craft_no_chunks(&c->checkpoints[step->how % 2]);
        break;
    default:
        craft_sequence(&c->checkpoints[step->how % 2], interesting(step->how));
        break;
    }
}

/* Journal that begins elsewhere: all positions move. */
static void move_journal(struct craft *c, const struct step *step)
{
    uint64_t by = (uint64_t)step->how * (step->with % 2 == 0 ? c->payload : DISK_BLOCK);
    for (size_t i = 0; i < c->record_count; i++) {
        c->records[i].place += by;
        c->records[i].lsn += by;
        c->records[i].synced += by;
    }
    for (size_t i = 0; i < 2; i++) {
        c->checkpoints[i].start += by;
        c->checkpoints[i].end += by;
    }
    for (size_t i = 0; i < c->segment_count; i++) {
        c->segments[i].floor += by;
        c->segments[i].name += by / c->payload;
        c->segments[i].seq += by / c->payload;
    }
}

static void change_description(struct craft *c, const struct step *step)
{
    switch (step->what % 8) {
    case 0:
        add_effect(c, step);
        break;
    case 1:
        add_entry(c, step);
        break;
    case 2:
        change_list(c, step);
        break;
    case 3:
        move_journal(c, step);
        break;
    default:
        change_field(c, step);
        break;
    }
}

/* ---- Real folders ---- */

enum change { ADD, FREE, STORE };

/* Waits as long as it is told to. */
static void change(struct region *region, enum change change, uint64_t *address,
                   const uint8_t *bytes, uint64_t size)
{
    struct err err;
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        if (change == ADD)
            code = region_add(region, bytes, size, address, &err);
        else if (change == STORE)
            code = region_store(region, *address, bytes, size, &err);
        else
            code = region_deallocate(region, (struct extent){*address, size}, &err);
        drive_settle(region);
    }
    FUZZ_REQUIRE(code == 0);
}

static void run_for_a_while(struct region *region, unsigned number)
{
    static uint8_t bytes[70000];
    uint64_t kept[8], large, ticket;
    struct err err;
    drive_pattern(bytes, sizeof bytes, number);
    for (unsigned i = 0; i < 8; i++)
        change(region, ADD, &kept[i], bytes, 200 + 1777 * (uint64_t)i);
    change(region, ADD, &large, bytes, sizeof bytes);
    if (number % 2 == 0)
        FUZZ_REQUIRE(region_request_checkpoint(region, &ticket, &err) == 0);
    drive_settle(region);
    for (unsigned i = 0; i < 8; i += 1 + number / 2)
        change(region, FREE, &kept[i], NULL, 200 + 1777 * (uint64_t)i);
    change(region, STORE, &large, bytes + 1, 100);
}

/* Made once; the folder is that of a region which was killed. */
static struct simdisk *real_folder(unsigned number)
{
    static struct simdisk *disks[REAL_FOLDERS];
    if (disks[number] == NULL) {
        struct simdisk *disk = simdisk_new(number + 1);
        struct io *io = simdisk_io(disk);
        struct region_options options = region_options_default();
        struct region *region;
        struct err err;
        options.journal_size = JOURNAL_SIZE_MIN;
        options.page_cache = 1 * MIB;
        FUZZ_REQUIRE(io->ops->make_directory(io, "regions") == 0);
        FUZZ_REQUIRE(region_create(io, CRAFT_FOLDER, CRAFT_REGION, 1, &options, &err) == 0);
        FUZZ_REQUIRE(io->ops->sync_directory(io, "regions") == 0);
        FUZZ_REQUIRE(io->ops->sync_directory(io, ".") == 0);
        FUZZ_REQUIRE(region_open(io, CRAFT_FOLDER, NULL, false, &region, NULL, &err) == 0);
        run_for_a_while(region, number);
        disks[number] = simdisk_crash_none(disk);
        region_close(region);
        simdisk_free(disk);
    }
    return simdisk_crash_none(disks[number]);
}

struct picking {
    size_t left;
    char path[128];
};

static int pick(void *context, const char *name, bool is_directory)
{
    struct picking *picking = context;
    if (is_directory || picking->left-- > 0)
        return 0;
    (void)snprintf(picking->path, sizeof picking->path, CRAFT_FOLDER "/%s", name);
    return 1;
}

/* A number at a border of fields: in the header of the file, or in a block behind it. */
static void change_file(struct simdisk *disk, const struct step *step)
{
    struct picking picking = {.left = step->what / 8 % 8};
    uint8_t bytes[8] = {0};
    if (simdisk_io(disk)->ops->list(simdisk_io(disk), CRAFT_FOLDER, pick, &picking) != 1)
        return;
    if (strcmp(picking.path, CRAFT_FOLDER "/meta") == 0 && step->where % 50 >= 18 &&
        step->where % 50 < 22)
        return; /* another secret is another region, and nothing else is looked at */
    if (step->what % 8 == 7) {
        if (strcmp(picking.path, CRAFT_FOLDER "/data") != 0)
            craft_resize(disk, picking.path, (uint64_t)step->how * 64);
        return;
    }
    size_t size = step->what % 2 == 0 ? 4 : 8;
    uint64_t offset = (uint64_t)(step->where % 64) * 4 + (uint64_t)(step->where / 64) * DISK_BLOCK;
    if (step->what % 8 >= 4)
        offset += step->with / 8; /* effects begin anywhere */
    if (craft_read(disk, picking.path, offset, bytes, size) < size)
        return;
    put_u64(bytes, changed(get_u64(bytes), step->how, step->with));
    craft_write(disk, picking.path, offset, bytes, size);
}

/* ---- The target ---- */

static struct step step_at(const uint8_t *at)
{
    return (struct step){at[0], get_u16(at + 1), get_u16(at + 3), at[5]};
}

static struct simdisk *described(unsigned format, const uint8_t *data, size_t size)
{
    static struct craft c;
    craft_init(&c, format);
    for (size_t i = 0; i + STEP <= size && i < STEPS_MAX * STEP; i += STEP) {
        struct step step = step_at(data + i);
        change_description(&c, &step);
    }
    c.data_length = min_u64(c.data_length, DATA_MAX);
    struct simdisk *disk = craft_build(&c);
    craft_release(&c);
    return disk;
}

static struct simdisk *altered(unsigned number, const uint8_t *data, size_t size)
{
    struct simdisk *disk = real_folder(number);
    for (size_t i = 0; i + STEP <= size && i < STEPS_MAX * STEP; i += STEP) {
        struct step step = step_at(data + i);
        change_file(disk, &step);
    }
    craft_mend(disk, CRAFT_FOLDER);
    return disk;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict verdict;
    if (size == 0)
        return 0;
    unsigned kind = data[0] % 16;
    bool is_old = kind < 2;
    struct simdisk *disk = kind < 8 ? described(is_old ? 1 : 2, data + 1, size - 1)
                                    : altered(kind % REAL_FOLDERS, data + 1, size - 1);
    const char *wrong = is_old ? verdict_on_old(disk, CRAFT_REGION, &verdict)
                               : verdict_on(disk, CRAFT_FOLDER, &verdict);
    if (wrong != NULL)
        (void)fprintf(stderr, "%s\n", wrong);
    FUZZ_REQUIRE(wrong == NULL);
    FUZZ_REQUIRE(simdisk_breaches(disk) == 0 && simdisk_open_files(disk) == 0);
    simdisk_free(disk);
    return 0;
}
