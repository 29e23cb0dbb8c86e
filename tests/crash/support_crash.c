#include "support_crash.h"

#include <stdlib.h>
#include <string.h>

#define FOLDER "region"
#define CAPTURES_MAX 4 /* disks kept from one recovery or continuation */
#define EXTRAS 4       /* further checks there are */

struct run {
    const struct crash_options *options;
    struct crash_totals *totals;
    struct rng rng;
    const struct simcrash_case *how; /* the power cut under way, for the report */
    FILE *out;
    char complaint[512];
};

/* The states that a region may be in. */
struct range {
    const struct pump *pump;
    uint64_t low, high;
};

static const char *complain(struct run *run, const char *what, const char *detail)
{
    snprintf(run->complaint, sizeof run->complaint, "%s: %s", what, detail);
    return run->complaint;
}

/* ---- One disk that a power cut left ---- */

static const char *no_match(struct run *run, const struct observation *seen, struct range range)
{
    char low[200];
    snprintf(low, sizeof low, "%s", shadow_difference(pump_state(range.pump, range.low), seen));
    snprintf(run->complaint, sizeof run->complaint,
             "the region is in no state between the changes %llu (acknowledged) and %llu (begun); "
             "after %llu: %s; after %llu: %s",
             (unsigned long long)range.low, (unsigned long long)range.high,
             (unsigned long long)range.low, low, (unsigned long long)range.high,
             shadow_difference(pump_state(range.pump, range.high), seen));
    return run->complaint;
}

/* Opens the region, finds out after how many changes it stands, closes it. */
static const char *look(struct run *run, struct simdisk *disk, bool read_only, struct range range,
                        uint64_t *ret_found)
{
    struct err err = {0};
    struct region *region = NULL;
    struct region_report report = {0};
    struct observation seen = {0};
    if (region_open(simdisk_io(disk), FOLDER, NULL, read_only, &region, &report, &err) != 0)
        return complain(run, read_only ? "opening read-only" : "opening", err.text);
    run->totals->cut_tails += report.cut_bytes > 0;
    run->totals->replayed += report.records;
    const char *wrong = observation_take(&seen, region);
    if (wrong != NULL) {
        wrong = complain(run, "looking at it", wrong);
    } else {
        uint64_t n = range.high;
        while (n > range.low && shadow_difference(pump_state(range.pump, n), &seen) != NULL)
            n--;
        if (shadow_difference(pump_state(range.pump, n), &seen) != NULL)
            wrong = no_match(run, &seen, range);
        *ret_found = n;
    }
    observation_release(&seen);
    region_close(region);
    if (wrong == NULL && simdisk_open_files(disk) != 0)
        wrong = complain(run, "closing", "a file is still open");
    if (wrong == NULL && simdisk_breaches(disk) != 0)
        wrong = complain(run, "recovery", "it broke the contract of io.h");
    return wrong;
}

static const char *look_read_only(struct run *run, const struct simdisk *before, struct range range)
{
    struct simdisk *disk = simdisk_crash_none(before);
    uint64_t found;
    const char *wrong = look(run, disk, true, range, &found);
    if (wrong == NULL &&
        !simtree_equal(simdisk_tree(disk), simdisk_tree((struct simdisk *)((uintptr_t)before))))
        wrong = complain(run, "opening read-only", "it changed the disk");
    if (wrong == NULL && simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS) > 0)
        wrong = complain(run, "opening read-only", "it wrote to the disk or synced");
    simdisk_free(disk);
    return wrong;
}

static const struct image *data_of(struct simdisk *disk)
{
    return simtree_find(simdisk_tree(disk), FOLDER "/data")->cached;
}

/* Twice from the same disk, and once more after the first recovery. */
static const char *look_twice(struct run *run, const struct simdisk *before, struct range range)
{
    struct simdisk *one = simdisk_crash_none(before);
    struct simdisk *two = simdisk_crash_none(before);
    uint64_t found = 0, again = 0;
    const char *wrong = look(run, one, false, range, &found);
    if (wrong == NULL)
        wrong = look(run, two, false, range, &again);
    if (wrong == NULL && (found != again || !simtree_equal(simdisk_tree(one), simdisk_tree(two))))
        wrong = complain(run, "recovering the same disk twice", "the disks differ");
    range.low = range.high = found;
    if (wrong == NULL)
        wrong = look(run, two, false, range, &again);
    if (wrong == NULL && !image_equal(data_of(one), data_of(two)))
        wrong = complain(run, "recovering again after a recovery", "the data file changed");
    simdisk_free(one);
    simdisk_free(two);
    return wrong;
}

/* ---- Power cuts during and after a recovery ---- */

