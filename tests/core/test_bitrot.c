/* Damage on disk: flipped bits, zeroed, stale and misdirected sectors, missing and short files. The
 * region either opens just as it was, or it is refused and the file is named; or it opens, and a
 * load that the damage touches names the page, while all others answer what was stored. It never
 * opens as something else, and no load answers other bytes. The record written last cannot be told
 * from a torn one: it may be cut. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_scene.h"
#include "tests/support_main.h"

struct patient {
    struct scene scene;
    struct shadow now, before; /* without and with the last change */
    struct simdisk *past;      /* the disk some changes ago */
    struct observation whole;  /* all that is stored */
    uint64_t opened, refused, cut, named;
};

static void expect(const char *wrong)
{
    ck_assert_msg(wrong == NULL, "%s", wrong);
}

static void prepare(struct patient *patient, uint64_t seed)
{
    struct scene *scene = &patient->scene;
    struct pump_options options = {
        .seed = seed,
        .weights = {.live_target = 60000, .size_max = 40000, .large_percent = 5},
        .checkpoint_percent = 30}; /* what is behind the journal is told by loads */
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    *patient = (struct patient){0};
    expect(scene_begin(scene, seed, &region, &options));
    for (unsigned i = 0; i < 60; i++) {
        /* Of what the journal brings again no damage can be seen. */
        if (i == 57) {
            uint64_t ticket;
            struct err err = {0};
            expect(pump_settle(scene->pump));
            ck_assert_int_eq(region_request_checkpoint(scene->region, &ticket, &err), 0);
            expect(pump_settle(scene->pump));
        }
        if (i == 55)
            patient->past = simdisk_crash_none(scene->disk);
        expect(pump_run(scene->pump, 1));
    }
    expect(pump_settle(scene->pump));
    shadow_copy(&patient->before, pump_state(scene->pump, pump_begun(scene->pump)));
    /* One that surely has a record of its own. */
    struct change last = {.kind = CHANGE_ALLOCATE, .size = 100};
    int code;
    expect(pump_change(scene->pump, last, &code));
    ck_assert_int_eq(code, 0);
    expect(pump_settle(scene->pump));
    shadow_copy(&patient->now, pump_state(scene->pump, pump_begun(scene->pump)));
    expect(scene_close(scene));
    struct err err = {0};
    struct region *opened;
    struct simdisk *copy = simdisk_crash_none(scene->disk);
    ck_assert_int_eq(region_open(simdisk_io(copy), SCENE_FOLDER, NULL, true, &opened, NULL, &err),
                     0);
    expect(observation_take(&patient->whole, opened));
    region_close(opened);
    simdisk_free(copy);
}

static void dismiss(struct patient *patient)
{
    simdisk_free(patient->past);
    shadow_release(&patient->now);
    shadow_release(&patient->before);
    observation_release(&patient->whole);
    scene_end(&patient->scene);
}

static struct node *folder_of(struct simdisk *disk)
{
    return simtree_find(simdisk_tree(disk), SCENE_FOLDER);
}

/* Whether damage in this file is told by loads. */
static bool is_of_pages(const char *name)
{
    return strcmp(name, "data") == 0 || strcmp(name, "sums") == 0;
}

/* Loads what is in use, page by page: as it was, or the page is named. */
static void load_all(struct patient *patient, struct region *region, const char *name,
                     const char *damage)
{
    const struct observation *whole = &patient->whole;
    uint8_t bytes[DATA_PAGE];
    bool is_named = false;
    for (size_t i = 0; i < whole->used_count; i++) {
        uint64_t end = extent_end(whole->used[i]), at = whole->used[i].address;
        while (at < end) {
            struct err err = {0};
            uint64_t damaged, after;
            uint64_t next = min_u64(end, round_down(at, DATA_PAGE) + DATA_PAGE);
            size_t size = (size_t)(next - at);
            ck_assert_int_eq(region_load_begin(region, (struct extent){at, size}, &after, &err), 0);
            size_t got = region_read_now(region, at, bytes, size);
            int code = got == size ? 0 : region_read(region, at, bytes, size, &damaged, &err);
            ck_assert_msg(code == 0 || code == ERR_CORRUPT, "%s of %s: %s", damage, name, err.text);
            if (code == 0) {
                ck_assert_msg(memcmp(bytes, whole->bytes + at, size) == 0,
                              "%s of %s: other bytes at %llu", damage, name,
                              (unsigned long long)at);
            } else {
                ck_assert_uint_eq(damaged, round_down(at, DATA_PAGE));
                ck_assert_ptr_nonnull(strstr(err.text, "page at"));
                is_named = true;
            }
            at = next;
        }
    }
    patient->named += is_named;
    patient->opened += !is_named;
}

