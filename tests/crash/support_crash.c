#include "support_crash.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOLDER "region"
#define CAPTURES_MAX 4 /* disks kept from one recovery or continuation */
#define SETTLED_PERCENT 3
#define EXTRAS 4 /* further checks there are */

struct run {
    const struct crash_options *options;
    struct crash_totals *totals;
    struct rng rng;
    struct rng second_rng; /* chooses the states whose recovery is cut again, and how it is cut */
    FILE *out;
    uint64_t lost; /* blobs, in the region looked at last */
    char complaint[512];
};

/* The states that a region may be in, and the one whose bytes it must have. */
struct range {
    const struct pump *pump;
    uint64_t low, high, certain;
};

static struct range range_of(const struct pump *pump)
{
    return (struct range){pump, pump_durable(pump), pump_begun(pump), pump_durable(pump)};
}

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

/* ---- What durability none may lose ---- */

static bool may_lose(const struct run *run)
{
    return run->options->region.durability == DURABILITY_NONE || run->options->reload_durability;
}

/* No part of what is certain to be kept; and a large blob, or beside its bytes in one page. */
static bool is_losable(void *context, const struct segment *segment, const struct observation *seen)
{
    const struct range *range = context;
    const struct shadow *kept = pump_state(range->pump, range->low);
    for (size_t i = 0; i < kept->count; i++)
        if (kept->segments[i].content == segment->content)
            return false;
    return pump_is_direct(range->pump, segment->content) || observation_lacks(seen, segment);
}

/* Whether the region is what it was after n changes; *lost says how many blobs lost their bytes. */
static const char *differs(const struct run *run, const struct observation *seen,
                           struct range *certain, uint64_t n, uint64_t *lost)
{
    const struct shadow *state = pump_state(certain->pump, n);
    struct shadow_losses losses = {.may_be_lost = is_losable, .context = certain};
    const char *wrong = shadow_difference_but(state, seen, may_lose(run) ? &losses : NULL);
    *lost = losses.lost;
    return wrong;
}