struct captures {
    struct run *run;
    unsigned percent;
    size_t count;
    struct simdisk *disks[CAPTURES_MAX];
    struct range ranges[CAPTURES_MAX];
};

static void capture(struct captures *captures, const struct simdisk *disk, struct range range)
{
    struct run *run = captures->run;
    size_t slot = captures->count;
    if (slot == CAPTURES_MAX)
        return;
    captures->disks[slot] = simdisk_crash_random(disk, &run->rng);
    captures->ranges[slot] = range;
    captures->count++;
}

static void capture_hook(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct captures *captures = context;
    (void)path;
    if ((SIM_BIT(op) & (SIM_SYNCS | SIM_CHANGES)) &&
        rng_chance(&captures->run->rng, captures->percent))
        capture(captures, disk, (struct range){0});
}

static const char *look_at_captures(struct run *run, struct captures *captures,
                                    const struct range *range, const char *when)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < captures->count; i++) {
        uint64_t found;
        if (wrong == NULL) {
            wrong = look(run, captures->disks[i], false,
                         range != NULL ? *range : captures->ranges[i], &found);
            if (wrong != NULL) {
                char detail[400];
                snprintf(detail, sizeof detail, "%s", wrong);
                wrong = complain(run, when, detail);
            }
        }
        simdisk_free(captures->disks[i]);
    }
    return wrong;
}

static const char *look_interrupted(struct run *run, const struct simdisk *before,
                                    struct range range)
{
    struct simdisk *disk = simdisk_crash_none(before);
    struct captures captures = {.run = run, .percent = 40};
    uint64_t found;
    simdisk_set_hook(disk, capture_hook, &captures);
    const char *wrong = look(run, disk, false, range, &found);
    if (wrong == NULL)
        capture(&captures, disk, range);
    const char *later = look_at_captures(run, &captures, &range, "after a cut during recovery");
    simdisk_free(disk);
    return wrong != NULL ? wrong : later;
}

static const char *capture_before_sync(void *context, struct pump *pump)
{
    struct captures *captures = context;
    if (rng_chance(&captures->run->rng, captures->percent))
        capture(captures, pump_disk(pump),
                (struct range){pump, pump_durable(pump), pump_begun(pump)});
    return NULL;
}

static const char *work_on(struct run *run, struct pump *pump, struct captures *captures)
{
    const char *wrong = pump_run(pump, rng_between(&run->rng, 1, 8));
    if (wrong == NULL)
        wrong = pump_settle(pump);
    if (wrong != NULL)
        return complain(run, "working on after recovery", wrong);
    capture(captures, pump_disk(pump), (struct range){pump, pump_durable(pump), pump_begun(pump)});
    return NULL;
}

/* An engine that hangs cannot be closed; the test has failed then. */
static void close_all(struct region *region, struct simdisk *disk, bool closable)
{
    if (!closable)
        return;
    region_close(region);
    simdisk_free(disk);
}

static const char *look_at_more_work(struct run *run, const struct simdisk *before,
                                     struct range range, uint64_t found)
{
    struct err err = {0};
    struct simdisk *disk = simdisk_crash_none(before);
    struct captures captures = {.run = run, .percent = 15};
    struct region *region;
    struct region_report report;
    if (region_open(simdisk_io(disk), FOLDER, NULL, false, &region, &report, &err) != 0) {
        simdisk_free(disk);
        return complain(run, "opening once more", err.text);
    }
    struct pump_options options = {
        .seed = rng_next(&run->rng) >> 32,
        .weights = run->options->weights,
        .checkpoint_percent = run->options->checkpoint_percent,
        .reload_percent = run->options->reload_percent,
        .scrub_percent = run->options->scrub_percent,
        .before_sync = capture_before_sync,
        .context = &captures,
    };
    struct pump *pump = pump_new(disk, region, pump_state(range.pump, found), &options);
    const char *wrong = work_on(run, pump, &captures);
    const char *later = look_at_captures(run, &captures, NULL, "after work after recovery");
    bool closable = wrong == NULL || pump_abandon(pump);
    pump_free(pump);
    close_all(region, disk, closable);
    return wrong != NULL ? wrong : later;
}

/* Whether any of the further checks will be drawn: only then is a copy of the disk needed. */
static bool any_extra(const struct run *run)
{
    struct rng ahead = run->rng;
    for (unsigned i = 0; i < EXTRAS; i++)
        if (rng_chance(&ahead, run->options->extra_percent))
            return true;
    return false;
}

