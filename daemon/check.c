#include "daemon/check.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/store.h"
#include "daemon/startup.h"

struct names {
    char (*name)[REGION_NAME_MAX + 1];
    size_t count;
};

static int collect(void *context, const char *name)
{
    struct names *names = context;
    void *more = realloc(names->name, (names->count + 1) * sizeof names->name[0]);
    if (more == NULL)
        return ERR_INTERNAL;
    names->name = more;
    snprintf(names->name[names->count++], sizeof names->name[0], "%s", name);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void print_region(const struct region *region, const struct region_report *report)
{
    struct region_info info;
    region_get_info(region, &info);
    printf("  format        %" PRIu32 "\n", report->format);
    printf("  size          %" PRIu64 " bytes, %" PRIu64 " of them in use\n", info.size,
           info.allocated);
    printf("  free blocks   %" PRIu64 ", the largest of %" PRIu64 " bytes\n", info.free_blocks,
           info.largest_free);
    printf("  checkpoint    %" PRIu64 "\n", report->checkpoint_sequence);
    printf("  journal       %" PRIu64 " records to replay at the next start\n", report->records);
    if (report->cut_bytes > 0)
        printf("  torn tail     %" PRIu64 " bytes at %" PRIu64
               ", of a write that was never acknowledged; the next start cuts it\n",
               report->cut_bytes, report->cut_at);
}

/* Damaged pages that are printed for each region; the others are counted. */
#define DAMAGES_PRINTED 1000
/* Blocks in use that are printed for each of them. */
#define BLOCKS_PRINTED 16

/* Threads that read: one alone would leave the disk idle while it computes checksums. */
#define READERS 4

/* The reading of a region. The pieces are taken in their order, so that a disk with heads reads on
 * and on. */
struct reading {
    struct region *region;
    pthread_mutex_t lock; /* over everything below */
    uint64_t next;        /* address of the next piece */
    uint64_t pages, verified, unverified, damaged;
    struct region_finding damages[DAMAGES_PRINTED]; /* the first ones, ascending */
    size_t count;                                   /* of them */
};

/* Keeps the first by address: threads come with theirs in any order. */
static void keep_damage(struct reading *reading, struct region_finding damage)
{
    size_t at = reading->count;
    while (at > 0 && reading->damages[at - 1].address > damage.address)
        at--;
    if (at == DAMAGES_PRINTED)
        return;
    if (reading->count < DAMAGES_PRINTED)
        reading->count++;
    memmove(reading->damages + at + 1, reading->damages + at,
            (reading->count - 1 - at) * sizeof reading->damages[0]);
    reading->damages[at] = damage;
}

static void add_look(struct reading *reading, const struct region_look *look)
{
    reading->pages += look->pages;
    reading->verified += look->verified;
    reading->unverified += look->unverified;
    reading->damaged += look->damaged;
    for (size_t i = 0; i < look->damaged; i++)
        keep_damage(reading, look->findings[i]);
}

static void *read_pieces(void *context)
{
    struct reading *reading = context;
    struct region_look look;
    uint8_t *buffer = aligned_alloc(DISK_BLOCK, SCRUB_PIECE); /* NULL: it goes on slowly */
    pthread_mutex_lock(&reading->lock);
    for (;;) {
        uint64_t address = reading->next;
        reading->next = region_piece_end(reading->region, address);
        if (reading->next == address)
            break;
        pthread_mutex_unlock(&reading->lock);
        region_look_at_piece(reading->region, address, buffer, &look);
        pthread_mutex_lock(&reading->lock);
        add_look(reading, &look);
    }
    pthread_mutex_unlock(&reading->lock);
    free(buffer);
    return NULL;
}

static void read_all(struct reading *reading)
{
    pthread_t threads[READERS - 1];
    size_t count = 0;
    pthread_mutex_init(&reading->lock, NULL);
    /* Without them this thread does all. */
    while (count < READERS - 1 && pthread_create(&threads[count], NULL, read_pieces, reading) == 0)
        count++;
    (void)read_pieces(reading);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    pthread_mutex_destroy(&reading->lock);
}

/* The page, and which bytes in use lie in it. */
static void print_damage(const struct region *region, const struct region_finding *damage)
{
    struct extent blocks[BLOCKS_PRINTED + 1];
    size_t count = 0;
    struct err err;
    uint64_t end = damage->address + DATA_PAGE;
    if (end > region_size(region))
        end = region_size(region);
    (void)region_allocated_blocks(region, damage->address, end, blocks, BLOCKS_PRINTED + 1, &count,
                                  &err);
    printf("  damaged page  %" PRIu64 " %s; in use there:", damage->address,
           damage->is_unreadable ? "cannot be read" : "does not match its checksum");
    for (size_t i = 0; i < count && i < BLOCKS_PRINTED; i++)
        printf(" [%" PRIu64 ", %" PRIu64 ")", blocks[i].address, extent_end(blocks[i]));
    printf("%s\n", count > BLOCKS_PRINTED ? " and more" : "");
}

static void print_pages(const struct reading *reading)
{
    printf("  pages         %" PRIu64 " in use: %" PRIu64 " verified, %" PRIu64
           " unverified, %" PRIu64 " damaged\n",
           reading->pages, reading->verified, reading->unverified, reading->damaged);
    for (size_t i = 0; i < reading->count; i++)
        print_damage(reading->region, &reading->damages[i]);
    if (reading->damaged > reading->count)
        printf("  and           %" PRIu64 " more damaged pages\n",
               reading->damaged - reading->count);
}

/* A region of an older format, which is only looked at. */
static void print_plan(const char *name, const struct migrate_plan *plan)
{
    printf("region %s: ok, to be migrated\n", name);
    printf("  format        %" PRIu32 ": the next start brings it to %d\n", plan->from,
           REGION_FORMAT);
    printf("  journal       %" PRIu64 " records whose bytes are put in place\n", plan->records);
    if (plan->cut_bytes > 0)
        printf("  torn tail     %" PRIu64 " bytes, of a write that was never acknowledged\n",
               plan->cut_bytes);
    printf("  reads         %" PRIu64 " bytes, for their checksums\n", plan->read_bytes);
    printf("  needs         %" PRIu64 " bytes of disk, and %" PRIu64 " are free%s\n",
           plan->space_needed, plan->space_free,
           plan->space_free < plan->space_needed ? ": make space first" : "");
}

/* Reads all pages in use. 0 or 1. */
static int check_open_region(const char *name, struct region *region,
                             const struct region_report *report)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        printf("region %s: out of memory\n", name);
        return 1;
    }
    reading->region = region;
    read_all(reading);
    const char *wrong = region_check(region);
    if (wrong == NULL && reading->damaged > 0)
        wrong = "damaged";
    printf("region %s: %s\n", name, wrong == NULL ? "ok" : wrong);
    print_region(region, report);
    print_pages(reading);
    free(reading);
    return wrong != NULL;
}

