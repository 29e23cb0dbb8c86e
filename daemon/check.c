#include "daemon/check.h"

#include <inttypes.h>
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
    printf("  needs         %" PRIu64 " bytes of disk\n", plan->space_needed);
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
    const char *wrong = region_check(region);
    printf("region %s: %s\n", name, wrong == NULL ? "ok" : wrong);
    print_region(region, &report);
    region_close(region);
    return wrong != NULL;
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