static const char *check_state(struct run *run, struct simdisk *disk, struct range range)
{
    uint64_t found = 0;
    unsigned percent = run->options->extra_percent;
    struct simdisk *before = any_extra(run) ? simdisk_crash_none(disk) : NULL;
    const char *wrong = look(run, disk, false, range, &found);
    if (wrong == NULL && before == NULL) {
        for (unsigned i = 0; i < EXTRAS; i++)
            rng_next(&run->rng); /* none of them is to be made */
        return NULL;
    }
    if (wrong == NULL && rng_chance(&run->rng, percent)) {
        wrong = look_read_only(run, before, range);
        run->totals->extras++;
    }
    if (wrong == NULL && rng_chance(&run->rng, percent)) {
        wrong = look_twice(run, before, range);
        run->totals->extras++;
    }
    if (wrong == NULL && rng_chance(&run->rng, percent)) {
        wrong = look_interrupted(run, before, range);
        run->totals->extras++;
    }
    if (wrong == NULL && rng_chance(&run->rng, percent)) {
        wrong = look_at_more_work(run, before, range, found);
        run->totals->extras++;
    }
    simdisk_free(before);
    return wrong;
}

/* ---- The run ---- */

struct point {
    struct run *run;
    struct pump *pump;
};

static int visit_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct point *point = context;
    struct run *run = point->run;
    struct range range = {point->pump, pump_durable(point->pump), pump_begun(point->pump)};
    const char *wrong = check_state(run, crashed, range);
    if (wrong == NULL)
        return 0;
    fprintf(run->out, "after a power cut: %s\npending changes:\n", wrong);
    simcrash_print(how, run->out);
    fprintf(run->out, "operations before the cut:\n");
    simdisk_print_trace(how->before, run->out);
    fprintf(run->out, "operations of the last recovery:\n");
    simdisk_print_trace(crashed, run->out);
    return 1;
}

static const char *cut_power(void *context, struct pump *pump)
{
    struct run *run = context;
    struct point point = {run, pump};
    run->totals->points++;
    int found = simcrash_enumerate(pump_disk(pump), &run->options->plan, &run->rng, visit_state,
                                   &point, &run->totals->states);
    return found ? "the power cut before this sync" : NULL;
}

static const char *run_changes(struct run *run, struct simdisk *disk, struct region *region,
                               bool *ret_closable)
{
    struct shadow empty;
    struct region_info info;
    shadow_init(&empty);
    region_get_info(region, &info);
    empty.pages = info.pages;
    struct pump_options options = {
        .seed = run->options->seed,
        .weights = run->options->weights,
        .load_percent = 20,
        .checkpoint_percent = run->options->checkpoint_percent,
        .reload_percent = run->options->reload_percent,
        .scrub_percent = run->options->scrub_percent,
        .acknowledge_early = run->options->acknowledge_early,
        .before_sync = cut_power,
        .context = run,
    };
    struct pump *pump = pump_new(disk, region, &empty, &options);
    const char *wrong = pump_run(pump, run->options->operations);
    if (wrong == NULL)
        wrong = pump_settle(pump);
    if (wrong == NULL)
        wrong = cut_power(run, pump);
    if (wrong != NULL)
        wrong = complain(run, "change", wrong);
    if (wrong != NULL)
        fprintf(run->out, "at change %llu (%llu acknowledged): %s\n",
                (unsigned long long)pump_begun(pump), (unsigned long long)pump_acknowledged(pump),
                wrong);
    *ret_closable = wrong == NULL || pump_abandon(pump);
    region_get_info(region, &info);
    run->totals->commits += info.commits;
    run->totals->checkpoints += info.checkpoints;
    run->totals->discarded += info.discarded_bytes;
    pump_free(pump);
    shadow_release(&empty);
    return wrong;
}

bool crash_run(const struct crash_options *options, struct crash_totals *totals, FILE *out)
{
    struct run run = {.options = options, .totals = totals, .out = out};
    struct simdisk *disk = simdisk_new(options->seed);
    struct io *io = simdisk_io(disk);
    struct region *region;
    struct region_report report;
    struct err err = {0};
    run.rng.state = options->seed ^ 0x5eed;
    if (region_create(io, FOLDER, "main", 1, &options->region, &err) != 0 ||
        io->ops->sync_directory(io, ".") != 0 ||
        region_open(io, FOLDER, NULL, false, &region, &report, &err) != 0) {
        fprintf(out, "cannot make the region: %s\n", err.text);
        simdisk_free(disk);
        return false;
    }
    simdisk_set_cold_reads(disk, 30);
    if (options->ignored_syncs != NULL)
        simdisk_ignore_syncs(disk, options->ignored_syncs, 1, UINT64_MAX);
    bool closable;
    const char *wrong = run_changes(&run, disk, region, &closable);
    close_all(region, disk, closable);
    return wrong == NULL;
}