/* Opens the region, finds out after how many changes it stands, closes it. */
static const char *look(struct run *run, struct simdisk *disk, bool read_only, struct range range,
                        uint64_t *ret_found)
{
    struct err err = {0};
    struct region *region = NULL;
    struct region_report report = {0};
    struct observation seen = {0};
    struct range certain = {range.pump, range.certain, range.certain, range.certain};
    if (region_open(simdisk_io(disk), FOLDER, NULL, read_only, &region, &report, &err) != 0)
        return complain(run, read_only ? "opening read-only" : "opening", err.text);
    run->totals->cut_tails += report.cut_bytes > 0;
    run->totals->replayed += report.records;
    const char *wrong =
        may_lose(run) ? observation_take_readable(&seen, region) : observation_take(&seen, region);
    run->lost = 0;
    if (wrong != NULL) {
        wrong = complain(run, "looking at it", wrong);
    } else if ((report.damaged > 0 || seen.info.damaged_pages > 0) && !may_lose(run)) {
        wrong = complain(run, "looking at it", "pages are said to be damaged");
    } else {
        uint64_t n = range.high;
        while ((wrong = differs(run, &seen, &certain, n, &run->lost)) != NULL && n > range.low)
            n--;
        if (wrong != NULL)
            wrong = no_match(run, &seen, range);
        run->lost += report.damaged;
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

/* The same of a disk that is not looked at afterwards but for what is on it. */
static const char *look_last(struct run *run, struct simdisk *disk, struct range range,
                             uint64_t *ret_found)
{
    simdisk_keep_power(disk);
    return look(run, disk, false, range, ret_found);
}

/* Twice from the same disk, and once more after the first recovery. */
static const char *look_twice(struct run *run, const struct simdisk *before, struct range range)
{
    struct simdisk *one = simdisk_crash_none(before);
    struct simdisk *two = simdisk_crash_none(before);
    uint64_t found = 0, again = 0;
    const char *wrong = look_last(run, one, range, &found);
    if (wrong == NULL)
        wrong = look_last(run, two, range, &again);
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
            wrong = look_last(run, captures->disks[i], range != NULL ? *range : captures->ranges[i],
                              &found);
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

/* The journal is the same until there is a checkpoint of all of it, so the state is, too. */
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

/* ---- Power cuts before each sync of a recovery ---- */

struct second {
    struct run *run;
    struct range range;
    const char *wrong;
};

static int visit_second(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct second *second = context;
    struct run *run = second->run;
    uint64_t found;
    const char *wrong = look_last(run, crashed, second->range, &found);
    if (wrong == NULL)
        return 0;
    char detail[400];
    snprintf(detail, sizeof detail, "%s", wrong);
    second->wrong = complain(run, "after a second cut, during recovery", detail);
    fprintf(run->out, "pending changes at the second cut:\n");
    simcrash_print(how, run->out);
    fprintf(run->out, "operations of the recovery that was cut:\n");
    simdisk_print_trace(how->before, run->out);
    fprintf(run->out, "operations of the recovery after it:\n");
    simdisk_print_trace(crashed, run->out);
    return 1;
}

static void cut_second(struct second *second, struct simdisk *disk)
{
    struct run *run = second->run;
    if (second->wrong != NULL)
        return;
    run->totals->second_points++;
    simcrash_enumerate(disk, &run->options->second_plan, &run->second_rng, visit_second, second,
                       &run->totals->second_states);
}

static void second_hook(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    (void)path;
    if (SIM_BIT(op) & SIM_SYNCS)
        cut_second(context, disk);
}

/* range is the one state that the recovery, undisturbed, has come to. */
static const char *look_cut_again(struct run *run, const struct simdisk *before, struct range range)
{
    struct simdisk *disk = simdisk_crash_none(before);
    struct second second = {.run = run, .range = range};
    uint64_t found;
    simdisk_set_hook(disk, second_hook, &second);
    if (run->options->ignored_in_recovery != NULL)
        simdisk_ignore_syncs(disk, run->options->ignored_in_recovery, 1, UINT64_MAX);
    const char *wrong = look(run, disk, false, range, &found);
    simdisk_set_hook(disk, NULL, NULL);
    if (wrong == NULL)
        cut_second(&second, disk);
    simdisk_free(disk);
    return second.wrong != NULL ? second.wrong : wrong;
}

static const char *capture_before_sync(void *context, struct pump *pump)
{
    struct captures *captures = context;
    if (rng_chance(&captures->run->rng, captures->percent))
        capture(captures, pump_disk(pump), range_of(pump));
    return NULL;
}

static const char *work_on(struct run *run, struct pump *pump, struct captures *captures)
{
    const char *wrong = pump_run(pump, rng_between(&run->rng, 1, 8));
    if (wrong == NULL)
        wrong = pump_settle(pump);
    if (wrong != NULL)
        return complain(run, "working on after recovery", wrong);
    capture(captures, pump_disk(pump), range_of(pump));
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
        .reload_durability = run->options->reload_durability,
        .scrub_percent = run->options->scrub_percent,
        .upload_percent = run->options->upload_percent,
        .backup_percent = run->options->backup_percent,
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
    bool again = rng_below(&run->second_rng, 1000000) < run->options->second_cuts;
    struct simdisk *before = again || any_extra(run) ? simdisk_crash_none(disk) : NULL;
    const char *wrong = look_last(run, disk, range, &found);
    struct range one = {range.pump, found, found, range.certain};
    bool is_lossy = run->lost > 0;
    run->totals->lossy += is_lossy;
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
        wrong = look_interrupted(run, before, one);
        run->totals->extras++;
    }
    if (wrong == NULL && rng_chance(&run->rng, percent) && !is_lossy) {
        wrong = look_at_more_work(run, before, range, found);
        run->totals->extras++;
    }
    if (wrong == NULL && again)
        wrong = look_cut_again(run, before, one);
    simdisk_free(before);
    return wrong;
}

/* ---- The run ---- */

struct point {
    struct run *run;
    struct pump *pump;
};

/* One that is made stays as it is: of these not every disk is looked at. */
static const char *look_at_backup(struct run *run, const struct pump *pump, struct simdisk *disk)
{
    if (pump_backup_is_made(pump) && !rng_chance(&run->second_rng, SETTLED_PERCENT))
        return NULL;
    return pump_look_at_backup(pump, disk);
}

static int visit_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct point *point = context;
    struct run *run = point->run;
    struct range range = range_of(point->pump);
    const char *wrong = check_state(run, crashed, range);
    if (wrong == NULL && run->options->backup_percent > 0)
        wrong = look_at_backup(run, point->pump, crashed);
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
    run->totals->exhaustive +=
        simdisk_pending(pump_disk(pump)) <= run->options->plan.exhaustive_max;
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
        .reload_durability = run->options->reload_durability,
        .scrub_percent = run->options->scrub_percent,
        .upload_percent = run->options->upload_percent,
        .backup_percent = run->options->backup_percent,
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
    run->totals->uploads += pump_uploads(pump);
    run->totals->backups += pump_backups(pump);
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
    run.second_rng.state = options->seed ^ 0x2c07;
    if (region_create(io, FOLDER, "main", 1, &options->region, &err) != 0 ||
        io->ops->sync_directory(io, ".") != 0 ||
        region_open(io, FOLDER, NULL, false, &region, &report, &err) != 0) {
        fprintf(out, "cannot make the region: %s\n", err.text);
        simdisk_free(disk);
        return false;
    }
    simdisk_set_cold_reads(disk, 30);
    if (options->seed % 2 == 0)
        simdisk_set_clones(disk);
    if (options->ignored_syncs != NULL)
        simdisk_ignore_syncs(disk, options->ignored_syncs, 1, UINT64_MAX);
    bool closable;
    const char *wrong = run_changes(&run, disk, region, &closable);
    close_all(region, disk, closable);
    return wrong == NULL;
}

void crash_print_figures(const char *name, const struct crash_totals *totals)
{
    const char *path = getenv("MREGION_CRASH_TOTALS");
    FILE *outs[] = {stdout, path == NULL ? NULL : fopen(path, "a")};
    for (size_t i = 0; i < sizeof outs / sizeof outs[0]; i++)
        if (outs[i] != NULL)
            fprintf(outs[i],
                    "crash figures of %s: %llu power cuts, %llu states, %llu further checks, "
                    "%llu second power cuts, %llu states after them, %.1f seconds\n",
                    name, (unsigned long long)totals->points, (unsigned long long)totals->states,
                    (unsigned long long)totals->extras, (unsigned long long)totals->second_points,
                    (unsigned long long)totals->second_states, (double)clock() / CLOCKS_PER_SEC);
    if (outs[1] != NULL)
        fclose(outs[1]);
}
