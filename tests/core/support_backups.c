#include "support_backups.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/iofile.h"
#include "core/region_private.h"

__attribute__((format(printf, 2, 3))) static const char *complain(struct backups *backups,
                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(backups->complaint, sizeof backups->complaint, format, arguments);
    va_end(arguments);
    return backups->complaint;
}

void backups_release(struct backups *backups)
{
    if (backups->has_cut)
        shadow_release(&backups->cut);
    backups->has_cut = false;
}

static bool is_there(struct simdisk *disk, const char *name)
{
    return simtree_find(simdisk_tree(disk), name) != NULL;
}

/* What it is when it is opened: to be read, and, where it may be changed, as a region to go on
 * with. */
static const char *compare(struct backups *backups, struct simdisk *disk, bool read_only)
{
    struct region *region;
    struct region_report report;
    struct observation seen = {0};
    struct err err;
    if (region_open(simdisk_io(disk), backups->name, NULL, read_only, &region, &report, &err) != 0)
        return complain(backups, "backup %s cannot be opened: %s", backups->name, err.text);
    const char *wrong = region_check(region);
    if (wrong == NULL)
        wrong = observation_take(&seen, region);
    if (wrong == NULL)
        wrong = shadow_difference(&backups->cut, &seen);
    if (wrong == NULL && (report.records > 0 || report.cut_bytes > 0))
        wrong = "it has a journal";
    observation_release(&seen);
    region_close(region);
    return wrong == NULL ? NULL : complain(backups, "backup %s: %s", backups->name, wrong);
}

static const char *finish(struct backups *backups, struct simdisk *disk,
                          const struct region_backup *backup, bool may_fail)
{
    backups->is_under_way = false;
    if (backup->code != 0) {
        if (!backups->is_cancelled && !may_fail)
            return complain(backups, "backup %s failed: %s", backups->name, backup->err.text);
        return is_there(disk, backups->name) && !may_fail
                   ? complain(backups, "backup %s failed, and is there", backups->name)
                   : NULL;
    }
    backups->made++;
    backups->is_made = true;
    if (!backups->has_cut)
        return complain(backups, "backup %s has no cut", backups->name);
    return compare(backups, disk, true);
}

const char *backups_step(struct backups *backups, struct region *region, struct simdisk *disk,
                         struct rng *rng)
{
    static unsigned long long number; /* a disk outlives its pumps */
    struct err err;
    if (backups->is_under_way) {
        if (!rng_chance(rng, 20))
            return NULL;
        (void)err_set(&err, ERR_BUSY, "it was cancelled");
        backups->is_cancelled = true;
        region_backup_cancel(region, &err);
        return NULL;
    }
    if (backups->is_made) /* and has been looked at */
        (void)io_remove_folder(simdisk_io(disk), backups->name, &err);
    backups_release(backups);
    snprintf(backups->name, sizeof backups->name, "b%llu", ++number);
    backups->begun++;
    backups->is_cancelled = backups->is_made = false;
    int code = region_backup_begin(region, simdisk_io(disk), backups->name, &err);
    backups->is_under_way = code == 0;
    return code == 0 || code == ERR_READ_ONLY || code == ERR_INTERNAL
               ? NULL
               : complain(backups, "a backup cannot be begun: %s", err.text);
}

const char *backups_moved(struct backups *backups, struct region *region, struct simdisk *disk,
                          const struct shadow *newest, bool may_fail)
{
    struct region_backup backup;
    if (region->backup.state == BACKUP_CUT && !backups->has_cut) {
        shadow_copy(&backups->cut, newest);
        backups->has_cut = true;
    }
    return region_take_backup(region, &backup) ? finish(backups, disk, &backup, may_fail) : NULL;
}

const char *backups_look(const struct backups *backups, struct simdisk *disk)
{
    static struct backups copy; /* for its complaint */
    copy = *backups;
    if (backups->begun == 0)
        return NULL;
    if (!is_there(disk, backups->name))
        return backups->is_made
                   ? complain(&copy, "backup %s was made, and is not there", backups->name)
                   : NULL;
    if (!backups->has_cut)
        return complain(&copy, "backup %s is there before its time", backups->name);
    const char *wrong = compare(&copy, disk, true);
    return wrong == NULL ? compare(&copy, disk, false) : wrong;
}