/* 0 or 1. */
static int check_region(struct store *store, const char *name)
{
    struct region *region;
    struct region_report report = {0};
    struct migrate_plan plan;
    struct err err;
    int code = store_look_region(store, name, &plan, &err);
    if (code == 0 && plan.from != REGION_FORMAT) {
        print_plan(name, &plan);
        return 0;
    }
    if (code != 0 || store_open_region(store, name, NULL, &region, &report, &err) != 0) {
        printf("region %s: %s: %s\n", name, err_name(err.code), err.text);
        return 1;
    }
    int status = check_open_region(name, region, &report);
    region_close(region);
    return status;
}

/* 0 or 1. */
static int check_store(struct store *store)
{
    struct names names = {0};
    struct err err;
    err_set(&err, ERR_INTERNAL, "out of memory");
    if (store_list(store, collect, &names, &err) != 0) {
        printf("%s: %s\n", err_name(err.code), err.text);
        free(names.name);
        return 1;
    }
    qsort(names.name, names.count, sizeof names.name[0], compare);
    size_t bad = 0;
    for (size_t i = 0; i < names.count; i++)
        bad += (size_t)check_region(store, names.name[i]);
    printf("%zu region%s, %zu damaged\n", names.count, names.count == 1 ? "" : "s", bad);
    free(names.name);
    return bad > 0;
}

int check_run(const struct conf *conf)
{
    struct io *io = NULL;
    struct store *store = NULL;
    struct err err;
    if (startup_open_directory(conf->data_dir, true, &io, &store, &err) != 0) {
        printf("%s: %s\n", err_name(err.code), err.text);
        return 1;
    }
    printf("data_dir %s\n", conf->data_dir);
    int status = check_store(store);
    store_close(store);
    io_posix_free(io);
    return status;
}