/* Opens the damaged disk, which it frees. */
static void diagnose(struct patient *patient, struct simdisk *disk, const char *name,
                     const char *damage, bool read_only)
{
    struct err err = {0};
    struct region *region;
    struct region_report report = {0};
    int code = region_open(simdisk_io(disk), SCENE_FOLDER, NULL, read_only, &region, &report, &err);
    if (code != 0) {
        bool is_lost = code == ERR_IO_ERROR && simtree_child(folder_of(disk), name) == NULL;
        ck_assert_msg(is_lost || code == ERR_CORRUPT || code == ERR_INVALID_ARGUMENT,
                      "%s of %s: %s", damage, name, err.text);
        /* A record may span two segments; the one that it begins in is named. */
        const char *named = strncmp(name, "journal-", 8) == 0 ? "/journal-" : name;
        ck_assert_msg(strstr(err.text, named) != NULL, "%s of %s is not named: %s", damage, name,
                      err.text);
        patient->refused++;
    } else if (is_of_pages(name)) {
        load_all(patient, region, name, damage);
        region_close(region);
    } else {
        struct observation seen;
        const char *wrong = observation_take(&seen, region);
        if (wrong == NULL)
            wrong = shadow_difference(&patient->now, &seen);
        if (wrong == NULL) {
            patient->opened++;
        } else if (strncmp(name, "journal-", 8) == 0 &&
                   shadow_difference(&patient->before, &seen) == NULL) {
            wrong = NULL;
            patient->cut++;
        }
        ck_assert_msg(wrong == NULL, "%s of %s: %s", damage, name, wrong);
        observation_release(&seen);
        region_close(region);
    }
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static struct simdisk *copy_with(struct patient *patient, const char *name, uint64_t offset,
                                 const void *bytes, size_t size)
{
    struct simdisk *disk = simdisk_crash_none(patient->scene.disk);
    struct node *file = simtree_child(folder_of(disk), name);
    simtree_write(simdisk_tree(disk), file, offset, bytes, size);
    simtree_sync(simdisk_tree(disk), file);
    return disk;
}

static void flip(struct patient *patient, const char *name, const uint8_t *sector, uint64_t offset,
                 struct rng *rng)
{
    uint64_t at = rng_below(rng, SIM_SECTOR);
    uint8_t byte = sector[at] ^ (uint8_t)(1u << rng_below(rng, 8));
    diagnose(patient, copy_with(patient, name, offset + at, &byte, 1), name, "a flipped bit",
             rng_chance(rng, 20));
}

static void damage_sector(struct patient *patient, const char *name, const struct image *image,
                          uint64_t offset, struct rng *rng)
{
    static const uint8_t zeros[SIM_SECTOR];
    uint8_t sector[SIM_SECTOR], other[SIM_SECTOR];
    image_read(image, offset, sector, SIM_SECTOR);
    bool is_zero = memcmp(sector, zeros, SIM_SECTOR) == 0;
    if (is_zero && !rng_chance(rng, 2))
        return;
    flip(patient, name, sector, offset, rng);
    flip(patient, name, sector, offset, rng);
    diagnose(patient, copy_with(patient, name, offset, zeros, SIM_SECTOR), name, "a zeroed sector",
             false);
    uint64_t elsewhere = SIM_SECTOR * rng_below(rng, offset / SIM_SECTOR + 8);
    image_read(image, elsewhere, other, SIM_SECTOR);
    diagnose(patient, copy_with(patient, name, offset, other, SIM_SECTOR), name,
             "a misdirected sector", false);
    struct node *old = simtree_child(folder_of(patient->past), name);
    if (old == NULL)
        return;
    image_read(old->cached, offset, other, SIM_SECTOR);
    diagnose(patient, copy_with(patient, name, offset, other, SIM_SECTOR), name, "a stale sector",
             false);
}

/* Every bit of a part of a file. */
static void flip_all(struct patient *patient, const char *name, uint64_t from, uint64_t to)
{
    const struct node *file = simtree_child(folder_of(patient->scene.disk), name);
    for (uint64_t bit = from * 8; bit < to * 8; bit++) {
        uint8_t byte;
        image_read(file->cached, bit / 8, &byte, 1);
        byte ^= (uint8_t)(1u << bit % 8);
        diagnose(patient, copy_with(patient, name, bit / 8, &byte, 1), name, "a flipped bit",
                 bit % 16 == 0);
    }
}

static void damage_file(struct patient *patient, const char *name, struct rng *rng)
{
    struct node *file = simtree_child(folder_of(patient->scene.disk), name);
    uint64_t length = image_length(file->cached);
    for (uint64_t offset = 0; offset < length; offset += SIM_SECTOR)
        damage_sector(patient, name, file->cached, offset, rng);
    for (unsigned i = 0; i < 10; i++) {
        struct simdisk *disk = simdisk_crash_none(patient->scene.disk);
        struct node *copy = simtree_child(folder_of(disk), name);
        /* A journal segment without its header may be one whose making was interrupted. */
        uint64_t least = strncmp(name, "journal-", 8) == 0 ? DISK_BLOCK : 0;
        simtree_set_length(simdisk_tree(disk), copy,
                           i == 0 ? least : rng_between(rng, least, length - 1));
        simtree_sync(simdisk_tree(disk), copy);
        diagnose(patient, disk, name, "cutting", false);
    }
    if (strncmp(name, "journal-", 8) == 0)
        return; /* nothing tells that a whole segment was there */
    struct simdisk *disk = simdisk_crash_none(patient->scene.disk);
    simtree_unlink(simdisk_tree(disk), folder_of(disk), name);
    simtree_sync(simdisk_tree(disk), folder_of(disk));
    diagnose(patient, disk, name, "the loss", false);
}

START_TEST(test_damage_is_found)
{
    struct patient patient;
    struct rng rng = {(uint64_t)_i};
    prepare(&patient, (uint64_t)_i + 1);
    const struct names *names = &folder_of(patient.scene.disk)->cached_names;
    for (size_t i = 0; i < names->count; i++)
        damage_file(&patient, names->entries[i].name, &rng);
    ck_assert_uint_gt(patient.opened, 0);
    ck_assert_uint_gt(patient.refused, 0);
    ck_assert_uint_gt(patient.named, 0);
    printf("bit rot: %llu opened as they were, %llu refused, %llu without the last record, "
           "%llu with a page that is named\n",
           (unsigned long long)patient.opened, (unsigned long long)patient.refused,
           (unsigned long long)patient.cut, (unsigned long long)patient.named);
    dismiss(&patient);
}
END_TEST

/* The length of a file up to its last byte that is not zero. */
static uint64_t used_length(const struct image *image)
{
    uint64_t length = image_length(image);
    uint8_t byte = 0;
    while (length > 0) {
        image_read(image, length - 1, &byte, 1);
        if (byte != 0)
            break;
        length--;
    }
    return length;
}

/* Every bit of the metadata of a small region, and of some of its data. */
START_TEST(test_every_bit)
{
    struct patient patient;
    struct rng rng = {1};
    prepare(&patient, 4);
    const struct names *names = &folder_of(patient.scene.disk)->cached_names;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->entries[i].name;
        const struct node *file = simtree_child(folder_of(patient.scene.disk), name);
        uint64_t length = min_u64(image_length(file->cached), used_length(file->cached) + 16);
        if (strcmp(name, "data") == 0) {
            for (unsigned part = 0; part < 20; part++) {
                uint64_t at = rng_below(&rng, length);
                flip_all(&patient, name, at, at + 4);
            }
        } else if (strncmp(name, "journal-", 8) == 0) {
            /* The headers, and the beginnings of blocks, where those of records are. */
            for (uint64_t at = 0; at < length; at += DISK_BLOCK)
                flip_all(&patient, name, at, at + 64);
        } else if (strcmp(name, "sums") == 0) {
            flip_all(&patient, name, 0, 64);
            flip_all(&patient, name, DISK_BLOCK, length);
        } else if (strcmp(name, "meta") == 0) {
            flip_all(&patient, name, 0, length);
        } else {
            flip_all(&patient, name, 0, 128);
            flip_all(&patient, name, DISK_BLOCK, min_u64(length, DISK_BLOCK + 256));
        }
    }
    ck_assert_uint_gt(patient.named, 0);
    ck_assert_uint_gt(patient.refused, 0);
    dismiss(&patient);
}
END_TEST

/* A data file that lost its end is noticed at once. */
START_TEST(test_short_data)
{
    struct patient patient;
    struct err err = {0};
    struct region *region;
    struct region_report report;
    prepare(&patient, 1);
    struct simdisk *disk = simdisk_crash_none(patient.scene.disk);
    struct node *data = simtree_child(folder_of(disk), "data");
    simtree_set_length(simdisk_tree(disk), data, patient.now.size - 1);
    simtree_sync(simdisk_tree(disk), data);
    int code = region_open(simdisk_io(disk), SCENE_FOLDER, NULL, false, &region, &report, &err);
    ck_assert_int_eq(code, ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "data") != NULL, "%s", err.text);
    simdisk_free(disk);
    dismiss(&patient);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bit rot");
    TCase *tcase = tcase_create("bit rot");
    /* Real segments take long to look through; the crash tests run this with small ones, too. */
    bool is_small = JOURNAL_SEGMENT < MIB;
    tcase_add_loop_test(tcase, test_damage_is_found, 0,
                        getenv("MREGION_CRASH_LONG") != NULL ? 20
                        : is_small                           ? 3
                                                             : 1);
    if (is_small)
        tcase_add_test(tcase, test_every_bit);
    tcase_add_test(tcase, test_short_data);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
